//! Functions of text, and of bytes where they are the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;

use super::units;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        text("UCASE", "Upper case.").form("(STRING) -> STRING", |call| change(call, upper)),
        text("LCASE", "Lower case.").form("(STRING) -> STRING", |call| change(call, lower)),
        text("INITCAP", "Every word with a capital first letter, the rest in lower case.")
            .form("(STRING) -> STRING", |call| change(call, capitalize)),
        text("TRIM", "Without spaces and control characters at both ends.").form("(STRING) -> STRING", |call| {
            let texts = call.strings(0);
            call.build_slices(|row| Some(texts.get(row)?.trim_matches(|c| c <= ' ')))
        }),
        text("LEN", "Length: of text in UTF-16 code units, of bytes in bytes.")
            .form("(STRING) -> INT", |call| {
                let texts = call.strings(0);
                call.build::<Int32Type>(|row| i32::try_from(units::length(texts.get(row)?)).ok())
            })
            .form("(BYTES) -> INT", |call| {
                let bytes = call.bytes(0);
                call.build::<Int32Type>(|row| i32::try_from(bytes.get(row)?.len()).ok())
            }),
        text("CONCAT", "All arguments in a row; NULLs are passed over.")
            .form("(STRING...) -> STRING", |call| {
                let parts: Vec<_> = (0..call.arg_count()).map(|i| call.strings(i)).collect();
                call.build_strings(|row, out| {
                    parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.push_str(part));
                    Some(())
                })
            })
            .form("(BYTES...) -> BYTES", |call| {
                let parts: Vec<_> = (0..call.arg_count()).map(|i| call.bytes(i)).collect();
                build_bytes(call, |row, out| {
                    parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.extend_from_slice(part));
                    Some(())
                })
            }),
        text("CONCAT_WS", "All arguments but the first in a row, with the first between them; NULLs are passed over.")
            .form("(STRING, STRING, STRING...) -> STRING", |call| {
                let separators = call.strings(0);
                let parts: Vec<_> = (1..call.arg_count()).map(|i| call.strings(i)).collect();
                call.build_strings(|row, out| {
                    let separator = separators.get(row)?;
                    for (i, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
                        out.push_str(if i > 0 { separator } else { "" });
                        out.push_str(part);
                    }
                    Some(())
                })
            })
            .form("(BYTES, BYTES, BYTES...) -> BYTES", |call| {
                let separators = call.bytes(0);
                let parts: Vec<_> = (1..call.arg_count()).map(|i| call.bytes(i)).collect();
                build_bytes(call, |row, out| {
                    let separator = separators.get(row)?;
                    for (i, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
                        out.extend_from_slice(if i > 0 { separator } else { &[] });
                        out.extend_from_slice(part);
                    }
                    Some(())
                })
            }),
        text("SUBSTRING", "The part from a position on, counted from 1 or with a minus from the end, at most so long.")
            .forms(&["(STRING, INT) -> STRING", "(STRING, INT, INT) -> STRING"], substring_text)
            .forms(&["(BYTES, INT) -> BYTES", "(BYTES, INT, INT) -> BYTES"], substring_bytes),
        text("REPLACE", "The text with all occurrences of the second argument replaced by the third.").form(
            "(STRING, STRING, STRING) -> STRING",
            |call| {
                let (texts, olds, news) = (call.strings(0), call.strings(1), call.strings(2));
                call.build_strings(|row, out| {
                    let (text, old, new) = (texts.get(row)?, olds.get(row)?, news.get(row)?);
                    let mut rest = 0;
                    for (at, found) in text.match_indices(old) {
                        out.push_str(&text[rest..at]);
                        out.push_str(new);
                        rest = at + found.len();
                    }
                    out.push_str(&text[rest..]);
                    Some(())
                })
            },
        ),
        text("INSTR", "Where the second argument starts in the first, from 1; 0 if nowhere. Optional: from which position, which occurrence.")
            .forms(
                &["(STRING, STRING) -> INT", "(STRING, STRING, INT!) -> INT", "(STRING, STRING, INT!, INT!) -> INT"],
                instr,
            ),
        pad("LPAD", "The text filled up at the start to a length, or cut to it.", Side::Left),
        pad("RPAD", "The text filled up at the end to a length, or cut to it.", Side::Right),
        text("SPLIT", "The parts between occurrences of the second argument; without it, single characters.")
            .form("(STRING, STRING) -> ARRAY<STRING>", split_text)
            .form("(BYTES, BYTES) -> ARRAY<BYTES>", split_bytes),
    ]
}

fn text(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::String)
}

/// Builds a BYTES result, row by row: `write` appends to a buffer that is empty, or returns `None` for NULL.
fn build_bytes(
    call: &Call<'_>,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Option<()>,
) -> Result<ArrayRef, SqlError> {
    let mut out = BinaryBuilder::with_capacity(call.rows(), call.rows() * 16);
    let mut buffer = Vec::new();
    for row in 0..call.rows() {
        buffer.clear();
        match write(row, &mut buffer) {
            Some(()) => out.append_value(&buffer),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn change(call: &Call<'_>, write: fn(&str, &mut String)) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    call.build_strings(|row, out| {
        write(texts.get(row)?, out);
        Some(())
    })
}

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.push_str(&text.to_uppercase());
    }
}

fn lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&text.to_lowercase());
    }
}

fn capitalize(text: &str, out: &mut String) {
    let mut starts_word = true;
    for c in text.trim_start().chars() {
        if starts_word {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        starts_word = c.is_whitespace();
    }
}

fn substring_text(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, positions) = (call.strings(0), call.ints(1));
    let counts = (call.arg_count() > 2).then(|| call.ints(2));
    call.build_strings(|row, out| {
        let (text, position) = (texts.get(row)?, positions.get(row)?);
        let count = match &counts {
            Some(counts) => Some(counts.get(row)?),
            None => None,
        };
        let (from, to) = units::substring_range(units::length(text), position, count);
        out.push_str(&units::slice(text, from, to));
        Some(())
    })
}

fn substring_bytes(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (bytes, positions) = (call.bytes(0), call.ints(1));
    let counts = (call.arg_count() > 2).then(|| call.ints(2));
    build_bytes(call, |row, out| {
        let (bytes, position) = (bytes.get(row)?, positions.get(row)?);
        let count = match &counts {
            Some(counts) => Some(counts.get(row)?),
            None => None,
        };
        let (from, to) = units::substring_range(bytes.len(), position, count);
        out.extend_from_slice(&bytes[from..to]);
        Some(())
    })
}

/// Never NULL for NULL text: what is not there is found nowhere.
fn instr(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, parts) = (call.strings(0), call.strings(1));
    let positions = (call.arg_count() > 2).then(|| call.ints(2));
    let occurrences = (call.arg_count() > 3).then(|| call.ints(3));
    call.build::<Int32Type>(|row| {
        let (Some(text), Some(part)) = (texts.get(row), parts.get(row)) else { return Some(0) };
        let position = positions.as_ref().map_or(Some(1), |p| p.get(row))?;
        let occurrence = occurrences.as_ref().map_or(Some(1), |o| o.get(row))?;
        Some(units::find(text, part, position, occurrence))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn pad(name: &str, description: &str, side: Side) -> ScalarFunction {
    text(name, description)
        .form("(STRING, INT, STRING) -> STRING", move |call| {
            let (texts, lengths, pads) = (call.strings(0), call.ints(1), call.strings(2));
            call.build_strings(|row, out| {
                let (text, pad) = (texts.get(row)?, pads.get(row)?);
                let wanted = usize::try_from(lengths.get(row)?).ok()?;
                let (length, step) = (units::length(text), units::length(pad));
                if step == 0 {
                    return None;
                }
                if length >= wanted {
                    out.push_str(&units::slice(text, 0, wanted));
                    return Some(());
                }
                out.push_str(if side == Side::Right { text } else { "" });
                let mut missing = wanted - length;
                while missing > 0 {
                    let part = step.min(missing);
                    out.push_str(&units::slice(pad, 0, part));
                    missing -= part;
                }
                out.push_str(if side == Side::Left { text } else { "" });
                Some(())
            })
        })
        .form("(BYTES, INT, BYTES) -> BYTES", move |call| {
            let (values, lengths, pads) = (call.bytes(0), call.ints(1), call.bytes(2));
            build_bytes(call, |row, out| {
                let (value, pad) = (values.get(row)?, pads.get(row)?);
                let wanted = usize::try_from(lengths.get(row)?).ok()?;
                if pad.is_empty() {
                    return None;
                }
                let kept = &value[..value.len().min(wanted)];
                let padding = pad.iter().cycle().take(wanted - kept.len());
                match side {
                    Side::Left => {
                        out.extend(padding);
                        out.extend_from_slice(kept);
                    }
                    Side::Right => {
                        out.extend_from_slice(kept);
                        out.extend(padding);
                    }
                }
                Some(())
            })
        })
}

fn split_text(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, delimiters) = (call.strings(0), call.strings(1));
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows() {
        let (Some(text), Some(delimiter)) = (texts.get(row), delimiters.get(row)) else {
            out.append_null();
            continue;
        };
        if delimiter.is_empty() {
            text.char_indices().for_each(|(at, c)| out.values().append_value(&text[at..at + c.len_utf8()]));
        } else {
            text.split(delimiter).for_each(|part| out.values().append_value(part));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn split_bytes(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (values, delimiters) = (call.bytes(0), call.bytes(1));
    let mut out = ListBuilder::new(BinaryBuilder::new());
    for row in 0..call.rows() {
        let (Some(value), Some(delimiter)) = (values.get(row), delimiters.get(row)) else {
            out.append_null();
            continue;
        };
        if delimiter.is_empty() {
            value.chunks(1).for_each(|byte| out.values().append_value(byte));
        } else {
            let (mut from, mut at) = (0, 0);
            while at < value.len() {
                if value[at..].starts_with(delimiter) {
                    out.values().append_value(&value[from..at]);
                    at += delimiter.len();
                    from = at;
                } else {
                    at += 1;
                }
            }
            out.values().append_value(&value[from..]);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}
