//! File sinks.

use std::fs;

use millstream_connect::ConnectorConfig;
use millstream_log::{Log, NewTopic};

use crate::{Place, consume, file_sink, file_source, produce, text, values, wait_until};

fn topic(log: &Log, partitions: u32) {
    log.create_topic(NewTopic::new("t").partitions(partitions)).expect("created");
}

#[test]
fn csv_survives_the_topic() {
    let place = Place::new();
    let rows = "id,name,price\n1,\"a, b\",2.5\n2,,-1.0\n3,\"say \"\"hi\"\"\",NA\n";
    let file = place.write("a.csv", rows);
    let (_, worker) = place.worker();
    worker.run_to_end(file_source(&file)).expect("runs to its end");
    let out = place.path("out.csv");
    worker.run_to_end(file_sink(&out)).expect("catches up");
    assert_eq!(place.read("out.csv"), rows.replace("NA", ""));
    // The second time the columns come from the header.
    place.append("a.csv", "4,more,0.5\n");
    worker.run_to_end(file_source(&file)).expect("runs to its end");
    worker.run_to_end(file_sink(&out)).expect("catches up");
    assert!(place.read("out.csv").ends_with("NA\n4,more,0.5\n".trim_start_matches("NA")));
}

#[test]
fn lines_are_written_as_the_values_are() {
    let place = Place::new();
    let (log, worker) = place.worker();
    topic(&log, 1);
    produce(&log, "t", &[None, Some("{ \"a\" : [1, 2] }"), Some("\"text\""), Some("12")]);
    let out = place.path("json.txt");
    let sink = |name: &str, out: &std::path::Path| {
        ConnectorConfig::new(name)
            .with("connector.class", "FileStreamSink")
            .with("file", text(out))
            .with("topics", "t")
    };
    worker.run_to_end(sink("json", &out)).expect("catches up");
    assert_eq!(place.read("json.txt"), "null\n{\"a\":[1,2]}\ntext\n12\n");
    let out = place.path("text.txt");
    worker.run_to_end(sink("text", &out).with("value.converter", "StringConverter")).expect("catches up");
    assert_eq!(place.read("text.txt"), "null\n{ \"a\" : [1, 2] }\n\"text\"\n12\n");
}

#[test]
fn values_that_are_no_json_stop_the_task_or_go_to_the_dead_letters() {
    let place = Place::new();
    let (log, worker) = place.worker();
    topic(&log, 1);
    produce(&log, "t", &[Some("1"), Some("{broken"), Some("3")]);
    let out = place.path("out.jsonl");
    let error = worker.run_to_end(file_sink(&out)).expect_err("offset 1 is no JSON").to_string();
    assert!(
        error.contains("t-0 at offset 1: malformed JSON at byte 1: expected a name in quotes"),
        "{error}"
    );
    let config = file_sink(&out)
        .with("errors.tolerance", "all")
        .with("errors.deadletterqueue.topic.name", "dead")
        .with("errors.deadletterqueue.context.headers.enable", "true");
    let progress = worker.run_to_end(config).expect("catches up");
    assert_eq!((progress.records, progress.skipped, progress.lag), (2, 1, Some(0)));
    assert_eq!(place.read("out.jsonl"), "1\n3\n");
    assert_eq!(values(&log, "dead"), ["{broken"]);
}

#[test]
fn a_running_sink_follows_several_partitions() {
    let place = Place::new();
    let (log, worker) = place.worker();
    topic(&log, 3);
    let out = place.path("out.jsonl");
    let handle = worker.start(file_sink(&out)).expect("starts");
    let error = worker.start(file_sink(&out)).err().expect("it runs already");
    assert_eq!(error.to_string(), "connector \"sink\" is already running: stop it first");
    for round in 1..=3u64 {
        let numbers: Vec<String> = (0..10).map(|number| (10 * round + number).to_string()).collect();
        produce(&log, "t", &numbers.iter().map(|number| Some(number.as_str())).collect::<Vec<_>>());
        wait_until(&handle, "ten more lines", || {
            // The sink makes its file with the first record.
            let lines = fs::read_to_string(&out).map_or(0, |text| text.lines().count() as u64);
            lines == 10 * round && handle.progress().lag == Some(0)
        });
    }
    handle.stop();
    assert_eq!(handle.wait().expect("stops").records, 30);
    let mut lines: Vec<u64> =
        place.read("out.jsonl").lines().map(|line| line.parse().expect("a number")).collect();
    lines.sort_unstable();
    assert_eq!(lines, (10..40).collect::<Vec<_>>());
    assert_eq!(consume(&log, "t").len(), 30);
}

#[test]
fn a_sink_needs_its_topics() {
    let place = Place::new();
    let (_, worker) = place.worker();
    let error = worker.start(file_sink(&place.path("out.jsonl"))).err().expect("there is no topic");
    assert_eq!(error.to_string(), "unknown topic \"t\"");
}
