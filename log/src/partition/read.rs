//! Reading from a partition: by offset and by time.

use std::sync::Arc;

use super::Partition;
use crate::aborted;
use crate::corruption::CorruptRange;
use crate::error::{LogError, Result};
use crate::fetched::Fetched;
use crate::record::RecordBatch;
use crate::segment::{Found, Segment, Wanted};
use crate::types::{Isolation, Offset, OffsetSpec, Timestamp};

impl Partition {
    /// Whole batches from the one holding `from` on and what a reader needs to make sense of them.
    pub(crate) fn read(&self, from: Offset, bytes_max: usize, isolation: Isolation) -> Result<Fetched> {
        loop {
            let generation = self.state.lock().generation;
            let outcome = self.read_once(from, bytes_max, isolation);
            // Compaction may have removed aborted batches, and what is known of them, in the midst of it.
            if self.state.lock().generation == generation {
                return outcome;
            }
        }
    }

    fn read_once(&self, from: Offset, bytes_max: usize, isolation: Isolation) -> Result<Fetched> {
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
        if from < state.start || from > state.end {
            return Err(self.out_of_range(from, &state));
        }
        if let Some(bad) = state.damage.bad.iter().find(|bad| bad.contains(from)) {
            return Err(bad.to_error());
        }
        if from >= upper {
            return match state.damage.bad.first() {
                // Damage may hide the end of a transaction, and nothing comes after it before a repair.
                Some(bad) if from < state.high_watermark => Err(bad.to_error()),
                _ => Ok(fetched),
            };
        }
        let in_memory = state.tail.read(from, upper, bytes_max);
        drop(state);
        fetched.batches = match in_memory {
            Some(batches) => batches,
            None => self.read_files(from, upper, bytes_max)?,
        };
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

    /// Batches from the segment that holds `from`, or from the next one that has any.
    fn read_files(&self, from: Offset, upper: Offset, bytes_max: usize) -> Result<Vec<RecordBatch>> {
        let mut base = from;
        let mut doubted = None;
        loop {
            let (segment, next, end, damage) = {
                let state = self.state.lock();
                if from < state.start {
                    return Err(self.out_of_range(from, &state));
                }
                let at = state.segments.partition_point(|segment| segment.base() <= base).saturating_sub(1);
                let next = state.segments.get(at + 1).map(|next| next.base());
                (state.segments[at].clone(), next, next.unwrap_or(state.end), state.damage.clone())
            };
            let wanted = Wanted { from, upper, bytes_max, end, damage: &damage.bad };
            match segment.find(&wanted) {
                Ok(Found::Batches(batches)) if !batches.is_empty() => return Ok(batches),
                Ok(Found::Batches(_)) => {
                    let Some(next) = next else {
                        let reason = "no batch holds an offset that was appended";
                        let range = segment.damage(segment.size(), segment.size(), from, end, reason)?;
                        self.note_damage(range.clone());
                        return Err(range.to_error());
                    };
                    let is_known = damage.bad.iter().any(|bad| bad.offset_end == next);
                    let is_gap_fine = segment.has_gaps() || is_known || damage.explains_gap(from, next);
                    if next > from && !is_gap_fine {
                        let range = CorruptRange::missing(&self.dir, from, next);
                        self.note_damage(range.clone());
                        return Err(range.to_error());
                    }
                    if next >= upper {
                        return Ok(Vec::new());
                    }
                    base = next;
                }
                // What is noted counts until a repair, so it is not noted at first sight.
                Ok(Found::Damage(range))
                    if doubted.as_ref() != Some(&range) && !planted!("trust_first_look") =>
                {
                    segment.forget_cached(range.position)?;
                    doubted = Some(range);
                }
                Ok(Found::Damage(range)) => {
                    let is_here = range.contains(from);
                    self.note_damage(range.clone());
                    if is_here {
                        return Err(range.to_error());
                    }
                }
                Err(error) => self.check_still_there(&segment, from, error)?,
            }
        }
    }

    /// Passes an error on, unless it came about because the segment was deleted or replaced meanwhile.
    fn check_still_there(&self, segment: &Arc<Segment>, from: Offset, error: LogError) -> Result<()> {
        let state = self.state.lock();
        if state.is_deleted {
            return Err(self.deleted());
        }
        if from < state.start {
            return Err(self.out_of_range(from, &state));
        }
        match state.segments.iter().any(|other| Arc::ptr_eq(other, segment)) {
            true => Err(error),
            false => Ok(()),
        }
    }

    /// The offset that `spec` stands for.
    pub(crate) fn offset_at(&self, spec: OffsetSpec) -> Result<Offset> {
        loop {
            let (segments, start, high_watermark, generation) = {
                let state = self.state.lock();
                (state.segments.clone(), state.start, state.high_watermark, state.generation)
            };
            let time = match spec {
                OffsetSpec::Earliest => return Ok(start),
                OffsetSpec::Latest => return Ok(high_watermark),
                OffsetSpec::At(time) => time,
                OffsetSpec::MaxTimestamp => {
                    segments.iter().map(|segment| segment.max_timestamp()).max().unwrap_or_default()
                }
            };
            let outcome = first_offset_at(&segments, time);
            // Segments that compaction removed meanwhile may be gone for good.
            if outcome.is_ok() || self.state.lock().generation == generation {
                return Ok(outcome?.map_or(high_watermark, |offset| offset.clamp(start, high_watermark)));
            }
        }
    }
}

fn first_offset_at(segments: &[Arc<Segment>], time: Timestamp) -> Result<Option<Offset>> {
    for segment in segments.iter().filter(|segment| segment.max_timestamp() >= time) {
        if let Some(offset) = segment.offset_at(time)? {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}
