//! ROUND and TRUNC. Doubles are rounded as the decimal number they print as, so that 1.005 has three digits to round.

use arrow::array::{ArrayRef, ArrowNativeTypeOp};
use arrow::datatypes::{ArrowNativeType, Float64Type, Int32Type, Int64Type};

use super::math::{math, unit_of};
use crate::decimal::{Decimals, nearest_units, of_decimals};
use crate::error::SqlError;
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
            of_decimals!(call.arg_type(0).to_arrow(), |Given| {
                let unit = unit_of(call.arg_type(0));
                let units = |unscaled| Given::to_i256(mode.units(unscaled, unit));
                of_decimals!(call.return_type().to_arrow(), |Whole| {
                    call.map::<Given, Whole>(|unscaled| Whole::from_i256(units(unscaled)))
                })
            })
        })
        .returning(without_fraction)
        .form("(DECIMAL, INT) -> DECIMAL", move |call| {
            of_decimals!(call.return_type().to_arrow(), |Number| decimal::<Number>(call, mode))
        })
}

fn decimal<T: Decimals>(call: &Call<'_>, mode: Mode) -> Result<ArrayRef, SqlError> {
    let (numbers, places) = (call.primitives::<T>(0), call.ints(1));
    let scale = call.arg_type(0).as_decimal().map_or(0, |(_, scale)| i32::from(scale));
    call.build::<T>(|row| {
        let (unscaled, places) = (numbers.get(row)?, places.get(row)?);
        let dropped = u32::try_from(scale.saturating_sub(places)).unwrap_or(0);
        // More places may be dropped than a decimal has.
        let unit = T::Native::usize_as(10).pow_checked(dropped);
        Some(unit.map_or(T::Native::ZERO, |unit| mode.units(unscaled, unit).mul_wrapping(unit)))
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
    fn units<N: ArrowNativeTypeOp>(self, number: N, unit: N) -> N {
        let (cut, rest) = (number.div_wrapping(unit), number.mod_wrapping(unit));
        match self {
            // A tie goes up, so the rest below zero has to be more than half.
            Self::Round if rest.is_gt(N::ZERO) && rest.is_ge(unit.sub_wrapping(rest)) => {
                cut.add_wrapping(N::ONE)
            }
            Self::Round if rest.neg_wrapping().is_gt(unit.add_wrapping(rest)) => cut.sub_wrapping(N::ONE),
            _ => cut,
        }
    }

    fn double(self, x: f64, places: i32) -> Result<f64, String> {
        if !x.is_finite() {
            return Err(format!("{x} cannot be rounded to {places} places"));
        }
        if self == Self::Round
            && let Some(kept) = nearest_units(x, places)
        {
            return Ok(kept as f64 / 10f64.powi(places));
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
