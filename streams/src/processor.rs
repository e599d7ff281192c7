//! Processors, and the context in which they run.

use std::any::{Any, type_name};
use std::fmt;

use millstream_log::{PartitionId, Timestamp};

use crate::batch::Batch;
use crate::error::StreamsError;
use crate::report::{Reporter, RowReport};
use crate::runtime::graph::{self, TaskGraph};
use crate::runtime::outbox::Outbox;
use crate::store::{StoreHandle, TaskStore};

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

/// One node's work. A task has its own instance, made by the node's supplier.
///
/// Batching must not show: whatever depends on order, time or lateness is decided row by row inside the
/// batch.
pub trait Processor: Send {
    /// Takes one batch and forwards what comes of it.
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError>;

    /// Called before every commit, parents before children: forward what was coalesced.
    fn flush(&mut self, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        Ok(())
    }
}

/// What a processor sees of its task while it runs.
pub struct Context<'a> {
    pub(crate) graph: &'a mut TaskGraph,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) node: usize,
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

    /// Whether forwarding reaches anyone.
    pub fn has_children(&self) -> bool {
        self.graph.has_children(self.node)
    }

    /// The store of this task as its own type: one downcast, so fetch it once per batch.
    pub fn store<S: TaskStore>(&mut self, handle: StoreHandle) -> Result<&mut S, StreamsError> {
        let store: &mut dyn Any = self.graph.store_mut(self.node, handle)?;
        store.downcast_mut::<S>().ok_or(StreamsError::WrongType { expected: type_name::<S>() })
    }

    /// The highest timestamp that this task has taken from its inputs, or `i64::MIN` before the first.
    ///
    /// It is already that of the whole batch: operators that judge lateness keep a stream time of their own.
    pub fn stream_time(&self) -> i64 {
        self.graph.stream_time
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
}

impl Reporter for Context<'_> {
    fn report(&mut self, report: RowReport<'_>) {
        self.graph.report(self.node, None, &report);
    }
}
