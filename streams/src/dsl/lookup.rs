//! The join of a stream with a table.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::fold::serialize_keys;
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::operator::join::TableJoiner;
use crate::operator::versioned::VersionedJoiner;
use crate::serde::DynSerde;
use crate::store::CachedStore;

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
    F: Fn(Option<&K>, &V, Option<&T>) -> Option<O> + Send + Sync + 'static,
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
        self.join_versions(input, slots, store.arena())
    }
}

impl<K, V, T, O, F> VersionedJoiner for Lookup<K, V, T, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    F: Fn(Option<&K>, &V, Option<&T>) -> Option<O> + Send + Sync + 'static,
{
    fn join_versions(
        &mut self,
        input: Box<Self::Input>,
        slots: &[u32],
        arena: &Self::Arena,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let pairs = input.keys.iter().zip(&input.values).zip(slots);
        let joined = pairs.map(|((key, value), slot)| {
            // An absent slot is beyond every arena, so it finds nothing.
            value.as_ref().and_then(|value| (self.joiner)(key.as_ref(), value, arena.get(*slot)))
        });
        let joined: Vec<Option<O>> = joined.collect();
        let mut input = *input;
        let keys = std::mem::take(&mut input.keys);
        let mut output: Records<K, O> = input.with(keys, joined);
        output.retain(|_, value| value.is_some());
        Ok(Some(Box::new(output)))
    }
}
