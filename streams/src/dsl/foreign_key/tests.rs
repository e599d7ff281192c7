//! Joins by foreign key: the reference's vectors, and random changes against the tables joined at the end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, StreamsBuilder};
use crate::serde::Utf8;
use crate::topology::Topology;

/// Left values are "foreign key|rest", or just a rest.
fn foreign_key(value: &str) -> Option<String> {
    value.split_once('|').map(|(key, _)| key.to_owned())
}

fn topology(join: ForeignJoin) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.table::<String, String>("right", Consumed::with(Utf8, Utf8));
    let text =
        |left: &String, right: Option<&String>| format!("{left},{}", right.map_or("null", |right| right));
    let joined = match join {
        ForeignJoin::Inner => left.join_foreign(
            &right,
            |_, value| foreign_key(value),
            move |left, right| text(left, Some(right)),
        ),
        ForeignJoin::Left => left.left_join_foreign(&right, |_, value| foreign_key(value), text),
    };
    joined.to_stream().to("out");
    builder.build().unwrap()
}

fn config(cache_bytes: usize) -> StreamsConfig {
    let mut config = StreamsConfig::new("test").exactly_once();
    config.cache_max_bytes = cache_bytes;
    config
}

type Out = (String, Option<String>, i64);

fn output(driver: &mut TopologyTestDriver) -> Vec<Out> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let out = driver.read("out").unwrap().into_iter();
    out.map(|record| (text(record.key.unwrap()), record.value.map(text), record.timestamp)).collect()
}

#[test]
fn the_vectors_of_the_reference() {
    // Topic, key, value -> results of the inner and the left join, `-` for a tombstone.
    type Step =
        (&'static str, &'static str, Option<&'static str>, &'static [&'static str], &'static [&'static str]);
    let steps: [Step; 13] = [
        ("right", "1", Some("foo"), &[], &[]),
        ("left", "k", Some("1|"), &["k:1|,foo"], &["k:1|,foo"]),
        ("left", "k", Some("2|"), &["k:-"], &["k:2|,null"]),
        ("left", "k", Some("3|"), &["k:-"], &["k:3|,null"]),
        ("right", "3", Some("bar"), &["k:3|,bar"], &["k:3|,bar"]),
        ("left", "k", Some("none"), &["k:-"], &["k:none,null"]),
        ("left", "k", Some("1|"), &["k:1|,foo"], &["k:1|,foo"]),
        ("left", "q", Some("10|"), &[], &["q:10|,null"]),
        ("left", "r", Some("10|"), &[], &["r:10|,null"]),
        ("right", "10", Some("baz"), &["q:10|,baz", "r:10|,baz"], &["q:10|,baz", "r:10|,baz"]),
        ("right", "10", None, &["q:-", "r:-"], &["q:10|,null", "r:10|,null"]),
        ("left", "k", None, &["k:-"], &["k:-"]),
        ("left", "n", Some("none"), &[], &["n:none,null"]),
    ];
    for join in [ForeignJoin::Inner, ForeignJoin::Left] {
        let mut driver = TopologyTestDriver::new(topology(join), config(0)).unwrap();
        for (number, (topic, key, value, inner, left)) in steps.into_iter().enumerate() {
            let time = i64::try_from(number).unwrap();
            driver.pipe(topic, Some(key.as_bytes()), value.map(str::as_bytes), time).unwrap();
            driver.commit().unwrap();
            let found: Vec<String> = output(&mut driver)
                .into_iter()
                .map(|(key, value, _)| format!("{key}:{}", value.as_deref().unwrap_or("-")))
                .collect();
            let expected = if join == ForeignJoin::Inner { inner } else { left };
            assert_eq!(found, expected, "{join:?} after {topic} {key} = {value:?}");
        }
    }
}

#[test]
fn a_result_has_the_later_time() {
    let mut driver = TopologyTestDriver::new(topology(ForeignJoin::Inner), config(0)).unwrap();
    for (topic, key, value, time, expected) in [
        ("right", "1", "a", 50, None),
        ("left", "k", "1|x", 20, Some(50)),
        ("left", "k", "1|y", 70, Some(70)),
        ("right", "1", "b", 60, Some(70)),
        ("right", "1", "c", 80, Some(80)),
    ] {
        driver.pipe(topic, Some(key.as_bytes()), Some(value.as_bytes()), time).unwrap();
        let found = output(&mut driver).into_iter().map(|(_, _, time)| time).next();
        assert_eq!(found, expected, "after {topic} at {time}");
    }
}

#[test]
fn empty_values_are_values() {
    let mut driver = TopologyTestDriver::new(topology(ForeignJoin::Inner), config(0)).unwrap();
    driver.pipe("right", Some(b"1"), Some(b""), 0).unwrap();
    driver.pipe("left", Some(b"k"), Some(b"1|"), 0).unwrap();
    assert_eq!(output(&mut driver), [("k".to_owned(), Some("1|,".to_owned()), 0)]);
}

#[test]
fn topics_and_stores_have_kafkas_names_and_follow_their_table() {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.table::<String, String>("right", Consumed::with(Utf8, Utf8));
    let joined = TableJoined::named("by-name");
    let kept = Materialized::named("result");
    let result =
        left.join_foreign_with(&right, |_, value| foreign_key(value), |left, _| left.clone(), joined, kept);
    assert_eq!(result.queryable_store_name().as_deref(), Some("result"));
    result.to_stream().to("out");
    let topology = builder.build().unwrap();
    assert!(topology.stores().any(|store| store == "by-name-subscription-store"));
    let clock = std::sync::Arc::new(millstream_log::ManualClock::new(millstream_log::Timestamp::new(0)));
    let log = millstream_log::Log::in_memory(clock.clone());
    for (topic, partitions) in [("left", 5), ("right", 3), ("out", 1)] {
        log.create_topic(millstream_log::NewTopic::new(topic).partitions(partitions)).unwrap();
    }
    let mut driver = TopologyTestDriver::on_log(topology, config(0), log.clone(), clock).unwrap();
    let partitions = |topic| log.describe_topic(topic).unwrap().partitions;
    assert_eq!(partitions("test-by-name-subscription-registration-topic"), 3);
    assert_eq!(partitions("test-by-name-subscription-response-topic"), 5);
    for number in 0..20 {
        let key = format!("key-{number}");
        driver.pipe("left", Some(key.as_bytes()), Some(format!("{}|", number % 7).as_bytes()), 0).unwrap();
    }
    for number in 0..7 {
        driver.pipe("right", Some(number.to_string().as_bytes()), Some(b"found"), 0).unwrap();
    }
    driver.commit().unwrap();
    let mut keys: Vec<String> = output(&mut driver).into_iter().map(|(key, _, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 20);
}

/// Side (left is true), key, foreign key or value (0 for none), whether it is a deletion.
type Drawn = (bool, u8, u8, bool);

fn run(join: ForeignJoin, rows: &[Drawn], cuts: &[usize], cache_bytes: usize) -> BTreeMap<String, String> {
    let mut driver = TopologyTestDriver::with_partitions(topology(join), config(cache_bytes), 2).unwrap();
    let (mut rest, mut cuts) = (rows, cuts.iter().cycle());
    let mut result = BTreeMap::new();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|row| row.0 == first.0).count();
        // A deletion is answered before its row comes again.
        let deletion = rest.iter().position(|row| row.0 && row.3).map_or(same, |row| row + 1);
        let (batch, later) = rest.split_at(same.min(deletion).min(*cuts.next().unwrap()));
        let records: Vec<InputRecord> = batch.iter().map(record).collect();
        driver.pipe_all(if first.0 { "left" } else { "right" }, &records).unwrap();
        rest = later;
        if rest.len() % 5 == 0 || batch.iter().any(|row| row.0 && row.3) {
            driver.commit().unwrap();
        }
    }
    driver.commit().unwrap();
    for (key, value, _) in output(&mut driver) {
        match value {
            Some(value) => result.insert(key, value),
            None => result.remove(&key),
        };
    }
    result
}

fn record(row: &Drawn) -> InputRecord {
    let (left, key, value, deleted) = *row;
    let (key, value) = named(left, key, value);
    InputRecord::new(Some(key.as_bytes()), (!deleted).then_some(value.as_bytes()), 0)
}

/// The key and the value of a drawn row.
fn named(left: bool, key: u8, value: u8) -> (String, String) {
    match left {
        true if value == 0 => (format!("p{key}"), "none".to_owned()),
        true => (format!("p{key}"), format!("f{}|{}", value % 4, value)),
        false => (format!("f{key}"), format!("v{value}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_the_end_the_result_is_that_of_the_tables(
        rows in proptest::collection::vec((any::<bool>(), 0u8..4, 0u8..12, proptest::bool::weighted(0.2)), 1..60),
        cuts in proptest::collection::vec(1usize..10, 1..5),
    ) {
        let mut tables = [BTreeMap::new(), BTreeMap::new()];
        for (left, key, value, deleted) in &rows {
            let (key, value) = named(*left, *key, *value);
            let table = &mut tables[usize::from(!left)];
            if *deleted { table.remove(&key) } else { table.insert(key, value) };
        }
        let [left, right] = tables;
        for join in [ForeignJoin::Inner, ForeignJoin::Left] {
            let expected: BTreeMap<String, String> = left.iter().filter_map(|(key, value)| {
                let found = foreign_key(value).and_then(|foreign| right.get(&foreign));
                match (found, join) {
                    (Some(found), _) => Some((key.clone(), format!("{value},{found}"))),
                    (None, ForeignJoin::Left) => Some((key.clone(), format!("{value},null"))),
                    (None, ForeignJoin::Inner) => None,
                }
            }).collect();
            prop_assert_eq!(&run(join, &rows, &[1], 0), &expected, "{:?}", join);
            prop_assert_eq!(&run(join, &rows, &cuts, 0), &expected, "{:?} in batches", join);
            prop_assert_eq!(&run(join, &rows, &cuts, 1 << 20), &expected, "{:?} coalesced", join);
        }
    }
}
