//! `millstream topics`: list, create, describe and delete.

use millstream_log::{Log, LogError, NewTopic, OffsetSpec, TopicDescription, TopicPartition};

use crate::args::{Global, TopicsCommand};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &TopicsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = act(&log, command, &mut Out::new(global.output));
    log.close()?;
    result
}

fn act(log: &Log, command: &TopicsCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        TopicsCommand::List { exclude_internal } => list(log, *exclude_internal, out),
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
        TopicsCommand::Describe { topic, exclude_internal } => {
            let described = match topic.get() {
                Some(name) => vec![log.describe_topic(name)?],
                None => shown_topics(log, *exclude_internal),
            };
            describe(log, &described, out)
        }
        TopicsCommand::Delete { topic, if_exists } => match log.delete_topic(topic.get()) {
            Err(LogError::UnknownTopic { .. }) if *if_exists => Ok(()),
            deleted => Ok(deleted?),
        },
    }
}

fn list(log: &Log, exclude_internal: bool, out: &mut Out) -> Result<(), CliError> {
    let topics = shown_topics(log, exclude_internal);
    if out.format() == Format::Table {
        for topic in &topics {
            out.line(&topic.name)?;
        }
        return out.flush();
    }
    let mut grid = Grid::new(vec![Heading::text("topic"), Heading::number("partitions")]);
    for topic in &topics {
        grid.push(vec![topic.name.as_ref().into(), topic.partitions.into()]);
    }
    out.grid(&grid)
}

/// Kafka's layout for people: a line for the topic, an indented one for each partition.
fn describe(log: &Log, topics: &[TopicDescription], out: &mut Out) -> Result<(), CliError> {
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
        for partition in 0..topic.partitions {
            let place = TopicPartition::new(topic.name.clone(), partition);
            let start = log.offsets(&place, OffsetSpec::Earliest)?.get();
            let end = log.offsets(&place, OffsetSpec::Latest)?.get();
            if out.format() == Format::Table {
                out.line(&format!(
                    "\tTopic: {}\tPartition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1\tOffsets: {start} to {end}",
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

fn shown_topics(log: &Log, exclude_internal: bool) -> Vec<TopicDescription> {
    let mut topics = log.topics();
    topics.retain(|topic| !exclude_internal || !topic.internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}
