//! Topics: their names, ids, partition counts and settings, kept in `catalogue.json`.
//!
//! The file's first line is `millstream-catalogue 1 ` and the CRC-32C of the rest in hex; the rest is JSON. Kafka keeps
//! this in its cluster metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::read_text;
use crate::config::{LiveConfig, TopicConfig};
use crate::error::{IoContext, LogError, Result};
use crate::mutex::Mutex;
use crate::partition::Partition;
use crate::storage::{self, Storage};
use crate::types::PartitionId;

/// Name of the file.
pub(crate) const FILE: &str = "catalogue.json";
/// The topic of committed offsets.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The topic of the transaction coordinator.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";

/// Most partitions that a topic can have.
pub(crate) const PARTITIONS_MAX: u32 = 100_000;
/// What the names of directories end in that belong to no topic any more.
pub(crate) const DELETED_DIR: &str = "-delete";

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: Option<u32>,
    pub(crate) replication_factor: u16,
    pub(crate) config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the log's default partition count (`num.partitions`) and settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: None, replication_factor: 1, config: BTreeMap::new() }
    }

    /// Sets the number of partitions, at least 1.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Sets the number of copies. There is always one; a larger number is accepted with a warning.
    #[must_use]
    pub fn replication_factor(mut self, copies: u16) -> Self {
        self.replication_factor = copies;
        self
    }

    /// Sets one of [`TopicConfig::KEYS`](crate::TopicConfig::KEYS).
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

/// Identity of a topic that outlives its name. Shown in 22 characters of URL-safe base64, as Kafka does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(Uuid);

impl TopicId {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        Self(uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid())
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut bits = 0_u128;
        for (digit, byte) in text.bytes().enumerate() {
            let value = BASE64_URL.iter().position(|known| *known == byte)? as u128;
            bits = if digit < 21 { bits << 6 | value } else { bits << 2 | value >> 4 };
        }
        Some(Self(Uuid::from_u128(bits)))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits are 21 digits of 6 bits and one of 2, which is filled up with zeros on the right.
        let bits = self.0.as_u128();
        let text: String = (0..22)
            .map(|digit| {
                let value = if digit < 21 { bits >> (122 - 6 * digit) } else { bits << 4 };
                char::from(BASE64_URL[(value & 0x3f) as usize])
            })
            .collect();
        f.write_str(&text)
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: u32,
    /// Settings that were given when it was created; the others have their defaults.
    pub configs: BTreeMap<String, String>,
    /// Whether it is one of the log's own, such as `__consumer_offsets`.
    pub internal: bool,
}

/// Whether a topic is one of the log's own.
pub(crate) fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS || name == TRANSACTION_STATE
}

/// Settings of the log's own topics.
pub(crate) fn internal_settings() -> BTreeMap<String, String> {
    let settings = [("cleanup.policy", "compact".to_owned()), ("segment.bytes", (100 << 20).to_string())];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A topic in use. A change makes another one of it that shares the partitions and their settings.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) overrides: BTreeMap<String, String>,
    /// Opened on first use; by number.
    pub(crate) partitions: Vec<Arc<OnceLock<Arc<Partition>>>>,
    /// Held while a partition is opened.
    pub(crate) opening: Arc<Mutex<()>>,
    /// Whether its directories are being removed.
    pub(crate) is_deleting: bool,
}

impl Topic {
    pub(crate) fn new(
        name: &str,
        id: TopicId,
        partitions: u32,
        overrides: BTreeMap<String, String>,
        defaults: &BTreeMap<String, String>,
    ) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            id,
            config: Arc::new(LiveConfig::new(TopicConfig::resolve(defaults, &overrides)?)),
            overrides,
            partitions: (0..partitions).map(|_| Arc::default()).collect(),
            opening: Arc::default(),
            is_deleting: false,
        })
    }

    pub(crate) fn partition_count(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// The same topic with more partitions.
    pub(crate) fn grown(&self, partitions: u32) -> Self {
        let mut grown = self.clone();
        grown.partitions.resize_with(partitions as usize, Arc::default);
        grown
    }

    /// Name that a partition's directory gets when the topic is deleted; one that no other topic's will ever have.
    pub(crate) fn deleted_dir_name(&self, partition: PartitionId) -> String {
        let suffix = format!("-{partition}.{}{DELETED_DIR}", self.id.0.simple());
        // A file name has at most 255 bytes, which a long topic name leaves too few of.
        let stem = &self.name[..self.name.len().min(255 - suffix.len())];
        format!("{stem}{suffix}")
    }

    /// Name of a partition's directory.
    pub(crate) fn dir_name(&self, partition: PartitionId) -> String {
        format!("{}-{partition}", self.name)
    }

    pub(crate) fn describe(&self) -> TopicDescription {
        TopicDescription {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partition_count(),
            configs: self.overrides.clone(),
            internal: is_internal(&self.name),
        }
    }
}

/// Checks a name by Kafka's rules, and that no other name collides with it.
pub(crate) fn check_name<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let invalid = |reason: String| Err(LogError::InvalidTopic { topic: name.to_owned(), reason });
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." {
        return invalid("a name has 1 to 249 characters and is not . or ..".to_owned());
    }
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        return invalid(format!("{bad:?} is not allowed: use letters, digits, '.', '_' and '-'"));
    }
    let folded = name.replace('.', "_");
    match others.into_iter().find(|other| *other != name && other.replace('.', "_") == folded) {
        Some(other) => invalid(format!("it differs from topic {other:?} only in '.' and '_'")),
        None => Ok(()),
    }
}

/// A topic in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTopic {
    name: String,
    id: String,
    partitions: u32,
    configs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleting: bool,
}

/// Replaces the file as a whole.
pub(crate) fn write<'a>(
    storage: &dyn Storage,
    path: &Path,
    topics: impl IntoIterator<Item = &'a Arc<Topic>>,
) -> Result<()> {
    let stored: Vec<_> = topics
        .into_iter()
        .map(|topic| StoredTopic {
            name: topic.name.to_string(),
            id: topic.id.0.to_string(),
            partitions: topic.partition_count(),
            configs: topic.overrides.clone(),
            deleting: topic.is_deleting,
        })
        .collect();
    let json = serde_json::to_string_pretty(&stored).expect("names, numbers and texts are always JSON");
    let text = format!("millstream-catalogue 1 {:08x}\n{json}\n", crc32c::crc32c(json.as_bytes()));
    storage::replace(storage, path, text.as_bytes()).context("write", path)
}

/// Reads the file; a missing one is empty. `defaults` are the log's settings for topics that do not say.
pub(crate) fn read(
    storage: &dyn Storage,
    path: &Path,
    defaults: &BTreeMap<String, String>,
) -> Result<Vec<Topic>> {
    let Some(text) = read_text(storage, path)? else { return Ok(Vec::new()) };
    let invalid = |reason: String| LogError::InvalidFile { path: path.to_path_buf(), reason };
    let (head, json) = text.split_once('\n').unwrap_or((&text, ""));
    let json = json.trim_end_matches('\n');
    match head.strip_prefix("millstream-catalogue 1 ") {
        Some(crc) if crc == format!("{:08x}", crc32c::crc32c(json.as_bytes())) => {}
        Some(_) => return Err(invalid("its CRC does not match: restore it from a copy".to_owned())),
        None => return Err(invalid("it is not a catalogue of version 1".to_owned())),
    }
    let stored: Vec<StoredTopic> = serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
    stored
        .into_iter()
        .map(|topic| {
            let id = TopicId(Uuid::parse_str(&topic.id).map_err(|error| invalid(error.to_string()))?);
            if !(1..=PARTITIONS_MAX).contains(&topic.partitions) {
                return Err(invalid(format!("topic {:?} has {} partitions", topic.name, topic.partitions)));
            }
            let is_deleting = topic.deleting;
            let topic = Topic::new(&topic.name, id, topic.partitions, topic.configs, defaults)?;
            Ok(Topic { is_deleting, ..topic })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for (name, expected) in [
            ("orders", ""),
            ("a.b", ""),
            ("", "invalid topic \"\": a name has 1 to 249 characters and is not . or .."),
            ("a b", "invalid topic \"a b\": ' ' is not allowed: use letters, digits, '.', '_' and '-'"),
            ("x_y", "invalid topic \"x_y\": it differs from topic \"x.y\" only in '.' and '_'"),
        ] {
            let outcome = check_name(name, ["orders", "x.y"]);
            assert_eq!(outcome.err().map_or_else(String::new, |error| error.to_string()), expected);
        }
    }

    #[test]
    fn ids_are_shown_as_in_kafka() {
        assert_eq!(TopicId(Uuid::from_u128(0)).to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId(Uuid::from_u128(u128::MAX)).to_string(), "_____________________w");
    }
}
