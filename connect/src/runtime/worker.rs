//! The worker: starts connectors, knows them, remembers their configs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use millstream_log::{Log, PartitionId, ProducerConfig, Record, TopicPartition};

use crate::{
    config::ConnectorConfig,
    connector::{SinkConnector, SourceConnector},
    converter::Converter,
    error::{ConnectError, nearest},
    runtime::{
        class::{Class, Classes},
        handle::{ConnectorHandle, ConnectorKind, ConnectorStatus, Progress, State},
        sink_loop::{self, Until},
        source_loop,
        topics::{self, CONFIGS_TOPIC, ensure_compacted},
    },
    settings::Settings,
};

/// Settings of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// `key.converter` of connectors that give none. Default `StringConverter`.
    pub key_converter: &'static str,
    /// `value.converter` of connectors that give none. Default `JsonConverter`.
    pub value_converter: &'static str,
    /// `offset.flush.interval.ms`: longest time between two flushes of a busy sink; an idle one flushes at
    /// once. Default 5 s.
    pub offset_flush_interval: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            key_converter: "StringConverter",
            value_converter: "JsonConverter",
            offset_flush_interval: Duration::from_secs(5),
        }
    }
}

/// Runs connectors on a log, one thread per task. Dropping it stops them all and waits for them.
pub struct Worker {
    log: Log,
    config: WorkerConfig,
    classes: Classes,
    running: Mutex<BTreeMap<String, ConnectorHandle>>,
}

impl Worker {
    /// A worker without connectors; it knows the built-in classes.
    pub fn new(log: Log, config: WorkerConfig) -> Self {
        Self { log, config, classes: Classes::built_in(), running: Mutex::new(BTreeMap::new()) }
    }

    /// Makes a source class known.
    pub fn register_source(&mut self, connector: impl SourceConnector + 'static) {
        self.classes.add(Class::Source(std::sync::Arc::new(connector)));
    }

    /// Makes a sink class known.
    pub fn register_sink(&mut self, connector: impl SinkConnector + 'static) {
        self.classes.add(Class::Sink(std::sync::Arc::new(connector)));
    }

    /// The classes that configs can name, each by its main name.
    pub fn classes(&self) -> Vec<(&'static str, ConnectorKind)> {
        self.classes.list()
    }

    /// Checks a config as [`Worker::start`] does, without starting it.
    pub fn validate(&self, config: &ConnectorConfig) -> Result<(), ConnectError> {
        self.plan(config).map(drop)
    }

    /// Checks a config, stores it and starts its tasks. A source goes on where its last committed batch
    /// ended, a sink where its target does.
    pub fn start(&self, config: ConnectorConfig) -> Result<ConnectorHandle, ConnectError> {
        self.start_until(config, Until::Stopped)
    }

    /// Runs a connector to its end on its own threads and waits: a source until it has read everything, a
    /// sink until it has written everything that is in its topics.
    pub fn run_to_end(&self, config: ConnectorConfig) -> Result<Progress, ConnectError> {
        self.start_until(config, Until::CaughtUp)?.wait()
    }

    /// Starts all stored connectors that do not run. Returns those that could be started, and why others
    /// could not.
    pub fn resume(&self) -> Result<(Vec<ConnectorHandle>, Vec<ConnectError>), ConnectError> {
        let (mut started, mut failed) = (Vec::new(), Vec::new());
        for (name, config) in topics::configs(&self.log)? {
            if self.is_running(&name) {
                continue;
            }
            match self.start(config) {
                Ok(handle) => started.push(handle),
                Err(error) => failed.push(error),
            }
        }
        Ok((started, failed))
    }

    /// The stored configs, by name.
    pub fn connectors(&self) -> Result<Vec<ConnectorConfig>, ConnectError> {
        Ok(topics::configs(&self.log)?.into_values().collect())
    }

    /// States of the connectors that this worker has started, by name.
    pub fn status(&self) -> Vec<ConnectorStatus> {
        self.running().values().map(ConnectorHandle::status).collect()
    }

    /// The handle of a connector that this worker has started.
    pub fn connector(&self, name: &str) -> Option<ConnectorHandle> {
        self.running().get(name).cloned()
    }

    /// Stops a connector and forgets its config. Source offsets and committed offsets stay: a connector of
    /// the same name goes on where this one ended, as in Kafka Connect.
    pub fn remove(&self, name: &str) -> Result<(), ConnectError> {
        let stored = topics::configs(&self.log)?;
        let handle = self.running().remove(name);
        if handle.is_none() && !stored.contains_key(name) {
            let nearest = nearest(name, stored.keys().map(String::as_str));
            return Err(ConnectError::UnknownConnector { name: name.to_owned(), nearest });
        }
        if let Some(handle) = handle {
            handle.stop();
            // Its outcome no longer matters.
            let _ = handle.wait();
        }
        self.store(name, None)
    }

    fn start_until(&self, config: ConnectorConfig, until: Until) -> Result<ConnectorHandle, ConnectError> {
        let Plan { class, tasks } = self.plan(&config)?;
        let mut running = self.running();
        if running.get(config.name()).is_some_and(|handle| handle.status().state == State::Running) {
            return Err(ConnectError::AlreadyRunning { name: config.name().to_owned() });
        }
        self.store(config.name(), Some(config.to_stored()))?;
        let kind = match class {
            Class::Source(_) => ConnectorKind::Source,
            Class::Sink(_) => ConnectorKind::Sink,
        };
        let handle = ConnectorHandle::new(config.name(), kind);
        match class {
            Class::Source(connector) => {
                let tasks = with_tasks(tasks, |settings| connector.task(settings))?;
                for (settings, task) in tasks {
                    let log = self.log.clone();
                    handle.spawn(move |context| source_loop::run(&log, &settings, task, context))?;
                }
            }
            Class::Sink(connector) => {
                let mut shares = self.shares(&tasks)?;
                let tasks = with_tasks(tasks, |settings| connector.task(settings))?;
                for (settings, task) in tasks {
                    let log = self.log.clone();
                    let partitions = shares.pop().unwrap_or_default();
                    let interval = self.config.offset_flush_interval;
                    handle.spawn(move |context| {
                        sink_loop::run(&log, &settings, task, partitions, interval, until, context)
                    })?;
                }
            }
        }
        running.insert(config.name().to_owned(), handle.clone());
        Ok(handle)
    }

    /// Everything that can be checked before anything is opened.
    fn plan(&self, config: &ConnectorConfig) -> Result<Plan, ConnectError> {
        let (class, settings) = self.classes.resolve(config, &self.config)?;
        Converter::from_settings(&settings, "key.converter")?;
        Converter::from_settings(&settings, "value.converter")?;
        let tasks_max = settings.count("tasks.max");
        let tasks = match &class {
            Class::Source(source) => source.task_settings(&settings, tasks_max)?,
            Class::Sink(sink) => sink.task_settings(&settings, tasks_max)?,
        };
        if tasks.len() > tasks_max {
            let reason = format!("the connector made {} tasks", tasks.len());
            return Err(settings.fault("tasks.max", reason));
        }
        Ok(Plan { class, tasks })
    }

    /// The partitions of a sink's topics, dealt out to its tasks.
    fn shares(&self, tasks: &[Settings]) -> Result<Vec<Vec<TopicPartition>>, ConnectError> {
        let mut shares = vec![Vec::new(); tasks.len()];
        let topics = tasks.first().map(|settings| settings.list("topics")).unwrap_or_default();
        let mut turn = 0;
        for name in topics {
            let topic = self.log.describe_topic(name)?;
            for number in 0..topic.partitions {
                let partition =
                    TopicPartition { topic: topic.name.clone(), partition: PartitionId::new(number) };
                shares[turn % tasks.len()].push(partition);
                turn += 1;
            }
        }
        Ok(shares)
    }

    fn store(&self, name: &str, config: Option<Vec<u8>>) -> Result<(), ConnectError> {
        ensure_compacted(&self.log, CONFIGS_TOPIC)?;
        let mut producer = self.log.producer(ProducerConfig::default())?;
        let key = Some(Bytes::from(topics::config_key(name)));
        producer.send(CONFIGS_TOPIC, Record { key, value: config.map(Bytes::from), ..Record::default() })?;
        producer.flush()?;
        Ok(())
    }

    fn is_running(&self, name: &str) -> bool {
        self.running().get(name).is_some_and(|handle| !handle.is_finished())
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, ConnectorHandle>> {
        // The map is whole at any time, whoever panicked.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Plan {
    class: Class,
    tasks: Vec<Settings>,
}

/// Makes all tasks before the first one starts.
fn with_tasks<T>(
    settings: Vec<Settings>,
    make: impl Fn(Settings) -> Result<T, ConnectError>,
) -> Result<Vec<(Settings, T)>, ConnectError> {
    settings.into_iter().map(|settings| Ok((settings.clone(), make(settings)?))).collect()
}

impl Drop for Worker {
    fn drop(&mut self) {
        let handles: Vec<ConnectorHandle> = std::mem::take(&mut *self.running()).into_values().collect();
        handles.iter().for_each(ConnectorHandle::stop);
        for handle in handles {
            // What failed was logged by its task.
            let _ = handle.wait();
        }
    }
}
