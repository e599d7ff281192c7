//! The DSL's decoded state: a Rust value per slot.

use std::cell::Cell;
use std::mem::needs_drop;

use millstream_log::Header;
use rustc_hash::FxHashMap;

use crate::error::StreamsError;
use crate::serde::DynSerde;
use crate::store::Arena;

/// Values by slot; a reset slot has none.
pub(crate) struct ValueArena<V> {
    pub(crate) values: Vec<Option<V>>,
    /// By slot: how long the value was when it was last read or written as bytes, or 0. It stands for what the
    /// value takes on the heap.
    lengths: Vec<Cell<u32>>,
    /// What slots take whose length is not known yet: the average of late.
    average: Cell<u32>,
    /// The headers of the last row of changed slots, where it had any.
    headers: FxHashMap<u32, Vec<Header>>,
    /// What changed slots had before, in the order of their first change since the last commit.
    pub(crate) before: Vec<Option<V>>,
    serde: DynSerde<V>,
}

impl<V: 'static> ValueArena<V> {
    pub(crate) fn new(serde: DynSerde<V>) -> Self {
        let (lengths, average) = (Vec::new(), Cell::new(0));
        let headers = FxHashMap::default();
        Self { values: Vec::new(), lengths, average, headers, before: Vec::new(), serde }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&V> {
        self.values.get(slot as usize).and_then(Option::as_ref)
    }

    /// What these positions in the list of changed slots had before.
    pub(crate) fn before_at(&self, changed: &[usize]) -> Vec<Option<V>>
    where
        V: Clone,
    {
        changed.iter().map(|position| self.before[*position].clone()).collect()
    }

    /// The row that changed a slot had these headers; they go with the change when it is forwarded at the commit.
    pub(crate) fn note_headers(&mut self, slot: u32, headers: &[Header]) {
        if !headers.is_empty() {
            self.headers.insert(slot, headers.to_vec());
        } else if !self.headers.is_empty() {
            self.headers.remove(&slot);
        }
    }

    /// The headers of the last row of each of these slots; nothing at all if no row had any.
    pub(crate) fn headers_of(&self, slots: &[u32]) -> Vec<Vec<Header>> {
        if self.headers.is_empty() {
            return Vec::new();
        }
        slots.iter().map(|slot| self.headers.get(slot).cloned().unwrap_or_default()).collect()
    }

    fn note_length(&self, slot: u32, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.lengths[slot as usize].set(length);
        let average = i64::from(self.average.get());
        let moved = average + (i64::from(length) - average + 15) / 16;
        self.average.set(u32::try_from(moved).unwrap_or(0));
    }

    /// The value that [`Arena::save`] wrote.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<V, StreamsError> {
        self.serde.deserialize(bytes).map_err(|error| StreamsError::Serde(error.to_string()))
    }
}

impl<V: Clone + Send + Sync + 'static> Arena for ValueArena<V> {
    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, || None);
        self.lengths.resize_with(slots, Cell::default);
    }

    fn reset(&mut self, slot: u32) {
        self.values[slot as usize] = None;
        self.lengths[slot as usize].set(0);
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.values[slot as usize] = Some(self.decode(bytes)?);
        self.note_length(slot, bytes.len());
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        let Some(value) = &self.values[slot as usize] else { return Ok(()) };
        let start = out.len();
        self.serde.serialize(value, out).map_err(|error| StreamsError::Serde(error.to_string()))?;
        self.note_length(slot, out.len() - start);
        Ok(())
    }

    fn size(&self, slot: u32) -> usize {
        let on_heap = match (&self.values[slot as usize], self.lengths[slot as usize].get()) {
            (Some(_), 0) if needs_drop::<V>() => self.average.get(),
            (Some(_), length) if needs_drop::<V>() => length,
            _ => 0,
        };
        size_of::<Option<V>>() + on_heap as usize
    }

    fn copy(&mut self, from: u32, to: u32) -> Result<(), StreamsError> {
        self.values[to as usize] = self.values[from as usize].clone();
        self.lengths[to as usize].set(self.lengths[from as usize].get());
        Ok(())
    }

    fn remember(&mut self, slot: u32) {
        self.before.push(self.values[slot as usize].clone());
    }

    fn forget(&mut self) {
        self.before.clear();
        self.headers.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serde::{Int64, Utf8};

    #[test]
    fn values_weigh_what_their_bytes_do() {
        let mut texts = ValueArena::<String>::new(Arc::new(Utf8));
        texts.resize(3);
        let inline = size_of::<Option<String>>();
        assert_eq!(texts.size(0), inline);
        texts.load(0, &[b'a'; 1000]).unwrap();
        assert_eq!(texts.size(0), inline + 1000);
        // Not written yet: like the others.
        texts.values[1] = Some("b".repeat(5000));
        assert_eq!(texts.size(1), inline + 63);
        texts.save(1, &mut Vec::new()).unwrap();
        assert_eq!(texts.size(1), inline + 5000);
        texts.reset(1);
        assert_eq!(texts.size(1), inline);
        let mut numbers = ValueArena::<i64>::new(Arc::new(Int64));
        numbers.resize(1);
        numbers.load(0, &[0; 8]).unwrap();
        assert_eq!(numbers.size(0), size_of::<Option<i64>>(), "it has nothing on the heap");
    }
}
