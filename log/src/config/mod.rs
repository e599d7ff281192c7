//! Settings, with Kafka's names at the border and our types inside.
//!
//! Each kind of setting has one table, a `match` from the key to its field; an unknown key is an error that names the
//! closest known one.

mod change;
mod cleaner;
mod client;
mod describe;
mod live;
mod log;
mod producer;
mod topic;
mod topic_keys;
mod value;

pub use change::{ConfigChange, ConfigOperation};
pub use cleaner::CleanerConfig;
pub use client::{AutoOffsetReset, ConsumerConfig};
pub(crate) use describe::describe;
pub use describe::{ConfigEntry, ConfigSource, ConfigSynonym};
pub(crate) use live::LiveConfig;
pub use log::LogConfig;
pub use producer::{PartitionerClass, ProducerConfig};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use topic_keys::ConfigType;

#[cfg(test)]
mod tests;
