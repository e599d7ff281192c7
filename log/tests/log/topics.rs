//! Topics: create, describe, list, delete; the directory as Kafka lays it out.

use std::time::Duration;

use millstream_log::{Log, LogError, ManualClock, NewTopic, OffsetSpec};

use super::*;

#[test]
fn topics_outlive_a_restart() {
    let storage = memory();
    let log = open(&storage).unwrap();
    let orders = log.create_topic(topic("orders").partitions(3).config("retention.ms", "1000")).unwrap();
    assert_eq!(orders.id.to_string().len(), 22);
    log.create_topic(topic("wide").replication_factor(3)).unwrap();
    log.close().unwrap();

    let log = open(&storage).unwrap();
    assert_eq!(log.describe_topic("orders").unwrap(), orders);
    let names: Vec<_> = log.topics().iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["orders", "wide"]);
    log.delete_topic("orders").unwrap();
    append(&log, "wide", &["a"]).unwrap();
    log.close().unwrap();

    let log = open(&storage).unwrap();
    assert_eq!(log.topics().len(), 1);
    assert!(!storage.list(Path::new("log")).unwrap().iter().any(|entry| entry.name.starts_with("orders")));
    log.create_topic(topic("orders")).unwrap();
    assert_eq!(values(&log, "orders"), [""; 0]);
    assert_eq!(values(&log, "wide"), ["a"]);
}

#[test]
fn mistakes_say_what_and_which() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("orders")).unwrap();
    let check = |error: LogError, expected: &str| assert_eq!(error.to_string(), expected);
    check(log.create_topic(topic("orders")).unwrap_err(), "topic \"orders\" already exists");
    check(log.describe_topic("order").unwrap_err(), "unknown topic \"order\": did you mean \"orders\"?");
    check(append(&log, "orderz", &["a"]).unwrap_err(), "unknown topic \"orderz\": did you mean \"orders\"?");
    check(
        log.offsets(&tp("orders", 7), OffsetSpec::Latest).unwrap_err(),
        "orders-7 does not exist: the topic has 1 partition(s), numbered from 0",
    );
    check(
        log.create_topic(topic("t").config("retention.mss", "1")).unwrap_err(),
        "unknown topic config \"retention.mss\": did you mean \"retention.ms\"?",
    );
    check(
        log.read(&tp("orders", 0), Offset::new(5), 100, Isolation::ReadUncommitted).unwrap_err(),
        "offset 5 is outside orders-0 [0, 0): seek, or set auto.offset.reset",
    );
    check(
        log.append(&tp("orders", 0), &b"junk"[..], Acks::Written).unwrap_err(),
        "invalid record batch at offset -1: its header is cut off",
    );
    log.create_topic(topic("keyed").config("cleanup.policy", "compact")).unwrap();
    let mut builder = BatchBuilder::new();
    builder.append(NOW, None, Some(b"v"), &[]);
    check(
        log.append(&tp("keyed", 0), builder.finish(), Acks::Written).unwrap_err(),
        "invalid record(s) 0 for keyed-0: a compacted topic takes only records with a key",
    );
    log.create_topic(topic("small").config("max.message.bytes", "100")).unwrap();
    check(
        append(&log, "small", &[&"x".repeat(200)]).unwrap_err(),
        "a batch of 271 bytes is larger than the 100 that small-0 takes: raise max.message.bytes",
    );
}

#[test]
fn the_directory_is_laid_out_as_kafkas() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    log.create_topic(NewTopic::new("t").config("segment.bytes", "200")).unwrap();
    for value in ["a", "b", "c"] {
        append(&log, "t", &[value; 10]).unwrap();
    }
    log.close().unwrap();
    let names = |path: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let top = [
        ".kafka_cleanshutdown",
        ".lock",
        "catalogue.json",
        "log-start-offset-checkpoint",
        "log-start-offset-checkpoint.spare",
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "t-0",
    ];
    assert_eq!(names(dir.path()), top);
    let partition = names(&dir.path().join("t-0"));
    for name in ["00000000000000000010.log", "00000000000000000010.timeindex", "partition.metadata"] {
        assert!(partition.iter().any(|other| other == name), "{name} in {partition:?}");
    }
    let checkpoint = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nt 0 30\n");
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(values(&log, "t").len(), 30);
}

#[test]
fn offsets_are_found_by_time() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "200").config("index.interval.bytes", "0")).unwrap();
    for time in [10, 30, 20, 50, 40, 60] {
        let mut builder = BatchBuilder::new();
        builder.append(Timestamp::new(time), None, Some(b"v"), &[]);
        builder.append(Timestamp::new(time + 1), None, Some(b"w"), &[]);
        log.append(&tp("t", 0), builder.finish(), Acks::Written).unwrap();
    }
    let check = |log: &Log| {
        for (time, expected) in
            [(0, 0), (10, 0), (11, 1), (12, 2), (31, 3), (32, 6), (52, 10), (61, 11), (62, 12)]
        {
            let found = log.offsets(&tp("t", 0), OffsetSpec::At(Timestamp::new(time))).unwrap();
            assert_eq!(found.get(), expected, "at {time}");
        }
    };
    check(&log);
    log.close().unwrap();
    check(&open(&storage).unwrap());
}

#[test]
fn retention_deletes_whole_old_segments() {
    let storage = memory();
    let clock = Arc::new(ManualClock::new(NOW));
    let log = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).open().unwrap();
    log.create_topic(topic("t").config("segment.bytes", "100").config("retention.ms", "1000")).unwrap();
    for value in ["a", "b", "c"] {
        append(&log, "t", &[value]).unwrap();
    }
    log.maintain().unwrap();
    assert_eq!(values(&log, "t"), ["a", "b", "c"]);
    clock.advance(Duration::from_secs(2));
    log.maintain().unwrap();
    assert_eq!(values(&log, "t"), [""; 0]);
    append(&log, "t", &["d"]).unwrap();
    log.close().unwrap();
    let log = open(&storage).unwrap();
    assert_eq!(log.offsets(&tp("t", 0), OffsetSpec::Earliest).unwrap().get(), 3);
    assert_eq!(values(&log, "t"), ["d"]);
}
