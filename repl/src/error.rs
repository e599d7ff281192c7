//! What a command can fail with, and the exit code for it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use millstream_connect::ConnectError;
use millstream_formats::RegistryError;
use millstream_log::LogError;
use millstream_sql::SqlError;

use crate::style::{Colours, ERROR, HINT, paint};

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
    /// The schema registry refused.
    #[error("{0} (code {code})", code = .0.code)]
    Registry(#[from] RegistryError),
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

/// The error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
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

/// The error with its label and caret in red and its advice in yellow.
pub(crate) fn show(error: &CliError, colours: Colours) -> String {
    let text = chain(error);
    if !colours.stderr {
        return format!("error: {text}");
    }
    let mut shown = paint(ERROR, "error");
    shown.push_str(": ");
    for (i, line) in text.lines().enumerate() {
        if i > 0 {
            shown.push('\n');
        }
        let caret = !line.trim().is_empty() && line.trim().bytes().all(|byte| byte == b'^');
        if caret {
            shown.push_str(&paint(ERROR, line));
        } else if i > 0 && line.trim_start().starts_with("hint:") {
            shown.push_str(&paint(HINT, line));
        } else {
            shown.push_str(line);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_coloured_where_it_helps() {
        let error = CliError::Statement(
            "line 1:8: unknown column X\n  SELECT X;\n         ^\n  hint: did you mean Y?".to_owned(),
        );
        let plain = show(&error, Colours { stdout: false, stderr: false });
        assert!(plain.starts_with("error: line 1:8: unknown column X\n"), "{plain}");
        let coloured = show(&error, Colours { stdout: true, stderr: true });
        assert!(coloured.contains("\u{1b}[33m  hint: did you mean Y?"), "{coloured:?}");
        assert!(coloured.contains("\u{1b}[1m\u{1b}[31m         ^"), "{coloured:?}");
    }
}
