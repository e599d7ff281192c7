//! The recent rows of one stream by key and time: where the other side of a join looks for matches.
//!
//! ```text
//! key bytes ─hash table─▶ key ─▶ rows by time and arrival: (time, sequence, slot) ─▶ arena: decoded values
//!
//! changelog                           key │ time 8 │ sequence 4 ─▶ value       (as Kafka's, with duplicates)
//! backend    partition 4 │ segment 8 │ key │ time 8 │ sequence 4 ─▶ time 8 │ value          (big endian)
//! ```
//! The sequence counts rows of equal key and time. A key is in memory with all its rows or not at all; cold keys
//! leave at commits and are read again on demand. Segments are slices of time, so that what has expired lies
//! together in the backend and is removed without looking at what has not.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::error::StreamsError;
use crate::store::backend::{Direction, WriteBatch};
use crate::store::cache::{Arena, StorePlace, StoreSize, TaskStore, split_value};
use crate::store::changelog::Changelog;
use crate::store::spec::StoreKind;

/// Committed rows that have expired and are removed at one commit, at most: the rest is for the next ones.
const PURGED_PER_COMMIT: usize = 20_000;
/// Memory is searched for expired rows this many times per retention.
const SWEEPS: i64 = 64;

const USED: u8 = 1;
/// Set by every use, cleared by the eviction sweep.
const RECENT: u8 = 2;

/// A row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// The event time in ms.
    pub time: i64,
    /// Counts the rows of this key and time, from 0.
    pub sequence: u32,
    /// Where the arena has the value.
    pub slot: u32,
    /// Whether the row is known to have been joined, or never needed to be.
    pub settled: bool,
    dirty: bool,
}

struct Key {
    hash: u64,
    bytes: Box<[u8]>,
    /// By time, then sequence.
    rows: VecDeque<KeptRow>,
    /// How often the key is named in `changes`; it must stay where it is until they are written.
    pinned: u32,
    flags: u8,
}

/// A row that was put or removed since the last commit.
#[derive(Clone, Copy)]
struct Change {
    key: u32,
    sequence: u32,
    time: i64,
    removed: bool,
}

/// One partition of a store of stream rows.
pub struct StreamRows<A: Arena> {
    place: StorePlace,
    retention_ms: i64,
    segment_ms: i64,
    arena: A,
    arena_slots: usize,
    used_slots: usize,
    free_slots: Vec<u32>,
    /// Slots of rows that are gone, to be freed once nothing of the present batch refers to them.
    limbo: Vec<u32>,
    table: HashTable<u32>,
    keys: Vec<Key>,
    free_keys: Vec<u32>,
    changes: Vec<Change>,
    size: StoreSize,
    /// Every committed row is in memory, so a key that is not found has no rows.
    complete: bool,
    stream_time: i64,
    /// Rows before this time are gone for good, in memory as soon as they are met.
    kept_from: i64,
    /// The first and the last segment that the backend may have.
    segments: Option<(i64, i64)>,
    /// The backend key from which on the first segment was not purged yet.
    purged_to: Vec<u8>,
    hand: usize,
    sweep: Sweep,
}

/// The search for expired rows in memory.
#[derive(Default)]
struct Sweep {
    next: usize,
    left: usize,
    /// `kept_from` when the last one began.
    at: i64,
    /// Rows stored since the last step.
    stored: usize,
}

impl<A: Arena> StreamRows<A> {
    pub(crate) fn new(place: StorePlace, arena: A) -> Self {
        let (retention_ms, segment_ms) = match place.kind {
            StoreKind::StreamRows { retention_ms, segment_ms } => (retention_ms, segment_ms),
            kind => unreachable!("stores of stream rows are made by their own spec, not as {kind:?}"),
        };
        Self {
            place,
            retention_ms,
            segment_ms,
            arena,
            arena_slots: 0,
            used_slots: 0,
            free_slots: Vec::new(),
            limbo: Vec::new(),
            table: HashTable::new(),
            keys: Vec::new(),
            free_keys: Vec::new(),
            changes: Vec::new(),
            size: StoreSize::default(),
            complete: false,
            stream_time: i64::MIN,
            kept_from: i64::MIN,
            segments: None,
            purged_to: Vec::new(),
            hand: 0,
            sweep: Sweep { at: i64::MIN, ..Sweep::default() },
        }
    }

    /// The name of the store.
    pub fn name(&self) -> &Arc<str> {
        &self.place.name
    }

    /// Raises the stream time by which rows expire.
    pub fn observe(&mut self, time: i64) {
        self.stream_time = self.stream_time.max(time);
    }

    /// The first time whose rows are still found and taken.
    pub fn first_live(&self) -> i64 {
        self.place.kind.first_live(self.stream_time)
    }

    /// The key's place, if it has rows. It is good until [`StreamRows::release`].
    pub fn find(&mut self, key: &[u8]) -> Result<Option<u32>, StreamsError> {
        let hash = hash(key);
        match self.lookup(hash, key) {
            Some(found) => Ok(Some(found)),
            None if self.complete => Ok(None),
            None => {
                let made = self.make(hash, key);
                self.load(made)?;
                Ok(Some(made))
            }
        }
    }

    /// The key's place, made if it is not there. It is good until [`StreamRows::release`].
    pub fn find_or_make(&mut self, key: &[u8]) -> Result<u32, StreamsError> {
        match self.find(key)? {
            Some(found) => Ok(found),
            None => Ok(self.make(hash(key), key)),
        }
    }

    /// The bytes of a key.
    pub fn key(&self, key: u32) -> &[u8] {
        &self.keys[key as usize].bytes
    }

    /// Where the live rows with times in `from..=to` (ms) stand among the rows of a key.
    pub fn range(&mut self, key: u32, from: i64, to: i64) -> Range<usize> {
        let from = from.max(self.first_live());
        self.drop_expired(key);
        let rows = &self.keys[key as usize].rows;
        // Most windows reach to the newest row.
        let end = match rows.back() {
            Some(last) if last.time <= to => rows.len(),
            _ => rows.partition_point(|row| row.time <= to),
        };
        let start = rows.partition_point(|row| row.time < from);
        start..end.max(start)
    }

    /// The row that stands at `index` among the rows of a key.
    pub fn row(&self, key: u32, index: usize) -> KeptRow {
        self.keys[key as usize].rows[index]
    }

    /// Marks a row as settled.
    pub fn settle(&mut self, key: u32, index: usize) {
        self.keys[key as usize].rows[index].settled = true;
    }

    /// Where a row stands among the rows of its key.
    pub fn index_of(&self, key: u32, time: i64, sequence: u32) -> Option<usize> {
        let rows = &self.keys[key as usize].rows;
        rows.binary_search_by_key(&(time, sequence), |row| (row.time, row.sequence)).ok()
    }

    /// Adds a row behind those of the same key and time. Its value has to be put into the arena, and then to be
    /// told to [`StreamRows::written`]. The time must be live.
    pub fn insert(&mut self, key: u32, time: i64, settled: bool) -> KeptRow {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.used_slots).expect("a store keeps fewer than 2^32 rows in memory");
            self.used_slots += 1;
            if self.used_slots > self.arena_slots {
                self.arena_slots = (self.used_slots * 2).max(64);
                self.arena.resize(self.arena_slots);
            }
            slot
        });
        let rows = &mut self.keys[key as usize].rows;
        let at = match rows.back() {
            Some(last) if last.time > time => rows.partition_point(|row| row.time <= time),
            _ => rows.len(),
        };
        let before = at.checked_sub(1).map(|index| rows[index]).filter(|row| row.time == time);
        let sequence = before.map_or(0, |row| row.sequence + 1);
        let row = KeptRow { time, sequence, slot, settled, dirty: true };
        rows.insert(at, row);
        self.change(key, row, false);
        self.sweep.stored += 1;
        row
    }

    /// The values of these slots have been put into the arena.
    pub fn written(&mut self, slots: &[u32]) {
        let bytes: usize = slots.iter().map(|slot| self.row_size(*slot)).sum();
        self.size.cached += bytes;
        self.size.dirty += bytes;
    }

    /// Removes the row that stands at `index` among the rows of a key. Its value stays in the arena until
    /// [`StreamRows::release`].
    pub fn remove(&mut self, key: u32, index: usize) {
        let Some(row) = self.keys[key as usize].rows.remove(index) else { return };
        self.shrink(self.row_size(row.slot));
        self.limbo.push(row.slot);
        if !row.dirty {
            self.change(key, row, true);
        }
    }

    /// The end of a batch: frees what was removed, and lets rows that have expired go.
    pub fn release(&mut self) {
        self.kept_from = self.kept_from.max(self.first_live());
        let interval = self.retention_ms / SWEEPS;
        if self.sweep.left == 0 && self.kept_from >= self.sweep.at.saturating_add(interval) {
            self.sweep.at = self.kept_from;
            self.sweep.left = self.keys.len();
        }
        let steps = self.sweep.left.min(self.sweep.stored * 4 + 1);
        self.sweep.stored = 0;
        self.sweep.left -= steps;
        for _ in 0..steps {
            self.sweep.next = if self.sweep.next + 1 < self.keys.len() { self.sweep.next + 1 } else { 0 };
            let key = u32::try_from(self.sweep.next).expect("keys are numbered in 32 bits");
            self.drop_expired(key);
            self.drop_if_empty(key);
        }
        for slot in self.limbo.drain(..) {
            self.arena.reset(slot);
            self.free_slots.push(slot);
        }
    }

    /// The decoded values.
    pub fn arena(&self) -> &A {
        &self.arena
    }

    /// The decoded values, to change those of rows that were just inserted.
    pub fn arena_mut(&mut self) -> &mut A {
        &mut self.arena
    }

    fn lookup(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let keys = &mut self.keys;
        let found = *self.table.find(hash, |place| {
            let known = &keys[*place as usize];
            known.hash == hash && *known.bytes == *key
        })?;
        keys[found as usize].flags |= RECENT;
        Some(found)
    }

    fn make(&mut self, hash: u64, key: &[u8]) -> u32 {
        let made = Key { hash, bytes: key.into(), rows: VecDeque::new(), pinned: 0, flags: USED | RECENT };
        self.size.cached += key_size(&made);
        let place = match self.free_keys.pop() {
            Some(place) => {
                self.keys[place as usize] = made;
                place
            }
            None => {
                self.keys.push(made);
                u32::try_from(self.keys.len() - 1).expect("a store keeps fewer than 2^32 keys in memory")
            }
        };
        let keys = &self.keys;
        self.table.insert_unique(hash, place, |place| keys[*place as usize].hash);
        place
    }

    /// Reads the rows of a key that was just made, one range per segment.
    fn load(&mut self, key: u32) -> Result<(), StreamsError> {
        let from = self.kept_from.max(0);
        let backend = Arc::clone(&self.place.backend);
        let Some((first, last)) = self.segments else { return Ok(()) };
        for segment in first.max(from / self.segment_ms)..=last {
            let start = from.max(segment.saturating_mul(self.segment_ms));
            let end = segment.saturating_add(1).saturating_mul(self.segment_ms);
            let prefix =
                [&self.place.partition.to_be_bytes()[..], &segment.to_be_bytes(), self.key(key)].concat();
            let lower = [prefix.as_slice(), &start.to_be_bytes()].concat();
            let upper = [prefix.as_slice(), &end.to_be_bytes()].concat();
            for entry in backend.scan(self.place.family, &lower, Some(&upper), Direction::Forward)? {
                let (stored, value) = entry?;
                // A longer key can begin with this key's bytes and sort among its rows.
                if stored.len() == prefix.len() + 12 {
                    self.load_row(key, &stored[prefix.len()..], &value)?;
                }
            }
        }
        Ok(())
    }

    fn load_row(&mut self, key: u32, suffix: &[u8], value: &[u8]) -> Result<(), StreamsError> {
        let corrupt = |reason: &str| StreamsError::CorruptState {
            store: self.place.name.to_string(),
            reason: reason.to_owned(),
        };
        let (time, sequence) = split_time(suffix).ok_or_else(|| corrupt("a key has no time and sequence"))?;
        let (_, value) = split_value(value).ok_or_else(|| corrupt("a value has no timestamp"))?;
        let row = self.insert(key, time, false);
        // It is committed: what `insert` noted as a change is none.
        self.changes.pop();
        let Key { rows, pinned, .. } = &mut self.keys[key as usize];
        *pinned -= 1;
        if let Some(last) = rows.back_mut() {
            (last.sequence, last.dirty) = (sequence, false);
        }
        self.arena.load(row.slot, value)?;
        self.size.cached += self.row_size(row.slot);
        Ok(())
    }

    fn change(&mut self, key: u32, row: KeptRow, removed: bool) {
        self.changes.push(Change { key, sequence: row.sequence, time: row.time, removed });
        self.keys[key as usize].pinned += 1;
    }

    fn drop_expired(&mut self, key: u32) {
        while let Some(row) = self.keys[key as usize].rows.pop_front_if(|row| row.time < self.kept_from) {
            self.shrink(self.row_size(row.slot));
            self.limbo.push(row.slot);
        }
    }

    fn drop_if_empty(&mut self, key: u32) {
        let Key { rows, pinned, flags, .. } = &self.keys[key as usize];
        if *flags & USED != 0 && rows.is_empty() && *pinned == 0 {
            self.drop_key(key);
        }
    }

    fn drop_key(&mut self, place: u32) {
        let key = &mut self.keys[place as usize];
        let size = key_size(key);
        (key.flags, key.bytes, key.rows) = (0, Box::default(), VecDeque::new());
        if let Ok(found) = self.table.find_entry(key.hash, |candidate| *candidate == place) {
            found.remove();
        }
        self.free_keys.push(place);
        self.shrink(size);
    }

    fn shrink(&mut self, bytes: usize) {
        self.size.cached = self.size.cached.saturating_sub(bytes);
    }

    fn evict(&mut self, place: u32) {
        let rows = std::mem::take(&mut self.keys[place as usize].rows);
        self.complete &= rows.is_empty();
        for row in rows {
            self.shrink(self.row_size(row.slot));
            self.arena.reset(row.slot);
            self.free_slots.push(row.slot);
        }
        self.drop_key(place);
    }

    fn row_size(&self, slot: u32) -> usize {
        size_of::<KeptRow>() + self.arena.size(slot)
    }

    fn segment(&self, time: i64) -> i64 {
        time.max(0) / self.segment_ms
    }

    /// Removes committed rows of segments that have expired as a whole, some at each commit.
    fn purge(&mut self, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let live = self.segment(self.kept_from);
        let Some((first, last)) = self.segments.filter(|(first, _)| *first < live) else { return Ok(()) };
        let partition = self.place.partition.to_be_bytes();
        if self.purged_to.is_empty() {
            self.purged_to = [&partition[..], &first.to_be_bytes()].concat();
        }
        let end = [&partition[..], &live.to_be_bytes()].concat();
        let backend = Arc::clone(&self.place.backend);
        let mut expired = backend.scan(self.place.family, &self.purged_to, Some(&end), Direction::Forward)?;
        for _ in 0..PURGED_PER_COMMIT {
            let Some(entry) = expired.next() else {
                self.segments = (live <= last).then_some((live, last));
                self.purged_to.clear();
                return Ok(());
            };
            let (key, _) = entry?;
            batch.delete(self.place.family, &[&key]);
            self.purged_to = [&*key, &[0]].concat();
        }
        Ok(())
    }
}

impl<A: Arena> TaskStore for StreamRows<A> {
    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let partition = self.place.partition.to_be_bytes();
        let (mut value, mut stored) = (Vec::new(), Vec::new());
        for change in std::mem::take(&mut self.changes) {
            let found = self.index_of(change.key, change.time, change.sequence);
            let segment = self.segment(change.time);
            let Key { bytes, rows, pinned, .. } = &mut self.keys[change.key as usize];
            *pinned -= 1;
            stored.clear();
            stored.extend_from_slice(bytes);
            stored.extend_from_slice(&change.time.to_be_bytes());
            stored.extend_from_slice(&change.sequence.to_be_bytes());
            let segment_bytes = segment.to_be_bytes();
            match found {
                Some(index) if rows[index].dirty => {
                    rows[index].dirty = false;
                    value.clear();
                    self.arena.save(rows[index].slot, &mut value)?;
                    changelog.append(&stored, Some(&value), change.time)?;
                    let parts: [&[u8]; 2] = [&change.time.to_be_bytes(), &value];
                    batch.put(self.place.family, &[&partition, &segment_bytes, &stored], &parts);
                    let (first, last) = self.segments.unwrap_or((segment, segment));
                    self.segments = Some((first.min(segment), last.max(segment)));
                }
                None if change.removed => {
                    changelog.append(&stored, None, change.time)?;
                    batch.delete(self.place.family, &[&partition, &segment_bytes, &stored]);
                }
                Some(_) | None => {}
            }
            self.drop_if_empty(change.key);
        }
        self.size.dirty = 0;
        self.purge(batch)
    }

    fn committed(&mut self, budget: usize) {
        // Two rounds: the first may only clear the marks of recent use.
        let mut steps = self.keys.len() * 2;
        while self.size.cached > budget && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.keys.len() { self.hand + 1 } else { 0 };
            let flags = &mut self.keys[self.hand].flags;
            if *flags & RECENT != 0 {
                *flags &= !RECENT;
            } else if *flags & USED != 0 {
                self.evict(u32::try_from(self.hand).expect("keys are numbered in 32 bits"));
            }
        }
    }

    fn size(&self) -> StoreSize {
        self.size
    }

    fn stream_time(&self) -> i64 {
        self.stream_time
    }

    fn restored(&mut self, stream_time: i64, empty: bool) {
        self.observe(stream_time);
        self.kept_from = self.first_live();
        self.complete = empty;
        // Where the first one really is does not matter: a purge passes over what is not there in one step.
        self.segments = (!empty).then(|| (0, self.segment(self.stream_time)));
    }
}

fn hash(key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(key)
}

fn key_size(key: &Key) -> usize {
    size_of::<Key>() + key.bytes.len()
}

/// Splits time and sequence off the end of a row's key; for a changelog record's key, the bytes before them are
/// the key's.
fn split_time(key: &[u8]) -> Option<(i64, u32)> {
    let (rest, sequence) = key.split_last_chunk::<4>()?;
    let (_, time) = rest.split_last_chunk::<8>()?;
    Some((i64::from_be_bytes(*time), u32::from_be_bytes(*sequence)))
}

/// What the backend's keys have between partition and the changelog's key, for a row of this changelog key.
pub(crate) fn segment_prefix(segment_ms: i64, key: &[u8]) -> [u8; 8] {
    let time = split_time(key).map_or(0, |(time, _)| time);
    (time.max(0) / segment_ms.max(1)).to_be_bytes()
}

/// Splits a backend key without its partition into key bytes and time.
pub(crate) fn split_row(stored: &[u8]) -> (&[u8], i64) {
    let (time, _) = split_time(stored).unwrap_or((0, 0));
    let end = stored.len().saturating_sub(12);
    (stored.get(8..end).unwrap_or_default(), time)
}

#[cfg(test)]
mod tests;
