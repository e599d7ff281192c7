//! Table rows into a store: the latest value per key.

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::{Arena, CachedStore, StoreHandle};

const FLUSH_ROWS: usize = 8192;

/// What one skin knows about the rows of a table.
pub trait TableRows: Send + 'static {
    /// The stored rows.
    type Arena: Arena;
    /// The batch; its rows are changes of the table.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent, and dropped.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Whether a row has a value; one without deletes its key.
    fn has_value(&self, input: &Self::Input, row: usize) -> bool;

    /// Stores the value of row `rows[i]` in slot `slots[i]`, in order; all these rows have a value.
    fn write(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError>;

    /// The batch with only these rows, ascending.
    fn select(&mut self, input: Box<Self::Input>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError>;

    /// Makes a row of each slot: its value, or a deletion if it does not exist.
    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Keeps a table in a store that it alone writes, and passes the changes on: each one with caching off, the
/// last one of each key at every commit with caching on. Deleting a key that is not there changes nothing.
pub struct TableProcessor<T: TableRows> {
    rows_of: T,
    store: StoreHandle,
    keys: ByteColumn,
    rows: Vec<u32>,
    slots: Vec<u32>,
    /// Rows of the batch that change the table: not those that delete what is not there.
    changes: Vec<u32>,
}

impl<T: TableRows> TableProcessor<T> {
    /// A table in `store`.
    pub fn new(rows_of: T, store: StoreHandle) -> Self {
        Self {
            rows_of,
            store,
            keys: ByteColumn::default(),
            rows: Vec::new(),
            slots: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn store_rows(
        &mut self,
        input: &T::Input,
        store: &mut CachedStore<T::Arena>,
    ) -> Result<(), StreamsError> {
        self.slots.clear();
        self.changes.clear();
        store.slots(self.rows.iter().filter_map(|row| self.keys.get(*row as usize)), &mut self.slots)?;
        let timestamps = input.timestamps();
        // Runs of rows with values are written together; a deletion in between keeps its place in the order.
        let mut start = 0;
        for end in 0..=self.rows.len() {
            let deletes = self.rows.get(end).is_some_and(|row| !self.rows_of.has_value(input, *row as usize));
            if end < self.rows.len() && !deletes {
                continue;
            }
            self.rows_of.write(input, &self.rows[start..end], &self.slots[start..end], store.arena_mut())?;
            for index in start..end {
                store.put(self.slots[index], timestamps[self.rows[index] as usize]);
            }
            self.changes.extend_from_slice(&self.rows[start..end]);
            if deletes && store.exists(self.slots[end]) {
                store.delete(self.slots[end], timestamps[self.rows[end] as usize]);
                self.changes.push(self.rows[end]);
            }
            start = end + 1;
        }
        Ok(())
    }
}

impl<T: TableRows> Processor for TableProcessor<T> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<T::Input>(batch)?;
        self.keys.clear();
        self.rows_of.keys(&input, &mut self.keys)?;
        self.rows.clear();
        self.rows.extend((0u32..).zip(self.keys.iter()).filter(|(_, key)| key.is_some()).map(|(row, _)| row));
        let dropped = input.rows() - self.rows.len();
        let store = context.store::<CachedStore<T::Arena>>(self.store)?;
        self.store_rows(&input, store)?;
        report(context, ReportKind::Incomplete, dropped, "a row of the table has no key");
        if context.caching() || !context.has_children() {
            return Ok(());
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        if self.changes.len() == input.rows() {
            return context.forward(input);
        }
        let changes = self.rows_of.select(input, &self.changes)?;
        context.forward(changes)
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if !context.caching() || !context.has_children() {
            return Ok(());
        }
        let mut done = 0;
        loop {
            let store = context.store::<CachedStore<T::Arena>>(self.store)?;
            let dirty = store.dirty();
            if done == dirty.len() {
                return Ok(());
            }
            let slots = &dirty[done..dirty.len().min(done + FLUSH_ROWS)];
            let output = self.rows_of.emit(store, slots)?;
            done += slots.len();
            context.forward(output)?;
        }
    }
}
