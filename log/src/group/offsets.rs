//! Offsets that groups have committed: what `__consumer_offsets` says now.
//!
//! Offsets in a transaction count from its commit marker on. The state is applied the same way live and at open, and
//! ordered by where the records or markers lie in the topic, so that both agree. All records of a group are in one
//! partition of the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::GroupRecord;
use crate::mutex::Mutex;
use crate::record::{Marker, RecordBatch};
use crate::types::{Offset, PartitionId, ProducerId, Timestamp, TopicPartition};

/// A group's offset in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, if the consumer knew it.
    pub leader_epoch: Option<i32>,
    /// Text kept with it.
    pub metadata: String,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// When it is removed at the latest; only in records of old versions of Kafka.
    pub(crate) expires: Option<Timestamp>,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, if known. Kept and given back.
    pub leader_epoch: Option<i32>,
    /// Text kept with it, at most `offset.metadata.max.bytes`.
    pub metadata: String,
}

impl OffsetCommit {
    /// An offset without leader epoch and text.
    pub fn new(partition: TopicPartition, offset: Offset) -> Self {
        Self { partition, offset, leader_epoch: None, metadata: String::new() }
    }
}

/// What a group committed in a partition, or that it has nothing committed there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRecord {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) committed: Option<Committed>,
}

/// What all groups have committed.
#[derive(Debug, Default)]
pub(crate) struct GroupOffsets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, BTreeMap<TopicPartition, Entry>>,
    /// Records of open transactions, by partition of the topic: each has its own marker.
    pending: BTreeMap<(PartitionId, ProducerId), Vec<OffsetRecord>>,
    /// Commits that are appended and not applied yet, by group.
    in_flight: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    /// `None` once removed; kept for `at` while an older record may still be applied.
    committed: Option<Committed>,
    /// Where in the topic this was decided.
    at: Offset,
}

impl GroupOffsets {
    /// Takes note that records of a group are appended and will be applied, or given up, with [`Self::finish`].
    pub(crate) fn begin(&self, group: &str) {
        *self.state.lock().in_flight.entry(group.to_owned()).or_default() += 1;
    }

    /// Takes in records that were appended at `at`; none if they could not be made durable.
    pub(crate) fn finish(&self, group: &str, at: Offset, records: Vec<OffsetRecord>) {
        let has_removed = records.iter().any(|record| record.committed.is_none());
        let mut state = self.state.lock();
        state.apply(at, records);
        if let Some(count) = state.in_flight.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                state.in_flight.remove(group);
            }
        }
        if has_removed {
            state.forget_removed(group);
        }
    }

    /// Takes in records that were appended as part of a producer's transaction, to a partition of the topic.
    pub(crate) fn hold(&self, of: PartitionId, producer: ProducerId, records: Vec<OffsetRecord>) {
        self.state.lock().pending.entry((of, producer)).or_default().extend(records);
    }

    /// Takes in the end of a producer's transaction, whose marker was appended to a partition of the topic at `at`.
    pub(crate) fn end_transaction(&self, of: PartitionId, producer: ProducerId, is_commit: bool, at: Offset) {
        let mut state = self.state.lock();
        if let Some(records) = state.pending.remove(&(of, producer))
            && is_commit
        {
            state.apply(at, records);
        }
    }

    /// Takes in a stored batch of a partition of the topic. Returns what it says about groups' members.
    pub(crate) fn replay(&self, of: PartitionId, batch: &RecordBatch) -> Vec<GroupRecord> {
        if let Some(producer) = batch.producer_id().filter(|_| batch.is_control()) {
            if let Some(marker) = Marker::of(batch) {
                self.end_transaction(of, producer, marker.is_commit, batch.base_offset());
            }
            return Vec::new();
        }
        let (mut offsets, mut groups) = (Vec::new(), Vec::new());
        for record in batch.records().filter_map(|record| GroupRecord::decode(&record.ok()?)) {
            match record {
                GroupRecord::Offset(record) => offsets.push(record),
                group @ GroupRecord::Group { .. } => groups.push(group),
            }
        }
        match batch.producer_id().filter(|_| batch.is_transactional()) {
            Some(producer) => self.hold(of, producer, offsets),
            None => self.state.lock().apply(batch.last_offset(), offsets),
        }
        groups
    }

    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        self.state.lock().groups.get(group)?.get(partition)?.committed.clone()
    }

    /// Whether an open transaction will change a group's offset, or a commit is on its way to the disk.
    pub(crate) fn is_unstable(&self, group: &str, partition: &TopicPartition) -> bool {
        self.state.lock().is_pending(group, Some(partition))
    }

    /// Every topic in which a group has something committed, or will have with a transaction.
    pub(crate) fn topics(&self) -> BTreeSet<Arc<str>> {
        let state = self.state.lock();
        let live = state.groups.values().flatten().filter(|(_, entry)| entry.committed.is_some());
        let pending = state.pending.values().flatten().map(|record| &record.partition);
        live.map(|(id, _)| id).chain(pending).map(|id| id.topic.clone()).collect()
    }

    pub(crate) fn of_group(&self, group: &str) -> Vec<(TopicPartition, Committed)> {
        let state = self.state.lock();
        let entries = state.groups.get(group).into_iter().flatten();
        entries.filter_map(|(id, entry)| Some((id.clone(), entry.committed.clone()?))).collect()
    }

    pub(crate) fn groups(&self) -> Vec<String> {
        let state = self.state.lock();
        let is_alive = |entries: &BTreeMap<_, Entry>| entries.values().any(|entry| entry.committed.is_some());
        state.groups.iter().filter(|(_, entries)| is_alive(entries)).map(|(group, _)| group.clone()).collect()
    }

    /// Every group that has something committed in a topic, or will have with a transaction, with the partitions.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<(String, Vec<TopicPartition>)> {
        let state = self.state.lock();
        let live = state.groups.iter().flat_map(|(group, entries)| {
            let live = entries.iter().filter(|(_, entry)| entry.committed.is_some());
            live.map(move |(id, _)| (group, id))
        });
        let pending = state.pending.values().flatten().map(|record| (&record.group, &record.partition));
        let mut found: BTreeMap<String, BTreeSet<TopicPartition>> = BTreeMap::new();
        for (group, id) in live.chain(pending).filter(|(_, id)| &*id.topic == topic) {
            found.entry(group.clone()).or_default().insert(id.clone());
        }
        found.into_iter().map(|(group, partitions)| (group, partitions.into_iter().collect())).collect()
    }

    /// A group's partitions for which `is_expired` holds and no transaction or commit is on its way.
    pub(crate) fn expired(
        &self,
        group: &str,
        is_expired: impl Fn(&TopicPartition, &Committed) -> bool,
    ) -> Vec<TopicPartition> {
        let state = self.state.lock();
        if state.in_flight.contains_key(group) {
            return Vec::new();
        }
        let entries = state.groups.get(group).into_iter().flatten();
        let expired = entries.filter(|(id, entry)| {
            entry.committed.as_ref().is_some_and(|committed| is_expired(id, committed))
                && !state.is_pending(group, Some(id))
        });
        expired.map(|(id, _)| id.clone()).collect()
    }

    /// Whether there is nothing of a group, now or on its way.
    pub(crate) fn is_empty(&self, group: &str) -> bool {
        let state = self.state.lock();
        let mut entries = state.groups.get(group).into_iter().flatten();
        entries.all(|(_, entry)| entry.committed.is_none())
            && !state.in_flight.contains_key(group)
            && !state.is_pending(group, None)
    }
}

impl State {
    fn apply(&mut self, at: Offset, records: Vec<OffsetRecord>) {
        for record in records {
            if record.committed.is_none() {
                // What a transaction would commit is removed with it: a later topic of that name starts without.
                self.forget_pending(&record.group, &record.partition);
            }
            let entries = self.groups.entry(record.group).or_default();
            let is_newer = entries.get(&record.partition).is_none_or(|entry| entry.at <= at);
            if is_newer {
                entries.insert(record.partition, Entry { committed: record.committed, at });
            }
        }
    }

    fn forget_pending(&mut self, group: &str, partition: &TopicPartition) {
        self.pending.retain(|_, records| {
            records.retain(|record| record.group != group || record.partition != *partition);
            !records.is_empty()
        });
    }

    fn is_pending(&self, group: &str, partition: Option<&TopicPartition>) -> bool {
        let concerns = |record: &OffsetRecord| {
            record.group == group && partition.is_none_or(|partition| record.partition == *partition)
        };
        self.pending.values().flatten().any(concerns)
    }

    /// Lets go of removed entries once nothing older can come after them.
    fn forget_removed(&mut self, group: &str) {
        if self.in_flight.contains_key(group) || self.is_pending(group, None) {
            return;
        }
        if let Some(entries) = self.groups.get_mut(group) {
            entries.retain(|_, entry| entry.committed.is_some());
            if entries.is_empty() {
                self.groups.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_the_topic_decides() {
        let offsets = GroupOffsets::default();
        let (here, there) = (PartitionId::new(0), PartitionId::new(1));
        let id = TopicPartition::new("t", 0);
        let record = |offset: Option<u64>| OffsetRecord {
            group: "g".to_owned(),
            partition: id.clone(),
            committed: offset.map(|offset| Committed {
                offset: Offset::new(offset),
                leader_epoch: None,
                metadata: String::new(),
                timestamp: Timestamp::new(0),
                expires: None,
            }),
        };
        let commit = |at: u64, offset: Option<u64>| {
            offsets.begin("g");
            offsets.finish("g", Offset::new(at), vec![record(offset)]);
        };
        let now = || offsets.committed("g", &id).map(|committed| committed.offset.get());
        offsets.begin("g");
        commit(3, Some(30));
        offsets.finish("g", Offset::new(2), vec![record(Some(20))]);
        assert_eq!(now(), Some(30));
        let producer = ProducerId::new(1);
        offsets.hold(here, producer, vec![record(Some(40))]);
        assert!(offsets.is_unstable("g", &id));
        // A marker in another partition of the topic is about other groups.
        offsets.end_transaction(there, producer, true, Offset::new(4));
        assert_eq!(now(), Some(30));
        commit(5, Some(50));
        offsets.end_transaction(here, producer, true, Offset::new(6));
        assert_eq!(now(), Some(40), "the marker is later than the commit");
        offsets.hold(here, producer, vec![record(Some(70))]);
        offsets.end_transaction(here, producer, false, Offset::new(8));
        assert_eq!(now(), Some(40));
        // A removed offset stays removed, whatever comes late.
        offsets.hold(here, producer, vec![record(Some(90))]);
        commit(10, None);
        offsets.end_transaction(here, producer, true, Offset::new(9));
        assert_eq!((now(), offsets.is_empty("g")), (None, true));
        commit(11, None);
        assert_eq!(offsets.state.lock().groups.len(), 0);
    }

    #[test]
    fn what_is_on_its_way_does_not_expire() {
        let offsets = GroupOffsets::default();
        let id = TopicPartition::new("t", 0);
        let committed = Committed {
            offset: Offset::new(1),
            leader_epoch: None,
            metadata: String::new(),
            timestamp: Timestamp::new(0),
            expires: None,
        };
        let record =
            OffsetRecord { group: "g".to_owned(), partition: id.clone(), committed: Some(committed) };
        offsets.begin("g");
        offsets.finish("g", Offset::new(0), vec![record.clone()]);
        let expired = || offsets.expired("g", |_, _| true).len();
        assert_eq!(expired(), 1);
        offsets.begin("g");
        assert_eq!((expired(), offsets.is_empty("g")), (0, false));
        offsets.finish("g", Offset::new(1), Vec::new());
        offsets.hold(PartitionId::new(0), ProducerId::new(1), vec![record]);
        assert_eq!(expired(), 0);
    }
}
