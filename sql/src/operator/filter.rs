//! WHERE: rows of a stream for which the condition is not true vanish, rows of a table become deletes.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use millstream_streams::{Batch, Context, Processor, RowsKept, StreamsError};

use super::{failed, report_row_errors};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
};

/// Filters by a condition. Of a table's changes that come with the rows before them, those are left out that change
/// nothing for who only sees the rows that pass.
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

    /// Which rows are there and pass; `None` for all.
    fn passing(&self, batch: &ColumnarBatch) -> Result<Option<BooleanBuffer>, StreamsError> {
        let selected = self.condition.select(batch).map_err(failed)?;
        Ok(match (selected, batch.present()) {
            (None, None) => None,
            (Some(selected), None) => Some(selected.values().clone()),
            (None, Some(present)) => Some(present.clone()),
            (Some(selected), Some(present)) => Some(selected.values() & present),
        })
    }
}

impl Processor for FilterProcessor {
    fn rows_kept(&self) -> RowsKept {
        RowsKept::Some
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut batch = ColumnarBatch::from_batch(batch);
        let passing = self.passing(&batch)?;
        report_row_errors(&self.errors, context);
        if let Some(old) = batch.take_old() {
            let before = self.passing(&old)?;
            // That the old row failed was said when it was new.
            self.errors.drain();
            let relevant = match (&passing, &before) {
                (Some(now), Some(before)) => Some(now | before),
                _ => None,
            };
            let batch = batch.with_present(passing).with_old(Some(old.with_present(before)));
            return match relevant.filter(|relevant| relevant.count_set_bits() < relevant.len()) {
                None => context.forward(Box::new(batch)),
                Some(relevant) => forward_rows(&batch, relevant, context),
            };
        }
        match passing {
            None => context.forward(Box::new(batch)),
            Some(mask) if self.table => context.forward(Box::new(batch.with_present(Some(mask)))),
            Some(mask) => forward_rows(&batch.with_present(None), mask, context),
        }
    }
}

fn forward_rows(
    batch: &ColumnarBatch,
    mask: BooleanBuffer,
    context: &mut Context<'_>,
) -> Result<(), StreamsError> {
    let mask = BooleanArray::new(mask, None);
    if !mask.has_true() {
        return Ok(());
    }
    context.forward(Box::new(batch.filter(&mask).map_err(failed)?))
}
