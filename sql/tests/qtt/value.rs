//! Bytes of topics to and from the values that cases give, and how the two are compared.

use arrow::datatypes::{Field, i256};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use millstream_formats::{Format, ResolvedSchema, Schema, SchemaRegistry, split_header, write_header};
use millstream_sql::{ColumnPlace, FormatDescription, SourceDescription, SqlType};

use crate::{
    codec::{avro, json_schema, protobuf::Compiled},
    json::Json,
    registry::TestRegistry,
};

/// The key or the value of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Key,
    Value,
}

fn description(source: &SourceDescription, side: Side) -> &FormatDescription {
    match side {
        Side::Key => &source.key_format,
        Side::Value => &source.value_format,
    }
}

fn format_of(source: &SourceDescription, side: Side) -> Format {
    description(source, side).spec.format
}

/// The subject of one side of a topic.
pub(crate) fn subject(topic: &str, side: Side) -> String {
    format!("{topic}-{}", if side == Side::Key { "key" } else { "value" })
}

/// The schema of PROTOBUF_NOSR: the one that follows from the columns.
fn generated(source: &SourceDescription, side: Side) -> Result<ResolvedSchema, String> {
    let wanted = if side == Side::Key { ColumnPlace::Key } else { ColumnPlace::Value };
    let columns = source.columns.iter().filter(|column| column.place == wanted);
    let fields = columns.map(|column| Field::new(&column.name, column.ty.to_arrow(), true)).collect();
    let schema = description(source, side).spec.generate_schema(&fields, None);
    let schema: Option<Schema> = schema.map_err(|error| error.to_string())?;
    Ok(ResolvedSchema { schema: schema.ok_or("the columns give no schema")?, references: Vec::new() })
}

/// Writes a value by the newest schema of its topic.
fn encode_by_schema(
    json: &Json,
    source: &SourceDescription,
    side: Side,
    registry: &TestRegistry,
) -> Result<Vec<u8>, String> {
    let text = |error: millstream_formats::RegistryError| error.to_string();
    if format_of(source, side) == Format::ProtobufNosr {
        return Compiled::new(&generated(source, side)?)?.encode(json, None, false);
    }
    let latest = registry.latest(&subject(&source.topic, side)).map_err(text)?;
    let resolved = registry.resolve(&latest.schema).map_err(text)?;
    let schema = &latest.schema.text;
    let bytes = match format_of(source, side) {
        Format::Avro => avro::encode(json, schema)?,
        Format::JsonSr => json_schema::encode(json, schema)?,
        _ => {
            let name = description(source, side).full_name.as_deref();
            Compiled::new(&resolved)?.encode(json, name, true)?
        }
    };
    let mut out = Vec::new();
    write_header(latest.id, &mut out);
    out.extend(bytes);
    Ok(out)
}

/// Reads a value by the schema that it names.
fn decode_by_schema(
    bytes: &[u8],
    source: &SourceDescription,
    side: Side,
    registry: &TestRegistry,
) -> Result<Value, String> {
    let text = |error: millstream_formats::RegistryError| error.to_string();
    if format_of(source, side) == Format::ProtobufNosr {
        return Compiled::new(&generated(source, side)?)?.decode(bytes, false);
    }
    let (id, bytes) = split_header(bytes).ok_or("the bytes name no schema")?;
    let schema = registry.schema(id).map_err(text)?;
    let resolved = registry.resolve(&schema).map_err(text)?;
    match format_of(source, side) {
        Format::Avro => avro::decode(bytes, &schema.text),
        Format::JsonSr => json_schema::decode(bytes, &schema.text),
        _ => Compiled::new(&resolved)?.decode(bytes, true),
    }
}

/// Bytes directly below a record as their text; none at all are nothing.
fn without_bytes(value: Value) -> Value {
    let Value::Record(fields) = value else { return value };
    let field = |(name, value)| match value {
        Value::Bytes(bytes) if bytes.is_empty() => (name, Value::Null),
        Value::Bytes(bytes) => (name, Value::Text(BASE64_STANDARD.encode(bytes))),
        value => (name, value),
    };
    Value::Record(fields.into_iter().map(field).collect())
}

fn only_type(source: &SourceDescription, side: Side) -> Option<&SqlType> {
    let wanted = if side == Side::Key { ColumnPlace::Key } else { ColumnPlace::Value };
    source.columns.iter().find(|column| column.place == wanted).map(|column| &column.ty)
}

/// The bytes of a given value. A topic without a source gets JSON.
pub(crate) fn encode(
    json: &Json,
    source: Option<&SourceDescription>,
    side: Side,
    registry: &TestRegistry,
) -> Result<Option<Vec<u8>>, String> {
    if json.is_null() {
        return Ok(None);
    }
    let Some(source) = source else { return Ok(Some(json.to_string().into_bytes())) };
    let number = |ty: &str| format!("{json} is no {ty}");
    Ok(match format_of(source, side) {
        Format::Json => Some(json.to_string().into_bytes()),
        Format::Delimited => Some(json.text().into_bytes()),
        Format::None => None,
        Format::Kafka => Some(match (only_type(source, side), json) {
            (Some(SqlType::Int), Json::Number(text)) => {
                text.parse::<i32>().map_err(|_| number("INTEGER"))?.to_be_bytes().to_vec()
            }
            (Some(SqlType::Bigint), Json::Number(text)) => {
                text.parse::<i64>().map_err(|_| number("BIGINT"))?.to_be_bytes().to_vec()
            }
            (Some(SqlType::Double), Json::Number(text)) => {
                text.parse::<f64>().map_err(|_| number("DOUBLE"))?.to_be_bytes().to_vec()
            }
            (Some(SqlType::Int | SqlType::Bigint | SqlType::Double), _) => return Err(number("number")),
            _ => json.text().into_bytes(),
        }),
        Format::Avro | Format::Protobuf | Format::ProtobufNosr | Format::JsonSr => {
            Some(encode_by_schema(json, source, side, registry)?)
        }
    })
}

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Exact(Decimal),
    /// A binary float.
    Float(f64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Value>),
    Record(Vec<(String, Value)>),
}

/// A decimal with the digits that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    /// Sign and digits without leading zeros; `0` has no sign.
    unscaled: String,
    scale: i64,
}

impl Decimal {
    /// A decimal of that scale.
    pub(crate) fn new(unscaled: i256, scale: i64) -> Self {
        Self { unscaled: unscaled.to_string(), scale }
    }

    /// The unscaled value at another scale, if it loses no digit.
    pub(crate) fn rescaled(&self, scale: i64) -> Option<i256> {
        let value = i256::from_string(&self.unscaled)?;
        let shift = scale - self.scale;
        let factor = i256::from_i128(10).checked_pow(u32::try_from(shift.abs()).ok()?)?;
        match shift >= 0 {
            true => value.checked_mul(factor),
            false => (value.checked_rem(factor)? == i256::ZERO).then(|| value / factor),
        }
    }

    /// Reads `-12.50`, `1.0E10`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
        let digits = digits.replacen('.', "", 1);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let unscaled = match digits.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => format!("{sign}{digits}"),
        };
        Some(Self { unscaled, scale: fraction - exponent })
    }

    /// The integer that this is, if it has no digits behind the point.
    fn integer(&self) -> Option<i128> {
        let zeros = usize::try_from(-self.scale).ok().filter(|zeros| *zeros < 39)?;
        format!("{}{}", self.unscaled, "0".repeat(zeros)).parse().ok()
    }

    fn approximate(&self) -> f64 {
        format!("{}e{}", self.unscaled, -self.scale).parse().unwrap_or(f64::NAN)
    }
}

/// A double as Java prints it: the shortest digits that read back the same, at least one behind the point.
pub(crate) fn java_double(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".to_owned()
        } else {
            format!("{}Infinity", if value < 0.0 { "-" } else { "" })
        };
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let shortest = format!("{value:e}");
    // Where one digit would do, Java takes the nearest number of two.
    let text = if shortest.contains('.') { shortest } else { format!("{value:.1e}") };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{digits}E{exponent}")
}

/// Reads the bytes of a topic.
pub(crate) fn decode(
    bytes: Option<&[u8]>,
    source: &SourceDescription,
    side: Side,
    registry: &TestRegistry,
) -> Result<Value, String> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    let text = || String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string());
    let wide = |wanted: usize| format!("{} bytes instead of {wanted}", bytes.len());
    Ok(match format_of(source, side) {
        Format::None => Value::Null,
        Format::Delimited => Value::Text(text()?),
        Format::Json => of_json(&Json::parse(bytes)?),
        Format::Kafka => match only_type(source, side) {
            Some(SqlType::Int) => {
                Value::Integer(i32::from_be_bytes(bytes.try_into().map_err(|_| wide(4))?).into())
            }
            Some(SqlType::Bigint) => {
                Value::Integer(i64::from_be_bytes(bytes.try_into().map_err(|_| wide(8))?).into())
            }
            Some(SqlType::Double) => {
                let value = f64::from_be_bytes(bytes.try_into().map_err(|_| wide(8))?);
                let text = java_double(value);
                Decimal::parse(&text).map_or(Value::Text(text), Value::Exact)
            }
            _ => Value::Text(text()?),
        },
        Format::Avro | Format::Protobuf | Format::ProtobufNosr | Format::JsonSr => {
            without_bytes(decode_by_schema(bytes, source, side, registry)?)
        }
    })
}

fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(text) => match text.parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Decimal::parse(text).map_or_else(|| Value::Text(text.clone()), Value::Exact),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(of_json).collect()),
        Json::Object(fields) => {
            Value::Record(fields.iter().map(|(name, value)| (name.clone(), of_json(value))).collect())
        }
    }
}

/// Whether a value is the expected one.
///
/// `exact`: numbers with a fraction must have the expected digits; else they must be near.
pub(crate) fn matches(actual: &Value, expected: &Json, exact: bool) -> bool {
    match (expected, actual) {
        (Json::Null, actual) => *actual == Value::Null,
        (Json::Bool(expected), Value::Bool(actual)) => actual == expected,
        (Json::String(expected), Value::Text(actual)) => actual == expected,
        (Json::String(expected), Value::Bytes(actual)) => *expected == BASE64_STANDARD.encode(actual),
        (Json::String(expected), Value::Exact(actual)) => Decimal::parse(expected).as_ref() == Some(actual),
        (Json::Array(expected), Value::List(actual)) => {
            expected.len() == actual.len()
                && actual.iter().zip(expected).all(|(actual, expected)| matches(actual, expected, exact))
        }
        (Json::Object(expected), Value::Record(actual)) => {
            let field = |name: &str| {
                let found = actual.iter().find(|(known, _)| known == name);
                found.map_or(&Value::Null, |(_, value)| value)
            };
            expected.len() == actual.len()
                && expected.iter().all(|(name, expected)| {
                    let found = match field(name) {
                        Value::Null => field(&name.to_uppercase()),
                        found => found,
                    };
                    matches(found, expected, exact)
                })
        }
        (Json::Number(expected), Value::Integer(actual)) => {
            Decimal::parse(expected).is_some_and(|expected| {
                expected
                    .integer()
                    .map_or(expected.approximate() == *actual as f64, |integer| integer == *actual)
            })
        }
        (Json::Number(expected), Value::Float(actual)) => {
            expected.parse::<f64>().is_ok_and(|expected| (expected - actual).abs() < 1e-6)
        }
        (Json::Number(expected), Value::Exact(actual)) => {
            let Some(wanted) = Decimal::parse(expected) else { return false };
            if !exact {
                (wanted.approximate() - actual.approximate()).abs() < 1e-6
            } else if expected.contains(['.', 'e', 'E']) {
                wanted == *actual
            } else {
                actual.integer().is_some() && actual.integer() == wanted.integer()
            }
        }
        _ => false,
    }
}

/// The bytes of an expected base64 text, as headers have them.
pub(crate) fn base64(json: &Json) -> Result<Option<Vec<u8>>, String> {
    let Some(text) = json.as_str() else { return Ok(None) };
    BASE64_STANDARD.decode(text).map(Some).map_err(|error| format!("{text}: {error}"))
}
