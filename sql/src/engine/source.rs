//! Streams and tables over topics: declared, altered, dropped.

use std::sync::Arc;

use millstream_formats::{Format, FormatSpec};
use millstream_log::NewTopic;

use super::{Engine, EngineState, Mode, define::keep, upgrade};
use crate::{
    analysis,
    ast::{ColumnConstraint, CreateSource, Ident, OnExisting, SourceKind, Span, TypeRef, quoted},
    catalogue::{Catalogue, Column, Columns, HeaderColumn, PSEUDO_COLUMNS, Source, kind_name},
    command::Command,
    config::Properties,
    error::{SqlError, nearest},
    plan::Plan,
    query::PersistentQuery,
    result::Outcome,
    types::SqlType,
    with::{Side, With},
};

/// Streams keep records a week unless they say otherwise.
const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// What there is under the name of a new source.
pub(super) enum Existing {
    /// Nothing.
    No,
    /// A source that stays: this says so.
    Kept(Outcome),
    /// A source that is upgraded.
    Replaced(Arc<Source>),
}

impl Engine {
    pub(super) fn create_source(
        &self,
        state: &mut EngineState,
        number: u64,
        create: &CreateSource,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        let (replaceable, enabled) = (!create.read_only, self.may_replace(&command.properties));
        let named = (create.kind, &create.name);
        let existing = existing(state, named, create.on_existing, replaceable, enabled)?;
        if let Existing::Kept(outcome) = existing {
            return Ok(outcome);
        }
        for (name, keys) in [("KEY_SCHEMA_ID", true), ("VALUE_SCHEMA_ID", false)] {
            let is_key = |constraint: &Option<ColumnConstraint>| {
                matches!(constraint, Some(ColumnConstraint::Key | ColumnConstraint::PrimaryKey))
            };
            // The command topic has the statement with the columns that were found.
            if mode == Mode::Live
                && let Some(property) = create.with.get(name)
                && create.columns.iter().any(|column| is_key(&column.constraint) == keys)
            {
                let what = if keys { "key columns" } else { "elements" };
                let message = format!("Table {what} and {name} cannot both exist for create statement.");
                return Err(SqlError::invalid(message).at(property.name_span));
            }
        }
        let mut with = With::of_create(&create.with)?;
        with.wrapped_default = self.wrapped_default(&command.properties);
        with.json_sr_converter = self.json_sr_converter(&command.properties);
        let place = create.with.span.unwrap_or(create.name.span);
        let Some(topic) = with.topic.clone() else {
            return Err(SqlError::invalid(
                "Missing required property \"KAFKA_TOPIC\" which has no default value.",
            )
            .at(place)
            .hint(format!("WITH (KAFKA_TOPIC='{}', VALUE_FORMAT='JSON')", create.name.name.to_lowercase())));
        };
        let specs = self.declared_formats(&with, 1, &command.properties, place)?;
        with.check_delimiters(specs.0.format, specs.1.format, place)?;
        let inferred = match mode {
            Mode::Live => self.with_inferred_columns(create, &with, &topic, specs)?,
            Mode::Replay => None,
        };
        let completed = inferred
            .as_ref()
            .map(|create| Command { statement: create.to_string(), properties: command.properties.clone() });
        let (create, command) = (inferred.as_ref().unwrap_or(create), completed.as_ref().unwrap_or(command));
        if inferred.is_some() {
            // The names of its records are known now.
            let (wrapped_default, json_sr_converter) = (with.wrapped_default, with.json_sr_converter);
            with = With::of_create(&create.with)?;
            (with.wrapped_default, with.json_sr_converter) = (wrapped_default, json_sr_converter);
        }
        let key_count = create.columns.iter().filter(|column| {
            matches!(column.constraint, Some(ColumnConstraint::Key | ColumnConstraint::PrimaryKey))
        });
        let (key_format, value_format) =
            self.declared_formats(&with, key_count.count(), &command.properties, place)?;
        let columns = declared_columns(state, create)?;
        let key_format = with.key_spec(&columns, key_format).map_err(|error| error.at(place))?;
        let value_format = with.value_spec(&columns, value_format).map_err(|error| error.at(place))?;
        let named = (create.name.name.as_str(), topic.as_str());
        let subject = |side: Side, spec: FormatSpec| {
            let subject = with.subject(side, self.config.schemas(), spec.format, named, None);
            subject.map_err(|error| error.at(place))
        };
        let source = Source {
            name: create.name.name.clone(),
            kind: create.kind,
            key_subject: subject(Side::Key, key_format)?,
            value_subject: subject(Side::Value, value_format)?,
            key_format,
            inherited_key_format: with.inherited_key_format(key_format, key_format),
            value_format,
            wraps_explicitly: with.wraps_explicitly(&columns, value_format),
            timestamp: with.timestamp(&columns)?,
            window: with.window,
            read_only: create.read_only,
            statement: command.statement.clone(),
            query: None,
            topic,
            columns,
        };
        with.check_retention(&source).map_err(|error| error.at(place))?;
        if source.window.is_some() && source.columns.key.is_empty() {
            return Err(SqlError::invalid("Windowed sources require a key column.").at(create.name.span));
        }
        if let Existing::Replaced(known) = &existing {
            upgrade::check_source(known, &source).map_err(|error| error.at(create.name.span))?;
        }
        analysis::row_time(&source, &self.functions, &Default::default())?;
        if mode == Mode::Live {
            self.provide_topic(&source, &with, None, place)?;
            self.register_schemas(&source, true, place)?;
        }
        let message = match existing {
            Existing::Replaced(_) => format!("{} {} replaced", capital(source.kind), source.name),
            _ => format!("{} {} created", capital(source.kind), source.name),
        };
        if create.read_only && create.kind == SourceKind::Table {
            return self.create_source_table(state, number, source, command, mode);
        }
        keep(state, command, mode)?;
        state.catalogue.put(source);
        Ok(Outcome::Message(message))
    }

    /// The formats that hold when the WITH clause names none.
    fn declared_formats(
        &self,
        with: &With,
        keys: usize,
        properties: &Properties,
        place: Span,
    ) -> Result<(FormatSpec, FormatSpec), SqlError> {
        let setting = |name: &str| -> Result<Option<Format>, SqlError> {
            match self.config.value(properties, name) {
                "" => Ok(None),
                value => value.parse().map(Some).map_err(|error: millstream_formats::FormatError| {
                    SqlError::invalid(format!("property {name}: {error}"))
                }),
            }
        };
        let missing = |side: &str| {
            SqlError::invalid(format!(
                "Statement is missing the '{side}_FORMAT' property from the WITH clause. Either provide one or set \
                 a default via the 'ksql.persistence.default.format.{}' config.",
                side.to_lowercase()
            ))
            .at(place)
        };
        let key = with.key_format.or(setting("ksql.persistence.default.format.key")?);
        let value = with.value_format.or(setting("ksql.persistence.default.format.value")?);
        let key = key.ok_or_else(|| missing("KEY"))?;
        let value = value.ok_or_else(|| missing("VALUE"))?;
        Ok((FormatSpec::key(key, keys), FormatSpec::value(value)))
    }

    /// `ksql.create.or.replace.enabled`
    pub(super) fn may_replace(&self, properties: &Properties) -> bool {
        self.config.value(properties, "ksql.create.or.replace.enabled") == "true"
    }

    /// How JSON_SR is read: by the schema of each record, or as JSON.
    pub(super) fn json_sr_converter(&self, properties: &Properties) -> bool {
        self.config.value(properties, "ksql.json_sr.converter.deserializer.enabled") == "true"
    }

    /// `ksql.persistence.wrap.single.values`
    pub(super) fn wrapped_default(&self, properties: &Properties) -> Option<bool> {
        self.config.value(properties, "ksql.persistence.wrap.single.values").parse().ok()
    }

    /// The source of a DROP statement, if it may go; `None` if there is none.
    pub(super) fn droppable(
        &self,
        state: &EngineState,
        kind: SourceKind,
        name: &Ident,
        delete_topic: bool,
    ) -> Result<Option<Arc<Source>>, SqlError> {
        let Some(source) = state.catalogue.get(&name.name).cloned() else { return Ok(None) };
        if source.kind != kind {
            return Err(incompatible(&source, kind, "DROP", name));
        }
        let own = |query: &&PersistentQuery| Some(&query.id) == source.query.as_ref();
        let reads = |query: &&PersistentQuery| query.plan.sources().contains(&source.name);
        let readers = state.queries.values().filter(|query| reads(query) && !own(query));
        let mut readers: Vec<&str> = readers.map(|query| query.sink.name.as_str()).collect();
        readers.sort_unstable();
        readers.dedup();
        if !readers.is_empty() {
            return Err(SqlError::invalid(format!(
                "Cannot drop {name}.\nThe following streams and/or tables read from this source: [{}].\nYou need to \
                 drop them before dropping {name}.",
                readers.join(", ")
            ))
            .at(name.span));
        }
        let writers = state.queries.values().filter(|query| query.sink.name == source.name && !own(query));
        let writers: Vec<&str> = writers.map(|query| query.id.as_str()).collect();
        if !writers.is_empty() {
            return Err(SqlError::invalid(format!(
                "Cannot drop {name}.\nThe following queries write into this source: [{}].\nYou need to terminate \
                 them before dropping {name}.",
                writers.join(", ")
            ))
            .at(name.span)
            .hint(format!("TERMINATE {}", writers[0])));
        }
        if delete_topic {
            if source.read_only {
                return Err(SqlError::invalid(format!("Cannot delete topic for read-only source: {name}"))
                    .at(name.span));
            }
            let others = state.catalogue.sources();
            let others = others.filter(|other| other.topic == source.topic && other.name != source.name);
            let others: Vec<&str> = others.map(|other| other.name.as_str()).collect();
            if !others.is_empty() {
                return Err(SqlError::invalid(format!(
                    "Refusing to delete topic. Found other data sources ({}) using topic {}",
                    others.join(", "),
                    source.topic
                ))
                .at(name.span));
            }
        }
        Ok(Some(source))
    }

    /// Removes a source, the query of its CREATE .. AS, and with `delete_topic` its topic.
    pub(super) fn drop_source(
        &self,
        state: &mut EngineState,
        source: &Source,
        delete_topic: bool,
        mode: Mode,
    ) -> Result<(), SqlError> {
        if let Some(id) = &source.query {
            self.terminate(state, id, mode);
        }
        state.catalogue.remove(&source.name);
        if delete_topic && mode == Mode::Live {
            let deleted = self.log.delete_topic(&source.topic);
            deleted.map_err(|error| SqlError::failed(format!("delete topic {}", source.topic), error))?;
            // Again, for the query may have registered them until it ended.
            self.delete_schemas(source)?;
        }
        Ok(())
    }

    /// How many partitions a topic has, if it is there.
    pub(super) fn partitions(&self, topic: &str) -> Option<u32> {
        self.log.describe_topic(topic).ok().map(|topic| topic.partitions)
    }

    /// Makes sure that the topic of a new source is there and is what the statement asks for. What a query's sink is
    /// not told, it takes over from the topic the query reads first.
    pub(super) fn provide_topic(
        &self,
        source: &Source,
        with: &With,
        plan: Option<&Plan>,
        place: Span,
    ) -> Result<(), SqlError> {
        let name = &source.topic;
        if let Ok(topic) = self.log.describe_topic(name) {
            let wanted = with.partitions.unwrap_or(topic.partitions);
            let replicas = with.replicas.unwrap_or(1);
            if wanted == topic.partitions && replicas == 1 {
                return Ok(());
            }
            return Err(SqlError::invalid(format!(
                "A Kafka topic with the name '{name}' already exists, with different partition/replica configuration \
                 than required. KSQL expects {wanted} partitions (topic has {}) and {replicas} replication factor \
                 (topic has 1).",
                topic.partitions
            ))
            .at(place)
            .hint("leave PARTITIONS and REPLICAS out, or choose another topic"));
        }
        let left = plan.map(|plan| &plan.source.source.topic);
        let left = left.map(|topic| {
            let described = self.log.describe_topic(topic);
            described.map_err(|error| SqlError::failed(format!("read topic {topic}"), error))
        });
        let left = left.transpose()?;
        let Some(partitions) = with.partitions.or(left.as_ref().map(|left| left.partitions)) else {
            return Err(SqlError::invalid(format!(
                "Topic '{name}' does not exist. If you want to create a new topic for the stream/table please re-run \
                 the statement providing the required 'PARTITIONS' configuration in the WITH clause (and optionally \
                 'REPLICAS'). For example: CREATE {} {} (...) WITH (KAFKA_TOPIC='{name}', PARTITIONS=1, ...);",
                source.kind,
                crate::ast::quote_if_needed(&source.name)
            ))
            .at(place));
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
            let windows = plan.and_then(Plan::window).map_or(0, crate::plan::Window::retention_ms);
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

/// Whether a new source may have this name. `replaceable` says whether the new one may take an old one's place, `enabled`
/// whether any may.
pub(super) fn existing(
    state: &EngineState,
    (kind, name): (SourceKind, &Ident),
    on_existing: OnExisting,
    replaceable: bool,
    enabled: bool,
) -> Result<Existing, SqlError> {
    let known = state.catalogue.get(&name.name);
    let replace = on_existing == OnExisting::Replace;
    if replace && (!replaceable || known.is_some_and(|known| known.read_only)) {
        return Err(SqlError::invalid(format!(
            "Cannot add {0} '{1}': CREATE OR REPLACE is not supported on source {0}s.",
            kind_name(kind),
            name.name
        ))
        .at(name.span));
    }
    if replace && !enabled {
        return Err(SqlError::invalid(
            "Cannot CREATE OR REPLACE: it is switched off by 'ksql.create.or.replace.enabled'",
        )
        .at(name.span));
    }
    let Some(known) = known else { return Ok(Existing::No) };
    let exists = format!("A {} with the same name already exists", known.kind_name());
    let what = kind_name(kind);
    match on_existing {
        OnExisting::Keep => Ok(Existing::Kept(Outcome::Message(format!(
            "Cannot add {what} {}: {exists}.",
            quoted(&name.name)
        )))),
        OnExisting::Fail => Err(SqlError::invalid(format!("Cannot add {what} '{}': {exists}", name.name))
            .at(name.span)
            .hint("use IF NOT EXISTS, or DROP it first")),
        OnExisting::Replace => Ok(Existing::Replaced(known.clone())),
    }
}

/// The error that no source has this name, with the one meant.
pub(super) fn missing(catalogue: &Catalogue, name: &Ident) -> SqlError {
    let names: Vec<&str> = catalogue.sources().map(|source| source.name.as_str()).collect();
    let other_case = catalogue.sources().find(|source| source.name.eq_ignore_ascii_case(&name.name));
    let error = |hint: &str| {
        SqlError::invalid(format!("Source {} does not exist.{hint}", quoted(&name.name))).at(name.span)
    };
    match other_case {
        Some(source) => error(&format!(
            "\nDid you mean \"{}\" ({})? Hint: wrap the source name in double quotes to make it case-sensitive.",
            source.name, source.kind
        )),
        None if nearest(&name.name, &names).is_none() && names.is_empty() => {
            error("").hint("no streams or tables exist: CREATE STREAM or CREATE TABLE makes one over a topic")
        }
        None => error("").hint_nearest(&name.name, &names, "streams and tables"),
    }
}

fn incompatible(source: &Source, kind: SourceKind, verb: &str, name: &Ident) -> SqlError {
    SqlError::invalid(format!(
        "Incompatible data source type is {}, but statement was {verb} {kind}",
        source.kind
    ))
    .at(name.span)
    .hint(format!("{verb} {} {name}", source.kind))
}

/// A declared source with more value columns.
pub(super) fn altered(
    catalogue: &Catalogue,
    kind: SourceKind,
    name: &Ident,
    add: &[(Ident, TypeRef)],
) -> Result<Source, SqlError> {
    let known = catalogue.get(&name.name).ok_or_else(|| missing(catalogue, name))?;
    if known.kind != kind {
        return Err(incompatible(known, kind, "ALTER", name));
    }
    let what = known.kind_name();
    if known.read_only {
        return Err(SqlError::invalid(format!(
            "Cannot alter {what} '{}': ALTER operations are not supported on source {what}s.",
            name.name
        ))
        .at(name.span));
    }
    if is_made_by_query(known) {
        return Err(SqlError::invalid("ALTER command is not supported for CREATE ... AS statements.")
            .at(name.span)
            .hint("CREATE OR REPLACE it"));
    }
    let mut source = Source::clone(known);
    for (column, ty) in add {
        if PSEUDO_COLUMNS.contains(&column.name.as_str()) {
            return Err(reserved(column));
        }
        if source.columns.find(&column.name).is_some() {
            return Err(SqlError::invalid(format!(
                "Cannot add column {} to schema. A column with the same name already exists.",
                quoted(&column.name)
            ))
            .at(column.span));
        }
        let ty = ty.resolve(&analysis::custom_types(catalogue))?;
        source.columns.value.push(Column::new(&column.name, ty));
    }
    let fits = source.value_format.check(&source.columns.value_fields());
    fits.map_err(|error| SqlError::invalid(error.to_string()).at(name.span))?;
    Ok(source)
}

/// Whether a `CREATE .. AS SELECT` made this source.
pub(super) fn is_made_by_query(source: &Source) -> bool {
    let statement = crate::parser::parse_one(&source.statement);
    matches!(statement, Ok(statement) if matches!(statement.node, crate::ast::Statement::CreateAs(_)))
}

fn reserved(name: &Ident) -> SqlError {
    SqlError::invalid(format!(
        "'{}' is a reserved column name. You cannot use it as a name for a column.",
        name.name
    ))
    .at(name.span)
}

pub(super) fn capital(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "Stream",
        SourceKind::Table => "Table",
    }
}

fn declared_columns(state: &EngineState, create: &CreateSource) -> Result<Columns, SqlError> {
    let mut columns = Columns::default();
    let mut duplicates: Vec<String> = Vec::new();
    for declared in &create.columns {
        let name = &declared.name;
        if PSEUDO_COLUMNS.contains(&name.name.as_str()) {
            return Err(reserved(name));
        }
        if columns.find(&name.name).is_some() {
            duplicates.push(quoted(&name.name));
            continue;
        }
        let ty = declared.ty.resolve(&analysis::custom_types(&state.catalogue))?;
        let column = Column::new(&name.name, ty);
        match &declared.constraint {
            None => columns.value.push(column),
            Some(ColumnConstraint::Key | ColumnConstraint::PrimaryKey) => columns.key.push(column),
            Some(ColumnConstraint::Headers) => {
                add_header(&mut columns, column, None).map_err(|error| error.at(declared.span))?;
            }
            Some(ColumnConstraint::Header(key)) => {
                add_header(&mut columns, column, Some(key)).map_err(|error| error.at(declared.span))?;
            }
        }
    }
    if !duplicates.is_empty() {
        return Err(SqlError::invalid(format!("Duplicate column names: {}", duplicates.join(", ")))
            .at(create.name.span));
    }
    if create.kind == SourceKind::Table && columns.key.is_empty() {
        return Err(SqlError::invalid("Tables require a PRIMARY KEY. Please define the PRIMARY KEY.")
            .at(create.name.span)
            .hint("declare one column as PRIMARY KEY"));
    }
    if columns.iter().next().is_none() {
        return Err(SqlError::invalid("No columns supplied. The statement does not define any columns.")
            .at(create.name.span)
            .hint("declare them: (ID INT KEY, NAME STRING)"));
    }
    Ok(columns)
}

fn add_header(columns: &mut Columns, column: Column, key: Option<&String>) -> Result<(), SqlError> {
    let (what, expected) = match key {
        None => ("HEADERS".to_owned(), HeaderColumn::all_type()),
        Some(key) => (format!("HEADER('{key}')"), SqlType::Bytes),
    };
    if column.ty != expected {
        return Err(SqlError::invalid(format!(
            "Invalid type for {what} column: expected {expected}, got {}",
            column.ty
        )));
    }
    let all = columns.headers.iter().any(|known| known.header.is_none());
    if all || (key.is_none() && !columns.headers.is_empty()) {
        return Err(SqlError::invalid(format!(
            "Schema already contains a HEADERS column or a HEADER column: {} cannot be added",
            quoted(&column.name)
        ))
        .hint("a HEADERS column has all headers, and stands alone"));
    }
    if columns.headers.iter().any(|known| known.header.as_ref() == key) {
        return Err(SqlError::invalid(format!("Schema already contains a {what} column.")));
    }
    columns.headers.push(HeaderColumn { column, header: key.cloned() });
    Ok(())
}
