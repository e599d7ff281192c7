//! Changelog topics: every committed change of a store, and the restore from them.
//!
//! A record's key is the store key (window stores add Kafka's 4-byte sequence number, always 0), its value
//! the state bytes or none for a removal, its timestamp that of the state. How far a backend has come is kept
//! in the family [`OFFSETS`]: store name, a zero byte, partition -> next changelog offset and stream time, 8
//! bytes each.

use std::time::Duration;

use millstream_log::{
    AutoOffsetReset, ConsumerConfig, Isolation, Log, Offset, OffsetSpec, PartitionId, TopicPartition,
};

use crate::error::{StreamsError, full_message};
use crate::runtime::outbox::{Outbox, OutputTopic};
use crate::store::backend::{Direction, Family, StateBackend, WriteBatch};
use crate::store::cache::ExpiryIndex;
use crate::store::listener::RestoredStore;
use crate::store::spec::{StoreKind, StorePlace};
use crate::store::stream_rows::segment_prefix;
use crate::store::versioned::{DELETED, VALUE, row_key, split_version};

/// The family that says up to which changelog offset the other families have come.
pub(crate) const OFFSETS: &str = "millstream-changelog-offsets";

const SEQUENCE: [u8; 4] = [0; 4];
const RESTORE_BATCH_BYTES: usize = 4 << 20;

/// The changelog of one store partition, to append to. Without a topic the changes go nowhere.
pub struct Changelog<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) topic: Option<OutputTopic>,
    pub(crate) partition: PartitionId,
    pub(crate) kind: StoreKind,
    pub(crate) key: &'a mut Vec<u8>,
}

impl Changelog<'_> {
    pub(crate) fn append(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
    ) -> Result<(), StreamsError> {
        let Some(topic) = self.topic else { return Ok(()) };
        let key = match self.kind {
            StoreKind::KeyValue | StoreKind::Session { .. } | StoreKind::StreamRows { .. } => key,
            StoreKind::Window { .. } => {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.key.extend_from_slice(&SEQUENCE);
                self.key.as_slice()
            }
            StoreKind::Versioned { .. } => split_version(key).0,
        };
        let value = match (self.kind, value.and_then(<[u8]>::split_first)) {
            (StoreKind::Versioned { .. }, state) => {
                state.filter(|(kind, _)| **kind == VALUE).map(|(_, state)| state)
            }
            _ => value,
        };
        self.outbox.append(topic, Some(self.partition), timestamp, Some(key), value, &[])
    }
}

/// How far a store partition's committed state has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The next changelog offset that is not in the backend.
    pub(crate) offset: Offset,
    /// The stream time of the store, or `i64::MIN`.
    pub(crate) stream_time: i64,
}

impl Progress {
    pub(crate) fn write(self, batch: &mut WriteBatch, place: &StorePlace) {
        let partition = place.partition.to_be_bytes();
        let value = [self.offset.get().to_be_bytes(), self.stream_time.to_be_bytes()];
        batch.put(place.offsets, &[place.name.as_bytes(), &[0], &partition], &[&value[0], &value[1]]);
    }

    pub(crate) fn read(
        backend: &dyn StateBackend,
        offsets: Family,
        store: &str,
        partition: u32,
    ) -> Result<Option<Self>, StreamsError> {
        let key = [store.as_bytes(), &[0], &partition.to_be_bytes()].concat();
        let Some(value) = backend.get(offsets, &key)? else { return Ok(None) };
        let corrupt = || StreamsError::CorruptState {
            store: store.to_owned(),
            reason: format!("its changelog position has {} bytes and not 16", value.len()),
        };
        let (offset, time) = value.split_at_checked(8).ok_or_else(corrupt)?;
        let offset = offset.try_into().map(u64::from_be_bytes).map_err(|_| corrupt())?;
        let stream_time = time.try_into().map(i64::from_be_bytes).map_err(|_| corrupt())?;
        Ok(Some(Self { offset: Offset::new(offset), stream_time }))
    }
}

/// The next changelog offset that a store partition's committed state does not have, if there is such state.
pub(crate) fn position(place: &StorePlace) -> Result<Option<Offset>, StreamsError> {
    let progress = Progress::read(place.backend.as_ref(), place.offsets, &place.name, place.partition)?;
    Ok(progress.map(|progress| progress.offset))
}

/// What a restore found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) progress: Progress,
    /// Changelog records read.
    pub(crate) records: u64,
    /// The backend holds nothing for this store partition.
    pub(crate) empty: bool,
}

/// Brings the backend up to the end of the changelog, reading only what it does not have.
pub(crate) fn restore(
    log: &Log,
    place: &StorePlace,
    topic: Option<&TopicPartition>,
) -> Result<Restored, StreamsError> {
    restore_until(log, place, topic, None)
}

/// As [`restore`], up to an offset, if there is one. State that has come further is built anew.
pub(crate) fn restore_until(
    log: &Log,
    place: &StorePlace,
    topic: Option<&TopicPartition>,
    until: Option<Offset>,
) -> Result<Restored, StreamsError> {
    let backend = place.backend.as_ref();
    let stored = match Progress::read(backend, place.offsets, &place.name, place.partition) {
        Err(error @ StreamsError::CorruptState { .. }) if topic.is_some() => {
            tracing::warn!(
                error = full_message(&error),
                store = &*place.name,
                partition = place.partition,
                "the state is built anew from the changelog"
            );
            None
        }
        stored => stored?,
    };
    let mut progress = stored.unwrap_or(Progress { offset: Offset::new(0), stream_time: i64::MIN });
    let mut records = 0;
    if let Some(topic) = topic {
        let start = log.offsets(topic, OffsetSpec::Earliest)?;
        let end = log.offsets(topic, OffsetSpec::Latest)?;
        let end = until.map_or(end, |until| until.clamp(start, end));
        if stored.is_none() || progress.offset > end || progress.offset < start {
            // The state belongs to no point of this changelog (a new topic, or one that moved on): begin
            // anew.
            progress = Progress { offset: start, stream_time: i64::MIN };
            clear(place, progress)?;
        }
        if progress.offset < end && !(planted!("restore_gap_skipped") && stored.is_some()) {
            let store = RestoredStore { store: &place.name, changelog: topic };
            let listener = place.listener.as_deref();
            listener.inspect(|listener| listener.on_restore_start(store, progress.offset, end));
            let outcome = replay(log, place, topic, end, &mut progress, &mut records);
            if let Some(listener) = listener {
                match outcome {
                    Ok(()) => listener.on_restore_end(store, records),
                    Err(_) => listener.on_restore_suspended(store, records),
                }
            }
            outcome?;
        }
    }
    Ok(Restored { progress, records, empty: is_empty(place)? })
}

fn replay(
    log: &Log,
    place: &StorePlace,
    topic: &TopicPartition,
    end: Offset,
    progress: &mut Progress,
    records: &mut u64,
) -> Result<(), StreamsError> {
    let isolation = match planted!("restore_uncommitted") {
        true => Isolation::ReadUncommitted,
        false => Isolation::ReadCommitted,
    };
    let config = ConsumerConfig::default().isolation(isolation).auto_offset_reset(AutoOffsetReset::None);
    let mut consumer = log.consumer(config)?;
    consumer.assign(vec![topic.clone()])?;
    let skipped = u64::from(planted!("restore_off_by_one"));
    consumer.seek(topic, progress.offset + skipped)?;
    let mut rows = Replayed::new(place);
    let mut told = 0;
    let mut batch = WriteBatch::default();
    loop {
        let before = consumer.position(topic);
        for run in consumer.poll(Duration::ZERO)? {
            for record in run.records() {
                let record = record?;
                if record.offset >= end {
                    break;
                }
                *records += 1;
                if let Some(key) = record.key {
                    let timestamp = record.timestamp.get();
                    progress.stream_time = progress.stream_time.max(timestamp);
                    rows.write(key, record.value, timestamp, &mut batch);
                }
            }
        }
        let position = consumer.position(topic);
        if let Some(position) = position {
            progress.offset = position.min(end);
        }
        let done = position == before || position.is_none_or(|position| position >= end);
        if done || batch.len_bytes() >= RESTORE_BATCH_BYTES {
            progress.write(&mut batch, place);
            place.backend.apply(&batch)?;
            batch.clear();
            if let Some(listener) = &place.listener {
                let store = RestoredStore { store: &place.name, changelog: topic };
                listener.on_batch_restored(store, progress.offset, *records - told);
                told = *records;
            }
        }
        if done {
            return Ok(());
        }
    }
}

/// Makes rows of changelog records again.
struct Replayed<'a> {
    place: &'a StorePlace,
    partition: [u8; 4],
    index: Option<ExpiryIndex>,
    row: Vec<u8>,
}

impl<'a> Replayed<'a> {
    fn new(place: &'a StorePlace) -> Self {
        let partition = place.partition.to_be_bytes();
        Self { place, partition, index: ExpiryIndex::new(place), row: Vec::new() }
    }

    fn write(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, batch: &mut WriteBatch) {
        let segment;
        let state: Option<[&[u8]; 2]> = value.map(|value| [&[], value]);
        let (middle, key, state): (&[u8], &[u8], _) = match self.place.kind {
            StoreKind::KeyValue | StoreKind::Session { .. } => (&[], key, state),
            StoreKind::Window { .. } => (&[], key.strip_suffix(&SEQUENCE).unwrap_or(key), state),
            StoreKind::StreamRows { segment_ms, .. } => {
                segment = segment_prefix(segment_ms, key);
                (&segment, key, state)
            }
            StoreKind::Versioned { .. } => {
                row_key(key, timestamp, &mut self.row);
                (&[], &self.row, Some(value.map_or([&[DELETED], &[]], |value| [&[VALUE], value])))
            }
        };
        let family = self.place.family;
        match state {
            Some([kind, state]) => {
                let value = [&timestamp.to_be_bytes(), kind, state];
                batch.put(family, &[&self.partition, middle, key], &value);
                if let Some(index) = &self.index {
                    index.put(key, timestamp, false, i64::MIN, batch);
                }
            }
            None => {
                batch.delete(family, &[&self.partition, middle, key]);
                if let Some(index) = &self.index {
                    index.delete(key, batch);
                }
            }
        }
    }
}

fn clear(place: &StorePlace, progress: Progress) -> Result<(), StreamsError> {
    let mut batch = WriteBatch::default();
    let (from, to) = place.bounds();
    batch.delete_range(place.family, &from, &to);
    if let Some(index) = place.index {
        batch.delete_range(index, &from, &to);
    }
    progress.write(&mut batch, place);
    place.backend.apply(&batch)
}

fn is_empty(place: &StorePlace) -> Result<bool, StreamsError> {
    let (from, to) = place.bounds();
    let mut entries = place.backend.scan(place.family, &from, Some(&to), Direction::Forward)?;
    Ok(entries.next().transpose()?.is_none())
}
