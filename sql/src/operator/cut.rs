//! Batches cut where windows close, for operators that must look at their results at that very moment.

use millstream_streams::{Batch, ByteColumn, Context, Processor, StreamsError};

use super::keys::Keys;
use crate::{columnar::ColumnarBatch, plan::TimeWindow};

/// Passes rows on so that each one that closes windows is the last of its batch.
pub(crate) struct CutProcessor {
    keys: Keys,
    keyed: ByteColumn,
    closing: Closing,
}

/// Which rows close windows.
struct Closing {
    window: TimeWindow,
    stream_time: i64,
}

impl CutProcessor {
    /// In front of an aggregation by these keys over these windows.
    pub(crate) fn new(keys: Keys, window: TimeWindow) -> Self {
        Self { keys, keyed: ByteColumn::default(), closing: Closing { window, stream_time: i64::MIN } }
    }
}

impl Closing {
    /// Whether a row of this time closes a window.
    fn closes(&mut self, time: i64) -> bool {
        let before = self.stream_time;
        self.stream_time = before.max(time);
        let lag = self.window.size_ms.saturating_add(self.window.grace_ms);
        // The start of the last window that is closed.
        let closed = |time: i64| time.saturating_sub(lag).max(-1).div_euclid(self.window.advance_ms);
        time > before && (before == i64::MIN || closed(before) < closed(time))
    }
}

impl Processor for CutProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut batch = ColumnarBatch::from_batch(batch);
        let times = batch.timestamps().to_vec();
        // Rows that are not aggregated close nothing.
        self.keyed.clear();
        self.keys.append(&batch, true, &mut self.keyed)?;
        let mut taken = 0;
        for (row, time) in times.iter().enumerate() {
            if self.keyed.get(row).is_some() && self.closing.closes(*time) && row + 1 < times.len() {
                context.forward(batch.split_front(row + 1 - taken))?;
                taken = row + 1;
            }
        }
        context.forward(Box::new(batch))
    }

    fn advance(&mut self, stream_time: i64, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.closing.stream_time = self.closing.stream_time.max(stream_time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_close_windows_are_told_from_others() {
        let window = TimeWindow { size_ms: 4, advance_ms: 2, grace_ms: 1, retention_ms: 5 };
        let mut closing = Closing { window, stream_time: i64::MIN };
        // The window [0, 4) closes at 5, [2, 6) at 7, and so on.
        let found: Vec<i64> =
            [0, 1, 4, 5, 5, 6, 2, 7, 20, 8].into_iter().filter(|time| closing.closes(*time)).collect();
        assert_eq!(found, [0, 5, 7, 20]);
    }
}
