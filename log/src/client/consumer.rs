//! Reading records, as a trait.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::consumer::{CommitCallback, OffsetAndTimestamp, PartitionRecords, RebalanceListener, Waker};
use crate::error::Result;
use crate::group::{Committed, GroupMetadata, OffsetCommit};
use crate::types::{Offset, OffsetSpec, Timestamp, TopicPartition};

/// Reads records from partitions, one thread at a time. See [`crate::Consumer`] for what the methods promise.
pub trait Consumer: Send + fmt::Debug {
    /// Reads these topics, in place of what it read before: as a member of its group, or all partitions without one.
    fn subscribe(&mut self, topics: &[&str]) -> Result<()>;

    /// The same for all topics whose whole name matches a regular expression, now or later.
    fn subscribe_pattern(&mut self, pattern: &str) -> Result<()>;

    /// The topics that it is subscribed to and that exist.
    fn subscription(&self) -> Vec<String>;

    /// Reads nothing any more, and leaves its group.
    fn unsubscribe(&mut self) -> Result<()>;

    /// Sets who is told when partitions come and go.
    fn set_rebalance_listener(&mut self, listener: Box<dyn RebalanceListener>);

    /// Makes the group divide its partitions anew with the next poll.
    fn enforce_rebalance(&mut self);

    /// Reads these partitions, in place of what it read before.
    fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<()>;

    /// The partitions it reads.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Sets the position in a partition.
    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()>;

    /// Sets the position in a partition to where `spec` is now.
    fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()>;

    /// The next offset to be read.
    fn position(&self, partition: &TopicPartition) -> Option<Offset>;

    /// Polls return nothing from these partitions until they are resumed.
    fn pause(&mut self, partitions: &[TopicPartition]);

    /// Polls return records from these partitions again.
    fn resume(&mut self, partitions: &[TopicPartition]);

    /// The paused partitions.
    fn paused(&self) -> Vec<TopicPartition>;

    /// Batches from the assigned partitions, at once if there are any, else as soon as there are, or nothing when
    /// `timeout` has passed.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<PartitionRecords>>;

    /// Commits the positions.
    fn commit(&mut self) -> Result<()>;

    /// Commits these offsets.
    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()>;

    /// Commits these offsets with the texts and leader epochs kept beside them.
    fn commit_with_metadata(&mut self, offsets: Vec<OffsetCommit>) -> Result<()>;

    /// Commits the positions without waiting for the disk; `callback` is told at the latest in the next poll.
    fn commit_async(&mut self, callback: Option<CommitCallback>) -> Result<()>;

    /// The same for these offsets.
    fn commit_offsets_async(
        &mut self,
        offsets: Vec<OffsetCommit>,
        callback: Option<CommitCallback>,
    ) -> Result<()>;

    /// What the group has committed in a partition. A log elsewhere may be out of reach; nothing committed is `None`.
    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>>;

    /// Who this consumer is in its group, for
    /// [`Producer::send_offsets_to_transaction`](super::Producer::send_offsets_to_transaction). `None` without a group.
    fn group_metadata(&self) -> Option<GroupMetadata>;

    /// The first offset of each partition.
    fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>>;

    /// The end of each partition, as far as this consumer may see it.
    fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>>;

    /// The first record of each partition whose time is this or later.
    fn offsets_for_times(
        &self,
        times: &BTreeMap<TopicPartition, Timestamp>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>>;

    /// How many offsets it is behind the end of a partition that it reads.
    fn current_lag(&self, partition: &TopicPartition) -> Option<u64>;

    /// A handle that ends blocked polls.
    fn waker(&self) -> Waker;

    /// Commits the positions if it does so by itself, and ends this consumer.
    fn close(self: Box<Self>) -> Result<()>;
}
