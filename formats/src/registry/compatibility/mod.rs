//! Whether a schema may follow the schemas that a subject has, and what a schema is in the first place.
//!
//! ```text
//! text ─▶ parse (is it one?) ─▶ canonical (the text that is kept and compared)
//! new + previous ─▶ check (level) ─▶ incompatibilities, in the original's words
//! ```
//!
//! Each language has its own rules: [`avro`] those of the specification's schema resolution, [`json`] and
//! [`protobuf`] those of the original's comparison of two schemas, change by change.

mod avro;
mod difference;
mod json;
mod level;
mod protobuf;
#[cfg(test)]
mod tests;

pub use level::Compatibility;

use super::{RegistryError, ResolvedSchema, Schema, SchemaType};
use difference::Side;

/// Refuses a text that is no schema of its type, or that names what its references do not define: 42201.
pub fn parse(schema: &ResolvedSchema) -> Result<(), RegistryError> {
    canonical(schema).map(drop)
}

/// The text that is kept and compared: what the schema says without white space and comments. Schemas with the
/// same canonical text and references are the same schema. Fails with 42201 as [`parse`] does.
pub fn canonical(schema: &ResolvedSchema) -> Result<String, RegistryError> {
    text(schema, false)
}

/// The canonical text with everything in order that may come in any order (`normalize=true`).
pub fn normalized(schema: &ResolvedSchema) -> Result<String, RegistryError> {
    text(schema, true)
}

/// The canonical text of an Avro schema that needs no others: what it refers to is defined where it is first named.
/// Fails with 42201 as [`parse`] does, and where definitions in definitions are nested too deep.
pub(super) fn resolved(schema: &ResolvedSchema) -> Result<String, RegistryError> {
    avro::resolved(schema).map_err(|reason| invalid(&schema.schema, &reason))
}

/// The canonical text of a Protobuf schema without extensions and their options. Fails with 42201 as [`parse`] does.
pub(super) fn without_extensions(schema: &ResolvedSchema) -> Result<String, RegistryError> {
    protobuf::without_extensions(schema).map_err(|reason| invalid(&schema.schema, &reason))
}

fn text(schema: &ResolvedSchema, sorted: bool) -> Result<String, RegistryError> {
    let text = match schema.schema.schema_type {
        SchemaType::Avro => avro::canonical(schema, sorted),
        SchemaType::Json => json::canonical(schema, sorted),
        SchemaType::Protobuf => protobuf::canonical(schema, sorted),
    };
    text.map_err(|reason| invalid(&schema.schema, &reason))
}

fn invalid(schema: &Schema, reason: &str) -> RegistryError {
    let references: Vec<String> = schema.references.iter().map(ToString::to_string).collect();
    RegistryError::invalid_schema(format!(
        "Invalid schema with refs [{}] of type {}, details: {reason}",
        references.join(", "),
        schema.schema_type
    ))
}

/// What keeps `new` from following `previous`, the versions of its subject with the newest last. Empty if it is
/// compatible. Transitive levels look at all versions, the others at the newest. The lines are those that
/// the original's API answers with: one for each change, then the version and the text they refer to.
pub fn check(
    level: Compatibility,
    new: &ResolvedSchema,
    previous: &[(i32, ResolvedSchema)],
) -> Result<Vec<String>, RegistryError> {
    let compared = match level {
        Compatibility::None => 0,
        _ if level.is_transitive() => previous.len(),
        _ => 1,
    };
    for (version, old) in previous.iter().rev().take(compared) {
        let mut lines = Vec::new();
        if level.is_backward() {
            lines.extend(differences(new, old, Side::New)?);
        }
        if level.is_forward() {
            lines.extend(differences(old, new, Side::Old)?);
        }
        if !lines.is_empty() {
            lines.push(format!("{{oldSchemaVersion: {version}}}"));
            lines.push(format!("{{oldSchema: '{}'}}", old.schema.text));
            lines.push(format!("{{compatibility: '{level}'}}"));
            return Ok(lines);
        }
    }
    Ok(Vec::new())
}

/// What keeps `reader` from reading what was written with `writer`. `side` says which of the two is the reader.
fn differences(
    reader: &ResolvedSchema,
    writer: &ResolvedSchema,
    side: Side,
) -> Result<Vec<String>, RegistryError> {
    if reader.schema.schema_type != writer.schema.schema_type {
        return Ok(vec!["Incompatible because of different schema type".into()]);
    }
    let compare = match reader.schema.schema_type {
        SchemaType::Avro => avro::compare,
        SchemaType::Json => json::compare,
        SchemaType::Protobuf => protobuf::compare,
    };
    // Only the new schema can be at fault: the old one was registered.
    let new = if side == Side::New { reader } else { writer };
    let found = compare(reader, writer).map_err(|reason| invalid(&new.schema, &reason))?;
    Ok(found.iter().map(|difference| difference.line(side)).collect())
}
