//! A JSON Schema with the documents that it refers to.

use crate::{ResolvedSchema, json::Json};

/// The document of a schema and those of its references.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The root comes first, under the empty name.
    documents: Vec<(String, Json)>,
}

impl Documents {
    pub(crate) fn parse(schema: &ResolvedSchema) -> Result<Self, String> {
        let mut documents = vec![(String::new(), Json::parse(&schema.schema.text)?)];
        for (name, reference) in &schema.references {
            let json = Json::parse(&reference.text).map_err(|error| format!("reference {name}: {error}"))?;
            documents.push((name.clone(), json));
        }
        match documents.iter().find(|(_, json)| !matches!(json, Json::Object(_) | Json::Bool(_))) {
            None => Ok(Self { documents }),
            Some((_, json)) => Err(format!("a schema is an object or a boolean, not {}", json.to_text())),
        }
    }

    pub(crate) fn root(&self) -> &Json {
        &self.documents[0].1
    }
}
