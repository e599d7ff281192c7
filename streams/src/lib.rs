//! Topologies of batch processors with state over the log.
//!
//! ```text
//! topic ─▶ source ─▶ processor ─▶ .. ─▶ sink ─▶ topic        one sub-topology, one task per partition
//!          decode      │  ▲               encode
//!                      ▼  │
//!                    CachedStore ◀─▶ StateBackend, changelog topic
//! ```
//! What travels along an edge is a [`Batch`]: typed when the graph is built, erased once per batch. Two skins
//! share everything below it: the typed [`dsl`] here, and the columnar operators of the SQL crate.
//!
//! Reading order: [`batch`] and [`processor`] what a node is, [`topology`] the graph, [`store`] state,
//! [`runtime`] tasks and commits, [`operator`] the cores of stateful operators, [`dsl`] the typed operators,
//! [`driver`] tests.
//!
//! Not here: async, SQL types, value formats. Nothing uncommitted ever reaches a [`store::StateBackend`].

#[macro_use]
mod planted;

pub mod batch;
pub mod config;
mod crash;
pub mod driver;
pub mod dsl;
pub mod error;
pub mod handler;
pub mod operator;
pub mod processor;
pub mod properties;
pub mod report;
pub mod reset;
pub mod runtime;
pub mod serde;
pub mod simulation;
pub mod store;
pub mod topology;
mod turns;

pub use batch::{Batch, Decoded, Decoder, Encoder, RecordSink, downcast};
pub use config::{ProcessingGuarantee, StreamsConfig};
pub use crash::CrashPoint;
pub use driver::{TestInputTopic, TestOutputTopic, TopologyTestDriver};
pub use error::{StreamsError, full_message};
pub use handler::{ErrorContext, ErrorResponse, ErrorStage, UncaughtResponse};
pub use millstream_log::AutoOffsetReset;
pub use millstream_log::serde::ByteColumn;
pub use processor::{BatchPair, Context, Processor, RowsKept, TaskId};
pub use report::{ReportKind, ReportOrigin, Reporter, RowReport, Subject};
pub use runtime::{CloseOptions, Metrics, Punctuation, PunctuationType, State, Streams};
pub use store::{Arena, CachedStore, NO_SLOT, StoreHandle, StoreSpec, StoreView, Timer};
pub use topology::{Optimization, SourceOptions, TopicPattern, Topics, Topology, TopologyBuilder};
