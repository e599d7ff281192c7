//! The producers of one partition: which batch may follow, which is there already, which transactions are open.

use std::collections::BTreeMap;
use std::time::Duration;

use super::window::{Span, Window, wrapping_sequence};
use crate::aborted::AbortedEntry;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::partition::Origin;
use crate::record::{Marker, RecordBatch};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// Producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
}

/// One producer: its epoch, its newest batches, its open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(crate) epoch: ProducerEpoch,
    /// Batches of this epoch.
    pub(crate) window: Window,
    /// Time of its last batch or marker.
    pub(crate) timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 before.
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_start: Option<Offset>,
    pub(crate) activity: Activity,
}

/// When a producer was last heard of, by this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Never: only the time of its last batch is known.
    #[default]
    Unknown,
    /// Since expiry was last looked at.
    Recent,
    /// Not since then.
    IdleSince(Timestamp),
}

/// What must stay of a producer in the log for its state to be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBatch {
    pub(crate) epoch: ProducerEpoch,
    /// Last offset of the newest data batch of this epoch; without one the epoch is that of a marker.
    pub(crate) data: Option<Offset>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It was appended before, here.
    Duplicate(AppendInfo),
    /// A marker that is there already, or that a later one has overtaken.
    Ended,
}

impl ProducerStates {
    pub(super) fn len(&self) -> usize {
        self.producers.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    pub(super) fn insert(&mut self, id: ProducerId, state: ProducerState) {
        if let Some(start) = state.transaction_start {
            self.open.insert(start, id);
        }
        self.producers.insert(id, state);
    }

    /// What is known of a producer.
    pub(crate) fn get(&self, id: ProducerId) -> Option<&ProducerState> {
        self.producers.get(&id)
    }

    /// The largest producer id seen.
    pub(crate) fn last_id(&self) -> Option<ProducerId> {
        self.producers.keys().next_back().copied()
    }

    /// First offset of the oldest open transaction.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// For each producer its epoch and, if it wrote data in that epoch, the last offset of its newest data batch.
    pub(crate) fn last_batches(&self) -> BTreeMap<ProducerId, LastBatch> {
        let last = |state: &ProducerState| LastBatch {
            epoch: state.epoch,
            data: state.window.last().and_then(|span| Offset::from_wire(span.last_offset)),
        };
        self.producers.iter().map(|(id, state)| (*id, last(state))).collect()
    }

    /// Decides whether a batch of this origin may be appended now, as Kafka's `ProducerAppendInfo`.
    ///
    /// A batch that is one of the producer's newest five is a duplicate. Else its epoch must not be older than the
    /// known one; a newer one starts at sequence 0, the known one goes on where it was. A producer never heard of may
    /// start anywhere, since what it wrote before may have expired.
    pub(crate) fn check(
        &self,
        partition: &TopicPartition,
        batch: &RecordBatch,
        origin: Origin,
    ) -> Result<Verdict> {
        let Some(id) = batch.producer_id() else { return Ok(Verdict::Append) };
        if matches!(origin, Origin::Foreign | Origin::Verified) && batch.base_sequence() < 0 {
            let reason = "a batch of a producer needs a sequence number";
            return Err(LogError::InvalidRecord { partition: partition.clone(), reason });
        }
        let known = self.producers.get(&id);
        if origin == Origin::Foreign
            && batch.is_transactional()
            && known.is_none_or(|state| state.transaction_start.is_none())
        {
            // It ended after the coordinator was asked, or was never open.
            let reason = format!("it has no open transaction in {partition}");
            return Err(LogError::TransactionAbortable { id, reason });
        }
        let Some(state) = known else { return Ok(Verdict::Append) };
        let (epoch, current) = (batch.producer_epoch(), state.epoch);
        match origin {
            Origin::Own | Origin::Foreign | Origin::Verified => {}
            // Under bumped epochs, what is open in this epoch is a later transaction than the one that ends.
            Origin::BumpedMarker if epoch <= current => return Ok(Verdict::Ended),
            Origin::BumpedMarker => return Ok(Verdict::Append),
            Origin::Marker if epoch >= current => {
                state.check_coordinator(partition, batch)?;
                // It would end nothing and fence nobody, but come again whenever its transaction cannot be finished.
                let is_needed = epoch > current || state.transaction_start.is_some();
                return Ok(if is_needed { Verdict::Append } else { Verdict::Ended });
            }
            Origin::Marker => {
                let partition = partition.clone();
                return Err(LogError::InvalidProducerEpoch { partition, id, epoch, current });
            }
        }
        let first = batch.base_sequence();
        let last = wrapping_sequence(first, batch.last_offset().since(batch.base_offset()));
        if epoch == current
            && first >= 0
            && let Some(span) = state.window.find(first, last)
        {
            if planted!("retry_duplicates") {
                return Ok(Verdict::Append);
            }
            return Ok(Verdict::Duplicate(span.info()));
        }
        if epoch < current {
            return Err(LogError::InvalidProducerEpoch { partition: partition.clone(), id, epoch, current });
        }
        if state.transaction_start.is_some() && (!batch.is_transactional() || epoch > current) {
            let reason = match batch.is_transactional() {
                false => "its transaction is open here: write in it, or end it first",
                true => "a transaction of its earlier epoch is still open here: abort that one",
            };
            return Err(LogError::InvalidTransaction {
                action: "write to a partition",
                reason: format!("producer {id}, {partition}: {reason}"),
            });
        }
        let expected = match (epoch > current, state.window.last()) {
            (false, Some(span)) => wrapping_sequence(span.last_sequence, 1),
            // With a new epoch, or when all that is known of this one is a marker.
            (true, _) | (false, None) => 0,
        };
        if first >= 0 && first != expected {
            return Err(LogError::OutOfOrderSequence {
                partition: partition.clone(),
                id,
                epoch,
                expected,
                found: first,
            });
        }
        Ok(Verdict::Append)
    }

    /// Takes an appended batch into account. Returns the transaction that it aborted, if it did.
    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Option<AbortedEntry> {
        let id = batch.producer_id()?;
        let marker = batch.is_control().then(|| Marker::of(batch));
        if marker == Some(None) {
            return None; // a control batch of a kind that is not about producers
        }
        let state = self.producers.entry(id).or_insert(ProducerState {
            epoch: batch.producer_epoch(),
            window: Window::EMPTY,
            timestamp: -1,
            coordinator_epoch: -1,
            transaction_start: None,
            activity: Activity::Unknown,
        });
        if state.epoch != batch.producer_epoch() {
            state.epoch = batch.producer_epoch();
            state.window = Window::EMPTY;
        }
        state.timestamp = batch.max_timestamp().get();
        state.activity = Activity::Recent;
        if let Some(marker) = marker.flatten() {
            state.coordinator_epoch = marker.coordinator_epoch;
            let start = state.transaction_start.take()?;
            self.open.remove(&start);
            let last_offset = batch.last_offset();
            return (!marker.is_commit).then(|| AbortedEntry {
                producer_id: id,
                first_offset: start,
                last_offset,
                last_stable_offset: self.first_unstable().unwrap_or(last_offset + 1),
            });
        }
        state.window.push(Span::of(batch));
        if batch.is_transactional() && state.transaction_start.is_none() {
            state.transaction_start = Some(batch.base_offset());
            self.open.insert(batch.base_offset(), id);
        }
        None
    }

    /// Forgets producers that were idle for `expiration` (`producer.id.expiration.ms`) and have no open transaction.
    /// Returns how many.
    ///
    /// Kafka goes by the time of the last batch alone, and so forgets at once whoever writes records of long ago; here
    /// those count from when they were last seen to be at work.
    pub(crate) fn expire(&mut self, now: Timestamp, expiration: Duration) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, state| {
            let since = match state.activity {
                Activity::Recent => {
                    state.activity = Activity::IdleSince(now);
                    return true;
                }
                Activity::IdleSince(since) => since,
                Activity::Unknown => Timestamp::new(state.timestamp),
            };
            state.transaction_start.is_some() || now.since(since) < expiration
        });
        before - self.producers.len()
    }
}

impl ProducerState {
    fn check_coordinator(&self, partition: &TopicPartition, batch: &RecordBatch) -> Result<()> {
        match Marker::of(batch) {
            Some(marker) if marker.coordinator_epoch < self.coordinator_epoch => {
                Err(LogError::TransactionCoordinatorFenced {
                    partition: partition.clone(),
                    epoch: marker.coordinator_epoch,
                    current: self.coordinator_epoch,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Span {
    /// Where the batch lies.
    fn info(&self) -> AppendInfo {
        let last_offset = Offset::from_wire(self.last_offset).unwrap_or_default();
        AppendInfo {
            base_offset: Offset::new(
                last_offset.get().saturating_sub(u64::from(self.offset_delta.unsigned_abs())),
            ),
            last_offset,
            timestamp: Timestamp::new(self.timestamp),
            is_duplicate: true,
        }
    }
}
