//! The log as a whole: a handle to its topics, groups and transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

use crate::catalogue::{NewTopic, TopicDescription};
use crate::clock::Clock;
use crate::config::{ConsumerConfig, LogConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::error::{LogError, Result};
use crate::fetched::{AppendInfo, Fetched};
use crate::producer::Producer;
use crate::storage::Storage;
use crate::types::{Acks, Isolation, Offset, OffsetSpec, Timestamp, TopicPartition};

/// A cheap handle to an open log. The last one to go closes the log.
#[derive(Clone, Debug)]
pub struct Log {
    clock: Arc<dyn Clock>,
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

    /// Sets the file system. Default [`DiskStorage`](crate::DiskStorage).
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Sets the clock. Default [`SystemClock`](crate::SystemClock).
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

    /// Opens the log, creating it if the directory is empty.
    pub fn open(self) -> Result<Log> {
        Err(LogError::Closed)
    }
}

/// A group's offset in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Text kept with it.
    pub metadata: String,
    /// When it was committed.
    pub timestamp: Timestamp,
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

    /// An empty log in memory: the same engine over [`MemoryStorage`](crate::MemoryStorage).
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// The clock that it was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Creates a topic.
    pub fn create_topic(&self, _topic: NewTopic) -> Result<TopicDescription> {
        Err(LogError::Closed)
    }

    /// Deletes a topic, its records and the groups' offsets in it.
    pub fn delete_topic(&self, _name: &str) -> Result<()> {
        Err(LogError::Closed)
    }

    /// All topics by name, the log's own too.
    pub fn topics(&self) -> Vec<TopicDescription> {
        Vec::new()
    }

    /// One topic.
    pub fn describe_topic(&self, _name: &str) -> Result<TopicDescription> {
        Err(LogError::Closed)
    }

    /// The offset that `spec` stands for. For a time later than all records it is the high watermark.
    pub fn offsets(&self, _partition: &TopicPartition, _spec: OffsetSpec) -> Result<Offset> {
        Err(LogError::Closed)
    }

    /// Appends a batch that a [`BatchBuilder`](crate::BatchBuilder) built; offset and leader epoch are filled in.
    pub fn append(
        &self,
        _partition: &TopicPartition,
        _batch: impl Into<BytesMut>,
        _acks: Acks,
    ) -> Result<AppendInfo> {
        Err(LogError::Closed)
    }

    /// Stored batches from the one holding `from` on: at most `bytes_max` bytes, but always one whole batch.
    pub fn read(
        &self,
        _partition: &TopicPartition,
        _from: Offset,
        _bytes_max: usize,
        _isolation: Isolation,
    ) -> Result<Fetched> {
        Err(LogError::Closed)
    }

    /// A producer. With a `transactional.id` older producers of that id are fenced.
    pub fn producer(&self, _config: ProducerConfig) -> Result<Producer> {
        Err(LogError::Closed)
    }

    /// A consumer, without partitions yet.
    pub fn consumer(&self, _config: ConsumerConfig) -> Result<Consumer> {
        Err(LogError::Closed)
    }

    /// The offsets that a group has committed, by partition; empty for an unknown group.
    pub fn committed_offsets(&self, _group: &str) -> Vec<(TopicPartition, Committed)> {
        Vec::new()
    }

    /// Commits offsets for a group, each with a text kept beside it.
    pub fn commit_offsets(&self, _group: &str, _offsets: &[(TopicPartition, Offset, &str)]) -> Result<()> {
        Err(LogError::Closed)
    }

    /// Names of the groups that have committed offsets.
    pub fn groups(&self) -> Vec<String> {
        Vec::new()
    }

    /// Puts everything on stable storage and marks the log as cleanly closed. Other handles then fail with
    /// [`LogError::Closed`].
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}
