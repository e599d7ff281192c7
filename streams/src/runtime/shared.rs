//! What the threads of an application share, and what the application is told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_log::{Offset, TopicPartition, Waker};

use crate::config::StreamsConfig;
use crate::crash::{CrashHook, CrashPoint};
use crate::error::{StreamsError, full_message};
use crate::handler::{ErrorHandler, Handler, Handlers, UncaughtHandler, UncaughtResponse};
use crate::processor::TaskId;
use crate::report::ReportObserver;
use crate::runtime::metrics::Counters;
use crate::store::{StandbyUpdateListener, StateBackend};

/// Decoded state that is kept after a commit even with caching off, because rereading it for every batch is
/// slow.
const CACHE_FLOOR_BYTES: usize = 4 << 20;

/// The states of an application, shown with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Opened and not started.
    Created,
    /// Threads are getting their tasks or reading changelogs.
    Restoring,
    /// Threads are processing.
    Running,
    /// Threads are to stop.
    PendingShutdown,
    /// Threads have stopped.
    NotRunning,
    /// A thread failed and the others are to stop; [`Streams::error`](crate::Streams::error) says why.
    PendingError,
    /// A thread failed and all have stopped.
    Error,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Restoring => "REBALANCING",
            Self::Running => "RUNNING",
            Self::PendingShutdown => "PENDING_SHUTDOWN",
            Self::NotRunning => "NOT_RUNNING",
            Self::PendingError => "PENDING_ERROR",
            Self::Error => "ERROR",
        })
    }
}

/// The states of a stream thread, shown with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// It joins the application's group.
    Starting,
    /// The group divides the tasks.
    Rebalancing,
    /// It restores the state of new tasks.
    Restoring,
    /// It processes.
    Running,
    /// It failed and begins again after a pause.
    Failed,
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "STARTING",
            Self::Rebalancing => "PARTITIONS_REVOKED",
            Self::Restoring => "PARTITIONS_ASSIGNED",
            Self::Running => "RUNNING",
            Self::Failed => "DEAD",
        })
    }
}

/// How threads are to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With a last commit.
    Committed,
    /// At once: what was not committed is aborted and will be processed again.
    Abandoned,
}

/// Is told when the application goes to another state: the new one and the old one.
pub(crate) type StateListener = dyn Fn(State, State) + Send + Sync;

/// What an application does beside its topology.
#[derive(Clone, Default)]
pub(crate) struct Components {
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) listener: Option<Arc<StateListener>>,
    pub(crate) uncaught: Option<Arc<UncaughtHandler>>,
    pub(crate) deserialization: Option<Arc<ErrorHandler>>,
    pub(crate) processing: Option<Arc<ErrorHandler>>,
    pub(crate) production: Option<Arc<ErrorHandler>>,
    pub(crate) crash: Option<Arc<CrashHook>>,
    pub(crate) standby_listener: Option<Arc<dyn StandbyUpdateListener>>,
}

/// What the threads of an application share.
pub(crate) struct Shared {
    pub(crate) config: StreamsConfig,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) handlers: Handlers,
    pub(crate) standby_listener: Option<Arc<dyn StandbyUpdateListener>>,
    /// Which of the instances of the application in this process this is.
    pub(crate) slot: u32,
    listener: Option<Arc<StateListener>>,
    uncaught: Option<Arc<UncaughtHandler>>,
    crash: Option<Arc<CrashHook>>,
    commit_requested: AtomicBool,
    paused: AtomicBool,
    /// What ends the polls of the threads, by their numbers.
    wakers: Mutex<BTreeMap<usize, Waker>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    state: State,
    threads: BTreeMap<usize, Thread>,
    stop: Option<Stop>,
    error: Option<Arc<StreamsError>>,
    /// The committed position of every input partition.
    positions: HashMap<TopicPartition, Offset>,
    /// Where inputs begin that nothing is committed for.
    starts: HashMap<TopicPartition, Offset>,
    /// Who runs what, as the group's leader said last.
    clients: Vec<ClientMetadata>,
}

struct Thread {
    state: ThreadState,
    /// Whether it is a member of the group.
    has_joined: bool,
    stop: Option<Stop>,
    active: BTreeSet<TaskId>,
    standby: BTreeSet<TaskId>,
}

/// What an instance of the application runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientMetadata {
    /// Its `application.server`, or nothing if it has none.
    pub host: String,
    /// The tasks that it runs.
    pub active: BTreeSet<TaskId>,
    /// The tasks that it keeps copies of the state of.
    pub standby: BTreeSet<TaskId>,
}

/// A stream thread of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadMetadata {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: ThreadState,
    /// The tasks that it runs.
    pub active: BTreeSet<TaskId>,
    /// The tasks that it keeps copies of the state of.
    pub standby: BTreeSet<TaskId>,
}

impl Shared {
    pub(crate) fn new(config: StreamsConfig, backend: Arc<dyn StateBackend>, components: Components) -> Self {
        Self::in_slot(config, backend, components, 0)
    }

    pub(crate) fn in_slot(
        config: StreamsConfig,
        backend: Arc<dyn StateBackend>,
        components: Components,
        slot: u32,
    ) -> Self {
        let Components {
            observer,
            listener,
            uncaught,
            deserialization,
            processing,
            production,
            crash,
            standby_listener,
        } = components;
        let handler = |given: Option<Arc<ErrorHandler>>, setting| match given {
            Some(given) => Handler::Asks(given),
            None => Handler::Always(setting),
        };
        let handlers = Handlers {
            deserialization: handler(deserialization, config.deserialization_handler),
            processing: handler(processing, config.processing_handler),
            production: handler(production, config.production_handler),
        };
        let progress = Progress {
            state: State::Created,
            threads: BTreeMap::new(),
            stop: None,
            error: None,
            positions: HashMap::new(),
            starts: HashMap::new(),
            clients: Vec::new(),
        };
        Self {
            config,
            backend,
            counters: Arc::default(),
            observer,
            handlers,
            standby_listener,
            slot,
            listener,
            uncaught,
            crash,
            commit_requested: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            wakers: Mutex::default(),
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    /// Fails if a test wants the application to die here.
    pub(crate) fn reach(&self, point: CrashPoint) -> Result<(), StreamsError> {
        match &self.crash {
            Some(crash) if crash(point) => Err(StreamsError::Crashed(point)),
            _ => Ok(()),
        }
    }

    pub(crate) fn commit_requested(&self) -> bool {
        self.commit_requested.load(Ordering::Relaxed)
    }

    pub(crate) fn request_commits(&self, requested: bool) {
        self.commit_requested.store(requested, Ordering::Relaxed);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn uncommitted_budget(&self) -> usize {
        self.config.uncommitted_max_bytes / self.thread_count()
    }

    pub(crate) fn cache_budget(&self) -> usize {
        self.config.cache_max_bytes.max(CACHE_FLOOR_BYTES) / self.thread_count()
    }

    fn thread_count(&self) -> usize {
        self.lock().threads.len().max(1)
    }

    // ---- positions ----

    pub(crate) fn publish(&self, positions: impl Iterator<Item = (TopicPartition, Offset)>) {
        self.lock().positions.extend(positions);
        self.changed.notify_all();
    }

    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().positions.get(partition).copied()
    }

    /// Settles where an input begins that nothing is committed for.
    pub(crate) fn begin_at(&self, partition: &TopicPartition, offset: Offset) {
        let mut progress = self.lock();
        progress.starts.insert(partition.clone(), offset);
        progress.positions.insert(partition.clone(), offset);
    }

    pub(crate) fn start_of(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().starts.get(partition).copied()
    }

    // ---- threads ----

    pub(crate) fn set_waker(&self, thread: usize, waker: Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(thread, waker);
    }

    /// Ends the polls of all threads.
    pub(crate) fn wake(&self) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(Waker::wake);
        self.changed.notify_all();
    }

    /// A thread is about to start.
    pub(crate) fn add_thread(&self, number: usize) {
        self.change(|progress| {
            let (active, standby) = (BTreeSet::new(), BTreeSet::new());
            let state = ThreadState::Starting;
            progress.threads.insert(number, Thread { state, has_joined: false, stop: None, active, standby });
        });
    }

    /// A thread has ended.
    pub(crate) fn remove_thread(&self, number: usize) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.change(|progress| {
            progress.threads.remove(&number);
        });
    }

    pub(crate) fn set_thread_state(&self, number: usize, state: ThreadState) {
        self.change(|progress| {
            if let Some(thread) = progress.threads.get_mut(&number) {
                thread.state = state;
            }
        });
    }

    /// A thread runs these tasks from now on.
    pub(crate) fn set_tasks(&self, number: usize, active: BTreeSet<TaskId>, standby: BTreeSet<TaskId>) {
        if let Some(thread) = self.lock().threads.get_mut(&number) {
            (thread.active, thread.standby) = (active, standby);
        }
    }

    /// A thread is a member of the group. Returns whether all threads are: before that, tasks would only be taken to be
    /// given up again.
    pub(crate) fn joined(&self, number: usize) -> bool {
        let mut progress = self.lock();
        let Some(thread) = progress.threads.get_mut(&number) else { return true };
        let is_new = !std::mem::replace(&mut thread.has_joined, true);
        let all =
            progress.threads.values().all(|thread| thread.has_joined || thread.state == ThreadState::Failed);
        drop(progress);
        if is_new && all {
            self.wake();
        }
        all
    }

    pub(crate) fn stop_thread(&self, number: usize) {
        if let Some(thread) = self.lock().threads.get_mut(&number) {
            thread.stop = Some(Stop::Committed);
        }
        self.wake();
    }

    /// Whether, and how, a thread is to stop.
    pub(crate) fn stop_of(&self, number: usize) -> Option<Stop> {
        let progress = self.lock();
        progress.stop.or_else(|| progress.threads.get(&number).and_then(|thread| thread.stop))
    }

    /// Waits, but not if the thread is to stop.
    pub(crate) fn pause(&self, number: usize, time: Duration) {
        let is_going_on = |progress: &mut Progress| {
            progress.stop.is_none()
                && progress.threads.get(&number).is_some_and(|thread| thread.stop.is_none())
        };
        let wait = self.changed.wait_timeout_while(self.lock(), time, is_going_on);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until something changes.
    pub(crate) fn wait(&self, time: Duration) {
        let waited = self.changed.wait_timeout(self.lock(), time);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn threads(&self) -> Vec<ThreadMetadata> {
        let application = &self.config.application_id;
        let threads = self.lock();
        let threads = threads.threads.iter().map(|(number, thread)| ThreadMetadata {
            name: thread_name(application, *number),
            state: thread.state,
            active: thread.active.clone(),
            standby: thread.standby.clone(),
        });
        threads.collect()
    }

    pub(crate) fn set_clients(&self, clients: Vec<ClientMetadata>) {
        self.lock().clients = clients;
    }

    pub(crate) fn clients(&self) -> Vec<ClientMetadata> {
        self.lock().clients.clone()
    }

    // ---- states ----

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    pub(crate) fn error(&self) -> Option<Arc<StreamsError>> {
        self.lock().error.clone()
    }

    pub(crate) fn started(&self) {
        self.change(|progress| progress.state = State::Restoring);
    }

    /// Threads are to stop.
    pub(crate) fn stop(&self, stop: Stop) {
        self.change(|progress| {
            progress.stop.get_or_insert(stop);
            if !matches!(progress.state, State::PendingError | State::Error) {
                progress.state = State::PendingShutdown;
            }
        });
        self.wake();
    }

    /// All threads have stopped.
    pub(crate) fn stopped(&self) {
        self.change(|progress| {
            progress.state = match progress.state {
                State::PendingError | State::Error => State::Error,
                _ => State::NotRunning,
            }
        });
    }

    /// What becomes of a thread that ended with this error.
    pub(crate) fn uncaught(&self, error: &StreamsError) -> UncaughtResponse {
        self.uncaught.as_ref().map_or_else(UncaughtResponse::default, |handler| handler(error))
    }

    /// Stops all threads because of an error.
    pub(crate) fn fail(&self, error: StreamsError) {
        tracing::error!(
            application = self.config.application_id,
            error = full_message(&error),
            "stream thread failed"
        );
        self.change(|progress| {
            progress.state = State::PendingError;
            progress.stop = Some(Stop::Abandoned);
            progress.error.get_or_insert_with(|| Arc::new(error));
        });
        self.wake();
    }

    /// Changes something, brings the state up to date, and tells the listener of every state on the way.
    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.lock();
        let before = progress.state;
        change(&mut progress);
        let asked = progress.state;
        progress.settle();
        let after = progress.state;
        drop(progress);
        self.changed.notify_all();
        if let Some(listener) = &self.listener {
            for (old, new) in [(before, asked), (asked, after)] {
                if old != new {
                    listener(new, old);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Only plain values are set under the lock, so they are whole even if a holder panicked.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn settle(&mut self) {
        let running = || self.threads.values().all(|thread| thread.state == ThreadState::Running);
        self.state = match self.state {
            State::Restoring | State::Running if running() => State::Running,
            State::Restoring | State::Running => State::Restoring,
            State::PendingError if self.threads.is_empty() => State::Error,
            state => state,
        }
    }
}

pub(crate) fn thread_name(application: &str, number: usize) -> String {
    format!("{application}-StreamThread-{}", number + 1)
}
