//! Stream-stream join: rows of two streams with equal keys and times that lie close enough.
//!
//! ```text
//! left row  ─▶ looks into the rows of the right side, then joins those of the left ─┐
//! right row ─▶ looks into the rows of the left side, then joins those of the right ─┴▶ joined rows
//!                            │ no match, and the side keeps unmatched rows
//!                            ▼
//!                  waiting, until stream time has passed the end of its window
//! ```
//! The stream time is that of both sides together, judged row by row. Windows: a left row at `t` joins right rows
//! in `[t - before, t + after]`.

use std::any::{Any, type_name};
use std::sync::Arc;
use std::time::Duration;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::spec::millis;
use crate::store::{Arena, KeptRow, OrderedStore, StoreHandle, StreamRows, TaskStore};

/// Joined rows of an output batch, about: the last input row of it may add more.
pub(crate) const OUTPUT_ROWS: usize = 8192;

/// How far apart in time two rows may be to be joined, in ms. As Kafka's `JoinWindows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
}

impl JoinWindows {
    /// Rows whose times differ by at most `difference`, without grace.
    pub fn of(difference: Duration) -> Self {
        let difference = millis(difference);
        Self { before_ms: difference, after_ms: difference, grace_ms: 0 }
    }

    /// Right rows may be this much older than the left row.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        self.bounds_ms(millis(before), self.after_ms)
    }

    /// Right rows may be this much newer than the left row.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        self.bounds_ms(self.before_ms, millis(after))
    }

    /// Both bounds in ms. A negative bound excludes rows at the time of the left row: with -5 and 10, right rows
    /// must be 5 to 10 ms newer. `after_ms` is raised to `-before_ms` if it is less, where the window is a point.
    #[must_use]
    pub fn bounds_ms(mut self, before_ms: i64, after_ms: i64) -> Self {
        self.before_ms = before_ms.max(-i64::MAX);
        self.after_ms = after_ms.max(-self.before_ms);
        self
    }

    /// Takes rows for this long after the end of their window, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = millis(grace);
        self
    }

    /// How long a row is kept for rows that come late.
    pub fn retention(&self) -> Duration {
        // As in Kafka, but a row is never gone before it can be told that it has no match.
        let span = self.before_ms.max(1).saturating_add(self.after_ms.max(1));
        Duration::from_millis(span.saturating_add(self.grace_ms).unsigned_abs())
    }

    /// The bounds as a side sees them: how much older and newer rows of the other side may be.
    pub(crate) fn seen_from(&self, side: Side) -> (i64, i64) {
        match side {
            Side::Left => (self.before_ms, self.after_ms),
            Side::Right => (self.after_ms, self.before_ms),
        }
    }

    /// The stream time that a row of this side has to wait for before it is known to stay without match; it is known
    /// when the stream time has passed it.
    pub(crate) fn close(&self, side: Side, time: i64) -> i64 {
        time.saturating_add(self.seen_from(side).1).saturating_add(self.grace_ms)
    }
}

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The stream that joins.
    Left,
    /// The stream that is joined.
    Right,
}

impl Side {
    /// In keys of waiting rows; as Kafka's, so the right side comes first at equal times.
    fn byte(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 0,
        }
    }
}

/// When rows without match come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Once their window and its grace have passed; they never join from then on, so no row comes out both with and
    /// without match.
    Final,
    /// Once their window and its grace have passed, or at once if they come when their window has passed. They can
    /// still be joined by rows that come late. As Kafka's joins with grace.
    Closed,
    /// At once, and again with each match that comes later. As Kafka's joins before there was grace.
    Eager,
}

/// What is joined, and which rows come out without match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamJoin {
    /// How far apart rows may be.
    pub windows: JoinWindows,
    /// Whether left rows come out without match: left and outer joins.
    pub keeps_left: bool,
    /// Whether right rows come out without match: outer joins.
    pub keeps_right: bool,
    /// When rows without match come out.
    pub unmatched: Unmatched,
}

impl StreamJoin {
    pub(crate) fn keeps(&self, side: Side) -> bool {
        match side {
            Side::Left => self.keeps_left,
            Side::Right => self.keeps_right,
        }
    }

    /// Whether a row of this side that stays without match and is not kept comes out alone.
    pub(crate) fn closes_alone(&self, side: Side, time: i64, stream_time: i64) -> bool {
        self.keeps(side) && self.windows.close(side, time) < stream_time
    }

    /// Whether every row that is kept lies in its own window.
    pub(crate) fn includes_itself(&self) -> bool {
        self.windows.before_ms >= 0 && self.windows.after_ms >= 0
    }

    /// Whether rows wait for their window to pass, so that the join needs a store for them.
    pub fn waits(&self) -> bool {
        (self.keeps_left || self.keeps_right) && self.unmatched != Unmatched::Eager
    }
}

/// The stores of a join as one of its sides sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinStores {
    /// Rows of the side, a [`StreamRows`]. Its retention is that of the windows.
    pub this: StoreHandle,
    /// Rows of the other side, a [`StreamRows`].
    pub other: StoreHandle,
    /// Which rows wait, an [`OrderedStore`] of both sides; wanted by joins that [wait](StreamJoin::waits).
    pub waiting: Option<StoreHandle>,
}

/// A row that comes out, in terms of the side that makes it come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinedRow {
    /// The input row that made it come; its headers go along. Of its values nothing comes out if a row of the
    /// stores comes alone.
    pub row: u32,
    /// The event time in ms.
    pub time: i64,
    /// What is joined.
    pub pair: Pair,
}

/// What is joined in a [`JoinedRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The input row and the other side's row in this slot.
    Matched(u32),
    /// The input row alone.
    Alone,
    /// A row of this side alone: its key's place and its slot.
    ThisAlone(u32, u32),
    /// A row of the other side alone: its key's place and its slot.
    OtherAlone(u32, u32),
}

/// What one skin knows about one side of a stream-stream join.
pub trait StreamJoiner: Send + 'static {
    /// The values of this side's rows.
    type This: Arena;
    /// The values of the other side's rows.
    type Other: Arena;
    /// This side's batch.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Whether a row has a value; one without is dropped.
    fn has_value(&self, input: &Self::Input, row: usize) -> bool;

    /// Stores the value of row `rows[i]` in slot `slots[i]`.
    fn write(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::This,
    ) -> Result<(), StreamsError>;

    /// Makes the output rows, in order; there is at least one. Without input all of them are rows that come alone out
    /// of the stores, and their [`JoinedRow::row`] means nothing.
    fn join(
        &mut self,
        input: Option<&Self::Input>,
        rows: &[JoinedRow],
        this: &StreamRows<Self::This>,
        other: &StreamRows<Self::Other>,
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Runs one side of a stream-stream join. The other side has a processor of its own, with the same stores.
pub struct StreamJoinProcessor<J: StreamJoiner> {
    joiner: J,
    side: Side,
    join: StreamJoin,
    stores: JoinStores,
    keys: ByteColumn,
    joined: Vec<JoinedRow>,
    /// Input rows whose values are to be stored, and where.
    stored: Stored,
    waiting_key: Vec<u8>,
    /// Under which name the stream time is kept where no stored row tells it.
    time_name: Arc<str>,
}

/// Input rows that were put into the store of their side without value so far.
#[derive(Default)]
struct Stored {
    rows: Vec<u32>,
    kept: Vec<KeptRow>,
    slots: Vec<u32>,
}

/// Rows that were left out.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) without_value: usize,
    pub(crate) without_key: usize,
    pub(crate) late: usize,
    /// The highest time of the side, if it came from a row that is in no store.
    pub(crate) time: Option<i64>,
}

/// The stores while a batch is joined.
struct Stores<'a, T: Arena, O: Arena> {
    this: &'a mut StreamRows<T>,
    other: &'a mut StreamRows<O>,
    waiting: Option<&'a mut OrderedStore>,
}

impl<J: StreamJoiner> StreamJoinProcessor<J> {
    /// One side of a join.
    pub fn new(joiner: J, side: Side, join: StreamJoin, stores: JoinStores) -> Self {
        Self {
            joiner,
            side,
            join,
            stores,
            keys: ByteColumn::default(),
            joined: Vec::new(),
            stored: Stored::default(),
            waiting_key: Vec::new(),
            time_name: "".into(),
        }
    }

    fn open<'a>(&self, context: &'a mut Context<'_>) -> Result<Stores<'a, J::This, J::Other>, StreamsError> {
        let JoinStores { this, other, waiting } = self.stores;
        let (this, other, waiting) = match waiting {
            Some(waiting) => {
                let [this, other, waiting] = context.stores([this, other, waiting])?;
                (this, other, Some(own::<OrderedStore>(waiting)?))
            }
            None => {
                let [this, other] = context.stores([this, other])?;
                (this, other, None)
            }
        };
        Ok(Stores { this: own(this)?, other: own(other)?, waiting })
    }

    /// Joins rows from `next` on until the batch ends or enough has come of it.
    fn run(
        &mut self,
        input: &J::Input,
        next: &mut usize,
        stores: &mut Stores<'_, J::This, J::Other>,
        dropped: &mut Dropped,
    ) -> Result<(), StreamsError> {
        let timestamps = input.timestamps();
        while *next < timestamps.len() && self.joined.len() < OUTPUT_ROWS {
            let (row, time) = (*next, timestamps[*next]);
            let numbered = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            stores.this.observe(time);
            let stream_time = stores.this.stream_time().max(stores.other.stream_time());
            if time == stream_time && !self.close(Some(input), numbered, stream_time, stores)? {
                return Ok(());
            }
            *next += 1;
            let stored = self.stored.rows.len();
            if !self.joiner.has_value(input, row) {
                dropped.without_value += 1;
                dropped.time = dropped.time.max((time == stores.this.stream_time()).then_some(time));
                continue;
            }
            // The keys are given back below: what is called in between needs the rest of the processor.
            let keys = std::mem::take(&mut self.keys);
            let result = match keys.get(row) {
                Some(key) => self.join_row(key, numbered, time, stream_time, stores, dropped),
                None if self.join.keeps(self.side) => {
                    self.joined.push(JoinedRow { row: numbered, time, pair: Pair::Alone });
                    Ok(())
                }
                None => {
                    dropped.without_key += 1;
                    Ok(())
                }
            };
            self.keys = keys;
            result?;
            if time == stores.this.stream_time() && self.stored.rows.len() == stored {
                dropped.time = dropped.time.max(Some(time));
            }
        }
        Ok(())
    }

    fn join_row(
        &mut self,
        key: &[u8],
        row: u32,
        time: i64,
        stream_time: i64,
        stores: &mut Stores<'_, J::This, J::Other>,
        dropped: &mut Dropped,
    ) -> Result<(), StreamsError> {
        let matched = self.look_up(key, row, time, stores)?;
        let live = time >= stores.this.first_live();
        dropped.late += usize::from(!live);
        let mut waits = false;
        if !matched && self.join.keeps(self.side) {
            let windows = self.join.windows;
            let passed = match self.join.unmatched {
                Unmatched::Eager => true,
                Unmatched::Closed => time.saturating_add(windows.seen_from(self.side).1) < stream_time,
                Unmatched::Final => windows.close(self.side, time) < stream_time,
            };
            if passed {
                self.joined.push(JoinedRow { row, time, pair: Pair::Alone });
                if self.join.unmatched == Unmatched::Final {
                    return Ok(());
                }
            }
            waits = !passed;
        }
        if live {
            let place = stores.this.find_or_make(key)?;
            let stored = stores.this.insert(place, time, !waits);
            self.stored.rows.push(row);
            self.stored.kept.push(stored);
            self.stored.slots.push(stored.slot);
            if waits && let Some(waiting) = &mut stores.waiting {
                self.waiting_key(self.side, key, time, stored.sequence);
                waiting.put(&self.waiting_key, &[], time);
            }
        }
        Ok(())
    }

    /// Joins an input row with the rows of the other side. Returns whether there were any.
    fn look_up(
        &mut self,
        key: &[u8],
        row: u32,
        time: i64,
        stores: &mut Stores<'_, J::This, J::Other>,
    ) -> Result<bool, StreamsError> {
        let Some(place) = stores.other.find(key)? else { return Ok(false) };
        let (before, after) = self.join.windows.seen_from(self.side);
        let (from, to) = (time.saturating_sub(before), time.saturating_add(after));
        let range = stores.other.range(place, from, to);
        let matched = !range.is_empty();
        for index in range {
            let found = stores.other.row(place, index);
            self.joined.push(JoinedRow { row, time: time.max(found.time), pair: Pair::Matched(found.slot) });
            if !found.settled
                && let Some(waiting) = &mut stores.waiting
            {
                let other = other(self.side);
                if self.join.keeps(other) {
                    self.waiting_key(other, key, found.time, found.sequence);
                    waiting.remove(&self.waiting_key, time)?;
                }
                stores.other.settle(place, index);
            }
        }
        Ok(matched)
    }

    /// Lets rows come out whose windows have passed without match. Returns whether that is done; if not, enough has
    /// come out for one batch.
    fn close(
        &mut self,
        input: Option<&J::Input>,
        row: u32,
        stream_time: i64,
        stores: &mut Stores<'_, J::This, J::Other>,
    ) -> Result<bool, StreamsError> {
        loop {
            let Some(waiting) = &mut stores.waiting else { return Ok(true) };
            let Some((first, _)) = waiting.first()? else { return Ok(true) };
            let due = split_waiting(first).ok_or_else(|| StreamsError::CorruptState {
                store: "rows that wait for a match".to_owned(),
                reason: format!("a key has {} bytes and not 21 or more", first.len()),
            })?;
            if due.close >= stream_time {
                return Ok(true);
            }
            if self.joined.len() >= OUTPUT_ROWS {
                return Ok(false);
            }
            self.waiting_key.clear();
            self.waiting_key.extend_from_slice(first);
            let due = Waiting { key: &self.waiting_key[WAITING_HEAD..self.waiting_key.len() - 4], ..due };
            waiting.remove(&self.waiting_key, due.time)?;
            // What comes out may be a row of this batch.
            if let Some(input) = input {
                write(&mut self.joiner, input, &mut self.stored, stores.this)?;
            }
            let remove = self.join.unmatched == Unmatched::Final;
            let pair = if due.side == self.side {
                take(stores.this, &due, remove)?.map(|(place, slot)| Pair::ThisAlone(place, slot))
            } else {
                take(stores.other, &due, remove)?.map(|(place, slot)| Pair::OtherAlone(place, slot))
            };
            self.joined.extend(pair.map(|pair| JoinedRow { row, time: due.time, pair }));
        }
    }

    /// The batch of what was joined since the last one.
    fn output(
        &mut self,
        input: Option<&J::Input>,
        stores: &mut Stores<'_, J::This, J::Other>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        if self.joined.is_empty() {
            return Ok(None);
        }
        let output = self.joiner.join(input, &self.joined, stores.this, stores.other)?;
        self.joined.clear();
        Ok(Some(output))
    }

    fn waiting_key(&mut self, side: Side, key: &[u8], time: i64, sequence: u32) {
        let out = &mut self.waiting_key;
        out.clear();
        out.extend_from_slice(&self.join.windows.close(side, time).to_be_bytes());
        out.extend_from_slice(&time.to_be_bytes());
        out.push(side.byte());
        out.extend_from_slice(key);
        out.extend_from_slice(&sequence.to_be_bytes());
    }
}

/// A store as its own type.
fn own<S: TaskStore>(store: &mut dyn TaskStore) -> Result<&mut S, StreamsError> {
    let store: &mut dyn Any = store;
    store.downcast_mut::<S>().ok_or(StreamsError::WrongType { expected: type_name::<S>() })
}

fn other(side: Side) -> Side {
    match side {
        Side::Left => Side::Right,
        Side::Right => Side::Left,
    }
}

/// A row that waits: close 8, time 8, side 1, key, sequence 4, numbers big endian.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    close: i64,
    time: i64,
    side: Side,
    key: &'a [u8],
    sequence: u32,
}

const WAITING_HEAD: usize = 17;

fn split_waiting(bytes: &[u8]) -> Option<Waiting<'_>> {
    let (close, rest) = bytes.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (side, rest) = rest.split_first()?;
    let (key, sequence) = rest.split_last_chunk::<4>()?;
    Some(Waiting {
        close: i64::from_be_bytes(*close),
        time: i64::from_be_bytes(*time),
        side: if *side == Side::Left.byte() { Side::Left } else { Side::Right },
        key,
        sequence: u32::from_be_bytes(*sequence),
    })
}

/// The place of the key and the slot of a row that waited; the row is removed if that is wanted.
fn take<A: Arena>(
    rows: &mut StreamRows<A>,
    due: &Waiting<'_>,
    remove: bool,
) -> Result<Option<(u32, u32)>, StreamsError> {
    let Some(place) = rows.find(due.key)? else { return Ok(None) };
    let Some(index) = rows.index_of(place, due.time, due.sequence) else { return Ok(None) };
    let slot = rows.row(place, index).slot;
    if remove {
        rows.remove(place, index);
    } else {
        rows.settle(place, index);
    }
    Ok(Some((place, slot)))
}

/// Puts the values of inserted rows into the arena.
fn write<J: StreamJoiner>(
    joiner: &mut J,
    input: &J::Input,
    stored: &mut Stored,
    store: &mut StreamRows<J::This>,
) -> Result<(), StreamsError> {
    if !stored.rows.is_empty() {
        joiner.write(input, &stored.rows, &stored.slots, store.arena_mut())?;
        store.written(&stored.kept)?;
        stored.rows.clear();
        stored.kept.clear();
        stored.slots.clear();
    }
    Ok(())
}

impl<J: StreamJoiner> Processor for StreamJoinProcessor<J> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.time_name = Arc::clone(self.open(context)?.this.name());
        if let Some(time) = context.kept_time(&self.time_name) {
            self.open(context)?.this.observe(time);
        }
        Ok(())
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<J::Input>(batch)?;
        self.keys.clear();
        self.joiner.keys(&input, &mut self.keys)?;
        let (mut next, mut dropped) = (0, Dropped::default());
        while next < input.rows() {
            let mut stores = self.open(context)?;
            self.run(&input, &mut next, &mut stores, &mut dropped)?;
            write(&mut self.joiner, &input, &mut self.stored, stores.this)?;
            let output = self.output(Some(&input), &mut stores)?;
            if next == input.rows() {
                stores.this.release();
                stores.other.release();
            }
            if let Some(output) = output {
                context.forward(output)?;
            }
        }
        if let Some(time) = dropped.time {
            context.keep_time(&self.time_name, time);
        }
        dropped.report(context);
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        loop {
            let mut stores = self.open(context)?;
            stores.this.observe(stream_time);
            let done = self.close(None, 0, stream_time, &mut stores)?;
            let output = self.output(None, &mut stores)?;
            if done {
                stores.this.release();
                stores.other.release();
            }
            if let Some(output) = output {
                context.forward(output)?;
            }
            if done {
                context.keep_time(&self.time_name, stream_time);
                return Ok(());
            }
        }
    }
}

impl Dropped {
    pub(crate) fn report(&self, context: &mut Context<'_>) {
        report(context, ReportKind::Incomplete, self.without_value, "a row has no value to join");
        report(context, ReportKind::Incomplete, self.without_key, "a row has no key to join on");
        report(
            context,
            ReportKind::Late,
            self.late,
            "a row came too late to be kept for the rows it could join",
        );
    }
}
