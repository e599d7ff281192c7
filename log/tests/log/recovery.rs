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
