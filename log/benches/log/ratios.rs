//! What the log promises of its speed, each against what it is measured by, in one run and one line.
//!
//! The two sides of a ratio take turns, so that what else the machine does hits both. `MILLSTREAM_BENCH_GB` is the
//! size of the log that is opened, 10 by default.

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::Criterion;
use millstream_log::{
    Acks, BatchBuilder, Clock, Isolation, Log, LogConfig, NewTopic, Offset, OffsetSpec, PartitionId,
    ProducerConfig, RecordBatch, SharedProducer, SystemClock, Timestamp, TopicPartition,
};

use crate::counting::CountingStorage;

const BATCH_BYTES: usize = 64 << 10;
const TIME: Timestamp = Timestamp::new(1_700_000_000_000);

/// Runs once each, unless a filter on the command line leaves it out.
pub(crate) fn ratios(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runs: [(&str, fn()); 9] = [
        ("ratio/append_100", || append(100, 60)),
        ("ratio/append_1024", || append(1024, 75)),
        ("ratio/group_commit", group_commit),
        ("ratio/tail_read", tail_read),
        ("ratio/cold_read", cold_read),
        ("ratio/transaction", transaction),
        ("ratio/open", open),
        ("ratio/recovery", recovery),
        ("ratio/idle_memory", idle_memory),
    ];
    for (name, run) in runs {
        if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
            run();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn build(builder: &mut BatchBuilder, value: &[u8]) -> bytes::BytesMut {
    while builder.len_bytes() + value.len() + 8 <= BATCH_BYTES {
        builder.append(TIME, black_box(None), black_box(Some(value)), black_box(&[]));
    }
    builder.finish()
}

/// Appends with acks=1 against a loop that builds the same batches, computes their CRC and writes them.
fn append(record_bytes: usize, promised: u32) {
    const ROUNDS: usize = 41;
    const BATCHES: usize = 256;
    let clock = SystemClock::new();
    let value = vec![b'v'; record_bytes];
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = File::create(dir.path().join("plain")).expect("a file");
        let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
        let start = clock.monotonic();
        for _ in 0..BATCHES {
            file.write_all(&build(&mut builder, &value)).expect("space");
        }
        plain.push((clock.monotonic() - start).as_secs_f64());

        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(dir.path()).expect("a log");
        let config = ProducerConfig::default().acks(Acks::Written).batch_size(BATCH_BYTES);
        let mut producer = log.producer(config).expect("a producer");
        let topic = producer.topic("bench").expect("a topic");
        let records = BATCHES * (BATCH_BYTES / (record_bytes + 8));
        let partition = Some(PartitionId::new(0));
        let start = clock.monotonic();
        for _ in 0..records {
            producer.append(topic, partition, Some(TIME), None, Some(&value), &[]).expect("appended");
        }
        producer.flush().expect("flushed");
        ours.push((clock.monotonic() - start).as_secs_f64());
    }
    let ratio = median(plain.iter().zip(&ours).map(|(plain, ours)| plain / ours).collect());
    let speed = |seconds: Vec<f64>| (BATCHES * BATCH_BYTES) as f64 / 1e6 / median(seconds);
    println!(
        "append of {record_bytes}-byte records, acks=1: {:.0} MB/s, plain loop {:.0} MB/s: {:.0} % (promised: {promised} %)",
        speed(ours),
        speed(plain),
        ratio * 100.0
    );
}

/// 64 producers with acks=all against one fsync per batch. Batches hold 10 records of 100 bytes on both sides.
///
/// The other side is a loop that builds a batch, writes it and syncs the file. Here, 64 threads either have a producer
/// each, or share a producer, as threads of a program share Kafka's. They wait for every 10 records before they start
/// the next, or for the 10 records that they sent five calls ago: as many requests as Kafka's producer has under way
/// (`max.in.flight.requests.per.connection`). Only what is acknowledged counts.
fn group_commit() {
    const ROUNDS: u32 = 3;
    let clock = SystemClock::new();
    let shapes: [(&str, Shape); 4] = [
        ("64 producers, each waits for every batch", each_its_own),
        ("64 producers, each with five times 10 records under way", |log, sent| separate(log, 5, sent)),
        ("64 threads share a producer, each waits for every 10 records", |log, sent| shared(log, 1, sent)),
        ("64 threads share a producer, each with five times 10 records under way", |log, sent| {
            shared(log, 5, sent);
        }),
    ];
    let time = Duration::from_secs(2);
    let mut single = 0;
    let mut together = [(0, 0); 4];
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join("plain")).expect("a file");
        let start = clock.monotonic();
        let mut position = 0;
        while clock.monotonic() - start < time {
            let mut builder = BatchBuilder::new();
            (0..CALL).for_each(|_| builder.append(TIME, None, Some(&VALUE), &[]));
            let bytes = builder.finish();
            file.write_all_at(&bytes, position).expect("space");
            file.sync_data().expect("synced");
            position += bytes.len() as u64;
            single += CALL;
        }
        for ((_, run), (records, syncs)) in shapes.iter().zip(&mut together) {
            let dir = tempfile::tempdir().expect("a directory");
            let storage = Arc::new(CountingStorage::default());
            let log = Log::builder().dir(dir.path()).storage(storage.clone()).open().expect("a log");
            log.create_topic(NewTopic::new("bench")).expect("a topic");
            storage.reset();
            let sent = AtomicU64::new(0);
            let start = clock.monotonic();
            run(&log, &|records| {
                let is_on = clock.monotonic() - start < time;
                sent.fetch_add(if is_on { records } else { 0 }, Ordering::Relaxed);
                is_on
            });
            *records += sent.load(Ordering::Relaxed);
            *syncs += storage.syncs();
        }
    }
    let seconds = f64::from(ROUNDS) * time.as_secs_f64();
    println!("acks=all, one fsync per batch of 10: {:.0} records/s", single as f64 / seconds);
    for ((name, _), (records, syncs)) in shapes.iter().zip(together) {
        println!(
            "acks=all, {name}: {:.0} records/s with {:.0} fsyncs/s: {:.1} x (promised: 20 x)",
            records as f64 / seconds,
            syncs as f64 / seconds,
            records as f64 / single as f64
        );
    }
}

/// So many producers send at once.
const PRODUCERS: usize = 64;
/// So many records are in a batch, or sent before anyone waits.
const CALL: u64 = 10;
const VALUE: [u8; 100] = [b'v'; 100];

/// Counts records that are acknowledged, and says whether to go on.
type Sent<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// A way to send until there is enough.
type Shape = fn(&Log, &Sent<'_>);

/// Threads with a producer each, until `sent` says that it is enough.
fn each_its_own(log: &Log, sent: &Sent<'_>) {
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                let mut producer = log.producer(ProducerConfig::default()).expect("a producer");
                let topic = producer.topic("bench").expect("a topic");
                let partition = Some(PartitionId::new(0));
                loop {
                    for _ in 0..CALL {
                        producer
                            .append(topic, partition, Some(TIME), None, Some(&VALUE), &[])
                            .expect("appended");
                    }
                    producer.flush().expect("flushed");
                    if !sent(CALL) {
                        return;
                    }
                }
            });
        }
    });
}

/// Threads with one producer and `calls` calls under way each, until `sent` says that it is enough.
fn shared(log: &Log, calls: usize, sent: &Sent<'_>) {
    let producer = at_once(log);
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| pipeline(&producer, calls, sent));
        }
    });
    producer.close(Duration::from_secs(10)).expect("closed");
}

/// Threads with a producer each and `calls` calls under way, until `sent` says that it is enough.
fn separate(log: &Log, calls: usize, sent: &Sent<'_>) {
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                let producer = at_once(log);
                pipeline(&producer, calls, sent);
                producer.close(Duration::from_secs(10)).expect("closed");
            });
        }
    });
}

/// A producer that sends what it has as soon as it can.
fn at_once(log: &Log) -> SharedProducer {
    SharedProducer::start(log, ProducerConfig::default().linger(Duration::ZERO)).expect("a producer")
}

/// Sends with `calls` calls under way, until `sent` says that it is enough.
fn pipeline(producer: &SharedProducer, calls: usize, sent: &Sent<'_>) {
    let partition = Some(PartitionId::new(0));
    let send = || producer.append("bench", partition, Some(TIME), None, Some(&VALUE), &[]).expect("sent");
    let mut under_way = VecDeque::new();
    loop {
        for _ in 1..CALL {
            send();
        }
        // Those before are in the same batch, or in one before.
        under_way.push_back(send());
        if under_way.len() == calls {
            under_way.pop_front().expect("one of them").wait().expect("written");
            if !sent(CALL) {
                return;
            }
        }
    }
}

/// A log with one partition of `batches` batches of 100-byte records.
fn filled(dir: &Path, batches: u64, config: LogConfig) -> (Log, TopicPartition) {
    let log = Log::builder().dir(dir).config(config).open().expect("a log");
    // Its records are old, and would be deleted by the first check of retention.
    log.create_topic(NewTopic::new("bench").config("retention.ms", "-1")).expect("a topic");
    let id = TopicPartition::new("bench", 0);
    let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
    for _ in 0..batches {
        log.append(&id, build(&mut builder, &[b'v'; 100]), Acks::Written).expect("appended");
    }
    (log, id)
}

fn read_through(log: &Log, id: &TopicPartition) -> u64 {
    let mut from = Offset::ZERO;
    let mut bytes = 0;
    loop {
        let fetched = log.read(id, from, 1 << 20, Isolation::ReadUncommitted).expect("read");
        if fetched.batches.is_empty() {
            return bytes;
        }
        bytes += fetched.batches.iter().map(|batch| batch.len_bytes() as u64).sum::<u64>();
        from = fetched.next_offset(from);
    }
}

fn tail_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, id) = filled(dir.path(), 64, LogConfig { tail_bytes: 8 << 20, ..LogConfig::default() });
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let mut bytes = 0;
    while clock.monotonic() - start < Duration::from_secs(1) {
        bytes += black_box(read_through(&log, &id));
    }
    let speed = bytes as f64 / 1e9 / (clock.monotonic() - start).as_secs_f64();
    println!("read at the tail: {speed:.1} GB/s (promised: 5 GB/s)");
}

/// A sequential read of a file that is not in the page cache, against a plain loop over the same file.
fn cold_read() {
    const ROUNDS: usize = 5;
    let dir = tempfile::tempdir().expect("a directory");
    let (log, id) = filled(dir.path(), 4096, LogConfig { tail_bytes: 0, ..LogConfig::default() });
    let path = dir.path().join("bench-0/00000000000000000000.log");
    let clock = SystemClock::new();
    let forget = || {
        let file = File::open(&path).expect("a file");
        file.sync_all().expect("synced");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forgotten");
    };
    let size = std::fs::metadata(&path).expect("a file").len();
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        forget();
        let start = clock.monotonic();
        let mut file = File::open(&path).expect("a file");
        let mut chunk = vec![0; 1 << 20];
        while file.read(&mut chunk).expect("read") > 0 {}
        plain.push((clock.monotonic() - start).as_secs_f64());
        forget();
        let start = clock.monotonic();
        assert_eq!(read_through(&log, &id), size);
        ours.push((clock.monotonic() - start).as_secs_f64());
    }
    let ratio = median(plain.iter().zip(&ours).map(|(plain, ours)| plain / ours).collect());
    println!(
        "cold sequential read, CRC checked: {:.0} MB/s, plain loop {:.0} MB/s: {:.0} % (promised: 80 %)",
        size as f64 / 1e6 / median(ours),
        size as f64 / 1e6 / median(plain),
        ratio * 100.0
    );
}

/// 1,000 records over 4 partitions in each transaction.
fn transaction() {
    const COMMITS: u64 = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let storage = Arc::new(CountingStorage::default());
    let log = Log::builder().dir(dir.path()).storage(storage.clone()).open().expect("a log");
    log.create_topic(NewTopic::new("bench").partitions(4)).expect("a topic");
    let config = ProducerConfig::default().transactional_id("bench").batch_size(BATCH_BYTES);
    let mut producer = log.producer(config).expect("a producer");
    let topic = producer.topic("bench").expect("a topic");
    let clock = SystemClock::new();
    let mut run = || {
        producer.begin_transaction().expect("begun");
        for number in 0..1000 {
            let partition = Some(PartitionId::new(number % 4));
            producer.append(topic, partition, Some(TIME), None, Some(&[b'v'; 100]), &[]).expect("appended");
        }
        producer.commit_transaction().expect("committed");
    };
    // The first one makes topics and directories.
    run();
    storage.reset();
    let start = clock.monotonic();
    (0..COMMITS).for_each(|_| run());
    let time = (clock.monotonic() - start).as_secs_f64() / COMMITS as f64;
    println!(
        "transaction of 1,000 records over 4 partitions: {:.1} fsyncs, {:.1} ms (promised: 3 fsyncs)",
        storage.syncs() as f64 / COMMITS as f64,
        time * 1e3
    );
}

/// A clean start of 1,000 partitions.
fn open() {
    const PARTITIONS: u32 = 1000;
    let gigabytes =
        std::env::var("MILLSTREAM_BENCH_GB").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("a log");
    log.create_topic(NewTopic::new("bench").partitions(PARTITIONS)).expect("a topic");
    let value = vec![b'v'; 1_000_000];
    let mut builder = BatchBuilder::with_capacity(value.len() + 100);
    for _ in 0..gigabytes {
        for number in 0..PARTITIONS {
            builder.append(TIME, None, Some(&value), &[]);
            let id = TopicPartition::new("bench", number);
            log.append(&id, builder.finish(), Acks::Written).expect("appended");
        }
    }
    log.close().expect("closed");
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let log = Log::open(dir.path()).expect("a log");
    let time = (clock.monotonic() - start).as_secs_f64();
    let end =
        log.offsets(&TopicPartition::new("bench", PARTITIONS - 1), OffsetSpec::Latest).expect("an offset");
    assert_eq!(end.get(), gigabytes);
    println!(
        "clean start of {PARTITIONS} partitions with {gigabytes} GB: {time:.2} s (promised: 1 s with 10 GB)"
    );
}

/// A start after a kill: of what was flushed nothing is read, the rest once.
///
/// A process of its own writes and dies without any goodbye, so that the files and the page cache are as it left them.
fn recovery() {
    const ROUNDS: usize = 3;
    const CHILD: &str = "MILLSTREAM_BENCH_RECOVERY";
    let id = TopicPartition::new("bench", 0);
    if let Ok(asked) = std::env::var(CHILD) {
        let mut words = asked.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (flushed, unflushed) = (number(), number());
        let (log, id) = filled(Path::new(words.next().expect("a path")), flushed, LogConfig::default());
        let mut builder = BatchBuilder::with_capacity(BATCH_BYTES);
        log.append(&id, build(&mut builder, &[b'v'; 100]), Acks::Synced).expect("appended");
        log.maintain().expect("checkpoints written");
        for _ in 0..unflushed {
            log.append(&id, build(&mut builder, &[b'v'; 100]), Acks::Written).expect("appended");
        }
        std::process::abort();
    }
    let clock = SystemClock::new();
    let batch = build(&mut BatchBuilder::with_capacity(BATCH_BYTES), &[b'v'; 100]).freeze();
    let records = u64::from(RecordBatch::parse(batch).expect("just built").record_count());
    for (flushed, unflushed) in [(2048, 1024), (2048, 4096), (8192, 1024), (8192, 4096)] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir().expect("a directory");
            let asked = format!("{flushed} {unflushed} {}", dir.path().display());
            let mut child = Command::new(std::env::current_exe().expect("this program"));
            let status =
                child.args(["ratio/recovery", "--bench"]).env(CHILD, asked).stdout(Stdio::null()).status();
            assert!(!status.expect("it runs").success(), "it dies");
            let start = clock.monotonic();
            let log = Log::open(dir.path()).expect("a log");
            let end = log.offsets(&id, OffsetSpec::Latest).expect("an offset");
            times.push((clock.monotonic() - start).as_secs_f64());
            assert_eq!(end.get(), (flushed + 1 + unflushed) * records, "nothing is lost");
        }
        println!(
            "start after a kill: {:.0} ms with {} MB flushed and {} MB not",
            median(times) * 1e3,
            (flushed * BATCH_BYTES as u64) >> 20,
            (unflushed * BATCH_BYTES as u64) >> 20
        );
    }
}

/// Memory of partitions that were used and then left alone.
fn idle_memory() {
    const PARTITIONS: u32 = 10_000;
    const CHILD: &str = "MILLSTREAM_BENCH_CHILD";
    if std::env::var_os(CHILD).is_none() {
        // A process of its own, which has no memory left over from other runs.
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        let status = child.args(["ratio/idle_memory", "--bench"]).env(CHILD, "1").status();
        assert!(status.expect("it runs").success());
        return;
    }
    // In memory where there is such a directory: this is not about the disk, which would take minutes to clean up.
    let shared = Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    let dir = dir.expect("a directory");
    let clock = Arc::new(millstream_log::ManualClock::new(TIME));
    let storage = Arc::new(millstream_log::DiskStorage);
    let log = Log::builder().dir(dir.path()).storage(storage).clock(clock.clone()).open().expect("a log");
    let before = resident_bytes();
    log.create_topic(NewTopic::new("bench").partitions(PARTITIONS)).expect("a topic");
    let mut builder = BatchBuilder::new();
    for number in 0..PARTITIONS {
        builder.append(TIME, None, Some(b"v"), &[]);
        let id = TopicPartition::new("bench", number);
        log.append(&id, builder.finish(), Acks::Written).expect("appended");
    }
    clock.advance(Duration::from_secs(60));
    log.maintain().expect("idle");
    let used = resident_bytes().saturating_sub(before);
    println!(
        "{PARTITIONS} idle partitions: {} bytes of memory each, resident (promised: 4096)",
        used / u64::from(PARTITIONS)
    );
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
