//! Where rows go that leave a topology: a topic chosen row by row, and partitions by a rule of the user's.

use std::sync::Arc;

use millstream_log::{Header, PartitionId, partition_for_key};

use crate::batch::RecordSink;
use crate::dsl::records::Records;
use crate::error::StreamsError;

/// What is known about a row that leaves the topology, for those who choose its topic. As Kafka's `RecordContext`.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// The topic that the row comes from; none if a punctuation or a commit made it.
    pub topic: Option<&'a str>,
    /// The partition that the row comes from; none if a punctuation or a commit made it.
    pub partition: Option<PartitionId>,
    /// The event time in ms.
    pub timestamp: i64,
    /// The headers.
    pub headers: &'a [Header],
}

/// The partitions that a row goes to. A [`u32`], an `Option<u32>` or a `Vec<u32>` is one, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Partitions {
    /// That of the key by its murmur2 hash, as without a partitioner.
    #[default]
    ByKey,
    /// This one.
    One(u32),
    /// Each of these: the row is written once to each, and not at all if there are none.
    Each(Vec<u32>),
}

impl From<u32> for Partitions {
    fn from(partition: u32) -> Self {
        Self::One(partition)
    }
}

impl From<Option<u32>> for Partitions {
    fn from(partition: Option<u32>) -> Self {
        partition.map_or(Self::ByKey, Self::One)
    }
}

impl From<Vec<u32>> for Partitions {
    fn from(partitions: Vec<u32>) -> Self {
        Self::Each(partitions)
    }
}

/// Chooses partitions by topic, key, value and the number of partitions.
pub(crate) type Partitioner<K, V> =
    Arc<dyn Fn(&str, Option<&K>, Option<&V>, u32) -> Partitions + Send + Sync>;

/// Writes the name of a row's topic.
pub(crate) type TopicExtractor<K, V> =
    Arc<dyn Fn(Option<&K>, Option<&V>, &RecordContext<'_>, &mut String) + Send + Sync>;

/// How rows find their topic and partition. By default the topic is the sink's and the key chooses the partition.
pub(crate) struct Route<K, V> {
    pub(crate) topic: Option<TopicExtractor<K, V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Default for Route<K, V> {
    fn default() -> Self {
        Self { topic: None, partitioner: None }
    }
}

impl<K, V> Clone for Route<K, V> {
    fn clone(&self) -> Self {
        Self { topic: self.topic.clone(), partitioner: self.partitioner.clone() }
    }
}

impl<K, V> Route<K, V> {
    /// Where a partitioner decides.
    pub(crate) fn partitioned(partitioner: Option<Partitioner<K, V>>) -> Self {
        Self { topic: None, partitioner }
    }

    /// Appends the record of a row. `suffix` bytes at the end of the key do not choose its partition.
    pub(crate) fn append(
        &self,
        batch: &Records<K, V>,
        row: usize,
        (key, suffix, value): (Option<&[u8]>, usize, Option<&[u8]>),
        name: &mut String,
        out: &mut RecordSink<'_>,
    ) -> Result<(), StreamsError> {
        let (timestamp, headers) = (batch.timestamps[row], batch.headers_of(row));
        let typed = (batch.keys[row].as_ref(), batch.values[row].as_ref());
        if let Some(extract) = &self.topic {
            name.clear();
            let source = out.source();
            let (topic, partition) = source.map(|source| (&*source.topic, source.partition)).unzip();
            extract(typed.0, typed.1, &RecordContext { topic, partition, timestamp, headers }, name);
            if !out.choose_topic(name, timestamp)? {
                return Ok(());
            }
        }
        let partitions = match &self.partitioner {
            Some(partitioner) => partitioner(out.topic(), typed.0, typed.1, out.partitions()),
            None => Partitions::ByKey,
        };
        match partitions {
            Partitions::ByKey => {
                // The producer does the same with the whole key.
                let keyed = key.filter(|_| suffix > 0).map(|key| &key[..key.len().saturating_sub(suffix)]);
                let partition = keyed.map(|key| partition_for_key(key, out.partitions()));
                out.append(partition, timestamp, key, value, headers)
            }
            Partitions::One(partition) => {
                out.append(Some(PartitionId::new(partition)), timestamp, key, value, headers)
            }
            Partitions::Each(partitions) => partitions.into_iter().try_for_each(|partition| {
                out.append(Some(PartitionId::new(partition)), timestamp, key, value, headers)
            }),
        }
    }
}
