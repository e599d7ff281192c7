//! Records to columns: only what the query needs, bad records left out and reported.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, RecordBatch},
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::{DataType, Int64Type, SchemaRef, TimestampMillisecondType},
};
use millstream_formats::{self as formats, FormatError};
use millstream_log::PartitionRecords;
use millstream_streams::{Decoded, Decoder, ReportKind, Reporter, RowReport, StreamsError};

use super::{failed, report_row_errors};
use crate::{
    ast::SourceKind,
    catalogue::Windowing,
    columnar::ColumnarBatch,
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
    ValueBytes,
}

struct TimeColumn {
    place: Place,
    expr: Bound,
    schema: SchemaRef,
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
            Origin::ValueBytes => Place::ValueBytes,
        };
        let columns: Vec<Place> = step.origins.iter().map(|origin| place(*origin)).collect();
        let time = match &step.time {
            None => None,
            Some(time) => {
                let expr =
                    bind(&time.expr, &time.schema).expect("the time column was planned over this layout");
                Some(TimeColumn { place: place(time.origin), expr, schema: time.schema.clone() })
            }
        };
        let key = match keys.is_empty() {
            true => None,
            false => Some(source.key_format.decoder(&source.columns.key_fields(), Some(&keys))?),
        };
        Ok(Self {
            topic: source.topic.clone(),
            table: source.kind == SourceKind::Table,
            window: source.window,
            key,
            value: source.value_format.decoder(&source.columns.value_fields(), Some(&values))?,
            columns,
            schema: step.schema.clone(),
            keep_key_bytes: step.keep_key_bytes,
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
    /// Start and end of each key's window.
    windows: Vec<(i64, i64)>,
}

/// Which records stay, and reports about those that do not.
struct Drops<'a> {
    records: &'a Records<'a>,
    keep: Option<Vec<bool>>,
    report: &'a mut dyn Reporter,
}

impl Drops<'_> {
    fn drop_row(&mut self, row: usize, kind: ReportKind, message: &str) {
        let rows = self.records.offsets.len();
        let keep = self.keep.get_or_insert_with(|| vec![true; rows]);
        if std::mem::take(&mut keep[row]) {
            let (offset, timestamp) = (Some(self.records.offsets[row]), Some(self.records.timestamps[row]));
            self.report.report(RowReport { kind, rows: 1, offset, timestamp, message });
        }
    }
}

impl Decoder for SourceDecoder {
    fn decode(&mut self, run: &PartitionRecords, report: &mut dyn Reporter) -> Result<Decoded, StreamsError> {
        let records = self.take_apart(run)?;
        let rows = records.offsets.len();
        let mut drops = Drops { records: &records, keep: None, report };
        for (row, timestamp) in records.timestamps.iter().enumerate() {
            if *timestamp < 0 {
                drops.drop_row(row, ReportKind::Undecodable, "the record's timestamp is negative");
            }
        }
        let value = self.value.decode(&records.values);
        for error in &value.errors {
            let message =
                format!("failed to deserialize value from topic: {}. {}", self.topic, error.message);
            drops.drop_row(error.row, ReportKind::Undecodable, &message);
        }
        let keys = self.key.as_mut().map(|key| key.decode(&records.keys));
        for error in keys.iter().flat_map(|key| &key.errors) {
            let message = format!("failed to deserialize key from topic: {}. {}", self.topic, error.message);
            drops.drop_row(error.row, ReportKind::Undecodable, &message);
        }
        if self.table {
            for (row, key) in records.keys.iter().enumerate() {
                if key.is_none() {
                    drops.drop_row(row, ReportKind::Incomplete, "the record has no key, which a table needs");
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
                    None => {
                        drops.drop_row(row, ReportKind::Undecodable, "the timestamp column has no valid time")
                    }
                }
            }
        }
        let keep = drops.keep.take();
        report_row_errors(&self.errors, report);
        let timestamps = ScalarBuffer::from(timestamps);
        let offsets = &records.offsets;
        let columns = self.columns.iter().map(|place| -> ArrayRef {
            match *place {
                Place::Key(place) => key_columns[place].clone(),
                Place::Value(place) => value.columns[place].clone(),
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
                Place::ValueBytes => byte_column(&records.values),
            }
        });
        let columns = columns.collect();
        let present = value.null_rows.map(|nulls| !&nulls);
        let mut batch = ColumnarBatch::new(self.schema.clone(), columns, timestamps)
            .with_present(present)
            .with_key_bytes(
                self.keep_key_bytes.then(|| byte_column(&records.keys).as_binary::<i32>().clone()),
            );
        let mut offsets = records.offsets.clone();
        if let Some(keep) = keep {
            let mut kept = keep.iter();
            offsets.retain(|_| *kept.next().expect("a mark per row"));
            batch = batch.filter(&BooleanArray::new(BooleanBuffer::from(keep), None)).map_err(failed)?;
        }
        Ok(Decoded { batch: Box::new(batch), offsets })
    }
}

impl SourceDecoder {
    fn take_apart<'a>(&self, run: &'a PartitionRecords) -> Result<Records<'a>, StreamsError> {
        let mut records = Records::default();
        let with_keys = self.key.is_some() || self.keep_key_bytes || self.table || self.window.is_some();
        for record in run.records() {
            let record = record?;
            records.offsets.push(record.offset.get());
            records.timestamps.push(record.timestamp.get());
            records.values.push(record.value);
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
