//! `+ - * / %` with ksqlDB's rules: integers wrap, a division by zero or a decimal that does not fit nulls its row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray, StringBuilder},
    compute::{self, binary, kernels::numeric},
    datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::error::{DataFusionError, Result};

use super::{cast, decimal_arithmetic, row_errors::RowErrors};

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
            let (left, right) = (compute::cast(left, result)?, compute::cast(right, result)?);
            integers::<Int64Type>(operator, &left, &right, errors)
        }
        DataType::Float64 => {
            let double = |side| cast::cast(side, result, errors);
            doubles(operator, &double(left)?, &double(right)?)
        }
        DataType::Utf8 => Ok(concatenate(left, right)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            decimal_arithmetic::evaluate(operator, left, right, *precision, *scale, errors)
        }
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
            if !right.values().iter().any(|divisor| divisor.is_zero()) {
                let rows: PrimitiveArray<T> = match operator {
                    Arithmetic::Divide => binary(left, right, |a, b| a.div_wrapping(b))?,
                    _ => binary(left, right, |a, b| a.mod_wrapping(b))?,
                };
                return Ok(Arc::new(rows));
            }
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
    // Each loop is compiled for its operator.
    let rows: PrimitiveArray<Float64Type> = match operator {
        Arithmetic::Add => binary(left, right, |a, b| a + b)?,
        Arithmetic::Subtract => binary(left, right, |a, b| a - b)?,
        Arithmetic::Multiply => binary(left, right, |a, b| a * b)?,
        Arithmetic::Divide => binary(left, right, |a, b| a / b)?,
        Arithmetic::Modulo => binary(left, right, |a, b| a % b)?,
    };
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
}
