//! `sticky`: counts as equal as can be, then as few moves as that allows. As Kafka's `AbstractStickyAssignor`.

use std::collections::BTreeMap;

use super::owned::Owned;
use super::{Assignments, Candidate, subscribed_topics};
use crate::types::TopicPartition;

/// Members and partitions by number, partitions in the order of topics and numbers.
struct Problem {
    members: Vec<String>,
    partitions: Vec<TopicPartition>,
    /// For each partition the members that subscribe to its topic.
    readers: Vec<Vec<usize>>,
    /// For each partition who had it before and still may.
    previous: Vec<Option<usize>>,
}

/// Divides the partitions, given what each member `owned` before.
pub(super) fn assign(
    partitions: &BTreeMap<String, u32>,
    members: &BTreeMap<String, Candidate>,
    owned: impl Fn(&Candidate) -> Owned,
) -> Assignments {
    let problem = Problem::new(partitions, members, owned);
    let is_uniform = problem.readers.iter().all(|readers| readers.len() == members.len());
    let holders = if is_uniform { problem.solve_uniform() } else { problem.solve_general() };
    let mut assignments: Assignments = members.keys().map(|id| (id.clone(), Vec::new())).collect();
    for (partition, holder) in problem.partitions.iter().zip(holders) {
        let id = problem.members[holder].clone();
        assignments.entry(id).or_default().push(partition.clone());
    }
    assignments
}

impl Problem {
    fn new(
        counts: &BTreeMap<String, u32>,
        members: &BTreeMap<String, Candidate>,
        owned: impl Fn(&Candidate) -> Owned,
    ) -> Self {
        let (mut partitions, mut readers) = (Vec::new(), Vec::new());
        for (topic, count) in subscribed_topics(counts, members) {
            let wants = |member: &Candidate| member.subscription.topics.iter().any(|name| **name == *topic);
            let of_topic: Vec<usize> =
                (0..).zip(members.values()).filter(|(_, member)| wants(member)).map(|(at, _)| at).collect();
            for number in 0..count {
                partitions.push(TopicPartition::new(topic.clone(), number));
                readers.push(of_topic.clone());
            }
        }
        let mut problem = Self {
            members: members.keys().cloned().collect(),
            previous: vec![None; partitions.len()],
            partitions,
            readers,
        };
        problem.take_claims(members.values().map(owned));
        problem
    }

    /// Of several members that claim a partition, the one of the latest generation had it; two of the same generation
    /// cannot both be right, so then nobody had it.
    fn take_claims(&mut self, claims: impl Iterator<Item = Owned>) {
        let mut claimed_in: Vec<Option<i32>> = vec![None; self.partitions.len()];
        for (member, (owned, generation)) in claims.enumerate() {
            for partition in owned {
                let Ok(at) = self.partitions.binary_search(&partition) else { continue };
                if claimed_in[at].is_some_and(|earlier| earlier > generation) {
                    continue;
                }
                let is_disputed = claimed_in[at] == Some(generation) && self.previous[at] != Some(member);
                claimed_in[at] = Some(generation);
                let is_reader = self.readers[at].binary_search(&member).is_ok();
                self.previous[at] = (!is_disputed && is_reader).then_some(member);
            }
        }
    }

    /// Everyone subscribes to the same topics: each member gets `total / members`, and as many as needed one more.
    fn solve_uniform(&self) -> Vec<usize> {
        let members = self.members.len();
        let (few, extra) = (self.partitions.len() / members.max(1), self.partitions.len() % members.max(1));
        let mut had = vec![0_usize; members];
        self.previous.iter().flatten().for_each(|member| had[*member] += 1);
        // Those that had more than `few` keep one more while there are any to give.
        let mut extra_left = extra;
        let quota: Vec<usize> = had
            .iter()
            .map(|had| {
                let keeps_more = *had > few && extra_left > 0;
                extra_left -= usize::from(keeps_more);
                few + usize::from(keeps_more)
            })
            .collect();
        let mut counts = vec![0_usize; members];
        let mut holders: Vec<Option<usize>> = vec![None; self.partitions.len()];
        for (holder, previous) in holders.iter_mut().zip(&self.previous) {
            if let Some(member) = previous.filter(|member| counts[*member] < quota[*member]) {
                counts[member] += 1;
                *holder = Some(member);
            }
        }
        // What is left goes round: first to those below `few`, then one more each.
        let below: Vec<usize> = (0..members).filter(|member| counts[*member] < few).collect();
        let mut turn = Turn { members: below, at: 0 };
        let mut is_extra = false;
        let mut fill = || loop {
            let limit = few + usize::from(is_extra);
            match turn.next(|member| counts[member] < limit) {
                Some(member) => {
                    counts[member] += 1;
                    return member;
                }
                None => {
                    is_extra = true;
                    turn = Turn {
                        members: (0..members).filter(|member| counts[*member] == few).collect(),
                        at: 0,
                    };
                }
            }
        };
        holders.into_iter().map(|holder| holder.unwrap_or_else(&mut fill)).collect()
    }

    /// Members subscribe to different topics: keep what can be kept, give the rest to whoever has least, then move
    /// partitions one by one while that makes two counts more equal.
    fn solve_general(&self) -> Vec<usize> {
        let mut counts = vec![0_usize; self.members.len()];
        self.previous.iter().flatten().for_each(|member| counts[*member] += 1);
        // Those with the fewest readers first, as there is the least choice.
        let mut order: Vec<usize> = (0..self.partitions.len()).collect();
        order.sort_by_key(|at| self.readers[*at].len());
        let mut holders: Vec<usize> = vec![usize::MAX; self.partitions.len()];
        for &at in &order {
            holders[at] = self.previous[at].unwrap_or(usize::MAX);
        }
        for &at in order.iter().filter(|at| self.previous[**at].is_none()) {
            let member = self.least(at, &counts);
            counts[member] += 1;
            holders[at] = member;
        }
        // Each move makes the sum of the squared counts smaller, so this ends. First without partitions that would
        // leave who had them before.
        for moves_owned in [false, true] {
            let mut has_moved = true;
            while has_moved {
                has_moved = false;
                for &at in &order {
                    let holder = holders[at];
                    if !moves_owned && self.previous[at] == Some(holder) {
                        continue;
                    }
                    let member = self.least(at, &counts);
                    if counts[holder] > counts[member] + 1 {
                        counts[holder] -= 1;
                        counts[member] += 1;
                        holders[at] = member;
                        has_moved = true;
                    }
                }
            }
        }
        holders
    }

    /// The reader of a partition with the fewest partitions.
    fn least(&self, at: usize, counts: &[usize]) -> usize {
        let readers = self.readers[at].iter().copied();
        readers.min_by_key(|member| counts[*member]).expect("only topics with subscribers are listed")
    }
}

/// Goes round members, dropping those that are full.
struct Turn {
    members: Vec<usize>,
    at: usize,
}

impl Turn {
    fn next(&mut self, has_room: impl Fn(usize) -> bool) -> Option<usize> {
        while !self.members.is_empty() {
            self.at %= self.members.len();
            let member = self.members[self.at];
            if has_room(member) {
                self.at += 1;
                return Some(member);
            }
            self.members.remove(self.at);
        }
        None
    }
}
