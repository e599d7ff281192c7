//! The records of `__consumer_offsets`, in Kafka's bytes.
//!
//! ```text
//! offset  key    version i16 = 1 | group string | topic string | partition i32
//!         value  version i16 = 3 | offset i64 | leader epoch i32 | metadata string | commit time i64
//! group   key    version i16 = 2 | group string
//!         value  version i16 = 3 | protocol type string | generation i32 | protocol string? | leader string?
//!                | state since i64 | members [member id string | instance id string? | client id string
//!                | client host string | rebalance timeout ms i32 | session timeout ms i32 | subscription bytes
//!                | assignment bytes]
//! ```
//! A null value removes what the key names. Values of versions 0 to 4 are read; 4 has Kafka's flexible lengths and tags.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};

use super::coordinator::{StoredGroup, StoredMember};
use super::offsets::{Committed, OffsetRecord};
use crate::record::RecordView;
use crate::types::{Offset, Timestamp, TopicPartition};
use crate::wire::{get_string, put_string};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRecord {
    /// A group's offset in a partition.
    Offset(OffsetRecord),
    /// A group's members, `None` once it is deleted.
    Group { group: String, stored: Option<StoredGroup> },
}

impl GroupRecord {
    pub(crate) fn encode_key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        match self {
            Self::Offset(record) => {
                key.put_i16(1);
                put_string(&mut key, &record.group);
                put_string(&mut key, &record.partition.topic);
                key.put_u32(record.partition.partition.get());
            }
            Self::Group { group, .. } => {
                key.put_i16(2);
                put_string(&mut key, group);
            }
        }
        key
    }

    pub(crate) fn encode_value(&self) -> Option<Vec<u8>> {
        match self {
            Self::Offset(record) => record.committed.as_ref().map(encode_committed),
            Self::Group { stored, .. } => stored.as_ref().map(encode_group),
        }
    }

    /// `None` for records of other kinds, such as those of Kafka's newer group protocols, and for malformed ones.
    pub(crate) fn decode(record: &RecordView<'_>) -> Option<Self> {
        let mut key = record.key?;
        match key.try_get_i16().ok()? {
            0 | 1 => {
                let group = get_string(&mut key)?;
                let topic = get_string(&mut key)?;
                let partition = TopicPartition::new(topic, key.try_get_u32().ok()?);
                let committed =
                    record.value.map(|value| decode_committed(value).ok_or(())).transpose().ok()?;
                Some(Self::Offset(OffsetRecord { group, partition, committed }))
            }
            2 => {
                let group = get_string(&mut key)?;
                let stored = record.value.map(|value| decode_group(value).ok_or(())).transpose().ok()?;
                Some(Self::Group { group, stored })
            }
            _ => None,
        }
    }
}

fn encode_committed(committed: &Committed) -> Vec<u8> {
    let mut value = Vec::with_capacity(24 + committed.metadata.len());
    value.put_i16(3);
    value.put_i64(committed.offset.to_wire());
    value.put_i32(committed.leader_epoch.unwrap_or(-1));
    put_string(&mut value, &committed.metadata);
    value.put_i64(committed.timestamp.get());
    value
}

fn decode_committed(mut input: &[u8]) -> Option<Committed> {
    let mut value = Reader::start(&mut input, 0..=4)?;
    let offset = Offset::from_wire(value.i64()?)?;
    let leader_epoch = if value.version >= 3 { value.i32()? } else { -1 };
    let metadata = value.string()?;
    let timestamp = Timestamp::new(value.i64()?);
    let expires = if value.version == 1 { Timestamp::new(value.i64()?) } else { Timestamp::NONE };
    Some(Committed {
        offset,
        leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
        metadata,
        timestamp,
        expires: Some(expires).filter(|expires| *expires != Timestamp::NONE),
    })
}

fn encode_group(group: &StoredGroup) -> Vec<u8> {
    let mut value = Vec::new();
    value.put_i16(3);
    put_string(&mut value, &group.protocol_type);
    value.put_i32(group.generation);
    put_nullable(&mut value, group.protocol.as_deref());
    put_nullable(&mut value, group.leader.as_deref());
    value.put_i64(group.state_since.get());
    value.put_i32(group.members.len() as i32);
    for member in &group.members {
        put_string(&mut value, &member.member_id);
        put_nullable(&mut value, member.instance_id.as_deref());
        put_string(&mut value, &member.client_id);
        put_string(&mut value, &member.client_host);
        value.put_i32(to_millis(member.rebalance_timeout));
        value.put_i32(to_millis(member.session_timeout));
        for bytes in [&member.subscription, &member.assignment] {
            value.put_i32(bytes.len() as i32);
            value.put_slice(bytes);
        }
    }
    value
}

fn decode_group(mut input: &[u8]) -> Option<StoredGroup> {
    let mut value = Reader::start(&mut input, 0..=4)?;
    let version = value.version;
    let protocol_type = value.string()?;
    let generation = value.i32()?;
    let protocol = value.nullable_string()?;
    let leader = value.nullable_string()?;
    let state_since = if version >= 2 { value.i64()? } else { -1 };
    let mut members = Vec::new();
    for _ in 0..value.array_length()? {
        let member_id = value.string()?;
        let instance_id = if version >= 3 { value.nullable_string()? } else { None };
        let client_id = value.string()?;
        let client_host = value.string()?;
        let rebalance_timeout = if version >= 1 { Some(value.i32()?) } else { None };
        let session_timeout = from_millis(value.i32()?);
        let subscription = value.bytes()?;
        let assignment = value.bytes()?;
        value.skip_tags()?;
        members.push(StoredMember {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout: rebalance_timeout.map_or(session_timeout, from_millis),
            session_timeout,
            subscription,
            assignment,
        });
    }
    let state_since = Timestamp::new(state_since);
    Some(StoredGroup { protocol_type, generation, protocol, leader, state_since, members })
}

fn put_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn to_millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn from_millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Reads the fields of a value, whose lengths look different from version 4 on.
struct Reader<'a, 'b> {
    input: &'a mut &'b [u8],
    version: i16,
}

impl<'a, 'b> Reader<'a, 'b> {
    fn start(input: &'a mut &'b [u8], versions: std::ops::RangeInclusive<i16>) -> Option<Self> {
        let version = input.try_get_i16().ok().filter(|version| versions.contains(version))?;
        Some(Self { input, version })
    }

    fn is_flexible(&self) -> bool {
        self.version >= 4
    }

    fn i32(&mut self) -> Option<i32> {
        self.input.try_get_i32().ok()
    }

    fn i64(&mut self) -> Option<i64> {
        self.input.try_get_i64().ok()
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.input.try_get_u8().ok()?;
            number |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Takes that many bytes off the front; `None` inside for null.
    fn take(&mut self, length: i64) -> Option<Option<&'b [u8]>> {
        if length == -1 {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        let bytes = self.input.get(..length)?;
        *self.input = &self.input[length..];
        Some(Some(bytes))
    }

    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = if self.is_flexible() {
            i64::from(self.unsigned()?) - 1
        } else {
            i64::from(self.input.try_get_i16().ok()?)
        };
        let bytes = self.take(length)?;
        bytes.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned)).transpose().ok()
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length =
            if self.is_flexible() { i64::from(self.unsigned()?) - 1 } else { i64::from(self.i32()?) };
        Some(self.take(length)?.map_or_else(Bytes::new, Bytes::copy_from_slice))
    }

    fn array_length(&mut self) -> Option<i64> {
        if self.is_flexible() { Some(i64::from(self.unsigned()?) - 1) } else { Some(i64::from(self.i32()?)) }
    }

    fn skip_tags(&mut self) -> Option<()> {
        if self.is_flexible() {
            for _ in 0..self.unsigned()? {
                self.unsigned()?;
                let length = self.unsigned()?;
                self.take(i64::from(length))?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchBuilder, RecordBatch};

    fn read_back(key: &[u8], value: Option<&[u8]>) -> Option<GroupRecord> {
        let mut builder = BatchBuilder::new();
        builder.append(Timestamp::new(0), Some(key), value, &[]);
        let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
        GroupRecord::decode(&batch.records().next().unwrap().unwrap())
    }

    fn committed(offset: u64, leader_epoch: Option<i32>) -> Committed {
        Committed {
            offset: Offset::new(offset),
            leader_epoch,
            metadata: "m".to_owned(),
            timestamp: Timestamp::new(9),
            expires: None,
        }
    }

    fn offset_record(committed: Option<Committed>) -> GroupRecord {
        let partition = TopicPartition::new("t", 2);
        GroupRecord::Offset(OffsetRecord { group: "g".to_owned(), partition, committed })
    }

    #[test]
    fn offsets_have_kafkas_bytes() {
        let record = offset_record(Some(committed(5, None)));
        let (key, value) = (record.encode_key(), record.encode_value().unwrap());
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        assert_eq!(
            value,
            [0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 0, 9]
        );
        assert_eq!(read_back(&key, Some(&value)), Some(record));
        assert_eq!(read_back(&key, None), Some(offset_record(None)));
    }

    #[test]
    fn offsets_of_all_versions_are_read() {
        let key = offset_record(None).encode_key();
        let number = |last: u8| [0, 0, 0, 0, 0, 0, 0, last];
        let expires = Committed { expires: Some(Timestamp::new(11)), ..committed(5, None) };
        for (value, expected) in [
            ([&[0, 0][..], &number(5), &[0, 1, b'm'], &number(9)].concat(), committed(5, None)),
            ([&[0, 1][..], &number(5), &[0, 1, b'm'], &number(9), &number(11)].concat(), expires),
            ([&[0, 2][..], &number(5), &[0, 1, b'm'], &number(9)].concat(), committed(5, None)),
            (
                [&[0, 3][..], &number(5), &[0, 0, 0, 7, 0, 1, b'm'], &number(9)].concat(),
                committed(5, Some(7)),
            ),
            (
                [&[0, 4][..], &number(5), &[0, 0, 0, 7, 2, b'm'], &number(9), &[0]].concat(),
                committed(5, Some(7)),
            ),
        ] {
            assert_eq!(read_back(&key, Some(&value)), Some(offset_record(Some(expected))), "{value:?}");
            assert_eq!(read_back(&key, Some(&value[..20])), None, "cut short");
        }
        assert_eq!(read_back(&key, Some(&[0, 5, 0, 0])), None, "a version of the future");
        assert_eq!(read_back(&[0, 3, 0, 1, b'g'], None), None, "another kind of group");
    }

    #[test]
    fn groups_of_old_and_flexible_versions_are_read() {
        let key = [0, 2, 0, 1, b'g'];
        let member = StoredMember {
            member_id: "m".to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout: Duration::from_millis(6),
            session_timeout: Duration::from_millis(6),
            subscription: Bytes::from_static(&[1]),
            assignment: Bytes::new(),
        };
        let expected = StoredGroup {
            protocol_type: "consumer".to_owned(),
            generation: 4,
            protocol: Some("range".to_owned()),
            leader: Some("m".to_owned()),
            state_since: Timestamp::NONE,
            members: vec![member],
        };
        let v0: &[&[u8]] = &[
            &[0, 0, 0, 8],
            b"consumer",
            &[0, 0, 0, 4, 0, 5],
            b"range",
            &[0, 1, b'm', 0, 0, 0, 1],
            &[0, 1, b'm', 0, 1, b'c', 0, 2, b'/', b'h', 0, 0, 0, 6, 0, 0, 0, 1, 1, 0, 0, 0, 0],
        ];
        let group = |stored| Some(GroupRecord::Group { group: "g".to_owned(), stored });
        assert_eq!(read_back(&key, Some(&v0.concat())), group(Some(expected.clone())));
        let v4: &[&[u8]] = &[
            &[0, 4, 9],
            b"consumer",
            &[0, 0, 0, 4, 6],
            b"range",
            &[2, b'm', 0, 0, 0, 0, 0, 0, 0, 8, 2],
            &[2, b'm', 2, b'i', 2, b'c', 3, b'/', b'h', 0, 0, 0, 7, 0, 0, 0, 6, 2, 1, 1, 1, 0, 2, 8, 8, 0],
        ];
        let mut newer = expected;
        newer.state_since = Timestamp::new(8);
        newer.members[0].instance_id = Some("i".to_owned());
        newer.members[0].rebalance_timeout = Duration::from_millis(7);
        assert_eq!(read_back(&key, Some(&v4.concat())), group(Some(newer)));
        assert_eq!(read_back(&key, None), group(None));
    }

    proptest! {
        #[test]
        fn groups_survive_their_encoding(
            generation in 0..i32::MAX,
            protocol in prop::option::of("[a-z]{1,5}"),
            leader in prop::option::of("[a-z]{1,5}"),
            members in prop::collection::vec(
                ("[a-z]{1,4}", prop::option::of("[a-z]{1,4}"), any::<Vec<u8>>(), 0_u64..1_000_000), 0..4),
        ) {
            let members = members.into_iter().map(|(name, instance_id, bytes, millis)| StoredMember {
                member_id: name.clone(),
                instance_id,
                client_id: name,
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout: Duration::from_millis(millis),
                session_timeout: Duration::from_millis(millis / 2),
                subscription: Bytes::from(bytes),
                assignment: Bytes::new(),
            });
            let stored = StoredGroup {
                protocol_type: "consumer".to_owned(),
                generation,
                protocol,
                leader,
                state_since: Timestamp::new(i64::from(generation)),
                members: members.collect(),
            };
            let record = GroupRecord::Group { group: "g".to_owned(), stored: Some(stored) };
            prop_assert_eq!(read_back(&record.encode_key(), record.encode_value().as_deref()), Some(record));
        }

        #[test]
        fn any_bytes_are_read_or_refused(key in 0_u8..3, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let key = [0, key, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2];
            for version in 0..5 {
                let value = [&[0, version][..], &bytes].concat();
                let _any = read_back(&key, Some(&value));
            }
        }
    }
}
