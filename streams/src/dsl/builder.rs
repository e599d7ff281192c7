//! Where a typed topology begins, and the graph that its streams and tables share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::dsl::arena::ValueArena;
use crate::dsl::codec;
use crate::dsl::global_table::GlobalKTable;
use crate::dsl::params::{Consumed, Materialized};
use crate::dsl::stream::KStream;
use crate::dsl::table::{self, KTable};
use crate::error::StreamsError;
use crate::processor::Processor;
use crate::store::{StoreHandle, StoreSpec};
use crate::topology::{ProcessorSupplier, RepartitionNames, SourceOptions, Topology, TopologyBuilder};

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

    /// Reads a topic as a stream.
    pub fn stream<K, V>(&self, topic: &str, consumed: Consumed<K, V>) -> KStream<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let node = consumed.name.clone().unwrap_or_else(|| self.graph.name("KSTREAM-SOURCE-"));
        let (keys, values) = (consumed.keys.clone(), consumed.values.clone());
        self.graph.source(&node, topic, consumed);
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
        self.graph.source(&source, topic, consumed);
        table::source_table(&self.graph, node, &source, serdes, store)
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

    /// Checks the graph.
    pub fn build(self) -> Result<Topology, StreamsError> {
        let Draft { topology, refused, .. } = std::mem::take(&mut *self.graph.0.borrow_mut());
        match refused {
            Some(reason) => Err(StreamsError::Topology(reason)),
            None => topology.build(),
        }
    }
}

/// The graph under construction, shared by the builder and all streams and tables made from it.
#[derive(Clone, Default)]
pub(crate) struct Graph(Rc<RefCell<Draft>>);

#[derive(Default)]
struct Draft {
    topology: TopologyBuilder,
    names: u32,
    /// For how long after their end the windows of an aggregation's node can change, in ms.
    graces: BTreeMap<String, i64>,
    /// What cannot be built.
    refused: Option<String>,
}

impl Graph {
    /// The next generated name: a prefix and the next of one sequence of numbers, as Kafka's.
    pub(crate) fn name(&self, prefix: &str) -> String {
        let mut draft = self.0.borrow_mut();
        let name = format!("{prefix}{:010}", draft.names);
        draft.names += 1;
        name
    }

    /// Makes the build fail; the first reason counts.
    pub(crate) fn refuse(&self, reason: String) {
        self.0.borrow_mut().refused.get_or_insert(reason);
    }

    /// Says how long after their end the windows of a node can change.
    pub(crate) fn set_grace(&self, node: &str, grace_ms: i64) {
        self.0.borrow_mut().graces.insert(node.to_owned(), grace_ms);
    }

    /// How long after their end the windows can change that reach a node, or none if something else does.
    pub(crate) fn grace(&self, node: &str) -> Option<i64> {
        let draft = self.0.borrow();
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
        change(&mut self.0.borrow_mut().topology)
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

    fn source<K, V>(&self, node: &str, topic: &str, consumed: Consumed<K, V>)
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Consumed { keys, values, timestamp, reset, .. } = consumed;
        let decoder = codec::decoder(keys, values, timestamp);
        self.with(|topology| {
            topology.add_source(node, &[topic], decoder, SourceOptions { reset });
        });
    }
}

/// A supplier of processors that are made by a function.
pub(crate) fn supplier<P: Processor + 'static>(
    make: impl Fn() -> P + Send + Sync + 'static,
) -> ProcessorSupplier {
    Arc::new(move || Box::new(make()))
}
