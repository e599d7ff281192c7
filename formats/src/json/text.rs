//! JSON values that are no strings, read into a STRING column.

use jiter::{Jiter, Peek};

use crate::json::fault::Fault;

/// Arrays in arrays up to this depth are turned into text; deeper ones are refused, as values that are
/// skipped are.
const DEPTH_MAX: usize = 200;

/// Appends the text of the value that was peeked: numbers, booleans and `null` as written, objects as JSON
/// without white space, arrays as `[a, b]` with the text of their items.
pub(crate) fn push(jiter: &mut Jiter<'_>, peek: Peek, out: &mut Vec<u8>) -> Result<(), Fault> {
    push_at(jiter, peek, out, 0)
}

fn push_at(jiter: &mut Jiter<'_>, peek: Peek, out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    match peek {
        Peek::String => out.extend_from_slice(jiter.known_str()?.as_bytes()),
        Peek::Array => push_array(jiter, out, depth)?,
        _ => {
            let start = jiter.current_index();
            jiter.known_skip(peek)?;
            let json = jiter.slice_to_current(start);
            if peek == Peek::Object { push_compact(json, out) } else { out.extend_from_slice(json) }
        }
    }
    Ok(())
}

fn push_array(jiter: &mut Jiter<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    if depth == DEPTH_MAX {
        return Err(Fault::too_deep(jiter.current_index()));
    }
    let mut next = jiter.known_array()?;
    out.push(b'[');
    while let Some(peek) = next {
        push_at(jiter, peek, out, depth + 1)?;
        next = jiter.array_step()?;
        if next.is_some() {
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
