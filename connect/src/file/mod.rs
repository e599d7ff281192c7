//! Files as sources and sinks.
//!
//! | class | what |
//! |---|---|
//! | `FileStreamSource` | lines as text, as Kafka Connect's; waits for more at the end |
//! | `FileSource` | CSV or JSON lines, plain or gzipped, with keys, event times and types |
//! | `FileStreamSink` | one line per value, as Kafka Connect's, but never doubled |
//! | `FileSink` | JSON lines, or CSV with a header |
//!
//! Reading: [`input`] holds the bytes and the position, [`lines`], [`csv_rows`] and [`json_rows`] cut records
//! out of them. Writing: [`output`] keeps file and offsets in step.

mod csv_rows;
mod event_time;
mod input;
mod json_rows;
mod lines;
mod output;
mod schema;
mod sink;
mod source;

pub use sink::{FileSink, FileStreamSink};
pub use source::{FileSource, FileStreamSource};
