//! Control batches: the markers that end a transaction in each of its partitions.

use bytes::BytesMut;

use super::batch::{CONTROL, ProducerStamp, RecordBatch, TRANSACTIONAL, seal};
use super::builder::BatchBuilder;
use crate::types::Timestamp;

/// How a transaction ended in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) is_commit: bool,
    pub(crate) coordinator_epoch: i32,
}

impl Marker {
    /// The marker in a control batch; `None` for kinds that readers must ignore.
    pub(crate) fn of(batch: &RecordBatch) -> Option<Self> {
        let record = batch.records().next()?.ok()?;
        let is_commit = match record.key?.get(..4)? {
            [0, 0, 0, 0] => false,
            [0, 0, 0, 1] => true,
            _ => return None,
        };
        let coordinator_epoch = i32::from_be_bytes(record.value?.get(2..6)?.try_into().ok()?);
        Some(Self { is_commit, coordinator_epoch })
    }

    /// A batch of 78 bytes that ends the producer's open transaction this way.
    pub(crate) fn encode(self, stamp: ProducerStamp, now: Timestamp) -> BytesMut {
        let key = [0, 0, 0, u8::from(self.is_commit)];
        let mut value = [0; 6]; // version 0, coordinator epoch
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());

        let mut builder = BatchBuilder::with_capacity(78);
        builder.stamp(ProducerStamp { sequence: -1, is_transactional: true, ..stamp });
        builder.append(now, Some(&key), Some(&value), &[]);
        let mut batch = builder.finish();
        batch[21..23].copy_from_slice(&(TRANSACTIONAL | CONTROL).to_be_bytes());
        seal(&mut batch);
        batch
    }
}
