//! A segment: one `.log` file of batches, its indexes, and reading them back checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;

use crate::config::TopicConfig;
use crate::error::{IoContext, LogError, Result};
use crate::index::{OffsetEntry, SparseIndex, TimeEntry};
use crate::record::{PREFIX_BYTES, RecordBatch};
use crate::storage::{File, OpenMode, Storage};
use crate::types::{Offset, Timestamp};

/// How much of a file is read at once when all of it is wanted.
pub(crate) const SCAN_BYTES: usize = 1 << 20;

/// A range of offsets in files of its own. Only the last segment of a partition is written to.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    path: PathBuf,
    file: Arc<dyn File>,
    offsets: SparseIndex<OffsetEntry>,
    times: SparseIndex<TimeEntry>,
    /// Bytes of whole batches. What lies behind is being written, or left over from a failed write.
    size: AtomicU64,
    /// Largest timestamp, and the last offset of its batch relative to the base.
    max_timestamp: AtomicI64,
    max_timestamp_relative: AtomicU64,
    /// Whether compaction may have removed batches.
    has_gaps: AtomicBool,
}

/// Path of a segment's file: the base offset in 20 digits.
pub(crate) fn path(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", base.get()))
}

impl Segment {
    /// Creates empty files, in place of any that are there.
    pub(crate) fn create(
        storage: &dyn Storage,
        dir: &Path,
        base: Offset,
        config: &TopicConfig,
    ) -> Result<Self> {
        let log = path(dir, base, "log");
        let file = storage.open(&log, OpenMode::Truncate).context("create", &log)?;
        Ok(Self {
            base,
            path: log,
            file,
            offsets: SparseIndex::create(storage, path(dir, base, "index"), config.segment_index_bytes)?,
            times: SparseIndex::create(storage, path(dir, base, "timeindex"), config.segment_index_bytes)?,
            size: AtomicU64::new(0),
            max_timestamp: AtomicI64::new(Timestamp::NONE.get()),
            max_timestamp_relative: AtomicU64::new(0),
            has_gaps: AtomicBool::new(false),
        })
    }

    /// Opens the files of a segment. With `trust_indexes` they are taken as they are if they make sense; the second
    /// value says whether they were. Otherwise they are empty and to be rebuilt.
    pub(crate) fn open(
        storage: &dyn Storage,
        dir: &Path,
        base: Offset,
        config: &TopicConfig,
        trust_indexes: bool,
    ) -> Result<(Self, bool)> {
        let log = path(dir, base, "log");
        let file = storage.open(&log, OpenMode::Existing).context("open", &log)?;
        let size = file.size().context("read the size of", &log)?;
        let (index, timeindex) = (path(dir, base, "index"), path(dir, base, "timeindex"));
        let bytes_max = config.segment_index_bytes;
        let found =
            match trust_indexes {
                true => SparseIndex::<OffsetEntry>::open(storage, index.clone(), bytes_max)?
                    .zip(SparseIndex::<TimeEntry>::open(storage, timeindex.clone(), bytes_max)?),
                false => None,
            };
        let trusted = found.is_some();
        let (offsets, times) = match found {
            Some(indexes) => indexes,
            None => (
                SparseIndex::create(storage, index, bytes_max)?,
                SparseIndex::create(storage, timeindex, bytes_max)?,
            ),
        };
        let largest = times.last()?;
        let segment = Self {
            base,
            path: log,
            file,
            offsets,
            times,
            size: AtomicU64::new(size),
            max_timestamp: AtomicI64::new(largest.map_or(Timestamp::NONE.get(), |entry| entry.timestamp)),
            max_timestamp_relative: AtomicU64::new(largest.map_or(0, |entry| u64::from(entry.relative))),
            has_gaps: AtomicBool::new(false),
        };
        Ok((segment, trusted))
    }

    /// Offset of its first record, or where that was.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Path of the `.log` file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes offsets that no batch holds for granted from now on. Elsewhere they are damage: a batch's base offset lies
    /// outside its CRC.
    pub(crate) fn allow_gaps(&self) {
        self.has_gaps.store(true, Ordering::Relaxed);
    }

    /// Bytes of whole batches.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        Timestamp::new(self.max_timestamp.load(Ordering::Acquire))
    }

    /// Whether a batch that ends at `last` has no room in the indexes.
    pub(crate) fn is_index_full(&self, last: Offset) -> bool {
        // The time index keeps a slot for the entry that sealing adds.
        self.offsets.is_full(0) || self.times.is_full(1) || last.since(self.base) > i32::MAX as u64
    }

    /// Writes a batch behind the last one. After an error the file may hold a part of it, beyond `size`.
    pub(crate) fn write(&self, batch: &RecordBatch) -> std::io::Result<()> {
        self.file.write_at(self.size(), batch.bytes())
    }

    /// Cuts off what a failed write left behind.
    pub(crate) fn discard_partial_write(&self) -> std::io::Result<()> {
        self.file.truncate(self.size())
    }

    /// Counts a written batch in, with an index entry if `bytes_since_entry` passed `interval`.
    pub(crate) fn include(&self, batch: &RecordBatch, bytes_since_entry: &mut u64, interval: u32) {
        let position = self.size();
        let relative = batch.last_offset().since(self.base);
        if batch.max_timestamp() > self.max_timestamp() {
            self.max_timestamp_relative.store(relative, Ordering::Release);
            self.max_timestamp.store(batch.max_timestamp().get(), Ordering::Release);
        }
        if *bytes_since_entry > u64::from(interval) {
            self.offsets.push(OffsetEntry { relative: relative as u32, position: position as u32 });
            self.push_time_entry();
            *bytes_since_entry = 0;
        }
        *bytes_since_entry += batch.len_bytes() as u64;
        self.size.store(position + batch.len_bytes() as u64, Ordering::Release);
    }

    /// Starts over with counting batches in: [`include`](Self::include) is called for each from the first on.
    pub(crate) fn restart(&self) {
        self.offsets.restart();
        self.times.restart();
        self.max_timestamp.store(Timestamp::NONE.get(), Ordering::Release);
        self.size.store(0, Ordering::Release);
    }

    /// Writes the indexes; with the log synced as well, nothing is left to do at the next start.
    pub(crate) fn flush_indexes(&self) -> Result<()> {
        self.push_time_entry();
        self.offsets.flush()?;
        self.times.flush()
    }

    /// Writes the indexes and looks them up in their files from now on.
    pub(crate) fn seal(&self) -> Result<()> {
        self.push_time_entry();
        self.offsets.seal()?;
        self.times.seal()
    }

    /// As [`seal`](Self::seal) for indexes that were just read from their files.
    pub(crate) fn forget_indexes(&self) {
        self.offsets.forget();
        self.times.forget();
    }

    /// The `.log` file, to be synced.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The index files, to be synced before anyone trusts them.
    pub(crate) fn index_files(&self) -> [Arc<dyn File>; 2] {
        [self.offsets.file().clone(), self.times.file().clone()]
    }

    /// Cuts the file off behind the batches counted in.
    pub(crate) fn truncate(&self) -> Result<()> {
        self.file.truncate(self.size()).context("truncate", &self.path)?;
        self.file.sync().context("sync", &self.path)
    }

    /// Whole, checked batches from the one holding `from` on and below `upper`: at most `bytes_max` bytes, but always
    /// one batch if there is one. Fails with [`LogError::Corrupt`] if the first of them is damaged.
    pub(crate) fn read(&self, from: Offset, upper: Offset, bytes_max: usize) -> Result<Vec<RecordBatch>> {
        let hint = self.position_hint(from)?;
        match self.read_at(hint, from, upper, bytes_max) {
            // The hint itself may be what is wrong.
            Err(LogError::Corrupt { .. }) if hint > 0 => self.read_at(0, from, upper, bytes_max),
            outcome => outcome,
        }
    }

    fn read_at(
        &self,
        position: u64,
        from: Offset,
        upper: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RecordBatch>> {
        // What lies between the hint and the first batch wanted is read along.
        let mut scanner = self.scan(position, bytes_max.saturating_add(8 << 10));
        let mut batches = Vec::new();
        let mut bytes = 0;
        // An index entry stands for a batch that ends at or below what was looked up.
        let mut is_hint_unchecked = position > 0;
        loop {
            if !batches.is_empty() && !scanner.has_buffered() {
                return Ok(batches);
            }
            match scanner.next()? {
                Scan::Batch { batch, .. } if batch.last_offset() < from => is_hint_unchecked = false,
                Scan::Batch { batch, .. } => {
                    bytes += batch.len_bytes();
                    let is_over = !batches.is_empty() && bytes > bytes_max;
                    if batch.base_offset() >= upper || is_over {
                        return Ok(batches);
                    }
                    if std::mem::take(&mut is_hint_unchecked) && batch.base_offset() > from {
                        return Err(self.corrupt(
                            position,
                            from,
                            "an index entry leads past the batch it stands for",
                        ));
                    }
                    batches.push(batch);
                }
                Scan::Bad { position, reason, .. } if batches.is_empty() => {
                    return Err(self.corrupt(
                        position,
                        scanner.expected.unwrap_or(from).max(self.base),
                        reason,
                    ));
                }
                Scan::Bad { .. } | Scan::End => return Ok(batches),
            }
        }
    }

    /// Offset of the first record at or after `time`.
    pub(crate) fn offset_at(&self, time: Timestamp) -> Result<Option<Offset>> {
        let relative = self.times.floor(time.get())?.map_or(0, |entry| entry.relative);
        let mut scanner = self.scan(self.position_hint(self.base + u64::from(relative))?, SCAN_BYTES);
        loop {
            match scanner.next()? {
                Scan::Batch { batch, .. } if batch.max_timestamp() < time => {}
                Scan::Batch { batch, .. } => {
                    for record in batch.records() {
                        let record = record?;
                        if record.timestamp >= time {
                            return Ok(Some(record.offset));
                        }
                    }
                }
                Scan::Bad { position, reason } => {
                    return Err(self.corrupt(position, scanner.expected.unwrap_or(self.base), reason));
                }
                Scan::End => return Ok(None),
            }
        }
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn position_hint(&self, offset: Offset) -> Result<u64> {
        let relative = u32::try_from(offset.since(self.base)).unwrap_or(u32::MAX);
        Ok(self.offsets.floor(relative)?.map_or(0, |entry| u64::from(entry.position)))
    }

    /// Walks the batches from `position` on, reading `chunk` bytes at a time.
    pub(crate) fn scan(&self, position: u64, chunk: usize) -> Scanner<'_> {
        let expected = (position == 0).then_some(self.base);
        Scanner { segment: self, position, end: self.size(), chunk, buffer: Bytes::new(), expected }
    }

    pub(crate) fn corrupt(&self, position: u64, offset: Offset, reason: &'static str) -> LogError {
        LogError::Corrupt { path: self.path.clone(), position, offset, reason }
    }

    /// Reads `length` bytes, fewer if the file ends.
    pub(crate) fn read_bytes(&self, position: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file.read_at(position, &mut bytes).context("read", &self.path)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn push_time_entry(&self) {
        let timestamp = self.max_timestamp.load(Ordering::Acquire);
        let relative = self.max_timestamp_relative.load(Ordering::Acquire) as u32;
        let last = self.times.last().ok().flatten();
        if timestamp > last.map_or(Timestamp::NONE.get(), |entry| entry.timestamp) {
            self.times.push(TimeEntry { timestamp, relative });
        }
    }
}

/// Walks a segment's batches and checks each: frame, CRC, and that offsets follow on.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    segment: &'a Segment,
    /// Where the next batch starts, which is also where `buffer` starts.
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Bytes,
    /// Least base offset of the next batch, unknown before the first when the walk starts inside the segment. Compaction
    /// leaves gaps between batches.
    expected: Option<Offset>,
}

/// What a [`Scanner`] found.
#[derive(Debug)]
pub(crate) enum Scan {
    Batch {
        batch: RecordBatch,
    },
    /// Bytes that are no sound batch; the walk cannot go on.
    Bad {
        position: u64,
        reason: &'static str,
    },
    End,
}

impl Scanner<'_> {
    pub(crate) fn next(&mut self) -> Result<Scan> {
        loop {
            let position = self.position;
            let mut rest = self.buffer.clone();
            let batch = match RecordBatch::take(&mut rest) {
                Ok(Some(batch)) => batch,
                Ok(None) if position == self.end => return Ok(Scan::End),
                Ok(None) => match self.refill()? {
                    Some(reason) => return Ok(Scan::Bad { position, reason }),
                    None => continue,
                },
                Err(reason) => return Ok(Scan::Bad { position, reason }),
            };
            if !batch.check_crc() {
                return Ok(Scan::Bad { position, reason: "the CRC does not match" });
            }
            let has_gaps = self.segment.has_gaps.load(Ordering::Relaxed);
            let is_next = |expected: Offset| match has_gaps {
                true => batch.base_offset() >= expected,
                false => batch.base_offset() == expected,
            };
            if !self.expected.is_none_or(is_next) {
                return Ok(Scan::Bad {
                    position,
                    reason: "the offset does not follow on from the batch before",
                });
            }
            self.buffer = rest;
            self.position += batch.len_bytes() as u64;
            self.expected = Some(batch.next_offset());
            return Ok(Scan::Batch { batch });
        }
    }

    /// Whether there may be another batch without reading from the file.
    fn has_buffered(&self) -> bool {
        self.buffer.len() >= PREFIX_BYTES
            && self.buffer.len() >= PREFIX_BYTES + be_u32(&self.buffer[8..PREFIX_BYTES]) as usize
    }

    /// Reads on, so that the buffer holds the next batch as a whole; else says why it cannot.
    fn refill(&mut self) -> Result<Option<&'static str>> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let needed = match self.buffer.get(8..PREFIX_BYTES) {
            Some(length) => PREFIX_BYTES + be_u32(length) as usize,
            None => PREFIX_BYTES,
        };
        if needed > left || self.buffer.len() == left {
            return Ok(Some("the last batch is cut off"));
        }
        let bytes = self.segment.read_bytes(self.position, left.min(self.chunk.max(needed)))?;
        if bytes.len() <= self.buffer.len() {
            return Ok(Some("the file is shorter than it was"));
        }
        self.buffer = Bytes::from(bytes);
        Ok(None)
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
