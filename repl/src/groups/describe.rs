//! `millstream groups describe`: offsets and lag, members, state.

use std::collections::BTreeMap;
use std::io::{self, Write};

use millstream_log::group::{GroupState, MemberDescription};
use millstream_log::{Isolation, Log, TopicPartition};

use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};

/// Committed offsets, ends and lag, with who reads each partition.
pub(super) fn offsets(log: &Log, group: &str, out: &mut Out) -> Result<(), CliError> {
    let description = log.describe_group(group)?;
    tell_state(group, description.state, description.members.is_empty());
    let columns = [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ];
    let mut grid = Grid::new(columns.map(Heading::text).into());
    for row in log.group_lag(group, Isolation::ReadUncommitted)? {
        let number = |value: Option<u64>| value.map_or(Cell::Null, Cell::from);
        let of_member = |field: fn(&MemberDescription) -> &str| {
            row.member.as_ref().map_or(Cell::Null, |member| field(member).into())
        };
        grid.push(vec![
            group.into(),
            row.partition.topic.as_ref().into(),
            row.partition.partition.get().into(),
            number(row.committed.as_ref().map(|committed| committed.offset.get())),
            number(row.end.map(|end| end.get())),
            number(row.lag),
            of_member(|member| &member.member_id),
            of_member(|member| &member.client_host),
            of_member(|member| &member.client_id),
        ]);
    }
    print(&grid, out)
}

/// Members, each with how many partitions it has, or with `verbose` which.
pub(super) fn members(log: &Log, group: &str, verbose: bool, out: &mut Out) -> Result<(), CliError> {
    let description = log.describe_group(group)?;
    tell_state(group, description.state, description.members.is_empty());
    let has_static = description.members.iter().any(|member| member.instance_id.is_some());
    let mut columns = vec!["GROUP", "CONSUMER-ID"];
    if has_static {
        columns.push("GROUP-INSTANCE-ID");
    }
    columns.extend(["HOST", "CLIENT-ID", "#PARTITIONS"]);
    if verbose {
        columns.push("ASSIGNMENT");
    }
    let mut grid = Grid::new(columns.into_iter().map(Heading::text).collect());
    for member in &description.members {
        let mut row: Vec<Cell> = vec![group.into(), member.member_id.as_str().into()];
        if has_static {
            row.push(member.instance_id.as_deref().map_or(Cell::Null, Cell::from));
        }
        row.extend([
            member.client_host.as_str().into(),
            member.client_id.as_str().into(),
            Cell::from(member.assignment.len() as u64),
        ]);
        if verbose {
            row.push(Cell::Text(assignment(&member.assignment)));
        }
        grid.push(row);
    }
    print(&grid, out)
}

/// State, assignor and how many members there are.
pub(super) fn state(log: &Log, group: &str, out: &mut Out) -> Result<(), CliError> {
    let description = log.describe_group(group)?;
    let columns = ["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"];
    let mut grid = Grid::new(columns.map(Heading::text).into());
    grid.push(vec![
        group.into(),
        "embedded (1)".into(),
        if description.protocol.is_empty() { Cell::Null } else { description.protocol.as_str().into() },
        Cell::Text(description.state.to_string()),
        Cell::from(description.members.len() as u64),
    ]);
    print(&grid, out)
}

/// `orders(0,1), bills(2)`.
fn assignment(partitions: &[TopicPartition]) -> String {
    if partitions.is_empty() {
        return "-".to_owned();
    }
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.to_string());
    }
    let texts: Vec<_> =
        topics.iter().map(|(topic, numbers)| format!("{topic}({})", numbers.join(","))).collect();
    texts.join(", ")
}

/// What a reader of the table should know first.
fn tell_state(group: &str, state: GroupState, is_empty: bool) {
    let notice = match state {
        GroupState::PreparingRebalance | GroupState::CompletingRebalance => "is rebalancing",
        _ if is_empty => "has no active members",
        _ => return,
    };
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(io::stderr(), "Consumer group '{group}' {notice}.");
}

fn print(grid: &Grid, out: &mut Out) -> Result<(), CliError> {
    if out.format() == Format::Table {
        out.line("")?;
    }
    out.columns(grid)
}
