//! Who runs which tasks: a function of what the members of an application's group say. It runs at the group's leader.
//!
//! 1. Tasks stay where they are, as far as threads have equal numbers of them; the others go where their state is.
//! 2. A task whose state is not there yet stays with one that has it, and is warmed up at its place to be
//!    (as Kafka's high-availability assignor, KIP-441).
//! 3. Standbys go to other instances, where their state is or where there are fewest.
//! 4. A task that moves is given to nobody until its owner has committed and given it up: two rebalances, and the tasks
//!    that stay never stop.

use std::collections::{BTreeMap, BTreeSet};

use crate::processor::TaskId;

/// What one member, a stream thread, says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberState {
    /// The instance that the thread belongs to. Its threads share their state.
    pub(crate) instance: u64,
    /// The tasks that it runs.
    pub(crate) owned: BTreeSet<TaskId>,
    /// How many changelog records each stateful task would have to read at this instance. Absent for those that were
    /// never here.
    pub(crate) lags: BTreeMap<TaskId, u64>,
}

/// What the members are to share.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The tasks, and whether they have state.
    pub(crate) tasks: BTreeMap<TaskId, bool>,
    /// By member id.
    pub(crate) members: BTreeMap<String, MemberState>,
    /// `num.standby.replicas`.
    pub(crate) standbys: usize,
    /// `acceptable.recovery.lag`.
    pub(crate) acceptable_lag: u64,
    /// `max.warmup.replicas`.
    pub(crate) warmups_max: usize,
}

/// What one member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Tasks to run.
    pub(crate) active: BTreeSet<TaskId>,
    /// Tasks to keep a copy of the state of.
    pub(crate) standby: BTreeSet<TaskId>,
    /// Tasks to bring the state of here, because they are to run here.
    pub(crate) warmup: BTreeSet<TaskId>,
}

pub(crate) type Shares = BTreeMap<String, Share>;

impl Problem {
    /// The shares of all members.
    pub(crate) fn assign(&self) -> Shares {
        let mut shares: Shares = self.members.keys().map(|id| (id.clone(), Share::default())).collect();
        if shares.is_empty() {
            return shares;
        }
        self.balance(&mut shares);
        self.warm_up(&mut shares);
        self.add_standbys(&mut shares);
        self.withhold(&mut shares);
        shares
    }

    fn balance(&self, shares: &mut Shares) {
        let floor = self.tasks.len() / shares.len();
        let mut extra = self.tasks.len() % shares.len();
        let mut open: BTreeSet<TaskId> = self.tasks.keys().copied().collect();
        for more in [0, 1] {
            for (id, share) in shares.iter_mut() {
                // Of all sub-topologies alike, or those with the state would all go elsewhere.
                let mut owned: Vec<&TaskId> = self.members[id].owned.iter().collect();
                owned.sort_by_key(|task| (task.partition, task.sub_topology));
                for task in owned {
                    let room =
                        share.active.len() < floor || more == 1 && extra > 0 && share.active.len() == floor;
                    if room && open.remove(task) {
                        extra -= usize::from(share.active.len() == floor);
                        share.active.insert(*task);
                    }
                }
            }
        }
        // Those with state first, while there is a choice.
        let mut rest: Vec<TaskId> = open.into_iter().collect();
        rest.sort_by_key(|task| (!self.is_stateful(*task), *task));
        for task in rest {
            let level =
                if shares.values().any(|share| share.active.len() < floor) { floor } else { floor + 1 };
            let eligible = shares.iter().filter(|(_, share)| share.active.len() < level);
            let best = eligible.min_by_key(|(id, share)| {
                let has_state = self.has_state(id, task);
                let lag = if has_state { 0 } else { self.lag(id, task).unwrap_or(u64::MAX) };
                (!has_state, lag, share.active.len(), (*id).clone())
            });
            let best = best
                .map(|(id, _)| id.clone())
                .expect("there is room for all tasks at the floor and one above");
            shares.entry(best).or_default().active.insert(task);
        }
    }

    /// Leaves tasks with those that have their state, and lets the new owners get it first.
    fn warm_up(&self, shares: &mut Shares) {
        let mut warmups = 0;
        let given: Vec<(String, TaskId)> = shares
            .iter()
            .flat_map(|(id, share)| share.active.iter().map(|task| (id.clone(), *task)))
            .collect();
        for (id, task) in given {
            if !self.is_stateful(task) || self.has_state(&id, task) {
                continue;
            }
            let able = shares.iter().filter(|(other, _)| self.has_state(other, task));
            let best = able.min_by_key(|(other, share)| {
                (!self.members[*other].owned.contains(&task), share.active.len(), (*other).clone())
            });
            let Some(best) = best.map(|(other, _)| other.clone()) else { continue };
            shares.entry(id.clone()).or_default().active.remove(&task);
            shares.entry(best).or_default().active.insert(task);
            if warmups < self.warmups_max {
                warmups += 1;
                shares.entry(id).or_default().warmup.insert(task);
            }
        }
    }

    fn add_standbys(&self, shares: &mut Shares) {
        let stateful = self.tasks.iter().filter(|(_, stateful)| **stateful).map(|(task, _)| *task);
        for task in stateful {
            let mut taken: BTreeSet<u64> = shares
                .iter()
                .filter(|(_, share)| share.active.contains(&task) || share.warmup.contains(&task))
                .map(|(id, _)| self.members[id].instance)
                .collect();
            for _ in 0..self.standbys {
                let free = shares.iter().filter(|(id, _)| !taken.contains(&self.members[*id].instance));
                let best = free.min_by_key(|(id, share)| {
                    let has_state = self.has_state(id, task);
                    let load = share.standby.len() + share.warmup.len();
                    (!has_state, load, share.active.len(), (*id).clone())
                });
                let Some(best) = best.map(|(id, _)| id.clone()) else { break };
                taken.insert(self.members[&best].instance);
                shares.entry(best).or_default().standby.insert(task);
            }
        }
    }

    /// Takes out what a member is to run while another still runs it.
    fn withhold(&self, shares: &mut Shares) {
        for (id, share) in shares {
            share.active.retain(|task| {
                self.members.iter().all(|(other, member)| other == id || !member.owned.contains(task))
            });
        }
    }

    fn is_stateful(&self, task: TaskId) -> bool {
        self.tasks.get(&task).copied().unwrap_or(false)
    }

    fn lag(&self, member: &str, task: TaskId) -> Option<u64> {
        self.members[member].lags.get(&task).copied()
    }

    /// Whether the member's instance can go on with a task at once, or soon enough.
    fn has_state(&self, member: &str, task: TaskId) -> bool {
        !self.is_stateful(task)
            || self.members[member].owned.contains(&task)
            || self.lag(member, task).is_some_and(|lag| lag <= self.acceptable_lag)
    }
}

#[cfg(test)]
mod tests {
    use millstream_log::PartitionId;
    use proptest::prelude::*;

    use super::*;

    fn task(sub_topology: u32, partition: u32) -> TaskId {
        TaskId { sub_topology, partition: PartitionId::new(partition) }
    }

    fn problem(tasks: u32, members: &[(&str, u64)]) -> Problem {
        let tasks: BTreeMap<TaskId, bool> = (0..tasks).map(|partition| (task(0, partition), true)).collect();
        let member = |instance: &u64| MemberState {
            instance: *instance,
            owned: BTreeSet::new(),
            lags: tasks.keys().map(|task| (*task, 0)).collect(),
        };
        let members = members.iter().map(|(id, instance)| ((*id).to_owned(), member(instance))).collect();
        Problem { tasks, members, standbys: 0, acceptable_lag: 100, warmups_max: 2 }
    }

    #[test]
    fn what_stays_is_of_all_sub_topologies() {
        let mut shared = problem(0, &[("a", 1), ("b", 2)]);
        for (sub_topology, partition) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            shared.tasks.insert(task(sub_topology, partition), sub_topology == 1);
        }
        let all: BTreeSet<TaskId> = shared.tasks.keys().copied().collect();
        for member in shared.members.values_mut() {
            member.lags = all.iter().map(|task| (*task, 0)).collect();
        }
        if let Some(first) = shared.members.get_mut("a") {
            first.owned = all;
        }
        let (shares, _) = settle(&mut shared);
        assert_eq!(shares["a"].active, BTreeSet::from([task(0, 0), task(1, 0)]));
        assert_eq!(shares["b"].active, BTreeSet::from([task(0, 1), task(1, 1)]));
    }

    /// Lets members give up and take what they were told until nothing changes. Returns the shares and the rebalances.
    fn settle(problem: &mut Problem) -> (Shares, usize) {
        for round in 1..60 {
            let shares = problem.assign();
            let mut running = BTreeSet::new();
            for share in shares.values() {
                for task in &share.active {
                    assert!(running.insert(*task), "{task} runs twice");
                }
            }
            let before = problem.members.clone();
            for (id, share) in &shares {
                let member = problem.members.get_mut(id).unwrap();
                for (other, state) in &before {
                    let taken = share.active.intersection(&state.owned).next();
                    assert!(
                        other == id || taken.is_none(),
                        "{taken:?} was given to {id} while {other} runs it"
                    );
                }
                member.owned = share.active.clone();
                for task in share.active.iter().chain(&share.warmup).chain(&share.standby) {
                    member.lags.insert(*task, 0);
                }
            }
            if problem.members == before {
                return (shares, round);
            }
        }
        panic!("it does not settle");
    }

    fn counts(shares: &Shares) -> Vec<usize> {
        shares.values().map(|share| share.active.len()).collect()
    }

    #[test]
    fn a_newcomer_gets_its_part_in_two_rebalances_and_the_rest_stays() {
        let mut all = problem(7, &[("a", 1), ("b", 2)]);
        let (before, _) = settle(&mut all);
        assert_eq!(counts(&before), [4, 3]);
        all.members.insert("c".to_owned(), problem(7, &[("c", 3)]).members["c"].clone());
        let first = all.assign();
        assert_eq!(counts(&first), [3, 2, 0], "nothing runs twice");
        let (after, _) = settle(&mut all);
        assert_eq!(counts(&after), [3, 2, 2]);
        for id in ["a", "b"] {
            assert!(after[id].active.is_subset(&before[id].active), "{id} only gives");
        }
        // And back: the others take over what it had.
        all.members.remove("c");
        let (back, _) = settle(&mut all);
        assert_eq!(counts(&back), [4, 3]);
        assert!(["a", "b"].iter().all(|id| after[*id].active.is_subset(&back[*id].active)));
    }

    #[test]
    fn a_task_waits_for_its_state() {
        let mut all = problem(4, &[("a", 1)]);
        settle(&mut all);
        let mut cold = problem(4, &[("b", 2)]).members["b"].clone();
        cold.lags.values_mut().for_each(|lag| *lag = 101);
        all.members.insert("b".to_owned(), cold);
        let shares = all.assign();
        assert_eq!((counts(&shares), shares["b"].warmup.len()), (vec![4, 0], 2));
        // One of them has come: only it moves.
        let warm = *shares["b"].warmup.first().unwrap();
        all.members.get_mut("b").unwrap().lags.insert(warm, 100);
        assert_eq!(counts(&all.assign()), [3, 0]);
        let (after, _) = settle(&mut all);
        assert_eq!(counts(&after), [2, 2]);
        // Without anybody who has the state, the task moves at once.
        all.members.remove("a");
        all.members.get_mut("b").unwrap().lags.clear();
        assert_eq!(counts(&all.assign()), [4]);
    }

    #[test]
    fn standbys_are_elsewhere() {
        let mut all = problem(4, &[("a1", 1), ("a2", 1), ("b", 2)]);
        all.standbys = 1;
        let (shares, _) = settle(&mut all);
        for (id, share) in &shares {
            for task in &share.active {
                let at: Vec<&str> = shares
                    .iter()
                    .filter(|(_, other)| other.standby.contains(task))
                    .map(|(id, _)| id.as_str())
                    .collect();
                assert_eq!(at.len(), 1);
                assert_ne!(all.members[at[0]].instance, all.members[id].instance, "{task}");
            }
        }
        // There is no third instance for a second one.
        all.standbys = 2;
        let (more, _) = settle(&mut all);
        assert_eq!(more.values().map(|share| share.standby.len()).sum::<usize>(), 4);
        // Whoever has the copy takes over.
        let had = more["b"].standby.clone();
        all.members.remove("a1");
        all.members.remove("a2");
        let after = all.assign();
        assert!(had.is_subset(&after["b"].active));
    }

    proptest! {
        #[test]
        fn every_task_runs_once_and_threads_are_even(
            tasks in 0u32..20,
            steps in prop::collection::vec((0u64..4, 0usize..3, any::<bool>()), 1..12),
            standbys in 0usize..3,
        ) {
            let mut all = problem(tasks, &[]);
            all.standbys = standbys;
            for (instance, thread, comes) in steps {
                let id = format!("{instance}-{thread}");
                if comes {
                    let member = MemberState { instance, ..MemberState::default() };
                    all.members.entry(id).or_insert(member);
                } else {
                    all.members.remove(&id);
                }
                if all.members.is_empty() {
                    continue;
                }
                let (shares, _) = settle(&mut all);
                let counts = counts(&shares);
                prop_assert_eq!(counts.iter().sum::<usize>(), tasks as usize);
                let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                prop_assert!(spread <= 1, "{:?}", counts);
                prop_assert!(shares.values().all(|share| share.warmup.is_empty()));
            }
        }
    }
}
