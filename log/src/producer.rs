//! Producing: records are collected per partition and appended a batch at a time.

use bytes::Bytes;

use crate::error::{LogError, Result};
use crate::record::Header;
use crate::types::{Offset, PartitionId, Timestamp, TopicPartition};

/// A topic that a [`Producer`] has looked up; valid for that producer only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicHandle(u32);

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
pub struct RecordMetadata {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the first of them.
    pub first_offset: Offset,
    /// Offset of the last of them.
    pub last_offset: Offset,
}

/// Writes records to topics, one thread at a time.
#[derive(Debug)]
pub struct Producer {}

impl Producer {
    /// Looks a topic up once, so that [`append`](Self::append) need not.
    pub fn topic(&mut self, _name: &str) -> Result<TopicHandle> {
        Err(LogError::Closed)
    }

    /// Number of partitions of a topic.
    pub fn partitions(&self, _topic: TopicHandle) -> u32 {
        0
    }

    /// Adds a record to the batch of its partition, which is sent when it is full.
    pub fn append(
        &mut self,
        _topic: TopicHandle,
        _partition: Option<PartitionId>,
        _timestamp: Option<Timestamp>,
        _key: Option<&[u8]>,
        _value: Option<&[u8]>,
        _headers: &[Header],
    ) -> Result<PartitionId> {
        Err(LogError::Closed)
    }

    /// The same for a topic by name and an owned record.
    pub fn send(&mut self, topic: &str, record: Record) -> Result<PartitionId> {
        let topic = self.topic(topic)?;
        self.append(
            topic,
            record.partition,
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        )
    }

    /// Sends what is not yet sent and waits as `acks` says.
    pub fn flush(&mut self) -> Result<Vec<RecordMetadata>> {
        Err(LogError::Closed)
    }

    /// Starts a transaction.
    pub fn begin_transaction(&mut self) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Makes a group's offsets part of the transaction.
    pub fn send_offsets(&mut self, _group: &str, _offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Makes all records and offsets of the transaction visible at once.
    pub fn commit_transaction(&mut self) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Drops all records and offsets of the transaction.
    pub fn abort_transaction(&mut self) -> Result<()> {
        Err(LogError::Closed)
    }
}
