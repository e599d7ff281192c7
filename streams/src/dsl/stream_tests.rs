//! Sources, branches, processors, transformers, printing, and sinks that choose topics and partitions.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::{Header, Log, ManualClock, NewTopic, PartitionId, Timestamp};

use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::*;
use crate::error::StreamsError;
use crate::runtime::PunctuationType;
use crate::serde::{Int64, Utf8};
use crate::store::{StoreSpec, Stores, Timer};
use crate::topology::{Topology, TopologyBuilder};
use crate::{AutoOffsetReset, TopicPattern, Topics};

type Rows = Vec<(String, i64)>;

fn config() -> StreamsConfig {
    let mut config = StreamsConfig::new("app");
    config.cache_max_bytes = 0;
    config
}

fn input(builder: &StreamsBuilder) -> KStream<String, i64> {
    builder.stream("in", Consumed::with(Utf8, Int64))
}

fn driver(builder: StreamsBuilder) -> TopologyTestDriver {
    TopologyTestDriver::new(builder.build().unwrap(), config()).unwrap()
}

fn row(key: &str, value: i64) -> (String, i64) {
    (key.to_owned(), value)
}

/// The rows of an output topic, all of which have key and value.
fn read(driver: &mut TopologyTestDriver, topic: &str) -> Rows {
    let topic = driver.create_output_topic::<String, i64>(topic).unwrap();
    let rows = topic.read_key_values(driver).unwrap();
    rows.into_iter().map(|(key, value)| (key.unwrap(), value.unwrap())).collect()
}

/// Pipes rows in batches of this size, a millisecond apart.
fn pipe(driver: &mut TopologyTestDriver, cut: usize, rows: &[(&str, i64)]) {
    let topic = driver.create_input_topic::<String, i64>("in").unwrap();
    let mut topic = topic.auto_advance(Duration::from_millis(1));
    for rows in rows.chunks(cut) {
        topic.pipe_list(driver, rows.iter().map(|(key, value)| row(key, *value))).unwrap();
    }
}

/// The message of a topology that cannot be built.
fn refusal(build: impl FnOnce(&StreamsBuilder)) -> String {
    let builder = StreamsBuilder::new();
    build(&builder);
    builder.build().unwrap_err().to_string()
}

#[test]
fn streams_of_the_same_topics_share_a_source() {
    let builder = StreamsBuilder::new();
    input(&builder).map_values(|_, value| value + 1).to("out");
    input(&builder).map_values(|_, value| value + 2).to("out");
    let mut driver = driver(builder);
    pipe(&mut driver, 2, &[("a", 10), ("b", 20)]);
    assert_eq!(read(&mut driver, "out"), [row("a", 11), row("a", 12), row("b", 21), row("b", 22)]);
}

#[test]
fn a_topic_is_read_in_one_way() {
    let consumed = || Consumed::<String, i64>::with(Utf8, Int64);
    let prefix = "the topology is not valid: topic in is read twice, ";
    let suffix = ": read it once, and let both follow that stream";
    for (second, what) in [
        (consumed().reset(AutoOffsetReset::Latest), "from auto.offset.reset and Latest"),
        (consumed().timestamp(|value| *value), "with the timestamps of the records and the extractor"),
    ] {
        let message = refusal(|builder| {
            input(builder).to("out");
            builder.stream("in", second).to("out");
        });
        assert_eq!(message, format!("{prefix}{what}{suffix}"));
    }
    let message = refusal(|builder| {
        input(builder).to("out");
        builder.stream::<String, String>("in", Consumed::with(Utf8, Utf8)).to("out");
    });
    assert!(message.contains("as alloc::string::String -> i64 and alloc::string::String"), "{message}");
    let message = refusal(|builder| {
        input(builder).to("out");
        builder.stream(["other", "in"], consumed()).to("out");
    });
    assert_eq!(message, format!("{prefix}as one of in and other, in{suffix}"));
    let message = refusal(|builder| {
        builder.stream(TopicPattern::new("i.*").unwrap(), consumed()).to("out");
        input(builder).to("out");
    });
    assert_eq!(message, format!("{prefix}as one of i.* and in{suffix}"));
}

#[test]
fn a_source_reads_several_topics_or_all_that_match() {
    let names = ["red", "blue", "green", "app-x-changelog", "blueish"];
    for (topics, expected) in [
        (Topics::from(["red", "blue"]), vec!["blue", "red"]),
        (TopicPattern::new("[rb].*e?d|blue|app-.*").unwrap().into(), vec!["blue", "red"]),
        (TopicPattern::new("nothing").unwrap().into(), vec![]),
    ] {
        let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
        let log = Log::in_memory(clock.clone());
        names.iter().chain(&["out"]).for_each(|name| {
            log.create_topic(NewTopic::new(*name)).unwrap();
        });
        let builder = StreamsBuilder::new();
        builder.stream::<String, i64>(topics.clone(), Consumed::with(Utf8, Int64)).to("out");
        let mut driver = TopologyTestDriver::on_log(builder.build().unwrap(), config(), log, clock).unwrap();
        for (time, name) in (0i64..).zip(names) {
            let value = time.to_be_bytes();
            driver.pipe(name, Some(name.as_bytes()), Some(&value), time).unwrap();
        }
        let mut read: Vec<String> = read(&mut driver, "out").into_iter().map(|row| row.0).collect();
        read.sort();
        assert_eq!(read, expected, "{topics}");
    }
}

#[test]
fn patterns_may_not_share_a_topic() {
    let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
    let log = Log::in_memory(clock.clone());
    ["ab", "out"].iter().for_each(|name| {
        log.create_topic(NewTopic::new(*name)).unwrap();
    });
    let builder = StreamsBuilder::new();
    for pattern in ["a.*", ".*b"] {
        let pattern = TopicPattern::new(pattern).unwrap();
        builder.stream::<String, i64>(pattern, Consumed::with(Utf8, Int64)).to("out");
    }
    let topology = builder.build().unwrap();
    assert!(topology.describe().contains("Source: KSTREAM-SOURCE-0000000000 (topics: a.*)\n"));
    let error = TopologyTestDriver::on_log(topology, config(), log, clock).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the topology is not valid: topic ab is read by the sources KSTREAM-SOURCE-0000000000 and \
         KSTREAM-SOURCE-0000000002: let what needs its rows follow one source"
    );
}

#[test]
fn operators_have_the_names_they_are_given() {
    let builder = StreamsBuilder::new();
    let stream = input(&builder).named("positive").filter(|_, value| *value > 0);
    stream
        .named("by-value")
        .group_by(|_, value| value.to_string())
        .named("counting")
        .count(Materialized::named("counts"));
    stream.named("printer").for_each(|_, _| ());
    stream.map_values(|_, value| *value).named("out-sink").to("out");
    let text = builder.build().unwrap().describe();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().split_once(": ")?.1.split(' ').next())
        .filter(|name| name.parse::<u32>().is_err())
        .collect();
    let expected = [
        "KSTREAM-SOURCE-0000000000",
        "positive",
        "by-value",
        "KSTREAM-FILTER-0000000005",
        "KSTREAM-MAPVALUES-0000000008",
        "KSTREAM-SINK-0000000004",
        "out-sink",
        "printer",
        "KSTREAM-SOURCE-0000000006",
        "counting",
    ];
    assert_eq!(names, expected, "{text}");
    let message = refusal(|builder| {
        let stream = input(builder);
        stream.named("twice").filter(|_, _| true).for_each(|_, _| ());
        stream.named("twice").filter(|_, _| true).for_each(|_, _| ());
    });
    assert_eq!(message, "the topology is not valid: two nodes are named twice");
}

#[test]
fn generated_names_of_what_is_kept_can_be_forbidden() {
    let check = |build: &dyn Fn(&StreamsBuilder)| {
        let builder = StreamsBuilder::new();
        build(&builder);
        let mut config = config();
        config.explicit_naming = true;
        TopologyTestDriver::new(builder.build().unwrap(), config).err().map(|error| error.to_string())
    };
    let named = check(&|builder| {
        input(builder).group_by(|_, value| value.to_string()).count(Materialized::named("counts"));
    });
    assert_eq!(named, None);
    let generated = check(&|builder| {
        let stream = input(builder).group_by(|_, value| value.to_string());
        stream.count(Materialized::default());
        input(builder).select_key(|key, _| key.cloned().unwrap()).repartition(Repartitioned::default());
    });
    assert_eq!(
        generated.unwrap(),
        "the topology is not valid: ensure.explicit.internal.resource.naming is set, and these have generated names: \
         store KSTREAM-AGGREGATE-STATE-STORE-0000000002, repartition topic \
         KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition, repartition topic \
         KSTREAM-REPARTITION-0000000009-repartition: name them, with Materialized::named, Grouped::named and their like"
    );
}

#[test]
fn rows_go_to_the_first_branch_that_takes_them() {
    for cut in [1, 2, 9] {
        let builder = StreamsBuilder::new();
        let stream = input(&builder);
        let branches = stream
            .named("by-")
            .split()
            .branch(|_, value| *value > 100, Branched::named("large"))
            .branch(|_, value| *value > 10, Branched::default())
            .branch(|_, value| *value > 8, Branched::default().with_consumer(|nine| nine.to("nine")))
            .branch(
                |_, value| *value > 7,
                Branched::named("eight").with_function(|eight| eight.map_values(|_, value| -value)),
            )
            .branch(|_, value| *value > 6, Branched::named("gone").with_function(|_| None))
            .default_branch(Branched::default());
        let names: Vec<&String> = branches.keys().collect();
        assert_eq!(names, ["by-0", "by-2", "by-eight", "by-large"]);
        for name in names {
            branches[name].to(name);
        }
        let mut driver = driver(builder);
        pipe(&mut driver, cut, &[("a", 101), ("b", 5), ("c", 50), ("d", 9), ("e", 8), ("f", 7), ("g", 102)]);
        driver.pipe("in", Some(b"deleted"), None, 9).unwrap();
        assert_eq!(read(&mut driver, "by-large"), [row("a", 101), row("g", 102)]);
        assert_eq!(read(&mut driver, "by-2"), [row("c", 50)]);
        assert_eq!(read(&mut driver, "nine"), [row("d", 9)]);
        assert_eq!(read(&mut driver, "by-eight"), [row("e", -8)]);
        let rest = driver.create_output_topic::<String, i64>("by-0").unwrap();
        let expected = [(Some("b".to_owned()), Some(5)), (Some("deleted".to_owned()), None)];
        assert_eq!(rest.read_key_values(&mut driver).unwrap(), expected);
    }
}

#[test]
fn branches_that_meet_again_keep_the_order_of_the_rows() {
    for cut in [1, 2, 5] {
        let builder = StreamsBuilder::new();
        let branches = input(&builder)
            .named("s")
            .split()
            .branch(|_, value| value % 2 == 0, Branched::named("even"))
            .no_default_branch();
        let rest = input(&builder).filter(|_, value| value % 3 == 0).map_values(|_, value| value * 10);
        branches["seven"].merge(&rest).to("out");
        let mut driver = driver(builder);
        pipe(&mut driver, cut, &[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 6)]);
        let expected = [row("b", 2), row("c", 30), row("d", 4), row("e", 6), row("e", 60)];
        assert_eq!(read(&mut driver, "out"), expected);
    }
}

/// Sums values per key, forwards sums to one child and where they come from to another, and ends a key 10 ms after its
/// last row.
struct Summing {
    fast: bool,
}

impl RecordProcessor<String, i64> for Summing {
    type Key = String;
    type Value = i64;

    fn stores() -> Vec<StoreSpec> {
        vec![Stores::key_value("sums", Utf8, Int64), StoreSpec::timers("sums-timers")]
    }

    fn init(&mut self, context: &mut ProcessorContext<'_, '_, String, i64>) -> Result<(), StreamsError> {
        assert_eq!(context.record_metadata(), None);
        context.schedule(Duration::from_millis(100), PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), StreamsError> {
        let Some(key) = record.key.clone() else {
            return Err(StreamsError::Failed("a row has no key".to_owned()));
        };
        let mut store = context.key_value_store::<String, i64>("sums")?;
        let sum = store.get(&key)?.copied().unwrap_or(0) + record.value.unwrap_or(0);
        store.put(&key, sum)?;
        context.set_timer(PunctuationType::StreamTime, "end", &key, record.timestamp + 10)?;
        if let Some(metadata) = context.record_metadata() {
            let place = i64::try_from(metadata.offset.get()).unwrap();
            assert_eq!((metadata.topic, metadata.partition.get()), ("in", 0));
            assert_eq!(context.stream_time(), Some(record.timestamp));
            context.forward_to("places", record.clone().with_value(place))?;
        }
        context.forward_to("sums", record.with_value(sum))?;
        context.commit();
        Ok(())
    }

    fn punctuate(
        &mut self,
        _punctuation: crate::Punctuation,
        time: i64,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), StreamsError> {
        context.forward(Record::new("tick".to_owned(), time, time))
    }

    fn on_timer(
        &mut self,
        timer: &Timer,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), StreamsError> {
        let key = String::from_utf8(timer.key.clone()).unwrap();
        let sum = context.key_value_store::<String, i64>("sums")?.delete(&key)?;
        context.forward_to("sums", Record::new(key, -sum.unwrap(), timer.time))
    }

    fn row_by_row(&self) -> bool {
        !self.fast
    }
}

fn summing(fast: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let processed = input(&builder).process(move || Summing { fast }, &[]);
    processed.named("sums").filter(|_, _| true).to("sums-out");
    processed.named("places").filter(|_, _| true).to("places-out");
    builder.build().unwrap()
}

#[test]
fn processors_have_stores_timers_punctuations_and_children_by_name() {
    let rows = [("a", 1), ("b", 10), ("a", 2), ("a", 3)];
    for fast in [false, true] {
        for cut in [1, 3, 4] {
            let mut driver = TopologyTestDriver::new(summing(fast), config()).unwrap();
            pipe(&mut driver, cut, &rows);
            let sums = [row("a", 1), row("b", 10), row("a", 3), row("a", 6)];
            assert_eq!(read(&mut driver, "sums-out"), sums, "fast: {fast}, batches of {cut}");
            let places = [row("a", 0), row("b", 1), row("a", 2), row("a", 3)];
            let expected = if fast { &[][..] } else { &places };
            assert_eq!(read(&mut driver, "places-out"), expected, "fast: {fast}");
            driver.advance_wall_clock(Duration::from_millis(100)).unwrap();
            assert_eq!(read(&mut driver, "sums-out"), [row("tick", 100)]);
            assert_eq!(read(&mut driver, "places-out"), [row("tick", 100)]);
            driver.pipe("in", Some(b"c"), Some(&7i64.to_be_bytes()), 12).unwrap();
            assert_eq!(read(&mut driver, "sums-out"), [row("c", 7), row("b", -10)]);
        }
    }
}

#[test]
fn a_failing_record_drops_alone() {
    for fast in [false, true] {
        let mut config = config();
        config.processing_handler = crate::ErrorResponse::Continue;
        let mut driver = TopologyTestDriver::new(summing(fast), config).unwrap();
        let value = 1i64.to_be_bytes();
        let rows = [Some("a"), None, Some("a")];
        let rows: Vec<InputRecord> = (0i64..)
            .zip(rows)
            .map(|(time, key)| InputRecord::new(key.map(str::as_bytes), Some(&value), time))
            .collect();
        driver.pipe_all("in", &rows).unwrap();
        assert_eq!(read(&mut driver, "sums-out"), [row("a", 1), row("a", 2)]);
    }
}

#[test]
fn a_processor_commits_when_it_asks_for_it() {
    let mut config = config();
    config.cache_max_bytes = 1 << 20;
    let mut driver = TopologyTestDriver::new(summing(false), config).unwrap();
    pipe(&mut driver, 2, &[("a", 1), ("a", 2)]);
    let sum = driver.store("sums").unwrap().get(b"a").unwrap().unwrap();
    assert_eq!((sum.value, sum.timestamp), (3i64.to_be_bytes().to_vec(), 1));
}

#[test]
fn stores_are_found_by_name_or_missed() {
    let message = refusal(|builder| {
        input(builder).named("sum").process(|| Summing { fast: true }, &["other"]);
    });
    let expected = "the topology is not valid: node sum asks for the store other, which was not added before";
    assert_eq!(message, expected);
    let message = refusal(|builder| {
        builder.add_state_store(Stores::key_value("alone", Utf8, Int64));
    });
    assert_eq!(message, "the topology is not valid: store alone is not used by any processor");
}

/// Numbers the rows of each key, in a store that was added to the builder.
struct Numbering;

impl FixedKeyProcessor<String, i64> for Numbering {
    type Value = String;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, i64>,
        context: &mut FixedKeyContext<'_, '_, '_, String, String>,
    ) -> Result<(), StreamsError> {
        let key = record.key().cloned().unwrap_or_default();
        let mut store = context.key_value_store::<String, i64>("numbers")?;
        let number = store.get(&key)?.copied().unwrap_or(0) + 1;
        store.put(&key, number)?;
        match record.value {
            Some(value) => context.forward(record.with_value(format!("{number}:{value}"))),
            None => context.forward(record.without_value()),
        }
    }
}

#[test]
fn values_are_processed_without_another_key() {
    let builder = StreamsBuilder::new();
    builder.add_state_store(Stores::key_value("numbers", Utf8, Int64));
    let numbered = input(&builder).process_values(|| Numbering, &["numbers"]);
    // The key is the same, so this needs no repartition topic.
    numbered
        .group_by_key()
        .reduce(|_, value| value.clone(), Materialized::named("last"))
        .to_stream()
        .to("out");
    let topology = builder.build().unwrap();
    assert_eq!(topology.sub_topologies.len(), 1);
    let mut driver = TopologyTestDriver::new(topology, config()).unwrap();
    pipe(&mut driver, 3, &[("a", 5), ("b", 6), ("a", 7)]);
    let out = driver.create_output_topic::<String, String>("out").unwrap();
    let values = out.read_values(&mut driver).unwrap();
    assert_eq!(values.into_iter().flatten().collect::<Vec<_>>(), ["1:5", "1:6", "2:7"]);
}

/// How often a key of the table changed, none for every third time.
struct Changed;

impl ValueTransformer<String, i64> for Changed {
    type Value = i64;

    fn stores() -> Vec<StoreSpec> {
        vec![Stores::key_value("changed", Utf8, Int64)]
    }

    fn transform(
        &mut self,
        key: &String,
        value: Option<&i64>,
        context: &mut ProcessingContext<'_, '_>,
    ) -> Result<Option<i64>, StreamsError> {
        let mut store = context.key_value_store::<String, i64>("changed")?;
        let times = store.get(key)?.copied().unwrap_or(0) + 1;
        store.put(key, times)?;
        Ok((times % 3 != 0).then_some(times * 10 + i64::from(value.is_none())))
    }
}

#[test]
fn tables_are_transformed_once_per_change() {
    for (kept, grouped) in [(false, false), (true, false), (false, true)] {
        let builder = StreamsBuilder::new();
        let table = builder.table::<String, i64>("in", Consumed::with(Utf8, Int64));
        let mut table = table.transform_values(|| Changed, &[]);
        if kept {
            table = table.materialized(Materialized::named("kept"));
        }
        if grouped {
            // Takes old values out, so they must be what was there before.
            let sums = table.group_by(|_, value| ("all".to_owned(), *value));
            table =
                sums.reduce(|sum, value| sum + value, |sum, value| sum - value, Materialized::named("sum"));
        }
        table.to_stream().to("out");
        let mut driver = driver(builder);
        for (time, (key, value)) in
            (0i64..).zip([("a", Some(1)), ("a", None), ("b", Some(1)), ("a", Some(1))])
        {
            let value = value.map(i64::to_be_bytes);
            let value = value.as_ref().map(<[u8; 8]>::as_slice);
            driver.pipe("in", Some(key.as_bytes()), value, time).unwrap();
        }
        let out = driver.create_output_topic::<String, i64>("out").unwrap();
        let values = out.read_values(&mut driver).unwrap();
        let expected = match grouped {
            false => [Some(10), Some(21), Some(10), None],
            true => [Some(10), Some(21), Some(31), Some(10)],
        };
        assert_eq!(values, expected, "kept: {kept}, grouped: {grouped}");
        if kept {
            assert_eq!(driver.store("kept").unwrap().get(b"a").unwrap(), None);
            assert_eq!(driver.store("kept").unwrap().get(b"b").unwrap().unwrap().value, 10i64.to_be_bytes());
        }
    }
}

#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_are_printed() {
    let shown = Shown::default();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.txt");
    let builder = StreamsBuilder::new();
    input(&builder).print(Printed::to_writer(shown.clone()));
    let mapped = Printed::to_file(&file).unwrap();
    input(&builder).print(mapped.label("sums").mapper(|key, value| format!("{} is {value}", key.unwrap())));
    let mut driver = driver(builder);
    pipe(&mut driver, 2, &[("a", 1), ("b", 2)]);
    driver.pipe("in", Some(b"c"), None, 3).unwrap();
    let expected = ["\"a\", 1", "\"b\", 2", "\"c\", null"];
    let expected = expected.map(|row| format!("[KSTREAM-SOURCE-0000000000]: {row}\n")).concat();
    assert_eq!(String::from_utf8(shown.0.lock().unwrap().clone()).unwrap(), expected);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "[sums]: a is 1\n[sums]: b is 2\n");
}

#[test]
fn a_topic_is_chosen_for_every_row() {
    let builder = StreamsBuilder::new();
    input(&builder).to_dynamic(|key, value, context| {
        assert_eq!((context.topic, context.partition), (Some("in"), Some(PartitionId::new(0))));
        let kind = if value.is_some() { "value" } else { "deletion" };
        format!("{kind}-{}{}", key.unwrap(), context.headers.len())
    });
    let topology = builder.build().unwrap();
    assert!(topology.describe().contains("(extractor class: "), "{}", topology.describe());
    let mut driver = TopologyTestDriver::new(topology, config()).unwrap();
    let topics = ["value-a0", "value-b0", "deletion-a0", "value-a1"];
    let outputs = topics.map(|topic| driver.create_output_topic::<String, i64>(topic).unwrap());
    pipe(&mut driver, 3, &[("a", 1), ("b", 2), ("a", 3)]);
    driver.pipe("in", Some(b"a"), None, 4).unwrap();
    let headers = vec![Header { key: "h".to_owned(), value: None }];
    let record = Record::new("a".to_owned(), 5, 5).with_headers(headers.clone());
    let mut topic = driver.create_input_topic::<String, i64>("in").unwrap();
    topic.pipe_record(&mut driver, record).unwrap();
    let values = [vec![Some(1), Some(3)], vec![Some(2)], vec![None], vec![Some(5)]];
    for (output, expected) in outputs.iter().zip(values) {
        let records = output.read_records(&mut driver).unwrap();
        assert_eq!(records.iter().map(|record| record.value).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_row_whose_topic_is_missing_is_left_to_the_handler() {
    let topology = || {
        let builder = StreamsBuilder::new();
        input(&builder).named("away").to_dynamic(|key, _, _| key.cloned().unwrap());
        builder.build().unwrap()
    };
    let mut driver = TopologyTestDriver::new(topology(), config()).unwrap();
    let value = 1i64.to_be_bytes();
    let error = driver.pipe("in", Some(b"there"), Some(&value), 0).unwrap_err();
    assert_eq!(
        crate::full_message(&error),
        "task 0_0 failed at node away: topic \"there\" of node away does not exist: create it before the application \
         starts"
    );
    let mut config = config();
    config.production_handler = crate::ErrorResponse::Continue;
    let mut driver = TopologyTestDriver::new(topology(), config).unwrap();
    let here = driver.create_output_topic::<String, i64>("here").unwrap();
    pipe(&mut driver, 4, &[("there", 1), ("here", 2), ("there", 3), ("here", 4)]);
    assert_eq!(here.read_values(&mut driver).unwrap(), [Some(2), Some(4)]);
    assert_eq!(driver.metrics().unencodable, 2);
}

#[test]
fn partitions_are_chosen_for_every_row() {
    let build = |through: bool| {
        let builder = StreamsBuilder::new();
        let choose = move |topic: &str, _: Option<&String>, value: Option<&i64>, partitions: u32| {
            assert_eq!((topic, partitions), (if through { "app-spread-repartition" } else { "out" }, 4));
            match value.copied() {
                Some(value @ 0..=9) => Partitions::from(u32::try_from(value).unwrap()),
                Some(10) => vec![1, 2].into(),
                Some(11) => vec![].into(),
                _ => Partitions::ByKey,
            }
        };
        let stream = input(&builder);
        match through {
            true => {
                let spread = Repartitioned::named("spread").partitions(4).partitioner(choose);
                // The partition of the task shows which way a row went.
                stream
                    .repartition(spread)
                    .to_with("out", Produced::with(Utf8, Int64).partitioner(|_, _, _, _| None));
            }
            false => stream.to_with("out", Produced::with(Utf8, Int64).partitioner(choose).named("sink")),
        }
        builder.build().unwrap()
    };
    let rows: Vec<InputRecord> = [3, 0, 10, 11, 12, 3]
        .iter()
        .map(|value: &i64| InputRecord::new(Some(b"key"), Some(&value.to_be_bytes()), *value))
        .collect();
    let by_key = millstream_log::partition_for_key(b"key", 4).get();
    let mut driver = TopologyTestDriver::with_partitions(build(false), config(), 4).unwrap();
    driver.pipe_all("in", &rows).unwrap();
    let mut placed: Vec<(u32, i64)> =
        driver.read("out").unwrap().iter().map(|record| (record.partition.get(), record.timestamp)).collect();
    placed.sort_unstable();
    let mut expected = vec![(0, 0), (1, 10), (2, 10), (3, 3), (3, 3), (by_key, 12)];
    expected.sort_unstable();
    assert_eq!(placed, expected);
    let mut driver = TopologyTestDriver::with_partitions(build(true), config(), 4).unwrap();
    driver.pipe_all("in", &rows).unwrap();
    assert_eq!(driver.read("out").unwrap().len(), 6);
    let log = driver.log();
    let ends = [0, 1, 2, 3].map(|partition| {
        let partition = millstream_log::TopicPartition::new("app-spread-repartition", partition);
        log.offsets(&partition, millstream_log::OffsetSpec::Latest).unwrap().get()
    });
    let mut expected = [1, 1, 1, 2];
    expected[by_key as usize] += 1;
    assert_eq!(ends, expected);
    let error = driver.pipe("in", Some(b"k"), Some(&7i64.to_be_bytes()), 0).unwrap_err();
    let message = crate::full_message(&error);
    assert!(
        message.ends_with("topic app-spread-repartition has 4 partitions, so no partition 7"),
        "{message}"
    );
}

#[test]
fn graphs_are_built_node_by_node() {
    let mut topology = TopologyBuilder::new();
    topology
        .add_record_source("source", ["in", "more"], Consumed::<String, i64>::with(Utf8, Int64))
        .add_record_processor("sum", || Summing { fast: false }, &["source"], &[])
        .add_record_processor("sums", || Pass, &["sum"], &[])
        .add_record_processor("places", || Pass, &["sum"], &[])
        .add_record_sink("sink", "out", Produced::<String, i64>::with(Utf8, Int64), &["sums"])
        .add_dynamic_record_sink(
            "away",
            |_, _, _| "away",
            Produced::<String, i64>::with(Utf8, Int64),
            &["places"],
        );
    let mut driver = TopologyTestDriver::new(topology.build().unwrap(), config()).unwrap();
    let away = driver.create_output_topic::<String, i64>("away").unwrap();
    pipe(&mut driver, 3, &[("a", 1), ("b", 10), ("a", 2)]);
    assert_eq!(read(&mut driver, "out"), [row("a", 1), row("b", 10), row("a", 3)]);
    assert_eq!(away.read_to_map(&mut driver).unwrap(), [row("a", 2), row("b", 1)].into());
}

/// Forwards what comes.
struct Pass;

impl RecordProcessor<String, i64> for Pass {
    type Key = String;
    type Value = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), StreamsError> {
        context.forward(record)
    }

    fn row_by_row(&self) -> bool {
        false
    }
}

#[test]
fn test_topics_keep_time_and_count() {
    let builder = StreamsBuilder::new();
    input(&builder).to("out");
    let mut driver = driver(builder);
    driver.advance_wall_clock(Duration::from_millis(5)).unwrap();
    let input = driver.create_input_topic::<String, i64>("in").unwrap();
    let mut input = input.auto_advance(Duration::from_millis(10));
    let output = driver.create_output_topic_with::<String, i64>("out", Utf8, Int64).unwrap();
    input.pipe(&mut driver, "a".to_owned(), 1).unwrap();
    input.pipe_value(&mut driver, 2).unwrap();
    input.advance_time(Duration::from_millis(100));
    input.pipe_deletion(&mut driver, "b".to_owned()).unwrap();
    input.pipe_at(&mut driver, "c".to_owned(), 4, 7).unwrap();
    input.pipe_values(&mut driver, [5, 6]).unwrap();
    assert_eq!(output.queue_size(&mut driver).unwrap(), 6);
    let first = output.read_record(&mut driver).unwrap().unwrap();
    assert_eq!(first, Record::new("a".to_owned(), 1, 5));
    assert_eq!(output.read_key_value(&mut driver).unwrap(), Some((None, Some(2))));
    assert_eq!(output.read_value(&mut driver).unwrap(), Some(None));
    let times: Vec<i64> =
        output.read_records(&mut driver).unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [7, 135, 145]);
    assert!(output.is_empty(&mut driver).unwrap());
    assert_eq!(output.read_record(&mut driver).unwrap(), None);
    let mut early = driver.create_input_topic::<String, i64>("in").unwrap().start_at(3);
    early.pipe_records(&mut driver, [Record::new("x".to_owned(), 1, 1)]).unwrap();
    early.pipe(&mut driver, "y".to_owned(), 2).unwrap();
    let times: Vec<i64> =
        output.read_records(&mut driver).unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [1, 3]);
}
