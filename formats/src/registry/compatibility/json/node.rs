//! What a part of a schema is: one type, a choice, or several demands at once.

use crate::{
    json::Json,
    json_sr::{Documents, Part},
};

/// References may lead on to references this often.
const HOPS_MAX: usize = 64;

/// A part of a schema, or one of the demands that it makes.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) part: Part<'a>,
    pub(super) facet: Option<Facet<'a>>,
}

/// One demand of a schema that may make several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet<'a> {
    Type(&'a str),
    /// `"type": [...]`.
    Types,
    /// `enum` or `const`.
    Values,
    OneOf,
    AnyOf,
    AllOf,
    Not,
    /// `if`, `then` and `else`.
    If,
}

/// How the parts of a combination are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

pub(super) enum Node<'a> {
    True,
    False,
    /// One type; its keywords are in the part.
    Typed(Part<'a>, &'a str),
    Values(Vec<&'a Json>),
    Combined(Criterion, Vec<Item<'a>>),
    Not(Item<'a>),
    If(Part<'a>),
}

impl<'a> Item<'a> {
    pub(super) fn new(part: Part<'a>) -> Self {
        Self { part, facet: None }
    }

    /// What the part refers to, if it does.
    pub(super) fn resolved(mut self, documents: &'a Documents) -> Result<Self, String> {
        if self.facet.is_some() {
            return Ok(self);
        }
        for _ in 0..HOPS_MAX {
            let Some(reference) = self.part.json.text("$ref") else { return Ok(self) };
            self.part = documents
                .refer(self.part, reference)
                .ok_or_else(|| format!("it refers to {reference}, which is not there"))?;
        }
        Err("its references lead in a circle".into())
    }

    /// Tells items of one schema apart.
    pub(super) fn identity(self) -> (usize, Option<Facet<'a>>) {
        (std::ptr::from_ref(self.part.json) as usize, self.facet)
    }

    /// What a resolved part is.
    pub(super) fn node(self) -> Node<'a> {
        let part = self.part;
        if let Some(facet) = self.facet {
            return faceted(part, facet);
        }
        if let Json::Bool(takes) = part.json {
            return if *takes { Node::True } else { Node::False };
        }
        let mut facets = facets(part.json);
        match facets.len() {
            0 => Node::True,
            1 => faceted(part, facets.remove(0)),
            _ => {
                let items = facets.into_iter().map(|facet| Item { part, facet: Some(facet) });
                Node::Combined(Criterion::All, items.collect())
            }
        }
    }
}

/// Demands that a schema makes.
fn facets(json: &Json) -> Vec<Facet<'_>> {
    let mut found = Vec::new();
    match json.get("type") {
        Some(Json::String(name)) => found.push(Facet::Type(name)),
        Some(Json::Array(_)) => found.push(Facet::Types),
        _ => {
            for (name, keywords) in IMPLIED {
                if keywords.iter().any(|keyword| json.get(keyword).is_some()) {
                    found.push(Facet::Type(name));
                }
            }
        }
    }
    for (keyword, facet) in [
        ("enum", Facet::Values),
        ("const", Facet::Values),
        ("oneOf", Facet::OneOf),
        ("anyOf", Facet::AnyOf),
        ("allOf", Facet::AllOf),
        ("not", Facet::Not),
        ("if", Facet::If),
    ] {
        if json.get(keyword).is_some() && !found.contains(&facet) {
            found.push(facet);
        }
    }
    found
}

/// Keywords that mean a type where none is named.
const IMPLIED: &[(&str, &[&str])] = &[
    (
        "object",
        &[
            "properties",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "required",
            "minProperties",
            "maxProperties",
            "dependencies",
            "dependentRequired",
            "dependentSchemas",
        ],
    ),
    (
        "array",
        &["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"],
    ),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("string", &["minLength", "maxLength", "pattern"]),
];

fn faceted<'a>(part: Part<'a>, facet: Facet<'a>) -> Node<'a> {
    let json = part.json;
    let combined = |criterion, keyword| {
        let parts = json.get(keyword).map_or(&[][..], Json::items);
        Node::Combined(criterion, parts.iter().map(|json| Item::new(part.below(json))).collect())
    };
    match facet {
        Facet::Type(name) => Node::Typed(part, name),
        Facet::Types => {
            let names = json.get("type").map_or(&[][..], Json::items).iter().filter_map(Json::as_str);
            let mut items: Vec<Item<'a>> =
                names.map(|name| Item { part, facet: Some(Facet::Type(name)) }).collect();
            match items.len() {
                1 => Node::Typed(
                    part,
                    match items.remove(0).facet {
                        Some(Facet::Type(name)) => name,
                        _ => "",
                    },
                ),
                _ => Node::Combined(Criterion::Any, items),
            }
        }
        Facet::Values => Node::Values(match (json.get("enum"), json.get("const")) {
            (Some(values), _) => values.items().iter().collect(),
            (None, only) => only.into_iter().collect(),
        }),
        Facet::OneOf => combined(Criterion::One, "oneOf"),
        Facet::AnyOf => combined(Criterion::Any, "anyOf"),
        Facet::AllOf => combined(Criterion::All, "allOf"),
        Facet::Not => json.get("not").map_or(Node::True, |not| Node::Not(Item::new(part.below(not)))),
        Facet::If => Node::If(part),
    }
}
