//! What members ask a coordinator and what it answers: Kafka's JoinGroup, SyncGroup, Heartbeat and LeaveGroup, typed.

use std::time::Duration;

use bytes::Bytes;

use super::coordinator::StoredGroup;
use crate::types::Timestamp;

/// The time of a step, which the caller reads from its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since an arbitrary start; timers run on it.
    pub monotonic: Duration,
    /// Wall-clock time, stored with the group's state.
    pub wall: Timestamp,
}

/// Number that the caller gives to a request; the reply carries it.
pub type RequestId = u64;
/// Number that the coordinator gives to a record to write; the outcome carries it.
pub type WriteId = u64;

/// Why a group refuses a request. Names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupError {
    /// `COORDINATOR_NOT_AVAILABLE`: the group's state could not be stored; ask again.
    CoordinatorNotAvailable,
    /// `ILLEGAL_GENERATION`: the group has rebalanced since; join again.
    IllegalGeneration,
    /// `INCONSISTENT_GROUP_PROTOCOL`: no protocol in common with the group.
    InconsistentGroupProtocol,
    /// `INVALID_GROUP_ID`: an empty name.
    InvalidGroupId,
    /// `UNKNOWN_MEMBER_ID`: not, or not any more, a member; join with an empty member id.
    UnknownMemberId,
    /// `INVALID_SESSION_TIMEOUT`: this is outside `group.min.session.timeout.ms` to `group.max.session.timeout.ms`.
    InvalidSessionTimeout(Duration),
    /// `REBALANCE_IN_PROGRESS`: join again.
    RebalanceInProgress,
    /// `NON_EMPTY_GROUP`: it has members.
    NonEmptyGroup,
    /// `GROUP_ID_NOT_FOUND`: there is no such group.
    GroupIdNotFound,
    /// `MEMBER_ID_REQUIRED`: join again with the member id of the reply.
    MemberIdRequired,
    /// `GROUP_MAX_SIZE_REACHED`: it has `group.max.size` members.
    GroupMaxSizeReached,
    /// `FENCED_INSTANCE_ID`: another member has taken over this `group.instance.id`.
    FencedInstanceId,
}

/// Where a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberOrigin {
    /// In the process of the log: it dies with it, and its session may have any length.
    InProcess,
    /// Behind a connection.
    Remote,
}

/// A way of dividing the work that a member offers, with what it says to the leader in that case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Name, for consumers that of an assignor.
    pub name: String,
    /// For consumers a [`Subscription`](super::Subscription).
    pub metadata: Bytes,
}

/// JoinGroup: become a member, or stay one in the next generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The group.
    pub group_id: String,
    /// Empty for a newcomer.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Address, with Kafka's leading slash.
    pub client_host: String,
    /// Where it runs.
    pub origin: MemberOrigin,
    /// Without a sign of life for so long it is removed.
    pub session_timeout: Duration,
    /// How long others wait for it to join again.
    pub rebalance_timeout: Duration,
    /// `consumer`, `connect` and the like.
    pub protocol_type: String,
    /// What it offers, best first.
    pub protocols: Vec<Protocol>,
    /// Whether a newcomer is told its id first and joins with that (version 4 and later).
    pub requires_known_member_id: bool,
    /// Whether it understands [`Joined::skip_assignment`] (version 9 and later).
    pub supports_skipping_assignment: bool,
}

/// The answer to a [`JoinRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// The member's id, also with [`GroupError::MemberIdRequired`].
    pub member_id: String,
    /// The generation it is a member of.
    pub outcome: Result<Joined, GroupError>,
}

/// A generation as a member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub generation: i32,
    /// `consumer`, `connect` and the like.
    pub protocol_type: String,
    /// The chosen protocol.
    pub protocol_name: String,
    /// Member id of the leader, which assigns.
    pub leader: String,
    /// Whether the leader leaves the assignment as it is: it is static, has come back, and nothing has changed.
    pub skip_assignment: bool,
    /// For the leader all members, for others empty.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What it says, in the chosen protocol.
    pub metadata: Bytes,
}

/// Who speaks: SyncGroup, Heartbeat, OffsetCommit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberIdentity {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

/// SyncGroup: hand in the assignments, as the leader, and learn one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member: MemberIdentity,
    /// The generation it has joined.
    pub generation: i32,
    /// What it takes the protocol type to be (version 5 and later).
    pub protocol_type: Option<String>,
    /// What it takes the protocol to be (version 5 and later).
    pub protocol_name: Option<String>,
    /// From the leader: assignments by member id.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to a [`SyncRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// `consumer`, `connect` and the like.
    pub protocol_type: String,
    /// The chosen protocol.
    pub protocol_name: String,
    /// For consumers an [`Assignment`](super::Assignment); empty for nothing.
    pub assignment: Bytes,
}

/// LeaveGroup: members go, or are removed by an administrator, who names static ones by instance id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveRequest {
    /// The group.
    pub group_id: String,
    /// Who goes.
    pub members: Vec<MemberIdentity>,
}

/// What happened to each member of a [`LeaveRequest`], in its order.
pub type LeaveReply = Vec<(MemberIdentity, Result<(), GroupError>)>;

/// One input of the coordinator.
#[derive(Clone, Debug)]
pub enum Input {
    /// A member joins.
    Join {
        /// Number for the reply.
        to: RequestId,
        /// What it asks.
        request: JoinRequest,
    },
    /// A member syncs.
    Sync {
        /// Number for the reply.
        to: RequestId,
        /// What it asks.
        request: SyncRequest,
    },
    /// Members leave.
    Leave {
        /// Number for the reply.
        to: RequestId,
        /// What is asked.
        request: LeaveRequest,
    },
    /// A record was written, or could not be.
    Written {
        /// Its group.
        group_id: String,
        /// Its number.
        write: WriteId,
        /// Whether it is as durable as configured.
        is_written: bool,
    },
    /// Time has passed.
    Tick,
}

/// One output of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The answer to a join.
    Joined {
        /// Number of the request.
        to: RequestId,
        /// The answer.
        reply: JoinReply,
    },
    /// The answer to a sync.
    Synced {
        /// Number of the request.
        to: RequestId,
        /// The answer.
        reply: Result<Synced, GroupError>,
    },
    /// The answer to a leave.
    Left {
        /// Number of the request.
        to: RequestId,
        /// The answer.
        reply: LeaveReply,
    },
    /// A record to write, in the order of these outputs. Its outcome goes back as [`Input::Written`], and what depends
    /// on it is said only then.
    Write {
        /// Its group.
        group_id: String,
        /// Its number.
        write: WriteId,
        /// What it says.
        stored: StoredGroup,
    },
    /// A rebalance has begun: members in this process should look.
    Rebalancing {
        /// The group.
        group_id: String,
    },
}
