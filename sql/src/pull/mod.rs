//! Queries on what is there now: pull queries as ksqlDB knows them, and those that DataFusion plans.
//!
//! ```text
//! PullPlan ─▶ Readable ─▶ filter ─▶ project ─▶ limit
//!             └─ keys and windows from WHERE ─▶ Table (store) or Topic
//! at_rest  ─▶ DataFusion over Readables
//! ```

mod access;
mod at_rest;
mod latest;
mod provider;
mod stored;
mod topic;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    compute,
    datatypes::{Field, Schema},
};
use datafusion::{error::DataFusionError, logical_expr::utils::split_conjunction};

pub(crate) use access::Access;
pub(crate) use at_rest::{AtRest, Sources, Until};
pub(crate) use latest::Latest;
pub(crate) use provider::{Readable, Rows};
pub(crate) use stored::{Stored, StoredTable};
pub(crate) use topic::{Topic, path as topic_path};

use crate::{
    analysis::PullPlan,
    error::SqlError,
    expression::{Bound, bind, bind_condition},
    plan::layout,
    result::ResultSet,
};

/// Runs a pull query over `readable` to its end.
pub(crate) fn run(plan: &PullPlan, readable: &Readable) -> Result<ResultSet, SqlError> {
    let access = Access::of(plan.filter.iter().flat_map(split_conjunction));
    let layout_read = &plan.source.schema;
    let filter = plan.filter.as_ref().filter(|_| !readable.satisfies(&access));
    let filter = filter.map(|filter| bind_condition(filter, layout_read)).transpose()?;
    let exprs: Vec<Bound> =
        plan.exprs.iter().map(|expr| bind(expr, layout_read)).collect::<Result<_, _>>()?;
    let fields = layout(&plan.columns)
        .fields()
        .iter()
        .zip(&plan.keys)
        .map(|(field, key)| match key {
            true => ResultSet::key_column(field),
            false => Field::clone(field),
        })
        .collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let mut left = plan.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let answer = |mut batch: RecordBatch, left: &mut usize| -> Result<RecordBatch, SqlError> {
        if let Some(filter) = &filter {
            let wanted = filter.evaluate(&batch)?;
            batch = compute::filter_record_batch(&batch, wanted.as_boolean())?;
        }
        batch = batch.slice(0, batch.num_rows().min(*left));
        *left -= batch.num_rows();
        let columns = exprs.iter().zip(schema.fields());
        let columns = columns.map(|(expr, field)| -> Result<ArrayRef, SqlError> {
            Ok(compute::cast(&expr.evaluate(&batch)?, field.data_type())?)
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    };
    let mut batches = Ok(Vec::new());
    if left > 0 {
        readable.read(&access, &mut |batch| {
            let Ok(answered) = &mut batches else { return false };
            match answer(batch, &mut left) {
                Ok(batch) if batch.num_rows() == 0 => {}
                Ok(batch) => answered.push(batch),
                Err(error) => batches = Err(error),
            }
            left > 0 && batches.is_ok()
        })?;
    }
    if let Some((rows, messages)) = plan.errors.drain() {
        tracing::warn!(rows, "expressions of a pull query failed: {}", messages.join("; "));
    }
    Ok(ResultSet { schema: schema.clone(), batches: batches?, rows_read: readable.rows_read() })
}

/// What went wrong underneath, without DataFusion's wrapping.
fn root(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => SqlError::failed("run the pull query", inner),
        other => SqlError::failed("run the pull query", other),
    }
}
