//! Looking after a log.

use std::time::Duration;

use crate::catalogue::{NewTopic, TopicDescription};
use crate::config::{ConfigChange, ConfigEntry};
use crate::error::Result;
use crate::group::protocol::MemberIdentity;
use crate::group::{
    Committed, GroupDescription, GroupListing, OffsetCommit, PartitionLag, ResetMode, ResetPlan, ResetScope,
};
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

    /// All groups by id: those with members and those with committed offsets only.
    fn list_groups(&self) -> Result<Vec<GroupListing>>;

    /// A group with its members.
    fn describe_group(&self, group_id: &str) -> Result<GroupDescription>;

    /// How far a group is behind the end of what readers of `isolation` see, by partition.
    fn group_lag(&self, group_id: &str, isolation: Isolation) -> Result<Vec<PartitionLag>>;

    /// The offsets that a group has committed, by partition; empty for an unknown group.
    fn list_group_offsets(&self, group_id: &str) -> Result<Vec<(TopicPartition, Committed)>>;

    /// Deletes groups without members, with their offsets; an outcome for each.
    fn delete_groups(&self, groups: &[&str]) -> Result<Vec<(String, Result<()>)>>;

    /// Removes a group's offsets in some partitions; an outcome for each.
    fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Result<()>)>>;

    /// Removes members from a group, all of them if none is named; an outcome for each.
    fn remove_members(
        &self,
        group_id: &str,
        members: &[MemberIdentity],
    ) -> Result<Vec<(MemberIdentity, Result<()>)>>;

    /// Sets offsets of a group without members.
    fn alter_offsets(&self, group_id: &str, offsets: &[OffsetCommit]) -> Result<()>;

    /// Works out what a reset of a group's offsets would do, without doing it.
    fn plan_reset(&self, group_id: &str, scope: &ResetScope, mode: &ResetMode) -> Result<ResetPlan>;

    /// Does what was worked out.
    fn reset_offsets(&self, group_id: &str, plan: &ResetPlan) -> Result<()>;

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
