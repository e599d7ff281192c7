//! Tables of typed rows, and the join of a stream with one.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::fold::{deserialize_keys, serialize_keys};
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::operator::join::TableJoiner;
use crate::operator::table::TableRows;
use crate::serde::DynSerde;
use crate::store::CachedStore;

/// Typed rows of a table.
pub(crate) struct TypedRows<K, V> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) of: PhantomData<fn(V)>,
}

impl<K, V> TableRows for TypedRows<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Arena = ValueArena<V>;
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.keys, keys)
    }

    fn has_value(&self, input: &Self::Input, row: usize) -> bool {
        input.values[row].is_some()
    }

    fn write(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError> {
        for (row, slot) in rows.iter().zip(slots) {
            arena.values[*slot as usize].clone_from(&input.values[*row as usize]);
        }
        Ok(())
    }

    fn select(&mut self, mut input: Box<Self::Input>, _rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError> {
        // The rows that take part are those with a key.
        input.retain(|key, _| key.is_some());
        Ok(input)
    }

    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let bytes: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.key(*slot))).collect();
        Ok(Box::new(Records {
            keys: deserialize_keys(&self.keys, &bytes)?,
            values: slots.iter().map(|slot| store.arena().get(*slot).cloned()).collect(),
            timestamps: slots.iter().map(|slot| store.timestamp(*slot)).collect(),
            headers: Vec::new(),
        }))
    }
}

/// Joins stream rows with table rows by `joiner`; a result of none drops the row.
pub(crate) struct Lookup<K, V, T, F> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) joiner: Arc<F>,
    pub(crate) of: PhantomData<fn(V, T)>,
}

impl<K, V, T, O, F> TableJoiner for Lookup<K, V, T, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    F: Fn(&V, Option<&T>) -> Option<O> + Send + Sync + 'static,
{
    type Arena = ValueArena<T>;
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.keys, keys)
    }

    fn join(
        &mut self,
        input: Box<Self::Input>,
        slots: &[u32],
        store: &CachedStore<Self::Arena>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let arena = store.arena();
        let joined = input.values.iter().zip(slots).map(|(value, slot)| {
            // An absent slot is beyond every arena, so it finds nothing.
            value.as_ref().and_then(|value| (self.joiner)(value, arena.get(*slot)))
        });
        let joined: Vec<Option<O>> = joined.collect();
        let mut input = *input;
        let keys = std::mem::take(&mut input.keys);
        let mut output: Records<K, O> = input.with(keys, joined);
        output.retain(|_, value| value.is_some());
        Ok(Some(Box::new(output)))
    }
}
