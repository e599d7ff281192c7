//! Nodes whose rows may be taken together: which they are, and whether anything else would see it.

use std::collections::BTreeSet;

use crate::error::StreamsError;
use crate::topology::{NodeRole, SinkTopic, Topology};

impl Topology {
    /// Both nodes are processors with the same stores and children.
    pub(super) fn check_pair(&self, pair: [usize; 2]) -> Result<(), StreamsError> {
        let [left, right] = pair.map(|node| &self.nodes[node]);
        match (&left.role, &right.role) {
            (NodeRole::Processor { stores: a, .. }, NodeRole::Processor { stores: b, .. })
                if sorted(a.iter().map(|store| store.0)) == sorted(b.iter().map(|store| store.0))
                    && sorted(left.children.iter().copied()) == sorted(right.children.iter().copied()) =>
            {
                Ok(())
            }
            _ => Err(StreamsError::Topology(format!(
                "the nodes {} and {} are no pair: give two processors the same stores and children",
                left.name, right.name
            ))),
        }
    }

    /// The source of a node and the nodes between, if there is one way only to come there.
    pub(crate) fn way_to(&self, node: usize) -> Option<(usize, Vec<usize>)> {
        let mut between = Vec::new();
        let mut at = node;
        loop {
            let [parent] = self.nodes[at].parents.as_slice() else { return None };
            match self.nodes[*parent].role {
                NodeRole::Source { .. } => return Some((*parent, between)),
                NodeRole::Processor { .. } | NodeRole::Sink { .. } => between.push(*parent),
            }
            at = *parent;
        }
    }

    /// Whether rows of two sources meet in this pair of nodes and below it, and nowhere else: in no other node, store or
    /// topic. Then nothing but the pair sees in which order rows of the two come.
    pub(crate) fn meet_only_in(&self, pair: [usize; 2], sources: [usize; 2]) -> bool {
        let below = self.below(&self.nodes[pair[0]].children);
        let [left, right] = sources.map(|source| &self.below(&[source]) - &below);
        if !left.is_disjoint(&right) {
            return false;
        }
        let of_pair = BTreeSet::from(pair);
        let (left, right) = (&left - &of_pair, &right - &of_pair);
        let mut seen = [&left, &right, &below, &of_pair].map(|nodes| self.used_by(nodes));
        if seen.iter().any(Option::is_none) {
            return false;
        }
        let used: usize = seen.iter().flatten().map(BTreeSet::len).sum();
        let all: BTreeSet<_> = seen.iter_mut().flat_map(Option::take).flatten().collect();
        all.len() == used
    }

    /// These nodes and all below them.
    fn below(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(&self.nodes[node].children);
            }
        }
        found
    }

    /// The stores and topics of nodes; none if topics are not known.
    fn used_by(&self, nodes: &BTreeSet<usize>) -> Option<BTreeSet<Used<'_>>> {
        let mut used = BTreeSet::new();
        for node in nodes {
            match &self.nodes[*node].role {
                NodeRole::Source { .. } => {}
                NodeRole::Processor { stores, .. } => {
                    used.extend(stores.iter().map(|store| Used::Store(store.0)));
                }
                NodeRole::Sink { topic: SinkTopic::Fixed(topic), .. } => {
                    used.insert(Used::Topic(topic));
                }
                NodeRole::Sink { topic: SinkTopic::Dynamic(_), .. } => return None,
            }
        }
        Some(used)
    }
}

/// What rows can meet in beside nodes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Used<'a> {
    Store(usize),
    Topic(&'a super::TopicName),
}

fn sorted(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers
}
