//! The work of the demo: statements, connectors and queries, each shown as it happens.

use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use millstream_connect::{ConnectorConfig, ConnectorHandle, Worker, WorkerConfig};
use millstream_log::{Offset, OffsetSpec, TopicPartition};
use millstream_sql::ast::Statement;
use millstream_sql::parser::parse;
use millstream_sql::{Outcome, PushQuery};

use super::stage::Stage;
use crate::args::Global;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Grid, RowPrinter};
use crate::session::{Session, headings, rows};

const STATEMENTS: &str = include_str!("../../../examples/flights.sql");
const AIRLINES_SOURCE: &str = include_str!("../../../examples/airlines-source.json");
const FLIGHTS_SOURCE: &str = include_str!("../../../examples/flights-source.json");
const SINK: &str = include_str!("../../../examples/late-departures-sink.json");

/// The push query: what an operator would watch.
const WATCH: &str = "SELECT airline, flight, origin, dest, delay FROM late_departures WHERE delay >= 600 EMIT CHANGES;";
/// The pull queries at the end: a scan, and one key with a range of windows.
const CARRIERS: &str = "SELECT airline, departures, average_delay, worst_delay FROM carriers;";
const STORM: &str = "SELECT origin, WINDOWSTART, departures, average_delay, worst_delay FROM delays_per_hour \
     WHERE origin = 'JFK' AND WINDOWSTART >= '2013-01-01T10:00:00' AND WINDOWSTART < '2013-01-01T15:00:00';";
const WINDOWS: &str = "SELECT origin, departures FROM delays_per_hour;";

const WAIT: Duration = Duration::from_millis(20);

/// What the run ended with. The same for every run over the same file, however often it was killed.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Records in the topic of flights.
    pub(super) flights: u64,
    /// Departures counted in all windows.
    pub(super) departures: u64,
    /// Windows of all airports.
    pub(super) windows: u64,
    /// Airlines with departures.
    pub(super) airlines: u64,
    /// Lines of the sink file.
    pub(super) sink_lines: u64,
    /// Records that this run read from the file; the others came from an interrupted one.
    pub(super) loaded_now: u64,
}
