//! What travels along an edge of a topology, and how it comes from and goes to record bytes.
//!
//! ```text
//! PartitionRecords ─▶ Decoder ─▶ Batch ─▶ processors ─▶ Batch ─▶ Encoder ─▶ RecordSink
//! ```

use std::any::{Any, type_name};

use millstream_log::{Header, PartitionId, PartitionRecords};

use crate::error::StreamsError;
use crate::report::Reporter;
use crate::runtime::outbox::{Outbox, OutputTopic};

/// Rows that travel together. Typed when the graph is built, erased once per batch.
///
/// Cutting the same rows into other batches must never show in any output.
pub trait Batch: Send + 'static {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// Event time of each row, in milliseconds since the Unix epoch.
    fn timestamps(&self) -> &[i64];

    /// The first `rows` rows leave this batch; `rows` is at most [`Batch::rows`].
    fn split_front(&mut self, rows: usize) -> Box<dyn Batch>;

    /// A copy for one more child.
    fn duplicate(&self) -> Box<dyn Batch>;

    /// The batch as its own type again; see [`downcast`].
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// The batch as the type that its consumer was built for.
pub fn downcast<B: Batch>(batch: Box<dyn Batch>) -> Result<Box<B>, StreamsError> {
    let any = batch.into_any();
    any.downcast::<B>().map_err(|_| StreamsError::WrongType { expected: type_name::<B>() })
}

/// One fetched run of a source partition, decoded.
pub struct Decoded {
    /// The rows, in offset order.
    pub batch: Box<dyn Batch>,
    /// The offset of each row; records that were skipped leave gaps.
    pub offsets: Vec<u64>,
}

/// Makes batches of the records of one source topic. One instance per task and topic partition.
pub trait Decoder: Send {
    /// Decodes the records from `records.first` on. A record that cannot be decoded is reported and left out.
    fn decode(
        &mut self,
        records: &PartitionRecords,
        report: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError>;
}

/// Makes records of the batches that reach a sink. One instance per task.
pub trait Encoder: Send {
    /// Appends a record per row to `out`. A row that cannot be encoded is reported and left out.
    fn encode(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError>;
}

/// The topic of a sink, as its encoder sees it.
pub struct RecordSink<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) topic: OutputTopic,
    pub(crate) task_partition: PartitionId,
    /// Records that the log did not take, with their timestamps.
    pub(crate) refused: Vec<(i64, StreamsError)>,
}

impl RecordSink<'_> {
    /// Appends one record with its event time in ms. Without a partition, a key chooses by its murmur2 hash
    /// and a record without key goes where the producer likes. A record that the log does not take, such as one that is
    /// too large, is left to the application's handler.
    pub fn append(
        &mut self,
        partition: Option<PartitionId>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), StreamsError> {
        match self.outbox.append(self.topic, partition, timestamp, key, value, headers) {
            Err(error) if error.refuses_a_record() => {
                self.refused.push((timestamp, error));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The number of partitions of the topic, for encoders that choose the partition themselves.
    pub fn partitions(&self) -> u32 {
        self.outbox.partitions(self.topic)
    }

    /// The partition of the task that writes.
    pub fn task_partition(&self) -> PartitionId {
        self.task_partition
    }
}
