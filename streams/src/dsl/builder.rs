//! Where a typed topology begins, and the graph that its streams and tables share.

use std::any::{TypeId, type_name};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_log::AutoOffsetReset;

use crate::dsl::arena::ValueArena;
use crate::dsl::codec;
use crate::dsl::global_table::GlobalKTable;
use crate::dsl::params::{Consumed, Materialized};
use crate::dsl::stream::KStream;
use crate::dsl::table::{self, KTable};
use crate::dsl::table_rows::TableState;
use crate::error::StreamsError;
use crate::processor::Processor;
use crate::store::{StoreHandle, StoreSpec};
use crate::topology::{
    MovableStep, Optimization, Passing, ProcessorSupplier, RepartitionNames, SelfJoinStep, SourceOptions,
    Topics, Topology, TopologyBuilder,
};

/// Builds a topology of typed streams and tables.
#[derive(Default)]
pub struct StreamsBuilder {
    graph: Graph,
}

impl StreamsBuilder {
    /// A topology without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads topics as a stream: one (`"orders"`), several (`["orders", "returns"]`), or all that match a
    /// [`TopicPattern`](crate::TopicPattern).
    ///
    /// Streams and tables of the same topics share one source, with the serdes of the first. A topic cannot be read in
    /// two ways, and not in two lists of topics.
    pub fn stream<K, V>(&self, topics: impl Into<Topics>, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let node = consumed.name.clone().unwrap_or_else(|| self.graph.name("KSTREAM-SOURCE-"));
        let (keys, values) = (consumed.keys.clone(), consumed.values.clone());
        let node = self.graph.source(node, topics.into(), consumed);
        KStream { graph: self.graph.clone(), node, rekeyed: false, keys: Some(keys), values: Some(values) }
    }

    /// Reads a topic as a table: the latest value per key; a record without value deletes its key. If it has to
    /// be kept, then in the store `<topic>-STATE-STORE-<n>`.
    pub fn table<K, V>(&self, topic: &str, consumed: Consumed<K, V>) -> KTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let store = self.graph.name(&format!("{topic}-STATE-STORE-"));
        self.source_table(topic, consumed, store)
    }

    /// As [`StreamsBuilder::table`], kept in a store of this name.
    pub fn table_in<K, V>(&self, topic: &str, consumed: Consumed<K, V>, store: &str) -> KTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let kept = Materialized::of(Arc::clone(&consumed.values));
        let table = self.source_table(topic, consumed, store.to_owned());
        table.state.keep(&self.graph, &table.node, &kept, &table.keys);
        table
    }

    fn source_table<K, V>(&self, topic: &str, consumed: Consumed<K, V>, store: String) -> KTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let source = consumed.name.clone().unwrap_or_else(|| self.graph.name("KSTREAM-SOURCE-"));
        let node = self.graph.name("KTABLE-SOURCE-");
        let serdes = (consumed.keys.clone(), consumed.values.clone());
        let is_as_it_is = consumed.timestamp.is_none();
        let source = self.graph.source(source, topic.into(), consumed);
        let table = table::source_table(&self.graph, node, &source, serdes, store);
        if is_as_it_is {
            let noted = (topic.to_owned(), Arc::clone(&table.state));
            self.graph.draft.borrow_mut().tables.push(noted);
        }
        table
    }

    /// Reads a topic as a global table, kept in the store `<topic>-STATE-STORE-<n>`.
    pub fn global_table<K, V>(&self, topic: &str, consumed: Consumed<K, V>) -> GlobalKTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let store = self.graph.name(&format!("{topic}-STATE-STORE-"));
        self.global_table_in(topic, consumed, &store)
    }

    /// As [`StreamsBuilder::global_table`], kept in a store of this name.
    pub fn global_table_in<K, V>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        store: &str,
    ) -> GlobalKTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let source = consumed.name.clone().unwrap_or_else(|| self.graph.name("KSTREAM-SOURCE-"));
        let processor = self.graph.name("KTABLE-SOURCE-");
        let (keys, values) = (consumed.keys, consumed.values);
        let arena_values = Arc::clone(&values);
        let spec = StoreSpec::key_value(store, move || ValueArena::new(Arc::clone(&arena_values)));
        let handle = self.graph.with(|topology| topology.add_global_store(spec, topic, &source, &processor));
        GlobalKTable { store: handle, name: store.to_owned(), keys, values }
    }

    /// Adds a store for processors, which name it when they are added. A store that no processor names is an error.
    pub fn add_state_store(&self, store: StoreSpec) -> &Self {
        self.graph.store(store);
        self
    }

    /// Reads a topic into a store that only this does, for processors that name it: the topic is the store's changelog,
    /// so nothing is written twice (KIP-813). It should be a compacted one.
    pub fn add_read_only_store<K, V>(&self, topic: &str, consumed: Consumed<K, V>, store: &str) -> &Self
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let handle = self.table_in(topic, consumed, store).state.store();
        self.graph.with(|topology| handle.into_iter().for_each(|store| topology.fill_by_topic(store, topic)));
        self
    }

    /// Checks the graph.
    pub fn build(self) -> Result<Topology, StreamsError> {
        self.build_with(Optimization::NONE)
    }

    /// As [`StreamsBuilder::build`], after what can be saved is; from
    /// [`StreamsConfig::optimization`](crate::StreamsConfig::optimization), for example.
    pub fn build_with(self, optimization: Optimization) -> Result<Topology, StreamsError> {
        let Draft { mut topology, refused, generated, passing, steps, self_joins, tables, .. } =
            std::mem::take(&mut *self.graph.draft.borrow_mut());
        if optimization.reuse_source_topics {
            for (topic, state) in tables {
                state.store().into_iter().for_each(|store| topology.fill_by_topic(store, &topic));
            }
        }
        if optimization.merge_repartition_topics {
            topology.merge_repartitions(&steps, &passing);
        }
        if optimization.single_store_self_join {
            topology.join_with_themselves(self_joins);
        }
        generated.into_iter().for_each(|name| topology.is_generated(name));
        match refused {
            Some(reason) => Err(StreamsError::Topology(reason)),
            None => topology.build(),
        }
    }
}

/// The graph under construction, shared by the builder and all streams and tables made from it.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    draft: Rc<RefCell<Draft>>,
    /// The name of the next operator, if the user gave one.
    next_name: Rc<Cell<Option<String>>>,
}

#[derive(Default)]
struct Draft {
    topology: TopologyBuilder,
    names: u32,
    sources: Vec<Source>,
    /// Names that were generated.
    generated: Vec<String>,
    /// What nodes do to rows, of those that a repartition step can be moved past.
    passing: BTreeMap<String, Passing>,
    /// Repartition steps that operators need.
    steps: Vec<MovableStep>,
    /// Joins of streams that may be one.
    self_joins: Vec<SelfJoinStep>,
    /// Tables that have the rows of a topic as they are, with their topics.
    tables: Vec<(String, Arc<TableState>)>,
    /// For how long after their end the windows of an aggregation's node can change, in ms.
    graces: BTreeMap<String, i64>,
    /// What cannot be built.
    refused: Option<String>,
}

/// A source, to let others share it.
struct Source {
    node: String,
    topics: Topics,
    reset: Option<AutoOffsetReset>,
    /// Of keys and values.
    types: [(TypeId, &'static str); 2],
    /// Which timestamp extractor it has.
    extractor: Option<usize>,
}

impl Source {
    /// This source, if another one reads the same topics. Fails if they read a topic in different ways.
    fn shared_with(&self, other: &Self) -> Result<Option<String>, String> {
        let Some(topic) = self.topics.shared_with(&other.topics) else { return Ok(None) };
        let differently = |what: &str, this: &dyn fmt::Display, that: &dyn fmt::Display| {
            let text = format!("topic {topic} is read twice, {what} {this} and {that}");
            Err(format!("{text}: read it once, and let both follow that stream"))
        };
        if !self.topics.is_same(&other.topics) {
            return differently("as one of", &self.topics, &other.topics);
        }
        let of = |types: &[(TypeId, &str); 2]| format!("{} -> {}", types[0].1, types[1].1);
        if self.types != other.types {
            return differently("as", &of(&self.types), &of(&other.types));
        }
        if self.reset != other.reset {
            let of = |reset: &Option<AutoOffsetReset>| match reset {
                Some(reset) => format!("{reset:?}"),
                None => "auto.offset.reset".to_owned(),
            };
            return differently("from", &of(&self.reset), &of(&other.reset));
        }
        if self.extractor != other.extractor {
            let of = |source: &Self| match source.extractor {
                Some(_) => "the extractor",
                None => "the records",
            };
            return differently("with the timestamps of", &of(self), &of(other));
        }
        Ok(Some(self.node.clone()))
    }
}

impl Graph {
    /// The same graph, whose next operator has this name.
    pub(crate) fn named(&self, name: &str) -> Self {
        Self { draft: Rc::clone(&self.draft), next_name: Rc::new(Cell::new(Some(name.to_owned()))) }
    }

    /// The name of an operator's node: the one that the user gave, or else a generated one, which is used up in any
    /// case, so that naming one node does not rename others.
    pub(crate) fn node(&self, prefix: &str) -> String {
        let generated = self.name(prefix);
        let node = self.given_name().unwrap_or(generated);
        let passing = match prefix {
            "KSTREAM-FILTER-" | "KSTREAM-PEEK-" => Some(Passing::Unchanged),
            "KSTREAM-MAP-" | "KSTREAM-FLATMAP-" | "KSTREAM-KEY-SELECT-" | "KSTREAM-PROCESSOR-" => {
                Some(Passing::Rekeyed)
            }
            _ => None,
        };
        if let Some(passing) = passing {
            self.draft.borrow_mut().passing.insert(node.clone(), passing);
        }
        node
    }

    /// Notes a repartition step that stands where it does only because an operator needs it.
    pub(crate) fn is_movable(&self, step: MovableStep) {
        self.draft.borrow_mut().steps.push(step);
    }

    /// Notes a join of streams that may turn out to be one.
    pub(crate) fn may_be_self_join(&self, step: SelfJoinStep) {
        self.draft.borrow_mut().self_joins.push(step);
    }

    /// The name that the user gave the next operator; the one after it has none.
    pub(crate) fn given_name(&self) -> Option<String> {
        self.next_name.take()
    }

    /// The next generated name: a prefix and the next of one sequence of numbers, as Kafka's.
    pub(crate) fn name(&self, prefix: &str) -> String {
        let mut draft = self.draft.borrow_mut();
        let name = format!("{prefix}{:010}", draft.names);
        draft.names += 1;
        draft.generated.push(name.clone());
        name
    }

    /// Makes the build fail; the first reason counts.
    pub(crate) fn refuse(&self, reason: String) {
        self.draft.borrow_mut().refused.get_or_insert(reason);
    }

    /// Says how long after their end the windows of a node can change.
    pub(crate) fn set_grace(&self, node: &str, grace_ms: i64) {
        self.draft.borrow_mut().graces.insert(node.to_owned(), grace_ms);
    }

    /// How long after their end the windows can change that reach a node, or none if something else does.
    pub(crate) fn grace(&self, node: &str) -> Option<i64> {
        let draft = self.draft.borrow();
        let mut open = vec![node];
        let mut longest = None;
        while let Some(node) = open.pop() {
            match (draft.graces.get(node), draft.topology.parents(node)) {
                (Some(grace), _) => longest = longest.max(Some(*grace)),
                (None, []) => return None,
                (None, parents) => open.extend(parents.iter().map(String::as_str)),
            }
        }
        longest
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut TopologyBuilder) -> R) -> R {
        change(&mut self.draft.borrow_mut().topology)
    }

    pub(crate) fn processor(
        &self,
        name: &str,
        parents: &[&str],
        stores: &[StoreHandle],
        supplier: ProcessorSupplier,
    ) {
        self.with(|topology| {
            topology.add_processor(name, supplier, parents, stores);
        });
    }

    pub(crate) fn store(&self, spec: StoreSpec) -> StoreHandle {
        self.with(|topology| topology.add_store(spec))
    }

    pub(crate) fn store_name(&self, store: StoreHandle) -> String {
        self.with(|topology| topology.store_name(store).to_owned())
    }

    /// The nodes of a repartition step. Generated names are used up even if a name is given, so that naming
    /// one step does not rename others.
    pub(crate) fn repartition_names(&self, topic: &str, named: bool) -> (RepartitionNames, String) {
        let (sink, filter) = (self.name("KSTREAM-SINK-"), self.name("KSTREAM-FILTER-"));
        let source = self.name("KSTREAM-SOURCE-");
        let topic = format!("{topic}-repartition");
        if named {
            let (sink, source) = (format!("{topic}-sink"), format!("{topic}-source"));
            let filter = format!("{topic}-filter");
            return (RepartitionNames { topic, sink, source }, filter);
        }
        (RepartitionNames { topic, sink, source }, filter)
    }

    /// Adds a source, or finds the one that reads the same topics in the same way. Returns its node.
    fn source<K, V>(&self, node: String, topics: Topics, consumed: Consumed<K, V>) -> String
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Consumed { keys, values, timestamp, reset, .. } = consumed;
        let types = [(TypeId::of::<K>(), type_name::<K>()), (TypeId::of::<V>(), type_name::<V>())];
        let extractor = timestamp.as_ref().map(|extractor| Arc::as_ptr(extractor).addr());
        let source = Source { node, topics, reset, types, extractor };
        let decoder = codec::decoder(keys, values, timestamp);
        let mut draft = self.draft.borrow_mut();
        let shared = draft.sources.iter().map(|known| known.shared_with(&source)).find_map(Result::transpose);
        match shared {
            Some(Ok(node)) => return node,
            Some(Err(reason)) => {
                draft.refused.get_or_insert(reason);
            }
            None => {}
        }
        draft.topology.add_source(&source.node, source.topics.clone(), decoder, SourceOptions { reset });
        let node = source.node.clone();
        draft.sources.push(source);
        node
    }
}

/// A supplier of processors that are made by a function.
pub(crate) fn supplier<P: Processor + 'static>(
    make: impl Fn() -> P + Send + Sync + 'static,
) -> ProcessorSupplier {
    Arc::new(move || Box::new(make()))
}
