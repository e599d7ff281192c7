//! The log as a whole: a handle to its topics, groups and transactions.
//!
//! ```text
//! <dir>/.lock  meta.properties  catalogue.json  .kafka_cleanshutdown
//!       recovery-point-offset-checkpoint  log-start-offset-checkpoint  replication-offset-checkpoint
//!       producer-id-block
//!       <topic>-<partition>/00000000000000000000.log .index .timeindex .txnindex .snapshot
//! ```

mod checkpoints;
mod cleaning;
mod configs;
mod groups;
mod inner;
mod maintenance;
mod repair;
mod replay;
mod topics;
mod transactions;

pub(crate) use groups::Appended;
pub(crate) use inner::{Inner, META, is_meta};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

use crate::catalogue::{self, CONSUMER_OFFSETS, NewTopic, TRANSACTION_STATE, TopicDescription};
use crate::checkpoint;
use crate::clock::{Clock, SystemClock};
use crate::config::{ConsumerConfig, LogConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::error::{LogError, Result};
use crate::fetched::{AppendInfo, Fetched};
use crate::group::Committed;
use crate::partition::{Origin, Visible};
use crate::producer::Producer;
use crate::repair::RepairMode;
use crate::salvage::{self, Salvaged};
use crate::storage::{DiskStorage, MemoryStorage, Storage};
use crate::types::{Acks, Isolation, Offset, OffsetSpec, PartitionId, TopicPartition};

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
    seed: Option<u64>,
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

    /// Sets what all that is left to chance follows from: the same seed gives the same ids. Default: from the system.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the settings.
    #[must_use]
    pub fn config(mut self, config: LogConfig) -> Self {
        self.config = config;
        self
    }

    /// Rebuilds those of the log's own files that cannot be read, so that it opens again, or with
    /// [`RepairMode::DryRun`] only says what would become of them. Nothing is done about damaged partitions, which do
    /// not keep a log from opening. Fails with [`LogError::Locked`] if the log is open.
    pub fn salvage(self, mode: RepairMode) -> Result<Vec<Salvaged>> {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
        let storage = self.storage.unwrap_or_else(|| Arc::new(DiskStorage));
        let mut random = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        salvage::salvage(&*storage, &dir, mode, &mut random)
    }

    /// Opens the log, creating it if the directory is missing or empty: takes the directory lock, recovers what a crash
    /// left behind, ends open transactions. Fails with [`LogError::Locked`] if the log is open elsewhere.
    pub fn open(self) -> Result<Log> {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
        let storage = self.storage.unwrap_or_else(|| Arc::new(DiskStorage));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let random = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Ok(Log { inner: Arc::new(Inner::open(dir, storage, clock, random, self.config)?) })
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

    /// The settings that it was opened with.
    pub fn config(&self) -> &LogConfig {
        &self.inner.config
    }

    /// Whether both are handles of one log.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
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
    ///
    /// A batch that an idempotent producer sends again is answered with the offsets it has. One that does not follow
    /// the producer's last fails with [`LogError::OutOfOrderSequence`] or [`LogError::InvalidProducerEpoch`], one of a
    /// transaction that is not open here with [`LogError::TransactionAbortable`].
    pub fn append(
        &self,
        partition: &TopicPartition,
        batch: impl Into<BytesMut>,
        acks: Acks,
    ) -> Result<AppendInfo> {
        let partition = self.inner.partition(partition)?;
        let visible = if acks == Acks::Synced { Visible::Synced } else { Visible::Now };
        let info = self.inner.append_of_producer(&partition, &mut batch.into(), Origin::Foreign, visible)?;
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
