//! Queries from outside on the committed state of a store, over all partitions that this process holds.

use std::fmt;

use crate::error::StreamsError;
use crate::store::backend::{Direction, prefix_end};
use crate::store::cache::{split_session, split_value, split_window};
use crate::store::changelog::Progress;
use crate::store::spec::{StoreKind, StorePlace};
use crate::store::stream_rows::split_row;

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

    /// The row of a key; for window stores see [`StoreView::windows`].
    pub fn get(&self, key: &[u8]) -> Result<Option<StoredRow>, StreamsError> {
        for &partition in &self.partitions {
            let stored = [&partition.to_be_bytes(), key].concat();
            if let Some(value) = self.place.backend.get(self.place.family, &stored)? {
                let first_live = self.first_live(partition)?;
                return self
                    .row(&stored, &value)
                    .map(|row| Some(row).filter(|row| self.is_live(row, first_live)));
            }
        }
        Ok(None)
    }

    /// The live windows of a key that start in `from..=to` (ms), in order; of a session store the live sessions that
    /// end there.
    pub fn windows(&self, key: &[u8], from: i64, to: i64) -> Result<Vec<StoredRow>, StreamsError> {
        let mut rows = Vec::new();
        if let StoreKind::StreamRows { .. } = self.place.kind {
            for row in self.scan(KeyRange::between(key, key)) {
                rows.extend(
                    Some(row?).filter(|row| row.window_start.is_some_and(|time| time >= from && time <= to)),
                );
            }
            return Ok(rows);
        }
        for &partition in &self.partitions {
            let from = from.max(self.first_live(partition)?).max(0);
            if to < from {
                continue;
            }
            let prefix = [&partition.to_be_bytes(), key].concat();
            let lower = [prefix.as_slice(), &from.to_be_bytes()].concat();
            let upper = [prefix.as_slice(), &to.to_be_bytes(), &[u8::MAX; 9]].concat();
            for entry in
                self.place.backend.scan(self.place.family, &lower, Some(&upper), Direction::Forward)?
            {
                let (stored, value) = entry?;
                // A longer key can begin with this key's bytes and sort among its windows.
                if stored.len() == prefix.len() + self.place.kind.suffix() {
                    rows.push(self.row(&stored, &value)?);
                }
            }
        }
        Ok(rows)
    }

    /// The rows of a range of keys, partition by partition in the order of the stored bytes. Expired windows
    /// are left out. Each partition's rows are as of the moment the scan reached it.
    pub fn scan(&self, range: KeyRange) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        self.partitions.iter().flat_map(move |&partition| {
            let rows = self.scan_partition(partition, range.clone());
            let (rows, failed) = match rows {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(rows.into_iter().flatten())
        })
    }

    /// The rows whose key begins with `prefix`, as [`StoreView::scan`].
    pub fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Result<StoredRow, StreamsError>> + '_ {
        let range = KeyRange { from: Some(prefix.to_vec()), to: prefix_end(prefix) };
        let prefix = prefix.to_vec();
        self.scan(range).filter(move |row| row.as_ref().map_or(true, |row| row.key.starts_with(&prefix)))
    }

    fn scan_partition(
        &self,
        partition: u32,
        range: KeyRange,
    ) -> Result<impl Iterator<Item = Result<StoredRow, StreamsError>> + '_, StreamsError> {
        let bytes = partition.to_be_bytes();
        let first_live = self.first_live(partition)?;
        let from = match self.place.kind {
            StoreKind::StreamRows { .. } => None,
            StoreKind::KeyValue | StoreKind::Window { .. } | StoreKind::Session { .. } => {
                range.from.as_deref()
            }
        };
        let lower = [&bytes, from.unwrap_or_default()].concat();
        let upper = match (&range.to, self.place.kind) {
            (Some(to), StoreKind::KeyValue) => Some([&bytes, to.as_slice(), &[0]].concat()),
            // Windows of a key sort up to the key followed by the greatest times.
            (Some(to), StoreKind::Window { .. } | StoreKind::Session { .. }) => {
                Some([&bytes, to.as_slice(), &[u8::MAX; 17]].concat())
            }
            // Segments come before keys.
            (_, StoreKind::StreamRows { .. }) | (None, _) => prefix_end(&bytes),
        };
        let entries =
            self.place.backend.scan(self.place.family, &lower, upper.as_deref(), Direction::Forward)?;
        let rows = entries.map(|entry| entry.and_then(|(key, value)| self.row(&key, &value)));
        Ok(rows.filter(move |row| {
            row.as_ref().map_or(true, |row| self.is_live(row, first_live) && range.contains(&row.key))
        }))
    }

    fn first_live(&self, partition: u32) -> Result<i64, StreamsError> {
        let place = &self.place;
        let progress = Progress::read(place.backend.as_ref(), place.offsets, &place.name, partition)?;
        Ok(place.first_live(progress.map_or(i64::MIN, |progress| progress.stream_time)))
    }

    fn is_live(&self, row: &StoredRow, first_live: i64) -> bool {
        let time = match self.place.kind {
            StoreKind::KeyValue => self.place.ttl_ms.map(|_| row.timestamp),
            StoreKind::Window { .. } | StoreKind::StreamRows { .. } => row.window_start,
            StoreKind::Session { .. } => row.window_end,
        };
        time.is_none_or(|time| time >= first_live)
    }

    fn row(&self, stored: &[u8], value: &[u8]) -> Result<StoredRow, StreamsError> {
        let corrupt = |reason: &str| self.place.corrupt(reason);
        let (partition, key) =
            stored.split_first_chunk::<4>().ok_or_else(|| corrupt("a key has no partition"))?;
        let (timestamp, value) = split_value(value).ok_or_else(|| corrupt("a value has no timestamp"))?;
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
        };
        let (window_start, window_end) = window.unzip();
        let partition = u32::from_be_bytes(*partition);
        let (key, value) = (key.to_vec(), value.to_vec());
        Ok(StoredRow { partition, key, window_start, window_end, timestamp, value })
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
