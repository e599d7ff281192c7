//! Committed state of one instance, as RocksDB keeps it without a log of its own: what was flushed survives, and of the
//! write batches since then a first part, because they are written in order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::error::StreamsError;
use crate::store::backend::{Direction, Family, Found, Scan, StateBackend, WriteBatch};
use crate::store::memory::MemoryBackend;

/// A [`StateBackend`] that can lose its last write batches.
#[derive(Default)]
pub(super) struct StateDisk {
    live: MemoryBackend,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    flushed: MemoryBackend,
    since: Vec<WriteBatch>,
}

impl StateDisk {
    /// Makes all that was applied durable.
    pub(super) fn flush(&self) {
        let mut history = self.history();
        *history = History { flushed: self.live.copy(), since: Vec::new() };
    }

    /// What is left after a kill.
    pub(super) fn after_kill(&self, rng: &mut Rng) -> Result<Self, StreamsError> {
        let history = self.history();
        let left = Self { live: history.flushed.copy(), history: Mutex::default() };
        let kept = rng.usize(..=history.since.len());
        for batch in &history.since[..kept] {
            left.live.apply(batch)?;
        }
        left.flush();
        Ok(left)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateBackend for StateDisk {
    fn family(&self, name: &str) -> Result<Family, StreamsError> {
        // Made in both, so that they have the same numbers.
        self.history().flushed.family(name)?;
        self.live.family(name)
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        let mut copy = WriteBatch::default();
        batch.changes().for_each(|(family, change)| copy.push(family, change));
        self.history().since.push(copy);
        self.live.apply(batch)
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        self.live.get(family, key)
    }

    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError> {
        self.live.get_many(family, keys, found)
    }

    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError> {
        self.live.scan(family, from, to, direction)
    }

    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError> {
        self.live.estimate_rows(family, from, to)
    }
}
