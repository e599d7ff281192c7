//! Arrays: sizes, their items, and lists of items by position.

use super::{comparison::Comparison, node::Item, scalar::Bound};
use crate::{json::Json, json_sr::Part};

/// Items by position (`items` as a list, or `prefixItems`) and what is said about those behind them.
struct Positions<'a> {
    first: &'a [Json],
    rest: Option<&'a Json>,
}

fn positions<'a>(part: Part<'a>) -> Positions<'a> {
    match (part.json.get("prefixItems"), part.json.get("items")) {
        (Some(first), rest) => Positions { first: first.items(), rest },
        (None, Some(Json::Array(first))) => Positions { first, rest: part.json.get("additionalItems") },
        (None, rest) => Positions { first: &[], rest },
    }
}

impl<'a> Comparison<'a> {
    pub(super) fn arrays(&mut self, old: Part<'a>, new: Part<'a>) -> Result<(), String> {
        let (was, is) = (old.json, new.json);
        self.bound(was, is, "maxItems", Bound::Upper, "MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED");
        self.bound(was, is, "minItems", Bound::Lower, "MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED");
        let unique = |json: &Json| json.get("uniqueItems") == Some(&Json::Bool(true));
        if unique(is) && !unique(was) {
            self.report_at("uniqueItems", "UNIQUE_ITEMS_ADDED");
        }
        self.below(old, new, "contains")?;
        let (was, is) = (positions(old), positions(new));
        if was.first.is_empty() && is.first.is_empty() {
            return self.below(old, new, "items");
        }
        for index in 0..was.first.len().max(is.first.len()) {
            self.at("items", |this| {
                this.at(&index.to_string(), |this| {
                    this.position(old, was.first.get(index), was.rest, new, is.first.get(index), is.rest)
                })
            })?;
        }
        let closed = |rest: Option<&Json>| rest == Some(&Json::Bool(false));
        match (was.rest, is.rest) {
            (was, is) if closed(is) && !closed(was) => {
                self.report_at("additionalItems", "ADDITIONAL_ITEMS_REMOVED")
            }
            (None | Some(Json::Bool(true)), Some(Json::Object(members))) if !members.is_empty() => {
                self.report_at("additionalItems", "ADDITIONAL_ITEMS_NARROWED");
            }
            (Some(was), Some(is)) => {
                let (was, is) = (Item::new(old.below(was)), Item::new(new.below(is)));
                self.at("additionalItems", |this| this.compare(was, is))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// One position, which either side may leave to what is said about the rest.
    fn position(
        &mut self,
        old: Part<'a>,
        was: Option<&'a Json>,
        old_rest: Option<&'a Json>,
        new: Part<'a>,
        is: Option<&'a Json>,
        new_rest: Option<&'a Json>,
    ) -> Result<(), String> {
        let item = |part: Part<'a>, json: &'a Json| Item::new(part.below(json));
        match (was, is) {
            (Some(was), Some(is)) => self.compare(item(old, was), item(new, is))?,
            (Some(was), None) => match new_rest {
                None | Some(Json::Bool(true)) => {}
                Some(Json::Bool(false)) if *was != Json::Bool(false) => {
                    self.report("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL");
                }
                Some(rest) => {
                    if !self.takes(item(old, was), item(new, rest))? {
                        self.report("ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                    }
                }
            },
            (None, Some(is)) => match old_rest {
                None | Some(Json::Bool(true)) => {
                    if !is_empty(is) {
                        self.report("ITEM_ADDED_TO_OPEN_CONTENT_MODEL");
                    }
                }
                Some(Json::Bool(false)) => {}
                Some(rest) => {
                    if !self.takes(item(old, rest), item(new, is))? {
                        self.report("ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                    }
                }
            },
            (None, None) => {}
        }
        Ok(())
    }
}

/// Whether a schema takes everything.
pub(super) fn is_empty(json: &Json) -> bool {
    *json == Json::Bool(true) || matches!(json, Json::Object(members) if members.is_empty())
}
