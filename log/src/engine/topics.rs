//! The log's topics: looked up, created, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use crate::catalogue::{self, NewTopic, Topic, TopicId};
use crate::error::{IoContext, LogError, Result, nearest};
use crate::partition::Partition;
use crate::recovery::{self, Checkpoint};
use crate::signal::Watchers;
use crate::types::{PartitionId, TopicPartition};

impl Inner {
    /// A topic by name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.topics.lock();
        match topics.get(name).filter(|topic| !topic.is_deleting) {
            Some(topic) => Ok(topic.clone()),
            None => {
                let nearest = nearest(name, topics.keys().map(|known| &**known));
                Err(LogError::UnknownTopic { topic: name.to_owned(), nearest })
            }
        }
    }

    /// One of the log's own topics, which is created on first use.
    pub(crate) fn internal_topic(&self, name: &str, partitions: u32) -> Result<Arc<Topic>> {
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        let topic =
            NewTopic { config: catalogue::internal_settings(), ..NewTopic::new(name).partitions(partitions) };
        match self.create_topic(topic) {
            Err(LogError::TopicExists { .. }) => self.topic(name), // by another thread just now
            outcome => outcome,
        }
    }

    /// A partition by topic and number.
    pub(crate) fn partition(&self, id: &TopicPartition) -> Result<Arc<Partition>> {
        self.check_open()?;
        self.partition_of(&*self.topic(&id.topic)?, id.partition)
    }

    /// A partition of a topic, created if its directory is not there yet.
    pub(crate) fn partition_of(&self, topic: &Topic, number: PartitionId) -> Result<Arc<Partition>> {
        let id = TopicPartition { topic: topic.name.clone(), partition: number };
        match topic.partitions.get(number.index()).map(|slot| slot.get()) {
            Some(Some(partition)) => Ok(partition.clone()),
            Some(None) => self.open_partition(topic, id, Checkpoint::default()),
            None => Err(LogError::UnknownPartition { partition: id, count: topic.partition_count() }),
        }
    }

    pub(super) fn open_partition(
        &self,
        topic: &Topic,
        id: TopicPartition,
        checkpoint: Checkpoint,
    ) -> Result<Arc<Partition>> {
        let _opening = topic.opening.lock();
        let slot = &topic.partitions[id.partition.index()];
        if let Some(partition) = slot.get() {
            return Ok(partition.clone());
        }
        let dir = self.dir.join(topic.dir_name(id.partition));
        let is_new = recovery::ensure_dir(self.storage(), &dir)?;
        let (config, around) = (topic.config.clone(), self.around.clone());
        let partition = Partition::open(id, dir, config, around, checkpoint, is_new)?;
        if is_new {
            partition.write_metadata(topic.id)?;
        }
        Ok(slot.get_or_init(|| Arc::new(partition)).clone())
    }

    pub(crate) fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>> {
        self.check_open()?;
        let _changing = self.changing.lock();
        let mut topics = self.topics.lock().clone();
        if topics.contains_key(new.name.as_str()) {
            return Err(LogError::TopicExists { topic: new.name });
        }
        catalogue::check_name(&new.name, topics.keys().map(|name| &**name))?;
        let count = new.partitions.unwrap_or(self.config.num_partitions);
        if !(1..=catalogue::PARTITIONS_MAX).contains(&count) {
            let reason = format!("use 1 to {}", catalogue::PARTITIONS_MAX);
            return Err(LogError::InvalidPartitions { topic: new.name, count, reason });
        }
        if new.replication_factor > 1 {
            let asked = new.replication_factor;
            tracing::warn!(
                topic = new.name,
                asked,
                "created with replication factor 1: there is one copy here"
            );
        }
        let topic = Arc::new(Topic::new(
            &new.name,
            TopicId::random(&mut self.around.random.lock()),
            count,
            new.config,
            &self.config.topic_defaults,
        )?);
        self.check_unused(&topic)?;
        topics.insert(topic.name.clone(), topic.clone());
        self.write_catalogue(&topics)?;
        self.topics.lock().insert(topic.name.clone(), topic.clone());
        if !catalogue::is_internal(&topic.name) {
            for number in 0..count {
                self.partition_of(&topic, PartitionId::new(number))?;
            }
        }
        Ok(topic)
    }

    /// Checks that no directory with records of unknown origin would become part of a new topic.
    pub(super) fn check_unused(&self, topic: &Topic) -> Result<()> {
        let first = topic.dir_name(PartitionId::new(0));
        let entries = self.storage().list(&self.dir).context("list", &self.dir)?;
        if entries.iter().any(|entry| entry.name == first) {
            let reason = format!(
                "{} exists but is not in the catalogue: move it away",
                self.dir.join(first).display()
            );
            return Err(LogError::InvalidTopic { topic: topic.name.to_string(), reason });
        }
        Ok(())
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_open()?;
        if catalogue::is_internal(name) {
            let reason = "it is one of the log's own and cannot be deleted".to_owned();
            return Err(LogError::InvalidTopic { topic: name.to_owned(), reason });
        }
        let changing = self.changing.lock();
        let topic = self.topic(name)?;
        let deleting = Arc::new(Topic {
            is_deleting: true,
            // Without the partitions, which its users may go on to hold.
            partitions: topic.partitions.iter().map(|_| Arc::default()).collect(),
            ..Topic::clone(&topic)
        });
        let mut topics = self.topics.lock().clone();
        topics.insert(deleting.name.clone(), deleting);
        self.write_catalogue(&topics)?;
        *self.topics.lock() = topics;
        for partition in topic.partitions.iter().filter_map(|slot| slot.get()) {
            partition.mark_deleted();
        }
        self.finish_deletions()?;
        drop(changing);
        for (group, partitions) in self.groups.of_topic(name) {
            self.remove_offsets(&group, partitions)?;
        }
        Ok(())
    }

    /// Takes the directories of topics that are marked as being deleted out of the way, then the topics. What is in
    /// the directories goes later, so that nobody waits for it.
    pub(super) fn finish_deletions(&self) -> Result<()> {
        let mut topics = self.topics.lock().clone();
        let deleting: Vec<_> = topics.values().filter(|topic| topic.is_deleting).cloned().collect();
        if deleting.is_empty() {
            return Ok(());
        }
        let entries = self.storage().list(&self.dir).context("list", &self.dir)?;
        for topic in deleting {
            for number in (0..topic.partition_count()).map(PartitionId::new) {
                let name = topic.dir_name(number);
                if entries.iter().any(|entry| entry.name == name) {
                    let path = self.dir.join(name);
                    let renamed = self.dir.join(topic.deleted_dir_name(number));
                    self.storage().rename(&path, &renamed).context("rename", &path)?;
                }
            }
            topics.remove(&topic.name);
        }
        // A new topic of that name must find nothing of this one, neither its directories nor its checkpoints.
        self.storage().sync_dir(&self.dir).context("sync", &self.dir)?;
        self.write_checkpoints()?;
        self.cleaner.retain(self.storage(), |id| topics.contains_key(&id.topic))?;
        self.write_catalogue(&topics)?;
        *self.topics.lock() = topics;
        Ok(())
    }

    /// Removes what deleted topics left behind.
    pub(super) fn remove_deleted_dirs(&self) -> Result<()> {
        for entry in self.storage().list(&self.dir).context("list", &self.dir)? {
            if entry.is_dir && entry.name.ends_with(catalogue::DELETED_DIR) && entry.name.contains('.') {
                let path = self.dir.join(&entry.name);
                self.storage().remove_dir(&path).context("remove", &path)?;
            }
        }
        Ok(())
    }

    pub(super) fn write_catalogue(&self, topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> Result<()> {
        catalogue::write(self.storage(), &self.dir.join(catalogue::FILE), topics.values())?;
        self.catalogue_version.fetch_add(1, Ordering::SeqCst);
        self.catalogue_watchers.raise();
        Ok(())
    }

    /// Counts the changes of topics.
    pub(crate) fn catalogue_version(&self) -> u64 {
        self.catalogue_version.load(Ordering::SeqCst)
    }

    /// Waits until a change that is counted already is there to be seen.
    pub(crate) fn settle_catalogue(&self) {
        drop(self.changing.lock());
    }

    /// Who wants to know about changes of topics.
    pub(crate) fn catalogue_watchers(&self) -> &Watchers {
        &self.catalogue_watchers
    }

    /// Names of all topics that are not being deleted.
    pub(crate) fn topic_names(&self) -> Vec<Arc<str>> {
        let topics = self.topics.lock();
        topics.values().filter(|topic| !topic.is_deleting).map(|topic| topic.name.clone()).collect()
    }
}
