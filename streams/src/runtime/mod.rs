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
pub(crate) mod errors;
pub(crate) mod global;
pub(crate) mod graph;
pub mod metrics;
pub mod outbox;
pub(crate) mod plan;
pub(crate) mod progress;
pub mod punctuation;
mod queries;
pub(crate) mod queue;
pub(crate) mod task;
pub(crate) mod worker;

pub use app::{State, Streams, StreamsOpener};
pub use metrics::Metrics;
pub use punctuation::{Punctuation, PunctuationType};

#[cfg(test)]
mod error_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
