//! `.index` and `.timeindex`: their entries, and whether these lead where they say.

use std::path::Path;

use super::line::Line;
use super::log_file::{Found, LogFile};
use super::problem::Mismatch;
use super::{Dump, base_offset};
use crate::error::{LogError, Result};
use crate::record::RecordBatch;
use crate::segment::{IndexEntry, OffsetEntry, TimeEntry};
use crate::storage::OpenMode;

impl Dump<'_> {
    pub(super) fn offset_index(&mut self, path: &Path) -> Result<()> {
        let base = base_offset(path)?;
        let (entries, rest) = self.entries::<OffsetEntry>(path)?;
        if entries.is_empty() && rest == 0 {
            return self.print(&Line::Empty { path });
        }
        if self.options.index_sanity_check {
            return self.sanity(path, rest, entries.last().is_none_or(|last| last.relative > 0));
        }
        self.check_rest(path, rest, entries.len() * OffsetEntry::BYTES);
        let mut log = LogFile::open(self.storage, &path.with_extension("log"))?;
        for (at, entry) in entries.iter().enumerate() {
            // A file that was not trimmed goes on with zeros.
            if entry.relative == 0 && at > 0 {
                break;
            }
            let offset = base + i64::from(entry.relative);
            let found = match log.batch_at(u64::from(entry.position))? {
                Found::Batch(batch) if batch.len_bytes() as u64 <= self.options.max_message_bytes => {
                    batch.last_offset().to_wire()
                }
                _ => -1,
            };
            if found != offset {
                self.problems.mismatch(Mismatch::Offset, path, (offset, found));
            }
            if !self.options.verify_index_only {
                self.print(&Line::OffsetEntry { offset, position: entry.position })?;
            }
        }
        Ok(())
    }

    pub(super) fn time_index(&mut self, path: &Path) -> Result<()> {
        let base = base_offset(path)?;
        let (entries, rest) = self.entries::<TimeEntry>(path)?;
        if self.options.index_sanity_check {
            let is_sorted = entries.is_sorted_by_key(|entry| entry.timestamp);
            return self.sanity(path, rest, is_sorted);
        }
        self.check_rest(path, rest, entries.len() * TimeEntry::BYTES);
        let mut log = LogFile::open(self.storage, &path.with_extension("log"))?;
        let offsets = self.offsets_beside(path)?;
        let mut previous = -1;
        for (at, entry) in entries.iter().enumerate() {
            if entry.relative == 0 && at > 0 {
                break;
            }
            let offset = base + i64::from(entry.relative);
            let below = offsets.partition_point(|other| other.relative <= entry.relative);
            let position = below.checked_sub(1).map_or(0, |at| u64::from(offsets[at].position));
            match batch_of(&mut log, position, offset)? {
                Some(batch) if batch.last_offset().to_wire() == offset => {
                    let latest = match batch.record_count() {
                        0 => batch.max_timestamp().get(),
                        _ => latest_of(&batch).unwrap_or(-1),
                    };
                    if latest != entry.timestamp {
                        self.problems.mismatch(Mismatch::Timestamp, path, (entry.timestamp, latest));
                    }
                    if at > 0 && previous >= entry.timestamp {
                        self.problems.mismatch(Mismatch::TimestampOrder, path, (entry.timestamp, previous));
                    }
                }
                found => {
                    let found = found.map_or(-1, |batch| batch.last_offset().to_wire());
                    self.problems.mismatch(Mismatch::NotFound, path, (offset, found));
                }
            }
            if !self.options.verify_index_only {
                self.print(&Line::TimeEntry { timestamp: entry.timestamp, offset })?;
            }
            previous = entry.timestamp;
        }
        Ok(())
    }

    /// All entries of an index, and how many bytes follow the last.
    fn entries<E: IndexEntry>(&self, path: &Path) -> Result<(Vec<E>, usize)> {
        let bytes = self.bytes_of(path)?;
        let entries = bytes.chunks_exact(E::BYTES).map_while(E::decode).collect();
        Ok((entries, bytes.len() % E::BYTES))
    }

    /// The offset index of the same segment, up to where it stops growing; empty if there is none.
    fn offsets_beside(&self, path: &Path) -> Result<Vec<OffsetEntry>> {
        let path = path.with_extension("index");
        match self.storage.open(&path, OpenMode::Existing) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(LogError::io("open", &path, error)),
            Ok(_) => {}
        }
        let (mut entries, _) = self.entries::<OffsetEntry>(&path)?;
        let grows = entries.windows(2).take_while(|pair| pair[0].relative < pair[1].relative).count();
        entries.truncate(grows + 1);
        Ok(entries)
    }

    fn sanity(&mut self, path: &Path, rest: usize, is_sound: bool) -> Result<()> {
        if rest != 0 {
            self.problems.damage(path, 0, "its size is not a multiple of an entry's");
        } else if !is_sound {
            self.problems.damage(path, 0, "its last entry is smaller than an entry before it");
        } else {
            return self.print(&Line::Sane { path });
        }
        Ok(())
    }

    fn check_rest(&mut self, path: &Path, rest: usize, position: usize) {
        if rest != 0 {
            self.problems.damage(path, position as u64, "its last entry is cut off");
        }
    }
}

/// The first batch from `position` on that ends at or behind `offset`.
fn batch_of(log: &mut LogFile, mut position: u64, offset: i64) -> Result<Option<RecordBatch>> {
    loop {
        match log.batch_at(position)? {
            Found::Batch(batch) if batch.last_offset().to_wire() >= offset => return Ok(Some(batch)),
            Found::Batch(batch) => position += batch.len_bytes() as u64,
            Found::Bad(_) | Found::CutOff | Found::End => return Ok(None),
        }
    }
}

/// The largest timestamp of a batch's records; `None` if they cannot be read.
fn latest_of(batch: &RecordBatch) -> Option<i64> {
    let mut latest = None;
    for record in batch.records() {
        latest = latest.max(Some(record.ok()?.timestamp.get()));
    }
    latest
}
