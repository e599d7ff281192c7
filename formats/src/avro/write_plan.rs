//! How rows are written by a schema: which column feeds a field, and what stands where there is none.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Fields};

use crate::{
    DECIMAL_PRECISION_MAX, FormatError,
    avro::{
        connect::{branch_name, entry},
        default,
        input::push_long,
        read_plan::avro_name,
        schema::{AvroSchema, Field, Kind, Meaning, NodeId, Place},
    },
    type_name,
};

/// A value in its place.
pub(crate) struct Slot {
    /// Stands before a value that is not NULL: its branch.
    pub(crate) branch: Option<u8>,
    pub(crate) null: Null,
    pub(crate) write: Write,
}

/// What is written for NULL.
pub(crate) enum Null {
    /// The null branch, or the default of a field.
    Bytes(Box<[u8]>),
    /// Nothing can be.
    Refused(String),
}

/// What a cell is written as.
pub(crate) enum Write {
    Boolean,
    /// An INT, DATE or TIME, or a BIGINT or TIMESTAMP: ints and longs are written alike.
    Number,
    Float,
    Double,
    String,
    Symbols(BTreeMap<Box<str>, i64>),
    Bytes,
    Fixed(usize),
    Decimal {
        /// The size of a fixed.
        fixed: Option<usize>,
        scale: i8,
    },
    Array(Box<Slot>),
    Map(Box<Slot>),
    Entries(Box<Entries>),
    Struct(Box<[Member]>),
    Branches(Box<Branches>),
}

/// A map that is written as an array of records.
pub(crate) struct Entries {
    /// Stands before an entry.
    pub(crate) branch: Option<u8>,
    pub(crate) key_first: bool,
    /// Stands before a key.
    pub(crate) key_branch: Option<u8>,
    pub(crate) value: Slot,
}

/// A field of a record.
pub(crate) enum Member {
    Column(usize, Box<str>, Slot),
    /// A field without a column.
    Constant(Box<[u8]>),
    /// A field without a column and without a default: no row can be written.
    Missing(String),
}

/// A union of several types: the first field of the struct that is not NULL is written.
pub(crate) struct Branches {
    /// Fields of the struct, and their places in the union.
    pub(crate) columns: Vec<(usize, i64, Slot)>,
    pub(crate) null: Null,
}

/// How whole rows are written.
pub(crate) enum Root {
    Wrapped { branch: Option<u8>, write: Write },
    Bare(Slot),
}

impl Root {
    /// A plan for rows of these columns.
    pub(crate) fn new(schema: &AvroSchema, wrapped: bool, fields: &Fields) -> Result<Self, FormatError> {
        let compiler = Compiler { schema };
        if !wrapped {
            return compiler.slot(schema.root(), None, fields[0].data_type(), "").map(Self::Bare);
        }
        let (place, node) = schema.place(schema.root());
        let write = compiler.structure(node, fields, "")?;
        Ok(Self::Wrapped { branch: branch_byte(place), write })
    }
}

/// The recursion is that of the columns' types.
struct Compiler<'a> {
    schema: &'a AvroSchema,
}

impl Compiler<'_> {
    /// A value of a field, or of no field, in its place.
    fn slot(
        &self,
        id: NodeId,
        field: Option<&Field>,
        column: &DataType,
        path: &str,
    ) -> Result<Slot, FormatError> {
        let (place, node) = self.schema.place(id);
        let write = self.write(node, column, path)?;
        let null = self.null(place, node, field, path)?;
        Ok(Slot { branch: branch_byte(place), null, write })
    }

    /// As Connect does: NULL takes the default of its field, even where null is allowed.
    fn null(
        &self,
        place: Place,
        node: NodeId,
        field: Option<&Field>,
        path: &str,
    ) -> Result<Null, FormatError> {
        if let Some(Field { default: Some(value), node, name, .. }) = field
            && !value.is_null()
        {
            return self.default(*node, name, value).map(Null::Bytes);
        }
        let null = match place {
            Place::Branch { null, .. } => null,
            Place::Bare => self.schema.null_branch(node),
        };
        if let Some(null) = null {
            return Ok(null_of(null));
        }
        let named = match path.rsplit_once("->") {
            Some((_, name)) => format!("field: \"{name}\""),
            None => "value".to_owned(),
        };
        let ty = branch_name(self.schema, node);
        Ok(Null::Refused(format!("Invalid value: null used for required {named}, schema type: {ty}")))
    }

    fn default(&self, node: NodeId, name: &str, value: &serde_json::Value) -> Result<Box<[u8]>, FormatError> {
        default::encode(self.schema, node, value)
            .map_err(|why| FormatError::Schema(format!("the default of field {name} cannot be used: {why}")))
    }

    fn write(&self, id: NodeId, column: &DataType, path: &str) -> Result<Write, FormatError> {
        let node = self.schema.node(id);
        Ok(match (&node.kind, node.meaning, column) {
            (Kind::Boolean, _, DataType::Boolean) => Write::Boolean,
            (Kind::Int | Kind::Long, _, DataType::Int32) => Write::Number,
            (Kind::Int, Meaning::Plain | Meaning::Date, DataType::Date32) => Write::Number,
            (Kind::Int, Meaning::Plain | Meaning::TimeMillis, DataType::Time32(_)) => Write::Number,
            (Kind::Long, _, DataType::Int64) => Write::Number,
            (Kind::Long, _, DataType::Timestamp(..)) => Write::Number,
            (Kind::Float, _, DataType::Float64) => Write::Float,
            (Kind::Double, _, DataType::Float64) => Write::Double,
            (Kind::String, _, DataType::Utf8) => Write::String,
            (Kind::Enum(symbols), _, DataType::Utf8) => {
                Write::Symbols(symbols.iter().cloned().zip(0..).collect())
            }
            (
                Kind::Bytes,
                Meaning::Decimal { scale, .. },
                DataType::Decimal128(..) | DataType::Decimal256(..),
            ) => Write::Decimal { fixed: None, scale: self.scale(scale, path)? },
            (
                Kind::Fixed(size),
                Meaning::Decimal { scale, .. },
                DataType::Decimal128(..) | DataType::Decimal256(..),
            ) => Write::Decimal { fixed: Some(*size), scale: self.scale(scale, path)? },
            (Kind::Bytes, Meaning::Plain, DataType::Binary) => Write::Bytes,
            (Kind::Fixed(size), Meaning::Plain, DataType::Binary) => Write::Fixed(*size),
            (Kind::Array(item), _, DataType::List(field)) => {
                let path = format!("{path}->ARRAY");
                Write::Array(Box::new(self.slot(*item, None, field.data_type(), &path)?))
            }
            (Kind::Array(item), _, DataType::Map(entries, _)) => {
                return self.entries(*item, value_type(entries), path);
            }
            (Kind::Map(value), _, DataType::Map(entries, _)) => {
                let path = format!("{path}->MAP_VAL");
                Write::Map(Box::new(self.slot(*value, None, value_type(entries), &path)?))
            }
            (Kind::Record(_) | Kind::Union(_), _, DataType::Struct(fields)) => {
                return self.structure(id, fields, path);
            }
            _ => return Err(self.refused(id, &type_name(column), path)),
        })
    }

    fn refused(&self, id: NodeId, column: &str, path: &str) -> FormatError {
        let ty = branch_name(self.schema, id);
        FormatError::Schema(format!("Cannot serialize type {column} as Avro's {ty} for path: {path}"))
    }

    fn scale(&self, scale: i64, path: &str) -> Result<i8, FormatError> {
        i8::try_from(scale).ok().filter(|scale| (0..=DECIMAL_PRECISION_MAX as i8).contains(scale)).ok_or_else(
            || FormatError::Schema(format!("Cannot serialize DECIMAL with scale {scale} for path: {path}")),
        )
    }

    fn entries(&self, item: NodeId, value_type: &DataType, path: &str) -> Result<Write, FormatError> {
        let (place, record) = self.schema.place(item);
        let Some((key, value)) = entry(self.schema, item) else {
            return Err(self.refused(item, "MAP", path));
        };
        let (key_place, key) = self.schema.place(key);
        if !matches!(self.schema.node(key).kind, Kind::String) {
            return Err(self.refused(key, "STRING", &format!("{path}->MAP_KEY")));
        }
        let fields = match &self.schema.node(record).kind {
            Kind::Record(fields) => fields.as_slice(),
            _ => &[],
        };
        let value_field = fields.iter().find(|field| field.name == "value");
        Ok(Write::Entries(Box::new(Entries {
            branch: branch_byte(place),
            key_first: fields.first().is_some_and(|field| field.name == "key"),
            key_branch: branch_byte(key_place),
            value: self.slot(value, value_field, value_type, &format!("{path}->MAP_VAL"))?,
        })))
    }

    /// A record or a union of several types, from columns.
    fn structure(&self, id: NodeId, columns: &Fields, path: &str) -> Result<Write, FormatError> {
        let position = |name: &str| columns.iter().position(|column| avro_name(column.name()) == name);
        match &self.schema.node(id).kind {
            Kind::Record(fields) => {
                let member = |field| self.member(field, columns, position, path);
                Ok(Write::Struct(fields.iter().map(member).collect::<Result<_, _>>()?))
            }
            Kind::Union(branches) => {
                let mut used = Vec::new();
                for (index, branch) in (0i64..).zip(branches) {
                    let name = branch_name(self.schema, *branch);
                    if matches!(self.schema.node(*branch).kind, Kind::Null) {
                        continue;
                    }
                    if let Some(column) = position(name) {
                        let path = format!("{path}->{name}");
                        let slot = self.slot(*branch, None, columns[column].data_type(), &path)?;
                        used.push((column, index, slot));
                    }
                }
                let refused = || Null::Refused("no branch of a union has a value".into());
                let null = self.schema.null_branch(id).map_or_else(refused, null_of);
                Ok(Write::Branches(Box::new(Branches { columns: used, null })))
            }
            _ => Err(self.refused(id, "STRUCT", path)),
        }
    }

    fn member(
        &self,
        field: &Field,
        columns: &Fields,
        position: impl Fn(&str) -> Option<usize>,
        path: &str,
    ) -> Result<Member, FormatError> {
        let Field { name, node, default } = field;
        if let Some(column) = position(name) {
            let path = format!("{path}->{name}");
            let slot = self.slot(*node, Some(field), columns[column].data_type(), &path)?;
            return Ok(Member::Column(column, name.as_str().into(), slot));
        }
        if let Some(default) = default {
            return self.default(*node, name, default).map(Member::Constant);
        }
        let null = default::encode(self.schema, *node, &serde_json::Value::Null);
        Ok(null.map_or_else(
            |_| {
                Member::Missing(format!(
                    "Missing default value for required Avro field: [{name}]. This field appears in Avro \
                     schema in Schema Registry"
                ))
            },
            Member::Constant,
        ))
    }
}

/// The null of a union, which is this branch.
fn null_of(branch: usize) -> Null {
    let mut bytes = Vec::new();
    push_long(&mut bytes, branch as i64);
    Null::Bytes(bytes.into())
}

fn branch_byte(place: Place) -> Option<u8> {
    match place {
        Place::Bare => None,
        Place::Branch { value, .. } => Some(index_byte(value)),
    }
}

/// The index of a branch as Avro writes it. A [`Place`] is in a union of two.
fn index_byte(index: usize) -> u8 {
    (index * 2) as u8
}

fn value_type(entries: &arrow::datatypes::FieldRef) -> &DataType {
    match entries.data_type() {
        DataType::Struct(pair) => pair[1].data_type(),
        other => unreachable!("map entries are {other}"),
    }
}
