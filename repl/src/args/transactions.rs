//! `millstream transactions`.

use clap::Subcommand;

/// `millstream transactions`
#[derive(Debug, Subcommand)]
pub(crate) enum TransactionsCommand {
    /// List transactional ids and where their transactions are
    List {
        /// Only transactions that have been open for longer
        #[arg(long, value_name = "MS")]
        duration_filter: Option<u64>,
        /// Only ids that match this regular expression
        #[arg(long, value_name = "REGEX")]
        transactional_id_pattern: Option<String>,
    },
    /// Show one transactional id
    Describe {
        /// The id
        #[arg(long, value_name = "ID")]
        transactional_id: String,
    },
    /// Show the producers that a partition knows
    DescribeProducers {
        /// The topic
        #[arg(long)]
        topic: String,
        /// The partition
        #[arg(long)]
        partition: u32,
    },
    /// Abort a transaction that is open in a partition, whatever its producer does
    Abort {
        /// The topic
        #[arg(long)]
        topic: String,
        /// The partition
        #[arg(long)]
        partition: u32,
        /// Offset at which the transaction begins
        #[arg(
            long,
            value_name = "OFFSET",
            required_unless_present = "producer_id",
            conflicts_with = "producer_id"
        )]
        start_offset: Option<u64>,
        /// Its producer
        #[arg(long, value_name = "ID")]
        producer_id: Option<i64>,
        /// The producer's epoch
        #[arg(long, value_name = "EPOCH", requires = "producer_id")]
        producer_epoch: Option<i16>,
        /// The epoch of the coordinator that ends it
        #[arg(long, value_name = "EPOCH", default_value_t = 0)]
        coordinator_epoch: i32,
    },
    /// Find transactions that are open in a partition and that no coordinator will end
    FindHanging {
        /// Only in this topic
        #[arg(long)]
        topic: Option<String>,
        /// Only in this partition
        #[arg(long, requires = "topic")]
        partition: Option<u32>,
        /// Minutes that a transaction may be open
        #[arg(long, default_value_t = 15)]
        max_transaction_timeout: u64,
    },
    /// End the transaction of an id and fence its producer
    #[command(alias = "forceTerminateTransaction")]
    ForceTerminate {
        /// The id
        #[arg(long, value_name = "ID")]
        transactional_id: String,
    },
}
