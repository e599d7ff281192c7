//! Building a batch, record by record, in one growing buffer.

use bytes::BytesMut;

use super::batch::{HEADER_BYTES, PREFIX_BYTES, ProducerStamp, TRANSACTIONAL, compress, seal};
use super::compression::Compression;
use super::varint::{self, VARLONG_BYTES_MAX};
use super::view::Header;
use crate::types::{ProducerEpoch, ProducerId, Timestamp};

/// Collects records and writes them as one batch with base offset 0, compressed if [told so](Self::set_compression).
///
/// After [`finish`](Self::finish) it is empty and can be used again.
///
/// ```
/// # use millstream_log::{BatchBuilder, RecordBatch, Timestamp};
/// let mut builder = BatchBuilder::new();
/// builder.append(Timestamp::new(5), Some(b"key"), Some(b"value"), &[]);
/// let batch = RecordBatch::parse(builder.finish().freeze())?;
/// assert!(batch.check_crc());
/// assert_eq!(batch.records().next().unwrap()?.value, Some(&b"value"[..]));
/// # Ok::<(), millstream_log::LogError>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    /// Longer than what is written, so that a record is written in place.
    buffer: BytesMut,
    /// Bytes written, the space for the header included; 0 without a record.
    written: usize,
    capacity: usize,
    count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer: Option<ProducerStamp>,
    compression: Option<Compression>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder for batches of some 16 KiB; larger ones grow.
    pub fn new() -> Self {
        Self::with_capacity(16 * 1024)
    }

    /// An empty builder whose buffer holds `bytes` before it has to grow. It is allocated with the first record.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            written: 0,
            capacity: bytes.max(HEADER_BYTES),
            count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            producer: None,
            compression: None,
        }
    }

    /// Compresses this batch and those after it when they are finished, or leaves them as they are.
    pub fn set_compression(&mut self, compression: Option<Compression>) {
        self.compression = compression;
    }

    /// Makes the next batch one of an idempotent producer: the log answers it once, however often it is appended.
    /// `sequence` is the number of its first record among all that the producer wrote to the partition in this epoch.
    pub fn idempotent(&mut self, id: ProducerId, epoch: ProducerEpoch, sequence: i32) {
        self.stamp(ProducerStamp { id, epoch, sequence, is_transactional: false });
    }

    /// The same for a batch that is part of the producer's open transaction.
    pub fn transactional(&mut self, id: ProducerId, epoch: ProducerEpoch, sequence: i32) {
        self.stamp(ProducerStamp { id, epoch, sequence, is_transactional: true });
    }

    pub(crate) fn stamp(&mut self, stamp: ProducerStamp) {
        self.producer = Some(stamp);
    }

    /// Adds a record. `None` is null, for the key as for the value.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        let timestamp = timestamp.get();
        if self.count == 0 {
            self.start(timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let length = 1
            + varint::size(timestamp_delta)
            + varint::size(i64::from(self.count))
            + size_of_bytes(key)
            + size_of_bytes(value)
            + varint::size(headers.len() as i64)
            + headers.iter().map(size_of_header).sum::<usize>();

        let end = self.written + varint::size(length as i64) + length;
        if end > self.buffer.len() {
            self.grow(end);
        }
        let mut out = Output { bytes: &mut self.buffer[self.written..end], at: 0 };
        out.put_varint(length as i64);
        out.put_varint(0); // attributes
        out.put_varint(timestamp_delta);
        out.put_varint(i64::from(self.count));
        out.put_bytes(key);
        out.put_bytes(value);
        out.put_varint(headers.len() as i64);
        for header in headers {
            out.put_bytes(Some(header.key.as_bytes()));
            out.put_bytes(header.value.as_deref());
        }
        debug_assert_eq!(out.at, out.bytes.len());
        self.written = end;
        self.count += 1;
    }

    /// Size of the batch so far, before any compression, 0 if there is no record in it.
    pub fn len_bytes(&self) -> usize {
        self.written
    }

    /// Number of records so far.
    pub fn record_count(&self) -> u32 {
        self.count
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Upper bound of what a record adds to the batch, in bytes.
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        let headers: usize = headers.iter().map(size_of_header).sum();
        4 * VARLONG_BYTES_MAX + 1 + size_of_bytes(key) + size_of_bytes(value) + headers
    }

    /// Forgets the records so far.
    pub fn clear(&mut self) {
        self.written = 0;
        self.count = 0;
    }

    /// Completes the header and hands the batch out; `freeze()` it to read it. Empty if there is no record.
    ///
    /// Mutable, because the log fills in the base offset without copying.
    pub fn finish(&mut self) -> BytesMut {
        if self.count == 0 {
            return BytesMut::new();
        }
        if let Some(compression) = self.compression {
            self.write_header();
            let batch = compress(&self.buffer[..self.written], compression);
            self.clear();
            return batch;
        }
        self.write_header();
        // A small batch is copied out, so that readers of the tail do not keep a large buffer alive.
        let mut batch = match self.written < self.buffer.capacity() / 2 {
            true => BytesMut::from(&self.buffer[..self.written]),
            false => std::mem::take(&mut self.buffer),
        };
        batch.truncate(self.written);
        seal(&mut batch);
        self.clear();
        batch
    }

    /// Fills in all of the header but the CRC.
    fn write_header(&mut self) {
        let (id, epoch, sequence, attributes) = match self.producer.take() {
            Some(stamp) => {
                let attributes = if stamp.is_transactional { TRANSACTIONAL } else { 0 };
                (stamp.id.get(), stamp.epoch.get(), stamp.sequence, attributes)
            }
            None => (-1, -1, -1, 0),
        };
        let length = i32::try_from(self.written - PREFIX_BYTES).expect("a batch is far smaller than 2 GiB");
        let mut header = [0_u8; HEADER_BYTES];
        header[8..12].copy_from_slice(&length.to_be_bytes());
        header[16] = 2;
        header[21..23].copy_from_slice(&attributes.to_be_bytes());
        header[23..27].copy_from_slice(&(self.count as i32 - 1).to_be_bytes());
        header[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        header[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        header[43..51].copy_from_slice(&id.to_be_bytes());
        header[51..53].copy_from_slice(&epoch.to_be_bytes());
        header[53..57].copy_from_slice(&sequence.to_be_bytes());
        header[57..61].copy_from_slice(&(self.count as i32).to_be_bytes());
        self.buffer[..HEADER_BYTES].copy_from_slice(&header);
    }

    fn start(&mut self, timestamp: i64) {
        self.written = HEADER_BYTES;
        self.base_timestamp = timestamp;
        self.max_timestamp = timestamp;
    }

    /// Makes room up to `end`.
    #[cold]
    fn grow(&mut self, end: usize) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::zeroed(self.capacity.max(end));
        } else {
            self.buffer.resize(end.max(2 * self.buffer.len()), 0);
        }
    }
}

/// The place of one record, filled from the front.
struct Output<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Output<'_> {
    #[inline]
    fn put_varint(&mut self, value: i64) {
        if (-64..64).contains(&value) {
            self.bytes[self.at] = ((value << 1) ^ (value >> 63)) as u8;
            self.at += 1;
        } else {
            self.at += varint::write(value, &mut self.bytes[self.at..]);
        }
    }

    /// Length, -1 for null, and bytes.
    #[inline]
    fn put_bytes(&mut self, bytes: Option<&[u8]>) {
        self.put_varint(length_or_null(bytes));
        if let Some(bytes) = bytes {
            self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }
}

#[inline]
fn length_or_null(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

#[inline]
fn size_of_bytes(bytes: Option<&[u8]>) -> usize {
    varint::size(length_or_null(bytes)) + bytes.map_or(0, <[u8]>::len)
}

fn size_of_header(header: &Header) -> usize {
    size_of_bytes(Some(header.key.as_bytes())) + size_of_bytes(header.value.as_deref())
}
