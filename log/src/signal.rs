//! Waking consumers that wait at the end of their partitions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Weak};
use std::time::Duration;

use crate::mutex::Mutex;

/// What one consumer waits on.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A watched partition grew since the last look.
    is_raised: bool,
    /// Somebody wants the poll to end.
    is_woken: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A watched partition grew.
    Raised,
    /// Somebody wants the poll to end.
    Woken,
    TimedOut,
}

impl Signal {
    /// A watched partition grew.
    pub(crate) fn raise(&self) {
        let mut state = self.state.lock();
        if !state.is_raised {
            state.is_raised = true;
            self.changed.notify_all();
        }
    }

    /// Ends the wait that is going on, or else the next one.
    pub(crate) fn wake(&self) {
        self.state.lock().is_woken = true;
        self.changed.notify_all();
    }

    /// Forgets that partitions grew; called before looking at them, so that growth after the look ends the wait.
    pub(crate) fn reset(&self) {
        self.state.lock().is_raised = false;
    }

    /// Whether somebody wants the poll to end; asking answers them.
    pub(crate) fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().is_woken)
    }

    /// Waits until something happens or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) -> Wake {
        let state = self.state.lock();
        let mut state = Mutex::wait_until(&self.changed, state, timeout, |state: &mut State| {
            state.is_raised || state.is_woken
        });
        if std::mem::take(&mut state.is_woken) {
            Wake::Woken
        } else if state.is_raised {
            Wake::Raised
        } else {
            Wake::TimedOut
        }
    }
}

/// The consumers that wait on one partition.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// Whether there are any, so that an append without readers takes no lock.
    any: AtomicBool,
    signals: Mutex<Vec<Weak<Signal>>>,
}

impl Watchers {
    /// Adds a consumer until it is dropped or removed.
    pub(crate) fn add(&self, signal: &Arc<Signal>) {
        let mut signals = self.signals.lock();
        signals.push(Arc::downgrade(signal));
        self.any.store(true, Ordering::SeqCst);
    }

    /// Removes a consumer.
    pub(crate) fn remove(&self, signal: &Arc<Signal>) {
        let mut signals = self.signals.lock();
        signals.retain(|watcher| !std::ptr::eq(watcher.as_ptr(), Arc::as_ptr(signal)));
        self.any.store(!signals.is_empty(), Ordering::SeqCst);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::SeqCst)
    }

    /// Tells all that the partition grew.
    pub(crate) fn raise(&self) {
        if self.any.load(Ordering::SeqCst) {
            let mut signals = self.signals.lock();
            signals.retain(|watcher| watcher.upgrade().inspect(|signal| signal.raise()).is_some());
            self.any.store(!signals.is_empty(), Ordering::SeqCst);
        }
    }
}
