//! Running a topology: tasks in threads, the choice of the next rows, commits.
//!
//! ```text
//! Streams (app) ── threads ── Worker ── tasks ── Task: queues ─▶ graph of nodes ─▶ Outbox ─▶ Producer
//!                                └ poll, process, commit ──────────── stores ─▶ changelog, backend
//! ```
//! Reading order: [`app`] the handle, [`plan`] partitions and tasks, [`worker`] the loop and the commit,
//! [`task`] the choice of rows, [`graph`] the nodes, [`punctuation`] what goes by time,
//! [`errors`] what happens to rows that fail.

pub mod app;
pub(crate) mod assignor;
pub(crate) mod crew;
pub(crate) mod errors;
pub(crate) mod global;
pub(crate) mod graph;
pub(crate) mod instances;
pub(crate) mod layout;
pub mod metrics;
pub mod outbox;
pub(crate) mod plan;
pub(crate) mod progress;
pub mod punctuation;
mod queries;
pub(crate) mod queue;
pub(crate) mod queue_pair;
pub mod shared;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod thread;
pub(crate) mod worker;

pub use app::{CloseOptions, Streams, StreamsOpener};
pub use metrics::Metrics;
pub use punctuation::{Punctuation, PunctuationType};
pub use shared::{ClientMetadata, State, ThreadMetadata, ThreadState};

#[cfg(test)]
mod error_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
