//! One document into the columns of a batch, by the plan of its schema.

use std::mem;

use arrow::datatypes::Fields;
use jiter::{Jiter, NumberInt, Peek};

use crate::{
    FormatSpec, Subject, base64_text,
    column::{Column, Decimals, Maps, Structs, Variable},
    decimal::Unscaled,
    decoder::Row,
    java,
    json::{
        Fault, JsonReader, Step, What, mismatch, push_decimal, read_distinct, read_members, replace_halves,
    },
    json_sr::{
        read_plan::{Branch, Members, Plan, Range, Takes, Text, Value},
        types::Type,
    },
    number,
    registry::{Plans, split_header},
};

const DAY_MS: i64 = 86_400_000;

/// What ksqlDB says of a payload without a header when it reads it as plain JSON.
const NO_MAGIC_BYTE: &str = "Got unexpected JSON serialization format that did not start with the magic byte. If this \
                             stream was not serialized using the JsonSchemaConverter, then make sure the stream is \
                             declared with JSON format (not JSON_SR).";

/// Reads payloads of one layout.
pub(crate) struct JsonSrReader(Kind);

enum Kind {
    /// By the schemas that the payloads name.
    BySchema(Box<BySchema>),
    /// As JSON behind a header.
    Plain(JsonReader),
}

struct BySchema {
    wrapped: bool,
    fields: Fields,
    picked: Vec<usize>,
    plans: Plans<Plan>,
    /// Text of strings with escapes, kept for its room.
    tape: Vec<u8>,
}

impl JsonSrReader {
    pub(crate) fn new(spec: &FormatSpec, fields: &Fields, picked: &[usize], subject: &Subject) -> Self {
        if !spec.json_sr_converter {
            return Self(Kind::Plain(JsonReader::new(spec.wrapped, fields, picked)));
        }
        Self(Kind::BySchema(Box::new(BySchema {
            wrapped: spec.wrapped,
            fields: fields.clone(),
            picked: picked.to_vec(),
            plans: Plans::new(&subject.registry, "JSON"),
            tape: Vec::new(),
        })))
    }

    /// Reads one payload as row `row` of `columns`.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        match (&mut self.0, split_header(bytes)) {
            (Kind::BySchema(reader), Some((id, body))) => reader.read(id, body, row, columns),
            (Kind::Plain(reader), Some((_, body))) => reader.read(body, row, columns),
            (Kind::BySchema(_), None) => {
                Err("Unknown magic byte! The payload does not begin with 0 and the id of a schema".into())
            }
            (Kind::Plain(_), None) => Err(NO_MAGIC_BYTE.into()),
        }
    }
}

impl BySchema {
    #[inline]
    fn read(&mut self, id: i32, body: &[u8], row: usize, columns: &mut [Column]) -> Result<Row, String> {
        let plan = self.plans.get(id, row, |resolved| {
            Type::parse(resolved).map(|schema| Plan::new(&schema, self.wrapped, &self.fields, &self.picked))
        })?;
        let text = std::str::from_utf8(body).map_err(|error| {
            format!("malformed JSON at byte {}: expected UTF-8, path: $", error.valid_up_to())
        })?;
        let mut run = |text: &[u8]| {
            let mut jiter = Jiter::with_tape(text, mem::take(&mut self.tape));
            let result = plan.read(&mut jiter, row, columns);
            self.tape = jiter.into_tape();
            if result.is_err() {
                columns.iter_mut().for_each(|column| column.truncate(row));
            }
            result
        };
        let result = match run(text.as_bytes()) {
            Err(fault) if fault.is_half_surrogate() => run(&replace_halves(text)),
            result => result,
        };
        result.map_err(|fault| fault.message())
    }
}

impl Plan {
    #[inline]
    fn read(&mut self, jiter: &mut Jiter<'_>, row: usize, columns: &mut [Column]) -> Result<Row, Fault> {
        let peek = jiter.peek()?;
        let mut result = Row::Present;
        match self {
            Self::Wrapped(_) if peek == Peek::Null => {
                jiter.known_null()?;
                result = Row::Null;
            }
            Self::Wrapped(members) if peek == Peek::Object => members.read(jiter, row, columns)?,
            Self::Wrapped(_) => return Err(mismatch(jiter, peek, "STRUCT")),
            Self::Bare(value) => value.read(jiter, peek, &mut columns[0])?,
            Self::Unwanted => jiter.known_skip(peek)?,
            Self::Refused(message) => return Err(refused(message)),
        }
        jiter.finish()?;
        Ok(result)
    }
}

impl Members {
    /// Reads an object, whose `{` was peeked, as row `row` of `columns`. Absent names are NULL, of repeated
    /// ones the last counts.
    fn read(&mut self, jiter: &mut Jiter<'_>, row: usize, columns: &mut [Column]) -> Result<(), Fault> {
        if let Some(message) = &self.refused {
            return Err(refused(message));
        }
        self.count += 1;
        let mut missing = columns.len();
        let mut position = 0;
        let mut next = jiter.next_object_bytes()?;
        while let Some(name) = next {
            // Names are those of the schema, to the letter.
            let found = self.names.find(name, position).filter(|found| found.exact);
            let peek = jiter.peek()?;
            match found.and_then(|found| self.members[found.column].as_mut()) {
                None => jiter.known_skip(peek)?,
                Some(member) => {
                    let column = &mut columns[member.column];
                    let filled_by = &mut self.filled_by[member.column];
                    if *filled_by == self.count {
                        column.truncate(row);
                    } else {
                        *filled_by = self.count;
                        missing -= 1;
                    }
                    let read = member.value.read(jiter, peek, column);
                    read.map_err(|fault| fault.inside(Step::Field(member.name.clone())))?;
                }
            }
            position += 1;
            next = jiter.next_key_bytes()?;
        }
        if missing > 0 {
            for (filled_by, column) in self.filled_by.iter().zip(columns) {
                if *filled_by != self.count {
                    column.push_null();
                }
            }
        }
        Ok(())
    }
}

impl Value {
    /// Reads the value that was peeked into `column`.
    fn read(&mut self, jiter: &mut Jiter<'_>, peek: Peek, column: &mut Column) -> Result<(), Fault> {
        if let Self::Refused(message) = self {
            return Err(refused(message));
        }
        if peek == Peek::Null {
            jiter.known_null()?;
            column.push_null();
            return Ok(());
        }
        match (self, column) {
            (Self::Boolean, Column::Boolean(column)) => match peek {
                Peek::True | Peek::False => column.push(jiter.known_bool(peek)?),
                _ => return Err(mismatch(jiter, peek, "boolean")),
            },
            // The plan let through only what fits the column.
            (Self::Integer(range), Column::Int(column) | Column::Date(column)) => {
                column.push(integer(jiter, peek, *range)? as i32);
            }
            (Self::Integer(range), Column::BigInt(column) | Column::Timestamp(column)) => {
                column.push(integer(jiter, peek, *range)?);
            }
            (Self::Integer(range), Column::Time(column)) => {
                let value = integer(jiter, peek, *range)?;
                if !(0..DAY_MS).contains(&value) {
                    return Err(Fault::new(What::TimeRange { value }));
                }
                column.push(value as i32);
            }
            (Self::Double, Column::Double(column)) => column.push(double(jiter, peek)?),
            (Self::Float, Column::Double(column)) => column.push(f64::from(double(jiter, peek)? as f32)),
            (Self::Text(text), Column::String(column)) => text.read(jiter, peek, column)?,
            (Self::Bytes, Column::Bytes(column)) => {
                if peek != Peek::String {
                    return Err(mismatch(jiter, peek, "bytes"));
                }
                if !base64_text::read(jiter.known_str()?, &mut column.bytes) {
                    return Err(Fault::new(What::Base64));
                }
                column.end();
            }
            (Self::Decimal(scale), Column::Decimal(column)) => read_decimal(jiter, peek, *scale, column)?,
            (Self::Decimal(scale), Column::WideDecimal(column)) => read_decimal(jiter, peek, *scale, column)?,
            (Self::Array(item), Column::Array(column)) => {
                if peek != Peek::Array {
                    return Err(mismatch(jiter, peek, "array"));
                }
                let mut index = 0;
                let mut next = jiter.known_array()?;
                while let Some(peek) = next {
                    let read = item.read(jiter, peek, &mut column.item);
                    read.map_err(|fault| fault.inside(Step::Item(index)))?;
                    index += 1;
                    next = jiter.array_step()?;
                }
                column.end(true);
            }
            (Self::Map(key, value), Column::Map(column)) => read_map(jiter, peek, *key, value, column)?,
            (Self::Struct(members), Column::Struct(column)) => {
                if peek != Peek::Object {
                    return Err(mismatch(jiter, peek, "struct"));
                }
                let row = column.len();
                members.read(jiter, row, &mut column.columns)?;
                column.end();
            }
            (Self::Union(branches), Column::Struct(column)) => read_union(jiter, peek, branches, column)?,
            _ => unreachable!("plans follow the columns"),
        }
        Ok(())
    }
}

impl Text {
    fn read(self, jiter: &mut Jiter<'_>, peek: Peek, column: &mut Variable) -> Result<(), Fault> {
        match self {
            Self::String if peek == Peek::String => column.push(jiter.known_str()?.as_bytes()),
            Self::Boolean if matches!(peek, Peek::True | Peek::False) => {
                column.push(if jiter.known_bool(peek)? { b"true" } else { b"false" });
            }
            Self::String => return Err(mismatch(jiter, peek, "string")),
            Self::Boolean => return Err(mismatch(jiter, peek, "boolean")),
            Self::Integer(range) => {
                let value = integer(jiter, peek, range)?;
                column.push(itoa::Buffer::new().format(value).as_bytes());
            }
            Self::Double => {
                let value = double(jiter, peek)?;
                java::push_double(&mut column.bytes, value);
                column.end();
            }
            Self::Float => {
                // The shortest digits of the narrow number, laid out as those of a wide one.
                let value = double(jiter, peek)? as f32;
                java::push_double(&mut column.bytes, value.to_string().parse().unwrap_or(f64::NAN));
                column.end();
            }
        }
        Ok(())
    }
}

#[cold]
fn refused(message: &str) -> Fault {
    Fault::new(What::Refused(message.to_owned()))
}

#[cold]
fn other(message: impl Into<String>) -> Fault {
    Fault::new(What::Other(message.into()))
}

/// A whole number of a type; a fraction is cut, as Java does.
#[inline]
fn integer(jiter: &mut Jiter<'_>, peek: Peek, range: Range) -> Result<i64, Fault> {
    if !peek.is_num() {
        return Err(mismatch(jiter, peek, range.name));
    }
    let value = match jiter.known_int(peek) {
        Ok(NumberInt::Int(value)) => value,
        // A fraction, an exponent or too many digits; or no number at all, which is found again.
        Err(_) => cut(jiter, peek, range)?,
    };
    if (range.min..=range.max).contains(&value) {
        Ok(value)
    } else {
        Err(out_of_range(&value.to_string(), range))
    }
}

#[cold]
fn cut(jiter: &mut Jiter<'_>, peek: Peek, range: Range) -> Result<i64, Fault> {
    let text = String::from_utf8_lossy(jiter.known_number_bytes(peek)?).into_owned();
    let near = text.parse::<f64>().unwrap_or(f64::NAN);
    if near.abs() < 9.3e18 && (text.contains(['.', 'e', 'E']) || text.parse::<i64>().is_ok()) {
        return Ok(number::to_i64_wrapping(&text));
    }
    Err(out_of_range(&text, range))
}

#[cold]
fn out_of_range(text: &str, range: Range) -> Fault {
    other(format!("{text} is no {}", range.name))
}

#[inline]
fn double(jiter: &mut Jiter<'_>, peek: Peek) -> Result<f64, Fault> {
    if peek.is_num() {
        return Ok(jiter.known_float(peek)?);
    }
    if peek == Peek::String {
        // What JSON has no number for.
        return match jiter.known_str()? {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(Fault::new(What::Convert { source: "TextNode", required: "float64" })),
        };
    }
    Err(mismatch(jiter, peek, "float64"))
}

/// A decimal as a number, or as the base64 text of its bytes.
fn read_decimal<N: Unscaled>(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    scale: i8,
    column: &mut Decimals<N>,
) -> Result<(), Fault> {
    if peek != Peek::String {
        if !peek.is_num() {
            return Err(mismatch(jiter, peek, "bytes"));
        }
        return push_decimal(jiter.known_number_bytes(peek)?, column);
    }
    let mut bytes = Vec::new();
    if !base64_text::read(jiter.known_str()?, &mut bytes) {
        return Err(Fault::new(What::Base64));
    }
    if bytes.is_empty() {
        return Err(other("0 bytes of a decimal, where there is at least one".to_owned()));
    }
    column.push_signed(&bytes, scale.into()).map_err(other)
}

fn read_map(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    key: Text,
    value: &mut Value,
    column: &mut Maps,
) -> Result<(), Fault> {
    if !matches!(peek, Peek::Object | Peek::Array) {
        return Err(mismatch(jiter, peek, "map"));
    }
    read_distinct(jiter, column, |jiter, column, skipped| match peek {
        Peek::Object => {
            read_members(jiter, column, skipped, |jiter, peek, values| value.read(jiter, peek, values))
        }
        _ => read_entries(jiter, key, value, column, skipped),
    })
}

/// An array of objects with a `key` and a `value`, as above.
fn read_entries(
    jiter: &mut Jiter<'_>,
    key: Text,
    value: &mut Value,
    column: &mut Maps,
    skipped: &[usize],
) -> Result<(), Fault> {
    let mut position = 0;
    let mut next = jiter.known_array()?;
    while let Some(peek) = next {
        if skipped.binary_search(&position).is_ok() {
            jiter.known_skip(peek)?;
        } else {
            read_entry(jiter, peek, key, value, column)
                .map_err(|fault| fault.inside(Step::Item(position)))?;
        }
        position += 1;
        next = jiter.array_step()?;
    }
    Ok(())
}

fn read_entry(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    key: Text,
    value: &mut Value,
    column: &mut Maps,
) -> Result<(), Fault> {
    if peek != Peek::Object {
        return Err(mismatch(jiter, peek, "map entry"));
    }
    let (mut has_key, mut has_value) = (false, false);
    let mut next = jiter.known_object()?;
    while let Some(name) = next {
        let (is_key, is_value) = (name == "key" && !has_key, name == "value" && !has_value);
        let peek = jiter.peek()?;
        if is_key {
            if peek == Peek::Null {
                return Err(other("the key of a map is null"));
            }
            key.read(jiter, peek, &mut column.keys)?;
            has_key = true;
        } else if is_value {
            value.read(jiter, peek, &mut column.values)?;
            has_value = true;
        } else {
            jiter.known_skip(peek)?;
        }
        next = jiter.next_key()?;
    }
    if !has_key {
        return Err(other("an entry of a map has no key"));
    }
    if !has_value {
        column.values.push_null();
    }
    Ok(())
}

/// The value goes to the field of the type that it is of; the others are NULL.
fn read_union(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    branches: &mut [Branch],
    column: &mut Structs,
) -> Result<(), Fault> {
    let names = if peek == Peek::Object { names(jiter)? } else { Vec::new() };
    let whole = peek.is_num() && is_whole(jiter, peek)?;
    let fits = |branch: &Branch| match (&branch.takes, peek) {
        (Takes::Boolean, Peek::True | Peek::False)
        | (Takes::String, Peek::String)
        | (Takes::Array, Peek::Array) => Some(0),
        (Takes::Integer, _) if whole => Some(1),
        (Takes::Number, _) if peek.is_num() => Some(0),
        // The object with the most names in common.
        (Takes::Object(known), Peek::Object) => {
            Some(names.iter().filter(|name| known.contains(name)).count())
        }
        _ => None,
    };
    let mut best: Option<(usize, usize)> = None;
    for (index, branch) in branches.iter().enumerate() {
        if let Some(score) = fits(branch)
            && best.is_none_or(|(_, best)| score > best)
        {
            best = Some((index, score));
        }
    }
    let Some((index, _)) = best else { return Err(mismatch(jiter, peek, "one of the types of a union")) };
    let Branch { column: fed, value, .. } = &mut branches[index];
    for (place, part) in column.columns.iter_mut().enumerate() {
        if *fed == Some(place) {
            value.read(jiter, peek, part)?;
        } else {
            part.push_null();
        }
    }
    if fed.is_none() {
        jiter.known_skip(peek)?;
    }
    column.end();
    Ok(())
}

/// The names of the object that was peeked; it is not taken.
fn names(jiter: &Jiter<'_>) -> Result<Vec<String>, Fault> {
    let mut ahead = jiter.clone();
    let mut names = Vec::new();
    let mut next = ahead.known_object()?.map(str::to_owned);
    while let Some(name) = next {
        names.push(name);
        ahead.next_skip()?;
        next = ahead.next_key()?.map(str::to_owned);
    }
    Ok(names)
}

fn is_whole(jiter: &Jiter<'_>, peek: Peek) -> Result<bool, Fault> {
    let mut ahead = jiter.clone();
    let digits = ahead.known_number_bytes(peek)?;
    Ok(!digits.iter().any(|digit| matches!(digit, b'.' | b'e' | b'E')))
}
