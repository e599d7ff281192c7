//! The producer that threads share: it collects records in batches, and a sender writes them.
//!
//! ```text
//! SharedProducer ─ append ─▶ Queue per partition ─ batches ─▶ Sender ─▶ Producer ─▶ Partition
//!       Delivery ◀──────── Completion per batch ◀─ acknowledged ─┘
//! ```
//! The batches of a partition are written one after another: a batch that has to wait for space on the disk is tried
//! again before anything behind it, so records keep their order and none is written twice. The [`Sender`] is driven by a
//! thread that [`SharedProducer::start`] starts, or step by step.

mod delivery;
mod handle;
mod memory;
mod queue;
mod sender;
mod transaction;

pub use delivery::Delivery;
pub use handle::{ProducerInterceptor, SharedProducer};
pub use sender::{Sender, Step};
