//! How a record becomes a line of output: Kafka's console consumer properties.
//!
//! ```text
//! CreateTime:1700000000000⇥Partition:0⇥Offset:42⇥Epoch:0⇥h1:v1,h2:v2⇥key⇥value
//! ```

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::deserializer::Deserializer;
use crate::error::CliError;
use crate::property;

/// A record as printed. Keys and values are bytes.
#[derive(Clone, Debug)]
pub(crate) struct Printable<'a> {
    /// The topic.
    pub(crate) topic: &'a str,
    /// The partition.
    pub(crate) partition: u32,
    /// The offset.
    pub(crate) offset: u64,
    /// Event time in ms since 1970; negative when the record has none.
    pub(crate) timestamp: i64,
    /// Names and values, in order.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// The key.
    pub(crate) key: Option<Cow<'a, [u8]>>,
    /// The value.
    pub(crate) value: Option<Cow<'a, [u8]>>,
}

/// Which parts are printed and what stands between them.
#[derive(Clone, Debug)]
pub(crate) struct RecordFormat {
    timestamp: bool,
    partition: bool,
    offset: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
}

const PROPERTIES: [&str; 13] = [
    "headers.separator",
    "key.deserializer",
    "key.separator",
    "line.separator",
    "null.literal",
    "print.epoch",
    "print.headers",
    "print.key",
    "print.offset",
    "print.partition",
    "print.timestamp",
    "print.value",
    "value.deserializer",
];

impl Default for RecordFormat {
    fn default() -> Self {
        Self {
            timestamp: false,
            partition: false,
            offset: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            key_separator: b"\t".to_vec(),
            line_separator: b"\n".to_vec(),
            headers_separator: b",".to_vec(),
            null_literal: b"null".to_vec(),
            key_deserializer: Deserializer::String,
            value_deserializer: Deserializer::String,
        }
    }
}

impl RecordFormat {
    /// Reads the properties; an unknown name or an unusable value is a usage error.
    pub(crate) fn from_properties(properties: &[(String, String)]) -> Result<Self, CliError> {
        let mut format = Self::default();
        for (name, value) in properties {
            match name.as_str() {
                "print.timestamp" => format.timestamp = property::boolean(name, value)?,
                "print.partition" => format.partition = property::boolean(name, value)?,
                "print.offset" => format.offset = property::boolean(name, value)?,
                "print.epoch" => format.epoch = property::boolean(name, value)?,
                "print.headers" => format.headers = property::boolean(name, value)?,
                "print.key" => format.key = property::boolean(name, value)?,
                "print.value" => format.value = property::boolean(name, value)?,
                "key.separator" => format.key_separator = property::text(value),
                "line.separator" => format.line_separator = property::text(value),
                "headers.separator" => format.headers_separator = property::text(value),
                "key.deserializer" => {
                    format.key_deserializer = Deserializer::parse(value).map_err(CliError::Usage)?;
                }
                "value.deserializer" => {
                    format.value_deserializer = Deserializer::parse(value).map_err(CliError::Usage)?;
                }
                "null.literal" => format.null_literal = value.clone().into_bytes(),
                _ => return Err(property::unknown("property of the formatter", name, &PROPERTIES)),
            }
        }
        Ok(format)
    }

    /// Sets how keys and values are understood; a property of that name wins.
    #[must_use]
    pub(crate) fn deserializers(mut self, key: Deserializer, value: Deserializer) -> Self {
        let default = Deserializer::String;
        self.key_deserializer = if self.key_deserializer == default { key } else { self.key_deserializer };
        self.value_deserializer =
            if self.value_deserializer == default { value } else { self.value_deserializer };
        self
    }

    /// The record with its key and value as text. Fails if they are not what the deserializers take.
    pub(crate) fn deserialize<'a>(&self, record: Printable<'a>) -> Result<Printable<'a>, CliError> {
        let text = |what: &str, deserializer: Deserializer, bytes: Option<Cow<'a, [u8]>>| match (
            deserializer,
            bytes,
        ) {
            (Deserializer::String, bytes) => Ok(bytes),
            (_, None) => Ok(None),
            (_, Some(bytes)) => match deserializer.text(&bytes) {
                Ok(text) => Ok(Some(Cow::Owned(text.into_owned()))),
                Err(reason) => Err(CliError::Failed(format!(
                    "{}-{}, offset {}: the {what} cannot be shown: {reason}",
                    record.topic, record.partition, record.offset
                ))),
            },
        };
        let key = text("key", self.key_deserializer, record.key.clone())?;
        let value = text("value", self.value_deserializer, record.value.clone())?;
        Ok(Printable { key, value, ..record })
    }

    /// Appends the record as a line. Bytes that are not UTF-8 are copied as they are.
    pub(crate) fn write(&self, record: &Printable<'_>, line: &mut Vec<u8>) {
        let mut first = true;
        let mut part = |line: &mut Vec<u8>, bytes: &[u8]| {
            if !std::mem::take(&mut first) {
                line.extend_from_slice(&self.key_separator);
            }
            line.extend_from_slice(bytes);
        };
        if self.timestamp {
            let text = if record.timestamp < 0 {
                "NO_TIMESTAMP".to_owned()
            } else {
                format!("CreateTime:{}", record.timestamp)
            };
            part(line, text.as_bytes());
        }
        if self.partition {
            part(line, format!("Partition:{}", record.partition).as_bytes());
        }
        if self.offset {
            part(line, format!("Offset:{}", record.offset).as_bytes());
        }
        if self.epoch {
            // The embedded log has one leader for ever.
            part(line, b"Epoch:0");
        }
        if self.headers {
            part(line, &self.headers_text(record));
        }
        if self.key {
            part(line, record.key.as_deref().unwrap_or(&self.null_literal));
        }
        if self.value {
            part(line, record.value.as_deref().unwrap_or(&self.null_literal));
        }
        line.extend_from_slice(&self.line_separator);
    }

    fn headers_text(&self, record: &Printable<'_>) -> Vec<u8> {
        if record.headers.is_empty() {
            return b"NO_HEADERS".to_vec();
        }
        let mut text = Vec::new();
        for (i, (name, value)) in record.headers.iter().enumerate() {
            if i > 0 {
                text.extend_from_slice(&self.headers_separator);
            }
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_deref().unwrap_or(&self.null_literal));
        }
        text
    }
}

/// The record as a JSON object. Bytes that are not UTF-8 become base64 in a field whose name ends in `_base64`.
pub(crate) fn json(record: &Printable<'_>) -> String {
    let mut object = Map::new();
    object.insert("topic".to_owned(), record.topic.into());
    object.insert("partition".to_owned(), record.partition.into());
    object.insert("offset".to_owned(), record.offset.into());
    object.insert(
        "timestamp".to_owned(),
        if record.timestamp < 0 { Value::Null } else { record.timestamp.into() },
    );
    let headers = record.headers.iter().map(|(name, value)| {
        let mut header = Map::new();
        header.insert("key".to_owned(), name.as_str().into());
        insert_bytes(&mut header, "value", value.as_deref());
        Value::Object(header)
    });
    object.insert("headers".to_owned(), headers.collect());
    insert_bytes(&mut object, "key", record.key.as_deref());
    insert_bytes(&mut object, "value", record.value.as_deref());
    Value::Object(object).to_string()
}

fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), text.into()),
        Some(Err(_)) => {
            object.insert(format!("{name}_base64"), BASE64.encode(bytes.unwrap_or_default()).into())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Printable<'static> {
        Printable {
            topic: "t",
            partition: 1,
            offset: 42,
            timestamp: 1_700_000_000_000,
            headers: vec![("h1".to_owned(), Some(b"v1".to_vec())), ("h2".to_owned(), None)],
            key: Some(b"k".into()),
            value: Some(b"v\xff".into()),
        }
    }

    fn check(properties: &[(&str, &str)], record: &Printable<'static>, expected: &[u8]) {
        let properties: Vec<_> = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut line = Vec::new();
        let format = RecordFormat::from_properties(&properties).unwrap();
        format.write(&format.deserialize(record.clone()).unwrap(), &mut line);
        assert_eq!(line.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn parts_stand_in_kafkas_order() {
        let all = ["timestamp", "partition", "offset", "epoch", "headers", "key"]
            .map(|part| (format!("print.{part}"), "true"));
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        check(
            &all,
            &record(),
            b"CreateTime:1700000000000\tPartition:1\tOffset:42\tEpoch:0\th1:v1,h2:null\tk\tv\xff\n",
        );
        let bare = Printable { timestamp: -1, headers: Vec::new(), key: None, value: None, ..record() };
        check(
            &[
                ("print.timestamp", "true"),
                ("print.headers", "true"),
                ("print.key", "true"),
                ("null.literal", "-"),
            ],
            &bare,
            b"NO_TIMESTAMP\tNO_HEADERS\t-\t-\n",
        );
        check(
            &[("print.key", "true"), ("key.separator", "="), ("line.separator", ";")],
            &record(),
            b"k=v\xff;",
        );
    }

    #[test]
    fn deserializers_show_what_bytes_stand_for() {
        let number = Printable { value: Some(7_i64.to_be_bytes().to_vec().into()), ..record() };
        check(&[("value.deserializer", "long")], &number, b"7\n");
        let format = RecordFormat::default().deserializers(Deserializer::String, Deserializer::Integer);
        let error = format.deserialize(number).unwrap_err().to_string();
        assert_eq!(error, "t-1, offset 42: the value cannot be shown: it takes 4 bytes, not 8");
    }

    #[test]
    fn json_keeps_every_byte() {
        let value: Value = serde_json::from_str(&json(&record())).unwrap();
        assert_eq!(value["key"], "k");
        assert_eq!(value["value_base64"], "dv8=");
        assert_eq!(value["headers"][1]["value"], Value::Null);
        assert_eq!(value["offset"], 42);
    }
}
