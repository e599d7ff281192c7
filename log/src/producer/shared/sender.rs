//! Writing what the handles of a shared producer have collected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::delivery::{Completion, Outcome, Written};
use super::handle::Shared;
use super::queue::{Batch, Head, TopicQueues};
use crate::config::TimestampType;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::producer::embedded::Producer;
use crate::producer::record::{RecordMetadata, TopicHandle};
use crate::types::{Acks, PartitionId};

/// Writes the batches of a [`SharedProducer`](super::SharedProducer), in order within each partition.
#[derive(Debug)]
pub struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) producer: Producer,
    /// The producer's handle of each topic, in the order of the shared producer's.
    topics: Vec<TopicHandle>,
    /// Batches that the producer keeps to try them again, by topic and partition.
    retrying: BTreeMap<(u32, PartitionId), Retry>,
    /// When topics are looked up again, on the monotonic clock.
    metadata_end: Duration,
    /// Whether records were given up while it was being closed.
    has_lost: bool,
}

/// What a [`Sender::step`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing more is due before this time of the monotonic clock, unless a handle does something.
    Wait(Duration),
    /// The producer was closed and everything is written or given up.
    Ended,
}

/// A batch on its way to the acknowledgement.
#[derive(Debug)]
struct InFlight {
    completion: Arc<Completion>,
    created: Duration,
    reserved: usize,
    records: u32,
}

#[derive(Debug)]
struct Retry {
    batch: InFlight,
    attempts: u32,
    /// On the monotonic clock.
    at: Duration,
}

/// A batch that was written and waits for stable storage.
struct Done {
    slot: (u32, PartitionId),
    batch: InFlight,
    written: Written,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, producer: Producer) -> Self {
        let metadata_end = shared.log.clock().monotonic().saturating_add(shared.config.metadata_max_age);
        Self {
            shared,
            producer,
            topics: Vec::new(),
            retrying: BTreeMap::new(),
            metadata_end,
            has_lost: false,
        }
    }

    /// Writes what is due until the producer is closed. For a thread of its own.
    pub fn run(mut self) {
        while let Step::Wait(until) = self.step() {
            let now = self.shared.log.clock().monotonic();
            self.shared.signal.wait(until.saturating_sub(now));
        }
    }

    /// Writes what is due now, puts it on stable storage with `acks=all`, and tells the deliveries.
    pub fn step(&mut self) -> Step {
        self.shared.signal.reset();
        let now = self.shared.log.clock().monotonic();
        let is_closing = self.shared.is_closing.load(Ordering::Acquire);
        let is_ending = self.answer_requests();
        if now >= self.metadata_end {
            self.shared.refresh_all();
            self.metadata_end = now.saturating_add(self.shared.config.metadata_max_age);
        }
        let drain = is_closing
            || is_ending
            || self.shared.flushing.load(Ordering::Acquire) > 0
            || self.shared.memory.is_short();
        let mut next = self.metadata_end;
        let mut done = Vec::new();
        let active: Vec<_> = self.shared.active.lock().iter().copied().collect();
        for slot in active {
            next = next.min(self.send(slot, now, drain, &mut done));
        }
        self.acknowledge(done);
        if is_ending {
            self.answer_requests();
        }
        *self.shared.metrics.lock() = self.producer.metrics();
        if !is_closing {
            return Step::Wait(next);
        }
        let close_end = *self.shared.close_end.lock();
        if self.shared.active.lock().is_empty() || now >= close_end {
            return Step::Ended;
        }
        Step::Wait(next.min(close_end))
    }

    /// Writes the batches of one partition that are due. Returns when the next one is.
    fn send(
        &mut self,
        slot: (u32, PartitionId),
        now: Duration,
        drain: bool,
        done: &mut Vec<Done>,
    ) -> Duration {
        let target = self.shared.topic_at(slot.0);
        if let Some(retry) = self.retrying.get(&slot)
            && retry.at > now
        {
            return retry.at;
        }
        if let Some(retry) = self.retrying.remove(&slot) {
            let outcome = self.handle_of(&target).and_then(|topic| self.producer.retry_batch(topic, slot.1));
            self.producer.metrics_mut().retries += u64::from(retry.batch.records);
            if let Some(at) = self.settle(slot, retry.batch, retry.attempts, outcome, now, done) {
                return at;
            }
        }
        let config = &self.shared.config;
        let (linger, timeout) = (config.linger, config.delivery_timeout());
        loop {
            let unregister = || {
                self.shared.active.lock().remove(&slot);
            };
            let queue = &target.queues[slot.1.index()];
            let mut batch = match queue.take(now, linger, target.batch_bytes_max, drain, unregister) {
                Head::Ready(batch) => batch,
                Head::Lingering(end) => return end,
                Head::Empty => return Duration::MAX,
            };
            if queue.len() == 1 {
                // It was still open. One that another batch has closed was taken into account then.
                self.shared.spread(&target, slot.1, batch.builder.len_bytes());
            }
            let records = batch.builder.record_count();
            let outcome = if now.saturating_sub(batch.created) >= timeout {
                Err(timed_out(timeout))
            } else {
                self.handle_of(&target)
                    .and_then(|topic| self.producer.write_batch(topic, slot.1, &mut batch.builder))
            };
            let Batch { mut builder, completion, created, reserved } = batch;
            builder.clear();
            self.shared.recycle(builder);
            let batch = InFlight { completion, created, reserved, records };
            if let Some(at) = self.settle(slot, batch, 0, outcome, now, done) {
                return at;
            }
        }
    }

    /// What follows from an attempt to write a batch. Returns when the next attempt is due, if there is to be one.
    fn settle(
        &mut self,
        slot: (u32, PartitionId),
        batch: InFlight,
        attempts: u32,
        outcome: Result<AppendInfo>,
        now: Duration,
        done: &mut Vec<Done>,
    ) -> Option<Duration> {
        let config = &self.shared.config;
        let error = match outcome {
            Ok(info) => {
                let topic = &self.shared.topic_at(slot.0).topic;
                let is_append_time = topic.config.get().timestamp_type == TimestampType::LogAppendTime;
                let append_time = is_append_time.then_some(info.timestamp);
                done.push(Done {
                    slot,
                    batch,
                    written: Written { base_offset: info.base_offset, append_time },
                });
                return None;
            }
            Err(error) => error,
        };
        let (end, close_end) =
            (batch.created.saturating_add(config.delivery_timeout()), *self.shared.close_end.lock());
        let is_kept = self.is_kept(slot);
        if error.is_retriable() && is_kept && attempts < config.retries && now < end.min(close_end) {
            let wait = backoff(config.retry_backoff, config.retry_backoff_max, attempts, &self.shared.random);
            let at = now.saturating_add(wait).min(end);
            tracing::warn!(partition = %batch.completion.partition(), %error, ?wait, "a batch is tried again");
            self.retrying.insert(slot, Retry { batch, attempts: attempts + 1, at });
            return Some(at);
        }
        if is_kept && let Some(topic) = self.topics.get(slot.0 as usize) {
            self.producer.drop_batch(*topic, slot.1);
        }
        self.fail(slot, batch, error);
        None
    }

    fn is_kept(&self, slot: (u32, PartitionId)) -> bool {
        self.topics.get(slot.0 as usize).is_some_and(|topic| self.producer.has_batch(*topic, slot.1))
    }

    /// Puts what was written on stable storage if `acks` asks for it, and tells the deliveries.
    fn acknowledge(&mut self, done: Vec<Done>) {
        // What belongs to a transaction needs no stable storage before its commit, which sees to that.
        let is_synced =
            self.shared.config.acks == Acks::Synced && self.shared.config.transactional_id.is_none();
        let mut outcome = Ok(());
        if is_synced && !done.is_empty() {
            outcome = self.producer.sync_used();
        } else {
            self.producer.forget_used();
        }
        match outcome.map_err(Arc::new) {
            Ok(()) => {
                for Done { slot, batch, written } in done {
                    self.complete(slot, &batch, Ok(written));
                }
            }
            Err(error) => {
                for Done { slot, batch, .. } in done {
                    self.give_up(slot, &batch, error.clone());
                }
            }
        }
    }

    fn fail(&mut self, slot: (u32, PartitionId), batch: InFlight, error: LogError) {
        tracing::error!(partition = %batch.completion.partition(), %error, "records were given up");
        self.give_up(slot, &batch, Arc::new(error));
    }

    fn give_up(&mut self, slot: (u32, PartitionId), batch: &InFlight, error: Arc<LogError>) {
        self.has_lost |= self.shared.is_closing.load(Ordering::Acquire);
        self.producer.metrics_mut().errors += u64::from(batch.records);
        if self.shared.config.transactional_id.is_some() {
            self.shared.transaction.lock().fail(&error);
        }
        self.complete(slot, batch, Err(error));
    }

    fn complete(&self, slot: (u32, PartitionId), batch: &InFlight, outcome: Outcome) {
        self.shared.memory.release(batch.reserved);
        for interceptor in &self.shared.interceptors {
            for number in 0..batch.records {
                match &outcome {
                    Ok(written) => interceptor.on_acknowledgement(Ok(&RecordMetadata {
                        partition: batch.completion.partition().clone(),
                        offset: written.base_offset + u64::from(number),
                        timestamp: written.append_time.unwrap_or(crate::types::Timestamp::NONE),
                    })),
                    Err(error) => interceptor.on_acknowledgement(Err(error)),
                }
            }
        }
        let queue = self.shared.queue(slot.0, slot.1);
        queue.completed(&batch.completion, || {
            self.shared.active.lock().remove(&slot);
        });
        batch.completion.complete(outcome);
    }

    /// Gives up everything that is not written, for the reason that `error` makes.
    pub(super) fn give_up_all(&mut self, error: impl Fn() -> LogError) {
        for (slot, retry) in std::mem::take(&mut self.retrying) {
            if let Some(topic) = self.topics.get(slot.0 as usize) {
                self.producer.drop_batch(*topic, slot.1);
            }
            self.give_up(slot, &retry.batch, Arc::new(error()));
        }
        let active: Vec<_> = self.shared.active.lock().iter().copied().collect();
        for slot in active {
            let target = self.shared.topic_at(slot.0);
            let queue = &target.queues[slot.1.index()];
            while let Head::Ready(batch) = queue.take(Duration::ZERO, Duration::ZERO, 0, true, || {}) {
                let Batch { mut builder, completion, created, reserved } = batch;
                let records = builder.record_count();
                builder.clear();
                self.shared.recycle(builder);
                self.give_up(slot, &InFlight { completion, created, reserved, records }, Arc::new(error()));
            }
        }
    }

    /// The producer's handle of a topic.
    fn handle_of(&mut self, target: &TopicQueues) -> Result<TopicHandle> {
        while self.topics.len() <= target.index as usize {
            let next = self.shared.topic_at(self.topics.len() as u32);
            self.topics.push(self.producer.topic(&next.topic.name)?);
        }
        Ok(self.topics[target.index as usize])
    }

    /// Does what the handles ask for. Returns whether the end of a transaction waits for what is not written yet.
    fn answer_requests(&mut self) -> bool {
        loop {
            let Some(request) = self.shared.requests.lock().pop_front() else { return false };
            if self.must_wait(&request.action) {
                self.shared.requests.lock().push_front(request);
                return true;
            }
            request.reply.set(self.transact(request.action));
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
        // An acknowledgement can no longer come; nobody may wait for it for ever.
        let is_empty = self.shared.active.lock().is_empty();
        if self.producer.is_in_transaction()
            && let Err(error) = self.producer.abort_transaction()
        {
            tracing::error!(%error, "a producer ended and its transaction could not be aborted");
        }
        if !is_empty {
            let timeout = self.shared.config.delivery_timeout();
            self.give_up_all(|| timed_out(timeout));
        }
        while let Some(request) = { self.shared.requests.lock().pop_front() } {
            request.reply.set(Err(LogError::Closed));
        }
        *self.shared.ended.lock() = Some(!self.has_lost);
        self.shared.has_ended.notify_all();
    }
}

fn timed_out(waited: Duration) -> LogError {
    let hint = "it was given up: send it again, or raise delivery.timeout.ms";
    LogError::TimedOut { action: "write a record", waited, hint }
}

/// Time until the next attempt: doubled each time, with a fifth of chance.
fn backoff(
    first: Duration,
    max: Duration,
    attempts: u32,
    random: &crate::mutex::Mutex<fastrand::Rng>,
) -> Duration {
    let doubled = first.saturating_mul(1 << attempts.min(20)).min(max.max(first));
    doubled.mul_f64(0.8 + 0.4 * random.lock().f64())
}
