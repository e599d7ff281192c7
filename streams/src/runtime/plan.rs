//! Partitions, internal topics and tasks of an application, settled when it is opened.

use std::collections::BTreeMap;

use millstream_log::{
    AutoOffsetReset, Log, LogError, NewTopic, PartitionId, TopicDescription, TopicPartition,
};

use crate::config::StreamsConfig;
use crate::error::StreamsError;
use crate::processor::TaskId;
use crate::runtime::global;
use crate::store::{StoreHandle, StoreKind, StoreSpec};
use crate::topology::{NodeRole, SinkTopic, TopicName, Topology};

/// What runs where.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// All tasks, by sub-topology and partition.
    pub(crate) tasks: Vec<TaskPlan>,
    /// By store handle: the store's partitions.
    pub(crate) store_partitions: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct TaskPlan {
    pub(crate) id: TaskId,
    pub(crate) inputs: Vec<Input>,
}

#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) partition: TopicPartition,
    pub(crate) source: usize,
    pub(crate) reset: AutoOffsetReset,
    /// Whether only this application writes and reads it.
    pub(crate) is_repartitioned: bool,
}

/// The changelog topic of a store.
pub(crate) fn changelog_topic(application: &str, store: &str) -> String {
    format!("{application}-{store}-changelog")
}

impl Plan {
    /// Checks the topics against the topology and creates the internal ones.
    pub(crate) fn new(topology: &Topology, config: &StreamsConfig, log: &Log) -> Result<Self, StreamsError> {
        if config.explicit_naming && !topology.generated_names.is_empty() {
            return Err(StreamsError::Topology(format!(
                "ensure.explicit.internal.resource.naming is set, and these have generated names: {}: name them, with \
                 Materialized::named, Grouped::named and their like",
                topology.generated_names.join(", ")
            )));
        }
        let counts = Counts { topology, log, known: BTreeMap::new() }.resolve()?;
        for repartition in &topology.repartitions {
            let name = repartition.topic.resolve(&config.application_id);
            let topic = NewTopic::new(&*name)
                .config("cleanup.policy", "delete")
                .config("retention.ms", "-1")
                .config("segment.bytes", "52428800");
            create(log, topic, &name, counts[&repartition.topic], config)?;
        }
        if let Some(topic) = &config.dead_letter_topic
            && let Err(LogError::UnknownTopic { .. }) = log.describe_topic(topic)
        {
            let node = "errors.dead.letter.queue.topic.name".to_owned();
            return Err(StreamsError::MissingTopic { topic: topic.clone(), node });
        }
        let mut tasks = Vec::new();
        let mut store_partitions = vec![0; topology.stores.len()];
        for (number, sub_topology) in topology.sub_topologies.iter().enumerate() {
            let mut inputs = Vec::new();
            for node in &sub_topology.nodes {
                if let NodeRole::Source { topics, reset, .. } = &topology.nodes[*node].role {
                    let reset = reset.unwrap_or(config.auto_offset_reset);
                    inputs.extend(topics.names.iter().map(|topic| (*node, reset, topic)));
                }
            }
            let partitions = inputs.iter().map(|(_, _, topic)| counts[*topic]).max().unwrap_or(0);
            for StoreHandle(store) in &sub_topology.stores {
                store_partitions[*store] = partitions;
                create_changelog(log, &topology.stores[*store], partitions, config)?;
            }
            for partition in 0..partitions {
                let inputs = inputs.iter().filter(|(_, _, topic)| partition < counts[*topic]);
                let inputs = inputs.map(|(source, reset, topic)| Input {
                    partition: TopicPartition::new(topic.resolve(&config.application_id), partition),
                    source: *source,
                    reset: *reset,
                    is_repartitioned: matches!(topic, TopicName::Internal(_)),
                });
                let sub_topology = u32::try_from(number).expect("a topology has fewer than 2^32 nodes");
                let id = TaskId { sub_topology, partition: PartitionId::new(partition) };
                tasks.push(TaskPlan { id, inputs: inputs.collect() });
            }
        }
        for global in &topology.globals {
            store_partitions[global.store.0] = global::partitions(log, &global.topic, &global.source)?;
        }
        Ok(Self { tasks, store_partitions })
    }

    /// A task by its id.
    pub(crate) fn task(&self, id: TaskId) -> Option<&TaskPlan> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The input partitions of all tasks.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &TopicPartition> {
        self.tasks.iter().flat_map(|task| &task.inputs).map(|input| &input.partition)
    }
}

/// The topology with the topics that its patterns stand for now.
pub(crate) fn with_topics(
    topology: &Topology,
    config: &StreamsConfig,
    log: &Log,
) -> Result<Topology, StreamsError> {
    topology.with_topics(user_topics(&config.application_id, &log.topics()))
}

/// The topics that patterns can stand for.
fn user_topics<'a>(application: &str, all: &'a [TopicDescription]) -> impl Iterator<Item = &'a str> + Clone {
    let internal = format!("{application}-");
    all.iter().filter(|topic| !topic.internal).map(|topic| &*topic.name).filter(move |topic| {
        let own = topic.strip_prefix(internal.as_str());
        !own.is_some_and(|rest| rest.ends_with("-changelog") || rest.ends_with("-repartition"))
    })
}

/// Finds the number of partitions of every topic that sources read.
struct Counts<'a> {
    topology: &'a Topology,
    log: &'a Log,
    known: BTreeMap<TopicName, u32>,
}

impl Counts<'_> {
    fn resolve(mut self) -> Result<BTreeMap<TopicName, u32>, StreamsError> {
        for node in &self.topology.nodes {
            let topics = match &node.role {
                NodeRole::Source { topics, .. } => topics.names.as_slice(),
                NodeRole::Sink { topic: SinkTopic::Fixed(topic), .. } => std::slice::from_ref(topic),
                NodeRole::Sink { topic: SinkTopic::Dynamic(_), .. } | NodeRole::Processor { .. } => &[],
            };
            for topic in topics {
                if let TopicName::External(name) = topic {
                    let description = self.log.describe_topic(name).map_err(|error| match error {
                        LogError::UnknownTopic { .. } => StreamsError::MissingTopic {
                            topic: name.to_string(),
                            node: node.name.to_string(),
                        },
                        error => error.into(),
                    })?;
                    self.known.insert(topic.clone(), description.partitions);
                }
            }
        }
        // A repartition topic can feed another one, and a group can raise what feeds a third: repeat until it
        // rests.
        for _ in 0..=self.topology.repartitions.len() {
            for repartition in &self.topology.repartitions {
                let count = repartition.partitions.or_else(|| self.upstream(repartition.sink));
                if let Some(count) = count {
                    let known = self.known.entry(repartition.topic.clone()).or_insert(count);
                    *known = count.max(*known);
                }
            }
            for group in &self.topology.copartitioned {
                self.align(group)?;
            }
        }
        for repartition in &self.topology.repartitions {
            if !self.known.contains_key(&repartition.topic) {
                return Err(StreamsError::Topology(format!(
                    "topic {} feeds itself: set its number of partitions",
                    repartition.topic
                )));
            }
        }
        Ok(self.known)
    }

    fn upstream(&self, sink: usize) -> Option<u32> {
        let counts = self.topology.sources_of(sink).into_iter().map(|source| {
            self.topics(source).map(|topic| self.known.get(topic).copied()).collect::<Option<Vec<u32>>>()
        });
        counts.collect::<Option<Vec<_>>>()?.into_iter().flatten().max()
    }

    fn topics(&self, source: usize) -> impl Iterator<Item = &TopicName> {
        match &self.topology.nodes[source].role {
            NodeRole::Source { topics, .. } => topics.names.iter(),
            NodeRole::Processor { .. } | NodeRole::Sink { .. } => [].iter(),
        }
    }

    /// Gives the internal topics of a group the count of the others, or the greatest among themselves.
    fn align(&mut self, group: &[usize]) -> Result<(), StreamsError> {
        let topics: Vec<TopicName> = group.iter().flat_map(|source| self.topics(*source)).cloned().collect();
        let fixed = topics.iter().filter(|topic| match topic {
            TopicName::External(_) => true,
            TopicName::Internal(_) => {
                let mut all = self.topology.repartitions.iter();
                all.any(|repartition| repartition.topic == **topic && repartition.partitions.is_some())
            }
        });
        let fixed: Vec<u32> = fixed.filter_map(|topic| self.known.get(topic).copied()).collect();
        let all = topics.iter().filter_map(|topic| self.known.get(topic).copied());
        let Some(count) = fixed.first().copied().or_else(|| all.max()) else { return Ok(()) };
        if fixed.iter().any(|other| *other != count) {
            let topics: Vec<String> = topics
                .iter()
                .filter_map(|topic| Some(format!("{topic} ({})", self.known.get(topic)?)))
                .collect();
            return Err(StreamsError::CoPartitioning { topics: topics.join(", ") });
        }
        for topic in topics.into_iter().filter(|topic| matches!(topic, TopicName::Internal(_))) {
            self.known.insert(topic, count);
        }
        Ok(())
    }
}

fn create_changelog(
    log: &Log,
    store: &StoreSpec,
    partitions: u32,
    config: &StreamsConfig,
) -> Result<(), StreamsError> {
    if !store.changelog || store.source_topic.is_some() {
        return Ok(());
    }
    let name = changelog_topic(&config.application_id, store.name());
    let topic = NewTopic::new(&name);
    let topic = match store.kind() {
        StoreKind::KeyValue => topic.config("cleanup.policy", "compact"),
        StoreKind::Versioned { history_ms } => {
            // Compaction keeps the latest version only: it has to wait until nobody can ask for the others.
            let extra = crate::store::spec::millis(config.changelog_additional_retention);
            topic
                .config("cleanup.policy", "compact")
                .config("min.compaction.lag.ms", history_ms.saturating_add(extra).to_string())
        }
        StoreKind::Window { retention_ms, .. }
        | StoreKind::Session { retention_ms }
        | StoreKind::StreamRows { retention_ms, .. } => {
            let extra = crate::store::spec::millis(config.changelog_additional_retention);
            topic
                .config("cleanup.policy", "compact,delete")
                .config("retention.ms", retention_ms.saturating_add(extra).to_string())
        }
    };
    let own = store.changelog_configs.iter();
    let topic = own.fold(topic, |topic, (key, value)| topic.config(key, value));
    create(log, topic, &name, partitions, config)
}

fn create(
    log: &Log,
    mut topic: NewTopic,
    name: &str,
    partitions: u32,
    config: &StreamsConfig,
) -> Result<(), StreamsError> {
    match log.describe_topic(name) {
        Ok(found) if found.partitions == partitions => return Ok(()),
        Ok(found) => {
            return Err(StreamsError::Topology(format!(
                "internal topic {name} has {} partitions and needs {partitions}: the inputs have changed, so delete \
                 it and the state, or use another application.id",
                found.partitions
            )));
        }
        Err(LogError::UnknownTopic { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    for (key, value) in &config.topic {
        topic = topic.config(key, value);
    }
    log.create_topic(topic.partitions(partitions))?;
    Ok(())
}
