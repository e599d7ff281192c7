//! Expressions bound to the columns of a batch.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    datatypes::SchemaRef,
};
use datafusion::{
    common::DFSchema,
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, execution_props::ExecutionProps,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, create_physical_expr},
};

use super::comparison::false_for_null;
use crate::columnar::ColumnarBatch;

/// An expression that knows where its columns are. One per task.
#[derive(Clone, Debug)]
pub(crate) struct Bound(Arc<dyn PhysicalExpr>);

/// Finds the columns of `expr` in `schema`, by their unique names.
pub(crate) fn bind(expr: &Expr, schema: &SchemaRef) -> Result<Bound> {
    let schema = DFSchema::try_from(schema.as_ref().clone())?;
    let context = PhysicalPlanningContext::default();
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &context).map(Bound)
}

impl Bound {
    /// The value of each row.
    pub(crate) fn evaluate(&self, batch: &arrow::array::RecordBatch) -> Result<ArrayRef> {
        self.0.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// Whether each row is true; NULL is not. `None` if all are.
    pub(crate) fn select(&self, batch: &ColumnarBatch) -> Result<Option<BooleanArray>> {
        let rows = millstream_streams::Batch::rows(batch);
        let outcome = match self.0.evaluate(&batch.record_batch()?)? {
            ColumnarValue::Array(array) => false_for_null(array.as_boolean()),
            scalar => false_for_null(scalar.into_array(rows)?.as_boolean()),
        };
        Ok((outcome.true_count() < outcome.len()).then_some(outcome))
    }
}
