//! The files of a log, in memory, replaced by bytes of the fuzzer's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_log::{
    Acks, BatchBuilder, Codec, Compression, Decoder, DumpOptions, Isolation, Log, LogConfig, LogError,
    ManualClock, MemoryStorage, NewTopic, OffsetSpec, OpenMode, Storage, Timestamp, TopicPartition, dump,
};

const NOW: Timestamp = Timestamp::new(1_700_000_000_000);
const SEGMENT_FILES: [&str; 8] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000003.log",
    "00000000000000000003.index",
    "00000000000000000003.snapshot",
    "leader-epoch-checkpoint",
];
const LOG_FILES: [&str; 6] = [
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    "cleaner-offset-checkpoint",
    "catalogue.json",
    "meta.properties",
];

/// The files of one partition: they open or are reported, nothing with a bad CRC is served, and opening them again
/// gives the same. The first byte's lowest bit says whether the log was closed; then for each file a kind, a length of
/// two bytes, and what it holds.
pub fn segment_open(data: &[u8]) {
    let Some((&flags, data)) = data.split_first() else { return };
    let storage = small_log();
    for (kind, bytes) in sections(data) {
        put(&storage, &Path::new("log/t-0").join(SEGMENT_FILES[kind % SEGMENT_FILES.len()]), bytes);
    }
    if flags & 1 == 1 {
        storage.remove_file(Path::new("log/.kafka_cleanshutdown")).expect("the log was closed");
    }
    let Ok(log) = open(&storage) else { return };
    let before = read(&log);
    drop(log.append(&partition(), batch("appended"), Acks::Synced));
    let after = read(&log);
    assert!(after.starts_with(&before) || before.is_empty(), "an append changed what is before it");
    if log.close().is_err() {
        return;
    }
    let log = open(&storage).expect("it opened before, and was closed");
    assert_eq!(read(&log), after, "another open gives other records");
}

/// The log's own small files: a byte says which one.
pub fn checkpoint(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let storage = small_log();
    let name = LOG_FILES[usize::from(kind) % LOG_FILES.len()];
    match name {
        // Else the fuzzer would have to guess a CRC.
        "catalogue.json" => {
            let json = String::from_utf8_lossy(bytes);
            let json = json.trim_end_matches('\n');
            let text = format!("millstream-catalogue 1 {:08x}\n{json}\n", crc32c::crc32c(json.as_bytes()));
            put(&storage, &Path::new("log").join(name), text.as_bytes());
        }
        _ => put(&storage, &Path::new("log").join(name), bytes),
    }
    let Ok(log) = open(&storage) else { return };
    let topics = log.topics();
    for topic in topics.iter().filter(|topic| topic.partitions < 10) {
        drop(log.offsets(&TopicPartition::new(topic.name.clone(), 0), OffsetSpec::Latest));
    }
    if log.close().is_ok() {
        assert_eq!(open(&storage).expect("it opened before, and was closed").topics(), topics);
    }
}

/// Every kind of file for the dump tool, which reports and never stops.
pub fn dump_files(data: &[u8]) {
    let storage = MemoryStorage::new();
    storage.create_dir(Path::new("d")).expect("nothing else is there");
    let mut names: Vec<PathBuf> = SEGMENT_FILES.iter().map(|name| Path::new("d").join(name)).collect();
    names.push(Path::new("d/recovery-point-offset-checkpoint").to_owned());
    names.push(Path::new("d/partition.metadata").to_owned());
    for (kind, bytes) in sections(data) {
        put(&storage, &names[kind % names.len()], bytes);
    }
    names.retain(|name| storage.open(name, OpenMode::Existing).is_ok());
    for decoder in [Decoder::Text, Decoder::ConsumerOffsets, Decoder::TransactionState] {
        let options =
            DumpOptions { print_data_log: true, key: decoder, value: decoder, ..DumpOptions::default() };
        // An index without its log is an error; nothing else is.
        for name in &names {
            drop(dump(&storage, std::slice::from_ref(name), &options, &mut std::io::sink()));
        }
    }
}

/// `kind u8 | length u16 | bytes`, as long as there are any; the last may be shorter.
pub fn sections(mut data: &[u8]) -> Vec<(usize, &[u8])> {
    let mut sections = Vec::new();
    while let [kind, high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        sections.push((usize::from(*kind), &rest[..length]));
        data = &rest[length..];
    }
    sections
}

pub fn open(storage: &Arc<MemoryStorage>) -> Result<Log, LogError> {
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    Log::builder()
        .dir("log")
        .storage(storage.clone())
        .clock(Arc::new(ManualClock::new(NOW)))
        .config(config)
        .open()
}

/// A log that was closed, with a few records in the one partition of topic `t`.
pub fn small_log() -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let log = open(&storage).expect("an empty directory");
    log.create_topic(NewTopic::new("t")).expect("a new topic");
    for value in ["a", "b", "c"] {
        log.append(&partition(), batch(value), Acks::Synced).expect("a sound batch");
    }
    log.close().expect("memory does not fail");
    storage
}

pub fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub fn put(storage: &MemoryStorage, path: &Path, bytes: &[u8]) {
    let file = storage.open(path, OpenMode::Truncate).expect("the directory is there");
    file.write_at(0, bytes).expect("memory does not fail");
}

fn batch(value: &str) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new();
    builder.set_compression(Some(Compression::new(Codec::Lz4)));
    builder.append(NOW, Some(b"k"), Some(value.as_bytes()), &[]);
    builder.finish()
}

/// Batches from the start on, up to the first error.
fn read(log: &Log) -> Vec<bytes::Bytes> {
    let mut batches = Vec::new();
    let Ok(mut from) = log.offsets(&partition(), OffsetSpec::Earliest) else { return batches };
    while let Ok(fetched) = log.read(&partition(), from, 1 << 20, Isolation::ReadUncommitted) {
        let next = fetched.next_offset(from);
        for batch in &fetched.batches {
            assert!(batch.check_crc(), "a batch with a bad CRC is served");
            batches.push(batch.bytes().clone());
        }
        if next == from {
            break;
        }
        from = next;
    }
    batches
}
