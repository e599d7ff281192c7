//! Changes of a table that wait: until their window has closed, or for some time since the first of them.

use std::collections::BTreeMap;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::{Arena, CachedStore, StoreHandle};

/// How much waits at most, and what happens when that is not enough. As Kafka's `BufferConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Keys.
    pub records: Option<usize>,
    /// Bytes of keys and changes as the changelog has them.
    pub bytes: Option<usize>,
    /// What happens at a limit.
    pub when_full: WhenFull,
}

/// What happens when a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// What has waited longest goes on before its time.
    EmitEarly,
    /// The task fails.
    ShutDown,
}

/// What one skin knows about the changes of a table, and how it keeps one of each key.
pub trait SuppressRows: Send + 'static {
    /// The changes that wait.
    type Arena: Arena;
    /// The batch; its rows are changes of the table.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent, and dropped.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// From when on a row waits, in ms: its own time, or the end of its window.
    fn time(&self, input: &Self::Input, row: usize) -> i64;

    /// Puts the change of a row into a slot. An empty slot takes the row's old value and this time, too; any other
    /// keeps those of the first change.
    fn buffer(
        &mut self,
        input: &Self::Input,
        row: usize,
        time: i64,
        slot: u32,
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError>;

    /// The time of the change in a slot.
    fn buffered_time(&self, arena: &Self::Arena, slot: u32) -> i64;

    /// Appends the change in a slot to what [`SuppressRows::take`] returns, unless it is a deletion and nobody has
    /// heard of the key.
    fn write(&mut self, store: &CachedStore<Self::Arena>, slot: u32) -> Result<(), StreamsError>;

    /// The output rows that were written since the last call.
    fn take(&mut self) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Runs a [`SuppressRows`] over a store that it alone writes: a change per key, so that it survives a restart. The order
/// of what waits is in memory.
///
/// Stream time is the highest timestamp of the rows that came here.
pub struct SuppressProcessor<S: SuppressRows> {
    rows: S,
    store: StoreHandle,
    /// A change waits until stream time has passed its time by this, in ms.
    wait_ms: i64,
    limits: BufferLimits,
    stream_time: i64,
    /// Sizes by time and key.
    order: BTreeMap<(i64, Box<[u8]>), usize>,
    bytes: usize,
    keys: ByteColumn,
    slots: Vec<u32>,
    scratch: Vec<u8>,
}

impl<S: SuppressRows> SuppressProcessor<S> {
    /// A buffer in `store`, a key-value store, whose changes wait for `wait_ms` in stream time.
    pub fn new(rows: S, store: StoreHandle, wait_ms: i64, limits: BufferLimits) -> Self {
        Self {
            rows,
            store,
            wait_ms,
            limits,
            stream_time: i64::MIN,
            order: BTreeMap::new(),
            bytes: 0,
            keys: ByteColumn::default(),
            slots: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes what is buffered by now, after a restart.
    pub fn restore(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let store = context.store::<CachedStore<S::Arena>>(self.store)?;
        self.stream_time = store.observed();
        let mut slots = Vec::new();
        store.range(&[], None, &mut slots)?;
        for slot in slots {
            self.enter(slot, store)?;
        }
        Ok(())
    }

    /// Buffers the rows of a batch, one by one, and returns what went on.
    pub fn buffer(
        &mut self,
        batch: Box<dyn Batch>,
        context: &mut Context<'_>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let input = downcast::<S::Input>(batch)?;
        self.keys.clear();
        self.rows.keys(&input, &mut self.keys)?;
        self.slots.clear();
        let store = context.store::<CachedStore<S::Arena>>(self.store)?;
        store.slots(self.keys.iter().map(Option::unwrap_or_default), &mut self.slots)?;
        let mut dropped = 0;
        for (row, timestamp) in input.timestamps().iter().enumerate() {
            if self.keys.get(row).is_none() {
                dropped += 1;
                continue;
            }
            self.stream_time = self.stream_time.max(*timestamp);
            store.observe(self.stream_time);
            let slot = self.slots[row];
            if store.exists(slot) {
                self.leave(slot, store);
            }
            store.put(slot, *timestamp);
            let time = self.rows.time(&input, row);
            self.rows.buffer(&input, row, time, slot, store.arena_mut())?;
            store.measure(&[slot]);
            self.enter(slot, store)?;
            self.let_go(store)?;
        }
        report(context, ReportKind::Incomplete, dropped, "a row of the table has no key");
        self.rows.take()
    }

    /// Raises stream time without rows, and returns what went on.
    pub fn raise(
        &mut self,
        stream_time: i64,
        context: &mut Context<'_>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        self.stream_time = self.stream_time.max(stream_time);
        let store = context.store::<CachedStore<S::Arena>>(self.store)?;
        store.observe(self.stream_time);
        self.let_go(store)?;
        self.rows.take()
    }

    /// Lets go what has waited long enough, and what is too much.
    fn let_go(&mut self, store: &mut CachedStore<S::Arena>) -> Result<(), StreamsError> {
        let expired = self.stream_time.saturating_sub(self.wait_ms);
        while self.order.first_key_value().is_some_and(|((time, _), _)| *time <= expired) {
            self.let_first_go(store)?;
        }
        while self.is_full() {
            if self.limits.when_full == WhenFull::ShutDown {
                return Err(StreamsError::Failed(format!(
                    "the buffer of suppressed changes is full: it has {} of {} records and {} of {} bytes; allow more, \
                     or let it emit early",
                    self.order.len(),
                    shown(self.limits.records),
                    self.bytes,
                    shown(self.limits.bytes),
                )));
            }
            self.let_first_go(store)?;
        }
        Ok(())
    }

    fn let_first_go(&mut self, store: &mut CachedStore<S::Arena>) -> Result<(), StreamsError> {
        let Some(((_, key), size)) = self.order.pop_first() else { return Ok(()) };
        self.bytes -= size;
        let slot = store.find(&key)?.ok_or_else(|| StreamsError::CorruptState {
            store: store.name().to_owned(),
            reason: "a change that waited is gone".to_owned(),
        })?;
        self.rows.write(store, slot)?;
        let timestamp = store.timestamp(slot);
        store.delete(slot, timestamp);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.limits.records.is_some_and(|most| self.order.len() > most)
            || self.limits.bytes.is_some_and(|most| self.bytes > most)
    }

    /// Counts the change in a slot among those that wait.
    fn enter(&mut self, slot: u32, store: &CachedStore<S::Arena>) -> Result<(), StreamsError> {
        let time = self.rows.buffered_time(store.arena(), slot);
        let mut size = 0;
        if self.limits.bytes.is_some() {
            self.scratch.clear();
            store.arena().save(slot, &mut self.scratch)?;
            size = store.key(slot).len() + self.scratch.len();
        }
        self.bytes += size;
        self.order.insert((time, store.key(slot).into()), size);
        Ok(())
    }

    fn leave(&mut self, slot: u32, store: &CachedStore<S::Arena>) {
        let time = self.rows.buffered_time(store.arena(), slot);
        if let Some(size) = self.order.remove(&(time, store.key(slot).into())) {
            self.bytes -= size;
        }
    }
}

fn shown(limit: Option<usize>) -> String {
    limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string())
}

impl<S: SuppressRows> Processor for SuppressProcessor<S> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.restore(context)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let output = self.buffer(batch, context)?;
        context.forward(output)
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let output = self.raise(stream_time, context)?;
        context.forward(output)
    }
}
