//! Progress of restores and of standbys, told to whoever wants to know.

use millstream_log::{Offset, TopicPartition};

use crate::processor::TaskId;

/// A store partition whose state is read from its changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredStore<'a> {
    /// The store.
    pub store: &'a str,
    /// The changelog partition.
    pub changelog: &'a TopicPartition,
}

/// Is told how restores go, on the stream threads: it should be quick. As Kafka's `StateRestoreListener`.
///
/// State that has come as far as its changelog is not restored, and nothing is told of it.
pub trait StateRestoreListener: Send + Sync {
    /// Records from `start` on and before `end` are to be read.
    fn on_restore_start(&self, _store: RestoredStore<'_>, _start: Offset, _end: Offset) {}

    /// So many records were read, and are in the state; the next one is at `next`.
    fn on_batch_restored(&self, _store: RestoredStore<'_>, _next: Offset, _records: u64) {}

    /// The state has come to the end of its changelog, with so many records in all.
    fn on_restore_end(&self, _store: RestoredStore<'_>, _records: u64) {}

    /// The restore ended before it came to the end of the changelog, after so many records.
    fn on_restore_suspended(&self, _store: RestoredStore<'_>, _records: u64) {}
}

/// Is told how the copies of state that standbys keep go on, on the stream threads: it should be quick. As Kafka's
/// `StandbyUpdateListener` (KIP-988).
pub trait StandbyUpdateListener: Send + Sync {
    /// A copy is kept from now on; its next record is at `start`.
    fn on_update_start(&self, _store: RestoredStore<'_>, _task: TaskId, _start: Offset) {}

    /// So many records were read, and are in the copy; the next one is at `next`, and the changelog ends at `end`.
    fn on_batch_loaded(
        &self,
        _store: RestoredStore<'_>,
        _task: TaskId,
        _next: Offset,
        _records: u64,
        _end: Offset,
    ) {
    }

    /// The copy is not kept any more; its next record would have been at `next`, and the changelog ends at `end`.
    fn on_update_suspended(
        &self,
        _store: RestoredStore<'_>,
        _task: TaskId,
        _next: Offset,
        _end: Offset,
        _reason: SuspendReason,
    ) {
    }
}

/// Why a standby has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspendReason {
    /// The copy is kept elsewhere, or nowhere.
    Migrated,
    /// Its task runs here now.
    Promoted,
}
