//! A running application: its threads, state, queries and progress.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_log::{AutoOffsetReset, Isolation, Log, Offset, OffsetSpec, Timestamp, TopicPartition};

use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::error::{StreamsError, full_message};
use crate::handler::{ErrorContext, ErrorResponse, UncaughtResponse};
use crate::processor::TaskId;
use crate::report::{ReportOrigin, RowReport};
use crate::runtime::global::{GlobalUpdater, Globals};
use crate::runtime::instances::Instance;
use crate::runtime::layout::{Layout, Setup};
use crate::runtime::metrics::{Counters, Metrics};
use crate::runtime::plan::{Input, Plan};
use crate::runtime::shared::{ClientMetadata, Components, Shared, State, Stop, ThreadMetadata, thread_name};
use crate::runtime::thread::Seat;
use crate::store::mixed::MixedBackend;
use crate::store::spec::StorePlace;
use crate::store::{
    MemoryBackend, RocksBackend, RocksMemory, StandbyUpdateListener, StateBackend, StateRestoreListener,
    StoreView,
};
use crate::topology::Topology;

/// The number of the thread that fills global stores: beyond all stream threads.
const GLOBAL_THREAD: usize = usize::MAX;

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

    /// Tells `listener` how restores of state go.
    #[must_use]
    pub fn restore_listener(mut self, listener: Arc<dyn StateRestoreListener>) -> Self {
        for store in &mut self.topology.stores {
            store.listener = Some(Arc::clone(&listener));
        }
        self
    }

    /// Tells `listener` how the copies of state go on that this instance keeps for others.
    #[must_use]
    pub fn standby_update_listener(mut self, listener: Arc<dyn StandbyUpdateListener>) -> Self {
        self.components.standby_listener = Some(listener);
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

    /// Is told when the application goes to another state: the new one and the old one, on the thread that makes it so.
    #[must_use]
    pub fn state_listener(mut self, listener: impl Fn(State, State) + Send + Sync + 'static) -> Self {
        self.components.listener = Some(Arc::new(listener));
        self
    }

    /// Checks the topics, creates the internal ones, and settles where inputs begin.
    pub fn open(self) -> Result<Streams, StreamsError> {
        let Self { topology, config, log, backend, components } = self;
        let setup = Setup::new(&topology, &config, &log)?;
        let topology = setup.topology.clone();
        let backend = match backend {
            Some(backend) => backend,
            None => open_backend(&config, &topology)?,
        };
        let instance = Instance::open(&log, &config.application_id);
        let shared = Arc::new(Shared::in_slot(config, backend, components, instance.slot));
        instance.introduce(&shared);
        let globals = Globals::open(&topology, &log, &shared.backend)?;
        let (threads, layout) = (BTreeMap::new(), Layout::new(setup, &log));
        let streams = Streams { topology, layout, globals, log, shared, instance, threads };
        streams.settle_starts()?;
        Ok(streams)
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

/// How an application is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseOptions {
    /// How long to wait for the threads at most; without it, until they have stopped. Threads that are not done then go
    /// on stopping by themselves.
    pub timeout: Option<Duration>,
}

/// An application on a log: a topology with its threads, or one instance of several that share its tasks. Dropping it
/// stops the threads without a commit; what they had not committed is processed again by the next one.
pub struct Streams {
    /// As it was opened; patterns may stand for more topics by now.
    topology: Topology,
    layout: Arc<Layout>,
    globals: Globals,
    log: Log,
    shared: Arc<Shared>,
    instance: Instance,
    threads: BTreeMap<usize, JoinHandle<()>>,
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
        if self.state() != State::Created {
            return Ok(());
        }
        let threads = self.shared.config.stream_threads.min(self.tasks().len()).max(1);
        (0..threads).for_each(|number| self.shared.add_thread(number));
        self.shared.started();
        self.start_globals()?;
        (0..threads).try_for_each(|number| self.spawn(number))
    }

    /// Starts one more thread, which gets its part of the tasks. Returns its name. Fails unless the application is
    /// running.
    pub fn add_stream_thread(&mut self) -> Result<String, StreamsError> {
        if !matches!(self.state(), State::Restoring | State::Running) {
            return Err(StreamsError::Failed(format!("a thread cannot be added in state {}", self.state())));
        }
        self.reap();
        let number = (0..).find(|number| !self.threads.contains_key(number)).unwrap_or_default();
        self.shared.add_thread(number);
        self.spawn(number)?;
        Ok(thread_name(&self.shared.config.application_id, number))
    }

    /// Stops the thread that was added last, with a commit; the others get its tasks. Returns its name, or none if there
    /// is no thread.
    pub fn remove_stream_thread(&mut self) -> Option<String> {
        self.reap();
        let number = self.threads.keys().copied().rfind(|number| *number != GLOBAL_THREAD)?;
        let thread = self.threads.remove(&number)?;
        self.shared.stop_thread(number);
        // A panic was caught inside and is the application's error already.
        drop(thread.join());
        Some(thread_name(&self.shared.config.application_id, number))
    }

    /// Lets the threads process nothing until [`Streams::resume`]; they keep their tasks.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Lets the threads go on.
    pub fn resume(&self) {
        self.shared.set_paused(false);
    }

    /// Whether the application is paused.
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// Commits what was processed and stops the threads. Fails with the error of the application, if it has
    /// one.
    pub fn close(self) -> Result<(), StreamsError> {
        self.close_with(CloseOptions::default()).map(drop)
    }

    /// As [`Streams::close`]. Returns whether all threads have stopped.
    pub fn close_with(mut self, options: CloseOptions) -> Result<bool, StreamsError> {
        let has_stopped = self.stop(Stop::Committed, options.timeout);
        match self.error() {
            None => Ok(has_stopped),
            Some(error) => Err(StreamsError::Failed(full_message(error.as_ref()))),
        }
    }

    /// The state of the application.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Why the application stopped, in [`State::Error`].
    pub fn error(&self) -> Option<Arc<StreamsError>> {
        self.shared.error()
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.snapshot()
    }

    /// The tasks, of all instances.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.layout.setup().plan.tasks.iter().map(|task| task.id).collect()
    }

    /// The threads of this instance, and what they run. As Kafka's `metadataForLocalThreads`.
    pub fn threads(&self) -> Vec<ThreadMetadata> {
        self.shared.threads()
    }

    /// The instances of the application, and what they run. As Kafka's `metadataForAllStreamsClients`.
    pub fn clients(&self) -> Vec<ClientMetadata> {
        self.shared.clients()
    }

    /// The topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The settings.
    pub fn config(&self) -> &StreamsConfig {
        &self.shared.config
    }

    /// The committed state of a store, as far as it is here: of the tasks that this instance runs.
    pub fn store(&self, name: &str) -> Result<StoreView, StreamsError> {
        let mut view = view(&self.topology, &self.layout.setup().plan, &self.shared, name)?;
        let elsewhere: BTreeSet<TaskId> = self.elsewhere();
        let of_store = self.topology.sub_topologies.iter().position(|sub_topology| {
            sub_topology.stores.iter().any(|store| self.topology.stores[store.0].name() == name)
        });
        view.partitions.retain(|partition| {
            elsewhere.iter().all(|task| {
                Some(task.sub_topology as usize) != of_store || task.partition.get() != *partition
            })
        });
        Ok(view)
    }

    /// The partitions of inputs and global tables, each with its committed position and with the end of what may be read
    /// now.
    pub fn positions(&self) -> Result<Vec<(TopicPartition, Offset, Offset)>, StreamsError> {
        let mut positions = Vec::new();
        let committed: BTreeMap<TopicPartition, Offset> = self.committed();
        let here = self.here();
        let setup = self.layout.setup();
        let inputs =
            setup.plan.tasks.iter().flat_map(|task| task.inputs.iter().map(move |input| (task.id, input)));
        for (task, Input { partition, .. }) in inputs {
            // Other instances commit too. What is committed here counts when its state can be queried, a little later.
            let known = self.shared.position(partition);
            let known =
                if here.contains(&task) { known } else { known.max(committed.get(partition).copied()) };
            let position = known.unwrap_or(Offset::new(0));
            positions.push((partition.clone(), position, self.end(partition)?));
        }
        for (partition, position) in self.globals.positions()? {
            let end = self.log.last_stable_offset(&partition)?;
            positions.push((partition, position, end));
        }
        Ok(positions)
    }

    /// Waits until all input is processed and committed and no thread is waiting for tasks: true if it came to that
    /// before `timeout`. Threads that have nothing left to process commit at once while someone waits. Fails if the
    /// application has failed.
    pub fn wait_caught_up(&self, timeout: Duration) -> Result<bool, StreamsError> {
        const LOOK: Duration = Duration::from_millis(20);
        let deadline = self.log.clock().monotonic() + timeout;
        self.shared.request_commits(true);
        let result = loop {
            if let Some(error) = self.error().filter(|_| self.state() != State::PendingError) {
                break Err(StreamsError::Failed(full_message(error.as_ref())));
            }
            let before = self.positions()?;
            // A commit can bring new rows to a repartition topic that was looked at already: look twice.
            if self.state() != State::Restoring && caught_up(&before) && before == self.positions()? {
                break Ok(true);
            }
            let left = deadline.saturating_sub(self.log.clock().monotonic());
            if left.is_zero() {
                break Ok(false);
            }
            self.shared.wake();
            self.shared.wait(left.min(LOOK));
        };
        self.shared.request_commits(false);
        result
    }

    fn isolation(&self) -> Isolation {
        match self.shared.config.processing_guarantee {
            ProcessingGuarantee::AtLeastOnce => Isolation::ReadUncommitted,
            ProcessingGuarantee::ExactlyOnceV2 => Isolation::ReadCommitted,
        }
    }

    /// The end of what may be read of a partition.
    fn end(&self, partition: &TopicPartition) -> Result<Offset, StreamsError> {
        Ok(match self.isolation() {
            Isolation::ReadCommitted => self.log.last_stable_offset(partition)?,
            Isolation::ReadUncommitted => self.log.offsets(partition, OffsetSpec::Latest)?,
        })
    }

    fn committed(&self) -> BTreeMap<TopicPartition, Offset> {
        let committed = self.log.committed_offsets(&self.shared.config.application_id).into_iter();
        committed.map(|(partition, committed)| (partition, committed.offset)).collect()
    }

    /// Settles now where inputs begin that nothing is committed for: `latest` means when the application was opened, and
    /// not when a thread got the task.
    fn settle_starts(&self) -> Result<(), StreamsError> {
        let committed = self.committed();
        for input in self.layout.setup().plan.tasks.iter().flat_map(|task| &task.inputs) {
            let start = match committed.get(&input.partition) {
                Some(offset) => *offset,
                None => self.start_of(input)?,
            };
            self.shared.begin_at(&input.partition, start);
        }
        Ok(())
    }

    fn start_of(&self, input: &Input) -> Result<Offset, StreamsError> {
        let partition = &input.partition;
        let spec = match input.reset {
            AutoOffsetReset::Earliest => OffsetSpec::Earliest,
            AutoOffsetReset::Latest => OffsetSpec::Latest,
            AutoOffsetReset::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                OffsetSpec::At(Timestamp::new(self.log.clock().now().get().saturating_sub(age)))
            }
            AutoOffsetReset::None => {
                return Err(StreamsError::Config {
                    setting: "auto.offset.reset".to_owned(),
                    value: "none".to_owned(),
                    expected: format!(
                        "{partition} has no committed offset, so it must be earliest or latest"
                    ),
                });
            }
        };
        let offset = self.log.offsets(partition, spec)?;
        Ok(match self.isolation() {
            Isolation::ReadUncommitted => offset,
            Isolation::ReadCommitted => offset.min(self.log.last_stable_offset(partition)?),
        })
    }

    /// Tasks that run in this instance.
    fn here(&self) -> BTreeSet<TaskId> {
        self.shared.threads().into_iter().flat_map(|thread| thread.active).collect()
    }

    /// Tasks that run in other instances.
    fn elsewhere(&self) -> BTreeSet<TaskId> {
        let here = self.here();
        let all = self.shared.clients().into_iter().flat_map(|client| client.active);
        all.filter(|task| !here.contains(task)).collect()
    }

    /// Fills the global stores, and starts the thread that keeps them up to date.
    fn start_globals(&mut self) -> Result<(), StreamsError> {
        let Some(mut updater) = GlobalUpdater::new(&self.globals, &self.log)? else { return Ok(()) };
        let records = updater.catch_up()?;
        Counters::add(&self.shared.counters.restored, records);
        self.shared.set_waker(GLOBAL_THREAD, updater.waker());
        let shared = Arc::clone(&self.shared);
        let follow = move || {
            while shared.stop_of(GLOBAL_THREAD).is_none() {
                if let Err(error) = updater.follow() {
                    return shared.fail(error);
                }
            }
        };
        let name = format!("{}-GlobalStreamThread", self.shared.config.application_id);
        let thread = std::thread::Builder::new().name(name).spawn(follow);
        let thread = thread.map_err(|error| StreamsError::Thread {
            thread: GLOBAL_THREAD,
            reason: format!("could not be started: {error}"),
        })?;
        self.threads.insert(GLOBAL_THREAD, thread);
        Ok(())
    }

    fn spawn(&mut self, number: usize) -> Result<(), StreamsError> {
        let seat = Seat::new(number, self.instance.number, &self.layout, &self.log, &self.shared);
        let worker = seat.worker().inspect_err(|_| self.shared.remove_thread(number))?;
        let thread = std::thread::Builder::new().name(seat.name()).spawn(move || Arc::new(seat).run(worker));
        let thread = thread.map_err(|error| {
            self.shared.remove_thread(number);
            StreamsError::Thread { thread: number, reason: format!("could not be started: {error}") }
        })?;
        self.threads.insert(number, thread);
        Ok(())
    }

    /// Forgets threads that have ended.
    fn reap(&mut self) {
        self.threads.retain(|_, thread| !thread.is_finished());
    }

    /// Returns whether all threads have stopped.
    fn stop(&mut self, stop: Stop, timeout: Option<Duration>) -> bool {
        let is_over = match self.state() {
            State::NotRunning | State::Error => true,
            State::Created => stop == Stop::Abandoned,
            _ => false,
        };
        if is_over && self.threads.is_empty() {
            return true;
        }
        self.shared.stop(stop);
        if let Some(timeout) = timeout {
            let deadline = self.log.clock().monotonic().saturating_add(timeout);
            while self.threads.values().any(|thread| !thread.is_finished()) {
                let left = deadline.saturating_sub(self.log.clock().monotonic());
                if left.is_zero() {
                    self.threads.clear();
                    return false;
                }
                self.shared.wait(left.min(Duration::from_millis(5)));
            }
        }
        for (_, thread) in std::mem::take(&mut self.threads) {
            // A panic was caught inside and is the application's error already.
            drop(thread.join());
        }
        self.shared.stopped();
        true
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop(Stop::Abandoned, None);
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
