//! Which column each part of a document feeds.

use arrow::datatypes::{DataType, Fields};

use crate::{
    connect_schema::ConnectSchema,
    json::Names,
    json_sr::types::{Field, Shape, Type, branch_name},
};

/// How payloads of one schema become rows of some columns.
pub(crate) enum Plan {
    /// An object whose properties are the columns.
    Wrapped(Members),
    /// The only column.
    Bare(Value),
    /// The only column, and nobody asked for it.
    Unwanted,
    /// The schema's type does not feed the columns.
    Refused(String),
}

/// What a value is read as. Together with the column it is read into this is one conversion. A type that does
/// not feed its column is refused when a value is met, be it null.
pub(crate) enum Value {
    Boolean,
    Integer(Range),
    Double,
    Float,
    Text(Text),
    Bytes,
    /// A number, or the base64 text of bytes with this scale.
    Decimal(i8),
    Array(Box<Value>),
    Map(Text, Box<Value>),
    Struct(Members),
    Union(Vec<Branch>),
    Refused(String),
}

/// The whole numbers of a type.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) name: &'static str,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// What becomes text.
#[derive(Clone, Copy)]
pub(crate) enum Text {
    String,
    Boolean,
    Integer(Range),
    Double,
    Float,
}

/// The properties of an object and the columns that they feed.
pub(crate) struct Members {
    /// Of all properties.
    pub(crate) names: Names,
    /// By property.
    pub(crate) members: Vec<Option<Member>>,
    /// By column: the object that filled it last.
    pub(crate) filled_by: Vec<u64>,
    /// Counts objects.
    pub(crate) count: u64,
    /// Why a property cannot feed its column, for the first of them.
    pub(crate) refused: Option<String>,
}

pub(crate) struct Member {
    pub(crate) column: usize,
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// One type of a union.
pub(crate) struct Branch {
    pub(crate) takes: Takes,
    pub(crate) column: Option<usize>,
    pub(crate) value: Value,
}

/// The kind of JSON that a type of a union takes.
pub(crate) enum Takes {
    Boolean,
    Integer,
    Number,
    String,
    Array,
    /// Objects; the names that it knows.
    Object(Vec<String>),
    Nothing,
}

impl Plan {
    pub(crate) fn new(ty: &Type, wrapped: bool, fields: &Fields, picked: &[usize]) -> Self {
        let columns: Vec<(&str, &DataType)> = picked.iter().map(|index| column(&fields[*index])).collect();
        if !wrapped {
            return match columns.first() {
                Some((_, data_type)) => Self::Bare(Value::new(ty, data_type, "")),
                None => Self::Unwanted,
            };
        }
        match &ty.shape {
            Shape::Struct(properties) => Self::Wrapped(Members::new(properties, &columns, "")),
            other => match other.connect().feeds(&DataType::Struct(Fields::empty()), "") {
                Err(message) => Self::Refused(message),
                Ok(()) => Self::Refused("Cannot deserialize a union of types as a record of columns".into()),
            },
        }
    }
}

fn column(field: &arrow::datatypes::FieldRef) -> (&str, &DataType) {
    (field.name().as_str(), field.data_type())
}

impl Value {
    fn new(ty: &Type, column: &DataType, path: &str) -> Self {
        let connect = seen(&ty.shape, column);
        if let Err(message) = connect.feeds(column, path) {
            return Self::Refused(message);
        }
        if *column == DataType::Utf8 {
            return text(&connect)
                .map_or_else(|| Self::Refused(format!("no text for path: {path}")), Self::Text);
        }
        match (&ty.shape, column) {
            (Shape::Decimal { scale, .. }, _) => Self::Decimal(*scale),
            (Shape::Array(item), DataType::List(field)) => {
                Self::Array(Box::new(Self::new(item, field.data_type(), &format!("{path}->ARRAY"))))
            }
            (Shape::Object(value), DataType::Map(entries, _)) => {
                Self::Map(Text::String, Box::new(Self::map_value(value, entries.data_type(), path)))
            }
            (Shape::Entries(key, value), DataType::Map(entries, _)) => {
                let path_of_key = format!("{path}->MAP_KEY");
                let key = key.shape.connect();
                match key.feeds(&DataType::Utf8, &path_of_key).map(|()| text(&key)) {
                    Ok(Some(key)) => {
                        Self::Map(key, Box::new(Self::map_value(value, entries.data_type(), path)))
                    }
                    Ok(None) => Self::Refused(format!("no text for path: {path_of_key}")),
                    Err(message) => Self::Refused(message),
                }
            }
            (Shape::Struct(properties), DataType::Struct(fields)) => {
                let columns: Vec<_> = fields.iter().map(self::column).collect();
                Self::Struct(Members::new(properties, &columns, path))
            }
            (Shape::Union(types), DataType::Struct(fields)) => Self::Union(branches(types, fields, path)),
            _ => match connect {
                ConnectSchema::Boolean => Self::Boolean,
                ConnectSchema::Float32 => Self::Float,
                ConnectSchema::Float64 => Self::Double,
                ConnectSchema::Bytes => Self::Bytes,
                other => range(&other)
                    .map_or_else(|| Self::Refused(format!("no value for path: {path}")), Self::Integer),
            },
        }
    }

    fn map_value(value: &Type, entries: &DataType, path: &str) -> Self {
        match entries {
            DataType::Struct(pair) => Self::new(value, pair[1].data_type(), &format!("{path}->MAP_VAL")),
            other => unreachable!("map entries are {other}"),
        }
    }
}

/// The outermost type as the column sees it: dates and times also feed columns of the plain numbers that they
/// are.
fn seen(shape: &Shape, column: &DataType) -> ConnectSchema {
    let inside = || Box::new(ConnectSchema::Unsupported("nested"));
    let plain = matches!(column, DataType::Int32 | DataType::Int64 | DataType::Utf8);
    match shape {
        Shape::Plain(ConnectSchema::Date | ConnectSchema::Time) if plain => ConnectSchema::Int32,
        Shape::Plain(ConnectSchema::Timestamp) if plain => ConnectSchema::Int64,
        Shape::Array(_) => ConnectSchema::Array(inside()),
        Shape::Object(_) | Shape::Entries(..) => ConnectSchema::Map(inside(), inside()),
        Shape::Struct(_) | Shape::Union(_) => ConnectSchema::Struct(Vec::new()),
        Shape::Plain(_) | Shape::Decimal { .. } | Shape::Unsupported(_) => shape.connect(),
    }
}

fn text(schema: &ConnectSchema) -> Option<Text> {
    Some(match schema {
        ConnectSchema::String => Text::String,
        ConnectSchema::Boolean => Text::Boolean,
        ConnectSchema::Float32 => Text::Float,
        ConnectSchema::Float64 => Text::Double,
        other => Text::Integer(range(other)?),
    })
}

fn range(schema: &ConnectSchema) -> Option<Range> {
    let (min, max) = match schema {
        ConnectSchema::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ConnectSchema::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ConnectSchema::Int32 | ConnectSchema::Date | ConnectSchema::Time => {
            (i32::MIN.into(), i32::MAX.into())
        }
        ConnectSchema::Int64 | ConnectSchema::Timestamp => (i64::MIN, i64::MAX),
        _ => return None,
    };
    Some(Range { name: schema.name(), min, max })
}

impl Members {
    fn new(properties: &[Field], columns: &[(&str, &DataType)], path: &str) -> Self {
        let mut members: Vec<Option<Member>> = properties.iter().map(|_| None).collect();
        for (place, (name, data_type)) in columns.iter().enumerate() {
            let names: Vec<&str> = properties.iter().map(|property| property.name.as_str()).collect();
            let columns: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let Some(found) = feeding(&names, &columns, name) else { continue };
            let value = Value::new(&properties[found].ty, data_type, &format!("{path}->{name}"));
            members[found] = Some(Member { column: place, name: properties[found].name.clone(), value });
        }
        let refused = members.iter().flatten().find_map(|member| match &member.value {
            Value::Refused(message) => Some(message.clone()),
            _ => None,
        });
        Self {
            names: Names::new(properties.iter().map(|property| property.name.as_str())),
            members,
            filled_by: vec![0; columns.len()],
            count: 0,
            refused,
        }
    }
}

/// The name that feeds a column: its own, or the last that is its own in upper case and no other column's.
fn feeding(names: &[&str], columns: &[&str], column: &str) -> Option<usize> {
    names
        .iter()
        .position(|name| *name == column)
        .or_else(|| names.iter().rposition(|name| !columns.contains(name) && name.to_uppercase() == column))
}

fn branches(types: &[Type], fields: &Fields, path: &str) -> Vec<Branch> {
    let names: Vec<String> = (0..types.len()).map(branch_name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let columns: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let fed: Vec<Option<usize>> = columns.iter().map(|column| feeding(&names, &columns, column)).collect();
    let branch = |(index, ty): (usize, &Type)| {
        let column = fed.iter().position(|found| *found == Some(index));
        let value = match column {
            Some(column) => {
                let name = fields[column].name();
                Value::new(ty, fields[column].data_type(), &format!("{path}->{name}"))
            }
            None => Value::Boolean,
        };
        Branch { takes: takes(&ty.shape), column, value }
    };
    types.iter().enumerate().map(branch).collect()
}

fn takes(shape: &Shape) -> Takes {
    match shape {
        Shape::Plain(ConnectSchema::Boolean) => Takes::Boolean,
        Shape::Plain(ConnectSchema::Float32 | ConnectSchema::Float64) => Takes::Number,
        Shape::Plain(ConnectSchema::String | ConnectSchema::Bytes) => Takes::String,
        Shape::Plain(_) => Takes::Integer,
        Shape::Decimal { text, .. } => {
            if *text {
                Takes::String
            } else {
                Takes::Number
            }
        }
        Shape::Array(_) | Shape::Entries(..) => Takes::Array,
        Shape::Object(_) => Takes::Object(Vec::new()),
        Shape::Struct(fields) => Takes::Object(fields.iter().map(|field| field.name.clone()).collect()),
        Shape::Union(_) | Shape::Unsupported(_) => Takes::Nothing,
    }
}
