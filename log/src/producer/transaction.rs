//! A producer's transactions: begin, offsets, commit, abort.

use super::embedded::Producer;
use super::record::TopicHandle;
use crate::error::{LogError, Result};
use crate::group::{GroupMetadata, OffsetCommit};
use crate::transaction::{EndTxn, Session, TransactionResult, TransactionVersion, TxnOffsetCommit};
use crate::types::{Offset, PartitionId, ProducerId, TopicPartition};

#[derive(Debug)]
pub(super) struct Transactional {
    pub(super) session: Session,
    pub(super) is_open: bool,
    /// Whether the coordinator may know of the transaction.
    is_begun: bool,
}

impl Transactional {
    pub(super) fn new(session: Session) -> Self {
        Self { session, is_open: false, is_begun: false }
    }
}

impl Producer {
    /// Starts a transaction. Fails with [`LogError::InvalidTransaction`] if one is open, or without a
    /// `transactional.id`.
    pub fn begin_transaction(&mut self) -> Result<()> {
        let transactional = self.transactional_mut("begin a transaction")?;
        if transactional.is_open {
            let reason = "one is open already: commit or abort it".to_owned();
            return Err(LogError::InvalidTransaction { action: "begin a transaction", reason });
        }
        transactional.is_open = true;
        Ok(())
    }

    /// Makes the offsets of a group without members part of the transaction: they count once it is committed.
    pub fn send_offsets(&mut self, group: &str, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        let offsets = offsets.iter().map(|(partition, offset)| OffsetCommit::new(partition.clone(), *offset));
        self.send_offsets_to_transaction(&offsets.collect::<Vec<_>>(), &GroupMetadata::new(group))
    }

    /// The same for a member of a group, as [`Consumer::group_metadata`](crate::Consumer) gives it. Fails if it is not
    /// a member any more, so that only one of two that read the same partition can commit (KIP-447).
    pub fn send_offsets_to_transaction(
        &mut self,
        offsets: &[OffsetCommit],
        group: &GroupMetadata,
    ) -> Result<()> {
        self.check_transaction("send offsets")?;
        let log = self.log.clone();
        let transactional = self.transactional_mut("send offsets")?;
        transactional.is_begun = true;
        log.inner().txn_offset_commit(&TxnOffsetCommit {
            transactional_id: transactional.session.id.to_string(),
            producer: transactional.session.producer(),
            group: group.clone(),
            offsets: offsets.to_vec(),
            version: TransactionVersion::Bumped,
        })
    }

    /// Makes all records and offsets of the transaction visible at once. With `acks=all` they are on stable storage
    /// before. After an error that can be retried, call it again; otherwise abort.
    pub fn commit_transaction(&mut self) -> Result<()> {
        self.check_transaction("commit the transaction")?;
        self.write_all()?;
        self.end_transaction(true)
    }

    /// Drops all records and offsets of the transaction.
    pub fn abort_transaction(&mut self) -> Result<()> {
        self.check_transaction("abort the transaction")?;
        for at in 0..self.used.len() {
            let (topic, partition) = self.used[at];
            let buffer = self.buffer(topic, partition)?;
            buffer.builder.clear();
            buffer.unwritten.clear();
        }
        self.started = 0;
        self.end_transaction(false)
    }

    fn end_transaction(&mut self, is_commit: bool) -> Result<()> {
        let (log, acks) = (self.log.clone(), self.config.acks);
        let transactional = self.transactional_mut("end the transaction")?;
        let outcome = match transactional.is_begun {
            true => {
                let request = EndTxn {
                    transactional_id: transactional.session.id.to_string(),
                    producer: transactional.session.producer(),
                    result: if is_commit { TransactionResult::Commit } else { TransactionResult::Abort },
                    version: TransactionVersion::Bumped,
                };
                log.inner().end_transaction(&request, acks)
            }
            // The coordinator knows of no transaction, and need not.
            false => {
                log.inner().check_session(&transactional.session).map(|()| transactional.session.producer())
            }
        };
        match outcome {
            Ok(producer) => {
                let is_new = producer != transactional.session.producer();
                transactional.session = Session::new(&transactional.session.id, producer);
                self.leave_transaction(is_new);
                Ok(())
            }
            Err(error) => {
                if matches!(
                    error,
                    LogError::ProducerFenced { .. } | LogError::InvalidProducerIdMapping { .. }
                ) {
                    self.leave_transaction(false);
                }
                Err(error)
            }
        }
    }

    fn leave_transaction(&mut self, is_new_epoch: bool) {
        if let Some(transactional) = &mut self.transactional {
            transactional.is_open = false;
            transactional.is_begun = false;
        }
        self.forget_used();
        for buffer in self.topics.iter_mut().flat_map(|topic| topic.buffers.iter_mut().flatten()) {
            buffer.is_in_transaction = false;
            if is_new_epoch {
                buffer.sequence = 0;
            }
        }
    }

    /// Its producer id, if it is transactional.
    pub(super) fn producer_id(&self) -> Option<ProducerId> {
        self.transactional.as_ref().map(|transactional| transactional.session.producer_id)
    }

    /// Whether a transaction is open.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.transactional.as_ref().is_some_and(|transactional| transactional.is_open)
    }

    fn transactional_mut(&mut self, action: &'static str) -> Result<&mut Transactional> {
        self.transactional.as_mut().ok_or_else(|| LogError::InvalidTransaction {
            action,
            reason: "this producer has no transactional.id: set one".to_owned(),
        })
    }

    fn check_transaction(&mut self, action: &'static str) -> Result<()> {
        if self.transactional_mut(action)?.is_open {
            return Ok(());
        }
        Err(LogError::InvalidTransaction { action, reason: "no transaction is open: begin one".to_owned() })
    }

    pub(super) fn join_transaction(&mut self, joining: &[(TopicHandle, PartitionId)]) -> Result<()> {
        let Some(transactional) = self.transactional.as_mut().filter(|_| !joining.is_empty()) else {
            return Ok(());
        };
        let name = |topic: TopicHandle| self.topics[topic.0 as usize].topic.name.clone();
        let ids = joining
            .iter()
            .map(|(topic, partition)| TopicPartition { topic: name(*topic), partition: *partition });
        let (session, ids) = (&transactional.session, ids.collect::<Vec<_>>());
        transactional.is_begun = true;
        self.log.inner().add_to_transaction(&session.id, session.producer(), &ids)?;
        for (topic, partition) in joining {
            self.buffer(*topic, *partition)?.is_in_transaction = true;
        }
        Ok(())
    }
}
