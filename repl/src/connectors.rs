//! The connectors of CREATE CONNECTOR: a Connect worker in this process.

use std::fmt;

use millstream_connect::{ConnectError, ConnectorConfig, ConnectorKind, State, Worker, WorkerConfig};
use millstream_log::Log;
use millstream_sql::ast::ConnectorKind as Direction;
use millstream_sql::{ConnectorError, ConnectorPlugin, ConnectorSummary, Connectors};

/// Runs connectors as long as this process runs. Their configs and offsets stay.
pub(crate) struct Runner {
    worker: Worker,
}

impl Runner {
    /// A runner on a log; nothing runs yet.
    pub(crate) fn new(log: Log) -> Self {
        Self { worker: Worker::new(log, WorkerConfig::default()) }
    }

    /// Lets those of earlier runs go on. What cannot is said and stays stopped.
    pub(crate) fn resume(&self) -> Result<(), ConnectError> {
        for error in self.worker.resume()?.1 {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not start a connector");
        }
        Ok(())
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

fn direction(kind: ConnectorKind) -> Direction {
    match kind {
        ConnectorKind::Source => Direction::Source,
        ConnectorKind::Sink => Direction::Sink,
    }
}

impl Connectors for Runner {
    fn create(
        &self,
        kind: Direction,
        name: &str,
        properties: &[(String, String)],
    ) -> Result<(), ConnectorError> {
        let config = properties
            .iter()
            .fold(ConnectorConfig::new(name), |config, (key, value)| config.with(key.clone(), value.clone()));
        let class = config.get("connector.class").unwrap_or_default().trim();
        if let Some((class, own)) = self.worker.classes().into_iter().find(|(known, _)| *known == class)
            && direction(own) != kind
        {
            return Err(
                format!("{class} is a {} connector", direction(own).to_string().to_lowercase()).into()
            );
        }
        self.worker.start(config)?;
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), ConnectorError> {
        Ok(self.worker.remove(name)?)
    }

    fn list(&self) -> Result<Vec<ConnectorSummary>, ConnectorError> {
        let running = self.worker.status();
        let classes = self.worker.classes();
        let summary = |config: ConnectorConfig| {
            let class = config.get("connector.class").unwrap_or_default().to_owned();
            let kind = classes.iter().find(|(known, _)| *known == class).map(|(_, kind)| direction(*kind));
            let topics = config.get("topics").or(config.get("topic")).unwrap_or_default();
            let status = running.iter().find(|status| status.name == config.name());
            let tasks = status.map_or(&[][..], |status| &status.tasks);
            let at_work = tasks.iter().filter(|task| task.state == State::Running).count();
            let state = status.map_or("STOPPED", |status| word(&status.state));
            ConnectorSummary {
                name: config.name().to_owned(),
                kind: kind.unwrap_or(Direction::Source),
                class,
                state: format!("{state} ({at_work}/{} tasks RUNNING)", tasks.len()),
                tasks: tasks
                    .iter()
                    .map(|task| {
                        let error = match &task.state {
                            State::Failed(error) => error.clone(),
                            State::Running | State::Stopped => String::new(),
                        };
                        (task.id, word(&task.state).to_owned(), error)
                    })
                    .collect(),
                topics: topics.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Into::into).collect(),
            }
        };
        Ok(self.worker.connectors()?.into_iter().map(summary).collect())
    }

    fn plugins(&self) -> Vec<ConnectorPlugin> {
        let plugin = |(class, kind): (&str, ConnectorKind)| ConnectorPlugin {
            class: class.to_owned(),
            kind: direction(kind),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.worker.classes().into_iter().map(plugin).collect()
    }
}

fn word(state: &State) -> &'static str {
    match state {
        State::Running => "RUNNING",
        State::Stopped => "STOPPED",
        State::Failed(_) => "FAILED",
    }
}
