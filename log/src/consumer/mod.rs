//! Consuming: polled batches from several partitions, positions, committed offsets, membership in groups.
//!
//! ```text
//! subscribe ─▶ membership ─ assignment ─▶ assigned partitions ─ poll ─▶ PartitionRecords
//! assign ─────────────────────────────────────▲        │ positions
//!                                                      ▼
//!                                                 commit, auto commit
//! ```
//! Reading order: `records` what comes out, `fetch` how, `topics` subscriptions, `membership` the group, `commit`,
//! `lookup` offsets by time and the like.

mod commit;
mod fetch;
mod listener;
mod lookup;
mod membership;
mod records;
mod topics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use commit::CommitCallback;
pub use listener::RebalanceListener;
pub(crate) use lookup::{end_of, first_not_before};
pub use records::{OffsetAndTimestamp, PartitionRecords, Waker};

use crate::config::ConsumerConfig;
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::partition::Partition;
use crate::signal::{Signal, Wake};
use crate::types::{Isolation, Offset, OffsetSpec, TopicPartition};

/// Between looks at an offset whose transaction has not ended, Kafka's `retry.backoff.ms`.
const RETRY: Duration = Duration::from_millis(100);

/// Reads records from partitions, one thread at a time.
///
/// With [`subscribe`](Self::subscribe) and a `group.id` it becomes a member of that group, which divides the partitions
/// among its members, in this process and behind connections; each poll does its part in that. Without `group.id` it
/// reads all partitions of its topics. With [`assign`](Self::assign) it reads what it is told to, whatever a group does.
///
/// Its position in a partition starts at the group's committed offset, or else where `auto.offset.reset` says, and moves
/// with each poll. With a group and `enable.auto.commit`, a poll commits what earlier polls returned, and so do the
/// loss of partitions and [`close`](Self::close). A member that does not poll for `max.poll.interval.ms` loses its
/// partitions and joins again with its next poll; one that is dropped leaves, without a commit.
pub struct Consumer {
    log: Log,
    config: ConsumerConfig,
    signal: Arc<Signal>,
    assigned: Vec<Assigned>,
    /// Which partition the next poll asks first, so that none starves.
    turn: usize,
    last_auto_commit: Duration,
    subscribed: Option<topics::Subscribed>,
    membership: Option<membership::Membership>,
    listener: Option<Box<dyn RebalanceListener>>,
    unfinished: Vec<commit::Unfinished>,
    /// Whether a position waits for a transaction to end.
    is_unstable: bool,
}

#[derive(Debug)]
struct Assigned {
    id: TopicPartition,
    partition: Arc<Partition>,
    /// `None` while it is not known: a transaction may still move it, or there is no committed offset and
    /// `auto.offset.reset` is `none`.
    position: Option<Offset>,
    /// The position that was committed last.
    committed: Option<Offset>,
    /// Leader epoch of the batch before the position.
    leader_epoch: Option<i32>,
    is_paused: bool,
}

impl Consumer {
    pub(crate) fn new(log: Log, config: ConsumerConfig) -> Self {
        let last_auto_commit = log.clock().monotonic();
        Self {
            log,
            config,
            signal: Arc::default(),
            assigned: Vec::new(),
            turn: 0,
            last_auto_commit,
            subscribed: None,
            membership: None,
            listener: None,
            unfinished: Vec::new(),
            is_unstable: false,
        }
    }

    /// Sets who is told when partitions come and go.
    pub fn set_rebalance_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        self.listener = Some(listener);
    }

    /// Reads these partitions, in place of what it read before; it leaves its group. Fails on unknown ones and then
    /// changes nothing. Commits then count only while the group has no members.
    pub fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        let assigned = partitions.into_iter().map(|id| self.start(id)).collect::<Result<Vec<_>>>()?;
        self.unsubscribe()?;
        self.assigned = assigned;
        self.assigned.iter().for_each(|assigned| assigned.partition.watchers().add(&self.signal));
        self.turn = 0;
        Ok(())
    }

    /// The partitions it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned.iter().map(|assigned| assigned.id.clone()).collect()
    }

    /// Sets the position in a partition. Whether there is such an offset shows in the next poll.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.assigned_mut(partition)?.position = Some(offset);
        Ok(())
    }

    /// Sets the position in a partition to where `spec` is now.
    pub fn seek_to(&mut self, partition: &TopicPartition, spec: OffsetSpec) -> Result<()> {
        let isolation = self.config.isolation;
        let assigned = self.assigned_mut(partition)?;
        let offset = assigned.partition.offset_at(spec)?;
        assigned.position = Some(match isolation {
            Isolation::ReadUncommitted => offset,
            Isolation::ReadCommitted => offset.min(assigned.partition.last_stable_offset()),
        });
        Ok(())
    }

    /// The next offset to be read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.iter().find(|assigned| assigned.id == *partition)?.position
    }

    /// Polls return nothing from these partitions until they are resumed.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    /// Polls return records from these partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.assigned.iter().filter(|assigned| assigned.is_paused);
        paused.map(|assigned| assigned.id.clone()).collect()
    }

    /// Batches from the assigned partitions, at once if there are any, else as soon as there are, or nothing when
    /// `timeout` has passed. Partitions take turns in being first. It takes as many as `max.poll.records`,
    /// `fetch.max.bytes` and `max.partition.fetch.bytes` allow, but always one whole batch, and waits for
    /// `fetch.min.bytes` no longer than `fetch.max.wait.ms`.
    ///
    /// A member of a group joins, rebalances and shows signs of life here, and its listener is called here. Records of
    /// partitions that stay with it keep coming while the group rebalances.
    ///
    /// Fails with [`LogError::OffsetOutOfRange`] or [`LogError::NoCommittedOffset`] if a position is invalid and
    /// `auto.offset.reset` is `none`, and with [`LogError::Corrupt`] at damage; other partitions' records come first.
    /// Fails with the group's refusals, such as [`LogError::FencedInstanceId`].
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<PartitionRecords>> {
        self.finish_commits()?;
        self.auto_commit()?;
        let start = self.log.clock().monotonic();
        // Real time may pass while the clock stands still.
        let mut waited = Duration::ZERO;
        let mut found = Vec::new();
        loop {
            self.signal.reset();
            self.log.inner().check_open()?;
            if found.is_empty() {
                self.refresh_topics()?;
                self.keep_membership()?;
            }
            self.fetch(&mut found)?;
            let elapsed = self.log.clock().monotonic().saturating_sub(start).max(waited);
            let limit = if found.is_empty() { timeout } else { timeout.min(self.config.fetch_max_wait) };
            if fetch::bytes(&found) >= self.config.fetch_min_bytes.max(1) && !found.is_empty()
                || fetch::has_only_markers(&found)
                || self.signal.take_woken()
                || elapsed >= limit
            {
                return Ok(found);
            }
            let wait = (limit - elapsed).min(self.due_in());
            match self.signal.wait(wait) {
                Wake::Raised => {}
                Wake::TimedOut => waited += wait,
                Wake::Woken => return Ok(found),
            }
        }
    }

    /// A handle that ends blocked polls.
    pub fn waker(&self) -> Waker {
        Waker { signal: self.signal.clone() }
    }

    /// Commits the positions if it has a group and `enable.auto.commit` is set, tells the listener that its partitions
    /// go, leaves its group unless it is a static member, and ends this consumer.
    pub fn close(mut self) -> Result<()> {
        let committed = self.finish_commits();
        let committed =
            committed.and(if self.commits_by_itself() { self.commit_by_itself(None) } else { Ok(()) });
        committed.and(self.end_membership())
    }

    /// How long a wait may last at most before it looks around.
    fn due_in(&self) -> Duration {
        let retry = if self.is_unstable { RETRY } else { Duration::MAX };
        let topics = if self.subscribed.is_some() { self.config.metadata_max_age } else { Duration::MAX };
        // Not zero, or a poll would spin while something stays overdue.
        self.membership_due_in().min(retry).min(topics).max(Duration::from_millis(1))
    }

    /// Starts reading a partition, from where the group is or `auto.offset.reset` says.
    fn start(&self, id: TopicPartition) -> Result<Assigned> {
        let partition = self.log.inner().partition(&id)?;
        let mut assigned =
            Assigned { id, partition, position: None, committed: None, leader_epoch: None, is_paused: false };
        self.find_position(&mut assigned)?;
        Ok(assigned)
    }

    /// Starts reading more partitions. Those that are gone meanwhile are left out; the next look at the topics sees it.
    fn add(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        for id in partitions {
            match self.start(id.clone()) {
                Ok(assigned) => {
                    assigned.partition.watchers().add(&self.signal);
                    self.assigned.push(assigned);
                }
                Err(error @ (LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. })) => {
                    tracing::warn!(%error, "left out a partition");
                }
                Err(error) => return Err(error),
            }
        }
        self.assigned.sort_by(|a, b| a.id.cmp(&b.id));
        self.turn = 0;
        Ok(())
    }

    /// Stops reading partitions.
    fn remove(&mut self, partitions: &[TopicPartition]) {
        let signal = &self.signal;
        self.assigned.retain(|assigned| {
            let is_removed = partitions.contains(&assigned.id);
            if is_removed {
                assigned.partition.watchers().remove(signal);
            }
            !is_removed
        });
        self.turn = 0;
    }

    fn assigned_mut(&mut self, partition: &TopicPartition) -> Result<&mut Assigned> {
        let unassigned = || LogError::NotAssigned { partition: partition.clone() };
        self.assigned.iter_mut().find(|assigned| assigned.id == *partition).ok_or_else(unassigned)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) {
        for assigned in self.assigned.iter_mut().filter(|assigned| partitions.contains(&assigned.id)) {
            assigned.is_paused = is_paused;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // What is appended counts after a restart, so it has to count now.
        if let Err(error) = self.finish_commits() {
            tracing::warn!(%error, "could not finish a commit");
        }
        self.leave();
        self.unwatch_topics();
        self.assigned.iter().for_each(|assigned| assigned.partition.watchers().remove(&self.signal));
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("config", &self.config)
            .field("assigned", &self.assigned)
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}
