//! The topics that remember configs and source offsets, with Kafka Connect's names, keys and values.
//!
//! | topic | key | value |
//! |---|---|---|
//! | `connect-configs` | `connector-<name>` | `{"properties": {...}}` |
//! | `connect-offsets` | `["<name>", {source partition}]` | source offset |
//!
//! Both are compacted and have one partition.

use std::collections::BTreeMap;

use millstream_log::{Isolation, Log, LogError, NewTopic, Offset, OffsetSpec, PartitionId, TopicPartition};
use serde_json::Value;

use crate::{
    batch::{SourceOffset, SourcePartition},
    config::ConnectorConfig,
    error::ConnectError,
};

/// The topic of connector configs.
pub const CONFIGS_TOPIC: &str = "connect-configs";
/// The topic of source offsets.
pub const OFFSETS_TOPIC: &str = "connect-offsets";

const CONFIG_KEY_PREFIX: &str = "connector-";
const READ_BYTES: usize = 1 << 20;

/// Creates a compacted topic unless it is there.
pub(super) fn ensure_compacted(log: &Log, name: &str) -> Result<(), ConnectError> {
    ensure(log, NewTopic::new(name).partitions(1).config("cleanup.policy", "compact"), name)
}

/// Creates a topic unless it is there.
pub(super) fn ensure(log: &Log, topic: NewTopic, name: &str) -> Result<(), ConnectError> {
    if log.describe_topic(name).is_ok() {
        return Ok(());
    }
    match log.create_topic(topic) {
        // Another task was faster.
        Ok(_) | Err(LogError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Stored configs by name.
pub(super) fn configs(log: &Log) -> Result<BTreeMap<String, ConnectorConfig>, ConnectError> {
    let mut configs = BTreeMap::new();
    read_all(log, CONFIGS_TOPIC, |key, value| {
        let Some(name) =
            key.strip_prefix(CONFIG_KEY_PREFIX.as_bytes()).and_then(|name| str::from_utf8(name).ok())
        else {
            return;
        };
        match value.and_then(|value| ConnectorConfig::from_stored(name, value)) {
            Some(config) => drop(configs.insert(name.to_owned(), config)),
            None => drop(configs.remove(name)),
        }
    })?;
    Ok(configs)
}

/// Key of a connector's config.
pub(super) fn config_key(name: &str) -> String {
    format!("{CONFIG_KEY_PREFIX}{name}")
}

/// Key of a source partition's offset.
pub(super) fn offset_key(connector: &str, partition: &SourcePartition) -> String {
    Value::from(vec![Value::from(connector), Value::Object(partition.clone())]).to_string()
}

/// The last committed offset of a source partition.
pub(super) fn source_offset(
    log: &Log,
    connector: &str,
    partition: &SourcePartition,
) -> Result<Option<SourceOffset>, ConnectError> {
    let wanted = Value::from(vec![Value::from(connector), Value::Object(partition.clone())]);
    let mut offset = None;
    read_all(log, OFFSETS_TOPIC, |key, value| {
        // Compared as JSON: another writer may space it differently.
        if serde_json::from_slice::<Value>(key).is_ok_and(|key| key == wanted) {
            offset = value.and_then(|value| serde_json::from_slice(value).ok());
        }
    })?;
    Ok(offset)
}

/// Hands every committed record with a key to `each`, in order.
fn read_all(log: &Log, topic: &str, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), ConnectError> {
    let partition = TopicPartition { topic: topic.into(), partition: PartitionId::new(0) };
    let mut from: Offset = match log.offsets(&partition, OffsetSpec::Earliest) {
        Ok(start) => start,
        Err(LogError::UnknownTopic { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    loop {
        let fetched = log.read(&partition, from, READ_BYTES, Isolation::ReadCommitted)?;
        let next = fetched.next_offset(from);
        for batch in fetched.into_data() {
            for record in batch.records() {
                let record = record?;
                if let Some(key) = record.key.filter(|_| record.offset >= from) {
                    each(key, record.value);
                }
            }
        }
        if next <= from {
            return Ok(());
        }
        from = next;
    }
}
