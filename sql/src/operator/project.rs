//! SELECT: computes new columns, row by row.

use arrow::datatypes::SchemaRef;
use millstream_streams::{Batch, Context, Processor, Reporter, RowsKept, StreamsError};

use super::{
    failed,
    reports::{Computed, report_row_errors},
    rows::null_where_absent,
};
use crate::{
    columnar::ColumnarBatch,
    expression::{Bound, RowErrors},
    plan::Project,
};

/// Computes columns; rows, times and keys stay.
pub(crate) struct ProjectProcessor {
    exprs: Vec<Bound>,
    /// Each as written.
    texts: Vec<String>,
    /// Columns that are NULL where a row has no value.
    of_values: Vec<usize>,
    schema: SchemaRef,
    errors: RowErrors,
}

impl ProjectProcessor {
    /// A projection whose expressions are bound.
    pub(crate) fn new(exprs: Vec<Bound>, step: &Project, errors: RowErrors) -> Self {
        let (texts, of_values, schema) = (step.texts.clone(), step.of_values.clone(), step.schema.clone());
        Self { exprs, texts, of_values, schema, errors }
    }

    fn project(
        &self,
        batch: ColumnarBatch,
        report: &mut dyn Reporter,
    ) -> Result<ColumnarBatch, StreamsError> {
        let rows = batch.record_batch().map_err(failed)?;
        let computed = Computed { rows: &rows, times: batch.timestamps(), errors: &self.errors };
        let mut columns = Vec::with_capacity(self.exprs.len());
        for (place, (expr, text)) in self.exprs.iter().zip(&self.texts).enumerate() {
            let what = || {
                let column = self.schema.field(place).name();
                format!("Error computing expression {text} for column {column} with index {place}")
            };
            columns.push(computed.value(expr, what, report)?);
        }
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
        // Of HAVING, which has nobody to tell.
        report_row_errors(&self.errors, context);
        let batch = self.project(batch, context)?;
        // That the old row failed was said when it was new.
        let old = old.map(|old| self.project(old, &mut Vec::new())).transpose()?;
        context.forward(Box::new(batch.with_old(old)))
    }
}
