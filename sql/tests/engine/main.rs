//! The engine from outside: scripts with their expected results, restarts, and messages.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod at_rest;
mod durability;
mod fuzz;
mod golden;
mod messages;
mod schemas;
mod shared_topics;

use std::{path::Path, time::Duration};

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_log::Log;
use millstream_sql::{Engine, Outcome, Session, SqlConfig, SqlError, parser};

/// How long queries may take to catch up.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine on a directory, with the session of one client.
struct Client {
    engine: Engine,
    session: Session,
}

impl Client {
    fn open(dir: &Path) -> Self {
        Self::open_with(dir, &[])
    }

    fn open_with(dir: &Path, properties: &[(&str, &str)]) -> Self {
        let log = Log::open(dir.join("log")).unwrap();
        let config = SqlConfig::new(dir.join("state"));
        let config =
            properties.iter().fold(config, |config, (name, value)| config.property(name, value).unwrap());
        Self { engine: Engine::open(log, config).unwrap(), session: Session::new() }
    }

    fn try_run(&mut self, text: &str) -> Result<Vec<Outcome>, SqlError> {
        self.engine.execute(&mut self.session, text)
    }

    fn run(&mut self, text: &str) -> Vec<Outcome> {
        self.try_run(text).unwrap_or_else(|error| panic!("{}", error.render(text)))
    }

    fn error(&mut self, text: &str) -> String {
        match self.try_run(text) {
            Ok(outcomes) => panic!("{text} gave {outcomes:?}"),
            Err(error) => error.render(text),
        }
    }

    fn settle(&self) {
        assert!(
            self.engine.wait_caught_up(PATIENCE).unwrap(),
            "queries catch up: {:#?}",
            self.engine.queries()
        );
    }

    /// What a script prints: messages, rows, errors; queries have caught up before each statement that reads.
    fn transcript(&mut self, script: &str) -> String {
        let mut lines = Vec::new();
        for statement in parser::parse(script).unwrap() {
            if statement.text.trim_start().to_uppercase().starts_with("SELECT") {
                self.settle();
            }
            match self.try_run(&statement.text) {
                Err(error) => lines.push(format!("error: {error}")),
                Ok(outcomes) => outcomes.into_iter().for_each(|outcome| print(outcome, &mut lines)),
            }
        }
        lines.join("\n")
    }

    /// The rows of one query, one line each.
    fn rows(&mut self, query: &str) -> Vec<String> {
        self.settle();
        let mut lines = Vec::new();
        self.run(query).into_iter().for_each(|outcome| print(outcome, &mut lines));
        lines
    }
}

fn print(outcome: Outcome, lines: &mut Vec<String>) {
    match outcome {
        Outcome::Message(message) => lines.push(message),
        Outcome::Table(rows) => rows.batches.iter().for_each(|batch| print_rows(batch, lines)),
        Outcome::Push(mut query) => {
            while !query.finished() {
                match query.next(PATIENCE).unwrap() {
                    Some(changes) => {
                        let first = lines.len();
                        print_rows(&changes.rows, lines);
                        let deleted = changes.deleted.iter().flatten().enumerate();
                        for (row, _) in deleted.filter(|(_, deleted)| *deleted == Some(true)) {
                            lines[first + row].push_str(" (deleted)");
                        }
                    }
                    None => panic!("push query {} has no more rows", query.id()),
                }
            }
        }
        Outcome::Print(mut query) => {
            while !query.finished() {
                lines.extend(query.next(PATIENCE).unwrap());
            }
        }
    }
}

fn print_rows(batch: &RecordBatch, lines: &mut Vec<String>) {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        lines.push(cells.join(" | "));
    }
}
