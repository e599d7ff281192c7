//! When a task's punctuations are due.

use std::collections::BTreeMap;

/// The clock by which punctuations and timers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PunctuationType {
    /// The highest timestamp that the task has taken from its inputs. It stands still without input.
    StreamTime,
    /// The clock of the machine, whether there is input or not.
    WallClockTime,
}

/// A punctuation that was scheduled: to tell one from another, and to [cancel](crate::Context::cancel) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Punctuation(u64);

/// The punctuations of one task.
#[derive(Debug, Default)]
pub(crate) struct Punctuations {
    /// By clock, time due and number.
    queue: BTreeMap<(PunctuationType, i64, u64), Schedule>,
    /// The one that is being called, until it is cancelled.
    running: Option<(PunctuationType, i64, u64, Schedule)>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    node: usize,
    interval_ms: i64,
}

impl Punctuations {
    /// Adds one that is due at `first` (ms) and then every `interval_ms`.
    pub(crate) fn schedule(
        &mut self,
        node: usize,
        kind: PunctuationType,
        first: i64,
        interval_ms: i64,
    ) -> Punctuation {
        self.last += 1;
        self.queue.insert((kind, first, self.last), Schedule { node, interval_ms });
        Punctuation(self.last)
    }

    pub(crate) fn cancel(&mut self, punctuation: Punctuation) {
        self.queue.retain(|(_, _, number), _| *number != punctuation.0);
        self.running = self.running.filter(|(_, _, number, _)| *number != punctuation.0);
    }

    /// When the next one is due.
    pub(crate) fn due(&self, kind: PunctuationType) -> Option<i64> {
        let mut of_kind = self.queue.range((kind, i64::MIN, 0)..=(kind, i64::MAX, u64::MAX));
        of_kind.next().map(|((_, time, _), _)| *time)
    }

    /// Takes the next one that is due, with the node to call. Call [`Self::end`] after it.
    pub(crate) fn begin(&mut self, kind: PunctuationType, now: i64) -> Option<(usize, Punctuation)> {
        let due = self.due(kind).filter(|due| *due <= now)?;
        let (&(kind, time, number), _) = self.queue.range((kind, due, 0)..).next()?;
        let schedule = self.queue.remove(&(kind, time, number))?;
        self.running = Some((kind, time, number, schedule));
        Some((schedule.node, Punctuation(number)))
    }

    /// Schedules the one that was called for its next time after `now`, unless it was cancelled: intervals that were
    /// missed become one call.
    pub(crate) fn end(&mut self, now: i64) {
        let Some((kind, time, number, schedule)) = self.running.take() else { return };
        let missed = now.saturating_sub(time) / schedule.interval_ms;
        let next = time.saturating_add((missed + 1).saturating_mul(schedule.interval_ms));
        self.queue.insert((kind, next, number), schedule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_intervals_become_one_call() {
        // (first, interval, times looked at) -> times called
        for (first, interval, looks, expected) in [
            (0, 10, &[3, 9, 10, 11, 20][..], &[3, 10, 20][..]),
            (0, 10, &[12, 19, 20, 47, 49, 50], &[12, 20, 47, 50]),
            (25, 10, &[24, 25, 26, 34, 35], &[25, 35]),
            (5, 10, &[100, 104, 105], &[100, 105]), // a start that is past
        ] {
            let mut punctuations = Punctuations::default();
            punctuations.schedule(0, PunctuationType::StreamTime, first, interval);
            let mut called = Vec::new();
            for now in looks {
                while punctuations.begin(PunctuationType::StreamTime, *now).is_some() {
                    called.push(*now);
                    punctuations.end(*now);
                }
                assert_eq!(punctuations.begin(PunctuationType::WallClockTime, i64::MAX), None);
            }
            assert_eq!(called, expected, "from {first} every {interval}");
        }
    }

    #[test]
    fn one_that_is_cancelled_is_not_called_again() {
        let mut punctuations = Punctuations::default();
        let kind = PunctuationType::WallClockTime;
        let first = punctuations.schedule(1, kind, 10, 10);
        let second = punctuations.schedule(2, kind, 10, 10);
        assert_eq!(punctuations.begin(kind, 10), Some((1, first)));
        punctuations.cancel(first);
        punctuations.end(10);
        assert_eq!(punctuations.begin(kind, 10), Some((2, second)));
        punctuations.end(10);
        assert_eq!((punctuations.begin(kind, 10), punctuations.due(kind)), (None, Some(20)));
        punctuations.cancel(second);
        assert_eq!(punctuations.due(kind), None);
    }
}
