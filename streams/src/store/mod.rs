//! State: what a task remembers between batches, and what of it is committed.
//!
//! ```text
//! processor ─▶ CachedStore (decoded, this task's, uncommitted changes) ─▶ changelog topic ┐ one transaction
//!                    ▲ loads misses                                      outputs, offsets ┘
//!                    └──────── StateBackend (bytes, committed) ◀── one write batch, after the transaction
//! ```
//! Reading order: [`spec`] what a topology asks for, [`backend`] committed bytes with their two implementors
//! [`memory`] and [`rocks`], [`cache`] decoded state in slots, `key_index` the windows of a key, [`stream_rows`] and
//! [`ordered`] what joins keep, `timers` per-key timers, [`versioned`] values over time, [`typed`] stores
//! as processors use them, [`view`], [`readonly`] and [`query`] queries from outside.

pub mod backend;
pub mod cache;
pub(crate) mod changelog;
pub(crate) mod key_index;
pub mod listener;
pub mod memory;
pub(crate) mod mixed;
pub mod ordered;
pub mod query;
pub mod readonly;
pub mod rocks;
pub mod spec;
pub mod stream_rows;
pub(crate) mod timers;
pub mod typed;
pub mod versioned;
pub mod view;

pub use backend::{Change, Direction, Entry, Family, Found, Scan, StateBackend, WriteBatch};
pub use cache::{Arena, CachedStore, NO_SLOT, StoreSize, TaskStore};
pub use listener::{RestoredStore, StandbyUpdateListener, StateRestoreListener, SuspendReason};
pub use memory::MemoryBackend;
pub use ordered::OrderedStore;
pub use query::{
    FailureReason, KeyMetadata, KeyQuery, MultiVersionedKeyQuery, PartitionAnswer, Position, QueryFailure,
    RangeQuery, StateQuery, StateQueryRequest, StateQueryResult, VersionedKeyQuery, WindowKeyQuery,
    WindowRangeQuery,
};
pub use readonly::{
    ReadOnlyKeyValueStore, ReadOnlySessionStore, ReadOnlyVersionedStore, ReadOnlyWindowStore,
};
pub use rocks::{RocksBackend, RocksMemory, RocksUsage};
pub use spec::{StoreHandle, StoreKind, StoreSpec};
pub use stream_rows::{HashedKey, KeptRow, StreamRows};
pub use timers::Timer;
pub use typed::{
    KeyValueStore, SessionStore, StoreIter, Stores, TimestampedKeyValueStore, ValueAndTimestamp,
    VersionedKeyValueStore, VersionedRecord, WindowStore,
};
pub use versioned::{PutOutcome, Version, Versions};
pub use view::{KeyRange, StoreView, StoredRow, StoredVersion};
