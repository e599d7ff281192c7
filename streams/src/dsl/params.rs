//! What operators take beside their functions: serdes, names, settings.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::AutoOffsetReset;

use crate::dsl::codec::TimestampExtractor;
use crate::dsl::route::{Partitioner, Partitions};
use crate::serde::{DefaultSerde, DynSerde, Serde};
use crate::store::StoreSpec;

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
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) name: Option<String>,
}

impl<K: 'static, V: 'static> Produced<K, V> {
    /// Writes keys and values with these serdes.
    pub fn with(keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        Self::of(Arc::new(keys), Arc::new(values))
    }

    pub(crate) fn of(keys: DynSerde<K>, values: DynSerde<V>) -> Self {
        Self { keys, values, partitioner: None, name: None }
    }

    /// Chooses the partition of every row by topic, key, value and the number of partitions, in place of the key's
    /// hash: see [`Partitions`]. Rows without value come along, too. A row for a partition that is not there is left
    /// to `production.exception.handler`.
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&str, Option<&K>, Option<&V>, u32) -> P + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(partitioner(choose));
        self
    }

    /// Names the sink node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Produced<K, V> {
    fn default() -> Self {
        Self::of(K::default_serde(), V::default_serde())
    }
}

fn partitioner<K, V, P: Into<Partitions>>(
    choose: impl Fn(&str, Option<&K>, Option<&V>, u32) -> P + Send + Sync + 'static,
) -> Partitioner<K, V> {
    Arc::new(move |topic, key, value, partitions| choose(topic, key, value, partitions).into())
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
pub struct Repartitioned<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) partitions: Option<u32>,
    pub(crate) serdes: Option<(DynSerde<K>, DynSerde<V>)>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K: 'static, V: 'static> Repartitioned<K, V> {
    /// Names the topic `<application.id>-<name>-repartition`. The serdes are those of the stream.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Writes keys and values with these serdes.
    pub fn with(keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        Self { serdes: Some((Arc::new(keys), Arc::new(values))), ..Self::default() }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Writes keys and values with these serdes.
    #[must_use]
    pub fn serdes(mut self, keys: impl Serde<K>, values: impl Serde<V>) -> Self {
        self.serdes = Some((Arc::new(keys), Arc::new(values)));
        self
    }

    /// Chooses the partition of every row, as [`Produced::partitioner`]. Rows with equal keys have to meet if they
    /// are grouped or joined later.
    #[must_use]
    pub fn partitioner<P: Into<Partitions>>(
        mut self,
        choose: impl Fn(&str, Option<&K>, Option<&V>, u32) -> P + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(partitioner(choose));
        self
    }
}

impl<K, V> Default for Repartitioned<K, V> {
    fn default() -> Self {
        Self { name: None, partitions: None, serdes: None, partitioner: None }
    }
}

/// Where committed rows of a store are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreType {
    /// In RocksDB, under the state directory.
    #[default]
    RocksDb,
    /// In memory: a start reads the whole changelog.
    InMemory,
}

/// How a result is kept. Keys are written with the serde that groups the rows, or that of the table.
pub struct Materialized<V> {
    pub(crate) name: Option<String>,
    pub(crate) values: DynSerde<V>,
    pub(crate) retention: Option<Duration>,
    node: Option<String>,
    store_type: StoreType,
    caching: bool,
    logging: bool,
    topic_configs: Vec<(String, String)>,
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
        Self { name: Some(name.to_owned()), ..Self::of(Arc::new(values)) }
    }

    /// Sets the serde of the values of a store with a generated name.
    pub fn with_values(values: impl Serde<V>) -> Self {
        Self::of(Arc::new(values))
    }

    pub(crate) fn of(values: DynSerde<V>) -> Self {
        Self {
            name: None,
            values,
            retention: None,
            node: None,
            store_type: StoreType::default(),
            caching: true,
            logging: true,
            topic_configs: Vec::new(),
        }
    }

    /// Keeps windows for this long behind stream time, if that is longer than size and grace.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Names the node that computes the result; Kafka's `Named`.
    #[must_use]
    pub fn node_named(mut self, name: &str) -> Self {
        self.node = Some(name.to_owned());
        self
    }

    /// Sets where the rows are.
    #[must_use]
    pub fn store_type(mut self, store_type: StoreType) -> Self {
        self.store_type = store_type;
        self
    }

    /// Forwards every update, though the application coalesces updates until commits.
    #[must_use]
    pub fn caching_disabled(mut self) -> Self {
        self.caching = false;
        self
    }

    /// Keeps no changelog: the store does not survive the loss of the state directory.
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.logging = false;
        self
    }

    /// Sets one of the changelog topic's settings, such as `segment.bytes`.
    #[must_use]
    pub fn logging_config(mut self, key: &str, value: &str) -> Self {
        self.topic_configs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The node's name: that which was given, or else the generated one, which is used up in any case, so that naming
    /// one node does not rename others.
    pub(crate) fn node_or(&self, generated: String) -> String {
        self.node.clone().unwrap_or(generated)
    }

    /// The name of one of several nodes that compute the result: the name that was given and this part, or the
    /// generated one.
    pub(crate) fn node_part(&self, part: &str, generated: String) -> String {
        self.node.as_ref().map_or(generated, |node| format!("{node}-{part}"))
    }

    /// The store as it is asked for, with keys that this serde writes.
    pub(crate) fn apply<K: 'static>(&self, spec: StoreSpec, keys: &DynSerde<K>) -> StoreSpec {
        let mut spec = spec.serdes(keys.clone(), self.values.clone());
        if self.store_type == StoreType::InMemory {
            spec = spec.in_memory();
        }
        if !self.caching {
            spec = spec.without_caching();
        }
        if !self.logging {
            spec = spec.without_changelog();
        }
        for (key, value) in &self.topic_configs {
            spec = spec.changelog_config(key, value);
        }
        spec
    }
}

impl<V: DefaultSerde> Default for Materialized<V> {
    /// A store with a generated name.
    fn default() -> Self {
        Self::of(V::default_serde())
    }
}
