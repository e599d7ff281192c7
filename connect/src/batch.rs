//! What tasks and the worker hand to each other: columns beside keys, timestamps and offsets.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    buffer::BooleanBuffer,
    datatypes::{FieldRef, Fields},
};
use millstream_log::{Offset, Timestamp, TopicPartition};
use serde_json::{Map, Value};

/// Names the thing that a source task reads, such as `{"filename": "a.csv"}`.
pub type SourcePartition = Map<String, Value>;

/// How far a source task has read, such as `{"position": 4711}`.
pub type SourceOffset = Map<String, Value>;

/// What a source task will deliver, fixed when it starts.
#[derive(Clone, Debug)]
pub struct SourceSchema {
    /// Topic of the records.
    pub topic: String,
    /// Type of the keys, if there are any.
    pub key: Option<FieldRef>,
    /// The values.
    pub value: ValueShape,
}

/// What the value of a record is before it is converted to bytes.
#[derive(Clone, Debug)]
pub enum ValueShape {
    /// A record with named fields.
    Record(Fields),
    /// One bare value.
    Single(FieldRef),
    /// JSON text, in one STRING column. The JSON and string converters write it as it is.
    JsonText,
}

/// Records from a source, all of one [`SourceSchema`].
#[derive(Clone, Debug)]
pub struct SourceBatch {
    /// Number of records.
    pub rows: usize,
    /// Columns of the values, in the order of the schema.
    pub columns: Vec<ArrayRef>,
    /// Keys; NULL is a record without a key.
    pub key: Option<ArrayRef>,
    /// Event time of each record; `None` is the time at which it is written.
    pub timestamps: Option<Vec<Timestamp>>,
    /// How far the source is read once these records are in the log.
    pub offset: SourceOffset,
    /// Records that could not be read. They are not among the rows.
    pub bad: Vec<BadRecord>,
}

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// File and line, or topic, partition and offset.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Answer of a source task to a poll.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Records.
    Batch(SourceBatch),
    /// Nothing now; ask again later.
    Idle,
    /// Nothing any more.
    End,
}

/// Records for a sink, from one partition, without those that could not be read.
#[derive(Clone, Debug)]
pub struct SinkBatch {
    /// Where they come from.
    pub partition: TopicPartition,
    /// Number of records.
    pub rows: usize,
    /// Columns of the values, as the task's [`SinkShape`](crate::SinkShape) asked.
    pub columns: Vec<ArrayRef>,
    /// Set bits mark NULL values (tombstones).
    pub null_values: Option<BooleanBuffer>,
    /// Keys as text, for those that are UTF-8.
    pub keys: ArrayRef,
    /// Event time of each record.
    pub timestamps: Arc<[Timestamp]>,
    /// The offset behind the last record.
    pub next: Offset,
}
