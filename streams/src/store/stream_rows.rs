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
use std::ops::{Deref, Range};
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::error::StreamsError;
use crate::store::backend::{Direction, WriteBatch};
use crate::store::cache::{Arena, StorePlace, StoreSize, TaskStore, split_value};
use crate::store::changelog::Changelog;
use crate::store::spec::StoreKind;

const USED: u8 = 1;
/// Set by every use, cleared by the eviction sweep.
const RECENT: u8 = 2;

/// So many keys that go leave their memory to keys that come, each at most this much.
const ROOMS: usize = 1 << 14;
const ROOM_ROWS: usize = 4;

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
    /// The number of the change that put it, or 0 if it was read from the backend.
    change: u64,
}

/// The bytes of a key with their hash, which the stores of both sides of a join use.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    bytes: &'a [u8],
    hash: u64,
}

impl<'a> HashedKey<'a> {
    /// Hashes these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, hash: FxBuildHasher.hash_one(bytes) }
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The bytes of a key in memory. Short ones lie in place, so that finding a key touches no other memory.
enum KeyBytes {
    Short(u8, [u8; SHORT_BYTES]),
    Long(Box<[u8]>),
}

const SHORT_BYTES: usize = 22;

impl KeyBytes {
    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT_BYTES];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ => Self::Long(bytes.into()),
        }
    }
}

impl Default for KeyBytes {
    fn default() -> Self {
        Self::Short(0, [0; SHORT_BYTES])
    }
}

impl Deref for KeyBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

#[derive(Default)]
struct Key {
    hash: u64,
    bytes: KeyBytes,
    /// By time, then sequence.
    rows: VecDeque<KeptRow>,
    /// The number of the last change that removed a row: until it is committed the backend has that row, so the key
    /// must not be read again.
    removed: u64,
    flags: u8,
}

/// What was put and removed since the last commit, as it will be written: a commit goes through it from the
/// beginning to the end and touches no row.
#[derive(Default)]
struct Changes {
    /// The number of the first one.
    first: u64,
    changes: Vec<Change>,
    bytes: Vec<u8>,
}

struct Change {
    time: i64,
    /// In `bytes`: key, time and sequence.
    key: Range<usize>,
    kind: ChangeKind,
}

enum ChangeKind {
    /// A row was put, and its value is not known yet.
    Inserted,
    /// The value, in `bytes`.
    Put(Range<usize>),
    Remove,
    /// A row that is gone before it was written.
    Nothing,
}

impl Changes {
    fn push(&mut self, key: &[u8], time: i64, sequence: u32, kind: ChangeKind) -> u64 {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(&time.to_be_bytes());
        self.bytes.extend_from_slice(&sequence.to_be_bytes());
        self.changes.push(Change { time, key: start..self.bytes.len(), kind });
        self.first + self.changes.len() as u64 - 1
    }

    /// The change of this number, if it is not committed.
    fn get(&mut self, number: u64) -> Option<&mut Change> {
        self.changes.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
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
    changes: Changes,
    size: StoreSize,
    /// Every committed row is in memory, so a key that is not found has no rows.
    complete: bool,
    stream_time: i64,
    /// Rows before this time are gone for good, in memory as soon as they are met.
    kept_from: i64,
    /// The first and the last segment that the backend may have.
    segments: Option<(i64, i64)>,
    hand: usize,
    sweep: Sweep,
}

/// The search for expired rows of keys that are not used any more.
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
            changes: Changes { first: 1, ..Changes::default() },
            size: StoreSize::default(),
            complete: false,
            stream_time: i64::MIN,
            kept_from: i64::MIN,
            segments: None,
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
    pub fn find(&mut self, key: HashedKey<'_>) -> Result<Option<u32>, StreamsError> {
        match self.lookup(key) {
            Some(found) => Ok(Some(found)),
            None if self.complete => Ok(None),
            None => {
                let made = self.make(key);
                self.load(made)?;
                Ok(Some(made))
            }
        }
    }

    /// The key's place, made if it is not there. It is good until [`StreamRows::release`].
    pub fn find_or_make(&mut self, key: HashedKey<'_>) -> Result<u32, StreamsError> {
        match self.find(key)? {
            Some(found) => Ok(found),
            None => Ok(self.make(key)),
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
        let slot = self.slot();
        let rows = &self.keys[key as usize].rows;
        let at = match rows.back() {
            Some(last) if last.time > time => rows.partition_point(|row| row.time <= time),
            _ => rows.len(),
        };
        let before = at.checked_sub(1).map(|index| rows[index]).filter(|row| row.time == time);
        let sequence = before.map_or(0, |row| row.sequence + 1);
        let bytes = &self.keys[key as usize].bytes;
        let change = self.changes.push(bytes, time, sequence, ChangeKind::Inserted);
        let row = KeptRow { time, sequence, slot, settled, change };
        self.keys[key as usize].rows.insert(at, row);
        self.sweep.stored += 1;
        row
    }

    /// The values of these rows, which were inserted, have been put into the arena. Some may be removed already.
    pub fn written(&mut self, rows: &[KeptRow]) -> Result<(), StreamsError> {
        for row in rows {
            let change = self.changes.get(row.change);
            if change.is_none_or(|change| !matches!(change.kind, ChangeKind::Inserted)) {
                continue;
            }
            let size = self.row_size(row.slot);
            self.size.cached += size;
            self.size.dirty += size;
            let start = self.changes.bytes.len();
            self.arena.save(row.slot, &mut self.changes.bytes)?;
            let value = start..self.changes.bytes.len();
            if let Some(change) = self.changes.get(row.change) {
                change.kind = ChangeKind::Put(value);
            }
        }
        Ok(())
    }

    /// Removes the row that stands at `index` among the rows of a key. Its value stays in the arena until
    /// [`StreamRows::release`].
    pub fn remove(&mut self, key: u32, index: usize) {
        let Some(row) = self.keys[key as usize].rows.remove(index) else { return };
        self.limbo.push(row.slot);
        let size = self.row_size(row.slot);
        match self.changes.get(row.change) {
            Some(change) => {
                let counted = !matches!(change.kind, ChangeKind::Inserted);
                change.kind = ChangeKind::Nothing;
                self.shrink(if counted { size } else { 0 });
            }
            None => {
                self.shrink(size);
                let Key { bytes, removed, .. } = &mut self.keys[key as usize];
                *removed = self.changes.push(bytes, row.time, row.sequence, ChangeKind::Remove);
            }
        }
    }

    /// The end of a batch: frees what was removed, and lets rows that have expired go.
    pub fn release(&mut self) {
        self.kept_from = self.kept_from.max(self.first_live());
        // Once per retention is enough: a key that is used loses its expired rows then.
        if self.sweep.left == 0 && self.kept_from >= self.sweep.at.saturating_add(self.retention_ms) {
            self.sweep.at = self.kept_from;
            self.sweep.left = self.keys.len();
        }
        // Twice as fast as keys can be added, or the search could stay behind.
        let steps = self.sweep.left.min(self.sweep.stored * 2);
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

    fn lookup(&mut self, key: HashedKey<'_>) -> Option<u32> {
        let keys = &mut self.keys;
        let found = *self.table.find(key.hash, |place| {
            let known = &keys[*place as usize];
            known.hash == key.hash && *known.bytes == *key.bytes
        })?;
        keys[found as usize].flags |= RECENT;
        Some(found)
    }

    fn make(&mut self, key: HashedKey<'_>) -> u32 {
        let place = self.free_keys.pop().unwrap_or_else(|| {
            self.keys.push(Key::default());
            u32::try_from(self.keys.len() - 1).expect("a store keeps fewer than 2^32 keys in memory")
        });
        let made = &mut self.keys[place as usize];
        (made.hash, made.removed, made.flags) = (key.hash, 0, USED | RECENT);
        made.bytes = KeyBytes::new(key.bytes);
        self.size.cached += key_size(made);
        let keys = &self.keys;
        self.table.insert_unique(key.hash, place, |place| keys[*place as usize].hash);
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
        let slot = self.slot();
        // Segments and keys are read in order, so rows come in order, too.
        self.keys[key as usize].rows.push_back(KeptRow { time, sequence, slot, settled: false, change: 0 });
        self.arena.load(slot, value)?;
        self.size.cached += self.row_size(slot);
        Ok(())
    }

    /// A free slot.
    fn slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.used_slots).expect("a store keeps fewer than 2^32 rows in memory");
            self.used_slots += 1;
            if self.used_slots > self.arena_slots {
                self.arena_slots = (self.used_slots * 2).max(64);
                self.arena.resize(self.arena_slots);
            }
            slot
        })
    }

    fn drop_expired(&mut self, key: u32) {
        while let Some(row) = self.keys[key as usize].rows.pop_front_if(|row| row.time < self.kept_from) {
            self.shrink(self.row_size(row.slot));
            self.limbo.push(row.slot);
            if let Some(change) = self.changes.get(row.change) {
                change.kind = ChangeKind::Nothing;
            }
        }
    }

    fn drop_if_empty(&mut self, key: u32) {
        let Key { rows, flags, removed, .. } = &self.keys[key as usize];
        if *flags & USED != 0 && rows.is_empty() && *removed < self.changes.first {
            self.drop_key(key);
        }
    }

    fn drop_key(&mut self, place: u32) {
        let key = &mut self.keys[place as usize];
        let size = key_size(key);
        key.flags = 0;
        key.bytes = KeyBytes::default();
        key.rows.clear();
        key.rows.shrink_to(if self.free_keys.len() < ROOMS { ROOM_ROWS } else { 0 });
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

    /// Removes committed rows of segments that have expired as a whole.
    fn purge(&mut self, batch: &mut WriteBatch) {
        let live = self.segment(self.kept_from);
        let Some((first, last)) = self.segments.filter(|(first, _)| *first < live) else { return };
        let key = |segment: i64| [&self.place.partition.to_be_bytes()[..], &segment.to_be_bytes()].concat();
        batch.delete_range(self.place.family, &key(first), &key(live));
        self.segments = (live <= last).then_some((live, last));
    }
}

impl<A: Arena> TaskStore for StreamRows<A> {
    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let partition = self.place.partition.to_be_bytes();
        let Changes { changes, bytes, .. } = &self.changes;
        for change in changes {
            let (key, segment) = (&bytes[change.key.clone()], self.segment(change.time));
            let stored: [&[u8]; 3] = [&partition, &segment.to_be_bytes(), key];
            match &change.kind {
                ChangeKind::Put(value) => {
                    let value = &bytes[value.clone()];
                    changelog.append(key, Some(value), change.time)?;
                    batch.put(self.place.family, &stored, &[&change.time.to_be_bytes(), value]);
                    let (first, last) = self.segments.unwrap_or((segment, segment));
                    self.segments = Some((first.min(segment), last.max(segment)));
                }
                ChangeKind::Remove => {
                    changelog.append(key, None, change.time)?;
                    batch.delete(self.place.family, &stored);
                }
                // Rows are committed between batches, when all values are known.
                ChangeKind::Inserted | ChangeKind::Nothing => {}
            }
        }
        self.changes.first += self.changes.changes.len() as u64;
        self.changes.changes.clear();
        self.changes.bytes.clear();
        self.size.dirty = 0;
        self.purge(batch);
        Ok(())
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
        StoreSize { dirty: self.size.dirty + self.changes.bytes.len(), ..self.size }
    }

    fn stream_time(&self) -> i64 {
        self.stream_time
    }

    fn restored(&mut self, stream_time: i64, empty: bool) {
        self.observe(stream_time);
        self.kept_from = self.first_live();
        self.complete = empty;
        // Where the first one really is does not matter: a purge removes all before those that live.
        self.segments = (!empty).then(|| (0, self.segment(self.stream_time)));
    }
}

fn key_size(key: &Key) -> usize {
    let on_heap = match &key.bytes {
        KeyBytes::Short(..) => 0,
        KeyBytes::Long(bytes) => bytes.len(),
    };
    size_of::<Key>() + on_heap
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
