//! What the log's own topics say, rebuilt at the start.

use super::*;

impl Inner {
    /// Rebuilds what the log's own topics say, and ends the transactions that were open.
    pub(super) fn replay(&self) -> Result<()> {
        self.replay_topic(TRANSACTION_STATE, |_, batch| self.transactions.replay(batch))?;
        let partitions = self.open_partitions();
        for id in partitions.iter().filter_map(|partition| partition.last_producer_id()) {
            self.transactions.note_producer_id(id);
        }
        self.resume_transactions()?;
        for partition in &partitions {
            for producer in partition.open_transactions() {
                if self.transactions.is_ending(producer.0) {
                    continue; // decided, and not for us to undo
                }
                let id = partition.id();
                match self.write_marker(id, producer, false) {
                    Ok(()) => {
                        tracing::warn!(partition = %id, producer = %producer.0, "aborted a transaction of nobody")
                    }
                    Err(LogError::Corrupt { .. } | LogError::DiskFull { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.replay_topic(CONSUMER_OFFSETS, |number, batch| self.replay_groups(number, batch))
    }

    pub(super) fn replay_topic(
        &self,
        name: &str,
        mut take: impl FnMut(PartitionId, &crate::record::RecordBatch),
    ) -> Result<()> {
        let Ok(topic) = self.topic(name) else { return Ok(()) };
        for partition in topic.partitions.iter().filter_map(|slot| slot.get()) {
            let mut from = partition.offset_at(OffsetSpec::Earliest)?;
            loop {
                match partition.read(from, 1 << 20, Isolation::ReadUncommitted) {
                    Ok(fetched) if fetched.batches.is_empty() => break,
                    Ok(fetched) => {
                        from = fetched.next_offset(from);
                        fetched.batches.iter().for_each(|batch| take(partition.id().partition, batch));
                    }
                    // What follows is lost to us, which appends to this partition will go on to say.
                    Err(error @ LogError::Corrupt { .. }) => {
                        tracing::error!(%error, "could not read all of {name}");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
