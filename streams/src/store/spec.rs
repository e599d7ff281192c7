//! What a topology says about a store before any task exists, and where a task's part of it lives.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StreamsError;
use crate::serde::DynSerde;
use crate::store::backend::{Family, StateBackend, prefix_end};
use crate::store::cache::{Arena, CachedStore, TaskStore, split_session, split_window};
use crate::store::listener::StateRestoreListener;
use crate::store::ordered::OrderedStore;
use crate::store::stream_rows::{StreamRows, split_row};
use crate::store::timers::TimerStore;
use crate::store::versioned::{Versions, split_version};
use crate::store::{changelog, memory};

/// A store of a topology: what processors use to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreHandle(pub(crate) usize);

/// How the keys of a store are built and how long they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Keys as they are, kept until deleted.
    KeyValue,
    /// Key bytes followed by the window start in 8 bytes, big endian (Kafka's layout). Windows that began
    /// before stream time less `retention_ms` are not read any more and are removed as stream time goes on.
    Window {
        /// The length of a window.
        size_ms: i64,
        /// How far behind stream time a window may begin; at least size plus grace.
        retention_ms: i64,
    },
    /// Key bytes followed by the session's end and start, 8 bytes each, big endian (Kafka's layout). Sessions that
    /// ended before stream time less `retention_ms` are not read any more and are removed as stream time goes on.
    Session {
        /// How far behind stream time a session may end; at least gap plus grace.
        retention_ms: i64,
    },
    /// Key bytes followed by the time and a sequence number, in 8 and 4 bytes, big endian: rows of a stream, kept for
    /// a join. Rows that are older than stream time less `retention_ms` have expired.
    StreamRows {
        /// How far behind stream time a row may be.
        retention_ms: i64,
        /// The slices of time in which rows lie together in the backend and are removed.
        segment_ms: i64,
    },
    /// The versions of keys over time: see [`crate::store::versioned`].
    Versioned {
        /// How far behind stream time values can be put and asked for.
        history_ms: i64,
    },
}

/// Kafka's least length of a segment.
const SEGMENT_MS_MIN: i64 = 60_000;

impl StoreKind {
    /// The first window start (session end) that is still read at this stream time; what lies before has expired.
    pub(crate) fn first_live(self, stream_time: i64) -> i64 {
        match self {
            Self::KeyValue => i64::MIN,
            Self::Window { retention_ms, .. } | Self::StreamRows { retention_ms, .. } => {
                stream_time.saturating_sub(retention_ms).saturating_add(1)
            }
            Self::Session { retention_ms } | Self::Versioned { history_ms: retention_ms } => {
                stream_time.saturating_sub(retention_ms)
            }
        }
    }

    /// What the rows are, for messages.
    pub(crate) fn rows(self) -> &'static str {
        match self {
            Self::KeyValue => "keys without windows",
            Self::Window { .. } => "windows",
            Self::Session { .. } => "sessions",
            Self::StreamRows { .. } => "stream rows",
            Self::Versioned { .. } => "versions",
        }
    }

    /// How long windows or sessions are kept, in stream time.
    pub(crate) fn retention_ms(self) -> Option<i64> {
        match self {
            Self::KeyValue => None,
            Self::Window { retention_ms, .. }
            | Self::Session { retention_ms }
            | Self::Versioned { history_ms: retention_ms }
            | Self::StreamRows { retention_ms, .. } => Some(retention_ms),
        }
    }

    /// The bytes behind the key bytes.
    pub(crate) fn suffix(self) -> usize {
        match self {
            Self::KeyValue => 0,
            Self::Window { .. } | Self::Versioned { .. } => 8,
            Self::Session { .. } => 16,
            Self::StreamRows { .. } => 12,
        }
    }

    /// The time by which a stored key expires: a window's start, a session's end.
    pub(crate) fn time(self, stored: &[u8]) -> i64 {
        match self {
            Self::KeyValue => i64::MAX,
            Self::Window { .. } => split_window(stored).1,
            Self::Session { .. } => split_session(stored).2,
            Self::StreamRows { .. } => split_row(stored).1,
            Self::Versioned { .. } => split_version(stored).1,
        }
    }
}

type StoreSupplier = Arc<dyn Fn(StorePlace) -> Box<dyn TaskStore> + Send + Sync>;

/// A store of a topology: its name, kind, and how each task's part of it is made. For stores that processors
/// use by type, see [`Stores`](crate::store::Stores).
#[derive(Clone)]
pub struct StoreSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    pub(crate) changelog: bool,
    /// The topic of the user's that the store is filled from, which is its changelog, too.
    pub(crate) source_topic: Option<Arc<str>>,
    /// Whether operators may coalesce updates until commits.
    pub(crate) caching: bool,
    /// Whether it holds the timers of one processor.
    pub(crate) timers: bool,
    /// Settings of the changelog topic that differ from the defaults of the kind.
    pub(crate) changelog_configs: Vec<(String, String)>,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) in_memory: bool,
    /// Of more keys, those that were not used for the longest time are removed.
    pub(crate) max_entries: Option<usize>,
    pub(crate) serdes: Option<StoreSerdes>,
    /// Is told of restores.
    pub(crate) listener: Option<Arc<dyn StateRestoreListener>>,
    pub(crate) supplier: StoreSupplier,
}

impl StoreSpec {
    /// A key-value store whose decoded values live in the arenas that `arena` makes, one per task.
    pub fn key_value<A: Arena>(name: &str, arena: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::new(name, StoreKind::KeyValue, arena)
    }

    /// A window store. `retention` is raised to `size` if it is less.
    pub fn window<A: Arena>(
        name: &str,
        size: Duration,
        retention: Duration,
        arena: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let size_ms = millis(size);
        Self::new(name, StoreKind::Window { size_ms, retention_ms: millis(retention).max(size_ms) }, arena)
    }

    /// A session store.
    pub fn session<A: Arena>(
        name: &str,
        retention: Duration,
        arena: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, StoreKind::Session { retention_ms: millis(retention) }, arena)
    }

    /// A versioned store that keeps history for this long behind stream time.
    pub fn versioned<A: Arena>(
        name: &str,
        history: Duration,
        arena: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let kind = StoreKind::Versioned { history_ms: millis(history) };
        Self::new(name, kind, move || Versions::new(arena()))
    }

    /// The timers of one processor: connected to it, it lets [`Context::set_timer`](crate::Context::set_timer) keep
    /// timers over commits and restarts.
    pub fn timers(name: &str) -> Self {
        let supplier: StoreSupplier = Arc::new(|place| Box::new(TimerStore::new(place)));
        Self { timers: true, ..Self::supplied(name, StoreKind::KeyValue, supplier) }
    }

    /// A store of stream rows that keeps them for `retention`: see [`StreamRows`].
    pub fn stream_rows<A: Arena>(
        name: &str,
        retention: Duration,
        arena: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let retention_ms = millis(retention).max(1);
        let kind = StoreKind::StreamRows { retention_ms, segment_ms: (retention_ms / 2).max(SEGMENT_MS_MIN) };
        let supplier: StoreSupplier = Arc::new(move |place| Box::new(StreamRows::new(place, arena())));
        Self::supplied(name, kind, supplier)
    }

    /// A store whose entries are taken in the order of their keys: see [`OrderedStore`].
    pub fn ordered(name: &str) -> Self {
        let supplier: StoreSupplier = Arc::new(|place| Box::new(OrderedStore::new(place)));
        Self::supplied(name, StoreKind::KeyValue, supplier)
    }

    /// Without a changelog topic the store does not survive the loss of the state directory, and an in-memory
    /// store does not survive the end of the process.
    #[must_use]
    pub fn without_changelog(mut self) -> Self {
        self.changelog = false;
        self
    }

    /// The store has the rows of this topic as they are, and is restored from it; see
    /// [`TopologyBuilder::add_read_only_store`](crate::TopologyBuilder::add_read_only_store).
    pub(crate) fn filled_by(mut self, topic: &str) -> Self {
        self.source_topic = Some(topic.into());
        self
    }

    /// Operators forward every update to this store, though the application coalesces updates until commits.
    #[must_use]
    pub fn without_caching(mut self) -> Self {
        self.caching = false;
        self
    }

    /// A setting of the changelog topic, such as `segment.bytes`, in place of the default.
    #[must_use]
    pub fn changelog_config(mut self, key: &str, value: &str) -> Self {
        self.changelog_configs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Committed rows are kept in memory and not in RocksDB; a start reads the whole changelog.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Rows of a key-value store vanish once they are older than this in event time: when the timestamp they
    /// were last written with lies more than `ttl` behind the stream time of the store. They are removed at
    /// commits, from the changelog too.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl_ms = Some(millis(ttl));
        self
    }

    /// Names the serdes of keys and values, so that processors and queries can use the store by type.
    #[must_use]
    pub fn serdes<K: 'static, V: 'static>(mut self, keys: DynSerde<K>, values: DynSerde<V>) -> Self {
        self.serdes = Some(StoreSerdes::new(keys, values));
        self
    }

    /// The name, unique in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    pub(crate) fn new<A: Arena>(
        name: &str,
        kind: StoreKind,
        arena: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self::supplied(name, kind, Arc::new(move |place| Box::new(CachedStore::new(place, arena()))))
    }

    pub(crate) fn supplied(name: &str, kind: StoreKind, supplier: StoreSupplier) -> Self {
        Self {
            name: name.into(),
            kind,
            changelog: true,
            source_topic: None,
            caching: true,
            timers: false,
            changelog_configs: Vec::new(),
            ttl_ms: None,
            in_memory: false,
            max_entries: None,
            serdes: None,
            listener: None,
            supplier,
        }
    }
}

impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSpec")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The serdes of a store, with their types erased.
#[derive(Clone)]
pub(crate) struct StoreSerdes {
    keys: Arc<dyn Any + Send + Sync>,
    values: Arc<dyn Any + Send + Sync>,
    types: (&'static str, &'static str),
}

impl StoreSerdes {
    fn new<K: 'static, V: 'static>(keys: DynSerde<K>, values: DynSerde<V>) -> Self {
        Self { keys: Arc::new(keys), values: Arc::new(values), types: (type_name::<K>(), type_name::<V>()) }
    }

    /// The serde of the keys, if they are of this type.
    pub(crate) fn keys<K: 'static>(serdes: Option<&Self>, store: &str) -> Result<DynSerde<K>, StreamsError> {
        let keys = serdes.and_then(|serdes| serdes.keys.downcast_ref::<DynSerde<K>>());
        keys.cloned().ok_or_else(|| StreamsError::WrongStore {
            store: store.to_owned(),
            holds: serdes.map_or("keys whose type is not known", |serdes| serdes.types.0).to_owned(),
            asked: type_name::<K>().to_owned(),
        })
    }

    /// The serdes, if the store is one of these types.
    pub(crate) fn typed<K: 'static, V: 'static>(
        serdes: Option<&Self>,
        store: &str,
    ) -> Result<(DynSerde<K>, DynSerde<V>), StreamsError> {
        let wrong = |holds: String| StreamsError::WrongStore {
            store: store.to_owned(),
            holds,
            asked: format!("{} -> {}", type_name::<K>(), type_name::<V>()),
        };
        let Some(serdes) = serdes else { return Err(wrong("rows whose types are not known".to_owned())) };
        let keys = serdes.keys.downcast_ref::<DynSerde<K>>();
        let values = serdes.values.downcast_ref::<DynSerde<V>>();
        match (keys, values) {
            (Some(keys), Some(values)) => Ok((Arc::clone(keys), Arc::clone(values))),
            _ => Err(wrong(format!("{} -> {}", serdes.types.0, serdes.types.1))),
        }
    }
}

/// Where a task's part of a store lives.
#[derive(Clone)]
pub struct StorePlace {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    pub(crate) caching: bool,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) max_entries: Option<usize>,
    pub(crate) serdes: Option<StoreSerdes>,
    pub(crate) listener: Option<Arc<dyn StateRestoreListener>>,
    pub(crate) backend: Arc<dyn StateBackend>,
    /// The rows: partition (4 bytes, big endian) and key -> timestamp (8 bytes, big endian) and state.
    pub(crate) family: Family,
    /// By when rows expire, for stores whose rows do: see [`crate::store::cache`].
    pub(crate) index: Option<Family>,
    /// How far the rows have come in the changelog.
    pub(crate) offsets: Family,
    pub(crate) partition: u32,
}

impl StorePlace {
    /// The place of one partition of a store in the backend of its application.
    pub(crate) fn open(
        spec: &StoreSpec,
        backend: &Arc<dyn StateBackend>,
        partition: u32,
    ) -> Result<Self, StreamsError> {
        let family = |name: &str| match spec.in_memory {
            true => backend.family(&format!("{}{name}", memory::PREFIX)),
            false => backend.family(name),
        };
        let expires = match spec.kind {
            StoreKind::KeyValue => spec.ttl_ms.is_some(),
            StoreKind::Window { .. } | StoreKind::Session { .. } | StoreKind::Versioned { .. } => true,
            // Its segments expire as a whole.
            StoreKind::StreamRows { .. } => false,
        };
        Ok(Self {
            name: Arc::clone(&spec.name),
            kind: spec.kind,
            caching: spec.caching,
            ttl_ms: spec.ttl_ms,
            max_entries: spec.max_entries,
            serdes: spec.serdes.clone(),
            listener: spec.listener.clone(),
            backend: Arc::clone(backend),
            family: family(spec.name())?,
            // No store can have this name: it is not legal.
            index: if expires { Some(family(&format!("{}/expiry", spec.name))?) } else { None },
            offsets: family(changelog::OFFSETS)?,
            partition,
        })
    }

    /// A place for a test of a store, in a backend of its own.
    #[cfg(test)]
    pub(crate) fn in_test(
        name: &str,
        kind: StoreKind,
        backend: &Arc<crate::store::MemoryBackend>,
        partition: u32,
    ) -> Self {
        let backend: Arc<dyn StateBackend> = backend.clone();
        let spec = StoreSpec::supplied(name, kind, Arc::new(|place| Box::new(OrderedStore::new(place))));
        Self::open(&spec, &backend, partition).expect("memory does not fail")
    }

    /// The first key of this partition in the backend, and the first one behind it.
    pub(crate) fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let from = self.partition.to_be_bytes();
        let to = prefix_end(&from).expect("no topic has 2^32 partitions");
        (from.to_vec(), to)
    }

    /// A key of this partition as the backend has it.
    pub(crate) fn backend_key(&self, key: &[u8]) -> Vec<u8> {
        [&self.partition.to_be_bytes(), key].concat()
    }

    /// The first time that is live: rows with an earlier one have expired.
    pub(crate) fn first_live(&self, stream_time: i64) -> i64 {
        match self.ttl_ms {
            Some(ttl_ms) => stream_time.saturating_sub(ttl_ms),
            None => self.kind.first_live(stream_time),
        }
    }

    /// A row's state that does not become a value.
    pub(crate) fn undecodable(&self, bytes: usize, error: &dyn fmt::Display) -> StreamsError {
        self.corrupt(format!(
            "{bytes} bytes of state do not decode: {error}; if the type of its values has changed, give the store \
             another name, or delete its changelog topic and the state directory"
        ))
    }

    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> StreamsError {
        StreamsError::CorruptState { store: self.name.to_string(), reason: reason.into() }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
