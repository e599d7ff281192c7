//! The one error type of this crate.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error_code::ErrorCode;
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

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
    /// An idempotent producer's batch that does not follow its last one in the partition.
    #[error(
        "producer {id} epoch {epoch} wrote sequence {found} to {partition} where {expected} is next: abort the transaction, or start a new producer"
    )]
    OutOfOrderSequence {
        /// The partition written to.
        partition: TopicPartition,
        /// The producer's id.
        id: ProducerId,
        /// Its epoch.
        epoch: ProducerEpoch,
        /// The sequence number that would follow.
        expected: i32,
        /// The batch's first sequence number.
        found: i32,
    },
    /// A producer's batch under an epoch that has passed; coordinators answer [`LogError::ProducerFenced`] instead.
    #[error(
        "producer {id} wrote to {partition} under epoch {epoch}, which {current} has replaced: abort the transaction and initialize the producer again"
    )]
    InvalidProducerEpoch {
        /// The partition written to.
        partition: TopicPartition,
        /// The producer's id.
        id: ProducerId,
        /// The epoch it used.
        epoch: ProducerEpoch,
        /// The epoch now valid.
        current: ProducerEpoch,
    },
    /// A producer id that is not, or no longer, that of the transactional id.
    #[error(
        "producer {id} does not belong to transactional id {transactional_id:?}: initialize the producer again"
    )]
    InvalidProducerIdMapping {
        /// The transactional id.
        transactional_id: String,
        /// The producer id given.
        id: ProducerId,
    },
    /// A transactional id whose last transaction is still being ended.
    #[error("the last transaction of {transactional_id:?} is still being ended: try again")]
    ConcurrentTransactions {
        /// The transactional id.
        transactional_id: String,
    },
    /// A transaction that can only be aborted.
    #[error("producer {id} can only abort its transaction: {reason}")]
    TransactionAbortable {
        /// The producer's id.
        id: ProducerId,
        /// What happened.
        reason: String,
    },
    /// A transaction timeout that is zero or above the limit.
    #[error(
        "transaction.timeout.ms of {} ms for {transactional_id:?} is not from 1 to transaction.max.timeout.ms ({})",
        .timeout.as_millis(), .timeout_max.as_millis()
    )]
    InvalidTransactionTimeout {
        /// The transactional id.
        transactional_id: String,
        /// The timeout asked for.
        timeout: Duration,
        /// The largest one.
        timeout_max: Duration,
    },
    /// A marker from a coordinator that another one has replaced.
    #[error(
        "a marker for {partition} of coordinator epoch {epoch} is fenced by epoch {current}: ask the coordinator again"
    )]
    TransactionCoordinatorFenced {
        /// The partition.
        partition: TopicPartition,
        /// The coordinator's epoch.
        epoch: i32,
        /// The epoch now valid.
        current: i32,
    },
    /// A transactional id that does not exist.
    #[error("unknown transactional id {transactional_id:?}{}", nearest_hint(.nearest))]
    TransactionalIdNotFound {
        /// The id asked for.
        transactional_id: String,
        /// The existing id closest to it, if one is close.
        nearest: Option<String>,
    },
    /// A coordinator that cannot answer now.
    #[error("the coordinator of group {group:?} is not available now: try again")]
    CoordinatorNotAvailable {
        /// The group.
        group: String,
    },
    /// A member that its group does not know, or no longer.
    #[error("group {group:?} has no member {member:?}: join it again")]
    UnknownMemberId {
        /// The group.
        group: String,
        /// The member's id.
        member: String,
    },
    /// A generation of the group that has passed.
    #[error("generation {generation} of group {group:?} has passed, it is at {current}: join it again")]
    IllegalGeneration {
        /// The group.
        group: String,
        /// The generation given.
        generation: i32,
        /// The generation now.
        current: i32,
    },
    /// A group whose members have to join again.
    #[error("group {group:?} is rebalancing: join it again")]
    RebalanceInProgress {
        /// The group.
        group: String,
    },
    /// A new member's first join: it has to join again under the id it was given.
    #[error("join group {group:?} again as member {member:?}")]
    MemberIdRequired {
        /// The group.
        group: String,
        /// The id that the member was given.
        member: String,
    },
    /// A static member that another one of the same instance id has replaced.
    #[error(
        "another member of group {group:?} uses group.instance.id {instance:?}: close this one, or give it another id"
    )]
    FencedInstanceId {
        /// The group.
        group: String,
        /// The instance id.
        instance: String,
    },
    /// A member without an assignor in common with its group.
    #[error("group {group:?} cannot take this member: {reason}")]
    InconsistentGroupProtocol {
        /// The group.
        group: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// A session timeout outside of the allowed range.
    #[error(
        "session.timeout.ms of {} ms is not from {} to {} as group {group:?} needs",
        .timeout.as_millis(), .timeout_min.as_millis(), .timeout_max.as_millis()
    )]
    InvalidSessionTimeout {
        /// The group.
        group: String,
        /// The timeout asked for.
        timeout: Duration,
        /// The smallest one, `group.min.session.timeout.ms`.
        timeout_min: Duration,
        /// The largest one, `group.max.session.timeout.ms`.
        timeout_max: Duration,
    },
    /// A group id that is not allowed.
    #[error("invalid group id {group:?}: {reason}")]
    InvalidGroupId {
        /// The id given.
        group: String,
        /// The rule it breaks, and what to do.
        reason: &'static str,
    },
    /// A group that takes no more members.
    #[error("group {group:?} has {size_max} members already: raise group.max.size, or close one")]
    GroupMaxSizeReached {
        /// The group.
        group: String,
        /// `group.max.size`.
        size_max: usize,
    },
    /// A group that still has members.
    #[error("group {group:?} has {members} member(s): close them first")]
    NonEmptyGroup {
        /// The group.
        group: String,
        /// How many members it has.
        members: usize,
    },
    /// A group that does not exist.
    #[error("unknown group {group:?}{}", nearest_hint(.nearest))]
    GroupIdNotFound {
        /// The id asked for.
        group: String,
        /// The existing group closest to it, if one is close.
        nearest: Option<String>,
    },
    /// Offsets of a topic that members of the group read.
    #[error("members of group {group:?} read topic {topic:?}: close them first")]
    GroupSubscribedToTopic {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
    },
    /// Too much text with a committed offset.
    #[error(
        "the metadata of {bytes} bytes with the offset of {partition} is larger than {bytes_max}: shorten it, or raise offset.metadata.max.bytes"
    )]
    OffsetMetadataTooLarge {
        /// The partition committed.
        partition: TopicPartition,
        /// Size of the text.
        bytes: usize,
        /// `offset.metadata.max.bytes`.
        bytes_max: usize,
    },
    /// A committed offset whose transaction has not ended.
    #[error("the offset of group {group:?} in {partition} is part of an open transaction: try again")]
    UnstableOffsetCommit {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// A timestamp outside of what the topic takes.
    #[error("timestamp {timestamp} for {partition} is outside [{earliest}, {latest}]: {hint}")]
    InvalidTimestamp {
        /// The partition written to.
        partition: TopicPartition,
        /// The record's timestamp.
        timestamp: Timestamp,
        /// The smallest one taken.
        earliest: Timestamp,
        /// The largest one taken.
        latest: Timestamp,
        /// What to change.
        hint: &'static str,
    },
    /// Something that a rule of this log forbids.
    #[error("could not {action}: {reason}")]
    PolicyViolation {
        /// What was attempted.
        action: &'static str,
        /// The rule, and what to do.
        reason: String,
    },
    /// A partition count that is not allowed.
    #[error("topic {topic:?} cannot have {count} partition(s): {reason}")]
    InvalidPartitions {
        /// The topic.
        topic: String,
        /// The count asked for.
        count: u32,
        /// The rule it breaks.
        reason: String,
    },
    /// A codec that is not supported.
    #[error("compression {codec:?} is not supported: use none, gzip, snappy, lz4 or zstd")]
    UnsupportedCompressionType {
        /// Its name, or its number in the batch.
        codec: String,
    },
    /// A call that contradicts itself.
    #[error("could not {action}: {reason}")]
    InvalidRequest {
        /// What was attempted.
        action: &'static str,
        /// What contradicts, and what to do.
        reason: String,
    },
    /// A pattern of topics that cannot be read.
    #[error("invalid regular expression {pattern:?}: {reason}")]
    InvalidRegularExpression {
        /// The pattern.
        pattern: String,
        /// Where it goes wrong.
        reason: String,
    },
    /// Something that did not happen in time. It may succeed later.
    #[error("could not {action} within {} ms: {hint}", .waited.as_millis())]
    TimedOut {
        /// What was attempted.
        action: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// What to do or raise.
        hint: &'static str,
    },
    /// A key or value that its serde cannot write or read.
    #[error("could not {action} the {part} of {place}: {reason}")]
    Serialization {
        /// `write` or `read`.
        action: &'static str,
        /// `key` or `value`.
        part: &'static str,
        /// Which record.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Records of a batch that its topic does not take. None of the batch was appended.
    #[error("invalid record(s) {records} for {partition}: {reason}")]
    InvalidRecords {
        /// The partition written to.
        partition: TopicPartition,
        /// Their numbers in the batch, from 0; the first ones if there are many.
        records: String,
        /// The rule they break.
        reason: &'static str,
    },
    /// A topic that asks for more copies than there are.
    #[error(
        "{partition} asks for {asked} copies and there is one: set min.insync.replicas to 1, or write with acks=1"
    )]
    NotEnoughReplicas {
        /// The partition written to.
        partition: TopicPartition,
        /// `min.insync.replicas`.
        asked: u32,
    },
    /// Bytes that are not a record batch of version 2.
    #[error("invalid record batch at offset {offset}: {reason}")]
    InvalidBatch {
        /// Base offset as the bytes give it.
        offset: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Bytes on disk that are not what was written. They stay as they are, and the partition takes no batches until it
    /// is repaired; what lies before and behind them stays readable.
    #[error(
        "{} is corrupt at positions {position} to {position_end} (offsets {offset} to {}): {reason}; other offsets stay \
         readable, restore the file from a copy or run `millstream repair`",
        .path.display(), last_offset(*.offset_end)
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file the bad bytes start.
        position: u64,
        /// Where in the file they end.
        position_end: u64,
        /// The first offset that cannot be read.
        offset: Offset,
        /// The first offset that may be readable again.
        offset_end: Offset,
        /// What is wrong.
        reason: Cow<'static, str>,
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
    /// Join the group again.
    Rejoin,
    /// Close this handle; an operator has to look.
    Stop,
}

impl LogError {
    /// What the caller does next. New variants are for new answers, not for new places.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::DiskFull { .. }
            | Self::ConcurrentTransactions { .. }
            | Self::CoordinatorNotAvailable { .. }
            | Self::UnstableOffsetCommit { .. }
            | Self::NotEnoughReplicas { .. }
            | Self::TimedOut { .. } => Recovery::Retry,
            Self::OffsetOutOfRange { .. } | Self::NoCommittedOffset { .. } => Recovery::Seek,
            Self::InvalidTransaction { .. }
            | Self::OutOfOrderSequence { .. }
            | Self::InvalidProducerEpoch { .. }
            | Self::InvalidProducerIdMapping { .. }
            | Self::TransactionAbortable { .. } => Recovery::Abort,
            Self::UnknownMemberId { .. }
            | Self::IllegalGeneration { .. }
            | Self::RebalanceInProgress { .. }
            | Self::MemberIdRequired { .. } => Recovery::Rejoin,
            Self::UnknownTopic { .. }
            | Self::UnknownPartition { .. }
            | Self::NotAssigned { .. }
            | Self::TopicExists { .. }
            | Self::InvalidTopic { .. }
            | Self::UnknownConfig { .. }
            | Self::InvalidConfig { .. }
            | Self::TooLarge { .. }
            | Self::InvalidRecord { .. }
            | Self::InvalidRecords { .. }
            | Self::InvalidBatch { .. }
            | Self::InvalidTransactionTimeout { .. }
            | Self::TransactionalIdNotFound { .. }
            | Self::InconsistentGroupProtocol { .. }
            | Self::InvalidSessionTimeout { .. }
            | Self::InvalidGroupId { .. }
            | Self::GroupMaxSizeReached { .. }
            | Self::NonEmptyGroup { .. }
            | Self::GroupIdNotFound { .. }
            | Self::GroupSubscribedToTopic { .. }
            | Self::OffsetMetadataTooLarge { .. }
            | Self::InvalidTimestamp { .. }
            | Self::PolicyViolation { .. }
            | Self::InvalidPartitions { .. }
            | Self::UnsupportedCompressionType { .. }
            | Self::InvalidRequest { .. }
            | Self::InvalidRegularExpression { .. }
            | Self::Serialization { .. } => Recovery::Correct,
            Self::ProducerFenced { .. }
            | Self::TransactionCoordinatorFenced { .. }
            | Self::FencedInstanceId { .. }
            | Self::Corrupt { .. }
            | Self::Stopped { .. }
            | Self::NotWritable { .. }
            | Self::Locked { .. }
            | Self::InvalidFile { .. }
            | Self::Io { .. }
            | Self::Closed => Recovery::Stop,
        }
    }

    /// Kafka's code for it, for answers on the wire and for callers that treat remote logs alike.
    ///
    /// What Kafka's protocol has no code for gets the one its clients treat alike; [`recovery`](Self::recovery) then
    /// says more than [`ErrorCode::is_retriable`], since a failed disk of this process does not come back by itself.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } | Self::NoCommittedOffset { .. } => ErrorCode::OffsetOutOfRange,
            Self::ProducerFenced { .. } => ErrorCode::ProducerFenced,
            Self::InvalidTransaction { .. } => ErrorCode::InvalidTxnState,
            Self::UnknownTopic { .. } | Self::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            Self::InvalidTopic { .. } => ErrorCode::InvalidTopicException,
            Self::UnknownConfig { .. } | Self::InvalidConfig { .. } => ErrorCode::InvalidConfig,
            Self::TooLarge { key: "segment.bytes", .. } => ErrorCode::RecordListTooLarge,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::InvalidRecord { .. } | Self::InvalidRecords { .. } | Self::Serialization { .. } => {
                ErrorCode::InvalidRecord
            }
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidProducerIdMapping { .. } => ErrorCode::InvalidProducerIdMapping,
            Self::ConcurrentTransactions { .. } => ErrorCode::ConcurrentTransactions,
            Self::TransactionAbortable { .. } => ErrorCode::TransactionAbortable,
            Self::InvalidTransactionTimeout { .. } => ErrorCode::InvalidTransactionTimeout,
            Self::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::TransactionalIdNotFound { .. } => ErrorCode::TransactionalIdNotFound,
            Self::CoordinatorNotAvailable { .. } => ErrorCode::CoordinatorNotAvailable,
            Self::UnknownMemberId { .. } => ErrorCode::UnknownMemberId,
            Self::IllegalGeneration { .. } => ErrorCode::IllegalGeneration,
            Self::RebalanceInProgress { .. } => ErrorCode::RebalanceInProgress,
            Self::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
            Self::FencedInstanceId { .. } => ErrorCode::FencedInstanceId,
            Self::InconsistentGroupProtocol { .. } => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
            Self::InvalidGroupId { .. } => ErrorCode::InvalidGroupId,
            Self::GroupMaxSizeReached { .. } => ErrorCode::GroupMaxSizeReached,
            Self::NonEmptyGroup { .. } => ErrorCode::NonEmptyGroup,
            Self::GroupIdNotFound { .. } => ErrorCode::GroupIdNotFound,
            Self::GroupSubscribedToTopic { .. } => ErrorCode::GroupSubscribedToTopic,
            Self::OffsetMetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
            Self::UnstableOffsetCommit { .. } => ErrorCode::UnstableOffsetCommit,
            Self::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::PolicyViolation { .. } => ErrorCode::PolicyViolation,
            Self::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
            Self::UnsupportedCompressionType { .. } => ErrorCode::UnsupportedCompressionType,
            Self::NotAssigned { .. } | Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            Self::InvalidRegularExpression { .. } => ErrorCode::InvalidRegularExpression,
            Self::TimedOut { .. } => ErrorCode::RequestTimedOut,
            Self::InvalidBatch { .. } | Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::Stopped { .. }
            | Self::DiskFull { .. }
            | Self::NotWritable { .. }
            | Self::Locked { .. }
            | Self::InvalidFile { .. }
            | Self::Io { .. } => ErrorCode::KafkaStorageError,
            Self::Closed => ErrorCode::UnknownServerError,
        }
    }

    /// Whether the same call may succeed later without a change by the caller.
    pub fn is_retriable(&self) -> bool {
        self.recovery() == Recovery::Retry
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

/// The last offset of a range, as a text; a range whose end is not known ends with the log.
fn last_offset(end: Offset) -> String {
    match end.get() {
        u64::MAX => "the end".to_owned(),
        end => end.saturating_sub(1).to_string(),
    }
}

fn nearest_hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(": did you mean {name:?}?"))
}
