//! What is due by the clock.

use super::*;

impl Inner {
    pub(super) fn maintain(&self) -> Result<()> {
        self.check_open()?;
        let now = self.clock().now();
        self.abort_timed_out_transactions(now)?;
        self.maintain_groups()?;
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
        let rolled: Vec<_> = self
            .open_partitions()
            .into_iter()
            .filter(|partition| partition.has_unsynced_segments())
            .collect();
        sync_partitions(&rolled)?;
        self.write_checkpoints()
    }

    pub(super) fn write_checkpoints(&self) -> Result<()> {
        let _writing = self.checkpointing.lock();
        let (mut recovery_points, mut log_starts) = (Offsets::new(), Offsets::new());
        for partition in self.open_partitions() {
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
