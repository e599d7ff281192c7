//! One transactional id: its producer, its transaction, and what each request makes of them. No I/O, no clock.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::request::{ProducerIdentity, TransactionResult, TransactionVersion};
use crate::error::{LogError, Result};
use crate::group::Now;
use crate::types::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// Where a transaction is. Names and numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionState {
    /// Nothing was written yet under this epoch.
    Empty = 0,
    /// Records are being written.
    Ongoing = 1,
    /// It is decided that it commits, and markers are being written.
    PrepareCommit = 2,
    /// It is decided that it aborts, and markers are being written.
    PrepareAbort = 3,
    /// It has committed.
    CompleteCommit = 4,
    /// It has aborted.
    CompleteAbort = 5,
    /// The transactional id has expired.
    Dead = 6,
}

impl TransactionState {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
    ];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state of a record, where there is no [`Dead`](Self::Dead).
    pub(super) fn from_number(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i8 == number && *state != Self::Dead)
    }

    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A transactional id: its producer and its current transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) id: Arc<str>,
    pub(crate) producer: ProducerIdentity,
    /// The producer id before this one, whose epochs are used up.
    pub(crate) previous_producer_id: Option<ProducerId>,
    /// The producer id that takes over when the transaction is complete, since this one's epochs are used up.
    pub(crate) next_producer_id: Option<ProducerId>,
    /// The epoch before this one, for requests that are sent again because their answer was lost. Not recorded.
    pub(crate) last_epoch: Option<ProducerEpoch>,
    /// Of the client that ended the last transaction; [`Classic`](TransactionVersion::Classic) if the coordinator did.
    pub(crate) version: TransactionVersion,
    pub(crate) timeout: Duration,
    pub(crate) state: TransactionState,
    pub(crate) partitions: BTreeSet<TopicPartition>,
    pub(crate) last_update: Timestamp,
    pub(crate) start: Timestamp,
    /// When it began on the clock that never jumps, which timeouts go by. Not recorded: a start ends what is open.
    pub(crate) begun: Duration,
    /// Whether a crash may have lost what its producer did since the last record that is left. Not recorded.
    pub(crate) is_stale: bool,
}

/// What happens to a transactional id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// A producer starts, or asks for a new epoch.
    Init { timeout: Duration, current: Option<ProducerIdentity> },
    /// A producer is about to write to partitions.
    Add { producer: ProducerIdentity, partitions: &'a [TopicPartition] },
    /// A producer ends its transaction.
    End { producer: ProducerIdentity, result: TransactionResult, version: TransactionVersion },
    /// The transaction is to be aborted whatever its producer is doing.
    Fence,
    /// Every partition has its marker.
    MarkersWritten,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing changes: this is the producer's identity.
    Answer(ProducerIdentity),
    /// This is to be recorded, and then holds.
    Write { next: Box<Transaction>, sync: Sync, then: Then },
}

/// Whether a record must be on stable storage before it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    Needed,
    /// What would be lost with it is redone, or nobody was told of it.
    NotNeeded,
}

/// What follows once a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The producer's identity is the answer, after markers if some are due.
    Answer,
    /// A producer starts, after markers: the same step again, without a check of who it was.
    InitAgain,
}

impl Transaction {
    /// A transactional id that is new.
    pub(crate) fn new(id: Arc<str>, producer_id: ProducerId, timeout: Duration, now: Timestamp) -> Self {
        Self {
            id,
            producer: ProducerIdentity::new(producer_id, ProducerEpoch::new(0)),
            previous_producer_id: None,
            next_producer_id: None,
            last_epoch: None,
            version: TransactionVersion::Classic,
            timeout,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            last_update: now,
            start: Timestamp::NONE,
            begun: Duration::ZERO,
            is_stale: false,
        }
    }

    /// What an input leads to. Changes nothing: the outcome holds once it is recorded. `new_id` hands out a producer
    /// id where the epochs of this one are used up.
    pub(crate) fn step(
        &self,
        now: Now,
        input: Input<'_>,
        new_id: &mut dyn FnMut() -> Result<ProducerId>,
    ) -> Result<Step> {
        if self.state == TransactionState::Dead {
            // It expired while the request was on its way.
            return Err(self.unmapped(match input {
                Input::Add { producer, .. } | Input::End { producer, .. } => producer.id,
                Input::Init { .. } | Input::Fence | Input::MarkersWritten => self.producer.id,
            }));
        }
        let step = match input {
            Input::Init { timeout, current } => self.init(timeout, current, new_id)?,
            Input::Add { producer, partitions } => self.add(now, producer, partitions)?,
            Input::End { producer, result, version } => self.end(now, producer, result, version, new_id)?,
            Input::Fence => self.fence(Then::Answer, new_id)?,
            Input::MarkersWritten => self.complete(),
        };
        Ok(match step {
            Step::Answer(producer) => Step::Answer(producer),
            Step::Write { mut next, sync, then } => {
                next.last_update = now.wall;
                Step::Write { next, sync, then }
            }
        })
    }

    /// Whether a producer's batch for this partition belongs to the open transaction.
    pub(crate) fn verify(&self, producer: ProducerIdentity, partition: &TopicPartition) -> Result<()> {
        self.check_producer(producer)?;
        if self.state == TransactionState::Ongoing && self.partitions.contains(partition) {
            return Ok(());
        }
        Err(LogError::TransactionAbortable {
            id: producer.id,
            reason: format!("{partition} is not part of an open transaction of {:?}", self.id),
        })
    }

    /// Whether the transaction was open for longer than its producer wanted.
    pub(crate) fn is_timed_out(&self, now: Now) -> bool {
        self.state == TransactionState::Ongoing && now.monotonic.saturating_sub(self.begun) > self.timeout
    }

    /// Whether this input may go on with what a crash took a part of: its producer has to be fenced first.
    pub(crate) fn is_lost_to(&self, input: Input<'_>) -> bool {
        match input {
            Input::Add { producer, .. } | Input::End { producer, .. } => {
                self.is_stale && producer == self.producer
            }
            Input::Init { .. } | Input::Fence | Input::MarkersWritten => false,
        }
    }

    /// Whether nothing was heard of this id for `expiration`.
    pub(crate) fn is_expired(&self, now: Timestamp, expiration: Duration) -> bool {
        let is_idle = matches!(
            self.state,
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort
        );
        is_idle && now.since(self.last_update) > expiration
    }

    fn init(
        &self,
        timeout: Duration,
        current: Option<ProducerIdentity>,
        new_id: &mut dyn FnMut() -> Result<ProducerId>,
    ) -> Result<Step> {
        if let Some(current) = current {
            let is_retry = self.last_epoch == Some(current.epoch)
                && (current.id == self.producer.id || self.previous_producer_id == Some(current.id));
            if is_retry && self.state == TransactionState::Empty {
                return Ok(Step::Answer(self.producer)); // its answer was lost
            }
            if current != self.producer {
                return Err(self.fenced(current));
            }
        }
        match self.state {
            TransactionState::Ongoing => return self.fence(Then::InitAgain, new_id),
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => return Err(self.concurrent()),
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort
            | TransactionState::Dead => {}
        }
        let mut next = self.clone();
        next.last_epoch = current.map(|current| current.epoch);
        if self.producer.epoch >= ProducerEpoch::LAST {
            next.previous_producer_id = Some(self.producer.id);
            next.producer = ProducerIdentity::new(new_id()?, ProducerEpoch::new(0));
        } else {
            next.producer.epoch = self.producer.epoch.next();
        }
        next.timeout = timeout;
        next.state = TransactionState::Empty;
        next.version = TransactionVersion::Classic;
        next.start = Timestamp::NONE;
        next.is_stale = false;
        // An epoch that is handed out must never be handed out again.
        Ok(Step::Write { next: Box::new(next), sync: Sync::Needed, then: Then::Answer })
    }

    fn add(&self, now: Now, producer: ProducerIdentity, partitions: &[TopicPartition]) -> Result<Step> {
        self.check_producer(producer)?;
        let mut next = self.clone();
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => return Err(self.concurrent()),
            TransactionState::Ongoing => {
                if partitions.iter().all(|partition| self.partitions.contains(partition)) {
                    return Ok(Step::Answer(self.producer));
                }
            }
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort
            | TransactionState::Dead => {
                next.state = TransactionState::Ongoing;
                next.start = now.wall;
                next.begun = now.monotonic;
                next.last_epoch = None;
            }
        }
        next.partitions.extend(partitions.iter().cloned());
        // What is not decided is aborted after a crash anyway.
        Ok(Step::Write { next: Box::new(next), sync: Sync::NotNeeded, then: Then::Answer })
    }

    fn end(
        &self,
        now: Now,
        producer: ProducerIdentity,
        result: TransactionResult,
        version: TransactionVersion,
        new_id: &mut dyn FnMut() -> Result<ProducerId>,
    ) -> Result<Step> {
        let is_retry = version == TransactionVersion::Bumped && self.was_ended_by(producer);
        if !is_retry {
            self.check_producer(producer)?;
        }
        let invalid = |reason: &str| {
            Err(LogError::InvalidTransaction {
                action: match result {
                    TransactionResult::Commit => "commit the transaction",
                    TransactionResult::Abort => "abort the transaction",
                },
                reason: format!("{:?}: {reason}", self.id),
            })
        };
        match (self.state, result) {
            (TransactionState::Ongoing, _) if is_retry => Err(self.fenced(producer)),
            (TransactionState::Ongoing, _) => self.prepare(result, version, new_id),
            (TransactionState::PrepareCommit, TransactionResult::Commit)
            | (TransactionState::PrepareAbort, TransactionResult::Abort) => Err(self.concurrent()),
            (TransactionState::PrepareCommit, TransactionResult::Abort) => {
                invalid("its commit is decided already: commit again to finish it")
            }
            (TransactionState::PrepareAbort, TransactionResult::Commit) => {
                invalid("its abort is decided already: abort again to finish it")
            }
            (TransactionState::CompleteCommit, TransactionResult::Commit)
            | (TransactionState::CompleteAbort, TransactionResult::Abort)
                if is_retry || version == TransactionVersion::Classic =>
            {
                Ok(Step::Answer(self.producer))
            }
            (TransactionState::CompleteCommit, TransactionResult::Abort) if is_retry => {
                invalid("it has committed")
            }
            (TransactionState::CompleteAbort, TransactionResult::Commit) if is_retry => {
                invalid("it has aborted: start another one")
            }
            // Nothing was written; an abort all the same ends whatever may be on its way under this epoch.
            (
                TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort,
                TransactionResult::Abort,
            ) if version == TransactionVersion::Bumped => {
                let begun = Self { start: now.wall, ..self.clone() };
                begun.prepare(result, version, new_id)
            }
            (
                TransactionState::Empty
                | TransactionState::CompleteCommit
                | TransactionState::CompleteAbort
                | TransactionState::Dead,
                _,
            ) => invalid("no transaction is open: write something first"),
        }
    }

    fn prepare(
        &self,
        result: TransactionResult,
        version: TransactionVersion,
        new_id: &mut dyn FnMut() -> Result<ProducerId>,
    ) -> Result<Step> {
        let mut next = self.clone();
        next.version = version;
        if version == TransactionVersion::Bumped {
            next.raise_epoch(new_id)?;
        }
        next.state = match result {
            TransactionResult::Commit => TransactionState::PrepareCommit,
            TransactionResult::Abort => TransactionState::PrepareAbort,
        };
        // An abort that is lost is decided again at the next start.
        let sync = if result.is_commit() { Sync::Needed } else { Sync::NotNeeded };
        Ok(Step::Write { next: Box::new(next), sync, then: Then::Answer })
    }

    /// Aborts the open transaction under the next epoch, so that its producer cannot go on.
    fn fence(&self, then: Then, new_id: &mut dyn FnMut() -> Result<ProducerId>) -> Result<Step> {
        if self.state.is_prepared() {
            return Err(self.concurrent());
        }
        let mut next = self.clone();
        next.raise_epoch(new_id)?;
        next.last_epoch = None;
        next.version = TransactionVersion::Classic;
        next.is_stale = false;
        next.state = TransactionState::PrepareAbort;
        Ok(Step::Write { next: Box::new(next), sync: Sync::NotNeeded, then })
    }

    fn complete(&self) -> Step {
        let mut next = self.clone();
        next.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            state => unreachable!("markers were written for a transaction that is {state}"),
        };
        next.partitions.clear();
        if let Some(id) = next.next_producer_id.take() {
            next.previous_producer_id = Some(self.producer.id);
            next.producer = ProducerIdentity::new(id, ProducerEpoch::new(0));
        }
        // If it were lost, markers would be written again, and under an epoch that stays they could end what follows.
        let sync = match self.version {
            TransactionVersion::Classic => Sync::Needed,
            TransactionVersion::Bumped => Sync::NotNeeded,
        };
        Step::Write { next: Box::new(next), sync, then: Then::Answer }
    }

    /// Raises the epoch for the markers; the one above the last is never a producer's.
    fn raise_epoch(&mut self, new_id: &mut dyn FnMut() -> Result<ProducerId>) -> Result<()> {
        if self.producer.epoch >= ProducerEpoch::LAST {
            self.next_producer_id = Some(new_id()?);
        }
        self.last_epoch = Some(self.producer.epoch);
        self.producer.epoch = self.producer.epoch.next();
        Ok(())
    }

    /// Whether this producer, under this epoch, ended the last transaction itself.
    fn was_ended_by(&self, producer: ProducerIdentity) -> bool {
        self.version == TransactionVersion::Bumped
            && match producer.id == self.producer.id {
                true => producer.epoch.next() == self.producer.epoch,
                false => {
                    self.previous_producer_id == Some(producer.id)
                        && producer.epoch == ProducerEpoch::LAST
                        && self.producer.epoch == ProducerEpoch::new(0)
                }
            }
    }

    pub(crate) fn check_producer(&self, producer: ProducerIdentity) -> Result<()> {
        if producer == self.producer || planted!("late_endtxn_accepted") {
            return Ok(());
        }
        // An id whose epochs are used up was this transactional id's.
        match producer.id == self.producer.id || self.previous_producer_id == Some(producer.id) {
            true => Err(self.fenced(producer)),
            false => Err(self.unmapped(producer.id)),
        }
    }

    fn fenced(&self, producer: ProducerIdentity) -> LogError {
        LogError::ProducerFenced { id: producer.id, epoch: producer.epoch, current: self.producer.epoch }
    }

    fn unmapped(&self, id: ProducerId) -> LogError {
        LogError::InvalidProducerIdMapping { transactional_id: self.id.to_string(), id }
    }

    pub(crate) fn concurrent(&self) -> LogError {
        LogError::ConcurrentTransactions { transactional_id: self.id.to_string() }
    }
}
