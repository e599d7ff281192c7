//! SELECT: computes new columns, row by row.

use arrow::datatypes::SchemaRef;
use millstream_streams::{Batch, Context, Processor, StreamsError};

use super::{failed, report_row_errors};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
};

/// Computes columns; rows, times and keys stay.
pub(crate) struct ProjectProcessor {
    exprs: Vec<Bound>,
    schema: SchemaRef,
    errors: RowErrors,
}

impl ProjectProcessor {
    /// An expression per field of `schema`.
    pub(crate) fn new(exprs: Vec<Bound>, schema: SchemaRef, errors: RowErrors) -> Self {
        Self { exprs, schema, errors }
    }
}

impl Processor for ProjectProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        let rows = batch.record_batch().map_err(failed)?;
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&rows)).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(failed)?;
        report_row_errors(&self.errors, context);
        context.forward(Box::new(batch.with_columns(self.schema.clone(), columns)))
    }
}
