//! What a user's processor sees of its task.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use millstream_log::{Offset, PartitionId, Timestamp};

use crate::dsl::record::{FixedKeyRecord, Record};
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::processor::{Context, TaskId};
use crate::runtime::{Punctuation, PunctuationType};
use crate::store::{
    KeyValueStore, SessionStore, TimestampedKeyValueStore, VersionedKeyValueStore, WindowStore,
};

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// The input topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// The task of a processor: its stores, times, punctuations and timers. Kafka's class of this name.
pub struct ProcessingContext<'a, 'c> {
    task: &'a mut Context<'c>,
    row_time: Option<i64>,
    row_by_row: bool,
}

impl<'a, 'c> ProcessingContext<'a, 'c> {
    pub(crate) fn new(task: &'a mut Context<'c>, row_time: Option<i64>, row_by_row: bool) -> Self {
        Self { task, row_time, row_by_row }
    }

    /// A key-value store that is connected to the processor. What is written carries the time of the record at hand,
    /// or else the stream time.
    pub fn key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<KeyValueStore<'_, K, V>, StreamsError> {
        self.task.key_value_store(name)
    }

    /// A key-value store, with the timestamps of its values.
    pub fn timestamped_key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<'_, K, V>, StreamsError> {
        self.task.timestamped_key_value_store(name)
    }

    /// A window store.
    pub fn window_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<WindowStore<'_, K, V>, StreamsError> {
        self.task.window_store(name)
    }

    /// A session store.
    pub fn session_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<SessionStore<'_, K, V>, StreamsError> {
        self.task.session_store(name)
    }

    /// A versioned key-value store.
    pub fn versioned_key_value_store<K: 'static, V: Clone + Send + Sync + 'static>(
        &mut self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<'_, K, V>, StreamsError> {
        self.task.versioned_key_value_store(name)
    }

    /// Lets the processor be called again and again: see [`Context::schedule`]. Not kept over a restart.
    pub fn schedule(&mut self, interval: Duration, kind: PunctuationType) -> Punctuation {
        self.task.schedule(interval, kind)
    }

    /// As [`schedule`](Self::schedule), first at `start` and then every `interval` from there.
    pub fn schedule_from(
        &mut self,
        start: Timestamp,
        interval: Duration,
        kind: PunctuationType,
    ) -> Punctuation {
        self.task.schedule_from(start, interval, kind)
    }

    /// Ends a punctuation; also from inside its call.
    pub fn cancel(&mut self, punctuation: Punctuation) {
        self.task.cancel(punctuation);
    }

    /// Sets the timer of a name and key to a time (ms), or moves it there. Timers are kept over restarts; the processor
    /// must be connected to a store of them. See [`Context::set_timer`].
    pub fn set_timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: impl AsRef<[u8]>,
        time: i64,
    ) -> Result<(), StreamsError> {
        self.task.set_timer(kind, name, key.as_ref(), time)
    }

    /// Removes a timer. Returns whether it was set.
    pub fn cancel_timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: impl AsRef<[u8]>,
    ) -> Result<bool, StreamsError> {
        self.task.cancel_timer(kind, name, key.as_ref())
    }

    /// When the timer of a name and key is due, if it is set.
    pub fn timer(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<i64>, StreamsError> {
        self.task.timer(kind, name, key.as_ref())
    }

    /// The highest timestamp (ms) that the task has taken from its inputs, that of the record at hand included; none
    /// before the first. A processor that does not take [row by row](super::RecordProcessor::row_by_row) sees that of
    /// the whole run.
    pub fn stream_time(&self) -> Option<i64> {
        Some(self.task.stream_time()).filter(|time| *time != i64::MIN)
    }

    /// The wall-clock time.
    pub fn wall_clock(&self) -> Timestamp {
        self.task.wall_clock()
    }

    /// Where the record at hand comes from. None in `init`, punctuations and timers, for records that a commit made, and
    /// if the processor does not take [row by row](super::RecordProcessor::row_by_row).
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let origin = self.task.origin().filter(|_| self.row_by_row && self.row_time.is_some())?;
        let (topic, partition) = (&*origin.partition.topic, origin.partition.partition);
        Some(RecordMetadata { topic, partition, offset: Offset::new(origin.offset?) })
    }

    /// Asks for a commit as soon as the record at hand is done, without waiting for `commit.interval.ms`.
    pub fn commit(&mut self) {
        self.task.request_commit();
    }

    /// The task.
    pub fn task_id(&self) -> TaskId {
        self.task.task_id()
    }

    /// The `application.id`.
    pub fn application_id(&self) -> &str {
        self.task.application_id()
    }
}

/// The task of a processor, and where it forwards records: Kafka's class of this name.
pub struct ProcessorContext<'a, 'c, K, V> {
    task: ProcessingContext<'a, 'c>,
    forwarded: &'a mut Forwarded<K, V>,
}

impl<'a, 'c, K, V> ProcessorContext<'a, 'c, K, V> {
    pub(crate) fn new(task: ProcessingContext<'a, 'c>, forwarded: &'a mut Forwarded<K, V>) -> Self {
        Self { task, forwarded }
    }
}

impl<K, V> ProcessorContext<'_, '_, K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Hands a record to all children, in the order in which they were added. Fails if its timestamp is negative.
    pub fn forward(&mut self, record: Record<K, V>) -> Result<(), StreamsError> {
        self.forwarded.add(None, record, self.task.task)
    }

    /// Hands a record to one child by the name of its node.
    pub fn forward_to(&mut self, child: &str, record: Record<K, V>) -> Result<(), StreamsError> {
        self.forwarded.add(Some(child), record, self.task.task)
    }
}

impl<'a, 'c, K, V> Deref for ProcessorContext<'a, 'c, K, V> {
    type Target = ProcessingContext<'a, 'c>;

    fn deref(&self) -> &Self::Target {
        &self.task
    }
}

impl<K, V> DerefMut for ProcessorContext<'_, '_, K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.task
    }
}

/// The task of a processor of fixed keys, and where it forwards records: Kafka's `FixedKeyProcessorContext`.
pub struct FixedKeyContext<'a, 'p, 'c, K, V>(&'a mut ProcessorContext<'p, 'c, K, V>);

impl<'a, 'p, 'c, K, V> FixedKeyContext<'a, 'p, 'c, K, V> {
    pub(crate) fn new(context: &'a mut ProcessorContext<'p, 'c, K, V>) -> Self {
        Self(context)
    }
}

impl<K, V> FixedKeyContext<'_, '_, '_, K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Hands a record to all children, in the order in which they were added. Fails if its timestamp is negative.
    pub fn forward(&mut self, record: FixedKeyRecord<K, V>) -> Result<(), StreamsError> {
        self.0.forward(record.into_record())
    }

    /// Hands a record to one child by the name of its node.
    pub fn forward_to(&mut self, child: &str, record: FixedKeyRecord<K, V>) -> Result<(), StreamsError> {
        self.0.forward_to(child, record.into_record())
    }
}

impl<'p, 'c, K, V> Deref for FixedKeyContext<'_, 'p, 'c, K, V> {
    type Target = ProcessingContext<'p, 'c>;

    fn deref(&self) -> &Self::Target {
        &self.0.task
    }
}

impl<K, V> DerefMut for FixedKeyContext<'_, '_, '_, K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0.task
    }
}

/// Records on their way to the children of a processor.
pub(crate) struct Forwarded<K, V> {
    rows: Records<K, V>,
    /// The child that they are for, or none for all.
    child: Option<String>,
    /// Whether each is handed on at once.
    at_once: bool,
}

impl<K, V> Forwarded<K, V> {
    pub(crate) fn new(at_once: bool) -> Self {
        Self { rows: Records::with_capacity(0), child: None, at_once }
    }

    /// Gives up what was not handed on.
    pub(crate) fn clear(&mut self) {
        self.rows = Records::with_capacity(0);
    }
}

impl<K, V> Forwarded<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn add(
        &mut self,
        child: Option<&str>,
        record: Record<K, V>,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        if child != self.child.as_deref() {
            self.hand_on(context)?;
            self.child = child.map(str::to_owned);
        }
        let Record { key, value, timestamp, headers } = record;
        if timestamp < 0 {
            let error = format!("a record with the negative timestamp {timestamp} was forwarded");
            return Err(StreamsError::Failed(error));
        }
        self.rows.push(key, value, timestamp, headers);
        if self.at_once { self.hand_on(context) } else { Ok(()) }
    }

    /// Hands on what waits.
    pub(crate) fn hand_on(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = Box::new(std::mem::replace(&mut self.rows, Records::with_capacity(0)));
        match &self.child {
            None => context.forward(rows),
            Some(child) => context.forward_to(child, rows),
        }
    }
}
