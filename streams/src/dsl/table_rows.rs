//! The node of a table: rows that are computed from another node's, and kept in a store if somebody needs that.

use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::dsl::arena::ValueArena;
use crate::dsl::builder::Graph;
use crate::dsl::changes::Changes;
use crate::dsl::fold::{deserialize_keys, serialize_keys};
use crate::dsl::params::Materialized;
use crate::dsl::records::Records;
use crate::dsl::table::KTable;
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::operator::table::{TableProcessor, TableRows};
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::serde::DynSerde;
use crate::store::{CachedStore, StoreHandle, StoreSpec};

/// What is settled about a table's node while the topology is built, and read when its tasks are made.
#[derive(Default)]
pub(crate) struct TableState {
    sends_old: AtomicBool,
    store: OnceLock<StoreHandle>,
    /// The name of the store, should there be one.
    store_name: Option<String>,
}

impl TableState {
    /// Of a node that writes a store of its own.
    pub(crate) fn stored(store: StoreHandle) -> Arc<Self> {
        Arc::new(Self { store: OnceLock::from(store), ..Self::default() })
    }

    /// Whether somebody below asked for old values.
    pub(crate) fn sends_old(&self) -> bool {
        self.sends_old.load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self) -> Option<StoreHandle> {
        self.store.get().copied()
    }

    /// Whether old values are wanted and no store of its own has them.
    pub(crate) fn computes_old(&self) -> bool {
        self.sends_old() && self.store().is_none()
    }

    pub(crate) fn send_old(&self) {
        self.sends_old.store(true, Ordering::Relaxed);
    }

    /// Gives the node a store, unless it has one: of this name, or of the one that was settled before, or of a
    /// generated one.
    pub(crate) fn keep<K, V>(
        &self,
        graph: &Graph,
        node: &str,
        materialized: &Materialized<V>,
        keys: &DynSerde<K>,
    ) -> StoreHandle
    where
        K: 'static,
        V: Clone + Send + Sync + 'static,
    {
        *self.store.get_or_init(|| {
            let name = materialized.name.as_ref().or(self.store_name.as_ref()).cloned();
            let name = name.unwrap_or_else(|| graph.name("KTABLE-MATERIALIZE-STATE-STORE-"));
            let values = materialized.values.clone();
            let spec = StoreSpec::key_value(&name, move || ValueArena::new(Arc::clone(&values)));
            let store = graph.store(materialized.apply(spec, keys));
            graph.with(|topology| {
                topology.connect(node, store);
            });
            store
        })
    }
}

/// Makes changes of a table from a batch of its parent; the flag says whether old values are wanted, too.
pub(crate) type Compute<K, V> =
    Arc<dyn Fn(Box<dyn Batch>, bool) -> Result<Changes<K, V>, StreamsError> + Send + Sync>;

/// Adds a table's node that keeps nothing yet, see [`TableState::keep`].
pub(crate) fn add_table<K, V>(
    graph: &Graph,
    parents: &[&str],
    (keys, values): (DynSerde<K>, Option<DynSerde<V>>),
    store_name: Option<String>,
    node: String,
    compute: Compute<K, V>,
) -> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let state = Arc::new(TableState { store_name, ..TableState::default() });
    let (of_node, row_keys) = (Arc::clone(&state), keys.clone());
    let supplier = move || -> Box<dyn Processor> {
        let (compute, sends_old) = (Arc::clone(&compute), of_node.sends_old());
        match of_node.store() {
            None => Box::new(Computed { compute, sends_old }),
            Some(store) => {
                let keys = Arc::clone(&row_keys);
                Box::new(TableProcessor::new(TypedRows { keys, compute, sends_old, old: Vec::new() }, store))
            }
        }
    };
    graph.processor(&node, parents, &[], Arc::new(supplier));
    KTable { graph: graph.clone(), node, keys, values, state, ask_old: Rc::new(|| ()) }
}

/// What a table's node does with changes that are made elsewhere: it keeps them if that was asked for, and passes
/// them on.
pub(crate) fn changes_node<K, V>(keys: &DynSerde<K>, state: &TableState) -> Box<dyn Processor>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let sends_old = state.sends_old();
    match state.store() {
        Some(store) => Box::new(pass_on::<K, V>(keys.clone(), sends_old, store)),
        None => {
            let compute: Compute<K, V> = Arc::new(|batch, _| Ok(*downcast::<Changes<K, V>>(batch)?));
            Box::new(Computed { compute, sends_old })
        }
    }
}

/// Keeps changes as they come and passes them on.
pub(crate) fn pass_on<K, V>(
    keys: DynSerde<K>,
    sends_old: bool,
    store: StoreHandle,
) -> impl Processor + use<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let compute: Compute<K, V> = Arc::new(|batch, _| Ok(*downcast::<Changes<K, V>>(batch)?));
    TableProcessor::new(TypedRows { keys, compute, sends_old, old: Vec::new() }, store)
}

/// A table that is computed row by row and kept nowhere.
struct Computed<K, V> {
    compute: Compute<K, V>,
    sends_old: bool,
}

impl<K, V> Processor for Computed<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut changes = (self.compute)(batch, self.sends_old)?;
        let keyed: Vec<bool> = changes.rows.keys.iter().map(Option::is_some).collect();
        let dropped = keyed.iter().filter(|keyed| !**keyed).count();
        if dropped > 0 {
            changes.retain(&keyed);
        }
        report(context, ReportKind::Incomplete, dropped, "a row of the table has no key");
        context.forward(Box::new(changes))
    }
}

/// A table that is kept.
struct TypedRows<K, V> {
    keys: DynSerde<K>,
    compute: Compute<K, V>,
    sends_old: bool,
    old: Vec<Option<V>>,
}

impl<K, V> TableRows for TypedRows<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Arena = ValueArena<V>;
    type Input = Records<K, V>;

    fn receive(&mut self, batch: Box<dyn Batch>) -> Result<Box<Self::Input>, StreamsError> {
        Ok(Box::new((self.compute)(batch, false)?.rows))
    }

    fn sends_old(&self) -> bool {
        self.sends_old
    }

    fn remember(&mut self, slot: u32, arena: &Self::Arena) {
        self.old.push(arena.get(slot).cloned());
    }

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
            arena.note_headers(*slot, input.headers_of(*row as usize));
        }
        Ok(())
    }

    fn select(&mut self, mut input: Box<Self::Input>, _rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError> {
        // The rows that take part are those with a key.
        input.retain(|key, _| key.is_some());
        let old = self.sends_old.then(|| std::mem::take(&mut self.old));
        Ok(Box::new(Changes { rows: *input, old }))
    }

    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        changed: Range<usize>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let slots = &store.dirty()[changed.clone()];
        let bytes: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.key(*slot))).collect();
        let rows = Records {
            keys: deserialize_keys(&self.keys, &bytes)?,
            values: slots.iter().map(|slot| store.arena().get(*slot).cloned()).collect(),
            timestamps: slots.iter().map(|slot| store.timestamp(*slot)).collect(),
            headers: store.arena().headers_of(slots),
        };
        let old = self.sends_old.then(|| store.arena().before[changed].to_vec());
        Ok(Box::new(Changes { rows, old }))
    }
}
