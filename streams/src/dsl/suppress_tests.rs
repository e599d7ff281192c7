//! Suppressed tables: what waits, what goes on and when, over cuttings of the input and restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::window_tests::{Out, Row, Run, any_cuts, any_rows, config, ms, number, record, topology, windows};
use crate::driver::TopologyTestDriver;
use crate::dsl::{BufferConfig, Consumed, Materialized, StreamsBuilder, Suppressed};
use crate::operator::{SessionWindows, SlidingWindows, TimeWindows};
use crate::serde::{Int64, Utf8};
use crate::topology::Topology;

fn final_sums(size: i64, grace: i64) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(TimeWindows::of(ms(size)).grace(ms(grace)))
            .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sums"))
            .filter(|_, _| true)
            .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
            .to_stream()
            .to("out");
    })
}

/// Each window once, when stream time reaches its end and grace.
fn naive_final(rows: &[Row], size: i64, grace: i64) -> Vec<Out> {
    let (mut stream_time, mut open, mut out) = (i64::MIN, BTreeMap::new(), Vec::new());
    for (key, value, time) in rows {
        stream_time = stream_time.max(*time);
        let start = time / size * size;
        if start + size > stream_time - grace {
            let (sum, newest) = open.entry((start, key.to_string())).or_insert((0, *time));
            (*sum, *newest) = (*sum + value, (*newest).max(*time));
        }
        while let Some(window) = open.first_entry().filter(|it| it.key().0 + size + grace <= stream_time) {
            let ((start, key), (sum, newest)) = window.remove_entry();
            out.push((format!("{key}@{start}"), Some(sum), newest));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_window_comes_once_when_it_closes(
        rows in any_rows(),
        cuts in any_cuts(),
        grace in 0i64..30,
        restart in 0usize..60,
    ) {
        let topology = final_sums(10, grace);
        let expected = naive_final(&rows, 10, grace);
        for run in [Run::plain(&[1]), Run::plain(&cuts), Run { restart: Some(restart), ..Run::plain(&cuts) }] {
            prop_assert_eq!(&windows(run.of(&topology, &rows)), &expected, "{:?}", run);
        }
        // With a cache the last updates come at the commit, and still every closed window comes once.
        let mut expected = expected;
        expected.sort();
        for commits in [false, true] {
            let coalesced = Run { caching: true, restart: Some(restart), commits, ..Run::plain(&cuts) };
            let mut out = windows(coalesced.of(&topology, &rows));
            out.sort();
            prop_assert_eq!(&out, &expected, "{:?}", coalesced);
        }
    }
}

/// A table over "in", suppressed, to "out".
fn limited(suppressed: Suppressed<String>) -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .table::<String, i64>("in", Consumed::with(Utf8, Int64))
        .suppress(suppressed)
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

/// Key, value (0 deletes) and time of each row, with what came of it.
type Steps<'a> = &'a [(u8, i64, i64, &'a [(&'a str, i64, i64)])];

fn check(topology: &Topology, steps: Steps<'_>) {
    let deletes = |(key, value, time, _): &(u8, i64, i64, _)| {
        let mut record = record(&(*key, *value, *time));
        record.value = record.value.filter(|_| *value != 0);
        record
    };
    let plain = |out: crate::driver::OutputRecord| {
        let key = String::from_utf8(out.key.unwrap()).unwrap();
        (key, number(out.value).unwrap_or(0), out.timestamp)
    };
    let expected: Vec<Vec<(String, i64, i64)>> = steps
        .iter()
        .map(|(.., out)| out.iter().map(|(key, value, time)| ((*key).to_owned(), *value, *time)).collect())
        .collect();
    let mut driver = TopologyTestDriver::new(topology.clone(), config(false)).unwrap();
    for (step, expected) in steps.iter().zip(&expected) {
        driver.pipe_all("in", &[deletes(step)]).unwrap();
        let out: Vec<_> = driver.read("out").unwrap().into_iter().map(plain).collect();
        assert_eq!(&out, expected, "after {:?}", (step.0, step.1, step.2));
        // Whatever waits survives.
        let (log, clock) = (driver.log().clone(), driver.clock().clone());
        drop(driver);
        driver = TopologyTestDriver::on_log(topology.clone(), config(false), log, clock).unwrap();
        driver.read("out").unwrap();
    }
    let mut driver = TopologyTestDriver::new(topology.clone(), config(false)).unwrap();
    driver.pipe_all("in", &steps.iter().map(deletes).collect::<Vec<_>>()).unwrap();
    let out: Vec<_> = driver.read("out").unwrap().into_iter().map(plain).collect();
    assert_eq!(out, expected.concat(), "all at once");
}

#[test]
fn changes_wait_for_a_time_since_the_first_one() {
    let topology = limited(Suppressed::until_time_limit(ms(10), BufferConfig::unbounded()));
    check(
        &topology,
        &[
            (1, 5, 0, &[]),
            // The key has waited since 0, and goes with its last value and that one's time.
            (1, 6, 9, &[]),
            (2, 7, 9, &[]),
            (3, 8, 10, &[("1", 6, 9)]),
            // A deletion waits like any change, and goes on.
            (2, 0, 18, &[]),
            (1, 9, 19, &[("2", 0, 18)]),
            // Stream time never goes back: an old row goes at once.
            (4, 4, 3, &[("4", 4, 3)]),
            // By time, then by key.
            (9, 1, 50, &[("3", 8, 10), ("1", 9, 19)]),
        ],
    );
}

#[test]
fn a_full_buffer_lets_go_what_has_waited_longest() {
    let records = BufferConfig::max_records(2);
    check(
        &limited(Suppressed::until_time_limit(ms(100), records)),
        &[
            (1, 5, 3, &[]),
            (2, 6, 1, &[]),
            (1, 7, 4, &[]),
            (3, 8, 5, &[("2", 6, 1)]),
            (4, 9, 6, &[("1", 7, 4)]),
        ],
    );
    // A change has 1 byte of key, 8 of time, 4 for no old value, 12 of new value and 4 for no headers.
    let bytes = BufferConfig::max_bytes(2 * 29);
    check(
        &limited(Suppressed::until_time_limit(ms(100), bytes)),
        &[(1, 5, 3, &[]), (2, 6, 4, &[]), (2, 7, 5, &[]), (3, 8, 6, &[("1", 5, 3)])],
    );
}

#[test]
fn a_full_buffer_can_stop_the_task() {
    let strict = BufferConfig::max_records(1).shut_down_when_full();
    let topology = limited(Suppressed::until_time_limit(ms(100), strict));
    let mut driver = TopologyTestDriver::new(topology, config(false)).unwrap();
    driver.pipe_all("in", &[record(&(1, 5, 0))]).unwrap();
    let error = driver.pipe_all("in", &[record(&(2, 5, 0))]).unwrap_err();
    let message = crate::full_message(&error);
    assert!(message.contains("it has 2 of 1 records and 0 of any number of bytes"), "{message}");
}

#[test]
fn sessions_and_sliding_windows_close_by_their_own_rules() {
    // A session can go on for the gap, a sliding window ends a difference after its start.
    let sessions = topology(|grouped| {
        let unbounded = BufferConfig::max_records(10).shut_down_when_full();
        grouped
            .windowed_by(SessionWindows::of(ms(5)).grace(ms(2)))
            .count(Materialized::named("counts"))
            .suppress(Suppressed::until_window_closes(unbounded).named("final"))
            .to_stream_with_key(|window, _| format!("{}:{}..{}", window.key, window.start, window.end))
            .to("out");
    });
    let sliding = topology(|grouped| {
        grouped
            .windowed_by(SlidingWindows::of_time_difference(ms(5)).grace(ms(2)))
            .count(Materialized::named("counts"))
            .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
            .to_stream_with_key(|window, _| format!("{}:{}..{}", window.key, window.start, window.end))
            .to("out");
    });
    for (topology, expected) in [
        (sessions, vec![("1:10..13", 2, 13)]),
        (sliding, vec![("1:5..10", 1, 10), ("1:8..13", 2, 13), ("1:11..16", 1, 13)]),
    ] {
        let mut driver = TopologyTestDriver::new(topology, config(false)).unwrap();
        // The deletion of the session [10, 10] is swallowed.
        driver.pipe_all("in", &[(1, 0, 10), (1, 0, 13), (2, 0, 20)].map(|row| record(&row))).unwrap();
        let out = driver.read("out").unwrap().into_iter().map(|record| {
            let key = String::from_utf8(record.key.unwrap()).unwrap();
            (key, number(record.value).unwrap(), record.timestamp)
        });
        let expected: Vec<_> = expected.into_iter().map(|(key, n, time)| (key.to_owned(), n, time)).collect();
        assert_eq!(out.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn windows_close_without_rows_if_that_is_wanted() {
    let mut config = config(false);
    config.window_close_idle = Some(Duration::from_millis(100));
    let mut driver = TopologyTestDriver::new(final_sums(10, 5), config).unwrap();
    driver.pipe_all("in", &[record(&(1, 7, 3))]).unwrap();
    assert_eq!(windows(driver.read("out").unwrap()), []);
    driver.advance_wall_clock(Duration::from_millis(50)).unwrap();
    assert_eq!(windows(driver.read("out").unwrap()), []);
    driver.advance_wall_clock(Duration::from_millis(100)).unwrap();
    assert_eq!(windows(driver.read("out").unwrap()), [("1@0".to_owned(), Some(7), 3)]);
}

#[test]
fn only_windowed_aggregations_have_windows_that_close() {
    let builder = StreamsBuilder::new();
    let windowed = crate::serde::Windowed::<String>::serde(10);
    builder
        .table("in", Consumed::with(windowed, Int64))
        .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()))
        .to_stream()
        .to("out");
    let message = builder.build().unwrap_err().to_string();
    assert!(message.contains("no windowed aggregation is above it"), "{message}");
}

#[test]
fn suppressed_tables_know_what_they_have_shown() {
    let builder = StreamsBuilder::new();
    builder
        .table::<String, i64>("in", Consumed::with(Utf8, Int64))
        .suppress(Suppressed::until_time_limit(ms(10), BufferConfig::unbounded()))
        .materialized(Materialized::named("shown"))
        .to_stream()
        .to("out");
    let mut driver = TopologyTestDriver::new(builder.build().unwrap(), config(false)).unwrap();
    driver.pipe_all("in", &[(1, 5, 0), (1, 6, 5), (2, 7, 10)].map(|row| record(&row))).unwrap();
    let store = driver.store("shown").unwrap();
    assert_eq!(store.get(b"1").unwrap().unwrap().value, 6i64.to_be_bytes());
    assert_eq!(store.get(b"2").unwrap(), None);
}
