//! What happens to a registry, and its records in the `_schemas` topic.
//!
//! | key | value |
//! |---|---|
//! | `{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}` | `{"subject":"s","version":1,"id":1,"schema":"..","deleted":false}`, null when gone for good |
//! | `{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}` | `{"subject":"s","version":2}`: these and earlier ones are deleted |
//! | `{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}` | `{"subject":"s"}`: deleted ones are forgotten |
//! | `{"keytype":"CONFIG","subject":"s","magic":0}` | `{"subject":"s","compatibilityLevel":"FULL"}`; the subject is null for the global one |
//! | `{"keytype":"MODE","subject":"s","magic":0}` | `{"subject":"s","mode":"IMPORT"}` |
//! | `{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}` | `{"tenant":"default","context":".c"}` |
//! | `{"keytype":"NOOP","magic":0}` | null |

use serde::{Deserialize, Serialize};

use super::{Mode, Reference, Schema, SchemaType, SubjectConfig};

/// One thing that happened. The state is what the changes so far add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A version is there, or is deleted softly.
    Version { subject: String, version: i32, id: i32, deleted: bool, schema: Schema },
    /// A version is gone for good.
    Gone { subject: String, version: i32 },
    /// All versions up to this one are deleted softly.
    DeleteSubject { subject: String, version: i32 },
    /// What is deleted softly in this subject is gone.
    ClearSubject { subject: String },
    /// Settings of a subject or, without one, the global ones; nothing when they are taken back.
    Config { subject: Option<String>, config: Option<SubjectConfig> },
    /// The same for the mode.
    Mode { subject: Option<String>, mode: Option<Mode> },
    /// A context has subjects.
    Context { context: String },
    /// Nothing. The original writes it to find the end of the topic.
    Noop,
}

/// The only tenant.
const TENANT: &str = "default";

#[derive(Serialize)]
#[serde(untagged)]
enum KeyOut<'a> {
    Version { keytype: &'a str, subject: &'a str, version: i32, magic: u8 },
    Subject { keytype: &'a str, subject: Option<&'a str>, magic: u8 },
    Context { keytype: &'a str, tenant: &'a str, context: &'a str, magic: u8 },
    Noop { keytype: &'a str, magic: u8 },
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueOut<'a> {
    #[serde(rename_all = "camelCase")]
    Version {
        subject: &'a str,
        version: i32,
        id: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        schema_type: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        references: Vec<ReferenceOut<'a>>,
        schema: &'a str,
        deleted: bool,
    },
    Subject {
        subject: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<i32>,
    },
    #[serde(rename_all = "camelCase")]
    Config {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        alias: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        normalize: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        compatibility_level: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        compatibility_group: Option<&'a str>,
    },
    Mode {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        mode: &'a str,
    },
    Context {
        tenant: &'a str,
        context: &'a str,
    },
}

#[derive(Serialize)]
struct ReferenceOut<'a> {
    name: &'a str,
    subject: &'a str,
    version: i32,
}

#[derive(Deserialize)]
struct KeyIn {
    keytype: String,
    subject: Option<String>,
    version: Option<i32>,
    context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionIn {
    id: i32,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<ReferenceIn>>,
    schema: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct ReferenceIn {
    name: String,
    subject: String,
    version: i32,
}

#[derive(Deserialize)]
struct SubjectIn {
    version: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigIn {
    alias: Option<String>,
    normalize: Option<bool>,
    compatibility_level: Option<String>,
    compatibility_group: Option<String>,
}

#[derive(Deserialize)]
struct ModeIn {
    mode: String,
}

impl Change {
    /// Key and value of its record.
    pub(super) fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (key, value) = match self {
            Self::Version { subject, version, id, deleted, schema } => (
                KeyOut::Version { keytype: "SCHEMA", subject, version: *version, magic: 1 },
                Some(ValueOut::Version {
                    subject,
                    version: *version,
                    id: *id,
                    schema_type: (schema.schema_type != SchemaType::Avro).then(|| schema.schema_type.name()),
                    references: schema.references.iter().map(ReferenceOut::from).collect(),
                    schema: &schema.text,
                    deleted: *deleted,
                }),
            ),
            Self::Gone { subject, version } => {
                (KeyOut::Version { keytype: "SCHEMA", subject, version: *version, magic: 1 }, None)
            }
            Self::DeleteSubject { subject, version } => (
                KeyOut::Subject { keytype: "DELETE_SUBJECT", subject: Some(subject), magic: 0 },
                Some(ValueOut::Subject { subject, version: Some(*version) }),
            ),
            Self::ClearSubject { subject } => (
                KeyOut::Subject { keytype: "CLEAR_SUBJECT", subject: Some(subject), magic: 0 },
                Some(ValueOut::Subject { subject, version: None }),
            ),
            Self::Config { subject, config } => (
                KeyOut::Subject { keytype: "CONFIG", subject: subject.as_deref(), magic: 0 },
                config.as_ref().map(|config| ValueOut::Config {
                    subject: subject.as_deref(),
                    alias: config.alias.as_deref(),
                    normalize: config.normalize,
                    compatibility_level: config.compatibility.map(|level| level.name()),
                    compatibility_group: config.compatibility_group.as_deref(),
                }),
            ),
            Self::Mode { subject, mode } => (
                KeyOut::Subject { keytype: "MODE", subject: subject.as_deref(), magic: 0 },
                mode.map(|mode| ValueOut::Mode { subject: subject.as_deref(), mode: mode.name() }),
            ),
            Self::Context { context } => (
                KeyOut::Context { keytype: "CONTEXT", tenant: TENANT, context, magic: 0 },
                Some(ValueOut::Context { tenant: TENANT, context }),
            ),
            Self::Noop => (KeyOut::Noop { keytype: "NOOP", magic: 0 }, None),
        };
        let text = "texts and numbers always become JSON";
        (serde_json::to_vec(&key).expect(text), value.map(|value| serde_json::to_vec(&value).expect(text)))
    }

    /// The change that a record stands for, or why it stands for none.
    pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, String> {
        let key: KeyIn = serde_json::from_slice(key).map_err(|error| error.to_string())?;
        let subject = || key.subject.clone().ok_or("the key has no subject");
        let version = || key.version.ok_or("the key has no version");
        Ok(match (key.keytype.as_str(), value) {
            ("SCHEMA", Some(value)) => {
                let value: VersionIn = parse(value)?;
                let schema_type = match &value.schema_type {
                    Some(name) => name.parse().map_err(|error: super::RegistryError| error.message)?,
                    None => SchemaType::Avro,
                };
                let references = value.references.unwrap_or_default();
                let references = references
                    .into_iter()
                    .map(|ReferenceIn { name, subject, version }| Reference { name, subject, version })
                    .collect();
                let schema = Schema { schema_type, text: value.schema, references };
                let (id, deleted) = (value.id, value.deleted);
                Self::Version { subject: subject()?, version: version()?, id, deleted, schema }
            }
            ("SCHEMA", None) => Self::Gone { subject: subject()?, version: version()? },
            ("DELETE_SUBJECT", Some(value)) => {
                Self::DeleteSubject { subject: subject()?, version: parse::<SubjectIn>(value)?.version }
            }
            ("CLEAR_SUBJECT", Some(_)) => Self::ClearSubject { subject: subject()? },
            ("CONFIG", value) => {
                let config = value.map(parse::<ConfigIn>).transpose()?;
                let config = config.map(|config| {
                    let ConfigIn { alias, normalize, compatibility_level, compatibility_group } = config;
                    let compatibility = compatibility_level.map(|name| name.parse()).transpose()?;
                    Ok(SubjectConfig { compatibility, normalize, alias, compatibility_group })
                });
                let config = config.transpose().map_err(|error: super::RegistryError| error.message)?;
                Self::Config { subject: key.subject, config }
            }
            ("MODE", value) => {
                let mode = value.map(parse::<ModeIn>).transpose()?;
                let mode = mode.map(|ModeIn { mode }| mode.parse::<Mode>()).transpose();
                Self::Mode { subject: key.subject, mode: mode.map_err(|error| error.message)? }
            }
            ("CONTEXT", Some(_)) => Self::Context { context: key.context.ok_or("the key has no context")? },
            // The original takes these back with null values; nothing is left to do then.
            ("NOOP", _) | ("DELETE_SUBJECT" | "CLEAR_SUBJECT" | "CONTEXT", None) => Self::Noop,
            (other, _) => return Err(format!("unknown keytype {other}")),
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

impl<'a> From<&'a Reference> for ReferenceOut<'a> {
    fn from(reference: &'a Reference) -> Self {
        Self { name: &reference.name, subject: &reference.subject, version: reference.version }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Compatibility, *};

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn records_are_those_of_the_original() {
        let reference = Reference { name: "a.B".into(), subject: "b".into(), version: 2 };
        let avro = Schema::new(SchemaType::Avro, "\"int\"");
        let json = Schema { schema_type: SchemaType::Json, references: vec![reference], text: "{}".into() };
        let config =
            SubjectConfig { compatibility: Some(Compatibility::FullTransitive), ..SubjectConfig::default() };
        let of_subject = SubjectConfig {
            normalize: Some(true),
            alias: Some("t".into()),
            compatibility_group: Some("g".into()),
            ..SubjectConfig::default()
        };
        let subject = || "s".to_owned();
        for (change, key, value) in [
            (
                Change::Version { subject: subject(), version: 1, id: 7, deleted: false, schema: avro },
                r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#,
                Some(r#"{"subject":"s","version":1,"id":7,"schema":"\"int\"","deleted":false}"#),
            ),
            (
                Change::Version { subject: subject(), version: 1, id: 7, deleted: true, schema: json },
                r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#,
                Some(
                    r#"{"subject":"s","version":1,"id":7,"schemaType":"JSON","references":[{"name":"a.B","subject":"b","version":2}],"schema":"{}","deleted":true}"#,
                ),
            ),
            (
                Change::Gone { subject: subject(), version: 3 },
                r#"{"keytype":"SCHEMA","subject":"s","version":3,"magic":1}"#,
                None,
            ),
            (
                Change::DeleteSubject { subject: subject(), version: 3 },
                r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s","version":3}"#),
            ),
            (
                Change::ClearSubject { subject: subject() },
                r#"{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s"}"#),
            ),
            (
                Change::Config { subject: None, config: Some(config) },
                r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
                Some(r#"{"compatibilityLevel":"FULL_TRANSITIVE"}"#),
            ),
            (
                Change::Config { subject: Some(subject()), config: Some(of_subject) },
                r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s","alias":"t","normalize":true,"compatibilityGroup":"g"}"#),
            ),
            (
                Change::Config { subject: Some(subject()), config: None },
                r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
                None,
            ),
            (
                Change::Mode { subject: Some(subject()), mode: Some(Mode::Import) },
                r#"{"keytype":"MODE","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s","mode":"IMPORT"}"#),
            ),
            (
                Change::Context { context: ".c".into() },
                r#"{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}"#,
                Some(r#"{"tenant":"default","context":".c"}"#),
            ),
            (Change::Noop, r#"{"keytype":"NOOP","magic":0}"#, None),
        ] {
            let (encoded_key, encoded_value) = change.encode();
            assert_eq!(Change::decode(&encoded_key, encoded_value.as_deref()), Ok(change));
            assert_eq!(text(encoded_key), key);
            assert_eq!(encoded_value.map(text).as_deref(), value);
        }
    }

    #[test]
    fn records_of_other_versions_are_read() {
        // Newer registries write more members, older ones fewer.
        let newer = br#"{"subject":"s","version":1,"id":3,"md5":"aa==","guid":"x","references":null,"schema":"\"int\"","deleted":false,"ts":1}"#;
        let key = br#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":0}"#;
        let read = Change::decode(key, Some(newer)).unwrap();
        assert!(matches!(read, Change::Version { id: 3, deleted: false, .. }), "{read:?}");
        for (key, value) in [
            (&b"no json"[..], None),
            (br#"{"keytype":"OTHER","magic":0}"#, None),
            (br#"{"keytype":"SCHEMA","magic":0}"#, None),
            (br#"{"keytype":"MODE","magic":0}"#, Some(&br#"{"mode":"SOMETIMES"}"#[..])),
        ] {
            assert!(Change::decode(key, value).is_err(), "{}", String::from_utf8_lossy(key));
        }
    }
}
