//! Damage: never served, never cut away, read around, and given up by a repair.

use millstream_log::{OpenMode, ProducerConfig, Record, RepairMode};

use super::*;

/// A log of single-record batches in several segments, closed cleanly, with all its values.
fn closed(segment_bytes: u32) -> (Arc<MemoryStorage>, Vec<String>) {
    let storage = memory();
    let log = open(&storage).unwrap();
    let topic =
        topic("t").config("segment.bytes", segment_bytes.to_string()).config("index.interval.bytes", "0");
    log.create_topic(topic).unwrap();
    let all: Vec<_> = (10..30).map(|number| number.to_string()).collect();
    for value in &all {
        append(&log, "t", &[value]).unwrap();
    }
    log.close().unwrap();
    (storage, all)
}

fn logs(storage: &MemoryStorage) -> Vec<String> {
    let mut names: Vec<_> =
        storage.list(Path::new("log/t-0")).unwrap().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    names
}

fn flip(storage: &MemoryStorage, path: &str, at: u64, bit: u8) {
    let file = file(storage, path);
    let mut byte = [0];
    file.read_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ bit]).unwrap();
}

/// Reads from every offset on its own. What is read must be right; returns what could not be read.
fn unreadable(log: &Log, all: &[String]) -> Vec<u64> {
    let mut bad = Vec::new();
    for (offset, value) in (0..).zip(all) {
        match log.read(&tp("t", 0), Offset::new(offset), 1, Isolation::ReadUncommitted) {
            Ok(fetched) => {
                let batch = &fetched.batches[0];
                assert_eq!(batch.base_offset().get(), offset, "from {offset}");
                let record = batch.records().next().unwrap().unwrap();
                assert_eq!(record.value, Some(value.as_bytes()), "at {offset}");
            }
            Err(LogError::Corrupt { offset: first, offset_end, .. }) => {
                assert!(
                    (first.get()..offset_end.get()).contains(&offset),
                    "{first} to {offset_end} at {offset}"
                );
                bad.push(offset);
            }
            Err(error) => panic!("at {offset}: {error}"),
        }
    }
    bad
}

#[test]
fn no_flipped_byte_is_served_or_takes_its_neighbours_along() {
    for segment_bytes in [1 << 20, 300] {
        let (closed, all) = closed(segment_bytes);
        for name in logs(&closed) {
            let path = format!("log/t-0/{name}");
            let size = file(&closed, &path).size().unwrap();
            let base: u64 = name[..20].parse().unwrap();
            for at in 0..size {
                let within = at % 71;
                if (12..16).contains(&within) {
                    continue; // the leader epoch means nothing here
                }
                let storage = Arc::new(closed.fork());
                flip(&storage, &path, at, 1 << (at % 8));
                let log = open(&storage).unwrap();
                assert_eq!(unreadable(&log, &all), [base + at / 71], "{name} byte {at}");
                assert!(
                    matches!(append(&log, "t", &["more"]), Err(LogError::Corrupt { .. })),
                    "{name} byte {at}"
                );
            }
        }
    }
}

#[test]
fn a_start_remembers_what_a_reader_found() {
    let (storage, all) = closed(300);
    flip(&storage, "log/t-0/00000000000000000004.log", 65, 1);
    let log = open(&storage).unwrap();
    assert_eq!(unreadable(&log, &all), [4]);
    drop(log);
    for _ in 0..2 {
        let log = open(&storage).unwrap();
        assert!(matches!(append(&log, "t", &["more"]), Err(LogError::Corrupt { .. })));
        assert_eq!(unreadable(&log, &all), [4]);
    }
}

#[test]
fn a_segment_that_is_gone_is_reported() {
    let (storage, all) = closed(300);
    storage.remove_file(Path::new("log/t-0/00000000000000000008.log")).unwrap();
    let log = open(&storage).unwrap();
    assert_eq!(unreadable(&log, &all), [8, 9, 10, 11]);
    let report = log.repair(&tp("t", 0), RepairMode::DryRun).unwrap();
    assert_eq!((report.offsets_lost(), report.bytes_lost()), (4, 0));
}

#[test]
fn a_first_segment_that_is_gone_is_reported() {
    for (deleted, first, lost, left) in [(0, 0, [0, 1, 2, 3].as_slice(), 4), (6, 4, &[6, 7], 8)] {
        let (storage, all) = closed(300);
        let id = tp("t", 0);
        let log = open(&storage).unwrap();
        log.delete_records(&id, Some(Offset::new(deleted))).unwrap();
        log.maintain().unwrap();
        log.close().unwrap();
        assert_eq!(logs(&storage)[0], format!("{first:020}.log"));
        storage.remove_file(Path::new(&format!("log/t-0/{first:020}.log"))).unwrap();
        let start = |log: &Log| log.offsets(&id, millstream_log::OffsetSpec::Earliest).unwrap().get();
        for _ in 0..2 {
            let log = open(&storage).unwrap();
            assert_eq!(start(&log), deleted);
            for &offset in lost {
                let read = log.read(&id, Offset::new(offset), 1, Isolation::ReadUncommitted);
                assert!(matches!(read, Err(LogError::Corrupt { .. })), "{offset}: {read:?}");
            }
            assert!(matches!(append(&log, "t", &["more"]), Err(LogError::Corrupt { .. })));
            let read = log.read(&id, Offset::new(left), 1, Isolation::ReadUncommitted).unwrap();
            assert_eq!(read.batches[0].base_offset().get(), left);
        }
        let log = open(&storage).unwrap();
        let report = log.repair(&id, RepairMode::Apply).unwrap();
        assert_eq!((report.offsets_lost(), report.bytes_lost()), (lost.len() as u64, 0));
        append(&log, "t", &["more"]).unwrap();
        drop(log);
        let log = open(&storage).unwrap();
        assert_eq!(start(&log), left);
        assert_eq!(values(&log, "t").len(), all.len() - left as usize + 1);
    }
}

#[test]
fn a_log_whose_own_files_are_damaged_opens_again_after_a_repair() {
    for damaged in ["meta.properties", "catalogue.json", "producer-id-block"] {
        let storage = memory();
        let log = open(&storage).unwrap();
        log.create_topic(topic("a").partitions(2).config("retention.ms", "1000")).unwrap();
        log.create_topic(topic("c").config("cleanup.policy", "compact")).unwrap();
        append(&log, "a", &["x", "y"]).unwrap();
        log.commit_offsets("g", &[(tp("a", 0), Offset::new(1), "")]).unwrap();
        let mut producer = log.producer(ProducerConfig::default()).unwrap();
        for _ in 0..3 {
            let key = Some("k".into());
            producer.send("c", Record { key, value: Some("v".into()), ..Record::default() }).unwrap();
            producer.flush().unwrap();
        }
        drop(producer);
        let before: Vec<_> = log.topics();
        log.close().unwrap();
        let path = format!("log/{damaged}");
        let file = file(&storage, &path);
        file.write_at(0, b"x").unwrap();
        file.truncate(file.size().unwrap() - 5).unwrap();

        let salvage = |mode| Log::builder().dir("log").storage(storage.clone()).salvage(mode).unwrap();
        assert!(matches!(open(&storage), Err(LogError::InvalidFile { .. })), "{damaged}");
        let told = salvage(RepairMode::DryRun);
        assert_eq!((told.len(), told[0].path.as_path()), (1, Path::new(&path)));
        assert!(open(&storage).is_err(), "a dry run changes nothing");
        assert_eq!(salvage(RepairMode::Apply).len(), 1);
        assert!(salvage(RepairMode::DryRun).is_empty());

        let log = open(&storage).unwrap();
        assert_eq!(values(&log, "a"), ["x", "y"], "{damaged}");
        assert_eq!(log.committed_offsets("g").len(), 1);
        let after = log.topics();
        let facts = |topics: &[millstream_log::TopicDescription]| -> Vec<_> {
            topics.iter().map(|topic| (topic.name.clone(), topic.id, topic.partitions)).collect()
        };
        assert_eq!(facts(&after), facts(&before), "{damaged}");
        if damaged == "catalogue.json" {
            let of_a = &after.iter().find(|topic| &*topic.name == "a").unwrap().configs;
            assert_eq!(of_a.get("retention.ms").map(String::as_str), Some("-1"), "nothing is deleted by age");
        }
        append(&log, "a", &["z"]).unwrap();
        log.close().unwrap();
    }
}

#[test]
fn a_log_without_its_catalogue_is_no_empty_one_to_a_repair() {
    let (storage, all) = closed(300);
    storage.remove_file(Path::new("log/catalogue.json")).unwrap();
    let salvaged = Log::builder().dir("log").storage(storage.clone()).salvage(RepairMode::Apply).unwrap();
    assert!(salvaged[0].outcome.contains("t (1)"), "{salvaged:?}");
    assert_eq!(values(&open(&storage).unwrap(), "t"), all);
}

#[test]
fn a_log_that_says_nowhere_where_it_starts_is_taken_as_it_is() {
    let (storage, all) = closed(300);
    storage.remove_file(Path::new("log/t-0/00000000000000000000.log")).unwrap();
    // As Kafka leaves it when retention has taken the first segment.
    let checkpoint = storage.open(Path::new("log/log-start-offset-checkpoint"), OpenMode::Truncate).unwrap();
    checkpoint.write_at(0, b"0\n0\n").unwrap();
    let log = open(&storage).unwrap();
    assert_eq!(values(&log, "t"), all[4..]);
    append(&log, "t", &["more"]).unwrap();
}

#[test]
fn a_repair_gives_up_what_is_damaged_and_nothing_else() {
    for segment_bytes in [1 << 20, 300, 80] {
        let (closed, all) = closed(segment_bytes);
        for name in logs(&closed) {
            let path = format!("log/t-0/{name}");
            let size = file(&closed, &path).size().unwrap();
            let base: u64 = name[..20].parse().unwrap();
            // Inside each batch, and with the length of the first of two broken.
            for at in (65..size).step_by(71).chain((8..size).step_by(71)) {
                let storage = Arc::new(closed.fork());
                flip(&storage, &path, at, 4);
                let log = open(&storage).unwrap();
                let lost = base + at / 71;
                let report = log.repair(&tp("t", 0), RepairMode::DryRun).unwrap();
                assert!(!report.is_applied);
                assert_eq!((report.offsets_lost(), report.bytes_lost()), (1, 71), "{report:?}");
                assert_eq!(report.lost[0].offset.get(), lost, "{report:?}");
                let applied = log.repair(&tp("t", 0), RepairMode::Apply).unwrap();
                assert_eq!(applied.lost, report.lost);
                check_repaired(&log, &all, lost);
                append(&log, "t", &["more"]).unwrap();
                assert!(log.repair(&tp("t", 0), RepairMode::DryRun).unwrap().lost.is_empty());
                let killed = Arc::new(storage.fork());
                log.close().unwrap();
                for storage in [storage, killed] {
                    let log = open(&storage).unwrap();
                    check_repaired(&log, &all, lost);
                    assert_eq!(values(&log, "t").last().unwrap(), "more");
                }
            }
        }
    }
}

fn check_repaired(log: &Log, all: &[String], lost: u64) {
    let (read, error) = read_all(log, &tp("t", 0), Isolation::ReadUncommitted);
    assert!(error.is_none(), "{error:?}");
    let expected = (0..).zip(all).filter(|(offset, _)| *offset != lost);
    let expected: Vec<_> = expected.map(|(offset, value)| (offset, value.clone())).collect();
    assert_eq!(&read[..expected.len()], expected, "lost {lost}");
    assert!(log.offsets(&tp("t", 0), millstream_log::OffsetSpec::Latest).unwrap().get() >= all.len() as u64);
}

#[test]
fn an_interrupted_repair_is_done_again() {
    let (closed, all) = closed(300);
    flip(&closed, "log/t-0/00000000000000000004.log", 65, 1);
    flip(&closed, "log/t-0/00000000000000000016.log", 100, 1);
    let recorder = Arc::new(compaction::Recorder::over(closed.fork()));
    let log = open(&recorder).unwrap();
    recorder.start();
    log.repair(&tp("t", 0), RepairMode::Apply).unwrap();
    let pictures = recorder.stop();
    assert!(pictures.len() > 20, "{}", pictures.len());
    for (at, left) in pictures.into_iter().enumerate() {
        let left = Arc::new(left);
        let log = open(&left).unwrap();
        log.repair(&tp("t", 0), RepairMode::Apply).unwrap();
        let (read, error) = read_all(&log, &tp("t", 0), Isolation::ReadUncommitted);
        assert!(error.is_none(), "picture {at}: {error:?}");
        let expected: Vec<_> =
            (0..).zip(all.clone()).filter(|(offset, _)| ![4, 17].contains(offset)).collect();
        assert_eq!(read, expected, "picture {at}");
        append(&log, "t", &["more"]).unwrap();
    }
}

#[test]
fn a_repair_finds_the_producers_anew() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "300")).unwrap();
    let mut producer = log.producer(ProducerConfig::default().transactional_id("tx")).unwrap();
    for commits in [true, false, true] {
        producer.begin_transaction().unwrap();
        for value in ["1", "2"] {
            producer.send("t", Record { value: Some(value.into()), ..Record::default() }).unwrap();
        }
        producer.flush().unwrap();
        if commits { producer.commit_transaction().unwrap() } else { producer.abort_transaction().unwrap() }
    }
    drop(producer);
    log.close().unwrap();
    flip(&storage, "log/t-0/00000000000000000000.log", 65, 1);
    let log = open(&storage).unwrap();
    log.repair(&tp("t", 0), RepairMode::Apply).unwrap();
    assert_eq!(committed_values(&log, "t"), ["1", "2"]);
    let end = log.offsets(&tp("t", 0), millstream_log::OffsetSpec::Latest).unwrap();
    assert_eq!(log.last_stable_offset(&tp("t", 0)).unwrap(), end);
}
