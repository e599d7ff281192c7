//! Consumer groups: who reads which partitions, and how far a group has come.
//!
//! ```text
//! join ─▶ PreparingRebalance ─ all joined ─▶ CompletingRebalance ─ leader's sync ─▶ Stable
//!               ▲    │ last one left                  │                              │
//!               │    ▼                                │ member leaves, joins anew, or expires
//!               │  Empty                              │                              │
//!               └────┴────────────────────────────────┴──────────────────────────────┘
//! ```
//! [`GroupCoordinator`] is a state machine without I/O, clock or threads: requests and the time go in, replies, records
//! to write and wake-ups come out. It speaks Kafka's classic protocol; what members tell each other
//! ([`Subscription`], [`Assignment`]) are opaque bytes to it. The [`Assignor`]s run at the group's leader.
//!
//! Reading order: [`protocol`] what is asked and answered, `membership` one group, `coordinator` all of them,
//! [`subscription`] what members tell each other, [`assignor`] who gets what, `member` a place for
//! those who divide their work otherwise.

mod admin;
pub mod assignor;
mod coordinator;
#[cfg(test)]
mod exploration;
mod member;
mod membership;
mod offsets;
pub mod protocol;
mod record;
mod reset;
mod service;
pub mod subscription;
#[cfg(test)]
mod tests;

pub use admin::{GroupDescription, GroupListing, MemberDescription, PartitionLag, ResetScope};
pub use assignor::Assignor;
pub(crate) use coordinator::IN_PROCESS_HOST;
pub use coordinator::{GroupConfig, GroupCoordinator};
pub use member::{GroupMember, GroupProtocol, MemberEvent};
pub use membership::GroupState;
pub use offsets::{Committed, OffsetCommit};
pub(crate) use offsets::{GroupOffsets, OffsetRecord};
pub use protocol::{GroupError, Input, Now, Output};
pub(crate) use record::GroupRecord;
pub use reset::{PartitionFacts, ResetMode, ResetPlan, ResetRefusal, ResetRow, ResetWarning};
pub use service::GroupMetadata;
pub(crate) use service::{Coordination, Reply, Respond};
pub use subscription::{Assignment, Subscription};
