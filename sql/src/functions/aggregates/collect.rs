//! COLLECT_LIST and COLLECT_SET, and the parts that aggregates which return an ARRAY share.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use super::cell::Cell;
use crate::error::SqlError;
use crate::function::fold::{Fold, Folding, put_count, take_exact};
use crate::function::{Accumulator, AggregateCall, AggregateFunction};

pub(super) fn collect_list() -> AggregateFunction {
    AggregateFunction::new("COLLECT_LIST", "All values in the order of arrival, NULLs included.")
        .forms(&["(T) -> ARRAY<T>"], |call| any_cell!(&call.arg_types[0], |cell| create(cell, call, false)))
        .supports_tables()
}

pub(super) fn collect_set() -> AggregateFunction {
    AggregateFunction::new("COLLECT_SET", "All different values in the order of arrival, NULL included.")
        .forms(&["(T) -> ARRAY<T>"], |call| any_cell!(&call.arg_types[0], |cell| create(cell, call, true)))
}

fn create<C: Cell>(
    cell: C,
    call: &AggregateCall<'_>,
    distinct: bool,
) -> Result<Box<dyn Accumulator>, SqlError> {
    let item = call.arg_types[0].to_arrow();
    Ok(Folding::boxed(Collect { cell, item, distinct, most: limit(call)? }))
}

/// The property `limit` of the function: the most values that are collected, any number if it is below 0.
fn limit(call: &AggregateCall<'_>) -> Result<usize, SqlError> {
    let Some(text) = call.property("limit") else { return Ok(usize::MAX) };
    let limit: i64 = text.trim().parse().map_err(|_| {
        SqlError::invalid(format!("the limit of a collection must be a whole number, not '{text}'"))
    })?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
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
            ty @ SqlType::Decimal { .. } => $crate::decimal::of_decimals!(ty.to_arrow(), |Number| {
                let $cell = Primitive::<Number>::of(ty);
                $body
            }),
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

struct Collect<C> {
    cell: C,
    item: DataType,
    /// Values that are there already are not collected again.
    distinct: bool,
    most: usize,
}

impl<C: Cell> Collect<C> {
    fn equal(&self, a: &Option<C::Value>, b: &Option<C::Value>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.cell.equal(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn push(&self, state: &mut Vec<Option<C::Value>>, value: Option<C::Value>) {
        let wanted = state.len() < self.most
            && !(self.distinct && state.iter().any(|known| self.equal(known, &value)));
        if wanted {
            state.push(value);
        }
    }
}

impl<C: Cell> Fold for Collect<C> {
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
        self.push(state, self.cell.get(view, row));
        Ok(())
    }

    /// Takes away the last value that equals the row's.
    fn remove(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        let value = self.cell.get(view, row);
        if let Some(last) = state.iter().rposition(|kept| self.equal(kept, &value)) {
            state.remove(last);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|value| self.push(state, value.clone()));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        state.iter().for_each(|value| self.cell.save_option(value.as_ref(), out));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take_exact(bytes)?);
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
