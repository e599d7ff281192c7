//! All groups of a log, as one state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::membership::{Context, Group, GroupState};
use super::protocol::*;
use crate::types::Timestamp;

/// `client_host` of members in the log's own process.
pub(crate) const IN_PROCESS_HOST: &str = "/in-process";

impl MemberOrigin {
    pub(super) fn of_host(host: &str) -> Self {
        if host == IN_PROCESS_HOST { Self::InProcess } else { Self::Remote }
    }
}

/// Limits of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`: shortest session of a remote member. Default 6 s.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`: longest session of a remote member. Default 30 min.
    pub session_timeout_max: Duration,
    /// `group.max.size`: most members of a group. Default no limit.
    pub max_size: usize,
    /// `group.initial.rebalance.delay.ms`: how long a group's first members wait for more. Default 0, where Kafka waits
    /// 3 s: that saves rebalances when a fleet starts, which members in one process do not need.
    pub initial_rebalance_delay: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            max_size: i32::MAX as usize,
            initial_rebalance_delay: Duration::ZERO,
        }
    }
}

/// A group as its record says, Kafka's `GroupMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    /// `consumer`, `connect` and the like; empty for none.
    pub protocol_type: String,
    /// Number of the generation.
    pub generation: i32,
    /// The chosen protocol.
    pub protocol: Option<String>,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// When it came to its state.
    pub state_since: Timestamp,
    /// The members.
    pub members: Vec<StoredMember>,
}

/// A member as its group's record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long others wait for it to join again.
    pub rebalance_timeout: Duration,
    /// Without a sign of life for so long it is removed.
    pub session_timeout: Duration,
    /// What it says to the leader.
    pub subscription: Bytes,
    /// What the leader has given to it.
    pub assignment: Bytes,
}

/// All groups, without I/O, clock or threads: see [`step`](Self::step).
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    config: GroupConfig,
    rng: fastrand::Rng,
    groups: BTreeMap<String, Group>,
    next_write: WriteId,
    /// Nothing is due before.
    wake_at: Duration,
}

impl GroupCoordinator {
    /// A coordinator without groups. Member ids are drawn from `rng`.
    pub fn new(config: GroupConfig, rng: fastrand::Rng) -> Self {
        Self { config, rng, groups: BTreeMap::new(), next_write: 0, wake_at: Duration::MAX }
    }

    /// Takes one input and says what follows from it, in the order in which it is to be done.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Join { to, request } => self.join(now, to, request, &mut outputs),
            Input::Sync { to, request } => match self.group(now, &request.group_id.clone(), &mut outputs) {
                Some((group, mut cx)) => group.sync(&mut cx, to, request),
                None => outputs.push(Output::Synced { to, reply: Err(unknown(&request.group_id)) }),
            },
            Input::Leave { to, request } => {
                let mut reply = Vec::with_capacity(request.members.len());
                for member in request.members {
                    let outcome = match self.group(now, &request.group_id, &mut outputs) {
                        Some((group, mut cx)) => group.leave(&mut cx, &member),
                        None => Err(unknown(&request.group_id)),
                    };
                    reply.push((member, outcome));
                }
                outputs.push(Output::Left { to, reply });
            }
            Input::Written { group_id, write, is_written } => {
                if let Some((group, mut cx)) = self.group(now, &group_id, &mut outputs) {
                    group.written(&mut cx, write, is_written);
                }
            }
            Input::Tick => self.tick(now, &mut outputs),
        }
        outputs
    }

    /// Takes a member's sign of life. It never waits and nothing follows from it but the answer.
    pub fn heartbeat(
        &mut self,
        now: Now,
        group_id: &str,
        member: &MemberIdentity,
        generation: i32,
    ) -> Result<(), GroupError> {
        let mut outputs = Vec::new();
        let (group, mut cx) = self.group(now, group_id, &mut outputs).ok_or(unknown(group_id))?;
        let outcome = group.heartbeat(&mut cx, member, generation);
        debug_assert!(outputs.is_empty());
        outcome
    }

    /// Checks whether a group takes offsets from this member, in OffsetCommit or, if `is_transactional`, in
    /// TxnOffsetCommit. A negative generation and no member is an administrator or a consumer without subscription.
    pub fn check_commit(
        &mut self,
        now: Now,
        group_id: &str,
        member: &MemberIdentity,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let mut outputs = Vec::new();
        match self.group(now, group_id, &mut outputs) {
            Some((group, mut cx)) => group.check_commit(&mut cx, member, generation, is_transactional),
            None if generation < 0 => Ok(()),
            None if is_transactional => Err(GroupError::IllegalGeneration),
            None => Err(GroupError::GroupIdNotFound),
        }
    }

    /// When a [`Input::Tick`] can have something to do next, [`Duration::MAX`] for never.
    pub fn wake_at(&self) -> Duration {
        self.wake_at
    }

    /// Takes in what a group's record says, `None` for a removed group. For the start, before any step.
    pub fn load(&mut self, now: Now, group_id: &str, stored: Option<StoredGroup>) {
        self.groups.remove(group_id);
        if let Some(stored) = stored {
            let count = stored.members.len();
            self.groups.insert(group_id.to_owned(), Group::from_stored(group_id, now, stored));
            let mut outputs = Vec::new();
            if let Some((group, mut cx)) = self.group(now, group_id, &mut outputs) {
                group.settle(&mut cx, count);
            }
            self.wake_at = Duration::ZERO; // until the first tick has looked at all timers
        }
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub(crate) fn find(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    /// Forgets a group. Fails with [`GroupError::NonEmptyGroup`] while it has members.
    pub(crate) fn remove(&mut self, group_id: &str) -> Result<(), GroupError> {
        match self.groups.get(group_id) {
            None => Err(GroupError::GroupIdNotFound),
            Some(group) if group.state != GroupState::Empty || !group.is_vacant() => {
                Err(GroupError::NonEmptyGroup)
            }
            Some(_) => {
                self.groups.remove(group_id);
                Ok(())
            }
        }
    }

    fn join(&mut self, now: Now, to: RequestId, request: JoinRequest, outputs: &mut Vec<Output>) {
        let sessions = self.config.session_timeout_min..=self.config.session_timeout_max;
        let is_known = self.groups.contains_key(&request.group_id);
        let refused = if request.group_id.is_empty() {
            Some(GroupError::InvalidGroupId)
        } else if request.origin == MemberOrigin::Remote && !sessions.contains(&request.session_timeout) {
            Some(GroupError::InvalidSessionTimeout(request.session_timeout))
        } else if !is_known && !request.member_id.is_empty() {
            Some(GroupError::UnknownMemberId)
        } else {
            None
        };
        if let Some(error) = refused {
            let reply = JoinReply { member_id: request.member_id, outcome: Err(error) };
            return outputs.push(Output::Joined { to, reply });
        }
        let group_id = request.group_id.clone();
        if !is_known {
            self.groups.insert(group_id.clone(), Group::new(&group_id, now.wall));
        }
        if let Some((group, mut cx)) = self.group(now, &group_id, outputs) {
            group.join(&mut cx, to, request);
            // A join that was refused leaves nothing behind.
            if !is_known && group.generation == 0 && group.is_vacant() {
                self.groups.remove(&group_id);
            }
        }
    }

    fn tick(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if now.monotonic < self.wake_at {
            return;
        }
        let mut wake_at = Duration::MAX;
        for group in self.groups.values_mut() {
            let mut cx = Context {
                now,
                config: &self.config,
                rng: &mut self.rng,
                next_write: &mut self.next_write,
                wake_at: &mut wake_at,
                outputs,
            };
            group.tick(&mut cx);
        }
        self.wake_at = wake_at;
    }

    fn group<'a>(
        &'a mut self,
        now: Now,
        group_id: &str,
        outputs: &'a mut Vec<Output>,
    ) -> Option<(&'a mut Group, Context<'a>)> {
        let group = self.groups.get_mut(group_id)?;
        let cx = Context {
            now,
            config: &self.config,
            rng: &mut self.rng,
            next_write: &mut self.next_write,
            wake_at: &mut self.wake_at,
            outputs,
        };
        Some((group, cx))
    }
}

fn unknown(group_id: &str) -> GroupError {
    if group_id.is_empty() { GroupError::InvalidGroupId } else { GroupError::UnknownMemberId }
}
