//! Values of a key over time: every version is a row, valid from its timestamp until that of the next one.
//!
//! ```text
//! key length (4) | key | valid from (8)  ->  1 and the state, or 0 for a deletion
//! ```
//! The length keeps the versions of a key together whatever other keys there are. The changelog has Kafka's
//! layout: plain keys and values, a deletion without value, the timestamp of the version. Versions that nobody
//! can ask for any more are removed at commits: of those before stream time less the history retention, each
//! key keeps the last one.

use crate::error::StreamsError;
use crate::store::backend::Direction;
use crate::store::cache::{Arena, CachedStore, RowState, StoreRow};

/// Begins the state of a version that deletes its key.
pub(crate) const DELETED: u8 = 0;
/// Begins the state of a version with a value.
pub(crate) const VALUE: u8 = 1;
const LENGTH: usize = 4;
const TIME: usize = 8;

/// The decoded states of versions, some of which are deletions.
pub struct Versions<A> {
    /// The states of the others.
    pub inner: A,
    deleted: Vec<bool>,
}

impl<A> Versions<A> {
    pub(crate) fn new(inner: A) -> Self {
        Self { inner, deleted: Vec::new() }
    }
}

impl<A: Arena> Arena for Versions<A> {
    fn resize(&mut self, slots: usize) {
        self.inner.resize(slots);
        self.deleted.resize(slots, false);
    }

    fn reset(&mut self, slot: u32) {
        self.inner.reset(slot);
        self.deleted[slot as usize] = false;
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        match bytes.split_first() {
            Some((&VALUE, state)) => self.inner.load(slot, state),
            Some((&DELETED, [])) => {
                self.deleted[slot as usize] = true;
                Ok(())
            }
            _ => Err(StreamsError::Serde("a version begins with neither 0 nor 1".to_owned())),
        }
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        if self.deleted[slot as usize] {
            out.push(DELETED);
            return Ok(());
        }
        out.push(VALUE);
        self.inner.save(slot, out)
    }

    fn size(&self, slot: u32) -> usize {
        self.inner.size(slot) + 1
    }

    fn remember(&mut self, slot: u32) {
        self.inner.remember(slot);
    }

    fn forget(&mut self) {
        self.inner.forget();
    }
}

/// A version of a key that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Where its state is in [`Versions::inner`].
    pub slot: u32,
    /// From when on it is valid, in ms.
    pub timestamp: i64,
}

/// What became of a version that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is the latest one of its key.
    Latest,
    /// There is a later one, from this time (ms) on.
    ValidTo(i64),
    /// It lies further behind stream time than history is kept, and was not stored.
    TooOld,
}

impl<A: Arena> CachedStore<Versions<A>> {
    /// Adds the version of a key from `timestamp` on, or replaces the one with the same timestamp. `write` puts
    /// the state into a slot.
    pub fn put_version(
        &mut self,
        key: &[u8],
        timestamp: i64,
        write: impl FnOnce(&mut A, u32),
    ) -> Result<PutOutcome, StreamsError> {
        self.change(key, timestamp, |versions, slot| {
            versions.deleted[slot as usize] = false;
            write(&mut versions.inner, slot);
        })
    }

    /// The key has no value from `timestamp` on, up to its next version.
    pub fn delete_version(&mut self, key: &[u8], timestamp: i64) -> Result<PutOutcome, StreamsError> {
        self.change(key, timestamp, |versions, slot| {
            versions.inner.reset(slot);
            versions.deleted[slot as usize] = true;
        })
    }

    /// The version of a key that is valid at a time. None if the key had no value then, or if that is longer
    /// ago than history is kept; only the latest version of a key is always there.
    pub fn version_at(&mut self, key: &[u8], time: i64) -> Result<Option<Version>, StreamsError> {
        let row = match self.last_row(key, time)? {
            Some(row) if time < self.first_live() => {
                let latest = self.last_row(key, i64::MAX)?;
                latest.filter(|latest| latest.timestamp == row.timestamp)
            }
            row => row,
        };
        let Some(row) = row else { return Ok(None) };
        self.load_version(row)
    }

    /// The latest version of a key.
    pub fn latest_version(&mut self, key: &[u8]) -> Result<Option<Version>, StreamsError> {
        self.version_at(key, i64::MAX)
    }

    /// Until when a version is valid: the timestamp of the next one of its key, which may be a deletion.
    pub fn valid_to(&mut self, key: &[u8], timestamp: i64) -> Result<Option<i64>, StreamsError> {
        let (from, to) = version_bounds(key, timestamp.saturating_add(1), i64::MAX);
        let next = self.rows(&from, Some(&to), Direction::Forward)?.next().transpose()?;
        Ok(next.map(|row| row.timestamp))
    }

    /// The versions of a key that are valid at some time in `from..=to` (ms), the latest first, each with the
    /// end of its validity.
    pub fn history(
        &mut self,
        key: &[u8],
        from: i64,
        to: i64,
    ) -> Result<Vec<(Version, Option<i64>)>, StreamsError> {
        let from = from.max(self.first_live());
        let (first, last) = version_bounds(key, 0, i64::MAX);
        let mut rows = Vec::new();
        let mut valid_to = None;
        for row in self.rows(&first, Some(&last), Direction::Reverse)? {
            let row = row?;
            let timestamp = row.timestamp;
            if timestamp <= to {
                rows.push((row, valid_to));
            }
            if timestamp <= from {
                break;
            }
            valid_to = Some(timestamp);
        }
        let mut history = Vec::with_capacity(rows.len());
        for (row, valid_to) in rows {
            if let Some(version) = self.load_version(row)? {
                history.push((version, valid_to));
            }
        }
        Ok(history)
    }

    fn change(
        &mut self,
        key: &[u8],
        timestamp: i64,
        write: impl FnOnce(&mut Versions<A>, u32),
    ) -> Result<PutOutcome, StreamsError> {
        self.observe(timestamp);
        if timestamp < self.first_live().max(0) {
            return Ok(PutOutcome::TooOld);
        }
        let mut row = Vec::new();
        row_key(key, timestamp, &mut row);
        let slot = self.slot(&row)?;
        self.put(slot, timestamp);
        write(self.arena_mut(), slot);
        self.measure(&[slot]);
        Ok(self.valid_to(key, timestamp)?.map_or(PutOutcome::Latest, PutOutcome::ValidTo))
    }

    fn last_row(&mut self, key: &[u8], time: i64) -> Result<Option<StoreRow>, StreamsError> {
        let (from, to) = version_bounds(key, 0, time);
        self.rows(&from, Some(&to), Direction::Reverse)?.next().transpose()
    }

    fn load_version(&mut self, row: StoreRow) -> Result<Option<Version>, StreamsError> {
        let slot = match row.state {
            RowState::Cached(slot) => slot,
            RowState::Stored(state) => self.load_row(&row.key, row.timestamp, &state)?,
        };
        let deleted = self.arena().deleted[slot as usize];
        Ok((!deleted).then_some(Version { slot, timestamp: row.timestamp }))
    }
}

/// Puts the row of a version into `row`.
pub(crate) fn row_key(key: &[u8], timestamp: i64, row: &mut Vec<u8>) {
    let length = u32::try_from(key.len()).expect("record keys are shorter than 2 GiB");
    row.clear();
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(key);
    row.extend_from_slice(&timestamp.to_be_bytes());
}

/// The rows of a key's versions from `from` up to `to` (ms) lie between these.
pub(crate) fn version_bounds(key: &[u8], from: i64, to: i64) -> (Vec<u8>, Vec<u8>) {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    // Times are not negative; negative ones would sort behind all others.
    row_key(key, from.max(0), &mut first);
    row_key(key, to.max(0), &mut last);
    if to >= 0 {
        last.push(0);
    }
    (first, last)
}

/// Splits the row of a version into key bytes and timestamp.
pub(crate) fn split_version(row: &[u8]) -> (&[u8], i64) {
    let (row, time) = row.split_last_chunk::<TIME>().unwrap_or((row, &[0; TIME]));
    (row.get(LENGTH..).unwrap_or_default(), i64::from_be_bytes(*time))
}

#[cfg(test)]
mod tests;
