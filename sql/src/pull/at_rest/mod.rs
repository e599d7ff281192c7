//! Queries over data at rest that the dialect of queries that run for ever cannot say: joins, GROUP BY, ORDER BY, CTEs,
//! subqueries, OVER, and sources as they were (`AS OF`). DataFusion plans them; streams are their topics, tables their
//! state.
//!
//! ```text
//! text ─▶ rewrite ─▶ DataFusion's parser ─▶ names of sources ─▶ a Readable for each ─▶ DataFusion
//! ```
//! Pseudo columns are there where the text names them, so that `*` means the declared columns.

mod functions;
mod text;

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute,
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use datafusion::{
    common::TableReference,
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::DataFusionError,
    execution::SessionState,
    logical_expr::LogicalPlan,
    physical_plan::displayable,
    prelude::{SessionConfig, SessionContext},
};

use super::{Access, Readable, root};
use crate::{
    ast::Ident, catalogue::Source, error::SqlError, expression::RowErrors, function::FunctionRegistry,
    result::ResultSet,
};

pub(crate) use text::Until;

/// What a query over data at rest asks of the engine.
pub(crate) trait Sources {
    /// The source of that name.
    fn source(&self, name: &Ident) -> Result<Arc<Source>, SqlError>;

    /// Its rows up to `until`, with the pseudo columns that are `wanted`.
    fn readable(
        &self,
        source: &Arc<Source>,
        until: Until,
        wanted: &dyn Fn(&str) -> bool,
        errors: &RowErrors,
    ) -> Result<Readable, SqlError>;
}

/// A query that was planned.
pub(crate) struct AtRest {
    state: SessionState,
    plan: LogicalPlan,
    /// The sources that the plan reads, by the names that it has for them.
    sources: Vec<(String, Arc<Source>, Readable)>,
    errors: RowErrors,
}

/// Names of functions in lower case, ours and DataFusion's.
fn names(context: &SessionContext) -> BTreeSet<String> {
    let state = context.state();
    let scalar = state.scalar_functions().keys();
    scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys()).cloned().collect()
}

impl AtRest {
    /// Plans a query. `time` reads a point in time.
    pub(crate) fn plan(
        text: &str,
        sources: &dyn Sources,
        functions: &FunctionRegistry,
        time: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Self, SqlError> {
        let mut config = SessionConfig::new().with_target_partitions(1);
        let parser = &mut config.options_mut().sql_parser;
        parser.enable_ident_normalization = false;
        parser.map_string_types_to_utf8view = false;
        let context = SessionContext::new_with_config(config);
        let errors = RowErrors::default();
        for function in functions::all(functions, &errors) {
            context.register_udf(function);
        }
        let rewritten = text::rewrite(text, &names(&context), time)?;
        let state = context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(&rewritten.sql, &dialect).map_err(refused)?;
        let references = state.resolve_table_references(&statement).map_err(refused)?;
        let mut read = Vec::new();
        for reference in references {
            let name = reference.table().to_owned();
            let version = rewritten.versions.iter().find(|version| version.name == name);
            let (ident, until) = match version {
                Some(version) => (version.source.clone(), version.until),
                None => (rewritten.ident(&name), Until::Now),
            };
            let source = sources.source(&ident)?;
            let wanted = |column: &str| rewritten.mentions(column);
            let readable = sources.readable(&source, until, &wanted, &errors)?;
            let registered =
                context.register_table(TableReference::bare(name.clone()), Arc::new(readable.clone()));
            registered.map_err(refused)?;
            read.push((name, source, readable));
        }
        let state = context.state();
        // Planning waits for nothing, so any runtime does.
        let plan = runtime()?.block_on(state.statement_to_plan(statement)).map_err(refused)?;
        if !matches!(
            &plan,
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Statement(_) | LogicalPlan::Copy(_)
        ) {
            return Ok(Self { state, plan, sources: read, errors });
        }
        Err(SqlError::invalid("only queries can be run over data at rest"))
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Result<ResultSet, SqlError> {
        let context = SessionContext::new_with_state(self.state);
        let collect = async {
            let frame = context.execute_logical_plan(self.plan).await?;
            let schema = frame.schema().as_arrow().clone();
            Ok((schema, frame.collect().await?))
        };
        let (schema, batches) = runtime()?.block_on(collect).map_err(root)?;
        if let Some((rows, messages)) = self.errors.drain() {
            tracing::warn!(rows, "expressions of a query failed: {}", messages.join("; "));
        }
        let fields: Vec<Field> = (schema.fields().iter())
            .map(|field| Field::new(field.name(), plain(field.data_type()), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let fit = |batch: RecordBatch| -> Result<RecordBatch, SqlError> {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| compute::cast(column, field.data_type()));
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = columns.collect::<Result<_, _>>()?;
            Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
        };
        let batches = batches.into_iter().map(fit).collect::<Result<_, _>>()?;
        let rows_read = self.sources.iter().map(|(_, _, readable)| readable.rows_read()).sum();
        Ok(ResultSet { schema, batches, rows_read })
    }

    /// The plan for people: DataFusion's, and how every source is read.
    pub(crate) fn explain(&self) -> Result<String, SqlError> {
        let optimized = self.state.optimize(&self.plan).map_err(refused)?;
        let physical = runtime()?.block_on(self.state.create_physical_plan(&optimized)).map_err(refused)?;
        let mut text = displayable(physical.as_ref()).indent(false).to_string();
        let mut lines = Vec::new();
        let walked = optimized.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some((_, source, readable)) =
                    self.sources.iter().find(|(name, ..)| name == scan.table_name.table())
            {
                let access = Access::of(&scan.filters);
                lines.push(format!("{}: {}\n", source.name, readable.path(&access)));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_err(refused)?;
        lines.iter().for_each(|line| text.push_str(line));
        Ok(text)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|error| SqlError::failed("start the query", error))
}

/// The query is wrong.
fn refused(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
            Ok(inner) => *inner,
            Err(inner) => SqlError::invalid(inner.to_string()),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => refused(*inner),
        other => SqlError::invalid(other.strip_backtrace()),
    }
}

/// The type in which our results hold values of another.
fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Dictionary(_, value) => plain(value),
        DataType::Null => DataType::Utf8,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new("item", plain(item.data_type()), true)))
        }
        other => other.clone(),
    }
}
