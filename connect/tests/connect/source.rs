//! File sources.

use std::{fs::File, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use millstream_connect::{
    ConfigKey, ConnectError, ConnectorConfig, Polled, Settings, SourceConnector, SourceOffset,
    SourcePartition, SourceProgress, SourceSchema, SourceTask, State,
};
use millstream_log::OffsetSpec;

use crate::{Line, Place, consume, file_source, text, values, wait_until};

const FLIGHTS: &str = "carrier,flight,dep_delay,time_hour,note\n\
    UA,1545,2,2013-01-01T10:00:00Z,plain\n\
    AA,1141,NA,2013-01-01T11:00:00Z,\"with, comma and \"\"quote\"\"\"\n\
    B6,725,-1,2013-01-01T12:00:00Z,\"two\nlines\"\n";

#[test]
fn csv_rows_become_records_with_key_and_time() {
    let place = Place::new();
    let file = place.write("flights.csv", FLIGHTS);
    let (log, worker) = place.worker();
    let config = file_source(&file)
        .with("key.field", "carrier")
        .with("timestamp.field", "time_hour")
        .with("topic.partitions", "1");
    let progress = worker.run_to_end(config).expect("runs to its end");
    assert_eq!((progress.records, progress.skipped), (3, 0));
    assert_eq!(
        (progress.bytes_done, progress.bytes_total),
        (FLIGHTS.len() as u64, Some(FLIGHTS.len() as u64))
    );
    let line = |key: &str, hour: i64, value: &str| Line {
        key: Some(key.into()),
        value: Some(value.into()),
        timestamp: 1_357_034_400_000 + (hour - 10) * 3_600_000,
    };
    assert_eq!(
        consume(&log, "t"),
        [
            line(
                "UA",
                10,
                r#"{"carrier":"UA","flight":1545,"dep_delay":2,"time_hour":"2013-01-01T10:00:00Z","note":"plain"}"#
            ),
            line(
                "AA",
                11,
                r#"{"carrier":"AA","flight":1141,"dep_delay":null,"time_hour":"2013-01-01T11:00:00Z","note":"with, comma and \"quote\""}"#
            ),
            line(
                "B6",
                12,
                r#"{"carrier":"B6","flight":725,"dep_delay":-1,"time_hour":"2013-01-01T12:00:00Z","note":"two\nlines"}"#
            ),
        ]
    );
}

#[test]
fn types_come_from_the_schema_and_other_formats_are_written() {
    let place = Place::new();
    let file = place.write("a.csv", "7;2.50;true;2013-01-01\n8;;false;1970-01-02\n");
    let (log, worker) = place.worker();
    let config = file_source(&file)
        .with("csv.header", "false")
        .with("csv.delimiter", ";")
        .with("schema", "id INT, fare DECIMAL(6, 2), late BOOLEAN, day DATE")
        .with("key.field", "id")
        .with("key.converter", "org.apache.kafka.connect.converters.IntegerConverter")
        .with("value.converter", "DELIMITED");
    worker.run_to_end(config).expect("runs to its end");
    let lines = consume(&log, "t");
    assert_eq!(lines[0].key.as_deref(), Some("\0\0\0\u{7}"));
    let values: Vec<_> = lines.into_iter().filter_map(|line| line.value).collect();
    assert_eq!(values, ["7,2.50,true,15706", "8,,false,1"]);
}

#[test]
fn gzip_and_json_lines_are_read() {
    let place = Place::new();
    let path = place.path("a.jsonl.gz");
    let mut encoder = GzEncoder::new(File::create(&path).expect("writable"), Compression::default());
    let lines =
        "{\"id\": 1, \"extra\": {\"deep\": [1]}, \"at\": 5}\n\n{\"id\": 2, \"at\": \"1970-01-01T00:00:01Z\"}";
    encoder.write_all(lines.as_bytes()).expect("writable");
    encoder.finish().expect("writable");
    let (log, worker) = place.worker();
    let config = file_source(&path).with("key.field", "id").with("timestamp.field", "at");
    let progress = worker.run_to_end(config).expect("runs to its end");
    assert_eq!(progress.bytes_total, Some(progress.bytes_done));
    let line = |key: &str, timestamp, value: &str| Line {
        key: Some(key.into()),
        value: Some(value.into()),
        timestamp,
    };
    assert_eq!(
        consume(&log, "t"),
        [
            line("1", 5, "{\"id\": 1, \"extra\": {\"deep\": [1]}, \"at\": 5}"),
            line("2", 1000, "{\"id\": 2, \"at\": \"1970-01-01T00:00:01Z\"}"),
        ]
    );
}

#[test]
fn records_without_a_time_of_their_own_take_the_default() {
    let place = Place::new();
    let file = place.write("a.csv", "id\n1\n2\n");
    let (log, worker) = place.worker();
    worker.run_to_end(file_source(&file).with("timestamp.default", "1970-01-01T00:00:05Z")).expect("runs");
    let times: Vec<_> = consume(&log, "t").iter().map(|line| line.timestamp).collect();
    assert_eq!(times, [5_000, 5_000]);
}

#[test]
fn json_lines_are_read_into_a_schema() {
    let place = Place::new();
    let file = place.write("a.json", "{\"id\": 1, \"name\": \"x\", \"more\": 2}\n{\"name\": 5}\n");
    let (log, worker) = place.worker();
    let config = file_source(&file).with("schema", "id BIGINT, name STRING").with("key.field", "id");
    worker.run_to_end(config).expect("runs to its end");
    assert_eq!(values(&log, "t"), [r#"{"id":1,"name":"x"}"#, r#"{"id":null,"name":"5"}"#]);
}

#[test]
fn rows_that_do_not_fit_stop_the_task_or_are_skipped() {
    let place = Place::new();
    for (name, text, expected) in [
        ("few.csv", "a,b\n1,2\n3\n4,5\n", "few.csv:3: expected 2 columns, found 1"),
        ("many.csv", "a,b\n\n1,2\n3,4,5\n", "many.csv:4: expected 2 columns, found 3"),
        ("type.csv", "a,b\n1,2\n\"x\ny\",2\n", "type.csv:3: column a: \"x\\ny\" is not a INTEGER"),
        ("bad.json", "{\"a\": 1}\n{\"a\": }\n", "bad.json:2: malformed JSON at byte 6: expected a value"),
        ("null.json", "null\n{\"a\": 1}\n", "null.json:1: null is not an object"),
    ] {
        let file = place.write(name, text);
        let topic = format!("topic-{name}");
        let (log, worker) = place.worker();
        let mut config = file_source(&file).with("topic", &topic);
        if name == "type.csv" {
            config.set("schema", "a INT, b INT");
        }
        let error = worker.run_to_end(config.clone()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n  instead of\n{expected}");
        assert!(error.contains("errors.tolerance=all"), "{error}");
        assert!(matches!(worker.status()[0].state, State::Failed(_)));
        assert_eq!(values(&log, &topic), [""; 0], "a failed batch is not in the topic");

        let progress =
            worker.run_to_end(config.with("errors.tolerance", "all")).expect("bad rows are skipped");
        assert_eq!((progress.skipped, values(&log, &topic).len() as u64), (1, progress.records), "{name}");
        assert!(progress.records > 0);
    }
}

#[test]
fn settings_that_do_not_fit_the_file_say_so() {
    let place = Place::new();
    let file = place.write("a.csv", "id,name\n1,x\n");
    let empty = place.write("empty.csv", "");
    let twice = place.write("twice.csv", "id,name,id\n1,x,2\n");
    let (_, worker) = place.worker();
    for (config, expected) in [
        (
            file_source(&file).with("key.field", "key"),
            "invalid value \"key\" for key.field: the columns are id, name",
        ),
        (
            file_source(&file).with("schema", "id INT"),
            "its header has 2 columns, but schema gives 1: make them the same",
        ),
        (file_source(&empty), "it has no header line: write one, or set csv.header=false"),
        (file_source(&twice), "its header names \"id\" twice: rename one of the columns"),
        (file_source(&place.path("none.csv")), "could not open"),
        (
            file_source(&file).with("value.converter", "StringConverter"),
            "value.converter cannot carry these columns: The 'KAFKA' format only supports a single field",
        ),
        (
            file_source(&file).with("timestamp.field", "name"),
            "column name: \"x\" is not a time as timestamp.format says",
        ),
        (
            file_source(&file).with("timestamp.default", "long ago"),
            "invalid value \"long ago\" for timestamp.default: it takes a time such as 2013-01-01T10:00:00Z",
        ),
        (
            file_source(&file).with("timestamp.field", "id").with("timestamp.default", "0"),
            "for timestamp.default: the times come from timestamp.field: leave one of them out",
        ),
    ] {
        let error = worker.run_to_end(config).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n  instead of\n{expected}");
    }
}

#[test]
fn a_stream_of_lines_is_followed() {
    let place = Place::new();
    let file = place.write("a.txt", "one\r\ntwo\nthr");
    let (log, worker) = place.worker();
    let config = ConnectorConfig::new("lines")
        .with("connector.class", "FileStreamSource")
        .with("file", text(&file))
        .with("topic", "t")
        .with("value.converter", "org.apache.kafka.connect.storage.StringConverter");
    let handle = worker.start(config).expect("starts");
    wait_until(&handle, "the first lines", || handle.progress().records == 2);
    assert_eq!(values(&log, "t"), ["one", "two"]);
    place.append("a.txt", "ee\n");
    wait_until(&handle, "the third line", || handle.progress().records == 3);
    assert_eq!(values(&log, "t"), ["one", "two", "three"]);
    let offsets = consume(&log, "connect-offsets");
    let last = offsets.last().expect("an offset per batch");
    assert_eq!(last.key, Some(format!("[\"lines\",{{\"filename\":\"{}\"}}]", text(&file))));
    assert!(
        last.value
            .as_deref()
            .is_some_and(|value| value.starts_with("{") && value.contains("\"position\":15"))
    );
    handle.stop();
    handle.wait().expect("stops");
}

#[test]
fn a_growing_csv_yields_only_whole_rows() {
    let place = Place::new();
    let file = place.write("a.csv", "id,text\n1,\"a\nb\"\n2,\"c\n");
    let (log, worker) = place.worker();
    let handle = worker.start(file_source(&file).with("follow", "true")).expect("starts");
    wait_until(&handle, "the first row", || handle.progress().records == 1);
    place.append("a.csv", "d\"\n3,e");
    wait_until(&handle, "the second row", || handle.progress().records == 2);
    place.append("a.csv", "f\n");
    wait_until(&handle, "the third row", || handle.progress().records == 3);
    assert_eq!(
        values(&log, "t"),
        [r#"{"id":1,"text":"a\nb"}"#, r#"{"id":2,"text":"c\nd"}"#, r#"{"id":3,"text":"ef"}"#]
    );
}

/// A source that panics.
struct Faulty;

impl SourceConnector for Faulty {
    fn class_names(&self) -> &'static [&'static str] {
        &["Faulty"]
    }

    fn config_keys(&self) -> &'static [ConfigKey] {
        &[]
    }

    fn task_settings(&self, settings: &Settings, _tasks_max: usize) -> Result<Vec<Settings>, ConnectError> {
        Ok(vec![settings.clone()])
    }

    fn task(&self, _settings: Settings) -> Result<Box<dyn SourceTask>, ConnectError> {
        Ok(Box::new(Self))
    }
}

impl SourceTask for Faulty {
    fn partition(&self) -> SourcePartition {
        SourcePartition::new()
    }

    fn start(&mut self, _offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError> {
        panic!("a bug in a connector")
    }

    fn poll(&mut self) -> Result<Polled, ConnectError> {
        Ok(Polled::End)
    }

    fn progress(&self) -> SourceProgress {
        SourceProgress::default()
    }
}

#[test]
fn a_panic_fails_its_task_only() {
    let place = Place::new();
    let file = place.write("a.csv", "id\n1\n");
    let (log, mut worker) = place.worker();
    worker.register_source(Faulty);
    let error = worker
        .run_to_end(ConnectorConfig::new("f").with("connector.class", "Faulty"))
        .expect_err("it panics");
    assert_eq!(
        error.to_string(),
        "task 0 of connector \"f\" failed: the task panicked: a bug in a connector"
    );
    worker.run_to_end(file_source(&file)).expect("others still run");
    let topic = log.describe_topic("t").expect("it was created");
    let partition = millstream_log::TopicPartition { topic: topic.name, partition: 0.into() };
    assert!(log.offsets(&partition, OffsetSpec::Latest).expect("readable").get() > 0);
}
