//! Joins of two tables on the same key: a change on either side looks up the other.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::dsl::arena::ValueArena;
use crate::dsl::builder::supplier;
use crate::dsl::changes::Changes;
use crate::dsl::fold::serialize_keys;
use crate::dsl::records::Records;
use crate::dsl::table::KTable;
use crate::dsl::table_rows::{Compute, add_table};
use crate::error::StreamsError;
use crate::operator::join::{JoinProcessor, MissingKey, TableJoiner};
use crate::serde::{DefaultSerde, DynSerde};
use crate::store::{CachedStore, NO_SLOT};

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// The table of the keys that both tables have. The topics must have equal numbers of partitions.
    pub fn join<T, O>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, &T) -> O + Send + Sync + 'static,
    ) -> KTable<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let sides = Sides { left_needed: true, right_needed: true };
        pair(self, other, sides, move |left, right| Some(joiner(left?, right?)))
    }

    /// The table of this table's keys, with none where the other one has no value.
    pub fn left_join<T, O>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, Option<&T>) -> O + Send + Sync + 'static,
    ) -> KTable<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let sides = Sides { left_needed: true, right_needed: false };
        pair(self, other, sides, move |left, right| Some(joiner(left?, right)))
    }

    /// The table of the keys that one of the tables has, with none where the other one has no value.
    pub fn outer_join<T, O>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(Option<&V>, Option<&T>) -> O + Send + Sync + 'static,
    ) -> KTable<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let sides = Sides { left_needed: false, right_needed: false };
        pair(self, other, sides, move |left, right| {
            (left.is_some() || right.is_some()).then(|| joiner(left, right))
        })
    }
}

/// Without which values there is no result.
#[derive(Clone, Copy)]
struct Sides {
    left_needed: bool,
    right_needed: bool,
}

fn pair<K, L, R, O>(
    left: &KTable<K, L>,
    right: &KTable<K, R>,
    sides: Sides,
    joiner: impl Fn(Option<&L>, Option<&R>) -> Option<O> + Send + Sync + 'static,
) -> KTable<K, O>
where
    K: Clone + Send + Sync + 'static,
    L: DefaultSerde,
    R: DefaultSerde,
    O: Clone + Send + Sync + 'static,
{
    let graph = &left.graph;
    let (left_store, right_store) = (left.stored(), right.stored());
    // Whether there was a result before decides whether its end is told; and a change that waits to be forwarded
    // must not show on the other side before.
    left.send_old();
    right.send_old();
    let given = graph.given_name();
    let node = |suffix: &str, prefix: &str| {
        let generated = graph.name(prefix);
        given.as_ref().map_or(generated, |name| format!("{name}{suffix}"))
    };
    let merge = node("", "KTABLE-MERGE-");
    let (this, other) = (node("-join-this", "KTABLE-JOINTHIS-"), node("-join-other", "KTABLE-JOINOTHER-"));
    let compute: Compute<K, O> = Arc::new(|batch, _| Ok(*downcast::<Changes<K, O>>(batch)?));
    let result = add_table(graph, &[&this, &other], (left.keys.clone(), None), None, merge, compute);
    let joiner = Arc::new(joiner);
    let (keys, state, of_left) = (left.keys.clone(), Arc::clone(&result.state), Arc::clone(&joiner));
    graph.processor(
        &this,
        &[&left.node],
        &[right_store],
        supplier(move || {
            let joiner = Arc::clone(&of_left);
            let lookup = PairLookup {
                keys: keys.clone(),
                joiner: move |own: Option<&L>, other: Option<&R>| joiner(own, other),
                other_needed: sides.right_needed,
                sends_old: state.computes_old(),
                of: PhantomData,
            };
            JoinProcessor::new(lookup, right_store, MissingKey::Drop)
        }),
    );
    let (keys, state) = (right.keys.clone(), Arc::clone(&result.state));
    graph.processor(
        &other,
        &[&right.node],
        &[left_store],
        supplier(move || {
            let joiner = Arc::clone(&joiner);
            let lookup = PairLookup {
                keys: keys.clone(),
                joiner: move |own: Option<&R>, other: Option<&L>| joiner(other, own),
                other_needed: sides.left_needed,
                sends_old: state.computes_old(),
                of: PhantomData,
            };
            JoinProcessor::new(lookup, left_store, MissingKey::Drop)
        }),
    );
    graph.with(|topology| {
        topology.copartition(&[&left.node, &right.node]);
    });
    result
}

/// The value and the time of a row as far as it was forwarded.
fn found<T: Clone + Send + Sync + 'static>(
    store: &CachedStore<ValueArena<T>>,
    slot: u32,
) -> (Option<&T>, i64) {
    if slot == NO_SLOT {
        return (None, i64::MIN);
    }
    match store.pending(slot) {
        Some(position) => (store.arena().before[position].as_ref(), store.timestamp_before(position)),
        None => (store.arena().get(slot), store.timestamp(slot)),
    }
}

/// Joins changes of one table with the rows of another one.
struct PairLookup<K, V, T, O, F> {
    keys: DynSerde<K>,
    joiner: F,
    /// Without the other row nothing comes of a change.
    other_needed: bool,
    sends_old: bool,
    of: PhantomData<fn(V, T) -> O>,
}

impl<K, V, T, O, F> TableJoiner for PairLookup<K, V, T, O, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    F: Fn(Option<&V>, Option<&T>) -> Option<O> + Send + 'static,
{
    type Arena = ValueArena<T>;
    type Input = Changes<K, V>;

    fn as_forwarded(&self) -> bool {
        true
    }

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.rows.keys, keys)
    }

    fn join(
        &mut self,
        input: Box<Self::Input>,
        slots: &[u32],
        store: &CachedStore<Self::Arena>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let mut rows = Records::with_capacity(slots.len());
        let mut olds = self.sends_old.then(Vec::new);
        for (row, slot) in slots.iter().enumerate() {
            let (other, other_time) = found(store, *slot);
            let (new, old) = (input.rows.values[row].as_ref(), input.old_of(row));
            if other.is_none() && (self.other_needed || new.is_none() && old.is_none()) {
                continue;
            }
            let time = input.rows.timestamps[row];
            let time = other.map_or(time, |_| time.max(other_time));
            let headers = input.rows.headers_of(row).to_vec();
            rows.push(input.rows.keys[row].clone(), (self.joiner)(new, other), time, headers);
            if let Some(olds) = &mut olds {
                olds.push((self.joiner)(old, other));
            }
        }
        Ok(Some(Box::new(Changes { rows, old: olds })))
    }
}
