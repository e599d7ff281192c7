//! Pull queries: DataFusion over state stores and topics, on what is there now.
//!
//! ```text
//! PullPlan ─▶ DataFusion: scan ─▶ filter ─▶ project ─▶ limit
//!                          └─ Readable (TableProvider): keys and windows from WHERE ─▶ Table (store) or Topic
//! ```

mod access;
mod at_rest;
mod guard;
mod latest;
mod provider;
mod stored;
mod topic;

use std::sync::{Arc, OnceLock};

use arrow::{array::RecordBatch, compute};
use datafusion::{
    datasource::{TableProvider, provider_as_source},
    error::DataFusionError,
    logical_expr::LogicalPlanBuilder,
    prelude::{SessionConfig, SessionContext},
};

pub(crate) use access::Access;
pub(crate) use at_rest::{AtRest, Sources, Until};
pub(crate) use latest::Latest;
pub(crate) use provider::{Readable, Rows};
pub(crate) use stored::{Stored, StoredTable};
pub(crate) use topic::{Topic, path as topic_path};

use self::guard::{guarded, guarded_condition};
use crate::{analysis::PullPlan, error::SqlError, plan::layout, result::ResultSet};

/// DataFusion, started when the first pull query comes.
#[derive(Default)]
pub(crate) struct Runner {
    context: OnceLock<SessionContext>,
}

impl Runner {
    /// Runs a pull query over `readable` to its end.
    pub(crate) fn run(&self, plan: &PullPlan, readable: Readable) -> Result<ResultSet, SqlError> {
        let context = self.context.get_or_init(|| {
            // One thread reads; several would only disturb the order of the rows.
            SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1))
        });
        let schema = layout(&plan.columns);
        let read = readable.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| SqlError::failed("start the pull query", error))?;
        let batches = runtime.block_on(Self::collect(context, plan, readable));
        if let Some((rows, messages)) = plan.errors.drain() {
            tracing::warn!(rows, "expressions of a pull query failed: {}", messages.join("; "));
        }
        let named = |batch: RecordBatch| -> Result<RecordBatch, SqlError> {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| compute::cast(column, field.data_type()));
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = columns.collect::<Result<_, _>>()?;
            Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
        };
        let batches = batches.map_err(root)?.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(ResultSet { schema, batches, rows_read: read.rows_read() })
    }

    async fn collect(
        context: &SessionContext,
        plan: &PullPlan,
        readable: Readable,
    ) -> Result<Vec<RecordBatch>, DataFusionError> {
        let rows = readable.schema();
        let mut builder = LogicalPlanBuilder::scan("source", provider_as_source(Arc::new(readable)), None)?;
        if let Some(filter) = &plan.filter {
            // As written it tells what to read; the other one drops the rows that fail under a NOT or an OR.
            builder = builder.filter(filter.clone())?.filter(guarded_condition(filter, &rows)?)?;
        }
        let named = plan
            .exprs
            .iter()
            .zip(&plan.columns)
            .map(|(expr, column)| Ok(guarded(expr, &rows)?.alias(&column.name)))
            .collect::<Result<Vec<_>, DataFusionError>>()?;
        builder = builder.project(named)?;
        if let Some(limit) = plan.limit {
            builder = builder.limit(0, Some(usize::try_from(limit).unwrap_or(usize::MAX)))?;
        }
        context.execute_logical_plan(builder.build()?).await?.collect().await
    }
}

/// What went wrong underneath, without DataFusion's wrapping.
fn root(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => SqlError::failed("run the pull query", inner),
        other => SqlError::failed("run the pull query", other),
    }
}
