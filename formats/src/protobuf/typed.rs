//! Rust messages as Protobuf payloads and back.

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    sync::{Arc, PoisonError, RwLock},
};

use millstream_log::{
    Header,
    serde::{Serde, SerdeError},
};
use prost::Message;

use super::{
    imports::register_imports,
    read::message_indexes as read_message_indexes,
    schema::{Proto, message_indexes},
    write::push_message_indexes,
};
use crate::{
    FormatError, RegistryError, Schema, SchemaRegistry, SchemaType, SerdeConfig, split_header, write_header,
};

/// Messages of a type that prost derives, behind the id of their schema and the place of the message in it: what
/// Kafka's `KafkaProtobufSerializer` and `KafkaProtobufDeserializer` do.
///
/// Values are written by the schema of the serde. Payloads are read as `T` whatever schema they name: that is how
/// Protobuf evolves, so the registry is not asked.
///
/// Values of a record of a topic have the subject `<topic>-value` or `<topic>-key`. Where no topic is known, as
/// in stores and where every row chooses its topic, the subject is the full name of the message, unless
/// [`with_subject`](Self::with_subject) names one.
///
/// ```
/// use std::sync::Arc;
/// use millstream_formats::{EmbeddedRegistry, ProtobufSerde, SchemaRegistry};
/// use millstream_log::serde::Serde;
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Flight {
///     #[prost(string, tag = "1")]
///     origin: String,
///     #[prost(int32, optional, tag = "2")]
///     delay_minutes: Option<i32>,
/// }
///
/// let registry = Arc::new(EmbeddedRegistry::new());
/// let serde: ProtobufSerde<Flight> = ProtobufSerde::value(registry.clone(), r#"
///     syntax = "proto3";
///     message Flight {
///         string origin = 1;
///         optional int32 delay_minutes = 2;
///     }"#)?;
///
/// let flight = Flight { origin: "FRA".into(), delay_minutes: Some(7) };
/// let mut bytes = Vec::new();
/// serde.serialize_for("flights", &mut Vec::new(), &flight, &mut bytes)?;
/// assert_eq!(registry.latest("flights-value")?.version, 1);
/// assert_eq!(serde.deserialize(&bytes)?, flight);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProtobufSerde<T> {
    registry: Arc<dyn SchemaRegistry>,
    /// What follows the topic in a subject.
    suffix: &'static str,
    /// The subject where no topic is known.
    subject: String,
    schema: Schema,
    /// The name of the message in the schema.
    message: String,
    /// Where the message is in the schema.
    indexes: Vec<i32>,
    config: SerdeConfig,
    /// What stands in front of messages, by subject.
    headers: RwLock<BTreeMap<String, Arc<[u8]>>>,
    values: PhantomData<fn() -> T>,
}

impl<T> ProtobufSerde<T> {
    /// A serde of values; their subjects end in `-value`. The message is the first of the text.
    pub fn value(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Protobuf, schema), "value")
    }

    /// A serde of keys; their subjects end in `-key`. The message is the first of the text.
    pub fn key(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Protobuf, schema), "key")
    }

    /// The same for a schema that refers to others.
    pub fn value_of(registry: Arc<dyn SchemaRegistry>, schema: Schema) -> Result<Self, FormatError> {
        Self::new(registry, schema, "value")
    }

    /// The same for a schema that refers to others.
    pub fn key_of(registry: Arc<dyn SchemaRegistry>, schema: Schema) -> Result<Self, FormatError> {
        Self::new(registry, schema, "key")
    }

    /// The same for the file `file` of a `FileDescriptorSet`, as `prost-build` and `protoc` write it. The files
    /// that it imports are registered under their own names and referred to, as Confluent's serializer does.
    pub fn value_of_descriptors(
        registry: Arc<dyn SchemaRegistry>,
        descriptors: &[u8],
        file: &str,
    ) -> Result<Self, FormatError> {
        let schema = register_imports(&*registry, descriptors, file)?;
        Self::new(registry, schema, "value")
    }

    fn new(
        registry: Arc<dyn SchemaRegistry>,
        schema: Schema,
        suffix: &'static str,
    ) -> Result<Self, FormatError> {
        let message = Proto::compile(&registry.resolve(&schema)?)?.message(None)?;
        let (name, indexes) = (message.full_name().to_owned(), message_indexes(&message));
        Ok(Self {
            registry,
            suffix,
            subject: name.clone(),
            schema,
            message: name,
            indexes,
            config: SerdeConfig::default(),
            headers: RwLock::default(),
            values: PhantomData,
        })
    }

    /// The same for another message of the schema, by its full name or its own.
    pub fn with_message(self, name: &str) -> Result<Self, FormatError> {
        let message = Proto::compile(&self.registry.resolve(&self.schema)?)?.message(Some(name))?;
        let (name, indexes) = (message.full_name().to_owned(), message_indexes(&message));
        Ok(Self { subject: name.clone(), message: name, indexes, ..self })
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

    /// What stands in front of the messages of a subject. The registry is asked once.
    fn header(&self, subject: &str) -> Result<Arc<[u8]>, SerdeError> {
        let known = self.headers.read().unwrap_or_else(PoisonError::into_inner).get(subject).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let registry = &self.registry;
        let (id, indexes) = if self.config.auto_register_schemas {
            (registry.register(subject, &self.schema).map_err(refused)?, self.indexes.clone())
        } else if self.config.use_latest_version {
            let latest = registry.latest(subject).map_err(refused)?;
            let resolved = registry.resolve(&latest.schema).map_err(refused)?;
            let message = Proto::compile(&resolved).and_then(|proto| proto.message(Some(&self.message)));
            let message = message.map_err(|error| SerdeError::new(error.to_string()))?;
            (latest.id, message_indexes(&message))
        } else {
            (registry.lookup(subject, &self.schema).map_err(refused)?.id, self.indexes.clone())
        };
        let mut header = Vec::new();
        write_header(id, &mut header);
        push_message_indexes(&indexes, &mut header);
        let header: Arc<[u8]> = header.into();
        let mut headers = self.headers.write().unwrap_or_else(PoisonError::into_inner);
        headers.insert(subject.to_owned(), Arc::clone(&header));
        Ok(header)
    }
}

fn refused(RegistryError { code, message }: RegistryError) -> SerdeError {
    SerdeError::new(format!("{message}; error code: {code}"))
}

impl<T> fmt::Debug for ProtobufSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtobufSerde")
            .field("subject", &self.subject)
            .field("message", &self.message)
            .field("schema", &self.schema.text)
            .finish()
    }
}

impl<T: Message> ProtobufSerde<T> {
    fn write(&self, subject: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&self.header(subject)?);
        value.encode(out).map_err(|error| SerdeError::new(format!("Protobuf: {error}")))
    }
}

impl<T: Message + Default + 'static> Serde<T> for ProtobufSerde<T> {
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
        let (_, rest) = split_header(bytes)
            .ok_or_else(|| SerdeError::new("Unknown magic byte! The payload has no schema id in front"))?;
        let (_, used) = read_message_indexes(rest).map_err(SerdeError::new)?;
        T::decode(&rest[used..]).map_err(|error| SerdeError::new(format!("Protobuf: {error}")))
    }
}
