//! Writing records, as a trait.

use std::fmt;
use std::slice;

use crate::error::Result;
use crate::group::{GroupMetadata, OffsetCommit};
use crate::producer::{Flushed, ProducerMetrics, Record, TopicHandle};
use crate::record::Header;
use crate::types::{PartitionId, Timestamp};

/// A record to write, borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// Partition; `None` leaves it to the key.
    pub partition: Option<PartitionId>,
    /// Event time; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [Header],
}

/// Writes records to topics, one thread at a time. See [`crate::Producer`] for what the methods promise.
///
/// Errors are of three kinds by their [`recovery`](crate::LogError::recovery): those that can be retried, those after
/// which the transaction has to be aborted, and fatal ones, after which the producer has to be closed.
pub trait Producer: Send + fmt::Debug {
    /// Looks a topic up once, so that writing to it need not.
    fn topic(&mut self, name: &str) -> Result<TopicHandle>;

    /// Number of partitions of a topic.
    fn partitions(&self, topic: TopicHandle) -> u32;

    /// Adds records to the batches of their partitions, in order. After an error `records` stands behind the one that
    /// was not taken; those before it were.
    fn append_all(&mut self, topic: TopicHandle, records: &mut slice::Iter<'_, RecordRef<'_>>) -> Result<()>;

    /// Adds one record to the batch of its partition. After an error it was not taken.
    fn append(
        &mut self,
        topic: TopicHandle,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<PartitionId>;

    /// The same for a topic by name and an owned record.
    fn send(&mut self, topic: &str, record: Record) -> Result<PartitionId>;

    /// Writes what is not yet written and waits as `acks` says. Returns where the records since the last flush went.
    fn flush(&mut self) -> Result<Vec<Flushed>>;

    /// Starts a transaction, to which all records belong until it ends.
    fn begin_transaction(&mut self) -> Result<()>;

    /// Makes a group's offsets part of the transaction, if `group` is still a member as it says.
    fn send_offsets_to_transaction(&mut self, offsets: &[OffsetCommit], group: &GroupMetadata) -> Result<()>;

    /// Makes all records and offsets of the transaction visible at once.
    fn commit_transaction(&mut self) -> Result<()>;

    /// Drops all records and offsets of the transaction.
    fn abort_transaction(&mut self) -> Result<()>;

    /// What it has done so far.
    fn metrics(&self) -> ProducerMetrics;

    /// Writes what is not yet written and ends this producer. An open transaction is aborted.
    fn close(self: Box<Self>) -> Result<()>;
}
