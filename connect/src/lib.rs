//! Connectors: tasks that move records between the log and other systems, described by configs with Kafka
//! Connect's names.
//!
//! ```text
//! config ─▶ Worker ─▶ connector ─▶ tasks, one thread each
//! source task ─▶ SourceBatch ─▶ converters ─▶ records and source offsets, in one transaction
//! sink task   ◀─ SinkBatch   ◀─ converters ◀─ records, then the file or table, then the offsets
//! ```
//!
//! Reading order: [`ConnectorConfig`] and [`ConfigKey`] say what a connector is told; [`SourceTask`] and
//! [`SinkTask`] what it does; [`Worker`] runs it; [`ConnectorHandle`] shows how it goes. The built-in
//! connectors read and write files: see [`FileStreamSource`], [`FileSource`], [`FileStreamSink`] and
//! [`FileSink`].
//!
//! Batches are Arrow columns beside keys and timestamps; the converters are those of `millstream_formats`.
//! Configs and source offsets live in the topics [`CONFIGS_TOPIC`] and [`OFFSETS_TOPIC`], as in Kafka
//! Connect. A source's records and its offset commit in one transaction, so a crash at any point neither
//! loses nor doubles a record. Not here: transforms, a REST server, several workers sharing the tasks.

mod batch;
mod config;
mod connector;
mod converter;
mod definition;
mod error;
mod file;
mod runtime;
mod settings;

pub use batch::{
    BadRecord, Polled, SinkBatch, SourceBatch, SourceOffset, SourcePartition, SourceSchema, ValueShape,
};
pub use config::ConnectorConfig;
pub use connector::{
    SinkConnector, SinkOffsets, SinkShape, SinkTask, SourceConnector, SourceProgress, SourceTask,
};
pub use converter::Converter;
pub use definition::{ConfigKey, DefaultValue, Importance, Kind};
pub use error::ConnectError;
pub use file::{FileSink, FileSource, FileStreamSink, FileStreamSource};
pub use runtime::{
    CONFIGS_TOPIC, ConnectorHandle, ConnectorKind, ConnectorStatus, OFFSETS_TOPIC, Progress, State,
    TaskStatus, Worker, WorkerConfig,
};
pub use settings::Settings;
