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
