//! `millstream consume`: the records of topics on standard output.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use millstream_log::{
    Consumer, ConsumerConfig, Decoder, Log, LogError, Offset, OffsetSpec, RecordView, TopicPartition,
};

use crate::args::{ConsumeArgs, Formatter, Global};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Out};
use crate::record_format::{Printable, RecordFormat, json};
use crate::{place, properties_file};

/// How long a poll may last before Ctrl-C is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// Prints records until `--max-messages`, `--timeout-ms`, the end or Ctrl-C, then says how many there were.
pub(crate) fn run(global: &Global, args: &ConsumeArgs) -> Result<(), CliError> {
    let properties = properties_file::with(args.formatter_config.as_deref(), &args.properties)?;
    let format = RecordFormat::from_properties(&properties)?
        .deserializers(args.key_deserializer, args.value_deserializer);
    let given = properties_file::with(args.consumer_config.as_deref(), &args.consumer_properties)?;
    let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let config = ConsumerConfig::from_properties(settings(args).into_iter().chain(given))?;
    let interrupt = Interrupt::install()?;
    let log = Log::open(global.log_dir())?;
    let mut printing = Printing {
        args,
        format,
        out: Out::new(global.output),
        most: args.max_messages.unwrap_or(u64::MAX),
        count: 0,
        line: Vec::new(),
    };
    let result = printing.run(&log, config, &interrupt);
    log.close()?;
    result
}

/// The consumer's settings, as the options say.
fn settings(args: &ConsumeArgs) -> Vec<(&str, &str)> {
    let mut settings = vec![("auto.offset.reset", if args.from_beginning { "earliest" } else { "latest" })];
    match &args.group {
        Some(group) => settings.push(("group.id", group)),
        None => settings.push(("enable.auto.commit", "false")),
    }
    settings.extend(args.isolation_level.iter().map(|level| ("isolation.level", level.as_str())));
    settings
}

/// Records on their way to standard output.
struct Printing<'a> {
    args: &'a ConsumeArgs,
    format: RecordFormat,
    out: Out,
    most: u64,
    count: u64,
    line: Vec<u8>,
}

impl Printing<'_> {
    fn run(&mut self, log: &Log, config: ConsumerConfig, interrupt: &Interrupt) -> Result<(), CliError> {
        let mut consumer = log.consumer(config)?;
        start(log, &mut consumer, self.args)?;
        let mut outcome = Ok(());
        let mut last_record = log.clock().monotonic();
        while self.count < self.most && !interrupt.is_set() {
            let before = self.count;
            let at_end = match self.print_next(&mut consumer) {
                Ok(at_end) => at_end,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let now = log.clock().monotonic();
            let timeout = self.args.timeout_ms.map(Duration::from_millis);
            if self.count > before {
                last_record = now;
            } else if timeout.is_some_and(|limit| now - last_record >= limit)
                || (self.args.exit_at_end && at_end)
            {
                break;
            }
        }
        if self.args.group.is_some() && outcome.is_ok() {
            consumer.commit()?;
        }
        consumer.close()?;
        // Nobody may be reading any more: that is no reason to fail.
        let _unread = writeln!(io::stderr(), "Processed a total of {} messages", self.count);
        outcome.and_then(|()| interrupt.check())
    }

    /// Polls once and prints what came. Returns whether nothing came.
    fn print_next(&mut self, consumer: &mut Consumer) -> Result<bool, CliError> {
        let polled = match consumer.poll(WAIT) {
            Err(error @ LogError::Corrupt { .. }) if self.args.skip_message_on_error => {
                self.skip(consumer, &error)?;
                return Ok(false);
            }
            polled => polled?,
        };
        let at_end = polled.is_empty();
        for records in polled {
            let place = records.partition.clone();
            for record in records.records() {
                let record = record?;
                if self.count == self.most {
                    // The group must not skip what was fetched and not printed.
                    consumer.seek(&place, record.offset)?;
                    break;
                }
                match self.print(&place, &record) {
                    Err(CliError::Failed(error)) if self.args.skip_message_on_error => {
                        tracing::warn!(partition = %place, offset = %record.offset, "skipped: {error}");
                    }
                    printed => printed?,
                }
                self.count += 1;
            }
        }
        self.out.flush()?;
        Ok(at_end)
    }

    fn print(&mut self, place: &TopicPartition, record: &RecordView<'_>) -> Result<(), CliError> {
        let decoder = match self.args.formatter {
            Formatter::Default => None,
            Formatter::Offsets => Some(Decoder::ConsumerOffsets),
            Formatter::TransactionLog => Some(Decoder::TransactionState),
        };
        if let Some(json) =
            decoder.and_then(|decoder| decoder.record_to_json(record.offset, record.key, record.value))
        {
            return self.out.line(&json);
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
            key: record.key.map(Cow::Borrowed),
            value: record.value.map(Cow::Borrowed),
        };
        let printable = self.format.deserialize(printable)?;
        self.line.clear();
        match self.out.format() {
            Format::Json => self.out.line(&json(&printable)),
            Format::Table | Format::Csv => {
                self.format.write(&printable, &mut self.line);
                self.out.bytes(&self.line)
            }
        }
    }

    /// Moves behind damage that a poll met.
    fn skip(&self, consumer: &mut Consumer, error: &LogError) -> Result<(), CliError> {
        let LogError::Corrupt { path, offset_end, .. } = error else { return Ok(()) };
        let dir = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let assignment = consumer.assignment();
        let Some(partition) = assignment.iter().find(|partition| partition.to_string() == dir) else {
            return Ok(());
        };
        tracing::warn!(%error, "skipped");
        Ok(consumer.seek(partition, *offset_end)?)
    }
}

fn start(log: &Log, consumer: &mut Consumer, args: &ConsumeArgs) -> Result<(), CliError> {
    let names = match &args.topic.include {
        Some(pattern) => {
            let pattern = place::pattern(pattern)?;
            let mut topics = log.topics();
            topics.retain(|topic| !topic.internal && pattern.is_match(&topic.name));
            if topics.is_empty() {
                return Err(CliError::Failed(format!("no topic matches `{pattern}`")));
            }
            topics.into_iter().map(|topic| topic.name.to_string()).collect()
        }
        None => {
            let name = args.topic.name.as_deref().or(args.topic.option.as_deref()).unwrap_or_default();
            log.describe_topic(name)?;
            vec![name.to_owned()]
        }
    };
    if args.partition.is_none() && args.offset.is_none() {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        consumer.subscribe(&names)?;
        return Ok(());
    }
    let mut partitions = Vec::new();
    for name in names {
        let numbers = match &args.partition {
            Some(list) => place::partitions(list)?,
            None => (0..log.describe_topic(&name)?.partitions).collect(),
        };
        partitions.extend(numbers.into_iter().map(|number| TopicPartition::new(name.as_str(), number)));
    }
    consumer.assign(partitions.clone())?;
    let offset = match &args.offset {
        Some(offset) => offset.as_str(),
        None if args.from_beginning => "earliest",
        None => "latest",
    };
    partitions.iter().try_for_each(|partition| seek(log, consumer, partition, offset))
}

fn seek(log: &Log, consumer: &mut Consumer, partition: &TopicPartition, to: &str) -> Result<(), CliError> {
    let wrong =
        || CliError::Usage(format!("--offset is earliest, latest, a number, -N or s@TIME, not `{to}`"));
    match to {
        "earliest" | "beginning" => consumer.seek_to(partition, OffsetSpec::Earliest)?,
        "latest" | "end" => consumer.seek_to(partition, OffsetSpec::Latest)?,
        _ => {
            if let Some(time) = to.strip_prefix("s@") {
                consumer.seek_to(partition, OffsetSpec::At(place::time(time)?))?;
            } else if let Some(last) = to.strip_prefix('-') {
                let last: u64 = last.parse().map_err(|_| wrong())?;
                let start = log.offsets(partition, OffsetSpec::Earliest)?;
                let end = log.offsets(partition, OffsetSpec::Latest)?;
                consumer.seek(partition, Offset::new(end.get().saturating_sub(last)).max(start))?;
            } else {
                consumer.seek(partition, Offset::new(to.parse().map_err(|_| wrong())?))?;
            }
        }
    }
    Ok(())
}
