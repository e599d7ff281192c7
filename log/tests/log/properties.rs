//! Laws of the log for arbitrary inputs: a batch survives its encoding and no damage, a partition acts like a map from
//! offsets to values, lookups find what a linear scan finds.

use std::collections::BTreeMap;

use millstream_log::{Codec, Compression, RecordBatch};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

fn any_codec() -> impl Strategy<Value = Option<Codec>> {
    proptest::option::of(select(&Codec::ALL))
}

fn build(codec: Option<Codec>, records: &[(i64, String)]) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new();
    builder.set_compression(codec.map(Compression::new));
    for (time, value) in records {
        builder.append(Timestamp::new(*time), Some(b"k"), Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

/// A step of a partition's life.
#[derive(Clone, Debug)]
enum Step {
    Append(Option<Codec>, Vec<String>),
    /// Everything below this offset, of those there are, is deleted.
    Delete(Index),
    /// Closed and opened.
    Reopen,
    /// Opened as a crash leaves it: without a close.
    Crash,
    Read(Index),
    Maintain,
}

fn any_step() -> impl Strategy<Value = Step> {
    let values = proptest::collection::vec("[a-z]{0,30}", 1..6);
    prop_oneof![
        6 => (any_codec(), values).prop_map(|(codec, values)| Step::Append(codec, values)),
        1 => any::<Index>().prop_map(Step::Delete),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        2 => any::<Index>().prop_map(Step::Read),
        1 => Just(Step::Maintain),
    ]
}

/// The values from an offset on, as the log gives them.
fn read_from(log: &Log, from: u64) -> Vec<(u64, String)> {
    let mut values = Vec::new();
    let mut from = Offset::new(from);
    loop {
        let fetched = log.read(&tp("t", 0), from, 150, Isolation::ReadCommitted).unwrap();
        let next = fetched.next_offset(from);
        for batch in &fetched.batches {
            for record in batch.records().map(Result::unwrap).filter(|record| record.offset >= from) {
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                values.push((record.offset.get(), value));
            }
        }
        if next == from {
            return values;
        }
        from = next;
    }
}

/// Acts out the steps on a log of tiny segments and on a map.
fn check_against_a_map(steps: &[Step]) {
    let mut storage = memory();
    let mut log = open(&storage).unwrap();
    log.create_topic(topic("t").config("segment.bytes", "400").config("index.interval.bytes", "64")).unwrap();
    let (mut map, mut start, mut end) = (BTreeMap::new(), 0, 0);
    for step in steps {
        match step {
            Step::Append(codec, values) => {
                let records: Vec<_> = values.iter().map(|value| (NOW.get(), value.clone())).collect();
                let info = log.append(&tp("t", 0), build(*codec, &records), Acks::Synced).unwrap();
                assert_eq!(info.base_offset.get(), end);
                for value in values {
                    map.insert(end, value.clone());
                    end += 1;
                }
                assert_eq!(info.last_offset.get() + 1, end);
            }
            Step::Delete(index) => {
                start = start + index.index((end - start + 1) as usize) as u64;
                assert_eq!(log.delete_records(&tp("t", 0), Some(Offset::new(start))).unwrap().get(), start);
                map = map.split_off(&start);
            }
            Step::Reopen => {
                log.close().unwrap();
                log = open(&storage).unwrap();
            }
            Step::Crash => {
                storage = Arc::new(storage.fork());
                log = open(&storage).unwrap();
            }
            Step::Read(index) => {
                let from = start + index.index((end - start + 1) as usize) as u64;
                let expected: Vec<_> = map.range(from..).map(|(at, value)| (*at, value.clone())).collect();
                assert_eq!(read_from(&log, from), expected, "from {from}");
            }
            Step::Maintain => log.maintain().unwrap(),
        }
        let bound = |spec| log.offsets(&tp("t", 0), spec).unwrap().get();
        assert_eq!((bound(OffsetSpec::Earliest), bound(OffsetSpec::Latest)), (start, end), "after {step:?}");
    }
    assert_eq!(read_from(&log, start), map.into_iter().collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(
        codec in any_codec(),
        values in proptest::collection::vec(("[a-c]{0,20}", 0..100_i64), 1..8),
        flips in proptest::collection::vec(any::<Index>(), 20),
    ) {
        let records: Vec<_> = values.into_iter().map(|(value, time)| (NOW.get() + time, value)).collect();
        let batch = build(codec, &records).freeze();
        for flip in flips {
            let bit = flip.index(batch.len() * 8);
            let mut damaged = batch.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let is_noticed = RecordBatch::parse(damaged.into()).map_or(true, |batch| !batch.check_crc());
            // The log sets the base offset and the leader epoch itself, so the CRC does not cover them.
            prop_assert_eq!(is_noticed, !matches!(bit / 8, 0..8 | 12..16) || bit == 7, "bit {}", bit);
        }
    }

    #[test]
    fn a_partition_acts_like_a_map(steps in proptest::collection::vec(any_step(), 1..40)) {
        check_against_a_map(&steps);
    }

    #[test]
    fn lookups_find_what_a_scan_finds(
        batches in proptest::collection::vec((any_codec(), proptest::collection::vec(0..60_i64, 1..6)), 1..40),
        interval in select(vec!["0", "100", "4096"]),
        is_reopened in any::<bool>(),
    ) {
        let storage = memory();
        let mut log = open(&storage).unwrap();
        let settings = topic("t").config("segment.bytes", "1500").config("index.interval.bytes", interval);
        log.create_topic(settings).unwrap();
        let mut times = Vec::new();
        for (at, (codec, offsets)) in batches.iter().enumerate() {
            // Times grow on the whole, and are out of order nearby.
            let records: Vec<_> =
                offsets.iter().map(|time| (NOW.get() + 10 * at as i64 + time, "v".to_owned())).collect();
            times.extend(records.iter().map(|(time, _)| *time));
            log.append(&tp("t", 0), build(*codec, &records), Acks::Written).unwrap();
        }
        if is_reopened {
            log.close().unwrap();
            log = open(&storage).unwrap();
        }
        let first = |time: i64| times.iter().position(|other| *other >= time);
        for time in times.iter().flat_map(|time| [time - 1, *time, time + 1]).chain([0, i64::MAX]) {
            let found = log.offsets(&tp("t", 0), OffsetSpec::At(Timestamp::new(time))).unwrap().get();
            let expected = first(time).unwrap_or(times.len()) as u64;
            prop_assert_eq!(found, expected, "time {}", time);
        }
        for from in 0..times.len() as u64 {
            let fetched = log.read(&tp("t", 0), Offset::new(from), 1, Isolation::ReadUncommitted).unwrap();
            let batch = &fetched.batches[0];
            prop_assert!(batch.base_offset().get() <= from && batch.last_offset().get() >= from);
        }
    }
}
