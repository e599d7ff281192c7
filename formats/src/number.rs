//! What Java makes of a number that is written in JSON, and of text that may hold one.

/// Exponents are cut here: no payload has as many digits, so a larger one changes nothing.
const EXPONENT_MAX: i64 = 1 << 40;

/// The whole part of a JSON number, cut to its low 64 bits, as Java's `BigDecimal.longValue`.
pub(crate) fn to_i64_wrapping(text: &str) -> i64 {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent
        .parse()
        .unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX })
        .clamp(-EXPONENT_MAX, EXPONENT_MAX);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let written = (whole.len() + fraction.len()) as i64;
    let kept = (whole.len() as i64 + exponent).max(0);
    let mut value = 0i64;
    for digit in whole.bytes().chain(fraction.bytes()).take(kept.min(written) as usize) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
    }
    // 10^64 is a multiple of 2^64.
    for _ in 0..(kept - written).clamp(0, 64) {
        value = value.wrapping_mul(10);
    }
    if negative { value.wrapping_neg() } else { value }
}

/// Name of the class that Jackson reads a JSON number into; it appears in ksqlDB's messages.
pub(crate) fn class(text: &str) -> &'static str {
    if text.contains(['.', 'e', 'E']) {
        "DecimalNode"
    } else if text.parse::<i32>().is_ok() {
        "IntNode"
    } else if text.parse::<i64>().is_ok() {
        "LongNode"
    } else {
        "BigIntegerNode"
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
            ("0.0125E+3", 12),
            ("1e-400", 0),
            ("1e99", 0),
            ("1e99999999999999999999", 0),
            ("1e-99999999999999999999", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775808", i64::MIN),
            ("18446744073709551617", 1),
            ("18446744073709551617.5", 1),
            ("36893488147419103233e0", 1),
        ] {
            assert_eq!(to_i64_wrapping(text), expected, "{text}");
        }
    }

    #[test]
    fn classes_are_jacksons() {
        for (text, expected) in [
            ("2147483647", "IntNode"),
            ("2147483648", "LongNode"),
            ("-2147483648", "IntNode"),
            ("9223372036854775808", "BigIntegerNode"),
            ("1.0", "DecimalNode"),
            ("1e3", "DecimalNode"),
        ] {
            assert_eq!(class(text), expected, "{text}");
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
}
