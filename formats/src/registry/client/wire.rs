//! Bodies that go to a registry and come from it.

use serde::{Deserialize, Serialize};

use super::super::{Reference, RegisteredSchema, RegistryError, Schema, SchemaType};

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
        }
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
