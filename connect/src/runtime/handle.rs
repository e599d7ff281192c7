//! A running connector seen from outside.

use std::{
    any::Any,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use millstream_log::Waker;

use crate::{connector::SourceProgress, error::ConnectError};

/// Whether a connector reads from or writes to another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorKind {
    /// Writes to the log.
    Source,
    /// Reads from the log.
    Sink,
}

/// State of a task, or of a connector as the worst of its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// At work.
    Running,
    /// At its end, or stopped by the user.
    Stopped,
    /// Ended by an error; the text is the error with its causes.
    Failed(String),
}

/// State of a connector and its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// Name of the connector.
    pub name: String,
    /// Its kind.
    pub kind: ConnectorKind,
    /// The worst of its tasks' states.
    pub state: State,
    /// Its tasks, by number.
    pub tasks: Vec<TaskStatus>,
    /// How far all tasks together are.
    pub progress: Progress,
}

/// State of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its number, from 0.
    pub id: usize,
    /// Its state.
    pub state: State,
}

/// How far a connector is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records moved since it was started.
    pub records: u64,
    /// Records skipped under `errors.tolerance=all`.
    pub skipped: u64,
    /// Sources: bytes read, those of earlier runs too.
    pub bytes_done: u64,
    /// Sources: bytes there are, if known.
    pub bytes_total: Option<u64>,
    /// Sinks: records in the topics that are not yet safe in the target. `None` before the first look.
    pub lag: Option<u64>,
}

/// A handle to a running connector. Dropping it does not stop the connector; its [`Worker`](crate::Worker)
/// does when it is dropped.
#[derive(Clone)]
pub struct ConnectorHandle {
    shared: Arc<Shared>,
}

/// What tasks and handles share.
pub(super) struct Shared {
    name: String,
    kind: ConnectorKind,
    stop: AtomicBool,
    tasks: Mutex<Vec<TaskSlot>>,
    /// Told when a task ends or a stop is asked for.
    changed: Condvar,
}

struct TaskSlot {
    state: State,
    counters: Arc<Counters>,
    waker: Option<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// Figures of one task.
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) skipped: AtomicU64,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    lag: AtomicU64,
}

/// Stands for "not known" in [`Counters`].
const UNKNOWN: u64 = u64::MAX;

impl Default for Counters {
    fn default() -> Self {
        Self {
            records: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(UNKNOWN),
            lag: AtomicU64::new(UNKNOWN),
        }
    }
}

impl Counters {
    pub(super) fn set_source(&self, progress: SourceProgress) {
        self.bytes_done.store(progress.bytes_done, Ordering::Relaxed);
        self.bytes_total.store(progress.bytes_total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    pub(super) fn set_lag(&self, lag: u64) {
        self.lag.store(lag, Ordering::Relaxed);
    }
}

impl ConnectorHandle {
    pub(super) fn new(name: &str, kind: ConnectorKind) -> Self {
        Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                kind,
                stop: AtomicBool::new(false),
                tasks: Mutex::new(Vec::new()),
                changed: Condvar::new(),
            }),
        }
    }

    /// Name of the connector.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether it is a source or a sink.
    pub fn kind(&self) -> ConnectorKind {
        self.shared.kind
    }

    /// State of the connector and its tasks.
    pub fn status(&self) -> ConnectorStatus {
        let tasks = self.shared.tasks();
        let states: Vec<TaskStatus> =
            tasks.iter().enumerate().map(|(id, task)| TaskStatus { id, state: task.state.clone() }).collect();
        ConnectorStatus {
            name: self.shared.name.clone(),
            kind: self.shared.kind,
            state: worst(states.iter().map(|task| &task.state)),
            tasks: states,
            progress: sum(&tasks),
        }
    }

    /// How far all tasks together are.
    pub fn progress(&self) -> Progress {
        sum(&self.shared.tasks())
    }

    /// Whether no task runs any more.
    pub fn is_finished(&self) -> bool {
        self.shared.tasks().iter().all(|task| task.state != State::Running)
    }

    /// Waits until no task runs any more: until a source is at its end, or the connector is stopped or fails.
    /// Fails with the first task that failed.
    pub fn wait(&self) -> Result<Progress, ConnectError> {
        let mut tasks = self.shared.tasks();
        while tasks.iter().any(|task| task.state == State::Running) {
            tasks = self.shared.changed.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
        self.outcome(tasks)
    }

    /// As [`ConnectorHandle::wait`], but for at most `time`; `None` if a task still runs then.
    pub fn wait_for(&self, time: Duration) -> Option<Result<Progress, ConnectError>> {
        let tasks = self.shared.tasks();
        let running = |tasks: &mut Vec<TaskSlot>| tasks.iter().any(|task| task.state == State::Running);
        let (tasks, waited) = self
            .shared
            .changed
            .wait_timeout_while(tasks, time, running)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { None } else { Some(self.outcome(tasks)) }
    }

    /// Asks all tasks to stop; [`ConnectorHandle::wait`] tells when they have.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let tasks = self.shared.tasks();
        tasks.iter().filter_map(|task| task.waker.as_ref()).for_each(Waker::wake);
        self.shared.changed.notify_all();
    }

    fn outcome(&self, mut tasks: MutexGuard<'_, Vec<TaskSlot>>) -> Result<Progress, ConnectError> {
        let failed = tasks.iter().enumerate().find_map(|(task, slot)| match &slot.state {
            State::Failed(trace) => Some(ConnectError::TaskFailed {
                connector: self.shared.name.clone(),
                task,
                trace: trace.clone(),
            }),
            State::Running | State::Stopped => None,
        });
        let progress = sum(&tasks);
        let threads: Vec<JoinHandle<()>> = tasks.iter_mut().filter_map(|task| task.thread.take()).collect();
        drop(tasks);
        for thread in threads {
            // A panic was caught in the thread and is in its state.
            let _ = thread.join();
        }
        failed.map_or(Ok(progress), Err)
    }

    /// Adds a task that runs `work` on its own thread. A panic fails this task only.
    pub(super) fn spawn(
        &self,
        work: impl FnOnce(&TaskContext) -> Result<(), ConnectError> + Send + 'static,
    ) -> Result<(), ConnectError> {
        let counters = Arc::new(Counters::default());
        let mut tasks = self.shared.tasks();
        let id = tasks.len();
        let context = TaskContext { id, counters: Arc::clone(&counters), shared: Arc::clone(&self.shared) };
        let name = format!("connect-{}-{id}", self.shared.name);
        let run = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&context)));
            let state = match result {
                Ok(Ok(())) => State::Stopped,
                Ok(Err(error)) => State::Failed(error.trace()),
                Err(panic) => State::Failed(format!("the task panicked: {}", panic_text(&*panic))),
            };
            if let State::Failed(trace) = &state {
                tracing::error!(connector = context.shared.name, task = id, "task failed: {trace}");
            }
            context.shared.tasks()[id].state = state;
            context.shared.changed.notify_all();
        };
        tasks.push(TaskSlot { state: State::Running, counters, waker: None, thread: None });
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(run)
            .map_err(ConnectError::file("start a thread for", &self.shared.name))?;
        tasks[id].thread = Some(thread);
        Ok(())
    }
}

/// What a task's loop is given.
pub(super) struct TaskContext {
    pub(super) id: usize,
    pub(super) counters: Arc<Counters>,
    shared: Arc<Shared>,
}

impl TaskContext {
    pub(super) fn connector(&self) -> &str {
        &self.shared.name
    }

    /// Whether the connector is asked to stop.
    pub(super) fn stopping(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    /// A stop wakes this consumer.
    pub(super) fn set_waker(&self, waker: Waker) {
        self.shared.tasks()[self.id].waker = Some(waker);
    }

    /// Waits for `time` or until the connector is asked to stop.
    pub(super) fn idle(&self, time: Duration) {
        let tasks = self.shared.tasks();
        let waited = self.shared.changed.wait_timeout_while(tasks, time, |_| !self.stopping());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Vec<TaskSlot>> {
        // A poisoned lock only means that some thread panicked; the slots are whole at any time.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn worst<'a>(states: impl Iterator<Item = &'a State>) -> State {
    let rank = |state: &State| match state {
        State::Stopped => 0,
        State::Running => 1,
        State::Failed(_) => 2,
    };
    states.max_by_key(|state| rank(state)).cloned().unwrap_or(State::Stopped)
}

fn sum(tasks: &[TaskSlot]) -> Progress {
    let known = |value: u64| (value != UNKNOWN).then_some(value);
    tasks.iter().fold(Progress::default(), |sum, task| {
        let counters = &task.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let add =
            |sum: Option<u64>, more: Option<u64>| more.map_or(sum, |more| Some(sum.unwrap_or(0) + more));
        Progress {
            records: sum.records + load(&counters.records),
            skipped: sum.skipped + load(&counters.skipped),
            bytes_done: sum.bytes_done + load(&counters.bytes_done),
            bytes_total: add(sum.bytes_total, known(load(&counters.bytes_total))),
            lag: add(sum.lag, known(load(&counters.lag))),
        }
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
