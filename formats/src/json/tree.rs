//! JSON documents as trees that keep what schemas care about: the order of names and the digits of numbers.

use std::fmt::Write as _;

use jiter::{Jiter, Peek};

use crate::json::escape::push_quoted;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// Names are distinct; of repeated ones the last value counts.
    Object(Vec<(String, Json)>),
}

/// Documents nested deeper are refused, so that walks over a tree may recurse.
pub(crate) const DEPTH_MAX: usize = 100;

impl Json {
    /// Parses a text that is one JSON value.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut jiter = Jiter::new(text.as_bytes());
        let peek = jiter.peek().map_err(|error| malformed(&error))?;
        let json = read(&mut jiter, peek, 0)?;
        jiter.finish().map_err(|error| malformed(&error))?;
        Ok(json)
    }

    /// The value behind a name, if this is an object that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Names and values; none if this is no object.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// Items; none if this is no array.
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The text of the string behind a name.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Self::Number(text) = self { text.parse().ok() } else { None }
    }

    /// A whole number, also one that is written with a fraction of zero.
    pub(crate) fn as_i64(&self) -> Option<i64> {
        let Self::Number(text) = self else { return None };
        text.parse().ok().or_else(|| {
            let value = self.as_f64()?;
            // Beyond 2^53 a number with a fraction is not exact, and no schema means one.
            (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
        })
    }

    /// The text without white space.
    pub(crate) fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.push(&mut out);
        String::from_utf8(out).expect("trees hold text only")
    }

    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::String(text) => push_quoted(out, text),
            Self::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.push(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_quoted(out, name);
                    out.push(b':');
                    value.push(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The same with the names of every object in order.
    pub(crate) fn sorted(&self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> =
                    members.iter().map(|(name, value)| (name.clone(), value.sorted())).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
            plain => plain.clone(),
        }
    }

    /// Whether two values are the same whatever the order of names and the spelling of numbers.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a == b || self.as_f64() == other.as_f64(),
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(name, value)| other.get(name).is_some_and(|found| value.same(found)))
            }
            _ => self == other,
        }
    }
}

fn read(jiter: &mut Jiter<'_>, peek: Peek, depth: usize) -> Result<Json, String> {
    if depth == DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX}"));
    }
    let fault = |error| malformed(&error);
    Ok(match peek {
        Peek::Null => {
            jiter.known_null().map_err(fault)?;
            Json::Null
        }
        Peek::True | Peek::False => Json::Bool(jiter.known_bool(peek).map_err(fault)?),
        Peek::String => Json::String(jiter.known_str().map_err(fault)?.to_owned()),
        Peek::Array => {
            let mut items = Vec::new();
            let mut next = jiter.known_array().map_err(fault)?;
            while let Some(peek) = next {
                items.push(read(jiter, peek, depth + 1)?);
                next = jiter.array_step().map_err(fault)?;
            }
            Json::Array(items)
        }
        Peek::Object => {
            let mut members = Members::default();
            let mut next = jiter.known_object().map_err(fault)?.map(str::to_owned);
            while let Some(name) = next {
                let peek = jiter.peek().map_err(fault)?;
                let value = read(jiter, peek, depth + 1)?;
                members.put(name, value);
                next = jiter.next_key().map_err(fault)?.map(str::to_owned);
            }
            Json::Object(members.list)
        }
        _ => {
            let digits = jiter.known_number_bytes(peek).map_err(fault)?;
            Json::Number(String::from_utf8_lossy(digits).into_owned())
        }
    })
}

/// Members while they are read. A set of names keeps wide objects from being searched for each name.
#[derive(Default)]
struct Members {
    list: Vec<(String, Json)>,
    places: std::collections::HashMap<String, usize>,
}

impl Members {
    fn put(&mut self, name: String, value: Json) {
        match self.places.get(&name) {
            Some(place) => self.list[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }
}

fn malformed(error: &jiter::JiterError) -> String {
    let mut text = String::new();
    let _ = write!(text, "malformed JSON at byte {}: {}", error.index, error.error_type);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_digits_are_kept() {
        for (text, expected) in [
            (
                r#" {"b": 1.10, "a" : [true, null, -1e3, "\u00e4\n"]} "#,
                "{\"b\":1.10,\"a\":[true,null,-1e3,\"ä\\n\"]}",
            ),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            ("12345678901234567890123", "12345678901234567890123"),
        ] {
            assert_eq!(Json::parse(text).map(|json| json.to_text()), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(
            Json::parse(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap().sorted().to_text(),
            r#"{"a":{"c":2,"d":1},"b":1}"#
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\"}", "1 2", "nul", &"[".repeat(100_000)] {
            assert!(Json::parse(text).is_err(), "{:.20}", text);
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(DEPTH_MAX)).is_ok());
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_err());
    }

    #[test]
    fn numbers_are_the_same_by_value() {
        let parse = |text| Json::parse(text).unwrap();
        assert!(parse(r#"{"a":1.0,"b":[2]}"#).same(&parse(r#"{"b":[2e0],"a":1}"#)));
        assert!(!parse("[1]").same(&parse("[2]")));
        assert_eq!((parse("3.0").as_i64(), parse("3.5").as_i64()), (Some(3), None));
    }
}
