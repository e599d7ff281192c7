//! Windows that are emitted when they close: each once, in the order of the windows, with and without caching, over
//! cuttings of the input and restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_log::Header;
use proptest::prelude::*;

use super::window_tests::{
    Out, Row, Run, any_cuts, any_rows, config, ms, record, sessions, topology, windows,
};
use crate::driver::{InputRecord, OutputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::operator::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows};
use crate::serde::{Int64, Utf8};
use crate::topology::Topology;

const CLOSED: EmitStrategy = EmitStrategy::OnWindowClose;

fn closed_windows(windows: TimeWindows) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(windows)
            .emit_strategy(CLOSED)
            .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sums"))
            .to_stream()
            .to("out");
    })
}

fn closed_sliding(difference: i64, grace: i64) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(SlidingWindows::of_time_difference(ms(difference)).grace(ms(grace)))
            .emit_strategy(CLOSED)
            .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sums"))
            .to_stream()
            .to("out");
    })
}

fn closed_sessions(gap: i64, grace: i64, retention: i64) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(SessionWindows::of(ms(gap)).grace(ms(grace)))
            .emit_strategy(CLOSED)
            .aggregate(
                || 0,
                |_, value, sum| sum + value,
                |_, sum, other| sum + other,
                Materialized::named("sums").retention(ms(retention)),
            )
            .to_stream()
            .to("out");
    })
}

fn naive_windows(rows: &[Row], size: i64, advance: i64, grace: i64) -> Vec<Out> {
    let (mut stream_time, mut open, mut out) = (i64::MIN, BTreeMap::new(), Vec::new());
    for (key, value, time) in rows {
        stream_time = stream_time.max(*time);
        for start in (0..=*time).filter(|start| start % advance == 0 && time - start < size) {
            if start + size > stream_time - grace {
                let (sum, newest) = open.entry((start, key.to_string())).or_insert((0, *time));
                (*sum, *newest) = (*sum + value, (*newest).max(*time));
            }
        }
        while let Some(window) = open.first_entry().filter(|it| it.key().0 + size <= stream_time - grace) {
            let ((start, key), (sum, newest)) = window.remove_entry();
            out.push((format!("{key}@{start}"), Some(sum), newest));
        }
    }
    out
}

fn naive_sessions(rows: &[Row], gap: i64, grace: i64) -> Vec<Out> {
    let (mut stream_time, mut open, mut out) = (i64::MIN, BTreeMap::<(i64, i64, u8), i64>::new(), Vec::new());
    for (key, value, time) in rows {
        stream_time = stream_time.max(*time);
        let close = stream_time - gap - grace;
        let near: Vec<_> = open
            .keys()
            .copied()
            .filter(|(end, start, of)| {
                of == key && *end >= close && *start <= time + gap && *end >= time - gap
            })
            .collect();
        let end = near.iter().map(|near| near.0).chain([*time]).max().unwrap();
        let start = near.iter().map(|near| near.1).chain([*time]).min().unwrap();
        if end >= close {
            let sum: i64 = near.iter().map(|session| open.remove(session).unwrap()).sum();
            open.insert((end, start, *key), sum + value);
        }
        while let Some(session) = open.first_entry().filter(|it| it.key().0 < close) {
            let ((end, start, key), sum) = session.remove_entry();
            out.push((format!("{key}@{start}..{end}"), Some(sum), end));
        }
    }
    out
}

/// Runs the topology in several ways that must make no difference.
fn check(
    topology: &Topology,
    rows: &[Row],
    cuts: &[usize],
    restart: usize,
    read: fn(Vec<OutputRecord>) -> Vec<Out>,
    expected: &[Out],
) -> Result<(), TestCaseError> {
    let restart = Some(restart);
    for run in [
        Run::plain(&[1]),
        Run::plain(cuts),
        Run { restart, ..Run::plain(cuts) },
        Run { caching: true, restart, ..Run::plain(cuts) },
        Run { caching: true, restart, commits: true, ..Run::plain(cuts) },
    ] {
        prop_assert_eq!(&read(run.of(topology, rows)), expected, "{:?}", run);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn time_windows_come_when_they_close(
        rows in any_rows(),
        cuts in any_cuts(),
        advance in 1i64..=10,
        grace in 0i64..30,
        restart in 0usize..60,
    ) {
        let topology = closed_windows(TimeWindows::of(ms(10)).advance_by(ms(advance)).grace(ms(grace)));
        let expected = naive_windows(&rows, 10, advance, grace);
        check(&topology, &rows, &cuts, restart, windows, &expected)?;
    }

    #[test]
    fn sessions_come_when_they_close(
        rows in any_rows(),
        cuts in any_cuts(),
        gap in 0i64..15,
        grace in 0i64..15,
        restart in 0usize..60,
    ) {
        let expected = naive_sessions(&rows, gap, grace);
        check(&closed_sessions(gap, grace, 0), &rows, &cuts, restart, sessions, &expected)?;
    }

    #[test]
    fn sessions_that_are_kept_for_longer_do_not_show_batches(
        rows in any_rows(),
        cuts in any_cuts(),
        restart in 0usize..60,
    ) {
        let topology = closed_sessions(4, 2, 30);
        let expected = sessions(Run::plain(&[1]).of(&topology, &rows));
        check(&topology, &rows, &cuts, restart, sessions, &expected)?;
    }

    #[test]
    fn sliding_windows_come_when_they_close(
        rows in any_rows(),
        cuts in any_cuts(),
        difference in 0i64..15,
        grace in 0i64..20,
        restart in 0usize..60,
    ) {
        // What comes in the end on every update, in the order of the windows, as far as stream time has closed it.
        let updates = topology(|grouped| {
            grouped
                .windowed_by(SlidingWindows::of_time_difference(ms(difference)).grace(ms(grace)))
                .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sums"))
                .to_stream()
                .to("out");
        });
        let last: BTreeMap<(i64, String), Out> = windows(Run::plain(&[1]).of(&updates, &rows))
            .into_iter()
            .map(|out| {
                let (key, start) = out.0.split_once('@').unwrap();
                ((start.parse().unwrap(), key.to_owned()), out)
            })
            .collect();
        let close = rows.iter().map(|row| row.2).max().unwrap() - grace;
        let closed = last.into_iter().filter(|((start, _), _)| start + difference < close);
        let expected: Vec<Out> = closed.map(|(_, out)| out).collect();
        check(&closed_sliding(difference, grace), &rows, &cuts, restart, windows, &expected)?;
    }
}

#[test]
fn a_window_closes_at_its_end_and_a_session_after_it() {
    let out = |topology: &Topology, times: &[i64], read: fn(Vec<OutputRecord>) -> Vec<Out>| {
        let rows: Vec<Row> = times.iter().map(|time| (1, 1, *time)).collect();
        read(Run::plain(&[100]).of(topology, &rows)).into_iter().map(|out| out.0).collect::<Vec<_>>()
    };
    // (rows, what has closed): windows of 10 ms and 2 ms of grace
    let tumbling = closed_windows(TimeWindows::of(ms(10)).grace(ms(2)));
    assert_eq!(out(&tumbling, &[5, 11], windows), [""; 0]);
    assert_eq!(out(&tumbling, &[5, 12], windows), ["1@0"]);
    // A gap of 3 ms and 2 ms of grace after the end at 5.
    let sessions_of_3 = closed_sessions(3, 2, 0);
    assert_eq!(out(&sessions_of_3, &[5, 10], sessions), [""; 0]);
    assert_eq!(out(&sessions_of_3, &[5, 11], sessions), ["1@5..5"]);
    // The window [2, 5] ends at 5, too.
    let sliding = closed_sliding(3, 2);
    assert_eq!(out(&sliding, &[5, 7], windows), [""; 0]);
    assert_eq!(out(&sliding, &[5, 8], windows), ["1@2"]);
}

#[test]
fn results_have_the_headers_of_the_row_that_closes_their_window() {
    // Times of rows, and which of them closes the windows that the first ones are in; their number is the header.
    for (topology, times, closing) in [
        (closed_windows(TimeWindows::of(ms(10))), [1, 12, 11, 30], vec![1, 3]),
        (closed_sliding(3, 0), [5, 9, 12, 40], vec![1, 2, 3, 3]),
        (closed_sessions(3, 0, 0), [5, 9, 14, 40], vec![1, 2, 3]),
    ] {
        for size in [1, 4] {
            let mut driver = TopologyTestDriver::new(topology.clone(), config(false)).unwrap();
            let records = times.iter().zip(0..).map(|(time, number): (_, u8)| InputRecord {
                headers: vec![Header { key: number.to_string(), value: None }],
                ..record(&(1, 1, *time))
            });
            for records in records.collect::<Vec<_>>().chunks(size) {
                driver.pipe_all("in", records).unwrap();
            }
            let found = driver.read("out").unwrap();
            let names: Vec<u8> = found.iter().map(|record| record.headers[0].key.parse().unwrap()).collect();
            assert_eq!(names, closing, "{size} at once: {:?}", windows(found));
        }
    }
}

#[test]
fn windows_close_without_rows_if_that_is_wanted() {
    for (topology, read, expected) in [
        (
            closed_windows(TimeWindows::of(ms(10)).grace(ms(5))),
            windows as fn(Vec<OutputRecord>) -> Vec<Out>,
            "1@0",
        ),
        (closed_sessions(10, 5, 0), sessions, "1@3..3"),
        (closed_sliding(10, 5), windows, "1@0"),
    ] {
        let mut config = config(false);
        config.window_close_idle = Some(Duration::from_millis(100));
        let mut driver = TopologyTestDriver::new(topology.clone(), config.clone()).unwrap();
        driver.pipe_all("in", &[record(&(1, 7, 3))]).unwrap();
        driver.advance_wall_clock(Duration::from_millis(50)).unwrap();
        assert_eq!(read(driver.read("out").unwrap()), []);
        driver.advance_wall_clock(Duration::from_millis(100)).unwrap();
        assert_eq!(read(driver.read("out").unwrap()), [(expected.to_owned(), Some(7), 3)]);
        // The window stays closed, for late rows and after a restart without local state.
        driver.pipe_all("in", &[record(&(1, 7, 4))]).unwrap();
        driver.commit().unwrap();
        let (log, clock) = (driver.log().clone(), driver.clock().clone());
        drop(driver);
        let mut driver = TopologyTestDriver::on_log(topology, config, log, clock).unwrap();
        driver.pipe_all("in", &[record(&(1, 7, 5)), record(&(2, 7, 90))]).unwrap();
        let all: Vec<String> = read(driver.read("out").unwrap()).into_iter().map(|out| out.0).collect();
        assert_eq!(all, [expected]);
    }
}

#[test]
fn an_unlimited_window_cannot_be_emitted_when_it_closes() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by_key()
        .windowed_by(UnlimitedWindows::of())
        .emit_strategy(CLOSED)
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    let message = builder.build().unwrap_err().to_string();
    assert!(message.contains("an unlimited window never closes"), "{message}");
}
