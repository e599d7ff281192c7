//! Apache Kafka itself as the judge: its dump tool on this log's files, this log on the files of a Kafka broker.
//!
//! The jars come from Maven Central once, into the target directory, and have to have the checksums of `jars.sha256`.
//! Where that, or Java, is out of reach, the tests say 'skipped' and pass.

mod broker;
mod kafka;
mod maven;

use std::fs;
use std::path::{Path, PathBuf};

use millstream_log::{
    AutoOffsetReset, Codec, ConsumerConfig, Decoder, DumpOptions, Producer, ProducerConfig, ReadOnlyStorage,
    Record, TopicDescription, dump,
};
use tempfile::TempDir;

use self::broker::Broker;
use self::kafka::Kafka;
use super::*;

/// What Kafka prints for files with one set of options, and what the same options are here.
struct Way {
    arguments: &'static [&'static str],
    options: DumpOptions,
}

fn ways() -> [(&'static str, Way); 3] {
    let with = |decoder| DumpOptions {
        print_data_log: true,
        key: decoder,
        value: decoder,
        ..DumpOptions::default()
    };
    [
        ("", Way { arguments: &["--print-data-log"], options: with(Decoder::Text) }),
        (
            "__consumer_offsets",
            Way { arguments: &["--offsets-decoder"], options: with(Decoder::ConsumerOffsets) },
        ),
        (
            "__transaction_state",
            Way { arguments: &["--transaction-log-decoder"], options: with(Decoder::TransactionState) },
        ),
    ]
}

/// The files of segments under the partitions of a log directory, those of `topic` or of all that are not internal.
fn files_of(dir: &Path, topic: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for partition in
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let name = partition.file_name().unwrap().to_str().unwrap();
        let (of, _) = name.rsplit_once('-').unwrap();
        if (topic.is_empty() && of.starts_with("__")) || (!topic.is_empty() && of != topic) {
            continue;
        }
        for file in fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path()) {
            let kind = file.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if ["log", "index", "timeindex", "snapshot", "txnindex"].contains(&kind) {
                files.push(file);
            }
        }
    }
    files.sort();
    files
}

/// Has both tools print all files of a log directory. They have to say the same and find nothing wrong. Returns what
/// they say of the topics that are not internal.
fn check_both_dumps(kafka: &Kafka, dir: &Path) -> String {
    let mut printed = String::new();
    for (topic, way) in ways() {
        let files = files_of(dir, topic);
        assert!(!files.is_empty(), "no files of {topic:?}");
        let theirs = kafka.dump(&files, way.arguments);
        let mut ours = Vec::new();
        let problems = dump(&ReadOnlyStorage, &files, &way.options, &mut ours).unwrap();
        assert!(problems.iter().all(|problem| !problem.is_corruption()), "{problems:?}");
        let ours = String::from_utf8(ours).unwrap();
        for (at, (theirs, ours)) in theirs.lines().zip(ours.lines()).enumerate() {
            assert_eq!(theirs, ours, "line {at}: left is Kafka's");
        }
        assert_eq!(theirs.lines().count(), ours.lines().count());
        assert!(!ours.contains("isvalid: false") && !ours.contains("invalid bytes"), "{ours}");
        if topic.is_empty() {
            printed = ours;
        }
    }
    printed
}

fn record(at: i64) -> Record {
    let header = |value: Option<&'static [u8]>| millstream_log::Header {
        key: format!("h{}", at % 2),
        value: value.map(bytes::Bytes::from_static),
    };
    Record {
        key: (at % 7 != 0).then(|| format!("key-{}", at % 10).into()),
        value: (at % 11 != 0)
            .then(|| format!("value {at} \u{e9}\u{4e16} ").repeat(1 + at as usize % 40).into()),
        timestamp: Some(Timestamp::new(NOW.get() + (at * 37) % 200)),
        headers: if at % 3 == 0 { vec![header(Some(b"x")), header(None)] } else { Vec::new() },
        ..Record::default()
    }
}

/// Every codec over several segments, append times, transactions that commit and abort, offsets of groups.
fn write_everything(log: &Log) {
    for codec in [None, Some(Codec::Gzip), Some(Codec::Snappy), Some(Codec::Lz4), Some(Codec::Zstd)] {
        let name = codec.map_or("none", Codec::name);
        log.create_topic(topic(name).config("segment.bytes", "20000")).unwrap();
        let config = ProducerConfig::default().batch_size(8 * 1024).compression_type(codec);
        let mut producer = log.producer(config).unwrap();
        for at in 0..400 {
            producer.send(name, record(at)).unwrap();
        }
        producer.close().unwrap();
    }
    log.create_topic(topic("appended").config("message.timestamp.type", "LogAppendTime")).unwrap();
    append(log, "appended", &["a", "b"]).unwrap();
    append(log, "appended", &["c"]).unwrap();

    log.create_topic(topic("transactions").partitions(2).config("segment.bytes", "4000")).unwrap();
    let config = ProducerConfig::default().transactional_id("interop").compression_type(Some(Codec::Lz4));
    let mut producer: Producer = log.producer(config).unwrap();
    for round in 0..12 {
        producer.begin_transaction().unwrap();
        for at in 0..40 {
            let partition = Some(((at % 2) as u32).into());
            producer.send("transactions", Record { partition, ..record(at) }).unwrap();
        }
        producer.send_offsets("readers", &[(tp("none", 0), Offset::new(round))]).unwrap();
        producer.flush().unwrap();
        match round % 3 {
            1 => producer.abort_transaction().unwrap(),
            _ => producer.commit_transaction().unwrap(),
        }
    }
    producer.close().unwrap();
    write_compacted(log);
    // A member that joins and leaves, so that there are records of groups too.
    let config = ConsumerConfig::default().group_id("members").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = log.consumer(config).unwrap();
    consumer.subscribe(&["gzip"]).unwrap();
    while consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    consumer.commit().unwrap();
    consumer.close().unwrap();
    log.commit_offsets("others", &[(tp("gzip", 0), Offset::new(7), "note")]).unwrap();
}

/// A compacted topic with every codec, tombstones and transactions, cleaned twice.
fn write_compacted(log: &Log) {
    let new = topic("compacted").config("cleanup.policy", "compact").config("segment.bytes", "12000");
    log.create_topic(new.config("min.cleanable.dirty.ratio", "0")).unwrap();
    for round in 0..2 {
        for codec in [None, Some(Codec::Gzip), Some(Codec::Snappy), Some(Codec::Lz4), Some(Codec::Zstd)] {
            let config = ProducerConfig::default().transactional_id("compacting").compression_type(codec);
            let mut producer = log.producer(config).unwrap();
            for at in 0..60 {
                if at % 20 == 0 {
                    producer.begin_transaction().unwrap();
                }
                let key = Some(format!("key-{}", at % 25).into());
                producer.send("compacted", Record { key, ..record(at + round) }).unwrap();
                if at % 20 == 19 {
                    producer.flush().unwrap();
                    match at {
                        39 => producer.abort_transaction().unwrap(),
                        _ => producer.commit_transaction().unwrap(),
                    }
                }
            }
            producer.close().unwrap();
        }
        log.clean(&tp("compacted", 0)).unwrap();
    }
}

#[test]
fn kafka_reads_what_this_log_writes() {
    let Some(kafka) = Kafka::get() else { return };
    let dir = TempDir::new().unwrap();
    let log = disk_log(dir.path());
    write_everything(&log);
    log.close().unwrap();
    let printed = check_both_dumps(kafka, dir.path());
    let count =
        |topic: &str, text: &str| lines_of(&printed, topic).filter(|line| line.contains(text)).count();
    assert_eq!(count("transactions", "endTxnMarker: COMMIT"), 16);
    assert_eq!(count("transactions", "endTxnMarker: ABORT"), 8);
    assert_eq!(count("transactions", "lastStableOffset"), 8);
    assert_eq!(count("transactions", "| offset: "), 12 * 40 + 24);
    assert_eq!(count("appended", "LogAppendTime"), 2 + 3);
    assert!(count("compacted", "deleteHorizonMs: OptionalLong[") > 0);
    assert!((10..400).contains(&count("compacted", "| offset: ")));
    for name in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert_eq!(count(name, "| offset: "), 400);
        assert!(count(name, &format!("compresscodec: {name} ")) > 2, "{name}");
        let segments =
            files_of(dir.path(), name).iter().filter(|path| path.extension().unwrap() == "log").count();
        assert!(segments > 1 || name != "none", "{name}: {segments} segments");
    }
}

#[test]
fn this_log_reads_what_kafka_writes() {
    let Some(kafka) = Kafka::get() else { return };
    let theirs = TempDir::new().unwrap();
    Broker::write(kafka, theirs.path());
    let printed = check_both_dumps(kafka, &theirs.path().join("data"));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert!(printed.contains(&format!("compresscodec: {codec} ")), "{codec}");
    }
    for kind in ["endTxnMarker: ABORT", "LogAppendTime", "lastStableOffset", "deleteHorizonMs: OptionalLong["]
    {
        assert!(printed.contains(kind), "no {kind}");
    }

    // The broker's partitions under this log, opened as they are and after what a crash would leave.
    let ours = TempDir::new().unwrap();
    let log = disk_log(ours.path());
    let topics = take_over(&log, &theirs.path().join("data"));
    log.close().unwrap();
    for topic in &topics {
        move_partitions(topic, &theirs.path().join("data"), ours.path());
    }
    // What the broker's cleaner has been over has gaps; this log keeps that beside the checkpoint.
    let cleaned = theirs.path().join("data/cleaner-offset-checkpoint");
    for name in ["cleaner-offset-checkpoint", "millstream-compacted-offset-checkpoint"] {
        fs::copy(&cleaned, ours.path().join(name)).unwrap();
    }
    for is_clean in [true, false] {
        if !is_clean {
            fs::remove_file(ours.path().join(".kafka_cleanshutdown")).unwrap();
        }
        let log = disk_log(ours.path());
        for topic in &topics {
            for partition in 0..topic.partitions {
                check_reads(&log, &printed, &tp(&topic.name, partition));
            }
        }
        let committed =
            |partition| read_offsets(&log, &tp("transactions", partition), Isolation::ReadCommitted);
        assert_eq!((committed(0).len(), committed(1).len()), (12, 8));
        let earliest =
            |time| log.offsets(&tp("zstd", 0), OffsetSpec::At(Timestamp::new(time))).unwrap().get();
        assert_eq!((earliest(1_700_000_001_000), earliest(1_700_000_001_077)), (200, 277));
        log.close().unwrap();
    }
    let log = disk_log(ours.path());
    let end = log.offsets(&tp("zstd", 0), OffsetSpec::Latest).unwrap();
    assert_eq!(append(&log, "zstd", &["from here"]).unwrap(), end);
    log.close().unwrap();
}

fn disk_log(dir: &Path) -> Log {
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    Log::builder().dir(dir).clock(Arc::new(ManualClock::new(NOW))).config(config).open().unwrap()
}

/// Creates the topics that a broker's directory has.
fn take_over(log: &Log, dir: &Path) -> Vec<TopicDescription> {
    let mut partitions = std::collections::BTreeMap::<String, u32>::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if let Some((topic, _)) = name.rsplit_once('-').filter(|(topic, _)| !topic.starts_with("__"))
            && entry.file_type().unwrap().is_dir()
        {
            *partitions.entry(topic.to_owned()).or_default() += 1;
        }
    }
    let create = |(name, count): (&String, &u32)| {
        let policy = if name == "compacted" { "compact" } else { "delete" };
        log.create_topic(topic(name).partitions(*count).config("cleanup.policy", policy)).unwrap()
    };
    partitions.iter().map(create).collect()
}

/// Replaces the files of a topic's partitions by the broker's.
fn move_partitions(topic: &TopicDescription, from: &Path, to: &Path) {
    for partition in 0..topic.partitions {
        let name = format!("{}-{partition}", topic.name);
        let (from, to) = (from.join(&name), to.join(&name));
        for file in fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|kind| kind != "metadata") {
                fs::remove_file(file).unwrap();
            }
        }
        for file in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|kind| kind != "metadata") {
                fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// Everything in a partition that is no marker, by offset.
fn read_offsets(log: &Log, id: &TopicPartition, isolation: Isolation) -> Vec<(u64, i64, String, String)> {
    let text =
        |bytes: Option<&[u8]>| bytes.map_or("null".into(), |bytes| String::from_utf8_lossy(bytes).into());
    let mut records = Vec::new();
    let mut from = log.offsets(id, OffsetSpec::Earliest).unwrap();
    loop {
        let fetched = log.read(id, from, 100_000, isolation).unwrap();
        let next = fetched.next_offset(from);
        for batch in fetched.into_data() {
            assert!(batch.check_crc());
            for record in batch.records().map(Result::unwrap).filter(|record| record.offset >= from) {
                let (key, value) = (text(record.key), text(record.value));
                records.push((record.offset.get(), record.timestamp.get(), key, value));
            }
        }
        if next == from {
            return records;
        }
        from = next;
    }
}

/// What was printed of the files in the directories whose names begin like this.
fn lines_of<'p>(printed: &'p str, topic: &str) -> impl Iterator<Item = &'p str> {
    let dir = format!("/{topic}");
    let mut is_in = false;
    printed.lines().filter(move |line| {
        if let Some(path) = line.strip_prefix("Dumping ") {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            is_in = parent.rfind('/').is_some_and(|at| parent[at..].starts_with(&dir));
        }
        is_in
    })
}

/// Compares the records of a partition with what Kafka printed of them.
fn check_reads(log: &Log, printed: &str, id: &TopicPartition) {
    let is_data = |line: &&str| line.starts_with("| offset: ") && !line.contains("endTxnMarker");
    let expected: Vec<_> = lines_of(printed, &id.to_string()).filter(is_data).collect();
    let read = read_offsets(log, id, Isolation::ReadUncommitted);
    assert_eq!(read.len(), expected.len(), "{id}");
    assert!(!read.is_empty(), "{id}");
    for ((offset, timestamp, key, value), line) in read.iter().zip(expected) {
        assert!(line.starts_with(&format!("| offset: {offset} ")), "{id} at {offset}: {line}");
        assert!(line.contains(&format!("Time: {timestamp} ")), "{id} at {offset}: {line}");
        let key = if key == "null" { String::new() } else { format!(" key: {key}") };
        let value = if value == "null" { String::new() } else { format!(" payload: {value}") };
        assert!(line.ends_with(&format!("]{key}{value}")), "{id} at {offset}: {line}");
    }
}
