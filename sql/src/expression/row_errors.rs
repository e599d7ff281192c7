//! Errors of single rows: counted and sampled while a batch is evaluated, reported afterwards.
//!
//! A call that fails is NULL by itself, and a kernel nulls the rows that it cannot compute. But an error outside of calls
//! makes the whole expression NULL for its row, and it is not known there which row of the outermost batch that is. So
//! what fails and is not dealt with is counted; if there is any of it after a batch, the parts of the batch are evaluated
//! again, down to single rows, where the count tells it. Until it is clear which evaluation stands, its errors wait.

use std::{
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// How many messages are kept between two [`RowErrors::drain`]s; the rest is only counted.
const SAMPLES_MAX: usize = 8;
/// The same where every error is wanted: more than a batch has rows, as a rule.
const MESSAGES_MAX: usize = 10_000;

/// What is wanted of the errors of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Their number, and messages of some.
    Samples,
    /// A message of each.
    Messages,
    /// A message of each, and the row.
    Rows,
}

thread_local! {
    /// Failures in what this thread evaluates that nothing has dealt with.
    static FAILURES: Cell<u64> = const { Cell::new(0) };
    /// Errors of evaluations that are not known to stand, with messages while samples are wanted.
    static WAITING: RefCell<Vec<(RowErrors, Option<String>)>> = const { RefCell::new(Vec::new()) };
    /// How many evaluations are under way, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The failures when the innermost evaluation began.
    static BEGAN_WITH: Cell<u64> = const { Cell::new(0) };
    /// Whether rows fail one by one, and not the evaluation.
    static BY_ROW: Cell<bool> = const { Cell::new(false) };
}

/// Failures of this thread that nothing has dealt with.
pub(super) fn failures() -> u64 {
    FAILURES.get()
}

/// Sets the failures back to what they were: those since then are dealt with.
pub(super) fn forgive(before: u64) {
    FAILURES.set(before);
}

/// Counts a failure whose reason is reported already.
pub(super) fn fail_again() {
    FAILURES.set(FAILURES.get() + 1);
}

/// Computes something whose rows fail one by one, each for itself.
pub(super) fn by_row<R>(compute: impl FnOnce() -> R) -> R {
    let before = BY_ROW.replace(true);
    let result = compute();
    BY_ROW.set(before);
    result
}

/// An evaluation whose errors count only if it stands. What follows from its first failure is not reported.
pub(super) struct Evaluation {
    failures: u64,
    waiting: usize,
    around: (u64, bool),
}

impl Evaluation {
    /// Begins an evaluation.
    pub(super) fn begin() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        let around = (BEGAN_WITH.replace(failures()), BY_ROW.replace(false));
        Self { failures: failures(), waiting: WAITING.with_borrow(Vec::len), around }
    }

    /// Whether something failed since its begin that is not dealt with. From now on it is.
    pub(super) fn failed(&self) -> bool {
        let failed = failures() > self.failures;
        forgive(self.failures);
        failed
    }

    /// Its errors never happened: it is done again in parts.
    pub(super) fn discard(&self) {
        WAITING.with_borrow_mut(|waiting| waiting.truncate(self.waiting));
    }
}

impl Drop for Evaluation {
    fn drop(&mut self) {
        BEGAN_WITH.set(self.around.0);
        BY_ROW.set(self.around.1);
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            let waiting = WAITING.take();
            waiting.into_iter().for_each(|(errors, message)| errors.report(message));
        }
    }
}

/// Where the expressions of one query leave the errors of single rows.
///
/// Cheap to clone; clones share the errors. All compare equal, so that expressions which differ in nothing else
/// are the same expression to the planner.
#[derive(Clone, Debug, Default)]
pub struct RowErrors(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// As [`Detail`], in its order.
    detail: AtomicU8,
    count: AtomicU64,
    samples: Mutex<Vec<String>>,
}

impl RowErrors {
    /// One row failed; `message` is only built while samples are still wanted.
    pub fn add(&self, message: impl FnOnce() -> String) {
        let follows = DEPTH.get() > 0 && !BY_ROW.get() && failures() > BEGAN_WITH.get();
        fail_again();
        if follows {
            return;
        }
        if DEPTH.get() == 0 {
            let wanted = self.samples().len() < self.messages_max();
            return self.report(wanted.then(message));
        }
        let wanted = WAITING.with_borrow(|waiting| waiting.len() < self.messages_max());
        let message = wanted.then(message);
        WAITING.with_borrow_mut(|waiting| waiting.push((self.clone(), message)));
    }

    fn report(&self, message: Option<String>) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.samples();
        if let Some(message) = message
            && samples.len() < self.messages_max()
        {
            samples.push(message);
        }
    }

    /// Sets what is wanted of the errors.
    pub(crate) fn set_detail(&self, detail: Detail) {
        self.0.detail.store(detail as u8, Ordering::Relaxed);
    }

    /// What is wanted of the errors: samples, unless [set](Self::set_detail).
    pub(crate) fn detail(&self) -> Detail {
        match self.0.detail.load(Ordering::Relaxed) {
            0 => Detail::Samples,
            1 => Detail::Messages,
            _ => Detail::Rows,
        }
    }

    fn messages_max(&self) -> usize {
        if self.detail() == Detail::Samples { SAMPLES_MAX } else { MESSAGES_MAX }
    }

    /// Errors since the last drain and a sample of their messages; `None` if there were none.
    pub fn drain(&self) -> Option<(u64, Vec<String>)> {
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let samples = mem::take(&mut *self.samples());
        let count = self.0.count.swap(0, Ordering::Relaxed);
        (count > 0).then_some((count, samples))
    }

    fn samples(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for RowErrors {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RowErrors {}

impl Hash for RowErrors {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
