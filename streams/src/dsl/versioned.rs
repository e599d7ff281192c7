//! Versioned tables, and joins of streams with them as they were at each row's time.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::builder::{Graph, StreamsBuilder, supplier};
use crate::dsl::fold::serialize_keys;
use crate::dsl::lookup::Lookup;
use crate::dsl::params::Consumed;
use crate::dsl::records::Records;
use crate::dsl::stream::KStream;
use crate::dsl::table::{self, KTable};
use crate::error::StreamsError;
use crate::operator::join::MissingKey;
use crate::operator::stream_buffer::{BufferedRows, StreamBuffer};
use crate::operator::versioned::{VersionedJoinProcessor, VersionedRows, VersionedTableProcessor};
use crate::serde::{DefaultSerde, DynSerde};
use crate::store::{StoreHandle, StoreSpec};

/// What a join of a stream with a versioned table is called, and how long it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    name: Option<String>,
    grace: Duration,
}

impl Joined {
    /// Names the node.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Holds rows of the stream back for this long in stream time, and joins them in the order of time: so they meet
    /// rows of the table that come late, too (KIP-923). More than the history of the table counts as that.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// A table that knows what each key was at any time of its history. The latest value is that with the latest time,
/// whenever it came.
///
/// `S` is the type of the values that are kept. Tables that are filtered, or have their values mapped, keep nothing
/// themselves: what they were at any time is computed from the table that they come from.
pub struct VersionedTable<K, V: Clone, S = V> {
    graph: Graph,
    node: String,
    store: StoreHandle,
    history: Duration,
    view: View<K, V, S>,
    latest: Rc<dyn Fn() -> KTable<K, V>>,
}

/// What a kept value is in a table: none if it is not in it.
type View<K, V, S> = Arc<dyn for<'a> Fn(Option<&K>, &'a S) -> Option<Cow<'a, V>> + Send + Sync>;

impl StreamsBuilder {
    /// Reads a topic as a table, in a versioned store of this name that keeps history for this long behind stream time.
    /// Rows that come later than that are dropped and reported.
    pub fn versioned_table<K, V>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        store: &str,
        history: Duration,
    ) -> VersionedTable<K, V>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let (keys, values) = (consumed.keys.clone(), consumed.values.clone());
        let stream = self.stream(topic, consumed);
        let graph = stream.graph.clone();
        let node = graph.name("KTABLE-SOURCE-");
        let arena_values = values.clone();
        let spec = StoreSpec::versioned(store, history, move || ValueArena::new(arena_values.clone()));
        let handle = graph.store(spec.serdes(keys.clone(), values.clone()));
        let row_keys = keys.clone();
        let make = move || {
            let rows = TypedVersions { keys: row_keys.clone(), of: PhantomData::<fn(V)> };
            VersionedTableProcessor::new(rows, handle)
        };
        graph.processor(&node, &[&stream.node], &[handle], supplier(make));
        let (of_graph, parent) = (graph.clone(), node.clone());
        let latest = Rc::new(move || {
            let node = of_graph.name("KTABLE-SOURCE-");
            let store = of_graph.name("KTABLE-SOURCE-STATE-STORE-");
            table::source_table(&of_graph, node, &parent, (keys.clone(), values.clone()), store)
        });
        let view: View<K, V, V> = Arc::new(|_, value| Some(Cow::Borrowed(value)));
        VersionedTable { graph, node, store: handle, history, view, latest }
    }
}

impl<K, V, S> VersionedTable<K, V, S>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: Clone + Send + Sync + 'static,
{
    /// The table of the latest values, for all that is done with tables. What comes late and is not the latest changes
    /// nothing in it.
    pub fn latest(&self) -> KTable<K, V> {
        (self.latest)()
    }

    /// The table of the rows that match, as versioned as this one: whatever time it is looked at, a row that did not
    /// match then is not there.
    #[must_use]
    pub fn filter(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        let (view, latest, predicate) =
            (Arc::clone(&self.view), Rc::clone(&self.latest), Arc::new(predicate));
        let matches = Arc::clone(&predicate);
        self.seen_as(
            Arc::new(move |key, kept| view(key, kept).filter(|value| matches(key, value))),
            Rc::new(move || {
                let predicate = Arc::clone(&predicate);
                latest().filter(move |key, value| predicate(key, value))
            }),
        )
    }

    /// The table of the rows that do not match, see [`VersionedTable::filter`].
    #[must_use]
    pub fn filter_not(&self, predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// The table with a new value made of every value, as versioned as this one.
    #[must_use]
    pub fn map_values<V2>(
        &self,
        mapper: impl Fn(Option<&K>, &V) -> V2 + Send + Sync + 'static,
    ) -> VersionedTable<K, V2, S>
    where
        V2: Clone + Send + Sync + 'static,
    {
        let (view, latest, mapper) = (Arc::clone(&self.view), Rc::clone(&self.latest), Arc::new(mapper));
        let of_latest = Arc::clone(&mapper);
        self.seen_as(
            Arc::new(move |key, kept| view(key, kept).map(|value| Cow::Owned(mapper(key, &value)))),
            Rc::new(move || {
                let mapper = Arc::clone(&of_latest);
                latest().map_values(move |key, value| mapper(key, value))
            }),
        )
    }

    fn seen_as<V2: Clone>(
        &self,
        view: View<K, V2, S>,
        latest: Rc<dyn Fn() -> KTable<K, V2>>,
    ) -> VersionedTable<K, V2, S> {
        let (graph, node) = (self.graph.clone(), self.node.clone());
        VersionedTable { graph, node, store: self.store, history: self.history, view, latest }
    }
}

impl<K: DefaultSerde, V: DefaultSerde> KStream<K, V> {
    /// Joins every row with the table's row of the same key, as it was at the time of the stream's row; rows that find
    /// none are dropped. The topics must have equal numbers of partitions.
    pub fn join_versioned<T, S, O>(
        &self,
        table: &VersionedTable<K, T, S>,
        joiner: impl Fn(&V, &T) -> O + Send + Sync + 'static,
        joined: Joined,
    ) -> KStream<K, O>
    where
        T: Clone + Send + Sync + 'static,
        S: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&T>| row.map(|row| joiner(value, row));
        self.look_up_version("KSTREAM-JOIN-", table, MissingKey::Drop, joiner, joined)
    }

    /// As [`KStream::join_versioned`], with none for the table's row where there was none.
    pub fn left_join_versioned<T, S, O>(
        &self,
        table: &VersionedTable<K, T, S>,
        joiner: impl Fn(&V, Option<&T>) -> O + Send + Sync + 'static,
        joined: Joined,
    ) -> KStream<K, O>
    where
        T: Clone + Send + Sync + 'static,
        S: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |value: &V, row: Option<&T>| Some(joiner(value, row));
        self.look_up_version("KSTREAM-LEFTJOIN-", table, MissingKey::Keep, joiner, joined)
    }

    fn look_up_version<T, S, O>(
        &self,
        prefix: &str,
        table: &VersionedTable<K, T, S>,
        missing_key: MissingKey,
        joiner: impl Fn(&V, Option<&T>) -> Option<O> + Send + Sync + 'static,
        joined: Joined,
    ) -> KStream<K, O>
    where
        T: Clone + Send + Sync + 'static,
        S: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let stream = self.partitioned(&self.node);
        let graph = &self.graph;
        let given = graph.node(prefix);
        let node = joined.name.unwrap_or(given);
        let (keys, values) = (self.key_serde(), self.value_serde());
        let grace = joined.grace.min(table.history);
        let mut above = stream.node.clone();
        if !grace.is_zero() {
            let name = format!("{node}-Buffer");
            let store = graph.store(StoreSpec::ordered(&name));
            let (keys, values, buffer) = (keys.clone(), values, name.clone());
            let make = move || {
                let rows = TypedBuffer { keys: keys.clone(), values: values.clone() };
                StreamBuffer::new(rows, store, &buffer, grace)
            };
            graph.processor(&name, &[&above], &[store], supplier(make));
            above = name;
        }
        let (store, view) = (table.store, Arc::clone(&table.view));
        let joiner = Arc::new(move |key: Option<&K>, value: &V, kept: Option<&S>| {
            let row = kept.and_then(|kept| view(key, kept));
            joiner(value, row.as_deref())
        });
        let make = move || {
            let lookup =
                Lookup::<K, V, S, _> { keys: keys.clone(), joiner: Arc::clone(&joiner), of: PhantomData };
            VersionedJoinProcessor::new(lookup, store, missing_key)
        };
        graph.processor(&node, &[&above], &[store], supplier(make));
        graph.with(|topology| {
            topology.copartition(&[&stream.node, &table.node]);
        });
        KStream { graph: graph.clone(), node, rekeyed: false, keys: stream.keys, values: None }
    }
}

/// Typed rows of a versioned table.
struct TypedVersions<K, V> {
    keys: DynSerde<K>,
    of: PhantomData<fn(V)>,
}

impl<K, V> VersionedRows for TypedVersions<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Arena = ValueArena<V>;
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.keys, keys)
    }

    fn has_value(&self, input: &Self::Input, row: usize) -> bool {
        input.values[row].is_some()
    }

    fn write(&mut self, input: &Self::Input, row: usize, arena: &mut Self::Arena, slot: u32) {
        arena.values[slot as usize].clone_from(&input.values[row]);
    }

    fn select(&mut self, mut input: Box<Self::Input>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError> {
        let mut keep = vec![false; input.len()];
        rows.iter().for_each(|row| keep[*row as usize] = true);
        input.select(&keep);
        Ok(input)
    }
}

/// Typed rows that are held back: key, value, and name and value of each header, all as [`write_part`] writes them.
struct TypedBuffer<K, V> {
    keys: DynSerde<K>,
    values: DynSerde<V>,
}

impl<K, V> BufferedRows for TypedBuffer<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        // What has no value joins nothing, and goes on to be dropped.
        let with_value = input.keys.iter().zip(&input.values);
        let chosen: Vec<Option<K>> =
            with_value.map(|(key, value)| key.clone().filter(|_| value.is_some())).collect();
        serialize_keys(&self.keys, &chosen, keys)
    }

    fn save(&mut self, input: &Self::Input, row: usize, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        let failed = |error: crate::serde::SerdeError| StreamsError::Serde(error.to_string());
        let (mut key, mut value) = (Vec::new(), Vec::new());
        if let Some(typed) = &input.keys[row] {
            self.keys.serialize(typed, &mut key).map_err(failed)?;
        }
        write_part(out, input.keys[row].as_ref().map(|_| key.as_slice()));
        if let Some(typed) = &input.values[row] {
            self.values.serialize(typed, &mut value).map_err(failed)?;
        }
        write_part(out, input.values[row].as_ref().map(|_| value.as_slice()));
        for header in input.headers_of(row) {
            write_part(out, Some(header.key.as_bytes()));
            write_part(out, header.value.as_deref());
        }
        Ok(())
    }

    fn load(&mut self, rows: &ByteColumn, times: &[i64]) -> Result<Box<dyn Batch>, StreamsError> {
        let corrupt = || StreamsError::CorruptState {
            store: "buffer of a stream-table join".to_owned(),
            reason: "a row does not decode".to_owned(),
        };
        let failed = |error: crate::serde::SerdeError| StreamsError::Serde(error.to_string());
        let mut output = Records::with_capacity(times.len());
        for (row, time) in rows.iter().zip(times) {
            let mut bytes = row.unwrap_or_default();
            let key = read_part(&mut bytes).ok_or_else(corrupt)?;
            let key = key.map(|key| self.keys.deserialize(key)).transpose().map_err(failed)?;
            let value = read_part(&mut bytes).ok_or_else(corrupt)?;
            let value = value.map(|value| self.values.deserialize(value)).transpose().map_err(failed)?;
            let mut headers = Vec::new();
            while !bytes.is_empty() {
                let name = read_part(&mut bytes).flatten().ok_or_else(corrupt)?;
                let key = String::from_utf8(name.to_vec()).map_err(|_| corrupt())?;
                let value = read_part(&mut bytes).ok_or_else(corrupt)?.map(Bytes::copy_from_slice);
                headers.push(Header { key, value });
            }
            output.push(key, value, *time, headers);
        }
        Ok(Box::new(output))
    }
}

/// Appends bytes behind their length, or -1 for none, in 4 bytes.
fn write_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    let length = part.map_or(-1, |part| i32::try_from(part.len()).expect("records are shorter than 2 GiB"));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part.unwrap_or_default());
}

/// Takes what [`write_part`] wrote off the front; the outer none if it does not decode.
fn read_part<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    if length == -1 {
        *bytes = rest;
        return Some(None);
    }
    let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(part))
}

#[cfg(test)]
mod tests;
