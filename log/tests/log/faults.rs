//! Locks, full and read-only disks, syncs that fail.

use std::error::Error;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millstream_log::{DiskStorage, Entry, File, Locking, OpenMode, ProducerConfig, Record, Recovery};

use super::*;

#[test]
fn a_second_log_in_a_directory_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let error = Log::open(dir.path()).unwrap_err();
    let LogError::Locked { holder, .. } = &error else { panic!("{error}") };
    assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    drop(log);
    Log::open(dir.path()).unwrap();
}

const HOLD: &str = "MILLSTREAM_TEST_HOLD";

/// Not a check of its own: run by the next one as a process that holds a log.
#[test]
fn holding_process() {
    if let Ok(dir) = std::env::var(HOLD) {
        let _log = Log::open(&dir).unwrap();
        std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
        std::io::read_to_string(std::io::stdin()).unwrap();
    }
}

#[test]
fn another_process_is_named_and_its_death_frees_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["faults::holding_process", "--exact"])
        .env(HOLD, dir.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("ready").exists() {
        std::thread::yield_now();
    }
    let error = Log::open(dir.path()).unwrap_err().to_string();
    let expected = format!("{} is in use by process {} (", dir.path().display(), holder.id());
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.ends_with("): stop it, or choose another directory"), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    Log::open(dir.path()).unwrap();
}

/// Memory with faults.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    storage: MemoryStorage,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    /// Bytes by which files can still grow.
    pub(crate) space: AtomicU64,
    pub(crate) is_sync_broken: AtomicBool,
    is_read_only: AtomicBool,
    is_removal_broken: AtomicBool,
    /// Whether a removed file gives back a kilobyte.
    is_space_freed: AtomicBool,
    /// A log that is looked after in the middle of the next read.
    maintained_at_read: std::sync::Mutex<Option<Log>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            space: AtomicU64::new(u64::MAX),
            is_sync_broken: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            is_removal_broken: AtomicBool::new(false),
            is_space_freed: AtomicBool::new(false),
            maintained_at_read: std::sync::Mutex::default(),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    faults: Arc<Faults>,
}

impl Storage for Faulty {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if self.faults.is_read_only.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(Arc::new(FaultyFile { file: self.storage.open(path, mode)?, faults: self.faults.clone() }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.faults.is_read_only.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.storage.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.storage.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if self.faults.is_space_freed.load(Ordering::Relaxed) {
            self.faults.space.fetch_add(1024, Ordering::Relaxed);
        }
        self.storage.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if self.faults.is_removal_broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        self.storage.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.storage.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.storage.lock(path, holder)
    }
}

impl File for FaultyFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(position, buffer);
        let log = self.faults.maintained_at_read.lock().unwrap().take();
        log.into_iter().for_each(|log| log.maintain().unwrap());
        read
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let space = self.faults.space.load(Ordering::Relaxed);
        // What is written over takes no space.
        let free = self.file.size()?.saturating_sub(position).saturating_add(space);
        let fitting = bytes.len().min(usize::try_from(free).unwrap_or(usize::MAX));
        let growth = (position + fitting as u64).saturating_sub(self.file.size()?);
        self.file.write_at(position, &bytes[..fitting])?;
        self.faults.space.store(space - growth, Ordering::Relaxed);
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.truncate(size)
    }
    fn sync(&self) -> io::Result<()> {
        if self.faults.is_sync_broken.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("the disk is on fire"));
        }
        self.file.sync()
    }
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    let storage = Arc::new(Faulty::default());
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    storage.faults.space.store(30, Ordering::Relaxed);
    let error = append(&log, "t", &["b"]).unwrap_err();
    assert_eq!(error.recovery(), Recovery::Retry);
    assert_eq!(
        error.to_string(),
        "no space left to append to log/t-0/00000000000000000000.log: free some space and try again"
    );
    assert_eq!(values(&log, "t"), ["a"]);

    // A producer keeps the batch that did not fit.
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for value in ["c", "d"] {
        producer.send("t", Record { value: Some(value.into()), ..Record::default() }).unwrap();
    }
    assert!(matches!(producer.flush(), Err(LogError::DiskFull { .. })));
    assert_eq!(values(&log, "t"), ["a"]);
    storage.faults.space.store(u64::MAX, Ordering::Relaxed);
    producer.flush().unwrap();
    append(&log, "t", &["e"]).unwrap();
    assert_eq!(values(&log, "t"), ["a", "c", "d", "e"]);
    drop(producer);
    let left = Arc::new(storage.storage.fork());
    assert_eq!(values(&open(&left).unwrap(), "t"), ["a", "c", "d", "e"]);
}

#[test]
fn a_disk_that_is_full_when_a_segment_is_to_be_started_loses_nothing() {
    let storage = Arc::new(Faulty::default());
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "100")).unwrap();
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    let mut send = |value: &'static str| {
        producer.send("t", Record { value: Some(value.into()), ..Record::default() }).unwrap();
        producer.flush().map(drop)
    };
    send("a").unwrap();
    storage.faults.space.store(4, Ordering::Relaxed);
    for _ in 0..2 {
        assert!(matches!(send("b"), Err(LogError::DiskFull { .. })));
    }
    assert!(matches!(append(&log, "t", &["c"]), Err(LogError::DiskFull { .. })));
    assert_eq!(values(&log, "t"), ["a"]);
    storage.faults.space.store(u64::MAX, Ordering::Relaxed);
    send("d").unwrap();
    assert_eq!(values(&log, "t"), ["a", "b", "b", "d"]);
    drop(producer);
    let killed = Arc::new(storage.storage.fork());
    log.close().unwrap();
    for storage in [killed, Arc::new(storage.storage.fork())] {
        assert_eq!(values(&open(&storage).unwrap(), "t"), ["a", "b", "b", "d"]);
    }
}

#[test]
fn retention_during_a_read_shows_nothing_aborted() {
    let storage = Arc::new(Faulty::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let open = || Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).open().unwrap();
    let log = open();
    log.create_topic(topic("t").config("segment.bytes", "100").config("retention.ms", "1000")).unwrap();
    let mut producer = log.producer(ProducerConfig::default().transactional_id("tx")).unwrap();
    producer.begin_transaction().unwrap();
    producer.send("t", Record { value: Some("aborted".into()), ..Record::default() }).unwrap();
    producer.flush().unwrap();
    producer.abort_transaction().unwrap();
    for value in ["a", "b"] {
        append(&log, "t", &[value]).unwrap();
    }
    drop(producer);
    log.close().unwrap();
    let log = open();
    clock.advance(Duration::from_secs(2));
    *storage.faults.maintained_at_read.lock().unwrap() = Some(log.clone());
    let fetched = log.read(&tp("t", 0), Offset::ZERO, 1 << 20, Isolation::ReadCommitted);
    assert!(storage.faults.maintained_at_read.lock().unwrap().is_none());
    assert!(matches!(fetched, Err(LogError::OffsetOutOfRange { .. })), "{fetched:?}");
}

#[test]
fn a_failed_sync_stops_the_partition_until_it_is_reopened() {
    let storage = Arc::new(Faulty::default());
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    log.append(&tp("t", 0), batch(&["a"]), Acks::Synced).unwrap();
    storage.faults.is_sync_broken.store(true, Ordering::Relaxed);
    let error = log.append(&tp("t", 0), batch(&["b"]), Acks::Synced).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the disk is on fire");
    assert_eq!(values(&log, "t"), ["a"], "what was not synced is not shown");
    // The disk says that all is well again; we do not believe it.
    let error = log.append(&tp("t", 0), batch(&["c"]), Acks::Synced).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t-0 is stopped because a sync failed: could not sync log/t-0/00000000000000000000.log (the disk is on \
         fire): fix the disk, then reopen the log"
    );
    log.close().unwrap();
    let log = open(&storage).unwrap();
    log.append(&tp("t", 0), batch(&["c"]), Acks::Synced).unwrap();
    assert_eq!(values(&log, "t").last().unwrap(), "c");
}

#[test]
fn a_read_only_directory_says_so() {
    let storage = Arc::new(Faulty::default());
    storage.faults.is_read_only.store(true, Ordering::Relaxed);
    let error = open(&storage).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no permission to create log: make it writable, or choose another directory"
    );
    // On disk, and with a directory that exists. The superuser may write anywhere but below /proc.
    let error = Log::builder().dir("/proc/self/log").storage(Arc::new(DiskStorage)).open().unwrap_err();
    assert!(matches!(error, LogError::NotWritable { .. } | LogError::Io { .. }), "{error}");
}

#[test]
fn a_deletion_that_a_start_finishes_keeps_the_checkpoints_of_others() {
    let storage = Arc::new(Faulty::default());
    let log = open(&storage).unwrap();
    log.create_topic(topic("a")).unwrap();
    log.create_topic(topic("b")).unwrap();
    append(&log, "a", &["1"]).unwrap();
    log.close().unwrap();
    let log = open(&storage).unwrap();
    storage.faults.is_removal_broken.store(true, Ordering::Relaxed);
    log.delete_topic("b").unwrap();
    log.create_topic(topic("b")).unwrap();
    assert_eq!(values(&log, "b"), [""; 0]);
    let has_deleted = |storage: &MemoryStorage| {
        let entries = storage.list(Path::new("log")).unwrap();
        entries.iter().any(|entry| entry.name.starts_with("b-0.") && entry.name.ends_with("-delete"))
    };
    assert!(has_deleted(&storage.storage), "renamed, so that nobody waits for the removal");
    let killed = Arc::new(storage.storage.fork());
    let log = open(&killed).unwrap();
    assert!(!has_deleted(&killed), "removed by the next start");
    assert_eq!(values(&log, "a"), ["1"]);
    let checkpoint = file(&killed, "log/recovery-point-offset-checkpoint");
    let mut text = vec![0; checkpoint.size().unwrap() as usize];
    checkpoint.read_at(0, &mut text).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "0\n1\na 0 1\n");
}

/// Appends until nothing fits, with each amount of space that leaves a different step without any.
#[test]
fn a_disk_that_fills_up_anywhere_loses_nothing_and_closes() {
    for space in 0..400 {
        let storage = Arc::new(Faulty::default());
        let log = open(&storage).unwrap();
        log.create_topic(topic("t").config("segment.bytes", "150")).unwrap();
        append(&log, "t", &["before"]).unwrap();
        storage.faults.space.store(space, Ordering::Relaxed);
        let mut kept = vec!["before".to_owned()];
        for number in 0..6 {
            let value = number.to_string();
            match append(&log, "t", &[&value]) {
                Ok(_) => kept.push(value),
                Err(error) => assert!(error.is_retriable(), "space {space}: {error}"),
            }
        }
        let _full = log.maintain();
        assert_eq!(values(&log, "t"), kept, "space {space}");
        let full = Arc::new(Faulty { storage: storage.storage.fork(), faults: storage.faults.clone() });
        log.close().unwrap();
        full.faults.space.store(u64::MAX, Ordering::Relaxed);
        for storage in [full.storage.fork(), storage.storage.fork()] {
            let log = open(&Arc::new(storage)).unwrap();
            assert_eq!(values(&log, "t"), kept, "space {space}");
            append(&log, "t", &["after"]).unwrap();
        }
    }
}

#[test]
fn deleting_records_makes_space_on_a_full_disk() {
    let storage = Arc::new(Faulty::default());
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "150")).unwrap();
    for value in ["a", "b", "c", "d"] {
        append(&log, "t", &[value]).unwrap();
    }
    storage.faults.space.store(0, Ordering::Relaxed);
    storage.faults.is_space_freed.store(true, Ordering::Relaxed);
    assert!(matches!(append(&log, "t", &["e"]), Err(LogError::DiskFull { .. })));
    assert_eq!(log.delete_records(&tp("t", 0), Some(Offset::new(3))).unwrap().get(), 3);
    append(&log, "t", &["e"]).unwrap();
    assert_eq!(values(&log, "t"), ["d", "e"]);
}
