//! Tables of typed rows: the latest value per key.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::batch::{Batch, downcast};
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::changes::Changes;
use crate::dsl::grouped_table::{self, KGroupedTable};
use crate::dsl::params::{Grouped, Materialized};
use crate::dsl::records::Records;
use crate::dsl::stream::{KStream, Map, Rows};
use crate::dsl::table_rows::{Compute, TableState, add_table};
use crate::error::StreamsError;
use crate::processor::RowsKept;
use crate::serde::{DefaultSerde, DynSerde};
use crate::store::StoreHandle;

/// A table: each row is the new value of its key, or its deletion.
///
/// A table is kept in a store only if that is asked for ([`KTable::materialized`]), if it is the result of an
/// aggregation, or if somebody has to look its rows up or needs old values that cannot be had otherwise.
pub struct KTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: String,
    pub(crate) keys: DynSerde<K>,
    /// Known while the type is that of a topic or of a given serde.
    pub(crate) values: Option<DynSerde<V>>,
    pub(crate) state: Arc<TableState>,
    /// Asks whatever this node needs for its old values.
    pub(crate) ask_old: Rc<dyn Fn()>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
            state: Arc::clone(&self.state),
            ask_old: Rc::clone(&self.ask_old),
        }
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Names the node of the next operator, see [`KStream::named`].
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { graph: self.graph.named(name), ..self.clone() }
    }

    /// The table of the rows that match; a row that does not match is deleted.
    pub fn filter(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        let values = self.values.clone();
        self.computed("KTABLE-FILTER-", values, true, move |key, value| {
            predicate(key, value).then(|| value.clone())
        })
    }

    /// The table of the rows that do not match; a row that matches is deleted.
    pub fn filter_not(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// The table with a new value made of every value.
    pub fn map_values<V2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> V2 + Send + Sync + 'static,
    ) -> KTable<K, V2>
    where
        V2: Clone + Send + Sync + 'static,
    {
        self.computed("KTABLE-MAPVALUES-", None, false, move |key, value| Some(mapper(key, value)))
    }

    /// The changes of the table as a stream; deletions are rows without value.
    pub fn to_stream(&self) -> KStream<K, V> {
        let node = self.graph.node("KTABLE-TOSTREAM-");
        let new_values = Arc::new(|batch: Box<dyn Batch>| -> Result<Box<dyn Batch>, StreamsError> {
            Ok(Box::new(downcast::<Changes<K, V>>(batch)?.rows))
        });
        self.graph.processor(&node, &[&self.node], &[], supplier(move || Map(Arc::clone(&new_values))));
        let (keys, values) = (Some(self.keys.clone()), self.values.clone());
        KStream { graph: self.graph.clone(), node, rekeyed: false, keys, values }
    }

    /// The changes of the table as a stream with another key; deletions are rows without value.
    pub fn to_stream_with_key<K2>(
        &self,
        mapper: impl Fn(&K, Option<&V>) -> K2 + Send + Sync + 'static,
    ) -> KStream<K2, V>
    where
        K2: Clone + Send + Sync + 'static,
    {
        let stream = self.to_stream();
        let node = self.graph.name("KSTREAM-KEY-SELECT-");
        let mapper = move |mut rows: Records<K, V>| {
            let values = std::mem::take(&mut rows.values);
            let pairs = rows.keys.iter().zip(&values);
            let keys = pairs.map(|(key, value)| Some(mapper(key.as_ref()?, value.as_ref()))).collect();
            rows.with(keys, values)
        };
        let change = Arc::new(mapper);
        let make = move || Rows { change: Arc::clone(&change), kept: RowsKept::All, of: PhantomData };
        self.graph.processor(&node, &[&stream.node], &[], supplier(make));
        KStream { graph: self.graph.clone(), node, rekeyed: true, keys: None, values: stream.values }
    }

    /// Keeps the rows of this table in a store that can be queried by its name, unless they are kept already.
    #[must_use]
    pub fn materialized(self, materialized: Materialized<V>) -> Self {
        self.state.keep(&self.graph, &self.node, &materialized, &self.keys);
        Self { values: Some(materialized.values), ..self }
    }

    /// The name of the store, if the table has one: what interactive queries ask for.
    pub fn queryable_store_name(&self) -> Option<String> {
        self.state.store().map(|store| self.graph.store_name(store))
    }

    /// Groups the rows by new keys, with the serdes for the way there; the values are what will be aggregated.
    pub fn group_by_with<K2, V2>(
        &self,
        mapper: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
        grouped: Grouped<K2, V2>,
    ) -> KGroupedTable<K2, V2>
    where
        K2: Clone + PartialEq + Send + Sync + 'static,
        V2: Clone + Send + Sync + 'static,
    {
        grouped_table::group(self, mapper, grouped)
    }

    /// Groups the rows by new keys; the values are what will be aggregated.
    pub fn group_by<K2, V2>(
        &self,
        mapper: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KGroupedTable<K2, V2>
    where
        K2: DefaultSerde + PartialEq,
        V2: DefaultSerde,
    {
        let grouped = Grouped { keys: K2::default_serde(), values: V2::default_serde(), name: None };
        self.group_by_with(mapper, grouped)
    }

    /// Makes every change carry the value before, as far up as that takes.
    pub(crate) fn send_old(&self) {
        self.state.send_old();
        (self.ask_old)();
    }

    /// A table whose values are computed from this one's, one by one. With `skip_nothing`, a change from no
    /// value to no value goes no further where that is known.
    fn computed<V2>(
        &self,
        prefix: &str,
        values: Option<DynSerde<V2>>,
        skip_nothing: bool,
        compute: impl Fn(Option<&K>, &V) -> Option<V2> + Send + Sync + 'static,
    ) -> KTable<K, V2>
    where
        V2: Clone + Send + Sync + 'static,
    {
        let compute: Compute<K, V2> = Arc::new(move |batch, with_old| {
            let Changes { mut rows, old } = *downcast::<Changes<K, V>>(batch)?;
            let keys = std::mem::take(&mut rows.keys);
            let of = |values: &[Option<V>]| -> Vec<Option<V2>> {
                let pairs = keys.iter().zip(values);
                pairs.map(|(key, value)| compute(key.as_ref(), value.as_ref()?)).collect()
            };
            let (new, old) = (of(&rows.values), old.filter(|_| with_old).map(|old| of(&old)));
            let mut changes = Changes { rows: rows.with(keys, new), old };
            if let Some(old) = changes.old.as_ref().filter(|_| skip_nothing) {
                let values = changes.rows.values.iter().zip(old);
                let keep: Vec<bool> = values.map(|(new, old)| new.is_some() || old.is_some()).collect();
                changes.retain(&keep);
            }
            Ok(changes)
        });
        let node = self.graph.node(prefix);
        let table = add_table(&self.graph, &[&self.node], (self.keys.clone(), values), None, node, compute);
        let (state, parent) = (Arc::clone(&table.state), self.clone());
        let ask_old = Rc::new(move || {
            // What is kept knows what it had.
            if state.store().is_none() {
                parent.send_old();
            }
        });
        KTable { ask_old, ..table }
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// This table's store to look rows up in; a table that was not kept is from now on.
    pub(crate) fn stored(&self) -> StoreHandle {
        let values = self.values.clone().unwrap_or_else(V::default_serde);
        self.state.keep(&self.graph, &self.node, &Materialized::of(values), &self.keys)
    }
}

/// A table whose rows come from a topic or stream as they are. It is kept, in a store of this name, as soon as
/// somebody needs that.
pub(crate) fn source_table<K, V>(
    graph: &Graph,
    node: String,
    parent: &str,
    (keys, values): (DynSerde<K>, DynSerde<V>),
    store: String,
) -> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let compute: Compute<K, V> =
        Arc::new(|batch, _| Ok(Changes { rows: *downcast::<Records<K, V>>(batch)?, old: None }));
    let serdes = (keys.clone(), Some(values.clone()));
    let table = add_table(graph, &[parent], serdes, Some(store), node, compute);
    let (graph, node, state) = (graph.clone(), table.node.clone(), Arc::clone(&table.state));
    let ask_old = Rc::new(move || {
        state.keep(&graph, &node, &Materialized::of(values.clone()), &keys);
    });
    KTable { ask_old, ..table }
}
