//! What a partition lets go of: segments past the limits of time and size, and records that nobody wants any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Partition, Writer};
use crate::config::TopicConfig;
use crate::error::{IoContext, LogError, Result};
use crate::segment::{self, Segment};
use crate::types::{Offset, Timestamp};

impl Partition {
    /// Moves the log start past the segments that are past the retention limits, oldest first. Returns whether there are
    /// any to delete, which takes a [`delete_segments`](Self::delete_segments) once the log start is on stable storage.
    ///
    /// The active segment goes too, once a new one has taken its place. Nothing goes at or beyond the last stable
    /// offset, and without `delete` in `cleanup.policy` only what lies below the log start.
    pub(crate) fn retire_segments(&self, now: Timestamp) -> Result<bool> {
        let config = self.config();
        let _files = self.files.lock();
        let target = {
            let mut guard = self.writer.lock();
            let writer = &mut *guard;
            self.check_open(writer)?;
            let mut count = self.expired_segments(writer.end, now, &config);
            if count == self.state.lock().segments.len() {
                match self.roll(writer, &config) {
                    Ok(()) => {}
                    // The others go now, and make the space that the new one needs.
                    Err(LogError::DiskFull { .. }) => count -= 1,
                    Err(error) => return Err(error),
                }
            }
            if count == 0 {
                return Ok(false);
            }
            self.state.lock().segments[count].base()
        };
        // So that no start finds the log to end before it begins.
        self.sync(target)?;
        self.start_at(target);
        Ok(true)
    }

    /// How many segments are past the limits.
    fn expired_segments(&self, end: Offset, now: Timestamp, config: &TopicConfig) -> usize {
        let state = self.state.lock();
        let mut excess = config.retention_bytes.map_or(0, |bytes_max| {
            state.segments.iter().map(|segment| segment.size()).sum::<u64>().saturating_sub(bytes_max)
        });
        let limit = state.last_stable_offset();
        let is_past = |segment: &Segment| {
            config.retention.is_some_and(|retention| now.since(segment.max_timestamp()) > retention)
        };
        let is_expired = |at: &usize| {
            let segment = &state.segments[*at];
            let is_excess = excess >= segment.size() && excess > 0;
            excess = excess.saturating_sub(segment.size());
            let next = state.segments.get(at + 1).map(|next| next.base());
            let is_limited = config.cleanup_policy.delete && (is_excess || is_past(segment));
            let is_below_start = next.is_some_and(|next| next <= state.start);
            let is_empty_end = next.is_none() && segment.size() == 0;
            next.unwrap_or(end) <= limit && (is_limited || is_below_start) && !is_empty_end
        };
        (0..state.segments.len()).take_while(is_expired).count()
    }

    /// Moves the log start up to `offset`, or to the high watermark. Returns where it is then: the low watermark.
    /// That is not on stable storage before the log start checkpoint is.
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
        Ok(self.start_at(target))
    }

    /// Lets the log start at `offset` if it starts before. Returns where it starts then.
    fn start_at(&self, offset: Offset) -> Offset {
        let mut state = self.state.lock();
        if state.start < offset {
            state.start = offset;
            state.aborted.retain(|entry| entry.last_offset >= offset);
        }
        state.start
    }

    /// Deletes the segments that lie below `start` as a whole: a log start that is on stable storage, since otherwise
    /// the next start would miss them. Returns how many.
    ///
    /// Their files are renamed now and removed later, so that those who read them come to an end.
    pub(crate) fn delete_segments(&self, start: Offset) -> Result<usize> {
        let delay = self.config().file_delete_delay;
        let _files = self.files.lock();
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        self.check_open(writer)?;
        let deleted: Vec<_> = {
            let mut state = self.state.lock();
            let start = start.min(state.start);
            let is_below = |pair: &&[Arc<Segment>]| pair[1].base() <= start;
            let count = state.segments.windows(2).take_while(is_below).count();
            let deleted: Vec<_> = state.segments.drain(..count).collect();
            state.unsynced.forget(&deleted);
            deleted
        };
        if deleted.is_empty() {
            return Ok(0);
        }
        writer.is_settled = false;
        let due = self.around.clock.monotonic().saturating_add(delay);
        let outcome = deleted.iter().try_for_each(|segment| self.rename_deleted(writer, segment.base(), due));
        // Oldest first, and for certain before any of the files goes.
        let outcome =
            outcome.and_then(|()| self.around.storage.sync_dir(&self.dir).context("sync", &self.dir));
        outcome.inspect_err(|error| self.stop(writer, "deleting a segment failed", error))?;
        Ok(deleted.len())
    }

    pub(super) fn rename_deleted(&self, writer: &mut Writer, base: Offset, due: Duration) -> Result<()> {
        for extension in ["log", "index", "timeindex", "txnindex", "snapshot"] {
            let path = segment::path(&self.dir, base, extension);
            self.state.lock().unsynced.beside.retain(|unsynced| *unsynced != path);
            let renamed = segment::path(&self.dir, base, &format!("{extension}.deleted"));
            match self.around.storage.rename(&path, &renamed) {
                Ok(()) => writer.deleted.push((due, renamed)),
                // Not every segment has all of them.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("rename", &path),
            }
        }
        Ok(())
    }

    /// Removes the files of deleted segments whose time has come, all of them without a time.
    pub(crate) fn remove_deleted_files(&self, now: Option<Duration>) -> Result<()> {
        self.remove_files(&mut self.writer.lock(), now)
    }

    pub(super) fn remove_files(&self, writer: &mut Writer, now: Option<Duration>) -> Result<()> {
        let is_due = |due: Duration| now.is_none_or(|now| due <= now);
        for (_, path) in writer.deleted.extract_if(.., |(due, _)| is_due(*due)) {
            match self.around.storage.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context("remove", &path);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
