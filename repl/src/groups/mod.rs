//! `millstream groups`: who reads what, how far they are, and moving or removing their offsets.

mod describe;
mod reset;

pub(crate) use self::reset::target as reset_target;

use millstream_log::group::GroupState;
use millstream_log::group::protocol::MemberIdentity;
use millstream_log::{Log, PartitionId, TopicPartition};

use crate::args::{Global, GroupsCommand};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::place;

const STATES: [GroupState; 5] = [
    GroupState::Empty,
    GroupState::PreparingRebalance,
    GroupState::CompletingRebalance,
    GroupState::Stable,
    GroupState::Dead,
];

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &GroupsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = act(&log, command, &mut Out::new(global.output));
    log.close()?;
    result
}

fn act(log: &Log, command: &GroupsCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        GroupsCommand::List { state, kind } => list(log, state.as_deref(), kind.as_deref(), out),
        GroupsCommand::Describe { groups, offsets: _, members, state, verbose } => {
            for group in groups.resolve(|| all(log)) {
                if *state {
                    describe::state(log, &group, out)?;
                } else if *members {
                    describe::members(log, &group, *verbose, out)?;
                } else {
                    describe::offsets(log, &group, out)?;
                }
            }
            Ok(())
        }
        GroupsCommand::Members { groups } => {
            groups.resolve(|| all(log)).iter().try_for_each(|group| describe::members(log, group, true, out))
        }
        GroupsCommand::Delete { groups } => {
            let groups = groups.resolve(|| all(log));
            let names: Vec<_> = groups.iter().map(String::as_str).collect();
            let outcomes = log.delete_groups(&names);
            let rows = outcomes.into_iter().map(|(group, outcome)| (vec![Cell::Text(group)], outcome));
            report(&["GROUP"], rows, out)
        }
        GroupsCommand::ResetOffsets(args) => reset::run(log, args, out),
        GroupsCommand::DeleteOffsets { group, topics } => delete_offsets(log, group.get(), topics, out),
        GroupsCommand::RemoveMembers { group, members, instances } => {
            let identity = |member_id: &str, instance: Option<&String>| MemberIdentity {
                member_id: member_id.to_owned(),
                instance_id: instance.cloned(),
            };
            let members = members.iter().map(|id| identity(id, None));
            let instances = instances.iter().map(|id| identity("", Some(id)));
            let chosen: Vec<_> = members.chain(instances).collect();
            let outcomes = log.remove_members(group.get(), &chosen)?;
            let name = |member: MemberIdentity| member.instance_id.unwrap_or(member.member_id);
            let row = |(member, outcome)| (vec![Cell::Text(name(member))], outcome);
            report(&["MEMBER"], outcomes.into_iter().map(row), out)
        }
    }
}

fn all(log: &Log) -> Vec<String> {
    log.list_groups().into_iter().map(|listing| listing.group_id).collect()
}

fn list(log: &Log, states: Option<&str>, kinds: Option<&str>, out: &mut Out) -> Result<(), CliError> {
    let chosen = |filter: Option<&str>, value: &str| {
        filter.is_none_or(|list| {
            list.is_empty() || list.split(',').any(|one| one.trim().eq_ignore_ascii_case(value))
        })
    };
    let states_known: Vec<String> = STATES.iter().map(ToString::to_string).collect();
    for asked in states.unwrap_or_default().split(',').map(str::trim).filter(|asked| !asked.is_empty()) {
        if !states_known.iter().any(|known| known.eq_ignore_ascii_case(asked)) {
            return Err(CliError::Usage(format!(
                "unknown state {asked}; known are {}",
                states_known.join(", ")
            )));
        }
    }
    let mut groups = log.list_groups();
    groups.retain(|group| chosen(states, &group.state.to_string()) && chosen(kinds, group.group_type));
    if out.format() == Format::Table && states.is_none() && kinds.is_none() {
        groups.iter().try_for_each(|group| out.line(&group.group_id))?;
        return out.flush();
    }
    let mut grid = Grid::new(["GROUP", "TYPE", "STATE"].map(Heading::text).into());
    for group in &groups {
        grid.push(vec![
            group.group_id.as_str().into(),
            group.group_type.into(),
            Cell::Text(group.state.to_string()),
        ]);
    }
    out.columns(&grid)
}

fn delete_offsets(log: &Log, group: &str, topics: &[String], out: &mut Out) -> Result<(), CliError> {
    let mut partitions = Vec::new();
    for text in topics {
        let (topic, numbers) = place::topic_with_partitions(text)?;
        match numbers {
            Some(numbers) => {
                partitions.extend(numbers.into_iter().map(|number| TopicPartition::new(topic, number)))
            }
            None => partitions.extend(
                log.committed_offsets(group)
                    .into_iter()
                    .map(|(partition, _)| partition)
                    .filter(|partition| *partition.topic == *topic),
            ),
        }
    }
    let place = |partition: TopicPartition| {
        vec![partition.topic.as_ref().into(), Cell::from(partition.partition.get())]
    };
    let outcomes = log.delete_offsets(group, &partitions)?.into_iter();
    report(&["TOPIC", "PARTITION"], outcomes.map(|(partition, outcome)| (place(partition), outcome)), out)
}

/// Prints what became of each; fails with the first failure once all are told.
fn report(
    columns: &[&str],
    outcomes: impl IntoIterator<Item = (Vec<Cell>, millstream_log::Result<()>)>,
    out: &mut Out,
) -> Result<(), CliError> {
    let mut grid = Grid::new(columns.iter().copied().chain(["STATUS"]).map(Heading::text).collect());
    let mut failed = None;
    for (mut row, outcome) in outcomes {
        row.push(match &outcome {
            Ok(()) => "Successful".into(),
            Err(error) => Cell::Text(format!("Error: {error}")),
        });
        grid.push(row);
        failed = failed.or(outcome.err());
    }
    out.columns(&grid)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Numbers of partitions as the log takes them.
fn numbers(list: Vec<u32>) -> Vec<PartitionId> {
    list.into_iter().map(PartitionId::new).collect()
}
