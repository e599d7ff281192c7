//! A stream thread: it works with one worker after the other, as the policy for errors says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, Recovery};

use crate::error::{StreamsError, full_message};
use crate::handler::UncaughtResponse;
use crate::runtime::crew::Crew;
use crate::runtime::instances;
use crate::runtime::layout::Layout;
use crate::runtime::metrics::Counters;
use crate::runtime::shared::{Shared, Stop, ThreadState, thread_name};
use crate::runtime::worker::Worker;

/// How long a thread that is to stop waits for the group to let it commit.
const LAST_COMMIT: Duration = Duration::from_secs(5);

/// Why a worker has ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The thread is to stop.
    Stopped,
    /// The topics of a pattern are others.
    Renewed,
}

/// What a stream thread needs to make its worker again.
pub(crate) struct Seat {
    pub(crate) number: usize,
    /// The instance that the thread belongs to.
    pub(crate) instance: u64,
    pub(crate) layout: Arc<Layout>,
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
}

impl Seat {
    pub(crate) fn new(
        number: usize,
        instance: u64,
        layout: &Arc<Layout>,
        log: &Log,
        shared: &Arc<Shared>,
    ) -> Self {
        let (layout, shared) = (Arc::clone(layout), Arc::clone(shared));
        Self { number, instance, layout, log: log.clone(), shared }
    }

    /// The thread's name.
    pub(crate) fn name(&self) -> String {
        thread_name(&self.shared.config.application_id, self.number)
    }

    /// A worker without tasks.
    pub(crate) fn worker(&self) -> Result<Worker, StreamsError> {
        Worker::new(self.number, &[], &self.layout.setup().topology, &self.log, &self.shared)
    }

    /// Works until the application stops, with one worker after the other if the policy is to go on after errors.
    pub(crate) fn run(self: &Arc<Self>, worker: Worker) {
        self.go_on(worker);
        self.shared.remove_thread(self.number);
    }

    fn go_on(self: &Arc<Self>, mut worker: Worker) {
        let (config, shared) = (&self.shared.config, &self.shared);
        let (mut pause, mut failing_since) = (config.retry_backoff, None);
        loop {
            let commits = worker.commits();
            let error = match self.guarded(&mut worker) {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Renewed) => {
                    drop(worker);
                    match self.worker_again(&mut pause) {
                        Some(again) => worker = again,
                        None => return,
                    }
                    continue;
                }
                Err(error) => error,
            };
            let now = self.log.clock().monotonic();
            if worker.commits() > commits {
                (pause, failing_since) = (config.retry_backoff, None);
            }
            drop(worker);
            let since = *failing_since.get_or_insert(now);
            let retries = error.is_retriable() && now.saturating_sub(since) < config.task_timeout;
            let response = if retries { UncaughtResponse::ReplaceThread } else { shared.uncaught(&error) };
            match response {
                UncaughtResponse::ReplaceThread => {}
                UncaughtResponse::ShutdownClient => return shared.fail(error),
                UncaughtResponse::ShutdownApplication => {
                    instances::stop_all(&self.log, &config.application_id, &error);
                    return shared.fail(error);
                }
            }
            tracing::error!(
                application = config.application_id,
                thread = self.number,
                error = full_message(&error),
                "stream thread failed; it begins again at the last commit in {pause:?}"
            );
            Counters::add(&shared.counters.failed_threads, 1);
            shared.set_thread_state(self.number, ThreadState::Failed);
            shared.pause(self.number, pause);
            pause = (pause * 2).min(config.retry_backoff_max);
            match self.worker_again(&mut pause) {
                Some(again) => worker = again,
                None => return,
            }
        }
    }

    /// Another worker in place of one that has ended. None if the thread is to stop, or cannot go on.
    fn worker_again(&self, pause: &mut Duration) -> Option<Worker> {
        let shared = &self.shared;
        loop {
            if shared.stop_of(self.number).is_some() {
                return None;
            }
            match self.worker() {
                Ok(worker) => {
                    shared.set_thread_state(self.number, ThreadState::Starting);
                    return Some(worker);
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(error = full_message(&error), "a stream thread cannot begin again yet");
                }
                Err(error) => {
                    shared.fail(error);
                    return None;
                }
            }
            shared.pause(self.number, *pause);
            *pause = (*pause * 2).min(shared.config.retry_backoff_max);
        }
    }

    /// Works, and makes errors of panics. What was not committed is given up after an error.
    fn guarded(self: &Arc<Self>, worker: &mut Worker) -> Result<Ended, StreamsError> {
        let result = catch_unwind(AssertUnwindSafe(|| self.work(worker)));
        let error = match result {
            Ok(Ok(ended)) => return Ok(ended),
            Ok(Err(error)) => error,
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
                let reason = format!("panicked: {}", message.unwrap_or_else(|| "no message".to_owned()));
                StreamsError::Thread { thread: self.number, reason }
            }
        };
        if let Err(error) = worker.abort() {
            tracing::warn!(
                error = full_message(&error),
                "the open transaction was not aborted; its timeout will end it"
            );
        }
        Err(error)
    }

    fn work(self: &Arc<Self>, worker: &mut Worker) -> Result<Ended, StreamsError> {
        let mut crew = Crew::new(self, worker)?;
        loop {
            match self.shared.stop_of(self.number) {
                None => {}
                Some(Stop::Committed) => {
                    return self.finish(&mut crew, worker).map(|()| Ended::Stopped);
                }
                Some(Stop::Abandoned) => return worker.abort().and(crew.leave()).map(|()| Ended::Stopped),
            }
            // Tasks that have other inputs are others: all begin anew, behind what is committed.
            let setup = self.layout.look(&self.shared.config, &self.log)?;
            if !crew.goes_by(&setup) {
                return self.finish(&mut crew, worker).map(|()| Ended::Renewed);
            }
            let result = self.turn(&mut crew, worker);
            match result {
                Err(error) if is_lost(&error) => {
                    tracing::warn!(error = full_message(&error), thread = self.name(), "lost its tasks");
                    crew.lose(worker)?;
                }
                result => result?,
            }
        }
    }

    fn turn(&self, crew: &mut Crew, worker: &mut Worker) -> Result<(), StreamsError> {
        crew.attend(worker)?;
        crew.update_standbys(worker)?;
        if self.shared.is_paused() {
            return worker.rest();
        }
        if !worker.round()? {
            worker.wait()?;
        }
        Ok(())
    }

    /// Commits and leaves the group, for which the group must not be dividing its tasks.
    fn finish(&self, crew: &mut Crew, worker: &mut Worker) -> Result<(), StreamsError> {
        let deadline = self.log.clock().monotonic() + LAST_COMMIT;
        while worker.has_moved() && !crew.is_member() && self.log.clock().monotonic() < deadline {
            crew.attend(worker)?;
            self.shared.wait(Duration::from_millis(5));
        }
        let committed = match worker.has_moved() {
            true if crew.is_member() => worker.commit(),
            true => worker.abort(),
            false => Ok(()),
        };
        match committed {
            Err(error) if is_lost(&error) => worker.abort().and(crew.leave()),
            committed => committed.and(crew.leave()),
        }
    }
}

/// Whether the group has given this thread's tasks to others, or is about to.
pub(crate) fn is_lost(error: &StreamsError) -> bool {
    matches!(error, StreamsError::Log(error) if error.recovery() == Recovery::Rejoin)
}
