//! Avro: validity, canonical text and the specification's schema resolution.

mod model;
mod resolution;
#[cfg(test)]
mod tests;
mod text;

use super::difference::Difference;
use crate::{ResolvedSchema, json::Json};
use model::Model;

/// The text that the original keeps: as Java's `Schema.toString` writes it, and with the attributes that Avro
/// does not know in order if `sorted`.
pub(super) fn canonical(schema: &ResolvedSchema, sorted: bool) -> Result<String, String> {
    let (_, root) = parse(schema)?;
    Ok(text::canonical(&root, sorted))
}

/// The same text with the definitions of all references in it.
pub(super) fn resolved(schema: &ResolvedSchema) -> Result<String, String> {
    let (_, root) = parse(schema)?;
    let references = schema.references.iter().map(|(_, reference)| Json::parse(&reference.text));
    text::resolved(&root, &references.collect::<Result<Vec<_>, _>>()?)
}

/// What keeps `reader` from reading data of `writer`.
pub(super) fn compare(reader: &ResolvedSchema, writer: &ResolvedSchema) -> Result<Vec<Difference>, String> {
    resolution::compare(&parse(reader)?.0, &parse(writer)?.0)
}

fn parse(schema: &ResolvedSchema) -> Result<(Model, Json), String> {
    let mut model = Model::default();
    for (name, reference) in &schema.references {
        model.add(&Json::parse(&reference.text)?).map_err(|error| format!("reference {name}: {error}"))?;
    }
    let root = match Json::parse(&schema.schema.text) {
        // A bare name may stand without quotes in the original's API.
        Err(_) if model::is_name(schema.schema.text.trim()) => Json::String(schema.schema.text.trim().into()),
        other => other?,
    };
    model.add(&root)?;
    model.check_defaults()?;
    Ok((model, root))
}
