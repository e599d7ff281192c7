//! Reading from a partition: by offset and by time.

use super::*;

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
        loop {
            let (segments, start, high_watermark, generation) = {
                let state = self.state.lock();
                (state.segments.clone(), state.start, state.high_watermark, state.generation)
            };
            let time = match spec {
                OffsetSpec::Earliest => return Ok(start),
                OffsetSpec::Latest => return Ok(high_watermark),
                OffsetSpec::At(time) => time,
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
