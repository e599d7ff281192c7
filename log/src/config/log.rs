//! Settings of the log as a whole: a broker's, as far as they apply.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cleaner::CleanerConfig;
use super::topic::TopicConfig;
use super::topic_keys::TopicKey;
use super::value::{self, Setting};
use crate::error::{LogError, Result};
use crate::group::GroupConfig;
use crate::types::Acks;

/// Settings of one log. An unknown key is an error that names the closest known one.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `auto.create.topics.enable`: whether a producer creates the topics it writes to. Default true.
    pub auto_create_topics: bool,
    /// `num.partitions`: partitions of a topic that does not say. Default 1.
    pub num_partitions: u32,
    /// `max.open.files`: files kept open at most, besides those in the middle of a read or write. Default 512.
    pub files_max: usize,
    /// `offsets.topic.num.partitions`: partitions of `__consumer_offsets`, made on first use. Default 50.
    pub offsets_topic_partitions: u32,
    /// `offsets.commit.required.acks`: what a commit of group offsets waits for. Default -1, stable storage.
    pub offsets_commit_acks: Acks,
    /// `offset.metadata.max.bytes`: longest text kept with a committed offset. Default 4096.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`: how long offsets are kept that nobody commits any more. Default 7 days.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`: time between looks for such offsets. Default 10 min.
    pub offsets_retention_check_interval: Duration,
    /// `group.min.session.timeout.ms`, `group.max.session.timeout.ms`, `group.max.size` and
    /// `group.initial.rebalance.delay.ms`: limits of consumer groups.
    pub groups: GroupConfig,
    /// `transaction.state.log.num.partitions`: partitions of `__transaction_state`, made on first use. Default 50.
    pub transaction_topic_partitions: u32,
    /// `transaction.max.timeout.ms`: longest timeout a transactional producer may ask for. Default 15 min.
    pub transaction_timeout_max: Duration,
    /// `log.initial.task.delay.ms`: time from the start to the first look at retention. Default 30 s.
    pub initial_task_delay: Duration,
    /// `log.retention.check.interval.ms`: time between looks at retention. Default 5 min.
    pub retention_check_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`: time between checkpoints. Default 60 s.
    pub checkpoint_interval: Duration,
    /// `millstream.checkpoint.bytes`: bytes written to all partitions after which a checkpoint comes before its time. A
    /// start after a crash reads little more than that. Default 64 MiB.
    pub checkpoint_bytes: usize,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: time between looks at the transactions' timeouts.
    /// Default 10 s.
    pub transaction_abort_interval: Duration,
    /// The broker settings that give the defaults of topics, by their names, such as `log.retention.hours`.
    pub topic_defaults: BTreeMap<String, String>,
    /// `transactional.id.expiration.ms`: how long a transactional id that is not used is kept. Default 7 days.
    pub transactional_id_expiration: Duration,
    /// `producer.id.expiration.ms`: how long a partition knows an idle producer. Default 1 day.
    pub producer_id_expiration: Duration,
    /// `millstream.tail.bytes`: newest bytes of a partition kept in memory for its readers. Default 2 MiB.
    pub tail_bytes: usize,
    /// `millstream.tail.total.bytes`: the same for all partitions together; when it is used up, partitions that are
    /// written to keep 256 KiB. Default 32 MiB.
    pub tail_bytes_total: usize,
    /// `log.cleaner.*`: how compaction works.
    pub cleaner: CleanerConfig,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            auto_create_topics: true,
            num_partitions: 1,
            files_max: 512,
            offsets_topic_partitions: 50,
            offsets_commit_acks: Acks::Synced,
            offset_metadata_bytes_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            groups: GroupConfig::default(),
            transaction_topic_partitions: 50,
            transaction_timeout_max: Duration::from_secs(15 * 60),
            initial_task_delay: Duration::from_secs(30),
            retention_check_interval: Duration::from_secs(300),
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_bytes: 64 << 20,
            transaction_abort_interval: Duration::from_secs(10),
            topic_defaults: BTreeMap::new(),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            producer_id_expiration: Duration::from_secs(24 * 60 * 60),
            tail_bytes: 2 << 20,
            tail_bytes_total: 32 << 20,
            cleaner: CleanerConfig::default(),
        }
    }
}

impl LogConfig {
    /// The keys that a log takes, besides the broker settings behind [`TopicConfig::KEYS`].
    pub const KEYS: [&'static str; 33] = [
        "auto.create.topics.enable",
        "default.replication.factor",
        "group.initial.rebalance.delay.ms",
        "group.max.session.timeout.ms",
        "group.max.size",
        "group.min.session.timeout.ms",
        "log.cleaner.backoff.ms",
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.enable",
        "log.cleaner.io.buffer.load.factor",
        "log.cleaner.io.buffer.size",
        "log.cleaner.io.max.bytes.per.second",
        "log.cleaner.threads",
        "log.flush.offset.checkpoint.interval.ms",
        "log.flush.scheduler.interval.ms",
        "log.initial.task.delay.ms",
        "log.retention.check.interval.ms",
        "max.open.files",
        "millstream.checkpoint.bytes",
        "millstream.tail.bytes",
        "millstream.tail.total.bytes",
        "num.partitions",
        "num.recovery.threads.per.data.dir",
        "offset.metadata.max.bytes",
        "offsets.commit.required.acks",
        "offsets.retention.check.interval.ms",
        "offsets.retention.minutes",
        "offsets.topic.num.partitions",
        "producer.id.expiration.ms",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "transaction.max.timeout.ms",
        "transaction.state.log.num.partitions",
        "transactional.id.expiration.ms",
    ];

    /// The defaults with `properties` applied. Fails on an unknown key or a value its key does not take.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        value::from_properties(properties, Self::set)
    }

    fn set(&mut self, setting: Setting<'_>) -> Result<()> {
        match setting.key {
            "auto.create.topics.enable" => self.auto_create_topics = setting.boolean()?,
            "group.initial.rebalance.delay.ms" => self.groups.initial_rebalance_delay = setting.millis()?,
            "group.max.session.timeout.ms" => self.groups.session_timeout_max = setting.millis()?,
            "group.max.size" => self.groups.max_size = setting.size(1)?,
            "group.min.session.timeout.ms" => self.groups.session_timeout_min = setting.millis()?,
            "max.open.files" => self.files_max = setting.size(16)?,
            // There is one copy, which one thread recovers; flush.ms is looked at whenever it is due.
            "default.replication.factor" | "num.recovery.threads.per.data.dir" => drop(setting.count(1)?),
            "log.flush.scheduler.interval.ms" => drop(setting.integer(0..=i64::MAX)?),
            "log.flush.offset.checkpoint.interval.ms" => self.checkpoint_interval = setting.millis()?,
            "log.initial.task.delay.ms" => self.initial_task_delay = setting.millis()?,
            "log.retention.check.interval.ms" => {
                self.retention_check_interval =
                    Duration::from_millis(setting.integer(1..=i64::MAX)?.unsigned_abs());
            }
            "transaction.abort.timed.out.transaction.cleanup.interval.ms" => {
                self.transaction_abort_interval =
                    Duration::from_millis(setting.integer(1..=i64::MAX)?.unsigned_abs());
            }
            "millstream.checkpoint.bytes" => self.checkpoint_bytes = setting.size(1)?,
            "millstream.tail.bytes" => self.tail_bytes = setting.size(0)?,
            "millstream.tail.total.bytes" => self.tail_bytes_total = setting.size(0)?,
            "num.partitions" => self.num_partitions = setting.count(1)?,
            "offset.metadata.max.bytes" => self.offset_metadata_bytes_max = setting.size(0)?,
            "offsets.commit.required.acks" => self.offsets_commit_acks = super::client::parse_acks(setting)?,
            "offsets.retention.check.interval.ms" => {
                self.offsets_retention_check_interval = setting.millis()?
            }
            "offsets.retention.minutes" => {
                self.offsets_retention = Duration::from_secs(60 * u64::from(setting.count(1)?));
            }
            "offsets.topic.num.partitions" => self.offsets_topic_partitions = setting.count(1)?,
            "producer.id.expiration.ms" => self.producer_id_expiration = setting.millis()?,
            "transactional.id.expiration.ms" => self.transactional_id_expiration = setting.millis()?,
            "transaction.max.timeout.ms" => self.transaction_timeout_max = setting.millis()?,
            "transaction.state.log.num.partitions" => self.transaction_topic_partitions = setting.count(1)?,
            _ if self.cleaner.set(setting)? => {}
            _ => self.set_topic_default(setting)?,
        }
        Ok(())
    }

    /// Takes a broker setting that gives the default of a topic's.
    fn set_topic_default(&mut self, setting: Setting<'_>) -> Result<()> {
        let Some((key, broker)) = TopicKey::of_broker(setting.key) else {
            return Err(setting.unknown("log", Self::KEYS.into_iter().chain(TopicKey::broker_names())));
        };
        let value = broker.convert(setting.value);
        if let Err(error) = TopicConfig::default().set(Setting { key: key.name, value: &value }) {
            return Err(match error {
                LogError::InvalidConfig { reason, .. } => setting.invalid(reason),
                other => other,
            });
        }
        self.topic_defaults.insert(setting.key.to_owned(), setting.value.to_owned());
        Ok(())
    }
}
