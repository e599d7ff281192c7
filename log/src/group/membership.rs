//! One group: its members, its generation, and Kafka's rules for going from one generation to the next.

mod join;
mod rebalance;
mod stored;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::coordinator::GroupConfig;
use super::protocol::*;
use super::subscription::Subscription;
use crate::types::Timestamp;

/// Where a group is. Names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members, though there may be committed offsets.
    Empty,
    /// Waiting for the members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignments.
    CompletingRebalance,
    /// Everyone has an assignment.
    Stable,
    /// Deleted.
    Dead,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(super) origin: MemberOrigin,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    awaiting_join: Option<RequestId>,
    awaiting_sync: Option<RequestId>,
    /// Whether it waits for its first generation.
    is_new: bool,
    /// When it is removed without a sign of life.
    deadline: Duration,
}

impl Member {
    fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offered| offered.name == protocol)
    }

    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let offered = self.protocols.iter().find(|offered| offered.name == protocol);
        offered.map_or_else(Bytes::new, |offered| offered.metadata.clone())
    }
}

/// What a record that is being written will allow.
#[derive(Clone, Debug)]
enum Pending {
    /// The answers to the syncs of a generation.
    Assignments { generation: i32 },
    /// The answer to a static member that came back.
    Replacement { to: RequestId, reply: JoinReply, old_id: String, old: Box<Member> },
    /// Nothing waits for it.
    Empty,
}

/// The wait of a group's first members for more to come, `group.initial.rebalance.delay.ms`.
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    remaining: Duration,
    has_newcomers: bool,
}

/// What a step sees and leaves behind.
pub(super) struct Context<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    pub(super) rng: &'a mut fastrand::Rng,
    pub(super) next_write: &'a mut WriteId,
    /// No later than the next timer of any group.
    pub(super) wake_at: &'a mut Duration,
    pub(super) outputs: &'a mut Vec<Output>,
}

impl Context<'_> {
    fn after(&mut self, time: Duration) -> Duration {
        let at = self.now.monotonic.saturating_add(time);
        *self.wake_at = (*self.wake_at).min(at);
        at
    }

    fn refuse_join(&mut self, to: RequestId, member_id: &str, error: GroupError) {
        let reply = JoinReply { member_id: member_id.to_owned(), outcome: Err(error) };
        self.outputs.push(Output::Joined { to, reply });
    }

    fn refuse_sync(&mut self, to: RequestId, error: GroupError) {
        self.outputs.push(Output::Synced { to, reply: Err(error) });
    }
}

/// One group.
///
/// - A member is in the map from its join until it leaves or expires; its id never means another member.
/// - In `PreparingRebalance` parked joins are answered when all members have one, in `CompletingRebalance` parked syncs
///   when the leader's assignments are written. A parked member does not expire, unless it is new.
/// - The generation grows by one each time a rebalance ends, so an old member's requests can be told from a new one's.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) state: GroupState,
    pub(crate) state_since: Timestamp,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    static_members: BTreeMap<String, String>,
    /// Ids given out with `MEMBER_ID_REQUIRED`, and when they are forgotten.
    pending_members: BTreeMap<String, Duration>,
    /// Members that have not synced in this generation.
    unsynced: BTreeSet<String>,
    initial_delay: Option<InitialDelay>,
    join_deadline: Option<Duration>,
    sync_deadline: Option<Duration>,
    writes: BTreeMap<WriteId, Pending>,
}

impl Group {
    pub(super) fn new(id: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            state: GroupState::Empty,
            state_since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            initial_delay: None,
            join_deadline: None,
            sync_deadline: None,
            writes: BTreeMap::new(),
        }
    }

    /// Whether nothing of it is worth keeping but its offsets.
    pub(super) fn is_vacant(&self) -> bool {
        self.members.is_empty() && self.pending_members.is_empty() && self.writes.is_empty()
    }

    pub(super) fn sync(&mut self, cx: &mut Context<'_>, to: RequestId, request: SyncRequest) {
        if let Err(error) = self.check_sync(&request) {
            return cx.refuse_sync(to, error);
        }
        let id = &request.member.member_id;
        self.touch(cx, id);
        match self.state {
            GroupState::Empty | GroupState::Dead => cx.refuse_sync(to, GroupError::UnknownMemberId),
            GroupState::PreparingRebalance => cx.refuse_sync(to, GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.note_synced(id);
                let parked = self.members.get_mut(id).and_then(|member| member.awaiting_sync.replace(to));
                if let Some(earlier) = parked {
                    cx.refuse_sync(earlier, GroupError::RebalanceInProgress);
                }
                if self.leader.as_ref() == Some(id) {
                    let mut assignments: BTreeMap<String, Bytes> = request.assignments.into_iter().collect();
                    for (id, member) in &mut self.members {
                        member.assignment = assignments.remove(id).unwrap_or_default();
                    }
                    self.write(cx, Pending::Assignments { generation: self.generation });
                }
            }
            GroupState::Stable => {
                self.note_synced(id);
                cx.outputs.push(Output::Synced { to, reply: Ok(self.synced(id)) });
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member)?;
        self.check_generation(request.generation)?;
        let differs = |asked: &Option<String>, chosen: &Option<String>| asked.is_some() && asked != chosen;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    pub(super) fn heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        member: &MemberIdentity,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.check_member(member)?;
        self.check_generation(generation)?;
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
            GroupState::PreparingRebalance => {
                self.touch(cx, &member.member_id);
                Err(GroupError::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.touch(cx, &member.member_id);
                Ok(())
            }
        }
    }

    /// The topics that its members want to read, `None` if it is not a group of consumers or they cannot be understood.
    pub(crate) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        let protocol =
            self.protocol.as_ref().filter(|_| self.protocol_type.as_deref() == Some("consumer"))?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(Subscription::decode(&member.metadata(protocol))?.topics);
        }
        Some(topics)
    }

    pub(super) fn leave(&mut self, cx: &mut Context<'_>, member: &MemberIdentity) -> Result<(), GroupError> {
        if member.member_id.is_empty() {
            let named = member.instance_id.as_ref().and_then(|instance| self.static_members.get(instance));
            let id = named.cloned().ok_or(GroupError::UnknownMemberId)?;
            self.remove(cx, &id);
            return Ok(());
        }
        if self.remove_pending(cx, &member.member_id) {
            return Ok(());
        }
        self.check_member(member)?;
        self.remove(cx, &member.member_id);
        Ok(())
    }

    /// Whether a commit of offsets fits the group, which takes it for a sign of life. Without a member only groups
    /// without members take one, unless it is part of a transaction.
    pub(super) fn check_commit(
        &mut self,
        cx: &mut Context<'_>,
        member: &MemberIdentity,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), GroupError> {
        let is_anonymous = member.member_id.is_empty() && member.instance_id.is_none();
        if generation < 0 && (self.state == GroupState::Empty || (is_anonymous && is_transactional)) {
            return Ok(());
        }
        if planted!("fenced_commit_ok") {
            return Ok(());
        }
        if generation < 0 && is_anonymous {
            return Err(GroupError::UnknownMemberId);
        }
        self.check_member(member)?;
        self.check_generation(generation)?;
        match self.state {
            GroupState::Empty | GroupState::Dead => return Err(GroupError::UnknownMemberId),
            GroupState::CompletingRebalance if !is_transactional => {
                return Err(GroupError::RebalanceInProgress);
            }
            GroupState::CompletingRebalance => {}
            GroupState::PreparingRebalance | GroupState::Stable => self.touch(cx, &member.member_id),
        }
        Ok(())
    }

    /// In Kafka's order: unknown instance, fenced instance, unknown member.
    fn check_member(&self, member: &MemberIdentity) -> Result<(), GroupError> {
        if let Some(instance) = &member.instance_id {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(id) if *id != member.member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&member.member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    fn check_generation(&self, generation: i32) -> Result<(), GroupError> {
        if generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    /// The record of a write is as durable as configured, or could not be written.
    pub(super) fn written(&mut self, cx: &mut Context<'_>, write: WriteId, is_written: bool) {
        match self.writes.remove(&write) {
            None | Some(Pending::Empty) => {}
            Some(Pending::Assignments { generation }) => {
                if self.state != GroupState::CompletingRebalance || self.generation != generation {
                    return; // another rebalance has begun and answered the syncs
                }
                if !is_written {
                    self.fail_syncs(cx, GroupError::CoordinatorNotAvailable);
                    return self.prepare_rebalance(cx);
                }
                self.transition(cx.now, GroupState::Stable);
                let ids: Vec<_> = self.members.keys().cloned().collect();
                for id in ids {
                    let synced = self.synced(&id);
                    let parked = self.members.get_mut(&id).and_then(|member| member.awaiting_sync.take());
                    if let Some(to) = parked {
                        self.touch(cx, &id);
                        cx.outputs.push(Output::Synced { to, reply: Ok(synced) });
                    }
                }
            }
            Some(Pending::Replacement { to, reply, .. }) if is_written => {
                cx.outputs.push(Output::Joined { to, reply });
            }
            Some(Pending::Replacement { to, reply, old_id, old }) => {
                if self.members.contains_key(&reply.member_id) {
                    self.members.remove(&reply.member_id);
                    self.rename(&reply.member_id, &old_id, *old);
                }
                cx.refuse_join(to, &reply.member_id, GroupError::CoordinatorNotAvailable);
            }
        }
    }

    /// Removes a member and lets the others rebalance.
    fn remove(&mut self, cx: &mut Context<'_>, id: &str) {
        self.answer_removed(cx, id);
        self.forget(id);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance if self.members.is_empty() => {
                self.initial_delay = None;
                self.complete_if_all_joined(cx);
            }
            GroupState::PreparingRebalance => self.complete_if_all_joined(cx),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    fn answer_removed(&mut self, cx: &mut Context<'_>, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(to) = member.awaiting_join.take() {
            cx.refuse_join(to, id, GroupError::UnknownMemberId);
        }
        if let Some(to) = member.awaiting_sync.take() {
            cx.refuse_sync(to, GroupError::UnknownMemberId);
        }
    }

    fn forget(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = member.instance_id {
            self.static_members.remove(&instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Forgets an id that was given out but not used yet.
    fn remove_pending(&mut self, cx: &mut Context<'_>, id: &str) -> bool {
        let is_pending = self.pending_members.remove(id).is_some();
        if is_pending && self.state == GroupState::PreparingRebalance {
            self.complete_if_all_joined(cx);
        }
        is_pending
    }

    fn note_synced(&mut self, id: &str) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn touch(&mut self, cx: &mut Context<'_>, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.deadline = cx.after(member.session_timeout);
        }
    }

    fn transition(&mut self, now: Now, state: GroupState) {
        self.state = state;
        self.state_since = now.wall;
    }
}
