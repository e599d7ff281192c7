//! Time, passed in: the system's or one that a test moves by hand.

use std::fmt;
use std::sync::Condvar;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::mutex::Mutex;
use crate::types::Timestamp;

/// Source of all time in the log and above it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time. It may jump in both directions.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start. It never goes back.
    fn monotonic(&self) -> Duration;
    /// Blocks the calling thread until `time` has passed on this clock.
    fn sleep(&self, time: Duration);
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Timestamp::new(millis)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place that sleeps on the system's clock")]
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualTime>,
    moved: Condvar,
}

#[derive(Debug)]
struct ManualTime {
    now: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new(ManualTime { now, monotonic: Duration::ZERO }), moved: Condvar::new() }
    }

    /// Moves both kinds of time forward and wakes sleepers whose time has come.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state.lock();
        state.now = state.now + time;
        state.monotonic += time;
        self.moved.notify_all();
    }

    /// Sets the wall clock, which may jump back; monotonic time stays.
    pub fn set(&self, now: Timestamp) {
        self.state.lock().now = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().monotonic
    }

    fn sleep(&self, time: Duration) {
        let mut state = self.state.lock();
        let until = state.monotonic + time;
        while state.monotonic < until {
            state = Mutex::<ManualTime>::wait(&self.moved, state);
        }
    }
}
