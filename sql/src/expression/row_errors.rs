//! Errors of single rows: counted and sampled while a batch is evaluated, reported afterwards.

use std::{
    hash::{Hash, Hasher},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many messages are kept between two [`RowErrors::drain`]s; the rest is only counted.
const SAMPLES_MAX: usize = 8;

/// Where the expressions of one query leave the errors of single rows.
///
/// Cheap to clone; clones share the errors. All compare equal, so that expressions which differ in nothing else
/// are the same expression to the planner.
#[derive(Clone, Debug, Default)]
pub struct RowErrors(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicU64,
    samples: Mutex<Vec<String>>,
}

impl RowErrors {
    /// One row failed; `message` is only built while samples are still wanted.
    pub fn add(&self, message: impl FnOnce() -> String) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.samples();
        if samples.len() < SAMPLES_MAX {
            samples.push(message());
        }
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
