//! How a line of input becomes a record: Kafka's console producer properties.
//!
//! ```text
//! value
//! key⇥value                          parse.key=true
//! h1:v1,h2:v2⇥value                  parse.headers=true
//! h1:v1,h2:v2⇥key⇥value              both
//! ```

use crate::error::CliError;
use crate::property;

/// Splits lines. Lines are bytes: keys and values need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineReader {
    parse_key: bool,
    parse_headers: bool,
    key_separator: Vec<u8>,
    headers_delimiter: Vec<u8>,
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

/// Name and value of a header.
pub(crate) type HeaderField<'a> = (&'a str, Option<&'a [u8]>);

/// The parts of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Names and values of headers, in order.
    pub(crate) headers: Vec<HeaderField<'a>>,
    /// None without `parse.key`, or when the field equals `null.marker`.
    pub(crate) key: Option<&'a [u8]>,
    /// None when the field equals `null.marker`.
    pub(crate) value: Option<&'a [u8]>,
}

const PROPERTIES: [&str; 8] = [
    "headers.delimiter",
    "headers.key.separator",
    "headers.separator",
    "ignore.error",
    "key.separator",
    "null.marker",
    "parse.headers",
    "parse.key",
];

impl Default for LineReader {
    fn default() -> Self {
        Self {
            parse_key: false,
            parse_headers: false,
            key_separator: b"\t".to_vec(),
            headers_delimiter: b"\t".to_vec(),
            headers_separator: b",".to_vec(),
            headers_key_separator: b":".to_vec(),
            null_marker: None,
            ignore_error: false,
        }
    }
}

impl LineReader {
    /// Reads the properties; an unknown name or an unusable value is a usage error.
    pub(crate) fn from_properties(properties: &[(String, String)]) -> Result<Self, CliError> {
        let mut reader = Self::default();
        for (name, value) in properties {
            match name.as_str() {
                "parse.key" => reader.parse_key = property::boolean(name, value)?,
                "parse.headers" => reader.parse_headers = property::boolean(name, value)?,
                "ignore.error" => reader.ignore_error = property::boolean(name, value)?,
                "key.separator" => reader.key_separator = property::separator(name, value)?,
                "headers.delimiter" => reader.headers_delimiter = property::separator(name, value)?,
                "headers.separator" => reader.headers_separator = property::separator(name, value)?,
                "headers.key.separator" => reader.headers_key_separator = property::separator(name, value)?,
                "null.marker" => reader.null_marker = Some(value.clone().into_bytes()),
                _ => return Err(property::unknown("property of the line reader", name, &PROPERTIES)),
            }
        }
        Ok(reader)
    }

    /// Splits line `number` (from 1), which comes without its line break.
    ///
    /// A missing separator is an error that names the line, or with `ignore.error` makes the rest the value.
    pub(crate) fn parse<'a>(&self, line: &'a [u8], number: u64) -> Result<Line<'a>, CliError> {
        let mut parsed = Line::default();
        let mut rest = line;
        if self.parse_headers {
            match split(rest, &self.headers_delimiter) {
                Some((headers, after)) => {
                    if !self.is_null(headers) && !headers.is_empty() {
                        parsed.headers = self.headers(headers, number)?;
                    }
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(missing("headers.delimiter", &self.headers_delimiter, number)),
            }
        }
        if self.parse_key {
            match split(rest, &self.key_separator) {
                Some((key, after)) => {
                    parsed.key = (!self.is_null(key)).then_some(key);
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(missing("key.separator", &self.key_separator, number)),
            }
        }
        parsed.value = (!self.is_null(rest)).then_some(rest);
        Ok(parsed)
    }

    fn headers<'a>(&self, mut text: &'a [u8], number: u64) -> Result<Vec<HeaderField<'a>>, CliError> {
        let mut headers = Vec::new();
        loop {
            let (header, after) = match split(text, &self.headers_separator) {
                Some((header, after)) => (header, Some(after)),
                None => (text, None),
            };
            let (name, value) = match split(header, &self.headers_key_separator) {
                Some((name, value)) => (name, Some(value)),
                None if self.ignore_error => (header, None),
                None => return Err(missing("headers.key.separator", &self.headers_key_separator, number)),
            };
            let name = std::str::from_utf8(name)
                .map_err(|_| CliError::Failed(format!("line {number}: the name of a header is not UTF-8")))?;
            headers.push((name, value.filter(|value| !self.is_null(value))));
            match after {
                Some(after) => text = after,
                None => return Ok(headers),
            }
        }
    }

    fn is_null(&self, field: &[u8]) -> bool {
        self.null_marker.as_deref() == Some(field)
    }
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

fn missing(property: &str, separator: &[u8], number: u64) -> CliError {
    CliError::Failed(format!(
        "line {number}: no {property} `{}` found: add it, or set ignore.error=true to take such lines as values",
        separator.escape_ascii()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[(&str, &str)]) -> LineReader {
        let properties: Vec<_> = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LineReader::from_properties(&properties).unwrap()
    }

    #[test]
    fn layouts() {
        let both = [("parse.key", "true"), ("parse.headers", "true")];
        assert_eq!(reader(&[]).parse(b"a\tb", 1).unwrap().value, Some(&b"a\tb"[..]));
        let line = reader(&both).parse(b"h1:v1,h2:v2\tk\tv\tw", 1).unwrap();
        assert_eq!(line.headers, [("h1", Some(&b"v1"[..])), ("h2", Some(&b"v2"[..]))]);
        assert_eq!((line.key, line.value), (Some(&b"k"[..]), Some(&b"v\tw"[..])));
        let line = reader(&[("parse.key", "true"), ("key.separator", "::"), ("null.marker", "-")])
            .parse(b"k::-", 1)
            .unwrap();
        assert_eq!((line.key, line.value), (Some(&b"k"[..]), None));
    }

    #[test]
    fn a_missing_separator_names_the_line() {
        let keyed = reader(&[("parse.key", "true")]);
        let message = keyed.parse(b"value", 7).unwrap_err().to_string();
        assert!(message.starts_with(r"line 7: no key.separator `\t` found"), "{message}");
        let lenient = reader(&[("parse.key", "true"), ("ignore.error", "true")]);
        let line = lenient.parse(b"value", 7).unwrap();
        assert_eq!((line.key, line.value), (None, Some(&b"value"[..])));
    }

    #[test]
    fn an_unknown_property_names_the_nearest() {
        let properties = [("parse.keys".to_owned(), "true".to_owned())];
        let message = LineReader::from_properties(&properties).unwrap_err().to_string();
        assert!(message.contains("parse.keys") && message.contains("did you mean parse.key"), "{message}");
    }
}
