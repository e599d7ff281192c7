//! From a query to a plan: names, types, keys, windows and joins checked against the catalogue.
//!
//! Order of work: sources, SELECT list, used columns, joins, WHERE, GROUP BY, HAVING, SELECT, keys of the result.
//! Every error names the place in the text and what would be valid.

mod explode;
mod flow;
mod grouping;
mod join;
mod lookup;
mod names;
mod output;
mod pull;
mod scope;
mod select;

use std::collections::BTreeSet;

use datafusion::logical_expr::{Expr as Planned, lit};
use millstream_formats::{Format, FormatSpec};

pub(crate) use pull::{PullPlan, Scans, analyse_pull};
pub(crate) use scope::{column_of, whole_source};

use self::{
    explode::Exploded,
    flow::{Carrier, Flow, Rekeying, rekeyed},
    grouping::{Grouped, is_aggregate, unqualified},
    join::Criteria,
    output::KeyKind,
    scope::{Scope, is_stream},
    select::{Item, Namer},
};
use crate::{
    ast::{
        Emit, Expr, ExprKind, Ident, Literal, Query, SourceKind, WindowClause, WindowKind, quote_if_needed,
    },
    catalogue::{Catalogue, Column, Columns, PSEUDO_COLUMNS, Source},
    error::SqlError,
    expression::{Compiler, Names, RowErrors, column},
    function::FunctionRegistry,
    plan::{
        Aggregate, AggregateCall, Filter, Kept, Materialize, NullKey, Origin, Plan, Rekey, RowKeys, RowTime,
        SessionWindow, SourceStep, Step, TimeWindow, Window, internal, layout,
    },
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
    /// How many partitions a topic has, if it is there.
    pub(crate) partitions: &'a dyn Fn(&str) -> Option<u32>,
}

/// Checks a query and plans its steps.
pub(crate) fn analyse(query: &Query, purpose: Purpose<'_>, context: Context<'_>) -> Result<Plan, SqlError> {
    check_clauses(query, purpose)?;
    let scope = Scope::new(context.catalogue, join::sources(query, context.catalogue)?);
    let errors = RowErrors::default();
    let compiler = Compiler::new(context.functions, &scope, errors.clone());
    let client = matches!(purpose, Purpose::Client);
    names::check_joins(query, &scope)?;
    let criteria = join::criteria(query, &scope, &compiler)?;
    names::check_functions(query, context.functions)?;
    names::check(query, &scope)?;
    join::check_formats(query, &scope)?;
    let items = select::expand(query, &scope, &compiler, client)?;
    mark_used(query, &items, &scope, context.functions);
    let aggregates = items.iter().any(|item| aggregate_in(&item.expr, context.functions).is_some());
    let aggregates = aggregates || !query.group_by.is_empty();
    join::mark_keys(&scope, aggregates);
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
    let mut source = scope.source_step(0);
    source.time = row_time(&source.source, context.functions, &errors)?;
    let keys = scope.sources[0].source.columns.key.iter();
    let keys = keys.map(|key| Column::new(scope.internal_name(0, &key.name), key.ty.clone())).collect();
    let bounds = match source.source.window {
        None => Vec::new(),
        Some(_) => PSEUDO_COLUMNS[3..].iter().map(|bound| scope.internal_name(0, bound)).collect(),
    };
    let flow = Flow::new(source, keys, bounds);
    let mut planner = Planner {
        query,
        scope: &scope,
        compiler: &compiler,
        flow,
        criteria,
        partitions: context.partitions,
        steps: Vec::new(),
    };
    planner.joins_and_filter(aggregates, client)?;
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
    Ok(Some(RowTime { origin, expr: typed.expr, schema: layout([&column]), must_be_valid: false }))
}

struct OneColumn<'a>(&'a Column);

impl Names for OneColumn<'_> {
    fn column(&self, _: Option<&Ident>, _: &Ident) -> Result<(String, SqlType), SqlError> {
        Ok((self.0.name.clone(), self.0.ty.clone()))
    }
}

/// Clauses that do not go together, or not with the purpose.
fn check_clauses(query: &Query, purpose: Purpose<'_>) -> Result<(), SqlError> {
    if let Some(having) = &query.having
        && query.group_by.is_empty()
    {
        return Err(SqlError::invalid("HAVING clause requires a GROUP BY clause.")
            .at(having.span)
            .hint("use WHERE"));
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
    /// What each JOIN clause compares.
    criteria: Vec<Criteria>,
    partitions: &'a dyn Fn(&str) -> Option<u32>,
    steps: Vec<Step>,
}

impl Planner<'_> {
    /// FROM and WHERE. A condition on a stream alone is checked before tables are joined to it. If the rows are to be
    /// aggregated, changes of a table come with the rows before them. So they do if they are filtered for a client, who
    /// wants to hear nothing of rows that never passed; other tables are kept behind the filter, and look there.
    fn joins_and_filter(&mut self, aggregates: bool, client: bool) -> Result<(), SqlError> {
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
        let only_tables = self.scope.sources[1..].iter().all(|known| !is_stream(&known.source));
        let left_only = match &self.query.filter {
            Some(condition) if is_stream(&self.scope.sources[0].source) && only_tables => {
                self.scope.sources_of(condition)?.iter().all(|place| *place == 0)
            }
            _ => false,
        };
        if left_only {
            self.steps.extend(filter.take().map(Step::Filter));
        }
        for place in 0..self.query.from.joins.len() {
            self.join(place)?;
        }
        let wants_old = aggregates || (client && filter.is_some());
        if wants_old && self.flow.kind == SourceKind::Table && !self.flow.has_old {
            let keys = self.flow.row_keys(internal(self.flow.key_format), self.steps.as_mut_slice());
            self.steps.push(Step::Materialize(Materialize {
                store: "Rows-Changes".to_owned(),
                keys,
                kept: Kept::Rows,
                sends_old: true,
                drops_unknown_deletes: false,
            }));
            self.flow.has_old = true;
        }
        self.steps.extend(filter.map(Step::Filter));
        Ok(())
    }

    fn aggregate_in<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        aggregate_in(expr, self.compiler.functions())
    }

    /// Sends the rows through a repartition topic. All of `needed` that are not in the key travel in the value.
    fn rekey(
        &mut self,
        name: &str,
        keys: Vec<(Column, Planned)>,
        needed: Option<&BTreeSet<String>>,
        key_format: FormatSpec,
        null_key: NullKey,
    ) -> Result<(), SqlError> {
        let key: Vec<Column> = keys.iter().map(|(key, _)| key.clone()).collect();
        // The time of a row is that of its record, there and back; that of a joined row is not that of its sources.
        let joined = self.steps.iter().any(|step| step.branch().is_some());
        let (rekey, columns) = rekeyed(Rekeying {
            name: name.to_owned(),
            columns: &self.flow.columns,
            keys,
            needed,
            row_time: (!joined).then(|| self.scope.internal_name(0, "ROWTIME")),
            key_format,
            null_key,
            value_format: self.flow.source.source.value_format,
            kind: SourceKind::Stream,
            changes: self.flow.kind == SourceKind::Table,
            keep_key_bytes: false,
        })
        .map_err(|error| error.at(self.query.span))?;
        self.flow.key = key;
        self.flow.same.clear();
        self.flow.window = None;
        self.flow.bounds.clear();
        self.rekeyed(rekey, columns);
        Ok(())
    }

    /// Sends the rows through a repartition topic in which their keys are the same, but written in `format`.
    fn rewrite_keys(&mut self, name: &str, format: FormatSpec, null_key: NullKey) -> Result<(), SqlError> {
        if self.flow.key_format == format {
            return Ok(());
        }
        let (rekey, columns) = rekeyed(Rekeying {
            name: name.to_owned(),
            columns: &self.flow.columns,
            keys: self.flow.key.iter().map(|key| (key.clone(), column(&key.name))).collect(),
            needed: None,
            row_time: Some(self.scope.internal_name(0, "ROWTIME")),
            key_format: format,
            null_key,
            value_format: self.flow.source.source.value_format,
            kind: self.flow.kind,
            changes: false,
            keep_key_bytes: false,
        })
        .map_err(|error| error.at(self.query.span))?;
        self.rekeyed(rekey, columns);
        Ok(())
    }

    fn rekeyed(&mut self, rekey: Rekey, columns: Vec<Column>) {
        self.flow.key_format = rekey.read.source.key_format;
        self.flow.carrier = Carrier::Rekey(self.steps.len());
        self.flow.columns = columns;
        self.steps.push(Step::Rekey(rekey));
    }

    /// SELECT without aggregation.
    fn projection(
        mut self,
        purpose: Purpose<'_>,
        items: Vec<Item>,
        errors: RowErrors,
    ) -> Result<Plan, SqlError> {
        self.check_window()?;
        let keys = self.partition_keys()?;
        let exploded = Exploded::new(self.scope, self.compiler);
        items.iter().try_for_each(|item| exploded.collect(&item.expr, self.flow.kind))?;
        let after = Compiler::new(self.compiler.functions(), &exploded, errors.clone());
        let typed = items.iter().map(|item| after.select(&item.expr)).collect::<Result<Vec<_>, _>>()?;
        if let Some((explode, columns)) = exploded.step(&self.flow.columns) {
            self.flow.columns = columns;
            self.steps.push(Step::Explode(explode));
        }
        let rekeyed = !self.query.partition_by.is_empty();
        let (output, steps) = output::project(&mut self, purpose, &items, typed, keys, rekeyed)?;
        self.steps.extend(steps);
        Ok(Plan { source: self.flow.source, steps: self.steps, output, errors })
    }

    /// The key of the rows: the expressions of PARTITION BY, or the key columns that the rows have.
    fn partition_keys(&self) -> Result<Vec<output::Key>, SqlError> {
        let by = &self.query.partition_by;
        if by.is_empty() {
            let named = |key: &Column, values: Vec<Planned>, shown: Vec<String>, kind: KeyKind| output::Key {
                shown,
                values,
                value: column(&key.name),
                kind,
                name: None,
            };
            let plain = |key: &Column, kind: KeyKind, shown: String| {
                named(key, vec![column(&key.name)], vec![shown], kind)
            };
            return Ok(match (self.scope.joins(), self.flow.foreign, self.scope.synthetic()) {
                (false, _, _) => {
                    let keys = self.flow.key.iter();
                    keys.map(|key| plain(key, KeyKind::Column, quote_if_needed(&key.name))).collect()
                }
                (true, true, _) => {
                    let keys = self.flow.key.iter();
                    keys.map(|key| plain(key, KeyKind::Foreign, key.name.clone())).collect()
                }
                (true, false, Some((name, _))) => {
                    let keys = self.flow.key.iter();
                    keys.map(|key| plain(key, KeyKind::Synthetic, name.clone())).collect()
                }
                (true, false, None) => {
                    let (values, shown) = (self.flow.key_values.clone(), self.flow.key_shown.clone());
                    let keys = self.flow.key.iter();
                    keys.map(|key| named(key, values.clone(), shown.clone(), KeyKind::Join)).collect()
                }
            });
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
                value: typed.expr.clone(),
                values: vec![typed.expr],
                kind: KeyKind::Partitioning,
                name: None,
            })
        };
        by.iter().map(key).collect()
    }

    /// The states of aggregates travel in the value format of the source.
    fn check_states(&self, calls: &[AggregateCall]) -> Result<(), SqlError> {
        let format = self.flow.source.source.value_format;
        let column = |call: &AggregateCall| Column::new("STATE", call.function.state_type().clone()).field();
        let fits = calls.iter().all(|call| format.check(&std::iter::once(column(call)).collect()).is_ok());
        match fits || format.format == Format::None {
            true => Ok(()),
            false => Err(SqlError::invalid(
                "One of the functions used in the statement has an intermediate type that the value format can not \
                 handle. Please remove the function or change the format.",
            )
            .at(self.query.span)),
        }
    }

    /// GROUP BY, HAVING and SELECT over them.
    fn aggregation(
        mut self,
        purpose: Purpose<'_>,
        items: Vec<Item>,
        errors: RowErrors,
    ) -> Result<Plan, SqlError> {
        if let Some(call) =
            items.iter().find_map(|item| explode::call_in(&item.expr, self.compiler.functions()))
        {
            return Err(SqlError::invalid("Table functions cannot be used with aggregations.").at(call.span));
        }
        let table = self.flow.kind == SourceKind::Table;
        if let Some(window) = self.query.window.as_ref().filter(|_| table) {
            return Err(SqlError::invalid(
                "WINDOW clause is only supported on streams: Windowing not supported for table aggregations.",
            )
            .at(window.span)
            .hint("leave the WINDOW clause out"));
        }
        let emits_final = self.query.emit == Some(Emit::Final);
        let window = self.query.window.as_ref().map(|clause| window(clause, emits_final)).transpose()?;
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
            self.check_functions(&items)?;
            return Err(SqlError::invalid(
                "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
            )
            .at(self.query.span)
            .hint("add one, for example COUNT(*)"));
        }
        self.check_states(&calls)?;
        let typed = grouped.select(&items, &after, |expr| self.aggregate_in(expr).is_some())?;
        self.check_grouped(&items, purpose)?;
        self.check_window()?;
        let having = match &self.query.having {
            None => None,
            Some(having) => Some(Filter {
                condition: grouped.having(having, &after)?,
                text: having.to_string(),
                table: true,
            }),
        };
        if table {
            check_undo(&calls).map_err(|error| error.at(self.query.span))?;
        }
        let key_format = internal(self.group_format(purpose, &group));
        let keyed = group.len() == self.flow.key.len()
            && group.iter().zip(&self.flow.key).all(|((_, value), key)| *value == column(&key.name));
        // Groups of a windowed source are those of its windows, if they are its keys.
        let by_window = keyed && self.flow.window.is_some() && window.is_none();
        let plain =
            keyed && !table && (group.len() == 1 || by_window) && (by_window || self.flow.window.is_none());
        if !plain {
            let mut needed = BTreeSet::new();
            for arg in calls.iter().flat_map(|call| &call.args) {
                needed.extend(arg.column_refs().iter().map(|column| column.name.clone()));
            }
            self.rekey("Aggregate-GroupBy", group.clone(), Some(&needed), key_format, NullKey::Report)?;
        }
        let carried = self.flow.carries(key_format, self.steps.as_mut_slice());
        let mut columns: Vec<Column> = group.iter().map(|(column, _)| column.clone()).collect();
        if window.is_some() || by_window {
            columns.push(Column::new("WINDOWSTART", SqlType::Bigint));
            columns.push(Column::new("WINDOWEND", SqlType::Bigint));
        }
        columns.extend(calls.iter().map(|call| call.column.clone()));
        let in_key = |(group, value): &(Column, Planned)| {
            let value = if plain { value.clone() } else { column(&group.name) };
            (group.clone(), value)
        };
        let aggregate = Aggregate {
            keys: RowKeys {
                columns: group.iter().map(in_key).collect(),
                format: key_format,
                carried,
                bounds: if by_window { self.flow.bounds.clone() } else { Vec::new() },
                by_start: false,
            },
            calls,
            window,
            emits_final,
            changes: table,
            having,
            store: "Aggregate-Materialize".to_owned(),
            schema: layout(&columns),
        };
        self.steps.push(Step::Aggregate(Box::new(aggregate)));
        let keys = group.iter().enumerate().map(|(place, (group, _))| output::Key {
            shown: vec![self.query.group_by.get(place).map_or_else(|| group.name.clone(), unqualified)],
            values: vec![column(&group.name)],
            value: column(&group.name),
            kind: KeyKind::Grouping,
            name: None,
        });
        let keys: Vec<output::Key> = keys.collect();
        // From here on the rows carry the store's keys.
        self.flow.key = group.iter().map(|(column, _)| column.clone()).collect();
        self.flow.same.clear();
        self.flow.key_format = key_format;
        self.flow.carrier = Carrier::Always;
        self.flow.kind = SourceKind::Table;
        if !by_window {
            self.flow.window = window.map(Window::windowing);
        }
        self.flow.bounds = match self.flow.window {
            None => Vec::new(),
            Some(_) => PSEUDO_COLUMNS[3..].iter().map(|bound| (*bound).to_owned()).collect(),
        };
        self.flow.columns = columns;
        let (output, steps) = output::project(&mut self, purpose, &items, typed, keys, false)?;
        self.steps.extend(steps);
        Ok(Plan { source: self.flow.source, steps: self.steps, output, errors })
    }

    /// Windows are windows of groups.
    fn check_window(&self) -> Result<(), SqlError> {
        match &self.query.window {
            Some(window) if self.query.group_by.is_empty() => {
                Err(SqlError::invalid("WINDOW clause requires a GROUP BY clause.").at(window.span))
            }
            _ => Ok(()),
        }
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

    /// How the keys of the aggregation are written: as in the sink, if there is one and its format holds them. That it
    /// must is said later, with the names that the key has there.
    fn group_format(&self, purpose: Purpose<'_>, group: &[(Column, Planned)]) -> FormatSpec {
        let inherited = self.flow.source.source.inherited_key_format;
        let key: Vec<Column> = group.iter().map(|(column, _)| column.clone()).collect();
        let fields = key.iter().map(Column::field).collect();
        let spec = match purpose {
            Purpose::Persistent { with, .. } | Purpose::Insert { with, .. } => {
                with.key_spec(&Columns::new(key, Vec::new()), inherited).ok()
            }
            Purpose::Client => {
                let spec = FormatSpec::key(inherited.format, key.len());
                let fits = spec.check(&fields).is_ok() && inherited.format != Format::None;
                fits.then_some(FormatSpec { delimiter: inherited.delimiter, ..spec })
            }
        };
        spec.unwrap_or_else(|| FormatSpec::key(Format::Json, group.len()))
    }

    /// All functions that are called are there.
    fn check_functions(&self, items: &[Item]) -> Result<(), SqlError> {
        let mut outcome = Ok(());
        for item in items {
            item.expr.walk(&mut |part| {
                if let ExprKind::Call { name, .. } = &part.kind
                    && outcome.is_ok()
                {
                    outcome = self.compiler.functions().describe(name).map(|_| ());
                }
            });
        }
        outcome
    }
}

/// The first aggregate of an expression.
fn aggregate_in<'e>(expr: &'e Expr, functions: &FunctionRegistry) -> Option<&'e Expr> {
    let mut found = None;
    expr.walk(&mut |part| {
        if let ExprKind::Call { name, .. } = &part.kind
            && is_aggregate(functions, name)
        {
            found = found.or(Some(part));
        }
    });
    found
}

/// An aggregate of a table must be able to take rows out again.
fn check_undo(calls: &[AggregateCall]) -> Result<(), SqlError> {
    let without = calls.iter().filter(|call| !call.function.supports_tables());
    let mut names: Vec<&str> = without.map(|call| call.function.name()).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let (plural, list) = match names.as_slice() {
        [] => return Ok(()),
        [one] => ("", (*one).to_owned()),
        [first @ .., last] => ("s", format!("{} and {last}", first.join(", "))),
    };
    Err(SqlError::invalid(format!(
        "The aggregation function{plural} {list} cannot be applied to a table source, only to a stream source."
    )))
}

/// The default grace period makes a window take records for a day.
const DEFAULT_GRACE_MS: i64 = 24 * 60 * 60 * 1000;

fn window(clause: &WindowClause, emits_final: bool) -> Result<Window, SqlError> {
    let (size_ms, advance_ms) = match clause.kind {
        WindowKind::Tumbling { size } => (size.millis(), size.millis()),
        WindowKind::Hopping { size, advance } => (size.millis(), advance.millis()),
        WindowKind::Session { gap } => (gap.millis(), gap.millis()),
    };
    if size_ms <= 0 || advance_ms <= 0 || advance_ms > size_ms {
        return Err(SqlError::invalid(
            "a window needs a SIZE above zero, and an ADVANCE BY above zero and up to the size",
        )
        .at(clause.span));
    }
    let grace_ms = match clause.grace {
        Some(grace) => grace.millis(),
        // Who wants each result once does not want to wait for it a day.
        None if emits_final => 0,
        None => (DEFAULT_GRACE_MS - size_ms).max(0),
    };
    let least = size_ms.saturating_add(grace_ms);
    let retention_ms = clause.retention.map_or(least, |retention| retention.millis());
    if retention_ms < least {
        return Err(SqlError::invalid(format!(
            "RETENTION of {retention_ms} ms is below window size plus grace period, {least} ms"
        ))
        .at(clause.span)
        .hint("raise RETENTION, or lower GRACE PERIOD (by default a day less the window size)"));
    }
    Ok(match clause.kind {
        WindowKind::Session { .. } => {
            Window::Session(SessionWindow { gap_ms: size_ms, grace_ms, retention_ms })
        }
        WindowKind::Tumbling { .. } | WindowKind::Hopping { .. } => {
            Window::Time(TimeWindow { size_ms, advance_ms, grace_ms, retention_ms })
        }
    })
}

/// Resolves types in declarations.
pub(crate) fn custom_types(catalogue: &Catalogue) -> impl Fn(&str) -> Option<SqlType> + '_ {
    |name| catalogue.custom_type(name).cloned()
}
