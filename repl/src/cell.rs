//! A cell of a result: an Arrow value made ready to be printed.

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type,
};
use arrow::util::display::array_value_to_string;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::output::Heading;

/// A value that can be printed as text, JSON or CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// No value.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number in its shortest text, valid as a JSON number.
    Number(String),
    /// Text; in JSON a string.
    Text(String),
    /// An array, map or struct, already as JSON.
    Nested(String),
}

impl Cell {
    /// The value in row `row` of `array`.
    pub(crate) fn from_array(array: &dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Self::Null;
        }
        match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().value(row)),
            DataType::Int32 => Self::Number(array.as_primitive::<Int32Type>().value(row).to_string()),
            DataType::Int64 => Self::Number(array.as_primitive::<Int64Type>().value(row).to_string()),
            DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) => {
                Self::Number(array.as_primitive::<Decimal128Type>().value_as_string(row))
            }
            DataType::Decimal256(..) => {
                Self::Number(array.as_primitive::<Decimal256Type>().value_as_string(row))
            }
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => Self::Text(BASE64.encode(array.as_binary::<i32>().value(row))),
            DataType::Date32 => match array.as_primitive::<Date32Type>().value_as_date(row) {
                Some(date) => Self::Text(date.to_string()),
                None => Self::Number(array.as_primitive::<Date32Type>().value(row).to_string()),
            },
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                Self::Nested(list(&items))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let names = fields.iter().map(|field| field.name().as_str());
                Self::Nested(object(
                    names.zip(columns).map(|(name, column)| (name.to_owned(), Self::from_array(column, row))),
                ))
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                Self::Nested(object(
                    (0..entries.len()).map(|i| {
                        (Self::from_array(keys, i).text().into_owned(), Self::from_array(values, i))
                    }),
                ))
            }
            data_type => {
                // Times, and the types that only results of ad-hoc queries have.
                let text = array_value_to_string(array, row).unwrap_or_else(|error| format!("<{error}>"));
                if data_type.is_integer() { Self::Number(text) } else { Self::Text(text) }
            }
        }
    }

    /// As shown in a table.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed("null"),
            Self::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Number(text) | Self::Text(text) | Self::Nested(text) => Cow::Borrowed(text),
        }
    }

    /// As a field of CSV, not yet quoted: NULL is empty.
    pub(crate) fn csv(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Boolean(value) => {
                if *value {
                    "true"
                } else {
                    "false"
                }
            }
            Self::Number(text) | Self::Text(text) | Self::Nested(text) => text,
        }
    }

    /// As a JSON value.
    pub(crate) fn json(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Owned(serde_json::Value::from(text.as_str()).to_string()),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::Nested(_) => self.text(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.to_string())
    }
}

/// The heading for a column of this type.
pub(crate) fn heading(name: &str, data_type: &DataType) -> Heading {
    if data_type.is_numeric() { Heading::number(name) } else { Heading::text(name) }
}

/// JSON has no NaN and no infinities: these become text.
fn double(value: f64) -> Cell {
    if value.is_finite() { Cell::Number(format!("{value:?}")) } else { Cell::Text(format!("{value}")) }
}

fn list(items: &dyn Array) -> String {
    let mut text = String::from("[");
    for row in 0..items.len() {
        if row > 0 {
            text.push(',');
        }
        text.push_str(&Cell::from_array(items, row).json());
    }
    text.push(']');
    text
}

fn object(fields: impl Iterator<Item = (String, Cell)>) -> String {
    let mut text = String::from("{");
    for (i, (name, cell)) in fields.enumerate() {
        if i > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}:{}", Cell::Text(name).json(), cell.json());
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array,
        Int32Array, ListArray, StringArray, StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{Field, i256};

    use super::*;

    fn check(array: &dyn Array, expected: &[&str]) {
        let json: Vec<_> =
            (0..array.len()).map(|row| Cell::from_array(array, row).json().into_owned()).collect();
        assert_eq!(json, expected);
    }

    #[test]
    fn values_keep_their_type_in_json() {
        check(&BooleanArray::from(vec![Some(true), None]), &["true", "null"]);
        check(&Int32Array::from(vec![-1]), &["-1"]);
        check(&Float64Array::from(vec![1.0, 0.1, f64::NAN, 1e300]), &["1.0", "0.1", "\"NaN\"", "1e300"]);
        check(&StringArray::from(vec!["a\"b\n"]), &[r#""a\"b\n""#]);
        check(&BinaryArray::from(vec![&b"\xff\x00"[..]]), &["\"/wA=\""]);
        check(&Date32Array::from(vec![15_706]), &["\"2013-01-01\""]);
        check(&TimestampMillisecondArray::from(vec![1_357_034_400_000]), &["\"2013-01-01T10:00:00\""]);
        let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(9, 2).unwrap();
        check(&decimals, &["123.45"]);
        let wide = Decimal256Array::from(vec![i256::from_i128(-5)]).with_precision_and_scale(76, 40).unwrap();
        check(&wide, &[&format!("-0.{}5", "0".repeat(39))]);
    }

    #[test]
    fn nested_values_become_json() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![])]);
        check(&list, &["[1,null]", "[]"]);
        let fields = StructArray::from(vec![
            (
                Arc::new(Field::new("A", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("B", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["x"])) as ArrayRef,
            ),
        ]);
        check(&fields, &[r#"{"A":1,"B":"x"}"#]);
    }
}
