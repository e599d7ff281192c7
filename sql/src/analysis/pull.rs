//! Pull queries: rows that are there, checked against the catalogue.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr as Planned, ExprSchemable},
    scalar::ScalarValue,
};

use super::{Context, Scope, join, lookup, output, row_time, select};
use crate::{
    ast::{Expr, ExprKind, Ident, Query, SourceKind},
    catalogue::{Column, Source},
    error::SqlError,
    expression::{Compiler, RowErrors, value_of},
    plan::{Origin, SourceStep},
    types::SqlType,
};

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
    /// Which of them are columns of the table's key or bounds of its windows; none of a stream, as in a push query.
    pub(crate) keys: Vec<bool>,
    /// LIMIT.
    pub(crate) limit: Option<u64>,
    /// Where the expressions leave row errors.
    pub(crate) errors: RowErrors,
}

/// How much of a table a pull query may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scans {
    /// All of it.
    Tables,
    /// Keys that it names, and keys between bounds.
    Ranges,
    /// Keys that it names.
    None,
}

/// Checks a pull query.
pub(crate) fn analyse_pull(query: &Query, scans: Scans, context: Context<'_>) -> Result<PullPlan, SqlError> {
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
    let filter = match &query.filter {
        None => None,
        Some(filter) => {
            scope.check(filter, "WHERE", &|_| false)?;
            let table = &scope.sources[0].source;
            if table.kind == SourceKind::Table {
                keys_in_lists(filter, table, &compiler)?;
            }
            Some(constants_folded(compiler.condition(filter, "WHERE")?)?)
        }
    };
    let mut columns: Vec<Column> = Vec::new();
    let mut exprs = Vec::new();
    for item in &items {
        let typed = compiler.compile(&item.expr)?;
        output::check_duplicate(&columns, item)?;
        columns.push(Column::new(&item.name, typed.known_type()?.clone()));
        exprs.push(typed.expr);
    }
    let mut source = scope.source_step(0);
    source.time = row_time(&source.source, context.functions, &errors)?;
    if source.source.kind == SourceKind::Table {
        let selected = items.iter().map(|item| (&item.expr, "SELECT"));
        for (expr, clause) in selected.chain(query.filter.iter().map(|filter| (filter, "WHERE"))) {
            no_places(expr, clause)?;
        }
        if scans != Scans::Tables {
            lookup::check(query.filter.as_ref(), &source.source, scans == Scans::Ranges)?;
        }
    }
    let filter_text = query.filter.as_ref().map(Expr::to_string);
    let texts = items.iter().map(|item| item.expr.to_string()).collect();
    let of_table = source.source.kind == SourceKind::Table;
    let keys = exprs.iter().map(|expr| of_table && is_key(expr, &source)).collect();
    Ok(PullPlan { source, filter, filter_text, exprs, texts, columns, keys, limit: query.limit, errors })
}

/// Refuses ROWPARTITION and ROWOFFSET, which rows of a table do not have.
fn no_places(expr: &Expr, clause: &str) -> Result<(), SqlError> {
    let mut found: Option<&Ident> = None;
    expr.walk_columns(&mut |_, name| {
        if matches!(name.name.as_str(), "ROWPARTITION" | "ROWOFFSET") {
            found = found.or(Some(name));
        }
    });
    match found {
        None => Ok(()),
        Some(name) => Err(SqlError::invalid(format!(
            "Pull queries don't support the following columns in {clause} clauses: `{}`",
            name.name
        ))
        .at(name.span)),
    }
}

/// Checks that what lists are compared with key columns of a table has their types: keys are not read as numbers.
fn keys_in_lists(filter: &Expr, table: &Source, compiler: &Compiler<'_>) -> Result<(), SqlError> {
    let mut wrong = None;
    filter.walk(&mut |expr| {
        let ExprKind::In { operand, list, .. } = &expr.kind else { return };
        let ExprKind::Column { name, .. } = &operand.kind else { return };
        let Some(key) = table.columns.key.iter().find(|key| key.name == name.name) else { return };
        let text = |item: &&Expr| {
            let ty = compiler.compile(item).ok().and_then(|typed| typed.ty);
            ty == Some(SqlType::String) && key.ty.is_numeric()
        };
        if let Some(item) = list.iter().find(text) {
            wrong = wrong.take().or(Some((item, key)));
        }
    });
    match wrong {
        None => Ok(()),
        Some((item, key)) => Err(SqlError::invalid(format!(
            "'{}' can not be converted to the type of the key column: {} {} KEY",
            item.to_string().trim_matches('\''),
            key.name,
            key.ty
        ))
        .at(item.span)),
    }
}

/// The condition with what has no columns in it evaluated, so that it shows which keys are asked for.
fn constants_folded(filter: Planned) -> Result<Planned, SqlError> {
    let fold = |expr: Planned| -> datafusion::error::Result<Transformed<Planned>> {
        let is_call = matches!(expr, Planned::ScalarFunction(_) | Planned::BinaryExpr(_) | Planned::Cast(_));
        if !is_call
            || !expr.column_refs().is_empty()
            || expr.get_type(&DFSchema::empty())? == DataType::Boolean
        {
            return Ok(Transformed::no(expr));
        }
        match value_of(&expr) {
            Ok(value) => {
                let value = ScalarValue::try_from_array(&value, 0)?;
                Ok(Transformed::yes(Planned::Literal(value, None)))
            }
            Err(_) => Ok(Transformed::no(expr)),
        }
    };
    Ok(filter.transform_up(fold)?.data)
}

/// Whether an expression is a key column of the source, or a bound of its windows.
fn is_key(expr: &Planned, source: &SourceStep) -> bool {
    let Planned::Column(column) = expr else { return false };
    let origin = source.schema.index_of(&column.name).ok().map(|at| source.origins[at]);
    matches!(origin, Some(Origin::Key(_) | Origin::WindowStart | Origin::WindowEnd))
}
