//! `millstream topics`: list, create, describe, alter and delete topics; their offsets and records.

mod offsets;

use millstream_log::{Log, LogError, NewTopic, OffsetSpec, TopicDescription, TopicPartition};

use crate::args::{Global, TopicsCommand};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::place;

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &TopicsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = act(&log, command, &mut Out::new(global.output));
    log.close()?;
    result
}

fn act(log: &Log, command: &TopicsCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        TopicsCommand::List { topic, exclude_internal } => {
            list(&select(log, topic.as_deref(), *exclude_internal)?, out)
        }
        TopicsCommand::Create { topic, partitions, replication_factor, configs, if_not_exists } => {
            let name = topic.get();
            let mut new = NewTopic::new(name).partitions(*partitions).replication_factor(*replication_factor);
            for (key, value) in configs {
                new = new.config(key, value);
            }
            match log.create_topic(new) {
                Ok(_) => out.line(&format!("Created topic {name}."))?,
                Err(LogError::TopicExists { .. }) if *if_not_exists => {}
                Err(error) => return Err(error.into()),
            }
            out.flush()
        }
        TopicsCommand::Describe { topic, exclude_internal, topics_with_overrides, if_exists } => {
            let mut described = named(log, topic.get(), *exclude_internal, *if_exists)?;
            if *topics_with_overrides {
                described.retain(|topic| !topic.configs.is_empty());
            }
            describe(log, &described, !topics_with_overrides, out)
        }
        TopicsCommand::Alter { topic, partitions, if_exists } => {
            for topic in named(log, Some(topic.get()), true, *if_exists)? {
                log.create_partitions(&topic.name, *partitions)?;
            }
            Ok(())
        }
        TopicsCommand::Delete { topic, if_exists } => {
            for topic in named(log, Some(topic.get()), true, *if_exists)? {
                log.delete_topic(&topic.name)?;
            }
            Ok(())
        }
        TopicsCommand::Offsets(args) => offsets::list(log, args, out),
        TopicsCommand::DeleteRecords { before, offset_json_file } => {
            offsets::delete_records(log, before, offset_json_file.as_deref(), out)
        }
    }
}

/// The topic of this name, or else those that match it as a pattern, or all.
fn named(
    log: &Log,
    name: Option<&str>,
    exclude_internal: bool,
    if_exists: bool,
) -> Result<Vec<TopicDescription>, CliError> {
    let Some(name) = name else { return select(log, None, exclude_internal) };
    let missing = match log.describe_topic(name) {
        Ok(topic) => return Ok(vec![topic]),
        Err(error @ LogError::UnknownTopic { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let matching = select(log, Some(name), exclude_internal)?;
    if matching.is_empty() && !if_exists { Err(missing.into()) } else { Ok(matching) }
}

fn list(topics: &[TopicDescription], out: &mut Out) -> Result<(), CliError> {
    if out.format() == Format::Table {
        for topic in topics {
            out.line(&topic.name)?;
        }
        return out.flush();
    }
    let mut grid = Grid::new(vec![Heading::text("topic"), Heading::number("partitions")]);
    for topic in topics {
        grid.push(vec![topic.name.as_ref().into(), topic.partitions.into()]);
    }
    out.grid(&grid)
}

/// Kafka's layout for people: a line for the topic, an indented one for each partition.
fn describe(
    log: &Log,
    topics: &[TopicDescription],
    with_partitions: bool,
    out: &mut Out,
) -> Result<(), CliError> {
    let columns = ["topic", "topic_id", "partition", "log_start_offset", "log_end_offset", "configs"];
    let numeric = ["partition", "log_start_offset", "log_end_offset"];
    let heading =
        |name: &str| if numeric.contains(&name) { Heading::number(name) } else { Heading::text(name) };
    let mut grid = Grid::new(columns.into_iter().map(heading).collect());
    for topic in topics {
        let configs: Vec<String> =
            topic.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let configs = configs.join(",");
        if out.format() == Format::Table {
            out.line(&format!(
                "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: 1\tConfigs: {configs}",
                topic.name, topic.id, topic.partitions
            ))?;
        }
        let shown = if with_partitions || out.format() != Format::Table { topic.partitions } else { 0 };
        for partition in 0..shown {
            let place = TopicPartition::new(topic.name.clone(), partition);
            let start = log.offsets(&place, OffsetSpec::Earliest)?.get();
            let end = log.offsets(&place, OffsetSpec::Latest)?.get();
            if out.format() == Format::Table {
                out.line(&format!(
                    "\tTopic: {}\tPartition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \tOffsets: {start} to {end}",
                    topic.name
                ))?;
            }
            grid.push(vec![
                topic.name.as_ref().into(),
                Cell::Text(topic.id.to_string()),
                partition.into(),
                start.into(),
                end.into(),
                configs.as_str().into(),
            ]);
        }
    }
    if out.format() == Format::Table { out.flush() } else { out.grid(&grid) }
}

/// Topics by name whose whole names match, all without a pattern.
fn select(
    log: &Log,
    pattern: Option<&str>,
    exclude_internal: bool,
) -> Result<Vec<TopicDescription>, CliError> {
    let pattern = pattern.map(place::pattern).transpose()?;
    let mut topics = log.topics();
    topics.retain(|topic| {
        !(exclude_internal && topic.internal)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&topic.name))
    });
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}
