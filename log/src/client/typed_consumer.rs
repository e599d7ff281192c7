//! A consumer of Rust values.

use std::fmt;
use std::time::Duration;

use super::Consumer;
use crate::consumer::PartitionRecords;
use crate::error::{LogError, Result};
use crate::record::{Header, RecordView};
use crate::serde::{DefaultSerde, DynSerde, SerdeError};
use crate::types::{Offset, Timestamp, TopicPartition};

/// A record as read, with its key and value as Rust values.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedRecord<K, V> {
    /// The partition it was read from.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// Its event time, or append time if the topic uses that.
    pub timestamp: Timestamp,
    /// Key; `None` is null.
    pub key: Option<K>,
    /// Value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<V>,
    /// Headers.
    pub headers: Vec<Header>,
}

/// A [`Consumer`] that reads keys and values of Rust types through [serdes](crate::serde).
pub struct TypedConsumer<K, V, C = crate::consumer::Consumer> {
    consumer: C,
    key: DynSerde<K>,
    value: DynSerde<V>,
}

impl<K: 'static, V: 'static, C: Consumer> TypedConsumer<K, V, C> {
    /// A typed view of `consumer`.
    pub fn new(consumer: C, key: DynSerde<K>, value: DynSerde<V>) -> Self {
        Self { consumer, key, value }
    }

    /// The same with the serdes that the types bring along.
    pub fn of(consumer: C) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::new(consumer, K::default_serde(), V::default_serde())
    }

    /// The records of a [poll](Consumer::poll).
    ///
    /// At a record that a serde cannot read, those before it are returned; the next poll starts with it and fails with
    /// [`LogError::Serialization`], which names its partition and offset, and so does every poll until the position is
    /// [moved](Consumer::seek) beyond it.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<TypedRecord<K, V>>> {
        let mut records = Vec::new();
        let mut runs = self.consumer.poll(timeout)?.into_iter();
        while let Some(run) = runs.next() {
            let Err((offset, error)) = self.read(&run, &mut records) else { continue };
            self.consumer.seek(&run.partition, offset)?;
            for unread in runs {
                self.consumer.seek(&unread.partition, unread.first)?;
            }
            return if records.is_empty() { Err(error) } else { Ok(records) };
        }
        Ok(records)
    }

    /// The consumer below.
    pub fn consumer(&self) -> &C {
        &self.consumer
    }

    /// The consumer below, to subscribe, seek and commit.
    pub fn consumer_mut(&mut self) -> &mut C {
        &mut self.consumer
    }

    /// The consumer below, to close it.
    pub fn into_consumer(self) -> C {
        self.consumer
    }

    /// Adds the records of one partition, up to the first that cannot be read.
    fn read(
        &self,
        run: &PartitionRecords,
        records: &mut Vec<TypedRecord<K, V>>,
    ) -> Result<(), (Offset, LogError)> {
        let mut next = run.first;
        for record in run.records() {
            let record = record.map_err(|error| (next, error))?;
            records.push(self.typed(&run.partition, &record).map_err(|error| (record.offset, error))?);
            next = record.offset + 1;
        }
        Ok(())
    }

    fn typed(&self, partition: &TopicPartition, record: &RecordView<'_>) -> Result<TypedRecord<K, V>> {
        let refused = |part, error: SerdeError| LogError::Serialization {
            action: "read",
            part,
            place: format!("record {} of {partition}", record.offset),
            reason: error.to_string(),
        };
        let (topic, headers) = (&*partition.topic, record.headers());
        let key = record.key.map(|bytes| self.key.deserialize_for(topic, headers, bytes));
        let value = record.value.map(|bytes| self.value.deserialize_for(topic, headers, bytes));
        Ok(TypedRecord {
            partition: partition.clone(),
            offset: record.offset,
            timestamp: record.timestamp,
            key: key.transpose().map_err(|error| refused("key", error))?,
            value: value.transpose().map_err(|error| refused("value", error))?,
            headers: headers.to_owned()?,
        })
    }
}

impl<K, V, C: fmt::Debug> fmt::Debug for TypedConsumer<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConsumer").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}
