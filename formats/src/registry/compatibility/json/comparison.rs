//! Two schemas side by side.

use super::node::{Facet, Item, Node};
use crate::{
    json::Json,
    json_sr::{Documents, Part},
    registry::compatibility::difference::Difference,
};

/// Parts may be nested this deep, with references followed.
const DEPTH_MAX: usize = 100;

/// Pairs of parts that are compared at most: parts of combinations are compared each with each.
const PAIRS_MAX: usize = 50_000;

/// What keeps `reader` from taking all data of `writer`.
pub(super) fn compare(reader: &Documents, writer: &Documents) -> Result<Vec<Difference>, String> {
    let mut comparison =
        Comparison { reader, writer, path: Vec::new(), around: Vec::new(), pairs: 0, found: Vec::new() };
    comparison.compare(Item::new(writer.root_part()), Item::new(reader.root_part()))?;
    Ok(comparison.found)
}

pub(super) type Pair<'a> = ((usize, Option<Facet<'a>>), (usize, Option<Facet<'a>>));

pub(super) struct Comparison<'a> {
    pub(super) reader: &'a Documents,
    pub(super) writer: &'a Documents,
    path: Vec<String>,
    /// Pairs under comparison. Meeting one again tells nothing new: recursion ends.
    around: Vec<Pair<'a>>,
    pairs: usize,
    pub(super) found: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    /// The new schema at the place `path` does not take what the old one does.
    pub(super) fn report(&mut self, kind: &'static str) {
        let path = format!("#/{}", self.path.join("/"));
        self.found.push(Difference::new(kind, sentence(kind, &path)));
    }

    /// Does something one step further down.
    pub(super) fn at<R>(&mut self, step: &str, walk: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(step.replace('~', "~0").replace('/', "~1"));
        let result = walk(self);
        self.path.pop();
        result
    }

    pub(super) fn report_at(&mut self, step: &str, kind: &'static str) {
        self.at(step, |this| this.report(kind));
    }

    /// Whether all data of `old` is data of `new`; nothing is reported.
    pub(super) fn takes(&mut self, old: Item<'a>, new: Item<'a>) -> Result<bool, String> {
        let before = self.found.len();
        self.compare(old, new)?;
        let takes = self.found.len() == before;
        self.found.truncate(before);
        Ok(takes)
    }

    /// Compares an old part with what became of it.
    pub(super) fn compare(&mut self, old: Item<'a>, new: Item<'a>) -> Result<(), String> {
        let (old, new) = (old.resolved(self.writer)?, new.resolved(self.reader)?);
        let pair = (old.identity(), new.identity());
        if self.around.contains(&pair) {
            return Ok(());
        }
        self.pairs += 1;
        if self.around.len() >= DEPTH_MAX || self.pairs > PAIRS_MAX {
            return Err(format!(
                "it is nested deeper than {DEPTH_MAX} levels or takes more than {PAIRS_MAX} comparisons with an \
                 earlier version"
            ));
        }
        self.around.push(pair);
        let result = self.compare_nodes(old, new);
        self.around.pop();
        result
    }

    fn compare_nodes(&mut self, old: Item<'a>, new: Item<'a>) -> Result<(), String> {
        match (old.node(), new.node()) {
            (Node::False, _) | (_, Node::True) => {}
            (Node::Combined(was, old), Node::Combined(is, new)) => self.combined(was, &old, is, &new)?,
            (Node::Combined(criterion, parts), _) => self.no_longer_combined(criterion, &parts, new)?,
            (_, Node::Combined(criterion, parts)) => self.newly_combined(old, criterion, &parts)?,
            (Node::Typed(old, was), Node::Typed(new, is)) => self.typed(old, was, new, is)?,
            (Node::Values(old), Node::Values(new)) => self.values(&old, &new),
            (Node::Not(old), Node::Not(new)) => {
                // What the new one excludes, the old one must have excluded, too: sides change.
                let (reader, writer) = (self.reader, self.writer);
                (self.reader, self.writer) = (writer, reader);
                let excluded = self.takes(new, old);
                (self.reader, self.writer) = (reader, writer);
                if !excluded? {
                    self.report_at("not", "NOT_TYPE_EXTENDED");
                }
            }
            (Node::If(old), Node::If(new)) => {
                let same = |keyword: &str| match (old.json.get(keyword), new.json.get(keyword)) {
                    (Some(old), Some(new)) => old.same(new),
                    (old, new) => old.is_none() && new.is_none(),
                };
                if !["if", "then", "else"].into_iter().all(same) {
                    self.report("TYPE_CHANGED");
                }
            }
            _ => self.report("TYPE_CHANGED"),
        }
        Ok(())
    }

    fn typed(&mut self, old: Part<'a>, was: &str, new: Part<'a>, is: &str) -> Result<(), String> {
        match (was, is) {
            ("integer" | "number", "integer" | "number") => {
                if was == "number" && is == "integer" {
                    self.report("TYPE_NARROWED");
                }
                self.numbers(old.json, new.json);
            }
            _ if was != is => self.report("TYPE_CHANGED"),
            ("string", _) => self.strings(old.json, new.json),
            ("array", _) => self.arrays(old, new)?,
            ("object", _) => self.objects(old, new)?,
            _ => {}
        }
        Ok(())
    }

    /// Compares what two parts say under a keyword; a part that says nothing takes everything.
    pub(super) fn below(&mut self, old: Part<'a>, new: Part<'a>, keyword: &str) -> Result<(), String> {
        match (old.json.get(keyword), new.json.get(keyword)) {
            (_, None) => Ok(()),
            (None, Some(Json::Bool(true))) => Ok(()),
            (None, Some(_)) => {
                self.report_at(keyword, "SCHEMA_ADDED");
                Ok(())
            }
            (Some(was), Some(is)) => {
                let (old, new) = (Item::new(old.below(was)), Item::new(new.below(is)));
                self.at(keyword, |this| this.compare(old, new))
            }
        }
    }
}

/// A sentence on a kind of difference.
fn sentence(kind: &str, path: &str) -> String {
    let what = match kind {
        "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" | "ITEM_ADDED_TO_OPEN_CONTENT_MODEL" => {
            return format!(
                "The {{writer}} schema has an open content model and lacks the property or item at path '{path}' of the {{reader}} schema"
            );
        }
        "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" | "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL" => {
            return format!(
                "The {{reader}} schema has a closed content model and is missing a property or item present at path '{path}' in the {{writer}} schema"
            );
        }
        "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        | "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        | "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        | "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" => {
            "A property or item is not covered by the partially open content model"
        }
        "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" | "REQUIRED_ATTRIBUTE_ADDED" => {
            return format!(
                "The {{reader}} schema requires the property at path '{path}', which is optional or missing in the {{writer}} schema"
            );
        }
        "TYPE_CHANGED" => {
            return format!(
                "A type at path '{path}' is different between the {{reader}} schema and the {{writer}} schema"
            );
        }
        "COMBINED_TYPE_SUBSCHEMAS_CHANGED" => "A combined type has other parts",
        _ if kind.ends_with("_ADDED") => "A restriction was added",
        _ if kind.ends_with("_NARROWED") => "A type was narrowed",
        _ if kind.ends_with("_REMOVED") => "What was permitted is no longer so",
        _ => "A restriction was made stricter",
    };
    format!("{what} at path '{path}' in the {{reader}} schema compared to the {{writer}} schema")
}
