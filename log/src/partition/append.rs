//! Appending to a partition: checks, offsets, the write, rolling, syncing.

use super::*;

impl Partition {
    /// Appends one batch: fills in its offset, writes it, keeps it for the readers at the end. When the write fails,
    /// the batch is left in `slot` to be tried again.
    pub(crate) fn append(&self, slot: &mut BytesMut, origin: Origin, visible: Visible) -> Result<AppendInfo> {
        let config = self.config();
        let mut batch = std::mem::take(slot);
        if matches!(origin, Origin::Foreign | Origin::Verified) {
            batch = self.check_foreign(batch, &config)?;
        }
        if !origin.is_marker() {
            if batch.len() > config.max_message_bytes {
                return Err(self.too_large(batch.len(), config.max_message_bytes));
            }
            if config.timestamp_type == TimestampType::LogAppendTime {
                assign_append_time(&mut batch, self.around.clock.now());
            }
        }

        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        assign_offset(&mut batch, writer.end);
        let batch = RecordBatch::parse(batch.freeze())?;
        match writer.producers.check(&self.id, &batch, origin)? {
            Verdict::Append => {}
            Verdict::Duplicate(info) => return Ok(info),
            Verdict::Ended => return Ok(self.ended(&writer)),
        }
        writer.is_settled = false;
        if let Err(error) = self.write(&mut writer, &batch, &config) {
            *slot = BytesMut::from(batch.into_bytes());
            return Err(error);
        }
        let interval = config.index_interval_bytes;
        let writer = &mut *writer;
        writer.active.include(&batch, &mut writer.bytes_since_entry, interval);
        writer.first_timestamp.get_or_insert(batch.max_timestamp());
        writer.end = batch.next_offset();
        let aborted = writer.producers.update(&batch);
        if let Some(entry) = aborted {
            writer.unwritten_aborted.push(entry);
            // It can also be written later, and is rebuilt after a crash.
            let _deferred = self.write_aborted(writer);
        }

        let info = AppendInfo {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp(),
            is_duplicate: false,
        };
        let mut state = self.state.lock();
        state.end = writer.end;
        state.first_unstable = writer.producers.first_unstable();
        state.aborted.extend(aborted);
        state.tail.push(batch);
        if visible == Visible::Now {
            state.high_watermark = writer.end;
            drop(state);
            self.watchers.raise();
        }
        Ok(info)
    }

    /// The answer to a marker that is not needed: it lies somewhere below the end.
    fn ended(&self, writer: &Writer) -> AppendInfo {
        let end = Offset::new(writer.end.get().saturating_sub(1));
        AppendInfo {
            base_offset: end,
            last_offset: end,
            timestamp: self.around.clock.now(),
            is_duplicate: true,
        }
    }

    /// Checks what a batch from outside claims, and returns it.
    pub(super) fn check_foreign(&self, batch: BytesMut, config: &TopicConfig) -> Result<BytesMut> {
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
        for (expected, record) in (0..).zip(batch.records()) {
            let record = record?;
            if record.offset != Offset::new(expected) {
                return Err(invalid("its offsets are not 0, 1, 2, ..."));
            }
            if record.key.is_none() && config.cleanup_policy.compact {
                let reason = "a compacted topic takes only records with a key";
                return Err(LogError::InvalidRecord { partition: self.id.clone(), reason });
            }
        }
        // Copies only what is shared, or a small part of a buffer that readers of the tail would keep alive.
        let batch = BytesMut::from(batch.into_bytes());
        Ok(if batch.capacity() / 2 <= batch.len() { batch } else { BytesMut::from(&batch[..]) })
    }

    pub(super) fn too_large(&self, bytes: usize, bytes_max: usize) -> LogError {
        LogError::TooLarge { partition: self.id.clone(), bytes, bytes_max, key: "max.message.bytes" }
    }

    pub(super) fn is_roll_due(&self, writer: &Writer, batch: &RecordBatch, config: &TopicConfig) -> bool {
        let size = writer.active.size();
        if size == 0 {
            return false;
        }
        let spans_too_long = || {
            let first = writer.first_timestamp.filter(|first| *first != Timestamp::NONE);
            first.is_some_and(|first| batch.max_timestamp().since(first) > config.segment)
        };
        size + batch.len_bytes() as u64 > u64::from(config.segment_bytes)
            || writer.active.is_index_full(batch.last_offset())
            || spans_too_long()
    }

    /// Writes a batch behind the last one, in a new segment if that is due.
    pub(super) fn write(&self, writer: &mut Writer, batch: &RecordBatch, config: &TopicConfig) -> Result<()> {
        if self.is_roll_due(writer, batch, config) {
            self.roll(writer, config)?;
        }
        writer.active.write(batch).map_err(|error| self.fail_write(writer, error))
    }

    /// Seals the active segment and starts the next at the end. On a full disk, the next append tries again.
    ///
    /// The sealed one is put on stable storage by the next sync: until then the recovery point stays below its end.
    pub(super) fn roll(&self, writer: &mut Writer, config: &TopicConfig) -> Result<()> {
        let outcome = self.write_aborted(writer).and_then(|()| {
            writer.active.seal()?;
            self.write_snapshot(writer)?;
            Segment::create(&*self.around.storage, &self.dir, writer.end, config)
        });
        match outcome {
            Ok(next) => {
                let sealed = std::mem::replace(&mut writer.active, Arc::new(next));
                writer.unsynced.push(sealed);
                writer.bytes_since_entry = 0;
                writer.first_timestamp = None;
                writer.aborted_bytes = 0;
                writer.is_dir_unsynced = true;
                self.state.lock().segments.push(writer.active.clone());
                Ok(())
            }
            // A sealed segment takes no batches, so that a roll stays due.
            Err(error @ LogError::DiskFull { .. }) => Err(error),
            Err(error) => {
                self.stop(writer, "a new segment could not be started", &error);
                Err(error)
            }
        }
    }

    pub(super) fn fail_write(&self, writer: &mut Writer, error: std::io::Error) -> LogError {
        let path = writer.active.path().to_path_buf();
        let error = LogError::io("append to", &path, error);
        let undone = writer.active.discard_partial_write();
        if undone.is_err() || !matches!(error, LogError::DiskFull { .. }) {
            self.stop(writer, "a write failed", &error);
        }
        error
    }
}
