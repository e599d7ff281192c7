//! Several grouped streams that aggregate into one value per key.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::builder::{Graph, supplier};
use crate::dsl::changes::Changes;
use crate::dsl::fold::{Fold, FoldRules};
use crate::dsl::grouped::{
    KGroupedStream, PlannedWindows, aggregate_step, fold_processor, fold_store, may_delete,
};
use crate::dsl::params::Materialized;
use crate::dsl::records::Records;
use crate::dsl::session_fold::SessionFold;
use crate::dsl::stream::PassThrough;
use crate::dsl::table::KTable;
use crate::dsl::table_rows::TableState;
use crate::dsl::windowed::session_store;
use crate::operator::EmitStrategy;
use crate::operator::session::{SessionProcessor, SessionWindows};
use crate::operator::sliding::SlidingWindows;
use crate::operator::window::{TimeWindows, UnlimitedWindows};
use crate::processor::Processor;
use crate::serde::{DynSerde, SessionWindowed, TimeWindowed, Windowed};
use crate::store::StoreHandle;
use crate::topology::ProcessorSupplier;

const AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";
const MERGE: &str = "COGROUPKSTREAM-MERGE-";

/// Grouped streams, each with its own way into an aggregate that they share. The topics of all of them must have equal
/// numbers of partitions.
pub struct CogroupedKStream<K, A> {
    graph: Graph,
    keys: DynSerde<K>,
    inputs: Vec<Box<dyn Input<K, A>>>,
}

impl<K, V> KGroupedStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Begins an aggregation of several grouped streams; `step` takes a value of this one in. A step that returns an
    /// [`Option`] deletes the aggregate with none.
    pub fn cogroup<A, R>(
        self,
        step: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A>
    where
        A: Clone + Send + Sync + 'static,
        R: Into<Option<A>> + 'static,
    {
        let (graph, keys) = (self.graph.clone(), self.grouped.keys.clone());
        CogroupedKStream { graph, keys, inputs: Vec::new() }.cogroup(self, step)
    }
}

impl<K, A> CogroupedKStream<K, A>
where
    K: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// Adds a stream grouped by the same key.
    #[must_use]
    pub fn cogroup<V, R>(
        mut self,
        grouped: KGroupedStream<K, V>,
        step: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
    ) -> Self
    where
        V: Clone + Send + Sync + 'static,
        R: Into<Option<A>> + 'static,
    {
        let step = Arc::new(move |key: &K, value: &V, state: A| step(key, value, state).into());
        self.inputs.push(Box::new(TypedInput { grouped, step, may_delete: may_delete::<A, R>() }));
        self
    }

    /// Names the nodes of the aggregation; its store is named by [`Materialized`].
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { graph: self.graph.named(name), ..self }
    }

    /// Aggregates per key and window; see [`CogroupedBy`] for the kinds of windows.
    pub fn windowed_by<W: CogroupedBy<K, A>>(self, windows: W) -> W::Stream {
        windows.window(self)
    }

    /// Folds the values of all streams into an aggregate per key that begins with `init`.
    pub fn aggregate(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let name = self.store_name(&materialized);
        let store = fold_store(&self.graph, &name, PlannedWindows::None, &materialized, &self.keys);
        let keys = self.keys.clone();
        self.add(init, store, &name, materialized, keys, |input, shared| input.plain(shared))
    }

    fn fold_windows(
        self,
        windows: PlannedWindows,
        init: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let name = self.store_name(&materialized);
        let store = fold_store(&self.graph, &name, windows, &materialized, &self.keys);
        let keys: DynSerde<Windowed<K>> = Arc::new(TimeWindowed::new(self.keys.clone(), windows.size_ms()));
        let graph = self.graph.clone();
        let table = self.add(init, store, &name, materialized, keys, move |input, shared| {
            input.windowed(shared, windows)
        });
        if let Some(grace) = windows.grace_ms() {
            graph.set_grace(&table.node, grace);
        }
        table
    }

    fn store_name(&self, materialized: &Materialized<A>) -> String {
        let generate = || self.graph.name(&format!("{AGGREGATE}STATE-STORE-"));
        materialized.name.clone().unwrap_or_else(generate)
    }

    /// Adds a processor per stream, all on one store, and below them the node that the table comes from.
    fn add<KO>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        store: StoreHandle,
        store_name: &str,
        materialized: Materialized<A>,
        keys: DynSerde<KO>,
        supply: impl Fn(&dyn Input<K, A>, Shared<A>) -> ProcessorSupplier,
    ) -> KTable<KO, A>
    where
        KO: Clone + Send + Sync + 'static,
    {
        let state = TableState::stored(store);
        let shared = Shared { store, state: Arc::clone(&state), init: Arc::new(init) };
        let topic = |number: usize| match number {
            0 => store_name.to_owned(),
            number => format!("{store_name}-{number}"),
        };
        let parents: Vec<String> =
            self.inputs.iter().enumerate().map(|(number, input)| input.parent(&topic(number))).collect();
        let given = self.graph.given_name();
        let part = |part: &str, prefix: &str| {
            let generated = self.graph.name(prefix);
            let generated = given.as_ref().map_or(generated, |name| format!("{name}-{part}"));
            materialized.node_part(part, generated)
        };
        let mut nodes = Vec::with_capacity(parents.len());
        for (number, (input, parent)) in self.inputs.iter().zip(&parents).enumerate() {
            let node = part(&format!("cogroup-agg-{number}"), AGGREGATE);
            self.graph.processor(&node, &[parent], &[store], supply(input.as_ref(), shared.clone()));
            nodes.push(node);
        }
        let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
        self.graph.with(|topology| {
            topology.copartition(&parents);
        });
        let node = part("cogroup-merge", MERGE);
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        self.graph.processor(&node, &nodes, &[], supplier(|| PassThrough));
        let values = Some(materialized.values);
        KTable { graph: self.graph, node, keys, values, state, ask_old: Rc::new(|| ()) }
    }
}

/// Windows by which cogrouped streams can be windowed: [`TimeWindows`], [`SlidingWindows`], [`UnlimitedWindows`],
/// [`SessionWindows`].
pub trait CogroupedBy<K, A> {
    /// What comes of the cogrouped streams.
    type Stream;

    /// Applies the windows; called by [`CogroupedKStream::windowed_by`].
    fn window(self, cogrouped: CogroupedKStream<K, A>) -> Self::Stream;
}

impl<K, A> CogroupedBy<K, A> for TimeWindows {
    type Stream = TimeWindowedCogroupedKStream<K, A>;

    fn window(self, cogrouped: CogroupedKStream<K, A>) -> Self::Stream {
        TimeWindowedCogroupedKStream { cogrouped, windows: PlannedWindows::Fixed(self.into()) }
    }
}

impl<K, A> CogroupedBy<K, A> for UnlimitedWindows {
    type Stream = TimeWindowedCogroupedKStream<K, A>;

    fn window(self, cogrouped: CogroupedKStream<K, A>) -> Self::Stream {
        TimeWindowedCogroupedKStream { cogrouped, windows: PlannedWindows::Fixed(self.into()) }
    }
}

impl<K, A> CogroupedBy<K, A> for SlidingWindows {
    type Stream = TimeWindowedCogroupedKStream<K, A>;

    fn window(self, cogrouped: CogroupedKStream<K, A>) -> Self::Stream {
        TimeWindowedCogroupedKStream { cogrouped, windows: PlannedWindows::Sliding(self) }
    }
}

impl<K, A> CogroupedBy<K, A> for SessionWindows {
    type Stream = SessionWindowedCogroupedKStream<K, A>;

    fn window(self, cogrouped: CogroupedKStream<K, A>) -> Self::Stream {
        SessionWindowedCogroupedKStream { cogrouped, windows: self }
    }
}

/// Cogrouped streams with windows.
pub struct TimeWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: PlannedWindows,
}

impl<K, A> TimeWindowedCogroupedKStream<K, A>
where
    K: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// Folds the values of all streams into an aggregate per key and window that begins with `init`.
    pub fn aggregate(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        self.cogrouped.fold_windows(self.windows, init, materialized)
    }
}

/// Cogrouped streams with sessions.
pub struct SessionWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SessionWindows,
}

impl<K, A> SessionWindowedCogroupedKStream<K, A>
where
    K: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// Folds the values of all streams into an aggregate per key and session that begins with `init`. When a row joins
    /// sessions, its aggregate begins with `init`, too, and `merger` adds that of each session in the order of time.
    pub fn aggregate(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let Self { cogrouped, windows } = self;
        let name = cogrouped.store_name(&materialized);
        let store = session_store(&cogrouped.graph, &name, windows, &materialized, &cogrouped.keys);
        let keys: DynSerde<Windowed<K>> = Arc::new(SessionWindowed::new(cogrouped.keys.clone()));
        let (graph, merger) = (cogrouped.graph.clone(), Arc::new(merger) as Merger<K, A>);
        let table = cogrouped.add(init, store, &name, materialized, keys, move |input, shared| {
            input.sessions(shared, windows, Arc::clone(&merger))
        });
        graph.set_grace(&table.node, windows.grace_ms().saturating_add(windows.gap_ms()));
        table
    }
}

/// What the processors of all streams have in common.
struct Shared<A> {
    store: StoreHandle,
    state: Arc<TableState>,
    init: Arc<dyn Fn() -> A + Send + Sync>,
}

impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        Self { store: self.store, state: Arc::clone(&self.state), init: Arc::clone(&self.init) }
    }
}

/// Takes a value into an aggregate; none deletes it.
type Step<K, V, A> = Arc<dyn Fn(&K, &V, A) -> Option<A> + Send + Sync>;
/// Merges the aggregates of two sessions.
type Merger<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

/// One of the streams, whatever its values are.
trait Input<K, A> {
    /// The node whose rows are where their keys belong, behind the repartition topic of this name if it takes one.
    fn parent(&self, topic: &str) -> String;

    fn plain(&self, shared: Shared<A>) -> ProcessorSupplier;

    fn windowed(&self, shared: Shared<A>, windows: PlannedWindows) -> ProcessorSupplier;

    fn sessions(&self, shared: Shared<A>, windows: SessionWindows, merger: Merger<K, A>)
    -> ProcessorSupplier;
}

struct TypedInput<K, V, A> {
    grouped: KGroupedStream<K, V>,
    step: Step<K, V, A>,
    may_delete: bool,
}

impl<K, V, A> TypedInput<K, V, A>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    fn fold<KO>(
        &self,
        shared: Shared<A>,
        windows: PlannedWindows,
        output_key: impl Fn(K, i64) -> KO + Clone + Send + Sync + 'static,
    ) -> ProcessorSupplier
    where
        KO: Clone + Send + Sync + 'static,
    {
        let (keys, step) = (self.grouped.grouped.keys.clone(), Arc::clone(&self.step));
        let may_delete = self.may_delete;
        Arc::new(move || -> Box<dyn Processor> {
            let (init, step) = (Arc::clone(&shared.init), Arc::clone(&step));
            let fold = Fold {
                keys: keys.clone(),
                step: aggregate_step(
                    move || init(),
                    move |key: &K, value: &V, state: A| step(key, value, state),
                ),
                output_key: output_key.clone(),
                rules: FoldRules { needs_value: true, may_delete, sends_old: shared.state.sends_old() },
                headers: Vec::new(),
                of: PhantomData,
            };
            fold_processor(fold, shared.store, windows, EmitStrategy::OnWindowUpdate)
        })
    }
}

impl<K, V, A> Input<K, A> for TypedInput<K, V, A>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    fn parent(&self, topic: &str) -> String {
        self.grouped.partitioned(topic)
    }

    fn plain(&self, shared: Shared<A>) -> ProcessorSupplier {
        self.fold(shared, PlannedWindows::None, |key, _| key)
    }

    fn windowed(&self, shared: Shared<A>, windows: PlannedWindows) -> ProcessorSupplier {
        let size_ms = windows.size_ms();
        let output_key = move |key, start: i64| Windowed { key, start, end: start.saturating_add(size_ms) };
        self.fold(shared, windows, output_key)
    }

    fn sessions(
        &self,
        shared: Shared<A>,
        windows: SessionWindows,
        merger: Merger<K, A>,
    ) -> ProcessorSupplier {
        let (keys, step) = (self.grouped.grouped.keys.clone(), Arc::clone(&self.step));
        supplier(move || {
            let (init, step) = (Arc::clone(&shared.init), Arc::clone(&step));
            let (first, merger) = (Arc::clone(&shared.init), Arc::clone(&merger));
            let old = shared.state.sends_old().then(Vec::new);
            let fold = SessionFold {
                keys: keys.clone(),
                step: aggregate_step(
                    move || init(),
                    move |key: &K, value: &V, state: A| step(key, value, state),
                ),
                merge: move |key: &K, state: Option<A>, session: A| {
                    merger(key, state.unwrap_or_else(|| first()), session)
                },
                needs_value: true,
                output: Changes { rows: Records::with_capacity(0), old },
                headers: Vec::new(),
                of: PhantomData,
            };
            SessionProcessor::new(fold, shared.store, windows)
        })
    }
}
