//! `millstream consume`: the records of a topic on standard output.

use std::io::{self, Write};
use std::time::Duration;

use millstream_log::{Consumer, ConsumerConfig, Log, Offset, OffsetSpec, TopicPartition};

use crate::args::{ConsumeArgs, Global};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Out};
use crate::record_format::{Printable, RecordFormat, json};

/// How long a poll may last before Ctrl-C is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// Prints records until `--max-messages`, `--timeout-ms` or Ctrl-C, then says how many there were.
pub(crate) fn run(global: &Global, args: &ConsumeArgs) -> Result<(), CliError> {
    let format = RecordFormat::from_properties(&args.properties)?;
    let config = ConsumerConfig::from_properties(settings(args))?;
    let interrupt = Interrupt::install()?;
    let log = Log::open(global.log_dir())?;
    let result = consume(&log, args, &format, config, &mut Out::new(global.output), &interrupt);
    log.close()?;
    result
}

/// The consumer's settings: what the options say, then what was given by name.
fn settings(args: &ConsumeArgs) -> Vec<(&str, &str)> {
    let mut settings = vec![("auto.offset.reset", if args.from_beginning { "earliest" } else { "latest" })];
    match &args.group {
        Some(group) => settings.push(("group.id", group)),
        None => settings.push(("enable.auto.commit", "false")),
    }
    settings.extend(args.isolation_level.iter().map(|level| ("isolation.level", level.as_str())));
    settings.extend(args.consumer_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    settings
}

fn consume(
    log: &Log,
    args: &ConsumeArgs,
    format: &RecordFormat,
    config: ConsumerConfig,
    out: &mut Out,
    interrupt: &Interrupt,
) -> Result<(), CliError> {
    let topic = args.topic.get();
    log.describe_topic(topic)?;
    let mut consumer = log.consumer(config)?;
    start(&mut consumer, args, topic)?;

    let most = args.max_messages.unwrap_or(u64::MAX);
    let mut count = 0;
    let mut printing = Ok(());
    let mut last_record = log.clock().monotonic();
    while count < most && !interrupt.is_set() {
        let before = count;
        printing = print_next(&mut consumer, format, out, most, &mut count);
        if printing.is_err() {
            break;
        }
        let now = log.clock().monotonic();
        if count > before {
            last_record = now;
        } else if args.timeout_ms.is_some_and(|limit| now - last_record >= Duration::from_millis(limit)) {
            break;
        }
    }
    if args.group.is_some() && printing.is_ok() {
        consumer.commit()?;
    }
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(io::stderr(), "Processed a total of {count} messages");
    printing.and_then(|()| interrupt.check())
}

fn start(consumer: &mut Consumer, args: &ConsumeArgs, topic: &str) -> Result<(), CliError> {
    let Some(partition) = args.partition else {
        consumer.subscribe(&[topic])?;
        return Ok(());
    };
    let partition = TopicPartition::new(topic, partition);
    consumer.assign(vec![partition.clone()])?;
    match args.offset.as_deref() {
        None if args.from_beginning => consumer.seek_to(&partition, OffsetSpec::Earliest)?,
        None => {}
        Some("earliest") => consumer.seek_to(&partition, OffsetSpec::Earliest)?,
        Some("latest") => consumer.seek_to(&partition, OffsetSpec::Latest)?,
        Some(number) => {
            let offset = number.parse().map_err(|_| {
                CliError::Usage(format!("--offset is earliest, latest or a number from 0, not `{number}`"))
            })?;
            consumer.seek(&partition, Offset::new(offset))?;
        }
    }
    Ok(())
}

/// Polls once and prints what came, at most up to `most` records in total.
fn print_next(
    consumer: &mut Consumer,
    format: &RecordFormat,
    out: &mut Out,
    most: u64,
    count: &mut u64,
) -> Result<(), CliError> {
    let mut line = Vec::new();
    for records in consumer.poll(WAIT)? {
        let place = records.partition.clone();
        for record in records.records() {
            let record = record?;
            if *count == most {
                // The group must not skip what was fetched and not printed.
                consumer.seek(&place, record.offset)?;
                break;
            }
            let mut headers = Vec::new();
            for header in record.headers() {
                let header = header?;
                headers.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
            }
            let printable = Printable {
                topic: &place.topic,
                partition: place.partition.get(),
                offset: record.offset.get(),
                timestamp: record.timestamp.get(),
                headers,
                key: record.key,
                value: record.value,
            };
            match out.format() {
                Format::Json => out.line(&json(&printable))?,
                Format::Table | Format::Csv => {
                    line.clear();
                    format.write(&printable, &mut line);
                    out.bytes(&line)?;
                }
            }
            *count += 1;
        }
    }
    out.flush()
}
