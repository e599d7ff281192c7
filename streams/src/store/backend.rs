//! Committed state of one application: byte strings in families, changed by whole write batches only.

use std::ops::Range;

use crate::error::StreamsError;

/// A named set of keys in a backend, such as one store's. Numbers are given out by [`StateBackend::family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub(crate) usize);

/// The order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending unsigned bytes.
    Forward,
    /// Descending unsigned bytes.
    Reverse,
}

/// A key with its value.
pub type Entry = (Box<[u8]>, Box<[u8]>);

/// The entries of a scan, as of the moment it began.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<Entry, StreamsError>> + 'a>;

/// Takes the index and value of a key that was found.
pub type Found<'a> = dyn FnMut(usize, &[u8]) -> Result<(), StreamsError> + 'a;

/// Holds the committed state of one application. Implementors: [`RocksBackend`](crate::store::RocksBackend),
/// [`MemoryBackend`](crate::store::MemoryBackend).
pub trait StateBackend: Send + Sync {
    /// The family of this name, made if it is not there yet.
    fn family(&self, name: &str) -> Result<Family, StreamsError>;

    /// Makes all changes of the batch visible together; after a crash all or none of them are there.
    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError>;

    /// The value of one key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError>;

    /// Looks up many keys and calls `found` with the index and value of each one that is there.
    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError>;

    /// The entries from key `from` on and before key `to`.
    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError>;
}

/// Changes that belong together, in order: a later change to a key wins.
#[derive(Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    family: Family,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl WriteBatch {
    /// Sets a key; key and value are given in parts.
    pub fn put(&mut self, family: Family, key: &[&[u8]], value: &[&[u8]]) {
        let key = self.append(key);
        let value = Some(self.append(value));
        self.changes.push(Change { family, key, value });
    }

    /// Removes a key, given in parts.
    pub fn delete(&mut self, family: Family, key: &[&[u8]]) {
        let key = self.append(key);
        self.changes.push(Change { family, key, value: None });
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the changes and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.changes.clear();
    }

    /// The changes in order: family, key, and the value or none for a removal.
    pub fn changes(&self) -> impl Iterator<Item = (Family, &[u8], Option<&[u8]>)> {
        self.changes.iter().map(|change| {
            let value = change.value.clone().map(|range| &self.bytes[range]);
            (change.family, &self.bytes[change.key.clone()], value)
        })
    }

    fn append(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        start..self.bytes.len()
    }
}

/// The smallest key that is greater than every key with this prefix, or none if there is no such key.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests;
