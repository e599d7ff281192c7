//! A shared producer of Rust values.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::error::{LogError, Result};
use crate::producer::{Delivery, SharedProducer};
use crate::record::Header;
use crate::serde::{DefaultSerde, DynSerde};
use crate::types::{PartitionId, Timestamp};

/// A [`SharedProducer`] that writes keys and values of Rust types through [serdes](crate::serde).
pub struct TypedProducer<K, V> {
    producer: SharedProducer,
    key: DynSerde<K>,
    value: DynSerde<V>,
}

thread_local! {
    /// The bytes of a key and a value, so that a send need not allocate them.
    static SCRATCH: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

impl<K: 'static, V: 'static> TypedProducer<K, V> {
    /// A typed view of `producer`.
    pub fn new(producer: SharedProducer, key: DynSerde<K>, value: DynSerde<V>) -> Self {
        Self { producer, key, value }
    }

    /// The same with the serdes that the types bring along.
    pub fn of(producer: SharedProducer) -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Self::new(producer, K::default_serde(), V::default_serde())
    }

    /// Sends a record with the time of now to the partition of its key. `None` is null.
    pub fn send(&self, topic: &str, key: Option<&K>, value: Option<&V>) -> Result<Delivery> {
        self.send_with(topic, None, None, key, value, Vec::new())
    }

    /// Sends a record. Fails with [`LogError::Serialization`] if a serde refuses its key or value, else as
    /// [`SharedProducer::send`].
    pub fn send_with(
        &self,
        topic: &str,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&K>,
        value: Option<&V>,
        mut headers: Vec<Header>,
    ) -> Result<Delivery> {
        let (mut key_bytes, mut value_bytes) = SCRATCH.take();
        key_bytes.clear();
        value_bytes.clear();
        let refused = |part, error: crate::serde::SerdeError| LogError::Serialization {
            action: "write",
            part,
            place: format!("a record of {topic}"),
            reason: error.to_string(),
        };
        if let Some(key) = key {
            let written = self.key.serialize_for(topic, &mut headers, key, &mut key_bytes);
            written.map_err(|error| refused("key", error))?;
        }
        if let Some(value) = value {
            let written = self.value.serialize_for(topic, &mut headers, value, &mut value_bytes);
            written.map_err(|error| refused("value", error))?;
        }
        let (key, value) = (key.map(|_| &key_bytes[..]), value.map(|_| &value_bytes[..]));
        let delivery = self.producer.append(topic, partition, timestamp, key, value, &headers);
        SCRATCH.set((key_bytes, value_bytes));
        delivery
    }

    /// The producer below.
    pub fn producer(&self) -> &SharedProducer {
        &self.producer
    }
}

impl<K: 'static, V: 'static> Clone for TypedProducer<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.producer.clone(), Arc::clone(&self.key), Arc::clone(&self.value))
    }
}

impl<K, V> fmt::Debug for TypedProducer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}
