//! Reading the first CSV record of a payload.

use std::borrow::Cow;

use arrow::datatypes::Fields;
use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use crate::{base64_text, column::Column, decimal::Misfit, decoder::Row, java, type_name};

const DAY_MS: i64 = 86_400_000;

/// Reads records of a fixed number of fields, some of which fill columns.
pub(crate) struct DelimitedReader {
    csv: Box<Reader>,
    /// For each field its column, if it is wanted.
    targets: Vec<Option<usize>>,
    /// Name and SQL type of each field, for messages.
    described: Vec<String>,
    /// The field that was read last, and room for more.
    field: Vec<u8>,
}

impl DelimitedReader {
    pub(crate) fn new(delimiter: u8, fields: &Fields, picked: &[usize]) -> Self {
        let mut targets = vec![None; fields.len()];
        for (column, field) in picked.iter().enumerate() {
            targets[*field] = Some(column);
        }
        let described =
            fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
        let csv = Box::new(ReaderBuilder::new().delimiter(delimiter).build());
        Self { csv, targets, described, field: Vec::new() }
    }

    /// Reads the first record of a payload; what stands behind it is ignored.
    pub(crate) fn read(&mut self, payload: &[u8], columns: &mut [Column]) -> Result<Row, String> {
        // As Java reads text: what is not UTF-8 becomes U+FFFD.
        let text: Cow<'_, str> = String::from_utf8_lossy(payload);
        let mut rest = text.trim_start_matches(['\r', '\n']);
        if rest.is_empty() {
            return Err("Error deserializing delimited: No fields in record".to_owned());
        }
        self.start_record(rest.len());
        let mut count = 0;
        loop {
            let field = self.next_field(rest.as_bytes())?;
            if let Some(Some(column)) = self.targets.get(count) {
                let value = std::str::from_utf8(&self.field[..field.length]).expect("cut at ASCII bytes");
                push(&mut columns[*column], value).map_err(|why| {
                    format!("Error deserializing delimited: {}: {why}", self.described[count])
                })?;
            }
            count += 1;
            if field.last {
                break;
            }
            rest = &rest[field.taken..];
        }
        if count != self.targets.len() {
            return Err(format!(
                "Column count mismatch on deserialization. expected: {}, got: {count}",
                self.targets.len()
            ));
        }
        Ok(Row::Present)
    }

    /// Makes ready for a record of this many bytes.
    fn start_record(&mut self, length: usize) {
        if self.field.len() <= length {
            self.field.resize(length + 1, 0);
        }
        self.csv.reset();
        // A byte order mark is part of the first value, as for Java: csv-core drops one only at its start.
        self.csv.read_field(b"\n", &mut self.field);
    }

    /// Reads the next field from the start of `rest` into the buffer.
    fn next_field(&mut self, rest: &[u8]) -> Result<Field, String> {
        let (mut result, taken, mut length) = self.csv.read_field(rest, &mut self.field);
        let mut raw = &rest[..taken];
        if let ReadFieldResult::Field { .. } = result {
            raw = &raw[..taken.saturating_sub(1)];
        } else {
            // The payload ends without a line end: an empty input says so.
            let (end, _, more) = self.csv.read_field(&[], &mut self.field[length..]);
            length += more;
            result = end;
        }
        if raw.first() == Some(&b'"') {
            length = check_quotes(raw, length)?;
        }
        Ok(Field { length, taken, last: !matches!(result, ReadFieldResult::Field { record_end: false }) })
    }
}

/// A field that was cut off, its value in the buffer.
struct Field {
    /// Length of its value.
    length: usize,
    /// Bytes of the payload, with the delimiter.
    taken: usize,
    /// Whether it is the last of its record.
    last: bool,
}

/// Length of the value of a field whose quotes are as Commons CSV wants them; `raw` begins with one and
/// `length` is what was made of it. csv-core takes a quote that never closes, and text behind one that does,
/// for more of the value.
fn check_quotes(raw: &[u8], length: usize) -> Result<usize, String> {
    let closed = raw.trim_ascii_end();
    let quotes = memchr::memchr_iter(b'"', closed).count();
    if quotes % 2 == 1 {
        return Err("Error deserializing delimited: a quoted field does not end".to_owned());
    }
    // Within the outer quotes each pair stands for one; text behind them would keep all of its quotes.
    let value = closed.len() - 1 - quotes / 2;
    let blanks = raw.len() - closed.len();
    if closed.last() != Some(&b'"') || length != value + blanks {
        return Err(
            "Error deserializing delimited: text between the end of a quoted field and the delimiter"
                .to_owned(),
        );
    }
    Ok(value)
}

fn push(column: &mut Column, text: &str) -> Result<(), String> {
    if text.is_empty() {
        column.push_null();
        return Ok(());
    }
    let not = |what: &str| format!("'{text}' is not {what}");
    let misfit = |misfit: Misfit, precision, scale| misfit.message(text, precision, scale);
    let whole = || text.parse::<i64>().map_err(|_| not("a whole number of 64 bits"));
    match column {
        Column::Boolean(column) => column.push(text.eq_ignore_ascii_case("true")),
        Column::Int(column) => column.push(text.parse().map_err(|_| not("a whole number of 32 bits"))?),
        Column::BigInt(column) => column.push(whole()?),
        Column::Double(column) => column.push(java::parse_double(text).ok_or_else(|| not("a number"))?),
        Column::Decimal(column) => column.push_text(text.as_bytes(), misfit)?,
        Column::WideDecimal(column) => column.push_text(text.as_bytes(), misfit)?,
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
