//! The one error type of this crate.

use std::{io, path::PathBuf};

use arrow::error::ArrowError;
use millstream_formats::FormatError;
use millstream_log::LogError;

/// What went wrong with a connector, which one, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A config that is not a JSON object of settings.
    #[error(
        "invalid connector config: {reason}: expected {{\"name\": \"...\", \"config\": {{...}}}} or a flat object"
    )]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// Settings that are missing, unknown or of a wrong type: all of them at once.
    #[error("the config of connector {connector:?} has {} error(s): {}", .errors.len(), .errors.join("; "))]
    Settings {
        /// Name of the connector.
        connector: String,
        /// One message for each setting at fault.
        errors: Vec<String>,
    },
    /// A connector of this name is running already.
    #[error("connector {name:?} is already running: stop it first")]
    AlreadyRunning {
        /// Its name.
        name: String,
    },
    /// No connector of this name is stored.
    #[error("unknown connector {name:?}{}", nearest_hint(.nearest))]
    UnknownConnector {
        /// The name asked for.
        name: String,
        /// The existing name closest to it, if one is close.
        nearest: Option<String>,
    },
    /// A record that cannot be read, under `errors.tolerance=none`.
    #[error("{place}: {reason}: correct it, or skip such records with errors.tolerance=all")]
    BadRecord {
        /// File and line, or topic, partition and offset.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that does not hold what its source was told.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file that could not be used.
    #[error("could not {action} {}", .path.display())]
    File {
        /// `open`, `read`, `write` and the like.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Columns that a converter does not take.
    #[error("{setting} cannot carry these columns")]
    Converter {
        /// `key.converter` or `value.converter`.
        setting: &'static str,
        /// The reason.
        source: FormatError,
    },
    /// A column that cannot be turned into the type of its converter.
    #[error("could not convert a column for {setting}")]
    Cast {
        /// `key.converter` or `value.converter`.
        setting: &'static str,
        /// The reason.
        source: ArrowError,
    },
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A task that failed; the others of the connector may still run.
    #[error("task {task} of connector {connector:?} failed: {trace}")]
    TaskFailed {
        /// Name of the connector.
        connector: String,
        /// Number of the task.
        task: usize,
        /// The error with its causes.
        trace: String,
    },
}

impl ConnectError {
    /// The error and its causes in one line.
    pub(crate) fn trace(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

/// The known name closest to `name`, unless none is close.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

pub(crate) fn nearest_hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(": did you mean {name:?}?"))
}
