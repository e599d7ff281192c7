//! Records that carry the id of their schema, as JSON: for PRINT.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::Fields;
use millstream_formats::{
    Decoder, Encoder, Format, FormatError, FormatSpec, Payloads, SchemaRegistry, SchemaType, Subject,
    split_header,
};

/// Reads records by the schemas of a registry.
pub(super) struct SchemaReader {
    registry: Arc<dyn SchemaRegistry>,
    /// What is known of the ids met; nothing if they are none.
    schemas: HashMap<i32, Option<Known>>,
}

/// How the records of one schema are read.
struct Known {
    schema_type: SchemaType,
    decoder: Decoder,
    encoder: Encoder,
    payloads: Payloads,
}

impl SchemaReader {
    /// A reader that has met no record.
    pub(super) fn new(registry: Arc<dyn SchemaRegistry>) -> Self {
        Self { registry, schemas: HashMap::new() }
    }

    /// The record as JSON, if it is one of a schema in this language.
    pub(super) fn read(&mut self, schema_type: SchemaType, bytes: &[u8]) -> Option<String> {
        let (id, _) = split_header(bytes)?;
        let registry = &self.registry;
        let known = self.schemas.entry(id).or_insert_with(|| Known::new(registry, id)).as_mut()?;
        if known.schema_type != schema_type {
            return None;
        }
        let decoded = known.decoder.decode(&[Some(bytes)]);
        if !decoded.errors.is_empty() {
            return None;
        }
        known.payloads.clear();
        known.encoder.encode(&decoded.columns, 1, None, &mut known.payloads).ok()?;
        match known.payloads.get(0) {
            None => Some("null".to_owned()),
            Some(text) => String::from_utf8(text.to_vec()).ok(),
        }
    }
}

impl Known {
    fn new(registry: &Arc<dyn SchemaRegistry>, id: i32) -> Option<Self> {
        let schema = registry.schema(id).ok()?;
        let resolved = registry.resolve(&schema).ok()?;
        let format = match schema.schema_type {
            SchemaType::Avro => Format::Avro,
            SchemaType::Protobuf => Format::Protobuf,
            SchemaType::Json => Format::JsonSr,
        };
        // A record is read by its fields, anything else as the one value that it is.
        [true, false].into_iter().filter(|wrapped| *wrapped || format.can_unwrap()).find_map(|wrapped| {
            let spec = FormatSpec::new(format, wrapped);
            let fields = spec.infer(&resolved, None, "VALUE").ok()?;
            let (decoder, encoder) = Self::codec(registry, &spec, &fields).ok()?;
            let payloads = Payloads::new();
            Some(Self { schema_type: schema.schema_type, decoder, encoder, payloads })
        })
    }

    fn codec(
        registry: &Arc<dyn SchemaRegistry>,
        spec: &FormatSpec,
        fields: &Fields,
    ) -> Result<(Decoder, Encoder), FormatError> {
        let subject =
            Subject { registry: registry.clone(), name: String::new(), full_name: None, schema_id: None };
        let json = FormatSpec::new(Format::Json, spec.wrapped);
        Ok((spec.decoder(fields, None, Some(&subject))?, json.encoder(fields, None)?))
    }
}
