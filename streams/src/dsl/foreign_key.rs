//! Joins of tables by a foreign key.

use std::marker::PhantomData;
use std::sync::Arc;

use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::changes::Changes;
use crate::dsl::fold::{deserialize_keys, first_failure, serialize_keys};
use crate::dsl::params::Materialized;
use crate::dsl::records::Records;
use crate::dsl::table::{self, KTable};
use crate::error::StreamsError;
use crate::operator::foreign_key::{
    ForeignJoin, ForeignJoiner, ForeignTableProcessor, LeftChanges, LeftRows, Resolved, ResponseResolver,
    RightRows, SubscriptionArena, SubscriptionReceiver, SubscriptionSender, message_decoder, message_encoder,
};
use crate::serde::{DefaultSerde, DynSerde};
use crate::store::{CachedStore, StoreSpec};
use crate::topology::RepartitionNames;

/// What a foreign-key join is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableJoined {
    name: Option<String>,
}

impl TableJoined {
    /// Names the nodes, the topics `<application.id>-<name>-subscription-registration-topic` and
    /// `..-subscription-response-topic`, and the store `<name>-subscription-store`.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()) }
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// Joins each row with the row of `other` whose key `foreign_key` finds in it; rows that name none, or one that is
    /// not there, are not in the result. Many rows may name the same one. The tables need not have equal numbers of
    /// partitions.
    pub fn join_foreign<F, W, O>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> O + Send + Sync + 'static,
    ) -> KTable<K, O>
    where
        F: Clone + Send + Sync + 'static,
        W: DefaultSerde,
        O: DefaultSerde,
    {
        self.join_foreign_with(other, foreign_key, joiner, TableJoined::default(), Materialized::default())
    }

    /// As [`KTable::join_foreign`], with names, and with the serde and perhaps the store of the result.
    pub fn join_foreign_with<F, W, O>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> O + Send + Sync + 'static,
        joined: TableJoined,
        materialized: Materialized<O>,
    ) -> KTable<K, O>
    where
        F: Clone + Send + Sync + 'static,
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&W>| row.map(|row| joiner(value, row));
        self.join_changes(other, foreign_key, joiner, ForeignJoin::Inner, joined, materialized)
    }

    /// As [`KTable::join_foreign`], with all rows of this table: `joiner` gets none where there is no other row.
    pub fn left_join_foreign<F, W, O>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> O + Send + Sync + 'static,
    ) -> KTable<K, O>
    where
        F: Clone + Send + Sync + 'static,
        W: DefaultSerde,
        O: DefaultSerde,
    {
        self.left_join_foreign_with(
            other,
            foreign_key,
            joiner,
            TableJoined::default(),
            Materialized::default(),
        )
    }

    /// As [`KTable::left_join_foreign`], with names, and with the serde and perhaps the store of the result.
    pub fn left_join_foreign_with<F, W, O>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> O + Send + Sync + 'static,
        joined: TableJoined,
        materialized: Materialized<O>,
    ) -> KTable<K, O>
    where
        F: Clone + Send + Sync + 'static,
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&W>| Some(joiner(value, row));
        self.join_changes(other, foreign_key, joiner, ForeignJoin::Left, joined, materialized)
    }

    fn join_changes<F, W, O>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> Option<O> + Send + Sync + 'static,
        join: ForeignJoin,
        joined: TableJoined,
        materialized: Materialized<O>,
    ) -> KTable<K, O>
    where
        F: Clone + Send + Sync + 'static,
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let (left_store, right_store) = (self.stored(), other.stored());
        self.send_old();
        let graph = &self.graph;
        let names = Names::new(graph, &joined);
        let (keys, values) = (self.keys.clone(), self.values.clone().unwrap_or_else(V::default_serde));
        let (foreign_keys, foreign_key) = (other.keys.clone(), Arc::new(foreign_key));
        let foreign_values = other.values.clone().unwrap_or_else(W::default_serde);
        let subscriptions =
            graph.store(StoreSpec::key_value(&names.subscription_store, SubscriptionArena::default));

        let (left_keys, resolved_foreign_key) = (keys.clone(), Arc::clone(&foreign_key));
        let send = move || {
            let (keys, values, foreign_keys) = (left_keys.clone(), values.clone(), foreign_keys.clone());
            let left = TypedLeft { keys, values, foreign_keys, foreign_key: Arc::clone(&foreign_key) };
            SubscriptionSender::new(left, join)
        };
        graph.processor(&names.send, &[&self.node], &[], supplier(send));
        let messages = |names: RepartitionNames, parents: &[&str]| {
            graph.with(|topology| {
                topology.add_named_repartition(names, None, message_encoder(), message_decoder(), parents)
            })
        };
        let registration = messages(names.registration, &[&names.send]);
        let receive = move || SubscriptionReceiver::<ValueArena<W>>::new(subscriptions, right_store);
        let stores = [subscriptions, right_store];
        graph.processor(&names.receive, &[&registration], &stores, supplier(receive));
        let (right_keys, right_values) = (other.keys.clone(), foreign_values.clone());
        let tell = move || {
            let right = TypedRight { keys: right_keys.clone(), values: right_values.clone() };
            ForeignTableProcessor::new(right, subscriptions)
        };
        graph.processor(&names.tell, &[&other.node], &[subscriptions], supplier(tell));
        let response = messages(names.response, &[&names.receive, &names.tell]);
        let (left_keys, joiner) = (keys.clone(), Arc::new(joiner));
        let resolve = move || {
            let (keys, foreign_values) = (left_keys.clone(), foreign_values.clone());
            let (foreign_key, joiner) = (Arc::clone(&resolved_foreign_key), Arc::clone(&joiner));
            let of = PhantomData::<fn(V)>;
            ResponseResolver::new(
                TypedResult { keys, foreign_values, foreign_key, joiner, of },
                join,
                left_store,
            )
        };
        graph.processor(&names.resolve, &[&response], &[left_store], supplier(resolve));
        graph.with(|topology| {
            topology.copartition(&[&other.node, &registration]).copartition(&[&self.node, &response]);
        });
        let serdes = (keys, materialized.values.clone());
        let result = table::source_table(graph, names.result, &names.resolve, serdes, names.result_store);
        if materialized.name.is_some() { result.materialized(materialized) } else { result }
    }
}

/// Kafka's names of a join's nodes, topics and stores.
struct Names {
    send: String,
    registration: RepartitionNames,
    subscription_store: String,
    receive: String,
    tell: String,
    response: RepartitionNames,
    resolve: String,
    result: String,
    result_store: String,
}

impl Names {
    fn new(graph: &Graph, joined: &TableJoined) -> Self {
        // Generated names are used up even if a name is given, so that naming one step does not rename others.
        let given = joined.name.clone().or_else(|| graph.given_name());
        let name = |suffix: &str, prefix: &str| {
            let generated = graph.name(prefix);
            given.as_ref().map_or(generated, |name| format!("{name}{suffix}"))
        };
        const REGISTRATION: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
        const PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
        let topic = name("-subscription-registration", REGISTRATION);
        let send = name("-subscription-registration-processor", REGISTRATION);
        let registration = RepartitionNames {
            topic: format!("{topic}-topic"),
            sink: name("-subscription-registration-sink", "KTABLE-SINK-"),
            source: name("-subscription-registration-source", "KTABLE-SOURCE-"),
        };
        let subscription_store = name("-subscription-store", "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-");
        let receive = name("-subscription-receive", PROCESSOR);
        // Kafka looks the right row up in a node of its own.
        name("-subscription-join-foreign", PROCESSOR);
        let tell = name("-foreign-join-subscription", PROCESSOR);
        let topic = name("-subscription-response", "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-");
        let response = RepartitionNames {
            topic: format!("{topic}-topic"),
            sink: name("-subscription-response-sink", "KTABLE-SINK-"),
            source: name("-subscription-response-source", "KTABLE-SOURCE-"),
        };
        Self {
            send,
            registration,
            subscription_store,
            receive,
            tell,
            response,
            resolve: name(
                "-subscription-response-resolver",
                "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-",
            ),
            result: name("-result", "KTABLE-FK-JOIN-OUTPUT-"),
            result_store: name("-result-store", "KTABLE-FK-JOIN-OUTPUT-STATE-STORE-"),
        }
    }
}

/// The left table.
struct TypedLeft<K, V, F, E> {
    keys: DynSerde<K>,
    values: DynSerde<V>,
    foreign_keys: DynSerde<F>,
    foreign_key: Arc<E>,
}

impl<K, V, F, E> LeftRows for TypedLeft<K, V, F, E>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: Clone + Send + Sync + 'static,
    E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
{
    type Input = Changes<K, V>;

    fn changes(&mut self, input: &Self::Input, changes: &mut LeftChanges) -> Result<(), StreamsError> {
        let rows = &input.rows;
        serialize_keys(&self.keys, &rows.keys, &mut changes.keys)?;
        serialize_values(&self.values, &rows.values, &mut changes.values)?;
        changes.existed.extend((0..rows.len()).map(|row| input.old_of(row).is_some()));
        let foreign = |row: usize, value: Option<&V>| (self.foreign_key)(rows.keys[row].as_ref()?, value?);
        let old: Vec<Option<F>> = (0..rows.len()).map(|row| foreign(row, input.old_of(row))).collect();
        serialize_keys(&self.foreign_keys, &old, &mut changes.old_foreign_keys)?;
        let new: Vec<Option<F>> =
            (0..rows.len()).map(|row| foreign(row, rows.values[row].as_ref())).collect();
        serialize_keys(&self.foreign_keys, &new, &mut changes.foreign_keys)
    }

    fn headers<'a>(&self, input: &'a Self::Input, row: usize) -> &'a [Header] {
        input.rows.headers_of(row)
    }
}

/// The right table.
struct TypedRight<K, V> {
    keys: DynSerde<K>,
    values: DynSerde<V>,
}

impl<K, V> RightRows for TypedRight<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Input = Changes<K, V>;

    fn changes(
        &mut self,
        input: &Self::Input,
        keys: &mut ByteColumn,
        values: &mut ByteColumn,
    ) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.rows.keys, keys)?;
        serialize_values(&self.values, &input.rows.values, values)
    }

    fn headers<'a>(&self, input: &'a Self::Input, row: usize) -> &'a [Header] {
        input.rows.headers_of(row)
    }
}

fn serialize_values<V: 'static>(
    serde: &DynSerde<V>,
    values: &[Option<V>],
    out: &mut ByteColumn,
) -> Result<(), StreamsError> {
    let mut failed = Vec::new();
    serde.serialize_column(values, out, &mut failed);
    first_failure("value", failed)
}

/// The result.
struct TypedResult<K, V, W, E, J> {
    keys: DynSerde<K>,
    foreign_values: DynSerde<W>,
    foreign_key: Arc<E>,
    joiner: Arc<J>,
    of: PhantomData<fn(V)>,
}

impl<K, V, W, F, O, E, J> ForeignJoiner for TypedResult<K, V, W, E, J>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    W: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
    J: Fn(&V, Option<&W>) -> Option<O> + Send + Sync + 'static,
{
    type Arena = ValueArena<V>;

    fn has_foreign_key(
        &mut self,
        key: &[u8],
        slot: u32,
        left: &CachedStore<Self::Arena>,
    ) -> Result<bool, StreamsError> {
        let keys = deserialize_keys(&self.keys, &[Some(key)])?;
        let row = keys.first().and_then(Option::as_ref).zip(left.arena().get(slot));
        Ok(row.is_some_and(|(key, value)| (self.foreign_key)(key, value).is_some()))
    }

    fn join(
        &mut self,
        answers: &[Resolved<'_>],
        left: &CachedStore<Self::Arena>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let keys: Vec<Option<&[u8]>> = answers.iter().map(|answer| Some(answer.key)).collect();
        let foreign: Vec<Option<&[u8]>> = answers.iter().map(|answer| answer.foreign).collect();
        let keys = deserialize_keys(&self.keys, &keys)?;
        let foreign = deserialize_keys(&self.foreign_values, &foreign)?;
        let mut output = Records::with_capacity(answers.len());
        for ((answer, key), foreign) in answers.iter().zip(keys).zip(foreign) {
            let value = answer.left.and_then(|slot| left.arena().get(slot));
            let value = value.and_then(|value| (self.joiner)(value, foreign.as_ref()));
            output.push(key, value, answer.time, answer.headers.to_vec());
        }
        Ok(Box::new(output))
    }
}

#[cfg(test)]
mod tests;
