//! WHERE: rows of a stream for which the condition is not true vanish, rows of a table become deletes.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use millstream_streams::{Batch, Context, Processor, Reporter, RowsKept, StreamsError};

use super::{failed, reports::Computed};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors, select},
    plan::Filter,
};

/// Filters by a condition. Of a table's changes that come with the rows before them, those are left out that change
/// nothing for who only sees the rows that pass.
pub(crate) struct FilterProcessor {
    condition: Bound,
    /// As written.
    text: String,
    table: bool,
    errors: RowErrors,
}

impl FilterProcessor {
    /// A filter of a stream, or of a table's changes, whose condition is bound.
    pub(crate) fn new(condition: Bound, step: &Filter, errors: RowErrors) -> Self {
        Self { condition, text: step.text.clone(), table: step.table, errors }
    }

    /// Which rows are there and pass; `None` for all.
    fn passing(
        &self,
        batch: &ColumnarBatch,
        report: &mut dyn Reporter,
    ) -> Result<Option<BooleanBuffer>, StreamsError> {
        let rows = batch.record_batch().map_err(failed)?;
        let computed = Computed { rows: &rows, times: batch.timestamps(), errors: &self.errors };
        let what = || format!("Error evaluating predicate {}", self.text);
        let selected = select(&computed.value(&self.condition, what, report)?);
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
        let passing = self.passing(&batch, context)?;
        if let Some(old) = batch.take_old() {
            // That the old row failed was said when it was new.
            let before = self.passing(&old, &mut Vec::new())?;
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
