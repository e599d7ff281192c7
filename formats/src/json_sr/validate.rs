//! Values against a JSON Schema.

use std::{collections::HashMap, error::Error};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use crate::ResolvedSchema;

/// Where relative references of a schema without an `$id` start.
const BASE: &str = "json-schema:///";

/// References by their names. Nothing else is fetched.
struct References(HashMap<String, Value>);

impl Retrieve for References {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        let name = uri.strip_prefix(BASE).unwrap_or(uri);
        let last = name.rsplit('/').next().unwrap_or(name);
        let found = self.0.get(name).or_else(|| self.0.get(last));
        found.cloned().ok_or_else(|| format!("{name} is not among the references").into())
    }
}

/// Compiles a schema; fails if it is none, or refers to what is not among its references.
pub(crate) fn validator(schema: &ResolvedSchema) -> Result<Validator, String> {
    let mut references = HashMap::new();
    for (name, reference) in &schema.references {
        references.insert(name.clone(), parse(&reference.text)?);
    }
    let root = parse(&schema.schema.text)?;
    let options = jsonschema::options().with_retriever(References(references));
    let options =
        if root.get("$id").is_none() { options.with_base_uri(format!("{BASE}root")) } else { options };
    options.build(&root).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("malformed JSON: {error}"))
}
