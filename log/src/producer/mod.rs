//! Producing: records are collected per partition and appended a batch at a time.

mod embedded;
mod metrics;
mod record;
mod shared;
mod transaction;

pub use embedded::Producer;
pub use metrics::ProducerMetrics;
pub use record::{Flushed, Record, RecordMetadata, TopicHandle};
pub use shared::{Delivery, ProducerInterceptor, Sender, SharedProducer, Step};
