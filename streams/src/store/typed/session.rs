//! Session stores.

use std::ops::RangeBounds;

use crate::error::StreamsError;
use crate::serde::Windowed;
use crate::store::backend::Direction;
use crate::store::cache::split_session;
use crate::store::typed::window::KeyBounds;
use crate::store::typed::{StoreIter, Typed, TypedRow, decode};

/// Bytes that can follow the key in a row of a session store.
const SUFFIX: usize = 16;

/// A session store of a task: see [`Context::session_store`](crate::Context::session_store).
///
/// As Kafka's `SessionStore`: a value per key and session, whose `start` and `end` (ms) are the times of its
/// first and last row. Sessions that ended too long before the latest one, by the retention, are not stored and
/// not found. Rows come in the order of key bytes, then of ends, then of starts.
pub struct SessionStore<'a, K, V: Clone + Send + Sync + 'static>(pub(super) Typed<'a, K, V>);

impl<K: 'static, V: Clone + Send + Sync + 'static> SessionStore<'_, K, V> {
    /// The timestamp (ms) that is written with the sessions from now on.
    pub fn at(&mut self, timestamp: i64) -> &mut Self {
        self.0.time = timestamp;
        self
    }

    /// Sets the value of a session. Returns false, and stores nothing, if the session has expired.
    pub fn put(&mut self, session: &Windowed<K>, value: V) -> Result<bool, StreamsError> {
        self.0.store.observe(session.end);
        if session.end < self.first_live() {
            return Ok(false);
        }
        self.0.encode(&session.key, &[session.end, session.start])?;
        self.0.write(value, self.0.time)?;
        Ok(true)
    }

    /// Removes a session, and returns the value that it had.
    pub fn remove(&mut self, session: &Windowed<K>) -> Result<Option<V>, StreamsError> {
        self.0.encode(&session.key, &[session.end, session.start])?;
        self.0.remove()
    }

    /// The value of one session.
    pub fn fetch_session(&mut self, key: &K, start: i64, end: i64) -> Result<Option<&V>, StreamsError> {
        if end < self.first_live() {
            return Ok(None);
        }
        self.0.encode(key, &[end, start])?;
        let slot = self.0.find()?;
        Ok(slot.and_then(|slot| self.0.value(slot)))
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or before.
    pub fn find_sessions(
        &mut self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, earliest_end, latest_start, Direction::Forward)
    }

    /// As [`SessionStore::find_sessions`], the last session first.
    pub fn backward_find_sessions(
        &mut self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, earliest_end, latest_start, Direction::Reverse)
    }

    /// As [`SessionStore::find_sessions`], for a range of keys.
    pub fn find_sessions_of_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_keys(keys, earliest_end, latest_start, Direction::Forward)
    }

    /// As [`SessionStore::find_sessions_of_keys`], the last key and session first.
    pub fn backward_find_sessions_of_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        earliest_end: i64,
        latest_start: i64,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_keys(keys, earliest_end, latest_start, Direction::Reverse)
    }

    /// All sessions of a key.
    pub fn fetch(&mut self, key: &K) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, 0, i64::MAX, Direction::Forward)
    }

    /// All sessions of a key, the last one first.
    pub fn backward_fetch(&mut self, key: &K) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_key(key, 0, i64::MAX, Direction::Reverse)
    }

    /// All sessions of a range of keys.
    pub fn fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_keys(keys, 0, i64::MAX, Direction::Forward)
    }

    /// All sessions of a range of keys, the last key and session first.
    pub fn backward_fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.of_keys(keys, 0, i64::MAX, Direction::Reverse)
    }

    fn first_live(&self) -> i64 {
        self.0.store.first_live().max(0)
    }

    fn of_key(
        &mut self,
        key: &K,
        earliest_end: i64,
        latest_start: i64,
        direction: Direction,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        let earliest_end = self.first_live().max(earliest_end);
        self.0.encode(key, &[])?;
        let length = self.0.key.len() + SUFFIX;
        let lower = [self.0.key.as_slice(), &earliest_end.to_be_bytes()].concat();
        let upper = [self.0.key.as_slice(), &[u8::MAX; SUFFIX]].concat();
        self.0.rows(&lower, Some(&upper), direction, move |keys, row: TypedRow<'_, V>| {
            let (key, start, end) = split_session(row.key);
            // A longer key can begin with this key's bytes and sort among its sessions.
            if row.key.len() != length || start > latest_start {
                return Ok(None);
            }
            Ok(Some((Windowed { key: decode(keys, key)?, start, end }, row.value)))
        })
    }

    fn of_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        earliest_end: i64,
        latest_start: i64,
        direction: Direction,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        let earliest_end = self.first_live().max(earliest_end);
        let range = KeyBounds::new(&self.0.keys, &keys)?;
        let (lower, upper) = range.stored(SUFFIX);
        self.0.rows(&lower, upper.as_deref(), direction, move |keys, row: TypedRow<'_, V>| {
            let (key, start, end) = split_session(row.key);
            if end < earliest_end || start > latest_start || !range.contains(key) {
                return Ok(None);
            }
            Ok(Some((Windowed { key: decode(keys, key)?, start, end }, row.value)))
        })
    }
}
