//! Schemas as Kafka Connect sees them: what the schema languages of the registry have in common.
//!
//! ```text
//! Avro, Protobuf, JSON Schema ─▶ ConnectSchema ─▶ SQL columns (inference)
//!                                       └───────▶ may it feed that column? (reading)
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::decimal_type;

/// The type of a value in a registered schema. Every SQL type is nullable, so it is not said here what is optional.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ConnectSchema {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Text, and the symbols of an enum.
    String,
    Bytes,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    Time,
    Timestamp,
    Array(Box<ConnectSchema>),
    Map(Box<ConnectSchema>, Box<ConnectSchema>),
    Struct(Vec<ConnectField>),
    /// What SQL has no type for, by its name.
    Unsupported(&'static str),
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConnectField {
    pub(crate) name: String,
    pub(crate) schema: ConnectSchema,
}

impl ConnectSchema {
    /// The SQL type that a column inferred from this schema has; `None` if there is none. Fields of structs
    /// that have none are left out.
    pub(crate) fn sql_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Boolean => DataType::Boolean,
            Self::Int8 | Self::Int16 | Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 | Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Decimal { precision, scale } => decimal_type(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time32(TimeUnit::Millisecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Array(item) => DataType::List(Arc::new(Field::new("item", item.sql_type()?, true))),
            Self::Map(key, value) => {
                let keyed = matches!(
                    **key,
                    Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 | Self::Boolean | Self::String
                );
                let value = value.sql_type().filter(|_| keyed)?;
                let pair = Fields::from(vec![
                    Field::new("keys", DataType::Utf8, false),
                    Field::new("values", value, true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
            }
            Self::Struct(fields) => {
                let fields = sql_fields(fields);
                if fields.is_empty() {
                    return None;
                }
                DataType::Struct(fields)
            }
            Self::Unsupported(_) => return None,
        })
    }

    /// Connect's name of the type, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 | Self::Date | Self::Time => "int32",
            Self::Int64 | Self::Timestamp => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Bytes | Self::Decimal { .. } => "bytes",
            Self::Array(_) => "array",
            Self::Map(..) => "map",
            Self::Struct(_) => "struct",
            Self::Unsupported(name) => name,
        }
    }

    /// Whether values of this schema feed a column of the type, with ksqlDB's coercions; nested parts are
    /// asked for one by one by the caller. The message names `path`, such as `->F1->ARRAY`.
    pub(crate) fn feeds(&self, column: &DataType, path: &str) -> Result<(), String> {
        let feeds = match column {
            DataType::Boolean => matches!(self, Self::Boolean),
            DataType::Int32 => matches!(self, Self::Int8 | Self::Int16 | Self::Int32),
            DataType::Int64 => matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64),
            DataType::Float64 => matches!(self, Self::Float32 | Self::Float64),
            DataType::Utf8 => matches!(
                self,
                Self::String
                    | Self::Boolean
                    | Self::Int8
                    | Self::Int16
                    | Self::Int32
                    | Self::Int64
                    | Self::Float32
                    | Self::Float64
            ),
            DataType::Binary => matches!(self, Self::Bytes),
            DataType::Decimal128(..) | DataType::Decimal256(..) => matches!(self, Self::Decimal { .. }),
            DataType::Date32 => matches!(self, Self::Date | Self::Int32),
            DataType::Time32(_) => matches!(self, Self::Time | Self::Int32),
            DataType::Timestamp(..) => matches!(self, Self::Timestamp | Self::Int64),
            DataType::List(_) => matches!(self, Self::Array(_)),
            DataType::Map(..) => matches!(self, Self::Map(..)),
            DataType::Struct(_) => matches!(self, Self::Struct(_)),
            _ => false,
        };
        if feeds {
            return Ok(());
        }
        let (found, wanted) = (self.name(), connect_name(column));
        Err(format!("Cannot deserialize type {found} as type {wanted} for path: {path}"))
    }
}

/// The columns of a record; fields that SQL has no type for are left out.
pub(crate) fn sql_fields(fields: &[ConnectField]) -> Fields {
    let typed =
        fields.iter().filter_map(|field| Some(Field::new(&field.name, field.schema.sql_type()?, true)));
    typed.collect()
}

/// Connect's name of the type that a column is written as.
fn connect_name(column: &DataType) -> &'static str {
    match column {
        DataType::Boolean => "boolean",
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => "int32",
        DataType::Int64 | DataType::Timestamp(..) => "int64",
        DataType::Float64 => "float64",
        DataType::Utf8 => "string",
        DataType::List(_) => "array",
        DataType::Map(..) => "map",
        DataType::Struct(_) => "struct",
        _ => "bytes",
    }
}
