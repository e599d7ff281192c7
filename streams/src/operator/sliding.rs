//! Sliding windows: every distinct set of rows of a key that lie within some time of each other.

use std::time::Duration;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::{Aggregator, Running, flush, forward_closed, report};
use crate::operator::closing::{Closing, EmitStrategy};
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::spec::millis;
use crate::store::{Arena, CachedStore, StoreHandle};

/// Windows `[start, start + difference]`, both included, in ms: one that ends and one that begins right after each row,
/// unless it has no rows. As Kafka's `SlidingWindows`.
///
/// Rows earlier than the difference share the window `[0, difference]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    difference_ms: i64,
    grace_ms: i64,
}

impl SlidingWindows {
    /// Windows of rows at most this far apart, without grace.
    pub fn of_time_difference(difference: Duration) -> Self {
        Self { difference_ms: millis(difference), grace_ms: 0 }
    }

    /// Takes rows for this long after the end of their window, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = millis(grace);
        self
    }

    /// The difference in ms.
    pub fn difference_ms(&self) -> i64 {
        self.difference_ms
    }

    /// The grace in ms.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The shortest time that a store must keep a window after its start. The oldest row that is taken lies a
    /// difference and the grace behind stream time, and looks at windows that begin two more differences before it.
    pub fn retention(&self) -> Duration {
        let ms = self.difference_ms.saturating_mul(3).saturating_add(self.grace_ms).saturating_add(1);
        Duration::from_millis(ms.unsigned_abs())
    }

    /// Windows that end before this take no more rows.
    fn close(&self, stream_time: i64) -> i64 {
        stream_time.saturating_sub(self.grace_ms)
    }

    /// From stream time to the start of the last window that is closed, in ms.
    fn lag_ms(&self) -> i64 {
        self.grace_ms.saturating_add(self.difference_ms).saturating_add(1)
    }
}

/// Runs an [`Aggregator`] over sliding windows, kept in a window store that it alone writes.
///
/// With caching off every row yields its windows: those that were there, in the order of their starts, then the one
/// that begins after the row before it, the one that ends with it, and the one that begins after it. With caching on,
/// every commit yields the windows that changed, in the order of their first change.
pub struct SlidingProcessor<G: Aggregator> {
    aggregator: G,
    store: StoreHandle,
    windows: SlidingWindows,
    closing: Closing,
    stream_time: i64,
    keys: ByteColumn,
    step: Step,
    late: usize,
}

/// What one row does.
#[derive(Default)]
struct Step {
    found: Vec<u32>,
    window_key: Vec<u8>,
    /// The windows that take the row in: the row again and again, slots, starts and timestamps.
    rows: Vec<u32>,
    slots: Vec<u32>,
    starts: Vec<i64>,
    times: Vec<i64>,
    /// The last of these windows is new and began with the state of another one.
    last_is_copy: bool,
    /// The slot of the window that begins after the row, if it is new.
    after: Option<u32>,
}

/// A row on its way.
#[derive(Clone, Copy)]
struct Row<'a> {
    number: u32,
    key: &'a [u8],
    time: i64,
    close: i64,
}

impl<G: Aggregator> SlidingProcessor<G> {
    /// An aggregation into `store`, a window store.
    pub fn new(aggregator: G, store: StoreHandle, windows: SlidingWindows) -> Self {
        Self {
            aggregator,
            store,
            windows,
            closing: Closing::new(EmitStrategy::OnWindowUpdate, windows.lag_ms()),
            stream_time: i64::MIN,
            keys: ByteColumn::default(),
            step: Step::default(),
            late: 0,
        }
    }

    /// Sets when results are forwarded.
    #[must_use]
    pub fn emit(mut self, emit: EmitStrategy) -> Self {
        self.closing = Closing::new(emit, self.windows.lag_ms());
        self
    }

    fn forward_closed(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let Self { aggregator, closing, store, stream_time, .. } = self;
        forward_closed(closing, *stream_time, *store, context, |store, slots| {
            aggregator.emit(store, slots, None)
        })
    }
}

impl Step {
    /// Finds the windows of a row and makes those that are missing; states are copied before they change. Returns how
    /// many windows were closed already.
    fn prepare<A: Arena>(
        &mut self,
        row: Row<'_>,
        difference: i64,
        store: &mut CachedStore<A>,
    ) -> Result<usize, StreamsError> {
        self.found.clear();
        self.rows.clear();
        self.slots.clear();
        self.starts.clear();
        self.times.clear();
        self.after = None;
        self.last_is_copy = false;
        let early = row.time < difference;
        let from = if early { 0 } else { row.time.saturating_sub(2 * difference).max(0) };
        store.windows(row.key, from, row.time.saturating_add(1), &mut self.found)?;
        let starts: Vec<i64> = self.found.iter().map(|slot| store.windowed_key(*slot).1).collect();
        let mut late = 0;
        // The latest window that ends before the row, and the latest one that the row is in.
        let (mut before, mut around) = (None, None);
        // Timestamp of the row before, as far as it matters.
        let mut previous = None;
        let mut left = None;
        let mut after_is_there = false;
        for (index, start) in starts.iter().copied().enumerate() {
            let slot = self.found[index];
            let (end, newest) = (start.saturating_add(difference), store.timestamp(slot));
            if start > row.time {
                after_is_there = true;
            } else if early && start == 0 || !early && end == row.time {
                left = Some(slot);
                if newest < row.time {
                    previous = Some(newest);
                }
                if !early {
                    late += self.take_in(row, slot, start, difference, store);
                }
            } else if end < row.time {
                before = Some(slot);
                previous = Some(newest);
            } else {
                around = Some(slot);
                late += self.take_in(row, slot, start, difference, store);
            }
        }
        // Of rows before the difference, the window that they share stands in for the one of the row before.
        let source = around.or(if early { left } else { None });
        if let Some(slot) = source.filter(|slot| !after_is_there && store.timestamp(*slot) > row.time) {
            let newest = store.timestamp(slot);
            let after = self.window(row.key, row.time + 1, store);
            store.put(after, newest);
            store.arena_mut().copy(slot, after)?;
            store.measure(&[after]);
            self.after = Some(after);
        }
        if let Some(previous) = previous {
            let start = previous + 1;
            if starts.binary_search(&start).is_err() && start.saturating_add(difference) >= row.time {
                let slot = self.window(row.key, start, store);
                late += self.take_in(row, slot, start, difference, store);
                // It can end with the row: then it is the left window, too.
                left = left.or((start.saturating_add(difference) == row.time).then_some(slot));
            }
        }
        if early {
            let slot = left.unwrap_or_else(|| self.window(row.key, 0, store));
            late += self.take_in(row, slot, 0, difference, store);
        } else if left.is_none() {
            let start = row.time - difference;
            let slot = self.window(row.key, start, store);
            let is_late = self.take_in(row, slot, start, difference, store);
            late += is_late;
            if is_late == 0
                && let Some(before) = before.filter(|_| previous.is_some_and(|previous| previous >= start))
            {
                store.arena_mut().copy(before, slot)?;
                self.last_is_copy = true;
            }
        }
        Ok(late)
    }

    /// Notes that a window takes the row in, unless it is closed. Returns how many times it was.
    fn take_in<A: Arena>(
        &mut self,
        row: Row<'_>,
        slot: u32,
        start: i64,
        difference: i64,
        store: &mut CachedStore<A>,
    ) -> usize {
        if start.saturating_add(difference) < row.close {
            return 1;
        }
        let time = if store.exists(slot) { store.timestamp(slot).max(row.time) } else { row.time };
        self.rows.push(row.number);
        self.slots.push(slot);
        self.starts.push(start);
        self.times.push(time);
        store.put(slot, time);
        0
    }

    /// The slot of a window that is not there yet.
    fn window<A: Arena>(&mut self, key: &[u8], start: i64, store: &mut CachedStore<A>) -> u32 {
        self.window_key.clear();
        self.window_key.extend_from_slice(key);
        self.window_key.extend_from_slice(&start.to_be_bytes());
        store.new_window(&self.window_key)
    }
}

impl<G: Aggregator> SlidingProcessor<G> {
    /// Takes one row through its windows, and forwards them if `running`.
    fn row(
        &mut self,
        input: &G::Input,
        row: usize,
        timestamp: i64,
        running: bool,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        let difference = self.windows.difference_ms;
        let close = self.windows.close(self.stream_time);
        if timestamp.saturating_add(difference) < close {
            self.late += 1;
            return Ok(());
        }
        let number = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
        let key = self.keys.get(row).unwrap_or_default();
        let store = context.store::<CachedStore<G::Arena>>(self.store)?;
        store.observe(self.stream_time);
        self.late += self.step.prepare(Row { number, key, time: timestamp, close }, difference, store)?;
        let Step { rows, slots, starts, times, last_is_copy, after, .. } = &self.step;
        let arena = store.arena_mut();
        let mut output = None;
        // The old state of a new window is none, not that of the window which it was copied from.
        let copied = usize::from(*last_is_copy && self.aggregator.sends_old());
        let at_once = if running { rows.len() - copied } else { 0 };
        if at_once > 0 {
            let (starts, times) = (&starts[..at_once], &times[..at_once]);
            let pairs =
                Running { input, rows: &rows[..at_once], slots: &slots[..at_once], starts, times, arena };
            output = Some(self.aggregator.update_running(pairs)?);
        }
        self.aggregator.update(input, &rows[at_once..], &slots[at_once..], store.arena_mut())?;
        store.measure(slots);
        if self.aggregator.may_delete() {
            for (slot, time) in slots.iter().zip(times) {
                if !self.aggregator.has_state(store.arena(), *slot) {
                    store.delete(*slot, *time);
                }
            }
        }
        let mut new = None;
        if running {
            let slots: Vec<u32> = slots[at_once..].iter().copied().chain(*after).collect();
            new = Some(self.aggregator.emit(store, &slots, None)?);
        }
        for output in output.into_iter().chain(new) {
            context.forward(output)?;
        }
        Ok(())
    }
}

impl<G: Aggregator> Processor for SlidingProcessor<G> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.stream_time = self.closing.resume::<G::Arena>(self.store, context)?;
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.stream_time = self.stream_time.max(stream_time);
        self.closing.raise();
        context.store::<CachedStore<G::Arena>>(self.store)?.observe(stream_time);
        self.forward_closed(context)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<G::Input>(batch)?;
        self.keys.clear();
        self.aggregator.keys(&input, &mut self.keys)?;
        let running = !context.coalesces(self.store) && !self.closing.holds_back();
        if !running && self.aggregator.sends_old() && !self.closing.holds_back() {
            context.store::<CachedStore<G::Arena>>(self.store)?.keep_old();
        }
        let has_headers = self.aggregator.has_headers(&input);
        let mut incomplete = 0;
        for (row, timestamp) in input.timestamps().iter().enumerate() {
            if self.keys.get(row).is_none() {
                incomplete += 1;
                continue;
            }
            self.stream_time = self.stream_time.max(*timestamp);
            if has_headers {
                self.aggregator.comes_with(Some((&input, row)));
            }
            self.row(&input, row, *timestamp, running, context)?;
            if has_headers {
                self.forward_closed(context)?;
            }
        }
        if has_headers {
            self.aggregator.comes_with(None);
        }
        let late = std::mem::take(&mut self.late);
        report(context, ReportKind::Incomplete, incomplete, "a row has no key, or no value, to aggregate");
        report(context, ReportKind::Late, late, "a row came after its window had closed");
        self.forward_closed(context)
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.closing.keep::<G::Arena>(self.stream_time, self.store, context)?;
        if self.closing.holds_back() {
            return Ok(());
        }
        flush(&mut self.aggregator, self.store, context)
    }
}
