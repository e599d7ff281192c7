//! Bodies that go to a registry and come from it.

use serde::{Deserialize, Serialize};

use super::super::{
    Compatibility, Reference, RegisteredSchema, Registration, RegistryError, Schema, SchemaType,
    SubjectConfig,
};

/// A schema to register, look up or check.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaRequest<'a> {
    /// Left out for Avro: registries before 5.5 do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceBody>,
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
}

#[derive(Deserialize, Serialize)]
struct ReferenceBody {
    name: String,
    subject: String,
    version: i32,
}

/// What an id stands for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaBody {
    schema_type: Option<String>,
    references: Option<Vec<ReferenceBody>>,
    schema: String,
}

/// A version of a subject.
#[derive(Deserialize)]
pub(super) struct VersionBody {
    subject: String,
    version: i32,
    id: i32,
    #[serde(flatten)]
    schema: SchemaBody,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: i32,
}

/// Whether a schema is compatible.
#[derive(Deserialize)]
pub(super) struct Checked {
    is_compatible: bool,
    messages: Option<Vec<String>>,
}

/// A refusal.
#[derive(Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error_code: u32,
    pub(super) message: Option<String>,
}

impl<'a> From<&'a Schema> for SchemaRequest<'a> {
    fn from(schema: &'a Schema) -> Self {
        let references = schema.references.iter().cloned();
        Self {
            schema_type: (schema.schema_type != SchemaType::Avro).then(|| schema.schema_type.name()),
            references: references
                .map(|Reference { name, subject, version }| ReferenceBody { name, subject, version })
                .collect(),
            schema: &schema.text,
            id: None,
            version: None,
        }
    }
}

impl SchemaRequest<'_> {
    /// The same with what a schema had elsewhere.
    pub(super) fn with(self, how: Registration) -> Self {
        Self { id: how.id, version: how.version, ..self }
    }
}

/// Settings as they are set: the level has another name than where they are asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility_group: Option<String>,
}

/// Settings as they are answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigBody {
    compatibility_level: Option<String>,
    normalize: Option<bool>,
    alias: Option<String>,
    compatibility_group: Option<String>,
}

/// A mode.
#[derive(Deserialize, Serialize)]
pub(super) struct ModeBody {
    pub(super) mode: String,
}

impl From<SubjectConfig> for ConfigRequest {
    fn from(config: SubjectConfig) -> Self {
        let SubjectConfig { compatibility, normalize, alias, compatibility_group } = config;
        Self { compatibility: compatibility.map(Compatibility::name), normalize, alias, compatibility_group }
    }
}

impl ConfigBody {
    pub(super) fn config(self) -> Result<SubjectConfig, RegistryError> {
        let Self { compatibility_level, normalize, alias, compatibility_group } = self;
        let compatibility = compatibility_level.map(|level| level.parse()).transpose()?;
        Ok(SubjectConfig { compatibility, normalize, alias, compatibility_group })
    }
}

impl SchemaBody {
    pub(super) fn schema(self) -> Result<Schema, RegistryError> {
        let schema_type = match self.schema_type.as_deref() {
            None => SchemaType::Avro,
            Some(name) => name.parse()?,
        };
        let references = self.references.unwrap_or_default().into_iter();
        let references =
            references.map(|ReferenceBody { name, subject, version }| Reference { name, subject, version });
        Ok(Schema { schema_type, text: self.schema, references: references.collect() })
    }
}

impl VersionBody {
    pub(super) fn registered(self) -> Result<RegisteredSchema, RegistryError> {
        let Self { subject, version, id, schema } = self;
        Ok(RegisteredSchema { subject, version, id, schema: schema.schema()? })
    }
}

impl Checked {
    /// Never empty if it is incompatible, also where the registry gives no reasons.
    pub(super) fn incompatibilities(self) -> Vec<String> {
        let messages = self.messages.unwrap_or_default();
        match (self.is_compatible, messages.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec!["the registry says that it is incompatible, but not why".to_owned()],
            (false, false) => messages,
        }
    }
}
