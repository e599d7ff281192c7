//! What an application does about records that cannot be read, processed or written.
//!
//! ```text
//! error ─▶ handler ─ continue ─▶ dead letter topic, counted, the next row
//!                  ├ fail ─────▶ dead letter topic, the thread ends: see the uncaught-exception policy
//!                  └ retry ────▶ the tasks of the thread begin again at the last commit, after a pause
//! ```
//! A handler is a setting (`deserialization.exception.handler` and the like) or a closure.

use std::fmt;
use std::sync::Arc;

use millstream_log::{Header, PartitionId};

use crate::error::StreamsError;
use crate::processor::TaskId;

/// What a handler answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorResponse {
    /// Leaves the record out and goes on.
    Continue,
    /// Ends the stream thread.
    Fail,
    /// Gives up what was not committed and tries again after a pause.
    Retry,
}

/// Where an error came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorStage {
    /// The bytes of an input record do not decode, or its timestamp is negative.
    Deserialization,
    /// A processor failed, while it processed a row or did what was due by time.
    Processing,
    /// A row does not become bytes, or the log refuses the record: it is too large, or lacks a key.
    Production,
}

impl fmt::Display for ErrorStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deserialization => "deserialization",
            Self::Processing => "processing",
            Self::Production => "production",
        })
    }
}

/// What a handler is told. The record is the one read from the topic, whatever became of it since; what is not known,
/// as in what is done by time, is absent.
#[derive(Clone, Debug)]
pub struct ErrorContext<'a> {
    /// Where the error came up.
    pub stage: ErrorStage,
    /// The task.
    pub task: TaskId,
    /// The node of the topology.
    pub node: &'a str,
    /// The topic of the record.
    pub topic: Option<&'a str>,
    /// The partition of the record.
    pub partition: PartitionId,
    /// The offset of the record.
    pub offset: Option<u64>,
    /// The timestamp of the row, in ms.
    pub timestamp: Option<i64>,
    /// The key bytes of the record.
    pub key: Option<&'a [u8]>,
    /// The value bytes of the record.
    pub value: Option<&'a [u8]>,
    /// The headers of the record.
    pub headers: &'a [Header],
    /// What happened, for people.
    pub message: &'a str,
}

/// Decides about errors, on the thread of the task.
pub type ErrorHandler = dyn Fn(&ErrorContext<'_>) -> ErrorResponse + Send + Sync;

/// Decides what happens when a stream thread ends with an error.
pub type UncaughtHandler = dyn Fn(&StreamsError) -> UncaughtResponse + Send + Sync;

/// What happens when a stream thread ends with an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UncaughtResponse {
    /// Another thread takes its place and begins at the last commit, after a pause that doubles with every failure until
    /// something was committed.
    ReplaceThread,
    /// All threads of this instance end.
    #[default]
    ShutdownClient,
    /// All threads of all instances of the application end.
    ShutdownApplication,
}

/// The handler of one stage.
#[derive(Clone)]
pub(crate) enum Handler {
    Always(ErrorResponse),
    Asks(Arc<ErrorHandler>),
}

impl Handler {
    pub(crate) fn decide(&self, context: &ErrorContext<'_>) -> ErrorResponse {
        match self {
            Self::Always(response) => *response,
            Self::Asks(handler) => handler(context),
        }
    }

    pub(crate) fn always(&self, response: ErrorResponse) -> bool {
        matches!(self, Self::Always(always) if *always == response)
    }
}

/// The handlers of an application.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) deserialization: Handler,
    pub(crate) processing: Handler,
    pub(crate) production: Handler,
}

impl Handlers {
    pub(crate) fn of(&self, stage: ErrorStage) -> &Handler {
        match stage {
            ErrorStage::Deserialization => &self.deserialization,
            ErrorStage::Processing => &self.processing,
            ErrorStage::Production => &self.production,
        }
    }
}

/// The text of the exception of a dead letter, as Kafka names the class there.
pub(crate) fn exception_name(stage: ErrorStage) -> &'static str {
    match stage {
        ErrorStage::Deserialization => "DeserializationError",
        ErrorStage::Processing => "ProcessingError",
        ErrorStage::Production => "ProductionError",
    }
}
