//! Restarts and crashes: nothing is lost, nothing is doubled.

use std::fmt::Write as _;

use millstream_log::{Log, ProducerConfig};

use crate::{Place, consume, file_sink, file_source, values};

fn rows(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number},name {number}");
        text
    })
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"id\":{number},\"name\":\"name {number}\"}}")).collect()
}

#[test]
fn a_source_goes_on_where_it_stopped() {
    let place = Place::new();
    let file = place.write("a.csv", &format!("id,name\n{}", rows(0..100)));
    for count in [100, 100, 150, 151] {
        let (log, worker) = place.worker();
        let before = if log.describe_topic("t").is_ok() { values(&log, "t").len() } else { 0 };
        if count > before && before > 0 {
            place.append("a.csv", &rows(before..count));
        }
        let progress =
            worker.run_to_end(file_source(&file).with("batch.size", "7")).expect("runs to its end");
        assert_eq!(progress.records as usize, count - before);
        assert_eq!(values(&log, "t"), expected(count));
    }
}

#[test]
fn a_stop_in_the_middle_loses_and_doubles_nothing() {
    let place = Place::new();
    let file = place.write("a.csv", &format!("id,name\n{}", rows(0..5000)));
    let config = file_source(&file).with("batch.size", "10");
    for _ in 0..3 {
        let (_, worker) = place.worker();
        let handle = worker.start(config.clone()).expect("starts");
        let seen = handle.progress().records;
        crate::wait_until(&handle, "a batch", || handle.progress().records > seen || handle.is_finished());
        // The worker stops its connectors when it goes.
    }
    let (log, worker) = place.worker();
    worker.run_to_end(config).expect("runs to its end");
    assert_eq!(values(&log, "t"), expected(5000));
}

/// What a kill leaves: records and the offset of a batch in a transaction that was never committed.
#[test]
fn a_batch_that_was_not_committed_is_read_again() {
    let place = Place::new();
    let file = place.write("a.csv", &format!("id,name\n{}", rows(0..20)));
    let config = file_source(&file).with("batch.size", "10");
    {
        let (log, worker) = place.worker();
        worker.run_to_end(config.clone()).expect("runs to its end");
        place.append("a.csv", &rows(20..30));
        torn_batch(&log, &crate::text(&file));
        assert_eq!(values(&log, "t").len(), 20, "an open transaction is not seen");
    }
    let (log, worker) = place.worker();
    worker.run_to_end(config).expect("runs to its end");
    assert_eq!(values(&log, "t"), expected(30));
}

fn torn_batch(log: &Log, file: &str) {
    let config = ProducerConfig::default().transactional_id("connect-source-0");
    let mut producer = log.producer(config).expect("a producer");
    producer.begin_transaction().expect("begins");
    let (topic, offsets) =
        (producer.topic("t").expect("there"), producer.topic("connect-offsets").expect("there"));
    let key = format!("[\"source\",{{\"filename\":\"{file}\"}}]");
    producer.append(topic, None, None, None, Some(b"torn"), &[]).expect("appended");
    producer
        .append(offsets, None, None, Some(key.as_bytes()), Some(b"{\"position\":1000000}"), &[])
        .expect("appended");
    producer.flush().expect("flushed");
}

#[test]
fn guessed_types_stay_after_a_restart() {
    let place = Place::new();
    // Only the first run sees a whole file of numbers; the offset remembers that it did.
    let file = place.write("a.csv", "id\n1\n");
    let (_, worker) = place.worker();
    worker.run_to_end(file_source(&file).with("schema.sample.rows", "10")).expect("runs to its end");
    place.append("a.csv", "x\n");
    let error =
        worker.run_to_end(file_source(&file).with("schema.sample.rows", "10")).expect_err("id is a BIGINT");
    assert!(error.to_string().contains("a.csv:3: column id: \"x\" is not a BIGINT"), "{error}");
}

#[test]
fn a_sink_goes_on_where_its_file_ends() {
    let place = Place::new();
    let file = place.write("a.csv", &format!("id,name\n{}", rows(0..50)));
    let out = place.path("out.jsonl");
    for count in [50, 80] {
        let (_, worker) = place.worker();
        if count > 50 {
            place.append("a.csv", &rows(50..count));
        }
        worker.run_to_end(file_source(&file).with("batch.size", "9")).expect("runs to its end");
        worker.run_to_end(file_sink(&out)).expect("catches up");
        worker.run_to_end(file_sink(&out)).expect("has nothing to do");
        assert_eq!(place.read("out.jsonl").lines().collect::<Vec<_>>(), expected(count));
    }
}

/// What a kill leaves: lines behind the flushed length, and perhaps group offsets that were not committed.
#[test]
fn a_sink_cuts_off_what_it_had_not_flushed() {
    let place = Place::new();
    let (log, worker) = place.worker();
    log.create_topic(millstream_log::NewTopic::new("t").partitions(1)).expect("created");
    crate::produce(&log, "t", &[Some("1"), Some("2")]);
    let out = place.path("out.jsonl");
    worker.run_to_end(file_sink(&out)).expect("catches up");
    place.append("out.jsonl", "3\nhalf a li");
    crate::produce(&log, "t", &[Some("3"), Some("4")]);
    worker.run_to_end(file_sink(&out)).expect("catches up");
    assert_eq!(place.read("out.jsonl"), "1\n2\n3\n4\n");
    assert_eq!(consume(&log, "t").len(), 4);
    let committed = log.committed_offsets("connect-sink");
    assert_eq!(committed.iter().map(|(_, committed)| committed.offset.get()).collect::<Vec<_>>(), [4]);
}
