//! The errors of this crate, coarse by what the caller does next and rich in their message.

use std::error::Error;
use std::path::PathBuf;

use millstream_log::{LogError, Recovery};

use crate::crash::CrashPoint;
use crate::processor::TaskId;

/// Why a topology was refused or a stream thread stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The log refused a read, a write or a transaction.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The graph cannot run as it was built.
    #[error("the topology is not valid: {0}")]
    Topology(String),
    /// A topic that must be there before the application starts is not.
    #[error("topic \"{topic}\" of node {node} does not exist: create it before the application starts")]
    MissingTopic {
        /// The missing topic.
        topic: String,
        /// The source or sink that names it.
        node: String,
    },
    /// Inputs that are joined or stored together have different numbers of partitions.
    #[error(
        "topics are not co-partitioned: {topics}: give them the same number of partitions, or repartition one"
    )]
    CoPartitioning {
        /// The topics with their partition counts.
        topics: String,
    },
    /// A setting has a value that does not fit.
    #[error("setting {setting} does not take \"{value}\": {expected}")]
    Config {
        /// The name of the setting, as Kafka spells it.
        setting: String,
        /// The value as it was given.
        value: String,
        /// What the setting takes.
        expected: String,
    },
    /// A file of settings cannot be read.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A setting that no streams application has.
    #[error("unknown setting \"{setting}\"{}", suggestion(nearest))]
    UnknownSetting {
        /// The name as it was given.
        setting: String,
        /// The known name that looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// A store that the topology does not have, or a processor that was not connected to it.
    #[error("no store \"{name}\" here: {known}")]
    UnknownStore {
        /// The store asked for.
        name: String,
        /// The stores that could have been meant.
        known: String,
    },
    /// A store is used as another kind, or with other types, than it was made with.
    #[error("store \"{store}\" has {holds} and is asked for as {asked}")]
    WrongStore {
        /// The store.
        store: String,
        /// What it is.
        holds: String,
        /// What was asked for.
        asked: String,
    },
    /// The state directory cannot be used.
    #[error("could not {action} the state directory {}", path.display())]
    StateDirectory {
        /// What was tried.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The state backend failed; what it holds stays at the last commit.
    #[error("could not {action} the committed state")]
    State {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// State or a changelog record has bytes that do not decode.
    #[error("stored state of \"{store}\" is not readable: {reason}")]
    CorruptState {
        /// The store.
        store: String,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A batch or store of another type than the node expects: the graph was wired wrongly.
    #[error("expected {expected}: the nodes of this edge do not agree on their batch or store type")]
    WrongType {
        /// The Rust type that was expected.
        expected: &'static str,
    },
    /// A value did not become bytes, or bytes did not become a value, where skipping is not allowed.
    #[error("{0}")]
    Serde(String),
    /// A processor failed.
    #[error("task {task} failed at node {node}")]
    Processing {
        /// The task that stopped.
        task: TaskId,
        /// The node that failed.
        node: String,
        /// The cause.
        source: Box<StreamsError>,
    },
    /// A handler wants it tried again.
    #[error("the tasks begin again at the last commit")]
    Retry {
        /// The cause.
        source: Box<StreamsError>,
    },
    /// A test let the application die here.
    #[error("the application was made to crash at {0}")]
    Crashed(CrashPoint),
    /// A user's processor failed for a reason of its own.
    #[error("{0}")]
    Failed(String),
    /// A thread could not be started or ended by a panic.
    #[error("stream thread {thread} {reason}")]
    Thread {
        /// The number of the thread in its application.
        thread: usize,
        /// What happened.
        reason: String,
    },
}

impl StreamsError {
    /// Whether it is about one row, so that others can go on without it. Everything else is about the thread.
    pub(crate) fn is_of_a_row(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Serde(_))
    }

    /// Whether the log refused one record and takes others.
    pub(crate) fn refuses_a_record(&self) -> bool {
        matches!(
            self,
            Self::Log(
                LogError::TooLarge { .. }
                    | LogError::InvalidRecord { .. }
                    | LogError::InvalidTimestamp { .. }
            )
        )
    }

    /// Whether the same can succeed later, from the last commit on.
    pub(crate) fn is_retriable(&self) -> bool {
        match self {
            Self::Retry { .. } => true,
            // A transaction that was ended from outside, for its age, is begun anew.
            Self::Log(LogError::ProducerFenced { .. }) => true,
            Self::Log(error) => matches!(error.recovery(), Recovery::Retry | Recovery::Abort),
            Self::Processing { source, .. } => source.is_retriable(),
            _ => false,
        }
    }
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

/// The message of an error with those of its causes, for places that keep text only.
pub fn full_message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
