//! What to do with each value of a written schema: put it in a column, or pass over it.

use arrow::datatypes::{DataType, Fields};

use crate::avro::{
    connect::{branch_name, entry, feeds},
    schema::{AvroSchema, Kind, Meaning, NodeId, Place},
    skip::Skips,
};

/// How payloads of one schema become rows of some columns.
pub(crate) struct Plan {
    pub(crate) root: Root,
    pub(crate) skips: Skips,
}

/// The whole payload.
pub(crate) enum Root {
    /// Its fields are the columns.
    Wrapped { place: Place, members: Members },
    /// It is the only column.
    Bare(Slot),
    /// It is the only column, and nobody asked for it.
    Unwanted(NodeId),
    /// Its type does not feed the columns.
    Refused(String),
}

/// A value in its place. A type that does not feed its column is refused when such a value comes, be it NULL.
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is read as. Together with the column it is read into this is one conversion.
pub(crate) enum Value {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Text(Text),
    Decimal {
        /// The size of a fixed; bytes say theirs.
        fixed: Option<usize>,
        scale: i8,
    },
    Array(Box<Slot>),
    Map(Box<Slot>, NodeId),
    Entries(Box<Entries>),
    Struct(Members),
    Refused(String),
}

/// What becomes text.
pub(crate) enum Text {
    String,
    Symbols(Box<[Box<str>]>),
    Boolean,
    Int,
    Long,
    Float,
    Double,
}

/// The fields of a record or the branches of a union, and the columns they feed.
pub(crate) enum Members {
    Record {
        steps: Box<[Step]>,
        /// Columns that no field feeds.
        absent: Box<[usize]>,
    },
    Union {
        branches: Box<[Step]>,
        /// The branch of null.
        null: Option<usize>,
        columns: usize,
    },
}

/// One field of a record or branch of a union.
pub(crate) enum Step {
    Read { column: usize, name: Box<str>, slot: Slot },
    Skip(NodeId),
}

/// A map that is written as an array of records.
pub(crate) struct Entries {
    pub(crate) place: Place,
    pub(crate) record: NodeId,
    pub(crate) key_first: bool,
    pub(crate) key: KeySlot,
    pub(crate) value: Slot,
}

/// The key of such a record.
pub(crate) struct KeySlot {
    pub(crate) place: Place,
    pub(crate) text: Result<Text, String>,
}

impl Plan {
    /// A plan for the columns at `picked`.
    pub(crate) fn new(schema: &AvroSchema, wrapped: bool, fields: &Fields, picked: &[usize]) -> Self {
        let compiler = Compiler { schema };
        let (place, node) = schema.place(schema.root());
        let root = if !wrapped {
            match picked.first() {
                Some(only) => Root::Bare(compiler.slot(schema.root(), fields[*only].data_type(), "")),
                None => Root::Unwanted(schema.root()),
            }
        } else {
            let columns: Vec<Column<'_>> = picked.iter().map(|index| Column::new(&fields[*index])).collect();
            match feeds(schema, node, &DataType::Struct(Fields::empty()), "") {
                Ok(()) => Root::Wrapped { place, members: compiler.members(node, &columns, "") },
                Err(message) => Root::Refused(message),
            }
        };
        Self { root, skips: Skips::new(schema) }
    }
}

/// A column with the name that it has in Avro.
struct Column<'a> {
    name: String,
    data_type: &'a DataType,
}

impl<'a> Column<'a> {
    fn new(field: &'a arrow::datatypes::FieldRef) -> Self {
        Self { name: avro_name(field.name()), data_type: field.data_type() }
    }
}

/// The name of a column's field: points separate namespaces in Avro.
pub(crate) fn avro_name(column: &str) -> String {
    column.replace('.', "_")
}

/// The recursion is that of the columns' types.
struct Compiler<'a> {
    schema: &'a AvroSchema,
}

impl Compiler<'_> {
    fn slot(&self, id: NodeId, column: &DataType, path: &str) -> Slot {
        let (place, node) = self.schema.place(id);
        let value = match feeds(self.schema, node, column, path) {
            Ok(()) => self.value(node, column, path),
            Err(message) => Value::Refused(message),
        };
        Slot { place, value }
    }

    /// A type that feeds the column.
    fn value(&self, id: NodeId, column: &DataType, path: &str) -> Value {
        let node = self.schema.node(id);
        if *column == DataType::Utf8 {
            return match self.text(id) {
                Some(text) => Value::Text(text),
                None => Value::Refused(format!("no text for path: {path}")),
            };
        }
        match (&node.kind, column) {
            (Kind::Boolean, _) => Value::Boolean,
            (Kind::Int, _) => Value::Int,
            (Kind::Long, _) => Value::Long,
            (Kind::Float, _) => Value::Float,
            (Kind::Double, _) => Value::Double,
            (Kind::Bytes | Kind::Fixed(_), _) => {
                let fixed = if let Kind::Fixed(size) = node.kind { Some(size) } else { None };
                match (node.meaning, fixed) {
                    // A scale that no DECIMAL has does not feed one.
                    (Meaning::Decimal { scale, .. }, fixed) => Value::Decimal { fixed, scale: scale as i8 },
                    (_, Some(size)) => Value::Fixed(size),
                    (_, None) => Value::Bytes,
                }
            }
            (Kind::Array(item), DataType::List(field)) => {
                Value::Array(Box::new(self.slot(*item, field.data_type(), &format!("{path}->ARRAY"))))
            }
            (Kind::Array(item), DataType::Map(entries, _)) => self.entries(*item, value_type(entries), path),
            (Kind::Map(value), DataType::Map(entries, _)) => {
                let slot = self.slot(*value, value_type(entries), &format!("{path}->MAP_VAL"));
                Value::Map(Box::new(slot), *value)
            }
            (_, DataType::Struct(fields)) => {
                let columns: Vec<Column<'_>> = fields.iter().map(Column::new).collect();
                Value::Struct(self.members(id, &columns, path))
            }
            _ => Value::Refused(format!("no value for path: {path}")),
        }
    }

    fn text(&self, id: NodeId) -> Option<Text> {
        Some(match &self.schema.node(id).kind {
            Kind::String => Text::String,
            Kind::Enum(symbols) => Text::Symbols(symbols.as_slice().into()),
            Kind::Boolean => Text::Boolean,
            Kind::Int => Text::Int,
            Kind::Long => Text::Long,
            Kind::Float => Text::Float,
            Kind::Double => Text::Double,
            _ => return None,
        })
    }

    fn entries(&self, item: NodeId, value_type: &DataType, path: &str) -> Value {
        let (place, record) = self.schema.place(item);
        let Some((key, value)) = entry(self.schema, item) else {
            return Value::Refused(format!("no map for path: {path}"));
        };
        let key_first = match &self.schema.node(record).kind {
            Kind::Record(fields) => fields.first().is_some_and(|field| field.name == "key"),
            _ => true,
        };
        let (key_place, key) = self.schema.place(key);
        let text = feeds(self.schema, key, &DataType::Utf8, &format!("{path}->MAP_KEY"))
            .and_then(|()| self.text(key).ok_or_else(|| format!("no text for path: {path}->MAP_KEY")));
        let key = KeySlot { place: key_place, text };
        let value = self.slot(value, value_type, &format!("{path}->MAP_VAL"));
        Value::Entries(Box::new(Entries { place, record, key_first, key, value }))
    }

    /// A record or a union of several types.
    fn members(&self, id: NodeId, columns: &[Column<'_>], path: &str) -> Members {
        match &self.schema.node(id).kind {
            Kind::Union(branches) => {
                let null = self.schema.null_branch(id);
                let named = branches.iter().map(|branch| (branch_name(self.schema, *branch), *branch));
                let branches = self.steps(named, columns, path);
                Members::Union { branches, null, columns: columns.len() }
            }
            Kind::Record(fields) => {
                let named = fields.iter().map(|field| (field.name.as_str(), field.node));
                let steps = self.steps(named, columns, path);
                let absent = (0..columns.len()).filter(|column| !is_fed(&steps, *column)).collect();
                Members::Record { steps, absent }
            }
            _ => Members::Record { steps: Box::default(), absent: (0..columns.len()).collect() },
        }
    }

    fn steps<'n>(
        &self,
        members: impl Iterator<Item = (&'n str, NodeId)>,
        columns: &[Column<'_>],
        path: &str,
    ) -> Box<[Step]> {
        let members: Vec<(Option<usize>, NodeId)> =
            members.map(|(name, node)| (column_of(name, columns), node)).collect();
        let step = |(index, (column, node)): (usize, &(Option<usize>, NodeId))| {
            // Of fields that feed the same column the last one counts.
            let later = members[index + 1..].iter().any(|(other, _)| other == column);
            match column.filter(|_| !later) {
                None => Step::Skip(*node),
                Some(column) => {
                    let Column { name, data_type } = &columns[column];
                    let slot = self.slot(*node, data_type, &format!("{path}->{name}"));
                    Step::Read { column, name: name.as_str().into(), slot }
                }
            }
        };
        members.iter().enumerate().map(step).collect()
    }
}

/// The column that a field feeds: the one with its name, else the one with its name in upper case.
fn column_of(name: &str, columns: &[Column<'_>]) -> Option<usize> {
    let position = |name: &str| columns.iter().position(|column| column.name == name);
    position(name).or_else(|| position(&name.to_uppercase()))
}

fn is_fed(steps: &[Step], wanted: usize) -> bool {
    steps.iter().any(|step| matches!(step, Step::Read { column, .. } if *column == wanted))
}

fn value_type(entries: &arrow::datatypes::FieldRef) -> &DataType {
    match entries.data_type() {
        DataType::Struct(pair) => pair[1].data_type(),
        other => unreachable!("map entries are {other}"),
    }
}
