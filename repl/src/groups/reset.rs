//! `millstream groups reset-offsets`: shown first, done when told to.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use millstream_log::group::{ResetMode, ResetPlan, ResetScope};
use millstream_log::{Log, Offset, TopicPartition};

use super::numbers;
use crate::args::{ResetArgs, ResetTarget};
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::place;

/// Works out the new offsets of each group, prints them, and with `--execute` commits them.
pub(super) fn run(log: &Log, args: &ResetArgs, out: &mut Out) -> Result<(), CliError> {
    let groups = args.groups.resolve(|| super::all(log));
    let scope = scope(args)?;
    let file = args.to.from_file.as_deref().map(|path| read(path, groups.len())).transpose()?;
    let mut plans: Vec<(&str, ResetPlan)> = Vec::with_capacity(groups.len());
    for group in &groups {
        let mode = match &file {
            Some(rows) => {
                let of_group = |row: &&FileRow| row.group.as_ref().is_none_or(|name| name == group);
                let rows = rows.iter().filter(of_group).map(|row| (row.partition.clone(), row.offset));
                ResetMode::FromFile(rows.collect())
            }
            None => mode(&args.to)?,
        };
        plans.push((group, log.plan_reset(group, &scope, &mode)?));
    }
    for (group, plan) in &plans {
        for row in &plan.rows {
            let place = &row.partition;
            if let Some(warning) = row.warning {
                tell(&format!("warning: {group}, {place}: {warning}"));
            }
            if let Err(refusal) = &row.outcome {
                return Err(CliError::Failed(format!("{group}, {place}: {refusal}")));
            }
        }
    }
    if args.execute {
        plans.iter().try_for_each(|(group, plan)| log.reset_offsets(group, plan))?;
    } else if !args.dry_run && !args.export {
        tell("warning: nothing was changed: add --execute to reset the offsets");
    }
    print(&plans, args.export, out)
}

fn scope(args: &ResetArgs) -> Result<ResetScope, CliError> {
    if args.to.from_file.is_some() {
        return Ok(ResetScope::FromFile);
    }
    if args.all_topics {
        return Ok(ResetScope::AllTopics);
    }
    if args.topics.is_empty() {
        return Err(CliError::Usage("say which topics: --topic TOPIC[:LIST] or --all-topics".to_owned()));
    }
    let topic = |text: &String| {
        let (topic, partitions) = place::topic_with_partitions(text)?;
        Ok((topic.to_owned(), partitions.map(numbers)))
    };
    Ok(ResetScope::Topics(args.topics.iter().map(topic).collect::<Result<_, CliError>>()?))
}

/// Where one group's offsets go.
pub(crate) fn target(to: &ResetTarget) -> Result<ResetMode, CliError> {
    match &to.from_file {
        Some(path) => {
            let rows = read(path, 1)?.into_iter().map(|row| (row.partition, row.offset));
            Ok(ResetMode::FromFile(rows.collect()))
        }
        None => mode(to),
    }
}

fn mode(to: &ResetTarget) -> Result<ResetMode, CliError> {
    Ok(match to {
        ResetTarget { to_earliest: true, .. } => ResetMode::ToEarliest,
        ResetTarget { to_latest: true, .. } => ResetMode::ToLatest,
        ResetTarget { to_current: true, .. } => ResetMode::ToCurrent,
        ResetTarget { to_offset: Some(offset), .. } => {
            let offset = u64::try_from(*offset)
                .map_err(|_| CliError::Usage(format!("--to-offset is a number from 0, not {offset}")))?;
            ResetMode::ToOffset(Offset::new(offset))
        }
        ResetTarget { shift_by: Some(by), .. } => ResetMode::ShiftBy(*by),
        ResetTarget { to_datetime: Some(time), .. } => ResetMode::ToDatetime(place::time(time)?),
        ResetTarget { by_duration: Some(text), .. } => ResetMode::ByDuration(duration(text)?),
        _ => return Err(CliError::Usage("say where to: --to-earliest, --to-latest and the like".to_owned())),
    })
}

/// `PnDTnHnMnS`.
fn duration(text: &str) -> Result<Duration, CliError> {
    let wrong =
        || CliError::Usage(format!("a duration is written PnDTnHnMnS, such as P1DT12H, not `{text}`"));
    // The library reads `1 day` too.
    let iso = Some(text).filter(|text| text.starts_with('P')).ok_or_else(wrong)?;
    let span: jiff::Span = iso.parse().map_err(|_| wrong())?;
    let is_exact = span.get_years() == 0 && span.get_months() == 0;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(length).ok().filter(|_| is_exact).ok_or_else(wrong)
}

/// A line of `--from-file`.
struct FileRow {
    group: Option<String>,
    partition: TopicPartition,
    offset: Offset,
}

/// Lines `topic,partition,offset` for one group or `group,topic,partition,offset`. Without a line of names.
fn read(path: &Path, groups: usize) -> Result<Vec<FileRow>, CliError> {
    let action = "read";
    let text = fs::read_to_string(path).map_err(|source| CliError::File {
        action,
        path: path.to_owned(),
        source,
    })?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let row = match fields.as_slice() {
            [topic, partition, offset] if groups == 1 => row(None, topic, partition, offset),
            [group, topic, partition, offset] => row(Some((*group).to_owned()), topic, partition, offset),
            _ => None,
        };
        rows.push(row.ok_or_else(|| {
            let form = if groups == 1 { "topic,partition,offset" } else { "group,topic,partition,offset" };
            CliError::Usage(format!("{}, line {}: `{line}` is not {form}", path.display(), number + 1))
        })?);
    }
    Ok(rows)
}

fn row(group: Option<String>, topic: &str, partition: &str, offset: &str) -> Option<FileRow> {
    let partition = TopicPartition::new(topic, partition.parse::<u32>().ok()?);
    Some(FileRow { group, partition, offset: Offset::new(offset.parse().ok()?) })
}

fn print(plans: &[(&str, ResetPlan)], export: bool, out: &mut Out) -> Result<(), CliError> {
    let mut grid = Grid::new(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"].map(Heading::text).into());
    for (group, plan) in plans {
        for row in &plan.rows {
            let Ok(offset) = row.outcome else { continue };
            let (topic, partition) = (&row.partition.topic, row.partition.partition.get());
            if export {
                let group = if plans.len() == 1 { String::new() } else { format!("{group},") };
                out.line(&format!("{group}{topic},{partition},{offset}"))?;
            }
            grid.push(vec![(*group).into(), topic.as_ref().into(), partition.into(), offset.get().into()]);
        }
    }
    if export {
        return out.flush();
    }
    if out.format() == Format::Table {
        out.line("")?;
    }
    out.columns(&grid)
}

fn tell(line: &str) {
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_days_and_shorter() {
        assert_eq!(duration("P1DT2H3M4S").unwrap(), Duration::from_secs(93_784));
        for wrong in ["1 day", "P1Y", "P1M", "-PT1S", ""] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
