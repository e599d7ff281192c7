//! Commits, crashes at every step of them, restores, and the threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{
    Clock, Log, ManualClock, NewTopic, Offset, OffsetSpec, Producer, ProducerConfig, Record, SystemClock,
    Timestamp, TopicPartition,
};

use crate::config::StreamsConfig;
use crate::driver::TopologyTestDriver;
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::error::StreamsError;
use crate::runtime::app::{Streams, view};
use crate::runtime::plan::Plan;
use crate::runtime::shared::{Components, Shared, State};
use crate::runtime::worker::Worker;
use crate::serde::{Int64, Utf8};
use crate::store::MemoryBackend;
use crate::topology::Topology;

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by_key()
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

fn write(log: &Log, keys: impl IntoIterator<Item = u32>) {
    let mut producer: Producer = log.producer(ProducerConfig::default()).unwrap();
    for key in keys {
        let record = Record {
            key: Some(format!("key-{key}").into()),
            value: Some(1i64.to_be_bytes().to_vec().into()),
            timestamp: Some(Timestamp::new(i64::from(key))),
            headers: Vec::new(),
            partition: None,
        };
        producer.send("in", record).unwrap();
    }
    producer.flush().unwrap();
}

fn topics(log: &Log, partitions: u32) {
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(partitions)).unwrap();
    }
}

/// One life of an application: what dies with the process is here, what stays is in the log and the backend.
struct Life {
    topology: Topology,
    plan: Plan,
    shared: Arc<Shared>,
    worker: Worker,
}

impl Life {
    fn begin(log: &Log, backend: &Arc<MemoryBackend>, config: StreamsConfig) -> Self {
        let topology = counting();
        let plan = Plan::new(&topology, &config, log).unwrap();
        let shared = Arc::new(Shared::new(config, backend.clone(), Components::default()));
        let mut worker = Worker::new(0, &plan.tasks, &topology, log, &shared).unwrap();
        worker.restore().unwrap();
        Self { topology, plan, shared, worker }
    }

    fn process(&mut self) {
        while self.worker.poll(Duration::ZERO).unwrap() || self.worker.process().unwrap() > 0 {}
    }

    fn counts(&self) -> BTreeMap<String, i64> {
        let store = view(&self.topology, &self.plan, &self.shared, "counts").unwrap();
        let rows = store.scan(Default::default()).map(|row| {
            let row = row.unwrap();
            (String::from_utf8(row.key).unwrap(), i64::from_be_bytes(row.value.try_into().unwrap()))
        });
        rows.collect()
    }

    fn restored(&self) -> u64 {
        self.shared.counters.snapshot().restored
    }
}

fn memory_log() -> Log {
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
    topics(&log, 2);
    log
}

#[test]
fn a_crash_at_any_step_of_a_commit_neither_loses_nor_doubles() {
    for caching in [false, true] {
        for steps in 0..=4 {
            let mut config = StreamsConfig::new("app").exactly_once();
            config.cache_max_bytes = if caching { 1 << 20 } else { 0 };
            let (log, backend) = (memory_log(), Arc::new(MemoryBackend::default()));
            write(&log, (0..60).map(|n| n % 7));
            let mut life = Life::begin(&log, &backend, config.clone());
            life.process();
            life.worker.commit().unwrap();
            write(&log, (0..40).map(|n| n % 5));
            life.process();
            // 0: processed only; 1: prepared; 2: handed to the log; 3: committed in the log; 4: applied
            if steps >= 1 {
                let prepared = life.worker.prepare().unwrap();
                if steps >= 2 {
                    life.worker.flush_outputs().unwrap();
                }
                if steps >= 3 {
                    life.worker.commit_log(&prepared).unwrap();
                }
                if steps >= 4 {
                    life.worker.apply().unwrap();
                }
            }
            drop(life);
            let mut life = Life::begin(&log, &backend, config);
            // Only what the log has and the backend has not is read: the five keys of the last transaction.
            let expected_restored = if steps == 3 { 5 } else { 0 };
            assert_eq!(life.restored(), expected_restored, "after step {steps}, caching {caching}");
            write(&log, 0..3);
            life.process();
            life.worker.commit().unwrap();
            let expected: BTreeMap<String, i64> = (0..7)
                .map(|key| {
                    let first = (0..60).filter(|n| n % 7 == key).count();
                    let second = (0..40).filter(|n| n % 5 == key).count();
                    let third = usize::from(key < 3);
                    (format!("key-{key}"), i64::try_from(first + second + third).unwrap())
                })
                .collect();
            assert_eq!(life.counts(), expected, "after step {steps}, caching {caching}");
            assert_eq!(committed_output(&log), expected, "after step {steps}, caching {caching}");
        }
    }
}

#[test]
fn what_was_repartitioned_and_committed_is_deleted() {
    let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
    let log = Log::in_memory(clock.clone());
    topics(&log, 1);
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by(|_, value| *value)
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    let (topology, config) = (builder.build().unwrap(), StreamsConfig::new("app").exactly_once());
    let plan = Plan::new(&topology, &config, &log).unwrap();
    let purge_interval = config.repartition_purge_interval;
    let shared = Arc::new(Shared::new(config, Arc::new(MemoryBackend::default()), Components::default()));
    let mut worker = Worker::new(0, &plan.tasks, &topology, &log, &shared).unwrap();
    let repartitioned = plan.inputs().find(|input| &*input.topic != "in").unwrap();
    let start = || log.offsets(repartitioned, OffsetSpec::Earliest).unwrap();
    // What a commit passes on is read and committed by the next one.
    let mut round = || {
        write(&log, 0..10);
        for _ in 0..2 {
            while worker.poll(Duration::ZERO).unwrap() || worker.process().unwrap() > 0 {}
            worker.commit().unwrap();
        }
    };
    round();
    assert_eq!(start(), Offset::ZERO);
    clock.advance(purge_interval);
    round();
    let committed = log.committed_offsets("app").into_iter().find(|(id, _)| id == repartitioned).unwrap().1;
    assert!(start() >= Offset::new(10) && start() <= committed.offset, "{}", start());
}

/// The last committed value of every key of the output topic. Counts may only grow by commits.
fn committed_output(log: &Log) -> BTreeMap<String, i64> {
    let config =
        millstream_log::ConsumerConfig::default().isolation(millstream_log::Isolation::ReadCommitted);
    let mut consumer = log.consumer(config).unwrap();
    let partitions: Vec<_> = (0..2).map(|partition| TopicPartition::new("out", partition)).collect();
    consumer.assign(partitions.clone()).unwrap();
    for partition in &partitions {
        consumer.seek_to(partition, millstream_log::OffsetSpec::Earliest).unwrap();
    }
    let mut last = BTreeMap::new();
    loop {
        let runs = consumer.poll(Duration::ZERO).unwrap();
        if runs.is_empty() {
            return last;
        }
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.unwrap();
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
            if let Some(before) = last.insert(key, count) {
                assert!(before < count, "a count went from {before} to {count}");
            }
        }
    }
}

#[test]
fn a_lost_backend_is_restored_from_the_changelog() {
    let log = memory_log();
    let config = StreamsConfig::new("app").exactly_once();
    write(&log, (0..60).map(|n| n % 7));
    let mut life = Life::begin(&log, &Arc::new(MemoryBackend::default()), config.clone());
    life.process();
    life.worker.commit().unwrap();
    let counts = life.counts();
    drop(life);
    let life = Life::begin(&log, &Arc::new(MemoryBackend::default()), config);
    assert_eq!((life.counts(), life.restored()), (counts, 7));
}

#[test]
fn at_least_once_processes_again_what_was_not_committed() {
    let (log, backend) = (memory_log(), Arc::new(MemoryBackend::default()));
    write(&log, [1, 1, 2]);
    let mut life = Life::begin(&log, &backend, StreamsConfig::new("app"));
    life.process();
    drop(life);
    let mut life = Life::begin(&log, &backend, StreamsConfig::new("app"));
    life.process();
    life.worker.commit().unwrap();
    assert_eq!(life.counts(), BTreeMap::from([("key-1".to_owned(), 2), ("key-2".to_owned(), 1)]));
}

#[test]
fn too_much_uncommitted_state_forces_a_commit() {
    let (log, backend) = (memory_log(), Arc::new(MemoryBackend::default()));
    let mut config = StreamsConfig::new("app");
    config.uncommitted_max_bytes = 100;
    write(&log, 0..20);
    let mut life = Life::begin(&log, &backend, config);
    while life.worker.round().unwrap() {}
    assert!(life.shared.counters.snapshot().commits > 0);
}

#[test]
fn threads_share_the_tasks_and_state_survives_a_restart() {
    let (logs, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = StreamsConfig::new("app").exactly_once();
    config.stream_threads = 3;
    config.state_dir = state.path().to_path_buf();
    let log =
        Log::builder().dir(logs.path()).clock(Arc::new(SystemClock::new()) as Arc<dyn Clock>).open().unwrap();
    topics(&log, 4);
    for round in 1..=2 {
        let mut app = Streams::open(counting(), config.clone(), log.clone()).unwrap();
        assert_eq!((app.state(), app.tasks().len()), (State::Created, 4));
        app.start().unwrap();
        write(&log, (0..1000).map(|n| n % 50));
        assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
        assert_eq!(app.state(), State::Running);
        assert_eq!(app.metrics().restored, 0, "RocksDB had everything");
        let counts = app.store("counts").unwrap();
        assert_eq!(counts.scan(Default::default()).count(), 50);
        for key in 0..50 {
            let row = counts.get(format!("key-{key}").as_bytes()).unwrap().unwrap();
            assert_eq!(row.value, (20i64 * round).to_be_bytes());
        }
        app.close().unwrap();
    }
}

#[test]
fn damaged_state_is_built_anew_from_the_changelog() {
    let (logs, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = StreamsConfig::new("app").exactly_once();
    config.state_dir = state.path().to_path_buf();
    let log = Log::open(logs.path()).unwrap();
    topics(&log, 2);
    let database = state.path().join("app/rocksdb");
    let mut total = 0;
    for damaged in ["", "CURRENT", "MANIFEST-", ".sst"] {
        let files = std::fs::read_dir(&database).into_iter().flatten().map(|entry| entry.unwrap().path());
        let lost = files.filter(|path| !damaged.is_empty() && path.to_str().unwrap().contains(damaged));
        lost.for_each(|path| std::fs::remove_file(path).unwrap());
        let mut app = Streams::open(counting(), config.clone(), log.clone()).unwrap();
        app.start().unwrap();
        write(&log, (0..1000).map(|n| n % 50));
        total += 20i64;
        assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap(), "without {damaged}");
        let counts = app.store("counts").unwrap();
        for key in 0..50 {
            let row = counts.get(format!("key-{key}").as_bytes()).unwrap().unwrap();
            assert_eq!(row.value, total.to_be_bytes(), "without {damaged}");
        }
        assert_eq!(app.metrics().restored > 0, !damaged.is_empty());
        assert_eq!(database.with_extension("damaged").exists(), !damaged.is_empty());
        drop(counts);
        app.close().unwrap();
    }
}

#[test]
fn a_failure_stops_the_application_and_is_told() {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    topics(&log, 1);
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64)).for_each(|_, _| panic!("no luck"));
    let mut app = Streams::open(builder.build().unwrap(), StreamsConfig::new("app"), log.clone()).unwrap();
    app.start().unwrap();
    write(&log, [1]);
    let error = app.wait_caught_up(Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.to_string(), "stream thread 0 panicked: no luck");
    assert_eq!(app.state(), State::Error);
    assert!(app.close().is_err());
}

#[test]
fn topics_are_checked_when_opened() {
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
    let open = |topology| {
        let opened = Streams::open(topology, StreamsConfig::new("app"), log.clone());
        opened.err().map(|error: StreamsError| error.to_string())
    };
    assert_eq!(
        open(counting()).unwrap(),
        "topic \"in\" of node KSTREAM-SOURCE-0000000000 does not exist: create it before the application starts"
    );
    log.create_topic(NewTopic::new("in").partitions(2)).unwrap();
    log.create_topic(NewTopic::new("table").partitions(3)).unwrap();
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("table", Consumed::with(Utf8, Int64));
    let stream = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64));
    stream.join(&table, |left, right| left + right).for_each(|_, _| ());
    assert_eq!(
        open(builder.build().unwrap()).unwrap(),
        "topics are not co-partitioned: table (3), in (2): give them the same number of partitions, or repartition one"
    );
}

#[test]
fn unknown_stores_are_told() {
    let driver = TopologyTestDriver::new(counting(), StreamsConfig::new("app")).unwrap();
    let error = driver.store("count").unwrap_err().to_string();
    assert_eq!(error, "no store \"count\" here: there is counts");
}
