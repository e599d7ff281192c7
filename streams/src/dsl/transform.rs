//! Tables whose values a stateful transformer makes.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::batch::{Batch, downcast};
use crate::dsl::changes::Changes;
use crate::dsl::context::ProcessingContext;
use crate::dsl::params::Materialized;
use crate::dsl::process::connected;
use crate::dsl::table::KTable;
use crate::dsl::table_rows::{TableState, changes_node};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};
use crate::runtime::Punctuation;
use crate::serde::DefaultSerde;
use crate::store::{StoreSpec, Timer};

/// Makes the values of a table from those of another, with stores of its own: Kafka's `ValueTransformerWithKey`.
///
/// It is called once for every change, for deletions too. What it makes of a value may depend on its stores, so a table
/// of which old values are needed is kept, and they are taken from there.
pub trait ValueTransformer<K, V>: Send + 'static {
    /// The values that it makes.
    type Value: DefaultSerde;

    /// Stores that the transformer brings along, timers ([`StoreSpec::timers`]) among them; it is connected to them. A
    /// store that is there already by its name is shared.
    fn stores() -> Vec<StoreSpec>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// Called once, when the stores are restored and before the first change.
    fn init(&mut self, _context: &mut ProcessingContext<'_, '_>) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Makes the new value of a key from its new value in the table above, none for a deletion.
    fn transform(
        &mut self,
        key: &K,
        value: Option<&V>,
        context: &mut ProcessingContext<'_, '_>,
    ) -> Result<Option<Self::Value>, StreamsError>;

    /// Called when a punctuation is due, with the stream time or wall-clock time (ms) that it is now.
    fn punctuate(
        &mut self,
        _punctuation: Punctuation,
        _time: i64,
        _context: &mut ProcessingContext<'_, '_>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called when a timer is due, which is thereby removed.
    fn on_timer(
        &mut self,
        _timer: &Timer,
        _context: &mut ProcessingContext<'_, '_>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Called once, when the task ends.
    fn close(&mut self) {}

    /// See [`RecordProcessor::row_by_row`](super::RecordProcessor::row_by_row).
    fn row_by_row(&self) -> bool {
        true
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The table with values that a transformer makes. `make` makes one per task; `stores` are the names of the stores
    /// that it uses beside its own.
    pub fn transform_values<T: ValueTransformer<K, V>>(
        &self,
        make: impl Fn() -> T + Send + Sync + 'static,
        stores: &[&str],
    ) -> KTable<K, T::Value> {
        let graph = self.graph.clone();
        let node = graph.node("KTABLE-TRANSFORMVALUES-");
        let stores = connected(&graph, &node, T::stores(), stores);
        let state = Arc::new(TableState::default());
        let (keys, of_node) = (self.keys.clone(), Arc::clone(&state));
        let supplier = move || -> Box<dyn Processor> {
            let transformer = make();
            let table = changes_node::<K, T::Value>(&keys, &of_node);
            Box::new(Transform { row_by_row: transformer.row_by_row(), transformer, table, of: PhantomData })
        };
        graph.processor(&node, &[&self.node], &stores, Arc::new(supplier));
        let values = T::Value::default_serde();
        let (ask_graph, ask_node, ask_state) = (graph.clone(), node.clone(), Arc::clone(&state));
        let (ask_keys, ask_values) = (self.keys.clone(), Arc::clone(&values));
        let ask_old = Rc::new(move || {
            ask_state.keep(&ask_graph, &ask_node, &Materialized::of(ask_values.clone()), &ask_keys);
        });
        KTable { graph, node, keys: self.keys.clone(), values: Some(values), state, ask_old }
    }
}

/// A transformer, and what a table does with the changes that it makes.
struct Transform<T, K, V> {
    transformer: T,
    table: Box<dyn Processor>,
    row_by_row: bool,
    of: PhantomData<fn(K, V)>,
}

impl<T, K, V> Transform<T, K, V> {
    fn call(
        &mut self,
        context: &mut Context<'_>,
        call: impl FnOnce(&mut T, &mut ProcessingContext<'_, '_>) -> Result<(), StreamsError>,
    ) -> Result<(), StreamsError> {
        call(&mut self.transformer, &mut ProcessingContext::new(context, None, self.row_by_row))
    }
}

impl<T, K, V> Processor for Transform<T, K, V>
where
    T: ValueTransformer<K, V>,
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn row_by_row(&self) -> bool {
        self.row_by_row
    }

    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.call(context, T::init)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut rows = downcast::<Changes<K, V>>(batch)?.rows;
        let keys = std::mem::take(&mut rows.keys);
        let mut values = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let time = rows.timestamps[row];
            context.row_time = Some(time);
            let mut task = ProcessingContext::new(context, Some(time), self.row_by_row);
            values.push(match key {
                Some(key) => self.transformer.transform(key, rows.values[row].as_ref(), &mut task)?,
                None => None,
            });
        }
        context.row_time = None;
        self.table.process(Box::new(Changes { rows: rows.with(keys, values), old: None }), context)
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        time: i64,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        self.call(context, |transformer, context| transformer.punctuate(punctuation, time, context))
    }

    fn on_timer(&mut self, timer: &Timer, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.call(context, |transformer, context| transformer.on_timer(timer, context))
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.table.flush(context)
    }

    fn close(&mut self) {
        self.transformer.close();
    }
}
