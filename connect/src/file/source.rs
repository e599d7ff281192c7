//! The two file sources.

use millstream_log::Timestamp;

use crate::{
    batch::{Polled, SourceOffset, SourcePartition, SourceSchema},
    connector::{SourceConnector, SourceProgress, SourceTask},
    definition::{ConfigKey, Importance, Kind},
    error::ConnectError,
    file::{csv_rows::CsvTask, event_time::EventTime, input::is_gzip, json_rows::JsonTask, lines::LineTask},
    settings::Settings,
};

/// Lines of a file as text, as Kafka Connect's `FileStreamSource`: `file`, `topic`, `batch.size`.
///
/// Like that it waits for more at the end of the file; with `follow=false` it ends there.
pub struct FileStreamSource;

/// CSV or JSON lines, plain or gzipped: `file`, `format`, `csv.header`, `csv.delimiter`, `schema`,
/// `key.field`, `timestamp.field`, `timestamp.format`, `timestamp.default`, `null.values`, `follow`.
///
/// A CSV row becomes a record with the names of the header. Its types come from `schema`, or are guessed from
/// the first `schema.sample.rows` rows. A JSON line becomes the value as it stands, or the columns of
/// `schema`.
pub struct FileSource;

const FILE: ConfigKey = ConfigKey::required("file", Kind::String, "the file to read");
const TOPIC: ConfigKey = ConfigKey::required("topic", Kind::String, "the topic to write to");

impl SourceConnector for FileStreamSource {
    fn class_names(&self) -> &'static [&'static str] {
        &[
            "FileStreamSource",
            "FileStreamSourceConnector",
            "org.apache.kafka.connect.file.FileStreamSourceConnector",
        ]
    }

    fn config_keys(&self) -> &'static [ConfigKey] {
        const KEYS: [ConfigKey; 4] = [
            FILE,
            TOPIC,
            ConfigKey::with_default("batch.size", Kind::Int { min: 1 }, "2000", "most lines of a batch")
                .importance(Importance::Low),
            ConfigKey::with_default(
                "follow",
                Kind::Boolean,
                "true",
                "wait for more lines at the end of the file",
            ),
        ];
        &KEYS
    }

    fn task_settings(&self, settings: &Settings, _tasks_max: usize) -> Result<Vec<Settings>, ConnectError> {
        check_follow(settings)?;
        // One file is read by one task.
        Ok(vec![settings.clone()])
    }

    fn task(&self, settings: Settings) -> Result<Box<dyn SourceTask>, ConnectError> {
        Ok(Box::new(LineTask::new(&settings)))
    }
}

impl SourceConnector for FileSource {
    fn class_names(&self) -> &'static [&'static str] {
        &["FileSource", "FileSourceConnector", "millstream.connect.file.FileSource"]
    }

    fn config_keys(&self) -> &'static [ConfigKey] {
        const KEYS: [ConfigKey; 14] = [
            FILE,
            TOPIC,
            ConfigKey::optional(
                "format",
                Kind::OneOf(&["csv", "json"]),
                "what the file holds; by default its extension tells (.csv, .json, .jsonl, .ndjson, with or without .gz)",
            ),
            ConfigKey::with_default(
                "csv.header",
                Kind::Boolean,
                "true",
                "whether the first row names the columns",
            ),
            ConfigKey::with_default("csv.delimiter", Kind::Text, ",", "one character, TAB or SPACE"),
            ConfigKey::optional(
                "schema",
                Kind::String,
                "columns as NAME TYPE, ...; guessed for CSV if absent",
            ),
            ConfigKey::with_default(
                "schema.sample.rows",
                Kind::Int { min: 0 },
                "1000",
                "rows from which types are guessed; 0 makes every column a STRING",
            )
            .importance(Importance::Low),
            ConfigKey::optional("key.field", Kind::String, "the column that becomes the key"),
            ConfigKey::optional("timestamp.field", Kind::String, "the column that holds the event time"),
            ConfigKey::optional(
                "timestamp.format",
                Kind::String,
                "auto, unix_ms, unix_s, iso8601, or a strftime pattern such as %d.%m.%Y %H:%M",
            ),
            ConfigKey::optional(
                "timestamp.default",
                Kind::String,
                "event time of all records of a file without timestamp.field, as iso8601 or unix_ms: for a table that \
                 older records are joined with; if absent, when they are read",
            ),
            ConfigKey::with_default(
                "null.values",
                Kind::Text,
                ",NA",
                "texts between commas that stand for NULL in CSV",
            ),
            ConfigKey::with_default("batch.size", Kind::Int { min: 1 }, "8192", "most rows of a batch")
                .importance(Importance::Low),
            ConfigKey::with_default(
                "follow",
                Kind::Boolean,
                "false",
                "wait for more rows at the end of the file",
            ),
        ];
        &KEYS
    }

    fn task_settings(&self, settings: &Settings, _tasks_max: usize) -> Result<Vec<Settings>, ConnectError> {
        check_follow(settings)?;
        format(settings)?;
        millstream_formats::parse_delimiter(settings.text("csv.delimiter"))
            .map_err(|error| settings.fault("csv.delimiter", error))?;
        default_time(settings)?;
        Ok(vec![settings.clone()])
    }

    fn task(&self, settings: Settings) -> Result<Box<dyn SourceTask>, ConnectError> {
        let default = default_time(&settings)?;
        let task: Box<dyn SourceTask> = match format(&settings)? {
            FileFormat::Csv => Box::new(CsvTask::new(settings)),
            FileFormat::Json => Box::new(JsonTask::new(settings)),
        };
        Ok(match default {
            Some(time) => Box::new(DatedTask { task, time }),
            None => task,
        })
    }
}

/// Gives every record of a task the same event time.
struct DatedTask {
    task: Box<dyn SourceTask>,
    time: Timestamp,
}

impl SourceTask for DatedTask {
    fn partition(&self) -> SourcePartition {
        self.task.partition()
    }

    fn start(&mut self, offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError> {
        self.task.start(offset)
    }

    fn poll(&mut self) -> Result<Polled, ConnectError> {
        let mut polled = self.task.poll()?;
        if let Polled::Batch(batch) = &mut polled {
            batch.timestamps = Some(vec![self.time; batch.rows]);
        }
        Ok(polled)
    }

    fn progress(&self) -> SourceProgress {
        self.task.progress()
    }
}

/// `timestamp.default`.
fn default_time(settings: &Settings) -> Result<Option<Timestamp>, ConnectError> {
    let Some(text) = settings.get("timestamp.default") else { return Ok(None) };
    if settings.get("timestamp.field").is_some() {
        return Err(
            settings.fault("timestamp.default", "the times come from timestamp.field: leave one of them out")
        );
    }
    let time = EventTime::Auto.parse(text);
    time.map(Some).ok_or_else(|| {
        settings.fault("timestamp.default", "it takes a time such as 2013-01-01T10:00:00Z, or milliseconds")
    })
}

enum FileFormat {
    Csv,
    Json,
}

fn format(settings: &Settings) -> Result<FileFormat, ConnectError> {
    if let Some(format) = settings.get("format") {
        return Ok(if format == "csv" { FileFormat::Csv } else { FileFormat::Json });
    }
    let name = settings.text("file").to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Ok(FileFormat::Csv),
        Some("json" | "jsonl" | "ndjson") => Ok(FileFormat::Json),
        _ => Err(settings.fault("format", format!("the name {name:?} does not tell it: set csv or json"))),
    }
}

fn check_follow(settings: &Settings) -> Result<(), ConnectError> {
    if settings.truth("follow") && is_gzip(&settings.path("file")) {
        return Err(settings.fault("follow", "a gzipped file does not grow: set it to false"));
    }
    Ok(())
}
