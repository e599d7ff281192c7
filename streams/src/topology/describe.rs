//! The text form of a topology, as Kafka's `Topology.describe()` writes it: visualisers parse it.

use std::fmt::Write;

use crate::store::StoreSpec;
use crate::topology::{GlobalStore, Node, NodeRole, SinkTopic, Topology};

impl Topology {
    /// Sub-topologies with their nodes, stores, topics, successors and predecessors.
    pub fn describe(&self) -> String {
        let mut text = String::from("Topologies:\n");
        for (number, sub_topology) in self.sub_topologies.iter().enumerate() {
            match sub_topology.global {
                Some(global) => describe_global(&mut text, number, &self.globals[global], &self.stores),
                None => line(&mut text, format_args!("   Sub-topology: {number}")),
            }
            for node in &sub_topology.nodes {
                self.describe_node(&mut text, &self.nodes[*node]);
            }
            text.push('\n');
        }
        text
    }

    fn describe_node(&self, text: &mut String, node: &Node) {
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
                self.successors(text, node);
            }
            NodeRole::Processor { stores, .. } => {
                let stores: Vec<&str> = stores.iter().map(|store| self.stores[store.0].name()).collect();
                line(text, format_args!("    Processor: {name} (stores: [{}])", stores.join(", ")));
                self.successors(text, node);
                self.predecessors(text, node);
            }
            NodeRole::Sink { topic, .. } => {
                match topic {
                    SinkTopic::Fixed(topic) => line(text, format_args!("    Sink: {name} (topic: {topic})")),
                    SinkTopic::Dynamic(extractor) => {
                        line(text, format_args!("    Sink: {name} (extractor class: {extractor})"))
                    }
                }
                self.predecessors(text, node);
            }
        }
    }

    fn successors(&self, text: &mut String, node: &Node) {
        line(text, format_args!("      --> {}", self.names(&node.children)));
    }

    fn predecessors(&self, text: &mut String, node: &Node) {
        line(text, format_args!("      <-- {}", self.names(&node.parents)));
    }

    fn names(&self, nodes: &[usize]) -> String {
        if nodes.is_empty() {
            return "none".to_owned();
        }
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
