//! Typed views of Arrow columns, made once per batch, so that writing a cell is one match and no downcast.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray,
        StringArray, StructArray,
    },
    datatypes::{
        DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type,
        Time32MillisecondType, TimestampMillisecondType,
    },
};

/// One column of a SQL type.
pub(crate) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a PrimitiveArray<Int32Type>),
    BigInt(&'a PrimitiveArray<Int64Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    WideDecimal(&'a PrimitiveArray<Decimal256Type>, i8),
    String(&'a StringArray),
    Bytes(&'a BinaryArray),
    Time(&'a PrimitiveArray<Time32MillisecondType>),
    Date(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMillisecondType>),
    Array(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, &'a StringArray, Box<Cells<'a>>),
    Struct(&'a StructArray, Vec<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// A view of a column whose type the format check let through.
    pub(crate) fn new(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int32 => Self::Int(array.as_primitive()),
            DataType::Int64 => Self::BigInt(array.as_primitive()),
            DataType::Float64 => Self::Double(array.as_primitive()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive(), *scale),
            DataType::Decimal256(_, scale) => Self::WideDecimal(array.as_primitive(), *scale),
            DataType::Utf8 => Self::String(array.as_string()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::Time32(_) => Self::Time(array.as_primitive()),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Timestamp(..) => Self::Timestamp(array.as_primitive()),
            DataType::List(_) => {
                let lists = array.as_list();
                Self::Array(lists, Box::new(Self::new(lists.values())))
            }
            DataType::Map(..) => {
                let maps = array.as_map();
                Self::Map(maps, maps.keys().as_string(), Box::new(Self::new(maps.values())))
            }
            DataType::Struct(_) => {
                let structs = array.as_struct();
                Self::Struct(structs, structs.columns().iter().map(Self::new).collect())
            }
            other => unreachable!("type {other} passed the format check"),
        }
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::BigInt(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::WideDecimal(array, _) => array.is_null(row),
            Self::String(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::Array(array, _) => array.is_null(row),
            Self::Map(array, ..) => array.is_null(row),
            Self::Struct(array, _) => array.is_null(row),
        }
    }
}
