//! Rows of a stream out of its topic, from the beginning to what is its end when the reading starts.

use std::time::Duration;

use arrow::array::RecordBatch;
use millstream_log::{AutoOffsetReset, ConsumerConfig, Isolation, Log, Offset, OffsetSpec, TopicPartition};
use millstream_streams::{Batch, Decoder, ReportKind, StreamsError};

use super::{Access, Rows};
use crate::{
    columnar::ColumnarBatch, error::SqlError, expression::RowErrors, operator::source::SourceDecoder,
    plan::SourceStep,
};

/// The topic of a stream, with the columns a pull query wants of it.
pub(crate) struct Topic {
    log: Log,
    step: SourceStep,
    errors: RowErrors,
}

impl Topic {
    /// The rows of the step's stream.
    pub(crate) fn new(log: &Log, step: &SourceStep, errors: &RowErrors) -> Self {
        Self { log: log.clone(), step: step.clone(), errors: errors.clone() }
    }
}

impl Rows for Topic {
    fn read(&self, _access: &Access, each: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), SqlError> {
        let name = &self.step.source.topic;
        let failed = |error| SqlError::failed(format!("read topic {name}"), error);
        let streams_failed = |error: StreamsError| SqlError::failed(format!("read topic {name}"), error);
        let topic = self.log.describe_topic(name).map_err(failed)?;
        let config = ConsumerConfig::default()
            .isolation(Isolation::ReadCommitted)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false);
        let mut consumer = self.log.consumer(config).map_err(failed)?;
        let mut ends: Vec<(TopicPartition, Offset)> = Vec::new();
        for partition in 0..topic.partitions {
            let partition = TopicPartition::new(topic.name.clone(), partition);
            let end = self.log.last_stable_offset(&partition).map_err(failed)?;
            ends.push((partition, end));
        }
        consumer.assign(ends.iter().map(|(partition, _)| partition.clone()).collect()).map_err(failed)?;
        for (partition, _) in &ends {
            consumer.seek_to(partition, OffsetSpec::Earliest).map_err(failed)?;
        }
        let decoder = SourceDecoder::new(&self.step, &self.errors);
        let mut decoder = decoder.map_err(|error| SqlError::failed(format!("read topic {name}"), error))?;
        let mut skipped: Vec<(ReportKind, usize, String)> = Vec::new();
        let behind = |consumer: &millstream_log::Consumer| {
            ends.iter()
                .any(|(partition, end)| consumer.position(partition).is_none_or(|position| position < *end))
        };
        while behind(&consumer) {
            // All of it is there already, so nothing is waited for.
            let runs = consumer.poll(Duration::ZERO).map_err(failed)?;
            if runs.is_empty() {
                break;
            }
            for run in runs {
                let decoded = decoder.decode(&run, &mut skipped).map_err(streams_failed)?;
                let mut batch = ColumnarBatch::from_batch(decoded.batch);
                let end = ends
                    .iter()
                    .find(|(partition, _)| *partition == run.partition)
                    .map_or(0, |(_, end)| end.get());
                let within = decoded.offsets.partition_point(|offset| *offset < end);
                if within < batch.rows() {
                    batch = batch.slice(0, within);
                }
                if batch.rows() > 0 && !each(batch.record_batch()?) {
                    return Ok(());
                }
            }
        }
        for (_, rows, message) in skipped.iter().take(1) {
            tracing::warn!(topic = name, rows, total = skipped.len(), "records were skipped: {message}");
        }
        Ok(())
    }
}
