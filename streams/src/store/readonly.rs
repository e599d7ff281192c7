//! Stores as queries from outside see them, with typed keys and values: committed rows only.
//!
//! ```text
//! app.store("counts")? ─▶ StoreView (bytes) ─▶ .key_value::<String, i64>()? ─▶ get, range, ..
//! ```

use std::ops::{Bound, RangeBounds, RangeInclusive};

use crate::error::StreamsError;
use crate::serde::{DynSerde, Serde, Windowed};
use crate::store::backend::Direction;
use crate::store::spec::{StoreKind, StoreSerdes};
use crate::store::typed::{StoreIter, ValueAndTimestamp, VersionedRecord};
use crate::store::view::{KeyRange, StoreView, StoredRow, StoredVersion};

/// A key-value store, read from outside. As Kafka's `ReadOnlyKeyValueStore`.
pub struct ReadOnlyKeyValueStore<K, V>(Typed<K, V>);

/// A window store, read from outside. As Kafka's `ReadOnlyWindowStore`.
pub struct ReadOnlyWindowStore<K, V>(Typed<K, V>);

/// A session store, read from outside. As Kafka's `ReadOnlySessionStore`.
pub struct ReadOnlySessionStore<K, V>(Typed<K, V>);

/// A versioned store, read from outside.
pub struct ReadOnlyVersionedStore<K, V>(Typed<K, V>);

impl StoreView {
    /// The rows of a key-value store by type. Fails if the store has other types or is of another kind.
    pub fn key_value<K: 'static, V: 'static>(&self) -> Result<ReadOnlyKeyValueStore<K, V>, StreamsError> {
        self.typed("a key-value store", |kind| kind == StoreKind::KeyValue).map(ReadOnlyKeyValueStore)
    }

    /// The rows of a window store by type.
    pub fn window<K: 'static, V: 'static>(&self) -> Result<ReadOnlyWindowStore<K, V>, StreamsError> {
        self.typed("a window store", |kind| matches!(kind, StoreKind::Window { .. })).map(ReadOnlyWindowStore)
    }

    /// The rows of a session store by type.
    pub fn session<K: 'static, V: 'static>(&self) -> Result<ReadOnlySessionStore<K, V>, StreamsError> {
        let fits = |kind| matches!(kind, StoreKind::Session { .. });
        self.typed("a session store", fits).map(ReadOnlySessionStore)
    }

    /// The rows of a versioned store by type.
    pub fn versioned<K: 'static, V: 'static>(&self) -> Result<ReadOnlyVersionedStore<K, V>, StreamsError> {
        let fits = |kind| matches!(kind, StoreKind::Versioned { .. });
        self.typed("a versioned store", fits).map(ReadOnlyVersionedStore)
    }

    /// The rows of a window or session store by type.
    pub(crate) fn windowed<K: 'static, V: 'static>(&self) -> Result<Typed<K, V>, StreamsError> {
        let fits = |kind| matches!(kind, StoreKind::Window { .. } | StoreKind::Session { .. });
        self.typed("a window or session store", fits)
    }

    fn typed<K: 'static, V: 'static>(
        &self,
        asked: &str,
        fits: impl Fn(StoreKind) -> bool,
    ) -> Result<Typed<K, V>, StreamsError> {
        if !fits(self.kind()) {
            return Err(StreamsError::WrongStore {
                store: self.name().to_owned(),
                holds: self.kind().rows().to_owned(),
                asked: asked.to_owned(),
            });
        }
        let (keys, values) = StoreSerdes::typed(self.place.serdes.as_ref(), self.name())?;
        Ok(Typed { view: self.clone(), keys, values })
    }
}

impl<K: 'static, V: 'static> ReadOnlyKeyValueStore<K, V> {
    /// The value of a key, and when it was written.
    pub fn get(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>, StreamsError> {
        let row = self.0.view.get(&self.0.key(key)?)?;
        row.map(|row| self.0.timestamped(&row)).transpose()
    }

    /// The rows of a range of keys, partition by partition in the order of the key bytes.
    pub fn range(
        &self,
        range: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        self.directed(range, Direction::Forward)
    }

    /// As [`ReadOnlyKeyValueStore::range`], the last row first.
    pub fn reverse_range(
        &self,
        range: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        self.directed(range, Direction::Reverse)
    }

    /// All rows.
    pub fn all(&self) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        self.directed(.., Direction::Forward)
    }

    /// All rows, the last one first.
    pub fn reverse_all(&self) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        self.directed(.., Direction::Reverse)
    }

    /// The rows whose key bytes begin with those of `prefix`.
    pub fn prefix_scan<P>(
        &self,
        prefix: &P,
        serde: &impl Serde<P>,
    ) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        let mut bytes = Vec::new();
        serde
            .serialize(prefix, &mut bytes)
            .map_err(|error| StreamsError::Serde(format!("prefix: {error}")))?;
        let rows: Vec<_> = Vec::from_iter(self.0.view.prefix(&bytes));
        Ok(Box::new(rows.into_iter().map(|row| self.0.timestamped_pair(&row?))))
    }

    /// About how many rows there are.
    pub fn approximate_num_entries(&self) -> Result<u64, StreamsError> {
        let place = &self.0.view.place;
        let mut rows = 0;
        for partition in self.0.view.partitions() {
            let (from, to) = (partition.to_be_bytes(), (partition + 1).to_be_bytes());
            rows += place.backend.estimate_rows(place.family, &from, &to)?;
        }
        Ok(rows)
    }

    fn directed(
        &self,
        range: impl RangeBounds<K>,
        direction: Direction,
    ) -> Result<StoreIter<'_, (K, ValueAndTimestamp<V>)>, StreamsError> {
        let rows = self.0.rows(&range, i64::MIN..=i64::MAX, direction)?;
        Ok(Box::new(rows.map(|row| self.0.timestamped_pair(&row?))))
    }
}

impl<K: 'static, V: 'static> ReadOnlyWindowStore<K, V> {
    /// The value of a key's window that starts at this time (ms).
    pub fn fetch_one(&self, key: &K, start: i64) -> Result<Option<V>, StreamsError> {
        let row = self.0.view.windows(&self.0.key(key)?, start, start)?.pop();
        row.map(|row| self.0.value(&row.value)).transpose()
    }

    /// The starts and values of a key's windows that start in this range.
    pub fn fetch(
        &self,
        key: &K,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        self.of_key(key, starts, Direction::Forward)
    }

    /// As [`ReadOnlyWindowStore::fetch`], the last window first.
    pub fn backward_fetch(
        &self,
        key: &K,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        self.of_key(key, starts, Direction::Reverse)
    }

    /// The windows of a range of keys that start in a range of times.
    pub fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&keys, starts, Direction::Forward)
    }

    /// As [`ReadOnlyWindowStore::fetch_keys`], the last key and window first.
    pub fn backward_fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&keys, starts, Direction::Reverse)
    }

    /// The windows of all keys that start in a range of times.
    pub fn fetch_all(
        &self,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&.., starts, Direction::Forward)
    }

    /// All windows.
    pub fn all(&self) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&.., i64::MIN..=i64::MAX, Direction::Forward)
    }

    /// All windows, the last key and window first.
    pub fn backward_all(&self) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&.., i64::MIN..=i64::MAX, Direction::Reverse)
    }

    fn of_key(
        &self,
        key: &K,
        starts: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        let key = self.0.key(key)?;
        let range = KeyRange::between(key.clone(), key);
        let rows = self.0.view.windows_between(range, *starts.start(), *starts.end(), direction);
        Ok(Box::new(rows.map(|row| {
            let row = row?;
            Ok((row.window_start.unwrap_or_default(), self.0.value(&row.value)?))
        })))
    }
}

impl<K: 'static, V: 'static> ReadOnlySessionStore<K, V> {
    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or before (ms).
    pub fn find_sessions(
        &self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, earliest_end, latest_start, Direction::Forward)
    }

    /// As [`ReadOnlySessionStore::find_sessions`], the last session first.
    pub fn backward_find_sessions(
        &self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, earliest_end, latest_start, Direction::Reverse)
    }

    /// The value of one session.
    pub fn fetch_session(&self, key: &K, start: i64, end: i64) -> Result<Option<V>, StreamsError> {
        let rows = self.0.view.windows(&self.0.key(key)?, end, end)?;
        let row = rows.into_iter().find(|row| row.window_start == Some(start));
        row.map(|row| self.0.value(&row.value)).transpose()
    }

    /// The sessions of a key.
    pub fn fetch(&self, key: &K) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, i64::MIN, i64::MAX, Direction::Forward)
    }

    /// The sessions of a key, the last one first.
    pub fn backward_fetch(&self, key: &K) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, i64::MIN, i64::MAX, Direction::Reverse)
    }

    /// The sessions of a range of keys.
    pub fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&keys, i64::MIN..=i64::MAX, Direction::Forward)
    }

    /// The sessions of a range of keys, the last key and session first.
    pub fn backward_fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.0.windows(&keys, i64::MIN..=i64::MAX, Direction::Reverse)
    }

    fn of_key(
        &self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
        direction: Direction,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        let key = self.0.key(key)?;
        let range = KeyRange::between(key.clone(), key);
        let rows = self.0.view.windows_between(range, earliest_end, i64::MAX, direction);
        let rows = rows.filter(move |row| {
            row.as_ref().map_or(true, |row| row.window_start.is_some_and(|start| start <= latest_start))
        });
        Ok(Box::new(rows.map(|row| self.0.windowed_pair(&row?))))
    }
}

impl<K: 'static, V: 'static> ReadOnlyVersionedStore<K, V> {
    /// The latest value of a key.
    pub fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        self.get_as_of(key, i64::MAX)
    }

    /// The value that a key had at a time (ms).
    pub fn get_as_of(&self, key: &K, time: i64) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        let version = self.0.view.version(&self.0.key(key)?, time)?;
        Ok(version.map(|version| self.0.record(&version)).transpose()?.flatten())
    }

    /// The values that a key had at some time in a range, the latest first.
    pub fn history(
        &self,
        key: &K,
        times: RangeInclusive<i64>,
    ) -> Result<Vec<VersionedRecord<V>>, StreamsError> {
        let versions = self.0.view.versions(&self.0.key(key)?, *times.start(), *times.end())?;
        versions.iter().filter_map(|version| self.0.record(version).transpose()).collect()
    }
}

/// A view with its serdes.
pub(crate) struct Typed<K, V> {
    view: StoreView,
    keys: DynSerde<K>,
    values: DynSerde<V>,
}

impl<K: 'static, V: 'static> Typed<K, V> {
    fn key(&self, key: &K) -> Result<Vec<u8>, StreamsError> {
        crate::store::typed::encoded(&self.keys, key)
    }

    fn value(&self, bytes: &[u8]) -> Result<V, StreamsError> {
        self.values.deserialize(bytes).map_err(|error| self.view.place.undecodable(bytes.len(), &error))
    }

    fn timestamped(&self, row: &StoredRow) -> Result<ValueAndTimestamp<V>, StreamsError> {
        Ok(ValueAndTimestamp { value: self.value(&row.value)?, timestamp: row.timestamp })
    }

    fn timestamped_pair(&self, row: &StoredRow) -> Result<(K, ValueAndTimestamp<V>), StreamsError> {
        Ok((crate::store::typed::decode(&self.keys, &row.key)?, self.timestamped(row)?))
    }

    fn windowed_pair(&self, row: &StoredRow) -> Result<(Windowed<K>, V), StreamsError> {
        let key = crate::store::typed::decode(&self.keys, &row.key)?;
        let (start, end) = (row.window_start.unwrap_or_default(), row.window_end.unwrap_or_default());
        Ok((Windowed { key, start, end }, self.value(&row.value)?))
    }

    fn record(&self, version: &StoredVersion) -> Result<Option<VersionedRecord<V>>, StreamsError> {
        let Some(value) = &version.value else { return Ok(None) };
        let (timestamp, valid_to) = (version.timestamp, version.valid_to);
        Ok(Some(VersionedRecord { value: self.value(value)?, timestamp, valid_to }))
    }

    pub(crate) fn windows(
        &self,
        keys: &impl RangeBounds<K>,
        times: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        let rows = self.rows(keys, times, direction)?;
        Ok(Box::new(rows.map(|row| self.windowed_pair(&row?))))
    }

    fn rows(
        &self,
        keys: &impl RangeBounds<K>,
        times: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<StoreIter<'_, StoredRow>, StreamsError> {
        let mut excluded = Vec::new();
        let mut bound = |bound: Bound<&K>| -> Result<Option<Vec<u8>>, StreamsError> {
            Ok(match bound {
                Bound::Included(key) => Some(self.key(key)?),
                Bound::Excluded(key) => {
                    let key = self.key(key)?;
                    excluded.push(key.clone());
                    Some(key)
                }
                Bound::Unbounded => None,
            })
        };
        let range = KeyRange { from: bound(keys.start_bound())?, to: bound(keys.end_bound())? };
        let rows = self.view.windows_between(range, *times.start(), *times.end(), direction);
        Ok(Box::new(rows.filter(move |row| row.as_ref().map_or(true, |row| !excluded.contains(&row.key)))))
    }
}
