//! SQL's names for the Arrow types that stand for its types.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Fields, TimeUnit};

/// The SQL name of an Arrow type, such as `DECIMAL(4, 2)`, `ARRAY<BIGINT>` or `` STRUCT<`A` INTEGER> ``.
/// A type that stands for no SQL type keeps Arrow's name.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision}, {scale})")
        }
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Time32(TimeUnit::Millisecond) => "TIME".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP".into(),
        DataType::List(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => format!("MAP<{other}>"),
        },
        DataType::Struct(fields) => {
            let mut name = String::from("STRUCT<");
            for (index, field) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                let _ = write!(name, "{comma}`{}` {}", field.name(), type_name(field.data_type()));
            }
            name.push('>');
            name
        }
        other => other.to_string(),
    }
}

/// The columns as `` `NAME` TYPE, ... ``, for messages.
pub(crate) fn field_list(fields: &Fields) -> String {
    fields
        .iter()
        .map(|field| format!("`{}` {}", field.name(), type_name(field.data_type())))
        .collect::<Vec<_>>()
        .join(", ")
}
