//! Schemas as users register them.

use std::{fmt, str::FromStr};

use super::RegistryError;

/// The language of a schema. The registry's API calls them `AVRO`, `JSON` and `PROTOBUF`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaType {
    /// Apache Avro, in JSON.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// A `.proto` file.
    Protobuf,
}

/// The text of a schema and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub text: String,
    /// Other schemas that the text names.
    pub references: Vec<Reference>,
}

/// A name in a schema and the version of a subject in which it is defined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The name as the schema writes it: a full name in Avro, an import path in Protobuf, a `$ref` in JSON Schema.
    pub name: String,
    /// Where the definition is registered.
    pub subject: String,
    /// Which version of it.
    pub version: i32,
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The subject.
    pub subject: String,
    /// Counted from 1 in the subject.
    pub version: i32,
    /// Counted from 1 in the registry.
    pub id: i32,
    /// The schema.
    pub schema: Schema,
}

/// A schema with all that it refers to, directly or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedSchema {
    /// The schema itself.
    pub schema: Schema,
    /// Names and schemas, each after those that it needs.
    pub references: Vec<(String, Schema)>,
}

impl SchemaType {
    /// The name in the registry's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SchemaType {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<Self, RegistryError> {
        [Self::Avro, Self::Json, Self::Protobuf]
            .into_iter()
            .find(|schema_type| schema_type.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                RegistryError::invalid_schema(format!(
                    "Invalid schema type {name}: valid types are AVRO, JSON and PROTOBUF"
                ))
            })
    }
}

impl Schema {
    /// A schema that refers to no others.
    pub fn new(schema_type: SchemaType, text: impl Into<String>) -> Self {
        Self { schema_type, text: text.into(), references: Vec::new() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (subject {}, version {})", self.name, self.subject, self.version)
    }
}
