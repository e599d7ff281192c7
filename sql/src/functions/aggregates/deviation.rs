//! STDDEV_SAMPLE and STDDEV_SAMP, from sum, count and the sum of squared distances (Youngs and Cramer).

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::cell::Number;
use crate::error::SqlError;
use crate::function::fold::{Fold, Folding, take_exact};
use crate::function::{Accumulator, AggregateCall, AggregateFunction};
use crate::types::{SqlType, StructField};

const FORMS: [&str; 3] = ["(INT) -> DOUBLE", "(BIGINT) -> DOUBLE", "(DOUBLE) -> DOUBLE"];

pub(super) fn functions() -> [AggregateFunction; 2] {
    let deviation = |name, description, result: fn(f64) -> f64| {
        AggregateFunction::new(name, description)
            .forms(&FORMS, move |call| Ok(create(call, result)))
            .state_type(|args| {
                let field = |name: &str, ty| StructField { name: name.to_owned(), ty };
                SqlType::Struct(vec![
                    field("SUM", args[0].clone()),
                    field("COUNT", SqlType::Bigint),
                    field("M2", SqlType::Double),
                ])
            })
            .supports_tables()
    };
    [
        deviation("STDDEV_SAMPLE", "Standard deviation of a sample; 0 with less than two values.", f64::sqrt),
        deviation(
            "STDDEV_SAMP",
            "Variance of a sample, under a name that it keeps for old queries; STDDEV_SAMPLE is its root.",
            |variance| variance,
        ),
    ]
}

fn create(call: &AggregateCall<'_>, result: fn(f64) -> f64) -> Box<dyn Accumulator> {
    match call.arg_types[0] {
        SqlType::Int => Folding::boxed(Deviation::<Int32Type> { result, of: PhantomData }),
        SqlType::Bigint => Folding::boxed(Deviation::<Int64Type> { result, of: PhantomData }),
        _ => Folding::boxed(Deviation::<Float64Type> { result, of: PhantomData }),
    }
}

struct Deviation<T> {
    result: fn(f64) -> f64,
    of: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
}

impl Moments {
    /// What a value contributes to the squares when it is the last of those counted.
    fn distance(&self, value: f64) -> f64 {
        let distance = self.count * value - self.sum;
        distance * distance / (self.count * (self.count - 1.0))
    }
}

impl<T: ArrowPrimitiveType> Fold for Deviation<T>
where
    T::Native: Number,
{
    type State = Moments;
    type Input<'a> = &'a PrimitiveArray<T>;
    type Output = Vec<f64>;

    fn empty(&self) -> Moments {
        Moments::default()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a PrimitiveArray<T>, SqlError> {
        Ok(args[0].as_primitive())
    }

    fn add(&self, state: &mut Moments, values: &&PrimitiveArray<T>, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            let value = values.value(row).to_f64();
            state.count += 1.0;
            state.sum += value;
            if state.count > 1.0 {
                state.squares += state.distance(value);
            }
        }
        Ok(())
    }

    fn remove(&self, state: &mut Moments, values: &&PrimitiveArray<T>, row: usize) -> Result<(), SqlError> {
        if values.is_valid(row) {
            let value = values.value(row).to_f64();
            if state.count > 1.0 {
                state.squares -= state.distance(value);
            }
            state.count -= 1.0;
            state.sum -= value;
            if state.count < 1.0 {
                *state = Moments::default();
            }
        }
        Ok(())
    }

    fn merge(&self, state: &mut Moments, later: &Moments) -> Result<(), SqlError> {
        if state.count == 0.0 {
            *state = *later;
        } else if later.count > 0.0 {
            let distance = later.count / state.count * state.sum - later.sum;
            state.squares += later.squares
                + state.count / (later.count * (state.count + later.count)) * distance * distance;
            state.count += later.count;
            state.sum += later.sum;
        }
        Ok(())
    }

    fn save(&self, state: &Moments, out: &mut Vec<u8>) {
        for number in [state.count, state.sum, state.squares] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Moments, SqlError> {
        let mut next = || take_exact(bytes).map(f64::from_le_bytes);
        Ok(Moments { count: next()?, sum: next()?, squares: next()? })
    }

    fn output(&self, capacity: usize) -> Vec<f64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &Moments, output: &mut Vec<f64>) {
        let known = state.count > 1.0;
        output.push(if known { (self.result)(state.squares / (state.count - 1.0)) } else { 0.0 });
    }

    fn finish(&self, output: Vec<f64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Float64Array::from(output)))
    }
}
