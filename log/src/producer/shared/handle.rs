//! What threads hold of a shared producer.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::delivery::{Completion, Delivery};
use super::memory::Memory;
use super::queue::{Batch, Queue, ToAppend, TopicQueues};
use super::sender::Sender;
use super::transaction::{Current, Request, Sending};
use crate::catalogue::Topic;
use crate::config::{PartitionerClass, ProducerConfig};
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::mutex::Mutex;
use crate::partitioner::{Spread, partition_for_key};
use crate::producer::embedded::{Producer, lookup_topic};
use crate::producer::metrics::ProducerMetrics;
use crate::producer::record::{Record, RecordMetadata};
use crate::record::{BatchBuilder, Compression, Header};
use crate::signal::Signal;
use crate::types::{PartitionId, Timestamp, TopicPartition};

/// Sees every record on its way out and every acknowledgement, as Kafka's `ProducerInterceptor`.
pub trait ProducerInterceptor: Send + Sync {
    /// Called on the sending thread before a partition is chosen; may change the record.
    fn on_send(&self, topic: &str, record: &mut Record);

    /// Called on the sender's thread when a record is acknowledged or given up. The time is that of the append, or
    /// [`Timestamp::NONE`] where records keep their own.
    fn on_acknowledgement(&self, outcome: Result<&RecordMetadata, &LogError>);
}

/// A producer for many threads: cheap to clone, and nobody waits for the disk unless they want to.
///
/// A send puts its record into the batch of its partition and returns a [`Delivery`]. A batch is written when it is full
/// (`batch.size`), has waited for `linger.ms`, or somebody flushes or waits for memory. When all batches together need
/// `buffer.memory`, sends wait for at most `max.block.ms` and then fail with [`LogError::TimedOut`], which
/// [is retriable](LogError::is_retriable).
///
/// The records of a partition are written in the order in which they were sent. A batch for which the disk has no space is
/// tried again (`retries`, `retry.backoff.ms`) until `delivery.timeout.ms` is over; what comes behind it waits.
///
/// When the last handle is dropped, what was sent is still written; [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct SharedProducer {
    handle: Arc<Handle>,
}

/// Ends the sender when the last handle goes.
struct Handle {
    shared: Arc<Shared>,
}

/// What the handles and the sender share.
pub(super) struct Shared {
    pub(super) log: Log,
    pub(super) config: ProducerConfig,
    pub(super) compression: Option<Compression>,
    pub(super) interceptors: Vec<Box<dyn ProducerInterceptor>>,
    topics: Mutex<Topics>,
    /// Topic and partition of every queue with something in it.
    pub(super) active: Mutex<BTreeSet<(u32, PartitionId)>>,
    pub(super) memory: Memory,
    /// Builders that were used and can be used again.
    spare: Mutex<Vec<BatchBuilder>>,
    /// Wakes the sender.
    pub(super) signal: Signal,
    pub(super) flushing: AtomicUsize,
    pub(super) is_closing: AtomicBool,
    /// Until when a close waits, on the monotonic clock.
    pub(super) close_end: Mutex<Duration>,
    /// Once the sender has ended, whether it wrote everything.
    pub(super) ended: Mutex<Option<bool>>,
    pub(super) has_ended: Condvar,
    pub(super) transaction: Mutex<Current>,
    pub(super) requests: Mutex<VecDeque<Request>>,
    pub(super) metrics: Mutex<ProducerMetrics>,
    pub(super) random: Mutex<fastrand::Rng>,
}

#[derive(Default)]
struct Topics {
    by_name: FxHashMap<Arc<str>, Arc<TopicQueues>>,
    by_index: Vec<Arc<TopicQueues>>,
}

/// So many builders are kept for further batches.
const SPARE_MAX: usize = 64;

impl SharedProducer {
    /// Opens a producer and the [`Sender`] that has to be run for it, by [`Sender::run`] on a thread or by
    /// [`Sender::step`]. [`SharedProducer::start`] does both.
    pub fn open(
        log: &Log,
        config: ProducerConfig,
        interceptors: Vec<Box<dyn ProducerInterceptor>>,
    ) -> Result<(Self, Sender)> {
        let producer = Producer::open(log.clone(), config.clone())?;
        let shared = Arc::new(Shared {
            log: log.clone(),
            compression: config.compression()?,
            interceptors,
            topics: Mutex::default(),
            active: Mutex::default(),
            memory: Memory::new(config.buffer_memory),
            spare: Mutex::default(),
            signal: Signal::default(),
            flushing: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            close_end: Mutex::new(Duration::MAX),
            ended: Mutex::default(),
            has_ended: Condvar::new(),
            transaction: Mutex::default(),
            requests: Mutex::default(),
            metrics: Mutex::default(),
            random: Mutex::new(log.inner().fork_random()),
            config,
        });
        let sender = Sender::new(shared.clone(), producer);
        Ok((Self { handle: Arc::new(Handle { shared }) }, sender))
    }

    /// Sends a record; interceptors see it first. Fails at once, without taking the record, if it is too large, has no
    /// key in a compacted topic, its topic or partition does not exist, no memory gets free within `max.block.ms`, or the
    /// producer is closed. Whatever happens later is told by the [`Delivery`].
    pub fn send(&self, topic: &str, mut record: Record) -> Result<Delivery> {
        for interceptor in &self.shared().interceptors {
            interceptor.on_send(topic, &mut record);
        }
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        self.shared().append(topic, record.partition, record.timestamp, key, value, &record.headers)
    }

    /// The same for borrowed bytes, which saves making a [`Record`].
    pub fn append(
        &self,
        topic: &str,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<Delivery> {
        if self.shared().interceptors.is_empty() {
            return self.shared().append(topic, partition, timestamp, key, value, headers);
        }
        let bytes = |bytes: &[u8]| bytes::Bytes::copy_from_slice(bytes);
        let headers = headers.to_vec();
        self.send(
            topic,
            Record { key: key.map(bytes), value: value.map(bytes), timestamp, headers, partition },
        )
    }

    /// Number of partitions of a topic.
    pub fn partitions(&self, topic: &str) -> Result<u32> {
        self.shared().topic(topic).map(|topic| topic.count)
    }

    /// Waits until everything sent so far is acknowledged or given up; which of the two, its deliveries tell.
    pub fn flush(&self) {
        self.shared().flush();
    }

    /// What it has done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        let shared = self.shared();
        let (buffered_bytes, waits) = (shared.memory.used(), shared.memory.waits());
        ProducerMetrics { buffered_bytes, waits, ..*shared.metrics.lock() }
    }

    /// Ends this producer for all its handles: waits until everything sent is acknowledged. What is not by the end of
    /// `timeout` is given up, and the close fails with [`LogError::TimedOut`]. An open transaction is aborted.
    pub fn close(self, timeout: Duration) -> Result<()> {
        let shared = self.shared();
        shared.close(timeout);
        let ended = shared.ended.lock();
        // The sender gives up by itself; it is only not there to do so if nobody runs it.
        let patience = timeout.saturating_add(Duration::from_secs(10));
        let ended =
            Mutex::wait_until(&shared.has_ended, ended, patience, |ended: &mut Option<bool>| ended.is_some());
        if *ended == Some(true) {
            return Ok(());
        }
        let hint = "the records that are left were given up: allow more time";
        Err(LogError::TimedOut { action: "close the producer", waited: timeout, hint })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for SharedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedProducer").field("config", &self.shared().config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(Duration::MAX);
    }
}

impl Shared {
    fn append(
        &self,
        topic: &str,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<Delivery> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(LogError::Closed);
        }
        let _sending = Sending::begin(self)?;
        let mut target = self.topic(topic)?;
        if partition.is_some_and(|partition| partition.get() >= target.count) {
            target = self.refresh(&target)?;
        }
        let partition = self.choose(&target, partition, key)?;
        let queue = &target.queues[partition.index()];
        if key.is_none() && target.is_compacted {
            let reason = "a compacted topic takes only records with a key";
            return Err(LogError::InvalidRecord { partition: queue.partition.clone(), reason });
        }
        let bytes = BatchBuilder::record_bytes_max(key, value, headers);
        let timestamp = timestamp.unwrap_or_else(|| self.log.clock().now());
        let record = ToAppend { timestamp, key, value, headers, bytes };
        match queue.append(record, target.batch_bytes_max) {
            Some(delivery) => Ok(delivery),
            None => self.append_first(&target, partition, record),
        }
    }

    /// Appends a record that starts a batch.
    fn append_first(
        &self,
        target: &TopicQueues,
        partition: PartitionId,
        record: ToAppend<'_>,
    ) -> Result<Delivery> {
        let queue = &target.queues[partition.index()];
        let (config, bytes) = (&self.config, record.bytes);
        let reserved = config.batch_size.max(bytes + HEADER_BYTES);
        for (key, limit, needed) in [
            ("max.request.size", config.max_request_size, bytes),
            ("buffer.memory", config.buffer_memory, reserved),
        ] {
            if needed > limit {
                let partition = queue.partition.clone();
                return Err(LogError::TooLarge { partition, bytes: needed, bytes_max: limit, key });
            }
        }
        self.memory.reserve(reserved, config.max_block, || self.signal.raise())?;
        let batch = Batch {
            builder: self.builder(),
            completion: Completion::new(queue.partition.clone()),
            created: self.log.clock().monotonic(),
            reserved,
        };
        let register = || {
            self.active.lock().insert((target.index, partition));
        };
        let (delivery, unused, closed) = queue.append_first(record, target.batch_bytes_max, batch, register);
        if let Some(batch) = unused {
            self.recycle(batch.builder);
            self.memory.release(batch.reserved);
        }
        if let Some(bytes) = closed {
            self.spread(target, partition, bytes);
        }
        self.signal.raise();
        Ok(delivery)
    }

    /// The partition of a record: the given one, else by `partitioner.class` and `partitioner.ignore.keys`.
    fn choose(
        &self,
        target: &TopicQueues,
        partition: Option<PartitionId>,
        key: Option<&[u8]>,
    ) -> Result<PartitionId> {
        let count = target.count;
        let by_key =
            self.config.partitioner == PartitionerClass::BuiltIn && !self.config.partitioner_ignore_keys;
        match (partition, key) {
            (Some(partition), _) if partition.get() >= count => {
                let partition = TopicPartition { topic: target.topic.name.clone(), partition };
                Err(LogError::UnknownPartition { partition, count })
            }
            (Some(partition), _) => Ok(partition),
            (None, Some(key)) if by_key => Ok(partition_for_key(key, count)),
            (None, _) => Ok(target.spread.lock().partition(count)),
        }
    }

    /// Takes into account that a batch of a partition is complete.
    pub(super) fn spread(&self, target: &TopicQueues, partition: PartitionId, bytes: usize) {
        let count = target.count;
        let queues = target.queues.iter().take(count as usize);
        let queued: Option<Vec<u32>> =
            self.config.partitioner_adaptive.then(|| queues.map(|queue| queue.len()).collect());
        let mut random = self.random.lock();
        target.spread.lock().wrote(partition, bytes, count, queued.as_deref(), &mut random);
    }

    /// A topic, looked up and if need be created the first time.
    pub(super) fn topic(&self, name: &str) -> Result<Arc<TopicQueues>> {
        if let Some(topic) = self.topics.lock().by_name.get(name) {
            return Ok(topic.clone());
        }
        let topic = lookup_topic(&self.log, name)?;
        let mut topics = self.topics.lock();
        if let Some(known) = topics.by_name.get(name) {
            return Ok(known.clone());
        }
        let index = topics.by_index.len() as u32;
        let spread = Spread::new(&self.config, topic.partition_count(), &mut self.random.lock());
        let spread = Arc::new(Mutex::new(spread));
        let target = Arc::new(TopicQueues::new(index, topic, &[], spread, &self.config));
        topics.put(target.clone());
        Ok(target)
    }

    pub(super) fn topic_at(&self, index: u32) -> Arc<TopicQueues> {
        self.topics.lock().by_index[index as usize].clone()
    }

    /// Looks a topic up again, for partitions that were added.
    fn refresh(&self, known: &TopicQueues) -> Result<Arc<TopicQueues>> {
        let topic = self.log.inner().topic(&known.topic.name)?;
        let mut topics = self.topics.lock();
        let known = topics.by_index[known.index as usize].clone();
        if Arc::ptr_eq(&topic, &known.topic) {
            return Ok(known);
        }
        let spread = known.spread.clone();
        let target = Arc::new(TopicQueues::new(known.index, topic, &known.queues, spread, &self.config));
        topics.put(target.clone());
        Ok(target)
    }

    /// Looks all topics up again.
    pub(super) fn refresh_all(&self) {
        let known = self.topics.lock().by_index.clone();
        for topic in known {
            // One that was deleted says so when something is sent to it.
            let _deleted = self.refresh(&topic);
        }
    }

    fn builder(&self) -> BatchBuilder {
        self.spare.lock().pop().unwrap_or_else(|| {
            let mut builder = BatchBuilder::with_capacity(self.config.batch_size.min(1 << 20));
            builder.set_compression(self.compression);
            builder
        })
    }

    /// Keeps an empty builder for another batch.
    pub(super) fn recycle(&self, builder: BatchBuilder) {
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_MAX {
            spare.push(builder);
        }
    }

    pub(super) fn flush(&self) {
        self.flushing.fetch_add(1, Ordering::AcqRel);
        self.signal.raise();
        let active: Vec<_> = self.active.lock().iter().copied().collect();
        let waiting: Vec<_> = active
            .into_iter()
            .flat_map(|(topic, partition)| self.queue(topic, partition).completions())
            .collect();
        for completion in waiting {
            // Each delivery tells its own errors.
            drop(completion.wait());
        }
        self.flushing.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn queue(&self, topic: u32, partition: PartitionId) -> Arc<Queue> {
        self.topic_at(topic).queues[partition.index()].clone()
    }

    fn close(&self, timeout: Duration) {
        let end = self.log.clock().monotonic().saturating_add(timeout);
        let mut close_end = self.close_end.lock();
        *close_end = end.min(*close_end);
        drop(close_end);
        self.is_closing.store(true, Ordering::Release);
        self.signal.raise();
    }
}

/// Size of a batch's header.
const HEADER_BYTES: usize = 61;

impl TopicQueues {
    fn new(
        index: u32,
        topic: Arc<Topic>,
        queues: &[Arc<Queue>],
        spread: Arc<Mutex<Spread>>,
        config: &ProducerConfig,
    ) -> Self {
        let count = topic.partition_count();
        let mut queues = queues.to_vec();
        for number in queues.len() as u32..count {
            queues.push(Queue::new(TopicPartition::new(topic.name.clone(), number)));
        }
        let topic_config = topic.config.get();
        let batch_bytes_max = config.batch_size.min(topic_config.max_message_bytes);
        let is_compacted = topic_config.cleanup_policy.compact;
        Self { index, is_compacted, batch_bytes_max, count, topic, queues, spread }
    }
}

impl Topics {
    fn put(&mut self, topic: Arc<TopicQueues>) {
        let index = topic.index as usize;
        if index == self.by_index.len() {
            self.by_index.push(topic.clone());
        } else {
            self.by_index[index] = topic.clone();
        }
        self.by_name.insert(topic.topic.name.clone(), topic);
    }
}
