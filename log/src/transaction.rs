//! The transaction coordinator: who may write under a `transactional.id`, and how its transactions end.
//!
//! ```text
//! Empty ─▶ Ongoing ─▶ PrepareCommit ─▶ (a marker in every partition) ─▶ CompleteCommit ─▶ Ongoing ...
//!                 └─▶ PrepareAbort  ─▶ (a marker in every partition) ─▶ CompleteAbort
//! ```
//! Each step is a record in `__transaction_state` before it takes effect:
//!
//! ```text
//! key    version i16 = 0 | transactional id string
//! value  version i16 = 0 | producer id i64 | epoch i16 | timeout ms i32 | status i8
//!        | partitions: count i32, each topic string, count i32, each i32 | last update i64 | start i64
//! ```
//! PrepareCommit decides. A start after a crash finishes what is decided and aborts what is not, so that a transaction
//! is there as a whole or not at all. A transactional id has one lock, held through each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut};

use crate::catalogue::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::engine::Inner;
use crate::error::{LogError, Result};
use crate::mutex::Mutex;
use crate::partition::{Origin, Visible};
use crate::partitioner::coordinator_partition;
use crate::record::{BatchBuilder, Marker, ProducerStamp, RecordBatch, RecordView};
use crate::types::{Acks, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::wire::{get_string, put_string};

/// All transactional ids.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    ids: Mutex<BTreeMap<String, Arc<Mutex<Transaction>>>>,
    /// Held while an id is made, so that two first producers of it are not two of a kind.
    making: Mutex<()>,
    next_producer_id: AtomicI64,
}

/// Where a transaction is. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
}

/// A transactional id: its producer and its current transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    id: String,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    timeout: Duration,
    status: Status,
    partitions: BTreeSet<TopicPartition>,
    last_update: Timestamp,
    start: Timestamp,
}

/// A producer's hold on its transactional id.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    transaction: Arc<Mutex<Transaction>>,
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Transaction {
    fn encode_key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        key.put_i16(0);
        put_string(&mut key, &self.id);
        key
    }

    fn encode_value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        value.put_i16(0);
        value.put_i64(self.producer_id.get());
        value.put_i16(self.epoch.get());
        value.put_i32(i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX));
        value.put_i8(self.status as i8);
        let mut topics: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for id in &self.partitions {
            topics.entry(&id.topic).or_default().push(id.partition.get());
        }
        value.put_i32(topics.len() as i32);
        for (topic, partitions) in topics {
            put_string(&mut value, topic);
            value.put_i32(partitions.len() as i32);
            partitions.into_iter().for_each(|partition| value.put_u32(partition));
        }
        value.put_i64(self.last_update.get());
        value.put_i64(self.start.get());
        value
    }

    /// `None` if it is a record of another kind, or removes the id.
    fn decode(record: &RecordView<'_>) -> Option<Self> {
        let (mut key, mut value) = (record.key?, record.value?);
        if key.try_get_i16().ok()? != 0 || value.try_get_i16().ok()? != 0 {
            return None;
        }
        let id = get_string(&mut key)?;
        let producer_id = ProducerId::new(value.try_get_i64().ok()?);
        let epoch = ProducerEpoch::new(value.try_get_i16().ok()?);
        let timeout = Duration::from_millis(u64::try_from(value.try_get_i32().ok()?).ok()?);
        let status = match value.try_get_i8().ok()? {
            0 => Status::Empty,
            1 => Status::Ongoing,
            2 => Status::PrepareCommit,
            3 => Status::PrepareAbort,
            4 => Status::CompleteCommit,
            5 => Status::CompleteAbort,
            _ => return None,
        };
        let mut partitions = BTreeSet::new();
        for _ in 0..value.try_get_i32().ok()?.max(0) {
            let topic: Arc<str> = get_string(&mut value)?.into();
            for _ in 0..value.try_get_i32().ok()? {
                partitions.insert(TopicPartition::new(topic.clone(), value.try_get_u32().ok()?));
            }
        }
        let last_update = Timestamp::new(value.try_get_i64().ok()?);
        let start = Timestamp::new(value.try_get_i64().ok()?);
        Some(Self { id, producer_id, epoch, timeout, status, partitions, last_update, start })
    }

    /// The same under the next epoch, which fences this one; under a new producer id if the epochs are used up.
    fn fence(&mut self, transactions: &Transactions) {
        if self.epoch >= ProducerEpoch::LAST {
            self.producer_id = transactions.new_producer_id();
            self.epoch = ProducerEpoch::new(0);
        } else {
            self.epoch = ProducerEpoch::new(self.epoch.get() + 1);
        }
    }
}

impl Transactions {
    fn new_producer_id(&self) -> ProducerId {
        ProducerId::new(self.next_producer_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes note of a producer id that is in use.
    pub(crate) fn note_producer_id(&self, id: ProducerId) {
        self.next_producer_id.fetch_max(id.get() + 1, Ordering::Relaxed);
    }

    /// Takes in a stored batch of the topic.
    pub(crate) fn replay(&self, batch: &RecordBatch) {
        let mut ids = self.ids.lock();
        for transaction in batch.records().filter_map(|record| Transaction::decode(&record.ok()?)) {
            self.note_producer_id(transaction.producer_id);
            ids.insert(transaction.id.clone(), Arc::new(Mutex::new(transaction)));
        }
    }

    /// Whether how a producer's transaction ends is decided, but not yet written in all of its partitions.
    pub(crate) fn is_ending(&self, id: ProducerId) -> bool {
        let is_ending = |status| matches!(status, Status::PrepareCommit | Status::PrepareAbort);
        self.all().iter().map(|entry| entry.lock()).any(|one| one.producer_id == id && is_ending(one.status))
    }

    fn all(&self) -> Vec<Arc<Mutex<Transaction>>> {
        self.ids.lock().values().cloned().collect()
    }
}

impl Inner {
    /// Makes the caller the producer of a transactional id: ends what an earlier one left open, and fences it.
    pub(crate) fn init_producer(&self, id: &str, timeout: Duration, acks: Acks) -> Result<Session> {
        if timeout.is_zero() || timeout > self.config.transaction_timeout_max {
            return Err(LogError::InvalidConfig {
                key: "transaction.timeout.ms".to_owned(),
                value: timeout.as_millis().to_string(),
                reason: format!(
                    "it takes 1 to transaction.max.timeout.ms ({})",
                    self.config.transaction_timeout_max.as_millis()
                ),
            });
        }
        let now = self.clock().now();
        let making = self.transactions.making.lock();
        let entry = self.transactions.ids.lock().get(id).cloned();
        let Some(entry) = entry else {
            let transaction = Transaction {
                id: id.to_owned(),
                producer_id: self.transactions.new_producer_id(),
                epoch: ProducerEpoch::new(0),
                timeout,
                status: Status::Empty,
                partitions: BTreeSet::new(),
                last_update: now,
                start: Timestamp::NONE,
            };
            self.write_transaction(&transaction, acks)?;
            let session = (transaction.producer_id, transaction.epoch);
            let entry = Arc::new(Mutex::new(transaction));
            self.transactions.ids.lock().insert(id.to_owned(), entry.clone());
            return Ok(Session { transaction: entry, producer_id: session.0, epoch: session.1 });
        };
        drop(making);
        let mut transaction = entry.lock();
        match transaction.status {
            Status::Ongoing => self.abort_fenced(&mut transaction)?,
            Status::PrepareCommit | Status::PrepareAbort => self.complete(&mut transaction)?,
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => {}
        }
        let mut next = transaction.clone();
        next.fence(&self.transactions);
        next.timeout = timeout;
        next.status = Status::Empty;
        self.transition(&mut transaction, next, acks)?;
        let (producer_id, epoch) = (transaction.producer_id, transaction.epoch);
        drop(transaction);
        Ok(Session { transaction: entry, producer_id, epoch })
    }

    /// Makes partitions part of the session's transaction, before anything of it is appended there.
    pub(crate) fn add_to_transaction(
        &self,
        session: &Session,
        partitions: Vec<TopicPartition>,
    ) -> Result<()> {
        let mut transaction = session.transaction.lock();
        check_session(&transaction, session)?;
        let mut next = transaction.clone();
        match transaction.status {
            Status::PrepareCommit | Status::PrepareAbort => {
                return Err(LogError::InvalidTransaction {
                    action: "write in a transaction",
                    reason: format!(
                        "{:?} is still ending its last one: commit or abort it again",
                        transaction.id
                    ),
                });
            }
            Status::Ongoing => {}
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => {
                next.status = Status::Ongoing;
                next.start = self.clock().now();
            }
        }
        next.partitions.extend(partitions);
        // Nothing depends on this record being on disk: what is not decided is aborted at the next start anyway.
        self.transition(&mut transaction, next, Acks::Written)
    }

    /// Ends the session's transaction. Does nothing if nothing was written in it.
    pub(crate) fn end_transaction(&self, session: &Session, is_commit: bool, acks: Acks) -> Result<()> {
        let mut transaction = session.transaction.lock();
        check_session(&transaction, session)?;
        match (transaction.status, is_commit) {
            (Status::Ongoing, true) => {
                if acks == Acks::Synced {
                    for id in &transaction.partitions {
                        let partition = self.partition(id)?;
                        partition.sync(partition.end())?;
                    }
                }
                let next = Transaction { status: Status::PrepareCommit, ..transaction.clone() };
                self.transition(&mut transaction, next, acks)?;
                self.complete(&mut transaction)
            }
            (Status::Ongoing, false) => {
                let next = Transaction { status: Status::PrepareAbort, ..transaction.clone() };
                self.transition(&mut transaction, next, Acks::Written)?;
                self.complete(&mut transaction)
            }
            (Status::PrepareCommit, true) | (Status::PrepareAbort, false) => self.complete(&mut transaction),
            (Status::PrepareCommit, false) => Err(LogError::InvalidTransaction {
                action: "abort the transaction",
                reason: "its commit is decided already: commit again to finish it".to_owned(),
            }),
            (Status::PrepareAbort, true) => Err(LogError::InvalidTransaction {
                action: "commit the transaction",
                reason: "its abort is decided already: abort again to finish it".to_owned(),
            }),
            (Status::Empty | Status::CompleteCommit | Status::CompleteAbort, _) => Ok(()),
        }
    }

    /// Finishes what is decided and aborts the rest, after the log was opened.
    pub(crate) fn resume_transactions(&self) -> Result<()> {
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            let outcome = match transaction.status {
                Status::Ongoing => self.abort_fenced(&mut transaction),
                Status::PrepareCommit | Status::PrepareAbort => self.complete(&mut transaction),
                Status::Empty | Status::CompleteCommit | Status::CompleteAbort => continue,
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(id = transaction.id, status = ?transaction.status, "ended a transaction")
                }
                // The rest of the log is usable; the transaction stays as it is and hides nothing but its own records.
                Err(error @ (LogError::Corrupt { .. } | LogError::DiskFull { .. })) => {
                    tracing::error!(id = transaction.id, %error, "could not end a transaction");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Aborts transactions that are open for longer than their timeout, and fences their producers.
    pub(crate) fn abort_timed_out_transactions(&self, now: Timestamp) -> Result<()> {
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            if transaction.status == Status::Ongoing && now.since(transaction.start) > transaction.timeout {
                tracing::warn!(id = transaction.id, "aborted a transaction that was open for too long");
                self.abort_fenced(&mut transaction)?;
            }
        }
        Ok(())
    }

    /// Ends a producer's transaction in one partition.
    pub(crate) fn write_marker(
        &self,
        id: &TopicPartition,
        producer: (ProducerId, ProducerEpoch),
        is_commit: bool,
    ) -> Result<()> {
        let partition = match self.partition(id) {
            Err(LogError::UnknownTopic { .. }) => return Ok(()), // deleted meanwhile
            partition => partition?,
        };
        let stamp = ProducerStamp { id: producer.0, epoch: producer.1, sequence: -1, is_transactional: true };
        let mut batch = Marker { is_commit, coordinator_epoch: 0 }.encode(stamp, self.clock().now());
        let info = partition.append(&mut batch, Origin::Marker, Visible::Now)?;
        if &*id.topic == CONSUMER_OFFSETS {
            self.groups.end_transaction(id.partition, producer.0, is_commit, info.base_offset);
        }
        Ok(())
    }

    /// Aborts an open transaction under the next epoch, so that its producer cannot go on.
    fn abort_fenced(&self, transaction: &mut Transaction) -> Result<()> {
        let mut next = Transaction { status: Status::PrepareAbort, ..transaction.clone() };
        // The markers must carry the same producer id, so used-up epochs wait for the next producer to be replaced.
        next.epoch = next.epoch.max(ProducerEpoch::new(next.epoch.get().saturating_add(1)));
        self.transition(transaction, next, Acks::Written)?;
        self.complete(transaction)
    }

    /// Writes the markers of a decided transaction. A second time does no harm.
    fn complete(&self, transaction: &mut Transaction) -> Result<()> {
        let is_commit = transaction.status == Status::PrepareCommit;
        let producer = (transaction.producer_id, transaction.epoch);
        let mut outcome = Ok(());
        for id in &transaction.partitions {
            // A partition that takes no marker must not keep the others waiting for theirs.
            outcome = outcome.and(self.write_marker(id, producer, is_commit));
        }
        outcome?;
        let mut next = transaction.clone();
        next.status = if is_commit { Status::CompleteCommit } else { Status::CompleteAbort };
        next.partitions.clear();
        self.transition(transaction, next, Acks::Written)
    }

    fn transition(&self, transaction: &mut Transaction, mut next: Transaction, acks: Acks) -> Result<()> {
        next.last_update = self.clock().now();
        self.write_transaction(&next, acks)?;
        *transaction = next;
        Ok(())
    }

    fn write_transaction(&self, transaction: &Transaction, acks: Acks) -> Result<()> {
        let count = self.config.transaction_topic_partitions;
        let topic = self.internal_topic(TRANSACTION_STATE, count)?;
        let id = coordinator_partition(&transaction.id, topic.partition_count());
        let partition = self.partition_of(&topic, id)?;
        let mut builder = BatchBuilder::with_capacity(0);
        let (key, value) = (transaction.encode_key(), transaction.encode_value());
        builder.append(transaction.last_update, Some(&key), Some(&value), &[]);
        partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
        match acks {
            Acks::Synced => partition.sync(partition.end()),
            Acks::None | Acks::Written => Ok(()),
        }
    }
}

fn check_session(transaction: &Transaction, session: &Session) -> Result<()> {
    if (transaction.producer_id, transaction.epoch) == (session.producer_id, session.epoch) {
        return Ok(());
    }
    Err(LogError::ProducerFenced {
        id: session.producer_id,
        epoch: session.epoch,
        current: transaction.epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_encoding() {
        let transaction = Transaction {
            id: "app-0".to_owned(),
            producer_id: ProducerId::new(7),
            epoch: ProducerEpoch::new(2),
            timeout: Duration::from_secs(60),
            status: Status::PrepareCommit,
            partitions: BTreeSet::from([TopicPartition::new("a", 0), TopicPartition::new("a", 3)]),
            last_update: Timestamp::new(11),
            start: Timestamp::new(10),
        };
        let mut builder = BatchBuilder::new();
        let (key, value) = (transaction.encode_key(), transaction.encode_value());
        builder.append(Timestamp::new(0), Some(&key), Some(&value), &[]);
        let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
        let record = batch.records().next().unwrap().unwrap();
        assert_eq!(Transaction::decode(&record), Some(transaction));
        assert_eq!(key[..4], [0, 0, 0, 5]);
        assert_eq!(value[..17], [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0xea, 0x60, 2]);
    }
}
