//! DECIMALs in columns: 128 bits wide up to 38 digits, 256 bits beyond. What is computed of them is written once for both.

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

#[cfg(test)]
mod tests {
    use super::*;

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
