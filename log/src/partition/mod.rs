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

mod append;
mod check;
mod checkpoint;
mod compaction;
mod damage;
mod epochs;
mod read;
mod repair;
mod retention;
mod roll;
mod sync;
mod turns;

pub(crate) use compaction::Replacement;
use epochs::LeaderEpochs;
use sync::Unsynced;
pub(crate) use sync::{UNSYNCED_BYTES_MAX, sync_partitions};
use turns::Syncing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::aborted::AbortedEntry;
use crate::catalogue::TopicId;
use crate::clock::Clock;
use crate::config::{LiveConfig, TopicConfig};
use crate::corruption::{CorruptRange, Damage};
use crate::error::{IoContext, LogError, Result};
use crate::mutex::Mutex;
use crate::producer_state::ProducerStates;
use crate::recovery::{self, Checkpoint, Loaded};
use crate::segment::{self, Segment};
use crate::signal::Watchers;
use crate::storage::{OpenMode, Storage};
use crate::tail::{Tail, TailBudget};
use crate::types::{Offset, ProducerId, Timestamp, TopicPartition};

/// What the partitions of a log share.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whatever is left to chance: ids, jitter.
    pub(crate) random: Arc<Mutex<fastrand::Rng>>,
    pub(crate) budget: Arc<TailBudget>,
    /// Bytes of batches that were appended since the start, and those that the start had to go over: of what a start after
    /// a crash reads, all but what checkpoints spare it.
    pub(crate) written: Arc<AtomicU64>,
}

impl Surroundings {
    /// A random number.
    fn draw(&self) -> u32 {
        self.random.lock().u32(..)
    }
}

/// Where a batch comes from, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built by this crate just now.
    Own,
    /// A control batch of the transaction coordinator, under the epoch of the transaction that it ends.
    Marker,
    /// The same under the next epoch, which tells the transaction that it ends from any later one.
    BumpedMarker,
    /// Handed in, of a transaction that is known to be open: every other claim of its header is checked.
    Verified,
    /// Handed in: every claim of its header is checked.
    Foreign,
}

impl Origin {
    pub(crate) fn is_marker(self) -> bool {
        matches!(self, Self::Marker | Self::BumpedMarker)
    }
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
    config: Arc<LiveConfig>,
    around: Surroundings,
    /// The append lock.
    writer: Mutex<Writer>,
    syncing: Syncing,
    state: Mutex<State>,
    /// Held while files of sealed segments are renamed or removed.
    files: Mutex<()>,
    watchers: Watchers,
}

#[derive(Debug)]
struct Writer {
    /// Changed by [`Partition::set_condition`] only.
    condition: Condition,
    active: Arc<Segment>,
    /// Files of deleted segments and the monotonic time at which they go.
    deleted: Vec<(Duration, PathBuf)>,
    end: Offset,
    bytes_since_entry: u64,
    /// Time of the active segment's first batch.
    first_timestamp: Option<Timestamp>,
    /// Monotonic times of when the active segment came into use and of the last append.
    active_since: Duration,
    last_append: Duration,
    /// What the active segment's share of `segment.jitter.ms` follows from.
    jitter_draw: u32,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    /// Aborted transactions of the active segment that are not yet in its `.txnindex`.
    unwritten_aborted: Vec<AbortedEntry>,
    /// Bytes in the active segment's `.txnindex`.
    aborted_bytes: u64,
    /// Where the newest snapshot of the producers stands, and the size of the active segment then.
    snapshot: (Offset, u64),
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

/// What readers need, and whoever syncs, published by the writer.
#[derive(Debug)]
struct State {
    /// In offset order; the last is the active one.
    segments: Vec<Arc<Segment>>,
    /// Whether the condition is [`Condition::Open`].
    is_open: bool,
    unsynced: Unsynced,
    tail: Tail,
    start: Offset,
    end: Offset,
    high_watermark: Offset,
    first_unstable: Option<Offset>,
    aborted: Vec<AbortedEntry>,
    damage: Arc<Damage>,
    is_deleted: bool,
    /// Counts how often segments were replaced by compacted ones.
    generation: u64,
}

impl State {
    fn last_stable_offset(&self) -> Offset {
        let past = u64::from(planted!("stable_offset_plus_one"));
        // A transaction may be open whose first records are deleted.
        self.first_unstable
            .map(|first| first + past)
            .map_or(self.high_watermark, |first| first.max(self.start).min(self.high_watermark))
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
    /// Opens the partition in `dir`, which was created just now if it `is_new`.
    pub(crate) fn open(
        id: TopicPartition,
        dir: PathBuf,
        config: Arc<LiveConfig>,
        around: Surroundings,
        checkpoint: Checkpoint,
        is_new: bool,
    ) -> Result<Self> {
        let loaded = recovery::load(&around.storage, &dir, &config.get(), checkpoint)?;
        around.written.fetch_add(loaded.walked, Ordering::Relaxed);
        let synced = checkpoint.recovery_point.unwrap_or_default().min(loaded.end);
        // A creation that failed may have left an empty directory.
        let is_new = is_new || loaded.is_created;
        let is_settled = loaded.is_settled && !is_new;
        let (mut writer, mut state) = take_up(loaded, &dir, &around, checkpoint.log_start)?;
        // A killed process may have left sealed segments in the page cache only.
        let sealed = state.segments.windows(2).filter(|pair| pair[1].base() > synced);
        state.unsynced.sealed = sealed.map(|pair| pair[0].clone()).collect();
        if !checkpoint.is_clean {
            state.unsynced.beside = unsynced_aborted(&state, &dir, synced);
        }
        state.unsynced.is_dir = is_new || !checkpoint.is_clean;
        writer.is_settled = is_settled;
        Ok(Self {
            id,
            dir,
            config,
            around,
            writer: Mutex::new(writer),
            syncing: Syncing::new(synced),
            state: Mutex::new(state),
            files: Mutex::default(),
            watchers: Watchers::default(),
        })
    }

    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    /// The topic's settings as they are now.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.get()
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// The log end offset.
    pub(crate) fn end(&self) -> Offset {
        self.state.lock().end
    }

    /// The log start offset.
    pub(crate) fn start(&self) -> Offset {
        self.state.lock().start
    }

    /// End of what read-committed readers see.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.state.lock().last_stable_offset()
    }

    /// Looks at what is known of the producers.
    pub(crate) fn with_producers<T>(&self, look: impl FnOnce(&ProducerStates) -> T) -> T {
        look(&self.writer.lock().producers)
    }

    /// Forgets producers that were idle for `producer.id.expiration.ms`. Returns how many.
    pub(crate) fn expire_producers(&self, now: Timestamp, expiration: Duration) -> usize {
        self.writer.lock().producers.expire(now, expiration)
    }

    /// The largest producer id that ever wrote here.
    pub(crate) fn last_producer_id(&self) -> Option<ProducerId> {
        self.writer.lock().producers.last_id()
    }

    /// Lets go of the batches in memory; readers find them in the files.
    pub(crate) fn release_tail(&self) {
        self.state.lock().tail.clear();
    }

    /// Puts everything on stable storage and takes no more batches. On a full disk what can be rebuilt stays behind,
    /// for the next start to rebuild.
    pub(crate) fn close(&self) -> Result<Closed> {
        let claim = self.syncing.claim();
        let mut writer = self.writer.lock();
        let condition = self.set_condition(&mut writer, Condition::Closed);
        self.watchers.raise();
        if let Err(error) = self.remove_files(&mut writer, None) {
            tracing::warn!(partition = %self.id, %error, "files of deleted segments stay until the next start");
        }
        if !matches!(condition, Condition::Open) || writer.is_settled {
            let is_clean = matches!(condition, Condition::Open | Condition::Closed);
            return Ok(Closed { recovery_point: self.syncing.durable(), is_clean });
        }
        let written = writer
            .active
            .finish_indexes()
            .and_then(|()| self.write_aborted(&mut writer))
            .and_then(|()| self.write_snapshot(&mut writer));
        let is_clean = match written {
            Ok(()) => true,
            Err(error @ LogError::DiskFull { .. }) => {
                tracing::warn!(partition = %self.id, %error, "closed without what the next start can rebuild");
                false
            }
            Err(error) => return Err(error),
        };
        self.state.lock().unsynced.is_dir = true;
        self.take_unsynced(&claim).run(&*self.around.storage)?;
        // Without a mark of a clean close, what was not written is rebuilt from the last recovery point.
        let recovery_point = if is_clean { writer.end } else { self.syncing.durable() };
        claim.finish(writer.end);
        Ok(Closed { recovery_point, is_clean })
    }

    /// Takes no more batches, because the topic is gone.
    pub(crate) fn mark_deleted(&self) {
        let _files = self.files.lock();
        self.set_condition(&mut self.writer.lock(), Condition::Deleted);
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

    fn stop(&self, writer: &mut Writer, what: &str, error: &LogError) {
        tracing::error!(partition = %self.id, error = error as &dyn std::error::Error, "stopped: {what}");
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
        self.set_condition(writer, Condition::Stopped(format!("{what}: {error}{cause}")));
    }

    /// Returns the condition until now.
    fn set_condition(&self, writer: &mut Writer, condition: Condition) -> Condition {
        self.state.lock().is_open = matches!(condition, Condition::Open);
        std::mem::replace(&mut writer.condition, condition)
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
        let mut state = self.state.lock();
        state.unsynced.is_dir |= writer.aborted_bytes == 0;
        // A sync that covers the batch may have gone by.
        if let Some(first) = writer.unwritten_aborted.first().filter(|first| first.last_offset < state.end) {
            state.unsynced.late[0].get_or_insert(first.last_offset);
        }
        if !state.unsynced.beside.contains(&path) {
            state.unsynced.beside.push(path);
        }
        drop(state);
        writer.aborted_bytes += bytes.len() as u64;
        writer.unwritten_aborted.clear();
        Ok(())
    }

    /// Notes beside the segments which topic they belong to.
    pub(crate) fn write_metadata(&self, topic_id: TopicId) -> Result<()> {
        let path = self.dir.join("partition.metadata");
        let file = self.around.storage.open(&path, OpenMode::Truncate).context("create", &path)?;
        file.write_at(0, format!("version: 0\ntopic_id: {topic_id}").as_bytes()).context("write", &path)
    }

    /// How long nothing was appended.
    pub(crate) fn idle_time(&self) -> Duration {
        self.around.clock.monotonic().saturating_sub(self.writer.lock().last_append)
    }
}

/// The files of aborted transactions that a killed process may have left in the page cache only.
fn unsynced_aborted(state: &State, dir: &Path, synced: Offset) -> Vec<PathBuf> {
    let bases: Vec<_> = state.segments.iter().map(|segment| segment.base()).collect();
    let ends = bases.iter().skip(1).copied().chain([state.end]);
    let holds_any = |(base, end): &(&Offset, Offset)| {
        let in_segment = |entry: &AbortedEntry| (**base..*end).contains(&entry.last_offset);
        *end > synced && state.aborted.iter().any(in_segment)
    };
    let bases = bases.iter().zip(ends).filter(holds_any);
    bases.map(|(base, _)| segment::path(dir, *base, "txnindex")).collect()
}

/// What appends and reads start from, after the files were loaded.
fn take_up(
    loaded: Loaded,
    dir: &Path,
    around: &Surroundings,
    log_start: Option<Offset>,
) -> Result<(Writer, State)> {
    let active = loaded.segments.last().expect("there is always a segment").clone();
    let first_timestamp = active.first_timestamp()?;
    let first = loaded.segments[0].base();
    // What is missing before the first segment belongs to the log, and is reported to who asks for it.
    let first = loaded.damage.bad.first().map_or(first, |bad| bad.offset.min(first));
    let start = first.max(log_start.unwrap_or_default());
    let in_active = |entry: &&AbortedEntry| entry.last_offset >= active.base();
    let aborted_bytes = (loaded.aborted.iter().filter(in_active).count() * AbortedEntry::BYTES) as u64;
    let active_position = active.position_hint(loaded.snapshot)?;
    let condition = loaded.damage.bad.first().cloned().map_or(Condition::Open, Condition::Corrupt);
    let state = State {
        is_open: matches!(condition, Condition::Open),
        unsynced: Unsynced { is_dir: true, ..Unsynced::default() },
        tail: Tail::new(around.budget.clone()),
        start: start.min(loaded.end),
        end: loaded.end,
        high_watermark: loaded.end,
        first_unstable: loaded.producers.first_unstable(),
        aborted: loaded.aborted,
        damage: Arc::new(loaded.damage),
        is_deleted: false,
        generation: 0,
        segments: loaded.segments,
    };
    let writer = Writer {
        condition,
        active,
        deleted: Vec::new(),
        end: loaded.end,
        bytes_since_entry: loaded.bytes_since_entry,
        first_timestamp,
        active_since: around.clock.monotonic(),
        last_append: around.clock.monotonic(),
        jitter_draw: around.draw(),
        producers: loaded.producers,
        epochs: LeaderEpochs::open(&*around.storage, dir, start, loaded.end, loaded.leader_epoch)?,
        unwritten_aborted: Vec::new(),
        aborted_bytes,
        snapshot: (loaded.snapshot, active_position),
        is_settled: false,
    };
    Ok((writer, state))
}
