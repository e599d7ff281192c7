//! An Avro schema with its names resolved, and with those of its attributes that Kafka Connect knows.
//!
//! The Avro library drops attributes of primitive types (`connect.type`, `logicalType` in another case), so
//! the text is read here. Rules of validity that reading and writing do not need are left to the registry.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{FormatError, ResolvedSchema, SchemaType};

/// A schema as a list of nodes that refer to each other, so that types may be recursive.
#[derive(Debug)]
pub(crate) struct AvroSchema {
    nodes: Vec<Node>,
    root: NodeId,
}

/// Place of a node in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// A type where it is defined.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// The full name of a record, enum or fixed.
    pub(crate) name: Option<String>,
    pub(crate) meaning: Meaning,
}

/// Avro's types.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<Box<str>>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) node: NodeId,
    pub(crate) default: Option<Value>,
}

/// What attributes make of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Plain,
    Int8,
    Int16,
    Date,
    TimeMillis,
    TimestampMillis,
    /// Of bytes or fixed. The precision is absent or as written.
    Decimal {
        precision: Option<u64>,
        scale: i64,
    },
    /// A record of a key and a value: an array of these is a map.
    MapEntry,
}

/// How a value stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Bare,
    /// As a branch of a union that has no other branch but perhaps null.
    Branch {
        value: usize,
        null: Option<usize>,
    },
}

/// Types that one schema may have, those of its references included.
const NODES_MAX: usize = 100_000;

impl AvroSchema {
    /// Reads a registered schema.
    pub(crate) fn parse(schema: &ResolvedSchema) -> Result<Self, FormatError> {
        let mut parser = Parser::default();
        let texts = schema.references.iter().map(|(_, schema)| schema).chain([&schema.schema]);
        let mut root = NodeId(0);
        for schema in texts {
            if schema.schema_type != SchemaType::Avro {
                return Err(refused(format!("part of it is registered as {}", schema.schema_type)));
            }
            let value: Value =
                serde_json::from_str(&schema.text).map_err(|error| refused(error.to_string()))?;
            root = parser.read(&value, "")?;
        }
        Ok(Self { nodes: parser.nodes, root })
    }

    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Every node, at its place.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How a value of this type stands in its place, and its type without the union around it. A union of
    /// several types besides null stays one.
    pub(crate) fn place(&self, id: NodeId) -> (Place, NodeId) {
        let Kind::Union(branches) = &self.node(id).kind else { return (Place::Bare, id) };
        let null = self.null_branch(id);
        match (0..branches.len()).find(|index| Some(*index) != null) {
            Some(value) if branches.len() == 1 + usize::from(null.is_some()) => {
                (Place::Branch { value, null }, branches[value])
            }
            _ => (Place::Bare, id),
        }
    }

    /// The branch of null, if this is a union that has one.
    pub(crate) fn null_branch(&self, id: NodeId) -> Option<usize> {
        let Kind::Union(branches) = &self.node(id).kind else { return None };
        branches.iter().position(|branch| matches!(self.node(*branch).kind, Kind::Null))
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

#[cold]
fn refused(why: impl std::fmt::Display) -> FormatError {
    FormatError::Schema(format!("the Avro schema cannot be used: {why}"))
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    names: BTreeMap<String, NodeId>,
}

impl Parser {
    /// Reads a type inside a namespace. As deep as the JSON is, which its parser bounds.
    fn read(&mut self, value: &Value, namespace: &str) -> Result<NodeId, FormatError> {
        match value {
            Value::String(name) => self.named(name, &Map::new(), namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| {
                    let id = self.read(branch, namespace)?;
                    if matches!(self.nodes[id.0].kind, Kind::Union(_)) {
                        return Err(refused("a union stands directly in a union"));
                    }
                    Ok(id)
                });
                let branches = branches.collect::<Result<_, _>>()?;
                self.add(Kind::Union(branches), None, Meaning::Plain)
            }
            Value::Object(attributes) => match attributes.get("type") {
                Some(Value::String(name)) => self.named(name, attributes, namespace),
                Some(inner @ (Value::Object(_) | Value::Array(_))) => self.read(inner, namespace),
                _ => Err(refused(format!("no \"type\" in {value}"))),
            },
            _ => Err(refused(format!("{value} is no type"))),
        }
    }

    fn add(&mut self, kind: Kind, name: Option<String>, meaning: Meaning) -> Result<NodeId, FormatError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(refused(format!("it has more than {NODES_MAX} types")));
        }
        self.nodes.push(Node { kind, name, meaning });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Reads a type by its name: a primitive, a complex type with its attributes, or one defined before.
    fn named(
        &mut self,
        name: &str,
        attributes: &Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, FormatError> {
        let kind = match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "int" => Kind::Int,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "bytes" => Kind::Bytes,
            "string" => Kind::String,
            "array" => Kind::Array(self.read(member(attributes, "items")?, namespace)?),
            "map" => Kind::Map(self.read(member(attributes, "values")?, namespace)?),
            "record" | "error" => return self.record(attributes, namespace),
            "enum" => {
                let symbols = member(attributes, "symbols")?.as_array();
                let symbols = symbols.and_then(|symbols| {
                    symbols.iter().map(|symbol| symbol.as_str().map(Box::from)).collect::<Option<_>>()
                });
                let symbols = symbols.ok_or_else(|| refused("the symbols of an enum are a list of texts"))?;
                return self.define(Kind::Enum(symbols), attributes, namespace);
            }
            "fixed" => {
                let size = member(attributes, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| refused("the size of a fixed is a whole number"))?;
                return self.define(Kind::Fixed(size), attributes, namespace);
            }
            _ => return self.find(name, namespace),
        };
        let meaning = meaning(&kind, attributes);
        self.add(kind, None, meaning)
    }

    fn find(&self, name: &str, namespace: &str) -> Result<NodeId, FormatError> {
        let qualified = qualified(name, namespace);
        let found = self.names.get(&qualified).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| refused(format!("type {qualified} is not defined before it is used")))
    }

    fn define(
        &mut self,
        kind: Kind,
        attributes: &Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, FormatError> {
        let name = full_name(attributes, namespace)?;
        let mut meaning = meaning(&kind, attributes);
        let internal = attributes.get("connect.internal.type").and_then(Value::as_str);
        let is_record = matches!(kind, Kind::Record(_));
        if is_record && (internal == Some("MapEntry") || name == "io.confluent.connect.avro.MapEntry") {
            meaning = Meaning::MapEntry;
        }
        let id = self.add(kind, Some(name.clone()), meaning)?;
        if self.names.insert(name.clone(), id).is_some() {
            return Err(refused(format!("Can't redefine: {name}")));
        }
        Ok(id)
    }

    fn record(&mut self, attributes: &Map<String, Value>, namespace: &str) -> Result<NodeId, FormatError> {
        // The name is known inside.
        let id = self.define(Kind::Record(Vec::new()), attributes, namespace)?;
        let full = self.nodes[id.0].name.clone().unwrap_or_default();
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let listed = member(attributes, "fields")?.as_array();
        let listed = listed.ok_or_else(|| refused(format!("the fields of {full} are no list")))?;
        let mut fields = Vec::with_capacity(listed.len());
        for field in listed {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| refused(format!("a field of {full} has no name")))?;
            let ty =
                field.get("type").ok_or_else(|| refused(format!("field {name} of {full} has no type")))?;
            // Attributes such as logicalType belong to the type, but some writers put them on the field: they
            // mean nothing there.
            let node = self.read(ty, inner)?;
            fields.push(Field { name: name.to_owned(), node, default: field.get("default").cloned() });
        }
        self.nodes[id.0].kind = Kind::Record(fields);
        Ok(id)
    }
}

fn member<'a>(attributes: &'a Map<String, Value>, name: &str) -> Result<&'a Value, FormatError> {
    attributes.get(name).ok_or_else(|| {
        let ty = attributes.get("type").cloned().unwrap_or_default();
        refused(format!("a type {ty} has no \"{name}\""))
    })
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn full_name(attributes: &Map<String, Value>, namespace: &str) -> Result<String, FormatError> {
    let name = member(attributes, "name")?.as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| refused("the name of a type is no text"))?;
    let namespace = attributes.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Ok(qualified(name, namespace))
}

fn meaning(kind: &Kind, attributes: &Map<String, Value>) -> Meaning {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str);
    let logical = text("logicalType");
    let is = |name: &str| logical.is_some_and(|logical| logical.eq_ignore_ascii_case(name));
    match kind {
        Kind::Int if is("date") => Meaning::Date,
        Kind::Int if is("time-millis") => Meaning::TimeMillis,
        Kind::Int if logical.is_none() => match text("connect.type") {
            Some("int8") => Meaning::Int8,
            Some("int16") => Meaning::Int16,
            _ => Meaning::Plain,
        },
        Kind::Long if is("timestamp-millis") => Meaning::TimestampMillis,
        Kind::Bytes | Kind::Fixed(_) if is("decimal") => Meaning::Decimal {
            precision: attributes.get("precision").and_then(Value::as_u64),
            scale: attributes.get("scale").and_then(Value::as_i64).unwrap_or(0),
        },
        _ => Meaning::Plain,
    }
}
