//! WHERE: rows of a stream for which the condition is not true vanish, rows of a table become deletes.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use millstream_streams::{Batch, Context, Processor, StreamsError};

use super::{failed, report_row_errors};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
};

/// Filters by a condition.
pub(crate) struct FilterProcessor {
    condition: Bound,
    table: bool,
    errors: RowErrors,
}

impl FilterProcessor {
    /// A filter of a stream, or of a table's changes.
    pub(crate) fn new(condition: Bound, table: bool, errors: RowErrors) -> Self {
        Self { condition, table, errors }
    }
}

impl Processor for FilterProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        let selected = self.condition.select(&batch).map_err(failed)?;
        report_row_errors(&self.errors, context);
        let mask = match (selected, batch.present()) {
            (None, None) => return context.forward(Box::new(batch)),
            (Some(selected), None) => selected.values().clone(),
            (None, Some(present)) => present.clone(),
            (Some(selected), Some(present)) => selected.values() & present,
        };
        forward_masked(batch, mask, self.table, context)
    }
}

fn forward_masked(
    batch: ColumnarBatch,
    mask: BooleanBuffer,
    table: bool,
    context: &mut Context<'_>,
) -> Result<(), StreamsError> {
    if table {
        return context.forward(Box::new(batch.with_present(Some(mask))));
    }
    let mask = BooleanArray::new(mask, None);
    if !mask.has_true() {
        return Ok(());
    }
    context.forward(Box::new(batch.filter(&mask).map_err(failed)?.with_present(None)))
}
