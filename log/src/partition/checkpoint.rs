//! What a partition puts beside its batches so that the next start has little to do.

use super::{Condition, Partition, Writer};
use crate::error::{IoContext, Result};
use crate::producer_state::ProducerStates;
use crate::segment;
use crate::storage::{self, OpenMode};
use crate::types::Offset;

/// Bytes that a start may have to walk again for the producers' sake.
const SNAPSHOT_BYTES: u64 = 4 << 20;

impl Partition {
    /// The recovery point: everything below is on stable storage, with what is known of aborted transactions there.
    ///
    /// Index entries are written, and a snapshot of the producers if the last one is far behind: a start after a crash
    /// reads from the recovery point on, and from the newest snapshot.
    pub(crate) fn recovery_point(&self) -> Offset {
        if let Err(error) = self.prepare_checkpoint() {
            // The start after a crash takes longer.
            tracing::warn!(partition = %self.id, %error, "could not prepare a checkpoint");
        }
        // First of all, or what moves it on could bring an aborted transaction along that is not looked for any more.
        let durable = self.syncing.durable();
        let writer = self.writer.lock();
        let unwritten = writer.unwritten_aborted.first().map(|entry| entry.last_offset);
        let late = self.state.lock().unsynced.late();
        [unwritten, late].into_iter().flatten().fold(durable, Offset::min)
    }

    fn prepare_checkpoint(&self) -> Result<()> {
        let due = {
            let mut writer = self.writer.lock();
            if !matches!(writer.condition, Condition::Open) {
                return Ok(());
            }
            writer.active.flush_indexes()?;
            let start = self.state.lock().start;
            if writer.epochs.start_at(start) {
                writer.epochs.write(&*self.around.storage, &self.dir)?;
            }
            let is_due = writer.active.size().saturating_sub(writer.snapshot.1) >= SNAPSHOT_BYTES;
            if is_due {
                self.write_aborted(&mut writer)?;
            }
            is_due.then(|| (writer.end, writer.producers.encode()))
        };
        self.sync_rest()?;
        let Some((offset, bytes)) = due else { return Ok(()) };
        // A snapshot counts only below the recovery point, so what it stands for has to be on stable storage.
        self.sync(offset)?;
        let path = segment::path(&self.dir, offset, "snapshot");
        storage::replace(&*self.around.storage, &path, &bytes).context("write", &path)?;
        let mut writer = self.writer.lock();
        // A roll may have come between, and then the snapshot stands in the segment before.
        let is_active = writer.active.base() <= offset;
        let position = if is_active { writer.active.position_hint(offset)? } else { 0 };
        self.count_snapshot(&mut writer, (offset, position))
    }

    /// Takes note of a new snapshot and removes the one before, unless it stands at the start of a segment.
    fn count_snapshot(&self, writer: &mut Writer, new: (Offset, u64)) -> Result<()> {
        if new.0 <= writer.snapshot.0 {
            return Ok(());
        }
        let replaced = std::mem::replace(&mut writer.snapshot, new).0;
        let is_at_start = {
            let segments = &self.state.lock().segments;
            segments.binary_search_by_key(&replaced, |segment| segment.base()).is_ok()
        };
        if is_at_start {
            return Ok(());
        }
        let path = segment::path(&self.dir, replaced, "snapshot");
        self.state.lock().unsynced.beside.retain(|unsynced| *unsynced != path);
        match self.around.storage.remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.context("remove", &path),
        }
    }

    /// Writes what is known of the producers at the end, which is when the indexes were written too. The next sync
    /// covers them, so that the append lock is not held over one; until then the recovery point stays below.
    pub(super) fn write_snapshot(&self, writer: &mut Writer) -> Result<()> {
        let path = segment::path(&self.dir, writer.end, "snapshot");
        let temporary = segment::path(&self.dir, writer.end, "snapshot.tmp");
        let storage = &self.around.storage;
        let file = storage.open(&temporary, OpenMode::Truncate).context("create", &temporary)?;
        let states = match planted!("stale_producer_snapshot") {
            true => ProducerStates::default().encode(),
            false => writer.producers.encode(),
        };
        file.write_at(0, &states).context("write", &temporary)?;
        storage.rename(&temporary, &path).context("rename", &temporary)?;
        let of_active = |extension| segment::path(&self.dir, writer.active.base(), extension);
        let indexes = [of_active("index"), of_active("timeindex")];
        self.state.lock().unsynced.beside.extend([path].into_iter().chain(indexes));
        let new = (writer.end, writer.active.size());
        self.count_snapshot(writer, new)
    }

    /// Lets go of the memory that only a partition in use needs.
    pub(crate) fn release_idle(&self) {
        self.release_tail();
        if let Err(error) = self.writer.lock().active.flush_indexes() {
            tracing::warn!(partition = %self.id, %error, "keeps its index entries in memory");
        }
    }
}
