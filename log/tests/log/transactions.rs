//! Transactions: all or nothing, across restarts at any step.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_log::{ConsumerConfig, Entry, File, Locking, OpenMode, Producer, ProducerConfig, Record};

use super::*;

fn producer(log: &Log) -> Producer {
    log.producer(ProducerConfig::default().transactional_id("tx").acks(Acks::Written)).unwrap()
}

fn send(producer: &mut Producer, topic: &str, value: &'static str) {
    producer.send(topic, Record { value: Some(value.into()), ..Record::default() }).unwrap();
}

fn committed(log: &Log) -> Option<u64> {
    log.committed_offsets("g").first().map(|(_, committed)| committed.offset.get())
}

#[test]
fn committed_is_seen_and_aborted_is_not() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("a")).unwrap();
    log.create_topic(topic("b")).unwrap();
    let mut producer = producer(&log);
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "1");
    send(&mut producer, "b", "1");
    producer.send_offsets("g", &[(tp("in", 0), Offset::new(4))]).unwrap_err();
    producer.send_offsets("g", &[(tp("a", 0), Offset::new(4))]).unwrap();
    producer.flush().unwrap();
    assert_eq!((committed_values(&log, "a").len(), values(&log, "a").len(), committed(&log)), (0, 1, None));
    producer.commit_transaction().unwrap();
    assert_eq!((committed_values(&log, "a").len(), committed(&log)), (1, Some(4)));

    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "2");
    producer.send_offsets("g", &[(tp("a", 0), Offset::new(5))]).unwrap();
    producer.flush().unwrap();
    append(&log, "a", &["plain"]).unwrap();
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "3");
    producer.commit_transaction().unwrap();
    producer.begin_transaction().unwrap();
    producer.commit_transaction().unwrap();

    let check = |log: &Log| {
        assert_eq!(committed_values(log, "a"), ["1", "plain", "3"]);
        assert_eq!(values(log, "a"), ["1", "2", "plain", "3"]);
        assert_eq!(committed_values(log, "b"), ["1"]);
        assert_eq!(committed(log), Some(4));
        let txnindex = file_size(&storage, "log/a-0/00000000000000000000.txnindex");
        assert_eq!(txnindex, 34);
    };
    check(&log);
    let left = Arc::new(storage.fork());
    check(&open(&left).unwrap());
    drop(producer);
    log.close().unwrap();
    check(&open(&storage).unwrap());
}

fn file_size(storage: &MemoryStorage, path: &str) -> u64 {
    file(storage, path).size().unwrap()
}

#[test]
fn a_newer_producer_fences_the_older() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("a")).unwrap();
    let mut old = producer(&log);
    old.begin_transaction().unwrap();
    send(&mut old, "a", "old");
    old.flush().unwrap();
    let mut new = producer(&log);
    send_in_transaction(&mut new, "new");
    send(&mut old, "a", "late");
    let error = old.flush().unwrap_err();
    assert!(matches!(error, LogError::ProducerFenced { .. }), "{error}");
    assert!(matches!(old.commit_transaction(), Err(LogError::ProducerFenced { .. })));
    assert_eq!(committed_values(&log, "a"), ["new"]);
    assert_eq!(values(&log, "a"), ["old", "new"]);
}

fn send_in_transaction(producer: &mut Producer, value: &'static str) {
    producer.begin_transaction().unwrap();
    send(producer, "a", value);
    producer.commit_transaction().unwrap();
}

#[test]
fn calls_out_of_order_say_so() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("a")).unwrap();
    let mut producer = producer(&log);
    let error = producer.send("a", Record::default()).unwrap_err();
    assert_eq!(error.to_string(), "could not write: no transaction is open: begin one");
    assert!(producer.commit_transaction().is_err());
    producer.begin_transaction().unwrap();
    assert!(producer.begin_transaction().is_err());
    let mut plain = log.producer(ProducerConfig::default()).unwrap();
    let error = plain.begin_transaction().unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not begin a transaction: this producer has no transactional.id: set one"
    );
}

#[test]
fn an_open_transaction_holds_back_only_what_follows_it() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("a")).unwrap();
    append(&log, "a", &["before"]).unwrap();
    let mut producer = producer(&log);
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "open");
    producer.flush().unwrap();
    append(&log, "a", &["after"]).unwrap();
    assert_eq!(committed_values(&log, "a"), ["before"]);
    let config = ConsumerConfig::default().isolation(Isolation::ReadCommitted);
    let mut consumer = log.consumer(config).unwrap();
    consumer.assign(vec![tp("a", 0)]).unwrap();
    assert_eq!(consumer.position(&tp("a", 0)).unwrap().get(), 1);
    drop(producer); // aborts
    assert_eq!(committed_values(&log, "a"), ["before", "after"]);
}

#[test]
fn a_transaction_past_its_timeout_is_aborted() {
    let storage = memory();
    let clock = Arc::new(ManualClock::new(NOW));
    let log = Log::builder().dir("log").storage(storage).clock(clock.clone()).open().unwrap();
    log.create_topic(topic("a")).unwrap();
    let mut producer = producer(&log);
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "slow");
    producer.flush().unwrap();
    clock.advance(Duration::from_secs(61));
    log.maintain().unwrap();
    assert!(matches!(producer.commit_transaction(), Err(LogError::ProducerFenced { .. })));
    append(&log, "a", &["x"]).unwrap();
    assert_eq!(committed_values(&log, "a"), ["x"]);
}

/// Deletes a topic and creates it anew once its producers look it up again, which `meanwhile` comes between.
fn recreate(log: &Log, clock: &ManualClock, meanwhile: impl FnOnce(&Log, &ManualClock)) {
    log.delete_topic("a").unwrap();
    meanwhile(log, clock);
    log.create_topic(topic("a")).unwrap();
    clock.advance(ProducerConfig::default().metadata_max_age);
}

#[test]
fn a_topic_made_anew_takes_nothing_of_a_transaction_that_has_ended() {
    let storage = memory();
    let clock = Arc::new(ManualClock::new(NOW));
    let open = || Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).open().unwrap();
    let log = open();
    log.create_topic(topic("a")).unwrap();
    let mut producer = producer(&log);
    producer.begin_transaction().unwrap();
    send(&mut producer, "a", "early");
    producer.flush().unwrap();
    // No topic is there to take the marker, and the next one has never heard of the producer.
    recreate(&log, &clock, |log, clock| {
        clock.advance(Duration::from_secs(61));
        log.maintain().unwrap();
    });
    send(&mut producer, "a", "late");
    let error = producer.flush().unwrap_err();
    assert!(matches!(error, LogError::ProducerFenced { .. }), "{error}");
    drop(producer);
    append(&log, "a", &["x"]).unwrap();
    assert_eq!(committed_values(&log, "a"), ["x"]);
    log.close().unwrap();
    let log = open();
    assert_eq!(log.last_stable_offset(&tp("a", 0)).unwrap(), Offset::new(1));
    assert_eq!(committed_values(&log, "a"), ["x"]);
}

#[test]
fn a_transaction_goes_on_in_a_topic_made_anew() {
    for is_commit in [true, false] {
        let clock = Arc::new(ManualClock::new(NOW));
        let log = Log::builder().dir("log").storage(memory()).clock(clock.clone()).open().unwrap();
        log.create_topic(topic("a")).unwrap();
        let mut producer = log.producer(ProducerConfig::default().transactional_id("tx")).unwrap();
        producer.begin_transaction().unwrap();
        send(&mut producer, "a", "early");
        producer.flush().unwrap();
        recreate(&log, &clock, |_, _| ());
        send(&mut producer, "a", "late");
        assert_eq!(log.last_stable_offset(&tp("a", 0)).unwrap(), Offset::ZERO);
        match is_commit {
            true => producer.commit_transaction().unwrap(),
            false => producer.abort_transaction().unwrap(),
        }
        append(&log, "a", &["x"]).unwrap();
        let expected: &[&str] = if is_commit { &["late", "x"] } else { &["x"] };
        assert_eq!(committed_values(&log, "a"), expected);
    }
}

/// A file system that keeps a copy of itself before every change.
#[derive(Debug)]
struct Filmed {
    now: MemoryStorage,
    film: std::sync::Mutex<Vec<MemoryStorage>>,
    commits: AtomicUsize,
}

#[derive(Debug)]
struct FilmedFile {
    file: Arc<dyn File>,
    storage: Arc<Filmed>,
}

#[derive(Debug)]
struct Camera(Arc<Filmed>);

impl Filmed {
    fn shoot(&self) {
        self.film.lock().unwrap().push(self.now.fork());
    }
}

impl Storage for Camera {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.0.now.open(path, mode)?;
        Ok(Arc::new(FilmedFile { file, storage: self.0.clone() }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.now.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.now.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.shoot();
        self.0.now.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.now.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.now.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.now.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.0.now.lock(path, holder)
    }
}

impl File for FilmedFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(position, buffer)
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage.shoot();
        // And once in the middle of the write.
        self.file.write_at(position, &bytes[..bytes.len() / 2])?;
        self.storage.shoot();
        self.file.write_at(position, bytes)?;
        self.storage.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.truncate(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Every step of three transactions over `a`, `b` and the offsets of `g`, the second of them aborted.
fn film_of_three() -> Vec<MemoryStorage> {
    let filmed = Arc::new(Filmed {
        now: MemoryStorage::new(),
        film: std::sync::Mutex::default(),
        commits: AtomicUsize::new(0),
    });
    let storage = Arc::new(Camera(filmed.clone()));
    let log = open(&storage).unwrap();
    log.create_topic(topic("a")).unwrap();
    log.create_topic(topic("b")).unwrap();
    let mut producer = producer(&log);
    filmed.film.lock().unwrap().clear();
    for (number, value) in (1..).zip(["1", "2", "3"]) {
        producer.begin_transaction().unwrap();
        send(&mut producer, "a", value);
        producer.flush().unwrap();
        send(&mut producer, "a", value);
        send(&mut producer, "b", value);
        producer.send_offsets("g", &[(tp("a", 0), Offset::new(number))]).unwrap();
        if value == "2" {
            producer.abort_transaction().unwrap();
        } else {
            producer.commit_transaction().unwrap();
        }
    }
    filmed.shoot();
    std::mem::take(&mut *filmed.film.lock().unwrap())
}

#[test]
fn a_kill_at_any_step_leaves_all_or_nothing() {
    let film = film_of_three();
    assert!(film.len() > 40, "{}", film.len());
    let mut seen_last = 0;
    for (at, left) in film.into_iter().enumerate() {
        let left = Arc::new(left);
        for round in 0..2 {
            let log = open(&left).unwrap();
            let (a, b) = (committed_values(&log, "a"), committed_values(&log, "b"));
            let doubled: Vec<_> = b.iter().flat_map(|value| [value.clone(), value.clone()]).collect();
            assert_eq!(a, doubled, "picture {at}, round {round}");
            let expected = b.last().map(|value| value.parse().unwrap());
            assert_eq!(committed(&log), expected, "picture {at}, round {round}");
            assert!(b.len() >= seen_last, "picture {at}: what was committed stays so");
            seen_last = b.len();
            // Nothing is left open: what is appended now is seen at once.
            let end = log.offsets(&tp("a", 0), millstream_log::OffsetSpec::Latest).unwrap();
            assert_eq!(log.last_stable_offset(&tp("a", 0)).unwrap(), end, "picture {at}, round {round}");
            log.close().unwrap();
        }
    }
    assert_eq!(seen_last, 2);
}

#[test]
fn damage_in_one_partition_does_not_undo_what_was_committed_in_others() {
    let mut damaged = 0;
    for (at, left) in film_of_three().into_iter().enumerate() {
        let sound = Arc::new(left.fork());
        let expected = committed_values(&open(&sound).unwrap(), "b");
        let left = Arc::new(left);
        let first = file(&left, "log/a-0/00000000000000000000.log");
        if first.size().unwrap() < 400 {
            continue; // damage would be a torn tail
        }
        first.write_at(70, &[0xff; 4]).unwrap();
        recovery::say_recovery_point(&left, "a 0 2"); // else damage would be a torn tail
        for round in 0..2 {
            let log = open(&left).unwrap();
            let (_, error) = read_all(&log, &tp("a", 0), Isolation::ReadCommitted);
            assert!(
                matches!(error, Some(LogError::Corrupt { .. })),
                "picture {at}, round {round}: {error:?}"
            );
            assert_eq!(committed_values(&log, "b"), expected, "picture {at}, round {round}");
            let end = log.offsets(&tp("b", 0), millstream_log::OffsetSpec::Latest).unwrap();
            assert_eq!(log.last_stable_offset(&tp("b", 0)).unwrap(), end, "picture {at}, round {round}");
        }
        damaged += 1;
    }
    assert!(damaged > 10, "{damaged}");
}

#[test]
fn of_two_first_producers_one_fences_the_other() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("a")).unwrap();
    for round in 0..200 {
        let start = std::sync::Barrier::new(2);
        let first = || {
            let config = ProducerConfig::default().transactional_id(format!("tx-{round}"));
            start.wait();
            log.producer(config.acks(Acks::Written)).unwrap()
        };
        let producers =
            std::thread::scope(|scope| [scope.spawn(first), scope.spawn(first)].map(|one| one.join()));
        let commit = |producer: Result<Producer, _>| {
            let mut producer = producer.unwrap();
            producer.begin_transaction().unwrap();
            send(&mut producer, "a", "1");
            producer.commit_transaction().is_ok()
        };
        assert_eq!(producers.map(commit).iter().filter(|is_ok| **is_ok).count(), 1, "round {round}");
    }
}
