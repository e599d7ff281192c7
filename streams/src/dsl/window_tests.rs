//! Windowed aggregations against naive folds: over random cuttings of the input, with and without caching, and with
//! a restart in the middle.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::config::StreamsConfig;
use crate::driver::{InputRecord, OutputRecord, TopologyTestDriver};
use crate::dsl::{Consumed, KGroupedStream, Materialized, StreamsBuilder};
use crate::operator::{SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows};
use crate::serde::{Int64, Utf8};
use crate::topology::Topology;

/// An input row: key, value, timestamp.
pub(super) type Row = (u8, i64, i64);
/// An output row: `key@start..end`, value, timestamp.
pub(super) type Out = (String, Option<i64>, i64);

pub(super) fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

pub(super) fn config(caching: bool) -> StreamsConfig {
    let mut config = StreamsConfig::new("test");
    config.cache_max_bytes = if caching { 1 << 20 } else { 0 };
    config
}

pub(super) fn record(row: &Row) -> InputRecord {
    InputRecord::new(Some(row.0.to_string().as_bytes()), Some(&row.1.to_be_bytes()), row.2)
}

pub(super) fn topology(build: impl Fn(KGroupedStream<String, i64>)) -> Topology {
    let builder = StreamsBuilder::new();
    build(builder.stream("in", Consumed::with(Utf8, Int64)).group_by_key());
    builder.build().unwrap()
}

/// How the input comes.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) caching: bool,
    /// Sizes of the batches, over and over.
    pub(super) cuts: Vec<usize>,
    /// After so many rows, commit and go on in a new process without local state.
    pub(super) restart: Option<usize>,
    /// Commit after every batch.
    pub(super) commits: bool,
}

impl Run {
    pub(super) fn plain(cuts: &[usize]) -> Self {
        Self { caching: false, cuts: cuts.to_vec(), restart: None, commits: false }
    }

    pub(super) fn of(&self, topology: &Topology, rows: &[Row]) -> Vec<OutputRecord> {
        let mut driver = TopologyTestDriver::new(topology.clone(), config(self.caching)).unwrap();
        let (before, after) = rows.split_at(self.restart.unwrap_or(rows.len()).min(rows.len()));
        self.feed(&mut driver, before);
        if self.restart.is_some() {
            let (log, clock) = (driver.log().clone(), driver.clock().clone());
            drop(driver);
            driver = TopologyTestDriver::on_log(topology.clone(), config(self.caching), log, clock).unwrap();
            self.feed(&mut driver, after);
        }
        driver.read("out").unwrap()
    }

    fn feed(&self, driver: &mut TopologyTestDriver, rows: &[Row]) {
        let (mut rest, mut cuts) = (rows, self.cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            driver.pipe_all("in", &batch.iter().map(record).collect::<Vec<_>>()).unwrap();
            rest = later;
            if self.commits {
                driver.commit().unwrap();
            }
        }
        driver.commit().unwrap();
    }
}

pub(super) fn number(value: Option<Vec<u8>>) -> Option<i64> {
    value.map(|value| i64::from_be_bytes(value.try_into().unwrap()))
}

/// Reads a key followed by this many times.
fn windowed<const TIMES: usize>(key: &[u8]) -> (String, [i64; TIMES]) {
    let (key, times) = key.split_at(key.len() - 8 * TIMES);
    let mut chunks = times.chunks(8).map(|time| i64::from_be_bytes(time.try_into().unwrap()));
    (String::from_utf8(key.to_vec()).unwrap(), std::array::from_fn(|_| chunks.next().unwrap()))
}

pub(super) fn sessions(records: Vec<OutputRecord>) -> Vec<Out> {
    let out = records.into_iter().map(|record| {
        let (key, [end, start]) = windowed(&record.key.unwrap());
        (format!("{key}@{start}..{end}"), number(record.value), record.timestamp)
    });
    out.collect()
}

pub(super) fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    // Mostly forward, sometimes far back.
    proptest::collection::vec((0u8..3, 0i64..50, 0i64..12, 0i64..30), 1..60).prop_map(|steps| {
        let mut time = 0;
        let row = |(key, value, step, back): (u8, i64, i64, i64)| {
            time += step;
            (key, value, if back < 12 { (time - back * 3).max(0) } else { time })
        };
        steps.into_iter().map(row).collect()
    })
}

pub(super) fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..20, 1..5)
}

fn session_sums(gap: i64, grace: i64) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(SessionWindows::of(ms(gap)).grace(ms(grace)))
            .aggregate(
                || 0,
                |_, value, sum| sum + value,
                |_, sum, other| sum + other,
                Materialized::named("sessions"),
            )
            .to_stream()
            .to("out");
    })
}

/// Sessions of one key: start and end to sum.
type Sessions = BTreeMap<(i64, i64), i64>;

/// What comes of each row by itself.
fn naive_sessions(rows: &[Row], gap: i64, grace: i64) -> Vec<Vec<Out>> {
    let (mut stream_time, mut state) = (i64::MIN, BTreeMap::<u8, Sessions>::new());
    let name = |key: u8, (start, end): (i64, i64)| format!("{key}@{start}..{end}");
    let mut out = Vec::new();
    for (key, value, time) in rows {
        stream_time = stream_time.max(*time);
        let sessions = state.entry(*key).or_default();
        // What is expired is gone.
        sessions.retain(|(_, end), _| *end >= stream_time - gap - grace);
        let near: Vec<_> = sessions
            .keys()
            .copied()
            .filter(|(start, end)| *start <= time + gap && *end >= time - gap)
            .collect();
        let merged =
            near.iter().fold((*time, *time), |(start, end), near| (start.min(near.0), end.max(near.1)));
        let mut changes = Vec::new();
        if merged.1 >= stream_time - gap - grace {
            let mut sum = *value;
            for session in near {
                sum += sessions.remove(&session).unwrap();
                if session != (*time, *time) {
                    changes.push((name(*key, session), None, session.1));
                }
            }
            sessions.insert(merged, sum);
            changes.push((name(*key, merged), Some(sum), merged.1));
        }
        out.push(changes);
    }
    out
}

/// What a commit after these changes shows to someone who knows `known`: the last change of each key in the order of
/// times and then of first changes, but no deletion of what was never shown.
fn coalesced(changes: impl IntoIterator<Item = Out>, known: &mut Vec<String>) -> Vec<Out> {
    let mut last: Vec<Out> = Vec::new();
    for change in changes {
        match last.iter_mut().find(|seen| seen.0 == change.0) {
            Some(seen) => *seen = change,
            None => last.push(change),
        }
    }
    last.sort_by_key(|(.., time)| *time);
    last.retain(|(key, value, _)| value.is_some() || known.contains(key));
    known.extend(last.iter().map(|(key, ..)| key.clone()));
    last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sessions_act_like_a_fold(
        rows in any_rows(),
        cuts in any_cuts(),
        gap in 0i64..15,
        grace in 0i64..15,
        restart in 0usize..60,
    ) {
        let topology = session_sums(gap, grace);
        let expected = naive_sessions(&rows, gap, grace);
        let flat: Vec<Out> = expected.iter().flatten().cloned().collect();
        for run in [Run::plain(&[1]), Run::plain(&cuts), Run { restart: Some(restart), ..Run::plain(&cuts) }] {
            prop_assert_eq!(&sessions(run.of(&topology, &rows)), &flat, "{:?}", run);
        }
        let (before, after) = expected.split_at(restart.min(rows.len()));
        let mut known = Vec::new();
        let mut all = coalesced(before.iter().flatten().cloned(), &mut known);
        all.extend(coalesced(after.iter().flatten().cloned(), &mut known));
        let run = Run { caching: true, restart: Some(restart), ..Run::plain(&cuts) };
        prop_assert_eq!(sessions(run.of(&topology, &rows)), all, "{:?}", run);
    }
}

#[test]
fn sessions_grow_merge_and_close() {
    // (gap, grace, times of rows of one key with value 1) -> output
    let none: Option<i64> = None;
    for (gap, grace, times, expected) in [
        // Growing forward and backward, and a row inside.
        (
            10,
            0,
            vec![20, 30, 15, 25],
            vec![
                ("1@20..20", Some(1), 20),
                ("1@20..20", none, 20),
                ("1@20..30", Some(2), 30),
                ("1@20..30", none, 30),
                ("1@15..30", Some(3), 30),
                ("1@15..30", none, 30),
                ("1@15..30", Some(4), 30),
            ],
        ),
        // The same time again: no deletion.
        (10, 0, vec![20, 20], vec![("1@20..20", Some(1), 20), ("1@20..20", Some(2), 20)]),
        // A row between two sessions joins them; the gap is included.
        (
            5,
            20,
            vec![10, 20, 15],
            vec![
                ("1@10..10", Some(1), 10),
                ("1@20..20", Some(1), 20),
                ("1@10..10", none, 10),
                ("1@20..20", none, 20),
                ("1@10..20", Some(3), 20),
            ],
        ),
        // A session takes rows until stream time has passed its end by gap and grace.
        (
            5,
            3,
            vec![10, 18, 10, 19, 10],
            vec![
                ("1@10..10", Some(1), 10),
                ("1@18..18", Some(1), 18),
                ("1@10..10", Some(2), 10),
                ("1@18..18", none, 18),
                ("1@18..19", Some(2), 19),
            ],
        ),
        // Late by itself, but it extends a session that is open.
        (
            5,
            0,
            vec![10, 12, 7, 5, 11],
            vec![
                ("1@10..10", Some(1), 10),
                ("1@10..10", none, 10),
                ("1@10..12", Some(2), 12),
                ("1@10..12", none, 12),
                ("1@7..12", Some(3), 12),
                ("1@7..12", none, 12),
                ("1@5..12", Some(4), 12),
                ("1@5..12", none, 12),
                ("1@5..12", Some(5), 12),
            ],
        ),
    ] {
        let rows: Vec<Row> = times.iter().map(|time| (1, 1, *time)).collect();
        let expected: Vec<Out> =
            expected.into_iter().map(|(key, value, time)| (key.to_owned(), value, time)).collect();
        for cut in [1, 100] {
            let out = sessions(Run::plain(&[cut]).of(&session_sums(gap, grace), &rows));
            assert_eq!(out, expected, "gap {gap}, grace {grace}, rows at {times:?}");
        }
    }
}

#[test]
fn sessions_count_and_reduce() {
    let windows = SessionWindows::of(ms(5)).grace(ms(5));
    let counts = topology(|grouped| {
        grouped.windowed_by(windows).count(Materialized::named("sessions")).to_stream().to("out");
    });
    let most = topology(|grouped| {
        let most = |most: i64, value: &i64| most.max(*value);
        grouped.windowed_by(windows).reduce(most, Materialized::named("sessions")).to_stream().to("out");
    });
    for (topology, expected) in [(counts, Some(3)), (most, Some(9))] {
        let mut driver = TopologyTestDriver::new(topology, config(true)).unwrap();
        driver.pipe_all("in", &[record(&(1, 9, 0)), record(&(1, 3, 10)), record(&(1, 5, 5))]).unwrap();
        driver.commit().unwrap();
        assert_eq!(sessions(driver.read("out").unwrap()), [("1@0..10".to_owned(), expected, 10)]);
    }
}

#[test]
fn rows_without_key_and_late_rows_are_counted() {
    let mut driver = TopologyTestDriver::new(session_sums(5, 0), config(false)).unwrap();
    driver.pipe("in", None, Some(&1i64.to_be_bytes()), 100).unwrap();
    driver.pipe("in", Some(b"1"), None, 100).unwrap();
    // Neither of the two moved stream time.
    for time in [10, 16, 10] {
        driver.pipe_all("in", &[record(&(1, 1, time))]).unwrap();
    }
    let metrics = driver.metrics();
    assert_eq!((metrics.skipped, metrics.late), (2, 1));
}

#[test]
fn session_stores_keep_kafkas_layout_and_answer_queries() {
    let topology = session_sums(10, 5);
    let mut driver = TopologyTestDriver::new(topology, config(true)).unwrap();
    driver.pipe_all("in", &[record(&(1, 1, 5)), record(&(1, 2, 8)), record(&(12, 4, 30))]).unwrap();
    driver.commit().unwrap();
    let changelog = driver.read("test-sessions-changelog").unwrap();
    let keys: Vec<_> = changelog.iter().map(|record| record.key.clone().unwrap()).collect();
    // key bytes, end, start; the session [5, 5] was never committed, so it leaves no tombstone.
    assert_eq!(
        keys,
        [
            [b"1".as_slice(), &8i64.to_be_bytes(), &5i64.to_be_bytes()].concat(),
            [b"12".as_slice(), &30i64.to_be_bytes(), &30i64.to_be_bytes()].concat(),
        ]
    );
    let topic = driver.log().describe_topic("test-sessions-changelog").unwrap();
    assert_eq!(topic.partitions, 1);
    let store = driver.store("sessions").unwrap();
    // Retention is 15 ms and stream time 30: the session that ended at 8 has expired.
    let rows: Vec<_> = store.scan(Default::default()).collect::<Result<_, _>>().unwrap();
    let row = &rows[0];
    assert_eq!((rows.len(), row.key.as_slice(), row.timestamp), (1, b"12".as_slice(), 30));
    assert_eq!((row.window_start, row.window_end), (Some(30), Some(30)));
    assert_eq!(store.windows(b"12", 0, 100).unwrap().len(), 1);
    assert_eq!(store.windows(b"1", 0, 100).unwrap(), []);
}

pub(super) fn windows(records: Vec<OutputRecord>) -> Vec<Out> {
    let out = records.into_iter().map(|record| {
        let (key, [start]) = windowed(&record.key.unwrap());
        (format!("{key}@{start}"), number(record.value), record.timestamp)
    });
    out.collect()
}

fn sliding_sums(difference: i64, grace: i64) -> Topology {
    topology(|grouped| {
        grouped
            .windowed_by(SlidingWindows::of_time_difference(ms(difference)).grace(ms(grace)))
            .aggregate(|| 0, |_, value, sum| sum + value, Materialized::named("sliding"))
            .to_stream()
            .to("out");
    })
}

/// The last row of each key.
fn table(rows: &[Out]) -> BTreeMap<String, (Option<i64>, i64)> {
    rows.iter().map(|(key, value, time)| (key.clone(), (*value, *time))).collect()
}

/// All distinct windows of all rows, by the definition.
fn naive_sliding(rows: &[Row], difference: i64) -> BTreeMap<String, (Option<i64>, i64)> {
    let mut windows = BTreeMap::new();
    for (key, _, time) in rows {
        for start in [(time - difference).max(0), time + 1] {
            let within =
                rows.iter().filter(|row| row.0 == *key && row.2 >= start && row.2 <= start + difference);
            let within: Vec<&Row> = within.collect();
            if let Some(newest) = within.iter().map(|row| row.2).max() {
                let sum = within.iter().map(|row| row.1).sum();
                windows.insert(format!("{key}@{start}"), (Some(sum), newest));
            }
        }
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sliding_windows_are_all_sets_of_rows_near_each_other(
        rows in any_rows(),
        cuts in any_cuts(),
        difference in 0i64..15,
    ) {
        let topology = sliding_sums(difference, 10_000);
        let out = windows(Run::plain(&cuts).of(&topology, &rows));
        prop_assert_eq!(table(&out), naive_sliding(&rows, difference));
        for (_, value, _) in &out {
            prop_assert!(value.is_some());
        }
    }

    #[test]
    fn sliding_windows_do_not_show_batches(
        rows in any_rows(),
        cuts in any_cuts(),
        difference in 0i64..15,
        grace in 0i64..20,
        restart in 0usize..60,
    ) {
        let topology = sliding_sums(difference, grace);
        let expected = windows(Run::plain(&[1]).of(&topology, &rows));
        let restarted = Run { restart: Some(restart), ..Run::plain(&cuts) };
        for run in [Run::plain(&cuts), restarted.clone()] {
            prop_assert_eq!(&windows(run.of(&topology, &rows)), &expected, "{:?}", run);
        }
        let coalesced = Run { caching: true, ..restarted };
        prop_assert_eq!(table(&windows(coalesced.of(&topology, &rows))), table(&expected));
    }
}

#[test]
fn sliding_windows_of_one_key() {
    // (difference, grace, rows of one key: value and time) -> output
    for (difference, grace, rows, expected) in [
        // Each row ends a window and, once another one follows in time, begins one right after itself.
        (
            10,
            50,
            vec![(1, 20), (2, 25), (4, 40)],
            vec![("1@10", 1, 20), ("1@21", 2, 25), ("1@15", 3, 25), ("1@30", 4, 40)],
        ),
        // Out of order: the windows that are there first, then the one after the row itself.
        (
            10,
            50,
            vec![(1, 20), (2, 30), (4, 25)],
            vec![
                ("1@10", 1, 20),
                ("1@21", 2, 30),
                ("1@20", 3, 30),
                ("1@20", 7, 30),
                ("1@21", 6, 30),
                ("1@15", 5, 25),
                ("1@26", 2, 30),
            ],
        ),
        // The window after one row can be that before the next.
        (10, 50, vec![(1, 20), (2, 31)], vec![("1@10", 1, 20), ("1@21", 2, 31)]),
        // Rows before the difference share one window.
        (
            10,
            50,
            vec![(1, 3), (2, 8), (4, 5)],
            vec![("1@0", 1, 3), ("1@4", 2, 8), ("1@0", 3, 8), ("1@4", 6, 8), ("1@0", 7, 8), ("1@6", 2, 8)],
        ),
        // The end of a window may be at the close, but not before it; a row takes part where it is in time.
        (
            10,
            5,
            vec![(1, 20), (2, 35), (4, 30), (8, 20), (16, 19)],
            vec![
                ("1@10", 1, 20),
                ("1@25", 2, 35),
                ("1@25", 6, 35),
                ("1@21", 4, 30),
                ("1@20", 5, 30),
                ("1@31", 2, 35),
                ("1@20", 13, 30),
            ],
        ),
    ] {
        let rows: Vec<Row> = rows.iter().map(|(value, time)| (1, *value, *time)).collect();
        let expected: Vec<Out> =
            expected.into_iter().map(|(key, value, time)| (key.to_owned(), Some(value), time)).collect();
        for cut in [1, 100] {
            let out = windows(Run::plain(&[cut]).of(&sliding_sums(difference, grace), &rows));
            assert_eq!(out, expected, "difference {difference}, grace {grace}, {rows:?}");
        }
    }
}

#[test]
fn an_unlimited_window_has_one_row_per_key() {
    let topology = topology(|grouped| {
        grouped
            .windowed_by(UnlimitedWindows::of().start_on(10))
            .count(Materialized::named("forever"))
            .to_stream()
            .to("out");
    });
    let mut driver = TopologyTestDriver::new(topology, config(false)).unwrap();
    let rows = [(1, 0, 9), (1, 0, 10), (2, 0, 1 << 40), (1, 0, 11)].map(|row| record(&row));
    driver.pipe_all("in", &rows).unwrap();
    let expected = [("1@10", 1, 10), ("2@10", 1, 1 << 40), ("1@10", 2, 11)]
        .map(|(key, n, time)| (key.to_owned(), Some(n), time));
    assert_eq!(windows(driver.read("out").unwrap()), expected);
    assert_eq!(driver.metrics().late, 0);
}

#[test]
fn a_restart_does_not_open_closed_windows() {
    let topology = topology(|grouped| {
        grouped
            .windowed_by(TimeWindows::of(ms(10)))
            .count(Materialized::named("counts"))
            .to_stream()
            .to("out");
    });
    let rows: Vec<Row> = [(1, 0, 5), (1, 0, 20), (1, 0, 6)].to_vec();
    let run = Run { restart: Some(2), ..Run::plain(&[10]) };
    let out = windows(run.of(&topology, &rows));
    assert_eq!(out.last().map(|out| out.0.as_str()), Some("1@20"));
}

#[test]
fn rows_without_key_or_value_count_where_kafka_counts_them() {
    let materialized = || Materialized::named("counts");
    // A key, its row without value, and a row without key: (topology, count of the key, rows dropped)
    for (name, topology, expected, dropped) in [
        ("plain", topology(|grouped| grouped.count(materialized()).to_stream().to("out")), 1, 2),
        (
            "time",
            topology(|grouped| {
                let windows = TimeWindows::of(ms(100)).advance_by(ms(100));
                grouped.windowed_by(windows).count(materialized()).to_stream().to("out");
            }),
            2,
            1,
        ),
        (
            "unlimited",
            topology(|grouped| {
                grouped.windowed_by(UnlimitedWindows::of()).count(materialized()).to_stream().to("out");
            }),
            2,
            1,
        ),
        (
            "session",
            topology(|grouped| {
                let windows = SessionWindows::of(ms(100));
                grouped.windowed_by(windows).count(materialized()).to_stream().to("out");
            }),
            2,
            1,
        ),
        (
            "sliding",
            topology(|grouped| {
                let windows = SlidingWindows::of_time_difference(ms(100));
                grouped.windowed_by(windows).count(materialized()).to_stream().to("out");
            }),
            1,
            2,
        ),
    ] {
        let rows = [
            InputRecord::new(Some(b"1"), Some(&7i64.to_be_bytes()), 50),
            InputRecord::new(Some(b"1"), None, 40),
            InputRecord::new(None, Some(&7i64.to_be_bytes()), 60),
        ];
        for (caching, cut, restarts) in
            [(false, 3, false), (false, 1, false), (true, 3, false), (true, 1, true), (false, 1, true)]
        {
            let mut driver = TopologyTestDriver::new(topology.clone(), config(caching)).unwrap();
            let mut skipped = 0;
            for rows in rows.chunks(cut) {
                driver.pipe_all("in", rows).unwrap();
                driver.commit().unwrap();
                if restarts {
                    skipped += driver.metrics().skipped;
                    let (log, clock) = (driver.log().clone(), driver.clock().clone());
                    drop(driver);
                    driver =
                        TopologyTestDriver::on_log(topology.clone(), config(caching), log, clock).unwrap();
                }
            }
            skipped += driver.metrics().skipped;
            let out = driver.read("out").unwrap();
            let last = out.iter().rfind(|record| record.value.is_some()).unwrap();
            let case = format!("{name}, caching {caching}, batches of {cut}, restarts {restarts}");
            assert_eq!(number(last.value.clone()), Some(expected), "{case}");
            // The highest of the rows that count, or the end of the session.
            assert_eq!(last.timestamp, 50, "{case}");
            assert_eq!(skipped, dropped, "{case}");
        }
    }
}
