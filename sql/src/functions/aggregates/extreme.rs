//! MIN and MAX.

use std::cmp::Ordering;

use arrow::array::ArrayRef;
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};

use super::cell::{Binary, OrderedCell, Primitive, Text};
use crate::decimal::of_decimals;
use crate::error::SqlError;
use crate::function::fold::{Fold, Folding};
use crate::function::{Accumulator, AggregateFunction};
use crate::types::SqlType;

const FORMS: [&str; 9] = [
    "(INT) -> INT",
    "(BIGINT) -> BIGINT",
    "(DOUBLE) -> DOUBLE",
    "(DECIMAL) -> DECIMAL",
    "(DATE) -> DATE",
    "(TIME) -> TIME",
    "(TIMESTAMP) -> TIMESTAMP",
    "(STRING) -> STRING",
    "(BYTES) -> BYTES",
];

pub(super) fn functions() -> [AggregateFunction; 2] {
    [
        AggregateFunction::new("MIN", "Smallest of the values that are not NULL.")
            .forms(&FORMS, |call| Ok(extreme(call.return_type, Ordering::Less))),
        AggregateFunction::new("MAX", "Largest of the values that are not NULL.")
            .forms(&FORMS, |call| Ok(extreme(call.return_type, Ordering::Greater))),
    ]
}

fn extreme(ty: &SqlType, wins: Ordering) -> Box<dyn Accumulator> {
    match ty {
        SqlType::Int => Folding::boxed(Extreme { cell: Primitive::<Int32Type>::of(ty), wins }),
        SqlType::Bigint => Folding::boxed(Extreme { cell: Primitive::<Int64Type>::of(ty), wins }),
        SqlType::Double => Folding::boxed(Extreme { cell: Primitive::<Float64Type>::of(ty), wins }),
        SqlType::Decimal { .. } => of_decimals!(ty.to_arrow(), |Number| {
            Folding::boxed(Extreme { cell: Primitive::<Number>::of(ty), wins })
        }),
        SqlType::Date => Folding::boxed(Extreme { cell: Primitive::<Date32Type>::of(ty), wins }),
        SqlType::Time => Folding::boxed(Extreme { cell: Primitive::<Time32MillisecondType>::of(ty), wins }),
        SqlType::Timestamp => {
            Folding::boxed(Extreme { cell: Primitive::<TimestampMillisecondType>::of(ty), wins })
        }
        SqlType::String => Folding::boxed(Extreme { cell: Text, wins }),
        _ => Folding::boxed(Extreme { cell: Binary, wins }),
    }
}

/// Keeps the value that compares as `wins` to all others.
struct Extreme<C> {
    cell: C,
    wins: Ordering,
}

impl<C: OrderedCell> Fold for Extreme<C> {
    type State = Option<C::Value>;
    type Input<'a> = C::View<'a>;
    type Output = C::Builder;

    fn empty(&self) -> Self::State {
        None
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        let better = match state {
            _ if self.cell.is_null(view, row) => false,
            None => true,
            Some(kept) => self.cell.compare_row(view, row, kept) == self.wins,
        };
        if better {
            self.cell.replace(state, view, row);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        let better = match (&*state, later) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(kept), Some(later)) => self.cell.compare(later, kept) == self.wins,
        };
        if better {
            state.clone_from(later);
        }
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        self.cell.save_option(state.as_ref(), out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        self.cell.load_option(bytes)
    }

    fn output(&self, capacity: usize) -> C::Builder {
        self.cell.builder(capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut C::Builder) {
        self.cell.append(output, state.as_ref());
    }

    fn finish(&self, output: C::Builder) -> Result<ArrayRef, SqlError> {
        self.cell.finish(output)
    }
}
