//! Batches of producers: those of a transaction are appended only while it is open (KIP-890).

use std::sync::Arc;

use bytes::BytesMut;

use super::request::ProducerIdentity;
use crate::engine::Inner;
use crate::error::{LogError, Result};
use crate::fetched::AppendInfo;
use crate::partition::{Origin, Partition, Visible};
use crate::record::transactional_producer;

impl Inner {
    /// Appends a batch of a producer: [`Origin::Own`] or [`Origin::Foreign`]. The first one of a transaction in a
    /// partition is appended under the coordinator's lock, so that the transaction is open and no marker comes between.
    /// What the producer itself knows is not enough: its transaction may have been ended while the topic was not there
    /// to take a marker, and the one that was created since knows of no epoch to refuse.
    pub(crate) fn append_of_producer(
        &self,
        partition: &Arc<Partition>,
        slot: &mut BytesMut,
        origin: Origin,
        visible: Visible,
    ) -> Result<AppendInfo> {
        let Some((id, epoch)) = transactional_producer(slot) else {
            return partition.append(slot, origin, visible);
        };
        let producer = ProducerIdentity::new(id, epoch);
        if partition.has_open_transaction(producer) {
            return partition.append(slot, origin, visible);
        }
        let entry = self.transactions.of_producer(id).ok_or_else(|| LogError::TransactionAbortable {
            id,
            reason: "it belongs to no transactional id: initialize the producer".to_owned(),
        })?;
        let transaction = entry.lock();
        transaction.verify(producer, partition.id())?;
        let origin = if origin == Origin::Own { origin } else { Origin::Verified };
        partition.append(slot, origin, visible)
    }

    /// The same for a producer that leaves it to the log to make the partition part of its transaction.
    pub(crate) fn append_in_transaction(
        &self,
        transactional_id: &str,
        partition: &Arc<Partition>,
        slot: &mut BytesMut,
        visible: Visible,
    ) -> Result<AppendInfo> {
        let Some((id, epoch)) = transactional_producer(slot) else {
            return partition.append(slot, Origin::Foreign, visible);
        };
        let producer = ProducerIdentity::new(id, epoch);
        let entry = self.entry_of(transactional_id, producer)?;
        let mut transaction = entry.lock();
        self.add(&mut transaction, producer, std::slice::from_ref(partition.id()))?;
        partition.append(slot, Origin::Verified, visible)
    }
}
