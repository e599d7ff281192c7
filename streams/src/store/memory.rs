//! Committed state in memory: for tests, simulations and small state. Ends with the process; the changelog
//! restores it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StreamsError;
use crate::store::backend::{Change, Direction, Entry, Family, Found, Scan, StateBackend, WriteBatch};

/// Begins the names of families that are kept in memory whatever the backend of the application is.
pub(crate) const PREFIX: &str = "memory/";

/// A [`StateBackend`] over ordered maps.
#[derive(Default)]
pub struct MemoryBackend {
    families: RwLock<Vec<(String, Keys)>>,
}

type Keys = BTreeMap<Box<[u8]>, Box<[u8]>>;

impl MemoryBackend {
    /// Another one with the same families and entries.
    pub(crate) fn copy(&self) -> Self {
        Self { families: RwLock::new(self.read().clone()) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<(String, Keys)>> {
        // Maps are changed by single inserts and removals that do not panic, so a poisoned lock guards whole
        // maps.
        self.families.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<(String, Keys)>> {
        self.families.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateBackend for MemoryBackend {
    fn family(&self, name: &str) -> Result<Family, StreamsError> {
        let mut families = self.write();
        if let Some(index) = families.iter().position(|(known, _)| known == name) {
            return Ok(Family(index));
        }
        families.push((name.to_owned(), BTreeMap::new()));
        Ok(Family(families.len() - 1))
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        let mut families = self.write();
        for (family, change) in batch.changes() {
            let keys = &mut families[family.0].1;
            match change {
                Change::Put(key, value) => drop(keys.insert(key.into(), value.into())),
                Change::Delete(key) => drop(keys.remove(key)),
                Change::DeleteRange(from, to) => {
                    let range = (Bound::Included(from), Bound::Excluded(to));
                    let gone: Vec<Box<[u8]>> =
                        keys.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
                    for key in gone {
                        keys.remove(&key);
                    }
                }
            }
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        Ok(self.read()[family.0].1.get(key).map(|value| value.to_vec()))
    }

    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError> {
        let families = self.read();
        for (index, key) in keys.iter().enumerate() {
            if let Some(value) = families[family.0].1.get(*key) {
                found(index, value)?;
            }
        }
        Ok(())
    }

    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Box::new(std::iter::empty()));
        }
        let families = self.read();
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = families[family.0].1.range::<[u8], _>((Bound::Included(from), upper));
        // A copy is the snapshot that the contract asks for.
        let mut entries: Vec<Entry> = range.map(|(key, value)| (key.clone(), value.clone())).collect();
        if direction == Direction::Reverse {
            entries.reverse();
        }
        Ok(Box::new(entries.into_iter().map(Ok)))
    }

    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError> {
        let families = self.read();
        let rows = families[family.0].1.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(rows.count() as u64)
    }
}
