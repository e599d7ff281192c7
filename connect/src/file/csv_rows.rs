//! Rows of a CSV file as typed columns, for `FileSource`.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, StringArray, StringBuilder,
        TimestampMillisecondArray,
    },
    compute::filter,
    datatypes::{DataType, Field, Fields},
};
use csv::{ByteRecord, ReaderBuilder};
use millstream_formats::{Format, FormatSpec, type_name};
use millstream_log::Timestamp;
use serde_json::Value;

use crate::{
    batch::{BadRecord, Polled, SourceBatch, SourceOffset, SourcePartition, SourceSchema, ValueShape},
    connector::{SourceProgress, SourceTask},
    error::ConnectError,
    file::{
        event_time::{EventTime, parse_day, parse_iso},
        input::{Input, offset, partition, resume},
        schema::{Guess, parse_schema, parse_type},
    },
    settings::Settings,
};

/// Reads a CSV file batch by batch. The offset is `{"position": bytes, "line": n, "types": [...]}`; the types
/// are there if they were guessed, so that a restart does not guess again.
pub(super) struct CsvTask {
    path: PathBuf,
    settings: Settings,
    parser: Parser,
    rows_max: usize,
    nulls: Vec<String>,
    event_time: EventTime,
    guessed: bool,
    layout: Layout,
    input: Option<Input>,
}

/// Which columns there are, and what two of them are for.
#[derive(Default)]
struct Layout {
    fields: Fields,
    key: Option<usize>,
    time: Option<usize>,
}

impl CsvTask {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            path: settings.path("file"),
            parser: Parser { delimiter: delimiter(&settings), follow: settings.truth("follow") },
            rows_max: settings.count("batch.size"),
            nulls: settings.text("null.values").split(',').map(|null| null.trim().to_owned()).collect(),
            event_time: EventTime::new(settings.get("timestamp.format")),
            guessed: false,
            layout: Layout::default(),
            input: None,
            settings,
        }
    }

    /// The columns by schema, header and sample; leaves `input` behind the header.
    fn columns(&mut self, input: &mut Input, offset: Option<&SourceOffset>) -> Result<Fields, ConnectError> {
        let header = if self.settings.truth("csv.header") { Some(self.header(input)?) } else { None };
        if let Some(schema) = self.settings.get("schema") {
            let fields = parse_schema(schema).map_err(|reason| self.settings.fault("schema", reason))?;
            if let Some(header) = header
                && header.len() != fields.len()
            {
                return Err(self.content(format!(
                    "its header has {} columns, but schema gives {}: make them the same",
                    header.len(),
                    fields.len()
                )));
            }
            return Ok(fields);
        }
        self.guessed = true;
        let stored = offset.and_then(|offset| offset.get("types")).and_then(Value::as_array);
        let types: Vec<DataType> = match stored {
            Some(types) => {
                types.iter().filter_map(Value::as_str).filter_map(|name| parse_type(name).ok()).collect()
            }
            None => self.sample(header.as_ref().map(Vec::len))?,
        };
        let names =
            header.unwrap_or_else(|| (1..=types.len()).map(|number| format!("column{number}")).collect());
        if names.len() != types.len() {
            return Err(self.content(format!(
                "its header has {} columns, earlier it had {}: it is another file now, so use another connector name",
                names.len(),
                types.len()
            )));
        }
        Ok(names.into_iter().zip(types).map(|(name, data_type)| Field::new(name, data_type, true)).collect())
    }

    fn header(&self, input: &mut Input) -> Result<Vec<String>, ConnectError> {
        let mut names = None;
        self.parser.read(input, 1, |record, _| {
            let name =
                |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_owned();
            names = Some(record.iter().map(name).collect());
        })?;
        let names: Vec<String> = names.ok_or_else(|| {
            self.content("it has no header line: write one, or set csv.header=false".into())
        })?;
        if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            return Err(
                self.content(format!("its header names {:?} twice: rename one of the columns", twice.1))
            );
        }
        Ok(names)
    }

    /// Guesses the types from the first rows of the file.
    fn sample(&self, columns: Option<usize>) -> Result<Vec<DataType>, ConnectError> {
        let mut input = Input::open(&self.path)?;
        if self.settings.truth("csv.header") {
            self.header(&mut input)?;
        }
        let mut guesses = vec![Guess::Nothing; columns.unwrap_or_default()];
        let rows = self.settings.count("schema.sample.rows");
        // A column count cannot be told from no row at all.
        self.parser.read(&mut input, rows.max(usize::from(columns.is_none())), |record, _| {
            if guesses.is_empty() {
                guesses.resize(record.len(), Guess::Nothing);
            }
            for (guess, cell) in guesses.iter_mut().zip(record) {
                let cell = String::from_utf8_lossy(cell);
                if !self.nulls.iter().any(|null| *null == cell) {
                    *guess = guess.with(&cell);
                }
            }
        })?;
        Ok(guesses
            .into_iter()
            .map(|guess| if rows == 0 { DataType::Utf8 } else { guess.data_type() })
            .collect())
    }

    fn content(&self, reason: String) -> ConnectError {
        ConnectError::Content { path: self.path.clone(), reason }
    }
}

impl SourceTask for CsvTask {
    fn partition(&self) -> SourcePartition {
        partition(&self.path)
    }

    fn start(&mut self, offset: Option<&SourceOffset>) -> Result<SourceSchema, ConnectError> {
        let mut input = Input::open(&self.path)?;
        let fields = self.columns(&mut input, offset)?;
        let position = |setting: &str| {
            let Some(name) = self.settings.get(setting) else { return Ok(None) };
            let found = fields.iter().position(|field| field.name() == name);
            found.map(Some).ok_or_else(|| {
                let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
                self.settings.fault(setting, format!("the columns are {}", names.join(", ")))
            })
        };
        let (key, time) = (position("key.field")?, position("timestamp.field")?);
        let schema = SourceSchema {
            topic: self.settings.text("topic").to_owned(),
            key: key.map(|key| Arc::clone(&fields[key])),
            value: ValueShape::Record(fields.clone()),
        };
        self.layout = Layout { fields, key, time };
        self.input = Some(if offset.is_some() { resume(&self.path, offset)? } else { input });
        Ok(schema)
    }

    fn poll(&mut self) -> Result<Polled, ConnectError> {
        let input = self.input.as_mut().expect("tasks are started before they are polled");
        let start = input.position();
        let mut rows = Rows::new(self.layout.fields.len(), self.rows_max);
        self.parser.read(input, self.rows_max, |record, line| rows.push(record, line, &self.nulls))?;
        if input.position() == start {
            return Ok(if self.parser.follow { Polled::Idle } else { Polled::End });
        }
        let mut offset = offset(input);
        if self.guessed {
            let types: Vec<Value> =
                self.layout.fields.iter().map(|field| type_name(field.data_type()).into()).collect();
            offset.insert("types".into(), types.into());
        }
        Ok(Polled::Batch(rows.finish(
            &self.path.display().to_string(),
            &self.layout,
            &self.event_time,
            offset,
        )))
    }

    fn progress(&self) -> SourceProgress {
        self.input.as_ref().map(Input::progress).unwrap_or_default()
    }
}

/// The delimiter that the settings name. They were checked to hold one character or a name.
fn delimiter(settings: &Settings) -> u8 {
    millstream_formats::parse_delimiter(settings.text("csv.delimiter"))
        .map_or(b',', |delimiter| delimiter as u8)
}

/// Cuts records out of the input.
struct Parser {
    delimiter: u8,
    follow: bool,
}

impl Parser {
    /// Hands at most `rows_max` records with their lines to `each`, and consumes them. A record that may go
    /// on in bytes that are not yet written is left alone.
    fn read(
        &self,
        input: &mut Input,
        rows_max: usize,
        mut each: impl FnMut(&ByteRecord, u64),
    ) -> Result<(), ConnectError> {
        let mut record = ByteRecord::new();
        let mut rows = 0;
        while rows < rows_max {
            if input.bytes().is_empty() && !input.fill()? {
                return Ok(());
            }
            let (bytes, first_line) = (input.bytes(), input.line());
            let last = input.ended() && !self.follow;
            let mut reader = ReaderBuilder::new()
                .delimiter(self.delimiter)
                .has_headers(false)
                .flexible(true)
                .from_reader(bytes);
            let mut used = 0;
            let mut cut = false;
            while rows < rows_max {
                if !reader.read_byte_record(&mut record).expect("reading from memory cannot fail") {
                    // Only empty lines are left.
                    used = bytes.len();
                    break;
                }
                let end = usize::try_from(reader.position().byte()).unwrap_or(bytes.len());
                if end == bytes.len() && !last && !is_whole(&bytes[used..]) {
                    cut = true;
                    break;
                }
                let line = record.position().map_or(1, csv::Position::line);
                each(&record, first_line + line - 1);
                used = end;
                rows += 1;
            }
            input.consume(used);
            if cut && !input.fill()? && self.follow {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a record at the end of the buffer is ended by its own line end.
fn is_whole(record: &[u8]) -> bool {
    record.last() == Some(&b'\n') && memchr::memchr_iter(b'"', record).count().is_multiple_of(2)
}

/// Rows as text, before they get their types.
struct Rows {
    cells: Vec<StringBuilder>,
    lines: Vec<u64>,
    bad: Vec<(u64, String)>,
}

impl Rows {
    fn new(columns: usize, rows: usize) -> Self {
        let cells = (0..columns).map(|_| StringBuilder::with_capacity(rows, rows * 8)).collect();
        Self { cells, lines: Vec::with_capacity(rows), bad: Vec::new() }
    }

    fn push(&mut self, record: &ByteRecord, line: u64, nulls: &[String]) {
        if record.len() != self.cells.len() {
            let reason = format!("expected {} columns, found {}", self.cells.len(), record.len());
            self.bad.push((line, reason));
            return;
        }
        if let Some(column) = record.iter().position(|cell| std::str::from_utf8(cell).is_err()) {
            self.bad.push((line, format!("column {} is not UTF-8", column + 1)));
            return;
        }
        for (cells, cell) in self.cells.iter_mut().zip(record) {
            match std::str::from_utf8(cell) {
                Ok(cell) if !nulls.iter().any(|null| null == cell) => cells.append_value(cell),
                _ => cells.append_null(),
            }
        }
        self.lines.push(line);
    }

    fn finish(
        mut self,
        file: &str,
        layout: &Layout,
        event_time: &EventTime,
        offset: SourceOffset,
    ) -> SourceBatch {
        let rows = self.lines.len();
        let mut good = BooleanBufferBuilder::new(rows);
        good.append_n(rows, true);
        let mut faults: Vec<(usize, String)> = Vec::new();
        let texts: Vec<StringArray> = self.cells.iter_mut().map(StringBuilder::finish).collect();
        let timestamps =
            layout.time.map(|time| times(&texts[time], layout.fields[time].name(), event_time, &mut faults));
        let mut columns: Vec<ArrayRef> = texts
            .into_iter()
            .zip(&layout.fields)
            .map(|(text, field)| typed(text, field, &mut faults))
            .collect();
        let mut timestamps = timestamps;
        if !faults.is_empty() {
            for (row, reason) in faults {
                // One message per row is enough.
                if good.get_bit(row) {
                    good.set_bit(row, false);
                    self.bad.push((self.lines[row], reason));
                }
            }
            let good = BooleanArray::new(good.finish(), None);
            for column in &mut columns {
                *column = filter(column, &good).expect("the mask has a bit for each row");
            }
            if let Some(times) = &mut timestamps {
                let mut row = 0;
                times.retain(|_| {
                    row += 1;
                    good.value(row - 1)
                });
            }
        }
        self.bad.sort_unstable();
        let bad =
            self.bad.into_iter().map(|(line, reason)| BadRecord { place: format!("{file}:{line}"), reason });
        SourceBatch {
            rows: columns.first().map_or(0, |column| column.len()),
            key: layout.key.map(|key| Arc::clone(&columns[key])),
            columns,
            timestamps,
            offset,
            bad: bad.collect(),
        }
    }
}

fn times(
    texts: &StringArray,
    name: &str,
    event_time: &EventTime,
    faults: &mut Vec<(usize, String)>,
) -> Vec<Timestamp> {
    let mut time = |(row, text): (usize, Option<&str>)| {
        text.and_then(|text| event_time.parse(text)).unwrap_or_else(|| {
            let shown = text.map_or("NULL".to_owned(), |text| format!("{text:?}"));
            faults.push((row, format!("column {name}: {shown} is not a time as timestamp.format says")));
            Timestamp::NONE
        })
    };
    texts.iter().enumerate().map(&mut time).collect()
}

/// A column of text as its type. Cells that are not of the type become NULL and a fault.
fn typed(texts: StringArray, field: &Field, faults: &mut Vec<(usize, String)>) -> ArrayRef {
    let data_type = field.data_type();
    let mut fault = |row: usize, text: &str| {
        let reason = format!(
            "column {}: {text:?} is not a {}: correct it, or give the types in schema",
            field.name(),
            type_name(data_type)
        );
        faults.push((row, reason));
    };
    let mut parsed = |row: usize, text: Option<&str>, parse: &dyn Fn(&str) -> Option<i64>| {
        let text = text?;
        let value = parse(text);
        if value.is_none() {
            fault(row, text);
        }
        value
    };
    match data_type {
        DataType::Utf8 => Arc::new(texts),
        DataType::Boolean => {
            let truth = |text: &str| match text {
                _ if text.eq_ignore_ascii_case("true") => Some(1),
                _ if text.eq_ignore_ascii_case("false") => Some(0),
                _ => None,
            };
            let values =
                texts.iter().enumerate().map(|(row, text)| parsed(row, text, &truth).map(|value| value == 1));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Timestamp(..) => {
            let time = |text: &str| text.parse().ok().or_else(|| parse_iso(text));
            let values = texts.iter().enumerate().map(|(row, text)| parsed(row, text, &time));
            Arc::new(values.collect::<TimestampMillisecondArray>())
        }
        DataType::Date32 => {
            let day = |text: &str| parse_day(text).map(i64::from);
            let values =
                texts.iter().enumerate().map(|(row, text)| parsed(row, text, &day).map(|day| day as i32));
            Arc::new(values.collect::<Date32Array>())
        }
        _ => {
            // Numbers are read as DELIMITED reads them, with a delimiter that no number holds.
            let spec = FormatSpec::value(Format::Delimited).with_delimiter('\u{1}');
            let mut decoder = spec
                .decoder(&Fields::from(vec![field.clone()]), None, None)
                .expect("schema types are plain types");
            let cells: Vec<Option<&[u8]>> = texts.iter().map(|text| text.map(str::as_bytes)).collect();
            let mut decoded = decoder.decode(&cells);
            for error in &decoded.errors {
                fault(error.row, texts.value(error.row));
            }
            decoded.columns.swap_remove(0)
        }
    }
}
