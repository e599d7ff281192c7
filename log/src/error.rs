//! The one error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::{Offset, ProducerEpoch, ProducerId, TopicPartition};

/// Result of a log operation.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// What went wrong, with which thing, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A read below the log start or above the log end.
    #[error("offset {requested} is outside {partition} [{start}, {end}): seek, or set auto.offset.reset")]
    OffsetOutOfRange {
        /// The partition read.
        partition: TopicPartition,
        /// The offset asked for.
        requested: Offset,
        /// Log start offset.
        start: Offset,
        /// Log end offset.
        end: Offset,
    },
    /// A consumer without a committed offset and with `auto.offset.reset=none`.
    #[error("{partition} has no committed offset for group {group:?}: seek, or set auto.offset.reset")]
    NoCommittedOffset {
        /// The partition without a position.
        partition: TopicPartition,
        /// The consumer's group.
        group: String,
    },
    /// A producer that a newer one with the same `transactional.id` has replaced.
    #[error("producer {id} epoch {epoch} is fenced by epoch {current}: close this producer")]
    ProducerFenced {
        /// The producer's id.
        id: ProducerId,
        /// The epoch it used.
        epoch: ProducerEpoch,
        /// The epoch now valid.
        current: ProducerEpoch,
    },
    /// A transaction call that does not fit the transaction's state.
    #[error("could not {action}: {reason}")]
    InvalidTransaction {
        /// What was attempted.
        action: &'static str,
        /// Why it does not fit, and what to do.
        reason: String,
    },
    /// A topic that does not exist.
    #[error("unknown topic {topic:?}{}", nearest_hint(.nearest))]
    UnknownTopic {
        /// The name asked for.
        topic: String,
        /// The existing name closest to it, if one is close.
        nearest: Option<String>,
    },
    /// A partition number beyond the topic's partitions.
    #[error("{partition} does not exist: the topic has {count} partition(s), numbered from 0")]
    UnknownPartition {
        /// The partition asked for.
        partition: TopicPartition,
        /// How many partitions the topic has.
        count: u32,
    },
    /// A partition that this consumer does not read.
    #[error("{partition} is not assigned to this consumer: subscribe to its topic or assign it first")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// A topic that exists already.
    #[error("topic {topic:?} already exists")]
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// A name or partition count that Kafka does not allow.
    #[error("invalid topic {topic:?}: {reason}")]
    InvalidTopic {
        /// The name asked for.
        topic: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A configuration key that does not exist.
    #[error("unknown {kind} config {key:?}{}", nearest_hint(.nearest))]
    UnknownConfig {
        /// `topic`, `log`, `producer` or `consumer`.
        kind: &'static str,
        /// The key.
        key: String,
        /// The existing key closest to it, if one is close.
        nearest: Option<String>,
    },
    /// A configuration value that its key does not take.
    #[error("invalid value {value:?} for {key}: {reason}")]
    InvalidConfig {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What the key takes.
        reason: String,
    },
    /// A record or batch larger than the topic takes.
    #[error("a batch of {bytes} bytes is larger than the {bytes_max} that {partition} takes: raise {key}")]
    TooLarge {
        /// The partition written to.
        partition: TopicPartition,
        /// Size of the batch.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
        /// The setting that holds the limit.
        key: &'static str,
    },
    /// A record that its topic does not take.
    #[error("invalid record for {partition}: {reason}")]
    InvalidRecord {
        /// The partition written to.
        partition: TopicPartition,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Bytes that are not a record batch of version 2.
    #[error("invalid record batch at offset {offset}: {reason}")]
    InvalidBatch {
        /// Base offset as the bytes give it.
        offset: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A compressed batch, whose records cannot be read yet.
    #[error(
        "the batch at offset {offset} is compressed with {codec}, which is not supported: write it uncompressed"
    )]
    Compressed {
        /// Base offset of the batch.
        offset: Offset,
        /// Name of the codec.
        codec: &'static str,
    },
    /// Bytes on disk that are not what was written. They stay as they are; what lies before them stays readable.
    #[error("{} is corrupt at position {position} (offset {offset}): {reason}; earlier offsets stay readable, restore the file from a copy", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file the first bad byte range starts.
        position: u64,
        /// The first offset that cannot be read.
        offset: Offset,
        /// What is wrong.
        reason: &'static str,
    },
    /// A partition that a failed write or sync has stopped.
    #[error("{partition} is stopped because {reason}: fix the disk, then reopen the log")]
    Stopped {
        /// The partition.
        partition: TopicPartition,
        /// The failure.
        reason: String,
    },
    /// No space left on the device. Nothing was appended; the same call may succeed once there is space.
    #[error("no space left to {action} {}: free some space and try again", .path.display())]
    DiskFull {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file or directory that this process may not write.
    #[error("no permission to {action} {}: make it writable, or choose another directory", .path.display())]
    NotWritable {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A log directory that another process, or another handle of this one, has open.
    #[error("{} is in use by {holder}: stop it, or choose another directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id and program of the holder.
        holder: String,
    },
    /// A file of the log's own that does not say what it should.
    #[error("could not understand {}: {reason}", .path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Any other failure of the operating system.
    #[error("could not {action} {}", .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A log that was closed.
    #[error("the log is closed: open it again")]
    Closed,
}

/// What the caller does after a [`LogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Try the same again later.
    Retry,
    /// Choose another offset.
    Seek,
    /// Correct the call: a name, a setting, a record.
    Correct,
    /// Abort the transaction and start a new one.
    Abort,
    /// Close this handle; an operator has to look.
    Stop,
}

impl LogError {
    /// What the caller does next. New variants are for new answers, not for new places.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::DiskFull { .. } => Recovery::Retry,
            Self::OffsetOutOfRange { .. } | Self::NoCommittedOffset { .. } => Recovery::Seek,
            Self::InvalidTransaction { .. } => Recovery::Abort,
            Self::UnknownTopic { .. }
            | Self::UnknownPartition { .. }
            | Self::NotAssigned { .. }
            | Self::TopicExists { .. }
            | Self::InvalidTopic { .. }
            | Self::UnknownConfig { .. }
            | Self::InvalidConfig { .. }
            | Self::TooLarge { .. }
            | Self::InvalidRecord { .. }
            | Self::InvalidBatch { .. }
            | Self::Compressed { .. } => Recovery::Correct,
            Self::ProducerFenced { .. }
            | Self::Corrupt { .. }
            | Self::Stopped { .. }
            | Self::NotWritable { .. }
            | Self::Locked { .. }
            | Self::InvalidFile { .. }
            | Self::Io { .. }
            | Self::Closed => Recovery::Stop,
        }
    }

    /// Sorts an operating system error by what the caller can do about it.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// Adds to an operating system error what was attempted and on which file.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| LogError::io(action, path, source))
    }
}

/// The known name closest to `name`, unless none is close.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

fn nearest_hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(": did you mean {name:?}?"))
}
