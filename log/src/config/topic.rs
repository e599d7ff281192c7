//! Settings of one topic.

use std::collections::BTreeMap;
use std::time::Duration;

use super::value::Setting;
use crate::error::Result;

/// What happens to old records, `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments past the retention limits are deleted.
    pub delete: bool,
    /// Only the last record of each key is kept; records need a key.
    pub compact: bool,
}

/// Which time a record carries, `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The time of the append.
    LogAppendTime,
}

/// Settings of one topic, Kafka's defaults where nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`: `delete` (default), `compact` or both.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`: age after which segments are deleted. Default 7 days; -1 is no limit.
    pub retention: Option<Duration>,
    /// `retention.bytes`: size of a partition above which segments are deleted. Default -1, no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`: size at which a new segment starts. Default 1 GiB.
    pub segment_bytes: u32,
    /// `segment.ms`: event time that a segment spans at most. Default 7 days.
    pub segment: Duration,
    /// `segment.index.bytes`: size at which an index is full. Default 10 MiB.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of batches per index entry. Default 4096.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: largest batch. Default 1 MiB + 12.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`. Default `CreateTime`.
    pub timestamp_type: TimestampType,
    /// `delete.retention.ms`: how long compaction keeps tombstones. Default 1 day.
    pub delete_retention: Duration,
    /// `min.compaction.lag.ms`: age below which records are not compacted. Default 0.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`: age at which records are compacted at the latest. Default no limit.
    pub max_compaction_lag: Duration,
    /// `min.cleanable.dirty.ratio`: share of uncompacted bytes that makes compaction worthwhile. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            retention: Some(7 * DAY),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment: 7 * DAY,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            delete_retention: DAY,
            min_compaction_lag: Duration::ZERO,
            max_compaction_lag: Duration::from_millis(i64::MAX as u64),
            min_cleanable_dirty_ratio: 0.5,
        }
    }
}

impl TopicConfig {
    /// The keys that a topic takes.
    pub const KEYS: [&'static str; 17] = [
        "cleanup.policy",
        "compression.type",
        "delete.retention.ms",
        "file.delete.delay.ms",
        "index.interval.bytes",
        "max.compaction.lag.ms",
        "max.message.bytes",
        "message.timestamp.type",
        "min.cleanable.dirty.ratio",
        "min.compaction.lag.ms",
        "min.insync.replicas",
        "retention.bytes",
        "retention.ms",
        "segment.bytes",
        "segment.index.bytes",
        "segment.ms",
        "unclean.leader.election.enable",
    ];

    /// Those that take a list of words, separated by commas.
    pub(crate) const LIST_KEYS: [&'static str; 1] = ["cleanup.policy"];

    /// The defaults with `overrides` applied. Fails on an unknown key or a value its key does not take.
    pub fn from_overrides(overrides: &BTreeMap<String, String>) -> Result<Self> {
        let mut config = Self::default();
        for (key, value) in overrides {
            config.set(Setting { key, value })?;
        }
        Ok(config)
    }

    fn set(&mut self, setting: Setting<'_>) -> Result<()> {
        match setting.key {
            "cleanup.policy" => self.cleanup_policy = parse_cleanup_policy(setting)?,
            "compression.type" => setting.one_of(&[("producer", ()), ("uncompressed", ())])?,
            "delete.retention.ms" => self.delete_retention = setting.millis()?,
            "file.delete.delay.ms" => drop(setting.millis()?), // files go at once: open readers keep them
            "index.interval.bytes" => self.index_interval_bytes = setting.count(0)?,
            "max.compaction.lag.ms" => self.max_compaction_lag = setting.millis()?,
            "max.message.bytes" => self.max_message_bytes = setting.size(0)?,
            "message.timestamp.type" => {
                self.timestamp_type = setting.one_of(&[
                    ("CreateTime", TimestampType::CreateTime),
                    ("LogAppendTime", TimestampType::LogAppendTime),
                ])?;
            }
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = parse_ratio(setting)?,
            "min.compaction.lag.ms" => self.min_compaction_lag = setting.millis()?,
            "min.insync.replicas" => drop(setting.integer(1..=1)?),
            "retention.bytes" => self.retention_bytes = u64::try_from(setting.integer(-1..=i64::MAX)?).ok(),
            "retention.ms" => self.retention = setting.millis_or_unlimited()?,
            "segment.bytes" => self.segment_bytes = setting.count(14)?,
            "segment.index.bytes" => self.segment_index_bytes = setting.count(24)?,
            "segment.ms" => self.segment = setting.millis()?,
            "unclean.leader.election.enable" => drop(setting.boolean()?),
            _ => return Err(setting.unknown("topic", Self::KEYS)),
        }
        Ok(())
    }
}

fn parse_cleanup_policy(setting: Setting<'_>) -> Result<CleanupPolicy> {
    let mut policy = CleanupPolicy { delete: false, compact: false };
    for word in setting.value.split(',').map(str::trim) {
        match word {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            _ => return Err(setting.invalid("it takes delete, compact or both, separated by a comma")),
        }
    }
    Ok(policy)
}

fn parse_ratio(setting: Setting<'_>) -> Result<f64> {
    match setting.value.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(setting.invalid("it takes a number from 0 to 1")),
    }
}
