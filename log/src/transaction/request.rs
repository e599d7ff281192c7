//! What producers ask of the coordinator, by the names of Kafka's protocol. A listener for remote producers fills
//! these in from the wire; the producer in this process asks in the same way.

use std::fmt;
use std::time::Duration;

use crate::group::{GroupMetadata, OffsetCommit};
use crate::types::{ProducerEpoch, ProducerId, TopicPartition};

/// A producer id and its epoch: what a producer writes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerIdentity {
    /// The producer id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

impl ProducerIdentity {
    /// The identity of these two numbers.
    pub const fn new(id: ProducerId, epoch: ProducerEpoch) -> Self {
        Self { id, epoch }
    }
}

impl fmt::Display for ProducerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epoch {}", self.id, self.epoch)
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    /// Readers see it.
    Commit,
    /// Readers that read committed data do not see it.
    Abort,
}

impl TransactionResult {
    pub(crate) fn is_commit(self) -> bool {
        self == Self::Commit
    }
}

/// What a client knows of transactions (feature `transaction.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionVersion {
    /// 0 and 1: the epoch stays when a transaction ends.
    Classic,
    /// 2: the epoch is raised whenever a transaction ends (KIP-890).
    Bumped,
}

/// Asks for a producer id and epoch (`InitProducerId`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    /// Whose transactions these will be; `None` for a producer that is only idempotent.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`, from 1 ms to `transaction.max.timeout.ms`.
    pub timeout: Duration,
    /// What the producer has now, if it asks because something went wrong (KIP-360). Without it any other producer of
    /// the same transactional id is fenced; with it, this one is if another has come.
    pub current: Option<ProducerIdentity>,
}

/// Makes partitions part of a transaction (`AddPartitionsToTxn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitionsToTxn {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// Who it is.
    pub producer: ProducerIdentity,
    /// The partitions that it is going to write to.
    pub partitions: Vec<TopicPartition>,
    /// Only asks whether they are part of it.
    pub verify_only: bool,
}

/// Makes a group's offsets part of a transaction (`AddOffsetsToTxn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOffsetsToTxn {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// Who it is.
    pub producer: ProducerIdentity,
    /// The group whose offsets it is going to write.
    pub group: String,
}

/// Writes a group's offsets inside a transaction (`TxnOffsetCommit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOffsetCommit {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// Who it is.
    pub producer: ProducerIdentity,
    /// The group and the member that read the records, which must still be one (KIP-447).
    pub group: GroupMetadata,
    /// The offsets.
    pub offsets: Vec<OffsetCommit>,
    /// From [`Bumped`](TransactionVersion::Bumped) on the group becomes part of the transaction by this alone.
    pub version: TransactionVersion,
}

/// Ends a transaction (`EndTxn`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTxn {
    /// The producer's transactional id.
    pub transactional_id: String,
    /// Who it is.
    pub producer: ProducerIdentity,
    /// How it ends.
    pub result: TransactionResult,
    /// Whether the producer expects to go on under another epoch.
    pub version: TransactionVersion,
}

/// Ends a producer's transaction in some partitions, whatever the coordinator knows (`WriteTxnMarkers`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionMarker {
    /// The producer.
    pub producer: ProducerIdentity,
    /// The coordinator's epoch, 0 in a log of one node.
    pub coordinator_epoch: i32,
    /// How it ends.
    pub result: TransactionResult,
    /// Where.
    pub partitions: Vec<TopicPartition>,
}
