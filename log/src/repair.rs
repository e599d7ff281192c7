//! What a repair of a partition gives up.

use std::path::PathBuf;

use crate::types::{Offset, TopicPartition};

/// Whether a repair changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// Only says what would be lost.
    DryRun,
    /// Gives up what is damaged, so that the partition takes batches again.
    Apply,
}

/// What a repair gave up, or would give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairReport {
    /// The partition.
    pub partition: TopicPartition,
    /// Damaged ranges in offset order; none if the partition is sound.
    pub lost: Vec<LostRange>,
    /// Whether they were given up.
    pub is_applied: bool,
}

impl RepairReport {
    /// How many bytes are damaged.
    pub fn bytes_lost(&self) -> u64 {
        self.lost.iter().map(LostRange::bytes).sum()
    }

    /// How many offsets at most are not readable any more. Some of them may have held no record before.
    pub fn offsets_lost(&self) -> u64 {
        self.lost.iter().map(|range| range.offset_end.since(range.offset)).sum()
    }
}

/// A damaged range of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The segment's file.
    pub path: PathBuf,
    /// Where in the file the damage starts.
    pub position: u64,
    /// Where sound batches go on, or the end of the file.
    pub position_end: u64,
    /// The first offset that is lost.
    pub offset: Offset,
    /// The first offset that is not lost any more.
    pub offset_end: Offset,
    /// What is wrong.
    pub reason: String,
}

impl LostRange {
    /// How many bytes of the file are damaged, 0 if all of it is missing.
    pub fn bytes(&self) -> u64 {
        self.position_end - self.position
    }
}
