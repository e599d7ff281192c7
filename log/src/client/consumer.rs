//! Reading records, as a trait.

use std::fmt;
use std::time::Duration;

use crate::consumer::{PartitionRecords, Waker};
use crate::error::Result;
use crate::types::{Offset, OffsetSpec, TopicPartition};

/// Reads records from partitions, one thread at a time. See [`crate::Consumer`] for what the methods promise.
pub trait Consumer: Send + fmt::Debug {
    /// Reads these topics, in place of what it read before: as a member of its group, or all partitions without one.
    fn subscribe(&mut self, topics: &[&str]) -> Result<()>;

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

    /// Batches from the assigned partitions, at once if there are any, else as soon as there are, or nothing when
    /// `timeout` has passed.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<PartitionRecords>>;

    /// Commits the positions.
    fn commit(&mut self) -> Result<()>;

    /// Commits these offsets.
    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()>;

    /// The group's committed offset.
    fn committed(&self, partition: &TopicPartition) -> Option<Offset>;

    /// A handle that ends blocked polls.
    fn waker(&self) -> Waker;

    /// Commits the positions if it does so by itself, and ends this consumer.
    fn close(self: Box<Self>) -> Result<()>;
}
