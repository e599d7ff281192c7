//! A `.log`: its batches, and inside them its records.

use std::path::Path;

use super::line::{BatchLine, Control, Line, RecordLine, TimestampName, codec_name, payload};
use super::log_file::{Found, LogFile};
use super::problem::Mismatch;
use super::{Dump, base_offset};
use crate::error::Result;
use crate::producer_state::wrapping_sequence;
use crate::record::{RecordBatch, RecordView};

const DELETE_HORIZON: u8 = 1 << 6;

impl Dump<'_> {
    pub(super) fn log(&mut self, path: &Path) -> Result<()> {
        self.print(&Line::LogStart { offset: base_offset(path)? })?;
        let mut log = LogFile::open(self.storage, path)?;
        if let Some(max_bytes) = self.options.max_bytes {
            log.limit(max_bytes);
        }
        let is_deep = self.options.deep_iteration || self.options.print_data_log;
        let mut position = 0;
        let mut last_offset = None;
        loop {
            match log.batch_at(position)? {
                Found::Batch(batch) => {
                    let line = batch_line(&batch, position);
                    if !line.is_valid {
                        self.problems.damage(path, position, "the CRC of a batch does not match");
                    }
                    self.print(&Line::Batch(line))?;
                    if is_deep {
                        self.records(path, position, &batch, &mut last_offset)?;
                    }
                    position += batch.len_bytes() as u64;
                }
                Found::End => return Ok(()),
                // The end was asked for.
                Found::CutOff if self.options.max_bytes == Some(log.size()) => return Ok(()),
                Found::CutOff => {
                    self.problems.damage(path, position, "its last batch is cut off");
                    return self.invalid_bytes(path, log.size() - position);
                }
                Found::Bad(reason) => {
                    self.problems.damage(path, position, reason);
                    return self.invalid_bytes(path, log.size() - position);
                }
            }
        }
    }

    fn invalid_bytes(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        self.print(&Line::InvalidBytes { bytes, file: &file })
    }

    fn records(
        &mut self,
        path: &Path,
        position: u64,
        batch: &RecordBatch,
        last: &mut Option<i64>,
    ) -> Result<()> {
        for record in batch.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.problems.damage(path, position, error.to_string());
                    return Ok(());
                }
            };
            let offset = record.offset.to_wire();
            if let Some(last) = last.replace(offset)
                && last.checked_add(1) != Some(offset)
            {
                self.problems.mismatch(Mismatch::Gap, path, (last, offset));
            }
            let line = self.record_line(batch, &record);
            self.print(&Line::Record(line))?;
        }
        Ok(())
    }

    fn record_line<'r>(&self, batch: &RecordBatch, record: &RecordView<'r>) -> RecordLine<'r> {
        let offset = record.offset.to_wire();
        let (key, payload) = match self.options.print_data_log && !batch.is_control() {
            true => payload(self.options, offset, record.key, record.value),
            false => (None, None),
        };
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        RecordLine {
            offset,
            timestamp_type: timestamp_name(batch),
            timestamp: record.timestamp.get(),
            key_size: size(record.key),
            value_size: size(record.value),
            sequence: sequence(batch, record.offset.since(batch.base_offset())),
            header_keys: record.headers().map_while(Result::ok).map(|header| header.key).collect(),
            control: batch.is_control().then(|| control(record)),
            key,
            payload,
        }
    }
}

fn batch_line(batch: &RecordBatch, position: u64) -> BatchLine {
    let bytes = batch.bytes();
    let span = batch.last_offset().since(batch.base_offset());
    BatchLine {
        base_offset: batch.base_offset().to_wire(),
        last_offset: batch.last_offset().to_wire(),
        count: batch.record_count(),
        base_sequence: batch.base_sequence(),
        last_sequence: sequence(batch, span),
        producer_id: batch.producer_id().map_or(-1, |id| id.get()),
        producer_epoch: batch.producer_epoch().get(),
        partition_leader_epoch: batch.leader_epoch(),
        is_transactional: batch.is_transactional(),
        is_control: batch.is_control(),
        delete_horizon_ms: (bytes[22] & DELETE_HORIZON != 0).then(|| batch.base_timestamp().get()),
        position,
        timestamp_type: timestamp_name(batch),
        timestamp: batch.max_timestamp().get(),
        size: bytes.len(),
        magic: bytes[16] as i8,
        compression: batch.codec().ok().map(codec_name),
        crc: u32::from_be_bytes([bytes[17], bytes[18], bytes[19], bytes[20]]),
        is_valid: batch.check_crc(),
    }
}

/// Sequence of the record `delta` behind the first; -1 if the batch has none.
fn sequence(batch: &RecordBatch, delta: u64) -> i32 {
    match batch.base_sequence() {
        base if base < 0 => -1,
        base => wrapping_sequence(base, delta),
    }
}

fn timestamp_name(batch: &RecordBatch) -> TimestampName {
    match batch.is_log_append_time() {
        true => TimestampName::LogAppendTime,
        false => TimestampName::CreateTime,
    }
}

fn control(record: &RecordView<'_>) -> Control {
    let short =
        |bytes: Option<&[u8]>, at: usize| Some(i16::from_be_bytes(bytes?.get(at..at + 2)?.try_into().ok()?));
    let kind = short(record.key, 2).unwrap_or(-1);
    let name = match kind {
        0 => "ABORT",
        1 => "COMMIT",
        2 => "LEADER_CHANGE",
        3 => "SNAPSHOT_HEADER",
        4 => "SNAPSHOT_FOOTER",
        5 => "KRAFT_VERSION",
        6 => "KRAFT_VOTERS",
        _ => "UNKNOWN",
    };
    let epoch = record.value.and_then(|value| value.get(2..6)?.try_into().ok()).map(i32::from_be_bytes);
    match (kind, epoch) {
        (0 | 1, Some(coordinator_epoch)) => Control::EndTransaction { marker: name, coordinator_epoch },
        _ => Control::Other { name, kind },
    }
}
