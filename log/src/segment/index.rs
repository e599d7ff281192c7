//! Sparse indexes of a segment: from offset, and from time, to where reading starts.
//!
//! ```text
//! .index      relative offset i32 | position i32        last offset of a batch, and where that batch starts
//! .timeindex  timestamp i64 | relative offset i32       largest timestamp so far, and last offset of its batch
//! ```
//! Offsets count from the segment's base. The files carry no checksum: they are hints, checked where they lead to and
//! rebuilt from the `.log` on any doubt. Only the newest entries, not written yet, are in memory; the others are looked
//! up in the file.

use std::io;

use super::lazy_file::LazyFile;
use crate::error::{IoContext, Result};
use crate::mutex::Mutex;

/// Entries kept in memory before they are written together.
const PENDING_MAX: usize = 512;
/// Entries read at once when a search has come down to that many.
const BLOCK: usize = 256;

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
    file: LazyFile,
    entries_max: u32,
    entries: Mutex<Entries<E>>,
}

#[derive(Debug)]
struct Entries<E> {
    /// How many the file holds; `None` before somebody looked.
    stored: Option<usize>,
    /// Those behind them.
    pending: Vec<E>,
}

/// An index file that is missing, or not made of whole entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl<E: IndexEntry> SparseIndex<E> {
    /// The index in a file, which is not looked at before it is needed.
    pub(crate) fn new(file: LazyFile, bytes_max: u32) -> Self {
        let entries = Entries { stored: None, pending: Vec::new() };
        Self { file, entries_max: bytes_max / E::BYTES as u32, entries: Mutex::new(entries) }
    }

    /// Empties the file, creating it if it is missing.
    pub(crate) fn create(&self) -> Result<()> {
        let mut entries = self.entries.lock();
        *entries = Entries { stored: Some(0), pending: Vec::new() };
        self.file.create().context("create", self.file.path())
    }

    pub(crate) fn file(&self) -> &LazyFile {
        &self.file
    }

    /// Adds an entry behind all others. If it cannot be written, it stays in memory until it can.
    pub(crate) fn push(&self, entry: E) {
        let mut entries = self.entries.lock();
        entries.pending.push(entry);
        if entries.pending.len().is_multiple_of(PENDING_MAX) {
            let _deferred = self.write(&mut entries);
        }
    }

    /// Whether no more than `reserved` entries fit.
    pub(crate) fn is_full(&self, reserved: usize) -> bool {
        let entries = self.entries.lock();
        entries.stored.unwrap_or(0) + entries.pending.len() + reserved >= self.entries_max as usize
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Result<Result<Option<E>, Broken>> {
        let mut entries = self.entries.lock();
        if let Some(last) = entries.pending.last() {
            return Ok(Ok(Some(*last)));
        }
        match self.stored(&mut entries)? {
            Ok(0) => Ok(Ok(None)),
            Ok(count) => Ok(self.read(count - 1, 1)?.pop().map(Some).ok_or(Broken)),
            Err(broken) => Ok(Err(broken)),
        }
    }

    /// The last entry whose key is at most `key`.
    pub(crate) fn floor(&self, key: E::Key) -> Result<Result<Option<E>, Broken>> {
        let mut entries = self.entries.lock();
        if entries.pending.first().is_some_and(|first| first.key() <= key) {
            let above = entries.pending.partition_point(|entry| entry.key() <= key);
            return Ok(Ok(Some(entries.pending[above - 1])));
        }
        let count = match self.stored(&mut entries)? {
            Ok(count) => count,
            Err(broken) => return Ok(Err(broken)),
        };
        drop(entries);
        let (mut low, mut high) = (0, count);
        while high - low > BLOCK {
            let middle = low + (high - low) / 2;
            match self.read(middle, 1)?.pop() {
                Some(entry) if entry.key() <= key => low = middle,
                Some(_) => high = middle,
                None => return Ok(Err(Broken)),
            }
        }
        let block = self.read(low, high - low)?;
        if block.len() != high - low || !block.is_sorted_by_key(E::key) {
            return Ok(Err(Broken));
        }
        let above = block.partition_point(|entry| entry.key() <= key);
        Ok(Ok(above.checked_sub(1).map(|at| block[at])))
    }

    /// Writes the entries that are not in the file yet, and forgets them.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut entries = self.entries.lock();
        self.write(&mut entries)?;
        entries.pending = Vec::new();
        Ok(())
    }

    /// Removes all entries behind the first ones for which `is_kept`, to be added anew. A broken file starts over.
    pub(crate) fn truncate(&self, is_kept: impl Fn(&E) -> bool) -> Result<bool> {
        let mut entries = self.entries.lock();
        entries.pending = Vec::new();
        let stored = self.stored(&mut entries)?;
        let (mut low, mut high) = (0, stored.unwrap_or(0));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(middle, 1)?.pop() {
                Some(entry) if is_kept(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        if stored == Ok(low) {
            return Ok(true);
        }
        if low == 0 {
            self.file.create().context("create", self.file.path())?;
        } else {
            let file = self.file.open().context("open", self.file.path())?;
            file.truncate((low * E::BYTES) as u64).context("truncate", self.file.path())?;
        }
        entries.stored = Some(low);
        Ok(false)
    }

    /// Writes these entries in place of all there are.
    pub(crate) fn replace(&self, new: Vec<E>) -> Result<()> {
        let mut entries = self.entries.lock();
        self.file.create().context("create", self.file.path())?;
        *entries = Entries { stored: Some(0), pending: new };
        self.write(&mut entries)?;
        entries.pending = Vec::new();
        Ok(())
    }

    fn write(&self, entries: &mut Entries<E>) -> Result<()> {
        if entries.pending.is_empty() {
            return Ok(());
        }
        let stored = self.stored(entries)?.unwrap_or(0);
        let mut bytes = Vec::with_capacity(entries.pending.len() * E::BYTES);
        entries.pending.iter().for_each(|entry| entry.encode(&mut bytes));
        let file = self.file.open_or_create().context("open", self.file.path())?;
        file.write_at((stored * E::BYTES) as u64, &bytes).context("write to", self.file.path())?;
        entries.stored = Some(stored + entries.pending.len());
        entries.pending.clear();
        Ok(())
    }

    fn stored(&self, entries: &mut Entries<E>) -> Result<Result<usize, Broken>> {
        if let Some(stored) = entries.stored {
            return Ok(Ok(stored));
        }
        let size = match self.file.open().and_then(|file| file.size()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Broken)),
            size => size.context("read the size of", self.file.path())?,
        };
        match usize::try_from(size) {
            Ok(size) if size.is_multiple_of(E::BYTES) => {
                entries.stored = Some(size / E::BYTES);
                Ok(Ok(size / E::BYTES))
            }
            _ => Ok(Err(Broken)),
        }
    }

    /// Entries in the file, fewer if it ends or makes no sense.
    fn read(&self, from: usize, count: usize) -> Result<Vec<E>> {
        let mut bytes = vec![0; count * E::BYTES];
        let file = match self.file.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.context("open", self.file.path())?,
        };
        let read = file.read_at((from * E::BYTES) as u64, &mut bytes).context("read", self.file.path())?;
        Ok(bytes[..read].chunks_exact(E::BYTES).map_while(E::decode).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::storage::{MemoryStorage, OpenMode, Storage};

    #[test]
    fn entries_have_kafkas_bytes() {
        let mut bytes = Vec::new();
        OffsetEntry { relative: 41, position: 1234 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 0, 0x29, 0, 0, 0x04, 0xd2]);
        bytes.clear();
        TimeEntry { timestamp: 1_700_000_000_005, relative: 41 }.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x05, 0, 0, 0, 0x29]);
    }

    fn index(storage: &Arc<dyn Storage>, bytes_max: u32) -> SparseIndex<OffsetEntry> {
        SparseIndex::new(LazyFile::new(storage.clone(), PathBuf::from("d/0.index")), bytes_max)
    }

    fn memory() -> Arc<dyn Storage> {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("d")).unwrap();
        Arc::new(storage)
    }

    #[test]
    fn a_broken_file_is_no_index() {
        let storage = memory();
        let floor = || index(&storage, 80).floor(5).unwrap();
        assert_eq!(floor(), Err(Broken), "missing");
        let file = storage.open(Path::new("d/0.index"), OpenMode::OrCreate).unwrap();
        file.write_at(0, &[0; 7]).unwrap();
        assert_eq!(floor(), Err(Broken), "half an entry");
        file.write_at(0, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]).unwrap();
        assert_eq!(floor(), Err(Broken), "descending");
    }

    proptest! {
        #[test]
        fn lookups_equal_a_linear_scan(
            mut keys in proptest::collection::vec(0_u32..3000, 0..1200),
            wanted in 0_u32..3020,
            flushed in 0_usize..1200,
            cut in proptest::option::of(0_u32..3000),
        ) {
            keys.sort_unstable();
            keys.dedup();
            let storage = memory();
            let written = index(&storage, 8 * 2000);
            written.create().unwrap();
            for (at, &relative) in keys.iter().enumerate() {
                if at == flushed {
                    written.flush().unwrap();
                }
                written.push(OffsetEntry { relative, position: relative * 7 });
            }
            let floor = |index: &SparseIndex<OffsetEntry>| {
                index.floor(wanted).unwrap().unwrap().map(|entry| entry.relative)
            };
            let expected = keys.iter().rev().find(|key| **key <= wanted).copied();
            prop_assert_eq!(floor(&written), expected);
            written.flush().unwrap();
            prop_assert_eq!(floor(&written), expected);
            prop_assert_eq!(floor(&index(&storage, 80)), expected);
            written.truncate(|entry| cut.is_some_and(|cut| entry.relative <= cut)).unwrap();
            let kept = keys.iter().rev().find(|key| **key <= wanted && cut.is_some_and(|cut| **key <= cut));
            prop_assert_eq!(floor(&written), kept.copied());
            prop_assert_eq!(floor(&index(&storage, 80)), kept.copied());
        }
    }
}
