//! Protobuf: validity, canonical text and the original's rules for changes.

mod comparison;
#[cfg(test)]
mod tests;
mod text;

use super::difference::Difference;
use crate::{
    ResolvedSchema,
    protobuf::{Proto, text_of_descriptor},
};

/// The file without comments, in the layout and order of parts in which the original writes it; with
/// everything in order that may come in any order if `sorted`. A descriptor becomes a file.
pub(super) fn canonical(schema: &ResolvedSchema, sorted: bool) -> Result<String, String> {
    if let Some(printed) = text_of_descriptor(schema) {
        return text::canonical(&printed.map_err(|error| error.to_string())?, sorted);
    }
    compile(schema)?;
    text::canonical(&schema.schema.text, sorted)
}

/// The same text without extensions and their options.
pub(super) fn without_extensions(schema: &ResolvedSchema) -> Result<String, String> {
    text::without_extensions(&canonical(schema, false)?)
}

/// What keeps `reader` from reading data of `writer`.
pub(super) fn compare(reader: &ResolvedSchema, writer: &ResolvedSchema) -> Result<Vec<Difference>, String> {
    comparison::compare(compile(reader)?.file(), compile(writer)?.file())
}

fn compile(schema: &ResolvedSchema) -> Result<Proto, String> {
    Proto::compile(schema).map_err(|error| error.to_string())
}
