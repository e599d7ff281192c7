//! The nodes of one task at work: batches go depth first from node to node.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::Clock;

use crate::batch::{Batch, Encoder, RecordSink};
use crate::error::StreamsError;
use crate::processor::{Context, Processor, TaskId};
use crate::report::{ReportObserver, ReportOrigin, Reporter, RowReport};
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::{Outbox, OutputTopic};
use crate::runtime::punctuation::{PunctuationType, Punctuations};
use crate::store::timers::TimerStore;
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
    pub(crate) punctuations: Punctuations,
    /// Processors with their timers.
    timers: Vec<(usize, StoreHandle)>,
    /// Times that go with the committed offsets, by name.
    pub(crate) kept_times: BTreeMap<String, i64>,
    /// Whether they changed since the last commit.
    pub(crate) keeps_new_times: bool,
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
        let timers = order.iter().flat_map(|number| {
            let handles = match &topology.nodes[*number].role {
                NodeRole::Processor { stores, .. } => stores.as_slice(),
                NodeRole::Source { .. } | NodeRole::Sink { .. } => &[],
            };
            let timers = handles.iter().filter(|handle| topology.stores[handle.0].timers);
            timers.map(|handle| (*number, *handle))
        });
        let timers = timers.collect();
        let Surroundings { application, caching, clock, counters, observer } = surroundings;
        let stream_time = i64::MIN;
        Ok(Self {
            task,
            application,
            caching,
            clock,
            stream_time,
            counters,
            observer,
            punctuations: Punctuations::default(),
            timers,
            kept_times: BTreeMap::new(),
            keeps_new_times: false,
            nodes,
            order,
            stores,
        })
    }

    /// Lets every processor prepare itself, parents before children.
    pub(crate) fn init(&mut self, outbox: &mut Outbox) -> Result<(), StreamsError> {
        for index in 0..self.timers.len() {
            let handle = self.timers[index].1;
            self.timer_store(handle).begin()?;
        }
        self.each(outbox, |processor, context| processor.init(context))
    }

    /// Lets every processor forward what it has coalesced, parents before children.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) -> Result<(), StreamsError> {
        self.each(outbox, |processor, context| processor.flush(context))
    }

    /// Raises stream time without rows, and tells every processor, parents before children.
    pub(crate) fn advance(&mut self, outbox: &mut Outbox, stream_time: i64) -> Result<(), StreamsError> {
        self.stream_time = stream_time;
        self.each(outbox, |processor, context| processor.advance(stream_time, context))
    }

    /// Calls what is due by this clock. Returns whether there was anything.
    pub(crate) fn punctuate(
        &mut self,
        outbox: &mut Outbox,
        kind: PunctuationType,
        now: i64,
    ) -> Result<bool, StreamsError> {
        let mut called = false;
        while let Some((_, node, handle)) = self.next_timer(kind).filter(|(due, ..)| *due <= now) {
            let Some(timer) = self.timer_store(handle).take(kind)? else { break };
            called = true;
            self.with_processor(outbox, node, |processor, context| processor.on_timer(&timer, context))?;
        }
        while let Some((node, punctuation)) = self.punctuations.begin(kind, now) {
            called = true;
            let result = self.with_processor(outbox, node, |processor, context| {
                processor.punctuate(punctuation, now, context)
            });
            self.punctuations.end(now);
            result?;
        }
        Ok(called)
    }

    /// When something is due by this clock.
    pub(crate) fn due(&self, kind: PunctuationType) -> Option<i64> {
        let timer = self.next_timer(kind).map(|(due, ..)| due);
        [timer, self.punctuations.due(kind)].into_iter().flatten().min()
    }

    /// The timers of a processor.
    pub(crate) fn timers(&mut self, node: usize) -> Result<&mut TimerStore, StreamsError> {
        let Some(&(_, handle)) = self.timers.iter().find(|(owner, _)| *owner == node) else {
            let node = &self.node(node).name;
            return Err(StreamsError::UnknownStore {
                name: "timers".to_owned(),
                known: format!("connect a store of timers to node {node} when the topology is built"),
            });
        };
        let stream_time = self.stream_time;
        let timers = self.timer_store(handle);
        timers.observe(stream_time);
        Ok(timers)
    }

    fn next_timer(&self, kind: PunctuationType) -> Option<(i64, usize, StoreHandle)> {
        let due = self.timers.iter().filter_map(|(node, handle)| {
            let store: &dyn Any = self.stores[handle.0].as_deref()?;
            Some((store.downcast_ref::<TimerStore>()?.due(kind)?, *node, *handle))
        });
        due.min_by_key(|(due, node, _)| (*due, *node))
    }

    fn timer_store(&mut self, handle: StoreHandle) -> &mut TimerStore {
        let store: Option<&mut dyn Any> = self.stores[handle.0].as_deref_mut().map(|store| store as _);
        store.and_then(|store| store.downcast_mut()).expect("a store of timers is made with the task")
    }

    pub(crate) fn keep_time(&mut self, name: &str, time: i64) {
        let known = self.kept_times.get_mut(name);
        self.keeps_new_times |= known.as_deref() != Some(&time);
        match known {
            Some(known) => *known = time,
            None => {
                self.kept_times.insert(name.to_owned(), time);
            }
        }
    }

    /// Whether a processor of this task asks for rows one by one.
    pub(crate) fn wants_single_rows(&self) -> bool {
        !self.timers.is_empty()
            || self.nodes.iter().flatten().any(|node| match &node.role {
                Role::Processor { processor, .. } => processor.as_ref().is_some_and(|it| it.row_by_row()),
                Role::Source | Role::Sink { .. } => false,
            })
    }

    fn each(
        &mut self,
        outbox: &mut Outbox,
        call: impl Fn(&mut dyn Processor, &mut Context<'_>) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        for index in 0..self.order.len() {
            let number = self.order[index];
            if let Role::Processor { .. } = self.node(number).role {
                self.with_processor(outbox, number, &call)?;
            }
        }
        Ok(())
    }

    fn with_processor(
        &mut self,
        outbox: &mut Outbox,
        number: usize,
        call: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        let Role::Processor { processor, .. } = &mut self.node_mut(number).role else { return Ok(()) };
        let mut taken = processor.take().expect(ENTERED_ONCE);
        let result = call(taken.as_mut(), &mut Context { graph: self, outbox, node: number });
        if let Role::Processor { processor, .. } = &mut self.node_mut(number).role {
            *processor = Some(taken);
        }
        result.map_err(|error| self.failed(number, error))
    }

    pub(crate) fn has_children(&self, node: usize) -> bool {
        !self.node(node).children.is_empty()
    }

    pub(crate) fn store_mut(
        &mut self,
        node: usize,
        handle: StoreHandle,
    ) -> Result<&mut dyn TaskStore, StreamsError> {
        let [store] = self.stores_mut(node, [handle])?;
        Ok(store)
    }

    pub(crate) fn stores_mut<const N: usize>(
        &mut self,
        node: usize,
        handles: [StoreHandle; N],
    ) -> Result<[&mut (dyn TaskStore + 'static); N], StreamsError> {
        let name = &self.node(node).name;
        for handle in handles {
            let connected = match &self.node(node).role {
                Role::Processor { stores, .. } => stores.contains(&handle),
                Role::Source | Role::Sink { .. } => false,
            };
            if !connected || self.stores.get(handle.0).is_none_or(Option::is_none) {
                return Err(StreamsError::UnknownStore {
                    name: format!("#{}", handle.0),
                    known: format!("connect it to node {name} when the topology is built"),
                });
            }
        }
        let twice = || StreamsError::Topology("a node asks for one store twice at once".to_owned());
        let stores = self.stores.get_disjoint_mut(handles.map(|handle| handle.0)).map_err(|_| twice())?;
        Ok(stores.map(|store| store.as_deref_mut().expect("it was just found to be there")))
    }

    pub(crate) fn store_named(&self, node: usize, name: &str) -> Result<StoreHandle, StreamsError> {
        let connected = match &self.node(node).role {
            Role::Processor { stores, .. } => stores.as_slice(),
            Role::Source | Role::Sink { .. } => &[],
        };
        let name_of = |handle: &StoreHandle| self.stores.get(handle.0)?.as_ref().map(|store| store.name());
        if let Some(found) = connected.iter().find(|handle| name_of(handle) == Some(name)) {
            return Ok(*found);
        }
        let known: Vec<&str> = connected.iter().filter_map(name_of).filter(|name| !name.is_empty()).collect();
        let node = &self.node(node).name;
        let known = match known.is_empty() {
            true => format!("node {node} is connected to none: connect it when the topology is built"),
            false => format!("node {node} is connected to {}", known.join(", ")),
        };
        Err(StreamsError::UnknownStore { name: name.to_owned(), known })
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

impl Drop for TaskGraph {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            if let Role::Processor { processor: Some(processor), .. } = &mut node.role {
                processor.close();
            }
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
        Role::Processor { .. } => {
            return graph
                .with_processor(outbox, number, |processor, context| processor.process(batch, context));
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
