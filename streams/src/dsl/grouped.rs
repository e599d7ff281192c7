//! Grouped streams and their aggregations.

use std::any::TypeId;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::dsl::arena::ValueArena;
use crate::dsl::builder::Graph;
use crate::dsl::fold::{Fold, FoldRules};
use crate::dsl::params::{Grouped, Materialized};
use crate::dsl::stream::{RepartitionStep, repartition};
use crate::dsl::table::KTable;
use crate::dsl::table_rows::TableState;
use crate::dsl::windowed::WindowedBy;
use crate::operator::EmitStrategy;
use crate::operator::aggregate::{AggregateProcessor, Aggregator};
use crate::operator::sliding::{SlidingProcessor, SlidingWindows};
use crate::operator::window::FixedWindows;
use crate::processor::Processor;
use crate::serde::{DefaultSerde, DynSerde, TimeWindowed, Windowed};
use crate::store::{StoreHandle, StoreSpec};

/// A stream grouped by its key. Rows without key are dropped and reported.
pub struct KGroupedStream<K, V> {
    pub(crate) graph: Graph,
    node: String,
    rekeyed: bool,
    pub(crate) grouped: Grouped<K, V>,
}

impl<K, V> KGroupedStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(graph: Graph, node: String, rekeyed: bool, grouped: Grouped<K, V>) -> Self {
        Self { graph, node, rekeyed, grouped }
    }

    /// Names the node of the aggregation; its store is named by [`Materialized`], its repartition topic by [`Grouped`].
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { graph: self.graph.named(name), ..self }
    }

    /// Aggregates per key and window; see [`WindowedBy`] for the kinds of windows.
    pub fn windowed_by<W: WindowedBy<K, V>>(self, windows: W) -> W::Stream {
        windows.window(self)
    }

    /// Counts the rows that have a value.
    pub fn count(self, materialized: Materialized<i64>) -> KTable<K, i64> {
        self.fold("KSTREAM-AGGREGATE-", materialized, false, |_, _, count| Some(count.unwrap_or(0) + 1))
    }

    /// Combines the values; the first value of a key is its aggregate as it is.
    pub fn reduce(
        self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.fold("KSTREAM-REDUCE-", materialized, false, reduce_step(reducer))
    }

    /// Folds the values into an aggregate that begins with `init`. A step that returns an [`Option`] deletes the
    /// aggregate with none; the next row begins anew.
    pub fn aggregate<A, R>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        step: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
        R: Into<Option<A>> + 'static,
    {
        let deletes = may_delete::<A, R>();
        self.fold("KSTREAM-AGGREGATE-", materialized, deletes, aggregate_step(init, step))
    }

    fn fold<A>(
        self,
        prefix: &str,
        materialized: Materialized<A>,
        may_delete: bool,
        step: impl Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let plan = FoldPlan {
            prefix,
            windows: PlannedWindows::None,
            emit: EmitStrategy::OnWindowUpdate,
            needs_value: true,
            may_delete,
        };
        let keys = self.grouped.keys.clone();
        self.add(plan, materialized, keys, step, |key, _| key)
    }

    /// Adds the store, the way to it and the processor.
    pub(crate) fn add<A, KO>(
        &self,
        plan: FoldPlan<'_>,
        materialized: Materialized<A>,
        output_keys: DynSerde<KO>,
        step: impl Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + Sync + 'static,
        output_key: impl Fn(K, i64) -> KO + Clone + Send + Sync + 'static,
    ) -> KTable<KO, A>
    where
        A: Clone + Send + Sync + 'static,
        KO: Clone + Send + Sync + 'static,
    {
        let names = FoldNames::new(&self.graph, plan.prefix, &materialized);
        let parent = self.partitioned(&names.store);
        let keys = (self.grouped.keys.clone(), output_keys);
        add_fold(&self.graph, &parent, names, plan, keys, materialized, step, output_key)
    }

    pub(crate) fn partitioned(&self, store: &str) -> String {
        if !self.rekeyed {
            return self.node.clone();
        }
        let topic = self.grouped.name.as_deref().unwrap_or(store);
        let step = RepartitionStep {
            topic,
            named: self.grouped.name.is_some(),
            partitions: None,
            keeps_null_keys: false,
            movable: true,
        };
        repartition(&self.graph, &self.node, step, &self.grouped.keys, &self.grouped.values)
    }
}

/// What is special about an aggregation.
#[derive(Clone, Copy)]
pub(crate) struct FoldPlan<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) windows: PlannedWindows,
    pub(crate) emit: EmitStrategy,
    pub(crate) needs_value: bool,
    pub(crate) may_delete: bool,
}

/// The windows of an aggregation whose windowed keys name a start.
#[derive(Clone, Copy)]
pub(crate) enum PlannedWindows {
    None,
    Fixed(FixedWindows),
    Sliding(SlidingWindows),
}

impl PlannedWindows {
    /// The time from the start of a window to its end in ms.
    pub(crate) fn size_ms(&self) -> i64 {
        match self {
            Self::None => 0,
            Self::Fixed(windows) => windows.size_ms(),
            Self::Sliding(windows) => windows.difference_ms(),
        }
    }

    /// For how long after its end a window can change, in ms.
    pub(crate) fn grace_ms(&self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Fixed(FixedWindows::Time(windows)) => Some(windows.grace_ms()),
            Self::Fixed(FixedWindows::Unlimited(_)) => Some(0),
            Self::Sliding(windows) => Some(windows.grace_ms()),
        }
    }

    fn retention(&self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Fixed(windows) => Some(windows.retention()),
            Self::Sliding(windows) => Some(windows.retention()),
        }
    }
}

/// The names of an aggregation's node and store.
pub(crate) struct FoldNames {
    pub(crate) node: String,
    pub(crate) store: String,
}

impl FoldNames {
    /// The names as they were given, or generated ones.
    pub(crate) fn new<A: 'static>(graph: &Graph, prefix: &str, materialized: &Materialized<A>) -> Self {
        let generate = || graph.name(&format!("{prefix}STATE-STORE-"));
        let store = materialized.name.clone().unwrap_or_else(generate);
        Self { node: materialized.node_or(graph.node(prefix)), store }
    }
}

/// Adds an aggregation below a node whose rows are where their keys belong.
#[allow(clippy::too_many_arguments)]
pub(crate) fn add_fold<K, V, A, KO>(
    graph: &Graph,
    parent: &str,
    names: FoldNames,
    plan: FoldPlan<'_>,
    (keys, output_keys): (DynSerde<K>, DynSerde<KO>),
    materialized: Materialized<A>,
    step: impl Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + Sync + 'static,
    output_key: impl Fn(K, i64) -> KO + Clone + Send + Sync + 'static,
) -> KTable<KO, A>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
    KO: Clone + Send + Sync + 'static,
{
    let store = fold_store(graph, &names.store, plan.windows, &materialized, &keys);
    let values = materialized.values;
    let state = TableState::stored(store);
    let (of_node, step) = (Arc::clone(&state), Arc::new(step));
    let FoldPlan { windows, emit, needs_value, may_delete, .. } = plan;
    let make = move || -> Box<dyn Processor> {
        let step = Arc::clone(&step);
        let fold = Fold {
            keys: Arc::clone(&keys),
            step: move |key: &K, value: Option<&V>, state: Option<A>| step(key, value, state),
            output_key: output_key.clone(),
            rules: FoldRules { needs_value, may_delete, sends_old: of_node.sends_old() },
            headers: Vec::new(),
            of: PhantomData,
        };
        fold_processor(fold, store, windows, emit)
    };
    graph.processor(&names.node, &[parent], &[store], Arc::new(make));
    if let Some(grace) = windows.grace_ms() {
        graph.set_grace(&names.node, grace);
    }
    let (graph, ask_old) = (graph.clone(), Rc::new(|| ()));
    KTable { graph, node: names.node, keys: output_keys, values: Some(values), state, ask_old }
}

/// Adds the store of an aggregation.
pub(crate) fn fold_store<K, A>(
    graph: &Graph,
    name: &str,
    windows: PlannedWindows,
    materialized: &Materialized<A>,
    keys: &DynSerde<K>,
) -> StoreHandle
where
    K: 'static,
    A: Clone + Send + Sync + 'static,
{
    let values = materialized.values.clone();
    let arena = move || ValueArena::new(values.clone());
    let spec = match windows.retention() {
        None => StoreSpec::key_value(name, arena),
        Some(least) => {
            let retention = materialized.retention.unwrap_or_default().max(least);
            let size = Duration::from_millis(windows.size_ms().unsigned_abs());
            StoreSpec::window(name, size, retention, arena)
        }
    };
    graph.store(materialized.apply(spec, keys))
}

/// Makes the processor of an aggregation.
pub(crate) fn fold_processor<G: Aggregator>(
    fold: G,
    store: StoreHandle,
    windows: PlannedWindows,
    emit: EmitStrategy,
) -> Box<dyn Processor> {
    match windows {
        PlannedWindows::None => Box::new(AggregateProcessor::new(fold, store, None::<FixedWindows>)),
        PlannedWindows::Fixed(windows) => {
            Box::new(AggregateProcessor::new(fold, store, Some(windows)).emit(emit))
        }
        PlannedWindows::Sliding(windows) => Box::new(SlidingProcessor::new(fold, store, windows).emit(emit)),
    }
}

pub(crate) fn reduce_step<K, V: Clone>(
    reducer: impl Fn(V, &V) -> V,
) -> impl Fn(&K, Option<&V>, Option<V>) -> Option<V> {
    move |_, value, state| {
        let value = value.expect(VALUES_ONLY);
        Some(match state {
            Some(state) => reducer(state, value),
            None => value.clone(),
        })
    }
}

pub(crate) fn aggregate_step<K, V, A, R: Into<Option<A>>>(
    init: impl Fn() -> A,
    step: impl Fn(&K, &V, A) -> R,
) -> impl Fn(&K, Option<&V>, Option<A>) -> Option<A> {
    move |key, value, state| step(key, value.expect(VALUES_ONLY), state.unwrap_or_else(&init)).into()
}

/// Whether a step that makes an `A` returns something that can be none.
pub(crate) fn may_delete<A: 'static, R: 'static>() -> bool {
    TypeId::of::<A>() != TypeId::of::<R>()
}

const VALUES_ONLY: &str = "rows without value are dropped before the fold";

/// Windowed keys need a serde for the key only; the windows' size is known where they are made.
impl<K: DefaultSerde> Windowed<K> {
    /// A serde for windows of this size in ms, to read a topic of windowed keys.
    pub fn serde(size_ms: i64) -> TimeWindowed<K> {
        TimeWindowed::new(K::default_serde(), size_ms)
    }
}
