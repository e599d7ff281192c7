//! Table functions in SELECT: as many rows as the longest list has items.

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, UInt32Builder},
    compute,
    datatypes::SchemaRef,
};
use millstream_streams::{Batch, Context, Processor, RowsKept, StreamsError};

use super::{failed, reports::Computed};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
    plan::Explode,
};

/// Repeats each row for every item of the lists that its table functions give. Where a list is shorter than another,
/// NULL stands for its items. Rows without value, and rows whose lists are all empty, leave nothing.
pub(crate) struct ExplodeProcessor {
    lists: Vec<Bound>,
    /// The calls as written.
    texts: Vec<String>,
    schema: SchemaRef,
    errors: RowErrors,
}

impl ExplodeProcessor {
    /// With the bound table functions of a step.
    pub(crate) fn new(lists: Vec<Bound>, step: &Explode, errors: RowErrors) -> Self {
        Self { lists, texts: step.texts.clone(), schema: step.schema.clone(), errors }
    }
}

impl Processor for ExplodeProcessor {
    fn rows_kept(&self) -> RowsKept {
        RowsKept::Some
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        let rows = batch.record_batch().map_err(failed)?;
        let computed = Computed { rows: &rows, times: batch.timestamps(), errors: &self.errors };
        let mut lists: Vec<ArrayRef> = Vec::with_capacity(self.lists.len());
        for (list, text) in self.lists.iter().zip(&self.texts) {
            lists.push(computed.value(list, || format!("Table function {text} failed"), context)?);
        }
        let lists: Vec<&ListArray> = lists.iter().map(AsArray::as_list::<i32>).collect();
        let (repeated, items) = spread(&lists, |row| batch.is_present(row));
        if repeated.is_empty() {
            return Ok(());
        }
        let repeated = batch.take(&repeated).map_err(failed)?.with_present(None);
        let mut columns = repeated.columns().to_vec();
        for (list, items) in lists.iter().zip(&items) {
            columns.push(compute::take(list.values(), items, None).map_err(failed)?);
        }
        context.forward(Box::new(repeated.with_columns(self.schema.clone(), columns)))
    }
}

/// Which row each output row repeats, and for every list which of its items goes with it.
fn spread(lists: &[&ListArray], has_value: impl Fn(usize) -> bool) -> (UInt32Array, Vec<UInt32Array>) {
    let rows = lists.first().map_or(0, |list| list.len());
    let mut repeated = UInt32Builder::with_capacity(rows);
    let mut items: Vec<UInt32Builder> = lists.iter().map(|_| UInt32Builder::with_capacity(rows)).collect();
    let length = |list: &ListArray, row: usize| if list.is_valid(row) { list.value_length(row) } else { 0 };
    for row in (0..rows).filter(|row| has_value(*row)) {
        let longest = lists.iter().map(|list| length(list, row)).max().unwrap_or(0);
        for item in 0..longest {
            repeated.append_value(row as u32);
            for (list, items) in lists.iter().zip(&mut items) {
                let offset = list.value_offsets()[row] + item;
                items.append_option((item < length(list, row)).then_some(offset as u32));
            }
        }
    }
    (repeated.finish(), items.iter_mut().map(UInt32Builder::finish).collect())
}

#[cfg(test)]
mod tests {
    use arrow::{array::Int32Array, datatypes::Int32Type};

    use super::*;

    #[test]
    fn the_longest_list_says_how_many_rows_come_of_one() {
        let list =
            |rows: Vec<Option<Vec<Option<i32>>>>| ListArray::from_iter_primitive::<Int32Type, _, _>(rows);
        let a = list(vec![Some(vec![Some(1), Some(2)]), None, Some(vec![]), Some(vec![Some(3)])]);
        let b = list(vec![Some(vec![Some(7)]), Some(vec![Some(8)]), None, Some(vec![Some(9)])]);
        let (repeated, items) = spread(&[&a, &b], |row| row != 3);
        assert_eq!(repeated, UInt32Array::from(vec![0, 0, 1]));
        let taken =
            |list: &ListArray, items: &UInt32Array| compute::take(list.values(), items, None).unwrap();
        assert_eq!(taken(&a, &items[0]).as_ref(), &Int32Array::from(vec![Some(1), Some(2), None]));
        assert_eq!(taken(&b, &items[1]).as_ref(), &Int32Array::from(vec![Some(7), None, Some(8)]));
    }
}
