//! The command line: every command, its options and their defaults.

mod clients;
mod groups;
mod schemas;
mod topics;
mod transactions;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

pub(crate) use self::clients::{ConsumeArgs, Formatter, PerfCommand, ProduceArgs};
pub(crate) use self::groups::{ApplicationResetArgs, GroupsCommand, ResetArgs, ResetTarget, StreamsCommand};
pub(crate) use self::schemas::{
    ConfigCommand, ModeCommand, SchemaArgs, SchemasArgs, SchemasCommand, ScopeArgs, SettingsArgs,
};
pub(crate) use self::topics::{ConfigsCommand, OffsetsArgs, RepairArgs, TopicsCommand};
pub(crate) use self::transactions::TransactionsCommand;
use crate::dump_log::DumpLogArgs;
use crate::output::Format;
use crate::simulate::SimArgs;

/// Event streams in one program: a log, stream processing, SQL over it, and connectors.
///
/// Without a command it opens the SQL shell on the data directory.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n\
     Data goes to standard output, everything else to standard error.";

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Directory of the log, the state and the statements; created when missing
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "millstream-data",
        env = "MILLSTREAM_DATA_DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Address of the schema registry that SQL uses instead of the one in the data directory
    #[arg(long, global = true, value_name = "URL", env = "MILLSTREAM_SCHEMA_REGISTRY_URL")]
    pub(crate) schema_registry: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Least severe messages to print; RUST_LOG refines it per module
    #[arg(long, global = true, value_name = "LEVEL", env = "MILLSTREAM_LOG_LEVEL", value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
}

impl Global {
    /// The same options on another directory.
    pub(crate) fn on(&self, data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), ..self.clone() }
    }

    /// Where the log keeps its partitions.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// Where queries keep their state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.data_dir.join("state")
    }

    /// The level asked for, or none when the default and `RUST_LOG` decide.
    pub(crate) fn log_level(&self) -> Option<LevelFilter> {
        self.log_level.as_deref().map(|level| level.parse().expect("clap admits only level names"))
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run SQL statements and print their results
    Sql(SqlArgs),
    /// Run the tests of SQL scripts: statements, what must come out, and what must be refused
    Test(TestArgs),
    /// List, create, describe, alter and delete topics, their offsets and records
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show and change the settings of topics
    #[command(subcommand)]
    Configs(ConfigsCommand),
    /// Write lines of standard input or of files to a topic
    Produce(ProduceArgs),
    /// Print the records of a topic
    Consume(ConsumeArgs),
    /// Show consumer groups, move their offsets, delete them
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Let applications of the streams DSL begin anew
    #[command(subcommand)]
    Streams(StreamsCommand),
    /// Show damage in the log, and give it up so that its partitions take records again
    Repair(RepairArgs),
    /// Show and end transactions
    #[command(subcommand)]
    Transactions(TransactionsCommand),
    /// Show, register, check and delete schemas, and serve their registry
    Schemas(SchemasArgs),
    /// Run connectors and show their state
    #[command(subcommand)]
    Connect(ConnectCommand),
    /// Print what the files of a log hold, without opening the log
    DumpLog(DumpLogArgs),
    /// Measure the embedded log
    #[command(subcommand)]
    Perf(PerfCommand),
    /// Run the log on a simulated disk that crashes and fails, by seed
    Sim(SimArgs),
    /// Run the flight-delays job end to end
    Demo(DemoArgs),
}

/// `millstream sql`
#[derive(Args, Debug)]
pub(crate) struct SqlArgs {
    /// Statements, each ended by a semicolon
    #[arg(short, long, value_name = "SQL", conflicts_with = "file", required_unless_present = "file")]
    pub(crate) execute: Option<String>,
    /// File of statements; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Session property, as SET would give it
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
}

/// `millstream test`
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Scripts with `--@test: name` lines, ASSERT statements and `--@expected.message` lines
    #[arg(required = true, value_name = "FILE.sql")]
    pub(crate) files: Vec<PathBuf>,
    /// Only show the tests with this in their names
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Property of all statements, as SET would give it
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
}

/// A topic, as an argument or as `--topic`.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct TopicName {
    /// Name of the topic
    #[arg(value_name = "TOPIC")]
    name: Option<String>,
    /// Name of the topic, as the Kafka tools spell it
    #[arg(long = "topic", value_name = "TOPIC")]
    option: Option<String>,
}

impl TopicName {
    /// The name that was given.
    pub(crate) fn get(&self) -> &str {
        self.name.as_deref().or(self.option.as_deref()).expect("clap requires one of the two")
    }
}

/// A topic that may be left out.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct OptionalTopicName {
    /// Name of the topic; without one, all
    #[arg(value_name = "TOPIC")]
    name: Option<String>,
    /// Name of the topic, as the Kafka tools spell it
    #[arg(long = "topic", value_name = "TOPIC")]
    option: Option<String>,
}

impl OptionalTopicName {
    /// The name, when one was given.
    pub(crate) fn get(&self) -> Option<&str> {
        self.name.as_deref().or(self.option.as_deref())
    }
}

/// `millstream connect`
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectCommand {
    /// Run the connectors of these configs until their sources end and their sinks have written everything, or Ctrl-C
    Run {
        /// JSON configs with Kafka Connect's names
        #[arg(required = true, value_name = "FILE.json")]
        files: Vec<PathBuf>,
        /// Go on when the sources have ended
        #[arg(long)]
        forever: bool,
    },
    /// List the connectors that ran on this data directory
    List,
    /// Show how far the connectors came
    Status {
        /// Name of one connector; without one, all
        name: Option<String>,
    },
}

/// `millstream demo`
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Work in this directory and leave it for later commands; without it `millstream-demo`, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Directory of the input files
    #[arg(long, value_name = "DIR", env = "MILLSTREAM_DEMO_INPUT")]
    pub(crate) input: Option<PathBuf>,
}

/// Splits `name=value`; the value may hold further `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(pair("key.separator=="), Ok(("key.separator".to_owned(), "=".to_owned())));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("plain").is_err());
        assert!(pair("=v").is_err());
    }
}
