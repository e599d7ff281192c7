//! Joining: newcomers, members that join again, and static members that come back.

use std::time::Duration;

use bytes::Bytes;

use super::{Context, Group, GroupState, Member, Pending};
use crate::group::protocol::*;

/// How long a newcomer may wait for the others to join, `GroupCoordinator.NewMemberJoinTimeoutMs` in Kafka.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl Group {
    pub(in crate::group) fn join(&mut self, cx: &mut Context<'_>, to: RequestId, request: JoinRequest) {
        if !self.has_room_for(&request.member_id, cx.config.max_size) {
            self.forget(&request.member_id);
            self.remove_pending(cx, &request.member_id);
            return cx.refuse_join(to, &request.member_id, GroupError::GroupMaxSizeReached);
        }
        if !self.supports(&request) {
            return cx.refuse_join(to, &request.member_id, GroupError::InconsistentGroupProtocol);
        }
        if request.member_id.is_empty() {
            self.join_new(cx, to, request);
        } else if self.pending_members.contains_key(&request.member_id) {
            let id = request.member_id.clone();
            self.add(cx, to, id, request);
        } else {
            self.join_known(cx, to, request);
        }
    }

    fn has_room_for(&self, member_id: &str, max_size: usize) -> bool {
        let known = self.members.get(member_id);
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                known.is_some_and(|member| member.awaiting_join.is_some()) || self.joined_count() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.members.len() < max_size
            }
        }
    }

    fn supports(&self, request: &JoinRequest) -> bool {
        if self.members.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && request.protocols.iter().any(|protocol| {
                // One that joins again is judged without its old offer.
                let mut others = self.members.iter().filter(|(id, _)| **id != request.member_id);
                others.all(|(_, member)| member.offers(&protocol.name))
            })
    }

    fn join_new(&mut self, cx: &mut Context<'_>, to: RequestId, request: JoinRequest) {
        let name = request.instance_id.as_ref().unwrap_or(&request.client_id);
        let uuid = uuid::Builder::from_random_bytes(cx.rng.u128(..).to_be_bytes()).into_uuid();
        let id = format!("{name}-{uuid}");
        let replaced = request.instance_id.as_ref().and_then(|instance| self.static_members.get(instance));
        match replaced.cloned() {
            Some(old_id) => self.replace_static(cx, to, old_id, id, request),
            None if request.instance_id.is_none() && request.requires_known_member_id => {
                let deadline = cx.after(request.session_timeout);
                self.pending_members.insert(id.clone(), deadline);
                cx.refuse_join(to, &id, GroupError::MemberIdRequired);
            }
            None => self.add(cx, to, id, request),
        }
    }

    fn join_known(&mut self, cx: &mut Context<'_>, to: RequestId, request: JoinRequest) {
        let identity =
            MemberIdentity { member_id: request.member_id.clone(), instance_id: request.instance_id.clone() };
        if let Err(error) = self.check_member(&identity) {
            return cx.refuse_join(to, &request.member_id, error);
        }
        let id = request.member_id.clone();
        let member = &self.members[&id];
        let is_same = member.protocols == request.protocols;
        let is_leader = self.leader.as_ref() == Some(&id);
        let needs_rebalance = match self.state {
            GroupState::PreparingRebalance => true,
            GroupState::CompletingRebalance => !is_same,
            GroupState::Stable => !is_same || is_leader,
            GroupState::Empty | GroupState::Dead => {
                return cx.refuse_join(to, &id, GroupError::UnknownMemberId);
            }
        };
        if needs_rebalance {
            self.update(cx, to, &id, request);
            self.rebalance_or_complete(cx);
        } else {
            self.touch(cx, &id);
            let reply = JoinReply { outcome: Ok(self.joined(&id, is_leader, false)), member_id: id };
            cx.outputs.push(Output::Joined { to, reply });
        }
    }

    fn add(&mut self, cx: &mut Context<'_>, to: RequestId, id: String, request: JoinRequest) {
        self.pending_members.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        if let Some(delay) = &mut self.initial_delay {
            delay.has_newcomers = true;
        }
        let member = Member {
            instance_id: request.instance_id.clone(),
            client_id: request.client_id,
            client_host: request.client_host,
            origin: request.origin,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(to),
            awaiting_sync: None,
            is_new: true,
            deadline: cx.after(NEW_MEMBER_JOIN_TIMEOUT),
        };
        if let Some(instance) = request.instance_id {
            self.static_members.insert(instance, id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        self.rebalance_or_complete(cx);
    }

    /// Takes in what a member says as it joins again, and parks its request.
    fn update(&mut self, cx: &mut Context<'_>, to: RequestId, id: &str, request: JoinRequest) {
        let deadline = cx.after(request.session_timeout);
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        if !member.is_new {
            member.deadline = deadline;
        }
        if let Some(earlier) = member.awaiting_join.replace(to) {
            // The same member has asked twice; whoever waits for the first answer is gone.
            cx.refuse_join(earlier, id, GroupError::RebalanceInProgress);
        }
    }

    /// A static member comes back under a new member id and takes the old one's place.
    fn replace_static(
        &mut self,
        cx: &mut Context<'_>,
        to: RequestId,
        old_id: String,
        id: String,
        request: JoinRequest,
    ) {
        let Some(mut member) = self.members.remove(&old_id) else {
            return cx.refuse_join(to, &id, GroupError::UnknownMemberId);
        };
        if let Some(join) = member.awaiting_join.take() {
            cx.refuse_join(join, &old_id, GroupError::FencedInstanceId);
        }
        if let Some(sync) = member.awaiting_sync.take() {
            cx.refuse_sync(sync, GroupError::FencedInstanceId);
        }
        let old = Box::new(member.clone());
        member.client_id = request.client_id.clone();
        member.client_host = request.client_host.clone();
        member.origin = request.origin;
        let skips = request.supports_skipping_assignment;
        let old_leader = self.leader.clone().unwrap_or_default();
        self.rename(&old_id, &id, member);
        self.update(cx, to, &id, request);
        if self.state != GroupState::Stable || self.select_protocol() != self.protocol {
            return self.rebalance_or_complete(cx);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.awaiting_join = None;
        }
        let is_leader = self.leader.as_ref() == Some(&id);
        let mut joined = self.joined(&id, is_leader && skips, is_leader && skips);
        if !skips {
            // A client that cannot skip must not take itself for the leader, or it would assign.
            joined.leader = old_leader;
        }
        let reply = JoinReply { member_id: id, outcome: Ok(joined) };
        self.write(cx, Pending::Replacement { to, reply, old_id, old });
    }

    pub(super) fn rename(&mut self, old_id: &str, id: &str, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), id.to_owned());
        }
        self.members.remove(old_id);
        self.members.insert(id.to_owned(), member);
        if self.leader.as_deref() == Some(old_id) {
            self.leader = Some(id.to_owned());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(id.to_owned());
        }
    }
}
