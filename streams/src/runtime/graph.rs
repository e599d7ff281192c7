//! The nodes of one task at work: batches go depth first from node to node.

use std::sync::Arc;

use millstream_log::Clock;

use crate::batch::{Batch, Encoder, RecordSink};
use crate::error::StreamsError;
use crate::processor::{Context, Processor, TaskId};
use crate::report::{ReportObserver, ReportOrigin, Reporter, RowReport};
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::{Outbox, OutputTopic};
use crate::store::{StoreHandle, TaskStore};
use crate::topology::{NodeRole, Topology};

/// What one task runs: nodes, stores and what they share.
pub(crate) struct TaskGraph {
    pub(crate) task: TaskId,
    pub(crate) application: Arc<str>,
    pub(crate) caching: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stream_time: i64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
    /// By the topology's node numbers; nodes of other sub-topologies are absent.
    nodes: Vec<Option<Node>>,
    /// The task's own node numbers, parents before children.
    order: Vec<usize>,
    /// By store handle; stores of other sub-topologies are absent.
    pub(crate) stores: Vec<Option<Box<dyn TaskStore>>>,
}

struct Node {
    name: Arc<str>,
    children: Vec<usize>,
    role: Role,
}

enum Role {
    Source,
    /// Absent while it runs: the graph has no cycles, so it is never entered twice.
    Processor {
        processor: Option<Box<dyn Processor>>,
        stores: Vec<StoreHandle>,
    },
    Sink {
        encoder: Option<Box<dyn Encoder>>,
        topic: OutputTopic,
    },
}

const ENTERED_ONCE: &str = "a graph without cycles enters no node while it runs";

/// What all graphs of an application have in common.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) application: Arc<str>,
    pub(crate) caching: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
}

impl TaskGraph {
    pub(crate) fn new(
        topology: &Topology,
        task: TaskId,
        surroundings: Surroundings,
        stores: Vec<Option<Box<dyn TaskStore>>>,
        outbox: &mut Outbox,
    ) -> Result<Self, StreamsError> {
        let order = topology.sub_topologies[task.sub_topology as usize].nodes.clone();
        let mut nodes: Vec<Option<Node>> = topology.nodes.iter().map(|_| None).collect();
        for number in &order {
            let node = &topology.nodes[*number];
            let role = match &node.role {
                NodeRole::Source { .. } => Role::Source,
                NodeRole::Processor { supplier, stores } => {
                    Role::Processor { processor: Some(supplier()), stores: stores.clone() }
                }
                NodeRole::Sink { topic, encoder } => Role::Sink {
                    encoder: Some(encoder()),
                    topic: outbox.topic(&topic.resolve(&surroundings.application))?,
                },
            };
            nodes[*number] =
                Some(Node { name: Arc::clone(&node.name), children: node.children.clone(), role });
        }
        let Surroundings { application, caching, clock, counters, observer } = surroundings;
        let stream_time = i64::MIN;
        Ok(Self { task, application, caching, clock, stream_time, counters, observer, nodes, order, stores })
    }

    /// Lets every processor forward what it has coalesced, parents before children.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) -> Result<(), StreamsError> {
        for index in 0..self.order.len() {
            let number = self.order[index];
            let Role::Processor { processor, .. } = &mut self.node_mut(number).role else { continue };
            let mut taken = processor.take().expect(ENTERED_ONCE);
            let result = taken.flush(&mut Context { graph: self, outbox, node: number });
            if let Role::Processor { processor, .. } = &mut self.node_mut(number).role {
                *processor = Some(taken);
            }
            result.map_err(|error| self.failed(number, error))?;
        }
        Ok(())
    }

    pub(crate) fn has_children(&self, node: usize) -> bool {
        !self.node(node).children.is_empty()
    }

    pub(crate) fn store_mut(
        &mut self,
        node: usize,
        handle: StoreHandle,
    ) -> Result<&mut dyn TaskStore, StreamsError> {
        let connected = match &self.node(node).role {
            Role::Processor { stores, .. } => stores.contains(&handle),
            Role::Source | Role::Sink { .. } => false,
        };
        let node = Arc::clone(&self.node(node).name);
        match self.stores.get_mut(handle.0) {
            Some(Some(store)) if connected => Ok(store.as_mut()),
            _ => Err(StreamsError::UnknownStore {
                name: format!("#{}", handle.0),
                known: format!("connect it to node {node} when the topology is built"),
            }),
        }
    }

    pub(crate) fn report(&self, node: usize, topic: Option<&str>, report: &RowReport<'_>) {
        self.counters.report(report);
        if let Some(observer) = &self.observer {
            let origin = ReportOrigin {
                application: &self.application,
                task: self.task,
                node: &self.node(node).name,
                topic,
                partition: self.task.partition,
            };
            observer(&origin, report);
        }
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().expect("edges and queues stay inside a sub-topology")
    }

    fn node_mut(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().expect("edges and queues stay inside a sub-topology")
    }

    fn failed(&self, node: usize, error: StreamsError) -> StreamsError {
        match error {
            // The innermost node is the one that failed; those above it only forwarded.
            error @ StreamsError::Processing { .. } => error,
            error => StreamsError::Processing {
                task: self.task,
                node: self.node(node).name.to_string(),
                source: Box::new(error),
            },
        }
    }
}

/// Hands a batch to all children of a node.
pub(crate) fn forward(
    graph: &mut TaskGraph,
    outbox: &mut Outbox,
    node: usize,
    batch: Box<dyn Batch>,
) -> Result<(), StreamsError> {
    if batch.rows() == 0 {
        return Ok(());
    }
    let children = graph.node(node).children.len();
    for index in 1..children {
        let child = graph.node(node).children[index - 1];
        run(graph, outbox, child, batch.duplicate())?;
    }
    match graph.node(node).children.last().copied() {
        Some(last) => run(graph, outbox, last, batch),
        None => Ok(()),
    }
}

/// Hands a batch to one child of a node.
pub(crate) fn forward_to(
    graph: &mut TaskGraph,
    outbox: &mut Outbox,
    node: usize,
    child: &str,
    batch: Box<dyn Batch>,
) -> Result<(), StreamsError> {
    let parent = graph.node(node);
    let found = parent.children.iter().copied().find(|number| *graph.node(*number).name == *child);
    match found {
        Some(_) if batch.rows() == 0 => Ok(()),
        Some(found) => run(graph, outbox, found, batch),
        None => Err(StreamsError::Topology(format!("{} has no child named {child}", parent.name))),
    }
}

fn run(
    graph: &mut TaskGraph,
    outbox: &mut Outbox,
    number: usize,
    batch: Box<dyn Batch>,
) -> Result<(), StreamsError> {
    let result = match &mut graph.node_mut(number).role {
        Role::Source => unreachable!("sources have no parents"),
        Role::Processor { processor, .. } => {
            let mut taken = processor.take().expect(ENTERED_ONCE);
            let result = taken.process(batch, &mut Context { graph, outbox, node: number });
            if let Role::Processor { processor, .. } = &mut graph.node_mut(number).role {
                *processor = Some(taken);
            }
            result
        }
        Role::Sink { encoder, topic } => {
            let topic = *topic;
            let mut taken = encoder.take().expect(ENTERED_ONCE);
            Counters::add(&graph.counters.sink_records, batch.rows() as u64);
            let task_partition = graph.task.partition;
            let mut report = NodeReporter { graph, node: number, topic: None };
            let result = taken.encode(batch, &mut RecordSink { outbox, topic, task_partition }, &mut report);
            if let Role::Sink { encoder, .. } = &mut graph.node_mut(number).role {
                *encoder = Some(taken);
            }
            result
        }
    };
    result.map_err(|error| graph.failed(number, error))
}

/// Reports on behalf of a source or sink.
pub(crate) struct NodeReporter<'a> {
    pub(crate) graph: &'a TaskGraph,
    pub(crate) node: usize,
    pub(crate) topic: Option<&'a str>,
}

impl Reporter for NodeReporter<'_> {
    fn report(&mut self, report: RowReport<'_>) {
        self.graph.report(self.node, self.topic, &report);
    }
}
