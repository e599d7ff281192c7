//! Counters of an application, written per batch and readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::report::{ReportKind, RowReport};

/// Totals since the application was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Rows taken from the inputs, repartition topics included.
    pub records_in: u64,
    /// Records written, repartition and changelog topics included.
    pub records_out: u64,
    /// Records that reached the sinks, repartition topics included but not changelogs.
    pub sink_records: u64,
    /// Rows that were skipped: those of the next four counters.
    pub skipped: u64,
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Rows without a key, or value, that an operator needs.
    pub incomplete: u64,
    /// Rows that a processor failed on.
    pub unprocessed: u64,
    /// Rows that could not be encoded, or that the log refused.
    pub unencodable: u64,
    /// Records written to the dead letter topic.
    pub dead_letters: u64,
    /// Rows that came after their window had closed, counted per window.
    pub late: u64,
    /// Rows of which a part could not be computed.
    pub failed: u64,
    /// Tasks that threads of this instance have taken.
    pub tasks_created: u64,
    /// Tasks that they have given up, or lost.
    pub tasks_closed: u64,
    /// Changelog records read for standbys.
    pub standby_records: u64,
    /// Threads that ended with an error and began again.
    pub failed_threads: u64,
    /// Commits.
    pub commits: u64,
    /// Changelog records read by restores.
    pub restored: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pub(crate) sink_records: AtomicU64,
    pub(crate) undecodable: AtomicU64,
    pub(crate) incomplete: AtomicU64,
    pub(crate) unprocessed: AtomicU64,
    pub(crate) unencodable: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) tasks_created: AtomicU64,
    pub(crate) tasks_closed: AtomicU64,
    pub(crate) standby_records: AtomicU64,
    pub(crate) failed_threads: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) restored: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn report(&self, report: &RowReport<'_>) {
        let counter = match report.kind {
            ReportKind::Late => &self.late,
            ReportKind::Failed => &self.failed,
            ReportKind::Undecodable => &self.undecodable,
            ReportKind::Incomplete => &self.incomplete,
            ReportKind::Unprocessed => &self.unprocessed,
            ReportKind::Unencodable => &self.unencodable,
        };
        Self::add(counter, report.rows as u64);
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (undecodable, incomplete) = (read(&self.undecodable), read(&self.incomplete));
        let (unprocessed, unencodable) = (read(&self.unprocessed), read(&self.unencodable));
        Metrics {
            records_in: read(&self.records_in),
            records_out: read(&self.records_out),
            sink_records: read(&self.sink_records),
            skipped: undecodable + incomplete + unprocessed + unencodable,
            undecodable,
            incomplete,
            unprocessed,
            unencodable,
            dead_letters: read(&self.dead_letters),
            late: read(&self.late),
            failed: read(&self.failed),
            tasks_created: read(&self.tasks_created),
            tasks_closed: read(&self.tasks_closed),
            standby_records: read(&self.standby_records),
            failed_threads: read(&self.failed_threads),
            commits: read(&self.commits),
            restored: read(&self.restored),
        }
    }
}
