//! The table of topic settings: Kafka's names, types and defaults, and the broker settings that they inherit from.

/// What the text of a setting is read as, by Kafka's names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// One of some words.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Words separated by commas.
    List,
}

/// A setting of a topic.
#[derive(Debug)]
pub(crate) struct TopicKey {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigType,
    pub(crate) default: &'static str,
    /// Broker settings that give its default; the first that is set counts.
    pub(crate) broker: &'static [BrokerKey],
    pub(crate) documentation: &'static str,
}

/// A broker setting behind a topic's.
#[derive(Debug)]
pub(crate) struct BrokerKey {
    pub(crate) name: &'static str,
    /// What one unit of it is in the unit of the topic's setting.
    pub(crate) factor: i64,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const NO_LIMIT: &str = "9223372036854775807";

const fn of(name: &'static str) -> BrokerKey {
    BrokerKey { name, factor: 1 }
}

const fn key(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    broker: &'static [BrokerKey],
    documentation: &'static str,
) -> TopicKey {
    TopicKey { name, kind, default, broker, documentation }
}

/// All of them by name. Defaults and limits are those of Kafka 3.9 where 4.0 narrowed them for clusters.
pub(crate) const TOPIC_KEYS: [TopicKey; 34] = {
    use ConfigType::*;
    [
        key(
            "cleanup.policy",
            List,
            "delete",
            &[of("log.cleanup.policy")],
            "What happens to old records: delete segments past the retention limits, compact to the newest record of \
             each key, or both.",
        ),
        key(
            "compression.gzip.level",
            Int,
            "-1",
            &[of("compression.gzip.level")],
            "Level if compression.type is gzip: 1 to 9, or -1 for the codec's own.",
        ),
        key(
            "compression.lz4.level",
            Int,
            "9",
            &[of("compression.lz4.level")],
            "Level if compression.type is lz4: 1 to 17.",
        ),
        key(
            "compression.type",
            String,
            "producer",
            &[of("compression.type")],
            "How batches are kept: as the producer sent them, uncompressed, or with gzip, snappy, lz4 or zstd.",
        ),
        key(
            "compression.zstd.level",
            Int,
            "3",
            &[of("compression.zstd.level")],
            "Level if compression.type is zstd: -131072 to 22.",
        ),
        key(
            "delete.retention.ms",
            Long,
            "86400000",
            &[of("log.cleaner.delete.retention.ms")],
            "How long compaction keeps tombstones and markers, so that readers see them.",
        ),
        key(
            "file.delete.delay.ms",
            Long,
            "60000",
            &[of("log.segment.delete.delay.ms")],
            "Time between the renaming of a deleted segment's files and their removal.",
        ),
        key(
            "flush.messages",
            Long,
            NO_LIMIT,
            &[of("log.flush.interval.messages")],
            "Records after which an append puts the partition on stable storage, whatever acks says.",
        ),
        key(
            "flush.ms",
            Long,
            NO_LIMIT,
            &[of("log.flush.interval.ms")],
            "Time after which a record is on stable storage, whatever acks says.",
        ),
        key(
            "follower.replication.throttled.replicas",
            List,
            "",
            &[],
            "Accepted for tools that set it; there is one copy.",
        ),
        key(
            "index.interval.bytes",
            Int,
            "4096",
            &[of("log.index.interval.bytes")],
            "Bytes of batches for each entry of an index.",
        ),
        key(
            "leader.replication.throttled.replicas",
            List,
            "",
            &[],
            "Accepted for tools that set it; there is one copy.",
        ),
        key(
            "local.retention.bytes",
            Long,
            "-2",
            &[of("log.local.retention.bytes")],
            "Accepted for tools that set it; only -2 (as retention.bytes), there is no remote storage.",
        ),
        key(
            "local.retention.ms",
            Long,
            "-2",
            &[of("log.local.retention.ms")],
            "Accepted for tools that set it; only -2 (as retention.ms), there is no remote storage.",
        ),
        key(
            "max.compaction.lag.ms",
            Long,
            NO_LIMIT,
            &[of("log.cleaner.max.compaction.lag.ms")],
            "Age at which a record is compacted at the latest.",
        ),
        key(
            "max.message.bytes",
            Int,
            "1048588",
            &[of("message.max.bytes")],
            "Size of the largest batch, as it was sent.",
        ),
        key(
            "message.downconversion.enable",
            Boolean,
            "true",
            &[of("log.message.downconversion.enable")],
            "Accepted for tools that set it; batches are always handed out as they are.",
        ),
        key(
            "message.timestamp.after.max.ms",
            Long,
            NO_LIMIT,
            &[of("log.message.timestamp.after.max.ms")],
            "How far a record's time may lie ahead of the clock, if message.timestamp.type is CreateTime.",
        ),
        key(
            "message.timestamp.before.max.ms",
            Long,
            NO_LIMIT,
            &[of("log.message.timestamp.before.max.ms")],
            "How far a record's time may lie behind the clock, if message.timestamp.type is CreateTime.",
        ),
        key(
            "message.timestamp.type",
            String,
            "CreateTime",
            &[of("log.message.timestamp.type")],
            "Which time records carry: the producer's (CreateTime) or that of the append (LogAppendTime).",
        ),
        key(
            "min.cleanable.dirty.ratio",
            Double,
            "0.5",
            &[of("log.cleaner.min.cleanable.ratio")],
            "Share of uncompacted bytes from which on compaction is worthwhile, 0 to 1.",
        ),
        key(
            "min.compaction.lag.ms",
            Long,
            "0",
            &[of("log.cleaner.min.compaction.lag.ms")],
            "Age below which a record is not compacted.",
        ),
        key(
            "min.insync.replicas",
            Int,
            "1",
            &[of("min.insync.replicas")],
            "Copies that acks=all asks for. There is one: with more, such appends are refused.",
        ),
        key(
            "preallocate",
            Boolean,
            "false",
            &[of("log.preallocate")],
            "Accepted for tools that set it; files grow as they are written.",
        ),
        key(
            "remote.log.copy.disable",
            Boolean,
            "false",
            &[],
            "Accepted for tools that set it; there is no remote storage.",
        ),
        key(
            "remote.log.delete.on.disable",
            Boolean,
            "false",
            &[],
            "Accepted for tools that set it; there is no remote storage.",
        ),
        key(
            "remote.storage.enable",
            Boolean,
            "false",
            &[],
            "Accepted for tools that set it; only false, there is no remote storage.",
        ),
        key(
            "retention.bytes",
            Long,
            "-1",
            &[of("log.retention.bytes")],
            "Size that a partition is kept at by deleting old segments; -1 is no limit.",
        ),
        key(
            "retention.ms",
            Long,
            "604800000",
            &[
                of("log.retention.ms"),
                BrokerKey { name: "log.retention.minutes", factor: MINUTE },
                BrokerKey { name: "log.retention.hours", factor: HOUR },
            ],
            "Age after which a segment is deleted; -1 is no limit.",
        ),
        key(
            "segment.bytes",
            Int,
            "1073741824",
            &[of("log.segment.bytes")],
            "Size at which a new segment starts.",
        ),
        key(
            "segment.index.bytes",
            Int,
            "10485760",
            &[of("log.index.size.max.bytes")],
            "Size at which the index of a segment is full, and a new segment starts.",
        ),
        key(
            "segment.jitter.ms",
            Long,
            "0",
            &[of("log.roll.jitter.ms"), BrokerKey { name: "log.roll.jitter.hours", factor: HOUR }],
            "Largest random time taken off segment.ms, so that partitions do not start segments together.",
        ),
        key(
            "segment.ms",
            Long,
            "604800000",
            &[of("log.roll.ms"), BrokerKey { name: "log.roll.hours", factor: HOUR }],
            "Time after which a new segment starts even if the last one is not full.",
        ),
        key(
            "unclean.leader.election.enable",
            Boolean,
            "false",
            &[of("unclean.leader.election.enable")],
            "Accepted for tools that set it; there is one copy and no election.",
        ),
    ]
};

impl TopicKey {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        const { &TOPIC_KEYS }.iter().find(|key| key.name == name)
    }

    /// Names of all broker settings that give the default of a topic's.
    pub(crate) fn broker_names() -> impl Iterator<Item = &'static str> {
        const { &TOPIC_KEYS }.iter().flat_map(|key| key.broker).map(|broker| broker.name)
    }

    /// The topic's setting that a broker's gives the default of.
    pub(crate) fn of_broker(name: &str) -> Option<(&'static Self, &'static BrokerKey)> {
        const { &TOPIC_KEYS }
            .iter()
            .find_map(|key| Some((key, key.broker.iter().find(|broker| broker.name == name)?)))
    }
}

impl BrokerKey {
    /// The value of the topic's setting for a value of the broker's. What cannot be converted stays as it is, and is
    /// refused as the topic's value.
    pub(crate) fn convert(&self, value: &str) -> String {
        match value.trim().parse::<i64>() {
            Ok(number) if self.factor != 1 && number >= 0 => number.saturating_mul(self.factor).to_string(),
            _ => value.to_owned(),
        }
    }
}
