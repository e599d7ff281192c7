//! Typed sources, processors and sinks for graphs that are built node by node: Kafka's `Topology`.

use std::any::type_name;
use std::sync::Arc;

use crate::dsl::builder::supplier;
use crate::dsl::codec;
use crate::dsl::params::{Consumed, Produced};
use crate::dsl::process::{ByRecord, RecordProcessor};
use crate::dsl::route::{RecordContext, Route, TopicExtractor};
use crate::store::StoreHandle;
use crate::topology::{SourceOptions, Topics, TopologyBuilder};

impl TopologyBuilder {
    /// Adds a source of typed records. The name is the one given here.
    pub fn add_record_source<K, V>(
        &mut self,
        name: &str,
        topics: impl Into<Topics>,
        consumed: Consumed<K, V>,
    ) -> &mut Self
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Consumed { keys, values, timestamp, reset, .. } = consumed;
        self.add_source(name, topics, codec::decoder(keys, values, timestamp), SourceOptions { reset })
    }

    /// Adds a processor of records with the stores that it may use beside its own. `make` makes one per task. All
    /// parents must forward records of the types that it takes, or it fails with the first one.
    pub fn add_record_processor<K, V, P>(
        &mut self,
        name: &str,
        make: impl Fn() -> P + Send + Sync + 'static,
        parents: &[&str],
        stores: &[StoreHandle],
    ) -> &mut Self
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        P: RecordProcessor<K, V>,
    {
        let mut stores = stores.to_vec();
        for spec in P::stores() {
            let known = self.store(spec.name());
            stores.push(known.unwrap_or_else(|| self.add_store(spec)));
        }
        stores.sort_unstable_by_key(|store| store.0);
        stores.dedup();
        self.add_processor(name, supplier(move || ByRecord::new(make())), parents, &stores)
    }

    /// Adds a sink of typed records, which writes to a topic of the user's.
    pub fn add_record_sink<K, V>(
        &mut self,
        name: &str,
        topic: &str,
        produced: Produced<K, V>,
        parents: &[&str],
    ) -> &mut Self
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Produced { keys, values, partitioner, .. } = produced;
        let encoder = codec::routed_encoder(keys, values, Route::partitioned(partitioner));
        self.add_sink(name, topic, encoder, parents)
    }

    /// Adds a sink of typed records, which writes each to the topic that `extract` names. See
    /// [`KStream::to_dynamic_with`](crate::dsl::KStream::to_dynamic_with).
    pub fn add_dynamic_record_sink<K, V, T, F>(
        &mut self,
        name: &str,
        extract: F,
        produced: Produced<K, V>,
        parents: &[&str],
    ) -> &mut Self
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        T: AsRef<str>,
        F: Fn(Option<&K>, Option<&V>, &RecordContext<'_>) -> T + Send + Sync + 'static,
    {
        let Produced { keys, values, partitioner, .. } = produced;
        let topic: TopicExtractor<K, V> =
            Arc::new(move |key, value, context, name| name.push_str(extract(key, value, context).as_ref()));
        let encoder = codec::routed_encoder(keys, values, Route { topic: Some(topic), partitioner });
        self.add_dynamic_sink(name, type_name::<F>(), encoder, parents)
    }
}
