//! The graph of an application before it runs: sources, processors, sinks, stores, and the sub-topologies
//! they form.

mod builder;
mod describe;
mod optimize;
mod pair;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use millstream_log::AutoOffsetReset;

use crate::batch::{Decoder, Encoder};
use crate::error::StreamsError;
use crate::processor::Processor;
use crate::store::{StoreHandle, StoreSpec};

pub use builder::{RepartitionNames, SourceOptions, TopologyBuilder};
pub use optimize::Optimization;
pub(crate) use optimize::{MovableStep, Passing, SelfJoinStep};
pub(crate) use topics::SinkTopic;
pub use topics::{TopicPattern, Topics};

/// Makes a source's decoder, one per task and topic.
pub type DecoderSupplier = Arc<dyn Fn() -> Box<dyn Decoder> + Send + Sync>;
/// Makes a sink's encoder, one per task.
pub type EncoderSupplier = Arc<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;
/// Makes a node's processor, one per task.
pub type ProcessorSupplier = Arc<dyn Fn() -> Box<dyn Processor> + Send + Sync>;

/// A checked graph, ready to be opened. Built by [`TopologyBuilder`].
#[derive(Clone)]
pub struct Topology {
    /// Parents before children.
    pub(crate) nodes: Vec<Node>,
    pub(crate) stores: Vec<StoreSpec>,
    pub(crate) repartitions: Vec<Repartition>,
    /// Groups of source nodes whose topics must have equal numbers of partitions.
    pub(crate) copartitioned: Vec<Vec<usize>>,
    /// Nodes whose rows may be taken together.
    pub(crate) pairs: Vec<[usize; 2]>,
    pub(crate) sub_topologies: Vec<SubTopology>,
    pub(crate) globals: Vec<GlobalStore>,
    /// Stores and repartition topics whose names were generated.
    pub(crate) generated_names: Vec<String>,
}

/// A store that every instance fills with all rows of a topic.
#[derive(Clone, Debug)]
pub(crate) struct GlobalStore {
    pub(crate) source: Arc<str>,
    pub(crate) processor: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) store: StoreHandle,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) parents: Vec<usize>,
    pub(crate) children: Vec<usize>,
    pub(crate) role: NodeRole,
}

#[derive(Clone)]
pub(crate) enum NodeRole {
    Source { topics: SourceTopics, decoder: DecoderSupplier, reset: Option<AutoOffsetReset> },
    Processor { supplier: ProcessorSupplier, stores: Vec<StoreHandle> },
    Sink { topic: SinkTopic, encoder: EncoderSupplier },
}

/// What a source reads: topics by name, among them those that were found to match its pattern.
#[derive(Clone)]
pub(crate) struct SourceTopics {
    pub(crate) names: Vec<TopicName>,
    pub(crate) pattern: Option<TopicPattern>,
}

/// A topic of the user's, or an internal one whose name begins with the application id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TopicName {
    External(Arc<str>),
    Internal(Arc<str>),
}

impl TopicName {
    /// The name in the log.
    pub(crate) fn resolve(&self, application: &str) -> Arc<str> {
        match self {
            Self::External(name) => Arc::clone(name),
            Self::Internal(name) => format!("{application}-{name}").into(),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External(name) | Self::Internal(name) => f.write_str(name),
        }
    }
}

/// An internal topic between two sub-topologies.
#[derive(Clone)]
pub(crate) struct Repartition {
    pub(crate) topic: TopicName,
    pub(crate) partitions: Option<u32>,
    pub(crate) sink: usize,
}

/// Nodes that are connected by edges or shared stores: what one task runs. Or a global store, which has a number among
/// them and no tasks.
#[derive(Clone)]
pub(crate) struct SubTopology {
    /// Parents before children.
    pub(crate) nodes: Vec<usize>,
    pub(crate) stores: Vec<StoreHandle>,
    /// The number of the global store.
    pub(crate) global: Option<usize>,
}

impl Topology {
    /// The names of the stores.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        let of_tasks = self.sub_topologies.iter().flat_map(|sub_topology| &sub_topology.stores);
        let handles = of_tasks.chain(self.globals.iter().map(|global| &global.store));
        let used: BTreeSet<usize> = handles.map(|handle| handle.0).collect();
        used.into_iter().map(|store| self.stores[store].name())
    }

    /// The user's topics that the sources and global stores read, each once.
    pub fn source_topics(&self) -> Vec<Arc<str>> {
        let mut topics = self.topics(|role| match role {
            NodeRole::Source { topics, .. } => topics.names.as_slice(),
            NodeRole::Processor { .. } | NodeRole::Sink { .. } => &[],
        });
        for global in &self.globals {
            if !topics.contains(&global.topic) {
                topics.push(Arc::clone(&global.topic));
            }
        }
        topics
    }

    /// The user's topics that the sinks write, each once; those that a sink chooses row by row are not known.
    pub fn sink_topics(&self) -> Vec<Arc<str>> {
        self.topics(|role| match role {
            NodeRole::Sink { topic: SinkTopic::Fixed(topic), .. } => std::slice::from_ref(topic),
            NodeRole::Sink { topic: SinkTopic::Dynamic(_), .. }
            | NodeRole::Processor { .. }
            | NodeRole::Source { .. } => &[],
        })
    }

    /// The same graph with the topics of `known` that its patterns stand for. A topic belongs to one source only.
    pub(crate) fn with_topics<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self, StreamsError> {
        let mut found = self.clone();
        for node in &mut found.nodes {
            if let NodeRole::Source { topics: SourceTopics { names, pattern: Some(pattern) }, .. } =
                &mut node.role
            {
                let matching = known.clone().filter(|topic| pattern.matches(topic));
                *names = matching.map(|topic| TopicName::External(topic.into())).collect();
            }
        }
        found.check_sources()?;
        Ok(found)
    }

    /// Every topic is read by one source, which all that need its rows follow.
    pub(crate) fn check_sources(&self) -> Result<(), StreamsError> {
        let mut readers: BTreeMap<&TopicName, &str> = BTreeMap::new();
        for node in &self.nodes {
            let NodeRole::Source { topics, .. } = &node.role else { continue };
            for topic in &topics.names {
                if let Some(other) = readers.insert(topic, &node.name) {
                    return Err(StreamsError::Topology(format!(
                        "topic {topic} is read by the sources {other} and {}: let what needs its rows follow one source",
                        node.name
                    )));
                }
            }
        }
        Ok(())
    }

    fn topics<'a>(&'a self, of: impl Fn(&'a NodeRole) -> &'a [TopicName]) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        for name in self.nodes.iter().flat_map(|node| of(&node.role)) {
            if let TopicName::External(name) = name
                && !names.contains(name)
            {
                names.push(Arc::clone(name));
            }
        }
        names
    }

    /// The source nodes above a node, or the node itself if it is one.
    pub(crate) fn sources_of(&self, node: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            match self.nodes[node].role {
                NodeRole::Source { .. } if !found.contains(&node) => found.push(node),
                NodeRole::Source { .. } => {}
                NodeRole::Processor { .. } | NodeRole::Sink { .. } => open.extend(&self.nodes[node].parents),
            }
        }
        found.sort_unstable();
        found
    }
}

impl Topology {
    /// Whether rows of this source can meet again after they went different ways: in a node, a store or a
    /// topic. Then a whole batch would go one way before it goes the other, and the order of the output would
    /// show how the input was cut; such rows go through the graph one by one.
    pub(crate) fn ways_meet(&self, source: usize) -> bool {
        let mut reached = vec![0; self.nodes.len()];
        let mut open = vec![source];
        while let Some(node) = open.pop() {
            reached[node] += 1;
            if reached[node] == 1 {
                open.extend(&self.nodes[node].children);
            }
        }
        if reached.iter().any(|ways| *ways > 1) {
            return true;
        }
        let (mut stores, mut topics, mut sinks, mut dynamic) = (Vec::new(), Vec::new(), 0, false);
        for (node, _) in self.nodes.iter().zip(&reached).filter(|(_, ways)| **ways > 0) {
            match &node.role {
                NodeRole::Source { .. } => {}
                NodeRole::Processor { stores: used, .. } => stores.extend(used.iter().map(|store| store.0)),
                NodeRole::Sink { topic, .. } => {
                    sinks += 1;
                    match topic {
                        SinkTopic::Fixed(topic) => topics.push(topic),
                        SinkTopic::Dynamic(_) => dynamic = true,
                    }
                }
            }
        }
        let (all_stores, all_topics) = (stores.len(), topics.len());
        stores.sort_unstable();
        stores.dedup();
        topics.sort_unstable();
        topics.dedup();
        // A topic that is chosen row by row can be that of another sink.
        stores.len() < all_stores || topics.len() < all_topics || dynamic && sinks > 1
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

#[cfg(test)]
mod tests;
