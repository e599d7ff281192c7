//! Tumbling, hopping and unlimited windows: which windows a row falls into, and which of them are still open.

use std::time::Duration;

use crate::store::spec::millis;

/// Windows of fixed size, aligned to the epoch: `[start, start + size)`, all in ms. As Kafka's `TimeWindows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows without grace. A size below 1 ms counts as 1 ms.
    pub fn of(size: Duration) -> Self {
        let size_ms = millis(size).max(1);
        Self { size_ms, advance_ms: size_ms, grace_ms: 0 }
    }

    /// A window begins every `advance`, which is brought between 1 ms and the size.
    #[must_use]
    pub fn advance_by(mut self, advance: Duration) -> Self {
        self.advance_ms = millis(advance).clamp(1, self.size_ms);
        self
    }

    /// Takes rows for this long after the end of their window, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = millis(grace);
        self
    }

    /// The length of a window.
    pub fn size(&self) -> Duration {
        Duration::from_millis(self.size_ms.unsigned_abs())
    }

    /// The length of a window in ms.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// The time from one window's start to the next in ms.
    pub fn advance_ms(&self) -> i64 {
        self.advance_ms
    }

    /// The grace in ms.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The shortest time that a store must keep a window: size and grace.
    pub fn retention(&self) -> Duration {
        Duration::from_millis(self.size_ms.saturating_add(self.grace_ms).unsigned_abs())
    }

    /// The starts of the windows that contain a time of 0 or later, ascending.
    pub fn starts(&self, timestamp: i64) -> impl Iterator<Item = i64> + use<> {
        let first = (timestamp - self.size_ms + self.advance_ms).max(0) / self.advance_ms * self.advance_ms;
        let advance = self.advance_ms;
        (0..).map(move |step| first + step * advance).take_while(move |start| *start <= timestamp)
    }
}

/// One window that begins at some time and never ends. Rows before it are in no window. As Kafka's
/// `UnlimitedWindows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnlimitedWindows {
    start_ms: i64,
}

impl UnlimitedWindows {
    /// From the epoch on.
    pub fn of() -> Self {
        Self { start_ms: 0 }
    }

    /// From this time on, in ms since the epoch; a time before the epoch counts as the epoch.
    #[must_use]
    pub fn start_on(mut self, start_ms: i64) -> Self {
        self.start_ms = start_ms.max(0);
        self
    }

    /// The start in ms.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }
}

impl Default for UnlimitedWindows {
    fn default() -> Self {
        Self::of()
    }
}

/// Windows whose bounds do not depend on the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedWindows {
    /// Tumbling or hopping windows.
    Time(TimeWindows),
    /// One window without end.
    Unlimited(UnlimitedWindows),
}

impl FixedWindows {
    /// The length of a window in ms; `i64::MAX` if it has no end.
    pub fn size_ms(&self) -> i64 {
        match self {
            Self::Time(windows) => windows.size_ms,
            Self::Unlimited(_) => i64::MAX,
        }
    }

    /// From stream time to the start of the last window that is closed, in ms.
    pub(crate) fn lag_ms(&self) -> i64 {
        match self {
            Self::Time(windows) => windows.grace_ms.saturating_add(windows.size_ms),
            Self::Unlimited(_) => i64::MAX,
        }
    }

    /// The shortest time that a store must keep a window.
    pub fn retention(&self) -> Duration {
        match self {
            Self::Time(windows) => windows.retention(),
            Self::Unlimited(_) => Duration::from_millis(i64::MAX.unsigned_abs()),
        }
    }
}

impl From<TimeWindows> for FixedWindows {
    fn from(windows: TimeWindows) -> Self {
        Self::Time(windows)
    }
}

impl From<UnlimitedWindows> for FixedWindows {
    fn from(windows: UnlimitedWindows) -> Self {
        Self::Unlimited(windows)
    }
}

/// Puts rows into windows and judges one by one whether they are late.
///
/// The stream time is the operator's own: the highest timestamp it has seen, the row under judgement
/// included. Operators restore it from their store, so that a restart does not show; in Kafka it begins anew.
#[derive(Clone, Debug)]
pub struct WindowAssigner {
    windows: FixedWindows,
    stream_time: i64,
}

impl WindowAssigner {
    /// An assigner that has seen nothing.
    pub fn new(windows: impl Into<FixedWindows>) -> Self {
        Self { windows: windows.into(), stream_time: i64::MIN }
    }

    /// The windows.
    pub fn windows(&self) -> FixedWindows {
        self.windows
    }

    /// Raises the stream time.
    pub fn observe(&mut self, stream_time: i64) {
        self.stream_time = self.stream_time.max(stream_time);
    }

    /// The highest timestamp seen, or `i64::MIN`.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Appends a pair (row, window start) for each open window of each row, in the order of the rows and then
    /// of the starts. Returns how many times a row was too late for a window.
    pub fn assign(
        &mut self,
        rows: impl IntoIterator<Item = (u32, i64)>,
        assigned: &mut Vec<u32>,
        starts: &mut Vec<i64>,
    ) -> usize {
        match self.windows {
            FixedWindows::Time(windows) => self.assign_time(windows, rows, assigned, starts),
            FixedWindows::Unlimited(windows) => {
                for (row, timestamp) in rows {
                    self.observe(timestamp);
                    if timestamp >= windows.start_ms {
                        assigned.push(row);
                        starts.push(windows.start_ms);
                    }
                }
                0
            }
        }
    }

    fn assign_time(
        &mut self,
        windows: TimeWindows,
        rows: impl IntoIterator<Item = (u32, i64)>,
        assigned: &mut Vec<u32>,
        starts: &mut Vec<i64>,
    ) -> usize {
        let mut late = 0;
        for (row, timestamp) in rows {
            self.stream_time = self.stream_time.max(timestamp);
            let close = self.stream_time.saturating_sub(windows.grace_ms);
            if windows.advance_ms == windows.size_ms {
                let edge = i64::from(planted!("window_edge_off_by_one"));
                let start = (timestamp - edge).max(0) / windows.size_ms * windows.size_ms;
                if start.saturating_add(windows.size_ms) > close {
                    assigned.push(row);
                    starts.push(start);
                } else {
                    late += 1;
                }
                continue;
            }
            for start in windows.starts(timestamp) {
                if start.saturating_add(windows.size_ms) > close {
                    assigned.push(row);
                    starts.push(start);
                } else {
                    late += 1;
                }
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(size: u64, advance: u64, grace: u64) -> TimeWindows {
        let ms = Duration::from_millis;
        TimeWindows::of(ms(size)).advance_by(ms(advance)).grace(ms(grace))
    }

    #[test]
    fn windows_cover_the_record() {
        // (record time, size, advance) -> window starts, all in ms
        for (time, size, advance, expected) in [
            (0, 10, 10, vec![0]),
            (9, 10, 10, vec![0]),
            (10, 10, 10, vec![10]),
            (7, 10, 5, vec![0, 5]),
            (10, 10, 5, vec![5, 10]), // a window excludes its end
            (3, 10, 5, vec![0]),      // no window starts before the epoch
            (25, 10, 3, vec![18, 21, 24]),
        ] {
            let starts: Vec<i64> = windows(size, advance, 0).starts(time).collect();
            assert_eq!(starts, expected, "record at {time}, size {size}, advance {advance}");
        }
    }

    /// Feeds the times one call each and all in one call, and checks that both agree.
    fn check(windows: TimeWindows, times: &[i64]) -> (Vec<(u32, i64)>, usize) {
        let numbered: Vec<(u32, i64)> = (0..).zip(times.iter().copied()).collect();
        let run = |chunk: usize| {
            let mut assigner = WindowAssigner::new(windows);
            let (mut rows, mut starts, mut late) = (Vec::new(), Vec::new(), 0);
            for rows_of_chunk in numbered.chunks(chunk) {
                late += assigner.assign(rows_of_chunk.iter().copied(), &mut rows, &mut starts);
            }
            (rows.into_iter().zip(starts).collect::<Vec<_>>(), late)
        };
        let whole = run(numbered.len());
        assert_eq!(whole, run(1), "batches must not show");
        whole
    }

    #[test]
    fn late_rows_are_judged_one_by_one() {
        // 19 is in the window that closes at 20; 20 closes it, so the next 5 (window 0) is late but 15 is not
        // yet.
        let (pairs, late) = check(windows(10, 10, 0), &[5, 19, 5, 15, 20, 15]);
        assert_eq!((pairs, late), (vec![(0, 0), (1, 10), (3, 10), (4, 20)], 2));
        // With 10 ms of grace the window [0, 10) stays open until stream time 20.
        let (pairs, late) = check(windows(10, 10, 10), &[5, 19, 5, 20, 5]);
        assert_eq!((pairs, late), (vec![(0, 0), (1, 10), (2, 0), (3, 20)], 1));
    }

    #[test]
    fn a_late_row_can_miss_some_hopping_windows_only() {
        let (pairs, late) = check(windows(10, 5, 0), &[12, 8]);
        assert_eq!((pairs, late), (vec![(0, 5), (0, 10), (1, 5)], 1));
    }

    #[test]
    fn an_unlimited_window_takes_all_rows_from_its_start_on() {
        let mut assigner = WindowAssigner::new(UnlimitedWindows::of().start_on(10));
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        let late = assigner.assign([(0, 9), (1, 10), (2, 5_000_000), (3, 10)], &mut rows, &mut starts);
        assert_eq!((rows, starts, late), (vec![1, 2, 3], vec![10, 10, 10], 0));
        assert_eq!(assigner.stream_time(), 5_000_000);
    }
}
