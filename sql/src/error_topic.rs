//! The processing log as a topic: what went wrong with single rows, as records that queries can read.
//!
//! Records have ksqlDB's layout, so that its tools and queries understand them. Writing never holds up a query: what does
//! not fit in memory is left out, and the counters of the queries still have it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use millstream_log::{Log, ProducerConfig, Record, SharedProducer};
use millstream_streams::{ReportKind, ReportOrigin, RowReport};
use serde::Serialize;

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
    /// There from the first error on; none if it could not be opened.
    producer: OnceLock<Option<SharedProducer>>,
}

impl ErrorTopic {
    /// A topic that exists, or will when the first error is written.
    pub(crate) fn new(log: &Log, name: &str) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), name: name.to_owned(), producer: OnceLock::new() })
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
        let producer = self.producer.get_or_init(|| self.open());
        let entry = Entry::new(query, time, origin, report);
        let (Some(producer), Ok(value)) = (producer, serde_json::to_vec(&entry)) else { return };
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
    production_error: Option<()>,
    serialization_error: Option<Serialization<'a>>,
    kafka_streams_thread_error: Option<()>,
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

impl<'a> Entry<'a> {
    fn new(query: &str, time: i64, origin: &ReportOrigin<'a>, report: &RowReport<'a>) -> Self {
        let error_message = report.message;
        let (step, message) = match report.kind {
            ReportKind::Undecodable => {
                let error = Deserialization {
                    target: "value",
                    error_message,
                    record: None,
                    cause: [],
                    topic: origin.topic,
                };
                (
                    ".deserializer",
                    Message { kind: 0, deserialization_error: Some(error), ..Message::default() },
                )
            }
            ReportKind::Unencodable => {
                let error = Serialization {
                    target: "value",
                    error_message,
                    record: None,
                    cause: [],
                    topic: origin.topic,
                };
                (".serializer", Message { kind: 3, serialization_error: Some(error), ..Message::default() })
            }
            ReportKind::Failed | ReportKind::Incomplete | ReportKind::Late | ReportKind::Unprocessed => {
                let error = Processing { error_message, record: None, cause: [] };
                ("", Message { kind: 1, record_processing_error: Some(error), ..Message::default() })
            }
        };
        Self { logger: format!("processing.{query}.{}{step}", origin.node), level: "ERROR", time, message }
    }
}

#[cfg(test)]
mod tests {
    use millstream_log::PartitionId;
    use millstream_streams::TaskId;

    use super::*;

    #[test]
    fn entries_have_the_layout_of_the_original() {
        let origin = ReportOrigin {
            application: "app",
            task: TaskId { sub_topology: 0, partition: PartitionId::new(0) },
            node: "Project-0",
            topic: Some("orders"),
            partition: PartitionId::new(0),
        };
        let report =
            |kind| RowReport { kind, rows: 1, offset: Some(7), timestamp: Some(5), message: "no number" };
        for (kind, expected) in [
            (
                ReportKind::Failed,
                r#"{"logger":"processing.Q_1.Project-0","level":"ERROR","time":9,"message":{"type":1,"deserializationError":null,"recordProcessingError":{"errorMessage":"no number","record":null,"cause":[]},"productionError":null,"serializationError":null,"kafkaStreamsThreadError":null}}"#,
            ),
            (
                ReportKind::Undecodable,
                r#"{"logger":"processing.Q_1.Project-0.deserializer","level":"ERROR","time":9,"message":{"type":0,"deserializationError":{"target":"value","errorMessage":"no number","recordB64":null,"cause":[],"topic":"orders"},"recordProcessingError":null,"productionError":null,"serializationError":null,"kafkaStreamsThreadError":null}}"#,
            ),
        ] {
            let entry = Entry::new("Q_1", 9, &origin, &report(kind));
            assert_eq!(serde_json::to_string(&entry).unwrap(), expected);
        }
    }
}
