//! Numbers as Java prints them, which is how ksqlDB writes them.

use crate::number::parse_f64;

/// Appends a DOUBLE as Java's `Double.toString`: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
pub(crate) fn push_double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        let name: &[u8] = match (value.is_nan(), value > 0.0) {
            (true, _) => b"NaN",
            (false, true) => b"Infinity",
            (false, false) => b"-Infinity",
        };
        out.extend_from_slice(name);
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let magnitude = value.abs();
    if (1e-3..1e7).contains(&magnitude) || magnitude == 0.0 {
        out.extend_from_slice(text.as_bytes());
    } else {
        push_scientific(out, value, text);
    }
}

/// Appends a single-precision number as Java's `Float.toString`.
pub(crate) fn push_float(out: &mut Vec<u8>, value: f32) {
    // The shortest digits of the float make a double whose shortest digits they are.
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format(value).parse();
    push_double(out, shortest.unwrap_or_else(|_| f64::from(value)));
}

/// Appends the shortest digits in `text` as `d.dddE±n`. Where one digit would do, Java takes the nearest number of two.
fn push_scientific(out: &mut Vec<u8>, value: f64, text: &str) {
    let nearest;
    let text = if has_one_digit(text) {
        nearest = format!("{value:.1e}");
        nearest.as_str()
    } else {
        text
    };
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().expect("ryu writes whole exponents");
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let used = digits.len() - digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let power = exponent + whole.len() as i32 - 1 - zeros as i32;
    out.extend_from_slice(sign.as_bytes());
    out.push(digits[zeros]);
    out.push(b'.');
    out.extend_from_slice(if used > zeros + 1 { &digits[zeros + 1..used] } else { b"0" });
    out.push(b'E');
    out.extend_from_slice(itoa::Buffer::new().format(power).as_bytes());
}

/// Whether the mantissa has one digit besides zeros.
fn has_one_digit(text: &str) -> bool {
    let mantissa = text.split_once('e').map_or(text, |(mantissa, _)| mantissa);
    mantissa.bytes().filter(|byte| (b'1'..=b'9').contains(byte)).count() == 1
}

/// A DOUBLE from text as Java's `Double.parseDouble`, which ignores white space around it.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    parse_f64(text.trim_matches(|c: char| c <= ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_with_their_own_digits() {
        for (value, expected) in [
            (4.0f32, "4.0"),
            (0.1, "0.1"),
            (16_777_216.0, "1.6777216E7"),
            (f32::MAX, "3.4028235E38"),
            (f32::INFINITY, "Infinity"),
            (f32::NAN, "NaN"),
        ] {
            let mut out = Vec::new();
            push_float(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn doubles_are_written_as_java_does() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (12.34, "12.34"),
            (0.001, "0.001"),
            (5e-324, "4.9E-324"),
            (2e-5, "2.0E-5"),
            (3e10, "3.0E10"),
            (0.000_99, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-12_345_678.9, "-1.23456789E7"),
            (1e16, "1.0E16"),
            (1.5e300, "1.5E300"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            push_double(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
