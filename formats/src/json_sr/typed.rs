//! Rust values as documents of a JSON Schema and back.

use std::{fmt, marker::PhantomData, sync::Arc};

use jsonschema::Validator;
use millstream_log::{
    Header,
    serde::{Serde, SerdeError},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{document::Documents, validate::validator};
use crate::{
    FormatError, ResolvedSchema, Schema, SchemaRegistry, SchemaType, SerdeConfig,
    registry::{SerdeSchemas, header_of},
    write_header,
};

/// Values of any type that serde knows, as JSON behind the id of their JSON Schema: what Kafka's
/// `KafkaJsonSchemaSerializer` and `KafkaJsonSchemaDeserializer` do.
///
/// The schema is for others: values are written as serde writes them, and read as serde reads them. With
/// [`SerdeConfig::json_fail_invalid_schema`] every document is checked, by the schema that it is written with
/// and by the one that it names.
///
/// Values of a record of a topic have the subject `<topic>-value` or `<topic>-key`. Where no topic is known, in
/// stores and in sinks that choose a topic for each row, the subject is the `title` of the schema, or `value` or `key`, unless
/// [`with_subject`](Self::with_subject) names one.
///
/// ```
/// use std::sync::Arc;
/// use millstream_formats::{EmbeddedRegistry, JsonSchemaSerde, SchemaRegistry};
/// use millstream_log::serde::Serde;
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Flight { origin: String, delay_minutes: Option<i32> }
///
/// let registry = Arc::new(EmbeddedRegistry::new());
/// let serde: JsonSchemaSerde<Flight> = JsonSchemaSerde::value(registry.clone(), r#"{
///     "title": "Flight", "type": "object", "properties": {
///         "origin": {"type": "string"},
///         "delay_minutes": {"type": ["null", "integer"]}}}"#)?;
///
/// let flight = Flight { origin: "FRA".into(), delay_minutes: Some(7) };
/// let mut bytes = Vec::new();
/// serde.serialize_for("flights", &mut Vec::new(), &flight, &mut bytes)?;
/// assert_eq!(registry.latest("flights-value")?.version, 1);
/// assert_eq!(&bytes[5..], br#"{"origin":"FRA","delay_minutes":7}"#);
/// assert_eq!(serde.deserialize(&bytes)?, flight);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JsonSchemaSerde<T> {
    schemas: SerdeSchemas<Validator>,
    values: PhantomData<fn() -> T>,
}

fn failed(error: impl fmt::Display) -> SerdeError {
    SerdeError::new(format!("JSON: {error}"))
}

fn parsed(resolved: &ResolvedSchema) -> Result<Validator, SerdeError> {
    let schema_type = resolved.schema.schema_type;
    if schema_type != SchemaType::Json {
        return Err(SerdeError::new(format!("expected a JSON schema, found one of type {schema_type}")));
    }
    validator(resolved).map_err(failed)
}

fn check(schema: &Validator, document: &[u8]) -> Result<(), SerdeError> {
    let document: serde_json::Value = serde_json::from_slice(document).map_err(failed)?;
    schema.validate(&document).map_err(|error| {
        failed(format_args!("{error}, path: ${}", error.instance_path().to_string().replace('/', ".")))
    })
}

impl<T> JsonSchemaSerde<T> {
    /// A serde of values; their subjects end in `-value`.
    pub fn value(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Json, schema), "value")
    }

    /// A serde of keys; their subjects end in `-key`.
    pub fn key(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Json, schema), "key")
    }

    /// The same for a schema that refers to others.
    pub fn value_of(registry: Arc<dyn SchemaRegistry>, schema: Schema) -> Result<Self, FormatError> {
        Self::new(registry, schema, "value")
    }

    /// The same for a schema that refers to others.
    pub fn key_of(registry: Arc<dyn SchemaRegistry>, schema: Schema) -> Result<Self, FormatError> {
        Self::new(registry, schema, "key")
    }

    fn new(
        registry: Arc<dyn SchemaRegistry>,
        schema: Schema,
        suffix: &'static str,
    ) -> Result<Self, FormatError> {
        let resolved = registry.resolve(&schema)?;
        let invalid = |reason| FormatError::Schema(format!("the JSON schema cannot be used: {reason}"));
        let documents = Documents::parse(&resolved).map_err(invalid)?;
        let own = validator(&resolved).map_err(invalid)?;
        let subject = documents.root().text("title").unwrap_or(suffix).to_owned();
        let schemas = SerdeSchemas::new(registry, suffix, subject, schema, own);
        Ok(Self { schemas, values: PhantomData })
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_config(self, config: SerdeConfig) -> Self {
        Self { schemas: self.schemas.with_config(config), ..self }
    }

    /// The same with another subject where no topic is known.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<String>) -> Self {
        Self { schemas: self.schemas.with_subject(subject.into()), ..self }
    }
}

impl<T> fmt::Debug for JsonSchemaSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchemaSerde")
            .field("subject", &self.schemas.subject)
            .field("schema", &self.schemas.schema.text)
            .finish()
    }
}

impl<T: Serialize> JsonSchemaSerde<T> {
    fn write(&self, subject: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (id, schema) = self.schemas.writer(subject, parsed)?;
        let start = out.len();
        write_header(id, out);
        let body = out.len();
        let mut written = serde_json::to_writer(&mut *out, value).map_err(failed);
        if self.schemas.config.json_fail_invalid_schema {
            written = written.and_then(|()| check(&schema, &out[body..]));
        }
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for JsonSchemaSerde<T> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.write(&self.schemas.subject, value, out)
    }

    fn serialize_for(
        &self,
        topic: &str,
        _headers: &mut Vec<Header>,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.write(&self.schemas.subject_of(topic), value, out)
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (id, body) = header_of(bytes)?;
        if self.schemas.config.json_fail_invalid_schema {
            check(&*self.schemas.written_by(id, parsed)?, body)?;
        }
        serde_json::from_slice(body).map_err(failed)
    }
}
