//! The fuzz targets on their corpus and on some hundred changes of it.

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

#[allow(unreachable_pub, reason = "the fuzzers include the same module")]
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

const CASES: u32 = 600;

/// Every input of a target's corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(dir)
        .expect("every target has a corpus")
        .map(|entry| {
            let path = entry.expect("a directory that can be read").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file that can be read"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// A change that a fuzzer or a bad client might make: bytes at a place replaced by others, or a part said again.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, usize, Vec<u8>),
    Repeat(Index, Index, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "\"null\"",
        "\"type\":",
        "\"items\":",
        "\"default\":",
        "{}",
        "-1",
        "2147483648",
        "1e99999",
        "oneof o {",
        "message N {",
        "map<string, ",
        "repeated ",
        "optional ",
        "//",
        "\"$ref\":\"#\"",
        "true",
        "1000000000",
        "Test",
        "\u{0}",
    ];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..5),
        select(tokens.to_vec()).prop_map(|token| token.as_bytes().to_vec()),
        select(vec![
            vec![0xff; 4],
            vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            vec![0x80; 9],
            vec![0x7f, 0xff, 0xff, 0xff]
        ]),
    ];
    prop_oneof![
        4 => (any::<Index>(), 0..6_usize, bytes).prop_map(|(at, length, by)| Change::Replace(at, length, by)),
        1 => (any::<Index>(), any::<Index>(), 1..4_usize).prop_map(|(a, b, times)| Change::Repeat(a, b, times)),
    ]
}

fn apply(change: &Change, data: &mut Vec<u8>) {
    let place = |index: &Index| index.index(data.len() + 1);
    match change {
        Change::Replace(at, length, by) => {
            let at = place(at);
            let end = (at + length).min(data.len());
            data.splice(at..end, by.iter().copied());
        }
        Change::Repeat(a, b, times) => {
            let (a, b) = (place(a), place(b));
            let part = data[a.min(b)..a.max(b)].repeat(*times);
            let at = a.max(b);
            data.splice(at..at, part);
        }
    }
}

/// The corpus as it is, then changes of it, the same ones in every run. Inputs whose name begins with `bad` mean
/// nothing, all others something.
fn smoke(target: &str) {
    let inputs = corpus(target);
    let surprises: Vec<&str> = inputs
        .iter()
        .filter(|(name, data)| targets::run(target, data) == name.starts_with("bad"))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(surprises.is_empty(), "{target}: {surprises:?}");
    let strategy = (any::<Index>(), vec(any_change(), 1..5));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&strategy, |(at, changes)| {
        let mut data = at.get(&inputs).1.clone();
        changes.iter().for_each(|change| apply(change, &mut data));
        targets::run(target, &data);
        Ok(())
    });
    outcome.expect("no input does harm");
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
    kafka delimited json avro protobuf protobuf_nosr json_sr schema compatibility schemas_topic rest
    avro_typed protobuf_typed json_typed
}
