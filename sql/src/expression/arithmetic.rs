//! `+ - * / %` with ksqlDB's rules: integers wrap, a division by zero or a decimal that does not fit nulls its row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray, StringBuilder},
    compute::{cast, kernels::numeric},
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, i256},
    error::ArrowError,
};
use datafusion::error::{DataFusionError, Result};

use super::row_errors::RowErrors;

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl Arithmetic {
    /// The operator as written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// Precision and scale of the result for two DECIMALs, before any cap.
    pub(crate) fn decimal_result(self, (p1, s1): (u32, u32), (p2, s2): (u32, u32)) -> (u32, u32) {
        match self {
            Self::Add | Self::Subtract => {
                let scale = s1.max(s2);
                (scale + (p1 - s1).max(p2 - s2) + 1, scale)
            }
            Self::Multiply => (p1 + p2 + 1, s1 + s2),
            Self::Divide => {
                let scale = (s1 + p2 + 1).max(6);
                (p1 - s1 + s2 + scale, scale)
            }
            Self::Modulo => {
                let scale = s1.max(s2);
                ((p1 - s1).min(p2 - s2) + scale, scale)
            }
        }
    }
}

/// Applies `operator` row by row; both sides have one length. NULL in, NULL out.
pub(super) fn evaluate(
    operator: Arithmetic,
    left: &ArrayRef,
    right: &ArrayRef,
    result: &DataType,
    errors: &RowErrors,
) -> Result<ArrayRef> {
    match result {
        DataType::Int32 => integers::<Int32Type>(operator, left, right, errors),
        DataType::Int64 => {
            let (left, right) = (cast(left, result)?, cast(right, result)?);
            integers::<Int64Type>(operator, &left, &right, errors)
        }
        DataType::Float64 => {
            let (left, right) = (cast(left, result)?, cast(right, result)?);
            doubles(operator, &left, &right)
        }
        DataType::Utf8 => Ok(concatenate(left, right)),
        DataType::Decimal128(precision, scale) => decimals(operator, left, right, *precision, *scale, errors),
        other => Err(DataFusionError::Plan(format!("arithmetic never yields {other}"))),
    }
}

fn integers<T>(
    operator: Arithmetic,
    left: &ArrayRef,
    right: &ArrayRef,
    errors: &RowErrors,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
{
    Ok(match operator {
        Arithmetic::Add => numeric::add_wrapping(left, right)?,
        Arithmetic::Subtract => numeric::sub_wrapping(left, right)?,
        Arithmetic::Multiply => numeric::mul_wrapping(left, right)?,
        Arithmetic::Divide | Arithmetic::Modulo => {
            let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
            let rows = left.iter().zip(right.iter()).map(|pair| {
                let (Some(left), Some(right)) = pair else { return None };
                if right.is_zero() {
                    errors.add(|| format!("division by zero in {left:?} {} 0", operator.symbol()));
                    return None;
                }
                Some(match operator {
                    Arithmetic::Divide => left.div_wrapping(right),
                    _ => left.mod_wrapping(right),
                })
            });
            Arc::new(rows.collect::<PrimitiveArray<T>>())
        }
    })
}

fn doubles(operator: Arithmetic, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    let apply: fn(f64, f64) -> f64 = match operator {
        Arithmetic::Add => |a, b| a + b,
        Arithmetic::Subtract => |a, b| a - b,
        Arithmetic::Multiply => |a, b| a * b,
        Arithmetic::Divide => |a, b| a / b,
        Arithmetic::Modulo => |a, b| a % b,
    };
    let rows: PrimitiveArray<Float64Type> = arrow::compute::binary(left, right, apply)?;
    Ok(Arc::new(rows))
}

fn concatenate(left: &ArrayRef, right: &ArrayRef) -> ArrayRef {
    let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
    let mut rows =
        StringBuilder::with_capacity(left.len(), left.value_data().len() + right.value_data().len());
    let mut text = String::new();
    for pair in left.iter().zip(right.iter()) {
        if let (Some(left), Some(right)) = pair {
            text.clear();
            text.push_str(left);
            text.push_str(right);
            rows.append_value(&text);
        } else {
            rows.append_null();
        }
    }
    Arc::new(rows.finish())
}

/// A side of a decimal operation as unscaled numbers and their scale.
fn unscaled(side: &ArrayRef) -> Result<(PrimitiveArray<Decimal128Type>, i8), ArrowError> {
    let decimal = match side.data_type() {
        DataType::Decimal128(_, _) => side.clone(),
        DataType::Int32 => cast(side, &DataType::Decimal128(10, 0))?,
        _ => cast(side, &DataType::Decimal128(19, 0))?,
    };
    let DataType::Decimal128(_, scale) = *decimal.data_type() else {
        return Err(ArrowError::CastError(format!("{} is not a decimal", side.data_type())));
    };
    Ok((decimal.as_primitive::<Decimal128Type>().clone(), scale))
}

/// Exact decimal arithmetic: a result that needs rounding or more digits than the type has nulls its row.
fn decimals(
    operator: Arithmetic,
    left: &ArrayRef,
    right: &ArrayRef,
    precision: u8,
    scale: i8,
    errors: &RowErrors,
) -> Result<ArrayRef> {
    let ((left, left_scale), (right, right_scale)) = (unscaled(left)?, unscaled(right)?);
    let power = |digits: i8| i256::from_i128(10).wrapping_pow(digits.max(0) as u32);
    let common = left_scale.max(right_scale);
    let limit = power(precision as i8);
    let apply = |left: i128, right: i128| -> Result<i128, &'static str> {
        let (left, right) = (i256::from_i128(left), i256::from_i128(right));
        let aligned = (left * power(common - left_scale), right * power(common - right_scale));
        // Each arm leaves a number with `from` digits behind the point.
        let (value, from) = match operator {
            Arithmetic::Add => (aligned.0 + aligned.1, common),
            Arithmetic::Subtract => (aligned.0 - aligned.1, common),
            Arithmetic::Multiply => (left * right, left_scale + right_scale),
            Arithmetic::Divide | Arithmetic::Modulo if right == i256::ZERO => return Err("division by zero"),
            Arithmetic::Divide => {
                let numerator = aligned.0.checked_mul(power(scale)).ok_or("too many digits")?;
                if numerator.checked_rem(aligned.1) != Some(i256::ZERO) {
                    return Err("the quotient needs rounding");
                }
                (numerator.wrapping_div(aligned.1), scale)
            }
            Arithmetic::Modulo => (aligned.0.wrapping_rem(aligned.1), common),
        };
        let value = value.checked_mul(power(scale - from)).ok_or("too many digits")?;
        if value >= limit || value <= -limit {
            return Err("too many digits");
        }
        value.to_i128().ok_or("too many digits")
    };
    let rows = left.iter().zip(right.iter()).map(|pair| {
        let (Some(left), Some(right)) = pair else { return None };
        apply(left, right)
            .map_err(|reason| errors.add(|| format!("decimal {} failed: {reason}", operator.symbol())))
            .ok()
    });
    let rows: PrimitiveArray<Decimal128Type> = rows.collect();
    Ok(Arc::new(rows.with_precision_and_scale(precision, scale)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;

    fn check(
        operator: Arithmetic,
        left: ArrayRef,
        right: ArrayRef,
        expected: ArrayRef,
        errors_expected: u64,
    ) {
        let errors = RowErrors::default();
        let result = evaluate(operator, &left, &right, expected.data_type(), &errors).unwrap();
        assert_eq!(&result, &expected, "{left:?} {} {right:?}", operator.symbol());
        assert_eq!(errors.drain().map_or(0, |(count, _)| count), errors_expected);
    }

    #[test]
    fn integers_wrap_and_divisions_by_zero_null_their_row() {
        let ints = |rows: Vec<Option<i32>>| -> ArrayRef { Arc::new(Int32Array::from(rows)) };
        let longs = |rows: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(rows)) };
        check(
            Arithmetic::Add,
            ints(vec![Some(i32::MAX)]),
            ints(vec![Some(1)]),
            ints(vec![Some(i32::MIN)]),
            0,
        );
        check(
            Arithmetic::Divide,
            ints(vec![Some(-7), Some(1), None, Some(i32::MIN)]),
            ints(vec![Some(2), Some(0), Some(1), Some(-1)]),
            ints(vec![Some(-3), None, None, Some(i32::MIN)]),
            1,
        );
        check(Arithmetic::Modulo, ints(vec![Some(-7)]), longs(vec![Some(2)]), longs(vec![Some(-1)]), 0);
    }

    #[test]
    fn doubles_follow_ieee_and_strings_join() {
        let doubles = |rows: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(rows)) };
        check(Arithmetic::Divide, doubles(vec![1.0]), doubles(vec![0.0]), doubles(vec![f64::INFINITY]), 0);
        let texts = |rows: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(rows)) };
        check(
            Arithmetic::Add,
            texts(vec![Some("a"), None]),
            texts(vec![Some("b"), Some("c")]),
            texts(vec![Some("ab"), None]),
            0,
        );
    }

    #[test]
    fn decimals_are_exact_or_null() {
        let decimals = |rows: Vec<Option<i128>>, precision, scale| -> ArrayRef {
            let rows = PrimitiveArray::<Decimal128Type>::from(rows);
            Arc::new(rows.with_precision_and_scale(precision, scale).unwrap())
        };
        assert_eq!(Arithmetic::Add.decimal_result((4, 2), (5, 1)), (7, 2));
        assert_eq!(Arithmetic::Divide.decimal_result((4, 2), (5, 1)), (11, 8));
        check(
            Arithmetic::Add,
            decimals(vec![Some(1250)], 4, 2),
            decimals(vec![Some(5)], 5, 1),
            decimals(vec![Some(1300)], 7, 2),
            0,
        );
        // 1.00 / 4.0 = 0.25 fits; 1.00 / 3.0 does not end.
        check(
            Arithmetic::Divide,
            decimals(vec![Some(100), Some(100), Some(100)], 4, 2),
            decimals(vec![Some(40), Some(30), Some(0)], 5, 1),
            decimals(vec![Some(25_000_000), None, None], 11, 8),
            2,
        );
    }
}
