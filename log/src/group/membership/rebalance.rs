//! From one generation of a group to the next.

use std::time::Duration;

use bytes::Bytes;

use super::{Context, Group, GroupState, InitialDelay, Member, Pending};
use crate::group::protocol::*;

impl Group {
    pub(super) fn rebalance_or_complete(&mut self, cx: &mut Context<'_>) {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(cx);
            }
            GroupState::PreparingRebalance => self.complete_if_all_joined(cx),
            GroupState::Dead => {}
        }
    }

    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.fail_syncs(cx, GroupError::RebalanceInProgress);
        }
        self.sync_deadline = None;
        self.unsynced.clear();
        let is_first = self.state == GroupState::Empty;
        self.transition(cx.now, GroupState::PreparingRebalance);
        cx.outputs.push(Output::Rebalancing { group_id: self.id.clone() });
        let delay = cx.config.initial_rebalance_delay;
        let timeout = self.rebalance_timeout();
        if is_first && !delay.is_zero() {
            let delay = delay.min(timeout);
            self.initial_delay =
                Some(InitialDelay { remaining: timeout.saturating_sub(delay), has_newcomers: false });
            self.join_deadline = Some(cx.after(delay));
        } else {
            self.join_deadline = Some(cx.after(timeout));
            self.complete_if_all_joined(cx);
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, cx: &mut Context<'_>) {
        let is_waiting = self.initial_delay.is_some();
        if !is_waiting && self.pending_members.is_empty() && self.joined_count() == self.members.len() {
            self.complete_join(cx);
        }
    }

    /// Ends the wait for joins: whoever has joined makes up the next generation.
    pub(super) fn complete_join(&mut self, cx: &mut Context<'_>) {
        self.initial_delay = None;
        self.join_deadline = None;
        let gone: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        gone.iter().for_each(|id| self.forget(id));
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members that may come back: wait on.
            self.join_deadline = Some(cx.after(self.rebalance_timeout()));
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.transition(cx.now, GroupState::Empty);
            return self.write(cx, Pending::Empty);
        }
        self.protocol = self.select_protocol();
        self.transition(cx.now, GroupState::CompletingRebalance);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(cx.after(self.rebalance_timeout()));
        let leader = self.leader.clone().unwrap_or_default();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, id == leader, false);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.deadline = cx.after(member.session_timeout);
            if let Some(to) = member.awaiting_join.take() {
                let reply = JoinReply { member_id: id, outcome: Ok(joined) };
                cx.outputs.push(Output::Joined { to, reply });
            }
        }
    }

    /// Keeps the leader if it has joined, or else takes the first that has. `false` if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |member: &Member| member.awaiting_join.is_some();
        if self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(has_joined) {
            return true;
        }
        let first = self.members.iter().find(|(_, member)| has_joined(member)).map(|(id, _)| id.clone());
        let is_found = first.is_some();
        if is_found {
            self.leader = first;
        }
        is_found
    }

    /// Among the protocols that all members offer, the one that most of them like best.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let is_common = |name: &str| self.members.values().all(|member| member.offers(name));
        let candidates: Vec<&str> =
            first.protocols.iter().map(|protocol| &*protocol.name).filter(|name| is_common(name)).collect();
        let votes_for = |candidate: &str| {
            let favourite = |member: &&Member| {
                let mut offered = member.protocols.iter().map(|protocol| &*protocol.name);
                offered.find(|name| candidates.contains(name)) == Some(candidate)
            };
            self.members.values().filter(favourite).count()
        };
        // The first of equals, so that the outcome is a function of the members.
        let best = candidates.iter().rev().max_by_key(|candidate| votes_for(candidate));
        best.map(|name| (*name).to_owned())
    }

    pub(super) fn fail_syncs(&mut self, cx: &mut Context<'_>, error: GroupError) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(to) = member.awaiting_sync.take() {
                cx.refuse_sync(to, error);
            }
        }
    }

    pub(super) fn joined_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    pub(super) fn joined(&self, id: &str, with_members: bool, skip_assignment: bool) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |(id, member): (&String, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        };
        debug_assert!(self.members.contains_key(id));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment,
            members: if with_members { self.members.iter().map(member).collect() } else { Vec::new() },
            protocol_name: protocol,
        }
    }

    pub(super) fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol.clone().unwrap_or_default(),
            assignment: self.members.get(id).map_or_else(Bytes::new, |member| member.assignment.clone()),
        }
    }
}
