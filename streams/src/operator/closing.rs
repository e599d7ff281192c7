//! Results that come when a window closes, and not before.

use crate::error::StreamsError;
use crate::processor::Context;
use crate::store::{Arena, CachedStore, StoreHandle};

/// When a windowed aggregation forwards its results. As Kafka's `EmitStrategy` (KIP-825).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// Whenever a row changes a window; with caching, at every commit the windows that changed.
    #[default]
    OnWindowUpdate,
    /// Once, when stream time closes the window: when its end and grace have passed. Results come in the order of the
    /// windows, across keys. Without later rows a window does not close, unless `window.close.idle.ms` is set.
    ///
    /// Kafka looks for closed windows once per second; here they come with the row that closes them.
    OnWindowClose,
}

/// An operator's stream time, what it has closed, and how both go on after a restart.
///
/// Windows are named by the time that their store orders them by: the start of windows of a fixed size, the end of
/// sessions.
#[derive(Debug)]
pub(crate) struct Closing {
    emit: EmitStrategy,
    /// From stream time to the time of the last window that it closes, in ms.
    lag_ms: i64,
    /// Windows up to this time were emitted.
    emitted: i64,
    /// Stream time went on without rows, so no store tells of it.
    raised: bool,
}

impl Closing {
    /// Nothing was emitted. At each stream time, windows up to `lag_ms` before it are closed.
    pub(crate) fn new(emit: EmitStrategy, lag_ms: i64) -> Self {
        Self { emit, lag_ms, emitted: i64::MIN, raised: false }
    }

    /// Whether results come only when windows close.
    pub(crate) fn holds_back(&self) -> bool {
        self.emit == EmitStrategy::OnWindowClose
    }

    /// Finds out, before the first row, how far stream time had come.
    pub(crate) fn resume<A: Arena>(
        &mut self,
        store: StoreHandle,
        context: &mut Context<'_>,
    ) -> Result<i64, StreamsError> {
        let holds_back = self.holds_back();
        let store = context.store::<CachedStore<A>>(store)?;
        if holds_back {
            store.order_by_time();
        }
        let (observed, name) = (store.observed(), store.name().to_owned());
        let kept = context.kept_time(&name).unwrap_or(i64::MIN);
        let stream_time = observed.max(kept);
        self.emitted = stream_time.saturating_sub(self.lag_ms);
        Ok(stream_time)
    }

    /// Stream time goes on without rows.
    pub(crate) fn raise(&mut self) {
        self.raised = true;
    }

    /// Before a commit: what a restart must know and the store's changelog may not tell.
    pub(crate) fn keep<A: Arena>(
        &self,
        stream_time: i64,
        store: StoreHandle,
        context: &mut Context<'_>,
    ) -> Result<(), StreamsError> {
        if (self.raised || self.holds_back()) && stream_time != i64::MIN {
            let name = context.store::<CachedStore<A>>(store)?.name().to_owned();
            context.keep_time(&name, stream_time);
        }
        Ok(())
    }

    /// Appends the slots of the windows that this stream time closes and that were not emitted, in the order of their
    /// times and then of their keys.
    pub(crate) fn close<A: Arena>(
        &mut self,
        stream_time: i64,
        store: &mut CachedStore<A>,
        slots: &mut Vec<u32>,
    ) -> Result<(), StreamsError> {
        let until = stream_time.saturating_sub(self.lag_ms);
        if !self.holds_back() || until <= self.emitted {
            return Ok(());
        }
        let from = self.emitted.saturating_add(1);
        self.emitted = until;
        store.windows_by_time(from, until, slots)
    }
}
