//! Tables of typed rows: the latest value per key.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::dsl::arena::ValueArena;
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::lookup::TypedRows;
use crate::dsl::records::Records;
use crate::dsl::stream::{KStream, PassThrough, Rows};
use crate::operator::table::TableProcessor;
use crate::serde::{DefaultSerde, DynSerde};
use crate::store::{StoreHandle, StoreSpec};

/// The store of a table.
pub(crate) type TableStore = StoreHandle;

/// A table: each row is the new value of its key, or its deletion.
pub struct KTable<K, V> {
    pub(crate) graph: Graph,
    pub(crate) node: String,
    /// Absent if the rows are computed from another table's.
    pub(crate) store: Option<TableStore>,
    pub(crate) keys: DynSerde<K>,
    pub(crate) values: Option<DynSerde<V>>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node.clone(),
            store: self.store,
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The table of the rows that match; a row that does not match is deleted.
    pub fn filter(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        let node = self.rows("KTABLE-FILTER-", move |mut rows: Records<K, V>| {
            for (key, value) in rows.keys.iter().zip(&mut rows.values) {
                if value.as_ref().is_some_and(|value| !predicate(key.as_ref(), value)) {
                    *value = None;
                }
            }
            rows
        });
        Self { node, store: None, ..self.clone() }
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
        let node = self.rows("KTABLE-MAPVALUES-", move |mut rows: Records<K, V>| {
            let keys = std::mem::take(&mut rows.keys);
            let pairs = keys.iter().zip(&rows.values);
            let values =
                pairs.map(|(key, value)| value.as_ref().map(|value| mapper(key.as_ref(), value))).collect();
            rows.with(keys, values)
        });
        KTable { graph: self.graph.clone(), node, store: None, keys: self.keys.clone(), values: None }
    }

    /// The changes of the table as a stream; deletions are rows without value.
    pub fn to_stream(&self) -> KStream<K, V> {
        let node = self.graph.name("KTABLE-TOSTREAM-");
        self.graph.processor(&node, &[&self.node], &[], supplier(|| PassThrough));
        let (keys, values) = (Some(self.keys.clone()), self.values.clone());
        KStream { graph: self.graph.clone(), node, rekeyed: false, keys, values }
    }

    fn rows<V2>(
        &self,
        prefix: &str,
        change: impl Fn(Records<K, V>) -> Records<K, V2> + Send + Sync + 'static,
    ) -> String
    where
        V2: Clone + Send + Sync + 'static,
    {
        let node = self.graph.name(prefix);
        let change = Arc::new(change);
        let make = move || Rows { change: Arc::clone(&change), of: PhantomData };
        self.graph.processor(&node, &[&self.node], &[], supplier(make));
        node
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// This table with a store to look rows up in; a computed table gets one of its own.
    pub(crate) fn stored(&self) -> (Self, TableStore) {
        if let Some(store) = self.store {
            return (self.clone(), store);
        }
        let (node, store) =
            (self.graph.name("KTABLE-MATERIALIZE-"), self.graph.name("KTABLE-MATERIALIZE-STATE-STORE-"));
        let values = self.values.clone().unwrap_or_else(V::default_serde);
        add_store(&self.graph, &self.node, node, &store, self.keys.clone(), values)
    }
}

/// Keeps the rows of a node in a store of this name.
pub(crate) fn materialize<K, V>(
    graph: &Graph,
    parent: &str,
    node: String,
    store: &str,
    keys: DynSerde<K>,
    values: DynSerde<V>,
) -> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    add_store(graph, parent, node, store, keys, values).0
}

fn add_store<K, V>(
    graph: &Graph,
    parent: &str,
    node: String,
    store: &str,
    keys: DynSerde<K>,
    values: DynSerde<V>,
) -> (KTable<K, V>, TableStore)
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let arena_values = values.clone();
    let handle = graph.store(StoreSpec::key_value(store, move || ValueArena::new(arena_values.clone())));
    let row_keys = keys.clone();
    let make =
        move || TableProcessor::new(TypedRows::<K, V> { keys: row_keys.clone(), of: PhantomData }, handle);
    graph.processor(&node, &[parent], &[handle], supplier(make));
    (KTable { graph: graph.clone(), node, store: Some(handle), keys, values: Some(values) }, handle)
}
