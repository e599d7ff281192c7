//! What travels along the edges of tables: new values, and old ones if somebody below needs them.

use std::any::Any;

use crate::batch::Batch;
use crate::dsl::records::{Records, front};

/// Changes of a table, in order. A change has the new value of its key, or none for a deletion, and the value
/// that the key had before.
///
/// Old values are there only if an operator below asked for them ([`KTable`](crate::dsl::KTable) does that
/// where Kafka's does): `old` is then as long as the rows.
#[derive(Clone, Debug)]
pub struct Changes<K, V> {
    /// Keys (never absent), new values, timestamps and headers.
    pub rows: Records<K, V>,
    /// The values before, if they are sent.
    pub old: Option<Vec<Option<V>>>,
}

impl<K, V> Changes<K, V> {
    /// The old value of a row: none if the key had none, or if old values are not sent.
    pub fn old_of(&self, row: usize) -> Option<&V> {
        self.old.as_ref().and_then(|old| old[row].as_ref())
    }

    /// Keeps the rows for which `keep` is true.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        self.rows.select(keep);
        if let Some(old) = &mut self.old {
            let mut keep = keep.iter();
            old.retain(|_| keep.next().copied().unwrap_or(false));
        }
    }
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Batch for Changes<K, V> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn timestamps(&self) -> &[i64] {
        &self.rows.timestamps
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        let old = self.old.as_mut().map(|old| front(old, rows));
        Box::new(Self { rows: self.rows.take_front(rows), old })
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
