//! A whole batch as a view of its bytes.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};

use super::compression::{Codec, Compression};
use super::view::Records;
use crate::error::{LogError, Result};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Base offset and length: what is needed to know where a batch ends.
pub(crate) const PREFIX_BYTES: usize = 12;

pub(super) const CRC_FROM: usize = 21;
pub(super) const CODEC: i16 = 0b111;
pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;
pub(super) const DELETE_HORIZON: i16 = 1 << 6;

/// Who wrote a batch: the producer fields of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// Sequence number of the first record, -1 for batches that carry none.
    pub(crate) sequence: i32,
    pub(crate) is_transactional: bool,
}

/// One batch of version 2, kept as the bytes it has on disk and on the wire. Cloning copies no bytes.
///
/// Whoever holds one knows: the frame is whole, the magic is 2, offsets and counts are not negative. The CRC is checked
/// by [`check_crc`](Self::check_crc); what the log hands out has passed it, or never left this process's memory.
#[derive(Clone)]
pub struct RecordBatch {
    bytes: Bytes,
    /// The records of a compressed batch, once somebody has asked for them.
    inflated: OnceLock<Arc<Vec<u8>>>,
}

impl PartialEq for RecordBatch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for RecordBatch {}

impl RecordBatch {
    /// Takes exactly one batch. Fails with [`LogError::InvalidBatch`] if the header contradicts itself or the length.
    pub fn parse(bytes: Bytes) -> Result<Self> {
        match check_frame(&bytes) {
            Ok(length) if length == bytes.len() => Ok(Self::of(bytes)),
            Ok(_) => {
                Err(LogError::InvalidBatch { offset: read_i64(&bytes, 0), reason: "bytes follow the batch" })
            }
            Err(reason) => Err(LogError::InvalidBatch {
                offset: if bytes.len() < 8 { -1 } else { read_i64(&bytes, 0) },
                reason,
            }),
        }
    }

    /// Splits the first batch off `bytes`. `Ok(None)` if the bytes end before the batch does.
    pub(crate) fn take(bytes: &mut Bytes) -> Result<Option<Self>, &'static str> {
        match frame_length(bytes)? {
            Some(length) if length <= bytes.len() => {
                check_frame(&bytes[..length])?;
                Ok(Some(Self::of(bytes.split_to(length))))
            }
            _ => Ok(None),
        }
    }

    fn of(bytes: Bytes) -> Self {
        Self { bytes, inflated: OnceLock::new() }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, handed out.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Size of the whole batch in bytes.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of the first record, or where it was before compaction.
    pub fn base_offset(&self) -> Offset {
        Offset::from_wire(self.i64(0)).expect("checked when the batch was parsed")
    }

    /// Offset of the last record, kept by compaction.
    pub fn last_offset(&self) -> Offset {
        self.base_offset() + u64::from(self.i32(23).unsigned_abs())
    }

    /// Where the next batch may start: the last offset + 1.
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// Where the next batch may start, from the header alone; `None` if it makes no sense.
    pub(crate) fn next_offset_in(header: &[u8; HEADER_BYTES]) -> Option<Offset> {
        let base = u64::try_from(read_i64(header, 0)).ok()?;
        let delta = u64::try_from(read_i32(header, 23)).ok()?;
        base.checked_add(delta)?.checked_add(1).map(Offset::new)
    }

    /// Number of records inside; 0 for a batch that compaction emptied.
    pub fn record_count(&self) -> u32 {
        self.i32(57).unsigned_abs()
    }

    /// Timestamp that the records' deltas count from.
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp::new(self.i64(27))
    }

    /// From when on compaction may drop the tombstones, or the marker, in this batch. It takes the base timestamp's place.
    pub(crate) fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes() & DELETE_HORIZON != 0).then(|| self.base_timestamp())
    }

    /// Largest timestamp of its records, or the append time if the topic uses that.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp::new(self.i64(35))
    }

    /// Whether this is a marker of the log itself, never delivered to applications.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// The idempotent or transactional producer that wrote it.
    pub fn producer_id(&self) -> Option<ProducerId> {
        let id = self.i64(43);
        (id >= 0).then(|| ProducerId::new(id))
    }

    /// Epoch of the producer, -1 without one.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch::new(i16::from_be_bytes([self.bytes[51], self.bytes[52]]))
    }

    /// Sequence number of the first record for its producer, -1 without one.
    pub fn base_sequence(&self) -> i32 {
        self.i32(53)
    }

    /// Epoch of the leader that appended it; always 0 here.
    pub fn leader_epoch(&self) -> i32 {
        self.i32(12)
    }

    /// How its records are compressed, `None` if they are not. Fails with [`LogError::UnsupportedCompressionType`] if its
    /// attributes name a codec that does not exist.
    pub fn codec(&self) -> Result<Option<Codec>> {
        match self.attributes() & CODEC {
            0 => Ok(None),
            id => Codec::from_id(id as u8)
                .map(Some)
                .ok_or(LogError::UnsupportedCompressionType { codec: id.to_string() }),
        }
    }

    /// Its records as they are without compression: borrowed if they are so already, decompressed once otherwise and
    /// kept as long as this batch. Fails with [`LogError::InvalidBatch`] if what it holds is not of its codec, or is
    /// larger than 32 MiB and 100 times its compressed size.
    pub(crate) fn record_bytes(&self) -> Result<&[u8]> {
        let stored = &self.bytes[HEADER_BYTES..];
        let Some(codec) = self.codec()? else { return Ok(stored) };
        if self.record_count() == 0 {
            return Ok(&[]);
        }
        if let Some(inflated) = self.inflated.get() {
            return Ok(inflated);
        }
        let plain = codec
            .decompress(stored)
            .map_err(|reason| LogError::InvalidBatch { offset: self.base_offset().to_wire(), reason })?;
        Ok(self.inflated.get_or_init(|| Arc::new(plain)))
    }

    /// The same batch with its records compressed another way, or not at all.
    ///
    /// All header fields are kept but the codec, the length and the CRC. Fails as [`records`](Self::records) does. As
    /// the broker does for a topic with a `compression.type` of its own.
    pub fn recompress(&self, compression: Option<Compression>) -> Result<BytesMut> {
        let plain = self.record_bytes()?;
        let mut batch = BytesMut::with_capacity(HEADER_BYTES + plain.len());
        batch.extend_from_slice(&self.bytes[..HEADER_BYTES]);
        batch.extend_from_slice(plain);
        if let Some(compression) = compression {
            batch = compress(&batch, compression);
        } else {
            complete(&mut batch, None);
        }
        Ok(batch)
    }

    /// Whether the bytes are those that were written.
    pub fn check_crc(&self) -> bool {
        crc32c::crc32c(&self.bytes[CRC_FROM..]) == self.i32(17) as u32
    }

    /// Its records in order. Those of a compressed batch are decompressed at the first call; if that fails, the error
    /// is the only item.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// Whether the records' timestamps are the time of the append.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME != 0
    }

    pub(super) fn attributes(&self) -> i16 {
        i16::from_be_bytes([self.bytes[21], self.bytes[22]])
    }

    fn i32(&self, at: usize) -> i32 {
        read_i32(&self.bytes, at)
    }

    fn i64(&self, at: usize) -> i64 {
        read_i64(&self.bytes, at)
    }
}

/// What the header alone says of a batch whose records were not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) len_bytes: u64,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) leader_epoch: i32,
}

impl BatchHead {
    /// `None` if no batch starts like this.
    pub(crate) fn parse(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let length = frame_length(header).ok()??;
        let next =
            RecordBatch::next_offset_in(header).filter(|_| header[16] == 2 && read_i32(header, 57) >= 0)?;
        Some(Self {
            base_offset: Offset::from_wire(read_i64(header, 0))?,
            last_offset: Offset::new(next.get() - 1),
            len_bytes: length as u64,
            max_timestamp: Timestamp::new(read_i64(header, 35)),
            leader_epoch: read_i32(header, 12),
        })
    }
}

/// Whose transaction a batch that was not parsed yet claims to be part of.
pub(crate) fn transactional_producer(bytes: &[u8]) -> Option<(ProducerId, ProducerEpoch)> {
    let header = bytes.get(..HEADER_BYTES)?;
    let attributes = i16::from_be_bytes([header[21], header[22]]);
    let id = ProducerId::new(read_i64(header, 43));
    let epoch = ProducerEpoch::new(i16::from_be_bytes([header[51], header[52]]));
    (attributes & TRANSACTIONAL != 0).then_some((id, epoch))
}

impl std::fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordBatch")
            .field("base_offset", &self.base_offset().get())
            .field("last_offset", &self.last_offset().get())
            .field("record_count", &self.record_count())
            .field("len_bytes", &self.len_bytes())
            .finish_non_exhaustive()
    }
}

/// Writes what the log decides: the base offset, and leader epoch 0. Both lie outside the CRC.
pub(crate) fn assign_offset(batch: &mut BytesMut, base: Offset) {
    batch[..8].copy_from_slice(&base.to_wire().to_be_bytes());
    batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
}

/// Writes the epoch of the leader, for a log that goes on with the files of another.
pub(crate) fn assign_leader_epoch(batch: &mut BytesMut, epoch: i32) {
    batch[12..16].copy_from_slice(&epoch.to_be_bytes());
}

/// Replaces the records' times by the time of the append.
pub(crate) fn assign_append_time(batch: &mut BytesMut, now: Timestamp) {
    let attributes = i16::from_be_bytes([batch[21], batch[22]]) | LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now.get().to_be_bytes());
    seal(batch);
}

/// Corrects the largest timestamp of a batch.
pub(crate) fn assign_max_timestamp(batch: &mut BytesMut, timestamp: Timestamp) {
    batch[35..43].copy_from_slice(&timestamp.get().to_be_bytes());
    seal(batch);
}

/// The batch with its records, not compressed so far, compressed. An empty batch stays as it is.
pub(super) fn compress(batch: &[u8], compression: Compression) -> BytesMut {
    let (header, records) = batch.split_at(HEADER_BYTES);
    let mut out = BytesMut::with_capacity(HEADER_BYTES + records.len() / 2);
    out.extend_from_slice(header);
    if records.is_empty() {
        complete(&mut out, None);
    } else {
        compression.compress(records, &mut out);
        complete(&mut out, Some(compression.codec()));
    }
    out
}

/// Writes the codec, the length and the CRC of a batch whose other fields are complete.
fn complete(batch: &mut BytesMut, codec: Option<Codec>) {
    let length = i32::try_from(batch.len() - PREFIX_BYTES).expect("a batch is far smaller than 2 GiB");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let attributes = i16::from_be_bytes([batch[21], batch[22]]) & !CODEC;
    let attributes = attributes | codec.map_or(0, |codec| i16::from(codec.id()));
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    seal(batch);
}

/// Computes the CRC of a batch whose other fields are complete.
pub(super) fn seal(batch: &mut BytesMut) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Size of the batch that `bytes` starts with, `None` if even its length is cut off.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    if bytes.len() < PREFIX_BYTES {
        return Ok(None);
    }
    match usize::try_from(read_i32(bytes, 8)) {
        Ok(length) if length >= HEADER_BYTES - PREFIX_BYTES => Ok(Some(length + PREFIX_BYTES)),
        _ => Err("its length is smaller than a header"),
    }
}

/// Checks the header at the start of `bytes` and returns the size of the batch.
fn check_frame(bytes: &[u8]) -> Result<usize, &'static str> {
    let Some(length) = frame_length(bytes)? else {
        return Err("its header is cut off");
    };
    if length > bytes.len() {
        return Err("it is cut off");
    }
    if bytes[16] != 2 {
        return Err("its magic is not 2");
    }
    let (delta, count) = (read_i32(bytes, 23), read_i32(bytes, 57));
    if read_i64(bytes, 0) < 0 || delta < 0 || count < 0 {
        return Err("an offset or count is negative");
    }
    Ok(length)
}

fn read_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn read_i64(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
