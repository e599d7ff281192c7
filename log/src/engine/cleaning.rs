//! Compaction, a round at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, Log};
use crate::cleaner::{Cleaned, CleanerStats};
use crate::error::{LogError, Result};
use crate::partition::Partition;
use crate::types::TopicPartition;

impl Inner {
    fn compacted_partitions(&self) -> Vec<Arc<Partition>> {
        let mut partitions = self.open_partitions();
        partitions.retain(|partition| partition.config().cleanup_policy.compact);
        partitions
    }

    fn is_closing(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }
}

impl Log {
    /// Compacts the partition with the largest share of dirty bytes, if that is above its `min.cleanable.dirty.ratio` or
    /// older than its `max.compaction.lag.ms`. `None` if there is nothing to do for a while
    /// ([`CleanerConfig::backoff`](crate::CleanerConfig::backoff)).
    ///
    /// Meant for a thread of its own: it may take minutes and holds up neither appends nor readers. A partition that
    /// fails is left alone until the log is opened again, or for a while if the disk is full; the next call turns to the
    /// others. As Kafka's `LogCleaner`.
    pub fn clean_next(&self) -> Result<Option<Cleaned>> {
        self.clean_next_unless(&|| false)
    }

    /// As [`clean_next`](Self::clean_next), but gives up, with `None` and nothing changed, soon after `is_cancelled` says
    /// so. A round also gives up when the log is closed.
    pub fn clean_next_unless(&self, is_cancelled: &dyn Fn() -> bool) -> Result<Option<Cleaned>> {
        let inner = self.inner();
        inner.check_open()?;
        let config = &inner.config.cleaner;
        if !config.enable {
            return Ok(None);
        }
        let is_over = || inner.is_closing() || is_cancelled();
        match inner.cleaner.clean_next(&inner.compacted_partitions(), config, &is_over) {
            Err(LogError::Closed) if !inner.is_closing() => Ok(None),
            outcome => outcome,
        }
    }

    /// Compacts one partition now, however little there is to gain. Fails with [`LogError::InvalidConfig`] if its topic's
    /// `cleanup.policy` does not say `compact`.
    pub fn clean(&self, partition: &TopicPartition) -> Result<Cleaned> {
        let inner = self.inner();
        let partition = inner.partition(partition)?;
        if !partition.config().cleanup_policy.compact {
            return Err(LogError::InvalidConfig {
                key: "cleanup.policy".to_owned(),
                value: "delete".to_owned(),
                reason: format!("compacting {} takes compact", partition.id()),
            });
        }
        inner.cleaner.clean(&partition, &inner.config.cleaner, &|| inner.is_closing())
    }

    /// Where compaction stands in each partition with `cleanup.policy=compact`.
    pub fn cleaner_stats(&self) -> Result<Vec<CleanerStats>> {
        let inner = self.inner();
        inner.check_open()?;
        inner.cleaner.stats(&inner.compacted_partitions())
    }
}
