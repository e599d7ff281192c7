//! DECIMAL(p, s) from and to text, exactly.

/// Why a text is no DECIMAL of the wanted precision and scale.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Not a number.
    NotANumber,
    /// A number that would need rounding or more digits: its own precision and scale.
    Rounds { precision: usize, scale: i64 },
}

impl Misfit {
    /// ksqlDB's message.
    pub(crate) fn message(&self, text: &str, precision: u8, scale: i8) -> String {
        match self {
            Self::NotANumber => format!("'{text}' is not a decimal number"),
            Self::Rounds { precision: p, scale: s } => format!(
                "Cannot fit decimal '{text}' into DECIMAL({precision}, {scale}) without rounding. (Requires {p},{s})"
            ),
        }
    }
}

/// The unscaled value of a text such as `-12.50` or `1e3`.
pub(crate) fn parse(text: &[u8], precision: u8, scale: i8) -> Result<i128, Misfit> {
    let (negative, unsigned) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (number, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..]).ok_or(Misfit::NotANumber)?),
        None => (unsigned, 0),
    };
    let mut points = number.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (points.next().unwrap_or_default(), points.next().unwrap_or_default());
    let digits = || whole.iter().chain(fraction);
    if digits().next().is_none() || !digits().all(u8::is_ascii_digit) {
        return Err(Misfit::NotANumber);
    }
    let written = digits().count();
    let leading = digits().take_while(|digit| **digit == b'0').count();
    if leading == written {
        return Ok(0);
    }
    let trailing = digits().rev().take_while(|digit| **digit == b'0').count();
    let own_scale = fraction.len() as i64 - exponent;
    let misfit = Misfit::Rounds { precision: written - leading, scale: own_scale };
    // The value is the significant digits times 10^shift, once the scale is taken off.
    let shift = trailing as i64 - own_scale + i64::from(scale);
    let significant = written - leading - trailing;
    if shift < 0 || significant as i64 + shift > i64::from(precision) {
        return Err(misfit);
    }
    let mut unscaled = 0i128;
    for digit in digits().skip(leading).take(significant) {
        unscaled = unscaled * 10 + i128::from(digit - b'0');
    }
    unscaled *= 10i128.pow(shift as u32);
    Ok(if negative { -unscaled } else { unscaled })
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.abs() <= i64::from(i32::MAX)).then_some(value)
}

/// Appends plain digits, with as many behind the point as the scale says.
pub(crate) fn push(out: &mut Vec<u8>, unscaled: i128, scale: i8) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        let zeros = if unscaled == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        out.resize(out.len() + zeros, b'0');
        return;
    };
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_fit_exactly_or_not_at_all() {
        for (text, precision, scale, expected) in [
            ("12.50", 4, 2, Ok(1250)),
            ("12.5", 4, 2, Ok(1250)),
            ("12.500", 4, 2, Ok(1250)),
            ("-0.01", 4, 2, Ok(-1)),
            ("1e1", 4, 2, Ok(1000)),
            ("0", 4, 2, Ok(0)),
            ("0.000", 4, 2, Ok(0)),
            ("12.345", 4, 2, Err(Misfit::Rounds { precision: 5, scale: 3 })),
            ("123.4", 4, 2, Err(Misfit::Rounds { precision: 4, scale: 1 })),
            ("1e40", 38, 0, Err(Misfit::Rounds { precision: 1, scale: -40 })),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10i128.pow(38) - 1)),
        ] {
            assert_eq!(parse(text.as_bytes(), precision, scale), expected, "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "abc", "1e", "1e99999999999"] {
            assert_eq!(parse(text.as_bytes(), 4, 2), Err(Misfit::NotANumber), "{text}");
        }
    }

    #[test]
    fn the_message_names_what_is_required() {
        let misfit = parse(b"12.345", 4, 2).expect_err("three digits behind the point");
        assert_eq!(
            misfit.message("12.345", 4, 2),
            "Cannot fit decimal '12.345' into DECIMAL(4, 2) without rounding. (Requires 5,3)"
        );
    }

    proptest! {
        #[test]
        fn a_decimal_survives_its_text(unscaled in -(10i128.pow(38) - 1)..10i128.pow(38), scale in -3i8..=38) {
            let mut text = Vec::new();
            push(&mut text, unscaled, scale);
            prop_assert_eq!(parse(&text, 38, scale), Ok(unscaled));
        }
    }
}
