//! Sparse indexes of a segment: from offset, and from time, to where reading starts.
//!
//! ```text
//! .index      relative offset i32 | position i32        last offset of a batch, and where that batch starts
//! .timeindex  timestamp i64 | relative offset i32       largest timestamp so far, and last offset of its batch
//! ```
//! Offsets count from the segment's base. The files carry no checksum: they are hints, checked where they lead to and
//! rebuilt from the `.log` on any doubt. So the active segment keeps its entries in memory and writes them when it is
//! sealed or closed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{IoContext, Result};
use crate::mutex::Mutex;
use crate::storage::{File, OpenMode, Storage, read_all};

/// An entry of an index file.
pub(crate) trait IndexEntry: Copy {
    /// Size in the file.
    const BYTES: usize;
    /// What entries ascend by.
    type Key: Ord + Copy;

    fn key(&self) -> Self::Key;
    fn encode(&self, out: &mut Vec<u8>);
    /// From exactly [`Self::BYTES`] bytes; `None` if they cannot be an entry.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Entry of a `.index` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative: u32,
    pub(crate) position: u32,
}

/// Entry of a `.timeindex` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative: u32,
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;
    type Key = u32;

    fn key(&self) -> u32 {
        self.relative
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let relative = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
        let position = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
        Some(Self { relative, position })
    }
}

impl IndexEntry for TimeEntry {
    const BYTES: usize = 12;
    type Key = i64;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let timestamp = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        let relative = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
        Some(Self { timestamp, relative })
    }
}

/// One index of one segment.
#[derive(Debug)]
pub(crate) struct SparseIndex<E> {
    path: PathBuf,
    file: Arc<dyn File>,
    entries_max: usize,
    entries: Mutex<Entries<E>>,
}

#[derive(Debug)]
enum Entries<E> {
    /// The active segment's.
    Resident(Vec<E>),
    /// A sealed segment's: this many are in the file.
    Sealed(usize),
}

impl<E: IndexEntry> SparseIndex<E> {
    /// An empty index, in memory and on disk.
    pub(crate) fn create(storage: &dyn Storage, path: PathBuf, bytes_max: u32) -> Result<Self> {
        let file = storage.open(&path, OpenMode::Truncate).context("create", &path)?;
        let entries_max = bytes_max as usize / E::BYTES;
        Ok(Self { path, file, entries_max, entries: Mutex::new(Entries::Resident(Vec::new())) })
    }

    /// The index in a file with its entries in memory; `None` if the file is missing or contradicts itself.
    pub(crate) fn open(storage: &dyn Storage, path: PathBuf, bytes_max: u32) -> Result<Option<Self>> {
        let file = match storage.open(&path, OpenMode::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.context("open", &path)?,
        };
        let bytes = read_all(&*file).context("read", &path)?;
        if bytes.len() % E::BYTES != 0 {
            return Ok(None);
        }
        let Some(entries) = bytes.chunks_exact(E::BYTES).map(E::decode).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if !entries.is_sorted_by_key(E::key) {
            return Ok(None);
        }
        let entries_max = bytes_max as usize / E::BYTES;
        Ok(Some(Self { path, file, entries_max, entries: Mutex::new(Entries::Resident(entries)) }))
    }

    /// The file, to be synced.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Adds an entry behind all others. Only for an index that is not sealed.
    pub(crate) fn push(&self, entry: E) {
        match &mut *self.entries.lock() {
            Entries::Resident(entries) => entries.push(entry),
            Entries::Sealed(count) => unreachable!("a sealed index of {count} entries is not written to"),
        }
    }

    /// Whether no more than `reserved` entries fit.
    pub(crate) fn is_full(&self, reserved: usize) -> bool {
        match &*self.entries.lock() {
            Entries::Resident(entries) => entries.len() + reserved >= self.entries_max,
            Entries::Sealed(_) => true,
        }
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Result<Option<E>> {
        match &*self.entries.lock() {
            Entries::Resident(entries) => Ok(entries.last().copied()),
            Entries::Sealed(0) => Ok(None),
            Entries::Sealed(count) => self.read(count - 1),
        }
    }

    /// The last entry whose key is at most `key`.
    pub(crate) fn floor(&self, key: E::Key) -> Result<Option<E>> {
        let count = match &*self.entries.lock() {
            Entries::Resident(entries) => {
                let above = entries.partition_point(|entry| entry.key() <= key);
                return Ok(above.checked_sub(1).map(|at| entries[at]));
            }
            Entries::Sealed(count) => *count,
        };
        let (mut low, mut high, mut found) = (0, count, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(middle)? {
                Some(entry) if entry.key() <= key => {
                    found = Some(entry);
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        Ok(found)
    }

    /// Writes all entries to the file.
    pub(crate) fn flush(&self) -> Result<()> {
        if let Entries::Resident(entries) = &*self.entries.lock() {
            let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
            entries.iter().for_each(|entry| entry.encode(&mut bytes));
            self.file.truncate(0).context("truncate", &self.path)?;
            self.file.write_at(0, &bytes).context("write to", &self.path)?;
        }
        Ok(())
    }

    /// Writes all entries to the file and forgets them: from now on they are looked up there.
    pub(crate) fn seal(&self) -> Result<()> {
        self.flush()?;
        self.forget();
        Ok(())
    }

    /// Forgets all entries, to be added anew.
    pub(crate) fn restart(&self) {
        *self.entries.lock() = Entries::Resident(Vec::new());
    }

    /// Looks entries up in the file from now on, which holds them all.
    pub(crate) fn forget(&self) {
        let mut entries = self.entries.lock();
        if let Entries::Resident(resident) = &*entries {
            *entries = Entries::Sealed(resident.len());
        }
    }

    fn read(&self, at: usize) -> Result<Option<E>> {
        let mut bytes = [0; 16];
        let bytes = &mut bytes[..E::BYTES];
        let read = self.file.read_at((at * E::BYTES) as u64, bytes).context("read", &self.path)?;
        Ok(if read == E::BYTES { E::decode(bytes) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn entries_have_kafkas_bytes() {
        let mut bytes = Vec::new();
        OffsetEntry { relative: 41, position: 1234 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 0, 0x29, 0, 0, 0x04, 0xd2]);
        bytes.clear();
        TimeEntry { timestamp: 1_700_000_000_005, relative: 41 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x05, 0, 0, 0, 0x29]);
    }

    #[test]
    fn a_broken_file_is_no_index() {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("d")).unwrap();
        let path = PathBuf::from("d/0.index");
        let open = || SparseIndex::<OffsetEntry>::open(&storage, path.clone(), 80).unwrap();
        assert!(open().is_none(), "missing");
        let file = storage.open(&path, OpenMode::OrCreate).unwrap();
        file.write_at(0, &[0; 7]).unwrap();
        assert!(open().is_none(), "half an entry");
        file.write_at(0, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]).unwrap();
        assert!(open().is_none(), "descending");
    }

    proptest! {
        #[test]
        fn lookups_equal_a_linear_scan(
            mut keys in proptest::collection::vec(0_u32..500, 0..60),
            wanted in 0_u32..520,
        ) {
            keys.sort_unstable();
            keys.dedup();
            let storage = MemoryStorage::new();
            storage.create_dir(Path::new("d")).unwrap();
            let index = SparseIndex::create(&storage, PathBuf::from("d/0.index"), 8 * 100).unwrap();
            for &relative in &keys {
                index.push(OffsetEntry { relative, position: relative * 7 });
            }
            let expected = keys.iter().rev().find(|key| **key <= wanted).copied();
            prop_assert_eq!(index.floor(wanted).unwrap().map(|entry| entry.relative), expected);
            index.seal().unwrap();
            prop_assert_eq!(index.floor(wanted).unwrap().map(|entry| entry.relative), expected);
            let again = SparseIndex::<OffsetEntry>::open(&storage, PathBuf::from("d/0.index"), 8 * 100).unwrap();
            prop_assert_eq!(again.unwrap().floor(wanted).unwrap().map(|entry| entry.relative), expected);
        }
    }
}
