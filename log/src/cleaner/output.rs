//! The files of a cleaned segment while they are being written: `.log.cleaned` and its indexes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aborted::AbortedEntry;
use crate::config::TopicConfig;
use crate::error::{IoContext, Result};
use crate::record::RecordBatch;
use crate::segment;
use crate::segment::{IndexEntry, OffsetEntry, TimeEntry};
use crate::storage::{File, OpenMode, Storage};
use crate::types::{Offset, Timestamp};

/// Ends the name of a file that is not complete.
pub(super) const CLEANED: &str = "cleaned";

/// A segment that is being written beside the ones it will replace.
#[derive(Debug)]
pub(crate) struct Output {
    base: Offset,
    next_offset: Offset,
    path: PathBuf,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    /// Bytes that went to the file.
    written: u64,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    entries_max: usize,
    interval: u32,
    bytes_since_entry: u64,
    /// Largest timestamp, and the last offset of its batch.
    largest: Option<TimeEntry>,
    aborted: Vec<AbortedEntry>,
}

/// A cleaned segment whose files are complete and on stable storage.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) base: Offset,
    pub(super) aborted: Vec<AbortedEntry>,
    pub(crate) size: u64,
}

impl Output {
    pub(crate) fn create(
        storage: &dyn Storage,
        dir: &Path,
        base: Offset,
        config: &TopicConfig,
        buffer_bytes: usize,
    ) -> Result<Self> {
        let path = cleaned(dir, base, "log");
        let file = storage.open(&path, OpenMode::Truncate).context("create", &path)?;
        Ok(Self {
            base,
            next_offset: base,
            path,
            file,
            buffer: Vec::new(),
            buffer_bytes,
            written: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            // The larger kind of entry, and one to spare for the end.
            entries_max: (config.segment_index_bytes as usize / TimeEntry::BYTES).saturating_sub(1).max(1),
            interval: config.index_interval_bytes,
            bytes_since_entry: 0,
            largest: None,
            aborted: Vec::new(),
        })
    }

    /// Offset behind the last batch, or the base without one.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub(crate) fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether a batch has no room: its position or offset, or their entries, would not fit the format.
    pub(super) fn is_full(&self, batch: &RecordBatch) -> bool {
        let is_too_large = self.size() + batch.len_bytes() as u64 > i32::MAX as u64
            || batch.last_offset().since(self.base) > i32::MAX as u64
            || self.offsets.len() >= self.entries_max;
        self.size() > 0 && is_too_large
    }

    /// Adds a batch behind the last one.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let relative = batch.last_offset().since(self.base) as u32;
        let timestamp = batch.max_timestamp();
        let grew = self.largest.is_none_or(|largest| timestamp.get() > largest.timestamp);
        if grew && timestamp > Timestamp::NONE {
            self.largest = Some(TimeEntry { timestamp: timestamp.get(), relative });
        }
        if self.bytes_since_entry > u64::from(self.interval) {
            self.offsets.push(OffsetEntry { relative, position: self.size() as u32 });
            self.push_time_entry();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += batch.len_bytes() as u64;
        self.next_offset = batch.next_offset();
        if self.buffer.len() + batch.len_bytes() > self.buffer_bytes {
            self.flush()?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.buffer_bytes);
        }
        self.buffer.extend_from_slice(batch.bytes());
        Ok(())
    }

    /// Notes an aborted transaction whose marker was just added.
    pub(crate) fn push_aborted(&mut self, entry: AbortedEntry) {
        self.aborted.push(entry);
    }

    /// Writes what is left, and the indexes, and puts all of it on stable storage.
    pub(crate) fn finish(mut self, storage: &dyn Storage, dir: &Path) -> Result<Finished> {
        self.flush()?;
        self.file.sync().context("sync", &self.path)?;
        self.push_time_entry();
        write_file(storage, &cleaned(dir, self.base, "index"), &encode(&self.offsets))?;
        write_file(storage, &cleaned(dir, self.base, "timeindex"), &encode(&self.times))?;
        if !self.aborted.is_empty() {
            let mut bytes = Vec::new();
            self.aborted.iter().for_each(|entry| entry.encode(&mut bytes));
            write_file(storage, &cleaned(dir, self.base, "txnindex"), &bytes)?;
        }
        Ok(Finished { base: self.base, aborted: self.aborted, size: self.written })
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(self.written, &self.buffer).context("write to", &self.path)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn push_time_entry(&mut self) {
        if let Some(largest) = self.largest
            && self.times.last().is_none_or(|last| largest.timestamp > last.timestamp)
        {
            self.times.push(largest);
        }
    }
}

fn cleaned(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    segment::path(dir, base, &format!("{extension}.{CLEANED}"))
}

fn encode<E: IndexEntry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    bytes
}

fn write_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = storage.open(path, OpenMode::Truncate).context("create", path)?;
    file.write_at(0, bytes).context("write to", path)?;
    file.sync().context("sync", path)
}
