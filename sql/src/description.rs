//! What can be known of a stream or table from outside.

use millstream_formats::{FormatSpec, ProtobufNulls, Subject};

use crate::{
    ast::SourceKind,
    catalogue::{Column, Source, Windowing},
    types::SqlType,
};

/// A stream or table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDescription {
    /// Its name.
    pub name: String,
    /// Stream or table.
    pub kind: SourceKind,
    /// The topic that holds it.
    pub topic: String,
    /// Its columns: those of the key first.
    pub columns: Vec<ColumnDescription>,
    /// How keys are written.
    pub key_format: FormatDescription,
    /// How values are written.
    pub value_format: FormatDescription,
    /// How keys are windowed, if they are.
    pub window: Option<WindowDescription>,
    /// `SOURCE`: it can only be read.
    pub read_only: bool,
    /// The id of the query of its `CREATE .. AS SELECT`.
    pub query: Option<String>,
}

/// A column of a stream or table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
    /// Where it is in a record.
    pub place: ColumnPlace,
}

/// Where in a record a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnPlace {
    /// In the key.
    Key,
    /// In the value.
    Value,
    /// All headers.
    Headers,
    /// The last header of this name.
    Header(String),
}

/// How keys or values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// The format with its settings.
    pub spec: FormatSpec,
    /// Whether the statement said how a single column is written, or the format leaves a choice for keys.
    pub explicit_wrapping: bool,
    /// The subject of its schemas, for formats that keep them in a registry.
    pub subject: Option<String>,
    /// The name of the record or message that was asked for, or is made up for keys.
    pub full_name: Option<String>,
    /// The id of the schema that was asked for.
    pub schema_id: Option<i32>,
}

impl FormatDescription {
    fn new(spec: FormatSpec, explicit_wrapping: bool, subject: Option<&Subject>) -> Self {
        Self {
            spec,
            explicit_wrapping,
            subject: subject.map(|subject| subject.name.clone()),
            full_name: subject.and_then(|subject| subject.full_name.clone()),
            schema_id: subject.and_then(|subject| subject.schema_id),
        }
    }

    /// The settings of the format by ksqlDB's names.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = Vec::new();
        properties.extend(self.spec.delimiter.map(|delimiter| ("delimiter", delimiter.to_string())));
        properties.extend(self.full_name.clone().map(|name| ("fullSchemaName", name)));
        properties.extend(self.schema_id.map(|id| ("schemaId", id.to_string())));
        properties.extend(self.spec.unwrap_primitives.then(|| ("unwrapPrimitives", "true".to_owned())));
        let nulls = match self.spec.nulls {
            ProtobufNulls::Absent => None,
            ProtobufNulls::Optional => Some("optional"),
            ProtobufNulls::Wrapper => Some("wrapper"),
        };
        properties.extend(nulls.map(|nulls| ("nullableRepresentation", nulls.to_owned())));
        properties
    }
}

/// How keys are windowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowDescription {
    /// `TUMBLING`, `HOPPING` or `SESSION`.
    pub kind: &'static str,
    /// Length in ms; sessions have none.
    pub size_ms: Option<i64>,
}

impl SourceDescription {
    pub(crate) fn new(source: &Source) -> Self {
        let column = |column: &Column, place| ColumnDescription {
            name: column.name.clone(),
            ty: column.ty.clone(),
            place,
        };
        let keys = source.columns.key.iter().map(|key| column(key, ColumnPlace::Key));
        let values = source.columns.value.iter().map(|value| column(value, ColumnPlace::Value));
        let headers = source.columns.headers.iter().map(|header| {
            let place = header.header.clone().map_or(ColumnPlace::Headers, ColumnPlace::Header);
            column(&header.column, place)
        });
        let key = source.key_format.format;
        let key_choice = source.columns.key.len() == 1 && key.can_wrap() && key.can_unwrap();
        Self {
            name: source.name.clone(),
            kind: source.kind,
            topic: source.topic.clone(),
            columns: keys.chain(values).chain(headers).collect(),
            key_format: FormatDescription::new(source.key_format, key_choice, source.key_subject.as_ref()),
            value_format: FormatDescription::new(
                source.value_format,
                source.wraps_explicitly,
                source.value_subject.as_ref(),
            ),
            window: source.window.map(WindowDescription::new),
            read_only: source.read_only,
            query: source.query.clone(),
        }
    }
}

impl WindowDescription {
    fn new(window: Windowing) -> Self {
        Self { kind: window.name(), size_ms: window.size_ms() }
    }
}
