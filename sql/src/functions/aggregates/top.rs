//! TOPK: the largest values, in falling order.

use std::cmp::Ordering;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};

use super::cell::{OrderedCell, Primitive, Text};
use super::collect::ListOutput;
use super::fold::{Fold, Folding, put_count, take};
use crate::ast::Literal;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::types::SqlType;

pub(super) fn topk() -> AggregateFunction {
    let forms = [
        "(INT, LITERAL INT) -> ARRAY<INT>",
        "(BIGINT, LITERAL INT) -> ARRAY<BIGINT>",
        "(DOUBLE, LITERAL INT) -> ARRAY<DOUBLE>",
        "(STRING, LITERAL INT) -> ARRAY<STRING>",
    ];
    AggregateFunction::new("TOPK", "The k largest values, largest first.").forms(&forms, |call| {
        let most = match call.literals.first() {
            Some(Literal::Int(k)) => usize::try_from(*k).ok().filter(|k| *k > 0),
            _ => None,
        };
        let Some(most) = most else { return Err(SqlError::invalid("k must be at least 1")) };
        let ty = &call.arg_types[0];
        let item = ty.to_arrow();
        Ok(match ty {
            SqlType::Int => Folding::boxed(TopK { cell: Primitive::<Int32Type>::of(ty), most, item }),
            SqlType::Bigint => Folding::boxed(TopK { cell: Primitive::<Int64Type>::of(ty), most, item }),
            SqlType::Double => Folding::boxed(TopK { cell: Primitive::<Float64Type>::of(ty), most, item }),
            _ => Folding::boxed(TopK { cell: Text, most, item }),
        })
    })
}

struct TopK<C> {
    cell: C,
    most: usize,
    item: DataType,
}

impl<C: OrderedCell> TopK<C> {
    /// Inserts behind all values at least as large, and drops what is too many.
    fn insert(&self, state: &mut Vec<C::Value>, value: C::Value) {
        let position = state.partition_point(|kept| self.cell.compare(kept, &value) != Ordering::Less);
        state.insert(position, value);
        state.truncate(self.most);
    }
}

impl<C: OrderedCell> Fold for TopK<C> {
    type State = Vec<C::Value>;
    type Input<'a> = C::View<'a>;
    type Output = ListOutput<C::Builder>;

    fn empty(&self) -> Self::State {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        if self.cell.is_null(view, row) {
            return Ok(());
        }
        let full_of_larger = state.len() == self.most
            && state
                .last()
                .is_some_and(|smallest| self.cell.compare_row(view, row, smallest) != Ordering::Greater);
        if !full_of_larger && let Some(value) = self.cell.get(view, row) {
            self.insert(state, value);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|value| self.insert(state, value.clone()));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        state.iter().for_each(|value| self.cell.save(value, out));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take(bytes)?);
        (0..count).map(|_| self.cell.load(bytes)).collect()
    }

    fn output(&self, capacity: usize) -> Self::Output {
        ListOutput::new(self.cell.builder(capacity), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        state.iter().for_each(|value| self.cell.append(&mut output.items, Some(value)));
        output.end_list(state.len());
    }

    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError> {
        output.finish(&self.item, |items| self.cell.finish(items))
    }
}
