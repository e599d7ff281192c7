//! Versioned key-value stores.

use std::ops::RangeInclusive;

use crate::dsl::arena::ValueArena;
use crate::error::StreamsError;
use crate::serde::DynSerde;
use crate::store::cache::CachedStore;
use crate::store::typed::encode;
use crate::store::versioned::{PutOutcome, Version, Versions};

/// A versioned store of a task: see
/// [`Context::versioned_key_value_store`](crate::Context::versioned_key_value_store).
///
/// As Kafka's `VersionedKeyValueStore` (KIP-889): a value is valid from its timestamp until that of the next
/// value of the key, in whatever order they were put. History is kept as long behind stream time as the store
/// says; older versions are not taken and not found, except that the latest value of a key is always there.
pub struct VersionedKeyValueStore<'a, K, V: Clone + Send + Sync + 'static> {
    pub(super) store: &'a mut CachedStore<Versions<ValueArena<V>>>,
    pub(super) keys: DynSerde<K>,
    pub(super) key: Vec<u8>,
}

/// A value with the time in which it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when on it is valid, in ms.
    pub timestamp: i64,
    /// Until when it is valid (excluded), in ms; none for the latest one.
    pub valid_to: Option<i64>,
}

impl<K: 'static, V: Clone + Send + Sync + 'static> VersionedKeyValueStore<'_, K, V> {
    /// Sets the value of a key from a time (ms) on.
    pub fn put(&mut self, key: &K, value: V, timestamp: i64) -> Result<PutOutcome, StreamsError> {
        self.encode(key)?;
        self.store.put_version(&self.key, timestamp, |arena, slot| arena.values[slot as usize] = Some(value))
    }

    /// The latest value of a key.
    pub fn get(&mut self, key: &K) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        self.get_as_of(key, i64::MAX)
    }

    /// The value that a key had at a time (ms).
    pub fn get_as_of(&mut self, key: &K, time: i64) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        self.encode(key)?;
        let Some(version) = self.store.version_at(&self.key, time)? else { return Ok(None) };
        let valid_to = self.store.valid_to(&self.key, version.timestamp)?;
        self.record(version, valid_to).map(Some)
    }

    /// Removes a key from a time (ms) on. Returns the value that it had at that time.
    pub fn delete(&mut self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        let before = self.get_as_of(key, timestamp)?;
        self.store.delete_version(&self.key, timestamp)?;
        Ok(before)
    }

    /// The values that a key had at some time in a range, the latest first.
    pub fn history(
        &mut self,
        key: &K,
        times: RangeInclusive<i64>,
    ) -> Result<Vec<VersionedRecord<V>>, StreamsError> {
        self.encode(key)?;
        let history = self.store.history(&self.key, *times.start(), *times.end())?;
        history.into_iter().map(|(version, valid_to)| self.record(version, valid_to)).collect()
    }

    fn encode(&mut self, key: &K) -> Result<(), StreamsError> {
        self.key.clear();
        encode(&self.keys, key, &mut self.key)
    }

    fn record(&self, version: Version, valid_to: Option<i64>) -> Result<VersionedRecord<V>, StreamsError> {
        let value = self.store.arena().inner.get(version.slot).cloned();
        let value = value.ok_or_else(|| super::empty_row(&self.key))?;
        Ok(VersionedRecord { value, timestamp: version.timestamp, valid_to })
    }
}
