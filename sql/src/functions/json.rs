//! JSON in text.
//!
//! Values are found by walking over the text, so that numbers keep their digits. Every text is first checked as a whole.

mod path;
mod scan;
mod write;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use hashbrown::HashMap;

use super::last::Last;
use super::maps::MapMaker;
use crate::error::SqlError;
use crate::expression::cast::write_value;
use crate::function::{Call, Category, ScalarFunction};
use crate::types::SqlType;
use path::Path;
use scan::Value;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        json("EXTRACTJSONFIELD", "What stands at a path such as $.a[0][\"b\"] in JSON text.")
            .form("(STRING, STRING) -> STRING", extract_field),
        json("is_json_string", "Whether the text is JSON.").form("(STRING) -> BOOLEAN", |call| {
            let texts = call.strings(0);
            call.build_booleans(|row| Some(texts.get(row).is_some_and(|text| Value::parse(text).is_ok())))
        }),
        json("JSON_ARRAY_CONTAINS", "Whether a JSON array has such an item, of the same type.")
            .form("(STRING, ANY) -> BOOLEAN", array_contains),
        json("json_array_length", "Number of items of a JSON array; NULL for other JSON.").form(
            "(STRING) -> INT",
            |call| {
                let texts = call.strings(0);
                call.build::<Int32Type>(|row| {
                    let value = call.check(Value::parse(texts.get(row)?))?;
                    i32::try_from(value.items()?.count()).ok()
                })
            },
        ),
        json(
            "json_concat",
            "Objects as one, in which the last of members with one name wins; anything else as one array.",
        )
        .form("(STRING...) -> STRING", concat),
        json("json_items", "The items of a JSON array as JSON texts; NULL for other JSON.").form(
            "(STRING) -> ARRAY<STRING>",
            |call| {
                let texts = call.strings(0);
                let mut text = String::new();
                call.build_string_lists(|row, out| {
                    for item in call.check(Value::parse(texts.get(row)?))?.items()? {
                        text.clear();
                        item.write_json(&mut text);
                        out.append_value(&text);
                    }
                    Some(())
                })
            },
        ),
        json("json_keys", "The names in a JSON object; NULL for other JSON.").form(
            "(STRING) -> ARRAY<STRING>",
            |call| {
                let texts = call.strings(0);
                call.build_string_lists(|row, out| {
                    let members = call.check(Value::parse(texts.get(row)?))?.members()?;
                    members.for_each(|(name, _)| out.append_value(name));
                    Some(())
                })
            },
        ),
        json("json_records", "The members of a JSON object; NULL for other JSON.")
            .form("(STRING) -> MAP<STRING, STRING>", records),
        json("to_json_string", "The value as JSON.").form("(T) -> STRING", |call| {
            let values = call.array(0)?;
            call.build_strings(|row, out| {
                write::write_json(values.as_ref(), row, out);
                Some(())
            })
        }),
    ]
}

fn json(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Json)
}

fn extract_field(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, paths) = (call.strings(0), call.strings(1));
    let mut last = Last::default();
    call.build_strings(|row, out| {
        let (text, path) = (texts.get(row)?, paths.get(row)?);
        let path = call.check(last.get(path, Path::parse))?;
        let value = call.check(Value::parse(text))?;
        path.find(value)?.write_text(out);
        Some(())
    })
}

fn array_contains(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    let wanted = call.array(1)?;
    call.build_booleans(|row| {
        let Some(items) = Value::parse(texts.get(row)?).ok().and_then(Value::items) else {
            return Some(false);
        };
        let is_wanted = matcher(call.arg_type(1), wanted.as_ref(), row);
        Some(items.into_iter().any(is_wanted))
    })
}

/// Whether a JSON value is the wanted one, in value and in kind.
fn matcher<'a>(ty: &'a SqlType, wanted: &'a dyn Array, row: usize) -> impl Fn(Value<'_>) -> bool + 'a {
    let is_whole = |text: &str| !text.contains(['.', 'e', 'E']);
    move |value| {
        let text = value.text();
        if wanted.is_null(row) {
            return text == "null";
        }
        match ty {
            SqlType::Boolean => text == if wanted.as_boolean().value(row) { "true" } else { "false" },
            SqlType::Int => {
                is_whole(text) && text.parse() == Ok(wanted.as_primitive::<Int32Type>().value(row))
            }
            SqlType::Bigint => {
                is_whole(text) && text.parse() == Ok(wanted.as_primitive::<Int64Type>().value(row))
            }
            SqlType::Double => {
                !is_whole(text) && text.parse() == Ok(wanted.as_primitive::<Float64Type>().value(row))
            }
            SqlType::String => {
                value.string().is_some_and(|string| string == wanted.as_string::<i32>().value(row))
            }
            SqlType::Decimal { .. } => {
                let mut number = String::new();
                write_value(wanted, row, &mut number);
                !text.starts_with('"') && !is_whole(text) && same_number(text, &number)
            }
            _ => false,
        }
    }
}

/// Whether two plain decimals differ in nothing but zeroes at the end.
fn same_number(a: &str, b: &str) -> bool {
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    bare(a) == bare(b)
}

fn concat(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let columns: Vec<_> = (0..call.arg_count()).map(|position| call.strings(position)).collect();
    call.build_strings(|row, out| {
        let mut values = Vec::with_capacity(columns.len());
        for column in &columns {
            let text = column.get(row)?;
            if text.trim().is_empty() {
                return None;
            }
            values.push(call.check(Value::parse(text))?);
        }
        if values.is_empty() {
            return None;
        }
        if values.iter().all(|value| value.members().is_some()) {
            merge(&values, out);
        } else {
            out.push('[');
            let empty = out.len();
            for value in &values {
                let items: Vec<Value<'_>> = match value.items() {
                    Some(items) => items.collect(),
                    None => vec![*value],
                };
                for item in items {
                    out.push_str(if out.len() > empty { "," } else { "" });
                    item.write_json(out);
                }
            }
            out.push(']');
        }
        Some(())
    })
}

/// All members; the last of those with one name stands where the first stood.
fn merge(objects: &[Value<'_>], out: &mut String) {
    let mut members = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in objects.iter().filter_map(|object| object.members()).flatten() {
        let next = members.len();
        match *places.entry(name.to_string()).or_insert(next) {
            known if known < next => members[known] = (name, value),
            _ => members.push((name, value)),
        }
    }
    out.push('{');
    for (i, (name, value)) in members.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        write::write_string(name, out);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

fn records(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut maps = MapMaker::new(call.rows());
    let mut text = String::new();
    for row in 0..call.rows() {
        let value = texts.get(row).and_then(|text| call.check(Value::parse(text)));
        let Some(members) = value.and_then(Value::members) else {
            maps.end(None);
            continue;
        };
        let mut found: Vec<(std::borrow::Cow<'_, str>, Value<'_>)> = Vec::new();
        let mut places = HashMap::new();
        for (name, value) in members {
            let next = found.len();
            match *places.entry(name.to_string()).or_insert(next) {
                known if known < next => found[known].1 = value,
                _ => found.push((name, value)),
            }
        }
        for (name, value) in &found {
            text.clear();
            value.write_text(&mut text);
            keys.append_value(name);
            values.append_value(&text);
        }
        maps.end(Some(found.len()));
    }
    let data_type = call.return_type().to_arrow();
    maps.finish(&data_type, std::sync::Arc::new(keys.finish()), std::sync::Arc::new(values.finish()))
}
