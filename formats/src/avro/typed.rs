//! Rust values as Avro payloads and back.

use std::{fmt, marker::PhantomData, sync::Arc};

use apache_avro::{
    Schema as Library, from_value, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter,
};
use millstream_log::{
    Header,
    serde::{ByteColumn, Serde, SerdeError},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    FormatError, ResolvedSchema, Schema, SchemaRegistry, SchemaType, SerdeConfig,
    avro::{
        input::Input,
        schema::{AvroSchema, NodeId},
        skip::{DEPTH_MAX, Skips},
    },
    registry::{SerdeSchemas, header_of},
    split_header, write_header,
};

/// Values of any type that serde knows, as Avro behind the id of their schema: what Kafka's `KafkaAvroSerializer` and
/// `KafkaAvroDeserializer` do.
///
/// The schema is that of `T` here: values are written by it, and payloads written by other versions are
/// resolved to it (fields by name, defaults where a field is missing, numbers widened, unions).
///
/// Values of a record of a topic have the subject `<topic>-value` or `<topic>-key`. Where no topic is known, as in
/// stores and where every row chooses its topic, the subject is the full name of the record, unless
/// [`with_subject`](Self::with_subject) names one.
///
/// ```
/// use std::sync::Arc;
/// use millstream_formats::{AvroSerde, EmbeddedRegistry, SchemaRegistry};
/// use millstream_log::serde::Serde;
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Flight { origin: String, delay_minutes: Option<i32> }
///
/// let registry = Arc::new(EmbeddedRegistry::new());
/// let serde: AvroSerde<Flight> = AvroSerde::value(registry.clone(), r#"{
///     "type": "record", "name": "Flight", "namespace": "com.acme", "fields": [
///         {"name": "origin", "type": "string"},
///         {"name": "delay_minutes", "type": ["null", "int"], "default": null}]}"#)?;
///
/// let flight = Flight { origin: "FRA".into(), delay_minutes: Some(7) };
/// let mut bytes = Vec::new();
/// serde.serialize_for("flights", &mut Vec::new(), &flight, &mut bytes)?;
/// assert_eq!(registry.latest("flights-value")?.version, 1);
/// assert_eq!(serde.deserialize(&bytes)?, flight);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AvroSerde<T> {
    schemas: SerdeSchemas<Parsed>,
    values: PhantomData<fn() -> T>,
}

/// Values of so many levels are read on the stack of the thread, which may be small; deeper ones on a stack of their own.
const LEVELS_HERE: usize = 16;

/// What a level may take of a stack: the library takes tens of kilobytes where it is not optimised.
const LEVEL_BYTES: usize = 128 << 10;

/// A schema as the library has it, and as it is checked before the library reads: the library does not bound how
/// deep a value may be.
struct Parsed {
    schema: Library,
    references: Vec<Library>,
    skips: Skips,
    root: NodeId,
}

impl Parsed {
    fn new(resolved: &ResolvedSchema) -> Result<Self, FormatError> {
        let checked = AvroSchema::parse(resolved)?;
        let texts = resolved.references.iter().map(|(_, schema)| schema.text.as_str());
        let (schema, references) = Library::parse_str_with_list(&resolved.schema.text, texts)
            .map_err(|error| FormatError::Schema(format!("the Avro schema cannot be used: {error}")))?;
        Ok(Self { schema, references, skips: Skips::new(&checked), root: checked.root() })
    }

    /// Each after those that it needs.
    fn schemata(&self) -> Vec<&Library> {
        self.references.iter().chain([&self.schema]).collect()
    }

    /// Reads payloads that this schema has written as values of `own`.
    fn reader<'s>(&'s self, own: &'s Self) -> Result<GenericDatumReader<'s>, SerdeError> {
        let builder =
            GenericDatumReader::builder(&self.schema).writer_schemata(self.schemata()).map_err(failed)?;
        let built = if self.is(own) {
            builder.build()
        } else {
            builder.reader_schema(&own.schema).reader_schemata(own.schemata()).map_err(failed)?.build()
        };
        built.map_err(failed)
    }

    fn writer(&self) -> Result<GenericDatumWriter<'_>, SerdeError> {
        GenericDatumWriter::builder(&self.schema)
            .schemata(self.schemata())
            .and_then(|builder| builder.build())
            .map_err(failed)
    }

    fn is(&self, other: &Self) -> bool {
        self.schema == other.schema && self.references == other.references
    }
}

fn failed(error: impl fmt::Display) -> SerdeError {
    SerdeError::new(format!("Avro: {error}"))
}

fn parsed(resolved: &ResolvedSchema) -> Result<Parsed, SerdeError> {
    Parsed::new(resolved).map_err(|error| SerdeError::new(error.to_string()))
}

impl<T> AvroSerde<T> {
    /// A serde of values; their subjects end in `-value`.
    pub fn value(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Avro, schema), "value")
    }

    /// A serde of keys; their subjects end in `-key`.
    pub fn key(registry: Arc<dyn SchemaRegistry>, schema: &str) -> Result<Self, FormatError> {
        Self::new(registry, Schema::new(SchemaType::Avro, schema), "key")
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
        let own = Parsed::new(&registry.resolve(&schema)?)?;
        let subject = own.schema.name().map_or_else(|| suffix.to_owned(), |name| name.fullname(None));
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

impl<T> fmt::Debug for AvroSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroSerde")
            .field("subject", &self.schemas.subject)
            .field("schema", &self.schemas.schema.text)
            .finish()
    }
}

impl<T: Serialize> AvroSerde<T> {
    fn write(&self, subject: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (id, schema) = self.schemas.writer(subject, parsed)?;
        let writer = schema.writer()?;
        write_header(id, out);
        writer.write_ser(out, value).map(drop).map_err(failed)
    }

    fn write_column(
        &self,
        subject: &str,
        values: &[Option<T>],
        out: &mut ByteColumn,
        failures: &mut Vec<(usize, SerdeError)>,
    ) {
        let schema = self.schemas.writer(subject, parsed);
        let writer =
            schema.as_ref().map_err(Clone::clone).and_then(|(id, schema)| Ok((*id, schema.writer()?)));
        for (row, value) in values.iter().enumerate() {
            let written = match (value, &writer) {
                (None, _) => {
                    out.push(None);
                    continue;
                }
                (Some(_), Err(error)) => Err(error.clone()),
                (Some(value), Ok((id, writer))) => out.push_with(|bytes| {
                    write_header(*id, bytes);
                    writer.write_ser(bytes, value).map(drop).map_err(failed)
                }),
            };
            if let Err(error) = written {
                out.push(None);
                failures.push((row, error));
            }
        }
    }
}

impl<T: DeserializeOwned> AvroSerde<T> {
    /// Reads the payload at `row` and those behind it that were written by the same schema.
    fn read_run(
        &self,
        entries: &[Option<&[u8]>],
        out: &mut Vec<Option<T>>,
        failures: &mut Vec<(usize, SerdeError)>,
    ) -> Result<(), SerdeError> {
        let start = out.len();
        let Some(first) = entries[start] else {
            out.push(None);
            return Ok(());
        };
        let (id, _) = header_of(first)?;
        let schema = self.schemas.written_by(id, parsed)?;
        let reader = schema.reader(&self.schemas.own)?;
        for (row, entry) in entries.iter().enumerate().skip(start) {
            let value = match entry.map(split_header) {
                None => None,
                Some(Some((other, body))) if other == id => Some(body),
                _ => break,
            };
            let value = value.map(|body| {
                let read = || {
                    let value = reader.read_value(&mut &*body).map_err(failed)?;
                    from_value(&value).map_err(failed)
                };
                if schema.skips.is_within(LEVELS_HERE, schema.root, Input::new(body)) {
                    return read();
                }
                let checked = schema.skips.run(schema.root, &mut Input::new(body));
                checked.map_err(|fault| SerdeError::new(fault.message()))?;
                stacker::grow(DEPTH_MAX * LEVEL_BYTES, read)
            });
            out.push(match value {
                Some(Ok(value)) => Some(value),
                Some(Err(error)) => {
                    failures.push((row, error));
                    None
                }
                None => None,
            });
        }
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for AvroSerde<T> {
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
        let (mut values, mut failures) = (Vec::with_capacity(1), Vec::new());
        self.read_run(&[Some(bytes)], &mut values, &mut failures)?;
        match (values.pop().flatten(), failures.pop()) {
            (Some(value), _) => Ok(value),
            (None, Some((_, error))) => Err(error),
            (None, None) => unreachable!("a payload is a value or a failure"),
        }
    }

    fn serialize_column(
        &self,
        values: &[Option<T>],
        out: &mut ByteColumn,
        failures: &mut Vec<(usize, SerdeError)>,
    ) {
        self.write_column(&self.schemas.subject, values, out, failures);
    }

    fn serialize_column_for(
        &self,
        topic: &str,
        values: &[Option<T>],
        out: &mut ByteColumn,
        failures: &mut Vec<(usize, SerdeError)>,
    ) {
        self.write_column(&self.schemas.subject_of(topic), values, out, failures);
    }

    fn deserialize_column(
        &self,
        entries: &[Option<&[u8]>],
        out: &mut Vec<Option<T>>,
        failures: &mut Vec<(usize, SerdeError)>,
    ) {
        let mut values = Vec::with_capacity(entries.len());
        while values.len() < entries.len() {
            if let Err(error) = self.read_run(entries, &mut values, failures) {
                failures.push((values.len(), error));
                values.push(None);
            }
        }
        out.append(&mut values);
    }
}
