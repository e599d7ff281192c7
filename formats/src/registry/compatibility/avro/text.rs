//! Avro's schemas as Java's `Schema.toString` writes them.

use std::collections::{HashMap, HashSet};

use super::model::{defined_name, full_name, namespace_of, primitive};
use crate::json::{DEPTH_MAX, Json};

/// Attributes that mean something to Avro, by kind of type; all others are kept behind them.
const FIELD: &[&str] = &["name", "type", "doc", "default", "order", "aliases"];
const NAMED: &[&str] =
    &["type", "name", "namespace", "doc", "fields", "symbols", "size", "default", "aliases"];

/// The text of a schema that parsed.
pub(super) fn canonical(root: &Json, sorted: bool) -> String {
    Writer { sorted, ..Writer::default() }.ty(root, None).to_text()
}

/// The text of a schema and of those that it refers to: each type is defined where it is first named.
pub(super) fn resolved(root: &Json, references: &[Json]) -> Result<String, String> {
    let mut writer = Writer::default();
    references.iter().for_each(|reference| writer.collect(reference, None));
    let text = writer.ty(root, None).to_text();
    if writer.too_deep {
        return Err(format!("nested deeper than {DEPTH_MAX}"));
    }
    // Definitions in definitions may be nested deeper than each of them.
    Json::parse(&text).map(|_| text)
}

#[derive(Default)]
struct Writer {
    /// Whether unknown attributes come in order of their names.
    sorted: bool,
    /// What references define and was not named yet, by full name; each has its full name in it.
    definitions: HashMap<String, Json>,
    /// Full names of what is defined in the text.
    defined: HashSet<String>,
    depth: usize,
    too_deep: bool,
}

impl Writer {
    /// Takes note of the types that a schema defines, those inside of others too.
    fn collect(&mut self, json: &Json, namespace: Option<&str>) {
        if json.as_str().is_some() {
            return;
        }
        json.items().iter().for_each(|branch| self.collect(branch, namespace));
        let Some(kind) = json.get("type") else { return };
        match (kind.as_str(), defined_name(json, namespace)) {
            (Some("record" | "error" | "enum" | "fixed"), Ok(full)) => {
                let fields = json.get("fields").map_or(&[][..], Json::items);
                for ty in fields.iter().filter_map(|field| field.get("type")) {
                    self.collect(ty, namespace_of(&full));
                }
                let mut members = json.members().to_vec();
                members.retain(|(name, _)| name != "name" && name != "namespace");
                members.push(("name".into(), Json::String(full.clone())));
                // So that a name without dots stays in no namespace wherever it is put.
                members.push(("namespace".into(), Json::String(String::new())));
                self.definitions.insert(full, Json::Object(members));
            }
            (Some("array"), _) => json.get("items").into_iter().for_each(|ty| self.collect(ty, namespace)),
            (Some("map"), _) => json.get("values").into_iter().for_each(|ty| self.collect(ty, namespace)),
            _ => self.collect(kind, namespace),
        }
    }

    fn ty(&mut self, json: &Json, namespace: Option<&str>) -> Json {
        self.depth += 1;
        self.too_deep |= self.depth > DEPTH_MAX;
        let written = if self.too_deep { Json::Null } else { self.shallow(json, namespace) };
        self.depth -= 1;
        written
    }

    /// A type by its name, or its definition if it is one of a reference and was not named before.
    fn name(&mut self, name: &str, namespace: Option<&str>) -> Json {
        let full = full_name(name, namespace);
        let definition = self.definitions.remove(&full).or_else(|| self.definitions.remove(name));
        match definition {
            Some(definition) => self.ty(&definition, namespace),
            None => Json::String(reference(&full, namespace)),
        }
    }

    fn shallow(&mut self, json: &Json, namespace: Option<&str>) -> Json {
        match json {
            Json::String(name) if primitive(name).is_none() => self.name(name, namespace),
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
            "record" | "error" | "enum" | "fixed" => {
                let Ok(full) = defined_name(json, namespace) else { return Json::Null };
                self.definitions.remove(&full);
                if !self.defined.insert(full.clone()) {
                    // A part of a definition that was named before the whole was.
                    return Json::String(reference(&full, namespace));
                }
                self.named(json, &full, namespace, &mut out);
            }
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
            _ => return self.name(kind, namespace),
        }
        Json::Object(out)
    }

    fn named(&mut self, json: &Json, full: &str, namespace: Option<&str>, out: &mut Vec<(String, Json)>) {
        let inside = namespace_of(full);
        let short = full.rsplit_once('.').map_or(full, |(_, short)| short);
        out.push(("name".into(), Json::String(short.into())));
        if inside != namespace {
            out.push(("namespace".into(), Json::String(inside.unwrap_or_default().into())));
        }
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
