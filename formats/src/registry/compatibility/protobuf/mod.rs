//! Protobuf: validity, canonical text and the original's rules for changes.

mod text;

use super::difference::Difference;
use crate::ResolvedSchema;

/// The file without comments, in the layout and order of parts in which the original writes it; with
/// everything in order that may come in any order if `sorted`.
pub(super) fn canonical(schema: &ResolvedSchema, sorted: bool) -> Result<String, String> {
    protox::file::File::from_source("schema.proto", &schema.schema.text)
        .map_err(|error| error.to_string())?;
    text::canonical(&schema.schema.text, sorted)
}

/// What keeps `reader` from reading data of `writer`.
pub(super) fn compare(reader: &ResolvedSchema, writer: &ResolvedSchema) -> Result<Vec<Difference>, String> {
    let same = canonical(reader, true)? == canonical(writer, true)?;
    Ok(if same { Vec::new() } else { vec![Difference::new("CHANGED", "The schema has changed")] })
}
