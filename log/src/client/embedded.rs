//! The embedded implementation of the traits: each method is the type's own of that name.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::{Admin, Client, RecordRef};
use crate::catalogue::{NewTopic, TopicDescription};
use crate::clock::Clock;
use crate::config::{ConfigChange, ConfigEntry, ConsumerConfig, ProducerConfig};
use crate::consumer::{
    CommitCallback, Consumer, OffsetAndTimestamp, PartitionRecords, RebalanceListener, Waker,
};
use crate::engine::Log;
use crate::error::Result;
use crate::group::protocol::MemberIdentity;
use crate::group::{
    Committed, GroupDescription, GroupListing, GroupMetadata, OffsetCommit, PartitionLag, ResetMode,
    ResetPlan, ResetScope,
};
use crate::producer::{Flushed, Producer, ProducerMetrics, Record, TopicHandle};
use crate::record::Header;
use crate::transaction::{
    AbortSpec, HangingTransaction, ProducerDescription, ProducerIdentity, TransactionDescription,
    TransactionFilter, TransactionListing,
};
use crate::types::{Isolation, Offset, OffsetSpec, PartitionId, Timestamp, TopicPartition};

impl Client for Log {
    fn producer(&self, config: ProducerConfig) -> Result<Box<dyn super::Producer>> {
        Ok(Box::new(Log::producer(self, config)?))
    }

    fn consumer(&self, config: ConsumerConfig) -> Result<Box<dyn super::Consumer>> {
        Ok(Box::new(Log::consumer(self, config)?))
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        Log::clock(self)
    }
}

impl Admin for Log {
    fn create_topic(&self, topic: NewTopic) -> Result<TopicDescription> {
        Log::create_topic(self, topic)
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        Log::delete_topic(self, name)
    }

    fn list_topics(&self) -> Result<Vec<TopicDescription>> {
        self.inner().check_open()?;
        Ok(self.topics())
    }

    fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        Log::describe_topic(self, name)
    }

    fn create_partitions(&self, topic: &str, total: u32) -> Result<TopicDescription> {
        Log::create_partitions(self, topic, total)
    }

    fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<()> {
        Log::alter_topic_config(self, topic, changes)
    }

    fn describe_topic_config(&self, topic: &str) -> Result<Vec<ConfigEntry>> {
        Log::describe_topic_config(self, topic)
    }

    fn delete_records(&self, partition: &TopicPartition, offset: Option<Offset>) -> Result<Offset> {
        Log::delete_records(self, partition, offset)
    }

    fn list_offsets(
        &self,
        partition: &TopicPartition,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offset> {
        let offset = self.offsets(partition, spec)?;
        match isolation {
            Isolation::ReadUncommitted => Ok(offset),
            Isolation::ReadCommitted => Ok(offset.min(self.last_stable_offset(partition)?)),
        }
    }

    fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.inner().check_open()?;
        Ok(Log::list_groups(self))
    }

    fn describe_group(&self, group_id: &str) -> Result<GroupDescription> {
        Log::describe_group(self, group_id)
    }

    fn group_lag(&self, group_id: &str, isolation: Isolation) -> Result<Vec<PartitionLag>> {
        Log::group_lag(self, group_id, isolation)
    }

    fn list_group_offsets(&self, group_id: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        self.inner().check_open()?;
        Ok(self.committed_offsets(group_id))
    }

    fn delete_groups(&self, groups: &[&str]) -> Result<Vec<(String, Result<()>)>> {
        self.inner().check_open()?;
        Ok(Log::delete_groups(self, groups))
    }

    fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Result<()>)>> {
        Log::delete_offsets(self, group_id, partitions)
    }

    fn remove_members(
        &self,
        group_id: &str,
        members: &[MemberIdentity],
    ) -> Result<Vec<(MemberIdentity, Result<()>)>> {
        Log::remove_members(self, group_id, members)
    }

    fn alter_offsets(&self, group_id: &str, offsets: &[OffsetCommit]) -> Result<()> {
        Log::alter_offsets(self, group_id, offsets)
    }

    fn plan_reset(&self, group_id: &str, scope: &ResetScope, mode: &ResetMode) -> Result<ResetPlan> {
        Log::plan_reset(self, group_id, scope, mode)
    }

    fn reset_offsets(&self, group_id: &str, plan: &ResetPlan) -> Result<()> {
        Log::reset_offsets(self, group_id, plan)
    }

    fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>> {
        Log::list_transactions(self, filter)
    }

    fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription> {
        Log::describe_transaction(self, transactional_id)
    }

    fn describe_producers(&self, partition: &TopicPartition) -> Result<Vec<ProducerDescription>> {
        Log::describe_producers(self, partition)
    }

    fn find_hanging_transactions(
        &self,
        topic: Option<&str>,
        older_than: Duration,
    ) -> Result<Vec<HangingTransaction>> {
        Log::find_hanging_transactions(self, topic, older_than)
    }

    fn abort_transaction(&self, partition: &TopicPartition, spec: AbortSpec) -> Result<()> {
        Log::abort_transaction(self, partition, spec)
    }

    fn force_terminate(&self, transactional_id: &str) -> Result<ProducerIdentity> {
        Log::force_terminate(self, transactional_id)
    }
}

impl super::Producer for Producer {
    fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        Producer::topic(self, name)
    }

    fn partitions(&self, topic: TopicHandle) -> u32 {
        Producer::partitions(self, topic)
    }

    fn append_all(&mut self, topic: TopicHandle, records: &mut slice::Iter<'_, RecordRef<'_>>) -> Result<()> {
        for record in records {
            let RecordRef { partition, timestamp, key, value, headers } = *record;
            Producer::append(self, topic, partition, timestamp, key, value, headers)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        topic: TopicHandle,
        partition: Option<PartitionId>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<PartitionId> {
        Producer::append(self, topic, partition, timestamp, key, value, headers)
    }

    fn send(&mut self, topic: &str, record: Record) -> Result<PartitionId> {
        Producer::send(self, topic, record)
    }

    fn flush(&mut self) -> Result<Vec<Flushed>> {
        Producer::flush(self)
    }

    fn begin_transaction(&mut self) -> Result<()> {
        Producer::begin_transaction(self)
    }

    fn send_offsets_to_transaction(&mut self, offsets: &[OffsetCommit], group: &GroupMetadata) -> Result<()> {
        Producer::send_offsets_to_transaction(self, offsets, group)
    }

    fn commit_transaction(&mut self) -> Result<()> {
        Producer::commit_transaction(self)
    }

    fn abort_transaction(&mut self) -> Result<()> {
        Producer::abort_transaction(self)
    }

    fn metrics(&self) -> ProducerMetrics {
        Producer::metrics(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Producer::close(*self)
    }
}

impl super::Consumer for Consumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        Consumer::subscribe(self, topics)
    }

    fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        Consumer::subscribe_pattern(self, pattern)
    }

    fn subscription(&self) -> Vec<String> {
        Consumer::subscription(self)
    }

    fn unsubscribe(&mut self) -> Result<()> {
        Consumer::unsubscribe(self)
    }

    fn set_rebalance_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        Consumer::set_rebalance_listener(self, listener);
    }

    fn enforce_rebalance(&mut self) {
        Consumer::enforce_rebalance(self);
    }

    fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        Consumer::assign(self, partitions)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        Consumer::assignment(self)
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        Consumer::seek(self, partition, offset)
    }

    fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()> {
        Consumer::seek_to(self, partition, spec)
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        Consumer::position(self, partition)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        Consumer::pause(self, partitions);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        Consumer::resume(self, partitions);
    }

    fn paused(&self) -> Vec<TopicPartition> {
        Consumer::paused(self)
    }

    fn poll(&mut self, timeout: Duration) -> Result<Vec<PartitionRecords>> {
        Consumer::poll(self, timeout)
    }

    fn commit(&mut self) -> Result<()> {
        Consumer::commit(self)
    }

    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        Consumer::commit_offsets(self, offsets)
    }

    fn commit_with_metadata(&mut self, offsets: Vec<OffsetCommit>) -> Result<()> {
        Consumer::commit_with_metadata(self, offsets)
    }

    fn commit_async(&mut self, callback: Option<CommitCallback>) -> Result<()> {
        Consumer::commit_async(self, callback)
    }

    fn commit_offsets_async(
        &mut self,
        offsets: Vec<OffsetCommit>,
        callback: Option<CommitCallback>,
    ) -> Result<()> {
        Consumer::commit_offsets_async(self, offsets, callback)
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        Ok(self.committed_with_metadata(partition))
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        Consumer::group_metadata(self)
    }

    fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>> {
        Consumer::beginning_offsets(self, partitions)
    }

    fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>> {
        Consumer::end_offsets(self, partitions)
    }

    fn offsets_for_times(
        &self,
        times: &BTreeMap<TopicPartition, Timestamp>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        Consumer::offsets_for_times(self, times)
    }

    fn current_lag(&self, partition: &TopicPartition) -> Option<u64> {
        Consumer::current_lag(self, partition)
    }

    fn waker(&self) -> Waker {
        Consumer::waker(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Consumer::close(*self)
    }
}
