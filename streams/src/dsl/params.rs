//! What operators take beside their functions: serdes, names, settings.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::AutoOffsetReset;

use crate::dsl::codec::TimestampExtractor;
use crate::serde::{DefaultSerde, DynSerde, Serde};

/// How a topic is read.
pub struct Consumed<K, V> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) values: DynSerde<V>,
    pub(crate) timestamp: Option<TimestampExtractor<V>>,
    pub(crate) reset: Option<AutoOffsetReset>,
    pub(crate) name: Option<String>,
}

impl<K: 'static, V: 'static> Consumed<K, V> {
    /// Reads keys and values with these serdes.
    pub fn with(keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        Self { keys: Arc::new(keys), values: Arc::new(values), timestamp: None, reset: None, name: None }
    }

    /// Takes the event time (ms) from the value. Rows without value keep the record's; rows with a negative
    /// time are skipped and reported.
    #[must_use]
    pub fn timestamp(mut self, extract: impl Fn(&V) -> i64 + Send + Sync + 'static) -> Self {
        self.timestamp = Some(Arc::new(move |values, timestamps| {
            for (value, timestamp) in values.iter().zip(timestamps) {
                if let Some(value) = value {
                    *timestamp = extract(value);
                }
            }
        }));
        self
    }

    /// Begins here without a committed offset, in place of `auto.offset.reset`.
    #[must_use]
    pub fn reset(mut self, reset: AutoOffsetReset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// Names the source node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Consumed<K, V> {
    fn default() -> Self {
        Self {
            keys: K::default_serde(),
            values: V::default_serde(),
            timestamp: None,
            reset: None,
            name: None,
        }
    }
}

/// How a topic is written.
pub struct Produced<K, V> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) values: DynSerde<V>,
}

impl<K: 'static, V: 'static> Produced<K, V> {
    /// Writes keys and values with these serdes.
    pub fn with(keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        Self { keys: Arc::new(keys), values: Arc::new(values) }
    }
}

/// How rows travel to the task of their new key, if they have to.
pub struct Grouped<K, V> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) values: DynSerde<V>,
    pub(crate) name: Option<String>,
}

impl<K: 'static, V: 'static> Grouped<K, V> {
    /// Writes keys and values with these serdes.
    pub fn with(keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        Self { keys: Arc::new(keys), values: Arc::new(values), name: None }
    }

    /// Names the repartition topic `<application.id>-<name>-repartition`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

/// A repartition step that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repartitioned {
    pub(crate) name: Option<String>,
    pub(crate) partitions: Option<u32>,
}

impl Repartitioned {
    /// Names the topic `<application.id>-<name>-repartition`.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), partitions: None }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }
}

/// How a result is kept.
pub struct Materialized<V> {
    pub(crate) name: Option<String>,
    pub(crate) values: DynSerde<V>,
    pub(crate) retention: Option<Duration>,
}

impl<V: DefaultSerde> Materialized<V> {
    /// Names the store and with it the changelog topic.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }
}

impl<V: 'static> Materialized<V> {
    /// Names the store and sets the serde of its values.
    pub fn with(name: &str, values: impl Serde<V>) -> Self {
        Self { name: Some(name.to_owned()), values: Arc::new(values), retention: None }
    }

    /// Keeps windows for this long behind stream time, if that is longer than size and grace.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }
}

impl<V: DefaultSerde> Default for Materialized<V> {
    /// A store with a generated name.
    fn default() -> Self {
        Self { name: None, values: V::default_serde(), retention: None }
    }
}
