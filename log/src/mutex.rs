//! A mutex that ends the program's use of a state which a panic may have left half changed.

use std::sync::{self, Condvar, MutexGuard};
use std::time::Duration;

/// A [`std::sync::Mutex`] without the question what to do after a panic: nobody goes on with that state.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

const INTACT: &str = "a thread panicked while it changed this state";

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect(INTACT)
    }

    pub(crate) fn wait<'a>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condition.wait(guard).expect(INTACT)
    }

    /// Waits until `done` holds or `timeout` of real time has passed.
    pub(crate) fn wait_until<'a>(
        condition: &Condvar,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut done: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        condition.wait_timeout_while(guard, timeout, |state| !done(state)).expect(INTACT).0
    }
}
