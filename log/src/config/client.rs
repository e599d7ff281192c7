//! Settings of consumers.

use std::time::Duration;

use super::value::{self, Setting};
use crate::error::Result;
use crate::types::{Acks, Isolation};

/// Where a consumer starts in a partition for which it has no valid position, `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At the log start offset.
    Earliest,
    /// At the end: only what is appended from now on.
    #[default]
    Latest,
    /// Nowhere: the poll fails.
    None,
}

/// Settings of one consumer. An unknown key is an error that names the closest known one.
///
/// `client.id`, `fetch.min.bytes`, `fetch.max.wait.ms`, `max.poll.records`, `check.crcs` and the session settings are
/// accepted and have no effect: a poll returns whole batches, at once when there are any, and they are always checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerConfig {
    /// `group.id`: whose offsets are committed. Without it nothing can be committed.
    pub group_id: Option<String>,
    /// `auto.offset.reset`. Default `latest`.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`. Default `read_uncommitted`.
    pub isolation: Isolation,
    /// `enable.auto.commit`: whether a poll commits what earlier polls returned. Default true with a group.
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`: time between such commits. Default 5 s.
    pub auto_commit_interval: Duration,
    /// `fetch.max.bytes`: bytes that a poll returns at most, though always one whole batch. Default 50 MiB.
    pub fetch_max_bytes: usize,
    /// `max.partition.fetch.bytes`: the same for each partition. Default 1 MiB.
    pub max_partition_fetch_bytes: usize,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation: Isolation::ReadUncommitted,
            enable_auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
        }
    }
}

impl ConsumerConfig {
    /// The keys that a consumer takes.
    pub const KEYS: [&'static str; 15] = [
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "client.id",
        "enable.auto.commit",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "group.id",
        "heartbeat.interval.ms",
        "isolation.level",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "session.timeout.ms",
    ];

    /// The defaults with `properties` applied. Fails on an unknown key or a value its key does not take.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        value::from_properties(properties, Self::set)
    }

    /// Sets `group.id`.
    #[must_use]
    pub fn group_id(mut self, group: impl Into<String>) -> Self {
        self.group_id = Some(group.into());
        self
    }

    /// Sets `auto.offset.reset`.
    #[must_use]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.auto_offset_reset = reset;
        self
    }

    /// Sets `isolation.level`.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets `enable.auto.commit`.
    #[must_use]
    pub fn enable_auto_commit(mut self, enable: bool) -> Self {
        self.enable_auto_commit = enable;
        self
    }

    fn set(&mut self, setting: Setting<'_>) -> Result<()> {
        match setting.key {
            "group.id" => self.group_id = Some(setting.nonempty()?),
            "auto.offset.reset" => {
                self.auto_offset_reset = setting.one_of(&[
                    ("earliest", AutoOffsetReset::Earliest),
                    ("latest", AutoOffsetReset::Latest),
                    ("none", AutoOffsetReset::None),
                ])?;
            }
            "isolation.level" => {
                self.isolation = setting.one_of(&[
                    ("read_uncommitted", Isolation::ReadUncommitted),
                    ("read_committed", Isolation::ReadCommitted),
                ])?;
            }
            "enable.auto.commit" => self.enable_auto_commit = setting.boolean()?,
            "auto.commit.interval.ms" => self.auto_commit_interval = setting.millis()?,
            "fetch.max.bytes" => self.fetch_max_bytes = setting.size(0)?,
            "max.partition.fetch.bytes" => self.max_partition_fetch_bytes = setting.size(0)?,
            "check.crcs" => drop(setting.boolean()?),
            "client.id" => {}
            "fetch.max.wait.ms"
            | "fetch.min.bytes"
            | "heartbeat.interval.ms"
            | "max.poll.interval.ms"
            | "max.poll.records"
            | "session.timeout.ms" => drop(setting.integer(0..=i64::MAX)?),
            _ => return Err(setting.unknown("consumer", Self::KEYS)),
        }
        Ok(())
    }
}

pub(super) fn parse_acks(setting: Setting<'_>) -> Result<Acks> {
    setting.one_of(&[("0", Acks::None), ("1", Acks::Written), ("all", Acks::Synced), ("-1", Acks::Synced)])
}
