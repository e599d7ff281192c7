//! What the bytes of a topic's keys or values are, as far as one can tell by looking: for PRINT.
//!
//! Every record is tried with a list of readers; one that fails is dropped for good, and the first that is left shows
//! the text.

use millstream_formats::SchemaType;

use super::schemas::SchemaReader;
use crate::expression::cast::java_double;

/// A way to read bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Avro,
    Protobuf,
    Json,
    JsonSr,
    Int,
    Bigint,
    Double,
    Text,
}

/// Windows behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Session,
    Hopping,
    Tumbling,
    None,
}

const READERS: [Reader; 8] = [
    Reader::Avro,
    Reader::Protobuf,
    Reader::Json,
    Reader::JsonSr,
    Reader::Int,
    Reader::Bigint,
    Reader::Double,
    Reader::Text,
];
const WINDOWS: [Window; 4] = [Window::Session, Window::Hopping, Window::Tumbling, Window::None];
/// Windows start between 1970 and 2200, or the bytes are no window.
const WINDOW_TIME_MAX: i64 = 7_258_118_400_000;

/// Finds out the format of one side of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    side: &'static str,
    left: Vec<(Window, Reader)>,
    seen: bool,
    said: Option<String>,
}

impl Detector {
    /// For keys, which may be windowed.
    pub(crate) fn keys() -> Self {
        let windowed = |reader: Reader| WINDOWS.map(|window| (window, reader));
        Self { side: "Key", left: READERS.into_iter().flat_map(windowed).collect(), seen: false, said: None }
    }

    /// For values.
    pub(crate) fn values() -> Self {
        let left = READERS.into_iter().map(|reader| (Window::None, reader)).collect();
        Self { side: "Value", left, seen: false, said: None }
    }

    /// Drops the readers that cannot read these bytes. Without `schemas` none reads bytes with the id of a schema.
    pub(crate) fn look(&mut self, bytes: Option<&[u8]>, mut schemas: Option<&mut SchemaReader>) {
        let Some(bytes) = bytes else { return };
        self.seen = true;
        self.left.retain(|(window, reader)| {
            split(*window, bytes).is_some_and(|(key, _)| reads(*reader, key, schemas.as_deref_mut()))
        });
    }

    /// `Value format: JSON or KAFKA_STRING`, if that is not what it said last.
    pub(crate) fn header(&mut self) -> Option<String> {
        let formats: Vec<String> = self.left.iter().map(|(window, reader)| name(*window, *reader)).collect();
        let text = match (self.seen, formats.is_empty()) {
            (false, _) => "¯\\_(ツ)_/¯ - no data processed".to_owned(),
            (true, true) => {
                "does not match any supported format. It may be a STRING with encoding other than UTF8, or \
                             some other format."
                    .to_owned()
            }
            (true, false) => formats.join(" or "),
        };
        let line = format!("{} format: {text}", self.side);
        (self.said.as_ref() != Some(&line)).then(|| self.said.insert(line).clone())
    }

    /// The bytes as the first reader left shows them; else in hexadecimal digits.
    pub(crate) fn show(&self, bytes: Option<&[u8]>, schemas: Option<&mut SchemaReader>) -> String {
        let Some(bytes) = bytes else { return "<null>".to_owned() };
        let Some((window, reader)) = self.left.first() else { return hex(bytes) };
        match split(*window, bytes) {
            Some((key, None)) => show(*reader, key, schemas),
            Some((key, Some((start, Some(end))))) => {
                format!("[{}@{start}/{end}]", show(*reader, key, schemas))
            }
            Some((key, Some((start, None)))) => format!("[{}@{start}/-]", show(*reader, key, schemas)),
            None => hex(bytes),
        }
    }
}

/// The bytes without the window behind them, and its start and end, if it has one of that kind.
#[expect(clippy::type_complexity, reason = "a window has a start and, of sessions, an end")]
fn split(window: Window, bytes: &[u8]) -> Option<(&[u8], Option<(i64, Option<i64>)>)> {
    if window == Window::None {
        return Some((bytes, None));
    }
    let time = |bytes: &[u8; 8]| {
        let time = i64::from_be_bytes(*bytes);
        (0..WINDOW_TIME_MAX).contains(&time).then_some(time)
    };
    let (rest, start) = bytes.split_last_chunk::<8>()?;
    let start = time(start)?;
    if window != Window::Session {
        return (!rest.is_empty()).then_some((rest, Some((start, None))));
    }
    let (rest, end) = rest.split_last_chunk::<8>()?;
    let end = time(end)?;
    (end >= start && !rest.is_empty()).then_some((rest, Some((start, Some(end)))))
}

/// The language of the schemas whose ids a reader looks for.
fn schema_type(reader: Reader) -> Option<SchemaType> {
    match reader {
        Reader::Avro => Some(SchemaType::Avro),
        Reader::Protobuf => Some(SchemaType::Protobuf),
        Reader::JsonSr => Some(SchemaType::Json),
        Reader::Json | Reader::Int | Reader::Bigint | Reader::Double | Reader::Text => None,
    }
}

/// The bytes as JSON, if they carry the id of a schema that the reader looks for.
fn by_schema(reader: Reader, bytes: &[u8], schemas: Option<&mut SchemaReader>) -> Option<String> {
    schemas?.read(schema_type(reader)?, bytes)
}

fn reads(reader: Reader, bytes: &[u8], schemas: Option<&mut SchemaReader>) -> bool {
    match reader {
        Reader::Avro | Reader::Protobuf | Reader::JsonSr => by_schema(reader, bytes, schemas).is_some(),
        Reader::Json => !bytes.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok(),
        Reader::Int => bytes.len() == 4,
        Reader::Bigint | Reader::Double => bytes.len() == 8,
        Reader::Text => std::str::from_utf8(bytes).is_ok(),
    }
}

fn show(reader: Reader, bytes: &[u8], schemas: Option<&mut SchemaReader>) -> String {
    let shown = match reader {
        Reader::Avro | Reader::Protobuf | Reader::JsonSr => by_schema(reader, bytes, schemas),
        Reader::Json | Reader::Text => None,
        Reader::Int => bytes.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).to_string()),
        Reader::Bigint => bytes.try_into().ok().map(|bytes| i64::from_be_bytes(bytes).to_string()),
        Reader::Double => bytes.try_into().ok().map(|bytes| java_double(f64::from_be_bytes(bytes))),
    };
    shown.unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

fn name(window: Window, reader: Reader) -> String {
    let reader = match reader {
        Reader::Avro => "AVRO",
        Reader::Protobuf => "PROTOBUF",
        Reader::Json => "JSON",
        Reader::JsonSr => "JSON_SR",
        Reader::Int => "KAFKA_INT",
        Reader::Bigint => "KAFKA_BIGINT",
        Reader::Double => "KAFKA_DOUBLE",
        Reader::Text => "KAFKA_STRING",
    };
    match window {
        Window::Session => format!("SESSION({reader})"),
        Window::Hopping => format!("HOPPING({reader})"),
        Window::Tumbling => format!("TUMBLING({reader})"),
        Window::None => reader.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windowed(key: &[u8], times: &[i64]) -> Vec<u8> {
        times.iter().fold(key.to_vec(), |mut bytes, time| {
            bytes.extend(time.to_be_bytes());
            bytes
        })
    }

    #[test]
    fn formats_are_what_all_records_can_be() {
        let long = 7i64.to_be_bytes();
        let letters = 0x6162_6364_6566_6768i64.to_be_bytes();
        for (records, header, shown) in [
            (vec![&br#"{"A":1}"#[..]], "Value format: JSON or KAFKA_STRING", r#"{"A":1}"#),
            (vec![b"{\"A\":1}", b"{"], "Value format: KAFKA_STRING", "{"),
            (vec![&long], "Value format: KAFKA_BIGINT or KAFKA_DOUBLE or KAFKA_STRING", "7"),
            (
                vec![&letters],
                "Value format: KAFKA_BIGINT or KAFKA_DOUBLE or KAFKA_STRING",
                "7017280452245743464",
            ),
            (vec![&[0, 0, 0, 9]], "Value format: KAFKA_INT or KAFKA_STRING", "9"),
            (vec![b"", b"a"], "Value format: KAFKA_STRING", "a"),
            (vec![&[0xff, 0xfe]], "Value format: does not match any supported format.", "0xfffe"),
        ] {
            let mut detector = Detector::values();
            records.iter().for_each(|record| detector.look(Some(record), None));
            let found = detector.header().unwrap();
            assert!(found.starts_with(header), "{records:?}: {found}");
            assert_eq!(detector.show(records.last().copied(), None), shown);
            assert_eq!(detector.header(), None, "the same is not said again");
        }
    }

    #[test]
    fn windows_behind_keys_are_seen() {
        let start = 1_600_000_000_000;
        let mut time = Detector::keys();
        time.look(Some(&windowed(b"\"key\"", &[start])), None);
        assert_eq!(time.show(Some(&windowed(b"\"key\"", &[start])), None), format!("[\"key\"@{start}/-]"));
        let mut session = Detector::keys();
        let key = windowed(b"\"key\"", &[start + 5, start]);
        session.look(Some(&key), None);
        assert_eq!(session.show(Some(&key), None), format!("[\"key\"@{start}/{}]", start + 5));
        let mut plain = Detector::keys();
        plain.look(Some(b"a key of many letters"), None);
        assert_eq!(plain.header().unwrap(), "Key format: KAFKA_STRING");
        assert_eq!(plain.show(None, None), "<null>");
        assert_eq!(Detector::keys().header().unwrap(), "Key format: ¯\\_(ツ)_/¯ - no data processed");
    }
}
