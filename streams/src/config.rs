//! Settings of a streams application, with Kafka's names.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use millstream_log::{AutoOffsetReset, ConsumerConfig};

use crate::error::StreamsError;
use crate::handler::ErrorResponse;
use crate::properties;
use crate::store::rocks;
use crate::topology::Optimization;

/// How often each input record shows in state and outputs, whatever crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Once or, after a crash, again.
    #[default]
    AtLeastOnce,
    /// Once: inputs, outputs and state advance in one transaction per thread.
    ExactlyOnceV2,
}

/// Settings of one streams application. An unknown key is an error that names the closest known one.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsConfig {
    /// `application.id`: consumer group, prefix of internal topics, and directory below `state.dir`.
    pub application_id: String,
    /// `processing.guarantee`: `at_least_once` (default) or `exactly_once_v2`.
    pub processing_guarantee: ProcessingGuarantee,
    /// `commit.interval.ms`: time between commits. Default 30 s, or 100 ms with `exactly_once_v2`.
    pub commit_interval: Duration,
    /// `num.stream.threads`: threads that share the tasks. Default 1.
    pub stream_threads: usize,
    /// `state.dir`: where RocksDB keeps committed state. Default `millstream-state` in the working directory.
    pub state_dir: PathBuf,
    /// `statestore.cache.max.bytes` (or its older name `cache.max.bytes.buffering`): decoded state kept after
    /// a commit, for all threads. 0 turns caching off: every input yields its output. Default 10 MiB.
    pub cache_max_bytes: usize,
    /// `statestore.uncommitted.max.bytes`: uncommitted state, for all threads, that forces a commit. Default
    /// 64 MiB.
    pub uncommitted_max_bytes: usize,
    /// `rocksdb.memory.bytes`: what RocksDB may take for blocks, indexes, filters and write buffers, for all applications
    /// of the process together: the most that any of them asks for. Default 64 MiB.
    pub rocksdb_memory: usize,
    /// `buffered.records.per.partition`: decoded rows over which a partition is paused. Default 1000.
    pub buffered_records: usize,
    /// `max.task.idle.ms`: how long a task waits for new data in an empty partition before it goes on without
    /// it. 0 (default) waits only for data that is there already; none (-1) does not even wait for that.
    pub max_task_idle: Option<Duration>,
    /// `window.close.idle.ms`: after this long with nothing left to read in any input of a task, its stream time follows
    /// the clock, so that windows close and final results come out without a further record. Off by default (-1): a
    /// record that comes after such a pause with an older timestamp is late, however regular it may be. Choose more than
    /// the commit interval, or a task ahead of a repartition topic can seem to be done before its rows arrive.
    pub window_close_idle: Option<Duration>,
    /// `deserialization.exception.handler`: `fail` (default) or `continue`, or Kafka's class names: what becomes of
    /// records that do not decode.
    pub deserialization_handler: ErrorResponse,
    /// `processing.exception.handler`: `fail` (default) or `continue`: what becomes of rows that a processor fails on.
    /// With `continue`, rows of tasks whose processors can fail go one by one.
    pub processing_handler: ErrorResponse,
    /// `production.exception.handler`: `fail` (default), `continue` or `retry`: what becomes of rows that do not encode,
    /// and of records that the log does not take.
    pub production_handler: ErrorResponse,
    /// `errors.dead.letter.queue.topic.name`: where records go that an error handler was asked about, as they were read,
    /// with headers that say why (KIP-1034). The topic must exist. None by default.
    pub dead_letter_topic: Option<String>,
    /// `retry.backoff.ms`: the pause before a thread that failed begins again; it doubles with every failure up to
    /// `retry.backoff.max.ms`. Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: the longest such pause. Default 10 s.
    pub retry_backoff_max: Duration,
    /// `task.timeout.ms`: how long a thread tries again by itself after errors that can pass, such as a full disk. 0 does
    /// not. Default 5 minutes.
    pub task_timeout: Duration,
    /// `num.standby.replicas`: copies of each task's state that other instances keep. Default 0.
    pub standby_replicas: usize,
    /// `acceptable.recovery.lag`: changelog records that an instance may lack and still take a task over at once. Default
    /// 10000.
    pub acceptable_recovery_lag: u64,
    /// `max.warmup.replicas`: tasks whose state is brought to another instance at a time, so that they can move there.
    /// Default 2.
    pub warmup_replicas_max: usize,
    /// `application.server`: what other instances are told of where this one answers queries, `host:port`. Default none.
    pub application_server: String,
    /// `max.poll.interval.ms`: a thread that does not look at its group for so long loses its tasks to others. Default 5
    /// minutes.
    pub max_poll_interval: Duration,
    /// `auto.offset.reset`: where to begin without a committed offset. Default earliest.
    pub auto_offset_reset: AutoOffsetReset,
    /// `metadata.max.age.ms`: how long it takes at most until a topic is read that is new and matches a pattern. Default 5
    /// minutes.
    pub metadata_max_age: Duration,
    /// `ensure.explicit.internal.resource.naming`: whether an application does not start whose stores or repartition
    /// topics have generated names, which would change with its topology (KIP-1111). Default false.
    pub explicit_naming: bool,
    /// `topology.optimization`: what is saved, for [`StreamsBuilder::build_with`](crate::dsl::StreamsBuilder::build_with):
    /// `none` (default), `all`, or a list of `reuse.ktable.source.topics` and `merge.repartition.topics`.
    pub optimization: Optimization,
    /// `repartition.purge.interval.ms`: time between deletions of what was read from repartition topics and committed.
    /// Default 30 s.
    pub repartition_purge_interval: Duration,
    /// `windowstore.changelog.additional.retention.ms`: added to a window store's retention. Default 1 day.
    pub changelog_additional_retention: Duration,
    /// `client.id`: what the threads' memberships are called, with the thread's number. Default the application id.
    pub client_id: Option<String>,
    /// `poll.ms`: how long a thread waits for input at most before it looks around. Default 100 ms.
    pub poll: Duration,
    /// `consumer.*`: settings for the threads' consumers, without the prefix.
    pub consumer: Vec<(String, String)>,
    /// `producer.*`: settings for the threads' producers, without the prefix.
    pub producer: Vec<(String, String)>,
    /// `topic.*`: settings for internal topics, without the prefix.
    pub topic: Vec<(String, String)>,
}

const PREFIXES: [&str; 3] = ["consumer.", "producer.", "topic."];

impl StreamsConfig {
    /// The keys that are known beside those with the prefixes `consumer.`, `producer.` and `topic.`.
    pub const KEYS: [&'static str; 32] = [
        "acceptable.recovery.lag",
        "application.id",
        "application.server",
        "auto.offset.reset",
        "buffered.records.per.partition",
        "cache.max.bytes.buffering",
        "client.id",
        "commit.interval.ms",
        "deserialization.exception.handler",
        "ensure.explicit.internal.resource.naming",
        "errors.dead.letter.queue.topic.name",
        "max.poll.interval.ms",
        "max.task.idle.ms",
        "max.warmup.replicas",
        "metadata.max.age.ms",
        "num.standby.replicas",
        "num.stream.threads",
        "poll.ms",
        "processing.exception.handler",
        "processing.guarantee",
        "production.exception.handler",
        "repartition.purge.interval.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "rocksdb.memory.bytes",
        "state.dir",
        "statestore.cache.max.bytes",
        "statestore.uncommitted.max.bytes",
        "task.timeout.ms",
        "topology.optimization",
        "window.close.idle.ms",
        "windowstore.changelog.additional.retention.ms",
    ];

    /// The defaults for an application.
    pub fn new(application_id: impl Into<String>) -> Self {
        Self {
            application_id: application_id.into(),
            processing_guarantee: ProcessingGuarantee::AtLeastOnce,
            commit_interval: Duration::from_secs(30),
            stream_threads: 1,
            state_dir: PathBuf::from("millstream-state"),
            cache_max_bytes: 10 << 20,
            uncommitted_max_bytes: 64 << 20,
            rocksdb_memory: rocks::DEFAULT_MEMORY_BYTES,
            buffered_records: 1000,
            max_task_idle: Some(Duration::ZERO),
            window_close_idle: None,
            deserialization_handler: ErrorResponse::Fail,
            processing_handler: ErrorResponse::Fail,
            production_handler: ErrorResponse::Fail,
            dead_letter_topic: None,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
            task_timeout: Duration::from_secs(300),
            standby_replicas: 0,
            acceptable_recovery_lag: 10_000,
            warmup_replicas_max: 2,
            application_server: String::new(),
            max_poll_interval: Duration::from_secs(300),
            auto_offset_reset: AutoOffsetReset::Earliest,
            metadata_max_age: Duration::from_secs(300),
            explicit_naming: false,
            optimization: Optimization::NONE,
            repartition_purge_interval: Duration::from_secs(30),
            changelog_additional_retention: Duration::from_secs(24 * 3600),
            client_id: None,
            poll: Duration::from_millis(100),
            consumer: Vec::new(),
            producer: Vec::new(),
            topic: Vec::new(),
        }
    }

    /// Settings from properties; `application.id` is required.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, StreamsError> {
        let mut config = Self::new("");
        let mut interval_set = false;
        for (key, value) in properties {
            interval_set |= key.as_ref() == "commit.interval.ms";
            config.set(key.as_ref(), value.as_ref())?;
        }
        if config.application_id.is_empty() {
            return Err(invalid("application.id", "", "give the application a name"));
        }
        if !interval_set && config.processing_guarantee == ProcessingGuarantee::ExactlyOnceV2 {
            config.commit_interval = Duration::from_millis(100);
        }
        Ok(config)
    }

    /// Settings from a file of Java's properties: `name=value` lines, `#` or `!` before comments, `\` before a line end
    /// that does not end the line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, StreamsError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| StreamsError::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let properties = properties::parse(&text).map_err(|(line, text)| {
            invalid(&format!("{}, line {line}", path.display()), &text, "a line is name=value or a comment")
        })?;
        Self::from_properties(properties)
    }

    /// Exactly once, with its default commit interval of 100 ms.
    #[must_use]
    pub fn exactly_once(mut self) -> Self {
        self.processing_guarantee = ProcessingGuarantee::ExactlyOnceV2;
        self.commit_interval = Duration::from_millis(100);
        self
    }

    /// Whether updates to a key are coalesced until the commit.
    pub fn caching(&self) -> bool {
        self.cache_max_bytes > 0
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StreamsError> {
        match key {
            "application.id" => {
                let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                if value.is_empty() || !value.chars().all(legal) {
                    return Err(invalid(key, value, "it is part of topic names: use A-Z a-z 0-9 . _ -"));
                }
                self.application_id = value.to_owned();
            }
            "processing.guarantee" => {
                self.processing_guarantee = match value {
                    "at_least_once" => ProcessingGuarantee::AtLeastOnce,
                    "exactly_once_v2" => ProcessingGuarantee::ExactlyOnceV2,
                    _ => return Err(invalid(key, value, "it takes at_least_once or exactly_once_v2")),
                };
            }
            "auto.offset.reset" => {
                // The consumer knows its forms.
                self.auto_offset_reset = ConsumerConfig::from_properties([(key, value)])?.auto_offset_reset;
            }
            "commit.interval.ms" => self.commit_interval = Duration::from_millis(number(key, value)?),
            "num.stream.threads" => {
                self.stream_threads = number(key, value)?;
                if self.stream_threads == 0 {
                    return Err(invalid(key, value, "it takes 1 or more"));
                }
            }
            "state.dir" => self.state_dir = PathBuf::from(value),
            "statestore.cache.max.bytes" | "cache.max.bytes.buffering" => {
                self.cache_max_bytes = number(key, value)?
            }
            "statestore.uncommitted.max.bytes" => self.uncommitted_max_bytes = number(key, value)?,
            "rocksdb.memory.bytes" => self.rocksdb_memory = number(key, value)?,
            "buffered.records.per.partition" => self.buffered_records = number(key, value)?,
            "max.task.idle.ms" => self.max_task_idle = millis_or_none(key, value)?,
            "window.close.idle.ms" => self.window_close_idle = millis_or_none(key, value)?,
            "deserialization.exception.handler" => self.deserialization_handler = handler(key, value)?,
            "processing.exception.handler" => self.processing_handler = handler(key, value)?,
            "production.exception.handler" => {
                self.production_handler = match value {
                    "retry" => ErrorResponse::Retry,
                    _ => handler(key, value)?,
                }
            }
            "errors.dead.letter.queue.topic.name" => {
                self.dead_letter_topic = Some(value.to_owned()).filter(|topic| !topic.is_empty());
            }
            "client.id" => self.client_id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "poll.ms" => self.poll = Duration::from_millis(number(key, value)?),
            "num.standby.replicas" => self.standby_replicas = number(key, value)?,
            "acceptable.recovery.lag" => self.acceptable_recovery_lag = number(key, value)?,
            "max.warmup.replicas" => self.warmup_replicas_max = number(key, value)?,
            "application.server" => self.application_server = value.to_owned(),
            "max.poll.interval.ms" => self.max_poll_interval = Duration::from_millis(number(key, value)?),
            "metadata.max.age.ms" => self.metadata_max_age = Duration::from_millis(number(key, value)?),
            "retry.backoff.ms" => self.retry_backoff = Duration::from_millis(number(key, value)?),
            "retry.backoff.max.ms" => self.retry_backoff_max = Duration::from_millis(number(key, value)?),
            "task.timeout.ms" => self.task_timeout = Duration::from_millis(number(key, value)?),
            "ensure.explicit.internal.resource.naming" => {
                self.explicit_naming =
                    value.trim().parse().map_err(|_| invalid(key, value, "it takes true or false"))?;
            }
            "topology.optimization" => {
                self.optimization = value.parse().map_err(|expected| invalid(key, value, expected))?;
            }
            "repartition.purge.interval.ms" => {
                self.repartition_purge_interval = Duration::from_millis(number(key, value)?);
            }
            "windowstore.changelog.additional.retention.ms" => {
                self.changelog_additional_retention = Duration::from_millis(number(key, value)?);
            }
            _ => return self.set_prefixed(key, value),
        }
        Ok(())
    }

    fn set_prefixed(&mut self, key: &str, value: &str) -> Result<(), StreamsError> {
        // Threads have one consumer, Kafka's main consumer.
        let key = key.strip_prefix("main.").filter(|key| key.starts_with("consumer.")).unwrap_or(key);
        let [consumer, producer, topic] = PREFIXES.map(|prefix| key.strip_prefix(prefix));
        let (list, key) = match (consumer, producer, topic) {
            (Some(key), _, _) => (&mut self.consumer, key),
            (_, Some(key), _) => (&mut self.producer, key),
            (_, _, Some(key)) => (&mut self.topic, key),
            (None, None, None) => {
                return Err(StreamsError::UnknownSetting { setting: key.to_owned(), nearest: nearest(key) });
            }
        };
        list.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

fn number<N: FromStr>(key: &str, value: &str) -> Result<N, StreamsError> {
    value.trim().parse().map_err(|_| invalid(key, value, "it takes a whole number"))
}

/// Kafka's classes are known by their last names.
fn handler(key: &str, value: &str) -> Result<ErrorResponse, StreamsError> {
    let class = value.strip_prefix("org.apache.kafka.streams.errors.").unwrap_or(value);
    match class {
        "continue" | "LogAndContinueExceptionHandler" | "LogAndContinueProcessingExceptionHandler" => {
            Ok(ErrorResponse::Continue)
        }
        "fail"
        | "LogAndFailExceptionHandler"
        | "LogAndFailProcessingExceptionHandler"
        | "DefaultProductionExceptionHandler" => Ok(ErrorResponse::Fail),
        _ => {
            Err(invalid(key, value, "it takes continue or fail; give a closure to the application's builder"))
        }
    }
}

/// Negative numbers stand for none.
fn millis_or_none(key: &str, value: &str) -> Result<Option<Duration>, StreamsError> {
    let millis: i64 = number(key, value)?;
    Ok(u64::try_from(millis).ok().map(Duration::from_millis))
}

fn invalid(setting: &str, value: &str, expected: &str) -> StreamsError {
    StreamsError::Config {
        setting: setting.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

fn nearest(key: &str) -> Option<&'static str> {
    const SIMILAR: f64 = 0.7;
    let similarity = |known: &&'static str| strsim::jaro_winkler(key, known);
    let best = StreamsConfig::KEYS.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(&best) >= SIMILAR).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)]) -> Result<StreamsConfig, String> {
        StreamsConfig::from_properties(properties.iter().copied()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_follow_the_guarantee() {
        let config = check(&[("application.id", "a")]).unwrap();
        assert_eq!(config.commit_interval, Duration::from_secs(30));
        let config = check(&[("processing.guarantee", "exactly_once_v2"), ("application.id", "a")]).unwrap();
        assert_eq!(config.commit_interval, Duration::from_millis(100));
        assert_eq!(config, StreamsConfig::new("a").exactly_once());
    }

    #[test]
    fn mistakes_are_named() {
        for (properties, message) in [
            (
                &[("commit.intervall.ms", "5")][..],
                "unknown setting \"commit.intervall.ms\": did you mean commit.interval.ms?",
            ),
            (&[("xyz", "5")], "unknown setting \"xyz\""),
            (&[], "setting application.id does not take \"\": give the application a name"),
            (
                &[("num.stream.threads", "two")],
                "setting num.stream.threads does not take \"two\": it takes a whole number",
            ),
            (
                &[("processing.guarantee", "twice")],
                "setting processing.guarantee does not take \"twice\": it takes at_least_once or exactly_once_v2",
            ),
        ] {
            assert_eq!(check(properties).unwrap_err(), message);
        }
    }

    #[test]
    fn files_are_javas_properties() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.properties");
        std::fs::write(
            &path,
            "# an application\napplication.id = a\nmain.consumer.x: 2\ncommit.interval.ms=\\\n  5\n",
        )
        .unwrap();
        let config = StreamsConfig::from_file(&path).unwrap();
        assert_eq!((config.application_id.as_str(), config.commit_interval), ("a", Duration::from_millis(5)));
        assert_eq!(config.consumer, [("x".to_owned(), "2".to_owned())]);
        std::fs::write(&path, "application.id=a\nplain\n").unwrap();
        let error = StreamsConfig::from_file(&path).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "app.properties, line 2 does not take \"plain\": a line is name=value or a comment"
            ),
            "{error}"
        );
        let error = StreamsConfig::from_file(dir.path().join("absent")).unwrap_err().to_string();
        assert!(error.starts_with("could not read "), "{error}");
    }

    #[test]
    fn prefixed_settings_go_to_the_clients() {
        let config =
            check(&[("application.id", "a"), ("producer.batch.size", "1"), ("consumer.x", "2")]).unwrap();
        assert_eq!(config.producer, [("batch.size".to_owned(), "1".to_owned())]);
        assert_eq!(config.consumer, [("x".to_owned(), "2".to_owned())]);
    }
}
