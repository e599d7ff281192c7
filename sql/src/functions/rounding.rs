//! ROUND and TRUNC. Doubles are rounded as the decimal number they print as, so that 1.005 has three digits to round.

use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};

use super::math::{math, unit_of};
use crate::function::{Call, ScalarFunction};
use crate::types::SqlType;

pub(super) fn functions() -> [ScalarFunction; 2] {
    [
        rounding(
            "Round",
            "The nearest whole number, or with that many places behind the point. Ties go up.",
            Mode::Round,
        ),
        rounding(
            "TRUNC",
            "The number without what stands behind the point, or behind that many places.",
            Mode::Truncate,
        ),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// To the nearest, ties towards +Infinity.
    Round,
    /// Towards zero.
    Truncate,
}

fn rounding(name: &str, description: &str, mode: Mode) -> ScalarFunction {
    math(name, description)
        .form("(INT) -> BIGINT", |call| call.map::<Int32Type, Int64Type>(i64::from))
        .form("(BIGINT) -> BIGINT", |call| call.array(0))
        .form("(DOUBLE) -> BIGINT", move |call| call.map::<Float64Type, Int64Type>(|x| mode.whole(x)))
        .form("(DOUBLE, INT) -> DOUBLE", move |call| {
            let (number, places) = (call.doubles(0), call.ints(1));
            call.build::<Float64Type>(|row| {
                let (number, places) = (number.get(row)?, places.get(row)?);
                call.check(mode.double(number, places))
            })
        })
        .form("(DECIMAL) -> DECIMAL", move |call| {
            let unit = unit_of(call.arg_type(0));
            call.map::<Decimal128Type, Decimal128Type>(|unscaled| mode.units(unscaled, unit))
        })
        .returning(without_fraction)
        .form("(DECIMAL, INT) -> DECIMAL", move |call| decimal(call, mode))
}

fn decimal(call: &Call<'_>, mode: Mode) -> Result<arrow::array::ArrayRef, crate::error::SqlError> {
    let (numbers, places) = (call.primitives::<Decimal128Type>(0), call.ints(1));
    let scale = call.arg_type(0).as_decimal().map_or(0, |(_, scale)| i32::from(scale));
    call.build::<Decimal128Type>(|row| {
        let (unscaled, places) = (numbers.get(row)?, places.get(row)?);
        let dropped = u32::try_from(scale.saturating_sub(places)).unwrap_or(0);
        match 10i128.checked_pow(dropped) {
            Some(unit) => Some(mode.units(unscaled, unit) * unit),
            // More places are dropped than a decimal has.
            None => Some(0),
        }
    })
}

fn without_fraction(args: &[SqlType]) -> Result<SqlType, String> {
    let (precision, scale) = args[0].as_decimal().unwrap_or((1, 0));
    match precision - scale.unsigned_abs() {
        0 => Err(format!("{} has no digits in front of the point: give the number of places", args[0])),
        precision => Ok(SqlType::Decimal { precision, scale: 0 }),
    }
}

impl Mode {
    /// Saturates at the range of BIGINT; NaN gives 0.
    fn whole(self, x: f64) -> i64 {
        match self {
            Self::Truncate => x as i64,
            Self::Round => {
                let below = x.floor();
                (if x - below >= 0.5 { below + 1.0 } else { below }) as i64
            }
        }
    }

    /// How many times `unit` a whole number is.
    fn units(self, number: i128, unit: i128) -> i128 {
        match self {
            Self::Truncate => number / unit,
            Self::Round if unit == 1 => number,
            Self::Round => {
                let rest = number.rem_euclid(unit);
                number.div_euclid(unit) + i128::from(rest >= unit - rest)
            }
        }
    }

    fn double(self, x: f64, places: i32) -> Result<f64, String> {
        if !x.is_finite() {
            return Err(format!("{x} cannot be rounded to {places} places"));
        }
        // The shortest digits that mean this double: d.ddd and an exponent of ten.
        let text = format!("{:e}", x.abs());
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let digits = digits.replace('.', "");
        let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let dropped = i64::from(length - 1 - exponent) - i64::from(places);
        if dropped <= 0 {
            return Ok(x);
        }
        if dropped > i64::from(length) {
            return Ok(0.0);
        }
        let unscaled: i128 = digits.parse().unwrap_or(0);
        let signed = if x < 0.0 { -unscaled } else { unscaled };
        let kept = self.units(signed, 10i128.pow(u32::try_from(dropped).unwrap_or(0)));
        Ok(format!("{kept}e{}", -i64::from(places)).parse().unwrap_or(0.0))
    }
}
