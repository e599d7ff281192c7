//! One JSON payload into the columns of a batch.

use std::mem;

use arrow::datatypes::{DataType, Fields};
use jiter::{Jiter, Peek};

use crate::{
    column::Column,
    decoder::Row,
    json::{
        fault::Fault,
        surrogate,
        value::{self, Object, Shape, mismatch},
    },
};

/// Reads payloads of one layout.
pub(crate) struct JsonReader {
    layout: Layout,
    /// Text of strings with escapes, kept for its room.
    tape: Vec<u8>,
}

enum Layout {
    /// An object whose names are the columns.
    Wrapped(Object),
    /// One bare value for the only column, or for none if it is not wanted.
    Bare(Option<Shape>),
}

impl JsonReader {
    pub(crate) fn new(wrapped: bool, fields: &Fields, picked: &[usize]) -> Self {
        let mut columns =
            picked.iter().map(|index| (fields[*index].name().clone(), shape(fields[*index].data_type())));
        let layout = if wrapped {
            Layout::Wrapped(Object::new(columns))
        } else {
            Layout::Bare(columns.next().map(|(_, shape)| shape))
        };
        Self { layout, tape: Vec::new() }
    }

    /// Reads one payload as row `row` of `columns`.
    #[inline]
    pub(crate) fn read(&mut self, payload: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        let text = std::str::from_utf8(payload).map_err(|error| {
            format!("malformed JSON at byte {}: expected UTF-8, path: $", error.valid_up_to())
        })?;
        let result = match self.read_text(text.as_bytes(), row, columns) {
            Err(fault) if fault.is_half_surrogate() => {
                columns.iter_mut().for_each(|column| column.truncate(row));
                self.read_text(&surrogate::replace_halves(text), row, columns)
            }
            result => result,
        };
        result.map_err(|fault| fault.message())
    }

    #[inline]
    fn read_text(&mut self, text: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, Fault> {
        let mut jiter = Jiter::with_tape(text, mem::take(&mut self.tape));
        let result = self.layout.read(&mut jiter, row, columns);
        self.tape = jiter.into_tape();
        result
    }
}

impl Layout {
    #[inline]
    fn read(&mut self, jiter: &mut Jiter<'_>, row: usize, columns: &mut [Column]) -> Result<Row, Fault> {
        let peek = jiter.peek()?;
        let mut result = Row::Present;
        match self {
            Self::Wrapped(object) => match peek {
                Peek::Object => object.read(jiter, row, columns)?,
                Peek::Null => {
                    jiter.known_null()?;
                    result = Row::Null;
                }
                _ => return Err(mismatch(jiter, peek, "STRUCT")),
            },
            Self::Bare(Some(shape)) => value::read(jiter, peek, shape, &mut columns[0])?,
            Self::Bare(None) => jiter.known_skip(peek)?,
        }
        jiter.finish()?;
        Ok(result)
    }
}

fn shape(data_type: &DataType) -> Shape {
    match data_type {
        DataType::List(item) => Shape::Array(Box::new(shape(item.data_type()))),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => Shape::Map(Box::new(shape(pair[1].data_type()))),
            other => unreachable!("map entries are {other}"),
        },
        DataType::Struct(fields) => Shape::Struct(Box::new(Object::new(
            fields.iter().map(|field| (field.name().clone(), shape(field.data_type()))),
        ))),
        _ => Shape::Plain,
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::AsArray,
        datatypes::{Field, Float64Type},
    };
    use proptest::prelude::*;

    use super::*;

    /// Whether a text is taken when nothing of it is wanted.
    fn accepts(text: &str) -> bool {
        JsonReader::new(false, &Fields::empty(), &[]).read(text.as_bytes(), 0, &mut []).is_ok()
    }

    fn is_json(text: &str) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for data_type in [None, Some(DataType::Utf8)] {
            let picked: &[usize] = if data_type.is_some() { &[0] } else { &[] };
            let fields: Fields =
                data_type.map(|data_type| Field::new("A", data_type, true)).into_iter().collect();
            let mut columns: Vec<Column> =
                fields.iter().map(|field| Column::new(field.data_type())).collect();
            let mut reader = JsonReader::new(false, &fields, picked);
            for (depth, taken) in [(100, true), (300, false), (1_000_000, false)] {
                let result = reader.read(nested(depth).as_bytes(), 0, &mut columns);
                assert_eq!(result.is_ok(), taken, "{depth} deep: {result:?}");
                columns.iter_mut().for_each(|column| column.truncate(0));
            }
        }
    }

    proptest! {
        #[test]
        fn skipping_accepts_what_serde_json_accepts(
            text in "([\\[\\]{},: ]|\"[a\\\\u0d\"/]{0,3}\"|-?[0-9.eE+-]{1,4}|true|false|null|nul){0,12}",
        ) {
            // serde_json refuses lone surrogates, which Jackson reads.
            if !text.contains("\\ud") {
                prop_assert_eq!(accepts(&text), is_json(&text), "{}", text);
            }
        }

        #[test]
        fn changed_documents_are_judged_as_by_serde_json(
            at in 0usize..64,
            byte in "[\\[\\]{},:\"a0 -]",
        ) {
            let mut text = String::from("{\"a\": [1, -2.5e3, {\"b\": \"x\\n\"}], \"c\": null, \"d\": {}, \"e\": []}");
            if at < text.len() {
                text.replace_range(at..=at, &byte);
            }
            prop_assert_eq!(accepts(&text), is_json(&text), "{}", text);
        }

        #[test]
        fn a_number_is_the_nearest_double_or_no_number(text in "-?[0-9]{0,22}(\\.[0-9]{0,24})?([eE][+-]?[0-9]{0,4})?") {
            let fields: Fields = [Field::new("A", DataType::Float64, true)].into_iter().collect();
            let mut columns = [Column::new(&DataType::Float64)];
            let result = JsonReader::new(false, &fields, &[0]).read(text.as_bytes(), 0, &mut columns);
            prop_assert_eq!(result.is_ok(), is_json(&text), "{}", text);
            if result.is_ok() {
                let array = columns[0].finish();
                let value = array.as_primitive::<Float64Type>().value(0);
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().expect("a number").to_bits(), "{}", text);
            }
        }
    }
}
