//! The batches on their way to one partition, and the partitions of a topic.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::delivery::{Completion, Delivery, Place};
use crate::catalogue::Topic;
use crate::mutex::Mutex;
use crate::partitioner::Spread;
use crate::record::{BatchBuilder, Header};
use crate::types::{Timestamp, TopicPartition};

/// A topic as the handles see it. One with more partitions shares the queues of the one before.
#[derive(Debug)]
pub(super) struct TopicQueues {
    /// Which of the producer's topics.
    pub(super) index: u32,
    pub(super) topic: Arc<Topic>,
    pub(super) is_compacted: bool,
    /// Size at which a batch is full.
    pub(super) batch_bytes_max: usize,
    /// How many partitions there are; a topic that was made anew may have fewer than queues.
    pub(super) count: u32,
    pub(super) queues: Vec<Arc<Queue>>,
    pub(super) spread: Arc<Mutex<Spread>>,
}

/// What is on its way to one partition.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) partition: TopicPartition,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In order; only the last one takes records.
    batches: VecDeque<Batch>,
    /// Taken by the sender and not complete yet.
    taken: Vec<Arc<Completion>>,
}

/// A batch that waits to be written.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) builder: BatchBuilder,
    pub(super) completion: Arc<Completion>,
    /// When it was started, on the monotonic clock.
    pub(super) created: Duration,
    /// What it takes of the memory.
    pub(super) reserved: usize,
}

/// A record to append.
#[derive(Clone, Copy)]
pub(super) struct ToAppend<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [Header],
    /// Upper bound of its size.
    pub(super) bytes: usize,
}

/// What the sender finds in a queue.
#[derive(Debug)]
pub(super) enum Head {
    /// A batch to write.
    Ready(Batch),
    /// A batch that waits for more records until then, on the monotonic clock.
    Lingering(Duration),
    /// Nothing.
    Empty,
}

impl Batch {
    fn append(&mut self, record: ToAppend<'_>) -> Delivery {
        let place = Place { number: self.builder.record_count(), timestamp: record.timestamp };
        self.builder.append(record.timestamp, record.key, record.value, record.headers);
        Delivery::new(self.completion.clone(), place)
    }
}

impl Queue {
    pub(super) fn new(partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { partition, state: Mutex::default() })
    }

    /// Adds a record to the open batch, unless there is none or it would be larger than `batch_bytes_max`.
    #[inline]
    pub(super) fn append(&self, record: ToAppend<'_>, batch_bytes_max: usize) -> Option<Delivery> {
        let mut state = self.state.lock();
        let open = state.batches.back_mut()?;
        (open.builder.len_bytes() + record.bytes <= batch_bytes_max).then(|| open.append(record))
    }

    /// Adds a record in a new batch, which closes the open one; or in the open one, if another thread has started one
    /// meanwhile: then `batch` comes back. Also returns the bytes of the batch that it closed. Calls `register` while
    /// the queue cannot change.
    pub(super) fn append_first(
        &self,
        record: ToAppend<'_>,
        batch_bytes_max: usize,
        mut batch: Batch,
        register: impl FnOnce(),
    ) -> (Delivery, Option<Batch>, Option<usize>) {
        let mut state = self.state.lock();
        let mut closed = None;
        if let Some(open) = state.batches.back_mut() {
            if open.builder.len_bytes() + record.bytes <= batch_bytes_max {
                return (open.append(record), Some(batch), None);
            }
            closed = Some(open.builder.len_bytes());
        }
        let delivery = batch.append(record);
        state.batches.push_back(batch);
        register();
        (delivery, None, closed)
    }

    /// Takes the first batch if it is due: another one is behind it, it is full, it has waited for `linger`, or `drain`
    /// says that nothing waits. Calls `unregister` while the queue is empty.
    pub(super) fn take(
        &self,
        now: Duration,
        linger: Duration,
        batch_bytes_max: usize,
        drain: bool,
        unregister: impl FnOnce(),
    ) -> Head {
        let mut state = self.state.lock();
        let count = state.batches.len();
        let Some(first) = state.batches.front() else {
            if state.taken.is_empty() {
                unregister();
            }
            return Head::Empty;
        };
        let end = first.created.saturating_add(linger);
        if drain || count > 1 || first.builder.len_bytes() >= batch_bytes_max || end <= now {
            let batch = state.batches.pop_front().expect("there is a first one");
            state.taken.push(batch.completion.clone());
            return Head::Ready(batch);
        }
        Head::Lingering(end)
    }

    /// A batch that was taken is complete. Calls `unregister` if the queue is empty.
    pub(super) fn completed(&self, completion: &Arc<Completion>, unregister: impl FnOnce()) {
        let mut state = self.state.lock();
        state.taken.retain(|taken| !Arc::ptr_eq(taken, completion));
        if state.batches.is_empty() && state.taken.is_empty() {
            unregister();
        }
    }

    /// How many batches wait.
    pub(super) fn len(&self) -> u32 {
        let state = self.state.lock();
        (state.batches.len() + state.taken.len()) as u32
    }

    /// What all records so far wait for.
    pub(super) fn completions(&self) -> Vec<Arc<Completion>> {
        let state = self.state.lock();
        let waiting = state.batches.iter().map(|batch| &batch.completion);
        state.taken.iter().chain(waiting).cloned().collect()
    }
}
