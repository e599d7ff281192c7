//! What a partition knows of its idempotent and transactional producers, and the `.snapshot` files that keep it.
//!
//! ```text
//! version i16 = 1 | CRC-32C u32 of all that follows | count i32, then for each
//! id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32 | timestamp i64
//! | coordinator epoch i32 | first offset of the open transaction i64 (-1 none)                         (46 bytes)
//! ```

use std::collections::BTreeMap;

use crate::aborted::AbortedEntry;
use crate::record::{Marker, RecordBatch};
use crate::types::{Offset, ProducerEpoch, ProducerId};

/// Producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
}

/// One producer: its newest batch and open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_start: Option<Offset>,
}

const VERSION: i16 = 1;
const ENTRY_BYTES: usize = 46;
const HEAD_BYTES: usize = 10;

impl ProducerStates {
    /// The newest epoch seen of a producer.
    pub(crate) fn epoch(&self, id: ProducerId) -> Option<ProducerEpoch> {
        self.producers.get(&id).map(|state| state.epoch)
    }

    /// The largest producer id seen.
    pub(crate) fn last_id(&self) -> Option<ProducerId> {
        self.producers.keys().next_back().copied()
    }

    /// First offset of the oldest open transaction.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// Producers with an open transaction here.
    pub(crate) fn open_transactions(&self) -> Vec<(ProducerId, ProducerEpoch)> {
        self.open.values().filter_map(|id| Some((*id, self.epoch(*id)?))).collect()
    }

    /// Takes an appended batch into account. Returns the transaction that it aborted, if it did.
    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Option<AbortedEntry> {
        let id = batch.producer_id()?;
        let state = self.producers.entry(id).or_insert(ProducerState {
            epoch: batch.producer_epoch(),
            last_sequence: -1,
            last_offset: -1,
            offset_delta: 0,
            timestamp: -1,
            coordinator_epoch: -1,
            transaction_start: None,
        });
        if state.epoch != batch.producer_epoch() {
            state.epoch = batch.producer_epoch();
            state.last_sequence = -1;
        }
        state.timestamp = batch.max_timestamp().get();
        if batch.is_control() {
            let marker = Marker::of(batch)?;
            state.coordinator_epoch = marker.coordinator_epoch;
            let start = state.transaction_start.take()?;
            self.open.remove(&start);
            let last_offset = batch.last_offset();
            return (!marker.is_commit).then(|| AbortedEntry {
                producer_id: id,
                first_offset: start,
                last_offset,
                last_stable_offset: self.first_unstable().unwrap_or(last_offset + 1),
            });
        }
        state.last_sequence =
            wrapping_sequence(batch.base_sequence(), batch.last_offset().since(batch.base_offset()));
        state.last_offset = batch.last_offset().to_wire();
        state.offset_delta = batch.last_offset().since(batch.base_offset()) as i32;
        if batch.is_transactional() && state.transaction_start.is_none() {
            state.transaction_start = Some(batch.base_offset());
            self.open.insert(batch.base_offset(), id);
        }
        None
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(4 + ENTRY_BYTES * self.producers.len());
        entries.extend_from_slice(&(self.producers.len() as i32).to_be_bytes());
        for (id, state) in &self.producers {
            entries.extend_from_slice(&id.get().to_be_bytes());
            entries.extend_from_slice(&state.epoch.get().to_be_bytes());
            entries.extend_from_slice(&state.last_sequence.to_be_bytes());
            entries.extend_from_slice(&state.last_offset.to_be_bytes());
            entries.extend_from_slice(&state.offset_delta.to_be_bytes());
            entries.extend_from_slice(&state.timestamp.to_be_bytes());
            entries.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
            entries.extend_from_slice(&state.transaction_start.map_or(-1, Offset::to_wire).to_be_bytes());
        }
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&entries).to_be_bytes());
        bytes.extend_from_slice(&entries);
        bytes
    }

    /// `None` if these are not the bytes of a whole snapshot.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let crc = u32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
        if bytes[..2] != VERSION.to_be_bytes() || crc != crc32c::crc32c(&bytes[6..]) {
            return None;
        }
        let count = u32::from_be_bytes(bytes.get(6..HEAD_BYTES)?.try_into().ok()?);
        let (entries, rest) = bytes[HEAD_BYTES..].as_chunks::<ENTRY_BYTES>();
        if entries.len() != count as usize || !rest.is_empty() {
            return None;
        }
        let mut states = Self::default();
        for entry in entries {
            let long = |at: usize| Some(i64::from_be_bytes(entry.get(at..at + 8)?.try_into().ok()?));
            let int = |at: usize| Some(i32::from_be_bytes(entry.get(at..at + 4)?.try_into().ok()?));
            let id = ProducerId::new(long(0)?);
            let state = ProducerState {
                epoch: ProducerEpoch::new(i16::from_be_bytes([entry[8], entry[9]])),
                last_sequence: int(10)?,
                last_offset: long(14)?,
                offset_delta: int(22)?,
                timestamp: long(26)?,
                coordinator_epoch: int(34)?,
                transaction_start: Offset::from_wire(long(38)?),
            };
            if let Some(start) = state.transaction_start {
                states.open.insert(start, id);
            }
            states.producers.insert(id, state);
        }
        Some(states)
    }
}

/// The sequence number `delta` further on; after 2^31 - 1 follows 0.
pub(crate) fn wrapping_sequence(sequence: i32, delta: u64) -> i32 {
    ((i64::from(sequence) + delta as i64) & i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_kafkas_bytes() {
        let state = ProducerState {
            epoch: ProducerEpoch::new(3),
            last_sequence: 7,
            last_offset: 42,
            offset_delta: 0,
            timestamp: 1_700_000_000_000,
            coordinator_epoch: 9,
            transaction_start: None,
        };
        let states = ProducerStates {
            producers: BTreeMap::from([(ProducerId::new(4000), state)]),
            open: BTreeMap::new(),
        };
        let bytes = states.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0001ffa1f0b3000000010000000000000fa0000300000007000000000000002a00000000\
             0000018bcfe5680000000009ffffffffffffffff"
        );
        assert_eq!(ProducerStates::decode(&bytes), Some(states));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(ProducerStates::decode(&damaged), None, "byte {at}");
            assert_eq!(ProducerStates::decode(&bytes[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(wrapping_sequence(i32::MAX, 1), 0);
        assert_eq!(wrapping_sequence(i32::MAX - 1, 1), i32::MAX);
    }
}
