//! SUM_LIST: the sum of all items of arrays.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::cell::Number;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding};
use crate::types::SqlType;

pub(super) fn sum_list() -> AggregateFunction {
    let forms = ["(ARRAY<INT>) -> INT", "(ARRAY<BIGINT>) -> BIGINT", "(ARRAY<DOUBLE>) -> DOUBLE"];
    AggregateFunction::new("SUM_LIST", "Sum of all items of the arrays that are not NULL.")
        .forms(&forms, |call| {
            Ok(match call.return_type {
                SqlType::Int => Folding::boxed(SumList::<Int32Type>(PhantomData)),
                SqlType::Bigint => Folding::boxed(SumList::<Int64Type>(PhantomData)),
                _ => Folding::boxed(SumList::<Float64Type>(PhantomData)),
            })
        })
        .supports_tables()
}

struct SumList<T>(PhantomData<fn() -> T>);

impl<T: ArrowPrimitiveType> SumList<T>
where
    T::Native: Number,
{
    fn items<'a>(
        (lists, items): &(&'a ListArray, &'a PrimitiveArray<T>),
        row: usize,
    ) -> impl Iterator<Item = T::Native> + 'a {
        let (lists, items) = (*lists, *items);
        let offsets = lists.value_offsets();
        let places = if lists.is_valid(row) { offsets[row]..offsets[row + 1] } else { 0..0 };
        places
            .map(|place| place as usize)
            .filter(|place| items.is_valid(*place))
            .map(|place| items.value(place))
    }
}

impl<T: ArrowPrimitiveType> Fold for SumList<T>
where
    T::Native: Number,
{
    type State = T::Native;
    type Input<'a> = (&'a ListArray, &'a PrimitiveArray<T>);
    type Output = Vec<T::Native>;

    fn empty(&self) -> T::Native {
        T::Native::ZERO
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>, SqlError> {
        let lists = args[0].as_list::<i32>();
        Ok((lists, lists.values().as_primitive()))
    }

    fn add(&self, state: &mut T::Native, input: &Self::Input<'_>, row: usize) -> Result<(), SqlError> {
        *state = Self::items(input, row).fold(*state, Number::plus);
        Ok(())
    }

    fn remove(&self, state: &mut T::Native, input: &Self::Input<'_>, row: usize) -> Result<(), SqlError> {
        *state = Self::items(input, row).fold(*state, Number::minus);
        Ok(())
    }

    fn merge(&self, state: &mut T::Native, later: &T::Native) -> Result<(), SqlError> {
        *state = state.plus(*later);
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
        Ok(Arc::new(PrimitiveArray::<T>::new(output.into(), None)))
    }
}
