//! The engine on a data directory, and how the outcomes of statements are printed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use millstream_log::Log;
use millstream_sql::ast::Statement;
use millstream_sql::parser::{Piece, parse_piece, split};
use millstream_sql::{Completions, Engine, Outcome, PrintQuery, PushQuery, PushRows, SqlConfig, SqlError};

use crate::args::Global;
use crate::cell::{Cell, heading};
use crate::connectors::Runner;
use crate::error::CliError;
use crate::housekeeping::Housekeeping;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out, RowPrinter};
use crate::schemas;
use crate::shell::names::Names;

/// How long a wait for rows may last before Ctrl-C is looked at.
const WAIT: Duration = Duration::from_millis(50);

/// How deep scripts may run scripts.
const SCRIPTS_MAX: usize = 16;

/// Whether a script waits for the queries before it reads what they lead to.
enum Settling {
    /// Someone watches.
    Never,
    /// Nobody does; this says whether a statement gave the queries something to do.
    Always { changed: bool },
}

/// An open data directory with its queries running, and the properties that SET has given.
pub(crate) struct Session {
    log: Log,
    engine: Engine,
    sql: millstream_sql::Session,
    housekeeping: Housekeeping,
    connectors: Arc<Runner>,
}

impl Session {
    /// Opens the log and the engine; queries of earlier runs go on.
    pub(crate) fn open(global: &Global) -> Result<Self, CliError> {
        let log = Log::open(global.log_dir())?;
        Self::on(log, global)
    }

    /// Opens the engine on a log that is open.
    pub(crate) fn on(log: Log, global: &Global) -> Result<Self, CliError> {
        let connectors = Arc::new(Runner::new(log.clone()));
        let schemas = schemas::of_engine(global, &log)?;
        let config =
            SqlConfig::new(global.state_dir()).connectors(connectors.clone()).schema_registry(schemas);
        let engine = Engine::open(log.clone(), config)?;
        let housekeeping = Housekeeping::start(log.clone())?;
        Ok(Self { log, engine, sql: millstream_sql::Session::default(), housekeeping, connectors })
    }

    /// The log below the engine.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Lets the connectors of earlier runs go on, for a program that stays up.
    pub(crate) fn resume_connectors(&self) -> Result<(), CliError> {
        Ok(self.connectors.resume()?)
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Sets a property as SET would.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), CliError> {
        let text = format!("SET '{}' = '{}';", name.replace('\'', "''"), value.replace('\'', "''"));
        self.engine.execute(&mut self.sql, &text).map_err(|error| CliError::Usage(error.to_string()))?;
        Ok(())
    }

    /// Runs the statements of `text` in order and hands out what each returns. The first that fails ends the rest.
    pub(crate) fn execute(&mut self, text: &str) -> Result<Vec<Outcome>, CliError> {
        self.engine.execute(&mut self.sql, text).map_err(|error| statement_error(&error, text))
    }

    /// Runs the statements of a script in order and prints what each returns, before the next one runs. A push query
    /// prints until it ends or Ctrl-C. Nothing runs when one of them is no statement.
    pub(crate) fn run(&mut self, script: &str, out: &mut Out, interrupt: &Interrupt) -> Result<(), CliError> {
        self.run_pieces(script, &mut Settling::Never, out, interrupt, 0)?;
        out.flush()
    }

    /// Runs a script piece by piece, and the scripts that it runs.
    fn run_pieces(
        &mut self,
        script: &str,
        settling: &mut Settling,
        out: &mut Out,
        interrupt: &Interrupt,
        depth: usize,
    ) -> Result<(), CliError> {
        let refused = |error| statement_error(&error, script);
        let pieces = split(script).map_err(refused)?;
        for piece in &pieces {
            // What variables stand for is not known yet.
            if piece.run_script().is_none() && !piece.text.contains("${") {
                parse_piece(piece).map_err(refused)?;
            }
        }
        for piece in &pieces {
            match piece.run_script() {
                None => self.run_one(piece, script, settling, out, interrupt)?,
                Some(_) if depth == SCRIPTS_MAX => {
                    let message = format!("scripts run scripts more than {SCRIPTS_MAX} deep");
                    return Err(CliError::Failed(message));
                }
                Some(file) => {
                    let text = fs::read_to_string(&file).map_err(|source| CliError::File {
                        action: "read",
                        path: PathBuf::from(&file),
                        source,
                    })?;
                    self.run_pieces(&text, settling, out, interrupt, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// As [`Self::run`] for a script that nobody watches: a pull query sees what the statements before it have led to,
    /// and so does the next program, for the queries catch up first.
    pub(crate) fn run_settled(
        &mut self,
        script: &str,
        out: &mut Out,
        interrupt: &Interrupt,
    ) -> Result<(), CliError> {
        let mut settling = Settling::Always { changed: false };
        self.run_pieces(script, &mut settling, out, interrupt, 0)?;
        out.flush()?;
        match settling {
            Settling::Always { changed: true } => self.settle(interrupt),
            _ => Ok(()),
        }
    }

    fn run_one(
        &mut self,
        piece: &Piece,
        script: &str,
        settling: &mut Settling,
        out: &mut Out,
        interrupt: &Interrupt,
    ) -> Result<(), CliError> {
        if let Settling::Always { changed } = settling {
            let text = self.sql.substitute(piece).map_err(|error| statement_error(&error, script))?;
            let statements = parse_piece(&Piece { text, start: piece.start });
            for statement in statements.map_err(|error| statement_error(&error, script))? {
                match &statement.node {
                    Statement::Select(query) if query.emit.is_none() => self.settle(interrupt)?,
                    Statement::AtRest(_) => self.settle(interrupt)?,
                    Statement::CreateAs(_) | Statement::InsertValues(_) | Statement::InsertSelect(_) => {
                        *changed = true;
                    }
                    _ => {}
                }
            }
        }
        // Blanks put the statement where it stands in the script, so that errors name the right line.
        let lines = "\n".repeat(piece.start.line.saturating_sub(1) as usize);
        let columns = " ".repeat(piece.start.column.saturating_sub(1) as usize);
        let outcomes = self.engine.execute(&mut self.sql, &format!("{lines}{columns}{}", piece.text));
        for outcome in outcomes.map_err(|error| statement_error(&error, script))? {
            print(outcome, out, interrupt)?;
        }
        interrupt.check()
    }

    /// Waits until the persistent queries have processed everything. One that has failed is said, not waited for.
    fn settle(&self, interrupt: &Interrupt) -> Result<(), CliError> {
        loop {
            match self.engine.wait_caught_up(WAIT) {
                Ok(true) => return Ok(()),
                Ok(false) => interrupt.check()?,
                Err(error) => {
                    tracing::warn!("{error}");
                    return Ok(());
                }
            }
        }
    }

    /// The names that can be completed now.
    pub(crate) fn names(&self) -> Names {
        let Completions { sources, topics, functions, queries: _ } = self.engine.completions();
        Names { functions, topics, sources: sources.into_iter().collect() }
    }

    /// Commits what is processed and closes the log. Queries go on when the directory is opened again.
    pub(crate) fn close(self) -> Result<(), CliError> {
        self.engine.close()?;
        drop(self.housekeeping);
        self.log.close()?;
        Ok(())
    }
}

fn print(outcome: Outcome, out: &mut Out, interrupt: &Interrupt) -> Result<(), CliError> {
    match outcome {
        // Scripts that read rows are not given sentences between them.
        Outcome::Message(text) if out.format() == Format::Table => out.line(&text),
        Outcome::Message(text) => {
            tracing::info!("{text}");
            Ok(())
        }
        Outcome::Table(result) => {
            let mut grid = Grid::new(headings(&result.schema));
            for batch in &result.batches {
                rows(batch).into_iter().for_each(|row| grid.push(row));
            }
            out.grid(&grid)
        }
        Outcome::Push(query) => push(*query, out, interrupt),
        Outcome::Print(query) => print_topic(*query, out, interrupt),
    }
}

fn print_topic(mut query: PrintQuery, out: &mut Out, interrupt: &Interrupt) -> Result<(), CliError> {
    while !query.finished() {
        interrupt.check()?;
        for line in query.next(WAIT)? {
            out.line(&line)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn push(mut query: PushQuery, out: &mut Out, interrupt: &Interrupt) -> Result<(), CliError> {
    let mut printer = RowPrinter::new(headings(query.schema()));
    let result = loop {
        if interrupt.is_set() {
            break Err(CliError::Interrupted);
        }
        match query.next(WAIT) {
            Ok(Some(changes)) => {
                if let Err(error) = printer.print(out, &changed_rows(&changes, out.format())) {
                    break Err(error);
                }
            }
            Ok(None) if query.finished() => break Ok(()),
            Ok(None) => {}
            Err(error) => break Err(error.into()),
        }
    };
    query.stop();
    result
}

/// A failed statement as a user error, with its place drawn into the text.
fn statement_error(error: &SqlError, text: &str) -> CliError {
    CliError::Statement(error.render(text))
}

/// The rows of a push query as cells. In tables, deleted rows say so.
fn changed_rows(changes: &PushRows, format: Format) -> Vec<Vec<Cell>> {
    let mut cells = rows(&changes.rows);
    if let Some(deleted) = changes.deleted.as_ref().filter(|_| format == Format::Table) {
        for row in (0..cells.len()).filter(|row| deleted.value(*row)) {
            let empty = cells[row].iter_mut().filter(|cell| matches!(cell, Cell::Null));
            empty.for_each(|cell| *cell = Cell::Text("<TOMBSTONE>".to_owned()));
        }
    }
    cells
}

/// The rows of a batch as cells.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| Cell::from_array(column, row)).collect())
        .collect()
}

/// The headings of a batch.
pub(crate) fn headings(schema: &Schema) -> Vec<Heading> {
    schema.fields().iter().map(|field| heading(field.name(), field.data_type())).collect()
}
