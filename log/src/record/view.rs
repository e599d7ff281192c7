//! Records inside a batch, borrowed from its bytes.

use bytes::Bytes;

use super::batch::RecordBatch;
use super::varint;
use crate::error::{LogError, Result};
use crate::types::{Offset, Timestamp};

/// A header to write: a name and bytes that applications attach to a record. Names may repeat; their order is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name.
    pub key: String,
    /// Value; `None` is null, which is not the same as empty.
    pub value: Option<Bytes>,
}

/// A header as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// Name.
    pub key: &'a str,
    /// Value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// A record as read. Nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its event time, or append time if the topic uses that.
    pub timestamp: Timestamp,
    /// Key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RecordView<'a> {
    /// Its headers, parsed as they are asked for.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// Iterator over the records of a batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: &'a RecordBatch,
    base_offset: Offset,
    base_timestamp: i64,
    append_time: Option<Timestamp>,
    remaining: u32,
    bytes: &'a [u8],
    /// Whether `bytes` are the records, and not empty because these could not be decompressed.
    is_readable: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        let bytes = batch.record_bytes();
        Self {
            batch,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp().get(),
            append_time: batch.is_log_append_time().then(|| batch.max_timestamp()),
            remaining: batch.record_count(),
            is_readable: bytes.is_ok(),
            bytes: bytes.unwrap_or_default(),
        }
    }

    /// Bytes behind the records seen so far.
    pub(crate) fn leftover(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn parse(&mut self) -> Option<RecordView<'a>> {
        let length = usize::try_from(varint::read(&mut self.bytes)?).ok()?;
        let mut body = self.bytes.get(..length)?;
        self.bytes = &self.bytes[length..];
        body = body.get(1..)?; // attributes, unused
        let timestamp_delta = varint::read(&mut body)?;
        let offset_delta = u64::try_from(varint::read(&mut body)?).ok()?;
        let key = read_bytes(&mut body)?;
        let value = read_bytes(&mut body)?;
        let header_count = u32::try_from(varint::read(&mut body)?).ok()?;
        Some(RecordView {
            offset: self.base_offset + offset_delta,
            timestamp: self
                .append_time
                .unwrap_or_else(|| Timestamp::new(self.base_timestamp.wrapping_add(timestamp_delta))),
            key,
            value,
            headers: Headers { remaining: header_count, bytes: body },
        })
    }

    #[cold]
    fn fail(&mut self) -> LogError {
        self.remaining = 0;
        if !self.is_readable
            && let Err(error) = self.batch.record_bytes()
        {
            return error;
        }
        LogError::InvalidBatch {
            offset: self.base_offset.to_wire(),
            reason: "a record inside it is malformed",
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        match self.parse() {
            Some(record) => Some(Ok(record)),
            None => Some(Err(self.fail())),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining as usize))
    }
}

/// Iterator over the headers of a record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    remaining: u32,
    bytes: &'a [u8],
}

impl Headers<'_> {
    /// How many are left, as the record says.
    pub fn remaining(&self) -> usize {
        self.remaining as usize
    }

    /// Copies them for writing. Fails with [`LogError::InvalidBatch`] on the first malformed one.
    pub fn to_owned(self) -> Result<Vec<Header>> {
        self.map(|header| {
            let header = header?;
            Ok(Header { key: header.key.to_owned(), value: header.value.map(Bytes::copy_from_slice) })
        })
        .collect()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<HeaderView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let mut parse = || {
            let key = std::str::from_utf8(read_bytes(&mut self.bytes)??).ok()?;
            let value = read_bytes(&mut self.bytes)?;
            Some(HeaderView { key, value })
        };
        let header = parse();
        if header.is_none() {
            self.remaining = 0;
        }
        Some(header.ok_or(LogError::InvalidBatch { offset: -1, reason: "a header inside it is malformed" }))
    }
}

/// Takes a length and that many bytes off the front; length -1 is null.
#[inline]
fn read_bytes<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::read(input)?;
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let bytes = input.get(..length)?;
    *input = &input[length..];
    Some(Some(bytes))
}
