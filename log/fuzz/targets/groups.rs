//! Records of the internal topics, and what members of a group send each other.

use std::path::Path;
use std::sync::Arc;

use millstream_log::group::{Assignment, Subscription};
use millstream_log::{BatchBuilder, MemoryStorage, Storage, Timestamp, TopicPartition};

use super::files;

/// Records of `__consumer_offsets`: `key length u8 | key | value length u16 | value`, length 0 is null.
pub fn group_metadata(data: &[u8]) {
    replay("__consumer_offsets", data);
}

/// Records of `__transaction_state`, likewise.
pub fn txn_log_record(data: &[u8]) {
    replay("__transaction_state", data);
}

/// Subscriptions and assignments of the embedded consumer protocol.
pub fn subscription(data: &[u8]) {
    if let Some(subscription) = Subscription::decode(data) {
        let again = Subscription::decode(&subscription.encode()).expect("encoded just now");
        assert_eq!(Subscription::decode(&again.encode()), Some(again));
    }
    if let Some(assignment) = Assignment::decode(data) {
        let again = Assignment::decode(&assignment.encode()).expect("encoded just now");
        assert_eq!(Assignment::decode(&again.encode()), Some(again));
    }
}

/// A log whose internal topic holds these records opens, does its work, and opens again as the same.
fn replay(topic: &str, mut data: &[u8]) {
    let mut builder = BatchBuilder::new();
    while let Some((key, rest)) = take(data, 1) {
        let Some((value, rest)) = take(rest, 2) else { break };
        let some = |bytes: &'_ [u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        builder.append(Timestamp::new(0), some(key).as_deref(), some(value).as_deref(), &[]);
        data = rest;
    }
    let storage = with_internal_topics();
    let path = Path::new("log").join(format!("{topic}-0")).join("00000000000000000000.log");
    files::put(&storage, &path, &builder.finish());
    storage.remove_file(Path::new("log/.kafka_cleanshutdown")).expect("the log was closed");
    let Ok(log) = files::open(&storage) else { return };
    drop(log.maintain());
    let committed = committed(&log);
    if log.close().is_ok() {
        let log = files::open(&storage).expect("it opened before, and was closed");
        assert_eq!(self::committed(&log), committed);
    }
}

fn committed(log: &millstream_log::Log) -> Vec<(String, TopicPartition, u64)> {
    let mut all = Vec::new();
    for group in log.groups() {
        for (partition, committed) in log.committed_offsets(&group) {
            all.push((group.clone(), partition, committed.offset.get()));
        }
    }
    all
}

/// A length of `width` bytes and so many bytes; the last may be shorter.
fn take(data: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some(rest.split_at(length.min(rest.len())))
}

/// A log that was closed, with the internal topics created.
fn with_internal_topics() -> Arc<MemoryStorage> {
    let storage = files::small_log();
    let log = files::open(&storage).expect("it was closed");
    log.commit_offsets("g", &[(files::partition(), 1_u64.into(), "")]).expect("a sound offset");
    let config = millstream_log::ProducerConfig::default().transactional_id("tx");
    let mut producer = log.producer(config).expect("a sound id");
    producer.begin_transaction().expect("none is open");
    let record = millstream_log::Record { value: Some("v".into()), ..Default::default() };
    producer.send("t", record).expect("a sound record");
    producer.commit_transaction().expect("memory does not fail");
    producer.close().expect("memory does not fail");
    log.close().expect("memory does not fail");
    storage
}
