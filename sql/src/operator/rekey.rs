//! Repartitioning: rows to an internal topic by a new key, where the next operator reads them.
//!
//! Changes of a table that is grouped anew go to the group that a row leaves and to the one it enters. Their values are
//! those of Kafka's repartition topics (KIP-904):
//!
//! ```text
//! old value │ 0        a row leaves a group
//! new value │ 1        a row enters a group
//! length of the new value 4 │ new value │ old value │ 2        a row of the group changes (big endian)
//! ```

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use millstream_formats::{Encoder as FormatEncoder, Payloads};
use millstream_streams::{
    Batch, Encoder, RecordSink, ReportKind, Reporter, RowReport, StreamsError, Subject,
};

use super::{
    failed,
    keys::{KeyWriter, KeyWriterError, without_nulls},
    reports::Computed,
};
use crate::{
    ast::SourceKind,
    columnar::ColumnarBatch,
    expression::RowErrors,
    plan::{NullKey, Rekey},
};

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;

/// The new and the old value of a change.
type NewAndOld<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Takes a change apart.
pub(super) fn split_change(change: &[u8]) -> Result<NewAndOld<'_>, StreamsError> {
    let parts = match change.split_last() {
        Some((&OLD, old)) => Some((None, Some(old))),
        Some((&NEW, new)) => Some((Some(new), None)),
        Some((&BOTH, values)) => values.split_first_chunk::<4>().and_then(|(length, values)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (new, old) = values.split_at_checked(length)?;
            Some((Some(new), Some(old)))
        }),
        _ => None,
    };
    parts.ok_or_else(|| failed("a record of a repartition topic is not a change of a table"))
}

/// Writes rows to the repartition topic of a [`Rekey`]. Rows of streams without value are left out.
pub(crate) struct RekeyEncoder {
    keys: KeyWriter,
    /// The names of the new keys.
    names: Vec<String>,
    null_key: NullKey,
    /// Whether the rows are those of a table, and a row without value deletes one.
    table: bool,
    changes: bool,
    /// Places of the columns that travel in the value.
    carried: Vec<usize>,
    values: FormatEncoder,
    payloads: Payloads,
    old_payloads: Payloads,
    errors: RowErrors,
}

impl RekeyEncoder {
    /// Prepares writing of batches of `input`.
    pub(crate) fn new(step: &Rekey, input: &SchemaRef, errors: &RowErrors) -> Result<Self, KeyWriterError> {
        let topic = &step.read.source;
        let carried = step
            .carried
            .iter()
            .map(|column| input.index_of(column).expect("the plan carries only columns that are there"));
        Ok(Self {
            keys: KeyWriter::new(&step.keys, &topic.columns.key_fields(), input, topic.key_format)?,
            names: topic.columns.key.iter().map(|key| key.name.clone()).collect(),
            null_key: step.null_key,
            table: topic.kind == SourceKind::Table,
            changes: step.read.changes,
            carried: carried.collect(),
            values: topic.value_encoder()?,
            payloads: Payloads::new(),
            old_payloads: Payloads::new(),
            errors: errors.clone(),
        })
    }

    /// The columns of the new key.
    fn key_columns(
        &self,
        batch: &ColumnarBatch,
        report: &mut dyn Reporter,
    ) -> Result<Vec<ArrayRef>, StreamsError> {
        let rows = batch.record_batch().map_err(failed)?;
        let computed = Computed { rows: &rows, times: batch.timestamps(), errors: &self.errors };
        let mut columns = Vec::with_capacity(self.names.len());
        for (place, expr) in self.keys.exprs().iter().enumerate() {
            let what = || match self.null_key {
                NullKey::Report => format!(
                    "Error calculating group-by column with index {place}. The source row will be excluded from the table."
                ),
                NullKey::Drop | NullKey::Keep => {
                    format!("Error computing new key from expression {}", self.names[place])
                }
            };
            columns.push(computed.value(expr, what, report)?);
        }
        Ok(columns)
    }

    /// The serialized key of each row, absent where it has a NULL or the row no value.
    fn keys_of(
        &mut self,
        batch: &ColumnarBatch,
        report: &mut dyn Reporter,
    ) -> Result<Vec<Option<Box<[u8]>>>, StreamsError> {
        let columns = self.key_columns(batch, report)?;
        let valid = without_nulls(&columns);
        let keys = self.keys.write(&columns, batch.rows())?;
        let usable =
            |row: usize| batch.is_present(row) && valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        Ok((0..batch.rows()).map(|row| keys.get(row).filter(|_| usable(row)).map(Into::into)).collect())
    }

    fn rows(
        &mut self,
        batch: &ColumnarBatch,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<usize, StreamsError> {
        let rows = batch.rows();
        let columns = self.key_columns(batch, report)?;
        let valid = without_nulls(&columns);
        let carried: Vec<_> = self.carried.iter().map(|place| batch.column(*place).clone()).collect();
        self.payloads.clear();
        self.values.encode(&carried, rows, None, &mut self.payloads).map_err(failed)?;
        let keys = self.keys.write(&columns, rows)?;
        let mut dropped = 0;
        for row in 0..rows {
            let present = batch.is_present(row);
            if !present && !self.table {
                continue;
            }
            let key = keys.get(row).filter(|_| valid.as_ref().is_none_or(|valid| valid.is_valid(row)));
            if key.is_none() && self.null_key != NullKey::Keep {
                dropped += 1;
                continue;
            }
            let headers = batch.headers_of(row);
            let value = self.payloads.get(row).filter(|_| present);
            out.append(None, batch.timestamps()[row], key, value, headers)?;
        }
        Ok(dropped)
    }

    /// What changes of a table are to its groups: one record if the group stays the same, else one for each.
    fn group_changes(
        &mut self,
        batch: &ColumnarBatch,
        out: &mut RecordSink<'_>,
        report: &mut dyn Reporter,
    ) -> Result<usize, StreamsError> {
        let rows = batch.rows();
        let new_keys = self.keys_of(batch, report)?;
        // That the old row failed was said when it was new.
        let old_keys = batch.old().map(|old| self.keys_of(old, &mut Vec::new())).transpose()?;
        let carried = |batch: &ColumnarBatch| -> Vec<_> {
            self.carried.iter().map(|place| batch.column(*place).clone()).collect()
        };
        let (new, old) = (carried(batch), batch.old().map(carried));
        self.payloads.clear();
        self.values.encode(&new, rows, None, &mut self.payloads).map_err(failed)?;
        self.old_payloads.clear();
        if let Some(old) = old {
            self.values.encode(&old, rows, None, &mut self.old_payloads).map_err(failed)?;
        }
        let (mut change, mut dropped) = (Vec::new(), 0);
        for (row, new_key) in new_keys.iter().enumerate() {
            let old_key = old_keys.as_ref().and_then(|keys| keys[row].as_deref());
            let (time, headers) = (batch.timestamps()[row], batch.headers_of(row));
            let new = self.payloads.get(row).unwrap_or_default();
            let old = self.old_payloads.get(row).unwrap_or_default();
            match (old_key, new_key.as_deref()) {
                (Some(from), Some(to)) if from == to => {
                    let length = u32::try_from(new.len()).map_err(|_| failed("a row has 4 GiB or more"))?;
                    change.extend_from_slice(&length.to_be_bytes());
                    change.extend_from_slice(new);
                    change.extend_from_slice(old);
                    change.push(BOTH);
                    out.append(None, time, Some(to), Some(&change), headers)?;
                    change.clear();
                }
                (from, to) => {
                    for (key, value, kind) in [(from, old, OLD), (to, new, NEW)] {
                        let Some(key) = key else { continue };
                        change.extend_from_slice(value);
                        change.push(kind);
                        out.append(None, time, Some(key), Some(&change), headers)?;
                        change.clear();
                    }
                }
            }
            dropped += usize::from(batch.is_present(row) && new_key.is_none());
        }
        Ok(dropped)
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
        let dropped = match self.changes {
            true => self.group_changes(&batch, out, report)?,
            false => self.rows(&batch, out, report)?,
        };
        if dropped > 0 && self.null_key == NullKey::Report {
            let message =
                "A group-by column resolved to null. The source row will be excluded from the table.";
            let (kind, rows, subject) = (ReportKind::Incomplete, dropped, Subject::Unknown);
            report.report(RowReport { kind, rows, offset: None, timestamp: None, message, subject });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_split_and_what_is_none_is_refused() {
        for (bytes, expected) in [
            (&b"old\0"[..], Some((None, Some(&b"old"[..])))),
            (b"new\x01", Some((Some(&b"new"[..]), None))),
            (b"\0\0\0\x02nwold\x02", Some((Some(&b"nw"[..]), Some(&b"old"[..])))),
            (b"\0", Some((None, Some(&b""[..])))),
            (b"\0\0\0\x09nw\x02", None),
            (b"\0\x02", None),
            (b"x\x03", None),
            (b"", None),
        ] {
            assert_eq!(split_change(bytes).ok(), expected, "{bytes:?}");
        }
    }
}
