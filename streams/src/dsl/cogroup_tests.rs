//! Cogrouped streams, and how results are kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::window_tests::{Out, any_cuts, config, ms, number, record, sessions, topology, windows};
use crate::driver::{InputRecord, OutputRecord, TopologyTestDriver};
use crate::dsl::{CogroupedKStream, Consumed, Grouped, KTable, Materialized, StoreType, StreamsBuilder};
use crate::operator::{SessionWindows, SlidingWindows, TimeWindows};
use crate::serde::{Int64, Utf8};
use crate::topology::Topology;

/// Numbers of "in" are added, and words of "words" add their length or, if empty, delete.
fn cogrouped(build: impl Fn(CogroupedKStream<String, i64>)) -> Topology {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64)).group_by_key();
    let words = builder.stream::<String, String>("words", Consumed::with(Utf8, Utf8)).group_by_key();
    let add_word =
        |_: &String, word: &String, sum: i64| (!word.is_empty()).then_some(sum + word.len() as i64);
    build(numbers.cogroup(|_, value, sum| sum + value).cogroup(words, add_word));
    builder.build().unwrap()
}

fn to_out<K: Clone + Send + Sync + 'static>(table: &KTable<K, i64>) {
    let stream = table.to_stream();
    let (keys, values) = (stream.keys.clone().unwrap(), stream.values.clone().unwrap());
    stream.to_with("out", crate::dsl::Produced::of(keys, values));
}

/// Topic (numbers or words), key, value, timestamp.
type Row = (bool, u8, i64, i64);

fn input(row: &Row) -> (&'static str, InputRecord) {
    let (is_word, key, value, time) = *row;
    if !is_word {
        return ("in", record(&(key, value, time)));
    }
    let word = "x".repeat(usize::try_from(value).unwrap());
    ("words", InputRecord::new(Some(key.to_string().as_bytes()), Some(word.as_bytes()), time))
}

fn run(topology: &Topology, caching: bool, rows: &[Row], cuts: &[usize]) -> Vec<OutputRecord> {
    let mut driver = TopologyTestDriver::new(topology.clone(), config(caching)).unwrap();
    let (mut rest, mut cuts) = (rows, cuts.iter().cycle());
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        for row in batch {
            let (topic, record) = input(row);
            driver.write(topic, &[record]).unwrap();
        }
        driver.run().unwrap();
        rest = later;
    }
    driver.commit().unwrap();
    driver.read("out").unwrap()
}

fn plain(records: Vec<OutputRecord>) -> Vec<Out> {
    let out = records.into_iter().map(|record| {
        (String::from_utf8(record.key.unwrap()).unwrap(), number(record.value), record.timestamp)
    });
    out.collect()
}

/// Rows whose times rise, so that the task takes them in this order however they are cut.
fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec((any::<bool>(), 0u8..3, 0i64..5, 1i64..6), 1..40).prop_map(|steps| {
        let mut time = 0;
        let row = |(is_word, key, value, step): Row| {
            time += step;
            (is_word, key, value, time)
        };
        steps.into_iter().map(row).collect()
    })
}

/// The last row of each key.
fn table(rows: Vec<Out>) -> BTreeMap<String, (Option<i64>, i64)> {
    rows.into_iter().map(|(key, value, time)| (key, (value, time))).collect()
}

fn naive(rows: &[Row]) -> Vec<Out> {
    let mut sums = BTreeMap::new();
    let mut out = Vec::new();
    for (is_word, key, value, time) in rows {
        let before = sums.get(key).copied();
        if *is_word && *value == 0 {
            // Deleting what is not there is no change.
            sums.remove(key);
        } else {
            sums.insert(*key, before.unwrap_or(0) + value);
        }
        out.push((key.to_string(), sums.get(key).copied(), *time));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streams_share_an_aggregate(rows in any_rows(), cuts in any_cuts()) {
        let topology =
            cogrouped(|streams| to_out(&streams.aggregate(|| 0, Materialized::named("sums"))));
        let expected = naive(&rows);
        prop_assert_eq!(&plain(run(&topology, false, &rows, &cuts)), &expected);
        prop_assert_eq!(&plain(run(&topology, false, &rows, &[1])), &expected);
        let expected: BTreeMap<_, _> =
            table(expected).into_iter().filter(|(_, (value, _))| value.is_some()).collect();
        let coalesced: BTreeMap<_, _> = table(plain(run(&topology, true, &rows, &cuts)))
            .into_iter()
            .filter(|(_, (value, _))| value.is_some())
            .collect();
        prop_assert_eq!(coalesced, expected);
    }

    #[test]
    fn streams_share_windows(rows in any_rows(), cuts in any_cuts()) {
        // Without deletions a stream of sums by itself shows what the windows are.
        let rows: Vec<Row> = rows.into_iter().filter(|row| !row.0 || row.2 > 0).collect();
        let numbers: Vec<Row> = rows.iter().map(|row| (false, row.1, row.2, row.3)).collect();
        let time = TimeWindows::of(ms(10)).advance_by(ms(5)).grace(ms(10));
        let sliding = SlidingWindows::of_time_difference(ms(7)).grace(ms(10));
        let session = SessionWindows::of(ms(4)).grace(ms(10));
        let sums = || Materialized::named("sums");
        let step = |_: &String, value: &i64, sum: i64| sum + value;
        let merge = |_: &String, sum: i64, other: i64| sum + other;
        for (shared, alone, read) in [
            (
                cogrouped(|streams| to_out(&streams.windowed_by(time).aggregate(|| 0, sums()))),
                topology(|grouped| to_out(&grouped.windowed_by(time).aggregate(|| 0, step, sums()))),
                windows as fn(Vec<OutputRecord>) -> Vec<Out>,
            ),
            (
                cogrouped(|streams| to_out(&streams.windowed_by(sliding).aggregate(|| 0, sums()))),
                topology(|grouped| to_out(&grouped.windowed_by(sliding).aggregate(|| 0, step, sums()))),
                windows,
            ),
            (
                cogrouped(|streams| to_out(&streams.windowed_by(session).aggregate(|| 0, merge, sums()))),
                topology(|grouped| to_out(&grouped.windowed_by(session).aggregate(|| 0, step, merge, sums()))),
                sessions,
            ),
        ] {
            for caching in [false, true] {
                let expected = read(run(&alone, caching, &numbers, &[1000]));
                prop_assert_eq!(read(run(&shared, caching, &rows, &cuts)), expected);
            }
        }
    }
}

#[test]
fn cogroup_is_described_as_kafka_does() {
    let topology = cogrouped(|streams| to_out(&streams.aggregate(|| 0, Materialized::default())));
    let text = topology.describe();
    for line in [
        "    Processor: COGROUPKSTREAM-AGGREGATE-0000000003 (stores: [COGROUPKSTREAM-AGGREGATE-STATE-STORE-0000000002])",
        "      --> COGROUPKSTREAM-MERGE-0000000005",
        "      <-- COGROUPKSTREAM-AGGREGATE-0000000003, COGROUPKSTREAM-AGGREGATE-0000000004",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    let named = || Materialized::named("sums").node_named("sum");
    let text = cogrouped(|streams| to_out(&streams.aggregate(|| 0, named()))).describe();
    let other = cogrouped(|streams| {
        to_out(&streams.named("sum").aggregate(|| 0, Materialized::named("sums")));
    });
    assert_eq!(other.describe(), text, "the node is named in either way");
    for name in ["sum-cogroup-agg-0", "sum-cogroup-agg-1", "sum-cogroup-merge"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn cogrouped_streams_that_changed_their_keys_meet() {
    let builder = StreamsBuilder::new();
    let by_value = |_: Option<&String>, value: &i64| (value % 2).to_string();
    let first = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64)).group_by(by_value);
    let second = builder
        .stream::<String, i64>("words", Consumed::with(Utf8, Int64))
        .group_by_with(by_value, Grouped::with(Utf8, Int64).named("second"));
    let table = first
        .cogroup(|_, value, sum: i64| sum + value)
        .cogroup(second, |_, value, sum| sum - value)
        .aggregate(|| 0, Materialized::named("sums"));
    to_out(&table);
    let topology = builder.build().unwrap();
    let mut driver = TopologyTestDriver::with_partitions(topology, config(false), 2).unwrap();
    driver.pipe_all("in", &[record(&(1, 7, 0)), record(&(2, 10, 1)), record(&(3, 5, 2))]).unwrap();
    driver.pipe_all("words", &[record(&(4, 1, 3)), record(&(5, 4, 4))]).unwrap();
    let store = driver.store("sums").unwrap();
    let of = |key: &[u8]| i64::from_be_bytes(store.get(key).unwrap().unwrap().value.try_into().unwrap());
    assert_eq!((of(b"0"), of(b"1")), (10 - 4, 7 + 5 - 1));
    assert_eq!(driver.log().describe_topic("test-sums-repartition").unwrap().partitions, 2);
    assert_eq!(driver.log().describe_topic("test-second-repartition").unwrap().partitions, 2);
}

#[test]
fn results_are_kept_as_it_is_asked_for() {
    let counts = |materialized: fn() -> Materialized<i64>| {
        topology(|grouped| grouped.count(materialized()).to_stream().to("out"))
    };
    // Every update is forwarded though the application has a cache.
    let uncached =
        counts(|| Materialized::named("counts").caching_disabled().store_type(StoreType::InMemory));
    let mut driver = TopologyTestDriver::new(uncached, config(true)).unwrap();
    driver.pipe_all("in", &[record(&(1, 0, 0)), record(&(1, 0, 1))]).unwrap();
    driver.commit().unwrap();
    assert_eq!(plain(driver.read("out").unwrap()), [("1".into(), Some(1), 0), ("1".into(), Some(2), 1)]);
    let unlogged = counts(|| Materialized::default().logging_disabled().node_named("count"));
    let driver = TopologyTestDriver::new(unlogged.clone(), config(true)).unwrap();
    let store = "KSTREAM-AGGREGATE-STATE-STORE-0000000001";
    assert!(driver.store(store).is_ok());
    assert!(driver.log().describe_topic(&format!("test-{store}-changelog")).is_err());
    assert!(unlogged.describe().contains("Processor: count (stores: ["));
    let configured = counts(|| Materialized::named("counts").logging_config("segment.bytes", "1048576"));
    let driver = TopologyTestDriver::new(configured, config(true)).unwrap();
    let described = driver.log().describe_topic("test-counts-changelog").unwrap();
    assert_eq!(described.configs.get("segment.bytes").map(String::as_str), Some("1048576"));
}

#[test]
fn coalesced_results_have_the_headers_of_their_last_row() {
    let header = |value: &str| {
        vec![millstream_log::Header {
            key: "trace".to_owned(),
            value: Some(value.as_bytes().to_vec().into()),
        }]
    };
    let topology = topology(|grouped| to_out(&grouped.count(Materialized::named("counts"))));
    for (caching, expected) in
        [(true, vec![header("b"), vec![]]), (false, vec![header("a"), vec![], header("b"), vec![]])]
    {
        let mut driver = TopologyTestDriver::new(topology.clone(), config(caching)).unwrap();
        let rows = [(1, "a"), (2, ""), (1, "b")].map(|(key, name)| {
            let headers = if name.is_empty() { Vec::new() } else { header(name) };
            InputRecord { headers, ..record(&(key, 0, 0)) }
        });
        driver.pipe_all("in", &rows).unwrap();
        driver.commit().unwrap();
        // Nothing is left of them for the next commit.
        driver.pipe_all("in", &[record(&(1, 0, 1))]).unwrap();
        driver.commit().unwrap();
        let out = driver.read("out").unwrap();
        let headers: Vec<_> = out.iter().map(|record| record.headers.clone()).collect();
        assert_eq!(headers[..expected.len()], expected, "caching: {caching}");
        assert_eq!(out.last().unwrap().headers, []);
    }
}
