//! Settings of producers.

use std::time::Duration;

use super::client::parse_acks;
use super::value::{self, Setting};
use crate::error::{LogError, Result};
use crate::record::{Codec, Compression};
use crate::types::Acks;

/// Settings of one producer. An unknown key is an error that names the closest known one.
///
/// Settings are checked one by one and against each other as by Kafka. What is about connections has no further effect
/// on the embedded log, where nothing can be lost or doubled between a producer and its partition.
///
/// The [`Producer`](crate::Producer) of one thread looks at `linger.ms` whenever it starts a batch and does the writing
/// itself, so it needs no memory to wait for and no `max.block.ms`, `retries` or `delivery.timeout.ms`: an error is its
/// caller's at once.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerConfig {
    /// `acks`: what an acknowledgement waits for. Default `all`, which is stable storage here.
    pub acks: Acks,
    /// `enable.idempotence`: whether a batch that is sent again is found out by its sequence number. `None`, the
    /// default, is true unless `acks`, `retries` or `max.in.flight.requests.per.connection` rule it out.
    pub enable_idempotence: Option<bool>,
    /// `batch.size`: bytes at which a batch is sent. Default 16384; 0 sends each record by itself.
    pub batch_size: usize,
    /// `linger.ms`: how long a batch waits for more records. Default 5 ms.
    pub linger: Duration,
    /// `buffer.memory`: bytes of all batches that wait. Default 32 MiB.
    pub buffer_memory: usize,
    /// `max.block.ms`: how long a send waits for such memory. Default 60 s.
    pub max_block: Duration,
    /// `max.request.size`: largest record. Default 1 MiB.
    pub max_request_size: usize,
    /// `retries`: how often a batch is sent again after an error that may pass. Default 2147483647.
    pub retries: u32,
    /// `retry.backoff.ms`: time before the first of them; it doubles each time, with a fifth of chance. Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: the longest such time. Default 1 s.
    pub retry_backoff_max: Duration,
    /// `max.in.flight.requests.per.connection`. Default 5. Batches of a partition are written one after another.
    pub max_in_flight: u32,
    /// `request.timeout.ms`. Default 30 s. Part of the rule for `delivery.timeout.ms`.
    pub request_timeout: Duration,
    /// `delivery.timeout.ms`: age at which a batch that could not be written is given up. `None`, the default, is
    /// 2 min, or `linger.ms` + `request.timeout.ms` if that is longer.
    pub delivery_timeout: Option<Duration>,
    /// `partitioner.class`. Default: the key's hash, or without a key one partition after another.
    pub partitioner: PartitionerClass,
    /// `partitioner.ignore.keys`: whether records with a key are spread like those without. Default false.
    pub partitioner_ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`: whether partitions with shorter queues get more. Default true.
    pub partitioner_adaptive: bool,
    /// `compression.type`: how batches are compressed when they are complete. Default `none`.
    pub compression_type: Option<Codec>,
    /// `compression.gzip.level`. Default -1, which is zlib's own.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`. Default 9.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`. Default 3.
    pub compression_zstd_level: i32,
    /// `metadata.max.age.ms`: time after which new partitions of a topic are noticed. Default 5 min.
    pub metadata_max_age: Duration,
    /// `transactional.id`: makes this a transactional producer and fences older ones with the same id.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: age at which an open transaction may be aborted by the log. Default 60 s.
    pub transaction_timeout: Duration,
    /// `client.id`: name of this client in descriptions and logs. Default empty.
    pub client_id: String,
}

/// How records without a partition of their own are spread, `partitioner.class`.
///
/// Java's class names and short ones are taken: `RoundRobinPartitioner` as well as
/// `org.apache.kafka.clients.producer.RoundRobinPartitioner`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionerClass {
    /// By the key's murmur2 hash. Without a key, one partition gets `batch.size` bytes, then another by chance (KIP-794).
    #[default]
    BuiltIn,
    /// One record each in turn, keys or not (KIP-369).
    RoundRobin,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::Synced,
            enable_idempotence: None,
            batch_size: 16_384,
            linger: Duration::from_millis(5),
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            max_request_size: 1 << 20,
            retries: RETRIES_MAX,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            max_in_flight: 5,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: None,
            partitioner: PartitionerClass::BuiltIn,
            partitioner_ignore_keys: false,
            partitioner_adaptive: true,
            compression_type: None,
            compression_gzip_level: Codec::Gzip.default_level(),
            compression_lz4_level: Codec::Lz4.default_level(),
            compression_zstd_level: Codec::Zstd.default_level(),
            metadata_max_age: Duration::from_secs(5 * 60),
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            client_id: String::new(),
        }
    }
}

const RETRIES_MAX: u32 = i32::MAX as u32;
/// With more batches on the way, a log cannot tell a repeated one from a new one.
const IN_FLIGHT_MAX: u32 = 5;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

impl ProducerConfig {
    /// The keys that a producer takes.
    pub const KEYS: [&'static str; 26] = [
        "acks",
        "batch.size",
        "buffer.memory",
        "client.id",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "delivery.timeout.ms",
        "enable.idempotence",
        "linger.ms",
        "max.block.ms",
        "max.in.flight.requests.per.connection",
        "max.request.size",
        "metadata.max.age.ms",
        "metadata.max.idle.ms",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.class",
        "partitioner.ignore.keys",
        "request.timeout.ms",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "transaction.timeout.ms",
        "transactional.id",
    ];

    /// The defaults with `properties` applied. Fails on an unknown key, a value its key does not take, or settings that
    /// contradict each other.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let config = value::from_properties(properties, Self::set)?;
        config.check()?;
        Ok(config)
    }

    /// Sets `acks`.
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Sets `batch.size`.
    #[must_use]
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.batch_size = bytes;
        self
    }

    /// Sets `linger.ms`.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Sets `compression.type`.
    #[must_use]
    pub fn compression_type(mut self, codec: Option<Codec>) -> Self {
        self.compression_type = codec;
        self
    }

    /// Sets `transactional.id`.
    #[must_use]
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    /// Whether batches carry a producer id and sequence numbers: as `enable.idempotence` says, else whenever the other
    /// settings allow it, and always with a `transactional.id`.
    pub fn is_idempotent(&self) -> bool {
        self.transactional_id.is_some()
            || self.enable_idempotence.unwrap_or_else(|| self.obstacle_to_idempotence().is_none())
    }

    /// `delivery.timeout.ms` in effect.
    pub fn delivery_timeout(&self) -> Duration {
        let least = self.linger.saturating_add(self.request_timeout);
        self.delivery_timeout.unwrap_or_else(|| DELIVERY_TIMEOUT.max(least))
    }

    /// The codec of `compression.type` at its level.
    pub(crate) fn compression(&self) -> Result<Option<Compression>> {
        let at = |codec| {
            let level = match codec {
                Codec::Gzip => self.compression_gzip_level,
                Codec::Snappy => codec.default_level(),
                Codec::Lz4 => self.compression_lz4_level,
                Codec::Zstd => self.compression_zstd_level,
            };
            Compression::with_level(codec, level)
        };
        self.compression_type.map(at).transpose()
    }

    /// The setting that sequence numbers do not go with: key, value, what it needs.
    fn obstacle_to_idempotence(&self) -> Option<(&'static str, String, &'static str)> {
        let acks = match self.acks {
            Acks::None => "0",
            Acks::Written => "1",
            Acks::Synced => "all",
        };
        if self.acks != Acks::Synced {
            Some(("acks", acks.to_owned(), "enable.idempotence needs all"))
        } else if self.retries == 0 {
            Some(("retries", "0".to_owned(), "enable.idempotence needs 1 or more"))
        } else if self.max_in_flight > IN_FLIGHT_MAX {
            let key = "max.in.flight.requests.per.connection";
            Some((key, self.max_in_flight.to_string(), "enable.idempotence needs 5 or fewer"))
        } else {
            None
        }
    }

    /// Checks settings against each other, by the rules of Kafka's `ProducerConfig`.
    ///
    /// Other than there, a `transactional.id` goes with `acks=1`: with one copy of the log, sequence numbers hold without
    /// stable storage, and such a transaction survives the end of this process, not of the machine.
    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |key: &str, value: String, reason: &str| {
            Err(LogError::InvalidConfig { key: key.to_owned(), value, reason: reason.to_owned() })
        };
        if self.enable_idempotence == Some(true)
            && let Some((key, value, reason)) = self.obstacle_to_idempotence()
        {
            return invalid(key, value, reason);
        }
        if let Some(id) = &self.transactional_id {
            if id.is_empty() {
                return invalid("transactional.id", String::new(), "it must not be empty");
            }
            if self.enable_idempotence == Some(false) {
                return invalid("enable.idempotence", "false".to_owned(), "transactional.id needs true");
            }
            if self.acks == Acks::None {
                return invalid("acks", "0".to_owned(), "transactional.id needs all or 1");
            }
        }
        self.compression()?;
        let least = self.linger.saturating_add(self.request_timeout);
        match self.delivery_timeout {
            Some(timeout) if timeout < least => {
                let least = least.as_millis();
                let reason = format!("it takes linger.ms + request.timeout.ms ({least}) or more");
                invalid("delivery.timeout.ms", timeout.as_millis().to_string(), &reason)
            }
            _ => Ok(()),
        }
    }

    fn set(&mut self, setting: Setting<'_>) -> Result<()> {
        match setting.key {
            "acks" => self.acks = parse_acks(setting)?,
            "batch.size" => self.batch_size = setting.size(0)?,
            "buffer.memory" => self.buffer_memory = setting.size(0)?,
            "client.id" => self.client_id = setting.value.trim().to_owned(),
            "compression.gzip.level" => self.compression_gzip_level = parse_level(setting, Codec::Gzip)?,
            "compression.lz4.level" => self.compression_lz4_level = parse_level(setting, Codec::Lz4)?,
            "compression.type" => self.compression_type = parse_codec(setting)?,
            "compression.zstd.level" => self.compression_zstd_level = parse_level(setting, Codec::Zstd)?,
            "delivery.timeout.ms" => self.delivery_timeout = Some(setting.millis()?),
            "enable.idempotence" => self.enable_idempotence = Some(setting.boolean()?),
            "linger.ms" => self.linger = setting.millis()?,
            "max.block.ms" => self.max_block = setting.millis()?,
            "max.in.flight.requests.per.connection" => self.max_in_flight = setting.count(1)?,
            "max.request.size" => self.max_request_size = setting.size(0)?,
            "metadata.max.age.ms" => self.metadata_max_age = setting.millis()?,
            "partitioner.adaptive.partitioning.enable" => self.partitioner_adaptive = setting.boolean()?,
            "partitioner.class" => self.partitioner = parse_partitioner(setting)?,
            "partitioner.ignore.keys" => self.partitioner_ignore_keys = setting.boolean()?,
            "request.timeout.ms" => self.request_timeout = setting.millis()?,
            "retries" => self.retries = setting.count(0)?,
            "retry.backoff.max.ms" => self.retry_backoff_max = setting.millis()?,
            "retry.backoff.ms" => self.retry_backoff = setting.millis()?,
            "transaction.timeout.ms" => self.transaction_timeout = setting.millis()?,
            "transactional.id" => self.transactional_id = Some(setting.nonempty()?),
            // The embedded log has no leaders that come and go, and its topics are always known.
            "metadata.max.idle.ms" | "partitioner.availability.timeout.ms" => {
                setting.millis().map(drop)?;
            }
            _ => return Err(setting.unknown("producer", Self::KEYS)),
        }
        Ok(())
    }
}

fn parse_codec(setting: Setting<'_>) -> Result<Option<Codec>> {
    let choices = Codec::ALL.map(|codec| (codec.name(), Some(codec)));
    let none = [("none", None)];
    setting.one_of(&[&none[..], &choices[..]].concat())
}

fn parse_level(setting: Setting<'_>, codec: Codec) -> Result<i32> {
    let level = setting.integer(i64::from(i32::MIN)..=i64::from(i32::MAX))?;
    Compression::with_level(codec, i32::try_from(level).unwrap_or_default()).map(Compression::level)
}

fn parse_partitioner(setting: Setting<'_>) -> Result<PartitionerClass> {
    let value = setting.value.trim();
    match value.strip_prefix("org.apache.kafka.clients.producer.").unwrap_or(value) {
        "" | "default" | "null" => Ok(PartitionerClass::BuiltIn),
        "RoundRobinPartitioner" | "round_robin" => Ok(PartitionerClass::RoundRobin),
        _ => Err(setting.invalid("it takes RoundRobinPartitioner, or nothing for the built-in one")),
    }
}
