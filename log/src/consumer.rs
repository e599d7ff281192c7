//! Consuming: polled batches from several partitions, positions, committed offsets.

use std::time::Duration;

use crate::error::{LogError, Result};
use crate::record::{RecordBatch, RecordView};
use crate::types::{Offset, OffsetSpec, TopicPartition};

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
pub struct Waker {}

impl Waker {
    /// Makes the poll that is blocked now, or else the next one, return at once.
    pub fn wake(&self) {}
}

/// Reads records from partitions, one thread at a time.
#[derive(Debug)]
pub struct Consumer {}

impl Consumer {
    /// Reads all partitions of these topics, in place of what it read before.
    pub fn subscribe(&mut self, _topics: &[&str]) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Reads these partitions, in place of what it read before.
    pub fn assign(&mut self, _partitions: Vec<TopicPartition>) -> Result<()> {
        Err(LogError::Closed)
    }

    /// The partitions it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        Vec::new()
    }

    /// Sets the position in a partition.
    pub fn seek(&mut self, _partition: &TopicPartition, _offset: Offset) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Sets the position in a partition to where `spec` is now.
    pub fn seek_to(&mut self, _partition: &TopicPartition, _spec: OffsetSpec) -> Result<()> {
        Err(LogError::Closed)
    }

    /// The next offset to be read.
    pub fn position(&self, _partition: &TopicPartition) -> Option<Offset> {
        None
    }

    /// Polls return nothing from these partitions until they are resumed.
    pub fn pause(&mut self, _partitions: &[TopicPartition]) {}

    /// Polls return records from these partitions again.
    pub fn resume(&mut self, _partitions: &[TopicPartition]) {}

    /// Batches from the assigned partitions, at once if there are any, else when there are or `timeout` has passed.
    pub fn poll(&mut self, _timeout: Duration) -> Result<Vec<PartitionRecords>> {
        Err(LogError::Closed)
    }

    /// Commits the positions.
    pub fn commit(&mut self) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Commits these offsets.
    pub fn commit_offsets(&mut self, _offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        Err(LogError::Closed)
    }

    /// The group's committed offset.
    pub fn committed(&self, _partition: &TopicPartition) -> Option<Offset> {
        None
    }

    /// A handle that ends blocked polls.
    pub fn waker(&self) -> Waker {
        Waker {}
    }

    /// Commits the positions if `enable.auto.commit` is set.
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}
