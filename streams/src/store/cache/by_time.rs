//! The windows of a store in the order of time, across keys: for operators that emit a window when it closes.
//!
//! The order of committed windows is the expiry index; those that came since the last commit are in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ByteColumn;
use crate::error::StreamsError;
use crate::store::backend::Direction;
use crate::store::cache::expiry::ordered;
use crate::store::cache::{Arena, BACKED, CachedStore, ExpiryIndex};

/// Which windows come next.
#[derive(Default)]
pub(super) struct TimeOrder {
    /// Time and slot of each window that is not committed.
    fresh: BTreeSet<(i64, u32)>,
    /// No committed window that was not asked for has a time below this; none if that is not known.
    committed_from: Option<i64>,
}

impl TimeOrder {
    fn reaches(&self, until: i64) -> bool {
        self.committed_from.is_none_or(|from| from <= until)
            || self.fresh.first().is_some_and(|(time, _)| *time <= until)
    }

    /// What is fresh has been committed.
    pub(super) fn commit(&mut self) {
        if let (Some((time, _)), Some(from)) = (self.fresh.first(), &mut self.committed_from) {
            *from = (*from).min(*time);
        }
        self.fresh.clear();
    }
}

impl<A: Arena> CachedStore<A> {
    /// Knows the order of windows across keys from now on, see [`CachedStore::windows_by_time`]. Call it before the
    /// first window is put.
    pub fn order_by_time(&mut self) {
        self.by_time.get_or_insert_default();
    }

    /// Appends the slots of the windows whose start, or sessions whose end, is in `from..=until` (ms), in the order of
    /// their times and then of their keys. Calls go forward: what lies before `from` is not asked for again.
    pub fn windows_by_time(&mut self, from: i64, until: i64, out: &mut Vec<u32>) -> Result<(), StreamsError> {
        let Some(order) = self.by_time.as_mut().filter(|order| order.reaches(until)) else { return Ok(()) };
        let mut found: Vec<u32> =
            order.fresh.range((from, 0)..=(until, u32::MAX)).map(|(_, slot)| *slot).collect();
        if order.committed_from.is_none_or(|from| from <= until) {
            self.committed_by_time(from, until, &mut found)?;
        }
        found.retain(|slot| self.exists(*slot));
        let suffix = self.place.kind.suffix();
        let order = |slot: &u32| {
            let key = self.key(*slot);
            let (key, times) = key.split_at(key.len().saturating_sub(suffix));
            (times, key)
        };
        found.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        found.dedup();
        out.append(&mut found);
        Ok(())
    }

    fn committed_by_time(&mut self, from: i64, until: i64, found: &mut Vec<u32>) -> Result<(), StreamsError> {
        let Some(family) = self.place.index else { return Ok(()) };
        let lower = [self.place.partition.to_be_bytes().as_slice(), &ordered(from)].concat();
        let (_, upper) = self.place.bounds();
        let backend = Arc::clone(&self.place.backend);
        let (mut keys, mut next) = (ByteColumn::default(), i64::MAX);
        let corrupt = || self.place.corrupt("an expiry entry is cut off");
        for entry in backend.scan(family, &lower, Some(&upper), Direction::Forward)? {
            let (entry, list) = entry?;
            let time = ExpiryIndex::time_of(&entry).ok_or_else(corrupt)?;
            if time > until {
                next = time;
                break;
            }
            ExpiryIndex::read(&entry, &list, &mut keys).ok_or_else(corrupt)?;
        }
        if let Some(order) = &mut self.by_time {
            order.committed_from = Some(next);
        }
        self.slots(keys.iter().flatten(), found)
    }

    /// A window came or went.
    pub(super) fn order_changed(&mut self, slot: u32, exists: u8) {
        let (time, committed) = (self.time(slot), self.entries[slot as usize].flags & BACKED != 0);
        // The order of committed windows is in the backend.
        if let Some(order) = self.by_time.as_mut().filter(|_| !committed) {
            if exists == 0 {
                order.fresh.remove(&(time, slot));
            } else {
                order.fresh.insert((time, slot));
            }
        }
    }
}
