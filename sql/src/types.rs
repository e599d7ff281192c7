//! SQL types and the Arrow types they are held in.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_formats::decimal_type;

use crate::ast::quoted;
use crate::error::SqlError;

/// The type of a column or expression. Every column may be NULL.
///
/// | SQL | Arrow |
/// |---|---|
/// | BOOLEAN | Boolean |
/// | INT, BIGINT, DOUBLE | Int32, Int64, Float64 |
/// | DECIMAL(p, s) | Decimal128(p, s) up to 38 digits, Decimal256(p, s) beyond |
/// | STRING, BYTES | Utf8, Binary |
/// | DATE, TIME, TIMESTAMP | Date32, Time32(ms), Timestamp(ms) without zone |
/// | `ARRAY<T>` | List(item: T) |
/// | `MAP<K, V>` | Map(entries { keys: K, values: V }) |
/// | `STRUCT<..>` | Struct |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// TRUE or FALSE.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Bigint,
    /// IEEE 754, 64 bits.
    Double,
    /// Exact decimals.
    Decimal {
        /// Digits, 1 to 76.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: i8,
    },
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Days since 1970.
    Date,
    /// Milliseconds of the day.
    Time,
    /// Milliseconds since 1970, UTC.
    Timestamp,
    /// A list.
    Array(Box<SqlType>),
    /// Keys and values.
    Map(Box<SqlType>, Box<SqlType>),
    /// Named fields, maybe none.
    Struct(Vec<StructField>),
}

/// A field of a STRUCT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructField {
    /// Its name, case-sensitive.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
}

impl SqlType {
    /// The most digits a DECIMAL can have: 76.
    pub const DECIMAL_PRECISION_MAX: u8 = millstream_formats::DECIMAL_PRECISION_MAX;

    /// The names of all built-in types, for hints.
    pub const SIMPLE_NAMES: &'static [&'static str] = &[
        "BOOLEAN",
        "INT",
        "INTEGER",
        "BIGINT",
        "DOUBLE",
        "DECIMAL",
        "STRING",
        "VARCHAR",
        "BYTES",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "ARRAY",
        "MAP",
        "STRUCT",
    ];

    /// Reads a type without custom names: `ARRAY<STRUCT<a INT>>`.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        crate::parser::parse_type(text)?.resolve_builtin()
    }

    /// A DECIMAL, if the digits are possible: 1 to 76 of them, not more behind the point.
    pub fn decimal(precision: u64, scale: u64) -> Result<Self, SqlError> {
        let most = Self::DECIMAL_PRECISION_MAX;
        if !(1..=u64::from(most)).contains(&precision) {
            return Err(SqlError::invalid(format!("DECIMAL precision must be 1 to {most}, not {precision}")));
        }
        if scale > precision {
            return Err(SqlError::invalid(format!(
                "DECIMAL scale must be 0 to the precision, not {scale} with precision {precision}"
            )));
        }
        Ok(Self::Decimal { precision: precision as u8, scale: scale as i8 })
    }

    /// INT, BIGINT, DECIMAL, DOUBLE.
    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Int | Self::Bigint | Self::Double | Self::Decimal { .. })
    }

    /// The decimal that holds every value of this type: of INT 10 digits, of BIGINT 19.
    pub fn as_decimal(&self) -> Option<(u8, i8)> {
        match self {
            Self::Int => Some((10, 0)),
            Self::Bigint => Some((19, 0)),
            Self::Decimal { precision, scale } => Some((*precision, *scale)),
            _ => None,
        }
    }

    /// Whether a value of this type may stand where `to` is wanted: the same type, numbers that widen
    /// (INT, BIGINT, DECIMAL, DOUBLE), a STRING for a DATE, TIME, TIMESTAMP or BYTES.
    pub fn can_widen_to(&self, to: &SqlType) -> bool {
        match (self, to) {
            (from, to) if from == to => true,
            (Self::Int, Self::Bigint) => true,
            (from, Self::Double) => from.is_numeric(),
            (from, Self::Decimal { precision, scale }) => from.as_decimal().is_some_and(|(p, s)| {
                s <= *scale && i16::from(p) - i16::from(s) <= i16::from(*precision) - i16::from(*scale)
            }),
            (Self::String, Self::Date | Self::Time | Self::Timestamp | Self::Bytes) => true,
            _ => false,
        }
    }

    /// The Arrow type its values are held in.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => decimal_type(*precision, *scale),
            Self::String => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time32(TimeUnit::Millisecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Array(item) => DataType::List(Arc::new(Field::new("item", item.to_arrow(), true))),
            Self::Map(key, value) => {
                let fields = vec![
                    Field::new("keys", key.to_arrow(), false),
                    Field::new("values", value.to_arrow(), true),
                ];
                DataType::Map(
                    Arc::new(Field::new("entries", DataType::Struct(Fields::from(fields)), false)),
                    false,
                )
            }
            Self::Struct(fields) => DataType::Struct(fields.iter().map(|f| f.to_arrow()).collect()),
        }
    }

    /// The SQL type held in an Arrow type. Fails for Arrow types that hold none.
    pub fn from_arrow(data_type: &DataType) -> Result<Self, SqlError> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::Bigint,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Self::Decimal { precision: *precision, scale: *scale }
            }
            DataType::Utf8 => Self::String,
            DataType::Binary => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Time32(TimeUnit::Millisecond) => Self::Time,
            DataType::Timestamp(TimeUnit::Millisecond, None) => Self::Timestamp,
            DataType::List(item) => Self::Array(Box::new(Self::from_arrow(item.data_type())?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Self::Map(
                    Box::new(Self::from_arrow(fields[0].data_type())?),
                    Box::new(Self::from_arrow(fields[1].data_type())?),
                ),
                other => return Err(Self::no_such(other)),
            },
            DataType::Struct(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|f| Ok(StructField { name: f.name().clone(), ty: Self::from_arrow(f.data_type())? }))
                    .collect::<Result<_, SqlError>>()?,
            ),
            other => return Err(Self::no_such(other)),
        })
    }

    fn no_such(data_type: &DataType) -> SqlError {
        SqlError::invalid(format!("no SQL type holds the Arrow type {data_type}"))
    }
}

impl StructField {
    /// As an Arrow field.
    pub fn to_arrow(&self) -> Field {
        Field::new(&self.name, self.ty.to_arrow(), true)
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Int => f.write_str("INTEGER"),
            Self::Bigint => f.write_str("BIGINT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            Self::String => f.write_str("STRING"),
            Self::Bytes => f.write_str("BYTES"),
            Self::Date => f.write_str("DATE"),
            Self::Time => f.write_str("TIME"),
            Self::Timestamp => f.write_str("TIMESTAMP"),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{} {}", quoted(&field.name), field.ty)?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_parse_and_map() {
        for (text, printed) in [
            ("boolean", "BOOLEAN"),
            ("int", "INTEGER"),
            ("VARCHAR", "STRING"),
            ("VARCHAR(20)", "STRING"),
            ("DECIMAL(10,2)", "DECIMAL(10, 2)"),
            ("DECIMAL(38,38)", "DECIMAL(38, 38)"),
            ("DECIMAL(39,2)", "DECIMAL(39, 2)"),
            ("DECIMAL(76,76)", "DECIMAL(76, 76)"),
            ("ARRAY<ARRAY<INT>>", "ARRAY<ARRAY<INTEGER>>"),
            ("INT ARRAY", "ARRAY<INTEGER>"),
            ("MAP<STRING, DOUBLE>", "MAP<STRING, DOUBLE>"),
            ("STRUCT<>", "STRUCT<>"),
            (
                "STRUCT<a INT, `b` STRUCT<c DATE, d TIME>>",
                "STRUCT<`A` INTEGER, `b` STRUCT<`C` DATE, `D` TIME>>",
            ),
            ("TIMESTAMP", "TIMESTAMP"),
            ("BYTES", "BYTES"),
        ] {
            let ty = SqlType::parse(text).unwrap();
            assert_eq!(ty.to_string(), printed, "{text}");
            assert_eq!(SqlType::parse(printed).unwrap(), ty, "{printed}");
            assert_eq!(SqlType::from_arrow(&ty.to_arrow()).unwrap(), ty, "{text}");
        }
    }

    #[test]
    fn impossible_types_are_refused() {
        for (text, expected) in [
            ("DECIMAL(0,0)", "precision must be 1 to 76"),
            ("DECIMAL(77,0)", "precision must be 1 to 76, not 77"),
            ("DECIMAL(1000,0)", "precision must be 1 to 76, not 1000"),
            ("DECIMAL(3,4)", "scale must be 0 to the precision"),
            ("DECIMAL(3,300)", "not 300 with precision 3"),
            ("STRIN", "did you mean STRING?"),
            ("ARRAY<INT", "expected"),
            ("INT INT", "unexpected"),
        ] {
            let error = SqlType::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(SqlType::from_arrow(&DataType::UInt8).is_err());
    }

    #[test]
    fn widening() {
        let check =
            |from: &str, to: &str| SqlType::parse(from).unwrap().can_widen_to(&SqlType::parse(to).unwrap());
        for (from, to, expected) in [
            ("INT", "BIGINT", true),
            ("BIGINT", "INT", false),
            ("INT", "DECIMAL(12, 2)", true),
            ("INT", "DECIMAL(11, 2)", false),
            ("DECIMAL(38, 2)", "DECIMAL(40, 4)", true),
            ("DECIMAL(40, 4)", "DECIMAL(38, 4)", false),
            ("DECIMAL(4, 2)", "DOUBLE", true),
            ("DOUBLE", "DECIMAL(38, 2)", false),
            ("STRING", "TIMESTAMP", true),
            ("STRING", "INT", false),
        ] {
            assert_eq!(check(from, to), expected, "{from} to {to}");
        }
    }
}
