//! When a partition goes on in a new segment, and how.

use std::sync::Arc;
use std::time::Duration;

use super::{Partition, Writer};
use crate::config::TopicConfig;
use crate::error::{IoContext, LogError, Result};
use crate::record::RecordBatch;
use crate::segment::Segment;
use crate::types::Timestamp;

/// A segment that nothing was appended to for this long counts as idle, if its time is up.
const IDLE: Duration = Duration::from_secs(60);

impl Partition {
    /// Whether a batch goes into a new segment.
    pub(super) fn is_roll_due(&self, writer: &Writer, batch: &RecordBatch, config: &TopicConfig) -> bool {
        let size = writer.active.size();
        if size == 0 {
            return false;
        }
        size + batch.len_bytes() as u64 > u64::from(config.segment_bytes)
            || writer.active.is_index_full(batch.last_offset())
            || self.is_time_up(writer, batch.max_timestamp(), config)
    }

    /// Whether a segment that has come to `time` spans enough of it. Records without a time count by the clock.
    fn is_time_up(&self, writer: &Writer, time: Timestamp, config: &TopicConfig) -> bool {
        let limit = config.segment_time().saturating_sub(writer.jitter(config));
        match writer.first_timestamp {
            Some(first) if first != Timestamp::NONE => time.since(first) > limit,
            _ => self.around.clock.monotonic().saturating_sub(writer.active_since) > limit,
        }
    }

    /// Starts a new segment if nothing was appended for a while and the time of the last one is up, so that retention
    /// and compaction get at what it holds.
    pub(crate) fn roll_if_idle(&self, now: Timestamp) -> Result<bool> {
        let config = self.config();
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let idle = self.around.clock.monotonic().saturating_sub(writer.last_append);
        if writer.active.size() == 0
            || idle < IDLE.min(config.segment_time())
            || !self.is_time_up(&writer, now, &config)
        {
            return Ok(false);
        }
        self.roll(&mut writer, &config)?;
        Ok(true)
    }

    /// Seals the active segment and starts the next at the end. On a full disk, the next append tries again.
    ///
    /// The sealed one is put on stable storage by the next sync: until then the recovery point stays below its end. Only
    /// the names of the files are synced here, since a log that has lost a segment's name, but not that of the next,
    /// would seem to start late.
    pub(super) fn roll(&self, writer: &mut Writer, config: &TopicConfig) -> Result<()> {
        writer.is_settled = false;
        let outcome = self.write_aborted(writer).and_then(|()| {
            writer.active.seal()?;
            self.write_snapshot(writer)?;
            if !planted!("skip_dirsync_roll") {
                self.around.storage.sync_dir(&self.dir).context("sync", &self.dir)?;
            }
            Segment::create(&self.around.storage, &self.dir, writer.end, config)
        });
        match outcome {
            Ok(next) => {
                let sealed = std::mem::replace(&mut writer.active, Arc::new(next));
                writer.bytes_since_entry = 0;
                writer.first_timestamp = None;
                writer.active_since = self.around.clock.monotonic();
                writer.jitter_draw = self.around.draw();
                writer.aborted_bytes = 0;
                writer.snapshot.1 = 0;
                let mut state = self.state.lock();
                state.unsynced.sealed.push(sealed);
                state.unsynced.is_dir = true;
                state.segments.push(writer.active.clone());
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
}

impl Writer {
    /// The random part of `segment.jitter.ms` that was drawn for the active segment.
    fn jitter(&self, config: &TopicConfig) -> Duration {
        config
            .segment_jitter
            .min(config.segment_time())
            .mul_f64(f64::from(self.jitter_draw) / 4_294_967_296.0)
    }
}
