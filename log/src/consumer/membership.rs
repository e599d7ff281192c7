//! Being a member of a group: join, sync, heartbeat, and what they mean for the partitions.
//!
//! ```text
//! Out ─ join ─▶ Joining ─ answer ─▶ Syncing ─ answer ─▶ Member ─ rebalance, new topics ─▶ Joining ...
//! ```
//! Every poll takes this as far as it goes without waiting. There is no thread behind it: a member in this process shows
//! signs of life by polling, so that its session is `max.poll.interval.ms`, and `session.timeout.ms` has no meaning.
//! It cannot die without being dropped, which makes it leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Consumer;
use crate::config::ConsumerConfig;
use crate::error::{LogError, Result};
use crate::group::assignor::Candidate;
use crate::group::protocol::{
    GroupError, JoinReply, JoinRequest, Joined, LeaveRequest, MemberIdentity, MemberOrigin, Protocol,
    SyncRequest, Synced,
};
use crate::group::{Assignment, Assignor, GroupMetadata, IN_PROCESS_HOST, Reply, Respond, Subscription};
use crate::mutex::Mutex;
use crate::signal::Signal;
use crate::types::TopicPartition;

/// A consumer's place in its group.
#[derive(Debug)]
pub(super) struct Membership {
    who: GroupMetadata,
    phase: Phase,
    inbox: Arc<Inbox>,
    /// Number of the request that an answer must belong to.
    request: u64,
    /// Whether to join again though nothing is wrong.
    wants_rebalance: bool,
    /// The protocol that the group has chosen.
    assignor: Option<Assignor>,
    /// What it was given last, and when, for assignors that keep it.
    last: (Vec<TopicPartition>, i32),
    /// The topics it said it wants.
    joined_topics: BTreeSet<String>,
    /// For the leader, partition counts of all members' topics when it assigned.
    assigned_counts: Option<BTreeMap<String, Option<u32>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Joining,
    Syncing,
    Member,
}

/// Where answers arrive, on any thread.
#[derive(Debug)]
struct Inbox {
    signal: Arc<Signal>,
    reply: Mutex<Option<(u64, Reply)>>,
}

impl Membership {
    pub(super) fn new(config: &ConsumerConfig, group: &str, signal: &Arc<Signal>) -> Self {
        let who =
            GroupMetadata { instance_id: config.group_instance_id.clone(), ..GroupMetadata::new(group) };
        Self {
            who,
            phase: Phase::Out,
            inbox: Arc::new(Inbox { signal: signal.clone(), reply: Mutex::default() }),
            request: 0,
            wants_rebalance: false,
            assignor: None,
            last: (Vec::new(), -1),
            joined_topics: BTreeSet::new(),
            assigned_counts: None,
        }
    }

    pub(super) fn who(&self) -> &GroupMetadata {
        &self.who
    }

    pub(super) fn rebalance(&mut self) {
        self.wants_rebalance = true;
    }

    fn identity(&self) -> MemberIdentity {
        MemberIdentity { member_id: self.who.member_id.clone(), instance_id: self.who.instance_id.clone() }
    }

    /// Where the answer to the next request goes. Answers to earlier ones are dropped.
    fn respond(&mut self) -> Respond {
        self.request += 1;
        let (inbox, request) = (self.inbox.clone(), self.request);
        Box::new(move |reply| {
            *inbox.reply.lock() = Some((request, reply));
            inbox.signal.raise();
        })
    }

    fn take_reply(&self) -> Option<Reply> {
        let (request, reply) = self.inbox.reply.lock().take()?;
        (request == self.request).then_some(reply)
    }

    /// Forgets the member id, to join as a newcomer.
    fn reset(&mut self) {
        self.who.member_id = String::new();
        self.who.generation = -1;
        self.phase = Phase::Out;
    }
}

impl Consumer {
    /// Takes the membership as far as it goes without waiting.
    pub(super) fn keep_membership(&mut self) -> Result<()> {
        loop {
            let Some(membership) = &self.membership else { return Ok(()) };
            if matches!(membership.phase, Phase::Joining | Phase::Syncing) {
                // There may be nobody else to remove the members that it waits for in vain.
                self.log.inner().tick_groups()?;
            }
            match membership.phase {
                Phase::Out => self.join()?,
                Phase::Joining => match membership.take_reply() {
                    Some(Reply::Joined(reply)) => self.joined(reply)?,
                    Some(Reply::Synced(_)) => {}
                    None => return Ok(()),
                },
                Phase::Syncing => match membership.take_reply() {
                    Some(Reply::Synced(reply)) => self.synced(reply)?,
                    Some(Reply::Joined(_)) => {}
                    None => return Ok(()),
                },
                Phase::Member => match self.log.inner().heartbeat(&membership.who)? {
                    Ok(()) if !membership.wants_rebalance => return Ok(()),
                    Ok(()) | Err(GroupError::RebalanceInProgress) => self.join()?,
                    Err(error) => self.lose(error)?,
                },
            }
        }
    }

    /// How long until the membership needs a look without anything happening.
    pub(super) fn membership_due_in(&self) -> Duration {
        match &self.membership {
            Some(_) => self.config.heartbeat_interval.min(self.log.inner().groups_due_in()),
            None => Duration::MAX,
        }
    }

    /// Whether its partitions stay with it while it joins again.
    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    fn join(&mut self) -> Result<()> {
        // What others will read next must not start before what was processed here.
        if self.commits_by_itself() {
            self.commit_by_itself(None)?;
        }
        let mut told = Ok(());
        if !self.is_cooperative() {
            let all = self.assignment();
            told = self.revoke(&all);
        }
        let topics: BTreeSet<String> = self.subscribed_topics();
        if self.is_cooperative() {
            let unwanted: Vec<_> =
                self.assignment().into_iter().filter(|id| !topics.contains(&*id.topic)).collect();
            told = self.revoke(&unwanted);
        }
        let owned = if self.is_cooperative() { self.assignment() } else { Vec::new() };
        let Some(membership) = &mut self.membership else { return Ok(()) };
        let config = &self.config;
        let (last, generation) = &membership.last;
        let protocols = config.assignors.iter().map(|assignor| {
            let subscription = Subscription {
                topics: topics.iter().cloned().collect(),
                user_data: assignor.user_data(last, *generation),
                owned: owned.clone(),
                generation: Some(*generation).filter(|number| *number >= 0),
                rack: config.client_rack.clone(),
            };
            Protocol { name: assignor.name().to_owned(), metadata: subscription.encode() }
        });
        let request = JoinRequest {
            group_id: membership.who.group_id.clone(),
            member_id: membership.who.member_id.clone(),
            instance_id: membership.who.instance_id.clone(),
            client_id: config.client_id.clone(),
            client_host: IN_PROCESS_HOST.to_owned(),
            origin: MemberOrigin::InProcess,
            session_timeout: config.max_poll_interval,
            rebalance_timeout: config.max_poll_interval,
            protocol_type: "consumer".to_owned(),
            protocols: protocols.collect(),
            // Its id is then known while it waits, so that it can leave.
            requires_known_member_id: config.group_instance_id.is_none(),
            supports_skipping_assignment: true,
        };
        membership.joined_topics = topics;
        membership.assigned_counts = None;
        membership.wants_rebalance = false;
        membership.phase = Phase::Joining;
        let respond = membership.respond();
        if let Err(error) = self.log.inner().join_group(request, respond) {
            self.leave_phase();
            return Err(error);
        }
        told
    }

    fn leave_phase(&mut self) {
        if let Some(membership) = &mut self.membership {
            membership.phase = Phase::Out;
        }
    }

    fn joined(&mut self, reply: JoinReply) -> Result<()> {
        let Some(membership) = &mut self.membership else { return Ok(()) };
        membership.phase = Phase::Out;
        let joined = match reply.outcome {
            Ok(joined) => joined,
            Err(GroupError::MemberIdRequired) => {
                membership.who.member_id = reply.member_id;
                return Ok(());
            }
            Err(error) => return self.lose(error),
        };
        membership.who.member_id = reply.member_id;
        membership.who.generation = joined.generation;
        membership.assignor = Assignor::from_name(&joined.protocol_name);
        let assignments =
            if joined.leader == membership.who.member_id { self.lead(&joined)? } else { Vec::new() };
        let Some(membership) = &mut self.membership else { return Ok(()) };
        let request = SyncRequest {
            group_id: membership.who.group_id.clone(),
            member: membership.identity(),
            generation: joined.generation,
            protocol_type: Some(joined.protocol_type),
            protocol_name: Some(joined.protocol_name),
            assignments,
        };
        membership.phase = Phase::Syncing;
        let respond = membership.respond();
        if let Err(error) = self.log.inner().sync_group(request, respond) {
            self.leave_phase();
            return Err(error);
        }
        Ok(())
    }

    /// As the leader: divides the partitions of all topics that members want.
    fn lead(&mut self, joined: &Joined) -> Result<Vec<(String, bytes::Bytes)>> {
        let mut members = BTreeMap::new();
        for member in &joined.members {
            let Some(subscription) = Subscription::decode(&member.metadata) else {
                tracing::warn!(member = member.member_id, "a member's subscription cannot be understood");
                continue;
            };
            let candidate = Candidate { instance_id: member.instance_id.clone(), subscription };
            members.insert(member.member_id.clone(), candidate);
        }
        let topics: BTreeSet<&String> =
            members.values().flat_map(|member| &member.subscription.topics).collect();
        let counts: BTreeMap<String, Option<u32>> =
            topics.into_iter().map(|topic| (topic.clone(), self.partition_count(topic))).collect();
        let known = counts.iter().filter_map(|(topic, count)| Some((topic.clone(), (*count)?))).collect();
        let Some(membership) = &mut self.membership else { return Ok(Vec::new()) };
        membership.assigned_counts = Some(counts);
        if joined.skip_assignment {
            return Ok(Vec::new());
        }
        let Some(assignor) = membership.assignor else {
            let group = membership.who.group_id.clone();
            let reason = format!("it has chosen {:?}, which no assignor here is", joined.protocol_name);
            return Err(LogError::InconsistentGroupProtocol { group, reason });
        };
        let encode = |(id, partitions): (String, Vec<TopicPartition>)| {
            (id, Assignment { partitions, user_data: None }.encode())
        };
        Ok(assignor.assign(&known, &members).into_iter().map(encode).collect())
    }

    fn synced(&mut self, reply: Result<Synced, GroupError>) -> Result<()> {
        let synced = match reply {
            Ok(synced) => synced,
            Err(error) => return self.lose(error),
        };
        let assigned = Assignment::decode(&synced.assignment).unwrap_or_else(|| {
            tracing::warn!("the assignment cannot be understood; taken as nothing");
            Assignment::default()
        });
        let mut partitions = assigned.partitions;
        partitions.sort();
        partitions.dedup();
        let before = self.assignment();
        let Some(membership) = &mut self.membership else { return Ok(()) };
        membership.phase = Phase::Member;
        membership.last = (partitions.clone(), membership.who.generation);
        let revoked: Vec<_> = before.iter().filter(|id| !partitions.contains(id)).cloned().collect();
        let added: Vec<_> = partitions.into_iter().filter(|id| !before.contains(id)).collect();
        let mut told = Ok(());
        if !revoked.is_empty() {
            // They go to others in the next generation.
            membership.wants_rebalance = true;
            if self.commits_by_itself() {
                told = self.commit_by_itself(Some(&revoked));
            }
            told = told.and(self.revoke(&revoked));
        }
        if let Err(error) = self.add(&added) {
            self.leave_phase();
            return Err(error);
        }
        told.and(self.tell(|listener, consumer| listener.on_assigned(consumer, &added)))
    }

    /// What an error of the coordinator means for the membership.
    fn lose(&mut self, error: GroupError) -> Result<()> {
        let Some(membership) = &mut self.membership else { return Ok(()) };
        let who = membership.who.clone();
        match error {
            GroupError::RebalanceInProgress => {
                membership.phase = Phase::Out;
                return Ok(());
            }
            GroupError::UnknownMemberId | GroupError::IllegalGeneration => {
                membership.reset();
                membership.last = (Vec::new(), -1);
                return self.abandon();
            }
            GroupError::FencedInstanceId => {
                membership.reset();
                self.abandon()?;
            }
            _ => membership.phase = Phase::Out,
        }
        Err(self.log.inner().explain_group_error(error, &who))
    }

    /// Lets go of partitions that are others' by now.
    fn abandon(&mut self) -> Result<()> {
        let lost = self.assignment();
        self.remove(&lost);
        if lost.is_empty() {
            return Ok(());
        }
        self.tell(|listener, consumer| listener.on_lost(consumer, &lost))
    }

    /// Tells the listener, then lets go.
    fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let told = self.tell(|listener, consumer| listener.on_revoked(consumer, partitions));
        self.remove(partitions);
        told
    }

    fn tell(
        &mut self,
        what: impl FnOnce(&mut dyn super::RebalanceListener, &mut Self) -> Result<()>,
    ) -> Result<()> {
        let Some(mut listener) = self.listener.take() else { return Ok(()) };
        let outcome = what(&mut *listener, self);
        // Unless it has put another one in its place.
        self.listener.get_or_insert(listener);
        outcome
    }

    /// Whether topics have changed so that the group has to divide them anew.
    pub(super) fn check_group_topics(&mut self) {
        let topics = self.subscribed_topics();
        let Some(membership) = &self.membership else { return };
        if membership.phase == Phase::Out {
            return;
        }
        let mut has_changed = topics != membership.joined_topics;
        if let Some(counts) = &membership.assigned_counts {
            has_changed |= counts.iter().any(|(topic, count)| self.partition_count(topic) != *count);
        }
        if has_changed && let Some(membership) = &mut self.membership {
            membership.wants_rebalance = true;
        }
    }

    /// Tells the listener that all partitions go, and the group that it leaves; a static member stays one until its
    /// session ends.
    pub(super) fn end_membership(&mut self) -> Result<()> {
        let all = self.assignment();
        let told = if self.membership.is_some() { self.revoke(&all) } else { Ok(()) };
        self.leave();
        told
    }

    /// Leaves the group, if it is in one and not static.
    pub(super) fn leave(&mut self) {
        let Some(membership) = self.membership.take() else { return };
        let group_id = membership.who.group_id.clone();
        self.log.inner().unwatch_group(&group_id, &self.signal);
        if membership.who.instance_id.is_some() || membership.who.member_id.is_empty() {
            return;
        }
        let request = LeaveRequest { group_id, members: vec![membership.identity()] };
        match self.log.inner().leave_group(request) {
            Ok(_) | Err(LogError::Closed) => {}
            Err(error) => tracing::warn!(%error, "could not leave the group"),
        }
    }
}
