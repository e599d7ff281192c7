//! What can be saved in a topology once all of it is known, as Kafka's optimizer does (`topology.optimization`).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use crate::store::StoreHandle;
use crate::topology::builder::{Draft, TopologyBuilder};
use crate::topology::{NodeRole, ProcessorSupplier};

/// What is saved: `topology.optimization`. Turning one on changes internal topics, so an application that has run needs a
/// reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Optimization {
    /// `reuse.ktable.source.topics`: a table that is kept as its topic has it takes that as its changelog.
    pub reuse_source_topics: bool,
    /// `merge.repartition.topics`: a stream that gets new keys is written once, however many operators need its rows
    /// where their keys belong.
    pub merge_repartition_topics: bool,
    /// `single.store.self.join`: a stream that is joined with itself is kept once.
    pub single_store_self_join: bool,
}

impl Optimization {
    /// Nothing is saved: `none`.
    pub const NONE: Self =
        Self { reuse_source_topics: false, merge_repartition_topics: false, single_store_self_join: false };
    /// `all`.
    pub const ALL: Self =
        Self { reuse_source_topics: true, merge_repartition_topics: true, single_store_self_join: true };
}

impl FromStr for Optimization {
    /// What is taken.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const KNOWN: &str = "it takes none, all, or a list of reuse.ktable.source.topics, \
                             merge.repartition.topics and single.store.self.join";
        match text.trim() {
            "none" => return Ok(Self::NONE),
            "all" => return Ok(Self::ALL),
            _ => {}
        }
        let mut chosen = Self::NONE;
        for name in text.split(',').map(str::trim) {
            match name {
                "reuse.ktable.source.topics" => chosen.reuse_source_topics = true,
                "merge.repartition.topics" => chosen.merge_repartition_topics = true,
                "single.store.self.join" => chosen.single_store_self_join = true,
                _ => return Err(KNOWN),
            }
        }
        Ok(chosen)
    }
}

/// What a node does to the rows that pass, as far as a repartition step can be moved past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Rows come out as they went in, or not at all.
    Unchanged,
    /// Keys are others.
    Rekeyed,
}

/// A repartition step that may be moved: its nodes.
#[derive(Clone, Debug)]
pub(crate) struct MovableStep {
    pub(crate) filter: String,
    pub(crate) sink: String,
    pub(crate) source: String,
}

/// A join that needs one store only if both its sides turn out to be one stream: its nodes and stores.
pub(crate) struct SelfJoinStep {
    pub(crate) left: String,
    pub(crate) right: String,
    /// Where the results of both come together, which the joining node stands for then.
    pub(crate) merge: String,
    /// Of the joining node.
    pub(crate) supplier: ProcessorSupplier,
    /// The store that it needs, and those that it does not.
    pub(crate) rows: StoreHandle,
    pub(crate) unused: Vec<StoreHandle>,
}

/// A step with the nodes between it and the one that gives new keys, the lowest first.
type Movable<'a> = (&'a MovableStep, Vec<String>);

impl TopologyBuilder {
    /// Puts the first of several repartition steps below a node that gives rows new keys right behind that node, in
    /// place of all of them. What lay between follows it; it must leave rows as they are.
    pub(crate) fn merge_repartitions(&mut self, steps: &[MovableStep], passing: &BTreeMap<String, Passing>) {
        let mut groups: Vec<(String, Vec<Movable<'_>>)> = Vec::new();
        for step in steps {
            let Some((rekeyed, between)) = self.way_up(&step.filter, passing) else { continue };
            match groups.iter_mut().find(|(node, _)| *node == rekeyed) {
                Some((_, steps)) => steps.push((step, between)),
                None => groups.push((rekeyed, vec![(step, between)])),
            }
        }
        for (rekeyed, steps) in groups.iter().filter(|(_, steps)| steps.len() > 1) {
            let first = steps[0].0;
            // What followed a step goes on where the rows of the step came from.
            let mut replaced = BTreeMap::new();
            let mut gone = BTreeSet::new();
            for (number, (step, between)) in steps.iter().enumerate() {
                let above = between.first().unwrap_or(&first.source);
                replaced.insert(step.source.clone(), above.clone());
                if number > 0 {
                    gone.extend([step.filter.as_str(), step.sink.as_str(), step.source.as_str()]);
                }
            }
            self.nodes.retain(|node| !gone.contains(&*node.name));
            self.repartitions.retain(|repartition| !gone.contains(repartition.sink.as_str()));
            for name in self.nodes.iter_mut().flat_map(|node| &mut node.parents) {
                if let Some(above) = replaced.get(name) {
                    name.clone_from(above);
                }
            }
            for name in self.copartitioned.iter_mut().flatten() {
                if let Some(above) = replaced.get(name) {
                    name.clone_from(above);
                }
            }
            for top in steps.iter().filter_map(|(_, between)| between.last()) {
                for name in self.parents_of(top).into_iter().flatten().filter(|name| *name == rekeyed) {
                    name.clone_from(&first.source);
                }
            }
            for name in self.parents_of(&first.filter).into_iter().flatten() {
                name.clone_from(rekeyed);
            }
        }
    }

    /// Puts one node that joins a stream with itself in the place of each join whose sides follow the same node.
    pub(crate) fn join_with_themselves(&mut self, steps: Vec<SelfJoinStep>) {
        for step in steps {
            let parents = self.parents(&step.left).to_vec();
            if parents != self.parents(&step.right) {
                continue;
            }
            self.nodes.retain(|node| *node.name != *step.left && *node.name != *step.right);
            self.pairs.retain(|[left, _]| *left != step.left);
            for node in self.nodes.iter_mut().filter(|node| *node.name == *step.merge) {
                node.parents.clone_from(&parents);
                node.role =
                    NodeRole::Processor { supplier: Arc::clone(&step.supplier), stores: vec![step.rows] };
            }
            self.unused.extend(step.unused);
        }
    }

    fn parents_of(&mut self, node: &str) -> Option<&mut Vec<String>> {
        self.nodes.iter_mut().find(|known| *known.name == *node).map(|node| &mut node.parents)
    }

    /// The node above that gives new keys, with the nodes between, the lowest first. None if one of these does more
    /// than to pass rows on.
    fn way_up(&self, from: &str, passing: &BTreeMap<String, Passing>) -> Option<(String, Vec<String>)> {
        let mut between = Vec::new();
        let mut node = from;
        loop {
            let draft: &Draft = self.nodes.iter().find(|known| *known.name == *node)?;
            let [parent] = draft.parents.as_slice() else { return None };
            match passing.get(parent)? {
                Passing::Rekeyed => return Some((parent.clone(), between)),
                Passing::Unchanged => between.push(parent.clone()),
            }
            node = parent;
        }
    }
}
