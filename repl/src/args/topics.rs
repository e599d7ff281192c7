//! `millstream topics`, `configs` and `repair`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use super::{OptionalTopicName, TopicName, pair};

/// `millstream topics`
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Print the names, one per line
    List {
        /// Only topics whose whole name matches this regular expression
        #[arg(long, value_name = "REGEX")]
        topic: Option<String>,
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
    /// Show partitions, offsets and settings of one topic or of all; a name may be a regular expression
    Describe {
        #[command(flatten)]
        topic: OptionalTopicName,
        /// Leave out the topics that Millstream keeps for itself
        #[arg(long)]
        exclude_internal: bool,
        /// Only topics with settings of their own, and without their partitions
        #[arg(long)]
        topics_with_overrides: bool,
        /// Succeed when the topic does not exist
        #[arg(long)]
        if_exists: bool,
    },
    /// Give a topic more partitions; keys may land elsewhere from then on
    Alter {
        #[command(flatten)]
        topic: TopicName,
        /// New number of partitions, more than there are
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
        /// Succeed when the topic does not exist
        #[arg(long)]
        if_exists: bool,
    },
    /// Delete a topic with its records; a name may be a regular expression
    Delete {
        #[command(flatten)]
        topic: TopicName,
        /// Succeed when the topic does not exist
        #[arg(long)]
        if_exists: bool,
    },
    /// Print `topic:partition:offset` for the ends, the beginnings or a time
    Offsets(OffsetsArgs),
    /// Delete the records before an offset of each partition
    DeleteRecords {
        /// Partition and offset; -1 is everything there is
        #[arg(value_name = "TOPIC:PARTITION:OFFSET", required_unless_present = "offset_json_file")]
        before: Vec<String>,
        /// `{"partitions":[{"topic":"t","partition":0,"offset":3}],"version":1}`
        #[arg(long, value_name = "FILE.json", conflicts_with = "before")]
        offset_json_file: Option<PathBuf>,
    },
}

/// `millstream topics offsets`
#[derive(Args, Debug)]
pub(crate) struct OffsetsArgs {
    #[command(flatten)]
    pub(crate) topic: OptionalTopicName,
    /// Partitions, such as `0,2-4`; all if left out
    #[arg(long, value_name = "LIST")]
    pub(crate) partitions: Option<String>,
    /// Topics with partitions, such as `orders:0,bills:1-3`
    #[arg(long, value_name = "LIST", conflicts_with_all = ["partitions", "name", "option"])]
    pub(crate) topic_partitions: Option<String>,
    /// latest (-1), earliest (-2), max-timestamp (-3), or ms since 1970: the first record from then on
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    pub(crate) time: String,
    /// Leave out the topics that Millstream keeps for itself
    #[arg(long, visible_alias = "exclude-internal")]
    pub(crate) exclude_internal_topics: bool,
}
/// `millstream configs`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigsCommand {
    /// Show the settings of a topic that differ from the defaults
    Describe {
        #[command(flatten)]
        topic: TopicName,
        /// Show the defaults too
        #[arg(long)]
        all: bool,
    },
    /// Change settings of a topic; they hold from the next record on
    Alter {
        #[command(flatten)]
        topic: TopicName,
        /// `k=v,k2=[a,b]`: brackets keep a list together
        #[arg(long, value_name = "LIST", action = ArgAction::Append)]
        add_config: Vec<String>,
        /// Properties file of settings to add
        #[arg(long, value_name = "FILE", conflicts_with = "add_config")]
        add_config_file: Option<PathBuf>,
        /// `k1,k2`: back to the default
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        delete_config: Vec<String>,
    },
}
/// `millstream repair`
#[derive(Args, Debug)]
pub(crate) struct RepairArgs {
    /// Partitions, such as `orders-0`; all damaged ones if left out
    #[arg(value_name = "TOPIC-PARTITION")]
    pub(crate) partitions: Vec<String>,
    /// Do it; without this only what would be lost is shown
    #[arg(long, visible_alias = "yes")]
    pub(crate) execute: bool,
}
