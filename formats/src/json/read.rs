//! One JSON payload into the columns of a batch.

use arrow::datatypes::{DataType, Fields};

use crate::{
    column::Column,
    decoder::Row,
    json::{
        cursor::Cursor,
        fault::Fault,
        value::{self, Object, Shape, mismatch},
    },
};

/// Reads payloads of one layout.
pub(crate) struct JsonReader {
    layout: Layout,
    /// Text of strings with escapes.
    scratch: Vec<u8>,
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
        Self { layout, scratch: Vec::new() }
    }

    /// Reads one payload as row `row` of `columns`.
    #[inline]
    pub(crate) fn read(&mut self, payload: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        let text = std::str::from_utf8(payload).map_err(|error| {
            format!("malformed JSON at byte {}: expected UTF-8, path: $", error.valid_up_to())
        })?;
        self.read_text(text, row, columns).map_err(|fault| fault.message())
    }

    #[inline]
    fn read_text(&mut self, text: &str, row: usize, columns: &mut [Column]) -> Result<Row, Fault> {
        let mut cursor = Cursor::new(text);
        let first = cursor.peek_value()?;
        match &mut self.layout {
            Layout::Wrapped(object) => match first {
                b'{' => object.read(&mut cursor, row, columns, &mut self.scratch)?,
                b'n' => {
                    cursor.literal("null")?;
                    cursor.end()?;
                    return Ok(Row::Null);
                }
                _ => return Err(mismatch(&mut cursor, first, "STRUCT")),
            },
            Layout::Bare(Some(shape)) => value::read(&mut cursor, shape, &mut columns[0], &mut self.scratch)?,
            Layout::Bare(None) => cursor.skip_value()?,
        }
        cursor.end()?;
        Ok(Row::Present)
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
