//! Offsets of partitions: ends, by time, how far behind.

use std::collections::BTreeMap;

use super::{Consumer, OffsetAndTimestamp};
use crate::engine::Log;
use crate::error::Result;
use crate::types::{Isolation, Offset, OffsetSpec, Timestamp, TopicPartition};

impl Consumer {
    /// The log start offsets of partitions, assigned or not.
    pub fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        let find = |id: &TopicPartition| Ok((id.clone(), self.log.offsets(id, OffsetSpec::Earliest)?));
        partitions.iter().map(find).collect()
    }

    /// The ends of what it may see of partitions, assigned or not: the high watermark, or the last stable offset.
    pub fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>> {
        let find = |id: &TopicPartition| Ok((id.clone(), end_of(&self.log, id, self.config.isolation)?));
        partitions.iter().map(find).collect()
    }

    /// For each partition the first record that is not older than the time beside it; `None` if all are older.
    pub fn offsets_for_times(
        &self,
        times: &BTreeMap<TopicPartition, Timestamp>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let find = |(id, time): (&TopicPartition, &Timestamp)| {
            Ok((id.clone(), first_not_before(&self.log, id, *time, self.config.isolation)?))
        };
        times.iter().map(find).collect()
    }

    /// How many offsets lie between its position and the end of what it may see. `None` for a partition that it does not
    /// read or whose position is not known yet.
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<u64> {
        let position = self.position(partition)?;
        let end = end_of(&self.log, partition, self.config.isolation).ok()?;
        Some(end.since(position))
    }
}

/// End of what readers may see.
pub(crate) fn end_of(log: &Log, id: &TopicPartition, isolation: Isolation) -> Result<Offset> {
    match isolation {
        Isolation::ReadUncommitted => log.offsets(id, OffsetSpec::Latest),
        Isolation::ReadCommitted => log.last_stable_offset(id),
    }
}

/// The first record that readers may see and that is not older than `time`.
pub(crate) fn first_not_before(
    log: &Log,
    id: &TopicPartition,
    time: Timestamp,
    isolation: Isolation,
) -> Result<Option<OffsetAndTimestamp>> {
    let end = end_of(log, id, isolation)?;
    let from = log.offsets(id, OffsetSpec::At(time))?;
    if from >= end {
        return Ok(None);
    }
    let fetched = log.read(id, from, 0, isolation)?;
    for record in fetched.batches.iter().flat_map(|batch| batch.records()) {
        let record = record?;
        if record.offset >= from && record.timestamp >= time {
            return Ok(Some(OffsetAndTimestamp { offset: record.offset, timestamp: record.timestamp }));
        }
    }
    Ok(None)
}
