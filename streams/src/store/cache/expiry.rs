//! Which rows have expired: an index by time, and their removal at commits.

use std::collections::BTreeSet;

use crate::error::StreamsError;
use crate::store::backend::{Direction, Family, WriteBatch};
use crate::store::cache::{Arena, BACKED, CachedStore, DIRTY, EXISTS, hash, split_value};
use crate::store::changelog::Changelog;
use crate::store::spec::{StoreKind, StorePlace};
use crate::store::versioned::{DELETED, split_version, version_bounds};

/// Rows that one commit removes at most; the next commits go on.
const PURGE_ROWS: usize = 20_000;
/// A time to live is indexed in this many steps, so that a row which is written often has few entries.
const TTL_STEPS: i64 = 16;

/// Writes and reads the expiry index of one store partition.
#[derive(Clone, Copy)]
pub(crate) struct ExpiryIndex {
    family: Family,
    kind: StoreKind,
    partition: u32,
    /// The length of the span of times that share an index entry, in ms.
    step: i64,
}

impl ExpiryIndex {
    /// None if the rows of the store do not expire.
    pub(crate) fn new(place: &StorePlace) -> Option<Self> {
        let step = place.ttl_ms.map_or(1, |ttl_ms| (ttl_ms / TTL_STEPS).max(1));
        Some(Self { family: place.index?, kind: place.kind, partition: place.partition, step })
    }

    /// The entry for a row. One entry is enough for a row whose time is part of its key. No entry lies before
    /// `floor`, where the index begins after this commit.
    pub(crate) fn put(&self, key: &[u8], timestamp: i64, stored: bool, floor: i64, batch: &mut WriteBatch) {
        if stored && self.is_windowed() && self.kind.time(key) >= floor {
            return;
        }
        let time = self.time(key, timestamp).max(floor);
        batch.put(self.family, &[&self.partition.to_be_bytes(), &ordered(time), key], &[]);
    }

    /// Takes back the entry of a row that was deleted; entries of rows with a time to live are left to the
    /// purge.
    pub(crate) fn delete(&self, key: &[u8], batch: &mut WriteBatch) {
        if self.is_windowed() {
            batch.delete(self.family, &[&self.partition.to_be_bytes(), &ordered(self.kind.time(key)), key]);
        }
    }

    /// Whether a row is expired by the time in its key.
    pub(crate) fn has_expired(&self, key: &[u8], stream_time: i64) -> bool {
        match self.kind {
            // The last one before the history that is kept is still valid in it.
            StoreKind::Versioned { .. } => false,
            kind => kind.time(key) < kind.first_live(stream_time),
        }
    }

    /// Whether the row is a version from before the history that is kept.
    pub(super) fn is_late_version(&self, key: &[u8], first_live: i64) -> bool {
        matches!(self.kind, StoreKind::Versioned { .. }) && self.kind.time(key) < first_live
    }

    fn is_windowed(&self) -> bool {
        self.kind.retention_ms().is_some()
    }

    /// The bound in the index before which all times lie that end before `first_live`.
    pub(super) fn end(&self, first_live: i64) -> i64 {
        first_live.saturating_sub(self.step).saturating_add(1)
    }

    fn time(&self, key: &[u8], timestamp: i64) -> i64 {
        match self.is_windowed() {
            true => self.kind.time(key),
            false => timestamp.div_euclid(self.step).saturating_mul(self.step),
        }
    }

    fn bound(&self, time: i64) -> Vec<u8> {
        [self.partition.to_be_bytes().as_slice(), &ordered(time)].concat()
    }
}

/// Bytes that sort like the number.
pub(super) fn ordered(time: i64) -> [u8; 8] {
    (time ^ i64::MIN).to_be_bytes()
}

impl<A: Arena> CachedStore<A> {
    /// A row expired before it was ever committed, or since it was: it takes no part in this commit, and the
    /// purge finds what the backend has of it.
    pub(super) fn skip_expired(&mut self, slot: u32) {
        self.arena.reset(slot);
        self.entries[slot as usize].flags &= !DIRTY;
        self.expire(slot);
        self.resized(slot);
    }

    /// Removes committed rows that have expired. `late` are keys with versions from before the history that are
    /// part of this commit, so that the backend does not show them yet: the next commit sees to those.
    pub(super) fn purge(
        &mut self,
        index: ExpiryIndex,
        late: &BTreeSet<Box<[u8]>>,
        changelog: &mut Changelog<'_>,
        batch: &mut WriteBatch,
    ) -> Result<(), StreamsError> {
        if self.stream_time == i64::MIN {
            return Ok(());
        }
        let end = index.end(self.place.first_live(self.stream_time));
        if end <= self.purged_to {
            return Ok(());
        }
        let (from, mut to) = (index.bound(self.purged_to), index.bound(end));
        let backend = std::sync::Arc::clone(&self.place.backend);
        let mut expired = Vec::new();
        for entry in backend.scan(index.family, &from, Some(&to), Direction::Forward)?.take(PURGE_ROWS) {
            expired.push(entry?.0);
        }
        self.purged_to = end;
        if expired.len() == PURGE_ROWS
            && let Some(last) = expired.last()
        {
            to = [last.as_ref(), &[0]].concat();
            let time = last.get(4..12).and_then(|time| time.try_into().ok()).map(i64::from_be_bytes);
            self.purged_to =
                time.ok_or_else(|| self.place.corrupt("an expiry entry is too short"))? ^ i64::MIN;
        }
        if expired.is_empty() {
            return Ok(());
        }
        let keys: Vec<&[u8]> = expired.iter().map(|entry| entry.get(12..).unwrap_or_default()).collect();
        match (self.place.kind, self.place.ttl_ms) {
            (StoreKind::Versioned { .. }, _) => self.purge_versions(&keys, late, batch)?,
            (_, Some(_)) => self.purge_by_timestamp(&keys, changelog, batch)?,
            (_, None) => keys.iter().for_each(|key| self.purge_row(key, batch)),
        }
        batch.delete_range(index.family, &from, &to);
        Ok(())
    }

    /// Of rows that were written some time ago, removes those that were not written again.
    fn purge_by_timestamp(
        &mut self,
        keys: &[&[u8]],
        changelog: &mut Changelog<'_>,
        batch: &mut WriteBatch,
    ) -> Result<(), StreamsError> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        // What was written in this commit is in the cache and not in the backend yet.
        keys.retain(|key| !self.lookup(hash(key), key).is_some_and(|slot| self.exists(slot)));
        let stored: Vec<Vec<u8>> = keys.iter().map(|key| self.place.backend_key(key)).collect();
        let slices: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
        let mut expired = Vec::new();
        self.place.backend.get_many(self.place.family, &slices, &mut |row, value| {
            let timestamp = split_value(value).map_or(i64::MIN, |(timestamp, _)| timestamp);
            if !self.is_live(timestamp) {
                expired.push((keys[row], timestamp));
            }
            Ok(())
        })?;
        for (key, timestamp) in expired {
            changelog.append(key, None, timestamp)?;
            self.purge_row(key, batch);
        }
        Ok(())
    }

    /// Of the versions before the history that is kept, each key needs the last one, and not even that if it is a
    /// deletion.
    fn purge_versions(
        &mut self,
        rows: &[&[u8]],
        late: &BTreeSet<Box<[u8]>>,
        batch: &mut WriteBatch,
    ) -> Result<(), StreamsError> {
        let mut keys: Vec<&[u8]> = rows.iter().map(|row| split_version(row).0).collect();
        keys.sort_unstable();
        keys.dedup();
        let backend = std::sync::Arc::clone(&self.place.backend);
        let first_live = self.first_live();
        for key in keys.into_iter().filter(|key| !late.contains(*key)) {
            let (from, to) = version_bounds(key, 0, first_live.saturating_sub(1));
            let (from, to) = (self.place.backend_key(&from), self.place.backend_key(&to));
            let versions = backend.scan(self.place.family, &from, Some(&to), Direction::Reverse)?;
            for (age, entry) in versions.enumerate() {
                let (row, value) = entry?;
                let is_deletion =
                    split_value(&value).is_some_and(|(_, state)| state.first() == Some(&DELETED));
                if age > 0 || is_deletion {
                    self.purge_row(&row[4..], batch);
                }
            }
        }
        Ok(())
    }

    fn purge_row(&mut self, key: &[u8], batch: &mut WriteBatch) {
        batch.delete(self.place.family, &[&self.place.partition.to_be_bytes(), key]);
        if let Some(slot) = self.lookup(hash(key), key) {
            // Gone from the backend too, once this batch is applied: a later miss is right to find nothing.
            let complete = self.complete;
            self.entries[slot as usize].flags &= !BACKED;
            self.expire(slot);
            self.evict(slot);
            self.complete = complete;
        }
    }

    /// The slot's key is not in the store any more.
    fn expire(&mut self, slot: u32) {
        if !self.index.is_empty() && self.entries[slot as usize].flags & EXISTS != 0 {
            self.index_changed(slot, 0);
        }
        self.entries[slot as usize].flags &= !EXISTS;
    }
}
