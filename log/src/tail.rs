//! The newest batches of a partition, kept in memory for the readers at its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::record::RecordBatch;
use crate::types::Offset;

/// What a partition that is written to keeps even when the budget is used up.
const BYTES_MIN: usize = 256 << 10;

/// Memory for the tails of all partitions.
#[derive(Debug)]
pub(crate) struct TailBudget {
    bytes_max: usize,
    bytes_max_total: usize,
    used: AtomicUsize,
}

impl TailBudget {
    pub(crate) fn new(bytes_max: usize, bytes_max_total: usize) -> Self {
        Self { bytes_max, bytes_max_total, used: AtomicUsize::new(0) }
    }
}

/// The last batches of one partition without a gap up to its end.
#[derive(Debug)]
pub(crate) struct Tail {
    budget: Arc<TailBudget>,
    batches: VecDeque<RecordBatch>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn new(budget: Arc<TailBudget>) -> Self {
        Self { budget, batches: VecDeque::new(), bytes: 0 }
    }

    /// Adds the newest batch and lets go of the oldest ones beyond the budget.
    pub(crate) fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch.len_bytes();
        let mut used = self.budget.used.fetch_add(batch.len_bytes(), Ordering::Relaxed) + batch.len_bytes();
        self.batches.push_back(batch);
        while self.bytes > self.budget.bytes_max
            || (used > self.budget.bytes_max_total && self.bytes > BYTES_MIN)
        {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.len_bytes();
            used = self.budget.used.fetch_sub(oldest.len_bytes(), Ordering::Relaxed) - oldest.len_bytes();
        }
    }

    /// Lets go of the batches below `offset`.
    pub(crate) fn release_below(&mut self, offset: Offset) {
        while self.batches.front().is_some_and(|batch| batch.base_offset() < offset) {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.len_bytes();
            self.budget.used.fetch_sub(oldest.len_bytes(), Ordering::Relaxed);
        }
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.batches = VecDeque::new();
        self.bytes = 0;
    }

    /// As a segment's read, but from memory; `None` if `from` is older than what is kept.
    pub(crate) fn read(&self, from: Offset, upper: Offset, bytes_max: usize) -> Option<Vec<RecordBatch>> {
        if self.batches.front()?.base_offset() > from {
            return None;
        }
        let first = self.batches.partition_point(|batch| batch.last_offset() < from);
        let mut found = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.range(first..) {
            bytes += batch.len_bytes();
            if batch.base_offset() >= upper || (!found.is_empty() && bytes > bytes_max) {
                break;
            }
            found.push(batch.clone());
        }
        Some(found)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}
