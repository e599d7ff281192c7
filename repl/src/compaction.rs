//! Compaction in the background of a program that stays up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_log::{Log, LogError, lower_thread_priority};

use crate::error::CliError;

/// A thread that compacts topics, one round after the other, until this is dropped.
pub(crate) struct Compaction {
    stop: Option<Sender<()>>,
    /// Ends the round that is running.
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Compaction {
    /// Starts compacting; the first time after `log.cleaner.backoff.ms`, so that short commands only pay for a thread.
    pub(crate) fn start(log: Log) -> Result<Self, CliError> {
        let (stop, stopped) = channel();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let is_cancelled = is_stopping.clone();
        let work = move || {
            lower_thread_priority();
            let backoff = log.config().cleaner.backoff;
            let mut wait = backoff;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                wait = match log.clean_next_unless(&|| is_cancelled.load(Ordering::Relaxed)) {
                    Ok(Some(cleaned)) => {
                        tracing::info!(
                            partition = %cleaned.partition,
                            to = %cleaned.to,
                            bytes_read = cleaned.bytes_read,
                            bytes_written = cleaned.bytes_written,
                            "compacted"
                        );
                        Duration::ZERO
                    }
                    Ok(None) => backoff,
                    Err(LogError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "could not compact");
                        // That partition is left alone now; the others are not.
                        Duration::ZERO
                    }
                };
            }
        };
        let thread = thread::Builder::new().name("compaction".to_owned()).spawn(work);
        let thread =
            thread.map_err(|error| CliError::Failed(format!("could not start a thread: {error}")))?;
        Ok(Self { stop: Some(stop), is_stopping, thread: Some(thread) })
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // The thread ends when the other end of its channel goes.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
