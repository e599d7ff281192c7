//! Control batches: the markers that end a transaction in each of its partitions.

use bytes::{BufMut, BytesMut};

use super::batch::{CONTROL, HEADER_BYTES, ProducerStamp, RecordBatch, TRANSACTIONAL};
use super::builder::{BatchBuilder, seal};
use crate::types::Timestamp;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Abort,
    Commit,
}

impl Marker {
    /// The marker in a control batch; `None` for kinds that readers must ignore.
    pub(crate) fn of(batch: &RecordBatch) -> Option<Self> {
        let key = batch.records().next()?.ok()?.key?;
        match key.get(..4)? {
            [0, 0, 0, 0] => Some(Self::Abort),
            [0, 0, 0, 1] => Some(Self::Commit),
            _ => None,
        }
    }
}

/// A marker batch of 78 bytes for the producer's open transaction.
pub(crate) fn encode_marker(marker: Marker, stamp: ProducerStamp, coordinator_epoch: i32, now: Timestamp) -> BytesMut {
    let key: [u8; 4] = match marker {
        Marker::Abort => [0, 0, 0, 0],
        Marker::Commit => [0, 0, 0, 1],
    };
    let mut value = BytesMut::with_capacity(6);
    value.put_i16(0);
    value.put_i32(coordinator_epoch);

    let mut builder = BatchBuilder::with_capacity(HEADER_BYTES + 17);
    builder.transactional(ProducerStamp { sequence: -1, ..stamp });
    builder.append(now, Some(&key), Some(&value), &[]);
    let mut batch = builder.finish();
    batch[21..23].copy_from_slice(&(TRANSACTIONAL | CONTROL).to_be_bytes());
    seal(&mut batch);
    batch
}
