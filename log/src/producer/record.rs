//! What producers are given and give back.

use bytes::Bytes;

use crate::record::Header;
use crate::types::{Offset, PartitionId, Timestamp, TopicPartition};

/// A topic that a [`Producer`] has looked up; valid for that producer only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicHandle(pub(super) u32);

/// A record to send, where convenience matters more than speed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Key; `None` is null.
    pub key: Option<Bytes>,
    /// Value; `None` is null.
    pub value: Option<Bytes>,
    /// Event time; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Headers.
    pub headers: Vec<Header>,
    /// Partition; `None` leaves it to the key.
    pub partition: Option<PartitionId>,
}

/// Where the records sent to one partition since the last flush went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the first of them.
    pub first_offset: Offset,
    /// Offset of the last of them.
    pub last_offset: Offset,
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// Its time: its own, or that of the append.
    pub timestamp: Timestamp,
}
