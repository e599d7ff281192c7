//! How far damage reaches: from a bad batch to the next sound one.

use super::{SCAN_BYTES, Scan, Segment};
use crate::corruption::CorruptRange;
use crate::error::Result;
use crate::record::{HEADER_BYTES, PREFIX_BYTES, RecordBatch};
use crate::types::Offset;

const MAGIC_AT: usize = 16;

impl Segment {
    /// All damage of the segment, in which nothing reaches `end`, and the offset behind its last sound batch.
    pub(crate) fn examine(&self, end: Offset) -> Result<(Vec<CorruptRange>, Offset)> {
        let (mut found, mut reached) = (Vec::new(), self.base());
        let size = self.size();
        let mut scanner = self.scan(0, SCAN_BYTES).below(end);
        loop {
            match scanner.next()? {
                Scan::Batch { batch } => reached = batch.next_offset(),
                Scan::End => return Ok((found, reached)),
                Scan::Bad { position, reason } => {
                    let range = self.damage(position, size, reached, end, reason)?;
                    reached = range.offset_end;
                    scanner = self.scan(range.position_end, SCAN_BYTES).below(end).expecting(reached);
                    found.push(range);
                }
            }
        }
    }

    /// The damage that starts at `position` of a file with `size` bytes, where a batch at or above `expected` should be.
    /// Nothing in the segment reaches `end`.
    pub(crate) fn damage(
        &self,
        position: u64,
        size: u64,
        expected: Offset,
        end: Offset,
        reason: &'static str,
    ) -> Result<CorruptRange> {
        let sound = match self.sound_behind_header(position, size, expected, end)? {
            Behind::Batch(position, offset) => Some((position, offset)),
            Behind::End => None,
            Behind::Unknown => self.find_sound(position + 1, size, expected, end)?,
        };
        let (position_end, offset_end) = sound.unwrap_or((size.max(position), end));
        Ok(CorruptRange {
            path: self.path().to_path_buf(),
            base: self.base(),
            position,
            position_end,
            offset: expected,
            offset_end: offset_end.max(expected),
            reason: reason.into(),
        })
    }

    /// Follows the length of the bad batch at `position`. Most often only its content is damaged. To try that first also
    /// keeps batches that somebody sent as the content of a record from being taken for ours.
    fn sound_behind_header(&self, position: u64, size: u64, from: Offset, end: Offset) -> Result<Behind> {
        let Some(length) = length_in(&self.read_bytes(position, PREFIX_BYTES)?) else {
            return Ok(Behind::Unknown);
        };
        let next = position + length;
        if next == size {
            return Ok(Behind::End);
        }
        let batch = if next < size { self.sound_at(next, size, from, end)? } else { None };
        Ok(batch.map_or(Behind::Unknown, |offset| Behind::Batch(next, offset)))
    }

    /// Position and base offset of the first sound batch at or behind `position` with an offset in `[from, end)`.
    pub(crate) fn find_sound(
        &self,
        position: u64,
        size: u64,
        from: Offset,
        end: Offset,
    ) -> Result<Option<(u64, Offset)>> {
        let mut window_start = position;
        while window_start + (HEADER_BYTES as u64) <= size {
            let window = self.read_bytes(window_start, SCAN_BYTES + HEADER_BYTES)?;
            let starts = window.len().saturating_sub(HEADER_BYTES - 1).min(SCAN_BYTES);
            for start in memchr::memchr_iter(2, &window[MAGIC_AT..(MAGIC_AT + starts).min(window.len())]) {
                let at = window_start + start as u64;
                if is_plausible(&window[start..], size - at, from, end)
                    && let Some(base) = self.sound_at(at, size, from, end)?
                {
                    return Ok(Some((at, base)));
                }
            }
            window_start += SCAN_BYTES as u64;
        }
        Ok(None)
    }

    /// Base offset of the batch at `position`, if it is sound and what follows may be its successor.
    fn sound_at(&self, position: u64, size: u64, from: Offset, end: Offset) -> Result<Option<Offset>> {
        let left = size - position;
        let header = self.read_bytes(position, HEADER_BYTES)?;
        let Some(length) = length_in(&header).filter(|_| is_plausible(&header, left, from, end)) else {
            return Ok(None);
        };
        let bytes = self.read_bytes(position, usize::try_from(length).unwrap_or(usize::MAX))?;
        let Some(batch) = RecordBatch::parse(bytes.into()).ok().filter(RecordBatch::check_crc) else {
            return Ok(None);
        };
        if batch.next_offset() > end {
            return Ok(None);
        }
        let behind = self.read_bytes(position + length, HEADER_BYTES)?;
        let is_followed = length == left || is_plausible(&behind, left - length, batch.next_offset(), end);
        // The last whole batch of a file that was cut off has no successor.
        let is_cut_off = behind.len() < HEADER_BYTES
            || length_in(&behind).is_some_and(|next| behind[MAGIC_AT] == 2 && next > left - length);
        Ok((is_followed || is_cut_off).then(|| batch.base_offset()))
    }
}

/// What lies where the header of a bad batch says that it ends.
enum Behind {
    /// A sound batch, with its position and base offset.
    Batch(u64, Offset),
    /// The end of the file.
    End,
    Unknown,
}

/// Size of the batch with this header, if it can be one.
fn length_in(header: &[u8]) -> Option<u64> {
    let length = u32::from_be_bytes(header.get(8..PREFIX_BYTES)?.try_into().ok()?);
    (length as usize >= HEADER_BYTES - PREFIX_BYTES && length <= i32::MAX as u32)
        .then(|| u64::from(length) + PREFIX_BYTES as u64)
}

/// Whether a batch with this header may lie here, with `left` bytes to the end of the file.
fn is_plausible(header: &[u8], left: u64, from: Offset, end: Offset) -> bool {
    let Some(base) = header.first_chunk().map(|base| u64::from_be_bytes(*base)) else { return false };
    let reach = Offset::new(from.get().saturating_add(i32::MAX as u64)).min(end);
    header.get(MAGIC_AT) == Some(&2)
        && length_in(header).is_some_and(|length| length <= left)
        && (from..reach).contains(&Offset::new(base))
}
