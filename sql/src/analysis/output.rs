//! SELECT: which columns come out, and which of them are the key.

use datafusion::logical_expr::Expr as Planned;
use millstream_formats::{Format, FormatSpec};

use super::{Planner, Purpose, scope::is_window_bound, select::Item};
use crate::{
    ast::{SourceKind, quoted},
    catalogue::{Column, PSEUDO_COLUMNS},
    error::SqlError,
    expression::{Typed, column},
    plan::{Output, Project, Step, layout},
    types::SqlType,
};

/// A key column of the result: an item with one of `values` is it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// As messages show it; for joins all columns that mean it.
    pub(super) shown: Vec<String>,
    /// Expressions that mean this key, the best first.
    pub(super) values: Vec<Planned>,
    /// What holds it.
    pub(super) value: Planned,
    /// What it is.
    pub(super) kind: KeyKind,
    /// Its name in the result, once found.
    pub(super) name: Option<String>,
}

/// What a key column of the result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A key column of the source.
    Column,
    /// What a join compares.
    Join,
    /// The key of a join that no column can be.
    Synthetic,
    /// A key column of the left table of a foreign-key join.
    Foreign,
    /// An expression of GROUP BY.
    Grouping,
    /// An expression of PARTITION BY.
    Partitioning,
}

impl KeyKind {
    fn name(self) -> &'static str {
        match self {
            Self::Column => "key column",
            Self::Join | Self::Synthetic => "join expression",
            Self::Foreign => "primary key column",
            Self::Grouping => "grouping expression",
            Self::Partitioning => "partitioning expression",
        }
    }
}

/// The error that keys are not in the SELECT list of the query that builds `sink`.
fn key_missing(sink: &str, keys: &[Key]) -> SqlError {
    let kind = keys[0].kind;
    if kind == KeyKind::Foreign {
        let missing = keys.iter().filter(|key| key.name.is_none());
        let parts: Vec<(&str, &str)> = missing.filter_map(|key| key.shown[0].split_once('.')).collect();
        let columns: Vec<String> = parts.iter().map(|(_, column)| quoted(column)).collect();
        let plural = if columns.len() > 1 { "s" } else { "" };
        return SqlError::invalid(format!(
            "Primary key column{plural} missing in projection. For foreign-key table-table joins, the projection must \
             include all primary key columns from the left input table ({}). Missing column{plural}: {}.",
            quoted(parts.first().map_or("", |(table, _)| table)),
            columns.join(", ")
        ));
    }
    // All key columns of a source belong together; of expressions only those left out are said.
    let named = keys.iter().filter(|key| kind == KeyKind::Column || key.name.is_none());
    let list: Vec<&str> = named.flat_map(|key| key.shown.iter().map(String::as_str)).collect();
    let plural = if list.len() > 1 { "s" } else { "" };
    let (word, example) = match kind {
        KeyKind::Join => ("or", list[..1].join(", ")),
        _ => ("and", list.join(", ")),
    };
    let shown = match list.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} {word} {last}", first.join(", ")),
        _ => list.concat(),
    };
    let made_up = match kind {
        KeyKind::Synthetic => format!(
            "\n{shown} was added as a synthetic key column because the join criteria did not match any source column. \
             This expression must be included in the projection and may be aliased. "
        ),
        _ => String::new(),
    };
    SqlError::invalid(format!(
        "Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS.\nThe query used to build {} must \
         include the {}{plural} {shown} in its projection (eg, SELECT {example}...).{made_up}",
        quoted(sink),
        kind.name()
    ))
}

/// The error that a key is in the SELECT list twice.
fn key_twice(key: &Key, second: &Item) -> SqlError {
    let first = key.name.as_deref().unwrap_or_default();
    let column = match key.kind {
        KeyKind::Grouping => {
            let message = format!(
                "The projection contains a key column more than once: {} and {}.",
                quoted(first),
                quoted(&second.name)
            );
            return SqlError::invalid(message);
        }
        KeyKind::Join | KeyKind::Foreign => key.shown[0].replacen('.', "_", 1),
        KeyKind::Column | KeyKind::Partitioning | KeyKind::Synthetic => first.to_owned(),
    };
    let mut names = [first, &second.name];
    names.sort_unstable();
    SqlError::invalid(format!(
        "The projection contains a key column ({}) more than once, aliased as: {} and {}.",
        quoted(&column),
        names[0],
        names[1]
    ))
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
        let is = planner.flow.kind;
        return Err(SqlError::invalid(format!(
            "Invalid result type. Your SELECT query produces a {is}. Please use CREATE {is} AS SELECT statement instead."
        ))
        .at(planner.query.span));
    }
    if let Purpose::Insert { name, .. } = purpose
        && planner.flow.kind == SourceKind::Table
    {
        return Err(SqlError::invalid(format!(
            "Incompatible data sink and query result. Data sink ({name}) type is STREAM but select query result is \
             TABLE."
        ))
        .at(planner.query.span));
    }
    if matches!(purpose, Purpose::Client) {
        return for_client(planner, items, typed);
    }
    let sink = match purpose {
        Purpose::Persistent { name, .. } | Purpose::Insert { name, .. } => name,
        Purpose::Client => "",
    };
    persistent(planner, sink, items, typed, keys, rekeyed)
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
    let flow = &planner.flow;
    let of_key = |typed: &Typed| match &typed.expr {
        Planned::Column(column) => {
            flow.key.iter().map(|key| &key.name).chain(&flow.bounds).any(|name| *name == column.name)
        }
        _ => false,
    };
    let of_values = typed.iter().enumerate().filter(|(_, typed)| !of_key(typed)).map(|(place, _)| place);
    let project = Project {
        // Rows of a stream all have a value.
        of_values: if flow.kind == SourceKind::Table { of_values.collect() } else { Vec::new() },
        exprs: typed.into_iter().map(|typed| typed.expr).collect(),
        texts: items.iter().map(|item| item.expr.to_string()).collect(),
        schema: schema.clone(),
    };
    let output = Output {
        kind: flow.kind,
        key: Vec::new(),
        value: columns,
        window: flow.window,
        schema,
        key_bytes: None,
        null_is_no_key: true,
    };
    Ok((output, vec![Step::Project(project)]))
}

pub(super) fn check_duplicate(columns: &[Column], item: &Item) -> Result<(), SqlError> {
    if columns.iter().any(|column| column.name == item.name) {
        return Err(duplicate(columns.iter().find(|column| column.name == item.name)).at(item.span));
    }
    Ok(())
}

/// The error that two value columns have one name.
fn duplicate(column: Option<&Column>) -> SqlError {
    let column = column.map(Column::to_string).unwrap_or_default();
    SqlError::invalid(format!("Duplicate value columns found in schema: {column}"))
        .hint("give one of them another name with AS")
}

fn persistent(
    planner: &mut Planner<'_>,
    sink: &str,
    items: &[Item],
    typed: Vec<Typed>,
    mut keys: Vec<Key>,
    rekeyed: bool,
) -> Result<(Output, Vec<Step>), SqlError> {
    let windowed = planner.flow.window;
    // Of several columns that mean the key, the best that is selected is it.
    for key in &mut keys {
        let selected = key.values.iter().find(|value| typed.iter().any(|typed| typed.expr == **value));
        key.values = selected.cloned().into_iter().collect();
    }
    let mut key_columns: Vec<Option<(Column, Planned, String)>> = vec![None; keys.len()];
    let mut values: Vec<(Column, Planned, String)> = Vec::new();
    for (item, typed) in items.iter().zip(typed) {
        let ty = typed.known_type()?.clone();
        let bound = matches!(&typed.expr, Planned::Column(column) if is_window_bound(&column.name));
        if planner.query.window.is_some() && bound && is_window_bound(&item.name) {
            // The window is in the key already.
            continue;
        }
        if PSEUDO_COLUMNS.contains(&item.name.as_str()) {
            return Err(SqlError::invalid(format!(
                "Reserved column name in select: {}. Please remove or alias the column.",
                quoted(&item.name)
            ))
            .at(item.span));
        }
        let text = item.expr.to_string();
        let column = Column::new(&item.name, ty);
        match keys.iter().position(|key| key.values.contains(&typed.expr)) {
            Some(place) if keys[place].name.is_none() => {
                keys[place].name = Some(item.name.clone());
                key_columns[place] = Some((column, keys[place].value.clone(), text));
            }
            Some(place) => {
                return Err(key_twice(&keys[place], item)
                    .at(item.span)
                    .hint(format!("copy it into the value with AS_VALUE({})", item.expr)));
            }
            _ => values.push((column, typed.expr, text)),
        }
    }
    if keys.iter().any(|key| key.name.is_none()) {
        return Err(key_missing(sink, &keys).at(planner.query.span));
    }
    if values.is_empty() {
        return Err(SqlError::invalid("The projection contains no value columns.")
            .at(planner.query.span)
            .hint("copy a key into the value with AS_VALUE(key)"));
    }
    let mut columns: Vec<Column> = Vec::new();
    let names = key_columns.iter().flatten().chain(&values);
    for (place, (column, _, _)) in names.enumerate() {
        if let Some(known) = columns.iter().position(|known| known.name == column.name) {
            let between = known < keys.len() && place >= keys.len();
            let error = match between {
                true => SqlError::invalid(format!(
                    "Value columns clash with key columns: {}",
                    quoted(&column.name)
                ))
                .hint("give one of them another name with AS"),
                false => duplicate(Some(column)),
            };
            return Err(error.at(planner.query.span));
        }
        columns.push(column.clone());
    }
    let key: Vec<Column> = key_columns.iter().flatten().map(|(column, _, _)| column.clone()).collect();
    let value: Vec<Column> = values.iter().map(|(column, _, _)| column.clone()).collect();
    let mut all: Vec<(Column, Planned, String)> = key_columns.into_iter().flatten().collect();
    if windowed.is_some() {
        for (bound, held) in PSEUDO_COLUMNS[3..].iter().zip(&planner.flow.bounds) {
            all.push((Column::new(*bound, SqlType::Bigint), column(held), (*bound).to_owned()));
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
    let key_bytes = (!rekeyed && !key.is_empty()).then(|| carried_keys(planner, &key)).flatten();
    let source_keys = &planner.flow.source.source.columns.key;
    let is_key = |name: &str| source_keys.iter().any(|key| planner.scope.internal_name(0, &key.name) == name);
    let of_values = match rekeyed {
        false => Vec::new(),
        true => (0..key.len())
            .filter(|place| exprs[*place].column_refs().iter().any(|column| !is_key(&column.name)))
            .collect(),
    };
    let output = Output {
        kind: planner.flow.kind,
        key,
        value,
        window: windowed,
        schema: schema.clone(),
        key_bytes,
        null_is_no_key: !rekeyed,
    };
    Ok((output, vec![Step::Project(Project { exprs, texts, of_values, schema })]))
}

/// The format of the serialized keys that come with the rows, which the sink may write as they are if names in
/// them are those of the sink.
fn carried_keys(planner: &mut Planner<'_>, key: &[Column]) -> Option<FormatSpec> {
    let format = planner.flow.key_format;
    let same_names = key.iter().map(|key| &key.name).eq(planner.flow.key.iter().map(|key| &key.name));
    if format.format == Format::None || (format.wrapped && !same_names) {
        return None;
    }
    planner.flow.carries(format, planner.steps.as_mut_slice()).then_some(format)
}
