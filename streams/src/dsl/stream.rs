//! Streams of typed rows and their operators.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::batch::{Batch, downcast};
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::codec;
use crate::dsl::grouped::KGroupedStream;
use crate::dsl::lookup::Lookup;
use crate::dsl::params::{Grouped, Materialized, Produced, Repartitioned};
use crate::dsl::records::Records;
use crate::dsl::route::{RecordContext, Route, TopicExtractor};
use crate::dsl::table::{self, KTable};
use crate::error::StreamsError;
use crate::operator::join::{JoinProcessor, MissingKey};
use crate::processor::{Context, Processor, RowsKept};
use crate::serde::{DefaultSerde, DynSerde};
use crate::topology::MovableStep;

/// An unbounded stream of rows, each independent of the others.
pub struct KStream<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: String,
    /// The key was changed since the rows were last partitioned by it.
    pub(crate) rekeyed: bool,
    /// Known while the type is that of a topic or of a given serde.
    pub(crate) keys: Option<DynSerde<K>>,
    pub(crate) values: Option<DynSerde<V>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node.clone(),
            rekeyed: self.rekeyed,
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps the rows that match. Rows without value do not match.
    pub fn filter(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        let node = self.rows("KSTREAM-FILTER-", move |mut rows: Records<K, V>| {
            rows.retain(|key, value| value.is_some_and(|value| predicate(key, value)));
            rows
        });
        Self { node, ..self.clone() }
    }

    /// Keeps the rows that do not match. Rows without value are dropped, too.
    pub fn filter_not(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Makes a new key and value of every row that has a value.
    pub fn map<K2, V2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2>
    where
        K2: Clone + Send + Sync + 'static,
        V2: Clone + Send + Sync + 'static,
    {
        let node = self.rows("KSTREAM-MAP-", move |mut rows: Records<K, V>| {
            rows.retain(|_, value| value.is_some());
            let pairs = rows.keys.iter().zip(&rows.values);
            let mapped =
                pairs.map(|(key, value)| value.as_ref().map(|value| mapper(key.as_ref(), value)).unzip());
            let (keys, values) = mapped.unzip();
            rows.with(keys, values)
        });
        KStream { graph: self.graph.clone(), node, rekeyed: true, keys: None, values: None }
    }

    /// Makes a new value of every value.
    pub fn map_values<V2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2>
    where
        V2: Clone + Send + Sync + 'static,
    {
        let node = self.rows("KSTREAM-MAPVALUES-", move |mut rows: Records<K, V>| {
            let keys = std::mem::take(&mut rows.keys);
            let pairs = keys.iter().zip(&rows.values);
            let values =
                pairs.map(|(key, value)| value.as_ref().map(|value| mapper(key.as_ref(), value))).collect();
            rows.with(keys, values)
        });
        let (graph, keys) = (self.graph.clone(), self.keys.clone());
        KStream { graph, node, rekeyed: self.rekeyed, keys, values: None }
    }

    /// Makes any number of rows of every row that has a value; they keep its timestamp and headers.
    pub fn flat_map<K2, V2, I>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2>
    where
        K2: Clone + Send + Sync + 'static,
        V2: Clone + Send + Sync + 'static,
        I: IntoIterator<Item = (K2, V2)>,
    {
        let node = self.rows("KSTREAM-FLATMAP-", move |rows: Records<K, V>| {
            let mut output = Records::with_capacity(rows.len());
            for row in 0..rows.len() {
                let Some(value) = &rows.values[row] else { continue };
                for (key, value) in mapper(rows.keys[row].as_ref(), value) {
                    output.push(Some(key), Some(value), rows.timestamps[row], rows.headers_of(row).to_vec());
                }
            }
            output
        });
        KStream { graph: self.graph.clone(), node, rekeyed: true, keys: None, values: None }
    }

    /// Makes any number of rows of every row that has a value; they keep its key, timestamp and headers.
    pub fn flat_map_values<V2, I>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> I + Send + Sync + 'static,
    ) -> KStream<K, V2>
    where
        V2: Clone + Send + Sync + 'static,
        I: IntoIterator<Item = V2>,
    {
        let node = self.rows("KSTREAM-FLATMAPVALUES-", move |rows: Records<K, V>| {
            let mut output = Records::with_capacity(rows.len());
            for row in 0..rows.len() {
                let Some(value) = &rows.values[row] else { continue };
                let key = &rows.keys[row];
                for value in mapper(key.as_ref(), value) {
                    output.push(
                        key.clone(),
                        Some(value),
                        rows.timestamps[row],
                        rows.headers_of(row).to_vec(),
                    );
                }
            }
            output
        });
        let (graph, keys) = (self.graph.clone(), self.keys.clone());
        KStream { graph, node, rekeyed: self.rekeyed, keys, values: None }
    }

    /// Makes a new key of every row that has a value.
    pub fn select_key<K2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V>
    where
        K2: Clone + Send + Sync + 'static,
    {
        let node = self.rows("KSTREAM-KEY-SELECT-", move |mut rows: Records<K, V>| {
            rows.retain(|_, value| value.is_some());
            let values = std::mem::take(&mut rows.values);
            let pairs = rows.keys.iter().zip(&values);
            let keys =
                pairs.map(|(key, value)| value.as_ref().map(|value| mapper(key.as_ref(), value))).collect();
            rows.with(keys, values)
        });
        let (graph, values) = (self.graph.clone(), self.values.clone());
        KStream { graph, node, rekeyed: true, keys: None, values }
    }

    /// Looks at every row that has a value, and passes all rows on.
    pub fn peek(&self, look: impl Fn(Option<&K>, &V) + Send + Sync + 'static) -> Self {
        let node = self.rows("KSTREAM-PEEK-", move |rows: Records<K, V>| {
            each(&rows, &look);
            rows
        });
        Self { node, ..self.clone() }
    }

    /// Does something with every row that has a value. Nothing comes after it.
    pub fn for_each(&self, action: impl Fn(Option<&K>, &V) + Send + Sync + 'static) {
        self.rows("KSTREAM-FOREACH-", move |rows: Records<K, V>| {
            each(&rows, &action);
            Records::<K, V>::with_capacity(0)
        });
    }

    /// The rows of both streams. Rows of one stream keep their order.
    pub fn merge(&self, other: &Self) -> Self {
        let node = self.graph.node("KSTREAM-MERGE-");
        self.graph.processor(&node, &[&self.node, &other.node], &[], supplier(|| PassThrough));
        Self { node, rekeyed: self.rekeyed || other.rekeyed, ..self.clone() }
    }

    /// Names the node of the next operator; what comes after it has a generated name again. Two nodes cannot have one
    /// name, so name each of several operators on one stream.
    ///
    /// This is Kafka's `Named`. Stores and repartition topics have names of their own: see [`Materialized`],
    /// [`Grouped`], [`Repartitioned`] and their like.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { graph: self.graph.named(name), ..self.clone() }
    }

    /// Writes the rows to a topic, which must exist.
    pub fn to_with(&self, topic: &str, produced: Produced<K, V>) {
        let Produced { keys, values, partitioner, name } = produced;
        let node = name.unwrap_or_else(|| self.graph.node("KSTREAM-SINK-"));
        let encoder = codec::routed_encoder(keys, values, Route::partitioned(partitioner));
        self.graph.with(|topology| {
            topology.add_sink(&node, topic, encoder, &[&self.node]);
        });
    }

    /// Writes every row to the topic that `extract` names; rows without value are written, so it sees them, too. The
    /// topics must exist: a row whose topic does not is left to `production.exception.handler`.
    pub fn to_dynamic_with<T, F>(&self, extract: F, produced: Produced<K, V>)
    where
        T: AsRef<str>,
        F: Fn(Option<&K>, Option<&V>, &RecordContext<'_>) -> T + Send + Sync + 'static,
    {
        let Produced { keys, values, partitioner, name } = produced;
        let node = name.unwrap_or_else(|| self.graph.node("KSTREAM-SINK-"));
        let topic: TopicExtractor<K, V> =
            Arc::new(move |key, value, context, name| name.push_str(extract(key, value, context).as_ref()));
        let encoder = codec::routed_encoder(keys, values, Route { topic: Some(topic), partitioner });
        self.graph.with(|topology| {
            topology.add_dynamic_sink(&node, type_name::<F>(), encoder, &[&self.node]);
        });
    }

    /// Groups by the key that the rows have, with the serdes for the way there if the key was changed.
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> KGroupedStream<K, V> {
        KGroupedStream::new(self.graph.clone(), self.node.clone(), self.rekeyed, grouped)
    }

    /// Groups by a new key, with the serdes for the way there.
    pub fn group_by_with<K2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> K2 + Send + Sync + 'static,
        grouped: Grouped<K2, V>,
    ) -> KGroupedStream<K2, V>
    where
        K2: Clone + Send + Sync + 'static,
    {
        self.select_key(mapper).group_by_key_with(grouped)
    }

    pub(crate) fn rows<B: Batch + Sized>(
        &self,
        prefix: &str,
        change: impl Fn(Records<K, V>) -> B + Send + Sync + 'static,
    ) -> String {
        let node = self.graph.node(prefix);
        let change = Arc::new(change);
        let kept = match prefix {
            "KSTREAM-MAPVALUES-" => RowsKept::All,
            "KSTREAM-FILTER-"
            | "KSTREAM-FLATMAP-"
            | "KSTREAM-FLATMAPVALUES-"
            | "KSTREAM-KEY-SELECT-"
            | "KSTREAM-MAP-" => RowsKept::Some,
            _ => RowsKept::Unknown,
        };
        let make = move || Rows { change: Arc::clone(&change), kept, of: PhantomData };
        self.graph.processor(&node, &[&self.node], &[], supplier(make));
        node
    }
}

impl<K: DefaultSerde, V: DefaultSerde> KStream<K, V> {
    /// Writes the rows to a topic, which must exist.
    pub fn to(&self, topic: &str) {
        self.to_with(topic, Produced::of(self.key_serde(), self.value_serde()));
    }

    /// Writes every row to the topic that `extract` names, see [`KStream::to_dynamic_with`].
    pub fn to_dynamic<T: AsRef<str>>(
        &self,
        extract: impl Fn(Option<&K>, Option<&V>, &RecordContext<'_>) -> T + Send + Sync + 'static,
    ) {
        self.to_dynamic_with(extract, Produced::of(self.key_serde(), self.value_serde()));
    }

    /// Groups by the key that the rows have.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        let (keys, values) = (self.key_serde(), self.value_serde());
        self.group_by_key_with(Grouped { keys, values, name: None })
    }

    /// Writes the rows through a topic that is partitioned by their keys. Rows without key are dropped.
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> Self {
        let Repartitioned { name, partitions, serdes, partitioner } = repartitioned;
        let named = name.is_some();
        let name = name.unwrap_or_else(|| self.graph.name("KSTREAM-REPARTITION-"));
        let (keys, values) = serdes.unwrap_or_else(|| (self.key_serde(), self.value_serde()));
        let step =
            RepartitionStep { topic: &name, named, partitions, keeps_null_keys: false, movable: false };
        let route = Route::partitioned(partitioner);
        let node = routed_repartition(&self.graph, &self.node, step, &keys, &values, route);
        Self { graph: self.graph.clone(), node, rekeyed: false, keys: Some(keys), values: Some(values) }
    }

    /// The latest value per key; a row without value deletes its key.
    pub fn to_table(&self, materialized: Materialized<V>) -> KTable<K, V> {
        let node = materialized.node_or(self.graph.node("KSTREAM-TOTABLE-"));
        let generate = || self.graph.name("KSTREAM-TOTABLE-STATE-STORE-");
        let store = materialized.name.clone().unwrap_or_else(generate);
        let stream = self.partitioned(&store);
        let serdes = (self.key_serde(), Arc::clone(&materialized.values));
        let table = table::source_table(&self.graph, node, &stream.node, serdes, store);
        if materialized.name.is_some() {
            table.state.keep(&self.graph, &table.node, &materialized, &table.keys);
        }
        table
    }

    /// Joins every row with the table's row of the same key, as it is when the stream's row comes; rows that
    /// find none are dropped. The topics must have equal numbers of partitions.
    pub fn join<T, O>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&V, &T) -> O + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&T>| row.map(|row| joiner(value, row));
        self.look_up("KSTREAM-JOIN-", table, MissingKey::Drop, joiner)
    }

    /// As `join`, with none for the table's row where there is none.
    pub fn left_join<T, O>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&V, Option<&T>) -> O + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&T>| Some(joiner(value, row));
        self.look_up("KSTREAM-LEFTJOIN-", table, MissingKey::Keep, joiner)
    }

    fn look_up<T, O>(
        &self,
        prefix: &str,
        table: &KTable<K, T>,
        missing_key: MissingKey,
        joiner: impl Fn(&V, Option<&T>) -> Option<O> + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        T: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let stream = self.partitioned(&self.node);
        let store = table.stored();
        let node = self.graph.node(prefix);
        let joiner = move |_: Option<&K>, value: &V, row: Option<&T>| joiner(value, row);
        let (keys, joiner) = (self.key_serde(), Arc::new(joiner));
        let make = move || {
            let lookup =
                Lookup::<K, V, T, _> { keys: keys.clone(), joiner: Arc::clone(&joiner), of: PhantomData };
            JoinProcessor::new(lookup, store, missing_key)
        };
        self.graph.processor(&node, &[&stream.node], &[store], supplier(make));
        self.graph.with(|topology| {
            topology.copartition(&[&stream.node, &table.node]);
        });
        KStream { graph: self.graph.clone(), node, rekeyed: false, keys: stream.keys, values: None }
    }

    /// This stream, behind a repartition topic if its key was changed.
    pub(crate) fn partitioned(&self, topic: &str) -> Self {
        if !self.rekeyed {
            return self.clone();
        }
        let (keys, values) = (self.key_serde(), self.value_serde());
        let step =
            RepartitionStep { topic, named: false, partitions: None, keeps_null_keys: false, movable: true };
        let node = repartition(&self.graph, &self.node, step, &keys, &values);
        Self { graph: self.graph.clone(), node, rekeyed: false, keys: Some(keys), values: Some(values) }
    }

    pub(crate) fn key_serde(&self) -> DynSerde<K> {
        self.keys.clone().unwrap_or_else(K::default_serde)
    }

    pub(crate) fn value_serde(&self) -> DynSerde<V> {
        self.values.clone().unwrap_or_else(V::default_serde)
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// Groups by a new key.
    pub fn group_by<K2: DefaultSerde>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> K2 + Send + Sync + 'static,
    ) -> KGroupedStream<K2, V> {
        self.select_key(mapper).group_by_key()
    }
}

/// What is special about a repartition step.
#[derive(Clone, Copy)]
pub(crate) struct RepartitionStep<'a> {
    /// The topic is `<application.id>-<topic>-repartition`.
    pub(crate) topic: &'a str,
    /// The name was given by the user, so the nodes are named after it.
    pub(crate) named: bool,
    pub(crate) partitions: Option<u32>,
    /// Rows without key go to some partition, for left and outer joins (KIP-962); if not, they are dropped.
    pub(crate) keeps_null_keys: bool,
    /// It is here only because an operator needs it, so it may be merged with others.
    pub(crate) movable: bool,
}

/// Adds a repartition step below a node: rows without key are dropped unless the step keeps them, the others meet
/// their key's task.
/// Returns the node to continue from.
pub(crate) fn repartition<K, V>(
    graph: &Graph,
    parent: &str,
    step: RepartitionStep<'_>,
    keys: &DynSerde<K>,
    values: &DynSerde<V>,
) -> String
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    routed_repartition(graph, parent, step, keys, values, Route::default())
}

fn routed_repartition<K, V>(
    graph: &Graph,
    parent: &str,
    step: RepartitionStep<'_>,
    keys: &DynSerde<K>,
    values: &DynSerde<V>,
    route: Route<K, V>,
) -> String
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let (names, filter) = graph.repartition_names(step.topic, step.named);
    let keep_keyed = |mut rows: Records<K, V>| {
        rows.retain(|key, _| key.is_some());
        rows
    };
    let mut above = parent;
    if !step.keeps_null_keys {
        let keep_keyed = Arc::new(keep_keyed);
        let make = move || Rows { change: Arc::clone(&keep_keyed), kept: RowsKept::Some, of: PhantomData };
        graph.processor(&filter, &[parent], &[], supplier(make));
        above = &filter;
    }
    if !step.keeps_null_keys && step.movable {
        let (sink, source) = (names.sink.clone(), names.source.clone());
        graph.is_movable(MovableStep { filter: filter.clone(), sink, source });
    }
    let encoder = codec::routed_encoder(keys.clone(), values.clone(), route);
    let decoder = codec::decoder(keys.clone(), values.clone(), None);
    graph.with(|topology| topology.add_named_repartition(names, step.partitions, encoder, decoder, &[above]))
}

fn each<K, V>(rows: &Records<K, V>, action: impl Fn(Option<&K>, &V)) {
    for (key, value) in rows.keys.iter().zip(&rows.values) {
        if let Some(value) = value {
            action(key.as_ref(), value);
        }
    }
}

/// A processor that makes one batch of another.
pub(crate) struct Rows<K, V, F> {
    pub(crate) change: Arc<F>,
    pub(crate) kept: RowsKept,
    pub(crate) of: PhantomData<fn(K, V)>,
}

impl<K, V, B, F> Processor for Rows<K, V, F>
where
    K: Clone + Send + 'static,
    V: Clone + Send + 'static,
    B: Batch,
    F: Fn(Records<K, V>) -> B + Send + Sync,
{
    fn can_fail(&self) -> bool {
        false
    }

    fn rows_kept(&self) -> RowsKept {
        self.kept
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<K, V>>(batch)?;
        context.forward(Box::new((self.change)(*rows)))
    }
}

/// A processor that makes one batch of another, of any type.
pub(crate) struct Map<F>(pub(crate) Arc<F>);

impl<F> Processor for Map<F>
where
    F: Fn(Box<dyn Batch>) -> Result<Box<dyn Batch>, StreamsError> + Send + Sync,
{
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mapped = (self.0)(batch)?;
        context.forward(mapped)
    }
}

/// A processor that passes every batch on.
pub(crate) struct PassThrough;

impl Processor for PassThrough {
    fn can_fail(&self) -> bool {
        false
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        context.forward(batch)
    }
}
