//! Columnar operators: one per file, each a skin over the cores of the streams crate.
//!
//! ```text
//! records ─▶ source ─▶ filter ─▶ join ─▶ rekey ══ topic ══▶ source ─▶ aggregate ─▶ project ─▶ sink ─▶ records
//!                                  ▲                            ▲       session        └──▶ collect ─▶ client
//!   source ─▶ [rekey] ─▶ table ────┘ store                store ┘
//! ```
//! Joins: [`join`] stream and table, [`stream_join`] two streams, [`pair_join`] two tables on their keys,
//! [`foreign_key`] two tables on a column. [`shared`]: several sources over one topic. [`rows`] and [`table`] are what they keep, [`keys`] how rows are found.

pub(crate) mod aggregate;
pub(crate) mod collect;
pub(crate) mod cut;
pub(crate) mod explode;
pub(crate) mod filter;
pub(crate) mod foreign_key;
pub(crate) mod join;
pub(crate) mod keys;
pub(crate) mod pair_join;
pub(crate) mod project;
pub(crate) mod rekey;
mod reports;
pub(crate) mod rows;
pub(crate) mod session;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stream_join;
pub(crate) mod table;

#[cfg(test)]
mod tests;

use millstream_streams::StreamsError;

/// An error that concerns a whole batch stops the query.
fn failed(error: impl std::fmt::Display) -> StreamsError {
    StreamsError::Failed(error.to_string())
}
