//! Records that carry the id of their schema, as JSON: for PRINT.

use std::{collections::HashMap, sync::Arc};

use millstream_formats::{
    Decoder, Encoder, Format, FormatSpec, Payloads, ResolvedSchema, SchemaRegistry, SchemaType, Subject,
    message_name_at, split_header, split_message_indexes,
};

/// Reads records by the schemas of a registry.
pub(super) struct SchemaReader {
    registry: Arc<dyn SchemaRegistry>,
    /// What is known of the ids met; nothing if they are none.
    schemas: HashMap<i32, Option<Known>>,
}

/// A schema, and how the records of its messages are read, each at its place. In other languages than Protobuf a schema
/// is for one kind of record, and the place is empty.
struct Known {
    schema: ResolvedSchema,
    codecs: Vec<(Vec<i32>, Codec)>,
}

/// How records of one kind are read and shown.
struct Codec {
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
        let (id, body) = split_header(bytes)?;
        let registry = &self.registry;
        let known = self.schemas.entry(id).or_insert_with(|| Known::new(registry, id)).as_mut()?;
        if known.schema.schema.schema_type != schema_type {
            return None;
        }
        known.codec(registry, body)?.read(bytes)
    }
}

impl Known {
    fn new(registry: &Arc<dyn SchemaRegistry>, id: i32) -> Option<Self> {
        let schema = registry.schema(id).and_then(|schema| registry.resolve(&schema)).ok()?;
        Some(Self { schema, codecs: Vec::new() })
    }

    /// The codec for the record with this body.
    fn codec(&mut self, registry: &Arc<dyn SchemaRegistry>, body: &[u8]) -> Option<&mut Codec> {
        let place = match self.schema.schema.schema_type {
            SchemaType::Protobuf => split_message_indexes(body)?.0,
            SchemaType::Avro | SchemaType::Json => Vec::new(),
        };
        let at = match self.codecs.iter().position(|(other, _)| *other == place) {
            Some(at) => at,
            None => {
                let codec = Codec::new(registry, &self.schema, &place)?;
                self.codecs.push((place, codec));
                self.codecs.len() - 1
            }
        };
        Some(&mut self.codecs[at].1)
    }
}

impl Codec {
    fn new(registry: &Arc<dyn SchemaRegistry>, schema: &ResolvedSchema, place: &[i32]) -> Option<Self> {
        let format = match schema.schema.schema_type {
            SchemaType::Avro => Format::Avro,
            SchemaType::Protobuf => Format::Protobuf,
            SchemaType::Json => Format::JsonSr,
        };
        let message = match format {
            Format::Protobuf => Some(message_name_at(schema, place).ok()?),
            _ => None,
        };
        // A record is read by its fields, anything else as the one value that it is.
        [true, false].into_iter().filter(|wrapped| *wrapped || format.can_unwrap()).find_map(|wrapped| {
            let spec = FormatSpec::new(format, wrapped);
            let fields = spec.infer(schema, message.as_deref(), "VALUE").ok()?;
            let registry = registry.clone();
            let subject = Subject { registry, name: String::new(), full_name: None, schema_id: None };
            let decoder = spec.decoder(&fields, None, Some(&subject)).ok()?;
            let encoder = FormatSpec::new(Format::Json, wrapped).encoder(&fields, None).ok()?;
            Some(Self { decoder, encoder, payloads: Payloads::new() })
        })
    }

    fn read(&mut self, bytes: &[u8]) -> Option<String> {
        let decoded = self.decoder.decode(&[Some(bytes)]);
        if !decoded.errors.is_empty() {
            return None;
        }
        self.payloads.clear();
        self.encoder.encode(&decoded.columns, 1, None, &mut self.payloads).ok()?;
        match self.payloads.get(0) {
            None => Some("null".to_owned()),
            Some(text) => String::from_utf8(text.to_vec()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_formats::{EmbeddedRegistry, Schema};

    use super::*;

    #[test]
    fn a_record_says_which_message_of_its_schema_it_is() {
        let registry: Arc<dyn SchemaRegistry> = Arc::new(EmbeddedRegistry::new());
        let text = "syntax = \"proto3\"; package p;
            message A { int32 id = 1; }
            message B { string name = 1; message C { bool flag = 1; } C c = 2; }";
        let id = registry.register("t-value", &Schema::new(SchemaType::Protobuf, text)).unwrap();
        assert_eq!(id, 1);
        let mut reader = SchemaReader::new(registry);
        let header = [0, 0, 0, 0, 1];
        for (body, expected) in [
            (&[0, 8, 7][..], Some(r#"{"id":7}"#)),
            (&[2, 2, 10, 1, b'x', 18, 2, 8, 1], Some(r#"{"name":"x","c":{"flag":true}}"#)),
            (&[4, 2, 0, 8, 1], Some(r#"{"flag":true}"#)),
            (&[2, 0, 8, 9], Some(r#"{"id":9}"#)),
            (&[2, 4, 8, 9], None),
            (&[0x80], None),
        ] {
            let found = reader.read(SchemaType::Protobuf, &[&header, body].concat());
            assert_eq!(found.as_deref(), expected, "{body:?}");
            assert_eq!(reader.read(SchemaType::Avro, &[&header, body].concat()), None);
        }
    }
}
