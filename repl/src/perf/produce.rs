//! `millstream perf produce`: writes records of one size and reports rates and latencies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_log::{Clock, Log, NewTopic, Producer, ProducerConfig, TopicHandle};

use super::MEGABYTE;
use super::latency::Latencies;
use crate::args::Global;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out};

/// What to write.
pub(super) struct Load<'a> {
    /// The topic; created with one partition when missing.
    pub(super) topic: &'a str,
    /// How many records count.
    pub(super) records: u64,
    /// What is written.
    pub(super) values: Values,
    /// Records per second, or as fast as it goes.
    pub(super) throughput: Option<u64>,
    /// How long a transaction stays open, if records are written in transactions.
    pub(super) transaction: Option<Duration>,
    /// Records before those that count.
    pub(super) warmup: u64,
    /// Milliseconds between progress lines.
    pub(super) reporting_interval_ms: u64,
}

/// Records that share a reading of the clock, so that it does not show in the figures.
const STRIDE: u64 = 64;

impl Load<'_> {
    /// Writes everything and prints the summary line.
    pub(super) fn run(&self, global: &Global, properties: &[(String, String)]) -> Result<(), CliError> {
        let properties = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let config = ProducerConfig::from_properties(properties)?;
        let batch_bytes = config.batch_size.max(1);
        let interrupt = Interrupt::install()?;
        let log = Log::open(global.log_dir())?;
        let mut out = Out::new(global.output);
        let result = self.measure(&log, config, batch_bytes, &mut out, &interrupt);
        log.close()?;
        result
    }

    fn measure(
        &self,
        log: &Log,
        config: ProducerConfig,
        batch_bytes: usize,
        out: &mut Out,
        interrupt: &Interrupt,
    ) -> Result<(), CliError> {
        if !log.topics().iter().any(|topic| &*topic.name == self.topic) {
            log.create_topic(NewTopic::new(self.topic))?;
        }
        if self.values.bytes_max > config.max_request_size {
            return Err(CliError::Usage(format!(
                "a value of {} bytes is more than max.request.size, {}: use smaller ones, or raise that setting",
                self.values.bytes_max, config.max_request_size
            )));
        }
        let mut producer = log.producer(config)?;
        let topic = producer.topic(self.topic)?;
        let clock = log.clock().as_ref();
        // A flush acknowledges what was handed over since the last one: about one batch.
        let per_flush = (batch_bytes as u64 / (self.values.bytes_mean as u64 + 8)).clamp(1, 1 << 20);

        let mut warmup = Run::new(clock, None, per_flush, self.transaction);
        warmup.write(&mut producer, topic, &self.values, self.warmup, interrupt, |_| Ok(()))?;

        let mut run = Run::new(clock, self.throughput, per_flush, self.transaction);
        let interval = Duration::from_millis(self.reporting_interval_ms.max(1));
        let mut window = Window::default();
        let size = self.values.bytes_mean;
        run.write(&mut producer, topic, &self.values, self.records, interrupt, |run| {
            window.report_when_due(run, interval, size, out)
        })?;
        self.summary(&run, out)
    }

    fn summary(&self, run: &Run<'_>, out: &mut Out) -> Result<(), CliError> {
        let seconds = run.elapsed().as_secs_f64().max(1e-9);
        let rate = run.written as f64 / seconds;
        let megabytes = rate * self.values.bytes_mean as f64 / MEGABYTE;
        let latency = &run.latency;
        let quantiles = [0.5, 0.95, 0.99, 0.999, 0.9999].map(|share| latency.quantile_ms(share));
        if out.format() == Format::Table {
            let [median, p95, p99, p999, p9999] = quantiles;
            out.line(&format!(
                "{} records sent, {rate:.1} records/sec ({megabytes:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max latency, \
                 {median:.2} ms 50th, {p95:.2} ms 95th, {p99:.2} ms 99th, {p999:.2} ms 99.9th, {p9999:.2} ms 99.99th.",
                run.written,
                latency.mean_ms(),
                latency.max_ms()
            ))?;
            return out.flush();
        }
        let names = ["records", "seconds", "records_per_second", "mb_per_second", "avg_ms", "max_ms"];
        let quantile_names = ["p50_ms", "p95_ms", "p99_ms", "p99_9_ms", "p99_99_ms"];
        let mut grid = Grid::new(names.into_iter().chain(quantile_names).map(Heading::number).collect());
        let figures = [run.written as f64, seconds, rate, megabytes, latency.mean_ms(), latency.max_ms()];
        grid.push(figures.into_iter().chain(quantiles).map(super::figure).collect());
        out.grid(&grid)
    }
}

/// Values to choose from.
pub(super) struct Values {
    all: Vec<Vec<u8>>,
    bytes_max: usize,
    bytes_mean: usize,
}

impl Values {
    /// The lines of a file, or else some of one size, different so that a disk that compresses does not cheat.
    pub(super) fn new(size: usize, file: Option<&Path>) -> Result<Self, CliError> {
        let all: Vec<Vec<u8>> = match file {
            None => Self::made_up(size),
            Some(path) => {
                let action = "read";
                let bytes = fs::read(path).map_err(|source| CliError::File {
                    action,
                    path: path.to_owned(),
                    source,
                })?;
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect()
            }
        };
        if all.is_empty() {
            return Err(CliError::Usage("the payload file has no lines".to_owned()));
        }
        let bytes_max = all.iter().map(Vec::len).max().unwrap_or_default();
        let bytes_mean = all.iter().map(Vec::len).sum::<usize>() / all.len();
        Ok(Self { all, bytes_max, bytes_mean })
    }

    fn made_up(size: usize) -> Vec<Vec<u8>> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'A' + (state % 26) as u8
        };
        (0..64).map(|_| (0..size).map(|_| letter()).collect()).collect()
    }

    fn get(&self, number: u64) -> &[u8] {
        &self.all[number as usize % self.all.len()]
    }
}

/// Records being written: since when, how many, how long each took.
struct Run<'a> {
    clock: &'a dyn Clock,
    start: Duration,
    /// When the last flush returned.
    end: Duration,
    throughput: Option<u64>,
    per_flush: u64,
    transaction: Option<Duration>,
    written: u64,
    latency: Latencies,
    /// Latencies since the last progress line.
    recent: Latencies,
}

impl<'a> Run<'a> {
    fn new(
        clock: &'a dyn Clock,
        throughput: Option<u64>,
        per_flush: u64,
        transaction: Option<Duration>,
    ) -> Self {
        let start = clock.monotonic();
        let (latency, recent) = (Latencies::new(), Latencies::new());
        Self { clock, start, end: start, throughput, per_flush, transaction, written: 0, latency, recent }
    }

    fn elapsed(&self) -> Duration {
        self.end - self.start
    }

    /// When the record should be handed over: a slow log does not slow the load, it shows in the latencies.
    fn intended(&self, number: u64) -> Option<Duration> {
        self.throughput.map(|rate| {
            self.start + Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64)
        })
    }

    fn write(
        &mut self,
        producer: &mut Producer,
        topic: TopicHandle,
        values: &Values,
        records: u64,
        interrupt: &Interrupt,
        mut after_flush: impl FnMut(&mut Self) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        // Handed over and not yet acknowledged: when, and how many since.
        let mut waiting: Vec<(Duration, u64)> = Vec::new();
        let mut unflushed = 0;
        let mut number = 0;
        let mut opened = self.clock.monotonic();
        if self.transaction.is_some() {
            producer.begin_transaction()?;
        }
        while number < records {
            let stride = STRIDE.min(records - number).min(self.per_flush - unflushed);
            let mut now = self.clock.monotonic();
            if let Some(due) = self.intended(number) {
                if due > now {
                    // Idle: acknowledge what is there rather than let it wait for a full batch.
                    if unflushed > 0 {
                        self.flush(producer, &mut waiting)?;
                        unflushed = 0;
                        after_flush(self)?;
                    }
                    now = self.clock.monotonic();
                    if due > now {
                        self.clock.sleep(due - now);
                    }
                }
                now = due;
            }
            for _ in 0..stride {
                producer.append(topic, None, None, None, Some(values.get(number)), &[])?;
                number += 1;
            }
            waiting.push((now, stride));
            unflushed += stride;
            if unflushed == self.per_flush || number == records {
                self.flush(producer, &mut waiting)?;
                unflushed = 0;
                after_flush(self)?;
                if interrupt.is_set() {
                    break;
                }
                if self.transaction.is_some_and(|length| self.end - opened >= length) {
                    producer.commit_transaction()?;
                    producer.begin_transaction()?;
                    opened = self.clock.monotonic();
                }
            }
        }
        if self.transaction.is_some() {
            producer.commit_transaction()?;
        }
        Ok(())
    }

    fn flush(&mut self, producer: &mut Producer, waiting: &mut Vec<(Duration, u64)>) -> Result<(), CliError> {
        producer.flush()?;
        self.end = self.clock.monotonic();
        for (since, records) in waiting.drain(..) {
            let latency = self.end.saturating_sub(since);
            self.latency.record(latency, records);
            self.recent.record(latency, records);
            self.written += records;
        }
        Ok(())
    }
}

/// When the last progress line was, since the start.
#[derive(Default)]
struct Window {
    last: Duration,
}

impl Window {
    fn report_when_due(
        &mut self,
        run: &mut Run<'_>,
        interval: Duration,
        record_size: usize,
        out: &mut Out,
    ) -> Result<(), CliError> {
        let elapsed = run.elapsed();
        if elapsed - self.last < interval {
            return Ok(());
        }
        let seconds = (elapsed - self.last).as_secs_f64();
        let rate = run.recent.count() as f64 / seconds;
        if out.format() == Format::Table {
            out.line(&format!(
                "{} records sent, {rate:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
                run.recent.count(),
                rate * record_size as f64 / MEGABYTE,
                run.recent.mean_ms(),
                run.recent.max_ms()
            ))?;
            out.flush()?;
        }
        run.recent.clear();
        self.last = elapsed;
        Ok(())
    }
}
