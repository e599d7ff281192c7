//! The coordinator in service: who waits for which answer, and whom a rebalance wakes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::{GroupConfig, GroupCoordinator};
use super::protocol::{GroupError, JoinReply, RequestId, Synced};
use crate::error::LogError;
use crate::mutex::Mutex;
use crate::signal::{Signal, Watchers};

/// An answer that may come later.
#[derive(Debug)]
pub(crate) enum Reply {
    Joined(JoinReply),
    Synced(Result<Synced, GroupError>),
}

/// Takes the answer to one request, on whatever thread it becomes known; it must not block.
pub(crate) type Respond = Box<dyn FnOnce(Reply) + Send>;

/// Who is a member of a group, and of which generation: what a consumer hands to a transactional producer along with
/// its offsets, so that offsets of a member that was replaced are refused. Kafka's `ConsumerGroupMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `group.id`
    pub group_id: String,
    /// The generation, -1 without one: the group then takes offsets only while it has no members.
    pub generation: i32,
    /// The member's id, empty without one.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
}

impl GroupMetadata {
    /// Of nobody in particular: an administrator, or a consumer with partitions of its own choice.
    pub fn new(group_id: impl Into<String>) -> Self {
        Self { group_id: group_id.into(), generation: -1, member_id: String::new(), instance_id: None }
    }
}

/// The coordinator and those that wait for it. Its lock comes before those of partitions and offsets, and is not held
/// while anything is synced.
#[derive(Debug)]
pub(crate) struct Coordination {
    pub(crate) state: Mutex<Service>,
}

pub(crate) struct Service {
    pub(crate) coordinator: GroupCoordinator,
    parked: BTreeMap<RequestId, Respond>,
    next_request: RequestId,
    watchers: BTreeMap<String, Watchers>,
    /// When offsets that are too old were removed last.
    pub(crate) expired_at: Option<Duration>,
}

impl Coordination {
    pub(crate) fn new(config: GroupConfig, rng: fastrand::Rng) -> Self {
        Self {
            state: Mutex::new(Service {
                coordinator: GroupCoordinator::new(config, rng),
                parked: BTreeMap::new(),
                next_request: 0,
                watchers: BTreeMap::new(),
                expired_at: None,
            }),
        }
    }
}

impl Service {
    /// Parks a request whose answer goes to `respond`.
    pub(crate) fn park(&mut self, respond: Respond) -> RequestId {
        self.next_request += 1;
        self.parked.insert(self.next_request, respond);
        self.next_request
    }

    pub(crate) fn number(&mut self) -> RequestId {
        self.next_request += 1;
        self.next_request
    }

    pub(crate) fn unpark(&mut self, request: RequestId) -> Option<Respond> {
        self.parked.remove(&request)
    }

    /// Raises `signal` when the group rebalances, until it is dropped or [`Self::unwatch`] is called.
    pub(crate) fn watch(&mut self, group: &str, signal: &Arc<Signal>) {
        self.watchers.entry(group.to_owned()).or_default().add(signal);
    }

    pub(crate) fn unwatch(&mut self, group: &str, signal: &Arc<Signal>) {
        if let Some(watchers) = self.watchers.get(group) {
            watchers.remove(signal);
            if watchers.is_empty() {
                self.watchers.remove(group);
            }
        }
    }

    pub(crate) fn raise(&self, group: &str) {
        if let Some(watchers) = self.watchers.get(group) {
            watchers.raise();
        }
    }

    /// A refusal with what it is about.
    pub(crate) fn explain(&self, error: GroupError, who: &GroupMetadata, config: &GroupConfig) -> LogError {
        let group = who.group_id.clone();
        let known = self.coordinator.find(&group);
        let members = known.map_or(0, |group| group.members.len());
        match error {
            GroupError::CoordinatorNotAvailable => LogError::CoordinatorNotAvailable { group },
            GroupError::IllegalGeneration => LogError::IllegalGeneration {
                group,
                generation: who.generation,
                current: known.map_or(-1, |group| group.generation),
            },
            GroupError::InconsistentGroupProtocol => {
                let reason =
                    "its partition.assignment.strategy has nothing in common with that of its members";
                LogError::InconsistentGroupProtocol { group, reason: reason.to_owned() }
            }
            GroupError::InvalidGroupId => {
                LogError::InvalidGroupId { group, reason: "it takes 1 to 32767 bytes: set group.id" }
            }
            GroupError::UnknownMemberId => LogError::UnknownMemberId { group, member: who.member_id.clone() },
            GroupError::InvalidSessionTimeout(timeout) => LogError::InvalidSessionTimeout {
                group,
                timeout,
                timeout_min: config.session_timeout_min,
                timeout_max: config.session_timeout_max,
            },
            GroupError::RebalanceInProgress => LogError::RebalanceInProgress { group },
            GroupError::NonEmptyGroup => LogError::NonEmptyGroup { group, members },
            GroupError::GroupIdNotFound => {
                let names = self.coordinator.groups().map(|group| group.id.as_str());
                let nearest = crate::error::nearest(&group, names);
                LogError::GroupIdNotFound { group, nearest }
            }
            GroupError::MemberIdRequired => {
                LogError::MemberIdRequired { group, member: who.member_id.clone() }
            }
            GroupError::GroupMaxSizeReached => {
                LogError::GroupMaxSizeReached { group, size_max: config.max_size }
            }
            GroupError::FencedInstanceId => {
                LogError::FencedInstanceId { group, instance: who.instance_id.clone().unwrap_or_default() }
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("coordinator", &self.coordinator).finish_non_exhaustive()
    }
}
