//! What an append and a read give back.

use crate::record::RecordBatch;
use crate::types::{Offset, ProducerId, Timestamp, TopicPartition};

/// Where a batch was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its time: the largest of its records, or that of the append.
    pub timestamp: Timestamp,
    /// Whether the batch was there already: its producer had sent it before, and nothing was appended this time.
    pub is_duplicate: bool,
}

/// An aborted transaction that touches the batches of a [`Fetched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer that aborted.
    pub producer_id: ProducerId,
    /// The transaction's first offset in this partition.
    pub first_offset: Offset,
}

/// Whole batches from one partition, as stored.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The partition.
    pub partition: TopicPartition,
    /// Batches in offset order. The first may begin below the offset asked for.
    pub batches: Vec<RecordBatch>,
    /// First offset of the partition.
    pub log_start: Offset,
    /// End of what readers may see.
    pub high_watermark: Offset,
    /// End of what read-committed readers may see.
    pub last_stable_offset: Offset,
    /// With [`Isolation::ReadCommitted`](crate::Isolation::ReadCommitted), the aborted transactions among the batches.
    pub aborted: Vec<AbortedTransaction>,
}

impl Fetched {
    /// Where the next read goes on: behind the last batch, or at `from` if there is none.
    pub fn next_offset(&self, from: Offset) -> Offset {
        self.batches.last().map_or(from, RecordBatch::next_offset)
    }

    /// The batches that applications see: without control batches and aborted transactions.
    pub fn into_data(self) -> Vec<RecordBatch> {
        let mut batches = self.batches;
        let mut pending = self.aborted;
        pending.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        let mut active: Vec<ProducerId> = Vec::new();
        batches.retain(|batch| {
            while pending.last().is_some_and(|next| next.first_offset <= batch.last_offset()) {
                active.extend(pending.pop().map(|transaction| transaction.producer_id));
            }
            let producer = batch.producer_id();
            if batch.is_control() {
                // A marker of either kind ends the producer's transaction.
                active.retain(|id| Some(*id) != producer);
                return false;
            }
            !(batch.is_transactional() && producer.is_some_and(|id| active.contains(&id)))
        });
        batches
    }
}
