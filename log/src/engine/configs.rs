//! Changing topics while they are in use: settings, more partitions, records deleted from the front.

use std::sync::Arc;

use super::{Inner, Log};
use crate::catalogue::{self, Topic, TopicDescription};
use crate::config::{self, ConfigChange, ConfigEntry, TopicConfig};
use crate::error::{LogError, Result};
use crate::types::{Offset, PartitionId, TopicPartition};

impl Log {
    /// Changes some settings of a topic, all of them or after an error none. Once it returns they outlive a crash and
    /// count for the next append and the next maintenance. As Kafka's IncrementalAlterConfigs.
    pub fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<()> {
        self.inner().alter_topic_config(topic, changes)
    }

    /// Every setting of a topic by name, with where its value comes from. As Kafka's DescribeConfigs.
    pub fn describe_topic_config(&self, topic: &str) -> Result<Vec<ConfigEntry>> {
        let topic = self.inner().topic(topic)?;
        Ok(config::describe(&self.inner().config.topic_defaults, &topic.overrides))
    }

    /// Gives a topic more partitions, `total` with those that it has. Records stay where they are: a key may belong to
    /// another partition from now on. Fails with [`LogError::InvalidPartitions`] if that is not more.
    pub fn create_partitions(&self, topic: &str, total: u32) -> Result<TopicDescription> {
        self.inner().create_partitions(topic, total)
    }

    /// Deletes the records below `offset`, or all that readers see without one. Returns the low watermark: the first
    /// offset that is left, which may lie inside a batch. Below the log start nothing happens.
    ///
    /// Fails with [`LogError::OffsetOutOfRange`] beyond the high watermark, and with [`LogError::PolicyViolation`] if
    /// the topic's `cleanup.policy` lacks `delete`.
    pub fn delete_records(&self, partition: &TopicPartition, offset: Option<Offset>) -> Result<Offset> {
        self.inner().delete_records(partition, offset)
    }
}

impl Inner {
    fn alter_topic_config(&self, name: &str, changes: &[ConfigChange]) -> Result<()> {
        self.check_open()?;
        let _changing = self.changing.lock();
        let topic = self.topic(name)?;
        let mut overrides = topic.overrides.clone();
        for change in changes {
            change.apply(&mut overrides, &self.config.topic_defaults)?;
        }
        let config = TopicConfig::resolve(&self.config.topic_defaults, &overrides)?;
        self.replace_topic(Topic { overrides, ..Topic::clone(&topic) })?;
        topic.config.set(config);
        Ok(())
    }

    fn create_partitions(&self, name: &str, total: u32) -> Result<TopicDescription> {
        self.check_open()?;
        let _changing = self.changing.lock();
        let topic = self.topic(name)?;
        let count = topic.partition_count();
        let refuse = |reason: String| {
            Err(LogError::InvalidPartitions { topic: name.to_owned(), count: total, reason })
        };
        if catalogue::is_internal(name) {
            return refuse("it is one of the log's own, which finds its records by their number".to_owned());
        }
        if total <= count {
            return refuse(format!("it has {count}, and can only get more"));
        }
        if total > catalogue::PARTITIONS_MAX {
            return refuse(format!("use at most {}", catalogue::PARTITIONS_MAX));
        }
        let grown = self.replace_topic(topic.grown(total))?;
        for number in count..total {
            self.partition_of(&grown, PartitionId::new(number))?;
        }
        Ok(grown.describe())
    }

    /// Puts a changed topic in the place of the one of that name.
    fn replace_topic(&self, changed: Topic) -> Result<Arc<Topic>> {
        let changed = Arc::new(changed);
        let mut topics = self.topics.lock().clone();
        topics.insert(changed.name.clone(), changed.clone());
        self.write_catalogue(&topics)?;
        *self.topics.lock() = topics;
        Ok(changed)
    }

    fn delete_records(&self, id: &TopicPartition, offset: Option<Offset>) -> Result<Offset> {
        let partition = self.partition(id)?;
        let low_watermark = partition.delete_records(offset)?;
        self.write_log_start(&partition)?;
        Ok(low_watermark)
    }
}
