//! `millstream transactions`: list, describe and end transactions.

use std::time::Duration;

use millstream_log::{
    AbortSpec, Log, Offset, ProducerDescription, ProducerEpoch, ProducerId, ProducerIdentity, TopicPartition,
    TransactionFilter,
};

use crate::args::{Global, TransactionsCommand};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Grid, Heading, Out};

/// The one node there is.
const COORDINATOR: u32 = 1;

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &TransactionsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = act(&log, command, &mut Out::new(global.output));
    log.close()?;
    result
}

fn act(log: &Log, command: &TransactionsCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        TransactionsCommand::List { duration_filter, transactional_id_pattern } => {
            let filter = TransactionFilter {
                open_longer_than: duration_filter.map(Duration::from_millis),
                id_pattern: transactional_id_pattern.clone(),
                ..TransactionFilter::default()
            };
            list(log, &filter, out)
        }
        TransactionsCommand::Describe { transactional_id } => describe(log, transactional_id, out),
        TransactionsCommand::DescribeProducers { topic, partition } => {
            let producers = log.describe_producers(&TopicPartition::new(topic.as_str(), *partition))?;
            let mut grid = Grid::new(PRODUCER_COLUMNS.map(Heading::text).into());
            producers.iter().for_each(|producer| grid.push(producer_cells(producer)));
            out.columns(&grid)
        }
        TransactionsCommand::Abort {
            topic,
            partition,
            start_offset,
            producer_id,
            producer_epoch,
            coordinator_epoch,
        } => {
            let spec = match (start_offset, producer_id) {
                (Some(offset), _) => AbortSpec::StartOffset(Offset::new(*offset)),
                (None, Some(id)) => AbortSpec::Producer {
                    producer: ProducerIdentity {
                        id: ProducerId::new(*id),
                        epoch: ProducerEpoch::new(producer_epoch.ok_or_else(|| {
                            CliError::Usage("--producer-id needs --producer-epoch beside it".to_owned())
                        })?),
                    },
                    coordinator_epoch: *coordinator_epoch,
                },
                (None, None) => {
                    return Err(CliError::Usage("give --start-offset or --producer-id".to_owned()));
                }
            };
            Ok(log.abort_transaction(&TopicPartition::new(topic.as_str(), *partition), spec)?)
        }
        TransactionsCommand::FindHanging { topic, partition, max_transaction_timeout } => {
            let older_than = Duration::from_secs(max_transaction_timeout.saturating_mul(60));
            find_hanging(log, topic.as_deref(), *partition, older_than, out)
        }
        TransactionsCommand::ForceTerminate { transactional_id } => {
            log.force_terminate(transactional_id)?;
            Ok(())
        }
    }
}

fn list(log: &Log, filter: &TransactionFilter, out: &mut Out) -> Result<(), CliError> {
    let columns = ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"];
    let mut grid = Grid::new(columns.map(Heading::text).into());
    for listing in log.list_transactions(filter)? {
        grid.push(vec![
            listing.transactional_id.as_str().into(),
            COORDINATOR.into(),
            Cell::Number(listing.producer_id.to_string()),
            listing.state.name().into(),
        ]);
    }
    out.columns(&grid)
}

fn describe(log: &Log, id: &str, out: &mut Out) -> Result<(), CliError> {
    let columns = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    let mut grid = Grid::new(columns.map(Heading::text).into());
    let found = log.describe_transaction(id)?;
    let now = log.clock().now();
    let partitions: Vec<String> = found.partitions.iter().map(ToString::to_string).collect();
    let millis = |duration: Duration| Cell::Number(duration.as_millis().to_string());
    grid.push(vec![
        COORDINATOR.into(),
        found.transactional_id.as_str().into(),
        Cell::Number(found.producer.id.to_string()),
        Cell::Number(found.producer.epoch.to_string()),
        found.state.name().into(),
        millis(found.timeout),
        found.start.map_or(Cell::Null, |start| Cell::Number(start.get().to_string())),
        found.start.map_or(Cell::Null, |start| millis(now.since(start))),
        partitions.join(",").as_str().into(),
    ]);
    out.columns(&grid)
}

const PRODUCER_COLUMNS: [&str; 6] = [
    "ProducerId",
    "ProducerEpoch",
    "LatestCoordinatorEpoch",
    "LastSequence",
    "LastTimestamp",
    "CurrentTransactionStartOffset",
];

fn producer_cells(found: &ProducerDescription) -> Vec<Cell> {
    let or_minus_one = |number: Option<String>| Cell::Number(number.unwrap_or_else(|| "-1".to_owned()));
    vec![
        Cell::Number(found.producer.id.to_string()),
        Cell::Number(found.producer.epoch.to_string()),
        or_minus_one(found.coordinator_epoch.map(|epoch| epoch.to_string())),
        or_minus_one(found.last_sequence.map(|sequence| sequence.to_string())),
        Cell::Number(found.last_timestamp.get().to_string()),
        found.transaction_start.map_or("None".into(), |start| start.get().into()),
    ]
}

fn find_hanging(
    log: &Log,
    topic: Option<&str>,
    partition: Option<u32>,
    older_than: Duration,
    out: &mut Out,
) -> Result<(), CliError> {
    let columns = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    let mut grid = Grid::new(columns.map(Heading::text).into());
    let now = log.clock().now();
    for hanging in log.find_hanging_transactions(topic, older_than)? {
        let place = hanging.partition;
        if partition.is_some_and(|number| number != place.partition.get()) {
            continue;
        }
        let found = &hanging.description;
        let minutes = now.since(found.last_timestamp).as_secs() / 60;
        grid.push(vec![
            place.topic.as_ref().into(),
            place.partition.get().into(),
            Cell::Number(found.producer.id.to_string()),
            Cell::Number(found.producer.epoch.to_string()),
            Cell::Number(found.coordinator_epoch.unwrap_or(-1).to_string()),
            found.transaction_start.map_or(Cell::Null, |start| start.get().into()),
            Cell::Number(found.last_timestamp.get().to_string()),
            minutes.into(),
        ]);
    }
    out.columns(&grid)
}
