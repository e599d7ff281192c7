//! COUNT.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding, take_exact};

pub(super) fn count() -> AggregateFunction {
    AggregateFunction::new("COUNT", "Number of rows whose argument is not NULL; COUNT(*) counts all rows.")
        .forms(&["(T) -> BIGINT"], |_| Ok(Folding::boxed(Count)))
        .supports_tables()
}

struct Count;

impl Fold for Count {
    type State = i64;
    type Input<'a> = Option<NullBuffer>;
    type Output = Vec<i64>;

    fn empty(&self) -> i64 {
        0
    }

    fn input(&self, args: &[ArrayRef]) -> Result<Option<NullBuffer>, SqlError> {
        Ok(args[0].logical_nulls().filter(|nulls| nulls.null_count() > 0))
    }

    fn add(&self, state: &mut i64, nulls: &Option<NullBuffer>, row: usize) -> Result<(), SqlError> {
        *state += i64::from(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
        Ok(())
    }

    fn remove(&self, state: &mut i64, nulls: &Option<NullBuffer>, row: usize) -> Result<(), SqlError> {
        *state -= i64::from(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
        Ok(())
    }

    fn merge(&self, state: &mut i64, later: &i64) -> Result<(), SqlError> {
        *state += later;
        Ok(())
    }

    fn save(&self, state: &i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.to_le_bytes());
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<i64, SqlError> {
        Ok(i64::from_le_bytes(take_exact(bytes)?))
    }

    fn output(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &i64, output: &mut Vec<i64>) {
        output.push(*state);
    }

    fn finish(&self, output: Vec<i64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Int64Array::from(output)))
    }
}
