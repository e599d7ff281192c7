//! Putting what was appended on stable storage: one sync serves everyone whose batches were written before it.
//!
//! ```text
//! write ─▶ sync the files, then the directory ─▶ move the durable end ─▶ show it to readers ─▶ acknowledge
//! ```
//! While a sync runs, others append and wait; the first of them to wake then syncs for all. The append lock is never
//! held over a sync. A sync that fails is never tried again: what the disk holds is unknown by then, and a second one
//! would say that all is well.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::Duration;

use super::{Partition, Visible, Writer};
use crate::config::TopicConfig;
use crate::error::{IoContext, Result};
use crate::mutex::Mutex;
use crate::segment::Segment;
use crate::storage::{File, OpenMode, Storage};
use crate::types::Offset;

/// `W` of the write protocol: batches that wait for their acknowledgement hold at most so many bytes, one batch aside.
/// A start after a crash takes no bad bytes for a torn tail that have sound batches further behind them than this.
pub(crate) const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// How far a partition is on stable storage, and whether somebody is at work on that.
#[derive(Debug)]
pub(super) struct Syncing {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Everything below is on stable storage.
    durable: Offset,
    is_running: bool,
}

/// The right to sync a partition, which one caller at a time has.
#[derive(Debug)]
pub(super) struct Claim<'a>(&'a Syncing);

impl Syncing {
    pub(super) fn new(durable: Offset) -> Self {
        Self { state: Mutex::new(State { durable, is_running: false }), ended: Condvar::new() }
    }

    pub(super) fn durable(&self) -> Offset {
        self.state.lock().durable
    }

    /// Waits for the sync that is running.
    pub(super) fn claim(&self) -> Claim<'_> {
        self.claim_up_to(Offset::new(u64::MAX)).expect("no offset is beyond this one")
    }

    /// The same, unless everything below `end` is on stable storage by then.
    fn claim_up_to(&self, end: Offset) -> Option<Claim<'_>> {
        let mut state = self.state.lock();
        while state.durable < end {
            if !state.is_running {
                state.is_running = true;
                return Some(Claim(self));
            }
            state = Mutex::<State>::wait(&self.ended, state);
        }
        None
    }
}

impl Claim<'_> {
    /// Everything below `end` is on stable storage now.
    pub(super) fn finish(self, end: Offset) {
        let mut state = self.0.state.lock();
        assert!(state.durable <= end, "the durable end goes back from {} to {end}", state.durable);
        state.durable = end;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_running = false;
        self.0.ended.notify_all();
    }
}

/// What is to be put on stable storage so that everything below `end` is there.
#[derive(Debug)]
pub(super) struct SyncWork {
    segments: Vec<Arc<Segment>>,
    beside: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    end: Offset,
    bytes: u64,
}

impl SyncWork {
    pub(super) fn run(&self, storage: &dyn Storage) -> Result<()> {
        sync_all(storage, std::slice::from_ref(self))
    }
}

fn sync_all(storage: &dyn Storage, works: &[SyncWork]) -> Result<()> {
    let segments = || works.iter().flat_map(|work| &work.segments);
    let mut files: Vec<Arc<dyn File>> = Vec::new();
    for segment in segments() {
        files.extend(segment.files_to_sync()?);
    }
    for path in works.iter().flat_map(|work| &work.beside) {
        match storage.open(path, OpenMode::Existing) {
            // Compacted or deleted since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => files.push(file.context("open", path)?),
        }
    }
    if let Some(first) = segments().next().filter(|_| !planted!("skip_sync")) {
        storage.sync_files(&files).context("sync", first.path())?;
    }
    let mut dirs: Vec<_> = works.iter().flat_map(|work| &work.dirs).collect();
    dirs.sort();
    dirs.dedup();
    if planted!("skip_dirsync_roll") {
        return Ok(());
    }
    dirs.into_iter().try_for_each(|dir| storage.sync_dir(dir).context("sync", dir))
}

impl Partition {
    /// Puts everything appended so far on stable storage, unless it is there up to `end` already.
    pub(crate) fn sync(&self, end: Offset) -> Result<()> {
        if planted!("ack_before_sync") {
            return Ok(());
        }
        let Some(claim) = self.syncing.claim_up_to(end) else { return Ok(()) };
        let work = {
            let mut writer = self.writer.lock();
            self.check_open(&writer)?;
            self.sync_work(&mut writer)
        };
        let outcome = work.run(&*self.around.storage);
        let outcome = if planted!("retry_failed_sync") { work.run(&*self.around.storage) } else { outcome };
        if let Err(error) = outcome {
            self.stop(&mut self.writer.lock(), "a sync failed", &error);
            return Err(error);
        }
        self.end_sync(claim, &work);
        Ok(())
    }

    /// The append lock, once a batch of `bytes` that is acknowledged when it is synced may follow what is not synced.
    pub(super) fn writer_with_room(&self, bytes: usize, visible: Visible) -> Result<MutexGuard<'_, Writer>> {
        loop {
            let writer = self.writer.lock();
            if visible == Visible::Now
                || writer.unsynced_bytes == 0
                || writer.unsynced_bytes + bytes as u64 <= UNSYNCED_BYTES_MAX
            {
                return Ok(writer);
            }
            let end = writer.end;
            drop(writer);
            self.sync(end)?;
        }
    }

    /// Whether an append that leads to `end` has to sync, by `flush.messages` or `flush.ms`.
    pub(super) fn is_flush_due(&self, end: Offset, waiting: Duration, config: &TopicConfig) -> bool {
        waiting >= config.flush_interval
            || (config.flush_messages < i64::MAX as u64
                && end.since(self.syncing.durable()) >= config.flush_messages)
    }

    /// Syncs what is due by `flush.ms`. Returns in how much time more will be, if anything waits.
    pub(crate) fn flush_if_due(&self) -> Result<Option<Duration>> {
        let config = self.config();
        let (end, since) = {
            let writer = self.writer.lock();
            match writer.unsynced_since {
                Some(since) if self.check_open(&writer).is_ok() => (writer.end, since),
                _ => return Ok(None),
            }
        };
        let waited = self.around.clock.monotonic().saturating_sub(since);
        if waited < config.flush_interval {
            return Ok(Some(config.flush_interval - waited));
        }
        self.sync(end).map(|()| None)
    }

    /// Whether a sealed segment is not on stable storage yet.
    pub(crate) fn has_unsynced_segments(&self) -> bool {
        let writer = self.writer.lock();
        !writer.unsynced.is_empty() && self.check_open(&writer).is_ok()
    }

    /// Hands over what is not on stable storage. Who takes it must sync it, or else stop the partition.
    pub(super) fn sync_work(&self, writer: &mut Writer) -> SyncWork {
        let mut segments = std::mem::take(&mut writer.unsynced);
        segments.push(writer.active.clone());
        let dirs = match std::mem::take(&mut writer.is_dir_unsynced) {
            true => [Some(self.dir.as_path()), self.dir.parent()]
                .into_iter()
                .flatten()
                .map(PathBuf::from)
                .collect(),
            false => Vec::new(),
        };
        let beside = std::mem::take(&mut writer.unsynced_beside);
        writer.unsynced_since = None;
        SyncWork { segments, beside, dirs, end: writer.end, bytes: writer.unsynced_bytes }
    }

    fn end_sync(&self, claim: Claim<'_>, work: &SyncWork) {
        self.writer.lock().unsynced_bytes -= work.bytes;
        let end = work.end;
        claim.finish(end);
        let mut state = self.state.lock();
        if state.high_watermark < end {
            state.high_watermark = end;
            drop(state);
            self.watchers.raise();
        }
    }
}

/// Puts everything appended so far to all of these partitions of one log on stable storage, with one call to the disk
/// where the file system has one. Fails as a whole with the first error; a partition named twice counts once.
pub(crate) fn sync_partitions(partitions: &[Arc<Partition>]) -> Result<()> {
    let mut sorted: Vec<_> = partitions.iter().collect();
    // One order for all callers, so that two of them never wait for each other.
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    sorted.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let mut claims = Vec::with_capacity(sorted.len());
    for partition in sorted {
        let Some(claim) = partition.syncing.claim_up_to(partition.end()) else { continue };
        partition.check_open(&partition.writer.lock())?;
        claims.push((partition, claim));
    }
    let Some((first, _)) = claims.first() else { return Ok(()) };
    let storage = first.around.storage.clone();
    let works: Vec<_> =
        claims.iter().map(|(partition, _)| partition.sync_work(&mut partition.writer.lock())).collect();
    let outcome = sync_all(&*storage, &works);
    for ((partition, claim), work) in claims.into_iter().zip(&works) {
        match &outcome {
            Ok(()) => partition.end_sync(claim, work),
            // Which of the files the failure was about is not known, so it is about all of them.
            Err(error) => partition.stop(&mut partition.writer.lock(), "a sync failed", error),
        }
    }
    outcome
}
