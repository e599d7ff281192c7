//! A table or stream as DataFusion reads it.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchReceiverStream,
        streaming::{PartitionStream, StreamingTableExec},
    },
};

use super::Access;
use crate::error::SqlError;

/// Batches read ahead of what is asked for.
const READ_AHEAD: usize = 2;

/// What can be read: hands its rows, as far as `access` wants them, to `each` until that says stop.
pub(crate) trait Rows: Send + Sync {
    /// Reads.
    fn read(&self, access: &Access, each: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), SqlError>;

    /// Whether every row that it hands over is one that `access` wants.
    fn satisfies(&self, _access: &Access) -> bool {
        false
    }

    /// How it would read, for people.
    fn path(&self, access: &Access) -> String;
}

/// Rows with their layout.
#[derive(Clone)]
pub(crate) struct Readable {
    rows: Arc<dyn Rows>,
    schema: SchemaRef,
    rows_read: Arc<AtomicU64>,
}

impl Readable {
    /// Rows of that layout.
    pub(crate) fn new(rows: Arc<dyn Rows>, schema: SchemaRef) -> Self {
        Self { rows, schema, rows_read: Arc::default() }
    }

    /// How many rows were read until now, through this and its clones.
    pub(crate) fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Hands the rows, as far as `access` wants them, to `each` until that says stop.
    pub(crate) fn read(
        &self,
        access: &Access,
        each: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), SqlError> {
        self.rows.read(access, &mut |batch| {
            self.rows_read.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            each(batch)
        })
    }

    /// Whether every row that is read is one that `access` wants.
    pub(crate) fn satisfies(&self, access: &Access) -> bool {
        self.rows.satisfies(access)
    }

    /// How rows are found that `access` wants.
    pub(crate) fn path(&self, access: &Access) -> String {
        self.rows.path(access)
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

type Planning<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for Readable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let help = |filter: &&Expr| match Access::of([*filter]).is_empty() {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(help).collect())
    }

    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> Planning<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        let part: Arc<dyn PartitionStream> =
            Arc::new(Part { readable: self.clone(), access: Access::of(filters) });
        // What is pushed down only narrows the scan, so a limit may not be applied to it.
        let limit = limit.filter(|_| filters.is_empty());
        let plan = StreamingTableExec::try_new(self.schema.clone(), vec![part], projection, [], false, limit);
        Box::pin(std::future::ready(plan.map(|plan| Arc::new(plan) as Arc<dyn ExecutionPlan>)))
    }
}

struct Part {
    readable: Readable,
    access: Access,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("access", &self.access).finish_non_exhaustive()
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.readable.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(self.readable.schema.clone(), READ_AHEAD);
        let (readable, access, out) = (self.readable.clone(), self.access.clone(), stream.tx());
        stream.spawn_blocking(move || {
            let read = readable.read(&access, &mut |batch| out.blocking_send(Ok(batch)).is_ok());
            read.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        stream.build()
    }
}
