//! Decoded rows of one input partition that wait for their turn.

use std::collections::VecDeque;

use millstream_log::{Offset, PartitionRecords, TopicPartition};

use crate::batch::{Batch, Decoded, Decoder};
use crate::error::StreamsError;
use crate::runtime::graph::{Kept, NodeReporter};

/// A batch with more than twice as many rows is halved before fewer rows are taken from it.
const PIECE: usize = 8;
const ROWS_WAIT: &str = "rows are taken only where some wait";

/// The rows of one input partition, in offset order.
pub(crate) struct PartitionQueue {
    pub(crate) partition: TopicPartition,
    /// The number of the source node.
    pub(crate) source: usize,
    decoder: Box<dyn Decoder>,
    waiting: VecDeque<Waiting>,
    rows: usize,
    /// Records that were left out and not passed yet, in offset order.
    skipped: VecDeque<(u64, Kept)>,
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
            skipped: VecDeque::new(),
            fetched: start,
            processed: start,
            committed: start,
            time: i64::MIN,
        }
    }

    /// Decodes a fetched run and puts its rows at the end. What does not decode waits for its turn too, or what is done
    /// about it could be committed apart from its offset.
    pub(crate) fn add(
        &mut self,
        records: &PartitionRecords,
        mut report: NodeReporter<'_>,
    ) -> Result<(), StreamsError> {
        let Decoded { batch, offsets } = self.decoder.decode(records, &mut report)?;
        let mut skipped: Vec<(u64, Kept)> =
            report.kept.into_iter().map(|kept| (kept.offset.unwrap_or(0), kept)).collect();
        skipped.sort_by_key(|(offset, _)| *offset);
        self.skipped.extend(skipped);
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

    /// Takes the next record that was left out, if it lies before the next row.
    pub(crate) fn pass_skipped(&mut self) -> Option<Kept> {
        let next = self.next_offset().unwrap_or(self.fetched.get());
        let (offset, kept) = self.skipped.pop_front_if(|(offset, _)| *offset < next)?;
        self.processed = self.processed.max(Offset::new(offset + 1));
        Some(kept)
    }

    /// The offset of the next row.
    pub(crate) fn next_offset(&self) -> Option<u64> {
        self.waiting.front().map(|first| first.offsets[first.taken])
    }

    /// Takes the leading rows of the first batch whose timestamps are at most `limit`, at most `rows_max`, and none
    /// behind the first one that reaches `due`; at least one row must wait. With `stops`, none behind a record that was
    /// left out.
    pub(crate) fn take(&mut self, limit: i64, due: i64, rows_max: usize, stops: bool) -> Box<dyn Batch> {
        let mut count = self.leading(limit, due).min(rows_max);
        if let Some((skipped, _)) = self.skipped.front().filter(|_| stops) {
            let first = self.waiting.front().expect(ROWS_WAIT);
            count = count.min(first.offsets[first.taken..].partition_point(|offset| offset < skipped).max(1));
        }
        self.take_rows(count)
    }

    /// Takes as many rows of the first batch; it must have them.
    pub(crate) fn take_rows(&mut self, count: usize) -> Box<dyn Batch> {
        self.cut_before(count);
        let batch = self.take_front(count);
        self.time = batch.timestamps().iter().copied().fold(self.time, i64::max);
        batch
    }

    /// The timestamps of the first batch. With `stops`, only of the rows ahead of the first record that was left out.
    pub(crate) fn front(&self, stops: bool) -> &[i64] {
        let Some(first) = self.waiting.front() else { return &[] };
        let timestamps = first.batch.timestamps();
        match self.skipped.front().filter(|_| stops) {
            Some((skipped, _)) => {
                &timestamps[..first.offsets[first.taken..].partition_point(|offset| offset < skipped)]
            }
            None => timestamps,
        }
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

    /// Halves a long batch until taking a few rows from it moves few others: so each row is moved a few times in all.
    fn cut_before(&mut self, count: usize) {
        loop {
            let first = self.waiting.front_mut().expect(ROWS_WAIT);
            let rows = first.batch.rows();
            if rows <= 2 * count.max(PIECE) {
                return;
            }
            let batch = first.batch.split_front(rows / 2);
            let offsets = first.offsets[first.taken..first.taken + rows / 2].to_vec();
            first.taken += rows / 2;
            self.waiting.push_front(Waiting { batch, offsets, taken: 0 });
        }
    }

    /// The offset to commit, if it moved since the last commit.
    pub(crate) fn moved(&self) -> Option<Offset> {
        (self.processed != self.committed).then_some(self.processed)
    }

    /// What a commit stands for now.
    pub(crate) fn processed(&self) -> Offset {
        self.processed
    }

    /// The position behind the last record that was fetched.
    pub(crate) fn fetched(&self) -> Offset {
        self.fetched
    }

    /// What was committed last.
    pub(crate) fn committed(&self) -> Offset {
        self.committed
    }

    /// The offset of [`PartitionQueue::processed`] was committed.
    pub(crate) fn settle(&mut self) {
        self.committed = self.processed;
    }
}
