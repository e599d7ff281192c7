//! How far the partitions are on stable storage and where they start, in the checkpoint files of the log.
//!
//! ```text
//! move log starts ─▶ log-start-offset-checkpoint on stable storage ─▶ rename the segments below ─▶ remove them, later
//! ```
//! In this order, since a start takes a segment that should be there for lost. On a full disk the checkpoint goes into
//! the space of a spare file, and what is deleted makes room at once.

use std::sync::Arc;

use super::{Inner, checkpoint};
use crate::checkpoint::Offsets;
use crate::error::{LogError, Result};
use crate::partition::Partition;

/// What the files say, where that is known.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    recovery_points: Option<Offsets>,
    log_starts: Option<Offsets>,
    /// Bytes of the spare file.
    spare: u64,
}

/// Whether the disk had room for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Enough,
    /// The spare file's was taken.
    Full,
}

impl Inner {
    /// Writes where the partitions start, and how far they are on stable storage.
    pub(super) fn write_checkpoints(&self) -> Result<()> {
        let mut known = self.checkpointing.lock();
        self.write_log_starts(&mut known)?;
        let one = |partition: Arc<Partition>| (partition.id().clone(), partition.recovery_point());
        let recovery_points = Some(self.open_partitions().into_iter().map(one).collect());
        if known.recovery_points != recovery_points {
            // What is on disk is not known until it is there.
            known.recovery_points = None;
            let path = self.dir.join(checkpoint::RECOVERY_POINT);
            recovery_points.iter().try_for_each(|points| checkpoint::write(self.storage(), &path, points))?;
            known.recovery_points = recovery_points;
        }
        Ok(())
    }

    /// Deletes the segments below the partitions' log starts, which are written first.
    pub(super) fn delete_segments(&self, partitions: &[Arc<Partition>]) -> Result<()> {
        let mut known = self.checkpointing.lock();
        let space = match planted!("delete_before_start") {
            true => Space::Enough,
            false => self.write_log_starts(&mut known)?,
        };
        self.delete_below(&known, partitions, space)
    }

    /// Makes a log start that was moved outlive a crash. On a full disk what lies below goes at once.
    pub(super) fn write_log_start(&self, partition: &Arc<Partition>) -> Result<()> {
        let mut known = self.checkpointing.lock();
        match self.write_log_starts(&mut known)? {
            Space::Enough => Ok(()),
            // Deleting is how space comes back.
            Space::Full => self.delete_below(&known, std::slice::from_ref(partition), Space::Full),
        }
    }

    fn delete_below(&self, known: &Checkpoints, partitions: &[Arc<Partition>], space: Space) -> Result<()> {
        for partition in partitions {
            let written = known.log_starts.as_ref().and_then(|starts| starts.get(partition.id()));
            let start = match planted!("delete_before_start") {
                true => partition.start(),
                false => written.copied().unwrap_or_default(),
            };
            match partition.delete_segments(start) {
                Ok(0) => {}
                Ok(segments) => tracing::info!(partition = %partition.id(), segments, "deleted"),
                Err(error) => {
                    tracing::warn!(partition = %partition.id(), %error, "segments below the log start stay")
                }
            }
            if space == Space::Full {
                partition.remove_deleted_files(None)?;
            }
        }
        Ok(())
    }

    /// Sets space for log starts aside, while there is some.
    pub(super) fn keep_spare(&self) {
        let path = self.dir.join(checkpoint::LOG_START);
        self.checkpointing.lock().spare = checkpoint::keep_spare(self.storage(), &path, &Offsets::new(), 0);
    }

    fn write_log_starts(&self, known: &mut Checkpoints) -> Result<Space> {
        let one = |partition: Arc<Partition>| (partition.id().clone(), partition.start());
        let log_starts: Offsets = self.open_partitions().into_iter().map(one).collect();
        if known.log_starts.as_ref() == Some(&log_starts) {
            return Ok(Space::Enough);
        }
        known.log_starts = None;
        let (storage, path) = (self.storage(), self.dir.join(checkpoint::LOG_START));
        let space = match checkpoint::write(storage, &path, &log_starts) {
            Ok(()) => Space::Enough,
            Err(LogError::DiskFull { .. }) => {
                known.spare = 0;
                checkpoint::write_in_spare(storage, &path, &log_starts)?;
                Space::Full
            }
            Err(error) => return Err(error),
        };
        if space == Space::Enough {
            known.spare = checkpoint::keep_spare(storage, &path, &log_starts, known.spare);
        }
        known.log_starts = Some(log_starts);
        Ok(space)
    }
}
