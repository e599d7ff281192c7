//! `range` and `roundrobin`: by count alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignments, Candidate, in_order, subscribed_topics};
use crate::types::TopicPartition;

/// Topic by topic: consecutive partitions to the subscribed members in turn, the first ones getting one more where it
/// does not come out even. Where members run is not looked at: one log has one place.
pub(super) fn range(
    partitions: &BTreeMap<String, u32>,
    members: &BTreeMap<String, Candidate>,
) -> Assignments {
    let mut assignments: Assignments = members.keys().map(|id| (id.clone(), Vec::new())).collect();
    let ordered = in_order(members);
    for (topic, count) in subscribed_topics(partitions, members) {
        let readers: Vec<&str> = ordered
            .iter()
            .filter(|(_, member)| member.subscription.topics.iter().any(|wanted| **wanted == *topic))
            .map(|(id, _)| *id)
            .collect();
        let (each, more) = (count / readers.len() as u32, count % readers.len() as u32);
        let mut next = 0;
        for (at, id) in (0..).zip(readers) {
            let end = next + each + u32::from(at < more);
            let chunk = (next..end).map(|number| TopicPartition::new(topic.clone(), number));
            assignments.entry(id.to_owned()).or_default().extend(chunk);
            next = end;
        }
    }
    assignments
}

/// All partitions in turn, going on with the next member that subscribes to the topic.
pub(super) fn round_robin(
    partitions: &BTreeMap<String, u32>,
    members: &BTreeMap<String, Candidate>,
) -> Assignments {
    let mut assignments: Assignments = members.keys().map(|id| (id.clone(), Vec::new())).collect();
    let ordered: Vec<(&str, BTreeSet<&str>)> = in_order(members)
        .into_iter()
        .map(|(id, member)| (id, member.subscription.topics.iter().map(String::as_str).collect()))
        .collect();
    let mut turn = 0;
    for (topic, count) in subscribed_topics(partitions, members) {
        for number in 0..count {
            // Somebody subscribes to each of these topics, so the search ends.
            while !ordered[turn % ordered.len()].1.contains(&*topic) {
                turn += 1;
            }
            let (id, _) = ordered[turn % ordered.len()];
            assignments.entry(id.to_owned()).or_default().push(TopicPartition::new(topic.clone(), number));
            turn += 1;
        }
    }
    assignments
}
