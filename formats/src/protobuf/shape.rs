//! What a field of a message is to Kafka Connect, and with that to SQL. As `ProtobufData` of Confluent's
//! converter maps them.

use prost_reflect::{FieldDescriptor, Kind, MapKey, MessageDescriptor, OneofDescriptor};

use super::schema::{Proto, field_name};
use crate::{
    FormatError, FormatSpec, ProtobufNulls, ResolvedSchema,
    connect_schema::{ConnectField, ConnectSchema},
    decimal::column_precision,
};

/// A schema whose messages lead to more fields than this, each counted once per path, is refused.
const FIELDS_MAX: usize = 20_000;

/// What a field holds.
pub(super) enum Shape {
    Scalar(Kind),
    /// A message of `google/protobuf/wrappers.proto`, which is a scalar that may be NULL.
    Wrapper(Kind),
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    Time,
    Timestamp,
    Message(MessageDescriptor),
    List(Box<Shape>),
    /// A repeated message of a key and a value.
    Map {
        key: FieldDescriptor,
        value: FieldDescriptor,
    },
    Group,
}

/// A field of a message as Connect sees it: `oneof`s are structs in front of the other fields.
pub(super) enum Member {
    Field(FieldDescriptor),
    Oneof(OneofDescriptor),
}

impl Member {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Field(field) => field_name(field).to_owned(),
            Self::Oneof(oneof) => {
                let position = oneof.path().last().copied().unwrap_or_default();
                format!("{}_{position}", oneof.name())
            }
        }
    }
}

/// The members of a message in Connect's order.
pub(super) fn members(message: &MessageDescriptor) -> Vec<Member> {
    let real = |oneof: &OneofDescriptor| !oneof.is_synthetic();
    let fields = declared(message).filter(|field| !field.containing_oneof().as_ref().is_some_and(real));
    message.oneofs().filter(real).map(Member::Oneof).chain(fields.map(Member::Field)).collect()
}

/// Fields in the order of the text, not of their numbers.
pub(super) fn declared(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> {
    message.descriptor_proto().field.iter().filter_map(|field| message.get_field(field.number() as u32))
}

impl Shape {
    /// The shape of a field; wrappers are primitives if `unwrap`.
    pub(super) fn new(field: &FieldDescriptor, unwrap: bool) -> Self {
        if field.is_list() || field.is_map() {
            if let Some((key, value)) = entry(field)
                && !value.is_list()
            {
                return Self::Map { key, value };
            }
            return Self::List(Box::new(Self::single(field, unwrap)));
        }
        Self::single(field, unwrap)
    }

    /// The shape of one item of a repeated field.
    fn single(field: &FieldDescriptor, unwrap: bool) -> Self {
        let message = match field.kind() {
            Kind::Message(_) if field.is_group() => return Self::Group,
            Kind::Message(message) => message,
            scalar => return Self::Scalar(scalar),
        };
        match message.full_name() {
            "confluent.type.Decimal" => {
                let number = |name| parameter(field, name).and_then(|text| text.parse::<u64>().ok());
                let precision = column_precision(number("precision"));
                let scale = number("scale").unwrap_or(0).min(precision.into()) as i8;
                Self::Decimal { precision, scale }
            }
            "google.type.Date" => Self::Date,
            "google.type.TimeOfDay" => Self::Time,
            "google.protobuf.Timestamp" => Self::Timestamp,
            name => match wrapped(name) {
                Some(kind) if unwrap => Self::Wrapper(kind),
                _ => Self::Message(message),
            },
        }
    }

    /// Connect's schema without what is nested in it.
    pub(super) fn connect(&self, field: &FieldDescriptor) -> ConnectSchema {
        let nested = || ConnectSchema::Struct(Vec::new());
        match self {
            Self::Scalar(kind) | Self::Wrapper(kind) => scalar(kind, field),
            Self::Decimal { precision, scale } => {
                ConnectSchema::Decimal { precision: *precision, scale: *scale }
            }
            Self::Date => ConnectSchema::Date,
            Self::Time => ConnectSchema::Time,
            Self::Timestamp => ConnectSchema::Timestamp,
            Self::Message(_) => nested(),
            Self::List(_) => ConnectSchema::Array(Box::new(nested())),
            Self::Map { .. } => ConnectSchema::Map(Box::new(nested()), Box::new(nested())),
            Self::Group => ConnectSchema::Unsupported("group"),
        }
    }
}

/// Key and value of a repeated message that is a map: a `map` of the language, or a message called `..Entry`.
pub(super) fn entry(field: &FieldDescriptor) -> Option<(FieldDescriptor, FieldDescriptor)> {
    let Kind::Message(message) = field.kind() else { return None };
    let mut fields = declared(&message);
    let (key, value) = (fields.next()?, fields.next()?);
    let is_entry = fields.next().is_none()
        && message.name().ends_with("Entry")
        && (field_name(&key), field_name(&value)) == ("key", "value")
        && !key.is_list()
        && (field.is_list() || field.is_map());
    is_entry.then_some((key, value))
}

/// What a wrapper message wraps.
fn wrapped(message: &str) -> Option<Kind> {
    Some(match message.strip_prefix("google.protobuf.")? {
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int64Value" => Kind::Int64,
        "UInt64Value" => Kind::Uint64,
        "Int32Value" => Kind::Int32,
        "UInt32Value" => Kind::Uint32,
        "BoolValue" => Kind::Bool,
        "StringValue" => Kind::String,
        "BytesValue" => Kind::Bytes,
        _ => return None,
    })
}

fn scalar(kind: &Kind, field: &FieldDescriptor) -> ConnectSchema {
    match kind {
        Kind::Bool => ConnectSchema::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => match parameter(field, "connect.type").as_deref() {
            Some("int8") => ConnectSchema::Int8,
            Some("int16") => ConnectSchema::Int16,
            _ => ConnectSchema::Int32,
        },
        // The unsigned ones do not fit 32 bits, and wrap beyond 64.
        Kind::Uint32
        | Kind::Fixed32
        | Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64
        | Kind::Uint64
        | Kind::Fixed64 => ConnectSchema::Int64,
        Kind::Float => ConnectSchema::Float32,
        Kind::Double => ConnectSchema::Float64,
        Kind::String | Kind::Enum(_) => ConnectSchema::String,
        Kind::Bytes => ConnectSchema::Bytes,
        Kind::Message(_) => ConnectSchema::Unsupported("message"),
    }
}

/// A parameter in the option `(confluent.field_meta)` of a field.
fn parameter(field: &FieldDescriptor, name: &str) -> Option<String> {
    let extension = field.parent_pool().get_extension_by_name("confluent.field_meta")?;
    let options = field.options();
    let meta = options.get_extension(&extension);
    let parameters = meta.as_message()?.get_field_by_name("params")?;
    Some(parameters.as_map()?.get(&MapKey::String(name.to_owned()))?.as_str()?.to_owned())
}

/// Whether the columns see wrapper messages as primitives.
pub(super) fn unwraps(spec: &FormatSpec) -> bool {
    spec.unwrap_primitives || spec.nulls == ProtobufNulls::Wrapper
}

/// The schema that columns are inferred from.
pub(crate) fn infer(
    spec: &FormatSpec,
    schema: &ResolvedSchema,
    full_name: Option<&str>,
) -> Result<ConnectSchema, FormatError> {
    let proto = Proto::compile(schema)?;
    let definitions = proto.definitions();
    if full_name.is_none() && definitions.len() > 1 {
        return Err(FormatError::SeveralDefinitions { names: definitions });
    }
    let message = proto.message(full_name)?;
    Inference { unwrap: unwraps(spec), left: FIELDS_MAX, open: Vec::new() }.message(&message)
}

/// The full name of the message that rows are: the only one, or the one asked for.
pub(crate) fn message_name(schema: &ResolvedSchema, full_name: Option<&str>) -> Result<String, FormatError> {
    let proto = Proto::compile(schema)?;
    Ok(proto.message(full_name)?.full_name().to_owned())
}

struct Inference {
    unwrap: bool,
    left: usize,
    /// Messages that lead to the one being looked at.
    open: Vec<String>,
}

impl Inference {
    fn message(&mut self, message: &MessageDescriptor) -> Result<ConnectSchema, FormatError> {
        if self.open.iter().any(|name| name == message.full_name()) {
            return Ok(ConnectSchema::Unsupported("recursive message"));
        }
        self.open.push(message.full_name().to_owned());
        let mut fields = Vec::new();
        for member in members(message) {
            let schema = match &member {
                Member::Field(field) => self.field(field)?,
                Member::Oneof(oneof) => {
                    let mut choices = Vec::new();
                    for field in oneof.fields() {
                        let schema = self.field(&field)?;
                        choices.push(ConnectField { name: field_name(&field).to_owned(), schema });
                    }
                    ConnectSchema::Struct(choices)
                }
            };
            fields.push(ConnectField { name: member.name(), schema });
        }
        self.open.pop();
        Ok(ConnectSchema::Struct(fields))
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<ConnectSchema, FormatError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            FormatError::Schema(format!("the schema leads to more than {FIELDS_MAX} fields"))
        })?;
        let shape = Shape::new(field, self.unwrap);
        self.shape(&shape, field)
    }

    fn shape(&mut self, shape: &Shape, field: &FieldDescriptor) -> Result<ConnectSchema, FormatError> {
        Ok(match shape {
            Shape::Message(message) => self.message(message)?,
            Shape::List(item) => ConnectSchema::Array(Box::new(self.shape(item, field)?)),
            Shape::Map { key, value } => {
                ConnectSchema::Map(Box::new(self.field(key)?), Box::new(self.field(value)?))
            }
            _ => shape.connect(field),
        })
    }
}
