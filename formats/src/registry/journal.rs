//! Where the changes of a registry are kept: nowhere, or in the `_schemas` topic of a log.

use std::error::Error;

use millstream_log::{
    Acks, BatchBuilder, Isolation, Log, LogError, NewTopic, Offset, OffsetSpec, TopicPartition,
};

use super::{Change, RegistryError, error::SCHEMA_TOO_LARGE};

/// The topic that the original keeps its state in (`kafkastore.topic`).
pub const SCHEMAS_TOPIC: &str = "_schemas";

const READ_BYTES: usize = 1 << 20;

/// Takes changes before they count.
#[derive(Debug)]
pub(super) enum Journal {
    /// Changes end with the process.
    Memory,
    /// Changes are records of a compacted topic, on disk before they are answered. The first makes the topic.
    Topic { log: Log, partition: TopicPartition, exists: bool },
}

impl Journal {
    /// The journal in a log. Fails with 50001 if the topic is one that would forget or divide schemas.
    pub(super) fn open(log: &Log) -> Result<Self, RegistryError> {
        let partition = TopicPartition::new(SCHEMAS_TOPIC, 0);
        let topic = match log.describe_topic(SCHEMAS_TOPIC) {
            Ok(topic) => topic,
            Err(LogError::UnknownTopic { .. }) => {
                return Ok(Self::Topic { log: log.clone(), partition, exists: false });
            }
            Err(error) => return Err(store_error("find the topic _schemas", &error)),
        };
        if topic.partitions != 1 {
            let message = format!("the topic _schemas has {} partitions and must have 1", topic.partitions);
            return Err(RegistryError::new(50001, message));
        }
        if topic.configs.get("cleanup.policy").is_none_or(|policy| policy != "compact") {
            let message = "the topic _schemas would lose schemas by age: set its cleanup.policy to compact";
            return Err(RegistryError::new(50001, message));
        }
        Ok(Self::Topic { log: log.clone(), partition, exists: true })
    }

    /// Hands over everything that was written so far. Records that mean nothing are passed over with a warning, as the
    /// original does.
    pub(super) fn replay(&self, mut apply: impl FnMut(Change)) -> Result<(), RegistryError> {
        let Self::Topic { log, partition, exists: true } = self else { return Ok(()) };
        let failed = |error: LogError| store_error("read the topic _schemas", &error);
        let mut from: Offset = log.offsets(partition, OffsetSpec::Earliest).map_err(failed)?;
        loop {
            let fetched = log.read(partition, from, READ_BYTES, Isolation::ReadCommitted).map_err(failed)?;
            let next = fetched.next_offset(from);
            for batch in fetched.into_data() {
                for record in batch.records() {
                    let record = record.map_err(failed)?;
                    if record.offset < from {
                        continue;
                    }
                    match Change::decode(record.key.unwrap_or_default(), record.value) {
                        Ok(change) => apply(change),
                        Err(reason) => {
                            tracing::warn!(offset = %record.offset, reason, "passed over a record of _schemas");
                        }
                    }
                }
            }
            if next <= from {
                return Ok(());
            }
            from = next;
        }
    }

    /// Writes changes as one batch, so that either all count or none.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<(), RegistryError> {
        let Self::Topic { log, partition, exists } = self else { return Ok(()) };
        if changes.is_empty() {
            return Ok(());
        }
        if !*exists {
            let new = NewTopic::new(SCHEMAS_TOPIC).partitions(1).config("cleanup.policy", "compact");
            log.create_topic(new).map_err(|error| store_error("create the topic _schemas", &error))?;
            *exists = true;
        }
        let mut batch = BatchBuilder::new();
        let now = log.clock().now();
        for change in changes {
            let (key, value) = change.encode();
            batch.append(now, Some(&key), value.as_deref(), &[]);
        }
        match log.append(partition, batch.finish(), Acks::Synced) {
            Ok(_) => Ok(()),
            Err(error @ LogError::TooLarge { .. }) => {
                Err(RegistryError::new(SCHEMA_TOO_LARGE, format!("Schema is too large: {error}")))
            }
            Err(error) => Err(store_error("write to the topic _schemas", &error)),
        }
    }
}

fn store_error(action: &str, error: &LogError) -> RegistryError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    RegistryError::new(50001, format!("Error in the backend data store: could not {action}: {error}{cause}"))
}
