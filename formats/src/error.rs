//! What can be wrong with a format, its settings or the columns given to it.

use arrow::datatypes::DataType;

use crate::{DECIMAL_PRECISION_MAX, Format, RegistryError, type_name};

/// Why a format, a setting or a list of columns was refused. Bad payloads are not errors of this kind: they
/// are [`RowError`](crate::RowError)s of one batch.
///
/// The texts of the capability errors are ksqlDB's, so that its users and its test cases know them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No format has this name.
    #[error("Unknown format: {name}. Valid formats are: {}", Format::names())]
    UnknownFormat {
        /// The name as written.
        name: String,
    },
    /// The format cannot hold this type, at the top or nested.
    #[error("The '{format}' format does not support type '{data_type}'")]
    UnsupportedType {
        /// The format asked.
        format: Format,
        /// SQL name of the type.
        data_type: String,
    },
    /// A DECIMAL of more digits than one holds, at the top or nested.
    #[error("{data_type} has too many digits: a DECIMAL holds {DECIMAL_PRECISION_MAX} at most")]
    Precision {
        /// SQL name of the type.
        data_type: String,
    },
    /// A MAP whose keys are not STRING.
    #[error("{}", string_keys_only(*format))]
    MapKey {
        /// The format asked.
        format: Format,
    },
    /// A nested field that forbids NULL: every SQL type is nullable at every depth.
    #[error("field '{field}' inside {data_type} must be nullable: declare it so")]
    NotNullable {
        /// Name of the nested field.
        field: String,
        /// SQL name of the type around it.
        data_type: String,
    },
    /// The format holds at most one column.
    #[error("The '{format}' format only supports a single field. Got: [{fields}]")]
    SingleFieldOnly {
        /// The format asked.
        format: Format,
        /// The columns, as `NAME TYPE, ...`.
        fields: String,
    },
    /// The format holds no columns at all.
    #[error("The '{format}' format can only be used when no columns are defined. Got: [{fields}]")]
    NoFieldsAllowed {
        /// The format asked.
        format: Format,
        /// The columns, as `NAME TYPE, ...`.
        fields: String,
    },
    /// The format cannot wrap a value in a record with named fields, or cannot leave one out.
    #[error("Format '{format}' does not support 'WRAP_SINGLE_VALUE' set to '{wrapped}'.")]
    Wrapping {
        /// The format asked.
        format: Format,
        /// What it was asked for.
        wrapped: bool,
    },
    /// Unwrapping needs exactly one column.
    #[error("'WRAP_SINGLE_VALUE' is only valid for single-field value schemas. Got: [{fields}]")]
    CannotUnwrap {
        /// The columns, as `NAME TYPE, ...`.
        fields: String,
    },
    /// A delimiter that is not one ASCII character.
    #[error("Invalid delimiter value: '{value}'. Delimiter must be a single character or TAB,SPACE")]
    InvalidDelimiter {
        /// The value as written.
        value: String,
    },
    /// A setting that belongs to another format.
    #[error("{format} does not support the following configs: [{config}]")]
    UnsupportedConfig {
        /// The format asked.
        format: Format,
        /// Name of the setting.
        config: &'static str,
    },
    /// A projection that names a column the fields do not have.
    #[error(
        "column {index} is projected but only {columns} columns are declared: give positions below {columns}"
    )]
    Projection {
        /// The position asked for.
        index: usize,
        /// Number of declared columns.
        columns: usize,
    },
    /// The encoder was given other columns than it was made for.
    #[error(
        "the encoder was made for {expected} but was given {found}: pass the columns in the declared order"
    )]
    Columns {
        /// What the encoder was made for.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// A format that keeps its schemas in a registry, and no registry.
    #[error("The '{format}' format needs a schema registry: give it a subject")]
    NoRegistry {
        /// The format asked.
        format: Format,
    },
    /// Columns were asked of a format that has no schemas to take them from.
    #[error("The '{format}' format does not support schema inference: declare the columns")]
    NoInference {
        /// The format asked.
        format: Format,
    },
    /// A schema without fields, where a record was expected.
    #[error(
        "Schema returned from schema registry is anonymous type. To use this schema with ksqlDB, set \
         'WRAP_SINGLE_VALUE=false' in the WITH clause properties."
    )]
    AnonymousType,
    /// No field of a schema has a type that SQL has.
    #[error("Schema does not include any columns with types that ksqlDB supports.")]
    NoSupportedColumns,
    /// A schema that defines several messages, and no name that picks one.
    #[error(
        "The schema has multiple schema definitions.\n\n{}\n\nPlease specify a schema full name in the WITH clause \
         using KEY_SCHEMA_FULL_NAME or VALUE_SCHEMA_FULL_NAME",
        bullets(names)
    )]
    SeveralDefinitions {
        /// Full names of what it defines.
        names: Vec<String>,
    },
    /// A schema that the format cannot work with; says which part and why.
    #[error("{0}")]
    Schema(String),
    /// A refusal of the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// ksqlDB's words, which each schema language has of its own.
fn string_keys_only(format: Format) -> String {
    match format {
        Format::Avro => "Avro only supports MAPs with STRING keys".to_owned(),
        Format::JsonSr => "JSON only supports MAP types with STRING keys".to_owned(),
        Format::Protobuf | Format::ProtobufNosr => {
            "PROTOBUF format only supports MAP types with STRING keys".to_owned()
        }
        format => format!("{format} only supports MAP types with STRING keys"),
    }
}

impl FormatError {
    pub(crate) fn unsupported(format: Format, data_type: &DataType) -> Self {
        Self::UnsupportedType { format, data_type: type_name(data_type) }
    }
}

fn bullets(names: &[String]) -> String {
    names.iter().map(|name| format!("- {name}")).collect::<Vec<_>>().join("\n")
}
