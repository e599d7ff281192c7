//! Showing transactions, and ending those that nobody else ends.

use std::time::Duration;

use super::coordinator::Entry;
use super::request::{ProducerIdentity, TransactionMarker};
use super::state::{Input, Transaction, TransactionState};
use crate::engine::Inner;
use crate::error::{LogError, Result};
use crate::partition::{Origin, Partition};
use crate::producer_state::ProducerState;
use crate::record::Marker;
use crate::types::{Acks, Offset, ProducerId, Timestamp, TopicPartition};

/// Which transactions to list. The default is all.
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    /// Only in one of these states; empty for any.
    pub states: Vec<TransactionState>,
    /// Only of these producers; empty for any.
    pub producer_ids: Vec<ProducerId>,
    /// Only those that are open for longer.
    pub open_longer_than: Option<Duration>,
    /// Only transactional ids that this regular expression matches as a whole.
    pub id_pattern: Option<String>,
}

/// One line of a list of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer.
    pub producer_id: ProducerId,
    /// Where its transaction is.
    pub state: TransactionState,
}

/// All that the coordinator knows of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer.
    pub producer: ProducerIdentity,
    /// Where its transaction is.
    pub state: TransactionState,
    /// `transaction.timeout.ms` of the producer.
    pub timeout: Duration,
    /// When the transaction began; `None` if none did.
    pub start: Option<Timestamp>,
    /// When something last changed.
    pub last_update: Timestamp,
    /// The partitions of the open transaction, the groups' offsets included.
    pub partitions: Vec<TopicPartition>,
    /// The partition of `__transaction_state` that keeps it.
    pub coordinator: TopicPartition,
}

/// What a partition knows of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// The producer.
    pub producer: ProducerIdentity,
    /// The last sequence number it wrote in this epoch.
    pub last_sequence: Option<u32>,
    /// Time of its last batch or marker.
    pub last_timestamp: Timestamp,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction starts.
    pub transaction_start: Option<Offset>,
}

/// A transaction that is open in a partition although the coordinator knows nothing of it. It holds back readers of
/// committed data and compaction until somebody aborts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangingTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// What the partition knows of it.
    pub description: ProducerDescription,
    /// The transactional id that the producer belongs to, if that is known.
    pub transactional_id: Option<String>,
}

/// Which open transaction of a partition to abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortSpec {
    /// The one that starts at this offset.
    StartOffset(Offset),
    /// That of this producer.
    Producer {
        /// The producer.
        producer: ProducerIdentity,
        /// The coordinator's epoch, 0 in a log of one node.
        coordinator_epoch: i32,
    },
}

impl Inner {
    pub(crate) fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>> {
        let pattern = filter.id_pattern.as_ref().map(|pattern| {
            regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                LogError::InvalidRegularExpression { pattern: pattern.clone(), reason: error.to_string() }
            })
        });
        let pattern = pattern.transpose()?;
        let now = self.clock().now();
        let is_listed = |transaction: &Transaction| {
            let is_open = matches!(
                transaction.state,
                TransactionState::Ongoing | TransactionState::PrepareCommit | TransactionState::PrepareAbort
            );
            (filter.states.is_empty() || filter.states.contains(&transaction.state))
                && (filter.producer_ids.is_empty() || filter.producer_ids.contains(&transaction.producer.id))
                && filter.open_longer_than.is_none_or(|age| is_open && now.since(transaction.start) > age)
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&transaction.id))
        };
        let entries = self.transactions.all();
        let transactions = entries.iter().map(|entry| entry.lock());
        Ok(transactions
            .filter(|transaction| is_listed(transaction))
            .map(|transaction| TransactionListing {
                transactional_id: transaction.id.to_string(),
                producer_id: transaction.producer.id,
                state: transaction.state,
            })
            .collect())
    }

    pub(crate) fn describe_transaction(&self, id: &str) -> Result<TransactionDescription> {
        let entry = self.transactions.get(id)?;
        let transaction = entry.lock();
        Ok(TransactionDescription {
            transactional_id: transaction.id.to_string(),
            producer: transaction.producer,
            state: transaction.state,
            timeout: transaction.timeout,
            start: Some(transaction.start).filter(|start| *start != Timestamp::NONE),
            last_update: transaction.last_update,
            partitions: transaction.partitions.iter().cloned().collect(),
            coordinator: self.coordinator_of(&transaction.id)?,
        })
    }

    pub(crate) fn find_hanging_transactions(
        &self,
        topic: Option<&str>,
        older_than: Duration,
    ) -> Result<Vec<HangingTransaction>> {
        let now = self.clock().now();
        if let Some(name) = topic {
            self.topic(name)?;
        }
        let mut found = Vec::new();
        for partition in self.open_partitions() {
            let id = partition.id();
            if topic.is_some_and(|name| *id.topic != *name) {
                continue;
            }
            for description in partition.describe_producers() {
                let is_open = description.transaction_start.is_some();
                if !is_open || now.since(description.last_timestamp) <= older_than {
                    continue;
                }
                let entry = self.transactions.of_producer(description.producer.id);
                if entry.as_ref().is_some_and(|entry| is_known_to(entry, id, description.producer)) {
                    continue;
                }
                let transactional_id = entry.map(|entry| entry.lock().id.to_string());
                found.push(HangingTransaction { partition: id.clone(), description, transactional_id });
            }
        }
        Ok(found)
    }

    /// Aborts a hanging transaction in one partition. One that the coordinator knows is its own to end.
    pub(crate) fn abort_transaction(&self, id: &TopicPartition, spec: AbortSpec) -> Result<()> {
        let partition = self.partition(id)?;
        let refuse = |reason: String| LogError::InvalidTransaction { action: "abort a transaction", reason };
        let is_it = |description: &ProducerDescription| match spec {
            AbortSpec::StartOffset(offset) => description.transaction_start == Some(offset),
            AbortSpec::Producer { producer, .. } => {
                description.transaction_start.is_some() && description.producer == producer
            }
        };
        let found = partition.describe_producers().into_iter().find(is_it).ok_or_else(|| {
            refuse(match spec {
                AbortSpec::StartOffset(offset) => {
                    format!("none that is open in {id} starts at offset {offset}: list its producers")
                }
                AbortSpec::Producer { producer, .. } => {
                    format!("producer {producer} has none open in {id}: list its producers")
                }
            })
        })?;
        let coordinator_epoch = match spec {
            AbortSpec::StartOffset(_) => found.coordinator_epoch.unwrap_or(0),
            AbortSpec::Producer { coordinator_epoch, .. } => coordinator_epoch,
        };
        let entry = self.transactions.of_producer(found.producer.id);
        // Held over the marker, so that it is not one of a transaction that has just begun.
        let transaction = entry.as_ref().map(|entry| entry.lock());
        if let Some(transaction) = &transaction
            && is_known(transaction, id, found.producer)
        {
            return Err(refuse(format!(
                "{id} is part of the transaction of {:?}, which is {}: terminate that one",
                transaction.id, transaction.state
            )));
        }
        let marker = Marker { is_commit: false, coordinator_epoch };
        self.write_marker(id, found.producer, marker, Origin::Marker)
    }

    /// Ends the transaction of a transactional id, if one is open, and fences its producer.
    pub(crate) fn force_terminate(&self, id: &str) -> Result<ProducerIdentity> {
        self.check_open()?;
        let entry = self.transactions.get(id)?;
        let mut transaction = entry.lock();
        let timeout = transaction.timeout;
        self.run(&mut transaction, Input::Init { timeout, current: None }, Acks::Synced)
    }

    pub(crate) fn write_txn_markers(
        &self,
        markers: &[TransactionMarker],
    ) -> Vec<(TopicPartition, Result<()>)> {
        let mut outcomes = Vec::new();
        for TransactionMarker { producer, coordinator_epoch, result, partitions } in markers {
            let marker = Marker { is_commit: result.is_commit(), coordinator_epoch: *coordinator_epoch };
            for id in partitions {
                let written =
                    self.partition(id).and_then(|_| self.write_marker(id, *producer, marker, Origin::Marker));
                outcomes.push((id.clone(), written));
            }
        }
        outcomes
    }
}

impl Partition {
    /// What is known of each producer, in order of their ids.
    pub(crate) fn describe_producers(&self) -> Vec<ProducerDescription> {
        self.with_producers(|producers| {
            let describe = |(id, state): (ProducerId, &ProducerState)| {
                let last = state.window.last_or_none();
                ProducerDescription {
                    producer: ProducerIdentity::new(id, state.epoch),
                    last_sequence: u32::try_from(last.last_sequence).ok(),
                    last_timestamp: Timestamp::new(state.timestamp),
                    coordinator_epoch: Some(state.coordinator_epoch).filter(|epoch| *epoch >= 0),
                    transaction_start: state.transaction_start,
                }
            };
            producers.iter().map(describe).collect()
        })
    }

    /// Every producer, and whether its transaction is open here.
    pub(crate) fn producers(&self) -> Vec<(ProducerIdentity, bool)> {
        self.with_producers(|producers| {
            let producer = |(id, state): (ProducerId, &ProducerState)| {
                (ProducerIdentity::new(id, state.epoch), state.transaction_start.is_some())
            };
            producers.iter().map(producer).collect()
        })
    }

    pub(crate) fn has_open_transaction(&self, producer: ProducerIdentity) -> bool {
        self.with_producers(|producers| {
            producers
                .get(producer.id)
                .is_some_and(|state| state.epoch == producer.epoch && state.transaction_start.is_some())
        })
    }
}

fn is_known_to(entry: &Entry, partition: &TopicPartition, producer: ProducerIdentity) -> bool {
    is_known(&entry.lock(), partition, producer)
}

/// Whether the coordinator will end, or is ending, a producer's transaction in a partition.
fn is_known(transaction: &Transaction, partition: &TopicPartition, producer: ProducerIdentity) -> bool {
    let is_open = transaction.state == TransactionState::Ongoing || transaction.state.is_prepared();
    is_open && transaction.producer.id == producer.id && transaction.partitions.contains(partition)
}
