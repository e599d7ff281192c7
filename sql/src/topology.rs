//! From a plan to a topology of columnar processors.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use millstream_streams::{
    Decoder, Encoder, Processor, SourceOptions, StoreHandle, StoreSpec, Topology, TopologyBuilder,
    operator::{AggregateProcessor, JoinProcessor, MissingKey, TableProcessor, TimeWindows},
};

use crate::{
    ast::JoinKind,
    catalogue::Source,
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{bind, bind_condition},
    operator::{
        aggregate::{AggregateArena, ColumnarAggregator},
        collect::CollectProcessor,
        filter::FilterProcessor,
        join::ColumnarJoiner,
        project::ProjectProcessor,
        rekey::RekeyEncoder,
        sink::SinkEncoder,
        source::SourceDecoder,
        table::{ColumnarTable, RowArena},
    },
    plan::{Aggregate, Plan, Rekey, RowTime, SourceStep, Step, TableJoin, Window},
};

/// Where the rows of a query go.
pub(crate) enum Destination<'a> {
    /// To the topic of a stream or table.
    Sink {
        /// The stream or table.
        sink: &'a Arc<Source>,
        /// The column that becomes the records' time.
        time: Option<RowTime>,
    },
    /// To a client.
    Client(SyncSender<ColumnarBatch>),
    /// No further than the last store.
    Nowhere,
}

/// Builds the topology of a plan.
pub(crate) fn build(plan: &Plan, destination: Destination<'_>) -> Result<Topology, SqlError> {
    let mut assembly = Assembly { plan, builder: TopologyBuilder::new(), last: String::new() };
    assembly.last = assembly.source(&plan.source, "Source")?;
    let mut layout = plan.source.schema.clone();
    for (number, step) in plan.steps.iter().enumerate() {
        layout = assembly.step(number, step, &layout)?;
    }
    assembly.end(destination)?;
    assembly.builder.build().map_err(|error| SqlError::failed("build the topology", error))
}

struct Assembly<'a> {
    plan: &'a Plan,
    builder: TopologyBuilder,
    /// The node that the next one follows.
    last: String,
}

/// A node's parts are made once here, so that what is wrong with them shows before the query starts, and again per task.
fn prepared<T: 'static, E: std::error::Error + Send + Sync + 'static>(
    make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
) -> Result<impl Fn() -> T + Send + Sync + 'static, SqlError> {
    make().map_err(|error| SqlError::failed("prepare the query", error))?;
    Ok(move || make().unwrap_or_else(|error| unreachable!("it was made before: {error}")))
}

impl Assembly<'_> {
    fn source(&mut self, step: &SourceStep, prefix: &str) -> Result<String, SqlError> {
        let name = format!("{prefix}-{}", step.source.name);
        let decoder = self.decoder(step)?;
        let topic = step.source.topic.as_str();
        self.builder.add_source(&name, [topic], decoder, SourceOptions::default());
        Ok(name)
    }

    fn decoder(
        &self,
        step: &SourceStep,
    ) -> Result<Arc<dyn Fn() -> Box<dyn Decoder> + Send + Sync>, SqlError> {
        let (step, errors) = (step.clone(), self.plan.errors.clone());
        let make = prepared(move || SourceDecoder::new(&step, &errors))?;
        Ok(Arc::new(move || Box::new(make()) as Box<dyn Decoder>))
    }

    fn processor<P: Processor + 'static>(
        &mut self,
        name: String,
        make: impl Fn() -> P + Send + Sync + 'static,
        stores: &[StoreHandle],
    ) {
        let supplier = Arc::new(move || Box::new(make()) as Box<dyn Processor>);
        self.builder.add_processor(&name, supplier, &[self.last.as_str()], stores);
        self.last = name;
    }

    /// Adds a step below the last node; returns the layout of what leaves it.
    fn step(&mut self, number: usize, step: &Step, input: &SchemaRef) -> Result<SchemaRef, SqlError> {
        let errors = self.plan.errors.clone();
        match step {
            Step::Filter(filter) => {
                let (condition, table) = (bind_condition(&filter.condition, input)?, filter.table);
                let make = move || FilterProcessor::new(condition.clone(), table, errors.clone());
                self.processor(format!("Filter-{number}"), make, &[]);
                Ok(input.clone())
            }
            Step::Project(project) => {
                let exprs: Vec<_> =
                    project.exprs.iter().map(|expr| bind(expr, input)).collect::<Result<_, _>>()?;
                let schema = project.schema.clone();
                let make = move || ProjectProcessor::new(exprs.clone(), schema.clone(), errors.clone());
                self.processor(format!("Project-{number}"), make, &[]);
                Ok(project.schema.clone())
            }
            Step::Rekey(rekey) => self.rekey(rekey, input),
            Step::Join(join) => self.join(join, input),
            Step::Aggregate(aggregate) => self.aggregate(aggregate, input),
            Step::Materialize(materialize) => {
                let store =
                    self.builder.add_store(StoreSpec::key_value(&materialize.store, RowArena::default));
                let (step, layout) = (materialize.clone(), input.clone());
                let make = prepared(move || ColumnarTable::materialized(&step, &layout))?;
                let make = move || TableProcessor::new(make(), store);
                self.processor(materialize.store.clone(), make, &[store]);
                Ok(input.clone())
            }
        }
    }

    fn rekey(&mut self, rekey: &Rekey, input: &SchemaRef) -> Result<SchemaRef, SqlError> {
        let (step, layout, errors) = (rekey.clone(), input.clone(), self.plan.errors.clone());
        let make = prepared(move || RekeyEncoder::new(&step, &layout, &errors))?;
        let encoder = Arc::new(move || Box::new(make()) as Box<dyn Encoder>);
        let decoder = self.decoder(&rekey.read)?;
        self.last = self.builder.add_repartition(&rekey.name, None, encoder, decoder, &[self.last.as_str()]);
        Ok(rekey.read.schema.clone())
    }

    fn join(&mut self, join: &TableJoin, input: &SchemaRef) -> Result<SchemaRef, SqlError> {
        let store = self.builder.add_store(StoreSpec::key_value(&join.store, RowArena::default));
        let table = self.source(&join.table, "Table")?;
        let value_bytes = join.table.origins.len() - 1;
        let make = move || {
            let table = TableProcessor::new(ColumnarTable::for_join(value_bytes), store);
            Box::new(table) as Box<dyn Processor>
        };
        self.builder.add_processor(&join.store, Arc::new(make), &[table.as_str()], &[store]);
        self.builder.copartition(&[self.last.as_str(), table.as_str()]);
        let missing_key = if join.kind == JoinKind::Left { MissingKey::Keep } else { MissingKey::Drop };
        let (step, layout) = (join.clone(), input.clone());
        let make = prepared(move || ColumnarJoiner::new(&step, &layout))?;
        let make = move || JoinProcessor::new(make(), store, missing_key);
        self.processor(format!("Join-{}", join.table.source.name), make, &[store]);
        Ok(join.schema.clone())
    }

    fn aggregate(&mut self, aggregate: &Aggregate, input: &SchemaRef) -> Result<SchemaRef, SqlError> {
        let functions: Vec<_> = aggregate.calls.iter().map(|call| call.function.clone()).collect();
        let having = aggregate.having.is_some();
        let arena = prepared(move || AggregateArena::new(&functions, having))?;
        let spec = match aggregate.window {
            None => StoreSpec::key_value(&aggregate.store, arena),
            Some(window) => StoreSpec::window(
                &aggregate.store,
                millis(window.size_ms),
                millis(window.retention_ms),
                arena,
            ),
        };
        let store = self.builder.add_store(spec);
        let (step, layout, errors) = (aggregate.clone(), input.clone(), self.plan.errors.clone());
        let make = prepared(move || ColumnarAggregator::new(&step, &layout, &errors))?;
        let windows = aggregate.window.map(time_windows);
        let make = move || AggregateProcessor::new(make(), store, windows);
        self.processor(aggregate.store.clone(), make, &[store]);
        Ok(aggregate.schema.clone())
    }

    fn end(&mut self, destination: Destination<'_>) -> Result<(), SqlError> {
        match destination {
            Destination::Nowhere => {}
            Destination::Client(client) => {
                let make = move || CollectProcessor::new(client.clone());
                self.processor("Client".to_owned(), make, &[]);
            }
            Destination::Sink { sink, time } => {
                let (target, carried) = (sink.clone(), self.plan.output.key_bytes);
                let errors = self.plan.errors.clone();
                let make = prepared(move || SinkEncoder::new(&target, carried, time.as_ref(), &errors))?;
                let encoder = Arc::new(move || Box::new(make()) as Box<dyn Encoder>);
                let name = format!("Sink-{}", sink.name);
                self.builder.add_sink(&name, &sink.topic, encoder, &[self.last.as_str()]);
            }
        }
        Ok(())
    }
}

fn time_windows(window: Window) -> TimeWindows {
    TimeWindows::of(millis(window.size_ms))
        .advance_by(millis(window.advance_ms))
        .grace(millis(window.grace_ms))
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}
