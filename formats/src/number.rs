//! Numbers as text: one scan that checks JSON's grammar and keeps enough to answer for every SQL type.

/// 10^0 to 10^22: the powers of ten that a DOUBLE holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A number that follows JSON's grammar: its text, and its value as `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    /// The text, sign included.
    pub(crate) text: &'a [u8],
    pub(crate) negative: bool,
    /// Digits without the sign; meaningless if `inexact`.
    pub(crate) mantissa: u64,
    pub(crate) exponent: i32,
    /// Whether the digits may not fit 64 bits.
    pub(crate) inexact: bool,
    /// Whether neither a fraction nor an exponent is written.
    pub(crate) integer: bool,
}

/// Reads the number at the start of `bytes`, whose first byte is a digit or `-`. `Err` is the position at
/// which JSON's grammar wanted a digit.
#[inline]
pub(crate) fn scan(bytes: &[u8]) -> Result<Number<'_>, usize> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut mantissa = 0u64;
    let mut at = digits(bytes, start, &mut mantissa);
    let mut count = at - start;
    if count == 0 {
        return Err(at);
    }
    if count > 1 && bytes[start] == b'0' {
        return Err(start + 1);
    }
    let mut exponent = 0i32;
    let mut integer = true;
    if let Some(b'.') = bytes.get(at) {
        let fraction = at + 1;
        at = digits(bytes, fraction, &mut mantissa);
        if at == fraction {
            return Err(at);
        }
        count += at - fraction;
        exponent = -i32::try_from(at - fraction).unwrap_or(i32::MAX / 2);
        integer = false;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = at + 1;
        let first = sign + usize::from(matches!(bytes.get(sign), Some(b'+' | b'-')));
        let mut power = 0u64;
        at = digits(bytes, first, &mut power);
        if at == first {
            return Err(at);
        }
        // Beyond a million every DOUBLE is zero or infinite and no integer keeps a digit.
        let power = if at - first > 7 { 1_000_000 } else { power.min(1_000_000) as i32 };
        exponent += if bytes[sign] == b'-' { -power } else { power };
        integer = false;
    }
    Ok(Number { text: &bytes[..at], negative, mantissa, exponent, inexact: count > 19, integer })
}

#[inline]
fn digits(bytes: &[u8], from: usize, value: &mut u64) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

impl Number<'_> {
    /// The nearest DOUBLE.
    #[inline]
    pub(crate) fn to_f64(self) -> f64 {
        if !self.inexact && self.mantissa <= 1 << 53 && self.exponent.unsigned_abs() <= 22 {
            // Both parts are exact, so one rounding gives the nearest value.
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let mantissa = self.mantissa as f64;
            let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
            return if self.negative { -value } else { value };
        }
        std::str::from_utf8(self.text)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("JSON's numbers are Rust's")
    }

    /// The whole part, cut to its low 64 bits, as Java's `BigDecimal.longValue`.
    #[inline]
    pub(crate) fn to_i64_wrapping(self) -> i64 {
        let magnitude = if self.integer { self.mantissa } else { self.whole_part() };
        let value = magnitude as i64;
        if self.negative { value.wrapping_neg() } else { value }
    }

    /// Low 64 bits of the whole part's magnitude: arithmetic modulo 2^64 needs no more than the digits that
    /// count.
    fn whole_part(self) -> u64 {
        let mut value = 0u64;
        let text = self.text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
        let digits = text.iter().filter(|byte| byte.is_ascii_digit());
        let written = digits.clone().count() as i64;
        let kept = (written + i64::from(self.exponent)).max(0);
        for digit in digits.take(usize::try_from(kept).unwrap_or(usize::MAX)) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        }
        // 10^64 is a multiple of 2^64.
        for _ in 0..(kept - written).clamp(0, 64) {
            value = value.wrapping_mul(10);
        }
        value
    }

    /// Name of the class that Jackson reads such a number into; it appears in ksqlDB's messages.
    pub(crate) fn class(self) -> &'static str {
        let long_limit = if self.negative { 1 << 63 } else { i64::MAX as u64 };
        let int_limit = if self.negative { 1 << 31 } else { i32::MAX as u64 };
        match (self.integer, self.text.len() > 20 || self.mantissa > long_limit, self.mantissa > int_limit) {
            (false, _, _) => "DecimalNode",
            (true, true, _) => "BigIntegerNode",
            (true, false, true) => "LongNode",
            (true, false, false) => "IntNode",
        }
    }
}

/// A DOUBLE from text, as Java's `Double.parseDouble` without its suffixes and hexadecimal form.
pub(crate) fn parse_f64(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned.as_bytes().first()? {
        b'0'..=b'9' | b'.' => text.parse().ok(),
        _ if unsigned == "NaN" => Some(f64::NAN),
        _ if unsigned == "Infinity" => {
            Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_parts_are_cut_and_wrap() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("12", 12),
            ("12.99", 12),
            ("-12.99", -12),
            ("1.5e1", 15),
            ("125e-2", 1),
            ("1e-400", 0),
            ("1e99", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775808", i64::MIN),
            ("18446744073709551617", 1),
            ("18446744073709551617.5", 1),
            ("36893488147419103233e0", 1),
        ] {
            let number = scan(text.as_bytes()).expect(text);
            assert_eq!(number.to_i64_wrapping(), expected, "{text}");
        }
    }

    #[test]
    fn the_grammar_is_jsons() {
        for (text, end) in [("1,", 1), ("-1.50}", 5), ("1e+5 ", 4), ("0]", 1)] {
            assert_eq!(scan(text.as_bytes()).map(|number| number.text.len()), Ok(end), "{text}");
        }
        for (text, at) in [("-", 1), ("01", 1), ("1.", 2), ("1e", 2), ("1e+", 3), ("-a", 1)] {
            assert_eq!(scan(text.as_bytes()).map(|number| number.text), Err(at), "{text}");
        }
    }

    #[test]
    fn classes_are_jacksons() {
        for (text, class) in [
            ("2147483647", "IntNode"),
            ("2147483648", "LongNode"),
            ("-2147483648", "IntNode"),
            ("9223372036854775808", "BigIntegerNode"),
            ("1.0", "DecimalNode"),
        ] {
            assert_eq!(scan(text.as_bytes()).map(Number::class), Ok(class), "{text}");
        }
    }

    #[test]
    fn text_is_a_double_only_in_javas_words() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("inf", None),
            ("nan", None),
            ("", None),
            ("1x", None),
        ] {
            assert_eq!(parse_f64(text), expected, "{text}");
        }
        assert!(parse_f64("NaN").is_some_and(f64::is_nan));
    }

    proptest! {
        #[test]
        fn doubles_are_the_nearest(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,4})?") {
            let number = scan(text.as_bytes()).expect("matches the grammar");
            prop_assert_eq!(number.text, text.as_bytes());
            prop_assert_eq!(number.to_f64().to_bits(), text.parse::<f64>().expect("a number").to_bits());
        }
    }
}
