//! Grouped streams and their aggregations.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::dsl::arena::ValueArena;
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::fold::Fold;
use crate::dsl::params::{Grouped, Materialized};
use crate::dsl::stream::{RepartitionStep, repartition};
use crate::dsl::table::{KTable, TableStore};
use crate::dsl::windowed::WindowedBy;
use crate::operator::aggregate::AggregateProcessor;
use crate::operator::window::TimeWindows;
use crate::serde::{DefaultSerde, TimeWindowed, Windowed};
use crate::store::StoreSpec;

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

    /// Aggregates per key and window: [`TimeWindows`] or [`SessionWindows`](crate::operator::SessionWindows).
    pub fn windowed_by<W: WindowedBy<K, V>>(self, windows: W) -> W::Stream {
        windows.window(self)
    }

    /// Counts the rows that have a value.
    pub fn count(self, materialized: Materialized<i64>) -> KTable<K, i64> {
        self.fold("KSTREAM-AGGREGATE-", materialized, |_, _, count: Option<i64>| count.unwrap_or(0) + 1)
    }

    /// Combines the values; the first value of a key is its aggregate as it is.
    pub fn reduce(
        self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.fold("KSTREAM-REDUCE-", materialized, reduce_step(reducer))
    }

    /// Folds the values into an aggregate that begins with `init`.
    pub fn aggregate<A>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        step: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        self.fold("KSTREAM-AGGREGATE-", materialized, aggregate_step(init, step))
    }

    fn fold<A>(
        self,
        prefix: &str,
        materialized: Materialized<A>,
        step: impl Fn(&K, Option<&V>, Option<A>) -> A + Send + Sync + 'static,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let keys = self.grouped.keys.clone();
        let values = materialized.values.clone();
        let plan = FoldPlan { prefix, windows: None, needs_value: true };
        let (node, store) = self.add(plan, materialized, step, |key, _| key);
        KTable { graph: self.graph, node, store: Some(store), keys, values: Some(values) }
    }

    /// Adds the store, the way to it and the processor.
    pub(crate) fn add<A, KO>(
        &self,
        plan: FoldPlan<'_>,
        materialized: Materialized<A>,
        step: impl Fn(&K, Option<&V>, Option<A>) -> A + Send + Sync + 'static,
        output_key: impl Fn(K, i64) -> KO + Clone + Send + Sync + 'static,
    ) -> (String, TableStore)
    where
        A: Clone + Send + Sync + 'static,
        KO: Clone + Send + Sync + 'static,
    {
        let Materialized { name, values, retention } = materialized;
        let store_name = name.unwrap_or_else(|| self.graph.name(&format!("{}STATE-STORE-", plan.prefix)));
        let node = self.graph.name(plan.prefix);
        let parent = self.partitioned(&store_name);
        let arena = move || ValueArena::new(values.clone());
        let spec = match plan.windows {
            None => StoreSpec::key_value(&store_name, arena),
            Some(windows) => {
                let retention = retention.unwrap_or_default().max(windows.retention());
                StoreSpec::window(&store_name, windows.size(), retention, arena)
            }
        };
        let store = self.graph.store(spec);
        let (keys, step) = (self.grouped.keys.clone(), Arc::new(step));
        let make = move || {
            let step = Arc::clone(&step);
            let fold = Fold {
                keys: keys.clone(),
                step: move |key: &K, value: Option<&V>, state: Option<A>| step(key, value, state),
                output_key: output_key.clone(),
                needs_value: plan.needs_value,
                of: PhantomData,
            };
            AggregateProcessor::new(fold, store, plan.windows)
        };
        self.graph.processor(&node, &[&parent], &[store], supplier(make));
        (node, store)
    }

    pub(crate) fn partitioned(&self, store: &str) -> String {
        if !self.rekeyed {
            return self.node.clone();
        }
        let topic = self.grouped.name.as_deref().unwrap_or(store);
        let step = RepartitionStep { topic, named: self.grouped.name.is_some(), partitions: None };
        repartition(&self.graph, &self.node, step, &self.grouped.keys, &self.grouped.values)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct FoldPlan<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) windows: Option<TimeWindows>,
    pub(crate) needs_value: bool,
}

pub(crate) fn reduce_step<K, V: Clone>(
    reducer: impl Fn(V, &V) -> V,
) -> impl Fn(&K, Option<&V>, Option<V>) -> V {
    move |_, value, state| {
        let value = value.expect(VALUES_ONLY);
        match state {
            Some(state) => reducer(state, value),
            None => value.clone(),
        }
    }
}

pub(crate) fn aggregate_step<K, V, A>(
    init: impl Fn() -> A,
    step: impl Fn(&K, &V, A) -> A,
) -> impl Fn(&K, Option<&V>, Option<A>) -> A {
    move |key, value, state| step(key, value.expect(VALUES_ONLY), state.unwrap_or_else(&init))
}

const VALUES_ONLY: &str = "rows without value are dropped before the fold";

/// Windowed keys need a serde for the key only; the windows' size is known where they are made.
impl<K: DefaultSerde> Windowed<K> {
    /// A serde for windows of this size in ms, to read a topic of windowed keys.
    pub fn serde(size_ms: i64) -> TimeWindowed<K> {
        TimeWindowed::new(K::default_serde(), size_ms)
    }
}
