//! What of a partition can be cleaned, and whether it is worth it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::TopicConfig;
use crate::error::Result;
use crate::record::RecordBatch;
use crate::segment::Segment;
use crate::types::{Offset, Timestamp};

/// A partition at one moment, as far as compaction cares.
#[derive(Debug)]
pub(crate) struct Extent {
    /// In offset order; the last is the active one.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) last_stable_offset: Offset,
}

/// What a round would take on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Everything below was cleaned before.
    pub(super) first_dirty: Offset,
    /// Where the round ends at the latest: the start of a segment, so that it takes in transactions as a whole, at or
    /// below the last stable offset, the active segment and the first one with records that are too young.
    pub(super) first_uncleanable: Offset,
    pub(super) clean_bytes: u64,
    pub(super) dirty_bytes: u64,
    /// Whether a dirty segment is older than `max.compaction.lag.ms`.
    pub(super) is_overdue: bool,
}

impl Candidate {
    /// Looks at a partition. `checkpoint` is where the last round ended.
    pub(super) fn of(
        extent: &Extent,
        config: &TopicConfig,
        checkpoint: Option<Offset>,
        now: Timestamp,
    ) -> Result<Self> {
        let first_dirty =
            checkpoint.filter(|at| (extent.start..=extent.end).contains(at)).unwrap_or(extent.start);
        let active = extent.segments.len() - 1;
        let end_of = |at: usize| extent.segments[at + 1].base();
        let is_dirty = |at: usize| end_of(at) > first_dirty;
        let is_young = |at: usize| {
            let lag = config.min_compaction_lag;
            !lag.is_zero() && now.since(extent.segments[at].max_timestamp()) < lag
        };
        let uncleanable = (0..active)
            .find(|&at| end_of(at) > extent.last_stable_offset || (is_dirty(at) && is_young(at)))
            .unwrap_or(active);
        let size = |at: &usize| extent.segments[*at].size();
        let (clean, dirty): (Vec<usize>, Vec<usize>) = (0..uncleanable).partition(|&at| !is_dirty(at));
        Ok(Self {
            first_dirty,
            first_uncleanable: extent.segments[uncleanable].base(),
            clean_bytes: clean.iter().map(size).sum(),
            dirty_bytes: dirty.iter().map(size).sum(),
            is_overdue: is_overdue(dirty.iter().map(|&at| &*extent.segments[at]), config, now)?,
        })
    }

    /// Share of what could be cleaned that was not cleaned before.
    pub(super) fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 { 0.0 } else { self.dirty_bytes as f64 / total as f64 }
    }

    /// Whether it is worth a round.
    pub(super) fn is_due(&self, config: &TopicConfig) -> bool {
        let is_dirty = self.dirty_ratio() > config.min_cleanable_dirty_ratio;
        self.dirty_bytes > 0 && (is_dirty || self.is_overdue)
    }
}

/// Whether the first batch of any of these segments is older than `max.compaction.lag.ms`.
fn is_overdue<'a>(
    dirty: impl Iterator<Item = &'a Segment>,
    config: &TopicConfig,
    now: Timestamp,
) -> Result<bool> {
    let lag = config.max_compaction_lag;
    if lag >= Duration::from_millis(i64::MAX as u64) {
        return Ok(false);
    }
    for segment in dirty {
        let first = segment.read(segment.base(), Offset::new(u64::MAX), 0)?;
        let time = first.first().map_or(Timestamp::NONE, RecordBatch::max_timestamp);
        if time > Timestamp::new(0) && now.since(time) > lag {
            return Ok(true);
        }
    }
    Ok(false)
}
