//! SUM: in the type of its argument. Integers wrap, decimals that do not fit are an error, nothing sums to 0.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};

use super::cell::Number;
use crate::decimal::{of_decimals, ten_to};
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding};
use crate::types::SqlType;

pub(super) fn sum() -> AggregateFunction {
    let forms = ["(INT) -> INT", "(BIGINT) -> BIGINT", "(DOUBLE) -> DOUBLE", "(DECIMAL) -> DECIMAL"];
    AggregateFunction::new("SUM", "Sum of the values that are not NULL; 0 without any.")
        .forms(&forms, |call| {
            Ok(match call.return_type {
                SqlType::Int => Folding::boxed(Sum::<Int32Type>::of(call.return_type)),
                SqlType::Bigint => Folding::boxed(Sum::<Int64Type>::of(call.return_type)),
                SqlType::Double => Folding::boxed(Sum::<Float64Type>::of(call.return_type)),
                decimal => {
                    of_decimals!(decimal.to_arrow(), |Number| Folding::boxed(Sum::<Number>::of(decimal)))
                }
            })
        })
        .supports_tables()
}

struct Sum<T: ArrowPrimitiveType> {
    data_type: DataType,
    /// The largest value of a DECIMAL; the other types need no check.
    most: Option<T::Native>,
    of: PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType> Sum<T> {
    fn of(ty: &SqlType) -> Self {
        let most = match ty {
            SqlType::Decimal { precision, .. } => {
                Some(ten_to::<T::Native>((*precision).into()).sub_wrapping(T::Native::ONE))
            }
            _ => None,
        };
        Self { data_type: ty.to_arrow(), most, of: PhantomData }
    }
}

impl<T: ArrowPrimitiveType> Sum<T>
where
    T::Native: Number,
{
    fn check(&self, sum: T::Native) -> Result<T::Native, SqlError> {
        match self.most {
            Some(most) if sum.is_gt(most) || sum.is_lt(most.neg_wrapping()) => Err(SqlError::failed(
                "compute SUM",
                format!(
                    "Numeric field overflow: the sum does not fit in {}: cast the argument to a wider DECIMAL",
                    SqlType::from_arrow(&self.data_type)
                        .map_or_else(|_| "its type".to_owned(), |ty| ty.to_string())
                ),
            )),
            _ => Ok(sum),
        }
    }
}

impl<T: ArrowPrimitiveType> Fold for Sum<T>
where
    T::Native: Number,
{
    type State = T::Native;
    type Input<'a> = &'a PrimitiveArray<T>;
    type Output = Vec<T::Native>;

    fn empty(&self) -> T::Native {
        T::Native::ZERO
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a PrimitiveArray<T>, SqlError> {
        Ok(args[0].as_primitive())
    }

    fn add(&self, state: &mut T::Native, values: &&PrimitiveArray<T>, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            *state = self.check(state.plus(values.value(row)))?;
        }
        Ok(())
    }

    fn remove(&self, state: &mut T::Native, values: &&PrimitiveArray<T>, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            *state = self.check(state.minus(values.value(row)))?;
        }
        Ok(())
    }

    fn merge(&self, state: &mut T::Native, later: &T::Native) -> Result<(), SqlError> {
        *state = self.check(state.plus(*later))?;
        Ok(())
    }

    fn save(&self, state: &T::Native, out: &mut Vec<u8>) {
        state.save(out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<T::Native, SqlError> {
        T::Native::load(bytes)
    }

    fn output(&self, capacity: usize) -> Vec<T::Native> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &T::Native, output: &mut Vec<T::Native>) {
        output.push(*state);
    }

    fn finish(&self, output: Vec<T::Native>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(PrimitiveArray::<T>::new(output.into(), None).with_data_type(self.data_type.clone())))
    }
}
