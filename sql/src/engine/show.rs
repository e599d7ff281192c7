//! Statements that tell what is there: SHOW, DESCRIBE, EXPLAIN.

use std::sync::mpsc::sync_channel;

use datafusion::logical_expr::utils::split_conjunction;
use millstream_log::OffsetSpec;

use super::{Engine, EngineState, find_query, is_hidden};
use crate::{
    analysis::{self, Context, PullPlan, Purpose, Scans},
    ast::{Describe, Emit, ExplainTarget, Ident, Show, SourceKind, Span, Statement},
    catalogue::{Catalogue, Source},
    connectors,
    error::SqlError,
    plan::Plan,
    pull::{Access, Until, topic_path},
    query::PersistentQuery,
    result::{Outcome, ResultSet},
    session::Session,
    topology::{Destination, build},
    types::SqlType,
    with::With,
};

fn table<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> Outcome {
    Outcome::Table(ResultSet::text(names, rows))
}

/// SHOW VARIABLES.
pub(super) fn variables(session: &Session) -> Outcome {
    let rows = session.variables.iter().map(|(name, value)| [name.clone(), value.clone()]);
    table(["Variable Name", "Value"], rows.collect())
}

impl Engine {
    pub(super) fn show(&self, session: &Session, show: &Show, span: Span) -> Result<Outcome, SqlError> {
        let state = self.lock();
        Ok(match show {
            Show::Streams { extended: true } => self.extended(&state, SourceKind::Stream),
            Show::Tables { extended: true } => self.extended(&state, SourceKind::Table),
            Show::Streams { extended: false } => {
                let rows = of_kind(&state.catalogue, SourceKind::Stream).map(listed);
                table(
                    ["Stream Name", "Kafka Topic", "Key Format", "Value Format", "Windowed"],
                    rows.collect(),
                )
            }
            Show::Tables { extended: false } => {
                let rows = of_kind(&state.catalogue, SourceKind::Table).map(listed);
                table(["Table Name", "Kafka Topic", "Key Format", "Value Format", "Windowed"], rows.collect())
            }
            Show::Topics { all, extended } => {
                let topics = self.log.topics();
                let shown = topics.iter().filter(|topic| *all || !is_hidden(&topic.name));
                if *extended {
                    let rows = shown.map(|topic| {
                        let (consumers, groups) = self.readers(&topic.name);
                        let partitions = topic.partitions.to_string();
                        [topic.name.to_string(), partitions, "1".to_owned(), consumers, groups]
                    });
                    let names =
                        ["Kafka Topic", "Partitions", "Partition Replicas", "Consumers", "ConsumerGroups"];
                    return Ok(table(names, rows.collect()));
                }
                let rows =
                    shown.map(|topic| [topic.name.to_string(), topic.partitions.to_string(), "1".to_owned()]);
                table(["Kafka Topic", "Partitions", "Partition Replicas"], rows.collect())
            }
            Show::Queries { extended: true } => {
                let details = state.queries.values().map(explained_query);
                Outcome::Message(details.collect::<Result<Vec<_>, _>>()?.join("\n"))
            }
            Show::Queries { extended: false } => {
                let pushed = self.pushes.list().into_iter().map(|(id, statement)| {
                    let none = String::new;
                    [id, "PUSH".to_owned(), "RUNNING".to_owned(), none(), none(), one_line(&statement)]
                });
                let rows = state.queries.values().map(|query| {
                    let status = query.status();
                    let sink_topic = query.sink.topic.clone();
                    [
                        status.id,
                        "PERSISTENT".to_owned(),
                        status.state,
                        status.sink,
                        sink_topic,
                        one_line(&status.statement),
                    ]
                });
                let names =
                    ["Query ID", "Query Type", "Status", "Sink Name", "Sink Kafka Topic", "Query String"];
                table(names, rows.chain(pushed).collect())
            }
            Show::Functions => {
                let list = self.functions.list().into_iter();
                let rows = list.map(|function| {
                    [function.name, function.kind.to_string(), function.category.to_string()]
                });
                table(["Function Name", "Type", "Category"], rows.collect())
            }
            Show::Properties => {
                let rows = self.config.list(&session.properties);
                table(["Property", "Value", "Source", "Meaning"], rows)
            }
            Show::Types => {
                let rows = state.catalogue.types().map(|(name, ty)| [name.clone(), ty.to_string()]);
                table(["Type Name", "Schema"], rows.collect())
            }
            Show::Variables => variables(session),
            Show::Connectors { kind } => connectors::list(self.config.connector_runner(), *kind, span)?,
            Show::ConnectorPlugins => connectors::plugins(self.config.connector_runner(), span)?,
        })
    }

    pub(super) fn describe(&self, describe: &Describe) -> Result<Outcome, SqlError> {
        let state = self.lock();
        match describe {
            Describe::Source { name, extended } => {
                let source =
                    state.catalogue.get(&name.name).ok_or_else(|| unknown_source(&state.catalogue, name))?;
                if *extended {
                    return Ok(Outcome::Message(self.details(&state, source)));
                }
                let rows = columns(source);
                Ok(table(["Field", "Type"], rows))
            }
            Describe::Streams { extended: true } => Ok(self.extended(&state, SourceKind::Stream)),
            Describe::Tables { extended: true } => Ok(self.extended(&state, SourceKind::Table)),
            Describe::Streams { .. } | Describe::Tables { .. } => {
                let kind = match describe {
                    Describe::Streams { .. } => SourceKind::Stream,
                    _ => SourceKind::Table,
                };
                let rows = of_kind(&state.catalogue, kind).flat_map(|source| {
                    columns(source).into_iter().map(|[field, ty]| [source.name.clone(), field, ty])
                });
                Ok(table(["Name", "Field", "Type"], rows.collect()))
            }
            Describe::Function(name) => Ok(Outcome::Message(self.functions.describe(name)?.to_string())),
            Describe::Connector(name) => connectors::describe(self.config.connector_runner(), name),
        }
    }

    pub(super) fn explain(&self, target: &ExplainTarget) -> Result<Outcome, SqlError> {
        let state = self.lock();
        match target {
            ExplainTarget::Query(id) => {
                let query = find_query(&state.queries, id).map_err(|_| {
                    SqlError::invalid(format!(
                        "Query with id:{} does not exist, use SHOW QUERIES to view the full set of queries.",
                        id.name
                    ))
                    .at(id.span)
                })?;
                explained_query(query).map(Outcome::Message)
            }
            ExplainTarget::Statement(statement) => {
                let context = Context {
                    catalogue: &state.catalogue,
                    functions: &self.functions,
                    partitions: &|topic| self.partitions(topic),
                };
                let nowhere = || sync_channel(1).0;
                match &**statement {
                    Statement::CreateAs(create) => {
                        let with = With::of_create_as(&create.with)?;
                        let name = &create.name.name;
                        let purpose = Purpose::Persistent { kind: create.kind, name, with: &with };
                        let plan = analysis::analyse(&create.query, purpose, context)?;
                        Ok(Outcome::Message(explained(&plan, Destination::Client(nowhere()))?))
                    }
                    Statement::Select(query) if query.emit == Some(Emit::Changes) => {
                        let plan = analysis::analyse(query, Purpose::Client, context)?;
                        Ok(Outcome::Message(explained(&plan, Destination::Client(nowhere()))?))
                    }
                    Statement::Select(query) => {
                        let plan = analysis::analyse_pull(query, Scans::Tables, context)?;
                        Ok(Outcome::Message(explained_pull(&plan)))
                    }
                    Statement::AtRest(text) => {
                        drop(state);
                        self.at_rest(text)?.explain().map(Outcome::Message)
                    }
                    Statement::InsertSelect(insert) => {
                        let with = With::default();
                        let purpose = Purpose::Insert { name: &insert.target.name, with: &with };
                        let plan = analysis::analyse(&insert.query, purpose, context)?;
                        Ok(Outcome::Message(explained(&plan, Destination::Client(nowhere()))?))
                    }
                    _ => Err(SqlError::invalid("The provided statement does not run a ksql query")
                        .hint("EXPLAIN takes a SELECT, CREATE .. AS SELECT, or the id of a query")),
                }
            }
        }
    }

    fn extended(&self, state: &EngineState, kind: SourceKind) -> Outcome {
        let details = of_kind(&state.catalogue, kind).map(|source| self.details(state, source));
        Outcome::Message(details.collect::<Vec<_>>().join("\n"))
    }

    /// How many consumers and consumer groups read a topic.
    fn readers(&self, topic: &str) -> (String, String) {
        let (mut consumers, mut groups) = (0, 0);
        for listing in self.log.list_groups() {
            let committed = self.log.committed_offsets(&listing.group_id);
            let members = self.log.describe_group(&listing.group_id).map_or(0, |group| group.members.len());
            if committed.iter().any(|(partition, _)| &*partition.topic == topic) {
                groups += 1;
                consumers += members;
            }
        }
        (consumers.to_string(), groups.to_string())
    }

    /// Where a consumer group is in a topic, partition by partition.
    fn group(&self, group: &str, topic: &str) -> String {
        let mut rows = String::new();
        let mut committed = self.log.committed_offsets(group);
        committed.retain(|(partition, _)| &*partition.topic == topic);
        for (partition, committed) in committed {
            let offset = |spec| self.log.offsets(&partition, spec).map_or(0, |offset| offset.get());
            let (start, end) = (offset(OffsetSpec::Earliest), offset(OffsetSpec::Latest));
            let at = committed.offset.get();
            rows.push_str(&format!(
                " {:<9} | {start:<12} | {end:<10} | {at:<6} | {}\n",
                partition.partition.to_string(),
                end.saturating_sub(at)
            ));
        }
        if rows.is_empty() {
            return rows;
        }
        format!(
            "\nConsumer Group       : {group}\n Partition | Start Offset | End Offset | Offset | Lag\n{rows}"
        )
    }

    /// DESCRIBE EXTENDED.
    fn details(&self, state: &EngineState, source: &Source) -> String {
        let mut text = format!("Name                 : {}\n", source.name);
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<21}: {value}\n"));
        line("Type", source.kind_name().to_uppercase());
        line(
            "Timestamp field",
            source.timestamp.as_ref().map_or("Not set - using <ROWTIME>".to_owned(), |t| t.column.clone()),
        );
        line("Key format", source.key_format.format.to_string());
        line("Value format", source.value_format.format.to_string());
        let partitions = self.log.describe_topic(&source.topic).map_or(0, |topic| topic.partitions);
        line("Kafka topic", format!("{} (partitions: {partitions}, replication: 1)", source.topic));
        if let Some(window) = source.window {
            let size = window.size_ms().map(|size| format!(" (SIZE {size} MS)")).unwrap_or_default();
            line("Window", format!("{}{size}", window.name()));
        }
        line("Statement", one_line(&source.statement));
        text.push_str("\n Field                | Type\n");
        for [field, ty] in columns(source) {
            text.push_str(&format!(" {field:<20} | {ty}\n"));
        }
        let reads = |query: &&PersistentQuery| query.plan.sources().contains(&source.name);
        let writes = |query: &&PersistentQuery| query.sink.name == source.name;
        let ids = |queries: Vec<&PersistentQuery>| -> String {
            queries.iter().map(|query| format!("{} ({})\n", query.id, query.status().state)).collect()
        };
        let readers: Vec<&PersistentQuery> = state.queries.values().filter(reads).collect();
        let writers: Vec<&PersistentQuery> = state.queries.values().filter(writes).collect();
        let mut dependent: Vec<&str> = readers.iter().map(|query| query.sink.name.as_str()).collect();
        dependent.retain(|name| *name != source.name);
        if !dependent.is_empty() {
            let names = dependent.join("\n");
            text.push_str(&format!("\nSources that have a DROP constraint on this source\n{names}\n"));
        }
        if !readers.is_empty() {
            text.push_str(&format!("\nQueries that read from this {}\n{}", source.kind_name(), ids(readers)));
        }
        if !writers.is_empty() {
            text.push_str(&format!(
                "\nQueries that write into this {}\n{}",
                source.kind_name(),
                ids(writers.clone())
            ));
        }
        for query in state.queries.values().filter(reads) {
            text.push_str(&self.group(&query.application(), &source.topic));
        }
        for query in writers {
            let status = query.status();
            text.push_str(&format!(
                "\nRuntime statistics of {}\nrecords in: {}, records out: {}, skipped: {}, late: {}, failed: {}\n",
                status.id, status.records_in, status.records_out, status.skipped, status.late, status.failed
            ));
            if let Some(error) = status.error {
                text.push_str(&format!("error: {error}\n"));
            }
            for report in query.recent_reports() {
                text.push_str(&format!("processing log: {report}\n"));
            }
        }
        text
    }
}

fn explained_query(query: &PersistentQuery) -> Result<String, SqlError> {
    let (sources, sink) = (query.plan.sources().join(", "), &query.sink.name);
    let mut text = format!("ID: {}\nStatus: {}\n", query.id, query.status().state);
    text.push_str(&format!("Sources: {sources}\nSink: {sink}\n\n"));
    text.push_str(&explained(&query.plan, query.destination())?);
    Ok(text)
}

fn explained(plan: &Plan, destination: Destination<'_>) -> Result<String, SqlError> {
    let topology = build(plan, destination)?;
    Ok(format!(
        "Execution plan\n--------------\n{plan}\nProcessing topology\n-------------------\n{}",
        topology.describe()
    ))
}

fn explained_pull(plan: &PullPlan) -> String {
    let access = Access::of(plan.filter.iter().flat_map(split_conjunction));
    let mut text = format!("Execution plan\n--------------\n> PULL {}\n", plan.source);
    let source = &plan.source.source;
    let path = match source.kind {
        SourceKind::Stream => topic_path(&plan.source, Until::Now, &access),
        SourceKind::Table => access.path(source).to_string(),
    };
    text.push_str(&format!("> {path}\n"));
    if let Some(filter) = &plan.filter_text {
        text.push_str(&format!("> FILTER {filter}\n"));
    }
    text.push_str(&format!("> PROJECT {}\n", plan.texts.join(", ")));
    if let Some(limit) = plan.limit {
        text.push_str(&format!("> LIMIT {limit}\n"));
    }
    text
}

fn of_kind(catalogue: &Catalogue, kind: SourceKind) -> impl Iterator<Item = &Source> {
    catalogue.sources().map(|source| &**source).filter(move |source| source.kind == kind)
}

fn listed(source: &Source) -> [String; 5] {
    [
        source.name.clone(),
        source.topic.clone(),
        source.key_format.format.to_string(),
        source.value_format.format.to_string(),
        source.window.is_some().to_string(),
    ]
}

/// Columns with their types as the CLI prints them, keys marked.
fn columns(source: &Source) -> Vec<[String; 2]> {
    let key = match source.kind {
        SourceKind::Stream => "(key)",
        SourceKind::Table => "(primary key)",
    };
    let windowed = if source.window.is_some() {
        format!(" (Window type: {})", source.window.map_or("", |w| w.name()))
    } else {
        String::new()
    };
    let shown = |ty: &SqlType| match ty {
        SqlType::String => "VARCHAR(STRING)".to_owned(),
        other => other.to_string(),
    };
    let keys = source
        .columns
        .key
        .iter()
        .map(|column| [column.name.clone(), format!("{} {key}{windowed}", shown(&column.ty))]);
    let values = source.columns.value.iter().map(|column| [column.name.clone(), shown(&column.ty)]);
    let headers = source.columns.headers.iter().map(|header| {
        let mark = match &header.header {
            None => "(headers)".to_owned(),
            Some(key) => format!("(header('{key}'))"),
        };
        [header.column.name.clone(), format!("{} {mark}", shown(&header.column.ty))]
    });
    keys.chain(values).chain(headers).collect()
}

fn unknown_source(catalogue: &Catalogue, name: &Ident) -> SqlError {
    let names: Vec<&str> = catalogue.sources().map(|source| source.name.as_str()).collect();
    SqlError::invalid(format!("Could not find STREAM/TABLE '{}' in the Metastore", name.name))
        .at(name.span)
        .hint_nearest(&name.name, &names, "streams and tables")
}

/// A statement on one line, for tables.
fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}
