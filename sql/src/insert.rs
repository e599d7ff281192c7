//! `INSERT INTO .. VALUES`: one row, checked, coerced, written as a record.

use arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    datatypes::Int64Type,
};
use millstream_formats::{FormatError, FormatSpec, Payloads, Subject};
use millstream_log::{Log, Producer, Timestamp};

use crate::{
    ast::{Expr, Ident, InsertValues, SourceKind, quoted},
    catalogue::{Catalogue, Column, Source},
    engine::schemas::{is_missing, subjects},
    error::SqlError,
    expression::{Compiler, coerce_lax, evaluate_constant},
    function::FunctionRegistry,
    types::SqlType,
    with::Side,
};

/// Writes one row through `producer` and flushes.
pub(crate) fn insert(
    statement: &InsertValues,
    catalogue: &Catalogue,
    functions: &FunctionRegistry,
    log: &Log,
    producer: &mut Producer,
) -> Result<(), SqlError> {
    let source =
        catalogue.get(&statement.target.name).ok_or_else(|| unknown(catalogue, &statement.target))?;
    let row = Row::new(statement, source, functions)
        .map_err(|error| error.prefixed(&format!("Failed to insert values into '{}'. ", source.name)))?;
    check_key_schema(source).map_err(|error| error.at(statement.target.span))?;
    let failed = |error| SqlError::failed(format!("insert values into {}", source.name), error);
    let key = encode(&source.columns.key, &row.key, source, true)?;
    let value = encode(&source.columns.value, &row.value, source, false)?;
    let timestamp = row.timestamp.map_or_else(|| log.clock().now(), Timestamp::new);
    let topic = producer.topic(&source.topic).map_err(failed)?;
    let (key, value) = (key.get(0), value.get(0));
    producer.append(topic, None, Some(timestamp), key, value, &[]).map_err(failed)?;
    producer.flush().map_err(failed)?;
    Ok(())
}

fn encode(columns: &[Column], values: &[ArrayRef], source: &Source, key: bool) -> Result<Payloads, SqlError> {
    let mut payloads = Payloads::new();
    if key && (columns.is_empty() || values.iter().any(|value| value.is_null(0))) {
        payloads.push(None);
        return Ok(payloads);
    }
    let failed = |error| SqlError::failed(format!("insert values into {}", source.name), error);
    let (spec, side) = match key {
        true => (source.key_format, Side::Key),
        false => (source.value_format, Side::Value),
    };
    let subject = subjects(source).find(|(known, _)| *known == side);
    let subject = subject.map(|(_, subject)| named(subject, spec)).transpose().map_err(failed)?;
    let fields = columns.iter().map(Column::field).collect();
    let mut encoder = spec.encoder(&fields, subject.as_ref()).map_err(failed)?;
    encoder.encode(values, 1, None, &mut payloads).map_err(failed)?;
    Ok(payloads)
}

/// The subject with the name that its records have, if others have written some: a schema with another name would be
/// refused.
fn named(subject: &Subject, spec: FormatSpec) -> Result<Subject, FormatError> {
    let mut subject = subject.clone();
    if subject.full_name.is_none() && subject.schema_id.is_none() {
        match subject.registry.latest(&subject.name) {
            Ok(known) => {
                let resolved = subject.registry.resolve(&known.schema)?;
                subject.full_name = spec.record_name(&resolved, None)?;
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(subject)
}

/// A key must not be written with another schema than the keys before it, or equal ones differ.
fn check_key_schema(source: &Source) -> Result<(), SqlError> {
    let Some((_, subject)) = subjects(source).find(|(side, _)| *side == Side::Key) else { return Ok(()) };
    let (name, subject_name) = (&source.name, &subject.name);
    let unknown = |error: FormatError| {
        SqlError::invalid(format!(
            "Failed to insert values into '{name}'. Failed to fetch key schema ({subject_name}). {error}"
        ))
    };
    let known = subject.registry.latest(subject_name).map_err(|error| unknown(error.into()))?;
    let resolved = subject.registry.resolve(&known.schema).map_err(|error| unknown(error.into()))?;
    let spec = source.key_format;
    let bare = source.columns.key.first().map_or("", |column| column.name.as_str());
    let fields = spec.infer(&resolved, subject.full_name.as_deref(), bare).map_err(unknown)?;
    let same = fields.len() == source.columns.key.len()
        && fields.iter().zip(&source.columns.key).all(|(field, column)| {
            field.name().eq_ignore_ascii_case(&column.name)
                && SqlType::from_arrow(field.data_type()).is_ok_and(|ty| same_type(&ty, &column.ty))
        });
    if same {
        return Ok(());
    }
    let generated = spec.generate_schema(&source.columns.key_fields(), subject.full_name.as_deref());
    Err(SqlError::invalid(format!(
        "Failed to insert values into '{name}'. Cannot INSERT VALUES into data source {}. ksqlDB generated schema would \
         overwrite existing key schema.\n\tExisting Schema: {}\n\tksqlDB Generated: {}",
        quoted(name),
        known.schema.text,
        generated.ok().flatten().map(|schema| schema.text).unwrap_or_default()
    )))
}

/// Whether two types are one but for the case of names.
fn same_type(a: &SqlType, b: &SqlType) -> bool {
    a.to_string().eq_ignore_ascii_case(&b.to_string())
}

struct Row {
    key: Vec<ArrayRef>,
    value: Vec<ArrayRef>,
    timestamp: Option<i64>,
}

impl Row {
    fn new(
        statement: &InsertValues,
        source: &Source,
        functions: &FunctionRegistry,
    ) -> Result<Self, SqlError> {
        let target = &statement.target;
        if source.read_only {
            return Err(SqlError::invalid(format!(
                "Cannot insert values into read-only {}: {}",
                source.kind_name(),
                source.name
            ))
            .at(target.span));
        }
        if source.window.is_some() {
            return Err(SqlError::invalid(format!(
                "Cannot insert values into windowed {}: {}",
                source.kind_name(),
                source.name
            ))
            .at(target.span));
        }
        let headers = source.columns.headers.iter().map(|header| header.column.name.as_str());
        let headers: Vec<&str> = headers
            .filter(|name| statement.columns.is_empty() || statement.columns.iter().any(|c| c.name == **name))
            .collect();
        if !headers.is_empty() {
            return Err(SqlError::invalid(format!(
                "Cannot insert into HEADER columns: {}",
                headers.join(", ")
            ))
            .at(target.span));
        }
        let names: Vec<Ident> = if statement.columns.is_empty() {
            source
                .columns
                .iter()
                .map(|column| Ident { name: column.name.clone(), span: target.span })
                .collect()
        } else {
            statement.columns.clone()
        };
        if names.len() != statement.values.len() {
            let shown = |names: Vec<String>| names.join(", ");
            return Err(SqlError::invalid(format!(
                "Expected a value for each column. Expected Columns: [{}]. Got [{}]",
                shown(names.iter().map(|name| quoted(&name.name)).collect()),
                shown(statement.values.iter().map(Expr::to_string).collect())
            ))
            .at(statement.values.last().map_or(target.span, |value| value.span)));
        }
        let compiler = Compiler::constants(functions);
        let mut given: Vec<(String, ArrayRef)> = Vec::new();
        let mut timestamp = None;
        for (name, value) in names.iter().zip(&statement.values) {
            if given.iter().any(|(known, _)| *known == name.name) {
                return Err(
                    SqlError::invalid(format!("Duplicate column in INSERT: {}", name.name)).at(name.span)
                );
            }
            match name.name.as_str() {
                "ROWTIME" => {
                    let time = convert(value, &Column::new("ROWTIME", SqlType::Bigint), &compiler)?;
                    timestamp = time.is_valid(0).then(|| time.as_primitive::<Int64Type>().value(0));
                    if let Some(time) = timestamp.filter(|time| *time < 0) {
                        return Err(SqlError::invalid(format!(
                            "ROWTIME must not be negative, but is {time}"
                        ))
                        .at(value.span)
                        .hint("it counts the milliseconds since 1970"));
                    }
                }
                "ROWPARTITION" | "ROWOFFSET" => {
                    let message = format!("Inserting into column {} is not allowed.", quoted(&name.name));
                    return Err(SqlError::invalid(message).at(name.span).hint("the log gives it"));
                }
                _ => {
                    let column = source.columns.find(&name.name).ok_or_else(|| {
                        let names: Vec<&str> =
                            source.columns.iter().map(|column| column.name.as_str()).collect();
                        SqlError::invalid(format!("Column name {} does not exist.", quoted(&name.name)))
                            .at(name.span)
                            .hint_nearest(&name.name, &names, "columns")
                    })?;
                    given.push((name.name.clone(), convert(value, column, &compiler)?));
                }
            }
        }
        let pick = |columns: &[Column]| -> Vec<ArrayRef> {
            let value = |column: &Column| {
                let given =
                    given.iter().find(|(name, _)| *name == column.name).map(|(_, value)| value.clone());
                given.unwrap_or_else(|| new_null_array(&column.ty.to_arrow(), 1))
            };
            columns.iter().map(value).collect()
        };
        let row = Self { key: pick(&source.columns.key), value: pick(&source.columns.value), timestamp };
        let missing = source.columns.key.iter().zip(&row.key).filter(|(_, value)| value.is_null(0));
        let missing: Vec<&str> = missing.map(|(column, _)| column.name.as_str()).collect();
        if source.kind == SourceKind::Table && !missing.is_empty() {
            return Err(SqlError::invalid(format!(
                "Value for primary key column(s) {} is required for tables",
                missing.join(", ")
            ))
            .at(target.span));
        }
        Ok(row)
    }
}

/// The error that a row is for nothing that exists.
fn unknown(catalogue: &Catalogue, name: &Ident) -> SqlError {
    let message = format!("Cannot insert values into an unknown stream/table: {}", quoted(&name.name));
    let names: Vec<&str> = catalogue.sources().map(|source| source.name.as_str()).collect();
    match names.iter().find(|known| known.eq_ignore_ascii_case(&name.name)) {
        Some(other) => SqlError::invalid(format!(
            "{message}\nDid you mean \"{other}\"? Hint: wrap the source name in double quotes to make it case-sensitive."
        ))
        .at(name.span),
        None => SqlError::invalid(message).at(name.span).hint_nearest(&name.name, &names, "streams and tables"),
    }
}

/// The value of a constant expression as one of this column.
pub(crate) fn convert(expr: &Expr, column: &Column, compiler: &Compiler<'_>) -> Result<ArrayRef, SqlError> {
    let (value, ty) = evaluate_constant(expr, compiler)?;
    match coerce_lax(&value, ty.as_ref(), &column.ty) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => {
            let ty = ty.map_or_else(|| "NULL".to_owned(), |ty| ty.to_string());
            Err(SqlError::invalid(format!(
                "Expected type {} for field {} but got {ty}({expr})",
                column.ty, column.name
            ))
            .at(expr.span))
        }
        Err(messages) => {
            Err(SqlError::invalid(format!("Value for field {}: {}", column.name, messages.join("; ")))
                .at(expr.span))
        }
    }
}
