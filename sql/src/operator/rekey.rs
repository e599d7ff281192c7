//! Repartitioning: rows to an internal topic by a new key, where the next operator reads them.

use arrow::datatypes::SchemaRef;
use millstream_formats::{Encoder as FormatEncoder, Payloads};
use millstream_streams::{Batch, Encoder, RecordSink, ReportKind, Reporter, RowReport, StreamsError};

use super::{
    failed,
    keys::{KeyWriter, KeyWriterError, without_nulls},
    report_row_errors,
};
use crate::{
    columnar::ColumnarBatch,
    expression::RowErrors,
    plan::{NullKey, Rekey},
};

/// Writes rows to the repartition topic of a [`Rekey`]. Rows without value are left out.
pub(crate) struct RekeyEncoder {
    keys: KeyWriter,
    null_key: NullKey,
    /// Places of the columns that travel in the value.
    carried: Vec<usize>,
    values: FormatEncoder,
    payloads: Payloads,
    errors: RowErrors,
}

impl RekeyEncoder {
    /// Prepares writing of batches of `input`.
    pub(crate) fn new(step: &Rekey, input: &SchemaRef, errors: &RowErrors) -> Result<Self, KeyWriterError> {
        let topic = &step.read.source;
        let carried = topic.columns.value.iter().map(|column| {
            input.index_of(&column.name).expect("the plan carries only columns that are there")
        });
        Ok(Self {
            keys: KeyWriter::new(&step.keys, &topic.columns.key_fields(), input, topic.key_format)?,
            null_key: step.null_key,
            carried: carried.collect(),
            values: topic.value_format.encoder(&topic.columns.value_fields())?,
            payloads: Payloads::new(),
            errors: errors.clone(),
        })
    }
}

impl Encoder for RekeyEncoder {
    fn encode(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        let batch = ColumnarBatch::from_batch(batch);
        let rows = batch.rows();
        let columns = self.keys.columns(&batch)?;
        report_row_errors(&self.errors, report);
        let valid = without_nulls(&columns);
        let carried: Vec<_> = self.carried.iter().map(|place| batch.column(*place).clone()).collect();
        self.payloads.clear();
        self.values.encode(&carried, rows, None, &mut self.payloads).map_err(failed)?;
        let keys = self.keys.write(&columns, rows)?;
        let mut dropped = 0;
        for row in 0..rows {
            if batch.present().is_some_and(|present| !present.value(row)) {
                continue;
            }
            let key = keys.get(row).filter(|_| valid.as_ref().is_none_or(|valid| valid.is_valid(row)));
            if key.is_none() && self.null_key != NullKey::Keep {
                dropped += 1;
                continue;
            }
            out.append(None, batch.timestamps()[row], key, self.payloads.get(row), &[])?;
        }
        if dropped > 0 && self.null_key == NullKey::Report {
            let message = "a grouping value is NULL: the row is not aggregated";
            let (kind, rows) = (ReportKind::Incomplete, dropped);
            report.report(RowReport { kind, rows, offset: None, timestamp: None, message });
        }
        Ok(())
    }
}
