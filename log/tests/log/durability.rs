//! What an acknowledgement stands on: syncs that several appends share, that fail, and that a roll leaves for later.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millstream_log::simulation::{CrashMode, Faults, SimDisk};
use millstream_log::{Entry, File, Locking, OpenMode, ProducerConfig, Record};

use super::*;

/// Memory that counts syncs, and keeps what a power cut leaves: of each file what was synced.
#[derive(Debug, Default)]
struct Cut {
    memory: MemoryStorage,
    /// Files as of their last sync, and directories' names as of theirs.
    durable: MemoryStorage,
    syncs: AtomicU64,
    calls: Mutex<Vec<String>>,
    is_broken: AtomicBool,
}

#[derive(Debug)]
struct CutFile {
    storage: Arc<Cut>,
    path: std::path::PathBuf,
    file: Arc<dyn File>,
}

#[derive(Debug)]
struct Shared(Arc<Cut>);

impl Cut {
    fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn note(&self, call: &str, path: &Path) {
        let path = path.strip_prefix("log").unwrap_or(path).display();
        self.calls.lock().unwrap().push(format!("{call} {path}"));
    }
}

impl Storage for Shared {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.0.memory.open(path, mode)?;
        Ok(Arc::new(CutFile { storage: self.0.clone(), path: path.to_path_buf(), file }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.memory.create_dir(path)?;
        self.0.durable.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.memory.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.memory.rename(from, to)?;
        let _unsynced = self.0.durable.rename(from, to);
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _unsynced = self.0.durable.remove_file(path);
        self.0.memory.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.memory.remove_dir(path)
    }
    fn sync_files(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        self.0.calls.lock().unwrap().push(format!("together {}", files.len()));
        files.iter().try_for_each(|file| file.sync())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.note("dir", path);
        Ok(())
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.0.memory.lock(path, holder)
    }
}

impl File for CutFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(position, buffer)
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage.note("write", &self.path);
        self.file.write_at(position, bytes)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.truncate(size)
    }
    fn sync(&self) -> io::Result<()> {
        if self.storage.is_broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is on fire"));
        }
        self.storage.syncs.fetch_add(1, Ordering::SeqCst);
        self.storage.note("sync", &self.path);
        let mut bytes = vec![0; self.file.size()? as usize];
        self.file.read_at(0, &mut bytes)?;
        self.storage.durable.open(&self.path, OpenMode::Truncate)?.write_at(0, &bytes)
    }
}

fn open_cut(cut: &Arc<Cut>) -> Log {
    open(&Arc::new(Shared(cut.clone()))).unwrap()
}

#[test]
fn producers_that_wait_share_a_sync_and_a_power_cut_keeps_what_was_acknowledged() {
    let cut = Arc::new(Cut::default());
    let log = open_cut(&cut);
    log.create_topic(topic("t").config("segment.bytes", "2000")).unwrap();
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for producer in 0..8 {
            let (log, acknowledged) = (&log, &acknowledged);
            scope.spawn(move || {
                for number in 0..50 {
                    let value = format!("{producer}-{number}");
                    let info = log.append(&tp("t", 0), batch(&[&value]), Acks::Synced).unwrap();
                    acknowledged.lock().unwrap().push((info.base_offset.get(), value));
                }
            });
        }
    });
    let mut acknowledged = acknowledged.into_inner().unwrap();
    acknowledged.sort();
    assert_eq!(acknowledged.len(), 400);
    let left = Arc::new(cut.durable.fork());
    let (found, error) = read_all(&open(&left).unwrap(), &tp("t", 0), Isolation::ReadUncommitted);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, acknowledged);
}

#[test]
fn a_roll_leaves_the_sync_to_those_who_wait_for_it() {
    let cut = Arc::new(Cut::default());
    let log = open_cut(&cut);
    log.create_topic(topic("t").config("segment.bytes", "100")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    cut.take_calls();
    append(&log, "t", &["b"]).unwrap();
    append(&log, "t", &["c"]).unwrap();
    let calls = cut.take_calls();
    assert!(calls.iter().all(|call| !call.ends_with(".log") || call.starts_with("write")), "{calls:?}");
    log.append(&tp("t", 0), batch(&["d"]), Acks::Synced).unwrap();
    let calls = cut.take_calls();
    let at = |call: &str| {
        calls.iter().position(|other| other == call).unwrap_or_else(|| panic!("{call}: {calls:?}"))
    };
    // Everything below the batch is on disk, and under its name, before the append returns.
    let together = calls.iter().position(|call| call.starts_with("together")).unwrap();
    assert!(at("write t-0/00000000000000000003.log") < together);
    for base in 0..4 {
        assert!(together < at(&format!("sync t-0/{base:020}.log")));
    }
    let last_dir = calls.iter().rposition(|call| call == "dir t-0").unwrap();
    assert!(at("sync t-0/00000000000000000003.log") < last_dir);
    let left = Arc::new(cut.durable.fork());
    assert_eq!(values(&open(&left).unwrap(), "t"), ["a", "b", "c", "d"]);
}

#[test]
fn what_waits_for_a_sync_is_bounded() {
    let cut = Arc::new(Cut::default());
    let log = open_cut(&cut);
    log.create_topic(topic("t")).unwrap();
    let mut producer = log.producer(ProducerConfig::default().batch_size(1 << 20)).unwrap();
    cut.take_calls();
    let value = bytes::Bytes::from(vec![b'v'; 1_000_000]);
    for _ in 0..20 {
        let record = Record { value: Some(value.clone()), ..Record::default() };
        producer.send("t", record).unwrap();
    }
    // Nobody asked yet, but more than 8 MiB never wait.
    let calls = cut.take_calls();
    let mut waiting = 0;
    for call in calls.iter().filter(|call| call.ends_with("00000000000000000000.log")) {
        waiting = if call.starts_with("sync") { 0 } else { waiting + 1 };
        assert!(waiting <= 8, "{calls:?}");
    }
    assert!(calls.iter().any(|call| call.starts_with("sync")), "{calls:?}");
    producer.flush().unwrap();
}

#[test]
fn a_sync_that_fails_in_the_background_is_never_believed_again() {
    let cut = Arc::new(Cut::default());
    let log = open_cut(&cut);
    log.create_topic(topic("t").config("segment.bytes", "100")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    append(&log, "t", &["b"]).unwrap();
    cut.is_broken.store(true, Ordering::SeqCst);
    assert!(log.maintain().is_err());
    cut.is_broken.store(false, Ordering::SeqCst);
    assert!(matches!(append(&log, "t", &["c"]), Err(LogError::Stopped { .. })));
    let syncs = cut.syncs.load(Ordering::SeqCst);
    assert_eq!(values(&log, "t"), ["a", "b"], "readers go on");
    log.close().unwrap();
    let names = cut.memory.list(Path::new("log")).unwrap();
    assert!(!names.iter().any(|entry| entry.name == ".kafka_cleanshutdown"), "the next start recovers");
    assert!(cut.syncs.load(Ordering::SeqCst) - syncs <= 3, "the checkpoints, and none of the segments");
    let log = open(&Arc::new(cut.memory.fork())).unwrap();
    append(&log, "t", &["c"]).unwrap();
    assert_eq!(values(&log, "t"), ["a", "b", "c"]);
}

/// A log with an aborted transaction whose marker was written on a disk that had no room for its index entry, and whose
/// batches are on stable storage.
fn with_a_late_entry(clock: &Arc<ManualClock>) -> (SimDisk, Log) {
    let entries = |disk: &SimDisk| {
        let path = Path::new("log/t-0/00000000000000000000.txnindex");
        disk.snapshot().files().get(path).map_or(0, |bytes| bytes.len())
    };
    for bytes in 0..1000 {
        let disk = SimDisk::new(0);
        let log = open_sim(&disk, clock);
        log.create_topic(topic("t").config("segment.ms", "3600000")).unwrap();
        let mut producer = log.producer(ProducerConfig::default().transactional_id("tx")).unwrap();
        producer.begin_transaction().unwrap();
        producer.send("t", Record { value: Some("hidden".into()), ..Record::default() }).unwrap();
        producer.flush().unwrap();
        disk.set_faults(Faults { capacity: Some(disk.bytes_used() + bytes), ..Faults::default() });
        let _no_room = producer.abort_transaction();
        let end = log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap();
        if end == Offset::new(2) && entries(&disk) == 0 {
            disk.set_faults(Faults::default());
            log.append(&tp("t", 0), batch(&["seen"]), Acks::Synced).unwrap();
            assert_eq!(entries(&disk), 0, "nobody asked for it yet");
            return (disk, log);
        }
    }
    panic!("there is always room for both or for none");
}

fn open_sim(disk: &SimDisk, clock: &Arc<ManualClock>) -> Log {
    let config = LogConfig { transaction_topic_partitions: 1, ..LogConfig::default() };
    let builder = Log::builder().dir("log").storage(Arc::new(disk.clone())).clock(clock.clone()).seed(0);
    builder.config(config).open().unwrap()
}

#[test]
fn an_aborted_transaction_that_is_noted_late_is_synced_before_a_start_relies_on_it() {
    let by_snapshot = |log: &Log| {
        let mut producer = log.producer(ProducerConfig::default().batch_size(1 << 20)).unwrap();
        for _ in 0..5 {
            let value = Some(bytes::Bytes::from(vec![b'v'; 1_000_000]));
            producer.send("t", Record { value, ..Record::default() }).unwrap();
        }
        producer.flush().unwrap();
    };
    for name in ["snapshot", "roll"] {
        let clock = Arc::new(ManualClock::new(NOW));
        let (disk, log) = with_a_late_entry(&clock);
        match name {
            "snapshot" => by_snapshot(&log),
            _ => clock.advance(Duration::from_secs(7200)),
        }
        log.maintain().unwrap();
        let snapshot = disk.snapshot();
        for seed in 0..40 {
            for mode in CrashMode::ALL {
                let disk = snapshot.crash(mode, &mut fastrand::Rng::with_seed(seed));
                let log = open_sim(&disk, &clock);
                let (found, error) = read_all(&log, &tp("t", 0), Isolation::ReadCommitted);
                assert!(error.is_none(), "{name}, {mode:?}, seed {seed}: {error:?}");
                let first = found.first().map(|(offset, value)| (*offset, value.as_str()));
                assert_eq!(first, Some((2, "seen")), "{name}, {mode:?}, seed {seed}");
            }
        }
    }
}
