//! JSON in text.
//!
//! Values are found by walking over the text, so that numbers keep their digits. Every text is first checked as a whole.

mod path;
mod scan;

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;

use super::last::Last;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};
use path::Path;
use scan::Value;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        json("EXTRACTJSONFIELD", "What stands at a path such as $.a[0]['b'] in JSON text.")
            .form("(STRING, STRING) -> STRING", extract_field),
        json("IS_JSON_STRING", "Whether the text is JSON.").form("(STRING) -> BOOLEAN", |call| {
            let texts = call.strings(0);
            call.build_booleans(|row| Some(texts.get(row).is_some_and(|text| Value::parse(text).is_ok())))
        }),
        json("JSON_ARRAY_LENGTH", "Number of items of a JSON array; NULL for other JSON.").form(
            "(STRING) -> INT",
            |call| {
                let texts = call.strings(0);
                call.build::<Int32Type>(|row| {
                    let value = call.check(Value::parse(texts.get(row)?))?;
                    i32::try_from(value.items()?.count()).ok()
                })
            },
        ),
        json("JSON_KEYS", "The names in a JSON object; NULL for other JSON.")
            .form("(STRING) -> ARRAY<STRING>", keys),
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

fn keys(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows() {
        let value = texts.get(row).and_then(|text| call.check(Value::parse(text)));
        let members = value.and_then(Value::members);
        let found = members.is_some();
        members.into_iter().flatten().for_each(|(name, _)| out.values().append_value(name));
        out.append(found);
    }
    Ok(Arc::new(out.finish()))
}
