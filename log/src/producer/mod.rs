//! Producing: records are collected per partition and appended a batch at a time.

mod embedded;
mod record;
mod transaction;

pub use embedded::Producer;
pub use record::{Record, RecordMetadata, TopicHandle};
