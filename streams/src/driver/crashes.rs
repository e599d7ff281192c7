//! Crashes of the application under test, at chosen points and with or without its local state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{InputRecord, TopologyTestDriver};
use crate::crash::CrashPoint;
use crate::error::StreamsError;
use crate::runtime::global::{GlobalUpdater, Globals};
use crate::runtime::shared::Shared;
use crate::runtime::worker::Worker;
use crate::store::MemoryBackend;

/// What an application finds of its committed state when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalState {
    /// All that was applied.
    Kept,
    /// Nothing, as on another machine.
    Lost,
}

impl TopologyTestDriver {
    /// Lets the application die at a point once it has passed it `passes` more times: the call that comes there fails
    /// with [`StreamsError::Crashed`], as does all that follows until [`TopologyTestDriver::restart`].
    pub fn crash_at(&mut self, point: CrashPoint, passes: usize) {
        self.plot.set(point, passes);
    }

    /// Lets the application die now.
    pub fn crash(&mut self) {
        self.dead.extend(self.worker.take());
    }

    /// How often the application has passed each point.
    pub fn passed(&self) -> BTreeMap<CrashPoint, usize> {
        self.plot.passed()
    }

    /// Starts the application again on the same log. One that still runs dies for it.
    pub fn restart(&mut self, state: LocalState) -> Result<(), StreamsError> {
        self.crash();
        let backend = match state {
            LocalState::Kept => Arc::clone(&self.shared.backend),
            LocalState::Lost => Arc::new(MemoryBackend::default()),
        };
        self.shared = Arc::new(Shared::new(self.shared.config.clone(), backend, self.components.clone()));
        self.begin()
    }

    /// Makes the tasks and restores their state.
    pub(super) fn begin(&mut self) -> Result<(), StreamsError> {
        let globals = Globals::open(&self.topology, &self.log, &self.shared.backend)?;
        self.globals = GlobalUpdater::new(&globals, &self.log)?;
        let mut worker = Worker::new(0, &self.plan.tasks, &self.topology, &self.log, &self.shared)?;
        let restored = worker.restore();
        self.worker = Some(worker);
        self.alive(|_| restored)
    }

    /// Does something with the application, if it is alive, and notes whether it still is.
    pub(super) fn alive(
        &mut self,
        work: impl FnOnce(&mut Worker) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        let Some(worker) = &mut self.worker else {
            return Err(StreamsError::Failed("the application has crashed: restart it first".to_owned()));
        };
        let outcome = work(worker);
        if matches!(outcome, Err(StreamsError::Crashed(_))) {
            self.crash();
        }
        outcome
    }
}

/// One run of [`crash_everywhere`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashCase {
    /// The point, and how often it was passed before; none for the run without a crash.
    pub crash: Option<(CrashPoint, usize)>,
    /// What the application finds when it starts again.
    pub state: LocalState,
    /// Whether it dies once more in the middle of its restore.
    pub again: bool,
}

impl fmt::Display for CrashCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((point, passes)) = self.crash else { return f.write_str("no crash") };
        write!(f, "a crash at {point} number {}, state {:?}", passes + 1, self.state)?;
        f.write_str(if self.again { ", and again in the restore" } else { "" })
    }
}

/// Pipes batches into a driver: once without a crash, and then once for every time that a run passes a crash point,
/// with a crash there; each of those with the local state kept, with it lost, and with a second crash in the restore.
/// After each run all is committed, and `check` is called.
///
/// ```
/// # use millstream_streams::driver::{InputRecord, TopologyTestDriver, crash_everywhere};
/// # use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
/// # use millstream_streams::serde::Utf8;
/// # use millstream_streams::StreamsConfig;
/// let counting = || {
///     let builder = StreamsBuilder::new();
///     let words = builder.stream::<String, String>("words", Consumed::with(Utf8, Utf8));
///     words.group_by_key().count(Materialized::named("counts")).to_stream().to("counts");
///     TopologyTestDriver::new(builder.build()?, StreamsConfig::new("app").exactly_once())
/// };
/// let batch = ("words", vec![InputRecord::new(Some(b"a"), Some(b""), 0); 2]);
/// let cases = crash_everywhere(counting, &[batch.clone(), batch], |driver, case| {
///     // What is committed of the output is what a fold over the committed input gives.
///     let words = driver.read_committed("words").unwrap();
///     let counts = driver.read_committed("counts").unwrap();
///     let last = i64::from_be_bytes(counts.last().unwrap().value.clone().unwrap().try_into().unwrap());
///     assert_eq!(last, words.len() as i64, "{case}");
/// })?;
/// assert!(cases > 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
/// Returns the number of runs. Fails if a run fails otherwise than by its crash.
pub fn crash_everywhere(
    driver: impl Fn() -> Result<TopologyTestDriver, StreamsError>,
    batches: &[(&str, Vec<InputRecord>)],
    mut check: impl FnMut(&mut TopologyTestDriver, CrashCase),
) -> Result<usize, StreamsError> {
    let mut calm = driver()?;
    let begun = calm.passed();
    let whole = CrashCase { crash: None, state: LocalState::Kept, again: false };
    run_through(&mut calm, batches, whole)?;
    check(&mut calm, whole);
    let mut runs = 1;
    for (point, passed) in calm.passed() {
        let passes = passed - begun.get(&point).copied().unwrap_or(0);
        for pass in 0..passes {
            for (state, again) in
                [(LocalState::Kept, false), (LocalState::Lost, false), (LocalState::Lost, true)]
            {
                let case = CrashCase { crash: Some((point, pass)), state, again };
                let mut driver = driver()?;
                run_through(&mut driver, batches, case)?;
                check(&mut driver, case);
                runs += 1;
            }
        }
    }
    Ok(runs)
}

fn run_through(
    driver: &mut TopologyTestDriver,
    batches: &[(&str, Vec<InputRecord>)],
    case: CrashCase,
) -> Result<(), StreamsError> {
    if let Some((point, passes)) = case.crash {
        driver.crash_at(point, passes);
    }
    for (topic, batch) in batches {
        driver.write(topic, batch)?;
        let outcome = driver.run();
        survive(driver, outcome, case)?;
    }
    let outcome = driver.commit();
    survive(driver, outcome, case)?;
    driver.commit()
}

/// Goes on after a crash: what was in work is done when the application is back.
fn survive(
    driver: &mut TopologyTestDriver,
    outcome: Result<(), StreamsError>,
    case: CrashCase,
) -> Result<(), StreamsError> {
    match outcome {
        Err(StreamsError::Crashed(_)) => {}
        other => return other,
    }
    if case.again {
        driver.crash_at(CrashPoint::Restoring, 0);
        match driver.restart(case.state) {
            Ok(()) | Err(StreamsError::Crashed(_)) => {}
            Err(error) => return Err(error),
        }
    }
    driver.restart(case.state)?;
    driver.run()
}
