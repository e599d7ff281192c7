//! All short runs, with a crash after every operation of the disk, in every way a crash can go.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;

use super::check::{Moment, Promise, Violation, check};
use super::crash::CrashMode;
use super::disk::SimDisk;
use super::scenario::{Operation, Settings};
use super::swarm::panicked;
use super::world::{World, check_second_restart, open, unopened};
use crate::mutex::Mutex;
use crate::types::Acks;

/// One operation of an exhaustive run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Appends records to two partitions, one batch synced and one not.
    Append,
    /// Appends records to two partitions in a transaction.
    AppendTransactional,
    /// Commits the transaction.
    Commit,
    /// Aborts the transaction.
    Abort,
    /// Starts a new segment.
    Roll,
    /// Compacts.
    Compact,
    /// Deletes the records of one partition up to its middle.
    DeleteRecords,
    /// Closes and opens the log.
    Restart,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 8] = [
        Self::Append,
        Self::AppendTransactional,
        Self::Commit,
        Self::Abort,
        Self::Roll,
        Self::Compact,
        Self::DeleteRecords,
        Self::Restart,
    ];

    fn operations(self) -> Vec<Operation> {
        let append = |partition, acks| Operation::AppendBatch {
            topic: 0,
            partition,
            acks,
            records: 2,
            bytes: 600,
            key: 0,
        };
        let transactional = |partition| Operation::AppendTransactional {
            producer: 0,
            topic: 0,
            partition,
            records: 2,
            bytes: 600,
            key: 0,
            flush: partition == 0,
        };
        match self {
            Self::Append => vec![append(0, Acks::Synced), append(1, Acks::Written)],
            Self::AppendTransactional => {
                let offsets = Operation::SendOffsets { producer: 0, topic: 0, partition: 0 };
                vec![transactional(0), transactional(1), offsets]
            }
            Self::Commit => vec![Operation::Commit { producer: 0 }],
            Self::Abort => vec![Operation::Abort { producer: 0 }],
            Self::Roll => vec![Operation::Roll { topic: 0, partition: 0 }],
            Self::Compact => vec![Operation::Compact],
            Self::DeleteRecords => {
                vec![Operation::DeleteRecords { topic: 0, partition: 0, share: 128 }]
            }
            Self::Restart => vec![Operation::Restart],
        }
    }
}

/// All sequences of steps up to a length.
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    /// Sequences run.
    pub sequences: u64,
    /// Moments at which the machine stopped.
    pub crash_points: u64,
    /// Disks that differed, each opened and checked.
    pub recoveries: u64,
    /// Of those, crashes within the recovery from another.
    pub second_crashes: u64,
    /// What went wrong, with the sequence.
    pub failures: Vec<String>,
}

impl Exhaustive {
    /// Runs all sequences of 1 to `length` steps with crashes of these modes on so many threads.
    pub fn run(length: usize, modes: &[CrashMode], threads: usize) -> Self {
        let mut sequences: Vec<Vec<Step>> = vec![Vec::new()];
        let mut first_of_last = 0;
        for _ in 0..length {
            let longer: Vec<_> = sequences[first_of_last..]
                .iter()
                .flat_map(|shorter| Step::ALL.map(|step| [&shorter[..], &[step]].concat()))
                .collect();
            first_of_last = sequences.len();
            sequences.extend(longer);
        }
        let next = AtomicUsize::new(0);
        let total = Mutex::new(Self::default());
        let work = || {
            while let Some(sequence) = sequences.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut one = Self { sequences: 1, ..Self::default() };
                let outcome = catch_unwind(AssertUnwindSafe(|| one.sequence(sequence, modes)));
                if let Err(violation) = outcome.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                    one.failures.push(format!("{sequence:?}: {violation}"));
                }
                total.lock().add(one);
            }
        };
        std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        std::mem::take(&mut *total.lock())
    }

    fn add(&mut self, other: Self) {
        self.sequences += other.sequences;
        self.crash_points += other.crash_points;
        self.recoveries += other.recoveries;
        self.second_crashes += other.second_crashes;
        self.failures.extend(other.failures);
    }

    fn sequence(&mut self, steps: &[Step], modes: &[CrashMode]) -> Result<(), Violation> {
        let settings = Settings::plain(steps.iter().fold(1, |seed, step| seed * 9 + *step as u64));
        let mut world = World::new(settings, false)?;
        world.disk().record();
        for operation in steps.iter().flat_map(|step| step.operations()) {
            if operation == Operation::Restart {
                self.phase(&world, modes)?;
            }
            world.perform(&operation, &mut VecDeque::new())?;
            if operation == Operation::Restart {
                world.disk().record();
            }
        }
        self.phase(&world, modes)?;
        // The crashes while it closes too.
        world.run(&[], &[])
    }

    /// Crashes at every moment since recording began.
    fn phase(&mut self, world: &World, modes: &[CrashMode]) -> Result<(), Violation> {
        let mut rng = Rng::with_seed(0);
        let mut known = BTreeSet::new();
        for snapshot in world.disk().take_recording() {
            self.crash_points += 1;
            // With nothing pending, one power failure is like another.
            let count = if snapshot.has_pending() { modes.len() } else { modes.len().min(2) };
            for &mode in &modes[..count] {
                let disk = snapshot.crash(mode, &mut rng);
                let promise = if mode.is_power_loss() { Promise::Synced } else { Promise::All };
                let point = snapshot.operation();
                let history = world.history();
                let identity = (disk.snapshot().fingerprint(), history.known_at(point), mode.is_power_loss());
                if !known.insert(identity) {
                    continue;
                }
                let outcome = self.recover(world, &disk, (point, promise), modes);
                outcome.map_err(|violation| Violation {
                    text: format!("after operation {point}, {mode:?}: {}", violation.text),
                    ..violation
                })?;
            }
        }
        Ok(())
    }

    fn recover(
        &mut self,
        world: &World,
        disk: &SimDisk,
        (point, promise): (u64, Promise),
        modes: &[CrashMode],
    ) -> Result<(), Violation> {
        let (history, clock) = (world.history(), world.clock());
        // The disk does nothing wrong here, so that no sync fails.
        let mut moment = Moment { point, promise, latest: world.latest(), failed: BTreeSet::new() };
        self.recoveries += 1;
        let is_sampled = self.recoveries.is_multiple_of(10);
        if is_sampled {
            disk.record();
        }
        let log = open(disk, clock, point).or_else(|error| unopened(&error))?;
        let recording = disk.take_recording();
        check(history, &log, &moment)?;
        if is_sampled {
            check_second_restart(&disk.snapshot(), clock, point)?;
        }
        drop(log);
        let mut rng = Rng::with_seed(point);
        for (at, within) in recording.iter().enumerate() {
            let mode = modes[(at + self.recoveries as usize) % modes.len()];
            self.recoveries += 1;
            self.second_crashes += 1;
            moment.promise = if mode.is_power_loss() { Promise::Synced } else { promise };
            let mut again = || -> Result<(), Violation> {
                let disk = within.crash(mode, &mut rng);
                let log = open(&disk, clock, point).or_else(|error| unopened(&error))?;
                check(history, &log, &moment).map(drop)
            };
            again().map_err(|violation| Violation {
                text: format!("{mode:?} after operation {at} of the recovery: {}", violation.text),
                ..violation
            })?;
        }
        Ok(())
    }
}

impl fmt::Display for Exhaustive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sequences, {} crash points, {} recoveries checked, {} of them from a crash in a recovery, {} violations",
            self.sequences,
            self.crash_points,
            self.recoveries,
            self.second_crashes,
            self.failures.len()
        )
    }
}
