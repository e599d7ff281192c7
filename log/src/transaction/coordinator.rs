//! Runs the transactional ids: records what each step leads to, syncs what must be, writes the markers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::producer_ids::ProducerIds;
use super::record::{self, Recorded};
use super::request::{
    AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, InitProducerId, ProducerIdentity, TransactionVersion,
};
use super::state::{Input, Step, Sync, Then, Transaction, TransactionState};
use crate::catalogue::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::engine::Inner;
use crate::error::{LogError, Result, nearest};
use crate::mutex::Mutex;
use crate::partition::{Origin, Partition, Visible, sync_partitions};
use crate::partitioner::coordinator_partition;
use crate::record::{BatchBuilder, Marker, ProducerStamp, RecordBatch};
use crate::types::{Acks, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

const EXPIRY_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// One transactional id, locked through each of its steps.
pub(crate) type Entry = Arc<Mutex<Transaction>>;

/// All transactional ids.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    known: Mutex<Known>,
    /// Held while an id is made, so that two first producers of it are not two of a kind.
    making: Mutex<()>,
    pub(crate) producer_ids: ProducerIds,
    /// Whether a part of `__transaction_state` could not be read, and with it what was decided.
    is_torn: AtomicBool,
    /// When idle ids and producers are looked for next, on the monotonic clock.
    expiry_due: Mutex<Duration>,
}

#[derive(Debug, Default)]
struct Known {
    ids: BTreeMap<Arc<str>, Entry>,
    /// Whose each producer id is.
    producers: BTreeMap<ProducerId, Arc<str>>,
}

/// A producer's hold on its transactional id.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Session {
    pub(crate) fn new(id: &str, producer: ProducerIdentity) -> Self {
        Self { id: id.into(), producer_id: producer.id, epoch: producer.epoch }
    }

    pub(crate) fn producer(&self) -> ProducerIdentity {
        ProducerIdentity::new(self.producer_id, self.epoch)
    }
}

impl Transactions {
    /// Takes in a stored batch of the topic.
    pub(crate) fn replay(&self, batch: &RecordBatch) {
        let mut known = self.known.lock();
        for recorded in batch.records().filter_map(|record| record::decode(&record.ok()?)) {
            match recorded {
                Recorded::Is(transaction) => {
                    self.producer_ids.note(transaction.producer.id);
                    transaction.next_producer_id.into_iter().for_each(|id| self.producer_ids.note(id));
                    known.insert(transaction);
                }
                Recorded::Expired(id) => known.remove(&id),
            }
        }
    }

    /// Takes note that what follows in the topic is lost to us.
    pub(crate) fn mark_torn(&self) {
        self.is_torn.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_torn(&self) -> bool {
        self.is_torn.load(Ordering::SeqCst)
    }

    /// Every transactional id, in order.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.known.lock().ids.values().cloned().collect()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Entry> {
        self.known.lock().ids.get(id).cloned()
    }

    /// The transactional id, or an error that names the closest one.
    pub(crate) fn get(&self, id: &str) -> Result<Entry> {
        let known = self.known.lock();
        known.ids.get(id).cloned().ok_or_else(|| LogError::TransactionalIdNotFound {
            transactional_id: id.to_owned(),
            nearest: nearest(id, known.ids.keys().map(|known| &**known)),
        })
    }

    /// The transactional id that a producer id belongs to.
    pub(crate) fn of_producer(&self, id: ProducerId) -> Option<Entry> {
        let known = self.known.lock();
        known.producers.get(&id).and_then(|name| known.ids.get(name)).cloned()
    }
}

impl Known {
    fn insert(&mut self, transaction: Transaction) {
        let producer_ids =
            [Some(transaction.producer.id), transaction.previous_producer_id, transaction.next_producer_id];
        for id in producer_ids.into_iter().flatten() {
            self.producers.insert(id, transaction.id.clone());
        }
        self.ids.insert(transaction.id.clone(), Arc::new(Mutex::new(transaction)));
    }

    fn remove(&mut self, id: &str) {
        self.ids.remove(id);
        self.producers.retain(|_, name| **name != *id);
    }
}

impl Inner {
    /// Makes the caller the producer of a transactional id: ends what an earlier one left open, and fences it.
    pub(crate) fn open_session(&self, id: &str, timeout: Duration, acks: Acks) -> Result<Session> {
        let producer = self.init_transactional(id, timeout, None, acks)?;
        Ok(Session::new(id, producer))
    }

    /// A producer id and epoch, as Kafka's `InitProducerId`.
    pub(crate) fn init_producer_id(&self, request: &InitProducerId) -> Result<ProducerIdentity> {
        self.check_open()?;
        match request.transactional_id.as_deref() {
            None => Ok(ProducerIdentity::new(self.new_producer_id()?, ProducerEpoch::new(0))),
            Some(id) => self.init_transactional(id, request.timeout, request.current, Acks::Synced),
        }
    }

    pub(crate) fn new_producer_id(&self) -> Result<ProducerId> {
        self.transactions.producer_ids.next(self.storage(), self.dir())
    }

    fn init_transactional(
        &self,
        id: &str,
        timeout: Duration,
        current: Option<ProducerIdentity>,
        acks: Acks,
    ) -> Result<ProducerIdentity> {
        if id.is_empty() || id.len() > i16::MAX as usize {
            let reason = "transactional.id takes 1 to 32767 bytes".to_owned();
            return Err(LogError::InvalidRequest { action: "initialize a producer", reason });
        }
        let timeout_max = self.config.transaction_timeout_max;
        if timeout < Duration::from_millis(1) || timeout > timeout_max {
            let transactional_id = id.to_owned();
            return Err(LogError::InvalidTransactionTimeout { transactional_id, timeout, timeout_max });
        }
        loop {
            let entry = match self.transactions.find(id) {
                Some(entry) => entry,
                None => match self.make_transactional(id, timeout, current, acks)? {
                    Some(producer) => return Ok(producer),
                    None => continue, // another thread has just made it
                },
            };
            let mut transaction = entry.lock();
            if transaction.state != TransactionState::Dead {
                return self.run(&mut transaction, Input::Init { timeout, current }, acks);
            }
        }
    }

    /// Makes a transactional id, unless it is there already.
    fn make_transactional(
        &self,
        id: &str,
        timeout: Duration,
        current: Option<ProducerIdentity>,
        acks: Acks,
    ) -> Result<Option<ProducerIdentity>> {
        let _making = self.transactions.making.lock();
        if self.transactions.find(id).is_some() {
            return Ok(None);
        }
        if let Some(current) = current {
            // It has expired, and nobody knows who came after.
            let transactional_id = id.to_owned();
            return Err(LogError::InvalidProducerIdMapping { transactional_id, id: current.id });
        }
        let now = self.clock().now();
        let transaction = Transaction::new(id.into(), self.new_producer_id()?, timeout, now);
        let producer = transaction.producer;
        self.write_transaction(&transaction, Sync::Needed, acks)?;
        self.transactions.known.lock().insert(transaction);
        Ok(Some(producer))
    }

    /// Makes partitions part of a transaction, before anything of it is appended there.
    pub(crate) fn add_to_transaction(
        &self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
    ) -> Result<()> {
        let entry = self.entry_of(id, producer)?;
        let mut transaction = entry.lock();
        self.add(&mut transaction, producer, partitions)
    }

    pub(super) fn add(
        &self,
        transaction: &mut Transaction,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
    ) -> Result<()> {
        self.run(transaction, Input::Add { producer, partitions }, Acks::Written).map(drop)
    }

    /// As Kafka's `AddPartitionsToTxn`.
    pub(crate) fn add_partitions_to_txn(&self, request: &AddPartitionsToTxn) -> Result<()> {
        for partition in &request.partitions {
            self.partition(partition)?;
        }
        let entry = self.entry_of(&request.transactional_id, request.producer)?;
        let mut transaction = entry.lock();
        if request.verify_only {
            let mut partitions = request.partitions.iter();
            return partitions.try_for_each(|partition| transaction.verify(request.producer, partition));
        }
        self.add(&mut transaction, request.producer, &request.partitions)
    }

    /// As Kafka's `AddOffsetsToTxn`.
    pub(crate) fn add_offsets_to_txn(&self, request: &AddOffsetsToTxn) -> Result<()> {
        let partition = self.group_partition(&request.group)?.id().clone();
        self.add_to_transaction(&request.transactional_id, request.producer, &[partition])
    }

    /// Checks that a producer is still that of its transactional id.
    pub(crate) fn check_session(&self, session: &Session) -> Result<()> {
        let producer = session.producer();
        self.entry_of(&session.id, producer)?.lock().check_producer(producer)
    }

    /// Ends a transaction. Returns the identity for the next one.
    pub(crate) fn end_transaction(&self, request: &EndTxn, acks: Acks) -> Result<ProducerIdentity> {
        let EndTxn { producer, result, version, .. } = *request;
        let entry = self.entry_of(&request.transactional_id, producer)?;
        let mut transaction = entry.lock();
        if transaction.state.is_prepared() {
            // The same call again, or a start could not finish it: whatever kept it from ending is told.
            let before = transaction.state;
            let finished = self.finish(&mut transaction, acks);
            if before == TransactionState::PrepareCommit && result.is_commit() {
                finished?;
            } else if let Err(error) = finished {
                return Err(self.still_ending(&transaction, &error));
            }
        }
        if transaction.state == TransactionState::Ongoing && result.is_commit() && acks == Acks::Synced {
            transaction.check_producer(producer)?;
            self.sync_written(&transaction)?;
        }
        self.run(&mut transaction, Input::End { producer, result, version }, acks)
    }

    /// The transactional id of a request.
    pub(super) fn entry_of(&self, id: &str, producer: ProducerIdentity) -> Result<Entry> {
        self.check_open()?;
        self.transactions.find(id).ok_or_else(|| LogError::InvalidProducerIdMapping {
            transactional_id: id.to_owned(),
            id: producer.id,
        })
    }

    /// Takes a transactional id through all that an input leads to.
    pub(super) fn run(
        &self,
        transaction: &mut Transaction,
        input: Input<'_>,
        acks: Acks,
    ) -> Result<ProducerIdentity> {
        if transaction.state.is_prepared() && !matches!(input, Input::End { .. }) {
            let finished = self.finish(transaction, acks);
            finished.map_err(|error| self.still_ending(transaction, &error))?;
        }
        if transaction.is_lost_to(input) {
            self.fence(transaction)?;
        }
        let mut input = input;
        loop {
            let step = transaction.step(self.group_now(), input, &mut || self.new_producer_id())?;
            let (next, sync, then) = match step {
                Step::Answer(producer) => return Ok(producer),
                Step::Write { next, sync, then } => (next, sync, then),
            };
            self.record(transaction, *next, sync, acks)?;
            if transaction.state.is_prepared() {
                self.finish(transaction, acks)?;
            }
            match (then, input) {
                // Who it is was checked before its transaction was aborted under another epoch.
                (Then::InitAgain, Input::Init { timeout, .. }) => {
                    input = Input::Init { timeout, current: None };
                }
                _ => return Ok(transaction.producer),
            }
        }
    }

    fn still_ending(&self, transaction: &Transaction, error: &LogError) -> LogError {
        tracing::warn!(id = %transaction.id, %error, "a transaction could not be ended yet");
        transaction.concurrent()
    }

    /// Writes the markers of a decided transaction and records that it is complete. A second time does no harm.
    pub(super) fn finish(&self, transaction: &mut Transaction, acks: Acks) -> Result<()> {
        let is_commit = transaction.state == TransactionState::PrepareCommit;
        let origin = match transaction.version {
            TransactionVersion::Bumped => Origin::BumpedMarker,
            TransactionVersion::Classic => Origin::Marker,
        };
        let marker = Marker { is_commit, coordinator_epoch: 0 };
        let mut outcome = Ok(());
        let marked = if planted!("marker_first_partition_only") { 1 } else { usize::MAX };
        for id in transaction.partitions.iter().take(marked) {
            // A partition that takes no marker must not keep the others waiting for theirs.
            outcome = outcome.and(match self.write_marker(id, transaction.producer, marker, origin) {
                // The partition is further than what is known here: this end was written there long ago.
                Err(LogError::InvalidProducerEpoch { .. }) => Ok(()),
                written => written,
            });
        }
        outcome?;
        if is_commit && acks == Acks::Synced {
            // Else the disk might keep that it is complete, but not the markers, and nobody would write them again.
            self.sync_written(transaction)?;
        }
        let step =
            transaction.step(self.group_now(), Input::MarkersWritten, &mut || self.new_producer_id())?;
        let Step::Write { next, sync, .. } = step else { return Ok(()) };
        self.record(transaction, *next, sync, acks)
    }

    /// Ends a producer's transaction in one partition.
    pub(super) fn write_marker(
        &self,
        id: &TopicPartition,
        producer: ProducerIdentity,
        marker: Marker,
        origin: Origin,
    ) -> Result<()> {
        let partition = match self.partition(id) {
            Err(LogError::UnknownTopic { .. }) => return Ok(()), // deleted meanwhile
            partition => partition?,
        };
        if !marker.is_commit && !planted!("abort_before_sync") {
            // Readers go on behind what was aborted and commit that they did. If the power failed and took it, others would
            // get its offsets, and those readers would never see them.
            partition.sync(partition.end())?;
        }
        let (id, epoch) = (producer.id, producer.epoch);
        let stamp = ProducerStamp { id, epoch, sequence: -1, is_transactional: true };
        let mut batch = marker.encode(stamp, self.clock().now());
        let info = partition.append(&mut batch, origin, Visible::Now)?;
        if &*partition.id().topic == CONSUMER_OFFSETS && !info.is_duplicate {
            let of = partition.id().partition;
            self.groups.end_transaction(of, producer.id, marker.is_commit, info.base_offset);
        }
        Ok(())
    }

    /// Puts on stable storage what a transaction wrote, in all of its partitions at once.
    fn sync_written(&self, transaction: &Transaction) -> Result<()> {
        let mut partitions = Vec::with_capacity(transaction.partitions.len());
        for id in &transaction.partitions {
            match self.partition(id) {
                Err(LogError::UnknownTopic { .. }) => {} // deleted meanwhile
                partition => {
                    let partition = partition?;
                    let end = partition.end();
                    partitions.push((partition, end));
                }
            }
        }
        sync_partitions(partitions)
    }

    fn record(&self, transaction: &mut Transaction, next: Transaction, sync: Sync, acks: Acks) -> Result<()> {
        self.write_transaction(&next, sync, acks)?;
        if next.producer.id != transaction.producer.id || next.next_producer_id.is_some() {
            let mut known = self.transactions.known.lock();
            let ids = [Some(next.producer.id), next.next_producer_id];
            for id in ids.into_iter().flatten() {
                known.producers.insert(id, next.id.clone());
            }
        }
        *transaction = next;
        Ok(())
    }

    fn write_transaction(&self, transaction: &Transaction, sync: Sync, acks: Acks) -> Result<()> {
        let value = transaction.encode_value();
        let partition = self.append_state(&transaction.id, Some(&value), transaction.last_update)?;
        match (sync, acks) {
            (Sync::Needed, Acks::Synced) => partition.sync(partition.end()),
            (Sync::NotNeeded, _) | (_, Acks::None | Acks::Written) => Ok(()),
        }
    }

    /// Where a transactional id is kept.
    pub(super) fn coordinator_of(&self, id: &str) -> Result<TopicPartition> {
        let topic = self.internal_topic(TRANSACTION_STATE, self.config.transaction_topic_partitions)?;
        let partition = coordinator_partition(id, topic.partition_count());
        Ok(TopicPartition { topic: topic.name.clone(), partition })
    }

    fn append_state(&self, id: &str, value: Option<&[u8]>, now: Timestamp) -> Result<Arc<Partition>> {
        let count = self.config.transaction_topic_partitions;
        let topic = self.internal_topic(TRANSACTION_STATE, count)?;
        let partition = self.partition_of(&topic, coordinator_partition(id, topic.partition_count()))?;
        let mut builder = BatchBuilder::with_capacity(0);
        builder.append(now, Some(&record::encode_key(id)), value, &[]);
        partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
        Ok(partition)
    }

    /// Aborts a transaction that nobody is to end any more, and fences its producer.
    pub(super) fn fence(&self, transaction: &mut Transaction) -> Result<()> {
        self.run(transaction, Input::Fence, Acks::Written).map(drop)
    }

    /// Does what is due by the clock: aborts transactions past their timeout, and every ten minutes forgets
    /// transactional ids and producers that are long idle. Kafka looks for the former every 10 seconds
    /// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
    ///
    /// `now` is the wall-clock time without jumps, for what is idle for days and across restarts.
    pub(crate) fn maintain_transactions(&self, now: Timestamp) -> Result<()> {
        let aborted = self.abort_timed_out_transactions();
        let monotonic = self.clock().monotonic();
        {
            let mut due = self.transactions.expiry_due.lock();
            if monotonic < *due {
                return aborted;
            }
            *due = monotonic.saturating_add(EXPIRY_INTERVAL);
        }
        let expired = self.expire_transactional_ids(now);
        let ids = *expired.as_ref().unwrap_or(&0);
        let expiration = self.config.producer_id_expiration;
        let partitions = self.open_partitions();
        let producers: usize =
            partitions.iter().map(|partition| partition.expire_producers(now, expiration)).sum();
        if ids + producers > 0 {
            tracing::info!(ids, producers, "forgot transactional ids and producers that were idle");
        }
        aborted.and(expired.map(drop))
    }

    /// Aborts transactions that are open for longer than their timeout, and fences their producers.
    fn abort_timed_out_transactions(&self) -> Result<()> {
        let now = self.group_now();
        let mut outcome = Ok(());
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            if transaction.is_timed_out(now) {
                tracing::warn!(id = %transaction.id, "aborted a transaction that was open for too long");
                outcome = outcome.and(self.fence(&mut transaction));
            } else if transaction.state.is_prepared()
                && let Err(error) = self.finish(&mut transaction, Acks::Synced)
            {
                // Whatever kept it from ending has not passed yet.
                tracing::warn!(id = %transaction.id, %error, "a transaction could not be ended yet");
            }
        }
        outcome
    }

    /// Removes transactional ids that were not used for `transactional.id.expiration.ms`. Returns how many.
    fn expire_transactional_ids(&self, now: Timestamp) -> Result<usize> {
        let mut removed = 0;
        for entry in self.transactions.all() {
            let mut transaction = entry.lock();
            if transaction.is_expired(now, self.config.transactional_id_expiration) {
                self.append_state(&transaction.id, None, now)?;
                // Whoever waits for the lock finds that it is too late.
                transaction.state = TransactionState::Dead;
                self.transactions.known.lock().remove(&transaction.id);
                removed += 1;
            }
        }
        Ok(removed)
    }
}
