//! Producing: records are collected per partition and appended a batch at a time.

mod embedded;
mod metrics;
mod record;
mod transaction;

pub use embedded::Producer;
pub use metrics::ProducerMetrics;
pub use record::{Record, RecordMetadata, TopicHandle};
