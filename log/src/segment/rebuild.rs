//! Indexes that are missing or wrong are built anew from the log.

use std::sync::atomic::Ordering;

use super::index::Broken;
use super::{OffsetEntry, SCAN_BYTES, Scan, Segment, TimeEntry};
use crate::error::Result;
use crate::types::{Offset, Timestamp};

impl Segment {
    /// Prepares for counting batches in again from the last index entry at or below `from` on. Entries behind that one
    /// are forgotten, but for those below `trusted`. Returns the position to go on at, 0 if no entry is right.
    pub(crate) fn restart(&self, from: Offset, trusted: Offset) -> Result<u64> {
        let mut entry = self.verified_hint(from)?;
        let is_whole = self.keep_entries(entry, trusted)?;
        let mut largest = self.times.last()?.ok().flatten();
        // Indexes that are complete have no entry that is not to be trusted.
        let is_as_trusted = is_whole || trusted <= self.base;
        if !is_as_trusted || largest.map_or(Ok(false), |last| Ok(self.verified_time(last)?.is_none()))? {
            (entry, largest) = (None, None);
            self.keep_entries(None, Offset::ZERO)?;
        }
        let last = self.offsets.last()?.ok().flatten();
        self.last_offset_entry.store(last.map_or(-1, |last| i64::from(last.relative)), Ordering::Release);
        let largest = largest.unwrap_or(TimeEntry { timestamp: Timestamp::NONE.get(), relative: 0 });
        self.max_timestamp.store(largest.timestamp, Ordering::Release);
        self.max_timestamp_relative.store(u64::from(largest.relative), Ordering::Release);
        self.last_time_entry.store(largest.timestamp, Ordering::Release);
        self.is_time_known.store(true, Ordering::Release);
        self.is_sealed.store(false, Ordering::Release);
        self.is_index_doubtful.store(false, Ordering::Release);
        let position = entry.map_or(0, |entry| u64::from(entry.position));
        self.size.store(position, Ordering::Release);
        Ok(position)
    }

    /// Says whether there were no others.
    fn keep_entries(&self, last: Option<OffsetEntry>, trusted: Offset) -> Result<bool> {
        let is_kept = |relative: u32| {
            last.is_some_and(|last| relative <= last.relative) || self.base + u64::from(relative) < trusted
        };
        let is_whole = self.offsets.truncate(|entry| is_kept(entry.relative))?;
        Ok(self.times.truncate(|entry| is_kept(entry.relative))? && is_whole)
    }

    /// The last index entry at or below `offset`, if it leads to the batch it stands for.
    pub(crate) fn verified_hint(&self, offset: Offset) -> Result<Option<OffsetEntry>> {
        match self.hint(offset)? {
            Some(entry) if self.leads_to_its_batch(entry)? => Ok(Some(entry)),
            Some(_) => {
                self.is_index_doubtful.store(true, Ordering::Release);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Counts everything up to `size` in without looking at it, from where the last walk ended.
    pub(crate) fn skip_to(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Whether an index entry leads to the batch it stands for.
    fn leads_to_its_batch(&self, entry: OffsetEntry) -> Result<bool> {
        Ok(match self.scan(u64::from(entry.position), 0).next()? {
            Scan::Batch { batch } => batch.last_offset() == self.base + u64::from(entry.relative),
            Scan::Bad { .. } | Scan::End => false,
        })
    }

    /// Position of a time entry's batch or one before it, if it is there and has that timestamp.
    pub(super) fn verified_time(&self, entry: TimeEntry) -> Result<Option<u64>> {
        let last = self.base + u64::from(entry.relative);
        let start = self.verified_hint(last)?.map_or(0, |hint| u64::from(hint.position));
        let mut scanner = self.scan(start, 64 << 10);
        loop {
            match scanner.next()? {
                Scan::Batch { batch } if batch.last_offset() < last => {}
                Scan::Batch { batch } => {
                    let is_it = batch.last_offset() == last && batch.max_timestamp().get() == entry.timestamp;
                    if !is_it {
                        self.is_index_doubtful.store(true, Ordering::Release);
                    }
                    return Ok(is_it.then_some(start));
                }
                Scan::Bad { .. } | Scan::End => return Ok(None),
            }
        }
    }

    /// Looks up the largest timestamp: what the time index says, and what lies behind the last index entry.
    pub(super) fn look_up_time(&self) -> Result<()> {
        let stored = match self.times.last()? {
            Ok(entry) => match entry {
                Some(entry) if self.verified_time(entry)?.is_none() => Err(Broken),
                entry => Ok(entry),
            },
            Err(broken) => Err(broken),
        };
        let Ok(stored) = stored else { return self.rebuild_indexes() };
        let mut largest =
            stored.map_or((Timestamp::NONE.get(), 0), |entry| (entry.timestamp, u64::from(entry.relative)));
        let hint = self.verified_hint(Offset::new(u64::MAX))?;
        let start = hint.map_or(0, |hint| u64::from(hint.position));
        let mut scanner = self.scan(start, 64 << 10);
        // Damage has no time, and is found by whoever reads it.
        while let Scan::Batch { batch } = scanner.next()? {
            if batch.max_timestamp().get() > largest.0 {
                largest = (batch.max_timestamp().get(), batch.last_offset().since(self.base));
            }
        }
        self.max_timestamp_relative.store(largest.1, Ordering::Release);
        self.max_timestamp.store(largest.0, Ordering::Release);
        self.is_time_known.store(true, Ordering::Release);
        Ok(())
    }

    /// Builds the indexes anew if they were found to be missing or wrong. The active segment's are left to the next
    /// start, since batches are being counted in.
    pub(super) fn rebuild_doubtful_indexes(&self) {
        if !self.is_sealed.load(Ordering::Acquire) || !self.is_index_doubtful.swap(false, Ordering::AcqRel) {
            return;
        }
        tracing::warn!(path = %self.path().display(), "its indexes are wrong and built anew");
        if let Err(error) = self.rebuild_indexes() {
            // Readers do without.
            tracing::warn!(path = %self.path().display(), %error, "could not build its indexes anew");
        }
    }

    /// Builds the indexes of a sealed segment anew, up to the first damage.
    fn rebuild_indexes(&self) -> Result<()> {
        let mut offsets = Vec::new();
        let mut times: Vec<TimeEntry> = Vec::new();
        let mut largest = TimeEntry { timestamp: Timestamp::NONE.get(), relative: 0 };
        let mut bytes_since_entry = 0;
        let mut scanner = self.scan(0, SCAN_BYTES);
        loop {
            let position = scanner.position();
            let Scan::Batch { batch } = scanner.next()? else { break };
            let relative = batch.last_offset().since(self.base) as u32;
            if batch.max_timestamp().get() > largest.timestamp {
                largest = TimeEntry { timestamp: batch.max_timestamp().get(), relative };
            }
            if bytes_since_entry > u64::from(self.index_interval) {
                offsets.push(OffsetEntry { relative, position: position as u32 });
                times.push(largest);
                bytes_since_entry = 0;
            }
            bytes_since_entry += batch.len_bytes() as u64;
        }
        times.push(largest);
        times.retain(|entry| entry.timestamp > Timestamp::NONE.get());
        times.dedup();
        self.is_index_doubtful.store(false, Ordering::Release);
        self.offsets.replace(offsets)?;
        self.times.replace(times)?;
        self.max_timestamp_relative.store(u64::from(largest.relative), Ordering::Release);
        self.max_timestamp.store(largest.timestamp, Ordering::Release);
        self.is_time_known.store(true, Ordering::Release);
        Ok(())
    }
}
