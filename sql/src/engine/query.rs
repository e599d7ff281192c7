//! Persistent queries: CREATE .. AS SELECT, INSERT INTO .. SELECT, and the queries behind source tables.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_formats::{Format, FormatSpec};

use super::{
    Engine, EngineState, Mode,
    define::keep,
    source::{Existing, existing, is_made_by_query},
    upgrade,
};
use crate::{
    analysis::{self, Context, Purpose},
    ast::{
        CreateAs, Expr, ExprKind, Ident, InsertSelect, Literal, Query, Relation, SelectItem, SourceKind,
        SourceRef, Span, Statement, TypeRef, quoted,
    },
    catalogue::{Column, Columns, Source},
    command::Command,
    error::SqlError,
    expression::{
        column,
        operation::{Operation, OperationKind},
    },
    parser::parse_one,
    plan::{Kept, Materialize, Plan, RowKeys, Step, internal, layout},
    query::{PersistentQuery, Target},
    result::Outcome,
    types::SqlType,
    with::{Side, With},
};

impl Engine {
    pub(super) fn create_as(
        &self,
        state: &mut EngineState,
        number: u64,
        create: &CreateAs,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        let enabled = self.may_replace(&command.properties);
        let existing = existing(state, (create.kind, &create.name), create.on_existing, true, enabled)?;
        let replaced = match existing {
            Existing::Kept(outcome) => return Ok(outcome),
            Existing::No => None,
            Existing::Replaced(known) => Some(known),
        };
        let mut with = With::of_create_as(&create.with)?;
        with.wrapped_default = self.wrapped_default(&command.properties);
        with.json_sr_converter = self.json_sr_converter(&command.properties);
        with.key_default =
            self.config.value(&command.properties, "ksql.persistence.default.format.key").parse().ok();
        let place = create.with.span.unwrap_or(create.name.span);
        let limit = self.config.value(&command.properties, "ksql.query.persistent.active.limit");
        if replaced.is_none() && limit.parse().is_ok_and(|limit: usize| state.queries.len() >= limit) {
            return Err(SqlError::invalid(format!(
                "Not executing statement(s) as it would cause the number of active, persistent queries to exceed the \
                 configured limit of {limit}."
            ))
            .at(create.name.span)
            .hint("TERMINATE queries, or raise ksql.query.persistent.active.limit"));
        }
        let functions = self.config.functions_for(&self.functions, &command.properties);
        let context = Context {
            catalogue: &state.catalogue,
            functions: &functions,
            partitions: &|topic| self.partitions(topic),
        };
        let purpose = Purpose::Persistent { kind: create.kind, name: &create.name.name, with: &with };
        let mut plan = analysis::analyse(&create.query, purpose, context)?;
        let left = plan.source.source.clone();
        let columns = Columns::new(plan.output.key.clone(), plan.output.value.clone());
        let dropped_key = columns.key.is_empty() && !create.query.partition_by.is_empty();
        let keyed = with.key_format.is_some_and(|format| format != Format::None);
        if let Some(span) = with.key_format_span.filter(|_| dropped_key && keyed) {
            return Err(SqlError::invalid("Key format specified for stream without key columns.")
                .at(span)
                .hint("PARTITION BY NULL drops the key"));
        }
        let inherited = left.inherited_key_format;
        let key_format = with.key_spec(&columns, inherited).map_err(|error| error.at(place))?;
        let inherited = if dropped_key { key_format } else { inherited };
        let prefix = self.config.value(&command.properties, "ksql.output.topic.name.prefix");
        let kind = if create.kind == SourceKind::Stream { "CSAS" } else { "CTAS" };
        let id = match &replaced {
            None => format!("{kind}_{}_{number}", create.name.name),
            Some(known) => replaceable_query(state, known, &create.name)?,
        };
        let format = with.value_format.unwrap_or(left.value_format.format);
        check_states(&plan, format).map_err(|error| error.at(create.query.span))?;
        let value_format = with.value_spec(&columns, left.value_format).map_err(|error| error.at(place))?;
        let topic = with.topic.clone().unwrap_or_else(|| format!("{prefix}{}", create.name.name));
        let named = (create.name.name.as_str(), topic.as_str());
        let subject = |side: Side, spec: FormatSpec, inherited| {
            let subject = with.subject(side, self.config.schemas(), spec.format, named, Some(inherited));
            subject.map_err(|error| error.at(place))
        };
        let key_subject =
            subject(Side::Key, key_format, (left.key_format.format, left.key_subject.as_ref()))?;
        let value_subject =
            subject(Side::Value, value_format, (left.value_format.format, left.value_subject.as_ref()))?;
        let source = Source {
            name: create.name.name.clone(),
            kind: create.kind,
            topic,
            key_subject,
            value_subject,
            key_format,
            inherited_key_format: with.inherited_key_format(key_format, inherited),
            value_format,
            wraps_explicitly: with.wraps_explicitly(&columns, value_format),
            timestamp: with.timestamp(&columns)?,
            window: plan.output.window,
            read_only: false,
            statement: command.statement.clone(),
            query: Some(id.clone()),
            columns,
        };
        with.check_retention(&source).map_err(|error| error.at(place))?;
        if mode == Mode::Live {
            self.check_schema_ids(&source, place)?;
        }
        if let Some(known) = &replaced {
            upgrade::check_source(known, &source).map_err(|error| error.at(create.name.span))?;
            if let Statement::CreateAs(old) = &parse_one(&known.statement)?.node {
                upgrade::check_query(old, create, &plan)?;
            }
        }
        materialize(&mut plan, &source);
        let time = analysis::row_time(&source, &self.functions, &plan.errors)?;
        if mode == Mode::Live {
            self.provide_topic(&source, &with, Some(&plan), place)?;
            self.register_schemas(&source, false, place)?;
        }
        let sink = Arc::new(source);
        let target = Target::Topic { sink: sink.clone(), time };
        let query = self.query(&id, number, plan, target, command);
        self.run(state, query, command, mode)?;
        let message = match replaced {
            None => format!("Created query with ID {id}"),
            Some(_) => format!("Replaced query with ID {id}"),
        };
        state.catalogue.put(Source::clone(&sink));
        Ok(Outcome::Message(message))
    }

    /// Keeps the rows of a read-only table, so that pull queries find them.
    pub(super) fn create_source_table(
        &self,
        state: &mut EngineState,
        number: u64,
        mut source: Source,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        let message = format!("Table {} created", source.name);
        let materialized =
            self.config.value(&command.properties, "ksql.source.table.materialization.enabled") == "true";
        if !materialized || source.window.is_some() {
            keep(state, command, mode)?;
            state.catalogue.put(source);
            return Ok(Outcome::Message(message));
        }
        let id = format!("CST_{}_{number}", source.name);
        source.query = Some(id.clone());
        let mut catalogue = state.catalogue.clone();
        catalogue.put(source.clone());
        let everything = Query {
            select: vec![SelectItem::All { span: Span::default() }],
            from: Relation {
                source: SourceRef { name: Ident::new(&source.name), alias: None },
                joins: Vec::new(),
            },
            window: None,
            filter: None,
            group_by: Vec::new(),
            partition_by: Vec::new(),
            having: None,
            emit: None,
            limit: None,
            span: Span::default(),
        };
        let context = Context {
            catalogue: &catalogue,
            functions: &self.functions,
            partitions: &|topic| self.partitions(topic),
        };
        let with = With::default();
        let purpose = Purpose::Persistent { kind: source.kind, name: &source.name, with: &with };
        let mut plan = analysis::analyse(&everything, purpose, context)?;
        materialize(&mut plan, &source);
        let target = Target::Store { table: Arc::new(source.clone()) };
        let query = self.query(&id, number, plan, target, command);
        self.run(state, query, command, mode)?;
        state.catalogue.put(source);
        Ok(Outcome::Message(message))
    }

    fn query(
        &self,
        id: &str,
        number: u64,
        mut plan: Plan,
        target: Target,
        command: &Command,
    ) -> PersistentQuery {
        if self.config.value(&command.properties, "ksql.timestamp.throw.on.invalid") == "true" {
            plan.stop_at_invalid_times();
        }
        PersistentQuery::new(
            id.to_owned(),
            number,
            command.statement.clone(),
            plan,
            target,
            command.properties.clone(),
        )
    }

    /// Starts a query and keeps its statement: in that order, so that a query that cannot run leaves nothing behind. One
    /// of the same id ends first, and goes on if the new one cannot run.
    fn run(
        &self,
        state: &mut EngineState,
        mut query: PersistentQuery,
        command: &Command,
        mode: Mode,
    ) -> Result<(), SqlError> {
        let mut replaced = state.queries.remove(&query.id);
        if let Some(replaced) = &mut replaced {
            query.number = replaced.number;
            query.set_paused(replaced.is_paused());
            replaced.close();
        }
        if mode == Mode::Live {
            let started = match self.plans_only {
                true => query.topology().map(drop),
                false => query.start(&self.log, &self.config, self.errors.clone()),
            };
            let kept = started.and_then(|()| {
                keep(state, command, mode).inspect_err(|_| match replaced {
                    Some(_) => query.close(),
                    None => query.remove(&self.log, &self.config),
                })
            });
            if let Err(error) = kept {
                if let Some(mut old) = replaced {
                    if !self.plans_only
                        && let Err(error) = old.start(&self.log, &self.config, self.errors.clone())
                    {
                        tracing::error!(query = old.id, "could not go on: {error}");
                    }
                    state.queries.insert(old.id.clone(), old);
                }
                return Err(error);
            }
        }
        state.queries.insert(query.id.clone(), query);
        Ok(())
    }

    pub(super) fn insert_select(
        &self,
        state: &mut EngineState,
        number: u64,
        insert: &InsertSelect,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        let id = insert_id(state, number, insert)?;
        let name = &insert.target;
        let target = state.catalogue.get(&name.name).cloned();
        let target = target.ok_or_else(|| {
            let error = super::source::missing(&state.catalogue, name);
            match error.problem() {
                Some(problem) if !problem.message.contains('\n') => {
                    let message = format!("Source {} does not exist.", quoted(&name.name));
                    let hint = problem.hint.clone();
                    let error = SqlError::invalid(message).at(name.span).of_name();
                    hint.into_iter().fold(error, SqlError::hint)
                }
                _ => error,
            }
        })?;
        let refused = |message: String| Err(SqlError::invalid(message).at(name.span));
        if target.kind != SourceKind::Stream {
            return refused(format!(
                "INSERT INTO can only be used to insert into a stream. {} is a table.",
                target.name
            ));
        }
        if target.read_only {
            return refused(format!("Cannot insert into read-only stream: {}", target.name));
        }
        if !target.columns.headers.is_empty() {
            return refused(format!("Cannot insert into {} because it has header columns", target.name));
        }
        let with = With::default();
        let functions = self.config.functions_for(&self.functions, &command.properties);
        let context = Context {
            catalogue: &state.catalogue,
            functions: &functions,
            partitions: &|topic| self.partitions(topic),
        };
        let query = with_decimals(&insert.query, &target.columns);
        let purpose = Purpose::Insert { name: &target.name, with: &with };
        let mut plan = analysis::analyse(&query, purpose, context)?;
        fit(&mut plan, &target).map_err(|error| error.at(insert.query.span))?;
        let time = analysis::row_time(&target, &self.functions, &plan.errors)?;
        let query = self.query(&id, number, plan, Target::Topic { sink: target, time }, command);
        self.run(state, query, command, mode)?;
        Ok(Outcome::Message(format!("Created query with ID {id}")))
    }

    pub(super) fn terminate(&self, state: &mut EngineState, id: &str, mode: Mode) {
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
}

/// The id of the only query that writes `source`, whose place another may take.
fn replaceable_query(state: &EngineState, source: &Source, name: &Ident) -> Result<String, SqlError> {
    if !is_made_by_query(source) {
        return Err(SqlError::invalid(format!(
            "Cannot upgrade data source: DataSource '{}' has isCasTarget = false which is not upgradeable to true",
            quoted(&source.name)
        ))
        .at(name.span));
    }
    let writers = state.queries.values().filter(|query| query.sink.name == source.name);
    let writers: Vec<&str> = writers.map(|query| query.id.as_str()).collect();
    match (writers.as_slice(), &source.query) {
        ([only], Some(own)) if only == own => Ok(own.clone()),
        ([], _) => Err(SqlError::invalid(format!("Cannot replace {name}: its query was terminated"))
            .at(name.span)
            .hint("DROP it first")),
        _ => Err(SqlError::invalid(format!(
            "Cannot replace {name}: it is written by more than one query: {}",
            writers.join(", ")
        ))
        .at(name.span)
        .hint("TERMINATE the others first")),
    }
}

/// `QUERY_ID` if the statement gives one, else the next number's.
fn insert_id(state: &EngineState, number: u64, insert: &InsertSelect) -> Result<String, SqlError> {
    insert.with.check_names(&["QUERY_ID"])?;
    let Some(property) = insert.with.get("QUERY_ID") else { return Ok(format!("INSERTQUERY_{number}")) };
    let id = property.string()?.to_uppercase();
    let refused = |message: String| Err(SqlError::invalid(message).at(property.value_span));
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return refused(format!("Query IDs may contain only alphanumeric characters and '_'. Got: '{id}'"));
    }
    if ["INSERTQUERY_", "CTAS_", "CSAS_", "CST_"].iter().any(|prefix| id.starts_with(prefix)) {
        return refused(format!("Query IDs must not start with a reserved query ID prefix. Got: '{id}'"));
    }
    if state.queries.contains_key(&id) {
        return refused(format!("Query ID '{id}' already exists."));
    }
    Ok(id)
}

/// The query with numbers written as the DECIMAL columns they go to, where they fit without loss.
fn with_decimals(query: &Query, columns: &Columns) -> Query {
    let mut query = query.clone();
    for item in &mut query.select {
        let SelectItem::Expr { expr, alias: Some(alias) } = item else { continue };
        let ExprKind::Literal(literal) = &expr.kind else { continue };
        let Some(Column { ty: ty @ SqlType::Decimal { precision, scale }, .. }) = columns.find(&alias.name)
        else {
            continue;
        };
        let fits = |digits: u32, fraction: i8| {
            fraction <= *scale
                && digits as i32 - i32::from(fraction) <= i32::from(*precision) - i32::from(*scale)
        };
        let digits = |value: u64| value.checked_ilog10().map_or(1, |log| log + 1);
        let lossless = match literal {
            Literal::Int(value) => fits(digits(value.unsigned_abs().into()), 0),
            Literal::Bigint(value) => fits(digits(value.unsigned_abs()), 0),
            Literal::Decimal { precision, scale, .. } => fits(u32::from(*precision), *scale),
            _ => false,
        };
        if lossless {
            let kind = ExprKind::Cast { operand: Box::new(expr.clone()), to: TypeRef::from(ty.clone()) };
            *expr = Expr { kind, span: expr.span };
        }
    }
    query
}

/// Makes the rows of `plan` those of `target`: the same names in the same places, types that widen.
fn fit(plan: &mut Plan, target: &Source) -> Result<(), SqlError> {
    let result = Columns::new(plan.output.key.clone(), plan.output.value.clone());
    let sink = &target.columns;
    let fits = |result: &[Column], sink: &[Column]| {
        result.len() == sink.len()
            && result.iter().zip(sink).all(|(a, b)| a.name == b.name && widens(&a.ty, &b.ty))
    };
    if !fits(&result.key, &sink.key)
        || !fits(&result.value, &sink.value)
        || plan.output.window != target.window
    {
        return Err(SqlError::invalid(format!(
            "Incompatible schema between results and sink.\nResult schema is {result}\nSink schema is {sink}"
        ))
        .hint("select the same names and types in the same order; CAST changes a type, AS a name"));
    }
    if result.iter().map(|column| &column.ty).eq(sink.iter().map(|column| &column.ty)) {
        return Ok(());
    }
    let errors = plan.errors.clone();
    let Some(Step::Project(project)) = plan.steps.last_mut() else { return Ok(()) };
    let schema: SchemaRef = layout(sink.key.iter().chain(&sink.value));
    for (expr, (from, to)) in project.exprs.iter_mut().zip(result.iter().zip(sink.iter())) {
        if from.ty != to.ty {
            *expr = Operation::expr(OperationKind::Cast, vec![expr.clone()], to.ty.to_arrow(), &errors);
        }
    }
    if result.key.iter().zip(&sink.key).any(|(from, to)| from.ty != to.ty) {
        plan.output.key_bytes = None;
    }
    project.schema = schema.clone();
    plan.output.schema = schema;
    plan.output.key = sink.key.clone();
    plan.output.value = sink.value.clone();
    Ok(())
}

/// What aggregates keep between rows travels in the value format of the sink.
fn check_states(plan: &Plan, format: Format) -> Result<(), SqlError> {
    let states = plan.steps.iter().flat_map(|step| match step {
        Step::Aggregate(aggregate) => aggregate.calls.as_slice(),
        _ => &[],
    });
    let states = states.enumerate().map(|(number, call)| {
        Column::new(format!("KSQL_AGG_VARIABLE_{number}"), call.function.state_type().clone()).field()
    });
    match format == Format::Delimited
        && FormatSpec::value(Format::Delimited).check(&states.collect()).is_err()
    {
        true => Err(SqlError::invalid(
            "One of the functions used in the statement has an intermediate type that the value format can not \
             handle. Please remove the function or change the format.",
        )),
        false => Ok(()),
    }
}

/// Whether a column of type `from` can be inserted into one of type `to` as it is.
fn widens(from: &SqlType, to: &SqlType) -> bool {
    from == to || (from.is_numeric() && to.is_numeric() && from.can_widen_to(to))
}

/// A table made of a table keeps its rows; one that aggregates keeps its aggregates already.
fn materialize(plan: &mut Plan, sink: &Source) {
    let aggregates = plan.steps.iter().any(|step| matches!(step, Step::Aggregate(_)));
    if sink.kind == SourceKind::Stream || aggregates || sink.window.is_some() {
        return;
    }
    let has = |wanted: fn(&Step) -> bool| plan.steps.iter().any(wanted);
    let filters = has(|step| matches!(step, Step::Filter(_)));
    let foreign = has(|step| matches!(step, Step::ForeignJoin(_)));
    let keys = sink.columns.key.iter().map(|key| (key.clone(), column(&key.name)));
    plan.steps.push(Step::Materialize(Materialize {
        store: "Rows-Materialize".to_owned(),
        keys: RowKeys {
            columns: keys.collect(),
            format: internal(sink.key_format),
            carried: plan.output.key_bytes == Some(internal(sink.key_format)),
            bounds: Vec::new(),
            by_start: false,
        },
        // What headers say is in no topic's value.
        kept: match sink.columns.headers.is_empty() {
            true => Kept::Value(internal(sink.value_format)),
            false => Kept::Rows,
        },
        sends_old: false,
        // What does not pass a filter is deleted, and nobody need hear of what never passed.
        drops_unknown_deletes: filters && !foreign,
    }));
    // The rows that come out of the store carry its keys.
    plan.output.key_bytes = Some(internal(sink.key_format));
}
