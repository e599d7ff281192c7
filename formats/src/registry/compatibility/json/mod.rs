//! JSON Schema: validity, canonical text and the original's rules for changes.

use super::difference::Difference;
use crate::{ResolvedSchema, json_sr::Documents, json_sr::validator};

/// The document without white space; with all names in order if `sorted`.
pub(super) fn canonical(schema: &ResolvedSchema, sorted: bool) -> Result<String, String> {
    let documents = Documents::parse(schema)?;
    validator(schema)?;
    let root = documents.root();
    Ok(if sorted { root.sorted().to_text() } else { root.to_text() })
}

/// What keeps `reader` from reading data of `writer`.
pub(super) fn compare(reader: &ResolvedSchema, writer: &ResolvedSchema) -> Result<Vec<Difference>, String> {
    let same = canonical(reader, true)? == canonical(writer, true)?;
    Ok(if same { Vec::new() } else { vec![Difference::new("CHANGED", "The schema has changed")] })
}
