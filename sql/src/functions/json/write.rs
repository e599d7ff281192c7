//! Values as JSON text.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};

use crate::expression::cast::write_value;

/// Appends a value: fields and keys in alphabetical order, BYTES in base64, dates and times as text.
pub(super) fn write_json(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        return out.push_str("null");
    }
    match array.data_type() {
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::Float64 if !array.as_primitive::<Float64Type>().value(row).is_finite() => {
            out.push('"');
            write_value(array, row, out);
            out.push('"');
        }
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => write_value(array, row, out),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                out.push_str(if item > 0 { "," } else { "" });
                write_json(items.as_ref(), item, out);
            }
            out.push(']');
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let mut keys = vec![String::new(); entries.len()];
            keys.iter_mut().enumerate().for_each(|(entry, key)| write_value(entries.column(0), entry, key));
            let mut order: Vec<usize> = (0..entries.len()).collect();
            order.sort_by(|a, b| keys[*a].cmp(&keys[*b]));
            write_members(
                order.iter().map(|entry| (keys[*entry].as_str(), entries.column(1).as_ref(), *entry)),
                out,
            );
        }
        DataType::Struct(fields) => {
            let mut members: Vec<_> = fields
                .iter()
                .zip(array.as_struct().columns())
                .map(|(field, column)| (field.name().as_str(), column.as_ref(), row))
                .collect();
            members.sort_by_key(|(name, _, _)| *name);
            write_members(members.into_iter(), out);
        }
        _ => {
            out.push('"');
            write_value(array, row, out);
            out.push('"');
        }
    }
}

fn write_members<'a>(members: impl Iterator<Item = (&'a str, &'a dyn Array, usize)>, out: &mut String) {
    out.push('{');
    for (i, (name, values, row)) in members.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        write_string(name, out);
        out.push(':');
        write_json(values, row, out);
    }
    out.push('}');
}

/// Appends a string in quotes.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
