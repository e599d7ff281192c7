//! Joins of two streams.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::builder::supplier;
use crate::dsl::fold::serialize_keys;
use crate::dsl::records::Records;
use crate::dsl::self_join::{SelfJoin, same};
use crate::dsl::stream::{KStream, PassThrough, RepartitionStep, repartition};
use crate::error::StreamsError;
use crate::operator::stream_join::{
    JoinParts, JoinStores, JoinWindows, JoinedRow, JoinedStream, Pair, Side, StreamJoin, StreamJoinProcessor,
    StreamJoiner, Unmatched,
};
use crate::serde::{DefaultSerde, DynSerde, Serde};
use crate::store::{StoreHandle, StoreSpec};
use crate::topology::SelfJoinStep;

/// How the rows of two streams are kept while they can be joined, and what the join is called.
pub struct StreamJoined<K, V, W> {
    keys: DynSerde<K>,
    this: DynSerde<V>,
    other: DynSerde<W>,
    name: Option<String>,
    store_name: Option<String>,
    logging: bool,
}

impl<K: 'static, V: 'static, W: 'static> StreamJoined<K, V, W> {
    /// Keeps and repartitions rows with these serdes: of the keys, of this stream's values and of the other's.
    pub fn with(keys: impl Serde<K>, this: impl Serde<V>, other: impl Serde<W>) -> Self {
        Self::of(Arc::new(keys), Arc::new(this), Arc::new(other))
    }

    /// Names the nodes, and the repartition topics `<application.id>-<name>-left-repartition` and
    /// `..-right-repartition`, if there are any.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Names the stores and their changelogs: `<name>-this-join-store` and so on.
    #[must_use]
    pub fn store_named(mut self, name: &str) -> Self {
        self.store_name = Some(name.to_owned());
        self
    }

    /// Keeps no changelogs: rows that wait for others are lost with the state directory.
    #[must_use]
    pub fn without_logging(mut self) -> Self {
        self.logging = false;
        self
    }

    fn of(keys: DynSerde<K>, this: DynSerde<V>, other: DynSerde<W>) -> Self {
        Self { keys, this, other, name: None, store_name: None, logging: true }
    }
}

impl<K: DefaultSerde, V: DefaultSerde, W: DefaultSerde> Default for StreamJoined<K, V, W> {
    fn default() -> Self {
        Self::of(K::default_serde(), V::default_serde(), W::default_serde())
    }
}

impl<K: DefaultSerde, V: DefaultSerde> KStream<K, V> {
    /// Joins rows of both streams that have the same key and times that lie within the windows. A joined row has the
    /// later of both times. The topics must have equal numbers of partitions.
    pub fn join_stream<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, &W) -> O + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, O>
    where
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joined = self.joined_with(other);
        self.join_stream_with(other, move |_, left, right| joiner(left, right), windows, joined)
    }

    /// As [`KStream::join_stream`], and rows of this stream that find none come out once the stream time has passed
    /// their window and its grace.
    pub fn left_join_stream<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, Option<&W>) -> O + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, O>
    where
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joined = self.joined_with(other);
        self.left_join_stream_with(other, move |_, left, right| joiner(left, right), windows, joined)
    }

    /// As [`KStream::join_stream`], and rows of either stream that find none come out once the stream time has passed
    /// their window and its grace.
    pub fn outer_join_stream<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&V>, Option<&W>) -> O + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, O>
    where
        W: DefaultSerde,
        O: Clone + Send + Sync + 'static,
    {
        let joined = self.joined_with(other);
        self.outer_join_stream_with(other, move |_, left, right| joiner(left, right), windows, joined)
    }

    fn joined_with<W: DefaultSerde>(&self, other: &KStream<K, W>) -> StreamJoined<K, V, W> {
        StreamJoined::of(self.key_serde(), self.value_serde(), other.value_serde())
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// As [`KStream::join_stream`], with serdes and names, and a joiner that sees the key, too.
    pub fn join_stream_with<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&K>, &V, &W) -> O + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, O>
    where
        W: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |key: Option<&K>, left: Option<&V>, right: Option<&W>| {
            joiner(key, left.expect(MATCHES_ONLY), right.expect(MATCHES_ONLY))
        };
        let (keeps_left, keeps_right) = (false, false);
        let join = StreamJoin { windows, keeps_left, keeps_right, unmatched: Unmatched::Final };
        self.join_rows(other, joiner, join, joined)
    }

    /// As [`KStream::left_join_stream`], with serdes and names, and a joiner that sees the key, too. Rows without key
    /// find none and come out at once.
    pub fn left_join_stream_with<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&K>, &V, Option<&W>) -> O + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, O>
    where
        W: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let joiner = move |key: Option<&K>, left: Option<&V>, right: Option<&W>| {
            joiner(key, left.expect(MATCHES_ONLY), right)
        };
        let (keeps_left, keeps_right) = (true, false);
        let join = StreamJoin { windows, keeps_left, keeps_right, unmatched: Unmatched::Final };
        self.join_rows(other, joiner, join, joined)
    }

    /// As [`KStream::outer_join_stream`], with serdes and names, and a joiner that sees the key, too. Rows without key
    /// find none and come out at once.
    pub fn outer_join_stream_with<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&K>, Option<&V>, Option<&W>) -> O + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, O>
    where
        W: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let (keeps_left, keeps_right) = (true, true);
        let join = StreamJoin { windows, keeps_left, keeps_right, unmatched: Unmatched::Final };
        self.join_rows(other, joiner, join, joined)
    }

    fn join_rows<W, O>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&K>, Option<&V>, Option<&W>) -> O + Send + Sync + 'static,
        join: StreamJoin,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, O>
    where
        W: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
    {
        let left = self.beside(&joined, "left", join.keeps_left, &joined.this);
        let right = other.beside(&joined, "right", join.keeps_right, &joined.other);
        let graph = &self.graph;
        let nodes = graph.given_name().or_else(|| joined.name.clone());
        let names = Names::new(&joined, nodes, join, |prefix| graph.name(prefix));
        let (left_values, right_values) = (joined.this.clone(), joined.other.clone());
        let (arena_left, arena_right) = (left_values.clone(), right_values.clone());
        let retention = join.windows.retention();
        let logged = |spec: StoreSpec| if joined.logging { spec } else { spec.without_changelog() };
        let left_rows =
            graph.store(logged(StoreSpec::stream_rows(&names.left_store, retention, move || {
                ValueArena::new(arena_left.clone())
            })));
        let right_rows =
            graph.store(logged(StoreSpec::stream_rows(&names.right_store, retention, move || {
                ValueArena::new(arena_right.clone())
            })));
        let waiting = join.waits().then(|| graph.store(logged(StoreSpec::ordered(&names.waiting_store))));
        let joiner = Arc::new(joiner);
        let is_inner = !join.keeps_left && !join.keeps_right;
        if TypeId::of::<V>() == TypeId::of::<W>() && (is_inner || join.includes_itself()) {
            let (keys, joiner) = (joined.keys.clone(), Arc::clone(&joiner));
            let make = move || {
                let joiner = Arc::clone(&joiner);
                let joiner = move |key: Option<&K>, left: Option<&V>, right: Option<&V>| {
                    joiner(key, left, right.map(same::<V, W>))
                };
                SelfJoin::new(keys.clone(), joiner, join, left_rows)
            };
            graph.may_be_self_join(SelfJoinStep {
                left: names.left.clone(),
                right: names.right.clone(),
                merge: names.merge.clone(),
                supplier: supplier(make),
                rows: left_rows,
                unused: [right_rows].into_iter().chain(waiting).collect(),
            });
        }
        let make = |side: Side| {
            let (keys, joiner) = (joined.keys.clone(), Arc::clone(&joiner));
            let stores = JoinStores { left: left_rows, right: right_rows, waiting };
            move || {
                let (left, right) = (TypedStream::new(&keys), TypedStream::new(&keys));
                let joiner = TypedJoin { left, right, joiner: Arc::clone(&joiner) };
                StreamJoinProcessor::new(joiner, side, join, stores)
            }
        };
        let mut stores: Vec<StoreHandle> = vec![left_rows, right_rows];
        stores.extend(waiting);
        graph.processor(&names.left, &[&left], &stores, supplier(make(Side::Left)));
        graph.processor(&names.right, &[&right], &stores, supplier(make(Side::Right)));
        graph.processor(&names.merge, &[&names.left, &names.right], &[], supplier(|| PassThrough));
        graph.with(|topology| {
            topology.copartition(&[&left, &right]).pair(&names.left, &names.right);
        });
        let keys = Some(joined.keys);
        KStream { graph: graph.clone(), node: names.merge, rekeyed: false, keys, values: None }
    }

    /// The node of this stream's rows where they meet those of the other one with the same key.
    fn beside<A, B>(
        &self,
        joined: &StreamJoined<K, A, B>,
        side: &str,
        keeps_null_keys: bool,
        values: &DynSerde<V>,
    ) -> String {
        if !self.rekeyed {
            return self.node.clone();
        }
        let topic = joined.name.as_ref().map_or_else(|| self.node.clone(), |name| format!("{name}-{side}"));
        let named = joined.name.is_some();
        let step = RepartitionStep { topic: &topic, named, partitions: None, keeps_null_keys, movable: true };
        repartition(&self.graph, &self.node, step, &joined.keys, values)
    }
}

const ROWS_OF_INPUT: &str = "rows that are joined are rows of the input";
const MATCHES_ONLY: &str = "a join brings only rows together that its kind asks for";

/// Kafka's names of a join's nodes and stores.
struct Names {
    left: String,
    right: String,
    merge: String,
    left_store: String,
    right_store: String,
    waiting_store: String,
}

impl Names {
    fn new<K, V, W>(
        joined: &StreamJoined<K, V, W>,
        nodes: Option<String>,
        join: StreamJoin,
        mut next: impl FnMut(&str) -> String,
    ) -> Self {
        // Kafka has two more nodes, which put rows into their stores; their numbers are used up.
        next("KSTREAM-WINDOWED-");
        next("KSTREAM-WINDOWED-");
        let (left_prefix, left_suffix) = match join.keeps_right {
            true => ("KSTREAM-OUTERTHIS-", "-outer-this-join"),
            false => ("KSTREAM-JOINTHIS-", "-this-join"),
        };
        let (right_prefix, right_suffix) = match join.keeps_left {
            true => ("KSTREAM-OUTEROTHER-", "-outer-other-join"),
            false => ("KSTREAM-JOINOTHER-", "-other-join"),
        };
        let shared_suffix = if join.keeps_right { "-outer-shared-join" } else { "-left-shared-join" };
        let (left, right, merge) = (next(left_prefix), next(right_prefix), next("KSTREAM-MERGE-"));
        let shared = format!("KSTREAM-OUTERSHARED-{}", &left[left_prefix.len()..]);
        let node = |suffix: &str, generated: &str| match &nodes {
            Some(name) => format!("{name}{suffix}"),
            None => generated.to_owned(),
        };
        let store = |suffix: &str, generated: &str| match &joined.store_name {
            Some(name) => format!("{name}{suffix}-store"),
            None => format!("{generated}-store"),
        };
        Self {
            left_store: store(left_suffix, &left),
            right_store: store(right_suffix, &right),
            waiting_store: store(shared_suffix, &shared),
            left: node(left_suffix, &left),
            right: node(right_suffix, &right),
            merge: node("-merge", &merge),
        }
    }
}

/// A side of a typed join: rows of `V`.
struct TypedStream<K, V> {
    keys: DynSerde<K>,
    of: PhantomData<fn(V)>,
}

impl<K, V> TypedStream<K, V> {
    fn new(keys: &DynSerde<K>) -> Self {
        Self { keys: keys.clone(), of: PhantomData }
    }
}

impl<K, V> JoinedStream for TypedStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Rows = ValueArena<V>;
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.keys, keys)
    }

    fn has_value(&self, input: &Self::Input, row: usize) -> bool {
        input.values[row].is_some()
    }

    fn write(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Rows,
    ) -> Result<(), StreamsError> {
        for (row, slot) in rows.iter().zip(slots) {
            arena.values[*slot as usize].clone_from(&input.values[*row as usize]);
        }
        Ok(())
    }
}

/// A typed join of rows of `V` and `W` by `joiner`.
struct TypedJoin<K, V, W, F> {
    left: TypedStream<K, V>,
    right: TypedStream<K, W>,
    joiner: Arc<F>,
}

impl<K, V, W, O, F> StreamJoiner for TypedJoin<K, V, W, F>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    W: Clone + Send + Sync + 'static,
    O: Clone + Send + Sync + 'static,
    F: Fn(Option<&K>, Option<&V>, Option<&W>) -> O + Send + Sync + 'static,
{
    type Left = TypedStream<K, V>;
    type Right = TypedStream<K, W>;

    fn sides(&mut self) -> (&mut Self::Left, &mut Self::Right) {
        (&mut self.left, &mut self.right)
    }

    fn join(&mut self, rows: &[JoinedRow], of: &JoinParts<'_, Self>) -> Result<Box<dyn Batch>, StreamsError> {
        let (left, right) = (of.left.arena(), of.right.arena());
        let mut output = Records::with_capacity(rows.len());
        for joined in rows {
            let row = joined.row as usize;
            let (key, value) = match joined.pair {
                Pair::LeftAlone(place, slot) => {
                    let key = self.stored_key(of.left.key(place))?;
                    let value = (self.joiner)(Some(&key), left.get(slot), None);
                    (Some(key), value)
                }
                Pair::RightAlone(place, slot) => {
                    let key = self.stored_key(of.right.key(place))?;
                    let value = (self.joiner)(Some(&key), None, right.get(slot));
                    (Some(key), value)
                }
                Pair::Matched(_) | Pair::Alone => {
                    let slot = match joined.pair {
                        Pair::Matched(slot) => Some(slot),
                        _ => None,
                    };
                    match joined.side {
                        Side::Left => {
                            let input = of.inputs.left.expect(ROWS_OF_INPUT);
                            let (key, value) = (&input.keys[row], input.values[row].as_ref());
                            let with = slot.and_then(|slot| right.get(slot));
                            (key.clone(), (self.joiner)(key.as_ref(), value, with))
                        }
                        Side::Right => {
                            let input = of.inputs.right.expect(ROWS_OF_INPUT);
                            let (key, value) = (&input.keys[row], input.values[row].as_ref());
                            let with = slot.and_then(|slot| left.get(slot));
                            (key.clone(), (self.joiner)(key.as_ref(), with, value))
                        }
                    }
                }
            };
            let headers = match joined.side {
                Side::Left => of.inputs.left.map(|input| input.headers_of(row)),
                Side::Right => of.inputs.right.map(|input| input.headers_of(row)),
            };
            output.push(key, Some(value), joined.time, headers.unwrap_or_default().to_vec());
        }
        Ok(Box::new(output))
    }
}

impl<K: 'static, V, W, F> TypedJoin<K, V, W, F> {
    fn stored_key(&self, bytes: &[u8]) -> Result<K, StreamsError> {
        let key = self.left.keys.deserialize(bytes);
        key.map_err(|error| StreamsError::Serde(format!("stored key: {error}")))
    }
}

#[cfg(test)]
mod tests;
