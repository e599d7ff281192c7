//! A batch again with fewer records: what compaction leaves of it.
//!
//! Offsets, sequence numbers, producer and codec stay as they are, so offsets inside become sparse. With a delete
//! horizon the base timestamp is that horizon and the records' deltas count from it.

use bytes::BytesMut;

use super::batch::{
    CONTROL, DELETE_HORIZON, HEADER_BYTES, LOG_APPEND_TIME, PREFIX_BYTES, RecordBatch, TRANSACTIONAL, seal,
};
use super::compression::{Codec, Compression};
use super::varint::{self, VARLONG_BYTES_MAX};
use crate::error::{LogError, Result};
use crate::types::{Offset, Timestamp};

/// A record as compaction sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedRecord<'a> {
    pub(crate) offset: Offset,
    /// `None` is null.
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) is_tombstone: bool,
    timestamp_delta: i64,
    /// All of it, its length included.
    whole: &'a [u8],
    /// What follows the timestamp delta.
    rest: &'a [u8],
}

/// What is left of a batch.
#[derive(Debug)]
pub(crate) enum Rewritten {
    /// The very same.
    Same,
    /// These bytes.
    Changed(BytesMut),
    /// No record.
    Empty,
}

/// The records of a batch, decompressed if need be.
pub(crate) struct KeyedRecords<'a> {
    batch: &'a RecordBatch,
    codec: Option<Codec>,
    bytes: &'a [u8],
}

impl<'a> KeyedRecords<'a> {
    /// Takes the batch apart. Fails if it is compressed with what is no codec, or not by it.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self { batch, codec: batch.codec()?, bytes: batch.record_bytes()? })
    }

    /// Its records in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<KeyedRecord<'a>>> + use<'a> {
        let mut rest = self.bytes;
        let base = self.batch.base_offset();
        (0..self.batch.record_count()).map(move |_| {
            parse(&mut rest, base).ok_or(LogError::InvalidBatch {
                offset: base.to_wire(),
                reason: "a record inside it is malformed",
            })
        })
    }

    /// Keeps the records that `keep` says. With `horizon`, the batch gets that delete horizon, unless it has one or
    /// `needs_horizon` denies it of all records that are kept.
    pub(crate) fn filter(
        &self,
        horizon: Timestamp,
        needs_horizon: impl Fn(&KeyedRecord<'_>) -> bool,
        mut keep: impl FnMut(&KeyedRecord<'_>) -> bool,
    ) -> Result<Rewritten> {
        let mut kept = Vec::with_capacity(self.batch.record_count() as usize);
        let mut is_marked = false;
        for record in self.iter() {
            let record = record?;
            if keep(&record) {
                is_marked |= needs_horizon(&record);
                kept.push(record);
            }
        }
        let old_horizon = self.batch.delete_horizon();
        let is_new_horizon = is_marked && old_horizon.is_none();
        if kept.is_empty() {
            return Ok(Rewritten::Empty);
        }
        if kept.len() == self.batch.record_count() as usize && !is_new_horizon {
            return Ok(Rewritten::Same);
        }
        let base = self.batch.base_timestamp().get();
        let new_base = match (old_horizon, is_new_horizon) {
            (None, true) => horizon.get(),
            (Some(old), _) => old.get(),
            // The deltas of an append-time batch mean nothing.
            (None, false) if self.batch.is_log_append_time() => base,
            (None, false) => base.wrapping_add(kept[0].timestamp_delta),
        };
        Ok(Rewritten::Changed(self.build(&kept, new_base, old_horizon.is_some() || is_new_horizon)))
    }

    fn build(&self, kept: &[KeyedRecord<'_>], new_base: i64, has_horizon: bool) -> BytesMut {
        let base = self.batch.base_timestamp().get();
        let shift = base.wrapping_sub(new_base);
        let spare = if shift == 0 { 0 } else { 2 * VARLONG_BYTES_MAX };
        let records: usize = kept.iter().map(|record| record.whole.len() + spare).sum();
        let mut out = BytesMut::with_capacity(HEADER_BYTES + records);
        out.extend_from_slice(&self.batch.bytes()[..HEADER_BYTES]);
        let mut max_timestamp = i64::MIN;
        for record in kept {
            max_timestamp = max_timestamp.max(base.wrapping_add(record.timestamp_delta));
            match shift {
                0 => out.extend_from_slice(record.whole),
                shift => put_shifted(&mut out, record, shift),
            }
        }
        if let Some(codec) = self.codec {
            let plain = out.split_off(HEADER_BYTES);
            Compression::new(codec).compress(&plain, &mut out);
        }
        if self.batch.is_log_append_time() {
            max_timestamp = self.batch.max_timestamp().get();
        }
        let horizon_bit = if has_horizon { DELETE_HORIZON } else { 0 };
        let header = Header {
            attributes: self.batch.attributes() & !DELETE_HORIZON | horizon_bit,
            base_timestamp: new_base,
            max_timestamp,
            count: kept.len() as i32,
        };
        header.put(&mut out);
        out
    }
}

/// The header of a batch alone, which keeps its offsets and its producer's sequence: what is left when no record is.
pub(crate) fn emptied(batch: &RecordBatch) -> BytesMut {
    let mut out = BytesMut::from(&batch.bytes()[..HEADER_BYTES]);
    let header = Header {
        attributes: batch.attributes() & (LOG_APPEND_TIME | TRANSACTIONAL | CONTROL),
        base_timestamp: Timestamp::NONE.get(),
        max_timestamp: batch.max_timestamp().get(),
        count: 0,
    };
    header.put(&mut out);
    out
}

/// The header fields that a rewrite changes.
struct Header {
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
}

impl Header {
    /// Fills in a batch that is otherwise complete.
    fn put(&self, batch: &mut BytesMut) {
        let length = i32::try_from(batch.len() - PREFIX_BYTES).expect("a batch is far smaller than 2 GiB");
        batch[8..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        batch[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        batch[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        batch[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        batch[57..61].copy_from_slice(&self.count.to_be_bytes());
        seal(batch);
    }
}

/// Writes a record whose timestamp delta grows by `shift`.
fn put_shifted(out: &mut BytesMut, record: &KeyedRecord<'_>, shift: i64) {
    let mut number = [0; VARLONG_BYTES_MAX];
    let delta = record.timestamp_delta.wrapping_add(shift);
    let length = 1 + varint::size(delta) + record.rest.len();
    let written = varint::write(length as i64, &mut number);
    out.extend_from_slice(&number[..written]);
    out.extend_from_slice(&[0]); // attributes
    let written = varint::write(delta, &mut number);
    out.extend_from_slice(&number[..written]);
    out.extend_from_slice(record.rest);
}

fn parse<'a>(bytes: &mut &'a [u8], base: Offset) -> Option<KeyedRecord<'a>> {
    let start = *bytes;
    let length = usize::try_from(varint::read(bytes)?).ok()?;
    let body = bytes.get(..length)?;
    *bytes = &bytes[length..];
    let whole = &start[..start.len() - bytes.len()];
    let mut rest = body.get(1..)?; // attributes, unused
    let timestamp_delta = varint::read(&mut rest)?;
    let mut input = rest;
    let offset = base + u64::try_from(varint::read(&mut input)?).ok()?;
    let key = match varint::read(&mut input)? {
        -1 => None,
        length => {
            let length = usize::try_from(length).ok()?;
            let key = input.get(..length)?;
            input = &input[length..];
            Some(key)
        }
    };
    let is_tombstone = varint::read(&mut input)? == -1;
    Some(KeyedRecord { offset, key, is_tombstone, timestamp_delta, whole, rest })
}
