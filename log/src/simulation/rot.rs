//! The end of some runs: a bit of a file is another one when the log is opened again.
//!
//! Indexes and snapshots are only there to be quick, so with one of them broken all rules hold as before. A broken batch
//! is never served, whoever reads on behind it gets all others, and a repair gives up it alone.

use std::path::Path;

use super::check::{Moment, Promise, Violation, check, with_cause};
use super::disk::Faults;
use super::world::{World, open, unopened};
use crate::engine::Log;
use crate::error::LogError;
use crate::record::{BatchBuilder, RecordBatch};
use crate::repair::RepairMode;
use crate::types::{Acks, Isolation, Offset, OffsetSpec, Timestamp, TopicPartition};

type Checked<T = ()> = Result<T, Violation>;

fn fail<T>(rule: &'static str, text: String) -> Checked<T> {
    Err(Violation { rule, text })
}

/// What a partition gave to its readers.
struct Read {
    batches: Vec<RecordBatch>,
    /// What it could not give.
    bad: Vec<(Offset, Offset)>,
    end: Offset,
    /// Where the first record of each time is.
    times: Vec<(Timestamp, Option<Offset>)>,
}

impl World {
    /// Closes the log, flips a bit in a file of a partition, and looks at what the next start makes of it.
    pub(super) fn rot(&mut self) -> Checked {
        self.disk.set_faults(Faults::default());
        let topics: Vec<(u8, usize)> = self.live.iter().map(|(number, run)| (*number, *run)).collect();
        let Some((number, run)) = self.rng.choice(topics) else { return Ok(()) };
        let id = TopicPartition::new(Self::name(number), self.rng.u32(..self.history.topics[run].partitions));
        let Some(log) = self.log.take() else { return Ok(()) };
        let before = read(&log, &id)?;
        let dir = Path::new("log").join(id.to_string());
        self.members.iter_mut().for_each(|member| drop(member.take()));
        if log.close().is_err() || !self.disk.holds(Path::new("log/.kafka_cleanshutdown")) {
            return Ok(());
        }
        let is_judged = |path: &&std::path::PathBuf| {
            let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            path.parent() == Some(&dir) && ["log", "index", "timeindex", "snapshot"].contains(&kind)
        };
        let files = self.disk.snapshot().files();
        let files: Vec<_> =
            files.iter().filter(|(path, bytes)| is_judged(path) && !bytes.is_empty()).collect();
        let Some((path, bytes)) = self.rng.choice(files) else { return Ok(()) };
        let (mut position, bit) = (self.rng.usize(..bytes.len()), self.rng.u8(..8));
        let is_batch = path.extension().is_some_and(|extension| extension == "log");
        if is_batch && self.history.topics[run].is_compacted && is_base_offset(bytes, position) {
            // It lies outside the CRC, and with gaps around it nothing tells it from another.
            position += 8;
        }
        self.note(|| format!("bit {bit} of byte {position} of {} flips", path.display()));
        let flipped = self.disk.flip_bit(path, position, bit);
        if let Err(error) = flipped {
            return fail("R0", format!("no bit to flip: {error}"));
        }
        let log = open(&self.disk, &self.clock, self.settings.seed).or_else(|error| unopened(&error))?;
        let checked = match is_batch {
            true => self.check_rotten(&log, &id, &before),
            false => self.check_all(&log, &id, &before),
        };
        self.log = Some(log);
        let file = path.display();
        checked.map_err(|violation| Violation {
            text: format!("after a flip in {file} at {position}: {}", violation.text),
            ..violation
        })
    }

    /// All rules, and the same answers about times.
    fn check_all(&self, log: &Log, id: &TopicPartition, before: &Read) -> Checked {
        let failed = std::collections::BTreeSet::new();
        let moment = Moment { point: 0, promise: Promise::All, latest: self.latest, failed };
        check(&self.history, log, &moment)?;
        let times = read(log, id)?.times;
        match times == before.times {
            true => Ok(()),
            false => fail("R1", format!("{id} finds other times: {:?}, then {times:?}", before.times)),
        }
    }

    fn check_rotten(&self, log: &Log, id: &TopicPartition, before: &Read) -> Checked {
        let after = read(log, id)?;
        compare(id, before, &after)?;
        let append = || {
            let mut builder = BatchBuilder::with_capacity(64);
            builder.append(self.latest, Some(b"key"), None, &[]);
            log.append(id, builder.finish(), Acks::Synced)
        };
        match append() {
            // Below the log start, no reader comes upon it.
            Err(LogError::Corrupt { .. }) => {}
            Ok(_) if after.bad.is_empty() => return Ok(()),
            outcome => {
                return fail("R1", format!("{id} answers {outcome:?} to an append, with {:?}", after.bad));
            }
        }
        let repaired = log.repair(id, RepairMode::Apply);
        repaired.or_else(|error| fail("R1", format!("{id} is not repaired: {}", with_cause(&error))))?;
        let repaired = read(log, id)?;
        if !repaired.bad.is_empty() || !is_same(&repaired.batches, &after.batches) {
            return fail("R1", format!("{id} is not the same after a repair: {:?}", repaired.bad));
        }
        match append() {
            Ok(_) => Ok(()),
            Err(error) => fail("R1", format!("{id} takes nothing after a repair: {}", with_cause(&error))),
        }
    }
}

/// Whether the byte at `position` belongs to the base offset of a batch.
fn is_base_offset(bytes: &[u8], position: usize) -> bool {
    let mut rest = bytes::Bytes::copy_from_slice(bytes);
    let mut start = 0;
    while let Ok(Some(batch)) = RecordBatch::take(&mut rest) {
        if (start..start + 8).contains(&position) {
            return true;
        }
        start += batch.len_bytes();
    }
    false
}

/// Reads a partition from end to end, past damage.
fn read(log: &Log, id: &TopicPartition) -> Checked<Read> {
    let spec = |spec| {
        let outcome = log.offsets(id, spec);
        outcome.or_else(|error| fail("R1", format!("{id} has no bounds: {}", with_cause(&error))))
    };
    let (mut at, end) = (spec(OffsetSpec::Earliest)?, spec(OffsetSpec::Latest)?);
    let mut found = Read { batches: Vec::new(), bad: Vec::new(), end, times: Vec::new() };
    while at < end {
        match log.read(id, at, 1500, Isolation::ReadUncommitted) {
            Ok(fetched) => {
                let next = fetched.next_offset(at);
                if next == at {
                    break;
                }
                found.batches.extend(fetched.batches);
                at = next;
            }
            Err(LogError::Corrupt { offset, offset_end, .. }) if (offset..offset_end).contains(&at) => {
                found.bad.push((at, offset_end));
                at = offset_end;
            }
            Err(error) => return fail("R1", format!("{id} cannot be read at {at}: {}", with_cause(&error))),
        }
    }
    let mut times: Vec<_> = found.batches.iter().map(RecordBatch::max_timestamp).collect();
    times.sort();
    times.dedup();
    found.times = times.into_iter().map(|time| (time, log.offsets(id, OffsetSpec::At(time)).ok())).collect();
    Ok(found)
}

/// Whether all that is there is as it was, and no more than one batch is missing, which is reported.
fn compare(id: &TopicPartition, before: &Read, after: &Read) -> Checked {
    if after.end < before.end {
        return fail("R5", format!("{id} ends at {} instead of {}", after.end, before.end));
    }
    let mut lost = 0;
    let mut others = after.batches.iter().peekable();
    for batch in &before.batches {
        let base = batch.base_offset();
        match others.peek() {
            Some(other) if other.base_offset() == base => {
                if !is_same(std::slice::from_ref(batch), std::slice::from_ref(*other)) {
                    return fail("R1", format!("{id} serves other bytes at {base}"));
                }
                others.next();
            }
            _ if after.bad.iter().any(|(from, to)| *from <= batch.last_offset() && base < *to) => lost += 1,
            _ => return fail("R1", format!("{id} does not serve {base} and says nothing of it")),
        }
    }
    match others.next() {
        Some(other) => {
            fail("R4", format!("{id} serves a batch at {} that was not there", other.base_offset()))
        }
        None if lost > 1 => {
            fail("R1", format!("{id} has lost {lost} batches to one flipped bit: {:?}", after.bad))
        }
        None => Ok(()),
    }
}

/// Whether these are the same batches. The leader epoch of one lies outside its CRC.
fn is_same(batches: &[RecordBatch], others: &[RecordBatch]) -> bool {
    let parts = |batch: &RecordBatch| {
        let bytes = batch.bytes();
        (bytes[..12].to_vec(), bytes[16..].to_vec())
    };
    batches.iter().map(parts).eq(others.iter().map(parts))
}
