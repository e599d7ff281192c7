//! Columns as JSON text.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use crate::{base64_text, cells::Cells, decimal, java, json::escape::push_quoted};

/// Writes rows of one layout. Names are escaped once.
pub(crate) struct JsonWriter {
    wrapped: bool,
    root: Members,
}

/// The members of an object: for each what stands before its value (`{"ID":`, `,"NAME":`), and its type's
/// template.
struct Members(Vec<(Vec<u8>, Template)>);

enum Template {
    Plain,
    Array(Box<Template>),
    Map(Box<Template>),
    Struct(Members),
}

impl JsonWriter {
    pub(crate) fn new(wrapped: bool, fields: &Fields) -> Self {
        Self { wrapped, root: Members::new(fields) }
    }

    /// Appends a row; `false` if it is a NULL payload, which only a bare NULL is.
    pub(crate) fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> bool {
        if self.wrapped {
            self.root.write(columns, row, out);
            return true;
        }
        let present = !columns[0].is_null(row);
        if present {
            self.root.0[0].1.write(&columns[0], row, out);
        }
        present
    }
}

impl Members {
    fn new(fields: &Fields) -> Self {
        let member = |(index, field): (usize, &Arc<Field>)| {
            let mut before = vec![if index == 0 { b'{' } else { b',' }];
            push_quoted(&mut before, field.name());
            before.push(b':');
            (before, Template::new(field.data_type()))
        };
        Self(fields.iter().enumerate().map(member).collect())
    }

    #[inline]
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            out.push(b'{');
        }
        for ((before, template), cells) in self.0.iter().zip(columns) {
            out.extend_from_slice(before);
            template.write(cells, row, out);
        }
        out.push(b'}');
    }
}

impl Template {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::List(item) => Self::Array(Box::new(Self::new(item.data_type()))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => Self::Map(Box::new(Self::new(pair[1].data_type()))),
                other => unreachable!("map entries are {other}"),
            },
            DataType::Struct(fields) => Self::Struct(Members::new(fields)),
            _ => Self::Plain,
        }
    }

    #[inline]
    fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        if cells.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match cells {
            Cells::Array(lists, items) => {
                let Self::Array(item) = self else { unreachable!("templates follow the columns") };
                out.push(b'[');
                let offsets = lists.value_offsets();
                for index in offsets[row]..offsets[row + 1] {
                    if index > offsets[row] {
                        out.push(b',');
                    }
                    item.write(items, index as usize, out);
                }
                out.push(b']');
            }
            Cells::Map(maps, keys, values) => {
                let Self::Map(value) = self else { unreachable!("templates follow the columns") };
                out.push(b'{');
                let offsets = maps.value_offsets();
                for index in offsets[row]..offsets[row + 1] {
                    if index > offsets[row] {
                        out.push(b',');
                    }
                    push_quoted(out, keys.value(index as usize));
                    out.push(b':');
                    value.write(values, index as usize, out);
                }
                out.push(b'}');
            }
            Cells::Struct(_, columns) => {
                let Self::Struct(members) = self else { unreachable!("templates follow the columns") };
                members.write(columns, row, out);
            }
            plain => push_plain(plain, row, out),
        }
    }
}

/// Appends a value that is not NULL and holds no others.
#[inline]
pub(crate) fn push_plain(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    match cells {
        Cells::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
        Cells::Int(array) => push_integer(out, array.value(row)),
        Cells::BigInt(array) => push_integer(out, array.value(row)),
        Cells::Double(array) => push_double(out, array.value(row)),
        Cells::Decimal(array, scale) => decimal::push(out, array.value(row), *scale),
        Cells::WideDecimal(array, scale) => decimal::push(out, array.value(row), *scale),
        Cells::String(array) => push_quoted(out, array.value(row)),
        Cells::Bytes(array) => {
            out.push(b'"');
            base64_text::push(out, array.value(row));
            out.push(b'"');
        }
        Cells::Time(array) => push_integer(out, array.value(row)),
        Cells::Date(array) => push_integer(out, array.value(row)),
        Cells::Timestamp(array) => push_integer(out, array.value(row)),
        Cells::Array(..) | Cells::Map(..) | Cells::Struct(..) => unreachable!("templates follow the columns"),
    }
}

#[inline]
fn push_integer<T: itoa::Integer>(out: &mut Vec<u8>, value: T) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// JSON has no NaN and no infinities: they are strings.
fn push_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        java::push_double(out, value);
    } else {
        out.push(b'"');
        java::push_double(out, value);
        out.push(b'"');
    }
}
