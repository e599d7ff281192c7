//! Joins and aggregations of tables: Kafka's documented examples, and random changes against naive folds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, KTable, Materialized, StreamsBuilder};
use crate::serde::{Int64, Serde, Utf8};
use crate::topology::Topology;

/// A change: side (topic), key, value, timestamp.
type Row = (bool, u8, Option<i64>, i64);

/// Groups and sums, in the order in which they came out.
type Output = Vec<(i64, Option<i64>)>;

fn config(caching: bool) -> StreamsConfig {
    let mut config = StreamsConfig::new("test");
    config.cache_max_bytes = if caching { 1 << 20 } else { 0 };
    config
}

fn table(builder: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    builder.table(topic, Consumed::with(Utf8, Utf8))
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Inner,
    Left,
    Outer,
}

fn text(value: Option<&String>) -> String {
    value.map_or_else(|| "null".to_owned(), Clone::clone)
}

fn joined(
    kind: Kind,
    left: &KTable<String, String>,
    right: &KTable<String, String>,
) -> KTable<String, String> {
    match kind {
        Kind::Inner => left.join(right, |left, right| format!("{left},{right}")),
        Kind::Left => left.left_join(right, |left, right| format!("{left},{}", text(right))),
        Kind::Outer => left.outer_join(right, |left, right| format!("{},{}", text(left), text(right))),
    }
}

#[test]
fn joins_answer_as_documented() {
    // The arrivals of the example in Kafka's documentation, and what each yields: nothing ("-"), a deletion
    // ("null") or a result.
    let arrivals = [
        ("L", None, ["-", "-", "-"]),
        ("R", None, ["-", "-", "-"]),
        ("L", Some("A"), ["-", "A,null", "A,null"]),
        ("R", Some("a"), ["A,a", "A,a", "A,a"]),
        ("L", Some("B"), ["B,a", "B,a", "B,a"]),
        ("R", Some("b"), ["B,b", "B,b", "B,b"]),
        ("L", None, ["null", "null", "null,b"]),
        ("R", None, ["-", "-", "null"]),
        ("L", Some("C"), ["-", "C,null", "C,null"]),
        ("R", Some("c"), ["C,c", "C,c", "C,c"]),
        ("R", None, ["null", "C,null", "C,null"]),
        ("L", None, ["-", "null", "null"]),
        ("R", None, ["-", "-", "-"]),
        ("R", Some("d"), ["-", "-", "null,d"]),
        ("L", Some("D"), ["D,d", "D,d", "D,d"]),
    ];
    for (column, kind) in [Kind::Inner, Kind::Left, Kind::Outer].into_iter().enumerate() {
        for kept in [false, true] {
            let builder = StreamsBuilder::new();
            let mut result = joined(kind, &table(&builder, "L"), &table(&builder, "R"));
            if kept {
                result = result.materialized(Materialized::named("result"));
            }
            result.to_stream().to("out");
            let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
            for (number, (side, value, expected)) in arrivals.iter().enumerate() {
                let time = i64::try_from(number).unwrap() + 1;
                driver.pipe(side, Some(b"k"), value.map(str::as_bytes), time).unwrap();
                let got: Vec<(String, i64)> = driver
                    .read("out")
                    .unwrap()
                    .into_iter()
                    .map(|record| {
                        let value = record.value.map(|value| String::from_utf8(value).unwrap());
                        (value.unwrap_or_else(|| "null".to_owned()), record.timestamp)
                    })
                    .collect();
                let expected = match expected[column] {
                    "-" => vec![],
                    value => vec![(value.to_owned(), time)],
                };
                assert_eq!(got, expected, "{kind:?} join, kept: {kept}, arrival {}", number + 1);
            }
        }
    }
}

#[test]
fn a_result_has_the_later_time_of_its_rows() {
    let builder = StreamsBuilder::new();
    joined(Kind::Inner, &table(&builder, "L"), &table(&builder, "R")).to_stream().to("out");
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
    driver.pipe("L", Some(b"k"), Some(b"A"), 9).unwrap();
    driver.pipe("R", Some(b"k"), Some(b"a"), 4).unwrap();
    driver.pipe("R", Some(b"k"), Some(b"b"), 12).unwrap();
    let times: Vec<i64> = driver.read("out").unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [9, 12]);
}

#[test]
fn a_group_changes_in_one_step_if_a_row_stays_in_it() {
    let builder = StreamsBuilder::new();
    let people = table(&builder, "people");
    people
        .group_by(|key, city| (city.clone(), key.clone()))
        .count(Materialized::named("cities"))
        .to_stream()
        .to("out");
    let topology = builder.build().unwrap();
    let text = topology.describe();
    assert!(text.contains("KTABLE-SELECT-0000000003 (stores: [])"), "{text}");
    let mut driver = TopologyTestDriver::new(topology, config(false)).unwrap();
    let mut step = |key: &str, city: Option<&str>| {
        driver.pipe("people", Some(key.as_bytes()), city.map(str::as_bytes), 0).unwrap();
        let records = driver.read("out").unwrap().into_iter();
        let text = |record: crate::driver::OutputRecord| {
            let count = record.value.map(|value| Int64.deserialize(&value).unwrap());
            format!("{} {}", String::from_utf8(record.key.unwrap()).unwrap(), count.unwrap_or(-1))
        };
        records.map(text).collect::<Vec<_>>()
    };
    assert_eq!(step("anna", Some("rome")), ["rome 1"]);
    assert_eq!(step("ben", Some("rome")), ["rome 2"]);
    assert_eq!(step("ben", Some("rome")), ["rome 2"]);
    assert_eq!(step("ben", Some("oslo")), ["rome 1", "oslo 1"]);
    assert_eq!(step("anna", None), ["rome 0"]);
    assert_eq!(step("anna", None), Vec::<String>::new());
}

/// Sums per remainder of the value, over the big values of the joined tables: a chain of nodes without stores
/// that all have to pass old values on.
fn chain(kind: Kind) -> Topology {
    let builder = StreamsBuilder::new();
    let [left, right] = ["L", "R"].map(|topic| {
        let table = builder.table::<String, i64>(topic, Consumed::with(Utf8, Int64));
        table.filter(|_, value| *value > 2).map_values(|_, value| value * 10)
    });
    let joined = match kind {
        Kind::Inner => left.join(&right, |left, right| left + right),
        Kind::Left => left.left_join(&right, |left, right| left + right.unwrap_or(&1)),
        Kind::Outer => left.outer_join(&right, |left, right| left.unwrap_or(&2) + right.unwrap_or(&1)),
    };
    joined
        .map_values(|_, sum| sum + 5)
        .group_by(|_, sum| (sum % 3, *sum))
        .aggregate(
            || 0,
            |_, value, sum| sum + value,
            |_, value, sum| sum - value,
            Materialized::named("sums"),
        )
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

fn expected(kind: Kind, rows: &[Row]) -> BTreeMap<i64, i64> {
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    for (side, key, value, _) in rows {
        sides[usize::from(*side)].insert(*key, value.filter(|value| *value > 2).map(|value| value * 10));
    }
    let mut sums = BTreeMap::new();
    for key in 0..=u8::MAX {
        let [left, right] = [0, 1].map(|side: usize| sides[side].get(&key).copied().flatten());
        let joined = match kind {
            Kind::Inner => left.and_then(|left| Some(left + right?)),
            Kind::Left => left.map(|left| left + right.unwrap_or(1)),
            Kind::Outer => {
                (left.is_some() || right.is_some()).then(|| left.unwrap_or(2) + right.unwrap_or(1))
            }
        };
        if let Some(sum) = joined.map(|sum| sum + 5) {
            *sums.entry(sum % 3).or_insert(0) += sum;
        }
    }
    sums
}

fn record(row: &Row) -> InputRecord {
    let value = row.2.map(i64::to_be_bytes);
    InputRecord::new(Some(row.1.to_string().as_bytes()), value.as_ref().map(<[u8; 8]>::as_slice), row.3)
}

/// Runs the rows in pieces, and returns what the aggregation holds and the output.
fn run(kind: Kind, rows: &[Row], piece: usize, caching: bool) -> (BTreeMap<i64, i64>, Output) {
    let mut driver = TopologyTestDriver::new(chain(kind), config(caching)).unwrap();
    for rows in rows.chunks(piece) {
        for (topic, side) in [("L", false), ("R", true)] {
            let rows: Vec<InputRecord> = rows.iter().filter(|row| row.0 == side).map(record).collect();
            driver.write(topic, &rows).unwrap();
        }
        driver.run().unwrap();
    }
    driver.commit().unwrap();
    let number = |bytes: &[u8]| Int64.deserialize(bytes).unwrap();
    let records = driver.read("out").unwrap();
    let output = records
        .iter()
        .map(|record| (number(record.key.as_deref().unwrap()), record.value.as_deref().map(number)))
        .collect();
    let rows = driver.store("sums").unwrap();
    let rows = rows.scan(crate::store::KeyRange::all()).map(|row| row.unwrap());
    let state = rows.map(|row| (number(&row.key), number(&row.value))).filter(|(_, sum)| *sum != 0).collect();
    (state, output)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn aggregations_of_joined_tables_add_up(
        rows in prop::collection::vec((any::<bool>(), 0u8..4, prop::option::weighted(0.8, 0i64..20)), 1..60),
        kind in prop::sample::select(vec![Kind::Inner, Kind::Left, Kind::Outer]),
    ) {
        // Times are all different, so that the order of the rows does not depend on how they are cut.
        let rows: Vec<Row> =
            (0..).zip(rows).map(|(time, (side, key, value))| (side, key, value, time)).collect();
        let want = expected(kind, &rows);
        let (state, one_by_one) = run(kind, &rows, 1, false);
        prop_assert_eq!(&state, &want);
        let (state, all_at_once) = run(kind, &rows, rows.len(), false);
        prop_assert_eq!(&state, &want);
        prop_assert_eq!(all_at_once, one_by_one);
        for piece in [1, 7, rows.len()] {
            prop_assert_eq!(&run(kind, &rows, piece, true).0, &want, "cached, pieces of {}", piece);
        }
    }
}

#[test]
fn an_aggregation_that_yields_none_is_deleted() {
    let builder = StreamsBuilder::new();
    let numbers = builder.table::<String, i64>("in", Consumed::with(Utf8, Int64));
    numbers
        .group_by(|_, value| ("all".to_owned(), *value))
        .aggregate(
            || 0,
            |_, value, sum| sum + value,
            |_, value, sum| Some(sum - value).filter(|sum| *sum > 0),
            Materialized::named("sum"),
        )
        .to_stream()
        .to("out");
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
    let mut sum_after = |key: &str, value: Option<i64>| {
        let value = value.map(i64::to_be_bytes);
        driver.pipe("in", Some(key.as_bytes()), value.as_ref().map(<[u8; 8]>::as_slice), 0).unwrap();
        let row = driver.store("sum").unwrap().get(b"all").unwrap();
        row.map(|row| Int64.deserialize(&row.value).unwrap())
    };
    assert_eq!(sum_after("a", Some(3)), Some(3));
    assert_eq!(sum_after("b", Some(4)), Some(7));
    assert_eq!(sum_after("a", None), Some(4));
    assert_eq!(sum_after("b", None), None);
    assert_eq!(sum_after("c", Some(1)), Some(1));
}
