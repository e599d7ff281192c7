//! Window stores.

use std::ops::{Bound, RangeBounds, RangeInclusive};

use crate::error::StreamsError;
use crate::serde::{DynSerde, Windowed};
use crate::store::backend::Direction;
use crate::store::cache::split_window;
use crate::store::spec::StoreKind;
use crate::store::typed::{StoreIter, Typed, TypedRow, decode};

/// Bytes that can follow the key in a row of a window store.
const SUFFIX: usize = 8;

/// A window store of a task: see [`Context::window_store`](crate::Context::window_store).
///
/// As Kafka's `WindowStore`: a value per key and window start (ms). Windows that began too long before the
/// latest one, by the retention, are not stored and not found. Times of windows are given as inclusive ranges of
/// their starts; rows come in the order of key bytes and then of starts.
pub struct WindowStore<'a, K, V: Clone + Send + Sync + 'static>(pub(super) Typed<'a, K, V>);

impl<K: 'static, V: Clone + Send + Sync + 'static> WindowStore<'_, K, V> {
    /// The timestamp (ms) that is written with the windows from now on.
    pub fn at(&mut self, timestamp: i64) -> &mut Self {
        self.0.time = timestamp;
        self
    }

    /// Sets the value of a key's window. Returns false, and stores nothing, if the window has expired.
    pub fn put(&mut self, key: &K, value: V, start: i64) -> Result<bool, StreamsError> {
        self.0.store.observe(start);
        if start < self.first_live() {
            return Ok(false);
        }
        self.0.encode(key, &[start])?;
        self.0.write(value, self.0.time)?;
        Ok(true)
    }

    /// Removes a key's window, and returns the value that it had.
    pub fn delete(&mut self, key: &K, start: i64) -> Result<Option<V>, StreamsError> {
        self.0.encode(key, &[start])?;
        self.0.remove()
    }

    /// The value of a key's window.
    pub fn fetch_one(&mut self, key: &K, start: i64) -> Result<Option<&V>, StreamsError> {
        if start < self.first_live() {
            return Ok(None);
        }
        self.0.encode(key, &[start])?;
        let slot = self.0.find()?;
        Ok(slot.and_then(|slot| self.0.value(slot)))
    }

    /// The starts and values of a key's windows.
    pub fn fetch(
        &mut self,
        key: &K,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        self.fetch_directed(key, starts, Direction::Forward)
    }

    /// As [`WindowStore::fetch`], the last window first.
    pub fn backward_fetch(
        &mut self,
        key: &K,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        self.fetch_directed(key, starts, Direction::Reverse)
    }

    /// The windows of a range of keys.
    pub fn fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(keys, starts, Direction::Forward)
    }

    /// As [`WindowStore::fetch_keys`], the last key and window first.
    pub fn backward_fetch_keys(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(keys, starts, Direction::Reverse)
    }

    /// The windows of all keys that start in this range.
    pub fn fetch_all(
        &mut self,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(.., starts, Direction::Forward)
    }

    /// As [`WindowStore::fetch_all`], the last key and window first.
    pub fn backward_fetch_all(
        &mut self,
        starts: RangeInclusive<i64>,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(.., starts, Direction::Reverse)
    }

    /// All windows.
    pub fn all(&mut self) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(.., 0..=i64::MAX, Direction::Forward)
    }

    /// All windows, the last key and window first.
    pub fn backward_all(&mut self) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        self.keys_directed(.., 0..=i64::MAX, Direction::Reverse)
    }

    fn first_live(&self) -> i64 {
        self.0.store.first_live().max(0)
    }

    fn fetch_directed(
        &mut self,
        key: &K,
        starts: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<StoreIter<'_, (i64, V)>, StreamsError> {
        let from = self.first_live().max(*starts.start());
        self.0.encode(key, &[])?;
        let length = self.0.key.len() + SUFFIX;
        let lower = [self.0.key.as_slice(), &from.to_be_bytes()].concat();
        let upper = match *starts.end() {
            // Before time 0 there is no window: an empty range.
            end if end < from => lower.clone(),
            end => [self.0.key.as_slice(), &end.to_be_bytes(), &[0]].concat(),
        };
        self.0.rows(&lower, Some(&upper), direction, move |_, row: TypedRow<'_, V>| {
            // A longer key can begin with this key's bytes and sort among its windows.
            Ok((row.key.len() == length).then(|| (split_window(row.key).1, row.value)))
        })
    }

    fn keys_directed(
        &mut self,
        keys: impl RangeBounds<K>,
        starts: RangeInclusive<i64>,
        direction: Direction,
    ) -> Result<StoreIter<'_, (Windowed<K>, V)>, StreamsError> {
        let StoreKind::Window { size_ms, .. } = self.0.store.kind() else {
            unreachable!("a window store is opened on windows only")
        };
        let first_live = self.first_live();
        let range = KeyBounds::new(&self.0.keys, &keys)?;
        let (lower, upper) = range.stored(SUFFIX);
        self.0.rows(&lower, upper.as_deref(), direction, move |keys, row: TypedRow<'_, V>| {
            let (key, start) = split_window(row.key);
            if start < first_live || !starts.contains(&start) || !range.contains(key) {
                return Ok(None);
            }
            let key = Windowed { key: decode(keys, key)?, start, end: start.saturating_add(size_ms) };
            Ok(Some((key, row.value)))
        })
    }
}

/// A range of keys as bytes, without what follows them in a row.
pub(super) struct KeyBounds {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl KeyBounds {
    pub(super) fn new<K: 'static>(
        keys: &DynSerde<K>,
        range: &impl RangeBounds<K>,
    ) -> Result<Self, StreamsError> {
        let bytes = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>, StreamsError> {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(super::encoded(keys, key)?),
                Bound::Excluded(key) => Bound::Excluded(super::encoded(keys, key)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        Ok(Self { from: bytes(range.start_bound())?, to: bytes(range.end_bound())? })
    }

    /// Bounds that hold every row of these keys, and perhaps some of others.
    pub(super) fn stored(&self, suffix: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let from = match &self.from {
            Bound::Included(key) | Bound::Excluded(key) => key.clone(),
            Bound::Unbounded => Vec::new(),
        };
        let to = match &self.to {
            // Times of rows are not negative, so nothing of a key comes behind this.
            Bound::Included(key) | Bound::Excluded(key) => {
                Some([key.as_slice(), &vec![u8::MAX; suffix]].concat())
            }
            Bound::Unbounded => None,
        };
        (from, to)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        let range: (Bound<&[u8]>, Bound<&[u8]>) =
            (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice));
        RangeBounds::<[u8]>::contains(&range, key)
    }
}
