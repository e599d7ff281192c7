//! Counters of an application, written per batch and readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::report::{ReportKind, RowReport};

const NANOS: f64 = 1e6;

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
    /// Calls of punctuations and timers.
    pub punctuations: u64,
    /// Time spent processing, committing, and with what is due by time, in nanoseconds.
    pub process_nanos: u64,
    /// See [`Metrics::process_nanos`].
    pub commit_nanos: u64,
    /// See [`Metrics::process_nanos`].
    pub punctuate_nanos: u64,
    /// The longest commit, in nanoseconds.
    pub commit_nanos_max: u64,
    /// How old rows were when they reached a sink, by their timestamps: the sum, in ms. Rows ahead of the clock count as
    /// new.
    pub latency_ms_sum: u64,
    /// The least such age, or none without rows.
    pub latency_ms_min: Option<u64>,
    /// The greatest such age.
    pub latency_ms_max: u64,
    /// Changelog records read by restores.
    pub restored: u64,
}

impl Metrics {
    /// The figures under the names that they have in Kafka Streams: group, name and value, times in ms. Rates follow from
    /// two readings of a total.
    pub fn named(&self) -> Vec<(&'static str, &'static str, f64)> {
        const THREAD: &str = "stream-thread-metrics";
        const TASK: &str = "stream-task-metrics";
        const NODE: &str = "stream-processor-node-metrics";
        const UPDATER: &str = "stream-state-updater-metrics";
        let average = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        let millis = |nanos: u64| nanos as f64 / NANOS;
        let dropped = self.skipped + self.late;
        vec![
            (THREAD, "process-total", self.records_in as f64),
            (THREAD, "process-latency-avg", average(millis(self.process_nanos), self.records_in)),
            (THREAD, "commit-total", self.commits as f64),
            (THREAD, "commit-latency-avg", average(millis(self.commit_nanos), self.commits)),
            (THREAD, "commit-latency-max", millis(self.commit_nanos_max)),
            (THREAD, "punctuate-total", self.punctuations as f64),
            (THREAD, "punctuate-latency-avg", average(millis(self.punctuate_nanos), self.punctuations)),
            (THREAD, "task-created-total", self.tasks_created as f64),
            (THREAD, "task-closed-total", self.tasks_closed as f64),
            ("stream-metrics", "failed-stream-threads", self.failed_threads as f64),
            (TASK, "dropped-records-total", dropped as f64),
            (NODE, "record-e2e-latency-avg", average(self.latency_ms_sum as f64, self.sink_records)),
            (NODE, "record-e2e-latency-min", self.latency_ms_min.unwrap_or(0) as f64),
            (NODE, "record-e2e-latency-max", self.latency_ms_max as f64),
            ("stream-topic-metrics", "records-consumed-total", self.records_in as f64),
            ("stream-topic-metrics", "records-produced-total", self.records_out as f64),
            (UPDATER, "restore-total", self.restored as f64),
            (UPDATER, "update-total", self.standby_records as f64),
        ]
    }
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
    pub(crate) punctuations: AtomicU64,
    pub(crate) process_nanos: AtomicU64,
    pub(crate) commit_nanos: AtomicU64,
    pub(crate) punctuate_nanos: AtomicU64,
    pub(crate) commit_nanos_max: AtomicU64,
    pub(crate) latency_ms_sum: AtomicU64,
    /// 0 for none.
    pub(crate) latency_ms_min_plus_one: AtomicU64,
    pub(crate) latency_ms_max: AtomicU64,
    pub(crate) restored: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds the time since `start` of the monotonic clock. Returns it.
    pub(crate) fn spend(counter: &AtomicU64, start: Duration, now: Duration) -> u64 {
        let nanos = u64::try_from(now.saturating_sub(start).as_nanos()).unwrap_or(u64::MAX);
        Self::add(counter, nanos);
        nanos
    }

    /// Rows with these timestamps have reached a sink.
    pub(crate) fn arrived(&self, timestamps: &[i64], now: i64) {
        let (mut sum, mut least, mut most) = (0, u64::MAX, 0);
        for time in timestamps {
            let age = u64::try_from(now.saturating_sub(*time)).unwrap_or(0);
            sum += age;
            least = least.min(age);
            most = most.max(age);
        }
        Self::add(&self.latency_ms_sum, sum);
        let lesser = |known: u64| (known == 0 || least < known - 1).then(|| least.saturating_add(1));
        // Refused if what is known is less already.
        let _known = self.latency_ms_min_plus_one.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lesser);
        self.latency_ms_max.fetch_max(most, Ordering::Relaxed);
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
            punctuations: read(&self.punctuations),
            process_nanos: read(&self.process_nanos),
            commit_nanos: read(&self.commit_nanos),
            punctuate_nanos: read(&self.punctuate_nanos),
            commit_nanos_max: read(&self.commit_nanos_max),
            latency_ms_sum: read(&self.latency_ms_sum),
            latency_ms_min: read(&self.latency_ms_min_plus_one).checked_sub(1),
            latency_ms_max: read(&self.latency_ms_max),
            restored: read(&self.restored),
        }
    }
}
