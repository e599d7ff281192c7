//! Every column that a query names is there, said per clause before anything else is judged.

use super::scope::{Scope, is_window_bound};
use crate::{
    ast::{ExprKind, Query, SelectItem, quoted},
    catalogue::PSEUDO_COLUMNS,
    error::SqlError,
    function::FunctionRegistry,
};

/// Checks the names of sources, and the columns that joins compare.
pub(super) fn check_joins(query: &Query, scope: &Scope<'_>) -> Result<(), SqlError> {
    qualifiers(query, scope)?;
    query.from.joins.iter().try_for_each(|join| scope.check(&join.on, "JOIN ON", &|_| false))
}

/// Checks the other columns and the aliases of a query.
pub(super) fn check(query: &Query, scope: &Scope<'_>) -> Result<(), SqlError> {
    // The key that a join makes up where no column of its sources can be it.
    let synthetic = scope.synthetic();
    let made_up = |name: &str| synthetic.as_ref().is_some_and(|(known, _)| known == name);
    let bounds = query.window.is_some() && !scope.joins();
    let selected = |name: &str| made_up(name) || (bounds && is_window_bound(name));
    for item in &query.select {
        let (expr, alias) = match item {
            SelectItem::Expr { expr, alias } => (expr, alias.as_ref()),
            SelectItem::Fields { base, .. } => (base, None),
            SelectItem::All { .. } | SelectItem::AllOf { .. } => continue,
        };
        scope.check(expr, "SELECT", &selected)?;
        let Some(alias) = alias.filter(|alias| PSEUDO_COLUMNS.contains(&alias.name.as_str())) else {
            continue;
        };
        if !matches!(&expr.kind, ExprKind::Column { name, .. } if name == alias) {
            return Err(SqlError::invalid(format!(
                "{} is a reserved column name. You cannot use it as an alias for a column.",
                quoted(&alias.name)
            ))
            .at(alias.span));
        }
    }
    if let Some(filter) = &query.filter {
        if bounds && let Some(name) = bound_in(filter, scope) {
            let message = format!("Error in WHERE expression: Unknown column {name}.");
            return Err(SqlError::invalid(message).at(filter.span));
        }
        scope.check(filter, "WHERE", &made_up)?;
    }
    let grouping = query.group_by.iter().map(|expr| (expr, "GROUP BY"));
    for (expr, clause) in grouping.chain(query.having.iter().map(|expr| (expr, "HAVING"))) {
        if bounds && let Some(name) = bound_in(expr, scope) {
            return Err(SqlError::invalid(format!(
                "Window bounds column {name} can only be used in the SELECT clause of windowed aggregations and can \
                 not be passed to aggregate functions\nSee https://github.com/confluentinc/ksql/issues/4397"
            ))
            .at(expr.span));
        }
        scope.check(expr, clause, &made_up)?;
    }
    query.partition_by.iter().try_for_each(|expr| scope.check(expr, "PARTITION BY", &|_| false))
}

/// Checks that every function that a query calls is there.
pub(super) fn check_functions(query: &Query, functions: &FunctionRegistry) -> Result<(), SqlError> {
    let selected = query.select.iter().filter_map(|item| match item {
        SelectItem::Expr { expr, .. } | SelectItem::Fields { base: expr, .. } => Some(expr),
        SelectItem::All { .. } | SelectItem::AllOf { .. } => None,
    });
    let clauses = query.filter.iter().chain(&query.group_by).chain(&query.partition_by).chain(&query.having);
    let mut unknown = None;
    for expr in selected.chain(clauses) {
        expr.walk(&mut |part| {
            if let ExprKind::Call { name, .. } = &part.kind
                && functions.kind(&name.name).is_none()
            {
                unknown = unknown.or(Some(name));
            }
        });
    }
    unknown.map_or(Ok(()), |name| functions.describe(name).map(drop))
}

/// Every name in front of a column is that of a source.
fn qualifiers(query: &Query, scope: &Scope<'_>) -> Result<(), SqlError> {
    let selected = query.select.iter().filter_map(|item| match item {
        SelectItem::Expr { expr, .. } | SelectItem::Fields { base: expr, .. } => Some(expr),
        SelectItem::All { .. } | SelectItem::AllOf { .. } => None,
    });
    let joined = query.from.joins.iter().map(|join| &join.on);
    let clauses = query.filter.iter().chain(&query.group_by).chain(&query.partition_by).chain(&query.having);
    let mut unknown = None;
    for expr in joined.chain(selected).chain(clauses) {
        expr.walk(&mut |part| {
            if let ExprKind::Column { source: Some(source), .. } = &part.kind
                && !scope.sources.iter().any(|known| known.alias == source.name)
            {
                unknown = unknown.or(Some(source));
            }
        });
    }
    unknown.map_or(Ok(()), |source| Err(scope.unknown_source(source)))
}

/// The window bound that `expr` names and that no source has.
fn bound_in(expr: &crate::ast::Expr, scope: &Scope<'_>) -> Option<String> {
    let mut found = None;
    expr.walk(&mut |part| {
        if let ExprKind::Column { source, name } = &part.kind
            && is_window_bound(&name.name)
            && scope.resolve(source.as_ref(), name).is_err()
        {
            found.get_or_insert_with(|| name.name.clone());
        }
    });
    found
}
