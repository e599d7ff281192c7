//! `millstream topics offsets` and `delete-records`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use millstream_log::{Log, LogError, Offset, OffsetSpec, TopicPartition};
use serde::Deserialize;

use crate::args::OffsetsArgs;
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::place;

/// Prints `topic:partition:offset` lines; the offset is empty where no record is that late.
pub(super) fn list(log: &Log, args: &OffsetsArgs, out: &mut Out) -> Result<(), CliError> {
    let spec = match args.time.as_str() {
        "latest" | "-1" => OffsetSpec::Latest,
        "earliest" | "-2" | "earliest-local" | "-4" => OffsetSpec::Earliest,
        "max-timestamp" | "-3" => OffsetSpec::MaxTimestamp,
        time => OffsetSpec::At(place::time(time)?),
    };
    let mut grid =
        Grid::new(vec![Heading::text("topic"), Heading::number("partition"), Heading::number("offset")]);
    for partition in partitions(log, args)? {
        let end = log.offsets(&partition, OffsetSpec::Latest)?;
        let offset = log.offsets(&partition, spec)?;
        let is_none = matches!(spec, OffsetSpec::At(_)) && offset == end;
        if out.format() == Format::Table {
            let offset = if is_none { String::new() } else { offset.to_string() };
            out.line(&format!("{}:{}:{offset}", partition.topic, partition.partition))?;
        }
        let offset = if is_none { Cell::Null } else { offset.get().into() };
        grid.push(vec![partition.topic.as_ref().into(), partition.partition.get().into(), offset]);
    }
    if out.format() == Format::Table { out.flush() } else { out.grid(&grid) }
}

fn partitions(log: &Log, args: &OffsetsArgs) -> Result<BTreeSet<TopicPartition>, CliError> {
    let mut selected = BTreeSet::new();
    let mut select = |pattern: &str, numbers: Option<Vec<u32>>| -> Result<(), CliError> {
        for topic in
            super::named(log, (!pattern.is_empty()).then_some(pattern), args.exclude_internal_topics, false)?
        {
            let all = 0..topic.partitions;
            let numbers = numbers.clone().unwrap_or_else(|| all.clone().collect());
            selected.extend(
                numbers
                    .into_iter()
                    .filter(|number| all.contains(number))
                    .map(|number| TopicPartition::new(topic.name.clone(), number)),
            );
        }
        Ok(())
    };
    match &args.topic_partitions {
        Some(list) => {
            // A comma also stands between partitions of one topic: `a:0,1` goes on with numbers, `a:0,b:1` with a name.
            let mut parts: Vec<String> = Vec::new();
            for part in list.split(',') {
                let goes_on = part.starts_with(|first: char| first.is_ascii_digit()) && !part.contains(':');
                match parts.last_mut() {
                    Some(last) if goes_on => *last = format!("{last},{part}"),
                    _ => parts.push(part.to_owned()),
                }
            }
            for part in parts {
                let (pattern, numbers) = place::topic_with_partitions(&part)?;
                select(pattern, numbers)?;
            }
        }
        None => {
            let numbers = args.partitions.as_deref().map(place::partitions).transpose()?;
            select(args.topic.get().unwrap_or_default(), numbers)?;
        }
    }
    Ok(selected)
}

/// The file that Kafka's tool takes.
#[derive(Debug, Deserialize)]
struct OffsetFile {
    partitions: Vec<OffsetEntry>,
    #[serde(default = "one")]
    version: u32,
}

#[derive(Debug, Deserialize)]
struct OffsetEntry {
    topic: String,
    partition: u32,
    offset: i64,
}

fn one() -> u32 {
    1
}

/// Deletes records and prints the new first offset of each partition. Partitions that fail do not keep others.
pub(super) fn delete_records(
    log: &Log,
    before: &[String],
    file: Option<&Path>,
    out: &mut Out,
) -> Result<(), CliError> {
    let entries = match file {
        Some(path) => read(path)?,
        None => before.iter().map(|text| parse(text)).collect::<Result<_, _>>()?,
    };
    let mut seen = BTreeSet::new();
    for (partition, _) in &entries {
        if !seen.insert(partition) {
            return Err(CliError::Usage(format!("{partition} is named twice: give one offset for it")));
        }
    }
    let mut grid = Grid::new(vec![
        Heading::text("topic"),
        Heading::number("partition"),
        Heading::number("low_watermark"),
        Heading::text("error"),
    ]);
    let mut failed = None;
    for (partition, offset) in &entries {
        let outcome = log.delete_records(partition, *offset);
        if out.format() == Format::Table {
            out.line(&match &outcome {
                Ok(low_watermark) => format!("partition: {partition}\tlow_watermark: {low_watermark}"),
                Err(error) => format!("partition: {partition}\terror: {error}"),
            })?;
        }
        let (low_watermark, error) = match &outcome {
            Ok(offset) => (offset.get().into(), Cell::Null),
            Err(error) => (Cell::Null, Cell::Text(error.to_string())),
        };
        grid.push(vec![
            partition.topic.as_ref().into(),
            partition.partition.get().into(),
            low_watermark,
            error,
        ]);
        failed = failed.or(outcome.err());
    }
    if out.format() == Format::Table {
        out.flush()?
    } else {
        out.grid(&grid)?
    }
    failed.map_or(Ok(()), |error: LogError| Err(error.into()))
}

fn read(path: &Path) -> Result<Vec<(TopicPartition, Option<Offset>)>, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let file: OffsetFile = serde_json::from_str(&text).map_err(|error| {
        CliError::Usage(format!(
            "{}: {error}: it takes {{\"partitions\":[{{\"topic\",\"partition\",\"offset\"}}]}}",
            path.display()
        ))
    })?;
    if file.version != 1 {
        return Err(CliError::Usage(format!(
            "{}: version {} is unknown: use 1",
            path.display(),
            file.version
        )));
    }
    let entry = |entry: OffsetEntry| {
        Ok((TopicPartition::new(entry.topic, entry.partition), before_offset(entry.offset)?))
    };
    file.partitions.into_iter().map(entry).collect()
}

fn parse(text: &str) -> Result<(TopicPartition, Option<Offset>), CliError> {
    let wrong = || CliError::Usage(format!("give TOPIC:PARTITION:OFFSET, not `{text}`"));
    let (rest, offset) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (topic, partition) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let partition: u32 = partition.parse().map_err(|_| wrong())?;
    Ok((TopicPartition::new(topic, partition), before_offset(offset.parse().map_err(|_| wrong())?)?))
}

/// -1 is everything there is.
fn before_offset(offset: i64) -> Result<Option<Offset>, CliError> {
    match offset {
        -1 => Ok(None),
        offset => match u64::try_from(offset) {
            Ok(offset) => Ok(Some(Offset::new(offset))),
            Err(_) => Err(CliError::Usage(format!("an offset is -1 or from 0, not {offset}"))),
        },
    }
}
