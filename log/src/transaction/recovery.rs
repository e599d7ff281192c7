//! After the log was opened: ends the transactions that were open, and those that a crash left behind.

use super::request::ProducerIdentity;
use super::state::{Transaction, TransactionState};
use crate::engine::Inner;
use crate::error::{LogError, Result};
use crate::partition::{Origin, Partition};
use crate::record::Marker;
use crate::types::Acks;

impl Inner {
    /// Finishes what is decided and aborts the rest, after the log was opened. If it was not closed cleanly, what is in
    /// its partitions is compared with what the coordinator knows.
    pub(crate) fn resume_transactions(&self, is_clean: bool) -> Result<()> {
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            let outcome = match transaction.state {
                TransactionState::Ongoing => self.fence(&mut transaction),
                TransactionState::PrepareCommit if !is_clean => {
                    self.sync_decided(&transaction).and_then(|()| self.finish(&mut transaction, Acks::Synced))
                }
                TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                    self.finish(&mut transaction, Acks::Synced)
                }
                TransactionState::Empty
                | TransactionState::CompleteCommit
                | TransactionState::CompleteAbort
                | TransactionState::Dead => continue,
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(id = %transaction.id, state = %transaction.state, "ended a transaction")
                }
                // The rest of the log is usable; the transaction stays as it is and hides nothing but its own records.
                Err(error) if is_local(&error) => {
                    tracing::error!(id = %transaction.id, %error, "could not end a transaction");
                }
                Err(error) => return Err(error),
            }
        }
        if is_clean {
            return Ok(());
        }
        for partition in self.open_partitions() {
            self.catch_up(&partition)?;
        }
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            transaction.is_stale = !transaction.state.is_prepared();
        }
        Ok(())
    }

    /// Puts a commit on stable storage that a killed process may have left in the page cache alone, the decision behind
    /// what it is about. Else a power cut could keep the marker of one partition and lose the records of another.
    fn sync_decided(&self, transaction: &Transaction) -> Result<()> {
        for id in transaction.partitions.iter().chain([&self.coordinator_of(&transaction.id)?]) {
            let synced = match self.partition(id) {
                Err(LogError::UnknownTopic { .. }) => continue, // deleted meanwhile
                partition => partition.and_then(|partition| partition.sync(partition.end())),
            };
            match synced {
                // One that takes no marker must not keep the others waiting for theirs.
                Err(error) if is_local(&error) => {}
                synced => synced?,
            }
        }
        Ok(())
    }

    /// Ends what is open in a partition although nobody will end it, and takes over epochs of which the coordinator's
    /// own records were lost in a crash, so that they are never handed out again.
    fn catch_up(&self, partition: &Partition) -> Result<()> {
        for (producer, is_open) in partition.producers() {
            let Some(entry) = self.transactions.of_producer(producer.id) else {
                if is_open && self.transactions.is_torn() {
                    // What was decided is what cannot be read.
                    tracing::error!(partition = %partition.id(), %producer, "a transaction of nobody is open");
                } else if is_open {
                    let marker = Marker { is_commit: false, coordinator_epoch: 0 };
                    let ended = self.write_marker(partition.id(), producer, marker, Origin::Marker);
                    self.tell_caught_up(partition, producer, ended)?;
                }
                continue;
            };
            let mut transaction = entry.lock();
            let is_behind =
                transaction.producer.id == producer.id && transaction.producer.epoch < producer.epoch;
            if transaction.state.is_prepared() || !(is_open || is_behind) {
                continue; // decided, and not for us to undo, or all is well
            }
            if is_open && transaction.producer.id != producer.id {
                let marker = Marker { is_commit: false, coordinator_epoch: 0 };
                let ended = self.write_marker(partition.id(), producer, marker, Origin::Marker);
                self.tell_caught_up(partition, producer, ended)?;
                continue;
            }
            transaction.producer.epoch = transaction.producer.epoch.max(producer.epoch);
            if is_open {
                transaction.partitions.insert(partition.id().clone());
            }
            let ended = self.fence(&mut transaction);
            self.tell_caught_up(partition, producer, ended)?;
        }
        Ok(())
    }

    fn tell_caught_up(
        &self,
        partition: &Partition,
        producer: ProducerIdentity,
        outcome: Result<()>,
    ) -> Result<()> {
        let id = partition.id();
        match outcome {
            Ok(()) => tracing::warn!(partition = %id, %producer, "aborted a transaction of nobody"),
            Err(error) if is_local(&error) => {
                tracing::error!(partition = %id, %producer, %error, "could not abort a transaction of nobody");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether an error is about one partition or one moment, and the rest of the log can do without.
fn is_local(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Corrupt { .. } | LogError::DiskFull { .. } | LogError::ConcurrentTransactions { .. }
    )
}
