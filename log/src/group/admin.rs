//! Looking at groups and changing them from outside, as Kafka's admin client does.

use std::collections::{BTreeMap, BTreeSet};

use super::membership::{Group, GroupState};
use super::offsets::{Committed, OffsetCommit};
use super::protocol::{LeaveRequest, MemberIdentity};
use super::reset::{PartitionFacts, ResetMode, ResetPlan};
use super::service::GroupMetadata;
use super::subscription::Assignment;
use crate::consumer::{end_of, first_not_before};
use crate::engine::Log;
use crate::error::{LogError, Result, nearest};
use crate::types::{Isolation, Offset, OffsetSpec, PartitionId, TopicPartition};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// Kind of the group's protocol: always `classic`.
    pub group_type: &'static str,
    /// Its state; a group that only has offsets is [`GroupState::Empty`].
    pub state: GroupState,
    /// `consumer`, `connect` and the like; empty if it never had members.
    pub protocol_type: String,
}

/// A group in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// Its state.
    pub state: GroupState,
    /// `consumer`, `connect` and the like; empty if it never had members.
    pub protocol_type: String,
    /// Name of the assignor that it has chosen; empty unless it is stable.
    pub protocol: String,
    /// Number of its generation.
    pub generation: i32,
    /// Member id of its leader.
    pub leader: Option<String>,
    /// Partition of `__consumer_offsets` that has its records.
    pub coordinator_partition: PartitionId,
    /// Its members, by id.
    pub members: Vec<MemberDescription>,
}

/// A member in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Its address, with a slash before it.
    pub client_host: String,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
}

/// How far behind a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: TopicPartition,
    /// What the group has committed, if anything.
    pub committed: Option<Committed>,
    /// End of what its members may see; `None` if the partition is gone.
    pub end: Option<Offset>,
    /// The offsets between the two; `None` if one is unknown.
    pub lag: Option<u64>,
    /// Who reads it.
    pub member: Option<MemberDescription>,
}

/// What a reset is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetScope {
    /// `--all-topics`: all partitions of the topics in which the group has committed something.
    AllTopics,
    /// `--topic T` or `--topic T:0,1`: these partitions; all of a topic if none is named.
    Topics(Vec<(String, Option<Vec<PartitionId>>)>),
    /// The partitions that [`ResetMode::FromFile`] lists.
    FromFile,
}

impl Log {
    /// All groups by name: those with members and those with committed offsets.
    pub fn list_groups(&self) -> Vec<GroupListing> {
        let mut groups: BTreeMap<String, GroupListing> = BTreeMap::new();
        let simple = self.inner().groups.groups().into_iter().map(|group_id| GroupListing {
            group_id,
            group_type: "classic",
            state: GroupState::Empty,
            protocol_type: String::new(),
        });
        groups.extend(simple.map(|listing| (listing.group_id.clone(), listing)));
        for group in self.inner().coordination.state.lock().coordinator.groups() {
            let listing = GroupListing {
                group_id: group.id.clone(),
                group_type: "classic",
                state: group.state,
                protocol_type: group.protocol_type.clone().unwrap_or_default(),
            };
            groups.insert(group.id.clone(), listing);
        }
        groups.into_values().collect()
    }

    /// One group in detail. Fails with [`LogError::GroupIdNotFound`].
    pub fn describe_group(&self, group_id: &str) -> Result<GroupDescription> {
        let inner = self.inner();
        let coordinator_partition = inner.group_coordinator(group_id);
        let simple = GroupDescription {
            group_id: group_id.to_owned(),
            state: GroupState::Empty,
            protocol_type: String::new(),
            protocol: String::new(),
            generation: 0,
            leader: None,
            coordinator_partition,
            members: Vec::new(),
        };
        if let Some(group) = inner.coordination.state.lock().coordinator.find(group_id) {
            let protocol = if group.state == GroupState::Stable { group.protocol.clone() } else { None };
            return Ok(GroupDescription {
                state: group.state,
                protocol_type: group.protocol_type.clone().unwrap_or_default(),
                protocol: protocol.unwrap_or_default(),
                generation: group.generation,
                leader: group.leader.clone(),
                members: describe_members(group),
                ..simple
            });
        }
        if inner.groups.is_empty(group_id) { Err(self.unknown_group(group_id)) } else { Ok(simple) }
    }

    /// How far behind a group is: for every partition in which it has committed something or that a member reads.
    /// With [`Isolation::ReadCommitted`] up to the last stable offset. Fails with [`LogError::GroupIdNotFound`].
    pub fn group_lag(&self, group_id: &str, isolation: Isolation) -> Result<Vec<PartitionLag>> {
        let description = self.describe_group(group_id)?;
        let mut committed: BTreeMap<_, _> = self.committed_offsets(group_id).into_iter().collect();
        let mut readers = BTreeMap::new();
        for member in description.members {
            for partition in &member.assignment {
                readers.insert(partition.clone(), member.clone());
            }
        }
        let partitions: BTreeSet<_> = committed.keys().chain(readers.keys()).cloned().collect();
        let lag = |partition: TopicPartition| {
            let committed = committed.remove(&partition);
            let end = match end_of(self, &partition, isolation) {
                Ok(end) => Some(end),
                Err(LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. }) => None,
                Err(error) => return Err(error),
            };
            let lag = committed.as_ref().zip(end).map(|(committed, end)| end.since(committed.offset));
            let member = readers.remove(&partition);
            Ok(PartitionLag { partition, committed, end, lag, member })
        };
        partitions.into_iter().map(lag).collect()
    }

    /// What a group has committed in these partitions, or in all with `None`. With `require_stable` a partition whose
    /// offset an open transaction will change fails with [`LogError::UnstableOffsetCommit`]: ask again later. A group
    /// that is not there has committed nothing. As Kafka's OffsetFetch.
    pub fn fetch_offsets(
        &self,
        group_id: &str,
        partitions: Option<&[TopicPartition]>,
        require_stable: bool,
    ) -> Vec<(TopicPartition, Result<Option<Committed>>)> {
        let groups = &self.inner().groups;
        let all = || groups.of_group(group_id).into_iter().map(|(partition, _)| partition).collect();
        let partitions = partitions.map_or_else(all, <[_]>::to_vec);
        let fetch = |partition: TopicPartition| {
            let outcome = if require_stable && groups.is_unstable(group_id, &partition) {
                let group = group_id.to_owned();
                Err(LogError::UnstableOffsetCommit { group, partition: partition.clone() })
            } else {
                Ok(groups.committed(group_id, &partition))
            };
            (partition, outcome)
        };
        partitions.into_iter().map(fetch).collect()
    }

    /// Deletes groups with their offsets; an outcome for each. Fails with [`LogError::NonEmptyGroup`] for one that has
    /// members and with [`LogError::GroupIdNotFound`] for one that is not there.
    pub fn delete_groups(&self, groups: &[&str]) -> Vec<(String, Result<()>)> {
        groups.iter().map(|group| ((*group).to_owned(), self.inner().delete_group(group))).collect()
    }

    /// Removes a group's offsets in some partitions; an outcome for each. Fails with
    /// [`LogError::GroupSubscribedToTopic`] for topics that members read, and as a whole with
    /// [`LogError::GroupIdNotFound`] or for a group with members that are no consumers.
    pub fn delete_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Result<()>)>> {
        self.describe_group(group_id)?;
        let subscribed = {
            let service = self.inner().coordination.state.lock();
            match service.coordinator.find(group_id).filter(|group| !group.members.is_empty()) {
                None => BTreeSet::new(),
                Some(group) => group.subscribed_topics().ok_or_else(|| LogError::NonEmptyGroup {
                    group: group_id.to_owned(),
                    members: group.members.len(),
                })?,
            }
        };
        let (kept, removed): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().partition(|id| subscribed.contains(&*id.topic));
        self.inner().remove_offsets(group_id, removed.clone())?;
        let refuse = |id: TopicPartition| {
            let (group, topic) = (group_id.to_owned(), id.topic.to_string());
            (id, Err(LogError::GroupSubscribedToTopic { group, topic }))
        };
        Ok(removed.into_iter().map(|id| (id, Ok(()))).chain(kept.into_iter().map(refuse)).collect())
    }

    /// Removes members from a group, static ones by their `group.instance.id` alone; all of them if none is named. An
    /// outcome for each.
    pub fn remove_members(
        &self,
        group_id: &str,
        members: &[MemberIdentity],
    ) -> Result<Vec<(MemberIdentity, Result<()>)>> {
        let description = self.describe_group(group_id)?;
        let mut members = members.to_vec();
        if members.is_empty() {
            members.extend(description.members.into_iter().map(|member| MemberIdentity {
                member_id: member.member_id,
                instance_id: member.instance_id,
            }));
        }
        let reply = self.inner().leave_group(LeaveRequest { group_id: group_id.to_owned(), members })?;
        let explain = |(member, outcome): (MemberIdentity, Result<_, _>)| {
            let who = GroupMetadata {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                ..GroupMetadata::new(group_id)
            };
            let outcome = outcome.map_err(|error| self.inner().explain_group_error(error, &who));
            (member, outcome)
        };
        Ok(reply.into_iter().map(explain).collect())
    }

    /// Sets a group's offsets. Fails with [`LogError::NonEmptyGroup`] while it has members.
    pub fn alter_offsets(&self, group_id: &str, offsets: &[OffsetCommit]) -> Result<()> {
        self.check_inactive(group_id)?;
        self.inner().commit_group_offsets(&GroupMetadata::new(group_id), offsets, None)
    }

    /// Works out what a reset would do, without doing it. Fails with [`LogError::NonEmptyGroup`] while the group has
    /// members. A group that is not there yet may be given offsets in this way.
    pub fn plan_reset(&self, group_id: &str, scope: &ResetScope, mode: &ResetMode) -> Result<ResetPlan> {
        self.check_inactive(group_id)?;
        let time = mode.time(self.clock().now());
        let facts = |partition: TopicPartition| {
            let at_time = match time {
                Some(time) => first_not_before(self, &partition, time, Isolation::ReadUncommitted)?,
                None => None,
            };
            Ok(PartitionFacts {
                start: self.offsets(&partition, OffsetSpec::Earliest)?,
                end: self.offsets(&partition, OffsetSpec::Latest)?,
                committed: self
                    .inner()
                    .groups
                    .committed(group_id, &partition)
                    .map(|committed| committed.offset),
                at_time: at_time.map(|found| found.offset),
                partition,
            })
        };
        let partitions = self.partitions_in(group_id, scope, mode)?;
        let facts = partitions.into_iter().map(facts).collect::<Result<Vec<_>>>()?;
        Ok(ResetPlan::new(mode, &facts))
    }

    /// Carries a reset out: all rows, or after an error none. Fails if a row has no offset, and with
    /// [`LogError::NonEmptyGroup`] while the group has members.
    pub fn reset_offsets(&self, group_id: &str, plan: &ResetPlan) -> Result<()> {
        let offsets = plan.offsets().map_err(|(partition, refusal)| LogError::InvalidRequest {
            action: "reset the group's offsets",
            reason: format!("{partition}: {refusal}"),
        })?;
        let offsets: Vec<_> =
            offsets.into_iter().map(|(partition, offset)| OffsetCommit::new(partition, offset)).collect();
        self.alter_offsets(group_id, &offsets)
    }

    fn partitions_in(
        &self,
        group_id: &str,
        scope: &ResetScope,
        mode: &ResetMode,
    ) -> Result<Vec<TopicPartition>> {
        let all_of = |topic: &str| {
            let count = self.inner().topic(topic)?.partition_count();
            Ok((0..count).map(|number| TopicPartition::new(topic, number)).collect::<Vec<_>>())
        };
        let mut partitions = BTreeSet::new();
        match scope {
            ResetScope::AllTopics => {
                let committed = self.committed_offsets(group_id);
                let topics: BTreeSet<_> = committed.iter().map(|(id, _)| id.topic.clone()).collect();
                for topic in topics {
                    partitions.extend(all_of(&topic)?);
                }
            }
            ResetScope::Topics(topics) => {
                for (topic, numbers) in topics {
                    match numbers {
                        None => partitions.extend(all_of(topic)?),
                        Some(numbers) => {
                            for number in numbers {
                                let id = TopicPartition::new(topic.as_str(), number.get());
                                self.inner().partition(&id)?;
                                partitions.insert(id);
                            }
                        }
                    }
                }
            }
            ResetScope::FromFile => {
                if let ResetMode::FromFile(rows) = mode {
                    partitions.extend(rows.iter().map(|(id, _)| id.clone()));
                }
            }
        }
        Ok(partitions.into_iter().collect())
    }

    fn check_inactive(&self, group_id: &str) -> Result<()> {
        let service = self.inner().coordination.state.lock();
        match service.coordinator.find(group_id) {
            Some(group) if group.state != GroupState::Empty => {
                Err(LogError::NonEmptyGroup { group: group_id.to_owned(), members: group.members.len() })
            }
            _ => Ok(()),
        }
    }

    fn unknown_group(&self, group_id: &str) -> LogError {
        let known = self.list_groups();
        let nearest = nearest(group_id, known.iter().map(|listing| listing.group_id.as_str()));
        LogError::GroupIdNotFound { group: group_id.to_owned(), nearest }
    }
}

fn describe_members(group: &Group) -> Vec<MemberDescription> {
    group
        .members
        .iter()
        .map(|(id, member)| MemberDescription {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            assignment: Assignment::decode(&member.assignment).unwrap_or_default().partitions,
        })
        .collect()
}
