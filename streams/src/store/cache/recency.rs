//! The order in which keys were used, for stores that keep only so many of them.

use std::collections::BTreeMap;

use crate::error::StreamsError;
use crate::store::backend::Direction;
use crate::store::cache::{Arena, CachedStore, RowState, StoreRow};

/// Which slots were used when. All keys of such a store are in the cache.
pub(super) struct Recency {
    max_entries: usize,
    uses: u64,
    /// Slots by their last use.
    order: BTreeMap<u64, u32>,
    /// By slot: its last use, or 0.
    last: Vec<u64>,
    loaded: bool,
}

impl Recency {
    pub(super) fn new(max_entries: usize) -> Self {
        Self { max_entries, uses: 0, order: BTreeMap::new(), last: Vec::new(), loaded: false }
    }

    fn remove(&mut self, slot: u32) {
        if let Some(last) = self.last.get_mut(slot as usize) {
            self.order.remove(&std::mem::take(last));
        }
    }
}

impl<A: Arena> CachedStore<A> {
    /// Before the first use: what was restored was used in the order of its timestamps.
    pub(crate) fn load_recency(&mut self) -> Result<(), StreamsError> {
        if self.recency.as_ref().is_none_or(|recency| recency.loaded) {
            return Ok(());
        }
        let rows = self.rows(&[], None, Direction::Forward)?;
        let mut rows: Vec<StoreRow> = rows.collect::<Result<_, _>>()?;
        rows.sort_by_key(|row| row.timestamp);
        for row in rows {
            let slot = match row.state {
                RowState::Cached(slot) => slot,
                RowState::Stored(state) => self.load_row(&row.key, row.timestamp, &state)?,
            };
            self.used(slot);
        }
        if let Some(recency) = &mut self.recency {
            recency.loaded = true;
        }
        Ok(())
    }

    /// The slot's key was read or written.
    pub(crate) fn used(&mut self, slot: u32) {
        let Some(recency) = &mut self.recency else { return };
        recency.remove(slot);
        if recency.last.len() <= slot as usize {
            recency.last.resize(slot as usize + 1, 0);
        }
        recency.uses += 1;
        recency.last[slot as usize] = recency.uses;
        recency.order.insert(recency.uses, slot);
    }

    /// Removes the keys beyond the limit.
    pub(crate) fn limit(&mut self, timestamp: i64) {
        while let Some(recency) = &mut self.recency
            && recency.order.len() > recency.max_entries
            && let Some((_, slot)) = recency.order.pop_first()
        {
            recency.last[slot as usize] = 0;
            self.delete(slot, timestamp);
        }
    }

    /// The slot's key was removed.
    pub(super) fn not_used(&mut self, slot: u32) {
        if let Some(recency) = &mut self.recency {
            recency.remove(slot);
        }
    }
}
