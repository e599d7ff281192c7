//! What was asked of the log and what it answered, in the disk operations between.

use std::collections::BTreeMap;

use crate::types::{Acks, Offset, Timestamp};

/// How far a call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It succeeded.
    Done,
    /// It failed and has changed nothing.
    Refused,
    /// It failed, or was never answered; it may have happened.
    Unknown,
}

/// When a call was made and answered, in operations of the disk since the last start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    started: u64,
    finished: u64,
    outcome: Outcome,
    /// Whether it was before the last start.
    is_settled: bool,
}

/// What is known of a call when the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Never,
    Maybe,
    Done,
}

impl Span {
    /// A call that is not answered yet.
    pub(super) fn start(started: u64) -> Self {
        Self { started, finished: u64::MAX, outcome: Outcome::Unknown, is_settled: false }
    }

    pub(super) fn finish(&mut self, finished: u64, outcome: Outcome) {
        (self.finished, self.outcome) = (finished, outcome);
    }

    /// Known from now on, whatever happens.
    pub(super) fn settle(&mut self, is_done: bool) {
        let outcome = if is_done { Outcome::Done } else { Outcome::Refused };
        *self = Self { started: 0, finished: 0, outcome, is_settled: true };
    }

    /// What is known right after the operation `point`.
    pub(super) fn at(&self, point: u64) -> Known {
        match self.outcome {
            _ if !self.is_settled && self.started >= point => Known::Never,
            Outcome::Done if self.finished <= point => Known::Done,
            Outcome::Refused if self.finished <= point => Known::Never,
            Outcome::Done | Outcome::Refused | Outcome::Unknown => Known::Maybe,
        }
    }
}

/// A topic from its creation to its deletion.
#[derive(Clone, Debug)]
pub(super) struct TopicRun {
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) is_compacted: bool,
    pub(super) created: Span,
    pub(super) deleted: Option<Span>,
}

/// A record that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) key: u8,
    /// `None` is a tombstone.
    pub(super) bytes: Option<u16>,
    pub(super) timestamp: Timestamp,
}

/// Records that were sent to a partition in one call, with serial numbers counting on from `serial`.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Index of the topic's run.
    pub(super) topic: usize,
    pub(super) partition: u32,
    pub(super) serial: u64,
    pub(super) records: Vec<Sent>,
    /// Whether they were handed over as one record batch. A producer divides what it is sent by `batch.size`, and may
    /// have put a part of it into the log when it ends.
    pub(super) is_one: bool,
    pub(super) acks: Acks,
    /// Where it was put, if that was said.
    pub(super) base: Option<Offset>,
    pub(super) transaction: Option<usize>,
    pub(super) span: Span,
}

/// How a transaction was ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) is_commit: bool,
    pub(super) span: Span,
}

/// A transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct TransactionRun {
    pub(super) ends: Vec<End>,
}

/// A group's offset that was committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct OffsetCommit {
    pub(super) group: &'static str,
    pub(super) topic: usize,
    pub(super) partition: u32,
    pub(super) offset: Offset,
    pub(super) span: Span,
    /// The transaction that it counts with.
    pub(super) transaction: Option<usize>,
}

/// A setting that was given to a topic.
#[derive(Clone, Debug)]
pub(super) struct ConfigRun {
    /// Index of the topic's run.
    pub(super) topic: usize,
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) span: Span,
}

/// That records were allowed to go: everything below `to` in a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartMove {
    pub(super) topic: usize,
    pub(super) partition: u32,
    pub(super) to: Offset,
    pub(super) span: Span,
    /// Whether it was asked for, and so has to last.
    pub(super) is_promised: bool,
}

/// Everything that was asked of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) topics: Vec<TopicRun>,
    pub(super) batches: Vec<Batch>,
    pub(super) transactions: Vec<TransactionRun>,
    pub(super) offset_commits: Vec<OffsetCommit>,
    pub(super) start_moves: Vec<StartMove>,
    pub(super) configs: Vec<ConfigRun>,
    next_serial: u64,
    /// Index of the batch by its first serial number.
    by_serial: BTreeMap<u64, usize>,
}

/// What is known of how a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Committed,
    Aborted,
    Either,
}

impl History {
    pub(super) fn add_batch(&mut self, mut batch: Batch) -> usize {
        batch.serial = self.next_serial;
        self.next_serial += batch.records.len() as u64;
        self.by_serial.insert(batch.serial, self.batches.len());
        self.batches.push(batch);
        self.batches.len() - 1
    }

    /// A hash of all that is known right after the operation `point`.
    pub(super) fn known_at(&self, point: u64) -> u64 {
        let spans = self.topics.iter().flat_map(|topic| [Some(topic.created), topic.deleted]).flatten();
        let spans = spans.chain(self.batches.iter().map(|batch| batch.span));
        let spans = spans.chain(self.transactions.iter().flat_map(|one| one.ends.iter().map(|end| end.span)));
        let spans = spans.chain(self.offset_commits.iter().map(|commit| commit.span));
        let spans = spans.chain(self.start_moves.iter().map(|moved| moved.span));
        let spans = spans.chain(self.configs.iter().map(|change| change.span));
        spans.fold(0, |hash: u64, span| {
            (hash.rotate_left(5) ^ span.at(point) as u64).wrapping_mul(0x517c_c1b7_2722_0a95)
        })
    }

    /// The batch and the place in it of a record.
    pub(super) fn find(&self, serial: u64) -> Option<(usize, usize)> {
        let (first, batch) = self.by_serial.range(..=serial).next_back()?;
        let at = (serial - first) as usize;
        (at < self.batches[*batch].records.len()).then_some((*batch, at))
    }

    /// How a transaction ended, as far as it was said up to `point`.
    pub(super) fn ending(&self, transaction: usize, point: u64) -> Ending {
        let mut ending = Ending::Aborted; // what was not ended is aborted by the next start
        for end in &self.transactions[transaction].ends {
            match (end.span.at(point), end.is_commit) {
                (Known::Never, _) => {}
                (Known::Done, true) => return Ending::Committed,
                (Known::Done, false) => return Ending::Aborted,
                (Known::Maybe, true) => ending = Ending::Either,
                (Known::Maybe, false) => {}
            }
        }
        ending
    }
}

/// The value of the record with this serial number.
pub(super) fn value(serial: u64, bytes: u16) -> Vec<u8> {
    serial.to_be_bytes().into_iter().cycle().take(usize::from(bytes)).collect()
}

/// The key of a record.
pub(super) fn key(number: u8) -> [u8; 4] {
    [b'k', b'0' + number / 100, b'0' + number / 10 % 10, b'0' + number % 10]
}
