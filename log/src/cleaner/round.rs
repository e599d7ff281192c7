//! One round over one partition: learn the newest offset of each key, write the segments again, swap them in.
//!
//! ```text
//! start ── clean ── first dirty ── dirty ── end ── first uncleanable ── last stable offset ── log end
//!                   └──── read into the map ───┘
//! └────────────── written again ───────────────┘   the next round starts at `end`
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::hash::KeyHasher;
use super::offset_map::OffsetMap;
use super::output::{Finished, Output};
use super::selection::Candidate;
use super::throttle::Throttle;
use super::transactions::{AbortedTransactions, SeenTransactions};
use crate::aborted::AbortedEntry;
use crate::config::{CleanerConfig, TopicConfig};
use crate::error::{LogError, Result};
use crate::partition::{Partition, Replacement};
use crate::producer_state::LastBatch;
use crate::record::{KeyedRecord, KeyedRecords, Marker, RecordBatch, Rewritten, emptied};
use crate::segment::{SCAN_BYTES, Scan, Segment};
use crate::storage::Storage;
use crate::types::{Offset, ProducerId, Timestamp};

/// What a round works on, taken at its start.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Sealed segments in offset order.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Aborted transactions with offsets in them.
    pub(crate) aborted: Vec<AbortedEntry>,
    pub(crate) producers: BTreeMap<ProducerId, LastBatch>,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// Where the next round starts.
    pub(super) end: Offset,
    pub(super) records_read: u64,
    pub(super) records_kept: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    /// How full the map got, from 0 to 1.
    pub(super) map_fill: f64,
}

/// A round at work.
pub(super) struct Round<'a> {
    partition: &'a Partition,
    config: Arc<TopicConfig>,
    settings: &'a CleanerConfig,
    storage: &'a dyn Storage,
    dir: &'a Path,
    now: Timestamp,
    throttle: Throttle,
    is_cancelled: &'a dyn Fn() -> bool,
    aborted: AbortedTransactions,
    producers: BTreeMap<ProducerId, LastBatch>,
    done: Done,
}

impl<'a> Round<'a> {
    /// Runs a round. Fails with [`LogError::Closed`] once `is_cancelled` says so.
    pub(super) fn run(
        partition: &'a Partition,
        settings: &'a CleanerConfig,
        candidate: Candidate,
        hasher: KeyHasher,
        is_cancelled: &'a dyn Fn() -> bool,
    ) -> Result<Done> {
        let around = partition.surroundings();
        // What supersedes an older record must not be less durable than that was.
        partition.sync(candidate.first_uncleanable)?;
        let sources = partition.sources(candidate.first_uncleanable);
        let mut round = Round {
            partition,
            config: partition.config(),
            settings,
            storage: &*around.storage,
            dir: partition.dir(),
            now: around.clock.now(),
            throttle: Throttle::new(around.clock.clone(), settings.io_bytes_per_second_max),
            is_cancelled,
            aborted: AbortedTransactions::new(sources.aborted),
            producers: sources.producers,
            done: Done::default(),
        };
        let map = round.read_keys(&sources.segments, candidate, hasher)?;
        let written_again =
            sources.segments.iter().take_while(|segment| segment.base() < map.end).cloned().collect();
        let mut seen = SeenTransactions::default();
        for group in round.groups(written_again, candidate.first_uncleanable) {
            if let Err(error) = round.replace(&group, &map, &mut seen) {
                // Whatever is left over must not look like a part of the next round.
                if let Err(error) = round.partition.discard_cleaned() {
                    tracing::warn!(partition = %partition.id(), %error, "could not remove unfinished segments");
                }
                return Err(error);
            }
        }
        Ok(round.done)
    }

    /// Reads the dirty range into a map, as far as it fits.
    fn read_keys(
        &mut self,
        segments: &[Arc<Segment>],
        candidate: Candidate,
        hasher: KeyHasher,
    ) -> Result<Newest> {
        let Candidate { first_dirty, first_uncleanable, .. } = candidate;
        let map = OffsetMap::new(
            hasher,
            first_uncleanable.since(first_dirty),
            self.settings.dedupe_buffer_bytes,
            self.settings.load_factor,
        );
        let mut newest = Newest { map, end: first_dirty };
        let ends = segments.iter().skip(1).map(|next| next.base()).chain([first_uncleanable]);
        for (segment, _) in segments.iter().zip(ends).filter(|(_, end)| *end > first_dirty) {
            let mut scanner =
                segment.scan(segment.position_hint(first_dirty.max(segment.base()))?, SCAN_BYTES);
            while let Some(batch) = self.next(segment, &mut scanner)? {
                if batch.last_offset() < first_dirty {
                    continue;
                }
                if !batch.is_control() && !self.aborted.covers(&batch) && !newest.take(&batch, first_dirty)? {
                    self.done.map_fill = 1.0;
                    self.done.end = newest.end;
                    return Ok(newest);
                }
                newest.end = batch.next_offset();
            }
        }
        newest.end = first_uncleanable.max(first_dirty);
        self.done.end = newest.end;
        self.done.map_fill = newest.map.fill();
        Ok(newest)
    }

    /// The next sound batch of a segment.
    fn next(
        &mut self,
        segment: &Segment,
        scanner: &mut crate::segment::Scanner<'_>,
    ) -> Result<Option<RecordBatch>> {
        if (self.is_cancelled)() {
            return Err(LogError::Closed);
        }
        match scanner.next()? {
            Scan::Batch { batch } => {
                self.throttle.count(batch.len_bytes());
                Ok(Some(batch))
            }
            Scan::Bad { position, reason } => Err(segment.corrupt(position, segment.base(), reason)),
            Scan::End => Ok(None),
        }
    }

    /// Segments that are written as one: no more than fit `segment.bytes` and 2^31 offsets.
    fn groups(&self, segments: Vec<Arc<Segment>>, end: Offset) -> Vec<Group> {
        let bytes_max = u64::from(self.config.segment_bytes);
        let ends: Vec<_> = segments.iter().skip(1).map(|next| next.base()).chain([end]).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (segment, end) in segments.into_iter().zip(ends) {
            let size = segment.size();
            match groups.last_mut() {
                Some(group)
                    if group.size + size <= bytes_max && end.since(group.base()) <= i32::MAX as u64 =>
                {
                    group.size += size;
                    group.segments.push(segment);
                }
                _ => groups.push(Group { size, segments: vec![segment] }),
            }
        }
        groups
    }

    /// Writes a group again and puts the outcome in its place.
    fn replace(&mut self, group: &Group, newest: &Newest, seen: &mut SeenTransactions) -> Result<()> {
        let mut writing = Writing { outputs: Vec::new(), current: None, unwritten: None, is_changed: false };
        for segment in &group.segments {
            let mut scanner = segment.scan(0, SCAN_BYTES);
            while let Some(batch) = self.next(segment, &mut scanner)? {
                self.done.bytes_read += batch.len_bytes() as u64;
                self.done.records_read += u64::from(batch.record_count());
                let (fate, aborted) = match batch.is_control() {
                    true => self.judge_marker(&batch, seen)?,
                    false => (self.judge_data(&batch, newest, seen)?, None),
                };
                self.write(&mut writing, group.base(), &batch, fate)?;
                if let (Some(entry), Some(output)) = (aborted, &mut writing.current) {
                    output.push_aborted(entry);
                }
            }
        }
        if let Some(last) = writing.unwritten.take() {
            // The end of a segment says where the next one starts, and the end of the last where the log goes on.
            self.push(&mut writing, group.base(), &last)?;
        }
        let Some(last) = writing.current.take() else { return Ok(()) };
        if group.segments.len() == 1 && writing.outputs.is_empty() && !writing.is_changed {
            drop(last);
            return self.partition.discard_cleaned();
        }
        writing.outputs.push(last.finish(self.storage, self.dir)?);
        self.done.bytes_written += writing.outputs.iter().map(|output| output.size).sum::<u64>();
        self.partition.replace(Replacement {
            sources: group.segments.clone(),
            outputs: writing.outputs.iter().map(|output| output.base).collect(),
            aborted: writing.outputs.into_iter().flat_map(|output| output.aborted).collect(),
        })
    }

    /// What becomes of a marker, and the transaction it aborted if readers still need to know of that.
    fn judge_marker(
        &self,
        batch: &RecordBatch,
        seen: &mut SeenTransactions,
    ) -> Result<(Fate, Option<AbortedEntry>)> {
        if batch.record_count() == 0 {
            return Ok((self.drop_or_empty(batch), None));
        }
        let Some(marker) = Marker::of(batch) else {
            return Ok((Fate::Keep, None)); // a kind that is not ours to judge
        };
        if seen.marker(batch) {
            let aborted = self.aborted.ended_by(batch).filter(|_| !marker.is_commit);
            return Ok((Fate::Keep, aborted));
        }
        Ok(match batch.delete_horizon() {
            _ if planted!("compact_drops_marker") => (Fate::Drop, None),
            Some(horizon) if horizon <= self.now => (self.drop_or_empty(batch), None),
            Some(_) => (Fate::Keep, None),
            None => {
                let records = KeyedRecords::of(batch)?;
                (Fate::from(records.filter(self.horizon(), |_| true, |_| true)?), None)
            }
        })
    }

    /// What becomes of a data batch.
    fn judge_data(&self, batch: &RecordBatch, newest: &Newest, seen: &mut SeenTransactions) -> Result<Fate> {
        seen.data(batch);
        if batch.record_count() == 0 || self.aborted.covers(batch) {
            return Ok(self.drop_or_empty(batch));
        }
        let is_past_horizon =
            planted!("tombstone_early") || batch.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let records = KeyedRecords::of(batch)?;
        let rewritten = records.filter(
            self.horizon(),
            |record| record.is_tombstone,
            |record| {
                newest.keeps(record) && !(record.is_tombstone && is_past_horizon && newest.knows(record))
            },
        )?;
        Ok(match Fate::from(rewritten) {
            Fate::Drop => self.drop_or_empty(batch),
            fate => fate,
        })
    }

    /// For a batch without records: its header stays if it is all that is left of a producer.
    fn drop_or_empty(&self, batch: &RecordBatch) -> Fate {
        let last = batch.producer_id().and_then(|id| self.producers.get(&id));
        let is_last = last.is_some_and(|last| match last.data {
            Some(offset) => batch.last_offset() == offset,
            None => batch.is_control() && batch.producer_epoch() == last.epoch,
        });
        match (is_last, batch.record_count()) {
            (true, 0) => Fate::Keep,
            // The state of producers is not rebuilt from empty markers.
            (true, _) if batch.is_control() => Fate::Keep,
            (true, _) => Fate::Replace(emptied(batch).into()),
            (false, _) => Fate::Drop,
        }
    }

    fn write(&mut self, writing: &mut Writing, base: Offset, batch: &RecordBatch, fate: Fate) -> Result<()> {
        let batch = match fate {
            Fate::Keep => batch.clone(),
            Fate::Replace(bytes) => {
                writing.is_changed = true;
                RecordBatch::parse(bytes)?
            }
            Fate::Drop => {
                writing.is_changed |= writing.unwritten.replace(batch.clone()).is_some();
                return Ok(());
            }
        };
        // Dropped batches before it are not the last.
        writing.is_changed |= writing.unwritten.take().is_some();
        self.done.records_kept += u64::from(batch.record_count());
        self.push_batch(writing, base, &batch)
    }

    /// Writes the header of a batch that would be dropped if it were not the last.
    fn push(&mut self, writing: &mut Writing, base: Offset, last: &RecordBatch) -> Result<()> {
        if last.record_count() == 0 {
            return self.push_batch(writing, base, last);
        }
        writing.is_changed = true;
        self.push_batch(writing, base, &RecordBatch::parse(emptied(last).freeze())?)
    }

    fn push_batch(&mut self, writing: &mut Writing, base: Offset, batch: &RecordBatch) -> Result<()> {
        self.throttle.count(batch.len_bytes());
        if let Some(full) = writing.current.take_if(|output| output.is_full(batch)) {
            let next = full.next_offset();
            writing.outputs.push(full.finish(self.storage, self.dir)?);
            writing.current = Some(self.create(next)?);
        }
        let output = match &mut writing.current {
            Some(output) => output,
            None => writing.current.insert(self.create(base)?),
        };
        output.push(batch)
    }

    fn create(&self, base: Offset) -> Result<Output> {
        Output::create(self.storage, self.dir, base, &self.config, self.settings.io_buffer_bytes)
    }

    /// From when on what is marked now may go.
    fn horizon(&self) -> Timestamp {
        self.now + self.config.delete_retention
    }
}

/// Segments that become one.
struct Group {
    segments: Vec<Arc<Segment>>,
    size: u64,
}

impl Group {
    fn base(&self) -> Offset {
        self.segments[0].base()
    }
}

/// A group on its way to disk.
struct Writing {
    outputs: Vec<Finished>,
    current: Option<Output>,
    /// The last batch, if it was dropped.
    unwritten: Option<RecordBatch>,
    /// Whether anything differs from the source.
    is_changed: bool,
}

/// What becomes of a batch.
enum Fate {
    Keep,
    Replace(bytes::Bytes),
    Drop,
}

impl From<Rewritten> for Fate {
    fn from(rewritten: Rewritten) -> Self {
        match rewritten {
            Rewritten::Same => Self::Keep,
            Rewritten::Changed(bytes) => Self::Replace(bytes.freeze()),
            Rewritten::Empty => Self::Drop,
        }
    }
}

/// The newest offset of each key in the dirty range.
struct Newest {
    map: OffsetMap,
    /// What is at or above is not in the map, and stays.
    end: Offset,
}

impl Newest {
    /// Takes the records of a batch from `from` on. False, with `end` in front of the first that did not fit, if the map
    /// is full.
    fn take(&mut self, batch: &RecordBatch, from: Offset) -> Result<bool> {
        for record in KeyedRecords::of(batch)?.iter() {
            let record = record?;
            if record.offset < from {
                continue;
            }
            if let Some(key) = record.key
                && !self.map.put(key, record.offset)
            {
                self.end = record.offset;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn knows(&self, record: &KeyedRecord<'_>) -> bool {
        record.offset < self.end
    }

    /// Whether there is nothing newer with its key.
    fn keeps(&self, record: &KeyedRecord<'_>) -> bool {
        if !self.knows(record) {
            return true;
        }
        record.key.is_some_and(|key| {
            self.map.get(key).is_none_or(|newest| match planted!("compact_drops_newest") {
                true => record.offset < newest,
                false => record.offset >= newest,
            })
        })
    }
}
