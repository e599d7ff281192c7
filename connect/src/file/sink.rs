//! The two file sinks.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Field, Fields},
};
use csv::{ReaderBuilder, StringRecord};
use millstream_formats::{Encoder, Format, FormatSpec, Payloads};
use millstream_log::TopicPartition;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::{
    batch::SinkBatch,
    connector::{SinkConnector, SinkOffsets, SinkShape, SinkTask},
    converter::Converter,
    definition::{ConfigKey, Kind},
    error::ConnectError,
    file::{output::Output, schema::parse_schema},
    settings::Settings,
};

/// One line per value, as Kafka Connect's `FileStreamSink`: `file`, `topics`. A NULL value is the line
/// `null`.
///
/// Appends to what the file holds. Unlike Kafka Connect's it neither loses nor doubles a line after a crash:
/// it keeps the file's length and the offsets in `<file>.offsets`.
pub struct FileStreamSink;

/// JSON lines, or CSV with a header: `file`, `format`, `csv.header`, `csv.delimiter`, `schema`.
///
/// The columns of CSV are those of `schema`, else the header that the file has, else the names in the first
/// value. NULL values are left out of CSV. Keeps `<file>.offsets` as [`FileStreamSink`] does.
pub struct FileSink;

const FILE: ConfigKey = ConfigKey::required("file", Kind::String, "the file to write");

impl SinkConnector for FileStreamSink {
    fn class_names(&self) -> &'static [&'static str] {
        &[
            "FileStreamSink",
            "FileStreamSinkConnector",
            "org.apache.kafka.connect.file.FileStreamSinkConnector",
        ]
    }

    fn config_keys(&self) -> &'static [ConfigKey] {
        &[FILE]
    }

    fn task_settings(&self, settings: &Settings, _tasks_max: usize) -> Result<Vec<Settings>, ConnectError> {
        // One file is written by one task.
        Ok(vec![settings.clone()])
    }

    fn task(&self, settings: Settings) -> Result<Box<dyn SinkTask>, ConnectError> {
        Ok(Box::new(FileTask { settings, content: Content::Lines, output: None }))
    }
}

impl SinkConnector for FileSink {
    fn class_names(&self) -> &'static [&'static str] {
        &["FileSink", "FileSinkConnector", "millstream.connect.file.FileSink"]
    }

    fn config_keys(&self) -> &'static [ConfigKey] {
        const KEYS: [ConfigKey; 5] = [
            FILE,
            ConfigKey::optional(
                "format",
                Kind::OneOf(&["csv", "json"]),
                "what to write; by default csv if the file's name ends in .csv, else json",
            ),
            ConfigKey::with_default(
                "csv.header",
                Kind::Boolean,
                "true",
                "whether the first line names the columns",
            ),
            ConfigKey::with_default("csv.delimiter", Kind::Text, ",", "one character, TAB or SPACE"),
            ConfigKey::optional("schema", Kind::String, "columns of the CSV as NAME TYPE, ..."),
        ];
        &KEYS
    }

    fn task_settings(&self, settings: &Settings, _tasks_max: usize) -> Result<Vec<Settings>, ConnectError> {
        millstream_formats::parse_delimiter(settings.text("csv.delimiter"))
            .map_err(|error| settings.fault("csv.delimiter", error))?;
        if let Some(schema) = settings.get("schema") {
            parse_schema(schema).map_err(|reason| settings.fault("schema", reason))?;
        }
        Ok(vec![settings.clone()])
    }

    fn task(&self, settings: Settings) -> Result<Box<dyn SinkTask>, ConnectError> {
        let csv = match settings.get("format") {
            Some(format) => format == "csv",
            None => settings.text("file").to_ascii_lowercase().ends_with(".csv"),
        };
        let content = if csv { Content::Csv(None) } else { Content::Lines };
        Ok(Box::new(FileTask { settings, content, output: None }))
    }
}

struct FileTask {
    settings: Settings,
    content: Content,
    output: Option<Output>,
}

enum Content {
    Lines,
    /// The writer is there once the columns are known.
    Csv(Option<CsvWriter>),
}

struct CsvWriter {
    encoder: Encoder,
    payloads: Payloads,
}

impl FileTask {
    fn output(&mut self) -> &mut Output {
        self.output.as_mut().expect("tasks are opened before records come")
    }

    fn csv_columns(&self, first: &[u8], converter: &Converter) -> Result<Fields, ConnectError> {
        if let Some(schema) = self.settings.get("schema") {
            return parse_schema(schema).map_err(|reason| self.settings.fault("schema", reason));
        }
        let output = self.output.as_ref().expect("tasks are opened before records come");
        let names = if output.length() > 0 && self.settings.truth("csv.header") {
            header(output, self.delimiter())?
        } else if converter.is_json() {
            json_names(first).ok_or_else(|| {
                self.settings.fault("schema", "the first value is no JSON object: give the columns")
            })?
        } else {
            return Err(self.settings.fault("schema", "only JSON values tell their columns: give them"));
        };
        Ok(names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect())
    }

    fn delimiter(&self) -> char {
        millstream_formats::parse_delimiter(self.settings.text("csv.delimiter")).unwrap_or(',')
    }
}

impl SinkTask for FileTask {
    fn open(&mut self, partitions: &[TopicPartition]) -> Result<SinkOffsets, ConnectError> {
        let output = Output::open(&self.settings.path("file"), self.settings.connector())?;
        let committed = output.committed(partitions);
        self.output = Some(output);
        Ok(committed)
    }

    fn shape(
        &mut self,
        first: Option<&[u8]>,
        converter: &Converter,
    ) -> Result<Option<SinkShape>, ConnectError> {
        if matches!(self.content, Content::Lines) {
            return Ok(Some(SinkShape::Text));
        }
        let Some(first) = first else { return Ok(None) };
        let fields = self.csv_columns(first, converter)?;
        let spec = FormatSpec::value(Format::Delimited).with_delimiter(self.delimiter());
        let encoder = spec.encoder(&fields, None).map_err(|error| self.settings.fault("schema", error))?;
        if self.output().length() == 0 && self.settings.truth("csv.header") {
            let mut header =
                csv::WriterBuilder::new().delimiter(self.delimiter() as u8).from_writer(Vec::new());
            header
                .write_record(fields.iter().map(|field| field.name()))
                .expect("writing to memory cannot fail");
            let header = header.into_inner().expect("writing to memory cannot fail");
            self.output().write(&header)?;
        }
        self.content = Content::Csv(Some(CsvWriter { encoder, payloads: Payloads::new() }));
        Ok(Some(SinkShape::Record(fields)))
    }

    fn put(&mut self, batch: &SinkBatch) -> Result<(), ConnectError> {
        let output = self.output.as_mut().expect("tasks are opened before records come");
        match &mut self.content {
            Content::Lines => {
                let texts = batch.columns[0].as_string::<i32>();
                for row in 0..batch.rows {
                    output.write(if texts.is_null(row) { b"null" } else { texts.value(row).as_bytes() })?;
                    output.write(b"\n")?;
                }
            }
            Content::Csv(writer) => {
                let CsvWriter { encoder, payloads } =
                    writer.as_mut().expect("the shape is asked for before records come");
                let present = batch.null_values.as_ref().map(|nulls| !nulls);
                payloads.clear();
                encoder
                    .encode(&batch.columns, batch.rows, present.as_ref(), payloads)
                    .expect("the columns are those of the shape");
                for line in payloads.iter().flatten() {
                    output.write(line)?;
                    output.write(b"\n")?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, offsets: &SinkOffsets) -> Result<(), ConnectError> {
        self.output().flush(offsets)
    }
}

/// The names in the header of a file that an earlier run began.
fn header(output: &Output, delimiter: char) -> Result<Vec<String>, ConnectError> {
    let file = File::open(output.path()).map_err(ConnectError::file("read", output.path()))?;
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).map_err(ConnectError::file("read", output.path()))?;
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter as u8).has_headers(false).from_reader(line.as_bytes());
    let mut names = StringRecord::new();
    match reader.read_record(&mut names) {
        Ok(true) => Ok(names.iter().map(str::to_owned).collect()),
        _ => Err(ConnectError::Content {
            path: output.path().into(),
            reason: "its first line is no CSV header: give schema, or choose another file".into(),
        }),
    }
}

/// The names of a JSON object in their order.
fn json_names(text: &[u8]) -> Option<Vec<String>> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut names: Vec<String> = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        }
    }
    serde_json::Deserializer::from_slice(text).deserialize_map(Names).ok()
}
