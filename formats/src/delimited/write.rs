//! Writing one CSV record without a line end, quoted only where Commons CSV does.

use crate::{base64_text, cells::Cells, decimal, java};

/// Appends one record.
pub(crate) fn write(columns: &[Cells<'_>], row: usize, delimiter: u8, out: &mut Vec<u8>) {
    for (index, cells) in columns.iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        let start = out.len();
        if write_cell(cells, row, out) && must_quote(&out[start..], delimiter, index == 0) {
            quote_from(out, start);
        }
    }
}

/// Writes the bare text of a cell; `false` if it is NULL, which is never quoted.
fn write_cell(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> bool {
    if cells.is_null(row) {
        return false;
    }
    let mut whole = itoa::Buffer::new();
    match cells {
        Cells::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
        Cells::Int(array) => out.extend_from_slice(whole.format(array.value(row)).as_bytes()),
        Cells::BigInt(array) => out.extend_from_slice(whole.format(array.value(row)).as_bytes()),
        Cells::Double(array) => java::push_double(out, array.value(row)),
        Cells::Decimal(array, scale) => decimal::push(out, array.value(row), *scale),
        Cells::WideDecimal(array, scale) => decimal::push(out, array.value(row), *scale),
        Cells::String(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Cells::Bytes(array) => base64_text::push(out, array.value(row)),
        Cells::Time(array) => out.extend_from_slice(whole.format(array.value(row)).as_bytes()),
        Cells::Date(array) => out.extend_from_slice(whole.format(array.value(row)).as_bytes()),
        Cells::Timestamp(array) => out.extend_from_slice(whole.format(array.value(row)).as_bytes()),
        Cells::Array(..) | Cells::Map(..) | Cells::Struct(..) => {
            unreachable!("DELIMITED holds no nested types")
        }
    }
    true
}

/// Commons CSV's minimal quoting. A first field is quoted unless it starts with an ASCII letter or digit, so that no line
/// looks empty or like a comment; `-1` is among them.
fn must_quote(text: &[u8], delimiter: u8, first: bool) -> bool {
    let (Some(start), Some(end)) = (text.first(), text.last()) else { return first };
    let odd_start = first && !start.is_ascii_alphanumeric();
    odd_start
        || *start <= b'#'
        || *end <= b' '
        || text.iter().any(|byte| *byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n'))
}

fn quote_from(out: &mut Vec<u8>, start: usize) {
    let quotes = out[start..].iter().filter(|byte| **byte == b'"').count();
    let end = out.len();
    out.resize(end + quotes + 2, b'"');
    // From the back, so that every byte moves once.
    let mut to = out.len() - 1;
    for from in (start..end).rev() {
        let byte = out[from];
        to -= 1;
        out[to] = byte;
        if byte == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[start] = b'"';
    let last = out.len() - 1;
    out[last] = b'"';
}
