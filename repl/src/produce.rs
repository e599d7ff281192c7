//! `millstream produce`: lines of standard input or of files become records.
//!
//! Silent as Kafka's tool, unless `--output json` or `csv` asks for what is acknowledged: partition, first and last offset.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use bytes::Bytes;
use millstream_log::{Flushed, Header, Log, NewTopic, Producer, ProducerConfig, TopicHandle};

use crate::args::{Global, ProduceArgs};
use crate::error::CliError;
use crate::line_reader::LineReader;
use crate::output::{Format, Out};
use crate::properties_file;

/// Reads until the end of the input. A topic that does not exist is created with one partition, as Kafka does.
pub(crate) fn run(global: &Global, args: &ProduceArgs) -> Result<(), CliError> {
    let properties = properties_file::with(args.reader_config.as_deref(), &args.properties)?;
    let reader = LineReader::from_properties(&properties)?;
    let given = properties_file::with(args.producer_config.as_deref(), &args.producer_properties)?;
    let config = ProducerConfig::from_properties(settings(args).into_iter().chain(given))?;
    let log = Log::open(global.log_dir())?;
    let result = produce(&log, args, &reader, config, &mut Out::new(global.output));
    log.close()?;
    result
}

/// The producer's settings, as the options say.
fn settings(args: &ProduceArgs) -> Vec<(String, String)> {
    let options = [
        ("acks", args.request_required_acks.clone()),
        ("compression.type", args.compression_codec.clone()),
        ("batch.size", args.batch_size.map(|bytes| bytes.to_string())),
        ("linger.ms", args.timeout.map(|millis| millis.to_string())),
    ];
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn produce(
    log: &Log,
    args: &ProduceArgs,
    reader: &LineReader,
    config: ProducerConfig,
    out: &mut Out,
) -> Result<(), CliError> {
    let name = args.topic.get();
    if !log.topics().iter().any(|topic| &*topic.name == name) {
        log.create_topic(NewTopic::new(name))?;
        tracing::warn!(topic = name, "the topic did not exist; created it with 1 partition");
    }
    let mut producer = log.producer(config)?;
    let topic = producer.topic(name)?;
    let mut sending = Sending { producer: &mut producer, topic, reader, sync: args.sync, out };
    let result = sending.send(args);
    // What came before a bad line is written all the same.
    sending.flush()?;
    result
}

/// Lines on their way into a topic.
struct Sending<'a> {
    producer: &'a mut Producer,
    topic: TopicHandle,
    reader: &'a LineReader,
    sync: bool,
    out: &'a mut Out,
}

impl Sending<'_> {
    fn send(&mut self, args: &ProduceArgs) -> Result<(), CliError> {
        if args.files.is_empty() {
            let interactive = io::stdin().is_terminal();
            self.sync |= interactive;
            return self.send_lines(io::stdin().lock(), interactive);
        }
        for path in &args.files {
            let file = File::open(path).map_err(|source| CliError::File {
                action: "read",
                path: path.clone(),
                source,
            })?;
            self.send_lines(BufReader::with_capacity(256 * 1024, file), false).map_err(
                |error| match error {
                    CliError::Failed(what) => CliError::Failed(format!("{}: {what}", path.display())),
                    other => other,
                },
            )?;
        }
        Ok(())
    }

    fn send_lines(&mut self, mut input: impl BufRead, prompt: bool) -> Result<(), CliError> {
        let mut line = Vec::new();
        for number in 1.. {
            if prompt {
                io::stderr().write_all(b">")?;
            }
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let parsed = self.reader.parse(without_line_break(&line), number)?;
            let headers: Vec<Header> = parsed
                .headers
                .iter()
                .map(|(name, value)| Header {
                    key: (*name).to_owned(),
                    value: value.map(Bytes::copy_from_slice),
                })
                .collect();
            self.producer.append(self.topic, None, None, parsed.key, parsed.value, &headers)?;
            if self.sync {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Waits for what was sent. With JSON or CSV asked for, tells where it is.
    fn flush(&mut self) -> Result<(), CliError> {
        let flushed = self.producer.flush()?;
        let place = |flushed: &Flushed| {
            let partition = &flushed.partition;
            [partition.partition.get().into(), flushed.first_offset.get(), flushed.last_offset.get()]
        };
        for [partition, first, last] in flushed.iter().map(place) {
            match self.out.format() {
                Format::Table => {}
                Format::Json => self.out.line(&format!(
                    "{{\"partition\":{partition},\"first_offset\":{first},\"last_offset\":{last}}}"
                ))?,
                Format::Csv => self.out.line(&format!("{partition},{first},{last}"))?,
            }
        }
        self.out.flush()
    }
}

fn without_line_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
