//! Global tables: every instance of an application has all rows of a topic, whatever their partitions.
//!
//! A global table is a store whose changelog is the topic itself, so that it is filled as a store is restored: only
//! what it does not have is read. Nothing else writes it.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{
    Consumer, ConsumerConfig, Isolation, Log, LogError, Offset, OffsetSpec, TopicPartition, Waker,
    partition_for_key,
};

use crate::ByteColumn;
use crate::error::StreamsError;
use crate::store::StoreHandle;
use crate::store::backend::StateBackend;
use crate::store::cache::split_value;
use crate::store::changelog::{self, Progress};
use crate::store::spec::StorePlace;
use crate::topology::Topology;

/// The global stores of an application, to look rows up in.
#[derive(Default)]
pub(crate) struct Globals {
    stores: Vec<GlobalStore>,
}

/// Takes the index, the timestamp (ms) and the value bytes of a key that was found.
pub(crate) type FoundRow<'a> = dyn FnMut(usize, i64, &[u8]) -> Result<(), StreamsError> + 'a;

struct GlobalStore {
    handle: StoreHandle,
    /// By partition of the topic.
    places: Vec<StorePlace>,
    topic: Arc<str>,
}

impl Globals {
    /// The global stores of a topology; their topics must be there.
    pub(crate) fn open(
        topology: &Topology,
        log: &Log,
        backend: &Arc<dyn StateBackend>,
    ) -> Result<Self, StreamsError> {
        let mut stores = Vec::with_capacity(topology.globals.len());
        for global in &topology.globals {
            let partitions = partitions(log, &global.topic, &global.source)?;
            let spec = &topology.stores[global.store.0];
            let places: Result<_, _> =
                (0..partitions).map(|partition| StorePlace::open(spec, backend, partition)).collect();
            stores.push(GlobalStore {
                handle: global.store,
                places: places?,
                topic: Arc::clone(&global.topic),
            });
        }
        Ok(Self { stores })
    }

    /// How far the stores have come in each partition of their topics.
    pub(crate) fn positions(&self) -> Result<Vec<(TopicPartition, Offset)>, StreamsError> {
        let mut positions = Vec::new();
        for store in &self.stores {
            for place in &store.places {
                let progress =
                    Progress::read(place.backend.as_ref(), place.offsets, &place.name, place.partition)?;
                let offset = progress.map_or(Offset::new(0), |progress| progress.offset);
                positions.push((TopicPartition::new(&*store.topic, place.partition), offset));
            }
        }
        Ok(positions)
    }

    /// Looks up keys, and calls `found` for each one that has a row; absent ones have none. A key is looked for first where its hash says that it is.
    pub(crate) fn get_many(
        &self,
        handle: StoreHandle,
        keys: &ByteColumn,
        found: &mut FoundRow<'_>,
    ) -> Result<(), StreamsError> {
        let store = self.stores.iter().find(|store| store.handle == handle);
        let store = store.ok_or_else(|| StreamsError::UnknownStore {
            name: format!("#{}", handle.0),
            known: "it is no global store of this topology".to_owned(),
        })?;
        let count = u32::try_from(store.places.len()).expect("topics have fewer than 2^32 partitions");
        let home = |row: usize| partition_for_key(keys.get(row).unwrap_or_default(), count).get() as usize;
        let mut open: Vec<usize> = (0..keys.len()).filter(|row| keys.get(*row).is_some()).collect();
        // First every key's own partition, then the others: producers may choose partitions in ways of their own.
        for step in 0..store.places.len() {
            let mut left = Vec::new();
            for (partition, place) in store.places.iter().enumerate() {
                let here = |row: &usize| (home(*row) + step) % store.places.len() == partition;
                let rows: Vec<usize> = open.iter().copied().filter(here).collect();
                if !rows.is_empty() {
                    look_up(place, keys, &rows, &mut left, found)?;
                }
            }
            open = left;
        }
        Ok(())
    }
}

/// Looks rows up in one partition; those that are not there go to `left`.
fn look_up(
    place: &StorePlace,
    keys: &ByteColumn,
    rows: &[usize],
    left: &mut Vec<usize>,
    found: &mut FoundRow<'_>,
) -> Result<(), StreamsError> {
    let partition = place.partition.to_be_bytes();
    let mut stored = ByteColumn::default();
    for row in rows {
        stored.push_parts(&[&partition, keys.get(*row).unwrap_or_default()]);
    }
    let stored: Vec<&[u8]> = stored.iter().flatten().collect();
    let mut there = vec![false; rows.len()];
    place.backend.get_many(place.family, &stored, &mut |index, value| {
        let (timestamp, value) = split_value(value).ok_or_else(|| StreamsError::CorruptState {
            store: place.name.to_string(),
            reason: "a value has no timestamp".to_owned(),
        })?;
        there[index] = true;
        found(rows[index], timestamp, value)
    })?;
    left.extend(rows.iter().zip(there).filter(|(_, there)| !there).map(|(row, _)| *row));
    Ok(())
}

/// The number of partitions of a global table's topic.
pub(crate) fn partitions(log: &Log, topic: &str, node: &str) -> Result<u32, StreamsError> {
    match log.describe_topic(topic) {
        Ok(description) => Ok(description.partitions),
        Err(LogError::UnknownTopic { .. }) => {
            Err(StreamsError::MissingTopic { topic: topic.to_owned(), node: node.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps global stores up to date with their topics.
pub(crate) struct GlobalUpdater {
    log: Log,
    partitions: Vec<(StorePlace, TopicPartition)>,
    /// Waits for new records; what it reads is read again for the store.
    consumer: Consumer,
}

impl GlobalUpdater {
    /// None if the topology has no global stores.
    pub(crate) fn new(globals: &Globals, log: &Log) -> Result<Option<Self>, StreamsError> {
        let mut partitions = Vec::new();
        for store in &globals.stores {
            for place in &store.places {
                partitions.push((place.clone(), TopicPartition::new(&*store.topic, place.partition)));
            }
        }
        if partitions.is_empty() {
            return Ok(None);
        }
        let mut consumer = log.consumer(ConsumerConfig::default().isolation(Isolation::ReadCommitted))?;
        consumer.assign(partitions.iter().map(|(_, partition)| partition.clone()).collect())?;
        for (_, partition) in &partitions {
            consumer.seek_to(partition, OffsetSpec::Latest)?;
        }
        Ok(Some(Self { log: log.clone(), partitions, consumer }))
    }

    /// Ends a wait from another thread.
    pub(crate) fn waker(&self) -> Waker {
        self.consumer.waker()
    }

    /// Takes in all records that are there. Returns how many there were.
    pub(crate) fn catch_up(&self) -> Result<u64, StreamsError> {
        let mut records = 0;
        for (place, partition) in &self.partitions {
            records += changelog::restore(&self.log, place, Some(partition))?.records;
        }
        Ok(records)
    }

    /// Waits for new records and takes them in.
    pub(crate) fn follow(&mut self) -> Result<(), StreamsError> {
        const IDLE: Duration = Duration::from_millis(100);
        // Who wants to know of restores was told of the first one.
        self.partitions.iter_mut().for_each(|(place, _)| place.listener = None);
        if !self.consumer.poll(IDLE)?.is_empty() {
            self.catch_up()?;
        }
        Ok(())
    }
}
