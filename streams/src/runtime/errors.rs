//! What a task does about errors of single records: it asks the handler, writes the dead letter, counts and reports.

use bytes::Bytes;
use millstream_log::{Header, Isolation, Log, Offset, Timestamp, TopicPartition};

use crate::error::{StreamsError, full_message};
use crate::handler::{ErrorContext, ErrorResponse, ErrorStage, exception_name};
use crate::report::{ReportKind, RowReport, Subject};
use crate::runtime::graph::TaskGraph;
use crate::runtime::metrics::Counters;
use crate::runtime::outbox::Outbox;

/// Prefix of the headers of dead letters.
const HEADERS: &str = "__streams.errors.";

/// The record whose rows are on their way: a partition, and the offset if it is a single one.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: Option<u64>,
}

/// An error of one record.
pub(crate) struct Failure {
    pub(crate) stage: ErrorStage,
    /// The node of the topology.
    pub(crate) node: usize,
    /// In ms.
    pub(crate) timestamp: Option<i64>,
    pub(crate) error: StreamsError,
    pub(crate) subject: FailedPart,
}

/// What of a record failed; its bytes are those in the log.
#[derive(Clone, Debug, Default)]
pub(crate) enum FailedPart {
    #[default]
    Unknown,
    Key,
    Value,
    Row(String),
    Output,
}

impl From<Subject<'_>> for FailedPart {
    fn from(subject: Subject<'_>) -> Self {
        match subject {
            Subject::Unknown => Self::Unknown,
            Subject::Key(_) => Self::Key,
            Subject::Value(_) => Self::Value,
            Subject::Row(text) => Self::Row(text.to_owned()),
            Subject::Output => Self::Output,
        }
    }
}

/// A record as it is in the log.
struct SourceRecord {
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl TaskGraph {
    /// Asks the handler what to do about an error of the record at `origin`. Fails if the thread is to end.
    pub(crate) fn handle(
        &mut self,
        outbox: &mut Outbox,
        origin: Option<&Origin>,
        failure: Failure,
    ) -> Result<(), StreamsError> {
        let Failure { stage, node, timestamp, error, subject } = failure;
        let handler = self.handlers.of(stage).clone();
        if handler.always(ErrorResponse::Fail) && self.dead_letters.is_none() {
            return Err(self.failed(node, error));
        }
        let record = origin.and_then(|origin| read(&self.log, &origin.partition, origin.offset?));
        let message = full_message(&error);
        let context = ErrorContext {
            stage,
            task: self.task,
            node: self.node_name(node),
            topic: origin.map(|origin| &*origin.partition.topic),
            partition: origin.map_or(self.task.partition, |origin| origin.partition.partition),
            offset: origin.and_then(|origin| origin.offset),
            timestamp: timestamp.or_else(|| record.as_ref().map(|record| record.timestamp.get())),
            key: record.as_ref().and_then(|record| record.key.as_deref()),
            value: record.as_ref().and_then(|record| record.value.as_deref()),
            headers: record.as_ref().map_or(&[], |record| &record.headers),
            message: &message,
        };
        let response = handler.decide(&context);
        if let Some(topic) = self.dead_letters
            && response != ErrorResponse::Retry
        {
            let time = record.as_ref().map_or(context.timestamp.unwrap_or(0), |it| it.timestamp.get()).max(0);
            let headers = dead_letter_headers(&context, &error);
            let key = context.key;
            let appended = outbox.append(topic, None, time, key, context.value, &headers);
            match appended {
                Ok(()) => Counters::add(&self.counters.dead_letters, 1),
                Err(error) if error.refuses_a_record() => {
                    tracing::error!(error = full_message(&error), "a dead letter was refused");
                }
                Err(error) => return Err(error),
            }
        }
        match response {
            ErrorResponse::Continue => {
                let kind = match stage {
                    ErrorStage::Deserialization => ReportKind::Undecodable,
                    ErrorStage::Processing => ReportKind::Unprocessed,
                    ErrorStage::Production => ReportKind::Unencodable,
                };
                let (offset, timestamp) = (context.offset, context.timestamp);
                let subject = match &subject {
                    FailedPart::Unknown => Subject::Unknown,
                    FailedPart::Key => Subject::Key(context.key),
                    FailedPart::Value => Subject::Value(context.value),
                    FailedPart::Row(text) => Subject::Row(text),
                    FailedPart::Output => Subject::Output,
                };
                let report = RowReport { kind, rows: 1, offset, timestamp, message: &message, subject };
                self.report(node, context.topic, &report);
                Ok(())
            }
            ErrorResponse::Fail => Err(self.failed(node, error)),
            ErrorResponse::Retry => Err(StreamsError::Retry { source: Box::new(self.failed(node, error)) }),
        }
    }
}

/// The record at an offset, if the log still has it.
fn read(log: &Log, partition: &TopicPartition, offset: u64) -> Option<SourceRecord> {
    let fetched = log.read(partition, Offset::new(offset), 0, Isolation::ReadUncommitted).ok()?;
    let mut records = fetched.batches.iter().flat_map(|batch| batch.records()).filter_map(Result::ok);
    let record = records.find(|record| record.offset.get() == offset)?;
    Some(SourceRecord {
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers().to_owned().ok()?,
    })
}

/// The headers of the record and what went wrong with it (KIP-1034).
fn dead_letter_headers(context: &ErrorContext<'_>, error: &StreamsError) -> Vec<Header> {
    let mut headers = context.headers.to_vec();
    let mut add = |name: &str, value: String| {
        headers.push(Header { key: format!("{HEADERS}{name}"), value: Some(Bytes::from(value)) });
    };
    add("exception", exception_name(context.stage).to_owned());
    add("message", context.message.to_owned());
    add("stacktrace", format!("task {} at node {}: {}", context.task, context.node, full_message(error)));
    if let Some(topic) = context.topic {
        add("topic", topic.to_owned());
        add("partition", context.partition.to_string());
    }
    if let Some(offset) = context.offset {
        add("offset", offset.to_string());
    }
    headers
}
