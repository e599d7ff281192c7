//! A partition: append at the end, read from anywhere, sync, and what its readers may see.
//!
//! ```text
//! log start ─ sealed segments ─ active segment ─┬─ last stable offset ─┬─ high watermark ─┬─ end
//!                                               read_committed         read_uncommitted    unsynced acks=all
//! ```
//! - Offsets follow on without gaps, across batches and segments.
//! - The append lock orders writers and is the only lock held across I/O; readers take the short state lock.
//! - What is in memory was written before; what is read back from files is checked before anyone sees it.
//! - A failed write that cannot be undone, or a failed sync, stops the partition until the log is reopened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::aborted::{self, AbortedEntry};
use crate::catalogue::TopicId;
use crate::clock::Clock;
use crate::config::{TimestampType, TopicConfig};
use crate::error::{IoContext, LogError, Result};
use crate::fetched::{AppendInfo, Fetched};
use crate::mutex::Mutex;
use crate::producer_state::ProducerStates;
use crate::record::{RecordBatch, assign_append_time, assign_offset};
use crate::recovery::{self, Checkpoint, CorruptRange};
use crate::segment::{self, Segment};
use crate::signal::Watchers;
use crate::storage::{OpenMode, Storage};
use crate::tail::{Tail, TailBudget};
use crate::types::{Isolation, Offset, OffsetSpec, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// What the partitions of a log share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) budget: Arc<TailBudget>,
}

/// Where a batch comes from, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built by this crate just now.
    Own,
    /// A control batch of the transaction coordinator.
    Marker,
    /// Handed in: every claim of its header is checked.
    Foreign,
}

/// When readers see a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    Now,
    /// With the next sync.
    Synced,
}

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    id: TopicPartition,
    dir: PathBuf,
    config: Arc<TopicConfig>,
    around: Surroundings,
    /// The append lock.
    writer: Mutex<Writer>,
    /// Everything below this offset is on stable storage. Whoever syncs holds it, so that others wait and find their
    /// batch synced along.
    synced: Mutex<Offset>,
    state: Mutex<State>,
    watchers: Watchers,
}

#[derive(Debug)]
struct Writer {
    condition: Condition,
    active: Arc<Segment>,
    end: Offset,
    bytes_since_entry: u64,
    /// Time of the active segment's first batch.
    first_timestamp: Option<Timestamp>,
    producers: ProducerStates,
    /// Aborted transactions of the active segment that are not yet in its `.txnindex`.
    unwritten_aborted: Vec<AbortedEntry>,
    /// Bytes in the active segment's `.txnindex`.
    aborted_bytes: u64,
    /// Whether a file was created whose name may not be on stable storage.
    is_dir_unsynced: bool,
    /// Whether the files are as a clean close left them.
    is_settled: bool,
}

/// Whether a partition takes batches.
#[derive(Clone, Debug)]
enum Condition {
    Open,
    Corrupt(CorruptRange),
    Stopped(String),
    Closed,
    Deleted,
}

/// What readers need, published by the writer.
#[derive(Debug)]
struct State {
    segments: Vec<Arc<Segment>>,
    tail: Tail,
    start: Offset,
    end: Offset,
    high_watermark: Offset,
    first_unstable: Option<Offset>,
    aborted: Vec<AbortedEntry>,
    corrupt: Option<CorruptRange>,
    is_deleted: bool,
}

impl State {
    fn last_stable_offset(&self) -> Offset {
        self.first_unstable.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }
}

/// What the checkpoints say of a partition that was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) recovery_point: Offset,
    /// Whether nothing is left to do at the next start.
    pub(crate) is_clean: bool,
}

impl Partition {
    /// Opens the partition in `dir`, creating it if it is not there.
    pub(crate) fn open(
        id: TopicPartition,
        dir: PathBuf,
        config: Arc<TopicConfig>,
        around: Surroundings,
        checkpoint: Checkpoint,
    ) -> Result<Self> {
        let is_new = recovery::ensure_dir(&*around.storage, &dir)?;
        let loaded = recovery::load(&*around.storage, &dir, &config, checkpoint)?;
        let active = loaded.segments.last().expect("there is always a segment").clone();
        let first_timestamp = first_timestamp(&active)?;
        let start = loaded.segments[0].base().max(checkpoint.log_start.unwrap_or_default());
        let synced = match (&loaded.corrupt, checkpoint.is_clean) {
            // Kept for the next start, which else would take the damage for a torn tail.
            (Some(_), _) => checkpoint.recovery_point.unwrap_or_default(),
            (None, true) => loaded.end,
            (None, false) => checkpoint.recovery_point.unwrap_or_default().min(loaded.end),
        };
        let in_active = |entry: &&AbortedEntry| entry.last_offset >= active.base();
        let aborted_bytes = (loaded.aborted.iter().filter(in_active).count() * AbortedEntry::BYTES) as u64;
        let condition = loaded.corrupt.clone().map_or(Condition::Open, Condition::Corrupt);
        let state = State {
            tail: Tail::new(around.budget.clone()),
            start: start.min(loaded.end),
            end: loaded.end,
            high_watermark: loaded.end,
            first_unstable: loaded.producers.first_unstable(),
            aborted: loaded.aborted,
            corrupt: loaded.corrupt,
            is_deleted: false,
            segments: loaded.segments,
        };
        let writer = Writer {
            condition,
            active,
            end: loaded.end,
            bytes_since_entry: loaded.bytes_since_entry,
            first_timestamp,
            producers: loaded.producers,
            unwritten_aborted: Vec::new(),
            aborted_bytes,
            is_dir_unsynced: is_new || !checkpoint.is_clean,
            is_settled: checkpoint.is_clean && !is_new,
        };
        Ok(Self {
            id,
            dir,
            config,
            around,
            writer: Mutex::new(writer),
            synced: Mutex::new(synced),
            state: Mutex::new(state),
            watchers: Watchers::default(),
        })
    }

    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Appends one batch: fills in its offset, writes it, keeps it for the readers at the end. When the write fails,
    /// the batch is left in `slot` to be tried again.
    pub(crate) fn append(&self, slot: &mut BytesMut, origin: Origin, visible: Visible) -> Result<AppendInfo> {
        let mut batch = std::mem::take(slot);
        if origin == Origin::Foreign {
            batch = self.check_foreign(batch)?;
        }
        if origin != Origin::Marker {
            if batch.len() > self.config.max_message_bytes {
                return Err(self.too_large(batch.len()));
            }
            if self.config.timestamp_type == TimestampType::LogAppendTime {
                assign_append_time(&mut batch, self.around.clock.now());
            }
        }

        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        assign_offset(&mut batch, writer.end);
        let batch = RecordBatch::parse(batch.freeze())?;
        self.check_epoch(&writer.producers, &batch)?;
        writer.is_settled = false;
        if let Err(error) = self.write(&mut writer, &batch) {
            *slot = BytesMut::from(batch.into_bytes());
            return Err(error);
        }
        let interval = self.config.index_interval_bytes;
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

    /// Puts everything appended so far on stable storage, unless it is there up to `end` already.
    pub(crate) fn sync(&self, end: Offset) -> Result<()> {
        let mut synced = self.synced.lock();
        if *synced >= end {
            return Ok(());
        }
        let (active, end, is_dir_unsynced) = {
            let mut writer = self.writer.lock();
            self.check_open(&writer)?;
            (writer.active.clone(), writer.end, std::mem::take(&mut writer.is_dir_unsynced))
        };
        let mut outcome = active.sync().context("sync", active.path());
        if is_dir_unsynced {
            let dirs = [Some(self.dir.as_path()), self.dir.parent()];
            for dir in dirs.into_iter().flatten() {
                outcome = outcome.and_then(|()| self.around.storage.sync_dir(dir).context("sync", dir));
            }
        }
        if let Err(error) = outcome {
            // What the disk holds is unknown now, and asking again would say that all is well.
            self.stop(&mut self.writer.lock(), "a sync failed", &error);
            return Err(error);
        }
        *synced = end;
        let mut state = self.state.lock();
        if state.high_watermark < end {
            state.high_watermark = end;
            drop(state);
            self.watchers.raise();
        }
        Ok(())
    }

    /// The log end offset.
    pub(crate) fn end(&self) -> Offset {
        self.state.lock().end
    }

    /// Whole batches from the one holding `from` on and what a reader needs to make sense of them.
    pub(crate) fn read(&self, from: Offset, bytes_max: usize, isolation: Isolation) -> Result<Fetched> {
        let state = self.state.lock();
        let upper = match isolation {
            Isolation::ReadUncommitted => state.high_watermark,
            Isolation::ReadCommitted => state.last_stable_offset(),
        };
        let mut fetched = Fetched {
            partition: self.id.clone(),
            batches: Vec::new(),
            log_start: state.start,
            high_watermark: state.high_watermark,
            last_stable_offset: state.last_stable_offset(),
            aborted: Vec::new(),
        };
        if state.is_deleted {
            return Err(self.deleted());
        }
        if let Some(corrupt) = &state.corrupt
            && from >= corrupt.offset
        {
            return Err(corrupt.to_error());
        }
        if from < state.start || from > state.end {
            return Err(self.out_of_range(from, &state));
        }
        if from >= upper {
            // Damage may hide the end of a transaction; nothing will ever come after it.
            return state.corrupt.as_ref().map_or(Ok(fetched), |corrupt| Err(corrupt.to_error()));
        }
        let in_memory = state.tail.read(from, upper, bytes_max);
        let at = state.segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        let segment = state.segments[at].clone();
        drop(state);
        if let Some(batches) = in_memory {
            fetched.batches = batches;
        } else {
            fetched.batches = segment.read(from, upper, bytes_max)?;
            if fetched.batches.is_empty() {
                return Err(segment.corrupt(
                    segment.size(),
                    from,
                    "no batch holds an offset that was appended",
                ));
            }
        }
        if isolation == Isolation::ReadCommitted {
            let to = fetched.next_offset(from);
            let state = self.state.lock();
            if from < state.start {
                // Retention went past meanwhile, and what it knew of aborted transactions went with it.
                return Err(self.out_of_range(from, &state));
            }
            fetched.aborted = aborted::overlapping(&state.aborted, from, to);
        }
        Ok(fetched)
    }

    /// The offset that `spec` stands for.
    pub(crate) fn offset_at(&self, spec: OffsetSpec) -> Result<Offset> {
        let (segments, start, high_watermark) = {
            let state = self.state.lock();
            (state.segments.clone(), state.start, state.high_watermark)
        };
        match spec {
            OffsetSpec::Earliest => Ok(start),
            OffsetSpec::Latest => Ok(high_watermark),
            OffsetSpec::At(time) => {
                for segment in segments.iter().filter(|segment| segment.max_timestamp() >= time) {
                    if let Some(offset) = segment.offset_at(time)? {
                        return Ok(offset.clamp(start, high_watermark));
                    }
                }
                Ok(high_watermark)
            }
        }
    }

    /// End of what read-committed readers see.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.state.lock().last_stable_offset()
    }

    /// Producers with an open transaction here.
    pub(crate) fn open_transactions(&self) -> Vec<(ProducerId, ProducerEpoch)> {
        self.writer.lock().producers.open_transactions()
    }

    /// The largest producer id that ever wrote here.
    pub(crate) fn last_producer_id(&self) -> Option<ProducerId> {
        self.writer.lock().producers.last_id()
    }

    /// Deletes whole segments past the retention limits, oldest first. Returns how many.
    pub(crate) fn apply_retention(&self, now: Timestamp) -> Result<usize> {
        if !self.config.cleanup_policy.delete {
            return Ok(0);
        }
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let expired = {
            let mut state = self.state.lock();
            let sealed = state.segments.len() - 1;
            let mut excess = self.config.retention_bytes.map_or(0, |bytes_max| {
                state.segments.iter().map(|segment| segment.size()).sum::<u64>().saturating_sub(bytes_max)
            });
            let limit = state.last_stable_offset();
            let is_past = |segment: &Segment| {
                self.config.retention.is_some_and(|retention| now.since(segment.max_timestamp()) > retention)
            };
            let count = (0..sealed)
                .take_while(|&at| {
                    let segment = &state.segments[at];
                    let is_excess = excess >= segment.size() && excess > 0;
                    excess = excess.saturating_sub(segment.size());
                    state.segments[at + 1].base() <= limit && (is_excess || is_past(segment))
                })
                .count();
            let expired: Vec<_> = state.segments.drain(..count).collect();
            state.start = state.start.max(state.segments[0].base());
            let start = state.start;
            state.aborted.retain(|entry| entry.last_offset >= start);
            expired
        };
        writer.is_settled &= expired.is_empty();
        for segment in &expired {
            segment.remove(&*self.around.storage)?;
            for extension in ["txnindex", "snapshot"] {
                // Most segments have no such file.
                let _absent =
                    self.around.storage.remove_file(&segment::path(&self.dir, segment.base(), extension));
            }
        }
        Ok(expired.len())
    }

    /// Lets go of the batches in memory; readers find them in the files.
    pub(crate) fn release_tail(&self) {
        self.state.lock().tail.clear();
    }

    /// Up to where everything is on stable storage, and where the log starts.
    pub(crate) fn checkpoint(&self) -> (Offset, Offset) {
        (*self.synced.lock(), self.state.lock().start)
    }

    /// Puts everything on stable storage and takes no more batches.
    pub(crate) fn close(&self) -> Result<Closed> {
        let mut synced = self.synced.lock();
        let mut writer = self.writer.lock();
        let condition = std::mem::replace(&mut writer.condition, Condition::Closed);
        self.watchers.raise();
        if !matches!(condition, Condition::Open) || writer.is_settled {
            let is_clean = matches!(condition, Condition::Open | Condition::Closed);
            return Ok(Closed { recovery_point: *synced, is_clean });
        }
        writer.active.flush_indexes()?;
        self.write_aborted(&mut writer)?;
        self.write_snapshot(&writer)?;
        writer.active.sync().context("sync", writer.active.path())?;
        self.around.storage.sync_dir(&self.dir).context("sync", &self.dir)?;
        *synced = writer.end;
        Ok(Closed { recovery_point: writer.end, is_clean: true })
    }

    /// Takes no more batches, because the topic is gone.
    pub(crate) fn mark_deleted(&self) {
        self.writer.lock().condition = Condition::Deleted;
        self.release_tail();
        self.state.lock().is_deleted = true;
        self.watchers.raise();
    }

    fn check_open(&self, writer: &Writer) -> Result<()> {
        match &writer.condition {
            Condition::Open => Ok(()),
            Condition::Corrupt(range) => Err(range.to_error()),
            Condition::Stopped(reason) => {
                Err(LogError::Stopped { partition: self.id.clone(), reason: reason.clone() })
            }
            Condition::Closed => Err(LogError::Closed),
            Condition::Deleted => Err(self.deleted()),
        }
    }

    fn out_of_range(&self, requested: Offset, state: &State) -> LogError {
        let (partition, start, end) = (self.id.clone(), state.start, state.end);
        LogError::OffsetOutOfRange { partition, requested, start, end }
    }

    fn deleted(&self) -> LogError {
        LogError::UnknownTopic { topic: self.id.topic.to_string(), nearest: None }
    }

    fn check_epoch(&self, producers: &ProducerStates, batch: &RecordBatch) -> Result<()> {
        let Some(id) = batch.producer_id() else { return Ok(()) };
        match producers.epoch(id) {
            Some(current) if batch.producer_epoch() < current => {
                Err(LogError::ProducerFenced { id, epoch: batch.producer_epoch(), current })
            }
            _ => Ok(()),
        }
    }

    /// Checks what a batch from outside claims, and returns it.
    fn check_foreign(&self, batch: BytesMut) -> Result<BytesMut> {
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
        if batch.codec().is_none() {
            for (expected, record) in (0..).zip(batch.records()) {
                let record = record?;
                if record.offset != Offset::new(expected) {
                    return Err(invalid("its offsets are not 0, 1, 2, ..."));
                }
                if record.key.is_none() && self.config.cleanup_policy.compact {
                    let reason = "a compacted topic takes only records with a key";
                    return Err(LogError::InvalidRecord { partition: self.id.clone(), reason });
                }
            }
        }
        // Copies only what is shared, or a small part of a buffer that readers of the tail would keep alive.
        let batch = BytesMut::from(batch.into_bytes());
        Ok(if batch.capacity() / 2 <= batch.len() { batch } else { BytesMut::from(&batch[..]) })
    }

    fn too_large(&self, bytes: usize) -> LogError {
        LogError::TooLarge {
            partition: self.id.clone(),
            bytes,
            bytes_max: self.config.max_message_bytes,
            key: "max.message.bytes",
        }
    }

    fn is_roll_due(&self, writer: &Writer, batch: &RecordBatch) -> bool {
        let size = writer.active.size();
        if size == 0 {
            return false;
        }
        let spans_too_long = || {
            let first = writer.first_timestamp.filter(|first| *first != Timestamp::NONE);
            first.is_some_and(|first| batch.max_timestamp().since(first) > self.config.segment)
        };
        size + batch.len_bytes() as u64 > u64::from(self.config.segment_bytes)
            || writer.active.is_index_full(batch.last_offset())
            || spans_too_long()
    }

    /// Writes a batch behind the last one, in a new segment if that is due.
    fn write(&self, writer: &mut Writer, batch: &RecordBatch) -> Result<()> {
        if self.is_roll_due(writer, batch) {
            self.roll(writer)?;
        }
        writer.active.write(batch).map_err(|error| self.fail_write(writer, error))
    }

    /// Seals the active segment and starts the next at the end. On a full disk, the next append tries again.
    fn roll(&self, writer: &mut Writer) -> Result<()> {
        // Synced before anything follows it, so that a bad batch in a sealed segment is never a torn tail.
        if let Err(error) = writer.active.sync().context("sync", writer.active.path()) {
            self.stop(writer, "a sync failed", &error);
            return Err(error);
        }
        let outcome = self.write_aborted(writer).and_then(|()| {
            writer.active.seal()?;
            self.write_snapshot(writer)?;
            Segment::create(&*self.around.storage, &self.dir, writer.end, &self.config)
        });
        match outcome {
            Ok(next) => {
                writer.active = Arc::new(next);
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

    fn fail_write(&self, writer: &mut Writer, error: std::io::Error) -> LogError {
        let path = writer.active.path().to_path_buf();
        let error = LogError::io("append to", &path, error);
        let undone = writer.active.discard_partial_write();
        if undone.is_err() || !matches!(error, LogError::DiskFull { .. }) {
            self.stop(writer, "a write failed", &error);
        }
        error
    }

    fn stop(&self, writer: &mut Writer, what: &str, error: &LogError) {
        tracing::error!(partition = %self.id, error = error as &dyn std::error::Error, "stopped: {what}");
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
        writer.condition = Condition::Stopped(format!("{what}: {error}{cause}"));
    }

    /// Writes the aborted transactions that are not yet in the active segment's `.txnindex`.
    fn write_aborted(&self, writer: &mut Writer) -> Result<()> {
        if writer.unwritten_aborted.is_empty() {
            return Ok(());
        }
        let path = segment::path(&self.dir, writer.active.base(), "txnindex");
        let mut bytes = Vec::new();
        writer.unwritten_aborted.iter().for_each(|entry| entry.encode(&mut bytes));
        let file = self.around.storage.open(&path, OpenMode::OrCreate).context("open", &path)?;
        file.write_at(writer.aborted_bytes, &bytes).context("write to", &path)?;
        writer.aborted_bytes += bytes.len() as u64;
        writer.unwritten_aborted.clear();
        Ok(())
    }

    /// Writes what is known of the producers at the end.
    fn write_snapshot(&self, writer: &Writer) -> Result<()> {
        let path = segment::path(&self.dir, writer.end, "snapshot");
        let file = self.around.storage.open(&path, OpenMode::Truncate).context("create", &path)?;
        file.write_at(0, &writer.producers.encode()).context("write", &path)
    }

    /// Notes beside the segments which topic they belong to.
    pub(crate) fn write_metadata(&self, topic_id: TopicId) -> Result<()> {
        let path = self.dir.join("partition.metadata");
        let file = self.around.storage.open(&path, OpenMode::Truncate).context("create", &path)?;
        file.write_at(0, format!("version: 0\ntopic_id: {topic_id}").as_bytes()).context("write", &path)
    }

    /// Age of the newest record.
    pub(crate) fn idle_time(&self, now: Timestamp) -> Duration {
        now.since(self.writer.lock().active.max_timestamp())
    }
}

/// Time of a segment's first batch.
fn first_timestamp(segment: &Segment) -> Result<Option<Timestamp>> {
    if segment.size() == 0 {
        return Ok(None);
    }
    let first = segment.read(segment.base(), Offset::new(u64::MAX), 0);
    Ok(first.ok().and_then(|batches| batches.first().map(RecordBatch::max_timestamp)))
}
