//! Rust values as documents of a JSON Schema and back.

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    sync::{Arc, PoisonError, RwLock},
};

use jsonschema::Validator;
use millstream_log::{
    Header,
    serde::{Serde, SerdeError},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{document::Documents, validate::validator};
use crate::{
    FormatError, RegistryError, Schema, SchemaRegistry, SchemaType, SerdeConfig, split_header, write_header,
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
    registry: Arc<dyn SchemaRegistry>,
    /// What follows the topic in a subject.
    suffix: &'static str,
    /// The subject where no topic is known.
    subject: String,
    schema: Schema,
    own: Arc<Validator>,
    config: SerdeConfig,
    /// The schemas to write with, by subject.
    writers: RwLock<BTreeMap<String, (i32, Arc<Validator>)>>,
    /// The schemas that payloads name, by id; only where documents are checked.
    readers: RwLock<BTreeMap<i32, Arc<Validator>>>,
    values: PhantomData<fn() -> T>,
}

fn failed(error: impl fmt::Display) -> SerdeError {
    SerdeError::new(format!("JSON: {error}"))
}

fn refused(RegistryError { code, message }: RegistryError) -> SerdeError {
    SerdeError::new(format!("{message}; error code: {code}"))
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
        let own = Arc::new(validator(&resolved).map_err(invalid)?);
        let subject = documents.root().text("title").unwrap_or(suffix).to_owned();
        Ok(Self {
            registry,
            suffix,
            subject,
            schema,
            own,
            config: SerdeConfig::default(),
            writers: RwLock::default(),
            readers: RwLock::default(),
            values: PhantomData,
        })
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_config(self, config: SerdeConfig) -> Self {
        Self { config, ..self }
    }

    /// The same with another subject where no topic is known.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..self }
    }

    /// The schema to write with under a subject, and its id. The registry is asked once.
    fn writer(&self, subject: &str) -> Result<(i32, Arc<Validator>), SerdeError> {
        let known = self.writers.read().unwrap_or_else(PoisonError::into_inner).get(subject).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let registry = &self.registry;
        let found = if self.config.auto_register_schemas {
            (registry.register(subject, &self.schema).map_err(refused)?, Arc::clone(&self.own))
        } else if self.config.use_latest_version {
            let latest = registry.latest(subject).map_err(refused)?;
            (latest.id, self.parse(&latest.schema)?)
        } else {
            (registry.lookup(subject, &self.schema).map_err(refused)?.id, Arc::clone(&self.own))
        };
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        writers.insert(subject.to_owned(), found.clone());
        Ok(found)
    }

    /// The schema with an id. The registry is asked once.
    fn written_by(&self, id: i32) -> Result<Arc<Validator>, SerdeError> {
        let known = self.readers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.parse(&self.registry.schema(id).map_err(refused)?)?;
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        readers.insert(id, Arc::clone(&found));
        Ok(found)
    }

    fn parse(&self, schema: &Schema) -> Result<Arc<Validator>, SerdeError> {
        if schema.schema_type != SchemaType::Json {
            return Err(SerdeError::new(format!(
                "expected a JSON schema, found one of type {}",
                schema.schema_type
            )));
        }
        let resolved = self.registry.resolve(schema).map_err(refused)?;
        Ok(Arc::new(validator(&resolved).map_err(failed)?))
    }

    fn check(&self, schema: &Validator, document: &[u8]) -> Result<(), SerdeError> {
        let document: serde_json::Value = serde_json::from_slice(document).map_err(failed)?;
        schema.validate(&document).map_err(|error| {
            failed(format_args!("{error}, path: ${}", error.instance_path().to_string().replace('/', ".")))
        })
    }
}

impl<T> fmt::Debug for JsonSchemaSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchemaSerde")
            .field("subject", &self.subject)
            .field("schema", &self.schema.text)
            .finish()
    }
}

impl<T: Serialize> JsonSchemaSerde<T> {
    fn write(&self, subject: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (id, schema) = self.writer(subject)?;
        let start = out.len();
        write_header(id, out);
        let body = out.len();
        let mut written = serde_json::to_writer(&mut *out, value).map_err(failed);
        if self.config.json_fail_invalid_schema {
            written = written.and_then(|()| self.check(&schema, &out[body..]));
        }
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for JsonSchemaSerde<T> {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.write(&self.subject, value, out)
    }

    fn serialize_for(
        &self,
        topic: &str,
        _headers: &mut Vec<Header>,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.write(&format!("{topic}-{}", self.suffix), value, out)
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let (id, body) = split_header(bytes)
            .ok_or_else(|| SerdeError::new("Unknown magic byte! The payload has no schema id in front"))?;
        if self.config.json_fail_invalid_schema {
            let schema = self.written_by(id)?;
            self.check(&schema, body)?;
        }
        serde_json::from_slice(body).map_err(failed)
    }
}
