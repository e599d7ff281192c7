//! The producer of one thread: it collects records per partition and appends a batch at a time.

use std::sync::Arc;

use bytes::BytesMut;
use rustc_hash::FxHashMap;

use crate::catalogue::{NewTopic, Topic};
use crate::config::ProducerConfig;
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::partition::{Origin, Partition, Visible};
use crate::partitioner::partition_for_key;
use crate::producer_state::wrapping_sequence;
use crate::record::{BatchBuilder, Header, ProducerStamp};
use crate::types::{Acks, Offset, PartitionId, Timestamp, TopicPartition};

use super::record::{Record, RecordMetadata, TopicHandle};
use super::transaction::Transactional;

/// Writes records to topics, one thread at a time.
///
/// Records wait in a batch per partition until the next one does not fit (`batch.size`) or [`flush`](Self::flush) is
/// called; only after a flush are they acknowledged. A batch that could not be written because the disk is full is kept
/// and tried again by the next call. With a `transactional.id`, records belong to the transaction that
/// [`begin_transaction`](Self::begin_transaction) started; dropping the producer aborts it.
#[derive(Debug)]
pub struct Producer {
    pub(super) log: Log,
    pub(super) config: ProducerConfig,
    pub(super) topics: Vec<ProducerTopic>,
    handles: FxHashMap<Arc<str>, TopicHandle>,
    /// Buffers that were used since the last flush.
    pub(super) used: Vec<(TopicHandle, PartitionId)>,
    pub(super) transactional: Option<Transactional>,
}

#[derive(Debug)]
pub(super) struct ProducerTopic {
    pub(super) topic: Arc<Topic>,
    is_compacted: bool,
    pub(super) buffers: Vec<Option<Box<Buffer>>>,
    /// Where records without a key go until a batch of them is full.
    sticky: PartitionId,
}

/// What is on its way to one partition.
#[derive(Debug)]
pub(super) struct Buffer {
    partition: Arc<Partition>,
    pub(super) builder: BatchBuilder,
    /// Size at which a batch is full.
    batch_bytes_max: usize,
    /// A complete batch that is yet to be written.
    pub(super) unwritten: BytesMut,
    /// First and last offset written since the last flush.
    written: Option<(Offset, Offset)>,
    /// Sequence number of the next record.
    sequence: i32,
    is_used: bool,
    pub(super) is_in_transaction: bool,
}

impl Producer {
    pub(crate) fn open(log: Log, config: ProducerConfig) -> Result<Self> {
        log.inner().check_open()?;
        config.check()?;
        let transactional = match &config.transactional_id {
            Some(id) => {
                let session = log.inner().init_producer(id, config.transaction_timeout, config.acks)?;
                Some(Transactional::new(session))
            }
            None => None,
        };
        Ok(Self {
            log,
            config,
            topics: Vec::new(),
            handles: FxHashMap::default(),
            used: Vec::new(),
            transactional,
        })
    }

    /// Looks a topic up once, so that [`append`](Self::append) need not. A topic that does not exist is created if
    /// `auto.create.topics.enable` is set.
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        if let Some(handle) = self.handles.get(name) {
            return Ok(*handle);
        }
        let inner = self.log.inner();
        let topic = match inner.topic(name) {
            Err(LogError::UnknownTopic { .. }) if inner.config.auto_create_topics => {
                match self.log.create_topic(NewTopic::new(name)) {
                    Ok(_) | Err(LogError::TopicExists { .. }) => inner.topic(name)?,
                    Err(error) => return Err(error),
                }
            }
            topic => topic?,
        };
        let handle = TopicHandle(self.topics.len() as u32);
        self.handles.insert(topic.name.clone(), handle);
        let buffers = (0..topic.partition_count()).map(|_| None).collect();
        let is_compacted = topic.config.get().cleanup_policy.compact;
        self.topics.push(ProducerTopic { topic, is_compacted, buffers, sticky: PartitionId::new(0) });
        Ok(handle)
    }

    /// Number of partitions of a topic.
    pub fn partitions(&self, topic: TopicHandle) -> u32 {
        self.topics.get(topic.0 as usize).map_or(0, |topic| topic.topic.partition_count())
    }

    /// Adds a record to the batch of its partition: the given one, or that of the key by murmur2, or without a key one
    /// that changes with each batch. Without a timestamp it gets the clock's.
    ///
    /// After an error the record was not taken. Fails with [`LogError::TooLarge`], with [`LogError::InvalidRecord`] for
    /// a record without a key in a compacted topic, or as a write of the batch before it.
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<PartitionId> {
        let Some(target) = self.topics.get_mut(topic.0 as usize) else {
            return Err(LogError::UnknownTopic {
                topic: format!("handle {} of another producer", topic.0),
                nearest: None,
            });
        };
        let count = target.buffers.len() as u32;
        let partition = match (partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => target.sticky,
        };
        let record_bytes = BatchBuilder::record_bytes_max(key, value, headers);
        let timestamp = match timestamp {
            Some(timestamp) => timestamp,
            None => self.log.clock().now(),
        };
        // Most records follow others into a batch, and what would be checked held for those too.
        if let Some(Some(buffer)) = target.buffers.get_mut(partition.index())
            && !buffer.builder.is_empty()
            && buffer.builder.len_bytes() + record_bytes <= buffer.batch_bytes_max
            && (key.is_some() || !target.is_compacted)
        {
            buffer.builder.append(timestamp, key, value, headers);
            return Ok(partition);
        }
        self.append_first(topic, partition, timestamp, key, value, headers)
    }

    /// Adds a record that is the first of its batch, or that is to be refused.
    fn append_first(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<PartitionId> {
        let target = &self.topics[topic.0 as usize];
        let count = target.topic.partition_count();
        let id = || TopicPartition { topic: target.topic.name.clone(), partition };
        if partition.get() >= count {
            return Err(LogError::UnknownPartition { partition: id(), count });
        }
        if key.is_none() && target.is_compacted {
            let reason = "a compacted topic takes only records with a key";
            return Err(LogError::InvalidRecord { partition: id(), reason });
        }
        if self.transactional.as_ref().is_some_and(|transactional| !transactional.is_open) {
            let reason = "no transaction is open: begin one".to_owned();
            return Err(LogError::InvalidTransaction { action: "write", reason });
        }
        let record_bytes = BatchBuilder::record_bytes_max(key, value, headers);
        if record_bytes > self.config.max_request_size {
            let bytes_max = self.config.max_request_size;
            return Err(LogError::TooLarge {
                partition: id(),
                bytes: record_bytes,
                bytes_max,
                key: "max.request.size",
            });
        }
        let mut buffer = self.buffer(topic, partition)?;
        if !buffer.builder.is_empty() {
            self.write(topic, partition)?;
            if key.is_none() {
                self.topics[topic.0 as usize].sticky = PartitionId::new((partition.get() + 1) % count);
            }
            buffer = self.buffer(topic, partition)?;
        }
        buffer.builder.append(timestamp, key, value, headers);
        let bytes_max = buffer.partition.config().max_message_bytes;
        if buffer.builder.len_bytes() > bytes_max {
            // Only a record that is alone in its batch can be too large for the topic.
            let bytes = buffer.builder.len_bytes();
            buffer.builder.clear();
            let partition = buffer.partition.id().clone();
            return Err(LogError::TooLarge { partition, bytes, bytes_max, key: "max.message.bytes" });
        }
        Ok(partition)
    }

    /// The same for a topic by name and an owned record.
    pub fn send(&mut self, topic: &str, record: Record) -> Result<PartitionId> {
        let topic = self.topic(topic)?;
        self.append(
            topic,
            record.partition,
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        )
    }

    /// Writes what is not yet written and waits as `acks` says. Returns where the records since the last flush went,
    /// one entry per partition. After a [`LogError::DiskFull`] nothing is lost: flush again.
    pub fn flush(&mut self) -> Result<Vec<RecordMetadata>> {
        self.write_all()?;
        let mut metadata = Vec::with_capacity(self.used.len());
        for at in 0..self.used.len() {
            let (topic, partition) = self.used[at];
            let buffer = self.buffer(topic, partition)?;
            let Some((first_offset, last_offset)) = buffer.written else { continue };
            let partition = buffer.partition.clone();
            metadata.push(RecordMetadata { partition: partition.id().clone(), first_offset, last_offset });
            if self.config.acks == Acks::Synced {
                partition.sync(last_offset + 1)?;
            }
        }
        self.forget_used();
        Ok(metadata)
    }

    /// Writes what is not yet written and ends this producer. An open transaction is aborted.
    pub fn close(mut self) -> Result<()> {
        if self.transactional.as_ref().is_some_and(|transactional| transactional.is_open) {
            return self.abort_transaction();
        }
        self.flush().map(drop)
    }

    /// The buffer of a known topic and partition, taken into use.
    #[inline]
    pub(super) fn buffer(&mut self, topic: TopicHandle, partition: PartitionId) -> Result<&mut Buffer> {
        let target = &mut self.topics[topic.0 as usize];
        let slot = &mut target.buffers[partition.index()];
        if slot.is_none() {
            *slot = Some(Box::new(Buffer {
                partition: self.log.inner().partition_of(&target.topic, partition)?,
                builder: BatchBuilder::with_capacity(self.config.batch_size.min(1 << 20)),
                batch_bytes_max: self.config.batch_size.min(target.topic.config.get().max_message_bytes),
                unwritten: BytesMut::new(),
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
    pub(super) fn write_all(&mut self) -> Result<()> {
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

    /// Writes the batch of one partition, if there is any.
    fn write(&mut self, topic: TopicHandle, partition: PartitionId) -> Result<()> {
        let is_transactional = self.transactional.is_some();
        if is_transactional && !self.buffer(topic, partition)?.is_in_transaction {
            self.join_transaction(&[(topic, partition)])?;
        }
        let visible = if self.config.acks == Acks::Synced { Visible::Synced } else { Visible::Now };
        let session = self.transactional.as_ref().map(|transactional| transactional.session.clone());
        let buffer = self.buffer(topic, partition)?;
        // What was left over by a failed write goes first.
        if !buffer.unwritten.is_empty() {
            buffer.append_unwritten(visible)?;
        }
        if buffer.builder.is_empty() {
            return Ok(());
        }
        if let Some(session) = session {
            let (id, epoch, sequence) = (session.producer_id, session.epoch, buffer.sequence);
            buffer.builder.stamp(ProducerStamp { id, epoch, sequence, is_transactional: true });
            buffer.sequence = wrapping_sequence(sequence, u64::from(buffer.builder.record_count()));
        }
        buffer.unwritten = buffer.builder.finish();
        buffer.append_unwritten(visible)
    }

    pub(super) fn forget_used(&mut self) {
        for (topic, partition) in self.used.drain(..) {
            if let Some(buffer) = &mut self.topics[topic.0 as usize].buffers[partition.index()] {
                buffer.is_used = false;
                buffer.written = None;
            }
        }
    }
}

impl Buffer {
    fn append_unwritten(&mut self, visible: Visible) -> Result<()> {
        let info =
            self.partition.append(&mut self.unwritten, Origin::Own, visible).map_err(
                |error| match error {
                    // Only the coordinator raises the epoch of a producer in this process, and it does so to fence it.
                    LogError::InvalidProducerEpoch { id, epoch, current, .. } => {
                        LogError::ProducerFenced { id, epoch, current }
                    }
                    error => error,
                },
            )?;
        let first = self.written.map_or(info.base_offset, |(first, _)| first);
        self.written = Some((first, info.last_offset));
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.transactional.as_ref().is_some_and(|transactional| transactional.is_open) {
            // A fenced or closed one has nothing left to abort; a crash would have done the same.
            let _ended = self.abort_transaction();
            return;
        }
        let is_unwritten = |buffer: &Buffer| !buffer.builder.is_empty() || !buffer.unwritten.is_empty();
        if self
            .topics
            .iter()
            .flat_map(|topic| topic.buffers.iter().flatten())
            .any(|buffer| is_unwritten(buffer))
            && let Err(error) = self.flush()
        {
            tracing::error!(%error, "a producer was dropped and its last records could not be written");
        }
    }
}
