//! Random runs by seed.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::check::Violation;
use super::crash::CrashMode;
use super::scenario::Scenario;
use super::shrink;
use super::world::{Counts, World};
use crate::mutex::Mutex;

/// Runs of many seeds.
///
/// ```
/// # use millstream_log::simulation::Swarm;
/// let report = Swarm::new(0..20).run();
/// assert!(report.failures.is_empty(), "{}", report.failures[0]);
/// ```
#[derive(Clone, Debug)]
pub struct Swarm {
    seeds: Range<u64>,
    modes: Vec<CrashMode>,
    threads: usize,
    failures_max: usize,
    shrinks: bool,
}

/// What a swarm did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs, each of one seed.
    pub seeds: u64,
    /// Operations on logs.
    pub operations: u64,
    /// Operations of disks.
    pub disk_operations: u64,
    /// Records sent.
    pub records: u64,
    /// Crashes.
    pub crashes: u64,
    /// Starts after a crash or a close, each followed by all checks.
    pub recoveries: u64,
    /// Faults of disks.
    pub faults: u64,
    /// A hash of all that happened: equal for equal runs.
    pub trace: u64,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The rule.
    pub violation: Violation,
    /// The shortest run found that breaks the same rule.
    pub shrunk: Scenario,
    /// The last things that happened in that run.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks {}", self.seed, self.violation)?;
        writeln!(f, "settings: {:?}", self.shrunk.settings)?;
        writeln!(f, "crashes: {:?}", self.shrunk.crashes)?;
        writeln!(f, "operations, shrunk:")?;
        self.shrunk.operations.iter().try_for_each(|operation| writeln!(f, "  {operation:?}"))?;
        writeln!(f, "last events of the shrunk run:")?;
        self.events.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}

impl Swarm {
    /// One run for each of these seeds.
    pub fn new(seeds: Range<u64>) -> Self {
        Self { seeds, modes: CrashMode::ALL.to_vec(), threads: 1, failures_max: 5, shrinks: true }
    }

    /// Sets how many runs go on at the same time, each on a thread of its own. Default 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Sets how the machine may crash. Default [`CrashMode::ALL`].
    #[must_use]
    pub fn modes(mut self, modes: &[CrashMode]) -> Self {
        self.modes = modes.to_vec();
        self
    }

    /// Stops at the first failure, and leaves its run as long as it is: quicker, if whether there is one is all that
    /// matters.
    #[must_use]
    pub fn stop_at_once(mut self) -> Self {
        (self.failures_max, self.shrinks) = (1, false);
        self
    }

    /// Runs all seeds, unless too many fail.
    pub fn run(&self) -> Report {
        self.run_while(|| true)
    }

    /// Runs the seeds in order as long as `goes_on` says so.
    pub fn run_while(&self, goes_on: impl Fn() -> bool + Sync) -> Report {
        let next = AtomicU64::new(self.seeds.start);
        let report = Mutex::new(Report::default());
        let work = || {
            while goes_on() && report.lock().failures.len() < self.failures_max {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                let outcome = run_seed(seed, &self.modes, self.shrinks);
                report.lock().add(seed, outcome);
            }
        };
        std::thread::scope(|scope| {
            (1..self.threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut report = std::mem::take(&mut *report.lock());
        report.failures.sort_by_key(|failure| failure.seed);
        report
    }
}

impl Report {
    fn add(&mut self, seed: u64, outcome: Result<Counts, Box<Failure>>) {
        self.seeds += 1;
        match outcome {
            Err(failure) => self.failures.push(*failure),
            Ok(counts) => {
                self.operations += counts.operations;
                self.disk_operations += counts.disk_operations;
                self.records += counts.records;
                self.crashes += counts.crashes;
                self.recoveries += counts.recoveries;
                self.faults += counts.faults;
                // In any order, as several threads take turns.
                self.trace ^= (counts.trace ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} operations, {} records, {} disk operations, {} crashes, {} recoveries checked, {} faults, \
             {} violations, trace {:016x}",
            self.seeds,
            self.operations,
            self.records,
            self.disk_operations,
            self.crashes,
            self.recoveries,
            self.faults,
            self.failures.len(),
            self.trace
        )
    }
}

fn run_seed(seed: u64, modes: &[CrashMode], shrinks: bool) -> Result<Counts, Box<Failure>> {
    let scenario = Scenario::draw(seed, modes);
    run(&scenario).map_err(|violation| {
        let (shrunk, violation) = match shrinks {
            true => shrink::shrink(scenario, violation),
            false => (scenario, violation),
        };
        let events = events_of(&shrunk);
        Box::new(Failure { seed, violation, shrunk, events })
    })
}

/// Runs a scenario to its end.
pub(super) fn run(scenario: &Scenario) -> Result<Counts, Violation> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(scenario.settings, false)?;
        world.run(&scenario.operations, &scenario.crashes)?;
        Ok(world.counts())
    }));
    outcome.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
    Violation { rule: "R0", text: format!("panic: {text}") }
}

fn events_of(scenario: &Scenario) -> Vec<String> {
    let world = Mutex::new(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut held = world.lock();
        let Ok(world) = World::new(scenario.settings, true) else { return };
        let world = held.insert(world);
        let _known = world.run(&scenario.operations, &scenario.crashes);
    }));
    if outcome.is_err() {
        return Vec::new();
    }
    let mut world = world.lock();
    world.as_mut().map(World::take_events).unwrap_or_default()
}
