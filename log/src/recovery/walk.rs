//! Going over the batches that are not settled, segment by segment.

use std::path::Path;
use std::sync::Arc;

use super::{Checkpoint, Loaded};
use crate::config::TopicConfig;
use crate::corruption::CorruptRange;
use crate::error::{IoContext, Result};
use crate::partition::UNSYNCED_BYTES_MAX;
use crate::segment::{self, SCAN_BYTES, Scan, Segment};
use crate::storage::Storage;
use crate::types::Offset;

/// Walks from the recovery point, or from where the producers' snapshot stands if that is before it, to the end.
pub(super) fn walk(
    loaded: &mut Loaded,
    storage: &dyn Storage,
    dir: &Path,
    config: &TopicConfig,
    checkpoint: Checkpoint,
    snapshot: Offset,
) -> Result<()> {
    let point = checkpoint.recovery_point.unwrap_or_default();
    let is_clean = checkpoint.is_clean && checkpoint.recovery_point.is_some();
    let from = point.min(snapshot);
    let mut at = loaded.segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
    while at < loaded.segments.len() {
        let segment = loaded.segments[at].clone();
        let next = loaded.segments.get(at + 1).map(|next| next.base());
        let step = Step { point, is_clean, from, snapshot, at, next };
        match step.run(loaded, &segment, config)? {
            Outcome::Sound => {}
            Outcome::Torn { bytes } => {
                remove_behind(loaded, storage, dir, at)?;
                tracing::warn!(
                    path = %segment.path().display(), position = segment.size(), offset = %loaded.end, bytes,
                    "cut off a torn tail"
                );
                segment.truncate()?;
                return Ok(());
            }
        }
        if let Some(next) = next {
            if next > loaded.end && !segment.has_gaps() && !loaded.damage.explains_gap(loaded.end, next) {
                // The end of a segment may be lost while the name of the one behind it is not.
                if step.is_torn(loaded, &segment, segment.size(), segment.size())? {
                    remove_behind(loaded, storage, dir, at)?;
                    return Ok(());
                }
                loaded.damage.add(CorruptRange::missing(dir, loaded.end, next));
            }
            if next > point {
                segment.seal()?;
            }
        }
        at += 1;
    }
    Ok(())
}

/// One segment's walk.
struct Step {
    point: Offset,
    is_clean: bool,
    from: Offset,
    snapshot: Offset,
    at: usize,
    next: Option<Offset>,
}

enum Outcome {
    Sound,
    /// A torn tail starts behind what was counted in.
    Torn {
        bytes: u64,
    },
}

impl Step {
    fn run(&self, loaded: &mut Loaded, segment: &Arc<Segment>, config: &TopicConfig) -> Result<Outcome> {
        let from = self.from.max(segment.base());
        // Below the recovery point, nothing is built anew.
        let is_settled = self.next.is_some_and(|next| next <= self.point);
        // After a clean close there is nothing to find out, unless something does not look like one.
        if self.is_clean
            && self.next.is_none()
            && self.from == self.point
            && loaded.damage.bad.is_empty()
            && let Some(resumed) = segment.resume(self.point)?
        {
            loaded.is_settled = true;
            loaded.end = self.point;
            loaded.bytes_since_entry = resumed.bytes_since_entry;
            loaded.leader_epoch = loaded.leader_epoch.max(resumed.leader_epoch);
            return Ok(Outcome::Sound);
        }
        let is_doubtful = !is_settled && !self.is_clean;
        // What was synced is as on the disk. An index that turns out to be wrong may have led behind its end.
        let synced = if is_doubtful { segment.position_hint(from)? } else { 0 };
        if is_doubtful {
            segment.forget_cached(synced)?;
        }
        // After a failed sync, the size may be another one on the disk too.
        let size = if is_doubtful { segment.measure()? } else { segment.size() };
        let start = if is_settled {
            segment.verified_hint(from)?.map_or(0, |hint| u64::from(hint.position))
        } else {
            // After a clean close, the indexes are as they should be up to the end.
            let trusted = match self.is_clean {
                true => self.point,
                false if planted!("trust_index_length") => Offset::new(u64::MAX),
                false => Offset::ZERO,
            };
            let start = segment.restart(from, trusted)?;
            if start < synced {
                segment.forget_cached(start)?;
            }
            start
        };
        let bound = self.next.unwrap_or(Offset::new(u64::MAX));
        let mut scanner = segment.scan(start, SCAN_BYTES).until(size).below(bound);
        loaded.end = segment.base();
        loaded.bytes_since_entry = 0;
        let mut doubted = None;
        loop {
            let expected = scanner.expected();
            match scanner.next()? {
                Scan::Batch { batch } => {
                    if !is_settled {
                        segment.include(&batch, &mut loaded.bytes_since_entry, config.index_interval_bytes);
                    }
                    if batch.base_offset() >= self.snapshot
                        && let Some(entry) = loaded.producers.update(&batch)
                    {
                        loaded.aborted.push(entry);
                    }
                    loaded.leader_epoch = loaded.leader_epoch.max(batch.leader_epoch());
                    loaded.end = batch.next_offset();
                    loaded.walked += batch.len_bytes() as u64;
                }
                Scan::End => break,
                // What follows from it cannot be undone, so it is looked at twice.
                Scan::Bad { position, .. } if doubted != Some(position) && !planted!("trust_first_look") => {
                    doubted = Some(position);
                    segment.forget_cached(position)?;
                    scanner = segment.scan(position, SCAN_BYTES).until(size).below(bound);
                    if let Some(expected) = expected {
                        scanner = scanner.expecting(expected);
                    }
                }
                Scan::Bad { position, reason } => {
                    if self.is_torn(loaded, segment, position, size)? {
                        return Ok(Outcome::Torn { bytes: size - position });
                    }
                    let mut range = segment.damage(position, size, loaded.end, bound, reason)?;
                    if range.offset_end == Offset::new(u64::MAX) {
                        range.offset_end = self.point.max(range.offset + 1);
                    }
                    loaded.end = range.offset_end;
                    let behind = range.position_end;
                    loaded.damage.add(range);
                    if behind >= size {
                        break;
                    }
                    if !is_settled {
                        segment.skip_to(behind);
                    }
                    scanner = segment.scan(behind, SCAN_BYTES).until(size).below(bound).expecting(loaded.end);
                }
            }
        }
        if !is_settled {
            segment.skip_to(size);
        }
        Ok(Outcome::Sound)
    }

    /// Whether the bad batch at `position` is what an interrupted write left.
    fn is_torn(&self, loaded: &Loaded, segment: &Segment, position: u64, size: u64) -> Result<bool> {
        if planted!("truncate_mid_log") {
            return Ok(true);
        }
        let offset = loaded.end;
        let is_known =
            loaded.damage.bad.iter().any(|range| range.base == segment.base() && range.position == position);
        if self.is_clean || offset < self.point || is_known {
            return Ok(false);
        }
        let unbounded = Offset::new(u64::MAX);
        let mut from = position + UNSYNCED_BYTES_MAX;
        if from < size {
            return Ok(segment.find_sound(from, size, offset, unbounded)?.is_none());
        }
        from -= size;
        for later in &loaded.segments[self.at + 1..] {
            if from < later.size() {
                let is_sound = later.find_sound(from, later.size(), offset, unbounded)?.is_some();
                if is_sound {
                    return Ok(false);
                }
            }
            from = from.saturating_sub(later.size());
        }
        Ok(true)
    }
}

/// Removes the segments behind one with a torn tail, the last one first, so that no start finds them behind a gap.
fn remove_behind(loaded: &mut Loaded, storage: &dyn Storage, dir: &Path, at: usize) -> Result<()> {
    while loaded.segments.len() > at + 1 {
        let Some(last) = loaded.segments.pop() else { break };
        tracing::warn!(path = %last.path().display(), "removed behind a torn tail");
        for extension in ["txnindex", "snapshot"] {
            match storage.remove_file(&segment::path(dir, last.base(), extension)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome.context("remove", last.path())?,
            }
        }
        last.remove(storage)?;
        storage.sync_dir(dir).context("sync", dir)?;
    }
    Ok(())
}
