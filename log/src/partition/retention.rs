//! What a partition lets go of: segments past the limits of time and size, and records that nobody wants any more.

use super::{Partition, Writer};
use crate::error::{LogError, Result};
use crate::segment::{self, Segment};
use crate::types::{Offset, Timestamp};

impl Partition {
    /// Deletes whole segments past the retention limits, oldest first. Returns how many.
    pub(crate) fn apply_retention(&self, now: Timestamp) -> Result<usize> {
        let config = self.config();
        let _files = self.files.lock();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let count = {
            let state = self.state.lock();
            let sealed = state.segments.len() - 1;
            let mut excess = config.retention_bytes.map_or(0, |bytes_max| {
                state.segments.iter().map(|segment| segment.size()).sum::<u64>().saturating_sub(bytes_max)
            });
            let limit = state.last_stable_offset();
            let is_past = |segment: &Segment| {
                config.retention.is_some_and(|retention| now.since(segment.max_timestamp()) > retention)
            };
            (0..sealed)
                .take_while(|&at| {
                    let (segment, next) = (&state.segments[at], state.segments[at + 1].base());
                    let is_excess = excess >= segment.size() && excess > 0;
                    excess = excess.saturating_sub(segment.size());
                    let is_expired = config.cleanup_policy.delete && (is_excess || is_past(segment));
                    next <= limit && (is_expired || next <= state.start)
                })
                .count()
        };
        self.delete_segments(&mut writer, count)
    }

    /// Moves the log start up to `offset`, or to the high watermark. Returns where it is then: the low watermark.
    /// It is not on stable storage before the log start checkpoint is.
    ///
    /// Records may lie below the log start in the batch and segment that hold it; readers do not see them any more.
    pub(crate) fn delete_records(&self, offset: Option<Offset>) -> Result<Offset> {
        if !self.config().cleanup_policy.delete {
            let reason = format!(
                "the cleanup.policy of topic {:?} does not contain delete: add it, or write tombstones",
                self.id.topic
            );
            return Err(LogError::PolicyViolation { action: "delete records", reason });
        }
        let target = {
            let state = self.state.lock();
            let target = offset.unwrap_or(state.high_watermark);
            if target > state.high_watermark {
                return Err(self.out_of_range(target, &state));
            }
            target
        };
        // So that no start finds the log to end before it begins.
        self.sync(target)?;
        let writer = self.writer.lock();
        self.check_open(&writer)?;
        let mut state = self.state.lock();
        if state.start < target {
            state.start = target;
            state.aborted.retain(|entry| entry.last_offset >= target);
        }
        Ok(state.start)
    }

    /// Deletes the first `count` segments.
    fn delete_segments(&self, writer: &mut Writer, count: usize) -> Result<usize> {
        let deleted: Vec<_> = {
            let mut state = self.state.lock();
            let deleted = state.segments.drain(..count).collect();
            let start = state.start.max(state.segments[0].base());
            state.start = start;
            state.aborted.retain(|entry| entry.last_offset >= start);
            deleted
        };
        writer.is_settled &= deleted.is_empty();
        for segment in &deleted {
            segment.remove(&*self.around.storage)?;
            for extension in ["txnindex", "snapshot"] {
                // Most segments have no such file.
                let _absent =
                    self.around.storage.remove_file(&segment::path(&self.dir, segment.base(), extension));
            }
        }
        Ok(deleted.len())
    }
}
