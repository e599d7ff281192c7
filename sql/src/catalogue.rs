//! What streams, tables and types exist.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::{Field, Fields};
use millstream_formats::{Decoder, Encoder, FormatError, FormatSpec, Subject};

use crate::{
    ast::{Ident, SourceKind, quoted},
    error::SqlError,
    types::{SqlType, StructField},
};

/// Names that no column may have: they are computed for every row.
pub(crate) const PSEUDO_COLUMNS: [&str; 5] =
    ["ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND"];

/// A declared or computed column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name; unique in its source.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
}

impl Column {
    /// A column of that name and type.
    pub(crate) fn new(name: impl Into<String>, ty: SqlType) -> Self {
        Self { name: name.into(), ty }
    }

    /// The Arrow field that holds it.
    pub(crate) fn field(&self) -> Field {
        Field::new(&self.name, self.ty.to_arrow(), true)
    }
}

/// Its name in backticks, and its type.
impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", quoted(&self.name), self.ty)
    }
}

/// A column that holds headers of the record: it can be read and not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderColumn {
    /// Its name, and its type: BYTES, or for all headers [`HeaderColumn::all_type`].
    pub column: Column,
    /// Whose last value it is; all headers without.
    pub header: Option<String>,
}

impl HeaderColumn {
    /// `ARRAY<STRUCT<KEY STRING, VALUE BYTES>>`
    pub(crate) fn all_type() -> SqlType {
        let field = |name: &str, ty| StructField { name: name.to_owned(), ty };
        let fields = vec![field("KEY", SqlType::String), field("VALUE", SqlType::Bytes)];
        SqlType::Array(Box::new(SqlType::Struct(fields)))
    }
}

/// The columns of a source, those of the record key first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Columns in the record key.
    pub key: Vec<Column>,
    /// Columns in the record value.
    pub value: Vec<Column>,
    /// Columns of the record's headers.
    pub headers: Vec<HeaderColumn>,
}

impl Columns {
    /// Columns of a key and a value.
    pub(crate) fn new(key: Vec<Column>, value: Vec<Column>) -> Self {
        Self { key, value, headers: Vec::new() }
    }

    /// Key columns, then value columns, then those of headers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(&self.value).chain(self.headers.iter().map(|header| &header.column))
    }

    /// The column of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Column> {
        self.iter().find(|column| column.name == name)
    }

    /// The key columns as Arrow fields.
    pub(crate) fn key_fields(&self) -> Fields {
        self.key.iter().map(Column::field).collect()
    }

    /// The value columns as Arrow fields.
    pub(crate) fn value_fields(&self) -> Fields {
        self.value.iter().map(Column::field).collect()
    }
}

/// All names in backticks: `` `ID` INTEGER KEY, `NAME` STRING ``.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.key.iter().map(|column| format!("{column} KEY"));
        let headers = self.headers.iter().map(|header| match &header.header {
            None => format!("{} HEADERS", header.column),
            Some(key) => format!("{} HEADER('{}')", header.column, key.replace('\'', "''")),
        });
        let columns: Vec<String> =
            keys.chain(self.value.iter().map(Column::to_string)).chain(headers).collect();
        f.write_str(&columns.join(", "))
    }
}

/// The column that a source takes its row time from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimestampColumn {
    /// The column: BIGINT, TIMESTAMP, or STRING with a format.
    pub column: String,
    /// Java `DateTimeFormatter` pattern of a STRING column.
    pub format: Option<String>,
}

/// How the keys of a source are windowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windowing {
    /// Windows of one size: 8 bytes of window start follow the key.
    Tumbling {
        /// Length of a window in ms.
        size_ms: i64,
    },
    /// The same, overlapping.
    Hopping {
        /// Length of a window in ms.
        size_ms: i64,
    },
    /// Windows of their own lengths: 8 bytes of window end and 8 of start follow the key.
    Session,
}

impl Windowing {
    /// Length of a window in ms; none for sessions.
    pub(crate) fn size_ms(self) -> Option<i64> {
        match self {
            Self::Tumbling { size_ms } | Self::Hopping { size_ms } => Some(size_ms),
            Self::Session => None,
        }
    }

    /// TUMBLING, HOPPING or SESSION.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumbling { .. } => "TUMBLING",
            Self::Hopping { .. } => "HOPPING",
            Self::Session => "SESSION",
        }
    }
}

/// A stream or table over a topic.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name.
    pub name: String,
    /// Stream or table.
    pub kind: SourceKind,
    /// Its columns.
    pub columns: Columns,
    /// The topic it reads and writes.
    pub topic: String,
    /// How keys are written.
    pub key_format: FormatSpec,
    /// The key format that what is made of this source inherits: its own, or what it named although it has no key.
    pub inherited_key_format: FormatSpec,
    /// How values are written.
    pub value_format: FormatSpec,
    /// Where the schemas of its keys are, if its format keeps them in a registry.
    pub key_subject: Option<Subject>,
    /// Where the schemas of its values are, if its format keeps them in a registry.
    pub value_subject: Option<Subject>,
    /// Whether WRAP_SINGLE_VALUE said how the one value column is written.
    pub wraps_explicitly: bool,
    /// Where row time comes from, if not from the record.
    pub timestamp: Option<TimestampColumn>,
    /// Whether and how its keys are windowed.
    pub window: Option<Windowing>,
    /// `SOURCE`: it can only be read.
    pub read_only: bool,
    /// The statement that made it.
    pub statement: String,
    /// The query of its `CREATE .. AS SELECT`.
    pub query: Option<String>,
}

impl Source {
    /// `stream` or `table`.
    pub(crate) fn kind_name(&self) -> &'static str {
        kind_name(self.kind)
    }

    /// Reads keys, all columns of them or those at these places.
    pub(crate) fn key_decoder(&self, projection: Option<&[usize]>) -> Result<Decoder, FormatError> {
        self.key_format.decoder(&self.columns.key_fields(), projection, self.key_subject.as_ref())
    }

    /// Reads values, all columns of them or those at these places.
    pub(crate) fn value_decoder(&self, projection: Option<&[usize]>) -> Result<Decoder, FormatError> {
        self.value_format.decoder(&self.columns.value_fields(), projection, self.value_subject.as_ref())
    }

    /// Writes keys.
    pub(crate) fn key_encoder(&self) -> Result<Encoder, FormatError> {
        self.key_format.encoder(&self.columns.key_fields(), self.key_subject.as_ref())
    }

    /// Writes values.
    pub(crate) fn value_encoder(&self) -> Result<Encoder, FormatError> {
        self.value_format.encoder(&self.columns.value_fields(), self.value_subject.as_ref())
    }
}

/// `stream` or `table`.
pub(crate) fn kind_name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "stream",
        SourceKind::Table => "table",
    }
}

/// All sources and custom types by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    sources: BTreeMap<String, Arc<Source>>,
    types: BTreeMap<String, SqlType>,
}

impl Catalogue {
    /// The source of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.get(name)
    }

    /// The source of that name, or an error that names the nearest.
    pub(crate) fn find(&self, name: &Ident) -> Result<&Arc<Source>, SqlError> {
        self.sources.get(&name.name).ok_or_else(|| {
            let names: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            let error = SqlError::invalid(format!("{} does not exist.", name.name)).at(name.span);
            if names.is_empty() {
                error.hint("no streams or tables exist: CREATE STREAM or CREATE TABLE makes one over a topic")
            } else {
                error.hint_nearest(&name.name, &names, "streams and tables")
            }
        })
    }

    /// All sources in the order of their names.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values()
    }

    /// Adds or replaces a source.
    pub(crate) fn put(&mut self, source: Source) -> Arc<Source> {
        let source = Arc::new(source);
        self.sources.insert(source.name.clone(), source.clone());
        source
    }

    /// Removes a source.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Source>> {
        self.sources.remove(name)
    }

    /// The custom type of that name.
    pub(crate) fn custom_type(&self, name: &str) -> Option<&SqlType> {
        self.types.get(name)
    }

    /// All custom types in the order of their names.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&String, &SqlType)> {
        self.types.iter()
    }

    /// Adds a custom type.
    pub(crate) fn put_type(&mut self, name: String, ty: SqlType) {
        self.types.insert(name, ty);
    }

    /// Removes a custom type; false if there was none.
    pub(crate) fn remove_type(&mut self, name: &str) -> bool {
        self.types.remove(name).is_some()
    }
}
