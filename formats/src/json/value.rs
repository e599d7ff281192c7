//! One JSON value into one column, by the column's SQL type.

use jiter::{Jiter, NumberInt, Peek};

use crate::{
    base64_text,
    column::{Column, Decimals, Lists, Maps, Structs},
    decimal::{Misfit, Unscaled},
    java,
    json::{
        entries::{read_distinct, read_members},
        fault::{Fault, Step, What},
        names::Names,
        text,
    },
    number,
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
        jiter: &mut Jiter<'_>,
        row: usize,
        columns: &mut [Column],
    ) -> Result<(), Fault> {
        self.count += 1;
        let mut missing = columns.len();
        let mut position = 0;
        let mut next = jiter.next_object_bytes()?;
        while let Some(name) = next {
            let found = self.names.find(name, position);
            let peek = jiter.peek()?;
            match found {
                None => jiter.known_skip(peek)?,
                Some(found) => {
                    let named = &mut self.columns[found.column];
                    let column = &mut columns[found.column];
                    let again = named.filled_by == self.count;
                    if again && named.exact && !found.exact {
                        jiter.known_skip(peek)?;
                    } else {
                        if again {
                            column.truncate(row);
                        } else {
                            named.filled_by = self.count;
                            missing -= 1;
                        }
                        named.exact = found.exact;
                        read(jiter, peek, &mut named.shape, column)
                            .map_err(|fault| fault.inside(Step::Field(named.name.clone())))?;
                    }
                }
            }
            position += 1;
            next = jiter.next_key_bytes()?;
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

/// Reads the value that was peeked into `column`.
#[inline]
pub(crate) fn read(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    shape: &mut Shape,
    column: &mut Column,
) -> Result<(), Fault> {
    if peek == Peek::Null {
        jiter.known_null()?;
        column.push_null();
        return Ok(());
    }
    match column {
        Column::Boolean(column) => match peek {
            Peek::True | Peek::False => column.push(jiter.known_bool(peek)?),
            _ => return Err(mismatch(jiter, peek, "BOOLEAN")),
        },
        // A number beyond 32 bits wraps, as Java's `intValue`; text must hold an INTEGER.
        Column::Int(column) => column.push(integer(jiter, peek, "INTEGER", |value| value as i32)?),
        Column::BigInt(column) => column.push(integer(jiter, peek, "BIGINT", |value| value)?),
        Column::Date(column) => column.push(integer(jiter, peek, "DATE", |value| value as i32)?),
        Column::Timestamp(column) => column.push(integer(jiter, peek, "TIMESTAMP", |value| value)?),
        Column::Time(column) => {
            let value: i64 = integer(jiter, peek, "TIME", |value| value)?;
            if !(0..DAY_MS).contains(&value) {
                return Err(Fault::new(What::TimeRange { value }));
            }
            column.push(value as i32);
        }
        Column::Double(column) => column.push(match peek {
            Peek::String => java::parse_double(jiter.known_str()?).ok_or_else(|| coerce("DOUBLE"))?,
            _ if peek.is_num() => jiter.known_float(peek)?,
            _ => return Err(mismatch(jiter, peek, "DOUBLE")),
        }),
        Column::Decimal(column) => push_decimal(decimal_text(jiter, peek)?, column)?,
        Column::WideDecimal(column) => push_decimal(decimal_text(jiter, peek)?, column)?,
        Column::String(column) => {
            if peek == Peek::String {
                column.push(jiter.known_str()?.as_bytes());
            } else {
                text::push(jiter, peek, &mut column.bytes)?;
                column.end();
            }
        }
        Column::Bytes(column) => {
            if peek != Peek::String {
                return Err(mismatch(jiter, peek, "BYTES"));
            }
            if !base64_text::read(jiter.known_str()?, &mut column.bytes) {
                return Err(Fault::new(What::Base64));
            }
            column.end();
        }
        Column::Array(column) => read_array(jiter, peek, shape, column)?,
        Column::Map(column) => read_map(jiter, peek, shape, column)?,
        Column::Struct(column) => read_struct(jiter, peek, shape, column)?,
    }
    Ok(())
}

#[inline]
fn decimal_text<'j>(jiter: &'j mut Jiter<'_>, peek: Peek) -> Result<&'j [u8], Fault> {
    Ok(match peek {
        Peek::String => jiter.known_str()?.as_bytes(),
        _ if peek.is_num() => jiter.known_number_bytes(peek)?,
        _ => return Err(mismatch(jiter, peek, "DECIMAL")),
    })
}

/// Pushes the decimal that a text holds.
#[inline]
pub(crate) fn push_decimal<N: Unscaled>(text: &[u8], column: &mut Decimals<N>) -> Result<(), Fault> {
    column.push_text(text, |misfit, precision, scale| match misfit {
        Misfit::NotANumber => coerce("DECIMAL"),
        Misfit::Rounds { .. } => {
            let text = String::from_utf8_lossy(text).into_owned();
            Fault::new(What::Decimal { misfit, text, precision, scale })
        }
    })
}

/// A whole number from a number, cut and wrapped to the type, or from text that holds one.
#[inline]
fn integer<T: std::str::FromStr>(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    target: &'static str,
    narrow: impl Fn(i64) -> T,
) -> Result<T, Fault> {
    if peek == Peek::String {
        return jiter.known_str()?.parse().map_err(|_| coerce(target));
    }
    if !peek.is_num() {
        return Err(mismatch(jiter, peek, target));
    }
    match jiter.known_int(peek) {
        Ok(NumberInt::Int(value)) => Ok(narrow(value)),
        // A fraction, an exponent or too many digits; or no number at all, which is found again. Nothing was
        // taken.
        Err(_) => Ok(narrow(number::to_i64_wrapping(number_text(jiter, peek)?))),
    }
}

/// Takes a number as it is written.
#[cold]
fn number_text<'a>(jiter: &'a mut Jiter<'_>, peek: Peek) -> Result<&'a str, Fault> {
    let text = jiter.known_number_bytes(peek)?;
    Ok(std::str::from_utf8(text).expect("JSON's numbers are ASCII"))
}

fn read_array(jiter: &mut Jiter<'_>, peek: Peek, shape: &mut Shape, column: &mut Lists) -> Result<(), Fault> {
    let Shape::Array(item) = shape else { unreachable!("shapes follow the columns") };
    if peek != Peek::Array {
        return Err(mismatch(jiter, peek, "ARRAY"));
    }
    let mut index = 0;
    let mut next = jiter.known_array()?;
    while let Some(peek) = next {
        read(jiter, peek, item, &mut column.item).map_err(|fault| fault.inside(Step::Item(index)))?;
        index += 1;
        next = jiter.array_step()?;
    }
    column.end(true);
    Ok(())
}

fn read_map(jiter: &mut Jiter<'_>, peek: Peek, shape: &mut Shape, column: &mut Maps) -> Result<(), Fault> {
    let Shape::Map(value) = shape else { unreachable!("shapes follow the columns") };
    if peek != Peek::Object {
        return Err(mismatch(jiter, peek, "MAP"));
    }
    read_distinct(jiter, column, |jiter, column, skipped| {
        read_members(jiter, column, skipped, |jiter, peek, values| read(jiter, peek, value, values))
    })
}

fn read_struct(
    jiter: &mut Jiter<'_>,
    peek: Peek,
    shape: &mut Shape,
    column: &mut Structs,
) -> Result<(), Fault> {
    let Shape::Struct(object) = shape else { unreachable!("shapes follow the columns") };
    if peek != Peek::Object {
        return Err(mismatch(jiter, peek, "STRUCT"));
    }
    let row = column.len();
    object.read(jiter, row, &mut column.columns)?;
    column.end();
    Ok(())
}

#[cold]
fn coerce(target: &'static str) -> Fault {
    Fault::new(What::Coerce { target })
}

/// The value is of a kind that the type does not take. What is no value at all is a syntax fault.
#[cold]
pub(crate) fn mismatch(jiter: &mut Jiter<'_>, peek: Peek, required: &'static str) -> Fault {
    let source = match peek {
        Peek::String => "TextNode",
        Peek::True | Peek::False => "BooleanNode",
        Peek::Array => "ArrayNode",
        Peek::Object => "ObjectNode",
        _ => match number_text(jiter, peek) {
            Ok(text) => number::class(text),
            Err(fault) => return fault,
        },
    };
    Fault::new(What::Convert { source, required })
}
