//! What the members of a consumer group tell each other, in Kafka's embedded consumer protocol.
//!
//! ```text
//! subscription  version i16 | topics [string] | user data bytes | owned [topic string, [i32]]   from version 1
//!               | generation i32   from version 2 | rack string   from version 3
//! assignment    version i16 | [topic string, [i32]] | user data bytes
//! ```
//! Later versions only add fields at the end, so decoding takes what it knows and leaves the rest.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use crate::types::TopicPartition;
use crate::wire::{get_string, put_string};

/// The version written; all up to it can be read, and later ones as far as they are known.
const VERSION: i16 = 3;

/// What a member wants and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics it wants to read.
    pub topics: Vec<String>,
    /// Data of the assignor.
    pub user_data: Option<Bytes>,
    /// What it reads now and keeps reading, if it rebalances cooperatively.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got that, -1 for none.
    pub generation: Option<i32>,
    /// Where it runs, `client.rack`.
    pub rack: Option<String>,
}

/// What the leader has given to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions to read.
    pub partitions: Vec<TopicPartition>,
    /// Data of the assignor.
    pub user_data: Option<Bytes>,
}

impl Subscription {
    /// The bytes, in version 3.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_i16(VERSION);
        out.put_i32(self.topics.len() as i32);
        self.topics.iter().for_each(|topic| put_string(&mut out, topic));
        put_bytes(&mut out, self.user_data.as_deref());
        put_partitions(&mut out, &self.owned);
        out.put_i32(self.generation.unwrap_or(-1));
        match &self.rack {
            Some(rack) => put_string(&mut out, rack),
            None => out.put_i16(-1),
        }
        out.into()
    }

    /// `None` if the bytes are not a subscription.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let version = input.try_get_i16().ok().filter(|version| *version >= 0)?;
        let mut topics = Vec::new();
        for _ in 0..input.try_get_i32().ok()? {
            topics.push(get_string(&mut input)?);
        }
        let user_data = get_bytes(&mut input)?;
        let owned = if version >= 1 { get_partitions(&mut input)? } else { Vec::new() };
        let generation = if version >= 2 { Some(input.try_get_i32().ok()?) } else { None };
        let rack = if version >= 3 { get_nullable_string(&mut input)? } else { None };
        Some(Self { topics, user_data, owned, generation: generation.filter(|number| *number >= 0), rack })
    }
}

impl Assignment {
    /// The bytes, in version 3.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_i16(VERSION);
        put_partitions(&mut out, &self.partitions);
        put_bytes(&mut out, self.user_data.as_deref());
        out.into()
    }

    /// `None` if the bytes are not an assignment. No bytes at all are an empty one.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        if input.is_empty() {
            return Some(Self::default());
        }
        input.try_get_i16().ok().filter(|version| *version >= 0)?;
        let partitions = get_partitions(&mut input)?;
        Some(Self { partitions, user_data: get_bytes(&mut input)? })
    }
}

/// Partitions by topic, as several of the formats list them.
pub(super) fn put_partitions(out: &mut Vec<u8>, partitions: &[TopicPartition]) {
    let mut topics: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for id in partitions {
        topics.entry(&id.topic).or_default().push(id.partition.get());
    }
    out.put_i32(topics.len() as i32);
    for (topic, numbers) in topics {
        put_string(out, topic);
        out.put_i32(numbers.len() as i32);
        numbers.into_iter().for_each(|number| out.put_u32(number));
    }
}

pub(super) fn get_partitions(input: &mut &[u8]) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for _ in 0..input.try_get_i32().ok()? {
        let topic: std::sync::Arc<str> = get_string(input)?.into();
        for _ in 0..input.try_get_i32().ok()? {
            let number = u32::try_from(input.try_get_i32().ok()?).ok()?;
            partitions.push(TopicPartition::new(topic.clone(), number));
        }
    }
    Some(partitions)
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            out.put_i32(bytes.len() as i32);
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
}

fn get_bytes(input: &mut &[u8]) -> Option<Option<Bytes>> {
    let length = input.try_get_i32().ok()?;
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let bytes = Bytes::copy_from_slice(input.get(..length)?);
    *input = &input[length..];
    Some(Some(bytes))
}

fn get_nullable_string(input: &mut &[u8]) -> Option<Option<String>> {
    if input.get(..2)? == [0xff, 0xff] {
        *input = &input[2..];
        return Some(None);
    }
    get_string(input).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        let subscription = Subscription { topics: vec!["t".to_owned()], ..Subscription::default() };
        assert_eq!(
            subscription.encode()[..],
            [0, 3, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255]
        );
        let assignment = Assignment {
            partitions: vec![TopicPartition::new("t", 2), TopicPartition::new("t", 5)],
            user_data: None,
        };
        assert_eq!(
            assignment.encode()[..],
            [0, 3, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 5, 255, 255, 255, 255]
        );
    }

    #[test]
    fn old_and_future_versions_are_read_as_far_as_they_go() {
        let first = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 9];
        let read = Subscription::decode(&first).unwrap();
        assert_eq!(
            (read.topics, read.user_data.as_deref(), read.generation),
            (vec!["t".to_owned()], Some(&[9][..]), None)
        );
        let mut future = Subscription { generation: Some(4), ..Subscription::default() }.encode().to_vec();
        future[1] = 9;
        future.extend([1, 2, 3]);
        assert_eq!(Subscription::decode(&future).unwrap().generation, Some(4));
        assert_eq!(Assignment::decode(&[]), Some(Assignment::default()));
        assert_eq!(Assignment::decode(&[0]), None);
    }

    proptest! {
        #[test]
        fn both_survive_their_encoding(
            topics in prop::collection::vec("[a-z.]{1,8}", 0..5),
            owned in prop::collection::btree_set(("[a-c]", 0_u32..9), 0..9),
            generation in prop::option::of(0..i32::MAX),
            rack in prop::option::of("[a-z]{0,3}"),
            data in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        ) {
            let owned: Vec<_> = owned.into_iter().map(|(topic, number)| TopicPartition::new(topic, number)).collect();
            let user_data = data.map(Bytes::from);
            let assignment = Assignment { partitions: owned.clone(), user_data: user_data.clone() };
            prop_assert_eq!(Assignment::decode(&assignment.encode()), Some(assignment));
            let subscription = Subscription { topics, user_data, owned, generation, rack };
            prop_assert_eq!(Subscription::decode(&subscription.encode()), Some(subscription));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _any = (Subscription::decode(&bytes), Assignment::decode(&bytes));
        }
    }
}
