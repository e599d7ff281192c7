//! What is derived from the batches and kept beside them: snapshots of the producers, and aborted transactions.

use std::path::Path;

use super::Loaded;
use super::names::Names;
use crate::aborted::AbortedEntry;
use crate::error::{IoContext, Result};
use crate::producer_state::ProducerStates;
use crate::segment;
use crate::storage::{self, OpenMode, Storage};
use crate::types::Offset;

fn read(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>> {
    let file = storage.open(path, OpenMode::Existing).context("open", path)?;
    storage::read_all(&*file).context("read", path)
}

/// The newest sound snapshot at or below `limit`, and where it stands: the partition's first offset without one.
pub(super) fn read_snapshot(
    storage: &dyn Storage,
    dir: &Path,
    names: &Names,
    limit: Offset,
) -> Result<(ProducerStates, Offset)> {
    for &offset in names.snapshots.iter().rev().filter(|offset| **offset <= limit) {
        let path = segment::path(dir, offset, "snapshot");
        if let Some(states) = ProducerStates::decode(&read(storage, &path)?) {
            return Ok((states, offset));
        }
        tracing::warn!(path = %path.display(), "not a sound snapshot: an older one is used");
        storage.remove_file(&path).context("remove", &path)?;
    }
    Ok((ProducerStates::default(), names.segments.first().copied().unwrap_or_default()))
}

/// Removes the snapshots that stand above `end`, whose batches may have been others, and of the rest all but those at
/// segment starts and the one `in_use`.
pub(super) fn remove_snapshots(
    storage: &dyn Storage,
    dir: &Path,
    names: &Names,
    end: Offset,
    in_use: Offset,
) -> Result<()> {
    for &offset in &names.snapshots {
        let is_at_start = names.segments.binary_search(&offset).is_ok();
        if offset <= end && (is_at_start || offset == in_use) {
            continue;
        }
        let path = segment::path(dir, offset, "snapshot");
        match storage.remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => outcome.context("remove", &path)?,
        }
    }
    Ok(())
}

/// The aborted transactions as the files have them, and the base of the first segment whose file makes no sense. Files
/// with entries above `synced` are read from the disk: a failed sync may have kept them in the page cache only.
pub(super) fn read_aborted(
    storage: &dyn Storage,
    dir: &Path,
    names: &Names,
    synced: Offset,
) -> Result<(Vec<AbortedEntry>, Option<Offset>)> {
    let mut aborted: Vec<AbortedEntry> = Vec::new();
    for &base in &names.aborted {
        let path = segment::path(dir, base, "txnindex");
        let next = names.segments.partition_point(|segment| *segment <= base);
        if names.segments.get(next).is_none_or(|next| *next > synced) {
            let file = storage.open(&path, OpenMode::Existing).context("open", &path)?;
            file.forget_cached(0).context("read", &path)?;
        }
        let entries = AbortedEntry::decode_all(&read(storage, &path)?);
        // Nothing else tells an entry from zeros, or from another segment's.
        let follows = |entries: &Vec<AbortedEntry>| {
            let mut end = base.max(aborted.last().map_or(base, |last| last.last_offset + 1));
            entries.iter().all(|entry| {
                let is_next = entry.first_offset < entry.last_offset && entry.last_offset >= end;
                end = entry.last_offset + 1;
                is_next
            })
        };
        match entries.filter(follows) {
            Some(entries) => aborted.extend(entries),
            None => {
                tracing::warn!(path = %path.display(), "its entries make no sense and are found anew");
                return Ok((aborted, Some(base)));
            }
        }
    }
    Ok((aborted, None))
}

/// Writes the aborted transactions of the segments from that of `from` on, where the files say something else.
pub(super) fn rewrite_aborted(
    storage: &dyn Storage,
    dir: &Path,
    names: &Names,
    from: Offset,
    loaded: &Loaded,
) -> Result<()> {
    let first = loaded.segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
    for (at, segment) in loaded.segments.iter().enumerate().skip(first) {
        let end = loaded.segments.get(at + 1).map_or(Offset::new(u64::MAX), |next| next.base());
        let mut bytes = Vec::new();
        loaded
            .aborted
            .iter()
            .filter(|entry| (segment.base()..end).contains(&entry.last_offset))
            .for_each(|entry| entry.encode(&mut bytes));
        let path = segment::path(dir, segment.base(), "txnindex");
        let is_there = names.aborted.binary_search(&segment.base()).is_ok();
        let found = if is_there { read(storage, &path)? } else { Vec::new() };
        if found != bytes {
            storage::replace(storage, &path, &bytes).context("write", &path)?;
        }
    }
    Ok(())
}
