//! Runs of many seeds, and shorter ones in place of those that fail.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use millstream_log::simulation::CrashMode;

use super::check::Violation;
use super::scenario::Scenario;
use super::world::{Counts, World};
use crate::crash::CrashPoint;

/// How many runs are tried to make a failing one shorter.
const ATTEMPTS_MAX: usize = 1500;

/// Runs of many seeds.
///
/// ```
/// # use millstream_streams::simulation::Swarm;
/// let report = Swarm::new(0..5).run();
/// assert!(report.failures.is_empty(), "{}", report.failures[0]);
/// ```
#[derive(Clone, Debug)]
pub struct Swarm {
    seeds: Range<u64>,
    threads: usize,
    failures_max: usize,
    shrinks: bool,
}

/// What a swarm did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs, each of one seed.
    pub seeds: u64,
    /// Runs by workload.
    pub workloads: BTreeMap<&'static str, u64>,
    /// Things done to applications and their log.
    pub operations: u64,
    /// Input records.
    pub records: u64,
    /// Commits.
    pub commits: u64,
    /// Starts of instances.
    pub starts: u64,
    /// Changelog records that were read for them.
    pub restored: u64,
    /// Instances that were replaced by others and noticed.
    pub fenced: u64,
    /// Times that an instance lost its tasks because it was taken for dead.
    pub lost: u64,
    /// Ends of whole processes and machines.
    pub machine_stops: u64,
    /// Deaths of instances at named points.
    pub crashes: BTreeMap<CrashPoint, u64>,
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
        writeln!(
            f,
            "seed {} ({}) breaks {}",
            self.seed,
            self.shrunk.settings.workload().name(),
            self.violation
        )?;
        writeln!(f, "settings: {:?}", self.shrunk.settings)?;
        writeln!(f, "halts: {:?}", self.shrunk.halts)?;
        writeln!(f, "the run, {} operations when shrunk:", self.shrunk.operations.len())?;
        self.events.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}

impl Swarm {
    /// One run for each of these seeds.
    pub fn new(seeds: Range<u64>) -> Self {
        Self { seeds, threads: 1, failures_max: 3, shrinks: true }
    }

    /// Sets how many runs go on at the same time, each on a thread of its own. Default 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
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
        let next = AtomicU64::new(self.seeds.start);
        let report = Mutex::new(Report::default());
        let lock = || report.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            while lock().failures.len() < self.failures_max {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                let outcome = self.run_seed(seed);
                lock().add(seed, outcome);
            }
        };
        std::thread::scope(|scope| {
            (1..self.threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.failures.sort_by_key(|failure| failure.seed);
        report
    }

    fn run_seed(&self, seed: u64) -> Result<(&'static str, Counts), Box<Failure>> {
        let scenario = Scenario::draw(seed, &CrashMode::ALL);
        let name = scenario.settings.workload().name();
        run(&scenario).map(|counts| (name, counts)).map_err(|violation| {
            let (shrunk, violation) = match self.shrinks {
                true => shrink(scenario, violation),
                false => (scenario, violation),
            };
            let events = events_of(&shrunk);
            Box::new(Failure { seed, violation, shrunk, events })
        })
    }
}

impl Report {
    fn add(&mut self, seed: u64, outcome: Result<(&'static str, Counts), Box<Failure>>) {
        self.seeds += 1;
        match outcome {
            Err(failure) => self.failures.push(*failure),
            Ok((workload, counts)) => {
                *self.workloads.entry(workload).or_default() += 1;
                self.operations += counts.operations;
                self.records += counts.records;
                self.commits += counts.commits;
                self.starts += counts.starts;
                self.restored += counts.restored;
                self.fenced += counts.fenced;
                self.lost += counts.lost;
                self.machine_stops += counts.machine_stops;
                for (point, count) in counts.crashes {
                    *self.crashes.entry(point).or_default() += count;
                }
                // In any order, as several threads take turns.
                self.trace ^= (counts.trace ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds, operations, records, commits, starts, restored, fenced, lost, machine_stops, ..
        } = self;
        write!(
            f,
            "{seeds} seeds, {operations} operations, {records} records, {commits} commits, {starts} starts "
        )?;
        write!(
            f,
            "with {restored} records restored, {fenced} fenced, {lost} times tasks lost, {machine_stops} stops of the machine, crashes"
        )?;
        for (point, count) in &self.crashes {
            write!(f, " {point} {count},")?;
        }
        for (workload, count) in &self.workloads {
            write!(f, " {workload} {count},")?;
        }
        write!(f, " {} violations, trace {:016x}", self.failures.len(), self.trace)
    }
}

/// Runs a scenario to its end.
pub(super) fn run(scenario: &Scenario) -> Result<Counts, Violation> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(scenario, false)?;
        world.run(&scenario.operations)?;
        Ok(world.counts())
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        Err(Violation::new("S0", format!("panic: {text}")))
    })
}

fn events_of(scenario: &Scenario) -> Vec<String> {
    let Ok(mut world) = World::new(scenario, true) else { return Vec::new() };
    let world = &mut world;
    // What it ends with is known; a panic leaves the events up to it.
    let _known = catch_unwind(AssertUnwindSafe(|| world.run(&scenario.operations)));
    world.take_events()
}

/// The shortest run found that breaks the same rule, and how.
fn shrink(scenario: Scenario, violation: Violation) -> (Scenario, Violation) {
    let (mut best, mut known, mut attempts) = (scenario, violation, 0);
    let mut attempt = |best: &mut Scenario, known: &mut Violation, candidate: Scenario| {
        attempts += 1;
        match run(&candidate) {
            Err(violation) if violation.rule == known.rule && attempts < ATTEMPTS_MAX => {
                (*best, *known) = (candidate, violation);
                (true, true)
            }
            _ => (false, attempts < ATTEMPTS_MAX),
        }
    };
    loop {
        let before = (best.operations.len(), best.halts.len());
        for at in (0..best.halts.len()).rev() {
            let mut candidate = best.clone();
            candidate.halts.remove(at);
            attempt(&mut best, &mut known, candidate);
        }
        let mut length = best.operations.len();
        while length > 0 {
            let mut at = 0;
            while at < best.operations.len() {
                let mut candidate = best.clone();
                candidate.operations.drain(at..(at + length).min(candidate.operations.len()));
                match attempt(&mut best, &mut known, candidate) {
                    (true, _) => {}
                    (false, true) => at += length,
                    (false, false) => return (best, known),
                }
            }
            length /= 2;
        }
        if before == (best.operations.len(), best.halts.len()) {
            return (best, known);
        }
    }
}
