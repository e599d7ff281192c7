//! `millstream produce`, `consume` and `perf`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::{TopicName, pair};
use crate::deserializer::Deserializer;

/// `millstream produce`
#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) topic: TopicName,
    /// Read lines of this file in place of standard input; may be given more than once
    #[arg(long = "file", value_name = "FILE", action = ArgAction::Append)]
    pub(crate) files: Vec<PathBuf>,
    /// How a line becomes a record: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error
    #[arg(long = "property", visible_alias = "reader-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// File of such properties
    #[arg(long, value_name = "FILE")]
    pub(crate) reader_config: Option<PathBuf>,
    /// Setting of the producer
    #[arg(long = "producer-property", visible_alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) producer_properties: Vec<(String, String)>,
    /// File of settings of the producer
    #[arg(long = "producer.config", visible_alias = "command-config", value_name = "FILE")]
    pub(crate) producer_config: Option<PathBuf>,
    /// 0, 1, -1 or all: what counts as written
    #[arg(long, value_name = "ACKS", allow_hyphen_values = true)]
    pub(crate) request_required_acks: Option<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip when given without a value
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    pub(crate) compression_codec: Option<String>,
    /// Bytes at which a batch is sent
    #[arg(long, value_name = "BYTES", visible_alias = "max-partition-memory-bytes")]
    pub(crate) batch_size: Option<usize>,
    /// Milliseconds that a record may wait for others
    #[arg(long, value_name = "MS")]
    pub(crate) timeout: Option<u64>,
    /// Wait for each record instead of for batches
    #[arg(long)]
    pub(crate) sync: bool,
}

/// `millstream consume`
#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(crate) topic: ConsumedTopic,
    /// Read these partitions only, such as `0,2-4`
    #[arg(long, value_name = "LIST")]
    pub(crate) partition: Option<String>,
    /// Start at `earliest`, `latest`, an offset, `-N` for the last N, or `s@TIME` for the first record from a time on
    /// (ms since 1970, or `YYYY-MM-DDTHH:mm:SS` with `Z`, an offset, or UTC)
    #[arg(long, short, value_name = "OFFSET", allow_hyphen_values = true)]
    pub(crate) offset: Option<String>,
    /// Start at the first record, unless the group has a committed offset
    #[arg(long, conflicts_with = "offset")]
    pub(crate) from_beginning: bool,
    /// Read as a member of this group and commit its offsets; without one nothing is committed
    #[arg(long, conflicts_with_all = ["partition", "offset"])]
    pub(crate) group: Option<String>,
    /// Stop after so many records
    #[arg(long, value_name = "N", short = 'c')]
    pub(crate) max_messages: Option<u64>,
    /// Stop when no record came for so long
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// Stop at the end of what is there
    #[arg(long, short = 'e')]
    pub(crate) exit_at_end: bool,
    /// read_uncommitted or read_committed
    #[arg(long, visible_alias = "isolation", value_name = "LEVEL")]
    pub(crate) isolation_level: Option<String>,
    /// Go on behind a record that cannot be read or shown
    #[arg(long)]
    pub(crate) skip_message_on_error: bool,
    /// Show the records of the log's own topics by what they mean
    #[arg(long, value_enum, default_value_t = Formatter::Default)]
    pub(crate) formatter: Formatter,
    /// What keys are, for showing them
    #[arg(long, value_name = "TYPE", default_value = "string", value_parser = Deserializer::parse)]
    pub(crate) key_deserializer: Deserializer,
    /// What values are, for showing them
    #[arg(long, value_name = "TYPE", default_value = "string", value_parser = Deserializer::parse)]
    pub(crate) value_deserializer: Deserializer,
    /// What to print: print.timestamp, print.partition, print.offset, print.epoch, print.headers, print.key,
    /// print.value, key.separator, line.separator, headers.separator, null.literal
    #[arg(long = "property", visible_alias = "formatter-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
    /// File of such properties
    #[arg(long, value_name = "FILE")]
    pub(crate) formatter_config: Option<PathBuf>,
    /// Setting of the consumer
    #[arg(long = "consumer-property", visible_alias = "command-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) consumer_properties: Vec<(String, String)>,
    /// File of settings of the consumer
    #[arg(long = "consumer.config", visible_alias = "command-config", value_name = "FILE")]
    pub(crate) consumer_config: Option<PathBuf>,
}

/// The topics to read: one, or all whose names match.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ConsumedTopic {
    /// Name of the topic
    #[arg(value_name = "TOPIC")]
    pub(crate) name: Option<String>,
    /// Name of the topic, as the Kafka tools spell it
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) option: Option<String>,
    /// All topics whose whole names match this regular expression
    #[arg(long, value_name = "REGEX", visible_alias = "whitelist")]
    pub(crate) include: Option<String>,
}

/// How a record is understood before it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Formatter {
    /// Keys and values as they are
    Default,
    /// Records of `__consumer_offsets`
    Offsets,
    /// Records of `__transaction_state`
    TransactionLog,
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
        /// Take the values from the lines of this file in place of making them up
        #[arg(long, value_name = "FILE", conflicts_with = "record_size")]
        payload_file: Option<PathBuf>,
        /// Records per second; -1 is without limit
        #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
        throughput: i64,
        /// Setting of the producer
        #[arg(long = "producer-props", visible_alias = "command-property", value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
        producer_properties: Vec<(String, String)>,
        /// Write in transactions of this id
        #[arg(long, value_name = "ID")]
        transactional_id: Option<String>,
        /// Milliseconds after which a transaction is committed
        #[arg(long, value_name = "MS", default_value_t = 3000)]
        transaction_duration_ms: u64,
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
    /// Write a record, wait until a consumer has it, and again; reports latencies
    #[command(visible_alias = "e2e")]
    EndToEnd {
        #[command(flatten)]
        topic: TopicName,
        /// How many records to send
        #[arg(long, default_value_t = 10_000)]
        num_records: u64,
        /// Bytes of a record's value
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(8..))]
        record_size: u32,
        /// 1 or all: what counts as written
        #[arg(long, default_value = "all")]
        producer_acks: String,
    },
}
