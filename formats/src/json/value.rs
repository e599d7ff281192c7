//! One JSON value into one column, by the column's SQL type.

use std::collections::HashSet;

use crate::{
    base64_text,
    column::{Column, Lists, Maps, Structs},
    decimal, java,
    json::{
        cursor::Cursor,
        fault::{Fault, Step, What},
        names::Names,
        text,
    },
};

const DAY_MS: i64 = 86_400_000;

/// What reading needs to know beside the column itself: the names of objects, at every depth.
pub(crate) enum Shape {
    Plain,
    Array(Box<Shape>),
    Map(Box<Shape>),
    Struct(Box<Object>),
}

/// An object whose names are columns.
pub(crate) struct Object {
    names: Names,
    columns: Vec<Named>,
    /// Counts objects, to tell columns that this object already filled.
    count: u64,
}

struct Named {
    name: String,
    shape: Shape,
    /// Object that filled the column last.
    filled_by: u64,
    /// Whether it was filled under its exact name.
    exact: bool,
}

impl Object {
    pub(crate) fn new(columns: impl IntoIterator<Item = (String, Shape)>) -> Self {
        let named = |(name, shape)| Named { name, shape, filled_by: 0, exact: false };
        let columns: Vec<Named> = columns.into_iter().map(named).collect();
        Self { names: Names::new(columns.iter().map(|column| column.name.as_str())), columns, count: 0 }
    }

    /// Reads an object, whose `{` was peeked, as row `row` of `columns`. Absent names are NULL, of repeated
    /// ones the last counts.
    #[inline]
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        row: usize,
        columns: &mut [Column],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.count += 1;
        let mut missing = columns.len();
        cursor.advance(1);
        if !cursor.take(b'}') {
            let mut position = 0;
            loop {
                match self.names.take(cursor, position)? {
                    None => cursor.skip_value()?,
                    Some(found) => {
                        let named = &mut self.columns[found.column];
                        let column = &mut columns[found.column];
                        if named.filled_by == self.count {
                            if named.exact && !found.exact {
                                cursor.skip_value()?;
                            } else {
                                column.truncate(row);
                                named.exact = found.exact;
                                read(cursor, &mut named.shape, column, scratch)
                                    .map_err(|fault| fault.inside(Step::Field(named.name.clone())))?;
                            }
                        } else {
                            named.filled_by = self.count;
                            named.exact = found.exact;
                            missing -= 1;
                            read(cursor, &mut named.shape, column, scratch)
                                .map_err(|fault| fault.inside(Step::Field(named.name.clone())))?;
                        }
                    }
                }
                position += 1;
                if !cursor.take(b',') {
                    cursor.expect(b'}', "',' or '}'")?;
                    break;
                }
            }
        }
        if missing > 0 {
            for (named, column) in self.columns.iter().zip(columns) {
                if named.filled_by != self.count {
                    column.push_null();
                }
            }
        }
        Ok(())
    }
}

/// Reads the next value into `column`.
#[inline]
pub(crate) fn read(
    cursor: &mut Cursor<'_>,
    shape: &mut Shape,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let first = cursor.peek_value()?;
    if first == b'n' {
        cursor.literal("null")?;
        column.push_null();
        return Ok(());
    }
    match column {
        Column::Boolean(column) => match first {
            b't' => cursor.literal("true").map(|()| column.push(true))?,
            b'f' => cursor.literal("false").map(|()| column.push(false))?,
            _ => return Err(mismatch(cursor, first, "BOOLEAN")),
        },
        // A number beyond 32 bits wraps, as Java's `intValue`; text must hold an INTEGER.
        Column::Int(column) => column.push(integer(cursor, first, scratch, "INTEGER", |value| value as i32)?),
        Column::BigInt(column) => column.push(integer(cursor, first, scratch, "BIGINT", |value| value)?),
        Column::Date(column) => column.push(integer(cursor, first, scratch, "DATE", |value| value as i32)?),
        Column::Timestamp(column) => {
            column.push(integer(cursor, first, scratch, "TIMESTAMP", |value| value)?)
        }
        Column::Time(column) => {
            let value: i64 = integer(cursor, first, scratch, "TIME", |value| value)?;
            if !(0..DAY_MS).contains(&value) {
                return Err(Fault::new(What::TimeRange { value }));
            }
            column.push(value as i32);
        }
        Column::Double(column) => column.push(match first {
            b'-' | b'0'..=b'9' => cursor.number()?.to_f64(),
            b'"' => java::parse_double(cursor.string()?.text(scratch)).ok_or_else(|| coerce("DOUBLE"))?,
            _ => return Err(mismatch(cursor, first, "DOUBLE")),
        }),
        Column::Decimal(column) => {
            let (precision, scale) = (column.precision, column.scale);
            let misfit = |misfit, text: &[u8]| {
                let text = String::from_utf8_lossy(text).into_owned();
                Fault::new(What::Decimal { misfit, text, precision, scale })
            };
            column.values.push(match first {
                b'-' | b'0'..=b'9' => {
                    let number = cursor.number()?;
                    decimal::from_number(number, precision, scale).map_err(|why| misfit(why, number.text))?
                }
                b'"' => {
                    let text = cursor.string()?.text(scratch).as_bytes();
                    decimal::parse(text, precision, scale).map_err(|why| match why {
                        decimal::Misfit::NotANumber => coerce("DECIMAL"),
                        decimal::Misfit::Rounds { .. } => misfit(why, text),
                    })?
                }
                _ => return Err(mismatch(cursor, first, "DECIMAL")),
            });
        }
        Column::String(column) => {
            if first == b'"' {
                cursor.string()?.push_to(&mut column.bytes);
            } else {
                text::push(cursor, &mut column.bytes)?;
            }
            column.end();
        }
        Column::Bytes(column) => {
            if first != b'"' {
                return Err(mismatch(cursor, first, "BYTES"));
            }
            if !base64_text::read(cursor.string()?.text(scratch), &mut column.bytes) {
                return Err(Fault::new(What::Base64));
            }
            column.end();
        }
        Column::Array(column) => read_array(cursor, first, shape, column, scratch)?,
        Column::Map(column) => read_map(cursor, first, shape, column, scratch)?,
        Column::Struct(column) => read_struct(cursor, first, shape, column, scratch)?,
    }
    Ok(())
}

/// A whole number from a number, cut and wrapped to the type, or from text that holds one.
#[inline]
fn integer<T: std::str::FromStr>(
    cursor: &mut Cursor<'_>,
    first: u8,
    scratch: &mut Vec<u8>,
    target: &'static str,
    narrow: impl Fn(i64) -> T,
) -> Result<T, Fault> {
    match first {
        b'-' | b'0'..=b'9' => Ok(narrow(cursor.number()?.to_i64_wrapping())),
        b'"' => cursor.string()?.text(scratch).parse().map_err(|_| coerce(target)),
        _ => Err(mismatch(cursor, first, target)),
    }
}

fn read_array(
    cursor: &mut Cursor<'_>,
    first: u8,
    shape: &mut Shape,
    column: &mut Lists,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Shape::Array(item) = shape else { unreachable!("shapes follow the columns") };
    if first != b'[' {
        return Err(mismatch(cursor, first, "ARRAY"));
    }
    cursor.advance(1);
    if !cursor.take(b']') {
        let mut index = 0;
        loop {
            read(cursor, item, &mut column.item, scratch).map_err(|fault| fault.inside(Step::Item(index)))?;
            index += 1;
            if !cursor.take(b',') {
                cursor.expect(b']', "',' or ']'")?;
                break;
            }
        }
    }
    column.end(true);
    Ok(())
}

fn read_map(
    cursor: &mut Cursor<'_>,
    first: u8,
    shape: &mut Shape,
    column: &mut Maps,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Shape::Map(value) = shape else { unreachable!("shapes follow the columns") };
    if first != b'{' {
        return Err(mismatch(cursor, first, "MAP"));
    }
    let start = cursor.position();
    read_entries(cursor, value, column, scratch, &[])?;
    let repeated = repeated_keys(column);
    if !repeated.is_empty() {
        column.reopen();
        cursor.rewind(start);
        read_entries(cursor, value, column, scratch, &repeated)?;
    }
    column.end(true);
    Ok(())
}

/// Reads the entries of an object, without those whose positions are in `skipped`, in order.
fn read_entries(
    cursor: &mut Cursor<'_>,
    value: &mut Shape,
    column: &mut Maps,
    scratch: &mut Vec<u8>,
    skipped: &[usize],
) -> Result<(), Fault> {
    cursor.advance(1);
    if cursor.take(b'}') {
        return Ok(());
    }
    let mut position = 0;
    loop {
        cursor.name_start()?;
        let key = cursor.string()?;
        cursor.expect(b':', "':' after a name")?;
        if skipped.binary_search(&position).is_ok() {
            cursor.skip_value()?;
        } else {
            key.push_to(&mut column.keys.bytes);
            column.keys.end();
            read(cursor, value, &mut column.values, scratch).map_err(|fault| {
                let key = column.keys.get(column.keys.len() - 1);
                fault.inside(Step::Field(String::from_utf8_lossy(key).into_owned()))
            })?;
        }
        position += 1;
        if !cursor.take(b',') {
            return cursor.expect(b'}', "',' or '}'");
        }
    }
}

/// Positions, in order, of entries of the open map whose key comes again later: of repeated keys the last
/// counts.
fn repeated_keys(column: &Maps) -> Vec<usize> {
    let entries = column.open_entries();
    let first = entries.start;
    if entries.len() <= 8 {
        // Small maps are compared in place, without a set.
        let again = |entry: &usize| {
            (entry + 1..entries.end).any(|later| column.keys.get(later) == column.keys.get(*entry))
        };
        return entries.clone().filter(again).map(|entry| entry - first).collect();
    }
    let mut later = HashSet::with_capacity(entries.len());
    let mut repeated: Vec<usize> = entries
        .rev()
        .filter(|entry| !later.insert(column.keys.get(*entry)))
        .map(|entry| entry - first)
        .collect();
    repeated.reverse();
    repeated
}

fn read_struct(
    cursor: &mut Cursor<'_>,
    first: u8,
    shape: &mut Shape,
    column: &mut Structs,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Shape::Struct(object) = shape else { unreachable!("shapes follow the columns") };
    if first != b'{' {
        return Err(mismatch(cursor, first, "STRUCT"));
    }
    let row = column.len();
    object.read(cursor, row, &mut column.columns, scratch)?;
    column.end();
    Ok(())
}

#[cold]
fn coerce(target: &'static str) -> Fault {
    Fault::new(What::Coerce { target })
}

/// The value is of a kind that the type does not take. What is no value at all is a syntax fault.
#[cold]
pub(crate) fn mismatch(cursor: &mut Cursor<'_>, first: u8, required: &'static str) -> Fault {
    let source = match first {
        b'"' => "TextNode",
        b't' | b'f' => "BooleanNode",
        b'[' => "ArrayNode",
        b'{' => "ObjectNode",
        b'-' | b'0'..=b'9' => match cursor.number() {
            Ok(number) => number.class(),
            Err(fault) => return fault,
        },
        _ => return cursor.fault("a value"),
    };
    Fault::new(What::Convert { source, required })
}
