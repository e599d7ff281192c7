//! Who reads which partitions: Kafka's four assignors. They run at the group's leader.
//!
//! | assignor | gives | moves |
//! |---|---|---|
//! | `range` | each topic in ranges, so that equal numbers of two topics meet at one member | as it falls |
//! | `roundrobin` | all partitions of all topics in turn | as it falls |
//! | `sticky` | counts as equal as can be | as few as that allows; everyone stops for it |
//! | `cooperative-sticky` | the same | the same; only moving partitions stop, in two rebalances |

mod owned;
mod simple;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::subscription::{Subscription, put_partitions};
use crate::types::TopicPartition;

/// A strategy, `partition.assignment.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// `range`
    Range,
    /// `roundrobin`
    RoundRobin,
    /// `sticky`
    Sticky,
    /// `cooperative-sticky`
    CooperativeSticky,
}

/// The partitions of each member, by member id.
pub type Assignments = BTreeMap<String, Vec<TopicPartition>>;

/// A member to assign partitions to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What it wants and has.
    pub subscription: Subscription,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// The name under which members offer it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// From its name, or that of Kafka's class.
    pub fn from_name(name: &str) -> Option<Self> {
        let class = name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name);
        Self::ALL.into_iter().find(|assignor| {
            let class_name = match assignor {
                Self::Range => "RangeAssignor",
                Self::RoundRobin => "RoundRobinAssignor",
                Self::Sticky => "StickyAssignor",
                Self::CooperativeSticky => "CooperativeStickyAssignor",
            };
            class == assignor.name() || class == class_name
        })
    }

    /// Whether members keep their partitions while they rebalance.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// What a member that offers this assignor says besides its topics.
    pub fn user_data(self, owned: &[TopicPartition], generation: i32) -> Option<Bytes> {
        let mut out = Vec::new();
        match self {
            Self::Range | Self::RoundRobin => return None,
            Self::Sticky if owned.is_empty() => return None,
            Self::Sticky => put_partitions(&mut out, owned),
            Self::CooperativeSticky => {}
        }
        out.put_i32(generation);
        Some(out.into())
    }

    /// Divides the partitions of all topics that members subscribe to; `partitions` has their counts, and topics
    /// missing there are skipped. Every partition goes to one subscribed member, except that `cooperative-sticky`
    /// holds back partitions which their owners have to give up first. A function of its arguments alone.
    pub fn assign(
        self,
        partitions: &BTreeMap<String, u32>,
        members: &BTreeMap<String, Candidate>,
    ) -> Assignments {
        match self {
            Self::Range => simple::range(partitions, members),
            Self::RoundRobin => simple::round_robin(partitions, members),
            Self::Sticky => sticky::assign(partitions, members, owned::of_sticky),
            Self::CooperativeSticky => {
                let mut assignments = sticky::assign(partitions, members, owned::of_cooperative);
                if !planted!("double_owner") {
                    withhold_moving(&mut assignments, members);
                }
                assignments
            }
        }
    }
}

/// Takes out what a member is to get while another still reads it.
fn withhold_moving(assignments: &mut Assignments, members: &BTreeMap<String, Candidate>) {
    let mut owners: BTreeMap<&TopicPartition, BTreeSet<&str>> = BTreeMap::new();
    for (id, member) in members {
        member.subscription.owned.iter().for_each(|partition| {
            owners.entry(partition).or_default().insert(id);
        });
    }
    for (id, partitions) in assignments {
        partitions.retain(|partition| {
            owners.get(partition).is_none_or(|owners| owners.iter().all(|owner| owner == id))
        });
    }
}

/// Members in the order in which Kafka's `range` and `roundrobin` go through them: static ones by instance id, then
/// the others by member id.
fn in_order(members: &BTreeMap<String, Candidate>) -> Vec<(&str, &Candidate)> {
    let mut ordered: Vec<_> = members.iter().map(|(id, member)| (id.as_str(), member)).collect();
    ordered.sort_by_key(|(id, member)| {
        let instance = member.instance_id.as_deref();
        (instance.is_none(), instance.unwrap_or(id))
    });
    ordered
}

/// Topics that somebody subscribes to and that exist, with their partition counts.
fn subscribed_topics(
    partitions: &BTreeMap<String, u32>,
    members: &BTreeMap<String, Candidate>,
) -> BTreeMap<Arc<str>, u32> {
    let wanted: BTreeSet<&String> = members.values().flat_map(|member| &member.subscription.topics).collect();
    wanted.into_iter().filter_map(|topic| Some((topic.as_str().into(), *partitions.get(topic)?))).collect()
}
