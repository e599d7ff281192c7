//! Walks over JSON text that is known to be valid.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::write::write_string;

/// The text of one JSON value, without spaces around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// Checks that the whole text is one JSON value.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Self(text.trim_matches(is_space))),
            Err(error) => Err(format!("invalid JSON: {error}")),
        }
    }

    /// The items, if this is an array.
    pub(super) fn items(self) -> Option<impl Iterator<Item = Value<'a>>> {
        let mut rest = self.0.strip_prefix('[')?;
        Some(std::iter::from_fn(move || {
            rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
            if rest.starts_with(']') {
                return None;
            }
            let (item, after) = rest.split_at(value_length(rest));
            rest = after;
            Some(Value(item))
        }))
    }

    /// Names and values, if this is an object.
    pub(super) fn members(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Value<'a>)>> {
        let mut rest = self.0.strip_prefix('{')?;
        Some(std::iter::from_fn(move || {
            rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
            if rest.starts_with('}') {
                return None;
            }
            let (name, after) = rest.split_at(value_length(rest));
            let after = after.trim_start_matches(|c| is_space(c) || c == ':');
            let (value, after) = after.split_at(value_length(after));
            rest = after;
            Some((unquote(name), Value(value)))
        }))
    }

    /// The text as it stands.
    pub(super) fn text(self) -> &'a str {
        self.0
    }

    /// The content, if this is a string.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        self.0.starts_with('"').then(|| unquote(self.0))
    }

    /// Appends a string's content, or the JSON text of anything else.
    pub(super) fn write_text(self, out: &mut String) {
        match self.string() {
            Some(content) => out.push_str(&content),
            None => self.write_json(out),
        }
    }

    /// Appends the JSON text without spaces; strings with as few escapes as possible.
    pub(super) fn write_json(self, out: &mut String) {
        let mut rest = self.0;
        while let Some(at) = rest.find(|c| is_space(c) || c == '"') {
            let (plain, after) = rest.split_at(at);
            out.push_str(plain);
            if after.starts_with('"') {
                let (string, after) = after.split_at(value_length(after));
                match string.contains('\\') {
                    true => write_string(&unquote(string), out),
                    false => out.push_str(string),
                }
                rest = after;
            } else {
                rest = &after[1..];
            }
        }
        out.push_str(rest);
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// How many bytes the value at the start of `text` has.
fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    return at + 1;
                }
            }
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

fn unquote(quoted: &str) -> Cow<'_, str> {
    if quoted.contains('\\') {
        // Lone surrogates are valid JSON but no text.
        serde_json::from_str::<String>(quoted).map_or(Cow::Borrowed("\u{FFFD}"), Cow::Owned)
    } else {
        Cow::Borrowed(&quoted[1..quoted.len() - 1])
    }
}
