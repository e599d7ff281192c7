//! Keys and values as text: Kafka's deserializers by name.

use std::borrow::Cow;

/// What bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deserializer {
    /// Text, and bytes that are not text as they are.
    String,
    /// Two bytes.
    Short,
    /// Four bytes.
    Integer,
    /// Eight bytes.
    Long,
    /// An IEEE 754 number of four bytes.
    Float,
    /// An IEEE 754 number of eight bytes.
    Double,
    /// True or false in one byte.
    Boolean,
    /// The text of a UUID.
    Uuid,
    /// Any bytes, shown as hexadecimal digits.
    Hex,
}

impl Deserializer {
    const NAMES: [(&str, Self); 12] = [
        ("string", Self::String),
        ("bytes", Self::String),
        ("bytearray", Self::String),
        ("bytebuffer", Self::String),
        ("short", Self::Short),
        ("integer", Self::Integer),
        ("long", Self::Long),
        ("float", Self::Float),
        ("double", Self::Double),
        ("boolean", Self::Boolean),
        ("uuid", Self::Uuid),
        ("hex", Self::Hex),
    ];

    /// By a short name such as `long`, or by the name of Kafka's class.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let class = name.rsplit('.').next().unwrap_or(name);
        let short = class.strip_suffix("Deserializer").unwrap_or(class).to_ascii_lowercase();
        let found = Self::NAMES.iter().find(|(known, _)| *known == short);
        found.map(|(_, deserializer)| *deserializer).ok_or_else(|| {
            let known: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("unknown deserializer `{name}`; known are {}", known.join(", "))
        })
    }

    /// The text for these bytes, or why there is none.
    pub(crate) fn text(self, bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
        fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
            bytes.try_into().map_err(|_| format!("it takes {N} bytes, not {}", bytes.len()))
        }
        let text = match self {
            Self::String => return Ok(Cow::Borrowed(bytes)),
            Self::Short => i16::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Integer => i32::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Long => i64::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Float => f32::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Double => f64::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Boolean => match fixed::<1>(bytes)? {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                [other] => return Err(format!("a boolean is 0 or 1, not {other}")),
            },
            Self::Uuid => match std::str::from_utf8(bytes) {
                Ok(text) if is_uuid(text) => return Ok(Cow::Borrowed(bytes)),
                _ => return Err("it is not the text of a UUID".to_owned()),
            },
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Ok(Cow::Owned(text.into_bytes()))
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, bytes: &[u8], expected: Result<&str, &str>) {
        let found = Deserializer::parse(name).unwrap().text(bytes).map(Cow::into_owned);
        match expected {
            Ok(text) => assert_eq!(found.as_deref(), Ok(text.as_bytes()), "{name}"),
            Err(part) => {
                assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{name}: {found:?}")
            }
        }
    }

    #[test]
    fn bytes_become_the_text_of_their_type() {
        check("org.apache.kafka.common.serialization.LongDeserializer", &(-7_i64).to_be_bytes(), Ok("-7"));
        check("integer", &7_i32.to_be_bytes(), Ok("7"));
        check("short", &[1, 0], Ok("256"));
        check("double", &2.5_f64.to_be_bytes(), Ok("2.5"));
        check("boolean", &[1], Ok("true"));
        check("hex", &[0, 255], Ok("00ff"));
        check("string", b"text", Ok("text"));
        check("uuid", b"123e4567-e89b-12d3-a456-426614174000", Ok("123e4567-e89b-12d3-a456-426614174000"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        check("long", b"abc", Err("8 bytes, not 3"));
        check("boolean", &[2], Err("not 2"));
        check("uuid", b"no", Err("UUID"));
        assert!(Deserializer::parse("avro").unwrap_err().contains("known are string"));
    }
}
