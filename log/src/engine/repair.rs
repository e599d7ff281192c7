//! Repairing a partition on an operator's word.

use super::Log;
use crate::error::Result;
use crate::repair::{RepairMode, RepairReport};
use crate::types::TopicPartition;

impl Log {
    /// Examines every batch of a partition and gives up what is damaged: the segments are written anew without it, with
    /// all other records at their offsets, and the partition takes batches again. A dry run only says what would be
    /// lost.
    ///
    /// A transaction whose end was lost stays open until it is aborted as one that hangs. After a repair of one of the
    /// log's own topics, open the log again, so that what they say is read anew.
    pub fn repair(&self, partition: &TopicPartition, mode: RepairMode) -> Result<RepairReport> {
        let inner = self.inner();
        let report = inner.partition(partition)?.repair(mode)?;
        if report.is_applied {
            inner.write_checkpoints()?;
        }
        Ok(report)
    }
}
