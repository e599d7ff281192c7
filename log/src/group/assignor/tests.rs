use proptest::prelude::*;

use super::*;

/// Members by id with their topics, given as words.
fn members(given: &[(&str, &str)]) -> BTreeMap<String, Candidate> {
    let member = |(id, topics): &(&str, &str)| {
        let topics = topics.split_whitespace().map(str::to_owned).collect();
        let subscription = Subscription { topics, ..Subscription::default() };
        ((*id).to_owned(), Candidate { instance_id: None, subscription })
    };
    given.iter().map(member).collect()
}

fn counts(given: &[(&str, u32)]) -> BTreeMap<String, u32> {
    given.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
}

/// Assignments as text: `C0: t0-0 t0-1; C1: ...`.
fn show(assignments: &Assignments) -> String {
    let member = |(id, partitions): (&String, &Vec<TopicPartition>)| {
        let partitions: Vec<_> = partitions.iter().map(TopicPartition::to_string).collect();
        format!("{id}: {}", partitions.join(" "))
    };
    assignments.iter().map(member).collect::<Vec<_>>().join("; ")
}

/// The members as they join the next generation after these assignments.
fn again(
    assignor: Assignor,
    members: &BTreeMap<String, Candidate>,
    assignments: &Assignments,
    generation: i32,
) -> BTreeMap<String, Candidate> {
    let mut members = members.clone();
    for (id, member) in &mut members {
        let Some(partitions) = assignments.get(id) else { continue };
        let subscription = &mut member.subscription;
        subscription.user_data = assignor.user_data(partitions, generation);
        subscription.generation = Some(generation);
        subscription.owned = if assignor.is_cooperative() { partitions.clone() } else { Vec::new() };
    }
    members
}

#[test]
fn assignments_are_those_of_kafkas_documentation() {
    let two = counts(&[("t0", 3), ("t1", 3)]);
    let same = members(&[("C0", "t0 t1"), ("C1", "t0 t1")]);
    let uneven = counts(&[("t0", 1), ("t1", 2), ("t2", 3)]);
    let different = members(&[("C0", "t0"), ("C1", "t0 t1"), ("C2", "t0 t1 t2")]);
    let four = counts(&[("t0", 2), ("t1", 2), ("t2", 2), ("t3", 2)]);
    let three = members(&[("C0", "t0 t1 t2 t3"), ("C1", "t0 t1 t2 t3"), ("C2", "t0 t1 t2 t3")]);
    for (assignor, counts, members, expected) in [
        (Assignor::Range, &two, &same, "C0: t0-0 t0-1 t1-0 t1-1; C1: t0-2 t1-2"),
        (Assignor::RoundRobin, &two, &same, "C0: t0-0 t0-2 t1-1; C1: t0-1 t1-0 t1-2"),
        (Assignor::RoundRobin, &uneven, &different, "C0: t0-0; C1: t1-0; C2: t1-1 t2-0 t2-1 t2-2"),
        (Assignor::Sticky, &uneven, &different, "C0: t0-0; C1: t1-0 t1-1; C2: t2-0 t2-1 t2-2"),
        (Assignor::Sticky, &four, &three, "C0: t0-0 t1-1 t3-0; C1: t0-1 t2-0 t3-1; C2: t1-0 t2-1"),
    ] {
        assert_eq!(show(&assignor.assign(counts, members)), expected, "{assignor:?}");
    }
}

#[test]
fn static_members_keep_their_place_by_instance() {
    let mut given = members(&[("a", "t"), ("b", "t"), ("z", "t")]);
    given.get_mut("z").unwrap().instance_id = Some("first".to_owned());
    let assigned = Assignor::Range.assign(&counts(&[("t", 3)]), &given);
    assert_eq!(show(&assigned), "a: t-1; b: t-2; z: t-0");
}

#[test]
fn topics_that_do_not_exist_and_members_without_topics_get_nothing() {
    let given = members(&[("a", "t gone"), ("b", "")]);
    for assignor in Assignor::ALL {
        assert_eq!(show(&assignor.assign(&counts(&[("t", 2)]), &given)), "a: t-0 t-1; b: ", "{assignor:?}");
        assert_eq!(show(&assignor.assign(&BTreeMap::new(), &given)), "a: ; b: ", "{assignor:?}");
    }
}

#[test]
fn a_moving_partition_is_free_for_one_generation() {
    let counts = counts(&[("t", 4)]);
    let assignor = Assignor::CooperativeSticky;
    let alone = members(&[("a", "t")]);
    let first = assignor.assign(&counts, &alone);
    assert_eq!(show(&first), "a: t-0 t-1 t-2 t-3");
    let both = members(&[("a", "t"), ("b", "t")]);
    let second = assignor.assign(&counts, &again(assignor, &both, &first, 1));
    assert_eq!(show(&second), "a: t-0 t-1; b: ");
    let third = assignor.assign(&counts, &again(assignor, &both, &second, 2));
    assert_eq!(show(&third), "a: t-0 t-1; b: t-2 t-3");
}

#[test]
fn the_later_generation_owns_what_two_members_claim() {
    let counts = counts(&[("t", 2)]);
    let assignor = Assignor::Sticky;
    let mut given = members(&[("a", "t"), ("b", "t")]);
    let both = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    given.get_mut("a").unwrap().subscription.user_data = assignor.user_data(&both[..1], 3);
    given.get_mut("b").unwrap().subscription.user_data = assignor.user_data(&both[..1], 5);
    assert_eq!(show(&assignor.assign(&counts, &given)), "a: t-1; b: t-0");
    // Bytes that are no user data are the same as none.
    given.get_mut("b").unwrap().subscription.user_data = Some(Bytes::from_static(&[0, 0, 0, 9]));
    assert_eq!(show(&assignor.assign(&counts, &given)), "a: t-0; b: t-1");
}

#[test]
fn names_are_kafkas() {
    for assignor in Assignor::ALL {
        assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
    }
    let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    assert_eq!(Assignor::from_name(class), Some(Assignor::CooperativeSticky));
    assert_eq!(Assignor::from_name("uniform"), None);
}

type Case = (BTreeMap<String, u32>, BTreeMap<String, Candidate>);

fn any_case(uniform: bool) -> impl Strategy<Value = Case> {
    let topics = prop::collection::vec(0_u32..6, 1..4);
    (topics, prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..6)).prop_map(
        move |(topics, wants)| {
            let names: Vec<_> = (0..topics.len()).map(|at| format!("t{at}")).collect();
            let members = wants.iter().enumerate().map(|(at, wants)| {
                let wanted = names.iter().zip(wants).filter(|(_, wanted)| uniform || **wanted);
                let topics = wanted.map(|(name, _)| name.clone()).collect();
                let subscription = Subscription { topics, ..Subscription::default() };
                (format!("m{at}"), Candidate { instance_id: None, subscription })
            });
            (names.iter().cloned().zip(topics).collect(), members.collect())
        },
    )
}

/// Every partition that somebody wants has one holder, who wants it.
fn check_complete((counts, members): &Case, assigned: &Assignments) -> Result<(), TestCaseError> {
    let mut held: Vec<_> = assigned.values().flatten().cloned().collect();
    held.sort();
    let expected: Vec<_> = subscribed_topics(counts, members)
        .into_iter()
        .flat_map(|(topic, count)| (0..count).map(move |number| TopicPartition::new(topic.clone(), number)))
        .collect();
    prop_assert_eq!(held, expected);
    for (id, partitions) in assigned {
        for partition in partitions {
            prop_assert!(members[id].subscription.topics.iter().any(|topic| **topic == *partition.topic));
        }
    }
    Ok(())
}

/// No partition could go to a member that has at least two fewer.
fn check_balanced((_, members): &Case, assigned: &Assignments) -> Result<(), TestCaseError> {
    for (holder, partitions) in assigned {
        for partition in partitions {
            for (id, member) in members {
                let wants = member.subscription.topics.iter().any(|topic| **topic == *partition.topic);
                prop_assert!(
                    !wants || assigned[id].len() + 1 >= partitions.len(),
                    "{} should move from {} to {}: {}",
                    partition,
                    holder,
                    id,
                    show(assigned)
                );
            }
        }
    }
    Ok(())
}

fn moved(before: &Assignments, after: &Assignments) -> usize {
    let stays =
        |id: &String, partition| after.get(id).is_some_and(|partitions| partitions.contains(partition));
    before.iter().map(|(id, partitions)| partitions.iter().filter(|one| !stays(id, one)).count()).sum()
}

/// Joins again until nothing is held back any more.
fn settle(case: &Case, mut assigned: Assignments, mut generation: i32) -> Assignments {
    let assignor = Assignor::CooperativeSticky;
    for _ in 0..2 {
        generation += 1;
        assigned = assignor.assign(&case.0, &again(assignor, &case.1, &assigned, generation));
    }
    assigned
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_partition_goes_to_one_member_that_wants_it(case in any_case(false)) {
        for assignor in Assignor::ALL {
            check_complete(&case, &assignor.assign(&case.0, &case.1))?;
        }
    }

    #[test]
    fn sticky_is_balanced_and_stays_as_it_is(case in any_case(false)) {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let first = assignor.assign(&case.0, &case.1);
            check_balanced(&case, &first)?;
            let second = assignor.assign(&case.0, &again(assignor, &case.1, &first, 1));
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn sticky_moves_as_few_as_balance_allows(
        case in any_case(true), gone in 0_usize..6, more in prop::option::of(0_u32..4),
    ) {
        // One member goes, or one comes, or a topic grows: with the same topics for all, the fewest moves are known.
        let assignor = Assignor::Sticky;
        let first = assignor.assign(&case.0, &case.1);
        let (mut counts, mut members) = (case.0.clone(), again(assignor, &case.1, &first, 1));
        match more {
            Some(0) => {
                let topics = counts.keys().cloned().collect();
                let subscription = Subscription { topics, ..Subscription::default() };
                members.insert("m9".to_owned(), Candidate { instance_id: None, subscription });
            }
            Some(more) => *counts.values_mut().next().unwrap() += more,
            None if members.len() > 1 => drop(members.remove(&format!("m{}", gone % members.len()))),
            None => {}
        }
        let case = (counts, members);
        let second = assignor.assign(&case.0, &case.1);
        check_complete(&case, &second)?;
        check_balanced(&case, &second)?;
        let total: usize = second.values().map(Vec::len).sum();
        let (few, mut extra) = (total / case.1.len(), total % case.1.len());
        let mut kept = 0;
        for had in case.1.keys().map(|id| first.get(id).map_or(0, Vec::len)) {
            let one_more = had > few && extra > 0;
            extra -= usize::from(one_more);
            kept += had.min(few + usize::from(one_more));
        }
        let had: usize = first.iter().filter(|(id, _)| case.1.contains_key(*id)).map(|(_, had)| had.len()).sum();
        let left: usize = first.iter().filter(|(id, _)| !case.1.contains_key(*id)).map(|(_, had)| had.len()).sum();
        prop_assert_eq!(moved(&first, &second), had - kept + left);
    }

    #[test]
    fn cooperative_gives_nothing_away_that_is_still_read(case in any_case(false), other in any_case(false)) {
        let assignor = Assignor::CooperativeSticky;
        let first = assignor.assign(&case.0, &case.1);
        // The same members with other topics.
        let mut members = case.1.clone();
        members.retain(|id, _| other.1.contains_key(id));
        for (id, member) in &other.1 {
            members.entry(id.clone()).or_default().subscription.topics = member.subscription.topics.clone();
        }
        let next = (other.0.clone(), members);
        let joined = again(assignor, &next.1, &first, 1);
        let second = assignor.assign(&next.0, &joined);
        for (id, partitions) in &second {
            for partition in partitions {
                let is_read_elsewhere = joined.iter()
                    .any(|(owner, member)| owner != id && member.subscription.owned.contains(partition));
                prop_assert!(!is_read_elsewhere, "{} goes to {} too early", partition, id);
            }
        }
        let last = settle(&next, second, 2);
        check_complete(&next, &last)?;
        check_balanced(&next, &last)?;
    }
}
