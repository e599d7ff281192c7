//! What is printed: one line each, as Kafka's text or as JSON.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::DumpOptions;
use super::coordinator::{self, Topic};
use super::schema::Value;
use crate::record::Codec;
use crate::types::Offset;

/// How the bytes of a key or value are printed. Kafka names a class for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// `StringDecoder`: UTF-8, with what is not replaced.
    Text,
    /// `IntegerDecoder`: a big-endian number of 4 bytes.
    Integer,
    /// `LongDecoder`: a big-endian number of 8 bytes.
    Long,
    /// `DefaultDecoder`: hexadecimal digits.
    Hex,
    /// `--offsets-decoder`: records of `__consumer_offsets`, as JSON.
    ConsumerOffsets,
    /// `--transaction-log-decoder`: records of `__transaction_state`, as JSON.
    TransactionState,
}

impl Decoder {
    /// The decoder of that name: Kafka's class with or without its package, or `text`, `integer`, `long` and `hex`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.rsplit('.').next()? {
            "StringDecoder" | "text" => Some(Self::Text),
            "IntegerDecoder" | "integer" => Some(Self::Integer),
            "LongDecoder" | "long" => Some(Self::Long),
            "DefaultDecoder" | "hex" => Some(Self::Hex),
            _ => None,
        }
    }

    /// A record of an internal topic as a JSON object with `key` and `value`; `None` for decoders of other topics.
    pub fn record_to_json(self, offset: Offset, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<String> {
        let offset = i64::try_from(offset.get()).unwrap_or(i64::MAX);
        let (key, value) = coordinator::decode(self.topic()?, offset, key, value);
        Some(serde_json::json!({ "key": key, "value": value }).to_string())
    }

    fn topic(self) -> Option<Topic> {
        match self {
            Self::ConsumerOffsets => Some(Topic::ConsumerOffsets),
            Self::TransactionState => Some(Topic::TransactionState),
            Self::Text | Self::Integer | Self::Long | Self::Hex => None,
        }
    }

    fn decode(self, bytes: &[u8]) -> Value {
        let number = match self {
            Self::Integer => bytes.try_into().ok().map(|bytes| i64::from(i32::from_be_bytes(bytes))),
            Self::Long => bytes.try_into().ok().map(i64::from_be_bytes),
            Self::Text | Self::Hex | Self::ConsumerOffsets | Self::TransactionState => None,
        };
        match (self, number) {
            (_, Some(number)) => Value::Number(number),
            (Self::Hex | Self::Integer | Self::Long, None) => Value::Hex(bytes.to_vec()),
            (Self::Text | Self::ConsumerOffsets | Self::TransactionState, None) => {
                Value::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }
}

/// A line of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Line<'a> {
    File { path: &'a Path },
    LogStart { offset: i64 },
    Batch(BatchLine),
    Record(RecordLine<'a>),
    InvalidBytes { bytes: u64, file: &'a str },
    Empty { path: &'a Path },
    Sane { path: &'a Path },
    OffsetEntry { offset: i64, position: u32 },
    TimeEntry { timestamp: i64, offset: i64 },
    Producer(ProducerLine),
    Aborted { version: i16, producer_id: i64, first_offset: i64, last_offset: i64, last_stable_offset: i64 },
    Checkpoint { topic: &'a str, partition: u32, offset: i64 },
    LeaderEpoch { epoch: i32, start_offset: i64 },
    Property { name: &'a str, value: &'a str },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchLine {
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) count: u32,
    pub(super) base_sequence: i32,
    pub(super) last_sequence: i32,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) partition_leader_epoch: i32,
    pub(super) is_transactional: bool,
    pub(super) is_control: bool,
    pub(super) delete_horizon_ms: Option<i64>,
    pub(super) position: u64,
    pub(super) timestamp_type: TimestampName,
    pub(super) timestamp: i64,
    pub(super) size: usize,
    pub(super) magic: i8,
    /// `None` for one that does not exist.
    pub(super) compression: Option<&'static str>,
    pub(super) crc: u32,
    pub(super) is_valid: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum TimestampName {
    CreateTime,
    LogAppendTime,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordLine<'a> {
    pub(super) offset: i64,
    pub(super) timestamp_type: TimestampName,
    pub(super) timestamp: i64,
    pub(super) key_size: i64,
    pub(super) value_size: i64,
    pub(super) sequence: i32,
    pub(super) header_keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) control: Option<Control>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Value>,
}

/// What a control record says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Control {
    EndTransaction { marker: &'static str, coordinator_epoch: i32 },
    Other { name: &'static str, kind: i16 },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProducerLine {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) coordinator_epoch: i32,
    pub(super) current_txn_first_offset: Option<i64>,
    pub(super) last_timestamp: i64,
    pub(super) batch: Option<ProducerBatch>,
}

/// The newest batch of a producer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProducerBatch {
    pub(super) first_sequence: i32,
    pub(super) last_sequence: i32,
    pub(super) last_offset: i64,
    pub(super) offset_delta: i32,
}

/// The key and the value of a record as `options` want them.
pub(super) fn payload(
    options: &DumpOptions,
    offset: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> (Option<Value>, Option<Value>) {
    match options.value.topic() {
        Some(topic) => coordinator::decode(topic, offset, key, value),
        None => (key.map(|key| options.key.decode(key)), value.map(|value| options.value.decode(value))),
    }
}

pub(super) fn codec_name(codec: Option<Codec>) -> &'static str {
    codec.map_or("none", Codec::name)
}

impl Line<'_> {
    pub(super) fn write(&self, options: &DumpOptions, out: &mut dyn Write) -> io::Result<()> {
        if options.json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        match self {
            Self::File { path } => writeln!(out, "Dumping {}", path.display()),
            Self::LogStart { offset } => writeln!(out, "Log starting offset: {offset}"),
            Self::Batch(batch) => writeln!(out, "{batch}"),
            Self::Record(record) => record.write_text(options, out),
            Self::InvalidBytes { bytes, file } => {
                writeln!(out, "Found {bytes} invalid bytes at the end of {file}")
            }
            Self::Empty { path } => writeln!(out, "{} is empty.", path.display()),
            Self::Sane { path } => writeln!(out, "{} passed sanity check.", path.display()),
            Self::OffsetEntry { offset, position } => writeln!(out, "offset: {offset} position: {position}"),
            Self::TimeEntry { timestamp, offset } => writeln!(out, "timestamp: {timestamp} offset: {offset}"),
            Self::Producer(producer) => writeln!(out, "{producer}"),
            Self::Aborted { version, producer_id, first_offset, last_offset, last_stable_offset } => {
                writeln!(
                    out,
                    "version: {version} producerId: {producer_id} firstOffset: {first_offset} lastOffset: {last_offset} \
                 lastStableOffset: {last_stable_offset}"
                )
            }
            Self::Checkpoint { topic, partition, offset } => {
                writeln!(out, "topic: {topic} partition: {partition} offset: {offset}")
            }
            Self::LeaderEpoch { epoch, start_offset } => {
                writeln!(out, "epoch: {epoch} startOffset: {start_offset}")
            }
            Self::Property { name, value } => writeln!(out, "{name}: {value}"),
        }
    }
}

impl RecordLine<'_> {
    fn write_text(&self, options: &DumpOptions, out: &mut dyn Write) -> io::Result<()> {
        let mut prefix = "| ";
        if !options.skip_record_metadata {
            write!(
                out,
                "{prefix}offset: {} {:?}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
                self.offset,
                self.timestamp_type,
                self.timestamp,
                self.key_size,
                self.value_size,
                self.sequence,
                self.header_keys.join(",")
            )?;
            prefix = " ";
            match &self.control {
                Some(Control::EndTransaction { marker, coordinator_epoch }) => {
                    write!(out, " endTxnMarker: {marker} coordinatorEpoch: {coordinator_epoch}")?;
                }
                Some(Control::Other { name, kind }) => write!(out, " controlType: {name}({kind})")?,
                None => {}
            }
        }
        if let Some(key) = &self.key {
            write!(out, "{prefix}key: {key}")?;
        }
        if let Some(payload) = &self.payload {
            write!(out, " payload: {payload}")?;
        }
        writeln!(out)
    }
}

/// As Java prints an `OptionalLong`.
struct OptionalLong(Option<i64>);

impl fmt::Display for OptionalLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "OptionalLong[{number}]"),
            None => f.write_str("OptionalLong.empty"),
        }
    }
}

impl fmt::Display for BatchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
             partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {} position: {} {:?}: {} \
             size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
            self.base_offset,
            self.last_offset,
            self.count,
            self.base_sequence,
            self.last_sequence,
            self.producer_id,
            self.producer_epoch,
            self.partition_leader_epoch,
            self.is_transactional,
            self.is_control,
            OptionalLong(self.delete_horizon_ms),
            self.position,
            self.timestamp_type,
            self.timestamp,
            self.size,
            self.magic,
            self.compression.unwrap_or("unknown"),
            self.crc,
            self.is_valid
        )
    }
}

impl fmt::Display for ProducerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} lastTimestamp: {} ",
            self.producer_id,
            self.producer_epoch,
            self.coordinator_epoch,
            OptionalLong(self.current_txn_first_offset),
            self.last_timestamp
        )?;
        let Some(batch) = &self.batch else { return Ok(()) };
        write!(
            f,
            "firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            batch.first_sequence,
            batch.last_sequence,
            batch.last_offset,
            batch.offset_delta,
            self.last_timestamp
        )
    }
}
