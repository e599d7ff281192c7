//! Schemas under subjects and ids: what AVRO, PROTOBUF and JSON_SR keep beside the bytes.
//!
//! ```text
//! SchemaRegistry ◀─ EmbeddedRegistry (in this process) ─▶ the _schemas topic of a log
//!                ◀─ RegistryClient   (over HTTP)       ─▶ server, or anybody's registry
//! ```
//!
//! A *subject* such as `orders-value` holds numbered *versions*; each version is a schema with a global *id*,
//! and the same text registered again has the id that it had. Payloads carry the id ([`split_header`]).

mod change;
mod client;
pub mod compatibility;
mod embedded;
mod error;
mod journal;
mod plans;
mod schema;
mod serde_config;
mod serde_schemas;
mod server;
mod settings;
mod state;
mod subject;
mod version;
mod wire;

pub use client::{Credentials, RegistryClient, RegistryClientConfig};
pub use embedded::{EmbeddedRegistry, Registration, Scope};
pub use error::RegistryError;
pub use journal::SCHEMAS_TOPIC;
pub(crate) use plans::Plans;
pub use schema::{Reference, RegisteredSchema, ResolvedSchema, Schema, SchemaType};
pub use serde_config::SerdeConfig;
pub(crate) use serde_schemas::{SerdeSchemas, header_of};
pub use server::{RegistryServer, RegistryServerConfig};
pub use settings::{Mode, SubjectConfig};
pub use version::{Deleted, VersionSpec};
pub use wire::{split_header, write_header};

use change::Change;
use compatibility::Compatibility;
use journal::Journal;
use state::State;

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

    /// The schema that a reference means, even if it was deleted in the meantime.
    fn referred(&self, reference: &Reference) -> Result<Schema, RegistryError> {
        Ok(self.version(&reference.subject, reference.version)?.schema)
    }

    /// A schema with everything that it refers to, in an order in which each follows what it needs.
    fn resolve(&self, schema: &Schema) -> Result<ResolvedSchema, RegistryError> {
        resolve_with(schema, |reference| self.referred(reference))
    }
}

/// What people do with a registry, beyond what formats need.
pub trait RegistryAdmin: SchemaRegistry {
    /// Names of the subjects that begin with a prefix: in the default context, in one (`:.ctx:`), or with `:*:` all.
    fn all_subjects(&self, prefix: &str, deleted: Deleted) -> Result<Vec<String>, RegistryError>;

    /// The version numbers of a subject.
    fn versions(&self, subject: &str, deleted: Deleted) -> Result<Vec<i32>, RegistryError>;

    /// One version of a subject, or its newest.
    fn find(&self, subject: &str, version: VersionSpec) -> Result<RegisteredSchema, RegistryError>;

    /// Deletes a version: softly, or for good if that was done before. Tells its number.
    fn delete_version(
        &self,
        subject: &str,
        version: VersionSpec,
        permanent: bool,
    ) -> Result<i32, RegistryError>;

    /// What keeps a schema, normalised first if asked to, from being registered; empty if it is compatible with the
    /// subject's versions.
    fn check(&self, subject: &str, schema: &Schema, normalize: bool) -> Result<Vec<String>, RegistryError>;

    /// Puts a schema under a subject, normalised or with the id and version that it had elsewhere; tells its id.
    fn register_as(&self, subject: &str, schema: &Schema, how: Registration) -> Result<i32, RegistryError>;

    /// What a subject, a context (`:.ctx:`) or, without either, the registry is set to.
    fn config(&self, subject: Option<&str>, scope: Scope) -> Result<SubjectConfig, RegistryError>;

    /// Sets what is given and leaves the rest as it was.
    fn set_config(&self, subject: Option<&str>, config: SubjectConfig) -> Result<(), RegistryError>;

    /// Takes settings back, so that the wider scope decides.
    fn delete_config(&self, subject: Option<&str>) -> Result<(), RegistryError>;

    /// The mode of a subject, a context or the registry.
    fn mode(&self, subject: Option<&str>, scope: Scope) -> Result<Mode, RegistryError>;

    /// Sets a mode; `force` sets IMPORT where there are schemas.
    fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<(), RegistryError>;

    /// Takes a mode back, so that the wider scope decides.
    fn delete_mode(&self, subject: Option<&str>) -> Result<(), RegistryError>;
}

/// References may refer on, but not in a circle and not deeper than this.
const REFERENCE_DEPTH_MAX: usize = 64;

/// A schema and what it refers to, as `referred` finds it.
fn resolve_with(
    schema: &Schema,
    mut referred: impl FnMut(&Reference) -> Result<Schema, RegistryError>,
) -> Result<ResolvedSchema, RegistryError> {
    let mut resolved = ResolvedSchema { schema: schema.clone(), references: Vec::new() };
    collect(&schema.references, &mut referred, &mut Vec::new(), &mut resolved.references)?;
    Ok(resolved)
}

fn collect(
    references: &[Reference],
    referred: &mut impl FnMut(&Reference) -> Result<Schema, RegistryError>,
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
        let schema = referred(reference)?;
        visiting.push(reference.clone());
        collect(&schema.references, referred, visiting, found)?;
        visiting.pop();
        found.push((reference.name.clone(), schema));
    }
    Ok(())
}
