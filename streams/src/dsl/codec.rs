//! Record bytes to typed batches and back.

use std::sync::Arc;

use millstream_log::{Header, PartitionRecords};

use crate::ByteColumn;
use crate::batch::{Batch, Decoded, Decoder, Encoder, RecordSink, downcast};
use crate::dsl::records::Records;
use crate::dsl::route::Route;
use crate::error::StreamsError;
use crate::report::{ReportKind, Reporter, RowReport, Subject};
use crate::serde::{DynSerde, SerdeError};
use crate::topology::{DecoderSupplier, EncoderSupplier};

/// Replaces the timestamps of a whole column of values.
pub(crate) type TimestampExtractor<V> = Arc<dyn Fn(&[Option<V>], &mut [i64]) + Send + Sync>;

pub(crate) fn decoder<K, V>(
    keys: DynSerde<K>,
    values: DynSerde<V>,
    timestamp: Option<TimestampExtractor<V>>,
) -> DecoderSupplier
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Arc::new(move || {
        let (keys, values) = (Arc::clone(&keys), Arc::clone(&values));
        Box::new(RecordDecoder { keys, values, timestamp: timestamp.clone() })
    })
}

pub(crate) fn encoder<K, V>(keys: DynSerde<K>, values: DynSerde<V>) -> EncoderSupplier
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    routed_encoder(keys, values, Route::default())
}

pub(crate) fn routed_encoder<K, V>(
    keys: DynSerde<K>,
    values: DynSerde<V>,
    route: Route<K, V>,
) -> EncoderSupplier
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Arc::new(move || {
        Box::new(RecordEncoder {
            keys: Arc::clone(&keys),
            values: Arc::clone(&values),
            key_bytes: ByteColumn::default(),
            value_bytes: ByteColumn::default(),
            route: route.clone(),
            topic: String::new(),
        })
    })
}

struct RecordDecoder<K, V> {
    keys: DynSerde<K>,
    values: DynSerde<V>,
    timestamp: Option<TimestampExtractor<V>>,
}

impl<K, V> Decoder for RecordDecoder<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn decode(
        &mut self,
        records: &PartitionRecords,
        report: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError> {
        let count = records.batches.iter().map(|batch| batch.record_count() as usize).sum();
        let (mut keys, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut offsets, mut timestamps) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut headers: Vec<Vec<Header>> = Vec::new();
        for record in records.records() {
            let record = record?;
            let own = record.headers();
            if own.remaining() > 0 {
                headers.resize(offsets.len(), Vec::new());
                headers.push(own.to_owned()?);
            }
            keys.push(record.key);
            values.push(record.value);
            offsets.push(record.offset.get());
            timestamps.push(record.timestamp.get());
        }
        if !headers.is_empty() {
            headers.resize(offsets.len(), Vec::new());
        }
        let mut failed = Vec::new();
        let mut batch = Records {
            keys: Vec::with_capacity(offsets.len()),
            values: Vec::with_capacity(offsets.len()),
            timestamps,
            headers,
        };
        self.keys.deserialize_column(&keys, &mut batch.keys, &mut failed);
        let keys_failed = failed.len();
        self.values.deserialize_column(&values, &mut batch.values, &mut failed);
        if let Some(timestamp) = &self.timestamp {
            timestamp(&batch.values, &mut batch.timestamps);
        }
        let mut skipped: Vec<(usize, String)> = failed
            .into_iter()
            .enumerate()
            .map(|(index, (row, error))| {
                (row, format!("{} {error}", if index < keys_failed { "key:" } else { "value:" }))
            })
            .collect();
        let negative = (0..offsets.len()).filter(|row| batch.timestamps[*row] < 0);
        skipped.extend(negative.map(|row| (row, format!("timestamp {} is negative", batch.timestamps[row]))));
        drop_skipped(&mut batch, &mut offsets, &mut skipped, report);
        Ok(Decoded { batch: Box::new(batch), offsets })
    }
}

/// Reports and removes rows; a row that is skipped for two reasons is reported for the first.
fn drop_skipped<K, V>(
    batch: &mut Records<K, V>,
    offsets: &mut Vec<u64>,
    skipped: &mut Vec<(usize, String)>,
    report: &mut dyn Reporter,
) {
    if skipped.is_empty() {
        return;
    }
    skipped.sort_by_key(|(row, _)| *row);
    skipped.dedup_by_key(|(row, _)| *row);
    for (row, message) in skipped.iter() {
        let (offset, timestamp) = (Some(offsets[*row]), Some(batch.timestamps[*row]));
        let (kind, subject) = (ReportKind::Undecodable, Subject::Unknown);
        report.report(RowReport { kind, rows: 1, offset, timestamp, message, subject });
    }
    let mut next = skipped.iter().map(|(row, _)| *row).peekable();
    let kept: Vec<bool> = (0..offsets.len()).map(|row| next.next_if_eq(&row).is_none()).collect();
    let mut flags = kept.iter();
    batch.retain(|_, _| flags.next().copied().unwrap_or(true));
    let mut flags = kept.iter();
    offsets.retain(|_| flags.next().copied().unwrap_or(true));
}

struct RecordEncoder<K, V> {
    keys: DynSerde<K>,
    values: DynSerde<V>,
    key_bytes: ByteColumn,
    value_bytes: ByteColumn,
    route: Route<K, V>,
    /// The name of the topic of a row, where the route chooses it.
    topic: String,
}

impl<K, V> Encoder for RecordEncoder<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn encode(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        let batch = downcast::<Records<K, V>>(batch)?;
        let mut failed: Vec<(usize, SerdeError)> = Vec::new();
        self.key_bytes.clear();
        self.value_bytes.clear();
        if self.route.topic.is_none() {
            self.keys.serialize_column_for(out.topic(), &batch.keys, &mut self.key_bytes, &mut failed);
            self.values.serialize_column_for(out.topic(), &batch.values, &mut self.value_bytes, &mut failed);
        } else {
            // Every row chooses its topic, and only later.
            self.keys.serialize_column(&batch.keys, &mut self.key_bytes, &mut failed);
            self.values.serialize_column(&batch.values, &mut self.value_bytes, &mut failed);
        }
        failed.sort_by_key(|(row, _)| *row);
        let suffix = self.keys.unpartitioned_suffix();
        let mut next = 0;
        for row in 0..batch.len() {
            if let Some((_, error)) = failed.get(next).filter(|(failed, _)| *failed == row) {
                let (message, timestamp) = (error.to_string(), Some(batch.timestamps[row]));
                let (kind, message) = (ReportKind::Unencodable, message.as_str());
                let subject = Subject::Unknown;
                report.report(RowReport { kind, rows: 1, offset: None, timestamp, message, subject });
                next += failed[next..].iter().take_while(|(failed, _)| *failed == row).count();
                continue;
            }
            let bytes = (self.key_bytes.get(row), suffix, self.value_bytes.get(row));
            self.route.append(&batch, row, bytes, &mut self.topic, out)?;
        }
        Ok(())
    }
}
