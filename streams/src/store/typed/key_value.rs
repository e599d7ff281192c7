//! Key-value stores.

use std::ops::RangeBounds;

use crate::error::StreamsError;
use crate::serde::Serde;
use crate::store::backend::{Direction, prefix_end};
use crate::store::typed::{StoreIter, Typed, decode};

/// A key-value store of a task: see [`Context::key_value_store`](crate::Context::key_value_store).
///
/// As Kafka's `KeyValueStore`; keys are in the order of their bytes.
pub struct KeyValueStore<'a, K, V: Clone + Send + Sync + 'static>(pub(super) Typed<'a, K, V>);

/// A value with the timestamp (ms) that it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// The timestamp in ms.
    pub timestamp: i64,
}

/// A key-value store of a task whose values carry timestamps: see
/// [`Context::timestamped_key_value_store`](crate::Context::timestamped_key_value_store).
pub struct TimestampedKeyValueStore<'a, K, V: Clone + Send + Sync + 'static>(pub(super) Typed<'a, K, V>);

macro_rules! common {
    ($row:ty, $make:expr) => {
        /// The time (ms) of the row that is worked on: what is written from now on carries it. In a store with a time to
        /// live, rows that are too old at that time vanish.
        pub fn at(&mut self, timestamp: i64) -> &mut Self {
            self.0.time = timestamp;
            self.0.store.observe(timestamp);
            self
        }

        /// The rows of a range of keys.
        pub fn range(&mut self, range: impl RangeBounds<K>) -> Result<StoreIter<'_, $row>, StreamsError> {
            self.directed(range, Direction::Forward)
        }

        /// The rows of a range of keys, the last one first.
        pub fn reverse_range(
            &mut self,
            range: impl RangeBounds<K>,
        ) -> Result<StoreIter<'_, $row>, StreamsError> {
            self.directed(range, Direction::Reverse)
        }

        /// All rows.
        pub fn all(&mut self) -> Result<StoreIter<'_, $row>, StreamsError> {
            self.directed(.., Direction::Forward)
        }

        /// All rows, the last one first.
        pub fn reverse_all(&mut self) -> Result<StoreIter<'_, $row>, StreamsError> {
            self.directed(.., Direction::Reverse)
        }

        /// The rows whose key bytes begin with those of `prefix`.
        pub fn prefix_scan<P>(
            &mut self,
            prefix: &P,
            serde: &impl Serde<P>,
        ) -> Result<StoreIter<'_, $row>, StreamsError> {
            let mut from = Vec::new();
            serde
                .serialize(prefix, &mut from)
                .map_err(|error| StreamsError::Serde(format!("prefix: {error}")))?;
            let to = prefix_end(&from);
            self.0.rows(&from, to.as_deref(), Direction::Forward, |keys, row| {
                Ok(Some(($make)(decode(keys, row.key)?, row.value, row.timestamp)))
            })
        }

        /// About how many rows there are, uncommitted ones not counted.
        pub fn approximate_num_entries(&self) -> Result<u64, StreamsError> {
            let place = self.0.store.place();
            let (from, to) = place.bounds();
            place.backend.estimate_rows(place.family, &from, &to)
        }

        fn directed(
            &mut self,
            range: impl RangeBounds<K>,
            direction: Direction,
        ) -> Result<StoreIter<'_, $row>, StreamsError> {
            let (from, to) = self.0.bounds(&range)?;
            self.0.rows(&from, to.as_deref(), direction, |keys, row| {
                Ok(Some(($make)(decode(keys, row.key)?, row.value, row.timestamp)))
            })
        }
    };
}

impl<K: 'static, V: Clone + Send + Sync + 'static> KeyValueStore<'_, K, V> {
    /// The value of a key.
    pub fn get(&mut self, key: &K) -> Result<Option<&V>, StreamsError> {
        self.0.encode(key, &[])?;
        let slot = self.0.find()?;
        Ok(slot.and_then(|slot| self.0.value(slot)))
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: &K, value: V) -> Result<(), StreamsError> {
        self.0.encode(key, &[])?;
        self.0.write(value, self.0.time)
    }

    /// Sets the value of a key that has none. Returns the value that it has, if it has one.
    pub fn put_if_absent(&mut self, key: &K, value: V) -> Result<Option<&V>, StreamsError> {
        self.0.encode(key, &[])?;
        match self.0.find()? {
            Some(slot) => Ok(self.0.value(slot)),
            None => self.0.write(value, self.0.time).map(|()| None),
        }
    }

    /// Sets the values of many keys.
    pub fn put_all(&mut self, rows: impl IntoIterator<Item = (K, V)>) -> Result<(), StreamsError> {
        rows.into_iter().try_for_each(|(key, value)| self.put(&key, value))
    }

    /// Removes a key, and returns the value that it had.
    pub fn delete(&mut self, key: &K) -> Result<Option<V>, StreamsError> {
        self.0.encode(key, &[])?;
        self.0.remove()
    }

    common!((K, V), |key, value, _| (key, value));
}

impl<K: 'static, V: Clone + Send + Sync + 'static> TimestampedKeyValueStore<'_, K, V> {
    /// The value of a key, and when it was written.
    pub fn get(&mut self, key: &K) -> Result<Option<ValueAndTimestamp<&V>>, StreamsError> {
        self.0.encode(key, &[])?;
        let slot = self.0.find()?;
        Ok(slot.and_then(|slot| {
            let timestamp = self.0.store.timestamp(slot);
            self.0.value(slot).map(|value| ValueAndTimestamp { value, timestamp })
        }))
    }

    /// Sets the value of a key with its timestamp (ms).
    pub fn put(&mut self, key: &K, value: V, timestamp: i64) -> Result<(), StreamsError> {
        self.0.encode(key, &[])?;
        self.0.write(value, timestamp)
    }

    /// Sets the value of a key that has none. Returns the value that it has, if it has one.
    pub fn put_if_absent(
        &mut self,
        key: &K,
        value: V,
        timestamp: i64,
    ) -> Result<Option<ValueAndTimestamp<&V>>, StreamsError> {
        self.0.encode(key, &[])?;
        if self.0.find()?.is_some() {
            return self.get(key);
        }
        self.0.write(value, timestamp).map(|()| None)
    }

    /// Sets the values of many keys.
    pub fn put_all(
        &mut self,
        rows: impl IntoIterator<Item = (K, ValueAndTimestamp<V>)>,
    ) -> Result<(), StreamsError> {
        rows.into_iter().try_for_each(|(key, row)| self.put(&key, row.value, row.timestamp))
    }

    /// Removes a key, and returns the value that it had.
    pub fn delete(&mut self, key: &K) -> Result<Option<V>, StreamsError> {
        self.0.encode(key, &[])?;
        self.0.remove()
    }

    common!((K, ValueAndTimestamp<V>), |key, value, timestamp| (key, ValueAndTimestamp { value, timestamp }));
}
