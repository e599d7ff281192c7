//! What the two sides of a foreign-key join say to each other, in Kafka's layouts.
//!
//! ```text
//! subscription  key: foreign key     value: version 1 │ instruction 1 │ hash 16 or nothing │ primary key │ partition 4
//! response      key: primary key     value: version 1 │ hash 16 or nothing │ foreign value or nothing
//! store         key: length 4 │ foreign key │ primary key                           value: that of the subscription
//! ```
//! The highest bit of the version says that there is no hash. Numbers are big endian.

use std::any::Any;
use std::sync::Arc;

use millstream_log::{Header, PartitionId, PartitionRecords};

use crate::ByteColumn;
use crate::batch::{Batch, Decoded, Decoder, Encoder, RecordSink, downcast};
use crate::error::StreamsError;
use crate::operator::foreign_key::murmur3::Hash;
use crate::report::Reporter;
use crate::topology::{DecoderSupplier, EncoderSupplier};

const NO_HASH: u8 = 0x80;
const SUBSCRIPTION_VERSION: u8 = 1;
const RESPONSE_VERSION: u8 = 0;
/// As version 0, but that there is a foreign value, even if it has no bytes. Kafka takes such a value for none.
const EMPTY_VALUE_VERSION: u8 = 1;

/// What the right side is to do with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Forget it, and do not answer.
    Delete,
    /// Forget it, and answer that there is no right row.
    DeleteAndAnswer,
    /// Keep it, and answer with the right row or that there is none.
    KeepAndAnswer,
    /// Keep it, and answer if there is a right row.
    KeepAndAnswerIfFound,
}

impl Instruction {
    fn byte(self) -> u8 {
        match self {
            Self::Delete => 0,
            Self::DeleteAndAnswer => 1,
            Self::KeepAndAnswer => 2,
            Self::KeepAndAnswerIfFound => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Delete,
            1 => Self::DeleteAndAnswer,
            2 => Self::KeepAndAnswer,
            3 => Self::KeepAndAnswerIfFound,
            _ => return None,
        })
    }
}

/// A left row that wants to hear of a right row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription<'a> {
    pub(crate) instruction: Instruction,
    /// Of the left value; none if the left row is gone.
    pub(crate) hash: Option<Hash>,
    pub(crate) primary_key: &'a [u8],
    /// Of the left row.
    pub(crate) partition: u32,
}

impl<'a> Subscription<'a> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(SUBSCRIPTION_VERSION | if self.hash.is_none() { NO_HASH } else { 0 });
        out.push(self.instruction.byte());
        out.extend(self.hash.iter().flatten());
        out.extend_from_slice(self.primary_key);
        out.extend_from_slice(&self.partition.to_be_bytes());
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (instruction, rest) = rest.split_first()?;
        let instruction = Instruction::from_byte(*instruction)?;
        if version & !NO_HASH != SUBSCRIPTION_VERSION {
            return None;
        }
        let (hash, rest) = split_hash(*version, rest)?;
        let (primary_key, partition) = rest.split_last_chunk::<4>()?;
        Some(Self { instruction, hash, primary_key, partition: u32::from_be_bytes(*partition) })
    }
}

/// What a left row hears of a right row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    /// That of the subscription.
    pub(crate) hash: Option<Hash>,
    /// The right row, if there is one.
    pub(crate) foreign: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let is_empty = self.foreign.is_some_and(<[u8]>::is_empty);
        let version = if is_empty { EMPTY_VALUE_VERSION } else { RESPONSE_VERSION };
        out.push(version | if self.hash.is_none() { NO_HASH } else { 0 });
        out.extend(self.hash.iter().flatten());
        out.extend_from_slice(self.foreign.unwrap_or_default());
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (hash, rest) = split_hash(*version, rest)?;
        let foreign = match version & !NO_HASH {
            RESPONSE_VERSION => Some(rest).filter(|rest| !rest.is_empty()),
            EMPTY_VALUE_VERSION => Some(rest),
            _ => return None,
        };
        Some(Self { hash, foreign })
    }
}

fn split_hash(version: u8, bytes: &[u8]) -> Option<(Option<Hash>, &[u8])> {
    if version & NO_HASH != 0 {
        return Some((None, bytes));
    }
    let (hash, rest) = bytes.split_first_chunk::<16>()?;
    Some((Some(*hash), rest))
}

/// The beginning of the store keys of all subscriptions of a foreign key.
pub(crate) fn subscription_prefix(foreign_key: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(foreign_key.len()).expect("record keys are shorter than 2 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(foreign_key);
}

/// Messages as bytes: the batch that comes from and goes to the topics between the sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    pub(crate) keys: ByteColumn,
    pub(crate) values: ByteColumn,
    pub(crate) timestamps: Vec<i64>,
    /// Where each message goes, or nothing at all if the key decides.
    pub(crate) partitions: Vec<u32>,
    /// The headers of each message, or nothing at all if none has any.
    pub(crate) headers: Vec<Vec<Header>>,
}

impl Messages {
    /// Appends the rest of a message whose key and value were just pushed.
    pub(crate) fn close(&mut self, timestamp: i64, headers: &[Header]) {
        if !headers.is_empty() || !self.headers.is_empty() {
            self.headers.resize(self.timestamps.len(), Vec::new());
            self.headers.push(headers.to_vec());
        }
        self.timestamps.push(timestamp);
    }

    pub(crate) fn headers_of(&self, row: usize) -> &[Header] {
        self.headers.get(row).map_or(&[], Vec::as_slice)
    }

    fn rows_in(&self, rows: std::ops::Range<usize>) -> Self {
        let mut part = Self::default();
        for row in rows {
            part.keys.push(self.keys.get(row));
            part.values.push(self.values.get(row));
            part.partitions.extend(self.partitions.get(row));
            part.close(self.timestamps[row], self.headers_of(row));
        }
        part
    }
}

impl Batch for Messages {
    fn rows(&self) -> usize {
        self.timestamps.len()
    }

    fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        let front = self.rows_in(0..rows);
        *self = self.rows_in(rows..self.timestamps.len());
        Box::new(front)
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Reads messages from a topic.
pub fn message_decoder() -> DecoderSupplier {
    Arc::new(|| Box::new(MessageDecoder))
}

/// Writes messages to a topic.
pub fn message_encoder() -> EncoderSupplier {
    Arc::new(|| Box::new(MessageEncoder))
}

struct MessageDecoder;

impl Decoder for MessageDecoder {
    fn decode(
        &mut self,
        records: &PartitionRecords,
        _report: &mut dyn Reporter,
    ) -> Result<Decoded, StreamsError> {
        let (mut messages, mut offsets) = (Messages::default(), Vec::new());
        for record in records.records() {
            let record = record?;
            messages.keys.push(record.key);
            messages.values.push(record.value);
            messages.close(record.timestamp.get(), &record.headers().to_owned()?);
            offsets.push(record.offset.get());
        }
        Ok(Decoded { batch: Box::new(messages), offsets })
    }
}

struct MessageEncoder;

impl Encoder for MessageEncoder {
    fn encode(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut RecordSink<'_>,
        _report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        let messages = downcast::<Messages>(batch)?;
        for row in 0..messages.rows() {
            let partition = messages.partitions.get(row).map(|partition| PartitionId::new(*partition));
            let (key, value) = (messages.keys.get(row), messages.values.get(row));
            out.append(partition, messages.timestamps[row], key, value, messages.headers_of(row))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_kafka() {
        let hash = Some([7; 16]);
        let subscriptions = [
            (Instruction::Delete, None, &[0x81, 0, b'p', 0, 0, 1, 2][..]),
            (Instruction::DeleteAndAnswer, None, &[0x81, 1, b'p', 0, 0, 1, 2]),
            (
                Instruction::KeepAndAnswer,
                hash,
                &[1, 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, b'p', 0, 0, 1, 2],
            ),
            (Instruction::KeepAndAnswerIfFound, None, &[0x81, 3, b'p', 0, 0, 1, 2]),
        ];
        for (instruction, hash, expected) in subscriptions {
            let subscription = Subscription { instruction, hash, primary_key: b"p", partition: 258 };
            let mut bytes = Vec::new();
            subscription.write(&mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(Subscription::read(&bytes), Some(subscription));
        }
        let responses = [
            (None, None, &[0x80][..]),
            (None, Some(&b"v"[..]), &[0x80, b'v']),
            (hash, Some(b"v"), &[0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, b'v']),
            (None, Some(b""), &[0x81]),
        ];
        for (hash, foreign, expected) in responses {
            let response = Response { hash, foreign };
            let mut bytes = Vec::new();
            response.write(&mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(Response::read(&bytes), Some(response));
        }
        let mut prefix = Vec::new();
        subscription_prefix(b"fk", &mut prefix);
        assert_eq!(prefix, [0, 0, 0, 2, b'f', b'k']);
    }

    #[test]
    fn other_bytes_are_no_message() {
        for bytes in
            [&[][..], &[1], &[1, 4, 0, 0, 0, 0], &[1, 0, 7], &[0x82, 0, 0, 0, 0, 0], &[0x81, 0, 0, 0, 0]]
        {
            assert_eq!(Subscription::read(bytes), None, "{bytes:?}");
        }
        for bytes in [&[][..], &[0, 1], &[0x82]] {
            assert_eq!(Response::read(bytes), None, "{bytes:?}");
        }
    }
}
