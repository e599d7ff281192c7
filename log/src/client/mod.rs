//! What applications hold of a log: an admin, producers, consumers, as traits that do not say where the log is.
//!
//! ```text
//! streams, sql, connect ─▶ Client ─┬─▶ embedded: this crate's engine, in this process
//!                          Admin   └─▶ cluster: brokers that speak Kafka's protocol
//!                          Producer
//!                          Consumer
//! ```
//! [`Log`](crate::Log) is the embedded [`Client`] and [`Admin`]; [`crate::Producer`] and [`crate::Consumer`] are what it
//! makes, and implement [`Producer`] and [`Consumer`]. The methods of the traits have the names and shapes of theirs, so
//! that code moves between the two by its types alone: `&Log` becomes `&dyn Client`, `Producer` becomes
//! `Box<dyn client::Producer>`. Only what is always at hand in this process and not elsewhere becomes a `Result`:
//! [`Consumer::committed`], and [`Admin::list_topics`] and the like. What only an engine in this process can do (appending ready batches, reading without a
//! consumer, maintenance, repair) stays with [`Log`](crate::Log).
//!
//! Nothing is called per record where it can be per batch: a poll returns whole batches, and
//! [`Producer::append_all`] takes a slice of records.
//!
//! # Guarantees
//!
//! - What is acknowledged can be read at once by everyone, in the same order in each partition.
//! - `acks=all`: it is on stable storage; `acks=1`: it survives the end of this process, not of the machine.
//! - Records are delivered at least once; with a transaction that holds the output and the input's offsets, exactly once
//!   for `read_committed` consumers.
//! - Errors carry Kafka's [code](crate::LogError::code), and [say](crate::LogError::recovery) whether to retry, to abort
//!   the transaction, or to stop.
//!
//! # Quick start
//!
//! Producing from many threads, and consuming in a group:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use millstream_log::client::{Admin, Client, Consumer as _};
//! use millstream_log::*;
//!
//! let log = Log::in_memory(Arc::new(SystemClock::new())); // or Log::open("data")
//! log.create_topic(NewTopic::new("orders").partitions(3).config("retention.ms", "86400000"))?;
//!
//! let producer = SharedProducer::start(&log, ProducerConfig::from_properties([("compression.type", "zstd")])?)?;
//! let delivery = producer.append("orders", None, None, Some(b"alice"), Some(b"book"), &[])?;
//! assert_eq!(delivery.wait().expect("it was written").offset, Offset::ZERO);
//!
//! let config = ConsumerConfig::from_properties([("group.id", "billing"), ("auto.offset.reset", "earliest")])?;
//! let mut consumer = log.consumer(config)?;
//! consumer.subscribe(&["orders"])?;
//! let mut seen = Vec::new();
//! while seen.is_empty() {
//!     for run in consumer.poll(Duration::from_secs(1))? {
//!         for record in run.records() {
//!             seen.push(record?.value.map(<[u8]>::to_vec));
//!         }
//!     }
//! }
//! assert_eq!(seen, [Some(b"book".to_vec())]);
//! consumer.commit()?;
//! # Ok::<(), LogError>(())
//! ```
//!
//! A transaction that moves records on, exactly once:
//!
//! ```
//! # use std::sync::Arc;
//! # use millstream_log::*;
//! # let log = Log::in_memory(Arc::new(SystemClock::new()));
//! # log.create_topic(NewTopic::new("orders"))?;
//! let mut producer = log.producer(ProducerConfig::default().transactional_id("billing-0"))?;
//! producer.begin_transaction()?;
//! producer.send("bills", Record { value: Some("12.90".into()), ..Record::default() })?;
//! producer.send_offsets("billing", &[(TopicPartition::new("orders", 0), Offset::new(1))])?;
//! match producer.commit_transaction() {
//!     Err(error) if error.recovery() == Recovery::Abort => producer.abort_transaction()?,
//!     outcome => outcome?,
//! }
//! assert_eq!(log.committed_offsets("billing").len(), 1);
//! # Ok::<(), LogError>(())
//! ```
//!
//! Typed records, through [serdes](crate::serde):
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use millstream_log::*;
//! # use millstream_log::client::{TypedConsumer, TypedProducer};
//! # let log = Log::in_memory(Arc::new(SystemClock::new()));
//! let shared = SharedProducer::start(&log, ProducerConfig::default())?;
//! let producer: TypedProducer<String, i64> = TypedProducer::of(shared);
//! producer.send("totals", Some(&"alice".to_owned()), Some(&3))?.wait().expect("it was written");
//!
//! let mut consumer: TypedConsumer<String, i64> = TypedConsumer::of(log.consumer(ConsumerConfig::default())?);
//! consumer.consumer_mut().assign(vec![TopicPartition::new("totals", 0)])?;
//! consumer.consumer_mut().seek_to(&TopicPartition::new("totals", 0), OffsetSpec::Earliest)?;
//! let records = consumer.poll(Duration::from_secs(1))?;
//! assert_eq!((records[0].key.as_deref(), records[0].value), (Some("alice"), Some(3)));
//! # Ok::<(), LogError>(())
//! ```
//!
//! Looking after topics:
//!
//! ```
//! # use std::sync::Arc;
//! # use millstream_log::*;
//! use millstream_log::client::{Admin, Client};
//!
//! fn shrink(client: &dyn Client, topic: &str) -> Result<()> {
//!     client.alter_topic_config(topic, &[ConfigChange::set("retention.ms", "60000")])?;
//!     client.create_partitions(topic, 4)?;
//!     let first = TopicPartition::new(topic, 0);
//!     let end = client.list_offsets(&first, OffsetSpec::Latest, Isolation::ReadCommitted)?;
//!     client.delete_records(&first, Some(end)).map(drop)
//! }
//! # let log = Log::in_memory(Arc::new(SystemClock::new()));
//! # log.create_topic(NewTopic::new("orders"))?;
//! shrink(&log, "orders")?;
//! assert_eq!(log.describe_topic("orders")?.partitions, 4);
//! # Ok::<(), LogError>(())
//! ```

mod admin;
mod consumer;
mod embedded;
mod producer;
mod thread;
mod typed_consumer;
mod typed_producer;

use std::fmt;
use std::sync::Arc;

pub use admin::Admin;
pub use consumer::Consumer;
pub use producer::{Producer, RecordRef};
pub use typed_consumer::{TypedConsumer, TypedRecord};
pub use typed_producer::TypedProducer;

use crate::clock::Clock;
use crate::config::{ConsumerConfig, ProducerConfig};
use crate::error::Result;

/// A log, wherever it is: makes producers and consumers, and is its own [`Admin`].
pub trait Client: Admin + Send + Sync + fmt::Debug {
    /// A producer for one thread. With a `transactional.id` it is ready for its first transaction, as after Kafka's
    /// `initTransactions`: older producers of that id are fenced, and their transaction is aborted.
    fn producer(&self, config: ProducerConfig) -> Result<Box<dyn Producer>>;

    /// A consumer, without partitions yet.
    fn consumer(&self, config: ConsumerConfig) -> Result<Box<dyn Consumer>>;

    /// The clock of the log's timestamps and timeouts.
    fn clock(&self) -> &Arc<dyn Clock>;
}
