//! What is promised about speed, each promise beside a plain loop or another setting in the same run. Printed, not
//! asserted: machines differ, ratios less so.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use millstream_log::{
    Clock, Consumer, ConsumerConfig, Isolation, Log, NewTopic, OffsetSpec, Producer, ProducerConfig,
    SystemClock, Timestamp, TopicPartition,
};
use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
use millstream_streams::serde::{Int64, Utf8};
use millstream_streams::store::{RocksBackend, StateBackend, WriteBatch};
use millstream_streams::{Streams, StreamsConfig, Topology};

use crate::{join_of_two, log_of_two};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Rows that go through the plain RocksDB loop at a time.
const CHUNK: usize = 8192;

/// What it is called, and what prints it.
type Promise = (&'static str, fn(&SystemClock));

/// All of them, or those that `MILLSTREAM_BENCH_PROMISE` names: `stateless`, `count`, `join`, `beyond`, `latency`.
pub(crate) fn promises(_: &mut Criterion) {
    let clock = SystemClock::new();
    let chosen = std::env::var("MILLSTREAM_BENCH_PROMISE").unwrap_or_default();
    let promises: [Promise; 5] = [
        ("stateless", stateless),
        ("count", word_count),
        ("join", stream_join),
        ("beyond", beyond_memory),
        ("latency", latency),
    ];
    for (_, promise) in promises.iter().filter(|(name, _)| name.contains(&chosen)) {
        promise(&clock);
    }
}

fn millions_per_second(records: u64, time: Duration) -> f64 {
    records as f64 / time.as_secs_f64() / 1e6
}

fn timed(clock: &SystemClock, work: impl FnOnce()) -> Duration {
    let start = clock.monotonic();
    work();
    clock.monotonic().saturating_sub(start)
}

/// The fastest of three runs.
fn best(clock: &SystemClock, mut work: impl FnMut()) -> Duration {
    (0..3).map(|_| timed(clock, &mut work)).min().unwrap_or_default()
}

/// A topic "in" of as many records, keyed by a number below `keys`, each key once before any comes twice if `each`.
fn log_of(records: u64, keys: u64, each: bool) -> Log {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(1)).expect("the log is empty");
    }
    write(&log, records, keys, each);
    log
}

fn write(log: &Log, records: u64, keys: u64, each: bool) {
    let mut producer = log.producer(ProducerConfig::default()).expect("the defaults are valid");
    let topic = producer.topic("in").expect("it was created");
    for number in 0..records {
        let key = if each { number % keys } else { number.wrapping_mul(SEED) >> 20 };
        let key = (key % keys).to_be_bytes();
        let value = format!("value-{number}");
        let time = Some(Timestamp::new(i64::try_from(number / 1000).unwrap_or(i64::MAX)));
        producer.append(topic, None, time, Some(&key), Some(value.as_bytes()), &[]).expect("memory takes it");
    }
    producer.flush().expect("memory takes it");
}

fn app(log: &Log, topology: Topology, config: StreamsConfig, state: &Path) -> Streams {
    let config = StreamsConfig { state_dir: state.to_path_buf(), ..config };
    let mut app = Streams::open(topology, config, log.clone()).expect("the topics are there");
    app.start().expect("the system has threads");
    app
}

fn catch_up(app: &Streams) {
    assert!(app.wait_caught_up(Duration::from_secs(600)).expect("the application runs"));
}

/// Runs an application of its own over all records of "in".
fn process(log: &Log, topology: Topology, config: StreamsConfig) {
    let state = tempfile::tempdir().expect("the system has a place for temporary files");
    let app = app(log, topology, config, state.path());
    catch_up(&app);
    app.close().expect("the application runs");
}

/// Reads a topic of one partition from its start.
fn reader(log: &Log, topic: &str) -> Consumer {
    let config = ConsumerConfig::default().isolation(Isolation::ReadCommitted);
    let mut consumer = log.consumer(config).expect("the settings are valid");
    let partition = TopicPartition::new(topic, 0);
    consumer.assign(vec![partition.clone()]).expect("the topic is there");
    consumer.seek_to(&partition, OffsetSpec::Earliest).expect("the topic is there");
    consumer
}

fn stateless(clock: &SystemClock) {
    const RECORDS: u64 = 2_000_000;
    let topology = || {
        let builder = StreamsBuilder::new();
        builder
            .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
            .filter(|key, _| key.is_some_and(|key| key % 4 != 0))
            .map(|key, value| (key.copied().unwrap_or_default() + 1, value.to_uppercase()))
            .to("out");
        builder.build().expect("the graph is valid")
    };
    let log = log_of(RECORDS, 1000, false);
    let mut number = 0;
    let ours = best(clock, || {
        number += 1;
        process(&log, topology(), StreamsConfig::new(format!("stateless-{number}")).exactly_once());
    });
    let plain = best(clock, || {
        let mut consumer = reader(&log, "in");
        let mut producer: Producer = log.producer(ProducerConfig::default()).expect("the defaults are valid");
        let out = producer.topic("out").expect("it was created");
        loop {
            let runs = consumer.poll(Duration::ZERO).expect("memory can be read");
            if runs.is_empty() {
                break;
            }
            for record in runs.iter().flat_map(|run| run.records()) {
                let record = record.expect("it was just written");
                let key =
                    i64::from_be_bytes(record.key.and_then(|key| key.try_into().ok()).unwrap_or_default());
                if key % 4 != 0 {
                    let value = std::str::from_utf8(record.value.unwrap_or_default()).unwrap_or_default();
                    let (key, value) = ((key + 1).to_be_bytes(), value.to_uppercase());
                    let (key, value) = (Some(&key[..]), Some(value.as_bytes()));
                    producer
                        .append(out, None, Some(record.timestamp), key, value, &[])
                        .expect("memory takes it");
                }
            }
        }
        producer.flush().expect("memory takes it");
    });
    println!(
        "filter and map, topic to topic: {:.2} M records/s, plain loop {:.2} M: {:.0} % (promised: 3 M or 40 %)",
        millions_per_second(RECORDS, ours),
        millions_per_second(RECORDS, plain),
        100.0 * plain.as_secs_f64() / ours.as_secs_f64()
    );
}

fn count() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<i64, String>("in", Consumed::with(Int64, Utf8));
    words.group_by_key().count(Materialized::named("counts")).to_stream().to("out");
    builder.build().expect("the graph is valid")
}

fn word_count(clock: &SystemClock) {
    const RECORDS: u64 = 3_000_000;
    let log = log_of(RECORDS, 100_000, false);
    let mut number = 0;
    let mut run = |exactly_once: bool| {
        number += 1;
        let config = StreamsConfig::new(format!("count-{number}"));
        let interval = Duration::from_millis(100);
        let config = if exactly_once { config.exactly_once() } else { config };
        process(&log, count(), StreamsConfig { commit_interval: interval, ..config });
    };
    // In turns, so that both see the same machine.
    let (mut exactly, mut at_least) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        exactly = exactly.min(timed(clock, || run(true)));
        at_least = at_least.min(timed(clock, || run(false)));
    }
    println!(
        "count of 100,000 keys, RocksDB, changelog: {:.2} M records/s exactly once (promised: 1 M)",
        millions_per_second(RECORDS, exactly)
    );
    println!(
        "exactly once at 100 ms commits: {:.2} M records/s, at least once {:.2} M: {:.0} % slower (promised: 10 %)",
        millions_per_second(RECORDS, exactly),
        millions_per_second(RECORDS, at_least),
        100.0 * (exactly.as_secs_f64() / at_least.as_secs_f64() - 1.0)
    );
}

fn stream_join(clock: &SystemClock) {
    const RECORDS: u32 = 1_000_000;
    let log = log_of_two(RECORDS, Duration::from_secs(600));
    let mut number = 0;
    for (name, outer) in [("inner", false), ("outer", true)] {
        let time = best(clock, || {
            number += 1;
            process(&log, join_of_two(outer), StreamsConfig::new(format!("join-{number}")).exactly_once());
        });
        println!(
            "{name} join of two streams in 10 minutes, 10,000 keys, RocksDB, changelogs: {:.2} M records/s of each side \
             (promised: 0.3 M)",
            millions_per_second(u64::from(RECORDS), time)
        );
    }
}

fn keys() -> u64 {
    std::env::var("MILLSTREAM_BENCH_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(10_000_000)
}

fn beyond_memory(clock: &SystemClock) {
    const RECORDS: u64 = 2_000_000;
    let keys = keys();
    let dir = tempfile::tempdir().expect("the system has a place for temporary files");
    let log = log_of(keys, keys, true);
    let config = StreamsConfig::new("beyond").exactly_once();
    let counting = app(&log, count(), config, dir.path());
    catch_up(&counting);
    let ours = timed(clock, || {
        write(&log, RECORDS, keys, false);
        catch_up(&counting);
    });
    let writing = timed(clock, || write(&log, RECORDS, keys, false));
    counting.close().expect("the application runs");
    drop(log);

    let dir = tempfile::tempdir().expect("the system has a place for temporary files");
    let backend = RocksBackend::open(dir.path()).expect("the directory is new");
    let family = backend.family("counts").expect("a family can be added");
    let mut batch = WriteBatch::default();
    let stored = |count: i64| [[0; 8], count.to_be_bytes()].concat();
    for key in 0..keys {
        batch.put(family, &[&[0; 4], &key.to_be_bytes()], &[&stored(1)]);
        if batch.len() == CHUNK {
            backend.apply(&batch).expect("the disk has room");
            batch.clear();
        }
    }
    let plain = timed(clock, || {
        let mut number = 0..RECORDS;
        loop {
            let chunk: Vec<Vec<u8>> = number
                .by_ref()
                .take(CHUNK)
                .map(|number| {
                    let key = (number.wrapping_mul(SEED) >> 20) % keys;
                    [&[0; 4][..], &key.to_be_bytes()].concat()
                })
                .collect();
            if chunk.is_empty() {
                break;
            }
            let slices: Vec<&[u8]> = chunk.iter().map(Vec::as_slice).collect();
            let mut counts = vec![0_i64; chunk.len()];
            let mut found = |index: usize, value: &[u8]| {
                counts[index] = i64::from_be_bytes(value[8..].try_into().expect("counts have 8 bytes"));
                Ok(())
            };
            backend.get_many(family, &slices, &mut found).expect("the rows were written");
            batch.clear();
            for (key, count) in slices.iter().zip(&counts) {
                batch.put(family, &[key], &[&stored(count + 1)]);
            }
            backend.apply(&batch).expect("the disk has room");
        }
        black_box(&backend);
    });
    let ours = ours.saturating_sub(writing);
    println!(
        "count of {keys} keys, state beyond memory: {:.2} M records/s, RocksDB alone {:.2} M: {:.0} % (promised: 40 %)",
        millions_per_second(RECORDS, ours),
        millions_per_second(RECORDS, plain),
        100.0 * plain.as_secs_f64() / ours.as_secs_f64()
    );
}

/// From the moment a record is handed to the producer until its committed result is read, on a log on disk.
fn latency(clock: &SystemClock) {
    const PER_MS: u64 = 10;
    const MILLIS: u64 = 10_000;
    let dir = tempfile::tempdir().expect("the system has a place for temporary files");
    let log = Log::open(dir.path().join("log")).expect("the directory is new");
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(1)).expect("the log is empty");
    }
    let builder = StreamsBuilder::new();
    let times = builder.stream::<i64, i64>("in", Consumed::with(Int64, Int64));
    let last = times.group_by_key().reduce(|_, time| *time, Materialized::named("last"));
    last.to_stream().to("out");
    let mut config = StreamsConfig::new("latency").exactly_once();
    config.commit_interval = Duration::from_millis(5);
    config.cache_max_bytes = 0;
    let topology = builder.build().expect("the graph is valid");
    let app = app(&log, topology, config, &dir.path().join("state"));
    let mut results = reader(&log, "out");
    let mut latencies: Vec<u128> = Vec::new();
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let config = ProducerConfig::default().linger(Duration::ZERO);
            let mut producer = log.producer(config).expect("the settings are valid");
            let topic = producer.topic("in").expect("it was created");
            let start = clock.monotonic();
            for tick in 0..MILLIS {
                let due = start + Duration::from_millis(tick);
                let early = due.saturating_sub(clock.monotonic());
                if !early.is_zero() {
                    std::thread::park_timeout(early);
                }
                for number in 0..PER_MS {
                    let key = (tick * PER_MS + number).wrapping_mul(SEED) % 1000;
                    let now = u64::try_from(clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
                    let (key, value) = (key.to_be_bytes(), now.to_be_bytes());
                    producer
                        .append(topic, None, Some(Timestamp::new(0)), Some(&key), Some(&value), &[])
                        .expect("the disk has room");
                }
                producer.flush().expect("the disk has room");
            }
        });
        let expected = usize::try_from(PER_MS * MILLIS).expect("it is small");
        while latencies.len() < expected {
            for run in results.poll(Duration::from_millis(100)).expect("the log can be read") {
                let now = clock.monotonic().as_nanos();
                for record in run.records() {
                    let value = record.expect("it was just written").value.unwrap_or_default();
                    let sent = u64::from_be_bytes(value.try_into().expect("times have 8 bytes"));
                    latencies.push(now.saturating_sub(u128::from(sent)));
                }
            }
        }
        producing.join().expect("the producer does not panic");
    });
    app.close().expect("the application runs");
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() - 1) as f64 * share) as usize;
        latencies[index] as f64 / 1e6
    };
    println!(
        "committed results of {} records/s, 5 ms commits: p50 {:.1} ms, p99 {:.1} ms, highest {:.1} ms (promised: p99 20 ms)",
        PER_MS * 1000,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
