//! `millstream produce`: lines of standard input become records.

use std::io::{self, BufRead, IsTerminal, Write};

use bytes::Bytes;
use millstream_log::{Header, Log, NewTopic, Producer, ProducerConfig, TopicHandle};

use crate::args::{Global, ProduceArgs};
use crate::error::CliError;
use crate::line_reader::LineReader;

/// Reads until the end of the input. A topic that does not exist is created with one partition, as Kafka does.
pub(crate) fn run(global: &Global, args: &ProduceArgs) -> Result<(), CliError> {
    let reader = LineReader::from_properties(&args.properties)?;
    let acks = args.request_required_acks.iter().map(|acks| ("acks", acks.as_str()));
    let given = args.producer_properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let config = ProducerConfig::from_properties(acks.chain(given))?;
    let log = Log::open(global.log_dir())?;
    let result = produce(&log, args, &reader, config);
    log.close()?;
    result
}

fn produce(
    log: &Log,
    args: &ProduceArgs,
    reader: &LineReader,
    config: ProducerConfig,
) -> Result<(), CliError> {
    let name = args.topic.get();
    if !log.topics().iter().any(|topic| &*topic.name == name) {
        log.create_topic(NewTopic::new(name))?;
        tracing::warn!(topic = name, "the topic did not exist; created it with 1 partition");
    }
    let mut producer = log.producer(config)?;
    let topic = producer.topic(name)?;
    let result = send_lines(&mut producer, topic, args.sync, reader);
    // What came before a bad line is written all the same.
    producer.flush()?;
    result
}

fn send_lines(
    producer: &mut Producer,
    topic: TopicHandle,
    sync: bool,
    reader: &LineReader,
) -> Result<(), CliError> {
    let interactive = io::stdin().is_terminal();
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        if interactive {
            io::stderr().write_all(b">")?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let parsed = reader.parse(without_line_break(&line), number)?;
        let headers: Vec<Header> = parsed
            .headers
            .iter()
            .map(|(name, value)| Header { key: (*name).to_owned(), value: value.map(Bytes::copy_from_slice) })
            .collect();
        producer.append(topic, None, None, parsed.key, parsed.value, &headers)?;
        if sync || interactive {
            producer.flush()?;
        }
    }
    Ok(())
}

fn without_line_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
