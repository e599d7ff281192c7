//! What the log's own topics say, rebuilt at the start.

use super::*;

impl Inner {
    /// Rebuilds what the log's own topics say, and ends the transactions that were open.
    pub(super) fn replay(&self, is_clean: bool) -> Result<()> {
        let is_counted = self.transactions.producer_ids.load(self.storage(), &self.dir)?;
        if !self.replay_topic(TRANSACTION_STATE, |_, batch| self.transactions.replay(batch))? {
            self.transactions.mark_torn();
        }
        if !is_counted {
            for id in self.open_partitions().iter().filter_map(|partition| partition.last_producer_id()) {
                self.transactions.producer_ids.note(id);
            }
        }
        self.resume_transactions(is_clean)?;
        if !is_clean {
            self.sync_found()?;
        }
        self.replay_topic(CONSUMER_OFFSETS, |number, batch| self.replay_groups(number, batch))?;
        self.remove_orphaned_offsets()
    }

    /// Puts on stable storage what a killed process may have left in the page cache alone: it is read from now on, and
    /// what readers make of it must not outlive it when the power fails. Groups' offsets must not go back either.
    fn sync_found(&self) -> Result<()> {
        for partition in self.open_partitions() {
            match partition.sync(partition.end()) {
                Ok(()) => {}
                Err(error) if partition.id().topic.as_ref() == CONSUMER_OFFSETS => match error {
                    // Of a partition that takes no more, what can be read is better than nothing.
                    LogError::Corrupt { .. } => {}
                    error => return Err(error),
                },
                // It has stopped, and the others need not.
                Err(error) => {
                    tracing::error!(%error, partition = %partition.id(), "could not sync what was found")
                }
            }
        }
        Ok(())
    }

    /// Goes over all batches of a topic, partition by partition. Says whether all of them could be read.
    pub(super) fn replay_topic(
        &self,
        name: &str,
        mut take: impl FnMut(PartitionId, &crate::record::RecordBatch),
    ) -> Result<bool> {
        let Ok(topic) = self.topic(name) else { return Ok(true) };
        let mut is_whole = true;
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
                        is_whole = false;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(is_whole)
    }
}
