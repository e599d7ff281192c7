//! JSON Schema: validity, canonical text and the original's rules for changes.
//!
//! Data of the old schema must be valid under the new one. Whether more names than those that are declared may
//! stand in an object (its *content model* is open, closed, or open for some) decides what a new or a removed
//! property means: under an open model old data may hold anything under the new name.

mod array;
mod combined;
mod comparison;
mod node;
mod object;
mod scalar;
#[cfg(test)]
mod tests;

use super::difference::Difference;
use crate::{
    ResolvedSchema,
    json_sr::{Documents, validator},
};

/// The document without white space; with all names in order if `sorted`.
pub(super) fn canonical(schema: &ResolvedSchema, sorted: bool) -> Result<String, String> {
    let documents = Documents::parse(schema)?;
    validator(schema)?;
    let root = documents.root();
    Ok(if sorted { root.sorted().to_text() } else { root.to_text() })
}

/// What keeps `reader` from reading data of `writer`.
pub(super) fn compare(reader: &ResolvedSchema, writer: &ResolvedSchema) -> Result<Vec<Difference>, String> {
    comparison::compare(&Documents::parse(reader)?, &Documents::parse(writer)?)
}
