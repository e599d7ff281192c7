//! `millstream connect`: runs connectors of config files, and shows what ran on a data directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use millstream_connect::{
    ConnectorConfig, ConnectorHandle, OFFSETS_TOPIC, Progress, State, Worker, WorkerConfig,
};
use millstream_log::{Clock, ConsumerConfig, Log, OffsetSpec, SystemClock, TopicPartition};
use serde_json::{Map, Value};

use crate::args::{ConnectCommand, Global};
use crate::cell::Cell;
use crate::error::CliError;
use crate::housekeeping::Housekeeping;
use crate::interrupt::Interrupt;
use crate::output::{Grid, Heading, Out};

/// How often progress is drawn and Ctrl-C is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &ConnectCommand) -> Result<(), CliError> {
    match command {
        ConnectCommand::Run { files, forever } => run_connectors(global, files, *forever),
        ConnectCommand::List => with_log(global, list),
        ConnectCommand::Status { name } => with_log(global, |log, out| status(log, name.as_deref(), out)),
    }
}

fn with_log(
    global: &Global,
    show: impl FnOnce(&Log, &mut Out) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = show(&log, &mut Out::new(global.output));
    log.close()?;
    result
}

fn run_connectors(global: &Global, files: &[PathBuf], forever: bool) -> Result<(), CliError> {
    // All are read before the first one starts.
    let configs = files.iter().map(ConnectorConfig::from_file).collect::<Result<Vec<_>, _>>()?;
    let interrupt = Interrupt::install()?;
    with_log(global, |log, out| {
        let _housekeeping = Housekeeping::start(log.clone())?;
        let worker = Worker::new(log.clone(), WorkerConfig::default());
        for config in &configs {
            worker.validate(config)?;
        }
        let mut grid = Grid::new(vec![
            Heading::text("connector"),
            Heading::text("type"),
            Heading::number("records"),
            Heading::number("skipped"),
        ]);
        for (name, progress) in move_everything(&worker, configs, forever, &interrupt)? {
            let kind = if progress.lag.is_some() { "sink" } else { "source" };
            grid.push(vec![name.into(), kind.into(), progress.records.into(), progress.skipped.into()]);
        }
        out.grid(&grid)?;
        interrupt.check()
    })
}

/// Sources run to their end side by side, then sinks write what is there. With `forever` the sinks run beside the
/// sources, and nothing ends before Ctrl-C.
fn move_everything(
    worker: &Worker,
    configs: Vec<ConnectorConfig>,
    forever: bool,
    interrupt: &Interrupt,
) -> Result<Vec<(String, Progress)>, CliError> {
    let (sinks, sources): (Vec<_>, Vec<_>) = configs.into_iter().partition(is_sink);
    let (together, later) = if forever { ([sources, sinks].concat(), Vec::new()) } else { (sources, sinks) };
    let running = together.into_iter().map(|config| worker.start(config)).collect::<Result<Vec<_>, _>>()?;
    let mut moved = watch(&running, forever, interrupt)?;
    for config in later {
        if interrupt.is_set() {
            break;
        }
        let name = config.name().to_owned();
        moved.push((name, worker.run_to_end(config)?));
    }
    Ok(moved)
}

/// Draws bars until all have ended, or with `forever` until Ctrl-C, and stops those that still run. The first that fails
/// ends all.
fn watch(
    running: &[ConnectorHandle],
    forever: bool,
    interrupt: &Interrupt,
) -> Result<Vec<(String, Progress)>, CliError> {
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template(
        "{prefix:24} [{bar:30}] {bytes}/{total_bytes}  {msg} records  {elapsed}",
    )
    .expect("the template is a constant")
    .progress_chars("━╸ ");
    let add = |handle: &ConnectorHandle| {
        bars.add(ProgressBar::no_length().with_style(style.clone()).with_prefix(handle.name().to_owned()))
    };
    let drawn: Vec<ProgressBar> = running.iter().map(add).collect();
    let failed = || running.iter().any(|handle| matches!(handle.status().state, State::Failed(_)));
    while !interrupt.is_set() && !failed() && (forever || running.iter().any(|handle| !handle.is_finished()))
    {
        for (handle, bar) in running.iter().zip(&drawn) {
            let progress = handle.progress();
            if let Some(total) = progress.bytes_total {
                bar.set_length(total);
                bar.set_position(progress.bytes_done);
            }
            bar.set_message(progress.records.to_string());
        }
        // Returns at once when the one that is waited for ends, so the last is the one to wait for.
        match running.iter().rfind(|handle| !handle.is_finished()) {
            Some(handle) => drop(handle.wait_for(LOOK)),
            None => SystemClock::new().sleep(LOOK),
        }
    }
    drawn.iter().for_each(ProgressBar::finish_and_clear);
    running.iter().for_each(ConnectorHandle::stop);
    running.iter().map(|handle| Ok((handle.name().to_owned(), handle.wait()?))).collect()
}

fn list(log: &Log, out: &mut Out) -> Result<(), CliError> {
    let mut grid = Grid::new(["connector", "type", "class", "topics"].map(Heading::text).to_vec());
    for config in stored(log)? {
        grid.push(description(&config));
    }
    out.grid(&grid)
}

/// Where the connectors will go on: no connector runs while this process has the directory.
fn status(log: &Log, name: Option<&str>, out: &mut Out) -> Result<(), CliError> {
    let mut configs = stored(log)?;
    if let Some(name) = name {
        configs.retain(|config| config.name() == name);
        if configs.is_empty() {
            return Err(CliError::Failed(format!(
                "unknown connector {name}: `connect list` shows the known ones"
            )));
        }
    }
    let source_offsets = source_offsets(log)?;
    let columns = ["connector", "type", "class", "topics", "position"].map(Heading::text).to_vec();
    let mut grid = Grid::new(columns);
    for config in configs {
        let position = if is_sink(&config) {
            sink_position(log, &config)?
        } else {
            source_offsets.get(config.name()).cloned()
        };
        let mut row = description(&config);
        row.push(position.map_or(Cell::Null, Cell::Text));
        grid.push(row);
    }
    out.grid(&grid)
}

fn stored(log: &Log) -> Result<Vec<ConnectorConfig>, CliError> {
    Ok(Worker::new(log.clone(), WorkerConfig::default()).connectors()?)
}

fn is_sink(config: &ConnectorConfig) -> bool {
    config.get("topics").is_some()
}

fn description(config: &ConnectorConfig) -> Vec<Cell> {
    let kind = if is_sink(config) { "sink" } else { "source" };
    let setting = |key: &str| config.get(key).map_or(Cell::Null, Cell::from);
    let topics = if is_sink(config) { setting("topics") } else { setting("topic") };
    vec![config.name().into(), kind.into(), setting("connector.class"), topics]
}

/// The last source offset of each connector, as stored.
fn source_offsets(log: &Log) -> Result<BTreeMap<String, String>, CliError> {
    let mut offsets = BTreeMap::new();
    if log.describe_topic(OFFSETS_TOPIC).is_err() {
        return Ok(offsets);
    }
    let config = ConsumerConfig::from_properties([
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
    ])?;
    let mut consumer = log.consumer(config)?;
    let partition = TopicPartition::new(OFFSETS_TOPIC, 0);
    consumer.assign(vec![partition.clone()])?;
    consumer.seek_to(&partition, OffsetSpec::Earliest)?;
    loop {
        let before = consumer.position(&partition);
        for records in consumer.poll(Duration::ZERO)? {
            for record in records.records() {
                let record = record?;
                // `["<connector>", {source partition}]`
                let key: Option<(String, Value)> =
                    record.key.and_then(|key| serde_json::from_slice(key).ok());
                let value: Option<Map<String, Value>> =
                    record.value.and_then(|value| serde_json::from_slice(value).ok());
                if let (Some((name, _)), Some(value)) = (key, value) {
                    offsets.insert(name, scalars(&value));
                }
            }
        }
        if consumer.position(&partition) == before {
            return Ok(offsets);
        }
    }
}

/// The numbers and texts of a source offset; its lists are for the connector itself.
fn scalars(offset: &Map<String, Value>) -> String {
    let shown = offset.iter().filter(|(_, value)| !value.is_array() && !value.is_object());
    shown.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// Committed offsets of a sink's group and how many records are left.
fn sink_position(log: &Log, config: &ConnectorConfig) -> Result<Option<String>, CliError> {
    let mut parts = Vec::new();
    for (partition, committed) in log.committed_offsets(&format!("connect-{}", config.name())) {
        let end = log.offsets(&partition, OffsetSpec::Latest)?;
        parts.push(format!("{partition} at {} of {end}", committed.offset));
    }
    parts.sort();
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}
