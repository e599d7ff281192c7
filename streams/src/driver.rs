//! The test driver: a topology on the calling thread, over a log in memory and a clock that stands still.

mod crashes;
mod topics;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{
    Consumer, ConsumerConfig, Header, Isolation, Log, ManualClock, NewTopic, Offset, OffsetSpec, PartitionId,
    Producer, ProducerConfig, Timestamp, TopicPartition,
};

use crate::config::StreamsConfig;
use crate::crash::Plot;
use crate::error::StreamsError;
use crate::report::{ReportOrigin, RowReport};
use crate::runtime::Metrics;
use crate::runtime::app::view;
use crate::runtime::global::GlobalUpdater;
use crate::runtime::plan::{Plan, with_topics};
use crate::runtime::shared::{Components, Shared};
use crate::runtime::worker::Worker;
use crate::store::timers::{Timer, stored_timer};
use crate::store::{KeyRange, MemoryBackend, StoreView};
use crate::topology::Topology;

pub use crashes::{CrashCase, LocalState, crash_everywhere};
pub use topics::{KeyValue, TestInputTopic, TestOutputTopic};

/// A record that the topology wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
    /// The event time in ms.
    pub timestamp: i64,
    /// The key bytes.
    pub key: Option<Vec<u8>>,
    /// The value bytes.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
}

/// A record for the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRecord {
    /// The partition, or none to let the key choose.
    pub partition: Option<u32>,
    /// The event time in ms.
    pub timestamp: i64,
    /// The key bytes.
    pub key: Option<Vec<u8>>,
    /// The value bytes.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
}

impl InputRecord {
    /// A record with key and value and without headers.
    pub fn new(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> Self {
        let owned = |bytes: &[u8]| bytes.to_vec();
        Self { timestamp, key: key.map(owned), value: value.map(owned), ..Self::default() }
    }
}

/// Runs a topology deterministically: every call returns when all that follows from it is done.
///
/// With caching off there is a commit after every pipe. With caching on, coalesced output comes with
/// [`TopologyTestDriver::commit`], or when the wall clock passes the commit interval.
pub struct TopologyTestDriver {
    topology: Topology,
    plan: Plan,
    clock: Arc<ManualClock>,
    log: Log,
    components: Components,
    shared: Arc<Shared>,
    globals: Option<GlobalUpdater>,
    /// None after a crash.
    worker: Option<Worker>,
    /// Where the application is to die.
    plot: Arc<Plot>,
    /// Those that died: they say nothing more, not even that they end.
    dead: Vec<Worker>,
    producer: Producer,
    consumers: BTreeMap<String, Consumer>,
    /// Output that was fetched and not read yet, by topic.
    fetched: BTreeMap<String, VecDeque<OutputRecord>>,
    /// The partitions of topics that are made for a test.
    partitions: u32,
}

impl TopologyTestDriver {
    /// A driver whose topics have one partition.
    pub fn new(topology: Topology, config: StreamsConfig) -> Result<Self, StreamsError> {
        Self::with_partitions(topology, config, 1)
    }

    /// A driver whose topics have this many partitions.
    pub fn with_partitions(
        topology: Topology,
        config: StreamsConfig,
        partitions: u32,
    ) -> Result<Self, StreamsError> {
        let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
        let log = Log::in_memory(clock.clone());
        let mut topics = topology.source_topics();
        topics.extend(topology.sink_topics());
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            log.create_topic(NewTopic::new(&*topic).partitions(partitions))?;
        }
        let driver = Self::on_log(topology, config, log, clock)?;
        Ok(Self { partitions, ..driver })
    }

    /// A driver on a log that has the topics, such as the log of an earlier driver. State is restored from
    /// changelogs.
    pub fn on_log(
        topology: Topology,
        config: StreamsConfig,
        log: Log,
        clock: Arc<ManualClock>,
    ) -> Result<Self, StreamsError> {
        Self::with_observer(topology, config, log, clock, |_, _| {})
    }

    /// As [`TopologyTestDriver::on_log`], and shows every skipped, late or failed row to `observer`.
    pub fn with_observer(
        topology: Topology,
        config: StreamsConfig,
        log: Log,
        clock: Arc<ManualClock>,
        observer: impl Fn(&ReportOrigin<'_>, &RowReport<'_>) + Send + Sync + 'static,
    ) -> Result<Self, StreamsError> {
        let components = Components { observer: Some(Arc::new(observer)), ..Components::default() };
        Self::with_components(topology, config, log, clock, components)
    }

    pub(crate) fn with_components(
        topology: Topology,
        mut config: StreamsConfig,
        log: Log,
        clock: Arc<ManualClock>,
        mut components: Components,
    ) -> Result<Self, StreamsError> {
        config.stream_threads = 1;
        let topology = with_topics(&topology, &config, &log)?;
        let plot = Arc::<Plot>::default();
        components.crash = Some(plot.hook());
        let plan = Plan::new(&topology, &config, &log)?;
        let backend = Arc::new(MemoryBackend::default());
        let shared = Arc::new(Shared::new(config, backend, components.clone()));
        let producer = log.producer(ProducerConfig::default())?;
        let mut driver = Self {
            topology,
            plan,
            clock,
            log,
            components,
            shared,
            globals: None,
            worker: None,
            plot,
            dead: Vec::new(),
            producer,
            consumers: BTreeMap::new(),
            fetched: BTreeMap::new(),
            partitions: 1,
        };
        driver.begin()?;
        Ok(driver)
    }

    /// Writes one record to a topic and runs until nothing is left to do.
    pub fn pipe(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
    ) -> Result<(), StreamsError> {
        self.pipe_all(topic, &[InputRecord::new(key, value, timestamp)])
    }

    /// Writes records to a topic as one batch and runs until nothing is left to do.
    pub fn pipe_all(&mut self, topic: &str, records: &[InputRecord]) -> Result<(), StreamsError> {
        self.write(topic, records)?;
        self.run()
    }

    /// Writes records without running anything: for tests of the order between partitions.
    pub fn write(&mut self, topic: &str, records: &[InputRecord]) -> Result<(), StreamsError> {
        let handle = self.producer.topic(topic)?;
        for record in records {
            self.producer.append(
                handle,
                record.partition.map(PartitionId::new),
                Some(Timestamp::new(record.timestamp)),
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            )?;
        }
        self.producer.flush()?;
        Ok(())
    }

    /// Runs until nothing is left to do.
    pub fn run(&mut self) -> Result<(), StreamsError> {
        if let Some(globals) = &self.globals {
            globals.catch_up()?;
        }
        let caching = self.shared.config.caching();
        self.alive(|worker| run(worker, caching))
    }

    /// Commits, so that coalesced output appears and committed state can be queried, and runs what follows.
    pub fn commit(&mut self) -> Result<(), StreamsError> {
        let caching = self.shared.config.caching();
        self.alive(|worker| {
            loop {
                run(worker, caching)?;
                if !worker.has_moved() {
                    return Ok(());
                }
                worker.commit()?;
            }
        })
    }

    /// Moves the wall clock and does what is due.
    pub fn advance_wall_clock(&mut self, time: Duration) -> Result<(), StreamsError> {
        self.clock.advance(time);
        self.run()
    }

    /// What was written to a topic since the last read of it, by partition and offset.
    pub fn read(&mut self, topic: &str) -> Result<Vec<OutputRecord>, StreamsError> {
        self.fetch(topic)?;
        Ok(self.fetched.remove(topic).unwrap_or_default().into())
    }

    /// The next record that was written to a topic and not read yet.
    fn next_output(&mut self, topic: &str) -> Result<Option<OutputRecord>, StreamsError> {
        self.fetch(topic)?;
        Ok(self.fetched.get_mut(topic).and_then(VecDeque::pop_front))
    }

    /// How many records were written to a topic and not read yet.
    fn queued_output(&mut self, topic: &str) -> Result<usize, StreamsError> {
        self.fetch(topic)?;
        Ok(self.fetched.get(topic).map_or(0, VecDeque::len))
    }

    fn fetch(&mut self, topic: &str) -> Result<(), StreamsError> {
        if !self.consumers.contains_key(topic) {
            let consumer = reader(&self.log, topic, Isolation::ReadUncommitted)?;
            self.consumers.insert(topic.to_owned(), consumer);
        }
        let output = read_on(self.consumers.get_mut(topic).expect("it was made above"))?;
        self.fetched.entry(topic.to_owned()).or_default().extend(output);
        Ok(())
    }

    /// All committed records of a topic, by partition and offset. With exactly once, that is what counts.
    pub fn read_committed(&self, topic: &str) -> Result<Vec<OutputRecord>, StreamsError> {
        read_committed(&self.log, topic)
    }

    /// The committed state of a store.
    pub fn store(&self, name: &str) -> Result<StoreView, StreamsError> {
        view(&self.topology, &self.plan, &self.shared, name)
    }

    /// The committed timers of a store of timers, by clock and time.
    pub fn timers(&self, store: &str) -> Result<Vec<Timer>, StreamsError> {
        let mut timers = Vec::new();
        for row in self.store(store)?.scan(KeyRange::all()) {
            timers.extend(stored_timer(&row?.key));
        }
        timers.sort();
        Ok(timers)
    }

    /// What queries must know: the topology, the application id and the committed positions.
    pub(crate) fn asked(&self) -> (&Topology, &str, BTreeMap<TopicPartition, Offset>) {
        let positions = self
            .plan
            .inputs()
            .map(|input| (input.clone(), self.shared.position(input).unwrap_or(Offset::new(0))));
        (&self.topology, &self.shared.config.application_id, positions.collect())
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.snapshot()
    }

    /// The log, for topics of the test's own and for a next driver.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }
}

fn run(worker: &mut Worker, caching: bool) -> Result<(), StreamsError> {
    loop {
        while worker.round()? {}
        // Rows on their way through repartition topics: visible after a flush, or if exactly once after a
        // commit.
        worker.flush_outputs()?;
        if worker.round()? {
            continue;
        }
        if caching || !worker.has_moved() {
            return Ok(());
        }
        worker.commit()?;
    }
}

/// All committed records of a topic, by partition and offset.
pub(crate) fn read_committed(log: &Log, topic: &str) -> Result<Vec<OutputRecord>, StreamsError> {
    read_on(&mut reader(log, topic, Isolation::ReadCommitted)?)
}

/// A consumer at the start of a topic.
fn reader(log: &Log, topic: &str, isolation: Isolation) -> Result<Consumer, StreamsError> {
    let mut consumer = log.consumer(ConsumerConfig::default().isolation(isolation))?;
    let partitions = log.describe_topic(topic)?.partitions;
    let partitions: Vec<TopicPartition> = (0..partitions).map(|p| TopicPartition::new(topic, p)).collect();
    consumer.assign(partitions.clone())?;
    for partition in &partitions {
        consumer.seek_to(partition, OffsetSpec::Earliest)?;
    }
    Ok(consumer)
}

/// What a consumer finds, by partition and offset.
fn read_on(consumer: &mut Consumer) -> Result<Vec<OutputRecord>, StreamsError> {
    let mut output = Vec::new();
    loop {
        let runs = consumer.poll(Duration::ZERO)?;
        if runs.is_empty() {
            output.sort_by_key(|record: &OutputRecord| (record.partition, record.offset));
            return Ok(output);
        }
        for run in &runs {
            for record in run.records() {
                let record = record?;
                output.push(OutputRecord {
                    partition: run.partition.partition,
                    offset: record.offset,
                    timestamp: record.timestamp.get(),
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record.headers().to_owned()?,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
