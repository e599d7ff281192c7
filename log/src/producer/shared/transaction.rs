//! Transactions of a shared producer: its handles ask, the sender does.

use std::sync::{Arc, Condvar};

use super::handle::{Shared, SharedProducer};
use super::sender::Sender;
use crate::error::{LogError, Result};
use crate::group::{GroupMetadata, OffsetCommit};
use crate::mutex::Mutex;
use crate::types::ProducerId;

/// The transaction that records belong to now.
#[derive(Debug, Default)]
pub(super) struct Current {
    pub(super) state: State,
    /// Records that are being put into batches at this moment.
    sending: usize,
}

/// Whether records can be sent.
#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Closed,
    Open,
    /// A commit or an abort is under way.
    Ending,
    /// Something of it failed, for this reason.
    Failed(String),
}

/// Keeps a transaction from being ended while a record is put into a batch.
pub(super) struct Sending<'a> {
    shared: &'a Shared,
}

/// What a handle asks of the sender.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) action: Action,
    pub(super) reply: Arc<Reply>,
}

#[derive(Debug)]
pub(super) enum Action {
    Begin,
    SendOffsets { group: GroupMetadata, offsets: Vec<OffsetCommit> },
    Commit,
    Abort,
}

/// Where the answer to a request is put.
#[derive(Debug, Default)]
pub(super) struct Reply {
    outcome: Mutex<Option<Result<()>>>,
    is_set: Condvar,
}

impl Reply {
    pub(super) fn set(&self, outcome: Result<()>) {
        *self.outcome.lock() = Some(outcome);
        self.is_set.notify_all();
    }

    fn wait(&self) -> Result<()> {
        let mut outcome = self.outcome.lock();
        loop {
            match outcome.take() {
                Some(outcome) => return outcome,
                None => outcome = Mutex::<Option<Result<()>>>::wait(&self.is_set, outcome),
            }
        }
    }
}

impl Current {
    /// Something of the transaction failed.
    pub(super) fn fail(&mut self, error: &LogError) {
        if matches!(self.state, State::Open | State::Ending) {
            self.state = State::Failed(error.to_string());
        }
    }

    fn end(&mut self) {
        if matches!(self.state, State::Open) {
            self.state = State::Ending;
        }
    }
}

impl<'a> Sending<'a> {
    /// Begins to take a record. Fails if a transactional producer has no transaction that takes some.
    pub(super) fn begin(shared: &'a Shared) -> Result<Option<Self>> {
        if shared.config.transactional_id.is_none() {
            return Ok(None);
        }
        let mut current = shared.transaction.lock();
        let reason = match &current.state {
            State::Open => {
                current.sending += 1;
                return Ok(Some(Self { shared }));
            }
            State::Closed => "no transaction is open: begin one",
            State::Ending => "the transaction is being ended: wait for that, then begin one",
            State::Failed(reason) => return Err(abortable(None, reason)),
        };
        Err(LogError::InvalidTransaction { action: "write", reason: reason.to_owned() })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut current = self.shared.transaction.lock();
        current.sending -= 1;
        if !matches!(current.state, State::Open) {
            self.shared.signal.raise();
        }
    }
}

fn abortable(id: Option<ProducerId>, reason: &str) -> LogError {
    LogError::TransactionAbortable { id: id.unwrap_or(ProducerId::new(-1)), reason: reason.to_owned() }
}

impl SharedProducer {
    /// Starts a transaction, to which all records belong that any handle sends until it ends. Fails with
    /// [`LogError::InvalidTransaction`] if one is open, or without a `transactional.id`.
    pub fn begin_transaction(&self) -> Result<()> {
        self.request(Action::Begin)
    }

    /// Makes a group's offsets part of the transaction: they count once it is committed. Fails if `group` is not a member
    /// any more as it says (KIP-447).
    pub fn send_offsets_to_transaction(&self, offsets: &[OffsetCommit], group: &GroupMetadata) -> Result<()> {
        self.request(Action::SendOffsets { group: group.clone(), offsets: offsets.to_vec() })
    }

    /// Waits until everything sent is written, then makes all records and offsets of the transaction visible at once.
    /// Fails with [`LogError::TransactionAbortable`] if a record was given up: abort then.
    pub fn commit_transaction(&self) -> Result<()> {
        self.shared().transaction.lock().end();
        self.request(Action::Commit)
    }

    /// Drops all records and offsets of the transaction. Those that are not written yet are given up.
    pub fn abort_transaction(&self) -> Result<()> {
        self.shared().transaction.lock().end();
        self.request(Action::Abort)
    }

    fn request(&self, action: Action) -> Result<()> {
        let shared = self.shared();
        let reply = Arc::new(Reply::default());
        {
            // The sender sets this before it answers what is left, so that no request stays without an answer.
            let mut requests = shared.requests.lock();
            if shared.is_closing.load(std::sync::atomic::Ordering::Acquire) {
                return Err(LogError::Closed);
            }
            requests.push_back(Request { action, reply: reply.clone() });
        }
        shared.signal.raise();
        reply.wait()
    }
}

impl Sender {
    /// Whether an action has to wait until every record of the transaction is written or given up.
    pub(super) fn must_wait(&self, action: &Action) -> bool {
        match action {
            Action::Begin | Action::SendOffsets { .. } => false,
            Action::Commit => {
                self.shared.transaction.lock().sending > 0 || !self.shared.active.lock().is_empty()
            }
            Action::Abort => self.shared.transaction.lock().sending > 0,
        }
    }

    /// Does what a handle asked for.
    pub(super) fn transact(&mut self, action: Action) -> Result<()> {
        let shared = self.shared.clone();
        match action {
            Action::Begin => {
                self.producer.begin_transaction()?;
                shared.transaction.lock().state = State::Open;
            }
            Action::SendOffsets { group, offsets } => {
                self.producer.send_offsets_to_transaction(&offsets, &group).inspect_err(|error| {
                    if !error.is_retriable() {
                        shared.transaction.lock().fail(error);
                    }
                })?;
            }
            Action::Commit => {
                if let State::Failed(reason) = &shared.transaction.lock().state {
                    return Err(abortable(self.producer.producer_id(), reason));
                }
                self.producer.commit_transaction()?;
                shared.transaction.lock().state = State::Closed;
            }
            Action::Abort => {
                let id = self.producer.producer_id();
                self.give_up_all(|| abortable(id, "it was aborted"));
                self.producer.abort_transaction()?;
                shared.transaction.lock().state = State::Closed;
            }
        }
        Ok(())
    }
}
