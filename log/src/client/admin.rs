//! Looking after a log.

use std::time::Duration;

use crate::catalogue::{NewTopic, TopicDescription};
use crate::config::{ConfigChange, ConfigEntry};
use crate::error::Result;
use crate::group::Committed;
use crate::transaction::{
    AbortSpec, HangingTransaction, ProducerDescription, ProducerIdentity, TransactionDescription,
    TransactionFilter, TransactionListing,
};
use crate::types::{Isolation, Offset, OffsetSpec, TopicPartition};

/// What Kafka's `Admin` does for topics, settings, records, groups and transactions.
pub trait Admin {
    /// Creates a topic. Fails with [`LogError::TopicExists`](crate::LogError::TopicExists),
    /// [`LogError::InvalidTopic`](crate::LogError::InvalidTopic), or on a setting that is unknown or wrong.
    fn create_topic(&self, topic: NewTopic) -> Result<TopicDescription>;

    /// Deletes a topic, its records and the groups' offsets in it.
    fn delete_topic(&self, name: &str) -> Result<()>;

    /// All topics by name, the log's own too.
    fn list_topics(&self) -> Result<Vec<TopicDescription>>;

    /// One topic. Fails with [`LogError::UnknownTopic`](crate::LogError::UnknownTopic), which names the closest one.
    fn describe_topic(&self, name: &str) -> Result<TopicDescription>;

    /// Gives a topic more partitions, `total` with those that it has.
    fn create_partitions(&self, topic: &str, total: u32) -> Result<TopicDescription>;

    /// Changes some settings of a topic, all of them or after an error none.
    fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<()>;

    /// Every setting of a topic by name, with where its value comes from.
    fn describe_topic_config(&self, topic: &str) -> Result<Vec<ConfigEntry>>;

    /// Deletes the records below `offset`, or all that readers see without one. Returns the first offset that is left.
    fn delete_records(&self, partition: &TopicPartition, offset: Option<Offset>) -> Result<Offset>;

    /// The offset that `spec` stands for; the end is that of `isolation`.
    fn list_offsets(
        &self,
        partition: &TopicPartition,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offset>;

    /// Names of the groups that have committed offsets.
    fn list_group_names(&self) -> Result<Vec<String>>;

    /// The offsets that a group has committed, by partition; empty for an unknown group.
    fn list_group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>>;

    /// The transactional ids that a filter lets through, in order.
    fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>>;

    /// All about a transactional id.
    fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription>;

    /// What a partition knows of its idempotent and transactional producers, in order of their ids.
    fn describe_producers(&self, partition: &TopicPartition) -> Result<Vec<ProducerDescription>>;

    /// Transactions that are open in a partition for longer than `older_than` and that no transactional id will end.
    fn find_hanging_transactions(
        &self,
        topic: Option<&str>,
        older_than: Duration,
    ) -> Result<Vec<HangingTransaction>>;

    /// Aborts a hanging transaction in one partition.
    fn abort_transaction(&self, partition: &TopicPartition, spec: AbortSpec) -> Result<()>;

    /// Ends the transaction of a transactional id, and fences its producer.
    fn force_terminate(&self, transactional_id: &str) -> Result<ProducerIdentity>;
}
