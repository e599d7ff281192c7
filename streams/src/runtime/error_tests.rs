//! Records that do not decode, rows that fail, records that the log does not take: handlers, dead letters, policies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::{
    Header, Log, ManualClock, NewTopic, Producer, ProducerConfig, Record, SystemClock, Timestamp,
};

use crate::batch::{Batch, downcast};
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, OutputRecord, TopologyTestDriver};
use crate::dsl::{Records, codec};
use crate::error::{StreamsError, full_message};
use crate::handler::{ErrorResponse, ErrorStage, UncaughtResponse};
use crate::processor::{Context, Processor};
use crate::runtime::app::Streams;
use crate::runtime::shared::{Components, State};
use crate::serde::{Int64, Utf8};
use crate::topology::{SourceOptions, Topology, TopologyBuilder};

/// Passes rows on and fails on negative values, after those before were passed.
struct Picky;

impl Processor for Picky {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut rows = downcast::<Records<String, i64>>(batch)?;
        for row in 0..rows.len() {
            match rows.values[row] {
                Some(value) if value < 0 => {
                    let good = rows.split_front(row);
                    context.forward(good)?;
                    return Err(StreamsError::Failed(format!("{value} is negative")));
                }
                _ => {}
            }
        }
        context.forward(rows)
    }
}

fn picky() -> Topology {
    let mut topology = TopologyBuilder::new();
    let (keys, values) = (Arc::new(Utf8), Arc::new(Int64));
    let decoder = codec::decoder(keys.clone(), values.clone(), None);
    topology.add_source("source", ["in"], decoder, SourceOptions::default());
    topology.add_processor("picky", Arc::new(|| Box::new(Picky)), &["source"], &[]);
    topology.add_sink("sink", "out", codec::encoder(keys, values), &["picky"]);
    topology.build().unwrap()
}

fn config(properties: &[(&str, &str)]) -> StreamsConfig {
    let all = [("application.id", "app"), ("processing.guarantee", "exactly_once_v2")];
    StreamsConfig::from_properties(all.iter().chain(properties).copied()).unwrap()
}

fn driver(config: StreamsConfig, components: Components) -> TopologyTestDriver {
    let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
    let log = Log::in_memory(clock.clone());
    for topic in ["in", "out", "dead"] {
        // The output takes no record of more than 500 bytes.
        let bytes = if topic == "out" { "500" } else { "100000" };
        log.create_topic(NewTopic::new(topic).config("max.message.bytes", bytes)).unwrap();
    }
    TopologyTestDriver::with_components(picky(), config, log, clock, components).unwrap()
}

fn good(value: i64) -> InputRecord {
    InputRecord::new(Some(b"k"), Some(&value.to_be_bytes()), value.abs())
}

fn bad(time: i64) -> InputRecord {
    let headers = vec![Header { key: "trace".to_owned(), value: Some("7".into()) }];
    InputRecord { headers, ..InputRecord::new(Some(b"k"), Some(b"bad"), time) }
}

fn values(driver: &mut TopologyTestDriver) -> Vec<i64> {
    let value = |record: OutputRecord| i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
    driver.read("out").unwrap().into_iter().map(value).collect()
}

fn header(record: &OutputRecord, name: &str) -> Option<String> {
    let found = record.headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value.clone().unwrap().to_vec()).unwrap())
}

#[test]
fn by_default_a_record_that_does_not_decode_ends_the_thread_after_those_before_it() {
    let mut driver = driver(config(&[]), Components::default());
    let error = driver.pipe_all("in", &[good(1), good(2), bad(3), good(4)]).unwrap_err();
    assert_eq!(full_message(&error), "task 0_0 failed at node source: value: 3 bytes where i64 has 8");
    assert_eq!(driver.metrics().records_in, 2);
}

#[test]
fn records_that_do_not_decode_become_dead_letters_where_they_stand() {
    for cut in [1, 2, 5] {
        let properties = [
            ("deserialization.exception.handler", "continue"),
            ("errors.dead.letter.queue.topic.name", "dead"),
        ];
        let mut driver = driver(config(&properties), Components::default());
        for chunk in [bad(0), good(1), bad(2), bad(3), good(4)].chunks(cut) {
            driver.pipe_all("in", chunk).unwrap();
        }
        driver.commit().unwrap();
        assert_eq!(values(&mut driver), [1, 4], "cut {cut}");
        let dead = driver.read("dead").unwrap();
        assert_eq!(dead.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [0, 2, 3], "cut {cut}");
        let letter = &dead[1];
        assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"k"[..]), Some(&b"bad"[..])));
        for (name, value) in [
            ("trace", "7"),
            ("__streams.errors.exception", "DeserializationError"),
            ("__streams.errors.message", "value: 3 bytes where i64 has 8"),
            ("__streams.errors.stacktrace", "task 0_0 at node source: value: 3 bytes where i64 has 8"),
            ("__streams.errors.topic", "in"),
            ("__streams.errors.partition", "0"),
            ("__streams.errors.offset", "2"),
        ] {
            assert_eq!(header(letter, name).as_deref(), Some(value), "{name}");
        }
        let metrics = driver.metrics();
        assert_eq!((metrics.undecodable, metrics.skipped, metrics.dead_letters), (3, 3, 3));
    }
}

#[test]
fn a_row_that_fails_drops_out_alone() {
    for cut in [1, 3, 5] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let processing = move |context: &crate::ErrorContext<'_>| {
            let context =
                format!("{} {:?} {} {}", context.node, context.offset, context.stage, context.message);
            told.lock().unwrap().push(context);
            ErrorResponse::Continue
        };
        let components = Components { processing: Some(Arc::new(processing)), ..Components::default() };
        let mut driver = driver(config(&[("errors.dead.letter.queue.topic.name", "dead")]), components);
        for chunk in [good(1), good(-2), good(3), good(-4), good(5)].chunks(cut) {
            driver.pipe_all("in", chunk).unwrap();
        }
        driver.commit().unwrap();
        assert_eq!(values(&mut driver), [1, 3, 5]);
        assert_eq!(driver.metrics().unprocessed, 2);
        assert_eq!(
            *asked.lock().unwrap(),
            ["picky Some(1) processing -2 is negative", "picky Some(3) processing -4 is negative"]
        );
        let dead = driver.read("dead").unwrap();
        assert_eq!(dead[1].value.as_deref(), Some(&(-4i64).to_be_bytes()[..]));
        assert_eq!(header(&dead[1], "__streams.errors.exception").as_deref(), Some("ProcessingError"));
    }
}

#[test]
fn a_record_that_the_log_does_not_take_is_left_to_the_handler() {
    let large = InputRecord { key: Some(vec![b'x'; 440]), ..good(2) };
    let mut failing = driver(config(&[]), Components::default());
    let error = full_message(&failing.pipe_all("in", &[good(1), large.clone()]).unwrap_err());
    assert!(error.starts_with("task 0_0 failed at node sink: "), "{error}");
    let mut going_on = driver(config(&[("production.exception.handler", "continue")]), Components::default());
    going_on.pipe_all("in", &[good(1), large, good(3)]).unwrap();
    going_on.commit().unwrap();
    assert_eq!(values(&mut going_on), [1, 3]);
    assert_eq!(going_on.metrics().unencodable, 1);
}

#[test]
fn the_dead_letter_topic_must_exist() {
    let clock = Arc::new(ManualClock::new(Timestamp::new(0)));
    let log = Log::in_memory(clock.clone());
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic)).unwrap();
    }
    let config = config(&[("errors.dead.letter.queue.topic.name", "dead")]);
    let Err(error) = TopologyTestDriver::on_log(picky(), config, log, clock) else { panic!("it was opened") };
    assert_eq!(
        error.to_string(),
        "topic \"dead\" of node errors.dead.letter.queue.topic.name does not exist: create it before the application \
         starts"
    );
}

fn write(log: &Log, value: i64) {
    let mut producer: Producer = log.producer(ProducerConfig::default()).unwrap();
    let record = Record {
        key: Some("k".into()),
        value: Some(value.to_be_bytes().to_vec().into()),
        timestamp: Some(Timestamp::new(1)),
        headers: Vec::new(),
        partition: None,
    };
    producer.send("in", record).unwrap();
    producer.flush().unwrap();
}

fn running(handler: impl Fn(&StreamsError) -> UncaughtResponse + Send + Sync + 'static) -> (Log, Streams) {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic)).unwrap();
    }
    let config = config(&[("retry.backoff.ms", "1")]);
    // Fails on the first few negative values, as something that passes.
    let failures = Arc::new(AtomicUsize::new(0));
    let mut topology = TopologyBuilder::new();
    let (keys, values) = (Arc::new(Utf8), Arc::new(Int64));
    let decoder = codec::decoder(keys.clone(), values.clone(), None);
    topology.add_source("source", ["in"], decoder, SourceOptions::default());
    let make = move || -> Box<dyn Processor> { Box::new(Passing { failures: Arc::clone(&failures) }) };
    topology.add_processor("passing", Arc::new(make), &["source"], &[]);
    topology.add_sink("sink", "out", codec::encoder(keys, values), &["passing"]);
    let app = Streams::builder(topology.build().unwrap(), config, log.clone());
    let mut app = app.uncaught_exception_handler(handler).open().unwrap();
    app.start().unwrap();
    (log, app)
}

/// Fails, or panics, the first three times.
struct Passing {
    failures: Arc<AtomicUsize>,
}

impl Processor for Passing {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        match self.failures.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(StreamsError::Failed("not yet".to_owned())),
            2 => panic!("not yet either"),
            _ => context.forward(batch),
        }
    }
}

#[test]
fn a_thread_that_failed_is_replaced_if_the_policy_says_so() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&told);
    let (log, app) = running(move |error| {
        tells.lock().unwrap().push(full_message(error));
        UncaughtResponse::ReplaceThread
    });
    write(&log, 1);
    assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
    assert_eq!(
        *told.lock().unwrap(),
        [
            "task 0_0 failed at node passing: not yet",
            "task 0_0 failed at node passing: not yet",
            "stream thread 0 panicked: not yet either"
        ]
    );
    assert_eq!((app.metrics().failed_threads, app.state()), (3, State::Running));
    assert_eq!(app.metrics().sink_records, 1, "exactly once");
    app.close().unwrap();
}

#[test]
fn a_thread_that_failed_ends_the_application_otherwise() {
    let (log, app) = running(|_| UncaughtResponse::ShutdownClient);
    write(&log, 1);
    let error = app.wait_caught_up(Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.to_string(), "task 0_0 failed at node passing: not yet");
    assert_eq!(app.state(), State::Error);
}

#[test]
fn an_error_that_can_pass_is_tried_again() {
    let (tries, log) = (Arc::new(AtomicUsize::new(0)), Log::in_memory(Arc::new(SystemClock::new())));
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic)).unwrap();
    }
    let counted = Arc::clone(&tries);
    let handler = move |context: &crate::ErrorContext<'_>| {
        assert_eq!(context.stage, ErrorStage::Processing);
        match counted.fetch_add(1, Ordering::Relaxed) {
            0..3 => ErrorResponse::Retry,
            _ => ErrorResponse::Continue,
        }
    };
    let config = config(&[("retry.backoff.ms", "1")]);
    let mut app = Streams::builder(picky(), config, log.clone()).processing_handler(handler).open().unwrap();
    app.start().unwrap();
    write(&log, -1);
    write(&log, 5);
    assert!(app.wait_caught_up(Duration::from_secs(30)).unwrap());
    assert_eq!((tries.load(Ordering::Relaxed), app.metrics().unprocessed), (4, 1));
    app.close().unwrap();
}
