//! DECIMALs in columns: 128 bits wide up to 38 digits, 256 bits beyond. What is computed of them is written once for both.

use std::cmp::Ordering;

use arrow::{
    array::ArrowNativeTypeOp,
    datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256},
};
use datafusion::scalar::ScalarValue;
use millstream_formats::decimal_type;

/// The Arrow types of DECIMALs.
pub(crate) trait Decimals: DecimalType<Native: ToString> {
    fn from_i128(value: i128) -> Self::Native;
    /// Cuts to the bits of the type.
    fn from_i256(value: i256) -> Self::Native;
    fn to_i256(value: Self::Native) -> i256;
}

impl Decimals for Decimal128Type {
    fn from_i128(value: i128) -> i128 {
        value
    }

    fn from_i256(value: i256) -> i128 {
        value.as_i128()
    }

    fn to_i256(value: i128) -> i256 {
        i256::from_i128(value)
    }
}

impl Decimals for Decimal256Type {
    fn from_i128(value: i128) -> i256 {
        i256::from_i128(value)
    }

    fn from_i256(value: i256) -> i256 {
        value
    }

    fn to_i256(value: i256) -> i256 {
        value
    }
}

/// Evaluates an expression with the [`Decimals`] of an Arrow type as `$decimals`.
macro_rules! of_decimals {
    ($data_type:expr, |$decimals:ident| $body:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Decimal256(_, _) => {
                type $decimals = arrow::datatypes::Decimal256Type;
                $body
            }
            _ => {
                type $decimals = arrow::datatypes::Decimal128Type;
                $body
            }
        }
    };
}
pub(crate) use of_decimals;

/// A power of ten that `N` holds.
pub(crate) fn ten_to<N: ArrowNativeTypeOp>(digits: u32) -> N {
    N::usize_as(10).pow_wrapping(digits)
}

/// The nearest number of units of the last of so many decimal places, where that does not hang on the last bits of `x`:
/// it is neither large nor near the middle between two.
pub(crate) fn nearest_units(x: f64, places: i32) -> Option<i64> {
    if !(0..=15).contains(&places) {
        return None;
    }
    let scaled = x * 10f64.powi(places);
    let nearest = scaled.round();
    let sure = scaled.abs() < 1e9 && (scaled - nearest).abs() < 0.499;
    sure.then_some(nearest as i64)
}

/// A DECIMAL constant.
pub(crate) fn scalar(unscaled: i256, precision: u8, scale: i8) -> ScalarValue {
    match decimal_type(precision, scale) {
        DataType::Decimal128(..) => ScalarValue::Decimal128(Some(unscaled.as_i128()), precision, scale),
        _ => ScalarValue::Decimal256(Some(unscaled), precision, scale),
    }
}

/// An unscaled decimal in plain digits: 150 with scale 2 is `1.50`.
pub(crate) fn text(unscaled: impl ToString, scale: i8) -> String {
    let text = unscaled.to_string();
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    format!("{sign}{whole:0>1}.{fraction:0>scale$}")
}

/// The double next to an unscaled decimal.
pub(crate) fn to_f64<T: Decimals>(unscaled: T::Native, scale: i8) -> f64 {
    // Both are doubles exactly, so their quotient is the nearest one.
    const EXACT: u32 = 22;
    let digits = u32::from(scale.unsigned_abs());
    match T::to_i256(unscaled).to_i128() {
        Some(small) if small.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS && digits <= EXACT => {
            small as f64 / 10f64.powi(digits as i32)
        }
        _ => text(unscaled, scale).parse().unwrap_or(f64::NAN),
    }
}

/// The order of an unscaled decimal and the shortest decimal that stands for a double, which is what Java makes of
/// doubles. The double must be the one next to the decimal.
pub(crate) fn compare_shortest(unscaled: i256, scale: i8, double: f64) -> Ordering {
    let text = format!("{double:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let parsed = (i256::from_string(&[whole, fraction].concat()), exponent.parse::<i32>());
    let (Some(digits), Ok(exponent)) = parsed else { return Ordering::Equal };
    // Being so near, neither has more digits than the other once they have one scale.
    let moved = i32::from(scale) - (fraction.len() as i32 - exponent);
    let factor = ten_to::<i256>(moved.unsigned_abs());
    if moved >= 0 {
        unscaled.cmp(&digits.wrapping_mul(factor))
    } else {
        unscaled.wrapping_mul(factor).cmp(&digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_the_nearest() {
        let large = "123456789012345678901234567890";
        for (unscaled, scale, expected) in [
            ("0", 10, "0"),
            ("1", 1, "0.1"),
            ("-123456", 2, "-1234.56"),
            ("9007199254740993", 0, "9007199254740992"),
            ("9007199254740993", 3, "9007199254740.993"),
            ("3", 38, "3e-38"),
            (large, 0, large),
            (large, 29, "1.2345678901234567"),
        ] {
            let unscaled = i256::from_string(unscaled).expect("digits");
            let expected: f64 = expected.parse().expect("a number");
            assert_eq!(to_f64::<Decimal256Type>(unscaled, scale), expected, "{unscaled} {scale}");
            assert_eq!(to_f64::<Decimal128Type>(unscaled.as_i128(), scale), expected, "{unscaled} {scale}");
        }
    }

    #[test]
    fn doubles_count_as_what_they_print_as() {
        use Ordering::{Equal, Greater, Less};
        for (unscaled, scale, double, expected) in [
            ("1", 1, "0.1", Equal),
            ("1000", 4, "0.1", Equal),
            ("10000000000000000001", 20, "0.1", Greater),
            ("9999999999999999999", 20, "0.1", Less),
            ("-10000000000000000001", 20, "-0.1", Less),
            ("0", 3, "0", Equal),
            ("0", 3, "-0.0", Equal),
            ("12345678901234567168", 0, "12345678901234567168", Greater),
            ("12345678901234567000", 0, "12345678901234567168", Equal),
            ("3", 76, "3e-76", Equal),
            ("7", 75, "7.000000000000001e-75", Less),
        ] {
            let unscaled = i256::from_string(unscaled).expect("digits");
            let found = compare_shortest(unscaled, scale, double.parse().expect("a number"));
            assert_eq!(found, expected, "{unscaled} {scale} and {double}");
        }
    }

    #[test]
    fn decimals_are_plain() {
        for (unscaled, scale, expected) in
            [(150, 2, "1.50"), (-5, 3, "-0.005"), (7, 0, "7"), (-123, 3, "-0.123"), (0, 2, "0.00")]
        {
            assert_eq!(text(unscaled, scale), expected);
            assert_eq!(text(i256::from_i128(unscaled), scale), expected);
        }
        assert_eq!(text(ten_to::<i256>(75), 74), format!("10.{}", "0".repeat(74)));
    }

    #[test]
    fn constants_have_the_width_of_their_type() {
        for (precision, expected) in [
            (38, ScalarValue::Decimal128(Some(-5), 38, 2)),
            (39, ScalarValue::Decimal256(Some(i256::from_i128(-5)), 39, 2)),
        ] {
            assert_eq!(scalar(i256::from_i128(-5), precision, 2), expected);
        }
    }
}
