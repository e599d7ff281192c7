//! Queries with their conditions, answered partition by partition: as Kafka's interactive queries, version 2
//! (KIP-796).
//!
//! ```no_run
//! # fn ask(app: &millstream_streams::Streams) -> Result<(), millstream_streams::StreamsError> {
//! use millstream_streams::store::{KeyQuery, StateQueryRequest};
//! let request = StateQueryRequest::in_store("counts", KeyQuery::<String, i64>::of("EWR".to_owned()));
//! for (partition, answer) in app.query(&request)?.partitions {
//!     println!("{partition}: {:?}", answer.map(|answer| answer.result));
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeInclusive};

use millstream_log::{Offset, TopicPartition};

use crate::error::{StreamsError, full_message};
use crate::serde::Windowed;
use crate::store::backend::Direction;
use crate::store::typed::{ValueAndTimestamp, VersionedRecord};
use crate::store::view::StoreView;

/// How far state has come in its inputs: of each input partition, the offset of the last record that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<TopicPartition, Offset>);

impl Position {
    /// Of no record.
    pub fn new() -> Self {
        Self::default()
    }

    /// And up to this record.
    #[must_use]
    pub fn with(mut self, partition: TopicPartition, offset: Offset) -> Self {
        let known = self.0.entry(partition).or_insert(offset);
        *known = offset.max(*known);
        self
    }

    /// The offset of the last record of an input partition that is in the state.
    pub fn offset(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.get(partition).copied()
    }

    /// The input partitions with their offsets.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.0.iter().map(|(partition, offset)| (partition, *offset))
    }

    /// Both together.
    #[must_use]
    pub fn merge(self, other: &Self) -> Self {
        other.iter().fold(self, |position, (partition, offset)| position.with(partition.clone(), offset))
    }
}

/// What a query asks of each partition of a store, on its own.
pub trait StateQuery {
    /// The answer of one partition.
    type Result;

    /// Answers for the partition that the view is on.
    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError>;
}

/// A query with the store that it goes to and its conditions.
pub struct StateQueryRequest<Q> {
    pub(crate) store: String,
    pub(crate) query: Q,
    pub(crate) partitions: Option<Vec<u32>>,
    pub(crate) bound: Position,
}

/// Where the value of a key is. As Kafka's `KeyQueryMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMetadata {
    /// The partition of the store.
    pub partition: u32,
    /// Whether this instance has it.
    pub is_here: bool,
    /// The `application.server` of the instance that has it. None if that has none, or while nobody does.
    pub host: Option<String>,
    /// Those of the instances that keep a copy.
    pub standby_hosts: Vec<String>,
}

impl<Q: StateQuery> StateQueryRequest<Q> {
    /// A query to all partitions of a store that are here, however far they have come.
    pub fn in_store(store: &str, query: Q) -> Self {
        Self { store: store.to_owned(), query, partitions: None, bound: Position::new() }
    }

    /// Asks only these partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        self.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Asks only partitions whose state has the records up to this position, as far as they are of their inputs:
    /// so that one reads what one wrote.
    #[must_use]
    pub fn at_least(mut self, bound: Position) -> Self {
        self.bound = bound;
        self
    }

    /// Runs the query. `position` tells how far the state of a partition has come, over all inputs of its task.
    pub(crate) fn run(
        &self,
        view: &StoreView,
        partitions: u32,
        position: impl Fn(u32) -> BTreeMap<TopicPartition, Option<Offset>>,
    ) -> StateQueryResult<Q::Result> {
        let asked = self.partitions.clone().unwrap_or_else(|| view.partitions().to_vec());
        let answers = asked.into_iter().map(|partition| {
            let answer = match view.partition(partition) {
                Some(view) => self.ask(&view, position(partition)),
                None if partition < partitions => Err(QueryFailure::not_present(partition)),
                None => Err(QueryFailure::does_not_exist(partition, partitions)),
            };
            (partition, answer)
        });
        let partitions: BTreeMap<_, _> = answers.collect();
        let positions = partitions.values().flatten().map(|answer| &answer.position);
        let position = positions.fold(Position::new(), Position::merge);
        StateQueryResult { partitions, position }
    }

    fn ask(
        &self,
        view: &StoreView,
        inputs: BTreeMap<TopicPartition, Option<Offset>>,
    ) -> Result<PartitionAnswer<Q::Result>, QueryFailure> {
        // The position is read before the state, which can only have come further since.
        for (partition, wanted) in self.bound.iter() {
            if let Some(reached) = inputs.get(partition)
                && reached.is_none_or(|reached| reached < wanted)
            {
                return Err(QueryFailure::not_up_to_bound(partition, wanted, *reached));
            }
        }
        let reached = inputs.into_iter().filter_map(|(partition, offset)| Some((partition, offset?)));
        let position = Position(reached.collect());
        match self.query.run(view) {
            Ok(result) => Ok(PartitionAnswer { result, position }),
            Err(error) => {
                let reason = match error {
                    StreamsError::WrongStore { .. } => FailureReason::UnknownQueryType,
                    _ => FailureReason::StoreException,
                };
                Err(QueryFailure { reason, message: full_message(&error) })
            }
        }
    }
}

/// The answers to a query.
#[derive(Clone, Debug)]
pub struct StateQueryResult<R> {
    /// By partition: the answer, or why there is none.
    pub partitions: BTreeMap<u32, Result<PartitionAnswer<R>, QueryFailure>>,
    /// How far the partitions that answered have come.
    pub position: Position,
}

impl<R> StateQueryResult<Option<R>> {
    /// The one result of a query that at most one partition can answer with one.
    pub fn only(self) -> Option<R> {
        self.partitions.into_values().flatten().find_map(|answer| answer.result)
    }
}

/// The answer of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAnswer<R> {
    /// The result.
    pub result: R,
    /// How far the state that it comes from had come at least.
    pub position: Position,
}

/// Why a partition did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFailure {
    /// The kind of reason.
    pub reason: FailureReason,
    /// What happened, for people.
    pub message: String,
}

/// The kinds of reasons for which a partition does not answer, with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The store cannot answer such a query.
    UnknownQueryType,
    /// The state has not come as far as was asked for: try again.
    NotUpToBound,
    /// The partition is not here, but perhaps in another process of the application.
    NotPresent,
    /// The store has no such partition.
    DoesNotExist,
    /// The store failed.
    StoreException,
}

impl QueryFailure {
    fn not_present(partition: u32) -> Self {
        let message = format!("partition {partition} is not here: ask the process that has it");
        Self { reason: FailureReason::NotPresent, message }
    }

    fn does_not_exist(partition: u32, partitions: u32) -> Self {
        let message = format!("there is no partition {partition}: the store has {partitions}");
        Self { reason: FailureReason::DoesNotExist, message }
    }

    fn not_up_to_bound(partition: &TopicPartition, wanted: Offset, reached: Option<Offset>) -> Self {
        let reached = reached.map_or_else(|| "no record".to_owned(), |offset| format!("offset {offset}"));
        let message = format!("the state has {reached} of {partition} and not {wanted} yet: try again");
        Self { reason: FailureReason::NotUpToBound, message }
    }
}

impl fmt::Display for QueryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryFailure {}

macro_rules! by_types {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        pub struct $name<K, V> {
            $($(#[$field_doc])* pub $field: $type,)*
            /// The type of the values.
            pub values: std::marker::PhantomData<fn() -> V>,
        }
    };
}

by_types! {
    /// The value of a key: as Kafka's `KeyQuery`, and with its timestamp as `TimestampedKeyQuery`.
    KeyQuery {
        /// The key.
        key: K,
    }
}

by_types! {
    /// The rows of a range of keys: as Kafka's `RangeQuery` and `TimestampedRangeQuery`.
    RangeQuery {
        /// The first key.
        from: Bound<K>,
        /// The last key.
        to: Bound<K>,
        /// The order.
        direction: Direction,
    }
}

by_types! {
    /// A key's windows that start in a range of times, or its sessions that end in it: as Kafka's `WindowKeyQuery`.
    WindowKeyQuery {
        /// The key.
        key: K,
        /// The times in ms.
        times: RangeInclusive<i64>,
    }
}

by_types! {
    /// The windows of all keys that start in a range of times, or the sessions that end in it: as Kafka's
    /// `WindowRangeQuery`.
    WindowRangeQuery {
        /// The times in ms.
        times: RangeInclusive<i64>,
        /// The type of the keys.
        keys: std::marker::PhantomData<fn() -> K>,
    }
}

by_types! {
    /// The value that a key had at a time: as Kafka's `VersionedKeyQuery`.
    VersionedKeyQuery {
        /// The key.
        key: K,
        /// The time in ms; `i64::MAX` for the latest value.
        as_of: i64,
    }
}

by_types! {
    /// The values that a key had at some time in a range: as Kafka's `MultiVersionedKeyQuery`.
    MultiVersionedKeyQuery {
        /// The key.
        key: K,
        /// The times in ms.
        times: RangeInclusive<i64>,
        /// [`Direction::Reverse`] gives the latest value first.
        direction: Direction,
    }
}

impl<K, V> KeyQuery<K, V> {
    /// The value of this key.
    pub fn of(key: K) -> Self {
        Self { key, values: std::marker::PhantomData }
    }
}

impl<K, V> RangeQuery<K, V> {
    /// All keys in ascending order.
    pub fn all() -> Self {
        Self::between(Bound::Unbounded, Bound::Unbounded)
    }

    /// A range of keys in ascending order.
    pub fn between(from: Bound<K>, to: Bound<K>) -> Self {
        Self { from, to, direction: Direction::Forward, values: std::marker::PhantomData }
    }

    /// In descending order.
    #[must_use]
    pub fn descending(self) -> Self {
        Self { direction: Direction::Reverse, ..self }
    }
}

impl<K, V> WindowKeyQuery<K, V> {
    /// The windows of a key.
    pub fn of(key: K, times: RangeInclusive<i64>) -> Self {
        Self { key, times, values: std::marker::PhantomData }
    }
}

impl<K, V> WindowRangeQuery<K, V> {
    /// The windows of all keys.
    pub fn within(times: RangeInclusive<i64>) -> Self {
        Self { times, keys: std::marker::PhantomData, values: std::marker::PhantomData }
    }
}

impl<K, V> VersionedKeyQuery<K, V> {
    /// The latest value of a key.
    pub fn of(key: K) -> Self {
        Self { key, as_of: i64::MAX, values: std::marker::PhantomData }
    }

    /// The value at a time (ms).
    #[must_use]
    pub fn as_of(self, time: i64) -> Self {
        Self { as_of: time, ..self }
    }
}

impl<K, V> MultiVersionedKeyQuery<K, V> {
    /// All values of a key that are kept, the latest first.
    pub fn of(key: K) -> Self {
        let (times, direction) = (i64::MIN..=i64::MAX, Direction::Reverse);
        Self { key, times, direction, values: std::marker::PhantomData }
    }

    /// Those that it had at some time in this range (ms).
    #[must_use]
    pub fn within(self, times: RangeInclusive<i64>) -> Self {
        Self { times, ..self }
    }

    /// The earliest first.
    #[must_use]
    pub fn ascending(self) -> Self {
        Self { direction: Direction::Forward, ..self }
    }
}

impl<K: 'static, V: 'static> StateQuery for KeyQuery<K, V> {
    type Result = Option<ValueAndTimestamp<V>>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        view.key_value::<K, V>()?.get(&self.key)
    }
}

impl<K: 'static, V: 'static> StateQuery for RangeQuery<K, V> {
    type Result = Vec<(K, ValueAndTimestamp<V>)>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        let store = view.key_value::<K, V>()?;
        let range = (self.from.as_ref(), self.to.as_ref());
        match self.direction {
            Direction::Forward => store.range(range)?.collect(),
            Direction::Reverse => store.reverse_range(range)?.collect(),
        }
    }
}

impl<K: 'static, V: 'static> StateQuery for WindowKeyQuery<K, V> {
    type Result = Vec<(Windowed<K>, V)>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        let key = (Bound::Included(&self.key), Bound::Included(&self.key));
        view.windowed::<K, V>()?.windows(&key, self.times.clone(), Direction::Forward)?.collect()
    }
}

impl<K: 'static, V: 'static> StateQuery for WindowRangeQuery<K, V> {
    type Result = Vec<(Windowed<K>, V)>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        view.windowed::<K, V>()?.windows(&.., self.times.clone(), Direction::Forward)?.collect()
    }
}

impl<K: 'static, V: 'static> StateQuery for VersionedKeyQuery<K, V> {
    type Result = Option<VersionedRecord<V>>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        view.versioned::<K, V>()?.get_as_of(&self.key, self.as_of)
    }
}

impl<K: 'static, V: 'static> StateQuery for MultiVersionedKeyQuery<K, V> {
    type Result = Vec<VersionedRecord<V>>;

    fn run(&self, view: &StoreView) -> Result<Self::Result, StreamsError> {
        let mut records = view.versioned::<K, V>()?.history(&self.key, self.times.clone())?;
        if self.direction == Direction::Forward {
            records.reverse();
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests;
