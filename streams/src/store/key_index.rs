//! Which windows of a key are there, in the order of their times: for operators that look at neighbours.

use hashbrown::HashTable;

const SLOT_BYTES: usize = size_of::<u32>();
/// Of a key and its place in the table.
const ENTRY_BYTES: usize = size_of::<Windows>() + size_of::<u32>();

/// Slots of the windows that exist, by key bytes without the window. A key is here with all its windows or not
/// at all.
#[derive(Default)]
pub(crate) struct KeyIndex {
    table: HashTable<u32>,
    entries: Vec<Windows>,
    free: Vec<u32>,
    /// Entries that had no window when they were last looked at.
    empty: Vec<u32>,
    bytes: usize,
}

#[derive(Default)]
struct Windows {
    hash: u64,
    key: Box<[u8]>,
    slots: Vec<u32>,
    /// It is among the empty ones.
    noted: bool,
}

impl KeyIndex {
    /// Whether no key is here, so that stores which never ask for neighbours pay nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// About how many bytes the keys and the lists of their windows take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The slots of a key's windows, ascending by their times.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&[u32]> {
        self.find(hash, key).map(|entry| self.entries[entry as usize].slots.as_slice())
    }

    /// Adds a key with all its windows, ascending by their times.
    pub(crate) fn insert(&mut self, hash: u64, key: &[u8], slots: Vec<u32>) {
        let is_empty = slots.is_empty();
        self.bytes += ENTRY_BYTES + key.len() + slots.len() * SLOT_BYTES;
        let windows = Windows { hash, key: key.into(), slots, noted: is_empty };
        let entry = match self.free.pop() {
            Some(entry) => {
                self.entries[entry as usize] = windows;
                entry
            }
            None => {
                self.entries.push(windows);
                u32::try_from(self.entries.len() - 1).expect("a store caches fewer than 2^32 keys")
            }
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, entry, |entry| entries[*entry as usize].hash);
        if is_empty {
            self.empty.push(entry);
        }
    }

    /// Adds a window to a key that is here; `before` says whether a slot's window comes before the new one.
    pub(crate) fn add(&mut self, hash: u64, key: &[u8], slot: u32, before: impl Fn(u32) -> bool) {
        let Some(entry) = self.find(hash, key) else { return };
        let slots = &mut self.entries[entry as usize].slots;
        // Most windows are the newest of their key.
        let place = match slots.last() {
            Some(last) if !before(*last) => slots.partition_point(|slot| before(*slot)),
            _ => slots.len(),
        };
        slots.insert(place, slot);
        self.bytes += SLOT_BYTES;
    }

    /// Takes a window away from its key.
    pub(crate) fn remove(&mut self, hash: u64, key: &[u8], slot: u32) {
        let Some(entry) = self.find(hash, key) else { return };
        let windows = &mut self.entries[entry as usize];
        if let Some(place) = windows.slots.iter().rposition(|known| *known == slot) {
            windows.slots.remove(place);
            self.bytes -= SLOT_BYTES;
        }
        if windows.slots.is_empty() && !windows.noted {
            windows.noted = true;
            self.empty.push(entry);
        }
    }

    /// Forgets a key: one of its windows left the cache and not the store.
    pub(crate) fn forget(&mut self, hash: u64, key: &[u8]) {
        let entries = &self.entries;
        let same = |entry: &u32| {
            let windows = &entries[*entry as usize];
            windows.hash == hash && *windows.key == *key
        };
        if let Ok(found) = self.table.find_entry(hash, same) {
            let (entry, _) = found.remove();
            let windows = std::mem::take(&mut self.entries[entry as usize]);
            self.bytes -= ENTRY_BYTES + windows.key.len() + windows.slots.len() * SLOT_BYTES;
            self.free.push(entry);
        }
    }

    /// Forgets the keys that have no windows any more.
    pub(crate) fn forget_empty(&mut self) {
        for entry in std::mem::take(&mut self.empty) {
            // The place may have been given to another key since.
            let windows = &mut self.entries[entry as usize];
            let noted = std::mem::take(&mut windows.noted);
            if noted && windows.slots.is_empty() {
                let (hash, key) = (windows.hash, windows.key.clone());
                self.forget(hash, &key);
            }
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let found = self.table.find(hash, |entry| {
            let windows = &self.entries[*entry as usize];
            windows.hash == hash && *windows.key == *key
        });
        found.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_windows_in_order() {
        let mut index = KeyIndex::default();
        assert!(index.is_empty());
        index.insert(1, b"a", vec![10, 30]);
        index.insert(1, b"b", Vec::new());
        index.add(1, b"a", 20, |slot| slot < 20);
        index.add(1, b"a", 40, |slot| slot < 40);
        index.add(1, b"c", 50, |_| true);
        assert_eq!(index.get(1, b"a"), Some(&[10, 20, 30, 40][..]));
        index.remove(1, b"a", 30);
        assert_eq!(index.get(1, b"a"), Some(&[10, 20, 40][..]));
        assert_eq!((index.get(1, b"b"), index.get(1, b"c")), (Some(&[][..]), None));
        index.forget_empty();
        assert_eq!(index.get(1, b"b"), None);
        assert_eq!(index.bytes(), ENTRY_BYTES + 1 + 3 * SLOT_BYTES);
        index.forget(1, b"a");
        assert!(index.is_empty());
        assert_eq!(index.bytes(), 0);
    }

    #[test]
    fn a_place_that_was_given_to_another_key_is_not_forgotten_with_the_first() {
        let mut index = KeyIndex::default();
        index.insert(1, b"a", Vec::new());
        index.forget(1, b"a");
        index.insert(2, b"b", vec![7]);
        index.forget_empty();
        assert_eq!(index.get(2, b"b"), Some(&[7][..]));
    }
}
