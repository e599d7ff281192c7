//! Bodies of the REST API.

use serde::{Deserialize, Serialize};

use super::super::{
    Compatibility, Mode, Reference, RegisteredSchema, RegistryError, Schema, SchemaType, SubjectConfig,
};

/// A schema that is registered, looked up or checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaIn {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<ReferenceIn>>,
    pub(super) id: Option<i32>,
    pub(super) version: Option<i32>,
    metadata: Option<serde_json::Value>,
    rule_set: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ReferenceIn {
    name: String,
    subject: String,
    version: i32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigIn {
    compatibility: Option<String>,
    normalize: Option<bool>,
    alias: Option<String>,
    compatibility_group: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModeIn {
    pub(super) mode: String,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    error_code: u32,
    message: &'a str,
}

/// A version of a subject.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionOut<'a> {
    subject: &'a str,
    version: i32,
    id: i32,
    #[serde(flatten)]
    schema: SchemaOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

/// What an id stands for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaOut<'a> {
    /// Left out for Avro.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceOut<'a>>,
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_id: Option<i32>,
}

#[derive(Serialize)]
struct ReferenceOut<'a> {
    name: &'a str,
    subject: &'a str,
    version: i32,
}

#[derive(Serialize)]
pub(super) struct IdOut {
    pub(super) id: i32,
}

#[derive(Serialize)]
pub(super) struct SubjectVersionOut<'a> {
    pub(super) subject: &'a str,
    pub(super) version: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility_level: Option<&'static str>,
    /// The level as a change of settings is answered with; only one of the two is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility_group: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ModeOut {
    mode: &'static str,
}

#[derive(Serialize)]
pub(super) struct CompatibilityOut {
    is_compatible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<String>>,
}

impl SchemaIn {
    /// The schema. Fails with 42201 if there is none or its type is unknown, with 422 for rules, which nobody would keep.
    pub(super) fn schema(&self) -> Result<Schema, RegistryError> {
        for (name, value) in [("metadata", &self.metadata), ("ruleSet", &self.rule_set)] {
            if value.is_some() {
                let message =
                    format!("{name} is not supported by this registry: register the schema without it");
                return Err(RegistryError::new(422, message));
            }
        }
        let schema_type = match self.schema_type.as_deref() {
            None | Some("") => SchemaType::Avro,
            Some(name) => name.parse()?,
        };
        let text = self.schema.clone().ok_or_else(|| RegistryError::invalid_schema("Empty schema"))?;
        let references = self.references.iter().flatten();
        let references = references.map(|ReferenceIn { name, subject, version }| Reference {
            name: name.clone(),
            subject: subject.clone(),
            version: *version,
        });
        Ok(Schema { schema_type, text, references: references.collect() })
    }
}

impl ConfigIn {
    /// The settings. Fails with 42203 for unknown levels, with 422 for settings that this registry does not have.
    pub(super) fn config(self) -> Result<SubjectConfig, RegistryError> {
        if let Some((name, _)) = self.others.iter().find(|(_, value)| !value.is_null()) {
            let message = format!(
                "{name} is no setting of this registry: it has compatibility, compatibilityGroup, normalize and alias"
            );
            return Err(RegistryError::new(422, message));
        }
        let compatibility = self.compatibility.map(|level| level.parse()).transpose()?;
        let Self { normalize, alias, compatibility_group, .. } = self;
        Ok(SubjectConfig { compatibility, normalize, alias, compatibility_group })
    }
}

impl<'a> VersionOut<'a> {
    pub(super) fn new(registered: &'a RegisteredSchema, text: &'a str, deleted: bool) -> Self {
        let RegisteredSchema { subject, version, id, schema } = registered;
        let schema = SchemaOut::new(schema, text);
        Self { subject, version: *version, id: *id, schema, deleted: deleted.then_some(true) }
    }
}

impl<'a> SchemaOut<'a> {
    pub(super) fn new(schema: &'a Schema, text: &'a str) -> Self {
        let schema_type = (schema.schema_type != SchemaType::Avro).then(|| schema.schema_type.name());
        let references = schema.references.iter();
        let references = references.map(|Reference { name, subject, version }| ReferenceOut {
            name,
            subject,
            version: *version,
        });
        Self { schema_type, references: references.collect(), schema: text, max_id: None }
    }
}

impl From<SubjectConfig> for ConfigOut {
    fn from(config: SubjectConfig) -> Self {
        let SubjectConfig { compatibility, normalize, alias, compatibility_group } = config;
        let compatibility_level = compatibility.map(Compatibility::name);
        Self { alias, normalize, compatibility_level, compatibility: None, compatibility_group }
    }
}

impl ConfigOut {
    /// What a change of settings is answered with.
    pub(super) fn of_change(config: SubjectConfig) -> Self {
        let out = Self::from(config);
        Self { compatibility: out.compatibility_level, compatibility_level: None, ..out }
    }
}

impl From<Mode> for ModeOut {
    fn from(mode: Mode) -> Self {
        Self { mode: mode.name() }
    }
}

impl CompatibilityOut {
    pub(super) fn new(incompatibilities: Vec<String>, verbose: bool) -> Self {
        let is_compatible = incompatibilities.is_empty();
        Self { is_compatible, messages: verbose.then_some(incompatibilities) }
    }
}

/// Any answer as text.
pub(super) fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts, numbers and lists of them always become JSON")
}

/// The body of a refusal.
pub(super) fn error_body(error: &RegistryError) -> String {
    json(&ErrorOut { error_code: error.code, message: &error.message })
}
