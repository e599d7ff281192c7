//! What the examples share: a log that is gone when they end, with typed records in and out.

use std::error::Error;
use std::time::Duration;

use millstream_log::{
    Consumer, ConsumerConfig, Isolation, Log, NewTopic, OffsetSpec, ProducerConfig, Record as LogRecord,
    Timestamp, TopicPartition,
};
use millstream_streams::dsl::Record;
use millstream_streams::serde::DefaultSerde;
use millstream_streams::{Streams, StreamsConfig, Topology};
use tempfile::TempDir;

/// What an example returns.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A log and the state of applications, in a directory that goes with this value.
pub struct Sandbox {
    log: Log,
    dir: TempDir,
}

impl Sandbox {
    /// A log with these topics.
    pub fn new(topics: &[&str], partitions: u32) -> Outcome<Self> {
        let dir = tempfile::tempdir()?;
        let log = Log::open(dir.path().join("log"))?;
        for topic in topics {
            log.create_topic(NewTopic::new(*topic).partitions(partitions))?;
        }
        Ok(Self { log, dir })
    }

    /// Opens and starts an application that processes every record exactly once.
    pub fn start(&self, application: &str, topology: Topology) -> Outcome<Streams> {
        self.start_instance(application, topology, "")
    }

    /// As [`Sandbox::start`], one of several instances that share the tasks: each has a server, by which others know it,
    /// and a state of its own.
    pub fn start_instance(&self, application: &str, topology: Topology, server: &str) -> Outcome<Streams> {
        let state = format!("state-{}", server.replace(':', "-"));
        let config = StreamsConfig::from_properties([
            ("application.id", application),
            ("application.server", server),
            ("processing.guarantee", "exactly_once_v2"),
            ("commit.interval.ms", "20"),
            ("state.dir", &self.dir.path().join(state).to_string_lossy()),
        ])?;
        let mut app = Streams::open(topology, config, self.log.clone())?;
        app.start()?;
        Ok(app)
    }

    /// Runs an application until it has processed all that is there.
    pub fn run(&self, application: &str, topology: Topology) -> Outcome<Streams> {
        let app = self.start(application, topology)?;
        if app.wait_caught_up(Duration::from_secs(60))? {
            return Ok(app);
        }
        Err(format!("{application} is not through after a minute").into())
    }

    /// Writes records to a topic.
    pub fn write<K: DefaultSerde, V: DefaultSerde>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Record<K, V>>,
    ) -> Outcome {
        let (keys, values) = (K::default_serde(), V::default_serde());
        let mut producer = self.log.producer(ProducerConfig::default())?;
        for record in records {
            let bytes = |write: &dyn Fn(&mut Vec<u8>) -> Outcome| -> Outcome<Vec<u8>> {
                let mut bytes = Vec::new();
                write(&mut bytes).map(|()| bytes)
            };
            let key = record.key.as_ref().map(|key| bytes(&|out| Ok(keys.serialize(key, out)?)));
            let value = record.value.as_ref().map(|value| bytes(&|out| Ok(values.serialize(value, out)?)));
            let record = LogRecord {
                key: key.transpose()?.map(Into::into),
                value: value.transpose()?.map(Into::into),
                timestamp: Some(Timestamp::new(record.timestamp)),
                headers: record.headers,
                partition: None,
            };
            producer.send(topic, record)?;
        }
        producer.flush()?;
        Ok(())
    }

    /// All committed records of a topic, by partition and offset.
    pub fn read<K: DefaultSerde, V: DefaultSerde>(&self, topic: &str) -> Outcome<Vec<Record<K, V>>> {
        let (keys, values) = (K::default_serde(), V::default_serde());
        let isolation = Isolation::ReadCommitted;
        let mut consumer: Consumer = self.log.consumer(ConsumerConfig::default().isolation(isolation))?;
        let mut records = Vec::new();
        for partition in 0..self.log.describe_topic(topic)?.partitions {
            let partition = TopicPartition::new(topic, partition);
            consumer.assign(vec![partition.clone()])?;
            consumer.seek_to(&partition, OffsetSpec::Earliest)?;
            loop {
                let runs = consumer.poll(Duration::ZERO)?;
                if runs.is_empty() {
                    break;
                }
                for record in runs.iter().flat_map(|run| run.records()) {
                    let record = record?;
                    records.push(Record {
                        key: record.key.map(|bytes| keys.deserialize(bytes)).transpose()?,
                        value: record.value.map(|bytes| values.deserialize(bytes)).transpose()?,
                        timestamp: record.timestamp.get(),
                        headers: record.headers().to_owned()?,
                    });
                }
            }
        }
        Ok(records)
    }
}

/// A time of day in ms, from hours, minutes and seconds.
pub fn at(hours: i64, minutes: i64, seconds: i64) -> i64 {
    ((hours * 60 + minutes) * 60 + seconds) * 1000
}

/// A time in ms as its time of day, such as `09:05:30`.
pub fn time_of_day(time: i64) -> String {
    let seconds = time / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
