//! The command line: every command, its options and their defaults.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

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
    /// List, create, describe and delete topics
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Write lines of standard input to a topic
    Produce(ProduceArgs),
    /// Print the records of a topic
    Consume(ConsumeArgs),
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

/// `millstream topics`
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Print the names, one per line
    List {
        /// Leave out the topics that Millstream keeps for itself
        #[arg(long)]
        exclude_internal: bool,
    },
    /// Create a topic
    Create {
        #[command(flatten)]
        topic: TopicName,
        /// Number of partitions
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
        /// Accepted for scripts written for clusters; above 1 is created with 1 and a warning
        #[arg(long, default_value_t = 1)]
        replication_factor: u16,
        /// Setting of the topic
        #[arg(long = "config", value_name = "NAME=VALUE", value_parser = pair)]
        configs: Vec<(String, String)>,
        /// Succeed when the topic exists
        #[arg(long)]
        if_not_exists: bool,
    },
    /// Show partitions, offsets and settings of one topic or of all
    Describe {
        #[command(flatten)]
        topic: OptionalTopicName,
        /// Leave out the topics that Millstream keeps for itself
        #[arg(long)]
        exclude_internal: bool,
    },
    /// Delete a topic with its records
    Delete {
        #[command(flatten)]
        topic: TopicName,
        /// Succeed when the topic does not exist
        #[arg(long)]
        if_exists: bool,
    },
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

/// `millstream produce`
#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) topic: TopicName,
    /// How a line becomes a record: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error
    #[arg(long = "property", visible_alias = "reader-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// Setting of the producer
    #[arg(long = "producer-property", visible_alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) producer_properties: Vec<(String, String)>,
    /// 0, 1, -1 or all: what counts as written
    #[arg(long, value_name = "ACKS")]
    pub(crate) request_required_acks: Option<String>,
    /// Wait for each record instead of for batches
    #[arg(long)]
    pub(crate) sync: bool,
}

/// `millstream consume`
#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(crate) topic: TopicName,
    /// Read this partition only
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Start at `earliest`, `latest` or an offset
    #[arg(long, requires = "partition", value_name = "OFFSET")]
    pub(crate) offset: Option<String>,
    /// Start at the first record, unless the group has a committed offset
    #[arg(long, conflicts_with = "offset")]
    pub(crate) from_beginning: bool,
    /// Commit offsets as this group; without one nothing is committed
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub(crate) max_messages: Option<u64>,
    /// Stop when no record came for so long
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// read_uncommitted or read_committed
    #[arg(long, value_name = "LEVEL")]
    pub(crate) isolation_level: Option<String>,
    /// What to print: print.timestamp, print.partition, print.offset, print.epoch, print.headers, print.key,
    /// print.value, key.separator, line.separator, headers.separator, null.literal
    #[arg(long = "property", visible_alias = "formatter-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// Setting of the consumer
    #[arg(long = "consumer-property", visible_alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) consumer_properties: Vec<(String, String)>,
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

/// `millstream perf`
#[derive(Debug, Subcommand)]
pub(crate) enum PerfCommand {
    /// Write records as fast as asked for; reports rates and latencies
    Produce {
        #[command(flatten)]
        topic: TopicName,
        /// How many records to write
        #[arg(long, default_value_t = 1_000_000)]
        num_records: u64,
        /// Bytes of a record's value
        #[arg(long, default_value_t = 100)]
        record_size: usize,
        /// Records per second; -1 is without limit
        #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
        throughput: i64,
        /// Setting of the producer
        #[arg(long = "producer-props", visible_alias = "command-property", value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
        producer_properties: Vec<(String, String)>,
        /// Records that are written first and not counted
        #[arg(long, default_value_t = 0)]
        warmup_records: u64,
        /// Milliseconds between progress lines
        #[arg(long, default_value_t = 5000)]
        reporting_interval: u64,
    },
    /// Read a topic from its beginning; reports rates
    Consume {
        #[command(flatten)]
        topic: TopicName,
        /// How many records to read; without it, all that are there
        #[arg(long)]
        messages: Option<u64>,
        /// Commit offsets as this group
        #[arg(long)]
        group: Option<String>,
        /// Start at the end
        #[arg(long)]
        from_latest: bool,
        /// Most bytes of a fetch per partition
        #[arg(long, default_value_t = 1_048_576)]
        fetch_size: usize,
        /// Milliseconds without a record after which to stop
        #[arg(long, default_value_t = 10_000)]
        timeout: u64,
        /// Leave out the line of column names
        #[arg(long)]
        hide_header: bool,
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
