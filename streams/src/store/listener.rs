//! Progress of restores, told to whoever wants to know.

use millstream_log::{Offset, TopicPartition};

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
