//! Objects: properties under open, closed and partially open content models.

use super::{array::is_empty, comparison::Comparison, node::Item, scalar::Bound};
use crate::{json::Json, json_sr::Part};

/// What an object says about a name that is not among its properties.
enum Other<'a> {
    /// Anything.
    Open,
    /// It must not be there.
    Closed,
    /// Names of a pattern, or all others, have this schema.
    Partially(&'a Json),
}

fn other<'a>(part: Part<'a>, name: &str) -> Other<'a> {
    let patterns = part.json.get("patternProperties").map_or(&[][..], Json::members);
    if let Some((_, schema)) = patterns.iter().find(|(pattern, _)| is_match(pattern, name)) {
        return Other::Partially(schema);
    }
    match part.json.get("additionalProperties") {
        Some(Json::Bool(false)) => Other::Closed,
        Some(schema @ Json::Object(_)) => Other::Partially(schema),
        // Beside patterns, names that match none stand for anything, but the model is not open.
        _ => Other::Open,
    }
}

/// Whether a name is of a pattern, as a validator says; patterns are not anchored.
fn is_match(pattern: &str, name: &str) -> bool {
    let schema = serde_json::json!({ "pattern": pattern });
    jsonschema::validator_for(&schema).is_ok_and(|validator| validator.is_valid(&name.into()))
}

fn properties(json: &Json) -> &[(String, Json)] {
    json.get("properties").map_or(&[][..], Json::members)
}

fn is_required(json: &Json, name: &str) -> bool {
    json.get("required").map_or(&[][..], Json::items).iter().any(|required| required.as_str() == Some(name))
}

impl<'a> Comparison<'a> {
    pub(super) fn objects(&mut self, old: Part<'a>, new: Part<'a>) -> Result<(), String> {
        let (was, is) = (old.json, new.json);
        self.bound(
            was,
            is,
            "maxProperties",
            Bound::Upper,
            "MAX_PROPERTIES_ADDED",
            "MAX_PROPERTIES_DECREASED",
        );
        self.bound(
            was,
            is,
            "minProperties",
            Bound::Lower,
            "MIN_PROPERTIES_ADDED",
            "MIN_PROPERTIES_INCREASED",
        );
        self.below(old, new, "propertyNames")?;
        self.additional(old, new)?;
        self.dependencies(old, new)?;
        for (name, schema) in properties(was) {
            if let Some((_, newer)) = properties(is).iter().find(|(other, _)| other == name) {
                if is_required(is, name) && !is_required(was, name) && newer.get("default").is_none() {
                    self.at("required", |this| this.report_at(name, "REQUIRED_ATTRIBUTE_ADDED"));
                }
                let (older, newer) = (Item::new(old.below(schema)), Item::new(new.below(newer)));
                self.at("properties", |this| this.at(name, |this| this.compare(older, newer)))?;
            } else {
                let older = Item::new(old.below(schema));
                self.at("properties", |this| this.at(name, |this| this.removed(older, new, name)))?;
            }
        }
        for (name, schema) in properties(is) {
            if !properties(was).iter().any(|(other, _)| other == name) {
                let newer = Item::new(new.below(schema));
                self.at("properties", |this| this.at(name, |this| this.added(old, newer, new, name)))?;
            }
        }
        // A name may be required without being a property.
        for name in is.get("required").map_or(&[][..], Json::items).iter().filter_map(Json::as_str) {
            if !properties(is).iter().any(|(other, _)| other == name) && !is_required(was, name) {
                self.at("required", |this| this.report_at(name, "REQUIRED_ATTRIBUTE_ADDED"));
            }
        }
        Ok(())
    }

    fn removed(&mut self, older: Item<'a>, new: Part<'a>, name: &str) -> Result<(), String> {
        match other(new, name) {
            Other::Open => {}
            Other::Closed if *older.part.json == Json::Bool(false) => {}
            Other::Closed => self.report("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
            Other::Partially(schema) => {
                if !self.takes(older, Item::new(new.below(schema)))? {
                    self.report("PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                }
            }
        }
        Ok(())
    }

    fn added(&mut self, old: Part<'a>, newer: Item<'a>, new: Part<'a>, name: &str) -> Result<(), String> {
        let json = newer.part.json;
        let required =
            is_required(new.json, name) && json.get("default").is_none() && !is_required(old.json, name);
        match other(old, name) {
            Other::Open if is_empty(json) => {
                if required {
                    self.report("REQUIRED_ATTRIBUTE_ADDED");
                }
            }
            Other::Open => self.report("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
            Other::Closed if required => self.report("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"),
            Other::Closed => {}
            Other::Partially(schema) => {
                if required {
                    self.report("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL");
                }
                if !self.takes(Item::new(old.below(schema)), newer)? {
                    self.report("PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                }
            }
        }
        Ok(())
    }

    fn additional(&mut self, old: Part<'a>, new: Part<'a>) -> Result<(), String> {
        let keyword = "additionalProperties";
        let closed = |json: Option<&Json>| json == Some(&Json::Bool(false));
        match (old.json.get(keyword), new.json.get(keyword)) {
            (was, is) if closed(is) && !closed(was) => {
                self.report_at(keyword, "ADDITIONAL_PROPERTIES_REMOVED");
            }
            (None | Some(Json::Bool(true)), Some(is)) if !is_empty(is) => {
                self.report_at(keyword, "ADDITIONAL_PROPERTIES_NARROWED");
            }
            (Some(was), Some(is)) => {
                let (older, newer) = (Item::new(old.below(was)), Item::new(new.below(is)));
                self.at(keyword, |this| this.compare(older, newer))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Names that others ask for, or schemas that they bring along.
    fn dependencies(&mut self, old: Part<'a>, new: Part<'a>) -> Result<(), String> {
        for keyword in ["dependencies", "dependentRequired", "dependentSchemas"] {
            let was = old.json.get(keyword).map_or(&[][..], Json::members);
            for (name, newer) in new.json.get(keyword).map_or(&[][..], Json::members) {
                let older = was.iter().find(|(other, _)| other == name).map(|(_, older)| older);
                self.at(keyword, |this| {
                    this.at(name, |this| match (older, newer) {
                        (Some(Json::Array(older)), Json::Array(newer)) => {
                            if !newer.iter().all(|name| older.contains(name)) {
                                let extended = older.iter().all(|name| newer.contains(name));
                                this.report(if extended {
                                    "DEPENDENCY_ARRAY_EXTENDED"
                                } else {
                                    "DEPENDENCY_ARRAY_CHANGED"
                                });
                            }
                            Ok(())
                        }
                        (Some(Json::Array(_)) | None, Json::Object(_) | Json::Bool(_)) => {
                            this.report("DEPENDENCY_SCHEMA_ADDED");
                            Ok(())
                        }
                        (_, Json::Array(_)) => {
                            this.report("DEPENDENCY_ARRAY_ADDED");
                            Ok(())
                        }
                        (Some(older), newer) => {
                            this.compare(Item::new(old.below(older)), Item::new(new.below(newer)))
                        }
                        (None, _) => Ok(()),
                    })
                })?;
            }
        }
        Ok(())
    }
}
