//! For each key of the dirty range, where its newest record is. Memory is bounded; a full map ends the round.
//!
//! ```text
//! slot: hash u64, u64 | offset + 1 (0 empty)                    24 bytes, linear probing, at most 90 % full
//! ```

use super::hash::KeyHasher;
use crate::types::Offset;

/// Newest offset by key, keys being known by their hash.
#[derive(Debug)]
pub(super) struct OffsetMap {
    hasher: KeyHasher,
    slots: Vec<[u64; 3]>,
    len: usize,
    len_max: usize,
}

/// Bytes of a slot.
const SLOT_BYTES: usize = 24;

impl OffsetMap {
    /// A map for up to `records` keys in at most `bytes_max` bytes that are filled up to `load_factor`.
    pub(super) fn new(hasher: KeyHasher, records: u64, bytes_max: usize, load_factor: f64) -> Self {
        let wanted = (records as f64 / load_factor).ceil() + 1.0;
        // A conversion from a float saturates.
        let slots = (bytes_max / SLOT_BYTES).min(wanted as usize).max(2);
        let len_max = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        Self { hasher, slots: vec![[0; 3]; slots], len: 0, len_max }
    }

    /// Notes that `key` has a record at `offset`, which is above all before. False if there is no room for the key.
    #[inline]
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hasher.hash(key);
        let slot = self.slot(hash);
        if self.slots[slot][2] == 0 {
            if self.len >= self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.slots[slot] = [hash[0], hash[1], offset.get() + 1];
        true
    }

    /// The newest offset of `key`, if it is in the map.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slot(self.hasher.hash(key));
        self.slots[slot][2].checked_sub(1).map(Offset::new)
    }

    /// Share of the keys that it takes which are in it.
    pub(super) fn fill(&self) -> f64 {
        self.len as f64 / self.len_max as f64
    }

    /// The slot that holds the hash, or the empty one where it goes.
    #[inline]
    fn slot(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        // There is always an empty slot.
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || (slot[0] == hash[0] && slot[1] == hash[1]) {
                return at;
            }
            at = if at + 1 == count { 0 } else { at + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_acts_as_a_map_until_it_is_full() {
        let mut map = OffsetMap::new(KeyHasher::new([1, 2]), 1000, SLOT_BYTES * 64, 0.9);
        let mut model = BTreeMap::new();
        let mut refused = 0;
        for offset in 0..2000_u64 {
            let key = (offset * 7919 % 83).to_string();
            if map.put(key.as_bytes(), Offset::new(offset)) {
                model.insert(key, offset);
            } else {
                assert!(!model.contains_key(&key), "a known key always has room");
                refused += 1;
            }
            assert_eq!(map.len, model.len());
        }
        assert_eq!(map.len, 57, "90 % of 64 slots");
        assert!(refused > 0);
        for (key, offset) in &model {
            assert_eq!(map.get(key.as_bytes()), Some(Offset::new(*offset)));
        }
        assert_eq!(map.get(b"another"), None);
    }

    #[test]
    fn its_size_follows_the_number_of_records() {
        let size = |records| {
            OffsetMap::new(KeyHasher::new([0, 0]), records, 128 << 20, 0.9).slots.len() * SLOT_BYTES
        };
        assert_eq!(size(0), 2 * SLOT_BYTES);
        assert_eq!(size(900), 1001 * SLOT_BYTES);
        assert!((127 << 20..=128 << 20).contains(&size(u64::MAX)));
    }
}
