//! What is saved by `topology.optimization`, and stores that their topics fill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::config::StreamsConfig;
use crate::crash::CrashPoint;
use crate::driver::{InputRecord, LocalState, TopologyTestDriver, crash_everywhere};
use crate::dsl::{
    Consumed, Grouped, Materialized, ProcessorContext, Produced, Record, RecordProcessor, Repartitioned,
    StreamJoined, StreamsBuilder,
};

use crate::error::StreamsError;
use crate::operator::JoinWindows;
use crate::serde::{Int64, Utf8};
use crate::topology::{Optimization, Topology};

/// Rows with new keys, which go several ways.
fn rekeyed(optimization: Optimization) -> Topology {
    let builder = StreamsBuilder::new();
    let rows = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64));
    let rekeyed = rows.select_key(|_, value| (value % 3).to_string());
    rekeyed.group_by_key().count(Materialized::named("counts")).to_stream().to("counts");
    rekeyed
        .filter(|_, value| value % 2 == 0)
        .peek(|_, _| {})
        .group_by_key()
        .reduce(|sum, value| sum + value, Materialized::named("even"))
        .to_stream()
        .to("even");
    // Values are others from here on, so that the topic has to be behind that.
    rekeyed
        .map_values(|_, value| value * 10)
        .group_by_key()
        .reduce(|sum, value| sum + value, Materialized::named("tens"))
        .to_stream()
        .to("tens");
    rekeyed.to("rekeyed");
    builder.build_with(optimization).unwrap()
}

const MERGED: Optimization = Optimization { merge_repartition_topics: true, ..Optimization::NONE };

#[test]
fn repartition_topics_of_one_stream_are_merged() {
    let topics = |topology: &Topology| {
        topology.repartitions.iter().map(|topic| topic.topic.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        topics(&rekeyed(Optimization::NONE)),
        ["counts-repartition", "even-repartition", "tens-repartition"]
    );
    let topology = rekeyed(MERGED);
    assert_eq!(topics(&topology), ["counts-repartition", "tens-repartition"]);
    let expected = "Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [in])
      --> KSTREAM-KEY-SELECT-0000000001
    Processor: KSTREAM-KEY-SELECT-0000000001 (stores: [])
      --> KSTREAM-MAPVALUES-0000000016, KSTREAM-FILTER-0000000004, KSTREAM-SINK-0000000023
      <-- KSTREAM-SOURCE-0000000000
";
    let text = topology.describe();
    assert!(text.starts_with(expected), "{text}");
    let of_source = "    Source: KSTREAM-SOURCE-0000000005 (topics: [counts-repartition])
      --> KSTREAM-FILTER-0000000008, KSTREAM-AGGREGATE-0000000002
";
    assert!(text.contains(of_source), "{text}");
    let of_peek = "    Processor: KSTREAM-PEEK-0000000009 (stores: [])
      --> KSTREAM-REDUCE-0000000010
      <-- KSTREAM-FILTER-0000000008
";
    assert!(text.contains(of_peek), "{text}");
}

/// The application that Kafka's own test of its optimizer describes, with the text that it expects. Where Kafka has two
/// more nodes before a join of streams, which put rows into the stores, the joining nodes do that here.
#[test]
fn merged_topics_are_described_as_by_kafka() {
    let builder = StreamsBuilder::new();
    let source = Consumed::<String, String>::with(Utf8, Utf8).named("sourceStream");
    let mapped = builder
        .stream("input", source)
        .named("source-map")
        .map(|key, value| (key.cloned().unwrap_or_default().to_uppercase(), value.clone()));
    mapped
        .named("process-filter")
        .filter(|key, _| key.is_some_and(|key| key == "B"))
        .named("process-mapValues")
        .map_values(|_, value| value.to_uppercase())
        .named("process")
        .for_each(|_, _| ());
    let grouped = |name: &str| Grouped::<String, String>::with(Utf8, Utf8).named(name);
    let counted = mapped
        .group_by_key_with(grouped("count-groupByKey"))
        .count(Materialized::named("count-store").node_named("count"))
        .named("count-toStream")
        .to_stream();
    counted.to_with("count-topic", Produced::with(Utf8, Int64).named("count-to"));
    mapped
        .group_by_key_with(grouped("aggregate-groupByKey"))
        .aggregate(|| 0, |_, _, sum| sum + 1, Materialized::named("aggregate-store").node_named("aggregate"))
        .named("aggregate-toStream")
        .to_stream()
        .to_with("aggregate-topic", Produced::with(Utf8, Int64).named("reduce-to"));
    mapped
        .named("reduce-filter")
        .filter(|_, _| true)
        .named("reduce-peek")
        .peek(|_, _| ())
        .group_by_key_with(grouped("reduce-groupByKey"))
        .reduce(|all, value| all + value, Materialized::named("reduce-store").node_named("reducer"))
        .named("reduce-toStream")
        .to_stream()
        .to_with("reduce-topic", Produced::with(Utf8, Utf8).named("reduce-to-topic"));
    let joined = StreamJoined::with(Utf8, Utf8, Int64).named("join").store_named("join");
    mapped
        .named("join-filter")
        .filter(|key, _| key.is_some_and(|key| key == "A"))
        .join_stream_with(
            &counted,
            |_, value, count| format!("{value}:{count}"),
            JoinWindows::of(Duration::from_millis(5000)),
            joined,
        )
        .to_with("joined", Produced::with(Utf8, Utf8).named("join-to"));
    let expected = "Topologies:
   Sub-topology: 0
    Source: sourceStream (topics: [input])
      --> source-map
    Processor: source-map (stores: [])
      --> process-filter, count-groupByKey-repartition-filter
      <-- sourceStream
    Processor: process-filter (stores: [])
      --> process-mapValues
      <-- source-map
    Processor: count-groupByKey-repartition-filter (stores: [])
      --> count-groupByKey-repartition-sink
      <-- source-map
    Processor: process-mapValues (stores: [])
      --> process
      <-- process-filter
    Sink: count-groupByKey-repartition-sink (topic: count-groupByKey-repartition)
      <-- count-groupByKey-repartition-filter
    Processor: process (stores: [])
      --> none
      <-- process-mapValues

";
    let text = builder.build_with(MERGED).unwrap().describe();
    let of_first = text.split_inclusive("\n\n").find(|part| part.contains("sourceStream")).unwrap();
    let first = of_first.split_once("Source: ").unwrap().1;
    assert_eq!(first, expected.split_once("Source: ").unwrap().1, "{text}");
    let names = |part: &str| {
        let nodes = part.lines().filter(|line| line.starts_with("    ") && !line.starts_with("      "));
        nodes.map(|line| line.split(' ').nth(5).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let second = text.split_inclusive("\n\n").find(|part| part.contains("Source: count-groupByKey")).unwrap();
    let expected = [
        "count-groupByKey-repartition-source",
        "count",
        "count-toStream",
        "reduce-filter",
        "join-filter",
        "reduce-peek",
        "aggregate",
        "join-other-join",
        "join-this-join",
        "reducer",
        "aggregate-toStream",
        "join-merge",
        "reduce-toStream",
        "count-to",
        "join-to",
        "reduce-to",
        "reduce-to-topic",
    ];
    assert_eq!(names(second), expected, "{text}");
}

#[test]
fn what_was_asked_for_is_not_merged() {
    let builder = StreamsBuilder::new();
    let rows = builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64));
    let rekeyed = rows.select_key(|_, value| value.to_string());
    rekeyed.repartition(Repartitioned::named("wanted")).to("wanted");
    rekeyed.group_by_key().count(Materialized::named("counts"));
    let other = rows.select_key(|_, value| (value + 1).to_string());
    other.group_by_key().count(Materialized::named("others"));
    let topology = builder.build_with(Optimization::ALL).unwrap();
    let topics: Vec<String> = topology.repartitions.iter().map(|topic| topic.topic.to_string()).collect();
    assert_eq!(topics, ["wanted-repartition", "counts-repartition", "others-repartition"]);
}

fn config() -> StreamsConfig {
    let mut config = StreamsConfig::new("test").exactly_once();
    config.cache_max_bytes = 0;
    config
}

/// The last value of every key.
fn last(driver: &mut TopologyTestDriver, topic: &str) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let records = driver.read(topic).unwrap().into_iter();
    records.map(|record| (record.key.unwrap(), record.value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn merged_topics_change_no_result(values in prop::collection::vec(0i64..50, 0..40), size in 1usize..9) {
        let run = |optimization| {
            let mut driver = TopologyTestDriver::with_partitions(rekeyed(optimization), config(), 2).unwrap();
            for values in values.chunks(size) {
                let records = values.iter().map(|value| {
                    InputRecord::new(Some(b"key"), Some(&value.to_be_bytes()), *value)
                });
                driver.pipe_all("in", &records.collect::<Vec<_>>()).unwrap();
            }
            driver.commit().unwrap();
            ["counts", "even", "tens", "rekeyed"].map(|topic| last(&mut driver, topic))
        };
        prop_assert_eq!(run(MERGED), run(Optimization::NONE));
    }
}

/// Sums of a table's values, which need the old ones.
fn summed(optimization: Optimization) -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .table_in::<String, i64>("in", Consumed::with(Utf8, Int64), "rows")
        .group_by(|_, value| ("all".to_owned(), *value))
        .aggregate(
            || 0,
            |_, value, sum| sum + value,
            |_, value, sum| sum - value,
            Materialized::named("sums"),
        );
    builder.build_with(optimization).unwrap()
}

fn pipe(
    driver: &mut TopologyTestDriver,
    key: &str,
    value: Option<i64>,
    time: i64,
) -> Result<(), StreamsError> {
    let value = value.map(i64::to_be_bytes);
    driver.pipe("in", Some(key.as_bytes()), value.as_ref().map(<[u8; 8]>::as_slice), time)
}

fn rows(driver: &TopologyTestDriver, store: &str) -> BTreeMap<String, (i64, i64)> {
    let rows = driver.store(store).unwrap().key_value::<String, i64>().unwrap();
    let rows = rows.all().unwrap().map(|row| row.map(|(key, row)| (key, (row.value, row.timestamp))));
    rows.collect::<Result<_, _>>().unwrap()
}

fn row(key: &str, value: i64, time: i64) -> (String, (i64, i64)) {
    (key.to_owned(), (value, time))
}

#[test]
fn a_tables_topic_is_its_changelog() {
    let mut plain = TopologyTestDriver::new(summed(Optimization::NONE), config()).unwrap();
    pipe(&mut plain, "a", Some(1), 1).unwrap();
    assert!(plain.log().describe_topic("test-rows-changelog").is_ok());

    let mut driver = TopologyTestDriver::new(summed(Optimization::ALL), config()).unwrap();
    assert!(driver.log().describe_topic("test-rows-changelog").is_err());
    assert!(driver.log().describe_topic("test-sums-changelog").is_ok());
    for (key, value, time) in
        [("a", Some(1), 1), ("b", Some(2), 2), ("a", Some(5), 3), ("c", Some(7), 4), ("b", None, 5)]
    {
        pipe(&mut driver, key, value, time).unwrap();
    }
    driver.commit().unwrap();
    let expected = BTreeMap::from([row("a", 5, 3), row("c", 7, 4)]);
    assert_eq!(rows(&driver, "rows"), expected);
    for state in [LocalState::Kept, LocalState::Lost] {
        driver.restart(state).unwrap();
        assert_eq!(rows(&driver, "rows"), expected, "{state:?}");
    }
    // What is not committed is not in the state, though it is in the topic: else its old value would be the new one.
    driver.crash_at(CrashPoint::BeforeCommit, 0);
    let crashed = pipe(&mut driver, "a", Some(100), 6).and_then(|()| driver.commit()).unwrap_err();
    assert!(matches!(crashed, StreamsError::Crashed(CrashPoint::BeforeCommit)), "{crashed}");
    driver.restart(LocalState::Lost).unwrap();
    assert_eq!(rows(&driver, "rows"), expected);
    driver.commit().unwrap();
    assert_eq!(rows(&driver, "rows"), BTreeMap::from([row("a", 100, 6), row("c", 7, 4)]));
    assert_eq!(rows(&driver, "sums"), BTreeMap::from([row("all", 107, 6)]));
}

#[test]
fn a_table_in_its_topic_survives_crashes_everywhere() {
    let rows_of = |rows: &[(&str, i64)]| -> Vec<InputRecord> {
        let record = |(key, value): &(&str, i64)| {
            InputRecord::new(Some(key.as_bytes()), Some(&value.to_be_bytes()), *value)
        };
        rows.iter().map(record).collect()
    };
    let batches = [("in", rows_of(&[("a", 1), ("b", 2)])), ("in", rows_of(&[("a", 3), ("c", 4)]))];
    let driver = || TopologyTestDriver::new(summed(Optimization::ALL), config());
    let cases = crash_everywhere(driver, &batches, |driver, case| {
        let expected = BTreeMap::from([row("a", 3, 3), row("b", 2, 2), row("c", 4, 4)]);
        assert_eq!(rows(driver, "rows"), expected, "{case}");
        assert_eq!(rows(driver, "sums")["all"].0, 9, "{case}");
    });
    assert!(cases.unwrap() > 20);
}

#[test]
fn a_table_that_its_topic_does_not_have_as_it_is_has_a_changelog() {
    let builder = StreamsBuilder::new();
    let consumed = Consumed::with(Utf8, Int64).timestamp(|value| *value);
    builder.table_in::<String, i64>("in", consumed, "rows");
    let topology = builder.build_with(Optimization::ALL).unwrap();
    let driver = TopologyTestDriver::new(topology, config()).unwrap();
    assert!(driver.log().describe_topic("test-rows-changelog").is_ok());
}

/// Looks numbers up by name.
struct LookUp;

impl RecordProcessor<String, String> for LookUp {
    type Key = String;
    type Value = i64;

    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), StreamsError> {
        let Some(name) = &record.value else { return Ok(()) };
        let found = context.key_value_store::<String, i64>("numbers")?.get(name)?.copied();
        context.forward(Record::new(name.clone(), found.unwrap_or(-1), record.timestamp))
    }
}

#[test]
fn a_read_only_store_has_what_its_topic_has() {
    let builder = StreamsBuilder::new();
    builder.add_read_only_store("numbers", Consumed::with(Utf8, Int64), "numbers");
    builder
        .stream::<String, String>("names", Consumed::with(Utf8, Utf8))
        .process(|| LookUp, &["numbers"])
        .to_with("out", Produced::with(Utf8, Int64));
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config()).unwrap();
    let number = |driver: &mut TopologyTestDriver, name: &str, value: Option<i64>| {
        let value = value.map(i64::to_be_bytes);
        driver.pipe("numbers", Some(name.as_bytes()), value.as_ref().map(<[u8; 8]>::as_slice), 1).unwrap();
    };
    let asked = |driver: &mut TopologyTestDriver, name: &str| {
        driver.pipe("names", None, Some(name.as_bytes()), 2).unwrap();
        driver.commit().unwrap();
        let found = driver.read("out").unwrap().pop().unwrap().value.unwrap();
        i64::from_be_bytes(found.try_into().unwrap())
    };
    number(&mut driver, "one", Some(1));
    number(&mut driver, "two", Some(2));
    assert_eq!((asked(&mut driver, "one"), asked(&mut driver, "two")), (1, 2));
    number(&mut driver, "one", None);
    number(&mut driver, "two", Some(22));
    assert_eq!((asked(&mut driver, "one"), asked(&mut driver, "two")), (-1, 22));
    driver.restart(LocalState::Lost).unwrap();
    assert_eq!((asked(&mut driver, "one"), asked(&mut driver, "two")), (-1, 22));
    let internal = driver.log().topics().iter().filter(|topic| topic.name.starts_with("test-")).count();
    assert_eq!(internal, 0, "nothing is written twice");
}

#[test]
fn a_store_that_a_topic_fills_has_to_read_it() {
    let mut topology = crate::topology::TopologyBuilder::new();
    let decoder = crate::dsl::codec::decoder::<String, i64>(Arc::new(Utf8), Arc::new(Int64), None);
    topology.add_source("in", ["in"], decoder, crate::topology::SourceOptions::default());
    let store = topology.add_store(crate::store::Stores::key_value("rows", Utf8, Int64).filled_by("other"));
    let nothing = || Box::new(crate::dsl::stream::PassThrough) as Box<dyn crate::processor::Processor>;
    topology.add_processor("rows", Arc::new(nothing), &["in"], &[store]);
    let error = topology.build().unwrap_err().to_string();
    assert!(error.contains("store rows cannot be filled by topic other"), "{error}");
}

#[test]
fn what_is_saved_is_a_list() {
    let reuse = Optimization { reuse_source_topics: true, ..Optimization::NONE };
    for (text, expected) in [
        ("none", Ok(Optimization::NONE)),
        ("all", Ok(Optimization::ALL)),
        ("reuse.ktable.source.topics", Ok(reuse)),
        (
            "merge.repartition.topics, reuse.ktable.source.topics",
            Ok(Optimization { merge_repartition_topics: true, ..reuse }),
        ),
        ("single.store.self.join", Ok(Optimization { single_store_self_join: true, ..Optimization::NONE })),
        ("single.store.self.join,reuse.ktable.source.topics,merge.repartition.topics", Ok(Optimization::ALL)),
        ("everything", Err(())),
        ("all,none", Err(())),
    ] {
        assert_eq!(text.parse::<Optimization>().map_err(drop), expected, "{text}");
        let properties = [("application.id", "app"), ("topology.optimization", text)];
        let config = StreamsConfig::from_properties(properties).map_err(drop);
        assert_eq!(config.map(|config| config.optimization), expected, "{text}");
    }
}
