//! What the applications do, and what a naive fold of their committed input says must come of it.

mod reminders;
mod stream_join;
mod tables;
mod timers;
mod transfers;
mod windows;
mod word_count;

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::driver::OutputRecord;
use crate::error::StreamsError;
use crate::store::StoredRow;
use crate::topology::Topology;

/// Event times and the wall clock begin here.
pub(super) const START: i64 = 1_700_000_000_000;

/// The workloads that most seeds choose from.
pub(super) const FIRST: usize = 6;

/// All workloads.
pub(super) const ALL: [&dyn Workload; 7] = [
    &word_count::WordCount,
    &transfers::Transfers,
    &stream_join::StreamJoin,
    &tables::Tables,
    &windows::Windows,
    &timers::Timers,
    &reminders::Reminders,
];

/// An application with its input and with what it must do.
pub(super) trait Workload: Sync {
    /// The name, for reports.
    fn name(&self) -> &'static str;
    /// The topics that it reads, all with the same number of partitions.
    fn inputs(&self) -> &'static [&'static str];
    /// The topic that it writes.
    fn output(&self) -> &'static str;
    /// The application.
    fn topology(&self) -> Result<Topology, StreamsError>;
    /// The next row. `serial` is different for every row of a run.
    fn row(&self, serial: u64, partition: u32, time: i64, rng: &mut Rng) -> InputRow;
    /// Rows that end a partition, so that what waits for later rows comes out.
    fn closing(&self, _partition: u32, _time: i64) -> Vec<InputRow> {
        Vec::new()
    }
    /// Whether nothing more comes by the wall clock, once all input is committed.
    fn is_over(&self, _rows: &Rows) -> bool {
        true
    }
    /// Whether at least once is enough to check something.
    fn works_at_least_once(&self) -> bool {
        false
    }
    /// Compares what a run has written and keeps with a fold over its input.
    fn check(&self, outcome: &Outcome) -> Result<(), String>;
    /// What holds in every committed state of a partition, by store.
    fn check_committed(&self, _rows: &Rows) -> Result<(), String> {
        Ok(())
    }
}

/// A record for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRow {
    pub(super) topic: &'static str,
    pub(super) partition: u32,
    pub(super) time: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl InputRow {
    fn text(topic: &'static str, partition: u32, time: i64, key: &str, value: Option<String>) -> Self {
        let key = (!key.is_empty()).then(|| key.as_bytes().to_vec());
        Self { topic, partition, time, key, value: value.map(String::into_bytes) }
    }
}

/// Rows of stores by name.
pub(super) type Rows = BTreeMap<String, Vec<StoredRow>>;

/// What is committed at the end of a run.
pub(super) struct Outcome {
    /// Every input row counts once; else, at least once.
    pub(super) exactly_once: bool,
    /// Updates are coalesced until the commit.
    pub(super) caching: bool,
    /// By topic, in the order of partitions and offsets.
    pub(super) input: BTreeMap<&'static str, Vec<OutputRecord>>,
    pub(super) output: Vec<OutputRecord>,
    pub(super) stores: Rows,
}

impl Outcome {
    fn input(&self, topic: &str) -> &[OutputRecord] {
        self.input.get(topic).map_or(&[], Vec::as_slice)
    }

    /// The input of a topic by partition.
    fn partitions(&self, topic: &str) -> BTreeMap<u32, Vec<&OutputRecord>> {
        let mut partitions: BTreeMap<u32, Vec<&OutputRecord>> = BTreeMap::new();
        for record in self.input(topic) {
            partitions.entry(record.partition.get()).or_default().push(record);
        }
        partitions
    }

    fn store(&self, name: &str) -> Result<&[StoredRow], String> {
        self.stores.get(name).map(Vec::as_slice).ok_or_else(|| format!("there is no store {name}"))
    }

    /// The output values by key, each in its order.
    fn output_by_key(&self) -> Result<BTreeMap<String, Vec<i64>>, String> {
        let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in &self.output {
            rows.entry(text(record.key.as_deref())?).or_default().push(number(record.value.as_deref())?);
        }
        Ok(rows)
    }
}

/// What was asked for as text.
fn text(bytes: Option<&[u8]>) -> Result<String, String> {
    let bytes = bytes.ok_or("a row has no key or value")?;
    String::from_utf8(bytes.to_vec()).map_err(|error| format!("{bytes:02x?} is no text: {error}"))
}

fn number(bytes: Option<&[u8]>) -> Result<i64, String> {
    let bytes = bytes.ok_or("a row has no value")?;
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| format!("{bytes:02x?} is no number"))
}

/// The values of a key must be those that a fold gives: all of them, or if updates are coalesced some of them in their
/// order, and the last one.
fn compare_updates(
    caching: bool,
    what: &str,
    expected: &BTreeMap<String, Vec<i64>>,
    found: &BTreeMap<String, Vec<i64>>,
) -> Result<(), String> {
    for (key, found) in found {
        if !expected.contains_key(key) {
            return Err(format!("{what} of {key} are {found:?}, and there should be none"));
        }
    }
    for (key, expected) in expected {
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        let fits = match caching {
            false => found == expected,
            true => found.last() == expected.last() && is_part(found, expected),
        };
        if !fits {
            return Err(format!("{what} of {key} are {found:?} and not {expected:?}"));
        }
    }
    Ok(())
}

/// Whether the rows are some of all, in their order.
fn is_part(some: &[i64], all: &[i64]) -> bool {
    let mut all = all.iter();
    some.iter().all(|row| all.any(|other| other == row))
}

/// Both must have the same rows, as often.
fn compare_bags<T: Ord + std::fmt::Debug>(
    what: &str,
    mut expected: Vec<T>,
    mut found: Vec<T>,
) -> Result<(), String> {
    expected.sort();
    found.sort();
    if expected == found {
        return Ok(());
    }
    let lost: Vec<&T> = without(&expected, &found);
    let more: Vec<&T> = without(&found, &expected);
    Err(format!(
        "{what}: {} rows in place of {}, lost {lost:?}, too many {more:?}",
        found.len(),
        expected.len()
    ))
}

/// What is in one sorted list and not, or not so often, in another.
fn without<'a, T: Ord>(of: &'a [T], other: &[T]) -> Vec<&'a T> {
    let mut other = other.iter().peekable();
    let mut left = Vec::new();
    for row in of {
        while other.peek().is_some_and(|it| *it < row) {
            other.next();
        }
        if other.peek() == Some(&row) {
            other.next();
        } else {
            left.push(row);
        }
    }
    left
}
