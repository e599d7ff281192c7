//! Entries in key order, the first of them at hand: what waits for its time.
//!
//! ```text
//! key order ─▶ │ clean: committed, in memory │ horizon │ committed, only in the backend │
//!              │ added, removed: changes of this commit, anywhere in the order          │
//! ```
//! Keys begin with a time in 8 bytes, big endian, so that what is due comes first. Only the entries before the
//! horizon have to fit in memory; it moves on as they are taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StreamsError;
use crate::store::backend::{Direction, WriteBatch, prefix_end};
use crate::store::cache::{StorePlace, StoreSize, TaskStore, split_value};
use crate::store::changelog::Changelog;

/// Entries that one read of the backend brings into memory.
const CHUNK: usize = 4096;
/// What an entry in memory takes beside its bytes.
const OVERHEAD: usize = 64;

type Bytes = Box<[u8]>;

/// A key with its value.
pub type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// An entry that is not committed yet.
struct Added {
    timestamp: i64,
    value: Bytes,
    /// Whether the backend may hold the key, so that a removal has to be written.
    stored: bool,
}

/// One partition of a store whose entries are taken in the order of their keys.
pub struct OrderedStore {
    place: StorePlace,
    /// Committed entries before the horizon, but for those that were added again or removed since.
    clean: BTreeMap<Bytes, (i64, Bytes)>,
    added: BTreeMap<Bytes, Added>,
    /// Committed entries that were removed, with the time of the removal.
    removed: BTreeMap<Bytes, i64>,
    /// The first key that may be in the backend and is not in memory; none if there is no such key.
    horizon: Option<Bytes>,
    stream_time: i64,
    size: StoreSize,
}

impl OrderedStore {
    pub(crate) fn new(place: StorePlace) -> Self {
        Self {
            place,
            clean: BTreeMap::new(),
            added: BTreeMap::new(),
            removed: BTreeMap::new(),
            horizon: Some(Bytes::default()),
            stream_time: i64::MIN,
            size: StoreSize::default(),
        }
    }

    /// Sets an entry. `timestamp` is that of the changelog record, in ms.
    pub fn put(&mut self, key: &[u8], value: &[u8], timestamp: i64) {
        let mut stored = self.beyond_horizon(key);
        if let Some((_, old)) = self.clean.remove(key) {
            self.size.cached -= weight(key, &old);
            stored = true;
        } else if self.removed.remove(key).is_some() {
            self.shrink(weight(key, &[]));
            stored = true;
        }
        if let Some(old) = self.added.insert(key.into(), Added { timestamp, value: value.into(), stored }) {
            self.shrink(weight(key, &old.value));
            if old.stored
                && let Some(added) = self.added.get_mut(key)
            {
                added.stored = true;
            }
        }
        self.grow(weight(key, value));
    }

    /// Removes an entry; a key that is not there stays so. `timestamp` as for [`OrderedStore::put`].
    pub fn remove(&mut self, key: &[u8], timestamp: i64) -> Result<(), StreamsError> {
        if let Some(added) = self.added.remove(key) {
            self.shrink(weight(key, &added.value));
            if !added.stored {
                return Ok(());
            }
        } else if let Some((_, old)) = self.clean.remove(key) {
            self.size.cached -= weight(key, &old);
        } else {
            let stored = [&self.place.partition.to_be_bytes(), key].concat();
            if self.removed.contains_key(key)
                || !self.beyond_horizon(key)
                || self.place.backend.get(self.place.family, &stored)?.is_none()
            {
                return Ok(());
            }
        }
        self.removed.insert(key.into(), timestamp);
        self.grow(weight(key, &[]));
        Ok(())
    }

    /// The first entry: its key and value.
    pub fn first(&mut self) -> Result<Option<KeyValue<'_>>, StreamsError> {
        // An uncommitted entry before the horizon comes before whatever the backend may still have.
        while self.clean.is_empty() && self.horizon.is_some() {
            let added = self.added.first_key_value();
            if added.is_some_and(|(key, _)| !self.beyond_horizon(key)) {
                break;
            }
            self.load()?;
        }
        let clean = self.clean.first_key_value().map(|(key, (_, value))| (&**key, &**value));
        let added = self.added.first_key_value().map(|(key, added)| (&**key, &*added.value));
        Ok(match (clean, added) {
            (Some(clean), Some(added)) => Some(if clean.0 < added.0 { clean } else { added }),
            (clean, added) => clean.or(added),
        })
    }

    fn grow(&mut self, bytes: usize) {
        self.size.dirty += bytes;
        self.size.cached += bytes;
    }

    fn shrink(&mut self, bytes: usize) {
        self.size.dirty -= bytes;
        self.size.cached -= bytes;
    }

    fn beyond_horizon(&self, key: &[u8]) -> bool {
        self.horizon.as_deref().is_some_and(|horizon| key >= horizon)
    }

    /// Brings the next committed entries into memory and moves the horizon behind them.
    fn load(&mut self) -> Result<(), StreamsError> {
        let Some(horizon) = self.horizon.take() else { return Ok(()) };
        let partition = self.place.partition.to_be_bytes();
        let (from, to) = ([&partition, &*horizon].concat(), prefix_end(&partition));
        let backend = Arc::clone(&self.place.backend);
        let stored = backend.scan(self.place.family, &from, to.as_deref(), Direction::Forward)?;
        for (seen, entry) in stored.enumerate() {
            let (stored, value) = entry?;
            let key = &stored[partition.len()..];
            if seen == CHUNK {
                self.horizon = Some(key.into());
                return Ok(());
            }
            if self.added.contains_key(key) || self.removed.contains_key(key) {
                continue;
            }
            let (timestamp, value) = split_value(&value).ok_or_else(|| StreamsError::CorruptState {
                store: self.place.name.to_string(),
                reason: "a value has no timestamp".to_owned(),
            })?;
            self.size.cached += weight(key, value);
            self.clean.insert(key.into(), (timestamp, value.into()));
        }
        Ok(())
    }
}

fn weight(key: &[u8], value: &[u8]) -> usize {
    OVERHEAD + key.len() + value.len()
}

impl TaskStore for OrderedStore {
    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let partition = self.place.partition.to_be_bytes();
        for (key, timestamp) in std::mem::take(&mut self.removed) {
            changelog.append(&key, None, timestamp)?;
            batch.delete(self.place.family, &[&partition, &key]);
            self.size.cached -= weight(&key, &[]);
        }
        for (key, Added { timestamp, value, .. }) in std::mem::take(&mut self.added) {
            changelog.append(&key, Some(&value), timestamp)?;
            batch.put(self.place.family, &[&partition, &key], &[&timestamp.to_be_bytes(), &value]);
            if self.beyond_horizon(&key) {
                self.size.cached -= weight(&key, &value);
            } else {
                self.clean.insert(key, (timestamp, value));
            }
        }
        self.size.dirty = 0;
        Ok(())
    }

    fn committed(&mut self, budget: usize) {
        while self.size.cached > budget && self.clean.len() > 1 {
            let Some((key, (_, value))) = self.clean.pop_last() else { return };
            self.size.cached -= weight(&key, &value);
            self.horizon = Some(key);
        }
    }

    fn size(&self) -> StoreSize {
        self.size
    }

    fn stream_time(&self) -> i64 {
        self.stream_time
    }

    fn restored(&mut self, stream_time: i64, empty: bool) {
        self.stream_time = stream_time;
        self.horizon = (!empty).then(Bytes::default);
    }
}

#[cfg(test)]
mod tests;
