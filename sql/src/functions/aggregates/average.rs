//! AVG: the sum is kept in the type of the argument, so that of INT wraps. Nothing averages to 0.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Float64Array, PrimitiveArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::cell::Number;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding, take_exact};
use crate::types::{SqlType, StructField};

pub(super) fn avg() -> AggregateFunction {
    let forms = ["(INT) -> DOUBLE", "(BIGINT) -> DOUBLE", "(DOUBLE) -> DOUBLE"];
    AggregateFunction::new("AVG", "Average of the values that are not NULL; 0 without any.")
        .forms(&forms, |call| {
            Ok(match call.arg_types[0] {
                SqlType::Int => Folding::boxed(Average::<Int32Type>(PhantomData)),
                SqlType::Bigint => Folding::boxed(Average::<Int64Type>(PhantomData)),
                _ => Folding::boxed(Average::<Float64Type>(PhantomData)),
            })
        })
        .state_type(|args| {
            let field = |name: &str, ty| StructField { name: name.to_owned(), ty };
            SqlType::Struct(vec![field("SUM", args[0].clone()), field("COUNT", SqlType::Bigint)])
        })
        .supports_tables()
}

struct Average<T>(PhantomData<fn() -> T>);

#[derive(Clone)]
struct SumAndCount<N> {
    sum: N,
    count: i64,
}

impl<T: ArrowPrimitiveType> Fold for Average<T>
where
    T::Native: Number,
{
    type State = SumAndCount<T::Native>;
    type Input<'a> = &'a PrimitiveArray<T>;
    type Output = Vec<f64>;

    fn empty(&self) -> Self::State {
        SumAndCount { sum: T::Native::ZERO, count: 0 }
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a PrimitiveArray<T>, SqlError> {
        Ok(args[0].as_primitive())
    }

    fn add(&self, state: &mut Self::State, values: &&PrimitiveArray<T>, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            state.sum = state.sum.plus(values.value(row));
            state.count += 1;
        }
        Ok(())
    }

    fn remove(
        &self,
        state: &mut Self::State,
        values: &&PrimitiveArray<T>,
        row: usize,
    ) -> Result<(), SqlError> {
        if values.is_valid(row) {
            state.sum = state.sum.minus(values.value(row));
            state.count -= 1;
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        state.sum = state.sum.plus(later.sum);
        state.count += later.count;
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        state.sum.save(out);
        out.extend_from_slice(&state.count.to_le_bytes());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        Ok(SumAndCount { sum: T::Native::load(bytes)?, count: i64::from_le_bytes(take_exact(bytes)?) })
    }

    fn output(&self, capacity: usize) -> Vec<f64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Vec<f64>) {
        output.push(if state.count == 0 { 0.0 } else { state.sum.to_f64() / state.count as f64 });
    }

    fn finish(&self, output: Vec<f64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Float64Array::from(output)))
    }
}
