//! Typed operators against naive folds, over random cuttings of the input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{
    Consumed, Grouped, KStream, Materialized, Produced, Repartitioned, StreamsBuilder, Windowed,
};
use crate::operator::TimeWindows;
use crate::serde::{Int64, Serde, SerdeError, SessionWindowed, TimeWindowed, Utf8};
use crate::topology::Topology;

/// An input row: key, value, timestamp.
type Row = (u8, i64, i64);
/// An output row, its key and value as text.
type Out = (String, Option<i64>, i64);

fn input(builder: &StreamsBuilder) -> KStream<String, i64> {
    builder.stream("in", Consumed::with(Utf8, Int64))
}

fn config(caching: bool) -> StreamsConfig {
    let mut config = StreamsConfig::new("test");
    config.cache_max_bytes = if caching { 1 << 20 } else { 0 };
    config
}

fn record(row: &Row) -> InputRecord {
    InputRecord::new(Some(row.0.to_string().as_bytes()), Some(&row.1.to_be_bytes()), row.2)
}

/// Runs a topology from "in" to "out" with the rows cut into batches of these sizes, over and over.
fn run(topology: Topology, config: StreamsConfig, rows: &[Row], cuts: &[usize]) -> Vec<Out> {
    let mut driver = TopologyTestDriver::new(topology, config).unwrap();
    let (mut rest, mut cuts) = (rows, cuts.iter().cycle());
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        driver.pipe_all("in", &batch.iter().map(record).collect::<Vec<_>>()).unwrap();
        rest = later;
    }
    driver.commit().unwrap();
    output(&mut driver)
}

fn output(driver: &mut TopologyTestDriver) -> Vec<Out> {
    let records = driver.read("out").unwrap();
    let out = records.into_iter().map(|record| {
        let key = match TimeWindowed::new(Arc::new(Utf8), 10).deserialize(record.key.as_deref().unwrap()) {
            Ok(Windowed { key, start, .. }) => format!("{key}@{start}"),
            Err(_) => String::from_utf8(record.key.unwrap()).unwrap(),
        };
        (key, record.value.map(|value| Int64.deserialize(&value).unwrap()), record.timestamp)
    });
    out.collect()
}

fn stateless() -> Topology {
    let builder = StreamsBuilder::new();
    input(&builder)
        .filter(|_, value| value % 3 != 0)
        .map_values(|_, value| value * 2)
        .flat_map_values(|_, value| [*value, *value + 1])
        .filter_not(|_, value| value % 5 == 0)
        .peek(|_, _| ())
        .map(|key, value| (format!("{}!", key.unwrap()), *value))
        .to("out");
    builder.build().unwrap()
}

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    input(&builder).group_by_key().count(Materialized::named("counts")).to_stream().to("out");
    builder.build().unwrap()
}

fn repartitioned_sum() -> Topology {
    let builder = StreamsBuilder::new();
    input(&builder)
        .group_by(|_, value| format!("k{}", value % 4))
        .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sums"))
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

fn windowed_maximum(windows: TimeWindows) -> Topology {
    let builder = StreamsBuilder::new();
    input(&builder)
        .group_by_key()
        .windowed_by(windows)
        .reduce(|most, value| most.max(*value), Materialized::named("windows"))
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

fn diamond() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = input(&builder);
    let table = stream.map_values(|_, value| value * 100).to_table(Materialized::named("latest"));
    stream
        .merge(&stream.map_values(|_, value| -value))
        .join(&table, |value, latest| value + latest)
        .to("out");
    builder.build().unwrap()
}

/// Applies `fold` to the rows one after the other.
fn naive(rows: &[Row], mut fold: impl FnMut(&Row, &mut Vec<Out>)) -> Vec<Out> {
    let mut out = Vec::new();
    rows.iter().for_each(|row| fold(row, &mut out));
    out
}

fn naive_windows(rows: &[Row], size: i64, advance: i64, grace: i64) -> Vec<Out> {
    let (mut stream_time, mut state) = (i64::MIN, BTreeMap::new());
    naive(rows, |(key, value, time), out| {
        stream_time = stream_time.max(*time);
        for start in (0..=*time).filter(|start| start % advance == 0 && time - start < size) {
            if start + size > stream_time - grace {
                let (most, latest) = state.entry((*key, start)).or_insert((*value, *time));
                (*most, *latest) = ((*most).max(*value), (*latest).max(*time));
                out.push((format!("{key}@{start}"), Some(*most), *latest));
            }
        }
    })
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec((0u8..4, 0i64..50, 0i64..60), 1..60)
}

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..20, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn stateless_operators(rows in any_rows(), cuts in any_cuts()) {
        let expected = naive(&rows, |(key, value, time), out| {
            for value in [value * 2, value * 2 + 1].into_iter().filter(|_| value % 3 != 0) {
                if value % 5 != 0 {
                    out.push((format!("{key}!"), Some(value), *time));
                }
            }
        });
        prop_assert_eq!(&run(stateless(), config(false), &rows, &cuts), &expected);
        prop_assert_eq!(run(stateless(), config(true), &rows, &[1000]), expected);
    }

    #[test]
    fn counts(rows in any_rows(), cuts in any_cuts()) {
        let mut state = BTreeMap::new();
        let expected = naive(&rows, |(key, _, time), out| {
            let (count, latest) = state.entry(*key).or_insert((0, *time));
            (*count, *latest) = (*count + 1, (*latest).max(*time));
            out.push((key.to_string(), Some(*count), *latest));
        });
        prop_assert_eq!(&run(counting(), config(false), &rows, &cuts), &expected);
        // Coalesced until the only commit: the last row of each key, in the order of the keys' first rows.
        let mut last: Vec<Out> = Vec::new();
        for out in expected {
            match last.iter_mut().find(|seen| seen.0 == out.0) {
                Some(seen) => *seen = out,
                None => last.push(out),
            }
        }
        prop_assert_eq!(run(counting(), config(true), &rows, &cuts), last);
    }

    #[test]
    fn sums_by_a_new_key(rows in any_rows(), cuts in any_cuts()) {
        let mut state = BTreeMap::new();
        let expected = naive(&rows, |(_, value, time), out| {
            let (sum, latest) = state.entry(value % 4).or_insert((0, *time));
            (*sum, *latest) = (*sum + value, (*latest).max(*time));
            out.push((format!("k{}", value % 4), Some(*sum), *latest));
        });
        prop_assert_eq!(&run(repartitioned_sum(), config(false), &rows, &cuts), &expected);
        prop_assert_eq!(run(repartitioned_sum(), config(false).exactly_once(), &rows, &cuts), expected);
    }

    #[test]
    fn windows(rows in any_rows(), cuts in any_cuts(), advance in 1i64..=10, grace in 0i64..30) {
        let ms = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let windows = TimeWindows::of(ms(10)).advance_by(ms(advance)).grace(ms(grace));
        let expected = naive_windows(&rows, 10, advance, grace);
        prop_assert_eq!(run(windowed_maximum(windows), config(false), &rows, &cuts), expected);
    }

    #[test]
    fn rows_that_meet_again(rows in any_rows(), cuts in any_cuts()) {
        let expected = naive(&rows, |(key, value, time), out| {
            // Children run in the order in which they were added: the table, the negated rows, the rows
            // themselves.
            for joined in [value * 100 - value, value * 100 + value] {
                out.push((key.to_string(), Some(joined), *time));
            }
        });
        prop_assert_eq!(&run(diamond(), config(false), &rows, &cuts), &expected);
        prop_assert_eq!(run(diamond(), config(false), &rows, &[1]), expected);
    }

    #[test]
    fn two_inputs_are_taken_in_the_order_of_their_times(
        stream in any_rows(),
        table in any_rows(),
        cuts in any_cuts(),
        buffered in 0usize..40,
    ) {
        let expected = naive_join(&stream, &table);
        for cuts in [&cuts[..], &[1], &[1000]] {
            let mut config = config(false);
            config.buffered_records = buffered;
            let mut driver = TopologyTestDriver::new(enriched(), config).unwrap();
            for (topic, rows) in [("in", &stream), ("table", &table)] {
                let (mut rest, mut cuts) = (&rows[..], cuts.iter().cycle());
                while !rest.is_empty() {
                    let (batch, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                    driver.write(topic, &batch.iter().map(record).collect::<Vec<_>>()).unwrap();
                    rest = later;
                }
            }
            driver.run().unwrap();
            prop_assert_eq!(&output(&mut driver), &expected, "cut into {:?}", cuts);
        }
    }
}

fn enriched() -> Topology {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("table", Consumed::with(Utf8, Int64));
    input(&builder).left_join(&table, |value, row| value + row.map_or(-1000, |row| row * 100)).to("out");
    builder.build().unwrap()
}

/// The table's partition stands first, so it goes first at equal head times.
fn naive_join(stream: &[Row], table: &[Row]) -> Vec<Out> {
    let (mut stream, mut table) = (stream.iter().peekable(), table.iter().peekable());
    let (mut rows, mut out) = (BTreeMap::new(), Vec::new());
    loop {
        let table_first = match (stream.peek(), table.peek()) {
            (None, None) => return out,
            (Some(row), Some(change)) => change.2 <= row.2,
            (stream, _) => stream.is_none(),
        };
        if table_first {
            if let Some((key, value, _)) = table.next() {
                rows.insert(*key, *value);
            }
        } else if let Some((key, value, time)) = stream.next() {
            let joined = value + rows.get(key).map_or(-1000, |row| row * 100);
            out.push((key.to_string(), Some(joined), *time));
        }
    }
}

#[test]
fn stream_table_joins_follow_the_documented_vectors() {
    // Arrivals 1 to 15 of one key; the stream is on the left, the table on the right.
    let arrivals = [
        ("in", None),
        ("table", None),
        ("in", Some("A")),
        ("table", Some("a")),
        ("in", Some("B")),
        ("table", Some("b")),
        ("in", None),
        ("table", None),
        ("in", Some("C")),
        ("table", Some("c")),
        ("table", None),
        ("in", None),
        ("table", None),
        ("table", Some("d")),
        ("in", Some("D")),
    ];
    for (left, expected) in
        [(false, vec!["5:B,a", "15:D,d"]), (true, vec!["3:A,null", "5:B,a", "9:C,null", "15:D,d"])]
    {
        let builder = StreamsBuilder::new();
        let table = builder.table::<String, String>("table", Consumed::with(Utf8, Utf8));
        let stream = builder.stream::<String, String>("in", Consumed::with(Utf8, Utf8));
        if left {
            stream.left_join(&table, |l, r| format!("{l},{}", r.map_or("null", String::as_str))).to("out");
        } else {
            stream.join(&table, |l, r| format!("{l},{r}")).to("out");
        }
        let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
        let mut seen = Vec::new();
        for (number, (topic, value)) in (1..).zip(arrivals) {
            driver.pipe(topic, Some(b"k"), value.map(str::as_bytes), number).unwrap();
            for record in driver.read("out").unwrap() {
                assert_eq!(record.timestamp, number);
                seen.push(format!("{number}:{}", String::from_utf8(record.value.unwrap()).unwrap()));
            }
        }
        assert_eq!(seen, expected, "left: {left}");
    }
}

#[test]
fn bad_rows_are_skipped_and_counted() {
    let mut config = config(false);
    config.deserialization_handler = crate::ErrorResponse::Continue;
    let mut driver = TopologyTestDriver::new(counting(), config).unwrap();
    driver.pipe("in", Some(b"a"), Some(b"short"), 1).unwrap(); // not 8 bytes
    driver.pipe("in", None, Some(&1i64.to_be_bytes()), 2).unwrap(); // no key
    driver.pipe("in", Some(b"a"), None, 3).unwrap(); // no value
    driver.pipe("in", Some(b"a"), Some(&1i64.to_be_bytes()), 4).unwrap();
    assert_eq!(output(&mut driver), [("a".to_owned(), Some(1), 4)]);
    let metrics = driver.metrics();
    assert_eq!((metrics.skipped, metrics.late), (3, 0));
}

#[test]
fn late_rows_are_dropped_and_counted() {
    let windows = TimeWindows::of(Duration::from_millis(10));
    let mut driver = TopologyTestDriver::new(windowed_maximum(windows), config(false)).unwrap();
    for time in [5, 25, 7] {
        driver.pipe_all("in", &[record(&(1, time, time))]).unwrap();
    }
    assert_eq!(output(&mut driver), [("1@0".to_owned(), Some(5), 5), ("1@20".to_owned(), Some(25), 25)]);
    assert_eq!(driver.metrics().late, 1);
}

#[test]
fn stores_answer_queries_on_what_is_committed() {
    let windows = TimeWindows::of(Duration::from_millis(10)).grace(Duration::from_millis(20));
    let mut driver = TopologyTestDriver::new(windowed_maximum(windows), config(true)).unwrap();
    driver.pipe_all("in", &[record(&(1, 7, 5)), record(&(1, 9, 15)), record(&(12, 8, 15))]).unwrap();
    let store = driver.store("windows").unwrap();
    assert_eq!(store.scan(Default::default()).count(), 0);
    driver.commit().unwrap();
    let row = |row: crate::store::StoredRow| {
        let value = i64::from_be_bytes(row.value.try_into().unwrap());
        (String::from_utf8(row.key).unwrap(), row.window_start.unwrap(), row.timestamp, value)
    };
    let all: Vec<_> = store.scan(Default::default()).map(|found| row(found.unwrap())).collect();
    assert_eq!(all, [("1".into(), 0, 5, 7), ("1".into(), 10, 15, 9), ("12".into(), 10, 15, 8)]);
    let some: Vec<_> = store.windows(b"1", 5, 100).unwrap().into_iter().map(row).collect();
    assert_eq!(some, [("1".into(), 10, 15, 9)]);
    let prefixed: Vec<_> = store.prefix(b"12").map(|found| row(found.unwrap())).collect();
    assert_eq!(prefixed, [("12".into(), 10, 15, 8)]);
    // Retention is 30 ms: a window that began more than that before stream time is not shown any more.
    driver.pipe_all("in", &[record(&(1, 1, 31))]).unwrap();
    driver.commit().unwrap();
    let starts: Vec<_> =
        store.windows(b"1", 0, 100).unwrap().into_iter().map(|row| row.window_start).collect();
    assert_eq!(starts, [Some(10), Some(30)]);
}

#[test]
fn windows_are_restored_from_kafkas_changelog_layout() {
    let windows = TimeWindows::of(Duration::from_millis(10)).grace(Duration::from_millis(20));
    let topology = windowed_maximum(windows);
    let mut driver = TopologyTestDriver::new(topology.clone(), config(true)).unwrap();
    driver.pipe_all("in", &[record(&(1, 7, 5)), record(&(1, 9, 15))]).unwrap();
    driver.commit().unwrap();
    let rows = |driver: &TopologyTestDriver| {
        driver.store("windows").unwrap().scan(Default::default()).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let before = rows(&driver);
    let keys: Vec<_> =
        driver.read("test-windows-changelog").unwrap().into_iter().map(|r| r.key.unwrap()).collect();
    // key bytes, window start in 8 bytes, sequence number 0 in 4 bytes
    assert_eq!(
        keys,
        [[b"1".as_slice(), &[0; 12]].concat(), [b"1".as_slice(), &10i64.to_be_bytes(), &[0; 4]].concat()]
    );
    let (log, clock) = (driver.log().clone(), driver.clock().clone());
    drop(driver);
    let mut driver = TopologyTestDriver::on_log(topology, config(true), log, clock).unwrap();
    assert_eq!((rows(&driver), driver.metrics().restored), (before, 2));
    driver.pipe_all("in", &[record(&(1, 8, 16))]).unwrap();
    driver.commit().unwrap();
    assert_eq!(output(&mut driver).pop(), Some(("1@10".to_owned(), Some(9), 16)));
}

#[test]
fn tables_delete_and_filter() {
    let builder = StreamsBuilder::new();
    let table = builder.table_in::<String, i64>("in", Consumed::with(Utf8, Int64), "rows");
    table.filter(|_, value| *value > 5).map_values(|_, value| value * 2).to_stream().to("out");
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
    // The first and the last delete what is not there: with caching off, that is told on as in Kafka.
    for (value, time) in [(None, 0), (Some(7i64), 1), (Some(3), 2), (None, 3), (None, 4)] {
        driver
            .pipe("in", Some(b"a"), value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice), time)
            .unwrap();
    }
    let a = || "a".to_owned();
    let deletions = [2, 3, 4].map(|time| (a(), None, time));
    assert_eq!(output(&mut driver), [&[(a(), None, 0), (a(), Some(14), 1)], &deletions[..]].concat());
    assert_eq!(driver.store("rows").unwrap().get(b"a").unwrap(), None);
}

#[test]
fn rows_of_a_key_meet_in_one_partition() {
    let builder = StreamsBuilder::new();
    let grouped = Grouped::with(Utf8, Int64).named("by-last-digit");
    input(&builder)
        .repartition(Repartitioned::named("spread").partitions(2))
        .group_by_with(|_, value| (value % 10).to_string(), grouped)
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    let topology = builder.build().unwrap();
    for config in [config(false), config(true), config(true).exactly_once()] {
        let mut driver = TopologyTestDriver::with_partitions(topology.clone(), config, 3).unwrap();
        let rows: Vec<InputRecord> =
            (0..200).map(|n| record(&(n as u8, i64::from(n), i64::from(n)))).collect();
        driver.pipe_all("in", &rows).unwrap();
        driver.commit().unwrap();
        let counts = driver.store("counts").unwrap();
        assert_eq!(counts.scan(Default::default()).count(), 10);
        for digit in 0..10 {
            let row = counts.get(digit.to_string().as_bytes()).unwrap().unwrap();
            assert_eq!(row.value, 20i64.to_be_bytes(), "digit {digit}");
        }
        assert_eq!(driver.log().describe_topic("test-spread-repartition").unwrap().partitions, 2);
        assert_eq!(driver.log().describe_topic("test-by-last-digit-repartition").unwrap().partitions, 2);
        assert_eq!(driver.log().describe_topic("test-counts-changelog").unwrap().partitions, 2);
    }
}

#[test]
fn headers_travel_with_their_rows() {
    let mut driver = TopologyTestDriver::new(stateless(), config(false)).unwrap();
    let header = millstream_log::Header { key: "trace".to_owned(), value: Some(b"7".as_slice().into()) };
    let mut rows = [record(&(1, 1, 0)), record(&(1, 3, 0)), record(&(1, 2, 0))];
    rows[2].headers = vec![header.clone()];
    driver.pipe_all("in", &rows).unwrap();
    let headers: Vec<_> =
        driver.read("out").unwrap().into_iter().map(|record| record.headers.len()).collect();
    assert_eq!(headers, [0, 0, 1]);
}

/// Writes the name of the topic instead of the value, and nothing where it is not told.
struct TopicName;

impl Serde<i64> for TopicName {
    fn serialize(&self, _: &i64, _: &mut Vec<u8>) -> Result<(), SerdeError> {
        Err(SerdeError::new("no topic"))
    }

    fn deserialize(&self, _: &[u8]) -> Result<i64, SerdeError> {
        Err(SerdeError::new("a name is no number"))
    }

    fn serialize_for(
        &self,
        topic: &str,
        _: &mut Vec<millstream_log::Header>,
        _: &i64,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        out.extend_from_slice(topic.as_bytes());
        Ok(())
    }
}

#[test]
fn serdes_of_a_sink_are_told_its_topic() {
    let builder = StreamsBuilder::new();
    input(&builder).to_with("out", Produced::with(Utf8, TopicName));
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
    driver.pipe_all("in", &[record(&(1, 2, 3)), record(&(2, 3, 4))]).unwrap();
    let values: Vec<_> = driver.read("out").unwrap().into_iter().map(|record| record.value).collect();
    assert_eq!(values, vec![Some(b"out".to_vec()); 2]);
    // Those of windowed keys tell those of the keys.
    let (key, mut out) = (Windowed { key: 7, start: 1, end: 2 }, Vec::new());
    TimeWindowed::new(Arc::new(TopicName), 1).serialize_for("t", &mut vec![], &key, &mut out).unwrap();
    assert_eq!(out, b"t\0\0\0\0\0\0\0\x01");
    out.clear();
    SessionWindowed::new(Arc::new(TopicName)).serialize_for("t", &mut vec![], &key, &mut out).unwrap();
    assert_eq!(out, b"t\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01");
}
