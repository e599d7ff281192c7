//! Functions of arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::Int32Type;
use arrow::row::{RowConverter, SortField};

use crate::error::SqlError;
use crate::expression::cast::write_value;
use crate::function::{Call, Category, ScalarFunction};
use crate::types::SqlType;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        array("ARRAY_LENGTH", "Number of items.").form("(ARRAY<T>) -> INT", |call| {
            let lists = call.lists(0);
            call.build::<Int32Type>(|row| i32::try_from(lists.get(row)?.len()).ok())
        }),
        array("ARRAY_CONTAINS", "Whether the array has such an item; NULL is found as well.")
            .form("(ARRAY<T>, T) -> BOOLEAN", contains),
        array("ARRAY_JOIN", "The items as text with ',' or the second argument between them.")
            .forms(&["(ARRAY<T>) -> STRING", "(ARRAY<T>, STRING) -> STRING"], join),
    ]
}

fn array(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Array)
}

/// Compares in row format, in which equal items have equal bytes and NULL equals NULL.
fn contains(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (lists, wanted) = (call.array(0)?, call.array(1)?);
    let lists = lists.as_list::<i32>();
    let converter = RowConverter::new(vec![SortField::new(wanted.data_type().clone())])?;
    let items = converter.convert_columns(std::slice::from_ref(lists.values()))?;
    let wanted = converter.convert_columns(&[wanted])?;
    let offsets = lists.value_offsets();
    let found = (0..call.rows()).map(|row| {
        let mut range = offsets[row] as usize..offsets[row + 1] as usize;
        lists.is_valid(row) && range.any(|item| items.row(item) == wanted.row(row))
    });
    Ok(Arc::new(BooleanArray::from_iter(found.map(Some))))
}

fn join(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let SqlType::Array(item) = call.arg_type(0) else { return call.array(0) };
    let printable = item.is_numeric() || matches!(**item, SqlType::Boolean | SqlType::String);
    if !printable {
        return Err(SqlError::invalid(format!("ARRAY_JOIN cannot print items of type {item}")));
    }
    let lists = call.array(0)?;
    let lists = lists.as_list::<i32>();
    let items = lists.values();
    let offsets = lists.value_offsets();
    call.build_strings(|row, out| {
        if lists.is_null(row) {
            return None;
        }
        let delimiter = if call.arg_count() > 1 { call.strings(1).get(row).unwrap_or("") } else { "," };
        for item in offsets[row]..offsets[row + 1] {
            out.push_str(if item > offsets[row] { delimiter } else { "" });
            write_value(items, item as usize, out);
        }
        Some(())
    })
}
