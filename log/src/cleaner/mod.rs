//! Compaction: of a topic with `cleanup.policy=compact`, the newest record of each key stays.
//!
//! ```text
//! selection ─▶ round: offset map ─▶ recopy ─▶ output (.cleaned) ─▶ swap ─▶ cleaner-offset-checkpoint
//! ```
//! - Order and offsets stay. A reader from the start sees at least the last value of each key.
//! - A tombstone stays for `delete.retention.ms` after its first cleaning, a transaction's marker as long as there is
//!   data before it, and then as long again. Data of aborted transactions goes at once.
//! - What must not get lost with a batch's records keeps its header: a producer's last sequence number, the end of a
//!   segment.
//! - Memory is bounded by `log.cleaner.dedupe.buffer.size`; a round that does not fit is followed by another.
//! - Nothing is locked while segments are read and written, and appends wait only while the list of segments changes.
//!
//! Reading order: [`selection`], [`round`], [`offset_map`], [`output`], [`swap`]. As Kafka's `LogCleaner`.

mod hash;
mod offset_map;
pub(crate) mod output;
mod round;
mod selection;
mod state;
pub(crate) mod swap;
mod throttle;
mod transactions;

#[cfg(test)]
mod tests;

pub(crate) use round::Sources;
pub(crate) use selection::Extent;
pub use state::{Cleaned, CleanerStats};
pub(crate) use state::{Cleaner, compacted};
