//! Records to columns: only what the query needs, bad records left out and reported.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, ListBuilder,
        RecordBatch, StringBuilder, StructBuilder,
    },
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::{DataType, Int64Type, SchemaRef, TimestampMillisecondType},
};
use millstream_formats::{self as formats, FormatError};
use millstream_log::{Header, PartitionRecords};
use millstream_streams::{Decoded, Decoder, ReportKind, Reporter, RowReport, StreamsError, Subject};

use super::{failed, rekey::split_change, reports::report_row_errors};
use crate::{
    ast::SourceKind,
    catalogue::{HeaderColumn, Windowing},
    columnar::{ColumnarBatch, RowHeaders},
    expression::{Bound, RowErrors, bind},
    plan::{Origin, SourceStep},
};

/// Reads the records of one topic partition for a [`SourceStep`].
pub(crate) struct SourceDecoder {
    topic: String,
    table: bool,
    window: Option<Windowing>,
    key: Option<formats::Decoder>,
    value: formats::Decoder,
    /// Where each column comes from: in `key`'s or `value`'s output, or computed.
    columns: Vec<Place>,
    schema: SchemaRef,
    keep_key_bytes: bool,
    /// Whether values are changes of rows and not rows.
    changes: bool,
    headers: Vec<HeaderColumn>,
    time: Option<TimeColumn>,
    errors: RowErrors,
}

#[derive(Clone, Copy)]
enum Place {
    Key(usize),
    Value(usize),
    Time,
    Partition,
    Offset,
    WindowStart,
    WindowEnd,
    Header(usize),
}

struct TimeColumn {
    place: Place,
    expr: Bound,
    schema: SchemaRef,
    must_be_valid: bool,
}

impl SourceDecoder {
    /// Prepares reading. Fails if a format cannot hold the declared columns.
    pub(crate) fn new(step: &SourceStep, errors: &RowErrors) -> Result<Self, FormatError> {
        let source = &step.source;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let pick = |list: &mut Vec<usize>, column: usize| {
            list.iter().position(|known| *known == column).unwrap_or_else(|| {
                list.push(column);
                list.len() - 1
            })
        };
        let mut place = |origin: Origin| match origin {
            Origin::Key(column) => Place::Key(pick(&mut keys, column)),
            Origin::Value(column) => Place::Value(pick(&mut values, column)),
            Origin::RowTime => Place::Time,
            Origin::RowPartition => Place::Partition,
            Origin::RowOffset => Place::Offset,
            Origin::WindowStart => Place::WindowStart,
            Origin::WindowEnd => Place::WindowEnd,
            Origin::Header(column) => Place::Header(column),
        };
        let columns: Vec<Place> = step.origins.iter().map(|origin| place(*origin)).collect();
        let time = match &step.time {
            None => None,
            Some(time) => {
                let expr =
                    bind(&time.expr, &time.schema).expect("the time column was planned over this layout");
                Some(TimeColumn {
                    place: place(time.origin),
                    expr,
                    schema: time.schema.clone(),
                    must_be_valid: time.must_be_valid,
                })
            }
        };
        let key = match keys.is_empty() {
            true => None,
            false => Some(source.key_decoder(Some(&keys))?),
        };
        Ok(Self {
            topic: source.topic.clone(),
            table: source.kind == SourceKind::Table,
            window: source.window,
            key,
            value: source.value_decoder(Some(&values))?,
            columns,
            schema: step.schema.clone(),
            keep_key_bytes: step.keep_key_bytes,
            changes: step.changes,
            headers: source.columns.headers.clone(),
            time,
            errors: errors.clone(),
        })
    }
}

/// The records of a run, taken apart.
#[derive(Default)]
struct Records<'a> {
    offsets: Vec<u64>,
    timestamps: Vec<i64>,
    keys: Vec<Option<&'a [u8]>>,
    values: Vec<Option<&'a [u8]>>,
    /// The values before, if values are changes.
    old: Vec<Option<&'a [u8]>>,
    /// Start and end of each key's window.
    windows: Vec<(i64, i64)>,
    /// Nothing as long as no record has any.
    headers: RowHeaders,
}

/// Which records stay, and reports about those that do not.
struct Drops<'a> {
    records: &'a Records<'a>,
    keep: Option<Vec<bool>>,
    report: &'a mut dyn Reporter,
}

impl Drops<'_> {
    fn drop_row(&mut self, row: usize, kind: ReportKind, message: &str, subject: Subject<'_>) {
        let rows = self.records.offsets.len();
        let keep = self.keep.get_or_insert_with(|| vec![true; rows]);
        if std::mem::take(&mut keep[row]) {
            let (offset, timestamp) = (Some(self.records.offsets[row]), Some(self.records.timestamps[row]));
            self.report.report(RowReport { kind, rows: 1, offset, timestamp, message, subject });
        }
    }
}

/// The records of a run as rows, those that are left out among them.
pub(super) struct Rows {
    /// A row per record.
    pub(super) batch: ColumnarBatch,
    /// Its offset.
    pub(super) offsets: Vec<u64>,
    /// Which rows stay; `None` for all.
    pub(super) keep: Option<BooleanBuffer>,
}

impl Decoder for SourceDecoder {
    fn decode(&mut self, run: &PartitionRecords, report: &mut dyn Reporter) -> Result<Decoded, StreamsError> {
        let Rows { mut batch, mut offsets, keep } = self.read(run, report)?;
        if let Some(keep) = keep {
            let mut kept = keep.iter();
            offsets.retain(|_| kept.next().expect("a mark per row"));
            batch = batch.filter(&BooleanArray::new(keep, None)).map_err(failed)?;
        }
        Ok(Decoded { batch: Box::new(batch), offsets })
    }
}

impl SourceDecoder {
    /// Reads a run, and marks and reports records that are left out.
    pub(super) fn read(
        &mut self,
        run: &PartitionRecords,
        report: &mut dyn Reporter,
    ) -> Result<Rows, StreamsError> {
        let records = self.take_apart(run)?;
        let rows = records.offsets.len();
        let mut drops = Drops { records: &records, keep: None, report };
        for (row, timestamp) in records.timestamps.iter().enumerate() {
            if *timestamp < 0 {
                let message = "the record's timestamp is negative";
                drops.drop_row(row, ReportKind::Undecodable, message, Subject::Unknown);
            }
        }
        let value = self.value.decode(&records.values);
        for error in &value.errors {
            let message =
                format!("failed to deserialize value from topic: {}. {}", self.topic, error.message);
            let bytes = records.values[error.row];
            drops.drop_row(error.row, ReportKind::Undecodable, &message, Subject::Value(bytes));
        }
        let keys = self.key.as_mut().map(|key| key.decode(&records.keys));
        for error in keys.iter().flat_map(|key| &key.errors) {
            let message = format!("failed to deserialize key from topic: {}. {}", self.topic, error.message);
            let bytes = records.keys[error.row];
            drops.drop_row(error.row, ReportKind::Undecodable, &message, Subject::Key(bytes));
        }
        if self.table {
            for (row, key) in records.keys.iter().enumerate() {
                if key.is_none() {
                    let message = "the record has no key, which a table needs";
                    drops.drop_row(row, ReportKind::Incomplete, message, Subject::Key(None));
                }
            }
        }
        let key_columns = keys.as_ref().map_or(&[][..], |key| &key.columns);
        let mut timestamps = records.timestamps.clone();
        if let Some(time) = &self.time {
            let column = match time.place {
                Place::Key(place) => &key_columns[place],
                Place::Value(place) => &value.columns[place],
                _ => unreachable!("row time is taken from a key or value column"),
            };
            let times = times(time, column)?;
            for (row, timestamp) in timestamps.iter_mut().enumerate() {
                let tombstone = records.values[row].is_none();
                match times.is_valid(row).then(|| times.value(row)).filter(|time| *time >= 0) {
                    Some(time) => *timestamp = time,
                    // A delete has no value to take the time from: it keeps its record's.
                    None if tombstone => {}
                    None if time.must_be_valid => {
                        return Err(failed(format!(
                            "Fatal user code error in TimestampExtractor callback for record of topic {} at offset {}: \
                             the timestamp column has no valid time",
                            self.topic, records.offsets[row]
                        )));
                    }
                    None => {
                        let message = "the timestamp column has no valid time";
                        let bytes = records.values[row];
                        drops.drop_row(row, ReportKind::Undecodable, message, Subject::Value(bytes));
                    }
                }
            }
        }
        let old = match self.changes {
            false => None,
            true => {
                let old = self.value.decode(&records.old);
                for error in &old.errors {
                    let subject = Subject::Value(records.values[error.row]);
                    drops.drop_row(error.row, ReportKind::Undecodable, &error.message, subject);
                }
                Some(old)
            }
        };
        let keep = drops.keep.take();
        report_row_errors(&self.errors, report);
        let timestamps = ScalarBuffer::from(timestamps);
        let offsets = &records.offsets;
        let headers = (!records.headers.is_empty()).then_some(&records.headers);
        let column = |place: &Place, values: &[ArrayRef]| -> ArrayRef {
            match *place {
                Place::Key(place) => key_columns[place].clone(),
                Place::Value(place) => values[place].clone(),
                Place::Time => Arc::new(Int64Array::new(timestamps.clone(), None)),
                Place::Partition => {
                    Arc::new(Int32Array::from_value(run.partition.partition.get() as i32, rows))
                }
                Place::Offset => {
                    Arc::new(Int64Array::from_iter_values(offsets.iter().map(|offset| *offset as i64)))
                }
                Place::WindowStart => {
                    Arc::new(Int64Array::from_iter_values(records.windows.iter().map(|window| window.0)))
                }
                Place::WindowEnd => {
                    Arc::new(Int64Array::from_iter_values(records.windows.iter().map(|window| window.1)))
                }
                Place::Header(place) => header_column(&self.headers[place], headers, rows),
            }
        };
        let rows_of = |decoded: &formats::Decoded| {
            let columns = self.columns.iter().map(|place| column(place, &decoded.columns)).collect();
            let present = decoded.null_rows.as_ref().map(|nulls| !nulls);
            ColumnarBatch::new(self.schema.clone(), columns, timestamps.clone()).with_present(present)
        };
        let key_bytes = self.keep_key_bytes.then(|| byte_column(&records.keys).as_binary::<i32>().clone());
        let batch = rows_of(&value)
            .with_key_bytes(key_bytes)
            .with_old(old.as_ref().map(rows_of))
            .with_headers(headers.cloned());
        Ok(Rows { batch, offsets: records.offsets, keep: keep.map(BooleanBuffer::from) })
    }

    fn take_apart<'a>(&self, run: &'a PartitionRecords) -> Result<Records<'a>, StreamsError> {
        let mut records = Records::default();
        let with_keys = self.key.is_some() || self.keep_key_bytes || self.table || self.window.is_some();
        for record in run.records() {
            let record = record?;
            records.offsets.push(record.offset.get());
            records.timestamps.push(record.timestamp.get());
            if self.changes {
                let (new, old) = split_change(record.value.unwrap_or_default())?;
                records.values.push(new);
                records.old.push(old);
            } else {
                records.values.push(record.value);
            }
            if record.headers().remaining() > 0 || !records.headers.is_empty() {
                records.headers.resize(records.offsets.len() - 1, Arc::default());
                records.headers.push(record.headers().to_owned()?.into());
            }
            if !with_keys {
                continue;
            }
            match (self.window, record.key) {
                (Some(window), Some(key)) => {
                    let (key, window) = split_window(window, key);
                    records.keys.push(Some(key));
                    records.windows.push(window);
                }
                (window, key) => {
                    records.keys.push(key);
                    records.windows.extend(window.map(|_| (0, 0)));
                }
            }
        }
        Ok(records)
    }
}

/// A windowed key without its window, and the window's start and end. A key too short for a window is no key: it stays
/// whole, and decoding it reports that.
fn split_window(window: Windowing, key: &[u8]) -> (&[u8], (i64, i64)) {
    let Some((rest, start)) = key.split_last_chunk::<8>() else { return (key, (0, 0)) };
    let start = i64::from_be_bytes(*start);
    match window.size_ms() {
        Some(size) => (rest, (start, start.saturating_add(size))),
        None => match rest.split_last_chunk::<8>() {
            Some((rest, end)) => (rest, (start, i64::from_be_bytes(*end))),
            None => (key, (0, 0)),
        },
    }
}

/// The value of a header column in each row.
fn header_column(column: &HeaderColumn, headers: Option<&RowHeaders>, rows: usize) -> ArrayRef {
    let of_row = |row: usize| headers.map_or(&[][..], |headers| &headers[row]);
    if let Some(name) = &column.header {
        let last = |headers: &[Header]| headers.iter().rfind(|header| header.key == *name).cloned();
        let mut values = BinaryBuilder::new();
        (0..rows).for_each(|row| values.append_option(last(of_row(row)).and_then(|header| header.value)));
        return Arc::new(values.finish());
    }
    let data_type = column.column.ty.to_arrow();
    let DataType::List(item) = &data_type else { unreachable!("all headers are a list") };
    let DataType::Struct(pair) = item.data_type() else { unreachable!("headers are structs") };
    let builder = StructBuilder::new(
        pair.clone(),
        vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())],
    );
    let mut lists = ListBuilder::new(builder).with_field(Arc::clone(item));
    for row in 0..rows {
        for header in of_row(row) {
            let entry = lists.values();
            let built = "the builder was made of these";
            entry.field_builder::<StringBuilder>(0).expect(built).append_value(&header.key);
            entry.field_builder::<BinaryBuilder>(1).expect(built).append_option(header.value.as_deref());
            entry.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// The time of each row in ms.
fn times(time: &TimeColumn, column: &ArrayRef) -> Result<Int64Array, StreamsError> {
    let batch = RecordBatch::try_new(time.schema.clone(), vec![column.clone()]).map_err(failed)?;
    let times = time.expr.evaluate(&batch).map_err(failed)?;
    Ok(match times.data_type() {
        DataType::Timestamp(_, _) => {
            times.as_primitive::<TimestampMillisecondType>().reinterpret_cast::<Int64Type>()
        }
        _ => times.as_primitive::<Int64Type>().clone(),
    })
}

fn byte_column(entries: &[Option<&[u8]>]) -> ArrayRef {
    let bytes = entries.iter().flatten().map(|entry| entry.len()).sum();
    let mut column = BinaryBuilder::with_capacity(entries.len(), bytes);
    entries.iter().for_each(|entry| column.append_option(*entry));
    Arc::new(column.finish())
}
