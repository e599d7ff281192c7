//! Keyed aggregation, plain or windowed: from key bytes to slots to updated state to output.

use std::ops::Range;

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::closing::{Closing, EmitStrategy};
use crate::operator::window::{FixedWindows, WindowAssigner};
use crate::processor::{Context, Processor};
use crate::report::{ReportKind, Reporter, RowReport, Subject};
use crate::store::{Arena, CachedStore, StoreHandle, StoreKind};

/// Rows of an output batch that a flush makes at most.
const FLUSH_ROWS: usize = 8192;

/// What one skin knows about an aggregation: its input rows, its state and its output rows.
///
/// State in a reset slot means "no aggregate yet". Slots of one call repeat when a key has several rows.
pub trait Aggregator: Send + 'static {
    /// The state.
    type Arena: Arena;
    /// The input batch.
    type Input: Batch;

    /// Appends the key bytes of every row; a row without key (or value, where one is needed) is absent and
    /// dropped.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Tells what went wrong in single rows of the input; asked after [`Aggregator::keys`].
    fn report(&mut self, _input: &Self::Input, _reporter: &mut dyn Reporter) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Folds row `rows[i]` of the input into slot `slots[i]`, in order.
    fn update(
        &mut self,
        input: &Self::Input,
        rows: &[u32],
        slots: &[u32],
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError>;

    /// Whether results carry the state before, so that the store must remember it.
    fn sends_old(&self) -> bool {
        false
    }

    /// Whether folding a row can end in a reset slot, which deletes the aggregate.
    fn may_delete(&self) -> bool {
        false
    }

    /// Whether folding these rows can; then they are folded one by one. Asked only if folding [may
    /// delete](Aggregator::may_delete) at all.
    fn may_delete_with(
        &self,
        _input: &Self::Input,
        _rows: &[u32],
        _slots: &[u32],
        _arena: &Self::Arena,
    ) -> bool {
        true
    }

    /// Whether a slot holds an aggregate; asked only if folding [may delete](Aggregator::may_delete).
    fn has_state(&self, _arena: &Self::Arena, _slot: u32) -> bool {
        true
    }

    /// As `update`, and makes an output row of the state after each pair, with `times[i]` as its timestamp.
    fn update_running(&mut self, pairs: Running<'_, Self>) -> Result<Box<dyn Batch>, StreamsError>;

    /// Whether rows of the input have headers, which go along with the results that they make come.
    fn has_headers(&self, _input: &Self::Input) -> bool {
        false
    }

    /// What [`Aggregator::emit`] makes of new slots from now on comes because of this row, or of none.
    fn comes_with(&mut self, _cause: Option<(&Self::Input, usize)>) {}

    /// Makes an output row of each slot; key, window and timestamp are in the store. If the slots are those of
    /// positions in [`CachedStore::dirty`], `changed` says which, and results that carry old states find them in
    /// the arena; if not, the slots are new.
    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
        changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Input rows paired with slots, for [`Aggregator::update_running`].
pub struct Running<'a, G: Aggregator + ?Sized> {
    /// The input batch.
    pub input: &'a G::Input,
    /// Row numbers of the input.
    pub rows: &'a [u32],
    /// The slot of each pair.
    pub slots: &'a [u32],
    /// The window start of each pair in ms; empty if the aggregation has no windows.
    pub starts: &'a [i64],
    /// The timestamp of each output row: the highest of the rows in the slot so far.
    pub times: &'a [i64],
    /// The state.
    pub arena: &'a mut G::Arena,
}

/// Runs an [`Aggregator`] over a store that it alone writes.
///
/// With caching off every input row yields an output row per window; with caching on, every commit yields one
/// output row per slot that was touched, in the order of first touch.
pub struct AggregateProcessor<G: Aggregator> {
    aggregator: G,
    store: StoreHandle,
    windows: Option<WindowAssigner>,
    closing: Closing,
    keys: ByteColumn,
    window_keys: ByteColumn,
    rows: Vec<u32>,
    starts: Vec<i64>,
    slots: Vec<u32>,
    times: Vec<i64>,
}

impl<G: Aggregator> AggregateProcessor<G> {
    /// An aggregation into `store`, a window store if there are windows.
    pub fn new(aggregator: G, store: StoreHandle, windows: Option<impl Into<FixedWindows>>) -> Self {
        let windows = windows.map(WindowAssigner::new);
        let lag_ms = windows.as_ref().map_or(i64::MAX, |windows| windows.windows().lag_ms());
        Self {
            aggregator,
            store,
            windows,
            closing: Closing::new(EmitStrategy::OnWindowUpdate, lag_ms),
            keys: ByteColumn::default(),
            window_keys: ByteColumn::default(),
            rows: Vec::new(),
            starts: Vec::new(),
            slots: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Sets when results are forwarded. Windows without end never close.
    #[must_use]
    pub fn emit(mut self, emit: EmitStrategy) -> Self {
        let lag_ms = self.windows.as_ref().map_or(i64::MAX, |windows| windows.windows().lag_ms());
        self.closing = Closing::new(emit, lag_ms);
        self
    }

    fn forward_closed(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let Some(stream_time) = self.windows.as_ref().map(WindowAssigner::stream_time) else { return Ok(()) };
        let Self { aggregator, closing, store, .. } = self;
        forward_closed(closing, stream_time, *store, context, |store, slots| {
            aggregator.emit(store, slots, None)
        })
    }

    /// The same for what a batch of rows closes, each of which gives its headers to what comes because of it.
    fn forward_closed_by(
        &mut self,
        input: &G::Input,
        before: i64,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        if !self.closing.holds_back() || !self.aggregator.has_headers(input) {
            return self.forward_closed(context);
        }
        let Self { aggregator, closing, store, keys, .. } = self;
        forward_closed_by(input.timestamps(), keys, before, |row, stream_time| {
            aggregator.comes_with(Some((input, row)));
            forward_closed(closing, stream_time, *store, context, |store, slots| {
                aggregator.emit(store, slots, None)
            })
        })?;
        self.aggregator.comes_with(None);
        Ok(())
    }

    /// Finds the rows that take part, with their windows. Returns how many rows had no key and how many were
    /// late.
    fn choose(&mut self, timestamps: &[i64]) -> (usize, usize) {
        self.rows.clear();
        self.starts.clear();
        let numbered = (0u32..).zip(timestamps.iter().copied());
        let keys = &self.keys;
        let mut keyed = 0;
        let with_key = numbered.filter(|(row, _)| keys.get(*row as usize).is_some()).inspect(|_| keyed += 1);
        let late = match &mut self.windows {
            Some(windows) => windows.assign(with_key, &mut self.rows, &mut self.starts),
            None => {
                self.rows.extend(with_key.map(|(row, _)| row));
                0
            }
        };
        (timestamps.len() - keyed, late)
    }

    fn resolve(&mut self, store: &mut CachedStore<G::Arena>) -> Result<(), StreamsError> {
        self.slots.clear();
        if self.windows.is_none() {
            return store
                .slots(self.rows.iter().filter_map(|row| self.keys.get(*row as usize)), &mut self.slots);
        }
        self.window_keys.clear();
        for (row, start) in self.rows.iter().zip(&self.starts) {
            let key = self.keys.get(*row as usize).unwrap_or_default();
            self.window_keys.push_parts(&[key, &start.to_be_bytes()]);
        }
        store.slots(self.window_keys.iter().flatten(), &mut self.slots)
    }

    /// Folds pairs of rows and slots into the store; an aggregate's timestamp is the highest of its rows.
    fn fold(
        &mut self,
        input: &G::Input,
        store: &mut CachedStore<G::Arena>,
        pairs: Range<usize>,
        coalesce: bool,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let (rows, slots) = (&self.rows[pairs.clone()], &self.slots[pairs.clone()]);
        self.times.clear();
        for (row, slot) in rows.iter().zip(slots) {
            let timestamp = input.timestamps()[*row as usize];
            let time = if store.exists(*slot) { store.timestamp(*slot).max(timestamp) } else { timestamp };
            store.put(*slot, time);
            self.times.push(time);
        }
        let arena = store.arena_mut();
        let output = if coalesce {
            self.aggregator.update(input, rows, slots, arena)?;
            None
        } else {
            let starts = self.starts.get(pairs).unwrap_or_default();
            let pairs = Running { input, rows, slots, starts, times: &self.times, arena };
            Some(self.aggregator.update_running(pairs)?)
        };
        store.measure(slots);
        if self.aggregator.may_delete() {
            for (slot, time) in slots.iter().zip(&self.times) {
                if !self.aggregator.has_state(store.arena(), *slot) {
                    store.delete(*slot, *time);
                }
            }
        }
        Ok(output)
    }
}

impl<G: Aggregator> Processor for AggregateProcessor<G> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if let Some(windows) = &mut self.windows {
            windows.observe(self.closing.resume::<G::Arena>(self.store, context)?);
        }
        Ok(())
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let Some(windows) = &mut self.windows else { return Ok(()) };
        windows.observe(stream_time);
        self.closing.raise();
        context.store::<CachedStore<G::Arena>>(self.store)?.observe(stream_time);
        self.forward_closed(context)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<G::Input>(batch)?;
        self.keys.clear();
        self.aggregator.keys(&input, &mut self.keys)?;
        self.aggregator.report(&input, context)?;
        let coalesce = context.coalesces(self.store) || self.closing.holds_back();
        let store = context.store::<CachedStore<G::Arena>>(self.store)?;
        let before = self.windows.as_ref().map_or(i64::MIN, WindowAssigner::stream_time);
        let (incomplete, late) = self.choose(input.timestamps());
        if let Some(windows) = &self.windows {
            store.observe(windows.stream_time());
        }
        self.resolve(store)?;
        if coalesce && self.aggregator.sends_old() && !self.closing.holds_back() {
            store.keep_old();
        }
        let mut outputs = Vec::new();
        let deletes = self.aggregator.may_delete()
            && self.aggregator.may_delete_with(&input, &self.rows, &self.slots, store.arena());
        let pairs_at_once = if deletes { 1 } else { self.rows.len().max(1) };
        for start in (0..self.rows.len()).step_by(pairs_at_once) {
            let pairs = start..self.rows.len().min(start + pairs_at_once);
            outputs.extend(self.fold(&input, store, pairs, coalesce)?);
        }
        report(context, ReportKind::Incomplete, incomplete, "a row has no key, or no value, to aggregate");
        report(context, ReportKind::Late, late, "a row came after its window had closed");
        outputs.into_iter().try_for_each(|output| context.forward(output))?;
        self.forward_closed_by(&input, before, context)
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        if let Some(windows) = &self.windows {
            self.closing.keep::<G::Arena>(windows.stream_time(), self.store, context)?;
        }
        if self.closing.holds_back() {
            return Ok(());
        }
        flush(&mut self.aggregator, self.store, context)
    }
}

/// Calls `forward` for each row with a key that moves stream time on from `stream_time`, with the new one.
fn forward_closed_by(
    timestamps: &[i64],
    keys: &ByteColumn,
    mut stream_time: i64,
    mut forward: impl FnMut(usize, i64) -> Result<(), StreamsError>,
) -> Result<(), StreamsError> {
    for (row, (time, key)) in timestamps.iter().zip(keys.iter()).enumerate() {
        if key.is_some() && *time > stream_time {
            stream_time = *time;
            forward(row, stream_time)?;
        }
    }
    Ok(())
}

/// Forwards the windows that a stream time closes, if they were held back until now; `emit` makes rows of their slots.
pub(crate) fn forward_closed<A: Arena>(
    closing: &mut Closing,
    stream_time: i64,
    store: StoreHandle,
    context: &mut Context<'_>,
    mut emit: impl FnMut(&CachedStore<A>, &[u32]) -> Result<Box<dyn Batch>, StreamsError>,
) -> Result<(), StreamsError> {
    let mut slots = Vec::new();
    closing.close(stream_time, context.store::<CachedStore<A>>(store)?, &mut slots)?;
    for slots in slots.chunks(FLUSH_ROWS) {
        let output = emit(context.store::<CachedStore<A>>(store)?, slots)?;
        context.forward(output)?;
    }
    Ok(())
}

/// Forwards what changed in a store since the last commit, if updates are coalesced until then.
pub(crate) fn flush<G: Aggregator>(
    aggregator: &mut G,
    store: StoreHandle,
    context: &mut Context<'_>,
) -> Result<(), StreamsError> {
    if !context.coalesces(store) || !context.has_children() {
        return Ok(());
    }
    let changed = changes(context.store::<CachedStore<G::Arena>>(store)?);
    forward_changes(&changed, store, context, |store, slots, changed| {
        aggregator.emit(store, slots, Some(changed))
    })
}

/// Forwards what is at these positions of [`CachedStore::dirty`]; `emit` makes rows of their slots.
pub(crate) fn forward_changes<A: Arena>(
    changed: &[usize],
    store: StoreHandle,
    context: &mut Context<'_>,
    mut emit: impl FnMut(&CachedStore<A>, &[u32], &[usize]) -> Result<Box<dyn Batch>, StreamsError>,
) -> Result<(), StreamsError> {
    for changed in changed.chunks(FLUSH_ROWS) {
        let store = context.store::<CachedStore<A>>(store)?;
        let slots: Vec<u32> = changed.iter().map(|position| store.dirty()[*position]).collect();
        let output = emit(store, &slots, changed)?;
        context.forward(output)?;
    }
    Ok(())
}

/// The positions of the dirty slots whose changes were not forwarded since the last commit. Those of windows are in the
/// order of their timestamps: an operator below may close windows, and the last row of a window must come before a row
/// that closes it.
pub(crate) fn changes<A: Arena>(store: &mut CachedStore<A>) -> Vec<usize> {
    let mut changed: Vec<usize> = store.forward_next(store.dirty().len()).collect();
    match store.kind() {
        StoreKind::KeyValue | StoreKind::StreamRows { .. } | StoreKind::Versioned { .. } => {}
        StoreKind::Window { .. } | StoreKind::Session { .. } => {
            changed.sort_by_cached_key(|position| store.timestamp(store.dirty()[*position]));
        }
    }
    changed
}

/// Reports rows if there are any.
pub(crate) fn report(context: &mut Context<'_>, kind: ReportKind, rows: usize, message: &str) {
    if rows > 0 {
        let subject = Subject::Unknown;
        context.report(RowReport { kind, rows, offset: None, timestamp: None, message, subject });
    }
}
