//! After a crash: torn tails go, everything else stays or is reported.

use proptest::prelude::*;

use super::*;

const LOG: &str = "log/t-0/00000000000000000000.log";

/// A log with three batches, killed. Returns what it leaves behind and where the batches end.
fn killed() -> (Arc<MemoryStorage>, Vec<u64>) {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut ends = vec![0];
    for batch in [["a", "b"], ["c", "d"], ["e", "f"]] {
        append(&log, "t", &batch).unwrap();
        ends.push(file(&storage, LOG).size().unwrap());
    }
    (Arc::new(storage.fork()), ends)
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_batch() {
    let (left, ends) = killed();
    for cut in 0..=ends[3] {
        let storage = Arc::new(left.fork());
        file(&storage, LOG).truncate(cut).unwrap();
        let log = open(&storage).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let expected = &["a", "b", "c", "d", "e", "f"][..2 * whole];
        assert_eq!(values(&log, "t"), expected, "cut at {cut}");
        assert_eq!(append(&log, "t", &["g"]).unwrap().get(), 2 * whole as u64);
        log.close().unwrap();
        assert_eq!(values(&open(&storage).unwrap(), "t").len(), 2 * whole + 1);
    }
}

#[test]
fn a_synced_tail_that_is_gone_is_reported_at_every_start() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    append(&log, "t", &["b"]).unwrap();
    log.close().unwrap();
    storage.remove_file(Path::new("log/.kafka_cleanshutdown")).unwrap();
    let size = file(&storage, LOG).size().unwrap() - 1;
    let check = |storage: &Arc<MemoryStorage>, sound: usize| {
        for round in 0..3 {
            let log = open(storage).unwrap();
            let (read, error) = read_all(&log, &tp("t", 0), Isolation::ReadUncommitted);
            assert_eq!(read.len(), sound, "round {round}");
            assert!(matches!(error, Some(LogError::Corrupt { .. })), "round {round}: {error:?}");
            assert!(matches!(append(&log, "t", &["c"]), Err(LogError::Corrupt { .. })), "round {round}");
            log.close().unwrap();
        }
    };
    let cut = Arc::new(storage.fork());
    file(&cut, LOG).truncate(size).unwrap();
    check(&cut, 1);
    assert_eq!(file(&cut, LOG).size().unwrap(), size, "what is left stays for a repair");

    storage.remove_dir(Path::new("log/t-0")).unwrap();
    check(&storage, 0);
}

#[test]
fn a_tail_of_zeros_is_torn() {
    let (storage, ends) = killed();
    file(&storage, LOG).write_at(ends[3], &[0; 5000]).unwrap();
    let log = open(&storage).unwrap();
    assert_eq!(values(&log, "t").len(), 6);
    assert_eq!(file(&storage, LOG).size().unwrap(), ends[3]);
}

#[test]
fn a_flipped_byte_before_sound_batches_is_corruption() {
    let (left, ends) = killed();
    for at in ends[1]..ends[2] {
        if (12..16).contains(&(at - ends[1])) {
            continue; // the leader epoch means nothing here
        }
        let storage = Arc::new(left.fork());
        flip(&storage, LOG, at);
        let unsynced = Arc::new(storage.fork());
        assert_eq!(values(&open(&unsynced).unwrap(), "t"), ["a", "b"], "byte {at}: a torn tail, not synced");
        say_recovery_point(&storage, "t 0 6");
        let log = open(&storage).unwrap();
        let (read, error) = read_all(&log, &tp("t", 0), Isolation::ReadUncommitted);
        assert_eq!(read.len(), 2, "byte {at}");
        let Some(LogError::Corrupt { path, position, position_end, offset, offset_end, .. }) = error else {
            panic!("byte {at}: {error:?}")
        };
        assert_eq!((path.as_path(), position, offset.get()), (Path::new(LOG), ends[1], 2), "byte {at}");
        assert_eq!((position_end, offset_end.get()), (ends[2], 4), "byte {at}");
        let behind = log.read(&tp("t", 0), Offset::new(4), 1, Isolation::ReadUncommitted).unwrap();
        assert_eq!(behind.batches[0].base_offset().get(), 4, "byte {at}: what lies behind stays readable");
        assert!(matches!(append(&log, "t", &["g"]), Err(LogError::Corrupt { .. })), "byte {at}");
        log.close().unwrap();
        assert_eq!(file(&storage, LOG).size().unwrap(), ends[3], "nothing is cut away");
        assert!(matches!(append(&open(&storage).unwrap(), "t", &["g"]), Err(LogError::Corrupt { .. })));
    }
}

#[test]
fn damage_after_a_clean_close_is_corruption_even_at_the_end() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    append(&log, "t", &["b"]).unwrap();
    log.close().unwrap();
    let size = file(&storage, LOG).size().unwrap();

    let cut = Arc::new(storage.fork());
    file(&cut, LOG).truncate(size - 3).unwrap();
    let gone = Arc::new(storage.fork());
    file(&gone, LOG).truncate(size / 2).unwrap();
    let flipped = Arc::new(storage.fork());
    flip(&flipped, LOG, size - 3);
    let removed = Arc::new(storage.fork());
    removed.remove_dir(Path::new("log/t-0")).unwrap();
    for (damaged, kept) in [(cut, 1), (gone, 1), (flipped, 1), (removed, 0)] {
        let log = open(&damaged).unwrap();
        let (read, error) = read_all(&log, &tp("t", 0), Isolation::ReadUncommitted);
        assert_eq!(read.len(), kept);
        assert!(matches!(error, Some(LogError::Corrupt { .. })), "{error:?}");
    }
}

#[test]
fn damage_in_a_settled_segment_is_found_by_its_readers() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "200")).unwrap();
    for value in ["a", "b", "c", "d", "e"] {
        append(&log, "t", &[value]).unwrap();
    }
    log.close().unwrap();
    flip(&storage, LOG, 65);
    let log = open(&storage).unwrap();
    let (read, error) = read_all(&log, &tp("t", 0), Isolation::ReadUncommitted);
    assert_eq!(read.len(), 0);
    assert_eq!(
        error.unwrap().to_string(),
        format!(
            "{LOG} is corrupt at positions 0 to 70 (offsets 0 to 0): the CRC does not match; other offsets stay \
             readable, restore the file from a copy or run `millstream repair`"
        )
    );
}

#[test]
fn lost_and_broken_indexes_are_rebuilt() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "1000").config("index.interval.bytes", "0")).unwrap();
    let all: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for value in &all {
        append(&log, "t", &[value]).unwrap();
    }
    log.close().unwrap();
    let names: Vec<_> = storage.list(Path::new("log/t-0")).unwrap();
    for entry in names.iter().filter(|entry| entry.name.ends_with("index")) {
        let path = Path::new("log/t-0").join(&entry.name);
        for damage in [Damage::Remove, Damage::Truncate, Damage::Shift] {
            let storage = Arc::new(storage.fork());
            let file = storage.open(&path, millstream_log::OpenMode::Existing).unwrap();
            match damage {
                Damage::Remove => storage.remove_file(&path).unwrap(),
                Damage::Truncate => file.truncate(5).unwrap(),
                // A position that leads into the middle of a batch.
                Damage::Shift if file.size().unwrap() > 8 => {
                    flip(&storage, path.to_str().unwrap(), 7);
                }
                Damage::Shift => continue,
            }
            let log = open(&storage).unwrap();
            assert_eq!(values(&log, "t"), all, "{} {damage:?}", entry.name);
            append(&log, "t", &["more"]).unwrap();
        }
    }
}

/// Writes a recovery point checkpoint of these entries.
pub(crate) fn say_recovery_point(storage: &MemoryStorage, entries: &str) {
    let path = Path::new("log/recovery-point-offset-checkpoint");
    let file = storage.open(path, millstream_log::OpenMode::Truncate).unwrap();
    file.write_at(0, format!("0\n{}\n{entries}\n", entries.lines().count()).as_bytes()).unwrap();
}

#[test]
fn no_file_but_the_log_itself_is_missed() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "1000").config("index.interval.bytes", "0")).unwrap();
    let mut producer =
        log.producer(millstream_log::ProducerConfig::default().transactional_id("tx")).unwrap();
    let mut all = Vec::new();
    for number in 0..60 {
        let value = number.to_string();
        producer.begin_transaction().unwrap();
        let record = millstream_log::Record { value: Some(value.clone().into()), ..Default::default() };
        producer.send("t", record).unwrap();
        producer.flush().unwrap();
        if number % 3 == 0 {
            producer.abort_transaction().unwrap();
        } else {
            producer.commit_transaction().unwrap();
            all.push(value);
        }
    }
    drop(producer);
    let killed = Arc::new(storage.fork());
    log.close().unwrap();
    for storage in [storage, killed] {
        let mut paths = Vec::new();
        for dir in ["log", "log/t-0"] {
            let entries = storage.list(Path::new(dir)).unwrap().into_iter().filter(|entry| !entry.is_dir);
            paths.extend(entries.map(|entry| format!("{dir}/{}", entry.name)));
        }
        paths.retain(|path| {
            !path.ends_with(".log")
                && !path.ends_with("catalogue.json")
                && !path.ends_with(".properties")
                && !path.ends_with("producer-id-block")
        });
        assert!(paths.len() > 20, "{paths:?}");
        for path in &paths {
            for damage in ["remove", "empty", "halve", "garble", "zero", "lengthen"] {
                let storage = Arc::new(storage.fork());
                let file = file(&storage, path);
                let size = file.size().unwrap();
                // A segment without aborted transactions has no such file, and nothing says how many entries it has.
                if path.ends_with(".txnindex") && ["remove", "empty", "halve"].contains(&damage) {
                    continue;
                }
                match damage {
                    "remove" => storage.remove_file(Path::new(path)).unwrap(),
                    "empty" => file.truncate(0).unwrap(),
                    "halve" => file.truncate(size / 2).unwrap(),
                    "garble" => file.write_at(0, &vec![0xa5; size as usize]).unwrap(),
                    "zero" => file.write_at(0, &vec![0; size as usize]).unwrap(),
                    _ => file.write_at(size, &[0; 7]).unwrap(),
                }
                let log = open(&storage).unwrap_or_else(|error| panic!("{damage} {path}: {error}"));
                assert_eq!(committed_values(&log, "t"), all, "{damage} {path}");
                let id = tp("t", 0);
                let at = log.offsets(&id, OffsetSpec::At(Timestamp::new(0))).unwrap();
                assert_eq!(at, Offset::ZERO, "{damage} {path}");
                append(&log, "t", &["more"]).unwrap_or_else(|error| panic!("{damage} {path}: {error}"));
                log.close().unwrap();
                let log = open(&storage).unwrap();
                assert_eq!(committed_values(&log, "t").len(), all.len() + 1, "{damage} {path}");
            }
        }
    }
}

#[test]
fn tails_that_a_crash_may_leave_are_cut_off() {
    let (left, ends) = killed();
    let whole = ends[3];
    let mut bytes = vec![0; whole as usize];
    file(&left, LOG).read_at(0, &mut bytes).unwrap();
    let second = &bytes[ends[1] as usize..ends[2] as usize];
    let mut moved = second.to_vec();
    moved[7] = 9; // a sound batch that belongs further behind
    let tails: [(&str, Vec<u8>); 7] = [
        ("zeros", vec![0; 5000]),
        ("one zero", vec![0]),
        ("garbage", (0..3000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("a header and nothing behind it", second[..61].to_vec()),
        ("a batch with the wrong CRC", [&second[..70], &[0xee], &second[71..]].concat()),
        ("a batch of earlier offsets", second.to_vec()),
        ("a batch of later offsets", moved),
    ];
    for (name, tail) in tails {
        for sound in 0..=3 {
            let storage = Arc::new(left.fork());
            file(&storage, LOG).truncate(ends[sound]).unwrap();
            file(&storage, LOG).write_at(ends[sound], &tail).unwrap();
            if sound == 1 && name == "a batch of earlier offsets" {
                continue; // there it is in its place
            }
            for round in 0..2 {
                let log = open(&storage).unwrap();
                assert_eq!(
                    values(&log, "t"),
                    &["a", "b", "c", "d", "e", "f"][..2 * sound],
                    "{name} behind {sound}"
                );
                assert_eq!(
                    file(&storage, LOG).size().unwrap(),
                    ends[sound],
                    "{name} behind {sound}, round {round}"
                );
                drop(log);
            }
        }
    }
}

#[test]
fn a_torn_tail_takes_the_segments_behind_it_along() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "300")).unwrap();
    for number in 10..30 {
        append(&log, "t", &[&number.to_string()]).unwrap();
    }
    let storage = Arc::new(storage.fork());
    file(&storage, "log/t-0/00000000000000000008.log").truncate(100).unwrap();
    let log = open(&storage).unwrap();
    let expected: Vec<_> = (10..19).map(|number| number.to_string()).collect();
    assert_eq!(values(&log, "t"), expected, "nothing was synced, and no more than 8 MiB are behind it");
    append(&log, "t", &["more"]).unwrap();
    drop(log);
    assert_eq!(values(&open(&storage).unwrap(), "t").len(), 10);
}

#[test]
fn a_start_after_a_kill_reads_from_the_recovery_point_on() {
    let mut read = Vec::new();
    for synced in [1_u32, 8] {
        let storage = memory();
        let clock = Arc::new(ManualClock::new(NOW));
        let log = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).open().unwrap();
        log.create_topic(topic("t")).unwrap();
        let value = "v".repeat(100_000);
        for at in 0..synced * 50 {
            let acks = if at % 50 == 49 { Acks::Synced } else { Acks::Written };
            log.append(&tp("t", 0), batch(&[&value]), acks).unwrap();
            if at % 50 == 49 {
                clock.advance(Duration::from_secs(120));
                log.maintain().unwrap();
            }
        }
        append(&log, "t", &[&value]).unwrap();
        let metered = Arc::new(Metered { storage: storage.fork(), read: Arc::default() });
        let log = open(&metered).unwrap();
        assert_eq!(log.offsets(&tp("t", 0), OffsetSpec::Latest).unwrap().get(), u64::from(synced) * 50 + 1);
        read.push(metered.read.load(std::sync::atomic::Ordering::Relaxed));
    }
    let unsynced = 5 << 20; // at most so much lies behind the last snapshot, too
    assert!(read.iter().all(|bytes| *bytes < 2 * unsynced), "{read:?}");
}

/// Memory that counts the bytes read.
#[derive(Debug)]
struct Metered {
    storage: MemoryStorage,
    read: Arc<std::sync::atomic::AtomicU64>,
}

#[derive(Debug)]
struct MeteredFile(Arc<dyn millstream_log::File>, Arc<std::sync::atomic::AtomicU64>);

impl Storage for Metered {
    fn open(
        &self,
        path: &Path,
        mode: millstream_log::OpenMode,
    ) -> std::io::Result<Arc<dyn millstream_log::File>> {
        Ok(Arc::new(MeteredFile(self.storage.open(path, mode)?, self.read.clone())))
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        self.storage.create_dir(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<millstream_log::Entry>> {
        self.storage.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.storage.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        self.storage.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> std::io::Result<()> {
        self.storage.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        self.storage.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> std::io::Result<millstream_log::Locking> {
        self.storage.lock(path, holder)
    }
}

impl millstream_log::File for MeteredFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read_at(position, buffer)?;
        self.1.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
    fn write_at(&self, position: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_at(position, bytes)
    }
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }
    fn truncate(&self, size: u64) -> std::io::Result<()> {
        self.0.truncate(size)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_start_after_a_clean_close_reads_little_however_large_the_batches() {
    let read = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let storage = Arc::new(Metered { storage: memory().fork(), read: read.clone() });
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("index.interval.bytes", "300000")).unwrap();
    let large = "x".repeat(200_000);
    for _ in 0..5 {
        append(&log, "t", &[&large]).unwrap();
    }
    log.close().unwrap();
    read.store(0, std::sync::atomic::Ordering::Relaxed);
    let log = open(&storage).unwrap();
    let bytes = read.load(std::sync::atomic::Ordering::Relaxed);
    assert!(bytes < 40_000, "{bytes} bytes read");
    append(&log, "t", &["y"]).unwrap();
    assert_eq!(values(&log, "t").len(), 6);
    // Its index goes on as it would have without the close.
    drop(log);
    let all_at_once = memory();
    let log = open(&all_at_once).unwrap();
    log.create_topic(topic("t").config("index.interval.bytes", "300000")).unwrap();
    for _ in 0..5 {
        append(&log, "t", &[&large]).unwrap();
    }
    append(&log, "t", &["y"]).unwrap();
    drop(log);
    for name in ["log/t-0/00000000000000000000.index", "log/t-0/00000000000000000000.timeindex"] {
        let content = |storage: &MemoryStorage| {
            let file = file(storage, name);
            let mut bytes = vec![0; file.size().unwrap() as usize];
            file.read_at(0, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(content(&storage.storage), content(&all_at_once), "{name}");
    }
}

#[test]
fn a_clean_mark_is_not_believed_of_a_log_that_looks_otherwise() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("index.interval.bytes", "300000")).unwrap();
    let large = "x".repeat(200_000);
    for _ in 0..4 {
        append(&log, "t", &[&large]).unwrap();
    }
    log.close().unwrap();
    let size = file(&storage, LOG).size().unwrap();
    let damages = [
        ("cut off", None),
        ("another length", Some(size / 2 + 10)),
        ("another offset", Some(size / 4 * 3 + 7)),
    ];
    for (name, flipped) in damages {
        let storage = Arc::new(storage.fork());
        match flipped {
            Some(at) => flip(&storage, LOG, at),
            None => file(&storage, LOG).truncate(size - 1).unwrap(),
        }
        let log = open(&storage).unwrap();
        assert!(matches!(append(&log, "t", &["y"]), Err(LogError::Corrupt { .. })), "{name}");
    }
    for index in ["log/t-0/00000000000000000000.index", "log/t-0/00000000000000000000.timeindex"] {
        let storage = Arc::new(storage.fork());
        let lost = file(&storage, index).size().unwrap();
        file(&storage, index).truncate(0).unwrap();
        drop(open(&storage).unwrap());
        assert_eq!(file(&storage, index).size().unwrap(), lost, "{index} is there again");
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Remove,
    Truncate,
    Shift,
}

fn flip(storage: &MemoryStorage, path: &str, at: u64) {
    let file = file(storage, path);
    let mut byte = [0];
    file.read_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ 0x10]).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<String>),
    Close,
    Kill,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec("[a-z]{0,40}", 1..8).prop_map(Step::Append),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_partition_is_a_vec(
        steps in proptest::collection::vec(any_step(), 1..40),
        segment_bytes in 450_u32..2000,
        interval in 0_u32..300,
        tail_bytes in prop_oneof![Just(0_usize), Just(500), Just(8 << 20)],
    ) {
        let config = LogConfig { tail_bytes, ..LogConfig::default() };
        let open = |storage: &Arc<MemoryStorage>| {
            let clock = Arc::new(ManualClock::new(NOW));
            Log::builder().dir("log").storage(storage.clone()).clock(clock).config(config.clone()).open().unwrap()
        };
        let mut storage = memory();
        let mut log = open(&storage);
        log.create_topic(
            topic("t")
                .config("segment.bytes", segment_bytes.to_string())
                .config("index.interval.bytes", interval.to_string()),
        )
        .unwrap();
        let mut model: Vec<String> = Vec::new();
        for step in steps {
            match step {
                Step::Append(values) => {
                    let values: Vec<_> = values.iter().map(String::as_str).collect();
                    prop_assert_eq!(append(&log, "t", &values).unwrap().get(), model.len() as u64);
                    model.extend(values.into_iter().map(str::to_owned));
                }
                Step::Close => {
                    log.close().unwrap();
                    log = open(&storage);
                }
                Step::Kill => {
                    storage = Arc::new(storage.fork());
                    log = open(&storage);
                }
            }
            prop_assert_eq!(&values(&log, "t"), &model);
        }
        // Reading from every offset gives the batch that holds it.
        for from in 0..model.len() as u64 {
            let fetched = log.read(&tp("t", 0), Offset::new(from), 1, Isolation::ReadUncommitted).unwrap();
            let first = &fetched.batches[0];
            prop_assert!((first.base_offset()..first.next_offset()).contains(&Offset::new(from)));
        }
    }
}
