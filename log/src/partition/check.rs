//! What a batch must hold to before it is appended, and the form in which its topic keeps it.

use bytes::BytesMut;

use super::{Origin, Partition};
use crate::config::{TimestampType, TopicConfig};
use crate::error::{LogError, Result};
use crate::record::{RecordBatch, Records, assign_append_time, assign_max_timestamp};
use crate::types::{Offset, Timestamp};

/// As many as an error names.
const NAMED_MAX: usize = 3;

/// Times that records of a topic may carry now.
#[derive(Clone, Copy, Debug)]
struct TimeLimits {
    earliest: Timestamp,
    latest: Timestamp,
}

impl TimeLimits {
    fn hold(self, time: Timestamp) -> bool {
        time == Timestamp::NONE || (self.earliest..=self.latest).contains(&time)
    }
}

impl Partition {
    /// Checks a batch that is to be appended and brings it into its topic's form: compression and append time. Batches
    /// that this crate built are trusted as to what their header says of their records.
    pub(super) fn prepare(&self, batch: BytesMut, origin: Origin, config: &TopicConfig) -> Result<BytesMut> {
        if origin.is_marker() {
            return Ok(batch);
        }
        self.check_size(batch.len(), config)?;
        let mut batch = match origin {
            Origin::Foreign | Origin::Verified => self.check_foreign(batch, config)?,
            Origin::Own => self.check_own(batch, config)?,
            Origin::Marker | Origin::BumpedMarker => batch,
        };
        if let Some(compression) = config.recompression() {
            let parsed = RecordBatch::parse(batch.freeze())?;
            batch = if parsed.codec()? == compression.map(|compression| compression.codec()) {
                parsed.into_bytes().into()
            } else {
                parsed.recompress(compression)?
            };
            self.check_size(batch.len(), config)?;
        }
        if batch.len() > config.segment_bytes as usize {
            return Err(self.too_large(batch.len(), config.segment_bytes as usize, "segment.bytes"));
        }
        if config.timestamp_type == TimestampType::LogAppendTime {
            assign_append_time(&mut batch, self.around.clock.now());
        }
        Ok(batch)
    }

    fn check_size(&self, bytes: usize, config: &TopicConfig) -> Result<()> {
        match bytes > config.max_message_bytes {
            true => Err(self.too_large(bytes, config.max_message_bytes, "max.message.bytes")),
            false => Ok(()),
        }
    }

    fn too_large(&self, bytes: usize, bytes_max: usize, key: &'static str) -> LogError {
        LogError::TooLarge { partition: self.id.clone(), bytes, bytes_max, key }
    }

    /// Times that the topic takes from producers; without its limits any but negative ones.
    fn time_limits(&self, config: &TopicConfig) -> TimeLimits {
        let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (before, after) = (millis(config.timestamp_before_max), millis(config.timestamp_after_max));
        if config.timestamp_type == TimestampType::LogAppendTime || (before, after) == (i64::MAX, i64::MAX) {
            return TimeLimits { earliest: Timestamp::new(0), latest: Timestamp::new(i64::MAX) };
        }
        let now = self.around.clock.now().get();
        let earliest = Timestamp::new(now.saturating_sub(before).max(0));
        TimeLimits { earliest, latest: Timestamp::new(now.saturating_add(after)) }
    }

    fn invalid_time(&self, timestamp: Timestamp, limits: TimeLimits) -> LogError {
        LogError::InvalidTimestamp {
            partition: self.id.clone(),
            timestamp,
            earliest: limits.earliest,
            latest: limits.latest,
            hint: "correct it, or change message.timestamp.before.max.ms or message.timestamp.after.max.ms",
        }
    }

    /// Looks at the header of a batch whose header is right, and at its records only if their times are limited.
    fn check_own(&self, batch: BytesMut, config: &TopicConfig) -> Result<BytesMut> {
        let limits = self.time_limits(config);
        let parsed = RecordBatch::parse(batch.freeze())?;
        let (base, max) = (parsed.base_timestamp(), parsed.max_timestamp());
        let is_early_possible = limits.earliest > Timestamp::new(0) || base < Timestamp::new(0);
        if !limits.hold(max) || is_early_possible {
            for record in parsed.records() {
                let timestamp = record?.timestamp;
                if !limits.hold(timestamp) {
                    return Err(self.invalid_time(timestamp, limits));
                }
            }
        }
        Ok(parsed.into_bytes().into())
    }

    /// Checks what a batch from outside claims, and returns it with the largest timestamp that its records have.
    fn check_foreign(&self, batch: BytesMut, config: &TopicConfig) -> Result<BytesMut> {
        let invalid = |reason| LogError::InvalidBatch { offset: 0, reason };
        let batch = RecordBatch::parse(batch.freeze())?;
        if !batch.check_crc() {
            return Err(invalid("the CRC does not match"));
        }
        let span = batch.next_offset().since(batch.base_offset());
        if batch.base_offset() != Offset::ZERO
            || batch.record_count() == 0
            || span != u64::from(batch.record_count())
        {
            return Err(invalid("its offsets are not 0, 1, 2, ..."));
        }
        if batch.is_control() || batch.is_log_append_time() {
            return Err(invalid("only the log writes control batches and append times"));
        }
        let max_timestamp = self.check_records(batch.records(), config)?;
        let claimed = batch.max_timestamp();
        // Copies only what is shared, or a small part of a buffer that readers of the tail would keep alive.
        let batch = BytesMut::from(batch.into_bytes());
        let mut batch = if batch.capacity() / 2 <= batch.len() { batch } else { BytesMut::from(&batch[..]) };
        if claimed != max_timestamp {
            // Lookups by time and retention go by it.
            assign_max_timestamp(&mut batch, max_timestamp);
        }
        Ok(batch)
    }

    /// Checks every record and returns their largest timestamp.
    fn check_records(&self, mut records: Records<'_>, config: &TopicConfig) -> Result<Timestamp> {
        let limits = self.time_limits(config);
        let mut max_timestamp = Timestamp::NONE;
        let mut keyless = Vec::new();
        let mut keyless_count = 0;
        let mut expected = Offset::ZERO;
        for record in &mut records {
            let record = record?;
            if record.offset != expected {
                let reason = "its offsets are not 0, 1, 2, ...";
                return Err(LogError::InvalidBatch { offset: 0, reason });
            }
            if record.key.is_none() && config.cleanup_policy.compact {
                keyless_count += 1;
                if keyless.len() < NAMED_MAX {
                    keyless.push(expected.to_string());
                }
            }
            if !limits.hold(record.timestamp) {
                return Err(self.invalid_time(record.timestamp, limits));
            }
            for header in record.headers() {
                header?;
            }
            max_timestamp = max_timestamp.max(record.timestamp);
            expected = expected + 1;
        }
        if records.leftover() > 0 {
            let reason = "bytes follow its last record";
            return Err(LogError::InvalidBatch { offset: 0, reason });
        }
        if keyless_count > 0 {
            let mut records = keyless.join(", ");
            if keyless_count > keyless.len() {
                records.push_str(&format!(" and {} more", keyless_count - keyless.len()));
            }
            let reason = "a compacted topic takes only records with a key";
            return Err(LogError::InvalidRecords { partition: self.id.clone(), records, reason });
        }
        Ok(max_timestamp)
    }
}
