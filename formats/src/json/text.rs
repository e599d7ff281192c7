//! JSON values that are no strings, read into a STRING column.

use crate::json::{cursor::Cursor, fault::Fault};

/// Arrays in arrays up to this depth are turned into text; deeper ones are refused.
const DEPTH_MAX: usize = 500;

/// Appends the text of the next value: numbers, booleans and `null` as written, objects as JSON without white
/// space, arrays as `[a, b]` with the text of their items.
pub(crate) fn push(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    push_at(cursor, out, 0)
}

fn push_at(cursor: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    match cursor.peek_value()? {
        b'"' => cursor.string()?.push_to(out),
        b'[' => push_array(cursor, out, depth)?,
        b'{' => {
            let start = cursor.position();
            cursor.skip_value()?;
            push_compact(cursor.since(start), out);
        }
        _ => {
            let start = cursor.position();
            cursor.skip_value()?;
            out.extend_from_slice(cursor.since(start));
        }
    }
    Ok(())
}

fn push_array(cursor: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    if depth == DEPTH_MAX {
        return Err(cursor.fault("less nesting"));
    }
    cursor.advance(1);
    out.push(b'[');
    if !cursor.take(b']') {
        loop {
            push_at(cursor, out, depth + 1)?;
            if !cursor.take(b',') {
                cursor.expect(b']', "',' or ']'")?;
                break;
            }
            out.extend_from_slice(b", ");
        }
    }
    out.push(b']');
    Ok(())
}

/// Appends valid JSON without the white space between its tokens.
fn push_compact(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        if in_string || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            out.push(*byte);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
}
