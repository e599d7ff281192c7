//! The producer of one thread: it collects records per partition and appends a batch at a time.

mod write;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustc_hash::FxHashMap;

use crate::catalogue::{NewTopic, Topic};
use crate::config::{PartitionerClass, ProducerConfig};
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::partition::Partition;
use crate::partitioner::{Spread, partition_for_key};
use crate::record::{BatchBuilder, Compression, Header};
use crate::types::{Acks, Offset, PartitionId, ProducerId, Timestamp, TopicPartition};

use super::metrics::ProducerMetrics;
use super::record::{Flushed, Record, TopicHandle};
use super::transaction::Transactional;

/// Writes records to topics, one thread at a time.
///
/// Records wait in a batch per partition until the next one does not fit (`batch.size`), until a batch that is started
/// later finds them waiting for `linger.ms`, until all batches together would need more than `buffer.memory`, or until
/// [`flush`](Self::flush) is called; only after a flush are they acknowledged. A batch that could not be written because
/// the disk is full is kept and tried again by the next call. With a `transactional.id`, records belong to the transaction that
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
    /// Whether its batches carry sequence numbers without a `transactional.id`.
    is_idempotent: bool,
    /// Its id then, from the first batch on.
    producer_id: Option<ProducerId>,
    /// Whether a key chooses the partition.
    by_key: bool,
    compression: Option<Compression>,
    random: fastrand::Rng,
    /// Batches with records in them.
    pub(super) started: usize,
    /// When `linger.ms` of the oldest of them is over, on the monotonic clock.
    linger_end: Duration,
    /// When topics are looked up again, on the monotonic clock.
    pub(super) metadata_end: Duration,
    metrics: ProducerMetrics,
}

#[derive(Debug)]
pub(super) struct ProducerTopic {
    pub(super) topic: Arc<Topic>,
    is_compacted: bool,
    /// How many partitions it has.
    count: u32,
    /// By partition; at least as many.
    pub(super) buffers: Vec<Option<Box<Buffer>>>,
    /// Where records go whose key does not say.
    spread: Spread,
}

/// Finds a topic, or creates it if `auto.create.topics.enable` is set.
pub(super) fn lookup_topic(log: &Log, name: &str) -> Result<Arc<Topic>> {
    match log.inner().topic(name) {
        Err(LogError::UnknownTopic { .. }) if log.inner().config.auto_create_topics => {
            match log.create_topic(NewTopic::new(name)) {
                Ok(_) | Err(LogError::TopicExists { .. }) => log.inner().topic(name),
                Err(error) => Err(error),
            }
        }
        topic => topic,
    }
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
    /// What it takes in the metrics: records, and bytes before compression.
    unwritten_size: (u32, usize),
    /// When the batch was started, on the monotonic clock.
    started: Duration,
    /// First and last offset written since the last flush.
    written: Option<(Offset, Offset)>,
    /// Sequence number of the next record: of the first one in `unwritten`, if there is any.
    pub(super) sequence: i32,
    is_used: bool,
    pub(super) is_in_transaction: bool,
}

impl Producer {
    pub(crate) fn open(log: Log, config: ProducerConfig) -> Result<Self> {
        log.inner().check_open()?;
        config.check()?;
        let compression = config.compression()?;
        let by_key = config.partitioner == PartitionerClass::BuiltIn && !config.partitioner_ignore_keys;
        let random = log.inner().fork_random();
        let metadata_end = log.clock().monotonic().saturating_add(config.metadata_max_age);
        let transactional = match &config.transactional_id {
            Some(id) => {
                let session = log.inner().open_session(id, config.transaction_timeout, config.acks)?;
                Some(Transactional::new(session))
            }
            None => None,
        };
        let is_idempotent = transactional.is_none() && config.is_idempotent();
        Ok(Self {
            log,
            config,
            topics: Vec::new(),
            handles: FxHashMap::default(),
            used: Vec::new(),
            transactional,
            is_idempotent,
            producer_id: None,
            by_key,
            compression,
            random,
            started: 0,
            linger_end: Duration::MAX,
            metadata_end,
            metrics: ProducerMetrics::default(),
        })
    }

    /// Looks a topic up once, so that [`append`](Self::append) need not. A topic that does not exist is created if
    /// `auto.create.topics.enable` is set.
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        if let Some(handle) = self.handles.get(name) {
            return Ok(*handle);
        }
        let topic = lookup_topic(&self.log, name)?;
        let handle = TopicHandle(self.topics.len() as u32);
        self.handles.insert(topic.name.clone(), handle);
        let buffers = (0..topic.partition_count()).map(|_| None).collect();
        let is_compacted = topic.config.get().cleanup_policy.compact;
        let count = topic.partition_count();
        let spread = Spread::new(&self.config, count, &mut self.random);
        self.topics.push(ProducerTopic { topic, is_compacted, count, buffers, spread });
        Ok(handle)
    }

    /// Number of partitions of a topic.
    pub fn partitions(&self, topic: TopicHandle) -> u32 {
        self.topics.get(topic.0 as usize).map_or(0, |topic| topic.count)
    }

    /// Adds a record to the batch of its partition: the given one, or that of the key by murmur2, or without a key one
    /// that gets `batch.size` bytes before another is chosen by chance; `partitioner.class` and
    /// `partitioner.ignore.keys` change that. Without a timestamp it gets the clock's.
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
        let count = target.count;
        let partition = match (partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) if self.by_key => partition_for_key(key, count),
            (None, _) => target.spread.partition(count),
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
        let now = self.log.clock().monotonic();
        if now >= self.metadata_end || partition.get() >= self.topics[topic.0 as usize].count {
            self.refresh_topics(now)?;
        }
        let target = &self.topics[topic.0 as usize];
        let count = target.count;
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
        if now >= self.linger_end {
            self.write_lingering(now)?;
        }
        if !self.buffer(topic, partition)?.builder.is_empty() {
            self.write(topic, partition)?;
        }
        if (self.started + 1).saturating_mul(self.config.batch_size) > self.config.buffer_memory {
            self.write_all()?;
        }
        self.started += 1;
        self.linger_end = self.linger_end.min(now.saturating_add(self.config.linger));
        let is_compressed = self.compression.is_some();
        let buffer = self.buffer(topic, partition)?;
        buffer.started = now;
        buffer.builder.append(timestamp, key, value, headers);
        let bytes_max = buffer.partition.config().max_message_bytes;
        // Only a record that is alone in its batch can be too large for the topic. Compressed it may still fit.
        if buffer.builder.len_bytes() > bytes_max && !is_compressed {
            let bytes = buffer.builder.len_bytes();
            buffer.builder.clear();
            let partition = buffer.partition.id().clone();
            self.started -= 1;
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
    pub fn flush(&mut self) -> Result<Vec<Flushed>> {
        self.write_all()?;
        let mut flushed = Vec::with_capacity(self.used.len());
        for at in 0..self.used.len() {
            let (topic, partition) = self.used[at];
            let buffer = self.buffer(topic, partition)?;
            let Some((first_offset, last_offset)) = buffer.written else { continue };
            let partition = buffer.partition.id().clone();
            flushed.push(Flushed { partition, first_offset, last_offset });
        }
        match self.config.acks {
            Acks::Synced => self.sync_used()?,
            Acks::None | Acks::Written => self.forget_used(),
        }
        Ok(flushed)
    }

    pub(super) fn metrics_mut(&mut self) -> &mut ProducerMetrics {
        &mut self.metrics
    }

    /// What it has done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        ProducerMetrics { buffered_bytes: self.started * self.config.batch_size, ..self.metrics }
    }

    /// Writes what is not yet written and ends this producer. An open transaction is aborted.
    pub fn close(mut self) -> Result<()> {
        if self.transactional.as_ref().is_some_and(|transactional| transactional.is_open) {
            return self.abort_transaction();
        }
        self.flush().map(drop)
    }

    /// Notices what has become of the topics: partitions that were added, topics that were deleted and made anew.
    fn refresh_topics(&mut self, now: Duration) -> Result<()> {
        for target in &mut self.topics {
            let topic = match self.log.inner().topic(&target.topic.name) {
                Err(LogError::UnknownTopic { .. }) => continue, // the next write says so
                topic => topic?,
            };
            let count = topic.partition_count();
            if topic.id != target.topic.id {
                for (number, slot) in (0..count).zip(&mut target.buffers) {
                    if let Some(buffer) = slot {
                        buffer.partition = self.log.inner().partition_of(&topic, PartitionId::new(number))?;
                        // It is gone with the topic.
                        buffer.written = None;
                    }
                }
            }
            if target.buffers.len() < count as usize {
                target.buffers.resize_with(count as usize, || None);
            }
            target.count = count;
            target.topic = topic;
        }
        self.metadata_end = now.saturating_add(self.config.metadata_max_age);
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
