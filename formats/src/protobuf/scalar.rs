//! Values of Protobuf's scalar types, from the wire into cells and back.

use arrow::{array::Array, datatypes::DataType};
use prost_reflect::{EnumDescriptor, Kind, Syntax, Value};

use super::wire::{self, Fault, Tag};
use crate::{
    cells::Cells,
    column::{Column, Variable},
    java,
};

const DAY_MS: i64 = 86_400_000;

/// A scalar type.
pub(super) enum Scalar {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    String,
    Bytes,
    Enum(Symbols),
}

/// The symbols of an enum.
pub(super) struct Symbols {
    name: Box<str>,
    /// Ordered by number; of several symbols with one number the first declared.
    by_number: Vec<(i32, Box<str>)>,
    /// Whether a number without a symbol is no value at all: an enum of `proto2`.
    closed: bool,
}

impl Symbols {
    fn new(descriptor: &EnumDescriptor) -> Self {
        let mut by_number: Vec<(i32, Box<str>)> =
            descriptor.enum_descriptor_proto().value.iter().map(|v| (v.number(), v.name().into())).collect();
        by_number.sort_by_key(|(number, _)| *number);
        Self {
            name: descriptor.name().into(),
            by_number,
            closed: descriptor.parent_file().syntax() == Syntax::Proto2,
        }
    }

    fn symbol(&self, number: i32) -> Option<&str> {
        let first = self.by_number.partition_point(|(other, _)| *other < number);
        self.by_number.get(first).filter(|(other, _)| *other == number).map(|(_, symbol)| &**symbol)
    }

    fn number(&self, symbol: &str) -> Option<i32> {
        self.by_number.iter().find(|(_, other)| **other == *symbol).map(|(number, _)| *number)
    }
}

impl Scalar {
    /// `None` for messages.
    pub(super) fn new(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Bool => Self::Bool,
            Kind::Int32 => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::Uint32 => Self::Uint32,
            Kind::Uint64 => Self::Uint64,
            Kind::Sint32 => Self::Sint32,
            Kind::Sint64 => Self::Sint64,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Sfixed32 => Self::Sfixed32,
            Kind::Sfixed64 => Self::Sfixed64,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Enum(descriptor) => Self::Enum(Symbols::new(descriptor)),
            Kind::Message(_) => return None,
        })
    }

    /// The wire type outside of packed lists.
    #[inline(always)]
    pub(super) fn wire_type(&self) -> u32 {
        match self {
            Self::Fixed32 | Self::Sfixed32 | Self::Float => wire::FIXED32,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => wire::FIXED64,
            Self::String | Self::Bytes => wire::LENGTH,
            _ => wire::VARINT,
        }
    }

    /// Takes a value that is no text and no bytes.
    #[inline]
    pub(super) fn take(&self, bytes: &[u8], at: &mut usize) -> Result<u64, Fault> {
        match self.wire_type() {
            wire::FIXED32 => wire::fixed32(bytes, at).map(u64::from),
            wire::FIXED64 => wire::fixed64(bytes, at),
            _ => wire::varint(bytes, at),
        }
    }

    /// Whether there are numbers that are no values.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Enum(symbols) if symbols.closed)
    }

    /// Whether a number counts as a value of the type; others are as if they were not there.
    #[inline]
    pub(super) fn knows(&self, bits: u64) -> bool {
        match self {
            Self::Enum(symbols) if symbols.closed => symbols.symbol(bits as i32).is_some(),
            _ => true,
        }
    }

    /// What a declared default, or zero, looks like on the wire. Text and bytes are the second part.
    pub(super) fn default_of(&self, value: &Value) -> (u64, Box<[u8]>) {
        let bits = match value {
            Value::Bool(value) => u64::from(*value),
            Value::I32(value) if matches!(self, Self::Sint32) => wire::zigzag(i64::from(*value)),
            Value::I64(value) if matches!(self, Self::Sint64) => wire::zigzag(*value),
            Value::I32(value) | Value::EnumNumber(value) => *value as u64,
            Value::I64(value) => *value as u64,
            Value::U32(value) => u64::from(*value),
            Value::U64(value) => *value,
            Value::F32(value) => u64::from(value.to_bits()),
            Value::F64(value) => value.to_bits(),
            Value::String(value) => return (0, value.as_bytes().into()),
            Value::Bytes(value) => return (0, value.as_ref().into()),
            Value::Message(_) | Value::List(_) | Value::Map(_) => 0,
        };
        (bits, Box::default())
    }

    #[inline(always)]
    fn integer(&self, bits: u64) -> i64 {
        match self {
            Self::Int32 | Self::Sfixed32 | Self::Enum(_) => i64::from(bits as i32),
            Self::Uint32 | Self::Fixed32 => i64::from(bits as u32),
            Self::Sint32 => i64::from(wire::unzigzag(u64::from(bits as u32)) as i32),
            Self::Sint64 => wire::unzigzag(bits),
            _ => bits as i64,
        }
    }

    /// Pushes a value that the column can be fed with: `bits`, or `text` for text and bytes.
    #[inline(always)]
    pub(super) fn push(&self, bits: u64, text: &[u8], column: &mut Column) -> Result<(), Fault> {
        match column {
            Column::Boolean(column) => column.push(bits != 0),
            Column::Int(column) | Column::Date(column) => column.push(self.integer(bits) as i32),
            Column::BigInt(column) | Column::Timestamp(column) => column.push(self.integer(bits)),
            Column::Time(column) => column.push(time_of_day(self.integer(bits))?),
            Column::Double(column) => column.push(match self {
                Self::Float => f64::from(f32::from_bits(bits as u32)),
                _ => f64::from_bits(bits),
            }),
            Column::String(column) => match self {
                Self::String => push_utf8(text, column)?,
                _ => self.push_text(bits, text, column)?,
            },
            Column::Bytes(column) => {
                check_room(column, text.len())?;
                column.push(text);
            }
            Column::Decimal(_)
            | Column::WideDecimal(_)
            | Column::Array(_)
            | Column::Map(_)
            | Column::Struct(_) => {
                unreachable!("plans pair scalars with columns that take them")
            }
        }
        Ok(())
    }

    /// Pushes any value as text.
    pub(super) fn push_text(&self, bits: u64, text: &[u8], column: &mut Variable) -> Result<(), Fault> {
        match self {
            Self::String => return push_utf8(text, column),
            Self::Bytes => column.bytes.extend_from_slice(text),
            Self::Bool => column.bytes.extend_from_slice(if bits != 0 { b"true" } else { b"false" }),
            Self::Enum(symbols) => {
                let number = bits as i32;
                match symbols.symbol(number) {
                    Some(symbol) => column.bytes.extend_from_slice(symbol.as_bytes()),
                    None => {
                        let name = format!("UNKNOWN_ENUM_VALUE_{}_{number}", symbols.name);
                        column.bytes.extend_from_slice(name.as_bytes());
                    }
                }
            }
            Self::Double => java::push_double(&mut column.bytes, f64::from_bits(bits)),
            Self::Float => java::push_float(&mut column.bytes, f32::from_bits(bits as u32)),
            _ => column.bytes.extend_from_slice(itoa::Buffer::new().format(self.integer(bits)).as_bytes()),
        }
        check_room(column, 0)?;
        column.end();
        Ok(())
    }

    /// Whether cells of a column can be written as this type.
    pub(super) fn takes(&self, column: &DataType) -> bool {
        match self {
            Self::Bool => matches!(column, DataType::Boolean),
            Self::Int32 | Self::Sint32 | Self::Sfixed32 => matches!(column, DataType::Int32),
            Self::Int64 | Self::Uint32 | Self::Uint64 | Self::Sint64 => {
                matches!(column, DataType::Int32 | DataType::Int64)
            }
            Self::Fixed32 | Self::Fixed64 | Self::Sfixed64 => {
                matches!(column, DataType::Int32 | DataType::Int64)
            }
            Self::Float | Self::Double => matches!(column, DataType::Float64),
            Self::String | Self::Enum(_) => matches!(column, DataType::Utf8),
            Self::Bytes => matches!(column, DataType::Binary),
        }
    }

    /// Whether a cell is the value that an absent field has. Negative zero is not.
    pub(super) fn is_zero(&self, cells: &Cells<'_>, row: usize) -> bool {
        match cells {
            Cells::Boolean(array) => !array.value(row),
            Cells::Int(array) => array.value(row) == 0,
            Cells::BigInt(array) => array.value(row) == 0,
            Cells::Double(array) => match self {
                Self::Float => (array.value(row) as f32).to_bits() == 0,
                _ => array.value(row).to_bits() == 0,
            },
            Cells::String(array) => match self {
                Self::Enum(symbols) => symbols.number(array.value(row)) == Some(0),
                _ => array.value(row).is_empty(),
            },
            Cells::Bytes(array) => array.value(row).is_empty(),
            _ => false,
        }
    }

    /// Appends a cell behind its tag; zero only if `zeros`. Tells whether the cell is a value and no NULL.
    #[inline(always)]
    pub(super) fn write_field(
        &self,
        tag: Tag,
        zeros: bool,
        cells: &Cells<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, String> {
        // What most columns are is written in one go.
        match (self, cells) {
            (Self::Int64, Cells::BigInt(array)) if array.is_valid(row) => {
                let value = array.value(row);
                if zeros || value != 0 {
                    tag.push(out);
                    wire::push_varint(value as u64, out);
                }
            }
            (Self::Int32, Cells::Int(array)) if array.is_valid(row) => {
                let value = array.value(row);
                if zeros || value != 0 {
                    tag.push(out);
                    wire::push_varint(i64::from(value) as u64, out);
                }
            }
            (Self::Double, Cells::Double(array)) if array.is_valid(row) => {
                let bits = array.value(row).to_bits();
                if zeros || bits != 0 {
                    tag.push(out);
                    out.extend(bits.to_le_bytes());
                }
            }
            (Self::String, Cells::String(array)) if array.is_valid(row) => {
                let text = array.value(row);
                if zeros || !text.is_empty() {
                    tag.push(out);
                    wire::push_varint(text.len() as u64, out);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            _ if cells.is_null(row) => return Ok(false),
            _ => {
                if zeros || !self.is_zero(cells, row) {
                    tag.push(out);
                    self.write(cells, row, out)?;
                }
            }
        }
        Ok(true)
    }

    /// Appends a cell; NULL is written as zero.
    #[inline]
    pub(super) fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if cells.is_null(row) {
            match self.wire_type() {
                wire::FIXED32 => out.extend_from_slice(&[0; 4]),
                wire::FIXED64 => out.extend_from_slice(&[0; 8]),
                _ => out.push(0),
            }
            return Ok(());
        }
        match cells {
            Cells::Boolean(array) => out.push(u8::from(array.value(row))),
            Cells::Int(array) => self.write_integer(i64::from(array.value(row)), out)?,
            Cells::BigInt(array) => self.write_integer(array.value(row), out)?,
            Cells::Double(array) => match self {
                Self::Float => out.extend_from_slice(&(array.value(row) as f32).to_le_bytes()),
                _ => out.extend_from_slice(&array.value(row).to_le_bytes()),
            },
            Cells::String(array) => match self {
                Self::Enum(symbols) => {
                    let symbol = array.value(row);
                    let number = symbols
                        .number(symbol)
                        .ok_or_else(|| format!("enum {} has no symbol '{symbol}'", symbols.name))?;
                    wire::push_varint(number as u64, out);
                }
                _ => wire::push_bytes(array.value(row).as_bytes(), out),
            },
            Cells::Bytes(array) => wire::push_bytes(array.value(row), out),
            _ => unreachable!("plans pair scalars with columns that give them"),
        }
        Ok(())
    }

    #[inline]
    fn write_integer(&self, value: i64, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Sint32 | Self::Sint64 => wire::push_varint(wire::zigzag(value), out),
            Self::Uint32 => wire::push_varint(u64::from(unsigned(value)?), out),
            Self::Fixed32 => out.extend_from_slice(&unsigned(value)?.to_le_bytes()),
            Self::Sfixed32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
            Self::Fixed64 | Self::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
            // 64 unsigned bits hold the same bits; they are read back the same.
            _ => wire::push_varint(value as u64, out),
        }
        Ok(())
    }
}

/// Pushes text; most is ASCII, which is told fastest.
#[inline(always)]
fn push_utf8(text: &[u8], column: &mut Variable) -> Result<(), Fault> {
    if !text.is_ascii() {
        std::str::from_utf8(text).map_err(|_| Fault::Utf8)?;
    }
    check_room(column, text.len())?;
    column.push(text);
    Ok(())
}

/// Refuses text with which a column would pass Arrow's 2 GiB. What a payload holds never does, but declared
/// defaults, symbols and numbers as text may be longer than what stands for them.
#[inline(always)]
fn check_room(column: &Variable, length: usize) -> Result<(), Fault> {
    if column.bytes.len().saturating_add(length) <= i32::MAX as usize {
        return Ok(());
    }
    Err(Fault::Value("a column of one batch passes 2 GiB: decode fewer payloads at a time".into()))
}

fn unsigned(value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{value} does not fit an unsigned field of 32 bits"))
}

/// A time as milliseconds of the day, checked.
pub(super) fn time_of_day(ms: i64) -> Result<i32, Fault> {
    if (0..DAY_MS).contains(&ms) {
        return Ok(ms as i32);
    }
    Err(Fault::Value(
        format!(
            "Time values must use number of milliseconds greater than 0 and less than {DAY_MS}, got {ms}"
        )
        .into(),
    ))
}
