//! The fuzz targets on their corpus and on some thousand changes of it. `UPDATE_CORPUS=1` writes the seeds anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_log::group::{Assignment, Subscription};
use millstream_log::{Codec, Compression, Header, RecordBatch};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

#[allow(unreachable_pub, reason = "the fuzzers include the same module")]
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

const CASES: u32 = 1500;

fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Every input of a target's corpus, by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
    };
    fs::read_dir(corpus_dir(target)).unwrap().map(read).collect()
}

/// A change that a fuzzer, a bad disk or a bad network might make.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Overwrite(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let bytes = || {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..9),
            any::<i32>().prop_map(|number| number.to_be_bytes().to_vec()),
            proptest::sample::select(vec![
                vec![0xff; 4],
                vec![0; 8],
                vec![0x7f, 0xff, 0xff, 0xff],
                vec![0x80]
            ]),
        ]
    };
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        4 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Overwrite(at, bytes)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn apply(change: &Change, data: &mut Vec<u8>) {
    let place = |index: &Index| index.index(data.len() + 1);
    match change {
        Change::Flip(at, bit) => {
            let at = place(at);
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Change::Cut(at) => data.truncate(place(at)),
        Change::Insert(at, bytes) => {
            let at = place(at);
            data.splice(at..at, bytes.iter().copied());
        }
        Change::Overwrite(at, bytes) => {
            let at = place(at);
            let end = (at + bytes.len()).min(data.len());
            data.splice(at..end, bytes.iter().copied());
        }
        Change::Repeat(from, to) => {
            let (from, to) = (place(from), place(to));
            let part = data[from.min(to)..from.max(to)].to_vec();
            data.extend_from_slice(&part);
        }
    }
}

/// The corpus as it is, then changes of it, the same ones in every run.
fn smoke(target: &str) {
    write_seeds(target);
    let corpus: Vec<Vec<u8>> = corpus(target).into_values().collect();
    assert!(!corpus.is_empty(), "{target} has no corpus");
    corpus.iter().for_each(|data| targets::run(target, data));
    let strategy = (any::<Index>(), proptest::collection::vec(any_change(), 1..6));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&strategy, |(at, changes)| {
        let mut data = at.get(&corpus).clone();
        changes.iter().for_each(|change| apply(change, &mut data));
        targets::run(target, &data);
        Ok(())
    });
    outcome.unwrap();
}

macro_rules! smoke_tests {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            smoke(stringify!($target));
        })*

        #[test]
        fn every_target_has_its_test() {
            let tested = [$(stringify!($target)),*];
            assert_eq!(targets::TARGETS.map(|(name, _)| name), tested);
        }
    };
}

smoke_tests! {
    record_batch record_batch_compressed segment_open checkpoint dump_files group_metadata txn_log_record subscription
}

/// Writes the seeds of a target's corpus, if asked to. Inputs that a fuzzer has found stay.
fn write_seeds(target: &str) {
    if std::env::var_os("UPDATE_CORPUS").is_none() {
        return;
    }
    let dir = corpus_dir(target);
    fs::create_dir_all(&dir).unwrap();
    for (name, data) in seeds(target) {
        fs::write(dir.join(name), data).unwrap();
    }
}

fn seed_batch(codec: Option<Codec>, base: u8) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.set_compression(codec.map(Compression::new));
    let headers = [
        Header { key: "h".to_owned(), value: Some(bytes::Bytes::from_static(b"x")) },
        Header { key: "h".to_owned(), value: None },
    ];
    builder.append(NOW, Some(b"k"), Some(b"a value of some length a value of some length"), &headers);
    builder.append(Timestamp::new(NOW.get() + 5), None, Some(b""), &[]);
    builder.append(NOW, Some(b"k"), None, &[]);
    let mut batch = builder.finish();
    batch[7] = base;
    batch.to_vec()
}

fn section(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// `key length u8 | key | value length u16 | value`
fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&[key.len() as u8][..], key, &(value.len() as u16).to_be_bytes(), value].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let codecs = [None, Some(Codec::Gzip), Some(Codec::Snappy), Some(Codec::Lz4), Some(Codec::Zstd)];
    let name = |codec: Option<Codec>| codec.map_or("none", Codec::name).to_owned();
    match target {
        "record_batch" => codecs.into_iter().map(|codec| (name(codec), seed_batch(codec, 0))).collect(),
        "record_batch_compressed" => (0..4_u8)
            .map(|at| {
                let codec = Codec::ALL[usize::from(at)];
                (codec.name().to_owned(), [&[at, 3][..], &seed_batch(Some(codec), 0)[61..]].concat())
            })
            .collect(),
        "segment_open" | "dump_files" => {
            let log = [seed_batch(None, 0), seed_batch(Some(Codec::Zstd), 3)].concat();
            let second = seed_batch(None, 0).len() as u32;
            let index = [2_u32.to_be_bytes(), [0; 4], 5_u32.to_be_bytes(), second.to_be_bytes()].concat();
            let times = [&NOW.get().to_be_bytes()[..], &2_u32.to_be_bytes()].concat();
            let aborted = [&[0, 0][..], &[0; 7], &[7], &[0; 7], &[0], &[0; 7], &[2], &[0; 7], &[3]].concat();
            let snapshot = {
                let entries = 0_u32.to_be_bytes();
                [&[0, 1][..], &crc32c::crc32c(&entries).to_be_bytes(), &entries].concat()
            };
            let whole = [
                section(0, &log),
                section(1, &index),
                section(2, &times),
                section(3, &aborted),
                section(6, &snapshot),
                section(7, b"0\n1\n0 0\n"),
            ]
            .concat();
            let two =
                [section(0, &seed_batch(None, 0)), section(4, &seed_batch(Some(Codec::Lz4), 3))].concat();
            let torn = section(0, &log[..log.len() - 9]);
            let mut all = Vec::new();
            for (name, sections) in [("whole", whole), ("two", two), ("torn", torn)] {
                for flags in [0_u8, 1] {
                    let head = if target == "segment_open" { vec![flags] } else { Vec::new() };
                    all.push((format!("{name}{flags}"), [head, sections.clone()].concat()));
                }
            }
            all
        }
        "checkpoint" => {
            let catalogue = br#"[{"name":"t","id":"00000000-0000-0000-0000-000000000001","partitions":2,"configs":{"segment.bytes":"1000"}}]"#;
            let too_many = String::from_utf8_lossy(catalogue).replace(":2,", ":4294967295,");
            let with = |kind: u8, bytes: &[u8]| [&[kind][..], bytes].concat();
            vec![
                ("recovery".to_owned(), with(0, b"0\n1\nt 0 3\n")),
                ("start".to_owned(), with(1, b"0\n1\nt 0 2\n")),
                ("replication".to_owned(), with(2, b"0\n1\nt 0 3\n")),
                ("cleaner".to_owned(), with(3, b"0\n1\nt 0 1\n")),
                ("catalogue".to_owned(), with(4, catalogue)),
                ("catalogue_of_too_many".to_owned(), with(4, too_many.as_bytes())),
            ]
        }
        "group_metadata" => {
            let key = [&[0, 1][..], &string("g"), &string("t"), &[0, 0, 0, 0]].concat();
            let value =
                [&[0, 3][..], &[0; 7], &[2], &[0xff; 4], &string("note"), &NOW.get().to_be_bytes()].concat();
            let member = [
                string("m"),
                vec![0xff, 0xff],
                string("c"),
                string("/h"),
                vec![0, 0, 1, 0],
                vec![0, 0, 1, 0],
                vec![0, 0, 0, 2, 0, 1],
                vec![0, 0, 0, 0],
            ]
            .concat();
            let group = [
                vec![0, 3],
                string("consumer"),
                vec![0, 0, 0, 4],
                string("range"),
                string("m"),
                NOW.get().to_be_bytes().to_vec(),
                vec![0, 0, 0, 1],
                member,
            ]
            .concat();
            let group_key = [&[0, 2][..], &string("g")].concat();
            vec![
                ("offset".to_owned(), pair(&key, &value)),
                ("removed".to_owned(), [pair(&key, &value), pair(&key, b"")].concat()),
                ("group".to_owned(), pair(&group_key, &group)),
            ]
        }
        "txn_log_record" => {
            let key = [&[0, 0][..], &string("tx")].concat();
            let value = |status: u8| {
                [
                    vec![0, 0],
                    vec![0, 0, 0, 0, 0, 0, 0, 9],
                    vec![0, 2],
                    vec![0, 0, 0xea, 0x60],
                    vec![status],
                    vec![0, 0, 0, 1],
                    string("t"),
                    vec![0, 0, 0, 1, 0, 0, 0, 0],
                    NOW.get().to_be_bytes().to_vec(),
                    NOW.get().to_be_bytes().to_vec(),
                ]
                .concat()
            };
            (0..6).map(|status| (format!("status{status}"), pair(&key, &value(status)))).collect()
        }
        "subscription" => {
            let subscription = Subscription {
                topics: vec!["a".to_owned(), "b".to_owned()],
                owned: vec![tp("a", 0), tp("a", 2), tp("b", 1)],
                generation: Some(3),
                rack: Some("r".to_owned()),
                user_data: Some(bytes::Bytes::from_static(b"data")),
            };
            let assignment = Assignment { partitions: vec![tp("a", 0), tp("b", 1)], user_data: None };
            vec![
                ("subscription".to_owned(), subscription.encode().to_vec()),
                ("assignment".to_owned(), assignment.encode().to_vec()),
            ]
        }
        _ => unreachable!("a target without seeds"),
    }
}

#[test]
fn seeds_are_sound() {
    for (name, data) in seeds("record_batch") {
        let batch = RecordBatch::parse(data.into()).unwrap();
        assert_eq!((batch.check_crc(), batch.records().filter(Result::is_ok).count()), (true, 3), "{name}");
    }
}
