//! `+ - * / %` of DECIMALs, exactly: a result that needs rounding or more digits than its type has nulls its row.
//!
//! Where neither the sides nor what is between them and the result has more than 38 digits, 128 bits do, and nothing can
//! overflow. Else it is 256 bits with checks, and detours where an intermediate result would have more bits than those.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    compute::binary,
    datatypes::{
        DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Int32Type, Int64Type, i256,
    },
};
use datafusion::error::{DataFusionError, Result};
use millstream_formats::decimal_type;

use super::{arithmetic::Arithmetic, row_errors::RowErrors};
use crate::decimal::{Decimals, of_decimals, ten_to};
use crate::types::SqlType;

/// Applies `operator` row by row to two columns of numbers, which gives DECIMAL(`precision`, `scale`).
pub(super) fn evaluate(
    operator: Arithmetic,
    left: &ArrayRef,
    right: &ArrayRef,
    precision: u8,
    scale: i8,
    errors: &RowErrors,
) -> Result<ArrayRef> {
    let ((p1, s1), (p2, s2)) = (digits(left)?, digits(right)?);
    let scales = Scales { left: s1, right: s2, result: u32::from(scale.unsigned_abs()) };
    let needed = match operator {
        Arithmetic::Modulo => (p1 - s1).max(p2 - s2) + scales.common(),
        _ => operator.decimal_result((p1, s1), (p2, s2)).0,
    };
    let most = u32::from(DECIMAL128_MAX_PRECISION);
    if needed.max(p1).max(p2) <= most {
        let (left, right) = (unscaled(left)?, unscaled(right)?);
        let rows = narrow(operator, &left, &right, scales, errors)?;
        return Ok(Arc::new(rows.with_precision_and_scale(precision, scale)?));
    }
    of_decimals!(decimal_type(precision, scale), |Output| {
        let (left, right) = (unscaled(left)?, unscaled(right)?);
        let rows = wide::<Output>(operator, &left, &right, scales, precision, errors);
        Ok(Arc::new(rows.with_precision_and_scale(precision, scale)?))
    })
}

/// How many digits behind the point the sides and the result have.
#[derive(Clone, Copy)]
struct Scales {
    left: u32,
    right: u32,
    result: u32,
}

impl Scales {
    fn common(self) -> u32 {
        self.left.max(self.right)
    }

    /// The powers of ten that bring the sides to one scale.
    fn align(self) -> (u32, u32) {
        (self.common() - self.left, self.common() - self.right)
    }

    /// The power of ten by which the left side is multiplied so that the quotient has the scale of the result.
    fn shift(self) -> u32 {
        // By the rule for types, the scale of a quotient is above that of its left side.
        self.result + self.right - self.left
    }
}

fn not_a_number(side: &ArrayRef) -> DataFusionError {
    DataFusionError::Plan(format!("{} is not a decimal", side.data_type()))
}

/// Precision and scale of a side.
fn digits(side: &ArrayRef) -> Result<(u32, u32)> {
    let ty = SqlType::from_arrow(side.data_type()).ok().and_then(|ty| ty.as_decimal());
    let (precision, scale) = ty.ok_or_else(|| not_a_number(side))?;
    Ok((u32::from(precision), u32::from(scale.unsigned_abs())))
}

/// A side as unscaled numbers.
fn unscaled<T: Decimals>(side: &ArrayRef) -> Result<PrimitiveArray<T>> {
    if let Some(decimals) = side.as_primitive_opt::<T>() {
        return Ok(decimals.clone());
    }
    Ok(match side.data_type() {
        DataType::Int32 => side.as_primitive::<Int32Type>().unary(|value| T::from_i128(value.into())),
        DataType::Int64 => side.as_primitive::<Int64Type>().unary(|value| T::from_i128(value.into())),
        DataType::Decimal128(..) => side.as_primitive::<Decimal128Type>().unary(T::from_i128),
        _ => return Err(not_a_number(side)),
    })
}

fn failed(errors: &RowErrors, operator: Arithmetic, reason: &str) {
    errors.add(|| format!("decimal {} failed: {reason}", operator.symbol()));
}

const BY_ZERO: &str = "division by zero";
const ROUNDS: &str = "the quotient needs rounding";

/// Where 38 digits do for everything, and so does an `i128`.
fn narrow(
    operator: Arithmetic,
    left: &PrimitiveArray<Decimal128Type>,
    right: &PrimitiveArray<Decimal128Type>,
    scales: Scales,
    errors: &RowErrors,
) -> Result<PrimitiveArray<Decimal128Type>> {
    let (a, b) = scales.align();
    let (a, b) = (ten_to::<i128>(a), ten_to::<i128>(b));
    // Below NULLs there may be anything.
    let aligned = |l: i128, r: i128| (l.wrapping_mul(a), r.wrapping_mul(b));
    let each = |apply: &dyn Fn(i128, i128) -> std::result::Result<i128, &'static str>| -> PrimitiveArray<_> {
        let rows = left
            .iter()
            .zip(right)
            .map(|(l, r)| apply(l?, r?).map_err(|reason| failed(errors, operator, reason)).ok());
        rows.collect()
    };
    Ok(match operator {
        Arithmetic::Add => binary(left, right, |l, r| {
            let (l, r) = aligned(l, r);
            l.wrapping_add(r)
        })?,
        Arithmetic::Subtract => binary(left, right, |l, r| {
            let (l, r) = aligned(l, r);
            l.wrapping_sub(r)
        })?,
        Arithmetic::Multiply => binary(left, right, i128::wrapping_mul)?,
        Arithmetic::Divide => {
            let shift = ten_to::<i128>(scales.shift());
            each(&|l, r| {
                let numerator = l.wrapping_mul(shift);
                match numerator.checked_rem(r) {
                    None => Err(BY_ZERO),
                    Some(0) => Ok(numerator / r),
                    Some(_) => Err(ROUNDS),
                }
            })
        }
        Arithmetic::Modulo => each(&|l, r| {
            let (l, r) = aligned(l, r);
            l.checked_rem(r).ok_or(BY_ZERO)
        }),
    })
}

fn wide<T: Decimals>(
    operator: Arithmetic,
    left: &PrimitiveArray<Decimal256Type>,
    right: &PrimitiveArray<Decimal256Type>,
    scales: Scales,
    precision: u8,
    errors: &RowErrors,
) -> PrimitiveArray<T> {
    let limit = ten_to::<i256>(precision.into());
    let too_many = format!("the result has more than {precision} digits");
    let (a, b) = scales.align();
    // The scales have 76 digits at most, so these do not overflow.
    let (a, b) = (ten_to::<i256>(a), ten_to::<i256>(b));
    let apply = |l: i256, r: i256| -> std::result::Result<i256, &str> {
        let aligned = || Some((l.checked_mul(a)?, r.checked_mul(b)?));
        let value = match operator {
            // A side that overflows is beyond any result that would fit.
            Arithmetic::Add => aligned().and_then(|(l, r)| l.checked_add(r)),
            Arithmetic::Subtract => aligned().and_then(|(l, r)| l.checked_sub(r)),
            Arithmetic::Multiply => l.checked_mul(r),
            Arithmetic::Divide | Arithmetic::Modulo if r == i256::ZERO => return Err(BY_ZERO),
            Arithmetic::Divide => {
                let ten = i256::from_i128(10);
                match ten.checked_pow(scales.shift()).and_then(|shift| l.checked_mul(shift)) {
                    Some(numerator) if numerator.wrapping_rem(r) != i256::ZERO => return Err(ROUNDS),
                    Some(numerator) => Some(numerator.wrapping_div(r)),
                    None => long_quotient(l, r, scales.shift())?,
                }
            }
            Arithmetic::Modulo => Some(match (l.checked_mul(a), r.checked_mul(b)) {
                (Some(l), Some(r)) => l.wrapping_rem(r),
                // The right side is larger than any left one.
                (_, None) => l,
                (None, Some(r)) => long_remainder(l, r, scales.align().0),
            }),
        };
        value.filter(|value| *value < limit && *value > -limit).ok_or(too_many.as_str())
    };
    let rows = left.iter().zip(right).map(|(l, r)| {
        let value = apply(l?, r?).map_err(|reason| failed(errors, operator, reason)).ok()?;
        Some(T::from_i256(value))
    });
    rows.collect()
}

/// `left` * 10^`shift` / `right` where the product overflows: `None` if the quotient does, too.
fn long_quotient(left: i256, right: i256, shift: u32) -> std::result::Result<Option<i256>, &'static str> {
    let (mut divisor, mut rest) = (left, right);
    while rest != i256::ZERO {
        (divisor, rest) = (rest, divisor.wrapping_rem(rest));
    }
    // In lowest terms, the quotient ends if what is below the line has no factors but 2 and 5.
    let (mut quotient, mut below) = (left.wrapping_div(divisor), right.wrapping_div(divisor));
    if below < i256::ZERO {
        (quotient, below) = (-quotient, -below);
    }
    for factor in [2, 5].map(i256::from_i128) {
        let mut left_over = shift;
        while left_over > 0 && below.wrapping_rem(factor) == i256::ZERO {
            below = below.wrapping_div(factor);
            left_over -= 1;
        }
        let Some(product) = factor.checked_pow(left_over).and_then(|power| quotient.checked_mul(power))
        else {
            return if only_twos_and_fives(below) { Ok(None) } else { Err(ROUNDS) };
        };
        quotient = product;
    }
    if below == i256::ONE { Ok(Some(quotient)) } else { Err(ROUNDS) }
}

fn only_twos_and_fives(mut number: i256) -> bool {
    for factor in [2, 5].map(i256::from_i128) {
        while number.wrapping_rem(factor) == i256::ZERO {
            number = number.wrapping_div(factor);
        }
    }
    number == i256::ONE
}

/// The remainder of `left` * 10^`shift` by `right` where the product overflows. It has the sign of `left`.
fn long_remainder(left: i256, right: i256, shift: u32) -> i256 {
    let right = right.wrapping_abs();
    // Numbers have less than 77 digits, so the sum of two does not overflow.
    let sum = |a: i256, b: i256| if a + b >= right { a + b - right } else { a + b };
    let mut rest = left.wrapping_abs().wrapping_rem(right);
    for _ in 0..shift {
        let twice = sum(rest, rest);
        let four = sum(twice, twice);
        rest = sum(sum(four, four), twice);
    }
    if left < i256::ZERO { -rest } else { rest }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array};

    use super::*;
    use crate::expression::cast;

    /// A column of the type that a literal has, or of INT or BIGINT.
    fn column(number: &str, ty: &str) -> ArrayRef {
        match ty {
            "INT" => Arc::new(Int32Array::from(vec![number.parse::<i32>().unwrap()])),
            "BIGINT" => Arc::new(Int64Array::from(vec![number.parse::<i64>().unwrap()])),
            ty => {
                let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![number]));
                let errors = RowErrors::default();
                let column = cast::cast(&text, &SqlType::parse(ty).unwrap().to_arrow(), &errors).unwrap();
                assert!(errors.drain().is_none(), "{number} is a {ty}");
                column
            }
        }
    }

    /// The result of `left operator right`, or what went wrong.
    fn check(left: (&str, &str), operator: Arithmetic, right: (&str, &str), ty: &str, expected: &str) {
        let SqlType::Decimal { precision, scale } = SqlType::parse(ty).unwrap() else { panic!("{ty}") };
        let errors = RowErrors::default();
        let (a, b) = (column(left.0, left.1), column(right.0, right.1));
        let result = evaluate(operator, &a, &b, precision, scale, &errors).unwrap();
        assert_eq!(*result.data_type(), SqlType::Decimal { precision, scale }.to_arrow());
        let mut text = String::new();
        match errors.drain() {
            Some((_, message)) => text = format!("{message:?}"),
            None => cast::write_value(&result, 0, &mut text),
        }
        let found = if text.contains("failed: ") { text.contains(expected) } else { text == expected };
        assert!(found, "{left:?} {} {right:?}: {text}", operator.symbol());
    }

    #[test]
    fn decimals_are_exact_or_null() {
        use Arithmetic::{Add, Divide, Modulo, Multiply, Subtract};
        let nines = "9".repeat(38);
        let many = "9".repeat(76);
        let half = format!("0.5{}", "0".repeat(59));
        for (left, operator, right, ty, expected) in [
            (("12.50", "DECIMAL(4,2)"), Add, ("0.5", "DECIMAL(5,1)"), "DECIMAL(7,2)", "13.00"),
            (("-12.50", "DECIMAL(4,2)"), Subtract, ("1", "INT"), "DECIMAL(13,2)", "-13.50"),
            (("12.50", "DECIMAL(4,2)"), Multiply, ("-3", "BIGINT"), "DECIMAL(24,2)", "-37.50"),
            (("1.00", "DECIMAL(4,2)"), Divide, ("4", "DECIMAL(5,1)"), "DECIMAL(11,8)", "0.25000000"),
            (("1.00", "DECIMAL(4,2)"), Divide, ("3", "DECIMAL(5,1)"), "DECIMAL(11,8)", ROUNDS),
            (("1.00", "DECIMAL(4,2)"), Divide, ("0", "DECIMAL(5,1)"), "DECIMAL(11,8)", BY_ZERO),
            (("-7.50", "DECIMAL(4,2)"), Modulo, ("2", "DECIMAL(5,1)"), "DECIMAL(4,2)", "-1.50"),
            (("1", "DECIMAL(4,2)"), Modulo, ("0", "INT"), "DECIMAL(4,2)", BY_ZERO),
            // 38 digits, and one more.
            ((&nines, "DECIMAL(38,0)"), Add, ("1", "INT"), "DECIMAL(39,0)", &format!("1{}", "0".repeat(38))),
            (
                (&nines, "DECIMAL(38,0)"),
                Subtract,
                ("0.5", "DECIMAL(2,1)"),
                "DECIMAL(40,1)",
                &format!("{}8.5", &nines[1..]),
            ),
            ((&nines, "DECIMAL(38,0)"), Multiply, ("10", "INT"), "DECIMAL(49,0)", &format!("{nines}0")),
            (
                (&nines, "DECIMAL(38,0)"),
                Divide,
                ("9", "INT"),
                "DECIMAL(49,11)",
                &format!("{}.{}", "1".repeat(38), "0".repeat(11)),
            ),
            ((&nines, "DECIMAL(38,0)"), Divide, ("7", "INT"), "DECIMAL(49,11)", ROUNDS),
            ((&nines, "DECIMAL(38,0)"), Modulo, ("0.7", "DECIMAL(2,1)"), "DECIMAL(2,1)", "0.3"),
            ((&nines, "DECIMAL(38,0)"), Divide, ("0", "INT"), "DECIMAL(49,11)", BY_ZERO),
            // Results whose type is cut to 76 digits.
            ((&many, "DECIMAL(76,0)"), Add, ("1", "INT"), "DECIMAL(76,0)", "more than 76 digits"),
            ((&many, "DECIMAL(76,0)"), Subtract, ("1", "INT"), "DECIMAL(76,0)", &format!("{}8", &many[1..])),
            ((&many, "DECIMAL(76,0)"), Multiply, ("2", "INT"), "DECIMAL(76,0)", "more than 76 digits"),
            ((&many, "DECIMAL(76,0)"), Multiply, ("-1", "INT"), "DECIMAL(76,0)", &format!("-{many}")),
            (
                (&many, "DECIMAL(76,0)"),
                Add,
                ("0.5", "DECIMAL(70,69)"),
                "DECIMAL(76,69)",
                "more than 76 digits",
            ),
            // Detours: a product on the way has more bits than there are.
            (
                ("1", "DECIMAL(10,0)"),
                Divide,
                (&half, "DECIMAL(65,60)"),
                "DECIMAL(76,66)",
                &format!("2.{}", "0".repeat(66)),
            ),
            (
                ("-3", "DECIMAL(10,0)"),
                Divide,
                (&half, "DECIMAL(65,60)"),
                "DECIMAL(76,66)",
                &format!("-6.{}", "0".repeat(66)),
            ),
            (
                ("1", "DECIMAL(10,0)"),
                Divide,
                (&half.replace('5', "3"), "DECIMAL(65,60)"),
                "DECIMAL(76,66)",
                ROUNDS,
            ),
            (
                ("1", "DECIMAL(10,0)"),
                Divide,
                (&format!("0.{}1", "0".repeat(59)), "DECIMAL(65,60)"),
                "DECIMAL(76,66)",
                "more than 76",
            ),
            ((&many, "DECIMAL(76,0)"), Modulo, ("-0.00007", "DECIMAL(10,5)"), "DECIMAL(10,5)", "0.00001"),
            (("-0.00007", "DECIMAL(10,5)"), Modulo, (&many, "DECIMAL(76,0)"), "DECIMAL(10,5)", "-0.00007"),
        ] {
            check(left, operator, right, ty, expected);
        }
    }

    #[test]
    fn both_widths_agree() {
        for operator in [
            Arithmetic::Add,
            Arithmetic::Subtract,
            Arithmetic::Multiply,
            Arithmetic::Divide,
            Arithmetic::Modulo,
        ] {
            let values = [-1_234_567i128, -50, -1, 0, 1, 7, 125, 99_999_999];
            let pairs = || values.iter().flat_map(|l| values.iter().map(move |r| (*l, *r)));
            let scales = Scales { left: 2, right: 1, result: 12 };
            let scales = match operator {
                Arithmetic::Divide => scales,
                Arithmetic::Multiply => Scales { result: 3, ..scales },
                _ => Scales { result: 2, ..scales },
            };
            let side = |pick: fn((i128, i128)) -> i128| pairs().map(pick).collect::<Vec<_>>();
            let (left, right) = (side(|pair| pair.0), side(|pair| pair.1));
            let errors = RowErrors::default();
            let widened = |side: &[i128]| {
                side.iter()
                    .map(|value| Some(i256::from_i128(*value)))
                    .collect::<PrimitiveArray<Decimal256Type>>()
            };
            let by_256: PrimitiveArray<Decimal128Type> =
                wide(operator, &widened(&left), &widened(&right), scales, 38, &errors);
            let by_128 = narrow(operator, &left.into(), &right.into(), scales, &errors).unwrap();
            assert_eq!(by_128, by_256, "{}", operator.symbol());
        }
    }
}
