//! Encoding, decoding, appending and fetching batches of 100-byte records, in bytes per second.
//!
//! `append` is to be compared with `plain_loop`, which builds the same bytes, computes their CRC and writes them.

#[path = "log/compaction.rs"]
mod compaction;
#[path = "log/counting.rs"]
mod counting;
#[path = "log/ratios.rs"]
mod ratios;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream_log::{
    Acks, BatchBuilder, Clock, Codec, Compression, Isolation, Log, LogConfig, NewTopic, Offset, PartitionId,
    ProducerConfig, RecordBatch, SystemClock, Timestamp, TopicPartition,
};

const BATCH_BYTES: usize = 64 << 10;
const VALUE: [u8; 100] = [b'v'; 100];
const RECORD_BYTES: usize = 108;
const TIME: Timestamp = Timestamp::new(1_700_000_000_000);

fn build(builder: &mut BatchBuilder) -> bytes::BytesMut {
    while builder.len_bytes() + RECORD_BYTES <= BATCH_BYTES {
        // Opaque, as records are to a producer.
        builder.append(TIME, black_box(None), black_box(Some(&VALUE[..])), black_box(&[]));
    }
    builder.finish()
}

fn codec(c: &mut Criterion) {
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    let batch = RecordBatch::parse(build(&mut builder).freeze()).expect("just built");
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(u64::from(batch.record_count())));
    group.bench_function("encode", |b| b.iter(|| black_box(build(&mut builder))));
    group.bench_function("decode", |b| {
        b.iter(|| {
            batch.records().map(|record| record.expect("sound").value.map_or(0, <[u8]>::len)).sum::<usize>()
        });
    });
    group.bench_function("check_crc", |b| b.iter(|| black_box(&batch).check_crc()));
    group.finish();
}

/// The same for compressed batches, of records that look like some in use.
fn compression(c: &mut Criterion) {
    let values: Vec<String> = (0..600_u64)
        .map(|at| {
            let noise = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            format!(
                r#"{{"id":{at},"customer":"c-{noise:06}","amount":{}.{:02},"state":"PAID"}}"#,
                noise % 997,
                at % 100
            )
        })
        .collect();
    let mut group = c.benchmark_group("compression");
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
        builder.set_compression(Some(Compression::new(codec)));
        let build = |builder: &mut BatchBuilder| {
            values.iter().for_each(|value| builder.append(TIME, None, Some(value.as_bytes()), &[]));
            builder.finish()
        };
        let plain: usize = values.iter().map(String::len).sum();
        let bytes = build(&mut builder).freeze();
        println!("{codec}: {plain} bytes of values in a batch of {}", bytes.len());
        group.throughput(Throughput::Bytes(plain as u64));
        group
            .bench_function(BenchmarkId::new("encode", codec), |b| b.iter(|| black_box(build(&mut builder))));
        group.bench_function(BenchmarkId::new("decode", codec), |b| {
            b.iter(|| {
                // A fresh batch, because one that was read keeps what it holds.
                let batch = RecordBatch::parse(bytes.clone()).expect("just built");
                batch
                    .records()
                    .map(|record| record.expect("sound").value.map_or(0, <[u8]>::len))
                    .sum::<usize>()
            });
        });
    }
    group.finish();
}

/// Times `run` for `rounds` batches, 64 MiB to a fresh file or log each, so that the disk does not fill up.
fn in_portions(rounds: u64, mut run: impl FnMut(u64) -> Duration) -> Duration {
    const PORTION: u64 = 1024;
    let mut total = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        total += run(left.min(PORTION));
        left -= left.min(PORTION);
    }
    total
}

fn append(c: &mut Criterion) {
    let clock = SystemClock::new();
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Bytes(BATCH_BYTES as u64));
    group.bench_function("plain_loop", |b| {
        b.iter_custom(|rounds| {
            in_portions(rounds, |rounds| {
                let dir = tempfile::tempdir().expect("a directory");
                let mut file = File::create(dir.path().join("plain")).expect("a file");
                let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
                let start = clock.monotonic();
                for _ in 0..rounds {
                    file.write_all(&build(&mut builder)).expect("space");
                }
                clock.monotonic() - start
            })
        });
    });
    group.bench_function("producer_acks_1", |b| {
        b.iter_custom(|rounds| {
            in_portions(rounds, |rounds| {
                let dir = tempfile::tempdir().expect("a directory");
                let log = Log::open(dir.path()).expect("a log");
                let config = ProducerConfig::default().acks(Acks::Written).batch_size(BATCH_BYTES);
                let mut producer = log.producer(config).expect("a producer");
                let topic = producer.topic("bench").expect("a topic");
                let records = rounds * (BATCH_BYTES / RECORD_BYTES) as u64;
                let partition = Some(PartitionId::new(0));
                let start = clock.monotonic();
                for _ in 0..records {
                    producer.append(topic, partition, Some(TIME), None, Some(&VALUE), &[]).expect("appended");
                }
                producer.flush().expect("flushed");
                clock.monotonic() - start
            })
        });
    });
    group.finish();
}

fn fetch(c: &mut Criterion) {
    const BATCHES: u64 = 64;
    let mut group = c.benchmark_group("fetch");
    group.throughput(Throughput::Bytes(BATCHES * BATCH_BYTES as u64));
    for (name, tail_bytes) in [("tail", 8 << 20), ("cold", 0)] {
        let dir = tempfile::tempdir().expect("a directory");
        let config = LogConfig { tail_bytes, ..LogConfig::default() };
        let log = Log::builder().dir(dir.path()).clock(Arc::new(SystemClock::new())).config(config).open();
        let log = log.expect("a log");
        log.create_topic(NewTopic::new("bench")).expect("a topic");
        let id = TopicPartition::new("bench", 0);
        let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
        for _ in 0..BATCHES {
            log.append(&id, build(&mut builder), Acks::Written).expect("appended");
        }
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut from = Offset::ZERO;
                loop {
                    let fetched = log.read(&id, from, 1 << 20, Isolation::ReadUncommitted).expect("read");
                    if fetched.batches.is_empty() {
                        return from;
                    }
                    from = fetched.next_offset(from);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, compression, append, fetch, ratios::ratios, compaction::compaction);
criterion_main!(benches);
