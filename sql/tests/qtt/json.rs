//! JSON that keeps the text of its numbers and the order of its fields.

use std::fmt;

use jiter::{Jiter, JiterError, Peek};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut jiter = Jiter::new(text);
        let peek = jiter.peek().map_err(|error| error.to_string())?;
        let value = Self::read(&mut jiter, peek).map_err(|error| error.to_string())?;
        jiter.finish().map_err(|error| error.to_string())?;
        Ok(value)
    }

    fn read(jiter: &mut Jiter<'_>, peek: Peek) -> Result<Self, JiterError> {
        Ok(match peek {
            Peek::Null => {
                jiter.known_null()?;
                Self::Null
            }
            Peek::True | Peek::False => Self::Bool(jiter.known_bool(peek)?),
            Peek::String => Self::String(jiter.known_str()?.to_owned()),
            Peek::Array => {
                let mut items = Vec::new();
                let mut next = jiter.known_array()?;
                while let Some(peek) = next {
                    items.push(Self::read(jiter, peek)?);
                    next = jiter.array_step()?;
                }
                Self::Array(items)
            }
            Peek::Object => {
                let mut fields = Vec::new();
                let mut name = jiter.known_object()?.map(str::to_owned);
                while let Some(known) = name {
                    let peek = jiter.peek()?;
                    fields.push((known, Self::read(jiter, peek)?));
                    name = jiter.next_key()?.map(str::to_owned);
                }
                Self::Object(fields)
            }
            number => Self::Number(String::from_utf8_lossy(jiter.known_number_bytes(number)?).into_owned()),
        })
    }

    /// The field of that name; null if there is none, or this is no object.
    pub(crate) fn get(&self, name: &str) -> &Json {
        match self {
            Self::Object(fields) => {
                fields.iter().find(|(known, _)| known == name).map_or(&Self::Null, |(_, value)| value)
            }
            _ => &Self::Null,
        }
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self, Self::Object(fields) if fields.iter().any(|(known, _)| known == name))
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items of an array, none of anything else.
    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The fields of an object, none of anything else.
    pub(crate) fn fields(&self) -> &[(String, Json)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }

    /// The bare text of a string, the JSON of anything else.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => f.write_str(&quoted(text)),
            Self::Array(items) => {
                f.write_str("[")?;
                for (number, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if number == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (number, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{}:{value}", if number == 0 { "" } else { "," }, quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}
