//! Rust messages as Protobuf payloads and back.

use std::{fmt, marker::PhantomData, sync::Arc};

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
    FormatError, ResolvedSchema, Schema, SchemaRegistry, SchemaType, SerdeConfig,
    registry::{SerdeSchemas, header_of},
    write_header,
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
    schemas: SerdeSchemas<Place>,
    /// The name of the message in the schema.
    message: String,
    values: PhantomData<fn() -> T>,
}

/// Where a message is in its schema, as it is written between the schema's id and the message.
struct Place(Vec<u8>);

impl Place {
    /// The full name and the place of a message, or of the first.
    fn find(resolved: &ResolvedSchema, name: Option<&str>) -> Result<(String, Self), FormatError> {
        let message = Proto::compile(resolved)?.message(name)?;
        let mut place = Vec::new();
        push_message_indexes(&message_indexes(&message), &mut place);
        Ok((message.full_name().to_owned(), Self(place)))
    }
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
        let (message, place) = Place::find(&registry.resolve(&schema)?, None)?;
        let schemas = SerdeSchemas::new(registry, suffix, message.clone(), schema, place);
        Ok(Self { schemas, message, values: PhantomData })
    }

    /// The same for another message of the schema, by its full name or its own.
    pub fn with_message(self, name: &str) -> Result<Self, FormatError> {
        let schemas = self.schemas;
        let (message, place) = Place::find(&schemas.registry.resolve(&schemas.schema)?, Some(name))?;
        let schemas = schemas.with_own(place).with_subject(message.clone());
        Ok(Self { schemas, message, ..self })
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

impl<T> fmt::Debug for ProtobufSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtobufSerde")
            .field("subject", &self.schemas.subject)
            .field("message", &self.message)
            .field("schema", &self.schemas.schema.text)
            .finish()
    }
}

impl<T: Message> ProtobufSerde<T> {
    fn write(&self, subject: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (id, place) = self.schemas.writer(subject, |resolved| {
            let found = Place::find(resolved, Some(&self.message));
            found.map(|(_, place)| place).map_err(|error| SerdeError::new(error.to_string()))
        })?;
        write_header(id, out);
        out.extend_from_slice(&place.0);
        value.encode(out).map_err(|error| SerdeError::new(format!("Protobuf: {error}")))
    }
}

impl<T: Message + Default + 'static> Serde<T> for ProtobufSerde<T> {
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
        let (_, rest) = header_of(bytes)?;
        let (_, used) = read_message_indexes(rest).map_err(SerdeError::new)?;
        T::decode(&rest[used..]).map_err(|error| SerdeError::new(format!("Protobuf: {error}")))
    }
}
