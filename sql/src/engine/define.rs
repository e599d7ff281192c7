//! Statements that change the catalogue: checked, kept, applied.

use std::sync::Arc;

use millstream_formats::{Format, FormatSpec};
use millstream_log::NewTopic;

use super::{Engine, EngineState, Mode, target_ids};
use crate::{
    analysis::{self, Context, Purpose},
    ast::{
        ColumnConstraint, CreateAs, CreateSource, Ident, InsertSelect, OnExisting, SourceKind, Spanned,
        Statement, quote_if_needed,
    },
    catalogue::{Column, Columns, PSEUDO_COLUMNS, Source, kind_name},
    command::Command,
    config::Properties,
    error::SqlError,
    plan::{Materialize, Origin, Plan, RowTime, Step},
    query::PersistentQuery,
    result::Outcome,
    session::Session,
    with::With,
};

/// Streams keep records a week unless they say otherwise.
const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Engine {
    /// Applies a statement for the first time and keeps it.
    pub(super) fn define(
        &self,
        session: &Session,
        statement: &Spanned<Statement>,
    ) -> Result<Outcome, SqlError> {
        let mut state = self.lock();
        let command = Command { statement: statement.text.clone(), properties: session.properties.clone() };
        let number = state.commands.next()?;
        self.apply(&mut state, number, statement, &command, Mode::Live)
    }

    /// Checks a statement, keeps it if it is new, and applies it. Number `number` in the command topic is its own.
    pub(super) fn apply(
        &self,
        state: &mut EngineState,
        number: u64,
        statement: &Spanned<Statement>,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        match &statement.node {
            Statement::CreateSource(create) => self.create_source(state, create, command, mode),
            Statement::CreateAs(create) => self.create_as(state, number, create, command, mode),
            Statement::InsertSelect(insert) => self.insert_select(state, number, insert, command, mode),
            Statement::DropSource { kind, name, if_exists, delete_topic } => {
                self.drop_source(state, *kind, name, *if_exists, *delete_topic, command, mode)
            }
            Statement::Terminate(target) => {
                let ids = target_ids(&state.queries, target)?;
                keep(state, command, mode)?;
                for id in &ids {
                    self.terminate(state, id, mode);
                }
                Ok(Outcome::Message(format!("Query terminated: {}", ids.join(", "))))
            }
            Statement::CreateType { name, ty, if_not_exists } => {
                if let Some(known) = state.catalogue.custom_type(&name.name) {
                    if *if_not_exists {
                        return Ok(Outcome::Message(format!(
                            "{name} is already registered with type: {known}"
                        )));
                    }
                    let message = format!(
                        "cannot register custom type '{name}' since it is already registered with type: {known}"
                    );
                    return Err(SqlError::invalid(message).at(name.span));
                }
                let ty = ty.resolve(&analysis::custom_types(&state.catalogue))?;
                keep(state, command, mode)?;
                let message = format!("Registered custom type with name '{name}' and SQL type {ty}");
                state.catalogue.put_type(name.name.clone(), ty);
                Ok(Outcome::Message(message))
            }
            Statement::DropType { name, if_exists } => {
                if state.catalogue.custom_type(&name.name).is_none() {
                    if *if_exists {
                        return Ok(Outcome::Message(format!("Type {name} does not exist")));
                    }
                    return Err(SqlError::invalid(format!("type {name} does not exist")).at(name.span));
                }
                keep(state, command, mode)?;
                state.catalogue.remove_type(&name.name);
                Ok(Outcome::Message(format!("Dropped type '{name}'")))
            }
            _ => {
                Err(SqlError::unsupported("this statement does not change the catalogue").at(statement.span))
            }
        }
    }

    fn create_source(
        &self,
        state: &mut EngineState,
        create: &CreateSource,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        if let Some(outcome) = check_name(state, create.kind, &create.name, create.on_existing)? {
            return Ok(outcome);
        }
        if create.read_only && create.kind == SourceKind::Table {
            return Err(SqlError::unsupported("CREATE SOURCE TABLE is not supported by this version")
                .at(create.name.span));
        }
        let columns = declared_columns(state, create)?;
        let with = With::of_create(&create.with)?;
        let place = create.with.span.unwrap_or(create.name.span);
        let Some(topic) = with.topic.clone() else {
            return Err(SqlError::invalid(
                "missing required property KAFKA_TOPIC which has no default value",
            )
            .at(place)
            .hint(format!("WITH (KAFKA_TOPIC='{}', VALUE_FORMAT='JSON')", create.name.name.to_lowercase())));
        };
        let (key_format, value_format) = self.declared_formats(&with, &columns, command, place)?;
        if create.kind == SourceKind::Table && columns.key.is_empty() {
            return Err(SqlError::invalid("tables require a PRIMARY KEY")
                .at(create.name.span)
                .hint("declare one column as PRIMARY KEY"));
        }
        let key_format = with.key_spec(&columns, key_format).map_err(|error| error.at(place))?;
        let source = Source {
            name: create.name.name.clone(),
            kind: create.kind,
            key_format,
            inherited_key_format: with.inherited_key_format(key_format, key_format),
            value_format: with.value_spec(&columns, value_format).map_err(|error| error.at(place))?,
            wraps_explicitly: with.wrapped.is_some(),
            timestamp: with.timestamp(&columns)?,
            window: with.window,
            read_only: create.read_only,
            statement: command.statement.clone(),
            query: None,
            topic,
            columns,
        };
        if source.window.is_some() && source.columns.key.is_empty() {
            return Err(SqlError::invalid("windowed sources require a key column").at(create.name.span));
        }
        analysis::row_time(&source, &self.functions, &Default::default())?;
        if mode == Mode::Live {
            self.provide_topic(&source, &with, None, place)?;
        }
        keep(state, command, mode)?;
        let message = format!("{} {} created", capital(source.kind), source.name);
        state.catalogue.put(source);
        Ok(Outcome::Message(message))
    }

    /// The formats that hold when the WITH clause names none.
    fn declared_formats(
        &self,
        with: &With,
        columns: &Columns,
        command: &Command,
        place: crate::ast::Span,
    ) -> Result<(FormatSpec, FormatSpec), SqlError> {
        let setting = |name: &str| -> Result<Option<Format>, SqlError> {
            match self.config.value(&command.properties, name) {
                "" => Ok(None),
                value => value.parse().map(Some).map_err(|error: millstream_formats::FormatError| {
                    SqlError::invalid(format!("property {name}: {error}"))
                }),
            }
        };
        let key = setting("ksql.persistence.default.format.key")?.unwrap_or(Format::Kafka);
        let Some(value) = with.value_format.or(setting("ksql.persistence.default.format.value")?) else {
            return Err(SqlError::invalid(
                "missing required property VALUE_FORMAT which has no default value",
            )
            .at(place)
            .hint("VALUE_FORMAT='JSON', or set 'ksql.persistence.default.format.value'"));
        };
        Ok((FormatSpec::key(key, columns.key.len()), FormatSpec::value(value)))
    }

    fn create_as(
        &self,
        state: &mut EngineState,
        number: u64,
        create: &CreateAs,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        if let Some(outcome) = check_name(state, create.kind, &create.name, create.on_existing)? {
            return Ok(outcome);
        }
        let with = With::of_create_as(&create.with)?;
        let place = create.with.span.unwrap_or(create.name.span);
        let context = Context { catalogue: &state.catalogue, functions: &self.functions };
        let mut plan = analysis::analyse(
            &create.query,
            Purpose::Persistent { kind: create.kind, with: &with },
            context,
        )?;
        let left = plan.source.source.clone();
        let columns = Columns { key: plan.output.key.clone(), value: plan.output.value.clone() };
        let dropped_key = columns.key.is_empty() && !create.query.partition_by.is_empty();
        if let Some(span) = with.key_format_span.filter(|_| dropped_key) {
            return Err(SqlError::invalid("key format specified for a stream without key columns")
                .at(span)
                .hint("PARTITION BY NULL drops the key"));
        }
        let inherited = left.inherited_key_format;
        let key_format = with.key_spec(&columns, inherited).map_err(|error| error.at(place))?;
        let inherited = if dropped_key { key_format } else { inherited };
        let prefix = self.config.value(&command.properties, "ksql.output.topic.name.prefix");
        let kind = if create.kind == SourceKind::Stream { "CSAS" } else { "CTAS" };
        let id = format!("{kind}_{}_{number}", create.name.name);
        let source = Source {
            name: create.name.name.clone(),
            kind: create.kind,
            topic: with.topic.clone().unwrap_or_else(|| format!("{prefix}{}", create.name.name)),
            key_format,
            inherited_key_format: with.inherited_key_format(key_format, inherited),
            value_format: with.value_spec(&columns, left.value_format).map_err(|error| error.at(place))?,
            wraps_explicitly: with.wrapped.is_some(),
            timestamp: with.timestamp(&columns)?,
            window: plan.output.window,
            read_only: false,
            statement: command.statement.clone(),
            query: Some(id.clone()),
            columns,
        };
        if with.retention_ms.is_some() && source.kind == SourceKind::Table && source.window.is_none() {
            return Err(SqlError::invalid("non-windowed tables do not support RETENTION_MS").at(place));
        }
        materialize(&mut plan, &source);
        let time = analysis::row_time(&source, &self.functions, &plan.errors)?;
        if mode == Mode::Live {
            self.provide_topic(&source, &with, Some(&plan), place)?;
        }
        let sink = Arc::new(source);
        self.run(state, id, number, plan, sink.clone(), time, command, mode)?;
        let message = format!("Created query with ID {}", sink.query.as_deref().unwrap_or_default());
        state.catalogue.put(Source::clone(&sink));
        Ok(Outcome::Message(message))
    }

    /// Starts a query and keeps its statement: in that order, so that a query that cannot run leaves nothing behind.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one query")]
    fn run(
        &self,
        state: &mut EngineState,
        id: String,
        number: u64,
        plan: Plan,
        sink: Arc<Source>,
        time: Option<RowTime>,
        command: &Command,
        mode: Mode,
    ) -> Result<(), SqlError> {
        let properties: Properties = command.properties.clone();
        let mut query =
            PersistentQuery::new(id.clone(), number, command.statement.clone(), plan, sink, time, properties);
        if mode == Mode::Live {
            if self.plans_only {
                query.topology()?;
            } else {
                query.start(&self.log, &self.config)?;
            }
            if let Err(error) = keep(state, command, mode) {
                query.remove(&self.log, &self.config);
                return Err(error);
            }
        }
        state.queries.insert(id, query);
        Ok(())
    }

    fn insert_select(
        &self,
        state: &mut EngineState,
        number: u64,
        insert: &InsertSelect,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        insert.with.check_names(&["QUERY_ID"])?;
        let id = match insert.with.get("QUERY_ID") {
            None => format!("INSERTQUERY_{number}"),
            Some(property) => {
                let id = property.string()?.to_uppercase();
                let legal = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let taken = state.queries.contains_key(&id);
                let reserved =
                    ["INSERTQUERY_", "CTAS_", "CSAS_", "CST_"].iter().any(|prefix| id.starts_with(prefix));
                if !legal || taken || reserved {
                    return Err(
                        property.wrong("an unused name of letters, digits and _ without a reserved prefix")
                    );
                }
                id
            }
        };
        let target = state.catalogue.find(&insert.target)?.clone();
        if target.kind != SourceKind::Stream || target.read_only || target.window.is_some() {
            return Err(SqlError::invalid(format!(
                "INSERT INTO takes a stream that can be written, not {}",
                target.name
            ))
            .at(insert.target.span));
        }
        let with = With::default();
        let context = Context { catalogue: &state.catalogue, functions: &self.functions };
        let plan = analysis::analyse(&insert.query, Purpose::Insert { with: &with }, context)?;
        let result = Columns { key: plan.output.key.clone(), value: plan.output.value.clone() };
        if result != target.columns {
            return Err(SqlError::invalid(format!(
                "incompatible schema between results and sink: result is ({result}), {} is ({})",
                target.name, target.columns
            ))
            .at(insert.query.span)
            .hint("select the same names and types in the same order; CAST changes a type, AS a name"));
        }
        let time = analysis::row_time(&target, &self.functions, &plan.errors)?;
        self.run(state, id.clone(), number, plan, target, time, command, mode)?;
        Ok(Outcome::Message(format!("Created query with ID {id}")))
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one statement")]
    fn drop_source(
        &self,
        state: &mut EngineState,
        kind: SourceKind,
        name: &Ident,
        if_exists: bool,
        delete_topic: bool,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        let Some(source) = state.catalogue.get(&name.name).cloned() else {
            if if_exists {
                return Ok(Outcome::Message(format!("Source {name} does not exist.")));
            }
            return Err(state
                .catalogue
                .find(name)
                .err()
                .unwrap_or_else(|| SqlError::invalid("no such source")));
        };
        if source.kind != kind {
            return Err(SqlError::invalid(format!(
                "incompatible data source type is {}, but statement was DROP {}",
                source.kind_name(),
                kind_name(kind)
            ))
            .at(name.span)
            .hint(format!("DROP {} {name}", source.kind_name().to_uppercase())));
        }
        let readers = state.queries.values().filter(|query| query.plan.sources().contains(&source.name));
        let mut readers: Vec<String> =
            readers.map(|query| format!("{} ({})", query.sink.name, query.id)).collect();
        readers.sort();
        if !readers.is_empty() {
            return Err(SqlError::invalid(format!(
                "cannot drop {name}: it is read by {}",
                readers.join(", ")
            ))
            .at(name.span)
            .hint("drop the streams and tables that read it first"));
        }
        let writes = |query: &&PersistentQuery| {
            query.sink.name == source.name && Some(&query.id) != source.query.as_ref()
        };
        let writers: Vec<String> =
            state.queries.values().filter(writes).map(|query| query.id.clone()).collect();
        if !writers.is_empty() {
            return Err(SqlError::invalid(format!(
                "cannot drop {name}: it is written by {}",
                writers.join(", ")
            ))
            .at(name.span)
            .hint("TERMINATE these queries first"));
        }
        if delete_topic {
            let shared = state
                .catalogue
                .sources()
                .find(|other| other.topic == source.topic && other.name != source.name);
            if source.read_only {
                return Err(
                    SqlError::invalid(format!("cannot delete the topic of read-only {name}")).at(name.span)
                );
            }
            if let Some(other) = shared {
                let message = format!("cannot delete topic {}: {} uses it too", source.topic, other.name);
                return Err(SqlError::invalid(message)
                    .at(name.span)
                    .hint(format!("drop {} first", other.name)));
            }
        }
        keep(state, command, mode)?;
        if let Some(id) = &source.query {
            self.terminate(state, id, mode);
        }
        state.catalogue.remove(&name.name);
        if delete_topic && mode == Mode::Live {
            let deleted = self.log.delete_topic(&source.topic);
            deleted.map_err(|error| SqlError::failed(format!("delete topic {}", source.topic), error))?;
        }
        Ok(Outcome::Message(format!("Source {name} was dropped.")))
    }

    fn terminate(&self, state: &mut EngineState, id: &str, mode: Mode) {
        if let Some(mut query) = state.queries.remove(id)
            && mode == Mode::Live
        {
            query.remove(&self.log, &self.config);
        }
        let orphan = state.catalogue.sources().find(|source| source.query.as_deref() == Some(id)).cloned();
        if let Some(source) = orphan {
            // The source stays, but nothing fills it any more.
            state.catalogue.put(Source { query: None, ..Source::clone(&source) });
        }
    }

    /// Makes sure that the topic of a new source is there and is what the statement asks for. What a query's sink is
    /// not told, it takes over from the topic the query reads first.
    fn provide_topic(
        &self,
        source: &Source,
        with: &With,
        plan: Option<&Plan>,
        place: crate::ast::Span,
    ) -> Result<(), SqlError> {
        let name = &source.topic;
        if let Ok(topic) = self.log.describe_topic(name) {
            return match with.partitions {
                Some(wanted) if wanted != topic.partitions => Err(SqlError::invalid(format!(
                    "a topic with the name '{name}' already exists, with {} partitions instead of {wanted}",
                    topic.partitions
                ))
                .at(place)
                .hint("leave PARTITIONS out, or choose another topic")),
                _ => Ok(()),
            };
        }
        let left = plan.map(|plan| &plan.source.source.topic);
        let left = left.map(|topic| {
            let described = self.log.describe_topic(topic);
            described.map_err(|error| SqlError::failed(format!("read topic {topic}"), error))
        });
        let left = left.transpose()?;
        let Some(partitions) = with.partitions.or(left.as_ref().map(|left| left.partitions)) else {
            return Err(SqlError::invalid(format!("topic {name} does not exist"))
                .at(place)
                .hint("add PARTITIONS to create it, for example PARTITIONS=1"));
        };
        let policy = match (source.kind, source.window) {
            (SourceKind::Stream, _) => "delete",
            (SourceKind::Table, None) => "compact",
            (SourceKind::Table, Some(_)) => "compact,delete",
        };
        let mut topic = NewTopic::new(name).partitions(partitions).config("cleanup.policy", policy);
        if policy != "compact" {
            let inherited = left.as_ref().and_then(|left| left.configs.get("retention.ms")?.parse().ok());
            let asked = with.retention_ms.or(inherited).unwrap_or(RETENTION_MS);
            let windows = plan.and_then(Plan::window).map_or(0, |window| window.retention_ms);
            // Without a limit already, or at least as long as the windows can be queried.
            let retention_ms = if asked < 0 { asked } else { asked.max(windows) };
            topic = topic.config("retention.ms", retention_ms.to_string());
        }
        if let Some(replicas) = with.replicas {
            topic = topic.replication_factor(replicas);
        }
        let created = self.log.create_topic(topic);
        created.map(|_| ()).map_err(|error| SqlError::failed(format!("create topic {name}"), error))
    }
}

/// Keeps a statement that was checked, unless it comes from there.
fn keep(state: &mut EngineState, command: &Command, mode: Mode) -> Result<(), SqlError> {
    match mode {
        Mode::Live => state.commands.append(command),
        Mode::Replay => Ok(()),
    }
}

fn capital(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "Stream",
        SourceKind::Table => "Table",
    }
}

/// Whether a new source may have this name; an outcome if there is nothing to do.
fn check_name(
    state: &EngineState,
    kind: SourceKind,
    name: &Ident,
    on_existing: OnExisting,
) -> Result<Option<Outcome>, SqlError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.name.is_empty() || !name.name.chars().all(legal) {
        return Err(SqlError::invalid(format!("illegal name {name}"))
            .at(name.span)
            .hint("source names may only contain alphanumeric values, '_' or '-'"));
    }
    let Some(known) = state.catalogue.get(&name.name) else { return Ok(None) };
    let exists = format!("a {} with the same name already exists", known.kind_name());
    match on_existing {
        OnExisting::Keep => Ok(Some(Outcome::Message(format!(
            "Cannot add {} {}: {exists}.",
            kind_name(kind),
            quote_if_needed(&name.name)
        )))),
        OnExisting::Fail => {
            Err(SqlError::invalid(format!("cannot add {} '{}': {exists}", kind_name(kind), name.name))
                .at(name.span)
                .hint("use IF NOT EXISTS, or DROP it first"))
        }
        OnExisting::Replace => Err(SqlError::unsupported(
            "CREATE OR REPLACE of an existing source is not supported by this version",
        )
        .at(name.span)
        .hint("DROP it first")),
    }
}

fn declared_columns(state: &EngineState, create: &CreateSource) -> Result<Columns, SqlError> {
    let mut columns = Columns::default();
    for declared in &create.columns {
        let name = &declared.name;
        if PSEUDO_COLUMNS.contains(&name.name.as_str()) {
            return Err(SqlError::invalid(format!("'{}' is a reserved column name", name.name)).at(name.span));
        }
        if columns.find(&name.name).is_some() {
            return Err(SqlError::invalid(format!("duplicate column name: {}", name.name)).at(name.span));
        }
        let ty = declared.ty.resolve(&analysis::custom_types(&state.catalogue))?;
        let column = Column::new(&name.name, ty);
        match (&declared.constraint, create.kind) {
            (None, _) => columns.value.push(column),
            (Some(ColumnConstraint::Key), SourceKind::Stream)
            | (Some(ColumnConstraint::PrimaryKey), SourceKind::Table) => columns.key.push(column),
            (Some(ColumnConstraint::Key), SourceKind::Table) => {
                return Err(SqlError::invalid(format!(
                    "column {} is KEY, but tables have a PRIMARY KEY",
                    name.name
                ))
                .at(declared.span)
                .hint("write PRIMARY KEY"));
            }
            (Some(ColumnConstraint::PrimaryKey), SourceKind::Stream) => {
                return Err(SqlError::invalid(format!(
                    "column {} is PRIMARY KEY, but streams have a KEY",
                    name.name
                ))
                .at(declared.span)
                .hint("write KEY"));
            }
            (Some(ColumnConstraint::Headers | ColumnConstraint::Header(_)), _) => {
                return Err(SqlError::unsupported("HEADERS columns are not supported by this version")
                    .at(declared.span));
            }
        }
    }
    if columns.key.is_empty() && columns.value.is_empty() {
        return Err(SqlError::invalid("the statement does not define any columns")
            .at(create.name.span)
            .hint("declare them: (ID INT KEY, NAME STRING)"));
    }
    if columns.value.is_empty() {
        return Err(SqlError::unsupported("sources without value columns are not supported by this version")
            .at(create.name.span));
    }
    Ok(columns)
}

/// A table made of a table keeps its rows; one that aggregates keeps its aggregates already.
fn materialize(plan: &mut Plan, sink: &Source) {
    let aggregates = plan.steps.iter().any(|step| matches!(step, Step::Aggregate(_)));
    if sink.kind == SourceKind::Stream || aggregates || sink.window.is_some() {
        return;
    }
    plan.steps.push(Step::Materialize(Materialize {
        store: "Rows-Materialize".to_owned(),
        key: sink.columns.key.clone(),
        key_format: sink.key_format,
        value: sink.columns.value.clone(),
        value_format: sink.value_format,
        key_bytes: plan.output.key_bytes == Some(sink.key_format),
    }));
    // The rows that come out of the store carry its keys.
    plan.output.key_bytes = Some(sink.key_format);
    debug_assert!(plan.source.origins.iter().all(|origin| *origin != Origin::ValueBytes), "for joins only");
}
