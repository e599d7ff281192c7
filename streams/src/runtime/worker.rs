//! What one stream thread does: poll, process, commit. No thread is started here, so tests step it by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millstream_log::{
    Consumer, ConsumerConfig, GroupMetadata, Isolation, Log, LogError, Offset, OffsetCommit, OffsetSpec,
    PartitionId, ProducerConfig, TopicPartition,
};

use crate::config::{ProcessingGuarantee, StreamsConfig};
use crate::crash::CrashPoint;
use crate::error::StreamsError;
use crate::runtime::global::Globals;
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::{OffsetsLeft, Outbox};
use crate::runtime::plan::TaskPlan;
use crate::runtime::punctuation::PunctuationType;
use crate::runtime::queue::PartitionQueue;
use crate::runtime::shared::Shared;
use crate::runtime::task::{Patience, Step, Task};
use crate::runtime::tasks::Standby;
use crate::store::backend::WriteBatch;
use crate::store::cache::StoreSize;
use crate::store::changelog::{Changelog, Progress};
use crate::topology::Topology;

/// Bytes of a batch of output, unless `producer.batch.size` says otherwise.
const OUTPUT_BATCH_BYTES: usize = 128 << 10;

/// After this long the log aborts a transaction, unless `producer.transaction.timeout.ms` says otherwise; as in Kafka
/// Streams.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that logs allow by default.
const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

/// The tasks of one thread with their consumer and producer.
pub(crate) struct Worker {
    pub(crate) topology: Topology,
    pub(crate) globals: Arc<Globals>,
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
    /// In whose name it commits.
    pub(crate) group: GroupMetadata,
    /// Not while the group divides its work.
    pub(crate) may_commit: bool,
    pub(crate) consumer: Consumer,
    pub(crate) outbox: Outbox,
    pub(crate) isolation: Isolation,
    pub(crate) tasks: Vec<Task>,
    pub(crate) standbys: Vec<Standby>,
    /// Where the rows of an input partition go: task and queue.
    pub(crate) routes: HashMap<TopicPartition, (usize, usize)>,
    pub(crate) paused: Vec<TopicPartition>,
    batch: WriteBatch,
    scratch: Vec<u8>,
    committed_at: Duration,
    /// When what was repartitioned was deleted last.
    purged_at: Duration,
    commits: u64,
    dirty: bool,
}

/// State that goes to the backend once the log has committed.
#[must_use]
pub(crate) struct Prepared {
    offsets: Vec<OffsetCommit>,
}

impl Worker {
    /// Makes a worker and its first tasks. With exactly once, an older worker of the same number is fenced from here on.
    pub(crate) fn new(
        number: usize,
        tasks: &[TaskPlan],
        topology: &Topology,
        log: &Log,
        shared: &Arc<Shared>,
    ) -> Result<Self, StreamsError> {
        let config = &shared.config;
        let (producer, isolation) = producer_config(config, shared.slot, number)?;
        let outbox = Outbox::new(log.producer(producer)?, config.processing_guarantee);
        let consumer = log.consumer(consumer_config(config, isolation)?)?;
        let committed_at = log.clock().monotonic();
        shared.set_waker(number, consumer.waker());
        let mut worker = Self {
            topology: topology.clone(),
            globals: Arc::new(Globals::open(topology, log, &shared.backend)?),
            log: log.clone(),
            shared: Arc::clone(shared),
            group: GroupMetadata::new(&config.application_id),
            may_commit: true,
            consumer,
            outbox,
            isolation,
            tasks: Vec::new(),
            standbys: Vec::new(),
            routes: HashMap::new(),
            paused: Vec::new(),
            batch: WriteBatch::default(),
            scratch: Vec::new(),
            committed_at,
            purged_at: committed_at,
            commits: 0,
            dirty: false,
        };
        worker.assign(tasks)?;
        Ok(worker)
    }

    /// How often it has committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// One round: fetch, process what can be, do what is due, commit if it is time. Returns whether there was anything
    /// to do.
    pub(crate) fn round(&mut self) -> Result<bool, StreamsError> {
        let fetched = self.poll(Duration::ZERO)?;
        let start = self.log.clock().monotonic();
        let processed = self.process()? > 0;
        let middle = self.log.clock().monotonic();
        if processed {
            Counters::spend(&self.shared.counters.process_nanos, start, middle);
        }
        if self.punctuate()? {
            let end = self.log.clock().monotonic();
            Counters::spend(&self.shared.counters.punctuate_nanos, middle, end);
        }
        if !fetched && !processed {
            self.advance_idle()?;
        }
        let requested = self.shared.commit_requested() && !fetched && !processed;
        if self.may_commit && (self.commit_due() || requested && self.has_moved()) {
            self.commit()?;
        }
        Ok(fetched || processed)
    }

    /// Does what is due by the wall clock. Returns whether there was anything.
    pub(crate) fn punctuate(&mut self) -> Result<bool, StreamsError> {
        let mut called = false;
        for task in &mut self.tasks {
            let Some(due) = task.graph.due(PunctuationType::WallClockTime) else { continue };
            let now = self.log.clock().now().get();
            if due <= now {
                called |= task.graph.punctuate(&mut self.outbox, PunctuationType::WallClockTime, now)?;
                self.shared.reach(CrashPoint::Punctuated)?;
            }
        }
        self.dirty |= called;
        Ok(called)
    }

    /// Lets the stream time of tasks without input go on, if the application wants that.
    fn advance_idle(&mut self) -> Result<(), StreamsError> {
        let Some(idle) = self.shared.config.window_close_idle else { return Ok(()) };
        let now = self.log.clock().monotonic();
        let before = (self.outbox.records(), self.size().dirty);
        let (log, consumer) = (&self.log, &self.consumer);
        for task in &mut self.tasks {
            task.advance_idle(&mut self.outbox, now, idle, |queue| {
                let position = consumer.position(&queue.partition);
                Ok(position.is_some_and(|it| {
                    log.offsets(&queue.partition, OffsetSpec::Latest).is_ok_and(|end| it >= end)
                }))
            })?;
        }
        self.dirty |= before != (self.outbox.records(), self.size().dirty);
        Ok(())
    }

    /// Blocks until something can be fetched, something is due or another thread wakes this one.
    pub(crate) fn wait(&mut self) -> Result<(), StreamsError> {
        let timeout = self.due_in();
        self.poll(timeout)?;
        Ok(())
    }

    /// How long there is nothing to do unless something comes.
    fn due_in(&self) -> Duration {
        let config = &self.shared.config;
        let (now, wall) = (self.log.clock().monotonic(), self.log.clock().now().get());
        let mut timeout = config.poll;
        let mut until = |due: Duration| timeout = timeout.min(due.saturating_sub(now));
        if self.has_moved() && self.may_commit {
            until(self.committed_at + config.commit_interval);
        }
        for task in &self.tasks {
            if let Some(due) = task.graph.due(PunctuationType::WallClockTime) {
                let left = u64::try_from(due.saturating_sub(wall)).unwrap_or(0);
                until(now.saturating_add(Duration::from_millis(left)));
            }
            if let Some(due) = task.goes_on_at(config.max_task_idle) {
                until(due);
            }
            // What is over already goes on with every look around.
            let idle_at = config.window_close_idle.and_then(|idle| task.idle_at(idle));
            if let Some(due) = idle_at.filter(|due| *due > now) {
                until(due);
            }
        }
        timeout
    }

    /// Fetches and decodes, and pauses partitions whose queues are full.
    pub(crate) fn poll(&mut self, timeout: Duration) -> Result<bool, StreamsError> {
        self.resume();
        let runs = self.consumer.poll(timeout)?;
        for run in &runs {
            let Some(&(task, queue)) = self.routes.get(&run.partition) else { continue };
            self.tasks[task].add(&mut self.outbox, queue, run)?;
            if self.tasks[task].queues[queue].rows() > self.shared.config.buffered_records {
                self.consumer.pause(std::slice::from_ref(&run.partition));
                self.paused.push(run.partition.clone());
            }
        }
        Ok(!runs.is_empty())
    }

    /// Takes every task as far as it can go now, or until a commit is due. Returns the rows processed.
    pub(crate) fn process(&mut self) -> Result<usize, StreamsError> {
        let mut total = 0;
        let (log, isolation, consumer) = (&self.log, self.isolation, &self.consumer);
        let mut behind = |queue: &PartitionQueue| {
            let Some(position) = consumer.position(&queue.partition) else { return Ok(false) };
            let next = log.read(&queue.partition, position, 0, isolation)?;
            Ok(!next.batches.is_empty())
        };
        for index in 0..self.tasks.len() {
            let patience = Patience { clock: &**log.clock(), max_idle: self.shared.config.max_task_idle };
            if self.tasks[index].rows() == 0 {
                self.tasks[index].look(patience, &mut behind)?;
                continue;
            }
            loop {
                match self.tasks[index].step(&mut self.outbox, patience, &mut behind)? {
                    Step::Processed(rows) => total += rows,
                    Step::Idle => break,
                }
                self.shared.reach(CrashPoint::Processed)?;
                let waited = log.clock().monotonic().saturating_sub(self.committed_at);
                if self.tasks[index].graph.commit_requested
                    || waited >= self.shared.config.commit_interval
                    || self.size().dirty > self.shared.uncommitted_budget()
                {
                    break;
                }
            }
        }
        self.dirty |= total > 0;
        Ok(total)
    }

    /// Whether the interval has passed or the uncommitted state is too big.
    pub(crate) fn commit_due(&self) -> bool {
        let waited = self.log.clock().monotonic().saturating_sub(self.committed_at);
        let requested = self.tasks.iter().any(|task| task.graph.commit_requested);
        if requested || waited >= self.shared.config.commit_interval {
            return self.has_moved();
        }
        self.dirty && self.size().dirty > self.shared.uncommitted_budget()
    }

    /// Makes everything that was processed visible and durable, state last.
    pub(crate) fn commit(&mut self) -> Result<(), StreamsError> {
        let start = self.log.clock().monotonic();
        if planted!("purge_uncommitted") {
            self.purge();
        }
        let prepared = self.prepare()?;
        if planted!("store_apply_before_commit") {
            self.apply()?;
        }
        self.commit_log(&prepared)?;
        self.apply()?;
        self.committed_at = self.log.clock().monotonic();
        let counters = &self.shared.counters;
        let nanos = Counters::spend(&counters.commit_nanos, start, self.committed_at);
        counters.commit_nanos_max.fetch_max(nanos, Ordering::Relaxed);
        if self.committed_at.saturating_sub(self.purged_at) >= self.shared.config.repartition_purge_interval {
            self.purged_at = self.committed_at;
            self.purge();
        }
        Ok(())
    }

    /// Deletes what was read from repartition topics and is committed. What cannot be deleted now is next time.
    fn purge(&mut self) {
        for task in &self.tasks {
            for queue in task.repartitioned.iter().map(|queue| &task.queues[*queue]) {
                let partition = &queue.partition;
                let done = match planted!("purge_uncommitted") {
                    true => queue.processed(),
                    false => queue.committed(),
                };
                if let Err(error) = self.log.delete_records(partition, Some(done)) {
                    tracing::warn!(%partition, %error, "could not delete what was repartitioned");
                }
            }
        }
    }

    /// First step: what operators and stores hold back goes to the outbox.
    pub(crate) fn prepare(&mut self) -> Result<Prepared, StreamsError> {
        for task in &mut self.tasks {
            task.graph.flush(&mut self.outbox)?;
        }
        self.batch.clear();
        for task in &mut self.tasks {
            for store in &task.stores {
                let target = task.graph.stores[store.store].as_mut().expect(STORE_OF_TASK);
                let mut changelog = Changelog {
                    outbox: &mut self.outbox,
                    topic: store.output,
                    partition: PartitionId::new(store.place.partition),
                    kind: store.place.kind,
                    key: &mut self.scratch,
                };
                target.commit(&mut changelog, &mut self.batch)?;
            }
        }
        let mut offsets = Vec::new();
        for task in &mut self.tasks {
            offsets.extend(task.offsets().map(|(queue, offset)| OffsetCommit {
                metadata: task.progress(queue).encode(),
                ..OffsetCommit::new(task.queues[queue].partition.clone(), offset)
            }));
            task.graph.keeps_new_times = false;
            task.graph.commit_requested = false;
        }
        // What came by the clock alone goes with an offset too, as the group refuses those of a thread whose tasks it has
        // given to others.
        if offsets.is_empty() && self.outbox.is_in_transaction() && !planted!("punctuations_not_fenced") {
            let queues = self.tasks.iter().flat_map(|task| (0..task.queues.len()).map(move |at| (task, at)));
            offsets.extend(queues.take(1).map(|(task, queue)| OffsetCommit {
                metadata: task.progress(queue).encode(),
                ..OffsetCommit::new(task.queues[queue].partition.clone(), task.queues[queue].processed())
            }));
        }
        self.shared.reach(CrashPoint::Prepared)?;
        Ok(Prepared { offsets })
    }

    /// Second step: outputs, changelogs and input offsets become part of the log, all or nothing if exactly
    /// once.
    pub(crate) fn commit_log(&mut self, prepared: &Prepared) -> Result<(), StreamsError> {
        if let Err(crash) = self.shared.reach(CrashPoint::BeforeOffsets) {
            self.outbox.flush()?;
            return Err(crash);
        }
        let left = self.outbox.hand_over(&self.group, &prepared.offsets)?;
        self.shared.reach(CrashPoint::BeforeCommit)?;
        self.outbox.commit()?;
        match left {
            OffsetsLeft::None => {}
            OffsetsLeft::ToTheGroup if prepared.offsets.is_empty() => {}
            OffsetsLeft::ToTheGroup => self.log.commit_offsets_of(&self.group, &prepared.offsets)?,
        }
        Counters::add(&self.shared.counters.records_out, self.outbox.take_records());
        Counters::add(&self.shared.counters.commits, 1);
        self.commits += 1;
        self.shared.reach(CrashPoint::BeforeApply)
    }

    /// Third step: state goes to the backend in one write, with the changelog offsets it stands for. A crash
    /// before it leaves the backend behind the changelogs, and the next restore reads the difference.
    pub(crate) fn apply(&mut self) -> Result<(), StreamsError> {
        if !self.batch.is_empty() {
            for task in &mut self.tasks {
                for store in &task.stores {
                    let target = task.graph.stores[store.store].as_ref().expect(STORE_OF_TASK);
                    let offset = match (&store.changelog, store.input) {
                        // What was processed has just been committed.
                        (_, Some(queue)) => task.queues[queue].processed(),
                        // Nobody else writes to this partition, so its end is behind what was committed.
                        (Some(partition), None) => self.log.offsets(partition, OffsetSpec::Latest)?,
                        (None, None) => Offset::new(0),
                    };
                    let progress = Progress { offset, stream_time: target.stream_time() };
                    progress.write(&mut self.batch, &store.place);
                }
            }
            // Unless the group gave its tasks to another meanwhile, whose changes would then be taken for applied.
            if self.group.generation >= 0 && !self.log.is_group_member(&self.group)? {
                let (group, member) = (self.group.group_id.clone(), self.group.member_id.clone());
                return Err(LogError::UnknownMemberId { group, member }.into());
            }
            self.shared.backend.apply(&self.batch)?;
            self.batch.clear();
        }
        self.shared.reach(CrashPoint::Applied)?;
        let budget = self.shared.cache_budget();
        let stores = self.tasks.iter().map(|task| task.stores.len()).sum::<usize>().max(1);
        for task in &mut self.tasks {
            for store in &task.stores {
                let target = task.graph.stores[store.store].as_mut().expect(STORE_OF_TASK);
                target.committed(budget / stores);
            }
        }
        self.dirty = false;
        self.tasks.iter_mut().flat_map(|task| &mut task.queues).for_each(PartitionQueue::settle);
        self.publish_positions();
        Ok(())
    }

    /// Fetches what there is room for and commits what was processed, but processes nothing.
    pub(crate) fn rest(&mut self) -> Result<(), StreamsError> {
        if self.may_commit && self.commit_due() {
            self.commit()?;
        }
        self.poll(self.shared.config.poll).map(drop)
    }

    /// Lets go of all tasks and of what they have not committed.
    pub(crate) fn abandon(&mut self) -> Result<(), StreamsError> {
        self.outbox.abort()?;
        self.batch.clear();
        self.dirty = false;
        self.revoke(&self.owned())
    }

    /// Gives up what was not committed.
    pub(crate) fn abort(&mut self) -> Result<(), StreamsError> {
        self.outbox.abort()
    }

    /// Hands output to the log without committing, so that repartitioned rows go on at least once.
    pub(crate) fn flush_outputs(&mut self) -> Result<(), StreamsError> {
        self.outbox.flush()
    }

    /// Whether rows were processed or offsets moved since the last commit.
    pub(crate) fn has_moved(&self) -> bool {
        self.dirty || self.tasks.iter().flat_map(|task| &task.queues).any(|queue| queue.moved().is_some())
    }

    fn resume(&mut self) {
        let limit = self.shared.config.buffered_records;
        let (tasks, routes) = (&self.tasks, &self.routes);
        let free = |partition: &mut TopicPartition| {
            let (task, queue) = routes[partition];
            tasks[task].queues[queue].rows() <= limit
        };
        let free: Vec<TopicPartition> = self.paused.extract_if(.., free).collect();
        if !free.is_empty() {
            self.consumer.resume(&free);
        }
    }

    pub(crate) fn publish_positions(&self) {
        let queues = self.tasks.iter().flat_map(|task| &task.queues);
        self.shared.publish(queues.map(|queue| (queue.partition.clone(), queue.committed())));
    }

    fn size(&self) -> StoreSize {
        let stores = self.tasks.iter().flat_map(|task| task.graph.stores.iter().flatten());
        stores.fold(StoreSize::default(), |sum, store| {
            let size = store.size();
            StoreSize { cached: sum.cached + size.cached, dirty: sum.dirty + size.dirty }
        })
    }
}

pub(crate) const STORE_OF_TASK: &str = "a worker's stores belong to its tasks";

fn producer_config(
    config: &StreamsConfig,
    slot: u32,
    number: usize,
) -> Result<(ProducerConfig, Isolation), StreamsError> {
    // A thread that hangs must not hold up readers for long, but may take its time between commits.
    let timeout = TRANSACTION_TIMEOUT
        .max(config.commit_interval.saturating_mul(2))
        .min(TRANSACTION_TIMEOUT_MAX)
        .as_millis()
        .to_string();
    let timeout = [("transaction.timeout.ms", timeout.as_str())];
    let given = config.producer.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut producer = ProducerConfig::from_properties(timeout.into_iter().chain(given))?;
    if !config.producer.iter().any(|(key, _)| key == "batch.size") {
        producer = producer.batch_size(OUTPUT_BATCH_BYTES);
    }
    if !config.producer.iter().any(|(key, _)| key == "linger.ms") {
        // A commit writes what is left; batches that go before are only smaller.
        producer = producer.linger(Duration::MAX);
    }
    Ok(match config.processing_guarantee {
        ProcessingGuarantee::AtLeastOnce => (producer, Isolation::ReadUncommitted),
        ProcessingGuarantee::ExactlyOnceV2 => {
            let id = match slot {
                0 => format!("{}-{number}", config.application_id),
                slot => format!("{}-{slot}-{number}", config.application_id),
            };
            (producer.transactional_id(id), Isolation::ReadCommitted)
        }
    })
}

fn consumer_config(config: &StreamsConfig, isolation: Isolation) -> Result<ConsumerConfig, StreamsError> {
    let consumer = ConsumerConfig::from_properties(config.consumer.iter().map(|(k, v)| (k, v)))?;
    Ok(consumer
        .group_id(config.application_id.as_str())
        .auto_offset_reset(config.auto_offset_reset)
        .isolation(isolation)
        .enable_auto_commit(false))
}
