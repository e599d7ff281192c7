//! Per-key timers: when they are due, kept like any other state.
//!
//! ```text
//! 0 | clock | time u64 | name length u16 | name | key   ->  nothing      what is due, in order
//! 1 | clock | name length u16 | name | key              ->  time i64     the timer of a name and key
//! ```
//! Both kinds of entries are in the changelog and in the backend, so that nothing is built at a start and only what is
//! due is read. The clock is 0 for stream time and 1 for wall-clock time; bytes are big endian.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::StreamsError;
use crate::runtime::punctuation::PunctuationType;
use crate::store::backend::{Direction, WriteBatch, prefix_end};
use crate::store::cache::{StorePlace, StoreSize, TaskStore, split_value};
use crate::store::changelog::Changelog;

/// Committed timers that are read at a time.
const READ_AHEAD: usize = if cfg!(test) { 3 } else { 256 };
/// Committed timers that are kept in memory at most, of each clock.
const AHEAD_MAX: usize = 4 * READ_AHEAD;
const DUE: u8 = 0;
const TIME: u8 = 1;

/// A timer: one per clock, name and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The clock it goes by.
    pub kind: PunctuationType,
    /// When it is due, in ms.
    pub time: i64,
    /// What it is for, chosen by the processor.
    pub name: String,
    /// The key bytes it belongs to.
    pub key: Vec<u8>,
}

/// Name length, name and key.
type Id = Box<[u8]>;

/// The timers of a task's processor: committed ones in the backend, changes of them here until the commit.
pub(crate) struct TimerStore {
    place: StorePlace,
    clocks: [Clock; 2],
    stream_time: i64,
    dirty: usize,
}

/// The timers of one clock.
struct Clock {
    number: u8,
    /// Timers that were set, moved or removed since the last commit. Their committed entries count no more.
    changed: BTreeMap<Id, Changed>,
    /// Those of them that are set, by time.
    set: BTreeSet<(i64, Id)>,
    /// The next committed ones; the first has not changed.
    ahead: VecDeque<(i64, Id)>,
    /// Where reading goes on, or none at the end.
    cursor: Option<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Changed {
    committed: Option<i64>,
    now: Option<i64>,
}

impl TimerStore {
    pub(crate) fn new(place: StorePlace) -> Self {
        let clocks = [0, 1].map(|number| Clock {
            number,
            changed: BTreeMap::new(),
            set: BTreeSet::new(),
            ahead: VecDeque::new(),
            cursor: None,
        });
        Self { place, clocks, stream_time: i64::MIN, dirty: 0 }
    }

    /// Begins to read, once the backend is restored.
    pub(crate) fn begin(&mut self) -> Result<(), StreamsError> {
        for clock in &mut self.clocks {
            clock.ahead.clear();
            clock.cursor = Some(vec![DUE, clock.number]);
            clock.look_ahead(&self.place)?;
        }
        Ok(())
    }

    /// Sets the timer of a name and key, or moves it. The time may be past; one before 1970 counts as 1970.
    pub(crate) fn set(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
        time: i64,
    ) -> Result<(), StreamsError> {
        self.change(kind, id(name, key)?, Some(time.max(0))).map(drop)
    }

    /// Removes a timer. Returns whether there was one.
    pub(crate) fn cancel(
        &mut self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
    ) -> Result<bool, StreamsError> {
        Ok(self.change(kind, id(name, key)?, None)?.is_some())
    }

    /// When the timer of a name and key is due, if it is set.
    pub(crate) fn get(
        &self,
        kind: PunctuationType,
        name: &str,
        key: &[u8],
    ) -> Result<Option<i64>, StreamsError> {
        self.clocks[index(kind)].time(&self.place, &id(name, key)?)
    }

    /// When the next timer is due.
    pub(crate) fn due(&self, kind: PunctuationType) -> Option<i64> {
        self.clocks[index(kind)].next().map(|(time, _)| *time)
    }

    /// Removes and returns the next timer.
    pub(crate) fn take(&mut self, kind: PunctuationType) -> Result<Option<Timer>, StreamsError> {
        let Some((time, id)) = self.clocks[index(kind)].next().cloned() else { return Ok(None) };
        self.change(kind, id.clone(), None)?;
        timer(kind, time, &id).ok_or_else(|| self.place.corrupt("a timer has no name and key")).map(Some)
    }

    /// The stream time that is written with changes.
    pub(crate) fn observe(&mut self, stream_time: i64) {
        self.stream_time = self.stream_time.max(stream_time);
    }

    /// Returns what the timer was set to.
    fn change(
        &mut self,
        kind: PunctuationType,
        id: Id,
        time: Option<i64>,
    ) -> Result<Option<i64>, StreamsError> {
        let clock = &mut self.clocks[index(kind)];
        let known = match clock.changed.get(&id) {
            Some(known) => *known,
            None => {
                let committed = clock.time(&self.place, &id)?;
                Changed { committed, now: committed }
            }
        };
        if known.now == time {
            return Ok(known.now);
        }
        if let Some(before) = known.now {
            clock.set.remove(&(before, id.clone()));
        }
        if let Some(time) = time {
            clock.set.insert((time, id.clone()));
        }
        self.dirty += size_of::<Changed>() + 2 * (size_of::<(i64, Id)>() + id.len());
        clock.changed.insert(id, Changed { now: time, ..known });
        clock.look_ahead(&self.place)?;
        Ok(known.now)
    }
}

impl Clock {
    fn next(&self) -> Option<&(i64, Id)> {
        match (self.set.first(), self.ahead.front()) {
            (Some(set), Some(ahead)) => Some(set.min(ahead)),
            (set, ahead) => set.or(ahead),
        }
    }

    fn time(&self, place: &StorePlace, id: &[u8]) -> Result<Option<i64>, StreamsError> {
        if let Some(changed) = self.changed.get(id) {
            return Ok(changed.now);
        }
        let key = [&place.partition.to_be_bytes(), &[TIME, self.number][..], id].concat();
        let Some(value) = place.backend.get(place.family, &key)? else { return Ok(None) };
        let time = split_value(&value).and_then(|(_, time)| time.try_into().ok());
        time.map(|time| Some(i64::from_be_bytes(time))).ok_or_else(|| place.corrupt("a timer has no time"))
    }

    /// Makes the first committed timer known that has not changed.
    fn look_ahead(&mut self, place: &StorePlace) -> Result<(), StreamsError> {
        // Until one is found that has not changed, or all were read.
        loop {
            while self.ahead.front().is_some_and(|(_, id)| self.changed.contains_key(id)) {
                self.ahead.pop_front();
            }
            let Some(cursor) = self.cursor.take_if(|_| self.ahead.is_empty()) else { return Ok(()) };
            let partition = place.partition.to_be_bytes();
            let from = [&partition[..], &cursor].concat();
            let to = prefix_end(&[&partition[..], &[DUE, self.number]].concat());
            for entry in place.backend.scan(place.family, &from, to.as_deref(), Direction::Forward)? {
                let key = entry?.0;
                let (time, id) = split_due(&key[4..]).ok_or_else(|| place.corrupt("a timer has no time"))?;
                self.ahead.push_back((time, id.into()));
                if self.ahead.len() == READ_AHEAD {
                    // The next key in order.
                    self.cursor = Some([&key[4..], &[0]].concat());
                    break;
                }
            }
            if self.ahead.is_empty() {
                return Ok(());
            }
        }
    }
}

impl TaskStore for TimerStore {
    fn commit(&mut self, changelog: &mut Changelog<'_>, batch: &mut WriteBatch) -> Result<(), StreamsError> {
        let written_at = self.stream_time.max(0);
        let stamp = written_at.to_be_bytes();
        let partition = self.place.partition.to_be_bytes();
        for clock in &mut self.clocks {
            if clock.changed.is_empty() {
                continue;
            }
            for (id, Changed { committed, now }) in &clock.changed {
                if committed == now {
                    continue;
                }
                let by_id = [&[TIME, clock.number], &**id].concat();
                if let Some(before) = committed {
                    let due = due_key(clock.number, *before, id);
                    changelog.append(&due, None, written_at)?;
                    batch.delete(self.place.family, &[&partition, &due]);
                }
                match now {
                    Some(time) => {
                        let due = due_key(clock.number, *time, id);
                        changelog.append(&due, Some(&[]), written_at)?;
                        batch.put(self.place.family, &[&partition, &due], &[&stamp]);
                        let time = time.to_be_bytes();
                        changelog.append(&by_id, Some(&time), written_at)?;
                        batch.put(self.place.family, &[&partition, &by_id], &[&stamp, &time]);
                    }
                    None => {
                        changelog.append(&by_id, None, written_at)?;
                        batch.delete(self.place.family, &[&partition, &by_id]);
                    }
                }
            }
        }
        Ok(())
    }

    fn committed(&mut self, _budget: usize) {
        for clock in &mut self.clocks {
            if clock.changed.is_empty() {
                continue;
            }
            clock.settle();
        }
        self.dirty = 0;
    }

    fn size(&self) -> StoreSize {
        StoreSize { cached: self.dirty, dirty: self.dirty }
    }

    fn stream_time(&self) -> i64 {
        self.stream_time
    }

    fn restored(&mut self, stream_time: i64, _empty: bool) {
        self.observe(stream_time);
    }
}

impl Clock {
    /// The changes are committed: those that lie before the cursor are among what was read ahead from now on.
    fn settle(&mut self) {
        let end = self.cursor.as_deref().and_then(split_due).map(|(time, id)| (time, Id::from(id)));
        let known = self.ahead.drain(..).filter(|(_, id)| !self.changed.contains_key(id));
        let mut ahead: BTreeSet<(i64, Id)> = known.collect();
        let set = std::mem::take(&mut self.set);
        ahead.extend(set.into_iter().filter(|timer| end.as_ref().is_none_or(|end| timer < end)));
        self.changed.clear();
        let beyond = ahead.iter().nth(AHEAD_MAX).cloned();
        if let Some((time, id)) = beyond {
            self.cursor = Some(due_key(self.number, time, &id));
            ahead.split_off(&(time, id));
        }
        self.ahead = ahead.into_iter().collect();
    }
}

fn index(kind: PunctuationType) -> usize {
    match kind {
        PunctuationType::StreamTime => 0,
        PunctuationType::WallClockTime => 1,
    }
}

fn id(name: &str, key: &[u8]) -> Result<Id, StreamsError> {
    let length = u16::try_from(name.len()).map_err(|_| {
        StreamsError::Failed(format!("a timer's name has {} bytes, more than 65535", name.len()))
    })?;
    Ok([&length.to_be_bytes(), name.as_bytes(), key].concat().into())
}

fn due_key(clock: u8, time: i64, id: &[u8]) -> Vec<u8> {
    [&[DUE, clock][..], &time.to_be_bytes(), id].concat()
}

/// Time and id of a [`DUE`] key without partition.
fn split_due(key: &[u8]) -> Option<(i64, &[u8])> {
    let (time, id) = key.get(2..)?.split_first_chunk()?;
    Some((i64::from_be_bytes(*time), id))
}

fn timer(kind: PunctuationType, time: i64, id: &[u8]) -> Option<Timer> {
    let (length, rest) = id.split_first_chunk()?;
    let (name, key) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(Timer { kind, time, name: String::from_utf8(name.to_vec()).ok()?, key: key.to_vec() })
}

/// The timer of a stored key, or none for one that says the time of a timer.
pub(crate) fn stored_timer(key: &[u8]) -> Option<Timer> {
    let kind = match key {
        [DUE, 0, ..] => PunctuationType::StreamTime,
        [DUE, 1, ..] => PunctuationType::WallClockTime,
        _ => return None,
    };
    let (time, id) = split_due(key)?;
    timer(kind, time, id)
}

#[cfg(test)]
mod tests;
