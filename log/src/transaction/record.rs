//! A transactional id in `__transaction_state`.
//!
//! ```text
//! key       version i16 = 0 | transactional id string
//! value 0   version i16 = 0 | producer id i64 | epoch i16 | timeout ms i32 | status i8
//!           | partitions: count i32 (-1 none), each topic string, count i32, each i32 | last update i64 | start i64
//! value 1   version i16 = 1 | the same, with counts and lengths as unsigned varints, one more than the number
//!           (0 none), and tagged fields behind each topic and at the end:
//!           0 previous producer id i64 | 1 next producer id i64 | 2 client's transaction version i16
//! null      the id has expired
//! ```
//! Version 1 is written where one of its tagged fields says something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut};

use super::request::{ProducerIdentity, TransactionVersion};
use super::state::{Transaction, TransactionState};
use crate::record::RecordView;
use crate::types::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::wire::{get_string, put_string};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Is(Transaction),
    Expired(Arc<str>),
}

const PREVIOUS_PRODUCER_ID: u64 = 0;
const NEXT_PRODUCER_ID: u64 = 1;
const CLIENT_VERSION: u64 = 2;

pub(crate) fn encode_key(id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + id.len());
    key.put_i16(0);
    put_string(&mut key, id);
    key
}

impl Transaction {
    pub(crate) fn encode_value(&self) -> Vec<u8> {
        let is_flexible = self.version == TransactionVersion::Bumped
            || self.previous_producer_id.is_some()
            || self.next_producer_id.is_some();
        let mut value = Vec::with_capacity(64);
        value.put_i16(i16::from(is_flexible));
        value.put_i64(self.producer.id.get());
        value.put_i16(self.producer.epoch.get());
        value.put_i32(i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX));
        value.put_i8(self.state as i8);
        let mut topics: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for id in &self.partitions {
            topics.entry(&id.topic).or_default().push(id.partition.get());
        }
        if is_flexible {
            self.put_flexible(&mut value, topics);
            return value;
        }
        match self.state {
            TransactionState::Empty => value.put_i32(-1),
            _ => value.put_i32(topics.len() as i32),
        }
        for (topic, partitions) in topics {
            put_string(&mut value, topic);
            value.put_i32(partitions.len() as i32);
            partitions.into_iter().for_each(|partition| value.put_u32(partition));
        }
        value.put_i64(self.last_update.get());
        value.put_i64(self.start.get());
        value
    }

    fn put_flexible(&self, value: &mut Vec<u8>, topics: BTreeMap<&str, Vec<u32>>) {
        match self.state {
            TransactionState::Empty => put_uvarint(value, 0),
            _ => put_uvarint(value, topics.len() as u64 + 1),
        }
        for (topic, partitions) in topics {
            put_uvarint(value, topic.len() as u64 + 1);
            value.put_slice(topic.as_bytes());
            put_uvarint(value, partitions.len() as u64 + 1);
            partitions.into_iter().for_each(|partition| value.put_u32(partition));
            put_uvarint(value, 0);
        }
        value.put_i64(self.last_update.get());
        value.put_i64(self.start.get());
        let mut tagged: Vec<(u64, Vec<u8>)> = Vec::new();
        for (tag, id) in
            [(PREVIOUS_PRODUCER_ID, self.previous_producer_id), (NEXT_PRODUCER_ID, self.next_producer_id)]
        {
            tagged.extend(id.map(|id| (tag, id.get().to_be_bytes().to_vec())));
        }
        if self.version == TransactionVersion::Bumped {
            tagged.push((CLIENT_VERSION, 2_i16.to_be_bytes().to_vec()));
        }
        put_uvarint(value, tagged.len() as u64);
        for (tag, field) in tagged {
            put_uvarint(value, tag);
            put_uvarint(value, field.len() as u64);
            value.put_slice(&field);
        }
    }
}

/// `None` if it is a record of another kind, or none at all.
pub(crate) fn decode(record: &RecordView<'_>) -> Option<Recorded> {
    let mut key = record.key?;
    if key.try_get_i16().ok()? != 0 {
        return None;
    }
    let id: Arc<str> = get_string(&mut key)?.into();
    let Some(mut value) = record.value else { return Some(Recorded::Expired(id)) };
    let is_flexible = match value.try_get_i16().ok()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let producer_id = ProducerId::new(value.try_get_i64().ok()?);
    let epoch = ProducerEpoch::new(value.try_get_i16().ok()?);
    let timeout = Duration::from_millis(u64::try_from(value.try_get_i32().ok()?).ok()?);
    let state = TransactionState::from_number(value.try_get_i8().ok()?)?;
    let partitions = get_partitions(&mut value, is_flexible)?;
    let last_update = Timestamp::new(value.try_get_i64().ok()?);
    let start = Timestamp::new(value.try_get_i64().ok()?);
    let mut transaction = Transaction {
        producer: ProducerIdentity::new(producer_id, epoch),
        state,
        partitions,
        last_update,
        start,
        ..Transaction::new(id, producer_id, timeout, last_update)
    };
    if is_flexible {
        get_tagged(&mut value, &mut transaction)?;
    }
    Some(Recorded::Is(transaction))
}

fn get_partitions(value: &mut &[u8], is_flexible: bool) -> Option<BTreeSet<TopicPartition>> {
    let mut partitions = BTreeSet::new();
    for _ in 0..get_count(value, is_flexible)? {
        let topic: Arc<str> = match is_flexible {
            true => {
                let length = usize::try_from(get_uvarint(value)?.checked_sub(1)?).ok()?;
                let text = std::str::from_utf8(value.get(..length)?).ok()?;
                *value = &value[length..];
                text.into()
            }
            false => get_string(value)?.into(),
        };
        for _ in 0..get_count(value, is_flexible)? {
            partitions.insert(TopicPartition::new(topic.clone(), value.try_get_u32().ok()?));
        }
        if is_flexible {
            skip_tagged(value)?;
        }
    }
    Some(partitions)
}

fn get_tagged(value: &mut &[u8], transaction: &mut Transaction) -> Option<()> {
    for _ in 0..get_uvarint(value)? {
        let (tag, mut field) = get_field(value)?;
        let id = |number: i64| (number >= 0).then(|| ProducerId::new(number));
        match tag {
            PREVIOUS_PRODUCER_ID => transaction.previous_producer_id = id(field.try_get_i64().ok()?),
            NEXT_PRODUCER_ID => transaction.next_producer_id = id(field.try_get_i64().ok()?),
            CLIENT_VERSION => {
                transaction.version = match field.try_get_i16().ok()? {
                    ..2 => TransactionVersion::Classic,
                    2.. => TransactionVersion::Bumped,
                }
            }
            _ => {} // of a newer version
        }
    }
    Some(())
}

fn skip_tagged(value: &mut &[u8]) -> Option<()> {
    for _ in 0..get_uvarint(value)? {
        get_field(value)?;
    }
    Some(())
}

fn get_field<'a>(value: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = get_uvarint(value)?;
    let length = usize::try_from(get_uvarint(value)?).ok()?;
    let field = value.get(..length)?;
    *value = &value[length..];
    Some((tag, field))
}

/// A number of elements, 0 where there are none at all. The elements end before the bytes do, whatever it says.
fn get_count(value: &mut &[u8], is_flexible: bool) -> Option<u64> {
    match is_flexible {
        true => Some(get_uvarint(value)?.saturating_sub(1)),
        false => Some(u64::try_from(value.try_get_i32().ok()?).unwrap_or(0)),
    }
}

fn put_uvarint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn get_uvarint(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = input.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
