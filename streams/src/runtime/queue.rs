//! Decoded rows of one input partition that wait for their turn.

use std::collections::VecDeque;

use millstream_log::{Offset, PartitionRecords, TopicPartition};

use crate::batch::{Batch, Decoded, Decoder};
use crate::error::StreamsError;
use crate::report::Reporter;

/// Rows of the piece that is cut off a long batch when rows leave it one by one.
const PIECE: usize = 128;
const ROWS_WAIT: &str = "rows are taken only where some wait";

/// The rows of one input partition, in offset order.
pub(crate) struct PartitionQueue {
    pub(crate) partition: TopicPartition,
    /// The number of the source node.
    pub(crate) source: usize,
    decoder: Box<dyn Decoder>,
    waiting: VecDeque<Waiting>,
    rows: usize,
    /// The position behind the last record that was fetched.
    fetched: Offset,
    /// The position behind the last row that was taken: what a commit stands for.
    processed: Offset,
    /// What was committed last.
    committed: Offset,
    /// The highest timestamp of the rows that were taken, or `i64::MIN`.
    pub(crate) time: i64,
}

struct Waiting {
    batch: Box<dyn Batch>,
    offsets: Vec<u64>,
    /// Rows taken from the front of `offsets`; they have left `batch`.
    taken: usize,
}

impl PartitionQueue {
    pub(crate) fn new(
        partition: TopicPartition,
        source: usize,
        decoder: Box<dyn Decoder>,
        start: Offset,
    ) -> Self {
        Self {
            partition,
            source,
            decoder,
            waiting: VecDeque::new(),
            rows: 0,
            fetched: start,
            processed: start,
            committed: start,
            time: i64::MIN,
        }
    }

    /// Decodes a fetched run and puts its rows at the end.
    pub(crate) fn add(
        &mut self,
        records: &PartitionRecords,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        let Decoded { batch, offsets } = self.decoder.decode(records, report)?;
        assert_eq!(
            batch.rows(),
            offsets.len(),
            "a decoder gives an offset for each row of {}",
            self.partition
        );
        self.fetched = records.next;
        if self.rows == 0 && offsets.is_empty() {
            self.processed = self.fetched;
        } else if !offsets.is_empty() {
            self.rows += offsets.len();
            self.waiting.push_back(Waiting { batch, offsets, taken: 0 });
        }
        Ok(())
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The timestamp of the first waiting row.
    pub(crate) fn head(&self) -> Option<i64> {
        self.waiting.front().map(|first| first.batch.timestamps()[0])
    }

    /// Takes the leading rows of the first batch whose timestamps are at most `limit`, at most `rows_max`, and none
    /// behind the first one that reaches `due`; at least one row must wait.
    pub(crate) fn take(&mut self, limit: i64, due: i64, rows_max: usize) -> Box<dyn Batch> {
        let count = self.leading(limit, due).min(rows_max);
        self.cut_before(count);
        let batch = self.take_front(count);
        self.time = batch.timestamps().iter().copied().fold(self.time, i64::max);
        batch
    }

    fn take_front(&mut self, count: usize) -> Box<dyn Batch> {
        let first = self.waiting.front_mut().expect(ROWS_WAIT);
        self.rows -= count;
        first.taken += count;
        let last = first.offsets[first.taken - 1];
        if first.taken < first.offsets.len() {
            self.processed = Offset::new(last + 1);
            return first.batch.split_front(count);
        }
        let whole = self.waiting.pop_front().expect(ROWS_WAIT);
        // Records behind the last row that yielded no row are done with it.
        self.processed = if self.rows == 0 { self.fetched } else { Offset::new(last + 1) };
        whole.batch
    }

    fn leading(&self, limit: i64, due: i64) -> usize {
        let timestamps = self.waiting.front().expect(ROWS_WAIT).batch.timestamps();
        for (row, time) in timestamps.iter().enumerate() {
            if *time > limit {
                return row.max(1);
            }
            if *time >= due {
                return row + 1;
            }
        }
        timestamps.len()
    }

    /// Cuts a piece off a long batch before a few rows are taken from it: taking moves the rows that stay.
    fn cut_before(&mut self, count: usize) {
        let first = self.waiting.front_mut().expect(ROWS_WAIT);
        if count >= PIECE || first.batch.rows() <= 2 * PIECE {
            return;
        }
        let batch = first.batch.split_front(PIECE);
        let offsets = first.offsets[first.taken..first.taken + PIECE].to_vec();
        first.taken += PIECE;
        self.waiting.push_front(Waiting { batch, offsets, taken: 0 });
    }

    /// The offset to commit, if it moved since the last commit.
    pub(crate) fn moved(&self) -> Option<Offset> {
        (self.processed != self.committed).then_some(self.processed)
    }

    /// What a commit stands for now.
    pub(crate) fn processed(&self) -> Offset {
        self.processed
    }

    /// The offset of [`PartitionQueue::processed`] was committed.
    pub(crate) fn committed(&mut self) -> Offset {
        self.committed = self.processed;
        self.committed
    }
}
