//! `millstream groups`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

/// `millstream groups`
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// Print the names, one per line, or with states and types
    List {
        /// Show states, and only groups in these: Empty, PreparingRebalance, CompletingRebalance, Stable, Dead
        #[arg(long, value_name = "STATES", num_args = 0..=1, default_missing_value = "")]
        state: Option<String>,
        /// Show types, and only groups of these: classic, consumer
        #[arg(long = "type", value_name = "TYPES", num_args = 0..=1, default_missing_value = "")]
        kind: Option<String>,
    },
    /// Show committed offsets and lag, or the members, or the state
    Describe {
        #[command(flatten)]
        groups: GroupNames,
        /// Offsets and lag, which is the default
        #[arg(long, conflicts_with_all = ["members", "state"])]
        offsets: bool,
        /// Members and how many partitions each has
        #[arg(long, conflicts_with = "state")]
        members: bool,
        /// State, assignor and number of members
        #[arg(long)]
        state: bool,
        /// Which partitions too
        #[arg(long)]
        verbose: bool,
    },
    /// Show the members and their partitions
    Members {
        #[command(flatten)]
        groups: GroupNames,
    },
    /// Delete groups without members, with their offsets
    Delete {
        #[command(flatten)]
        groups: GroupNames,
    },
    /// Move the committed offsets of groups without members; shows what would happen unless told to execute
    ResetOffsets(Box<ResetArgs>),
    /// Delete committed offsets of topics that nobody in the group reads
    DeleteOffsets {
        #[command(flatten)]
        group: GroupName,
        /// `topic` or `topic:0,1`
        #[arg(long = "topic", value_name = "TOPIC[:LIST]", required = true, action = ArgAction::Append)]
        topics: Vec<String>,
    },
    /// Put members out of a group, so that the others take over their partitions
    RemoveMembers {
        #[command(flatten)]
        group: GroupName,
        /// Member ids; without any member or instance, all
        #[arg(long = "member", value_name = "ID", action = ArgAction::Append)]
        members: Vec<String>,
        /// Static members by their group.instance.id
        #[arg(long = "instance", value_name = "ID", action = ArgAction::Append)]
        instances: Vec<String>,
    },
}

/// One group, as an argument or as `--group`.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct GroupName {
    /// Name of the group
    #[arg(value_name = "GROUP")]
    argument: Option<String>,
    /// Name of the group, as the Kafka tools spell it
    #[arg(long = "group", value_name = "GROUP")]
    option: Option<String>,
}

impl GroupName {
    /// The name that was given.
    pub(crate) fn get(&self) -> &str {
        self.argument.as_deref().or(self.option.as_deref()).expect("clap requires one of the two")
    }
}

/// Some groups, as arguments or options, or all.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct GroupNames {
    /// Names of groups
    #[arg(value_name = "GROUP")]
    arguments: Vec<String>,
    /// Name of a group, as the Kafka tools spell it
    #[arg(long = "group", value_name = "GROUP", action = ArgAction::Append)]
    options: Vec<String>,
    /// All groups
    #[arg(long, conflicts_with_all = ["arguments", "options"])]
    all_groups: bool,
}

impl GroupNames {
    /// The names that were given, or of all groups, which `all` lists.
    pub(crate) fn resolve(&self, all: impl FnOnce() -> Vec<String>) -> Vec<String> {
        if self.all_groups { all() } else { self.arguments.iter().chain(&self.options).cloned().collect() }
    }
}

/// `millstream groups reset-offsets`
#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) groups: GroupNames,
    /// `topic` or `topic:0,1,2`
    #[arg(long = "topic", value_name = "TOPIC[:LIST]", action = ArgAction::Append)]
    pub(crate) topics: Vec<String>,
    /// All topics that the group has offsets in
    #[arg(long, conflicts_with = "topics")]
    pub(crate) all_topics: bool,
    #[command(flatten)]
    pub(crate) to: ResetTarget,
    /// Show only what would happen, which is the default
    #[arg(long, conflicts_with = "execute")]
    pub(crate) dry_run: bool,
    /// Do it
    #[arg(long, visible_alias = "yes")]
    pub(crate) execute: bool,
    /// Print lines for `--from-file` in place of the table
    #[arg(long)]
    pub(crate) export: bool,
}

/// `millstream streams`
#[derive(Debug, Subcommand)]
pub(crate) enum StreamsCommand {
    /// Let an application begin anew: delete its internal topics and move its offsets in its input topics
    Reset(ApplicationResetArgs),
}

/// `millstream streams reset`
#[derive(Args, Debug)]
pub(crate) struct ApplicationResetArgs {
    #[command(flatten)]
    pub(crate) application_id: ApplicationId,
    /// Input topics, separated by commas; without it all that the application has offsets in
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    pub(crate) input_topics: Vec<String>,
    /// Internal topics to delete, separated by commas; without it all of the application
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    pub(crate) internal_topics: Vec<String>,
    #[command(flatten)]
    pub(crate) to: ResetTarget,
    /// Show only what would happen, which is the default
    #[arg(long, conflicts_with = "execute")]
    pub(crate) dry_run: bool,
    /// Do it
    #[arg(long, visible_alias = "yes")]
    pub(crate) execute: bool,
}

/// One application, as an argument or as `--application-id`.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ApplicationId {
    /// The application's id
    #[arg(value_name = "APPLICATION")]
    argument: Option<String>,
    /// The application's id, as the Kafka tools spell it
    #[arg(long = "application-id", value_name = "APPLICATION")]
    option: Option<String>,
}

impl ApplicationId {
    /// The id that was given.
    pub(crate) fn get(&self) -> &str {
        self.argument.as_deref().or(self.option.as_deref()).expect("clap requires one of the two")
    }
}

/// Where offsets are moved.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ResetTarget {
    /// To the first record that is kept
    #[arg(long)]
    pub(crate) to_earliest: bool,
    /// Behind the last record
    #[arg(long)]
    pub(crate) to_latest: bool,
    /// To the committed offset; behind the last record where there is none
    #[arg(long)]
    pub(crate) to_current: bool,
    /// To this offset, or the nearest that exists
    #[arg(long, value_name = "OFFSET")]
    pub(crate) to_offset: Option<i64>,
    /// By so many records from the committed offset, back if negative
    #[arg(long, value_name = "±N", allow_hyphen_values = true)]
    pub(crate) shift_by: Option<i64>,
    /// To the first record from this time on: `YYYY-MM-DDTHH:mm:SS.sss` with `Z`, an offset, or UTC
    #[arg(long, value_name = "TIME")]
    pub(crate) to_datetime: Option<String>,
    /// To the first record younger than this: `PnDTnHnMnS`
    #[arg(long, value_name = "DURATION")]
    pub(crate) by_duration: Option<String>,
    /// To what the file says: lines `topic,partition,offset`, or `group,topic,partition,offset` for several groups
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) from_file: Option<PathBuf>,
}
