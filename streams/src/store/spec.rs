//! What a topology says about a store before any task exists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::store::cache::{Arena, CachedStore, StorePlace, TaskStore, split_session, split_window};
use crate::store::ordered::OrderedStore;
use crate::store::stream_rows::{StreamRows, split_row};
use crate::store::timers::TimerStore;

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
            Self::Session { retention_ms } => stream_time.saturating_sub(retention_ms),
        }
    }

    /// How long windows or sessions are kept, in stream time.
    pub(crate) fn retention_ms(self) -> Option<i64> {
        match self {
            Self::KeyValue => None,
            Self::Window { retention_ms, .. }
            | Self::Session { retention_ms }
            | Self::StreamRows { retention_ms, .. } => Some(retention_ms),
        }
    }

    /// The bytes behind the key bytes.
    pub(crate) fn suffix(self) -> usize {
        match self {
            Self::KeyValue => 0,
            Self::Window { .. } => 8,
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
        }
    }
}

type StoreSupplier = Arc<dyn Fn(StorePlace) -> Box<dyn TaskStore> + Send + Sync>;

/// A store of a topology: its name, kind, and how each task's part of it is made.
#[derive(Clone)]
pub struct StoreSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StoreKind,
    pub(crate) changelog: bool,
    /// Whether it holds the timers of one processor.
    pub(crate) timers: bool,
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

    /// The timers of one processor: connected to it, it lets [`Context::set_timer`](crate::Context::set_timer) keep
    /// timers over commits and restarts.
    pub fn timers(name: &str) -> Self {
        let supplier: StoreSupplier = Arc::new(|place| Box::new(TimerStore::new(place)));
        Self { name: name.into(), kind: StoreKind::KeyValue, changelog: true, timers: true, supplier }
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
        Self { name: name.into(), kind, changelog: true, timers: false, supplier }
    }

    /// A store whose entries are taken in the order of their keys: see [`OrderedStore`].
    pub fn ordered(name: &str) -> Self {
        let supplier: StoreSupplier = Arc::new(|place| Box::new(OrderedStore::new(place)));
        Self { name: name.into(), kind: StoreKind::KeyValue, changelog: true, timers: false, supplier }
    }

    /// Without a changelog topic the store does not survive the loss of the state directory.
    pub fn without_changelog(mut self) -> Self {
        self.changelog = false;
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

    fn new<A: Arena>(name: &str, kind: StoreKind, arena: impl Fn() -> A + Send + Sync + 'static) -> Self {
        let supplier: StoreSupplier = Arc::new(move |place| Box::new(CachedStore::new(place, arena())));
        Self { name: name.into(), kind, changelog: true, timers: false, supplier }
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

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
