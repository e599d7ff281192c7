//! Which batches are of aborted transactions, and which markers still have data before them.

use std::collections::{BTreeMap, BTreeSet};

use crate::aborted::AbortedEntry;
use crate::record::RecordBatch;
use crate::types::{Offset, ProducerId};

/// Aborted transactions by producer and marker.
#[derive(Debug)]
pub(super) struct AbortedTransactions {
    by_marker: BTreeMap<(ProducerId, Offset), AbortedEntry>,
}

impl AbortedTransactions {
    pub(super) fn new(entries: impl IntoIterator<Item = AbortedEntry>) -> Self {
        let by_marker =
            entries.into_iter().map(|entry| ((entry.producer_id, entry.last_offset), entry)).collect();
        Self { by_marker }
    }

    /// Whether a data batch is part of an aborted transaction.
    pub(super) fn covers(&self, batch: &RecordBatch) -> bool {
        let Some(id) = batch.producer_id().filter(|_| batch.is_transactional()) else { return false };
        // Transactions of a producer follow on one another, so the next marker is that of this batch if any is.
        let from = (id, batch.last_offset());
        let next = self.by_marker.range(from..=(id, Offset::new(u64::MAX))).next();
        next.is_some_and(|(_, entry)| entry.first_offset <= batch.base_offset())
    }

    /// The transaction that the marker in this batch aborted.
    pub(super) fn ended_by(&self, marker: &RecordBatch) -> Option<AbortedEntry> {
        self.by_marker.get(&(marker.producer_id()?, marker.last_offset())).copied()
    }
}

/// Producers with data batches since their last marker, on the way through the log from its start.
#[derive(Debug, Default)]
pub(super) struct SeenTransactions {
    open: BTreeSet<ProducerId>,
}

impl SeenTransactions {
    /// Takes a data batch into account, whether it is kept or not.
    pub(super) fn data(&mut self, batch: &RecordBatch) {
        if batch.is_transactional() {
            self.open.extend(batch.producer_id());
        }
    }

    /// Takes a marker into account. False if its transaction has no data left, so that nobody needs it any more.
    pub(super) fn marker(&mut self, batch: &RecordBatch) -> bool {
        batch.producer_id().is_some_and(|id| self.open.remove(&id)) && !planted!("compact_drops_marker")
    }
}
