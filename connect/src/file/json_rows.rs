//! Lines of JSON, for `FileSource`.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, StringArray, StringBuilder},
    compute::filter,
    datatypes::{DataType, Field, FieldRef, Fields},
};
use millstream_formats::{Decoder, Format, FormatSpec};
use millstream_log::Timestamp;

use crate::{
    batch::{BadRecord, Polled, SourceBatch, SourceOffset, SourcePartition, SourceSchema, ValueShape},
    connector::{SourceProgress, SourceTask},
    error::ConnectError,
    file::{
        event_time::EventTime,
        input::{Input, offset, partition, resume},
        lines::next_line,
        schema::parse_schema,
    },
    settings::Settings,
};

/// Reads a file with a JSON object on each line. Without a `schema` the lines pass as they are, so that no
/// field is lost; with one they are read into its columns. The offset is `{"position": bytes, "line": n}`.
pub(super) struct JsonTask {
    path: PathBuf,
    settings: Settings,
    rows_max: usize,
    follow: bool,
    event_time: EventTime,
    readers: Option<Readers>,
    input: Option<Input>,
}

/// What is read out of a line.
struct Readers {
    /// Key and event time as text, whichever are asked for. It checks the line too.
    beside: Decoder,
    key: Option<usize>,
    time: Option<usize>,
    /// The columns of the schema.
    columns: Option<Decoder>,
}

impl JsonTask {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            path: settings.path("file"),
            rows_max: settings.count("batch.size"),
            follow: settings.truth("follow"),
            event_time: EventTime::new(settings.get("timestamp.format")),
            readers: None,
            input: None,
            settings,
        }
    }
}

impl SourceTask for JsonTask {
    fn partition(&self) -> SourcePartition {
        partition(&self.path)
    }

    fn start(&mut self, offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError> {
        let json = FormatSpec::value(Format::Json);
        let decoder = |fields: &Fields| {
            json.decoder(fields, None, None).map_err(|error| self.settings.fault("schema", error))
        };
        let mut beside: Vec<Field> = Vec::new();
        let mut place = |setting: &str| {
            let name = self.settings.get(setting)?;
            Some(beside.iter().position(|field| field.name() == name).unwrap_or_else(|| {
                beside.push(Field::new(name, DataType::Utf8, true));
                beside.len() - 1
            }))
        };
        let (key, time) = (place("key.field"), place("timestamp.field"));
        let key_field: Option<FieldRef> = key.map(|key| Arc::new(beside[key].clone()));
        let (value, columns) = match self.settings.get("schema") {
            None => (ValueShape::JsonText, None),
            Some(schema) => {
                let fields = parse_schema(schema).map_err(|reason| self.settings.fault("schema", reason))?;
                let decoder = decoder(&fields)?;
                (ValueShape::Record(fields), Some(decoder))
            }
        };
        self.readers = Some(Readers { beside: decoder(&beside.into())?, key, time, columns });
        self.input = Some(resume(&self.path, offset)?);
        Ok(SourceSchema { topic: self.settings.text("topic").to_owned(), key: key_field, value })
    }

    fn poll(&mut self) -> Result<Polled, ConnectError> {
        let input = self.input.as_mut().expect("tasks are started before they are polled");
        let start = input.position();
        let mut texts = StringBuilder::new();
        let mut lines = Vec::new();
        let mut bad = Vec::new();
        while lines.len() < self.rows_max {
            let number = input.line();
            let Some((line, used)) = next_line(input, self.follow)? else { break };
            match line.to_str() {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    texts.append_value(text);
                    lines.push(number);
                }
                Err(error) => bad.push((number, format!("not UTF-8: {error}"))),
            }
            input.consume(used);
        }
        if input.position() == start {
            return Ok(if self.follow { Polled::Idle } else { Polled::End });
        }
        let offset = offset(input);
        let readers = self.readers.as_mut().expect("tasks are started before they are polled");
        let mut batch = readers.read(texts.finish(), &lines, &mut bad, &self.event_time, offset);
        bad.sort_unstable();
        let place = |line: u64| format!("{}:{line}", self.path.display());
        batch.bad = bad.into_iter().map(|(line, reason)| BadRecord { place: place(line), reason }).collect();
        Ok(Polled::Batch(batch))
    }

    fn progress(&self) -> SourceProgress {
        self.input.as_ref().map(Input::progress).unwrap_or_default()
    }
}

impl Readers {
    fn read(
        &mut self,
        texts: StringArray,
        lines: &[u64],
        bad: &mut Vec<(u64, String)>,
        event_time: &EventTime,
        offset: SourceOffset,
    ) -> SourceBatch {
        let payloads: Vec<Option<&[u8]>> = texts.iter().map(|text| text.map(str::as_bytes)).collect();
        let mut good = BooleanBufferBuilder::new(lines.len());
        good.append_n(lines.len(), true);
        let mut fault = |row: usize, reason: String| {
            if good.get_bit(row) {
                good.set_bit(row, false);
                bad.push((lines[row], reason));
            }
        };
        let beside = self.beside.decode(&payloads);
        let typed = self.columns.as_mut().map(|columns| columns.decode(&payloads));
        let errors = beside.errors.iter().chain(typed.iter().flat_map(|typed| &typed.errors));
        errors.for_each(|error| fault(error.row, error.message.clone()));
        if let Some(nulls) = &beside.null_rows {
            nulls.set_indices().for_each(|row| fault(row, "null is not an object".into()));
        }
        let mut timestamps = self.time.map(|time| {
            let texts = beside.columns[time].as_string::<i32>();
            let mut time = |(row, text): (usize, Option<&str>)| {
                text.and_then(|text| event_time.parse(text)).unwrap_or_else(|| {
                    let shown = text.map_or("NULL".to_owned(), |text| format!("{text:?}"));
                    fault(row, format!("timestamp.field: {shown} is not a time as timestamp.format says"));
                    Timestamp::NONE
                })
            };
            texts.iter().enumerate().map(&mut time).collect::<Vec<_>>()
        });
        let mut key = self.key.map(|key| Arc::clone(&beside.columns[key]));
        let mut columns: Vec<ArrayRef> = match typed {
            Some(typed) => typed.columns,
            None => {
                drop(payloads);
                vec![Arc::new(texts)]
            }
        };
        let good = BooleanArray::new(good.finish(), None);
        let rows = good.true_count();
        if rows < good.len() {
            let keep = |column: &mut ArrayRef| {
                *column = filter(column, &good).expect("the mask has a bit for each row");
            };
            columns.iter_mut().for_each(keep);
            key.iter_mut().for_each(keep);
            let mut kept = good.values().iter();
            timestamps.iter_mut().for_each(|times| times.retain(|_| kept.next().unwrap_or_default()));
        }
        SourceBatch { rows, columns, key, timestamps, offset, bad: Vec::new() }
    }
}
