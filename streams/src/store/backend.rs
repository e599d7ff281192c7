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

    /// About how many entries there are from key `from` on and before key `to`.
    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError>;
}

/// Changes that belong together, in order: a later change to a key wins.
#[derive(Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    changes: Vec<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    family: Family,
    key: Range<usize>,
    what: What,
}

#[derive(Debug)]
enum What {
    Put(Range<usize>),
    Delete,
    /// Up to this key, which stays.
    DeleteTo(Range<usize>),
}

/// One change of a [`WriteBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets a key to a value.
    Put(&'a [u8], &'a [u8]),
    /// Removes a key, if it is there.
    Delete(&'a [u8]),
    /// Removes the keys from the first on and before the second.
    DeleteRange(&'a [u8], &'a [u8]),
}

impl WriteBatch {
    /// Sets a key; key and value are given in parts.
    pub fn put(&mut self, family: Family, key: &[&[u8]], value: &[&[u8]]) {
        let key = self.append(key);
        let what = What::Put(self.append(value));
        self.changes.push(Recorded { family, key, what });
    }

    /// Removes a key, given in parts.
    pub fn delete(&mut self, family: Family, key: &[&[u8]]) {
        let key = self.append(key);
        self.changes.push(Recorded { family, key, what: What::Delete });
    }

    /// Removes the keys from `from` on and before `to`; nothing if `to` does not come after `from`. The cost
    /// does not depend on how many there are.
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        if from < to {
            let key = self.append(&[from]);
            let what = What::DeleteTo(self.append(&[to]));
            self.changes.push(Recorded { family, key, what });
        }
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

    /// The changes in order, each with its family.
    pub fn changes(&self) -> impl Iterator<Item = (Family, Change<'_>)> {
        self.changes.iter().map(|recorded| {
            let key = &self.bytes[recorded.key.clone()];
            let change = match &recorded.what {
                What::Put(value) => Change::Put(key, &self.bytes[value.clone()]),
                What::Delete => Change::Delete(key),
                What::DeleteTo(to) => Change::DeleteRange(key, &self.bytes[to.clone()]),
            };
            (recorded.family, change)
        })
    }

    /// The changes in an order that has the same effect: by family and key, where no range is removed in between.
    /// Neighbours are cheaper to write than scattered keys.
    pub(crate) fn sorted(&self) -> Vec<(Family, Change<'_>)> {
        let mut changes: Vec<_> = self.changes().collect();
        for run in changes.split_mut(|(_, change)| matches!(change, Change::DeleteRange(..))) {
            run.sort_by_key(|(family, _)| *family);
            run.chunk_by_mut(|(one, _), (other, _)| one == other).for_each(sort_by_key);
        }
        changes
    }

    /// Adds a change of another batch.
    pub(crate) fn push(&mut self, family: Family, change: Change<'_>) {
        match change {
            Change::Put(key, value) => self.put(family, &[key], &[value]),
            Change::Delete(key) => self.delete(family, &[key]),
            Change::DeleteRange(from, to) => self.delete_range(family, from, to),
        }
    }

    fn append(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        start..self.bytes.len()
    }
}

/// The key that a change is about, or the first of a range.
fn key_of<'a>((_, change): &(Family, Change<'a>)) -> &'a [u8] {
    match change {
        Change::Put(key, _) | Change::Delete(key) | Change::DeleteRange(key, _) => key,
    }
}

/// Sorts changes by key; those of one key stay in their order.
///
/// Keys are compared by the 16 bytes behind what all of them begin with, held in one number each, and as a whole only
/// where these are equal.
fn sort_by_key(changes: &mut [(Family, Change<'_>)]) {
    let Some((first, rest)) = changes.split_first() else { return };
    let common = rest.iter().map(key_of).fold(key_of(first), |common, key| {
        let same = common.iter().zip(key).take_while(|(one, other)| one == other).count();
        &common[..same]
    });
    let common = common.len();
    let head = |change: &(Family, Change<'_>)| {
        let mut head = [0; 16];
        let bytes = &key_of(change)[common..];
        let bytes = &bytes[..bytes.len().min(head.len())];
        head[..bytes.len()].copy_from_slice(bytes);
        u128::from_be_bytes(head)
    };
    let mut order: Vec<(u128, usize)> = changes.iter().map(head).zip(0..).collect();
    order.sort_unstable_by(|(one, at), (other, other_at)| {
        let keys = || key_of(&changes[*at]).cmp(key_of(&changes[*other_at]));
        one.cmp(other).then_with(keys).then_with(|| at.cmp(other_at))
    });
    let sorted: Vec<_> = order.iter().map(|(_, at)| changes[*at]).collect();
    changes.copy_from_slice(&sorted);
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
