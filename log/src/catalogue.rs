//! Topics: their names, ids, partition counts and settings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

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
