//! State that cannot be written, does not decode, or is read anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::{Log, NewTopic, Offset, Producer, ProducerConfig, Record, Timestamp};

use crate::config::StreamsConfig;
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::error::StreamsError;
use crate::runtime::{State, Streams};
use crate::serde::{Int64, Utf8};
use crate::store::backend::{Direction, Family, Found, Scan, StateBackend, WriteBatch};
use crate::store::changelog;
use crate::store::{MemoryBackend, RestoredStore, StateRestoreListener};
use crate::topology::Topology;

/// A disk that is full at times.
struct Disk {
    kept: MemoryBackend,
    is_full: AtomicBool,
}

impl StateBackend for Disk {
    fn family(&self, name: &str) -> Result<Family, StreamsError> {
        self.kept.family(name)
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        if self.is_full.load(Ordering::Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            return Err(StreamsError::State { action: "write", source });
        }
        self.kept.apply(batch)
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        self.kept.get(family, key)
    }

    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError> {
        self.kept.get_many(family, keys, found)
    }

    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError> {
        self.kept.scan(family, from, to, direction)
    }

    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError> {
        self.kept.estimate_rows(family, from, to)
    }
}

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by_key()
        .count(Materialized::named("counts"));
    builder.build().unwrap()
}

/// The same store with texts as values.
fn listing() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64)).group_by_key().aggregate(
        Vec::new,
        |_, value, mut list| {
            list.push(*value);
            list
        },
        Materialized::with("counts", crate::serde::Json),
    );
    builder.build().unwrap()
}

fn log() -> Log {
    let log = Log::in_memory(Arc::new(millstream_log::SystemClock::new()));
    log.create_topic(NewTopic::new("in").partitions(1)).unwrap();
    log
}

fn write(log: &Log, count: u32) {
    let mut producer: Producer = log.producer(ProducerConfig::default()).unwrap();
    for number in 0..count {
        let record = Record {
            key: Some(format!("key-{}", number % 5).into()),
            value: Some(1i64.to_be_bytes().to_vec().into()),
            timestamp: Some(Timestamp::new(0)),
            headers: Vec::new(),
            partition: None,
        };
        producer.send("in", record).unwrap();
    }
    producer.flush().unwrap();
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_full_disk_stops_the_application_at_the_last_commit() {
    let log = log();
    let disk = Arc::new(Disk { kept: MemoryBackend::default(), is_full: AtomicBool::new(false) });
    let open = || {
        let opener = Streams::builder(counting(), StreamsConfig::new("app").exactly_once(), log.clone());
        opener.backend(disk.clone()).open().unwrap()
    };
    let counts = |app: &Streams| -> Vec<i64> {
        let counts = app.store("counts").unwrap().key_value::<String, i64>().unwrap();
        counts.all().unwrap().map(|row| row.unwrap().1.value).collect()
    };
    let mut app = open();
    app.start().unwrap();
    write(&log, 50);
    assert!(app.wait_caught_up(PATIENCE).unwrap());
    disk.is_full.store(true, Ordering::Relaxed);
    write(&log, 50);
    let error = app.wait_caught_up(PATIENCE).unwrap_err().to_string();
    assert!(error.starts_with("could not write the committed state"), "{error}");
    assert_eq!(app.state(), State::Error);
    let family = disk.family("counts").unwrap();
    let rows = disk.scan(family, &[], None, Direction::Forward).unwrap();
    let stored = rows.map(|row| i64::from_be_bytes(row.unwrap().1[8..].try_into().unwrap()));
    assert_eq!(stored.collect::<Vec<_>>(), [10; 5], "behind their timestamps");
    drop(app);
    // The log has what the disk has not; with room again, it is read from there.
    disk.is_full.store(false, Ordering::Relaxed);
    let mut app = open();
    app.start().unwrap();
    write(&log, 50);
    assert!(app.wait_caught_up(PATIENCE).unwrap());
    assert_eq!(counts(&app), [30; 5]);
    app.close().unwrap();
}

#[test]
fn state_of_another_type_is_refused_with_its_key() {
    let log = log();
    let backend: Arc<MemoryBackend> = Arc::default();
    let open = |topology: Topology| {
        let opener = Streams::builder(topology, StreamsConfig::new("app").exactly_once(), log.clone());
        opener.backend(backend.clone()).open().unwrap()
    };
    let mut app = open(counting());
    app.start().unwrap();
    write(&log, 1);
    assert!(app.wait_caught_up(PATIENCE).unwrap());
    app.close().unwrap();
    let mut app = open(listing());
    app.start().unwrap();
    write(&log, 1);
    let error = app.wait_caught_up(PATIENCE).unwrap_err().to_string();
    for part in ["stored state of \"counts\"", "8 bytes", "key-0", "give the store another name"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl StateRestoreListener for Notes {
    fn on_restore_start(&self, store: RestoredStore<'_>, start: Offset, end: Offset) {
        self.0.lock().unwrap().push(format!("{} of {}: {start} to {end}", store.store, store.changelog));
    }

    fn on_batch_restored(&self, _: RestoredStore<'_>, next: Offset, records: u64) {
        self.0.lock().unwrap().push(format!("{records} records, next {next}"));
    }

    fn on_restore_end(&self, _: RestoredStore<'_>, records: u64) {
        self.0.lock().unwrap().push(format!("{records} in all"));
    }
}

#[test]
fn restores_are_told_and_a_position_that_is_damaged_is_not_trusted() {
    let log = log();
    let backend: Arc<MemoryBackend> = Arc::default();
    let life = |notes: &Arc<Notes>| {
        let opener = Streams::builder(counting(), StreamsConfig::new("app").exactly_once(), log.clone());
        let mut app = opener.backend(backend.clone()).restore_listener(notes.clone()).open().unwrap();
        app.start().unwrap();
        write(&log, 5);
        assert!(app.wait_caught_up(PATIENCE).unwrap());
        app.close().unwrap();
        std::mem::take(&mut *notes.0.lock().unwrap())
    };
    let notes = Arc::new(Notes::default());
    assert_eq!(life(&notes), [] as [&str; 0]);
    assert_eq!(life(&notes), [] as [&str; 0], "the state has everything");
    let end = log
        .offsets(
            &millstream_log::TopicPartition::new("app-counts-changelog", 0),
            millstream_log::OffsetSpec::Latest,
        )
        .unwrap();
    let offsets = backend.family(changelog::OFFSETS).unwrap();
    let mut batch = WriteBatch::default();
    batch.put(offsets, &[b"counts\0\0\0\0\0"], &[b"damaged"]);
    backend.apply(&batch).unwrap();
    let expected = [
        format!("counts of app-counts-changelog-0: 0 to {end}"),
        format!("10 records, next {end}"),
        "10 in all".to_owned(),
    ];
    assert_eq!(life(&notes), expected);
}
