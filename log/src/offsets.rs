//! Offsets that groups have committed: `__consumer_offsets` and what it says now.
//!
//! ```text
//! key    version i16 = 1 | group string | topic string | partition i32
//! value  version i16 = 3 | offset i64 | leader epoch i32 | metadata string | commit time i64         null = removed
//! ```
//! Offsets in a transaction count from its commit marker on. The state is applied the same way live and at open, and
//! ordered by where the records or markers lie in the topic, so that both agree.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};

use crate::mutex::Mutex;
use crate::record::{Marker, RecordBatch, RecordView};
use crate::types::{Offset, ProducerId, Timestamp, TopicPartition};
use crate::wire::{get_string, put_string};

/// A group's offset in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Text kept with it.
    pub metadata: String,
    /// When it was committed.
    pub timestamp: Timestamp,
}

/// A record of the topic: what a group committed, or that it has nothing committed any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRecord {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) committed: Option<Committed>,
}

impl OffsetRecord {
    pub(crate) fn encode_key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(10 + self.group.len() + self.partition.topic.len());
        key.put_i16(1);
        put_string(&mut key, &self.group);
        put_string(&mut key, &self.partition.topic);
        key.put_u32(self.partition.partition.get());
        key
    }

    pub(crate) fn encode_value(&self) -> Option<Vec<u8>> {
        let committed = self.committed.as_ref()?;
        let mut value = Vec::with_capacity(24 + committed.metadata.len());
        value.put_i16(3);
        value.put_i64(committed.offset.to_wire());
        value.put_i32(-1);
        put_string(&mut value, &committed.metadata);
        value.put_i64(committed.timestamp.get());
        Some(value)
    }

    /// `None` for records of other kinds, such as group metadata.
    pub(crate) fn decode(record: &RecordView<'_>) -> Option<Self> {
        let mut key = record.key?;
        if !matches!(key.try_get_i16().ok()?, 0 | 1) {
            return None;
        }
        let group = get_string(&mut key)?;
        let topic = get_string(&mut key)?;
        let partition = TopicPartition::new(topic, key.try_get_u32().ok()?);
        let Some(mut value) = record.value else { return Some(Self { group, partition, committed: None }) };
        let version = value.try_get_i16().ok()?;
        if !(0..=3).contains(&version) {
            return None;
        }
        let offset = Offset::from_wire(value.try_get_i64().ok()?)?;
        if version == 3 {
            value.try_get_i32().ok()?;
        }
        let metadata = get_string(&mut value)?;
        let timestamp = Timestamp::new(value.try_get_i64().ok()?);
        Some(Self { group, partition, committed: Some(Committed { offset, metadata, timestamp }) })
    }
}

/// What all groups have committed.
#[derive(Debug, Default)]
pub(crate) struct GroupOffsets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, BTreeMap<TopicPartition, Entry>>,
    /// Records of open transactions.
    pending: BTreeMap<ProducerId, Vec<OffsetRecord>>,
}

#[derive(Debug)]
struct Entry {
    /// `None` once removed; kept for `at`.
    committed: Option<Committed>,
    /// Where in the topic this was decided. All records of a group are in one partition.
    at: Offset,
}

impl GroupOffsets {
    /// Takes in records that were appended at `at` outside of a transaction.
    pub(crate) fn apply(&self, at: Offset, records: Vec<OffsetRecord>) {
        self.state.lock().apply(at, records);
    }

    /// Takes in records that were appended as part of a producer's transaction.
    pub(crate) fn hold(&self, producer: ProducerId, records: Vec<OffsetRecord>) {
        self.state.lock().pending.entry(producer).or_default().extend(records);
    }

    /// Takes in the end of a producer's transaction, whose marker was appended at `at`.
    pub(crate) fn end_transaction(&self, producer: ProducerId, is_commit: bool, at: Offset) {
        let mut state = self.state.lock();
        if let Some(records) = state.pending.remove(&producer)
            && is_commit
        {
            state.apply(at, records);
        }
    }

    /// Takes in a stored batch of the topic.
    pub(crate) fn replay(&self, batch: &RecordBatch) {
        if let Some(producer) = batch.producer_id().filter(|_| batch.is_control()) {
            if let Some(marker) = Marker::of(batch) {
                self.end_transaction(producer, marker.is_commit, batch.base_offset());
            }
            return;
        }
        let records = batch.records().filter_map(|record| OffsetRecord::decode(&record.ok()?)).collect();
        match batch.producer_id().filter(|_| batch.is_transactional()) {
            Some(producer) => self.hold(producer, records),
            None => self.apply(batch.last_offset(), records),
        }
    }

    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        self.state.lock().groups.get(group)?.get(partition)?.committed.clone()
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

    /// Every group that has something committed in a topic, with the partitions.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<(String, Vec<TopicPartition>)> {
        let state = self.state.lock();
        let found = state.groups.iter().map(|(group, entries)| {
            let live = entries.iter().filter(|(id, entry)| &*id.topic == topic && entry.committed.is_some());
            (group.clone(), live.map(|(id, _)| id.clone()).collect::<Vec<_>>())
        });
        found.filter(|(_, partitions)| !partitions.is_empty()).collect()
    }
}

impl State {
    fn apply(&mut self, at: Offset, records: Vec<OffsetRecord>) {
        for record in records {
            let entries = self.groups.entry(record.group).or_default();
            let is_newer = entries.get(&record.partition).is_none_or(|entry| entry.at <= at);
            if is_newer {
                entries.insert(record.partition, Entry { committed: record.committed, at });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    #[test]
    fn records_have_kafkas_bytes() {
        let record = OffsetRecord {
            group: "g".to_owned(),
            partition: TopicPartition::new("t", 2),
            committed: Some(Committed {
                offset: Offset::new(5),
                metadata: "m".to_owned(),
                timestamp: Timestamp::new(9),
            }),
        };
        let (key, value) = (record.encode_key(), record.encode_value().unwrap());
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        assert_eq!(
            value,
            [0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 0, 9]
        );
        let mut builder = BatchBuilder::new();
        builder.append(Timestamp::new(0), Some(&key), Some(&value), &[]);
        let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
        let read = batch.records().next().unwrap().unwrap();
        assert_eq!(OffsetRecord::decode(&read), Some(record));
    }

    #[test]
    fn the_order_in_the_topic_decides() {
        let offsets = GroupOffsets::default();
        let record = |offset| OffsetRecord {
            group: "g".to_owned(),
            partition: TopicPartition::new("t", 0),
            committed: Some(Committed {
                offset: Offset::new(offset),
                metadata: String::new(),
                timestamp: Timestamp::new(0),
            }),
        };
        let now =
            || offsets.committed("g", &TopicPartition::new("t", 0)).map(|committed| committed.offset.get());
        offsets.apply(Offset::new(3), vec![record(30)]);
        offsets.apply(Offset::new(2), vec![record(20)]);
        assert_eq!(now(), Some(30));
        offsets.hold(ProducerId::new(1), vec![record(40)]);
        assert_eq!(now(), Some(30));
        offsets.end_transaction(ProducerId::new(1), false, Offset::new(4));
        assert_eq!(now(), Some(30));
        offsets.hold(ProducerId::new(1), vec![record(50)]);
        offsets.end_transaction(ProducerId::new(1), true, Offset::new(6));
        assert_eq!(now(), Some(50));
        assert_eq!(offsets.groups(), ["g"]);
    }
}
