//! Reading the first CSV record of a payload.

use std::borrow::Cow;

use arrow::datatypes::Fields;
use memchr::{memchr, memchr3};

use crate::{base64_text, column::Column, decimal, decoder::Row, java, type_name};

const DAY_MS: i64 = 86_400_000;

/// Reads records of a fixed number of fields, some of which fill columns.
pub(crate) struct DelimitedReader {
    delimiter: u8,
    /// For each field its column, if it is wanted.
    targets: Vec<Option<usize>>,
    /// Name and SQL type of each field, for messages.
    described: Vec<String>,
    /// Text of a quoted field with doubled quotes.
    unquoted: Vec<u8>,
}

impl DelimitedReader {
    pub(crate) fn new(delimiter: u8, fields: &Fields, picked: &[usize]) -> Self {
        let mut targets = vec![None; fields.len()];
        for (column, field) in picked.iter().enumerate() {
            targets[*field] = Some(column);
        }
        let described =
            fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
        Self { delimiter, targets, described, unquoted: Vec::new() }
    }

    /// Reads the first record of a payload; what stands behind it is ignored.
    pub(crate) fn read(&mut self, payload: &[u8], columns: &mut [Column]) -> Result<Row, String> {
        // As Java reads text: what is not UTF-8 becomes U+FFFD.
        let text: Cow<'_, str> = String::from_utf8_lossy(payload);
        let mut rest = text.trim_start_matches(['\r', '\n']);
        if rest.is_empty() {
            return Err("Error deserializing delimited: No fields in record".to_owned());
        }
        let mut count = 0;
        loop {
            let field = next_field(rest, self.delimiter, &mut self.unquoted)?;
            if let Some(Some(column)) = self.targets.get(count) {
                let value = match field.value {
                    Value::Plain(value) => value,
                    Value::Unquoted => std::str::from_utf8(&self.unquoted).expect("cut at ASCII quotes"),
                };
                push(&mut columns[*column], value).map_err(|why| {
                    format!("Error deserializing delimited: {}: {why}", self.described[count])
                })?;
            }
            count += 1;
            match field.rest {
                Some(following) => rest = following,
                None => break,
            }
        }
        if count != self.targets.len() {
            return Err(format!(
                "Column count mismatch on deserialization. expected: {}, got: {count}",
                self.targets.len()
            ));
        }
        Ok(Row::Present)
    }
}

struct Field<'a> {
    value: Value<'a>,
    /// What follows the delimiter, if there was one.
    rest: Option<&'a str>,
}

enum Value<'a> {
    Plain(&'a str),
    /// In the buffer that was passed.
    Unquoted,
}

/// Cuts the next field off. All cuts are at ASCII bytes, so they are character boundaries.
fn next_field<'a>(text: &'a str, delimiter: u8, unquoted: &mut Vec<u8>) -> Result<Field<'a>, String> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        let end = memchr3(delimiter, b'\r', b'\n', bytes).unwrap_or(bytes.len());
        let rest = (bytes.get(end) == Some(&delimiter)).then(|| &text[end + 1..]);
        return Ok(Field { value: Value::Plain(&text[..end]), rest });
    }
    let mut start = 1;
    let mut doubled = false;
    let end = loop {
        let Some(found) = memchr(b'"', &bytes[start..]) else {
            return Err("Error deserializing delimited: a quoted field does not end".to_owned());
        };
        let quote = start + found;
        if bytes.get(quote + 1) != Some(&b'"') {
            break quote;
        }
        doubled = true;
        start = quote + 2;
    };
    let value = if doubled {
        unquoted.clear();
        let mut quotes_seen = false;
        for byte in &bytes[1..end] {
            // Of each pair the second quote is dropped.
            quotes_seen = *byte == b'"' && !quotes_seen;
            if *byte != b'"' || quotes_seen {
                unquoted.push(*byte);
            }
        }
        Value::Unquoted
    } else {
        Value::Plain(&text[1..end])
    };
    let mut after = end + 1;
    while bytes.get(after).is_some_and(|byte| matches!(byte, b' ' | b'\t') && *byte != delimiter) {
        after += 1;
    }
    match bytes.get(after) {
        None | Some(b'\r' | b'\n') => Ok(Field { value, rest: None }),
        Some(byte) if *byte == delimiter => Ok(Field { value, rest: Some(&text[after + 1..]) }),
        Some(_) => {
            Err("Error deserializing delimited: text between the end of a quoted field and the delimiter"
                .to_owned())
        }
    }
}

fn push(column: &mut Column, text: &str) -> Result<(), String> {
    if text.is_empty() {
        column.push_null();
        return Ok(());
    }
    let not = |what: &str| format!("'{text}' is not {what}");
    let whole = || text.parse::<i64>().map_err(|_| not("a whole number of 64 bits"));
    match column {
        Column::Boolean(column) => column.push(text.eq_ignore_ascii_case("true")),
        Column::Int(column) => column.push(text.parse().map_err(|_| not("a whole number of 32 bits"))?),
        Column::BigInt(column) => column.push(whole()?),
        Column::Double(column) => column.push(java::parse_double(text).ok_or_else(|| not("a number"))?),
        Column::Decimal(column) => {
            let (precision, scale) = (column.precision, column.scale);
            let unscaled = decimal::parse(text.as_bytes(), precision, scale)
                .map_err(|misfit| misfit.message(text, precision, scale))?;
            column.values.push(unscaled);
        }
        Column::String(column) => column.push(text.as_bytes()),
        Column::Bytes(column) => {
            if !base64_text::read(text, &mut column.bytes) {
                return Err(not("base64"));
            }
            column.end();
        }
        Column::Time(column) => {
            let time = whole()?;
            if !(0..DAY_MS).contains(&time) {
                return Err(not("a time: milliseconds of a day go from 0 to 86399999"));
            }
            column.push(time as i32);
        }
        Column::Date(column) => column.push(text.parse().map_err(|_| not("a number of days"))?),
        Column::Timestamp(column) => column.push(whole()?),
        Column::Array(_) | Column::Map(_) | Column::Struct(_) => {
            unreachable!("DELIMITED holds no nested types")
        }
    }
    Ok(())
}
