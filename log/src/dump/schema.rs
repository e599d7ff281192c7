//! Kafka's message format, read by the description of a message: plain versions, and flexible ones with tagged fields.
//!
//! ```text
//! plain      string: i16 length | bytes     bytes, array: i32 length | ...      null: length -1
//! flexible   lengths are unsigned varints of length + 1, 0 is null; each structure ends with
//!            count uvarint, then for each { tag uvarint | size uvarint | field }
//! ```

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A message as the protocol describes it.
#[derive(Debug)]
pub(super) struct Message {
    /// The newest version that is known. All begin with 0.
    pub(super) last_version: i16,
    /// The first flexible version, `i16::MAX` if there is none.
    pub(super) flexible_from: i16,
    pub(super) fields: &'static [Field],
}

/// A field of a message, or of a structure in one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    from: i16,
    to: i16,
    is_nullable: bool,
    /// Its number if it is only there when it is not the default.
    tag: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    String,
    Bytes,
    Uuid,
    Array(&'static Kind),
    Struct(&'static [Field]),
}

impl Field {
    /// A field of every version.
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, from: 0, to: i16::MAX, is_nullable: false, tag: None }
    }

    pub(super) const fn nullable(self) -> Self {
        Self { is_nullable: true, ..self }
    }

    pub(super) const fn versions(self, from: i16, to: i16) -> Self {
        Self { from, to, ..self }
    }

    pub(super) const fn tagged(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

/// A value as read. Fields keep the order of their description, as in Kafka's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    /// Printed in base 64.
    Bytes(Vec<u8>),
    /// Printed as hexadecimal digits.
    Hex(Vec<u8>),
    List(Vec<Value>),
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    /// A field of an object.
    pub(super) fn field_mut(&mut self, name: &str) -> Option<&mut Value> {
        match self {
            Self::Object(fields) => {
                fields.iter_mut().find(|(field, _)| *field == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&base64(bytes, STANDARD, true)),
            Self::Hex(bytes) => serializer.collect_str(&Hex(bytes)),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Text as it is, anything else as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Hex(bytes) => Hex(bytes).fmt(f),
            Self::Null | Self::Number(_) | Self::Bytes(_) | Self::List(_) | Self::Object(_) => {
                f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
            }
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8], alphabet: &[u8; 64], is_padded: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            if at <= chunk.len() {
                text.push(char::from(alphabet[(bits >> (18 - 6 * at)) as usize & 63]));
            } else if is_padded {
                text.push('=');
            }
        }
    }
    text
}

impl Message {
    /// The message in `bytes`, written at `version`; what follows it is left alone.
    pub(super) fn decode(&self, version: i16, bytes: &[u8]) -> Result<Value, String> {
        if !(0..=self.last_version).contains(&version) {
            return Err(format!("version {version} is not known, only 0 to {}", self.last_version));
        }
        let mut reader = Reader { bytes, version, is_flexible: version >= self.flexible_from };
        reader.fields(self.fields).ok_or_else(|| "it is cut off or malformed".to_owned())
    }
}

/// Takes values off the front of the bytes. `None` if they end too early or make no sense.
struct Reader<'a> {
    bytes: &'a [u8],
    version: i16,
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &'static [Field]) -> Option<Value> {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(fields.len());
        for field in fields {
            let is_here = (field.from..=field.to).contains(&self.version);
            values.push(match is_here && field.tag.is_none() {
                true => Some(self.field(field)?),
                false => None,
            });
        }
        if self.is_flexible {
            for _ in 0..self.uvarint()? {
                let tag = self.uvarint()?;
                let size = usize::try_from(self.uvarint()?).ok()?;
                let bytes = self.take(size)?;
                // A tag that is not known comes from a newer writer, and may be skipped.
                if let Some(at) = fields.iter().position(|field| field.tag == Some(tag)) {
                    let mut inner = Reader { bytes, version: self.version, is_flexible: true };
                    values[at] = Some(inner.field(&fields[at])?);
                }
            }
        }
        let named = fields.iter().zip(values).filter_map(|(field, value)| match (value, field.kind) {
            (Some(value), _) => Some((field.name, value)),
            // Of the fields left out, Kafka's JSON names structures.
            (None, Kind::Struct(_)) if field.is_nullable => Some((field.name, Value::Null)),
            (None, _) => None,
        });
        Some(Value::Object(named.collect()))
    }

    fn field(&mut self, field: &Field) -> Option<Value> {
        // Before a structure that may be null stands whether it is there: 1 if it is, -1 or in a tag 0 if not.
        if matches!(field.kind, Kind::Struct(_)) && field.is_nullable && self.number::<1>()? <= 0 {
            return Some(Value::Null);
        }
        match self.value(field.kind)? {
            Value::Null if !field.is_nullable => None,
            value => Some(value),
        }
    }

    fn value(&mut self, kind: Kind) -> Option<Value> {
        Some(match kind {
            Kind::Int8 => Value::Number(self.number::<1>()?),
            Kind::Int16 => Value::Number(self.number::<2>()?),
            Kind::Int32 => Value::Number(self.number::<4>()?),
            Kind::Int64 => Value::Number(self.number::<8>()?),
            Kind::Uuid => Value::Text(base64(self.take(16)?, URL_SAFE, false)),
            Kind::String => match self.length::<2>()? {
                Some(length) => Value::Text(std::str::from_utf8(self.take(length)?).ok()?.to_owned()),
                None => Value::Null,
            },
            Kind::Bytes => match self.length::<4>()? {
                Some(length) => Value::Bytes(self.take(length)?.to_vec()),
                None => Value::Null,
            },
            Kind::Array(item) => match self.length::<4>()? {
                // Every item takes a byte at least, so that a count beyond the bytes ends here.
                Some(count) if count <= self.bytes.len() => {
                    Value::List((0..count).map(|_| self.value(*item)).collect::<Option<_>>()?)
                }
                Some(_) => return None,
                None => Value::Null,
            },
            Kind::Struct(fields) => self.fields(fields)?,
        })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    /// A signed number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Option<i64> {
        let bytes = self.take(N)?;
        let first = i64::from(*bytes.first()? as i8);
        Some(bytes[1..].iter().fold(first, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// A length, `None` inside if it stands for null. Plain ones have `N` bytes.
    fn length<const N: usize>(&mut self) -> Option<Option<usize>> {
        if self.is_flexible {
            return Some(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        match self.number::<N>()? {
            -1 => Some(None),
            length => usize::try_from(length).ok().map(Some),
        }
    }

    fn uvarint(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for at in 0..5 {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_its_paddings() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes(), STANDARD, true), text);
            assert_eq!(base64(bytes.as_bytes(), URL_SAFE, false), text.trim_end_matches('='));
        }
    }
}
