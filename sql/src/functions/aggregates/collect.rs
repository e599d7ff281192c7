//! COLLECT_LIST, and the parts that aggregates which return an ARRAY share.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use super::cell::Cell;
use super::fold::{Fold, Folding, put_count, take};
use crate::error::SqlError;
use crate::function::{Accumulator, AggregateCall, AggregateFunction};

pub(super) fn collect_list() -> AggregateFunction {
    AggregateFunction::new("COLLECT_LIST", "All values in the order of arrival, NULLs included.")
        .forms(&["(T) -> ARRAY<T>"], |call| any_cell!(&call.arg_types[0], |cell| create(cell, call)))
        .supports_tables()
}

fn create<C: Cell>(cell: C, call: &AggregateCall<'_>) -> Result<Box<dyn Accumulator>, SqlError> {
    Ok(Folding::boxed(CollectList { cell, item: call.arg_types[0].to_arrow() }))
}

/// Evaluates an expression with the [`Cell`](super::cell::Cell) of a type as `$cell`.
macro_rules! any_cell {
    ($ty:expr, |$cell:ident| $body:expr) => {{
        use $crate::functions::aggregates::cell::{Binary, Nested, Primitive, Text};
        use $crate::types::SqlType;
        match $ty {
            ty @ SqlType::Int => {
                let $cell = Primitive::<arrow::datatypes::Int32Type>::of(ty);
                $body
            }
            ty @ SqlType::Bigint => {
                let $cell = Primitive::<arrow::datatypes::Int64Type>::of(ty);
                $body
            }
            ty @ SqlType::Double => {
                let $cell = Primitive::<arrow::datatypes::Float64Type>::of(ty);
                $body
            }
            ty @ SqlType::Decimal { .. } => {
                let $cell = Primitive::<arrow::datatypes::Decimal128Type>::of(ty);
                $body
            }
            ty @ SqlType::Date => {
                let $cell = Primitive::<arrow::datatypes::Date32Type>::of(ty);
                $body
            }
            ty @ SqlType::Time => {
                let $cell = Primitive::<arrow::datatypes::Time32MillisecondType>::of(ty);
                $body
            }
            ty @ SqlType::Timestamp => {
                let $cell = Primitive::<arrow::datatypes::TimestampMillisecondType>::of(ty);
                $body
            }
            SqlType::String => {
                let $cell = Text;
                $body
            }
            SqlType::Bytes => {
                let $cell = Binary;
                $body
            }
            ty @ (SqlType::Boolean | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_)) => {
                let $cell = Nested::of(ty)?;
                $body
            }
        }
    }};
}
pub(super) use any_cell;

/// Lists in the making: their items, and where each ends.
pub(super) struct ListOutput<B> {
    pub(super) items: B,
    lengths: Vec<usize>,
}

impl<B> ListOutput<B> {
    pub(super) fn new(items: B, capacity: usize) -> Self {
        Self { items, lengths: Vec::with_capacity(capacity) }
    }

    /// Ends a list after the last `length` items.
    pub(super) fn end_list(&mut self, length: usize) {
        self.lengths.push(length);
    }

    /// The lists as a column.
    pub(super) fn finish(
        self,
        item: &DataType,
        finish: impl FnOnce(B) -> Result<ArrayRef, SqlError>,
    ) -> Result<ArrayRef, SqlError> {
        let field = Arc::new(Field::new("item", item.clone(), true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::try_new(field, offsets, finish(self.items)?, None)?))
    }
}

struct CollectList<C> {
    cell: C,
    item: DataType,
}

impl<C: Cell> Fold for CollectList<C> {
    type State = Vec<Option<C::Value>>;
    type Input<'a> = C::View<'a>;
    type Output = ListOutput<C::Builder>;

    fn empty(&self) -> Self::State {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        state.push(self.cell.get(view, row));
        Ok(())
    }

    /// Takes away the last value that equals the row's.
    fn remove(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        let value = self.cell.get(view, row);
        let equal = |kept: &Option<C::Value>| match (kept, &value) {
            (Some(kept), Some(value)) => self.cell.equal(kept, value),
            (kept, value) => kept.is_none() && value.is_none(),
        };
        if let Some(last) = state.iter().rposition(equal) {
            state.remove(last);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        state.extend_from_slice(later);
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        state.iter().for_each(|value| self.cell.save_option(value.as_ref(), out));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take(bytes)?);
        (0..count).map(|_| self.cell.load_option(bytes)).collect()
    }

    fn output(&self, capacity: usize) -> Self::Output {
        ListOutput::new(self.cell.builder(capacity), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        state.iter().for_each(|value| self.cell.append(&mut output.items, value.as_ref()));
        output.end_list(state.len());
    }

    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError> {
        output.finish(&self.item, |items| self.cell.finish(items))
    }
}
