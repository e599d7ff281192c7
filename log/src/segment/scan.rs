//! Walking the batches of a segment one after the other, each checked.

use bytes::Bytes;

use super::Segment;
use crate::error::Result;
use crate::record::{PREFIX_BYTES, RecordBatch};
use crate::types::Offset;

/// How much of a file is read at once when all of it is wanted.
pub(crate) const SCAN_BYTES: usize = 1 << 20;

/// Walks a segment's batches and checks each: frame, CRC, and that offsets ascend.
///
/// The base offset lies outside the CRC. Where compaction or a repair has left gaps, a base offset that is too high is
/// only noticed by what follows: the next batch, or the end that the segment is known to have.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    segment: &'a Segment,
    /// Where the next batch starts, which is also where `buffer` starts.
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Bytes,
    /// Least base offset of the next batch, unknown before the first when the walk starts inside the segment.
    expected: Option<Offset>,
    /// No batch reaches this offset.
    bound: Offset,
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

impl<'a> Scanner<'a> {
    pub(super) fn new(segment: &'a Segment, position: u64, chunk: usize) -> Self {
        Self {
            segment,
            position,
            end: segment.size(),
            chunk,
            buffer: Bytes::new(),
            expected: (position == 0).then_some(segment.base()),
            bound: Offset::new(u64::MAX),
        }
    }

    /// Walks up to `end` instead of the segment's size.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.end = end;
        self
    }

    /// Takes no batch that reaches `bound`.
    pub(crate) fn below(mut self, bound: Offset) -> Self {
        self.bound = bound;
        self
    }

    /// Takes no batch that starts below `offset` next.
    pub(crate) fn expecting(mut self, offset: Offset) -> Self {
        self.expected = Some(offset);
        self
    }

    /// Where the next batch starts.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Least base offset of the next batch, if it is known.
    pub(crate) fn expected(&self) -> Option<Offset> {
        self.expected
    }

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
            if let Some(reason) = self.fault(&batch, &rest)? {
                return Ok(Scan::Bad { position, reason });
            }
            self.buffer = rest;
            self.position += batch.len_bytes() as u64;
            self.expected = Some(batch.next_offset());
            return Ok(Scan::Batch { batch });
        }
    }

    /// Whether there may be another batch without reading from the file.
    pub(super) fn has_buffered(&self) -> bool {
        self.buffer.len() >= PREFIX_BYTES
            && self.buffer.len() >= PREFIX_BYTES + be_u32(&self.buffer[8..PREFIX_BYTES]) as usize
    }

    /// What is wrong with a batch that has `rest` behind it.
    fn fault(&self, batch: &RecordBatch, rest: &[u8]) -> Result<Option<&'static str>> {
        if !batch.check_crc() {
            return Ok(Some("the CRC does not match"));
        }
        if batch.next_offset() > self.bound {
            return Ok(Some("its offsets reach beyond the end of the segment"));
        }
        let Some(expected) = self.expected else { return Ok(None) };
        if batch.base_offset() < expected {
            return Ok(Some("the offset is not above those of the batch before"));
        }
        if batch.base_offset() == expected {
            return Ok(None);
        }
        if !self.segment.has_gaps() {
            return Ok(Some("the offset does not follow on from the batch before"));
        }
        let behind = self.position + batch.len_bytes() as u64;
        let next = if behind >= self.end {
            self.bound
        } else {
            let base = match rest.first_chunk() {
                Some(base) => *base,
                None => {
                    let bytes = self.segment.read_bytes(behind, 8)?;
                    bytes.first_chunk().copied().unwrap_or([0xff; 8])
                }
            };
            Offset::new(u64::from_be_bytes(base))
        };
        Ok((next < batch.next_offset()).then_some("the offset does not fit between those around it"))
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
