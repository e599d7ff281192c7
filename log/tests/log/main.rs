//! The log from outside: what it promises across restarts, crashes, damage and several threads.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod changes;
mod clients;
mod compaction;
mod coordinator;
mod durability;
mod faults;
mod fuzz_smoke;
mod groups;
mod idempotence;
mod interop;
mod kills;
mod limits;
mod planted;
mod producers;
mod properties;
mod recovery;
mod repair;
mod shared_producer;
mod simulation;
mod topics;
mod transactions;
mod typed;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{
    Acks, BatchBuilder, Isolation, Log, LogConfig, LogError, ManualClock, MemoryStorage, NewTopic, Offset,
    OffsetSpec, Storage, Timestamp, TopicPartition,
};

const NOW: Timestamp = Timestamp::new(1_700_000_000_000);
const SOON: Duration = Duration::from_secs(5);

/// A log in the directory `log` of a file system, with one partition per internal topic.
fn open(storage: &Arc<impl Storage + 'static>) -> Result<Log, LogError> {
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    Log::builder()
        .dir("log")
        .storage(storage.clone())
        .clock(Arc::new(ManualClock::new(NOW)))
        .config(config)
        .open()
}

/// Prints past the capture of a test's output: figures that every run should show.
fn tell(line: &str) {
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(std::io::stderr(), "{line}");
}

fn memory() -> Arc<MemoryStorage> {
    Arc::new(MemoryStorage::new())
}

fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// One batch of these values.
fn batch(values: &[&str]) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new();
    values.iter().for_each(|value| builder.append(NOW, Some(b"k"), Some(value.as_bytes()), &[]));
    builder.finish()
}

fn append(log: &Log, topic: &str, values: &[&str]) -> Result<Offset, LogError> {
    log.append(&tp(topic, 0), batch(values), Acks::Written).map(|info| info.base_offset)
}

/// All values that a reader sees, with their offsets, up to the first error.
fn read_all(log: &Log, id: &TopicPartition, isolation: Isolation) -> (Vec<(u64, String)>, Option<LogError>) {
    let mut values = Vec::new();
    let mut from = log.offsets(id, millstream_log::OffsetSpec::Earliest).unwrap();
    loop {
        let fetched = match log.read(id, from, 300, isolation) {
            Ok(fetched) => fetched,
            Err(error) => return (values, Some(error)),
        };
        let next = fetched.next_offset(from);
        for batch in fetched.into_data() {
            for record in batch.records().map(Result::unwrap).filter(|record| record.offset >= from) {
                values
                    .push((record.offset.get(), String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
            }
        }
        if next == from {
            return (values, None);
        }
        from = next;
    }
}

fn values(log: &Log, topic: &str) -> Vec<String> {
    let (values, error) = read_all(log, &tp(topic, 0), Isolation::ReadUncommitted);
    assert!(error.is_none(), "{error:?}");
    values.into_iter().map(|(_, value)| value).collect()
}

fn committed_values(log: &Log, topic: &str) -> Vec<String> {
    let (values, error) = read_all(log, &tp(topic, 0), Isolation::ReadCommitted);
    assert!(error.is_none(), "{error:?}");
    values.into_iter().map(|(_, value)| value).collect()
}

fn file(storage: &MemoryStorage, path: &str) -> Arc<dyn millstream_log::File> {
    storage.open(Path::new(path), millstream_log::OpenMode::Existing).unwrap()
}

fn topic(name: &str) -> NewTopic {
    NewTopic::new(name)
}
