//! Queries from outside on the committed state of a store, over all partitions that this process holds.

use std::fmt;

use millstream_log::partition_for_key;

use crate::error::StreamsError;
use crate::store::backend::{Direction, prefix_end};
use crate::store::cache::{split_session, split_value, split_window};
use crate::store::changelog::Progress;
use crate::store::spec::{StoreKind, StorePlace, StoreSerdes};
use crate::store::stream_rows::split_row;
use crate::store::versioned::{VALUE, split_version, version_bounds};

/// One row of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The partition that holds it.
    pub partition: u32,
    /// The key bytes, without the window.
    pub key: Vec<u8>,
    /// The start of the window in ms, for window and session stores; the time of the row for stores of stream rows.
    pub window_start: Option<i64>,
    /// The end of the window in ms, for window and session stores: excluded for windows, the time of the last row
    /// for sessions.
    pub window_end: Option<i64>,
    /// The timestamp of the row in ms.
    pub timestamp: i64,
    /// The state bytes.
    pub value: Vec<u8>,
}

/// A version of a key in a versioned store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// From when on it is valid, in ms.
    pub timestamp: i64,
    /// Until when it is valid (excluded), in ms; none for the latest version.
    pub valid_to: Option<i64>,
    /// The state bytes, or none if it deletes the key.
    pub value: Option<Vec<u8>>,
}

/// Which keys a scan visits. Bounds are key bytes without window start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key, or none for the first of all.
    pub from: Option<Vec<u8>>,
    /// The last key (included), or none for the last of all.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    pub fn all() -> Self {
        Self::default()
    }

    /// Keys from `from` to `to`, both included.
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self { from: Some(from.into()), to: Some(to.into()) }
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| key >= from) && self.to.as_deref().is_none_or(|to| key <= to)
    }
}

/// A store as interactive queries see it: committed rows only, so what it answers can never be undone.
#[derive(Clone)]
pub struct StoreView {
    /// Of partition 0; the others differ in their numbers only.
    pub(crate) place: StorePlace,
    pub(crate) partitions: Vec<u32>,
}

impl StoreView {
    /// The name of the store.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The kind of the store.
    pub fn kind(&self) -> StoreKind {
        self.place.kind
    }

    /// The partitions that this process holds and the view is on.
    pub fn partitions(&self) -> &[u32] {
        &self.partitions
    }

    /// The view on one partition only. None if it is not here.
    pub fn partition(&self, partition: u32) -> Option<Self> {
        let here = self.partitions.contains(&partition);
        here.then(|| Self { place: self.place.clone(), partitions: vec![partition] })
    }

    /// The partition of a key, by the partitioner that the application's own topics use. `of` is the number of the
    /// store's partitions.
    pub(crate) fn partition_of<K: 'static>(&self, key: &K, of: u32) -> Result<u32, StreamsError> {
        let keys = StoreSerdes::keys::<K>(self.place.serdes.as_ref(), self.name())?;
        let bytes = crate::store::typed::encoded(&keys, key)?;
        let end = bytes.len().saturating_sub(keys.unpartitioned_suffix());
        Ok(partition_for_key(&bytes[..end], of).get())
    }

    /// The row of a key; for window stores see [`StoreView::windows`], for versioned ones [`StoreView::version`].
    pub fn get(&self, key: &[u8]) -> Result<Option<StoredRow>, StreamsError> {
        for &partition in &self.partitions {
            let stored = [&partition.to_be_bytes(), key].concat();
            if let Some(value) = self.place.backend.get(self.place.family, &stored)? {
                let first_live = self.first_live(partition)?;
                let row = self.row(&stored, &value)?;
                return Ok(row.filter(|row| self.is_live(row, first_live)));
            }
        }
        Ok(None)
    }

    /// The live windows of a key that start in `from..=to` (ms), in order; of a session store the live sessions that
    /// end there.
    pub fn windows(&self, key: &[u8], from: i64, to: i64) -> Result<Vec<StoredRow>, StreamsError> {
        let rows = self.windows_between(KeyRange::between(key, key), from, to, Direction::Forward);
        rows.collect()
    }

    /// The live windows of a range of keys that start in `from..=to` (ms); of a session store the live sessions that
    /// end there. Partition by partition in the order of the stored bytes, or in reverse.
    pub fn windows_between(
        &self,
        keys: KeyRange,
        from: i64,
        to: i64,
        direction: Direction,
    ) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        let mut partitions = self.partitions.clone();
        if direction == Direction::Reverse {
            partitions.reverse();
        }
        partitions.into_iter().flat_map(move |partition| {
            let (rows, failed) = match self.scan_partition(partition, keys.clone(), (from, to), direction) {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(rows.into_iter().flatten())
        })
    }

    /// The rows of a range of keys, partition by partition in the order of the stored bytes. Expired windows
    /// are left out. Each partition's rows are as of the moment the scan reached it.
    pub fn scan(&self, range: KeyRange) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        self.windows_between(range, i64::MIN, i64::MAX, Direction::Forward)
    }

    /// As [`StoreView::scan`], the last row first.
    pub fn reverse_scan(
        &self,
        range: KeyRange,
    ) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        self.windows_between(range, i64::MIN, i64::MAX, Direction::Reverse)
    }

    /// The rows whose key begins with `prefix`, as [`StoreView::scan`].
    pub fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        let range = KeyRange { from: Some(prefix.to_vec()), to: prefix_end(prefix) };
        let prefix = prefix.to_vec();
        self.scan(range).filter(move |row| row.as_ref().map_or(true, |row| row.key.starts_with(&prefix)))
    }

    /// The value that a key of a versioned store had at a time (ms), as
    /// [`VersionedKeyValueStore::get_as_of`](crate::store::VersionedKeyValueStore::get_as_of).
    pub fn version(&self, key: &[u8], time: i64) -> Result<Option<StoredVersion>, StreamsError> {
        for &partition in &self.partitions {
            let first_live = self.first_live(partition)?;
            let mut latest = true;
            for version in self.versions_of(partition, key, i64::MAX)? {
                let version = version?;
                if version.timestamp <= time {
                    // Of what is older than the history, only the latest version is still true.
                    let found = (latest || time >= first_live) && version.value.is_some();
                    return Ok(found.then_some(version));
                }
                latest = false;
            }
        }
        Ok(None)
    }

    /// The values that a key of a versioned store had at some time in `from..=to` (ms), the latest first.
    pub fn versions(&self, key: &[u8], from: i64, to: i64) -> Result<Vec<StoredVersion>, StreamsError> {
        let mut found = Vec::new();
        for &partition in &self.partitions {
            let from = from.max(self.first_live(partition)?);
            for version in self.versions_of(partition, key, i64::MAX)? {
                let version = version?;
                let is_oldest = version.timestamp <= from;
                if version.timestamp <= to && version.value.is_some() {
                    found.push(version);
                }
                if is_oldest {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The versions of a key up to a time, deletions included, the latest first.
    fn versions_of(
        &self,
        partition: u32,
        key: &[u8],
        to: i64,
    ) -> Result<impl Iterator<Item = Result<StoredVersion, StreamsError>> + '_, StreamsError> {
        let partition = partition.to_be_bytes();
        let (lower, upper) = version_bounds(key, 0, to);
        let (lower, upper) =
            ([&partition, lower.as_slice()].concat(), [&partition, upper.as_slice()].concat());
        let rows = self.place.backend.scan(self.place.family, &lower, Some(&upper), Direction::Reverse)?;
        let mut valid_to = None;
        Ok(rows.map(move |entry| {
            let (_, value) = entry?;
            let corrupt = || self.place.corrupt("a version has no time and state");
            let (timestamp, state) = split_value(&value).ok_or_else(corrupt)?;
            let (kind, state) = state.split_first().ok_or_else(corrupt)?;
            let value = (*kind == VALUE).then(|| state.to_vec());
            Ok(StoredVersion { timestamp, valid_to: valid_to.replace(timestamp), value })
        }))
    }

    fn scan_partition(
        &self,
        partition: u32,
        range: KeyRange,
        (from_time, to_time): (i64, i64),
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<StoredRow, StreamsError>> + '_, StreamsError> {
        let bytes = partition.to_be_bytes();
        let first_live = self.first_live(partition)?;
        let (from, to) = match self.place.kind {
            StoreKind::KeyValue => {
                (range.from.clone(), range.to.as_ref().map(|to| [to.as_slice(), &[0]].concat()))
            }
            StoreKind::Window { .. } | StoreKind::Session { .. }
                if range.from.is_some() && range.from == range.to =>
            {
                // Of one key, the times are known too. There are none before 0.
                let key = range.from.as_deref().unwrap_or_default();
                let from = from_time.max(first_live).max(0).to_be_bytes();
                let to = to_time.max(0).to_be_bytes();
                (Some([key, &from].concat()), Some([key, &to, &[u8::MAX; 9]].concat()))
            }
            StoreKind::Window { .. } | StoreKind::Session { .. } => {
                // Windows of a key sort up to the key followed by the greatest times.
                let to = range.to.as_ref().map(|to| [to.as_slice(), &[u8::MAX; 17]].concat());
                (range.from.clone(), to)
            }
            // Segments, or lengths, come before keys.
            StoreKind::StreamRows { .. } | StoreKind::Versioned { .. } => (None, None),
        };
        let lower = [&bytes, from.as_deref().unwrap_or_default()].concat();
        let upper = to.map_or_else(|| prefix_end(&bytes), |to| Some([&bytes, to.as_slice()].concat()));
        let entries = self.place.backend.scan(self.place.family, &lower, upper.as_deref(), direction)?;
        let rows =
            entries.filter_map(|entry| entry.and_then(|(key, value)| self.row(&key, &value)).transpose());
        Ok(rows.filter(move |row| {
            row.as_ref().map_or(true, |row| {
                let time = self.time(row);
                self.is_live(row, first_live)
                    && range.contains(&row.key)
                    && time.is_none_or(|time| time >= from_time && time <= to_time)
            })
        }))
    }

    fn first_live(&self, partition: u32) -> Result<i64, StreamsError> {
        let place = &self.place;
        if place.ttl_ms.is_none() && place.kind == StoreKind::KeyValue {
            return Ok(i64::MIN);
        }
        let progress = Progress::read(place.backend.as_ref(), place.offsets, &place.name, partition)?;
        Ok(place.first_live(progress.map_or(i64::MIN, |progress| progress.stream_time)))
    }

    /// The time of a window: its start, or the end of a session.
    fn time(&self, row: &StoredRow) -> Option<i64> {
        match self.place.kind {
            StoreKind::KeyValue | StoreKind::Versioned { .. } => None,
            StoreKind::Window { .. } | StoreKind::StreamRows { .. } => row.window_start,
            StoreKind::Session { .. } => row.window_end,
        }
    }

    fn is_live(&self, row: &StoredRow, first_live: i64) -> bool {
        let time = self.place.ttl_ms.map(|_| row.timestamp).or_else(|| self.time(row));
        time.is_none_or(|time| time >= first_live)
    }

    /// None for a version that deletes its key.
    fn row(&self, stored: &[u8], value: &[u8]) -> Result<Option<StoredRow>, StreamsError> {
        let corrupt = |reason: &str| self.place.corrupt(reason);
        let (partition, key) =
            stored.split_first_chunk::<4>().ok_or_else(|| corrupt("a key has no partition"))?;
        let (timestamp, mut value) = split_value(value).ok_or_else(|| corrupt("a value has no timestamp"))?;
        let (key, window) = match self.place.kind {
            StoreKind::KeyValue => (key, None),
            StoreKind::Window { size_ms, .. } => {
                let (key, start) = split_window(key);
                (key, Some((start, start.saturating_add(size_ms))))
            }
            StoreKind::Session { .. } => {
                let (key, start, end) = split_session(key);
                (key, Some((start, end)))
            }
            StoreKind::StreamRows { .. } => {
                let (key, time) = split_row(key);
                (key, Some((time, time)))
            }
            StoreKind::Versioned { .. } => {
                match value.split_first() {
                    Some((&VALUE, state)) => value = state,
                    _ => return Ok(None),
                }
                (split_version(key).0, None)
            }
        };
        let (window_start, window_end) = window.unzip();
        let partition = u32::from_be_bytes(*partition);
        let (key, value) = (key.to_vec(), value.to_vec());
        Ok(Some(StoredRow { partition, key, window_start, window_end, timestamp, value }))
    }
}

impl fmt::Debug for StoreView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreView")
            .field("name", &self.place.name)
            .field("kind", &self.place.kind)
            .finish_non_exhaustive()
    }
}
