//! Builds and checks a topology.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_log::AutoOffsetReset;

use crate::error::StreamsError;
use crate::store::{StoreHandle, StoreKind, StoreSpec};
use crate::topology::{
    DecoderSupplier, EncoderSupplier, GlobalStore, Node, NodeRole, ProcessorSupplier, Repartition, SinkTopic,
    SourceTopics, SubTopology, TopicName, Topics, Topology,
};

/// What a source does differently from the application's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Where to begin without a committed offset, in place of `auto.offset.reset`.
    pub reset: Option<AutoOffsetReset>,
}

/// The names that a repartition step brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepartitionNames {
    /// The internal topic, without the application id.
    pub topic: String,
    /// The sink that writes it.
    pub sink: String,
    /// The source that reads it.
    pub source: String,
}

/// Collects nodes and stores. Mistakes are told by [`TopologyBuilder::build`], the only step that fails.
#[derive(Default)]
pub struct TopologyBuilder {
    pub(super) nodes: Vec<Draft>,
    stores: Vec<StoreSpec>,
    pub(super) repartitions: Vec<DraftRepartition>,
    pub(super) copartitioned: Vec<Vec<String>>,
    globals: Vec<GlobalStore>,
    /// What names of stores and repartition topics begin with that nobody chose.
    generated: Vec<String>,
    /// Nodes whose rows may be taken together.
    pub(super) pairs: Vec<[String; 2]>,
    /// Stores that nothing needs any more.
    pub(super) unused: Vec<StoreHandle>,
}

pub(super) struct Draft {
    pub(super) name: Arc<str>,
    pub(super) parents: Vec<String>,
    pub(super) role: NodeRole,
}

pub(super) struct DraftRepartition {
    topic: TopicName,
    partitions: Option<u32>,
    pub(super) sink: String,
}

impl TopologyBuilder {
    /// A topology without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source that reads topics of the user's. No other source may read any of them.
    pub fn add_source(
        &mut self,
        name: &str,
        topics: impl Into<Topics>,
        decoder: DecoderSupplier,
        options: SourceOptions,
    ) -> &mut Self {
        let topics = match topics.into() {
            Topics::Named(topics) => SourceTopics {
                names: topics.iter().map(|topic| TopicName::External(topic.as_str().into())).collect(),
                pattern: None,
            },
            Topics::Matching(pattern) => SourceTopics { names: Vec::new(), pattern: Some(pattern) },
        };
        self.add(name, &[], NodeRole::Source { topics, decoder, reset: options.reset })
    }

    /// Adds a processor below its parents, with the stores it may use.
    pub fn add_processor(
        &mut self,
        name: &str,
        supplier: ProcessorSupplier,
        parents: &[&str],
        stores: &[StoreHandle],
    ) -> &mut Self {
        self.add(name, parents, NodeRole::Processor { supplier, stores: stores.to_vec() })
    }

    /// Lets rows of two inputs that come to these nodes be given to the first one together, where nothing else sees in
    /// which order rows of the two come: [`Processor::process_pair`](crate::Processor::process_pair). The nodes must have
    /// the same stores and children.
    pub fn pair(&mut self, left: &str, right: &str) -> &mut Self {
        self.pairs.push([left.to_owned(), right.to_owned()]);
        self
    }

    /// Adds a sink that writes to a topic of the user's.
    pub fn add_sink(
        &mut self,
        name: &str,
        topic: &str,
        encoder: EncoderSupplier,
        parents: &[&str],
    ) -> &mut Self {
        let topic = SinkTopic::Fixed(TopicName::External(topic.into()));
        self.add(name, parents, NodeRole::Sink { topic, encoder })
    }

    /// Adds a sink whose encoder chooses a topic for every row, with
    /// [`RecordSink::choose_topic`](crate::RecordSink::choose_topic). `extractor` names in the description what
    /// decides that.
    pub fn add_dynamic_sink(
        &mut self,
        name: &str,
        extractor: &'static str,
        encoder: EncoderSupplier,
        parents: &[&str],
    ) -> &mut Self {
        self.add(name, parents, NodeRole::Sink { topic: SinkTopic::Dynamic(extractor), encoder })
    }

    /// Adds a store. Connect it to processors with the handle, or later by [`TopologyBuilder::connect`].
    pub fn add_store(&mut self, spec: StoreSpec) -> StoreHandle {
        self.stores.push(spec);
        StoreHandle(self.stores.len() - 1)
    }

    /// Adds a store that a topic fills: a processor puts the rows of its source there, unchanged and with their keys and
    /// times, and the topic is what the store is restored from, so it is not written again (KIP-813). Others may only
    /// read it. The topic should be a compacted one.
    pub fn add_read_only_store(
        &mut self,
        spec: StoreSpec,
        source: &str,
        topic: &str,
        decoder: DecoderSupplier,
        processor: (&str, ProcessorSupplier),
    ) -> StoreHandle {
        let store = self.add_store(spec.filled_by(topic));
        let (name, supplier) = processor;
        self.add_source(source, topic, decoder, SourceOptions::default());
        self.add_processor(name, supplier, &[source], &[store]);
        store
    }

    /// Lets a topic stand for the changelog of a store, see [`TopologyBuilder::add_read_only_store`].
    pub(crate) fn fill_by_topic(&mut self, store: StoreHandle, topic: &str) {
        self.stores[store.0].source_topic = Some(topic.into());
    }

    /// The name of a store that was added.
    pub fn store_name(&self, store: StoreHandle) -> &str {
        self.stores[store.0].name()
    }

    /// The store of this name, if it was added.
    pub fn store(&self, name: &str) -> Option<StoreHandle> {
        self.stores.iter().position(|store| store.name() == name).map(StoreHandle)
    }

    /// Says that what has a name that begins like this was not named by the user.
    pub(crate) fn is_generated(&mut self, prefix: String) {
        self.generated.push(prefix);
    }

    /// The parents of a node that was added.
    pub(crate) fn parents(&self, node: &str) -> &[String] {
        let found = self.nodes.iter().find(|known| *known.name == *node);
        found.map_or(&[], |node| node.parents.as_slice())
    }

    /// Lets one more processor use a store; both then run in the same task.
    pub fn connect(&mut self, processor: &str, store: StoreHandle) -> &mut Self {
        for node in self.nodes.iter_mut().filter(|node| *node.name == *processor) {
            if let NodeRole::Processor { stores, .. } = &mut node.role
                && !stores.contains(&store)
            {
                stores.push(store);
            }
        }
        self
    }

    /// Writes what the parents forward to the internal topic `<application.id>-<name>-repartition` and reads
    /// it back, so that rows with equal keys meet in one task. Returns the name of the source to continue
    /// from.
    ///
    /// Without `partitions` the topic gets as many as the sources above it have, or those it must be
    /// co-partitioned with. The nodes are `<name>-repartition-sink` and `<name>-repartition-source`.
    pub fn add_repartition(
        &mut self,
        name: &str,
        partitions: Option<u32>,
        encoder: EncoderSupplier,
        decoder: DecoderSupplier,
        parents: &[&str],
    ) -> String {
        let topic = format!("{name}-repartition");
        let (sink, source) = (format!("{topic}-sink"), format!("{topic}-source"));
        let names = RepartitionNames { topic, sink, source };
        self.add_named_repartition(names, partitions, encoder, decoder, parents)
    }

    /// As [`TopologyBuilder::add_repartition`], with all names given.
    pub fn add_named_repartition(
        &mut self,
        names: RepartitionNames,
        partitions: Option<u32>,
        encoder: EncoderSupplier,
        decoder: DecoderSupplier,
        parents: &[&str],
    ) -> String {
        let RepartitionNames { topic, sink, source } = names;
        let topic = TopicName::Internal(topic.into());
        self.add(&sink, parents, NodeRole::Sink { topic: SinkTopic::Fixed(topic.clone()), encoder });
        let reset = Some(AutoOffsetReset::Earliest);
        let topics = SourceTopics { names: vec![topic.clone()], pattern: None };
        self.add(&source, &[], NodeRole::Source { topics, decoder, reset });
        self.repartitions.push(DraftRepartition { topic, partitions, sink });
        source
    }

    /// Fills a key-value store with all rows of a topic, on every instance of the application; processors read it by
    /// its handle. `source` and `processor` are the names of the nodes in the description.
    pub fn add_global_store(
        &mut self,
        spec: StoreSpec,
        topic: &str,
        source: &str,
        processor: &str,
    ) -> StoreHandle {
        let store = self.add_store(spec);
        self.globals.push(GlobalStore {
            source: source.into(),
            processor: processor.into(),
            topic: topic.into(),
            store,
        });
        store
    }

    /// Demands that the topics above these nodes have equal numbers of partitions, as joins need it.
    pub fn copartition(&mut self, nodes: &[&str]) -> &mut Self {
        self.copartitioned.push(nodes.iter().map(|node| (*node).to_owned()).collect());
        self
    }

    /// Checks the graph and finds its sub-topologies.
    pub fn build(self) -> Result<Topology, StreamsError> {
        let order = self.order()?;
        let position: HashMap<&str, usize> =
            order.iter().enumerate().map(|(position, draft)| (&*self.nodes[*draft].name, position)).collect();
        let mut nodes = Vec::with_capacity(order.len());
        for draft in &order {
            let draft = &self.nodes[*draft];
            let parents = draft.parents.iter().map(|parent| position[parent.as_str()]).collect();
            nodes.push(Node {
                name: draft.name.clone(),
                parents,
                children: Vec::new(),
                role: draft.role.clone(),
            });
        }
        // Children in the order in which they were added.
        for draft in &self.nodes {
            let child = position[&*draft.name];
            for parent in nodes[child].parents.clone() {
                nodes[parent].children.push(child);
            }
        }
        self.check_stores(&nodes)?;
        let repartitions = self.repartitions.iter().map(|repartition| Repartition {
            topic: repartition.topic.clone(),
            partitions: repartition.partitions,
            sink: position[repartition.sink.as_str()],
        });
        let repartitions = repartitions.collect();
        let sub_topologies = sub_topologies(&nodes, &self.globals);
        let generated_names = self.generated_names();
        let mut topology = Topology {
            nodes,
            stores: self.stores,
            repartitions,
            copartitioned: Vec::new(),
            pairs: Vec::new(),
            sub_topologies,
            globals: self.globals.clone(),
            generated_names,
        };
        topology.check_sources()?;
        for group in &self.copartitioned {
            let mut sources = Vec::new();
            for node in group {
                let node =
                    position.get(node.as_str()).ok_or_else(|| unknown(node, "a co-partitioning rule"))?;
                sources.extend(topology.sources_of(*node));
            }
            sources.sort_unstable();
            sources.dedup();
            topology.copartitioned.push(sources);
        }
        for [left, right] in &self.pairs {
            let place = |node: &str| position.get(node).copied().ok_or_else(|| unknown(node, "a pair"));
            let pair = [place(left)?, place(right)?];
            topology.check_pair(pair)?;
            topology.pairs.push(pair);
        }
        Ok(topology)
    }

    fn add(&mut self, name: &str, parents: &[&str], role: NodeRole) -> &mut Self {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        self.nodes.push(Draft { name: name.into(), parents, role });
        self
    }

    /// Indexes of the nodes, parents before children and otherwise in the order in which they were added.
    fn order(&self) -> Result<Vec<usize>, StreamsError> {
        let mut index = HashMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            check_name(&node.name)?;
            if index.insert(&*node.name, number).is_some() {
                return Err(StreamsError::Topology(format!("two nodes are named {}", node.name)));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut placed = vec![false; self.nodes.len()];
        for node in &self.nodes {
            self.check_parents(node, &index)?;
        }
        while order.len() < self.nodes.len() {
            let next = (0..self.nodes.len()).find(|number| {
                !placed[*number]
                    && self.nodes[*number].parents.iter().all(|parent| placed[index[parent.as_str()]])
            });
            let Some(next) = next else {
                let names: Vec<&str> =
                    (0..self.nodes.len()).filter(|n| !placed[*n]).map(|n| &*self.nodes[n].name).collect();
                return Err(StreamsError::Topology(format!(
                    "these nodes form a cycle: {}",
                    names.join(", ")
                )));
            };
            placed[next] = true;
            order.push(next);
        }
        Ok(order)
    }

    fn check_parents(&self, node: &Draft, index: &HashMap<&str, usize>) -> Result<(), StreamsError> {
        let has_parents = !node.parents.is_empty();
        match &node.role {
            NodeRole::Source { topics, .. } if topics.names.is_empty() && topics.pattern.is_none() => {
                return Err(StreamsError::Topology(format!("source {} has no topics", node.name)));
            }
            NodeRole::Source { .. } => {}
            NodeRole::Processor { .. } | NodeRole::Sink { .. } if !has_parents => {
                return Err(StreamsError::Topology(format!("node {} has no parents", node.name)));
            }
            NodeRole::Processor { .. } | NodeRole::Sink { .. } => {}
        }
        for parent in &node.parents {
            let parent = index.get(parent.as_str()).ok_or_else(|| unknown(parent, &node.name))?;
            if let NodeRole::Sink { .. } = self.nodes[*parent].role {
                let name = &self.nodes[*parent].name;
                return Err(StreamsError::Topology(format!(
                    "sink {name} cannot be the parent of {}",
                    node.name
                )));
            }
        }
        Ok(())
    }

    fn generated_names(&self) -> Vec<String> {
        let stores = self.stores.iter().enumerate();
        let stores = stores.filter(|(number, _)| !self.unused.contains(&StoreHandle(*number)));
        let stores = stores.map(|(_, store)| format!("store {}", store.name()));
        let topics = self.repartitions.iter().map(|topic| format!("repartition topic {}", topic.topic));
        let is_generated = |named: &String| {
            let name = named.rsplit(' ').next().unwrap_or_default();
            self.generated.iter().any(|generated| name.starts_with(generated.as_str()))
        };
        stores.chain(topics).filter(is_generated).collect()
    }

    fn check_stores(&self, nodes: &[Node]) -> Result<(), StreamsError> {
        for (number, store) in self.stores.iter().enumerate() {
            check_name(store.name())?;
            if self.stores[..number].iter().any(|other| other.name() == store.name()) {
                return Err(StreamsError::Topology(format!("two stores are named {}", store.name())));
            }
            let handle = StoreHandle(number);
            let used = nodes.iter().any(|node| match &node.role {
                NodeRole::Processor { stores, .. } => stores.contains(&handle),
                NodeRole::Source { .. } | NodeRole::Sink { .. } => false,
            });
            let users = nodes.iter().filter(|node| match &node.role {
                NodeRole::Processor { stores, .. } => stores.contains(&handle),
                NodeRole::Source { .. } | NodeRole::Sink { .. } => false,
            });
            if let Some(topic) = &store.source_topic {
                let reads = |node: &Node| match &node.role {
                    NodeRole::Source { topics, .. } => topics
                        .names
                        .iter()
                        .any(|name| matches!(name, TopicName::External(name) if name == topic)),
                    NodeRole::Processor { .. } | NodeRole::Sink { .. } => false,
                };
                if store.kind() != StoreKind::KeyValue || !nodes.iter().any(reads) {
                    return Err(StreamsError::Topology(format!(
                        "store {} cannot be filled by topic {topic}: it takes a source of that topic and a key-value \
                         store",
                        store.name()
                    )));
                }
            }
            if store.timers && users.count() > 1 {
                return Err(StreamsError::Topology(format!(
                    "the timers {} belong to more than one processor: add a store of timers for each",
                    store.name()
                )));
            }
            let needed = !self.unused.contains(&handle);
            if needed && !used && !self.globals.iter().any(|global| global.store == handle) {
                return Err(StreamsError::Topology(format!(
                    "store {} is not used by any processor",
                    store.name()
                )));
            }
        }
        Ok(())
    }
}

fn unknown(node: &str, wanted_by: &str) -> StreamsError {
    StreamsError::Topology(format!("{wanted_by} names the node {node}, which was not added"))
}

fn check_name(name: &str) -> Result<(), StreamsError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        return Err(StreamsError::Topology(format!(
            "\"{name}\" is not a name: use 1 to 249 of the characters A-Z a-z 0-9 . _ -"
        )));
    }
    Ok(())
}

/// Joins nodes that share an edge or a store. The groups are numbered in the order of the names of their first sources,
/// and global stores with them, as Kafka does.
fn sub_topologies(nodes: &[Node], globals: &[GlobalStore]) -> Vec<SubTopology> {
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (from, to) = (group[a].max(group[b]), group[a].min(group[b]));
        group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
    };
    let mut owner: HashMap<StoreHandle, usize> = HashMap::new();
    for (number, node) in nodes.iter().enumerate() {
        for parent in &node.parents {
            join(*parent, number);
        }
        if let NodeRole::Processor { stores, .. } = &node.role {
            for store in stores {
                join(*owner.entry(*store).or_insert(number), number);
            }
        }
    }
    let mut first: Vec<usize> = group.clone();
    first.sort_unstable();
    first.dedup();
    let of_nodes = first.iter().map(|first| {
        let nodes_of: Vec<usize> = (0..nodes.len()).filter(|node| group[*node] == *first).collect();
        let mut stores: Vec<StoreHandle> =
            owner.iter().filter(|(_, node)| group[**node] == *first).map(|(store, _)| *store).collect();
        stores.sort_unstable_by_key(|store| store.0);
        let sources = nodes_of.iter().filter(|node| matches!(nodes[**node].role, NodeRole::Source { .. }));
        let name = sources.map(|node| &*nodes[*node].name).min().unwrap_or_default();
        (name, SubTopology { nodes: nodes_of, stores, global: None })
    });
    let of_globals = globals.iter().enumerate().map(|(number, global)| {
        (&*global.source, SubTopology { nodes: Vec::new(), stores: Vec::new(), global: Some(number) })
    });
    let mut members: Vec<(&str, SubTopology)> = of_nodes.chain(of_globals).collect();
    members.sort_by_key(|(name, _)| *name);
    members.into_iter().map(|(_, member)| member).collect()
}
