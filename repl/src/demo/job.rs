//! The work of the demo: statements, connectors and queries, each shown as it happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use millstream_connect::{ConnectorConfig, ConnectorHandle, Worker, WorkerConfig};
use millstream_log::{ConsumerConfig, Log};
use millstream_sql::ast::Statement;
use millstream_sql::parser::parse;
use millstream_sql::{Outcome, PushQuery, ResultSet};

use super::stage::Stage;
use super::thousands;
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
const WATCH: &str =
    "SELECT airline, flight, origin, dest, delay FROM late_departures WHERE delay >= 600 EMIT CHANGES;";
/// A pull query of a whole table.
const CARRIERS: &str =
    "SELECT airline, departures, ROUND(average_delay, 1) AS average_delay, worst_delay FROM carriers;";
/// A pull query of one key and a range of windows: the afternoon of a snow storm.
const STORM: &str = "\
SELECT origin, FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd HH:mm') AS hour,
       departures, ROUND(average_delay, 1) AS average_delay, worst_delay
FROM delays_per_hour
WHERE origin = 'LGA' AND WINDOWSTART >= '2013-03-08T16:00:00' AND WINDOWSTART < '2013-03-08T21:00:00';";
/// What the totals are made of.
const WINDOWS: &str = "SELECT origin, departures FROM delays_per_hour;";

/// How long a wait for rows may last before the bar is drawn and Ctrl-C is looked at.
const WAIT: Duration = Duration::from_millis(25);

/// What the run ended with. All but `loaded_now` are the same for every run over the same file, however often it was
/// killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Flights that this run read from the file; the others came from an interrupted one.
    pub(super) loaded_now: u64,
}

/// An open engine with a worker beside it.
pub(super) struct Job {
    session: Session,
    worker: Worker,
    input: PathBuf,
    sink: PathBuf,
}

impl Job {
    /// Opens the data directory; queries of an interrupted run go on.
    pub(super) fn open(global: &Global, input: &Path) -> Result<Self, CliError> {
        let session = Session::open(global)?;
        let worker = Worker::new(session.log().clone(), WorkerConfig::default());
        Ok(Self {
            session,
            worker,
            input: input.to_owned(),
            sink: global.data_dir.join("late-departures.jsonl"),
        })
    }

    /// Runs everything and closes the directory.
    pub(super) fn run(mut self, stage: &mut Stage<'_>, interrupt: &Interrupt) -> Result<Totals, CliError> {
        self.define(stage)?;

        stage.say("airlines: file source to table")?;
        let airlines = self.worker.run_to_end(self.source(AIRLINES_SOURCE)?)?;
        // A flight is joined with the table as it is when the flight comes.
        while !self.session.engine().wait_caught_up(WAIT)? {
            interrupt.check()?;
        }
        stage.note(&format!("{} airlines", airlines.records))?;

        stage.say("flights: file source, joined and aggregated as they come, under a push query:")?;
        stage.statement(WATCH)?;
        let watch = self.watch()?;
        let sink = self.worker.start(self.sink_config()?)?;
        let flights = self.worker.start(self.source(FLIGHTS_SOURCE)?)?;
        let loaded_now = self.follow(&flights, watch, stage, interrupt)?;
        // Once more to its end: what came after its last look.
        sink.stop();
        sink.wait()?;
        self.worker.run_to_end(self.sink_config()?)?;
        let sink_lines = count_lines(&self.sink)?;
        stage.say(&format!(
            "file sink: {} late departures in {}",
            thousands(sink_lines),
            self.sink.display()
        ))?;

        stage.say("the worst carriers, with a pull query:")?;
        stage.statement(CARRIERS)?;
        let carriers = self.ask(CARRIERS)?;
        stage.grid(&worst_first(&carriers, 5))?;
        stage.say("one airport in a snow storm, hour by hour, with a pull query:")?;
        stage.statement(STORM)?;
        let storm = self.ask(STORM)?;
        stage.grid(&grid(&storm, storm.rows()))?;

        let windows = self.ask(WINDOWS)?;
        let totals = Totals {
            flights: count_records(self.session.log(), "flights")?,
            departures: sum(&windows, 1),
            windows: windows.rows() as u64,
            airlines: carriers.rows() as u64,
            sink_lines,
            loaded_now,
        };
        drop(self.worker);
        self.session.close()?;
        Ok(totals)
    }

    /// Runs the statements, without those that an interrupted run has left behind.
    fn define(&mut self, stage: &mut Stage<'_>) -> Result<(), CliError> {
        let statements = parse(STATEMENTS)?;
        let known = self.session.names().sources;
        let defines_known = |statement: &Statement| match statement {
            Statement::CreateSource(create) => known.contains_key(&create.name.name),
            Statement::CreateAs(create) => known.contains_key(&create.name.name),
            _ => false,
        };
        let (earlier, new): (Vec<_>, Vec<_>) =
            statements.into_iter().partition(|statement| defines_known(&statement.node));
        if !earlier.is_empty() {
            stage.say(&format!(
                "{} streams and tables with their queries are there and go on",
                earlier.len()
            ))?;
        }
        if new.iter().any(|statement| !matches!(statement.node, Statement::Set(_))) {
            stage.say("streams, tables and the queries that fill them:")?;
        }
        for statement in new {
            stage.statement(&statement.text)?;
            self.session.execute(&statement.text)?;
        }
        Ok(())
    }

    fn watch(&mut self) -> Result<PushQuery, CliError> {
        match self.session.execute(WATCH)?.pop() {
            Some(Outcome::Push(query)) => Ok(*query),
            _ => Err(CliError::Failed("the push query of the demo returned something else".to_owned())),
        }
    }

    fn ask(&mut self, query: &str) -> Result<ResultSet, CliError> {
        match self.session.execute(query)?.pop() {
            Some(Outcome::Table(result)) => Ok(result),
            _ => Err(CliError::Failed("a pull query of the demo returned something else".to_owned())),
        }
    }

    /// Shows the rows of the push query and a bar, until the file is read, all queries have caught up, and the push query
    /// has seen everything. Returns the number of flights that were read.
    fn follow(
        &self,
        flights: &ConnectorHandle,
        mut watch: PushQuery,
        stage: &mut Stage<'_>,
        interrupt: &Interrupt,
    ) -> Result<u64, CliError> {
        let mut printer = RowPrinter::new(headings(watch.schema()));
        stage.start_bar();
        let mut caught_up = false;
        loop {
            interrupt.check()?;
            if let Some(changes) = watch.next(WAIT)? {
                stage.live_rows(&mut printer, &rows(&changes.rows))?;
            } else if caught_up && is_drained(&watch)? {
                break;
            }
            let progress = flights.progress();
            let joined = self
                .session
                .engine()
                .queries()
                .iter()
                .find(|query| query.sink == "DEPARTURES")
                .map_or(0, |query| query.records_in);
            stage.move_bar(progress.bytes_done, progress.bytes_total, progress.records, joined);
            if !caught_up && flights.is_finished() {
                // Only now is there an end to catch up with.
                flights.wait()?;
                caught_up = self.session.engine().wait_caught_up(WAIT)?;
            }
        }
        stage.finish_bar();
        watch.stop();
        Ok(flights.wait()?.records)
    }

    /// The config of a source, with its file in the input directory.
    fn source(&self, json: &str) -> Result<ConnectorConfig, CliError> {
        let mut config = ConnectorConfig::from_json(json)?;
        let file = config
            .get("file")
            .and_then(|file| Path::new(file).file_name())
            .expect("the examples name a file");
        let file = self.input.join(file).to_string_lossy().into_owned();
        config.set("file", file);
        Ok(config)
    }

    fn sink_config(&self) -> Result<ConnectorConfig, CliError> {
        let mut config = ConnectorConfig::from_json(SINK)?;
        config.set("file", self.sink.to_string_lossy());
        Ok(config)
    }
}

fn is_drained(watch: &PushQuery) -> Result<bool, CliError> {
    let (read, end) = watch.progress()?;
    Ok(read >= end)
}

/// The first rows of a result.
fn grid(result: &ResultSet, rows_max: usize) -> Grid {
    let mut grid = Grid::new(headings(&result.schema));
    result.batches.iter().flat_map(rows).take(rows_max).for_each(|row| grid.push(row));
    grid
}

/// The rows with the largest numbers in the third column.
fn worst_first(carriers: &ResultSet, rows_max: usize) -> Grid {
    let delays = carriers.batches.iter().flat_map(|batch| {
        let delays = batch.column(2).as_primitive::<Float64Type>();
        delays.iter().map(|delay| delay.unwrap_or(f64::MIN)).collect::<Vec<_>>()
    });
    let mut sorted: Vec<_> = delays.zip(carriers.batches.iter().flat_map(rows)).collect();
    sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut grid = Grid::new(headings(&carriers.schema));
    sorted.into_iter().take(rows_max).for_each(|(_, row)| grid.push(row));
    grid
}

fn sum(result: &ResultSet, column: usize) -> u64 {
    let numbers = result
        .batches
        .iter()
        .flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().iter().flatten());
    numbers.map(|number| u64::try_from(number).unwrap_or(0)).sum()
}

/// Offsets would count the marks of transactions too.
fn count_records(log: &Log, topic: &str) -> Result<u64, CliError> {
    let settings = [
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
    ];
    let mut consumer = log.consumer(ConsumerConfig::from_properties(settings)?)?;
    consumer.subscribe(&[topic])?;
    let mut count = 0;
    loop {
        let polled = consumer.poll(Duration::ZERO)?;
        if polled.is_empty() {
            return Ok(count);
        }
        let batches = polled.iter().flat_map(|records| &records.batches);
        count += batches.map(|batch| u64::from(batch.record_count())).sum::<u64>();
    }
}

fn count_lines(file: &Path) -> Result<u64, CliError> {
    let text =
        fs::read(file).map_err(|source| CliError::File { action: "read", path: file.to_owned(), source })?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}
