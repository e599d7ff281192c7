//! Rows that did not go the normal way: skipped, late or failed. They are counted and shown to an observer.

use millstream_log::PartitionId;

use crate::processor::TaskId;

/// Why rows are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// The record's bytes do not decode, or its timestamp is negative; the record was left out.
    Undecodable,
    /// The row has no key (or no value) where the operator needs one; the row was dropped.
    Incomplete,
    /// The row's window was closed already; the row was dropped for that window.
    Late,
    /// Part of the row could not be computed; what the operator did instead is in the message.
    Failed,
    /// A processor failed on the row; the row was dropped there.
    Unprocessed,
    /// The row does not become a record; the row was left out.
    Unencodable,
}

/// One report, about one or several rows of a batch.
#[derive(Clone, Debug)]
pub struct RowReport<'a> {
    /// Why.
    pub kind: ReportKind,
    /// How many rows this is about.
    pub rows: usize,
    /// The offset of the (first) record, where it is known.
    pub offset: Option<u64>,
    /// The timestamp of the (first) row, where it is known.
    pub timestamp: Option<i64>,
    /// What happened, for people.
    pub message: &'a str,
    /// What it happened to.
    pub subject: Subject<'a>,
}

/// What a report is about, as far as its reporter tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Not told.
    #[default]
    Unknown,
    /// The key of a record: its bytes, if they can be had.
    Key(Option<&'a [u8]>),
    /// The value of a record: its bytes, if they can be had.
    Value(Option<&'a [u8]>),
    /// A row, as text.
    Row(&'a str),
    /// A record that the log does not take.
    Output,
}

/// Takes reports. The runtime's own counts them and passes them to the application's observer.
pub trait Reporter {
    /// Takes one report.
    fn report(&mut self, report: RowReport<'_>);
}

/// Keeps the kind, row count and message of every report: for tests of decoders, encoders and operators.
impl Reporter for Vec<(ReportKind, usize, String)> {
    fn report(&mut self, report: RowReport<'_>) {
        self.push((report.kind, report.rows, report.message.to_owned()));
    }
}

/// Where in the application a report comes from.
#[derive(Clone, Copy, Debug)]
pub struct ReportOrigin<'a> {
    /// The `application.id`.
    pub application: &'a str,
    /// The reporting task.
    pub task: TaskId,
    /// The reporting node of the topology.
    pub node: &'a str,
    /// The topic whose record is reported, for sources.
    pub topic: Option<&'a str>,
    /// The partition of the task.
    pub partition: PartitionId,
}

/// Sees every report of an application, on the thread of the task: it should be quick.
pub type ReportObserver = dyn Fn(&ReportOrigin<'_>, &RowReport<'_>) + Send + Sync;
