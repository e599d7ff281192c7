//! The processing log as a topic: what went wrong with single rows, and with threads, as records that queries can read.
//!
//! Records have ksqlDB's layout, so that its tools and queries understand them. Writing never holds up a query: what does
//! not fit in memory is left out, and the counters of the queries still have it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use millstream_log::{Log, ProducerConfig, Record, SharedProducer};
use millstream_streams::{ReportKind, ReportOrigin, RowReport, StreamsError, Subject};
use serde::Serialize;

use crate::expression::Detail;

/// The columns of the stream over the topic.
const COLUMNS: &str = "LOGGER STRING, LEVEL STRING, TIME BIGINT, MESSAGE STRUCT<\
     TYPE INT, \
     DESERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORDB64 STRING, CAUSE ARRAY<STRING>, `topic` STRING>, \
     RECORDPROCESSINGERROR STRUCT<ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>>, \
     PRODUCTIONERROR STRUCT<ERRORMESSAGE STRING>, \
     SERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>, `topic` STRING>, \
     KAFKASTREAMSTHREADERROR STRUCT<ERRORMESSAGE STRING, THREADNAME STRING, CAUSE ARRAY<STRING>>>";

/// Memory of the producer. Errors beyond it are left out.
const BUFFER_BYTES: usize = 1 << 20;

/// The topic that all queries of an engine write their errors to.
pub(crate) struct ErrorTopic {
    log: Log,
    name: String,
    /// Whether records say what was in the rows.
    includes_rows: bool,
    /// There from the first error on; none if it could not be opened.
    producer: OnceLock<Option<SharedProducer>>,
}

impl ErrorTopic {
    /// A topic that exists, or will when the first error is written.
    pub(crate) fn new(log: &Log, name: &str, includes_rows: bool) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), name: name.to_owned(), includes_rows, producer: OnceLock::new() })
    }

    /// What it wants of the errors of rows.
    pub(crate) fn detail(&self) -> Detail {
        if self.includes_rows { Detail::Rows } else { Detail::Messages }
    }

    /// The statement that makes a stream of the topic.
    pub(crate) fn stream(&self, stream: &str, partitions: u32) -> String {
        format!(
            "CREATE STREAM IF NOT EXISTS {stream} ({COLUMNS}) WITH (KAFKA_TOPIC='{}', KEY_FORMAT='KAFKA', \
             VALUE_FORMAT='JSON', PARTITIONS={partitions});",
            self.name.replace('\'', "''")
        )
    }

    /// Writes what a query reported at `time`, ms.
    pub(crate) fn write(&self, query: &str, time: i64, origin: &ReportOrigin<'_>, report: &RowReport<'_>) {
        let content = match report.subject {
            Subject::Key(Some(bytes)) | Subject::Value(Some(bytes)) => Some(BASE64_STANDARD.encode(bytes)),
            Subject::Row(text) => Some(text.to_owned()),
            Subject::Key(None) | Subject::Value(None) | Subject::Unknown | Subject::Output => None,
        };
        let content = content.filter(|_| self.includes_rows);
        self.send(&Entry::of_row(query, time, origin, report, content.as_deref()));
    }

    /// Writes why a thread of a query ended at `time`, ms.
    pub(crate) fn write_thread_error(&self, query: &str, time: i64, thread: &str, error: &StreamsError) {
        let first: &dyn std::error::Error = error;
        let causes = std::iter::successors(Some(first), |error| error.source());
        let cause: Vec<String> = causes.map(ToString::to_string).collect();
        self.send(&Entry::of_thread(query, time, thread, &cause));
    }

    fn send(&self, entry: &Entry<'_>) {
        let producer = self.producer.get_or_init(|| self.open());
        let (Some(producer), Ok(value)) = (producer, serde_json::to_vec(entry)) else { return };
        let record = Record { value: Some(value.into()), ..Record::default() };
        if let Err(error) = producer.send(&self.name, record) {
            tracing::debug!(topic = self.name, %error, "an error was left out of the processing log");
        }
    }

    fn open(&self) -> Option<SharedProducer> {
        let config = ProducerConfig {
            max_block: Duration::ZERO,
            buffer_memory: BUFFER_BYTES,
            ..ProducerConfig::default()
        };
        let opened = SharedProducer::start(&self.log, config);
        opened
            .inspect_err(
                |error| tracing::warn!(topic = self.name, %error, "could not open the processing log"),
            )
            .ok()
    }
}

/// One record.
#[derive(Serialize)]
struct Entry<'a> {
    logger: String,
    level: &'static str,
    time: i64,
    message: Message<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: u8,
    deserialization_error: Option<Deserialization<'a>>,
    record_processing_error: Option<Processing<'a>>,
    production_error: Option<Production<'a>>,
    serialization_error: Option<Serialization<'a>>,
    kafka_streams_thread_error: Option<Thread<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deserialization<'a> {
    target: &'static str,
    error_message: &'a str,
    #[serde(rename = "recordB64")]
    record: Option<&'a str>,
    cause: [&'a str; 0],
    topic: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Processing<'a> {
    error_message: &'a str,
    record: Option<&'a str>,
    cause: [&'a str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Serialization<'a> {
    target: &'static str,
    error_message: &'a str,
    record: Option<&'a str>,
    cause: [&'a str; 0],
    topic: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Production<'a> {
    error_message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thread<'a> {
    error_message: &'a str,
    thread_name: &'a str,
    cause: &'a [String],
}

impl<'a> Entry<'a> {
    fn of_row(
        query: &str,
        time: i64,
        origin: &ReportOrigin<'a>,
        report: &RowReport<'a>,
        record: Option<&'a str>,
    ) -> Self {
        let error_message = report.message;
        let target = if let Subject::Key(_) = report.subject { "key" } else { "value" };
        let (step, message) = match report.kind {
            ReportKind::Undecodable => {
                let topic = origin.topic;
                let error = Deserialization { target, error_message, record, cause: [], topic };
                (
                    ".deserializer",
                    Message { kind: 0, deserialization_error: Some(error), ..Message::default() },
                )
            }
            ReportKind::Unencodable if report.subject == Subject::Output => {
                let error = Production { error_message };
                ("", Message { kind: 2, production_error: Some(error), ..Message::default() })
            }
            ReportKind::Unencodable => {
                let topic = origin.topic;
                let error = Serialization { target, error_message, record, cause: [], topic };
                (".serializer", Message { kind: 3, serialization_error: Some(error), ..Message::default() })
            }
            ReportKind::Failed | ReportKind::Incomplete | ReportKind::Late | ReportKind::Unprocessed => {
                let error = Processing { error_message, record, cause: [] };
                ("", Message { kind: 1, record_processing_error: Some(error), ..Message::default() })
            }
        };
        let logger = format!("processing.{query}.{}{step}", step_of(origin.node));
        Self { logger, level: "ERROR", time, message }
    }

    fn of_thread(query: &str, time: i64, thread_name: &'a str, cause: &'a [String]) -> Self {
        let error_message = "Unhandled exception caught in streams thread";
        let error = Thread { error_message, thread_name, cause };
        let message = Message { kind: 4, kafka_streams_thread_error: Some(error), ..Message::default() };
        Self { logger: format!("processing.{query}"), level: "ERROR", time, message }
    }
}

/// The step that a node of a topology stands for, by the original's name for it.
fn step_of(node: &str) -> &str {
    if node.starts_with("Source-") {
        return "KsqlTopic.Source";
    }
    let numbered = node.rsplit_once('-').filter(|(_, number)| number.bytes().all(|c| c.is_ascii_digit()));
    match numbered.map_or(node, |(step, _)| step) {
        "Filter" => "WhereFilter",
        step => step,
    }
}

#[cfg(test)]
mod tests {
    use millstream_log::PartitionId;
    use millstream_streams::TaskId;

    use super::*;

    #[test]
    fn entries_have_the_layout_of_the_original() {
        let origin = |node: &'static str| ReportOrigin {
            application: "app",
            task: TaskId { sub_topology: 0, partition: PartitionId::new(0) },
            node,
            topic: Some("orders"),
            partition: PartitionId::new(0),
        };
        let message = |kind: u8, field: &str, error: &str| {
            let fields = [
                "deserializationError",
                "recordProcessingError",
                "productionError",
                "serializationError",
                "kafkaStreamsThreadError",
            ];
            let fields =
                fields.map(|name| format!("\"{name}\":{}", if name == field { error } else { "null" }));
            format!("\"message\":{{\"type\":{kind},{}}}", fields.join(","))
        };
        for (node, kind, subject, record, step, expected) in [
            (
                "Project-3",
                ReportKind::Failed,
                Subject::Unknown,
                None,
                "Project",
                message(
                    1,
                    "recordProcessingError",
                    r#"{"errorMessage":"no number","record":null,"cause":[]}"#,
                ),
            ),
            (
                "Filter-1",
                ReportKind::Failed,
                Subject::Row("{}"),
                Some("{}"),
                "WhereFilter",
                message(
                    1,
                    "recordProcessingError",
                    r#"{"errorMessage":"no number","record":"{}","cause":[]}"#,
                ),
            ),
            (
                "Source-ORDERS",
                ReportKind::Undecodable,
                Subject::Key(Some(b"x")),
                Some("eA=="),
                "KsqlTopic.Source.deserializer",
                message(
                    0,
                    "deserializationError",
                    r#"{"target":"key","errorMessage":"no number","recordB64":"eA==","cause":[],"topic":"orders"}"#,
                ),
            ),
            (
                "Sink-OUT",
                ReportKind::Unencodable,
                Subject::Unknown,
                None,
                "Sink-OUT.serializer",
                message(
                    3,
                    "serializationError",
                    r#"{"target":"value","errorMessage":"no number","record":null,"cause":[],"topic":"orders"}"#,
                ),
            ),
            (
                "Sink-OUT",
                ReportKind::Unencodable,
                Subject::Output,
                None,
                "Sink-OUT",
                message(2, "productionError", r#"{"errorMessage":"no number"}"#),
            ),
        ] {
            let (offset, timestamp, message) = (Some(7), Some(5), "no number");
            let report = RowReport { kind, rows: 1, offset, timestamp, message, subject };
            let entry = Entry::of_row("Q_1", 9, &origin(node), &report, record);
            let head = format!(r#"{{"logger":"processing.Q_1.{step}","level":"ERROR","time":9,"#);
            assert_eq!(serde_json::to_string(&entry).unwrap(), format!("{head}{expected}}}"));
        }
        let cause = ["a".to_owned(), "b".to_owned()];
        let entry = Entry::of_thread("Q_1", 9, "app-0", &cause);
        let expected = message(
            4,
            "kafkaStreamsThreadError",
            r#"{"errorMessage":"Unhandled exception caught in streams thread","threadName":"app-0","cause":["a","b"]}"#,
        );
        let head = r#"{"logger":"processing.Q_1","level":"ERROR","time":9,"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), format!("{head}{expected}}}"));
    }
}
