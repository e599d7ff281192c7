//! The `millstream` program: a SQL shell, admin commands and a demo over the embedded engine.
//!
//! ```text
//! args ─▶ command ─▶ sql engine, connect worker, log     (all in this process, on --data-dir)
//!            │
//!            └─▶ output: table, JSON lines or CSV         style: colours    interrupt: Ctrl-C
//! ```
//! Reading order: [`args`], then a command ([`topics`], [`produce`], [`consume`], [`sql`], [`connect`], [`schemas`], [`dump_log`],
//! [`perf`], [`demo`]), [`shell`] for the interactive part, [`output`] and [`cell`] for what is printed.
//! Not here: anything that computes; commands call the libraries and print what they return.

mod args;
mod cell;
mod compaction;
mod configs;
mod connect;
mod connectors;
mod consume;
mod demo;
mod deserializer;
mod dump_log;
mod error;
mod groups;
mod housekeeping;
mod interrupt;
mod line_reader;
mod output;
mod perf;
mod place;
mod produce;
mod properties_file;
mod property;
mod record_format;
mod repair;
mod schemas;
mod script_test;
mod session;
mod shell;
mod simulate;
mod sql;
mod streams;
mod style;
mod topics;
mod transactions;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, Global};
use crate::error::{CliError, show};
use crate::style::Colours;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; clap knows which stream each belongs to.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let colours = Colours::choose(cli.global.color);
    let usual = match cli.command {
        // Thousands of logs that fail on purpose have nothing to say.
        Some(Command::Sim(_)) => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    };
    log_to_stderr(&cli.global, usual, colours);
    match run(&cli, colours) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_quiet() {
                // Nobody is left to tell when standard error is closed too.
                let _ = writeln!(io::stderr(), "{}", show(&error, colours));
            }
            error.exit_code()
        }
    }
}

fn run(cli: &Cli, colours: Colours) -> Result<(), CliError> {
    match &cli.command {
        None => shell::run(&cli.global, colours),
        Some(Command::Sql(args)) => sql::run(&cli.global, args),
        Some(Command::Test(args)) => script_test::run(args),
        Some(Command::Topics(command)) => topics::run(&cli.global, command),
        Some(Command::Configs(command)) => configs::run(&cli.global, command),
        Some(Command::Transactions(command)) => transactions::run(&cli.global, command),
        Some(Command::Groups(command)) => groups::run(&cli.global, command),
        Some(Command::Streams(command)) => streams::run(&cli.global, command),
        Some(Command::Repair(args)) => repair::run(&cli.global, args),
        Some(Command::Produce(args)) => produce::run(&cli.global, args),
        Some(Command::Consume(args)) => consume::run(&cli.global, args),
        Some(Command::Schemas(args)) => schemas::run(&cli.global, args),
        Some(Command::Connect(command)) => connect::run(&cli.global, command),
        Some(Command::DumpLog(args)) => dump_log::run(&cli.global, args),
        Some(Command::Perf(command)) => perf::run(&cli.global, command),
        Some(Command::Sim(args)) => simulate::run(args),
        Some(Command::Demo(args)) => demo::run(&cli.global, args, colours),
    }
}

fn log_to_stderr(global: &Global, usual: LevelFilter, colours: Colours) {
    let default = global.log_level().unwrap_or(usual);
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours.stderr)
        .compact()
        .init();
}
