//! Rows as messages. Fields are written in the order of their numbers.

use arrow::{
    array::Array,
    datatypes::{DataType, FieldRef, Fields, i256},
};
use prost_reflect::{Cardinality, FieldDescriptor, MessageDescriptor};

use super::{
    generate::generate,
    scalar::Scalar,
    schema::{Proto, field_name, message_indexes},
    shape::{self, Member, Shape, unwraps},
    wire::{self, Tag},
};
use crate::{
    FormatError, FormatSpec, ResolvedSchema, Subject,
    cells::Cells,
    decimal::{self, Unscaled},
    registry::write_header,
    type_name,
};

/// Writes rows as payloads.
pub(crate) struct ProtobufWriter {
    /// Magic byte, schema id and message indexes; empty without a registry.
    header: Vec<u8>,
    message: MessageWriter,
}

struct MessageWriter {
    fields: Vec<FieldWriter>,
}

struct FieldWriter {
    /// Position of the column.
    column: usize,
    /// Of a oneof that of its first field.
    number: u32,
    name: Box<str>,
    tag: Tag,
    how: How,
}

/// How a column is written.
enum How {
    Value {
        value: Value,
        presence: Presence,
    },
    /// Numbers one after the other behind one tag.
    Packed(Scalar),
    List(Value),
    Map {
        /// A scalar, maybe wrapped.
        key: Value,
        key_tag: Tag,
        /// Its column is the values.
        value: Box<FieldWriter>,
    },
    /// The first field that is not NULL.
    Oneof(Vec<FieldWriter>),
}

/// What a field says about NULL and zero.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Zero is not written, and NULL is the same.
    Implicit,
    /// NULL is not written.
    Explicit,
    /// NULL is an error.
    Required,
}

enum Value {
    Scalar(Scalar),
    Wrapper(Scalar),
    Decimal,
    Date,
    Time,
    Timestamp,
    Message(MessageWriter),
}

impl ProtobufWriter {
    pub(crate) fn registered(
        spec: &FormatSpec,
        fields: &Fields,
        subject: &Subject,
    ) -> Result<Self, FormatError> {
        let registry = &subject.registry;
        let full_name = subject.full_name.as_deref();
        let (id, schema) = match subject.schema_id {
            Some(id) => (id, registry.resolve(&registry.schema(id)?)?),
            None => {
                let schema = generate(spec, fields, full_name)?;
                let id = registry.register(&subject.name, &schema)?;
                (id, ResolvedSchema { schema, references: Vec::new() })
            }
        };
        let message = Proto::compile(&schema)?.message(full_name)?;
        let mut header = Vec::new();
        write_header(id, &mut header);
        push_message_indexes(&message_indexes(&message), &mut header);
        Ok(Self { header, message: MessageWriter::new(&message, fields, unwraps(spec))? })
    }

    pub(crate) fn generated(spec: &FormatSpec, fields: &Fields) -> Result<Self, FormatError> {
        let schema = generate(spec, fields, None)?;
        let message = Proto::compile(&ResolvedSchema { schema, references: Vec::new() })?.message(None)?;
        let message = MessageWriter::new(&message, fields, unwraps(spec))?;
        Ok(Self { header: Vec::new(), message })
    }

    /// Appends a row. A row that does not fit leaves `out` as it was.
    pub(crate) fn write(
        &self,
        cells: &[Cells<'_>],
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let start = out.len();
        out.extend_from_slice(&self.header);
        self.message.write(cells, row, out).map_err(|message| {
            out.truncate(start);
            FormatError::Schema(message)
        })?;
        Ok(true)
    }
}

/// Appends the path of a message: its length and its positions, or one zero byte for the first message.
pub(super) fn push_message_indexes(indexes: &[i32], out: &mut Vec<u8>) {
    if indexes == [0] {
        out.push(0);
        return;
    }
    wire::push_varint(wire::zigzag(indexes.len() as i64), out);
    indexes.iter().for_each(|index| wire::push_varint(wire::zigzag(i64::from(*index)), out));
}

impl MessageWriter {
    /// Pairs columns with the fields of their very names. Fields without a column are not written.
    fn new(message: &MessageDescriptor, columns: &Fields, unwrap: bool) -> Result<Self, FormatError> {
        let members = shape::members(message);
        let mut fields = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            let member = members.iter().find(|member| member.name() == *column.name()).ok_or_else(|| {
                let name = column.name();
                FormatError::Schema(format!("Schema from Schema Registry misses field with name: {name}"))
            })?;
            fields.push(match member {
                Member::Field(field) => FieldWriter::new(position, field, column, unwrap)?,
                Member::Oneof(oneof) => {
                    let DataType::Struct(choices) = column.data_type() else {
                        return Err(misfit(column, "a oneof"));
                    };
                    let choices = oneof
                        .fields()
                        .filter_map(|field| {
                            let place =
                                choices.iter().position(|choice| choice.name() == field_name(&field))?;
                            Some(FieldWriter::new(place, &field, &choices[place], unwrap))
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    let number = choices.first().map_or(0, |choice| choice.number);
                    let name = column.name().as_str().into();
                    FieldWriter { column: position, number, name, tag: Tag::NONE, how: How::Oneof(choices) }
                }
            });
        }
        let given = |field: &FieldDescriptor| columns.iter().any(|column| column.name() == field_name(field));
        let missing = message.fields().find(|field| field.is_required() && !given(field));
        if let Some(field) = missing {
            return Err(FormatError::Schema(missing_required(field_name(&field))));
        }
        fields.sort_by_key(|field| field.number);
        Ok(Self { fields })
    }

    #[inline]
    fn write(&self, cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.fields.iter().try_for_each(|field| field.write(&cells[field.column], row, out))
    }
}

fn missing_required(name: &str) -> String {
    format!(
        "Missing default value for required Protobuf field: [{name}]. This field appears in Protobuf schema in \
         Schema Registry"
    )
}

fn misfit(column: &FieldRef, found: &str) -> FormatError {
    let (name, data_type) = (column.name(), type_name(column.data_type()));
    FormatError::Schema(format!(
        "column '{name}' of type {data_type} cannot be written to {found} of the schema"
    ))
}

impl FieldWriter {
    fn new(
        column_position: usize,
        field: &FieldDescriptor,
        column: &FieldRef,
        unwrap: bool,
    ) -> Result<Self, FormatError> {
        let shape = match (shape::entry(field), column.data_type()) {
            (Some((key, value)), DataType::Map(..)) => Shape::Map { key, value },
            _ => Shape::new(field, unwrap),
        };
        let presence = match field.cardinality() {
            Cardinality::Required => Presence::Required,
            _ if field.supports_presence() => Presence::Explicit,
            _ => Presence::Implicit,
        };
        let (wire_type, how) = match (shape, column.data_type()) {
            (Shape::List(item), DataType::List(item_column)) => {
                match Value::new(*item, item_column, unwrap)? {
                    Value::Scalar(scalar) if field.is_packed() => (wire::LENGTH, How::Packed(scalar)),
                    value => (value.wire_type(), How::List(value)),
                }
            }
            (Shape::Map { key, value }, DataType::Map(entries, _)) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    unreachable!("map entries are {entries}")
                };
                let key_value = Value::new(Shape::new(&key, unwrap), &pair[0], unwrap)?;
                let key_tag = Tag::new(key.number(), key_value.wire_type());
                let value = Box::new(Self::new(0, &value, &pair[1], unwrap)?);
                let how = How::Map { key: key_value, key_tag, value };
                (wire::LENGTH, how)
            }
            (shape, _) => {
                let value = Value::new(shape, column, unwrap)?;
                (value.wire_type(), How::Value { value, presence })
            }
        };
        let (number, name) = (field.number(), column.name().as_str().into());
        Ok(Self { column: column_position, number, name, tag: Tag::new(number, wire_type), how })
    }

    #[inline]
    fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match (&self.how, cells) {
            (How::Value { value: Value::Scalar(scalar), presence }, _) => {
                let zeros = *presence != Presence::Implicit;
                match scalar.write_field(self.tag, zeros, cells, row, out)? {
                    true => Ok(()),
                    false => self.absent(*presence),
                }
            }
            (How::Value { presence, .. }, _) if cells.is_null(row) => self.absent(*presence),
            (How::Value { value, .. }, _) => {
                self.tag.push(out);
                value.write(cells, row, out)
            }
            (How::Packed(scalar), Cells::Array(lists, items)) => {
                let range = entries(lists.value_offsets(), row);
                if lists.is_null(row) || range.is_empty() {
                    return Ok(());
                }
                self.tag.push(out);
                wire::push_counted(out, |out| {
                    range.into_iter().try_for_each(|item| scalar.write(items, item, out))
                })
            }
            (How::List(value), Cells::Array(lists, items)) => {
                let range = if lists.is_null(row) { 0..0 } else { entries(lists.value_offsets(), row) };
                for item in range {
                    self.tag.push(out);
                    value.write(items, item, out)?;
                }
                Ok(())
            }
            (How::Map { key, key_tag, value }, Cells::Map(maps, keys, values)) => {
                let range = if maps.is_null(row) { 0..0 } else { entries(maps.value_offsets(), row) };
                for item in range {
                    self.tag.push(out);
                    wire::push_counted(out, |out| {
                        key_tag.push(out);
                        key.write(&Cells::String(keys), item, out)?;
                        value.write(values, item, out)
                    })?;
                }
                Ok(())
            }
            (How::Oneof(choices), Cells::Struct(structs, columns)) => {
                if structs.is_null(row) {
                    return Ok(());
                }
                let chosen = choices.iter().find(|choice| !columns[choice.column].is_null(row));
                chosen.map_or(Ok(()), |choice| choice.write(&columns[choice.column], row, out))
            }
            _ => unreachable!("writers follow the columns"),
        }
    }
}

impl FieldWriter {
    fn absent(&self, presence: Presence) -> Result<(), String> {
        match presence {
            Presence::Required => Err(missing_required(&self.name)),
            Presence::Implicit | Presence::Explicit => Ok(()),
        }
    }
}

/// Positions of the items of a list or map.
fn entries(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

impl Value {
    fn new(shape: Shape, column: &FieldRef, unwrap: bool) -> Result<Self, FormatError> {
        let scalar = |kind| {
            let scalar = Scalar::new(&kind).filter(|scalar| scalar.takes(column.data_type()));
            scalar.ok_or_else(|| misfit(column, &format!("a field of type {kind:?}")))
        };
        Ok(match (shape, column.data_type()) {
            (Shape::Scalar(kind), _) => Self::Scalar(scalar(kind)?),
            (Shape::Wrapper(kind), _) => Self::Wrapper(scalar(kind)?),
            (Shape::Decimal { .. }, DataType::Decimal128(..) | DataType::Decimal256(..)) => Self::Decimal,
            (Shape::Date, DataType::Date32) => Self::Date,
            (Shape::Time, DataType::Time32(_)) => Self::Time,
            (Shape::Timestamp, DataType::Timestamp(..)) => Self::Timestamp,
            (Shape::Message(message), DataType::Struct(columns)) => {
                Self::Message(MessageWriter::new(&message, columns, unwrap)?)
            }
            _ => return Err(misfit(column, "a field of another type")),
        })
    }

    fn wire_type(&self) -> u32 {
        match self {
            Self::Scalar(scalar) => scalar.wire_type(),
            _ => wire::LENGTH,
        }
    }

    /// Appends a value behind its tag. NULL, which only stands in a list or map here, is zero: lists have no
    /// other word for it.
    #[inline]
    fn write(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if let Self::Scalar(scalar) = self {
            return scalar.write(cells, row, out);
        }
        wire::push_counted(out, |out| {
            let null = cells.is_null(row);
            match (self, cells) {
                (Self::Wrapper(scalar), _) => {
                    if !null && !scalar.is_zero(cells, row) {
                        out.push((1 << 3 | scalar.wire_type()) as u8);
                        scalar.write(cells, row, out)?;
                    }
                }
                (Self::Decimal, Cells::Decimal(array, scale)) => {
                    push_decimal(if null { 0 } else { array.value(row) }, *scale, out);
                }
                (Self::Decimal, Cells::WideDecimal(array, scale)) => {
                    push_decimal(if null { i256::ZERO } else { array.value(row) }, *scale, out);
                }
                (Self::Date, Cells::Date(array)) => {
                    push_fields(civil(if null { 0 } else { array.value(row) }), out);
                }
                (Self::Time, Cells::Time(array)) if !null => {
                    let ms = i64::from(array.value(row));
                    let nanos = ms % 1000 * 1_000_000;
                    push_fields([ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, nanos], out);
                }
                (Self::Timestamp, Cells::Timestamp(array)) if !null => {
                    let ms = array.value(row);
                    push_fields([ms.div_euclid(1000), ms.rem_euclid(1000) * 1_000_000], out);
                }
                (Self::Message(message), Cells::Struct(_, columns)) if !null => {
                    message.write(columns, row, out)?;
                }
                (Self::Time | Self::Timestamp | Self::Message(_), _) if null => {}
                _ => unreachable!("writers follow the columns"),
            }
            Ok(())
        })
    }
}

/// Integers as the fields 1, 2 and so on; zeros are left out.
fn push_fields<const N: usize>(values: [i64; N], out: &mut Vec<u8>) {
    for (number, value) in (1u8..).zip(values) {
        if value != 0 {
            out.push(number << 3);
            wire::push_varint(value as u64, out);
        }
    }
}

/// A `confluent.type.Decimal`: as few bytes as hold the unscaled value, its digits, its scale.
fn push_decimal<N: Unscaled>(unscaled: N, scale: i8, out: &mut Vec<u8>) {
    out.push(1 << 3 | wire::LENGTH as u8);
    decimal::with_signed(unscaled, |bytes| wire::push_bytes(bytes, out));
    out.push(2 << 3);
    wire::push_varint(unscaled.digit_count().into(), out);
    if scale != 0 {
        out.push(3 << 3);
        wire::push_varint(i64::from(scale) as u64, out);
    }
}

/// Year, month and day of a count of days since the epoch.
fn civil(days: i32) -> [i64; 3] {
    let days = i64::from(days) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    [year, month, day_of_year - (153 * shifted + 2) / 5 + 1]
}
