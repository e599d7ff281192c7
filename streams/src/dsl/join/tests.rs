//! Joins of streams: the reference's vectors, the edges of windows, and a naive join over random input, cuttings and
//! restarts.

use std::time::Duration;

use millstream_log::Header;
use proptest::prelude::*;

use super::*;
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, StreamsBuilder};
use crate::serde::Utf8;
use crate::topology::{Optimization, Topology};
use crate::{ReportKind, RowReport};

use Side::{Left, Right};

/// Which rows come out without match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inner,
    LeftJoin,
    Outer,
}

impl Kind {
    fn join(self, windows: JoinWindows, unmatched: Unmatched) -> StreamJoin {
        let (keeps_left, keeps_right) = (self != Self::Inner, self == Self::Outer);
        StreamJoin { windows, keeps_left, keeps_right, unmatched }
    }
}

/// A row of one side: key, value, time.
type Row<'a> = (Side, Option<&'a str>, Option<&'a str>, i64);

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn windows(difference: i64, grace: i64) -> JoinWindows {
    JoinWindows::of(ms(difference)).grace(ms(grace))
}

fn topology(join: StreamJoin) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
    left.join_rows(&right, pair, join, StreamJoined::default()).to("out");
    builder.build().unwrap()
}

fn pair(_: Option<&String>, left: Option<&String>, right: Option<&String>) -> String {
    let text = |value: Option<&String>| value.map_or("-", String::as_str).to_owned();
    text(left) + &text(right)
}

fn config() -> StreamsConfig {
    StreamsConfig::new("test").exactly_once()
}

fn topic(side: Side) -> &'static str {
    match side {
        Left => "left",
        Right => "right",
    }
}

fn record(row: &Row<'_>) -> InputRecord {
    InputRecord::new(row.1.map(str::as_bytes), row.2.map(str::as_bytes), row.3)
}

fn driver(join: StreamJoin) -> TopologyTestDriver {
    TopologyTestDriver::new(topology(join), config()).unwrap()
}

fn output(driver: &mut TopologyTestDriver) -> Vec<(Option<String>, String, i64)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let out = driver.read("out").unwrap().into_iter();
    out.map(|record| (record.key.map(text), text(record.value.unwrap()), record.timestamp)).collect()
}

/// What comes of each row, each in a batch of its own.
fn check(join: StreamJoin, rows: &[(Row<'_>, &[(&str, i64)])]) {
    let mut driver = driver(join);
    for (row, expected) in rows {
        driver.pipe_all(topic(row.0), &[record(row)]).unwrap();
        driver.commit().unwrap();
        let found = output(&mut driver);
        let found: Vec<(&str, i64)> = found.iter().map(|(_, value, time)| (value.as_str(), *time)).collect();
        assert_eq!(found, *expected, "{join:?}: {row:?}");
    }
}

#[test]
fn the_vectors_of_the_reference() {
    const LEFT: bool = true;
    const NULLS: [i64; 7] = [1, 2, 7, 8, 11, 12, 13];
    // Side, time in s, value -> pairs in every kind of join; rows that come without match in left or outer joins.
    type Step = (bool, i64, &'static str, &'static [(&'static str, i64)], &'static [(&'static str, i64)]);
    let steps: [Step; 12] = [
        (LEFT, 3, "A", &[], &[]),
        (!LEFT, 4, "a", &[("Aa", 4)], &[]),
        (LEFT, 5, "B", &[("Ba", 5)], &[]),
        (!LEFT, 6, "b", &[("Ab", 6), ("Bb", 6)], &[]),
        (LEFT, 9, "C", &[("Ca", 9), ("Cb", 9)], &[]),
        (!LEFT, 10, "c", &[("Ac", 10), ("Bc", 10), ("Cc", 10)], &[]),
        (!LEFT, 14, "d", &[("Ad", 14), ("Bd", 14), ("Cd", 14)], &[]),
        (LEFT, 15, "D", &[("Da", 15), ("Db", 15), ("Dc", 15), ("Dd", 15)], &[]),
        (LEFT, 40, "E", &[], &[]),
        (LEFT, 61, "F", &[], &[("E-", 40)]),
        (!LEFT, 82, "f", &[], &[("F-", 61)]),
        (LEFT, 103, "G", &[], &[("-f", 82)]),
    ];
    for kind in [Kind::Inner, Kind::LeftJoin, Kind::Outer] {
        let mut driver = driver(kind.join(windows(15_000, 5_000), Unmatched::Final));
        let mut done = 0;
        for (left, time, value, pairs, alone) in steps {
            for null in NULLS.iter().filter(|null| **null > done && **null < time) {
                for side in [Left, Right] {
                    driver.pipe(topic(side), Some(b"k"), None, null * 1000).unwrap();
                }
            }
            done = time;
            let side = if left { Left } else { Right };
            driver.pipe(topic(side), Some(b"k"), Some(value.as_bytes()), time * 1000).unwrap();
            let comes = |value: &str| match kind {
                Kind::Inner => false,
                Kind::LeftJoin => value.ends_with('-'),
                Kind::Outer => true,
            };
            let expected = alone.iter().filter(|(value, _)| comes(value)).chain(pairs);
            let expected: Vec<_> = expected.map(|(value, time)| (value.to_string(), time * 1000)).collect();
            let found: Vec<_> =
                output(&mut driver).into_iter().map(|(_, value, time)| (value, time)).collect();
            assert_eq!(found, expected, "{kind:?} at {time}");
        }
    }
}

#[test]
fn windows_include_both_bounds_and_close_after_grace() {
    let k = Some("k");
    // 5 before, 10 after, 3 of grace.
    let windows = JoinWindows::of(ms(5)).after(ms(10)).grace(ms(3));
    check(
        Kind::Outer.join(windows, Unmatched::Final),
        &[
            ((Left, k, Some("A"), 100), &[]),
            ((Right, k, Some("a"), 95), &[("Aa", 100)]),
            ((Right, k, Some("b"), 94), &[]),
            ((Right, k, Some("c"), 110), &[("-b", 94), ("Ac", 110)]),
            // 111 is beyond, and 100 + 10 + 3 is not passed before 114.
            ((Right, k, Some("d"), 111), &[]),
            ((Left, k, Some("B"), 106), &[("Bc", 110), ("Bd", 111)]),
            ((Left, k, Some("C"), 200), &[]),
            // A right row at 192 would close with 200; this one is only just open and still waits.
            ((Right, k, Some("e"), 192), &[]),
            ((Left, Some("x"), Some("D"), 201), &[("-e", 192)]),
        ],
    );
}

#[test]
fn rows_that_come_late() {
    let k = Some("k");
    let late = |unmatched| Kind::LeftJoin.join(windows(10, 5), unmatched);
    // The left row at 50 has passed at 66. With `Final` it is gone then; with `Closed` a row as late joins it.
    let rows = |last: &'static [(&'static str, i64)]| -> Vec<(Row<'static>, &'static [(&'static str, i64)])> {
        vec![
            ((Left, k, Some("A"), 50), &[]),
            ((Left, Some("x"), Some("X"), 66), &[("A-", 50)]),
            ((Right, k, Some("a"), 52), last),
        ]
    };
    check(late(Unmatched::Final), &rows(&[]));
    check(late(Unmatched::Closed), &rows(&[("Aa", 52)]));
    // Without match and past its window when it comes, but within grace: `Final` waits, `Closed` does not.
    let rows = |now: &'static [(&'static str, i64)],
                then: &'static [(&'static str, i64)],
                end: &'static [(&'static str, i64)]|
     -> Vec<(Row<'static>, &'static [(&'static str, i64)])> {
        vec![
            ((Left, Some("x"), Some("X"), 100), &[]),
            ((Left, k, Some("A"), 88), now),
            ((Right, k, Some("a"), 87), then),
            ((Left, k, Some("B"), 86), &[("Ba", 87)]),
            ((Right, Some("x"), Some("x"), 104), &[("Xx", 104)]),
            ((Left, Some("y"), Some("Y"), 120), end),
        ]
    };
    check(late(Unmatched::Final), &rows(&[], &[("Aa", 88)], &[]));
    check(late(Unmatched::Closed), &rows(&[("A-", 88)], &[("Aa", 88)], &[]));
    // At once, and again with what comes later.
    check(
        Kind::Outer.join(windows(10, 5), Unmatched::Eager),
        &[
            ((Left, k, Some("A"), 50), &[("A-", 50)]),
            ((Right, k, Some("a"), 52), &[("Aa", 52)]),
            ((Right, k, Some("b"), 70), &[("-b", 70)]),
        ],
    );
    // Too old for the store of its side, which keeps 25: it joins, and nothing joins it.
    check(
        Kind::Inner.join(windows(10, 5), Unmatched::Final),
        &[
            ((Right, k, Some("a"), 50), &[]),
            ((Left, k, Some("A"), 75), &[]),
            ((Left, k, Some("B"), 50), &[("Ba", 50)]),
            ((Right, k, Some("b"), 51), &[]),
        ],
    );
}

#[test]
fn rows_without_key_or_value() {
    for (kind, left, right) in [
        (Kind::Inner, &[][..], &[][..]),
        (Kind::LeftJoin, &[("A-", 5)], &[]),
        (Kind::Outer, &[("A-", 5)], &[("-a", 6)]),
    ] {
        check(
            kind.join(windows(10, 0), Unmatched::Final),
            &[
                ((Left, None, Some("A"), 5), left),
                ((Right, None, Some("a"), 6), right),
                ((Left, None, None, 7), &[]),
                ((Right, Some("k"), None, 7), &[]),
                ((Left, Some("k"), Some("B"), 7), &[]),
            ],
        );
    }
}

#[test]
fn a_row_without_value_moves_time_on() {
    let (k, join) = (Some("k"), Kind::LeftJoin.join(windows(10, 0), Unmatched::Final));
    check(join, &[((Left, k, Some("A"), 5), &[]), ((Right, k, None, 16), &[("A-", 5)])]);
}

#[test]
fn equal_times_come_right_first_and_by_key() {
    let rows = [(Left, "b", "B"), (Right, "c", "c"), (Left, "a", "A"), (Right, "d", "d"), (Left, "a", "Z")];
    let mut driver = driver(Kind::Outer.join(windows(10, 0), Unmatched::Final));
    for (side, key, value) in rows {
        driver.pipe(topic(side), Some(key.as_bytes()), Some(value.as_bytes()), 5).unwrap();
    }
    driver.pipe("left", Some(b"x"), Some(b"x"), 16).unwrap();
    let found: Vec<String> = output(&mut driver).into_iter().map(|(_, value, _)| value).collect();
    assert_eq!(found, ["-c", "-d", "A-", "Z-", "B-"]);
}

#[test]
fn a_stream_joins_itself() {
    for kind in [Kind::Inner, Kind::Outer] {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
        let join = kind.join(windows(10, 0), Unmatched::Final);
        stream.join_rows(&stream, pair, join, StreamJoined::default()).to("out");
        let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config()).unwrap();
        let rows = [
            (Left, Some("k"), Some("1"), 5),
            (Left, Some("k"), Some("2"), 7),
            (Left, Some("k"), Some("3"), 16),
        ];
        driver.pipe_all("left", &rows.each_ref().map(record)).unwrap();
        let found: Vec<_> = output(&mut driver).into_iter().map(|(_, value, time)| (value, time)).collect();
        let expected = [("11", 5), ("21", 7), ("12", 7), ("22", 7), ("32", 16), ("23", 16), ("33", 16)];
        assert_eq!(found, expected.map(|(value, time)| (value.to_owned(), time)));
    }
}

/// A stream that is joined with itself.
fn with_itself(join: StreamJoin, optimization: Optimization) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    stream.join_rows(&stream, pair, join, StreamJoined::default()).to("out");
    builder.build_with(optimization).unwrap()
}

#[test]
fn a_stream_that_joins_itself_needs_one_store() {
    let join = Kind::Outer.join(windows(10, 0), Unmatched::Final);
    let topology = with_itself(join, Optimization::ALL);
    assert_eq!(topology.stores().collect::<Vec<_>>(), ["KSTREAM-OUTERTHIS-0000000003-store"]);
    let expected = "Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [left])
      --> KSTREAM-MERGE-0000000005
    Processor: KSTREAM-MERGE-0000000005 (stores: [KSTREAM-OUTERTHIS-0000000003-store])
      --> KSTREAM-SINK-0000000006
      <-- KSTREAM-SOURCE-0000000000
    Sink: KSTREAM-SINK-0000000006 (topic: out)
      <-- KSTREAM-MERGE-0000000005

";
    assert_eq!(topology.describe(), expected);
    let mut driver = TopologyTestDriver::new(topology, config()).unwrap();
    assert!(driver.log().describe_topic("test-KSTREAM-OUTEROTHER-0000000004-store-changelog").is_err());
    let rows = [
        (Left, Some("k"), Some("1"), 5),
        (Left, None, Some("2"), 7),
        (Left, Some("k"), None, 90),
        // Too late to be kept, so it does not find itself.
        (Left, Some("k"), Some("4"), 6),
    ];
    driver.pipe_all("left", &rows.each_ref().map(record)).unwrap();
    let found: Vec<_> = output(&mut driver).into_iter().map(|(_, value, time)| (value, time)).collect();
    let expected = [("11", 5), ("2-", 7), ("-2", 7), ("4-", 6), ("-4", 6)];
    assert_eq!(found, expected.map(|(value, time)| (value.to_owned(), time)));
}

#[test]
fn a_stream_with_new_keys_joins_itself_behind_one_topic() {
    let topology = |optimization| {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
        let rekeyed = stream.select_key(|_, value| value[..1].to_owned());
        let join = Kind::Inner.join(windows(10, 0), Unmatched::Final);
        rekeyed.join_rows(&rekeyed, pair, join, StreamJoined::default().named("self")).to("out");
        builder.build_with(optimization).unwrap()
    };
    let rows = [
        (Left, None, Some("a1"), 5),
        (Left, None, Some("b2"), 6),
        (Left, None, Some("a3"), 12),
        (Left, None, Some("a4"), 40),
    ];
    let run = |optimization| {
        let topology = topology(optimization);
        let (stores, topics) = (topology.stores().count(), topology.repartitions.len());
        let mut driver = TopologyTestDriver::new(topology, config()).unwrap();
        driver.pipe_all("left", &rows.each_ref().map(record)).unwrap();
        driver.commit().unwrap();
        let mut found: Vec<_> = output(&mut driver).into_iter().map(|(_, value, _)| value).collect();
        found.sort();
        (stores, topics, found)
    };
    let pairs = ["a1a1", "a1a3", "a3a1", "a3a3", "a4a4", "b2b2"].map(str::to_owned).to_vec();
    assert_eq!(run(Optimization::ALL), (1, 1, pairs.clone()));
    assert_eq!(run(Optimization::NONE), (2, 2, pairs));
}

#[test]
fn two_streams_need_two_stores_though_their_types_are_the_same() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
    let join = Kind::Inner.join(windows(10, 0), Unmatched::Final);
    left.join_rows(&right, pair, join, StreamJoined::default()).to("out");
    let filtered = left.filter(|_, _| true);
    left.join_rows(&filtered, pair, join, StreamJoined::default()).to("out");
    assert_eq!(builder.build_with(Optimization::ALL).unwrap().stores().count(), 4);
}

#[test]
fn a_window_without_the_row_itself_keeps_rows_that_find_nothing_waiting() {
    let windows = windows(10, 0).bounds_ms(-1, 10);
    let stores = |kind: Kind| {
        let join = kind.join(windows, Unmatched::Final);
        with_itself(join, Optimization::ALL).stores().count()
    };
    assert_eq!((stores(Kind::Inner), stores(Kind::Outer)), (1, 3));
}

#[test]
fn headers_are_those_of_the_row_that_makes_rows_come() {
    let mut driver = driver(Kind::LeftJoin.join(windows(10, 0), Unmatched::Final));
    let with = |row: Row<'_>, header: &str| InputRecord {
        headers: vec![Header { key: header.to_owned(), value: None }],
        ..record(&row)
    };
    driver.pipe_all("left", &[with((Left, Some("k"), Some("A"), 5), "left")]).unwrap();
    driver.pipe_all("right", &[with((Right, Some("k"), Some("a"), 5), "right")]).unwrap();
    driver.pipe_all("left", &[with((Left, Some("l"), Some("B"), 5), "alone")]).unwrap();
    driver.pipe_all("right", &[with((Right, Some("z"), Some("z"), 30), "closing")]).unwrap();
    let names = driver.read("out").unwrap().into_iter().map(|record| record.headers[0].key.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["right", "closing"]);
}

#[test]
fn names_are_those_of_kafka() {
    let joined = || StreamJoined::<String, String, String>::default();
    let join = windows(10, 0);
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
    left.join_stream(&right, |left, right| left.clone() + right, join).to("out");
    left.outer_join_stream(&right, |left, _| left.is_some().to_string(), join).to("out");
    let rekeyed = left.select_key(|_, value| value.clone());
    let named = joined().named("named").store_named("stored");
    rekeyed.left_join_stream_with(&right, |_, left, _| left.clone(), join, named).to("out");
    left.named("nodes").join_stream(&right, |left, _| left.clone(), join).to("out");
    let topology = builder.build().unwrap();
    assert_eq!(
        topology.stores().take(8).collect::<Vec<_>>(),
        [
            "KSTREAM-JOINTHIS-0000000004-store",
            "KSTREAM-JOINOTHER-0000000005-store",
            "KSTREAM-OUTERTHIS-0000000010-store",
            "KSTREAM-OUTEROTHER-0000000011-store",
            "KSTREAM-OUTERSHARED-0000000010-store",
            "stored-this-join-store",
            "stored-outer-other-join-store",
            "stored-left-shared-join-store",
        ]
    );
    let text = topology.describe();
    assert!(
        topology.stores().skip(8).all(|store| store.starts_with("KSTREAM-")),
        "stores have names of their own"
    );
    let nodes = ["nodes-this-join", "nodes-other-join", "nodes-merge"];
    let named = ["named-left-repartition", "named-this-join", "named-outer-other-join", "named-merge"];
    for part in nodes.into_iter().chain(named) {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn rows_meet_behind_repartition_topics() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
    let by_value = |stream: &KStream<String, String>| {
        let key = |_: Option<&String>, value: &String| value.to_lowercase();
        stream.select_key(key)
    };
    let joiner = |left: &String, right: Option<&String>| pair(None, Some(left), right);
    by_value(&left).left_join_stream(&by_value(&right), joiner, windows(10, 0)).to("out");
    let mut driver = TopologyTestDriver::with_partitions(builder.build().unwrap(), config(), 3).unwrap();
    for (number, value) in ["A", "B", "C", "D"].into_iter().enumerate() {
        let time = i64::try_from(number).unwrap();
        driver.pipe("left", Some(number.to_string().as_bytes()), Some(value.as_bytes()), time).unwrap();
        driver.pipe("right", Some(b"same"), Some(value.to_lowercase().as_bytes()), time).unwrap();
    }
    driver.commit().unwrap();
    let mut found: Vec<String> = output(&mut driver).into_iter().map(|(_, value, _)| value).collect();
    found.sort_unstable();
    assert_eq!(found, ["Aa", "Bb", "Cc", "Dd"]);
}

#[test]
fn late_and_incomplete_rows_are_reported() {
    use std::sync::{Arc, Mutex};
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = driver(Kind::Inner.join(windows(10, 5), Unmatched::Final)).log().clone();
    let clock = Arc::new(millstream_log::ManualClock::new(millstream_log::Timestamp::new(0)));
    let reports = Arc::clone(&seen);
    let observer = move |_: &crate::ReportOrigin<'_>, report: &RowReport<'_>| {
        reports.lock().unwrap().push((report.kind, report.rows));
    };
    let topology = topology(Kind::Inner.join(windows(10, 5), Unmatched::Final));
    let mut driver = TopologyTestDriver::with_observer(topology, config(), log, clock, observer).unwrap();
    let rows = [
        (Left, Some("k"), Some("A"), 100),
        (Left, Some("k"), Some("B"), 10),
        (Left, None, Some("C"), 100),
        (Left, Some("k"), None, 100),
        (Left, Some("k"), None, 100),
    ];
    driver.pipe_all("left", &rows.each_ref().map(record)).unwrap();
    let expected = [(ReportKind::Incomplete, 2), (ReportKind::Incomplete, 1), (ReportKind::Late, 1)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Rows of both sides in the order in which they are taken if all of them wait: the lower head first, then the left one.
fn in_turns<'a>(rows: &[Row<'a>]) -> Vec<Row<'a>> {
    let (mut left, mut right): (Vec<Row<'a>>, Vec<Row<'a>>) =
        rows.iter().rev().partition(|row| row.0 == Left);
    let mut turns = Vec::new();
    loop {
        let next = match (left.last(), right.last()) {
            (Some(a), Some(b)) if b.3 < a.3 => right.pop(),
            (Some(_), _) => left.pop(),
            (None, Some(_)) => right.pop(),
            (None, None) => return turns,
        };
        turns.extend(next);
    }
}

/// The rows, as many at a time as `cuts` says.
fn batches<'a, 'b>(mut rows: &'a [Row<'b>], cuts: &[usize]) -> impl Iterator<Item = &'a [Row<'b>]> {
    let mut cuts = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let (batch, rest) = rows.split_at(rows.len().min(*cuts.next()?));
        rows = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Writes the rows of both sides, as many at a time as `cuts` says, before anything runs.
fn run_together(topology: &Topology, rows: &[Row<'_>], cuts: &[usize]) -> Vec<(Option<String>, String, i64)> {
    let mut driver = TopologyTestDriver::new(topology.clone(), config()).unwrap();
    for batch in batches(rows, cuts) {
        for side in [Left, Right] {
            let records: Vec<_> = batch.iter().filter(|row| row.0 == side).map(record).collect();
            driver.write(topic(side), &records).unwrap();
        }
        driver.run().unwrap();
    }
    driver.commit().unwrap();
    output(&mut driver)
}

/// A join of streams that lose some of their rows on the way.
fn filtered(join: StreamJoin, keep: fn(&str) -> bool) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::with(Utf8, Utf8));
    let right = builder.stream::<String, String>("right", Consumed::with(Utf8, Utf8));
    // Another branch does not keep rows from being taken together.
    left.map_values(|_, value| value.clone()).to("copies");
    let left = left.filter(move |_, value| keep(value)).map_values(|_, value| value.clone());
    let right = right.filter(move |_, value| keep(value));
    left.join_rows(&right, pair, join, StreamJoined::default()).to("out");
    builder.build().unwrap()
}

#[test]
fn rows_that_wait_on_both_sides_are_taken_together() {
    use std::sync::{Arc, Mutex};
    let join = Kind::Inner.join(windows(10, 0), Unmatched::Final);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, clock) = {
        let driver = driver(join);
        (driver.log().clone(), driver.clock().clone())
    };
    let reports = Arc::clone(&seen);
    let observer = move |origin: &crate::ReportOrigin<'_>, report: &RowReport<'_>| {
        reports.lock().unwrap().push((origin.node.to_owned(), report.rows));
    };
    let mut driver =
        TopologyTestDriver::with_observer(topology(join), config(), log, clock, observer).unwrap();
    for (side, times) in [(Left, [1, 3, 5]), (Right, [2, 4, 6])] {
        let rows = times.map(|time| record(&(side, None, Some("a"), time)));
        driver.write(topic(side), &rows).unwrap();
    }
    driver.run().unwrap();
    let seen = seen.lock().unwrap();
    let seen: Vec<_> = seen.iter().map(|(node, rows)| (node.as_str(), *rows)).collect();
    let (left, right) = ("KSTREAM-JOINTHIS-0000000004", "KSTREAM-JOINOTHER-0000000005");
    // It is not known how the left side goes on behind its last row.
    assert_eq!(seen, [(left, 3), (right, 2), (right, 1)]);
}

/// A row that a naive join has seen.
struct Seen {
    side: Side,
    key: String,
    value: String,
    time: i64,
    waits: bool,
    gone: bool,
}

/// The join, looking at all rows for each.
fn naive(join: StreamJoin, rows: &[Row<'_>]) -> Vec<(Option<String>, String, i64)> {
    let (mut seen, mut out): (Vec<Seen>, Vec<_>) = (Vec::new(), Vec::new());
    let mut times = [i64::MIN; 2];
    let retention = i64::try_from(join.windows.retention().as_millis()).unwrap();
    for (side, key, value, time) in rows {
        let own = &mut times[usize::from(*side == Right)];
        *own = (*own).max(*time);
        let stream_time = times[0].max(times[1]);
        let mut due: Vec<usize> = (0..seen.len()).collect();
        due.retain(|row| {
            seen[*row].waits && join.windows.close(seen[*row].side, seen[*row].time) < stream_time
        });
        due.sort_by_key(|row| {
            let row = &seen[*row];
            (join.windows.close(row.side, row.time), row.time, row.side == Left, row.key.clone())
        });
        for row in due {
            let row = &mut seen[row];
            (row.waits, row.gone) = (false, join.unmatched == Unmatched::Final);
            let text = match row.side {
                Left => format!("{}-", row.value),
                Right => format!("-{}", row.value),
            };
            out.push((Some(row.key.clone()), text, row.time));
        }
        let Some(value) = value else { continue };
        let alone = |out: &mut Vec<_>| {
            let text = if *side == Left { format!("{value}-") } else { format!("-{value}") };
            out.push((key.map(str::to_owned), text, *time));
        };
        let Some(key) = key else {
            if join.keeps(*side) {
                alone(&mut out);
            }
            continue;
        };
        let (before, after) = join.windows.seen_from(*side);
        let live = |side: Side| times[usize::from(side == Right)].saturating_sub(retention) + 1;
        let mut matches: Vec<usize> = (0..seen.len()).collect();
        matches.retain(|row| {
            let row = &seen[*row];
            row.side != *side
                && row.key == *key
                && !row.gone
                && row.time >= live(row.side)
                && row.time >= time - before
                && row.time <= time + after
        });
        matches.sort_by_key(|row| seen[*row].time);
        for row in &matches {
            let row = &mut seen[*row];
            row.waits = false;
            let text =
                if *side == Left { format!("{value}{}", row.value) } else { format!("{}{value}", row.value) };
            out.push((Some((*key).to_owned()), text, row.time.max(*time)));
        }
        let unmatched = matches.is_empty() && join.keeps(*side);
        let passed = match join.unmatched {
            Unmatched::Eager => true,
            Unmatched::Closed => time + after < stream_time,
            Unmatched::Final => join.windows.close(*side, *time) < stream_time,
        };
        if unmatched && passed {
            alone(&mut out);
        }
        if *time >= live(*side) && !(unmatched && passed && join.unmatched == Unmatched::Final) {
            let (key, value) = ((*key).to_owned(), (*value).to_owned());
            seen.push(Seen {
                side: *side,
                key,
                value,
                time: *time,
                waits: unmatched && !passed,
                gone: false,
            });
        }
    }
    out
}

/// Rows as numbers: side, key (0 for none), value (0 for none), time.
type Drawn = (bool, u8, u8, i64);

fn any_rows() -> impl Strategy<Value = Vec<Drawn>> {
    let row = (any::<bool>(), 0u8..5, 0u8..12, 0i64..30);
    proptest::collection::vec(row, 1..80).prop_map(|mut rows| {
        // Time goes on, with rows that come late.
        rows.iter_mut().zip(0..).for_each(|(row, number)| row.3 += number);
        rows
    })
}

fn run(
    join: StreamJoin,
    rows: &[Row<'_>],
    cuts: &[usize],
    restart: bool,
) -> Vec<(Option<String>, String, i64)> {
    run_in(&topology(join), rows, cuts, restart)
}

fn run_in(
    topology: &Topology,
    rows: &[Row<'_>],
    cuts: &[usize],
    restart: bool,
) -> Vec<(Option<String>, String, i64)> {
    let mut config = config();
    config.cache_max_bytes = if restart { 300 } else { 1 << 20 };
    let mut driver = TopologyTestDriver::new(topology.clone(), config.clone()).unwrap();
    let (mut rest, mut cuts) = (rows, cuts.iter().cycle());
    let mut out = Vec::new();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|row| row.0 == first.0).count();
        let (batch, later) = rest.split_at(same.min(*cuts.next().unwrap()));
        driver.pipe_all(topic(first.0), &batch.iter().map(record).collect::<Vec<_>>()).unwrap();
        rest = later;
        if restart && rest.len() % 3 == 0 {
            driver.commit().unwrap();
            if rest.len() % 2 == 0 {
                out.extend(output(&mut driver));
                let (log, clock) = (driver.log().clone(), driver.clock().clone());
                driver = TopologyTestDriver::on_log(topology.clone(), config.clone(), log, clock).unwrap();
                output(&mut driver);
            }
        }
    }
    driver.commit().unwrap();
    out.extend(output(&mut driver));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_store_does_as_two(
        rows in any_rows(),
        cuts in proptest::collection::vec(1usize..10, 1..5),
        kind in prop_oneof![Just(Kind::Inner), Just(Kind::LeftJoin), Just(Kind::Outer)],
        (before, after) in (-5i64..15, -5i64..15),
        late in any::<bool>(),
    ) {
        // Rows that come late and are still kept find themselves in one store, and come out without match of two.
        let grace = if late && kind == Kind::Inner { 0 } else { 100 };
        let windows = JoinWindows::of(Duration::ZERO).bounds_ms(before, after).grace(ms(grace));
        let join = kind.join(windows, Unmatched::Final);
        let text: Vec<_> = rows.iter().zip(0..).map(|(row, number): (&Drawn, u32)| {
            let key = (row.1 > 0).then(|| format!("k{}", row.1));
            (key, (row.2 > 0).then(|| format!("({number})")), row.3)
        }).collect();
        let rows: Vec<Row<'_>> =
            text.iter().map(|(key, value, time)| (Left, key.as_deref(), value.as_deref(), *time)).collect();
        let expected = run_in(&with_itself(join, Optimization::NONE), &rows, &[1], false);
        let topology = with_itself(join, Optimization::ALL);
        prop_assert_eq!(&run_in(&topology, &rows, &[1], false), &expected);
        prop_assert_eq!(&run_in(&topology, &rows, &cuts, false), &expected);
        prop_assert_eq!(&run_in(&topology, &rows, &cuts, true), &expected);
    }

    #[test]
    fn rows_that_are_taken_together_do_as_the_naive_join(
        rows in any_rows(),
        cuts in proptest::collection::vec(1usize..50, 1..5),
        kind in prop_oneof![Just(Kind::Inner), Just(Kind::LeftJoin), Just(Kind::Outer)],
        unmatched in prop_oneof![Just(Unmatched::Final), Just(Unmatched::Closed), Just(Unmatched::Eager)],
        (before, after, grace) in (-5i64..15, -5i64..15, 0i64..20),
    ) {
        let windows = JoinWindows::of(Duration::ZERO).bounds_ms(before, after).grace(ms(grace));
        let join = kind.join(windows, unmatched);
        let text: Vec<_> = rows.iter().zip(0..).map(|(row, number): (&Drawn, u32)| {
            let key = (row.1 > 0).then(|| format!("k{}", row.1));
            (row.0, key, (row.2 > 0).then(|| format!("({number})")), row.3)
        }).collect();
        let rows: Vec<Row<'_>> = text.iter().map(|(left, key, value, time)| {
            (if *left { Left } else { Right }, key.as_deref(), value.as_deref(), *time)
        }).collect();
        let turns: Vec<Row<'_>> = batches(&rows, &cuts).flat_map(in_turns).collect();
        prop_assert_eq!(&run_together(&topology(join), &rows, &cuts), &naive(join, &turns));
        // Rows that are filtered out still take their turn.
        let keep = |value: &str| !value.contains(['1', '5']);
        let kept: Vec<Row<'_>> = turns.into_iter().filter(|row| row.2.is_some_and(keep)).collect();
        prop_assert_eq!(&run_together(&filtered(join, keep), &rows, &cuts), &naive(join, &kept));
    }

    #[test]
    fn joins_do_as_the_naive_join(
        rows in any_rows(),
        cuts in proptest::collection::vec(1usize..10, 1..5),
        kind in prop_oneof![Just(Kind::Inner), Just(Kind::LeftJoin), Just(Kind::Outer)],
        unmatched in prop_oneof![Just(Unmatched::Final), Just(Unmatched::Closed), Just(Unmatched::Eager)],
        (before, after, grace) in (-5i64..15, -5i64..15, 0i64..20),
    ) {
        let windows = JoinWindows::of(Duration::ZERO).bounds_ms(before, after).grace(ms(grace));
        let join = kind.join(windows, unmatched);
        let text: Vec<_> = rows.iter().zip(0..).map(|(row, number): (&Drawn, u32)| {
            let key = (row.1 > 0).then(|| format!("k{}", row.1));
            (row.0, key, (row.2 > 0).then(|| format!("({number})")), row.3)
        }).collect();
        let rows: Vec<Row<'_>> = text.iter().map(|(left, key, value, time)| {
            (if *left { Left } else { Right }, key.as_deref(), value.as_deref(), *time)
        }).collect();
        let expected = naive(join, &rows);
        prop_assert_eq!(&run(join, &rows, &[1], false), &expected);
        prop_assert_eq!(&run(join, &rows, &cuts, false), &expected);
        prop_assert_eq!(&run(join, &rows, &cuts, true), &expected);
        if unmatched == Unmatched::Final {
            for (key, value, _) in &expected {
                let alone = value.strip_suffix('-').or_else(|| value.strip_prefix('-'));
                let Some(alone) = alone.filter(|_| key.is_some()) else { continue };
                let comes = expected.iter().filter(|(_, other, _)| other.contains(alone)).count();
                prop_assert_eq!(comes, 1, "{} comes alone and otherwise", alone);
            }
        }
    }
}
