//! One task: which rows come next, their way through the graph, and what happens by time.

use std::time::Duration;

use millstream_log::{Clock, Offset, PartitionRecords};

use crate::error::StreamsError;
use crate::handler::{ErrorResponse, ErrorStage};
use crate::report::ReportKind;
use crate::runtime::errors::{Failure, Origin};
use crate::runtime::graph::{self, NodeReporter, TaskGraph};
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::Outbox;
use crate::runtime::progress::Progress;
use crate::runtime::punctuation::PunctuationType;
use crate::runtime::queue::PartitionQueue;
use crate::runtime::queue_pair::QueuePair;
use crate::runtime::tasks::StoreRef;
use crate::topology::Topology;

/// Under this name a task keeps its stream time if it went on without rows.
const STREAM_TIME: &str = "millstream.stream.time";

/// A partition of a sub-topology: its input queues and its graph.
pub(crate) struct Task {
    pub(crate) graph: TaskGraph,
    pub(crate) queues: Vec<PartitionQueue>,
    pub(crate) stores: Vec<StoreRef>,
    /// Queues of topics that only this application writes and reads.
    pub(crate) repartitioned: Vec<usize>,
    /// Whether its state is restored and its processors have begun.
    pub(crate) is_running: bool,
    /// By node number: sources whose rows must go one by one, see [`Topology::ways_meet`].
    row_by_row: Vec<bool>,
    /// Queues whose rows may be taken together.
    pairs: Vec<QueuePair>,
    /// By queue, since when it has been empty with nothing to fetch.
    empty_since: Vec<Option<Duration>>,
    /// Since when all queues have been empty with nothing to fetch, and the stream time then.
    idle_since: Option<(Duration, i64)>,
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
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// Asked only where rows wait for an empty partition.
    pub(crate) clock: &'a dyn Clock,
    /// `max.task.idle.ms`.
    pub(crate) max_idle: Option<Duration>,
}

/// Says of an empty queue whether its partition has records that were not fetched yet.
pub(crate) type Behind<'a> = dyn FnMut(&PartitionQueue) -> Result<bool, StreamsError> + 'a;

impl Task {
    pub(crate) fn new(
        topology: &Topology,
        graph: TaskGraph,
        queues: Vec<PartitionQueue>,
        stores: Vec<StoreRef>,
    ) -> Self {
        let single = graph.wants_single_rows() || graph.isolates_rows();
        let row_by_row: Vec<bool> =
            (0..topology.nodes.len()).map(|node| single || topology.ways_meet(node)).collect();
        let pairs = QueuePair::all(topology, &graph, &queues, &row_by_row);
        let empty_since = vec![None; queues.len()];
        Self {
            graph,
            queues,
            stores,
            repartitioned: Vec::new(),
            is_running: false,
            row_by_row,
            pairs,
            empty_since,
            idle_since: None,
        }
    }

    /// Goes on from what was committed with the offset of one of the queues.
    pub(crate) fn resume(&mut self, queue: usize, progress: Progress) {
        let time = progress.time.unwrap_or(i64::MIN);
        self.queues[queue].time = time;
        for (name, time) in progress.processors {
            let known = self.graph.kept_times.entry(name).or_insert(time);
            *known = time.max(*known);
        }
        let idle = self.graph.kept_times.get(STREAM_TIME).copied().unwrap_or(i64::MIN);
        self.graph.stream_time = self.graph.stream_time.max(time).max(idle);
    }

    /// What to commit with the offset of a queue.
    pub(crate) fn progress(&self, queue: usize) -> Progress {
        let time = Some(self.queues[queue].time).filter(|time| *time >= 0);
        Progress { time, processors: self.graph.kept_times.clone() }
    }

    /// The offsets to commit: those that moved, or all if what goes with them changed.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (usize, Offset)> {
        let all = self.graph.keeps_new_times;
        let queues = self.queues.iter().enumerate().filter(move |(_, queue)| all || queue.moved().is_some());
        queues.map(|(number, queue)| (number, queue.processed()))
    }

    /// Decodes what was fetched for one of the queues.
    pub(crate) fn add(
        &mut self,
        outbox: &mut Outbox,
        queue: usize,
        records: &PartitionRecords,
    ) -> Result<(), StreamsError> {
        self.empty_since[queue] = None;
        self.idle_since = None;
        let to = &mut self.queues[queue];
        let topic = Some(&*records.partition.topic);
        to.add(records, NodeReporter::new(&self.graph, to.source, topic, ReportKind::Undecodable))?;
        // Nothing comes by that would pass what was left out.
        if to.rows() == 0 { self.pass_skipped(outbox, queue) } else { Ok(()) }
    }

    /// Does what is to be done about records that were left out before the next row.
    fn pass_skipped(&mut self, outbox: &mut Outbox, queue: usize) -> Result<(), StreamsError> {
        while let Some(skipped) = self.queues[queue].pass_skipped() {
            let queue = &self.queues[queue];
            let origin = Origin { partition: queue.partition.clone(), offset: skipped.offset };
            let failure = Failure {
                stage: ErrorStage::Deserialization,
                node: queue.source,
                timestamp: skipped.timestamp,
                error: StreamsError::Serde(skipped.message),
                subject: skipped.subject,
            };
            self.graph.handle(outbox, Some(&origin), failure)?;
        }
        Ok(())
    }

    /// Takes the rows that come next through the graph: those of the partition with the lowest head
    /// timestamp, as far as they stay at or below the heads of the others. Equal timestamps go by the order
    /// of the partitions, rows of one partition never change their order. A row that makes something due by
    /// stream time is the last one of the step, and what is due comes right after it.
    ///
    /// `behind` says whether an empty queue's partition has records that were not fetched yet; they must be
    /// waited for, or the choice would depend on how the input was cut.
    pub(crate) fn step(
        &mut self,
        outbox: &mut Outbox,
        patience: Patience<'_>,
        behind: &mut Behind<'_>,
    ) -> Result<Step, StreamsError> {
        if !self.may_go_on(patience, behind)? {
            return Ok(Step::Idle);
        }
        let chosen = (0..self.queues.len())
            .filter_map(|queue| self.queues[queue].head().map(|head| (head, queue)))
            .min();
        let Some((_, chosen)) = chosen else { return Ok(Step::Idle) };
        let others = (0..self.queues.len()).filter(|other| *other != chosen).filter_map(|other| {
            let head = self.queues[other].head()?;
            // At equal timestamps the partition that stands first goes first.
            Some(if other < chosen { head.saturating_sub(1) } else { head })
        });
        let limit = others.min().unwrap_or(i64::MAX);
        let due = match self.graph.due(PunctuationType::StreamTime) {
            Some(due) if due <= self.graph.stream_time => i64::MIN,
            due => due.unwrap_or(i64::MAX),
        };
        self.pass_skipped(outbox, chosen)?;
        let stops = !self.graph.handlers.deserialization.always(ErrorResponse::Continue);
        for pair in 0..self.pairs.len() {
            if !self.pairs[pair].queues.contains(&chosen) {
                continue;
            }
            let run = self.pairs[pair].run(&self.queues, due, stops);
            if !run.contains(&0) {
                return self.step_pair(outbox, pair, run);
            }
        }
        let queue = &mut self.queues[chosen];
        let rows_max = if self.row_by_row[queue.source] { 1 } else { usize::MAX };
        let first = queue.next_offset();
        let batch = queue.take(limit, due, rows_max, stops);
        let rows = batch.rows();
        let offset = first.filter(|_| rows == 1);
        self.graph.origin = Some(Origin { partition: queue.partition.clone(), offset });
        self.graph.stream_time = self.graph.stream_time.max(queue.time);
        Counters::add(&self.graph.counters.records_in, rows as u64);
        graph::forward(&mut self.graph, outbox, queue.source, batch)?;
        self.graph.origin = None;
        self.punctuate_stream_time(outbox)?;
        self.pass_skipped(outbox, chosen)?;
        Ok(Step::Processed(rows))
    }

    /// Takes rows of two queues through the graph that take turns: so many of each.
    fn step_pair(&mut self, outbox: &mut Outbox, pair: usize, run: [usize; 2]) -> Result<Step, StreamsError> {
        let QueuePair { queues, nodes, .. } = self.pairs[pair];
        for queue in queues {
            self.pass_skipped(outbox, queue)?;
        }
        let take = |input: usize| {
            let queue = &mut self.queues[queues[input]];
            let offset = queue.next_offset().filter(|_| run[input] == 1);
            let batch = queue.take_rows(run[input]);
            self.graph.stream_time = self.graph.stream_time.max(queue.time);
            (Origin { partition: queue.partition.clone(), offset }, queue.source, batch)
        };
        let sources = [0, 1].map(take);
        let rows = run[0] + run[1];
        Counters::add(&self.graph.counters.records_in, rows as u64);
        let left_first = self.pairs[pair].left_first();
        graph::forward_pair(&mut self.graph, outbox, nodes, left_first, sources)?;
        self.punctuate_stream_time(outbox)?;
        for queue in queues {
            self.pass_skipped(outbox, queue)?;
        }
        Ok(Step::Processed(rows))
    }

    /// Whether all queues have rows, or those that are empty need not be waited for (any longer). Each empty partition
    /// has its own time of waiting, which begins when it is seen empty, whether others have rows or not.
    fn may_go_on(&mut self, patience: Patience<'_>, behind: &mut Behind<'_>) -> Result<bool, StreamsError> {
        let Some(max_idle) = patience.max_idle else { return Ok(true) };
        let mut may = true;
        for (queue, since) in self.queues.iter().zip(&mut self.empty_since) {
            if queue.rows() > 0 {
                *since = None;
            } else if behind(queue)? {
                *since = None;
                may = false;
            } else if !max_idle.is_zero() {
                let now = patience.clock.monotonic();
                may &= now.saturating_sub(*since.get_or_insert(now)) >= max_idle;
            }
        }
        Ok(may)
    }

    /// Begins to wait for empty partitions though no rows wait.
    pub(crate) fn look(
        &mut self,
        patience: Patience<'_>,
        behind: &mut Behind<'_>,
    ) -> Result<(), StreamsError> {
        if self.queues.len() > 1 && patience.max_idle.is_some_and(|idle| !idle.is_zero()) {
            self.may_go_on(patience, behind)?;
        }
        Ok(())
    }

    /// When rows that wait may go on without those of empty partitions, on the monotonic clock.
    pub(crate) fn goes_on_at(&self, max_idle: Option<Duration>) -> Option<Duration> {
        let since = self.empty_since.iter().flatten().max().filter(|_| self.rows() > 0)?;
        Some(since.saturating_add(max_idle?))
    }

    /// Lets stream time follow the clock while there is nothing to read: from the time it had, once that has lasted
    /// for `idle` (`window.close.idle.ms`).
    pub(crate) fn advance_idle(
        &mut self,
        outbox: &mut Outbox,
        now: Duration,
        idle: Duration,
        at_end: impl Fn(&PartitionQueue) -> Result<bool, StreamsError>,
    ) -> Result<(), StreamsError> {
        for queue in &self.queues {
            if queue.rows() > 0 || !at_end(queue)? {
                self.idle_since = None;
                return Ok(());
            }
        }
        if self.graph.stream_time == i64::MIN {
            return Ok(());
        }
        let (since, from) = *self.idle_since.get_or_insert((now, self.graph.stream_time));
        let passed = now.saturating_sub(since);
        let time = from.saturating_add(crate::store::spec::millis(passed));
        if passed < idle || time <= self.graph.stream_time {
            return Ok(());
        }
        self.graph.advance(outbox, time)?;
        self.punctuate_stream_time(outbox)?;
        // Alone it is not worth a commit.
        let before = self.graph.keeps_new_times;
        self.graph.keep_time(STREAM_TIME, time);
        self.graph.keeps_new_times = before;
        Ok(())
    }

    /// When the clock next moves stream time, on the monotonic clock.
    pub(crate) fn idle_at(&self, idle: Duration) -> Option<Duration> {
        self.idle_since.map(|(since, _)| since.saturating_add(idle))
    }

    fn punctuate_stream_time(&mut self, outbox: &mut Outbox) -> Result<(), StreamsError> {
        let now = self.graph.stream_time;
        self.graph.punctuate(outbox, PunctuationType::StreamTime, now).map(drop)
    }

    /// Rows that wait in all queues.
    pub(crate) fn rows(&self) -> usize {
        self.queues.iter().map(PartitionQueue::rows).sum()
    }
}
