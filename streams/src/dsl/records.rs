//! The typed batch of the DSL.

use std::any::Any;

use millstream_log::Header;

use crate::batch::Batch;

/// Rows of typed keys and values. All columns have an entry per row.
#[derive(Clone, Debug)]
pub struct Records<K, V> {
    /// The keys.
    pub keys: Vec<Option<K>>,
    /// The values; a row without value is a deletion.
    pub values: Vec<Option<V>>,
    /// Event times in ms.
    pub timestamps: Vec<i64>,
    /// The headers of each row, or nothing at all if no row has any.
    pub headers: Vec<Vec<Header>>,
}

impl<K, V> Records<K, V> {
    /// No rows, with room for some.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            keys: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
            timestamps: Vec::with_capacity(rows),
            headers: Vec::new(),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The headers of a row.
    pub fn headers_of(&self, row: usize) -> &[Header] {
        self.headers.get(row).map_or(&[], Vec::as_slice)
    }

    /// Appends a row.
    pub fn push(&mut self, key: Option<K>, value: Option<V>, timestamp: i64, headers: Vec<Header>) {
        if !headers.is_empty() || !self.headers.is_empty() {
            self.headers.resize(self.len(), Vec::new());
            self.headers.push(headers);
        }
        self.keys.push(key);
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Keeps the rows for which `keep` is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Option<&K>, Option<&V>) -> bool) {
        let kept: Vec<bool> = self
            .keys
            .iter()
            .zip(&self.values)
            .map(|(key, value)| keep(key.as_ref(), value.as_ref()))
            .collect();
        self.select(&kept);
    }

    /// Keeps the rows whose flag is set.
    pub(crate) fn select(&mut self, kept: &[bool]) {
        if kept.iter().all(|kept| *kept) {
            return;
        }
        select(&mut self.keys, kept);
        select(&mut self.values, kept);
        select(&mut self.timestamps, kept);
        select(&mut self.headers, kept);
    }

    /// The first rows leave these.
    pub(crate) fn take_front(&mut self, rows: usize) -> Self {
        Self {
            keys: front(&mut self.keys, rows),
            values: front(&mut self.values, rows),
            timestamps: front(&mut self.timestamps, rows),
            headers: if self.headers.is_empty() { Vec::new() } else { front(&mut self.headers, rows) },
        }
    }

    /// The same rows with other keys and values.
    pub(crate) fn with<K2, V2>(self, keys: Vec<Option<K2>>, values: Vec<Option<V2>>) -> Records<K2, V2> {
        Records { keys, values, timestamps: self.timestamps, headers: self.headers }
    }
}

fn select<T>(column: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    column.retain(|_| kept.next().copied().unwrap_or(false));
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Batch for Records<K, V> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        Box::new(self.take_front(rows))
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

pub(crate) fn front<T>(column: &mut Vec<T>, rows: usize) -> Vec<T> {
    column.drain(..rows).collect()
}
