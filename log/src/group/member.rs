//! A place in a group for those who divide their work in a way of their own, as streams applications do.
//!
//! ```text
//! Out ─ join ─▶ Joining ─ answer ─▶ Syncing ─ answer ─▶ Member ─ rebalance ─▶ Joining ..
//! ```
//! As in [`Consumer`](crate::Consumer), every call takes this as far as it goes without waiting. What members say to the
//! leader and what it answers are bytes; a [`Subscription`](super::Subscription) and an
//! [`Assignment`](super::Assignment) around them let others see topics and partitions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::protocol::{
    GroupError, JoinReply, JoinRequest, Joined, LeaveRequest, MemberIdentity, MemberOrigin, Protocol,
    SyncRequest,
};
use super::{GroupMetadata, IN_PROCESS_HOST, Reply, Respond};
use crate::consumer::Waker;
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::mutex::Mutex;

/// What a member and, if it is its turn, the leader contribute to a rebalance.
pub trait GroupProtocol {
    /// What this member says to the leader.
    fn metadata(&mut self) -> Bytes;

    /// As the leader: what every member gets, given their ids and what they say. Members left out get nothing.
    fn assign(&mut self, members: Vec<(String, Bytes)>) -> Vec<(String, Bytes)>;
}

/// What has happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// The leader has given it this, in a generation that it is a member of now.
    Assigned(Bytes),
    /// The group took it for dead, and what it had is others' by now. It joins again with the next call.
    Lost,
}

/// A member of a group in the process of the log. Its sign of life is [`poll`](Self::poll), which has to come more often
/// than its session ends. Dropping it leaves the group.
pub struct GroupMember {
    log: Log,
    who: GroupMetadata,
    client_id: String,
    protocol: &'static str,
    session: Duration,
    phase: Phase,
    inbox: Arc<Mutex<Option<(u64, Reply)>>>,
    waker: Waker,
    /// Number of the request that an answer must belong to.
    request: u64,
    wants_rebalance: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    /// Refused for now: out, and not to be tried again before the next call.
    Refused,
    Joining,
    Syncing,
    Member,
}

impl GroupMember {
    /// A newcomer to `group`, which divides its work by the `protocol` of this name. Answers end the polls of the
    /// consumer of `waker`. Without a sign of life for `session` it is removed.
    pub fn new(
        log: &Log,
        group: &str,
        client_id: &str,
        protocol: &'static str,
        session: Duration,
        waker: Waker,
    ) -> Self {
        Self {
            log: log.clone(),
            who: GroupMetadata::new(group),
            client_id: client_id.to_owned(),
            protocol,
            session,
            phase: Phase::Out,
            inbox: Arc::default(),
            waker,
            request: 0,
            wants_rebalance: false,
        }
    }

    /// Who it is, for commits.
    pub fn metadata(&self) -> &GroupMetadata {
        &self.who
    }

    /// Whether its commits count now: not while it joins, for the generation may change meanwhile.
    pub fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    /// Lets the group divide its work anew.
    pub fn rebalance(&mut self) {
        self.wants_rebalance = true;
    }

    /// Takes the membership as far as it goes without waiting, or to the next event. Fails with what the group refuses
    /// for good.
    pub fn poll(&mut self, protocol: &mut dyn GroupProtocol) -> Result<Option<MemberEvent>> {
        // Who waits for others has to see that they do not come.
        self.log.inner().tick_groups()?;
        if self.phase == Phase::Refused {
            self.phase = Phase::Out;
        }
        loop {
            match self.phase {
                Phase::Out => self.join(protocol)?,
                Phase::Refused => return Ok(None),
                Phase::Joining => match self.take_reply() {
                    Some(Reply::Joined(reply)) => {
                        if let Some(event) = self.joined(reply, protocol)? {
                            return Ok(Some(event));
                        }
                    }
                    Some(Reply::Synced(_)) => {}
                    None => return Ok(None),
                },
                Phase::Syncing => match self.take_reply() {
                    Some(Reply::Synced(Ok(synced))) => {
                        self.phase = Phase::Member;
                        return Ok(Some(MemberEvent::Assigned(synced.assignment)));
                    }
                    Some(Reply::Synced(Err(error))) => {
                        if let Some(event) = self.refused(error)? {
                            return Ok(Some(event));
                        }
                    }
                    Some(Reply::Joined(_)) => {}
                    None => return Ok(None),
                },
                Phase::Member => match self.log.inner().heartbeat(&self.who)? {
                    Ok(()) if !self.wants_rebalance => return Ok(None),
                    Ok(()) | Err(GroupError::RebalanceInProgress) => self.join(protocol)?,
                    Err(error) => {
                        if let Some(event) = self.refused(error)? {
                            return Ok(Some(event));
                        }
                    }
                },
            }
        }
    }

    /// Leaves the group.
    pub fn leave(&mut self) -> Result<()> {
        self.phase = Phase::Out;
        // Answers that are still to come are nobody's.
        self.request += 1;
        if self.who.member_id.is_empty() {
            return Ok(());
        }
        let request = LeaveRequest { group_id: self.who.group_id.clone(), members: vec![self.identity()] };
        self.reset();
        self.log.inner().leave_group(request).map(drop)
    }

    fn join(&mut self, protocol: &mut dyn GroupProtocol) -> Result<()> {
        let request = JoinRequest {
            group_id: self.who.group_id.clone(),
            member_id: self.who.member_id.clone(),
            instance_id: None,
            client_id: self.client_id.clone(),
            client_host: IN_PROCESS_HOST.to_owned(),
            origin: MemberOrigin::InProcess,
            session_timeout: self.session,
            rebalance_timeout: self.session,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: self.protocol.to_owned(), metadata: protocol.metadata() }],
            // Its id is then known while it waits, so that it can leave.
            requires_known_member_id: true,
            supports_skipping_assignment: false,
        };
        self.wants_rebalance = false;
        self.phase = Phase::Joining;
        let respond = self.respond();
        self.log.inner().join_group(request, respond).inspect_err(|_| self.phase = Phase::Out)
    }

    fn joined(&mut self, reply: JoinReply, protocol: &mut dyn GroupProtocol) -> Result<Option<MemberEvent>> {
        self.phase = Phase::Out;
        let joined = match reply.outcome {
            Ok(joined) => joined,
            Err(GroupError::MemberIdRequired) => {
                self.who.member_id = reply.member_id;
                return Ok(None);
            }
            Err(error) => return self.refused(error),
        };
        let Joined { generation, protocol_type, protocol_name, leader, members, .. } = joined;
        self.who.member_id = reply.member_id;
        self.who.generation = generation;
        let assignments = if leader == self.who.member_id {
            protocol.assign(members.into_iter().map(|member| (member.member_id, member.metadata)).collect())
        } else {
            Vec::new()
        };
        let request = SyncRequest {
            group_id: self.who.group_id.clone(),
            member: self.identity(),
            generation,
            protocol_type: Some(protocol_type),
            protocol_name: Some(protocol_name),
            assignments,
        };
        self.phase = Phase::Syncing;
        let respond = self.respond();
        self.log.inner().sync_group(request, respond).inspect_err(|_| self.phase = Phase::Out)?;
        Ok(None)
    }

    /// What a refusal means for the membership.
    fn refused(&mut self, error: GroupError) -> Result<Option<MemberEvent>> {
        self.phase = Phase::Out;
        match error {
            GroupError::RebalanceInProgress => Ok(None),
            // The group cannot write down what was agreed, for example because the disk is full.
            GroupError::CoordinatorNotAvailable => {
                self.phase = Phase::Refused;
                Ok(None)
            }
            GroupError::UnknownMemberId | GroupError::IllegalGeneration => {
                self.reset();
                Ok(Some(MemberEvent::Lost))
            }
            error => Err(self.log.inner().explain_group_error(error, &self.who)),
        }
    }

    fn reset(&mut self) {
        self.who.member_id = String::new();
        self.who.generation = -1;
    }

    fn identity(&self) -> MemberIdentity {
        MemberIdentity { member_id: self.who.member_id.clone(), instance_id: None }
    }

    fn respond(&mut self) -> Respond {
        self.request += 1;
        let (inbox, waker, request) = (Arc::clone(&self.inbox), self.waker.clone(), self.request);
        Box::new(move |reply| {
            *inbox.lock() = Some((request, reply));
            waker.wake();
        })
    }

    fn take_reply(&self) -> Option<Reply> {
        let (request, reply) = self.inbox.lock().take()?;
        (request == self.request).then_some(reply)
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        match self.leave() {
            Ok(()) | Err(LogError::Closed) => {}
            Err(error) => tracing::warn!(%error, "could not leave the group"),
        }
    }
}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMember")
            .field("who", &self.who)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
