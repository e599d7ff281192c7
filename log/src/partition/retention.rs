//! What a partition lets go of: segments past the limits of time and size.

use super::*;

impl Partition {
    /// Deletes whole segments past the retention limits, oldest first. Returns how many.
    pub(crate) fn apply_retention(&self, now: Timestamp) -> Result<usize> {
        if !self.config.cleanup_policy.delete {
            return Ok(0);
        }
        let mut writer = self.writer.lock();
        self.check_open(&writer)?;
        let expired = {
            let mut state = self.state.lock();
            let sealed = state.segments.len() - 1;
            let mut excess = self.config.retention_bytes.map_or(0, |bytes_max| {
                state.segments.iter().map(|segment| segment.size()).sum::<u64>().saturating_sub(bytes_max)
            });
            let limit = state.last_stable_offset();
            let is_past = |segment: &Segment| {
                self.config.retention.is_some_and(|retention| now.since(segment.max_timestamp()) > retention)
            };
            let count = (0..sealed)
                .take_while(|&at| {
                    let segment = &state.segments[at];
                    let is_excess = excess >= segment.size() && excess > 0;
                    excess = excess.saturating_sub(segment.size());
                    state.segments[at + 1].base() <= limit && (is_excess || is_past(segment))
                })
                .count();
            let expired: Vec<_> = state.segments.drain(..count).collect();
            state.start = state.start.max(state.segments[0].base());
            let start = state.start;
            state.aborted.retain(|entry| entry.last_offset >= start);
            expired
        };
        writer.is_settled &= expired.is_empty();
        for segment in &expired {
            segment.remove(&*self.around.storage)?;
            for extension in ["txnindex", "snapshot"] {
                // Most segments have no such file.
                let _absent =
                    self.around.storage.remove_file(&segment::path(&self.dir, segment.base(), extension));
            }
        }
        Ok(expired.len())
    }
}
