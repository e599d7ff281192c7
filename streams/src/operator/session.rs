//! Session windows: rows of a key that follow each other within a gap of inactivity, in one growing window.

use std::time::Duration;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::{changes, forward_changes, forward_closed, report};
use crate::operator::closing::{Closing, EmitStrategy};
use crate::processor::{Context, Processor};
use crate::report::{ReportKind, Reporter};
use crate::store::spec::millis;
use crate::store::{Arena, CachedStore, StoreHandle};

/// Windows that take in rows of a key as long as each is at most a gap away from another one of the window. As
/// Kafka's `SessionWindows`.
///
/// A session is `[first row, last row]`, both included, in ms. A row that lies within the gap of two sessions makes
/// one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap_ms: i64,
    grace_ms: i64,
}

impl SessionWindows {
    /// Sessions with this gap of inactivity and without grace.
    pub fn of(gap: Duration) -> Self {
        Self { gap_ms: millis(gap), grace_ms: 0 }
    }

    /// Takes rows for this long after a session could have gone on, in stream time.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace_ms = millis(grace);
        self
    }

    /// The gap in ms.
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// The grace in ms.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The shortest time that a store must keep a session after its end: gap and grace.
    pub fn retention(&self) -> Duration {
        Duration::from_millis(self.gap_ms.saturating_add(self.grace_ms).unsigned_abs())
    }

    /// Sessions that end before this take no more rows.
    fn close(&self, stream_time: i64) -> i64 {
        stream_time.saturating_sub(self.grace_ms).saturating_sub(self.gap_ms)
    }

    /// From stream time to the end of the last session that is closed, in ms.
    fn lag_ms(&self) -> i64 {
        self.grace_ms.saturating_add(self.gap_ms).saturating_add(1)
    }
}

/// What one skin knows about an aggregation of sessions: its input rows, its state and its output rows.
///
/// State in a reset slot means "no aggregate yet".
pub trait SessionAggregator: Send + 'static {
    /// The state.
    type Arena: Arena;
    /// The input batch.
    type Input: Batch;

    /// Appends the key bytes of every row; a row without key (or value, where one is needed) is absent and
    /// dropped.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Tells what went wrong in single rows of the input; asked after [`SessionAggregator::keys`].
    fn report(&mut self, _input: &Self::Input, _reporter: &mut dyn Reporter) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Makes the state of slot `into`: a new aggregate, merged with those of the slots `from` in order, into which
    /// the row is folded. `into` is empty or one of `from`; what the others hold afterwards does not matter.
    fn fold(
        &mut self,
        input: &Self::Input,
        row: usize,
        from: &[u32],
        into: u32,
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError>;

    /// Appends an output row to what [`SessionAggregator::take`] returns.
    fn write(&mut self, change: SessionChange<'_, Self>) -> Result<(), StreamsError>;

    /// The output rows that were written since the last call.
    fn take(&mut self) -> Result<Box<dyn Batch>, StreamsError>;

    /// Whether results carry the state before, so that the store must remember it.
    fn sends_old(&self) -> bool {
        false
    }

    /// What [`SessionAggregator::emit`] makes of sessions that have closed comes because of this row, or of none.
    fn comes_with(&mut self, _cause: Option<(&Self::Input, usize)>) {}

    /// Makes an output row of each slot: the state with the session's end as timestamp, or a deletion if the session
    /// is not there any more. If the slots are those of positions in [`CachedStore::dirty`], `changed` says which, and
    /// results that carry old states find them in the arena; if not, the sessions are new.
    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
        changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// A change of one session of the key of an input row. Its timestamp is the session's end.
pub struct SessionChange<'a, G: SessionAggregator + ?Sized> {
    /// The input batch.
    pub input: &'a G::Input,
    /// The row of the input that caused the change and has the key.
    pub row: usize,
    /// The first and the last time of the session in ms.
    pub session: (i64, i64),
    /// The state.
    pub arena: &'a G::Arena,
    /// The slot of the session's state.
    pub slot: u32,
    /// What happened to it.
    pub kind: SessionChangeKind,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChangeKind {
    /// It is about to be merged into a new one; the slot has the last state.
    Removed,
    /// It is new, and the slot has its state.
    Added,
}

/// Runs a [`SessionAggregator`] over a session store that it alone writes.
///
/// With caching off every row yields a deletion for each session that it made part of a new one, and the new
/// session. With caching on, every commit yields the sessions that changed and deletions of those that earlier
/// commits had shown.
pub struct SessionProcessor<G: SessionAggregator> {
    aggregator: G,
    store: StoreHandle,
    windows: SessionWindows,
    closing: Closing,
    stream_time: i64,
    keys: ByteColumn,
    session_key: Vec<u8>,
    found: Vec<u32>,
}

impl<G: SessionAggregator> SessionProcessor<G> {
    /// An aggregation into `store`, a session store.
    pub fn new(aggregator: G, store: StoreHandle, windows: SessionWindows) -> Self {
        Self {
            aggregator,
            store,
            windows,
            closing: Closing::new(EmitStrategy::OnWindowUpdate, windows.lag_ms()),
            stream_time: i64::MIN,
            keys: ByteColumn::default(),
            session_key: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Sets when results are forwarded.
    #[must_use]
    pub fn emit(mut self, emit: EmitStrategy) -> Self {
        self.closing = Closing::new(emit, self.windows.lag_ms());
        self
    }

    /// Forwards the sessions that stream time has closed by now, if they are held back until then.
    fn forward_closed(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let Self { aggregator, closing, store, stream_time, .. } = self;
        forward_closed(closing, *stream_time, *store, context, |store, slots| {
            aggregator.emit(store, slots, None)
        })
    }

    /// Takes one row into a session. Returns whether it was in time.
    fn take_in(
        &mut self,
        input: &G::Input,
        row: usize,
        timestamp: i64,
        running: bool,
        store: &mut CachedStore<G::Arena>,
    ) -> Result<bool, StreamsError> {
        let key = self.keys.get(row).unwrap_or_default();
        let gap = self.windows.gap_ms;
        // Sessions of a key never overlap, so they are in the order of their ends and of their starts.
        let from = timestamp.saturating_sub(gap).max(store.first_live());
        self.found.clear();
        store.windows(key, from, i64::MAX, &mut self.found)?;
        let latest_start = timestamp.saturating_add(gap);
        let near = self.found.partition_point(|slot| store.session_key(*slot).1 <= latest_start);
        self.found.truncate(near);
        let (mut start, mut end) = (timestamp, timestamp);
        for slot in &self.found {
            let (_, first, last) = store.session_key(*slot);
            (start, end) = (start.min(first), end.max(last));
        }
        if end < self.windows.close(self.stream_time) {
            return Ok(false);
        }
        self.session_key.clear();
        self.session_key.extend_from_slice(key);
        self.session_key.extend_from_slice(&end.to_be_bytes());
        self.session_key.extend_from_slice(&start.to_be_bytes());
        if running {
            for slot in &self.found {
                let (_, first, last) = store.session_key(*slot);
                // A session of this very time only gets a new value, unless that has to be taken for two changes.
                if (first, last) != (timestamp, timestamp) || self.aggregator.sends_old() {
                    let (session, arena, slot) = ((first, last), store.arena(), *slot);
                    let kind = SessionChangeKind::Removed;
                    self.aggregator.write(SessionChange { input, row, session, arena, slot, kind })?;
                }
            }
        }
        let slot = store.new_window(&self.session_key);
        store.will_change(&self.found);
        store.put(slot, end);
        self.aggregator.fold(input, row, &self.found, slot, store.arena_mut())?;
        store.measure(&[slot]);
        for merged in self.found.iter().filter(|merged| **merged != slot) {
            let last = store.session_key(*merged).2;
            store.delete(*merged, last);
        }
        if running {
            let (session, arena, kind) = ((start, end), store.arena(), SessionChangeKind::Added);
            self.aggregator.write(SessionChange { input, row, session, arena, slot, kind })?;
        }
        Ok(true)
    }
}

impl<G: SessionAggregator> Processor for SessionProcessor<G> {
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
        self.aggregator.report(&input, context)?;
        let running = !context.coalesces(self.store) && !self.closing.holds_back();
        let store = context.store::<CachedStore<G::Arena>>(self.store)?;
        if !running && self.aggregator.sends_old() && !self.closing.holds_back() {
            store.keep_old();
        }
        let (mut incomplete, mut late) = (0, 0);
        for (row, timestamp) in input.timestamps().iter().enumerate() {
            if self.keys.get(row).is_none() {
                incomplete += 1;
                continue;
            }
            self.stream_time = self.stream_time.max(*timestamp);
            let store = context.store::<CachedStore<G::Arena>>(self.store)?;
            store.observe(self.stream_time);
            late += usize::from(!self.take_in(&input, row, *timestamp, running, store)?);
            // The next row may merge a session that this one has closed, if the store keeps it for longer.
            if self.closing.holds_back() {
                self.aggregator.comes_with(Some((&input, row)));
                self.forward_closed(context)?;
            }
        }
        self.aggregator.comes_with(None);
        report(context, ReportKind::Incomplete, incomplete, "a row has no key, or no value, to aggregate");
        report(context, ReportKind::Late, late, "a row came after its session had closed");
        if running { context.forward(self.aggregator.take()?) } else { Ok(()) }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.closing.keep::<G::Arena>(self.stream_time, self.store, context)?;
        if self.closing.holds_back() || !context.coalesces(self.store) || !context.has_children() {
            return Ok(());
        }
        let store = context.store::<CachedStore<G::Arena>>(self.store)?;
        let mut changed = changes(store);
        // Nobody has heard of a session that came and went since the last commit.
        changed.retain(|position| {
            let slot = store.dirty()[*position];
            store.exists(slot) || store.was_committed(slot)
        });
        let aggregator = &mut self.aggregator;
        forward_changes(&changed, self.store, context, |store, slots, changed| {
            aggregator.emit(store, slots, Some(changed))
        })
    }
}
