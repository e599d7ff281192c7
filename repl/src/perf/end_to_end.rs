//! `millstream perf end-to-end`: from handing a record over to having it back, one record at a time.

use std::time::Duration;

use millstream_log::{ConsumerConfig, Log, NewTopic, ProducerConfig};

use super::latency::Latencies;
use crate::args::Global;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out};

/// How long a record may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends records of `size` bytes, at least 8, and prints the latencies. The topic is created when missing.
pub(super) fn run(
    global: &Global,
    topic: &str,
    records: u64,
    size: usize,
    acks: &str,
) -> Result<(), CliError> {
    let producer = ProducerConfig::from_properties([("acks", acks), ("linger.ms", "0")])?;
    let consumer =
        [("enable.auto.commit", "false"), ("auto.offset.reset", "latest"), ("fetch.max.wait.ms", "0")];
    let consumer = ConsumerConfig::from_properties(consumer)?;
    let interrupt = Interrupt::install()?;
    let log = Log::open(global.log_dir())?;
    let result =
        measure(&log, topic, records, size, producer, consumer, &mut Out::new(global.output), &interrupt);
    log.close()?;
    result
}

#[expect(clippy::too_many_arguments, reason = "called once, with what `run` opened")]
fn measure(
    log: &Log,
    name: &str,
    records: u64,
    size: usize,
    producer: ProducerConfig,
    consumer: ConsumerConfig,
    out: &mut Out,
    interrupt: &Interrupt,
) -> Result<(), CliError> {
    if !log.topics().iter().any(|topic| &*topic.name == name) {
        log.create_topic(NewTopic::new(name))?;
    }
    let mut consumer = log.consumer(consumer)?;
    consumer.subscribe(&[name])?;
    let mut producer = log.producer(producer)?;
    let topic = producer.topic(name)?;
    let clock = log.clock();
    let mut latencies = Latencies::new();
    let mut value = vec![b'x'; size];
    for number in 0..records {
        if interrupt.is_set() {
            break;
        }
        value[..8].copy_from_slice(&number.to_be_bytes());
        let start = clock.monotonic();
        producer.append(topic, None, None, None, Some(&value), &[])?;
        producer.flush()?;
        let mut is_back = false;
        while !is_back {
            for polled in consumer.poll(PATIENCE)? {
                for record in polled.records() {
                    is_back |= record?.value == Some(value.as_slice());
                }
            }
            if !is_back && clock.monotonic() - start > PATIENCE {
                return Err(CliError::Failed(format!("record {number} did not come back within a minute")));
            }
        }
        latencies.record(clock.monotonic() - start, 1);
        if out.format() == Format::Table && (number + 1) % 1000 == 0 {
            out.line(&format!("{}\t{:.4}", number + 1, latencies.mean_ms()))?;
            out.flush()?;
        }
    }
    print(&latencies, out)?;
    interrupt.check()
}

fn print(latencies: &Latencies, out: &mut Out) -> Result<(), CliError> {
    let [median, p99, p999, p9999] = [0.5, 0.99, 0.999, 0.9999].map(|share| latencies.quantile_ms(share));
    if out.format() == Format::Table {
        out.line(&format!("Avg latency: {:.4} ms", latencies.mean_ms()))?;
        out.line(&format!(
            "Percentiles: 50th = {median:.3}, 99th = {p99:.3}, 99.9th = {p999:.3}, 99.99th = {p9999:.3}"
        ))?;
        return out.flush();
    }
    let names = ["records", "avg_ms", "p50_ms", "p99_ms", "p99_9_ms", "p99_99_ms", "max_ms"];
    let mut grid = Grid::new(names.into_iter().map(Heading::number).collect());
    let figures = [latencies.mean_ms(), median, p99, p999, p9999, latencies.max_ms()];
    let mut row = vec![latencies.count().into()];
    row.extend(figures.map(super::figure));
    grid.push(row);
    out.grid(&grid)
}
