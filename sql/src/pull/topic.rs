//! Rows out of a topic, from its beginning to what is its end when the reading starts, or to an earlier point; and of
//! these only what the offsets and times in WHERE leave.

use std::{collections::BTreeMap, time::Duration};

use arrow::array::RecordBatch;
use millstream_log::{
    AutoOffsetReset, ConsumerConfig, Isolation, Log, Offset, OffsetSpec, Timestamp, TopicPartition,
};
use millstream_streams::{Batch, Decoder, ReportKind};

use super::{Access, Rows, Until, stored::cast_to_bigint};
use crate::{
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{RowErrors, comparison::Comparison},
    operator::source::SourceDecoder,
    plan::SourceStep,
};

/// The topic of a stream, with the columns a pull query wants of it.
pub(crate) struct Topic {
    log: Log,
    step: SourceStep,
    until: Until,
    errors: RowErrors,
}

impl Topic {
    /// The rows of the step's topic.
    pub(crate) fn new(log: &Log, step: &SourceStep, until: Until, errors: &RowErrors) -> Self {
        Self { log: log.clone(), step: step.clone(), until, errors: errors.clone() }
    }

    /// The offsets to read of a partition: from the first to below the second.
    fn range(
        &self,
        partition: &TopicPartition,
        access: &Access,
    ) -> Result<(Offset, Offset), millstream_log::LogError> {
        let mut end = self.log.last_stable_offset(partition)?;
        match self.until {
            Until::Now => {}
            Until::Offset(offset) => end = end.min(Offset::new(offset)),
            Until::Time(time) => end = end.min(self.first_at(partition, time.saturating_add(1))?),
        }
        let mut start = self.log.offsets(partition, OffsetSpec::Earliest)?;
        for (column, comparison, bound) in bounds(access) {
            let at_least = match comparison {
                Comparison::Equal | Comparison::GreaterOrEqual => bound,
                Comparison::Greater => bound.saturating_add(1),
                _ => i64::MIN,
            };
            let below = match comparison {
                Comparison::Equal | Comparison::LessOrEqual => bound.saturating_add(1),
                Comparison::Less => bound,
                _ => i64::MAX,
            };
            match column {
                "ROWOFFSET" => {
                    start = start.max(Offset::new(u64::try_from(at_least).unwrap_or(0)));
                    end = end.min(Offset::new(u64::try_from(below).unwrap_or(0)));
                }
                // Before the first record at that time or later, all are earlier. Where time stands in a column, the
                // log does not know it.
                "ROWTIME" if self.step.time.is_none() && at_least > i64::MIN => {
                    start = start.max(self.first_at(partition, at_least)?);
                }
                _ => {}
            }
        }
        Ok((start, end.max(start)))
    }

    /// The offset of the first record at `time` or later; the end if there is none.
    fn first_at(&self, partition: &TopicPartition, time: i64) -> Result<Offset, millstream_log::LogError> {
        self.log.offsets(partition, OffsetSpec::At(Timestamp::new(time)))
    }

    /// Reads the batches that `access` may want, with their key bytes if the step keeps them, until `each` says stop.
    pub(super) fn batches(
        &self,
        access: &Access,
        each: &mut dyn FnMut(ColumnarBatch) -> Result<bool, SqlError>,
    ) -> Result<(), SqlError> {
        let name = &self.step.source.topic;
        let failed = |error| SqlError::failed(format!("read topic {name}"), error);
        let topic = self.log.describe_topic(name).map_err(failed)?;
        let config = ConsumerConfig::default()
            .isolation(Isolation::ReadCommitted)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false);
        let mut consumer = self.log.consumer(config).map_err(failed)?;
        let mut ranges: BTreeMap<TopicPartition, (Offset, Offset)> = BTreeMap::new();
        for partition in 0..topic.partitions {
            let partition = TopicPartition::new(topic.name.clone(), partition);
            let (start, end) = self.range(&partition, access).map_err(failed)?;
            if start < end {
                ranges.insert(partition, (start, end));
            }
        }
        consumer.assign(ranges.keys().cloned().collect()).map_err(failed)?;
        for (partition, (start, _)) in &ranges {
            consumer.seek(partition, *start).map_err(failed)?;
        }
        let decoder = SourceDecoder::new(&self.step, &self.errors);
        let mut decoder = decoder.map_err(|error| SqlError::failed(format!("read topic {name}"), error))?;
        let mut skipped: Vec<(ReportKind, usize, String)> = Vec::new();
        while !ranges.is_empty() {
            // All of it is there already, so nothing is waited for.
            let runs = consumer.poll(Duration::ZERO).map_err(failed)?;
            if runs.is_empty() {
                break;
            }
            for run in runs {
                let Some((_, end)) = ranges.get(&run.partition).copied() else { continue };
                let decoded = decoder
                    .decode(&run, &mut skipped)
                    .map_err(|error| SqlError::failed(format!("read topic {name}"), error))?;
                let mut batch = ColumnarBatch::from_batch(decoded.batch);
                let within = decoded.offsets.partition_point(|offset| *offset < end.get());
                if within < batch.rows() {
                    batch = batch.slice(0, within);
                }
                if batch.rows() > 0 && !each(batch)? {
                    return Ok(());
                }
            }
            let done: Vec<TopicPartition> = (ranges.iter())
                .filter(|(partition, (_, end))| consumer.position(partition).is_some_and(|at| at >= *end))
                .map(|(partition, _)| partition.clone())
                .collect();
            if !done.is_empty() {
                ranges.retain(|partition, _| !done.contains(partition));
                consumer.pause(&done);
            }
        }
        for (_, rows, message) in skipped.iter().take(1) {
            tracing::warn!(topic = name, rows, total = skipped.len(), "records were skipped: {message}");
        }
        Ok(())
    }
}

/// What `access` says of columns that the log knows.
fn bounds(access: &Access) -> impl Iterator<Item = (&str, Comparison, i64)> {
    let equal = access.equal.iter().filter_map(|(name, values)| match values.as_slice() {
        [value] => Some((name, Comparison::Equal, value)),
        _ => None,
    });
    let all = equal.chain(access.bounds.iter().map(|(name, comparison, value)| (name, *comparison, value)));
    all.filter(|(name, ..)| matches!(name.as_str(), "ROWOFFSET" | "ROWTIME")).filter_map(
        |(name, comparison, value)| Some((name.as_str(), comparison, cast_to_bigint(value).ok()?)),
    )
}

impl Rows for Topic {
    fn read(&self, access: &Access, each: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), SqlError> {
        self.batches(access, &mut |batch| Ok(each(batch.record_batch()?)))
    }

    fn path(&self, access: &Access) -> String {
        path(&self.step, self.until, access)
    }
}

/// How the rows of a topic are found, for people.
pub(crate) fn path(step: &SourceStep, until: Until, access: &Access) -> String {
    let narrows = |(name, comparison, _): &(&str, Comparison, i64)| match (*name, comparison) {
        (_, Comparison::Equal | Comparison::Greater | Comparison::GreaterOrEqual) => {
            *name == "ROWOFFSET" || step.time.is_none()
        }
        ("ROWOFFSET", Comparison::Less | Comparison::LessOrEqual) => true,
        _ => false,
    };
    let narrowed: Vec<&str> = bounds(access).filter(narrows).map(|(name, ..)| name).collect();
    let until = match until {
        Until::Now => "its end now".to_owned(),
        Until::Offset(offset) => format!("offset {offset}"),
        Until::Time(time) => format!("time {time}"),
    };
    let narrowed = match narrowed.is_empty() {
        true => String::new(),
        false => format!(", narrowed by {}", narrowed.join(", ")),
    };
    format!("SCAN of topic {}, from its beginning to {until}{narrowed}", step.source.topic)
}
