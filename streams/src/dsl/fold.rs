//! Aggregation of typed rows: what `count`, `reduce` and `aggregate` have in common.

use std::marker::PhantomData;

use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::changes::Changes;
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::operator::aggregate::{Aggregator, Running};
use crate::serde::{DynSerde, SerdeError};
use crate::store::{CachedStore, StoreKind};

/// Folds rows into state `A` with `step`, and names results with keys that `output_key` makes of the key and the
/// window start (0 without windows).
pub(crate) struct Fold<K, V, A, F, M> {
    pub(crate) keys: DynSerde<K>,
    /// Makes the next state of a key from a row; none deletes it.
    pub(crate) step: F,
    pub(crate) output_key: M,
    pub(crate) rules: FoldRules,
    /// Of the row because of which new results come.
    pub(crate) headers: Vec<Header>,
    pub(crate) of: PhantomData<fn(V) -> A>,
}

#[derive(Clone, Copy)]
pub(crate) struct FoldRules {
    /// Rows without value are dropped; if not, `step` gets them.
    pub(crate) needs_value: bool,
    /// The step can return none.
    pub(crate) may_delete: bool,
    /// Results carry the state before.
    pub(crate) sends_old: bool,
}

impl<K, V, A, KO, F, M> Aggregator for Fold<K, V, A, F, M>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
    KO: Clone + Send + 'static,
    F: Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + 'static,
    M: Fn(K, i64) -> KO + Send + 'static,
{
    type Arena = ValueArena<A>;
    type Input = Records<K, V>;

    fn sends_old(&self) -> bool {
        self.rules.sends_old
    }

    fn may_delete(&self) -> bool {
        self.rules.may_delete
    }

    fn has_state(&self, arena: &Self::Arena, slot: u32) -> bool {
        arena.get(slot).is_some()
    }

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        if self.rules.needs_value {
            keys_of_values(&self.keys, input, keys)
        } else {
            serialize_keys(&self.keys, &input.keys, keys)
        }
    }

    fn update(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError> {
        for (row, slot) in rows.iter().zip(slots) {
            arena.note_headers(*slot, input.headers_of(*row as usize));
            self.fold(input, *row as usize, &mut arena.values[*slot as usize]);
        }
        Ok(())
    }

    fn update_running(&mut self, pairs: Running<'_, Self>) -> Result<Box<dyn Batch>, StreamsError> {
        let mut output = Records::with_capacity(pairs.rows.len());
        let mut old = self.rules.sends_old.then(|| Vec::with_capacity(pairs.rows.len()));
        for (index, (row, slot)) in pairs.rows.iter().zip(pairs.slots).enumerate() {
            let row = *row as usize;
            let state = &mut pairs.arena.values[*slot as usize];
            if let Some(old) = &mut old {
                old.push(state.clone());
            }
            self.fold(pairs.input, row, state);
            let start = pairs.starts.get(index).copied().unwrap_or(0);
            let key = pairs.input.keys[row].clone().map(|key| (self.output_key)(key, start));
            output.push(key, state.clone(), pairs.times[index], pairs.input.headers_of(row).to_vec());
        }
        Ok(Box::new(Changes { rows: output, old }))
    }

    fn has_headers(&self, input: &Self::Input) -> bool {
        !input.headers.is_empty()
    }

    fn comes_with(&mut self, cause: Option<(&Self::Input, usize)>) {
        self.headers.clear();
        self.headers.extend_from_slice(cause.map_or(&[][..], |(input, row)| input.headers_of(row)));
    }

    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
        changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let mut starts = Vec::with_capacity(slots.len());
        let split = |slot: &u32| match store.kind() {
            StoreKind::KeyValue | StoreKind::StreamRows { .. } | StoreKind::Versioned { .. } => {
                starts.push(0);
                Some(store.key(*slot))
            }
            StoreKind::Window { .. } | StoreKind::Session { .. } => {
                let (key, start) = store.windowed_key(*slot);
                starts.push(start);
                Some(key)
            }
        };
        let bytes: Vec<Option<&[u8]>> = slots.iter().map(split).collect();
        let keys = deserialize_keys(&self.keys, &bytes)?;
        let keys =
            keys.into_iter().zip(starts).map(|(key, start)| key.map(|key| (self.output_key)(key, start)));
        let rows = Records {
            keys: keys.collect(),
            values: slots.iter().map(|slot| store.arena().get(*slot).cloned()).collect(),
            timestamps: slots.iter().map(|slot| store.timestamp(*slot)).collect(),
            headers: match changed {
                Some(_) => store.arena().headers_of(slots),
                None if self.headers.is_empty() => Vec::new(),
                None => vec![self.headers.clone(); slots.len()],
            },
        };
        let old = self.rules.sends_old.then(|| match changed {
            Some(changed) => store.arena().before_at(changed),
            None => vec![None; slots.len()],
        });
        Ok(Box::new(Changes { rows, old }))
    }
}

impl<K, V, A, F, M> Fold<K, V, A, F, M>
where
    F: Fn(&K, Option<&V>, Option<A>) -> Option<A>,
{
    fn fold(&self, input: &Records<K, V>, row: usize, state: &mut Option<A>) {
        if let Some(key) = &input.keys[row] {
            *state = (self.step)(key, input.values[row].as_ref(), state.take());
        }
    }
}

/// Appends the bytes of the keys of rows that have a value; the others are absent.
pub(crate) fn keys_of_values<K: Clone + 'static, V>(
    serde: &DynSerde<K>,
    input: &Records<K, V>,
    out: &mut ByteColumn,
) -> Result<(), StreamsError> {
    if input.values.iter().all(Option::is_some) {
        return serialize_keys(serde, &input.keys, out);
    }
    let with_value = input.keys.iter().zip(&input.values);
    let chosen: Vec<Option<K>> =
        with_value.map(|(key, value)| key.clone().filter(|_| value.is_some())).collect();
    serialize_keys(serde, &chosen, out)
}

/// Appends the bytes of keys; a key that has none stops the task, as it could not be found again.
pub(crate) fn serialize_keys<K: 'static>(
    serde: &DynSerde<K>,
    keys: &[Option<K>],
    out: &mut ByteColumn,
) -> Result<(), StreamsError> {
    let mut failed = Vec::new();
    serde.serialize_column(keys, out, &mut failed);
    first_failure("key", failed)
}

/// The keys that a store's key bytes stand for.
pub(crate) fn deserialize_keys<K: 'static>(
    serde: &DynSerde<K>,
    bytes: &[Option<&[u8]>],
) -> Result<Vec<Option<K>>, StreamsError> {
    let (mut keys, mut failed) = (Vec::with_capacity(bytes.len()), Vec::new());
    serde.deserialize_column(bytes, &mut keys, &mut failed);
    first_failure("stored key", failed)?;
    Ok(keys)
}

pub(crate) fn first_failure(what: &str, failed: Vec<(usize, SerdeError)>) -> Result<(), StreamsError> {
    match failed.into_iter().next() {
        None => Ok(()),
        Some((_, error)) => Err(StreamsError::Serde(format!("{what}: {error}"))),
    }
}
