//! What is due by the clock.

use super::*;

impl Inner {
    pub(super) fn maintain(&self) -> Result<()> {
        self.check_open()?;
        let now = self.clock().now();
        self.abort_timed_out_transactions(now)?;
        for partition in self.open_partitions() {
            match partition.apply_retention(now) {
                Ok(0) => {}
                Ok(segments) => tracing::info!(partition = %partition.id(), segments, "deleted by retention"),
                Err(error) => tracing::warn!(partition = %partition.id(), %error, "no retention"),
            }
            if partition.idle_time(now) > TAIL_IDLE {
                partition.release_tail();
            }
        }
        self.write_checkpoints(&self.topics.lock().clone())
    }

    pub(super) fn write_checkpoints(&self, topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> Result<()> {
        let (mut recovery_points, mut log_starts) = (Offsets::new(), Offsets::new());
        for partition in topics.values().flat_map(|topic| &topic.partitions).filter_map(|slot| slot.get()) {
            let (synced, start) = partition.checkpoint();
            recovery_points.insert(partition.id().clone(), synced);
            if start > Offset::ZERO {
                log_starts.insert(partition.id().clone(), start);
            }
        }
        checkpoint::write(self.storage(), &self.dir.join(checkpoint::RECOVERY_POINT), &recovery_points)?;
        checkpoint::write(self.storage(), &self.dir.join(checkpoint::LOG_START), &log_starts)
    }
}
