//! A group's record: writing it, and the group that it makes after a start.

use super::{Context, Group, GroupState, Member, Pending};
use crate::group::coordinator::{StoredGroup, StoredMember};
use crate::group::protocol::*;

impl Group {
    pub(super) fn write(&mut self, cx: &mut Context<'_>, pending: Pending) {
        *cx.next_write += 1;
        let write = *cx.next_write;
        self.writes.insert(write, pending);
        cx.outputs.push(Output::Write { group_id: self.id.clone(), write, stored: self.to_stored() });
    }

    fn to_stored(&self) -> StoredGroup {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |(id, member): (&String, &Member)| StoredMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        };
        StoredGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// The group as its record says: Stable with its members, or Empty. Members that ran in the log's own process and
    /// would not come back under a static name are gone with it.
    pub(in crate::group) fn from_stored(id: &str, now: Now, stored: StoredGroup) -> Self {
        let mut group = Self::new(id, stored.state_since);
        group.generation = stored.generation;
        group.protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
        group.leader = stored.leader;
        let protocol = stored.protocol.unwrap_or_default();
        for member in stored.members {
            let origin = MemberOrigin::of_host(&member.client_host);
            if origin == MemberOrigin::InProcess && member.instance_id.is_none() {
                continue;
            }
            if let Some(instance) = &member.instance_id {
                group.static_members.insert(instance.clone(), member.member_id.clone());
            }
            let restored = Member {
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                origin,
                session_timeout: member.session_timeout,
                rebalance_timeout: member.rebalance_timeout,
                protocols: vec![Protocol { name: protocol.clone(), metadata: member.subscription }],
                assignment: member.assignment,
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                deadline: now.monotonic.saturating_add(member.session_timeout),
            };
            group.members.insert(member.member_id, restored);
        }
        if group.members.is_empty() {
            group.leader = None;
        } else {
            group.state = GroupState::Stable;
            group.protocol = Some(protocol);
        }
        group
    }

    /// Lets members that are left after a restart divide the work of those that are gone.
    pub(in crate::group) fn settle(&mut self, cx: &mut Context<'_>, stored_count: usize) {
        if self.state == GroupState::Stable && self.members.len() < stored_count {
            if self.leader.as_ref().is_none_or(|leader| !self.members.contains_key(leader)) {
                self.leader = self.members.keys().next().cloned();
            }
            self.prepare_rebalance(cx);
        }
    }
}
