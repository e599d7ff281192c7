//! Holds compaction to `log.cleaner.io.max.bytes.per.second`.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;

/// Bytes per second, and how many there were so far.
#[derive(Debug)]
pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    bytes_per_second: Option<f64>,
    start: Duration,
    bytes: u64,
}

/// Shorter waits are saved up.
const WAIT_MIN: Duration = Duration::from_millis(50);

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>, bytes_per_second: Option<f64>) -> Self {
        let start = clock.monotonic();
        Self { clock, bytes_per_second, start, bytes: 0 }
    }

    /// Counts bytes that were read or written, and waits if they were too many for the time so far.
    pub(super) fn count(&mut self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        self.bytes += bytes as u64;
        let due = Duration::try_from_secs_f64(self.bytes as f64 / rate).unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(self.clock.monotonic().saturating_sub(self.start));
        if wait >= WAIT_MIN {
            self.clock.sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    /// Time passes only while someone sleeps.
    #[derive(Debug, Default)]
    struct Sleeper(crate::mutex::Mutex<Duration>);

    impl Clock for Sleeper {
        fn now(&self) -> Timestamp {
            Timestamp::NONE
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock()
        }
        fn sleep(&self, time: Duration) {
            *self.0.lock() += time;
        }
    }

    #[test]
    fn it_waits_as_long_as_the_rate_says() {
        let clock = Arc::new(Sleeper::default());
        let mut throttle = Throttle::new(clock.clone(), Some(1000.0));
        (0..100).for_each(|_| throttle.count(100));
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
        let mut unlimited = Throttle::new(clock.clone(), None);
        unlimited.count(1 << 40);
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }
}
