//! One task: which rows come next, and their way through the graph.

use std::time::Duration;

use millstream_log::PartitionRecords;

use crate::error::StreamsError;
use crate::runtime::graph::{self, NodeReporter, TaskGraph};
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::Outbox;
use crate::runtime::queue::PartitionQueue;
use crate::topology::Topology;

/// A partition of a sub-topology: its input queues and its graph.
pub(crate) struct Task {
    pub(crate) graph: TaskGraph,
    pub(crate) queues: Vec<PartitionQueue>,
    /// By node number: sources whose rows must go one by one, see [`Topology::ways_meet`].
    row_by_row: Vec<bool>,
    /// Since when a queue has been empty with nothing to fetch, while others wait.
    idle_since: Option<Duration>,
}

/// What a step of a task did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many rows went through the graph.
    Processed(usize),
    /// No rows wait, or an empty partition has to be waited for.
    Idle,
}

/// How long a task waits for the rows of an empty partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The monotonic time.
    pub(crate) now: Duration,
    /// `max.task.idle.ms`.
    pub(crate) max_idle: Option<Duration>,
}

impl Task {
    pub(crate) fn new(topology: &Topology, graph: TaskGraph, queues: Vec<PartitionQueue>) -> Self {
        let row_by_row = (0..topology.nodes.len()).map(|node| topology.ways_meet(node)).collect();
        Self { graph, queues, row_by_row, idle_since: None }
    }

    /// Decodes what was fetched for one of the queues.
    pub(crate) fn add(&mut self, queue: usize, records: &PartitionRecords) -> Result<(), StreamsError> {
        let queue = &mut self.queues[queue];
        let topic = &records.partition.topic;
        let mut report = NodeReporter { graph: &self.graph, node: queue.source, topic: Some(topic) };
        queue.add(records, &mut report)
    }

    /// Takes the rows that come next through the graph: those of the partition with the lowest head
    /// timestamp, as far as they stay at or below the heads of the others. Equal timestamps go by the order
    /// of the partitions, rows of one partition never change their order.
    ///
    /// `behind` says whether an empty queue's partition has records that were not fetched yet; they must be
    /// waited for, or the choice would depend on how the input was cut.
    pub(crate) fn step(
        &mut self,
        outbox: &mut Outbox,
        patience: Patience,
        behind: &mut dyn FnMut(&PartitionQueue) -> Result<bool, StreamsError>,
    ) -> Result<Step, StreamsError> {
        let chosen = (0..self.queues.len())
            .filter_map(|queue| self.queues[queue].head().map(|head| (head, queue)))
            .min();
        let Some((_, chosen)) = chosen else { return Ok(Step::Idle) };
        if !self.may_go_on(patience, behind)? {
            return Ok(Step::Idle);
        }
        let others = (0..self.queues.len()).filter(|other| *other != chosen).filter_map(|other| {
            let head = self.queues[other].head()?;
            // At equal timestamps the partition that stands first goes first.
            Some(if other < chosen { head.saturating_sub(1) } else { head })
        });
        let limit = others.min().unwrap_or(i64::MAX);
        let queue = &mut self.queues[chosen];
        let rows_max = if self.row_by_row[queue.source] { 1 } else { usize::MAX };
        let batch = queue.take(limit, rows_max);
        let rows = batch.rows();
        let highest = batch.timestamps().iter().copied().max().unwrap_or(i64::MIN);
        self.graph.stream_time = self.graph.stream_time.max(highest);
        Counters::add(&self.graph.counters.records_in, rows as u64);
        graph::forward(&mut self.graph, outbox, queue.source, batch)?;
        Ok(Step::Processed(rows))
    }

    fn may_go_on(
        &mut self,
        patience: Patience,
        behind: &mut dyn FnMut(&PartitionQueue) -> Result<bool, StreamsError>,
    ) -> Result<bool, StreamsError> {
        let Some(max_idle) = patience.max_idle else { return Ok(true) };
        let mut empty = false;
        for queue in self.queues.iter().filter(|queue| queue.rows() == 0) {
            if behind(queue)? {
                return Ok(false);
            }
            empty = true;
        }
        if !empty || max_idle.is_zero() {
            self.idle_since = None;
            return Ok(true);
        }
        let since = *self.idle_since.get_or_insert(patience.now);
        Ok(patience.now.saturating_sub(since) >= max_idle)
    }

    /// Rows that wait in all queues.
    pub(crate) fn rows(&self) -> usize {
        self.queues.iter().map(PartitionQueue::rows).sum()
    }
}
