//! Settings of the engine and of sessions, with ksqlDB's names.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use millstream_formats::SchemaRegistry;
use millstream_log::{AutoOffsetReset, Clock};
use millstream_streams::{ProcessingGuarantee, StreamsConfig};

use crate::{ast::Span, connectors::Connectors, error::SqlError, function::FunctionRegistry};

/// ksqlDB's own settings that mean something here, with their defaults and what they do.
const KSQL: &[(&str, &str, &str)] = &[
    ("ksql.persistence.default.format.key", "KAFKA", "KEY_FORMAT of sources that name none"),
    ("ksql.persistence.default.format.value", "", "VALUE_FORMAT of sources that name none"),
    (
        "ksql.persistence.wrap.single.values",
        "",
        "WRAP_SINGLE_VALUE of sources that say nothing: true or false",
    ),
    (
        "ksql.json_sr.converter.deserializer.enabled",
        "true",
        "JSON_SR is read by the schema of each record; false reads it as JSON",
    ),
    ("ksql.output.topic.name.prefix", "", "put before the topic names of CREATE .. AS SELECT"),
    ("ksql.source.table.materialization.enabled", "true", "source tables keep their rows for pull queries"),
    ("ksql.create.or.replace.enabled", "true", "CREATE OR REPLACE may take the place of a source"),
    ("ksql.insert.into.values.enabled", "true", "INSERT INTO .. VALUES may be used"),
    ("ksql.query.pull.stream.enabled", "true", "pull queries may read streams"),
    ("ksql.query.pull.limit.clause.enabled", "true", "pull queries may have a LIMIT"),
    ("ksql.variable.substitution.enable", "true", "${name} stands for a variable"),
    ("ksql.functions.collect_list.limit", "1000", "elements that COLLECT_LIST collects at most"),
    ("ksql.functions.collect_set.limit", "1000", "elements that COLLECT_SET collects at most"),
    ("ksql.timestamp.throw.on.invalid", "false", "an invalid time in a TIMESTAMP column stops the query"),
    ("ksql.assert.topic.default.timeout.ms", "1000", "how long ASSERT TOPIC waits"),
    ("ksql.assert.schema.default.timeout.ms", "1000", "how long ASSERT SCHEMA waits"),
    ("ksql.functions.substring.legacy.args", "false", "SUBSTRING counts from 1: other values are not taken"),
    (
        "ksql.windowed.session.key.legacy",
        "false",
        "keys of sessions hold both bounds: other values are not taken",
    ),
    ("ksql.new.query.planner.enabled", "false", "there is one planner: taken and without effect"),
    ("ksql.sink.partitions", "", "PARTITIONS in the WITH clause says it: taken and without effect"),
    ("ksql.sink.replicas", "", "REPLICAS in the WITH clause says it: taken and without effect"),
    ("ksql.query.persistent.active.limit", "2147483647", "persistent queries at once at most"),
    ("ksql.max.push.queries", "100", "push queries at once at most"),
    ("ksql.query.pull.table.scan.enabled", "true", "pull queries may read whole tables"),
    ("ksql.query.pull.range.scan.enabled", "true", "pull queries may read the keys between bounds"),
    (
        "ksql.logging.processing.topic.auto.create",
        "false",
        "errors of rows are written to the topic of the processing log",
    ),
    ("ksql.logging.processing.topic.name", "ksql_processing_log", "the topic of the processing log"),
    ("ksql.logging.processing.topic.partitions", "1", "its partitions"),
    (
        "ksql.logging.processing.stream.auto.create",
        "false",
        "there is a stream over that topic, and so the topic too",
    ),
    ("ksql.logging.processing.stream.name", "KSQL_PROCESSING_LOG", "its name"),
    (
        "ksql.logging.processing.rows.include",
        "false",
        "errors in the processing log come with what the row or record held",
    ),
    ("ksql.fail.on.deserialization.error", "false", "a record that cannot be read stops the query"),
];

/// Settings of stream threads, with the defaults of SQL queries.
const STREAMS: &[(&str, &str, &str)] = &[
    (
        "auto.offset.reset",
        "",
        "where queries begin: earliest or latest; by default persistent ones at earliest",
    ),
    ("commit.interval.ms", "100", "time between commits, and so between updates that are seen"),
    ("num.stream.threads", "1", "threads per persistent query"),
    ("processing.guarantee", "exactly_once_v2", "exactly_once_v2 or at_least_once, for persistent queries"),
    (
        "statestore.cache.max.bytes",
        "10485760",
        "decoded state kept per query; 0 yields an update per input row",
    ),
    (
        "poll.ms",
        "",
        "how long a thread without input waits before it looks around; by default 10000 if it is alone",
    ),
    ("buffered.records.per.partition", "65536", "decoded rows over which a partition is paused"),
];

const PREFIX: &str = "ksql.streams.";

/// Properties by their names, without the prefix `ksql.streams.`.
pub(crate) type Properties = BTreeMap<String, String>;

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct SqlConfig {
    state_dir: PathBuf,
    properties: Properties,
    functions: Option<FunctionRegistry>,
    connectors: Option<Arc<dyn Connectors>>,
    schemas: Option<Arc<dyn SchemaRegistry>>,
}

impl SqlConfig {
    /// Keeps the state of queries below `state_dir`; everything else has its default.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            properties: Properties::new(),
            functions: None,
            connectors: None,
            schemas: None,
        }
    }

    /// Sets a property for all sessions. Fails for names and values that SET would refuse.
    pub fn property(mut self, name: &str, value: &str) -> Result<Self, SqlError> {
        let (name, value) = check(name, value, Span::default())?;
        self.properties.insert(name, value);
        Ok(self)
    }

    /// Uses these functions in place of the built-in ones; start from [`FunctionRegistry::builtin`] to add some.
    #[must_use]
    pub fn functions(mut self, functions: FunctionRegistry) -> Self {
        self.functions = Some(functions);
        self
    }

    /// Lets these run the connectors of CREATE CONNECTOR; without, such statements are refused.
    #[must_use]
    pub fn connectors(mut self, connectors: Arc<dyn Connectors>) -> Self {
        self.connectors = Some(connectors);
        self
    }

    /// Keeps the schemas of AVRO, PROTOBUF and JSON_SR in this registry; without, these formats are refused.
    #[must_use]
    pub fn schema_registry(mut self, registry: Arc<dyn SchemaRegistry>) -> Self {
        self.schemas = Some(registry);
        self
    }

    /// The registry of schemas, if there is one.
    pub(crate) fn schemas(&self) -> Option<&Arc<dyn SchemaRegistry>> {
        self.schemas.as_ref()
    }

    pub(crate) fn connector_runner(&self) -> Option<&dyn Connectors> {
        self.connectors.as_deref()
    }

    pub(crate) fn registry(&self, clock: &Arc<dyn Clock>) -> FunctionRegistry {
        self.functions.clone().unwrap_or_else(|| FunctionRegistry::builtin(clock.clone()))
    }

    /// The functions with the settings that hold for a session.
    pub(crate) fn functions_for(
        &self,
        functions: &FunctionRegistry,
        session: &Properties,
    ) -> FunctionRegistry {
        let settings = self.properties.iter().chain(session);
        functions.with_properties(settings.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    pub(crate) fn state_dir(&self) -> &PathBuf {
        &self.state_dir
    }

    /// The value that holds for a session: its own, the engine's, or the default.
    pub(crate) fn value<'a>(&'a self, session: &'a Properties, name: &str) -> &'a str {
        let default =
            KSQL.iter().chain(STREAMS).find(|(known, _, _)| *known == name).map_or("", |(_, value, _)| value);
        session.get(name).or_else(|| self.properties.get(name)).map_or(default, String::as_str)
    }

    /// Every property with its value, where it comes from, and what it does.
    pub(crate) fn list(&self, session: &Properties) -> Vec<[String; 4]> {
        let known = KSQL.iter().chain(STREAMS).map(|(name, _, about)| (*name, *about));
        let names = session.keys().chain(self.properties.keys()).map(|name| (name.as_str(), ""));
        let mut rows: BTreeMap<&str, [String; 4]> = BTreeMap::new();
        for (name, about) in known.chain(names) {
            let from = match (session.contains_key(name), self.properties.contains_key(name)) {
                (true, _) => "SESSION",
                (false, true) => "ENGINE",
                (false, false) => "DEFAULT",
            };
            let row =
                || [name.to_owned(), self.value(session, name).to_owned(), from.to_owned(), about.to_owned()];
            rows.entry(name).or_insert_with(row);
        }
        rows.into_values().collect()
    }

    /// The settings of the stream threads of a persistent query.
    pub(crate) fn persistent(
        &self,
        application: &str,
        session: &Properties,
    ) -> Result<StreamsConfig, SqlError> {
        let mut config = self.streams(application, session)?;
        if self.value(session, "auto.offset.reset").is_empty() {
            config.auto_offset_reset = AutoOffsetReset::Earliest;
        }
        Ok(config)
    }

    /// The settings of the stream threads of a push query: nothing of it outlives the client.
    pub(crate) fn transient(
        &self,
        application: &str,
        session: &Properties,
    ) -> Result<StreamsConfig, SqlError> {
        let mut config = self.streams(application, session)?;
        config.processing_guarantee = ProcessingGuarantee::AtLeastOnce;
        config.consumer.push(("isolation.level".to_owned(), "read_committed".to_owned()));
        config.commit_interval = config.commit_interval.min(Duration::from_millis(100));
        if self.value(session, "auto.offset.reset").is_empty() {
            config.auto_offset_reset = AutoOffsetReset::Latest;
        }
        Ok(config)
    }

    fn streams(&self, application: &str, session: &Properties) -> Result<StreamsConfig, SqlError> {
        let mut properties = Properties::new();
        properties.insert("application.id".to_owned(), application.to_owned());
        properties.insert("state.dir".to_owned(), self.state_dir.display().to_string());
        // A row that cannot be read or written never stops a query: the processing log tells about it.
        for handler in ["deserialization.exception.handler", "production.exception.handler"] {
            properties.insert(handler.to_owned(), "continue".to_owned());
        }
        if self.value(session, "ksql.fail.on.deserialization.error") == "true" {
            properties.insert("deserialization.exception.handler".to_owned(), "fail".to_owned());
        }
        for (name, default, _) in STREAMS.iter().filter(|(_, default, _)| !default.is_empty()) {
            properties.insert((*name).to_owned(), (*default).to_owned());
        }
        for (name, value) in
            self.properties.iter().chain(session).filter(|(name, _)| !name.starts_with("ksql."))
        {
            // The older name of a setting means the same one.
            let name = if name == "cache.max.bytes.buffering" { "statestore.cache.max.bytes" } else { name };
            properties.insert(name.to_owned(), value.clone());
        }
        // Input wakes a thread. What else it looks for is other members of its group, and if it is alone there are none.
        if properties.get("num.stream.threads").is_some_and(|threads| threads == "1") {
            properties.entry("poll.ms".to_owned()).or_insert_with(|| "10000".to_owned());
        }
        StreamsConfig::from_properties(properties).map_err(|error| SqlError::invalid(error.to_string()))
    }
}

/// The value of a setting that is a number; 0 if it is none.
pub(crate) fn number(value: &str) -> i64 {
    value.parse().unwrap_or(0)
}

/// Checks a property as SET does; returns its name without the prefix `ksql.streams.`, and its value.
pub(crate) fn check(name: &str, value: &str, span: Span) -> Result<(String, String), SqlError> {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    if let "application.id" | "state.dir" = short {
        return Err(
            SqlError::invalid(format!("property {name} can not be set: every query has its own")).at(span)
        );
    }
    if let Some((_, default, _)) = KSQL.iter().find(|(known, _, _)| *known == short) {
        if matches!(*default, "true" | "false") && !matches!(value, "true" | "false") {
            return Err(SqlError::invalid(format!(
                "property {name} does not take '{value}': it takes true or false"
            ))
            .at(span));
        }
        return Ok((short.to_owned(), value.to_owned()));
    }
    if short.starts_with("ksql.functions.") {
        // Functions of users know settings of their own.
        return Ok((short.to_owned(), value.to_owned()));
    }
    let tried = [("application.id", "check"), (short, value)];
    match StreamsConfig::from_properties(tried) {
        Ok(_) => Ok((short.to_owned(), value.to_owned())),
        Err(millstream_streams::StreamsError::UnknownSetting { .. }) => Err(unknown(name, span)),
        Err(error) => Err(SqlError::invalid(error.to_string()).at(span)),
    }
}

/// The error that no property has this name.
fn unknown(name: &str, span: Span) -> SqlError {
    let known: Vec<&str> = KSQL.iter().map(|(name, _, _)| *name).chain(StreamsConfig::KEYS).collect();
    let near = known.iter().max_by(|a, b| {
        let similar = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
        similar(a).total_cmp(&similar(b))
    });
    let error = SqlError::invalid(format!("unknown property: {name}")).at(span);
    match near {
        Some(near) if strsim::jaro_winkler(&name.to_lowercase(), near) > 0.7 => {
            error.hint(format!("did you mean {near}?"))
        }
        _ => error.hint("SHOW PROPERTIES lists those that are known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_checked() {
        for (name, value, expected) in [
            ("ksql.streams.commit.interval.ms", "5", Ok("commit.interval.ms")),
            ("auto.offset.reset", "earliest", Ok("auto.offset.reset")),
            ("auto.offset.rest", "earliest", Err("did you mean auto.offset.reset?")),
            ("auto.offset.reset", "early", Err("it takes one of earliest, latest, none")),
            ("ksql.query.pull.table.scan.enabled", "maybe", Err("it takes true or false")),
            ("state.dir", "x", Err("can not be set")),
            ("ksql.functions.collect_list.limit", "1", Ok("ksql.functions.collect_list.limit")),
        ] {
            match (check(name, value, Span::default()), expected) {
                (Ok((name, _)), Ok(expected)) => assert_eq!(name, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("{name}={value}: {found:?}, expected {expected:?}"),
            }
        }
    }
}
