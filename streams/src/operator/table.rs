//! Table rows into a store: the latest value per key.

use std::ops::Range;

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

    /// The batch that came, as rows of this table.
    fn receive(&mut self, batch: Box<dyn Batch>) -> Result<Box<Self::Input>, StreamsError> {
        downcast(batch)
    }

    /// Whether changes carry the value that a row had before. Then [`TableRows::remember`] is called for each
    /// row just before it is stored.
    fn sends_old(&self) -> bool {
        false
    }

    /// Notes the present value of a slot as the old value of the next row that takes part.
    fn remember(&mut self, _slot: u32, _arena: &Self::Arena) {}

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

    /// The changes that these rows are, ascending, with the old values that were noted since the last call.
    fn select(&mut self, input: Box<Self::Input>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError>;

    /// Makes a row of each of these positions in [`CachedStore::dirty`]: the slot's value, or a deletion if it
    /// does not exist.
    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        changed: Range<usize>,
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Keeps a table in a store that it alone writes, and passes the changes on: each one with caching off, the
/// last one of each key at every commit with caching on. Rows without key are dropped.
pub struct TableProcessor<T: TableRows> {
    rows_of: T,
    store: StoreHandle,
    keys: ByteColumn,
    rows: Vec<u32>,
    slots: Vec<u32>,
}

impl<T: TableRows> TableProcessor<T> {
    /// A table in `store`.
    pub fn new(rows_of: T, store: StoreHandle) -> Self {
        Self { rows_of, store, keys: ByteColumn::default(), rows: Vec::new(), slots: Vec::new() }
    }

    fn store_rows(
        &mut self,
        input: &T::Input,
        store: &mut CachedStore<T::Arena>,
        one_by_one: bool,
    ) -> Result<(), StreamsError> {
        self.slots.clear();
        store.slots(self.rows.iter().filter_map(|row| self.keys.get(*row as usize)), &mut self.slots)?;
        let timestamps = input.timestamps();
        let time = |index: usize| timestamps[self.rows[index] as usize];
        // Runs of rows with values are written together; a deletion in between keeps its place in the order.
        let mut start = 0;
        for end in 0..=self.rows.len() {
            let deletes = self.rows.get(end).is_some_and(|row| !self.rows_of.has_value(input, *row as usize));
            if end < self.rows.len() && !deletes && !one_by_one {
                continue;
            }
            let run = start..(if deletes { end } else { (end + 1).min(self.rows.len()) });
            for index in run.clone() {
                if one_by_one {
                    self.rows_of.remember(self.slots[index], store.arena());
                }
                store.put(self.slots[index], time(index));
            }
            let (rows, slots) = (&self.rows[run.clone()], &self.slots[run]);
            self.rows_of.write(input, rows, slots, store.arena_mut())?;
            store.measure(slots);
            if deletes {
                let slot = self.slots[end];
                if one_by_one {
                    self.rows_of.remember(slot, store.arena());
                }
                if store.exists(slot) {
                    store.delete(slot, time(end));
                }
            }
            start = end + 1;
        }
        Ok(())
    }
}

impl<T: TableRows> Processor for TableProcessor<T> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = self.rows_of.receive(batch)?;
        self.keys.clear();
        self.rows_of.keys(&input, &mut self.keys)?;
        self.rows.clear();
        self.rows.extend((0u32..).zip(self.keys.iter()).filter(|(_, key)| key.is_some()).map(|(row, _)| row));
        let dropped = input.rows() - self.rows.len();
        let sends_old = self.rows_of.sends_old();
        let caching = context.coalesces(self.store);
        let store = context.store::<CachedStore<T::Arena>>(self.store)?;
        if sends_old && caching {
            store.keep_old();
        }
        self.store_rows(&input, store, sends_old && !caching)?;
        report(context, ReportKind::Incomplete, dropped, "a row of the table has no key");
        if caching || !context.has_children() || self.rows.is_empty() {
            return Ok(());
        }
        let changes = self.rows_of.select(input, &self.rows)?;
        context.forward(changes)
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if !context.coalesces(self.store) || !context.has_children() {
            return Ok(());
        }
        loop {
            let store = context.store::<CachedStore<T::Arena>>(self.store)?;
            let changed = store.forward_next(FLUSH_ROWS);
            if changed.is_empty() {
                return Ok(());
            }
            let output = self.rows_of.emit(store, changed)?;
            context.forward(output)?;
        }
    }
}
