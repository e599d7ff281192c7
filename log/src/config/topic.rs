//! Settings of one topic.

use std::collections::BTreeMap;
use std::time::Duration;

use super::topic_keys::{TOPIC_KEYS, TopicKey};
use super::value::Setting;
use crate::error::Result;
use crate::record::{Codec, Compression};

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

/// How batches are kept, `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// Compressed with one codec, whatever the producer used.
    Codec(Codec),
}

/// Settings of one topic, Kafka's defaults where nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`: `delete` (default), `compact` or both.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`: `producer` (default), `uncompressed` or a codec, in which batches are then kept.
    pub compression: CompressionType,
    /// `compression.gzip.level`: 1 to 9, or -1 for the codec's own. Default -1.
    pub gzip_level: i32,
    /// `compression.lz4.level`: 1 to 17. Default 9.
    pub lz4_level: i32,
    /// `compression.zstd.level`: -131072 to 22. Default 3.
    pub zstd_level: i32,
    /// `retention.ms`: age after which segments are deleted. Default 7 days; -1 is no limit.
    pub retention: Option<Duration>,
    /// `retention.bytes`: size of a partition above which segments are deleted. Default -1, no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`: size at which a new segment starts. Default 1 GiB.
    pub segment_bytes: u32,
    /// `segment.ms`: time that a segment spans at most. Default 7 days.
    pub segment: Duration,
    /// `segment.jitter.ms`: largest random time taken off that. Default 0.
    pub segment_jitter: Duration,
    /// `segment.index.bytes`: size at which an index is full. Default 10 MiB.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of batches per index entry. Default 4096.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: largest batch. Default 1 MiB + 12.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`. Default `CreateTime`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's time may lie behind the clock. Default no limit.
    pub timestamp_before_max: Duration,
    /// `message.timestamp.after.max.ms`: how far a record's time may lie ahead of the clock. Default no limit.
    pub timestamp_after_max: Duration,
    /// `flush.messages`: records after which an append syncs, whatever its `acks`. Default no limit.
    pub flush_messages: u64,
    /// `flush.ms`: time after which a record is synced, whatever its `acks`. Default no limit.
    pub flush_interval: Duration,
    /// `file.delete.delay.ms`: time until the files of deleted segments go. Default 60 s.
    pub file_delete_delay: Duration,
    /// `min.insync.replicas`: copies that `acks=all` asks for, of which there is one. Default 1.
    pub min_insync_replicas: u32,
    /// `delete.retention.ms`: how long compaction keeps tombstones. Default 1 day.
    pub delete_retention: Duration,
    /// `min.compaction.lag.ms`: age below which records are not compacted. Default 0.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`: age at which records are compacted at the latest. Default no limit.
    pub max_compaction_lag: Duration,
    /// `min.cleanable.dirty.ratio`: share of uncompacted bytes that makes compaction worthwhile. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
}

/// What stands for "no limit" of a time.
const NO_LIMIT: Duration = Duration::from_millis(i64::MAX as u64);

impl Default for TopicConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            compression: CompressionType::Producer,
            gzip_level: Codec::Gzip.default_level(),
            lz4_level: Codec::Lz4.default_level(),
            zstd_level: Codec::Zstd.default_level(),
            retention: Some(7 * DAY),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment: 7 * DAY,
            segment_jitter: Duration::ZERO,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max: NO_LIMIT,
            timestamp_after_max: NO_LIMIT,
            flush_messages: i64::MAX as u64,
            flush_interval: NO_LIMIT,
            file_delete_delay: Duration::from_secs(60),
            min_insync_replicas: 1,
            delete_retention: DAY,
            min_compaction_lag: Duration::ZERO,
            max_compaction_lag: NO_LIMIT,
            min_cleanable_dirty_ratio: 0.5,
        }
    }
}

impl TopicConfig {
    /// The keys that a topic takes.
    pub const KEYS: [&'static str; TOPIC_KEYS.len()] = {
        let mut keys = [""; TOPIC_KEYS.len()];
        let mut at = 0;
        while at < keys.len() {
            keys[at] = TOPIC_KEYS[at].name;
            at += 1;
        }
        keys
    };

    /// The defaults with `overrides` applied. Fails on an unknown key or a value its key does not take.
    pub fn from_overrides(overrides: &BTreeMap<String, String>) -> Result<Self> {
        Self::resolve(&BTreeMap::new(), overrides)
    }

    /// The same over the defaults that a log's broker settings give, by their names.
    pub(crate) fn resolve(
        defaults: &BTreeMap<String, String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut config = Self::default();
        for key in const { &TOPIC_KEYS } {
            if let Some((broker, value)) = key.inherited(defaults) {
                config.set(Setting { key: key.name, value: &broker.convert(value) })?;
            }
        }
        for (key, value) in overrides {
            config.set(Setting { key, value })?;
        }
        if config.min_compaction_lag > config.max_compaction_lag {
            let value = config.min_compaction_lag.as_millis().to_string();
            let setting = Setting { key: "min.compaction.lag.ms", value: &value };
            return Err(setting.invalid(format!(
                "it must not be larger than max.compaction.lag.ms ({})",
                config.max_compaction_lag.as_millis()
            )));
        }
        Ok(config)
    }

    /// How batches are to be compressed, unless they stay as the producer sent them.
    pub(crate) fn recompression(&self) -> Option<Option<Compression>> {
        let codec = match self.compression {
            CompressionType::Producer => return None,
            CompressionType::Uncompressed => return Some(None),
            CompressionType::Codec(codec) => codec,
        };
        let level = match codec {
            Codec::Gzip => self.gzip_level,
            Codec::Lz4 => self.lz4_level,
            Codec::Zstd => self.zstd_level,
            Codec::Snappy => codec.default_level(),
        };
        Some(Some(Compression::with_level(codec, level).expect("levels are checked when they are set")))
    }

    /// Time that a segment spans at most: compacted records have to leave the active segment in time.
    pub(crate) fn segment_time(&self) -> Duration {
        match self.cleanup_policy.compact {
            true => self.segment.min(self.max_compaction_lag),
            false => self.segment,
        }
    }

    pub(super) fn set(&mut self, setting: Setting<'_>) -> Result<()> {
        match setting.key {
            "cleanup.policy" => self.cleanup_policy = parse_cleanup_policy(setting)?,
            "compression.gzip.level" => self.gzip_level = parse_level(setting, Codec::Gzip)?,
            "compression.lz4.level" => self.lz4_level = parse_level(setting, Codec::Lz4)?,
            "compression.zstd.level" => self.zstd_level = parse_level(setting, Codec::Zstd)?,
            "compression.type" => {
                self.compression = setting.one_of(&[
                    ("producer", CompressionType::Producer),
                    ("uncompressed", CompressionType::Uncompressed),
                    ("gzip", CompressionType::Codec(Codec::Gzip)),
                    ("snappy", CompressionType::Codec(Codec::Snappy)),
                    ("lz4", CompressionType::Codec(Codec::Lz4)),
                    ("zstd", CompressionType::Codec(Codec::Zstd)),
                ])?;
            }
            "delete.retention.ms" => self.delete_retention = setting.millis()?,
            "file.delete.delay.ms" => self.file_delete_delay = setting.millis()?,
            "flush.messages" => self.flush_messages = setting.integer(1..=i64::MAX)?.unsigned_abs(),
            "flush.ms" => self.flush_interval = setting.millis()?,
            "index.interval.bytes" => self.index_interval_bytes = setting.count(0)?,
            "local.retention.bytes" | "local.retention.ms" => drop(setting.integer(-2..=-2)?),
            "max.compaction.lag.ms" => {
                self.max_compaction_lag =
                    Duration::from_millis(setting.integer(1..=i64::MAX)?.unsigned_abs());
            }
            "max.message.bytes" => self.max_message_bytes = setting.size(0)?,
            "message.timestamp.after.max.ms" => self.timestamp_after_max = setting.millis()?,
            "message.timestamp.before.max.ms" => self.timestamp_before_max = setting.millis()?,
            "message.timestamp.type" => {
                self.timestamp_type = setting.one_of(&[
                    ("CreateTime", TimestampType::CreateTime),
                    ("LogAppendTime", TimestampType::LogAppendTime),
                ])?;
            }
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = parse_ratio(setting)?,
            "min.compaction.lag.ms" => self.min_compaction_lag = setting.millis()?,
            "min.insync.replicas" => self.min_insync_replicas = setting.count(1)?,
            "remote.storage.enable" => {
                if setting.boolean()? {
                    return Err(setting.invalid("there is no remote storage here: leave it false"));
                }
            }
            "retention.bytes" => self.retention_bytes = u64::try_from(setting.integer(-1..=i64::MAX)?).ok(),
            "retention.ms" => self.retention = setting.millis_or_unlimited()?,
            "segment.bytes" => self.segment_bytes = setting.count(14)?,
            "segment.index.bytes" => self.segment_index_bytes = setting.count(24)?,
            "segment.jitter.ms" => self.segment_jitter = setting.millis()?,
            "segment.ms" => {
                self.segment = Duration::from_millis(setting.integer(1..=i64::MAX)?.unsigned_abs())
            }
            "message.downconversion.enable"
            | "preallocate"
            | "remote.log.copy.disable"
            | "remote.log.delete.on.disable"
            | "unclean.leader.election.enable" => drop(setting.boolean()?),
            "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas" => {}
            _ => return Err(setting.unknown("topic", Self::KEYS)),
        }
        Ok(())
    }
}

impl TopicKey {
    /// The broker setting that gives the default, and its value.
    pub(crate) fn inherited<'a>(
        &'static self,
        defaults: &'a BTreeMap<String, String>,
    ) -> Option<(&'static super::topic_keys::BrokerKey, &'a str)> {
        self.broker.iter().find_map(|broker| Some((broker, defaults.get(broker.name)?.as_str())))
    }

    /// What the key stands for in a topic that does not set it.
    pub(crate) fn inherited_value(&'static self, defaults: &BTreeMap<String, String>) -> String {
        self.inherited(defaults)
            .map_or_else(|| self.default.to_owned(), |(broker, value)| broker.convert(value))
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

fn parse_level(setting: Setting<'_>, codec: Codec) -> Result<i32> {
    let range = codec.levels();
    let level = setting.integer(i64::from(i32::MIN)..=i64::from(i32::MAX))? as i32;
    if level != codec.default_level() && !range.contains(&level) {
        let (start, end, default) = (range.start(), range.end(), codec.default_level());
        return Err(setting.invalid(format!("it takes a level from {start} to {end}, or {default}")));
    }
    Ok(level)
}

fn parse_ratio(setting: Setting<'_>) -> Result<f64> {
    match setting.value.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(setting.invalid("it takes a number from 0 to 1")),
    }
}
