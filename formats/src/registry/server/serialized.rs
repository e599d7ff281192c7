//! The text of a schema in the form that a client asks for.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::super::{
    RegistryError, ResolvedSchema, SchemaType,
    compatibility::{resolved, without_extensions},
};
use crate::protobuf::Proto;

/// The text as it is kept; with `format=resolved` an Avro schema with all that it refers to in its place; with
/// `format=ignore_extensions` a Protobuf schema without extensions and their options; with `format=serialized` its file
/// descriptor in base64, which clients without a parser for `.proto` files ask for. Fails with 422 for other formats.
pub(super) fn text(schema: &ResolvedSchema, format: Option<&str>) -> Result<String, RegistryError> {
    match (format.unwrap_or_default(), schema.schema.schema_type) {
        ("", _) | ("default", SchemaType::Avro | SchemaType::Protobuf) => Ok(schema.schema.text.clone()),
        ("resolved", SchemaType::Avro) => resolved(schema),
        ("ignore_extensions", SchemaType::Protobuf) => without_extensions(schema),
        ("serialized", SchemaType::Protobuf) => {
            let proto =
                Proto::compile(schema).map_err(|error| RegistryError::invalid_schema(error.to_string()))?;
            Ok(BASE64_STANDARD.encode(proto.descriptor()))
        }
        (format, schema_type) => {
            let message = format!("Unsupported format {format} for schemas of type {schema_type}");
            Err(RegistryError::new(422, message))
        }
    }
}
