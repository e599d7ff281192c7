//! Rates of the typed operators and of the state cache: records/s, topic to topic on one thread.

#[path = "streams/promises.rs"]
mod promises;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream_log::{Log, NewTopic, ProducerConfig, SystemClock, Timestamp};
use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
use millstream_streams::operator::{EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows};
use millstream_streams::serde::{Int64, Utf8};
use millstream_streams::store::{RocksBackend, StateBackend, WriteBatch};
use millstream_streams::{Streams, StreamsConfig, Topology};

const RECORDS: u32 = 500_000;
const KEYS: u32 = 1_000;

/// A log with records of about 100 ms of event time per thousand, keyed by number, with texts as values.
fn filled_log() -> Log {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(1)).expect("the log is empty");
    }
    let mut producer = log.producer(ProducerConfig::default()).expect("the defaults are valid");
    let topic = producer.topic("in").expect("it was just created");
    for number in 0..RECORDS {
        let key = i64::from(number.wrapping_mul(2_654_435_761) % KEYS).to_be_bytes();
        let value = format!("value-{number}");
        let time = Some(Timestamp::new(i64::from(number / 10)));
        producer.append(topic, None, time, Some(&key), Some(value.as_bytes()), &[]).expect("memory takes it");
    }
    producer.flush().expect("memory takes it");
    log
}

/// Processes all records of a log with an application of its own, and returns how many came out of the sinks.
fn process(log: &Log, topology: Topology, number: u32, caching: bool) -> u64 {
    let state = tempfile::tempdir().expect("the system has a place for temporary files");
    let mut config = StreamsConfig::new(format!("bench-{number}")).exactly_once();
    config.state_dir = state.path().to_path_buf();
    if !caching {
        config.cache_max_bytes = 0;
    }
    let mut app = Streams::open(topology, config, log.clone()).expect("the topics are there");
    app.start().expect("the system has threads");
    assert!(app.wait_caught_up(Duration::from_secs(60)).expect("the application runs"));
    let written = app.metrics().sink_records;
    app.close().expect("the application runs");
    written
}

fn stateless() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
        .filter(|key, _| key.is_some_and(|key| key % 2 == 0))
        .map(|key, value| (key.copied().unwrap_or_default() + 1, value.to_uppercase()))
        .to("out");
    builder.build().expect("the graph is valid")
}

fn windowed_count() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
        .group_by_key()
        .windowed_by(TimeWindows::of(Duration::from_secs(1)))
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().expect("the graph is valid")
}

fn sessions() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
        .group_by_key()
        .windowed_by(SessionWindows::of(Duration::from_secs(1)))
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().expect("the graph is valid")
}

fn sliding() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
        .group_by_key()
        .windowed_by(SlidingWindows::of_time_difference(Duration::from_secs(1)))
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().expect("the graph is valid")
}

fn windowed_count_on_close() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, String>("in", Consumed::with(Int64, Utf8))
        .group_by_key()
        .windowed_by(TimeWindows::of(Duration::from_secs(1)))
        .emit_strategy(EmitStrategy::OnWindowClose)
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().expect("the graph is valid")
}

fn topologies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic to topic");
    group.throughput(Throughput::Elements(u64::from(RECORDS))).sample_size(10);
    let mut number = 0;
    for (name, make, caching) in [
        ("filter and map", stateless as fn() -> Topology, true),
        ("tumbling count, coalesced", windowed_count, true),
        ("tumbling count, every change", windowed_count, false),
        ("tumbling count, on close", windowed_count_on_close, true),
        ("session count, coalesced", sessions, true),
        ("sliding count over 10 rows, coalesced", sliding, true),
    ] {
        group.bench_function(name, |bencher| {
            let log = filled_log();
            bencher.iter(|| {
                number += 1;
                black_box(process(&log, make(), number, caching))
            });
        });
    }
    group.finish();
}

const JOINED: u32 = 200_000;
const JOIN_KEYS: u32 = 10_000;

/// A log with two topics whose rows take turns in time. Each key has a row in every `interval` of event time, so that
/// each row joins about (10 minutes / interval) of the other side.
fn log_of_two(records: u32, interval: Duration) -> Log {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    let mut producer = log.producer(ProducerConfig::default()).expect("the defaults are valid");
    for (side, topic) in ["left", "right", "out"].into_iter().enumerate() {
        log.create_topic(NewTopic::new(topic).partitions(1)).expect("the log is empty");
        if topic == "out" {
            continue;
        }
        let topic = producer.topic(topic).expect("it was just created");
        for number in 0..records {
            let key = i64::from(number.wrapping_mul(2_654_435_761) % JOIN_KEYS).to_be_bytes();
            let value = i64::from(number).to_be_bytes();
            let row = u128::from(number) * 2 + side as u128;
            let time = row * interval.as_millis() / u128::from(JOIN_KEYS) / 2;
            let time = Some(Timestamp::new(i64::try_from(time).expect("times are small")));
            producer.append(topic, None, time, Some(&key), Some(&value), &[]).expect("memory takes it");
        }
    }
    producer.flush().expect("memory takes it");
    log
}

fn join_of_two(outer: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<i64, i64>("left", Consumed::with(Int64, Int64));
    let right = builder.stream::<i64, i64>("right", Consumed::with(Int64, Int64));
    let windows = JoinWindows::of(Duration::from_secs(600));
    let joined = match outer {
        true => left.outer_join_stream(
            &right,
            |left, right| left.copied().unwrap_or(-1) + right.copied().unwrap_or(-1),
            windows,
        ),
        false => left.join_stream(&right, |left, right| left + right, windows),
    };
    joined.to("out");
    builder.build().expect("the graph is valid")
}

fn joins(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stream-stream join, records of each side");
    group.throughput(Throughput::Elements(u64::from(JOINED))).sample_size(10);
    let mut number = 0;
    for (name, seconds, outer) in [
        ("inner, 1 match", 600, false),
        ("outer, 1 match", 600, true),
        ("inner, 10 matches", 60, false),
        ("outer, few matches", 6000, true),
    ] {
        group.bench_function(name, |bencher| {
            let log = log_of_two(JOINED, Duration::from_secs(seconds));
            bencher.iter(|| {
                number += 1;
                black_box(process(&log, join_of_two(outer), number, true))
            });
        });
    }
    group.finish();
}

fn state(criterion: &mut Criterion) {
    const ROWS: u64 = 10_000;
    let mut group = criterion.benchmark_group("rocksdb");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    let dir = tempfile::tempdir().expect("the system has a place for temporary files");
    let backend = RocksBackend::open(dir.path()).expect("the directory is new");
    let family = backend.family("rows").expect("a family can be added");
    let keys: Vec<[u8; 8]> =
        (0..ROWS).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect();
    group.bench_function("write batch of 10,000 rows", |bencher| {
        let mut batch = WriteBatch::default();
        bencher.iter(|| {
            batch.clear();
            for key in &keys {
                batch.put(family, &[&[0, 0, 0, 0], key], &[key, key]);
            }
            backend.apply(&batch).expect("the disk has room");
        });
    });
    group.bench_function("read 10,000 rows", |bencher| {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| [&[0, 0, 0, 0], key.as_slice()].concat()).collect();
        let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        bencher.iter(|| {
            let mut bytes = 0;
            let mut add = |_: usize, value: &[u8]| {
                bytes += value.len();
                Ok(())
            };
            backend.get_many(family, &slices, &mut add).expect("the rows were written");
            bytes
        });
    });
    group.finish();
}

criterion_group!(benches, promises::promises, topologies, joins, state);
criterion_main!(benches);
