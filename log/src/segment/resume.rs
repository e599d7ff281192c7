//! Going on with a segment where a clean close left it, without reading all of it.

use std::sync::atomic::Ordering;

use super::{Scan, Segment, TimeEntry};
use crate::error::Result;
use crate::record::{BatchHead, HEADER_BYTES};
use crate::types::{Offset, Timestamp};

/// Batches behind the last index entry are checked as a whole if they are no more than this. Of more, or larger ones,
/// only the headers are looked at, and the rest by whoever reads them.
const CHECKED_BYTES: u64 = 128 << 10;
/// How much is read to find headers in.
const WINDOW_BYTES: usize = 4 << 10;

/// Where appends go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumed {
    pub(crate) bytes_since_entry: u64,
    /// The largest epoch among the batches behind the last index entry.
    pub(crate) leader_epoch: i32,
}

impl Segment {
    /// Takes the indexes as complete and the segment as ending at `end`. `None`, with nothing changed, unless the batches
    /// behind the last index entry follow on from it, up to that offset and the end of the file, and need no entry
    /// that is not there.
    pub(crate) fn resume(&self, end: Offset) -> Result<Option<Resumed>> {
        let (Ok(entry), Ok(time)) = (self.offsets.last()?, self.times.last()?) else { return Ok(None) };
        let size = self.size();
        let start = entry.map_or(0, |entry| u64::from(entry.position));
        if let Some(entry) = entry {
            let head = self.heads(start).next()?;
            if head.is_none_or(|head| head.last_offset != self.base + u64::from(entry.relative)) {
                return Ok(None);
            }
        }
        let timestamp = time.map_or(Timestamp::NONE.get(), |time| time.timestamp);
        let mut chain = Chain {
            segment: self,
            next: entry.is_none().then_some(self.base),
            bytes: 0,
            latest: Timestamp::new(timestamp),
            leader_epoch: 0,
        };
        let is_whole = match size.saturating_sub(start) <= CHECKED_BYTES {
            true => chain.check(start)?,
            false => chain.skim(start, size)?,
        };
        if !is_whole || chain.next != Some(end) {
            return Ok(None);
        }
        if let Some(time) = time
            && !self.has_time(time)?
        {
            return Ok(None);
        }
        self.last_offset_entry.store(entry.map_or(-1, |entry| i64::from(entry.relative)), Ordering::Release);
        self.last_time_entry.store(timestamp, Ordering::Release);
        self.max_timestamp.store(timestamp, Ordering::Release);
        let relative = time.map_or(0, |time| u64::from(time.relative));
        self.max_timestamp_relative.store(relative, Ordering::Release);
        self.is_time_known.store(true, Ordering::Release);
        self.is_index_doubtful.store(false, Ordering::Release);
        self.is_sealed.store(false, Ordering::Release);
        Ok(Some(Resumed { bytes_since_entry: chain.bytes, leader_epoch: chain.leader_epoch }))
    }

    /// Whether the batch of a time entry is where the offset index says, with that timestamp.
    fn has_time(&self, time: TimeEntry) -> Result<bool> {
        let last = self.base + u64::from(time.relative);
        let mut heads = self.heads(self.position_hint(last)?);
        while let Some(head) = heads.next()? {
            if head.last_offset >= last {
                return Ok(head.last_offset == last && head.max_timestamp.get() == time.timestamp);
            }
        }
        Ok(false)
    }

    fn heads(&self, position: u64) -> Heads<'_> {
        Heads { segment: self, position, window: Vec::new(), window_start: position }
    }
}

/// Walks the headers of batches.
struct Heads<'a> {
    segment: &'a Segment,
    /// Where the next one starts.
    position: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl Heads<'_> {
    /// The next header, `None` if there is no more of them, or not a sound one.
    fn next(&mut self) -> Result<Option<BatchHead>> {
        let found = match self.in_window() {
            Some(found) => found,
            None => {
                self.window = self.segment.read_bytes(self.position, WINDOW_BYTES)?;
                self.window_start = self.position;
                self.in_window().flatten()
            }
        };
        self.position += found.map_or(0, |head| head.len_bytes);
        Ok(found)
    }

    fn in_window(&self) -> Option<Option<BatchHead>> {
        let at = usize::try_from(self.position - self.window_start).ok()?;
        self.window.get(at..)?.first_chunk::<HEADER_BYTES>().map(BatchHead::parse)
    }
}

/// Batches of which each follows on from the one before.
struct Chain<'a> {
    segment: &'a Segment,
    /// Where the next one starts, unknown before the first.
    next: Option<Offset>,
    /// Size of those so far.
    bytes: u64,
    /// No batch is later.
    latest: Timestamp,
    leader_epoch: i32,
}

impl Chain<'_> {
    /// Goes over the batches from `start` on, each with its CRC. False at one that is not sound, or not next.
    fn check(&mut self, start: u64) -> Result<bool> {
        let mut scanner = self.segment.scan(start, CHECKED_BYTES as usize);
        loop {
            match scanner.next()? {
                Scan::Batch { batch } => {
                    let head = batch.bytes().first_chunk().and_then(BatchHead::parse);
                    if !head.is_some_and(|head| self.take(&head)) {
                        return Ok(false);
                    }
                }
                Scan::Bad { .. } => return Ok(false),
                Scan::End => return Ok(true),
            }
        }
    }

    /// The same with the headers alone.
    fn skim(&mut self, start: u64, size: u64) -> Result<bool> {
        let mut heads = self.segment.heads(start);
        while heads.position < size {
            match heads.next()? {
                Some(head) if self.take(&head) => {}
                _ => return Ok(false),
            }
        }
        Ok(heads.position == size)
    }

    /// Whether this one is next.
    fn take(&mut self, head: &BatchHead) -> bool {
        let follows = |next| match self.segment.has_gaps() {
            true => head.base_offset >= next,
            false => head.base_offset == next,
        };
        let needs_entry = self.bytes > u64::from(self.segment.index_interval);
        if needs_entry || head.max_timestamp > self.latest || !self.next.is_none_or(follows) {
            return false;
        }
        self.next = Some(head.last_offset + 1);
        self.bytes += head.len_bytes;
        self.leader_epoch = self.leader_epoch.max(head.leader_epoch);
        true
    }
}
