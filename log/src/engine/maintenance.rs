//! What is due by the clock, each duty at its own interval.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Inner, Log};
use crate::clock::Clock;
use crate::config::LogConfig;
use crate::error::Result;
use crate::mutex::Mutex;
use crate::types::Timestamp;

/// Tails of partitions that were not written to for longer leave memory.
const TAIL_IDLE: Duration = Duration::from_secs(30);
/// Least time between looks at how much was written.
const BACKLOG_LOOK: Duration = Duration::from_millis(20);

/// Something to do now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    /// Abort transactions past their timeout, forget transactional ids and producers that are long idle.
    Transactions,
    /// Delete what is past retention, and start new segments where idle ones are past their time.
    Retention,
    /// Let go of tails that nobody reads and of files that are deleted.
    Idle,
    /// Write how far the partitions are on stable storage and where they start. After all that moves that on.
    Checkpoints,
}

impl Duty {
    const ALL: [Self; 4] = [Self::Transactions, Self::Retention, Self::Idle, Self::Checkpoints];

    fn interval(self, config: &LogConfig) -> Duration {
        match self {
            Self::Transactions => config.transaction_abort_interval,
            Self::Retention => config.retention_check_interval,
            Self::Checkpoints => config.checkpoint_interval,
            Self::Idle => TAIL_IDLE,
        }
    }
}

/// When each duty is due next, in monotonic time, and when the log was opened.
#[derive(Debug)]
pub(super) struct Schedule {
    due: Mutex<BTreeMap<Duty, Duration>>,
    backlog: Mutex<Backlog>,
    opened: (Timestamp, Duration),
}

/// What was written since the last checkpoint, which a start after a crash would read.
#[derive(Debug, Default)]
struct Backlog {
    /// What was written at the last checkpoint.
    checkpointed: u64,
    /// What was written at the last look, and when that was, in monotonic time.
    seen: u64,
    seen_at: Duration,
}

impl Backlog {
    /// In what time there will be `bytes_max`, with `written` as it is now, if as much is written as since the last look.
    fn full_in(&mut self, written: u64, bytes_max: u64, now: Duration) -> Duration {
        let grown = written.saturating_sub(std::mem::replace(&mut self.seen, written));
        let elapsed = now.saturating_sub(std::mem::replace(&mut self.seen_at, now));
        let left = (self.checkpointed + bytes_max).saturating_sub(written);
        let nanos = elapsed.as_nanos().saturating_mul(u128::from(left)).checked_div(u128::from(grown));
        let time =
            nanos.and_then(|nanos| u64::try_from(nanos).ok()).map_or(Duration::MAX, Duration::from_nanos);
        time.max(BACKLOG_LOOK)
    }
}

impl Schedule {
    pub(super) fn new(clock: &dyn Clock, config: &LogConfig) -> Self {
        let (now, start) = (clock.now(), clock.monotonic());
        let first = |duty: Duty| match duty {
            Duty::Retention => config.initial_task_delay.min(config.retention_check_interval),
            _ => duty.interval(config),
        };
        let due = Duty::ALL.into_iter().map(|duty| (duty, start.saturating_add(first(duty)))).collect();
        let backlog = Backlog { seen_at: start, ..Backlog::default() };
        Self { due: Mutex::new(due), backlog: Mutex::new(backlog), opened: (now, start) }
    }

    /// Takes a duty as done now.
    fn put_off(&self, duty: Duty, now: Duration, config: &LogConfig) {
        self.due.lock().insert(duty, now.saturating_add(duty.interval(config)));
    }

    fn next(&self) -> Duration {
        self.due.lock().values().min().copied().unwrap_or_default()
    }

    fn is_due(&self, duty: Duty, now: Duration) -> bool {
        self.due.lock().get(&duty).is_none_or(|due| *due <= now)
    }
}

impl Log {
    /// Does all that is ever due by the clock, now: starts new segments, deletes those past retention, aborts
    /// transactions and removes group members past their timeout, syncs what `flush.ms` asks for, lets go of idle
    /// memory and deleted files, writes checkpoints. One duty that fails keeps none of the others from being done; the
    /// first error is returned.
    pub fn maintain(&self) -> Result<()> {
        self.inner().maintain(|_| true).map(drop)
    }

    /// The same for the duties whose interval has passed, as the log's settings have it. Returns after what time it
    /// wants to be called again: for a program that stays up to do so.
    pub fn maintain_due(&self) -> Result<Duration> {
        let now = self.clock().monotonic();
        self.inner().maintain(|duty| self.inner().schedule.is_due(duty, now))
    }
}

impl Inner {
    fn maintain(&self, is_due: impl Fn(Duty) -> bool) -> Result<Duration> {
        self.check_open()?;
        let now = self.clock().monotonic();
        let mut outcome = Ok(());
        let (last, first) = Duty::ALL.split_last().expect("there are duties");
        for &duty in first.iter().filter(|duty| is_due(**duty)) {
            self.schedule.put_off(duty, now, &self.config);
            outcome = outcome.and(self.perform(duty));
        }
        outcome = outcome.and(self.maintain_groups());
        let (flushed, flush_in) = self.flush();
        outcome = outcome.and(flushed);
        let (written, bytes_max) =
            (self.around.written.load(Ordering::Relaxed), self.config.checkpoint_bytes as u64);
        let is_full = written.saturating_sub(self.schedule.backlog.lock().checkpointed) >= bytes_max;
        if is_full || is_due(*last) {
            self.schedule.put_off(*last, now, &self.config);
            self.schedule.backlog.lock().checkpointed = written;
            outcome = outcome.and(self.perform(*last));
        }
        outcome?;
        let (now, written) = (self.clock().monotonic(), self.around.written.load(Ordering::Relaxed));
        let wait = self.schedule.next().saturating_sub(now);
        let full_in = self.schedule.backlog.lock().full_in(written, bytes_max, now);
        Ok(wait.min(self.groups_due_in()).min(flush_in).min(full_in))
    }

    /// Syncs what is due by `flush.ms` and what was left for newer segments. Returns in what time more is due.
    fn flush(&self) -> (Result<()>, Duration) {
        let (mut outcome, mut next) = (Ok(()), Duration::MAX);
        for partition in self.open_partitions() {
            match partition.flush_if_due() {
                Ok(wait) => next = next.min(wait.unwrap_or(Duration::MAX)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
            outcome = outcome.and(partition.sync_rest());
        }
        (outcome, next)
    }

    fn perform(&self, duty: Duty) -> Result<()> {
        match duty {
            Duty::Transactions => self.maintain_transactions(self.retention_time()),
            Duty::Retention => {
                self.apply_retention();
                Ok(())
            }
            Duty::Checkpoints => self.write_checkpoints(),
            Duty::Idle => self.release_idle(),
        }
    }

    /// Deletes what is past retention: the log starts move, all at once on the disk, then the segments go.
    fn apply_retention(&self) {
        let now = self.retention_time();
        let mut retired = self.open_partitions();
        retired.retain(|partition| {
            let outcome = partition.roll_if_idle(now).and_then(|_| partition.retire_segments(now));
            outcome.unwrap_or_else(|error| {
                tracing::warn!(partition = %partition.id(), %error, "no retention");
                false
            })
        });
        if retired.is_empty() {
            return;
        }
        if let Err(error) = self.delete_segments(&retired) {
            tracing::warn!(%error, "nothing is deleted by retention");
        }
    }

    fn release_idle(&self) -> Result<()> {
        let mut outcome = Ok(());
        for partition in self.open_partitions() {
            if partition.idle_time() > TAIL_IDLE {
                partition.release_idle();
            }
            outcome = outcome.and(partition.remove_deleted_files(Some(self.clock().monotonic())));
        }
        outcome.and(self.remove_deleted_dirs())
    }

    /// The wall-clock time, less what it jumped ahead since the log was opened: a jump makes no record older than it
    /// is. One that lasts is believed at the next start.
    pub(super) fn retention_time(&self) -> Timestamp {
        let (opened, start) = self.schedule.opened;
        self.clock().now().min(opened + self.clock().monotonic().saturating_sub(start))
    }
}
