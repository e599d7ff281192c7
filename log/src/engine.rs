//! The log as a whole: a handle to its topics, groups and transactions.
//!
//! ```text
//! <dir>/.lock  meta.properties  catalogue.json  .kafka_cleanshutdown
//!       recovery-point-offset-checkpoint  log-start-offset-checkpoint  replication-offset-checkpoint
//!       <topic>-<partition>/00000000000000000000.log .index .timeindex .txnindex .snapshot
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;

use crate::catalogue::{
    self, CONSUMER_OFFSETS, NewTopic, TRANSACTION_STATE, Topic, TopicDescription, TopicId,
};
use crate::checkpoint::{self, Offsets};
use crate::clock::{Clock, SystemClock};
use crate::config::{ConsumerConfig, LogConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::error::{IoContext, LogError, Result, nearest};
use crate::fetched::{AppendInfo, Fetched};
use crate::lock::DirectoryLock;
use crate::mutex::Mutex;
use crate::offsets::{Committed, GroupOffsets, OffsetRecord};
use crate::partition::{Origin, Partition, Surroundings, Visible};
use crate::partitioner::coordinator_partition;
use crate::producer::Producer;
use crate::record::{BatchBuilder, ProducerStamp};
use crate::recovery::{self, Checkpoint};
use crate::storage::{self, DiskStorage, MemoryStorage, OpenMode, Storage};
use crate::tail::TailBudget;
use crate::transaction::{Session, Transactions};
use crate::types::{Acks, Isolation, Offset, OffsetSpec, PartitionId, TopicPartition};

const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const META: &str = "meta.properties";
/// Tails of partitions that were not written to for longer leave memory.
const TAIL_IDLE: Duration = Duration::from_secs(30);

/// A cheap handle to an open log. The last one to go closes the log, as well as it can without reporting errors.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream_log::*;
/// let log = Log::in_memory(Arc::new(SystemClock::new()));
/// log.create_topic(NewTopic::new("orders").partitions(3))?;
/// let mut producer = log.producer(ProducerConfig::default())?;
/// producer.send("orders", Record { value: Some("book".into()), ..Record::default() })?;
/// producer.flush()?;
/// # Ok::<(), LogError>(())
/// ```
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

/// Components and settings of a log to open.
#[derive(Debug, Default)]
pub struct LogBuilder {
    dir: Option<PathBuf>,
    storage: Option<Arc<dyn Storage>>,
    clock: Option<Arc<dyn Clock>>,
    config: LogConfig,
}

impl LogBuilder {
    /// Sets the directory. Default `millstream-data`.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_path_buf());
        self
    }

    /// Sets the file system. Default [`DiskStorage`].
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Sets the clock. Default [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the settings.
    #[must_use]
    pub fn config(mut self, config: LogConfig) -> Self {
        self.config = config;
        self
    }

    /// Opens the log, creating it if the directory is missing or empty: takes the directory lock, recovers what a crash
    /// left behind, ends open transactions. Fails with [`LogError::Locked`] if the log is open elsewhere.
    pub fn open(self) -> Result<Log> {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
        let storage = self.storage.unwrap_or_else(|| Arc::new(DiskStorage));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        Ok(Log { inner: Arc::new(Inner::open(dir, storage, clock, self.config)?) })
    }
}

impl Log {
    /// Opens the log in `dir` with the system's clock and default settings, creating it if needed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder().dir(dir).open()
    }

    /// Starts a log with chosen components or settings.
    pub fn builder() -> LogBuilder {
        LogBuilder::default()
    }

    /// An empty log in memory: the same engine over [`MemoryStorage`].
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        let storage = Arc::new(MemoryStorage::new());
        Self::builder()
            .storage(storage)
            .clock(clock)
            .open()
            .expect("nothing in memory is missing, locked or full")
    }

    /// The clock that it was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.inner.clock()
    }

    /// Creates a topic. Fails with [`LogError::TopicExists`], [`LogError::InvalidTopic`] or on a setting that is
    /// unknown or wrong.
    pub fn create_topic(&self, topic: NewTopic) -> Result<TopicDescription> {
        if catalogue::is_internal(&topic.name) {
            let reason = "the log creates this topic itself".to_owned();
            return Err(LogError::InvalidTopic { topic: topic.name, reason });
        }
        self.inner.create_topic(topic).map(|topic| topic.describe())
    }

    /// Deletes a topic, its records and the groups' offsets in it.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.inner.delete_topic(name)
    }

    /// All topics by name, the log's own too.
    pub fn topics(&self) -> Vec<TopicDescription> {
        self.inner
            .topics
            .lock()
            .values()
            .filter(|topic| !topic.is_deleting)
            .map(|topic| topic.describe())
            .collect()
    }

    /// One topic. Fails with [`LogError::UnknownTopic`], which names the closest one.
    pub fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        self.inner.topic(name).map(|topic| topic.describe())
    }

    /// The offset that `spec` stands for. For a time later than all records it is the high watermark.
    pub fn offsets(&self, partition: &TopicPartition, spec: OffsetSpec) -> Result<Offset> {
        self.inner.partition(partition)?.offset_at(spec)
    }

    /// End of what read-committed readers see: the first offset of an open transaction, or the high watermark.
    pub fn last_stable_offset(&self, partition: &TopicPartition) -> Result<Offset> {
        Ok(self.inner.partition(partition)?.last_stable_offset())
    }

    /// Appends a batch that a [`BatchBuilder`] built; offset and leader epoch are filled in. Everything else the batch
    /// claims is checked first. Fails with [`LogError::InvalidBatch`], [`LogError::InvalidRecord`] or
    /// [`LogError::TooLarge`], or because the disk is full or the partition stopped.
    pub fn append(
        &self,
        partition: &TopicPartition,
        batch: impl Into<BytesMut>,
        acks: Acks,
    ) -> Result<AppendInfo> {
        let partition = self.inner.partition(partition)?;
        let visible = if acks == Acks::Synced { Visible::Synced } else { Visible::Now };
        let info = partition.append(&mut batch.into(), Origin::Foreign, visible)?;
        if acks == Acks::Synced {
            partition.sync(info.last_offset + 1)?;
        }
        Ok(info)
    }

    /// Stored batches from the one holding `from` on: at most `bytes_max` bytes, but always one whole batch.
    /// The first batch may begin below `from`; the consumer skips those records.
    ///
    /// Ends at the high watermark, or with [`Isolation::ReadCommitted`] at the last stable offset. Fails with
    /// [`LogError::OffsetOutOfRange`] below the log start or above the log end, and with [`LogError::Corrupt`] at a
    /// batch that is damaged. As Kafka's `UnifiedLog.read`.
    pub fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        isolation: Isolation,
    ) -> Result<Fetched> {
        self.inner.partition(partition)?.read(from, bytes_max, isolation)
    }

    /// A producer. With a `transactional.id` older producers of that id are fenced and their transaction is aborted.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer> {
        Producer::open(self.clone(), config)
    }

    /// A consumer, without partitions yet.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer> {
        self.inner.check_open()?;
        Ok(Consumer::new(self.clone(), config))
    }

    /// The offsets that a group has committed, by partition; empty for an unknown group.
    pub fn committed_offsets(&self, group: &str) -> Vec<(TopicPartition, Committed)> {
        self.inner.groups.of_group(group)
    }

    /// Commits offsets for a group, each with a text kept beside it.
    pub fn commit_offsets(&self, group: &str, offsets: &[(TopicPartition, Offset, &str)]) -> Result<()> {
        self.inner.commit_offsets(group, offsets, None)
    }

    /// Names of the groups that have committed offsets.
    pub fn groups(&self) -> Vec<String> {
        self.inner.groups.groups()
    }

    /// Does what is due by the clock: deletes segments past retention, aborts transactions past their timeout, lets go
    /// of idle tails, writes checkpoints. For a program that stays up to call every minute or so.
    pub fn maintain(&self) -> Result<()> {
        self.inner.maintain()
    }

    /// Puts everything on stable storage and marks the log as cleanly closed. Other handles then fail with
    /// [`LogError::Closed`].
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

/// What all handles share.
pub(crate) struct Inner {
    dir: PathBuf,
    around: Surroundings,
    pub(crate) config: LogConfig,
    topics: Mutex<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// Held while topics are created or deleted.
    changing: Mutex<()>,
    pub(crate) groups: GroupOffsets,
    pub(crate) transactions: Transactions,
    is_closed: AtomicBool,
    lock: Mutex<Option<DirectoryLock>>,
}

impl Inner {
    fn open(
        dir: PathBuf,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        config: LogConfig,
    ) -> Result<Self> {
        recovery::ensure_dir(&*storage, &dir)?;
        let lock = DirectoryLock::acquire(&*storage, &dir)?;
        write_meta(&*storage, &dir)?;
        let recovery_points = checkpoint::read(&*storage, &dir.join(checkpoint::RECOVERY_POINT))?;
        let log_starts = checkpoint::read(&*storage, &dir.join(checkpoint::LOG_START))?;
        let topics = catalogue::read(&*storage, &dir.join(catalogue::FILE))?;
        let entries = storage.list(&dir).context("list", &dir)?;
        let is_clean = entries.iter().any(|entry| entry.name == CLEAN_SHUTDOWN);

        let budget = Arc::new(TailBudget::new(config.tail_bytes, config.tail_bytes_total));
        let inner = Self {
            dir,
            around: Surroundings { storage, clock, budget },
            config,
            topics: Mutex::new(
                topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic))).collect(),
            ),
            changing: Mutex::default(),
            groups: GroupOffsets::default(),
            transactions: Transactions::default(),
            is_closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        };
        for topic in inner.all_topics().into_iter().filter(|topic| !topic.is_deleting) {
            for number in 0..topic.partition_count() {
                let id = TopicPartition { topic: topic.name.clone(), partition: PartitionId::new(number) };
                let recovery_point = recovery_points.get(&id).copied();
                let name = topic.dir_name(id.partition);
                let exists = entries.iter().any(|entry| entry.is_dir && entry.name == name);
                if exists || recovery_point.is_some_and(|point| point > Offset::ZERO) {
                    let log_start = log_starts.get(&id).copied();
                    inner.open_partition(&topic, id, Checkpoint { recovery_point, log_start, is_clean })?;
                }
            }
        }
        // Writes checkpoints, which are those of the partitions that are open.
        inner.finish_deletions()?;
        if is_clean {
            // Gone for certain before anything is written.
            let path = inner.dir.join(CLEAN_SHUTDOWN);
            inner.storage().remove_file(&path).context("remove", &path)?;
            inner.storage().sync_dir(&inner.dir).context("sync", &inner.dir)?;
        }
        inner.replay()?;
        Ok(inner)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.around.clock
    }

    fn storage(&self) -> &dyn Storage {
        &*self.around.storage
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) { Err(LogError::Closed) } else { Ok(()) }
    }

    /// A topic by name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.topics.lock();
        match topics.get(name).filter(|topic| !topic.is_deleting) {
            Some(topic) => Ok(topic.clone()),
            None => {
                let nearest = nearest(name, topics.keys().map(|known| &**known));
                Err(LogError::UnknownTopic { topic: name.to_owned(), nearest })
            }
        }
    }

    /// One of the log's own topics, which is created on first use.
    pub(crate) fn internal_topic(&self, name: &str, partitions: u32) -> Result<Arc<Topic>> {
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        let topic = NewTopic::new(name)
            .partitions(partitions)
            .config("cleanup.policy", "compact")
            .config("segment.bytes", (100 << 20).to_string());
        match self.create_topic(topic) {
            Err(LogError::TopicExists { .. }) => self.topic(name), // by another thread just now
            outcome => outcome,
        }
    }

    /// A partition by topic and number.
    pub(crate) fn partition(&self, id: &TopicPartition) -> Result<Arc<Partition>> {
        self.check_open()?;
        self.partition_of(&*self.topic(&id.topic)?, id.partition)
    }

    /// A partition of a topic, created if its directory is not there yet.
    pub(crate) fn partition_of(&self, topic: &Topic, number: PartitionId) -> Result<Arc<Partition>> {
        let id = TopicPartition { topic: topic.name.clone(), partition: number };
        match topic.partitions.get(number.index()).map(|slot| slot.get()) {
            Some(Some(partition)) => Ok(partition.clone()),
            Some(None) => self.open_partition(topic, id, Checkpoint::default()),
            None => Err(LogError::UnknownPartition { partition: id, count: topic.partition_count() }),
        }
    }

    fn open_partition(
        &self,
        topic: &Topic,
        id: TopicPartition,
        checkpoint: Checkpoint,
    ) -> Result<Arc<Partition>> {
        let _opening = topic.opening.lock();
        let slot = &topic.partitions[id.partition.index()];
        if let Some(partition) = slot.get() {
            return Ok(partition.clone());
        }
        let dir = self.dir.join(topic.dir_name(id.partition));
        let is_new = recovery::ensure_dir(self.storage(), &dir)?;
        let partition = Partition::open(id, dir, topic.config.clone(), self.around.clone(), checkpoint)?;
        if is_new {
            partition.write_metadata(topic.id)?;
        }
        Ok(slot.get_or_init(|| Arc::new(partition)).clone())
    }

    fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics.lock().values().cloned().collect()
    }

    fn open_partitions(&self) -> Vec<Arc<Partition>> {
        let open = |topic: Arc<Topic>| {
            topic.partitions.iter().filter_map(|slot| slot.get().cloned()).collect::<Vec<_>>()
        };
        self.all_topics().into_iter().flat_map(open).collect()
    }

    pub(crate) fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>> {
        self.check_open()?;
        let _changing = self.changing.lock();
        let mut topics = self.topics.lock().clone();
        if topics.contains_key(new.name.as_str()) {
            return Err(LogError::TopicExists { topic: new.name });
        }
        catalogue::check_name(&new.name, topics.keys().map(|name| &**name))?;
        let count = new.partitions.unwrap_or(self.config.num_partitions);
        if !(1..=100_000).contains(&count) {
            let reason = format!("{count} partitions: use 1 to 100000");
            return Err(LogError::InvalidTopic { topic: new.name, reason });
        }
        if new.replication_factor > 1 {
            let asked = new.replication_factor;
            tracing::warn!(
                topic = new.name,
                asked,
                "created with replication factor 1: there is one copy here"
            );
        }
        let topic = Arc::new(Topic::new(&new.name, TopicId::random(), count, new.config)?);
        self.check_unused(&topic)?;
        topics.insert(topic.name.clone(), topic.clone());
        self.write_catalogue(&topics)?;
        self.topics.lock().insert(topic.name.clone(), topic.clone());
        if !catalogue::is_internal(&topic.name) {
            for number in 0..count {
                self.partition_of(&topic, PartitionId::new(number))?;
            }
        }
        Ok(topic)
    }

    /// Checks that no directory with records of unknown origin would become part of a new topic.
    fn check_unused(&self, topic: &Topic) -> Result<()> {
        let first = topic.dir_name(PartitionId::new(0));
        let entries = self.storage().list(&self.dir).context("list", &self.dir)?;
        if entries.iter().any(|entry| entry.name == first) {
            let reason = format!(
                "{} exists but is not in the catalogue: move it away",
                self.dir.join(first).display()
            );
            return Err(LogError::InvalidTopic { topic: topic.name.to_string(), reason });
        }
        Ok(())
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_open()?;
        if catalogue::is_internal(name) {
            let reason = "it is one of the log's own and cannot be deleted".to_owned();
            return Err(LogError::InvalidTopic { topic: name.to_owned(), reason });
        }
        let changing = self.changing.lock();
        let topic = self.topic(name)?;
        let deleting = Arc::new(Topic {
            is_deleting: true,
            ..Topic::new(name, topic.id, topic.partition_count(), topic.overrides.clone())?
        });
        let mut topics = self.topics.lock().clone();
        topics.insert(deleting.name.clone(), deleting);
        self.write_catalogue(&topics)?;
        *self.topics.lock() = topics;
        for partition in topic.partitions.iter().filter_map(|slot| slot.get()) {
            partition.mark_deleted();
        }
        self.finish_deletions()?;
        drop(changing);
        for (group, partitions) in self.groups.of_topic(name) {
            let remove = |partition| OffsetRecord { group: group.clone(), partition, committed: None };
            self.write_offsets(&group, partitions.into_iter().map(remove).collect(), None)?;
        }
        Ok(())
    }

    /// Removes the directories of topics that are marked as being deleted, then the topics.
    fn finish_deletions(&self) -> Result<()> {
        let mut topics = self.topics.lock().clone();
        let deleting: Vec<_> = topics.values().filter(|topic| topic.is_deleting).cloned().collect();
        if deleting.is_empty() {
            return Ok(());
        }
        let entries = self.storage().list(&self.dir).context("list", &self.dir)?;
        for topic in deleting {
            for number in 0..topic.partition_count() {
                let name = topic.dir_name(PartitionId::new(number));
                if entries.iter().any(|entry| entry.name == name) {
                    let path = self.dir.join(name);
                    self.storage().remove_dir(&path).context("remove", &path)?;
                }
            }
            topics.remove(&topic.name);
        }
        self.write_checkpoints(&topics)?;
        self.write_catalogue(&topics)?;
        *self.topics.lock() = topics;
        Ok(())
    }

    fn write_catalogue(&self, topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> Result<()> {
        catalogue::write(self.storage(), &self.dir.join(catalogue::FILE), topics.values())
    }

    /// Rebuilds what the log's own topics say, and ends the transactions that were open.
    fn replay(&self) -> Result<()> {
        self.replay_topic(TRANSACTION_STATE, |batch| self.transactions.replay(batch))?;
        let partitions = self.open_partitions();
        for id in partitions.iter().filter_map(|partition| partition.last_producer_id()) {
            self.transactions.note_producer_id(id);
        }
        self.resume_transactions()?;
        for partition in &partitions {
            for producer in partition.open_transactions() {
                if self.transactions.is_ending(producer.0) {
                    continue; // decided, and not for us to undo
                }
                let id = partition.id();
                match self.write_marker(id, producer, false) {
                    Ok(()) => {
                        tracing::warn!(partition = %id, producer = %producer.0, "aborted a transaction of nobody")
                    }
                    Err(LogError::Corrupt { .. } | LogError::DiskFull { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.replay_topic(CONSUMER_OFFSETS, |batch| self.groups.replay(batch))
    }

    fn replay_topic(&self, name: &str, mut take: impl FnMut(&crate::record::RecordBatch)) -> Result<()> {
        let Ok(topic) = self.topic(name) else { return Ok(()) };
        for partition in topic.partitions.iter().filter_map(|slot| slot.get()) {
            let mut from = partition.offset_at(OffsetSpec::Earliest)?;
            loop {
                match partition.read(from, 1 << 20, Isolation::ReadUncommitted) {
                    Ok(fetched) if fetched.batches.is_empty() => break,
                    Ok(fetched) => {
                        from = fetched.next_offset(from);
                        fetched.batches.iter().for_each(&mut take);
                    }
                    // What follows is lost to us, which appends to this partition will go on to say.
                    Err(error @ LogError::Corrupt { .. }) => {
                        tracing::error!(%error, "could not read all of {name}");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Commits a group's offsets, as part of a transaction if there is a session.
    pub(crate) fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset, &str)],
        transaction: Option<(&Session, i32)>,
    ) -> Result<()> {
        let timestamp = self.clock().now();
        let invalid = |key: &str, value: &str, reason: String| LogError::InvalidConfig {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        if group.is_empty() || group.len() > i16::MAX as usize {
            return Err(invalid("group.id", group, "it takes 1 to 32767 bytes".to_owned()));
        }
        let mut records = Vec::with_capacity(offsets.len());
        for (partition, offset, metadata) in offsets {
            self.partition(partition)?;
            if metadata.len() > self.config.offset_metadata_bytes_max.min(i16::MAX as usize) {
                let reason = format!("it takes at most {} bytes", self.config.offset_metadata_bytes_max);
                return Err(invalid("offset metadata", metadata, reason));
            }
            let committed = Some(Committed { offset: *offset, metadata: (*metadata).to_owned(), timestamp });
            records.push(OffsetRecord { group: group.to_owned(), partition: partition.clone(), committed });
        }
        self.write_offsets(group, records, transaction)
    }

    /// Where a group's offsets are.
    pub(crate) fn group_partition(&self, group: &str) -> Result<Arc<Partition>> {
        self.check_open()?;
        let topic = self.internal_topic(CONSUMER_OFFSETS, self.config.offsets_topic_partitions)?;
        self.partition_of(&topic, coordinator_partition(group, topic.partition_count()))
    }

    fn write_offsets(
        &self,
        group: &str,
        records: Vec<OffsetRecord>,
        transaction: Option<(&Session, i32)>,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let partition = self.group_partition(group)?;
        let now = self.clock().now();
        let mut builder = BatchBuilder::with_capacity(0);
        for record in &records {
            builder.append(now, Some(&record.encode_key()), record.encode_value().as_deref(), &[]);
        }
        if let Some((session, sequence)) = transaction {
            builder.transactional(ProducerStamp { id: session.producer_id, epoch: session.epoch, sequence });
            partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
            self.groups.hold(session.producer_id, records);
            return Ok(());
        }
        let info = partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
        if self.config.offsets_commit_acks == Acks::Synced {
            partition.sync(info.last_offset + 1)?;
        }
        self.groups.apply(info.last_offset, records);
        Ok(())
    }

    fn maintain(&self) -> Result<()> {
        self.check_open()?;
        let now = self.clock().now();
        self.abort_timed_out_transactions(now)?;
        for partition in self.open_partitions() {
            match partition.apply_retention(now) {
                Ok(0) => {}
                Ok(segments) => tracing::info!(partition = %partition.id(), segments, "deleted by retention"),
                Err(error) => tracing::warn!(partition = %partition.id(), %error, "no retention"),
            }
            if partition.idle_time(now) > TAIL_IDLE {
                partition.release_tail();
            }
        }
        self.write_checkpoints(&self.topics.lock().clone())
    }

    fn write_checkpoints(&self, topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> Result<()> {
        let (mut recovery_points, mut log_starts) = (Offsets::new(), Offsets::new());
        for partition in topics.values().flat_map(|topic| &topic.partitions).filter_map(|slot| slot.get()) {
            let (synced, start) = partition.checkpoint();
            recovery_points.insert(partition.id().clone(), synced);
            if start > Offset::ZERO {
                log_starts.insert(partition.id().clone(), start);
            }
        }
        checkpoint::write(self.storage(), &self.dir.join(checkpoint::RECOVERY_POINT), &recovery_points)?;
        checkpoint::write(self.storage(), &self.dir.join(checkpoint::LOG_START), &log_starts)
    }

    fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let lock = self.lock.lock().take();
        let (mut outcome, mut is_clean) = (Ok(()), true);
        let mut high_watermarks = Offsets::new();
        for partition in self.open_partitions() {
            match partition.close() {
                Ok(closed) => {
                    is_clean &= closed.is_clean;
                    high_watermarks.insert(partition.id().clone(), closed.recovery_point);
                }
                Err(error) => {
                    is_clean = false;
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome?;
        self.write_checkpoints(&self.topics.lock().clone())?;
        checkpoint::write(self.storage(), &self.dir.join(checkpoint::HIGH_WATERMARK), &high_watermarks)?;
        if is_clean {
            let path = self.dir.join(CLEAN_SHUTDOWN);
            self.storage().open(&path, OpenMode::Truncate).context("create", &path)?;
            self.storage().sync_dir(&self.dir).context("sync", &self.dir)?;
        }
        drop(lock);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, dir = %self.dir.display(), "could not close the log cleanly");
        }
    }
}

/// Marks the directory as a log of Kafka's layout, version 1.
fn write_meta(storage: &dyn Storage, dir: &Path) -> Result<()> {
    let path = dir.join(META);
    if let Some(text) = checkpoint::read_text(storage, &path)? {
        if text.lines().any(|line| line.trim() == "version=1") {
            return Ok(());
        }
        return Err(LogError::InvalidFile { path, reason: "it does not say version=1".to_owned() });
    }
    let (cluster, directory) = (TopicId::random(), TopicId::random());
    let text = format!("version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={directory}\n");
    storage::replace(storage, &path, text.as_bytes()).context("write", &path)
}
