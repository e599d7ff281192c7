//! Reports about rows of which something could not be computed, as the processing log has them.

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use millstream_formats::{Format, FormatSpec, Payloads};
use millstream_streams::{ReportKind, Reporter, RowReport, StreamsError, Subject};

use super::failed;
use crate::expression::{Bound, Detail, RowErrors};

/// What an evaluation has left: how many errors, and messages of some.
pub(super) type Drained = (u64, Vec<String>);

/// The rows that something is computed of.
#[derive(Clone, Copy)]
pub(super) struct Computed<'a> {
    /// Their columns.
    pub(super) rows: &'a RecordBatch,
    /// Their times.
    pub(super) times: &'a [i64],
    /// Where the expressions leave errors.
    pub(super) errors: &'a RowErrors,
}

impl Computed<'_> {
    /// The value of each row. Rows where that fails are reported, with `what` in front of the reason.
    pub(super) fn value(
        self,
        expr: &Bound,
        what: impl Fn() -> String,
        report: &mut dyn Reporter,
    ) -> Result<ArrayRef, StreamsError> {
        let column = expr.evaluate(self.rows).map_err(failed)?;
        if let Some(drained) = self.errors.drain() {
            self.report(expr, drained, &what(), report)?;
        }
        Ok(column)
    }

    /// Reports what evaluating `expr` has left.
    pub(super) fn report(
        self,
        expr: &Bound,
        (count, messages): Drained,
        what: &str,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        if self.errors.detail() != Detail::Rows {
            report_messages(count, &messages, Some(what), report);
            return Ok(());
        }
        // Which rows it were shows when parts are evaluated again.
        let mut open = vec![(0, self.rows.num_rows())];
        while let Some((from, rows)) = open.pop() {
            expr.evaluate(&self.rows.slice(from, rows)).map_err(failed)?;
            let Some((_, messages)) = self.errors.drain() else { continue };
            if rows > 1 {
                open.extend([(from + rows / 2, rows - rows / 2), (from, rows / 2)]);
                continue;
            }
            let text = row_text(self.rows, from);
            let subject = text.as_deref().map_or(Subject::Unknown, Subject::Row);
            let timestamp = self.times.get(from).copied();
            for message in messages {
                let (kind, message) = (ReportKind::Failed, format!("{what}: {message}"));
                let message = message.as_str();
                report.report(RowReport { kind, rows: 1, offset: None, timestamp, message, subject });
            }
        }
        Ok(())
    }
}

/// Reports what went wrong in single rows, where it is not known what was computed.
pub(super) fn report_row_errors(errors: &RowErrors, report: &mut dyn Reporter) {
    if let Some((count, messages)) = errors.drain() {
        report_messages(count, &messages, None, report);
    }
}

/// A report for each message, and one for all errors without.
fn report_messages(count: u64, messages: &[String], what: Option<&str>, report: &mut dyn Reporter) {
    let mut tell = |rows: usize, message: &str| {
        let (kind, subject) = (ReportKind::Failed, Subject::Unknown);
        report.report(RowReport { kind, rows, offset: None, timestamp: None, message, subject });
    };
    let worded = |message: &str| match what {
        Some(what) => format!("{what}: {message}"),
        None => message.to_owned(),
    };
    for message in messages {
        tell(1, &worded(message));
    }
    let rest = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(messages.len());
    if rest > 0 {
        tell(rest, &worded(&format!("{rest} more rows failed")));
    }
}

/// A row as a JSON object; none if its types have no JSON.
pub(super) fn row_text(rows: &RecordBatch, row: usize) -> Option<String> {
    let schema: SchemaRef = rows.schema();
    let mut encoder = FormatSpec::value(Format::Json).encoder(schema.fields(), None).ok()?;
    let columns: Vec<ArrayRef> = rows.columns().iter().map(|column| column.slice(row, 1)).collect();
    let mut payloads = Payloads::new();
    encoder.encode(&columns, 1, None, &mut payloads).ok()?;
    payloads.get(0).map(|text| String::from_utf8_lossy(text).into_owned())
}
