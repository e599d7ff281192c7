//! Consuming: polled batches from several partitions, positions, committed offsets.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{AutoOffsetReset, ConsumerConfig};
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::partition::Partition;
use crate::record::{RecordBatch, RecordView};
use crate::signal::{Signal, Wake};
use crate::types::{Isolation, Offset, OffsetSpec, PartitionId, TopicPartition};

/// What a poll returned from one partition.
#[derive(Clone, Debug)]
pub struct PartitionRecords {
    /// The partition.
    pub partition: TopicPartition,
    /// Batches of records, without control batches and, for read-committed consumers, without aborted ones. May be
    /// empty when only such batches were read; the position then moves to `next` all the same.
    pub batches: Vec<RecordBatch>,
    /// The position before: records with smaller offsets in the first batch were consumed before.
    pub first: Offset,
    /// The position after.
    pub next: Offset,
    /// End of what the consumer may see now: the high watermark, or the last stable offset.
    pub end: Offset,
}

impl PartitionRecords {
    /// The records from `first` on.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView<'_>>> {
        let first = self.first;
        self.batches
            .iter()
            .flat_map(RecordBatch::records)
            .filter(move |record| record.as_ref().map_or(true, |record| record.offset >= first))
    }
}

/// Ends a blocked [`Consumer::poll`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker {
    signal: Arc<Signal>,
}

impl Waker {
    /// Makes the poll that is blocked now return at once with nothing, or else the next one that would block.
    pub fn wake(&self) {
        self.signal.wake();
    }
}

/// Reads records from partitions, one thread at a time.
///
/// Its position in a partition starts at the group's committed offset, or else where `auto.offset.reset` says, and moves
/// with each poll. With a group and `enable.auto.commit`, a poll commits what earlier polls returned.
#[derive(Debug)]
pub struct Consumer {
    log: Log,
    config: ConsumerConfig,
    signal: Arc<Signal>,
    assigned: Vec<Assigned>,
    /// Which partition the next poll asks first, so that none starves.
    turn: usize,
    last_auto_commit: Duration,
}

#[derive(Debug)]
struct Assigned {
    id: TopicPartition,
    partition: Arc<Partition>,
    /// `None` if there is no committed offset and `auto.offset.reset` is `none`.
    position: Option<Offset>,
    /// The position that was committed last.
    committed: Option<Offset>,
    is_paused: bool,
}

impl Consumer {
    pub(crate) fn new(log: Log, config: ConsumerConfig) -> Self {
        let last_auto_commit = log.clock().monotonic();
        Self { log, config, signal: Arc::default(), assigned: Vec::new(), turn: 0, last_auto_commit }
    }

    /// Reads all partitions of these topics, in place of what it read before.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        let mut partitions = Vec::new();
        for name in topics {
            let topic = self.log.inner().topic(name)?;
            let ids = (0..topic.partition_count()).map(|number| TopicPartition {
                topic: topic.name.clone(),
                partition: PartitionId::new(number),
            });
            partitions.extend(ids);
        }
        self.assign(partitions)
    }

    /// Reads these partitions, in place of what it read before. Fails on unknown ones and then changes nothing.
    pub fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        let mut assigned = Vec::with_capacity(partitions.len());
        for id in partitions {
            let partition = self.log.inner().partition(&id)?;
            let committed = self.committed(&id);
            let position = match committed {
                Some(offset) => Some(offset),
                None => self.reset_position(&partition)?,
            };
            assigned.push(Assigned { id, partition, position, committed, is_paused: false });
        }
        self.unwatch();
        self.assigned = assigned;
        self.assigned.iter().for_each(|assigned| assigned.partition.watchers().add(&self.signal));
        self.turn = 0;
        Ok(())
    }

    /// The partitions it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned.iter().map(|assigned| assigned.id.clone()).collect()
    }

    /// Sets the position in a partition. Whether there is such an offset shows in the next poll.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.assigned_mut(partition)?.position = Some(offset);
        Ok(())
    }

    /// Sets the position in a partition to where `spec` is now.
    pub fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()> {
        let isolation = self.config.isolation;
        let assigned = self.assigned_mut(partition)?;
        let offset = assigned.partition.offset_at(spec)?;
        assigned.position = Some(match isolation {
            Isolation::ReadUncommitted => offset,
            Isolation::ReadCommitted => offset.min(assigned.partition.last_stable_offset()),
        });
        Ok(())
    }

    /// The next offset to be read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.iter().find(|assigned| assigned.id == *partition)?.position
    }

    /// Polls return nothing from these partitions until they are resumed.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    /// Polls return records from these partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    /// Batches from the assigned partitions, at once if there are any, else as soon as there are, or nothing when
    /// `timeout` has passed. Partitions take turns in being first.
    ///
    /// Fails with [`LogError::OffsetOutOfRange`] or [`LogError::NoCommittedOffset`] if a position is invalid and
    /// `auto.offset.reset` is `none`, and with [`LogError::Corrupt`] at damage; other partitions' records come first.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<PartitionRecords>> {
        self.auto_commit()?;
        let deadline = self.log.clock().monotonic().saturating_add(timeout);
        loop {
            self.signal.reset();
            self.log.inner().check_open()?;
            let found = self.fetch()?;
            if !found.is_empty() || self.signal.take_woken() {
                return Ok(found);
            }
            let left = deadline.saturating_sub(self.log.clock().monotonic());
            if left.is_zero() {
                return Ok(found);
            }
            match self.signal.wait(left) {
                Wake::Raised => {}
                Wake::Woken | Wake::TimedOut => return Ok(found),
            }
        }
    }

    /// Commits the positions.
    pub fn commit(&mut self) -> Result<()> {
        let moved = |assigned: &&Assigned| assigned.position != assigned.committed;
        let positions = self.assigned.iter().filter(moved);
        let offsets: Vec<_> =
            positions.filter_map(|assigned| Some((assigned.id.clone(), assigned.position?))).collect();
        self.commit_offsets(&offsets)
    }

    /// Commits these offsets.
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        let Some(group) = &self.config.group_id else {
            return Err(LogError::InvalidConfig {
                key: "group.id".to_owned(),
                value: String::new(),
                reason: "set it to commit offsets".to_owned(),
            });
        };
        let with_metadata: Vec<_> = offsets.iter().map(|(id, offset)| (id.clone(), *offset, "")).collect();
        self.log.commit_offsets(group, &with_metadata)?;
        for (id, offset) in offsets {
            if let Some(assigned) = self.assigned.iter_mut().find(|assigned| assigned.id == *id) {
                assigned.committed = Some(*offset);
            }
        }
        Ok(())
    }

    /// The group's committed offset.
    pub fn committed(&self, partition: &TopicPartition) -> Option<Offset> {
        let group = self.config.group_id.as_deref()?;
        Some(self.log.inner().groups.committed(group, partition)?.offset)
    }

    /// A handle that ends blocked polls.
    pub fn waker(&self) -> Waker {
        Waker { signal: self.signal.clone() }
    }

    /// Commits the positions if it has a group and `enable.auto.commit` is set, and ends this consumer.
    pub fn close(mut self) -> Result<()> {
        if self.commits_by_itself() { self.commit() } else { Ok(()) }
    }

    fn commits_by_itself(&self) -> bool {
        self.config.enable_auto_commit && self.config.group_id.is_some()
    }

    fn auto_commit(&mut self) -> Result<()> {
        let now = self.log.clock().monotonic();
        if self.commits_by_itself()
            && now.saturating_sub(self.last_auto_commit) >= self.config.auto_commit_interval
        {
            self.last_auto_commit = now;
            self.commit()?;
        }
        Ok(())
    }

    /// What there is now, from each partition in turn.
    fn fetch(&mut self) -> Result<Vec<PartitionRecords>> {
        let mut found: Vec<PartitionRecords> = Vec::new();
        let mut bytes_left = self.config.fetch_max_bytes;
        let count = self.assigned.len();
        let first = self.turn;
        for step in 0..count {
            let at = (first + step) % count;
            if self.assigned[at].is_paused {
                continue;
            }
            match self.fetch_from(at, bytes_left) {
                Ok(None) => {}
                Ok(Some(records)) => {
                    let bytes: usize = records.batches.iter().map(RecordBatch::len_bytes).sum();
                    self.assigned[at].position = Some(records.next);
                    self.turn = (at + 1) % count;
                    found.push(records);
                    bytes_left = bytes_left.saturating_sub(bytes);
                    if bytes_left == 0 {
                        break;
                    }
                }
                Err(error) if found.is_empty() => {
                    self.turn = (at + 1) % count;
                    return Err(error);
                }
                // It comes up again when this partition is the first to be asked.
                Err(_) => {
                    self.turn = at;
                    break;
                }
            }
        }
        Ok(found)
    }

    fn fetch_from(&mut self, at: usize, bytes_left: usize) -> Result<Option<PartitionRecords>> {
        let isolation = self.config.isolation;
        let bytes_max = self.config.max_partition_fetch_bytes.min(bytes_left);
        let assigned = &self.assigned[at];
        let Some(mut first) = assigned.position else {
            let group = self.config.group_id.clone().unwrap_or_default();
            return Err(LogError::NoCommittedOffset { partition: assigned.id.clone(), group });
        };
        let fetched = match assigned.partition.read(first, bytes_max, isolation) {
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
        let next = fetched.next_offset(first);
        let end = match isolation {
            Isolation::ReadUncommitted => fetched.high_watermark,
            Isolation::ReadCommitted => fetched.last_stable_offset,
        };
        let partition = fetched.partition.clone();
        Ok(Some(PartitionRecords { partition, batches: fetched.into_data(), first, next, end }))
    }

    /// Where `auto.offset.reset` says to start.
    fn reset_position(&self, partition: &Partition) -> Result<Option<Offset>> {
        match (self.config.auto_offset_reset, self.config.isolation) {
            (AutoOffsetReset::Earliest, _) => partition.offset_at(OffsetSpec::Earliest).map(Some),
            (AutoOffsetReset::Latest, Isolation::ReadUncommitted) => {
                partition.offset_at(OffsetSpec::Latest).map(Some)
            }
            (AutoOffsetReset::Latest, Isolation::ReadCommitted) => Ok(Some(partition.last_stable_offset())),
            (AutoOffsetReset::None, _) => Ok(None),
        }
    }

    fn assigned_mut(&mut self, partition: &TopicPartition) -> Result<&mut Assigned> {
        let unassigned = || LogError::NotAssigned { partition: partition.clone() };
        self.assigned.iter_mut().find(|assigned| assigned.id == *partition).ok_or_else(unassigned)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) {
        for assigned in self.assigned.iter_mut().filter(|assigned| partitions.contains(&assigned.id)) {
            assigned.is_paused = is_paused;
        }
    }

    fn unwatch(&self) {
        self.assigned.iter().for_each(|assigned| assigned.partition.watchers().remove(&self.signal));
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.unwatch();
    }
}
