//! SELECT: computes new columns, row by row.

use arrow::datatypes::SchemaRef;
use millstream_streams::{Batch, Context, Processor, RowsKept, StreamsError};

use super::{failed, report_row_errors, rows::null_where_absent};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
};

/// Computes columns; rows, times and keys stay.
pub(crate) struct ProjectProcessor {
    exprs: Vec<Bound>,
    /// Columns that are NULL where a row has no value.
    of_values: Vec<usize>,
    schema: SchemaRef,
    errors: RowErrors,
}

impl ProjectProcessor {
    /// An expression per field of `schema`.
    pub(crate) fn new(
        exprs: Vec<Bound>,
        of_values: Vec<usize>,
        schema: SchemaRef,
        errors: RowErrors,
    ) -> Self {
        Self { exprs, of_values, schema, errors }
    }

    fn project(&self, batch: ColumnarBatch) -> Result<ColumnarBatch, StreamsError> {
        let rows = batch.record_batch().map_err(failed)?;
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&rows)).collect::<Result<Vec<_>, _>>();
        let mut columns = columns.map_err(failed)?;
        for place in &self.of_values {
            let column = std::slice::from_ref(&columns[*place]);
            columns[*place] = null_where_absent(column, batch.present())?.swap_remove(0);
        }
        Ok(batch.with_columns(self.schema.clone(), columns))
    }
}

impl Processor for ProjectProcessor {
    fn rows_kept(&self) -> RowsKept {
        RowsKept::All
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut batch = ColumnarBatch::from_batch(batch);
        let old = batch.take_old();
        let batch = self.project(batch)?;
        report_row_errors(&self.errors, context);
        let old = old.map(|old| self.project(old)).transpose()?;
        // That the old row failed was said when it was new.
        self.errors.drain();
        context.forward(Box::new(batch.with_old(old)))
    }
}
