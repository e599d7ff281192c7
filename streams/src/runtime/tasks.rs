//! Tasks come to a worker and go: made from the topology, with state restored, or kept as standbys.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_log::{
    AutoOffsetReset, Consumer, Isolation, Log, LogError, Offset, OffsetSpec, Timestamp, TopicPartition,
};

use crate::crash::CrashPoint;
use crate::error::StreamsError;
use crate::processor::TaskId;
use crate::runtime::graph::{Surroundings, TaskGraph};
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::OutputTopic;
use crate::runtime::plan::{Input, TaskPlan, changelog_topic};
use crate::runtime::progress;
use crate::runtime::queue::PartitionQueue;
use crate::runtime::shared::Shared;
use crate::runtime::task::Task;
use crate::runtime::worker::{STORE_OF_TASK, Worker};
use crate::store::StoreSpec;
use crate::store::changelog;
use crate::store::listener::{RestoredStore, SuspendReason};
use crate::store::spec::StorePlace;
use crate::topology::{NodeRole, Topology};

/// One store of one task.
pub(crate) struct StoreRef {
    /// The store's handle.
    pub(crate) store: usize,
    pub(crate) place: StorePlace,
    /// The changelog to append to. None if there is none, or if a topic of the user's is the changelog.
    pub(crate) output: Option<OutputTopic>,
    /// The changelog to read.
    pub(crate) changelog: Option<TopicPartition>,
    /// The queue of the changelog, if it is an input of the task.
    pub(crate) input: Option<usize>,
}

/// A task's state that is kept up to date for the case that the task comes here.
pub(crate) struct Standby {
    pub(crate) id: TaskId,
    stores: Vec<(StorePlace, TopicPartition, Source)>,
}

/// What a store's changelog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A topic of its own.
    Changelog,
    /// An input of the task: what is not processed and committed is not in the state.
    Input,
}

impl Source {
    fn of(spec: &StoreSpec) -> Self {
        if spec.source_topic.is_some() { Self::Input } else { Self::Changelog }
    }

    /// Where the state ends that others than the task itself can know.
    fn end(self, topic: &TopicPartition, shared: &Shared, log: &Log) -> Result<Option<Offset>, StreamsError> {
        match self {
            Self::Changelog => Ok(None),
            Self::Input => {
                let committed = log.committed_offsets(&shared.config.application_id).into_iter();
                let mut committed = committed.filter(|(partition, _)| partition == topic);
                let offset = committed.next().map(|(_, committed)| committed.offset);
                Ok(Some(offset.map_or_else(|| log.offsets(topic, OffsetSpec::Earliest), Ok)?))
            }
        }
    }
}

impl Worker {
    /// Takes over tasks. Their state has yet to be [restored](Self::restore). Fails, and can be tried again, while a
    /// transaction of a former owner has not ended that holds offsets of theirs.
    pub(crate) fn assign(&mut self, tasks: &[TaskPlan]) -> Result<(), StreamsError> {
        let inputs =
            |task: &TaskPlan| task.inputs.iter().map(|input| input.partition.clone()).collect::<Vec<_>>();
        let new: Vec<TopicPartition> = tasks.iter().flat_map(inputs).collect();
        self.read(new)?;
        for plan in tasks {
            let made = self.make(plan);
            match made {
                Ok(task) => self.tasks.push(task),
                Err(error) => {
                    self.route()?;
                    return Err(error);
                }
            }
        }
        self.tasks.sort_by_key(|task| task.graph.task);
        self.suspend(SuspendReason::Promoted, |standby| tasks.iter().any(|task| task.id == standby.id))?;
        Counters::add(&self.shared.counters.tasks_created, tasks.len() as u64);
        self.route()?;
        self.publish_positions();
        self.shared.reach(CrashPoint::Assigned)
    }

    /// Gives tasks up; what they have not committed is lost.
    pub(crate) fn revoke(&mut self, tasks: &BTreeSet<TaskId>) -> Result<(), StreamsError> {
        let before = self.tasks.len();
        self.tasks.retain(|task| !tasks.contains(&task.graph.task));
        Counters::add(&self.shared.counters.tasks_closed, (before - self.tasks.len()) as u64);
        self.route()
    }

    /// The tasks.
    pub(crate) fn owned(&self) -> BTreeSet<TaskId> {
        self.tasks.iter().map(|task| task.graph.task).collect()
    }

    /// Brings the committed state up to the changelogs' ends, and lets the processors begin. Fails, and can be tried
    /// again, while a transaction of a former owner is open in a changelog: what lies behind it cannot be read yet.
    pub(crate) fn restore(&mut self) -> Result<(), StreamsError> {
        for task in self.tasks.iter_mut().filter(|task| !task.is_running) {
            for store in &task.stores {
                let topic = store.changelog.as_ref();
                if let Some(topic) = topic.filter(|_| store.input.is_none())
                    && !planted!("restore_hidden")
                    && self.log.last_stable_offset(topic)? < self.log.offsets(topic, OffsetSpec::Latest)?
                {
                    let reason = format!("a former owner has a transaction open in {topic}");
                    return Err(StreamsError::Retry { source: Box::new(StreamsError::Failed(reason)) });
                }
                let until = match (topic, store.input) {
                    (Some(topic), Some(_)) => Source::Input.end(topic, &self.shared, &self.log)?,
                    _ => None,
                };
                let restored = changelog::restore_until(&self.log, &store.place, topic, until)?;
                Counters::add(&self.shared.counters.restored, restored.records);
                let target = task.graph.stores[store.store].as_mut().expect(STORE_OF_TASK);
                target.restored(restored.progress.stream_time, restored.empty);
                self.shared.reach(CrashPoint::Restoring)?;
            }
            task.graph.init(&mut self.outbox)?;
            task.is_running = true;
        }
        Ok(())
    }

    /// Keeps copies of the state of these tasks, in place of others.
    pub(crate) fn stand_by(&mut self, tasks: &[TaskPlan]) -> Result<(), StreamsError> {
        self.suspend(SuspendReason::Migrated, |standby| tasks.iter().all(|task| task.id != standby.id))?;
        for plan in tasks {
            if self.standbys.iter().all(|standby| standby.id != plan.id) {
                let standby = standby(&self.topology, plan, &self.shared)?;
                if let Some(listener) = &self.shared.standby_listener {
                    for (place, topic, _) in &standby.stores {
                        let store = RestoredStore { store: &place.name, changelog: topic };
                        let start = changelog::position(place)?;
                        let start =
                            start.map_or_else(|| self.log.offsets(topic, OffsetSpec::Earliest), Ok)?;
                        listener.on_update_start(store, standby.id, start);
                    }
                }
                self.standbys.push(standby);
            }
        }
        Ok(())
    }

    /// Keeps some of the standbys no more.
    fn suspend(
        &mut self,
        reason: SuspendReason,
        ends: impl Fn(&Standby) -> bool,
    ) -> Result<(), StreamsError> {
        for standby in self.standbys.extract_if(.., |standby| ends(standby)) {
            let Some(listener) = &self.shared.standby_listener else { continue };
            for (place, topic, _) in &standby.stores {
                let store = RestoredStore { store: &place.name, changelog: topic };
                let end = self.log.offsets(topic, OffsetSpec::Latest)?;
                let next = changelog::position(place)?.unwrap_or(Offset::new(0));
                listener.on_update_suspended(store, standby.id, next, end, reason);
            }
        }
        Ok(())
    }

    /// Reads on in the changelogs of the standbys.
    pub(crate) fn update_standbys(&mut self) -> Result<(), StreamsError> {
        for standby in &self.standbys {
            for (place, topic, source) in &standby.stores {
                let until = source.end(topic, &self.shared, &self.log)?;
                let restored = changelog::restore_until(&self.log, place, Some(topic), until)?;
                Counters::add(&self.shared.counters.standby_records, restored.records);
                if let Some(listener) = self.shared.standby_listener.as_ref().filter(|_| restored.records > 0)
                {
                    let store = RestoredStore { store: &place.name, changelog: topic };
                    let (next, end) =
                        (restored.progress.offset, self.log.offsets(topic, OffsetSpec::Latest)?);
                    listener.on_batch_loaded(store, standby.id, next, restored.records, end);
                }
            }
        }
        Ok(())
    }

    /// Lets the consumer read partitions beside those that it reads, and go on there where it is.
    fn read(&mut self, new: Vec<TopicPartition>) -> Result<(), StreamsError> {
        let mut all: Vec<TopicPartition> =
            self.tasks.iter().flat_map(|task| &task.queues).map(|queue| queue.partition.clone()).collect();
        all.extend(new);
        self.consumer.assign(all)?;
        for queue in self.tasks.iter().flat_map(|task| &task.queues) {
            self.consumer.seek(&queue.partition, queue.fetched())?;
        }
        self.consumer.pause(&self.paused);
        Ok(())
    }

    /// Brings what depends on the tasks up to date.
    fn route(&mut self) -> Result<(), StreamsError> {
        self.routes.clear();
        for (task, of_task) in self.tasks.iter().enumerate() {
            for (queue, of_queue) in of_task.queues.iter().enumerate() {
                self.routes.insert(of_queue.partition.clone(), (task, queue));
            }
        }
        self.paused.retain(|partition| self.routes.contains_key(partition));
        let read: BTreeSet<TopicPartition> = self.consumer.assignment().into_iter().collect();
        if read.len() != self.routes.len()
            || read.iter().any(|partition| !self.routes.contains_key(partition))
        {
            self.read(Vec::new())?;
        }
        Ok(())
    }

    fn make(&mut self, plan: &TaskPlan) -> Result<Task, StreamsError> {
        let (topology, shared) = (&self.topology, &self.shared);
        let config = &shared.config;
        let mut queues = Vec::with_capacity(plan.inputs.len());
        for input in &plan.inputs {
            let start = start(&mut self.consumer, input, shared, self.isolation, self.log.clock().now())?;
            let NodeRole::Source { decoder, .. } = &topology.nodes[input.source].role else {
                unreachable!("inputs belong to sources")
            };
            queues.push(PartitionQueue::new(input.partition.clone(), input.source, decoder(), start));
        }
        let mut task_stores = topology.stores.iter().map(|_| None).collect::<Vec<_>>();
        let mut stores = Vec::new();
        for handle in &topology.sub_topologies[plan.id.sub_topology as usize].stores {
            let spec = &topology.stores[handle.0];
            let place = StorePlace::open(spec, &shared.backend, plan.id.partition.get())?;
            let changelog = changelog_of(spec, plan, shared);
            let (mut output, mut input) = (None, None);
            match (&changelog, Source::of(spec)) {
                (Some(partition), Source::Changelog) => output = Some(self.outbox.topic(&partition.topic)?),
                (Some(partition), Source::Input) => {
                    input = plan.inputs.iter().position(|input| input.partition == *partition);
                }
                (None, _) => {}
            }
            task_stores[handle.0] = Some((spec.supplier)(place.clone()));
            stores.push(StoreRef { store: handle.0, place, output, changelog, input });
        }
        let surroundings = Surroundings {
            application: config.application_id.as_str().into(),
            caching: config.caching(),
            log: self.log.clone(),
            counters: Arc::clone(&shared.counters),
            observer: shared.observer.clone(),
            globals: Arc::clone(&self.globals),
            handlers: shared.handlers.clone(),
            dead_letters: config.dead_letter_topic.as_deref().map(Arc::from),
        };
        let graph = TaskGraph::new(topology, plan.id, surroundings, task_stores, &mut self.outbox)?;
        let mut task = Task::new(topology, graph, queues, stores);
        task.repartitioned = (0..plan.inputs.len()).filter(|at| plan.inputs[*at].is_repartitioned).collect();
        for (queue, input) in plan.inputs.iter().enumerate() {
            let committed = self.consumer.committed_with_metadata(&input.partition);
            if let Some(progress) = committed.and_then(|it| progress::Progress::decode(&it.metadata)) {
                task.resume(queue, progress);
            }
        }
        Ok(task)
    }
}

/// The changelog partition of a task's store.
fn changelog_of(spec: &StoreSpec, plan: &TaskPlan, shared: &Shared) -> Option<TopicPartition> {
    let partition = plan.id.partition.get();
    if let Some(topic) = &spec.source_topic {
        return Some(TopicPartition::new(&**topic, partition));
    }
    let name = spec.changelog.then(|| changelog_topic(&shared.config.application_id, spec.name()))?;
    Some(TopicPartition::new(name.as_str(), partition))
}

fn standby(topology: &Topology, plan: &TaskPlan, shared: &Shared) -> Result<Standby, StreamsError> {
    let mut stores = Vec::new();
    for handle in &topology.sub_topologies[plan.id.sub_topology as usize].stores {
        let spec = &topology.stores[handle.0];
        if let Some(changelog) = changelog_of(spec, plan, shared) {
            let place = StorePlace::open(spec, &shared.backend, plan.id.partition.get())?;
            // What a copy takes in is no restore.
            stores.push((StorePlace { listener: None, ..place }, changelog, Source::of(spec)));
        }
    }
    Ok(Standby { id: plan.id, stores })
}

/// How many changelog records the state of a task here is behind, or none if it has no changelog.
pub(crate) fn lag(
    topology: &Topology,
    plan: &TaskPlan,
    shared: &Shared,
    log: &Log,
) -> Result<Option<u64>, StreamsError> {
    let standby = standby(topology, plan, shared)?;
    let mut lag = None;
    for (place, topic, source) in &standby.stores {
        let end = source.end(topic, shared, log)?.map_or_else(|| log.last_stable_offset(topic), Ok)?;
        let from =
            changelog::position(place)?.map_or_else(|| log.offsets(topic, OffsetSpec::Earliest), Ok)?;
        lag = Some(lag.unwrap_or(0) + end.get().saturating_sub(from.get()));
    }
    Ok(lag)
}

/// Puts the consumer where the input goes on, and says where that is.
fn start(
    consumer: &mut Consumer,
    input: &Input,
    shared: &Shared,
    isolation: Isolation,
    now: Timestamp,
) -> Result<Offset, StreamsError> {
    let partition = &input.partition;
    let committed = consumer.committed(partition);
    let may_be_unknown = committed.is_none() && input.reset == AutoOffsetReset::None;
    if isolation == Isolation::ReadCommitted && consumer.position(partition).is_none() && !may_be_unknown {
        let group = consumer.group_metadata().map_or_else(String::new, |who| who.group_id);
        return Err(LogError::UnstableOffsetCommit { group, partition: partition.clone() }.into());
    }
    match (committed.or_else(|| shared.start_of(partition)), input.reset) {
        (Some(offset), _) => consumer.seek(partition, offset)?,
        (None, AutoOffsetReset::Earliest) => consumer.seek_to(partition, OffsetSpec::Earliest)?,
        (None, AutoOffsetReset::Latest) => consumer.seek_to(partition, OffsetSpec::Latest)?,
        (None, AutoOffsetReset::ByDuration(age)) => {
            let from =
                Timestamp::new(now.get().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
            consumer.seek_to(partition, OffsetSpec::At(from))?;
        }
        (None, AutoOffsetReset::None) => {
            return Err(StreamsError::Config {
                setting: "auto.offset.reset".to_owned(),
                value: "none".to_owned(),
                expected: format!("{partition} has no committed offset, so it must be earliest or latest"),
            });
        }
    }
    let position = consumer.position(partition);
    position
        .ok_or_else(|| StreamsError::Failed(format!("the position in {partition} is not known after a seek")))
}
