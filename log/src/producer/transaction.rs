//! A producer's transactions: begin, offsets, commit, abort.

use std::collections::BTreeMap;

use super::embedded::Producer;
use super::record::TopicHandle;
use crate::error::{LogError, Result};
use crate::producer_state::wrapping_sequence;
use crate::transaction::Session;
use crate::types::{Offset, PartitionId, ProducerId, TopicPartition};

#[derive(Debug)]
pub(super) struct Transactional {
    pub(super) session: Session,
    pub(super) is_open: bool,
    /// Sequence numbers in the partitions of group offsets.
    offset_sequences: BTreeMap<TopicPartition, i32>,
}

impl Transactional {
    pub(super) fn new(session: Session) -> Self {
        Self { session, is_open: false, offset_sequences: BTreeMap::new() }
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

    /// Makes a group's offsets part of the transaction: they count once it is committed.
    pub fn send_offsets(&mut self, group: &str, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        self.check_transaction("send offsets")?;
        let log = self.log.clone();
        let id = log.inner().group_partition(group)?.id().clone();
        let transactional = self.transactional_mut("send offsets")?;
        log.inner().add_to_transaction(&transactional.session, vec![id.clone()])?;
        let sequence = transactional.offset_sequences.entry(id).or_default();
        let offsets: Vec<_> =
            offsets.iter().map(|(partition, offset)| (partition.clone(), *offset, "")).collect();
        log.inner().commit_offsets(group, &offsets, Some((&transactional.session, *sequence)))?;
        *sequence = wrapping_sequence(*sequence, offsets.len() as u64);
        Ok(())
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
        let outcome = log.inner().end_transaction(&transactional.session, is_commit, acks);
        if matches!(outcome, Ok(()) | Err(LogError::ProducerFenced { .. })) {
            transactional.is_open = false;
            self.forget_used();
            let buffers = self.topics.iter_mut().flat_map(|topic| topic.buffers.iter_mut().flatten());
            buffers.for_each(|buffer| buffer.is_in_transaction = false);
        }
        outcome
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
        let Some(transactional) = self.transactional.as_ref().filter(|_| !joining.is_empty()) else {
            return Ok(());
        };
        let name = |topic: TopicHandle| self.topics[topic.0 as usize].topic.name.clone();
        let ids = joining
            .iter()
            .map(|(topic, partition)| TopicPartition { topic: name(*topic), partition: *partition });
        self.log.inner().add_to_transaction(&transactional.session, ids.collect())?;
        for (topic, partition) in joining {
            self.buffer(*topic, *partition)?.is_in_transaction = true;
        }
        Ok(())
    }
}
