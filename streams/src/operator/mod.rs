//! The cores of the stateful operators, on key bytes, timestamps and slots. The typed DSL and the columnar
//! SQL operators supply what depends on their batches through small traits, called once per batch.

pub mod aggregate;
mod closing;
pub mod foreign_key;
pub mod join;
pub mod session;
pub mod sliding;
pub mod stream_buffer;
pub mod stream_join;
pub mod suppress;
pub mod table;
pub mod versioned;
pub mod window;

pub use aggregate::{AggregateProcessor, Aggregator};
pub use closing::EmitStrategy;
pub use join::{JoinProcessor, MissingKey, TableJoiner};
pub use session::{SessionAggregator, SessionProcessor, SessionWindows};
pub use sliding::{SlidingProcessor, SlidingWindows};
pub use stream_join::{
    JoinWindows, JoinedStream, Side, StreamJoin, StreamJoinProcessor, StreamJoiner, Unmatched,
};
pub use suppress::{BufferLimits, SuppressProcessor, SuppressRows, WhenFull};
pub use table::{TableProcessor, TableRows};
pub use window::{FixedWindows, TimeWindows, UnlimitedWindows, WindowAssigner};
