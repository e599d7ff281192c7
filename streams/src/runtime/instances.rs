//! The instances of applications in this process: a log has one process, so these are all there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use millstream_log::Log;

use crate::error::{StreamsError, full_message};
use crate::runtime::shared::Shared;

static NEXT: AtomicU64 = AtomicU64::new(1);
static OPEN: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    number: u64,
    slot: u32,
    application: String,
    log: Log,
    shared: Weak<Shared>,
}

/// The place of an instance among those of its application, until it is dropped.
pub(crate) struct Instance {
    /// Different for every instance of the process.
    pub(crate) number: u64,
    /// The lowest number that no other open instance of the application has: it names the transactions, so that what an
    /// instance left open is ended by the one that takes its place.
    pub(crate) slot: u32,
}

impl Instance {
    pub(crate) fn open(log: &Log, application: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = |slot: u32| open.iter().any(|it| it.is_of(log, application) && it.slot == slot);
        let slot = (0..u32::MAX).find(|slot| !is_taken(*slot)).unwrap_or(u32::MAX);
        open.push(Entry {
            number,
            slot,
            application: application.to_owned(),
            log: log.clone(),
            shared: Weak::new(),
        });
        Self { number, slot }
    }

    /// Lets others of the application reach it.
    pub(crate) fn introduce(&self, shared: &Arc<Shared>) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in open.iter_mut().filter(|entry| entry.number == self.number) {
            entry.shared = Arc::downgrade(shared);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Entry> = open.extract_if(.., |entry| entry.number == self.number).collect();
        drop(open);
        // The last handle of a log closes it, which takes its time.
        drop(gone);
    }
}

impl Entry {
    fn is_of(&self, log: &Log, application: &str) -> bool {
        self.application == application && self.log.is_same(log)
    }
}

/// Lets all threads of an application look at their group.
pub(crate) fn wake_all(log: &Log, application: &str) {
    all(log, application).iter().for_each(|shared| shared.wake());
}

/// Stops all instances of an application because of an error of one.
pub(crate) fn stop_all(log: &Log, application: &str, error: &StreamsError) {
    for shared in all(log, application) {
        shared.fail(StreamsError::Failed(format!(
            "an instance has stopped the application: {}",
            full_message(error)
        )));
    }
}

fn all(log: &Log, application: &str) -> Vec<Arc<Shared>> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter().filter(|entry| entry.is_of(log, application)).filter_map(|it| it.shared.upgrade()).collect()
}
