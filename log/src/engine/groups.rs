//! Consumer groups: the coordinator's records in `__consumer_offsets`, commits, what is due by the clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Inner, Log};
use crate::catalogue::CONSUMER_OFFSETS;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::group::protocol::{
    GroupError, Input, JoinRequest, LeaveReply, LeaveRequest, MemberIdentity, Output, SyncRequest,
};
use crate::group::{
    Committed, GroupMetadata, GroupRecord, GroupState, Now, OffsetCommit, OffsetRecord, Reply, Respond,
};
use crate::partition::{Origin, Partition, Visible};
use crate::partitioner::coordinator_partition;
use crate::record::{BatchBuilder, ProducerStamp};
use crate::signal::Signal;
use crate::transaction::ProducerIdentity;
use crate::types::{Acks, Offset, PartitionId, Timestamp, TopicPartition};

/// A group's records that are appended but not known to be on stable storage.
pub(crate) struct Appended {
    group: String,
    partition: Arc<Partition>,
    info: AppendInfo,
    records: Vec<OffsetRecord>,
}

impl Log {
    /// Commits offsets for a group in the name of one of its members, or of nobody while it has none: all of them, or
    /// after an error none. They are as durable as `offsets.commit.required.acks` says before this returns. Fails if `who`
    /// is not a member of the present generation.
    pub fn commit_offsets_of(&self, who: &GroupMetadata, offsets: &[OffsetCommit]) -> Result<()> {
        self.inner().commit_group_offsets(who, offsets, None)
    }

    /// Whether `who` is a member of its group still, in the present generation. A sign of life.
    pub fn is_group_member(&self, who: &GroupMetadata) -> Result<bool> {
        let beat = self.inner().heartbeat(who)?;
        Ok(matches!(beat, Ok(()) | Err(GroupError::RebalanceInProgress)))
    }
}

impl Inner {
    pub(crate) fn group_now(&self) -> Now {
        Now { monotonic: self.clock().monotonic(), wall: self.clock().now() }
    }

    /// Where a group's records are.
    pub(crate) fn group_partition(&self, group: &str) -> Result<Arc<Partition>> {
        self.check_open()?;
        let topic = self.internal_topic(CONSUMER_OFFSETS, self.config.offsets_topic_partitions)?;
        self.partition_of(&topic, coordinator_partition(group, topic.partition_count()))
    }

    /// Number of the partition that has a group's records.
    pub(crate) fn group_coordinator(&self, group: &str) -> PartitionId {
        let count = self.topic(CONSUMER_OFFSETS).map(|topic| topic.partition_count());
        coordinator_partition(group, count.unwrap_or(self.config.offsets_topic_partitions))
    }

    fn append_records<'a>(
        partition: &Partition,
        records: impl IntoIterator<Item = &'a GroupRecord>,
        now: Timestamp,
        stamp: Option<ProducerStamp>,
    ) -> Result<AppendInfo> {
        let mut builder = BatchBuilder::with_capacity(0);
        for record in records {
            builder.append(now, Some(&record.encode_key()), record.encode_value().as_deref(), &[]);
        }
        if let Some(stamp) = stamp {
            builder.stamp(stamp);
        }
        partition.append(&mut builder.finish(), Origin::Own, Visible::Now)
    }

    // ---- members ----

    /// A member joins; the answer may come at once or later.
    pub(crate) fn join_group(&self, request: JoinRequest, respond: Respond) -> Result<()> {
        self.group_partition(&request.group_id)?;
        let to = self.coordination.state.lock().park(respond);
        self.step_groups(Input::Join { to, request }).map(drop)
    }

    /// A member syncs; the answer may come at once or later.
    pub(crate) fn sync_group(&self, request: SyncRequest, respond: Respond) -> Result<()> {
        self.check_open()?;
        let to = self.coordination.state.lock().park(respond);
        self.step_groups(Input::Sync { to, request }).map(drop)
    }

    /// Members leave.
    pub(crate) fn leave_group(&self, request: LeaveRequest) -> Result<LeaveReply> {
        self.check_open()?;
        let to = self.coordination.state.lock().number();
        self.step_groups(Input::Leave { to, request }).map(Option::unwrap_or_default)
    }

    /// A member's sign of life, after which overdue members are removed. Says whether it still is one.
    pub(crate) fn heartbeat(&self, who: &GroupMetadata) -> Result<Result<(), GroupError>> {
        let now = self.group_now();
        let mut service = self.coordination.state.lock();
        if service.coordinator.wake_at() <= now.monotonic {
            drop(service);
            self.step_groups(Input::Tick)?;
            service = self.coordination.state.lock();
        }
        let member = identity(who);
        Ok(service.coordinator.heartbeat(now, &who.group_id, &member, who.generation))
    }

    /// Does what groups have due by now.
    pub(crate) fn tick_groups(&self) -> Result<()> {
        let now = self.group_now();
        if self.coordination.state.lock().coordinator.wake_at() > now.monotonic {
            return Ok(());
        }
        self.step_groups(Input::Tick).map(drop)
    }

    /// How long until groups have something due.
    pub(crate) fn groups_due_in(&self) -> Duration {
        let wake_at = self.coordination.state.lock().coordinator.wake_at();
        wake_at.saturating_sub(self.clock().monotonic())
    }

    /// Raises `signal` when a group rebalances, until [`Self::unwatch_group`] or its end.
    pub(crate) fn watch_group(&self, group: &str, signal: &Arc<Signal>) {
        self.coordination.state.lock().watch(group, signal);
    }

    pub(crate) fn unwatch_group(&self, group: &str, signal: &Arc<Signal>) {
        self.coordination.state.lock().unwatch(group, signal);
    }

    /// A coordinator's refusal with what it is about.
    pub(crate) fn explain_group_error(&self, error: GroupError, who: &GroupMetadata) -> LogError {
        self.coordination.state.lock().explain(error, who, &self.config.groups)
    }

    /// Puts one input through the coordinator: appends its records in the order of its steps, then, without its lock,
    /// hands out answers and syncs what has to be durable, whose outcome is the next input.
    fn step_groups(&self, input: Input) -> Result<Option<LeaveReply>> {
        let mut left = None;
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let (mut ready, mut writes) = (Vec::new(), Vec::new());
            let now = self.group_now();
            let mut service = self.coordination.state.lock();
            for output in service.coordinator.step(now, input) {
                match output {
                    Output::Joined { to, reply } => {
                        ready.extend(service.unpark(to).map(|respond| (respond, Reply::Joined(reply))));
                    }
                    Output::Synced { to, reply } => {
                        ready.extend(service.unpark(to).map(|respond| (respond, Reply::Synced(reply))));
                    }
                    Output::Left { reply, .. } => left = Some(reply),
                    Output::Rebalancing { group_id } => service.raise(&group_id),
                    Output::Write { group_id, write, stored } => {
                        let appended = self.group_partition(&group_id).and_then(|partition| {
                            let record = GroupRecord::Group { group: group_id.clone(), stored: Some(stored) };
                            let info = Self::append_records(&partition, [&record], now.wall, None)?;
                            Ok((partition, info))
                        });
                        writes.push((group_id, write, appended));
                    }
                }
            }
            drop(service);
            ready.into_iter().for_each(|(respond, reply)| respond(reply));
            for (group_id, write, appended) in writes {
                let outcome = appended.and_then(|(partition, info)| self.make_durable(&partition, info));
                if let Err(error) = &outcome {
                    tracing::warn!(group = group_id, %error, "could not store the group's members");
                }
                inputs.push(Input::Written { group_id, write, is_written: outcome.is_ok() });
            }
        }
        Ok(left)
    }

    /// Syncs an append to the topic if `offsets.commit.required.acks` says so.
    fn make_durable(&self, partition: &Partition, info: AppendInfo) -> Result<()> {
        match self.config.offsets_commit_acks {
            Acks::Synced => partition.sync(info.last_offset + 1),
            Acks::None | Acks::Written => Ok(()),
        }
    }

    // ---- offsets ----

    /// Commits offsets for a group without members, or as part of a producer's transaction.
    pub(crate) fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset, &str)],
        transaction: Option<ProducerIdentity>,
    ) -> Result<()> {
        let offsets: Vec<_> = offsets
            .iter()
            .map(|(partition, offset, metadata)| {
                let metadata = (*metadata).to_owned();
                OffsetCommit { partition: partition.clone(), offset: *offset, leader_epoch: None, metadata }
            })
            .collect();
        self.commit_group_offsets(&GroupMetadata::new(group), &offsets, transaction)
    }

    /// Commits offsets for a group if `who` may: all of them, or after an error none. Outside of a transaction they are
    /// as durable as `offsets.commit.required.acks` says before they count and this returns. In a transaction they
    /// count from its commit marker on.
    pub(crate) fn commit_group_offsets(
        &self,
        who: &GroupMetadata,
        offsets: &[OffsetCommit],
        transaction: Option<ProducerIdentity>,
    ) -> Result<()> {
        match self.append_offsets(who, offsets, transaction)? {
            Some(appended) => self.finish_commit(appended),
            None => Ok(()),
        }
    }

    /// First half of a commit: the checks and the append. `None` if there is nothing to finish.
    pub(crate) fn append_offsets(
        &self,
        who: &GroupMetadata,
        offsets: &[OffsetCommit],
        transaction: Option<ProducerIdentity>,
    ) -> Result<Option<Appended>> {
        self.check_open()?;
        if who.group_id.is_empty() || who.group_id.len() > i16::MAX as usize {
            let reason = "it takes 1 to 32767 bytes: set group.id";
            return Err(LogError::InvalidGroupId { group: who.group_id.clone(), reason });
        }
        let timestamp = self.clock().now();
        let bytes_max = self.config.offset_metadata_bytes_max.min(i16::MAX as usize);
        let mut records = Vec::with_capacity(offsets.len());
        for commit in offsets {
            self.partition(&commit.partition)?;
            if commit.metadata.len() > bytes_max {
                let (partition, bytes) = (commit.partition.clone(), commit.metadata.len());
                return Err(LogError::OffsetMetadataTooLarge { partition, bytes, bytes_max });
            }
            records.push(OffsetRecord {
                group: who.group_id.clone(),
                partition: commit.partition.clone(),
                committed: Some(Committed {
                    offset: commit.offset,
                    leader_epoch: commit.leader_epoch,
                    metadata: commit.metadata.clone(),
                    timestamp,
                    expires: None,
                }),
            });
        }
        let partition = self.group_partition(&who.group_id)?;
        // Appended under the coordinator's lock, so that nothing gets between the check and the record.
        let now = self.group_now();
        let mut service = self.coordination.state.lock();
        let is_transactional = transaction.is_some();
        let (group, generation) = (&who.group_id, who.generation);
        let member = identity(who);
        service
            .coordinator
            .check_commit(now, group, &member, generation, is_transactional)
            .map_err(|error| service.explain(error, who, &self.config.groups))?;
        if records.is_empty() {
            return Ok(None);
        }
        let stamp = transaction.map(|producer| ProducerStamp {
            id: producer.id,
            epoch: producer.epoch,
            sequence: -1,
            is_transactional,
        });
        let encoded: Vec<_> = records.iter().cloned().map(GroupRecord::Offset).collect();
        let info = Self::append_records(&partition, &encoded, timestamp, stamp)?;
        if let Some(producer) = transaction {
            self.groups.hold(partition.id().partition, producer.id, records);
            return Ok(None);
        }
        self.groups.begin(&who.group_id);
        Ok(Some(Appended { group: who.group_id.clone(), partition, info, records }))
    }

    /// Second half of a commit: the sync, after which the offsets count.
    pub(crate) fn finish_commit(&self, appended: Appended) -> Result<()> {
        let Appended { group, partition, info, records } = appended;
        let outcome = self.make_durable(&partition, info);
        let records = if outcome.is_ok() { records } else { Vec::new() };
        self.groups.finish(&group, info.last_offset, records);
        outcome
    }

    /// Removes a group's offsets in these partitions.
    pub(crate) fn remove_offsets(&self, group: &str, partitions: Vec<TopicPartition>) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let removed = |partition| OffsetRecord { group: group.to_owned(), partition, committed: None };
        let records: Vec<_> = partitions.into_iter().map(removed).collect();
        let encoded: Vec<_> = records.iter().cloned().map(GroupRecord::Offset).collect();
        let partition = self.group_partition(group)?;
        let service = self.coordination.state.lock();
        let info = Self::append_records(&partition, &encoded, self.clock().now(), None)?;
        self.groups.begin(group);
        drop(service);
        self.finish_commit(Appended { group: group.to_owned(), partition, info, records })
    }

    /// Removes the offsets of topics that a crash let go without them, so that a topic of the same name starts anew.
    pub(super) fn remove_orphaned_offsets(&self) -> Result<()> {
        for topic in self.groups.topics() {
            if matches!(self.topic(&topic), Err(LogError::UnknownTopic { .. })) {
                for (group, partitions) in self.groups.of_topic(&topic) {
                    match self.remove_offsets(&group, partitions) {
                        Err(error @ (LogError::DiskFull { .. } | LogError::Corrupt { .. })) => {
                            tracing::warn!(group, %topic, %error, "could not remove offsets of a deleted topic");
                        }
                        outcome => outcome?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes a group without members, with its offsets.
    pub(crate) fn delete_group(&self, group: &str) -> Result<()> {
        let who = GroupMetadata::new(group);
        let offsets = self.groups.of_group(group);
        {
            let mut service = self.coordination.state.lock();
            match service.coordinator.remove(group) {
                Err(GroupError::GroupIdNotFound) if !offsets.is_empty() => {} // it never had members
                outcome => {
                    outcome.map_err(|error| service.explain(error, &who, &self.config.groups))?;
                    let partition = self.group_partition(group)?;
                    let record = GroupRecord::Group { group: group.to_owned(), stored: None };
                    Self::append_records(&partition, [&record], self.clock().now(), None)?;
                }
            }
        }
        self.remove_offsets(group, offsets.into_iter().map(|(partition, _)| partition).collect())
    }

    // ---- what is due ----

    /// Removes members without a sign of life, and every `offsets.retention.check.interval.ms` the offsets that are
    /// older than `offsets.retention.minutes` and the groups of which nothing is left.
    pub(crate) fn maintain_groups(&self) -> Result<()> {
        self.tick_groups()?;
        let now = self.group_now();
        let groups: BTreeSet<String> = {
            let mut service = self.coordination.state.lock();
            let interval = self.config.offsets_retention_check_interval;
            if service.expired_at.is_some_and(|at| now.monotonic.saturating_sub(at) < interval) {
                return Ok(());
            }
            service.expired_at = Some(now.monotonic);
            service.coordinator.groups().map(|group| group.id.clone()).collect()
        };
        let with_offsets = self.groups.groups();
        for group in groups.into_iter().chain(with_offsets).collect::<BTreeSet<_>>() {
            let expired = self.expired_offsets(&group, now.wall);
            if !expired.is_empty() {
                tracing::info!(group, partitions = expired.len(), "removed offsets past their retention");
                self.remove_offsets(&group, expired)?;
            }
            if self.groups.is_empty(&group) {
                let mut service = self.coordination.state.lock();
                if service.coordinator.remove(&group).is_ok() {
                    let partition = self.group_partition(&group)?;
                    let record = GroupRecord::Group { group: group.clone(), stored: None };
                    Self::append_records(&partition, [&record], now.wall, None)?;
                }
            }
        }
        Ok(())
    }

    /// Offsets of a group without members expire some time after the last one left or, if later, their commit; those of
    /// a group that never had members after their commit, as do those of topics that no member of a stable group reads.
    fn expired_offsets(&self, group: &str, now: Timestamp) -> Vec<TopicPartition> {
        let retention = self.config.offsets_retention;
        let service = self.coordination.state.lock();
        let mut not_before = Timestamp::NONE;
        let mut subscribed = BTreeSet::new();
        if let Some(group) = service.coordinator.find(group).filter(|group| group.protocol_type.is_some()) {
            match (group.state, group.subscribed_topics()) {
                (GroupState::Empty, _) => not_before = group.state_since,
                (GroupState::Stable, Some(topics)) => subscribed = topics,
                _ => return Vec::new(),
            }
        }
        self.groups.expired(group, |partition, committed| match committed.expires {
            Some(expires) => expires <= now,
            None => {
                let since = committed.timestamp.max(not_before);
                now.since(since) >= retention && !subscribed.contains(&*partition.topic)
            }
        })
    }

    /// Takes in what a stored batch of the topic says, at the start.
    pub(super) fn replay_groups(&self, of: PartitionId, batch: &crate::record::RecordBatch) {
        let now = self.group_now();
        for record in self.groups.replay(of, batch) {
            if let GroupRecord::Group { group, stored } = record {
                self.coordination.state.lock().coordinator.load(now, &group, stored);
            }
        }
    }
}

fn identity(who: &GroupMetadata) -> MemberIdentity {
    MemberIdentity { member_id: who.member_id.clone(), instance_id: who.instance_id.clone() }
}
