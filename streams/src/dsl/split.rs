//! Streams that part: every row goes to the first branch that takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Batch, downcast};
use crate::dsl::builder::supplier;
use crate::dsl::records::Records;
use crate::dsl::stream::{KStream, PassThrough};
use crate::error::StreamsError;
use crate::processor::{Context, Processor};

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Begins to part the stream into branches.
    ///
    /// ```
    /// # use millstream_streams::dsl::{Branched, Consumed, StreamsBuilder};
    /// # use millstream_streams::serde::{Int64, Utf8};
    /// # let builder = StreamsBuilder::new();
    /// let payments = builder.stream::<String, i64>("payments", Consumed::with(Utf8, Int64));
    /// let branches = payments
    ///     .named("payments-")
    ///     .split()
    ///     .branch(|_, cents| *cents < 0, Branched::named("refunds"))
    ///     .branch(|_, cents| *cents > 100_000, Branched::default().with_consumer(|large| large.to("to-check")))
    ///     .default_branch(Branched::named("usual"));
    /// assert_eq!(branches.keys().collect::<Vec<_>>(), ["payments-refunds", "payments-usual"]);
    /// ```
    pub fn split(&self) -> BranchedKStream<K, V> {
        let node = self.graph.node("KSTREAM-BRANCH-");
        BranchedKStream {
            stream: self.clone(),
            node,
            predicates: Vec::new(),
            children: Vec::new(),
            default: None,
            branches: BTreeMap::new(),
        }
    }
}

type Predicate<K, V> = Arc<dyn Fn(Option<&K>, &V) -> bool + Send + Sync>;

/// A stream that is being split. End with [`default_branch`](Self::default_branch) or
/// [`no_default_branch`](Self::no_default_branch).
#[must_use = "a split without an end is not part of the topology"]
pub struct BranchedKStream<K, V> {
    stream: KStream<K, V>,
    node: String,
    predicates: Vec<Predicate<K, V>>,
    /// The nodes of the branches, one per predicate.
    children: Vec<String>,
    default: Option<String>,
    branches: BTreeMap<String, KStream<K, V>>,
}

impl<K, V> BranchedKStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A branch for the rows that match and that no earlier branch took. Rows without value match nothing.
    pub fn branch(
        mut self,
        predicate: impl Fn(Option<&K>, &V) -> bool + Send + Sync + 'static,
        branched: Branched<K, V>,
    ) -> Self {
        self.predicates.push(Arc::new(predicate));
        let child = self.add(self.predicates.len(), branched);
        self.children.push(child);
        self
    }

    /// A branch for all other rows, those without value among them. Ends the split, see
    /// [`no_default_branch`](Self::no_default_branch).
    pub fn default_branch(mut self, branched: Branched<K, V>) -> BTreeMap<String, KStream<K, V>> {
        self.default = Some(self.add(0, branched));
        self.no_default_branch()
    }

    /// Drops all other rows and ends the split. Returns the branches by name: that of the split, followed by that of
    /// the branch or else its position from 1, 0 for the default branch. Branches that were given a consumer are left
    /// out, and so are those whose function returned none.
    pub fn no_default_branch(self) -> BTreeMap<String, KStream<K, V>> {
        let graph = &self.stream.graph;
        let (predicates, children, default) = (Arc::new(self.predicates), self.children, self.default);
        let all: Vec<String> = children.iter().chain(&default).cloned().collect();
        let of_tasks: Arc<[String]> = all.clone().into();
        let branches = children.len();
        let has_default = default.is_some();
        let make = move || Split {
            predicates: Arc::clone(&predicates),
            children: Arc::clone(&of_tasks),
            default: has_default.then_some(branches),
            chosen: Vec::new(),
        };
        graph.processor(&self.node, &[&self.stream.node], &[], supplier(make));
        self.branches
    }

    /// Adds the node of a branch, and what follows it.
    fn add(&mut self, position: usize, branched: Branched<K, V>) -> String {
        let Branched { name, then } = branched;
        let graph = self.stream.graph.clone();
        let position = position.to_string();
        let name = format!("{}{}", self.node, name.as_deref().unwrap_or(&position));
        // Kafka uses up a number here.
        graph.name(&name);
        graph.processor(&name, &[&self.node], &[], supplier(|| PassThrough));
        let branch = KStream { node: name.clone(), ..self.stream.clone() };
        let kept = match then {
            Then::Keep => Some(branch),
            Then::Apply(function) => function(branch),
            Then::Consume(consumer) => {
                consumer(branch);
                None
            }
        };
        if let Some(branch) = kept {
            self.branches.insert(name.clone(), branch);
        }
        name
    }
}

/// The name of a branch, and what becomes of it.
pub struct Branched<K, V> {
    name: Option<String>,
    then: Then<K, V>,
}

type Apply<K, V> = Box<dyn FnOnce(KStream<K, V>) -> Option<KStream<K, V>>>;

enum Then<K, V> {
    Keep,
    Apply(Apply<K, V>),
    Consume(Box<dyn FnOnce(KStream<K, V>)>),
}

impl<K, V> Branched<K, V> {
    /// A branch with this name, behind that of the split.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), then: Then::Keep }
    }

    /// Puts what `function` makes of the branch among the results, and nothing if that is none.
    #[must_use]
    pub fn with_function<R: Into<Option<KStream<K, V>>>>(
        mut self,
        function: impl FnOnce(KStream<K, V>) -> R + 'static,
    ) -> Self {
        self.then = Then::Apply(Box::new(move |branch| function(branch).into()));
        self
    }

    /// Lets `consumer` end the branch, which is not among the results then.
    #[must_use]
    pub fn with_consumer(mut self, consumer: impl FnOnce(KStream<K, V>) + 'static) -> Self {
        self.then = Then::Consume(Box::new(consumer));
        self
    }
}

impl<K, V> Default for Branched<K, V> {
    /// A branch that is named by its position.
    fn default() -> Self {
        Self { name: None, then: Then::Keep }
    }
}

/// Hands every row to one child.
struct Split<K, V> {
    predicates: Arc<Vec<Predicate<K, V>>>,
    /// The children of the predicates, and that of all other rows if there is one.
    children: Arc<[String]>,
    default: Option<usize>,
    /// The child of every row of the batch.
    chosen: Vec<Option<usize>>,
}

impl<K, V> Processor for Split<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn can_fail(&self) -> bool {
        false
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<K, V>>(batch)?;
        self.chosen.clear();
        self.chosen.extend(rows.keys.iter().zip(&rows.values).map(|(key, value)| {
            let taken = value.as_ref().and_then(|value| {
                self.predicates.iter().position(|predicate| predicate(key.as_ref(), value))
            });
            taken.or(self.default)
        }));
        let Some(first) = self.chosen.first().copied() else { return Ok(()) };
        if self.chosen.iter().all(|chosen| *chosen == first) {
            return match first {
                Some(child) => context.forward_to(&self.children[child], rows),
                None => Ok(()),
            };
        }
        let mut parts: Vec<Records<K, V>> = self.children.iter().map(|_| Records::with_capacity(0)).collect();
        let Records { keys, values, timestamps, mut headers } = *rows;
        headers.resize(timestamps.len(), Vec::new());
        let rows = keys.into_iter().zip(values).zip(timestamps.into_iter().zip(headers));
        for (((key, value), (timestamp, headers)), chosen) in rows.zip(&self.chosen) {
            if let Some(chosen) = chosen {
                parts[*chosen].push(key, value, timestamp, headers);
            }
        }
        for (child, part) in self.children.iter().zip(parts) {
            context.forward_to(child, Box::new(part))?;
        }
        Ok(())
    }
}
