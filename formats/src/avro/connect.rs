//! Avro types as Kafka Connect sees them, as its Avro converter does.

use arrow::datatypes::DataType;

use crate::{
    FormatError, ResolvedSchema,
    avro::schema::{AvroSchema, Kind, Meaning, NodeId},
    connect_schema::{ConnectField, ConnectSchema},
    decimal::column_precision,
};

/// Levels of types within types that are translated.
const DEPTH_MAX: usize = 64;

/// Types that a schema may have once every use of a name is written out.
const TYPES_MAX: usize = 10_000;

/// The Connect schema of a registered one. A type inside itself is a part that SQL has no type for.
pub(crate) fn infer(schema: &ResolvedSchema) -> Result<ConnectSchema, FormatError> {
    let schema = AvroSchema::parse(schema)?;
    let mut translation = Translation { schema: &schema, around: Vec::new(), left: TYPES_MAX };
    translation.translate(schema.root())
}

/// The full name of the record that a schema is; `None` if it is something else.
pub(crate) fn record_name(schema: &ResolvedSchema) -> Result<Option<String>, FormatError> {
    let schema = AvroSchema::parse(schema)?;
    let root = schema.node(schema.root());
    Ok(match root.kind {
        Kind::Record(_) => root.name.as_deref().map(str::to_owned),
        _ => None,
    })
}

/// The name of a branch in the struct that a union of several types becomes: a type's name without its
/// namespace.
pub(crate) fn branch_name(schema: &AvroSchema, branch: NodeId) -> &str {
    let node = schema.node(branch);
    match &node.kind {
        Kind::Null => "null",
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        Kind::Long => "long",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Bytes => "bytes",
        Kind::String => "string",
        Kind::Array(_) => "array",
        Kind::Map(_) => "map",
        Kind::Union(_) => "union",
        Kind::Fixed(_) | Kind::Enum(_) | Kind::Record(_) => {
            let full = node.name.as_deref().unwrap_or_default();
            full.rsplit_once('.').map_or(full, |(_, name)| name)
        }
    }
}

/// The key and value of a record whose array is a map.
pub(crate) fn entry(schema: &AvroSchema, item: NodeId) -> Option<(NodeId, NodeId)> {
    let node = schema.node(schema.place(item).1);
    let Kind::Record(fields) = &node.kind else { return None };
    if node.meaning != Meaning::MapEntry || fields.len() != 2 {
        return None;
    }
    let field = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.node);
    Some((field("key")?, field("value")?))
}

/// Whether values of a type feed a column: see [`ConnectSchema::feeds`]. Dates and times also feed columns of
/// the plain numbers that they are.
pub(crate) fn feeds(schema: &AvroSchema, node: NodeId, column: &DataType, path: &str) -> Result<(), String> {
    let seen = match shallow(schema, node) {
        ConnectSchema::Date | ConnectSchema::Time if is_plain(column) => ConnectSchema::Int32,
        ConnectSchema::Timestamp if is_plain(column) => ConnectSchema::Int64,
        other => other,
    };
    seen.feeds(column, path)
}

fn is_plain(column: &DataType) -> bool {
    matches!(column, DataType::Int32 | DataType::Int64 | DataType::Utf8)
}

/// The outermost type; what is inside is unsupported.
fn shallow(schema: &AvroSchema, id: NodeId) -> ConnectSchema {
    let inside = || Box::new(ConnectSchema::Unsupported("nested"));
    let node = schema.node(id);
    match (&node.kind, node.meaning) {
        (_, Meaning::Decimal { precision, scale }) => decimal(precision, scale),
        (_, Meaning::Date) => ConnectSchema::Date,
        (_, Meaning::TimeMillis) => ConnectSchema::Time,
        (_, Meaning::TimestampMillis) => ConnectSchema::Timestamp,
        (_, Meaning::Int8) => ConnectSchema::Int8,
        (_, Meaning::Int16) => ConnectSchema::Int16,
        (Kind::Null, _) => ConnectSchema::Unsupported("null"),
        (Kind::Boolean, _) => ConnectSchema::Boolean,
        (Kind::Int, _) => ConnectSchema::Int32,
        (Kind::Long, _) => ConnectSchema::Int64,
        (Kind::Float, _) => ConnectSchema::Float32,
        (Kind::Double, _) => ConnectSchema::Float64,
        (Kind::Bytes | Kind::Fixed(_), _) => ConnectSchema::Bytes,
        (Kind::String | Kind::Enum(_), _) => ConnectSchema::String,
        (Kind::Array(item), _) if entry(schema, *item).is_some() => ConnectSchema::Map(inside(), inside()),
        (Kind::Array(_), _) => ConnectSchema::Array(inside()),
        (Kind::Map(_), _) => ConnectSchema::Map(inside(), inside()),
        (Kind::Union(_) | Kind::Record(_), _) => ConnectSchema::Struct(Vec::new()),
    }
}

fn decimal(precision: Option<u64>, scale: i64) -> ConnectSchema {
    let precision = column_precision(precision);
    match i8::try_from(scale) {
        Ok(scale) if (0..=precision as i8).contains(&scale) => ConnectSchema::Decimal { precision, scale },
        _ => ConnectSchema::Unsupported("decimal of that scale"),
    }
}

struct Translation<'a> {
    schema: &'a AvroSchema,
    /// The types around the one being translated.
    around: Vec<NodeId>,
    /// How many types may still come.
    left: usize,
}

impl Translation<'_> {
    fn translate(&mut self, id: NodeId) -> Result<ConnectSchema, FormatError> {
        let (_, id) = self.schema.place(id);
        if self.around.contains(&id) {
            return Ok(ConnectSchema::Unsupported("recursive record"));
        }
        if self.left == 0 || self.around.len() >= DEPTH_MAX {
            return Err(FormatError::Schema(format!(
                "the Avro schema cannot be used: it is nested deeper than {DEPTH_MAX} levels or has more than \
                 {TYPES_MAX} types"
            )));
        }
        self.left -= 1;
        self.around.push(id);
        let translated = self.translate_inside(id);
        self.around.pop();
        translated
    }

    fn translate_inside(&mut self, id: NodeId) -> Result<ConnectSchema, FormatError> {
        let schema = self.schema;
        Ok(match &schema.node(id).kind {
            Kind::Array(item) => match entry(schema, *item) {
                Some((key, value)) => {
                    ConnectSchema::Map(Box::new(self.translate(key)?), Box::new(self.translate(value)?))
                }
                None => ConnectSchema::Array(Box::new(self.translate(*item)?)),
            },
            Kind::Map(value) => {
                ConnectSchema::Map(Box::new(ConnectSchema::String), Box::new(self.translate(*value)?))
            }
            Kind::Record(fields) => {
                let fields = fields.iter().map(|field| {
                    Ok(ConnectField { name: field.name.clone(), schema: self.translate(field.node)? })
                });
                ConnectSchema::Struct(fields.collect::<Result<_, FormatError>>()?)
            }
            Kind::Union(branches) => {
                let mut fields: Vec<ConnectField> = Vec::new();
                for branch in branches {
                    if matches!(schema.node(*branch).kind, Kind::Null) {
                        continue;
                    }
                    let name = branch_name(schema, *branch).to_owned();
                    if fields.iter().any(|field| field.name == name) {
                        return Err(FormatError::Schema(format!(
                            "the Avro schema cannot be used: several types of a union are called {name}"
                        )));
                    }
                    fields.push(ConnectField { name, schema: self.translate(*branch)? });
                }
                ConnectSchema::Struct(fields)
            }
            _ => shallow(schema, id),
        })
    }
}
