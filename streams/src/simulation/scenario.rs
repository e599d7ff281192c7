//! What happens in a run, all of it drawn from its seed beforehand, so that parts of it can be left out.

use fastrand::Rng;
use millstream_log::simulation::CrashMode;

use super::workload::{self, InputRow, Workload};
use crate::crash::CrashPoint;

/// Event time between two rows, in ms.
const PACE_MS: u64 = 3;
/// How far event times are out of order, in ms.
const DISORDER_MS: i64 = 15;

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is like.
    pub settings: Settings,
    /// What is done, in order.
    pub operations: Vec<Operation>,
    /// When the machine stops, each counted from the start before.
    pub halts: Vec<Halt>,
}

/// What a run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The seed of all that is left open.
    pub seed: u64,
    /// The number of the workload.
    pub workload: usize,
    /// Partitions of its topics.
    pub partitions: u32,
    /// Instances of the application, which share its tasks.
    pub instances: u8,
    /// `num.standby.replicas`.
    pub standbys: usize,
    /// `acceptable.recovery.lag`.
    pub acceptable_lag: u64,
    /// `exactly_once_v2`, else at least once.
    pub exactly_once: bool,
    /// Whether updates are coalesced until the commit.
    pub caching: bool,
    /// `commit.interval.ms`.
    pub commit_interval_ms: u64,
    /// `buffered.records.per.partition`.
    pub buffered_records: usize,
    /// `repartition.purge.interval.ms`.
    pub purge_interval_ms: u64,
    /// `segment.bytes` of all topics.
    pub segment_bytes: u32,
}

/// The machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// After so many operations of the disk.
    pub after: u64,
    /// What of the log survives.
    pub mode: CrashMode,
}

/// What dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// One instance, and comes back with what it had on disk.
    Instance,
    /// One instance, and comes back with nothing.
    InstanceAndState,
    /// The process, with the log and all instances.
    Process,
    /// The machine; what was not synced may be lost.
    Machine(CrashMode),
}

/// How input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Without a transaction.
    Plain,
    /// In a transaction.
    Committed,
    /// In a transaction that is aborted.
    Aborted,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes input.
    Write {
        /// The records.
        rows: Vec<InputRow>,
        /// Whether they count.
        writing: Writing,
    },
    /// Lets an instance go on; one that is dead starts.
    Work {
        /// Its number.
        instance: u8,
        /// How often it fetches and processes.
        rounds: u8,
    },
    /// Lets an instance commit.
    Commit {
        /// Its number.
        instance: u8,
    },
    /// Lets the clock go on.
    Advance {
        /// By so much.
        millis: u16,
    },
    /// Makes an instance's state durable.
    Flush {
        /// Its number.
        instance: u8,
    },
    /// Lets an instance die, now or at a point of its work.
    Die {
        /// Its number.
        instance: u8,
        /// The point, and how often it is passed before.
        at: Option<(CrashPoint, u8)>,
        /// What dies with it.
        death: Death,
    },
    /// Closes an instance in order.
    Close {
        /// Its number.
        instance: u8,
    },
    /// Lets the log do what it does now and then: retention, timeouts, checkpoints.
    Maintain,
    /// Lets the log compact a changelog.
    Compact,
}

impl Settings {
    pub(super) fn workload(&self) -> &'static dyn Workload {
        workload::ALL[self.workload % workload::ALL.len()]
    }

    fn draw(seed: u64, rng: &mut Rng) -> Self {
        let first = rng.usize(..workload::FIRST);
        let mut settings = Self {
            seed,
            // Those that came later have seeds of their own, so that the others' runs stay what they were.
            workload: match seed % 7 {
                6 => workload::ALL.len() - 1,
                _ => first,
            },
            partitions: rng.u32(1..=3),
            instances: rng.u8(1..=3),
            standbys: rng.usize(..2),
            acceptable_lag: if rng.bool() { 0 } else { 10_000 },
            exactly_once: true,
            caching: rng.bool(),
            commit_interval_ms: 1 << rng.u32(0..8),
            buffered_records: if rng.bool() { rng.usize(1..6) } else { 1000 },
            purge_interval_ms: if rng.bool() { 20 } else { 30_000 },
            segment_bytes: 1 << rng.u32(10..15),
        };
        if rng.u8(..8) == 0 && settings.workload().works_at_least_once() {
            settings.exactly_once = false;
        }
        settings
    }
}

impl Scenario {
    /// The run of a seed, with these ways for the machine to stop.
    pub fn draw(seed: u64, modes: &[CrashMode]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings::draw(seed, &mut rng);
        let count = 1 << rng.u32(4..8);
        let mut draft = Draft::new(settings, modes, &mut rng);
        let operations = (0..count).map(|_| draft.operation(&mut rng)).collect();
        // A stream of its own, so that the same work can be looked at under other ones.
        let mut rng = Rng::with_seed(seed ^ 0x68_616c_7473);
        let halts = (0..rng.u32(0..4)).map(|_| {
            let range = 1_u64 << rng.u32(4..12);
            Halt { after: rng.u64(1..=range), mode: mode(modes, &mut rng) }
        });
        let halts = halts.collect();
        Self { settings, operations, halts }
    }
}

fn mode(modes: &[CrashMode], rng: &mut Rng) -> CrashMode {
    modes.get(rng.usize(..modes.len().max(1))).copied().unwrap_or(CrashMode::KeepAll)
}

/// A run in the making.
struct Draft<'a> {
    settings: Settings,
    modes: &'a [CrashMode],
    weights: [u32; 9],
    rows: u64,
    instance: u8,
}

impl<'a> Draft<'a> {
    fn new(settings: Settings, modes: &'a [CrashMode], rng: &mut Rng) -> Self {
        let usual = [10, 20, 6, 4, 2, 5, 1, 1, 2];
        let mut weights = usual.map(|weight| weight * rng.u32(0..4));
        // Without input and work there is nothing to see.
        weights[0] = weights[0].max(5);
        weights[1] = weights[1].max(10);
        Self { settings, modes, weights, rows: 0, instance: 0 }
    }

    fn operation(&mut self, rng: &mut Rng) -> Operation {
        // One goes on for a while, so that others seem to be dead.
        if rng.u8(..5) == 0 {
            self.instance = rng.u8(..self.settings.instances);
        }
        let instance = self.instance;
        let mut left = rng.u32(..self.weights.iter().sum::<u32>().max(1));
        let mut kind = 0;
        while left >= self.weights[kind] {
            left -= self.weights[kind];
            kind += 1;
        }
        match kind {
            0 => self.write(rng),
            1 => Operation::Work { instance, rounds: rng.u8(1..4) },
            2 => Operation::Commit { instance },
            3 => Operation::Advance { millis: 1 << rng.u32(0..14) },
            4 => Operation::Flush { instance },
            5 => {
                let at = (rng.u8(..5) > 0)
                    .then(|| (CrashPoint::ALL[rng.usize(..CrashPoint::ALL.len())], rng.u8(..4) / 2));
                let death = match rng.u8(..6) {
                    0 | 1 => Death::Instance,
                    2 => Death::InstanceAndState,
                    3 => Death::Process,
                    _ => Death::Machine(mode(self.modes, rng)),
                };
                Operation::Die { instance, at, death }
            }
            6 => Operation::Close { instance },
            7 => Operation::Maintain,
            _ => Operation::Compact,
        }
    }

    fn write(&mut self, rng: &mut Rng) -> Operation {
        let workload = self.settings.workload();
        let rows = (0..1 << rng.u32(0..5)).map(|_| {
            self.rows += 1;
            let pace = i64::try_from(self.rows * PACE_MS).unwrap_or(i64::MAX);
            let time = workload::START + pace + rng.i64(-DISORDER_MS..=DISORDER_MS);
            workload.row(self.rows, rng.u32(..self.settings.partitions), time, rng)
        });
        let rows = rows.collect();
        let writing = match rng.u8(..6) {
            _ if !self.settings.exactly_once => Writing::Plain,
            0..=2 => Writing::Plain,
            3 | 4 => Writing::Committed,
            _ => Writing::Aborted,
        };
        Operation::Write { rows, writing }
    }
}
