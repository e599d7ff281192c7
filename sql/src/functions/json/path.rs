//! Paths into JSON: `$.name[0]["other name"]`.

use super::scan::Value;

/// The steps of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A member of an object, or with a number as name an item of an array, from 0.
    Subscript(String),
    /// A member of an object.
    Name(String),
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |rest: &str| format!("invalid JSON path '{text}' at '{rest}': write it like $.name[0]");
        let mut rest = text.strip_prefix('$').ok_or_else(|| wrong(text))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(|c: char| !is_name(c) && c != ':' && c != '@').unwrap_or(after.len());
                (Step::Name(after[..end].to_string()), &after[end..])
            } else if let Some(after) = rest.strip_prefix("[\"") {
                let (name, after) = after.split_once("\"]").ok_or_else(|| wrong(rest))?;
                (Step::Name(name.to_string()), after)
            } else if let Some(after) = rest.strip_prefix('[') {
                let (name, after) = after.split_once(']').ok_or_else(|| wrong(rest))?;
                if !name.chars().all(is_name) {
                    return Err(wrong(rest));
                }
                (Step::Subscript(name.to_string()), after)
            } else {
                return Err(wrong(rest));
            };
            if matches!(&step, Step::Name(name) | Step::Subscript(name) if name.is_empty()) {
                return Err(wrong(rest));
            }
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }

    /// What stands at this path, if anything.
    pub(super) fn find<'a>(&self, root: Value<'a>) -> Option<Value<'a>> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Subscript(index) => match value.items() {
                Some(mut items) => items.nth(index.parse().ok()?),
                None => member(value, index),
            },
            Step::Name(name) => member(value, name),
        })
    }
}

/// The last member of that name, as a JSON parser would keep it.
fn member<'a>(value: Value<'a>, wanted: &str) -> Option<Value<'a>> {
    value.members()?.filter(|(name, _)| name == wanted).last().map(|(_, value)| value)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
