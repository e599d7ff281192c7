//! Joins with versioned tables: as of each row's time, with grace, after restarts, in any cutting.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::serde::Utf8;
use crate::topology::Topology;

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn topology(left: bool, history: i64, grace: i64) -> Topology {
    let builder = StreamsBuilder::new();
    let consumed = || Consumed::<String, String>::with(Utf8, Utf8);
    let table = builder.versioned_table("table", consumed(), "versions", ms(history));
    let stream = builder.stream("stream", consumed());
    let joined = Joined::default().grace(ms(grace));
    let text = |value: &String, row: Option<&String>| format!("{value}{}", row.map_or("-", |row| row));
    let joined = if left {
        stream.left_join_versioned(&table, text, joined)
    } else {
        stream.join_versioned(&table, move |value, row| text(value, Some(row)), joined)
    };
    joined.to("out");
    table.latest().to_stream().to("latest");
    builder.build().unwrap()
}

fn driver(left: bool, history: i64, grace: i64) -> TopologyTestDriver {
    let config = StreamsConfig::new("test").exactly_once();
    TopologyTestDriver::new(topology(left, history, grace), config).unwrap()
}

type Out = (Option<String>, Option<String>, i64);

fn read(driver: &mut TopologyTestDriver, topic: &str) -> Vec<Out> {
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
    let out = driver.read(topic).unwrap().into_iter();
    out.map(|record| (text(record.key), text(record.value), record.timestamp)).collect()
}

/// Topic, value and time of a row, and what comes of it.
type Step<'a> = (&'a str, Option<&'a str>, i64, &'a [(&'a str, i64)]);

fn check(left: bool, history: i64, grace: i64, steps: &[Step<'_>]) {
    let mut driver = driver(left, history, grace);
    for (topic, value, time, expected) in steps {
        driver.pipe(topic, Some(b"k"), value.map(str::as_bytes), *time).unwrap();
        let found = read(&mut driver, "out");
        let found: Vec<_> = found.iter().map(|(_, value, time)| (value.as_deref().unwrap(), *time)).collect();
        assert_eq!(found, *expected, "after {topic} {value:?} at {time}");
    }
}

#[test]
fn rows_meet_the_version_of_their_time() {
    check(
        true,
        50,
        0,
        &[
            ("table", Some("a"), 10, &[]),
            ("table", Some("c"), 30, &[]),
            ("table", Some("b"), 20, &[]),
            ("stream", Some("1"), 9, &[("1-", 9)]),
            ("stream", Some("2"), 10, &[("2a", 10)]),
            ("stream", Some("3"), 25, &[("3b", 25)]),
            ("stream", Some("4"), 99, &[("4c", 99)]),
            ("table", None, 22, &[]),
            ("stream", Some("5"), 25, &[("5-", 25)]),
            // Stream time of the table is 30, then 100: what lies before 50 is forgotten.
            ("table", Some("d"), 100, &[]),
            ("stream", Some("6"), 25, &[("6-", 25)]),
            ("stream", Some("7"), 60, &[("7c", 60)]),
        ],
    );
    check(false, 50, 0, &[("stream", Some("1"), 9, &[]), ("stream", None, 9, &[])]);
}

#[test]
fn grace_waits_for_rows_that_come_late() {
    check(
        false,
        50,
        10,
        &[
            ("table", Some("a"), 10, &[]),
            ("stream", Some("2"), 22, &[]),
            ("stream", Some("1"), 21, &[]),
            ("table", Some("b"), 20, &[]),
            // 31 - 10 = 21 releases the first, 32 the other one; both meet what came after them.
            ("stream", Some("3"), 31, &[("1b", 21)]),
            ("stream", Some("4"), 32, &[("2b", 22)]),
            // Older than grace: at once, before what it releases.
            ("stream", Some("5"), 12, &[("5a", 12)]),
            ("stream", Some("6"), 22, &[("6b", 22)]),
        ],
    );
}

#[test]
fn the_latest_rows_are_a_table() {
    let mut driver = driver(true, 50, 0);
    for (value, time) in [("a", 10), ("c", 30), ("b", 20), ("d", 30)] {
        driver.pipe("table", Some(b"k"), Some(value.as_bytes()), time).unwrap();
    }
    let found: Vec<_> = read(&mut driver, "latest").into_iter().map(|(_, value, _)| value.unwrap()).collect();
    assert_eq!(found, ["a", "c", "d"]);
}

#[test]
fn filters_and_mapped_values_are_as_versioned_as_their_table() {
    let builder = StreamsBuilder::new();
    let consumed = || Consumed::<String, String>::with(Utf8, Utf8);
    let table = builder.versioned_table("table", consumed(), "versions", ms(50));
    let lengths = table
        .filter(|_, value| value != "hidden")
        .map_values(|key, value| format!("{}{}", key.map_or("", String::as_str), value.len()))
        .filter_not(|_, length| length.ends_with('9'));
    let stream = builder.stream("stream", consumed());
    stream.join_versioned(&lengths, |value, row| format!("{value}{row}"), Joined::default()).to("out");
    lengths.latest().to_stream().to("latest");
    let topology = builder.build().unwrap();
    assert_eq!(topology.stores().collect::<Vec<_>>(), ["versions"]);
    let mut driver = TopologyTestDriver::new(topology, StreamsConfig::new("test").exactly_once()).unwrap();
    for (value, time) in [("four", 10), ("fifteen", 30), ("hidden", 20), ("nine long", 40)] {
        driver.pipe("table", Some(b"k"), Some(value.as_bytes()), time).unwrap();
    }
    for time in [9, 10, 19, 20, 29, 30, 40] {
        driver.pipe("stream", Some(b"k"), Some(b"at"), time).unwrap();
    }
    let found: Vec<_> = read(&mut driver, "out").into_iter().map(|(_, value, time)| (value, time)).collect();
    let expected = [("atk4", 10), ("atk4", 19), ("atk7", 30)];
    assert_eq!(found, expected.map(|(value, time)| (Some(value.to_owned()), time)));
    let found: Vec<_> = read(&mut driver, "latest").into_iter().map(|(_, value, _)| value).collect();
    assert_eq!(found, [Some("k4".to_owned()), Some("k7".to_owned()), None], "what is late is no change");
}

#[test]
fn headers_and_missing_keys_outlast_the_buffer() {
    let mut driver = driver(true, 50, 10);
    let headers = vec![
        Header { key: "a".to_owned(), value: Some(Bytes::from_static(b"x")) },
        Header { key: "b".to_owned(), value: None },
    ];
    let record = InputRecord { headers: headers.clone(), ..InputRecord::new(Some(b"k"), Some(b"1"), 5) };
    driver.pipe_all("stream", &[record]).unwrap();
    driver.pipe("stream", None, Some(b"2"), 6).unwrap();
    driver.pipe("stream", Some(b"k"), Some(b"3"), 15).unwrap();
    let found = driver.read("out").unwrap();
    assert_eq!(found.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [6, 5]);
    assert_eq!(found[1].headers, headers);
}

/// Whether it is a table row, key, value (0 for none), time.
type Drawn = (bool, u8, u8, i64);

fn records(rows: &[Drawn]) -> Vec<InputRecord> {
    let of = |(_, key, value, time): &Drawn| {
        let (key, value) = (format!("k{key}"), format!("({value})"));
        InputRecord::new(Some(key.as_bytes()), (!value.starts_with("(0)")).then_some(value.as_bytes()), *time)
    };
    rows.iter().map(of).collect()
}

fn run(rows: &[Drawn], cuts: &[usize], grace: i64, restart: bool) -> Vec<Out> {
    let mut driver = driver(true, 40, grace);
    let (mut rest, mut cuts, mut out) = (rows, cuts.iter().cycle(), Vec::new());
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|row| row.0 == first.0).count();
        let (batch, later) = rest.split_at(same.min(*cuts.next().unwrap()));
        driver.pipe_all(if first.0 { "table" } else { "stream" }, &records(batch)).unwrap();
        rest = later;
        if restart && rest.len() % 2 == 0 {
            driver.commit().unwrap();
            out.extend(read(&mut driver, "out"));
            let (log, clock) = (driver.log().clone(), driver.clock().clone());
            let config = StreamsConfig::new("test").exactly_once();
            driver = TopologyTestDriver::on_log(topology(true, 40, grace), config, log, clock).unwrap();
            read(&mut driver, "out");
        }
    }
    driver.commit().unwrap();
    out.extend(read(&mut driver, "out"));
    out
}

/// The join, looking at all versions for each row.
fn naive(rows: &[Drawn], grace: i64) -> Vec<Out> {
    let mut versions: BTreeMap<(u8, i64), u8> = BTreeMap::new();
    let (mut table_time, mut stream_time) = (i64::MIN, i64::MIN);
    let (mut waiting, mut out): (Vec<Drawn>, Vec<Out>) = (Vec::new(), Vec::new());
    for row in rows {
        let (is_table, key, value, time) = *row;
        if is_table {
            table_time = table_time.max(time);
            if time >= table_time.saturating_sub(40) {
                versions.insert((key, time), value);
            }
            continue;
        }
        stream_time = stream_time.max(time);
        let mut due = Vec::new();
        if value > 0 {
            if time < stream_time - grace { due.push(*row) } else { waiting.push(*row) }
        }
        waiting.sort_by_key(|row| (row.3, row.1));
        let open = waiting.iter().position(|row| row.3 > stream_time - grace).unwrap_or(waiting.len());
        due.extend(waiting.drain(..open));
        for (_, key, value, time) in due {
            let last =
                versions.range((key, i64::MIN)..=(key, i64::MAX)).next_back().map(|((_, time), _)| *time);
            let found = versions.range((key, i64::MIN)..=(key, time)).next_back();
            let known = |version: i64| time >= table_time.saturating_sub(40) || Some(version) == last;
            let found = found.filter(|((_, version), value)| **value > 0 && known(*version));
            let text = found.map_or("-".to_owned(), |(_, value)| format!("({value})"));
            out.push((Some(format!("k{key}")), Some(format!("({value}){text}")), time));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn joins_do_as_the_naive_join(
        mut rows in proptest::collection::vec((any::<bool>(), 0u8..3, 0u8..9, 0i64..60), 1..60),
        cuts in proptest::collection::vec(1usize..10, 1..5),
        grace in prop_oneof![Just(0i64), 1i64..30],
    ) {
        rows.iter_mut().zip(0..).for_each(|(row, number)| row.3 += number);
        let expected = naive(&rows, grace);
        prop_assert_eq!(&run(&rows, &[1], grace, false), &expected);
        prop_assert_eq!(&run(&rows, &cuts, grace, false), &expected);
        prop_assert_eq!(&run(&rows, &cuts, grace, true), &expected);
    }
}
