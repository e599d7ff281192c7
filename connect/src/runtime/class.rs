//! Connector classes by name, and the settings that all connectors have.

use std::sync::Arc;

use millstream_log::{ConsumerConfig, ProducerConfig};

use crate::{
    config::ConnectorConfig,
    connector::{SinkConnector, SourceConnector},
    definition::{self, ConfigKey, DefaultValue, Importance, Kind},
    error::{ConnectError, nearest, nearest_hint},
    file::{FileSink, FileSource, FileStreamSink, FileStreamSource},
    runtime::{handle::ConnectorKind, worker::WorkerConfig},
    settings::Settings,
};

/// A connector of either kind.
#[derive(Clone)]
pub(super) enum Class {
    Source(Arc<dyn SourceConnector>),
    Sink(Arc<dyn SinkConnector>),
}

/// The classes that configs can name.
#[derive(Clone)]
pub(super) struct Classes(Vec<Class>);

pub(super) const PRODUCER_PREFIX: &str = "producer.override.";
pub(super) const CONSUMER_PREFIX: &str = "consumer.override.";

/// Settings of every connector.
const COMMON: [ConfigKey; 7] = [
    ConfigKey::required("connector.class", Kind::String, "the class of the connector, such as FileSource"),
    ConfigKey::with_default("tasks.max", Kind::Int { min: 1 }, "1", "most tasks to split the work into"),
    ConfigKey::optional("key.converter", Kind::String, "how keys become bytes"),
    ConfigKey::with_default(
        "key.converter.schemas.enable",
        Kind::Boolean,
        "false",
        "JSON keys with a schema envelope; only false",
    ),
    ConfigKey::optional("value.converter", Kind::String, "how values become bytes"),
    ConfigKey::with_default(
        "value.converter.schemas.enable",
        Kind::Boolean,
        "false",
        "JSON values with a schema envelope; only false",
    ),
    ConfigKey::with_default(
        "errors.tolerance",
        Kind::OneOf(&["none", "all"]),
        "none",
        "whether a bad record stops the task (none) or is counted, logged and skipped (all)",
    ),
];

const SOURCE: [ConfigKey; 1] = [ConfigKey::with_default(
    "topic.partitions",
    Kind::Int { min: 1 },
    "1",
    "partitions of the topic if it has to be created",
)];

const SINK: [ConfigKey; 3] = [
    ConfigKey::required("topics", Kind::List, "the topics to read"),
    ConfigKey::optional(
        "errors.deadletterqueue.topic.name",
        Kind::String,
        "topic for records that cannot be read, with errors.tolerance=all",
    ),
    ConfigKey::with_default(
        "errors.deadletterqueue.context.headers.enable",
        Kind::Boolean,
        "false",
        "say in headers where such a record comes from and what is wrong",
    )
    .importance(Importance::Low),
];

impl Classes {
    pub(super) fn built_in() -> Self {
        Self(vec![
            Class::Source(Arc::new(FileSource)),
            Class::Source(Arc::new(FileStreamSource)),
            Class::Sink(Arc::new(FileSink)),
            Class::Sink(Arc::new(FileStreamSink)),
        ])
    }

    pub(super) fn list(&self) -> Vec<(&'static str, ConnectorKind)> {
        let kind = |class: &Class| match class {
            Class::Source(_) => ConnectorKind::Source,
            Class::Sink(_) => ConnectorKind::Sink,
        };
        self.0.iter().map(|class| (class.names()[0], kind(class))).collect()
    }

    pub(super) fn add(&mut self, class: Class) {
        self.0.push(class);
    }

    /// The class of a config, and its settings after every check that needs no other system.
    pub(super) fn resolve(
        &self,
        config: &ConnectorConfig,
        worker: &WorkerConfig,
    ) -> Result<(Class, Settings), ConnectError> {
        let Some(name) = config.get("connector.class").map(str::trim) else {
            let errors = vec![
                "missing setting \"connector.class\": the class of the connector, such as FileSource".into(),
            ];
            return Err(ConnectError::Settings { connector: config.name().to_owned(), errors });
        };
        // The one added last wins, so that a program can replace a built-in class.
        let found = self.0.iter().rev().find(|class| class.names().contains(&name));
        let class = found.cloned().ok_or_else(|| {
            let known = || self.0.iter().flat_map(|class| class.names());
            let main: Vec<_> = self.0.iter().map(|class| class.names()[0]).collect();
            let hint = nearest_hint(&nearest(name, known().copied()));
            let error =
                format!("unknown connector.class {name:?}: it takes one of {}{hint}", main.join(", "));
            ConnectError::Settings { connector: config.name().to_owned(), errors: vec![error] }
        })?;
        let converters = COMMON.map(|key| match key.name {
            "key.converter" => ConfigKey { default: DefaultValue::Value(worker.key_converter), ..key },
            "value.converter" => ConfigKey { default: DefaultValue::Value(worker.value_converter), ..key },
            _ => key,
        });
        let (own, side, prefix) = match &class {
            Class::Source(source) => (source.config_keys(), &SOURCE[..], PRODUCER_PREFIX),
            Class::Sink(sink) => (sink.config_keys(), &SINK[..], CONSUMER_PREFIX),
        };
        let keys = converters.iter().chain(side).chain(own);
        let settings = definition::check(config, keys, &[prefix])?;
        match &class {
            Class::Source(_) => drop(ProducerConfig::from_properties(settings.with_prefix(PRODUCER_PREFIX))?),
            Class::Sink(_) => drop(ConsumerConfig::from_properties(settings.with_prefix(CONSUMER_PREFIX))?),
        }
        Ok((class, settings))
    }
}

impl Class {
    fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Source(source) => source.class_names(),
            Self::Sink(sink) => sink.class_names(),
        }
    }
}
