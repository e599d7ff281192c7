//! Writing what the producer of one thread has collected.

use std::time::Duration;

use bytes::BytesMut;

use super::{Buffer, Producer};
use crate::engine::Inner;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::partition::{Origin, Visible, sync_partitions};
use crate::producer::metrics::ProducerMetrics;
use crate::producer::record::TopicHandle;
use crate::producer::transaction::Transactional;
use crate::producer_state::wrapping_sequence;
use crate::record::{BatchBuilder, ProducerStamp};
use crate::types::{Acks, PartitionId, ProducerEpoch, TopicPartition};

impl Producer {
    /// Puts what was written since the last flush on stable storage.
    pub(in crate::producer) fn sync_used(&mut self) -> Result<()> {
        let mut written = Vec::with_capacity(self.used.len());
        for (topic, partition) in &self.used {
            let slot = &self.topics[topic.0 as usize].buffers[partition.index()];
            let end = |buffer: &Buffer| Some((buffer.partition.clone(), buffer.written?.1 + 1));
            written.extend(slot.as_deref().and_then(end));
        }
        sync_partitions(written)?;
        self.forget_used();
        Ok(())
    }

    /// Writes a batch that was built elsewhere, and leaves an empty builder in its place. After an error that can be
    /// retried the batch [may be kept](Self::has_batch): then [try it again](Self::retry_batch), or
    /// [drop it](Self::drop_batch), before the next one.
    pub(in crate::producer) fn write_batch(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        batch: &mut BatchBuilder,
    ) -> Result<AppendInfo> {
        if self.topics[topic.0 as usize].count <= partition.get() {
            self.refresh_topics(self.log.clock().monotonic())?;
        }
        let target = &self.topics[topic.0 as usize];
        if target.count <= partition.get() {
            let partition = TopicPartition { topic: target.topic.name.clone(), partition };
            return Err(LogError::UnknownPartition { partition, count: target.count });
        }
        std::mem::swap(&mut self.buffer(topic, partition)?.builder, batch);
        self.started += 1;
        self.retry_batch(topic, partition)
    }

    /// Writes the batch that is kept.
    pub(in crate::producer) fn retry_batch(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
    ) -> Result<AppendInfo> {
        self.write(topic, partition)?.ok_or(LogError::InvalidRequest {
            action: "write a batch again",
            reason: "it was not kept".to_owned(),
        })
    }

    /// Whether a batch for this partition is kept, to be tried again.
    pub(in crate::producer) fn has_batch(&self, topic: TopicHandle, partition: PartitionId) -> bool {
        let target = &self.topics[topic.0 as usize];
        let buffer = target.buffers.get(partition.index()).and_then(Option::as_ref);
        buffer.is_some_and(|buffer| !buffer.builder.is_empty() || !buffer.unwritten.is_empty())
    }

    /// Forgets the batch that is kept.
    pub(in crate::producer) fn drop_batch(&mut self, topic: TopicHandle, partition: PartitionId) {
        let target = &mut self.topics[topic.0 as usize];
        if let Some(Some(buffer)) = target.buffers.get_mut(partition.index()) {
            if !buffer.builder.is_empty() {
                self.started -= 1;
            }
            buffer.builder.clear();
            buffer.unwritten.clear();
        }
    }

    /// The buffer of a known topic and partition, taken into use.
    #[inline]
    pub(in crate::producer) fn buffer(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
    ) -> Result<&mut Buffer> {
        let target = &mut self.topics[topic.0 as usize];
        let slot = &mut target.buffers[partition.index()];
        if slot.is_none() {
            let mut builder = BatchBuilder::with_capacity(self.config.batch_size.min(1 << 20));
            builder.set_compression(self.compression);
            *slot = Some(Box::new(Buffer {
                partition: self.log.inner().partition_of(&target.topic, partition)?,
                builder,
                batch_bytes_max: self.config.batch_size.min(target.topic.config.get().max_message_bytes),
                unwritten: BytesMut::new(),
                unwritten_size: (0, 0),
                started: Duration::ZERO,
                written: None,
                sequence: 0,
                is_used: false,
                is_in_transaction: false,
            }));
        }
        let buffer = slot.as_mut().expect("filled just now");
        if !buffer.is_used {
            buffer.is_used = true;
            self.used.push((topic, partition));
        }
        Ok(buffer)
    }

    /// Writes all batches that were started, after making their partitions part of the transaction in one go.
    pub(in crate::producer) fn write_all(&mut self) -> Result<()> {
        if self.transactional.is_some() {
            let mut joining = Vec::new();
            for at in 0..self.used.len() {
                let (topic, partition) = self.used[at];
                let buffer = self.buffer(topic, partition)?;
                if !buffer.is_in_transaction && (!buffer.builder.is_empty() || !buffer.unwritten.is_empty()) {
                    joining.push((topic, partition));
                }
            }
            self.join_transaction(&joining)?;
        }
        for at in 0..self.used.len() {
            let (topic, partition) = self.used[at];
            self.write(topic, partition)?;
        }
        Ok(())
    }

    /// Writes the batch of one partition, if there is any. Returns where the last one went.
    pub(super) fn write(&mut self, topic: TopicHandle, partition: PartitionId) -> Result<Option<AppendInfo>> {
        let is_transactional = self.transactional.is_some();
        if is_transactional && !self.buffer(topic, partition)?.is_in_transaction {
            self.join_transaction(&[(topic, partition)])?;
        }
        let visible = if self.config.acks == Acks::Synced { Visible::Synced } else { Visible::Now };
        let stamp = self.stamp()?;
        self.buffer(topic, partition)?;
        let slot = &mut self.topics[topic.0 as usize].buffers[partition.index()];
        let buffer = slot.as_mut().expect("taken into use just now");
        // What was left over by a failed write goes first.
        let mut info = None;
        if !buffer.unwritten.is_empty() {
            info = Some(buffer.append_unwritten(self.log.inner(), visible, &mut self.metrics)?);
        }
        if buffer.builder.is_empty() {
            return Ok(info);
        }
        if let Some(stamp) = stamp {
            buffer.builder.stamp(ProducerStamp { sequence: buffer.sequence, ..stamp });
        }
        let bytes = buffer.builder.len_bytes();
        buffer.unwritten_size = (buffer.builder.record_count(), bytes);
        buffer.unwritten = buffer.builder.finish();
        let outcome = buffer.append_unwritten(self.log.inner(), visible, &mut self.metrics);
        self.started -= 1;
        if matches!(outcome, Err(LogError::UnknownTopic { .. })) {
            // It may have been created anew.
            self.metadata_end = Duration::ZERO;
        }
        let target = &mut self.topics[topic.0 as usize];
        target.spread.wrote(partition, bytes, target.count, None, &mut self.random);
        outcome.map(Some)
    }

    /// What its batches are written under, but for the sequence number.
    pub(super) fn stamp(&mut self) -> Result<Option<ProducerStamp>> {
        let (id, epoch) = match (&self.transactional, self.producer_id) {
            (Some(Transactional { session, .. }), _) => (session.producer_id, session.epoch),
            (None, Some(id)) => (id, ProducerEpoch::new(0)),
            (None, None) if self.is_idempotent => {
                let id = self.log.inner().new_producer_id()?;
                (*self.producer_id.insert(id), ProducerEpoch::new(0))
            }
            (None, None) => return Ok(None),
        };
        let is_transactional = self.transactional.is_some();
        Ok(Some(ProducerStamp { id, epoch, sequence: 0, is_transactional }))
    }

    /// Writes the batches that were started `linger.ms` ago.
    pub(super) fn write_lingering(&mut self, now: Duration) -> Result<()> {
        let mut next = Duration::MAX;
        for at in 0..self.used.len() {
            let (topic, partition) = self.used[at];
            let linger = self.config.linger;
            let buffer = self.buffer(topic, partition)?;
            if buffer.builder.is_empty() {
                continue;
            }
            let end = buffer.started.saturating_add(linger);
            if end <= now {
                self.write(topic, partition)?;
            } else {
                next = next.min(end);
            }
        }
        self.linger_end = next;
        Ok(())
    }

    pub(in crate::producer) fn forget_used(&mut self) {
        for (topic, partition) in self.used.drain(..) {
            if let Some(buffer) = &mut self.topics[topic.0 as usize].buffers[partition.index()] {
                buffer.is_used = false;
                buffer.written = None;
            }
        }
    }
}

impl Buffer {
    fn append_unwritten(
        &mut self,
        log: &Inner,
        visible: Visible,
        metrics: &mut ProducerMetrics,
    ) -> Result<AppendInfo> {
        let bytes = self.unwritten.len();
        let appended = log.append_of_producer(&self.partition, &mut self.unwritten, Origin::Own, visible);
        let info = appended.map_err(|error| match error {
            // Only the coordinator raises the epoch of a producer in this process, and it does so to fence it.
            LogError::InvalidProducerEpoch { id, epoch, current, .. } => {
                LogError::ProducerFenced { id, epoch, current }
            }
            error => error,
        })?;
        let first = self.written.map_or(info.base_offset, |(first, _)| first);
        self.written = Some((first, info.last_offset));
        // A batch that was refused leaves no gap in the sequence.
        self.sequence = wrapping_sequence(self.sequence, u64::from(self.unwritten_size.0));
        metrics.wrote(self.unwritten_size.0, bytes, self.unwritten_size.1);
        Ok(info)
    }
}
