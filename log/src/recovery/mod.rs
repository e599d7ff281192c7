//! Opening a partition's files: what is sound is kept, a torn tail is cut off, damage is fenced off.
//!
//! ```text
//! sealed, below the recovery point     not looked at before somebody reads
//! from the recovery point on           walked, checked, indexed anew; the producers from their newest snapshot on
//! ```
//! A *torn tail* is what a crash in the middle of writing leaves: a bad batch at or above the recovery point, with no
//! sound batch more than [`UNSYNCED_BYTES_MAX`](crate::partition::UNSYNCED_BYTES_MAX) behind it. It was never acknowledged as synced, so it goes, with all that
//! follows. Any other bad batch is *corruption*: nothing is cut away, what lies before and behind it stays readable,
//! appends are refused until a repair.
//!
//! Recovery may be interrupted at any point and start over: it comes to the same end.

mod derived;
mod names;
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::aborted::AbortedEntry;
use crate::cleaner::swap;
use crate::config::TopicConfig;
use crate::corruption::{CorruptRange, Damage};
use crate::error::{IoContext, LogError, Result};
use crate::producer_state::ProducerStates;
use crate::segment::Segment;
use crate::storage::Storage;
use crate::types::Offset;
use names::Names;

/// What the log's checkpoints say of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoint {
    /// Everything below is on stable storage.
    pub(crate) recovery_point: Option<Offset>,
    /// The first offset. It is there before segments below it are deleted, so a first segment that begins later means
    /// that one was lost. Kafka notes it only where it is not the first segment's base.
    pub(crate) log_start: Option<Offset>,
    /// Segments that start below were compacted, and may have gaps between their batches.
    pub(crate) compacted_below: Offset,
    /// Whether the log was closed cleanly.
    pub(crate) is_clean: bool,
}

/// A partition's files, opened.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// In offset order; the last is the active one.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) end: Offset,
    pub(crate) bytes_since_entry: u64,
    /// Bytes of the batches that were gone over.
    pub(crate) walked: u64,
    pub(crate) producers: ProducerStates,
    /// Where the newest snapshot of the producers stands.
    pub(crate) snapshot: Offset,
    pub(crate) aborted: Vec<AbortedEntry>,
    pub(crate) damage: Damage,
    /// The largest epoch among the batches that were looked at.
    pub(crate) leader_epoch: i32,
    /// Whether the files are as a clean close leaves them.
    pub(crate) is_settled: bool,
    /// Whether there was no segment, so that one was created.
    pub(crate) is_created: bool,
}

/// Opens the files in `dir`, which exists.
pub(crate) fn load(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    config: &TopicConfig,
    checkpoint: Checkpoint,
) -> Result<Loaded> {
    let list = || storage.list(dir).context("list", dir);
    let entries = list()?;
    let entries = if swap::settle(&**storage, dir, &entries)? { list()? } else { entries };
    let names = Names::of(&**storage, dir, entries)?;
    let known = if names.has_damage { Damage::read(&**storage, dir)? } else { Damage::default() };
    let mut segments = names
        .segments
        .iter()
        .map(|&base| Ok(Arc::new(Segment::open(storage, dir, base, config)?)))
        .collect::<Result<Vec<_>>>()?;
    let is_created = segments.is_empty();
    if is_created {
        let base = checkpoint.log_start.unwrap_or_default();
        segments.push(Arc::new(Segment::create(storage, dir, base, config)?));
    }
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).map_or(Offset::new(u64::MAX), |next| next.base());
        let is_repaired = known.lost.iter().any(|lost| lost.start < next && segment.base() < lost.end);
        if segment.base() < checkpoint.compacted_below || is_repaired {
            segment.allow_gaps();
        }
    }
    let point = checkpoint.recovery_point.unwrap_or_default();
    let synced = if checkpoint.is_clean { Offset::new(u64::MAX) } else { point };
    let (mut aborted, broken) = derived::read_aborted(&**storage, dir, &names, synced)?;
    let limit = broken.unwrap_or(point).min(point);
    let (producers, snapshot) = derived::read_snapshot(&**storage, dir, &names, limit)?;
    let snapshot = snapshot.max(segments[0].base());
    aborted.retain(|entry| entry.last_offset < snapshot);
    let mut loaded = Loaded {
        end: segments[0].base(),
        bytes_since_entry: 0,
        walked: 0,
        producers,
        snapshot,
        aborted,
        damage: known.clone(),
        leader_epoch: 0,
        is_settled: false,
        is_created,
        segments,
    };
    let missing = checkpoint
        .log_start
        .and_then(|start| loaded.damage.missing_before(dir, start, loaded.segments[0].base()));
    missing.into_iter().for_each(|range| loaded.damage.add(range));
    walk::walk(&mut loaded, &**storage, dir, config, checkpoint, snapshot)?;
    if loaded.end < point {
        let active = loaded.segments.last().expect("there is always a segment");
        loaded.damage.add(CorruptRange {
            path: active.path().to_path_buf(),
            base: active.base(),
            position: active.size(),
            position_end: active.size(),
            offset: loaded.end,
            offset_end: point,
            reason: "it ends before batches that were synced".into(),
        });
        loaded.end = point;
    }
    for range in loaded.damage.bad.iter().filter(|range| !known.bad.contains(range)) {
        let CorruptRange { path, position, position_end, offset, offset_end, reason, .. } = range;
        tracing::error!(path = %path.display(), position, position_end, %offset, %offset_end, %reason, "corrupt");
    }
    if loaded.damage != known {
        loaded.damage.write(&**storage, dir)?;
    }
    derived::rewrite_aborted(&**storage, dir, &names, snapshot, &loaded)?;
    derived::remove_snapshots(&**storage, dir, &names, point.min(loaded.end), snapshot)?;
    Ok(loaded)
}

/// Checks that a directory is there, creating it with its parents if not, their names on stable storage.
pub(crate) fn ensure_dir_durably(storage: &dyn Storage, dir: &Path) -> Result<()> {
    let is_missing = |dir: &&Path| {
        let is_named = !dir.as_os_str().is_empty();
        is_named && storage.list(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    ensure_dir(storage, dir)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        storage.sync_dir(parent).context("sync", parent)?;
    }
    Ok(())
}

/// Base offsets of the segments whose files are in `dir`, in order.
pub(crate) fn segment_bases(storage: &dyn Storage, dir: &Path) -> Result<Vec<Offset>> {
    let entries = storage.list(dir).context("list", dir)?;
    Ok(Names::of(storage, dir, entries)?.segments)
}

/// Checks that a directory is there, creating it with its parents if not. Says whether it was created.
pub(crate) fn ensure_dir(storage: &dyn Storage, dir: &Path) -> Result<bool> {
    match storage.list(dir) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            storage.create_dir(dir).context("create", dir)?;
            Ok(true)
        }
        Err(error) => Err(LogError::io("list", dir, error)),
    }
}
