//! Processors, and the context in which they run.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{PartitionId, Timestamp};

use crate::batch::Batch;
use crate::error::StreamsError;
use crate::report::{Reporter, RowReport};
use crate::runtime::errors::Origin;
use crate::runtime::global::Globals;
use crate::runtime::graph::{self, TaskGraph};
use crate::runtime::outbox::Outbox;
use crate::runtime::punctuation::{Punctuation, PunctuationType};
use crate::store::spec::millis;
use crate::store::{StoreHandle, TaskStore, Timer};

/// A task: one partition of one sub-topology. Shown as `0_1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The number of the sub-topology, from 0 in the order of the description.
    pub sub_topology: u32,
    /// The partition that the task reads and whose state it owns.
    pub partition: PartitionId,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology, self.partition)
    }
}

/// What comes of the rows of a batch, as far as it matters for who takes rows of several inputs in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsKept {
    /// Every row leaves exactly one, in the same order and with the same timestamp.
    All,
    /// Rows leave any number of rows each, in the same order and with the same timestamps.
    Some,
    /// Anything: what comes of a row may depend on rows before it, and its effects may be seen elsewhere.
    Unknown,
}

/// Batches of two inputs whose rows take turns: of the rows that come next, one of each, the one with the lower
/// timestamp goes first.
pub struct BatchPair {
    /// Rows of the parents of the node itself.
    pub left: Box<dyn Batch>,
    /// Rows of the parents of the other node.
    pub right: Box<dyn Batch>,
    /// Whether the left row goes first at equal timestamps.
    pub left_first: bool,
    /// The other node.
    pub(crate) right_node: usize,
}

/// One node's work. A task has its own instance, made by the node's supplier.
///
/// Batching must not show: whatever depends on order, time or lateness is decided row by row inside the
/// batch.
pub trait Processor: Send {
    /// Called once, when the stores are restored and before the first batch: the place to
    /// [schedule](Context::schedule) punctuations.
    fn init(&mut self, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Takes one batch and forwards what comes of it.
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError>;

    /// Takes batches of two inputs at once, with the same outcome as if they had come cut where the inputs take turns. It
    /// is called where [`TopologyBuilder::pair`](crate::TopologyBuilder::pair) asks for it.
    fn process_pair(&mut self, _pair: BatchPair, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let node = context.graph.node_name(context.node);
        Err(StreamsError::Topology(format!("node {node} takes no batches of two inputs at once")))
    }

    /// What comes of the rows of a batch. With anything but [`RowsKept::Unknown`], what comes of a row depends on that row
    /// alone, a batch leaves at most one batch, which is forwarded to all children, and nothing else happens.
    fn rows_kept(&self) -> RowsKept {
        RowsKept::Unknown
    }

    /// Called when a punctuation of [`Context::schedule`] is due, with the stream time or wall-clock time (ms) that it
    /// is now. Batches are cut so that a stream-time punctuation comes right after the row that made it due.
    fn punctuate(
        &mut self,
        _punctuation: Punctuation,
        _time: i64,
        _context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called when a timer of [`Context::set_timer`] is due, which is thereby removed. A stream-time timer comes right
    /// after the row that made it due, timers in the order of their times and ahead of punctuations. With exactly once,
    /// what the call does and that the timer is gone are committed together.
    fn on_timer(&mut self, _timer: &Timer, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called when stream time (ms) goes on without rows: with `window.close.idle.ms`, while the log shows nothing left
    /// to read. Operators that hold results back until stream time passes raise their own stream time to it and
    /// forward what is complete. Rows that come later with an older timestamp are late.
    fn advance(&mut self, _stream_time: i64, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called before every commit, parents before children: forward what was coalesced.
    fn flush(&mut self, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called once, when the task ends or moves to another thread. What it holds back was flushed and committed before,
    /// or is lost with everything since the last commit.
    fn close(&mut self) {}

    /// Whether calls can fail for what is in a row, as opposed to what the whole thread depends on. If so, and if the
    /// application goes on after such errors (`processing.exception.handler`), rows come one by one, so that an error
    /// drops one row and not its neighbours.
    fn can_fail(&self) -> bool {
        true
    }

    /// Whether rows must come one by one because what the processor does for one row decides what happens before the
    /// next: it schedules punctuations while it processes.
    fn row_by_row(&self) -> bool {
        false
    }
}

/// What a processor sees of its task while it runs.
pub struct Context<'a> {
    pub(crate) graph: &'a mut TaskGraph,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) node: usize,
    /// The time (ms) of the row that is worked on, where rows are worked on one by one.
    pub(crate) row_time: Option<i64>,
}

impl Context<'_> {
    /// Hands the batch to all children, depth first in the order in which they were added.
    pub fn forward(&mut self, batch: Box<dyn Batch>) -> Result<(), StreamsError> {
        graph::forward(self.graph, self.outbox, self.node, batch)
    }

    /// Hands the batch to one child by its name.
    pub fn forward_to(&mut self, child: &str, batch: Box<dyn Batch>) -> Result<(), StreamsError> {
        graph::forward_to(self.graph, self.outbox, self.node, child, batch)
    }

    /// Does something in the name of another node.
    pub(crate) fn as_node(&mut self, node: usize, work: impl FnOnce(&mut Self)) {
        let own = std::mem::replace(&mut self.node, node);
        work(self);
        self.node = own;
    }

    /// Whether forwarding reaches anyone.
    pub fn has_children(&self) -> bool {
        self.graph.has_children(self.node)
    }

    /// The store of this task as its own type: one downcast, so fetch it once per batch.
    pub fn store<S: TaskStore>(&mut self, handle: StoreHandle) -> Result<&mut S, StreamsError> {
        let store: &mut dyn Any = self.graph.store_mut(self.node, handle)?;
        store.downcast_mut::<S>().ok_or(StreamsError::WrongType { expected: type_name::<S>() })
    }

    /// Several different stores of this task at once.
    pub fn stores<const N: usize>(
        &mut self,
        handles: [StoreHandle; N],
    ) -> Result<[&mut (dyn TaskStore + 'static); N], StreamsError> {
        self.graph.stores_mut(self.node, handles)
    }

    /// Calls [`Processor::punctuate`] of this processor again and again. As in Kafka:
    ///
    /// * [`PunctuationType::StreamTime`]: first with the first row, then when stream time reaches the next multiple of
    ///   `interval`. No input, no calls.
    /// * [`PunctuationType::WallClockTime`]: first `interval` from now, then every `interval`, with or without input.
    ///
    /// Intervals that were missed become one call. An interval below 1 ms counts as 1 ms. Punctuations are not kept over
    /// a restart: schedule them in [`Processor::init`].
    pub fn schedule(&mut self, interval: Duration, kind: PunctuationType) -> Punctuation {
        let first = match kind {
            PunctuationType::StreamTime => 0,
            PunctuationType::WallClockTime => self.wall_clock().get().saturating_add(millis(interval).max(1)),
        };
        self.schedule_from(Timestamp::new(first), interval, kind)
    }

    /// As [`Context::schedule`], first at `start` and then every `interval` from there. A start that is past is due at
    /// once (KIP-1146).
    pub fn schedule_from(
        &mut self,
        start: Timestamp,
        interval: Duration,
        kind: PunctuationType,
    ) -> Punctuation {
        self.graph.punctuations.schedule(self.node, kind, start.get(), millis(interval).max(1))
    }

    /// Ends a punctuation; also from inside its call.
    pub fn cancel(&mut self, punctuation: Punctuation) {
        self.graph.punctuations.cancel(punctuation);
    }

    /// Sets the timer of a name and key to a time (ms), or moves it there: [`Processor::on_timer`] is then called once,
    /// at that time or as soon as possible after it, also after a restart. A time that is past is due right after the
    /// row, or call, at hand: a timer that always sets itself to the past never ends.
    ///
    /// The processor must be connected to a store of [timers](crate::StoreSpec::timers). Its rows then come one by one.
    pub fn set_timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
        time: i64,
    ) -> Result<(), StreamsError> {
        self.graph.timers(self.node)?.set(kind, name, key, time)
    }

    /// Removes a timer. Returns whether it was set.
    pub fn cancel_timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
    ) -> Result<bool, StreamsError> {
        self.graph.timers(self.node)?.cancel(kind, name, key)
    }

    /// When the timer of a name and key is due, if it is set.
    pub fn timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
    ) -> Result<Option<i64>, StreamsError> {
        self.graph.timers(self.node)?.get(kind, name, key)
    }

    /// Keeps a time under a name, for all processors of the task, with the committed offsets of its inputs: what a
    /// restart must know and no store holds, such as up to when results were emitted. As Kafka's processor metadata.
    pub fn keep_time(&mut self, name: &str, time: i64) {
        self.graph.keep_time(name, time);
    }

    /// The time that was kept under a name, before a restart too.
    pub fn kept_time(&self, name: &str) -> Option<i64> {
        self.graph.kept_times.get(name).copied()
    }

    /// The store of this name, if it is connected to this node.
    pub(crate) fn store_named(&self, name: &str) -> Result<StoreHandle, StreamsError> {
        self.graph.store_named(self.node, name)
    }

    /// Asks for a commit as soon as the rows at hand are done, without waiting for `commit.interval.ms`.
    pub fn request_commit(&mut self) {
        self.graph.commit_requested = true;
    }

    /// The `application.id`.
    pub fn application_id(&self) -> &str {
        &self.graph.application
    }

    /// The input partition of the rows at hand, and their offset where they come one by one. None in punctuations and
    /// timers and before commits.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.graph.origin.as_ref()
    }

    /// The highest timestamp that this task has taken from its inputs, or `i64::MIN` before the first. It is committed
    /// with the offsets and goes on from there after a restart.
    ///
    /// It is already that of the whole batch: operators that judge lateness keep a stream time of their own.
    pub fn stream_time(&self) -> i64 {
        self.graph.stream_time
    }

    /// The global stores of the application.
    pub(crate) fn globals(&self) -> Arc<Globals> {
        Arc::clone(&self.graph.globals)
    }

    /// The wall-clock time.
    pub fn wall_clock(&self) -> Timestamp {
        self.graph.clock.now()
    }

    /// The partition of the task.
    pub fn partition(&self) -> PartitionId {
        self.graph.task.partition
    }

    /// The task.
    pub fn task_id(&self) -> TaskId {
        self.graph.task
    }

    /// Whether updates to a key are coalesced until the commit. If not, every input yields its output.
    pub fn caching(&self) -> bool {
        self.graph.caching
    }

    /// Whether updates to the keys of a store are coalesced until the commit: the application and the store want it.
    pub fn coalesces(&self, store: StoreHandle) -> bool {
        let store = self.graph.stores.get(store.0).and_then(Option::as_ref);
        self.graph.caching && store.is_some_and(|store| store.coalesces())
    }
}

impl Reporter for Context<'_> {
    fn report(&mut self, report: RowReport<'_>) {
        self.graph.report(self.node, None, &report);
    }
}
