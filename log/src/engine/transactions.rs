//! Transactions, as producers elsewhere and operators ask for them.

use std::time::Duration;

use bytes::BytesMut;

use super::Log;
use crate::error::Result;
use crate::fetched::AppendInfo;
use crate::partition::Visible;
use crate::transaction::{
    AbortSpec, AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, HangingTransaction, InitProducerId,
    ProducerDescription, ProducerIdentity, TransactionDescription, TransactionFilter, TransactionListing,
    TransactionMarker, TxnOffsetCommit,
};
use crate::types::{Acks, TopicPartition};

/// The transaction coordinator as a listener for remote producers calls it. [`Log::producer`] does all of this itself.
///
/// Where Kafka answers `CONCURRENT_TRANSACTIONS` while a transaction is being ended, these calls wait for its end, and
/// answer so only if it cannot be ended now.
impl Log {
    /// A producer id and epoch. With a transactional id, an open transaction of an earlier producer is aborted, and
    /// that producer fenced.
    pub fn init_producer_id(&self, request: &InitProducerId) -> Result<ProducerIdentity> {
        self.inner().init_producer_id(request)
    }

    /// Makes partitions part of the producer's transaction, which begins with the first.
    pub fn add_partitions_to_txn(&self, request: &AddPartitionsToTxn) -> Result<()> {
        self.inner().add_partitions_to_txn(request)
    }

    /// Makes a group's offsets part of the producer's transaction.
    pub fn add_offsets_to_txn(&self, request: &AddOffsetsToTxn) -> Result<()> {
        self.inner().add_offsets_to_txn(request)
    }

    /// Writes a group's offsets inside the producer's transaction: they count once it is committed.
    pub fn txn_offset_commit(&self, request: &TxnOffsetCommit) -> Result<()> {
        self.inner().txn_offset_commit(request)
    }

    /// Ends the producer's transaction in all of its partitions. Returns the identity to go on with. A commit is on
    /// stable storage by then, and a request sent again is answered alike.
    pub fn end_txn(&self, request: &EndTxn) -> Result<ProducerIdentity> {
        self.inner().end_transaction(request, Acks::Synced)
    }

    /// Appends a batch of a transaction whose producer leaves it to the log to make the partition part of it
    /// (`Produce` from version 12 on). [`append`](Self::append) takes batches only in partitions that are.
    pub fn append_in_transaction(
        &self,
        transactional_id: &str,
        partition: &TopicPartition,
        batch: impl Into<BytesMut>,
        acks: Acks,
    ) -> Result<AppendInfo> {
        let partition = self.inner().partition(partition)?;
        let visible = if acks == Acks::Synced { Visible::Synced } else { Visible::Now };
        let batch = &mut batch.into();
        let info = self.inner().append_in_transaction(transactional_id, &partition, batch, visible)?;
        if acks == Acks::Synced {
            partition.sync(info.last_offset + 1)?;
        }
        Ok(info)
    }

    /// Ends producers' transactions in single partitions, whatever the coordinator knows of them.
    pub fn write_txn_markers(&self, markers: &[TransactionMarker]) -> Vec<(TopicPartition, Result<()>)> {
        self.inner().write_txn_markers(markers)
    }

    /// The transactional ids that a filter lets through, in order.
    pub fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>> {
        self.inner().list_transactions(filter)
    }

    /// All about a transactional id. Fails with [`LogError::TransactionalIdNotFound`](crate::LogError), which names the
    /// closest one.
    pub fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription> {
        self.inner().describe_transaction(transactional_id)
    }

    /// What a partition knows of its idempotent and transactional producers, in order of their ids.
    pub fn describe_producers(&self, partition: &TopicPartition) -> Result<Vec<ProducerDescription>> {
        Ok(self.inner().partition(partition)?.describe_producers())
    }

    /// Transactions that are open in a partition, were not written to for longer than `older_than`, and that no
    /// transactional id will end. `transaction.max.timeout.ms` is a good choice for `older_than`.
    pub fn find_hanging_transactions(
        &self,
        topic: Option<&str>,
        older_than: Duration,
    ) -> Result<Vec<HangingTransaction>> {
        self.inner().find_hanging_transactions(topic, older_than)
    }

    /// Aborts a hanging transaction in one partition. Refuses those that a transactional id will end:
    /// [`force_terminate`](Self::force_terminate) that one.
    pub fn abort_transaction(&self, partition: &TopicPartition, spec: AbortSpec) -> Result<()> {
        self.inner().abort_transaction(partition, spec)
    }

    /// Ends the transaction of a transactional id, by an abort unless its commit is decided, and fences its producer.
    pub fn force_terminate(&self, transactional_id: &str) -> Result<ProducerIdentity> {
        self.inner().force_terminate(transactional_id)
    }
}
