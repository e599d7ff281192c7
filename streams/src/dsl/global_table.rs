//! Global tables, and joins of streams with them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::dsl::builder::supplier;
use crate::dsl::fold::serialize_keys;
use crate::dsl::records::Records;
use crate::dsl::stream::KStream;
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{Context, Processor};
use crate::report::{ReportKind, Reporter, RowReport, Subject};
use crate::serde::DynSerde;
use crate::store::StoreHandle;

/// A table of which every instance of the application has all rows, to join streams with by any key. Made by
/// [`StreamsBuilder::global_table`](crate::dsl::StreamsBuilder::global_table).
///
/// It is filled before processing begins. After that it follows its topic by itself: a stream's row meets whatever
/// the table has by then, whatever their times.
pub struct GlobalKTable<K, V> {
    pub(crate) store: StoreHandle,
    pub(crate) name: String,
    pub(crate) keys: DynSerde<K>,
    pub(crate) values: DynSerde<V>,
}

impl<K, V> GlobalKTable<K, V> {
    /// The name of the store: what interactive queries ask for.
    pub fn queryable_store_name(&self) -> &str {
        &self.name
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins every row with the global table's row of the key that `selector` makes of it; rows that find none, or
    /// for which the selector returns none, are dropped. The stream need not be partitioned by that key.
    pub fn join_global<GK, GV, S, O>(
        &self,
        table: &GlobalKTable<GK, GV>,
        selector: impl Fn(Option<&K>, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&V, &GV) -> O + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        GK: Clone + Send + Sync + 'static,
        GV: Clone + Send + Sync + 'static,
        S: Into<Option<GK>>,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&GV>| row.map(|row| joiner(value, row));
        self.look_up_global("KSTREAM-JOIN-", table, selector, joiner)
    }

    /// As [`KStream::join_global`], with none for the table's row where there is none.
    pub fn left_join_global<GK, GV, S, O>(
        &self,
        table: &GlobalKTable<GK, GV>,
        selector: impl Fn(Option<&K>, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&GV>) -> O + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        GK: Clone + Send + Sync + 'static,
        GV: Clone + Send + Sync + 'static,
        S: Into<Option<GK>>,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&GV>| Some(joiner(value, row));
        self.look_up_global("KSTREAM-LEFTJOIN-", table, selector, joiner)
    }

    fn look_up_global<GK, GV, S, O>(
        &self,
        prefix: &str,
        table: &GlobalKTable<GK, GV>,
        selector: impl Fn(Option<&K>, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&GV>) -> Option<O> + Send + Sync + 'static,
    ) -> KStream<K, O>
    where
        GK: Clone + Send + Sync + 'static,
        GV: Clone + Send + Sync + 'static,
        S: Into<Option<GK>>,
        O: Clone + Send + Sync + 'static,
    {
        let node = self.graph.node(prefix);
        let (selector, joiner) = (Arc::new(selector), Arc::new(joiner));
        let (store, keys, values) = (table.store, table.keys.clone(), table.values.clone());
        let make = move || {
            let (selector, joiner) = (Arc::clone(&selector), Arc::clone(&joiner));
            GlobalLookup {
                store,
                keys: keys.clone(),
                values: values.clone(),
                selector: move |key: Option<&K>, value: &V| selector(key, value).into(),
                joiner: move |value: &V, row: Option<&GV>| joiner(value, row),
                key_bytes: ByteColumn::default(),
                of: PhantomData,
            }
        };
        self.graph.processor(&node, &[&self.node], &[], supplier(make));
        let (graph, keys) = (self.graph.clone(), self.keys.clone());
        KStream { graph, node, rekeyed: self.rekeyed, keys, values: None }
    }
}

/// Joins rows with those of a global store; a result of none drops the row.
struct GlobalLookup<K, V, GK, GV, S, F> {
    store: StoreHandle,
    keys: DynSerde<GK>,
    values: DynSerde<GV>,
    selector: S,
    joiner: F,
    key_bytes: ByteColumn,
    of: PhantomData<fn(K, V)>,
}

impl<K, V, GK, GV, O, S, F> Processor for GlobalLookup<K, V, GK, GV, S, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    GK: Clone + Send + Sync + 'static,
    GV: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    S: Fn(Option<&K>, &V) -> Option<GK> + Send,
    F: Fn(&V, Option<&GV>) -> Option<O> + Send,
{
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut input = *downcast::<Records<K, V>>(batch)?;
        let pairs = input.keys.iter().zip(&input.values);
        let wanted: Vec<Option<GK>> =
            pairs.map(|(key, value)| (self.selector)(key.as_ref(), value.as_ref()?)).collect();
        self.key_bytes.clear();
        serialize_keys(&self.keys, &wanted, &mut self.key_bytes)?;
        let mut rows: Vec<Option<GV>> = vec![None; wanted.len()];
        let mut unreadable = Vec::new();
        context.globals().get_many(self.store, &self.key_bytes, &mut |row, _, bytes| {
            match self.values.deserialize(bytes) {
                Ok(value) => rows[row] = Some(value),
                Err(error) => unreadable.push((row, error)),
            }
            Ok(())
        })?;
        for (row, error) in unreadable {
            let message = format!("a row of the global table is not readable: {error}");
            let (timestamp, message) = (Some(input.timestamps[row]), message.as_str());
            let (kind, subject) = (ReportKind::Failed, Subject::Unknown);
            context.report(RowReport { kind, rows: 1, offset: None, timestamp, message, subject });
        }
        let pairs = input.values.iter().zip(&rows);
        let joined: Vec<Option<O>> =
            pairs.map(|(value, row)| (self.joiner)(value.as_ref()?, row.as_ref())).collect();
        let incomplete = input.values.iter().filter(|value| value.is_none()).count();
        report(context, ReportKind::Incomplete, incomplete, "a row of the stream has no value to join");
        let keys = std::mem::take(&mut input.keys);
        let mut output: Records<K, O> = input.with(keys, joined);
        output.retain(|_, value| value.is_some());
        context.forward(Box::new(output))
    }
}
