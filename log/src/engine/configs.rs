//! Changing topics while they are in use: settings, records deleted from the front.

use std::sync::Arc;

use super::{Inner, Log};
use crate::catalogue::Topic;
use crate::config::{ConfigChange, TopicConfig};
use crate::error::Result;
use crate::types::{Offset, TopicPartition};

impl Log {
    /// Changes some settings of a topic, all of them or after an error none. Once it returns they outlive a crash and
    /// count for the next append and the next maintenance. As Kafka's IncrementalAlterConfigs.
    pub fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<()> {
        self.inner().alter_topic_config(topic, changes)
    }

    /// Deletes the records below `offset`, or all that readers see without one. Returns the low watermark: the first
    /// offset that is left, which may lie inside a batch. Below the log start nothing happens.
    ///
    /// Fails with [`LogError::OffsetOutOfRange`](crate::LogError::OffsetOutOfRange) beyond the high watermark, and with
    /// [`LogError::PolicyViolation`](crate::LogError::PolicyViolation) if the topic's `cleanup.policy` lacks `delete`.
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
            change.apply(&mut overrides, || "delete".to_owned())?;
        }
        let config = TopicConfig::from_overrides(&overrides)?;
        let changed = Arc::new(Topic { overrides, ..Topic::clone(&topic) });
        let mut topics = self.topics.lock().clone();
        topics.insert(changed.name.clone(), changed.clone());
        self.write_catalogue(&topics)?;
        self.topics.lock().insert(changed.name.clone(), changed);
        topic.config.set(config);
        Ok(())
    }

    fn delete_records(&self, id: &TopicPartition, offset: Option<Offset>) -> Result<Offset> {
        let low_watermark = self.partition(id)?.delete_records(offset)?;
        self.write_checkpoints()?;
        Ok(low_watermark)
    }
}
