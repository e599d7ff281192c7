//! The loop of a sink task: poll, convert, put; flush and commit when there is a rest or the interval has
//! passed.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use arrow::{
    array::{ArrayRef, BooleanArray, BooleanBufferBuilder, StringArray},
    buffer::BooleanBuffer,
    compute::filter,
};
use bytes::Bytes;
use millstream_formats::RowError;
use millstream_log::{
    AutoOffsetReset, Consumer, ConsumerConfig, Header, Isolation, Log, NewTopic, Offset, OffsetSpec,
    PartitionRecords, Producer, ProducerConfig, Record, RecordView, Timestamp, TopicPartition,
};

use crate::{
    batch::{BadRecord, SinkBatch},
    connector::{SinkOffsets, SinkTask},
    converter::{Converter, Reader},
    error::ConnectError,
    runtime::{class::CONSUMER_PREFIX, handle::TaskContext, source_loop::report_bad, topics::ensure},
    settings::Settings,
};

/// Longest wait for records; a stop ends it early.
const POLL: Duration = Duration::from_millis(500);

/// How long a sink runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until it is stopped.
    Stopped,
    /// Until it has written everything there is.
    CaughtUp,
}

/// Runs a task on `partitions` until it fails or is asked to stop.
pub(super) fn run(
    log: &Log,
    settings: &Settings,
    task: Box<dyn SinkTask>,
    partitions: Vec<TopicPartition>,
    flush_interval: Duration,
    until: Until,
    context: &TaskContext,
) -> Result<(), ConnectError> {
    let mut consumer = log.consumer(consumer_config(settings, context)?)?;
    context.set_waker(consumer.waker());
    let converter = Converter::from_settings(settings, "value.converter")?;
    let dead_letters = DeadLetters::open(log, settings)?;
    let mut sink = Sink {
        task,
        converter,
        reader: None,
        tolerant: settings.text("errors.tolerance") == "all",
        dead_letters,
        unflushed: BTreeMap::new(),
    };
    consumer.assign(partitions.clone())?;
    for (partition, offset) in sink.task.open(&partitions)? {
        consumer.seek(&partition, offset)?;
    }
    let mut flushed_at = log.clock().monotonic();
    while !context.stopping() {
        let polled = consumer.poll(if until == Until::Stopped { POLL } else { Duration::ZERO })?;
        let idle = polled.iter().all(|records| records.batches.is_empty());
        for records in &polled {
            sink.put(records, context)?;
        }
        let now = log.clock().monotonic();
        if idle || now.saturating_sub(flushed_at) >= flush_interval {
            sink.flush(&mut consumer)?;
            flushed_at = now;
            let lag = lag(log, &consumer, &partitions)?;
            context.counters.set_lag(lag);
            if until == Until::CaughtUp && lag == 0 {
                return Ok(());
            }
        }
    }
    sink.flush(&mut consumer)
}

struct Sink {
    task: Box<dyn SinkTask>,
    converter: Converter,
    /// Made when the task has told the shape.
    reader: Option<Reader>,
    tolerant: bool,
    dead_letters: Option<DeadLetters>,
    /// Where reading goes on in partitions whose records were put since the last flush.
    unflushed: BTreeMap<(Arc<str>, u32), (TopicPartition, Offset)>,
}

impl Sink {
    fn put(&mut self, polled: &PartitionRecords, context: &TaskContext) -> Result<(), ConnectError> {
        let partition = &polled.partition;
        let records: Vec<RecordView<'_>> = polled.records().collect::<Result<_, _>>()?;
        let values: Vec<Option<&[u8]>> = records.iter().map(|record| record.value).collect();
        if self.reader.is_none() && !records.is_empty() {
            let first = values.iter().flatten().next().copied();
            let shape = self.task.shape(first, &self.converter)?;
            self.reader = shape.map(|shape| self.converter.value_reader(&shape)).transpose()?;
        }
        if let Some(reader) = &mut self.reader
            && !records.is_empty()
        {
            let decoded = reader.read(&values)?;
            let bad = |error: &RowError| BadRecord {
                place: format!("{partition} at offset {}", records[error.row].offset),
                reason: error.message.clone(),
            };
            let bad: Vec<BadRecord> = decoded.errors.iter().map(bad).collect();
            report_bad(&bad, self.tolerant, context)?;
            if let Some(queue) = &mut self.dead_letters {
                for error in &decoded.errors {
                    queue.send(partition, &records[error.row], error, context)?;
                }
            }
            let batch =
                batch(partition, &records, decoded.columns, decoded.null_rows, &decoded.errors, polled.next);
            self.task.put(&batch)?;
            context.counters.records.fetch_add(batch.rows as u64, Ordering::Relaxed);
        }
        let key = (Arc::clone(&partition.topic), partition.partition.get());
        self.unflushed.insert(key, (partition.clone(), polled.next));
        Ok(())
    }

    /// First what was refused, then the target, then the group's offsets: a crash in between repeats, never
    /// loses.
    fn flush(&mut self, consumer: &mut Consumer) -> Result<(), ConnectError> {
        if self.unflushed.is_empty() {
            return Ok(());
        }
        let offsets: SinkOffsets = std::mem::take(&mut self.unflushed).into_values().collect();
        if let Some(queue) = &mut self.dead_letters {
            queue.producer.flush()?;
        }
        self.task.flush(&offsets)?;
        consumer.commit_offsets(&offsets)?;
        Ok(())
    }
}

fn batch(
    partition: &TopicPartition,
    records: &[RecordView<'_>],
    mut columns: Vec<ArrayRef>,
    mut null_values: Option<BooleanBuffer>,
    errors: &[RowError],
    next: Offset,
) -> SinkBatch {
    let key =
        |record: &RecordView<'_>| record.key.and_then(|key| std::str::from_utf8(key).ok().map(str::to_owned));
    let mut keys: ArrayRef = Arc::new(records.iter().map(key).collect::<StringArray>());
    let mut timestamps: Vec<Timestamp> = records.iter().map(|record| record.timestamp).collect();
    if !errors.is_empty() {
        let mut good = BooleanBufferBuilder::new(records.len());
        good.append_n(records.len(), true);
        errors.iter().for_each(|error| good.set_bit(error.row, false));
        let good = BooleanArray::new(good.finish(), None);
        let keep = |column: &ArrayRef| filter(column, &good).expect("the mask has a bit for each row");
        columns.iter_mut().for_each(|column| *column = keep(column));
        keys = keep(&keys);
        null_values = null_values.map(|nulls| {
            let kept = nulls.iter().zip(good.values()).filter_map(|(null, good)| good.then_some(null));
            BooleanBuffer::from_iter(kept)
        });
        let mut kept = good.values().iter();
        timestamps.retain(|_| kept.next().unwrap_or_default());
    }
    SinkBatch {
        partition: partition.clone(),
        rows: timestamps.len(),
        columns,
        null_values,
        keys,
        timestamps: timestamps.into(),
        next,
    }
}

/// Records between the positions and the ends of the partitions.
fn lag(log: &Log, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<u64, ConnectError> {
    let mut lag = 0;
    for partition in partitions {
        let end = log.offsets(partition, OffsetSpec::Latest)?;
        let start = match consumer.position(partition) {
            Some(position) => position,
            None => log.offsets(partition, OffsetSpec::Earliest)?,
        };
        lag += end.since(start);
    }
    Ok(lag)
}

fn consumer_config(settings: &Settings, context: &TaskContext) -> Result<ConsumerConfig, ConnectError> {
    let base = ConsumerConfig::from_properties(settings.with_prefix(CONSUMER_PREFIX))?;
    let group = base.group_id.clone().unwrap_or_else(|| format!("connect-{}", context.connector()));
    let given = |key: &str| settings.get(&format!("{CONSUMER_PREFIX}{key}")).is_some();
    let mut config = base.group_id(group).enable_auto_commit(false);
    if !given("auto.offset.reset") {
        config = config.auto_offset_reset(AutoOffsetReset::Earliest);
    }
    if !given("isolation.level") {
        config = config.isolation(Isolation::ReadCommitted);
    }
    Ok(config)
}

/// The topic for records that cannot be read. They are written before the offsets behind them are committed,
/// so a crash may repeat them.
struct DeadLetters {
    producer: Producer,
    topic: String,
    context_headers: bool,
}

impl DeadLetters {
    fn open(log: &Log, settings: &Settings) -> Result<Option<Self>, ConnectError> {
        let Some(topic) = settings.get("errors.deadletterqueue.topic.name") else { return Ok(None) };
        ensure(log, NewTopic::new(topic).partitions(1), topic)?;
        Ok(Some(Self {
            producer: log.producer(ProducerConfig::default())?,
            topic: topic.to_owned(),
            context_headers: settings.truth("errors.deadletterqueue.context.headers.enable"),
        }))
    }

    fn send(
        &mut self,
        partition: &TopicPartition,
        record: &RecordView<'_>,
        error: &RowError,
        context: &TaskContext,
    ) -> Result<(), ConnectError> {
        let mut headers = record.headers().to_owned()?;
        if self.context_headers {
            let texts = [
                ("topic", partition.topic.to_string()),
                ("partition", partition.partition.to_string()),
                ("offset", record.offset.to_string()),
                ("connector.name", context.connector().to_owned()),
                ("task.id", context.id.to_string()),
                ("stage", "VALUE_CONVERTER".to_owned()),
                ("exception.message", error.message.clone()),
            ];
            headers.extend(texts.map(|(name, text)| Header {
                key: format!("__connect.errors.{name}"),
                value: Some(Bytes::from(text)),
            }));
        }
        let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let (key, value) = (copy(record.key), copy(record.value));
        let record = Record { key, value, timestamp: Some(record.timestamp), headers, partition: None };
        self.producer.send(&self.topic, record)?;
        Ok(())
    }
}
