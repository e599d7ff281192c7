//! Connectors through the worker, on a log in a temporary directory.

mod config;
mod restart;
mod sink;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use millstream_connect::{ConnectorConfig, ConnectorHandle, Worker, WorkerConfig};
use millstream_log::{AutoOffsetReset, ConsumerConfig, Isolation, Log, ProducerConfig, Record};
use tempfile::TempDir;

/// A directory with a log and room for files.
struct Place {
    dir: TempDir,
}

/// A record as text: partition, offset and so on do not matter to most tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    key: Option<String>,
    value: Option<String>,
    timestamp: i64,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("writable");
        path
    }

    fn append(&self, name: &str, text: &str) {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).expect("it is there");
        file.write_all(text.as_bytes()).expect("writable");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable")
    }

    fn log(&self) -> Log {
        Log::open(self.path("log")).expect("the log opens")
    }

    fn worker(&self) -> (Log, Worker) {
        let log = self.log();
        let config =
            WorkerConfig { offset_flush_interval: Duration::from_millis(1), ..WorkerConfig::default() };
        (log.clone(), Worker::new(log, config))
    }
}

fn file_source(file: &Path) -> ConnectorConfig {
    ConnectorConfig::new("source")
        .with("connector.class", "FileSource")
        .with("file", text(file))
        .with("topic", "t")
}

fn file_sink(file: &Path) -> ConnectorConfig {
    ConnectorConfig::new("sink")
        .with("connector.class", "FileSink")
        .with("file", text(file))
        .with("topics", "t")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn produce(log: &Log, topic: &str, values: &[Option<&str>]) {
    let mut producer = log.producer(ProducerConfig::default()).expect("a producer");
    for value in values {
        let value = value.map(|value| value.to_owned().into());
        producer.send(topic, Record { value, ..Record::default() }).expect("sent");
    }
    producer.flush().expect("flushed");
}

/// All committed records of a topic.
fn consume(log: &Log, topic: &str) -> Vec<Line> {
    let config = ConsumerConfig::default()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation(Isolation::ReadCommitted)
        .enable_auto_commit(false);
    let mut consumer = log.consumer(config).expect("a consumer");
    consumer.subscribe(&[topic]).expect("the topic is there");
    let mut lines = Vec::new();
    loop {
        let polled = consumer.poll(Duration::ZERO).expect("readable");
        if polled.is_empty() {
            return lines;
        }
        for records in &polled {
            for record in records.records() {
                let record = record.expect("whole");
                let text =
                    |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                lines.push(Line {
                    key: text(record.key),
                    value: text(record.value),
                    timestamp: record.timestamp.get(),
                });
            }
        }
    }
}

fn values(log: &Log, topic: &str) -> Vec<String> {
    consume(log, topic).into_iter().map(|line| line.value.unwrap_or_else(|| "NULL".into())).collect()
}

/// Waits until `done`; a test that waits in vain fails.
fn wait_until(handle: &ConnectorHandle, what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        if handle.wait_for(Duration::from_millis(20)).is_some() && !done() {
            break;
        }
    }
    panic!("{what} did not happen: {:?}", handle.status());
}
