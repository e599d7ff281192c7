//! What travels along an edge of a topology, and how it comes from and goes to record bytes.
//!
//! ```text
//! PartitionRecords ─▶ Decoder ─▶ Batch ─▶ processors ─▶ Batch ─▶ Encoder ─▶ RecordSink
//! ```

use std::any::{Any, type_name};
use std::sync::Arc;

use millstream_log::{Header, Log, LogError, PartitionId, PartitionRecords, TopicPartition};

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
    /// The topic that records go to, and its name. None at first in a sink without a topic of its own.
    pub(crate) topic: Option<(OutputTopic, Arc<str>)>,
    pub(crate) task_partition: PartitionId,
    /// The input partition that the rows come from; none if they come from a punctuation or a commit.
    pub(crate) source: Option<&'a TopicPartition>,
    pub(crate) log: &'a Log,
    /// The name of the sink.
    pub(crate) node: &'a str,
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
        let Some((topic, name)) = &self.topic else {
            self.refuse(timestamp, StreamsError::Failed("no topic was chosen for a row".to_owned()));
            return Ok(());
        };
        let partitions = self.outbox.partitions(*topic);
        if let Some(partition) = partition.filter(|partition| partition.get() >= partitions) {
            let error = format!("topic {name} has {partitions} partitions, so no partition {partition}");
            self.refuse(timestamp, StreamsError::Failed(error));
            return Ok(());
        }
        match self.outbox.append(*topic, partition, timestamp, key, value, headers) {
            Err(error) if error.refuses_a_record() => {
                self.refuse(timestamp, error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Lets the records that are appended from here on go to this topic. Returns false, and leaves the row with this
    /// event time (ms) to the application's handler, if there is no such topic.
    pub fn choose_topic(&mut self, topic: &str, timestamp: i64) -> Result<bool, StreamsError> {
        if self.topic.as_ref().is_some_and(|(_, chosen)| **chosen == *topic) {
            return Ok(true);
        }
        match self.outbox.existing_topic(self.log, topic) {
            Ok(found) => self.topic = Some(found),
            Err(StreamsError::Log(LogError::UnknownTopic { .. })) => {
                self.topic = None;
                let (topic, node) = (topic.to_owned(), self.node.to_owned());
                self.refuse(timestamp, StreamsError::MissingTopic { topic, node });
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Leaves a row to the application's handler (`production.exception.handler`).
    pub fn refuse(&mut self, timestamp: i64, error: StreamsError) {
        self.refused.push((timestamp, error));
    }

    /// The name of the topic that records go to; empty while none was chosen.
    pub fn topic(&self) -> &str {
        self.topic.as_ref().map_or("", |(_, name)| name)
    }

    /// The number of partitions of the topic, for encoders that choose the partition themselves.
    pub fn partitions(&self) -> u32 {
        self.topic.as_ref().map_or(0, |(topic, _)| self.outbox.partitions(*topic))
    }

    /// The input partition that the rows come from; none if they come from a punctuation or a commit.
    pub fn source(&self) -> Option<&TopicPartition> {
        self.source
    }

    /// The partition of the task that writes.
    pub fn task_partition(&self) -> PartitionId {
        self.task_partition
    }
}
