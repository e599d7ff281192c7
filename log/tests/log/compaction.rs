//! Compaction: what stays, for how long, and through crashes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::TryRecvError;

use millstream_log::{
    CleanerConfig, Codec, Compression, Entry, File, Locking, OffsetSpec, OpenMode, Producer, ProducerConfig,
    Record,
};

use super::*;

/// A log whose clock moves.
struct Setup {
    storage: Arc<MemoryStorage>,
    clock: Arc<ManualClock>,
    log: Log,
}

fn setup() -> Setup {
    let (storage, clock) = (memory(), Arc::new(ManualClock::new(NOW)));
    let log = open_at(&storage, &clock);
    Setup { storage, clock, log }
}

fn open_at(storage: &Arc<impl Storage + 'static>, clock: &Arc<ManualClock>) -> Log {
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).config(config).open().unwrap()
}

/// A compacted topic in which every few batches start a segment, and tombstones stay for a minute.
fn compacted(name: &str) -> NewTopic {
    topic(name)
        .config("cleanup.policy", "compact")
        .config("segment.bytes", "300")
        .config("index.interval.bytes", "100")
        .config("delete.retention.ms", "60000")
}

fn put(log: &Log, pairs: &[(&str, Option<&str>)]) -> Offset {
    let mut builder = BatchBuilder::new();
    for (key, value) in pairs {
        builder.append(NOW, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    log.append(&tp("t", 0), builder.finish(), Acks::Written).unwrap().base_offset
}

/// Starts segments until everything before is in sealed ones.
fn seal(log: &Log) {
    for _ in 0..3 {
        put(log, &[("pad", Some(&"-".repeat(150)))]);
    }
}

type Seen = Vec<(u64, String, Option<String>)>;

/// All records but the padding.
fn records(log: &Log, isolation: Isolation) -> Seen {
    let id = tp("t", 0);
    let mut seen = Vec::new();
    let mut from = log.offsets(&id, OffsetSpec::Earliest).unwrap();
    loop {
        let fetched = log.read(&id, from, 500, isolation).unwrap();
        let next = fetched.next_offset(from);
        for batch in fetched.into_data() {
            for record in batch.records().map(Result::unwrap).filter(|record| record.offset >= from) {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let key = record.key.map_or_else(String::new, text);
                if key != "pad" {
                    seen.push((record.offset.get(), key, record.value.map(text)));
                }
            }
        }
        if next == from {
            return seen;
        }
        from = next;
    }
}

fn seen(records: &[(u64, &str, Option<&str>)]) -> Seen {
    records
        .iter()
        .map(|(offset, key, value)| (*offset, (*key).to_owned(), value.map(ToOwned::to_owned)))
        .collect()
}

#[test]
fn the_newest_value_of_each_key_stays_where_it_was() {
    let Setup { storage, log, clock } = setup();
    log.create_topic(compacted("t")).unwrap();
    put(&log, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    put(&log, &[("c", Some("1"))]);
    put(&log, &[("b", Some("2")), ("d", Some("1")), ("d", Some(""))]);
    seal(&log);
    let end = log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap();
    let cleaned = log.clean_next().unwrap().unwrap();
    assert_eq!((cleaned.partition.clone(), cleaned.from), (tp("t", 0), Offset::ZERO));
    let expected = seen(&[(2, "a", Some("2")), (3, "c", Some("1")), (4, "b", Some("2")), (6, "d", Some(""))]);
    assert_eq!(records(&log, Isolation::ReadUncommitted), expected);
    assert_eq!(log.clean_next().unwrap(), None, "all is clean now");

    let checkpoint = file(&storage, "log/cleaner-offset-checkpoint");
    let mut text = vec![0; checkpoint.size().unwrap() as usize];
    checkpoint.read_at(0, &mut text).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), format!("0\n1\nt 0 {}\n", cleaned.to));
    let stats = &log.cleaner_stats().unwrap()[0];
    assert_eq!((stats.first_dirty, stats.dirty_ratio), (cleaned.to, 0.0));
    assert_eq!(stats.last, Some(cleaned));

    // Newer values come, in a second round.
    put(&log, &[("a", Some("3"))]);
    seal(&log);
    log.clean(&tp("t", 0)).unwrap();
    let expected =
        seen(&[(3, "c", Some("1")), (4, "b", Some("2")), (6, "d", Some("")), (10, "a", Some("3"))]);
    let check = |log: &Log| {
        assert_eq!(records(log, Isolation::ReadUncommitted), expected);
        assert!(log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap() > end);
        assert_eq!(log.offsets(&tp("t", 0), OffsetSpec::Earliest).unwrap(), Offset::ZERO);
    };
    check(&log);
    check(&open_at(&Arc::new(storage.fork()), &clock));
    log.close().unwrap();
    check(&open_at(&storage, &clock));
}

#[test]
fn reads_start_at_any_offset() {
    let Setup { log, .. } = setup();
    log.create_topic(compacted("t")).unwrap();
    for at in 0..60 {
        put(&log, &[("k", Some(&at.to_string())), (&(at % 7).to_string(), Some(&at.to_string()))]);
    }
    seal(&log);
    log.clean(&tp("t", 0)).unwrap();
    let all = records(&log, Isolation::ReadUncommitted);
    let end = log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap().get();
    for from in 0..end {
        let fetched = log.read(&tp("t", 0), Offset::new(from), 1, Isolation::ReadUncommitted).unwrap();
        let batch = &fetched.batches[0];
        assert!(batch.last_offset().get() >= from);
        let hidden = all.iter().find(|(offset, ..)| *offset >= from && *offset < batch.base_offset().get());
        assert_eq!(hidden, None, "from {from}");
    }
}

#[test]
fn a_tombstone_stays_for_its_time() {
    let Setup { log, clock, .. } = setup();
    log.create_topic(compacted("t")).unwrap();
    put(&log, &[("a", Some("1")), ("b", Some("1"))]);
    put(&log, &[("a", None)]);
    seal(&log);
    let with = seen(&[(1, "b", Some("1")), (2, "a", None)]);
    for seconds in [0, 30, 29] {
        clock.advance(Duration::from_secs(seconds));
        log.clean(&tp("t", 0)).unwrap();
        assert_eq!(records(&log, Isolation::ReadUncommitted), with);
    }
    let fetched = log.read(&tp("t", 0), Offset::new(2), 1, Isolation::ReadUncommitted).unwrap();
    assert_eq!(fetched.batches[0].base_timestamp(), NOW + Duration::from_secs(60), "the delete horizon");
    assert_eq!(fetched.batches[0].records().next().unwrap().unwrap().timestamp, NOW);
    clock.advance(Duration::from_secs(1));
    log.clean(&tp("t", 0)).unwrap();
    assert_eq!(records(&log, Isolation::ReadUncommitted), seen(&[(1, "b", Some("1"))]));
}

#[test]
fn rounds_end_when_the_map_is_full() {
    let (storage, clock) = (memory(), Arc::new(ManualClock::new(NOW)));
    let cleaner = CleanerConfig { dedupe_buffer_bytes: 24 * 11, ..CleanerConfig::default() };
    let log = Log::builder()
        .dir("log")
        .storage(storage)
        .clock(clock)
        .config(LogConfig { cleaner, ..LogConfig::default() })
        .open()
        .unwrap();
    log.create_topic(compacted("t")).unwrap();
    let mut newest = BTreeMap::new();
    for at in 0..200_u64 {
        let key = (at * at % 37).to_string();
        let offset = put(&log, &[(&key, Some(&at.to_string()))]);
        newest.insert(key.clone(), (offset.get(), key, Some(at.to_string())));
    }
    seal(&log);
    let mut rounds = 0;
    while let Some(cleaned) = log.clean_next().unwrap() {
        assert!(cleaned.to > cleaned.from);
        rounds += 1;
    }
    while log.cleaner_stats().unwrap()[0].dirty_ratio > 0.0 {
        log.clean(&tp("t", 0)).unwrap();
        rounds += 1;
    }
    assert!(rounds > 3, "{rounds}");
    let mut expected: Seen = newest.into_values().collect();
    expected.sort();
    // Each round knows only its own keys, so that an older value may be left for a later one to find.
    let found = records(&log, Isolation::ReadUncommitted);
    let last: BTreeMap<_, _> = found.iter().map(|record| (record.1.clone(), record.clone())).collect();
    let mut last: Seen = last.into_values().collect();
    last.sort();
    assert_eq!(last, expected);
    assert_eq!(found, expected, "once all rounds are through, nothing older is left");
}

#[test]
fn compressed_batches_stay_compressed() {
    for codec in Codec::ALL {
        let Setup { log, .. } = setup();
        log.create_topic(compacted("t").config("segment.bytes", "400")).unwrap();
        for round in 0..4 {
            let mut builder = BatchBuilder::new();
            for key in 0..10 + round {
                let key = format!("key {key}");
                let value = format!("{round}").repeat(20);
                builder.append(NOW, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
            }
            let plain = millstream_log::RecordBatch::parse(builder.finish().freeze()).unwrap();
            let batch = plain.recompress(Some(Compression::new(codec))).unwrap();
            log.append(&tp("t", 0), batch, Acks::Written).unwrap();
        }
        put(&log, &[("key 12", None)]);
        seal(&log);
        log.clean(&tp("t", 0)).unwrap();
        let found = records(&log, Isolation::ReadUncommitted);
        let keys: Vec<_> = found.iter().map(|(_, key, _)| key.clone()).collect();
        let expected: Vec<_> = (0..13).map(|key| format!("key {key}")).collect();
        assert_eq!(keys, expected, "{codec}");
        let first = log.read(&tp("t", 0), Offset::new(33), 1, Isolation::ReadUncommitted).unwrap();
        assert_eq!(first.batches[0].codec().unwrap(), Some(codec));
    }
}

#[test]
fn what_is_young_or_open_is_left_alone() {
    let Setup { log, clock, .. } = setup();
    log.create_topic(compacted("t").config("min.compaction.lag.ms", "1000")).unwrap();
    put(&log, &[("a", Some("1"))]);
    put(&log, &[("a", Some("2"))]);
    seal(&log);
    assert_eq!(log.clean_next().unwrap(), None, "too young");
    clock.advance(Duration::from_secs(2));
    assert!(log.clean_next().unwrap().is_some());
    assert_eq!(records(&log, Isolation::ReadUncommitted), seen(&[(1, "a", Some("2"))]));

    let mut producer = transactional(&log, "tx");
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", Some("3"));
    producer.flush().unwrap();
    put(&log, &[("a", Some("4"))]);
    seal(&log);
    clock.advance(Duration::from_secs(2));
    let before = records(&log, Isolation::ReadUncommitted);
    log.clean(&tp("t", 0)).unwrap();
    assert_eq!(records(&log, Isolation::ReadUncommitted), before, "a transaction is open");
}

#[test]
fn what_waited_too_long_is_cleaned() {
    let Setup { log, clock, .. } = setup();
    let lags = compacted("t").config("max.compaction.lag.ms", "5000");
    log.create_topic(lags.config("min.cleanable.dirty.ratio", "1.0")).unwrap();
    put(&log, &[("a", Some("1"))]);
    put(&log, &[("a", Some("2"))]);
    seal(&log);
    assert_eq!(log.clean_next().unwrap(), None, "not dirty enough");
    clock.advance(Duration::from_secs(6));
    assert!(log.clean_next().unwrap().is_some());
    assert_eq!(log.clean_next().unwrap(), None);
}

fn transactional(log: &Log, id: &str) -> Producer {
    log.producer(ProducerConfig::default().transactional_id(id).acks(Acks::Written)).unwrap()
}

fn send(producer: &mut Producer, key: &'static str, value: Option<&'static str>) {
    let record = Record { key: Some(key.into()), value: value.map(Into::into), ..Record::default() };
    producer.send("t", record).unwrap();
}

#[test]
fn transactions_stay_what_they_were() {
    let Setup { storage, log, clock } = setup();
    log.create_topic(compacted("t")).unwrap();
    let mut producer = transactional(&log, "tx");
    put(&log, &[("a", Some("1")), ("b", Some("1"))]);
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", Some("aborted"));
    send(&mut producer, "c", Some("aborted"));
    producer.flush().unwrap();
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    send(&mut producer, "b", Some("2"));
    producer.flush().unwrap();
    producer.commit_transaction().unwrap();
    seal(&log);
    let committed = vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), Some("2".to_owned()))];
    let view = |log: &Log| {
        let seen = records(log, Isolation::ReadCommitted);
        seen.into_iter().map(|(_, key, value)| (key, value)).collect::<Vec<_>>()
    };
    for _ in 0..4 {
        log.clean(&tp("t", 0)).unwrap();
        assert_eq!(view(&log), committed);
        assert_eq!(records(&log, Isolation::ReadUncommitted).len(), 2, "aborted data is gone at once");
        assert_eq!(view(&open_at(&Arc::new(storage.fork()), &clock)), committed);
        clock.advance(Duration::from_secs(61));
    }
    // The transaction goes on to be cleaned away once its data is superseded, and its producer still works.
    put(&log, &[("b", Some("3"))]);
    seal(&log);
    for _ in 0..3 {
        log.clean(&tp("t", 0)).unwrap();
        clock.advance(Duration::from_secs(61));
    }
    producer.begin_transaction().unwrap();
    send(&mut producer, "c", Some("1"));
    producer.commit_transaction().unwrap();
    assert_eq!(records(&log, Isolation::ReadCommitted).len(), 3);
}

#[test]
fn compaction_and_retention_work_side_by_side() {
    let Setup { log, clock, .. } = setup();
    let both = compacted("t").config("cleanup.policy", "compact,delete").config("retention.ms", "10000");
    log.create_topic(both).unwrap();
    put(&log, &[("a", Some("1"))]);
    put(&log, &[("a", Some("2"))]);
    seal(&log);
    assert!(log.clean_next().unwrap().is_some());
    assert_eq!(records(&log, Isolation::ReadUncommitted), seen(&[(1, "a", Some("2"))]));
    clock.advance(Duration::from_secs(60));
    log.maintain().unwrap();
    assert!(log.offsets(&tp("t", 0), OffsetSpec::Earliest).unwrap() > Offset::ZERO);
    log.clean(&tp("t", 0)).unwrap();
    assert_eq!(records(&log, Isolation::ReadUncommitted), seen(&[]));
}

#[test]
fn only_compacted_topics_are_compacted() {
    let Setup { log, .. } = setup();
    log.create_topic(topic("t")).unwrap();
    assert_eq!(
        log.clean(&tp("t", 0)).unwrap_err().to_string(),
        "invalid value \"delete\" for cleanup.policy: compacting t-0 takes compact"
    );
    assert_eq!(log.clean_next().unwrap(), None);
    assert_eq!(log.cleaner_stats().unwrap(), []);
}

/// Memory that keeps a copy of itself from before each change: what a crash at that point leaves behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    storage: MemoryStorage,
    copies: Arc<Mutex<Option<Vec<MemoryStorage>>>>,
    fails_at: Arc<Mutex<Option<usize>>>,
    is_full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct RecordedFile {
    file: Arc<dyn File>,
    of: Recorder,
}

impl Recorder {
    pub(super) fn over(storage: MemoryStorage) -> Self {
        Self { storage, ..Self::default() }
    }

    pub(super) fn start(&self) {
        *self.copies.lock().unwrap() = Some(Vec::new());
    }

    pub(super) fn stop(&self) -> Vec<MemoryStorage> {
        self.copies.lock().unwrap().take().unwrap()
    }

    fn change(&self) -> io::Result<()> {
        if let Some(copies) = &mut *self.copies.lock().unwrap() {
            copies.push(self.storage.fork());
        }
        match &mut *self.fails_at.lock().unwrap() {
            Some(0) => Err(io::Error::other("the disk is on fire")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Storage for Recorder {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode != OpenMode::Existing {
            self.change()?;
        }
        Ok(Arc::new(RecordedFile { file: self.storage.open(path, mode)?, of: self.clone() }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.storage.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.storage.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        self.storage.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.storage.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.storage.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.storage.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.storage.lock(path, holder)
    }
}

impl File for RecordedFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(position, buffer)
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.of.change()?;
        if self.of.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(position, bytes)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.of.change()?;
        self.file.truncate(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.of.change()?;
        self.file.sync()
    }
}

/// Values, tombstones, an aborted and a committed transaction over several segments, not yet cleaned.
fn workload(log: &Log) {
    log.create_topic(compacted("t")).unwrap();
    let mut producer = transactional(log, "tx");
    put(log, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
    for round in ["2", "3", "4"] {
        producer.begin_transaction().unwrap();
        send(&mut producer, "b", Some("never"));
        producer.flush().unwrap();
        put(log, &[("a", Some(round)), ("d", Some(round))]);
        producer.abort_transaction().unwrap();
        producer.begin_transaction().unwrap();
        send(&mut producer, "e", Some(round));
        producer.commit_transaction().unwrap();
    }
    put(log, &[("c", None)]);
    seal(log);
}

/// The last value of each key, as committed.
fn table(log: &Log) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (_, key, value) in records(log, Isolation::ReadCommitted) {
        match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(&key)),
        }
    }
    table
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_log() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = Arc::new(Recorder::default());
    let log = open_at(&storage, &clock);
    workload(&log);
    let expected = table(&log);
    assert_eq!(expected.len(), 4);
    let end = log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap();
    storage.start();
    log.clean(&tp("t", 0)).unwrap();
    let cleaned = records(&log, Isolation::ReadUncommitted);
    let mut copies = storage.stop();
    copies.push(storage.storage.fork());
    assert!(copies.len() > 30, "{}", copies.len());
    let look = |log: &Log, at: usize| {
        assert_eq!(table(log), expected, "after a crash at operation {at}");
        assert!(log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap() >= end);
    };
    let check = |log: &Log, at: usize| {
        look(log, at);
        log.clean(&tp("t", 0)).unwrap();
        let now = records(log, Isolation::ReadUncommitted);
        assert_eq!(now, cleaned, "after a crash at operation {at} and another round");
    };
    for (at, copy) in copies.into_iter().enumerate() {
        // The start can be interrupted anywhere too.
        let again = Arc::new(Recorder::over(copy));
        again.start();
        let log = open_at(&again, &clock);
        let copies = again.stop();
        let names: Vec<_> =
            again.list(Path::new("log/t-0")).unwrap().into_iter().map(|entry| entry.name).collect();
        let left = names
            .iter()
            .find(|name| [".cleaned", ".swap", ".deleted"].iter().any(|suffix| name.ends_with(suffix)));
        assert_eq!(left, None, "after a crash at operation {at}");
        for copy in copies {
            look(&open_at(&Arc::new(copy), &clock), at);
        }
        check(&log, at);
    }
}

#[test]
fn a_failing_disk_harms_nobody_else() {
    let clock = Arc::new(ManualClock::new(NOW));
    let mut stopped = 0;
    for at in 0.. {
        let storage = Arc::new(Recorder::default());
        let log = open_at(&storage, &clock);
        workload(&log);
        let expected = table(&log);
        log.create_topic(compacted("other")).unwrap();
        for value in ["1", "2", "3", "4"] {
            append(&log, "other", &[value, &"-".repeat(150)]).unwrap();
        }
        *storage.fails_at.lock().unwrap() = Some(at);
        let outcome = log.clean(&tp("t", 0));
        *storage.fails_at.lock().unwrap() = None;
        assert_eq!(table(&log), expected, "failure at operation {at}");
        if outcome.is_ok() {
            assert!(at > 30);
            break;
        }
        // The partition is left alone, with a reason; the others are not, and appends go on where the files are clear.
        let stats = log.cleaner_stats().unwrap();
        let of = |topic: &str| stats.iter().find(|stats| *stats.partition.topic == *topic).unwrap().clone();
        assert!(of("t").uncleanable.unwrap().ends_with("(the disk is on fire)"));
        assert_eq!(of("other").uncleanable, None);
        assert_eq!(*log.clean_next().unwrap().unwrap().partition.topic, *"other");
        if log.append(&tp("t", 0), batch(&["more"]), Acks::Written).is_err() {
            stopped += 1;
        }
        let left = open_at(&Arc::new(storage.storage.fork()), &clock);
        let mut after = table(&left);
        after.remove("k");
        assert_eq!(after, expected, "after a failure at operation {at} and a restart");
    }
    assert!(stopped > 0);
}

/// Ends the threads of a test however it ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn appends_and_readers_go_on_meanwhile() {
    let Setup { storage, log, clock } = setup();
    let busy = compacted("t").config("segment.bytes", "20000").config("min.cleanable.dirty.ratio", "0");
    log.create_topic(busy).unwrap();
    let is_done = AtomicBool::new(false);
    let (cleaned, rounds) = std::sync::mpsc::channel();
    let last = std::thread::scope(|scope| {
        let _ending = SetOnDrop(&is_done);
        scope.spawn(|| {
            let cleaned = cleaned; // gone with this thread
            while !is_done.load(Ordering::SeqCst) {
                if log.clean_next().unwrap().is_some() {
                    cleaned.send(()).unwrap();
                }
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                let seen = records(&log, Isolation::ReadCommitted);
                assert!(seen.is_sorted_by_key(|(offset, ..)| *offset));
            }
        });
        let (mut last, mut at, mut rounds_left) = (BTreeMap::new(), 0, 3);
        while at < 5000 || rounds_left > 0 {
            let key = (at % 101).to_string();
            put(&log, &[(&key, Some(&at.to_string()))]);
            last.insert(key, at.to_string());
            at += 1;
            match rounds.try_recv() {
                Ok(()) => rounds_left -= 1,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break, // its panic is this test's
            }
        }
        last
    });
    assert_eq!(table(&log), last);
    log.clean(&tp("t", 0)).unwrap();
    assert_eq!(table(&log), last);
    log.close().unwrap();
    assert_eq!(table(&open_at(&storage, &clock)), last);
}

#[test]
fn a_full_disk_is_only_a_reason_to_wait() {
    let clock = Arc::new(ManualClock::new(NOW));
    let storage = Arc::new(Recorder::default());
    let log = open_at(&storage, &clock);
    workload(&log);
    let expected = table(&log);
    storage.is_full.store(true, Ordering::SeqCst);
    assert!(matches!(log.clean_next(), Err(LogError::DiskFull { .. })));
    assert_eq!(log.clean_next().unwrap(), None, "not at once again");
    assert_eq!(log.cleaner_stats().unwrap()[0].uncleanable, None);
    storage.is_full.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(15));
    assert!(log.clean_next().unwrap().is_some());
    assert_eq!(table(&log), expected);
}

#[test]
fn a_round_gives_up_when_it_is_told_to() {
    let Setup { storage, log, .. } = setup();
    workload(&log);
    let before = records(&log, Isolation::ReadUncommitted);
    let polls = AtomicUsize::new(0);
    let mut given_up = 0;
    loop {
        let left = given_up;
        polls.store(0, Ordering::SeqCst);
        let outcome = log.clean_next_unless(&|| polls.fetch_add(1, Ordering::SeqCst) >= left).unwrap();
        if outcome.is_some() {
            break;
        }
        given_up += 1;
        let names = storage.list(Path::new("log/t-0")).unwrap();
        assert!(!names.iter().any(|entry| entry.name.ends_with(".cleaned")), "given up after {left} polls");
        if given_up == 1 {
            assert_eq!(records(&log, Isolation::ReadUncommitted), before);
        }
    }
    assert!(given_up > 10);
}

#[test]
fn the_logs_own_topics_are_cleaned_too() {
    let Setup { storage, log, clock } = setup();
    log.create_topic(topic("in")).unwrap();
    append(&log, "in", &["1"]).unwrap();
    for round in 0..300 {
        log.commit_offsets("g", &[(tp("in", 0), Offset::new(round % 2), "")]).unwrap();
    }
    let partition = tp("__consumer_offsets", 0);
    // Its segments are large, so what was written stays in the active one.
    let end = log.offsets(&partition, OffsetSpec::Latest).unwrap();
    assert!(end.get() >= 300);
    let stats = log.cleaner_stats().unwrap();
    assert!(stats.iter().any(|stats| stats.partition == partition), "{stats:?}");
    log.clean(&partition).unwrap();
    let committed = log.committed_offsets("g");
    assert_eq!(committed[0].1.offset, Offset::new(1));
    log.close().unwrap();
    assert_eq!(open_at(&storage, &clock).committed_offsets("g"), committed);
}

#[test]
fn a_new_topic_owes_nothing_to_an_old_one_of_its_name() {
    let Setup { log, .. } = setup();
    for _ in 0..2 {
        log.create_topic(compacted("t")).unwrap();
        put(&log, &[("a", Some("1")), ("a", Some("2"))]);
        seal(&log);
        let cleaned = log.clean_next().unwrap().unwrap();
        assert_eq!(cleaned.from, Offset::ZERO);
        assert_eq!(records(&log, Isolation::ReadUncommitted), seen(&[(1, "a", Some("2"))]));
        log.delete_topic("t").unwrap();
        assert_eq!(log.cleaner_stats().unwrap(), []);
    }
}
