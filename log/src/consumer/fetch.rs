//! Reading from the assigned partitions, and where to start in them.

use super::{Assigned, Consumer, PartitionRecords};
use crate::config::AutoOffsetReset;
use crate::error::{LogError, Result};
use crate::fetched::Fetched;
use crate::partition::Partition;
use crate::record::RecordBatch;
use crate::types::{Isolation, Offset, OffsetSpec, Timestamp};

/// Bytes in all batches.
pub(super) fn bytes(found: &[PartitionRecords]) -> usize {
    found.iter().flat_map(|records| &records.batches).map(RecordBatch::len_bytes).sum()
}

/// Whether a fetch has only moved positions.
pub(super) fn has_only_markers(found: &[PartitionRecords]) -> bool {
    !found.is_empty() && found.iter().all(|records| records.batches.is_empty())
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(|batch| batch.record_count() as usize).sum()
}

impl Consumer {
    /// Adds to `found` what there is now, from each partition in turn.
    pub(super) fn fetch(&mut self, found: &mut Vec<PartitionRecords>) -> Result<()> {
        self.is_unstable = false;
        let mut bytes_left = self.config.fetch_max_bytes.saturating_sub(bytes(found));
        let taken: usize = found.iter().map(|records| count(&records.batches)).sum();
        let mut records_left = self.config.max_poll_records.saturating_sub(taken);
        let partitions = self.assigned.len();
        let first = self.turn;
        for step in 0..partitions {
            if !found.is_empty() && (bytes_left == 0 || records_left == 0) {
                break;
            }
            let at = (first + step) % partitions;
            if self.assigned[at].is_paused {
                continue;
            }
            match self.fetch_from(at, bytes_left, records_left) {
                Ok(None) => {}
                Ok(Some(records)) => {
                    let bytes: usize = records.batches.iter().map(RecordBatch::len_bytes).sum();
                    bytes_left = bytes_left.saturating_sub(bytes);
                    records_left = records_left.saturating_sub(count(&records.batches));
                    let assigned = &mut self.assigned[at];
                    assigned.position = Some(records.next);
                    let last_epoch = records.batches.last().map(RecordBatch::leader_epoch);
                    assigned.leader_epoch = last_epoch.or(assigned.leader_epoch).filter(|epoch| *epoch >= 0);
                    self.turn = (at + 1) % partitions;
                    match found.iter_mut().find(|earlier| earlier.partition == records.partition) {
                        Some(earlier) if earlier.next == records.first => {
                            earlier.batches.extend(records.batches);
                            (earlier.next, earlier.end) = (records.next, records.end);
                        }
                        _ => found.push(records),
                    }
                }
                Err(error) if found.is_empty() => {
                    self.turn = (at + 1) % partitions;
                    return Err(error);
                }
                // It comes up again when this partition is the first to be asked.
                Err(_) => {
                    self.turn = at;
                    break;
                }
            }
        }
        Ok(())
    }

    fn fetch_from(
        &mut self,
        at: usize,
        bytes_left: usize,
        records_left: usize,
    ) -> Result<Option<PartitionRecords>> {
        let isolation = self.config.isolation;
        let bytes_max = self.config.max_partition_fetch_bytes.min(bytes_left);
        let Some(mut first) = self.known_position(at)? else { return Ok(None) };
        let assigned = &self.assigned[at];
        let mut fetched = match assigned.partition.read(first, bytes_max, isolation) {
            Err(error @ LogError::OffsetOutOfRange { .. }) => {
                let Some(position) = self.reset_position(&assigned.partition)? else { return Err(error) };
                tracing::warn!(partition = %assigned.id, %error, %position, "position reset by auto.offset.reset");
                first = position;
                let fetched = assigned.partition.read(first, bytes_max, isolation)?;
                self.assigned[at].position = Some(first);
                fetched
            }
            fetched => fetched?,
        };
        if fetched.batches.is_empty() {
            return Ok(None);
        }
        limit_records(&mut fetched, records_left);
        let next = fetched.next_offset(first);
        let end = match isolation {
            Isolation::ReadUncommitted => fetched.high_watermark,
            Isolation::ReadCommitted => fetched.last_stable_offset,
        };
        let partition = fetched.partition.clone();
        Ok(Some(PartitionRecords { partition, batches: fetched.into_data(), first, next, end }))
    }

    /// The position, looked for if it is not known yet; `None` to try again later.
    fn known_position(&mut self, at: usize) -> Result<Option<Offset>> {
        if let Some(position) = self.assigned[at].position {
            return Ok(Some(position));
        }
        let mut assigned = self.assigned.swap_remove(at);
        let outcome = self.find_position(&mut assigned);
        let position = assigned.position;
        let id = assigned.id.clone();
        self.assigned.push(assigned);
        let last = self.assigned.len() - 1;
        self.assigned.swap(at, last);
        let is_waiting = outcome?;
        self.is_unstable |= is_waiting;
        match position {
            None if !is_waiting => {
                let group = self.config.group_id.clone().unwrap_or_default();
                Err(LogError::NoCommittedOffset { partition: id, group })
            }
            position => Ok(position),
        }
    }

    /// Sets the position to the group's offset or where `auto.offset.reset` says. `true` if it has to wait for a
    /// transaction, which may move the group's offset.
    pub(super) fn find_position(&self, assigned: &mut Assigned) -> Result<bool> {
        if let Some(group) = &self.config.group_id {
            let groups = &self.log.inner().groups;
            if self.config.isolation == Isolation::ReadCommitted && groups.is_unstable(group, &assigned.id) {
                return Ok(true);
            }
            if let Some(committed) = groups.committed(group, &assigned.id) {
                assigned.position = Some(committed.offset);
                assigned.committed = Some(committed.offset);
                assigned.leader_epoch = committed.leader_epoch;
                return Ok(false);
            }
        }
        assigned.position = self.reset_position(&assigned.partition)?;
        Ok(false)
    }

    /// Where `auto.offset.reset` says to start.
    fn reset_position(&self, partition: &Partition) -> Result<Option<Offset>> {
        let spec = match self.config.auto_offset_reset {
            AutoOffsetReset::Earliest => OffsetSpec::Earliest,
            AutoOffsetReset::Latest => OffsetSpec::Latest,
            AutoOffsetReset::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                OffsetSpec::At(Timestamp::new(self.log.clock().now().get().saturating_sub(age)))
            }
            AutoOffsetReset::None => return Ok(None),
        };
        let offset = partition.offset_at(spec)?;
        Ok(Some(match self.config.isolation {
            Isolation::ReadUncommitted => offset,
            Isolation::ReadCommitted => offset.min(partition.last_stable_offset()),
        }))
    }
}

/// Leaves out the batches beyond so many records, but never the first.
fn limit_records(fetched: &mut Fetched, records_max: usize) {
    let mut total = 0;
    let mut fits = |batch: &RecordBatch| {
        total += batch.record_count() as usize;
        total <= records_max
    };
    let kept = fetched.batches.iter().take_while(|batch| fits(batch)).count().max(1);
    fetched.batches.truncate(kept);
}
