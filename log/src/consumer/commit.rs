//! Committing: at once, later, and by itself.

use std::fmt;

use super::Consumer;
use crate::engine::Appended;
use crate::error::{LogError, Recovery, Result};
use crate::group::{Committed, GroupMetadata, OffsetCommit};
use crate::types::{Offset, TopicPartition};

/// Is told how a [`Consumer::commit_async`] went.
pub type CommitCallback = Box<dyn FnOnce(Result<()>) + Send>;

/// A commit that is appended and waits for its sync.
pub(super) struct Unfinished {
    appended: Option<Appended>,
    offsets: Vec<OffsetCommit>,
    callback: Option<CommitCallback>,
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("offsets", &self.offsets).finish_non_exhaustive()
    }
}

impl Consumer {
    /// Commits the positions, durably as `offsets.commit.required.acks` of the log says.
    ///
    /// Fails with [`LogError::UnknownMemberId`], [`LogError::IllegalGeneration`] or [`LogError::FencedInstanceId`] if
    /// the group has given the partitions to others, and with [`LogError::RebalanceInProgress`] while it is about to;
    /// the next poll joins again. Someone may then process the same records once more.
    pub fn commit(&mut self) -> Result<()> {
        let offsets = self.moved_positions(None);
        if offsets.is_empty() && self.config.group_id.is_some() {
            return self.finish_commits();
        }
        self.commit_with_metadata(offsets)
    }

    /// Commits these offsets. Fails as [`Self::commit`].
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        let with_metadata = |(id, offset): &(TopicPartition, Offset)| OffsetCommit::new(id.clone(), *offset);
        self.commit_with_metadata(offsets.iter().map(with_metadata).collect())
    }

    /// Commits these offsets with the texts and leader epochs kept beside them. Fails as [`Self::commit`].
    pub fn commit_with_metadata(&mut self, offsets: Vec<OffsetCommit>) -> Result<()> {
        let who = self.committer()?;
        self.finish_commits()?;
        self.log.inner().commit_group_offsets(&who, &offsets, None)?;
        self.note_committed(&offsets);
        Ok(())
    }

    /// Commits the positions without waiting for the disk. The offsets count, and `callback` is told, at the latest in
    /// the next poll, commit or close; commits keep their order.
    pub fn commit_async(&mut self, callback: Option<CommitCallback>) -> Result<()> {
        let offsets = self.moved_positions(None);
        self.commit_offsets_async(offsets, callback)
    }

    /// As [`Self::commit_async`], with these offsets.
    pub fn commit_offsets_async(
        &mut self,
        offsets: Vec<OffsetCommit>,
        callback: Option<CommitCallback>,
    ) -> Result<()> {
        let who = self.committer()?;
        match self.log.inner().append_offsets(&who, &offsets, None) {
            Ok(appended) => {
                self.note_committed(&offsets);
                self.unfinished.push(Unfinished { appended, offsets, callback });
                Ok(())
            }
            Err(error) => match callback {
                Some(callback) => {
                    callback(Err(error));
                    Ok(())
                }
                None => Err(error),
            },
        }
    }

    /// The group's committed offset.
    pub fn committed(&self, partition: &TopicPartition) -> Option<Offset> {
        Some(self.committed_with_metadata(partition)?.offset)
    }

    /// The group's committed offset with the text and leader epoch kept beside it.
    pub fn committed_with_metadata(&self, partition: &TopicPartition) -> Option<Committed> {
        let group = self.config.group_id.as_deref()?;
        self.log.inner().groups.committed(group, partition)
    }

    /// Who this consumer is in its group, for
    /// [`Producer::send_offsets`](crate::Producer::send_offsets) and the like. `None` without `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.committer().ok()
    }

    pub(super) fn commits_by_itself(&self) -> bool {
        self.config.enable_auto_commit && self.config.group_id.is_some()
    }

    /// Commits what earlier polls returned, if that is due.
    pub(super) fn auto_commit(&mut self) -> Result<()> {
        let now = self.log.clock().monotonic();
        if self.commits_by_itself()
            && now.saturating_sub(self.last_auto_commit) >= self.config.auto_commit_interval
        {
            self.last_auto_commit = now;
            self.commit_by_itself(None)?;
        }
        Ok(())
    }

    /// Commits the positions, all or those in some partitions. A group that has moved on is no error: the records come
    /// again to whoever reads them now.
    pub(super) fn commit_by_itself(&mut self, only: Option<&[TopicPartition]>) -> Result<()> {
        let offsets = self.moved_positions(only);
        let outcome =
            if offsets.is_empty() { self.finish_commits() } else { self.commit_with_metadata(offsets) };
        match outcome {
            Err(error) if error.recovery() == Recovery::Rejoin => {
                tracing::warn!(%error, "could not commit the positions");
                Ok(())
            }
            Err(error @ (LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. })) => {
                tracing::warn!(%error, "could not commit the positions");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Syncs what [`Self::commit_async`] appended and tells the callbacks. One sync covers all.
    pub(super) fn finish_commits(&mut self) -> Result<()> {
        let mut failed = Ok(());
        let mut outcomes = Vec::new();
        for commit in std::mem::take(&mut self.unfinished) {
            let finish = |appended| self.log.inner().finish_commit(appended);
            outcomes.push((commit.appended.map_or(Ok(()), finish), commit.callback));
        }
        for (outcome, callback) in outcomes {
            match callback {
                Some(callback) => callback(outcome),
                None => failed = failed.and(outcome),
            }
        }
        failed
    }

    fn committer(&self) -> Result<GroupMetadata> {
        let Some(group) = &self.config.group_id else {
            return Err(LogError::InvalidGroupId {
                group: String::new(),
                reason: "set group.id to commit offsets",
            });
        };
        Ok(match &self.membership {
            Some(membership) => membership.who().clone(),
            None => GroupMetadata::new(group),
        })
    }

    fn moved_positions(&self, only: Option<&[TopicPartition]>) -> Vec<OffsetCommit> {
        let concerned = self
            .assigned
            .iter()
            .filter(|assigned| only.is_none_or(|only| only.contains(&assigned.id)))
            .filter(|assigned| assigned.position != assigned.committed);
        concerned
            .filter_map(|assigned| {
                Some(OffsetCommit {
                    leader_epoch: assigned.leader_epoch,
                    ..OffsetCommit::new(assigned.id.clone(), assigned.position?)
                })
            })
            .collect()
    }

    fn note_committed(&mut self, offsets: &[OffsetCommit]) {
        for commit in offsets {
            let known = self.assigned.iter_mut().find(|assigned| assigned.id == commit.partition);
            if let Some(assigned) = known {
                assigned.committed = Some(commit.offset);
            }
        }
    }
}
