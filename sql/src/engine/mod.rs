//! The engine: statements in, outcomes out.
//!
//! ```text
//! text ─▶ parse ─▶ statement ─┬─▶ changes the catalogue: checked, kept in the command topic, applied
//!                             ├─▶ SELECT, PRINT: a query for this client
//!                             └─▶ SHOW, DESCRIBE, EXPLAIN, SET: answered from what is known
//! ```

mod assertion;
mod at_rest;
mod define;
pub(crate) mod pushes;
mod query;
pub(crate) mod schemas;
mod show;
mod source;
mod upgrade;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use at_rest::AtRestSources;
use millstream_log::{Log, NewTopic, Producer, ProducerConfig};
use pushes::Pushes;

use crate::{
    analysis::{self, Context, Purpose, Scans},
    ast::{Emit, Ident, Query, QueryTarget, Show, SourceKind, Spanned, Statement, TypeRef, is_reserved},
    catalogue::{Catalogue, Source},
    command::{COMMAND_TOPIC, Command, CommandLog},
    config::{self, Properties, SqlConfig},
    connectors,
    description::SourceDescription,
    error::SqlError,
    error_topic::ErrorTopic,
    expression::datetime::parse_timestamp,
    function::FunctionRegistry,
    insert,
    parser::{parse, parse_piece, split},
    print::PrintQuery,
    processing_log::ProcessingLog,
    pull::{self, AtRest, Readable, StoredTable, Topic, Until},
    push::{PushQuery, remove_internal_topics},
    query::{PersistentQuery, QueryStatus},
    result::Outcome,
    session::Session,
    types::SqlType,
};

/// Topics that SHOW TOPICS hides without ALL begin so.
const INTERNAL_PREFIX: &str = "_";
/// `application.id`s of push queries begin so.
const TRANSIENT_PREFIX: &str = "_millstream-transient-";

/// Streams, tables and their queries over one log.
///
/// Statements that change them are kept in the topic [`COMMAND_TOPIC`] and applied again by the next engine on the
/// same log, so there must be one engine per log.
pub struct Engine {
    log: Log,
    config: SqlConfig,
    functions: FunctionRegistry,
    /// No query starts: for tests, which step them.
    plans_only: bool,
    /// Where queries write errors of rows, if that was asked for.
    errors: Option<Arc<ErrorTopic>>,
    pushes: Pushes,
    state: Mutex<EngineState>,
}

/// How long other statements wait at most for one that waits for queries.
const WAIT_SLICE: Duration = Duration::from_millis(50);

/// What statements change.
struct EngineState {
    catalogue: Catalogue,
    queries: BTreeMap<String, PersistentQuery>,
    commands: CommandLog,
    inserts: Option<Producer>,
    /// Number of the next push query.
    transient: u64,
    /// Properties of ALTER SYSTEM: they hold where a session sets none.
    system: Properties,
}

/// How a statement is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// For the first time.
    Live,
    /// Again, from the command topic: queries start when all is applied, topics are there.
    Replay,
}

/// What can be typed next: for completion.
#[derive(Clone, Debug, Default)]
pub struct Completions {
    /// Streams and tables with their columns.
    pub sources: Vec<(String, Vec<String>)>,
    /// Topics.
    pub topics: Vec<String>,
    /// Functions.
    pub functions: Vec<String>,
    /// Persistent queries.
    pub queries: Vec<String>,
}

impl Engine {
    /// Opens the engine of a log: applies the statements of earlier runs and starts their queries.
    pub fn open(log: Log, config: SqlConfig) -> Result<Self, SqlError> {
        let engine = Self::planning(log, config)?;
        let errors = engine.error_topic()?;
        let engine = Self { plans_only: false, errors, ..engine };
        let mut state = engine.lock();
        for query in state.queries.values_mut() {
            if let Err(error) = query.start(&engine.log, &engine.config, engine.errors.clone()) {
                tracing::error!(query = query.id, "could not start: {error}");
            }
        }
        drop(state);
        Ok(engine)
    }

    /// Makes the topic of the processing log, and the stream over it, as far as the settings ask for them.
    fn error_topic(&self) -> Result<Option<Arc<ErrorTopic>>, SqlError> {
        let none = Properties::new();
        let value = |name: &str| self.config.value(&none, &format!("ksql.logging.processing.{name}"));
        let stream = value("stream.auto.create") == "true";
        if !stream && value("topic.auto.create") != "true" {
            return Ok(None);
        }
        let name = value("topic.name");
        let failed = |error: &dyn std::fmt::Display| {
            SqlError::failed(format!("make topic {name} of the processing log"), error.to_string())
        };
        let partitions = value("topic.partitions").parse().map_err(|error| failed(&error))?;
        if self.log.describe_topic(name).is_err() {
            let created = self.log.create_topic(NewTopic::new(name).partitions(partitions));
            created.map_err(|error| failed(&error))?;
        }
        let topic = ErrorTopic::new(&self.log, name, value("rows.include") == "true");
        if stream {
            self.execute(&mut Session::new(), &topic.stream(value("stream.name"), partitions))?;
        }
        Ok(Some(topic))
    }

    /// As [`Self::open`], but queries are planned and never start.
    pub(crate) fn planning(log: Log, config: SqlConfig) -> Result<Self, SqlError> {
        // What a killed process left of its push queries is of no use to anyone.
        remove_internal_topics(&log, TRANSIENT_PREFIX);
        let commands = CommandLog::open(&log)?;
        let replayed = commands.read()?;
        let functions = config.registry(log.clock());
        let state = EngineState {
            catalogue: Catalogue::default(),
            queries: BTreeMap::new(),
            commands,
            inserts: None,
            transient: 0,
            system: Properties::new(),
        };
        let state = Mutex::new(state);
        let pushes = Pushes::default();
        let engine = Self { log, config, functions, plans_only: true, errors: None, pushes, state };
        let mut state = engine.lock();
        for (number, command) in replayed {
            engine.replay(&mut state, number, &command);
        }
        drop(state);
        Ok(engine)
    }

    fn replay(&self, state: &mut EngineState, number: u64, command: &Command) {
        let mut apply = || -> Result<(), SqlError> {
            let statement = crate::parser::parse_one(&command.statement)?;
            self.apply(state, number, &statement, command, Mode::Replay).map(|_| ())
        };
        if let Err(error) = apply() {
            tracing::error!(
                number,
                statement = command.statement,
                "could not apply an earlier statement: {error}"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, EngineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a script of statements, one after another, up to the first that fails.
    ///
    /// Variables are replaced statement by statement; places in errors are those in `text`.
    pub fn execute(&self, session: &mut Session, text: &str) -> Result<Vec<Outcome>, SqlError> {
        let mut outcomes = Vec::new();
        if !text.contains("${") {
            for statement in parse(text)? {
                outcomes.push(self.execute_one(session, &statement)?);
            }
            return Ok(outcomes);
        }
        // A DEFINE holds for the statements behind it, so each is read when those before it have run.
        let substitutes =
            self.config.value(&session.properties, "ksql.variable.substitution.enable") == "true";
        for mut piece in split(text)? {
            if substitutes {
                piece.text = session.substitute(&piece)?;
            }
            for statement in parse_piece(&piece)? {
                outcomes.push(self.execute_one(session, &statement)?);
            }
        }
        Ok(outcomes)
    }

    pub(crate) fn execute_one(
        &self,
        session: &mut Session,
        statement: &Spanned<Statement>,
    ) -> Result<Outcome, SqlError> {
        let span = statement.span;
        match &statement.node {
            Statement::CreateSource(_)
            | Statement::CreateAs(_)
            | Statement::InsertSelect(_)
            | Statement::DropSource { .. }
            | Statement::AlterSource { .. }
            | Statement::AlterSystem { .. }
            | Statement::Pause(_)
            | Statement::Resume(_)
            | Statement::CreateType { .. }
            | Statement::DropType { .. } => self.define(session, statement),
            Statement::Terminate(QueryTarget::Id(id)) if id.name.to_uppercase().starts_with("TRANSIENT_") => {
                match self.pushes.end(&id.name) {
                    true => Ok(Outcome::Message("Query terminated.".to_owned())),
                    false => Err(SqlError::invalid(format!(
                        "Failed to terminate query with query ID: '{}'",
                        id.name
                    ))
                    .at(id.span)),
                }
            }
            Statement::Terminate(_) => self.define(session, statement),
            Statement::InsertValues(values) => {
                if self.config.value(&session.properties, "ksql.insert.into.values.enabled") != "true" {
                    return Err(SqlError::invalid(
                        "The server has disabled INSERT INTO ... VALUES functionality. To enable it, set \
                         ksql.insert.into.values.enabled=true",
                    )
                    .at(span));
                }
                let mut state = self.lock();
                let EngineState { catalogue, inserts, .. } = &mut *state;
                let producer = match inserts {
                    Some(producer) => producer,
                    None => {
                        let producer = self.log.producer(ProducerConfig::default());
                        inserts.insert(producer.map_err(|error| SqlError::failed("open a producer", error))?)
                    }
                };
                let functions = self.config.functions_for(&self.functions, &session.properties);
                insert::insert(values, catalogue, &functions, &self.log, producer)?;
                Ok(Outcome::Message("Inserted 1 row".to_owned()))
            }
            Statement::Select(query) => self.select(session, query),
            Statement::AtRest(text) => self.at_rest(text)?.run().map(Outcome::Table),
            Statement::Print(print) => {
                let opened = PrintQuery::open(&self.log, print, self.config.schemas());
                opened.map(Box::new).map(Outcome::Print)
            }
            Statement::Show(Show::Variables) => Ok(show::variables(session)),
            Statement::Show(show) => self.show(session, show, span),
            Statement::Describe(describe) => self.describe(describe),
            Statement::Explain(target) => self.explain(target),
            Statement::Set(property) => {
                let (name, value) = config::check(&property.name, &property.text(), property.name_span)?;
                let old = session.properties.insert(name.clone(), value.clone());
                let from = old.map(|old| format!("from '{old}' ")).unwrap_or_default();
                Ok(Outcome::Message(format!(
                    "Successfully changed local property '{name}' {from}to '{value}'. Use the UNSET command to revert \
                     your change."
                )))
            }
            Statement::Unset { name, .. } => {
                let short = name.strip_prefix("ksql.streams.").unwrap_or(name);
                Ok(Outcome::Message(match session.properties.remove(short) {
                    Some(value) => {
                        format!("Successfully unset local property '{name}' (value was '{value}').")
                    }
                    None => {
                        format!("Cannot unset local property '{name}' which was never set in the first place")
                    }
                }))
            }
            Statement::Define { name, value } => {
                session.define(&name.name, value.clone());
                Ok(Outcome::Message(format!("Defined variable {name}")))
            }
            Statement::Undefine(name) => {
                Ok(Outcome::Message(match session.variables.remove(&name.name.to_uppercase()) {
                    Some(_) => format!("Undefined variable {name}"),
                    None => format!("Cannot undefine variable '{}' which was never defined", name.name),
                }))
            }
            Statement::CreateConnector { kind, name, if_not_exists, with } => {
                connectors::create(self.config.connector_runner(), *kind, name, *if_not_exists, with)
            }
            Statement::DropConnector { name, if_exists } => {
                connectors::remove(self.config.connector_runner(), name, *if_exists)
            }
            Statement::Assert(assertion) => self.assert(session, assertion, span),
        }
    }

    /// SELECT: a push query with EMIT CHANGES, else a pull query.
    fn select(&self, session: &Session, query: &Query) -> Result<Outcome, SqlError> {
        match query.emit {
            Some(Emit::Changes | Emit::Final) => self.push(session, query).map(Box::new).map(Outcome::Push),
            None => self.pull(session, query),
        }
    }

    fn push(&self, session: &Session, query: &Query) -> Result<PushQuery, SqlError> {
        let limit = self.config.value(&session.properties, "ksql.max.push.queries");
        if limit.parse().is_ok_and(|limit: usize| self.pushes.list().len() >= limit) {
            return Err(SqlError::invalid(format!(
                "Not executing statement(s) as it would cause the number of active, push queries to exceed the \
                 configured limit of {limit}."
            ))
            .at(query.span)
            .hint("TERMINATE one, or raise ksql.max.push.queries"));
        }
        let mut state = self.lock();
        let functions = self.config.functions_for(&self.functions, &session.properties);
        let context = Context {
            catalogue: &state.catalogue,
            functions: &functions,
            partitions: &|topic| self.partitions(topic),
        };
        let plan = analysis::analyse(query, Purpose::Client, context)?;
        let number = state.transient;
        state.transient += 1;
        drop(state);
        let id = format!("transient_{}_{number}", plan.source.source.name);
        let application = format!("{TRANSIENT_PREFIX}{}-{number}", plan.source.source.name);
        let config = self.config.transient(&application, &session.properties)?;
        let registration = self.pushes.register(&id, format!("{query};"));
        let errors = ProcessingLog::new(&id, self.log.clock().clone(), self.errors.clone());
        PushQuery::start(id, &plan, query.limit, config, (&self.log, errors), registration)
    }

    fn pull(&self, session: &Session, query: &Query) -> Result<Outcome, SqlError> {
        let setting = |name: &str| self.config.value(&session.properties, name) == "true";
        if query.limit.is_some() && !setting("ksql.query.pull.limit.clause.enabled") {
            return Err(SqlError::invalid(
                "LIMIT clause in pull queries is currently disabled. You can enable them by setting \
                 ksql.query.pull.limit.clause.enabled=true. See https://cnfl.io/queries for more info.\nAdd EMIT \
                 CHANGES if you intended to issue a push query.",
            )
            .at(query.span));
        }
        let state = self.lock();
        let functions = self.config.functions_for(&self.functions, &session.properties);
        let context = Context {
            catalogue: &state.catalogue,
            functions: &functions,
            partitions: &|topic| self.partitions(topic),
        };
        let scans = match setting("ksql.query.pull.table.scan.enabled") {
            true => Scans::Tables,
            false if setting("ksql.query.pull.range.scan.enabled") => Scans::Ranges,
            false => Scans::None,
        };
        let plan = analysis::analyse_pull(query, scans, context)?;
        let source = &plan.source.source;
        let schema = plan.source.schema.clone();
        let readable = match source.kind {
            SourceKind::Stream if !setting("ksql.query.pull.stream.enabled") => {
                return Err(SqlError::invalid(
                    "Pull queries on streams are disabled. To create a push query on the stream, add EMIT CHANGES to \
                     the end. To enable pull queries on streams, set the ksql.query.pull.stream.enabled config to \
                     'true'.",
                )
                .at(query.span));
            }
            SourceKind::Stream => {
                let topic = Topic::new(&self.log, &plan.source, Until::Now, &plan.errors);
                Readable::new(std::sync::Arc::new(topic), schema)
            }
            SourceKind::Table => {
                let query_of = source.query.as_ref().and_then(|id| state.queries.get(id));
                let table = query_of.map(PersistentQuery::table).transpose()?.flatten();
                let Some((view, stored)) = table else {
                    let span = query.from.source.name.span;
                    if let Some((query, error)) =
                        query_of.and_then(|query| Some((&query.id, query.status().error?)))
                    {
                        return Err(SqlError::failed(
                            format!("read {}, whose query {query} is down", source.name),
                            error,
                        )
                        .at(span));
                    }
                    return Err(SqlError::invalid(format!(
                        "The {0} table isn't queryable. To derive a queryable table, you can do 'CREATE TABLE \
                         QUERYABLE_{1} AS SELECT * FROM {1}'. See https://cnfl.io/queries for more info.",
                        crate::ast::quoted(&source.name),
                        source.name
                    ))
                    .at(span));
                };
                let table = StoredTable::new(view, stored, &plan.source)?;
                Readable::new(std::sync::Arc::new(table), schema)
            }
        };
        drop(state);
        pull::run(&plan, &readable).map(Outcome::Table)
    }

    /// Plans a query over data at rest.
    fn at_rest(&self, text: &str) -> Result<AtRest, SqlError> {
        let state = self.lock();
        let sources = AtRestSources { log: &self.log, functions: &self.functions, state: &state };
        AtRest::plan(text, &sources, &self.functions, &parse_timestamp)
    }

    /// Streams and tables, by name.
    pub fn sources(&self) -> Vec<SourceDescription> {
        self.lock().catalogue.sources().map(|source| SourceDescription::new(source)).collect()
    }

    /// Looks at the persistent queries that write to a topic, in the order of their creation, up to the first failure.
    pub(crate) fn planned<T>(
        &self,
        look: impl Fn(&PersistentQuery) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let state = self.lock();
        let mut queries: Vec<&PersistentQuery> =
            state.queries.values().filter(|query| !query.is_stored_only()).collect();
        queries.sort_by_key(|query| query.number);
        queries.into_iter().map(look).collect()
    }

    /// A stream or table.
    pub(crate) fn source(&self, name: &Ident) -> Result<std::sync::Arc<Source>, SqlError> {
        self.lock().catalogue.find(name).cloned()
    }

    /// The type that is meant, with the custom types looked up.
    pub(crate) fn resolve_type(&self, ty: &TypeRef) -> Result<SqlType, SqlError> {
        let state = self.lock();
        ty.resolve(&analysis::custom_types(&state.catalogue))
    }

    /// The functions that statements can call.
    pub(crate) fn functions(&self) -> &FunctionRegistry {
        &self.functions
    }

    /// Settings that hold for all sessions.
    pub(crate) fn config(&self) -> &SqlConfig {
        &self.config
    }

    /// How the persistent queries are, in the order of their ids.
    pub fn queries(&self) -> Vec<QueryStatus> {
        self.lock().queries.values().map(PersistentQuery::status).collect()
    }

    /// What can be typed next.
    pub fn completions(&self) -> Completions {
        let state = self.lock();
        let columns = |source: &crate::catalogue::Source| {
            source.columns.iter().map(|column| crate::ast::quote_if_needed(&column.name)).collect()
        };
        Completions {
            sources: state.catalogue.sources().map(|source| (source.name.clone(), columns(source))).collect(),
            topics: self.log.topics().iter().map(|topic| topic.name.to_string()).collect(),
            functions: self.functions.list().into_iter().map(|function| function.name).collect(),
            queries: state.queries.keys().cloned().collect(),
        }
    }

    /// Waits until the persistent queries have processed and committed all input: true if that came before `timeout`.
    ///
    /// Fails if a query has failed.
    pub fn wait_caught_up(&self, timeout: Duration) -> Result<bool, SqlError> {
        let clock = self.log.clock().clone();
        let deadline = clock.monotonic() + timeout;
        // What one query writes is another's input, so all must be found caught up in one round.
        loop {
            let left = deadline.saturating_sub(clock.monotonic());
            if self.round_caught_up(left.min(WAIT_SLICE))? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Looks at every query once, waiting up to `slice` for those that are behind; other statements wait that long too.
    fn round_caught_up(&self, slice: Duration) -> Result<bool, SqlError> {
        let state = self.lock();
        let mut waited = false;
        for query in state.queries.values() {
            let failed = |error: &dyn std::fmt::Display| {
                SqlError::failed(format!("wait for query {}", query.id), error.to_string())
            };
            if let Some(error) = query.status().error {
                return Err(failed(&error));
            }
            let Some(streams) = query.streams() else { continue };
            if streams.wait_caught_up(Duration::ZERO).map_err(|error| failed(&error))? {
                continue;
            }
            waited = true;
            if !streams.wait_caught_up(slice).map_err(|error| failed(&error))? {
                return Ok(false);
            }
        }
        Ok(!waited)
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Commits and ends all queries. They go on where they were when the log is opened again.
    pub fn close(self) -> Result<(), SqlError> {
        self.lock().queries.values_mut().for_each(PersistentQuery::close);
        Ok(())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The words of the grammar, for completion and highlighting.
pub fn is_keyword(word: &str) -> bool {
    is_reserved(&word.to_uppercase())
}

/// The query of that id, or an error that names the nearest.
fn find_query<'a>(
    queries: &'a BTreeMap<String, PersistentQuery>,
    id: &Ident,
) -> Result<&'a PersistentQuery, SqlError> {
    let known = queries.iter().find(|(known, _)| known.eq_ignore_ascii_case(&id.name));
    known.map(|(_, query)| query).ok_or_else(|| {
        let ids: Vec<&String> = queries.keys().collect();
        let error = SqlError::invalid(format!("Unknown queryId: {}", id.name)).at(id.span);
        if ids.is_empty() {
            error.hint("there are no persistent queries")
        } else {
            error.hint_nearest(&id.name, &ids, "queries")
        }
    })
}

/// The ids a statement is about.
fn target_ids(
    queries: &BTreeMap<String, PersistentQuery>,
    target: &QueryTarget,
) -> Result<Vec<String>, SqlError> {
    match target {
        QueryTarget::All => Ok(queries.keys().cloned().collect()),
        QueryTarget::Id(id) => Ok(vec![find_query(queries, id)?.id.clone()]),
    }
}

/// Whether SHOW TOPICS hides a topic.
fn is_hidden(topic: &str) -> bool {
    topic.starts_with(INTERNAL_PREFIX) || topic == COMMAND_TOPIC
}
