//! Topics that change while they are in use: settings, and records deleted from the front.

use millstream_log::{ConfigChange, OffsetSpec};

use super::*;

#[test]
fn records_are_deleted_from_the_front() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a", "b", "c"]).unwrap();
    append(&log, "t", &["d"]).unwrap();
    let delete = |log: &Log, offset: Option<u64>| log.delete_records(&tp("t", 0), offset.map(Offset::new));
    assert_eq!(delete(&log, Some(2)).unwrap().get(), 2, "inside a batch");
    assert_eq!(delete(&log, Some(1)).unwrap().get(), 2, "what is gone stays gone");
    assert_eq!(log.offsets(&tp("t", 0), OffsetSpec::Earliest).unwrap().get(), 2);
    assert_eq!(values(&log, "t"), ["c", "d"]);
    let below = log.read(&tp("t", 0), Offset::new(1), 100, Isolation::ReadUncommitted);
    assert!(matches!(below, Err(LogError::OffsetOutOfRange { .. })), "{below:?}");
    assert_eq!(
        delete(&log, Some(5)).unwrap_err().to_string(),
        "offset 5 is outside t-0 [2, 4): seek, or set auto.offset.reset"
    );

    let killed = Arc::new(storage.fork());
    let reopened = open(&killed).unwrap();
    assert_eq!(values(&reopened, "t"), ["c", "d"], "durable before the answer");
    assert_eq!(delete(&reopened, None).unwrap().get(), 4);
    assert_eq!(values(&reopened, "t"), [""; 0]);
    assert_eq!(append(&reopened, "t", &["e"]).unwrap().get(), 4);
    reopened.close().unwrap();
    assert_eq!(values(&open(&killed).unwrap(), "t"), ["e"]);

    log.create_topic(topic("keyed").config("cleanup.policy", "compact")).unwrap();
    append(&log, "keyed", &["a"]).unwrap();
    assert_eq!(
        log.delete_records(&tp("keyed", 0), None).unwrap_err().to_string(),
        "could not delete records: the cleanup.policy of topic \"keyed\" does not contain delete: add it, or \
         write tombstones"
    );
}

#[test]
fn settings_change_while_the_topic_is_in_use() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "1000")).unwrap();
    let set =
        |log: &Log, key: &str, value: &str| log.alter_topic_config("t", &[ConfigChange::set(key, value)]);
    let long = "x".repeat(200);
    append(&log, "t", &[&long]).unwrap();
    set(&log, "max.message.bytes", "100").unwrap();
    assert!(matches!(append(&log, "t", &[&long]), Err(LogError::TooLarge { .. })));

    let outcome = log.alter_topic_config(
        "t",
        &[ConfigChange::delete("max.message.bytes"), ConfigChange::set("retention.ms", "soon")],
    );
    assert!(matches!(outcome, Err(LogError::InvalidConfig { .. })), "{outcome:?}");
    assert!(append(&log, "t", &[&long]).is_err(), "all changes or none");

    let killed = Arc::new(storage.fork());
    let log = open(&killed).unwrap();
    assert!(append(&log, "t", &[&long]).is_err(), "durable");
    log.alter_topic_config("t", &[ConfigChange::delete("max.message.bytes")]).unwrap();
    append(&log, "t", &[&long]).unwrap();

    log.alter_topic_config("t", &[ConfigChange::append("cleanup.policy", "compact")]).unwrap();
    assert_eq!(log.describe_topic("t").unwrap().configs["cleanup.policy"], "delete,compact");
    log.alter_topic_config("t", &[ConfigChange::subtract("cleanup.policy", "delete")]).unwrap();
    assert_eq!(log.describe_topic("t").unwrap().configs["cleanup.policy"], "compact");
    assert_eq!(
        log.alter_topic_config("t", &[ConfigChange::append("retention.ms", "5")]).unwrap_err().to_string(),
        "invalid value \"5\" for retention.ms: it holds one value, not a list: set it instead"
    );
    assert_eq!(
        set(&log, "retention.sm", "5").unwrap_err().to_string(),
        "unknown topic config \"retention.sm\": did you mean \"retention.ms\"?"
    );
    assert_eq!(log.describe_topic("t").unwrap().configs["segment.bytes"], "1000");
}

/// A log over a clock that the test moves.
fn open_at(storage: &Arc<MemoryStorage>, clock: &Arc<ManualClock>) -> Log {
    let config =
        LogConfig::from_properties([("log.retention.hours", "1"), ("log.segment.bytes", "400")]).unwrap();
    Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).config(config).open().unwrap()
}

fn entry(log: &Log, name: &str) -> millstream_log::ConfigEntry {
    log.describe_topic_config("t").unwrap().into_iter().find(|entry| entry.name == name).unwrap()
}

#[test]
fn settings_say_where_they_come_from() {
    let clock = Arc::new(ManualClock::new(NOW));
    let log = open_at(&memory(), &clock);
    log.create_topic(topic("t").config("segment.bytes", "500")).unwrap();
    assert_eq!(log.describe_topic_config("t").unwrap().len(), millstream_log::TopicConfig::KEYS.len());
    let show = |name: &str| {
        let entry = entry(&log, name);
        let synonyms = entry.synonyms.iter();
        let synonyms: Vec<_> =
            synonyms.map(|one| format!("{}:{}={}", one.source.name(), one.name, one.value)).collect();
        format!("{} {} {:?} {}", entry.value, entry.source.name(), entry.kind, synonyms.join(" "))
    };
    assert_eq!(
        show("segment.bytes"),
        "500 DYNAMIC_TOPIC_CONFIG Int DYNAMIC_TOPIC_CONFIG:segment.bytes=500 \
         STATIC_BROKER_CONFIG:log.segment.bytes=400 DEFAULT_CONFIG:log.segment.bytes=1073741824"
    );
    assert_eq!(
        show("retention.ms"),
        "3600000 STATIC_BROKER_CONFIG Long STATIC_BROKER_CONFIG:log.retention.hours=1 \
         DEFAULT_CONFIG:log.retention.hours=168"
    );
    assert_eq!(show("flush.ms").split(' ').nth(1), Some("DEFAULT_CONFIG"));
    log.alter_topic_config("t", &[ConfigChange::delete("segment.bytes")]).unwrap();
    assert_eq!(entry(&log, "segment.bytes").value, "400");
}

#[test]
fn retention_takes_the_active_segment_too_and_no_jump_of_the_clock() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = memory();
    let log = open_at(&storage, &clock);
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    clock.set(NOW + Duration::from_secs(365 * 24 * 3600));
    log.maintain().unwrap();
    assert_eq!(values(&log, "t"), ["a"], "a jump makes no record older");
    clock.set(NOW);
    clock.advance(Duration::from_secs(3601));
    log.maintain().unwrap();
    assert_eq!(values(&log, "t"), [""; 0]);
    assert_eq!(log.offsets(&tp("t", 0), OffsetSpec::Earliest).unwrap().get(), 1);
    let names = || storage.list(Path::new("log/t-0")).unwrap().into_iter().map(|entry| entry.name);
    assert_eq!(names().filter(|name| name == "00000000000000000000.log.deleted").count(), 1);
    clock.advance(Duration::from_secs(61));
    log.maintain().unwrap();
    assert_eq!(names().filter(|name| name.ends_with(".deleted")).count(), 0);
    let log = open_at(&Arc::new(storage.fork()), &clock);
    assert_eq!(append(&log, "t", &["b"]).unwrap().get(), 1);
}

#[test]
fn duties_are_done_when_they_are_due() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = memory();
    let log = open_at(&storage, &clock);
    log.create_topic(topic("t").config("flush.ms", "2500")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(log.maintain_due().unwrap(), Duration::from_millis(1500), "flush.ms");
    clock.advance(Duration::from_millis(1500));
    assert_eq!(log.maintain_due().unwrap(), Duration::from_millis(7500), "timeouts of transactions");
    assert_eq!(recovery_points(&storage), "");
    clock.advance(Duration::from_secs(58));
    log.maintain_due().unwrap();
    assert_eq!(recovery_points(&storage), "0\n1\nt 0 1\n");
}

/// The checkpoint of recovery points as it is on disk.
fn recovery_points(storage: &MemoryStorage) -> String {
    let path = Path::new("log/recovery-point-offset-checkpoint");
    let Ok(file) = storage.open(path, millstream_log::OpenMode::Existing) else { return String::new() };
    let mut text = vec![0; file.size().unwrap() as usize];
    file.read_at(0, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_checkpoint_comes_early_when_much_is_written() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = memory();
    let config = LogConfig { checkpoint_bytes: 10 << 20, ..LogConfig::default() };
    let open = |storage: &Arc<MemoryStorage>| {
        let log = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone());
        log.config(config.clone()).open().unwrap()
    };
    let log = open(&storage);
    log.create_topic(topic("t").config("segment.bytes", "8000000")).unwrap();
    let value = "x".repeat(500_000);
    let write = |log: &Log, batches: u64| {
        for _ in 0..batches {
            append(log, "t", &[&value]).unwrap();
        }
    };
    write(&log, 10);
    clock.advance(Duration::from_secs(1));
    // As much again in a second, as it goes.
    let wait = log.maintain_due().unwrap();
    assert!(wait > Duration::from_millis(900) && wait < Duration::from_millis(1200), "{wait:?}");
    assert_eq!(recovery_points(&storage), "", "5 MB are not much");
    write(&log, 11);
    assert!(log.maintain_due().unwrap() < Duration::from_secs(1));
    assert_eq!(recovery_points(&storage), "0\n1\nt 0 21\n");
    write(&log, 15);
    log.maintain_due().unwrap();
    assert_eq!(recovery_points(&storage), "0\n1\nt 0 21\n", "nor are 7.5 MB since");

    // What a start goes over counts, too.
    let killed = Arc::new(storage.fork());
    let reopened = open(&killed);
    write(&reopened, 6);
    reopened.maintain_due().unwrap();
    assert_eq!(recovery_points(&killed), "0\n1\nt 0 42\n");
}

#[test]
fn idle_segments_are_rolled_when_their_time_is_up() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = memory();
    let log = open_at(&storage, &clock);
    log.create_topic(topic("t").config("segment.ms", "10000").config("retention.ms", "-1")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    clock.advance(Duration::from_secs(9));
    log.maintain().unwrap();
    let segments = || {
        let entries = storage.list(Path::new("log/t-0")).unwrap();
        entries.iter().filter(|entry| entry.name.ends_with(".log")).count()
    };
    assert_eq!(segments(), 1);
    clock.advance(Duration::from_secs(2));
    log.maintain().unwrap();
    assert_eq!(segments(), 2);
    log.maintain().unwrap();
    assert_eq!(segments(), 2, "an empty segment stays");
    assert_eq!(values(&log, "t"), ["a"]);
}

#[test]
fn a_topic_gets_more_partitions() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    assert_eq!(log.create_partitions("t", 3).unwrap().partitions, 3);
    log.append(&tp("t", 2), batch(&["b"]), Acks::Written).unwrap();
    assert_eq!(
        log.create_partitions("t", 3).unwrap_err().to_string(),
        "topic \"t\" cannot have 3 partition(s): it has 3, and can only get more"
    );
    let log = open(&Arc::new(storage.fork())).unwrap();
    assert_eq!(values(&log, "t"), ["a"]);
    assert_eq!(log.offsets(&tp("t", 2), OffsetSpec::Latest).unwrap().get(), 1);
}

#[test]
fn batches_are_checked_and_brought_into_the_topics_form() {
    let log = open(&memory()).unwrap();
    let at = |time: i64| {
        let mut builder = BatchBuilder::new();
        builder.append(Timestamp::new(time), None, Some(b"v"), &[]);
        builder.finish()
    };
    let put = |name: &str, batch: bytes::BytesMut| log.append(&tp(name, 0), batch, Acks::Written);
    let limits = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "10")];
    log.create_topic(limits.iter().fold(topic("limited"), |topic, (key, value)| topic.config(*key, *value)))
        .unwrap();
    for (offset, is_taken) in [(0, true), (10, true), (11, false), (-1000, true), (-1001, false)] {
        let outcome = put("limited", at(NOW.get() + offset));
        assert_eq!(outcome.is_ok(), is_taken, "{offset} ms: {outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.code().name(), "INVALID_TIMESTAMP");
        }
    }
    put("limited", at(-1)).unwrap();

    log.create_topic(topic("any")).unwrap();
    assert_eq!(put("any", at(-2)).unwrap_err().code().name(), "INVALID_TIMESTAMP");
    // A header that claims another largest timestamp is corrected.
    let mut wrong = at(500);
    wrong[35..43].copy_from_slice(&9_i64.to_be_bytes());
    let crc = crc32c::crc32c(&wrong[21..]);
    wrong[17..21].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(put("any", wrong).unwrap().timestamp.get(), 500);
    assert_eq!(log.offsets(&tp("any", 0), OffsetSpec::At(Timestamp::new(100))).unwrap().get(), 0);

    log.create_topic(topic("zipped").config("compression.type", "zstd")).unwrap();
    put("zipped", batch(&["a"; 100])).unwrap();
    let stored = log.read(&tp("zipped", 0), Offset::ZERO, 1, Isolation::ReadUncommitted).unwrap().batches;
    assert_eq!(stored[0].codec().unwrap(), Some(millstream_log::Codec::Zstd));
    assert!(stored[0].check_crc() && stored[0].len_bytes() < 300);
    assert_eq!(values(&log, "zipped"), ["a"; 100]);

    log.create_topic(topic("tiny").config("segment.bytes", "70")).unwrap();
    assert_eq!(put("tiny", batch(&["a"; 10])).unwrap_err().code().name(), "RECORD_LIST_TOO_LARGE");
    log.create_topic(topic("copies").config("min.insync.replicas", "2")).unwrap();
    put("copies", at(1)).unwrap();
    let refused = log.append(&tp("copies", 0), at(1), Acks::Synced).unwrap_err();
    assert_eq!(refused.code().name(), "NOT_ENOUGH_REPLICAS");
}

#[test]
fn appends_sync_by_the_topics_settings() {
    let storage = memory();
    let clock = Arc::new(ManualClock::new(NOW));
    let log = open_at(&storage, &clock);
    log.create_topic(topic("t").config("flush.messages", "3")).unwrap();
    let recovery_point = |log: &Log| {
        log.maintain().unwrap();
        let file = file(&storage, "log/recovery-point-offset-checkpoint");
        let mut text = vec![0; file.size().unwrap() as usize];
        file.read_at(0, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    append(&log, "t", &["a", "b"]).unwrap();
    assert_eq!(recovery_point(&log), "0\n1\nt 0 0\n");
    append(&log, "t", &["c"]).unwrap();
    assert_eq!(recovery_point(&log), "0\n1\nt 0 3\n");
}
