//! What becomes of a record that was sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::LogError;
use crate::mutex::Mutex;
use crate::producer::record::RecordMetadata;
use crate::types::{Offset, Timestamp, TopicPartition};

/// Called with what became of a record.
type Callback = Box<dyn FnOnce(Result<RecordMetadata, Arc<LogError>>) + Send>;

/// A record on its way: wait for it, poll it, await it, or have a function called.
///
/// Dropping it changes nothing: the record is written all the same.
#[derive(Debug)]
pub struct Delivery {
    completion: Arc<Completion>,
    place: Place,
}

/// Which record of its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) number: u32,
    pub(super) timestamp: Timestamp,
}

/// What the records of one batch wait for.
pub(super) struct Completion {
    partition: TopicPartition,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// Whether the callbacks were called, which comes before those who wait go on.
    is_done: bool,
    callbacks: Vec<(Place, Callback)>,
    wakers: Vec<Waker>,
}

/// Where a batch was written, or why not.
pub(super) type Outcome = Result<Written, Arc<LogError>>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) base_offset: Offset,
    /// In topics whose records carry the time of the append.
    pub(super) append_time: Option<Timestamp>,
}

impl Delivery {
    pub(super) fn new(completion: Arc<Completion>, place: Place) -> Self {
        Self { completion, place }
    }

    /// Waits until the record is acknowledged as `acks` says, or given up. With a sender that is driven by hand, it has
    /// to be driven by another thread.
    pub fn wait(self) -> Result<RecordMetadata, Arc<LogError>> {
        self.completion.metadata(self.place, &self.completion.wait())
    }

    /// The same for at most `timeout` of real time; `None` if nothing is known by then.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<RecordMetadata, Arc<LogError>>> {
        let state = self.completion.state.lock();
        let state =
            Mutex::wait_until(&self.completion.done, state, timeout, |state: &mut State| state.is_done);
        let outcome = state.outcome.as_ref().filter(|_| state.is_done)?;
        Some(self.completion.metadata(self.place, outcome))
    }

    /// What became of the record, `None` if that is not known yet.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, Arc<LogError>>> {
        Some(self.completion.metadata(self.place, self.completion.state.lock().outcome.as_ref()?))
    }

    /// Calls `callback` when it is known what became of the record: on the sender's thread, in the order in which the
    /// records of a partition were sent, or at once on this thread if it is known already. It must not wait for other
    /// deliveries.
    pub fn on_complete(self, callback: impl FnOnce(Result<RecordMetadata, Arc<LogError>>) + Send + 'static) {
        let mut state = self.completion.state.lock();
        match &state.outcome {
            None => state.callbacks.push((self.place, Box::new(callback))),
            Some(outcome) => {
                let outcome = self.completion.metadata(self.place, outcome);
                drop(state);
                callback(outcome);
            }
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, Arc<LogError>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.completion.state.lock();
        match &state.outcome {
            Some(outcome) if state.is_done => Poll::Ready(self.completion.metadata(self.place, outcome)),
            _ => {
                if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Completion {
    pub(super) fn new(partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { partition, state: Mutex::default(), done: Condvar::new() })
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Tells all who wait. Only the first outcome counts.
    pub(super) fn complete(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome.clone());
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        for (place, callback) in callbacks {
            callback(self.metadata(place, &outcome));
        }
        let mut state = self.state.lock();
        state.is_done = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.done.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn wait(&self) -> Outcome {
        let mut state = self.state.lock();
        loop {
            match &state.outcome {
                Some(outcome) if state.is_done => return outcome.clone(),
                _ => state = Mutex::<State>::wait(&self.done, state),
            }
        }
    }

    fn metadata(&self, place: Place, outcome: &Outcome) -> Result<RecordMetadata, Arc<LogError>> {
        let written = outcome.as_ref().map_err(Arc::clone)?;
        Ok(RecordMetadata {
            partition: self.partition.clone(),
            offset: written.base_offset + u64::from(place.number),
            timestamp: written.append_time.unwrap_or(place.timestamp),
        })
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Completion")
            .field("partition", &self.partition)
            .field("outcome", &state.outcome)
            .finish_non_exhaustive()
    }
}
