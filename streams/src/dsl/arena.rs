//! The DSL's decoded state: a Rust value per slot.

use crate::error::StreamsError;
use crate::serde::DynSerde;
use crate::store::Arena;

/// Values by slot; a reset slot has none.
pub(crate) struct ValueArena<V> {
    pub(crate) values: Vec<Option<V>>,
    /// What changed slots had before, in the order of their first change since the last commit.
    pub(crate) before: Vec<Option<V>>,
    serde: DynSerde<V>,
}

impl<V: 'static> ValueArena<V> {
    pub(crate) fn new(serde: DynSerde<V>) -> Self {
        Self { values: Vec::new(), before: Vec::new(), serde }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&V> {
        self.values.get(slot as usize).and_then(Option::as_ref)
    }

    /// The value that [`Arena::save`] wrote.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<V, StreamsError> {
        self.serde.deserialize(bytes).map_err(|error| StreamsError::Serde(error.to_string()))
    }
}

impl<V: Clone + Send + Sync + 'static> Arena for ValueArena<V> {
    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, || None);
    }

    fn reset(&mut self, slot: u32) {
        self.values[slot as usize] = None;
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.values[slot as usize] = Some(self.decode(bytes)?);
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        match &self.values[slot as usize] {
            Some(value) => {
                self.serde.serialize(value, out).map_err(|error| StreamsError::Serde(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// The value itself; what it points to on the heap is not known.
    fn size(&self, _slot: u32) -> usize {
        size_of::<Option<V>>()
    }

    fn copy(&mut self, from: u32, to: u32) -> Result<(), StreamsError> {
        self.values[to as usize] = self.values[from as usize].clone();
        Ok(())
    }

    fn remember(&mut self, slot: u32) {
        self.before.push(self.values[slot as usize].clone());
    }

    fn forget(&mut self) {
        self.before.clear();
    }
}
