//! Offsets of groups that are committed as part of a transaction.

use super::request::{TransactionVersion, TxnOffsetCommit};
use crate::engine::Inner;
use crate::error::Result;

impl Inner {
    /// Writes a group's offsets inside a transaction, as Kafka's `TxnOffsetCommit`. They count once it is committed.
    pub(crate) fn txn_offset_commit(&self, request: &TxnOffsetCommit) -> Result<()> {
        let partition = self.group_partition(&request.group.group_id)?.id().clone();
        let entry = self.entry_of(&request.transactional_id, request.producer)?;
        let mut transaction = entry.lock();
        match request.version {
            TransactionVersion::Bumped => self.add(&mut transaction, request.producer, &[partition])?,
            TransactionVersion::Classic => transaction.verify(request.producer, &partition)?,
        }
        // The lock is held until they are both appended and held back: with a marker in between they would be left
        // over, for the next transaction of this producer to commit.
        self.commit_group_offsets(&request.group, &request.offsets, Some(request.producer))
    }
}
