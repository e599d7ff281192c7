//! A running application: its threads, state, queries and progress.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_log::{Isolation, Log, Offset, TopicPartition, Waker};

use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::error::{StreamsError, full_message};
use crate::handler::{
    ErrorContext, ErrorHandler, ErrorResponse, Handler, Handlers, UncaughtHandler, UncaughtResponse,
};
use crate::processor::TaskId;
use crate::report::{ReportObserver, ReportOrigin, RowReport};
use crate::runtime::global::{GlobalUpdater, Globals};
use crate::runtime::metrics::{Counters, Metrics};
use crate::runtime::plan::{Plan, TaskPlan};
use crate::runtime::worker::Worker;
use crate::store::mixed::MixedBackend;
use crate::store::spec::StorePlace;
use crate::store::{MemoryBackend, RocksBackend, RocksMemory, StateBackend, StoreView};
use crate::topology::Topology;

/// Decoded state that is kept after a commit even with caching off, because rereading it for every batch is
/// slow.
const CACHE_FLOOR_BYTES: usize = 4 << 20;

/// The number of the thread that fills global stores: beyond all stream threads.
const GLOBAL_THREAD: usize = usize::MAX;

/// The states of an application, shown with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Opened and not started.
    Created,
    /// Threads are reading changelogs.
    Restoring,
    /// Threads are processing.
    Running,
    /// Threads are to stop.
    PendingShutdown,
    /// Threads have stopped.
    NotRunning,
    /// A thread failed and all have stopped; [`Streams::error`] says why.
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
            Self::Error => "ERROR",
        })
    }
}

/// How threads are to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// With a last commit.
    Committed,
    /// At once: what was not committed is aborted and will be processed again.
    Abandoned,
}

/// What the threads of an application share.
pub(crate) struct Shared {
    pub(crate) config: StreamsConfig,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) handlers: Handlers,
    uncaught: Option<Arc<UncaughtHandler>>,
    commit_requested: AtomicBool,
    /// What ends the polls of the threads, by their numbers.
    wakers: Mutex<BTreeMap<usize, Waker>>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    state: State,
    restoring: usize,
    stop: Option<Stop>,
    error: Option<Arc<StreamsError>>,
    /// The committed position of every input partition.
    positions: HashMap<TopicPartition, Offset>,
}

impl Shared {
    pub(crate) fn new(config: StreamsConfig, backend: Arc<dyn StateBackend>, components: Components) -> Self {
        let Components { observer, uncaught, deserialization, processing, production } = components;
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
            restoring: 0,
            stop: None,
            error: None,
            positions: HashMap::new(),
        };
        Self {
            config,
            backend,
            counters: Arc::default(),
            observer,
            handlers,
            uncaught,
            commit_requested: AtomicBool::new(false),
            wakers: Mutex::default(),
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn commit_requested(&self) -> bool {
        self.commit_requested.load(Ordering::Relaxed)
    }

    pub(crate) fn uncommitted_budget(&self) -> usize {
        self.config.uncommitted_max_bytes / self.config.stream_threads
    }

    pub(crate) fn cache_budget(&self) -> usize {
        self.config.cache_max_bytes.max(CACHE_FLOOR_BYTES) / self.config.stream_threads
    }

    pub(crate) fn publish(&self, positions: impl Iterator<Item = (TopicPartition, Offset)>) {
        self.lock().positions.extend(positions);
        self.changed.notify_all();
    }

    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().positions.get(partition).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Only plain values are set under the lock, so they are whole even if a holder panicked.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_waker(&self, thread: usize, waker: Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(thread, waker);
    }

    /// Ends the polls of all threads.
    fn wake(&self) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(Waker::wake);
        self.changed.notify_all();
    }

    fn stop(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// What becomes of a thread that ended with this error.
    fn uncaught(&self, error: &StreamsError) -> UncaughtResponse {
        self.uncaught.as_ref().map_or_else(UncaughtResponse::default, |handler| handler(error))
    }

    /// Waits, but not if threads are to stop.
    fn pause(&self, time: Duration) {
        let wait = self.changed.wait_timeout_while(self.lock(), time, |progress| progress.stop.is_none());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    fn restored(&self) {
        let mut progress = self.lock();
        progress.restoring = progress.restoring.saturating_sub(1);
        if progress.restoring == 0 && progress.state == State::Restoring {
            progress.state = State::Running;
        }
        drop(progress);
        self.changed.notify_all();
    }

    fn fail(&self, error: StreamsError) {
        tracing::error!(
            application = self.config.application_id,
            error = full_message(&error),
            "stream thread failed"
        );
        let mut progress = self.lock();
        progress.state = State::Error;
        progress.stop = Some(Stop::Abandoned);
        progress.error.get_or_insert_with(|| Arc::new(error));
        drop(progress);
        self.changed.notify_all();
    }
}

/// What an application does beside its topology.
#[derive(Clone, Default)]
pub(crate) struct Components {
    pub(crate) observer: Option<Arc<ReportObserver>>,
    pub(crate) uncaught: Option<Arc<UncaughtHandler>>,
    pub(crate) deserialization: Option<Arc<ErrorHandler>>,
    pub(crate) processing: Option<Arc<ErrorHandler>>,
    pub(crate) production: Option<Arc<ErrorHandler>>,
}

/// Opens an application with chosen components.
pub struct StreamsOpener {
    topology: Topology,
    config: StreamsConfig,
    log: Log,
    backend: Option<Arc<dyn StateBackend>>,
    components: Components,
}

impl StreamsOpener {
    /// Keeps committed state here and not in RocksDB below `state.dir`.
    #[must_use]
    pub fn backend(mut self, backend: Arc<dyn StateBackend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Shows every skipped, late or failed row to `observer`, on the thread of its task.
    #[must_use]
    pub fn observer(
        mut self,
        observer: impl Fn(&ReportOrigin<'_>, &RowReport<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.components.observer = Some(Arc::new(observer));
        self
    }

    /// Decides about records that do not decode, in place of `deserialization.exception.handler`.
    #[must_use]
    pub fn deserialization_handler(
        mut self,
        handler: impl Fn(&ErrorContext<'_>) -> ErrorResponse + Send + Sync + 'static,
    ) -> Self {
        self.components.deserialization = Some(Arc::new(handler));
        self
    }

    /// Decides about rows that a processor fails on, in place of `processing.exception.handler`.
    #[must_use]
    pub fn processing_handler(
        mut self,
        handler: impl Fn(&ErrorContext<'_>) -> ErrorResponse + Send + Sync + 'static,
    ) -> Self {
        self.components.processing = Some(Arc::new(handler));
        self
    }

    /// Decides about rows that do not encode and records that the log does not take, in place of
    /// `production.exception.handler`.
    #[must_use]
    pub fn production_handler(
        mut self,
        handler: impl Fn(&ErrorContext<'_>) -> ErrorResponse + Send + Sync + 'static,
    ) -> Self {
        self.components.production = Some(Arc::new(handler));
        self
    }

    /// Decides what happens when a stream thread ends with an error. Without it the application ends.
    #[must_use]
    pub fn uncaught_exception_handler(
        mut self,
        handler: impl Fn(&StreamsError) -> UncaughtResponse + Send + Sync + 'static,
    ) -> Self {
        self.components.uncaught = Some(Arc::new(handler));
        self
    }

    /// Checks the topics, creates the internal ones and makes the tasks.
    pub fn open(self) -> Result<Streams, StreamsError> {
        let Self { topology, config, log, backend, components } = self;
        let plan = Plan::new(&topology, &config, &log)?;
        let backend = match backend {
            Some(backend) => backend,
            None => open_backend(&config, &topology)?,
        };
        let shared = Arc::new(Shared::new(config, backend, components));
        let threads = shared.config.stream_threads.min(plan.tasks.len()).max(1);
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads {
            let tasks: Vec<_> = plan.tasks.iter().skip(number).step_by(threads).cloned().collect();
            let worker = Worker::new(number, &tasks, &topology, &log, &shared)?;
            let (topology, log, shared) = (topology.clone(), log.clone(), Arc::clone(&shared));
            workers.push((Seat { number, tasks, topology, log, shared }, worker));
        }
        let globals = Globals::open(&topology, &log, &shared.backend)?;
        Ok(Streams { topology, plan, globals, log, shared, workers, threads: Vec::new() })
    }
}

fn open_backend(config: &StreamsConfig, topology: &Topology) -> Result<Arc<dyn StateBackend>, StreamsError> {
    if topology.stores.iter().all(|store| store.in_memory) {
        return Ok(Arc::new(MemoryBackend::default()));
    }
    let disk = Arc::new(open_rocks(config, topology)?);
    Ok(match topology.stores.iter().any(|store| store.in_memory) {
        true => Arc::new(MixedBackend::new(disk)),
        false => disk,
    })
}

fn open_rocks(config: &StreamsConfig, topology: &Topology) -> Result<RocksBackend, StreamsError> {
    let dir = config.state_dir.join(&config.application_id).join("rocksdb");
    let memory = RocksMemory::of_process(config.rocksdb_memory);
    match topology.stores.iter().all(|store| store.changelog || store.in_memory) {
        true => RocksBackend::open_or_replace(dir, &memory),
        false => RocksBackend::open_within(dir, &memory),
    }
}

/// An application on a log: a topology with its threads. Dropping it stops the threads without a commit; what
/// they had not committed is processed again by the next one.
pub struct Streams {
    topology: Topology,
    plan: Plan,
    globals: Globals,
    log: Log,
    shared: Arc<Shared>,
    /// Until they are started.
    workers: Vec<(Seat, Worker)>,
    threads: Vec<JoinHandle<()>>,
}

impl Streams {
    /// Opens an application with RocksDB state below `state.dir`. See [`Streams::builder`] for other
    /// components.
    pub fn open(topology: Topology, config: StreamsConfig, log: Log) -> Result<Self, StreamsError> {
        Self::builder(topology, config, log).open()
    }

    /// Starts to open an application.
    pub fn builder(topology: Topology, config: StreamsConfig, log: Log) -> StreamsOpener {
        StreamsOpener { topology, config, log, backend: None, components: Components::default() }
    }

    /// Starts the threads. Does nothing if they were started before.
    pub fn start(&mut self) -> Result<(), StreamsError> {
        if self.workers.is_empty() {
            return Ok(());
        }
        {
            let mut progress = self.shared.lock();
            progress.state = State::Restoring;
            progress.restoring = self.workers.len();
        }
        self.start_globals()?;
        for (seat, worker) in std::mem::take(&mut self.workers) {
            let number = seat.number;
            let name = format!("{}-StreamThread-{}", self.shared.config.application_id, number + 1);
            let thread = std::thread::Builder::new().name(name).spawn(move || seat.run(worker));
            self.threads.push(thread.map_err(|error| StreamsError::Thread {
                thread: number,
                reason: format!("could not be started: {error}"),
            })?);
        }
        Ok(())
    }

    /// Fills the global stores, and starts the thread that keeps them up to date.
    fn start_globals(&mut self) -> Result<(), StreamsError> {
        let Some(mut updater) = GlobalUpdater::new(&self.globals, &self.log)? else { return Ok(()) };
        let records = updater.catch_up()?;
        Counters::add(&self.shared.counters.restored, records);
        self.shared.set_waker(GLOBAL_THREAD, updater.waker());
        let shared = Arc::clone(&self.shared);
        let follow = move || {
            while shared.stop().is_none() {
                if let Err(error) = updater.follow() {
                    return shared.fail(error);
                }
            }
        };
        let name = format!("{}-GlobalStreamThread", self.shared.config.application_id);
        let thread = std::thread::Builder::new().name(name).spawn(follow);
        self.threads.push(thread.map_err(|error| StreamsError::Thread {
            thread: GLOBAL_THREAD,
            reason: format!("could not be started: {error}"),
        })?);
        Ok(())
    }

    /// Commits what was processed and stops the threads. Fails with the error of the application, if it has
    /// one.
    pub fn close(mut self) -> Result<(), StreamsError> {
        self.stop(Stop::Committed);
        match self.error() {
            None => Ok(()),
            Some(error) => Err(StreamsError::Failed(full_message(error.as_ref()))),
        }
    }

    /// The state of the application.
    pub fn state(&self) -> State {
        self.shared.lock().state
    }

    /// Why the application stopped, in [`State::Error`].
    pub fn error(&self) -> Option<Arc<StreamsError>> {
        self.shared.lock().error.clone()
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.snapshot()
    }

    /// The tasks.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.plan.tasks.iter().map(|task| task.id).collect()
    }

    /// The topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The settings.
    pub fn config(&self) -> &StreamsConfig {
        &self.shared.config
    }

    /// The committed state of a store.
    pub fn store(&self, name: &str) -> Result<StoreView, StreamsError> {
        view(&self.topology, &self.plan, &self.shared, name)
    }

    /// The partitions of inputs and global tables, each with its committed position and with the end of what may be read now.
    pub fn positions(&self) -> Result<Vec<(TopicPartition, Offset, Offset)>, StreamsError> {
        let mut positions = Vec::new();
        let position = |partition| self.shared.position(partition).unwrap_or(Offset::new(0));
        let inputs = self.plan.inputs().map(|partition| (partition.clone(), position(partition)));
        for (partition, committed) in inputs.chain(self.globals.positions()?) {
            let read = self.log.read(&partition, committed, 0, self.isolation())?;
            let end = match self.isolation() {
                Isolation::ReadCommitted => read.last_stable_offset,
                Isolation::ReadUncommitted => read.high_watermark,
            };
            positions.push((partition, committed, end));
        }
        Ok(positions)
    }

    /// Waits until all input is processed and committed: true if it came to that before `timeout`. Threads
    /// that have nothing left to process commit at once while someone waits. Fails if the application has
    /// failed.
    pub fn wait_caught_up(&self, timeout: Duration) -> Result<bool, StreamsError> {
        const LOOK: Duration = Duration::from_millis(20);
        let deadline = self.log.clock().monotonic() + timeout;
        self.shared.commit_requested.store(true, Ordering::Relaxed);
        let result = loop {
            if let Some(error) = self.error() {
                break Err(StreamsError::Failed(full_message(error.as_ref())));
            }
            let before = self.positions()?;
            // A commit can bring new rows to a repartition topic that was looked at already: look twice.
            if caught_up(&before) && before == self.positions()? {
                break Ok(true);
            }
            let left = deadline.saturating_sub(self.log.clock().monotonic());
            if left.is_zero() {
                break Ok(false);
            }
            self.shared.wake();
            let progress = self.shared.lock();
            let waited = self.shared.changed.wait_timeout(progress, left.min(LOOK));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        };
        self.shared.commit_requested.store(false, Ordering::Relaxed);
        result
    }

    fn isolation(&self) -> Isolation {
        match self.shared.config.processing_guarantee {
            ProcessingGuarantee::AtLeastOnce => Isolation::ReadUncommitted,
            ProcessingGuarantee::ExactlyOnceV2 => Isolation::ReadCommitted,
        }
    }

    fn stop(&mut self, stop: Stop) {
        {
            let mut progress = self.shared.lock();
            progress.stop.get_or_insert(stop);
            if progress.state != State::Error {
                progress.state = State::PendingShutdown;
            }
        }
        self.shared.wake();
        for thread in self.threads.drain(..) {
            // A panic was caught inside and is the application's error already.
            drop(thread.join());
        }
        self.workers.clear();
        let mut progress = self.shared.lock();
        if progress.state != State::Error {
            progress.state = State::NotRunning;
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop(Stop::Abandoned);
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("application", &self.shared.config.application_id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

fn caught_up(positions: &[(TopicPartition, Offset, Offset)]) -> bool {
    positions.iter().all(|(_, committed, end)| committed >= end)
}

pub(crate) fn view(
    topology: &Topology,
    plan: &Plan,
    shared: &Shared,
    name: &str,
) -> Result<StoreView, StreamsError> {
    let Some(number) = topology.stores.iter().position(|store| store.name() == name) else {
        let known: Vec<&str> = topology.stores().collect();
        let known = if known.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        return Err(StreamsError::UnknownStore { name: name.to_owned(), known });
    };
    let place = StorePlace::open(&topology.stores[number], &shared.backend, 0)?;
    Ok(StoreView { place, partitions: (0..plan.store_partitions[number]).collect() })
}

/// What a stream thread needs to make its worker again.
struct Seat {
    number: usize,
    tasks: Vec<TaskPlan>,
    topology: Topology,
    log: Log,
    shared: Arc<Shared>,
}

impl Seat {
    /// Works until the application stops, with one worker after the other if the policy is to go on after errors.
    fn run(&self, mut worker: Worker) {
        let config = &self.shared.config;
        let (mut pause, mut failing_since) = (config.retry_backoff, None);
        loop {
            let commits = worker.commits();
            let Err(error) = self.work(&mut worker) else { return };
            let now = self.log.clock().monotonic();
            if worker.commits() > commits {
                (pause, failing_since) = (config.retry_backoff, None);
            }
            drop(worker);
            let since = *failing_since.get_or_insert(now);
            let retries = error.is_retriable() && now.saturating_sub(since) < config.task_timeout;
            if !retries && self.shared.uncaught(&error) != UncaughtResponse::ReplaceThread {
                return self.shared.fail(error);
            }
            tracing::error!(
                application = config.application_id,
                thread = self.number,
                error = full_message(&error),
                "stream thread failed; it begins again at the last commit in {pause:?}"
            );
            Counters::add(&self.shared.counters.failed_threads, 1);
            worker = loop {
                self.shared.pause(pause);
                if self.shared.stop().is_some() {
                    return;
                }
                pause = (pause * 2).min(config.retry_backoff_max);
                match Worker::new(self.number, &self.tasks, &self.topology, &self.log, &self.shared) {
                    Ok(worker) => break worker,
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(
                            error = full_message(&error),
                            "a stream thread cannot begin again yet"
                        );
                    }
                    Err(error) => return self.shared.fail(error),
                }
            };
        }
    }

    fn work(&self, worker: &mut Worker) -> Result<(), StreamsError> {
        let result = catch_unwind(AssertUnwindSafe(|| work(worker, &self.shared)));
        let error = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
                let reason = format!("panicked: {}", message.unwrap_or_else(|| "no message".to_owned()));
                StreamsError::Thread { thread: self.number, reason }
            }
        };
        if let Err(error) = worker.abort() {
            tracing::warn!(
                error = full_message(&error),
                "the open transaction was not aborted; its timeout will end it"
            );
        }
        Err(error)
    }
}

fn work(worker: &mut Worker, shared: &Shared) -> Result<(), StreamsError> {
    worker.restore()?;
    shared.restored();
    loop {
        match shared.stop() {
            None => {}
            Some(Stop::Committed) => return if worker.has_moved() { worker.commit() } else { Ok(()) },
            Some(Stop::Abandoned) => return worker.abort(),
        }
        if !worker.round()? {
            worker.wait()?;
        }
    }
}
