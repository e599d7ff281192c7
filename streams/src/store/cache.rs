//! The object cache: one store partition, decoded, addressed by slots.
//!
//! ```text
//! key bytes ─hash table─▶ slot ─▶ entry: key span, timestamp, flags
//!                              └▶ arena: the decoded state of the slot (a row of columns, a Rust value, ..)
//! ```
//! A slot stays valid until the next commit, so an operator resolves a batch of keys once and then works on
//! slots. Iterations ([`CachedStore::rows`]) merge what is committed with what is not, and load nothing.
//!
//! Rows of windows, and those with a time to live, expire. An index beside them says which ones, so that a
//! commit removes what has expired and looks at nothing else.
//!
//! ```text
//! expiry index: partition, time (8 bytes, in order), key  -> nothing
//!               partition, time, hash of the value        -> keys of windows that begin then, without the time
//! ```

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::ByteColumn;
use crate::error::StreamsError;
use crate::store::backend::{Direction, WriteBatch};
use crate::store::changelog::Changelog;
use crate::store::key_index::KeyIndex;
use crate::store::spec::StoreKind;
pub use crate::store::spec::StorePlace;
use crate::store::versioned::split_version;

mod by_time;
mod expiry;
mod recency;
mod rows;

pub(crate) use expiry::ExpiryIndex;
use recency::Recency;
pub use rows::{RowState, Rows, StoreRow};

/// Stands for "no such key" where a slot is expected.
pub const NO_SLOT: u32 = u32::MAX;

const DIRTY: u8 = 1;
const EXISTS: u8 = 2;
const USED: u8 = 4;
/// Set by every use, cleared by the eviction sweep: a slot is evicted if it was not used between two sweeps.
const RECENT: u8 = 8;
/// The backend has the key: removing it needs a tombstone.
const BACKED: u8 = 16;

/// Decoded state of many keys, by slot. What a slot holds after [`Arena::reset`] is "no state yet".
pub trait Arena: Send + 'static {
    /// Makes room for this many slots; new ones are reset. Never shrinks.
    fn resize(&mut self, slots: usize);
    /// Empties a slot.
    fn reset(&mut self, slot: u32);
    /// Fills a slot from what [`Arena::save`] wrote.
    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError>;
    /// Appends the state of a slot; these bytes are also the value in the changelog topic.
    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError>;
    /// About how many bytes a slot holds.
    fn size(&self, slot: u32) -> usize;
    /// Gives the empty slot `to` the state of the slot `from`.
    fn copy(&mut self, from: u32, to: u32) -> Result<(), StreamsError> {
        let mut state = Vec::new();
        self.save(from, &mut state)?;
        self.load(to, &state)
    }
    /// Appends the present state of a slot to the states before change, see [`CachedStore::keep_old`].
    fn remember(&mut self, _slot: u32) {}
    /// Drops what was remembered: it is committed.
    fn forget(&mut self) {}
}

/// Memory of a store, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Keys and state in the cache.
    pub cached: usize,
    /// The part of it that is not committed yet.
    pub dirty: usize,
}

/// A store of a task as the runtime sees it, whatever its arena.
pub trait TaskStore: Any + Send {
    /// The name by which processors find the store, if it is one that they may use.
    fn name(&self) -> &str {
        ""
    }
    /// Whether operators may coalesce updates to the store until commits.
    fn coalesces(&self) -> bool {
        true
    }
    /// Writes every uncommitted change to the changelog and to the write batch, and removes expired windows.
    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError>;
    /// After the write batch was applied: evicts until at most `budget` bytes are cached.
    fn committed(&mut self, budget: usize);
    /// The memory in use.
    fn size(&self) -> StoreSize;
    /// The highest timestamp that the store has seen, or `i64::MIN`.
    fn stream_time(&self) -> i64;
    /// After the restore: the stream time it found, and whether the backend holds nothing for this partition.
    fn restored(&mut self, stream_time: i64, empty: bool);
}

struct Entry {
    hash: u64,
    key: usize,
    key_len: u32,
    size: u32,
    timestamp: i64,
    /// The position in the list of dirty slots, while the slot is dirty.
    dirty_at: u32,
    flags: u8,
}

/// One store partition of a task: decoded state over what is committed.
pub struct CachedStore<A: Arena> {
    place: StorePlace,
    arena: A,
    arena_slots: usize,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
    /// Bytes in `keys` of evicted slots.
    garbage: usize,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// The dirty slots by key, kept from the first iteration on.
    dirty_order: Option<BTreeMap<Box<[u8]>, u32>>,
    size: StoreSize,
    /// Every committed key whose time is greater ([`StoreKind::time`]) is in the cache, so that a miss needs no read.
    read_to: i64,
    keeps_old: bool,
    /// The timestamps before the changes, if old states are kept.
    times_before: Vec<i64>,
    /// How many of the dirty slots were forwarded.
    forwarded: usize,
    stream_time: i64,
    /// The time up to which expired rows were removed.
    purged_to: i64,
    hand: usize,
    misses: Vec<u32>,
    miss_keys: ByteColumn,
    /// The order of use, in a store with a limit to its keys.
    recency: Option<Recency>,
    scratch: Vec<u8>,
    /// The windows of the keys that were asked for with [`CachedStore::windows`].
    index: KeyIndex,
    /// The order of windows across keys, if an operator asked for that.
    by_time: Option<by_time::TimeOrder>,
}

impl<A: Arena> CachedStore<A> {
    pub(crate) fn new(place: StorePlace, arena: A) -> Self {
        let recency = place.max_entries.map(Recency::new);
        Self {
            place,
            arena,
            arena_slots: 0,
            table: HashTable::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            garbage: 0,
            free: Vec::new(),
            dirty: Vec::new(),
            dirty_order: None,
            size: StoreSize::default(),
            read_to: i64::MAX,
            keeps_old: false,
            times_before: Vec::new(),
            forwarded: 0,
            stream_time: i64::MIN,
            purged_to: i64::MIN,
            hand: 0,
            misses: Vec::new(),
            miss_keys: ByteColumn::default(),
            recency,
            scratch: Vec::new(),
            index: KeyIndex::default(),
            by_time: None,
        }
    }

    /// The name of the store.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The kind of the store.
    pub fn kind(&self) -> StoreKind {
        self.place.kind
    }

    /// Appends the slot of each key to `out`: found, loaded, or made with empty state.
    pub fn slots<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        out: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        for key in keys {
            let hash = hash(key);
            let slot = match self.lookup(hash, key) {
                Some(slot) => slot,
                None => self.insert(hash, key),
            };
            out.push(slot);
        }
        self.load_misses()?;
        if self.place.ttl_ms.is_some() {
            for slot in out.iter() {
                self.empty_if_expired(*slot);
            }
        }
        Ok(())
    }

    /// Appends the slot of each key to `out`, or [`NO_SLOT`] for a key that is absent or not in the store.
    pub fn find_many<'k>(
        &mut self,
        keys: impl IntoIterator<Item = Option<&'k [u8]>>,
        out: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        let first = out.len();
        self.find_slots(keys, out)?;
        for slot in &mut out[first..] {
            if *slot != NO_SLOT && !self.exists(*slot) {
                *slot = NO_SLOT;
            }
        }
        Ok(())
    }

    /// Appends the slot of each key that may be in the store.
    fn find_slots<'k>(
        &mut self,
        keys: impl IntoIterator<Item = Option<&'k [u8]>>,
        out: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        for key in keys {
            let Some(key) = key else {
                out.push(NO_SLOT);
                continue;
            };
            let hash = hash(key);
            out.push(match self.lookup(hash, key) {
                Some(slot) => slot,
                None if !self.may_be_backed(key) => NO_SLOT,
                None => self.insert(hash, key),
            });
        }
        self.load_misses()
    }

    /// As [`CachedStore::find_many`] for the keys that are in the store as far as its changes were forwarded: see
    /// [`CachedStore::pending`].
    pub fn find_forwarded<'k>(
        &mut self,
        keys: impl IntoIterator<Item = Option<&'k [u8]>>,
        out: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        let first = out.len();
        self.find_slots(keys, out)?;
        for slot in &mut out[first..] {
            if *slot != NO_SLOT {
                let there = match self.pending(*slot) {
                    Some(_) => self.was_committed(*slot),
                    None => self.exists(*slot),
                };
                *slot = if there { *slot } else { NO_SLOT };
            }
        }
        Ok(())
    }

    /// The slot of a key that is in the store.
    pub fn find(&mut self, key: &[u8]) -> Result<Option<u32>, StreamsError> {
        let hash = hash(key);
        let slot = match self.lookup(hash, key) {
            Some(slot) => slot,
            None if !self.may_be_backed(key) => return Ok(None),
            None => self.insert(hash, key),
        };
        self.load_misses()?;
        Ok(self.exists(slot).then_some(slot))
    }

    /// The slot of a key: found, loaded, or made with empty state.
    pub fn slot(&mut self, key: &[u8]) -> Result<u32, StreamsError> {
        let hash = hash(key);
        let slot = match self.lookup(hash, key) {
            Some(slot) => slot,
            None => self.insert(hash, key),
        };
        self.load_misses()?;
        self.empty_if_expired(slot);
        Ok(slot)
    }

    /// The slots of the keys from `from` on and before `to`, in key order, with uncommitted changes.
    pub fn range(&mut self, from: &[u8], to: Option<&[u8]>, out: &mut Vec<u32>) -> Result<(), StreamsError> {
        let mut found = Vec::new();
        for row in self.rows(from, to, Direction::Forward)? {
            found.push(row?);
        }
        for row in found {
            let slot = match row.state {
                RowState::Cached(slot) => slot,
                RowState::Stored(state) => self.load_row(&row.key, row.timestamp, &state)?,
            };
            out.push(slot);
        }
        Ok(())
    }

    /// Appends the slots of a key's windows or sessions, ascending by time, expired ones included: windows whose
    /// start, or sessions whose end, is from `from` (ms) on and up to `to`.
    ///
    /// From then on the key's windows are known. An operator that uses this for some keys of a store must use it
    /// for each key before it puts a window of that key, or the window may be missed.
    pub fn windows(
        &mut self,
        key: &[u8],
        from: i64,
        to: i64,
        out: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        let hash = hash(key);
        if self.index.get(hash, key).is_none() {
            self.load_windows(hash, key)?;
        }
        let Some(slots) = self.index.get(hash, key) else { return Ok(()) };
        let first = slots.partition_point(|slot| self.time(*slot) < from);
        out.extend(slots[first..].iter().copied().take_while(|slot| self.time(*slot) <= to));
        Ok(())
    }

    /// The slot of a window or session that is not in the store, as [`CachedStore::windows`] has shown: empty, and
    /// nothing is read.
    pub fn new_window(&mut self, key: &[u8]) -> u32 {
        let hash = hash(key);
        match self.lookup(hash, key) {
            Some(slot) => slot,
            None => {
                let slot = self.insert(hash, key);
                self.misses.pop_if(|miss| *miss == slot);
                slot
            }
        }
    }

    fn load_windows(&mut self, hash: u64, key: &[u8]) -> Result<(), StreamsError> {
        let mut slots = Vec::new();
        // If every committed key is in the cache, this one has no window: the index would know it.
        if self.read_to > i64::MIN {
            let suffix = self.place.kind.suffix();
            let first_live = self.place.kind.first_live(self.stream_time).max(0);
            let lower = [&self.place.partition.to_be_bytes(), key, &first_live.to_be_bytes()].concat();
            let upper = [&self.place.partition.to_be_bytes(), key, &[u8::MAX; 17]].concat();
            let backend = Arc::clone(&self.place.backend);
            for entry in backend.scan(self.place.family, &lower, Some(&upper), Direction::Forward)? {
                let (stored, value) = entry?;
                // A longer key can begin with this key's bytes and sort among its windows.
                if stored.len() != 4 + key.len() + suffix {
                    continue;
                }
                let stored = &stored[4..];
                let stored_hash = crate::store::cache::hash(stored);
                let slot = match self.lookup(stored_hash, stored) {
                    Some(slot) => slot,
                    None => {
                        let slot = self.insert(stored_hash, stored);
                        self.misses.pop_if(|miss| *miss == slot);
                        self.fill(slot, &value)?;
                        slot
                    }
                };
                if self.exists(slot) {
                    slots.push(slot);
                }
            }
        }
        self.index.insert(hash, key, slots);
        Ok(())
    }

    /// The time that orders a window's slot among those of its key.
    fn time(&self, slot: u32) -> i64 {
        self.place.kind.time(self.key(slot))
    }

    /// Whether the slot's key is in the store.
    pub fn exists(&self, slot: u32) -> bool {
        let entry = &self.entries[slot as usize];
        entry.flags & EXISTS != 0 && self.is_live(entry.timestamp)
    }

    /// From now on the arena remembers the state that each slot had before its first change since the last
    /// commit, in the order of [`CachedStore::dirty`].
    pub fn keep_old(&mut self) {
        self.keeps_old = true;
    }

    /// The slot's key is in the store from now on, with this timestamp (ms). Call it before the state is
    /// changed, and [`CachedStore::measure`] afterwards.
    pub fn put(&mut self, slot: u32, timestamp: i64) {
        self.touch(slot, timestamp, EXISTS);
    }

    /// Removes the slot's key and empties the slot.
    pub fn delete(&mut self, slot: u32, timestamp: i64) {
        self.touch(slot, timestamp, 0);
        self.arena.reset(slot);
        self.resized(slot);
        self.not_used(slot);
    }

    /// The timestamp that the slot was last written with, in ms; meaningless for a key that does not exist.
    pub fn timestamp(&self, slot: u32) -> i64 {
        self.entries[slot as usize].timestamp
    }

    /// The key bytes of a slot; for window stores with the window start.
    pub fn key(&self, slot: u32) -> &[u8] {
        let entry = &self.entries[slot as usize];
        &self.keys[entry.key..entry.key + entry.key_len as usize]
    }

    /// The key bytes of a window store's slot, and the window start in ms.
    pub fn windowed_key(&self, slot: u32) -> (&[u8], i64) {
        split_window(self.key(slot))
    }

    /// The key bytes of a session store's slot, and the session's start and end in ms.
    pub fn session_key(&self, slot: u32) -> (&[u8], i64, i64) {
        split_session(self.key(slot))
    }

    /// Whether anyone who reads the changelog or the output may know the slot's key: it was committed before.
    pub fn was_committed(&self, slot: u32) -> bool {
        self.entries[slot as usize].flags & BACKED != 0
    }

    /// Changed slots since the last commit, in the order of their first change.
    pub fn dirty(&self) -> &[u32] {
        &self.dirty
    }

    /// The next dirty slots whose changes were not forwarded since the last commit, at most `max`, by their
    /// positions; they count as forwarded from here on.
    pub fn forward_next(&mut self, max: usize) -> Range<usize> {
        let start = self.forwarded;
        self.forwarded = self.dirty.len().min(start + max);
        start..self.forwarded
    }

    /// The position of a slot's change that was not forwarded yet. Whoever must not be ahead of what was forwarded
    /// takes the state before it. None if old states are not kept, see [`CachedStore::keep_old`].
    pub fn pending(&self, slot: u32) -> Option<usize> {
        let entry = &self.entries[slot as usize];
        let position = entry.dirty_at as usize;
        (self.keeps_old && entry.flags & DIRTY != 0 && position >= self.forwarded).then_some(position)
    }

    /// The timestamp that a slot had before its change at this position.
    pub fn timestamp_before(&self, position: usize) -> i64 {
        self.times_before[position]
    }

    /// The decoded state.
    pub fn arena(&self) -> &A {
        &self.arena
    }

    /// The decoded state, to change after [`CachedStore::put`].
    pub fn arena_mut(&mut self) -> &mut A {
        &mut self.arena
    }

    /// These slots are about to change, in a way that [`CachedStore::put`] or [`CachedStore::delete`] will say
    /// only afterwards.
    pub fn will_change(&mut self, slots: &[u32]) {
        for slot in slots {
            self.mark(*slot);
        }
    }

    /// Brings the memory accounts up to the state of these slots, after it was changed.
    pub fn measure(&mut self, slots: &[u32]) {
        for slot in slots {
            self.resized(*slot);
        }
    }

    /// Raises the stream time by which windows expire.
    pub fn observe(&mut self, stream_time: i64) {
        self.stream_time = self.stream_time.max(stream_time);
    }

    /// The highest stream time that was ever observed, before a restart too, or `i64::MIN`.
    pub fn observed(&self) -> i64 {
        self.stream_time
    }

    /// The first window start (session end), or timestamp of a row with a time to live, that has not expired.
    pub fn first_live(&self) -> i64 {
        self.place.first_live(self.stream_time)
    }

    /// Where the store lives.
    pub(crate) fn place(&self) -> &StorePlace {
        &self.place
    }

    /// Whether a row of a store with a time to live that was written with this timestamp is still there.
    fn is_live(&self, timestamp: i64) -> bool {
        self.place.ttl_ms.is_none_or(|ttl_ms| timestamp >= self.stream_time.saturating_sub(ttl_ms))
    }

    /// An expired row is as good as absent, but the backend has it until it is purged.
    fn empty_if_expired(&mut self, slot: u32) {
        let entry = &self.entries[slot as usize];
        if entry.flags & EXISTS != 0 && !self.is_live(entry.timestamp) {
            self.entries[slot as usize].flags &= !EXISTS;
            self.arena.reset(slot);
            self.resized(slot);
        }
    }

    /// The slot of a committed row that was read from the backend already.
    pub(crate) fn load_row(&mut self, key: &[u8], timestamp: i64, state: &[u8]) -> Result<u32, StreamsError> {
        let hash = hash(key);
        if let Some(slot) = self.lookup(hash, key) {
            return Ok(slot);
        }
        let slot = self.insert(hash, key);
        // Nothing is missing: this is what a read would find.
        self.misses.pop_if(|miss| *miss == slot);
        self.fill_with(slot, timestamp, state)?;
        Ok(slot)
    }

    /// Whether the backend may have a key that is not in the cache.
    fn may_be_backed(&self, key: &[u8]) -> bool {
        self.place.kind.time(key) <= self.read_to
    }

    fn lookup(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let (entries, keys) = (&mut self.entries, &self.keys);
        let slot = *self.table.find(hash, |slot| {
            let entry = &entries[*slot as usize];
            entry.hash == hash && &keys[entry.key..entry.key + entry.key_len as usize] == key
        })?;
        entries[slot as usize].flags |= RECENT;
        Some(slot)
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let key_len = u32::try_from(key.len()).expect("record keys are shorter than 2 GiB");
        let entry = Entry {
            hash,
            key: self.keys.len(),
            key_len,
            size: 0,
            timestamp: i64::MIN,
            dirty_at: 0,
            flags: USED | RECENT,
        };
        self.keys.extend_from_slice(key);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.entries.len()).expect("a store caches fewer than 2^32 keys");
                self.entries.push(entry);
                if self.entries.len() > self.arena_slots {
                    self.arena_slots = (self.entries.len() * 2).max(64);
                    self.arena.resize(self.arena_slots);
                }
                slot
            }
        };
        self.resized(slot);
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |slot| entries[*slot as usize].hash);
        if self.may_be_backed(key) {
            self.misses.push(slot);
        }
        slot
    }

    /// Reads what the backend has for the slots that were made since the last call.
    fn load_misses(&mut self) -> Result<(), StreamsError> {
        if self.misses.is_empty() {
            return Ok(());
        }
        let misses = std::mem::take(&mut self.misses);
        let mut keys = std::mem::take(&mut self.miss_keys);
        keys.clear();
        let partition = self.place.partition.to_be_bytes();
        for slot in &misses {
            keys.push_parts(&[&partition, self.key(*slot)]);
        }
        let slices: Vec<&[u8]> = keys.iter().flatten().collect();
        let backend = Arc::clone(&self.place.backend);
        backend.get_many(self.place.family, &slices, &mut |index, value| self.fill(misses[index], value))?;
        self.miss_keys = keys;
        self.misses = misses;
        self.misses.clear();
        Ok(())
    }

    /// Puts a value of the backend into a slot.
    fn fill(&mut self, slot: u32, value: &[u8]) -> Result<(), StreamsError> {
        let (timestamp, state) =
            split_value(value).ok_or_else(|| self.place.corrupt("a value has no timestamp"))?;
        self.fill_with(slot, timestamp, state)
    }

    fn fill_with(&mut self, slot: u32, timestamp: i64, state: &[u8]) -> Result<(), StreamsError> {
        if let Err(error) = self.arena.load(slot, state) {
            let error = format!("{error} (key \"{}\")", self.key(slot).escape_ascii());
            return Err(self.place.undecodable(state.len(), &error));
        }
        let entry = &mut self.entries[slot as usize];
        entry.timestamp = timestamp;
        entry.flags |= EXISTS | BACKED;
        self.resized(slot);
        Ok(())
    }

    fn touch(&mut self, slot: u32, timestamp: i64, exists: u8) {
        if self.entries[slot as usize].flags & EXISTS != exists {
            if !self.index.is_empty() {
                self.index_changed(slot, exists);
            }
            if self.by_time.is_some() {
                self.order_changed(slot, exists);
            }
        }
        self.mark(slot);
        let entry = &mut self.entries[slot as usize];
        entry.timestamp = timestamp;
        entry.flags = entry.flags & !EXISTS | exists | RECENT;
        self.resized(slot);
    }

    /// Makes the slot one of those that have changed since the last commit.
    fn mark(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        if entry.flags & DIRTY == 0 {
            entry.flags |= DIRTY;
            self.size.dirty += entry.size as usize;
            entry.dirty_at = u32::try_from(self.dirty.len()).expect("slots are numbered in 32 bits");
            self.dirty.push(slot);
            if self.keeps_old {
                self.times_before.push(entry.timestamp);
                self.arena.remember(slot);
            }
            if let Some(order) = &mut self.dirty_order {
                let entry = &self.entries[slot as usize];
                order.insert(self.keys[entry.key..entry.key + entry.key_len as usize].into(), slot);
            }
        }
    }

    fn index_changed(&mut self, slot: u32, exists: u8) {
        let suffix = self.place.kind.suffix();
        let entry = &self.entries[slot as usize];
        let stored = &self.keys[entry.key..entry.key + entry.key_len as usize];
        let (key, window) = stored.split_at(stored.len().saturating_sub(suffix));
        if exists == 0 {
            return self.index.remove(hash(key), key, slot);
        }
        let (entries, keys) = (&self.entries, &self.keys);
        self.index.add(hash(key), key, slot, |other| {
            let other = &entries[other as usize];
            let end = other.key + other.key_len as usize;
            &keys[end - suffix..end] < window
        });
    }

    /// Brings the accounts up to the slot's present size.
    fn resized(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        let size = size_of::<Entry>() + entry.key_len as usize + self.arena.size(slot);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let old = std::mem::replace(&mut entry.size, size) as usize;
        self.size.cached = self.size.cached + size as usize - old;
        if entry.flags & DIRTY != 0 {
            self.size.dirty = self.size.dirty + size as usize - old;
        }
    }

    fn evict(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        debug_assert_eq!(entry.flags & DIRTY, 0, "slot {slot} has uncommitted state");
        if !self.index.is_empty() && entry.flags & EXISTS != 0 {
            let stored = &self.keys[entry.key..entry.key + entry.key_len as usize];
            let key = &stored[..stored.len().saturating_sub(self.place.kind.suffix())];
            self.index.forget(hash(key), key);
        }
        if entry.flags & EXISTS != 0 {
            let key = &self.keys[entry.key..entry.key + entry.key_len as usize];
            self.read_to = self.read_to.max(self.place.kind.time(key));
        }
        self.size.cached -= entry.size as usize;
        self.garbage += entry.key_len as usize;
        entry.flags = 0;
        entry.size = 0;
        let hash = entry.hash;
        if let Ok(found) = self.table.find_entry(hash, |candidate| *candidate == slot) {
            found.remove();
        }
        self.arena.reset(slot);
        self.free.push(slot);
    }

    /// Evicts clean slots until the budget is met. Of windows the oldest go first: they have the least time left in
    /// which they can be asked for, and rows of newer ones need no reads while none of those was evicted.
    fn evict_to(&mut self, budget: usize) {
        let excess = (self.size.cached + self.index.bytes()).saturating_sub(budget);
        if let (StoreKind::Window { .. }, 1..) = (self.place.kind, excess) {
            let mut times: Vec<(i64, u32)> = self
                .entries
                .iter()
                .filter(|entry| is_clean(entry))
                .map(|it| (self.time_of(it), it.size))
                .collect();
            times.sort_unstable();
            let mut left = excess;
            let last = times.iter().find(|(_, size)| {
                left = left.saturating_sub(*size as usize);
                left == 0
            });
            self.sweep(budget, last.map_or(i64::MAX, |(time, _)| *time));
        }
        self.sweep(budget, i64::MAX);
        self.compact_keys();
    }

    /// One sweep of the clock hand after another until the budget is met, over slots whose time is at most `until`.
    fn sweep(&mut self, budget: usize, until: i64) {
        // Two rounds: the first may only clear the marks of recent use.
        let mut steps = self.entries.len() * 2;
        while self.size.cached + self.index.bytes() > budget && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let entry = &self.entries[self.hand];
            if !is_clean(entry) || until < i64::MAX && self.time_of(entry) > until {
                continue;
            }
            if entry.flags & RECENT != 0 {
                self.entries[self.hand].flags &= !RECENT;
            } else {
                self.evict(u32::try_from(self.hand).expect("slots are numbered in 32 bits"));
            }
        }
    }

    fn time_of(&self, entry: &Entry) -> i64 {
        self.place.kind.time(&self.keys[entry.key..entry.key + entry.key_len as usize])
    }

    fn compact_keys(&mut self) {
        if self.garbage <= self.keys.len() / 2 {
            return;
        }
        let mut keys = Vec::with_capacity(self.keys.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| entry.flags & USED != 0) {
            let start = keys.len();
            keys.extend_from_slice(&self.keys[entry.key..entry.key + entry.key_len as usize]);
            entry.key = start;
        }
        self.keys = keys;
        self.garbage = 0;
    }
}

impl<A: Arena> TaskStore for CachedStore<A> {
    fn name(&self) -> &str {
        &self.place.name
    }

    fn coalesces(&self) -> bool {
        self.place.caching
    }

    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let partition = self.place.partition.to_be_bytes();
        let index = ExpiryIndex::new(&self.place);
        let floor = index.as_ref().map_or(i64::MIN, |index| index.end(self.first_live()));
        let mut late = BTreeSet::new();
        let mut listed = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        let mut state = std::mem::take(&mut self.scratch);
        for slot in &dirty {
            let key = self.key(*slot);
            let timestamp = self.timestamp(*slot);
            let stored = self.entries[*slot as usize].flags & BACKED != 0;
            if self.exists(*slot) {
                state.clear();
                self.arena.save(*slot, &mut state)?;
                changelog.append(key, Some(&state), timestamp)?;
                if let Some(index) = &index {
                    if index.has_expired(key, self.stream_time) {
                        self.skip_expired(*slot);
                        continue;
                    }
                    match index.time_to_list(key, stored) {
                        Some(time) => listed.push((time, *slot)),
                        None => index.put(key, timestamp, stored, floor, batch),
                    }
                    if index.is_late_version(key, floor) {
                        late.insert(split_version(key).0.into());
                    }
                }
                batch.put(self.place.family, &[&partition, key], &[&timestamp.to_be_bytes(), &state]);
                self.entries[*slot as usize].flags |= BACKED;
            } else if stored {
                if !planted!("tombstone_not_logged") {
                    changelog.append(key, None, timestamp)?;
                }
                batch.delete(self.place.family, &[&partition, key]);
                if let Some(index) = &index {
                    index.delete(key, batch);
                }
                self.entries[*slot as usize].flags &= !(BACKED | EXISTS);
            } else {
                // Nobody knows of it: it came and went since the last commit.
                self.entries[*slot as usize].flags &= !EXISTS;
            }
            self.entries[*slot as usize].flags &= !DIRTY;
            self.resized(*slot);
        }
        if let Some(index) = &index {
            self.list(index, &mut listed, &mut state, batch);
        }
        self.scratch = state;
        self.size.dirty = 0;
        if let Some(order) = &mut self.by_time {
            order.commit();
        }
        // Sessions leave many keys behind that are gone for good.
        for slot in &dirty {
            if !self.exists(*slot) {
                self.evict(*slot);
            }
        }
        self.dirty = dirty;
        self.dirty.clear();
        if let Some(order) = &mut self.dirty_order {
            order.clear();
        }
        self.arena.forget();
        self.times_before.clear();
        self.forwarded = 0;
        match index {
            Some(index) => self.purge(index, &late, changelog, batch),
            None => Ok(()),
        }
    }

    fn committed(&mut self, budget: usize) {
        self.index.forget_empty();
        // A store with a limit to its keys is in memory anyway, and evicting would lose the order of use.
        if self.recency.is_none() {
            self.evict_to(budget);
        }
    }

    fn size(&self) -> StoreSize {
        StoreSize { cached: self.size.cached + self.index.bytes(), ..self.size }
    }

    fn stream_time(&self) -> i64 {
        self.stream_time
    }

    fn restored(&mut self, stream_time: i64, empty: bool) {
        self.observe(stream_time);
        self.read_to = if empty { i64::MIN } else { self.last_backed() };
    }
}

/// Whether the slot is in use and can be evicted.
fn is_clean(entry: &Entry) -> bool {
    entry.flags & (USED | DIRTY) == USED
}

fn hash(key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// Splits a window store's key into key bytes and window start.
pub(crate) fn split_window(key: &[u8]) -> (&[u8], i64) {
    let (key, start) = key.split_last_chunk::<8>().unwrap_or((key, &[0; 8]));
    (key, i64::from_be_bytes(*start))
}

/// Splits a session store's key into key bytes, start and end.
pub(crate) fn split_session(key: &[u8]) -> (&[u8], i64, i64) {
    let (key, start) = split_window(key);
    let (key, end) = split_window(key);
    (key, start, end)
}

/// Splits a committed value into timestamp and state.
pub(crate) fn split_value(value: &[u8]) -> Option<(i64, &[u8])> {
    let (timestamp, state) = value.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*timestamp), state))
}

#[cfg(test)]
mod tests;
