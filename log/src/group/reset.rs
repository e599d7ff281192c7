//! Moving a group's offsets: what `groups reset-offsets` would do, worked out before anything is done.

use std::fmt;
use std::time::Duration;

use crate::types::{Offset, Timestamp, TopicPartition};

/// Where offsets go. Names are those of the command's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetMode {
    /// `--to-earliest`: the log start.
    ToEarliest,
    /// `--to-latest`: the log end.
    ToLatest,
    /// `--to-current`: where they are; partitions without a committed offset go to the end.
    ToCurrent,
    /// `--to-offset`: that offset.
    ToOffset(Offset),
    /// `--shift-by`: that many records forward, or back.
    ShiftBy(i64),
    /// `--to-datetime`: the first record that is not older, or the end.
    ToDatetime(Timestamp),
    /// `--by-duration`: as `--to-datetime` with now minus the duration.
    ByDuration(Duration),
    /// `--from-file`: the offset beside each partition; others stay as they are.
    FromFile(Vec<(TopicPartition, Offset)>),
}

impl ResetMode {
    /// The time whose offset [`PartitionFacts::at_time`] has to be, for the modes that go by time.
    pub fn time(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::ToDatetime(time) => Some(*time),
            Self::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Some(Timestamp::new(now.get().saturating_sub(age)))
            }
            Self::ToEarliest
            | Self::ToLatest
            | Self::ToCurrent
            | Self::ToOffset(_)
            | Self::ShiftBy(_)
            | Self::FromFile(_) => None,
        }
    }
}

/// What a plan needs to know of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFacts {
    /// The partition.
    pub partition: TopicPartition,
    /// Log start offset.
    pub start: Offset,
    /// Log end offset.
    pub end: Offset,
    /// The group's offset.
    pub committed: Option<Offset>,
    /// First offset of [`ResetMode::time`], `None` if all records are older.
    pub at_time: Option<Offset>,
}

/// What becomes of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetRow {
    /// The partition.
    pub partition: TopicPartition,
    /// The group's offset before.
    pub current: Option<Offset>,
    /// Its offset after, or why there is none.
    pub outcome: Result<Offset, ResetRefusal>,
    /// Set if the offset that was asked for does not exist and the nearest one is taken.
    pub warning: Option<ResetWarning>,
}

/// Why a partition's offset cannot be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetRefusal {
    /// Nothing is committed that could be shifted.
    NothingCommitted,
}

impl fmt::Display for ResetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingCommitted => f.write_str("there is no committed offset to shift: use another mode"),
        }
    }
}

/// An offset outside of the log, for which the nearest end is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetWarning {
    /// What was asked for, maybe below 0.
    pub asked: i128,
    /// What is taken.
    pub taken: Offset,
}

impl fmt::Display for ResetWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.asked > i128::from(self.taken.get()) {
            "higher than the end"
        } else {
            "lower than the start"
        };
        write!(f, "offset {} is {end} of the log; taking {} instead", self.asked, self.taken)
    }
}

/// All rows of a reset: what a dry run shows and what an execution commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetPlan {
    /// A row for each partition, in their order.
    pub rows: Vec<ResetRow>,
}

impl ResetPlan {
    /// Works out where each partition goes. A function of its arguments alone.
    pub fn new(mode: &ResetMode, facts: &[PartitionFacts]) -> Self {
        let row = |facts: &PartitionFacts| {
            let asked = match mode {
                ResetMode::ToEarliest => Ok(wide(facts.start)),
                ResetMode::ToLatest => Ok(wide(facts.end)),
                ResetMode::ToCurrent => Ok(wide(facts.committed.unwrap_or(facts.end))),
                ResetMode::ToOffset(offset) => Ok(wide(*offset)),
                ResetMode::ShiftBy(by) => match facts.committed {
                    Some(committed) => Ok(wide(committed) + i128::from(*by)),
                    None => Err(ResetRefusal::NothingCommitted),
                },
                ResetMode::ToDatetime(_) | ResetMode::ByDuration(_) => {
                    Ok(wide(facts.at_time.unwrap_or(facts.end)))
                }
                ResetMode::FromFile(rows) => {
                    let (_, offset) =
                        rows.iter().rev().find(|(partition, _)| *partition == facts.partition)?;
                    Ok(wide(*offset))
                }
            };
            let clamp = |asked: i128| {
                let taken = asked.clamp(wide(facts.start), wide(facts.end).max(wide(facts.start)));
                Offset::new(u64::try_from(taken).expect("it lies between two offsets"))
            };
            let outcome = asked.map(clamp);
            let warning = match (asked, outcome) {
                (Ok(asked), Ok(taken)) if asked != wide(taken) => Some(ResetWarning { asked, taken }),
                _ => None,
            };
            Some(ResetRow { partition: facts.partition.clone(), current: facts.committed, outcome, warning })
        };
        let mut rows: Vec<_> = facts.iter().filter_map(row).collect();
        rows.sort_by(|a, b| a.partition.cmp(&b.partition));
        Self { rows }
    }

    /// The offsets to commit. Fails with the first partition that has none.
    pub fn offsets(&self) -> Result<Vec<(TopicPartition, Offset)>, (TopicPartition, ResetRefusal)> {
        self.rows
            .iter()
            .map(|row| match row.outcome {
                Ok(offset) => Ok((row.partition.clone(), offset)),
                Err(refusal) => Err((row.partition.clone(), refusal)),
            })
            .collect()
    }
}

fn wide(offset: Offset) -> i128 {
    i128::from(offset.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(committed: Option<u64>, at_time: Option<u64>) -> PartitionFacts {
        PartitionFacts {
            partition: TopicPartition::new("t", 0),
            start: Offset::new(10),
            end: Offset::new(100),
            committed: committed.map(Offset::new),
            at_time: at_time.map(Offset::new),
        }
    }

    #[test]
    fn every_mode_goes_where_its_option_says() {
        use ResetMode::*;
        let time = Timestamp::new(5);
        // (mode, committed, first offset at the time) → (offset, asked if that was not there)
        for (mode, committed, at_time, expected) in [
            (ToEarliest, Some(50), None, Some((10, None))),
            (ToLatest, Some(50), None, Some((100, None))),
            (ToCurrent, Some(50), None, Some((50, None))),
            (ToCurrent, None, None, Some((100, None))),
            (ToCurrent, Some(5), None, Some((10, Some(5)))),
            (ToOffset(Offset::new(60)), None, None, Some((60, None))),
            (ToOffset(Offset::new(3)), None, None, Some((10, Some(3)))),
            (ToOffset(Offset::new(u64::MAX)), None, None, Some((100, Some(i128::from(u64::MAX))))),
            (ShiftBy(-20), Some(50), None, Some((30, None))),
            (ShiftBy(-60), Some(50), None, Some((10, Some(-10)))),
            (ShiftBy(i64::MAX), Some(50), None, Some((100, Some(i128::from(i64::MAX) + 50)))),
            (ShiftBy(1), None, None, None),
            (ToDatetime(time), Some(50), Some(77), Some((77, None))),
            (ToDatetime(time), Some(50), None, Some((100, None))),
            (ByDuration(Duration::from_secs(1)), None, Some(20), Some((20, None))),
            (FromFile(vec![(TopicPartition::new("t", 0), Offset::new(42))]), None, None, Some((42, None))),
        ] {
            let plan = ResetPlan::new(&mode, &[facts(committed, at_time)]);
            let row = &plan.rows[0];
            let found =
                row.outcome.ok().map(|offset| (offset.get(), row.warning.map(|warning| warning.asked)));
            assert_eq!(found, expected, "{mode:?} from {committed:?}");
            assert_eq!(plan.offsets().is_ok(), expected.is_some());
        }
        let other = FromFile(vec![(TopicPartition::new("u", 0), Offset::new(42))]);
        assert_eq!(ResetPlan::new(&other, &[facts(None, None)]), ResetPlan::default());
        let now = Timestamp::new(10_000);
        assert_eq!(ByDuration(Duration::from_secs(4)).time(now), Some(Timestamp::new(6000)));
        assert_eq!((ToDatetime(time).time(now), ToLatest.time(now)), (Some(time), None));
    }

    #[test]
    fn warnings_say_what_was_asked_and_what_is_taken() {
        let low = ResetWarning { asked: -10, taken: Offset::new(10) };
        assert_eq!(low.to_string(), "offset -10 is lower than the start of the log; taking 10 instead");
        let high = ResetWarning { asked: 101, taken: Offset::new(100) };
        assert_eq!(high.to_string(), "offset 101 is higher than the end of the log; taking 100 instead");
    }
}
