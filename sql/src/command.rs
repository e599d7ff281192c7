//! The command topic: every statement that changes the catalogue, in order, to be applied again at the next start.

use std::collections::BTreeMap;

use millstream_log::{
    Acks, Isolation, Log, NewTopic, Offset, OffsetSpec, PartitionId, Producer, ProducerConfig, Record,
    TopicPartition,
};
use serde::{Deserialize, Serialize};

use crate::error::SqlError;

/// The topic that statements are kept in.
pub const COMMAND_TOPIC: &str = "_millstream-command";

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// One statement as it was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// The text, with variables replaced.
    pub(crate) statement: String,
    /// The session's properties.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, String>,
}

/// Appends commands, and reads those of earlier runs.
pub(crate) struct CommandLog {
    log: Log,
    partition: TopicPartition,
    producer: Producer,
}

impl CommandLog {
    /// Opens the topic, making it if it is not there.
    pub(crate) fn open(log: &Log) -> Result<Self, SqlError> {
        let failed = |error| SqlError::failed("open the command topic", error);
        if log.describe_topic(COMMAND_TOPIC).is_err() {
            // Statements must never be removed: neither by age nor by key.
            let topic = NewTopic::new(COMMAND_TOPIC).partitions(1).config("cleanup.policy", "delete");
            log.create_topic(topic.config("retention.ms", "-1")).map_err(failed)?;
        }
        let producer = log.producer(ProducerConfig::default().acks(Acks::Synced)).map_err(failed)?;
        Ok(Self { log: log.clone(), partition: TopicPartition::new(COMMAND_TOPIC, 0), producer })
    }

    /// The commands of earlier runs with their numbers.
    pub(crate) fn read(&self) -> Result<Vec<(u64, Command)>, SqlError> {
        let failed = |error| SqlError::failed("read the command topic", error);
        let end = self.log.offsets(&self.partition, OffsetSpec::Latest).map_err(failed)?;
        let mut position = self.log.offsets(&self.partition, OffsetSpec::Earliest).map_err(failed)?;
        let mut commands = Vec::new();
        while position < end {
            let isolation = Isolation::ReadUncommitted;
            let fetched = self.log.read(&self.partition, position, READ_BYTES, isolation).map_err(failed)?;
            let next = fetched.next_offset(position);
            for batch in fetched.into_data() {
                for record in batch.records() {
                    let record = record.map_err(failed)?;
                    if record.offset < position {
                        continue;
                    }
                    let value = record.value.unwrap_or_default();
                    let command = serde_json::from_slice(value).map_err(|error| {
                        SqlError::failed(format!("read command {} of {COMMAND_TOPIC}", record.offset), error)
                    })?;
                    commands.push((record.offset.get(), command));
                }
            }
            if next == position {
                break;
            }
            position = next;
        }
        Ok(commands)
    }

    /// The number that the next command will have.
    pub(crate) fn next(&self) -> Result<u64, SqlError> {
        let end = self.log.offsets(&self.partition, OffsetSpec::Latest);
        end.map(Offset::get).map_err(|error| SqlError::failed("read the command topic", error))
    }

    /// Keeps a command for good.
    pub(crate) fn append(&mut self, command: &Command) -> Result<(), SqlError> {
        let failed = |error| SqlError::failed("write the command topic", error);
        let value = serde_json::to_vec(command)
            .map_err(|error| SqlError::failed("write the command topic", error))?;
        let record =
            Record { value: Some(value.into()), partition: Some(PartitionId::new(0)), ..Record::default() };
        self.producer.send(COMMAND_TOPIC, record).map_err(failed)?;
        self.producer.flush().map_err(failed)?;
        Ok(())
    }
}
