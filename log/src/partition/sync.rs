//! Putting what was appended on stable storage: one sync serves everyone whose batches were written before it.
//!
//! ```text
//! write ─▶ sync the files, then the directory ─▶ show it to readers ─▶ move the durable end, acknowledge
//! ```
//! While a sync runs, others append and wait; one of them then syncs for all ([`turns`](super::turns)). The append lock is
//! never held over a sync. A sync that fails is never tried again: what the disk holds is unknown by then, and a second one
//! would say that all is well.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::turns::Claim;
use super::{Partition, Visible, Writer};
use crate::config::TopicConfig;
use crate::error::{IoContext, Result};
use crate::segment::Segment;
use crate::storage::{File, OpenMode, Storage};
use crate::types::Offset;

/// `W` of the write protocol: batches that wait for their acknowledgement hold at most so many bytes, one batch aside.
/// A start after a crash takes no bad bytes for a torn tail that have sound batches further behind them than this.
pub(crate) const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// What may not be on stable storage, besides what was appended to the active segment.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Sealed segments.
    pub(super) sealed: Vec<Arc<Segment>>,
    /// Files beside the segments. They are trusted once the recovery point has passed.
    pub(super) beside: Vec<PathBuf>,
    /// Whether a file was created whose name may not be there.
    pub(super) is_dir: bool,
    /// Bytes of batches, those of the active segment included.
    pub(super) bytes: u64,
    /// Since when there are such batches that no sync is at work on, in monotonic time.
    pub(super) since: Option<Duration>,
    /// Where the first aborted transaction ends whose entry was written late, so that its batches may be on stable
    /// storage and the entry not: what waits for a sync, and what the running one is at work on.
    pub(super) late: [Option<Offset>; 2],
}

impl Unsynced {
    /// No recovery point may lie beyond, for a file beside the segments that is yet to be synced.
    pub(super) fn late(&self) -> Option<Offset> {
        self.late.into_iter().flatten().min()
    }

    /// These segments are gone.
    pub(super) fn forget(&mut self, segments: &[Arc<Segment>]) {
        self.sealed.retain(|sealed| !segments.iter().any(|segment| Arc::ptr_eq(segment, sealed)));
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
        match self.syncing.claim_up_to(end) {
            Some(claim) => self.sync_as(claim),
            None => Ok(()),
        }
    }

    /// Puts sealed segments and what was written late on stable storage, although all batches may be there already.
    pub(crate) fn sync_rest(&self) -> Result<()> {
        let is_due = || {
            let state = self.state.lock();
            state.is_open && (!state.unsynced.sealed.is_empty() || state.unsynced.late().is_some())
        };
        if !is_due() {
            return Ok(());
        }
        let claim = self.syncing.claim();
        // The sync that was running may have done it.
        if is_due() { self.sync_as(claim) } else { Ok(()) }
    }

    fn sync_as(&self, claim: Claim<'_>) -> Result<()> {
        self.check_syncable()?;
        let work = self.take_unsynced(&claim);
        let outcome = work.run(&*self.around.storage);
        let outcome = if planted!("retry_failed_sync") { work.run(&*self.around.storage) } else { outcome };
        if let Err(error) = outcome {
            self.stop(&mut self.writer.lock(), "a sync failed", &error);
            return Err(error);
        }
        self.show_synced(&work);
        claim.finish(work.end);
        Ok(())
    }

    /// The append lock, once a batch of `bytes` that is acknowledged when it is synced may follow what is not synced.
    pub(super) fn writer_with_room(&self, bytes: usize, visible: Visible) -> Result<MutexGuard<'_, Writer>> {
        loop {
            let writer = self.writer.lock();
            let unsynced = self.state.lock().unsynced.bytes;
            if visible == Visible::Now || unsynced == 0 || unsynced + bytes as u64 <= UNSYNCED_BYTES_MAX {
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
            let state = self.state.lock();
            match state.unsynced.since {
                Some(since) if state.is_open => (state.end, since),
                _ => return Ok(None),
            }
        };
        let waited = self.around.clock.monotonic().saturating_sub(since);
        if waited < config.flush_interval {
            return Ok(Some(config.flush_interval - waited));
        }
        self.sync(end).map(|()| None)
    }

    /// Fails unless the partition is open. The append lock is taken only to say why: those who append would make the disk
    /// wait.
    fn check_syncable(&self) -> Result<()> {
        let is_open = self.state.lock().is_open;
        if is_open { Ok(()) } else { self.check_open(&self.writer.lock()) }
    }

    /// Hands over what is not on stable storage. Who takes it must sync it, or else stop the partition.
    pub(super) fn take_unsynced(&self, claim: &Claim<'_>) -> SyncWork {
        let mut state = self.state.lock();
        claim.cover(state.end);
        let mut segments = std::mem::take(&mut state.unsynced.sealed);
        segments.push(state.segments.last().expect("there is always a segment").clone());
        let dirs = match std::mem::take(&mut state.unsynced.is_dir) {
            true => [Some(self.dir.as_path()), self.dir.parent()]
                .into_iter()
                .flatten()
                .map(PathBuf::from)
                .collect(),
            false => Vec::new(),
        };
        let beside = std::mem::take(&mut state.unsynced.beside);
        state.unsynced.since = None;
        state.unsynced.late = [None, state.unsynced.late()];
        SyncWork { segments, beside, dirs, end: state.end, bytes: state.unsynced.bytes }
    }

    /// Lets readers see what was synced, before those who wait for that go on and may look for what they wrote.
    fn show_synced(&self, work: &SyncWork) {
        let mut state = self.state.lock();
        state.unsynced.bytes -= work.bytes;
        state.unsynced.late[1] = None;
        if state.high_watermark < work.end {
            state.high_watermark = work.end;
            drop(state);
            self.watchers.raise();
        }
    }
}

/// Puts what was appended to these partitions of one log, to each below the offset beside it, on stable storage: with one
/// call to the disk where the file system has one. Fails as a whole with the first error; a partition may come twice.
pub(crate) fn sync_partitions(mut written: Vec<(Arc<Partition>, Offset)>) -> Result<()> {
    // One order for all callers, so that two of them never wait for each other. The furthest end of each comes first.
    written.sort_by(|a, b| a.0.id.cmp(&b.0.id).then(b.1.cmp(&a.1)));
    written.dedup_by(|a, b| Arc::ptr_eq(&a.0, &b.0));
    let mut claims = Vec::with_capacity(written.len());
    for (partition, end) in &written {
        let Some(claim) = partition.syncing.claim_up_to(*end) else { continue };
        partition.check_syncable()?;
        claims.push((partition, claim));
    }
    let Some((first, _)) = claims.first() else { return Ok(()) };
    let storage = first.around.storage.clone();
    let works: Vec<_> = claims.iter().map(|(partition, claim)| partition.take_unsynced(claim)).collect();
    let outcome = sync_all(&*storage, &works);
    for ((partition, claim), work) in claims.into_iter().zip(&works) {
        match &outcome {
            Ok(()) => {
                partition.show_synced(work);
                claim.finish(work.end);
            }
            // Which of the files the failure was about is not known, so it is about all of them.
            Err(error) => partition.stop(&mut partition.writer.lock(), "a sync failed", error),
        }
    }
    outcome
}
