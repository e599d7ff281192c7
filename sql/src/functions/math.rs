//! Functions of numbers.

use std::f64::consts;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use millstream_log::Clock;

use super::rounding;
use crate::decimal::{of_decimals, ten_to};
use crate::function::{Category, ScalarFunction};
use crate::types::SqlType;

pub(super) fn functions(clock: &Arc<dyn Clock>) -> Vec<ScalarFunction> {
    let mut functions = vec![
        random(clock),
        real("acos", "Inverse cosine, in radians.", f64::acos),
        real("asin", "Inverse sine, in radians.", f64::asin),
        real("atan", "Inverse tangent, in radians.", f64::atan),
        real("cbrt", "Cube root.", f64::cbrt),
        real("cos", "Cosine of radians.", f64::cos),
        real("cosh", "Hyperbolic cosine of radians.", f64::cosh),
        real("cot", "Cotangent of radians.", |x| 1.0 / x.tan()),
        real("degrees", "Radians to degrees.", |x| x * 180.0 / consts::PI),
        real("exp", "e to the power of the argument.", f64::exp),
        real("ln", "Natural logarithm: -Infinity of 0, NaN of negative numbers.", f64::ln),
        real("radians", "Degrees to radians.", |x| x / 180.0 * consts::PI),
        real("sin", "Sine of radians.", f64::sin),
        real("sinh", "Hyperbolic sine of radians.", f64::sinh),
        real("sqrt", "Square root: NaN of negative numbers.", f64::sqrt),
        real("tan", "Tangent of radians.", f64::tan),
        real("tanh", "Hyperbolic tangent of radians.", f64::tanh),
        with_pairs(
            real("log", "Logarithm of the last argument: natural, or to the base of the first.", f64::ln),
            logarithm,
        ),
        pair("atan2", "Angle of the point (second, first), in radians.", f64::atan2),
        pair("power", "The first to the power of the second.", f64::powf),
        math("pi", "The ratio of a circle's circumference to its diameter.")
            .form("() -> DOUBLE", |call| call.build::<Float64Type>(|_| Some(consts::PI))),
        math("sign", "-1, 0 or 1 for negative numbers, 0 and positive ones.")
            .form("(INT) -> INT", |call| call.map::<Int32Type, Int32Type>(i32::signum))
            .form("(BIGINT) -> INT", |call| call.map::<Int64Type, Int32Type>(|x| x.signum() as i32))
            .form("(DOUBLE) -> INT", |call| call.map::<Float64Type, Int32Type>(sign)),
        math("Abs", "Absolute value; the most negative integer stays as it is.")
            .form("(INT) -> INT", |call| call.map::<Int32Type, Int32Type>(i32::wrapping_abs))
            .form("(BIGINT) -> BIGINT", |call| call.map::<Int64Type, Int64Type>(i64::wrapping_abs))
            .form("(DOUBLE) -> DOUBLE", |call| call.map::<Float64Type, Float64Type>(f64::abs))
            .form("(DECIMAL) -> DECIMAL", |call| {
                of_decimals!(call.return_type().to_arrow(), |Number| call.map::<Number, Number>(magnitude))
            }),
        whole("Ceil", "Smallest whole number not below the argument.", f64::ceil, Toward::Above),
        whole("Floor", "Largest whole number not above the argument.", f64::floor, Toward::Below),
    ];
    functions.extend(rounding::functions());
    functions
}

/// The seed is the time, so that with a clock that is set the same numbers come.
fn random(clock: &Arc<dyn Clock>) -> ScalarFunction {
    let seed = clock.now().get().cast_unsigned();
    let generator = Mutex::new(fastrand::Rng::with_seed(seed));
    math("Random", "A random number from 0 on and below 1.")
        .form("() -> DOUBLE", move |call| {
            let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
            call.build::<Float64Type>(|_| Some(generator.f64()))
        })
        .volatile()
}

pub(super) fn math(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Mathematical)
}

fn real(name: &str, description: &str, value: fn(f64) -> f64) -> ScalarFunction {
    math(name, description)
        .form("(INT) -> DOUBLE", move |call| call.map::<Int32Type, Float64Type>(|x| value(f64::from(x))))
        .form("(BIGINT) -> DOUBLE", move |call| call.map::<Int64Type, Float64Type>(|x| value(x as f64)))
        .form("(DOUBLE) -> DOUBLE", move |call| call.map::<Float64Type, Float64Type>(value))
}

fn pair(name: &str, description: &str, value: fn(f64, f64) -> f64) -> ScalarFunction {
    with_pairs(math(name, description), value)
}

/// Adds the forms with two numbers of one type.
fn with_pairs(function: ScalarFunction, value: fn(f64, f64) -> f64) -> ScalarFunction {
    function
        .form("(INT, INT) -> DOUBLE", move |call| {
            let (a, b) = (call.ints(0), call.ints(1));
            call.build::<Float64Type>(|row| Some(value(f64::from(a.get(row)?), f64::from(b.get(row)?))))
        })
        .form("(BIGINT, BIGINT) -> DOUBLE", move |call| {
            let (a, b) = (call.bigints(0), call.bigints(1));
            call.build::<Float64Type>(|row| Some(value(a.get(row)? as f64, b.get(row)? as f64)))
        })
        .form("(DOUBLE, DOUBLE) -> DOUBLE", move |call| {
            let (a, b) = (call.doubles(0), call.doubles(1));
            call.build::<Float64Type>(|row| Some(value(a.get(row)?, b.get(row)?)))
        })
}

fn magnitude<N: ArrowNativeTypeOp>(number: N) -> N {
    if number.is_lt(N::ZERO) { number.neg_wrapping() } else { number }
}

/// Which of the whole numbers around a number is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Toward {
    Above,
    Below,
}

impl Toward {
    /// The multiple of `unit` next to the number on that side.
    fn multiple<N: ArrowNativeTypeOp>(self, number: N, unit: N) -> N {
        let rest = number.mod_wrapping(unit);
        let cut = number.sub_wrapping(rest);
        match self {
            Self::Above if rest.is_gt(N::ZERO) => cut.add_wrapping(unit),
            Self::Below if rest.is_lt(N::ZERO) => cut.sub_wrapping(unit),
            _ => cut,
        }
    }
}

/// CEIL and FLOOR: integers stay, decimals keep their scale.
fn whole(name: &str, description: &str, double: fn(f64) -> f64, toward: Toward) -> ScalarFunction {
    math(name, description)
        .form("(INT) -> INT", |call| call.array(0))
        .form("(BIGINT) -> BIGINT", |call| call.array(0))
        .form("(DOUBLE) -> DOUBLE", move |call| call.map::<Float64Type, Float64Type>(double))
        .form("(DECIMAL) -> DECIMAL", move |call| {
            of_decimals!(call.return_type().to_arrow(), |Number| {
                let unit = unit_of(call.arg_type(0));
                call.map::<Number, Number>(|unscaled| toward.multiple(unscaled, unit))
            })
        })
}

/// What 1 is in a DECIMAL, unscaled.
pub(super) fn unit_of<N: ArrowNativeTypeOp>(ty: &SqlType) -> N {
    let (_, scale) = ty.as_decimal().unwrap_or((1, 0));
    ten_to(scale.unsigned_abs().into())
}

fn logarithm(base: f64, value: f64) -> f64 {
    if base <= 0.0 || base == 1.0 { f64::NAN } else { value.ln() / base.ln() }
}

fn sign(x: f64) -> i32 {
    if x > 0.0 {
        1
    } else if x < 0.0 {
        -1
    } else {
        0
    }
}
