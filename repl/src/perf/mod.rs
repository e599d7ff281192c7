//! `millstream perf`: how fast the embedded log writes and reads on this machine.

mod consume;
mod histogram;
mod produce;

use crate::args::{Global, PerfCommand};
use crate::cell::Cell;
use crate::error::CliError;

/// Bytes of a megabyte in the reports, as the Kafka tools count.
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// Runs one of the measurements.
pub(crate) fn run(global: &Global, command: &PerfCommand) -> Result<(), CliError> {
    match command {
        PerfCommand::Produce {
            topic,
            num_records,
            record_size,
            throughput,
            producer_properties,
            warmup_records,
            reporting_interval,
        } => produce::Load {
            topic: topic.get(),
            records: *num_records,
            record_size: *record_size,
            throughput: u64::try_from(*throughput).ok().filter(|rate| *rate > 0),
            warmup: *warmup_records,
            reporting_interval_ms: *reporting_interval,
        }
        .run(global, producer_properties),
        PerfCommand::Consume { topic, messages, group, from_latest, fetch_size, timeout, hide_header } => {
            consume::Load {
                topic: topic.get(),
                messages: *messages,
                group: group.as_deref(),
                from_latest: *from_latest,
                fetch_size: *fetch_size,
                timeout_ms: *timeout,
                hide_header: *hide_header,
            }
            .run(global)
        }
    }
}

/// A measured number with three decimals.
fn figure(value: f64) -> Cell {
    Cell::Number(format!("{value:.3}"))
}
