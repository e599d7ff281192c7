//! Giving up what is damaged, so that a partition takes batches again.
//!
//! ```text
//! examine all segments ─▶ note what is given up ─▶ rewrite each damaged segment without it ─▶ load the files anew
//! ```
//! Offsets stay as they are: what is lost becomes a gap, which the `damage` file explains to later starts. Each segment
//! is swapped as a compacted one is, so a crash leaves the old or the new one, and a repair that was interrupted is
//! simply done again. What the producers wrote is found anew from the snapshot before the damage.

use std::sync::Arc;
use std::time::Duration;

use super::{Condition, Partition, Writer, take_up};
use crate::cleaner::output::Output;
use crate::cleaner::swap;
use crate::corruption::{CorruptRange, Damage};
use crate::error::{IoContext, LogError, Result};
use crate::recovery::{self, Checkpoint};
use crate::repair::{LostRange, RepairMode, RepairReport};
use crate::segment::{self, SCAN_BYTES, Scan, Segment};
use crate::types::Offset;

impl Partition {
    /// Examines every batch, and gives up what is damaged unless this is a dry run.
    pub(crate) fn repair(&self, mode: RepairMode) -> Result<RepairReport> {
        let segments = self.state.lock().segments.clone();
        let bad = self.examine(&segments)?;
        let lost = bad.iter().map(|range| LostRange {
            path: range.path.clone(),
            position: range.position,
            position_end: range.position_end,
            offset: range.offset,
            offset_end: range.offset_end,
            reason: range.reason.to_string(),
        });
        let mut report = RepairReport { partition: self.id.clone(), lost: lost.collect(), is_applied: false };
        let is_noted = !self.state.lock().damage.bad.is_empty();
        if mode == RepairMode::DryRun || (bad.is_empty() && !is_noted) {
            return Ok(report);
        }
        // From here on nothing is appended.
        bad.iter().for_each(|range| self.note_damage(range.clone()));
        self.give_up(&segments, bad)?;
        report.is_applied = true;
        Ok(report)
    }

    fn examine(&self, segments: &[Arc<Segment>]) -> Result<Vec<CorruptRange>> {
        let (start, end, damage) = {
            let state = self.state.lock();
            (state.start, state.end, state.damage.clone())
        };
        let mut bad = Vec::new();
        bad.extend(damage.missing_before(&self.dir, start, segments[0].base()));
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1).map(|next| next.base());
            let bound = next.unwrap_or(end);
            let (found, reached) = segment.examine(bound)?;
            bad.extend(found);
            let is_gap_fine = next.is_some() && (segment.has_gaps() || damage.explains_gap(reached, bound));
            // What is appended meanwhile lies behind the end.
            if reached < bound && !is_gap_fine {
                bad.push(match next {
                    Some(_) => CorruptRange::missing(&self.dir, reached, bound),
                    None => CorruptRange {
                        path: segment.path().to_path_buf(),
                        base: segment.base(),
                        position: segment.size(),
                        position_end: segment.size(),
                        offset: reached,
                        offset_end: bound,
                        reason: "it ends before the log does".into(),
                    },
                });
            }
        }
        Ok(bad)
    }

    fn give_up(&self, segments: &[Arc<Segment>], bad: Vec<CorruptRange>) -> Result<()> {
        let storage = &*self.around.storage;
        let _files = self.files.lock();
        let claim = self.syncing.claim();
        let mut writer = self.writer.lock();
        if !matches!(writer.condition, Condition::Corrupt(_)) {
            self.check_open(&writer)?;
        }
        let (start, end, known) = {
            let state = self.state.lock();
            let is_same = state.segments.len() == segments.len()
                && state.segments.iter().zip(segments).all(|(a, b)| Arc::ptr_eq(a, b));
            if !is_same {
                return Err(self.changed_meanwhile());
            }
            (state.start, state.end, state.damage.clone())
        };
        let mut damage = Damage { bad: bad.clone(), lost: known.lost.clone() };
        damage.lost.extend(bad.iter().map(|range| range.offset..range.offset_end));
        damage.write(storage, &self.dir)?;
        let outcome = self.rewrite(&mut writer, segments, &bad, end).and_then(|()| {
            self.remove_snapshots_behind(bad.first().map_or(end, |range| range.offset))?;
            let files: Vec<_> = {
                let mut files = Vec::new();
                for base in recovery::segment_bases(storage, &self.dir)? {
                    let path = segment::path(&self.dir, base, "log");
                    files.push(
                        storage.open(&path, crate::storage::OpenMode::Existing).context("open", &path)?,
                    );
                }
                files
            };
            storage.sync_files(&files).context("sync", &self.dir)?;
            storage.sync_dir(&self.dir).context("sync", &self.dir)?;
            damage.bad.clear();
            damage.write(storage, &self.dir)?;
            let compacted = segments.iter().rev().find(|segment| segment.has_gaps());
            let checkpoint = Checkpoint {
                recovery_point: Some(end),
                log_start: Some(start),
                compacted_below: compacted.map_or(Offset::ZERO, |segment| segment.base() + 1),
                is_clean: false,
            };
            let loaded = recovery::load(&self.around.storage, &self.dir, &self.config(), checkpoint)?;
            take_up(loaded, &self.dir, &self.around, Some(start))
        });
        match outcome {
            Ok((repaired, state)) => {
                let deleted = std::mem::take(&mut writer.deleted);
                *writer = Writer { deleted, ..repaired };
                claim.finish(end);
                let mut current = self.state.lock();
                let generation = current.generation + 1;
                *current = super::State { generation, ..state };
                drop(current);
                self.watchers.raise();
                Ok(())
            }
            Err(error) => {
                self.stop(&mut writer, "a repair could not be finished", &error);
                Err(error)
            }
        }
    }

    fn rewrite(
        &self,
        writer: &mut Writer,
        segments: &[Arc<Segment>],
        bad: &[CorruptRange],
        end: Offset,
    ) -> Result<()> {
        let storage = &*self.around.storage;
        let is_in = |range: &&CorruptRange, segment: &Segment| {
            range.base == segment.base() && (range.position_end > range.position || segment.size() == 0)
        };
        let last = segments.last().expect("there is always a segment");
        // The end stays where it is, so that no offset is given out twice.
        let is_end_lost = bad.iter().any(|range| range.base == last.base() || range.offset_end == end);
        if is_end_lost && end > last.base() {
            Segment::create(&self.around.storage, &self.dir, end, &self.config())?;
            storage.sync_dir(&self.dir).context("sync", &self.dir)?;
        }
        for segment in segments {
            let ranges: Vec<_> = bad.iter().filter(|range| is_in(range, segment)).collect();
            if ranges.is_empty() {
                continue;
            }
            let lost: u64 = ranges.iter().map(|range| range.position_end - range.position).sum();
            if lost == segment.size() && segment.base() != end {
                self.rename_deleted(writer, segment.base(), Duration::ZERO)?;
                storage.sync_dir(&self.dir).context("sync", &self.dir)?;
                continue;
            }
            self.copy_sound(segment, &ranges)?;
            let base = [segment.base()];
            swap::commit(storage, &self.dir, &base)?;
            let deleted = swap::complete(storage, &self.dir, &base, &base)?;
            writer.deleted.extend(deleted.into_iter().map(|path| (Duration::ZERO, path)));
        }
        Ok(())
    }

    /// Writes what lies around the damaged ranges to `.cleaned` files.
    fn copy_sound(&self, segment: &Segment, bad: &[&CorruptRange]) -> Result<()> {
        let storage = &*self.around.storage;
        let mut output = Output::create(storage, &self.dir, segment.base(), &self.config(), SCAN_BYTES)?;
        let (mut position, mut expected) = (0, segment.base());
        let ends = bad.iter().map(|range| (range.position, range.position_end, range.offset_end));
        let sound_end = std::iter::once((segment.size(), segment.size(), Offset::ZERO));
        for (stop, next, offset_end) in ends.chain(sound_end) {
            let mut scanner = segment.scan(position, SCAN_BYTES).until(stop).expecting(expected);
            loop {
                match scanner.next()? {
                    Scan::Batch { batch } => output.push(&batch)?,
                    Scan::End => break,
                    Scan::Bad { position, reason } => {
                        let offset = scanner.expected().unwrap_or(expected);
                        return Err(segment.corrupt(position, offset, reason));
                    }
                }
            }
            (position, expected) = (next, offset_end);
        }
        let next = self.next_base(segment.base());
        let aborted = {
            let state = self.state.lock();
            let is_here = |offset: Offset| offset >= segment.base() && next.is_none_or(|next| offset < next);
            state.aborted.iter().filter(|entry| is_here(entry.last_offset)).copied().collect::<Vec<_>>()
        };
        aborted.into_iter().for_each(|entry| output.push_aborted(entry));
        output.finish(storage, &self.dir).map(drop)
    }

    fn next_base(&self, base: Offset) -> Option<Offset> {
        let state = self.state.lock();
        let at = state.segments.partition_point(|segment| segment.base() <= base);
        state.segments.get(at).map(|next| next.base())
    }

    /// Removes the snapshots of the producers that include what is lost.
    fn remove_snapshots_behind(&self, offset: Offset) -> Result<()> {
        let storage = &*self.around.storage;
        for entry in storage.list(&self.dir).context("list", &self.dir)? {
            let base = entry.name.strip_suffix(".snapshot").and_then(|stem| stem.parse::<u64>().ok());
            if base.is_some_and(|base| base > offset.get()) {
                let path = self.dir.join(&entry.name);
                storage.remove_file(&path).context("remove", &path)?;
            }
        }
        Ok(())
    }

    fn changed_meanwhile(&self) -> LogError {
        LogError::Stopped {
            partition: self.id.clone(),
            reason: "its segments changed while it was examined, so repair it again".to_owned(),
        }
    }
}
