//! Aggregation of typed rows: what `count`, `reduce` and `aggregate` have in common.

use std::marker::PhantomData;
use std::ops::Range;

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

/// Rows that can be folded: those of a stream, or changes of a table.
pub(crate) trait FoldRows<K>: Batch {
    fn keys(&self) -> &[Option<K>];
    /// Whether the row has something to fold.
    fn has_value(&self, row: usize) -> bool;
    fn headers_of(&self, row: usize) -> &[Header];
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> FoldRows<K> for Records<K, V> {
    fn keys(&self) -> &[Option<K>] {
        &self.keys
    }

    fn has_value(&self, row: usize) -> bool {
        self.values[row].is_some()
    }

    fn headers_of(&self, row: usize) -> &[Header] {
        self.headers_of(row)
    }
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> FoldRows<K> for Changes<K, V> {
    fn keys(&self) -> &[Option<K>] {
        &self.rows.keys
    }

    fn has_value(&self, row: usize) -> bool {
        self.rows.values[row].is_some() || self.old_of(row).is_some()
    }

    fn headers_of(&self, row: usize) -> &[Header] {
        self.rows.headers_of(row)
    }
}

/// Folds rows into state `A` with `step`, and names results with keys that `output_key` makes of the key and the
/// window start (0 without windows).
pub(crate) struct Fold<K, I, A, F, M> {
    pub(crate) keys: DynSerde<K>,
    /// Makes the next state of a key from a row; none deletes it.
    pub(crate) step: F,
    pub(crate) output_key: M,
    pub(crate) rules: FoldRules,
    pub(crate) of: PhantomData<fn(I) -> A>,
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

impl<K, I, A, KO, F, M> Aggregator for Fold<K, I, A, F, M>
where
    K: Clone + Send + Sync + 'static,
    I: FoldRows<K>,
    A: Clone + Send + Sync + 'static,
    KO: Clone + Send + 'static,
    F: Fn(&K, &I, usize, Option<A>) -> Option<A> + Send + 'static,
    M: Fn(K, i64) -> KO + Send + 'static,
{
    type Arena = ValueArena<A>;
    type Input = I;

    fn sends_old(&self) -> bool {
        self.rules.sends_old
    }

    fn may_delete(&self) -> bool {
        self.rules.may_delete
    }

    fn has_state(&self, arena: &Self::Arena, slot: u32) -> bool {
        arena.get(slot).is_some()
    }

    fn keys(&mut self, input: &I, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        if self.rules.needs_value {
            keys_of_values(&self.keys, input, keys)
        } else {
            serialize_keys(&self.keys, input.keys(), keys)
        }
    }

    fn update(
        &mut self,
        input: &I,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError> {
        for (row, slot) in rows.iter().zip(slots) {
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
            let key = pairs.input.keys()[row].clone().map(|key| (self.output_key)(key, start));
            output.push(key, state.clone(), pairs.times[index], pairs.input.headers_of(row).to_vec());
        }
        Ok(Box::new(Changes { rows: output, old }))
    }

    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
        changed: Option<Range<usize>>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let mut starts = Vec::with_capacity(slots.len());
        let split = |slot: &u32| match store.kind() {
            StoreKind::KeyValue | StoreKind::StreamRows { .. } => {
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
            headers: Vec::new(),
        };
        let old = self.rules.sends_old.then(|| match changed {
            Some(changed) => store.arena().before[changed].to_vec(),
            None => vec![None; slots.len()],
        });
        Ok(Box::new(Changes { rows, old }))
    }
}

impl<K, I, A, F, M> Fold<K, I, A, F, M>
where
    I: FoldRows<K>,
    F: Fn(&K, &I, usize, Option<A>) -> Option<A>,
{
    fn fold(&self, input: &I, row: usize, state: &mut Option<A>) {
        if let Some(key) = &input.keys()[row] {
            *state = (self.step)(key, input, row, state.take());
        }
    }
}

/// Appends the bytes of the keys of rows that have a value; the others are absent.
pub(crate) fn keys_of_values<K: Clone + 'static, I: FoldRows<K>>(
    serde: &DynSerde<K>,
    input: &I,
    out: &mut ByteColumn,
) -> Result<(), StreamsError> {
    if (0..input.rows()).all(|row| input.has_value(row)) {
        return serialize_keys(serde, input.keys(), out);
    }
    let rows = input.keys().iter().enumerate();
    let chosen: Vec<Option<K>> =
        rows.map(|(row, key)| key.clone().filter(|_| input.has_value(row))).collect();
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
