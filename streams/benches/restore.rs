//! Restoring state from a changelog into RocksDB, against a loop that reads the same records and writes them.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millstream_log::{
    ConsumerConfig, Isolation, Log, NewTopic, OffsetSpec, ProducerConfig, SystemClock, Timestamp,
    TopicPartition,
};
use millstream_streams::dsl::{Consumed, StreamsBuilder};
use millstream_streams::serde::{Int64, Raw};
use millstream_streams::{State, Streams, StreamsConfig, Topology};

const ROWS: u32 = 500_000;
const VALUE_BYTES: usize = 200;

fn table() -> Topology {
    let builder = StreamsBuilder::new();
    builder.table_in::<i64, Vec<u8>>("in", Consumed::with(Int64, Raw), "rows");
    builder.build().expect("the graph is valid")
}

/// A log with the changelog of a table that has many rows, and nothing else to read.
fn filled_log() -> Log {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["in", "app-rows-changelog"] {
        log.create_topic(NewTopic::new(topic).partitions(1)).expect("the log is empty");
    }
    let mut producer =
        log.producer(ProducerConfig::default().batch_size(128 << 10)).expect("the defaults are valid");
    let topic = producer.topic("app-rows-changelog").expect("it was just created");
    let mut value = vec![0; VALUE_BYTES];
    for row in 0..ROWS {
        let key = i64::from(row.wrapping_mul(2_654_435_761)).to_be_bytes();
        value[..8].copy_from_slice(&key);
        let time = Some(Timestamp::new(i64::from(row)));
        producer.append(topic, None, time, Some(&key), Some(&value), &[]).expect("memory takes it");
    }
    producer.flush().expect("memory takes it");
    log
}

/// The least that can be done: a poll, a write batch of RocksDB per 4 MiB.
fn read_and_write(log: &Log, dir: &std::path::Path) {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(8 << 20);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    let database = rocksdb::DB::open(&options, dir).expect("the directory is new");
    let mut consumer =
        log.consumer(ConsumerConfig::default().isolation(Isolation::ReadCommitted)).expect("valid");
    let partition = TopicPartition::new("app-rows-changelog", 0);
    consumer.assign(vec![partition.clone()]).expect("it is there");
    consumer.seek_to(&partition, OffsetSpec::Earliest).expect("it is there");
    let mut batch = rocksdb::WriteBatch::default();
    loop {
        let runs = consumer.poll(Duration::ZERO).expect("memory is readable");
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.expect("memory is whole");
            batch.put(record.key.expect("rows have keys"), record.value.expect("rows have values"));
        }
        if runs.is_empty() || batch.size_in_bytes() >= 4 << 20 {
            database.write_without_wal(std::mem::take(&mut batch)).expect("the disk has room");
        }
        if runs.is_empty() {
            return;
        }
    }
}

fn restore(log: &Log, dir: &std::path::Path) -> Streams {
    let mut config = StreamsConfig::new("app").exactly_once();
    config.state_dir = dir.to_path_buf();
    let mut app = Streams::open(table(), config, log.clone()).expect("the topics are there");
    app.start().expect("the system has threads");
    while app.state() != State::Running {
        assert!(app.error().is_none(), "{:?}", app.error());
        std::thread::yield_now();
    }
    app
}

fn restores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("restore");
    group.throughput(Throughput::Bytes(u64::from(ROWS) * (VALUE_BYTES + 8) as u64)).sample_size(10);
    let log = filled_log();
    let dir = || tempfile::tempdir().expect("the system has a place for temporary files");
    group.bench_function("plain read and write", |bencher| {
        bencher.iter_batched(
            dir,
            |dir| {
                read_and_write(&log, dir.path());
                dir
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("500,000 rows", |bencher| {
        bencher.iter_batched(dir, |dir| (restore(&log, dir.path()), dir), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, restores);
criterion_main!(benches);
