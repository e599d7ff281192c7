//! Functions that hide text.

use arrow::array::ArrayRef;

use super::units;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    let whole = ["(STRING) -> STRING", "(STRING, STRING, STRING, STRING, STRING) -> STRING"];
    let part = ["(STRING, INT!) -> STRING", "(STRING, INT!, STRING, STRING, STRING, STRING) -> STRING"];
    let masking = |name, description, forms: &[&str], part: Part| {
        ScalarFunction::new(name, description)
            .category(Category::String)
            .forms(forms, move |call| mask(call, part))
    };
    vec![
        masking(
            "mask",
            "The text with X, x, n and - for its characters, or with other masks.",
            &whole,
            Part::All,
        ),
        masking("mask_left", "The text with its first characters masked.", &part, Part::Left),
        masking("mask_right", "The text with its last characters masked.", &part, Part::Right),
        masking(
            "mask_keep_left",
            "The text with all but its first characters masked.",
            &part,
            Part::KeepLeft,
        ),
        masking(
            "mask_keep_right",
            "The text with all but its last characters masked.",
            &part,
            Part::KeepRight,
        ),
    ]
}

/// Which characters are masked.
#[derive(Clone, Copy)]
enum Part {
    All,
    Left,
    Right,
    KeepLeft,
    KeepRight,
}

impl Part {
    /// The first character masked and the first behind those masked, of so many.
    fn range(self, length: usize, count: usize) -> (usize, usize) {
        let count = count.min(length);
        match self {
            Self::All => (0, length),
            Self::Left => (0, count),
            Self::Right => (length - count, length),
            Self::KeepLeft => (count, length),
            Self::KeepRight => (0, length - count),
        }
    }
}

/// What stands for upper case, lower case, digits and others; `None` leaves them.
struct Masks([Option<char>; 4]);

impl Masks {
    const DEFAULT: Self = Self([Some('X'), Some('x'), Some('n'), Some('-')]);

    /// The masks in the last four arguments of a row, if there are that many.
    fn of(call: &Call<'_>, row: usize) -> Result<Self, String> {
        if call.arg_count() < 5 {
            return Ok(Self::DEFAULT);
        }
        let mut masks = [None; 4];
        for (mask, position) in masks.iter_mut().zip(call.arg_count() - 4..) {
            *mask = match call.strings(position).get(row) {
                None => None,
                Some(text) => {
                    let mut chars = text.chars();
                    match (chars.next(), chars.next()) {
                        (Some(only), None) => Some(only),
                        _ => return Err(format!("mask '{text}' is not a single character")),
                    }
                }
            };
        }
        Ok(Self(masks))
    }

    fn of_char(&self, c: char) -> Option<char> {
        if c.is_uppercase() {
            self.0[0]
        } else if c.is_lowercase() {
            self.0[1]
        } else if c.is_numeric() {
            self.0[2]
        } else {
            self.0[3]
        }
    }
}

fn mask(call: &Call<'_>, part: Part) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    call.build_strings(|row, out| {
        let text = texts.get(row)?;
        let count = match part {
            Part::All => 0,
            _ => {
                let count = call.ints(1).get(row)?;
                match usize::try_from(count) {
                    Ok(count) => count,
                    Err(_) => return call.fail(format!("cannot mask {count} characters")),
                }
            }
        };
        let masks = call.check(Masks::of(call, row))?;
        let (from, to) = part.range(units::length(text), count);
        let mut at = 0;
        for c in text.chars() {
            match masks.of_char(c).filter(|_| (from..to).contains(&at)) {
                // A character beyond U+FFFF counts as two.
                Some(mask) => out.extend(std::iter::repeat_n(mask, c.len_utf16())),
                None => out.push(c),
            }
            at += c.len_utf16();
        }
        Some(())
    })
}
