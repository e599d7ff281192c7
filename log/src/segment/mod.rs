//! A segment: one `.log` file of batches, its indexes, and reading them back checked.
//!
//! ```text
//! index ─▶ position ─▶ batch ─▶ batch ─▶ ...
//! ```
//! - Indexes are hints: the batch that an entry leads to must be the one it stands for, else the segment is read from
//!   its start and the index is built anew.
//! - What is read is checked; what is damaged is measured up to the next sound batch, and never handed out.
//! - Files are opened when they are needed. A segment that nobody uses is little more than its name.

mod damage;
mod index;
mod lazy_file;
mod rebuild;
mod resume;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::config::TopicConfig;
use crate::corruption::CorruptRange;
use crate::error::{IoContext, LogError, Result};
use crate::record::{HEADER_BYTES, RecordBatch};
use crate::storage::{File, Storage};
use crate::types::{Offset, Timestamp};
use index::{Broken, SparseIndex};
pub(crate) use index::{IndexEntry, OffsetEntry, TimeEntry};
use lazy_file::LazyFile;
pub(crate) use scan::{SCAN_BYTES, Scan, Scanner};

/// A range of offsets in files of its own. Only the last segment of a partition is written to.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    log: LazyFile,
    offsets: SparseIndex<OffsetEntry>,
    times: SparseIndex<TimeEntry>,
    index_interval: u32,
    /// Bytes of whole batches. What lies behind is being written, or left over from a failed write.
    size: AtomicU64,
    /// Largest timestamp, and the last offset of its batch relative to the base.
    max_timestamp: AtomicI64,
    max_timestamp_relative: AtomicU64,
    /// Relative offset of the last entry of the offset index, -1 without one.
    last_offset_entry: AtomicI64,
    /// Timestamp of the last entry of the time index.
    last_time_entry: AtomicI64,
    /// Whether the largest timestamp was looked up.
    is_time_known: AtomicBool,
    /// Whether an index was missing or led astray.
    is_index_doubtful: AtomicBool,
    /// Whether no more batches follow.
    is_sealed: AtomicBool,
    /// Whether a compaction or a repair may have removed batches.
    has_gaps: AtomicBool,
}

/// What a reader of a segment has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The first offset.
    pub(crate) from: Offset,
    /// Batches below this offset.
    pub(crate) upper: Offset,
    /// At most so many bytes, but always one batch if there is one.
    pub(crate) bytes_max: usize,
    /// Nothing in the segment reaches this offset.
    pub(crate) end: Offset,
    /// Damage that is known, in offset order; may be that of other segments as well.
    pub(crate) damage: &'a [CorruptRange],
}

/// What a reader of a segment finds.
#[derive(Debug)]
pub(crate) enum Found {
    /// Whole, checked batches; none if the segment has none from there on.
    Batches(Vec<RecordBatch>),
    /// Damage that was not known, at or before what was wanted.
    Damage(CorruptRange),
}

/// Path of a segment's file: the base offset in 20 digits.
pub(crate) fn path(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", base.get()))
}

impl Segment {
    /// Creates empty files, in place of any that are there.
    pub(crate) fn create(
        storage: &Arc<dyn Storage>,
        dir: &Path,
        base: Offset,
        config: &TopicConfig,
    ) -> Result<Self> {
        let segment = Self::new(storage, dir, base, config);
        segment.log.create().context("create", segment.path())?;
        segment.offsets.create()?;
        segment.times.create()?;
        segment.size.store(0, Ordering::Release);
        segment.is_time_known.store(true, Ordering::Release);
        Ok(segment)
    }

    /// A segment whose files are there. Only their size is looked at.
    pub(crate) fn open(
        storage: &Arc<dyn Storage>,
        dir: &Path,
        base: Offset,
        config: &TopicConfig,
    ) -> Result<Self> {
        let segment = Self::new(storage, dir, base, config);
        let size = storage.size(segment.path()).context("read the size of", segment.path())?;
        segment.size.store(size, Ordering::Release);
        segment.is_sealed.store(true, Ordering::Release);
        Ok(segment)
    }

    fn new(storage: &Arc<dyn Storage>, dir: &Path, base: Offset, config: &TopicConfig) -> Self {
        let file = |extension| LazyFile::new(storage.clone(), path(dir, base, extension));
        Self {
            base,
            log: file("log"),
            offsets: SparseIndex::new(file("index"), config.segment_index_bytes),
            times: SparseIndex::new(file("timeindex"), config.segment_index_bytes),
            index_interval: config.index_interval_bytes,
            size: AtomicU64::new(0),
            max_timestamp: AtomicI64::new(Timestamp::NONE.get()),
            max_timestamp_relative: AtomicU64::new(0),
            last_offset_entry: AtomicI64::new(-1),
            last_time_entry: AtomicI64::new(Timestamp::NONE.get()),
            is_time_known: AtomicBool::new(false),
            is_index_doubtful: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            has_gaps: AtomicBool::new(false),
        }
    }

    /// Offset of its first record, or where that was.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Path of the `.log` file.
    pub(crate) fn path(&self) -> &Path {
        self.log.path()
    }

    /// Takes offsets that no batch holds for granted from now on. Elsewhere they are damage: a batch's base offset lies
    /// outside its CRC.
    pub(crate) fn allow_gaps(&self) {
        self.has_gaps.store(true, Ordering::Release);
    }

    pub(crate) fn has_gaps(&self) -> bool {
        self.has_gaps.load(Ordering::Acquire)
    }

    /// The files to sync so that what was written is on stable storage, with the indexes once they are complete.
    pub(crate) fn files_to_sync(&self) -> Result<Vec<Arc<dyn File>>> {
        let mut files = vec![self.file()?.clone()];
        // Those of the active segment are written anew from the recovery point on after a crash.
        if self.is_sealed.load(Ordering::Acquire) {
            for index in [self.offsets.file(), self.times.file()] {
                files.push(index.open_or_create().context("open", index.path())?.clone());
            }
        }
        Ok(files)
    }

    fn file(&self) -> Result<&Arc<dyn File>> {
        self.log.open().context("open", self.path())
    }

    /// Bytes of whole batches.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Largest timestamp of its records. One that cannot be found out counts as far in the future, so that nothing is
    /// deleted or skipped for being old.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        if !self.is_time_known.load(Ordering::Acquire)
            && let Err(error) = self.look_up_time()
        {
            tracing::warn!(path = %self.path().display(), %error, "could not find out its largest timestamp");
            return Timestamp::new(i64::MAX);
        }
        Timestamp::new(self.max_timestamp.load(Ordering::Acquire))
    }

    /// Timestamp of the first batch, `None` without one.
    pub(crate) fn first_timestamp(&self) -> Result<Option<Timestamp>> {
        let header =
            self.read_bytes(0, HEADER_BYTES.min(usize::try_from(self.size()).unwrap_or(usize::MAX)))?;
        Ok(header
            .get(35..43)
            .and_then(|time| time.try_into().ok())
            .map(i64::from_be_bytes)
            .map(Timestamp::new))
    }

    /// Whether a batch that ends at `last` has no room in the indexes.
    pub(crate) fn is_index_full(&self, last: Offset) -> bool {
        // The time index keeps a slot for the entry that sealing adds.
        self.is_sealed.load(Ordering::Acquire)
            || self.offsets.is_full(0)
            || self.times.is_full(1)
            || last.since(self.base) > i32::MAX as u64
    }

    /// Writes a batch behind the last one. After an error the file may hold a part of it, beyond `size`.
    pub(crate) fn write(&self, batch: &RecordBatch) -> std::io::Result<()> {
        self.log.open()?.write_at(self.size(), batch.bytes())
    }

    /// Cuts off what a failed write left behind.
    pub(crate) fn discard_partial_write(&self) -> std::io::Result<()> {
        self.log.open()?.truncate(self.size())
    }

    /// Counts a written batch in, with an index entry if `bytes_since_entry` passed `interval`.
    pub(crate) fn include(&self, batch: &RecordBatch, bytes_since_entry: &mut u64, interval: u32) {
        let position = self.size();
        let relative = batch.last_offset().since(self.base);
        if batch.max_timestamp().get() > self.max_timestamp.load(Ordering::Acquire) {
            self.max_timestamp_relative.store(relative, Ordering::Release);
            self.max_timestamp.store(batch.max_timestamp().get(), Ordering::Release);
        }
        if *bytes_since_entry > u64::from(interval) {
            // A start goes over batches that have their entry.
            if relative as i64 > self.last_offset_entry.load(Ordering::Acquire) {
                self.offsets.push(OffsetEntry { relative: relative as u32, position: position as u32 });
                self.last_offset_entry.store(relative as i64, Ordering::Release);
            }
            self.push_time_entry();
            *bytes_since_entry = 0;
        }
        *bytes_since_entry = bytes_since_entry.saturating_add(batch.len_bytes() as u64);
        self.size.store(position + batch.len_bytes() as u64, Ordering::Release);
    }

    /// Writes the index entries that are only in memory.
    pub(crate) fn flush_indexes(&self) -> Result<()> {
        self.offsets.flush()?;
        self.times.flush()
    }

    /// Ends the segment: the indexes are complete, with the largest timestamp in the last entry.
    pub(crate) fn seal(&self) -> Result<()> {
        self.finish_indexes()?;
        self.is_sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes the indexes as they are when the segment ends.
    pub(crate) fn finish_indexes(&self) -> Result<()> {
        if self.is_time_known.load(Ordering::Acquire) {
            self.push_time_entry();
        }
        self.flush_indexes()
    }

    /// Cuts the file off behind the batches counted in.
    pub(crate) fn truncate(&self) -> Result<()> {
        let file = self.file()?;
        file.truncate(self.size()).context("truncate", self.path())?;
        file.sync().context("sync", self.path())
    }

    /// Lets what is read from `position` on come from the disk, not from memory.
    pub(crate) fn forget_cached(&self, position: u64) -> Result<()> {
        self.file()?.forget_cached(position).context("drop from memory", self.path())
    }

    /// Takes the size of the file for that of the segment.
    pub(crate) fn measure(&self) -> Result<u64> {
        let size = self.file()?.size().context("read the size of", self.path())?;
        self.size.store(size, Ordering::Release);
        Ok(size)
    }

    /// Removes the files. Readers that have them open keep their view.
    pub(crate) fn remove(&self, storage: &dyn Storage) -> Result<()> {
        storage.remove_file(self.path()).context("remove", self.path())?;
        for path in [self.offsets.file().path(), self.times.file().path()] {
            match storage.remove_file(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome.context("remove", path)?,
            }
        }
        Ok(())
    }

    /// Whole, checked batches from the one holding `from` on and below `upper`: at most `bytes_max` bytes, but always
    /// one batch if there is one. Fails with [`LogError::Corrupt`] if the first of them is damaged.
    pub(crate) fn read(&self, from: Offset, upper: Offset, bytes_max: usize) -> Result<Vec<RecordBatch>> {
        let wanted = Wanted { from, upper, bytes_max, end: Offset::new(u64::MAX), damage: &[] };
        match self.find(&wanted)? {
            Found::Batches(batches) => Ok(batches),
            Found::Damage(range) => Err(range.to_error()),
        }
    }

    /// What a reader wants, or what stands in its way.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Result<Found> {
        let known = wanted.damage.iter().filter(|range| range.base == self.base);
        // A position and an offset that are certain to belong together.
        let (start, expected) = known
            .filter(|range| range.offset_end <= wanted.from)
            .map(|range| (range.position_end, range.offset_end))
            .next_back()
            .unwrap_or((0, self.base));
        if let Some(hint) = self.hint(wanted.from)?.filter(|hint| u64::from(hint.position) > start) {
            let scanner = self.scanner(u64::from(hint.position), wanted);
            match self.collect(scanner, Some(hint), wanted)? {
                Collected::Batches(batches) => return Ok(Found::Batches(batches)),
                Collected::Bad { position, expected, reason } if planted!("trust_index_length") => {
                    let range = self.damage(position, self.size(), expected, wanted.end, reason)?;
                    return Ok(Found::Damage(range));
                }
                // The index may be what is wrong.
                Collected::Bad { .. } => {}
            }
            self.is_index_doubtful.store(true, Ordering::Release);
        }
        let scanner = self.scanner(start, wanted).expecting(expected);
        let found = match self.collect(scanner, None, wanted)? {
            Collected::Batches(batches) => Found::Batches(batches),
            Collected::Bad { position, expected, reason } => {
                Found::Damage(self.damage(position, self.size(), expected, wanted.end, reason)?)
            }
        };
        if matches!(found, Found::Batches(_)) {
            self.rebuild_doubtful_indexes();
        }
        Ok(found)
    }

    fn scanner(&self, position: u64, wanted: &Wanted<'_>) -> Scanner<'_> {
        // What lies between the start and the first batch wanted is read along.
        self.scan(position, wanted.bytes_max.saturating_add(8 << 10)).below(wanted.end)
    }

    fn collect(
        &self,
        mut scanner: Scanner<'_>,
        hint: Option<OffsetEntry>,
        wanted: &Wanted<'_>,
    ) -> Result<Collected> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        let mut is_hint_checked = hint.is_none();
        loop {
            if !batches.is_empty() && !scanner.has_buffered() {
                return Ok(Collected::Batches(batches));
            }
            let position = scanner.position();
            match scanner.next()? {
                Scan::Batch { batch } => {
                    if !std::mem::replace(&mut is_hint_checked, true)
                        && hint
                            .is_some_and(|hint| batch.last_offset() != self.base + u64::from(hint.relative))
                    {
                        let reason = "an index entry leads to another batch than it stands for";
                        return Ok(Collected::Bad { position, expected: self.base, reason });
                    }
                    if batch.last_offset() < wanted.from {
                        continue;
                    }
                    bytes += batch.len_bytes();
                    let is_over = !batches.is_empty() && bytes > wanted.bytes_max;
                    if batch.base_offset() >= wanted.upper || is_over {
                        return Ok(Collected::Batches(batches));
                    }
                    batches.push(batch);
                }
                Scan::Bad { position, reason } if batches.is_empty() => {
                    let expected = scanner.expected().unwrap_or(self.base);
                    return Ok(Collected::Bad { position, expected, reason });
                }
                Scan::Bad { .. } | Scan::End => return Ok(Collected::Batches(batches)),
            }
        }
    }

    /// Offset of the first record at or after `time`.
    pub(crate) fn offset_at(&self, time: Timestamp) -> Result<Option<Offset>> {
        // Of an entry with just this time, nothing would show whether its batch is the first that has it.
        let start = match self.times.floor(time.get().saturating_sub(1))? {
            Ok(Some(entry)) => self.verified_time(entry)?,
            Ok(None) => None,
            Err(Broken) => {
                self.is_index_doubtful.store(true, Ordering::Release);
                None
            }
        };
        let mut scanner = match start {
            Some(position) => self.scan(position, SCAN_BYTES),
            None => self.scan(0, SCAN_BYTES),
        };
        loop {
            match scanner.next()? {
                Scan::Batch { batch } if batch.max_timestamp() < time => {}
                Scan::Batch { batch } => {
                    for record in batch.records() {
                        let record = record?;
                        if record.timestamp >= time {
                            return Ok(Some(record.offset));
                        }
                    }
                }
                Scan::Bad { position, reason } => {
                    let expected = scanner.expected().unwrap_or(self.base);
                    let end = Offset::new(u64::MAX);
                    return Err(self.damage(position, self.size(), expected, end, reason)?.to_error());
                }
                Scan::End => return Ok(None),
            }
        }
    }

    /// A position at or before the batch that holds `offset`, as the index says.
    pub(crate) fn position_hint(&self, offset: Offset) -> Result<u64> {
        Ok(self.hint(offset)?.map_or(0, |entry| u64::from(entry.position)))
    }

    fn hint(&self, offset: Offset) -> Result<Option<OffsetEntry>> {
        let relative = u32::try_from(offset.since(self.base)).unwrap_or(u32::MAX);
        match self.offsets.floor(relative)? {
            Ok(entry) => Ok(entry.filter(|entry| u64::from(entry.position) < self.size())),
            Err(Broken) => {
                self.is_index_doubtful.store(true, Ordering::Release);
                Ok(None)
            }
        }
    }

    /// Walks the batches from `position` on, reading `chunk` bytes at a time.
    pub(crate) fn scan(&self, position: u64, chunk: usize) -> Scanner<'_> {
        Scanner::new(self, position, chunk)
    }

    /// The error for bad bytes whose reach is not known.
    pub(crate) fn corrupt(&self, position: u64, offset: Offset, reason: &'static str) -> LogError {
        LogError::Corrupt {
            path: self.path().to_path_buf(),
            position,
            position_end: self.size().max(position),
            offset,
            offset_end: offset + 1,
            reason: reason.into(),
        }
    }

    /// Reads `length` bytes, fewer if the file ends.
    pub(crate) fn read_bytes(&self, position: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file()?.read_at(position, &mut bytes).context("read", self.path())?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn push_time_entry(&self) {
        let timestamp = self.max_timestamp.load(Ordering::Acquire);
        let relative = self.max_timestamp_relative.load(Ordering::Acquire) as u32;
        if timestamp > self.last_time_entry.load(Ordering::Acquire) {
            self.last_time_entry.store(timestamp, Ordering::Release);
            self.times.push(TimeEntry { timestamp, relative });
        }
    }
}

/// Batches, or why there are none.
enum Collected {
    Batches(Vec<RecordBatch>),
    Bad { position: u64, expected: Offset, reason: &'static str },
}
