//! A partitioned, append-only log on local disk, in Kafka's record format and with its transactions.
//!
//! ```text
//! Producer ─▶ BatchBuilder ─▶ Partition ─▶ active segment ─▶ .log .index .timeindex
//! Consumer ◀─ RecordBatch  ◀─ Partition ◀─ tail in memory, or batches read back and checked
//! ```
//! Reading order: `record` bytes, `segment` files, `partition` offsets, `transaction` markers, `engine` the whole.
//! Applications begin at [`client`], which shows how to produce, consume, and look after topics, and at [`serde`].
//! Not here: replication, value formats with schemas. Nothing is async, and nothing starts a thread but
//! [`SharedProducer::start`].

#[macro_use]
mod planted;

mod aborted;
mod background;
mod catalogue;
mod checkpoint;
mod cleaner;
pub mod client;
mod clock;
mod column;
mod config;
mod consumer;
mod corruption;
mod dump;
mod engine;
mod error;
mod error_code;
mod fetched;
pub mod group;
mod lock;
mod mutex;
mod partition;
mod partitioner;
mod producer;
mod producer_state;
mod record;
mod recovery;
mod repair;
mod salvage;
mod segment;
pub mod serde;
mod signal;
pub mod simulation;
mod storage;
mod tail;
mod transaction;
mod types;
mod wire;

pub use background::lower_thread_priority;
pub use catalogue::{NewTopic, TopicDescription, TopicId};
pub use cleaner::{Cleaned, CleanerStats};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    AutoOffsetReset, CleanerConfig, CleanupPolicy, CompressionType, ConfigChange, ConfigEntry,
    ConfigOperation, ConfigSource, ConfigSynonym, ConfigType, ConsumerConfig, LogConfig, PartitionerClass,
    ProducerConfig, TimestampType, TopicConfig,
};
pub use consumer::{
    CommitCallback, Consumer, OffsetAndTimestamp, PartitionRecords, RebalanceListener, Waker,
};
pub use dump::{Decoder, DumpOptions, Mismatch, Problem, dump};
pub use engine::{Log, LogBuilder};
pub use error::{LogError, Recovery, Result};
pub use error_code::ErrorCode;
pub use fetched::{AbortedTransaction, AppendInfo, Fetched};
pub use group::{Committed, GroupMember, GroupMetadata, GroupProtocol, MemberEvent, OffsetCommit};
pub use partitioner::{murmur2, partition_for_key};
pub use producer::{
    Delivery, Flushed, Producer, ProducerInterceptor, ProducerMetrics, Record, RecordMetadata, Sender,
    SharedProducer, Step, TopicHandle,
};
pub use record::{
    BatchBuilder, Codec, Compression, Header, HeaderView, Headers, RecordBatch, RecordView, Records,
};
pub use repair::{LostRange, RepairMode, RepairReport};
pub use salvage::Salvaged;
pub use storage::{DiskStorage, Entry, File, Locking, MemoryStorage, OpenMode, ReadOnlyStorage, Storage};
pub use transaction::{
    AbortSpec, AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, HangingTransaction, InitProducerId,
    ProducerDescription, ProducerIdentity, TransactionDescription, TransactionFilter, TransactionListing,
    TransactionMarker, TransactionResult, TransactionState, TransactionVersion, TxnOffsetCommit,
};
pub use types::{
    Acks, Isolation, Offset, OffsetSpec, PartitionId, ProducerEpoch, ProducerId, Timestamp, TopicPartition,
};
