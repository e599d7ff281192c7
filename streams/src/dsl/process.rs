//! Processors that users write, record by record over the batches of the runtime.
//!
//! ```text
//! batch ─▶ Rows: Records<K, V> ─▶ process(Record, ProcessorContext) ─▶ forward(Record) ─▶ batch ─▶ children
//! ```
//! See [`RecordProcessor`], [`FixedKeyProcessor`] and [`ValueTransformer`]; [`context`](super::context) is what they
//! see of their task.

use std::marker::PhantomData;

use crate::batch::{Batch, downcast};
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::context::{FixedKeyContext, Forwarded, ProcessingContext, ProcessorContext};
use crate::dsl::record::{FixedKeyRecord, Record};
use crate::dsl::records::Records;
use crate::dsl::stream::KStream;
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::runtime::Punctuation;
use crate::store::{StoreHandle, StoreSpec, Timer};

/// A processor that takes records one by one and forwards any number of any kind: Kafka's `Processor`.
///
/// Unlike the closures of the DSL it sees all records, those without key or value too. Errors that it returns as
/// [`StreamsError::Failed`] are about the record and go to `processing.exception.handler`.
pub trait RecordProcessor<K, V>: Send + 'static {
    /// The keys that it forwards.
    type Key: Clone + Send + Sync + 'static;
    /// The values that it forwards.
    type Value: Clone + Send + Sync + 'static;

    /// Stores that the processor brings along, timers ([`StoreSpec::timers`]) among them; it is connected to them. A
    /// store that is there already by its name is shared.
    fn stores() -> Vec<StoreSpec>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// Called once, when the stores are restored and before the first record: the place to schedule punctuations.
    fn init(
        &mut self,
        _context: &mut ProcessorContext<'_, '_, Self::Key, Self::Value>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Takes one record.
    fn process(
        &mut self,
        record: Record<K, V>,
        context: &mut ProcessorContext<'_, '_, Self::Key, Self::Value>,
    ) -> Result<(), StreamsError>;

    /// Called when a punctuation is due, with the stream time or wall-clock time (ms) that it is now.
    fn punctuate(
        &mut self,
        _punctuation: Punctuation,
        _time: i64,
        _context: &mut ProcessorContext<'_, '_, Self::Key, Self::Value>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called when a timer is due, which is thereby removed.
    fn on_timer(
        &mut self,
        _timer: &Timer,
        _context: &mut ProcessorContext<'_, '_, Self::Key, Self::Value>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called once, when the task ends.
    fn close(&mut self) {}

    /// Whether records come with their offset, and with the stream time that was when they came. For that they go
    /// through the task one by one. A processor that asks for neither, and schedules nothing while it processes, says
    /// no and is faster: records then come in runs, and what is forwarded reaches the children behind the run.
    fn row_by_row(&self) -> bool {
        true
    }
}

/// A processor that cannot change keys, so that the stream need not be partitioned anew: Kafka's class of this name.
/// The methods are those of [`RecordProcessor`].
pub trait FixedKeyProcessor<K, V>: Send + 'static {
    /// The values that it forwards.
    type Value: Clone + Send + Sync + 'static;

    /// See [`RecordProcessor::stores`].
    fn stores() -> Vec<StoreSpec>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// See [`RecordProcessor::init`].
    fn init(&mut self, _context: &mut ProcessingContext<'_, '_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Takes one record.
    fn process(
        &mut self,
        record: FixedKeyRecord<K, V>,
        context: &mut FixedKeyContext<'_, '_, '_, K, Self::Value>,
    ) -> Result<(), StreamsError>;

    /// See [`RecordProcessor::punctuate`]. There is no record at hand, and so no key to forward to.
    fn punctuate(
        &mut self,
        _punctuation: Punctuation,
        _time: i64,
        _context: &mut ProcessingContext<'_, '_>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// See [`RecordProcessor::on_timer`]. There is no record at hand, and so no key to forward to.
    fn on_timer(
        &mut self,
        _timer: &Timer,
        _context: &mut ProcessingContext<'_, '_>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// See [`RecordProcessor::close`].
    fn close(&mut self) {}

    /// See [`RecordProcessor::row_by_row`].
    fn row_by_row(&self) -> bool {
        true
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Hands every row to a processor. `make` makes one per task; `stores` are the names of the stores that it uses
    /// beside its own, from [`StreamsBuilder::add_state_store`](crate::dsl::StreamsBuilder::add_state_store) or of
    /// operators.
    pub fn process<P: RecordProcessor<K, V>>(
        &self,
        make: impl Fn() -> P + Send + Sync + 'static,
        stores: &[&str],
    ) -> KStream<P::Key, P::Value> {
        let node = self.graph.node("KSTREAM-PROCESSOR-");
        let stores = connected(&self.graph, &node, P::stores(), stores);
        self.graph.processor(&node, &[&self.node], &stores, supplier(move || ByRecord::new(make())));
        KStream { graph: self.graph.clone(), node, rekeyed: true, keys: None, values: None }
    }

    /// Hands every row to a processor that keeps its key. See [`KStream::process`].
    pub fn process_values<P: FixedKeyProcessor<K, V>>(
        &self,
        make: impl Fn() -> P + Send + Sync + 'static,
        stores: &[&str],
    ) -> KStream<K, P::Value> {
        let node = self.graph.node("KSTREAM-PROCESSVALUES-");
        let stores = connected(&self.graph, &node, P::stores(), stores);
        let make = move || ByRecord::new(KeepsKeys(make()));
        self.graph.processor(&node, &[&self.node], &stores, supplier(make));
        let (graph, keys) = (self.graph.clone(), self.keys.clone());
        KStream { graph, node, rekeyed: self.rekeyed, keys, values: None }
    }
}

/// The stores of a processor: its own, which are added unless they are there, and others by their names.
pub(crate) fn connected(graph: &Graph, node: &str, own: Vec<StoreSpec>, names: &[&str]) -> Vec<StoreHandle> {
    let (handles, unknown) = graph.with(|topology| {
        let (mut handles, mut unknown) = (Vec::new(), None);
        for spec in own {
            let known = topology.store(spec.name());
            handles.push(known.unwrap_or_else(|| topology.add_store(spec)));
        }
        for name in names {
            match topology.store(name) {
                Some(handle) => handles.push(handle),
                None => unknown = unknown.or(Some(*name)),
            }
        }
        handles.sort_unstable_by_key(|handle| handle.0);
        handles.dedup();
        (handles, unknown)
    });
    if let Some(name) = unknown {
        graph.refuse(format!("node {node} asks for the store {name}, which was not added before"));
    }
    handles
}

/// A user's processor in the graph.
pub(crate) struct ByRecord<P, K, V, K2, V2> {
    processor: P,
    forwarded: Forwarded<K2, V2>,
    row_by_row: bool,
    of: PhantomData<fn(K, V)>,
}

impl<P: RecordProcessor<K, V>, K, V> ByRecord<P, K, V, P::Key, P::Value> {
    pub(crate) fn new(processor: P) -> Self {
        let row_by_row = processor.row_by_row();
        Self { processor, forwarded: Forwarded::new(row_by_row), row_by_row, of: PhantomData }
    }

    /// Calls the processor, and hands on what it forwarded.
    fn call(
        &mut self,
        context: &mut Context<'_>,
        call: impl FnOnce(&mut P, &mut ProcessorContext<'_, '_, P::Key, P::Value>) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        let task = ProcessingContext::new(context, None, self.row_by_row);
        call(&mut self.processor, &mut ProcessorContext::new(task, &mut self.forwarded))?;
        self.forwarded.hand_on(context)
    }
}

impl<P, K, V> Processor for ByRecord<P, K, V, P::Key, P::Value>
where
    P: RecordProcessor<K, V>,
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn row_by_row(&self) -> bool {
        self.row_by_row
    }

    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.call(context, P::init)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let Records { keys, values, timestamps, mut headers } = *downcast::<Records<K, V>>(batch)?;
        headers.resize(timestamps.len(), Vec::new());
        // What is left of a run that failed is of rows that are given up.
        self.forwarded.clear();
        let rows = keys.into_iter().zip(values).zip(timestamps.into_iter().zip(headers));
        for ((key, value), (timestamp, headers)) in rows {
            context.row_time = Some(timestamp);
            let task = ProcessingContext::new(context, Some(timestamp), self.row_by_row);
            let mut context = ProcessorContext::new(task, &mut self.forwarded);
            self.processor.process(Record { key, value, timestamp, headers }, &mut context)?;
        }
        context.row_time = None;
        self.forwarded.hand_on(context)
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        time: i64,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        self.call(context, |processor, context| processor.punctuate(punctuation, time, context))
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.call(context, |processor, context| processor.on_timer(timer, context))
    }

    fn close(&mut self) {
        self.processor.close();
    }
}

/// A processor of fixed keys as one that could change them.
pub(crate) struct KeepsKeys<P>(pub(crate) P);

impl<P, K, V> RecordProcessor<K, V> for KeepsKeys<P>
where
    P: FixedKeyProcessor<K, V>,
    K: Clone + Send + Sync + 'static,
{
    type Key = K;
    type Value = P::Value;

    fn init(&mut self, context: &mut ProcessorContext<'_, '_, K, P::Value>) -> Result<(), StreamsError> {
        self.0.init(context)
    }

    fn process(
        &mut self,
        record: Record<K, V>,
        context: &mut ProcessorContext<'_, '_, K, P::Value>,
    ) -> Result<(), StreamsError> {
        self.0.process(FixedKeyRecord::new(record), &mut FixedKeyContext::new(context))
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        time: i64,
        context: &mut ProcessorContext<'_, '_, K, P::Value>,
    ) -> Result<(), StreamsError> {
        self.0.punctuate(punctuation, time, context)
    }

    fn on_timer(
        &mut self,
        timer: &Timer,
        context: &mut ProcessorContext<'_, '_, K, P::Value>,
    ) -> Result<(), StreamsError> {
        self.0.on_timer(timer, context)
    }

    fn close(&mut self) {
        self.0.close();
    }

    fn row_by_row(&self) -> bool {
        self.0.row_by_row()
    }
}
