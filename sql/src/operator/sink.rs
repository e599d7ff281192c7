//! Columns to records of the sink's topic.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch},
    datatypes::{DataType, Int64Type, TimestampMillisecondType},
};
use millstream_formats::{Encoder as FormatEncoder, Payloads};
use millstream_log::partition_for_key;
use millstream_streams::{
    Batch, Encoder, RecordSink, ReportKind, Reporter, RowReport, StreamsError, Subject,
};

use super::{
    failed,
    keys::KeyWriterError,
    reports::{report_row_errors, row_text},
};
use crate::{
    ast::SourceKind,
    catalogue::{Source, Windowing},
    columnar::ColumnarBatch,
    expression::{Bound, Detail, RowErrors, bind},
    plan::{Output, RowTime},
};

/// Writes batches of key columns, window bounds and value columns as records.
pub(crate) struct SinkEncoder {
    sink: Arc<Source>,
    keys: KeySource,
    null_is_no_key: bool,
    values: FormatEncoder,
    key_payloads: Payloads,
    value_payloads: Payloads,
    /// The column that becomes the record's time, and how.
    time: Option<(usize, Bound, RowTime)>,
    windowed_key: Vec<u8>,
    errors: RowErrors,
}

enum KeySource {
    /// The record has no key.
    None,
    /// The rows carry it as it is written.
    Carried,
    /// It is written from the key columns.
    Written(FormatEncoder),
}

impl SinkEncoder {
    /// Prepares writing of rows for `sink`.
    pub(crate) fn new(
        sink: &Arc<Source>,
        rows: &Output,
        time: Option<&RowTime>,
        errors: &RowErrors,
    ) -> Result<Self, KeyWriterError> {
        let columns = &sink.columns;
        let keys = if columns.key.is_empty() {
            KeySource::None
        } else if rows.key_bytes == Some(sink.key_format) {
            KeySource::Carried
        } else {
            KeySource::Written(sink.key_encoder()?)
        };
        let bounds = if sink.window.is_some() { 2 } else { 0 };
        let time = match time {
            None => None,
            Some(time) => {
                let place = match time.origin {
                    crate::plan::Origin::Value(place) => columns.key.len() + bounds + place,
                    crate::plan::Origin::Key(place) => place,
                    _ => unreachable!("record time is taken from a key or value column"),
                };
                Some((place, bind(&time.expr, &time.schema)?, time.clone()))
            }
        };
        Ok(Self {
            keys,
            null_is_no_key: rows.null_is_no_key,
            values: sink.value_encoder()?,
            key_payloads: Payloads::new(),
            value_payloads: Payloads::new(),
            time,
            windowed_key: Vec::new(),
            errors: errors.clone(),
            sink: sink.clone(),
        })
    }

    fn times(&self, batch: &ColumnarBatch) -> Result<Option<Int64Array>, StreamsError> {
        let Some((place, expr, time)) = &self.time else { return Ok(None) };
        let column = vec![batch.column(*place).clone()];
        let column = RecordBatch::try_new(time.schema.clone(), column).map_err(failed)?;
        let times = expr.evaluate(&column).map_err(failed)?;
        Ok(Some(match times.data_type() {
            DataType::Timestamp(_, _) => times.as_primitive::<TimestampMillisecondType>().reinterpret_cast(),
            _ => times.as_primitive::<Int64Type>().clone(),
        }))
    }
}

impl SinkEncoder {
    fn reject(&self, batch: &ColumnarBatch, row: usize, message: &str, report: &mut dyn Reporter) {
        let wanted = self.errors.detail() == Detail::Rows;
        let text = wanted.then(|| batch.record_batch().ok().and_then(|rows| row_text(&rows, row))).flatten();
        let subject = text.as_deref().map_or(Subject::Unknown, Subject::Row);
        let (kind, timestamp) = (ReportKind::Unencodable, Some(batch.timestamps()[row]));
        report.report(RowReport { kind, rows: 1, offset: None, timestamp, message, subject });
    }
}

impl Encoder for SinkEncoder {
    fn encode(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        let rows = batch.rows();
        let times = self.times(&batch)?;
        report_row_errors(&self.errors, report);
        let key_count = self.sink.columns.key.len();
        let (key_columns, rest) = batch.columns().split_at(key_count);
        let (bounds, values): (&[ArrayRef], &[ArrayRef]) = match self.sink.window {
            Some(_) => rest.split_at(2),
            None => (&[], rest),
        };
        self.value_payloads.clear();
        self.values.encode(values, rows, batch.present(), &mut self.value_payloads).map_err(failed)?;
        self.key_payloads.clear();
        if let KeySource::Written(encoder) = &mut self.keys {
            encoder.encode(key_columns, rows, None, &mut self.key_payloads).map_err(failed)?;
        }
        let session = self.sink.window == Some(Windowing::Session);
        let mut bounds = bounds.iter().map(|bound| bound.as_primitive::<Int64Type>());
        let bounds = bounds.next().zip(bounds.next());
        for row in 0..rows {
            let mut key = match &self.keys {
                KeySource::None => None,
                KeySource::Carried => {
                    let keys = batch.key_bytes().expect("the plan asked the source to keep the keys");
                    keys.is_valid(row).then(|| keys.value(row))
                }
                KeySource::Written(_) if self.null_is_no_key && is_null(key_columns, row) => None,
                KeySource::Written(_) => self.key_payloads.get(row),
            };
            let mut partition = None;
            if let (Some((starts, ends)), Some(bytes)) = (&bounds, key) {
                // All windows of a key are in the partition of the key.
                partition = Some(partition_for_key(bytes, out.partitions()));
                self.windowed_key.clear();
                self.windowed_key.extend_from_slice(bytes);
                if session {
                    self.windowed_key.extend_from_slice(&ends.value(row).to_be_bytes());
                }
                self.windowed_key.extend_from_slice(&starts.value(row).to_be_bytes());
                key = Some(&self.windowed_key);
            }
            let mut timestamp = batch.timestamps()[row];
            let value = self.value_payloads.get(row);
            if let Some(times) = &times
                && value.is_some()
            {
                match times.is_valid(row).then(|| times.value(row)).filter(|time| *time >= 0) {
                    Some(time) => timestamp = time,
                    None => {
                        self.reject(&batch, row, "the TIMESTAMP column has no valid time", report);
                        continue;
                    }
                }
            }
            if key.is_none() && self.sink.kind == SourceKind::Table {
                self.reject(&batch, row, "the row has no key, which a table needs", report);
                continue;
            }
            out.append(partition, timestamp, key, value, batch.headers_of(row))?;
        }
        Ok(())
    }
}

fn is_null(columns: &[ArrayRef], row: usize) -> bool {
    columns.iter().all(|column| column.is_null(row))
}
