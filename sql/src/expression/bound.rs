//! Expressions bound to the columns of a batch.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, new_null_array},
    buffer::BooleanBuffer,
    compute::concat,
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    common::DFSchema,
    error::Result,
    logical_expr::{
        Expr, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, create_physical_expr, expressions::Column as PhysicalColumn},
};

use super::{
    comparison::false_for_null,
    operation::{quiet_condition, quiet_value},
    row_errors::Evaluation,
};

/// An expression that knows where its columns are. One per task.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    expr: Arc<dyn PhysicalExpr>,
    result: DataType,
}

/// Finds the columns of `expr` in `schema`, by their unique names.
pub(crate) fn bind(expr: &Expr, schema: &SchemaRef) -> Result<Bound> {
    Bound::new(quiet_value(expr.clone()), schema)
}

/// As [`bind`], for an expression within another one: all that fails on NULL makes the other one fail.
pub(super) fn bind_part(expr: &Expr, schema: &SchemaRef) -> Result<Bound> {
    Bound::new(expr.clone(), schema)
}

/// As [`bind`], for a condition of which only matters whether it is true.
pub(crate) fn bind_condition(expr: &Expr, schema: &SchemaRef) -> Result<Bound> {
    Bound::new(quiet_condition(expr.clone()), schema)
}

impl Bound {
    fn new(expr: Expr, schema: &SchemaRef) -> Result<Self> {
        if let Expr::Column(column) = &expr {
            let place = schema.index_of(&column.name)?;
            let result = schema.field(place).data_type().clone();
            return Ok(Self { expr: Arc::new(PhysicalColumn::new(&column.name, place)), result });
        }
        let names = DFSchema::try_from(schema.as_ref().clone())?;
        let context = PhysicalPlanningContext::default();
        let expr = create_physical_expr(&expr, &names, &ExecutionProps::new(), &context)?;
        let result = expr.data_type(schema)?;
        Ok(Self { expr, result })
    }

    /// The value of each row; NULL for rows that fail.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.evaluate_marked(batch).map(|(values, _)| values)
    }

    /// The value of each row, and which rows failed as a whole, if any did. Those are NULL and reported.
    pub(crate) fn evaluate_marked(&self, batch: &RecordBatch) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let rows = batch.num_rows();
        let evaluation = Evaluation::begin();
        let values = self.expr.evaluate(batch)?.into_array(rows)?;
        if !evaluation.failed() || rows == 0 {
            return Ok((values, None));
        }
        if rows == 1 {
            return Ok((new_null_array(&self.result, 1), Some(BooleanBuffer::new_set(1))));
        }
        // The parts report in its place, when they are done.
        evaluation.discard();
        let half = rows / 2;
        let (first, failed_first) = self.evaluate_marked(&batch.slice(0, half))?;
        let (second, failed_second) = self.evaluate_marked(&batch.slice(half, rows - half))?;
        let mut failed = BooleanBufferBuilder::new(rows);
        for (marks, count) in [(failed_first, half), (failed_second, rows - half)] {
            match marks {
                Some(marks) => failed.append_buffer(&marks),
                None => failed.append_n(count, false),
            }
        }
        Ok((concat(&[&first, &second])?, Some(failed.finish()).filter(|failed| failed.count_set_bits() > 0)))
    }
}

/// Which values of a condition are true; NULL is not. `None` if all are.
pub(crate) fn select(outcome: &ArrayRef) -> Option<BooleanArray> {
    let outcome = false_for_null(outcome.as_boolean());
    (outcome.true_count() < outcome.len()).then_some(outcome)
}
