//! What a command can fail with, and the exit code for it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use millstream_connect::ConnectError;
use millstream_log::LogError;
use millstream_sql::SqlError;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A statement is wrong or failed; the text has the place drawn into it.
    #[error("{0}")]
    Statement(String),
    /// A query failed while it ran.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A connector's config is wrong, or it failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A file could not be used.
    #[error("could not {action} {path}")]
    File {
        /// `read`, `write`, `create` or `delete`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Standard input, output or the terminal failed.
    #[error("could not use the terminal or a pipe")]
    Terminal(#[source] io::Error),
    /// The reader of standard output has gone; nothing is printed about it.
    #[error("the reader of the output has gone")]
    ClosedPipe,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Options that do not go together or values that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Anything else, said in full.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// What the shell is told: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Usage(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
            _ => ExitCode::FAILURE,
        }
    }

    /// Whether there is nothing to say about it.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::ClosedPipe)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::ClosedPipe } else { Self::Terminal(error) }
    }
}

/// The error and its causes on one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
