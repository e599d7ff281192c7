//! What is wrong with the files, told after all of them were printed.

use std::fmt;
use std::path::{Path, PathBuf};

/// Pairs told of one mismatch of one file.
const TOLD_MAX: usize = 100;

/// Something wrong with one file. Its text has no line break at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Numbers that should agree, or follow each other, and do not.
    Mismatches {
        /// Which numbers.
        kind: Mismatch,
        /// The file.
        path: PathBuf,
        /// The first hundred.
        pairs: Vec<(i64, i64)>,
        /// How many there are.
        count: usize,
    },
    /// A part of a file that is not what was written.
    Damage {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// A file of a kind that is not known.
    Unknown {
        /// The file.
        path: PathBuf,
    },
}

/// The numbers of [`Problem::Mismatches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The offset of an index entry, and the last offset of the batch that it leads to; -1 if to none.
    Offset,
    /// The timestamp of a time-index entry, and the largest of its batch.
    Timestamp,
    /// The timestamp of a time-index entry, and that of the entry before, which is not smaller.
    TimestampOrder,
    /// The offset of a time-index entry, and the last offset of the batch found for it; -1 if none.
    NotFound,
    /// An offset, and the one that follows it. Compaction leaves such gaps; elsewhere something is missing.
    Gap,
}

impl Problem {
    /// Whether it shows that bytes are damaged, unlike gaps and unknown files.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Mismatches { kind: Mismatch::Gap, .. } | Self::Unknown { .. } => false,
            Self::Mismatches { .. } | Self::Damage { .. } => true,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path, pairs, count) = match self {
            Self::Damage { path, position, reason } => {
                return write!(f, "{} is corrupt at position {position}: {reason}", path.display());
            }
            Self::Unknown { path } => return write!(f, "Ignoring unknown file {}", path.display()),
            Self::Mismatches { kind, path, pairs, count } => (kind, path.display(), pairs, count),
        };
        match kind {
            Mismatch::Offset => write!(f, "Mismatches in :{path}")?,
            Mismatch::Timestamp => write!(f, "Found timestamp mismatch in :{path}")?,
            Mismatch::TimestampOrder => write!(f, "Found out of order timestamp in :{path}")?,
            Mismatch::NotFound => {
                write!(f, "The following indexed offsets are not found in the log: {path}")?
            }
            Mismatch::Gap => write!(f, "Non-consecutive offsets in {path}")?,
        }
        for (first, second) in pairs {
            match kind {
                Mismatch::Offset => write!(f, "\n  Index offset: {first}, log offset: {second}")?,
                Mismatch::Timestamp => write!(f, "\n  Index timestamp: {first}, log timestamp: {second}")?,
                Mismatch::TimestampOrder => {
                    write!(f, "\n  Index timestamp: {first}, Previously indexed timestamp: {second}")?;
                }
                Mismatch::NotFound => write!(f, "\n  Indexed offset: {first}, found log offset: {second}")?,
                Mismatch::Gap => write!(f, "\n  {first} is followed by {second}")?,
            }
        }
        match count - pairs.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// The problems of a run, each kind of mismatch of each file once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    pub(super) fn damage(&mut self, path: &Path, position: u64, reason: impl Into<String>) {
        self.add(Problem::Damage { path: path.to_path_buf(), position, reason: reason.into() });
    }

    pub(super) fn mismatch(&mut self, of: Mismatch, at: &Path, pair: (i64, i64)) {
        for problem in &mut self.list {
            match problem {
                Problem::Mismatches { kind, path, pairs, count } if *kind == of && path == at => {
                    *count += 1;
                    if pairs.len() < TOLD_MAX {
                        pairs.push(pair);
                    }
                    return;
                }
                _ => {}
            }
        }
        let path = at.to_path_buf();
        self.add(Problem::Mismatches { kind: of, path, pairs: vec![pair], count: 1 });
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.list
    }
}
