//! From a query to a plan: names, types, keys, windows and joins checked against the catalogue.
//!
//! Order of work: sources, SELECT list, used columns, joins, WHERE, GROUP BY, HAVING, SELECT, keys of the result.
//! Every error names the place in the text and what would be valid.

mod grouping;
mod join;
mod names;
mod output;
mod scope;
mod select;

use std::{collections::BTreeSet, sync::Arc};

use datafusion::logical_expr::{Expr as Planned, lit};
use millstream_formats::{Format, FormatSpec};

pub(crate) use scope::{column_of, whole_source};

use self::{
    grouping::{Grouped, is_aggregate, unqualified},
    output::KeyKind,
    scope::{Scope, is_stream},
    select::{Item, Namer},
};
use crate::{
    ast::{
        Emit, Expr, ExprKind, Ident, Literal, Query, SourceKind, WindowClause, WindowKind, quote_if_needed,
    },
    catalogue::{Catalogue, Column, Columns, Source, Windowing},
    error::SqlError,
    expression::{Compiler, Names, RowErrors, column},
    function::FunctionRegistry,
    plan::{Aggregate, Filter, NullKey, Origin, Plan, Rekey, RowTime, SourceStep, Step, Window, layout},
    types::SqlType,
    with::With,
};

/// What a query's result is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// A stream or table of its own, with its name and the WITH clause of its statement.
    Persistent { kind: SourceKind, name: &'a str, with: &'a With },
    /// Rows for an existing stream.
    Insert { name: &'a str, with: &'a With },
    /// Rows for a client.
    Client,
}

/// What a query is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Streams, tables and types.
    pub(crate) catalogue: &'a Catalogue,
    /// Functions.
    pub(crate) functions: &'a FunctionRegistry,
}

/// Checks a query and plans its steps.
pub(crate) fn analyse(query: &Query, purpose: Purpose<'_>, context: Context<'_>) -> Result<Plan, SqlError> {
    check_clauses(query, purpose)?;
    let scope = Scope::new(context.catalogue, join::sources(query, context.catalogue)?);
    let errors = RowErrors::default();
    let compiler = Compiler::new(context.functions, &scope, errors.clone());
    let client = matches!(purpose, Purpose::Client);
    names::check(query, &scope)?;
    let items = select::expand(query, &scope, &compiler, client)?;
    mark_used(query, &items, &scope, context.functions);
    if !client && scope.sources[0].source.window.is_some() {
        if !is_stream(&scope.sources[0].source) {
            return Err(SqlError::invalid("KSQL does not support persistent queries on windowed tables.")
                .at(query.span)
                .hint("declare a stream over the table's topic, with WINDOW_TYPE and WINDOW_SIZE"));
        }
        // The window is part of the key that the result has.
        scope.mark(0, Origin::WindowStart);
        scope.mark(0, Origin::WindowEnd);
    }
    let mut source = scope.source_step(0, false);
    source.time = row_time(&source.source, context.functions, &errors)?;
    let mut planner =
        Planner { query, scope: &scope, compiler: &compiler, flow: Flow::new(source), steps: Vec::new() };
    planner.joins_and_filter()?;
    let aggregates = planner.is_aggregation(&items);
    let plan = match aggregates {
        true => planner.aggregation(purpose, items, errors)?,
        false => planner.projection(purpose, items, errors)?,
    };
    if query.emit == Some(Emit::Final) && query.window.is_none() {
        return Err(SqlError::invalid("EMIT FINAL is only supported for windowed aggregations.")
            .at(query.span)
            .hint("EMIT CHANGES, or add a WINDOW clause"));
    }
    Ok(plan)
}

/// How a source's rows get their time from a column, if they do.
pub(crate) fn row_time(
    source: &Source,
    functions: &FunctionRegistry,
    errors: &RowErrors,
) -> Result<Option<RowTime>, SqlError> {
    let Some(timestamp) = &source.timestamp else { return Ok(None) };
    let by_name = |columns: &[Column]| columns.iter().position(|column| column.name == timestamp.column);
    let origin = match (by_name(&source.columns.key), by_name(&source.columns.value)) {
        (Some(place), _) => Origin::Key(place),
        (None, Some(place)) => Origin::Value(place),
        (None, None) => {
            return Err(SqlError::invalid(format!("{} has no column {}", source.name, timestamp.column)));
        }
    };
    let column = column_of(source, origin);
    let name = ExprKind::Column { source: None, name: Ident::new(&column.name) };
    let written = match &timestamp.format {
        None => Expr::new(name),
        Some(format) => Expr::new(ExprKind::Call {
            name: Ident::new("PARSE_TIMESTAMP"),
            args: vec![Expr::new(name), Expr::new(ExprKind::Literal(Literal::String(format.clone())))],
        }),
    };
    let names = OneColumn(&column);
    let typed = Compiler::new(functions, &names, errors.clone()).compile(&written)?;
    Ok(Some(RowTime { origin, expr: typed.expr, schema: layout([&column]) }))
}

struct OneColumn<'a>(&'a Column);

impl Names for OneColumn<'_> {
    fn column(&self, _: Option<&Ident>, _: &Ident) -> Result<(String, SqlType), SqlError> {
        Ok((self.0.name.clone(), self.0.ty.clone()))
    }
}

/// Clauses that do not go together, or not with the purpose.
fn check_clauses(query: &Query, purpose: Purpose<'_>) -> Result<(), SqlError> {
    if let Some(window) = &query.window
        && query.group_by.is_empty()
    {
        return Err(SqlError::invalid("WINDOW clause requires a GROUP BY clause.").at(window.span));
    }
    if let Some(having) = &query.having
        && query.group_by.is_empty()
    {
        return Err(SqlError::invalid("HAVING clause requires a GROUP BY clause.")
            .at(having.span)
            .hint("use WHERE"));
    }
    if query.emit == Some(Emit::Final) && query.window.is_some() {
        return Err(SqlError::unsupported("EMIT FINAL is not supported by this version")
            .at(query.span)
            .hint("EMIT CHANGES is"));
    }
    if let Some(first) = query.partition_by.first()
        && !query.group_by.is_empty()
    {
        return Err(SqlError::unsupported(
            "PARTITION BY together with GROUP BY is not supported by this version",
        )
        .at(first.span)
        .hint("GROUP BY already makes the key"));
    }
    if query.limit.is_some()
        && let Purpose::Persistent { kind, .. } = purpose
    {
        let message = format!("CREATE {kind} AS SELECT statements don't support LIMIT clause.");
        return Err(SqlError::invalid(message).at(query.span));
    }
    Ok(())
}

/// Marks the columns that any clause reads.
fn mark_used(query: &Query, items: &[Item], scope: &Scope<'_>, functions: &FunctionRegistry) {
    let clauses = [query.filter.as_ref(), query.having.as_ref()].into_iter().flatten();
    let lists =
        query.group_by.iter().chain(&query.partition_by).chain(query.from.joins.iter().map(|join| &join.on));
    for expr in items.iter().map(|item| &item.expr).chain(clauses).chain(lists) {
        scope.mark_used(expr);
        // AGG() and AGG(*) take ROWTIME.
        expr.walk(&mut |part| {
            if let ExprKind::Call { name, args } = &part.kind
                && args.is_empty()
                && is_aggregate(functions, name)
            {
                scope.mark(0, Origin::RowTime);
            }
        });
    }
}

/// What is known of the rows between two steps.
struct Flow {
    source: SourceStep,
    columns: Vec<Column>,
    /// The columns that the record key holds, by their names inside the plan, whether they are in `columns` or not.
    key: Vec<String>,
    /// Other columns that always equal the key.
    same_as_key: Vec<String>,
    /// How the serialized key of the last topic is written, while it is still that of the rows.
    key_format: FormatSpec,
    /// The rekeying that the rows came through last; none since the source.
    rekeyed: Option<usize>,
    kind: SourceKind,
    window: Option<Windowing>,
}

impl Flow {
    fn new(source: SourceStep) -> Self {
        Self {
            columns: columns_of(&source),
            key: Vec::new(),
            same_as_key: Vec::new(),
            key_format: source.source.key_format,
            rekeyed: None,
            kind: source.source.kind,
            window: source.source.window,
            source,
        }
    }
}

fn columns_of(step: &SourceStep) -> Vec<Column> {
    let names = step.schema.fields().iter().map(|field| field.name().clone());
    let types = step.origins.iter().map(|origin| column_of(&step.source, *origin).ty);
    names.zip(types).map(|(name, ty)| Column::new(name, ty)).collect()
}

struct Planner<'a> {
    query: &'a Query,
    scope: &'a Scope<'a>,
    compiler: &'a Compiler<'a>,
    flow: Flow,
    steps: Vec<Step>,
}

impl Planner<'_> {
    /// FROM and WHERE. A condition on the left source alone is checked before anything is joined to it.
    fn joins_and_filter(&mut self) -> Result<(), SqlError> {
        let keys = &self.flow.source.source.columns.key;
        self.flow.key = keys.iter().map(|column| self.scope.internal_name(0, &column.name)).collect();
        let mut filter = match &self.query.filter {
            None => None,
            Some(condition) => {
                if let Some(call) = self.aggregate_in(condition) {
                    return Err(SqlError::invalid(format!(
                        "WHERE does not support aggregate functions: {call} is an aggregate function."
                    ))
                    .at(call.span)
                    .hint("use HAVING"));
                }
                Some(Filter {
                    condition: self.compiler.condition(condition, "WHERE")?,
                    text: condition.to_string(),
                    table: self.flow.kind == SourceKind::Table,
                })
            }
        };
        let left_only = match &self.query.filter {
            Some(condition) => self.scope.sources_of(condition)?.iter().all(|place| *place == 0),
            None => false,
        };
        if left_only {
            self.steps.extend(filter.take().map(Step::Filter));
        }
        for place in 0..self.query.from.joins.len() {
            self.join(place)?;
        }
        self.steps.extend(filter.map(Step::Filter));
        Ok(())
    }

    fn aggregate_in<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        let mut found = None;
        expr.walk(&mut |part| {
            if let ExprKind::Call { name, .. } = &part.kind
                && is_aggregate(self.compiler.functions(), name)
            {
                found = found.or(Some(part));
            }
        });
        found
    }

    fn is_aggregation(&self, items: &[Item]) -> bool {
        !self.query.group_by.is_empty() || items.iter().any(|item| self.aggregate_in(&item.expr).is_some())
    }

    /// Whether the serialized keys of the rows can be used as keys of `format`; then they travel along.
    fn use_key_bytes(&mut self, format: FormatSpec) -> bool {
        if self.flow.key_format != format || self.flow.key.is_empty() || format.format == Format::None {
            return false;
        }
        match self.flow.rekeyed {
            None => self.flow.source.keep_key_bytes = true,
            Some(step) => {
                if let Step::Rekey(rekey) = &mut self.steps[step] {
                    rekey.read.keep_key_bytes = true;
                }
            }
        }
        true
    }

    /// Sends the rows through a repartition topic. All of `needed` that are not in the key travel in the value.
    fn rekey(
        &mut self,
        name: &str,
        keys: Vec<(Column, Planned)>,
        needed: &BTreeSet<String>,
        key_format: FormatSpec,
        null_key: NullKey,
    ) -> Result<(), SqlError> {
        // The time of a row is that of its record, there and back.
        let row_time = self.scope.internal_name(0, "ROWTIME");
        let is_key = |column: &Column| keys.iter().any(|(key, _)| key.name == column.name);
        let stays = |column: &Column| !is_key(column) && needed.contains(&column.name);
        let (timed, carried): (Vec<Column>, Vec<Column>) = self
            .flow
            .columns
            .iter()
            .filter(|column| stays(column))
            .cloned()
            .partition(|c| c.name == row_time);
        let fields = carried.iter().map(Column::field).collect();
        let inherited = self.flow.source.source.value_format;
        if inherited.format == Format::Kafka {
            let (names, what) = match self.scope.joins() {
                true => (self.scope.sources.iter().map(|known| known.source.name.clone()).collect(), "JOIN"),
                false => (vec![self.flow.source.source.name.clone()], "GROUP BY"),
            };
            return Err(SqlError::invalid(format!(
                "Source(s) {} are using the 'KAFKA' value format. This format does not yet support {what}.",
                names.join(", ")
            ))
            .at(self.query.span)
            .hint("declare the source with VALUE_FORMAT JSON or DELIMITED"));
        }
        let json = FormatSpec::value(Format::Json);
        let usual = FormatSpec { wrapped: inherited.format.can_wrap(), ..inherited };
        let value_format = if carried.is_empty() || usual.check(&fields).is_err() { json } else { usual };
        value_format
            .check(&fields)
            .map_err(|error| SqlError::invalid(error.to_string()).at(self.query.span))?;
        let (key, keys): (Vec<Column>, Vec<Planned>) = keys.into_iter().unzip();
        let origins = (0..key.len()).map(Origin::Key).chain((0..carried.len()).map(Origin::Value));
        let origins = origins.chain(timed.iter().map(|_| Origin::RowTime)).collect();
        let columns: Vec<Column> = key.iter().chain(&carried).chain(&timed).cloned().collect();
        self.flow.key = key.iter().map(|column| column.name.clone()).collect();
        self.flow.same_as_key.clear();
        self.flow.key_format = key_format;
        self.flow.rekeyed = Some(self.steps.len());
        let topic = Source {
            name: name.to_owned(),
            kind: SourceKind::Stream,
            columns: Columns::new(key, carried),
            topic: format!("{name}-repartition"),
            key_format,
            inherited_key_format: key_format,
            value_format,
            wraps_explicitly: false,
            timestamp: None,
            window: None,
            read_only: true,
            statement: String::new(),
            query: None,
        };
        let read = SourceStep {
            alias: name.to_owned(),
            source: Arc::new(topic),
            origins,
            schema: layout(&columns),
            time: None,
            keep_key_bytes: false,
        };
        self.flow.columns = columns;
        self.steps.push(Step::Rekey(Rekey { name: name.to_owned(), keys, null_key, read }));
        Ok(())
    }

    /// SELECT without aggregation.
    fn projection(
        mut self,
        purpose: Purpose<'_>,
        items: Vec<Item>,
        errors: RowErrors,
    ) -> Result<Plan, SqlError> {
        let keys = self.partition_keys()?;
        let typed =
            items.iter().map(|item| self.compiler.select(&item.expr)).collect::<Result<Vec<_>, _>>()?;
        let rekeyed = !self.query.partition_by.is_empty();
        let (output, steps) = output::project(&mut self, purpose, &items, typed, keys, rekeyed)?;
        self.steps.extend(steps);
        Ok(Plan { source: self.flow.source, steps: self.steps, output, errors })
    }

    /// The key of the rows: the expressions of PARTITION BY, or the key columns that the rows have.
    fn partition_keys(&self) -> Result<Vec<output::Key>, SqlError> {
        let by = &self.query.partition_by;
        if by.is_empty() {
            let mut keys = Vec::new();
            for name in &self.flow.key {
                let mut values = vec![column(name)];
                values.extend(self.flow.same_as_key.iter().map(|name| column(name)));
                let (shown, kind) = match self.scope.joins() {
                    true => (
                        std::iter::once(name).chain(&self.flow.same_as_key).cloned().collect(),
                        KeyKind::Join,
                    ),
                    false => (vec![quote_if_needed(name)], KeyKind::Column),
                };
                keys.push(output::Key { shown, values, kind, name: None });
            }
            return Ok(keys);
        }
        if !is_stream(&self.flow.source.source) {
            return Err(SqlError::invalid("Cannot repartition a TABLE source. If this is a join, make sure that the criteria uses the TABLE's key column")
                .at(by[0].span)
                .hint("PARTITION BY is for streams; GROUP BY makes a table with another key"));
        }
        if self.flow.window.is_some() {
            return Err(SqlError::invalid(
                "Implicit repartitioning of windowed sources is not supported. See \
                 https://github.com/confluentinc/ksql/issues/4385.",
            )
            .at(by[0].span));
        }
        let null = |expr: &Expr| matches!(expr.kind, ExprKind::Literal(Literal::Null));
        if by.iter().any(null) {
            return match by.as_slice() {
                [_] => Ok(Vec::new()),
                _ => Err(SqlError::invalid("Cannot PARTITION BY multiple columns including NULL")
                    .at(by[0].span)
                    .hint("PARTITION BY NULL stands alone: it drops the key")),
            };
        }
        let key = |expr: &Expr| {
            let typed = self.compiler.compile(expr)?;
            typed.known_type()?;
            Ok(output::Key {
                shown: vec![self.scope.qualified(expr).to_string()],
                values: vec![typed.expr],
                kind: KeyKind::Partitioning,
                name: None,
            })
        };
        by.iter().map(key).collect()
    }

    /// GROUP BY, HAVING and SELECT over them.
    fn aggregation(
        mut self,
        purpose: Purpose<'_>,
        items: Vec<Item>,
        errors: RowErrors,
    ) -> Result<Plan, SqlError> {
        if self.flow.kind == SourceKind::Table {
            return Err(SqlError::unsupported("aggregation of a TABLE is not supported by this version")
                .at(self.query.span)
                .hint("aggregate the stream that the table was made of"));
        }
        if self.flow.window.is_some() && self.query.window.is_none() {
            return Err(SqlError::unsupported(
                "GROUP BY of a windowed source is not supported by this version",
            )
            .at(self.query.span));
        }
        let window = self.query.window.as_ref().map(window).transpose()?;
        let group = self.grouping()?;
        let grouped = Grouped::new(self.scope, self.compiler, &group, window.is_some());
        let after = Compiler::new(self.compiler.functions(), &grouped, errors.clone());
        for item in &items {
            grouped.collect(&item.expr)?;
        }
        if let Some(having) = &self.query.having {
            grouped.collect(having)?;
        }
        let calls = grouped.calls();
        if calls.is_empty() {
            return Err(SqlError::invalid(
                "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
            )
            .at(self.query.span)
            .hint("add one, for example COUNT(*)"));
        }
        let typed = grouped.select(&items, &after, |expr| self.aggregate_in(expr).is_some())?;
        self.check_grouped(&items, purpose)?;
        let having = match &self.query.having {
            None => None,
            Some(having) => Some(Filter {
                condition: grouped.having(having, &after)?,
                text: having.to_string(),
                table: true,
            }),
        };
        let key_format = self.group_format(purpose, &group)?;
        let plain = match group.as_slice() {
            [(_, Planned::Column(column))] => self.flow.key.len() == 1 && column.name == self.flow.key[0],
            _ => false,
        };
        if !plain {
            let mut needed = BTreeSet::new();
            for arg in calls.iter().flat_map(|call| &call.args) {
                needed.extend(arg.column_refs().iter().map(|column| column.name.clone()));
            }
            self.rekey("Aggregate-GroupBy", group.clone(), &needed, key_format, NullKey::Report)?;
        }
        let key_bytes = self.use_key_bytes(key_format);
        let mut columns: Vec<Column> = group.iter().map(|(column, _)| column.clone()).collect();
        if window.is_some() {
            columns.push(Column::new("WINDOWSTART", SqlType::Bigint));
            columns.push(Column::new("WINDOWEND", SqlType::Bigint));
        }
        columns.extend(calls.iter().map(|call| call.column.clone()));
        let in_key = |(group, value): &(Column, Planned)| {
            let value = if plain { value.clone() } else { column(&group.name) };
            (group.clone(), value)
        };
        let aggregate = Aggregate {
            group: group.iter().map(in_key).collect(),
            key_format,
            key_bytes,
            calls,
            window,
            having,
            store: "Aggregate-Materialize".to_owned(),
            schema: layout(&columns),
        };
        self.steps.push(Step::Aggregate(Box::new(aggregate)));
        let keys = group.iter().enumerate().map(|(place, (group, _))| output::Key {
            shown: vec![self.query.group_by.get(place).map_or_else(|| group.name.clone(), unqualified)],
            values: vec![column(&group.name)],
            kind: KeyKind::Grouping,
            name: None,
        });
        let keys: Vec<output::Key> = keys.collect();
        // From here on the rows carry the store's keys.
        self.flow.key = group.iter().map(|(column, _)| column.name.clone()).collect();
        self.flow.same_as_key.clear();
        self.flow.key_format = key_format;
        self.flow.kind = SourceKind::Table;
        self.flow.window = window.map(Window::windowing);
        self.flow.columns = columns;
        let (output, steps) = output::project(&mut self, purpose, &items, typed, keys, false)?;
        self.steps.extend(steps);
        Ok(Plan { source: self.flow.source, steps: self.steps, output, errors })
    }

    /// A persistent query aggregates per key.
    fn check_grouped(&self, items: &[Item], purpose: Purpose<'_>) -> Result<(), SqlError> {
        if !self.query.group_by.is_empty() {
            return Ok(());
        }
        let Purpose::Persistent { kind, .. } = purpose else { return Ok(()) };
        let calls: Vec<&Expr> = items.iter().filter_map(|item| self.aggregate_in(&item.expr)).collect();
        let shown: Vec<String> = calls
            .iter()
            .map(|call| match &call.kind {
                ExprKind::Call { name, args } if args.is_empty() => format!("{}(ROWTIME)", name.name),
                _ => call.to_string(),
            })
            .collect();
        Err(SqlError::invalid(format!(
            "CREATE {kind} AS SELECT statement does not support aggregate function [{}] without a GROUP BY clause.",
            shown.join(", ")
        ))
        .at(calls.first().map_or(self.query.span, |call| call.span)))
    }

    /// The grouping expressions and the columns that hold them.
    fn grouping(&self) -> Result<Vec<(Column, Planned)>, SqlError> {
        if self.query.group_by.is_empty() {
            // One group for everything.
            return Ok(vec![(Column::new("KSQL_ALL", SqlType::Int), lit(0i32))]);
        }
        let mut namer = Namer::new(self.query, self.scope);
        let mut group: Vec<(Column, Planned)> = Vec::new();
        for expr in &self.query.group_by {
            if let Some(call) = self.aggregate_in(expr) {
                let name = match &call.kind {
                    ExprKind::Call { name, .. } => name.name.clone(),
                    _ => call.to_string(),
                };
                return Err(SqlError::invalid(format!(
                    "GROUP BY does not support aggregate functions: {name} is an aggregate function."
                ))
                .at(call.span));
            }
            let typed = self.compiler.compile(expr)?;
            let ty = typed.known_type()?.clone();
            let name = match &typed.expr {
                Planned::Column(column) => column.name.clone(),
                _ => namer.generated(),
            };
            if group.iter().any(|(_, known)| *known == typed.expr) {
                return Err(SqlError::invalid(format!("Duplicate GROUP BY expression: {expr}")).at(expr.span));
            }
            group.push((Column::new(name, ty), typed.expr));
        }
        Ok(group)
    }

    /// How the keys of the aggregation are written: as in the sink, if there is one.
    fn group_format(
        &self,
        purpose: Purpose<'_>,
        group: &[(Column, Planned)],
    ) -> Result<FormatSpec, SqlError> {
        let inherited = self.flow.source.source.inherited_key_format;
        let key: Vec<Column> = group.iter().map(|(column, _)| column.clone()).collect();
        match purpose {
            Purpose::Persistent { with, .. } | Purpose::Insert { with, .. } => {
                with.key_spec(&Columns::new(key, Vec::new()), inherited).map_err(|error| {
                    let span = self.query.group_by.first().map_or(self.query.span, |expr| expr.span);
                    error.at(span)
                })
            }
            Purpose::Client => {
                let spec = FormatSpec::key(inherited.format, key.len());
                let fields = key.iter().map(Column::field).collect();
                if spec.check(&fields).is_ok() && inherited.format != Format::None {
                    Ok(FormatSpec { delimiter: inherited.delimiter, ..spec })
                } else {
                    Ok(FormatSpec::key(Format::Json, key.len()))
                }
            }
        }
    }
}

/// The default grace period makes a window take records for a day.
const DEFAULT_GRACE_MS: i64 = 24 * 60 * 60 * 1000;

fn window(clause: &WindowClause) -> Result<Window, SqlError> {
    let (size_ms, advance_ms) = match clause.kind {
        WindowKind::Tumbling { size } => (size.millis(), size.millis()),
        WindowKind::Hopping { size, advance } => (size.millis(), advance.millis()),
        WindowKind::Session { .. } => {
            return Err(SqlError::unsupported("WINDOW SESSION is not supported by this version")
                .at(clause.span)
                .hint("TUMBLING and HOPPING are"));
        }
    };
    if size_ms <= 0 || advance_ms <= 0 || advance_ms > size_ms {
        return Err(SqlError::invalid(
            "a window needs a SIZE above zero, and an ADVANCE BY above zero and up to the size",
        )
        .at(clause.span));
    }
    let grace_ms = clause.grace.map_or_else(|| (DEFAULT_GRACE_MS - size_ms).max(0), |grace| grace.millis());
    let least = size_ms.saturating_add(grace_ms);
    let retention_ms = clause.retention.map_or(least, |retention| retention.millis());
    if retention_ms < least {
        return Err(SqlError::invalid(format!(
            "The RETENTION of {retention_ms} ms is below window size plus grace period, {least} ms"
        ))
        .at(clause.span)
        .hint("raise RETENTION, or lower GRACE PERIOD (by default a day less the window size)"));
    }
    Ok(Window { size_ms, advance_ms, grace_ms, retention_ms })
}

/// Resolves types in declarations.
pub(crate) fn custom_types(catalogue: &Catalogue) -> impl Fn(&str) -> Option<SqlType> + '_ {
    |name| catalogue.custom_type(name).cloned()
}

/// A pull query, checked: rows that are there, filtered and projected.
#[derive(Clone, Debug)]
pub(crate) struct PullPlan {
    /// What is read: a table or a stream with the columns used.
    pub(crate) source: SourceStep,
    /// WHERE.
    pub(crate) filter: Option<Planned>,
    /// WHERE as written.
    pub(crate) filter_text: Option<String>,
    /// SELECT.
    pub(crate) exprs: Vec<Planned>,
    /// SELECT as written, stars expanded.
    pub(crate) texts: Vec<String>,
    /// The names and types of the result.
    pub(crate) columns: Vec<Column>,
    /// LIMIT.
    pub(crate) limit: Option<u64>,
    /// Where the expressions leave row errors.
    pub(crate) errors: RowErrors,
}

/// Checks a pull query.
pub(crate) fn analyse_pull(query: &Query, context: Context<'_>) -> Result<PullPlan, SqlError> {
    let unsupported = |what: &str, span| {
        Err(SqlError::invalid(format!(
            "Pull queries don't support {what} clauses. See https://cnfl.io/queries for more info.\nAdd EMIT \
             CHANGES if you intended to issue a push query."
        ))
        .at(span))
    };
    if let Some(join) = query.from.joins.first() {
        return unsupported("JOIN", join.span);
    }
    if let Some(window) = &query.window {
        return unsupported("WINDOW", window.span);
    }
    if let Some(expr) = query.group_by.first() {
        return unsupported("GROUP BY", expr.span);
    }
    if let Some(expr) = query.partition_by.first() {
        return unsupported("PARTITION BY", expr.span);
    }
    if let Some(having) = &query.having {
        return unsupported("HAVING", having.span);
    }
    let scope = Scope::new(context.catalogue, join::sources(query, context.catalogue)?);
    let errors = RowErrors::default();
    let compiler = Compiler::new(context.functions, &scope, errors.clone());
    let items = select::expand(query, &scope, &compiler, true)?;
    for expr in items.iter().map(|item| &item.expr).chain(&query.filter) {
        scope.mark_used(expr);
    }
    let filter = query.filter.as_ref().map(|filter| compiler.condition(filter, "WHERE")).transpose()?;
    let mut columns: Vec<Column> = Vec::new();
    let mut exprs = Vec::new();
    for item in &items {
        let typed = compiler.compile(&item.expr)?;
        output::check_duplicate(&columns, item)?;
        columns.push(Column::new(&item.name, typed.known_type()?.clone()));
        exprs.push(typed.expr);
    }
    let mut source = scope.source_step(0, false);
    source.time = row_time(&source.source, context.functions, &errors)?;
    let hidden =
        source.origins.iter().any(|origin| matches!(origin, Origin::RowPartition | Origin::RowOffset));
    if hidden && source.source.kind == SourceKind::Table {
        return Err(SqlError::invalid("pull queries on tables don't support ROWPARTITION and ROWOFFSET")
            .at(query.span));
    }
    let filter_text = query.filter.as_ref().map(Expr::to_string);
    let texts = items.iter().map(|item| item.expr.to_string()).collect();
    Ok(PullPlan { source, filter, filter_text, exprs, texts, columns, limit: query.limit, errors })
}
