//! Grouped tables and their aggregations.

use std::sync::Arc;

use crate::batch::{Batch, downcast};
use crate::dsl::builder::{Graph, supplier};
use crate::dsl::changes::Changes;
use crate::dsl::codec;
use crate::dsl::grouped::{FoldNames, FoldPlan, PlannedWindows, add_fold};
use crate::dsl::params::{Grouped, Materialized};
use crate::dsl::records::Records;
use crate::dsl::stream::Map;
use crate::dsl::table::KTable;
use crate::error::StreamsError;
use crate::operator::EmitStrategy;
use crate::serde::{DynSerde, Serde, SerdeError};

/// A table grouped by a new key. An update of the table takes the old row out of its group and adds the new one.
///
/// Rows travel through a repartition topic. An update whose group stays the same is one record there; if it
/// moves, the two groups are changed one after the other, and a reader may see the row twice or not at all in
/// between.
pub struct KGroupedTable<K, V> {
    graph: Graph,
    /// The node whose rows are changes of groups.
    node: String,
    grouped: Grouped<K, V>,
}

impl<K, V> KGroupedTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Names the node of the aggregation; its store is named by [`Materialized`], its repartition topic by [`Grouped`].
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { graph: self.graph.named(name), ..self }
    }

    /// Counts the rows of a group.
    pub fn count(self, materialized: Materialized<i64>) -> KTable<K, i64> {
        self.fold("KTABLE-AGGREGATE-", materialized, |_, change, count| {
            let count = match change.old {
                Some(_) => count.map(|count| count - 1),
                None => count,
            };
            change.new.as_ref().map(|_| count.unwrap_or(0) + 1).or(count)
        })
    }

    /// Combines the values of a group: `adder` takes a new value in and `subtractor` an old one out. The first
    /// value of a group is its aggregate as it is.
    pub fn reduce(
        self,
        adder: impl Fn(V, &V) -> V + Send + Sync + 'static,
        subtractor: impl Fn(V, &V) -> V + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.fold("KTABLE-REDUCE-", materialized, move |_, change, state| {
            let state = match (state, &change.old) {
                (Some(state), Some(old)) => Some(subtractor(state, old)),
                (state, _) => state,
            };
            match (state, &change.new) {
                (Some(state), Some(new)) => Some(adder(state, new)),
                (None, Some(new)) => Some(new.clone()),
                (state, None) => state,
            }
        })
    }

    /// Folds the values of a group into an aggregate that begins with `init`: `adder` takes a new value in and
    /// `subtractor` an old one out. One that returns an [`Option`] deletes the aggregate with none.
    pub fn aggregate<A, R, S>(
        self,
        init: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K, &V, A) -> R + Send + Sync + 'static,
        subtractor: impl Fn(&K, &V, A) -> S + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
        R: Into<Option<A>> + 'static,
        S: Into<Option<A>> + 'static,
    {
        self.fold("KTABLE-AGGREGATE-", materialized, move |key, change, state| {
            let state = match (state, &change.old) {
                (Some(state), Some(old)) => subtractor(key, old, state).into(),
                (state, _) => state,
            };
            match &change.new {
                Some(new) => adder(key, new, state.unwrap_or_else(&init)).into(),
                None => state,
            }
        })
    }

    fn fold<A>(
        self,
        prefix: &str,
        materialized: Materialized<A>,
        step: impl Fn(&K, &Change<V>, Option<A>) -> Option<A> + Send + Sync + 'static,
    ) -> KTable<K, A>
    where
        A: Clone + Send + Sync + 'static,
    {
        let names = FoldNames::new(&self.graph, prefix, &materialized);
        let Grouped { keys, values, name } = self.grouped;
        let topic = name.as_deref().unwrap_or(&names.store);
        let (repartition, _) = self.graph.repartition_names(topic, name.is_some());
        let changes: DynSerde<Change<V>> = Arc::new(ChangeSerde(values));
        let encoder = codec::encoder(Arc::clone(&keys), Arc::clone(&changes));
        let decoder = codec::decoder(Arc::clone(&keys), changes, None);
        let source = self.graph.with(|topology| {
            topology.add_named_repartition(repartition, None, encoder, decoder, &[&self.node])
        });
        // Taking a row out of a group that is not known leaves no group.
        let plan = FoldPlan {
            prefix,
            windows: PlannedWindows::None,
            emit: EmitStrategy::OnWindowUpdate,
            needs_value: true,
            may_delete: true,
        };
        let step = move |key: &K, change: Option<&Change<V>>, state| match change {
            Some(change) => step(key, change, state),
            None => state,
        };
        add_fold(&self.graph, &source, names, plan, (keys.clone(), keys), materialized, step, |key, _| key)
    }
}

/// Groups the rows of a table by the keys that `mapper` makes.
pub(crate) fn group<K, V, K2, V2>(
    table: &KTable<K, V>,
    mapper: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
    grouped: Grouped<K2, V2>,
) -> KGroupedTable<K2, V2>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    K2: Clone + PartialEq + Send + Sync + 'static,
    V2: Clone + Send + Sync + 'static,
{
    table.send_old();
    let node = table.graph.node("KTABLE-SELECT-");
    let select = Arc::new(move |batch: Box<dyn Batch>| -> Result<Box<dyn Batch>, StreamsError> {
        Ok(Box::new(select(&*downcast::<Changes<K, V>>(batch)?, &mapper)))
    });
    table.graph.processor(&node, &[&table.node], &[], supplier(move || Map(Arc::clone(&select))));
    KGroupedTable { graph: table.graph.clone(), node, grouped }
}

/// What changes of a table are to its groups: one row if the group stays the same, else one for each.
fn select<K, V, K2: PartialEq, V2>(
    changes: &Changes<K, V>,
    mapper: impl Fn(&K, &V) -> (K2, V2),
) -> Records<K2, Change<V2>> {
    let mut output = Records::with_capacity(changes.rows.len());
    for (row, (key, value)) in changes.rows.keys.iter().zip(&changes.rows.values).enumerate() {
        let Some(key) = key else { continue };
        let mut push = |key, new, old| {
            let (time, headers) = (changes.rows.timestamps[row], changes.rows.headers_of(row).to_vec());
            output.push(Some(key), Some(Change { new, old }), time, headers);
        };
        let old = changes.old_of(row).map(|old| mapper(key, old));
        let new = value.as_ref().map(|new| mapper(key, new));
        match (old, new) {
            (Some((from, old)), Some((to, new))) if from == to => push(to, Some(new), Some(old)),
            (old, new) => {
                if let Some((from, old)) = old {
                    push(from, None, Some(old));
                }
                if let Some((to, new)) = new {
                    push(to, Some(new), None);
                }
            }
        }
    }
    output
}

/// A change of a group: what leaves it and what enters it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<V> {
    pub(crate) new: Option<V>,
    pub(crate) old: Option<V>,
}

/// The last byte of a change says what is before it.
const OLD: u8 = 0;
const NEW: u8 = 1;
/// The length of the new value in 4 bytes, big endian, the new value, the old value (KIP-904).
const BOTH: u8 = 2;

/// Changes as Kafka's repartition topics of grouped tables have them.
struct ChangeSerde<V>(DynSerde<V>);

impl<V: Send + Sync + 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, change: &Change<V>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let kind = match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                self.0.serialize(new, out)?;
                let length = u32::try_from(out.len() - start - 4)
                    .map_err(|_| SerdeError::new("a value has 4 GiB or more"))?;
                out[start..start + 4].copy_from_slice(&length.to_be_bytes());
                self.0.serialize(old, out)?;
                BOTH
            }
            (Some(new), None) => {
                self.0.serialize(new, out)?;
                NEW
            }
            (None, Some(old)) => {
                self.0.serialize(old, out)?;
                OLD
            }
            (None, None) => return Err(SerdeError::new("a change has a new or an old value")),
        };
        out.push(kind);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Change<V>, SerdeError> {
        let value = |bytes: &[u8]| self.0.deserialize(bytes).map(Some);
        match bytes.split_last() {
            Some((&OLD, old)) => Ok(Change { new: None, old: value(old)? }),
            Some((&NEW, new)) => Ok(Change { new: value(new)?, old: None }),
            Some((&BOTH, values)) => {
                let (length, values) = values.split_first_chunk::<4>().ok_or_else(|| cut(bytes))?;
                let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut(bytes))?;
                let (new, old) = values.split_at_checked(length).ok_or_else(|| cut(bytes))?;
                Ok(Change { new: value(new)?, old: value(old)? })
            }
            Some((kind, _)) => Err(SerdeError::new(format!("a change of kind {kind}, which is not known"))),
            None => Err(cut(bytes)),
        }
    }
}

fn cut(bytes: &[u8]) -> SerdeError {
    SerdeError::new(format!("a change that ends after {} bytes", bytes.len()))
}
