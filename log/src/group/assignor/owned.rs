//! What a member owned before, as the two sticky assignors are told.

use bytes::Buf;

use super::Candidate;
use crate::group::subscription::get_partitions;
use crate::types::TopicPartition;

/// Partitions, and the generation in which they were assigned.
pub(super) type Owned = (Vec<TopicPartition>, i32);

/// `sticky` members have given everything up before they join, and say in the user data what it was:
/// `[topic string, [i32]]`, and from Kafka 2.3 on `generation i32`.
pub(super) fn of_sticky(member: &Candidate) -> Owned {
    let read = || {
        let mut data = member.subscription.user_data.as_deref()?;
        let partitions = get_partitions(&mut data)?;
        Some((partitions, data.try_get_i32().unwrap_or(-1)))
    };
    read().unwrap_or((Vec::new(), -1))
}

/// `cooperative-sticky` members list what they still read. The generation is a field of its own since version 2; before
/// it is the user data.
pub(super) fn of_cooperative(member: &Candidate) -> Owned {
    let subscription = &member.subscription;
    let from_user_data = || subscription.user_data.as_deref().and_then(|mut data| data.try_get_i32().ok());
    let generation = subscription.generation.or_else(from_user_data).unwrap_or(-1);
    (subscription.owned.clone(), generation)
}
