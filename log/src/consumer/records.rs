//! What a poll returns, and what ends one from outside.

use std::sync::Arc;

use crate::error::Result;
use crate::record::{RecordBatch, RecordView};
use crate::signal::Signal;
use crate::types::{Offset, Timestamp, TopicPartition};

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

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
}

/// Ends a blocked [`Consumer::poll`](super::Consumer::poll) from another thread.
#[derive(Clone, Debug)]
pub struct Waker {
    pub(super) signal: Arc<Signal>,
}

impl Waker {
    /// Makes the poll that is blocked now return at once with nothing, or else the next one that would block.
    pub fn wake(&self) {
        self.signal.wake();
    }
}
