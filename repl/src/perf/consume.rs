//! `millstream perf consume`: reads a topic and reports rates, in the columns of Kafka's tool.

use std::time::Duration;

use millstream_log::{ConsumerConfig, Log};

use super::{MEGABYTE, figure};
use crate::args::Global;
use crate::cell::Cell;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out};

/// What to read.
pub(super) struct Load<'a> {
    /// The topic.
    pub(super) topic: &'a str,
    /// How many records, or all that are there.
    pub(super) messages: Option<u64>,
    /// The group whose offsets are committed.
    pub(super) group: Option<&'a str>,
    /// Whether to start at the end.
    pub(super) from_latest: bool,
    /// Most bytes of a fetch per partition.
    pub(super) fetch_size: usize,
    /// Milliseconds without a record after which to stop.
    pub(super) timeout_ms: u64,
    /// Whether to leave out the names of the columns.
    pub(super) hide_header: bool,
}

const COLUMNS: [&str; 10] = [
    "start.time",
    "end.time",
    "data.consumed.in.MB",
    "MB.sec",
    "data.consumed.in.nMsg",
    "nMsg.sec",
    "rebalance.time.ms",
    "fetch.time.ms",
    "fetch.MB.sec",
    "fetch.nMsg.sec",
];

impl Load<'_> {
    /// Reads and prints the figures. Times are milliseconds since 1970.
    pub(super) fn run(&self, global: &Global) -> Result<(), CliError> {
        let fetch_size = self.fetch_size.to_string();
        let mut settings = vec![
            ("auto.offset.reset", if self.from_latest { "latest" } else { "earliest" }),
            ("max.partition.fetch.bytes", fetch_size.as_str()),
        ];
        match self.group {
            Some(group) => settings.push(("group.id", group)),
            None => settings.push(("enable.auto.commit", "false")),
        }
        let config = ConsumerConfig::from_properties(settings)?;
        let interrupt = Interrupt::install()?;
        let log = Log::open(global.log_dir())?;
        let result = self.measure(&log, config, &mut Out::new(global.output), &interrupt);
        log.close()?;
        result
    }

    fn measure(
        &self,
        log: &Log,
        config: ConsumerConfig,
        out: &mut Out,
        interrupt: &Interrupt,
    ) -> Result<(), CliError> {
        log.describe_topic(self.topic)?;
        let mut consumer = log.consumer(config)?;
        consumer.subscribe(&[self.topic])?;
        let clock = log.clock();
        let (start, start_time) = (clock.monotonic(), clock.now().get());
        let most = self.messages.unwrap_or(u64::MAX);
        let timeout = Duration::from_millis(self.timeout_ms);
        let (mut messages, mut bytes) = (0_u64, 0_u64);
        let mut last_record = start;
        while messages < most && !interrupt.is_set() {
            let polled = consumer.poll(timeout.min(Duration::from_millis(100)))?;
            let mut at_end = true;
            let before = messages;
            for records in &polled {
                for record in records.records() {
                    let record = record?;
                    messages += 1;
                    bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
                }
                at_end &= records.next >= records.end;
            }
            let now = clock.monotonic();
            if messages > before {
                last_record = now;
            }
            // Without a number to reach, the end is where a poll brings nothing more.
            let done = messages == before && self.messages.is_none() && at_end;
            if done || now - last_record >= timeout {
                break;
            }
        }
        if self.group.is_some() {
            consumer.commit()?;
        }
        let seconds = (last_record - start).as_secs_f64().max(1e-9);
        let megabytes = bytes as f64 / MEGABYTE;
        let end_time = start_time + (seconds * 1000.0) as i64;
        let row = vec![
            Cell::Number(start_time.to_string()),
            Cell::Number(end_time.to_string()),
            figure(megabytes),
            figure(megabytes / seconds),
            messages.into(),
            figure(messages as f64 / seconds),
            // Nothing is rebalanced in one process.
            Cell::Number("0".to_owned()),
            Cell::Number(((seconds * 1000.0) as u64).to_string()),
            figure(megabytes / seconds),
            figure(messages as f64 / seconds),
        ];
        if out.format() == Format::Table {
            if !self.hide_header {
                out.line(&COLUMNS.join(", "))?;
            }
            out.line(&row.iter().map(Cell::csv).collect::<Vec<_>>().join(", "))?;
            return out.flush();
        }
        let mut grid = Grid::new(COLUMNS.into_iter().map(Heading::number).collect());
        grid.push(row);
        out.grid(&grid)
    }
}
