//! Grouped streams with windows, and their aggregations.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::arena::ValueArena;
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::changes::Changes;
use crate::dsl::grouped::{
    FoldNames, FoldPlan, KGroupedStream, PlannedWindows, aggregate_step, may_delete, reduce_step,
};
use crate::dsl::params::Materialized;
use crate::dsl::records::Records;
use crate::dsl::session_fold::SessionFold;
use crate::dsl::table::KTable;
use crate::dsl::table_rows::TableState;
use crate::operator::EmitStrategy;
use crate::operator::session::{SessionProcessor, SessionWindows};
use crate::operator::sliding::SlidingWindows;
use crate::operator::window::{FixedWindows, TimeWindows, UnlimitedWindows};
use crate::serde::{DynSerde, SessionWindowed, TimeWindowed, Windowed};
use crate::store::{StoreHandle, StoreSpec};

/// Windows by which a grouped stream can be windowed: [`TimeWindows`], [`SlidingWindows`], [`UnlimitedWindows`],
/// [`SessionWindows`].
pub trait WindowedBy<K, V> {
    /// What comes of the grouped stream.
    type Stream;

    /// Applies the windows; called by [`KGroupedStream::windowed_by`].
    fn window(self, grouped: KGroupedStream<K, V>) -> Self::Stream;
}

impl<K, V> WindowedBy<K, V> for TimeWindows {
    type Stream = TimeWindowedKStream<K, V>;

    fn window(self, grouped: KGroupedStream<K, V>) -> Self::Stream {
        TimeWindowedKStream::new(grouped, PlannedWindows::Fixed(self.into()))
    }
}

impl<K, V> WindowedBy<K, V> for UnlimitedWindows {
    type Stream = TimeWindowedKStream<K, V>;

    fn window(self, grouped: KGroupedStream<K, V>) -> Self::Stream {
        TimeWindowedKStream::new(grouped, PlannedWindows::Fixed(self.into()))
    }
}

impl<K, V> WindowedBy<K, V> for SlidingWindows {
    type Stream = TimeWindowedKStream<K, V>;

    fn window(self, grouped: KGroupedStream<K, V>) -> Self::Stream {
        TimeWindowedKStream::new(grouped, PlannedWindows::Sliding(self))
    }
}

impl<K, V> WindowedBy<K, V> for SessionWindows {
    type Stream = SessionWindowedKStream<K, V>;

    fn window(self, grouped: KGroupedStream<K, V>) -> Self::Stream {
        SessionWindowedKStream { grouped, windows: self, emit: EmitStrategy::OnWindowUpdate }
    }
}

/// A stream grouped by key and window. Rows that come after their window has closed are dropped and reported.
pub struct TimeWindowedKStream<K, V> {
    grouped: KGroupedStream<K, V>,
    windows: PlannedWindows,
    emit: EmitStrategy,
}

impl<K, V> TimeWindowedKStream<K, V> {
    fn new(grouped: KGroupedStream<K, V>, windows: PlannedWindows) -> Self {
        Self { grouped, windows, emit: EmitStrategy::OnWindowUpdate }
    }

    /// Sets when results are forwarded. Unlimited windows never close.
    #[must_use]
    pub fn emit_strategy(mut self, emit: EmitStrategy) -> Self {
        let is_unlimited = matches!(self.windows, PlannedWindows::Fixed(FixedWindows::Unlimited(_)));
        if is_unlimited && emit == EmitStrategy::OnWindowClose {
            self.grouped
                .graph
                .refuse("an unlimited window never closes, so it cannot be emitted then".to_owned());
        }
        self.emit = emit;
        self
    }
}

impl<K, V> TimeWindowedKStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Counts the rows, those without value too (as Kafka does here), unless the windows slide.
    pub fn count(self, materialized: Materialized<i64>) -> KTable<Windowed<K>, i64> {
        let needs_value = matches!(self.windows, PlannedWindows::Sliding(_));
        let plan = self.plan("KSTREAM-AGGREGATE-", needs_value, false);
        self.fold(plan, materialized, |_, _, count| Some(count.unwrap_or(0) + 1))
    }

    /// Combines the values; the first value of a key and window is its aggregate as it is.
    pub fn reduce(
        self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let plan = self.plan("KSTREAM-REDUCE-", true, false);
        self.fold(plan, materialized, reduce_step(reducer))
    }

    /// Folds the values into an aggregate that begins with `init`. A step that returns an [`Option`] deletes the
    /// aggregate with none; the next row begins anew.
    pub fn aggregate<A, R>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        step: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A>
    where
        A: Clone + Send + Sync + 'static,
        R: Into<Option<A>> + 'static,
    {
        let plan = self.plan("KSTREAM-AGGREGATE-", true, may_delete::<A, R>());
        self.fold(plan, materialized, aggregate_step(init, step))
    }

    fn plan<'a>(&self, prefix: &'a str, needs_value: bool, may_delete: bool) -> FoldPlan<'a> {
        FoldPlan { prefix, windows: self.windows, emit: self.emit, needs_value, may_delete }
    }

    fn fold<A>(
        self,
        plan: FoldPlan<'_>,
        materialized: Materialized<A>,
        step: impl Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let size_ms = self.windows.size_ms();
        let keys: DynSerde<Windowed<K>> =
            Arc::new(TimeWindowed::new(self.grouped.grouped.keys.clone(), size_ms));
        let output_key = move |key, start: i64| Windowed { key, start, end: start.saturating_add(size_ms) };
        self.grouped.add(plan, materialized, keys, step, output_key)
    }
}

/// A stream grouped by key and session. Rows that come after their session has closed are dropped and reported.
///
/// A row that extends or joins sessions deletes them from the resulting table and adds the new one.
pub struct SessionWindowedKStream<K, V> {
    grouped: KGroupedStream<K, V>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

impl<K, V> SessionWindowedKStream<K, V> {
    /// Sets when results are forwarded. With [`EmitStrategy::OnWindowClose`] there are no deletions.
    #[must_use]
    pub fn emit_strategy(mut self, emit: EmitStrategy) -> Self {
        self.emit = emit;
        self
    }
}

impl<K, V> SessionWindowedKStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Counts the rows, those without value too (as Kafka does here).
    pub fn count(self, materialized: Materialized<i64>) -> KTable<Windowed<K>, i64> {
        self.fold(
            "KSTREAM-AGGREGATE-",
            false,
            materialized,
            |_, _, count: Option<i64>| Some(count.unwrap_or(0) + 1),
            |_, count, session| count.unwrap_or(0) + session,
        )
    }

    /// Combines the values, and the aggregates of sessions that become one; the first value of a session is its
    /// aggregate as it is.
    pub fn reduce(
        self,
        reducer: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let reducer = Arc::new(reducer);
        let merger = Arc::clone(&reducer);
        let step = reduce_step(move |state, value: &V| reducer(state, value));
        self.fold("KSTREAM-REDUCE-", true, materialized, step, move |_, state, session| match state {
            Some(state) => merger(state, &session),
            None => session,
        })
    }

    /// Folds the values into an aggregate that begins with `init`. When a row joins sessions, its aggregate begins
    /// with `init`, too, and `merger` adds that of each session in the order of time.
    pub fn aggregate<A>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        step: impl Fn(&K, &V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let init = Arc::new(init);
        let first = Arc::clone(&init);
        let step = aggregate_step(move || init(), step);
        self.fold("KSTREAM-AGGREGATE-", true, materialized, step, move |key, state, session| {
            merger(key, state.unwrap_or_else(|| first()), session)
        })
    }

    fn fold<A>(
        self,
        prefix: &str,
        needs_value: bool,
        materialized: Materialized<A>,
        step: impl Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + Sync + 'static,
        merge: impl Fn(&K, Option<A>, A) -> A + Send + Sync + 'static,
    ) -> KTable<Windowed<K>, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let Self { grouped, windows, emit } = self;
        let FoldNames { node, store: store_name } = FoldNames::new(&grouped.graph, prefix, &materialized);
        let parent = grouped.partitioned(&store_name);
        let store = session_store(&grouped.graph, &store_name, windows, &materialized, &grouped.grouped.keys);
        let values = materialized.values;
        let state = TableState::stored(store);
        let of_node = Arc::clone(&state);
        let keys = grouped.grouped.keys.clone();
        let (step, merge, row_keys) = (Arc::new(step), Arc::new(merge), keys.clone());
        let make = move || {
            let (step, merge) = (Arc::clone(&step), Arc::clone(&merge));
            let fold = SessionFold {
                keys: row_keys.clone(),
                step: move |key: &K, value: Option<&V>, state: Option<A>| step(key, value, state),
                merge: move |key: &K, state: Option<A>, session: A| merge(key, state, session),
                needs_value,
                output: Changes { rows: Records::with_capacity(0), old: of_node.sends_old().then(Vec::new) },
                headers: Vec::new(),
                of: PhantomData,
            };
            SessionProcessor::new(fold, store, windows).emit(emit)
        };
        grouped.graph.processor(&node, &[&parent], &[store], supplier(make));
        // A session can go on for the gap.
        grouped.graph.set_grace(&node, windows.grace_ms().saturating_add(windows.gap_ms()));
        let keys: DynSerde<Windowed<K>> = Arc::new(SessionWindowed::new(keys));
        KTable { graph: grouped.graph, node, keys, values: Some(values), state, ask_old: Rc::new(|| ()) }
    }
}

/// Adds the store of an aggregation by session.
pub(crate) fn session_store<K, A>(
    graph: &Graph,
    name: &str,
    windows: SessionWindows,
    materialized: &Materialized<A>,
    keys: &DynSerde<K>,
) -> StoreHandle
where
    K: 'static,
    A: Clone + Send + Sync + 'static,
{
    let values = materialized.values.clone();
    let retention = materialized.retention.unwrap_or_default().max(windows.retention());
    let spec = StoreSpec::session(name, retention, move || ValueArena::new(values.clone()));
    graph.store(materialized.apply(spec, keys))
}
