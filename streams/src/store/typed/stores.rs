//! Specifications of typed stores.

use std::sync::Arc;
use std::time::Duration;

use crate::dsl::arena::ValueArena;
use crate::serde::{DynSerde, Serde};
use crate::store::spec::StoreSpec;

/// Makes the specifications of stores that processors use by type, as Kafka's `Stores` does. All of them are
/// persistent with a changelog unless [`StoreSpec`]'s methods say otherwise.
///
/// | Kafka | here |
/// |---|---|
/// | `persistentKeyValueStore`, `persistentTimestampedKeyValueStore` | [`Stores::key_value`] |
/// | `inMemoryKeyValueStore` | [`Stores::key_value`], [`StoreSpec::in_memory`] |
/// | `persistentWindowStore`, `persistentTimestampedWindowStore` | [`Stores::window`] |
/// | `persistentSessionStore` | [`Stores::session`] |
/// | `persistentVersionedKeyValueStore` | [`Stores::versioned`] |
/// | `lruMap` | [`Stores::lru_map`] |
/// | `withLoggingEnabled(configs)`, `withLoggingDisabled` | [`StoreSpec::changelog_config`], [`StoreSpec::without_changelog`] |
#[derive(Clone, Copy, Debug)]
pub struct Stores;

impl Stores {
    /// A key-value store. Every value carries its timestamp, so it can be used with timestamps and without.
    pub fn key_value<K: 'static, V: Clone + Send + Sync + 'static>(
        name: &str,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> StoreSpec {
        let (keys, values) = (Arc::new(keys) as DynSerde<K>, Arc::new(values) as DynSerde<V>);
        StoreSpec::key_value(name, arena(&values)).serdes(keys, values)
    }

    /// A key-value store in memory that keeps this many keys: of more, those that were not read or written for
    /// the longest time are removed.
    pub fn lru_map<K: 'static, V: Clone + Send + Sync + 'static>(
        name: &str,
        max_entries: usize,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> StoreSpec {
        let spec = Self::key_value(name, keys, values).in_memory();
        StoreSpec { max_entries: Some(max_entries), ..spec }
    }

    /// A store of values over time: see [`VersionedKeyValueStore`](crate::store::VersionedKeyValueStore). Values
    /// can be put and asked for up to `history` behind stream time.
    pub fn versioned<K: 'static, V: Clone + Send + Sync + 'static>(
        name: &str,
        history: Duration,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> StoreSpec {
        let (keys, values) = (Arc::new(keys) as DynSerde<K>, Arc::new(values) as DynSerde<V>);
        StoreSpec::versioned(name, history, arena(&values)).serdes(keys, values)
    }

    /// A store of windows of this size that are kept for `retention` behind the latest one; at least for their
    /// size.
    pub fn window<K: 'static, V: Clone + Send + Sync + 'static>(
        name: &str,
        size: Duration,
        retention: Duration,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> StoreSpec {
        let (keys, values) = (Arc::new(keys) as DynSerde<K>, Arc::new(values) as DynSerde<V>);
        StoreSpec::window(name, size, retention, arena(&values)).serdes(keys, values)
    }

    /// A store of sessions that are kept until `retention` after their end, in stream time.
    pub fn session<K: 'static, V: Clone + Send + Sync + 'static>(
        name: &str,
        retention: Duration,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> StoreSpec {
        let (keys, values) = (Arc::new(keys) as DynSerde<K>, Arc::new(values) as DynSerde<V>);
        StoreSpec::session(name, retention, arena(&values)).serdes(keys, values)
    }
}

fn arena<V: Clone + Send + Sync + 'static>(
    values: &DynSerde<V>,
) -> impl Fn() -> ValueArena<V> + Send + Sync + 'static {
    let values = Arc::clone(values);
    move || ValueArena::new(Arc::clone(&values))
}
