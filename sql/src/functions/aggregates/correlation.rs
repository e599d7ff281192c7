//! CORRELATION: Pearson's coefficient, from six sums.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::cell::Number;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding, take_exact};
use crate::types::{SqlType, StructField};

pub(super) fn correlation() -> AggregateFunction {
    let forms = ["(INT, INT) -> DOUBLE", "(BIGINT, BIGINT) -> DOUBLE", "(DOUBLE, DOUBLE) -> DOUBLE"];
    AggregateFunction::new(
        "CORRELATION",
        "How far two columns rise and fall together, from -1 to 1 (Pearson).",
    )
    .forms(&forms, |call| {
        Ok(match call.arg_types[0] {
            SqlType::Int => Folding::boxed(Correlation::<Int32Type>(PhantomData)),
            SqlType::Bigint => Folding::boxed(Correlation::<Int64Type>(PhantomData)),
            _ => Folding::boxed(Correlation::<Float64Type>(PhantomData)),
        })
    })
    .state_type(|_| {
        let names = ["COUNT", "SUM_X", "SUM_Y", "SUM_X_SQUARED", "SUM_Y_SQUARED", "SUM_XY"];
        let field = |name: &str| StructField { name: name.to_owned(), ty: SqlType::Double };
        SqlType::Struct(names.map(field).to_vec())
    })
    .supports_tables()
}

struct Correlation<T>(PhantomData<fn() -> T>);

/// Count, sums of x, y, x squared, y squared and x times y.
type Sums = [f64; 6];

fn terms(x: f64, y: f64) -> Sums {
    [1.0, x, y, x * x, y * y, x * y]
}

impl<T: ArrowPrimitiveType> Fold for Correlation<T>
where
    T::Native: Number,
{
    type State = Sums;
    type Input<'a> = [&'a PrimitiveArray<T>; 2];
    type Output = Vec<f64>;

    fn empty(&self) -> Sums {
        Sums::default()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>, SqlError> {
        Ok([args[0].as_primitive(), args[1].as_primitive()])
    }

    fn add(&self, state: &mut Sums, [x, y]: &Self::Input<'_>, row: usize) -> Result<(), SqlError> {
        if x.is_valid(row) && y.is_valid(row) {
            let terms = terms(x.value(row).to_f64(), y.value(row).to_f64());
            state.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        Ok(())
    }

    fn remove(&self, state: &mut Sums, [x, y]: &Self::Input<'_>, row: usize) -> Result<(), SqlError> {
        if x.is_valid(row) && y.is_valid(row) {
            let terms = terms(x.value(row).to_f64(), y.value(row).to_f64());
            state.iter_mut().zip(terms).for_each(|(sum, term)| *sum -= term);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Sums, later: &Sums) -> Result<(), SqlError> {
        state.iter_mut().zip(later).for_each(|(sum, term)| *sum += term);
        Ok(())
    }

    fn save(&self, state: &Sums, out: &mut Vec<u8>) {
        state.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Sums, SqlError> {
        let mut sums = Sums::default();
        for sum in &mut sums {
            *sum = f64::from_le_bytes(take_exact(bytes)?);
        }
        Ok(sums)
    }

    fn output(&self, capacity: usize) -> Vec<f64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, [n, x, y, xx, yy, xy]: &Sums, output: &mut Vec<f64>) {
        let spread = ((n * xx - x * x) * (n * yy - y * y)).sqrt();
        output.push((n * xy - x * y) / spread);
    }

    fn finish(&self, output: Vec<f64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Float64Array::from(output)))
    }
}
