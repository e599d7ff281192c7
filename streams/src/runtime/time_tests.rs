//! Punctuations, waiting for empty partitions, and stream time without input.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::{Log, ManualClock, NewTopic, Timestamp};

use crate::batch::{Batch, downcast};
use crate::config::StreamsConfig;
use crate::driver::{InputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, Records, StreamsBuilder, codec};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::runtime::{Punctuation, PunctuationType};
use crate::serde::{Int64, Utf8};
use crate::store::{StoreSpec, Timer};
use crate::topology::{SourceOptions, Topology, TopologyBuilder};

type Calls = Arc<Mutex<Vec<String>>>;

/// Passes rows on, notes what happens in which order, and forwards a row per punctuation.
struct Ticker {
    plan: Vec<(PunctuationType, u64)>,
    /// The punctuation that cancels itself after so many calls.
    ends_after: usize,
    scheduled: Vec<Punctuation>,
    called: usize,
    calls: Calls,
}

impl Ticker {
    fn note(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }
}

impl Processor for Ticker {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        for (kind, interval) in &self.plan {
            self.scheduled.push(context.schedule(Duration::from_millis(*interval), *kind));
        }
        Ok(())
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<String, i64>>(batch)?;
        rows.timestamps.iter().for_each(|time| self.note(format!("row {time}")));
        context.forward(rows)
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        time: i64,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        self.called += 1;
        self.note(format!("call {time}"));
        if self.called == self.ends_after {
            context.cancel(punctuation);
        }
        let mut row = Records::<String, i64>::with_capacity(1);
        row.push(Some("tick".to_owned()), Some(time), time, Vec::new());
        context.forward(Box::new(row))
    }

    fn advance(&mut self, stream_time: i64, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.note(format!("advance {stream_time}"));
        Ok(())
    }

    fn close(&mut self) {
        self.note("close".to_owned());
    }
}

fn ticking(plan: &[(PunctuationType, u64)], ends_after: usize, calls: &Calls) -> Topology {
    let (plan, calls) = (plan.to_vec(), Arc::clone(calls));
    let mut topology = TopologyBuilder::new();
    let (keys, values) = (Arc::new(Utf8), Arc::new(Int64));
    topology.add_source(
        "source",
        ["in"],
        codec::decoder(keys.clone(), values.clone(), None),
        SourceOptions::default(),
    );
    let make = move || -> Box<dyn Processor> {
        let (plan, calls) = (plan.clone(), Arc::clone(&calls));
        Box::new(Ticker { plan, ends_after, scheduled: Vec::new(), called: 0, calls })
    };
    topology.add_processor("ticker", Arc::new(make), &["source"], &[]);
    topology.add_sink("sink", "out", codec::encoder(keys, values), &["ticker"]);
    topology.build().unwrap()
}

fn records(times: &[i64]) -> Vec<InputRecord> {
    times.iter().map(|time| InputRecord::new(Some(b"k"), Some(&time.to_be_bytes()), *time)).collect()
}

fn take(calls: &Calls) -> Vec<String> {
    std::mem::take(&mut *calls.lock().unwrap())
}

#[test]
fn stream_time_punctuations_come_right_after_the_row_that_made_them_due() {
    let times = [12, 15, 19, 20, 5, 47, 48, 50];
    let expected = [
        "row 12", "call 12", "row 15", "row 19", "row 20", "call 20", "row 5", "row 47", "call 47", "row 48",
        "row 50", "call 50",
    ];
    for cut in [1, 3, 8] {
        let calls = Calls::default();
        let topology = ticking(&[(PunctuationType::StreamTime, 10)], 0, &calls);
        let mut driver = TopologyTestDriver::new(topology, StreamsConfig::new("app")).unwrap();
        for chunk in times.chunks(cut) {
            driver.pipe_all("in", &records(chunk)).unwrap();
        }
        assert_eq!(take(&calls), expected, "batches of {cut}");
        let out: Vec<i64> = driver.read("out").unwrap().iter().map(|record| record.timestamp).collect();
        assert_eq!(out, [12, 12, 15, 19, 20, 20, 5, 47, 47, 48, 50, 50]);
    }
}

#[test]
fn wall_clock_punctuations_need_no_rows_and_can_end_themselves() {
    let calls = Calls::default();
    let topology = ticking(&[(PunctuationType::WallClockTime, 10)], 3, &calls);
    let mut driver = TopologyTestDriver::new(topology, StreamsConfig::new("app")).unwrap();
    for step in [9, 1, 35, 4, 1, 100] {
        driver.advance_wall_clock(Duration::from_millis(step)).unwrap();
    }
    assert_eq!(take(&calls), ["call 10", "call 45", "call 50"]);
    driver.commit().unwrap();
    assert_eq!(driver.read("out").unwrap().len(), 3);
}

#[test]
fn stream_time_goes_on_after_a_restart() {
    let calls = Calls::default();
    let topology = || ticking(&[(PunctuationType::StreamTime, 10)], 0, &calls);
    let config = || StreamsConfig::new("app").exactly_once();
    let mut driver = TopologyTestDriver::new(topology(), config()).unwrap();
    driver.pipe_all("in", &records(&[25])).unwrap();
    driver.commit().unwrap();
    let (log, clock) = (driver.log().clone(), Arc::clone(driver.clock()));
    take(&calls);
    drop(driver);
    assert_eq!(take(&calls), ["close"]);
    let mut driver = TopologyTestDriver::on_log(topology(), config(), log, clock).unwrap();
    // The first call comes with the first row, but time does not go back to 7.
    driver.pipe_all("in", &records(&[7, 29, 30])).unwrap();
    assert_eq!(take(&calls), ["row 7", "call 25", "row 29", "row 30", "call 30"]);
}

/// Sets a timer of each row's key to 50 ms after the row; a value of 0 cancels it. Forwards keys whose timers fire.
struct Alarm;

impl Processor for Alarm {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<String, i64>>(batch)?;
        for row in 0..rows.len() {
            let key = rows.keys[row].as_ref().unwrap().as_bytes();
            let kind = if key.starts_with(b"wall") {
                PunctuationType::WallClockTime
            } else {
                PunctuationType::StreamTime
            };
            match rows.values[row] {
                Some(0) => drop(context.cancel_timer(kind, "quiet", key)?),
                _ => context.set_timer(kind, "quiet", key, rows.timestamps[row] + 50)?,
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut row = Records::<String, i64>::with_capacity(1);
        let key = String::from_utf8(timer.key.clone()).unwrap();
        row.push(Some(format!("{} {key}", timer.name)), Some(context.stream_time()), timer.time, Vec::new());
        context.forward(Box::new(row))
    }
}

fn alarms() -> Topology {
    let mut topology = TopologyBuilder::new();
    let (keys, values) = (Arc::new(Utf8), Arc::new(Int64));
    topology.add_source(
        "source",
        ["in"],
        codec::decoder(keys.clone(), values.clone(), None),
        SourceOptions::default(),
    );
    let timers = topology.add_store(StoreSpec::timers("alarms"));
    topology.add_processor("alarm", Arc::new(|| Box::new(Alarm)), &["source"], &[timers]);
    topology.add_sink("sink", "out", codec::encoder(keys, values), &["alarm"]);
    topology.build().unwrap()
}

fn keyed(rows: &[(&str, i64, i64)]) -> Vec<InputRecord> {
    rows.iter()
        .map(|(key, value, time)| InputRecord::new(Some(key.as_bytes()), Some(&value.to_be_bytes()), *time))
        .collect()
}

/// Key, stream time when it fired, time it was set to.
fn fired(driver: &mut TopologyTestDriver) -> Vec<(String, i64, i64)> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
    let number = |bytes: Option<Vec<u8>>| i64::from_be_bytes(bytes.unwrap().try_into().unwrap());
    let out = driver.read("out").unwrap().into_iter();
    out.map(|record| (text(record.key), number(record.value), record.timestamp)).collect()
}

#[test]
fn timers_fire_once_right_after_the_row_that_made_them_due() {
    let rows =
        [("a", 1, 10), ("b", 1, 20), ("c", 1, 25), ("a", 1, 40), ("b", 0, 50), ("d", 1, 80), ("d", 1, 200)];
    for cut in [1, 2, 7] {
        let mut driver = TopologyTestDriver::new(alarms(), StreamsConfig::new("app")).unwrap();
        for chunk in rows.chunks(cut) {
            driver.pipe_all("in", &keyed(chunk)).unwrap();
        }
        driver.commit().unwrap();
        let timer = |key: &str, time| Timer {
            kind: PunctuationType::StreamTime,
            time,
            name: "quiet".to_owned(),
            key: key.as_bytes().to_vec(),
        };
        assert_eq!(driver.timers("alarms").unwrap(), [timer("d", 250)], "cut {cut}");
        let expected =
            [("quiet c", 80, 75), ("quiet a", 200, 90)].map(|(key, now, time)| (key.to_owned(), now, time));
        assert_eq!(fired(&mut driver), expected, "cut {cut}");
    }
}

#[test]
fn timers_outlive_crashes_and_fire_exactly_once() {
    let config = || StreamsConfig::new("app").exactly_once();
    let mut driver = TopologyTestDriver::new(alarms(), config()).unwrap();
    let (log, clock) = (driver.log().clone(), Arc::clone(driver.clock()));
    let again = |driver: TopologyTestDriver| {
        drop(driver);
        TopologyTestDriver::on_log(alarms(), config(), log.clone(), Arc::clone(&clock)).unwrap()
    };
    driver.pipe_all("in", &keyed(&[("a", 1, 10), ("wall", 1, 20)])).unwrap();
    // Not committed: the rows come again.
    driver = again(driver);
    assert_eq!(driver.timers("alarms").unwrap(), []);
    driver.commit().unwrap();
    driver = again(driver);
    assert_eq!(driver.timers("alarms").unwrap().len(), 2);
    driver.advance_wall_clock(Duration::from_millis(69)).unwrap();
    driver.pipe_all("in", &keyed(&[("b", 1, 60)])).unwrap();
    driver.advance_wall_clock(Duration::from_millis(1)).unwrap();
    // Both have fired, and it was all lost: the row fires one again, the clock the other.
    driver = again(driver);
    driver.commit().unwrap();
    driver = again(driver);
    driver.advance_wall_clock(Duration::from_millis(1000)).unwrap();
    driver.commit().unwrap();
    let mut consumer = driver
        .log()
        .consumer(
            millstream_log::ConsumerConfig::default().isolation(millstream_log::Isolation::ReadCommitted),
        )
        .unwrap();
    let out = millstream_log::TopicPartition::new("out", 0);
    consumer.assign(vec![out.clone()]).unwrap();
    consumer.seek_to(&out, millstream_log::OffsetSpec::Earliest).unwrap();
    let mut keys = Vec::new();
    loop {
        let runs = consumer.poll(Duration::ZERO).unwrap();
        if runs.is_empty() {
            break;
        }
        for record in runs.iter().flat_map(|run| run.records()) {
            keys.push(String::from_utf8(record.unwrap().key.unwrap().to_vec()).unwrap());
        }
    }
    keys.sort();
    assert_eq!(keys, ["quiet a", "quiet wall"]);
    assert_eq!(driver.timers("alarms").unwrap().len(), 1, "b waits");
}

#[test]
fn timers_need_a_store() {
    let mut topology = TopologyBuilder::new();
    topology.add_source(
        "source",
        ["in"],
        codec::decoder(Arc::new(Utf8), Arc::new(Int64), None),
        SourceOptions::default(),
    );
    topology.add_processor("alarm", Arc::new(|| Box::new(Alarm)), &["source"], &[]);
    let mut driver = TopologyTestDriver::new(topology.build().unwrap(), StreamsConfig::new("app")).unwrap();
    let error = driver.pipe_all("in", &keyed(&[("a", 1, 10)])).unwrap_err();
    assert_eq!(
        crate::error::full_message(&error),
        "task 0_0 failed at node alarm: no store \"timers\" here: connect a store of timers to node alarm when the topology is built"
    );
}

const NOTHING: [i64; 0] = [];

/// Two topics joined in one task; what came out, by value.
struct TwoInputs {
    driver: TopologyTestDriver,
}

impl TwoInputs {
    fn new(max_idle: i64) -> Self {
        let builder = StreamsBuilder::new();
        let [left, right] =
            ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::with(Utf8, Int64)));
        left.merge(&right).to("out");
        let config = StreamsConfig::from_properties([
            ("application.id", "app"),
            ("max.task.idle.ms", &max_idle.to_string()),
        ]);
        Self { driver: TopologyTestDriver::new(builder.build().unwrap(), config.unwrap()).unwrap() }
    }

    fn write(&mut self, topic: &str, time: i64) -> Vec<i64> {
        self.driver.pipe_all(topic, &records(&[time])).unwrap();
        self.out()
    }

    fn wait(&mut self, millis: u64) -> Vec<i64> {
        self.driver.advance_wall_clock(Duration::from_millis(millis)).unwrap();
        self.out()
    }

    fn out(&mut self) -> Vec<i64> {
        self.driver.commit().unwrap();
        self.driver.read("out").unwrap().iter().map(|record| record.timestamp).collect()
    }
}

#[test]
fn an_empty_partition_is_waited_for() {
    // Never and not at all.
    for idle in [-1, 0] {
        assert_eq!(TwoInputs::new(idle).write("left", 5), [5]);
    }
    let mut inputs = TwoInputs::new(100);
    assert_eq!(inputs.write("left", 5), NOTHING);
    assert_eq!(inputs.wait(99), NOTHING);
    assert_eq!(inputs.write("right", 4), [4]);
    // "right" is empty again: its time of waiting begins anew.
    assert_eq!(inputs.wait(99), NOTHING);
    assert_eq!(inputs.wait(1), [5]);
    // Both have been empty for long: a row need not wait any more.
    inputs.wait(100);
    assert_eq!(inputs.write("left", 6), [6]);
    // "right" had rows in between, so "left" is the one that is waited for now, from when it was seen empty.
    assert_eq!(inputs.write("right", 7), NOTHING);
    assert_eq!(inputs.wait(50), NOTHING);
    assert_eq!(inputs.wait(50), [7]);
}

#[test]
fn stream_time_follows_the_clock_once_there_is_nothing_left_to_read() {
    let calls = Calls::default();
    let config =
        StreamsConfig::from_properties([("application.id", "app"), ("window.close.idle.ms", "100")]).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::new(5_000)));
    let log = Log::in_memory(clock.clone());
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic)).unwrap();
    }
    let topology = || ticking(&[(PunctuationType::StreamTime, 50)], 0, &calls);
    let mut driver =
        TopologyTestDriver::on_log(topology(), config.clone(), log.clone(), clock.clone()).unwrap();
    let wait = |driver: &mut TopologyTestDriver, millis| {
        driver.advance_wall_clock(Duration::from_millis(millis)).unwrap();
        take(&calls)
    };
    assert_eq!(wait(&mut driver, 500), [] as [&str; 0], "no time is known yet");
    driver.pipe_all("in", &records(&[70])).unwrap();
    assert_eq!(take(&calls), ["row 70", "call 70"]);
    assert_eq!(wait(&mut driver, 99), [] as [&str; 0]);
    assert_eq!(wait(&mut driver, 1), ["advance 170", "call 170"]);
    assert_eq!(wait(&mut driver, 29), ["advance 199"]);
    assert_eq!(wait(&mut driver, 1), ["advance 200", "call 200"]);
    // A row ends the pause; time does not go back.
    driver.pipe_all("in", &records(&[80])).unwrap();
    assert_eq!(wait(&mut driver, 99), ["row 80"]);
    assert_eq!(wait(&mut driver, 1), ["advance 300", "call 300"]);
    driver.commit().unwrap();
    drop(driver);
    take(&calls);
    let mut driver = TopologyTestDriver::on_log(topology(), config, log, clock).unwrap();
    driver.pipe_all("in", &records(&[90])).unwrap();
    assert_eq!(take(&calls), ["row 90", "call 300"]);
}
