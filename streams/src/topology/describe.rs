//! The text form of a topology, as Kafka's `Topology.describe()` writes it: visualisers parse it.

use std::cmp::Reverse;
use std::fmt::Write;

use crate::store::StoreSpec;
use crate::topology::{GlobalStore, Node, NodeRole, SinkTopic, Topology};

impl Topology {
    /// Sub-topologies with their nodes, stores, topics, successors and predecessors.
    pub fn describe(&self) -> String {
        let sizes = self.sizes();
        let mut text = String::from("Topologies:\n");
        for (number, sub_topology) in self.sub_topologies.iter().enumerate() {
            match sub_topology.global {
                Some(global) => describe_global(&mut text, number, &self.globals[global], &self.stores),
                None => line(&mut text, format_args!("   Sub-topology: {number}")),
            }
            let mut nodes = sub_topology.nodes.clone();
            self.sort(&mut nodes, &sizes);
            for node in nodes {
                self.describe_node(&mut text, &self.nodes[node], &sizes);
            }
            text.push('\n');
        }
        text
    }

    /// How many ways lead down from each node, those that end at once or on their way included: Kafka's size of a node.
    fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0u64; self.nodes.len()];
        // Parents come before their children.
        for (number, node) in self.nodes.iter().enumerate().rev() {
            sizes[number] = node.children.iter().fold(1, |size, child| size.saturating_add(sizes[*child]));
        }
        sizes
    }

    /// Brings nodes into Kafka's order: the larger ones first, equal ones by name.
    fn sort(&self, nodes: &mut [usize], sizes: &[u64]) {
        nodes.sort_by_key(|node| (Reverse(sizes[*node]), &self.nodes[*node].name));
    }

    fn describe_node(&self, text: &mut String, node: &Node, sizes: &[u64]) {
        let name = &node.name;
        match &node.role {
            NodeRole::Source { topics, .. } => {
                let names: Vec<String> = topics.names.iter().map(ToString::to_string).collect();
                match &topics.pattern {
                    Some(pattern) => {
                        line(text, format_args!("    Source: {name} (topics: {})", pattern.as_str()))
                    }
                    None => line(text, format_args!("    Source: {name} (topics: [{}])", names.join(", "))),
                }
                self.successors(text, node, sizes);
            }
            NodeRole::Processor { stores, .. } => {
                let stores: Vec<&str> = stores.iter().map(|store| self.stores[store.0].name()).collect();
                line(text, format_args!("    Processor: {name} (stores: [{}])", stores.join(", ")));
                self.successors(text, node, sizes);
                self.predecessors(text, node, sizes);
            }
            NodeRole::Sink { topic, .. } => {
                match topic {
                    SinkTopic::Fixed(topic) => line(text, format_args!("    Sink: {name} (topic: {topic})")),
                    SinkTopic::Dynamic(extractor) => {
                        line(text, format_args!("    Sink: {name} (extractor class: {extractor})"))
                    }
                }
                self.predecessors(text, node, sizes);
            }
        }
    }

    fn successors(&self, text: &mut String, node: &Node, sizes: &[u64]) {
        line(text, format_args!("      --> {}", self.names(&node.children, sizes)));
    }

    fn predecessors(&self, text: &mut String, node: &Node, sizes: &[u64]) {
        line(text, format_args!("      <-- {}", self.names(&node.parents, sizes)));
    }

    fn names(&self, nodes: &[usize], sizes: &[u64]) -> String {
        if nodes.is_empty() {
            return "none".to_owned();
        }
        let mut nodes = nodes.to_vec();
        self.sort(&mut nodes, sizes);
        let names: Vec<&str> = nodes.iter().map(|node| &*self.nodes[*node].name).collect();
        names.join(", ")
    }
}

fn describe_global(text: &mut String, number: usize, global: &GlobalStore, stores: &[StoreSpec]) {
    let GlobalStore { source, processor, topic, store } = global;
    let store = stores[store.0].name();
    line(text, format_args!("   Sub-topology: {number} for global store (will not generate tasks)"));
    line(text, format_args!("    Source: {source} (topics: [{topic}])"));
    line(text, format_args!("      --> {processor}"));
    line(text, format_args!("    Processor: {processor} (stores: [{store}])"));
    line(text, format_args!("      --> none"));
    line(text, format_args!("      <-- {source}"));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes what is written to it");
}
