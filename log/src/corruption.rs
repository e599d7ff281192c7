//! Damage that was found in a partition's files, and the `damage` file that keeps it in mind until it is repaired.
//!
//! ```text
//! millstream-damage 1 5f0c1a2b                              version, CRC-32C of the rest
//! bad 0 4096 8192 120 135 the CRC does not match            segment, positions [4096, 8192), offsets [120, 135)
//! lost 300 310                                              offsets that a repair gave up
//! ```
//! Without this file, a start would only find damage again once somebody reads it, and take appends meanwhile.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::checkpoint::read_text;
use crate::error::{IoContext, LogError, Result};
use crate::segment;
use crate::storage::{self, Storage};
use crate::types::Offset;

/// Name of the file in a partition's directory.
pub(crate) const FILE: &str = "damage";

/// Bytes that are not what was written, and the offsets that are not readable because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CorruptRange {
    /// The segment's file, or the one that is missing.
    pub(crate) path: PathBuf,
    /// Base offset of the segment.
    pub(crate) base: Offset,
    pub(crate) position: u64,
    /// Where sound batches go on, or the end of the file.
    pub(crate) position_end: u64,
    pub(crate) offset: Offset,
    /// The first offset that may be readable again.
    pub(crate) offset_end: Offset,
    pub(crate) reason: Cow<'static, str>,
}

impl CorruptRange {
    /// A segment that is not there: it should hold offsets in `[from, to)`.
    pub(crate) fn missing(dir: &Path, from: Offset, to: Offset) -> Self {
        Self {
            path: segment::path(dir, from, "log"),
            base: from,
            position: 0,
            position_end: 0,
            offset: from,
            offset_end: to,
            reason: "the segment is missing".into(),
        }
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        (self.offset..self.offset_end).contains(&offset)
    }

    pub(crate) fn to_error(&self) -> LogError {
        LogError::Corrupt {
            path: self.path.clone(),
            position: self.position,
            position_end: self.position_end,
            offset: self.offset,
            offset_end: self.offset_end,
            reason: self.reason.clone(),
        }
    }
}

/// What is known to be wrong with a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Found and not repaired, in offset order.
    pub(crate) bad: Vec<CorruptRange>,
    /// Offsets that repairs gave up, in order.
    pub(crate) lost: Vec<Range<Offset>>,
}

impl Damage {
    /// Adds a range; one that overlaps a known one of the same segment takes its place.
    pub(crate) fn add(&mut self, range: CorruptRange) {
        self.bad.retain(|known| {
            known.base != range.base || known.offset >= range.offset_end || range.offset >= known.offset_end
        });
        let at =
            self.bad.partition_point(|known| (known.offset, known.position) < (range.offset, range.position));
        self.bad.insert(at, range);
    }

    /// Whether no batch is missed in `[from, to)`.
    pub(crate) fn explains_gap(&self, from: Offset, to: Offset) -> bool {
        self.lost.iter().any(|lost| lost.start <= from && to <= lost.end)
    }

    /// What is missing if the log starts at `start` and its first segment at `base`.
    pub(crate) fn missing_before(&self, dir: &Path, start: Offset, base: Offset) -> Option<CorruptRange> {
        let is_missing = start < base && !self.explains_gap(start, base);
        is_missing.then(|| CorruptRange::missing(dir, start, base))
    }

    /// Reads the file in `dir`. One that cannot be understood stands for nothing: damage is found again.
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = match read_text(storage, &path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(Self::default()),
            Err(LogError::InvalidFile { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Self::parse(&text, dir).unwrap_or_else(|| {
            tracing::warn!(path = %path.display(), "not understood, so left out of account");
            Self::default()
        }))
    }

    /// Replaces the file in `dir`; it is removed if there is nothing to note.
    pub(crate) fn write(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = self.to_text();
        storage::replace(storage, &path, text.as_bytes()).context("write", &path)
    }

    fn to_text(&self) -> String {
        let mut lines = String::new();
        for bad in &self.bad {
            let (start, end) = (bad.position, bad.position_end);
            let CorruptRange { base, offset, offset_end, reason, .. } = bad;
            lines.push_str(&format!("bad {base} {start} {end} {offset} {offset_end} {reason}\n"));
        }
        for lost in &self.lost {
            lines.push_str(&format!("lost {} {}\n", lost.start, lost.end));
        }
        format!("millstream-damage 1 {:08x}\n{lines}", crc32c::crc32c(lines.as_bytes()))
    }

    fn parse(text: &str, dir: &Path) -> Option<Self> {
        let (head, lines) = text.split_once('\n')?;
        if head != format!("millstream-damage 1 {:08x}", crc32c::crc32c(lines.as_bytes())) {
            return None;
        }
        let mut damage = Self::default();
        for line in lines.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "bad" => {
                    let mut words = rest.splitn(6, ' ');
                    let mut number = || words.next()?.parse::<u64>().ok();
                    let base = Offset::new(number()?);
                    let (position, position_end) = (number()?, number()?);
                    let (offset, offset_end) = (Offset::new(number()?), Offset::new(number()?));
                    let reason = words.next()?.to_owned().into();
                    let path = segment::path(dir, base, "log");
                    let bad = CorruptRange { path, base, position, position_end, offset, offset_end, reason };
                    damage.bad.push(bad);
                }
                "lost" => {
                    let (start, end) = rest.split_once(' ')?;
                    damage.lost.push(Offset::new(start.parse().ok()?)..Offset::new(end.parse().ok()?));
                }
                _ => return None,
            }
        }
        Some(damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn damage_reads_as_written() {
        let dir = Path::new("d");
        let storage = MemoryStorage::new();
        storage.create_dir(dir).unwrap();
        assert_eq!(Damage::read(&storage, dir).unwrap(), Damage::default());
        let mut damage = Damage { lost: vec![Offset::new(1)..Offset::new(3)], ..Damage::default() };
        damage.add(CorruptRange::missing(dir, Offset::new(30), Offset::new(40)));
        let mut other = CorruptRange::missing(dir, Offset::new(10), Offset::new(12));
        other.reason = "the CRC does not match".into();
        other.position_end = 99;
        damage.add(other);
        damage.write(&storage, dir).unwrap();
        assert_eq!(damage.bad[0].offset, Offset::new(10));
        assert_eq!(Damage::read(&storage, dir).unwrap(), damage);
        let text = damage.to_text();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let parsed = String::from_utf8(bytes).ok().and_then(|text| Damage::parse(&text, dir));
            assert_eq!(parsed, None, "byte {at}");
        }
    }
}
