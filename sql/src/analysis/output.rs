//! SELECT: which columns come out, and which of them are the key.

use datafusion::logical_expr::Expr as Planned;
use millstream_formats::{Format, FormatSpec};

use super::{Planner, Purpose, select::Item};
use crate::{
    ast::SourceKind,
    catalogue::{Column, PSEUDO_COLUMNS, kind_name},
    error::SqlError,
    expression::{Typed, column},
    plan::{Output, Project, Step, layout},
    types::SqlType,
};

/// A key column of the result: an item with one of `values` is it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// As messages show it.
    pub(super) shown: String,
    /// Expressions that mean this key.
    pub(super) values: Vec<Planned>,
    /// What it is, for messages.
    pub(super) kind: &'static str,
    /// Its name in the result, once found.
    pub(super) name: Option<String>,
}

/// The projection, and what comes out of it.
pub(super) fn project(
    planner: &mut Planner<'_>,
    purpose: Purpose<'_>,
    items: &[Item],
    typed: Vec<Typed>,
    keys: Vec<Key>,
    rekeyed: bool,
) -> Result<(Output, Vec<Step>), SqlError> {
    if let Purpose::Persistent { kind, .. } = purpose
        && kind != planner.flow.kind
    {
        let is = kind_name(planner.flow.kind).to_uppercase();
        return Err(SqlError::invalid(format!("invalid result type: your SELECT query produces a {is}"))
            .at(planner.query.span)
            .hint(format!("use CREATE {is} .. AS SELECT instead")));
    }
    if matches!(purpose, Purpose::Insert { .. }) && planner.flow.kind == SourceKind::Table {
        return Err(SqlError::invalid(
            "INSERT INTO takes the rows of a stream, but this query produces a TABLE",
        )
        .at(planner.query.span));
    }
    if matches!(purpose, Purpose::Client) {
        return for_client(planner, items, typed);
    }
    persistent(planner, items, typed, keys, rekeyed)
}

fn for_client(
    planner: &Planner<'_>,
    items: &[Item],
    typed: Vec<Typed>,
) -> Result<(Output, Vec<Step>), SqlError> {
    let mut columns: Vec<Column> = Vec::new();
    for (item, typed) in items.iter().zip(&typed) {
        check_duplicate(&columns, item)?;
        columns.push(Column::new(&item.name, typed.known_type()?.clone()));
    }
    let schema = layout(&columns);
    let project = Project {
        exprs: typed.into_iter().map(|typed| typed.expr).collect(),
        texts: items.iter().map(|item| item.expr.to_string()).collect(),
        schema: schema.clone(),
    };
    let output = Output {
        kind: planner.flow.kind,
        key: Vec::new(),
        value: columns,
        window: planner.flow.window,
        schema,
        key_bytes: None,
    };
    Ok((output, vec![Step::Project(project)]))
}

pub(super) fn check_duplicate(columns: &[Column], item: &Item) -> Result<(), SqlError> {
    if columns.iter().any(|column| column.name == item.name) {
        return Err(SqlError::invalid(format!("duplicate column {} found in the SELECT list", item.name))
            .at(item.span)
            .hint("give one of them another name with AS"));
    }
    Ok(())
}

fn persistent(
    planner: &mut Planner<'_>,
    items: &[Item],
    typed: Vec<Typed>,
    mut keys: Vec<Key>,
    rekeyed: bool,
) -> Result<(Output, Vec<Step>), SqlError> {
    let windowed = planner.flow.window;
    let mut key_columns: Vec<Option<(Column, Planned, String)>> = vec![None; keys.len()];
    let mut values: Vec<(Column, Planned, String)> = Vec::new();
    for (item, typed) in items.iter().zip(typed) {
        let ty = typed.known_type()?.clone();
        let bound = matches!(&typed.expr, Planned::Column(column) if is_window_bound(&column.name));
        if windowed.is_some() && bound && is_window_bound(&item.name) {
            // The window is in the key already.
            continue;
        }
        if PSEUDO_COLUMNS.contains(&item.name.as_str()) {
            return Err(SqlError::invalid(format!("reserved column name in select: {}", item.name))
                .at(item.span)
                .hint(if item.aliased { "choose another alias" } else { "remove it or give it an alias" }));
        }
        let text = item.expr.to_string();
        let column = Column::new(&item.name, ty);
        let free = keys.iter().position(|key| key.name.is_none() && key.values.contains(&typed.expr));
        let same = keys.iter().position(|key| key.values.first() == Some(&typed.expr));
        match (free, same) {
            (Some(place), _) => {
                keys[place].name = Some(item.name.clone());
                key_columns[place] = Some((column, typed.expr, text));
            }
            (None, Some(place)) if keys[place].values.len() == 1 => {
                return Err(SqlError::invalid(format!(
                    "the projection contains a key column more than once: {} and {}",
                    keys[place].name.as_deref().unwrap_or_default(),
                    item.name
                ))
                .at(item.span)
                .hint(format!("copy it into the value with AS_VALUE({})", item.expr)));
            }
            _ => values.push((column, typed.expr, text)),
        }
    }
    if let Some(missing) = keys.iter().find(|key| key.name.is_none()) {
        let listed: Vec<&str> = keys.iter().map(|key| key.shown.as_str()).collect();
        let message = format!(
            "key missing from projection (ie, SELECT): the query must include the {} {} in its projection",
            missing.kind, missing.shown
        );
        return Err(SqlError::invalid(message)
            .at(planner.query.span)
            .hint(format!("select {}, maybe under an alias", listed.join(", "))));
    }
    if values.is_empty() {
        return Err(SqlError::invalid("the projection contains no value columns")
            .at(planner.query.span)
            .hint("copy a key into the value with AS_VALUE(key)"));
    }
    let mut columns: Vec<Column> = Vec::new();
    let names = key_columns.iter().flatten().chain(&values);
    for (column, _, _) in names {
        if columns.iter().any(|known| known.name == column.name) {
            return Err(SqlError::invalid(format!(
                "duplicate column {} found in the SELECT list",
                column.name
            ))
            .at(planner.query.span)
            .hint("give one of them another name with AS"));
        }
        columns.push(column.clone());
    }
    let key: Vec<Column> = key_columns.iter().flatten().map(|(column, _, _)| column.clone()).collect();
    let value: Vec<Column> = values.iter().map(|(column, _, _)| column.clone()).collect();
    let mut all: Vec<(Column, Planned, String)> = key_columns.into_iter().flatten().collect();
    if windowed.is_some() {
        for bound in &PSEUDO_COLUMNS[3..] {
            let expr = match planner.query.window {
                Some(_) => column(bound),
                None => column(&planner.scope.internal_name(0, bound)),
            };
            all.push((Column::new(*bound, SqlType::Bigint), expr, (*bound).to_owned()));
        }
    }
    all.extend(values);
    let schema = layout(all.iter().map(|(column, _, _)| column));
    let mut exprs = Vec::with_capacity(all.len());
    let mut texts = Vec::with_capacity(all.len());
    for (_, expr, text) in all {
        exprs.push(expr);
        texts.push(text);
    }
    let key_bytes = (!rekeyed && !key.is_empty()).then(|| carried_keys(planner)).flatten();
    let output =
        Output { kind: planner.flow.kind, key, value, window: windowed, schema: schema.clone(), key_bytes };
    Ok((output, vec![Step::Project(Project { exprs, texts, schema })]))
}

/// The format of the serialized keys that come with the rows, which the sink may write as they are.
fn carried_keys(planner: &mut Planner<'_>) -> Option<FormatSpec> {
    let format = planner.flow.key_format;
    (format.format != Format::None && planner.use_key_bytes(format)).then_some(format)
}

fn is_window_bound(name: &str) -> bool {
    name == "WINDOWSTART" || name == "WINDOWEND"
}
