use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::record::{BatchBuilder, Codec, Compression, Header, assign_offset};
use crate::storage::MemoryStorage;
use crate::types::{Offset, Timestamp};

const TIME: i64 = 1_700_000_000_000;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn files(files: &[(&str, Vec<u8>)]) -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.create_dir(Path::new("orders-0")).unwrap();
    for (name, bytes) in files {
        let file = storage.open(&Path::new("orders-0").join(name), OpenMode::Truncate).unwrap();
        file.write_at(0, bytes).unwrap();
    }
    storage
}

/// What a dump of one of the files prints, without the line that names it, and its problems.
fn check(storage: &MemoryStorage, name: &str, options: &DumpOptions) -> (String, Vec<String>) {
    let mut out = Vec::new();
    let path: PathBuf = Path::new("orders-0").join(name);
    let problems = dump(storage, &[path], options, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let (_, out) = out.split_once('\n').unwrap();
    (out.to_owned(), problems.iter().map(Problem::to_string).collect())
}

fn batch(base: u64, codec: Option<Codec>, times: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.set_compression(codec.map(Compression::new));
    for (at, time) in times.iter().enumerate() {
        let headers = [Header { key: "h".to_owned(), value: Some(Bytes::from_static(b"x")) }];
        let value = format!("v{at}");
        builder.append(Timestamp::new(*time), Some(b"k"), Some(value.as_bytes()), &headers);
    }
    let mut batch = builder.finish();
    assign_offset(&mut batch, Offset::new(base));
    batch.to_vec()
}

fn deep() -> DumpOptions {
    DumpOptions { print_data_log: true, ..DumpOptions::default() }
}

#[test]
fn a_log_is_printed_as_kafka_prints_it() {
    // The golden batches: two records, a marker, and an empty batch that compaction left.
    let log = [
        "00000000000000000000004a0000000002f0bce1040000000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffffffff\
         ff0000000220000000026b04763104026802780268010e000a02026b0100",
        "000000000000002b000000420000000502881496e70030000000000000018bcfe568640000018bcfe568640000000000000fa00003ffffff\
         ff000000012000000008000000010c00000000000900",
        "0000000000000064000000310000000502b496bc50000000000004ffffffffffffffff0000018bcfe568050000000000000fa00003000000\
         0700000000",
    ];
    let storage = files(&[("00000000000000000000.log", unhex(&log.concat().replace(' ', "")))]);
    let (out, problems) = check(&storage, "00000000000000000000.log", &deep());
    let expected = "\
Log starting offset: 0
baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000005 size: 86 magic: 2 compresscodec: none crc: 4038910212 isvalid: true
| offset: 0 CreateTime: 1700000000000 keySize: 1 valueSize: 2 sequence: -1 headerKeys: [h,h] key: k payload: v1
| offset: 1 CreateTime: 1700000000005 keySize: 1 valueSize: -1 sequence: -1 headerKeys: [] key: k
baseOffset: 43 lastOffset: 43 count: 1 baseSequence: -1 lastSequence: -1 producerId: 4000 producerEpoch: 3 partitionLeaderEpoch: 5 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 86 CreateTime: 1700000000100 size: 78 magic: 2 compresscodec: none crc: 2283050727 isvalid: true
| offset: 43 CreateTime: 1700000000100 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: COMMIT coordinatorEpoch: 9
baseOffset: 100 lastOffset: 104 count: 0 baseSequence: 7 lastSequence: 11 producerId: 4000 producerEpoch: 3 partitionLeaderEpoch: 5 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 164 CreateTime: 1700000000005 size: 61 magic: 2 compresscodec: none crc: 3029777488 isvalid: true
";
    assert_eq!(out, expected);
    assert_eq!(
        problems,
        ["Non-consecutive offsets in orders-0/00000000000000000000.log\n  1 is followed by 43"]
    );

    let bare = DumpOptions { skip_record_metadata: true, ..deep() };
    let (out, _) = check(&storage, "00000000000000000000.log", &bare);
    assert_eq!(out.lines().nth(2), Some("| key: k payload: v1"));
    let shallow = DumpOptions { max_bytes: Some(100), ..DumpOptions::default() };
    let (out, problems) = check(&storage, "00000000000000000000.log", &shallow);
    assert_eq!((out.lines().count(), problems.len()), (2, 0));
}

#[test]
fn json_has_the_same_in_objects() {
    let storage = files(&[("00000000000000000007.log", batch(7, Some(Codec::Zstd), &[TIME]))]);
    let (out, _) = check(&storage, "00000000000000000007.log", &DumpOptions { json: true, ..deep() });
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"type": "logStart", "offset": 7}));
    assert_eq!(lines[1]["type"], "batch");
    assert_eq!((&lines[1]["compression"], &lines[1]["isValid"]), (&"zstd".into(), &true.into()));
    assert_eq!(
        lines[2],
        serde_json::json!({
            "type": "record", "offset": 7, "timestampType": "CreateTime", "timestamp": TIME, "keySize": 1,
            "valueSize": 2, "sequence": -1, "headerKeys": ["h"], "key": "k", "payload": "v0",
        })
    );
}

#[test]
fn damage_in_a_log_is_told_and_ends_it() {
    let whole = [batch(0, None, &[TIME]), batch(1, Some(Codec::Gzip), &[TIME]), batch(2, None, &[TIME])];
    let lengths: Vec<usize> = whole.iter().map(Vec::len).collect();
    let log = whole.concat();
    let name = "00000000000000000000.log";
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut log = log.clone();
        change(&mut log);
        check(&files(&[(name, log)]), name, &deep())
    };

    // A bit of a value, in the last batch: only the CRC tells.
    let (out, problems) = damaged(&|log| *log.last_mut().unwrap() ^= 1);
    assert!(out.lines().nth_back(1).unwrap().ends_with("isvalid: false"), "{out}");
    let position = lengths[0] + lengths[1];
    let expected =
        format!("orders-0/{name} is corrupt at position {position}: the CRC of a batch does not match");
    assert_eq!(problems, [expected]);

    // Compressed records that are none.
    let (_, problems) = damaged(&|log| log[lengths[0] + 61..lengths[0] + 71].fill(7));
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[1].ends_with("its gzip data is malformed"), "{problems:?}");

    // A torn tail, a hole of zeros, a length that cannot be.
    let (out, problems) = damaged(&|log| log.truncate(log.len() - 3));
    let rest = lengths[2] - 3;
    assert!(out.ends_with(&format!("Found {rest} invalid bytes at the end of {name}\n")), "{out}");
    assert!(problems[0].ends_with("its last batch is cut off"));
    let (out, problems) = damaged(&|log| log.extend_from_slice(&[0; 100]));
    assert!(out.ends_with(&format!("Found 100 invalid bytes at the end of {name}\n")), "{out}");
    assert!(problems[0].ends_with("the length of a batch is smaller than its header"), "{problems:?}");
    let (_, problems) = damaged(&|log| log[lengths[0] + 8] = 0xff);
    assert!(problems[0].ends_with("the length of a batch is negative"), "{problems:?}");
}

#[test]
fn indexes_are_checked_against_the_log() {
    let batches = [batch(0, None, &[TIME, TIME + 9]), batch(2, Some(Codec::Lz4), &[TIME + 20, TIME + 10])];
    let second = batches[0].len() as u32;
    let entry = |offset: u32, position: u32| [offset.to_be_bytes(), position.to_be_bytes()].concat();
    let time = |time: i64, offset: u32| [&time.to_be_bytes()[..], &offset.to_be_bytes()].concat();
    let storage = files(&[
        ("00000000000000000000.log", batches.concat()),
        // Not trimmed: zeros follow.
        ("00000000000000000000.index", [entry(1, 0), entry(3, second), vec![0; 80]].concat()),
        ("00000000000000000000.timeindex", [time(TIME + 9, 1), time(TIME + 20, 3), vec![0; 48]].concat()),
    ]);
    let options = DumpOptions::default();
    let (out, problems) = check(&storage, "00000000000000000000.index", &options);
    assert_eq!(out, format!("offset: 1 position: 0\noffset: 3 position: {second}\n"));
    assert_eq!(problems, [""; 0]);
    let (out, problems) = check(&storage, "00000000000000000000.timeindex", &options);
    assert_eq!(out, format!("timestamp: {} offset: 1\ntimestamp: {} offset: 3\n", TIME + 9, TIME + 20));
    assert_eq!(problems, [""; 0]);
    let only = DumpOptions { verify_index_only: true, ..DumpOptions::default() };
    assert_eq!(check(&storage, "00000000000000000000.index", &only), (String::new(), Vec::new()));

    let storage = files(&[
        ("00000000000000000000.log", batches.concat()),
        ("00000000000000000000.index", [entry(2, 0), entry(3, second + 1), vec![0; 3]].concat()),
        ("00000000000000000008.index", Vec::new()),
    ]);
    let (_, problems) = check(&storage, "00000000000000000000.index", &options);
    let path = "orders-0/00000000000000000000";
    assert_eq!(
        problems,
        [
            format!("{path}.index is corrupt at position 16: its last entry is cut off"),
            format!(
                "Mismatches in :{path}.index\n  Index offset: 2, log offset: 1\n  Index offset: 3, log offset: -1"
            ),
        ]
    );
    let sanity = DumpOptions { index_sanity_check: true, ..DumpOptions::default() };
    let (_, problems) = check(&storage, "00000000000000000000.index", &sanity);
    assert!(problems[0].ends_with("its size is not a multiple of an entry's"));
    let (out, _) = check(&storage, "00000000000000000008.index", &options);
    assert_eq!(out, "orders-0/00000000000000000008.index is empty.\n");

    // Without an offset index beside it.
    let storage = files(&[
        ("00000000000000000000.log", batches.concat()),
        (
            "00000000000000000000.timeindex",
            [time(TIME + 8, 1), time(TIME + 20, 2), time(TIME + 5, 3)].concat(),
        ),
    ]);
    let (_, problems) = check(&storage, "00000000000000000000.timeindex", &options);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains(&format!("Index timestamp: {}, log timestamp: {}", TIME + 8, TIME + 9)));
    assert!(problems[1].contains("Indexed offset: 2, found log offset: 3"));
    assert!(problems[2].contains(&format!("Index timestamp: {}, Previously indexed", TIME + 5)));
}

#[test]
fn small_files_are_printed_as_kafka_prints_them() {
    let snapshot = "0001ffa1f0b3000000010000000000000fa0000300000007000000000000002a000000000000018bcfe5680000000009\
                    ffffffffffffffff";
    let aborted = "00000000000000000fa0000000000000002a000000000000002b000000000000002c";
    let storage = files(&[
        ("00000000000000000043.snapshot", unhex(&snapshot.replace(' ', ""))),
        ("00000000000000000000.txnindex", unhex(aborted)),
        ("leader-epoch-checkpoint", b"0\n1\n5 40\n".to_vec()),
        ("recovery-point-offset-checkpoint", b"0\n2\norders 0 7\n".to_vec()),
        ("partition.metadata", b"version: 0\ntopic_id: AAAA\n".to_vec()),
        ("notes.txt", Vec::new()),
    ]);
    for (name, expected) in [
        (
            "00000000000000000043.snapshot",
            "producerId: 4000 producerEpoch: 3 coordinatorEpoch: 9 currentTxnFirstOffset: OptionalLong.empty \
             lastTimestamp: 1700000000000 firstSequence: 7 lastSequence: 7 lastOffset: 42 offsetDelta: 0 \
             timestamp: 1700000000000\n",
        ),
        (
            "00000000000000000000.txnindex",
            "version: 0 producerId: 4000 firstOffset: 42 lastOffset: 43 lastStableOffset: 44\n",
        ),
        ("leader-epoch-checkpoint", "epoch: 5 startOffset: 40\n"),
        ("partition.metadata", "version: 0\ntopic_id: AAAA\n"),
    ] {
        assert_eq!(check(&storage, name, &deep()), (expected.to_owned(), Vec::new()), "{name}");
    }
    let (out, problems) = check(&storage, "recovery-point-offset-checkpoint", &deep());
    assert_eq!(out, "topic: orders partition: 0 offset: 7\n");
    assert!(problems[0].ends_with("it has 1 entries, and its second line says otherwise"), "{problems:?}");
    let (_, problems) = check(&storage, "notes.txt", &deep());
    assert_eq!(problems, ["Ignoring unknown file orders-0/notes.txt"]);
    let mut snapshot = unhex(&snapshot.replace(' ', ""));
    snapshot[20] ^= 1;
    let storage = files(&[("00000000000000000043.snapshot", snapshot)]);
    let (out, problems) = check(&storage, "00000000000000000043.snapshot", &deep());
    assert_eq!(out, "");
    assert!(problems[0].contains("its CRC is 4288802995"), "{problems:?}");
}

#[test]
fn internal_records_are_json_in_kafkas_words() {
    let string = |text: &str| [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat();
    let decode = |topic, key: &[u8], value: Option<&[u8]>| {
        let (key, value) = coordinator::decode(topic, 3, Some(key), value);
        (key.unwrap().to_string(), value.map(|value| value.to_string()))
    };
    let key = [&[0, 1][..], &string("g"), &string("t"), &[0, 0, 0, 2]].concat();
    let value =
        [&[0, 3][..], &9_i64.to_be_bytes(), &(-1_i32).to_be_bytes(), &string("note"), &TIME.to_be_bytes()]
            .concat();
    let expected_key = r#"{"type":"1","data":{"group":"g","topic":"t","partition":2}}"#;
    assert_eq!(
        decode(coordinator::Topic::ConsumerOffsets, &key, Some(&value)),
        (
            expected_key.to_owned(),
            Some(format!(
                r#"{{"version":"3","data":{{"offset":9,"leaderEpoch":-1,"metadata":"note","commitTimestamp":{TIME}}}}}"#
            ))
        )
    );
    assert_eq!(
        decode(coordinator::Topic::ConsumerOffsets, &key, None),
        (expected_key.to_owned(), Some("<DELETE>".to_owned()))
    );
    for (key, value, expected) in [
        (&[0, 99][..], None, "Unknown record type 99 at offset 3, skipping."),
        (&[0, 2, 0, 5, b'x'], None, "Error at offset 3, skipping. the key: it is cut off or malformed"),
        (
            &[0, 2, 0, 1, b'x'],
            Some(&[0, 9][..]),
            "Error at offset 3, skipping. the value: version 9 is not known, only 0 to 4",
        ),
    ] {
        assert_eq!(decode(coordinator::Topic::ConsumerOffsets, key, value), (expected.to_owned(), None));
    }

    // Flexible, with a tag and a null array: version 1 of a transaction.
    let key = [&[0, 0][..], &string("tx")].concat();
    let value = [
        &[0, 1][..],
        &7_i64.to_be_bytes(),
        &[0, 2],
        &60_000_i32.to_be_bytes(),
        &[4, 0],
        &TIME.to_be_bytes(),
        &(-1_i64).to_be_bytes(),
        &[2, 2, 2, 0, 2, 77, 1, 5],
    ]
    .concat();
    assert_eq!(
        decode(coordinator::Topic::TransactionState, &key, Some(&value)),
        (
            r#"{"type":"0","data":{"transactionalId":"tx"}}"#.to_owned(),
            Some(format!(
                r#"{{"version":"1","data":{{"producerId":7,"producerEpoch":2,"transactionTimeoutMs":60000,"transactionStatus":4,"transactionPartitions":null,"transactionLastUpdateTimestampMs":{TIME},"transactionStartTimestampMs":-1,"clientTransactionVersion":2}}}}"#
            ))
        )
    );
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let names = [
            "00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex",
            "00000000000000000000.snapshot", "00000000000000000000.txnindex", "leader-epoch-checkpoint",
            "recovery-point-offset-checkpoint", "partition.metadata",
        ];
        let storage = files(&names.map(|name| (name, bytes.clone())));
        for name in names {
            check(&storage, name, &deep());
        }
        for topic in [coordinator::Topic::ConsumerOffsets, coordinator::Topic::TransactionState] {
            for kind in 0..20_u8 {
                let key = [&[0, kind], &bytes[..]].concat();
                let value = [&[0, kind % 5], &bytes[..]].concat();
                coordinator::decode(topic, 0, Some(&key), Some(&value));
            }
        }
    }
}
