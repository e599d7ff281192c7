//! Avro's schemas as Java's `Schema.toString` writes them.

use std::collections::HashSet;

use super::model::{defined_name, full_name, namespace_of, primitive};
use crate::json::Json;

/// Attributes that mean something to Avro, by kind of type; all others are kept behind them.
const FIELD: &[&str] = &["name", "type", "doc", "default", "order", "aliases"];
const NAMED: &[&str] =
    &["type", "name", "namespace", "doc", "fields", "symbols", "size", "default", "aliases"];

/// The text of a schema that parsed.
pub(super) fn canonical(root: &Json, sorted: bool) -> String {
    Writer { sorted, defined: HashSet::new() }.ty(root, None).to_text()
}

struct Writer {
    /// Whether unknown attributes come in order of their names.
    sorted: bool,
    defined: HashSet<String>,
}

impl Writer {
    fn ty(&mut self, json: &Json, namespace: Option<&str>) -> Json {
        match json {
            Json::String(name) if primitive(name).is_none() => {
                Json::String(reference(&full_name(name, namespace), namespace))
            }
            Json::Array(branches) => {
                Json::Array(branches.iter().map(|branch| self.ty(branch, namespace)).collect())
            }
            Json::Object(_) => self.complex(json, namespace),
            plain => plain.clone(),
        }
    }

    fn complex(&mut self, json: &Json, namespace: Option<&str>) -> Json {
        let Some(kind) = json.text("type") else {
            // `{"type": {...}}` says no more than what is inside.
            return json.get("type").map_or(Json::Null, |inner| self.ty(inner, namespace));
        };
        let mut out = vec![("type".to_owned(), Json::String(kind.to_owned()))];
        match kind {
            "record" | "error" | "enum" | "fixed" => self.named(json, namespace, &mut out),
            "array" | "map" => {
                let parts = if kind == "array" { "items" } else { "values" };
                let inner = json.get(parts).map_or(Json::Null, |inner| self.ty(inner, namespace));
                out.push((parts.to_owned(), inner));
                self.rest(json, &["type", parts], &mut out);
            }
            _ if primitive(kind).is_some() => {
                self.rest(json, &["type"], &mut out);
                if out.len() == 1 {
                    return Json::String(kind.to_owned());
                }
            }
            _ => return Json::String(reference(&full_name(kind, namespace), namespace)),
        }
        Json::Object(out)
    }

    fn named(&mut self, json: &Json, namespace: Option<&str>, out: &mut Vec<(String, Json)>) {
        let Ok(full) = defined_name(json, namespace) else { return };
        let inside = namespace_of(&full);
        let short = full.rsplit_once('.').map_or(full.as_str(), |(_, short)| short);
        out.push(("name".into(), Json::String(short.into())));
        if inside != namespace {
            out.push(("namespace".into(), Json::String(inside.unwrap_or_default().into())));
        }
        self.defined.insert(full.clone());
        self.copy(json, &["doc"], out);
        if let Some(fields) = json.get("fields") {
            let fields = fields.items().iter().map(|field| self.field(field, inside)).collect();
            out.push(("fields".into(), Json::Array(fields)));
        }
        self.copy(json, &["symbols", "default", "size"], out);
        self.rest(json, NAMED, out);
        self.aliases(json, inside, out);
    }

    fn field(&mut self, field: &Json, namespace: Option<&str>) -> Json {
        let mut out = Vec::new();
        self.copy(field, &["name"], &mut out);
        let ty = field.get("type").map_or(Json::Null, |ty| self.ty(ty, namespace));
        out.push(("type".into(), ty));
        self.copy(field, &["doc", "default"], &mut out);
        if field.text("order").is_some_and(|order| order != "ascending") {
            self.copy(field, &["order"], &mut out);
        }
        self.aliases(field, None, &mut out);
        self.rest(field, FIELD, &mut out);
        Json::Object(out)
    }

    fn copy(&self, json: &Json, names: &[&str], out: &mut Vec<(String, Json)>) {
        for name in names {
            if let Some(value) = json.get(name) {
                out.push(((*name).to_owned(), value.clone()));
            }
        }
    }

    fn aliases(&self, json: &Json, namespace: Option<&str>, out: &mut Vec<(String, Json)>) {
        let aliases = json.get("aliases").map_or(&[][..], Json::items);
        let aliases: Vec<Json> = aliases
            .iter()
            .filter_map(Json::as_str)
            .map(|alias| Json::String(reference(&full_name(alias, namespace), namespace)))
            .collect();
        if !aliases.is_empty() {
            out.push(("aliases".into(), Json::Array(aliases)));
        }
    }

    fn rest(&self, json: &Json, known: &[&str], out: &mut Vec<(String, Json)>) {
        let mut rest: Vec<(String, Json)> =
            json.members().iter().filter(|(name, _)| !known.contains(&name.as_str())).cloned().collect();
        if self.sorted {
            rest = rest.into_iter().map(|(name, value)| (name, value.sorted())).collect();
            rest.sort_by(|a, b| a.0.cmp(&b.0));
        }
        out.extend(rest);
    }
}

/// A full name as it is written inside a namespace.
fn reference(full: &str, namespace: Option<&str>) -> String {
    match full.rsplit_once('.') {
        Some((space, short)) if Some(space) == namespace => short.to_owned(),
        _ => full.to_owned(),
    }
}
