//! Typed streams and tables, as Kafka's DSL has them.
//!
//! ```no_run
//! use std::time::Duration;
//! use millstream_log::Log;
//! use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
//! use millstream_streams::operator::TimeWindows;
//! use millstream_streams::serde::Utf8;
//! use millstream_streams::{Streams, StreamsConfig};
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<String, String>("visits", Consumed::with(Utf8, Utf8))
//!     .filter(|_, page| page.starts_with("/shop"))
//!     .group_by(|_, page| page.clone())
//!     .windowed_by(TimeWindows::of(Duration::from_secs(3600)).grace(Duration::from_secs(600)))
//!     .count(Materialized::named("visits-per-hour"))
//!     .to_stream()
//!     .to("visits-per-hour");
//! let mut app = Streams::open(builder.build()?, StreamsConfig::new("visits"), Log::open("data")?)?;
//! app.start()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Operators work on [`Records`]: a batch of keys, values, timestamps and headers. Closures run in a tight
//! loop inside one processor. A row without value (a deletion) reaches no closure: filters drop it,
//! `map_values` and `peek` pass it on, operators that need its value for a new key drop it.
//!
//! A changed key alone moves nothing. The next operator that needs rows of a key together writes the stream
//! through a repartition topic first.

pub(crate) mod arena;
mod builder;
mod changes;
pub(crate) mod codec;
mod cogroup;
mod context;
mod fold;
mod foreign_key;
mod global_table;
mod grouped;
mod grouped_table;
mod join;
mod lookup;
mod params;
mod print;
mod process;
mod record;
mod records;
mod route;
mod self_join;
mod session_fold;
mod split;
mod stream;
mod suppress;
mod table;
mod table_join;
mod table_rows;
mod topology;
mod transform;
mod versioned;
mod windowed;

pub use builder::StreamsBuilder;
pub use changes::Changes;
pub use cogroup::{
    CogroupedBy, CogroupedKStream, SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream,
};
pub use context::{FixedKeyContext, ProcessingContext, ProcessorContext, RecordMetadata};
pub use foreign_key::TableJoined;
pub use global_table::GlobalKTable;
pub use grouped::KGroupedStream;
pub use grouped_table::KGroupedTable;
pub use join::StreamJoined;
pub use params::{Consumed, Grouped, Materialized, Produced, Repartitioned, StoreType};
pub use print::Printed;
pub use process::{FixedKeyProcessor, RecordProcessor};
pub use record::{FixedKeyRecord, Record};
pub use records::Records;
pub use route::{Partitions, RecordContext};
pub use split::{Branched, BranchedKStream};
pub use stream::KStream;
pub use suppress::{BufferConfig, StrictBufferConfig, Suppressed};
pub use table::KTable;
pub use transform::ValueTransformer;
pub use versioned::{Joined, VersionedTable};
pub use windowed::{SessionWindowedKStream, TimeWindowedKStream, WindowedBy};

pub use crate::serde::Windowed;

#[cfg(test)]
mod close_tests;
#[cfg(test)]
mod cogroup_tests;
#[cfg(test)]
mod global_tests;
#[cfg(test)]
mod optimize_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod suppress_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod window_tests;
