//! `millstream perf`: how fast the embedded log writes and reads on this machine.

mod consume;
mod end_to_end;
mod latency;
mod produce;

use std::time::Duration;

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
            payload_file,
            throughput,
            producer_properties,
            transactional_id,
            transaction_duration_ms,
            warmup_records,
            reporting_interval,
        } => {
            let mut properties = producer_properties.clone();
            properties.extend(transactional_id.iter().map(|id| ("transactional.id".to_owned(), id.clone())));
            produce::Load {
                topic: topic.get(),
                records: *num_records,
                values: produce::Values::new(*record_size, payload_file.as_deref())?,
                throughput: u64::try_from(*throughput).ok().filter(|rate| *rate > 0),
                transaction: transactional_id
                    .as_ref()
                    .map(|_| Duration::from_millis(*transaction_duration_ms)),
                warmup: *warmup_records,
                reporting_interval_ms: *reporting_interval,
            }
            .run(global, &properties)
        }
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
        PerfCommand::EndToEnd { topic, num_records, record_size, producer_acks } => {
            end_to_end::run(global, topic.get(), *num_records, *record_size as usize, producer_acks)
        }
    }
}

/// A measured number with three decimals.
fn figure(value: f64) -> Cell {
    Cell::Number(format!("{value:.3}"))
}
