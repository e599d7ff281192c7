//! Numbers, strings and lists of values.

use super::comparison::Comparison;
use crate::json::Json;

/// A bound that gets tighter as it falls (`Upper`) or rises.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Upper,
    Lower,
}

impl Comparison<'_> {
    /// Reports a new or tighter bound.
    pub(super) fn bound(
        &mut self,
        old: &Json,
        new: &Json,
        keyword: &str,
        bound: Bound,
        added: &'static str,
        tighter: &'static str,
    ) {
        let number = |json: &Json| json.get(keyword).and_then(Json::as_f64);
        let Some(is) = number(new) else { return };
        let kind = match (number(old), bound) {
            (None, Bound::Lower) if is <= 0.0 && is_size(keyword) => return,
            (None, _) => added,
            (Some(was), Bound::Upper) if is < was => tighter,
            (Some(was), Bound::Lower) if is > was => tighter,
            _ => return,
        };
        self.report_at(keyword, kind);
    }

    pub(super) fn numbers(&mut self, old: &Json, new: &Json) {
        use Bound::{Lower, Upper};

        self.bound(old, new, "maximum", Upper, "MAXIMUM_ADDED", "MAXIMUM_DECREASED");
        self.bound(old, new, "minimum", Lower, "MINIMUM_ADDED", "MINIMUM_INCREASED");
        let (added, tighter) = ("EXCLUSIVE_MAXIMUM_ADDED", "EXCLUSIVE_MAXIMUM_DECREASED");
        self.bound(old, new, "exclusiveMaximum", Upper, added, tighter);
        let (added, tighter) = ("EXCLUSIVE_MINIMUM_ADDED", "EXCLUSIVE_MINIMUM_INCREASED");
        self.bound(old, new, "exclusiveMinimum", Lower, added, tighter);
        let number = |json: &Json| json.get("multipleOf").and_then(Json::as_f64).filter(|step| *step > 0.0);
        let Some(is) = number(new) else { return };
        let kind = match number(old) {
            None => "MULTIPLE_OF_ADDED",
            // Multiples of the old step are multiples of a step that divides it.
            Some(was) if was % is == 0.0 => return,
            Some(was) if is % was == 0.0 => "MULTIPLE_OF_EXPANDED",
            Some(_) => "MULTIPLE_OF_CHANGED",
        };
        self.report_at("multipleOf", kind);
    }

    pub(super) fn strings(&mut self, old: &Json, new: &Json) {
        self.bound(old, new, "maxLength", Bound::Upper, "MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED");
        self.bound(old, new, "minLength", Bound::Lower, "MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED");
        match (old.text("pattern"), new.text("pattern")) {
            (None, Some(_)) => self.report_at("pattern", "PATTERN_ADDED"),
            (Some(was), Some(is)) if was != is => self.report_at("pattern", "PATTERN_CHANGED"),
            _ => {}
        }
    }

    /// Compares the values of `enum` or `const`.
    pub(super) fn values(&mut self, old: &[&Json], new: &[&Json]) {
        let all_in = |some: &[&Json], others: &[&Json]| {
            some.iter().all(|value| others.iter().any(|other| value.same(other)))
        };
        if !all_in(old, new) {
            let kind = if all_in(new, old) { "ENUM_ARRAY_NARROWED" } else { "ENUM_ARRAY_CHANGED" };
            self.report_at("enum", kind);
        }
    }
}

/// Whether a keyword counts something, so that zero says nothing.
fn is_size(keyword: &str) -> bool {
    matches!(keyword, "minLength" | "minItems" | "minProperties")
}
