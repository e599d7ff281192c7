//! What a program that stays up owes its log: retention, transaction timeouts and checkpoints, now and then, and
//! compaction all the time.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millstream_log::{Log, LogError};

use crate::compaction::Compaction;
use crate::error::CliError;

/// Longest time between two looks at what is due. Segments that were left for newer ones wait for it to be synced.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A thread that looks after a log until this is dropped.
pub(crate) struct Housekeeping {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _compaction: Compaction,
}

impl Housekeeping {
    /// Starts looking after `log`; the first time after a while, so that short commands only pay for a thread.
    pub(crate) fn start(log: Log) -> Result<Self, CliError> {
        let compaction = Compaction::start(log.clone())?;
        let (stop, stopped) = channel();
        let work = move || {
            let mut wait = WAIT_MAX;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                match log.maintain_due() {
                    Ok(next) => wait = next.min(WAIT_MAX),
                    Err(LogError::Closed) => return,
                    Err(error) => {
                        wait = WAIT_MAX;
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "could not look after the log"
                        )
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("housekeeping".to_owned()).spawn(work);
        let thread =
            thread.map_err(|error| CliError::Failed(format!("could not start a thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), _compaction: compaction })
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        // The thread ends when the other end of its channel goes.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
