//! Positions and lengths in text, counted in UTF-16 code units as Java does.

use std::borrow::Cow;

/// How many code units the text has.
pub(super) fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// The text between two code units. Half of a surrogate pair becomes U+FFFD.
pub(super) fn slice(text: &str, from: usize, to: usize) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(&text[from..to]);
    }
    let units: Vec<u16> = text.encode_utf16().skip(from).take(to - from).collect();
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// The range that SUBSTRING means in something `length` long: `position` counts from 1, negative from the end.
pub(super) fn substring_range(length: usize, position: i32, count: Option<i32>) -> (usize, usize) {
    let from = match position {
        0 => 0,
        1.. => (position.unsigned_abs() as usize - 1).min(length),
        _ => length.saturating_sub(position.unsigned_abs() as usize),
    };
    let to = match count {
        None => length,
        Some(count) => (from + usize::try_from(count).unwrap_or(0)).min(length),
    };
    (from, to)
}

/// As [`find`] forwards, where code units are bytes. Occurrences may overlap.
fn find_ascii(text: &str, part: &str, position: usize, occurrence: i32) -> i32 {
    if position > text.len() || occurrence < 1 {
        return 0;
    }
    let mut from = position.saturating_sub(1);
    for _ in 0..occurrence {
        match text.get(from..).and_then(|rest| rest.find(part)) {
            Some(at) => from += at + 1,
            None => return 0,
        }
    }
    i32::try_from(from).unwrap_or(0)
}

/// The code unit, from 1, where the `occurrence`-th `part` starts, searched from `position`; 0 if there is none.
///
/// A negative position counts from the end and searches backwards.
pub(super) fn find(text: &str, part: &str, position: i32, occurrence: i32) -> i32 {
    let distance = position.unsigned_abs() as usize;
    if position >= 0 && text.is_ascii() && part.is_ascii() {
        return find_ascii(text, part, distance, occurrence);
    }
    let text: Vec<u16> = text.encode_utf16().collect();
    let part: Vec<u16> = part.encode_utf16().collect();
    let Some(last) = text.len().checked_sub(part.len()) else { return 0 };
    if distance > text.len() || occurrence < 1 {
        return 0;
    }
    let matches = |at: &usize| text[*at..].starts_with(&part);
    let nth = occurrence.unsigned_abs() as usize - 1;
    let found = if position < 0 {
        (0..=last.min(text.len() - distance)).rev().filter(matches).nth(nth)
    } else {
        (distance.saturating_sub(1)..=last).filter(matches).nth(nth)
    };
    found.and_then(|at| i32::try_from(at + 1).ok()).unwrap_or(0)
}
