//! Does what a scenario says, lets instances and machines die and start again, and checks what they have done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use millstream_log::simulation::{CrashMode, SimDisk};
use millstream_log::{
    Acks, Log, LogConfig, LogError, ManualClock, NewTopic, PartitionId, Producer, ProducerConfig, Timestamp,
    TopicPartition,
};

use super::check::{self, Violation, unexpected};
use super::instance::{Instance, Place};
use super::scenario::{Death, Halt, Operation, Scenario, Settings, Writing};
use super::state_disk::StateDisk;
use super::workload::{InputRow, Outcome, START};
use crate::config::StreamsConfig;
use crate::crash::{CrashPoint, Plot};
use crate::driver::read_committed;
use crate::error::{StreamsError, full_message};
use crate::topology::Topology;

const APPLICATION: &str = "app";
/// `batch.size` of all producers: less than any segment.
const BATCH_BYTES: usize = 600;
/// After so long without a sign of life, an instance or a transaction is given up.
const SESSION: Duration = Duration::from_secs(3);
/// How many events are kept for the report of a failure.
const EVENTS_MAX: usize = 300;
/// Rounds after which a run that has not come to its end never will.
const ROUNDS_MAX: u32 = 3000;
/// How far behind all others the rows are that end a run.
const CLOSING: i64 = 3_600_000;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: u64,
    pub(super) records: u64,
    pub(super) commits: u64,
    pub(super) restored: u64,
    pub(super) starts: u64,
    pub(super) fenced: u64,
    pub(super) lost: u64,
    pub(super) machine_stops: u64,
    /// Deaths of instances by point.
    pub(super) crashes: BTreeMap<CrashPoint, u64>,
    pub(super) trace: u64,
}

/// A log, the instances of an application on it, and their state.
pub(super) struct World {
    settings: Settings,
    config: StreamsConfig,
    topology: Topology,
    disk: SimDisk,
    clock: Arc<ManualClock>,
    log: Log,
    halts: VecDeque<Halt>,
    writers: [Option<Producer>; 2],
    instances: Vec<Option<Instance>>,
    states: Vec<Arc<StateDisk>>,
    plots: Vec<Arc<Plot>>,
    /// What dies when a plot succeeds.
    deaths: Vec<Death>,
    /// Those that died: they do nothing more, not even end in order, as long as their log is there.
    dead: Vec<Instance>,
    rng: Rng,
    counts: Counts,
    /// What happened last, if that is wanted.
    events: Option<VecDeque<String>>,
}

impl World {
    /// A new log with the topics of the application, and nothing that runs.
    pub(super) fn new(scenario: &Scenario, wants_events: bool) -> Result<Self, Violation> {
        let settings = scenario.settings;
        let topology = settings.workload().topology().map_err(|error| unexpected("topology", &error))?;
        let disk = SimDisk::new(settings.seed);
        let clock = Arc::new(ManualClock::new(Timestamp::new(START)));
        let log =
            open_log(&disk, &clock, settings.seed).map_err(|error| unexpected("first start", &error))?;
        let instances = usize::from(settings.instances);
        let world = Self {
            settings,
            config: config(&settings),
            topology,
            disk,
            clock,
            log,
            halts: scenario.halts.iter().copied().collect(),
            writers: [None, None],
            instances: (0..instances).map(|_| None).collect(),
            states: (0..instances).map(|_| Arc::default()).collect(),
            plots: (0..instances).map(|_| Arc::default()).collect(),
            deaths: vec![Death::Instance; instances],
            dead: Vec::new(),
            rng: Rng::with_seed(settings.seed ^ 0x77_6f72_6c64),
            counts: Counts::default(),
            events: wants_events.then(VecDeque::new),
        };
        world.create_topics().map_err(|error| unexpected("topics", &error))?;
        Ok(world)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    pub(super) fn take_events(&mut self) -> Vec<String> {
        self.events.take().into_iter().flatten().collect()
    }

    /// Does all of it, and then what is left to do, and checks the result.
    pub(super) fn run(&mut self, operations: &[Operation]) -> Result<(), Violation> {
        self.set_halt();
        for operation in operations {
            self.counts.operations += 1;
            self.note(|| match operation {
                Operation::Write { rows, writing } => format!("Write {writing:?} {}", shown(rows)),
                other => format!("{other:?}"),
            });
            self.perform(operation)?;
            if self.disk.is_halted() {
                self.restart_halted()?;
            }
        }
        self.finish()
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), Violation> {
        match operation {
            Operation::Write { rows, writing } => self.write(rows, *writing),
            Operation::Work { instance, rounds } => self.work(usize::from(*instance), *rounds),
            Operation::Commit { instance } => {
                let number = usize::from(*instance);
                match &mut self.instances[number] {
                    None => Ok(()),
                    Some(instance) => {
                        let outcome = instance.commit();
                        self.survive(number, outcome)
                    }
                }
            }
            Operation::Advance { millis } => {
                self.clock.advance(Duration::from_millis(u64::from(*millis)));
                let outcome = self.log.maintain_due().map(drop);
                self.expect("maintenance", outcome)
            }
            Operation::Flush { instance } => {
                self.states[usize::from(*instance)].flush();
                Ok(())
            }
            Operation::Die { instance, at, death } => {
                let number = usize::from(*instance);
                self.deaths[number] = *death;
                match at {
                    Some((point, passes)) => {
                        self.plots[number].set(*point, usize::from(*passes));
                        Ok(())
                    }
                    None => self.die(number),
                }
            }
            Operation::Close { instance } => self.close(usize::from(*instance)),
            Operation::Maintain => {
                let outcome = self.log.maintain();
                self.expect("maintenance", outcome)
            }
            Operation::Compact => {
                let outcome = self.log.clean_next().map(drop);
                self.expect("compaction", outcome)
            }
        }
    }

    /// Makes an error of what may only fail because the machine stops.
    fn expect(&mut self, what: &str, outcome: Result<(), LogError>) -> Result<(), Violation> {
        match outcome {
            Err(error) if !self.disk.is_halted() => Err(unexpected(what, &error)),
            _ => Ok(()),
        }
    }

    fn write(&mut self, rows: &[InputRow], writing: Writing) -> Result<(), Violation> {
        self.counts.records += rows.len() as u64;
        let outcome = self.try_write(rows, writing);
        self.expect("input", outcome)
    }

    fn try_write(&mut self, rows: &[InputRow], writing: Writing) -> Result<(), LogError> {
        let is_plain = writing == Writing::Plain;
        let writer = match &mut self.writers[usize::from(!is_plain)] {
            Some(writer) => writer,
            empty => {
                let config = ProducerConfig::default().batch_size(BATCH_BYTES);
                let config = if is_plain { config } else { config.transactional_id("writer") };
                empty.insert(self.log.producer(config)?)
            }
        };
        if !is_plain {
            writer.begin_transaction()?;
        }
        for row in rows {
            let topic = writer.topic(row.topic)?;
            let (partition, time) = (Some(PartitionId::new(row.partition)), Some(Timestamp::new(row.time)));
            writer.append(topic, partition, time, row.key.as_deref(), row.value.as_deref(), &[])?;
        }
        writer.flush()?;
        match writing {
            Writing::Plain => Ok(()),
            Writing::Committed => writer.commit_transaction(),
            Writing::Aborted => writer.abort_transaction(),
        }
    }

    /// Lets an instance work, after its start if it is dead.
    fn work(&mut self, number: usize, rounds: u8) -> Result<(), Violation> {
        let outcome = self.try_work(number, rounds);
        self.survive(number, outcome)?;
        self.look(number)
    }

    fn try_work(&mut self, number: usize, rounds: u8) -> Result<(), StreamsError> {
        let is_taken = |slot: &u32| self.instances.iter().flatten().any(|other| other.slot == *slot);
        let slot = (0..).find(|slot| !is_taken(slot)).unwrap_or_default();
        let instance = match &mut self.instances[number] {
            Some(instance) => instance,
            empty => {
                self.counts.starts += 1;
                empty.insert(Instance::open(&Place {
                    topology: &self.topology,
                    config: &self.config,
                    log: &self.log,
                    state: &self.states[number],
                    plot: &self.plots[number],
                    slot,
                    number: self.counts.starts,
                })?)
            }
        };
        instance.work(rounds)
    }

    /// Checks what an instance has committed so far.
    fn look(&mut self, number: usize) -> Result<(), Violation> {
        let Some(instance) = &self.instances[number] else { return Ok(()) };
        if self.disk.is_halted() {
            return Ok(());
        }
        let looked = check::rows(&self.topology, instance).and_then(|rows| {
            let ahead = check::state_is_not_ahead(&self.topology, instance, &self.log)?;
            Ok((rows, ahead))
        });
        let (rows, ahead) = looked.map_err(|error| unexpected("the state cannot be read", &error))?;
        ahead?;
        self.settings.workload().check_committed(&rows).map_err(|text| Violation::new("S2", text))
    }

    /// Does what an error asks for.
    fn survive(&mut self, number: usize, outcome: Result<(), StreamsError>) -> Result<(), Violation> {
        let error = match outcome {
            Ok(()) => return Ok(()),
            // It goes on with the machine.
            Err(_) if self.disk.is_halted() => return Ok(()),
            Err(error) => error,
        };
        self.note(|| format!("  instance {number}: {}", full_message(&error)));
        match error {
            StreamsError::Crashed(point) => {
                *self.counts.crashes.entry(point).or_default() += 1;
                self.die(number)
            }
            error if is_fenced(&error) => {
                self.counts.fenced += 1;
                self.end(number);
                Ok(())
            }
            error => Err(unexpected(&format!("instance {number}"), &error)),
        }
    }

    /// An instance ends as its thread does after an error.
    fn end(&mut self, number: usize) {
        if let Some(instance) = self.instances[number].take() {
            self.count(&instance);
            if let Err(error) = instance.end() {
                self.note(|| format!("  not ended: {}", full_message(&error)));
            }
        }
    }

    fn close(&mut self, number: usize) -> Result<(), Violation> {
        let Some(instance) = &mut self.instances[number] else { return Ok(()) };
        let outcome = instance.commit();
        self.survive(number, outcome)?;
        self.end(number);
        self.states[number].flush();
        Ok(())
    }

    fn count(&mut self, instance: &Instance) {
        let metrics = instance.shared.counters.snapshot();
        self.counts.commits += metrics.commits;
        self.counts.restored += metrics.restored;
        self.counts.lost += instance.lost;
    }

    /// An instance dies, alone or with all others.
    fn die(&mut self, number: usize) -> Result<(), Violation> {
        match self.deaths[number] {
            Death::Instance => {
                let left = self.states[number].after_kill(&mut self.rng);
                self.states[number] = Arc::new(left.map_err(|error| unexpected("state", &error))?);
            }
            Death::InstanceAndState => self.states[number] = Arc::default(),
            Death::Process => return self.restart(CrashMode::KeepAll),
            Death::Machine(mode) => return self.restart(mode),
        }
        if let Some(instance) = self.instances[number].take() {
            self.count(&instance);
            self.dead.push(instance);
        }
        Ok(())
    }

    /// The machine has stopped by itself.
    fn restart_halted(&mut self) -> Result<(), Violation> {
        let mode = self.halts.pop_front().map_or(CrashMode::KeepAll, |halt| halt.mode);
        self.restart(mode)
    }

    fn set_halt(&mut self) {
        if let Some(halt) = self.halts.front() {
            self.disk.halt_at(self.disk.operations() + halt.after);
        }
    }

    /// Everything in memory is gone, and the log starts again.
    fn restart(&mut self, mut mode: CrashMode) -> Result<(), Violation> {
        loop {
            self.counts.machine_stops += 1;
            self.note(|| format!("all is gone: {mode:?}"));
            let snapshot = self.disk.snapshot();
            self.mix(self.disk.trace());
            for number in 0..self.instances.len() {
                if let Some(instance) = self.instances[number].take() {
                    self.count(&instance);
                }
                let left = self.states[number].after_kill(&mut self.rng);
                self.states[number] = Arc::new(left.map_err(|error| unexpected("state", &error))?);
            }
            // They write to the disk as it was.
            self.dead.clear();
            self.writers = [None, None];
            self.disk = snapshot.crash(mode, &mut self.rng);
            self.set_halt();
            let seed = self.settings.seed.wrapping_add(self.counts.machine_stops);
            let opened = open_log(&self.disk, &self.clock, seed);
            let created = opened.and_then(|log| {
                self.log = log;
                self.create_topics()
            });
            match created {
                _ if self.disk.is_halted() => {
                    mode = self.halts.pop_front().map_or(CrashMode::KeepAll, |halt| halt.mode);
                }
                Ok(()) => return Ok(()),
                Err(error) => return Err(unexpected("start", &error)),
            }
        }
    }

    fn create_topics(&self) -> Result<(), LogError> {
        let workload = self.settings.workload();
        for topic in workload.inputs().iter().copied().chain([workload.output()]) {
            let topic = NewTopic::new(topic).partitions(self.settings.partitions);
            match self
                .log
                .create_topic(topic.config("segment.bytes", self.settings.segment_bytes.to_string()))
            {
                Ok(_) | Err(LogError::TopicExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets one instance do all that is left, and checks the result.
    fn finish(&mut self) -> Result<(), Violation> {
        self.note(|| "the end".to_owned());
        self.halts.clear();
        self.disk.halt_at(u64::MAX);
        self.plots.iter().for_each(|plot| plot.clear());
        for partition in 0..self.settings.partitions {
            let time = START + CLOSING;
            let rows = self.settings.workload().closing(partition, time);
            self.write(&rows, Writing::Plain)?;
        }
        if self.rng.bool() {
            // All of them do what is left, each its part of it.
            self.work_until(self.instances.len())?;
        }
        for number in 1..self.instances.len() {
            self.end(number);
        }
        self.work_until(1)?;
        self.check()
    }

    /// Lets the first instances work until nothing is left.
    fn work_until(&mut self, instances: usize) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            for number in 0..instances {
                self.work(number, 1)?;
            }
            if self.is_done(instances)? {
                return Ok(());
            }
            self.clock.advance(Duration::from_millis(self.config_step()));
            let maintained = self.log.maintain_due().map(drop);
            self.expect("maintenance", maintained)?;
        }
        self.is_stable()?;
        Err(Violation::new("S0", "the application does not come to the end of its input"))
    }

    /// Long enough for a commit to be due now and then, and for transactions to time out.
    fn config_step(&self) -> u64 {
        self.settings.commit_interval_ms.max(40)
    }

    /// Whether the first instances have committed all input, and nothing more is under way.
    fn is_done(&mut self, instances: usize) -> Result<bool, Violation> {
        let mut working = self.instances[..instances].iter();
        let Some(instance) = &self.instances[0] else { return Ok(false) };
        let is_settled = |instance: &Option<Instance>| instance.as_ref().is_some_and(Instance::is_settled);
        if !working.all(is_settled) || instances == 1 && !instance.has_all() {
            return Ok(false);
        }
        let committed: BTreeMap<TopicPartition, _> =
            self.log.committed_offsets(APPLICATION).into_iter().collect();
        for partition in instance.setup.plan.inputs() {
            let end = self.log.offsets(partition, millstream_log::OffsetSpec::Latest);
            let end = end.map_err(|error| unexpected("an end cannot be read", &error))?;
            let position = committed.get(partition).map(|committed| committed.offset);
            if position.is_none_or(|position| position < end) && end.get() > 0 {
                return Ok(false);
            }
        }
        // With several, this one may have old state of tasks that are others' by now.
        if instances == 1 {
            let rows = check::rows(&self.topology, instance);
            let rows = rows.map_err(|error| unexpected("the state cannot be read", &error))?;
            if !self.settings.workload().is_over(&rows) {
                return Ok(false);
            }
        }
        // A transaction that one of the dead has open hides what others have written behind it.
        Ok(self.is_stable().is_ok())
    }

    /// Rule S5.
    fn is_stable(&self) -> Result<(), Violation> {
        check::nothing_is_open(&self.log).map_err(|error| unexpected("an end cannot be read", &error))?
    }

    fn check(&mut self) -> Result<(), Violation> {
        let workload = self.settings.workload();
        let Some(instance) = self.instances[0].take() else {
            return Err(Violation::new("S0", "the last instance is gone"));
        };
        self.count(&instance);
        let gathered = (|| {
            let mut input = BTreeMap::new();
            for topic in workload.inputs() {
                input.insert(*topic, read_committed(&self.log, topic)?);
            }
            let outcome = Outcome {
                exactly_once: self.settings.exactly_once,
                caching: self.settings.caching,
                input,
                output: read_committed(&self.log, workload.output())?,
                stores: check::rows(&self.topology, &instance)?,
            };
            let general = [
                check::state_is_not_ahead(&self.topology, &instance, &self.log)?,
                check::changelogs_give_the_state(&self.topology, &instance, &self.log)?,
            ];
            Ok((outcome, general))
        })();
        let (outcome, general) =
            gathered.map_err(|error: StreamsError| unexpected("the result cannot be read", &error))?;
        for record in &outcome.output {
            let bytes = [record.key.as_deref(), record.value.as_deref()];
            let words = bytes.into_iter().flatten().map(|bytes| u64::from(crc32c::crc32c(bytes)));
            words.for_each(|word| self.mix(word));
        }
        self.mix(self.disk.trace());
        let mut violations = general.into_iter().filter_map(Result::err);
        let folded = workload.check(&outcome).map_err(|text| Violation::new("S1", text));
        folded.and_then(|()| violations.next().map_or(Ok(()), Err))
    }

    fn mix(&mut self, word: u64) {
        self.counts.trace = (self.counts.trace.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let Some(events) = &mut self.events else { return };
        events.push_back(text());
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
    }
}

fn config(settings: &Settings) -> StreamsConfig {
    let mut config = StreamsConfig::new(APPLICATION);
    if settings.exactly_once {
        config = config.exactly_once();
    }
    config.commit_interval = Duration::from_millis(settings.commit_interval_ms);
    config.cache_max_bytes = if settings.caching { 1 << 20 } else { 0 };
    config.buffered_records = settings.buffered_records;
    config.repartition_purge_interval = Duration::from_millis(settings.purge_interval_ms);
    config.producer = vec![
        ("batch.size".to_owned(), BATCH_BYTES.to_string()),
        ("transaction.timeout.ms".to_owned(), SESSION.as_millis().to_string()),
    ];
    config.retry_backoff = Duration::ZERO;
    config.max_poll_interval = SESSION;
    config.standby_replicas = settings.standbys;
    config.acceptable_recovery_lag = settings.acceptable_lag;
    config.topic = vec![("segment.bytes".to_owned(), settings.segment_bytes.to_string())];
    config
}

fn open_log(disk: &SimDisk, clock: &Arc<ManualClock>, seed: u64) -> Result<Log, LogError> {
    let config = LogConfig {
        offsets_topic_partitions: 1,
        transaction_topic_partitions: 1,
        offsets_commit_acks: Acks::Synced,
        auto_create_topics: false,
        tail_bytes: 2048,
        ..LogConfig::default()
    };
    let storage = Arc::new(disk.clone());
    Log::builder().dir("log").storage(storage).clock(clock.clone()).seed(seed).config(config).open()
}

/// Whether another instance has taken the place of this one.
fn is_fenced(error: &StreamsError) -> bool {
    match error {
        StreamsError::Log(LogError::ProducerFenced { .. } | LogError::InvalidProducerEpoch { .. }) => true,
        StreamsError::Processing { source, .. } => is_fenced(source),
        _ => false,
    }
}

fn shown(rows: &[InputRow]) -> String {
    let row = |row: &InputRow| {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or_else(|| "-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        format!(
            "{}-{} {}: {}={}",
            row.topic,
            row.partition,
            row.time - START,
            text(&row.key),
            text(&row.value)
        )
    };
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}
