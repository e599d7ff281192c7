//! The memory of all batches that wait, `buffer.memory`.

use std::sync::Condvar;
use std::time::Duration;

use crate::error::{LogError, Result};
use crate::mutex::Mutex;

/// Bytes that batches may take, and who waits for some.
#[derive(Debug)]
pub(super) struct Memory {
    state: Mutex<State>,
    freed: Condvar,
    total: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
    waits: u64,
}

impl Memory {
    pub(super) fn new(total: usize) -> Self {
        Self { state: Mutex::new(State { free: total, waiting: 0, waits: 0 }), freed: Condvar::new(), total }
    }

    /// Takes `bytes`. If they are not there, calls `hurry` and waits for them for at most `max_block` of real time.
    pub(super) fn reserve(&self, bytes: usize, max_block: Duration, hurry: impl FnOnce()) -> Result<()> {
        let mut state = self.state.lock();
        // Who comes later does not overtake.
        if state.free >= bytes && state.waiting == 0 {
            state.free -= bytes;
            return Ok(());
        }
        state.waiting += 1;
        state.waits += 1;
        drop(state);
        hurry();
        let state = self.state.lock();
        let mut state =
            Mutex::wait_until(&self.freed, state, max_block, |state: &mut State| state.free >= bytes);
        state.waiting -= 1;
        if state.free < bytes {
            let hint = "the log does not keep up: send less, or raise buffer.memory or max.block.ms";
            return Err(LogError::TimedOut { action: "get memory for a batch", waited: max_block, hint });
        }
        state.free -= bytes;
        Ok(())
    }

    /// Gives `bytes` back.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.free += bytes;
        assert!(state.free <= self.total, "{} bytes are free of {}", state.free, self.total);
        if state.waiting > 0 {
            self.freed.notify_all();
        }
    }

    /// Whether somebody waits, so that batches should not wait for more records.
    pub(super) fn is_short(&self) -> bool {
        self.state.lock().waiting > 0
    }

    pub(super) fn used(&self) -> usize {
        self.total - self.state.lock().free
    }

    pub(super) fn waits(&self) -> u64 {
        self.state.lock().waits
    }
}
