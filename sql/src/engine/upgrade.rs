//! CREATE OR REPLACE: what may change while the data, the state and the readers stay.

use crate::{
    ast::{CreateAs, Emit, Expr, Query, SelectItem, WindowClause},
    catalogue::{Column, Source},
    error::SqlError,
    plan::{Plan, Step},
};

/// Checks that `new` can take the place of `old`: columns may only be added behind the others.
pub(super) fn check_source(old: &Source, new: &Source) -> Result<(), SqlError> {
    let name = &old.name;
    let mut issues = Vec::new();
    let mut same = |what: &str, old: String, new: String| {
        if old != new {
            issues
                .push(format!("DataSource '`{name}`' has {what} = {old} which is not upgradeable to {new}"));
        }
    };
    let made = |source: &Source| super::source::is_made_by_query(source).to_string();
    same("type", old.kind.to_string(), new.kind.to_string());
    same("topic", old.topic.clone(), new.topic.clone());
    same("key format", format!("{:?}", old.key_format), format!("{:?}", new.key_format));
    same("value format", old.value_format.format.to_string(), new.value_format.format.to_string());
    same("windows", format!("{:?}", old.window), format!("{:?}", new.window));
    same("isCasTarget", made(old), made(new));
    let time =
        |source: &Source| source.timestamp.as_ref().map_or("none".to_owned(), |time| time.column.clone());
    same("timestamp column", time(old), time(new));
    let key = columns_issue(&old.columns.key, &new.columns.key, "key ", true);
    if let Some(issue) = key.or_else(|| columns_issue(&old.columns.value, &new.columns.value, "", false)) {
        issues.push(format!(
            "DataSource '`{name}`' has schema = {} which is not upgradeable to {}. ({issue})",
            old.columns, new.columns
        ));
    }
    match issues.is_empty() {
        true => Ok(()),
        false => Err(SqlError::invalid(format!("Cannot upgrade data source: {}", issues.join("\n\tAND ")))),
    }
}

fn columns_issue(old: &[Column], new: &[Column], side: &str, identical: bool) -> Option<String> {
    let changed = old.iter().enumerate().filter(|(place, column)| new.get(*place) != Some(column));
    let changed: Vec<String> = changed.map(|(_, column)| column.to_string()).collect();
    if !changed.is_empty() {
        return Some(format!(
            "The following {side}columns are changed, missing or reordered: [{}]",
            changed.join(", ")
        ));
    }
    (identical && new.len() != old.len()).then(|| "Key columns must be identical".to_owned())
}

/// Checks that the query of `new` can go on with the state and the positions of that of `old`.
pub(super) fn check_query(old: &CreateAs, new: &CreateAs, plan: &Plan) -> Result<(), SqlError> {
    let list = |exprs: &[Expr]| exprs.iter().map(Expr::to_string).collect::<Vec<_>>().join(", ");
    let aggregates = plan.steps.iter().any(|step| matches!(step, Step::Aggregate(_)));
    let parts = |query: &Query| {
        let select = query.select.iter().map(SelectItem::to_string).collect::<Vec<_>>().join(", ");
        [
            ("sources and joins", query.from.to_string()),
            ("windows", query.window.as_ref().map(WindowClause::to_string).unwrap_or_default()),
            ("GROUP BY", list(&query.group_by)),
            ("PARTITION BY", list(&query.partition_by)),
            ("HAVING", query.having.as_ref().map(Expr::to_string).unwrap_or_default()),
            ("EMIT FINAL", (query.emit == Some(Emit::Final)).to_string()),
            // Columns can be added behind a projection, but not to what an aggregation keeps.
            ("the SELECT of an aggregation", if aggregates { select } else { String::new() }),
        ]
    };
    let (was, is) = (parts(&old.query), parts(&new.query));
    match was.into_iter().zip(is).find(|((_, was), (_, is))| was != is) {
        None => Ok(()),
        Some(((what, was), (_, is))) => Err(SqlError::invalid(format!(
            "Upgrades not yet supported for {what}: '{was}' cannot become '{is}'"
        ))
        .at(new.query.span)
        .hint("CREATE OR REPLACE may change WHERE, and add columns to a SELECT without aggregates")),
    }
}
