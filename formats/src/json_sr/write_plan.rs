//! How columns become a document of one schema.

use arrow::datatypes::{DataType, Fields};

use crate::{
    FormatError,
    connect_schema::ConnectSchema,
    json::push_quoted,
    json_sr::types::{Field, Shape, Type, branch_name},
    type_name,
};

/// The whole document.
pub(crate) enum Root {
    Wrapped(Vec<Member>),
    Bare(Slot),
}

/// A value and what stands for NULL.
pub(crate) struct Slot {
    pub(crate) nullable: bool,
    pub(crate) write: Write,
}

pub(crate) enum Write {
    Plain,
    /// A decimal as the base64 text of its bytes.
    DecimalText,
    Array(Box<Slot>),
    Object(Box<Slot>),
    Entries(Box<Slot>),
    Struct(Vec<Member>),
    /// Branches of a union by the fields of their struct.
    Union(Vec<Slot>),
}

/// A property of an object.
pub(crate) struct Member {
    /// Such as `"ID":`.
    pub(crate) before: Vec<u8>,
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) value: Source,
}

/// Where a property comes from.
pub(crate) enum Source {
    Column(usize, Slot),
    /// No column: this text.
    Constant(String),
    /// No column and no value.
    Missing,
}

impl Root {
    pub(crate) fn new(ty: &Type, wrapped: bool, fields: &Fields) -> Result<Self, FormatError> {
        let root = match (&ty.shape, fields.first()) {
            (_, Some(only)) if !wrapped => slot(ty, only.data_type(), only.name()).map(Self::Bare),
            (Shape::Struct(properties), _) => members(properties, fields, "").map(Self::Wrapped),
            (other, _) => Err(format!(
                "columns are written as an object, and the schema is of type {}",
                other.connect().name()
            )),
        };
        root.map_err(FormatError::Schema)
    }
}

fn members(properties: &[Field], fields: &Fields, path: &str) -> Result<Vec<Member>, String> {
    if let Some(extra) =
        fields.iter().find(|field| !properties.iter().any(|property| property.name == *field.name()))
    {
        let names: Vec<&str> = properties.iter().map(|property| property.name.as_str()).collect();
        return Err(format!("the schema has no field `{path}{}`: it has {}", extra.name(), names.join(", ")));
    }
    let member = |property: &Field| {
        let mut before = Vec::new();
        push_quoted(&mut before, &property.name);
        before.push(b':');
        let column = fields.iter().position(|field| *field.name() == property.name);
        let value = match column {
            Some(column) => {
                let inside = format!("{path}{}", property.name);
                Source::Column(column, slot(&property.ty, fields[column].data_type(), &inside)?)
            }
            None => match &property.default {
                Some(default) => Source::Constant(default.clone()),
                None if property.ty.nullable => Source::Constant("null".into()),
                None => Source::Missing,
            },
        };
        Ok(Member { before, name: format!("{path}{}", property.name), required: property.required, value })
    };
    properties.iter().map(member).collect()
}

fn slot(ty: &Type, column: &DataType, path: &str) -> Result<Slot, String> {
    use ConnectSchema as Connect;

    let misfit = || {
        let (column, found) = (type_name(column), ty.shape.connect());
        format!("the field `{path}` is of type {column}, which is not written as {}", found.name())
    };
    let write = match (&ty.shape, column) {
        (Shape::Plain(connect), _) => {
            let fits = match column {
                DataType::Boolean => matches!(connect, Connect::Boolean),
                DataType::Int32 => matches!(
                    connect,
                    Connect::Int8
                        | Connect::Int16
                        | Connect::Int32
                        | Connect::Int64
                        | Connect::Float32
                        | Connect::Float64
                ),
                DataType::Int64 => matches!(connect, Connect::Int64 | Connect::Float32 | Connect::Float64),
                DataType::Float64 => matches!(connect, Connect::Float32 | Connect::Float64),
                DataType::Utf8 => matches!(connect, Connect::String),
                DataType::Binary => matches!(connect, Connect::Bytes),
                DataType::Date32 => matches!(connect, Connect::Date | Connect::Int32 | Connect::Int64),
                DataType::Time32(_) => matches!(connect, Connect::Time | Connect::Int32 | Connect::Int64),
                DataType::Timestamp(..) => matches!(connect, Connect::Timestamp | Connect::Int64),
                _ => false,
            };
            if fits { Write::Plain } else { return Err(misfit()) }
        }
        // More digits behind the point than the schema has would be lost.
        (Shape::Decimal { scale, text, .. }, DataType::Decimal128(_, own) | DataType::Decimal256(_, own))
            if own == scale || (!text && own < scale) =>
        {
            if *text {
                Write::DecimalText
            } else {
                Write::Plain
            }
        }
        (Shape::Array(item), DataType::List(field)) => {
            Write::Array(Box::new(slot(item, field.data_type(), &format!("{path}[]"))?))
        }
        (Shape::Object(value) | Shape::Entries(_, value), DataType::Map(entries, _)) => {
            let DataType::Struct(pair) = entries.data_type() else {
                unreachable!("map entries are {entries}")
            };
            let value = Box::new(slot(value, pair[1].data_type(), &format!("{path}[]"))?);
            match &ty.shape {
                Shape::Entries(key, _) if !matches!(key.shape, Shape::Plain(Connect::String)) => {
                    return Err(misfit());
                }
                Shape::Entries(..) => Write::Entries(value),
                _ => Write::Object(value),
            }
        }
        (Shape::Struct(properties), DataType::Struct(fields)) => {
            Write::Struct(members(properties, fields, &format!("{path}."))?)
        }
        (Shape::Union(types), DataType::Struct(fields)) => {
            let branch = |field: &arrow::datatypes::FieldRef| {
                let ty =
                    (0..types.len()).find(|index| branch_name(*index).eq_ignore_ascii_case(field.name()));
                slot(&types[ty.ok_or_else(misfit)?], field.data_type(), &format!("{path}.{}", field.name()))
            };
            Write::Union(fields.iter().map(branch).collect::<Result<_, _>>()?)
        }
        _ => return Err(misfit()),
    };
    Ok(Slot { nullable: ty.nullable, write })
}
