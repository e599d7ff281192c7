//! Two input queues whose rows may be taken together, because only one pair of nodes sees in which order they come.

use crate::processor::RowsKept;
use crate::runtime::graph::TaskGraph;
use crate::runtime::queue::PartitionQueue;
use crate::topology::Topology;
use crate::turns::Turns;

/// Two queues and the nodes where their rows meet.
pub(crate) struct QueuePair {
    pub(crate) queues: [usize; 2],
    pub(crate) nodes: [usize; 2],
    /// Every row of the queues comes to the nodes. If not, the highest timestamp of the rows before a late one may be
    /// lost, and with it the late one's turn; then late rows begin a new run.
    keeps_all: bool,
}

impl QueuePair {
    /// The pairs of a task. Sources with `row_by_row`, by node number, are in none.
    pub(crate) fn all(
        topology: &Topology,
        graph: &TaskGraph,
        queues: &[PartitionQueue],
        row_by_row: &[bool],
    ) -> Vec<Self> {
        let here = topology.pairs.iter().filter(|[left, _]| graph.has_node(*left));
        here.filter_map(|nodes| Self::of(topology, graph, queues, row_by_row, *nodes)).collect()
    }

    fn of(
        topology: &Topology,
        graph: &TaskGraph,
        queues: &[PartitionQueue],
        row_by_row: &[bool],
        nodes: [usize; 2],
    ) -> Option<Self> {
        let (left, mut between) = topology.way_to(nodes[0])?;
        let (right, others) = topology.way_to(nodes[1])?;
        between.extend(others);
        let kept = |kept: RowsKept| between.iter().all(|node| graph.rows_kept(*node) == kept);
        let known = between.iter().all(|node| graph.rows_kept(*node) != RowsKept::Unknown);
        let sources = [left, right];
        if !known || sources.iter().any(|it| row_by_row[*it]) || !topology.meet_only_in(nodes, sources) {
            return None;
        }
        let only = |source: usize| {
            let mut found = (0..queues.len()).filter(|queue| queues[*queue].source == source);
            found.next().filter(|_| found.next().is_none())
        };
        Some(Self { queues: [only(left)?, only(right)?], nodes, keeps_all: kept(RowsKept::All) })
    }

    /// Whether rows of the first queue go first at equal timestamps.
    pub(crate) fn left_first(&self) -> bool {
        self.queues[0] < self.queues[1]
    }

    /// How many rows of each queue take turns before it is the turn of another queue, something is `due`, or it is not
    /// known how one of the two goes on.
    pub(crate) fn run(&self, queues: &[PartitionQueue], due: i64, stops: bool) -> [usize; 2] {
        let limits = self.queues.map(|queue| {
            let others = (0..queues.len()).filter(|other| !self.queues.contains(other));
            let heads = others.filter_map(|other| {
                let head = queues[other].head()?;
                Some(if other < queue { head.saturating_sub(1) } else { head })
            });
            heads.min().unwrap_or(i64::MAX)
        });
        let times = self.queues.map(|queue| queues[queue].front(stops));
        let mut turns = Turns::new(times, self.left_first());
        while let Some((input, row)) = turns.peek() {
            let taken = turns.taken();
            let time = times[input][row];
            let is_late = row > 0 && time < times[input][row - 1];
            if taken[0] == times[0].len()
                || taken[1] == times[1].len()
                || time > limits[input]
                || is_late && !self.keeps_all
            {
                break;
            }
            turns.take(input);
            if time >= due {
                break;
            }
        }
        turns.taken()
    }
}
