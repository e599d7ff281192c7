//! A JSON Schema with the documents that it refers to.

use crate::{ResolvedSchema, json::Json};

/// The document of a schema and those of its references.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The root comes first, under the empty name.
    documents: Vec<(String, Json)>,
}

/// A part of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// Which document.
    document: usize,
    pub(crate) json: &'a Json,
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

    pub(crate) fn root_part(&self) -> Part<'_> {
        Part { document: 0, json: self.root() }
    }

    /// What a `$ref` of a part means: another document, a place in one, or both.
    pub(crate) fn refer(&self, from: Part<'_>, reference: &str) -> Option<Part<'_>> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let start = if uri.is_empty() {
            let document = from.document;
            Part { document, json: &self.documents[document].1 }
        } else {
            self.document(uri)?
        };
        let fragment = percent_decoded(fragment);
        let json = match fragment.strip_prefix('/') {
            None if fragment.is_empty() => start.json,
            None => anchored(start.json, &fragment)?,
            Some(pointer) => pointer.split('/').try_fold(start.json, |json, step| {
                let step = step.replace("~1", "/").replace("~0", "~");
                match json {
                    Json::Array(items) => items.get(step.parse::<usize>().ok()?),
                    _ => json.get(&step),
                }
            })?,
        };
        Some(Part { json, ..start })
    }

    /// The document, or the part of one, with this name or `$id`.
    fn document(&self, uri: &str) -> Option<Part<'_>> {
        let parts =
            || (0..).zip(&self.documents).map(|(document, (name, json))| (name, Part { document, json }));
        let named = parts().find(|(name, _)| *name == uri).map(|(_, part)| part);
        let identified = || {
            parts().find_map(|(_, part)| {
                Some(Part {
                    json: find(part.json, &|json| id(json).is_some_and(|id| same_uri(id, uri)))?,
                    ..part
                })
            })
        };
        named.or_else(identified).or_else(|| {
            // A relative reference stands for a name that ends with it, as its base is not known here.
            let ends = |name: &str| name.rsplit('/').next() == uri.rsplit('/').next();
            parts().skip(1).find(|(name, _)| ends(name)).map(|(_, part)| part)
        })
    }
}

impl<'a> Part<'a> {
    /// A part below this one.
    pub(crate) fn below(self, json: &'a Json) -> Self {
        Self { json, ..self }
    }
}

fn id(json: &Json) -> Option<&str> {
    json.text("$id").or_else(|| json.text("id"))
}

fn same_uri(id: &str, uri: &str) -> bool {
    id.trim_end_matches('#') == uri || id.rsplit('/').next() == Some(uri)
}

fn anchored<'a>(root: &'a Json, anchor: &str) -> Option<&'a Json> {
    find(root, &|json| {
        json.text("$anchor") == Some(anchor) || id(json).and_then(|id| id.strip_prefix('#')) == Some(anchor)
    })
}

/// The first object in a tree that is wanted. Trees are not deep.
fn find<'a>(json: &'a Json, wanted: &dyn Fn(&Json) -> bool) -> Option<&'a Json> {
    if wanted(json) {
        return Some(json);
    }
    let members = json.members().iter().map(|(_, value)| value);
    members.chain(json.items()).find_map(|value| find(value, wanted))
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let decoded = (*byte == b'%')
            .then(|| u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok())
            .flatten();
        match decoded {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
