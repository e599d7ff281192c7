//! Schemas under subjects and ids: what AVRO, PROTOBUF and JSON_SR keep beside the bytes.
//!
//! ```text
//! SchemaRegistry ◀─ EmbeddedRegistry (in this process)
//! ```
//!
//! A *subject* such as `orders-value` holds numbered *versions*; each version is a schema with a global *id*,
//! and the same text registered again has the id that it had. Payloads carry the id ([`split_header`]).

pub mod compatibility;
mod embedded;
mod error;
mod schema;
mod wire;

pub use embedded::EmbeddedRegistry;
pub use error::RegistryError;
pub use schema::{Reference, RegisteredSchema, ResolvedSchema, Schema, SchemaType};
pub use wire::{split_header, write_header};

/// A schema registry, in this process or elsewhere. Methods block; none is called per record.
pub trait SchemaRegistry: Send + Sync + std::fmt::Debug {
    /// The schema with this id, whatever its subjects.
    fn schema(&self, id: i32) -> Result<Schema, RegistryError>;

    /// Puts a schema under a subject as its newest version, unless it is there already; tells its id.
    fn register(&self, subject: &str, schema: &Schema) -> Result<i32, RegistryError>;

    /// The newest version of a subject.
    fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError>;

    /// One version of a subject.
    fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError>;

    /// The version under which a subject knows this very schema.
    fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema, RegistryError>;

    /// All subjects, in order of their names.
    fn subjects(&self) -> Result<Vec<String>, RegistryError>;

    /// Deletes a subject: softly, so that ids stay readable, or for good. Tells the versions that went.
    fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError>;

    /// A schema with everything that it refers to, in an order in which each follows what it needs.
    fn resolve(&self, schema: &Schema) -> Result<ResolvedSchema, RegistryError> {
        let mut resolved = ResolvedSchema { schema: schema.clone(), references: Vec::new() };
        let mut visiting = Vec::new();
        collect(self, &schema.references, &mut visiting, &mut resolved.references)?;
        Ok(resolved)
    }
}

/// References may refer on, but not in a circle and not deeper than this.
const REFERENCE_DEPTH_MAX: usize = 64;

fn collect<R: SchemaRegistry + ?Sized>(
    registry: &R,
    references: &[Reference],
    visiting: &mut Vec<Reference>,
    found: &mut Vec<(String, Schema)>,
) -> Result<(), RegistryError> {
    for reference in references {
        if found.iter().any(|(name, _)| *name == reference.name) {
            continue;
        }
        if visiting.contains(reference) || visiting.len() >= REFERENCE_DEPTH_MAX {
            return Err(RegistryError::invalid_schema(format!(
                "reference {reference} leads back to itself or is nested deeper than {REFERENCE_DEPTH_MAX}"
            )));
        }
        let referred = registry.version(&reference.subject, reference.version)?;
        visiting.push(reference.clone());
        collect(registry, &referred.schema.references, visiting, found)?;
        visiting.pop();
        found.push((reference.name.clone(), referred.schema));
    }
    Ok(())
}
