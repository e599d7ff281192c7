//! Settings of consumers.

use std::time::Duration;

use super::value::{self, Setting};
use crate::error::Result;
use crate::group::Assignor;
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
    /// At the first record that is not older, `by_duration:<ISO-8601>`.
    ByDuration(Duration),
}

/// Settings of one consumer. An unknown key is an error that names the closest known one.
///
/// `check.crcs`, `default.api.timeout.ms` and `session.timeout.ms` are accepted and have no effect: batches are always
/// checked, calls do not wait, and the session of a consumer in this process is `max.poll.interval.ms`.
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
    /// `fetch.min.bytes`: bytes for which a poll waits, though not beyond `fetch.max.wait.ms`. Default 1.
    pub fetch_min_bytes: usize,
    /// `fetch.max.wait.ms`: how long a poll that has found something waits for more. Default 500 ms.
    pub fetch_max_wait: Duration,
    /// `max.poll.records`: records after which a poll takes no further batch. It returns whole batches, so the first one
    /// may have more. Default no limit, where Kafka has 500: the bytes are limited.
    pub max_poll_records: usize,
    /// `max.poll.interval.ms`: without a poll for so long the group takes the consumer for dead. Default 5 min.
    pub max_poll_interval: Duration,
    /// `heartbeat.interval.ms`: how often a waiting poll shows a sign of life and looks after the group. Default 3 s.
    pub heartbeat_interval: Duration,
    /// `metadata.max.age.ms`: how often subscribed topics are looked up even if none is known to have changed. Default
    /// 5 min.
    pub metadata_max_age: Duration,
    /// `client.id`: shown with the member, and the beginning of its id. Default `consumer`.
    pub client_id: String,
    /// `client.rack`: told to the assignor.
    pub client_rack: Option<String>,
    /// `group.instance.id`: makes it a static member, which keeps its partitions while it is away for less than
    /// `max.poll.interval.ms`.
    pub group_instance_id: Option<String>,
    /// `partition.assignment.strategy`: what it offers to its group, best first. Default `range,cooperative-sticky`.
    pub assignors: Vec<Assignor>,
    /// `exclude.internal.topics`: whether patterns leave out the log's own topics. Default true.
    pub exclude_internal_topics: bool,
    /// `allow.auto.create.topics`: whether subscribing creates missing topics, if the log's `auto.create.topics.enable`
    /// does too. Default true.
    pub allow_auto_create_topics: bool,
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
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            max_poll_records: usize::MAX,
            max_poll_interval: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            metadata_max_age: Duration::from_secs(300),
            client_id: "consumer".to_owned(),
            client_rack: None,
            group_instance_id: None,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            exclude_internal_topics: true,
            allow_auto_create_topics: true,
        }
    }
}

impl ConsumerConfig {
    /// The keys that a consumer takes.
    pub const KEYS: [&'static str; 23] = [
        "allow.auto.create.topics",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "client.id",
        "client.rack",
        "default.api.timeout.ms",
        "enable.auto.commit",
        "exclude.internal.topics",
        "fetch.max.bytes",
        "fetch.max.wait.ms",
        "fetch.min.bytes",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "isolation.level",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "max.poll.records",
        "metadata.max.age.ms",
        "partition.assignment.strategy",
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
            "auto.offset.reset" => self.auto_offset_reset = parse_reset(setting)?,
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
            "fetch.min.bytes" => self.fetch_min_bytes = setting.size(0)?,
            "fetch.max.wait.ms" => self.fetch_max_wait = setting.millis()?,
            "max.poll.records" => self.max_poll_records = setting.size(1)?,
            "max.poll.interval.ms" => {
                self.max_poll_interval = Duration::from_millis(u64::from(setting.count(1)?));
            }
            "heartbeat.interval.ms" => {
                self.heartbeat_interval = Duration::from_millis(u64::from(setting.count(1)?));
            }
            "metadata.max.age.ms" => self.metadata_max_age = setting.millis()?,
            "client.id" => self.client_id = setting.value.trim().to_owned(),
            "client.rack" => self.client_rack = Some(setting.nonempty()?),
            "group.instance.id" => self.group_instance_id = Some(setting.nonempty()?),
            "group.protocol" => setting.one_of(&[("classic", ())])?,
            "partition.assignment.strategy" => self.assignors = parse_assignors(setting)?,
            "exclude.internal.topics" => self.exclude_internal_topics = setting.boolean()?,
            "allow.auto.create.topics" => self.allow_auto_create_topics = setting.boolean()?,
            "check.crcs" => drop(setting.boolean()?),
            "default.api.timeout.ms" | "session.timeout.ms" => drop(setting.integer(0..=i64::MAX)?),
            _ => return Err(setting.unknown("consumer", Self::KEYS)),
        }
        Ok(())
    }
}

fn parse_reset(setting: Setting<'_>) -> Result<AutoOffsetReset> {
    if let Some(duration) = setting.value.trim().strip_prefix("by_duration:") {
        let age = parse_iso_duration(duration);
        return age.map(AutoOffsetReset::ByDuration).ok_or_else(|| {
            setting.invalid("after by_duration: it takes a duration of ISO 8601 such as P1DT12H or PT30M")
        });
    }
    match setting.value.trim() {
        "earliest" => Ok(AutoOffsetReset::Earliest),
        "latest" => Ok(AutoOffsetReset::Latest),
        "none" => Ok(AutoOffsetReset::None),
        _ => Err(setting.invalid("it takes one of earliest, latest, none, by_duration:<ISO-8601>")),
    }
}

fn parse_assignors(setting: Setting<'_>) -> Result<Vec<Assignor>> {
    let names = setting.value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let assignors: Option<Vec<_>> = names.map(Assignor::from_name).collect();
    assignors.filter(|assignors| !assignors.is_empty()).ok_or_else(|| {
        let known: Vec<_> = Assignor::ALL.iter().map(|assignor| assignor.name()).collect();
        setting.invalid(format!("it takes a list of {}", known.join(", ")))
    })
}

/// A duration of ISO 8601 in days and smaller units, as Java's `Duration.parse` takes them; a day has 24 hours.
pub(crate) fn parse_iso_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    if !text.trim().starts_with(['P', 'p'])
        || span.get_years() != 0
        || span.get_months() != 0
        || span.get_weeks() != 0
    {
        return None;
    }
    let days = Duration::from_secs(u64::try_from(span.get_days()).ok()? * 24 * 60 * 60);
    let rest = jiff::SignedDuration::try_from(span.days(0)).ok()?;
    days.checked_add(Duration::try_from(rest).ok()?)
}

pub(super) fn parse_acks(setting: Setting<'_>) -> Result<Acks> {
    setting.one_of(&[("0", Acks::None), ("1", Acks::Written), ("all", Acks::Synced), ("-1", Acks::Synced)])
}
