//! Stores as processors use them: by name, with typed keys and values.
//!
//! ```text
//! Stores::key_value("counts", Utf8, Int64) ─▶ StoreSpec ─▶ TopologyBuilder::add_store, connect
//! context.key_value_store::<String, i64>("counts")? ─▶ get, put, range, ..
//! ```
//! A store that was fetched from the context is a view on the task's own partition: it sees what the task wrote
//! and has not committed yet, and every iteration merges that with what is committed, in the order of the key
//! bytes. Fetch it once per batch.
//!
//! Rows carry a timestamp, in the changelog too. It is the time given to `at`, or the stream time of the task
//! until `at` is called: call it for every row whose timestamp matters.

mod key_value;
mod session;
mod stores;
mod versioned;
mod window;

use std::ops::{Bound, RangeBounds};

pub use key_value::{KeyValueStore, TimestampedKeyValueStore, ValueAndTimestamp};
pub use session::SessionStore;
pub use stores::Stores;
pub use versioned::{VersionedKeyValueStore, VersionedRecord};
pub use window::WindowStore;

use crate::dsl::arena::ValueArena;
use crate::error::StreamsError;
use crate::processor::Context;
use crate::serde::DynSerde;
use crate::store::backend::Direction;
use crate::store::cache::{Arena, CachedStore, RowState, StoreRow};
use crate::store::spec::{StoreKind, StoreSerdes};
use crate::store::versioned::Versions;

impl Context<'_> {
    /// A key-value store that is connected to this node.
    pub fn key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<KeyValueStore<'_, K, V>, StreamsError> {
        open(self, name, "a key-value store", |kind| kind == StoreKind::KeyValue).map(KeyValueStore)
    }

    /// A key-value store that is connected to this node, values with the timestamps that they were written
    /// with. Tables of the DSL are such stores.
    pub fn timestamped_key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<'_, K, V>, StreamsError> {
        open(self, name, "a key-value store", |kind| kind == StoreKind::KeyValue)
            .map(TimestampedKeyValueStore)
    }

    /// A window store that is connected to this node.
    pub fn window_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<WindowStore<'_, K, V>, StreamsError> {
        open(self, name, "a window store", |kind| matches!(kind, StoreKind::Window { .. })).map(WindowStore)
    }

    /// A session store that is connected to this node.
    pub fn session_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<SessionStore<'_, K, V>, StreamsError> {
        open(self, name, "a session store", |kind| matches!(kind, StoreKind::Session { .. }))
            .map(SessionStore)
    }

    /// A versioned store that is connected to this node.
    pub fn versioned_key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<'_, K, V>, StreamsError> {
        let fits = |kind| matches!(kind, StoreKind::Versioned { .. });
        let (store, keys) = find::<K, V, Versions<ValueArena<V>>>(self, name, "a versioned store", fits)?;
        Ok(VersionedKeyValueStore { store, keys, key: Vec::new() })
    }
}

/// The rows of an iteration. Reading them can fail, so each one is a result.
pub type StoreIter<'a, T> = Box<dyn Iterator<Item = Result<T, StreamsError>> + 'a>;

/// What every typed store has: the task's partition of the store, the key serde, and the time of the row.
struct Typed<'a, K, V: Clone + Send + Sync + 'static> {
    store: &'a mut CachedStore<ValueArena<V>>,
    keys: DynSerde<K>,
    time: i64,
    key: Vec<u8>,
}

fn open<'a, K: 'static, V: Clone + Send + Sync + 'static>(
    context: &'a mut Context<'_>,
    name: &str,
    asked: &str,
    fits: impl Fn(StoreKind) -> bool,
) -> Result<Typed<'a, K, V>, StreamsError> {
    let time = context.row_time.unwrap_or_else(|| context.stream_time());
    let (store, keys) = find::<K, V, ValueArena<V>>(context, name, asked, fits)?;
    store.load_recency()?;
    Ok(Typed { store, keys, time, key: Vec::new() })
}

/// A store that is connected to the node, and its key serde.
fn find<'a, K: 'static, V: 'static, A: Arena>(
    context: &'a mut Context<'_>,
    name: &str,
    asked: &str,
    fits: impl Fn(StoreKind) -> bool,
) -> Result<(&'a mut CachedStore<A>, DynSerde<K>), StreamsError> {
    let handle = context.store_named(name)?;
    let wrong = |holds: &str| StreamsError::WrongStore {
        store: name.to_owned(),
        holds: holds.to_owned(),
        asked: asked.to_owned(),
    };
    let store = match context.store::<CachedStore<A>>(handle) {
        Err(StreamsError::WrongType { .. }) => return Err(wrong("values of another type or form")),
        store => store?,
    };
    if !fits(store.kind()) {
        return Err(wrong(store.kind().rows()));
    }
    let (keys, _) = StoreSerdes::typed::<K, V>(store.place().serdes.as_ref(), name)?;
    Ok((store, keys))
}

impl<K: 'static, V: Clone + Send + Sync + 'static> Typed<'_, K, V> {
    /// Puts the bytes of a key, and of the times behind it, into `self.key`.
    fn encode(&mut self, key: &K, times: &[i64]) -> Result<(), StreamsError> {
        self.key.clear();
        encode(&self.keys, key, &mut self.key)?;
        for time in times {
            self.key.extend_from_slice(&time.to_be_bytes());
        }
        Ok(())
    }

    /// The slot of the key in `self.key`, if it is in the store.
    fn find(&mut self) -> Result<Option<u32>, StreamsError> {
        let found = self.store.find(&self.key)?;
        if let Some(slot) = found {
            self.store.used(slot);
        }
        Ok(found)
    }

    fn value(&self, slot: u32) -> Option<&V> {
        self.store.arena().get(slot)
    }

    /// Sets the value of the key in `self.key`.
    fn write(&mut self, value: V, timestamp: i64) -> Result<(), StreamsError> {
        let slot = self.store.slot(&self.key)?;
        self.store.put(slot, timestamp);
        self.store.arena_mut().values[slot as usize] = Some(value);
        self.store.measure(&[slot]);
        self.store.used(slot);
        self.store.limit(timestamp);
        Ok(())
    }

    /// Removes the key in `self.key`, and returns what it had.
    fn remove(&mut self) -> Result<Option<V>, StreamsError> {
        let Some(slot) = self.find()? else { return Ok(None) };
        let value = self.value(slot).cloned();
        self.store.delete(slot, self.time);
        Ok(value)
    }

    /// The first key of a range, and the first one behind it.
    fn bounds(&self, range: &impl RangeBounds<K>) -> Result<(Vec<u8>, Option<Vec<u8>>), StreamsError> {
        let behind = |key: Vec<u8>| [key.as_slice(), &[0]].concat();
        let from = match range.start_bound() {
            Bound::Included(key) => encoded(&self.keys, key)?,
            Bound::Excluded(key) => behind(encoded(&self.keys, key)?),
            Bound::Unbounded => Vec::new(),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => Some(behind(encoded(&self.keys, key)?)),
            Bound::Excluded(key) => Some(encoded(&self.keys, key)?),
            Bound::Unbounded => None,
        };
        Ok((from, to))
    }

    /// The rows of a range, as `row` makes them of key serde and row; it can leave out rows.
    fn rows<'s, T: 's>(
        &'s mut self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        row: impl Fn(&DynSerde<K>, TypedRow<'_, V>) -> Result<Option<T>, StreamsError> + 's,
    ) -> Result<StoreIter<'s, T>, StreamsError> {
        let keys = &self.keys;
        let rows = self.store.rows(from, to, direction)?;
        let arena = rows.store().arena();
        Ok(Box::new(rows.filter_map(move |stored| {
            let typed = stored.and_then(|StoreRow { key, timestamp, state }| {
                let value = match &state {
                    RowState::Cached(slot) => arena.get(*slot).cloned().ok_or_else(|| empty_row(&key))?,
                    RowState::Stored(bytes) => arena.decode(bytes)?,
                };
                row(keys, TypedRow { key: &key, value, timestamp })
            });
            typed.transpose()
        })))
    }
}

/// A row of a range, its key not decoded yet.
struct TypedRow<'a, V> {
    key: &'a [u8],
    value: V,
    timestamp: i64,
}

fn empty_row(key: &[u8]) -> StreamsError {
    StreamsError::Failed(format!("a processor left the row of key {key:02x?} without a value"))
}

fn encode<K: 'static>(keys: &DynSerde<K>, key: &K, out: &mut Vec<u8>) -> Result<(), StreamsError> {
    keys.serialize(key, out).map_err(|error| StreamsError::Serde(format!("key: {error}")))
}

pub(crate) fn encoded<K: 'static>(keys: &DynSerde<K>, key: &K) -> Result<Vec<u8>, StreamsError> {
    let mut bytes = Vec::new();
    encode(keys, key, &mut bytes)?;
    Ok(bytes)
}

pub(crate) fn decode<K: 'static>(keys: &DynSerde<K>, bytes: &[u8]) -> Result<K, StreamsError> {
    keys.deserialize(bytes).map_err(|error| StreamsError::Serde(format!("key: {error}")))
}

#[cfg(test)]
mod tests;
