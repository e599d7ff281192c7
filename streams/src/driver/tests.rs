//! Crashes at all points, against naive folds over the committed input.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::crash::CrashPoint;
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::operator::{EmitStrategy, TimeWindows};
use crate::serde::{Int64, Utf8};

/// Rows per key, by a fold.
type Fold = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

fn config(caching: bool) -> StreamsConfig {
    let mut config = StreamsConfig::new("app").exactly_once();
    config.cache_max_bytes = if caching { 1 << 20 } else { 0 };
    config
}

fn words() -> Vec<(&'static str, Vec<InputRecord>)> {
    let lines = [&["a b", "b c c"][..], &["a", "d a b", "c"], &["b b"]];
    let records = |lines: &&[&str]| -> Vec<InputRecord> {
        let record =
            |(at, line): (usize, &&str)| InputRecord::new(None, Some(line.as_bytes()), at as i64 * 10);
        lines.iter().enumerate().map(record).collect()
    };
    lines.iter().map(|lines| ("lines", records(lines))).collect()
}

fn word_count(caching: bool) -> Result<TopologyTestDriver, StreamsError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines", Consumed::with(Utf8, Utf8))
        .flat_map_values(|_, line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    TopologyTestDriver::with_partitions(builder.build()?, config(caching), 2)
}

fn by_key(records: Vec<OutputRecord>) -> Fold {
    let mut rows = Fold::new();
    for record in records {
        rows.entry(record.key.unwrap()).or_default().push(record.value.unwrap());
    }
    rows
}

#[test]
fn word_counts_survive_a_crash_at_every_point() {
    for caching in [false, true] {
        let runs = crash_everywhere(
            || word_count(caching),
            &words(),
            |driver, case| {
                let mut counts = Fold::new();
                for line in driver.read_committed("lines").unwrap() {
                    for word in line.value.unwrap().split(|byte| *byte == b' ') {
                        let known = counts.entry(word.to_vec()).or_default();
                        known.push((known.len() as i64 + 1).to_be_bytes().to_vec());
                    }
                }
                let rows = driver.store("counts").unwrap();
                let rows = rows.scan(KeyRange::all()).map(|row| row.map(|row| (row.key, row.value)).unwrap());
                let last =
                    |(key, counts): (&Vec<u8>, &Vec<Vec<u8>>)| (key.clone(), counts.last().unwrap().clone());
                let latest: BTreeMap<_, _> = counts.iter().map(last).collect();
                assert_eq!(rows.collect::<BTreeMap<_, _>>(), latest, "{case}");
                let out = by_key(driver.read_committed("out").unwrap());
                if caching {
                    assert!(out.values().all(|counts| counts.is_sorted_by(|a, b| a < b)), "{case}");
                    assert_eq!(out.iter().map(last).collect::<BTreeMap<_, _>>(), latest, "{case}");
                } else {
                    assert_eq!(out, counts, "{case}");
                }
            },
        );
        assert!(runs.unwrap() > 30, "every point of every commit was a case");
    }
}

#[test]
fn closed_windows_come_out_once_whatever_crashes() {
    let topology = || {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
            .group_by_key()
            .windowed_by(TimeWindows::of(Duration::from_millis(10)))
            .emit_strategy(EmitStrategy::OnWindowClose)
            .count(Materialized::named("counts"))
            .to_stream()
            .to("out");
        TopologyTestDriver::new(builder.build()?, config(false))
    };
    let record = |time: i64| InputRecord::new(Some(b"k"), Some(&time.to_be_bytes()), time);
    let batches = [vec![1, 2, 9], vec![10, 4, 12, 25], vec![30, 41]];
    let batches = batches.map(|times| ("in", times.into_iter().map(record).collect::<Vec<_>>()));
    let expected = [(0, 3), (10, 2), (20, 1), (30, 1)];
    let runs = crash_everywhere(topology, &batches, |driver, case| {
        let out = driver.read_committed("out").unwrap().into_iter().map(|record| {
            let start = record.key.unwrap()[1..].try_into().map(i64::from_be_bytes).unwrap();
            (start, record.value.unwrap().try_into().map(i64::from_be_bytes).unwrap())
        });
        assert_eq!(out.collect::<Vec<_>>(), expected, "{case}");
    });
    assert!(runs.unwrap() > 50);
}

#[test]
fn what_has_crashed_does_nothing_more() {
    let mut driver = word_count(false).unwrap();
    driver.crash_at(CrashPoint::BeforeCommit, 0);
    let (topic, batch) = &words()[0];
    let crash = driver.pipe_all(topic, batch).unwrap_err();
    assert_eq!(crash.to_string(), "the application was made to crash at streams.before_commit");
    assert!(driver.commit().unwrap_err().to_string().contains("restart it first"));
    assert!(driver.read_committed("out").unwrap().is_empty());
    driver.restart(LocalState::Kept).unwrap();
    driver.run().unwrap();
    assert_eq!(driver.read_committed("out").unwrap().len(), 5);
    assert_eq!(driver.passed()[&CrashPoint::Assigned], 2);
}
