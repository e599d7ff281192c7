//! Whole records, a column of many rows at a time: first how long each value is, then the values in their places. No
//! cell is asked for its type.

use std::ops::Range;

use arrow::{
    array::{Array, ArrowPrimitiveType, BooleanArray, GenericByteArray, PrimitiveArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::ByteArrayType,
};

use crate::{
    FormatError, Payloads,
    avro::{
        fault::Fault,
        input::{long_size, put_long},
        write::write_slot,
        write_plan::{Member, Null, Slot, Write},
    },
    cells::Cells,
};

/// So many rows at a time: what is written of them stays in the fastest cache.
const CHUNK: usize = 256;

/// Writes the rows as records of these members; `prefix` stands before each.
///
/// Fails at the first row that the schema does not take, with the rows before written.
pub(crate) fn write_records(
    prefix: &[u8],
    members: &[Member],
    columns: &[Cells<'_>],
    rows: usize,
    present: Option<&BooleanBuffer>,
    out: &mut Payloads,
) -> Result<(), FormatError> {
    let mut written: Vec<_> = members.iter().map(|member| column_of(member, columns)).collect();
    let (mut chosen, mut places) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    for start in (0..rows).step_by(CHUNK) {
        let mut all = start..rows.min(start + CHUNK);
        chosen.clear();
        chosen.extend(all.clone().filter(|row| present.is_none_or(|bits| bits.value(*row))));
        let mut refused = None;
        for column in &mut written {
            if let Err((at, fault)) = column.prepare(&chosen) {
                all.end = chosen[at];
                chosen.truncate(at);
                refused = Some(fault);
            }
        }
        write_chunk(prefix, &written, &chosen, &mut places, out.buffer());
        end_rows(all, &chosen, &places, out);
        if let Some(fault) = refused {
            return Err(fault.into());
        }
    }
    Ok(())
}

/// Appends the chosen rows; `places` become their ends.
fn write_chunk(
    prefix: &[u8],
    columns: &[Box<dyn Column + '_>],
    rows: &[usize],
    places: &mut Vec<usize>,
    out: &mut Vec<u8>,
) {
    places.clear();
    places.resize(rows.len(), prefix.len());
    for column in columns {
        column.add_sizes(rows, places);
    }
    let mut end = out.len();
    for place in places.iter_mut() {
        let size = std::mem::replace(place, end);
        end += size;
    }
    out.resize(end, 0);
    for place in places.iter_mut() {
        put(prefix, out, place);
    }
    for column in columns {
        column.write(rows, places, out);
    }
}

/// Closes all rows: the chosen ones at their ends, the others as NULL payloads.
fn end_rows(all: Range<usize>, chosen: &[usize], ends: &[usize], out: &mut Payloads) {
    let mut chosen = chosen.iter().zip(ends).peekable();
    let mut last = out.end();
    for row in all {
        let present = chosen.next_if(|(chosen, _)| **chosen == row);
        last = present.map_or(last, |(_, end)| *end);
        out.end_row_at(last, present.is_some());
    }
}

/// A field of many records.
trait Column {
    /// Called with rows before the other methods are. Tells which of them (by its place among them) is the first
    /// that cannot be written.
    fn prepare(&mut self, _rows: &[usize]) -> Result<(), (usize, Fault)> {
        Ok(())
    }

    /// Adds the bytes that each row takes.
    fn add_sizes(&self, rows: &[usize], sizes: &mut [usize]);

    /// Writes each row in its place, and moves the place behind it.
    fn write(&self, rows: &[usize], places: &mut [usize], out: &mut [u8]);
}

fn column_of<'a>(member: &'a Member, columns: &'a [Cells<'a>]) -> Box<dyn Column + 'a> {
    let (name, slot, cells) = match member {
        Member::Constant(bytes) => return Box::new(Constant(bytes)),
        Member::Missing(message) => return Box::new(Missing(message)),
        Member::Column(column, name, slot) => (name, slot, &columns[*column]),
    };
    match (cells, &slot.write) {
        (Cells::Boolean(array), Write::Boolean) => nullable(slot, array.nulls(), *array),
        (Cells::Int(array), _) => nullable(slot, array.nulls(), *array),
        (Cells::Date(array), _) => nullable(slot, array.nulls(), *array),
        (Cells::Time(array), _) => nullable(slot, array.nulls(), *array),
        (Cells::BigInt(array), _) => nullable(slot, array.nulls(), *array),
        (Cells::Timestamp(array), _) => nullable(slot, array.nulls(), *array),
        (Cells::Double(array), Write::Double) => nullable(slot, array.nulls(), array.values().as_ref()),
        (Cells::String(array), Write::String) => nullable(slot, array.nulls(), *array),
        (Cells::Bytes(array), Write::Bytes) => nullable(slot, array.nulls(), *array),
        _ => None,
    }
    .unwrap_or_else(|| Box::new(Rows { name, slot, cells, bytes: Vec::new(), ends: Vec::new() }))
}

/// A field without a column.
struct Constant<'a>(&'a [u8]);

impl Column for Constant<'_> {
    fn add_sizes(&self, _: &[usize], sizes: &mut [usize]) {
        for size in sizes {
            *size += self.0.len();
        }
    }

    fn write(&self, _: &[usize], places: &mut [usize], out: &mut [u8]) {
        for place in places {
            put(self.0, out, place);
        }
    }
}

/// A field that has no value.
struct Missing<'a>(&'a str);

impl Column for Missing<'_> {
    fn prepare(&mut self, rows: &[usize]) -> Result<(), (usize, Fault)> {
        if rows.is_empty() { Ok(()) } else { Err((0, Fault::complete(self.0))) }
    }

    fn add_sizes(&self, _: &[usize], _: &mut [usize]) {}

    fn write(&self, _: &[usize], _: &mut [usize], _: &mut [u8]) {}
}

/// Cells of any type: they are written one by one, and then copied.
struct Rows<'a> {
    name: &'a str,
    slot: &'a Slot,
    cells: &'a Cells<'a>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows<'_> {
    /// The bytes of each row.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| self.bytes.get(std::mem::replace(start, *end)..*end))
    }
}

impl Column for Rows<'_> {
    fn prepare(&mut self, rows: &[usize]) -> Result<(), (usize, Fault)> {
        self.bytes.clear();
        self.ends.clear();
        for (at, row) in rows.iter().enumerate() {
            write_slot(self.slot, self.cells, *row, &mut self.bytes)
                .map_err(|fault| (at, fault.inside(self.name)))?;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn add_sizes(&self, _: &[usize], sizes: &mut [usize]) {
        for (size, value) in sizes.iter_mut().zip(self.values()) {
            *size += value.len();
        }
    }

    fn write(&self, _: &[usize], places: &mut [usize], out: &mut [u8]) {
        for (place, value) in places.iter_mut().zip(self.values()) {
            put(value, out, place);
        }
    }
}

/// Cells of one type whose size is quickly told.
struct Values<'a, V> {
    values: V,
    /// The cells that are NULL, if there are any.
    nulls: Option<&'a NullBuffer>,
    null: &'a [u8],
    /// Stands before a value that is not NULL.
    branch: &'a [u8],
}

/// `None` if there are NULLs and they are refused.
fn nullable<'a, V: Value + 'a>(
    slot: &'a Slot,
    nulls: Option<&'a NullBuffer>,
    values: V,
) -> Option<Box<dyn Column + 'a>> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let null = match (&slot.null, nulls) {
        (Null::Bytes(bytes), _) => bytes,
        (Null::Refused(_), None) => &[][..],
        (Null::Refused(_), Some(_)) => return None,
    };
    Some(Box::new(Values { values, nulls, null, branch: slot.branch.as_slice() }))
}

impl<V: Value> Column for Values<'_, V> {
    fn add_sizes(&self, rows: &[usize], sizes: &mut [usize]) {
        let before = self.branch.len();
        let Some(nulls) = self.nulls else {
            for (row, size) in rows.iter().zip(sizes) {
                *size += before + self.values.size(*row);
            }
            return;
        };
        for (row, size) in rows.iter().zip(sizes) {
            *size += if nulls.is_null(*row) { self.null.len() } else { before + self.values.size(*row) };
        }
    }

    fn write(&self, rows: &[usize], places: &mut [usize], out: &mut [u8]) {
        for (row, place) in rows.iter().zip(places) {
            if self.nulls.is_some_and(|nulls| nulls.is_null(*row)) {
                put(self.null, out, place);
                continue;
            }
            if let [branch] = self.branch {
                out[*place] = *branch;
                *place += 1;
            }
            *place += self.values.put(*row, &mut out[*place..]);
        }
    }
}

/// A column of values that are not NULL.
trait Value {
    /// The bytes that the value of a row takes.
    fn size(&self, row: usize) -> usize;

    /// Writes a value at the start of what is left, and tells its size.
    fn put(&self, row: usize, out: &mut [u8]) -> usize;
}

impl Value for &BooleanArray {
    #[inline]
    fn size(&self, _: usize) -> usize {
        1
    }

    #[inline]
    fn put(&self, row: usize, out: &mut [u8]) -> usize {
        out[0] = u8::from(self.value(row));
        1
    }
}

impl<T: ArrowPrimitiveType<Native: Into<i64>>> Value for &PrimitiveArray<T> {
    #[inline]
    fn size(&self, row: usize) -> usize {
        long_size(self.value(row).into())
    }

    #[inline]
    fn put(&self, row: usize, out: &mut [u8]) -> usize {
        put_long(self.value(row).into(), out)
    }
}

impl Value for &[f64] {
    #[inline]
    fn size(&self, _: usize) -> usize {
        8
    }

    #[inline]
    fn put(&self, row: usize, out: &mut [u8]) -> usize {
        out[..8].copy_from_slice(&self[row].to_le_bytes());
        8
    }
}

impl<T: ByteArrayType<Offset = i32>> Value for &GenericByteArray<T> {
    #[inline]
    fn size(&self, row: usize) -> usize {
        let length = self.value_length(row) as usize;
        long_size(length as i64) + length
    }

    #[inline]
    fn put(&self, row: usize, out: &mut [u8]) -> usize {
        let bytes: &[u8] = self.value(row).as_ref();
        let start = put_long(bytes.len() as i64, out);
        let end = start + bytes.len();
        out[start..end].copy_from_slice(bytes);
        end
    }
}

#[inline]
fn put(bytes: &[u8], out: &mut [u8], place: &mut usize) {
    let end = *place + bytes.len();
    out[*place..end].copy_from_slice(bytes);
    *place = end;
}
