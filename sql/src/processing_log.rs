//! What went wrong with single rows of a query: counted, sampled, logged now and then, and written to a topic if that
//! was asked for.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use millstream_log::Clock;
use millstream_streams::{ReportOrigin, RowReport, StreamsError};

use crate::{error_topic::ErrorTopic, expression::Detail};

/// Messages kept per query.
const KEPT: usize = 16;
/// Least time between two log lines of one query.
const LOG_INTERVAL_MS: i64 = 1_000;

/// The processing log of one query.
pub(crate) struct ProcessingLog {
    query: String,
    clock: Arc<dyn Clock>,
    logged_ms: AtomicI64,
    unlogged: AtomicU64,
    recent: Mutex<VecDeque<String>>,
    topic: Option<Arc<ErrorTopic>>,
}

impl ProcessingLog {
    /// An empty log, which also writes to `topic`.
    pub(crate) fn new(query: &str, clock: Arc<dyn Clock>, topic: Option<Arc<ErrorTopic>>) -> Self {
        Self {
            query: query.to_owned(),
            clock,
            logged_ms: AtomicI64::new(i64::MIN),
            unlogged: AtomicU64::new(0),
            recent: Mutex::default(),
            topic,
        }
    }

    /// What it wants of the errors of rows.
    pub(crate) fn detail(&self) -> Detail {
        self.topic.as_ref().map_or(Detail::Samples, |topic| topic.detail())
    }

    /// Takes a report of the query's tasks.
    pub(crate) fn observe(&self, origin: &ReportOrigin<'_>, report: &RowReport<'_>) {
        let at = match (origin.topic, report.offset) {
            (Some(topic), Some(offset)) => format!("{topic}-{} offset {offset}", origin.partition),
            _ => format!("{} task {}", origin.node, origin.task),
        };
        let message = format!("{:?} at {at}: {}", report.kind, report.message);
        let now = self.clock.now().get();
        if let Some(topic) = &self.topic {
            topic.write(&self.query, now, origin, report);
        }
        let unlogged = self.unlogged.fetch_add(report.rows as u64, Ordering::Relaxed) + report.rows as u64;
        if now.saturating_sub(self.logged_ms.load(Ordering::Relaxed)) >= LOG_INTERVAL_MS {
            self.logged_ms.store(now, Ordering::Relaxed);
            self.unlogged.store(0, Ordering::Relaxed);
            tracing::warn!(query = self.query, rows = unlogged, "{message}");
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(message);
    }

    /// Takes the error that ended a thread of the query.
    pub(crate) fn thread_ended(&self, error: &StreamsError) {
        if let Some(topic) = &self.topic {
            let thread = std::thread::current();
            let (name, now) = (thread.name().unwrap_or_default(), self.clock.now().get());
            topic.write_thread_error(&self.query, now, name, error);
        }
    }

    /// The latest messages, oldest first.
    pub(crate) fn recent(&self) -> Vec<String> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
