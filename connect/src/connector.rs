//! The two kinds of connectors and their tasks.

use arrow::datatypes::Fields;
use millstream_log::{Offset, TopicPartition};

use crate::{
    batch::{Polled, SinkBatch, SourceOffset, SourcePartition, SourceSchema},
    converter::Converter,
    definition::ConfigKey,
    error::ConnectError,
    settings::Settings,
};

/// Offsets of partitions up to which a sink holds the records: the next to deliver.
pub type SinkOffsets = Vec<(TopicPartition, Offset)>;

/// Reads from another system. As Kafka Connect's `SourceConnector`.
pub trait SourceConnector: Send + Sync {
    /// Names under which configs ask for it in `connector.class`, the main one first.
    fn class_names(&self) -> &'static [&'static str];

    /// Its own settings; those that all sources have are added by the worker.
    fn config_keys(&self) -> &'static [ConfigKey];

    /// Splits the work: settings for each of at most `tasks_max` tasks. Fails on what single keys cannot
    /// tell.
    fn task_settings(&self, settings: &Settings, tasks_max: usize) -> Result<Vec<Settings>, ConnectError>;

    /// Makes a task. Nothing is opened before [`SourceTask::start`].
    fn task(&self, settings: Settings) -> Result<Box<dyn SourceTask>, ConnectError>;
}

/// Moves a part of a source's data. Runs on one thread; each poll becomes one transaction.
pub trait SourceTask: Send {
    /// What it reads; its offsets are stored under this name.
    fn partition(&self) -> SourcePartition;

    /// Opens the source behind `offset`, which is what its last committed batch said, and tells what it will
    /// deliver.
    fn start(&mut self, offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError>;

    /// The next records. Must not block for long; reading again from a stored offset must give the same
    /// records.
    fn poll(&mut self) -> Result<Polled, ConnectError>;

    /// How far it is.
    fn progress(&self) -> SourceProgress;
}

/// How far a source task is, in bytes of what it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// Bytes read.
    pub bytes_done: u64,
    /// Bytes there are, if it is known.
    pub bytes_total: Option<u64>,
}

/// Writes to another system. As Kafka Connect's `SinkConnector`.
pub trait SinkConnector: Send + Sync {
    /// Names under which configs ask for it in `connector.class`, the main one first.
    fn class_names(&self) -> &'static [&'static str];

    /// Its own settings; those that all sinks have are added by the worker.
    fn config_keys(&self) -> &'static [ConfigKey];

    /// Splits the work: settings for each of at most `tasks_max` tasks. Fails on what single keys cannot
    /// tell.
    fn task_settings(&self, settings: &Settings, tasks_max: usize) -> Result<Vec<Settings>, ConnectError>;

    /// Makes a task. Nothing is opened before [`SinkTask::open`].
    fn task(&self, settings: Settings) -> Result<Box<dyn SinkTask>, ConnectError>;
}

/// How a sink task wants its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkShape {
    /// One STRING column: text as it is, numbers as text, JSON objects as JSON text.
    Text,
    /// Named columns.
    Record(Fields),
}

/// Moves records of some partitions to the other system. Runs on one thread.
pub trait SinkTask: Send {
    /// Opens the target. Where it knows itself how far it holds the records, reading starts there; for other
    /// partitions the group's committed offset counts.
    fn open(&mut self, partitions: &[TopicPartition]) -> Result<SinkOffsets, ConnectError>;

    /// How it wants the values; asked before the first [`SinkTask::put`]. `first` is the first value that is not
    /// NULL. While there is none it may answer `None`: the NULLs are then passed over and it is asked again.
    fn shape(
        &mut self,
        first: Option<&[u8]>,
        converter: &Converter,
    ) -> Result<Option<SinkShape>, ConnectError>;

    /// Takes records; they need not be safe before [`SinkTask::flush`].
    fn put(&mut self, batch: &SinkBatch) -> Result<(), ConnectError>;

    /// Makes all records taken so far safe. `offsets` are where reading goes on; they are committed after it
    /// returns.
    fn flush(&mut self, offsets: &SinkOffsets) -> Result<(), ConnectError>;
}
