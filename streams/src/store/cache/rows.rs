//! Iterations over a store partition: committed rows from the backend and uncommitted ones from the cache, in
//! one order. Nothing is loaded into the cache.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use crate::error::StreamsError;
use crate::store::backend::{Direction, Entry, Scan};
use crate::store::cache::{Arena, CachedStore, split_value};

/// A row met by an iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// The key bytes; for window stores with the window start.
    pub key: Box<[u8]>,
    /// When it was last written, in ms.
    pub timestamp: i64,
    /// The state.
    pub state: RowState,
}

/// Where the state of a [`StoreRow`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Uncommitted, decoded in this slot of the arena.
    Cached(u32),
    /// Committed, as [`Arena::save`] wrote it.
    Stored(Box<[u8]>),
}

/// The rows of a range of keys, in their order or in reverse; see [`CachedStore::rows`].
pub struct Rows<'a, A: Arena> {
    store: &'a CachedStore<A>,
    committed: Peekable<Scan<'a>>,
    uncommitted: Peekable<Box<dyn Iterator<Item = u32> + 'a>>,
    direction: Direction,
}

impl<A: Arena> CachedStore<A> {
    /// Goes through the rows from key `from` on and before key `to`, uncommitted changes included.
    pub fn rows(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Rows<'_, A>, StreamsError> {
        if self.dirty_order.is_none() {
            let order: BTreeMap<Box<[u8]>, u32> =
                self.dirty.iter().map(|slot| (self.key(*slot).into(), *slot)).collect();
            self.dirty_order = Some(order);
        }
        let store: &Self = self;
        let place = &store.place;
        let lower = place.backend_key(from);
        let upper = to.map_or_else(|| place.bounds().1, |to| place.backend_key(to));
        let committed = place.backend.scan(place.family, &lower, Some(&upper), direction)?;
        let uncommitted: Box<dyn Iterator<Item = u32>> = match &store.dirty_order {
            Some(order) if to.is_none_or(|to| from < to) => {
                let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
                let slots = order.range::<[u8], _>(bounds).map(|(_, slot)| *slot);
                match direction {
                    Direction::Forward => Box::new(slots),
                    Direction::Reverse => Box::new(slots.rev()),
                }
            }
            _ => Box::new(std::iter::empty()),
        };
        Ok(Rows { store, committed: committed.peekable(), uncommitted: uncommitted.peekable(), direction })
    }
}

impl<'a, A: Arena> Rows<'a, A> {
    /// The store, to read the arena from.
    pub fn store(&self) -> &'a CachedStore<A> {
        self.store
    }

    fn take_uncommitted(&mut self) -> Option<StoreRow> {
        let slot = self.uncommitted.next()?;
        let store = self.store;
        let row = || StoreRow {
            key: store.key(slot).into(),
            timestamp: store.timestamp(slot),
            state: RowState::Cached(slot),
        };
        store.exists(slot).then(row)
    }

    fn take_committed(&mut self, entry: Entry) -> Result<Option<StoreRow>, StreamsError> {
        let (key, value) = entry;
        let corrupt = |reason: &str| self.store.place.corrupt(reason);
        let key = key.get(4..).ok_or_else(|| corrupt("a key has no partition"))?;
        let (timestamp, state) = split_value(&value).ok_or_else(|| corrupt("a value has no timestamp"))?;
        if !self.store.is_live(timestamp) {
            return Ok(None);
        }
        Ok(Some(StoreRow { key: key.into(), timestamp, state: RowState::Stored(state.into()) }))
    }
}

impl<A: Arena> Iterator for Rows<'_, A> {
    type Item = Result<StoreRow, StreamsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.committed.peek(), self.uncommitted.peek()) {
                (None, None) => return None,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
                (Some(Ok((key, _))), Some(slot)) => {
                    let order = key.get(4..).unwrap_or_default().cmp(self.store.key(*slot));
                    if self.direction == Direction::Forward { order } else { order.reverse() }
                }
            };
            if order == Ordering::Equal {
                self.committed.next();
            }
            let row = if order == Ordering::Less {
                match self.committed.next()? {
                    Ok(entry) => self.take_committed(entry),
                    Err(error) => Err(error),
                }
            } else {
                Ok(self.take_uncommitted())
            };
            if let Some(row) = row.transpose() {
                return Some(row);
            }
        }
    }
}
