//! Committed state of an application some of whose stores are in memory.

use std::sync::Arc;

use crate::error::StreamsError;
use crate::store::backend::{Direction, Family, Found, Scan, StateBackend, WriteBatch};
use crate::store::memory::{self, MemoryBackend};

/// Marks the families in memory.
const IN_MEMORY: usize = 1 << (usize::BITS - 1);

/// Families whose names begin with [`memory::PREFIX`] in memory, all others on disk.
///
/// A batch goes to disk first. If that fails, nothing has changed; memory does not fail.
pub(crate) struct MixedBackend {
    disk: Arc<dyn StateBackend>,
    memory: MemoryBackend,
}

impl MixedBackend {
    pub(crate) fn new(disk: Arc<dyn StateBackend>) -> Self {
        Self { disk, memory: MemoryBackend::default() }
    }

    fn side(&self, family: Family) -> (&dyn StateBackend, Family) {
        match family.0 & IN_MEMORY {
            0 => (self.disk.as_ref(), family),
            _ => (&self.memory, Family(family.0 & !IN_MEMORY)),
        }
    }
}

impl StateBackend for MixedBackend {
    fn family(&self, name: &str) -> Result<Family, StreamsError> {
        match name.starts_with(memory::PREFIX) {
            true => self.memory.family(name).map(|family| Family(family.0 | IN_MEMORY)),
            false => self.disk.family(name),
        }
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        if batch.changes().all(|(family, _)| family.0 & IN_MEMORY == 0) {
            return self.disk.apply(batch);
        }
        let (mut disk, mut memory) = (WriteBatch::default(), WriteBatch::default());
        for (family, change) in batch.changes() {
            match family.0 & IN_MEMORY {
                0 => disk.push(family, change),
                _ => memory.push(Family(family.0 & !IN_MEMORY), change),
            }
        }
        if !disk.is_empty() {
            self.disk.apply(&disk)?;
        }
        self.memory.apply(&memory)
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        let (side, family) = self.side(family);
        side.get(family, key)
    }

    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError> {
        let (side, family) = self.side(family);
        side.get_many(family, keys, found)
    }

    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError> {
        let (side, family) = self.side(family);
        side.scan(family, from, to, direction)
    }

    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError> {
        let (side, family) = self.side(family);
        side.estimate_rows(family, from, to)
    }
}
