//! Places where a test can let an application die, to see what is left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A step after which an application dies if a test wants it so: it does nothing more, ends nothing in order, and what
/// it had in memory is gone. Shown with a name such as `streams.before_commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrashPoint {
    /// Tasks were made and have no state yet.
    Assigned,
    /// One of the stores was brought up to date, others perhaps not.
    Restoring,
    /// A wall-clock punctuation or timer has run.
    Punctuated,
    /// Rows went through the processors. What came of it is in memory.
    Processed,
    /// Outputs and changes of state were handed to the producer, which may have written some of them.
    Prepared,
    /// The log has all outputs and changes of state, none of them committed.
    BeforeOffsets,
    /// The offsets of the input are in the transaction, too. At least once: the outputs count, the offsets do not yet.
    BeforeCommit,
    /// The log has committed. The committed state does not know.
    BeforeApply,
    /// The committed state knows, too.
    Applied,
    /// Tasks that another instance gets are committed and not given up yet.
    BeforeRevoke,
}

impl CrashPoint {
    /// All points, in the order in which an application comes by.
    pub const ALL: [Self; 10] = [
        Self::Assigned,
        Self::Restoring,
        Self::Punctuated,
        Self::Processed,
        Self::Prepared,
        Self::BeforeOffsets,
        Self::BeforeCommit,
        Self::BeforeApply,
        Self::Applied,
        Self::BeforeRevoke,
    ];
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assigned => "streams.assign.after_open",
            Self::Restoring => "streams.restore.mid",
            Self::Punctuated => "streams.punctuate.mid",
            Self::Processed => "streams.after_store_write",
            Self::Prepared => "streams.after_output",
            Self::BeforeOffsets => "streams.before_offsets",
            Self::BeforeCommit => "streams.before_commit",
            Self::BeforeApply => "streams.after_commit_before_apply",
            Self::Applied => "streams.after_apply",
            Self::BeforeRevoke => "streams.revoke.before_close",
        })
    }
}

/// Asked at every point whether the application dies there.
pub(crate) type CrashHook = dyn Fn(CrashPoint) -> bool + Send + Sync;

/// Where the application is to die, and where it has been.
#[derive(Default)]
pub(crate) struct Plot(Mutex<State>);

#[derive(Default)]
struct State {
    /// The point, and how often it is passed before.
    at: Option<(CrashPoint, usize)>,
    passed: BTreeMap<CrashPoint, usize>,
}

impl Plot {
    pub(crate) fn hook(self: &Arc<Self>) -> Arc<CrashHook> {
        let plot = Arc::clone(self);
        Arc::new(move |point| {
            let mut state = plot.lock();
            match &mut state.at {
                Some((at, 0)) if *at == point => {
                    state.at = None;
                    return true;
                }
                Some((at, left)) if *at == point => *left -= 1,
                _ => {}
            }
            *state.passed.entry(point).or_default() += 1;
            false
        })
    }

    /// Lets the application die at a point once it has passed it so often.
    pub(crate) fn set(&self, point: CrashPoint, passes: usize) {
        self.lock().at = Some((point, passes));
    }

    /// Lets it live.
    pub(crate) fn clear(&self) {
        self.lock().at = None;
    }

    /// How often each point was passed.
    pub(crate) fn passed(&self) -> BTreeMap<CrashPoint, usize> {
        self.lock().passed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers only, whole even if a holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
