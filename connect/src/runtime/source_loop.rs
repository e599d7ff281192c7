//! The loop of a source task: poll, convert, write records and offset in one transaction.

use std::{sync::atomic::Ordering, time::Duration};

use millstream_formats::Payloads;
use millstream_log::{Log, NewTopic, Producer, ProducerConfig, TopicHandle};
use serde_json::Value;

use crate::{
    batch::{BadRecord, Polled, SourceBatch},
    connector::SourceTask,
    converter::{Converter, Writer},
    error::ConnectError,
    runtime::{
        class::PRODUCER_PREFIX,
        handle::TaskContext,
        topics::{OFFSETS_TOPIC, ensure, ensure_compacted, offset_key, source_offset},
    },
    settings::Settings,
};

/// How long a task rests when its source has nothing.
const IDLE: Duration = Duration::from_millis(100);
/// Bytes of a batch of records: loads are large.
const BATCH_BYTES: usize = 64 * 1024;
/// Bad records that are logged one by one; the others are only counted.
pub(super) const LOGGED_MAX: u64 = 20;

/// Runs a task until it ends, fails or is asked to stop.
pub(super) fn run(
    log: &Log,
    settings: &Settings,
    mut task: Box<dyn SourceTask>,
    context: &TaskContext,
) -> Result<(), ConnectError> {
    ensure_compacted(log, OFFSETS_TOPIC)?;
    // The producer comes first: it fences a forgotten twin and settles its transaction, so that the offset
    // read below is the last one.
    let mut producer = log.producer(producer_config(settings, context)?)?;
    let offset = source_offset(log, context.connector(), &task.partition())?;
    let schema = task.start(offset.as_ref())?;
    context.counters.set_source(task.progress());
    let key = match &schema.key {
        Some(field) => Some(Converter::from_settings(settings, "key.converter")?.single_writer(field)?),
        None => None,
    };
    let value = Converter::from_settings(settings, "value.converter")?.value_writer(&schema.value)?;
    let partitions = u32::try_from(settings.count("topic.partitions")).unwrap_or(u32::MAX);
    ensure(log, NewTopic::new(&schema.topic).partitions(partitions), &schema.topic)?;
    let mut sender = Sender {
        topic: producer.topic(&schema.topic)?,
        offsets: producer.topic(OFFSETS_TOPIC)?,
        offset_key: offset_key(context.connector(), &task.partition()),
        key,
        value,
    };
    let tolerant = settings.text("errors.tolerance") == "all";
    while !context.stopping() {
        match task.poll()? {
            Polled::Batch(batch) => {
                report_bad(&batch.bad, tolerant, context)?;
                producer.begin_transaction()?;
                if let Err(error) = sender.send(&mut producer, &batch) {
                    // The error counts, whether or not the abort succeeds: a restart aborts too.
                    let _ = producer.abort_transaction();
                    return Err(error);
                }
                producer.commit_transaction()?;
                context.counters.records.fetch_add(batch.rows as u64, Ordering::Relaxed);
            }
            Polled::Idle => context.idle(IDLE),
            Polled::End => {
                context.counters.set_source(task.progress());
                return Ok(());
            }
        }
        context.counters.set_source(task.progress());
    }
    Ok(())
}

/// Where and how records are written.
struct Sender {
    topic: TopicHandle,
    offsets: TopicHandle,
    offset_key: String,
    key: Option<Writer>,
    value: Writer,
}

impl Sender {
    fn send(&mut self, producer: &mut Producer, batch: &SourceBatch) -> Result<(), ConnectError> {
        let keys = match (&mut self.key, &batch.key) {
            (Some(writer), Some(column)) => Some(writer.write(std::slice::from_ref(column), batch.rows)?),
            _ => None,
        };
        let values: &Payloads = self.value.write(&batch.columns, batch.rows)?;
        for row in 0..batch.rows {
            let timestamp = batch.timestamps.as_ref().map(|timestamps| timestamps[row]);
            let key = keys.and_then(|keys| keys.get(row));
            producer.append(self.topic, None, timestamp, key, values.get(row), &[])?;
        }
        let offset = Value::Object(batch.offset.clone()).to_string();
        producer.append(
            self.offsets,
            None,
            None,
            Some(self.offset_key.as_bytes()),
            Some(offset.as_bytes()),
            &[],
        )?;
        Ok(())
    }
}

fn producer_config(settings: &Settings, context: &TaskContext) -> Result<ProducerConfig, ConnectError> {
    let own = [("batch.size".to_owned(), BATCH_BYTES.to_string())];
    let given = settings.with_prefix(PRODUCER_PREFIX).map(|(key, value)| (key.to_owned(), value.to_owned()));
    let id = ("transactional.id".to_owned(), format!("connect-{}-{}", context.connector(), context.id));
    // The id comes last: nothing may replace it.
    Ok(ProducerConfig::from_properties(own.into_iter().chain(given).chain([id]))?)
}

/// Counts and logs bad records, or fails with the first if they are not tolerated.
pub(super) fn report_bad(
    bad: &[BadRecord],
    tolerant: bool,
    context: &TaskContext,
) -> Result<(), ConnectError> {
    for BadRecord { place, reason } in bad {
        if !tolerant {
            return Err(ConnectError::BadRecord { place: place.clone(), reason: reason.clone() });
        }
        let before = context.counters.skipped.fetch_add(1, Ordering::Relaxed);
        if before < LOGGED_MAX {
            tracing::warn!(connector = context.connector(), "skipped {place}: {reason}");
        }
        if before + 1 == LOGGED_MAX {
            tracing::warn!(connector = context.connector(), "further skipped records are only counted");
        }
    }
    Ok(())
}
