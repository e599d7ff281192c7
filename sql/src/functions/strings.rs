//! Functions of text, and of bytes where they are the same.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int32Array, ListBuilder, StringArray, StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Int32Type;

use super::units;
use crate::columnar::text_bytes;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        text("ucase", "Upper case.").form("(STRING) -> STRING", |call| {
            let ascii = change_ascii(call, <[u8]>::make_ascii_uppercase)?;
            ascii.map_or_else(|| change(call, upper), Ok)
        }),
        text("lcase", "Lower case.").form("(STRING) -> STRING", |call| {
            let ascii = change_ascii(call, <[u8]>::make_ascii_lowercase)?;
            ascii.map_or_else(|| change(call, lower), Ok)
        }),
        text("INITCAP", "Every word with a capital first letter, the rest in lower case.")
            .form("(STRING) -> STRING", |call| change(call, capitalize)),
        text("TRIM", "Without spaces and control characters at both ends.").form("(STRING) -> STRING", |call| {
            let texts = call.strings(0);
            call.build_slices(|row| Some(texts.get(row)?.trim_matches(|c| c <= ' ')))
        }),
        text("LEN", "Length: of text in UTF-16 code units, of bytes in bytes.")
            .form("(STRING) -> INT", |call| {
                let array = call.array(0)?;
                let texts = array.as_string::<i32>();
                if text_bytes(texts).is_ascii() {
                    let lengths = texts.offsets().lengths().map(|length| length as i32);
                    return Ok(Arc::new(Int32Array::new(lengths.collect(), texts.nulls().cloned())));
                }
                let texts = call.strings(0);
                call.build::<Int32Type>(|row| i32::try_from(units::length(texts.get(row)?)).ok())
            })
            .form("(BYTES) -> INT", |call| {
                let bytes = call.bytes(0);
                call.build::<Int32Type>(|row| i32::try_from(bytes.get(row)?.len()).ok())
            }),
        text("concat", "All arguments in a row; NULLs are passed over.")
            .form("(STRING...) -> STRING", |call| {
                let parts: Vec<_> = (0..call.arg_count()).map(|i| call.strings(i)).collect();
                call.build_strings(|row, out| {
                    parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.push_str(part));
                    Some(())
                })
            })
            .form("(BYTES...) -> BYTES", |call| {
                let parts: Vec<_> = (0..call.arg_count()).map(|i| call.bytes(i)).collect();
                call.build_bytes(|row, out| {
                    parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.extend_from_slice(part));
                    Some(())
                })
            }),
        text("concat_ws", "All arguments but the first in a row, with the first between them; NULLs are passed over.")
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
                call.build_bytes(|row, out| {
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
        text("instr", "Where the second argument starts in the first, from 1; 0 if nowhere. Optional: from which position, which occurrence.")
            .forms(
                &["(STRING, STRING) -> INT", "(STRING, STRING, INT!) -> INT", "(STRING, STRING, INT!, INT!) -> INT"],
                instr,
            ),
        pad("lpad", "The text filled up at the start to a length, or cut to it.", Side::Left),
        pad("rpad", "The text filled up at the end to a length, or cut to it.", Side::Right),
        text("split", "The parts between occurrences of the second argument; without it, single characters.")
            .form("(STRING, STRING) -> ARRAY<STRING>", split_text)
            .form("(BYTES, BYTES) -> ARRAY<BYTES>", split_bytes),
        text("elt", "The nth of the texts behind the number, from 1.").form("(INT!, STRING...) -> STRING", |call| {
            let places = call.ints(0);
            let texts: Vec<_> = (1..call.arg_count()).map(|i| call.strings(i)).collect();
            call.build_slices(|row| {
                let place = usize::try_from(places.get(row)?).ok()?.checked_sub(1)?;
                texts.get(place)?.get(row)
            })
        }),
        text("field", "The place of the first text among those behind it, from 1; 0 if it is not there.").form(
            "(STRING, STRING...) -> INT",
            |call| {
                let wanted = call.strings(0);
                let texts: Vec<_> = (1..call.arg_count()).map(|i| call.strings(i)).collect();
                call.build::<Int32Type>(|row| {
                    let found = wanted.get(row).and_then(|wanted| {
                        texts.iter().position(|column| column.get(row) == Some(wanted))
                    });
                    Some(found.map_or(0, |place| place as i32 + 1))
                })
            },
        ),
    ]
}

fn text(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::String)
}

fn change(call: &Call<'_>, write: fn(&str, &mut String)) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    call.build_strings(|row, out| {
        write(texts.get(row)?, out);
        Some(())
    })
}

/// All texts changed at once, byte by byte; `None` if some byte is not ASCII.
fn change_ascii(call: &Call<'_>, write: fn(&mut [u8])) -> Result<Option<ArrayRef>, SqlError> {
    let array = call.array(0)?;
    let texts = array.as_string::<i32>();
    let bytes = text_bytes(texts);
    if !bytes.is_ascii() {
        return Ok(None);
    }
    let mut changed = bytes.to_vec();
    write(&mut changed);
    let offsets = OffsetBuffer::from_lengths(texts.offsets().lengths());
    Ok(Some(Arc::new(StringArray::try_new(offsets, changed.into(), texts.nulls().cloned())?)))
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
    call.build_bytes(|row, out| {
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
                let missing = wanted - length;
                match pad.as_bytes() {
                    [c] => out.extend(std::iter::repeat_n(char::from(*c), missing)),
                    _ => {
                        (0..missing / step).for_each(|_| out.push_str(pad));
                        out.push_str(&units::slice(pad, 0, missing % step));
                    }
                }
                out.push_str(if side == Side::Left { text } else { "" });
                Some(())
            })
        })
        .form("(BYTES, INT, BYTES) -> BYTES", move |call| {
            let (values, lengths, pads) = (call.bytes(0), call.ints(1), call.bytes(2));
            call.build_bytes(|row, out| {
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
