//! Which rows have expired: an index by time, and their removal at commits.

use std::collections::BTreeSet;

use crate::ByteColumn;
use crate::error::StreamsError;
use crate::store::backend::{Direction, Family, WriteBatch};
use crate::store::cache::{Arena, BACKED, CachedStore, DIRTY, EXISTS, hash, split_value};
use crate::store::changelog::Changelog;
use crate::store::spec::{StoreKind, StorePlace};
use crate::store::versioned::{DELETED, split_version, version_bounds};

/// Rows that one commit removes at most; the next commits go on.
const PURGE_ROWS: usize = 20_000;
/// Keys that one entry of the index lists at most, in bytes, one key aside.
const LIST_BYTES: usize = 8 << 10;
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

    /// The window start of a row that is new to the backend, if the rows of a commit that have the same one share
    /// entries. Sessions do not: each change of one leaves a row that must be taken back.
    pub(super) fn time_to_list(&self, key: &[u8], stored: bool) -> Option<i64> {
        match self.kind {
            StoreKind::Window { .. } if !stored => Some(self.kind.time(key)),
            _ => None,
        }
    }

    /// Appends the keys of the rows that an entry stands for. None if it stands for none.
    pub(super) fn read(entry: &[u8], mut list: &[u8], keys: &mut ByteColumn) -> Option<()> {
        let (_, entry) = entry.split_first_chunk::<4>()?;
        let (time, key) = entry.split_first_chunk::<8>()?;
        if list.is_empty() {
            keys.push(Some(key));
        }
        let start = i64::from_be_bytes(*time) ^ i64::MIN;
        while let Some((length, rest)) = list.split_first_chunk::<4>() {
            let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            keys.push_parts(&[key, &start.to_be_bytes()]);
            list = rest;
        }
        list.is_empty().then_some(())
    }

    /// The time of an entry.
    pub(super) fn time_of(entry: &[u8]) -> Option<i64> {
        let time = entry.get(4..12)?.try_into().ok()?;
        Some(i64::from_be_bytes(time) ^ i64::MIN)
    }

    /// Takes back the entry of a row that was deleted; entries of rows with a time to live, and those that list
    /// several rows, are left to the purge.
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
    /// Writes the entries of windows that are new to the backend, given by start and slot. `list` is room to work in.
    pub(super) fn list(
        &self,
        index: &ExpiryIndex,
        windows: &mut [(i64, u32)],
        list: &mut Vec<u8>,
        batch: &mut WriteBatch,
    ) {
        // Stable, so that keys stay in the order in which they came.
        windows.sort_by_key(|(start, _)| *start);
        let partition = index.partition.to_be_bytes();
        let mut write = |start: i64, list: &mut Vec<u8>| {
            if !list.is_empty() {
                // Two entries of the same time and hash are the same list.
                let key: [&[u8]; 3] = [&partition, &ordered(start), &hash(list).to_be_bytes()];
                batch.put(index.family, &key, &[list]);
                list.clear();
            }
        };
        list.clear();
        for windows in windows.chunk_by(|(start, _), (other, _)| start == other) {
            for (start, slot) in windows {
                let (key, _) = self.windowed_key(*slot);
                let length = u32::try_from(key.len()).expect("record keys are shorter than 2 GiB");
                list.extend_from_slice(&length.to_be_bytes());
                list.extend_from_slice(key);
                if list.len() >= LIST_BYTES {
                    write(*start, list);
                }
            }
            write(windows[0].0, list);
        }
    }

    /// The latest time of a row in a backend that is not empty ([`StoreKind::time`]), or the greatest time there is if
    /// that is not known.
    pub(super) fn last_backed(&self) -> i64 {
        let Some(family) = self.place.index.filter(|_| matches!(self.place.kind, StoreKind::Window { .. }))
        else {
            return i64::MAX;
        };
        let (from, to) = self.place.bounds();
        let last = self.place.backend.scan(family, &from, Some(&to), Direction::Reverse);
        let last = last.ok().and_then(|mut entries| entries.next()?.ok());
        last.and_then(|(entry, _)| ExpiryIndex::time_of(&entry)).unwrap_or(i64::MAX)
    }

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
        let (mut expired, mut last) = (ByteColumn::default(), None);
        let corrupt = || self.place.corrupt("an expiry entry is cut off");
        for entry in backend.scan(index.family, &from, Some(&to), Direction::Forward)? {
            let (entry, list) = entry?;
            ExpiryIndex::read(&entry, &list, &mut expired).ok_or_else(corrupt)?;
            if expired.len() >= PURGE_ROWS {
                last = Some(entry);
                break;
            }
        }
        self.purged_to = end;
        if let Some(last) = last {
            to = [last.as_ref(), &[0]].concat();
            self.purged_to = ExpiryIndex::time_of(&last).ok_or_else(corrupt)?;
        }
        if expired.is_empty() {
            return Ok(());
        }
        let keys: Vec<&[u8]> = expired.iter().flatten().collect();
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
            let read_to = self.read_to;
            self.entries[slot as usize].flags &= !BACKED;
            self.expire(slot);
            self.evict(slot);
            self.read_to = read_to;
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
