//! The nodes of one task at work: batches go depth first from node to node.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Clock, Log};

use crate::batch::{Batch, Encoder, RecordSink};
use crate::error::StreamsError;
use crate::handler::{ErrorResponse, ErrorStage, Handlers};
use crate::processor::{BatchPair, Context, Processor, RowsKept, TaskId};
use crate::report::{ReportKind, ReportObserver, ReportOrigin, Reporter, RowReport};
use crate::runtime::errors::{FailedPart, Failure, Origin};
use crate::runtime::global::Globals;
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::{Outbox, OutputTopic};
use crate::runtime::punctuation::{PunctuationType, Punctuations};
use crate::store::timers::TimerStore;
use crate::store::{StoreHandle, TaskStore};
use crate::topology::{NodeRole, SinkTopic, Topology};

/// What one task runs: nodes, stores and what they share.
pub(crate) struct TaskGraph {
    pub(crate) task: TaskId,
    pub(crate) application: Arc<str>,
    pub(crate) caching: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stream_time: i64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) globals: Arc<Globals>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) log: Log,
    pub(crate) handlers: Handlers,
    pub(crate) dead_letters: Option<OutputTopic>,
    /// When a report was logged last.
    warned_at: Cell<Option<Duration>>,
    /// What is on its way through the graph.
    pub(crate) origin: Option<Origin>,
    pub(crate) punctuations: Punctuations,
    /// Processors with their timers.
    timers: Vec<(usize, StoreHandle)>,
    /// Times that go with the committed offsets, by name.
    pub(crate) kept_times: BTreeMap<String, i64>,
    /// Whether they changed since the last commit.
    pub(crate) keeps_new_times: bool,
    /// Whether a processor asked for a commit since the last one.
    pub(crate) commit_requested: bool,
    /// Where batches of two inputs wait for each other.
    meeting: Option<Meeting>,
    /// By the topology's node numbers; nodes of other sub-topologies are absent.
    nodes: Vec<Option<Node>>,
    /// The task's own node numbers, parents before children.
    order: Vec<usize>,
    /// By store handle; stores of other sub-topologies are absent.
    pub(crate) stores: Vec<Option<Box<dyn TaskStore>>>,
}

/// Two nodes that wait for a batch each.
struct Meeting {
    nodes: [usize; 2],
    batches: [Option<Box<dyn Batch>>; 2],
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
        /// None if the encoder chooses it.
        topic: Option<(OutputTopic, Arc<str>)>,
    },
}

const ENTERED_ONCE: &str = "a graph without cycles enters no node while it runs";

/// What all graphs of an application have in common.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) application: Arc<str>,
    pub(crate) caching: bool,
    pub(crate) log: Log,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) globals: Arc<Globals>,
    pub(crate) handlers: Handlers,
    /// The dead letter topic.
    pub(crate) dead_letters: Option<Arc<str>>,
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
                NodeRole::Sink { topic, encoder } => {
                    let topic = match topic {
                        SinkTopic::Fixed(topic) => {
                            let name = topic.resolve(&surroundings.application);
                            Some((outbox.topic(&name)?, name))
                        }
                        SinkTopic::Dynamic(_) => None,
                    };
                    Role::Sink { encoder: Some(encoder()), topic }
                }
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
        let Surroundings { application, caching, log, counters, observer, globals, handlers, dead_letters } =
            surroundings;
        let dead_letters = dead_letters.map(|topic| outbox.topic(&topic)).transpose()?;
        let clock = Arc::clone(log.clock());
        let stream_time = i64::MIN;
        Ok(Self {
            task,
            application,
            caching,
            clock,
            stream_time,
            counters,
            globals,
            observer,
            log,
            handlers,
            dead_letters,
            warned_at: Cell::new(None),
            origin: None,
            punctuations: Punctuations::default(),
            timers,
            kept_times: BTreeMap::new(),
            keeps_new_times: false,
            commit_requested: false,
            meeting: None,
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
            Counters::add(&self.counters.punctuations, 1);
            self.guarded(outbox, node, |processor, context| processor.on_timer(&timer, context))?;
        }
        while let Some((node, punctuation)) = self.punctuations.begin(kind, now) {
            called = true;
            Counters::add(&self.counters.punctuations, 1);
            let result = self
                .guarded(outbox, node, |processor, context| processor.punctuate(punctuation, now, context));
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
        let mut context = Context { graph: self, outbox, node: number, row_time: None };
        let result = call(taken.as_mut(), &mut context);
        if let Role::Processor { processor, .. } = &mut self.node_mut(number).role {
            *processor = Some(taken);
        }
        result.map_err(|error| self.failed(number, error))
    }

    /// As [`Self::with_processor`], and asks the handler about an error of the processor's own.
    fn guarded(
        &mut self,
        outbox: &mut Outbox,
        number: usize,
        call: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        match self.with_processor(outbox, number, call) {
            Err(StreamsError::Processing { node, source, .. })
                if *node == *self.node(number).name && source.is_of_a_row() =>
            {
                let origin = self.origin.clone();
                let (stage, error) = (ErrorStage::Processing, *source);
                let subject = FailedPart::Unknown;
                let failure = Failure { stage, node: number, timestamp: None, error, subject };
                self.handle(outbox, origin.as_ref(), failure)
            }
            result => result,
        }
    }

    /// Whether a single row can fail and the others go on, so that it must be known which record it comes from.
    pub(crate) fn isolates_rows(&self) -> bool {
        let can_fail = |node: &Node| match &node.role {
            Role::Processor { processor, .. } => processor.as_ref().is_some_and(|it| it.can_fail()),
            Role::Source | Role::Sink { .. } => false,
        };
        let Handlers { processing, production, .. } = &self.handlers;
        !processing.always(ErrorResponse::Fail) && self.nodes.iter().flatten().any(can_fail)
            || !production.always(ErrorResponse::Fail) && self.dead_letters.is_some()
    }

    /// Whether a node of the topology is one of the task's.
    pub(crate) fn has_node(&self, node: usize) -> bool {
        self.nodes[node].is_some()
    }

    /// What comes of the rows that a processor takes.
    pub(crate) fn rows_kept(&self, node: usize) -> RowsKept {
        match &self.node(node).role {
            Role::Processor { processor, .. } => {
                processor.as_ref().map_or(RowsKept::Unknown, |processor| processor.rows_kept())
            }
            Role::Source => RowsKept::All,
            Role::Sink { .. } => RowsKept::Unknown,
        }
    }

    pub(crate) fn node_name(&self, node: usize) -> &str {
        &self.node(node).name
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
        self.warn(node, topic, report);
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

    /// Logs a report, at most one in a second.
    fn warn(&self, node: usize, topic: Option<&str>, report: &RowReport<'_>) {
        const INTERVAL: Duration = Duration::from_secs(1);
        let now = self.clock.monotonic();
        if self.observer.is_some()
            || self.warned_at.get().is_some_and(|last| now.saturating_sub(last) < INTERVAL)
        {
            return;
        }
        self.warned_at.set(Some(now));
        let origin = self.origin.as_ref();
        tracing::warn!(
            task = %self.task,
            node = self.node_name(node),
            topic = topic.or_else(|| origin.map(|origin| &*origin.partition.topic)),
            partition = origin.map_or(self.task.partition, |origin| origin.partition.partition).get(),
            offset = report.offset.or_else(|| origin.and_then(|origin| origin.offset)),
            timestamp = report.timestamp,
            rows = report.rows,
            kind = ?report.kind,
            "{}",
            report.message
        );
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().expect("edges and queues stay inside a sub-topology")
    }

    fn node_mut(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().expect("edges and queues stay inside a sub-topology")
    }

    pub(crate) fn failed(&self, node: usize, error: StreamsError) -> StreamsError {
        match error {
            // The innermost node is the one that failed; those above it only forwarded.
            error @ (StreamsError::Processing { .. } | StreamsError::Retry { .. }) => error,
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

/// Takes batches of two sources at once to where their rows meet, in a pair of nodes. `left_first` says whose rows come
/// first at equal timestamps.
pub(crate) fn forward_pair(
    graph: &mut TaskGraph,
    outbox: &mut Outbox,
    nodes: [usize; 2],
    left_first: bool,
    sources: [(Origin, usize, Box<dyn Batch>); 2],
) -> Result<(), StreamsError> {
    graph.meeting = Some(Meeting { nodes, batches: [None, None] });
    let mut result = Ok(());
    for (origin, source, batch) in sources {
        graph.origin = Some(origin);
        result = result.and_then(|()| forward(graph, outbox, source, batch));
    }
    graph.origin = None;
    let batches = graph.meeting.take().map_or([None, None], |meeting| meeting.batches);
    result?;
    match batches {
        [Some(left), Some(right)] => {
            let pair = BatchPair { left, right, left_first, right_node: nodes[1] };
            graph.guarded(outbox, nodes[0], |processor, context| processor.process_pair(pair, context))
        }
        [Some(batch), None] => run(graph, outbox, nodes[0], batch),
        [None, Some(batch)] => run(graph, outbox, nodes[1], batch),
        [None, None] => Ok(()),
    }
}

fn run(
    graph: &mut TaskGraph,
    outbox: &mut Outbox,
    number: usize,
    batch: Box<dyn Batch>,
) -> Result<(), StreamsError> {
    if let Some(meeting) = &mut graph.meeting
        && let Some(side) = meeting.nodes.iter().position(|node| *node == number)
    {
        meeting.batches[side] = Some(batch);
        return Ok(());
    }
    let result = match &mut graph.node_mut(number).role {
        Role::Source => unreachable!("sources have no parents"),
        Role::Processor { .. } => {
            return graph.guarded(outbox, number, |processor, context| processor.process(batch, context));
        }
        Role::Sink { encoder, topic } => {
            let topic = topic.clone();
            let mut taken = encoder.take().expect(ENTERED_ONCE);
            Counters::add(&graph.counters.sink_records, batch.rows() as u64);
            graph.counters.arrived(batch.timestamps(), graph.clock.now().get());
            let task_partition = graph.task.partition;
            let source = graph.origin.as_ref().map(|origin| &origin.partition);
            let node = graph.node_name(number);
            let mut report = NodeReporter::new(graph, number, None, ReportKind::Unencodable);
            let log = &graph.log;
            let mut sink =
                RecordSink { outbox, topic, task_partition, source, log, node, refused: Vec::new() };
            let result = taken.encode(batch, &mut sink, &mut report);
            let (kept, refused) = (report.kept, sink.refused);
            if let Role::Sink { encoder, .. } = &mut graph.node_mut(number).role {
                *encoder = Some(taken);
            }
            result.and_then(|()| graph.refused(outbox, number, kept, refused))
        }
    };
    result.map_err(|error| graph.failed(number, error))
}

impl TaskGraph {
    /// Asks the handler about rows that did not become records and records that the log did not take.
    fn refused(
        &mut self,
        outbox: &mut Outbox,
        node: usize,
        rows: Vec<Kept>,
        records: Vec<(i64, StreamsError)>,
    ) -> Result<(), StreamsError> {
        let stage = ErrorStage::Production;
        let rows = rows.into_iter().map(|Kept { timestamp, message, subject, .. }| Failure {
            stage,
            node,
            timestamp,
            error: StreamsError::Serde(message),
            subject,
        });
        let records = records.into_iter().map(|(timestamp, error)| Failure {
            stage,
            node,
            timestamp: Some(timestamp),
            error,
            subject: FailedPart::Output,
        });
        for failure in rows.chain(records) {
            let origin = self.origin.clone();
            self.handle(outbox, origin.as_ref(), failure)?;
        }
        Ok(())
    }
}

/// A report that is kept until the handler is asked.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) offset: Option<u64>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) message: String,
    pub(crate) subject: FailedPart,
}

/// Reports on behalf of a source or sink, but keeps reports of one kind.
pub(crate) struct NodeReporter<'a> {
    graph: &'a TaskGraph,
    node: usize,
    topic: Option<&'a str>,
    keeps: ReportKind,
    pub(crate) kept: Vec<Kept>,
}

impl<'a> NodeReporter<'a> {
    pub(crate) fn new(graph: &'a TaskGraph, node: usize, topic: Option<&'a str>, keeps: ReportKind) -> Self {
        Self { graph, node, topic, keeps, kept: Vec::new() }
    }
}

impl Reporter for NodeReporter<'_> {
    fn report(&mut self, report: RowReport<'_>) {
        if report.kind == self.keeps {
            let (offset, timestamp) = (report.offset, report.timestamp);
            let (message, subject) = (report.message.to_owned(), report.subject.into());
            self.kept.push(Kept { offset, timestamp, message, subject });
        } else {
            self.graph.report(self.node, self.topic, &report);
        }
    }
}
