//! Appending to a partition: the offset, the write, what follows from it for the readers.

use std::sync::atomic::Ordering;

use bytes::BytesMut;

use super::sync::UNSYNCED_BYTES_MAX;
use super::{Origin, Partition, Visible, Writer};
use crate::config::TopicConfig;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::producer_state::Verdict;
use crate::record::{RecordBatch, assign_leader_epoch, assign_offset};
use crate::types::Offset;

impl Partition {
    /// Appends one batch: fills in its offset, writes it, keeps it for the readers at the end. When the write fails,
    /// the batch is left in `slot` to be tried again.
    pub(crate) fn append(&self, slot: &mut BytesMut, origin: Origin, visible: Visible) -> Result<AppendInfo> {
        let config = self.config();
        if visible == Visible::Synced && config.min_insync_replicas > 1 && !origin.is_marker() {
            let (partition, asked) = (self.id.clone(), config.min_insync_replicas);
            return Err(LogError::NotEnoughReplicas { partition, asked });
        }
        let mut batch = self.prepare(std::mem::take(slot), origin, &config)?;
        let mut guard = self.writer_with_room(batch.len(), visible)?;
        let writer = &mut *guard;
        self.check_open(writer)?;
        assign_offset(&mut batch, writer.end);
        assign_leader_epoch(&mut batch, writer.epochs.last());
        let batch = RecordBatch::parse(batch.freeze())?;
        match writer.producers.check(&self.id, &batch, origin)? {
            Verdict::Append => {}
            Verdict::Duplicate(info) => return Ok(info),
            Verdict::Ended => return Ok(self.ended(writer)),
        }
        writer.is_settled = false;
        if let Err(error) = self.write(writer, &batch, &config) {
            *slot = BytesMut::from(batch.into_bytes());
            return Err(error);
        }
        let interval = config.index_interval_bytes;
        let now = self.around.clock.monotonic();
        writer.active.include(&batch, &mut writer.bytes_since_entry, interval);
        writer.first_timestamp.get_or_insert(batch.max_timestamp());
        writer.end = batch.next_offset();
        writer.last_append = now;

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
        let (end, bytes) = (writer.end, batch.len_bytes() as u64);
        self.around.written.fetch_add(bytes, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.end = end;
        state.unsynced.bytes += bytes;
        let unsynced_since = *state.unsynced.since.get_or_insert(now);
        assert!(
            visible == Visible::Now || state.unsynced.bytes <= UNSYNCED_BYTES_MAX.max(bytes),
            "{} bytes wait for a sync",
            state.unsynced.bytes
        );
        state.first_unstable = writer.producers.first_unstable();
        state.aborted.extend(aborted);
        state.tail.push(batch);
        if visible == Visible::Now {
            state.high_watermark = end;
            drop(state);
            self.watchers.raise();
        } else {
            drop(state);
        }
        drop(guard);
        if self.is_flush_due(end, now.saturating_sub(unsynced_since), &config) {
            self.sync(end)?;
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

    /// Writes a batch behind the last one, in a new segment if that is due.
    fn write(&self, writer: &mut Writer, batch: &RecordBatch, config: &TopicConfig) -> Result<()> {
        if self.is_roll_due(writer, batch, config) {
            self.roll(writer, config)?;
        }
        writer.active.write(batch).map_err(|error| self.fail_write(writer, error))
    }

    fn fail_write(&self, writer: &mut Writer, error: std::io::Error) -> LogError {
        let path = writer.active.path().to_path_buf();
        let error = LogError::io("append to", &path, error);
        let undone = writer.active.discard_partial_write();
        if undone.is_err() || !matches!(error, LogError::DiskFull { .. }) {
            self.stop(writer, "a write failed", &error);
        }
        error
    }
}
