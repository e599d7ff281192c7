//! What must hold after each start: the log compared with what was asked of it.
//!
//! | Rule | What |
//! | --- | --- |
//! | R0 | the log opens |
//! | R1 | acknowledged records are there, at their offsets, with their bytes |
//! | R2 | nothing that was refused is there |
//! | R3 | offsets increase, without gaps where nothing is compacted |
//! | R4 | every record was sent, and none is there twice |
//! | R5 | the log does not end before what was acknowledged |
//! | R6 | a transaction is there as a whole or not at all |
//! | R7 | the last stable offset is the first open transaction, or the end |
//! | R8 | what read-committed readers skip is what a scan of all markers says |
//! | R9 | what is known of producers is what all batches say |
//! | R10 | committed group offsets are those committed last |
//! | R11 | a compacted partition holds the newest value of every key |
//! | R12 | a second restart changes no byte |
//! | R13 | a partition belongs to one member of a generation, and only members commit |
//! | R14 | topics have the settings that were given to them last |
//!
//! R13 is checked while members are at work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Batch, Ending, History, Known, key, value};
use super::topic_settings::{Settings, check_settings};
use super::world::TOMBSTONE_TIME;
use crate::catalogue::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::engine::Log;
use crate::error::LogError;
use crate::producer_state::{ProducerState, ProducerStates};
use crate::record::{Marker, RecordBatch, RecordView};
use crate::types::{Acks, Isolation, Offset, OffsetSpec, ProducerId, Timestamp, TopicPartition};

/// A group without members.
pub(super) const GROUP: &str = "group";
/// A group with members.
pub(super) const MEMBERS: &str = "members";
/// How long producers are remembered for certain: half of `producer.id.expiration.ms`.
const PRODUCER_TIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Where a record's header keeps its serial number.
pub(super) const SERIAL: &str = "serial";

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `R0` to `R14`.
    pub rule: &'static str,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Which answers the log has to stand by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// All of them: the process was killed, or the log was closed.
    All,
    /// Those given with `acks=all`: the power failed.
    Synced,
}

/// What is known about the end that a log came to.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// How many operations the disk had done by then.
    pub(super) point: u64,
    pub(super) promise: Promise,
    /// The latest wall-clock time there was.
    pub(super) latest: Timestamp,
    /// Directories of partitions whose newest batches a failed sync took. Nothing brings those back, so there the log
    /// has to stand by what it had synced only, whatever came after.
    pub(super) failed: BTreeSet<String>,
}

/// What was found, to go on from.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Indices of the topics that are there.
    pub(super) topics: BTreeSet<usize>,
    /// Offsets of the first records found of each batch, by its index.
    pub(super) batches: BTreeMap<usize, Offset>,
    /// How many records of each batch are there or lie before one that is.
    pub(super) reached: BTreeMap<usize, usize>,
    /// Topics of the batches that were sent to an earlier one of the same name.
    pub(super) moved: BTreeMap<usize, usize>,
    /// Transactions of which something is visible.
    pub(super) committed: BTreeSet<usize>,
    /// Log start offsets.
    pub(super) starts: BTreeMap<(usize, u32), Offset>,
    /// Batches of which compaction left nothing.
    pub(super) compacted: BTreeSet<usize>,
    /// The groups' offsets.
    pub(super) offsets: BTreeMap<(&'static str, usize, u32), Offset>,
    /// The topics' settings.
    pub(super) settings: Settings,
}

type Checked<T = ()> = Result<T, Violation>;

fn fail<T>(rule: &'static str, text: String) -> Checked<T> {
    Err(Violation { rule, text })
}

/// Checks an open log against what was asked of the one before up to its end.
pub(super) fn check(history: &History, log: &Log, moment: &Moment) -> Checked<Found> {
    let (point, found, visible) = (moment.point, Found::default(), BTreeMap::new());
    let mut check = Check { history, log, moment, point, found, visible };
    check.topics()?;
    for name in [CONSUMER_OFFSETS, TRANSACTION_STATE] {
        if let Ok(topic) = log.describe_topic(name) {
            for number in 0..topic.partitions {
                check.scan(&TopicPartition::new(name, number), true)?;
            }
        }
    }
    check.transactions()?;
    check.offsets(GROUP)?;
    check.offsets(MEMBERS)?;
    Ok(check.found)
}

struct Check<'a> {
    history: &'a History,
    log: &'a Log,
    moment: &'a Moment,
    point: u64,
    found: Found,
    /// Serial numbers that read-committed readers see, by batch.
    visible: BTreeMap<usize, BTreeSet<u64>>,
}

/// A partition read from end to end.
struct Scan {
    start: Offset,
    end: Offset,
    batches: Vec<RecordBatch>,
    /// Producers whose transaction ends with a commit, by the offsets from the first to the marker.
    committed: Vec<(ProducerId, Offset, Offset)>,
    first_open: Option<Offset>,
}

impl Check<'_> {
    fn topics(&mut self) -> Checked {
        let names: BTreeSet<&str> = self.history.topics.iter().map(|topic| &*topic.name).collect();
        for name in names {
            let is_there = self.log.describe_topic(name).is_ok();
            let mut runs = self.history.topics.iter().enumerate().filter(|(_, topic)| topic.name == name);
            let created = runs.rfind(|(_, topic)| topic.created.at(self.point) != Known::Never);
            let Some((at, topic)) = created else {
                if is_there {
                    return fail("R2", format!("topic {name} was never created"));
                }
                continue;
            };
            let deleted = topic.deleted.map_or(Known::Never, |span| span.at(self.point));
            match (is_there, topic.created.at(self.point), deleted) {
                (true, _, Known::Done) => return fail("R2", format!("topic {name} was deleted")),
                (false, Known::Done, Known::Never) => return fail("R1", format!("topic {name} is gone")),
                (false, ..) => continue,
                (true, ..) => drop(self.found.topics.insert(at)),
            }
            check_settings(self.history, self.log, at, self.point, &mut self.found.settings)?;
            for number in 0..topic.partitions {
                self.partition(at, &TopicPartition::new(name, number))?;
            }
        }
        Ok(())
    }

    fn read(&self, id: &TopicPartition, from: Offset, isolation: Isolation) -> Checked<crate::Fetched> {
        let bytes_max = if isolation == Isolation::ReadCommitted { 700 } else { 1 << 20 };
        self.log
            .read(id, from, bytes_max, isolation)
            .or_else(|error| fail("R1", format!("{id} cannot be read at {from}: {}", with_cause(&error))))
    }

    /// Reads all of a partition and checks what needs no model.
    fn scan(&self, id: &TopicPartition, is_compacted: bool) -> Checked<Scan> {
        let spec = |spec| self.log.offsets(id, spec);
        let bounds = spec(OffsetSpec::Earliest).and_then(|start| Ok((start, spec(OffsetSpec::Latest)?)));
        let (start, end) = match bounds {
            Ok(bounds) => bounds,
            Err(error) => return fail("R1", format!("{id} has no bounds: {}", with_cause(&error))),
        };
        let mut scan = Scan { start, end, batches: Vec::new(), committed: Vec::new(), first_open: None };
        let (mut from, mut expected) = (start, None);
        let mut open: BTreeMap<ProducerId, Offset> = BTreeMap::new();
        let mut producers = ProducerStates::default();
        while from < end {
            let fetched = self.read(id, from, Isolation::ReadUncommitted)?;
            let next = fetched.next_offset(from);
            if next == from {
                if is_compacted {
                    break;
                }
                return fail("R3", format!("{id} ends at {from}, but says {end}"));
            }
            for batch in fetched.batches {
                let base = batch.base_offset();
                let follows =
                    expected.is_none_or(|expected| base == expected || is_compacted && base > expected);
                if !follows {
                    return fail("R3", format!("{id} goes on with {base} instead of {expected:?}"));
                }
                expected = Some(batch.next_offset());
                if !batch.check_crc() {
                    return fail("R4", format!("{id} serves a batch at {base} whose CRC does not match"));
                }
                producers.update(&batch);
                if let Some(producer) = batch.producer_id().filter(|_| batch.is_transactional()) {
                    match batch.is_control().then(|| Marker::of(&batch)).flatten() {
                        None => drop(open.entry(producer).or_insert(base)),
                        Some(marker) => {
                            let first = open.remove(&producer);
                            if let Some(first) = first.filter(|_| marker.is_commit) {
                                scan.committed.push((producer, first, base));
                            }
                        }
                    }
                }
                scan.batches.push(batch);
            }
            from = next;
        }
        scan.first_open = open.values().min().copied();
        let stable = self.log.last_stable_offset(id).ok();
        let expected = scan.first_open.unwrap_or(end);
        if stable != Some(expected) {
            return fail("R7", format!("{id} is stable up to {stable:?} instead of {expected}"));
        }
        if start == Offset::ZERO && !is_compacted {
            self.producers(id, &producers)?;
        }
        self.read_committed(id, &scan, is_compacted)?;
        Ok(scan)
    }

    /// Compares what is known of producers with what all batches say. Those that were idle for long may be forgotten.
    fn producers(&self, id: &TopicPartition, replayed: &ProducerStates) -> Checked {
        let Ok(partition) = self.log.inner().partition(id) else { return Ok(()) };
        let known = partition.with_producers(ProducerStates::clone);
        for (producer, state) in known.iter() {
            let expected = replayed.get(producer);
            let is_same = expected.is_some_and(|expected| {
                // A snapshot keeps the newest batch, a replay the newest five. And it keeps one time for a producer,
                // which is that of a marker if one came after the batch.
                let newest = |state: &ProducerState| {
                    let span = state.window.last_or_none();
                    (span.last_sequence, span.last_offset, span.offset_delta)
                };
                (expected.epoch, newest(expected), expected.transaction_start)
                    == (state.epoch, newest(state), state.transaction_start)
            });
            if !is_same {
                return fail("R9", format!("{id} knows of producer {producer} {state:?}, not {expected:?}"));
            }
        }
        let forgotten = replayed.iter().find(|(producer, state)| {
            let age = self.moment.latest.since(Timestamp::new(state.timestamp));
            known.get(*producer).is_none() && age < PRODUCER_TIME
        });
        match forgotten {
            Some((producer, _)) => fail("R9", format!("{id} has forgotten producer {producer}")),
            None => Ok(()),
        }
    }

    /// Compares what read-committed readers see with the markers.
    fn read_committed(&self, id: &TopicPartition, scan: &Scan, is_compacted: bool) -> Checked {
        let is_visible = |batch: &&RecordBatch| scan.is_visible(batch);
        let mut expected = scan.batches.iter().filter(is_visible).map(RecordBatch::base_offset);
        let mut from = scan.start;
        loop {
            let fetched = self.read(id, from, Isolation::ReadCommitted)?;
            let next = fetched.next_offset(from);
            if next == from {
                break;
            }
            for batch in fetched.into_data() {
                let (found, expected) = (batch.base_offset(), expected.next());
                if expected != Some(found) {
                    let text = format!(
                        "{id} shows committed readers {found} instead of {expected:?} of {:?}",
                        scan.describe()
                    );
                    return fail("R8", text);
                }
            }
            from = next;
        }
        match expected.next() {
            Some(missing) if !is_compacted || from <= missing => {
                fail("R8", format!("{id} does not show committed readers {missing}"))
            }
            _ => Ok(()),
        }
    }

    fn partition(&mut self, topic: usize, id: &TopicPartition) -> Checked {
        let run = &self.history.topics[topic];
        let scan = self.scan(id, run.is_compacted)?;
        self.found.starts.insert((topic, id.partition.get()), scan.start);
        let moves = self.history.start_moves.iter().filter(|moved| {
            (moved.topic, moved.partition) == (topic, id.partition.get())
                && moved.span.at(self.point) != Known::Never
        });
        let start_max = moves.map(|moved| moved.to).max().unwrap_or_default();
        let moves = self.history.start_moves.iter().filter(|moved| {
            (moved.topic, moved.partition) == (topic, id.partition.get())
                && moved.is_promised
                && moved.span.at(self.point) == Known::Done
        });
        let start_min = moves.map(|moved| moved.to).max().unwrap_or_default();
        if scan.start < start_min {
            let text = format!("{id} starts at {}, though all below {start_min} was deleted", scan.start);
            return fail("R2", text);
        }
        if scan.start > start_max {
            let text = format!("{id} starts at {}, but only what is below {start_max} was to go", scan.start);
            return fail("R1", text);
        }
        let mut seen = BTreeMap::new();
        let mut newest: BTreeMap<u8, Offset> = BTreeMap::new();
        for batch in scan.batches.iter().filter(|batch| !batch.is_control()) {
            let is_visible = scan.is_visible(batch);
            for record in batch.records() {
                let record = match record {
                    Ok(record) => record,
                    Err(error) => return fail("R4", format!("{id}: {}", with_cause(&error))),
                };
                let Some(serial) = serial_of(&record) else {
                    return fail("R4", format!("{id} holds at {} what nobody sent", record.offset));
                };
                let Some((sent, at)) = self.history.find(serial) else {
                    return fail("R4", format!("{id} holds record {serial}, which nobody sent"));
                };
                let batch = &self.history.batches[sent];
                let what = || format!("{id} at {}: record {serial}", record.offset);
                let is_of_name = self.history.topics[batch.topic].name == *run.name;
                if batch.partition != id.partition.get() || !is_of_name {
                    return fail("R4", format!("{} was sent elsewhere", what()));
                }
                if batch.topic != topic {
                    // A producer keeps records until it flushes, and knows topics by their names.
                    if batch.base.is_some() {
                        return fail("R4", format!("{} was of a topic that was deleted", what()));
                    }
                    let base = Offset::new(record.offset.get().saturating_sub(at as u64));
                    self.found.moved.insert(sent, topic);
                    self.found.batches.entry(sent).or_insert(base);
                }
                let expected = batch.records[at];
                let is_same = record.key == Some(&key(expected.key))
                    && record.value.map(<[u8]>::to_vec) == expected.bytes.map(|bytes| value(serial, bytes))
                    && record.timestamp == expected.timestamp;
                if !is_same {
                    return fail("R1", format!("{} has other bytes than were sent", what()));
                }
                if batch.span.at(self.point) == Known::Never {
                    return fail("R2", format!("{} was refused, or not sent yet", what()));
                }
                if let Some(before) = seen.insert(serial, record.offset) {
                    return fail("R4", format!("{} is at {before} already", what()));
                }
                if is_visible {
                    newest.insert(expected.key, record.offset);
                    self.visible.entry(sent).or_default().insert(serial);
                }
            }
        }
        if run.is_compacted {
            self.compacted(topic, id, &newest)?;
        }
        self.batches(topic, id, &scan, &seen)
    }

    /// Checks that the newest value of each key is there, and each newest tombstone for its time.
    fn compacted(&self, topic: usize, id: &TopicPartition, newest: &BTreeMap<u8, Offset>) -> Checked {
        let mut promised: BTreeMap<u8, Offset> = BTreeMap::new();
        let mut tombstones: BTreeMap<u8, Offset> = BTreeMap::new();
        let here = |batch: &&Batch| (batch.topic, batch.partition) == (topic, id.partition.get());
        for batch in self.history.batches.iter().filter(here) {
            let is_committed = batch
                .transaction
                .is_none_or(|transaction| self.history.ending(transaction, self.point) == Ending::Committed);
            let Some(base) = batch.base.filter(|_| batch.span.at(self.point) != Known::Never) else {
                continue;
            };
            for (at, record) in (0..).zip(&batch.records) {
                let offset = base + at;
                if is_committed && self.is_promised(batch) {
                    let known = promised.entry(record.key).or_default();
                    *known = offset.max(*known);
                }
                if record.bytes.is_none() && self.moment.latest.since(record.timestamp) >= TOMBSTONE_TIME {
                    let known = tombstones.entry(record.key).or_default();
                    *known = offset.max(*known);
                }
            }
        }
        let start = self.found.starts.get(&(topic, id.partition.get())).copied().unwrap_or_default();
        for (key, offset) in promised {
            let is_there = newest.get(&key).is_some_and(|newest| *newest >= offset);
            let is_removed = tombstones.get(&key).is_some_and(|tombstone| *tombstone >= offset);
            if !is_there && !is_removed && offset >= start {
                return fail("R11", format!("{id} has lost the newest record of key {key}, at {offset}"));
            }
        }
        Ok(())
    }

    /// Whether a failed sync may have taken it.
    fn has_failed(&self, batch: &Batch) -> bool {
        let topic = &self.history.topics[batch.topic].name;
        self.moment.failed.contains(&format!("{topic}-{}", batch.partition))
    }

    /// Whether the log has to stand by its answer to this batch.
    fn is_promised(&self, batch: &Batch) -> bool {
        let is_strong = match (self.moment.promise, batch.acks) {
            (_, Acks::Synced) => true,
            (Promise::All, Acks::Written) => !self.has_failed(batch),
            (Promise::Synced, Acks::Written) | (_, Acks::None) => false,
        };
        let is_answered = batch.span.at(self.point) == Known::Done && batch.base.is_some();
        is_answered && is_strong
    }

    /// Compares what was sent to a partition with what is there.
    fn batches(
        &mut self,
        topic: usize,
        id: &TopicPartition,
        scan: &Scan,
        seen: &BTreeMap<u64, Offset>,
    ) -> Checked {
        let mut promised_end = Offset::ZERO;
        let history = self.history;
        let here = |batch: &&Batch| (batch.topic, batch.partition) == (topic, id.partition.get());
        for batch in history.batches.iter().filter(here).filter(|batch| self.is_promised(batch)) {
            let base = batch.base.unwrap_or_default();
            promised_end = promised_end.max(base + batch.records.len() as u64);
        }
        if scan.end < promised_end {
            return fail("R5", format!("{id} ends at {}, but {promised_end} was acknowledged", scan.end));
        }
        let is_compacted = history.topics[topic].is_compacted;
        // Markers behind it may be from the start that came after.
        let data_end = seen.values().max().map_or(Offset::ZERO, |last| *last + 1);
        for (index, batch) in history.batches.iter().enumerate().filter(|(_, batch)| here(batch)) {
            let offsets: Vec<_> =
                (0..batch.records.len() as u64).map(|at| seen.get(&(batch.serial + at)).copied()).collect();
            // Of a compacted batch, the first records may be gone.
            let first = (0..).zip(&offsets).find_map(|(at, offset)| Some((at, (*offset)?)));
            if let Some((at, offset)) = first {
                self.found.batches.insert(index, Offset::new(offset.get().saturating_sub(at)));
            }
            let reached = offsets.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            self.found.reached.insert(index, reached);
            let is_answered = batch.span.at(self.point) == Known::Done;
            // What a crash takes is at the end, and what a failed sync takes may be anywhere.
            let is_no_tail = || {
                let end = batch.base.map(|base| base + batch.records.len() as u64);
                self.is_promised(batch) || !self.has_failed(batch) && end.is_some_and(|end| end <= data_end)
            };
            if is_compacted && is_answered && first.is_none() && is_no_tail() {
                self.found.compacted.insert(index);
            }
            for (at, offset) in (0..).zip(&offsets) {
                let serial = batch.serial + at;
                let expected = batch.base.filter(|_| is_answered).map(|base| base + at);
                match (offset, expected) {
                    (Some(offset), Some(expected)) if *offset != expected => {
                        return fail(
                            "R1",
                            format!("{id} has record {serial} at {offset}, not at {expected}"),
                        );
                    }
                    // All before what is promised is promised too.
                    (None, Some(expected))
                        if expected >= scan.start && expected < promised_end && !is_compacted =>
                    {
                        return fail("R1", format!("{id} has lost record {serial} of offset {expected}"));
                    }
                    _ => {}
                }
            }
            let found = offsets.iter().flatten().count();
            let is_cut = offsets.iter().flatten().next().is_some_and(|first| *first == scan.start);
            if is_compacted || is_cut || scan.start > Offset::ZERO {
                continue;
            }
            let first_ones = offsets.iter().take_while(|offset| offset.is_some()).count();
            if found != first_ones || found != 0 && found != offsets.len() && batch.is_one {
                return fail("R1", format!("{id} has {found} records of the batch {}", batch.serial));
            }
        }
        Ok(())
    }

    fn transactions(&mut self) -> Checked {
        for (index, _) in self.history.transactions.iter().enumerate() {
            let ending = self.history.ending(index, self.point);
            let (mut seen, mut missing) = (None, None);
            let batches = self.history.batches.iter().enumerate();
            for (at, batch) in batches.filter(|(_, batch)| batch.transaction == Some(index)) {
                let topic = &self.history.topics[batch.topic];
                let visible = self.visible.get(&at).map_or(0, BTreeSet::len);
                if visible > 0 {
                    seen = Some(batch.serial);
                    self.found.committed.insert(index);
                }
                let start = self.found.starts.get(&(batch.topic, batch.partition));
                // What retention or compaction may have taken says nothing.
                let is_whole = start == Some(&Offset::ZERO) && !topic.is_compacted;
                let is_answered = batch.span.at(self.point) == Known::Done;
                if visible < batch.records.len() && is_whole && is_answered {
                    missing = Some(batch.serial);
                }
            }
            match (ending, seen, missing) {
                (Ending::Committed, _, Some(missing)) => {
                    return fail("R6", format!("transaction {index} was committed without {missing}"));
                }
                (Ending::Aborted, Some(seen), _) => {
                    return fail("R6", format!("transaction {index} was not committed, but shows {seen}"));
                }
                (Ending::Either, Some(seen), Some(missing)) => {
                    let text = format!("transaction {index} shows record {seen}, but not {missing}");
                    return fail("R6", text);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn offsets(&mut self, group: &'static str) -> Checked {
        let mut found: BTreeMap<(usize, u32), Offset> = BTreeMap::new();
        for (id, committed) in self.log.committed_offsets(group) {
            let topic = self.found.topics.iter().find(|at| self.history.topics[**at].name == *id.topic);
            if let Some(topic) = topic {
                found.insert((*topic, id.partition.get()), committed.offset);
            }
        }
        let mut allowed: BTreeMap<(usize, u32), Vec<Option<Offset>>> = BTreeMap::new();
        // A transaction whose end nobody was told may have come to it after all others.
        let mut late = Vec::new();
        for commit in self.history.offset_commits.iter().filter(|commit| commit.group == group) {
            let entry = allowed.entry((commit.topic, commit.partition)).or_insert_with(|| vec![None]);
            let known = match commit.transaction.map(|index| self.history.ending(index, self.point)) {
                None => commit.span.at(self.point),
                Some(_) if commit.span.at(self.point) == Known::Never => Known::Never,
                Some(Ending::Committed) => commit.span.at(self.point),
                Some(Ending::Aborted) => Known::Never,
                Some(Ending::Either) => {
                    late.push(commit);
                    Known::Never
                }
            };
            match known {
                Known::Never => {}
                Known::Maybe => entry.push(Some(commit.offset)),
                Known::Done => *entry = vec![Some(commit.offset)],
            }
        }
        for commit in late {
            allowed.entry((commit.topic, commit.partition)).or_default().push(Some(commit.offset));
        }
        for &(topic, partition) in allowed.keys().chain(found.keys()) {
            if !self.found.topics.contains(&topic) {
                continue;
            }
            let is = found.get(&(topic, partition)).copied();
            let may = allowed.get(&(topic, partition)).map_or(&[None][..], Vec::as_slice);
            if !may.contains(&is) {
                let name = &self.history.topics[topic].name;
                let text =
                    format!("the offset of {group} in {name}-{partition} is {is:?}, not one of {may:?}");
                return fail("R10", text);
            }
        }
        let found = found.into_iter().map(|((topic, partition), offset)| ((group, topic, partition), offset));
        self.found.offsets.extend(found);
        Ok(())
    }
}

impl Scan {
    /// Each batch: where it is, whose it is, and whether it is a marker or was committed.
    fn describe(&self) -> Vec<(u64, Option<i64>, &'static str)> {
        let kind = |batch: &RecordBatch| match Marker::of(batch).filter(|_| batch.is_control()) {
            Some(Marker { is_commit: true, .. }) => "commit",
            Some(_) => "abort",
            None if self.is_visible(batch) => "visible",
            None => "hidden",
        };
        let one = |batch: &RecordBatch| {
            (batch.base_offset().get(), batch.producer_id().map(ProducerId::get), kind(batch))
        };
        self.batches.iter().map(one).collect()
    }

    fn is_visible(&self, batch: &RecordBatch) -> bool {
        if batch.is_control() {
            return false;
        }
        let Some(producer) = batch.producer_id().filter(|_| batch.is_transactional()) else {
            return self.first_open.is_none_or(|open| batch.base_offset() < open);
        };
        let at = batch.base_offset();
        let covers = |(id, first, marker): &(ProducerId, Offset, Offset)| {
            *id == producer && *first <= at && at < *marker
        };
        self.committed.iter().any(covers) && self.first_open.is_none_or(|open| at < open)
    }
}

/// The serial number of a record.
pub(super) fn serial_of(record: &RecordView<'_>) -> Option<u64> {
    let header = record.headers().next()?.ok().filter(|header| header.key == SERIAL)?;
    Some(u64::from_be_bytes(header.value?.try_into().ok()?))
}

/// An error with all of its causes.
pub(super) fn with_cause(error: &LogError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
