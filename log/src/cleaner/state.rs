//! What the log remembers of compaction: where it got to in each partition, and what went wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::hash::KeyHasher;
use super::round::Round;
use super::selection::Candidate;
use crate::checkpoint::{self, Offsets};
use crate::config::CleanerConfig;
use crate::error::{LogError, Result};
use crate::mutex::Mutex;
use crate::partition::Partition;
use crate::storage::Storage;
use crate::types::{Offset, TopicPartition};

/// Where the last round ended, as Kafka has it.
const FILE: &str = "cleaner-offset-checkpoint";
/// Segments that start below may have gaps. Written before a round starts, while the other is written after it.
const COMPACTED: &str = "millstream-compacted-offset-checkpoint";

/// Below which offsets partitions were compacted. Unreadable counts as nowhere.
pub(crate) fn compacted(storage: &dyn Storage, dir: &Path) -> Result<Offsets> {
    checkpoint::read_or_none(storage, &dir.join(COMPACTED))
}

/// One round of compaction over one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Cleaned {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the dirty range started.
    pub from: Offset,
    /// Where it ended: the next round starts here.
    pub to: Offset,
    /// Records in the segments that were written again, and how many stayed.
    pub records_read: u64,
    /// How many records stayed.
    pub records_kept: u64,
    /// Bytes in the segments that were written again.
    pub bytes_read: u64,
    /// Bytes in the segments that took their place.
    pub bytes_written: u64,
    /// How full the map of keys got, from 0 to 1. When full, the round ended before the dirty range did.
    pub map_fill: f64,
    /// Time that it took.
    pub duration: Duration,
}

/// Where compaction stands in a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerStats {
    /// The partition.
    pub partition: TopicPartition,
    /// Everything below was cleaned before.
    pub first_dirty: Offset,
    /// Where a round would end at the latest: at records that are too young, a transaction that is open, or the active
    /// segment.
    pub first_uncleanable: Offset,
    /// Share of the bytes below that were not cleaned before, from 0 to 1.
    pub dirty_ratio: f64,
    /// The last round since the log was opened.
    pub last: Option<Cleaned>,
    /// Why it is not cleaned until the log is opened again.
    pub uncleanable: Option<String>,
}

/// The log's compaction. One round at a time.
#[derive(Debug)]
pub(crate) struct Cleaner {
    dir: PathBuf,
    running: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the last round ended.
    checkpoint: Offsets,
    /// Below it no segment is known to be without gaps.
    compacted: Offsets,
    reports: BTreeMap<TopicPartition, Report>,
}

#[derive(Debug, Default)]
struct Report {
    last: Option<Cleaned>,
    uncleanable: Option<String>,
    /// Monotonic time of the next try.
    retry_at: Option<Duration>,
}

impl Cleaner {
    /// Reads how far compaction got. A checkpoint that makes no sense only means that it starts over.
    pub(crate) fn open(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let checkpoint = match checkpoint::read(storage, &path) {
            Err(LogError::InvalidFile { path, reason }) => {
                tracing::warn!(path = %path.display(), reason, "compaction starts over");
                Offsets::new()
            }
            outcome => outcome?,
        };
        let compacted = checkpoint::read(storage, &dir.join(COMPACTED))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            running: Mutex::default(),
            state: Mutex::new(State { checkpoint, compacted, reports: BTreeMap::new() }),
        })
    }

    /// Waits until no round is running. For whoever made sure that none starts.
    pub(crate) fn wait(&self) {
        drop(self.running.lock());
    }

    /// Cleans the one of `partitions` that is dirtiest, if any is worth it.
    pub(crate) fn clean_next(
        &self,
        partitions: &[Arc<Partition>],
        config: &CleanerConfig,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Cleaned>> {
        let _running = self.running.lock();
        let mut best: Option<(f64, &Partition, Candidate)> = None;
        for partition in partitions {
            if !self.may_clean(partition) {
                continue;
            }
            let candidate = match self.candidate(partition) {
                Ok(candidate) => candidate,
                Err(error) => {
                    self.note_failure(partition, config, &error);
                    return Err(error);
                }
            };
            let ratio = candidate.dirty_ratio();
            if candidate.is_due(&partition.config()) && best.as_ref().is_none_or(|(most, ..)| ratio > *most) {
                best = Some((ratio, partition, candidate));
            }
        }
        let Some((_, partition, candidate)) = best else { return Ok(None) };
        self.round(partition, candidate, config, is_cancelled).map(Some)
    }

    /// Cleans a partition, worth it or not.
    pub(crate) fn clean(
        &self,
        partition: &Partition,
        config: &CleanerConfig,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Cleaned> {
        let _running = self.running.lock();
        let candidate = self.candidate(partition)?;
        self.round(partition, candidate, config, is_cancelled)
    }

    /// Where compaction stands in `partitions`.
    pub(crate) fn stats(&self, partitions: &[Arc<Partition>]) -> Result<Vec<CleanerStats>> {
        let stats = |partition: &Arc<Partition>| {
            let candidate = self.candidate(partition)?;
            let state = self.state.lock();
            let report = state.reports.get(partition.id());
            Ok(CleanerStats {
                partition: partition.id().clone(),
                first_dirty: candidate.first_dirty,
                first_uncleanable: candidate.first_uncleanable.max(candidate.first_dirty),
                dirty_ratio: candidate.dirty_ratio(),
                last: report.and_then(|report| report.last.clone()),
                uncleanable: report.and_then(|report| report.uncleanable.clone()),
            })
        };
        partitions.iter().map(stats).collect()
    }

    /// Forgets the partitions that `exists` denies.
    pub(crate) fn retain(
        &self,
        storage: &dyn Storage,
        exists: impl Fn(&TopicPartition) -> bool,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.reports.retain(|id, _| exists(id));
        let State { checkpoint, compacted, .. } = &mut *state;
        for (offsets, name) in [(checkpoint, FILE), (compacted, COMPACTED)] {
            let count = offsets.len();
            offsets.retain(|id, _| exists(id));
            if offsets.len() < count {
                checkpoint::write(storage, &self.dir.join(name), offsets)?;
            }
        }
        Ok(())
    }

    /// Segments of a partition that start below were compacted, or are about to be.
    pub(crate) fn compacted_below(&self, partition: &TopicPartition) -> Offset {
        self.state.lock().compacted.get(partition).copied().unwrap_or_default()
    }

    fn raise_compacted(&self, partition: &Partition, end: Offset) -> Result<()> {
        let mut state = self.state.lock();
        if state.compacted.get(partition.id()).is_some_and(|below| *below >= end) {
            return Ok(());
        }
        let mut compacted = state.compacted.clone();
        compacted.insert(partition.id().clone(), end);
        checkpoint::write(&*partition.surroundings().storage, &self.dir.join(COMPACTED), &compacted)?;
        state.compacted = compacted;
        Ok(())
    }

    fn candidate(&self, partition: &Partition) -> Result<Candidate> {
        let checkpoint = self.state.lock().checkpoint.get(partition.id()).copied();
        let now = partition.surroundings().clock.now();
        Candidate::of(&partition.extent(), &partition.config(), checkpoint, now)
    }

    fn may_clean(&self, partition: &Partition) -> bool {
        let now = partition.surroundings().clock.monotonic();
        let state = self.state.lock();
        let is_well = state.reports.get(partition.id()).is_none_or(|report| {
            report.uncleanable.is_none() && report.retry_at.is_none_or(|retry_at| retry_at <= now)
        });
        drop(state);
        is_well && partition.config().cleanup_policy.compact && partition.is_open()
    }

    fn round(
        &self,
        partition: &Partition,
        candidate: Candidate,
        config: &CleanerConfig,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Cleaned> {
        let around = partition.surroundings();
        let start = around.clock.monotonic();
        let hasher = KeyHasher::new({
            let mut random = around.random.lock();
            [random.u64(..), random.u64(..)]
        });
        let is_cancelled = || is_cancelled() || partition.is_deleted();
        let done = self
            .raise_compacted(partition, candidate.first_uncleanable)
            .and_then(|()| Round::run(partition, config, candidate, hasher, &is_cancelled))
            .inspect_err(|error| self.note_failure(partition, config, error))?;
        let cleaned = Cleaned {
            partition: partition.id().clone(),
            from: candidate.first_dirty,
            to: done.end,
            records_read: done.records_read,
            records_kept: done.records_kept,
            bytes_read: done.bytes_read,
            bytes_written: done.bytes_written,
            map_fill: done.map_fill,
            duration: around.clock.monotonic().saturating_sub(start),
        };
        self.note_success(partition, &cleaned)
            .inspect_err(|error| self.note_failure(partition, config, error))?;
        Ok(cleaned)
    }

    fn note_success(&self, partition: &Partition, cleaned: &Cleaned) -> Result<()> {
        let mut state = self.state.lock();
        let report = Report { last: Some(cleaned.clone()), ..Report::default() };
        state.reports.insert(partition.id().clone(), report);
        if state.checkpoint.insert(partition.id().clone(), cleaned.to) == Some(cleaned.to) {
            return Ok(());
        }
        checkpoint::write(&*partition.surroundings().storage, &self.dir.join(FILE), &state.checkpoint)
    }

    /// Leaves a partition alone after a failure: for a while if the disk is full, else until the log is reopened.
    fn note_failure(&self, partition: &Partition, config: &CleanerConfig, error: &LogError) {
        if matches!(error, LogError::Closed) || partition.is_deleted() {
            return;
        }
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
        let mut state = self.state.lock();
        let report = state.reports.entry(partition.id().clone()).or_default();
        match error {
            LogError::DiskFull { .. } => {
                report.retry_at = Some(partition.surroundings().clock.monotonic() + config.backoff);
            }
            _ => report.uncleanable = Some(format!("{error}{cause}")),
        }
    }
}
