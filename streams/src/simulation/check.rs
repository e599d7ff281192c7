//! What must hold when all is done, whatever the application is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millstream_log::{Log, OffsetSpec, TopicPartition};

use super::instance::Instance;
use super::state_disk::StateDisk;
use super::workload::Rows;
use crate::error::{StreamsError, full_message};
use crate::runtime::app::view;
use crate::runtime::plan::changelog_topic;
use crate::store::cache::StorePlace;
use crate::store::changelog::{self, Progress};
use crate::store::{KeyRange, StateBackend, StoreView};
use crate::topology::Topology;

/// A rule that a run has broken.
///
/// * S0: nothing fails but what was made to fail, and every run comes to its end.
/// * S1: outputs and state are those of a naive fold over the committed input.
/// * S2: what is committed obeys the application's own laws at any time.
/// * S3: committed state is never ahead of the changelog.
/// * S4: in the end the changelogs alone give the state.
/// * S5: in the end no transaction is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// How it was broken.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

impl Violation {
    pub(super) fn new(rule: &'static str, text: impl Into<String>) -> Self {
        Self { rule, text: text.into() }
    }
}

/// An error where none may be.
pub(super) fn unexpected(what: &str, error: &(dyn std::error::Error + 'static)) -> Violation {
    Violation::new("S0", format!("{what}: {}", full_message(error)))
}

/// The committed rows of all stores.
pub(super) fn rows(topology: &Topology, instance: &Instance) -> Result<Rows, StreamsError> {
    let mut rows = Rows::new();
    for store in &topology.stores {
        let view = view(topology, &instance.setup.plan, &instance.shared, store.name())?;
        rows.insert(store.name().to_owned(), view.scan(KeyRange::all()).collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

/// Every store partition that has a changelog, with its changelog.
fn logged(
    topology: &Topology,
    instance: &Instance,
    backend: &Arc<dyn StateBackend>,
) -> Result<Vec<(StorePlace, TopicPartition)>, StreamsError> {
    let mut places = Vec::new();
    for (spec, partitions) in topology.stores.iter().zip(&instance.setup.plan.store_partitions) {
        for partition in (0..*partitions).filter(|_| spec.changelog) {
            let topic = changelog_topic(&instance.shared.config.application_id, spec.name());
            let topic = TopicPartition::new(topic.as_str(), partition);
            places.push((StorePlace::open(spec, backend, partition)?, topic));
        }
    }
    Ok(places)
}

/// Rule S3.
pub(super) fn state_is_not_ahead(
    topology: &Topology,
    instance: &Instance,
    log: &Log,
) -> Result<Result<(), Violation>, StreamsError> {
    for (place, topic) in logged(topology, instance, &instance.shared.backend)? {
        let known = Progress::read(place.backend.as_ref(), place.offsets, &place.name, place.partition)?;
        let end = log.offsets(&topic, OffsetSpec::Latest)?;
        if let Some(known) = known.filter(|known| known.offset > end) {
            let text = format!("the state knows {topic} up to {}, and it ends at {end}", known.offset);
            return Ok(Err(Violation::new("S3", text)));
        }
    }
    Ok(Ok(()))
}

/// Rule S4.
pub(super) fn changelogs_give_the_state(
    topology: &Topology,
    instance: &Instance,
    log: &Log,
) -> Result<Result<(), Violation>, StreamsError> {
    let anew: Arc<dyn StateBackend> = Arc::new(StateDisk::default());
    let known = logged(topology, instance, &instance.shared.backend)?;
    let restored = logged(topology, instance, &anew)?;
    for ((known, topic), (restored, _)) in known.into_iter().zip(restored) {
        changelog::restore(log, &restored, Some(&topic))?;
        let rows = |place: StorePlace| {
            let partitions = vec![place.partition];
            let view = StoreView { place, partitions };
            let rows = view.scan(KeyRange::all()).map(|row| {
                row.map(|row| ((row.key, row.window_start, row.window_end), (row.timestamp, row.value)))
            });
            rows.collect::<Result<BTreeMap<_, _>, StreamsError>>()
        };
        let expires = known.kind.retention_ms().is_some() || known.ttl_ms.is_some();
        let (known, mut restored) = (rows(known)?, rows(restored)?);
        if expires {
            // What has expired leaves the changelog by its retention, later.
            restored.retain(|key, _| known.contains_key(key));
        }
        if known != restored {
            let text = format!("{topic} gives {restored:?}, and the state is {known:?}");
            return Ok(Err(Violation::new("S4", text)));
        }
    }
    Ok(Ok(()))
}

/// Rule S5.
pub(super) fn nothing_is_open(log: &Log) -> Result<Result<(), Violation>, StreamsError> {
    for topic in log.topics() {
        for partition in 0..topic.partitions {
            let id = TopicPartition::new(&*topic.name, partition);
            let (stable, end) = (log.last_stable_offset(&id)?, log.offsets(&id, OffsetSpec::Latest)?);
            if stable != end {
                let text = format!("{id} is stable up to {stable} and ends at {end}");
                return Ok(Err(Violation::new("S5", text)));
            }
        }
    }
    Ok(Ok(()))
}
